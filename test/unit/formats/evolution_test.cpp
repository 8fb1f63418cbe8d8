// Records of a topic whose schema changes on the way, as Confluent's serializers wrote them (data/make_evolution.py),
// in one decoder and one block.
#include "data/evolution_fixtures.hpp"
#include "show.hpp"

using namespace chute;
using namespace chute::test;

namespace {

std::string unhex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return out;
}

// The versions one after another, and once more from the first: a writer that was not brought up to date.
template <std::size_t N>
lines decoded(const std::string& format, const char* type, const evolution_fixture (&versions)[N],
              std::vector<target_column> targets, decoder_options o = {}) {
  o.schemas = std::make_shared<schema_cache>();
  std::vector<std::optional<std::string>> values;
  for (const auto& v : versions) {
    o.schemas->put(v.id, std::make_shared<schema_text>(schema_text{type, v.schema, {}}));
    values.emplace_back(unhex(v.hex));
  }
  values.push_back(values.front());
  return decode_values(format, std::move(targets), o, values);
}

} // namespace

TEST_CASE("evolution: avro, seen as each record was written") {
  CHECK(decoded("avro", "AVRO", avro_evolution,
                {field("id", "UInt64"), field("client", "String"), field("customer", "Nullable(String)"),
                 field("note", "Nullable(String)")}) ==
        lines{"1, 'ann', null, null", "1099511627776, 'bob', null, 'gift'", "3, '', 'cleo', '7'", "4, '', 'dora', null",
              "1, 'ann', null, null"});
}

TEST_CASE("evolution: avro, seen through one schema with aliases and defaults") {
  decoder_options o;
  o.avro.reader_schema = avro_evolution_reader;
  CHECK(decoded("avro", "AVRO", avro_evolution,
                {field("id", "UInt64"), field("customer", "String"), field("note", "Variant(Int64, String)")},
                o) == lines{"1, 'ann', String:'none'", "1099511627776, 'bob', String:'gift'", "3, 'cleo', Int64:7",
                            "4, 'dora', String:'none'", "1, 'ann', String:'none'"});
}

TEST_CASE("evolution: protobuf, fields that come and go") {
  CHECK(decoded("protobuf", "PROTOBUF", protobuf_evolution,
                {field("id", "Int64"), field("customer", "String"), field("note", "Nullable(String)"),
                 field("tags", "Array(String)"), field("who", "Nullable(String)", "who.name")}) ==
        lines{"1, 'ann', null, [], null", "1099511627776, 'bob', 'gift', ['a', 'b'], null", "3, '', '', [], 'cleo'",
              "1, 'ann', null, [], null"});
}

TEST_CASE("evolution: json of Confluent's JSON Schema serializer") {
  CHECK(decoded("json", "JSON", json_evolution,
                {field("id", "UInt64"), field("customer", "String"), field("note", "Nullable(String)")}) ==
        lines{"1, 'ann', null", "1099511627776, 'bob', 'gift'", "1, 'ann', null"});
  const std::string framing("\0\0\0\0\1", 5);
  CHECK(decode_values("json", {field("id", "Int8")}, {},
                      {framing + R"({"id":1})", framing, framing + "{", framing.substr(0, 4), R"({"id":2})"}) ==
        lines{"1", "! the value is empty", "! the value is not JSON: it ends too early",
              "! the value is not JSON: a character is out of place at byte 0", "2"});
}
