"""Formats beyond JSON, from Kafka to the table; schemas by ids from a registry that is away at first."""

import base64
import collections
import http.server
import json
import threading

import harness

BESIDE = True


class Registry:
    """Answers as Confluent's schema registry does; a thread of this test."""

    def __init__(self, scenario, schemas, subjects=None, authorization=None, tls=None):
        self.schemas, self.subjects, self.authorization = schemas, subjects or {}, authorization
        self.away, self.asked = False, collections.Counter()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                status, body = registry.answer(self.path, self.headers)
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if tls:  # an ssl.SSLContext
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def end():
            server.shutdown()
            server.server_close()
            thread.join(10)

        scenario.addCleanup(end)
        self.url = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{server.server_port}"

    def answer(self, path, headers):
        path = path.split("?")[0]
        self.asked[path] += 1
        if self.away:
            return 503, {"error_code": 50301, "message": "away"}
        if self.authorization and headers.get("Authorization") != self.authorization:
            return 401, {"error_code": 40101, "message": "Unauthorized"}
        if path == "/subjects":
            return 200, sorted({name for name, _ in self.subjects})
        parts = path.strip("/").split("/")
        if parts[:2] == ["schemas", "ids"]:
            found = self.schemas.get(int(parts[2]))
            return (200, found) if found else (404, {"error_code": 40403, "message": f"Schema {parts[2]} not found"})
        found = self.subjects.get((parts[1], int(parts[3]))) if parts[0] == "subjects" else None
        return (200, found) if found else (404, {"error_code": 40401, "message": "Subject not found."})


def varint(n):
    """Avro's int and long."""
    n = (n << 1) ^ (n >> 63)
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def text(s):
    return varint(len(s.encode())) + s.encode()


class Formats(harness.Scenario):
    def send(self, topic, values):
        self.kit("produce", topic, "--stdin", text="\n".join(
            json.dumps({"partition": 0, "key": "k", "value_base64": base64.b64encode(v).decode()}) for v in values))

    def rows(self, table, columns):
        return [list(r.values()) for r in self.server.rows(f"SELECT {columns} FROM {table} ORDER BY _offset")]

    def errors(self):
        return [r["error"] for r in self.server.rows(
            f"SELECT error FROM {self.dead_letters} WHERE pipeline = '{self.name}' ORDER BY offset")]

    def test_csv(self):
        topic = self.topic(1)
        table = self.table(columns="id UInt32, name String, price Nullable(Decimal(9, 2)), tags Array(String)")
        self.send(topic, [b"id;name;price;tags", b'1;"a; ""b""";2.50;"[""x"",""y""]"', b"2;c;\\N;[]\r\n", b"3;d", b"x;e;1;[]"])
        self.run_until_end(topic, table, format="csv",
                           csv={"delimiter": ";", "header": "skip", "fields": ["id", "name", "price", "tags"]})
        self.assertEqual(self.rows(table, "id, name, toString(price) AS p, tags"),
                         [[1, 'a; "b"', "2.5", ["x", "y"]], [2, "c", None, []]])
        self.assertEqual(self.errors(), ["the line has 2 fields, 4 are expected",
                                         "field 'id' for column 'id' (UInt32) is not such a value"])

    def test_strings_and_truths_in_a_json_column_stay_what_they_are(self):
        """ClickHouse would take a string for a date, and a string of digits beside it for seconds since 1970."""
        values = [{"v": "2024-05-01 12:00:00"}, {"v": "123456"}, {"v": "1"}, {"v": "2024-05-01T12:00:00+02:00"},
                  {"v": "2024-05-01"}, {"v": ["2024-05-01", "7"]}, {"v": [1, True, 1.5]}]
        for encoding in ("native", "row_binary", "json_each_row"):
            with self.subTest(encoding):
                topic = self.topic(1, "_" + encoding)
                table = self.table(columns="j JSON", suffix="_" + encoding)
                self.send(topic, [json.dumps({"j": v}).encode() for v in values])
                self.run_until_end(topic, table, encoding=encoding)
                self.assertEqual([json.loads(r[0]) for r in self.rows(table, "toString(j)")], values)

    def test_connect_json(self):
        topic = self.topic(1)
        table = self.table(columns="id Int64, amount Decimal(12, 2), at DateTime64(3, 'UTC'), day Date32, op LowCardinality(String)")
        inner = {"type": "struct", "optional": True, "fields": [
            {"field": "id", "type": "int64"},
            {"field": "amount", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}},
            {"field": "at", "type": "int64", "name": "org.apache.kafka.connect.data.Timestamp"},
            {"field": "day", "type": "int32", "name": "io.debezium.time.Date"}]}
        schema = {"type": "struct", "fields": [{"field": "after", **inner}, {"field": "op", "type": "string"}]}
        after = {"id": 7, "amount": "MDk=", "at": 1714566600250, "day": -1}
        self.send(topic, [json.dumps({"schema": schema, "payload": {"after": after, "op": "c"}}).encode(), b'{"schema": 1}'])
        self.run_until_end(topic, table, format="connect_json",
                           columns={c: f"after.{c}" for c in ("id", "amount", "at", "day")})
        self.assertEqual(self.rows(table, "id, toString(amount) AS a, toString(at) AS t, toString(day) AS d, op"),
                         [[7, "123.45", "2024-05-01 12:30:00.250", "1969-12-31", "c"]])
        self.assertEqual(len(self.errors()), 1)

    def test_avro_by_ids_from_a_registry_that_is_away_at_first(self):
        topic = self.topic(3)
        table = self.table(columns="id UInt64, name String, extra Nullable(Int32), money Nullable(Decimal(9, 2))")
        money = {"type": "record", "namespace": "shop", "name": "Money", "fields": [
            {"name": "v", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}]}
        v1 = {"type": "record", "name": "R", "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": "string"}]}
        v2 = {**v1, "fields": v1["fields"] + [{"name": "extra", "type": ["null", "int"]}, {"name": "m", "type": "shop.Money"}]}
        registry = Registry(self, {
            1: {"schema": json.dumps(v1)},
            2: {"schema": json.dumps(v2), "references": [{"name": "shop.Money", "subject": "shop.Money", "version": 1}]}},
            {("shop.Money", 1): {"subject": "shop.Money", "version": 1, "id": 9, "schema": json.dumps(money)}},
            authorization="Basic " + base64.b64encode(b"me:s3cret").decode())
        registry.away = True

        def framed(schema, body):
            return b"\0" + schema.to_bytes(4, "big") + body

        count = 600
        values = []
        for i in range(count):
            body = varint(i) + text(f"n{i}")
            values.append(framed(1, body) if i % 2 else framed(2, body + varint(1) + varint(-i) + varint(2) + b"\x01\x00"))
        values += [framed(77, b"\0"), framed(1, varint(5))]
        self.kit("produce", topic, "--stdin", text="\n".join(
            json.dumps({"partition": i % 3, "key": "k", "value_base64": base64.b64encode(v).decode()})
            for i, v in enumerate(values)))
        engine = self.engine(topic, table, format="avro", columns={"money": "m.v"},
                             top={"registry": {"url": registry.url, "user": "me", "password": "s3cret"}})
        engine.says("waiting for the schema registry", limit=60)
        self.assertEqual(self.found(table), 0, "nothing lands, and nothing is lost")
        registry.away = False
        self.arrived(table, len(values), 90, engine)
        engine.stop()
        self.assertEqual(self.rows(f"(SELECT count() AS n, sum(id) AS i, sum(extra) AS e, sum(money) AS m, 0 AS _offset FROM {table})",
                                   "toUInt32(n), toUInt32(i), toInt32(e), toFloat64(m)"),
                         [[count, sum(range(count)), -sum(range(0, count, 2)), count // 2 * 2.56]])
        once = self.server.rows(f"SELECT uniqExact(id) AS ids, uniqExact(_partition, _offset) AS places, countIf(name != concat('n', toString(id))) "
                                f"AS wrong FROM {table}")[0]
        self.assertEqual({k: int(v) for k, v in once.items()}, {"ids": count, "places": count, "wrong": 0})
        self.assertEqual(sorted(self.errors()), ["the schema of id 77 is not known to the registry", "the value ends too early"])

    def test_keys_of_their_own_format(self):
        topic, table = self.topic(2), self.table(columns="id UInt64, customer UInt32, region LowCardinality(String) DEFAULT 'none'")
        key = {"type": "record", "name": "K", "fields": [{"name": "customer", "type": "int"}, {"name": "region", "type": "string"}]}
        registry = Registry(self, {5: {"schema": json.dumps(key)}})

        def framed(body, schema=5):
            return b"\0" + schema.to_bytes(4, "big") + body

        count = 400
        records = [(framed(varint(i) + text(f"r{i % 3}")), b'{"id": %d}' % i) for i in range(count)]
        records += [(None, b'{"id": 1000}'), (b"no key", b'{"id": 1}'), (framed(b"", 6), b'{"id": 2}'), (framed(varint(1) + text("x")), b"{")]

        def encoded(v):
            return None if v is None else base64.b64encode(v).decode()

        self.kit("produce", topic, "--stdin", text="\n".join(json.dumps(
            {"partition": i % 2, "value_base64": encoded(v), **({"key_base64": encoded(k)} if k is not None else {})})
            for i, (k, v) in enumerate(records)))
        self.run_until_end(topic, table, key="avro", top={"registry": {"url": registry.url}},
                           columns={"customer": {"key": "customer"}, "region": {"key": "region"}})
        self.assertEqual(self.rows(f"(SELECT *, id AS _offset FROM {table})", "toUInt32(id) AS i, customer, region"),
                         [[i, i, f"r{i % 3}"] for i in range(count)] + [[1000, 0, "none"]])
        errors = sorted(self.errors())
        self.assertEqual(errors[:2], ["the key: the schema of id 6 is not known to the registry",
                                      "the key: the value does not begin with a zero byte and a schema's id"])
        self.assertEqual(len(errors), 3)


if __name__ == "__main__":
    harness.main()
