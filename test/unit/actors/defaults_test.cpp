#include "actors/defaults.hpp"

#include <doctest/doctest.h>

using namespace chute;

TEST_CASE("what a column's server can do goes by its version, and by what says the types") {
  const auto on = [](int major, int minor, const std::string& encoding) {
    clickhouse::server_facts facts;
    facts.major = major;
    facts.minor = minor;
    clickhouse::column_description c;
    c.name = "c";
    c.type = "DateTime64(3)";
    const auto column = column_on(facts, c, encoding);
    REQUIRE(column.ok());
    return *column;
  };
  CHECK_FALSE(on(25, 9, "json_each_row").json_times);
  CHECK_FALSE(on(24, 12, "json_each_row").json_times);
  CHECK(on(25, 10, "json_each_row").json_times);
  CHECK(on(26, 1, "json_each_row").json_times);
  CHECK_FALSE(on(25, 12, "native").nullable_tuple);
  CHECK(on(25, 12, "row_binary").nullable_tuple);
  CHECK(on(26, 1, "native").nullable_tuple);
  CHECK_FALSE(on(25, 1, "native").nullable_json);
  CHECK(on(25, 1, "json_each_row").nullable_json);
  CHECK(on(25, 2, "native").nullable_json);
}
