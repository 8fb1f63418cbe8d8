#include "formats/new_fields.hpp"

#include "show.hpp"

using namespace chute;
using namespace chute::test;

namespace {

// "name type, …" of what these JSON records have beside `id`; how many became rows.
std::string found(const std::vector<std::optional<std::string>>& values, bool json = true) {
  decoder_options o;
  o.on_new_field = new_field_policy::add_column;
  o.json_type = json;
  auto d = make_decoder("json", {field("id", "UInt32")}, o);
  REQUIRE(d.ok());
  chunk out;
  decode_values(**d, values, out);
  std::string text;
  for (const auto& f : (*d)->take_new_fields()) text += (text.empty() ? "" : ", ") + f.name + " " + f.type;
  CHECK((*d)->take_new_fields().empty());
  return text;
}

} // namespace

TEST_CASE("new fields: a type that takes all values of all records") {
  CHECK(found({R"({"id":1,"a":1})", R"({"a":null})"}) == "a Nullable(Int64)");
  CHECK(found({R"({"a":1})", R"({"a":1.5})"}) == "a Nullable(Float64)");
  CHECK(found({R"({"a":18446744073709551616})"}) == "a Nullable(Int256)");
  CHECK(found({R"({"a":true})", R"({"b":"2024-05-01"})"}) == "a Nullable(Bool), b Nullable(String)");
  CHECK(found({R"({"a":true})", R"({"a":1})"}) == "a Nullable(String)");
  CHECK(found({R"({"a":[1,null]})", R"({"a":[2.5]})"}) == "a Array(Nullable(Float64))");
  CHECK(found({R"({"a":{"b":1}})"}) == "a JSON");
  CHECK(found({R"({"a":{"b":1}})"}, false) == "a Nullable(String)");
}

TEST_CASE("new fields: what does not tell a type, or is no name of a column, is left") {
  CHECK(found({R"({"a":null,"b":[],"_c":1,"d.e":2,"":3})"}) == "");
  CHECK(found({R"({"id":"x","a":1})"}) == ""); // of a bad record
}

TEST_CASE("new fields: behind many keys that are no names of columns") {
  std::vector<std::optional<std::string>> values;
  for (int i = 0; i < 300; ++i) values.emplace_back("{\"_k" + std::to_string(i) + "\":1}");
  values.emplace_back(R"({"id":1,"late":1})");
  CHECK(found(values) == "late Nullable(Int64)");
}

TEST_CASE("new fields: dead_letter") {
  decoder_options o;
  o.on_new_field = new_field_policy::dead_letter;
  CHECK(decode_values("json", {field("id", "UInt32")}, o, {R"({"id":1})", R"({"id":2,"a":1})", R"({"id":3})"}) ==
        lines{"1", "! field 'a' has no column (on_new_field: dead_letter)", "3"});
  CHECK(decode_values("connect_json", {field("id", "UInt32")}, o, {R"({"schema":null,"payload":{"id":2,"a":1}})"}) ==
        lines{"! field 'a' has no column (on_new_field: dead_letter)"});
}

TEST_CASE("new fields: decimals keep as many digits before the point as Int64 has") {
  value_shape s;
  s.kinds = value_shape::decimal;
  for (const auto& [scale, type] : {std::pair{2, "Nullable(Decimal(38, 2))"},
                                    {19, "Nullable(Decimal(38, 19))"},
                                    {20, "Nullable(Decimal(76, 20))"},
                                    {60, "Nullable(Decimal(76, 60))"}}) {
    s.scale = static_cast<std::uint8_t>(scale);
    CHECK(type_of(s, true) == type);
  }
}

TEST_CASE("new fields: a timestamp whose schema tells no scale has room for the finest") {
  datum d;
  d.kind = datum_kind::timestamp;
  d.scale = 3;
  value_shape of_schema, of_value;
  of_schema.add(d);
  CHECK(type_of(of_schema, true) == "Nullable(DateTime64(3, 'UTC'))");
  d.scale = 0;
  d.has_number = true;
  of_value.add(d);
  CHECK(type_of(of_value, true) == "Nullable(DateTime64(9, 'UTC'))");
}
