"""One row in 100,000 that a CHECK constraint refuses, and a kill -9 at every step of finding it: one dead letter, and its
99,999 neighbours land once."""

import signal

import harness

BESIDE = True

RECORDS = 100_000
# Where each life ends: before the N-th insert, with a half acknowledged and not yet saved, in the save of a half, in the
# dead letter's insert.
LIVES = ("before_insert:4", "in_save:7", "acknowledged_not_saved:2", "applied_not_acknowledged:1", "in_dead_letter:1")
NEIGHBOURS = 7  # more halves than the lives before the last land, so that the dead letter is left for that one
LIMITS = {"lease": "1s", "insert": "2s"}  # a half of unknown fate is asked for once an insert can no longer be running


def halves_before(poison):
    """How many halves land before the one that is down to this record."""
    low, size, landed = 0, RECORDS, 0
    while size > 1:
        size //= 2
        landed += (poison - low) // size
        low += (poison - low) // size * size
    return landed


class Poison(harness.Scenario):
    def settings(self, store):
        return {"store": store, "batch": {"rows": RECORDS, "wait": "1s"}, "clickhouse": {"limits": LIMITS}}

    def halve_through_kills(self, store):
        topic, table = self.topic(1), self.table()
        # Early in the log, so that it takes all the halving there is; its id is its offset.
        poison = self.random.choice([p for p in range(RECORDS // 64) if halves_before(p) >= NEIGHBOURS])
        self.produce(topic, RECORDS)
        self.server.ask(f"ALTER TABLE {table} ADD CONSTRAINT poison CHECK id != {poison}")
        deaths = []
        for number, point in enumerate(LIVES):
            file, port = self.topology(topic, table, name=f"life{number}", **self.settings(store))
            life = harness.Engine(self, file, "--until-end", name=f"life{number}", admin=port,
                                  env={"CHUTE_FAULT_POINT": point})
            deaths.append(life.wait(120))
            print(f"  {point}: ended with {deaths[-1]}, {self.found(table)} found", flush=True)
        self.assertEqual(deaths, [-signal.SIGKILL] * len(LIVES), "each life was killed")
        self.run_until_end(topic, table, name="last", **self.settings(store))
        self.judge(topic, table, poison)

    def judge(self, topic, table, poison):
        dead = self.server.rows(f"SELECT toInt64(offset) AS o, value, error FROM {self.dead_letters} "
                                f"WHERE pipeline = '{self.name}'")
        self.assertEqual([d["o"] for d in dead], [poison], "one dead letter, the record that was refused")
        self.assertIn("ClickHouse rejected it", dead[0]["error"])
        self.assertTrue(dead[0]["value"].startswith(f'{{"id":{poison},'), dead[0]["value"])
        rows, distinct = self.server.ask(f"SELECT count(), uniqExact(_offset) FROM {table}").split("\t")
        self.assertEqual((int(rows), int(distinct)), (RECORDS - 1, RECORDS - 1))
        # The oracle reads values too; it knows nothing of the constraint, so it is asked for what lies on both sides.
        below = self.exact(topic, table, "--to", poison) if poison else {"rows": 0}
        above = self.exact(topic, table, "--from", poison + 1)
        self.assertEqual(below["rows"] + above["rows"], RECORDS - 1)

    def test_a_row_that_is_refused_while_its_partition_is_written(self):
        """The table's other partitions of the block are written by then: ClickHouse computes the sorting key of each by itself."""
        topic = self.topic(1)
        table = self.table(columns="id UInt64, part UInt8, at String", settings="allow_suspicious_indices = 1",
                           order="(parseDateTimeBestEffort(at), _offset) PARTITION BY part")
        lines = [harness.json.dumps({"partition": 0, "value": harness.json.dumps(
            {"id": n, "part": n % 4, "at": "never" if n == 38 else "2026-01-02 03:04:05"})}) for n in range(40)]
        self.kit("produce", topic, "--stdin", text="\n".join(lines) + "\n")
        self.run_until_end(topic, table, batch={"rows": 1_000, "wait": "1s"}, clickhouse={"limits": LIMITS})
        found = [int(r["o"]) for r in self.server.rows(f"SELECT _offset AS o FROM {table} ORDER BY o")]
        self.assertEqual(found, [n for n in range(40) if n != 38], "each once, but for the one that is refused")
        dead = self.server.rows(f"SELECT toInt64(offset) AS o FROM {self.dead_letters} WHERE pipeline = '{self.name}'")
        self.assertEqual([int(d["o"]) for d in dead], [38])

    def test_store_kafka(self):
        self.halve_through_kills("kafka")


if __name__ == "__main__":
    harness.main()
