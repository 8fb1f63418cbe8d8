"""Columns are added, dropped, given another type and renamed every second while records land: none is lost or doubled."""

import threading

import harness
from harness import LONG, SMALL_COLUMNS, ServerError, wait_until

SECONDS = 60 if LONG else 24
RATE = 1_500
LIMITS = {"lease": "1s", "insert": "2s", "confirm": "2s"}  # what a kill leaves in doubt is settled soon
# In turn, so that after each round the columns are again what they were.
STEPS = ("ADD COLUMN extra String DEFAULT 'x'", "DROP COLUMN tags", "MODIFY COLUMN quantity UInt64", "RENAME COLUMN note TO remark",
         "ADD COLUMN tags Array(String)", "MODIFY COLUMN status String", "RENAME COLUMN remark TO note", "DROP COLUMN extra",
         "MODIFY COLUMN country String", "MODIFY COLUMN quantity UInt32", "MODIFY COLUMN status LowCardinality(String)",
         "MODIFY COLUMN country FixedString(2)")


class Alterations(threading.Thread):
    """One each second, until it is told to end; then it completes its round."""

    def __init__(self, server, table):
        super().__init__(daemon=True)
        self.server, self.table, self.done, self.failed = server, table, 0, []
        self.enough = threading.Event()
        self.start()

    def run(self):
        while not self.enough.is_set() or self.done % len(STEPS):
            self.enough.wait(0 if self.enough.is_set() else 1)
            try:
                self.server.ask(f"ALTER TABLE {self.table} {STEPS[self.done % len(STEPS)]}")
            except ServerError as e:
                self.failed.append(str(e))
            self.done += 1


class Alter(harness.Scenario):
    def test_every_second_under_load(self):
        topic, table = self.topic(4), self.table()
        records = RATE * SECONDS
        settings = {"batch": {"rows": 1000, "wait": "50ms"}, "clickhouse": {"limits": LIMITS}}
        engine = self.engine(topic, table, **settings)
        producer = self.produce_slowly(topic, records, RATE)
        self.arrived(table, 1, 60, engine)
        alterations = Alterations(self.server, table)
        self.arrived(table, records // 2, SECONDS + 120, engine)
        engine.kill()
        engine = self.engine(topic, table, name="again", **settings)
        self.assertEqual(producer.wait(SECONDS + 60), 0)
        alterations.enough.set()
        self.arrived(table, records, 180, engine)
        alterations.join(60)
        self.assertEqual(alterations.failed, [])
        self.assertGreaterEqual(alterations.done, SECONDS // 2)
        self.assertEqual(engine.stop(), 0)
        self.produce(topic, 1_000, "--first", records)
        self.run_until_end(topic, table, name="last", **settings)
        # Rows of the time without these columns have their defaults; all other values are the records'.
        self.exact(topic, table, "--ignore", "tags", "--ignore", "note", records=records + 1_000)
        self.assertEqual(self.server.number(f"SELECT count() FROM {self.dead_letters} WHERE pipeline = '{self.name}'"), 0)
        self.assertGreater(self.server.number(f"SELECT countIf(notEmpty(tags)) FROM {table} WHERE id >= {records}"), 0)

    def test_an_added_column_is_filled_without_a_restart(self):
        topic, table = self.topic(1), self.table(columns="id UInt64")
        engine = self.engine(topic, table)
        self.produce(topic, 100, "--shape", "small")
        self.arrived(table, 100, 60, engine)
        self.server.ask(f"ALTER TABLE {table} ADD COLUMN text String")
        sent = [100]

        def filled():
            self.produce(topic, 10, "--shape", "small", "--first", sent[0])
            sent[0] += 10
            return self.server.number(f"SELECT countIf(text != '') FROM {table}")

        wait_until(filled, 30, "the new column is filled", every=0.5)
        self.arrived(table, sent[0], 30, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, "--ignore", "text", records=sent[0])

    def test_records_wait_for_the_table_that_another_was_exchanged_for(self):
        """Its columns are the same, so that no insert fails."""
        topic, table = self.topic(1), self.table(columns=SMALL_COLUMNS, order="id")
        other = self.table(columns=SMALL_COLUMNS, order="id", suffix="_other")
        engine = self.engine(topic, table)
        self.produce(topic, 100, "--shape", "small")
        self.arrived(table, 100, 60, engine)
        self.server.ask(f"EXCHANGE TABLES {table} AND {other}")
        wait_until(lambda: "was made anew" in engine.log.read_text(), 30, "another table under the name is noticed")
        self.produce(topic, 100, "--shape", "small", "--first", 100)
        said = engine.says("was made anew")
        self.assertIn(f"`{self.name}`", said)
        self.assertEqual(self.server.number(f"SELECT count() FROM {table}"), 0)
        self.server.ask(f"EXCHANGE TABLES {table} AND {other}")
        self.arrived(table, 200, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=200)
        self.assertEqual(self.server.number(f"SELECT count() FROM {other}"), 0)

    def test_records_wait_for_a_column_that_recovery_needs(self):
        topic, table = self.topic(1), self.table(columns=SMALL_COLUMNS, order="id")
        engine = self.engine(topic, table)
        self.produce(topic, 100, "--shape", "small")
        self.arrived(table, 100, 60, engine)
        self.server.ask(f"ALTER TABLE {table} RENAME COLUMN _offset TO elsewhere")
        self.produce(topic, 100, "--shape", "small", "--first", 100)
        engine.says("column _offset")
        self.server.ask(f"ALTER TABLE {table} RENAME COLUMN elsewhere TO _offset")
        self.arrived(table, 200, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=200)


if __name__ == "__main__":
    harness.main()
