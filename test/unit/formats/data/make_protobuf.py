#!/usr/bin/env python3
"""Writes protobuf_fixtures.hpp: messages as genuine writers make them.

Needs protobuf, grpcio-tools and confluent-kafka[protobuf] (pip, into a virtual environment); the tests only need what it
wrote.
"""
import importlib
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent

PLAIN = """syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/any.proto";
enum Suit { SPADES = 0; HEARTS = 5; }
message Inner { int32 p = 1; optional double q = 2; }
message Plain {
  int32 i32 = 1; int64 i64 = 2; uint32 u32 = 3; uint64 u64 = 4; sint32 s32 = 5; sint64 s64 = 6;
  fixed32 f32 = 7; fixed64 f64 = 8; sfixed32 sf32 = 9; sfixed64 sf64 = 10;
  float fl = 11; double db = 12; bool bo = 13; string st = 14; bytes by = 15; Suit suit = 16;
  repeated int32 many = 17; repeated string words = 18; repeated Inner inners = 19; repeated sint64 loose = 20 [packed = false];
  map<string, int32> counts = 21; map<int32, Inner> by_number = 22; map<bool, string> flags = 23;
  Inner inner = 24; optional int32 maybe = 25;
  oneof choice { string left = 26; int32 right = 27; }
  message Nested { int32 x = 1; message Deep { string y = 1; } Deep deep = 2; }
  Nested nested = 28;
  Plain self = 29;
}
message Known {
  google.protobuf.Timestamp ts = 1; google.protobuf.Duration du = 2;
  google.protobuf.Int64Value i = 3; google.protobuf.StringValue s = 4; google.protobuf.BoolValue b = 5;
  google.protobuf.Struct st = 6; google.protobuf.Value v = 7; google.protobuf.ListValue l = 8;
  google.protobuf.Any any = 9; int32 id = 10;
}
"""
OLD = """syntax = "proto2";
package old;
message Old {
  required int32 id = 1;
  optional string name = 2 [default = "nobody"];
  optional int32 age = 3;
  repeated group Item = 4 { optional string what = 1; optional int32 count = 2; }
  optional bool yes = 5 [default = true];
}
"""
PARTS = """syntax = "proto3";
package parts;
message Money { int64 cents = 1; }
"""
WHOLE = """syntax = "proto3";
package whole;
import "parts.proto";
message First { int32 a = 1; }
message Second { message Third { parts.Money m = 1; string t = 2; } int32 b = 1; }
"""


def quote(text):
    return 'R"~(' + text + ')~"'


def main():
    with tempfile.TemporaryDirectory() as at:
        at = pathlib.Path(at)
        for name, text in [("plain", PLAIN), ("old", OLD), ("parts", PARTS), ("whole", WHOLE)]:
            (at / f"{name}.proto").write_text(text)
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{at}", f"--python_out={at}", f"--descriptor_set_out={at}/set",
                        "--include_imports", *[str(p) for p in at.glob("*.proto")]], check=True)
        sys.path.insert(0, str(at))
        plain, old, whole = (importlib.import_module(f"{m}_pb2") for m in ("plain", "old", "whole"))
        parts = importlib.import_module("parts_pb2")
        values = messages(plain, old)
        framed = list(confluent(plain, whole, parts))
        only = subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{at}", f"--descriptor_set_out=/dev/stdout",
                               "--include_imports", str(at / "whole.proto")], check=True, capture_output=True).stdout
    lines = ["// Written by make_protobuf.py; not to be edited.", "#pragma once", "", "#include <cstdint>", "",
             "namespace chute::test {", "", "// clang-format off",
             f"inline constexpr const char* proto_plain = {quote(PLAIN)};",
             f"inline constexpr const char* proto_old = {quote(OLD)};",
             f'inline constexpr const char* proto_whole_set = "{only.hex()}";',
             "struct protobuf_fixture {", "  const char *name, *hex;", "};",
             "inline constexpr protobuf_fixture protobuf_fixtures[] = {"]
    lines += [f'    {{"{n}", "{m.SerializeToString(deterministic=True).hex()}"}},' for n, m in values]
    lines += ["};", "// Schemas as the serializer registered them; of the references, the names and ids.",
              "struct confluent_schema {", "  std::uint32_t id;", "  const char *text, *reference;", "  std::uint32_t referred;", "};",
              "inline constexpr confluent_schema confluent_proto_schemas[] = {"]
    schemas, records = framed
    lines += [f'    {{{i}, {quote(t)}, "{r}", {n}}},' for i, t, r, n in schemas]
    lines += ["};", "inline constexpr const char* confluent_proto_records[] = {"]
    lines += [f'    "{r.hex()}",' for r in records]
    lines += ["};", "// clang-format on", "", "} // namespace chute::test"]
    (HERE / "protobuf_fixtures.hpp").write_text("\n".join(lines) + "\n")


def messages(plain, old):
    P, K = plain.Plain, plain.Known
    full = P(i32=-5, i64=-(2**63), u32=2**32 - 1, u64=2**64 - 1, s32=-(2**31), s64=2**63 - 1, f32=7, f64=2**64 - 1, sf32=-7,
             sf64=-(2**63), fl=0.5, db=-1e300, bo=True, st="tea \u00e9", by=b"\x00\xff", suit="HEARTS", many=[1, -2, 300],
             words=["a", "", "b"], inners=[plain.Inner(p=1), plain.Inner(q=0.0)], loose=[-1, 1], counts={"a": 1, "b": 2},
             by_number={-3: plain.Inner(p=9)}, flags={True: "yes"}, inner=plain.Inner(p=4), maybe=0, right=0,
             nested=P.Nested(x=1, deep=P.Nested.Deep(y="deep")), self=P(i32=1, self=P(i32=2)))
    known = K(id=1)
    known.ts.FromJsonString("2024-05-01T12:30:00.250Z")
    known.du.FromJsonString("-1.5s")
    known.i.value = 0
    known.s.value = "s"
    known.st.update({"a": 1.5, "b": [True, None, "x"], "c": {"d": "e"}})
    known.v.string_value = "v"
    known.l.extend([1.0, "z"])
    any_ = K(id=2)
    any_.any.Pack(plain.Inner(p=1))
    o = old.Old(id=3, age=4)
    o.item.add(what="x", count=2)
    o.item.add(what="y")
    odd = P()
    odd.suit = 9
    return [("full", full), ("empty", P()), ("known", known), ("known_empty", K()), ("any", any_), ("old", o),
            ("old_little", old.Old(id=1)), ("odd", odd)]


def confluent(plain, whole, parts):
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext
    registry = SchemaRegistryClient.new_client({"url": "mock://"})
    where = SerializationContext("orders", MessageField.VALUE)
    schemas, records = {}, []
    third = whole.Second.Third(m=parts.Money(cents=7), t="t")
    for message in (plain.Plain(i32=7, st="seven"), whole.First(a=1), whole.Second(b=2), third, plain.Known(id=5)):
        framed = ProtobufSerializer(type(message), registry, {"use.deprecated.format": False})(message, where)
        id_ = int.from_bytes(framed[1:5], "big")
        found = registry.get_schema(id_)
        name, referred = "", 0
        for r in found.references or []:
            version = registry.get_version(r.subject, r.version)
            if r.name.startswith("google/"):
                continue
            name, referred = r.name, version.schema_id
            schemas[referred] = (version.schema.schema_str, "", 0)
        schemas[id_] = (found.schema_str, name, referred)
        records.append(framed)
    yield [(i, *s) for i, s in sorted(schemas.items())]
    yield records


main()
