#include "clickhouse/questions.hpp"
#include "clickhouse/schema.hpp"

#include <doctest/doctest.h>
#include <numeric>

using namespace chute;
using namespace chute::clickhouse;

namespace {
session_options nowhere() {
  session_options o;
  o.url = "http://127.0.0.1:1";
  return o;
}
} // namespace

TEST_CASE("our tables are of the destination's engine family") {
  table_description t;
  t.engine = "MergeTree";
  t.database_engine = "Atomic";
  CHECK(sibling_engine(t, "shop", "dead", "") == "MergeTree");
  t.engine = "SharedMergeTree";
  t.replicated = true;
  CHECK(sibling_engine(t, "shop", "dead", "") == "MergeTree");
  t.engine = "ReplicatedReplacingMergeTree";
  t.replica = "r1";
  CHECK(sibling_engine(t, "shop", "dead", "02") ==
        "ReplicatedMergeTree('/clickhouse/tables/chute/02/shop/dead', 'r1')");
  CHECK(sibling_engine(t, "shop", "dead", "") == "ReplicatedMergeTree('/clickhouse/tables/chute/shop/dead', 'r1')");
  t.database_engine = "Replicated";
  CHECK(sibling_engine(t, "shop", "dead", "02") == "ReplicatedMergeTree");
}

TEST_CASE("our tables deduplicate") {
  table_description t;
  auto sql = dead_letter_statement(t, "shop", "dead", "");
  CHECK(sql.starts_with("CREATE TABLE IF NOT EXISTS `shop`.`dead` (`failed_at` DateTime64(3), "));
  CHECK(sql.find("non_replicated_deduplication_window = 10000") != std::string::npos);
  CHECK(starts_statement(t, "shop", "chute_starts", "").find("`positions` Array(Int64)) ENGINE = MergeTree ORDER BY") !=
        std::string::npos);
}

namespace {
table_description starts_as_made() {
  table_description t;
  t.database = "shop";
  t.table = "chute_starts";
  t.exists = true;
  t.engine = "MergeTree";
  t.family = engine_family::plain;
  t.window_inserts = 10'000;
  t.window_seconds = 604'800;
  for (const auto& c : starts_columns()) t.columns.push_back({c.name, c.type, "", ""});
  return t;
}
std::string mend_of(const table_description& t) {
  const auto faults = starts_table_faults(t, "CREATE TABLE new");
  REQUIRE(faults.size() == 1);
  return faults[0].mend;
}
} // namespace

TEST_CASE("our tables are mended where they are, because they remember") {
  CHECK(starts_table_faults(starts_as_made(), "").empty());
  auto t = starts_as_made();
  SUBCASE("a TTL") {
    t.rows_expire = true;
    CHECK(mend_of(t) == "ALTER TABLE `shop`.`chute_starts` REMOVE TTL");
  }
  SUBCASE("a window of 0") {
    t.window_inserts = 0;
    CHECK(mend_of(t) == "ALTER TABLE `shop`.`chute_starts` MODIFY SETTING non_replicated_deduplication_window = 10000");
    t.replicated = true;
    CHECK(mend_of(t) == "ALTER TABLE `shop`.`chute_starts` MODIFY SETTING replicated_deduplication_window = 10000, "
                        "replicated_deduplication_window_seconds = 604800");
  }
  SUBCASE("a column") {
    t.columns.pop_back();
    CHECK(mend_of(t) == "ALTER TABLE `shop`.`chute_starts` ADD COLUMN `positions` Array(Int64)");
    t.columns.push_back({"positions", "String", "", ""});
    CHECK(mend_of(t) == "ALTER TABLE `shop`.`chute_starts` MODIFY COLUMN `positions` Array(Int64)");
    t.columns.back() = {"positions", "Array(Int64)", "MATERIALIZED", "[]"};
    CHECK(mend_of(t) == "ALTER TABLE `shop`.`chute_starts` MODIFY COLUMN `positions` REMOVE MATERIALIZED");
  }
  SUBCASE("another engine: its rows are carried over") {
    t.engine = "Log";
    t.family = engine_family::other;
    CHECK(mend_of(t) == "carry its rows over while no pipeline runs: RENAME TABLE `shop`.`chute_starts` TO "
                        "`shop`.`chute_starts_old`; CREATE TABLE new; INSERT INTO `shop`.`chute_starts` SELECT * FROM "
                        "`shop`.`chute_starts_old`");
  }
}

TEST_CASE("a table that is not ours goes out of the way") {
  auto t = starts_as_made();
  t.columns = {{"topic", "String", "", ""}, {"text", "String", "", ""}};
  for (const auto& fault : starts_table_faults(t, ""))
    CHECK(fault.mend ==
          "RENAME TABLE `shop`.`chute_starts` TO `shop`.`chute_starts_old`, and chute makes one of its own");
}

TEST_CASE("a dead letter's bytes depend on nothing but the record and the plan") {
  dead_letter d;
  d.partition = {3};
  d.offset = {17};
  d.key = std::string("k\0y", 3);
  d.headers = {{"h", std::nullopt}, {"h", "v"}};
  d.error = "why";
  const dead_letter* one[] = {&d};
  auto body = dead_letter_body(one, "orders", "orders", 1'700'000'000'000);
  CHECK(body == dead_letter_body(one, "orders", "orders", 1'700'000'000'000));
  CHECK(body != dead_letter_body(one, "orders", "orders", 1'700'000'000'001));
  CHECK(body.find(std::string("k\0y", 3)) != std::string::npos);
}

TEST_CASE("no letters: nothing is sent") {
  auto s = session::open(nowhere());
  REQUIRE(s);
  auto a = insert_dead_letters(**s, {}, {});
  CHECK(a.what == insert_answer::verdict::acknowledged);
}

TEST_CASE("the largest question stays below the server's limits") {
  question q;
  q.database = "shop";
  q.table = "orders";
  q.topic = "orders";
  q.dead_letters = dead_letter_place{"shop", "chute_dead_letters", "orders", false};
  for (int p = 0; p < static_cast<int>(ranges_max); ++p)
    q.ranges.push_back({{p}, {9'000'000'000'000'000'000}, {9'000'000'000'000'000'001}});
  std::vector<std::size_t> all(q.ranges.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  auto sql = question_sql(q, all);
  CHECK(sql.size() < 1'000'000);
  q.ranges.push_back(q.ranges.front());
  auto s = session::open(nowhere());
  CHECK_FALSE(ask(**s, {}, q).answered);
}

TEST_CASE("addresses that are refused") {
  auto fails = [](const std::string& url, const std::string& why) {
    session_options o;
    o.url = url;
    auto s = session::open(o);
    REQUIRE_FALSE(s);
    CHECK_MESSAGE(s.failure().text().find(why) != std::string::npos, s.failure().text());
    CHECK(s.failure().text().find("secret") == std::string::npos);
  };
  fails("http://me:secret@host:8123", "user or a password");
  fails("http://host:8123/?password=secret", "parameters");
  fails("ftp://host", "scheme");
  fails("", "cannot be read");
  fails("http://ho st", "cannot be read");
  session_options o;
  o.url = "http://host";
  o.password = "a\r\nX-Evil: 1";
  CHECK_FALSE(session::open(o));
}

TEST_CASE("the time-out of unacknowledged bytes stays below the lease") {
  clickhouse_config c;
  CHECK(options_for(c, "http://h").unacknowledged_limit_ms < c.lease_ms);
  c.lease_ms = 5'000;
  CHECK(options_for(c, "http://h").unacknowledged_limit_ms == 2'500);
}

TEST_CASE("a session has what the topology says of the server's certificate") {
  clickhouse_config c;
  CHECK(options_for(c, "https://h").ca_file.empty());
  c.ca_file = "/etc/ours.pem";
  CHECK(options_for(c, "https://h").ca_file == "/etc/ours.pem");
}

TEST_CASE("dead letters want no more replicas than their table has") {
  using chute::clickhouse::dead_letter_settings;
  using map = chute::clickhouse::settings_map;
  CHECK(dead_letter_settings({{"insert_quorum", "2"}, {"x", "1"}}, false, 1) ==
        map{{"insert_quorum", "0"}, {"x", "1"}});
  CHECK(dead_letter_settings({{"insert_quorum", "2"}}, false, 2) == map{{"insert_quorum", "2"}});
  CHECK(dead_letter_settings({{"insert_quorum", "auto"}}, true, 1) == map{{"insert_quorum", "auto"}});
  CHECK(dead_letter_settings({{"insert_quorum", "2"}}, false, std::nullopt) == map{{"insert_quorum", "2"}});
  CHECK(dead_letter_settings({}, true, 1) == map{{"insert_quorum", "0"}});
  CHECK(dead_letter_settings({}, true, 3).empty());
  CHECK(dead_letter_settings({}, false, 1).empty());
}
