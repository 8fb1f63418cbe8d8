#!/usr/bin/env python3
"""Writes avro_fixtures.hpp: records as genuine writers make them.

Needs fastavro and confluent-kafka[avro] (pip, into a virtual environment); the tests only need what it wrote.
"""
import datetime
import decimal
import io
import json
import pathlib
import uuid

import fastavro
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

UTC = datetime.timezone.utc


def binary(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), value)
    return out.getvalue()


def record(name, fields, **more):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields], **more}


def logical(base, name, **more):
    return {"type": base, "logicalType": name, **more}


PLAIN = record("Plain", [
    ("b", "boolean"), ("i", "int"), ("l", "long"), ("f", "float"), ("d", "double"), ("y", "bytes"), ("s", "string"),
    ("e", {"type": "enum", "name": "Suit", "symbols": ["SPADES", "HEARTS"]}),
    ("x", {"type": "fixed", "name": "Four", "size": 4}),
    ("a", {"type": "array", "items": "int"}), ("m", {"type": "map", "values": "long"}),
    ("n", ["null", "string"]), ("r", record("Inner", [("p", "int"), ("q", ["null", "double"])]))],
    namespace="shop.test")
LOGICAL = record("Logical", [
    ("dec", logical("bytes", "decimal", precision=12, scale=2)),
    ("fix", {"type": "fixed", "name": "F", "size": 8, "logicalType": "decimal", "precision": 12, "scale": 3}),
    ("u", logical("string", "uuid")), ("day", logical("int", "date")),
    ("tm", logical("int", "time-millis")), ("tu", logical("long", "time-micros")),
    ("sm", logical("long", "timestamp-millis")), ("su", logical("long", "timestamp-micros")),
    ("lm", logical("long", "local-timestamp-millis")), ("lu", logical("long", "local-timestamp-micros"))])
NANOS = record("Nanos", [
    ("sn", logical("long", "timestamp-nanos")), ("ln", logical("long", "local-timestamp-nanos")),
    ("span", {"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}),
    ("odd", logical("string", "never-heard-of"))])
UNION = record("Union", [("v", ["null", "long", "string", "boolean", {"type": "array", "items": "double"}])])
V1 = record("Order", [("id", "long"), ("client", "string")])
V2 = {"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": "long"},
    {"name": "customer", "type": "string", "aliases": ["client"]},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["none"]},
    {"name": "price", "type": logical("bytes", "decimal", precision=9, scale=2), "default": "\u0001\u0000"},
    {"name": "note", "type": ["null", "string"], "default": None},
    {"name": "size", "type": record("Size", [("w", "int"), ("h", "int")]), "default": {"w": 3, "h": 4}}]}

moment = datetime.datetime(2024, 5, 1, 12, 30, 0, 250000, tzinfo=UTC)
VALUES = [
    ("plain", PLAIN, {"b": True, "i": -2147483648, "l": 9223372036854775807, "f": 0.5, "d": -1e300, "y": b"\x00\xff",
                      "s": "tea \u00e9", "e": "HEARTS", "x": b"abcd", "a": [1, -2, 3], "m": {"k": 7}, "n": None,
                      "r": {"p": 5, "q": 2.5}}),
    ("plain2", PLAIN, {"b": False, "i": 0, "l": -1, "f": 0.0, "d": 0.0, "y": b"", "s": "", "e": "SPADES", "x": b"\0" * 4,
                       "a": [], "m": {}, "n": "here", "r": {"p": 0, "q": None}}),
    ("logical", LOGICAL, {"dec": decimal.Decimal("-123.45"), "fix": decimal.Decimal("1.500"),
                          "u": uuid.UUID("12345678-9abc-def0-0102-030405060708"), "day": datetime.date(2024, 5, 1),
                          "tm": datetime.time(12, 30, 0, 250000), "tu": datetime.time(12, 30, 0, 250001),
                          "sm": moment, "su": moment, "lm": moment.replace(tzinfo=None),
                          "lu": moment.replace(tzinfo=None)}),
    ("nanos", NANOS, {"sn": 1714566600250000001, "ln": 1714566600250000002,
                      "span": bytes([1, 0, 0, 0, 2, 0, 0, 0, 0xb8, 0x0b, 0, 0]), "odd": "kept"}),
    ("union0", UNION, {"v": None}), ("union1", UNION, {"v": 300}), ("union2", UNION, {"v": "x"}),
    ("union3", UNION, {"v": True}), ("union4", UNION, {"v": [1.5, 2.0]}),
    ("v1", V1, {"id": 1, "client": "ann"}),
    ("v2", V2, {"id": 2, "customer": "bob", "tags": ["a", "b"], "price": decimal.Decimal("9.99"), "note": "n",
                "size": {"w": 1, "h": 2}}),
]


def confluent():
    """Through Confluent's own serializer; the registry is its mock."""
    registry = SchemaRegistryClient.new_client({"url": "mock://"})
    where = SerializationContext("orders", MessageField.VALUE)
    for schema, value in [(V1, {"id": 1, "client": "ann"}), (V2, VALUES[-1][2])]:
        framed = AvroSerializer(registry, json.dumps(schema))(value, where)
        found = registry.get_schema(int.from_bytes(framed[1:5], "big"))
        yield int.from_bytes(framed[1:5], "big"), found.schema_str, framed


def quote(text):
    return 'R"~(' + text + ')~"'


def main():
    lines = ["// Written by make_avro.py; not to be edited.", "#pragma once", "", "#include <cstdint>", "",
             "namespace chute::test {", "", "// clang-format off", "struct avro_fixture {",
             "  const char *name, *schema, *hex, *canonical;", "  std::uint64_t fingerprint;", "};",
             "inline constexpr avro_fixture avro_fixtures[] = {"]
    for name, schema, value in VALUES:
        text = json.dumps(schema)
        canonical = fastavro.schema.to_parsing_canonical_form(json.loads(text))
        print_ = fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")
        number = int.from_bytes(bytes.fromhex(print_), "little")
        lines.append(f'    {{"{name}", {quote(text)}, "{binary(schema, value).hex()}",\n     {quote(canonical)}, {number}ull}},')
    lines += ["};", "", "struct confluent_fixture {", "  std::uint32_t id;", "  const char *schema, *hex;", "};",
              "inline constexpr confluent_fixture confluent_avro_fixtures[] = {"]
    for id_, schema, framed in confluent():
        lines.append(f'    {{{id_}, {quote(schema)}, "{framed.hex()}"}},')
    lines += ["};", f"inline constexpr const char* avro_reader_schema = {quote(json.dumps(V2))};", "// clang-format on", "",
              "} // namespace chute::test"]
    pathlib.Path(__file__).with_name("avro_fixtures.hpp").write_text("\n".join(lines) + "\n")


main()
