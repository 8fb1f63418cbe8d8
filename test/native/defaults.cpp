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

} // namespace chute::test
