"""The engine is killed with -9 at random moments, again and again: nothing is lost and nothing is doubled."""

import os
import time

import harness
from harness import wait_until

TIME_LIMIT_SECONDS = 1200
AT_ONCE = 2


class Kill(harness.Scenario):
    kills = int(os.environ.get("CHUTE_TEST_KILLS") or 40)
    records, partitions = 200_000, 12

    def kill_again_and_again(self, store, share=1.0, env=None, **topology):
        """`share` of the kills and the records, unless their number was asked for."""
        if harness.LONG or "CHUTE_TEST_KILLS" in os.environ:
            share = 1.0
        self.kills, self.records = int(self.kills * share), int(self.records * share)
        topic, table = self.topic(self.partitions), self.table()
        seconds = 2.1 * self.kills  # about what the kills take
        producer = self.produce_on(topic, self.records / seconds, "--broken-every", 997)
        hits, landed, set_aside = 0, 0, 0
        for round_ in range(self.kills):
            engine = self.engine(topic, table, name=f"chute{round_}", store=store, env=env,
                                 batch={"rows": 500, "wait": "100ms"}, **topology)
            self.rest_a_random_while(engine, table)
            self.assertTrue(engine.alive(), f"{engine.name} ended by itself; see {engine.log}")
            set_aside += sum(p["set_aside"] for p in (engine.status() or {"pipelines": []})["pipelines"])
            engine.kill()
            now = self.found(table)
            hits += now > landed
            landed = now
        records = self.end_of(producer, topic, self.records)
        # Kills that came before the engine had joined the group again prove less: enough must have come later.
        self.assertGreaterEqual(hits, self.kills // 4, "kills while records were landing")
        self.assertLess(landed, records, "the kills came while there was work left")
        engine = self.engine(topic, table, name="last", store=store, env=env, **topology)
        self.arrived(table, records, 120, engine)
        set_aside += sum(p["set_aside"] for p in engine.status()["pipelines"])
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=records)
        return set_aside

    def rest_a_random_while(self, engine, table):
        """A moment at random: any moment of its life, or one while records land."""
        if self.random.random() < 0.5:
            time.sleep(self.random.uniform(0, 2.5))
            return
        before = self.found(table)
        wait_until(lambda: self.found(table) > before or not engine.alive(), 30, f"{engine.name} lands records", every=0.02)
        time.sleep(self.random.uniform(0, 0.4))

    def test_store_kafka(self):
        self.kill_again_and_again("kafka")

    def test_partitions_that_take_turns(self):
        """Each lane reads one of its four partitions at once, as soon as they are a few records behind."""
        self.assertGreater(self.kill_again_and_again("kafka", 0.4, env={"CHUTE_TURNS": "2000"}, lanes=3), 10)

    def test_store_file(self):
        self.kill_again_and_again("file")

    def test_store_keeper_map(self):
        self.kill_again_and_again("keeper_map")

    def test_store_redis(self):
        self.kill_again_and_again("redis")


if __name__ == "__main__":
    harness.main()
