#include "clickhouse/check.hpp"
#include "clickhouse/schema.hpp"
#include "raw_server.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <limits>

using namespace chute;
using namespace chute::clickhouse;
using severity = finding::severity;

namespace {

server_facts new_server() {
  server_facts f;
  f.version = "26.7.2.1";
  f.major = 26;
  f.minor = 7;
  for (const auto& p : pinned_settings()) f.settings.insert(p.name);
  return f;
}

storage plain_storage(const std::string& table, std::uint64_t window) {
  storage s;
  s.database = "shop";
  s.table = table;
  s.uuid = "3a8f93dc-b727-4b05-8ebe-c4dd8ff8d9f8";
  s.engine = "MergeTree";
  s.family = engine_family::plain;
  s.window_inserts = window;
  s.window_seconds = std::numeric_limits<std::int64_t>::max();
  return s;
}

table_description good_table() {
  table_description t;
  static_cast<storage&>(t) = plain_storage("orders", 100'000);
  t.exists = t.database_exists = true;
  t.database_engine = "Atomic";
  t.columns = {{"id", "UInt64", "", ""},
               {"_topic", "LowCardinality(String)", "", ""},
               {"_partition", "Int32", "", ""},
               {"_offset", "Int64", "", ""}};
  return t;
}

std::vector<finding> check(const table_description& t, const expectations& e = {}) {
  return check_table(t, new_server(), "table", e);
}

bool finds(const std::vector<finding>& list, severity level, const std::string& reason, const std::string& mend = "") {
  for (const auto& f : list)
    if (f.level == level && f.reason.find(reason) != std::string::npos && f.mend.find(mend) != std::string::npos)
      return true;
  std::string all;
  for (const auto& f : list) all += "\n  " + f.reason + " → " + f.mend;
  MESSAGE("not found: ", reason, " / ", mend, "; there is:", all);
  return false;
}

} // namespace

TEST_CASE("a good table has no findings") { CHECK(check(good_table()).empty()); }

TEST_CASE("missing provenance columns come with the statement that adds them") {
  auto t = good_table();
  t.columns.resize(2);
  auto f = check(t);
  CHECK(finds(f, severity::error, "lacks _partition, _offset",
              "ALTER TABLE `shop`.`orders` ADD COLUMN `_partition` Int32, ADD COLUMN `_offset` Int64"));
  expectations off;
  off.provenance = provenance_mode::off;
  CHECK_FALSE(has_errors(check(t, off)));
  CHECK(finds(check(t, off), severity::warning, "lacks _partition"));
  expectations once;
  once.delivery = delivery_mode::at_least_once;
  CHECK(check(t, once).empty());
}

TEST_CASE("other names for the provenance columns") {
  auto t = good_table();
  t.columns[3].name = "kafka_offset";
  expectations e;
  e.columns.offset = "kafka_offset";
  CHECK(check(t, e).empty());
  CHECK(has_errors(check(t)));
}

TEST_CASE("provenance columns that cannot hold what they must") {
  auto t = good_table();
  t.columns[3].type = "Int32";
  CHECK(finds(check(t), severity::error, "_offset is Int32", "MODIFY COLUMN `_offset` Int64"));
  t = good_table();
  t.columns[2].default_kind = "ALIAS";
  CHECK(finds(check(t), severity::error, "_partition is ALIAS"));
  t = good_table();
  t.columns[1].type = "UInt8";
  CHECK(finds(check(t), severity::error, "_topic is UInt8"));
}

TEST_CASE("provenance columns that a TTL empties") {
  auto t = good_table();
  t.columns[0].ttl = "at + toIntervalDay(1)";
  CHECK(check(t).empty());
  t.columns[2].ttl = "at + toIntervalDay(1)";
  CHECK(finds(check(t), severity::error, "a TTL empties its column _partition",
              "ALTER TABLE `shop`.`orders` MODIFY COLUMN `_partition` REMOVE TTL"));
  CHECK_FALSE(believed(t, {}).there);
  CHECK_FALSE(believed(t, {}).not_there);
}

TEST_CASE("a table without a window cannot drop a repeated insert") {
  auto t = good_table();
  t.window_inserts = 0;
  expectations e;
  e.inserts_per_second = 32;
  CHECK(finds(check(t, e), severity::error, "deduplication window is 0",
              "ALTER TABLE `shop`.`orders` MODIFY SETTING non_replicated_deduplication_window = 14000"));
}

TEST_CASE("a window that is too small for the rate is a warning, and an error where the table is not asked") {
  auto t = good_table();
  t.window_inserts = 1'000;
  expectations e;
  e.inserts_per_second = 32; // half of 1,000 lasts 16 s, 210 s are needed
  CHECK(finds(check(t, e), severity::warning, "knows 1000 inserts", "= 14000"));
  e.provenance = provenance_mode::off;
  CHECK(finds(check(t, e), severity::error, "knows 1000 inserts"));
  t.window_inserts = 14'000;
  CHECK(check(t, e).empty());
  e.other_inserts_per_second = 32;
  CHECK(finds(check(t, e), severity::error, "knows 14000 inserts", "= 27000"));
}

TEST_CASE("a replicated table has a window in seconds too") {
  auto t = good_table();
  t.engine = "ReplicatedMergeTree";
  t.replicated = true;
  t.window_seconds = 300;
  CHECK(finds(check(t), severity::warning, "for 300 s", "replicated_deduplication_window_seconds = 3600"));
  t.window_seconds = 0;
  CHECK(finds(check(t), severity::error, "window is 0"));
  t.window_seconds = 3'600;
  CHECK(check(t).empty());
}

TEST_CASE("engines that cannot keep the promise") {
  auto with = [](engine_family family, const char* engine) {
    auto t = good_table();
    t.family = family;
    t.engine = engine;
    return check(t);
  };
  CHECK(finds(with(engine_family::distributed, "Distributed"), severity::error, "Distributed", "local tables"));
  CHECK(finds(with(engine_family::view, "View"), severity::error, "is a view"));
  CHECK(finds(with(engine_family::null, "Null"), severity::error, "keeps nothing"));
  CHECK(finds(with(engine_family::merging, "SummingMergeTree"), severity::error, "melts rows together"));
  CHECK(finds(with(engine_family::other, "Log"), severity::error, "does not deduplicate"));
  CHECK_FALSE(has_errors(with(engine_family::replacing, "ReplacingMergeTree")));
}

TEST_CASE("what makes an absent row no proof is said") {
  auto t = good_table();
  t.rows_expire = true;
  CHECK(finds(check(t), severity::warning, "TTL"));
  t = good_table();
  t.deletes_seen = true;
  CHECK(finds(check(t), severity::warning, "deleted"));
}

TEST_CASE("targets of views need windows of their own") {
  auto t = good_table();
  t.views.push_back({{"shop", "v"}, {"shop", "orders"}, plain_storage("by_day", 0), true});
  CHECK(finds(check(t), severity::error, "view `shop`.`v`",
              "ALTER TABLE `shop`.`by_day` MODIFY SETTING non_replicated_deduplication_window = 1000"));
  t.views[0].target.window_inserts = 10'000;
  CHECK_FALSE(has_errors(check(t)));
  CHECK(finds(check(t), severity::info, "views depend on it"));
  t.views[0].target_known = false;
  CHECK(finds(check(t), severity::error, "not there"));
  auto old = new_server();
  old.settings.erase("deduplicate_blocks_in_dependent_materialized_views");
  CHECK(finds(check_table(t, old, "table", {}), severity::error, "cannot deduplicate in their targets"));
}

TEST_CASE("the windows alone: the table at fault is named, and mended") {
  auto t = good_table();
  t.views.push_back({{"shop", "v"}, {"shop", "orders"}, plain_storage("by_day", 10'000), true});
  auto dead = plain_storage("chute_dead_letters", 10'000);
  const auto windows = [&] { return check_windows(t, dead, "table `shop`.`orders`", {}); };
  CHECK(windows().empty());
  SUBCASE("a replicated table") {
    t.replicated = true;
    t.window_inserts = 0;
    t.window_seconds = 604'800;
    CHECK(error_text(windows()) ==
          "table `shop`.`orders`: the table does not deduplicate inserts: its deduplication window is 0 (ALTER TABLE "
          "`shop`.`orders` MODIFY SETTING replicated_deduplication_window = 1000, "
          "replicated_deduplication_window_seconds = 604800)");
  }
  SUBCASE("a view's target") {
    t.views[0].target.window_inserts = 0;
    CHECK(finds(windows(), severity::error, "`shop`.`by_day`, does not deduplicate inserts",
                "ALTER TABLE `shop`.`by_day` MODIFY SETTING non_replicated_deduplication_window"));
    CHECK(windows().size() == 1);
    t.views[0].target_known = false;
    CHECK(finds(windows(), severity::error, "is not there", "grant SHOW TABLES"));
  }
  SUBCASE("the dead letters") {
    dead.window_inserts = 0;
    CHECK(finds(windows(), severity::error, "`shop`.`chute_dead_letters`, does not deduplicate inserts",
                "ALTER TABLE `shop`.`chute_dead_letters` MODIFY SETTING non_replicated_deduplication_window"));
  }
  SUBCASE("what keeps nothing") {
    t.family = engine_family::null;
    CHECK(finds(windows(), severity::error, "keeps nothing", "MergeTree"));
  }
}

TEST_CASE("a missing table and a missing database") {
  table_description t;
  t.database = "shop";
  t.table = "orders";
  CHECK(finds(check(t), severity::error, "no database", "CREATE DATABASE `shop`"));
  CHECK(finds(check(t), severity::error, "no table", "CREATE TABLE `shop`.`orders`"));
  t.database_exists = true;
  CHECK(check(t).size() == 1);
}

TEST_CASE("columns that records cannot fill") {
  auto t = good_table();
  t.columns.push_back({"state", "AggregateFunction(sum, UInt64)", "", ""});
  t.columns.push_back({"double_id", "UInt64", "MATERIALIZED", "id * 2"});
  auto f = check(t);
  CHECK(finds(f, severity::warning, "state is AggregateFunction"));
  CHECK(f.size() == 1);
}

TEST_CASE("old servers and unknown settings") {
  auto facts = new_server();
  facts.settings.erase("insert_deduplication_token");
  CHECK(finds(check_server(facts, "server", {}), severity::error, "insert_deduplication_token"));
  expectations once;
  once.delivery = delivery_mode::at_least_once;
  CHECK_FALSE(has_errors(check_server(facts, "server", once)));
  facts = new_server();
  facts.settings.erase("deduplicate_insert");
  CHECK(check_server(facts, "server", {}).empty());
  expectations e;
  e.settings = {{"insert_qourum", "2"}, {"async_insert", "1"}};
  CHECK(finds(check_server(facts, "server", e), severity::error, "insert_qourum"));
  CHECK(finds(check_server(facts, "server", e), severity::error, "async_insert, which every insert sets"));
}

TEST_CASE("the table of the dead letters") {
  table_description t;
  t.database = "shop";
  t.table = "chute_dead_letters";
  CHECK_FALSE(has_errors(check_dead_letters(t, "dead letters", {})));
  static_cast<storage&>(t) = plain_storage("chute_dead_letters", 10'000);
  t.exists = true;
  for (const auto& c : dead_letter_columns()) t.columns.push_back({c.name, c.type, "", ""});
  CHECK(check_dead_letters(t, "dead letters", {}).empty());
  t.columns[6].type = "String"; // key: null and empty would be the same
  CHECK(finds(check_dead_letters(t, "dead letters", {}), severity::error, "`key` is String, not Nullable(String)"));
  t.columns[6].type = "Nullable(String)";
  t.columns[0].type = "DateTime64(3, 'UTC')";
  t.columns[1].type = "String";
  CHECK(check_dead_letters(t, "dead letters", {}).empty());
  t.columns.pop_back();
  CHECK(finds(check_dead_letters(t, "dead letters", {}), severity::error, "no column `error`"));
  CHECK(dead_letter_table_faults(t, true, "").size() == 1);
  t.window_inserts = 0;
  CHECK(dead_letter_table_faults(t, true, "").size() == 2);
  CHECK(dead_letter_table_faults(t, false, "").size() == 1);
}

TEST_CASE("slow questions come with what makes them fast") {
  auto t = good_table();
  CHECK(check_question_time(t, "table", {}, 100, 10'000).empty());
  CHECK(finds(check_question_time(t, "table", {}, 6'000, 10'000), severity::warning, "6000 ms", "ADD PROJECTION"));
  t.family = engine_family::replacing;
  CHECK(finds(check_question_time(t, "table", {}, 11'000, 10'000), severity::error, "11000 ms", "ADD INDEX"));
}

TEST_CASE("whether a pipeline may start") {
  auto t = good_table();
  t.window_inserts = 0;
  auto f = check(t);
  CHECK(has_errors(f));
  CHECK(error_text(f).find("table: the table does not deduplicate") == 0);
  CHECK_FALSE(has_errors({}));
  CHECK(error_text({}).empty());
}

TEST_CASE("what the table is believed") {
  auto t = good_table();
  provenance_columns c;
  CHECK(believed(t, c).there);
  CHECK(believed(t, c).not_there);
  t.deletes_seen = true;
  CHECK(believed(t, c).there);
  CHECK_FALSE(believed(t, c).not_there);
  t = good_table();
  t.rows_expire = true;
  CHECK_FALSE(believed(t, c).not_there);
  for (auto family : {engine_family::replacing, engine_family::collapsing}) {
    t = good_table();
    t.family = family;
    CHECK(believed(t, c).there);
    CHECK_FALSE(believed(t, c).not_there);
  }
  for (auto family : {engine_family::merging, engine_family::other, engine_family::distributed}) {
    t = good_table();
    t.family = family;
    CHECK_FALSE(believed(t, c).there);
  }
  t = good_table();
  t.columns.pop_back();
  CHECK_FALSE(believed(t, c).there);
  CHECK_FALSE(believed(t, c).not_there);
}

TEST_CASE("the smallest window counts") {
  auto t = good_table();
  CHECK(smallest_window(t, nullptr).inserts == 100'000);
  auto dead = plain_storage("chute_dead_letters", 10'000);
  CHECK(smallest_window(t, &dead).inserts == 10'000);
  t.views.push_back({{"shop", "v"}, {"shop", "orders"}, plain_storage("by_day", 500), true});
  t.views[0].target.window_seconds = 3'600;
  CHECK(smallest_window(t, &dead).inserts == 500);
  CHECK(smallest_window(t, &dead).seconds == 3'600);
  t.views[0].target.window_inserts = 0;
  CHECK(smallest_window(t, &dead).seconds == 0);
  t.views[0].target.family = engine_family::null; // keeps nothing that could be doubled
  CHECK(smallest_window(t, &dead).inserts == 10'000);
}

TEST_CASE("a destination is known again by its UUID, or by the path that its replicas share") {
  auto a = plain_storage("orders", 1), b = a;
  CHECK(destination_identity(a) == destination_identity(b));
  b.table = "renamed";
  CHECK(destination_identity(a) == destination_identity(b));
  b.uuid = "4a8f93dc-b727-4b05-8ebe-c4dd8ff8d9f8";
  CHECK(destination_identity(a) != destination_identity(b));
  a.keeper_path = b.keeper_path = "/clickhouse/tables/01/orders";
  CHECK(destination_identity(a) == destination_identity(b));
  b.keeper = "auxiliary";
  CHECK(destination_identity(a) != destination_identity(b));
}

TEST_CASE("changes of rows take a table whose engine can tell them") {
  auto t = good_table();
  expectations e;
  e.deletes = delete_policy::replacing;
  e.sources = {{"id", {column_source::from::field, "id"}}, {"version", {column_source::from::meta, "version"}}};
  CHECK(finds(check(t, e), severity::error, "deletes: replacing, but its engine is MergeTree",
              "ENGINE = ReplacingMergeTree(version, is_deleted)"));
  t.family = engine_family::replacing;
  t.engine = "ReplacingMergeTree";
  t.engine_full = "ReplacingMergeTree(version) ORDER BY id SETTINGS index_granularity = 8192";
  CHECK(finds(check(t, e), severity::error, "in which a deleted row would stay"));
  t.engine_full = "ReplicatedReplacingMergeTree('/a/{shard}', '{replica}', version, is_deleted) ORDER BY id";
  t.sorting_key = "id, intDiv(_offset, 10)";
  t.columns.push_back({"version", "UInt32", "", ""});
  e.sources.insert({"_offset", {column_source::from::meta, "offset"}});
  const auto found = check(t, e);
  CHECK(finds(found, severity::error, "its sorting key has _offset"));
  CHECK(finds(found, severity::error, "its sorting key has id, a field of the value", "{id: {meta: key}}"));
  CHECK(finds(found, severity::error, "version is UInt32", "MODIFY COLUMN `version` UInt64"));
  t.sorting_key = "id";
  t.columns.back().type = "UInt64";
  e.envelope = envelope_kind::debezium;
  CHECK_FALSE(has_errors(check(t, e)));

  e.deletes = delete_policy::collapsing;
  CHECK(finds(check(t, e), severity::error,
              "deletes: collapsing, but its engine is ReplacingMergeTree(version, is_deleted)"));
  t.family = engine_family::collapsing;
  t.engine_full = "VersionedCollapsingMergeTree(sign, version) ORDER BY id";
  CHECK(finds(check(t, e), severity::error, "a row that is taken back has the version that it had"));
  e.sources["version"] = {column_source::from::field, "version"};
  t.sorting_key = "id, version"; // which the engine adds
  CHECK_FALSE(has_errors(check(t, e)));
}

TEST_CASE("a table in partitions spends more of its window on each insert") {
  auto t = good_table();
  t.window_inserts = 14'000;
  expectations e;
  e.inserts_per_second = 32;
  CHECK(check(t, e).empty());
  t.partition_key = "toYYYYMM(at)";
  CHECK(finds(check(t, e), severity::warning, "32 inserts a second, each into 2 of its partitions", "= 27000"));
  t.partitions = t.partitions_written = 200;
  CHECK(finds(check(t, e), severity::warning, "each into 200 of its partitions"));
  CHECK(finds(check(t, e), severity::warning, "it has 200 partitions", "PARTITION BY"));
}

TEST_CASE("a partition that depends on when the batch is sent") {
  auto t = good_table();
  t.columns.push_back({"ingested_at", "DateTime", "DEFAULT", "now()"});
  t.columns.push_back({"day", "Date", "MATERIALIZED", "toDate(ingested_at)"});
  t.partition_key = "toDate(ingested_at)";
  expectations e;
  e.sources = {{"id", {column_source::from::field, "id"}},
               {"ingested_at", {column_source::from::field, "ingested_at"}}};
  CHECK(finds(check(t, e), severity::warning,
              "has ingested_at, and for a record without such a field its DEFAULT comes from now()",
              "columns: {ingested_at: {meta: timestamp}}"));
  SUBCASE("no record can have it") {
    e.sources.erase("ingested_at");
    CHECK(
        finds(check(t, e), severity::error, "has ingested_at, which nothing fills, and its DEFAULT comes from now()"));
  }
  const auto told = [&](const expectations& with) { return !check_partitions(t, "table", with).empty(); };
  expectations loose = e;
  loose.delivery = delivery_mode::at_least_once;
  CHECK_FALSE(told(loose));
  SUBCASE("by way of another column") {
    t.partition_key = "toYYYYMM(day)";
    CHECK(finds(check(t, e), severity::error, "has day, which nothing fills, and its MATERIALIZED", "PARTITION BY"));
  }
  SUBCASE("columns that use each other end") {
    t.columns[4].default_expression = "toDateTime(day)";
    CHECK_FALSE(told(e));
  }
  SUBCASE("another column's default is none of its") {
    t.partition_key = "id % 10";
    CHECK_FALSE(told(e));
  }
  SUBCASE("filled from a field that is named, or by the record itself") {
    e.mapped = {"ingested_at"};
    CHECK_FALSE(told(e));
    t.partition_key = "toYYYYMM(day)";
    CHECK_FALSE(told(e));
    e.mapped.clear();
    e.sources["ingested_at"] = {column_source::from::meta, "timestamp"};
    CHECK_FALSE(told(e));
  }
  SUBCASE("the key itself") {
    t.partition_key = "(id, today())";
    CHECK(finds(check(t, e), severity::error, "partition key (id, today()) calls today()", "PARTITION BY"));
  }
}

TEST_CASE("how many inserts a pipeline can reach") {
  pipeline_config p;
  CHECK(reachable_inserts_per_second(p, 20) == 20);
  p.batch.wait_ms = 250;
  p.batch.rows = 50'000; // the demo's
  CHECK(reachable_inserts_per_second(p, 12) == 48);
  p.batch.wait_ms = 1;
  CHECK(reachable_inserts_per_second(p, 32) == 640);
  p.batch.wait_ms = 1'000;
  p.batch.rows = 100; // full at once while there is much to read
  CHECK(reachable_inserts_per_second(p, 32) == 640);
  p.batch.rows = 500'000;
  p.batch.bytes = 1 << 20;
  CHECK(reachable_inserts_per_second(p, 32) == 640);
  auto t = good_table();
  t.window_inserts = 1'000'000;
  expectations e;
  e.inserts_per_second = 48;
  CHECK(check(t, e).empty());
  e.other_inserts_per_second = 60;
  CHECK(finds(check(t, e), severity::warning, "up to 108 inserts a second", "wait: 1s"));
}

TEST_CASE("two views into one target need a server that tells them apart") {
  auto t = good_table();
  t.views.push_back({{"shop", "v"}, {"shop", "orders"}, plain_storage("by_day", 10'000), true});
  t.views.push_back({{"shop", "w"}, {"shop", "orders"}, plain_storage("by_hour", 10'000), true});
  auto old = new_server();
  old.major = 23;
  old.minor = 8;
  old.settings.erase("update_insert_deduplication_token_in_dependent_materialized_views");
  const auto refused = [&](const server_facts& facts) {
    return finds(check_table(t, facts, "table", {}), severity::error, "same token");
  };
  CHECK_FALSE(refused(old));
  t.views[1].target = t.views[0].target;
  CHECK(refused(old));
  CHECK_FALSE(refused(new_server()));
  old.settings.insert("update_insert_deduplication_token_in_dependent_materialized_views");
  CHECK_FALSE(refused(old));
}

TEST_CASE("a target of views gets what all of them bring") {
  auto t = good_table();
  t.views.push_back({{"shop", "v"}, {"shop", "orders"}, plain_storage("by_day", 1'000), true});
  expectations e; // one a second
  CHECK_FALSE(has_errors(check(t, e)));
  CHECK(check(t, e).size() == 1);
  e.view_inserts_per_second[{"shop", "by_day"}] = 5;
  CHECK(finds(check(t, e), severity::warning, "by_day`, knows 1000 inserts again: at up to 5 inserts a second"));
}

namespace {

// Answers as a server that refuses, with this code, what holds one of the words.
std::vector<finding> probed(const std::vector<std::string>& refused, int code, const table_description& t,
                            const expectations& e, bool own = false) {
  test::raw_server server([&](test::connection& c) {
    for (auto request = c.read_request(); !request.empty(); request = c.read_request()) {
      const bool no = std::any_of(refused.begin(), refused.end(),
                                  [&](const auto& word) { return request.find(word) != std::string::npos; });
      const auto number = std::to_string(code);
      if (no)
        c.reply("403 Forbidden", "X-ClickHouse-Exception-Code: " + number + "\r\n",
                "Code: " + number + ". DB::Exception: no" + (code == 497 ? " (ACCESS_DENIED)" : ""));
      else if (request.find("row_policies") != std::string::npos)
        c.reply("200 OK", "X-ClickHouse-Query-Id: 1\r\n", "mine_only\n");
      else if (request.find("groupArray") != std::string::npos)
        c.reply("200 OK", "X-ClickHouse-Query-Id: 1\r\n", "0\t[]\t[]\t[]\t[]\t[]\t[]\t1\tend\n");
      else c.reply("200 OK", "X-ClickHouse-Query-Id: 1\r\n", request.find("count()") != std::string::npos ? "0\n" : "");
    }
  });
  session_options o;
  o.url = server.url();
  o.user = "chute";
  auto s = session::open(std::move(o));
  REQUIRE(s);
  return own ? probe_own_table(**s, new_server(), t, "own", "CREATE TABLE own", e.settings, 3'000)
             : probe_rights(**s, new_server(), t, "table", e, 3'000);
}

} // namespace

TEST_CASE("rights that are missing come with what grants them") {
  const auto t = good_table();
  CHECK(finds(probed({"INSERT"}, 497, t, {}), severity::error, "an insert of no rows was refused",
              "GRANT INSERT ON `shop`.`orders` TO `chute`"));
  CHECK(finds(probed({"groupArray"}, 497, t, {}), severity::error, "a question about what landed was refused",
              "GRANT SELECT ON `shop`.`orders` TO `chute`"));
  CHECK(finds(probed({"system.processes"}, 497, t, {}), severity::error, "running queries", "system.processes"));
  CHECK(finds(probed({}, 0, t, {}), severity::warning, "it has the row policy mine_only", "ALTER ROW POLICY"));
  expectations adds;
  adds.adds_columns = true;
  CHECK(finds(probed({"ADD"}, 497, t, adds), severity::error, "no column can be added",
              "GRANT ALTER ADD COLUMN ON `shop`.`orders`"));
  CHECK_FALSE(has_errors(probed({"ADD"}, 15, t, adds))); // it is there: so it may
  CHECK_FALSE(has_errors(probed({}, 0, t, adds)));
}

TEST_CASE("what is refused for another reason than rights is mended otherwise") {
  const auto t = good_table();
  CHECK(finds(probed({"INSERT"}, 164, t, {}), severity::error, "an insert of no rows was refused", "readonly = 0"));
  expectations e;
  e.settings = {{"insert_quorum", "many"}};
  CHECK(finds(probed({"INSERT"}, 452, t, e), severity::error, "an insert of no rows was refused", "constraint"));
  CHECK(finds(probed({"INSERT"}, 27, t, e), severity::error, "an insert of no rows was refused",
              "mend clickhouse.settings"));
  CHECK(finds(probed({"groupArray"}, 241, t, {}), severity::error, "a question about", "see ClickHouse's log"));
}

TEST_CASE("rights on the tables that chute makes for itself") {
  auto t = good_table();
  t.table = "chute_starts";
  CHECK(probed({}, 0, t, {}, true).empty());
  CHECK(finds(probed({"INSERT"}, 497, t, {}, true), severity::error, "an insert of no rows",
              "GRANT INSERT ON `shop`.`chute_starts`"));
  CHECK(finds(probed({"SELECT"}, 497, t, {}, true), severity::error, "it cannot be read",
              "GRANT SELECT ON `shop`.`chute_starts`"));
  t.exists = false;
  CHECK(probed({"CREATE"}, 47, t, {}, true).empty()); // it may: the statement could not succeed
  CHECK(finds(probed({"CREATE"}, 497, t, {}, true), severity::error, "chute may not make it",
              "GRANT CREATE TABLE ON `shop`.*"));
  t.database_engine = "Replicated"; // which would write the statement down
  CHECK(probed({"CREATE"}, 497, t, {}, true).empty());
}
