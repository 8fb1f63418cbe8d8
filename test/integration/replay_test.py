"""A replay whose records come in another grouping of fetches: the same batches, the same tokens, no row twice."""

import time

import harness
from harness import Proxy, wait_until

LIMITS = {"lease": "1s", "insert": "2s", "confirm": "2s"}
# Bytes a fetch may bring of one partition: from a few records at a time to everything at once.
FETCHES = (3_000, 1_000_000, 10_000, 200_000, 50_000)


class Replay(harness.Scenario):
    def replay(self, table, topic, records):
        """Each time inserts were applied, their replies are held back, and the engine dies before it can save them."""
        proxy = Proxy(self, self.server.url)
        inserts = f"INSERT INTO*{table.split('.')[1]}*FORMAT"
        for round_, fetch in enumerate(FETCHES):
            done = (round_ + 1) * records  # what was produced before this round
            engine = self.engine(topic, table, name=f"chute{round_}", url=proxy.url, batch={"rows": 700, "wait": "20ms"},
                                 kafka={"fetch.message.max.bytes": fetch})
            wait_until(lambda: self.found(table) >= done, 60,
                       lambda: f"records land; the engine says {engine.reasons()!r}")
            proxy.fault("delay_reply", match=inserts, ms=60_000)
            self.produce(topic, records, "--first", (round_ + 1) * records)
            wait_until(lambda: self.quiet(table) > done, 60, "an insert whose reply is held back is applied")
            self.assertTrue(engine.alive(), engine.log)
            engine.kill()
            proxy.clear()
        self.assertGreaterEqual(proxy.counts()["delay_reply"], len(FETCHES))

    def quiet(self, table):
        """How many records are there, once that has not changed for a few looks; 0 before."""
        looks = {self.found(table) for _ in range(20)}
        return looks.pop() if len(looks) == 1 else 0

    def test_batches_are_the_same_in_another_grouping(self):
        topic, table, records = self.topic(3), self.table(), 4_000
        self.produce(topic, records, "--broken-every", 97)
        self.replay(table, topic, records)
        self.run_until_end(topic, table, name="last")
        self.exact(topic, table, records=records * (len(FETCHES) + 1))

    def test_tokens_deduplicate_where_a_view_makes_every_batch_be_sent_again(self):
        topic, table, records = self.topic(3), self.table(), 4_000
        target = f"{table}_target"
        self.server.ask(f"CREATE TABLE {target} (id UInt64, _partition Int32, _offset Int64) ENGINE = MergeTree "
                        "ORDER BY (_partition, _offset) SETTINGS non_replicated_deduplication_window = 1000")
        self.addCleanup(self.drop, target)
        self.server.ask(f"CREATE MATERIALIZED VIEW {table}_view TO {target} AS SELECT id, _partition, _offset FROM {table}")
        self.addCleanup(self.drop, f"{table}_view")
        self.produce(topic, records)
        repeated = self.repeated()
        self.replay(table, topic, records)
        self.run_until_end(topic, table, name="last")
        self.assertGreater(self.repeated(), repeated, "inserts that ClickHouse knew by their token")
        figures = self.exact(topic, table, records=records * (len(FETCHES) + 1))
        rows, distinct = self.server.ask(f"SELECT count(), uniqExact(_partition, _offset) FROM {target}").split("\t")
        self.assertEqual((int(rows), int(distinct)), (figures["rows"], figures["rows"]), "the view's target")

    def view_made_while_it_runs(self, table, expression):
        """One that fails at offset 60 while that stands in `gate`, and whose target knows an insert again."""
        for name in f"{table}_gate", f"{table}_target":
            self.addCleanup(self.drop, name)
        self.server.ask(f"CREATE TABLE {table}_gate (n Int64) ENGINE = Memory")
        self.server.ask(f"CREATE TABLE {table}_target (id UInt64, _partition Int32, _offset Int64) ENGINE = MergeTree "
                        "ORDER BY (_partition, _offset) SETTINGS non_replicated_deduplication_window = 1000")
        self.server.ask(f"INSERT INTO {table}_gate VALUES (60)")
        self.server.ask(f"CREATE MATERIALIZED VIEW {table}_view TO {table}_target AS SELECT id + {expression} AS id, "
                        f"_partition, _offset FROM {table}")
        self.addCleanup(self.drop, f"{table}_view")

    def goes_on(self, engine):
        def through():
            (pipeline,) = engine.status()["pipelines"]
            return pipeline["lag"] == 0 and all(lane["open_token"] == lane["waiting_for"] == "" for lane in pipeline["lanes"])

        wait_until(through, 60, lambda: f"its lanes go on; they say {engine.reasons()!r}", every=0.2)

    def begin(self, **more):
        topic, table = self.topic(2), self.table()
        self.produce(topic, 100)
        engine = self.engine(topic, table, clickhouse={"limits": LIMITS}, **more)
        self.arrived(table, 100, 60, engine)
        return topic, table, engine

    def test_a_view_made_while_it_runs_gets_what_it_failed_at(self):
        """The table has the rows of the insert that failed in the view; the view must have them too."""
        topic, table, engine = self.begin()
        self.view_made_while_it_runs(table, f"throwIf(_offset IN (SELECT n FROM {table}_gate))")
        self.produce(topic, 100, "--first", 100)
        engine.says("FUNCTION_THROW_IF_VALUE_IS_NON_ZERO")
        self.server.ask(f"TRUNCATE TABLE {table}_gate")
        target = f"SELECT count(), uniqExact(_partition, _offset) FROM {table}_target"
        self.goes_on(engine)
        self.assertEqual(engine.stop(), 0)
        self.assertEqual(self.server.ask(target), "100\t100")
        self.exact(topic, table, records=200)

    def test_a_view_made_while_it_runs_that_cannot_take_a_record(self):
        """Its word (a code that blames the record) comes when the table has the batch already: nothing is sent anew."""
        topic, table, engine = self.begin()
        self.view_made_while_it_runs(table, f"if(_offset IN (SELECT n FROM {table}_gate), toUInt64(concat('x', product)), 0)")
        self.produce(topic, 100, "--first", 100)
        self.assertEqual(engine.wait(90), 1)
        self.assertIn("its dependent views cannot be asked", engine.log.read_text())
        self.exact(topic, table, "--to", 50)
        self.assertEqual(self.server.ask(f"SELECT count() - uniqExact(_partition, _offset) FROM {table}"), "0")

    def test_a_view_made_while_it_runs_whose_target_does_not_know_an_insert_again(self):
        """What failed waits, by name, until it does."""
        topic, table, engine = self.begin()
        self.view_made_while_it_runs(table, f"throwIf(_offset IN (SELECT n FROM {table}_gate))")
        self.server.ask(f"ALTER TABLE {table}_target MODIFY SETTING non_replicated_deduplication_window = 0")
        self.produce(topic, 100, "--first", 100)
        engine.says("does not deduplicate inserts")
        self.server.ask(f"TRUNCATE TABLE {table}_gate")
        self.server.ask(f"ALTER TABLE {table}_target MODIFY SETTING non_replicated_deduplication_window = 1000")
        self.goes_on(engine)
        self.assertEqual(engine.stop(), 0)
        self.assertEqual(self.server.ask(f"SELECT count(), uniqExact(_partition, _offset) FROM {table}_target"), "100\t100")
        self.exact(topic, table, records=200)

    def test_from_at_least_once_to_exactly_once(self):
        """What an insert of before may still be bringing is waited for once; then nothing is sent twice."""
        topic, table = self.topic(2), self.table()
        self.produce(topic, 1_000)
        engine = self.engine(topic, table, delivery="at_least_once", clickhouse={"limits": LIMITS})
        self.arrived(table, 1_000, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.produce(topic, 500, "--first", 1_000)
        engine = self.engine(topic, table, name="second", clickhouse={"limits": LIMITS})
        engine.says("inserts of delivery: at_least_once to end", limit=60)
        self.arrived(table, 1_500, 60, engine)
        self.assertEqual(engine.stop(), 0)
        begun = time.monotonic()
        engine = self.engine(topic, table, name="third", clickhouse={"limits": {"lease": "60s", "insert": "60s"}})
        self.produce(topic, 100, "--first", 1_500)
        self.arrived(table, 1_600, 60, engine)
        self.assertLess(time.monotonic() - begun, 60, "nobody waits once more")
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=1_600)

    def repeated(self):
        return self.server.number("SELECT sum(value) FROM system.events WHERE event = 'DuplicatedInsertedBlocks'")


if __name__ == "__main__":
    harness.main()
