#include "core/types.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace chute;

namespace {

type_ptr parsed(std::string_view text) {
  auto t = parse_type(text);
  REQUIRE_MESSAGE(t.ok(), std::string(text));
  return *t;
}

std::string stored(std::string_view text) { return storage_type(parsed(text))->text; }

std::string fault(std::string_view text) {
  auto t = parse_type(text);
  REQUIRE_MESSAGE(!t.ok(), std::string(text));
  return t.failure().cause;
}

// As ClickHouse 26.7 prints them in DESCRIBE TABLE.
const std::vector<std::string> described = {
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Int128",
    "Int256",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "UInt128",
    "UInt256",
    "BFloat16",
    "Float32",
    "Float64",
    "Bool",
    "String",
    "UUID",
    "Date",
    "Date32",
    "Time",
    "Time64(9)",
    "IPv4",
    "IPv6",
    "FixedString(3)",
    "Decimal(9, 2)",
    "Decimal(76, 76)",
    "DateTime",
    "DateTime('Europe/Berlin')",
    "DateTime64(3)",
    "DateTime64(9, 'UTC')",
    "Enum8('a' = -3, 'b' = 0, 'z' = 5)",
    R"(Enum16('x,\ty' = -3, 'it\'s' = 1000))",
    "Array(Array(UInt8))",
    "Tuple()",
    "Tuple(UInt8, String)",
    R"(Tuple(a UInt8, `b c` String, `d\`e` Int8))",
    "Map(LowCardinality(String), Nested(x Int8))",
    "Nullable(Decimal(18, 0))",
    "LowCardinality(Nullable(FixedString(2)))",
    "Variant(Array(String), LowCardinality(String), UInt8)",
    "Variant()",
    "Dynamic",
    "Dynamic(max_types=3)",
    "JSON",
    "JSON(max_dynamic_paths=3, `a.b` UInt32, `c d.e` String, SKIP `x.y`, SKIP REGEXP 'a,b')",
    "Point",
    "Ring",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "Geometry",
    "Nested(a UInt8, b Array(String))",
    "SimpleAggregateFunction(groupArrayArray(5), Array(UInt8))",
    "SimpleAggregateFunction(sum, UInt64)",
    "AggregateFunction(quantiles(0.5, 0.9), UInt64)",
    "AggregateFunction(2, sumMap, Array(UInt8), Array(UInt64))",
    "IntervalDay",
    "Nothing",
    "QBit(BFloat16, 1024)",
    "Nullable(Tuple(a UInt8))",
    "Nullable(JSON)",
    "Object('json')",
    "SomethingNew(1, 'a(', Foo(`b)`))"};

} // namespace

TEST_CASE("what DESCRIBE prints is read and printed again") {
  for (const auto& text : described) CHECK(parsed(text)->text == text);
}

TEST_CASE("white space and line breaks, as DESCRIBE spreads named tuples, make no difference") {
  CHECK(parsed("Tuple(\n    a UInt8,\n    `b c` String)")->text == "Tuple(a UInt8, `b c` String)");
  CHECK(parsed("  Map ( String ,Int8 ) ")->text == "Map(String, Int8)");
  CHECK(parsed("Enum8('a'=1,'b'=-2)")->text == "Enum8('a' = 1, 'b' = -2)");
  CHECK(parsed("AggregateFunction( quantiles( 0.5,0.9 ) ,UInt64)")->text ==
        "AggregateFunction(quantiles( 0.5,0.9), UInt64)");
}

TEST_CASE("sizes, scales, zones and names") {
  CHECK(parsed("Decimal(9, 2)")->width == 4);
  CHECK(parsed("Decimal(10, 2)")->width == 8);
  CHECK(parsed("Decimal(19, 2)")->width == 16);
  CHECK(parsed("Decimal(39, 2)")->width == 32);
  CHECK(parsed("Decimal128(4)")->text == "Decimal(38, 4)");
  CHECK(parsed("DateTime64(6, 'Asia/Tokyo')")->scale == 6);
  CHECK(parsed("DateTime64(6, 'Asia/Tokyo')")->timezone == "Asia/Tokyo");
  CHECK(parsed("FixedString(7)")->width == 7);
  CHECK(parsed("QBit(Float32, 5)")->precision == 5);

  const auto e = parsed(R"(Enum16('it\'s' = 1000, 'a''b' = 2, 'q\\\x41\n' = -3))");
  REQUIRE(e->enum_values.size() == 3);
  CHECK(e->enum_values[0] == std::pair<std::string, std::int16_t>{"it's", 1000});
  CHECK(e->enum_values[1] == std::pair<std::string, std::int16_t>{"a'b", 2});
  CHECK(e->enum_values[2] == std::pair<std::string, std::int16_t>{"q\\A\n", -3});

  CHECK(parsed(R"(Tuple(a UInt8, `d\`e` Int8))")->names == std::vector<std::string>{"a", "d`e"});
  CHECK(parsed("Tuple(UInt8, String)")->names.empty());
}

TEST_CASE("the paths of JSON that have a type") {
  const auto t =
      parsed("JSON(max_dynamic_types=2, a.b UInt32, `c d`.e Array(String), SKIP x.y, SKIP REGEXP 'q', SKIP.z Int8)");
  CHECK(t->names == std::vector<std::string>{"a.b", "c d.e", "SKIP.z"});
  REQUIRE(t->args.size() == 3);
  CHECK(t->args[1]->text == "Array(String)");
}

TEST_CASE("the alternatives of a Variant are in the server's order") {
  CHECK(parsed("Variant(UInt8, Array(String), UInt8)")->text == "Variant(Array(String), UInt8)");
}

TEST_CASE("storage types say how values travel") {
  CHECK(stored("LowCardinality(Nullable(String))") == "Nullable(String)");
  CHECK(stored("Array(LowCardinality(String))") == "Array(String)");
  CHECK(stored("Map(LowCardinality(String), Point)") == "Map(String, Tuple(Float64, Float64))");
  CHECK(stored("SimpleAggregateFunction(anyLast, LowCardinality(String))") == "String");
  CHECK(stored("MultiPolygon") == "Array(Array(Array(Tuple(Float64, Float64))))");
  CHECK(stored("Ring") == "Array(Tuple(Float64, Float64))");
  CHECK(stored("Nested(a Int8, `b c` LowCardinality(String))") == "Array(Tuple(a Int8, `b c` String))");
  CHECK(stored("Geometry") == "Variant(LineString, MultiLineString, MultiPolygon, Point, Polygon, Ring)");
  CHECK(stored("Variant(LowCardinality(String), UInt8)") == "Variant(LowCardinality(String), UInt8)");
  CHECK(stored("QBit(Float32, 4)") == "Array(Float32)");
  CHECK(storage_type(parsed("QBit(Float32, 4)"))->precision == 4);
  CHECK(stored("Tuple(a Dynamic(max_types=2), b JSON(x Int8))") == "Tuple(a Dynamic, b JSON(x Int8))");
  const auto same = parsed("Tuple(a Array(UInt8), b Map(String, Nullable(Int8)))");
  CHECK(storage_type(same) == same);
  CHECK(nullable_of(same)->text == "Nullable(" + same->text + ")");
  CHECK(nullable_of(parsed("Nullable(Int8)"))->text == "Nullable(Int8)");
}

TEST_CASE("what cannot come from records") {
  for (const char* text : {"AggregateFunction(sum, UInt8)", "IntervalDay", "Nothing", "SomethingNew", "Array(Nothing)",
                           "Tuple(a Int8, b Array(AggregateFunction(sum, UInt8)))"})
    CHECK_FALSE(insertable(*parsed(text)));
  for (const char* text : {"JSON(a Int8)", "QBit(Float64, 3)", "Geometry", "Variant(Int8)", "Nested(a Int8)"})
    CHECK(insertable(*parsed(text)));
}

TEST_CASE("an error names the place") {
  CHECK(fault("Array(UInt8") == "expected ')' at character 12: \"Array(UInt8 ⟨here⟩ \"");
  CHECK(fault("Decimal(77, 2)").starts_with("expected a precision from 1 to 76 at character 9"));
  CHECK(fault("Decimal(5, 6)").starts_with("expected a scale from 0 to 5"));
  CHECK(fault("FixedString(0)").starts_with("expected a length"));
  CHECK(fault("DateTime64(10)").starts_with("expected a number of digits from 0 to 9"));
  CHECK(fault("Enum8('a' = 128)").starts_with("expected a value of Enum8"));
  CHECK(fault("Enum8()").starts_with("expected '''"));
  CHECK(fault("UInt8 x").starts_with("text after the end"));
  CHECK(fault("").starts_with("expected a name at character 1"));
  CHECK(fault("Tuple(a Int8, String)").starts_with("only some of the fields have names"));
  CHECK(fault("DateTime('UTC").starts_with("quoted text does not end"));
  for (const char* text : {"Map(String)", "Array()", "Nested()", "Foo(", "Foo(,)", "Foo)", "JSON(a)", "QBit(Float32)",
                           "Enum8('\\x4' = 1)", "Array(\1)", "Nullable", "LowCardinality(String, Int8)"})
    fault(text);
}

TEST_CASE("nesting has a limit, whatever nests") {
  const auto nested = [](const std::string& open, int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += open;
    return text + "Int8" + std::string(static_cast<std::size_t>(n), ')');
  };
  CHECK(parse_type(nested("Array(", 64)).ok());
  CHECK(fault(nested("Array(", 65)).starts_with("nested deeper than 64 levels"));
  fault(nested("Tuple(a ", 100'000));
  fault(nested("Foo(", 100'000));
  fault(nested("JSON(a ", 1000));
  fault(std::string((1 << 20) + 1, 'a'));
}

TEST_CASE("no text makes the parser fall over") {
  std::mt19937_64 random(20'260'701);
  const std::string letters = "()`'\",= \\.0a\nSKIPArray\xff";
  int fine = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto text = described[random() % described.size()];
    for (auto edits = 1 + random() % 3; edits--;) {
      const auto at = random() % (text.size() + 1);
      switch (random() % 4) {
      case 0: text.insert(at, 1, letters[random() % letters.size()]); break;
      case 1: text.erase(at, 1 + random() % 3); break;
      case 2: text.insert(at, described[random() % described.size()]); break;
      default:
        if (at < text.size()) text[at] = static_cast<char>(random());
      }
    }
    auto t = parse_type(text);
    if (!t.ok()) {
      CHECK(t.failure().cause.find("at character") != std::string::npos);
      continue;
    }
    ++fine;
    // What was understood means the same when it is printed and read again, and has a storage type.
    auto again = parse_type((*t)->text);
    REQUIRE_MESSAGE(again.ok(), text);
    CHECK((*again)->text == (*t)->text);
    const auto s = storage_type(*t);
    CHECK(storage_type(s)->text == s->text);
    REQUIRE_MESSAGE(parse_type(s->text).ok(), s->text);
  }
  CHECK(fine > 1000);
}
