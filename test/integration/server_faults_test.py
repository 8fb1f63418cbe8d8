"""ClickHouse dies, and its replies are lost after the insert was applied."""

import signal
import time

import harness
from harness import LONG, Proxy, wait_until

TIME_LIMIT_SECONDS = 900


class ServerFaults(harness.Scenario):
    faults = 100
    kills = 25 if LONG else 8

    def test_killed_and_replies_dropped_100_times(self):
        services = self.private_services("clickhouse")
        proxy = Proxy(self, self.server.url)
        topic, table = self.topic(4), self.table()
        drops = self.faults - self.kills
        proxy.fault("drop_reply", match="INSERT", probability=0.25, count=drops // 2)
        proxy.fault("cut_reply", match="INSERT", probability=0.2, count=drops - drops // 2, bytes=12)
        proxy.fault("duplicate", match="INSERT", probability=0.05)
        proxy.fault("cut_request", match="INSERT", probability=0.05)
        proxy.fault("status_503", match="INSERT", probability=0.05)
        proxy.fault("error_in_200", match="INSERT", probability=0.05, code=252)
        producer = self.produce_slowly(topic, 10_000_000, 3_000, "--broken-every", 997)
        # A doubt waits for lease and insert limit together: short ones, so that it is settled within the test.
        limits = {"limits": {"lease": "6s", "insert": "6s", "confirm": "10s"}}
        engine = self.engine(topic, table, url=proxy.url, batch={"rows": 2_000, "wait": "50ms"}, clickhouse=limits)
        for _ in range(self.kills):
            self.progress(engine, table)
            time.sleep(self.random.uniform(0, 0.5))
            services.call("kill", "clickhouse")
            time.sleep(self.random.uniform(0, 1))
            services.call("start", "clickhouse")
        struck = lambda: sum(proxy.counts().get(k, 0) for k in ("drop_reply", "cut_reply"))
        wait_until(lambda: struck() >= drops or not engine.alive(), 240, lambda: f"{drops} replies dropped: {proxy.counts()}")
        proxy.clear()
        producer.signal(signal.SIGTERM)
        self.assertEqual(producer.wait(60), 0)
        records = int(self.kit("topic", "end", topic, "--sum").stdout)
        self.arrived(table, records, 120, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=records)

    def test_a_restart_within_the_attempts_of_a_plan_that_only_its_token_can_settle(self):
        """A crash may have cost a plain MergeTree the tokens that it saw last, and nobody can look what landed."""
        services = self.private_services("clickhouse")
        proxy = Proxy(self, self.server.url)
        topic, table = self.topic(1), self.table()
        self.produce(topic, 1_000)
        engine = self.engine(topic, table, url=proxy.url, provenance="off")
        self.arrived(table, 1_000, 60, engine)
        proxy.fault("drop_reply", match="INSERT INTO*FORMAT")
        self.produce(topic, 500, "--first", 1_000)
        wait_until(lambda: proxy.counts().get("drop_reply", 0) > 1, 60, lambda: f"replies are dropped: {proxy.counts()}")
        services.call("kill", "clickhouse")
        services.call("start", "clickhouse")
        proxy.clear()
        wait_until(lambda: not engine.alive(), 60, "the engine stops")
        self.assertIn("is in doubt: the server was restarted since it was made", " ".join(harness.tail(engine.log, 400).split()))
        self.assertEqual(self.server.number(f"SELECT count() FROM {table}"), 1_500)

    def progress(self, engine, table):
        before = self.found(table)
        wait_until(lambda: self.found(table) > before or not engine.alive(), 60,
                   lambda: f"records land; the engine says: {engine.reasons()!r}")
        self.assertTrue(engine.alive(), f"the engine ended; see {engine.log}")


if __name__ == "__main__":
    harness.main()
