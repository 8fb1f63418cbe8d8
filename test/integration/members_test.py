"""What rebalances leave behind: members come to rest, a lane that recovered is no failure, a topic that waits outlives one that stopped."""

import json
import time

import harness
from harness import wait_until

AT_ONCE = 3
QUIET_SECONDS = 8  # several heartbeats: a member that leaves and joins anew is told to the others by then


class Members(harness.Scenario):
    def pipeline(self, engine):
        return ((engine.status() or {}).get("pipelines") or [{"lanes": []}])[0]

    def streams(self, engine, lanes):
        phases = [l["phase"] for l in self.pipeline(engine)["lanes"]]
        return len(phases) >= lanes and all(p == "streaming" for p in phases)

    def put(self, topic, partition, *values):
        lines = "".join(json.dumps({"partition": partition, "value": v}) + "\n" for v in values)
        self.kit("produce", topic, "--stdin", text=lines)

    def order(self, number):
        return json.dumps({"id": number, "ordered_at": "2024-05-06 07:08:09.010", "customer": 1, "status": "new", "product": "p",
                           "quantity": 1, "price": 1.5, "country": "DE", "tags": [], "attributes": {}})

    def test_members_come_to_rest_while_records_come(self):
        """With another store than kafka the group's offsets are written beside it: one that is under way when partitions are given back
        must not lead to the next rebalance."""
        topic, table = self.topic(12), self.table()
        producer = self.produce_on(topic, 1_500)
        start = lambda name: self.engine(topic, table, name=name, store="redis", batch={"rows": 500, "wait": "20ms"})
        engines = [start("one"), start("two")]
        wait_until(lambda: all(self.streams(e, 1) for e in engines), 60, "both stream")
        times = lambda: [self.pipeline(e).get("rebalances") for e in engines]
        alone = times()
        third = start("three")
        wait_until(lambda: self.streams(third, 1), 60, "a third one streams")
        self.assertEqual(third.stop(), 0)
        seen, since = times(), time.monotonic()

        def rest():
            nonlocal seen, since
            if times() != seen:
                seen, since = times(), time.monotonic()
            return time.monotonic() - since > QUIET_SECONDS

        wait_until(rest, 60, lambda: f"no rebalance for {QUIET_SECONDS} s; so many until now: {seen}", every=0.2)
        more = [now - then for now, then in zip(seen, alone)]
        self.assertLessEqual(max(more), 2, f"rebalances of each while a third one came and went: {more}")
        before = self.found(table)
        wait_until(lambda: self.found(table) > before, 30, "records landed meanwhile")
        records = self.end_of(producer, topic, 5_000)
        self.arrived(table, records, 90, *engines)
        for e in engines:
            self.assertEqual(e.stop(), 0)
        self.exact(topic, table, records=records)

    def test_a_lane_that_recovered_is_no_failure_at_the_end(self):
        topic, table = self.topic(2), self.table()
        for partition in (0, 1):
            self.put(topic, partition, *[self.order(n) for n in range(20)])
        self.put(topic, 1, "no JSON")
        start = lambda name: self.engine(topic, table, name=name, on_bad_record="stop", on_data_loss="continue")
        one = start("one")
        one.says("JSON")
        wait_until(lambda: self.pipeline(one)["lanes"][0]["phase"] == "streaming", 30, "its neighbour goes on")
        self.put(topic, 1, self.order(100))
        self.kit("topic", "delete-records", topic, "--before", "1:21")
        two = start("two")
        wait_until(lambda: self.streams(two, 1), 60, "another one comes")
        self.assertEqual(two.stop(), 0)
        wait_until(lambda: self.streams(one, 2), 60, lambda: f"both lanes stream: {one.status()}")
        wait_until(lambda: self.server.number(f"SELECT count() FROM {table} WHERE id = 100"), 30, "what came after it landed")
        self.assertEqual(one.stop(), 0, "what had stopped was mended")

    def test_a_topic_that_stopped_does_not_end_one_that_waits(self):
        bad, waits = self.topic(1, suffix="_a"), self.topic(1, suffix="_b")
        self.table(suffix="_a")
        self.put(bad, 0, "no JSON")
        self.put(waits, 0, self.order(1))
        engine = self.engine(bad, f"{self.database}.{{topic}}", topics=[bad, waits], on_bad_record="stop")
        engine.says("JSON")
        table = self.table(suffix="_b")
        wait_until(lambda: self.server.number(f"SELECT count() FROM {table}") == 1, 60, lambda: f"it begins: {engine.reasons()}")
        self.assertEqual(engine.stop(), 1, "a lane had stopped")
        self.assertIn("JSON", engine.log.read_text())
