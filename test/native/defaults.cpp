#include "defaults.hpp"

namespace chute::test {

std::vector<test_case> default_cases() {
  const auto i64 = [](std::int64_t v) { return num(v); };
  const auto pair = [&](std::int64_t a, const char* b) { return tuple({num(a), text(b)}); };
  return {
      {"Tuple(Int64, String)", {{some(pair(1, "a")), "(1,'a')"}, {none(), "(5,'x')"}}, "@", "(5, 'x')"},
      {"Point", {{some(tuple({num(1.0), num(2.0)})), "(1,2)"}, {none(), "(3,4)"}}, "@", "(3, 4)"},
      {"Map(String, Int64)",
       {{some(map({{text("p"), i64(1)}, {text("q"), i64(2)}})), "{'p':1,'q':2}"},
        {none(), "{'d':9}"},
        {some(map({})), "{}"}},
       "@",
       "map('d', 9)"},
      {"Map(LowCardinality(String), Array(Nullable(Int64)))",
       {{some(map({{text("p"), array({none(), some(i64(1))})}})), "{'p':[NULL,1]}"}, {none(), "{'d':[9]}"}},
       "@",
       "map('d', [9])"},
      {"Map(String, JSON)",
       {{some(map({{text("p"), text(R"({"a":1})")}})), R"({'p':'{"a":1}'})"}, {none(), "{}"}},
       "@",
       "map()"},
      {"JSON", {{some(text(R"({"a":1})")), R"({"a":1})"}, {none(), R"({"d":3})"}}, "@", R"('{"d":3}')"},
      {"Tuple(a JSON, b Dynamic)",
       {{some(tuple({text(R"({"a":1})"), one_of("Int64", i64(1))})), R"(('{"a":1}',1))"},
        {none(), R"(('{"z":1}','y'))"}},
       "@",
       R"(('{"z":1}', 'y'))"},
      {"LowCardinality(String)", {{some(text("a")), "a"}, {none(), "7"}}, "@", "toString(row % 2 * 7)"},
      {"UInt32 EPHEMERAL", {{some(num(4u)), "0"}, {none(), "0"}}, "0", "3"},
      {"SimpleAggregateFunction(sum, UInt64)", {{some(num(std::uint64_t{1})), "1"}, {none(), "8"}}, "@", "8"},
  };
}

std::vector<fill_case> fill_cases() {
  return {
      {"Array(Int64)", "[9, -9223372036854775808]", "[9,-9223372036854775808]"},
      {"Array(Float64)", "[nan, inf, 0.1]", "[nan,inf,0.1]"},
      {"Array(LowCardinality(Nullable(String)))", "['it\\'s', NULL, '']", "['it\\'s',NULL,'']"},
      {"Array(Tuple(a DateTime64(3), b Decimal(20, 2)))",
       "[(toDateTime64('2020-01-02 03:04:05.678', 3), toDecimal128('12345678901234567.89', 2))]",
       "[('2020-01-02 03:04:05.678',12345678901234567.89)]"},
      {"Array(Map(String, UInt256))",
       "[map('k', toUInt256('115792089237316195423570985008687907853269984665640564039457584007913129639935'))]",
       "[{'k':115792089237316195423570985008687907853269984665640564039457584007913129639935}]"},
      {"Nullable(UInt64)", "18446744073709551615", "18446744073709551615"},
      {"LowCardinality(Nullable(String))", "concat('a', 'b')", "ab"},
      {"Nullable(String)", "NULL", "NULL"},
      {"Dynamic", "5::Int64", "5"},
      {"Variant(Array(String), Int64)", "['x']::Array(String)", "['x']"},
      {"Ring", "[(1, 2), (3, 4)]", "[(1,2),(3,4)]"},
      {"QBit(Float32, 3)", "[1, 2, 3]::Array(Float32)", "[1,2,3]"},
      {"Array(UInt64)", "[row]", "", "Unknown expression"},
      {"Array(DateTime)", "[now()]", "", "not the same for every row"},
      {"Nullable(UUID)", "generateUUIDv4()", "", "not the same for every row"},
      {"Nullable(UInt32)", "RAND ( )", "", "not the same for every row"},
  };
}

} // namespace chute::test
