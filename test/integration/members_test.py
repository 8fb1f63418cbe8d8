"""What rebalances leave behind: members come to rest, a lane that recovered is no failure, a topic that waits outlives one that stopped;
and what they do not reach is noticed: partitions that were added, topics that are gone, or that no member can take."""

import json
import shutil
import time

import harness
from harness import wait_until

AT_ONCE = 5
LONGEST = ["test_partitions_that_the_group_gave_to_nobody_are_told_of_and_read",
           "test_a_member_with_a_file_comes_back_when_another_one_has_begun"]
QUIET_SECONDS = 8  # several heartbeats: a member that leaves and joins anew is told to the others by then


class Members(harness.Scenario):
    never_looks = {"topic.metadata.refresh.interval.ms": 3_600_000}  # librdkafka, for what is new of a topic

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

    def waits_for(self, engine, word):
        code, state, reason = engine.ready()
        return code == 503 and state == "waiting" and word in (reason or "")

    def partitions_come(self, engine, topic, table):
        """Three, while librdkafka does not look by itself, and soon: what nobody reads is looked for after each division only."""
        wait_until(lambda: self.streams(engine, 2), 60, lambda: f"it streams: {engine.reasons()}")
        self.kit("topic", "add-partitions", topic, "--partitions", 5)
        for partition in range(5):
            self.put(topic, partition, *[self.order(partition * 100 + n) for n in range(100)])
        self.arrived(table, 500, 150, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=500, unverified=500)

    def test_partitions_that_are_added_to_lanes_are_read_before_the_group_divides_anew(self):
        topic, table = self.topic(2), self.table()
        engine = self.engine(topic, table, kafka=self.never_looks, lanes=2)
        self.partitions_come(engine, topic, table)
        said = engine.log.read_text()
        self.assertIn("has 5 partitions, its lanes began with 2", said)
        self.assertNotIn("to nobody", said)

    def test_partitions_that_the_group_gave_to_nobody_are_told_of_and_read(self):
        """A broker that does not know of them yet, when the group divides, is not asked again; here nobody looks by itself."""
        topic, table = self.topic(2), self.table()
        engine = self.engine(topic, table, kafka=self.never_looks)
        self.partitions_come(engine, topic, table)
        self.assertIn(f"gave {topic}/2 to nobody", engine.log.read_text())

    def test_partitions_come_where_a_lane_has_stopped_and_a_topic_waits(self):
        """Its lanes begin anew, the one that had stopped with them; the other topic is tried again meanwhile."""
        topic, waits = self.topic(2, suffix="_a"), self.topic(1, suffix="_b")
        table = self.table(suffix="_a")
        self.put(topic, 0, self.order(1))
        self.put(topic, 1, "no JSON")
        engine = self.engine(topic, f"{self.database}.{{topic}}", topics=[topic, waits], kafka=self.never_looks, lanes=2,
                             on_bad_record="stop", on_data_loss="continue")
        engine.says("JSON")
        wait_until(lambda: self.waits_for(engine, waits), 30, lambda: f"the other topic waits: {engine.ready()}")
        self.kit("topic", "delete-records", topic, "--before", "1:1")
        self.kit("topic", "add-partitions", topic, "--partitions", 4)
        for partition in range(4):
            self.put(topic, partition, *[self.order(100 + partition * 10 + n) for n in range(10)])
        wait_until(lambda: self.server.number(f"SELECT count() FROM {table}") == 41, 90, lambda: f"all land: {engine.reasons()}")
        self.assertTrue(self.waits_for(engine, waits), "the other waits still")
        self.assertEqual(engine.stop(), 0, "what had stopped was mended")
        self.assertEqual(self.server.number(f"SELECT count() - uniqExact(_partition, _offset) FROM {table}"), 0, "nothing twice")

    def test_a_drain_while_lanes_begin_anew(self):
        """One of them waits for its insert, and the end for it."""
        topic, table = self.topic(2), self.table()
        proxy = harness.Proxy(self, self.server.url)
        engine = self.engine(topic, table, kafka=self.never_looks, lanes=2, url=proxy.url)
        wait_until(lambda: self.streams(engine, 2), 60, lambda: f"it streams: {engine.reasons()}")
        self.kit("topic", "add-partitions", topic, "--partitions", 4)
        proxy.fault("delay", match=f"INSERT INTO*{table.split('.')[1]}*", ms=1_000)
        producer = self.produce_on(topic, 500)
        wait_until(lambda: "they begin anew" in engine.log.read_text(), 60, "partitions are noticed", every=0.02)
        self.assertEqual(engine.stop(), 0)
        proxy.clear()
        records = self.end_of(producer, topic, 1)
        self.run_until_end(topic, table, name="again", kafka=self.never_looks, lanes=2)
        self.exact(topic, table, records=records)

    def test_a_named_topic_that_is_deleted_or_missing_is_told(self):
        """The group gives nobody what it does not know, and says nothing of it."""
        a, b, table = self.topic(2, suffix="_a"), self.topic(2, suffix="_b"), self.table(suffix="_a")
        self.table(suffix="_b")
        soon = {"topic.metadata.refresh.interval.ms": 1_000}
        engine = self.engine(a, f"{self.database}.{{topic}}", topics=[a, b], kafka=soon)
        wait_until(lambda: self.streams(engine, 4), 60, "both topics' lanes stream")
        self.kit("topic", "delete", b)
        wait_until(lambda: self.waits_for(engine, b), 90, lambda: f"its loss is told: {engine.ready()}")
        self.produce(a, 200)
        wait_until(lambda: self.server.number(f"SELECT count() FROM {table}") == 200, 60, "the other goes on")
        self.assertTrue(self.waits_for(engine, b), f"it is told still: {engine.ready()}")
        self.kit("topic", "delete", a)
        wait_until(lambda: self.waits_for(engine, a) or self.waits_for(engine, b), 90, lambda: f"nothing is left: {engine.ready()}")
        self.assertEqual(engine.stop(), 0)

    def test_a_named_topic_comes_later(self):
        a, missing, table = self.topic(1, suffix="_a"), f"{self.name}_b", self.table(suffix="_a")
        table_b = self.table(suffix="_b")
        engine = self.engine(a, f"{self.database}.{{topic}}", topics=[a, missing], kafka={"topic.metadata.refresh.interval.ms": 1_000})
        wait_until(lambda: self.waits_for(engine, missing), 60, lambda: f"it is missed: {engine.ready()}")
        self.produce(a, 50)
        wait_until(lambda: self.server.number(f"SELECT count() FROM {table}") == 50, 60, "the other goes on")
        self.assertEqual(self.topic(1, suffix="_b"), missing)
        self.produce(missing, 70)
        wait_until(lambda: self.server.number(f"SELECT count() FROM {table_b}") == 70, 90, lambda: f"it is read: {engine.reasons()}")
        wait_until(lambda: engine.ready()[0] == 200, 30, lambda: f"nothing is missed: {engine.ready()}")
        self.assertEqual(engine.stop(), 0)

    def test_a_member_that_was_given_only_an_unfit_topic_waits(self):
        """Another pipeline's topics are not this one's: it is no reason to end, and be divided anew by each restart."""
        good, table = self.topic(1, suffix="_a"), self.table(suffix="_a")
        start = lambda name: self.engine(good, f"{self.database}.{{topic}}", name=name, topics=[f"^{self.name}_.*"], start="earliest",
                                         kafka={"topic.metadata.refresh.interval.ms": 1_000})
        engines = [start("one"), start("two")]
        lanes = lambda e: len(self.pipeline(e)["lanes"])
        wait_until(lambda: sum(map(lanes, engines)) == 1, 60, "one of them has the topic")
        unfit = f"{self.database}.{self.name}_b"
        self.server.ask(f"CREATE TABLE {unfit} ({harness.ORDERS_COLUMNS}{harness.PROVENANCE}) ENGINE = MergeTree ORDER BY _offset "
                        "SETTINGS non_replicated_deduplication_window = 0")
        self.addCleanup(self.drop, unfit)
        bad = self.topic(1, suffix="_b")
        wait_until(lambda: any(self.waits_for(e, bad) for e in engines), 60, lambda: f"it is told: {[e.ready() for e in engines]}")
        self.produce(good, 100)
        wait_until(lambda: self.server.number(f"SELECT count() FROM {table}") == 100, 60, "the other goes on")
        self.assertTrue(all(e.alive() for e in engines), "nobody ended")
        self.server.ask(f"ALTER TABLE {unfit} MODIFY SETTING non_replicated_deduplication_window = 10000")
        self.produce(bad, 60)
        wait_until(lambda: self.server.number(f"SELECT count() FROM {unfit}") == 60, 60, lambda: f"it is mended: {[e.reasons() for e in engines]}")
        for e in engines:
            self.assertEqual(e.stop(), 0)

    def test_a_topic_that_is_named_and_left_out(self):
        a = self.topic(1, suffix="_a")
        self.table(suffix="_a")
        engine = self.engine(a, f"{self.database}.{{topic}}", kafka={"topic.blacklist": f"^x$,{a}"})
        self.assertEqual(engine.wait(30), 1)
        self.assertIn("topic.blacklist leaves it out", engine.log.read_text())

    def two_files(self, topic, table, one, two):
        """What begins an engine each: the same pipeline, with a file of its own as on another machine, and a client.id, with which
        Kafka's ids of members begin."""
        def starter(name, client):
            file, port = self.topology(topic, table, store="file", name=name, kafka={"client.id": client})
            document = json.loads(file.read_text())
            document["state"]["path"] = str(self.dir / f"state_{name}")
            file.write_text(json.dumps(document))
            return lambda: harness.Engine(self, file, name=name, admin=port)
        return starter("one", one), starter("two", two)

    def test_a_member_with_a_file_comes_back_when_another_one_has_begun(self):
        """It was stopped for longer than a session, and its files were brought to another machine meanwhile: both have begun. Its id is
        the smaller one, too."""
        topic, table = self.topic(2), self.table()
        self.produce(topic, 100)
        one, two = self.two_files(topic, table, "a", "z")
        one = one()
        wait_until(lambda: self.streams(one, 2), 60, "the first streams")
        self.arrived(table, 100, 60, one)
        one.pause()
        shutil.copytree(self.dir / "state_one", self.dir / "state_two")
        two = two()
        wait_until(lambda: self.streams(two, 2), 60, lambda: f"the second takes its place: {two.reasons()}")
        one.wake()
        wait_until(lambda: not one.alive(), 90, lambda: f"the first ends: {one.reasons()}, {two.reasons()}")
        self.assertIn("the file store is for one process, but", one.log.read_text())
        self.produce(topic, 100)
        self.arrived(table, 200, 60, two)
        self.assertEqual(two.stop(), 0)
        self.exact(topic, table, records=200)

    def test_two_processes_that_began_in_one_moment_with_the_file_store(self):
        """Each found the group empty; one machine's file cannot be both's."""
        topic, table = self.topic(4), self.table()
        self.produce(topic, 400)
        engines = [start() for start in self.two_files(topic, table, "chute", "chute")]
        said = "the file store is for one process, but"
        wait_until(lambda: any(said in e.log.read_text() for e in engines), 90, lambda: f"it is told: {[e.reasons() for e in engines]}")
        wait_until(lambda: any(not e.alive() for e in engines), 30, "it ends by that")
        self.arrived(table, 400, 60, *[e for e in engines if e.alive()])
        self.assertNotIn("its state is gone", "".join(e.log.read_text() for e in engines))
        for e in engines:
            e.stop()
        self.exact(topic, table, records=400)
