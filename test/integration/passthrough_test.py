"""Values that ClickHouse reads itself: each is a row or a dead letter, nothing takes its neighbours along, and kills do no
harm."""

import base64
import json
import time

import harness
from harness import wait_until

BESIDE = True

COLUMNS = """id UInt32, name String DEFAULT concat('no. ', toString(id)), at Nullable(DateTime64(3, 'UTC')),
    price Decimal(9, 2), day Date, who UUID DEFAULT toUUID('00000000-0000-0000-0000-000000000001'), tags Array(String)"""
ROW = "id, name, toString(at) AS t, toString(price) AS p, toString(day) AS d, tags"
WHO = "00000000-0000-0000-0000-000000000002"
GOOD = [
    [1, "tea", "2024-05-01 12:30:00.250", "2.5", "2024-05-01", ["a", "b"]],
    [2, "a,\t\"b\"\n\\c", None, "-1", "1970-01-02", []],
]


def json_row(row, **other):
    fields = dict(zip(("id", "name", "at", "price", "day", "tags"), row), who=WHO, ignored={"a": [1]})
    return json.dumps({**fields, **other}).encode()


def json_list(row):
    return json.dumps([*row[:5], WHO, row[5]]).encode()


def csv(row):
    def cell(v):
        if v is None:
            return "\\N"
        text = "[" + ",".join(f"'{t}'" for t in v) + "]" if isinstance(v, list) else str(v)
        return '"' + text.replace('"', '""') + '"'

    return ",".join(cell(v) for v in [*row[:5], WHO, row[5]]).encode()


def escaped(v):
    if v is None:
        return "\\N"
    text = "[" + ",".join(f"'{t}'" for t in v) + "]" if isinstance(v, list) else str(v)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def tsv(row):
    return "\t".join(escaped(v) for v in [*row[:5], WHO, row[5]]).encode()


def tskv(row):
    return "\t".join(f"{k}={escaped(v)}" for k, v in zip(("id", "name", "at", "price", "day", "tags"), row)).encode()


# name: (how a row is written, values that are no row: what chute sees, then what ClickHouse finds)
FORMATS = {
    "JSONEachRow": (json_row, [
        b"", b"{", b'{"id": 1, "name": "', b'", "x": "y"}', b"{}{}", b"[]", None,
        b'{"id": "x"}', b'{"id": 1,}', b'{"id": 1]', b'{"id" 1}', b'{"day": "x"}', b'{"price": {}}', b'{"tags": [1, {]}',
        b'{"_offset": 5}', b'{"who": "x"}', b'{"at": "yesterday"}', b'{"id": 1, "id": 2}']),
    "JSONCompactEachRow": (json_list, [
        b"", b"[", b'[1, "', b"{}", None,
        b"[]", b"[1]", b'["x", "a", null, 1, "2024-05-01", "' + WHO.encode() + b'", []]',
        b'[1, "a", null, 1, "2024-05-01", "' + WHO.encode() + b'", [], 7]']),
    "CSV": (csv, [
        b"", b'1,"a', b'",\\N,1,2024-05-01,' + WHO.encode() + b",[]", csv(GOOD[0]) + b"\n" + csv(GOOD[0]), None,
        b"1", b"x," + csv(GOOD[0]).split(b",", 1)[1], csv(GOOD[0]) + b",more", b"1,a,b,c,d,e,f"]),
    "TSV": (tsv, [
        b"", b"1\ta\\", tsv(GOOD[0]) + b"\n" + tsv(GOOD[0]), None,
        b"1", b"x\t" + tsv(GOOD[0]).split(b"\t", 1)[1], tsv(GOOD[0]) + b"\tmore"]),
    "TSKV": (tskv, [b"", b"id=1\\", b"id=1\nid=2", None, b"id=x", b"id", b"who=7", b"_offset=7"]),
}


class Passthrough(harness.Scenario):
    def check(self, name):
        write, broken = FORMATS[name]
        topic, table = self.topic(1), self.table(columns=COLUMNS)
        values, rows, dead = [], [], []
        for i, bad in enumerate(broken):
            rows += [len(values), len(values) + 2]
            dead.append(len(values) + 1)
            values += [write(GOOD[0]), bad, write(GOOD[1])]
        self.kit("produce", topic, "--stdin", text="\n".join(json.dumps(
            {"partition": 0, "key": f"k{i}", "value": None} if v is None else
            {"partition": 0, "key": f"k{i}", "value_base64": base64.b64encode(v).decode()}) for i, v in enumerate(values)))
        self.run_until_end(topic, table, format="passthrough", passthrough={"format": name})
        found = self.server.rows(f"SELECT _offset, {ROW}, _topic, toString(who) AS w FROM {table} ORDER BY _offset")
        letters = self.server.rows(f"SELECT offset, error, value FROM {self.dead_letters} "
                                   f"WHERE pipeline = '{self.name}' ORDER BY offset")
        self.assertEqual([int(l["offset"]) for l in letters], dead, letters)
        self.assertEqual([int(r["_offset"]) for r in found], rows)
        for i, r in enumerate(found):
            self.assertEqual([r[c] for c in ("id", "name", "t", "p", "d", "tags")], GOOD[i % 2])
            self.assertEqual(r["_topic"], topic)
        return letters

    def test_json_each_row(self):
        letters = self.check("JSONEachRow")
        self.assertIn("it is not one row of JSONEachRow", letters[0]["error"])
        self.assertIn("rejected", letters[-1]["error"])

    def test_json_compact_each_row(self):
        self.check("JSONCompactEachRow")

    def test_csv(self):
        self.check("CSV")

    def test_tsv(self):
        self.check("TSV")

    def test_tskv(self):
        self.check("TSKV")

    def test_kills(self):
        topic, table, records, kills = self.topic(4), self.table(), 16_000, 4
        producer = self.produce_on(topic, records / (2.0 * kills))
        form = {"format": "passthrough", "passthrough": {"format": "JSONEachRow"}}
        for round_ in range(kills):
            engine = self.engine(topic, table, name=f"chute{round_}", batch={"rows": 400, "wait": "30ms"}, **form)
            before = self.found(table)
            wait_until(lambda: self.found(table) > before or not engine.alive(), 30, f"{engine.name} lands records")
            time.sleep(self.random.uniform(0, 0.6))
            self.assertTrue(engine.alive(), f"{engine.name} ended by itself; see {engine.log}")
            engine.kill()
        records = self.end_of(producer, topic, records)
        self.run_until_end(topic, table, name="last", **form)
        self.exact(topic, table, records=records)


if __name__ == "__main__":
    harness.main()
