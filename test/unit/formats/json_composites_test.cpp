#include "json_kit.hpp"

using namespace chute;
using namespace chute::json_test;

TEST_CASE("json Nullable and LowCardinality") {
  check("Nullable(UInt8)", {{"null", "null"}, {"0", "0"}, {"255", "255"}, {"256", "! is out of range"}});
  check("Nullable(String)", {{"null", "null"}, {R"("")", "''"}, {R"("null")", "'null'"}});
  check("LowCardinality(Nullable(String))", {{"null", "null"}, {R"("a")", "'a'"}, {"1", "'1'"}});
  check("LowCardinality(FixedString(2))", {{R"("ab")", "'ab'"}, {R"("abc")", "! is longer than the type"}});
  check("Nullable(Tuple(a UInt8))", {{"null", "null"}, {R"({"a":1})", "(1)"}});
}

TEST_CASE("json arrays") {
  check("Array(UInt8)", {{"[]", "[]"},
                         {"[1,2,255]", "[1,2,255]"},
                         {"[ 1 , 2 ]", "[1,2]"},
                         {"null", "[]"},
                         {"[1,256]", "!: a value of type UInt8 in it is out of range"},
                         {"[1,null]", "!: a value of type UInt8 in it is null, which the type does not take"},
                         {"[[1]]", "!: a value of type UInt8 in it is a JSON array, which the type does not take"},
                         {"1", "! is a JSON number, which the type does not take"},
                         {R"("[1]")", "! is a JSON string, which the type does not take"},
                         {R"({"0":1})", "! is a JSON object, which the type does not take"}});
  check("Array(Nullable(String))", {{R"(["a",null,""])", "['a',null,'']"}, {"[null]", "[null]"}});
  check("Array(Array(Int8))", {{"[[1],[],[2,3]]", "[[1],[],[2,3]]"}, {"[]", "[]"}, {"[[]]", "[[]]"}});
  check("Array(LowCardinality(String))", {{R"(["a","a"])", "['a','a']"}});
  check("QBit(Float32, 3)",
        {{"[1,2.5,3]", "[1,2.5,3]"}, {"[1,2]", "! has another number of elements than the type"}, {"null", "[0,0,0]"}});
  check("QBit(Float32, 4, 2)", {{"[1,2,3,4]", "[1,2,3,4]"}, // the last argument is a stride
                                {"[1,2]", "! has another number of elements than the type"},
                                {"null", "[0,0,0,0]"}});
}

TEST_CASE("json tuples, with names and without") {
  const auto size = "! has another number of elements than the tuple";
  check("Tuple(a UInt8, b Nullable(String), c Array(Int8))",
        {{R"({"a":1,"b":"x","c":[1]})", "(1,'x',[1])"},
         {R"({"c":[1],"b":null,"a":1})", "(1,null,[1])"},
         {R"({"a":1})", "(1,null,[])"},
         {R"({"a":null,"c":null})", "(0,null,[])"},
         {"{}", "(0,null,[])"},
         {R"({"a":1,"other":{"x":[1]}})", "(1,null,[])"},
         {R"([1,"x",[1]])", "(1,'x',[1])"},
         {"[1]", size},
         {R"([1,"x",[],4])", size},
         {R"({"a":1,"a":2})", "! names an element of the tuple twice"},
         {R"({"a":null,"a":2})", "! names an element of the tuple twice"},
         {R"({"a":256})", "!: a value of type UInt8 in it is out of range"},
         {"null", "(0,null,[])"},
         {"1", "! is a JSON number, which the type does not take"}});
  check("Tuple(UInt8, String)", {{R"([1,"x"])", "(1,'x')"},
                                 {"{}", "! is a JSON object, which the type does not take"},
                                 {"[null,1]", "!: a value of type UInt8 in it is null, which the type does not take"}});
  check("Tuple(`a b` UInt8, `c\\`d` UInt8)", {{R"({"c`d":2,"a\u0020b":1})", "(1,2)"}});
}

TEST_CASE("json maps") {
  check("Map(String, UInt8)",
        {{R"({"a":1,"b":2})", "[('a',1),('b',2)]"},
         {"{}", "[]"},
         {"null", "[]"},
         {R"({"a":1,"a":2})", "[('a',1),('a',2)]"},
         {R"({"\u0041\n":1})", "[('A\n',1)]"},
         {R"({"":1})", "[('',1)]"},
         {R"({"a":null})", "!: a value of type UInt8 in it is null, which the type does not take"},
         {R"({"a":256})", "!: a value of type UInt8 in it is out of range"},
         {"[]", "! is a JSON array, which the type does not take"}});
  check("Map(UInt8, Nullable(String))", {{R"({"1":"a","255":null})", "[(1,'a'),(255,null)]"},
                                         {R"({"256":"a"})", "!: a value of type UInt8 in it is out of range"},
                                         {R"({"x":"a"})", "!: a value of type UInt8 in it is not such a value"}});
  check("Map(LowCardinality(String), Array(Map(String, Int8)))", {{R"({"a":[{"b":1},{}]})", "[('a',[[('b',1)],[]])]"}});
  check("Map(Date, String)", {{R"({"1970-01-02":"x"})", "[(1,'x')]"}});
  check("Map(FixedString(2), Bool)", {{R"({"ab":true})", "[('ab',1)]"}});
  check("Map(UUID, UInt8)",
        {{R"({"00000000-0000-0000-0000-000000000000":1})", "[(00000000000000000000000000000000,1)]"}});
  check("Map(Enum8('a' = 1), UInt8)", {{R"({"a":1})", "[(1,1)]"}});
}

TEST_CASE("json Nested: an array of objects, or an object of arrays of one length") {
  const auto sizes = "! has arrays of different lengths for one Nested structure";
  check("Nested(a UInt8, b String)", {{R"([{"a":1,"b":"x"},{"b":"y"}])", "[(1,'x'),(0,'y')]"},
                                      {R"({"a":[1,2],"b":["x","y"]})", "[(1,'x'),(2,'y')]"},
                                      {R"({"a":[1,2]})", "[(1,''),(2,'')]"},
                                      {R"({"a":[1,2],"b":null})", "[(1,''),(2,'')]"},
                                      {R"({"a":[],"b":[]})", "[]"},
                                      {"[]", "[]"},
                                      {"{}", "[]"},
                                      {"null", "[]"},
                                      {R"({"a":[1,2],"b":["x"]})", sizes},
                                      {R"({"a":[1],"a":[2]})", "! names an element of the tuple twice"},
                                      {R"([1])", "!: a value of type Tuple(a UInt8, b String) in it is a JSON number, "
                                                 "which the type does not take"}});
}

TEST_CASE("json columns n.a, n.b: one Nested structure") {
  const std::vector<target_column> nested = {target("n.a", "Array(UInt8)"), target("n.b", "Array(String)"),
                                             target("id", "UInt8")};
  const auto rows = [&](const std::string& record) {
    const auto out = decoded(nested, {R"({"id":9,"n":[{"a":9}]})", record, R"({"id":8})"});
    CHECK(out.outcomes[0] == outcome::row);
    CHECK(out.outcomes[2] == outcome::row);
    if (out.outcomes[1] != outcome::row) return "! " + out.dead[0].error;
    CHECK(shown(out.rows.columns[0], 2) == "[]");
    return shown(out.rows.columns[0], 1) + shown(out.rows.columns[1], 1);
  };
  CHECK(rows(R"({"n":[{"a":1,"b":"x"},{"b":"y"},{"a":null}]})") == "[1,0,0]['x','y','']");
  CHECK(rows(R"({"n":{"a":[1,2],"b":["x","y"]}})") == "[1,2]['x','y']");
  CHECK(rows(R"({"n.a":[1,2],"n.b":["x","y"]})") == "[1,2]['x','y']");
  CHECK(rows(R"({"n":{"b":["x"]},"n.a":[3]})") == "[3]['x']");
  CHECK(rows(R"({"n.a":[1,2]})") == "[1,2]['','']");
  CHECK(rows(R"({"n":{"a":[1,2],"b":null}})") == "[1,2]['','']");
  CHECK(rows(R"({"n":[]})") == "[][]");
  CHECK(rows(R"({"n":null})") == "[][]");
  CHECK(rows(R"({})") == "[][]");
  CHECK(rows(R"({"n":{"a":[1],"b":["x","y"]}})").find("different lengths for one Nested structure") !=
        std::string::npos);
  CHECK(rows(R"({"n":[{"a":1},2]})") ==
        "! field 'n.a' for column 'n.a' (Array(UInt8)) is beyond a JSON number where an object should be");
  CHECK(rows(R"({"n":[{"a":1},{"a":256}]})") ==
        "! field 'n.a' for column 'n.a' (Array(UInt8)): a value of type UInt8 in it is out of range");
  CHECK(rows(R"({"n":[{"a":1,"a":2}]})").find("appears twice") != std::string::npos);
  CHECK(rows(R"({"n":7})").find("is beyond a JSON number where an object should be") != std::string::npos);
}

TEST_CASE("json Variant: the alternative that keeps the value") {
  check("Variant(Bool, Int64, String, Float64)", {{"1", "Int64:1"},
                                                  {"-9223372036854775808", "Int64:-9223372036854775808"},
                                                  {"1.5", "Float64:1.5"},
                                                  {"1e2", "Float64:100"},
                                                  {"true", "Bool:1"},
                                                  {R"("1")", "String:'1'"},
                                                  {R"("")", "String:''"},
                                                  {"null", "null"},
                                                  {R"({"a":1})", R"(String:'{"a":1}')"},
                                                  {"[1]", "String:'[1]'"}});
  check("Variant(UInt8, UInt64, Int16)", {{"255", "UInt8:255"},
                                          {"-1", "Int16:-1"},
                                          {"256", "Int16:256"},
                                          {"65536", "UInt64:65536"},
                                          {"-32769", "! is a JSON number that none of the Variant's types takes"},
                                          {"true", "! is a JSON boolean that none of the Variant's types takes"}});
  check("Variant(UUID, Date, String)",
        {{R"("1970-01-02")", "Date:1"},
         {R"("1970-01-99")", "String:'1970-01-99'"},
         {R"("00000000-0000-0000-0000-000000000000")", "UUID:00000000000000000000000000000000"}});
  check("Variant(Array(UInt8), Tuple(a UInt8, b String), Map(String, UInt8))",
        {{"[1,2]", "Array(UInt8):[1,2]"},
         {R"({"a":1,"b":"x"})", "Tuple(a UInt8, b String):(1,'x')"},
         {R"({"a":1,"q":2})", "Map(String, UInt8):[('a',1),('q',2)]"},
         {R"(["x"])", "! is a JSON array that none of the Variant's types takes"}});
  check("Array(Variant(UInt8, String))", {{R"([1,"a",null,256])", "[UInt8:1,String:'a',null,String:'256']"}});
  check("Variant(Array(Variant(UInt8, String)), UInt8)",
        {{R"([1,"a"])", "Array(Variant(String, UInt8)):[UInt8:1,String:'a']"}});
}

TEST_CASE("json Dynamic: the value's own type") {
  check("Dynamic",
        {{"null", "null"},
         {"true", "Bool:1"},
         {"1", "Int64:1"},
         {"-9223372036854775808", "Int64:-9223372036854775808"},
         {"9223372036854775808", "UInt64:9223372036854775808"},
         {"18446744073709551616", "Int256:18446744073709551616"},
         {"-9223372036854775809", "Int256:-9223372036854775809"},
         {"57896044618658097711785492504343953926634992332820282019728792003956564819968", "! is out of range"},
         {"1.5", "Float64:1.5"},
         {"1e2", "Float64:100"},
         {"1e400", "!: a value of type Float64 in it is out of range"},
         {R"("")", "String:''"},
         {R"("2023-01-01")", "String:'2023-01-01'"},
         {R"({"a":[1]})", R"(JSON:'{"a":[1]}')"},
         {"[]", "Array(String):[]"},
         {"[true,false]", "Array(Bool):[1,0]"},
         {"[1,2]", "Array(Int64):[1,2]"},
         {"[18446744073709551615,1]", "Array(UInt64):[18446744073709551615,1]"},
         {"[1,2.5]", "Array(Float64):[1,2.5]"},
         {R"(["a","b"])", "Array(String):['a','b']"},
         {"[null,1]", "Array(Nullable(Int64)):[null,1]"},
         {"[null]", "Array(Nullable(String)):[null]"},
         {R"([{"a":1},{}])", R"(Array(JSON):['{"a":1}','{}'])"},
         {"[9007199254740993,0.5]", "Array(Dynamic):[Int64:9007199254740993,Float64:0.5]"},
         {"[18446744073709551615,-1]", "Array(Dynamic):[UInt64:18446744073709551615,Int64:-1]"},
         {R"([1,"a",[true,null,[{}]]])",
          "Array(Dynamic):[Int64:1,String:'a',Array(Dynamic):[Bool:1,null,Array(JSON):['{}']]]"},
         {"[1,[2,[3,[4,[5,[6]]]]]]", "! holds arrays of mixed values nested deeper than Dynamic takes"}});
}

TEST_CASE("json JSON: the object's text, checked as the server checks it") {
  const auto huge = "! holds a number that the JSON type does not take (beyond 64 bits or Float64)";
  const auto twice = "! holds a path twice, which the JSON type does not take";
  check("JSON", {{"{}", "'{}'"},
                 {"null", "'{}'"},
                 {R"({ "a" : [1, "\u00e9"] })", R"('{ "a" : [1, "\u00e9"] }')"},
                 {R"({"a":18446744073709551615})", R"('{"a":18446744073709551615}')"},
                 {R"({"a":18446744073709551616})", huge},
                 {R"({"a":[{"b":-9223372036854775809}]})", huge},
                 {R"({"a":1e999})", huge},
                 {R"({"a":1,"a":2})", twice},
                 {R"({"a":{"b":1},"a.b":2})", twice},
                 {R"({"a":[{"b":1,"b":2}]})", twice},
                 {R"({"a":[{"b":1},{"b":2}],"b":1})", R"('{"a":[{"b":1},{"b":2}],"b":1}')"},
                 {"[]", "! is a JSON array, which the type does not take"},
                 {R"("{}")", "! is a JSON string, which the type does not take"},
                 {"1", "! is a JSON number, which the type does not take"}});
  check("JSON(a.b UInt8, c Array(JSON), d Array(Dynamic))",
        {{R"({"a":{"b":255}})", R"('{"a":{"b":255}}')"},
         {R"({"a":{"b":null}})", R"('{"a":{"b":null}}')"},
         {R"({"a":{"b":256}})", "!: a value of type UInt8 in it is out of range"},
         {R"({"a.b":256})", "!: a value of type UInt8 in it is out of range"},
         {R"({"a":{"b":"x"}})", "!: a value of type UInt8 in it is not such a value"},
         {R"({"c":[{"x":1}]})", R"('{"c":[{"x":1}]}')"},
         {R"({"c":[{"x":1,"x":2}]})", "! holds a path twice, which the JSON type does not take"},
         // A typed path that holds objects of its own must not hide what stands around it.
         {R"({"c":[{"x":1}],"c":[]})", twice},
         {R"({"q":1,"c":[{"x":1}],"q":2})", twice},
         {R"({"a":{"z":1,"c":1},"d":[{"x":1}],"a":{"z":2}})", twice},
         {R"({"d":[{"x":1}],"a":{"b":256}})", "!: a value of type UInt8 in it is out of range"}});
  check("JSON(a.d Array(Dynamic), a.e UInt8)",
        {{R"({"a":{"d":[{"x":1}],"e":255}})", R"('{"a":{"d":[{"x":1}],"e":255}}')"},
         {R"({"a":{"d":[{"x":1}],"e":256}})", "!: a value of type UInt8 in it is out of range"}});
  check("Array(JSON)", {{R"([{"a":1},{"a":2}])", R"(['{"a":1}','{"a":2}'])"},
                        {"[null]", "!: a value of type JSON in it is null, which the type does not take"}});
}

namespace {

// What the value becomes at the path `d` of this type: as it is, "", or what the error says of it.
std::string at_path(const std::string& type, const std::string& json) {
  const auto object = R"({"d":)" + json + "}";
  const auto text = became("JSON(d " + type + ")", object);
  if (text == "'" + object + "'") return "";
  const auto subject = "!: a value of type " + (*parse_type(type))->text + " in it ";
  return text.starts_with(subject) ? text.substr(subject.size()) : text;
}

void check_paths(const std::string& type, const std::vector<value_case>& cases) {
  for (const auto& [json, expected] : cases) {
    CAPTURE(type);
    CAPTURE(json);
    CHECK(at_path(type, json) == expected);
  }
}

constexpr const char* digits = "has more digits than ClickHouse keeps of a number at a typed path; a string keeps them";
constexpr const char* number = "is a JSON number that ClickHouse does not take at a typed path";
constexpr const char* text = "is a JSON string that ClickHouse does not take at a typed path";
constexpr const char* object = "is a JSON object that ClickHouse does not take at a typed path";
constexpr const char* huge = "! holds a number that the JSON type does not take (beyond 64 bits or Float64)";

} // namespace

TEST_CASE("json JSON: at a typed path a number that a double does not keep is refused, a string is not") {
  check_paths("Decimal(38, 2)", {{"12345678901234567.89", digits},
                                 {R"("12345678901234567.89")", ""},
                                 {"90071992547409.93", digits},
                                 {"0.29", ""},
                                 {"-1.50", ""},
                                 {"1e22", ""},
                                 {"1e23", ""},
                                 {"9007199254740993", ""},
                                 {"18446744073709551615", ""},
                                 {"9007199254740993.0", digits},
                                 {"1.256", "has more digits than the type keeps"}});
  check_paths("Nullable(Decimal(38, 2))", {{"null", ""}, {"0.29", ""}, {R"("12345678901234567.89")", ""}});
  check_paths("Int64", {{"1e18", ""},
                        {"7.0", ""},
                        {"9007199254740993", ""},
                        {"9007199254740993.0", digits},
                        {"9007199254740992.0", ""},
                        {"72057594037927936.0", ""}, // a power of two, of more digits than a double shows
                        {"9223372036854775807.0", digits},
                        {R"("9007199254740993")", ""},
                        {"1.5", "has more digits than the type keeps"}});
  check_paths("UInt64", {{"1e19", ""}, {"18446744073709551615", ""}, {"18446744073709551615.0", digits}});
  // Of a double beyond 64 bits the server makes 100000000000000000003.
  check_paths("UInt128", {{"1e19", ""}, {"1e20", digits}, {R"("100000000000000000000")", ""}});
  check_paths("String", {{"12.50", ""},
                         {"0.1234567890123456789", digits},
                         {R"([1.5,{"a":12345678901234567.89}])", digits},
                         {R"("0.1234567890123456789")", ""},
                         {R"({"a":1,"a":2})", ""}});
  check_paths("Float64", {{"0.1234567890123456789", ""}, {"9007199254740993", ""}});
}

TEST_CASE("json JSON: a typed path takes no number that the server's parser refuses, wherever it stands") {
  for (const char* type : {"UInt128", "Int256", "Float64", "Decimal(38, 2)", "String", "Dynamic", "Nullable(UInt256)"})
    check_paths(type, {{"18446744073709551616", huge}, {"-9223372036854775809", huge}});
  check_paths("UInt256", {{R"("18446744073709551616")", ""}, {"18446744073709551615", ""}});
  check_paths("String", {{R"([18446744073709551616])", huge}, {"1e400", huge}});
  check_paths("Tuple(a UInt8)", {{R"({"a":1,"other":[18446744073709551616]})", huge}});
  check_paths("Array(UInt256)", {{"[1,18446744073709551616]", huge}});
  check_paths("Map(String, UInt256)", {{R"({"a":18446744073709551616})", huge}});
}

TEST_CASE("json JSON: a typed path takes what the server takes there") {
  for (const char* type : {"Date", "Date32"})
    check_paths(type, {{R"("2024-02-29")", ""}, {R"("20240229")", ""}, {"19782", number}, {"null", ""}});
  check_paths("Array(Nullable(Date))", {{R"(["2024-02-29",null])", ""}});
  CHECK(at_path("Array(Date)", "[1]") == std::string("!: a value of type Date in it ") + number);
  CHECK(at_path("Map(String, Date)", R"({"a":1})") == std::string("!: a value of type Date in it ") + number);
  CHECK(at_path("JSON(a Date)", R"({"a":1})") == std::string("!: a value of type Date in it ") + number);
  check_paths("DateTime", {{"1700000000", ""},
                           {R"("2023-11-14 22:13:20")", ""},
                           {R"("2023-11-14T22:13:20Z")", ""},
                           {R"("2023-11-14T22:13:20.000+01:00")", ""},
                           {R"("1700000000")", ""},
                           {R"("1700000000.0")", text},
                           {R"("2023-11-14t22:13:20Z")", text},
                           {R"("2023-11-14T22:13:20z")", text},
                           {R"("2023-11-14T22:13:20,0")", text},
                           {"-1", "is out of range"},
                           {"1.5", "is not such a value"}});
  check_paths("DateTime64(3)", {{"-1", ""},
                                {R"("1700000000.123")", ""},
                                {R"("2023-11-14T22:13:20.123Z")", ""},
                                {R"("2023-11-14t22:13:20.123Z")", text}});
  check_paths("Time", {{"-1", ""},
                       {R"("-12:34:56")", ""},
                       {R"("59")", ""},
                       {R"("-59")", ""},
                       {R"("123")", text},
                       {R"("12:34:56.0")", text}});
  check_paths("Time64(3)", {{R"("12:34:56.5")", ""}, {R"("59.5")", ""}, {R"("123.5")", text}, {"1", ""}});
  check_paths("Enum8('a' = 1, 'b' = 2)", {{R"("a")", ""}, {"2", ""}, {R"("2")", "is not a member of the enum"}});
  check_paths("Enum8('a' = 1, '2' = 2)", {{R"("2")", ""}});
  for (const char* type : {"UUID", "IPv4", "IPv6", "FixedString(2)"})
    check_paths(type, {{"1", "is a JSON number, which the type does not take"}});
  check_paths(
      "Tuple(a UInt8, b String)",
      {{R"({"b":"x"})", ""}, {R"({"a":null})", ""}, {"[1,\"x\"]", ""}, {"{}", object}, {R"({"other":1})", object}});
  check_paths("Nested(a UInt8)", {{R"([{"a":1}])", ""}, {R"({"a":[1]})", object}});
  // A column takes them all.
  check("Tuple(a UInt8)", {{"{}", "(0)"}});
  check("Nested(a UInt8)", {{R"({"a":[1]})", "[(1)]"}});
  check("Date", {{"19782", "19782"}});
  check("Enum8('a' = 1, 'b' = 2)", {{R"("2")", "2"}});
}

TEST_CASE("json JSON: at a typed path the server tries the types of a Variant, and must not bend the value") {
  check_paths("Variant(Date, String)", {{R"("2024-02-29")", ""}, {R"("x")", ""}, {"1", ""}});
  check_paths("Variant(Decimal(9, 2), String)", {{R"("1.25")", ""}, {"1.25", ""}});
  const auto bent = [](const std::string& type, const std::string& json) { return at_path(type, json) != ""; };
  CHECK(bent("Variant(Date, String)", R"("2150-01-01")"));       // it would be 2149-06-06
  CHECK(bent("Variant(Decimal(9, 2), String)", R"("1.256")"));   // 1.25
  CHECK(bent("Variant(Decimal(9, 2), Float64)", "1.256"));       // 1.25
  CHECK(bent("Variant(DateTime64(3), String)", "1e18"));         // the insert would fail
  CHECK(bent("Variant(UInt64, String)", "12345678901234567.5")); // 12345678901234568
  CHECK_FALSE(bent("Variant(UInt8, String)", "300"));
}

TEST_CASE("json JSON: a long key above many short ones is looked at no longer than the record allows") {
  // 4,000 paths of 100,000 bytes and a little.
  std::string below;
  for (int i = 0; i < 4'000; ++i) below += (i ? ",\"" : "\"") + std::to_string(i) + "\":1";
  const auto object = [&](std::size_t length) { return "{\"" + std::string(length, 'k') + "\":{" + below + "}}"; };
  const auto wrong = "! holds paths of more than 256 MiB in all";
  CHECK(became("JSON", object(100'000)) == wrong);
  CHECK(became("JSON", object(1'000)) == "'" + object(1'000) + "'");
  // Many objects of one record are added up; those of other records are not.
  const auto half = object(40'000);
  CHECK(became("JSON", "{\"a\":[" + half + "," + half + "]}") == wrong);
  CHECK(became("Array(JSON)", "[" + half + "," + half + "]") == wrong);
  CHECK(became("JSON", half) == "'" + half + "'");
  const auto out = decoded({target("j", "JSON")}, {"{\"j\":" + half + "}", "{\"j\":" + half + "}"});
  CHECK(out.rows.rows == 2);
}

TEST_CASE("json geometry") {
  check("Point", {{"[1.5,-2]", "(1.5,-2)"},
                  {"null", "(0,0)"},
                  {"[1]", "! has another number of elements than the tuple"},
                  {R"({"x":1,"y":2})", "! is a JSON object, which the type does not take"}});
  check("Ring", {{"[[0,0],[1,0],[1,1]]", "[(0,0),(1,0),(1,1)]"}, {"[]", "[]"}});
  check("LineString", {{"[[0,0],[1,0]]", "[(0,0),(1,0)]"}});
  check("MultiLineString", {{"[[[0,0],[1,0]],[]]", "[[(0,0),(1,0)],[]]"}});
  check("Polygon", {{"[[[0,0],[1,0],[1,1]]]", "[[(0,0),(1,0),(1,1)]]"}});
  check("MultiPolygon", {{"[[[[0,0],[1,0],[1,1]]]]", "[[[(0,0),(1,0),(1,1)]]]"}});
  check("Geometry", {{"[1,2]", "Point:(1,2)"}, {"null", "null"}, {"[[1,2],[3,4]]", "LineString:[(1,2),(3,4)]"}});
}

TEST_CASE("json SimpleAggregateFunction") {
  check("SimpleAggregateFunction(sum, UInt64)",
        {{"18446744073709551615", "18446744073709551615"}, {"-1", "! is out of range"}});
  check("SimpleAggregateFunction(anyLast, LowCardinality(Nullable(String)))", {{"null", "null"}, {R"("a")", "'a'"}});
  check("SimpleAggregateFunction(groupArrayArray, Array(UInt8))", {{"[7]", "[7]"}});
}

TEST_CASE("json: types that records cannot fill") {
  for (const char* type : {"AggregateFunction(sum, UInt64)", "IntervalDay", "Nothing", "Array(Nothing)"})
    CHECK_FALSE(make_json_decoder({target("c", type)}, {}).ok());
}
