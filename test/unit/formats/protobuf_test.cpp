#include "formats/protobuf.hpp"

#include "formats/protobuf_schema.hpp"

#include "data/protobuf_fixtures.hpp"
#include "show.hpp"

#include <map>
#include <random>

using namespace chute;
using namespace chute::test;

namespace {

std::string unhex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return out;
}

std::string recorded(std::string_view name) {
  for (const auto& f : protobuf_fixtures)
    if (f.name == name) return unhex(f.hex);
  throw std::runtime_error("no such fixture");
}

decoder_options bare(const std::string& schema, const std::string& message) {
  decoder_options o;
  o.protobuf = {schema_framing::none, schema, message};
  return o;
}

lines decoded(const std::string& schema, const std::string& message, std::vector<target_column> targets,
              const std::vector<std::optional<std::string>>& values) {
  return decode_values("protobuf", std::move(targets), bare(schema, message), values);
}

std::string why_not(const std::string& schema, const std::string& message = "") {
  auto d = make_decoder("protobuf", {field("a", "Int8")}, bare(schema, message));
  return d ? "" : d.failure().cause;
}

} // namespace

TEST_CASE("protobuf: every type, as protobuf's own library writes them") {
  const std::vector<target_column> t = {
      field("i32", "Int32"),  field("i64", "Int64"),  field("u32", "UInt32"), field("u64", "UInt64"),
      field("s32", "Int32"),  field("s64", "Int64"),  field("f32", "UInt32"), field("f64", "UInt64"),
      field("sf32", "Int32"), field("sf64", "Int64"), field("fl", "Float32"), field("db", "Float64"),
      field("bo", "Bool"),    field("st", "String"),  field("by", "String"),  field("suit", "String")};
  CHECK(
      decoded(proto_plain, "shop.Plain", t, {recorded("full"), recorded("empty")}) ==
      lines{std::string(
                "-5, -9223372036854775808, 4294967295, 18446744073709551615, -2147483648, 9223372036854775807, 7, "
                "18446744073709551615, -7, -9223372036854775808, 0.5, -1.0000000000000001e+300, 1, 'tea \xc3\xa9', ") +
                std::string("'\0\xff'", 4) + ", 'HEARTS'",
            "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', '', 'SPADES'"});
}

TEST_CASE("protobuf: repeated, maps, messages, oneof, presence") {
  const std::vector<target_column> t = {field("many", "Array(Int16)"),
                                        field("words", "Array(String)"),
                                        field("inners", "Array(Tuple(p Int32, q Nullable(Float64)))"),
                                        field("loose", "Array(Int64)"),
                                        field("counts", "Map(String, Int32)"),
                                        field("by_number", "Map(Int32, Tuple(p Int8))"),
                                        field("flags", "Map(String, String)"),
                                        field("p", "Nullable(Int32)", "inner.p"),
                                        field("maybe", "Nullable(Int32)"),
                                        field("left", "Nullable(String)"),
                                        field("right", "Nullable(Int32)"),
                                        field("deep", "String", "nested.deep.y"),
                                        field("second", "Int32", "self.self.i32"),
                                        field("suit", "Enum8('SPADES' = 0, 'five' = 5)")};
  CHECK(decoded(proto_plain, "Plain", t, {recorded("full"), recorded("empty"), recorded("odd")}) ==
        lines{"[1, -2, 300], ['a', '', 'b'], [(1, null), (0, 0)], [-1, 1], {('a', 1), ('b', 2)}, {(-3, (9))}, "
              "{('true', 'yes')}, 4, 0, null, 0, 'deep', 2, 5",
              "[], [], [], [], {}, {}, {}, null, null, null, null, '', 0, 0",
              "! field 'suit' for column 'suit' (Enum8('SPADES' = 0, 'five' = 5)) is not a member of the enum"});
  CHECK(decoded(proto_plain, "Plain", {field("suit", "Int32")}, {recorded("full"), recorded("odd")}) ==
        lines{"5", "9"});
  CHECK(decoded(proto_plain, "Plain", {field("inner", "JSON"), field("nested", "String")}, {recorded("full")}) ==
        lines{R"('{"p":4}', '{"x":1,"deep":{"y":"deep"}}')"});
  CHECK(decoded(proto_plain, "Plain",
                {field("inners.p", "Array(Int32)"), field("inners.q", "Array(Nullable(Float64))")},
                {recorded("full")}) == lines{"[1, 0], [null, 0]"});
}

TEST_CASE("protobuf: well-known types") {
  const std::vector<target_column> t = {field("ts", "Nullable(DateTime64(3))"),
                                        field("du", "Nullable(Time64(3))"),
                                        field("i", "Nullable(Int64)"),
                                        field("s", "Nullable(String)"),
                                        field("b", "Nullable(Bool)"),
                                        field("st", "JSON"),
                                        field("v", "Nullable(String)"),
                                        field("l", "String"),
                                        field("id", "Int8")};
  CHECK(decoded(proto_plain, "shop.Known", t, {recorded("known"), recorded("known_empty")}) ==
        lines{R"(1714566600250, -1500, 0, 's', null, '{"a":1.5,"b":[true,null,"x"],"c":{"d":"e"}}', 'v', '[1,"z"]', 1)",
              "null, null, null, null, null, '{}', null, '', 0"});
  CHECK(decoded(proto_plain, "shop.Known", {field("ts", "Int64"), field("du", "Int64")}, {recorded("known")}) ==
        lines{"1714566600250000000, -1500000000"}); // nanoseconds, whatever the value
  CHECK(decoded(proto_plain, "Known", {field("id", "Int8")}, {recorded("any")}) == lines{"2"});
  CHECK(decoded(proto_plain, "Known", {field("any", "String")}, {recorded("any")}) ==
        lines{"! the value holds a google.protobuf.Any, whose content no schema tells"});
}

TEST_CASE("protobuf: proto2, its defaults, groups and required fields") {
  const std::vector<target_column> t = {field("id", "Int32"), field("name", "String"), field("age", "Nullable(Int32)"),
                                        field("item", "Array(Tuple(what String, count Nullable(Int32)))"),
                                        field("yes", "Bool")};
  CHECK(decoded(proto_old, "", t, {recorded("old"), recorded("old_little"), ""}) ==
        lines{"3, 'nobody', 4, [('x', 2), ('y', null)], 1", "1, 'nobody', null, [], 1",
              "! the value lacks the required field 'id'"});
}

TEST_CASE("protobuf: what stands twice on the wire") {
  const auto twice = [](const std::string& hex, const std::string& name, const std::string& type) {
    return decoded(proto_plain, "Plain", {field(name, type)}, {unhex(hex)})[0];
  };
  CHECK(twice("08010802", "i32", "Int32") == "2");                                                      // the last one
  CHECK(twice("c201020801c20109110000000000000040", "inner", "Tuple(p Int32, q Float64)") == "(1, 2)"); // joined
  std::string often; // the last of each counts
  for (int i = 0; i < 50'000; ++i) often += "c201020801";
  CHECK(twice(often + "c201020807", "inner", "Tuple(p Int32, q Float64)") == "(7, 0)");
  CHECK(twice("d20101"
              "61"
              "d80105",
              "left", "Nullable(String)") == "null"); // right came after left
  CHECK(twice("aa01050a01611001aa01050a01611002", "counts", "Map(String, Int32)") == "{('a', 2)}");
  CHECK(twice("8a0102010288010388010a", "many", "Array(Int8)") == "[1, 2, 3, 10]"); // packed and not
  CHECK(twice("aa01020a00", "counts", "Map(String, Int32)") == "{('', 0)}");
}

TEST_CASE("protobuf: Confluent's framing, ids and paths, as its serializer writes them") {
  decoder_options o;
  o.schemas = std::make_shared<schema_cache>();
  std::map<std::uint32_t, std::shared_ptr<schema_text>> made;
  for (const auto& s : confluent_proto_schemas)
    made[s.id] = std::make_shared<schema_text>(schema_text{"PROTOBUF", s.text, {}});
  for (const auto& s : confluent_proto_schemas) {
    if (s.referred) made[s.id]->references.emplace_back(s.reference, made.at(s.referred));
    o.schemas->put(s.id, made[s.id]);
  }
  o.schemas->put(90, nullptr);
  o.schemas->put(91, std::make_shared<schema_text>(schema_text{"AVRO", "\"int\"", {}}));
  o.schemas->put(92, std::make_shared<schema_text>(schema_text{"PROTOBUF", "syntax = \"proto3\"; message {", {}}));
  auto d = make_decoder("protobuf",
                        {field("i32", "Int32"), field("st", "String"), field("a", "Int32"), field("b", "Int32"),
                         field("cents", "Int64", "m.cents"), field("id", "Int32")},
                        o);
  REQUIRE(d.ok());
  std::vector<std::optional<std::string>> values;
  for (const char* hex : confluent_proto_records) values.emplace_back(unhex(hex));
  for (const char* hex :
       {"000000005a00", "000000005b00", "000000005c00", "00000000010212", "0000000001", "01", "000000000100"})
    values.emplace_back(unhex(hex));
  chunk out;
  auto shown = decode_values(**d, values, out);
  REQUIRE(shown.size() == 12);
  CHECK(shown[7].starts_with("! the schema of id 92 is no .proto file: line 1: "));
  shown[7].clear();
  CHECK(shown == lines{"7, 'seven', 0, 0, 0, 0", "0, '', 1, 0, 0, 0", "0, '', 0, 2, 0, 0", "0, '', 0, 0, 7, 0",
                       "0, '', 0, 0, 0, 5", "! the schema of id 90 is not known to the registry",
                       "! the schema of id 91 is no Protobuf schema", "",
                       "! the schema of id 1 has no message at the record's path",
                       "! the value does not begin with a zero byte, a schema's id and the path to a message",
                       "! the value does not begin with a zero byte, a schema's id and the path to a message",
                       "0, '', 0, 0, 0, 0"});
  record_view r{};
  const auto unknown = unhex("000000006300");
  r.value = unknown;
  std::vector<std::uint32_t> wanted;
  (*d)->wanted_schemas({&r, 1}, wanted);
  CHECK(wanted == std::vector<std::uint32_t>{99});
}

TEST_CASE("protobuf: schemas in files, and what is wrong with them") {
  const auto set = unhex(proto_whole_set);
  CHECK(decoded(set, "whole.Second.Third", {field("cents", "Int64", "m.cents")}, {unhex("0a020807120174")}) ==
        lines{"7"});
  CHECK(why_not(proto_plain) == "the schema of the topology holds several messages; write protobuf: {message: NAME}");
  CHECK(why_not(proto_plain, "shop.Nothing") == "the schema of the topology holds no message 'shop.Nothing'");
  CHECK(why_not("syntax = \"proto3\"; message A {")
            .starts_with("the schema of the topology is no .proto file: line 1: "));
  CHECK(why_not("syntax = \"proto3\"; import \"gone.proto\"; message A {}")
            .starts_with("the schema of the topology does not hold together: "));
  CHECK(why_not("syntax = \"proto3\"; message A { B b = 1; }")
            .starts_with("the schema of the topology does not hold together: "));
  // A long chain of messages is no deep recursion.
  std::string chain = "syntax = \"proto3\";";
  for (int i = 0; i < 20'000; ++i) chain += "message M" + std::to_string(i) + "{M" + std::to_string(i + 1) + " n=1;}";
  CHECK(why_not(chain + "message M20000{int32 a=1;}", "M0").empty());
}

TEST_CASE("protobuf: files that Confluent's clients import and never register") {
  const std::string schema =
      "syntax = \"proto3\"; import \"confluent/meta.proto\"; import "
      "\"confluent/type/decimal.proto\"; message Price { option (confluent.message_meta).doc = "
      "\"what it costs\"; confluent.type.Decimal cost = 1 [(confluent.field_meta).tags = \"a\"]; }";
  CHECK(decoded(schema, "", {field("cost", "Decimal(9, 2)")}, {unhex("0a060a02fb2e1802")}) == lines{"-12.34"});
  CHECK(why_not("syntax = \"proto3\"; import \"confluent/other.proto\"; message A {}")
            .starts_with("the schema of the topology does not hold together: "));
}

TEST_CASE("protobuf: values that are cut or malformed") {
  const auto one = [](const std::string& hex) {
    return decoded(proto_plain, "Plain", {field("i32", "Int32"), field("self", "String")}, {unhex(hex)})[0];
  };
  CHECK(one("08") == "! the value ends too early");
  CHECK(one("08808080808080808080") == "! the value ends too early");
  CHECK(one("088080808080808080808001") == "! the value holds a number of more than 64 bits");
  CHECK(one("0001") == "! the value holds a field without a number");
  CHECK(one("0e") == "! the value holds a field of no known form");
  CHECK(one("c43e") == "! the value holds a field of no known form");
  CHECK(one("c33ecc3e") == "! the value ends a group that it did not begin");
  CHECK(one("c33ec43e0805") == "5, ''");
  CHECK(one("7205ff") == "! the value ends too early");
  std::string deep;
  for (int i = 0; i < 200; ++i) {
    std::string n;
    for (std::size_t v = deep.size();; v >>= 7) {
      n += static_cast<char>((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
      if (v <= 0x7f) break;
    }
    deep = "\xea\x01" + n + deep;
  }
  CHECK(decoded(proto_plain, "Plain", {field("self", "String")}, {deep})[0] ==
        "! the value is nested deeper than 100 levels");
  std::string groups(400, '\xc3'); // groups within groups that nobody knows
  for (std::size_t i = 1; i < groups.size(); i += 2) groups[i] = '\x3e';
  CHECK(decoded(proto_plain, "Plain", {field("i32", "Int32")}, {groups})[0] ==
        "! the value is nested deeper than 100 levels");
}

namespace {

// A field of number 1 … 15 that holds these bytes.
std::string holding(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  auto n = bytes.size();
  for (; n > 0x7f; n >>= 7) out += static_cast<char>(n | 0x80);
  return out + static_cast<char>(n) + bytes;
}

} // namespace

TEST_CASE("protobuf: a small record does not become gigabytes") {
  const std::string schema =
      R"(syntax = "proto3"; message A { repeated B b = 1; map<string, B> m = 2; repeated int32 n = 3; int32 id = 4; })"
      R"(message B { int32 a = 1; int32 b = 2; int32 c = 3; int32 d = 4; int32 e = 5; int32 f = 6; int32 g = 7; })";
  const auto one = [&](const std::string& value) {
    return decoded(
        schema, "A",
        {field("x", "String", "b.a"), field("y", "String", "m.a"), field("id", "Int8"), field("n", "Array(Int32)")},
        {value})[0];
  };
  const auto times = [](std::size_t n, const std::string& part) {
    std::string out;
    for (; n > 0; --n) out += part;
    return out;
  };
  const std::string too_many = "! the value holds more than 4,000,000 values";
  CHECK(one(times(600'000, holding(1, ""))) == too_many); // eight each
  CHECK(one(times(600'000, holding(2, ""))) == too_many);
  CHECK(one(holding(3, std::string(4'100'000, '\1'))) == too_many);
  // Columns of a Nested structure take their elements from one list.
  std::vector<target_column> nested;
  for (const char* name : {"b.a", "b.b", "b.c", "b.d", "b.e", "b.f", "b.g"})
    nested.push_back(field(name, "Array(Int32)"));
  CHECK(
      decoded(schema, "A", nested, {times(300'000, holding(1, ""))})[0].ends_with(" holds more than 4,000,000 values"));
  CHECK(
      one("\x20\x05" + times(3, holding(1, ""))).starts_with("! field 'b.a' for column 'x' (String) is beyond a list"));
}

TEST_CASE("protobuf: messages in parts, in each other, do not become gigabytes") {
  const std::string schema = R"(syntax = "proto3"; message A { A a = 1; string s = 2; })";
  std::string value = holding(2, std::string(4 << 20, 'x'));
  for (int i = 0; i < 40; ++i) value = holding(1, value) + holding(1, "");
  CHECK(decoded(schema, "A", {field("s", "String", "a.s")}, {value})[0] ==
        "! the value holds messages in parts, more than 128 MiB of them");
}

TEST_CASE("protobuf: no change of a byte crashes the decoder") {
  std::mt19937 random(20240501);
  auto d =
      make_decoder("protobuf",
                   {field("many", "Array(Int16)"), field("counts", "Map(String, Int32)"), field("by_number", "String"),
                    field("inners", "JSON"), field("self", "Dynamic"), field("st", "String"), field("nested", "JSON")},
                   bare(proto_plain, "Plain"));
  auto k = make_decoder(
      "protobuf", {field("ts", "DateTime64(9)"), field("st", "String"), field("l", "Dynamic"), field("i", "Int8")},
      bare(proto_plain, "Known"));
  REQUIRE(d.ok());
  REQUIRE(k.ok());
  for (const auto& [decoder, name] : {std::pair(d->get(), "full"), std::pair(k->get(), "known")}) {
    const auto whole = recorded(name);
    std::vector<std::optional<std::string>> values = {whole};
    for (int i = 0; i < 3'000; ++i) {
      auto v = whole;
      for (std::size_t n = 1 + random() % 3; n > 0 && !v.empty(); --n) {
        const auto at = random() % v.size();
        if (random() % 4) v[at] = static_cast<char>(random());
        else v.erase(at, 1 + random() % 4);
      }
      values.emplace_back(v);
    }
    chunk out;
    CHECK(decode_values(*decoder, values, out).size() == values.size());
  }
}
