#include "test/kit/row_binary.hpp"

#include <doctest/doctest.h>

#include <cstring>

using namespace chute::kit;

namespace {

verdict render(const std::string& type, const std::string& json, std::string& out) {
  row_column c{row_column::from::field, "x", parse_value_type(type), "default"};
  return renderer({c}).render({1, {}, json}, out);
}

std::string row_of(const std::string& type, const std::string& json) {
  std::string out;
  REQUIRE(render(type, json, out) == verdict::row);
  return out;
}

verdict judged(const std::string& type, const std::string& json) {
  std::string out;
  return render(type, json, out);
}

std::string number(std::uint64_t v, std::size_t width) { return std::string(reinterpret_cast<const char*>(&v), width); }

} // namespace

TEST_CASE("values become the bytes that ClickHouse writes") {
  CHECK(row_of("UInt64", R"({"x":18446744073709551615})") == number(~0ull, 8));
  CHECK(row_of("Int16", R"({"x":-2})") == number(0xfffe, 2));
  CHECK(row_of("String", R"({"x":"h\u00e9\n"})") == "\x04h\u00e9\n");
  CHECK(row_of("LowCardinality(String)", R"({"x":"a"})") == "\x01"
                                                            "a");
  CHECK(row_of("FixedString(4)", R"({"x":"ab"})") == std::string("ab\0\0", 4));
  CHECK(row_of("Nullable(UInt8)", R"({"x":null})") == "\x01");
  CHECK(row_of("Nullable(UInt8)", R"({"x":5})") == std::string("\0\x05", 2));
  CHECK(row_of("Array(UInt8)", R"({"x":[1,2]})") == "\x02\x01\x02");
  CHECK(row_of("Map(String, UInt8)", R"({"x":{"b":1,"a":2}})") == "\x02\x01"
                                                                  "b\x01\x01"
                                                                  "a\x02");
  CHECK(row_of("DateTime64(3)", R"({"x":"1970-01-01T00:00:01.5Z"})") == number(1500, 8));
  CHECK(row_of("DateTime64(3, 'Asia/Tokyo')", R"({"x":"2024-03-01T02:00:00+02:00"})") == number(1709251200000, 8));
  const double price = 12.34;
  std::string bytes(8, 0);
  std::memcpy(bytes.data(), &price, 8);
  CHECK(row_of("Float64", R"({"x":12.34})") == bytes);
}

TEST_CASE("a missing field and a null take the column's default") {
  CHECK(row_of("UInt64", R"({"y":1})") == "default");
  CHECK(row_of("UInt64", R"({"x":null})") == "default");
}

TEST_CASE("what cannot become a row is a dead letter") {
  for (const char* json :
       {"", "{", "[1]", "17", R"({"x":1}x)", R"({"x":256})", R"({"x":-1})", R"({"x":1.5})", R"({"x":"one"})",
        R"({"x":[1]})", R"({"x":1,"x":2})", "{\"x\":1,\"y\":\"\xff\"}", R"({"x":1,"y":"\ud800"})"}) {
    INFO(json);
    CHECK(judged("UInt8", json) == verdict::dead_letter);
  }
  CHECK(judged("FixedString(2)", R"({"x":"abc"})") == verdict::dead_letter);
  CHECK(judged("DateTime64(3)", R"({"x":"2025-02-29T00:00:00Z"})") == verdict::dead_letter);
  CHECK(judged("DateTime64(3)", R"({"x":"2025-13-01T00:00:00Z"})") == verdict::dead_letter);
  CHECK(judged("Array(String)", R"({"x":{}})") == verdict::dead_letter);
  std::string out;
  row_column c{row_column::from::field, "x", parse_value_type("UInt8"), ""};
  CHECK(renderer({c}).render({1, {}, {}}, out) == verdict::dead_letter); // a tombstone
}

TEST_CASE("what the documentation decides is left open") {
  CHECK(judged("UInt8", R"({"x":"12"})") == verdict::either);
  CHECK(judged("UInt8", R"({"x":1.0})") == verdict::either);
  CHECK(judged("String", R"({"x":{"a":1}})") == verdict::either);
  CHECK(judged("DateTime64(3)", R"({"x":1700000000})") == verdict::either);
  CHECK(judged("DateTime64(3)", R"({"x":"2025-01-01 00:00:00"})") == verdict::either);
  CHECK(judged("UInt8", R"({"x":1,"y":)" + std::string(10'000, '[') + std::string(10'000, ']') + "}") ==
        verdict::either);
}

TEST_CASE("rows are read over by their types, and a cut row is noticed at every byte") {
  const std::string row = row_of("Map(String, Array(Nullable(String)))", R"({"x":{"k":["a",null],"l":[]}})");
  const value_type t = parse_value_type("Map(String, Array(Nullable(String)))");
  const auto all = skip(t, row.data(), row.data() + row.size());
  REQUIRE(all);
  CHECK(*all == row.data() + row.size());
  for (std::size_t n = 0; n < row.size(); n++) CHECK_FALSE(skip(t, row.data(), row.data() + n));
}

TEST_CASE("dead letters' headers are a type like any other") {
  const value_type t = parse_value_type("Array(Tuple(name String, value Nullable(String)))");
  REQUIRE(t.what == kind::array);
  REQUIRE(t.args[0].what == kind::tuple);
  CHECK(t.args[0].args.size() == 2);
  CHECK(t.args[0].args[1].what == kind::nullable);
  CHECK_THROWS_AS(parse_value_type("AggregateFunction(sum, UInt8)"), failure);
}
