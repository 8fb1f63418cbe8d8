#include "core/block.hpp"
#include "formats/columns.hpp"
#include "formats/encoder.hpp"

#include <doctest/doctest.h>

using namespace chute;

namespace {

std::string content(const body& b) {
  std::string out;
  for (const auto& p : b.pieces) out += p;
  return out;
}

void put_text(column& c, std::string_view s) {
  append_varint(c.data, s.size());
  c.data.append(s.data(), s.size());
  ++c.rows;
}

table_column described(const std::string& name, const std::string& type, const std::string& expression = "") {
  return {name, *parse_type(type), expression.empty() ? "" : "DEFAULT", expression};
}

const std::vector<table_column> columns = {described("n", "Int16"), described("t", "String", "'x'"),
                                           described("o", "Nullable(String)")};
const std::vector<target_column> targets = {{columns[0], {column_source::from::field, "n"}, nullptr},
                                            {columns[1], {column_source::from::field, "t"}, nullptr},
                                            {columns[2], {column_source::from::field, "o"}, nullptr}};

// Rows "a", null, "c\n" of a text with a DEFAULT and of one that is Nullable, beside their numbers.
chunk_ptr three_rows() {
  auto c = std::make_shared<chunk>();
  for (const auto& t : columns) {
    c->rows.names.push_back(t.name);
    c->rows.columns.push_back(make_column(wire_type(t)));
  }
  for (std::int16_t i = 0; i < 3; ++i) {
    c->rows.columns[0].data.push(static_cast<std::int16_t>(i - 1));
    ++c->rows.columns[0].rows;
    for (std::size_t k : {1, 2}) {
      auto& column = c->rows.columns[k];
      if (i == 1) {
        append_default(column);
        continue;
      }
      put_text(column.children[0], i ? "c\n" : "a");
      mark_not_null(column);
      ++column.rows;
    }
  }
  c->rows.rows = 3;
  return c;
}

} // namespace

TEST_CASE("row_binary: a byte tells a DEFAULT from a null") {
  const auto b = encode("row_binary", std::vector<chunk_rows>{{three_rows(), 0, 3}}, targets);
  REQUIRE(b);
  CHECK(b->format == "RowBinaryWithDefaults");
  CHECK(b->rows == 3);
  using namespace std::string_literals;
  CHECK(content(*b) == "\0\xff\xff"s + "\0\1a"s + "\0\0\1a"s + // -1, "a", "a"
                           "\0\0\0"s + "\1"s + "\0\1"s +       // 0, the DEFAULT, null
                           "\0\1\0"s + "\0\2c\n"s + "\0\0\2c\n"s);
}

TEST_CASE("json_each_row: a DEFAULT is left out, a null is null") {
  const auto b = encode("json_each_row", std::vector<chunk_rows>{{three_rows(), 0, 3}}, targets);
  REQUIRE(b);
  CHECK(content(*b) == R"({"n":-1,"t":"a","o":"a"})"
                       "\n"
                       R"({"n":0,"o":null})"
                       "\n"
                       R"({"n":1,"t":"c\u000a","o":"c\u000a"})"
                       "\n");
}

TEST_CASE("rows that are taken from chunks, and chunks that are cut, make the same bytes") {
  const auto c = three_rows();
  for (const std::string encoding : {"native", "row_binary", "json_each_row"}) {
    const auto whole = encode(encoding, std::vector<chunk_rows>{{c, 0, 3}, {c, 1, 2}}, targets);
    const auto cut =
        encode(encoding, std::vector<chunk_rows>{{c, 0, 1}, {c, 1, 1}, {c, 2, 1}, {c, 0, 0}, {c, 1, 2}}, targets);
    REQUIRE(whole);
    REQUIRE(cut);
    CHECK(content(*whole) == content(*cut));
    CHECK(cut->rows == 5);
    CHECK_FALSE(encode(encoding, std::vector<chunk_rows>{{c, 0, 0}}, targets));
    CHECK_FALSE(encode(encoding, std::vector<chunk_rows>{{c, 2, 2}}, targets));
  }
  CHECK_FALSE(encode("xml", std::vector<chunk_rows>{{c, 0, 3}}, targets));
}

namespace {

bool fits(const std::string& type, const std::string& encoding = "json_each_row") {
  const std::vector<target_column> one = {{described("c", type), {column_source::from::field, "c"}, nullptr}};
  return can_encode(encoding, one).ok();
}

} // namespace

TEST_CASE("JSON cannot say which type a value of several has") {
  for (const char* type : {"Variant(Int8, String)", "Dynamic", "Geometry", "Map(String, Array(Dynamic))",
                           "Tuple(a Nullable(Int8), b Variant(Int8, String))"}) {
    CHECK_FALSE(fits(type));
    CHECK(fits(type, "row_binary"));
    CHECK(fits(type, "native"));
  }
  CHECK(fits("JSON(a Dynamic)"));
  CHECK(fits("Array(Tuple(a Int8, b LowCardinality(Nullable(String))))"));
}

TEST_CASE("ClickHouse does not read keys of every type in JSON's quotes") {
  for (const char* type : {"Map(Bool, UInt8)", "Array(Map(Bool, UInt8))", "Tuple(a Int8, b Map(Bool, String))",
                           "Map(String, Map(Bool, UInt8))", "Nested(m Map(Bool, UInt8))",
                           "SimpleAggregateFunction(anyLast, Map(LowCardinality(Bool), UInt8))",
                           "Map(Array(UInt8), UInt8)", "Map(Tuple(a UInt8), UInt8)", "Map(Point, UInt8)"}) {
    CAPTURE(type);
    CHECK_FALSE(fits(type));
    CHECK(fits(type, "row_binary"));
    CHECK(fits(type, "native"));
  }
  for (const char* type : {"Map(String, Bool)", "Map(UInt8, Array(Bool))", "Map(LowCardinality(String), Bool)",
                           "Map(Enum8('a' = 1), Bool)", "JSON(a Map(Bool, UInt8))", "Array(Bool)"}) {
    CAPTURE(type);
    CHECK(fits(type));
  }
  const std::vector<target_column> one = {
      {described("c", "Array(Map(Bool, UInt8))"), {column_source::from::field, "c"}, nullptr}};
  const auto refused = can_encode("json_each_row", one);
  REQUIRE_FALSE(refused);
  CHECK(refused.failure().cause ==
        "column 'c' of type Array(Map(Bool, UInt8)) cannot be sent with encoding: json_each_row, because ClickHouse "
        "does not read keys of type Bool in the quotes that keys have in JSON");
}

TEST_CASE("json_each_row: an older server reads times before 1970 as others") {
  const auto refusal = [](const std::string& type, bool older, const std::string& encoding = "json_each_row",
                          column_source source = {column_source::from::field, "c"}) {
    std::vector<target_column> one = {{described("c", type), std::move(source), nullptr}};
    one[0].column.json_times = !older;
    const auto done = can_encode(encoding, one);
    return done ? "" : done.failure().cause;
  };
  for (const char* type : {"DateTime64(3)", "Nullable(DateTime64(6, 'UTC'))", "Array(Tuple(a DateTime64(9)))",
                           "Map(DateTime64(1), UInt8)", "SimpleAggregateFunction(max, DateTime64(3))"}) {
    CAPTURE(type);
    CHECK(refusal(type, true) == "column 'c' of type " + (*parse_type(type))->text +
                                     " cannot be sent with encoding: json_each_row, because ClickHouse before 25.10 "
                                     "reads times before 1970 that have a fraction as other times");
    CHECK(refusal(type, false) == "");
    CHECK(refusal(type, true, "row_binary") == "");
    CHECK(refusal(type, true, "native") == "");
  }
  for (const char* type : {"DateTime", "DateTime64(0)", "Date32", "Time64(3)", "JSON(a DateTime64(3))"}) {
    CAPTURE(type);
    CHECK(refusal(type, true) == "");
  }
  CHECK(refusal("DateTime64(3)", true, "json_each_row", {column_source::from::meta, "timestamp"}) == "");
}
