"""Fields that records did not have before become columns, while two processes read and are killed; no value is lost."""

import base64
import datetime
import http.client
import http.server
import json
import struct
import threading
import urllib.parse
import uuid

import harness
from harness import wait_until
from formats_test import Registry, text, varint

TIME_LIMIT_SECONDS = 420
BESIDE = True

LIMITS = {"lease": "1s", "insert": "2s", "confirm": "2s"}
TYPES = {"score": "Nullable(Float64)", "count": "Nullable(Int64)", "flag": "Nullable(Bool)", "note": "Nullable(String)",
         "tags": "Array(Nullable(String))"}


class Growing(harness.Scenario):
    def kill_one(self, engines, n, topic, table, settings):
        victim = n % 2
        engines[victim].kill()
        engines[victim] = self.engine(topic, table, name=f"again{n}", **settings)

    def drain(self, table, total, engines):
        self.arrived(table, total, 120, *engines)
        for e in engines:
            wait_until(e.status, 30, f"{e.name} is up, so that it can be asked to drain")
            self.assertEqual(e.stop(), 0)


class NewField(Growing):
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
                self.kill_one(engines, n, topic, table, settings)
        self.drain(table, total, engines)
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

    def test_names_that_are_data(self):
        """A key a record: columns end at 1,000, what is remembered of the others at 10,000; every record is there."""
        topic, table = self.topic(1), self.table(columns=harness.SMALL_COLUMNS)
        records = [{"id": i, "text": f"t{i}", **{f"order {i} {k}": k for k in range(100)}} for i in range(150)]
        engine = self.engine(topic, table, on_new_field="add_column", batch={"rows": 200, "wait": "50ms"})
        for first, last in (0, 20), (20, 120), (120, 140), (140, 150):
            self.send(topic, [{**r, "id": r["id"] * 4} for r in records[first:last]])  # all in partition 0
            self.arrived(table, last, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.assertEqual(engine.log.read_text().count("no more are looked at until the table's columns change"), 1)
        names = [r["name"] for r in self.server.rows(f"DESCRIBE TABLE {table}")]
        self.assertEqual(len(names), 1_000)
        self.assertEqual(self.server.number(f"SELECT uniqExact(id) FROM {table} WHERE text = concat('t', toString(intDiv(id, 4)))"), 150)

    def test_on_cluster(self):
        topic, table = self.topic(4), self.table(columns=harness.SMALL_COLUMNS)
        cluster = Cluster(self, "main one")
        records = [self.record(i, 700) for i in range(700)]
        self.send(topic, records)
        self.run_until_end(topic, table, url=cluster.url, on_new_field="add_column", clickhouse={"cluster": "main one"})
        self.judge(topic, table, records)
        self.assertTrue(cluster.said)
        database, name = table.split(".")
        for said in cluster.said:
            self.assertTrue(said.startswith(f"ALTER TABLE `{database}`.`{name}` ON CLUSTER `main one` ADD COLUMN IF NOT EXISTS `"), said)


class Cluster:
    """A face before the server which takes away `ON CLUSTER`: the embedded engine has no distributed DDL. It keeps the statements."""

    def __init__(self, scenario, name):
        cluster, self.said = self, []
        target, words = urllib.parse.urlsplit(scenario.server.url), f" ON CLUSTER `{name}`".encode()

        class Face(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def body(self):
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                whole = b""
                while size := int(self.rfile.readline(), 16):
                    whole += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return whole

            def do_POST(self):
                body = self.body()
                if words in body:
                    cluster.said.append(body.decode())
                left_out = ("host", "connection", "content-length", "transfer-encoding", "expect")
                headers = {k: v for k, v in self.headers.items() if k.lower() not in left_out}
                server = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
                server.request("POST", self.path, body.replace(words, b""), headers)
                reply = server.getresponse()
                answer = reply.read()
                self.send_response(reply.status)
                for k, v in reply.getheaders():
                    if k.lower() not in ("connection", "content-length", "transfer-encoding"):
                        self.send_header(k, v)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                server.close()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Face)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        scenario.addCleanup(server.server_close)
        scenario.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"


DAY, SECOND = datetime.date(1970, 1, 1), 1_714_566_600  # 2024-05-01 12:30:00
COLORS = ("red", "green")


def framed(schema, body):
    return b"\0" + schema.to_bytes(4, "big") + body


class Order:
    """A record; later ones have more than `id` and `text`, and each of these may have no value."""

    def __init__(self, i, grown):
        self.i, self.grown, self.scored = i, grown, i % 3 != 0

    def wanted(self, at, count):
        """What the table must hold of it, as `Schemas.shown` reads it; without the columns that the format does not have."""
        i, new = self.i, self.grown
        return {"id": i, "text": f"t{i}", "count": str(count) if new else None,
                "score": i + 0.5 if new and self.scored else None, "day": str(DAY + datetime.timedelta(days=i)) if new else None,
                "at": at if new else None, "who": str(uuid.UUID(int=i)) if new else None,
                "money": f"{i / 100:.2f}".rstrip("0").rstrip(".") if new else None,
                "tags": [f"a{n}" for n in range(i % 3)] if new else [], "city": f"c{i}" if new else None,
                "zip": str(i) if new else None, "color": COLORS[i % 2] if new else None}


class Avro:
    format = "avro"
    types = {"count": "Nullable(Int64)", "score": "Nullable(Float64)", "day": "Nullable(Date32)",
             "at": "Nullable(DateTime64(6, 'UTC'))", "who": "Nullable(UUID)", "money": "Nullable(Decimal(38, 2))",
             "tags": "Array(Nullable(String))", "place": "JSON", "color": "Nullable(String)"}
    old = [{"name": "id", "type": "long"}, {"name": "text", "type": "string"}]
    new = [{"name": "count", "type": "long"}, {"name": "score", "type": ["null", "double"]},
           {"name": "day", "type": {"type": "int", "logicalType": "date"}},
           {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
           {"name": "who", "type": {"type": "string", "logicalType": "uuid"}},
           {"name": "money", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
           {"name": "tags", "type": {"type": "array", "items": "string"}},
           {"name": "place", "type": {"type": "record", "name": "Place", "fields": [
               {"name": "city", "type": "string"}, {"name": "zip", "type": "int"}]}},
           {"name": "color", "type": {"type": "enum", "name": "Color", "symbols": list(COLORS)}}]
    schemas = {1: {"schema": json.dumps({"type": "record", "name": "R", "fields": old})},
               2: {"schema": json.dumps({"type": "record", "name": "R", "fields": old + new})}}

    @staticmethod
    def write(o):
        i = o.i
        out = varint(i) + text(f"t{i}")
        if not o.grown:
            return framed(1, out)
        money = i.to_bytes(4, "big")
        out += varint(i * 7) + (varint(1) + struct.pack("<d", i + 0.5) if o.scored else varint(0)) + varint(i)
        out += varint((SECOND + i) * 1_000_000 + 250_000) + text(str(uuid.UUID(int=i))) + varint(len(money)) + money
        tags = [text(f"a{n}") for n in range(i % 3)]
        out += (varint(len(tags)) + b"".join(tags) if tags else b"") + varint(0)
        return framed(2, out + text(f"c{i}") + varint(i) + varint(i % 2))

    @staticmethod
    def wanted(o):
        return o.wanted(at(o.i, "250000"), o.i * 7)


class Protobuf:
    format = "protobuf"
    types = {"count": "Nullable(UInt64)", "score": "Nullable(Float64)", "at": "Nullable(DateTime64(9, 'UTC'))",
             "tags": "Array(Nullable(String))", "place": "JSON", "color": "Nullable(String)"}
    old = 'syntax = "proto3"; import "google/protobuf/timestamp.proto"; message R { uint64 id = 1; string text = 2; %s }'
    new = """uint64 count = 3; optional double score = 4; google.protobuf.Timestamp at = 5; repeated string tags = 6;
             message Place { string city = 1; int32 zip = 2; } Place place = 7; enum Color { red = 0; green = 1; } optional Color color = 8;"""
    schemas = {1: {"schemaType": "PROTOBUF", "schema": old % ""}, 2: {"schemaType": "PROTOBUF", "schema": old % new}}

    @staticmethod
    def write(o):
        def number(n):
            out = b""
            while n >= 0x80:
                out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
            return out + bytes([n])

        def bytes_of(field, content):
            content = content.encode() if isinstance(content, str) else content
            return number(field << 3 | 2) + number(len(content)) + content

        i = o.i
        out = b"\x08" + number(i) + bytes_of(2, f"t{i}")
        if not o.grown:
            return framed(1, b"\0" + out)
        out += b"\x18" + number(i * 7 + 2**63) + (b"\x21" + struct.pack("<d", i + 0.5) if o.scored else b"")
        nanos = Protobuf.nanos(o)
        out += bytes_of(5, b"\x08" + number(SECOND + i) + (b"\x10" + number(nanos) if nanos else b""))
        out += b"".join(bytes_of(6, f"a{n}") for n in range(i % 3))
        return framed(2, b"\0" + out + bytes_of(7, bytes_of(1, f"c{i}") + b"\x10" + number(i)) + b"\x40" + number(i % 2))

    @staticmethod
    def nanos(o):
        """The first ones are whole seconds: the schema tells that finer ones may come, the values do not."""
        return 123_456_789 if o.i >= 1_500 else 0

    @staticmethod
    def wanted(o):
        all_ = o.wanted(at(o.i, f"{Protobuf.nanos(o):09}"), o.i * 7 + 2**63)
        return {k: v for k, v in all_.items() if k not in ("day", "who", "money")}


class ConnectJson:
    format = "connect_json"
    types = {"count": "Nullable(Int64)", "score": "Nullable(Float64)", "day": "Nullable(Date32)",
             "at": "Nullable(DateTime64(3, 'UTC'))", "who": "Nullable(UUID)", "money": "Nullable(Decimal(38, 2))",
             "tags": "Array(Nullable(String))", "place": "JSON", "color": "Nullable(String)"}
    schemas = None
    old = [{"field": "id", "type": "int64"}, {"field": "text", "type": "string"}]
    new = [{"field": "count", "type": "int64"}, {"field": "score", "type": "double", "optional": True},
           {"field": "day", "type": "int32", "name": "org.apache.kafka.connect.data.Date"},
           {"field": "at", "type": "int64", "name": "org.apache.kafka.connect.data.Timestamp"},
           {"field": "who", "type": "string", "name": "io.debezium.data.Uuid"},
           {"field": "money", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}},
           {"field": "tags", "type": "array", "items": {"type": "string"}},
           {"field": "place", "type": "struct", "fields": [{"field": "city", "type": "string"}, {"field": "zip", "type": "int32"}]},
           {"field": "color", "type": "string", "name": "io.debezium.data.Enum"}]

    @staticmethod
    def write(o):
        i = o.i
        payload = {"id": i, "text": f"t{i}"}
        if o.grown:
            payload |= {"count": i * 7, "score": i + 0.5 if o.scored else None, "day": i, "at": (SECOND + i) * 1_000 + 250,
                        "who": str(uuid.UUID(int=i)), "money": base64.b64encode(i.to_bytes(4, "big")).decode(),
                        "tags": [f"a{n}" for n in range(i % 3)], "place": {"city": f"c{i}", "zip": i}, "color": COLORS[i % 2]}
        fields = ConnectJson.old + (ConnectJson.new if o.grown else [])
        return json.dumps({"schema": {"type": "struct", "fields": fields}, "payload": payload}).encode()

    @staticmethod
    def wanted(o):
        return o.wanted(at(o.i, "250"), o.i * 7)


def at(i, fraction):
    return f"{datetime.datetime.fromtimestamp(SECOND + i, datetime.timezone.utc):%Y-%m-%d %H:%M:%S}.{fraction}"


class NewFieldOfSchemas(Growing):
    """Formats whose schemas tell types: the columns are what the schema says, whatever the first values are like."""

    shown = {"count": "toString(count) AS count", "score": "score", "day": "toString(day) AS day", "at": "toString(at) AS at",
             "who": "toString(who) AS who", "money": "toString(money) AS money", "tags": "tags",
             "place": "place.city.:String AS city, toString(place.zip.:Int64) AS zip", "color": "color"}

    def send(self, topic, form, orders):
        self.kit("produce", topic, "--stdin", text="\n".join(json.dumps(
            {"partition": o.i % 4, "key": "k", "value_base64": base64.b64encode(form.write(o)).decode()}) for o in orders))

    def grows(self, form, processes, kills):
        topic, table = self.topic(4), self.table(columns=harness.SMALL_COLUMNS)
        # Fewer rows than a chunk has: a batch is planned at once, so that records which did not wait for their column would be seen.
        settings = {"format": form.format, "on_new_field": "add_column", "batch": {"rows": 50, "wait": "50ms"},
                    "clickhouse": {"limits": LIMITS}}
        if form.schemas:
            settings["top"] = {"registry": {"url": Registry(self, form.schemas).url}}
        total, steps = 4_000, 8
        orders = [Order(i, i >= total // steps and self.random.random() < 0.8) for i in range(total)]
        engines = [self.engine(topic, table, name=f"first{n}", **settings) for n in range(processes)]
        step = total // steps
        for n in range(steps):
            self.send(topic, form, orders[n * step:(n + 1) * step])
            if n == 0:
                self.arrived(table, step, 90, *engines)  # all run, and know the table without the columns
            if n % 3 == 1 and kills:
                self.arrived(table, n * step + 1, 60)  # while these land
                self.kill_one(engines, n, topic, table, settings)
        self.drain(table, total, engines)
        errors = self.server.rows(f"SELECT error, count() AS n FROM {self.dead_letters} WHERE pipeline = '{self.name}' GROUP BY error")
        self.assertEqual(errors, [])
        types = {r["name"]: r["type"] for r in self.server.rows(f"DESCRIBE TABLE {table}")}
        self.assertEqual({k: types.get(k) for k in form.types}, form.types)
        columns = ", ".join(self.shown[c] for c in form.types)
        rows = self.server.rows(f"SELECT toUInt32({table}.id) AS id, text, {columns} FROM {table} ORDER BY id")
        self.assertEqual(len(rows), total)
        for row, o in zip(rows, orders):
            self.assertEqual(row, form.wanted(o))
        self.exact(topic, table, "--offsets-only", records=total, unverified=total)

    def test_avro_by_two_processes_and_kills(self):
        self.grows(Avro, 2, True)

    def test_protobuf_by_two_processes_and_kills(self):
        self.grows(Protobuf, 2, True)

    def test_connect_json(self):
        self.grows(ConnectJson, 1, False)


if __name__ == "__main__":
    harness.main()
