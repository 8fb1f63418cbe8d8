"""Fields that records did not have before become columns, while two processes read and are killed; no value is lost."""

import json

import harness

LIMITS = {"lease": "1s", "insert": "2s", "confirm": "2s"}
TYPES = {"score": "Nullable(Float64)", "count": "Nullable(Int64)", "flag": "Nullable(Bool)", "note": "Nullable(String)",
         "tags": "Array(Nullable(String))"}


class NewField(harness.Scenario):
    def record(self, i, total):
        """More fields the later it comes; any of them may be null or missing."""
        r = {"id": i, "text": f"t{i}"}
        makers = {"score": lambda: i + 0.5, "count": lambda: i, "flag": lambda: i % 2 == 0, "note": lambda: f"n{i}",
                  "tags": lambda: [f"a{i}", None]}
        for n, (name, make) in enumerate(makers.items(), 1):
            if i > total * n // 7 and self.random.random() < 0.7:
                r[name] = None if self.random.random() < 0.1 else make()
        return r

    def send(self, topic, records):
        self.kit("produce", topic, "--stdin", text="\n".join(
            json.dumps({"partition": r["id"] % 4, "key": "k", "value": json.dumps(r)}) for r in records))

    def test_add_column_by_two_processes_and_kills(self):
        topic, table = self.topic(4), self.table(columns=harness.SMALL_COLUMNS)
        total = 8_000
        records = [self.record(i, total) for i in range(total)]
        settings = {"on_new_field": "add_column", "batch": {"rows": 200, "wait": "50ms"}, "clickhouse": {"limits": LIMITS}}
        engines = [self.engine(topic, table, name=f"first{n}", **settings) for n in range(2)]
        step = total // 8
        for n in range(8):
            self.send(topic, records[n * step:(n + 1) * step])
            if n % 3 == 1:
                self.arrived(table, n * step + 1, 60)  # while these land
                victim = n % 2
                engines[victim].kill()
                engines[victim] = self.engine(topic, table, name=f"again{n}", **settings)
        self.arrived(table, total, 120, *engines)
        for e in engines:
            self.assertEqual(e.stop(), 0)
        self.judge(topic, table, records)

    def judge(self, topic, table, records):
        self.assertEqual(self.server.number(f"SELECT count() FROM {self.dead_letters} WHERE pipeline = '{self.name}'"), 0)
        types = {r["name"]: r["type"] for r in self.server.rows(f"DESCRIBE TABLE {table}")}
        self.assertEqual({k: types.get(k) for k in TYPES}, TYPES)
        rows = self.server.rows(f"SELECT toUInt32(id) AS id, text, score, toInt32(count) AS count, flag, note, tags FROM {table} ORDER BY id")
        self.assertEqual(len(rows), len(records))
        for row, r in zip(rows, records):
            wanted = {"id": r["id"], "text": r["text"], **{k: r.get(k) for k in TYPES}}
            wanted["tags"] = wanted["tags"] or []
            self.assertEqual(row, wanted)
        self.exact(topic, table, "--offsets-only", records=len(records), unverified=len(records))

    def test_dead_letter(self):
        topic, table = self.topic(1), self.table(columns=harness.SMALL_COLUMNS)
        self.kit("produce", topic, "--stdin", text="\n".join(
            json.dumps({"partition": 0, "key": "k", "value": json.dumps(r)}) for r in
            ({"id": 1, "text": "a"}, {"id": 2, "text": "b", "more": 1}, {"id": 3, "text": "c"})))
        self.run_until_end(topic, table, on_new_field="dead_letter")
        self.assertEqual(self.server.ask(f"SELECT groupArray(id) FROM (SELECT id FROM {table} ORDER BY id)"), "[1,3]")
        self.assertEqual(self.server.ask(f"SELECT error FROM {self.dead_letters} WHERE pipeline = '{self.name}'"),
                         "field \\'more\\' has no column (on_new_field: dead_letter)")


if __name__ == "__main__":
    harness.main()
