#include "clickhouse/sql.hpp"

#include <doctest/doctest.h>

using namespace chute::clickhouse;

TEST_CASE("names and texts are quoted, whatever is in them") {
  CHECK(quote_name("a`b\\c") == "`a\\`b\\\\c`");
  CHECK(quote_text("it's \\ \n") == "'it\\'s \\\\ \\n'");
  CHECK(table_name("shop", "orders") == "`shop`.`orders`");
}

TEST_CASE("TabSeparated is read back") {
  auto rows = parse_tsv("a\\tb\tc\\\\d\n\\N\t\n");
  REQUIRE(rows);
  REQUIRE(rows->size() == 2);
  CHECK((*rows)[0] == std::vector<std::string>{"a\tb", "c\\d"});
  CHECK((*rows)[1] == std::vector<std::string>{"\\N", ""});
  CHECK(parse_tsv("")->empty());
  CHECK_FALSE(parse_tsv("a\tb")); // cut
}

TEST_CASE("arrays as TabSeparated prints them") {
  CHECK(*parse_numbers("[]") == std::vector<std::uint64_t>{});
  CHECK(*parse_numbers("[1,22,18446744073709551615]") == std::vector<std::uint64_t>{1, 22, 18446744073709551615ull});
  CHECK_FALSE(parse_numbers("[1,x]"));
  CHECK_FALSE(parse_numbers("[1,2"));
  CHECK_FALSE(parse_numbers(""));
}

TEST_CASE("the clauses behind an engine") {
  auto c =
      parse_engine("ReplacingMergeTree ORDER BY a TTL d + toIntervalDay(1) WHERE (a > 5) AND (s = ') SETTINGS'), d + "
                   "toIntervalHour(1) TO VOLUME 'cold' SETTINGS non_replicated_deduplication_window = 100, "
                   "storage_policy = 'a, b = c', index_granularity = 8192");
  REQUIRE(c.ttl.size() == 2);
  CHECK(ttl_removes_rows(c.ttl[0]));
  CHECK_FALSE(ttl_removes_rows(c.ttl[1]));
  CHECK(c.settings.at("non_replicated_deduplication_window") == "100");
  CHECK(c.settings.at("storage_policy") == "a, b = c");
  CHECK(c.settings.at("index_granularity") == "8192");
  CHECK(c.settings.size() == 3);
}

TEST_CASE("columns and paths that are named like clauses do not mislead") {
  auto c = parse_engine(
      "ReplicatedMergeTree('/tables/TTL/SETTINGS', '{replica}') PARTITION BY `TTL` ORDER BY (`SETTINGS`, b)");
  CHECK(c.ttl.empty());
  CHECK(c.settings.empty());
  CHECK(parse_engine("").settings.empty());
  CHECK(parse_engine("MergeTree ORDER BY a TTL").ttl.empty());
  CHECK(parse_engine("MergeTree ORDER BY a SETTINGS").settings.empty());
  CHECK(parse_engine("MergeTree ORDER BY a SETTINGS x = ").settings.empty());
  CHECK(parse_engine("MergeTree ORDER BY a TTL x RECOMPRESS CODEC(ZSTD(17))").ttl.size() == 1);
  CHECK_FALSE(ttl_removes_rows("x RECOMPRESS CODEC(ZSTD(17))"));
  CHECK(ttl_removes_rows("x DELETE"));
  CHECK(ttl_removes_rows("x GROUP BY a SET b = max(b)"));
}

TEST_CASE("broken quotes and parentheses end somewhere") {
  parse_engine("MergeTree ORDER BY 'abc");
  parse_engine("MergeTree ORDER BY ((((");
  parse_engine("MergeTree ORDER BY )))) SETTINGS a = '\\");
  parse_view_target("CREATE MATERIALIZED VIEW `", "d");
}

TEST_CASE("functions whose value differs from one insert to the next") {
  CHECK(calls_changing("toYYYYMM(NOW64(3, 'UTC'))") == "NOW64()");
  for (const char* call :
       {"now()", "today()", "randCanonical()", "generateUUIDv4()", "generateSnowflakeID()", "rand64 ()"})
    CHECK_MESSAGE(calls_changing(call), call);
  for (const char* none : {"", "now", "toDate(now)", "'now()'", "`now`", "range(3)", "todays(now)", "known()"})
    CHECK_FALSE_MESSAGE(calls_changing(none), none);
}

TEST_CASE("where a materialized view writes") {
  auto to = [](const char* q) { return parse_view_target(q, "own"); };
  CHECK(*to("CREATE MATERIALIZED VIEW shop.v TO shop.target (`a` UInt64) AS SELECT a FROM shop.t") ==
        qualified_name{"shop", "target"});
  CHECK(*to("CREATE MATERIALIZED VIEW shop.v TO `my shop`.`the.table` (`to` UInt64) AS SELECT 1") ==
        qualified_name{"my shop", "the.table"});
  CHECK(*to("CREATE MATERIALIZED VIEW shop.v TO shop.`the table` AS SELECT 1") == qualified_name{"shop", "the table"});
  CHECK(*to("CREATE MATERIALIZED VIEW shop.v TO target AS SELECT 1") == qualified_name{"own", "target"});
  CHECK_FALSE(to("CREATE MATERIALIZED VIEW shop.v (`to` UInt64) ENGINE = MergeTree ORDER BY a AS SELECT x FROM t"));
  CHECK_FALSE(to("CREATE MATERIALIZED VIEW shop.v AS SELECT 1 TO x"));
  CHECK_FALSE(to(""));
}
