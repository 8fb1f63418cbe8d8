"""A database's change events over 10,000 keys, and kill -9 on the way: the FINAL state of the table is the source's."""

import base64
import json
import signal

import harness
from formats_test import Registry, text, varint

BESIDE = True

KEYS = 10_000
LIMITS = {"lease": "1s", "insert": "2s", "confirm": "2s"}
POINTS = ("applied_not_acknowledged", "before_insert", "acknowledged_not_saved", "applied_not_acknowledged", "in_save")


class Source:
    """A table and its log of events: (key, before, after, op), None for the tombstone behind a delete."""

    def __init__(self, dice, keys=KEYS):
        self.rows, self.events, self.dice, self.changes = {}, [], dice, 0
        for key in range(keys // 2):  # the snapshot
            self.change(key, "r")
        for key in range(keys // 2, keys):
            self.change(key, "c")
        for _ in range(keys):
            # A few keys change all the time, so that a batch holds several changes of one.
            key = dice.randrange(20) if dice.random() < 0.2 else dice.randrange(keys)
            self.change(key, "c" if key not in self.rows else "d" if dice.random() < 0.3 else "u")

    def change(self, key, op):
        before = self.rows.pop(key, None)
        self.changes += 1
        if op != "d":
            self.rows[key] = {"id": key, "name": f"n{self.dice.randrange(1000)}", "amount": self.dice.randrange(-10**6, 10**6),
                              "rev": self.changes}
        self.events.append((key, before, self.rows.get(key), op, self.changes))
        if op == "d":
            self.events.append((key, None, None, None, self.changes))

    def state(self):
        return sorted(tuple(r.values()) for r in self.rows.values())


def as_json(before, after, op, number):
    return json.dumps({"before": before, "after": after, "source": {"lsn": number, "snapshot": op == "r"}, "op": op,
                       "ts_ms": 1_700_000_000_000 + number}).encode()


AVRO = {"type": "record", "name": "Envelope", "fields": [
    {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "long"}, {"name": "name", "type": "string"}, {"name": "amount", "type": "long"},
        {"name": "rev", "type": "long"}]}]},
    {"name": "after", "type": ["null", "Value"]}, {"name": "op", "type": "string"}]}


def as_avro(before, after, op, _):
    def image(row):
        if row is None:
            return varint(0)
        return varint(1) + varint(row["id"]) + text(row["name"]) + varint(row["amount"]) + varint(row["rev"])
    return b"\0" + (1).to_bytes(4, "big") + image(before) + image(after) + text(op)


class Debezium(harness.Scenario):
    partitions = 4

    def made(self, engine, columns):
        name = f"{self.database}.{self.name}"
        self.server.ask(f"CREATE TABLE {name} (id UInt64, name String, amount Int64, rev UInt64, {columns}"
                        f"{harness.PROVENANCE}) ENGINE = {engine} ORDER BY id "
                        "SETTINGS non_replicated_deduplication_window = 10000")
        self.addCleanup(self.drop, name)
        return name

    def send(self, topic, events, encode):
        lines = []
        for key, before, after, op, number in events:
            value = base64.b64encode(encode(before, after, op, number)).decode() if op else None
            lines.append(json.dumps({"partition": key % self.partitions, "key": json.dumps({"id": key}),
                                     **({"value_base64": value} if value else {"value": None})}))
        self.kit("produce", topic, "--stdin", text="\n".join(lines))

    def apply(self, table, source, encode, points, **pipeline):
        """Lives that are killed at random passes of these points, then one to the end."""
        topic = self.topic(self.partitions)
        self.send(topic, source.events, encode)
        rows = len(source.events) // 40  # more batches than the passes of a point that are waited for, however fast the machine
        settings = {"envelope": "debezium", "batch": {"rows": rows, "wait": "50ms"}, "clickhouse": {"limits": LIMITS}, **pipeline}
        for number, point in enumerate(points):
            file, port = self.topology(topic, table, name=f"life{number}", **settings)
            where = f"{point}:{self.random.randrange(2, 10)}"
            life = harness.Engine(self, file, "--until-end", name=f"life{number}", admin=port,
                                  env={"CHUTE_FAULT_POINT": where})
            self.assertEqual(life.wait(90), -signal.SIGKILL, f"{where} was reached")
        self.run_until_end(topic, table, name="last", **settings)
        dead = self.server.rows(f"SELECT error FROM {self.dead_letters} WHERE pipeline = '{self.name}' LIMIT 3")
        self.assertEqual(dead, [])

    def final(self, table, where=""):
        rows = self.server.rows(f"SELECT toUInt32(id) AS id, name, toInt32(amount) AS amount, toUInt32(rev) AS rev "
                                f"FROM {table} FINAL {where}")
        return sorted(tuple(r.values()) for r in rows)

    def replacing_once(self, table):
        """No record came twice, which neither FINAL nor a merge would show: nothing is merged while this test runs. (Not every record is
        there: ClickHouse keeps the last of a key already of what one insert brings.)"""
        rows, offsets = self.server.ask(f"SELECT count(), uniqExact(_partition, _offset) FROM {table}").split("\t")
        self.assertEqual(rows, offsets, "rows, and the offsets that they are of")

    def versions_are_offsets(self, table):
        """FINAL alone cannot tell: of rows with equal versions it takes the one that was inserted last."""
        self.assertEqual(self.server.number(f"SELECT countIf(version != toUInt64(_offset)) FROM {table}"), 0, "versions")

    def test_replacing(self):
        source = Source(self.random)
        table = self.made("ReplacingMergeTree(version, is_deleted)", "lsn UInt32, version UInt64, is_deleted UInt8")
        self.server.ask(f"SYSTEM STOP MERGES {table}")
        self.apply(table, source, as_json, POINTS, deletes="replacing", columns={"lsn": "$.source.lsn"})
        self.assertEqual(self.final(table), source.state())
        self.assertEqual(self.server.number(f"SELECT countIf(lsn != rev) FROM {table} FINAL"), 0, "a field of the event")
        self.versions_are_offsets(table)
        self.replacing_once(table)

    def test_collapsing(self):
        source = Source(self.random)
        registry = Registry(self, {1: {"schema": json.dumps(AVRO)}})
        table = self.made("CollapsingMergeTree(sign)", "sign Int8")
        self.apply(table, source, as_avro, POINTS, deletes="collapsing", format="avro",
                   top={"registry": {"url": registry.url}})
        self.assertEqual(self.final(table), source.state())
        self.assertEqual(self.server.number(f"SELECT countIf(sign != 1) FROM {table} FINAL"), 0)
        self.assertEqual(self.server.number(f"SELECT sum(sign) FROM {table}"), len(source.rows))
        self.assertEqual(self.server.number(f"SELECT sum(amount * sign) FROM {table}"),
                         sum(r["amount"] for r in source.rows.values()))

    def test_versioned_collapsing(self):
        source = Source(self.random, 1_000)
        table = self.made("VersionedCollapsingMergeTree(sign, rev)", "sign Int8")
        self.apply(table, source, as_json, POINTS[:1], deletes="collapsing")
        self.assertEqual(self.final(table), source.state())
        self.assertEqual(self.server.number(f"SELECT sum(sign) FROM {table}"), len(source.rows))

    def test_tombstones_of_a_compacted_topic(self):
        topic = self.topic(2)
        table = f"{self.database}.{self.name}"
        self.server.ask(f"CREATE TABLE {table} (id String, name String, version UInt64, is_deleted UInt8{harness.PROVENANCE}) "
                        "ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id SETTINGS non_replicated_deduplication_window = 1000")
        self.addCleanup(self.drop, table)
        self.server.ask(f"SYSTEM STOP MERGES {table}")
        state, lines = {}, []
        for n in range(3_000):
            key = f"k{self.random.randrange(300)}"
            gone = key in state and self.random.random() < 0.4
            state.pop(key, None)
            if not gone:
                state[key] = f"n{n}"
            lines.append(json.dumps({"partition": int(key[1:]) % 2, "key": key,
                                     "value": None if gone else json.dumps({"name": state[key]})}))
        self.kit("produce", topic, "--stdin", text="\n".join(lines))
        self.run_until_end(topic, table, deletes="replacing", columns={"id": {"meta": "key"}})
        self.assertEqual({r["id"]: r["name"] for r in self.server.rows(f"SELECT id, name FROM {table} FINAL")}, state)
        self.versions_are_offsets(table)
        self.replacing_once(table)


if __name__ == "__main__":
    harness.main()
