#include "json_cases.hpp"

#include <fstream>
#include <stdexcept>

namespace chute::test {
namespace {

std::vector<json_case> number_cases() {
  return {
      {"Int8", {{"-128", "-128"}, {"127", "127"}, {"\"5\"", "5"}, {"null", "0"}}},
      {"UInt64", {{"18446744073709551615", "18446744073709551615"}, {"9007199254740993", "9007199254740993"}}},
      {"UInt64", {{"1.2e1", "12"}, {"7.00", "7"}}, false},
      {"Int128", {{"-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"}}},
      {"UInt256",
       {{"115792089237316195423570985008687907853269984665640564039457584007913129639935",
         "115792089237316195423570985008687907853269984665640564039457584007913129639935"}}},
      {"Float64",
       {{"0.1", "0.1"}, {"-1.5e300", "-1.5e300"}, {"5e-324", "5e-324"}, {"\"nan\"", "nan"}, {"\"-inf\"", "-inf"}}},
      {"Float32", {{"0.1", "0.1"}, {"16777217", "16777216"}, {"1e-50", "0"}}},
      {"BFloat16", {{"1.5", "1.5"}, {"0.1", "0.099609375"}, {"-3", "-3"}}},
      {"Decimal(9, 2)", {{"1.5", "1.5"}, {"-9999999.99", "-9999999.99"}, {"\"0.01\"", "0.01"}, {"1e2", "100"}}},
      {"Decimal(76, 38)", {{"0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001"}}},
      {"Bool", {{"true", "true"}, {"false", "false"}, {"1", "true"}, {"null", "false"}}},
  };
}

std::vector<json_case> text_cases() {
  return {
      {"String", {{R"("a\u00e9\ud83d\ude00\n\"\\\/")", "aé😀\n\"\\/"}, {"\"\"", ""}, {"null", ""}, {"12.50", "12.50"}}},
      {"String", {{R"({"a" : [1]})", R"({"a" : [1]})"}, {"true", "true"}}},
      {"LowCardinality(Nullable(String))", {{"\"a\"", "a"}, {"null", "NULL"}}},
      {"FixedString(3)", {{"\"ab\"", "616200"}, {"\"€\"", "E282AC"}}, true, "hex(@)"},
      {"UUID",
       {{"\"01234567-89ab-cdef-fedc-ba9876543210\"", "01234567-89ab-cdef-fedc-ba9876543210"},
        {"\"0123456789ABCDEFFEDCBA9876543210\"", "01234567-89ab-cdef-fedc-ba9876543210"}}},
      {"IPv4", {{"\"192.168.0.1\"", "192.168.0.1"}}},
      {"IPv6", {{"\"2001:db8::1\"", "2001:db8::1"}, {"\"1.2.3.4\"", "::ffff:1.2.3.4"}}},
      {"Enum8('a' = -128, '1' = 5, 'z' = 127)", {{"\"a\"", "a"}, {"5", "1"}, {"\"1\"", "1"}, {"\"127\"", "z"}}},
      {"Enum8('a' = -128, '1' = 5, 'z' = 127)", {{"null", "a"}}, false},
  };
}

std::vector<json_case> time_cases() {
  return {
      {"Date", {{"\"1970-01-01\"", "1970-01-01"}, {"\"2149-06-06\"", "2149-06-06"}, {"\"2024-02-29\"", "2024-02-29"}}},
      {"Date", {{"19782", "2024-02-29"}, {"\"20240229\"", "2024-02-29"}}},
      {"Date32", {{"\"1900-01-01\"", "1900-01-01"}, {"\"2299-12-31\"", "2299-12-31"}}},
      {"Date32", {{"-1", "1969-12-31"}, {"null", "1900-01-01"}}, false},
      {"DateTime",
       {{"\"2023-11-14 22:13:20\"", "2023-11-14 22:13:20"},
        {"\"2023-11-14T22:13:20Z\"", "2023-11-14 22:13:20"},
        {"\"2023-11-14T23:13:20+01:00\"", "2023-11-14 22:13:20"},
        {"\"1700000000\"", "2023-11-14 22:13:20"},
        {"1700000000", "2023-11-14 22:13:20"},
        {"4294967295", "2106-02-07 06:28:15"}}},
      {"DateTime('Europe/Berlin')",
       {{"\"2024-10-27 02:30:00\"", "2024-10-27 02:30:00/1729989000"},
        {"\"2024-03-31 03:00:00\"", "2024-03-31 03:00:00/1711846800"},
        {"\"2024-10-27T01:30:00Z\"", "2024-10-27 02:30:00/1729992600"}},
       true,
       "concat(toString(@), '/', toString(toUnixTimestamp(@)))"},
      {"DateTime64(3)",
       {{"\"2023-11-14 22:13:20.123\"", "2023-11-14 22:13:20.123"},
        {"\"2023-11-14T22:13:20.1Z\"", "2023-11-14 22:13:20.100"},
        {"\"2023-11-14 22:13:20\"", "2023-11-14 22:13:20.000"},
        {"1700000000123", "2023-11-14 22:13:20.123"},
        {"\"1700000000.123\"", "2023-11-14 22:13:20.123"},
        {"\"1900-01-01 00:00:00.000\"", "1900-01-01 00:00:00.000"},
        {"\"2299-12-31 23:59:59.999\"", "2299-12-31 23:59:59.999"}}},
      {"DateTime64(9, 'America/New_York')", {{"\"2023-11-14T22:13:20.123456789Z\"", "2023-11-14 17:13:20.123456789"}}},
      {"DateTime64(0, 'Europe/Berlin')", {{"\"1900-01-01 00:00:00\"", "1900-01-01 00:00:00"}}},
      {"Time", {{"\"12:34:56\"", "12:34:56"}, {"\"-999:59:59\"", "-999:59:59"}, {"45296", "12:34:56"}}},
      {"Time64(3)", {{"\"12:34:56.789\"", "12:34:56.789"}, {"\"-0:00:00.001\"", "-00:00:00.001"}}},
      {"Time64(3)", {{"45296789", "12:34:56.789"}}},
  };
}

std::string nested(std::size_t depth) {
  std::string s;
  for (std::size_t i = 0; i < depth; ++i) s += "{\"a\":";
  s += "1";
  s.append(depth, '}');
  return s;
}

std::vector<json_case> composite_json_cases() {
  return {
      {"Array(Nullable(UInt8))", {{"[1,null,255]", "[1,NULL,255]"}, {"[]", "[]"}, {"null", "[]"}}},
      {"Array(Array(String))", {{R"([["a"],[]])", "[['a'],[]]"}}},
      {"Tuple(a UInt8, b Nullable(String))", {{R"({"a":1,"b":"x"})", "(1,'x')"}, {R"({"b":null,"a":1})", "(1,NULL)"}}},
      {"Tuple(a UInt8, b String)", {{R"({"a":1})", "(1,'')"}, {"{}", "(0,'')"}}},
      {"Tuple(a UInt8, b String)", {{R"([1,"x"])", "(1,'x')"}}, false},
      {"Tuple(UInt8, String)", {{R"([1,"x"])", "(1,'x')"}}},
      {"Map(String, Array(UInt8))", {{R"({"a":[1],"b":[]})", "{'a':[1],'b':[]}"}, {"{}", "{}"}, {"null", "{}"}}},
      {"Map(UInt16, Nullable(String))", {{R"({"65535":"a","0":null})", "{65535:'a',0:NULL}"}}},
      {"Map(Date, UInt8)", {{R"({"2024-02-29":1})", "{'2024-02-29':1}"}}},
      {"Point", {{"[1.5,-2]", "(1.5,-2)"}}},
      {"Polygon", {{"[[[0,0],[1,0],[1,1]]]", "[[(0,0),(1,0),(1,1)]]"}}},
      {"SimpleAggregateFunction(sum, UInt64)", {{"18446744073709551615", "18446744073709551615"}}},
      {"Nullable(Tuple(a UInt8))", {{"null", "NULL"}, {R"({"a":1})", "(1)"}}},
      {"QBit(Float32, 3)", {{"[1,2.5,3]", "[1,2.5,3]"}}},
  };
}

std::vector<json_case> untyped_cases() {
  const std::string dynamic = "concat(if(isNull(@), 'NULL', toString(@)), ':', dynamicType(@))";
  const std::string variant = "concat(if(isNull(@), 'NULL', toString(@)), ':', toString(variantType(@)))";
  return {
      {"JSON",
       {{R"({"a":{"b":[1,2.5,"x"]},"c":"\u00e9"})", R"({"a":{"b":[1,2.5,"x"]},"c":"é"})"},
        {R"({"a":18446744073709551615,"b":-9223372036854775808})",
         R"({"a":18446744073709551615,"b":-9223372036854775808})"},
        {R"({"a":[{"b":1},{"b":2}],"b":1})", R"({"a":[{"b":1},{"b":2}],"b":1})"},
        {"{}", "{}"},
        {"null", "{}"}}},
      // Strings stay strings, whatever they look like and whatever stands beside them; nor do truths become numbers.
      {"JSON",
       {{R"({"v":"2024-05-01 12:00:00"})", R"({"v":"2024-05-01 12:00:00"})"},
        {R"({"v":"123456"})", R"({"v":"123456"})"},
        {R"({"v":"2024-05-01T12:00:00+02:00"})", R"({"v":"2024-05-01T12:00:00+02:00"})"},
        {R"({"v":["2024-05-01","1"]})", R"({"v":["2024-05-01","1"]})"}}},
      {"JSON", {{R"({"v":[1,true,1.5]})", R"({"v":[1,true,1.5]})"}}, false},
      // As deep as the decoder lets through: the server must take it.
      {"JSON",
       {{nested(1'000), "1"}, {"{\"x\":" + nested(999) + "}", "1"}, {"{\"x\":[" + nested(998) + "]}", "1"}},
       true,
       "toString(notEmpty(toString(@)))"},
      {"JSON(a.b UInt8, c Array(JSON), SKIP d)",
       {{R"({"a":{"b":255},"c":[{"x":1}],"d":1})", R"({"a":{"b":255},"c":[{"x":1}]})"},
        {R"({"a":{"b":null}})", R"({"a":{"b":0},"c":[]})"},
        {R"({"a":{"b":"7"}})", R"({"a":{"b":7},"c":[]})"},
        {R"({"d":{"e":18446744073709551615}})", R"({"a":{"b":0},"c":[]})"}}},
      {"JSON(t DateTime64(3), u UUID, d Decimal(9, 2), f Float64)",
       {{R"({"t":"2023-11-14 22:13:20.123","u":"01234567-89ab-cdef-fedc-ba9876543210","d":"1.25","f":1e3})",
         R"({"d":1.25,"f":1000,"t":"2023-11-14 22:13:20.123","u":"01234567-89ab-cdef-fedc-ba9876543210"})"},
        {R"({"t":"2023-11-14T23:13:20.123+01:00"})",
         R"({"d":0,"f":0,"t":"2023-11-14 22:13:20.123","u":"00000000-0000-0000-0000-000000000000"})"}}},
      {"JSON(d Decimal(38, 2), i Int64, u UInt128, day Date, s String, t Time, e Enum8('a' = 1))",
       {{R"({"d":"12345678901234567.89","i":1e18,"u":"18446744073709551616","day":"20240229","s":[12.50],"t":"59","e":1})",
         R"({"d":12345678901234567.89,"day":"2024-02-29","e":"a","i":1000000000000000000,"s":"[12.5]","t":"00:00:59",)"
         R"("u":18446744073709551616})"}}},
      {"JSON(d Decimal(38, 2), n Nested(a UInt8), p Tuple(a UInt8, b String))",
       {{R"({"d":0.29,"n":[{"a":1}],"p":{"b":"y"}})", R"({"d":0.29,"n":[{"a":1}],"p":{"a":0,"b":"y"}})"}}},
      {"Dynamic",
       {{"null", "NULL:None"},
        {"true", "true:Bool"},
        {"-5", "-5:Int64"},
        {"18446744073709551615", "18446744073709551615:UInt64"},
        {"1.5", "1.5:Float64"},
        {"\"x\"", "x:String"},
        {"[true]", "[true]:Array(Bool)"},
        {R"(["a","b"])", "['a','b']:Array(String)"}},
       false,
       dynamic},
      {"Dynamic",
       {{"18446744073709551616", "18446744073709551616:Int256"},
        {R"({"a":[1]})", R"({"a":[1]}:JSON)"},
        {"[1,2]", "[1,2]:Array(Int64)"},
        {"[null,1]", "[NULL,1]:Array(Nullable(Int64))"},
        {R"([1,"a",null])", "[1,'a',NULL]:Array(Dynamic)"},
        {R"([{"a":1}])", R"(['{"a":1}']:Array(JSON))"}},
       false,
       dynamic},
      {"Variant(Bool, Int64, Float64, String, Array(Int64))",
       {{"1", "1:Int64"},
        {"1.5", "1.5:Float64"},
        {"true", "true:Bool"},
        {"\"1\"", "1:String"},
        {"[1]", "[1]:Array(Int64)"},
        {"null", "NULL:None"}},
       false,
       variant},
      {"Geometry",
       {{"[1,2]", "(1,2):Point"},
        {"[[1,2],[3,4]]", "[(1,2),(3,4)]:LineString"},
        {"[[[1,2],[3,4]]]", "[[(1,2),(3,4)]]:MultiLineString"},
        {"[[[[1,2]]]]", "[[[(1,2)]]]:MultiPolygon"}},
       false,
       variant},
  };
}

// What stands between back quotes.
std::vector<std::string> quoted_parts(const std::string& line) {
  std::vector<std::string> out;
  for (std::size_t from = line.find('`'); from != line.npos;) {
    const auto to = line.find('`', from + 1);
    if (to == line.npos) break;
    out.push_back(line.substr(from + 1, to - from - 1));
    from = line.find('`', to + 1);
  }
  return out;
}

} // namespace

std::vector<json_case> documented_cases(const std::string& path) {
  std::ifstream file(path);
  std::vector<json_case> out;
  bool examples = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) examples = line == "## Examples";
    if (!examples || !line.starts_with("| `")) continue;
    const bool refused = line.ends_with("| refused |");
    auto parts = quoted_parts(line);
    if (parts.size() != (refused ? 2 : 3)) throw std::runtime_error(path + ": " + line);
    if (out.empty() || out.back().type != parts[0] || refused || out.back().refused)
      out.push_back({parts[0], {}, false, "@", refused});
    out.back().values.emplace_back(parts[1], refused ? "" : parts[2]);
  }
  if (out.empty()) throw std::runtime_error(path + " has no examples");
  return out;
}

std::vector<json_case> json_decoder_cases() {
  std::vector<json_case> out;
  for (auto group : {number_cases(), text_cases(), time_cases(), composite_json_cases(), untyped_cases()})
    for (auto& c : group) out.push_back(std::move(c));
  return out;
}

} // namespace chute::test
