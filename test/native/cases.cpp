#include "cases.hpp"

#include <limits>

namespace chute::test {
namespace {

constexpr std::uint64_t ones = ~std::uint64_t{0};
constexpr std::uint64_t top_bit = std::uint64_t{1} << 63;

template <class T> test_case integer(std::string type) {
  using limits = std::numeric_limits<T>;
  return {std::move(type),
          {{num(limits::min()), std::to_string(limits::min())},
           {num(limits::max()), std::to_string(limits::max())},
           {num(T{0}), "0"},
           {num(T{7}), "7"}}};
}

std::vector<test_case> wide_integers() {
  return {
      {"Int128",
       {{wide(0, top_bit), "-170141183460469231731687303715884105728"},
        {wide(ones, ones >> 1), "170141183460469231731687303715884105727"},
        {wide(0, 0), "0"},
        {wide(ones, ones), "-1"}}},
      {"UInt128", {{wide(ones, ones), "340282366920938463463374607431768211455"}, {wide(0, 0), "0"}}},
      {"Int256",
       {{wide(0, 0, 0, top_bit), "-57896044618658097711785492504343953926634992332820282019728792003956564819968"},
        {wide(ones, ones, ones, ones >> 1),
         "57896044618658097711785492504343953926634992332820282019728792003956564819967"},
        {wide(0, 0, 0, 0), "0"}}},
      {"UInt256",
       {{wide(ones, ones, ones, ones),
         "115792089237316195423570985008687907853269984665640564039457584007913129639935"},
        {wide(0, 0, 0, 0), "0"}}},
  };
}

std::vector<test_case> numbers() {
  using f32 = std::numeric_limits<float>;
  using f64 = std::numeric_limits<double>;
  return {
      {"Float32",
       {{num(f32::max()), "3.4028235e38"}, {num(f32::lowest()), "-3.4028235e38"}, {num(0.f), "0"}, {num(1.5f), "1.5"}}},
      {"Float64",
       {{num(f64::max()), "1.7976931348623157e308"},
        {num(f64::denorm_min()), "5e-324"},
        {num(-f64::infinity()), "-inf"},
        {num(f64::quiet_NaN()), "nan"},
        {num(0.0), "0"},
        {num(0.1), "0.1"}}},
      {"BFloat16", {{num(std::uint16_t{0x3FC0}), "1.5"}, {num(std::uint16_t{0}), "0"}}},
      {"Decimal(9, 2)", {{num(999'999'999), "9999999.99"}, {num(-999'999'999), "-9999999.99"}, {num(0), "0"}}},
      {"Decimal(18, 18)", {{num(999'999'999'999'999'999), "0.999999999999999999"}, {num(std::int64_t{0}), "0"}}},
      {"Decimal(38, 0)", {{wide(ones, ones), "-1"}, {wide(5, 0), "5"}, {wide(0, 0), "0"}}},
      {"Decimal(76, 1)", {{wide(ones - 14, ones, ones, ones), "-1.5"}, {wide(0, 0, 0, 0), "0"}}},
      {"Bool", {{num('\1'), "true"}, {num('\0'), "false"}}},
      {"Enum8('a' = -128, 'zero' = 0, 'z' = 127)", {{num('\x80'), "a"}, {num('\x7f'), "z"}, {num('\0'), "zero"}}},
      {"Enum16('it\\'s' = -32768, 'b\\\\' = 32767)",
       {{num(std::int16_t{-32768}), "it's"}, {num(std::int16_t{32767}), "b\\"}}},
  };
}

std::vector<test_case> texts() {
  const std::string long_text(100'000, 'x');
  return {
      {"String",
       {{text(""), ""},
        {text("Zürich\t\n'\\"), "Zürich\t\n'\\"},
        {text(std::string("a\0\xff", 3)), std::string("a\0\xff", 3)},
        {text(long_text), long_text}}},
      {"FixedString(3)", {{raw("abc"), "abc"}, {raw("xyz"), "xyz"}}},
      {"UUID",
       {{wide(0x0123456789abcdef, 0xfedcba9876543210), "01234567-89ab-cdef-fedc-ba9876543210"},
        {wide(0, 0), "00000000-0000-0000-0000-000000000000"}}},
      {"IPv4", {{num(0xC0A80001u), "192.168.0.1"}, {num(0u), "0.0.0.0"}, {num(0xFFFFFFFFu), "255.255.255.255"}}},
      {"IPv6",
       {{raw(std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16)), "2001:db8::1"},
        {raw(std::string(16, '\0')), "::"}}},
  };
}

std::vector<test_case> times() {
  return {
      {"Date", {{num(std::uint16_t{0}), "1970-01-01"}, {num(std::uint16_t{65535}), "2149-06-06"}}},
      {"Date32", {{num(-25567), "1900-01-01"}, {num(120'529), "2299-12-31"}, {num(0), "1970-01-01"}}},
      {"DateTime", {{num(0u), "1970-01-01 00:00:00"}, {num(0xFFFFFFFFu), "2106-02-07 06:28:15"}}},
      {"DateTime('Asia/Tokyo')", {{num(0u), "1970-01-01 09:00:00"}, {num(1'700'000'000u), "2023-11-15 07:13:20"}}},
      {"DateTime64(0, 'UTC')",
       {{num(std::int64_t{-2'208'988'800}), "1900-01-01 00:00:00"},
        {num(std::int64_t{10'413'791'999}), "2299-12-31 23:59:59"}}},
      {"DateTime64(3)",
       {{num(std::int64_t{1'700'000'000'123}), "2023-11-14 22:13:20.123"},
        {num(std::int64_t{0}), "1970-01-01 00:00:00.000"}}},
      {"DateTime64(9, 'Europe/Berlin')",
       {{num(std::int64_t{1'700'000'000'123'456'789}), "2023-11-14 23:13:20.123456789"},
        {num(std::int64_t{-2'208'988'800'000'000'000}), "1900-01-01 01:00:00.000000000"}}},
      {"Time", {{num(-3'599'999), "-999:59:59"}, {num(3'599'999), "999:59:59"}, {num(0), "00:00:00"}}},
      {"Time64(3)", {{num(std::int64_t{-3'599'999'999}), "-999:59:59.999"}, {num(std::int64_t{1}), "00:00:00.001"}}},
      {"Time64(9)", {{num(std::int64_t{3'599'999'999'999'999}), "999:59:59.999999999"}}},
  };
}

std::string hex(const std::string& s) {
  std::string out;
  for (unsigned char c : s) {
    out += "0123456789abcdef"[c >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  return out;
}

std::string escaped(const std::string& s) {
  std::string out;
  for (char c : s) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

bool may_have_low_cardinality(const std::string& type) {
  for (const char* prefix : {"Decimal", "Enum", "DateTime64", "Time64", "Bool"})
    if (type.starts_with(prefix)) return false;
  return true;
}

} // namespace

std::vector<test_case> scalar_cases() {
  std::vector<test_case> out = {
      integer<std::int8_t>("Int8"),     integer<std::int16_t>("Int16"),   integer<std::int32_t>("Int32"),
      integer<std::int64_t>("Int64"),   integer<std::uint8_t>("UInt8"),   integer<std::uint16_t>("UInt16"),
      integer<std::uint32_t>("UInt32"), integer<std::uint64_t>("UInt64"),
  };
  for (auto group : {wide_integers(), numbers(), texts(), times()})
    for (auto& c : group) out.push_back(std::move(c));
  return out;
}

std::vector<test_case> derived_cases(const test_case& scalar) {
  const auto& type = scalar.type;
  const auto with = [&](const std::string& outer, const std::string& read, const std::function<cell(cell)>& wrap) {
    test_case c{outer, {}, read, ""};
    for (const auto& [value, expected] : scalar.values) c.values.emplace_back(wrap(value), expected);
    return c;
  };
  std::vector<test_case> out;
  out.push_back(with("Nullable(" + type + ")", "@", some));
  out.back().values.emplace_back(none(), "NULL");
  out.push_back(with("Array(" + type + ")", "@[2]", [&](cell v) { return array({none(), v, v}); }));
  out.push_back(with("Array(Nullable(" + type + "))", "@[2]", [&](cell v) { return array({none(), some(v)}); }));
  out.push_back(with("Map(String, " + type + ")", "@['k']", [&](cell v) {
    return map({{text("j"), v}, {text("k"), v}});
  }));
  out.push_back(with("Tuple(a Int8, b " + type + ")", "@.b", [&](cell v) { return tuple({num('\5'), v}); }));
  out.push_back(with("Variant(Array(String), " + type + ")", "@",
                     [&](cell v) { return [type, v](column& c) { one_of((*parse_type(type))->text, v)(c); }; }));
  out.back().values.emplace_back(none(), "NULL");
  if (may_have_low_cardinality(type)) {
    out.push_back(with("LowCardinality(" + type + ")", "@", [](cell v) { return v; }));
    out.push_back(with("LowCardinality(Nullable(" + type + "))", "@", some));
    out.back().values.emplace_back(none(), "NULL");
    const auto low = "LowCardinality(" + type + ")";
    out.push_back(with("Variant(Array(String), " + low + ")", "@", [&](cell v) { return one_of(low, v); }));
    const auto low_null = "Array(LowCardinality(Nullable(" + type + ")))";
    out.push_back(with("Variant(" + low_null + ", Point)", "@.`" + low_null + "`[2]", [&](cell v) {
      return one_of(low_null, array({none(), some(v), some(v)}));
    }));
  }
  // A row without a value takes the DEFAULT, the others do not.
  out.push_back(with(type, "@", some));
  const auto last = scalar.values.back().second.substr(0, 100);
  out.back().default_expression =
      type == "BFloat16" ? "0" : "CAST(unhex('" + hex(last) + "'), '" + escaped(type) + "')";
  out.back().values.emplace_back(none(), last);
  return out;
}

namespace {

cell point(double x, double y) { return tuple({num(x), num(y)}); }
cell big(std::int64_t v) { return num(v); }

std::vector<test_case> geo_cases() {
  const auto line = array({point(1, 2), point(3, 4)});
  return {
      {"Point", {{point(1, -2.5), "(1,-2.5)"}}},
      {"Ring", {{line, "[(1,2),(3,4)]"}, {array({}), "[]"}}},
      {"LineString", {{line, "[(1,2),(3,4)]"}}},
      {"Polygon", {{array({line, array({})}), "[[(1,2),(3,4)],[]]"}}},
      {"MultiLineString", {{array({line}), "[[(1,2),(3,4)]]"}}},
      {"MultiPolygon", {{array({array({line}), array({})}), "[[[(1,2),(3,4)]],[]]"}}},
      {"Geometry",
       {{one_of("Point", point(1, 2)), "(1,2):Point"},
        {one_of("Ring", line), "[(1,2),(3,4)]:Ring"},
        {one_of("LineString", line), "[(1,2),(3,4)]:LineString"},
        {one_of("Polygon", array({line})), "[[(1,2),(3,4)]]:Polygon"},
        {one_of("MultiPolygon", array({array({line})})), "[[[(1,2),(3,4)]]]:MultiPolygon"},
        {one_of("MultiLineString", array({line})), "[[(1,2),(3,4)]]:MultiLineString"},
        {none(), "NULL:None"}},
       "concat(if(isNull(@), 'NULL', toString(@)), ':', toString(variantType(@)))"},
  };
}

std::vector<test_case> json_cases() {
  return {
      {"JSON",
       {{text(R"({"a":{"b":[1,2.5,"x"]},"c":"Zürich"})"), R"({"a":{"b":[1,2.5,"x"]},"c":"Zürich"})"}, {none(), "{}"}}},
      {"JSON(a UInt32, SKIP b)", {{text(R"({"a":1,"b":2,"c":3})"), R"({"a":1,"c":3})"}, {none(), R"({"a":0})"}}},
      {"Nullable(JSON)", {{some(text(R"({"a":1})")), R"({"a":1})"}, {none(), "NULL"}}},
      {"Array(JSON)", {{array({text(R"({"a":1})"), none()}), R"(['{"a":1}','{}'])"}, {array({}), "[]"}}},
      {"Map(LowCardinality(String), JSON)", {{map({{text("k"), text(R"({"a":1})")}}), R"({'k':'{"a":1}'})"}}},
      {"Tuple(a JSON, b Array(JSON))",
       {{tuple({text(R"({"a":1})"), array({text("{}")})}), R"(('{"a":1}',['{}']))"}, {none(), "('{}',[])"}}},
      {"Variant(JSON, String)",
       {{one_of("JSON", text(R"({"a":1})")), R"({"a":1})"}, {one_of("String", text("{}")), "{}"}}},
      {"Variant(Array(JSON), Map(String, JSON))",
       {{one_of("Array(JSON)", array({text("{}")})), "['{}']"},
        {one_of("Map(String, JSON)", map({{text("k"), text("{}")}})), "{'k':'{}'}"}}},
  };
}

std::vector<std::pair<cell, std::string>> dynamic_values() {
  const auto null_or = [](cell v) { return array({none(), some(v)}); };
  return {
      {none(), "NULL:None"},
      {one_of("Bool", num('\1')), "true:Bool"},
      {one_of("Int64", big(-5)), "-5:Int64"},
      {one_of("UInt64", num(ones)), "18446744073709551615:UInt64"},
      {one_of("Int256", wide(0, 1, 0, 0)), "18446744073709551616:Int256"},
      {one_of("Float64", num(1e300)), "1e300:Float64"},
      {one_of("String", text("12")), "12:String"},
      {one_of("JSON", text(R"({"a":[1,{"b":2}]})")), R"({"a":[1,{"b":2}]}:JSON)"},
      {one_of("Array(Bool)", array({num('\1')})), "[true]:Array(Bool)"},
      {one_of("Array(Int64)", array({big(1), big(2)})), "[1,2]:Array(Int64)"},
      {one_of("Array(UInt64)", array({num(ones)})), "[18446744073709551615]:Array(UInt64)"},
      {one_of("Array(Float64)", array({num(0.5)})), "[0.5]:Array(Float64)"},
      {one_of("Array(String)", array({text("a"), text("b")})), "['a','b']:Array(String)"},
      {one_of("Array(Nullable(Bool))", null_or(num('\0'))), "[NULL,false]:Array(Nullable(Bool))"},
      {one_of("Array(Nullable(Int64))", null_or(big(3))), "[NULL,3]:Array(Nullable(Int64))"},
      {one_of("Array(Nullable(UInt64))", null_or(num(ones))), "[NULL,18446744073709551615]:Array(Nullable(UInt64))"},
      {one_of("Array(Nullable(Float64))", null_or(num(2.0))), "[NULL,2]:Array(Nullable(Float64))"},
      {one_of("Array(Nullable(String))", null_or(text("x"))), "[NULL,'x']:Array(Nullable(String))"},
      {one_of("Array(JSON)", array({text(R"({"q":1})")})), R"(['{"q":1}']:Array(JSON))"},
      {one_of("Array(Dynamic)", array({one_of("Int64", big(1)), one_of("String", text("a")), none(),
                                       one_of("Array(Dynamic)", array({one_of("JSON", text("{}")), none()}))})),
       "[1,'a',NULL,['{}',NULL]]:Array(Dynamic)"},
  };
}

std::vector<test_case> dynamic_cases() {
  const std::string read = "concat(if(isNull(@), 'NULL', toString(@)), ':', dynamicType(@))";
  std::vector<test_case> out = {
      {"Dynamic", dynamic_values(), read},
      {"Dynamic(max_types=2)", dynamic_values(), read},
      {"Dynamic", {{none(), "NULL:None"}}, read},
      {"Array(Dynamic)", {{array({one_of("Int64", big(1)), none()}), "[1,NULL]"}, {array({}), "[]"}}},
      {"Map(String, Dynamic)", {{map({{text("k"), one_of("Float64", num(1.5))}}), "{'k':1.5}"}}},
      {"Tuple(a Dynamic, b Dynamic)", {{tuple({one_of("Bool", num('\1')), one_of("Int64", big(2))}), "(true,2)"}}},
  };
  for (const auto& v : dynamic_values()) out.push_back({"Dynamic", {v}, read});
  return out;
}

std::vector<test_case> nested_cases() {
  const auto i8 = [](int v) { return num(static_cast<std::int8_t>(v)); };
  return {
      {"Tuple()", {{tuple({}), "()"}}},
      {"FixedString(3)", {{raw(std::string("a\0\0", 3)), "610000"}, {none(), "000000"}}, "hex(@)"},
      {"Array(Tuple())", {{array({tuple({}), tuple({})}), "[(),()]"}}},
      {"Tuple(a Int8, `b c` LowCardinality(String), `d\\`e` Nullable(Int8))",
       {{tuple({i8(1), text("x"), none()}), "(1,'x',NULL)"}, {none(), "(0,'',NULL)"}}},
      {"Nullable(Tuple(a Int8, b Array(String)))",
       {{some(tuple({i8(1), array({text("x")})})), "(1,['x'])"}, {none(), "NULL"}}},
      {"Array(Array(LowCardinality(String)))",
       {{array({array({text("a")}), array({}), array({text("b"), text("a")})}), "[['a'],[],['b','a']]"},
        {array({}), "[]"}}},
      {"Map(LowCardinality(String), Array(Map(UInt8, Nullable(String))))",
       {{map({{text("k"), array({map({{num('\1'), some(text("v"))}, {num('\2'), none()}})})}}),
         "{'k':[{1:'v',2:NULL}]}"},
        {map({}), "{}"}}},
      {"Map(Bool, UInt8)", {{map({{num('\1'), num('\5')}}), "{true:5}"}, {map({}), "{}"}}},
      {"Map(Tuple(Bool), UInt8)", {{map({{tuple({num('\1')}), num('\5')}}), "{(true):5}"}, {map({}), "{}"}}},
      {"Array(Nested(x Int8, y String))", {{array({array({tuple({i8(1), text("a")})})}), "[[(1,'a')]]"}}},
      {"Variant(Array(Variant(Int8, String)), Tuple(a Int8, b LowCardinality(String)))",
       {{one_of("Array(Variant(Int8, String))", array({one_of("String", text("x")), none(), one_of("Int8", i8(3))})),
         "['x',NULL,3]"},
        {one_of("Tuple(a Int8, b LowCardinality(String))", tuple({i8(4), text("y")})), "(4,'y')"},
        {none(), "NULL"}}},
      {"Variant(Array(LowCardinality(Nullable(String))), LowCardinality(String))",
       {{one_of("Array(LowCardinality(Nullable(String)))",
                array({some(text("a")), none(), some(text("")), some(text("a"))})),
         "['a',NULL,'','a']"},
        {one_of("LowCardinality(String)", text("")), ""},
        {one_of("LowCardinality(String)", text("b")), "b"}}},
      {"SimpleAggregateFunction(sum, UInt64)", {{num(ones), "18446744073709551615"}}},
      {"SimpleAggregateFunction(anyLast, LowCardinality(Nullable(String)))",
       {{some(text("a")), "a"}, {none(), "NULL"}}},
      {"SimpleAggregateFunction(groupArrayArray, Array(UInt8))", {{array({num('\7')}), "[7]"}}},
      {"QBit(Float32, 3)", {{array({num(1.f), num(2.f), num(3.f)}), "[1,2,3]"}, {none(), "[0,0,0]"}}},
      {"QBit(BFloat16, 2)", {{array({num(std::uint16_t{0x3F80}), num(std::uint16_t{0})}), "[1,0]"}}},
      {"QBit(Float64, 1)", {{array({num(0.5)}), "[0.5]"}}},
  };
}

} // namespace

std::vector<test_case> composite_cases() {
  std::vector<test_case> out;
  for (auto group : {geo_cases(), json_cases(), dynamic_cases(), nested_cases()})
    for (auto& c : group) out.push_back(std::move(c));
  return out;
}

} // namespace chute::test
