"""The schema registry: who may ask it, over which connection, and what it learns while a plan is open."""

import base64
import json
import pathlib
import ssl
import subprocess

import clickhouse_client_test
import formats_test
import harness
from formats_test import text, varint

TIME_LIMIT_SECONDS = 300
AT_ONCE = 4

SCHEMA = json.dumps({"type": "record", "name": "R", "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": "string"}]})


def framed(i, schema=1):
    return b"\0" + schema.to_bytes(4, "big") + varint(i) + text(f"n{i}")


class Registry(harness.Scenario):
    def send(self, topic, values, partition=0):
        self.kit("produce", topic, "--stdin", text="\n".join(json.dumps(
            {"partition": partition, "key": "k", "value_base64": base64.b64encode(v).decode()}) for v in values))

    def test_tls_and_a_bearer_token(self):
        topic, table = self.topic(1), self.table(columns="id UInt64, name String")
        pem = clickhouse_client_test.make_certificate(pathlib.Path(self.dir))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(str(pem))
        registry = formats_test.Registry(self, {1: {"schema": SCHEMA}}, authorization="Bearer t0ken", tls=tls)
        self.send(topic, [framed(i) for i in range(50)])

        def at(name, **registry_section):
            return self.engine(topic, table, name=name, format="avro", top={"registry": {"url": registry.url, **registry_section}})

        # A certificate that nobody vouches for, then a token that the registry does not know: both wait, and say why.
        for name, words, section in (("untrusted", ("certificate", "SSL"), {"token": "t0ken"}),
                                     ("stranger", ("status 401",), {"token": "wr0ngsecret", "tls": {"ca": str(pem)}})):
            engine = at(name, **section)
            engine.says(*words, limit=60)
            self.assertIn("waiting for the schema registry", engine.reasons())
            harness.wait_until(lambda: engine.ready()[0] == 503 and "waits for the schema registry" in engine.ready()[2], 30,
                               lambda: f"it is not ready, and says why: {engine.ready()}")
            self.assertNotIn("wr0ngsecret", engine.log.read_text(), "no token in the log")
            self.assertEqual(engine.stop(), 0)
            self.assertEqual(self.found(table), 0)
        self.assertEqual(self.complaints(topic, table, registry, pem), 0)
        engine = at("right", token="t0ken", tls={"ca": str(pem)})
        self.arrived(table, 50, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, "--offsets-only", records=50, unverified=50)

    def test_what_needs_no_new_schema_goes_on_while_the_registry_is_away(self):
        partitions = 8
        topic, table = self.topic(partitions), self.table(columns="id UInt64, name String")
        registry = formats_test.Registry(self, {1: {"schema": SCHEMA}, 2: {"schema": SCHEMA}})
        engine = self.engine(topic, table, format="avro", top={"registry": {"url": registry.url}}, batch={"rows": 1000, "wait": "200ms"})
        for p in range(partitions):
            self.send(topic, [framed(i) for i in range(5)], p)
        self.arrived(table, 5 * partitions, 60, engine)
        registry.away = True
        self.send(topic, [framed(100, 2), framed(101)], 0)
        engine.says("waiting for the schema registry", limit=60)
        for p in range(partitions):
            self.send(topic, [framed(i) for i in range(200, 210)], p)
        self.arrived(table, 5 * partitions + 10 * (partitions - 1), 30, engine)
        self.assertEqual(self.found(table), 5 * partitions + 10 * (partitions - 1), "what came behind the one that waits waits, too")
        registry.away = False
        total = 15 * partitions + 2
        self.arrived(table, total, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, "--offsets-only", records=total, unverified=total)

    def test_one_schema_that_is_not_told_keeps_no_others_from_being_asked_for(self):
        class Partly(formats_test.Registry):
            broken = True

            def answer(self, path, headers):
                if self.broken and path.startswith("/schemas/ids/2"):
                    return 500, {"error_code": 50001, "message": "the store failed"}
                return super().answer(path, headers)

        partitions = 8
        topic, table = self.topic(partitions), self.table(columns="id UInt64, name String")
        # An id each: what one converter fetched all of them know.
        registry = Partly(self, {i: {"schema": SCHEMA} for i in (2, *range(10, 10 + partitions))})
        engine = self.engine(topic, table, format="avro", top={"registry": {"url": registry.url}}, batch={"rows": 1000, "wait": "200ms"})
        self.send(topic, [framed(100, 2)], 0)
        engine.says("waiting for the schema registry", limit=60)
        for p in range(1, partitions):
            self.send(topic, [framed(i, 10 + p) for i in range(10)], p)
        self.arrived(table, 10 * (partitions - 1), 60, engine)
        registry.broken = False
        self.arrived(table, 10 * (partitions - 1) + 1, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, "--offsets-only", records=10 * (partitions - 1) + 1, unverified=10 * (partitions - 1) + 1)

    def complaints(self, topic, table, registry, pem):
        """How often `chute check` names the registry."""
        file, _ = self.topology(topic, table, name="check", format="avro",
                                top={"registry": {"url": registry.url, "token": "t0ken", "tls": {"ca": str(pem)}}})
        out = subprocess.run([harness.CHUTE, "check", file], stdout=subprocess.PIPE, text=True, timeout=120).stdout
        return out.count("registry")

    def learned(self, fault):
        """The registry learns an id after a kill at `fault`, within a plan that holds a record of it."""
        topic, table = self.topic(1), self.table(columns="id UInt64, name String")
        registry = formats_test.Registry(self, {1: {"schema": SCHEMA}})
        values = [framed(i, 77 if i in (3, 30, 59) else 1) for i in range(60)]
        self.send(topic, values)
        form = {"format": "avro", "top": {"registry": {"url": registry.url}}, "batch": {"rows": 1000, "wait": "300ms"},
                "clickhouse": {"limits": {"insert": "3s", "lease": "3s", "confirm": "1s", "question": "2s"}}}
        file, port = self.topology(topic, table, name="killed", **form)
        killed = harness.Engine(self, file, name="killed", admin=port, env={"CHUTE_FAULT_POINT": fault})
        killed.wait(60)
        self.assertLess(killed.child.returncode, 0, f"{fault}: it was to be killed")
        registry.schemas[77] = {"schema": SCHEMA}
        engine = self.engine(topic, table, name="again", **form)
        self.arrived(table, 60, 90, engine)
        # Until the plan is done: what comes after it lands.
        self.send(topic, [framed(100, 77)])
        self.arrived(table, 61, 90, engine)
        self.assertEqual(engine.stop(), 0)
        figures = self.exact(topic, table, "--offsets-only", records=61, unverified=61)
        self.assertEqual(figures["rows"] + figures["dead_letters"], 61)
        return figures

    def test_an_id_is_learned_before_anything_landed(self):
        self.assertEqual(self.learned("before_insert")["dead_letters"], 0)

    def test_an_id_is_learned_after_the_rows_landed(self):
        self.assertEqual(self.learned("applied_not_acknowledged")["dead_letters"], 0)

    def test_an_id_is_learned_while_the_dead_letters_are_on_their_way(self):
        self.learned("in_dead_letter")

    def test_an_id_is_learned_after_all_landed(self):
        self.assertEqual(self.learned("acknowledged_not_saved")["dead_letters"], 3)


if __name__ == "__main__":
    harness.main()
