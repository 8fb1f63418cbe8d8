#!/usr/bin/env python3
"""Writes evolution_fixtures.hpp: records of a topic whose schema changes on the way, as Confluent's serializers make them.

Needs confluent-kafka[avro,json,protobuf] and grpcio-tools (pip, into a virtual environment); the tests only need what it wrote.
"""
import importlib
import json
import pathlib
import subprocess
import sys
import tempfile

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

WHERE = SerializationContext("orders", MessageField.VALUE)


def order(*fields):
    return {"type": "record", "name": "Order", "fields": list(fields)}


ID, LONG_ID = {"name": "id", "type": "int"}, {"name": "id", "type": "long"}
NOTE = {"name": "note", "type": ["null", "string"], "default": None}
AVRO = [
    (order(ID, {"name": "client", "type": "string"}), {"id": 1, "client": "ann"}),
    # A field with a default, and a wider type.
    (order(LONG_ID, {"name": "client", "type": "string"}, NOTE), {"id": 2**40, "client": "bob", "note": "gift"}),
    # A field renamed, with its alias; a union widened.
    (order(LONG_ID, {"name": "customer", "type": "string", "aliases": ["client"]},
           {**NOTE, "type": ["null", "string", "long"]}), {"id": 3, "customer": "cleo", "note": 7}),
    # A field removed.
    (order(LONG_ID, {"name": "customer", "type": "string", "aliases": ["client"]}), {"id": 4, "customer": "dora"}),
]
READER = order(LONG_ID, {"name": "customer", "type": "string", "aliases": ["client"]},
               {"name": "note", "type": ["string", "null", "long"], "default": "none"})
PROTO = [
    ("message Order { int32 id = 1; string customer = 2; }", {"id": 1, "customer": "ann"}),
    ("message Order { int64 id = 1; string customer = 2; optional string note = 3; repeated string tags = 4; }",
     {"id": 2**40, "customer": "bob", "note": "gift", "tags": ["a", "b"]}),
    ("message Order { reserved 2; int64 id = 1; optional string note = 3; message Who { string name = 1; } Who who = 5; }",
     {"id": 3, "note": "", "who": {"name": "cleo"}}),
]
JSON = [
    ({"id": {"type": "integer"}, "customer": {"type": "string"}}, {"id": 1, "customer": "ann"}),
    ({"id": {"type": "integer"}, "customer": {"type": "string"}, "note": {"type": "string"}},
     {"id": 2**40, "customer": "bob", "note": "gift"}),
]


def client():
    return SchemaRegistryClient.new_client({"url": "mock://"})


def found(registry, framed):
    id_ = int.from_bytes(framed[1:5], "big")
    return id_, registry.get_schema(id_).schema_str, framed


def avro():
    registry = client()
    for schema, value in AVRO:
        yield found(registry, AvroSerializer(registry, json.dumps(schema))(value, WHERE))


def protobuf():
    registry = client()
    with tempfile.TemporaryDirectory() as at:
        sys.path.insert(0, at)
        for n, (text, value) in enumerate(PROTO, 1):
            # Python holds all versions at once, so that each needs a package of its own.
            pathlib.Path(at, f"v{n}.proto").write_text(f'syntax = "proto3"; package v{n}; {text}')
            subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{at}", f"--python_out={at}", f"{at}/v{n}.proto"], check=True)
            message = importlib.import_module(f"v{n}_pb2").Order(**value)
            yield found(registry, ProtobufSerializer(type(message), registry, {"use.deprecated.format": False})(message, WHERE))


def json_schema():
    registry = client()
    for properties, value in JSON:
        schema = json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "title": "Order", "type": "object",
                             "properties": properties})
        yield found(registry, JSONSerializer(schema, registry)(value, WHERE))


def quote(text):
    return 'R"~(' + text + ')~"'


def main():
    lines = ["// Written by make_evolution.py; not to be edited.", "#pragma once", "", "#include <cstdint>", "",
             "namespace chute::test {", "", "// clang-format off", "struct evolution_fixture {", "  std::uint32_t id;",
             "  const char *schema, *hex;", "};"]
    for name, fixtures in [("avro", avro()), ("protobuf", protobuf()), ("json", json_schema())]:
        lines.append(f"inline constexpr evolution_fixture {name}_evolution[] = {{")
        lines += [f'    {{{id_}, {quote(schema)}, "{framed.hex()}"}},' for id_, schema, framed in fixtures]
        lines.append("};")
    lines += [f"inline constexpr const char* avro_evolution_reader = {quote(json.dumps(READER))};", "// clang-format on", "",
              "} // namespace chute::test"]
    pathlib.Path(__file__).with_name("evolution_fixtures.hpp").write_text("\n".join(lines) + "\n")


main()
