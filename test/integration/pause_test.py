"""Processes of one group are stopped past the session time-out and woken as zombies, others join and leave."""

import subprocess
import time

import harness
from harness import LONG, SESSION_MS, tail, wait_until

AT_ONCE = 5
LONGEST = ["test_two_processes_stopped_and_woken_and_a_third", "test_store_file"]


class Pause(harness.Scenario):
    def start(self, name, table, topic, store):
        return self.engine(topic, table, name=name, store=store, batch={"rows": 500, "wait": "100ms"})

    def test_two_processes_stopped_and_woken_and_a_third(self):
        self.stop_and_wake("kafka", 30 if LONG else 15)

    def test_store_keeper_map(self):
        self.stop_and_wake("keeper_map", 30 if LONG else 6)

    def test_store_redis(self):
        self.stop_and_wake("redis", 30 if LONG else 6)

    def looked_at(self, topology):
        """Whoever only looks needs no lock: beside an engine that has the directory."""
        for command in ("check", "state show"):
            done = subprocess.run([str(harness.CHUTE), *command.split(), str(topology)], capture_output=True, text=True, timeout=90)
            self.assertNotIn("in use", done.stdout + done.stderr, command)
            self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")

    def test_store_file(self):
        """One process at a time has the directory. While its owner stands still nobody takes its place; woken it goes on, and once it
        is gone the next one does."""
        rounds = 30 if LONG else 6
        topic, table = self.topic(12), self.table()
        records = 3_000 * rounds
        producer = self.produce_on(topic, records / (5.0 * rounds), "--broken-every", 997)
        engine = self.start("one", table, topic, "file")
        for round_ in range(rounds):
            before = self.found(table)
            # What the one before had sent may land yet: the directory is this one's once it says that it runs.
            wait_until(lambda: self.found(table) > before and "runs pipeline" in engine.log.read_text(), 60,
                       f"records land before round {round_}")
            engine.pause()
            woken_at = time.monotonic() + SESSION_MS / 1000 * self.random.uniform(1.2, 2.5)
            refused = self.start(f"refused{round_}", table, topic, "file")
            self.assertEqual(refused.wait(30), 1, refused.name)
            self.assertIn(f"is in use by another process (process {engine.child.pid})", tail(refused.log))
            if round_ == 0:
                self.looked_at(engine.topology)
            time.sleep(max(0.0, woken_at - time.monotonic()))
            if round_ % 2 == 0:
                engine.wake()
            else:
                engine.kill()
                engine = self.start(f"after{round_}", table, topic, "file")
        records = self.end_of(producer, topic, records)
        self.arrived(table, records, 120, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=records)

    def test_lanes_of_before_end_late(self):
        """What the group gives anew waits for whoever still reads it: nothing is left without a reader."""
        topic, table = self.topic(3), self.table()
        file, port = self.topology(topic, table)
        engine = harness.Engine(self, file, admin=port, env={"CHUTE_FAULT_POINT": "reader_ends"})
        for round_ in range(3):
            self.produce(topic, 900, "--first", 900 * round_)
            self.arrived(table, 900 * (round_ + 1), 60, engine)
            engine.pause()
            time.sleep(SESSION_MS / 1000 * 2)
            engine.wake()
        self.produce(topic, 900, "--first", 2700)
        self.arrived(table, 3600, 60, engine)
        self.assertGreaterEqual(engine.log.read_text().count("the group lost its partitions"), 2, "partitions were lost")
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=3600)

    def stop_and_wake(self, store, rounds):
        topic, table = self.topic(12), self.table()
        records = 3_000 * rounds
        producer = self.produce_on(topic, records / (5.0 * rounds), "--broken-every", 997)
        engines = [self.start(name, table, topic, store) for name in ("one", "two")]
        third = None
        for round_ in range(rounds):
            before = self.found(table)
            wait_until(lambda: self.found(table) > before, 60, f"records land before round {round_}")
            if round_ % 5 == 2:
                third = self.start(f"third{round_}", table, topic, store)
            victims = self.random.choice([engines[:1], engines[1:], engines])
            for v in victims:
                v.pause()
            # Longer than the group waits for them, so that others own their lanes when they wake.
            time.sleep(SESSION_MS / 1000 * self.random.uniform(1.2, 2.5))
            for v in victims:
                v.wake()
                time.sleep(self.random.uniform(0, 0.3))
            if third and round_ % 5 == 4:
                if self.random.random() < 0.5:
                    self.assertEqual(third.stop(), 0, third.name)
                else:
                    third.kill()
                third = None
        records = self.end_of(producer, topic, records)
        self.arrived(table, records, 120, *engines)
        for e in engines:
            self.assertEqual(e.stop(), 0, e.name)
        lost = sum(log.read_text(errors="replace").count("the group lost its partitions") for log in self.logs)
        self.assertGreaterEqual(lost, rounds // 3, "who is woken finds that others own its lanes")
        self.exact(topic, table, records=records)


if __name__ == "__main__":
    harness.main()
