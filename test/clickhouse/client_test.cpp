// clickhouse/ against a real server, whose address is in CHUTE_CLICKHOUSE. Each case has tables of its own.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "clickhouse/check.hpp"
#include "clickhouse/insert.hpp"
#include "clickhouse/native_rows.hpp"
#include "clickhouse/questions.hpp"
#include "clickhouse/schema.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>
#include <unistd.h>

using namespace chute;
using namespace chute::clickhouse;
using verdict = insert_answer::verdict;

namespace {

constexpr std::int64_t limit = 10'000;
const std::string database = "chute_client_" + std::to_string(::getpid());

std::string address() {
  const char* url = std::getenv("CHUTE_CLICKHOUSE");
  return url ? url : "http://127.0.0.1:18123";
}

std::unique_ptr<session> open_session(session_options o = {}) {
  o.url = address();
  auto s = session::open(std::move(o));
  REQUIRE(s);
  return std::move(*s);
}

// One session and the server's facts, for all cases.
struct client {
  std::unique_ptr<session> own;
  server_facts facts;
  client() { // outside of any case: throws what is wrong
    session_options o;
    o.url = address();
    own = *session::open(o);
    facts = *read_facts(*own, limit);
  }
};
client& shared() {
  static client c;
  return c;
}
session& server() { return *shared().own; }
const server_facts& facts() { return shared().facts; }

query_answer sql(const std::string& statement) {
  auto a = run(server(), statement, limit);
  CHECK_MESSAGE(a.ok, statement, ": ", a.text);
  return a;
}

std::string value(const std::string& statement) {
  auto a = sql(statement);
  return a.rows.size() == 1 && a.rows[0].size() == 1 ? a.rows[0][0] : "?" + a.text;
}

std::string name(const std::string& table) { return table_name(database, table); }

constexpr const char* window = " SETTINGS non_replicated_deduplication_window = 1000";
constexpr const char* provenance_ddl = "_topic LowCardinality(String), _partition Int32, _offset Int64";

void make_table(const std::string& table, const std::string& columns = "", const std::string& engine = "MergeTree",
                const std::string& settings = window, const std::string& order = "id") {
  sql("CREATE TABLE " + name(table) + " (id UInt64" + (columns.empty() ? "" : ", " + columns) + ") ENGINE = " + engine +
      " ORDER BY " + order + settings);
}

// A block of rows with one column of numbers.
std::string ids_block(std::uint64_t first, std::size_t rows, const char* column = "id") {
  native_rows block(1, rows);
  auto& out = block.column(column, "UInt64");
  for (std::size_t i = 0; i < rows; ++i) out.push<std::uint64_t>(first + i);
  return std::string(block.view());
}

// A block with one column of texts.
std::string texts_block(const std::vector<std::string>& texts, const char* column) {
  native_rows block(1, texts.size());
  auto& out = block.column(column, "String");
  for (const auto& t : texts) append_text(out, t);
  return std::string(block.view());
}

struct sending {
  std::string table = {}, body = {}, column = "id", token = {};
  std::string in = database;
  settings_map settings = {};
  std::function<bool()> lease = {};
  bool refreshed = false;
};

insert_answer send(const sending& what, session& s = server()) {
  std::array<std::string_view, 1> pieces{what.body};
  insert_request r;
  r.database = what.in;
  r.table = what.table;
  r.columns = {what.column};
  r.format = "Native";
  r.pieces = pieces;
  r.token = what.token;
  r.settings = what.settings;
  r.limit_ms = limit;
  r.lease = what.lease;
  r.context.refreshed = what.refreshed;
  return insert(s, facts(), r);
}

table_description described(const std::string& table) {
  auto t = describe(server(), facts(), database, table, limit);
  REQUIRE_MESSAGE(t, t.failure().text());
  return *t;
}

std::string rows_of(const std::string& table) { return value("SELECT count() FROM " + name(table)); }

} // namespace

// --- the server ------------------------------------------------------------------------------------------------------

TEST_CASE("facts") {
  CHECK(facts().major >= 21);
  CHECK_FALSE(facts().timezone.empty());
  CHECK(facts().clock.now_ms > 1'500'000'000'000);
  CHECK(facts().knows("insert_deduplication_token"));
  CHECK_FALSE(facts().knows("no_such_setting"));
  for (const auto& p : pinned_settings()) CHECK_MESSAGE(facts().knows(p.name), p.name);
  auto clock = read_clock(server(), limit);
  REQUIRE(clock);
  CHECK(clock->now_ms >= facts().clock.now_ms);
  CHECK(clock->uptime_s >= facts().clock.uptime_s);
  CHECK(check_server(facts(), "server", {}).empty());
}

TEST_CASE("a missing field takes the column's default, whatever the user's settings say") {
  make_table("omitted", "n UInt64 DEFAULT 42");
  native_rows block(1, 1);
  auto& out = block.column("n", "Nullable(UInt64)");
  out.push<std::uint8_t>(1);
  out.push<std::uint64_t>(0);
  sending what;
  what.table = "omitted";
  what.column = "n";
  what.body = std::string(block.view());
  what.settings = {{"input_format_defaults_for_omitted_fields", "0"},
                   {"input_format_native_decode_types_in_binary_format", "1"}};
  CHECK(send(what).what == verdict::acknowledged);
  CHECK(value("SELECT n FROM " + name("omitted")) == "42");
}

TEST_CASE("one connection carries it all") {
  for (int i = 0; i < 5; ++i) {
    run(server(), "SELECT 1", limit);
    CHECK(run(server(), "SELECT 2", limit).same_connection);
  }
}

// --- inserts ---------------------------------------------------------------------------------------------------------

TEST_CASE("a batch lands, with every compression") {
  for (auto kind : {compression_kind::none, compression_kind::lz4, compression_kind::zstd, compression_kind::gzip}) {
    session_options o;
    o.compression = kind;
    auto s = open_session(o);
    auto table = "compression_" + std::to_string(static_cast<int>(kind));
    make_table(table);
    auto a = send({.table = table, .body = ids_block(0, 100'000), .token = "a"}, *s);
    CHECK_MESSAGE(a.what == verdict::acknowledged, a.message);
    CHECK(a.answered);
    CHECK(a.attempts == 1);
    CHECK(value("SELECT concat(toString(count()), ' ', toString(sum(id))) FROM " + name(table)) == "100000 4999950000");
  }
}

TEST_CASE("the same token twice gives the rows once, and the token beats the content") {
  make_table("tokens");
  CHECK(send({.table = "tokens", .body = ids_block(0, 10), .token = "one"}).what == verdict::acknowledged);
  CHECK(send({.table = "tokens", .body = ids_block(0, 10), .token = "one"}).what == verdict::acknowledged);
  CHECK(rows_of("tokens") == "10");
  CHECK(send({.table = "tokens", .body = ids_block(500, 7), .token = "one"}).what == verdict::acknowledged);
  CHECK(rows_of("tokens") == "10");
  CHECK(send({.table = "tokens", .body = ids_block(0, 10), .token = "two"}).what == verdict::acknowledged);
  CHECK(rows_of("tokens") == "20");
}

TEST_CASE("a large batch is one block: sent twice it is there once") {
  make_table("large");
  auto body = ids_block(0, 3'000'000); // three times the server's own block size
  CHECK(send({.table = "large", .body = body, .token = "one"}).what == verdict::acknowledged);
  CHECK(send({.table = "large", .body = body, .token = "one"}).what == verdict::acknowledged);
  CHECK(rows_of("large") == "3000000");
  CHECK(value("SELECT count() FROM system.parts WHERE database = '" + database +
              "' AND table = 'large' AND level = 0") == "1");
}

TEST_CASE("without a token equal batches both land") {
  make_table("no_token");
  send({.table = "no_token", .body = ids_block(0, 10)});
  send({.table = "no_token", .body = ids_block(0, 10)});
  CHECK(rows_of("no_token") == "20");
}

TEST_CASE("a batch that touches more partitions than the server's default allows") {
  make_table("partitions", "", "MergeTree PARTITION BY id");
  auto a = send({.table = "partitions", .body = ids_block(0, 110), .token = "one"});
  CHECK_MESSAGE(a.what == verdict::acknowledged, a.message);
  send({.table = "partitions", .body = ids_block(0, 110), .token = "one"});
  CHECK(rows_of("partitions") == "110");
}

TEST_CASE("views' targets deduplicate too") {
  make_table("source");
  make_table("target");
  sql("CREATE MATERIALIZED VIEW " + name("view") + " TO " + name("target") + " AS SELECT id FROM " + name("source"));
  for (int i = 0; i < 2; ++i)
    CHECK(send({.table = "source", .body = ids_block(0, 10), .token = "one"}).what == verdict::acknowledged);
  CHECK(rows_of("source") == "10");
  CHECK(rows_of("target") == "10");
}

TEST_CASE("a lease that is too old: nothing is sent") {
  make_table("lease");
  auto a = send({.table = "lease", .body = ids_block(0, 10), .token = "one", .lease = [] { return false; }});
  CHECK(a.never_sent);
  CHECK(a.attempts == 0);
  CHECK(a.what == verdict::retry);
  CHECK(rows_of("lease") == "0");
  int asked = 0;
  a = send({.table = "lease", .body = ids_block(0, 10), .token = "one", .lease = [&] { return ++asked, true; }});
  CHECK(a.what == verdict::acknowledged);
  CHECK(asked == 1);
}

// --- errors, each provoked for real ----------------------------------------------------------------------------------

namespace {
void expect(const insert_answer& a, verdict what, int code, bool before_write) {
  CHECK_MESSAGE(a.what == what, a.code, " ", a.message);
  CHECK_MESSAGE(a.code == code, a.message);
  CHECK(a.answered);
  CHECK(a.before_write == before_write);
  CHECK(a.attempts == 1);
  CHECK_FALSE(a.message.empty());
  CHECK(a.message.size() <= 500);
}
} // namespace

TEST_CASE("no table, no database") {
  expect(send({.table = "nowhere", .body = ids_block(0, 1)}), verdict::wait_person, 60, true);
  expect(send({.table = "nowhere", .body = ids_block(0, 1), .in = "no_such_database"}), verdict::wait_person, 81, true);
}

TEST_CASE("a CHECK constraint") {
  make_table("constraint_", "CONSTRAINT small CHECK id < 5");
  expect(send({.table = "constraint_", .body = ids_block(0, 10), .token = "one"}), verdict::rejected_data, 469, true);
  CHECK(rows_of("constraint_") == "0");
  // The refused batch has not used up its token.
  CHECK(send({.table = "constraint_", .body = ids_block(0, 5), .token = "one"}).what == verdict::acknowledged);
  CHECK(rows_of("constraint_") == "5");
}

TEST_CASE("a column that is not there, or no longer") {
  make_table("columns", "extra UInt64");
  CHECK(send({.table = "columns", .body = ids_block(0, 1, "extra"), .column = "extra"}).what == verdict::acknowledged);
  sql("ALTER TABLE " + name("columns") + " DROP COLUMN extra");
  expect(send({.table = "columns", .body = ids_block(0, 1, "extra"), .column = "extra"}), verdict::columns_changed, 16,
         true);
}

TEST_CASE("a column that became MATERIALIZED") {
  make_table("became", "extra UInt64");
  sql("ALTER TABLE " + name("became") + " MODIFY COLUMN extra UInt64 MATERIALIZED id * 2");
  auto a = send({.table = "became", .body = ids_block(0, 1, "extra"), .column = "extra"});
  CHECK_MESSAGE(a.what == verdict::columns_changed, a.code, " ", a.message);
}

TEST_CASE("texts that do not fit the column: it may have changed; if it did not, the rows are to blame") {
  make_table("texts",
             "n UInt32, d DateTime, day Date, u UUID, i4 IPv4, i6 IPv6, e Enum8('a' = 1), b Bool, l Array(UInt8), "
             "dec Decimal(9, 2), t Tuple(a UInt8), j JSON, f FixedString(2)");
  for (const char* column : {"n", "d", "day", "u", "i4", "i6", "e", "b", "l", "dec", "t", "j", "f"}) {
    CAPTURE(std::string(column));
    auto body = texts_block({"zz9{"}, column);
    auto a = send({.table = "texts", .body = body, .column = column});
    CHECK_MESSAGE(a.what == verdict::columns_changed, a.code, " ", a.message);
    CHECK(a.answered);
    CHECK(a.before_write);
    a = send({.table = "texts", .body = body, .column = column, .refreshed = true});
    CHECK_MESSAGE(a.what == verdict::rejected_data, a.code, " ", a.message);
    CHECK(a.answered);
    CHECK(a.before_write);
    CHECK_MESSAGE(a.message.find("zz9") == std::string::npos, a.message);
    CHECK_MESSAGE(a.message.find("code ") != std::string::npos, a.message);
  }
  CHECK(rows_of("texts") == "0");
}

TEST_CASE("a body that is not what it says") {
  make_table("garbage");
  auto whole = ids_block(0, 1000);
  for (std::size_t n : {std::size_t{1}, std::size_t{5}, std::size_t{100}, whole.size() - 1}) {
    auto a = send({.table = "garbage", .body = whole.substr(0, n), .token = "one"});
    CAPTURE(n);
    CAPTURE(a.message);
    CHECK(a.what != verdict::acknowledged);
  }
  CHECK(rows_of("garbage") == "0");
}

TEST_CASE("a wrong password") {
  session_options o;
  o.password = "wrong";
  auto s = open_session(o);
  make_table("password");
  auto a = send({.table = "password", .body = ids_block(0, 1)}, *s);
  expect(a, verdict::wait_person, 516, true);
  CHECK(a.message.find("wrong") == std::string::npos);
  auto f = read_facts(*s, limit);
  REQUIRE_FALSE(f);
  CHECK(f.failure().text().find("clickhouse.password") != std::string::npos);
}

TEST_CASE("an unknown setting of the user's") {
  make_table("settings_");
  expect(send({.table = "settings_", .body = ids_block(0, 1), .settings = {{"no_such_setting", "1"}}}),
         verdict::wait_person, 115, true);
}

TEST_CASE("a user who may only read") {
  make_table("read_only");
  auto a = send({.table = "read_only", .body = ids_block(0, 1), .settings = {{"readonly", "2"}}});
  expect(a, verdict::wait_person, 164, true);
}

TEST_CASE("too many parts") {
  make_table("parts", "", "MergeTree",
             std::string(window) +
                 ", parts_to_throw_insert = 2, parts_to_delay_insert = 1000, max_avg_part_size_for_too_many_parts = 0");
  sql("SYSTEM STOP MERGES " + name("parts"));
  insert_answer a;
  for (int i = 0; i < 6 && a.code == 0; ++i)
    a = send({.table = "parts", .body = ids_block(0, 1), .token = std::to_string(i)});
  expect(a, verdict::retry, 252, false);
}

TEST_CASE("memory and time run out") {
  make_table("memory");
  auto a = send({.table = "memory", .body = ids_block(0, 1'000'000), .settings = {{"max_memory_usage", "1000000"}}});
  expect(a, verdict::too_big, 241, false);
  make_table("slow");
  make_table("slow_target");
  sql("CREATE MATERIALIZED VIEW " + name("slow_view") + " TO " + name("slow_target") + " AS SELECT id FROM " +
      name("slow") + " WHERE sleepEachRow(0.5) = 0 SETTINGS function_sleep_max_microseconds_per_block = 100000000");
  std::string body = ids_block(0, 5);
  std::array<std::string_view, 1> pieces{body};
  insert_request r;
  r.database = database;
  r.table = "slow";
  r.columns = {"id"};
  r.format = "Native";
  r.pieces = pieces;
  r.limit_ms = 1'000; // the server ends it, and says so
  r.context.dependent_views = true;
  expect(insert(server(), facts(), r), verdict::too_big, 159, false);
}

TEST_CASE("an insert that runs is seen by its token") {
  make_table("running");
  make_table("running_target");
  sql("CREATE MATERIALIZED VIEW " + name("running_view") + " TO " + name("running_target") + " AS SELECT id FROM " +
      name("running") + " WHERE sleepEachRow(0.3) = 0");
  token_t token{0x1234, 0x5678};
  session* all[] = {&server()};
  CHECK(token_running(all, token, limit).is == token_answer::state::not_running);
  std::atomic<bool> done{false};
  std::thread other([&] {
    auto s = open_session();
    send({.table = "running", .body = ids_block(0, 9), .token = token.hex()}, *s);
    done = true;
  });
  bool seen = false;
  while (!done && !seen) seen = token_running(all, token, limit).is == token_answer::state::running;
  other.join();
  CHECK(seen);
  CHECK(token_running(all, token, limit).is == token_answer::state::not_running);
  session_options silent;
  silent.url = "http://127.0.0.1:1";
  auto nobody = session::open(silent);
  REQUIRE(nobody);
  session* two[] = {nobody->get(), &server()};
  auto answer = token_running(two, token, limit);
  CHECK(answer.is == token_answer::state::unknown);
  CHECK(answer.why.find("127.0.0.1:1") != std::string::npos);
}

// --- descriptions ----------------------------------------------------------------------------------------------------

TEST_CASE("a table is described") {
  make_table("described",
             std::string("t Tuple(a String, b UInt8), d DateTime DEFAULT now(), m UInt64 MATERIALIZED id + 1, ") +
                 provenance_ddl);
  auto t = described("described");
  CHECK(t.exists);
  CHECK(t.database_engine == "Atomic");
  CHECK(t.family == engine_family::plain);
  CHECK_FALSE(t.replicated);
  CHECK(t.window_inserts == 1000);
  CHECK(t.deduplicates());
  CHECK_FALSE(t.rows_expire);
  CHECK_FALSE(t.deletes_seen);
  CHECK(t.sorting_key == "id");
  REQUIRE(t.columns.size() == 7);
  CHECK(t.find("t")->type == "Tuple(a String, b UInt8)");
  CHECK(t.find("d")->default_kind == "DEFAULT");
  CHECK(t.find("d")->default_expression == "now()");
  CHECK(t.find("m")->default_kind == "MATERIALIZED");
  CHECK(believed(t, {}).there);
  CHECK(believed(t, {}).not_there);
  auto before = destination_identity(t);
  sql("RENAME TABLE " + name("described") + " TO " + name("described_2"));
  CHECK(destination_identity(described("described_2")) == before);
  make_table("described");
  CHECK(destination_identity(described("described")) != before);
}

TEST_CASE("another table under the name is known by its identity alone") {
  make_table("exchanged");
  make_table("exchanged_2");
  const auto now = [](const char* table) {
    auto identity = identity_now(server(), facts(), database, table, limit);
    REQUIRE_MESSAGE(identity, identity.failure().text());
    return *identity;
  };
  const auto before = now("exchanged");
  CHECK(before == destination_identity(described("exchanged")));
  sql("EXCHANGE TABLES " + name("exchanged") + " AND " + name("exchanged_2"));
  CHECK(now("exchanged") != before);
  CHECK(now("exchanged") == destination_identity(described("exchanged")));
  CHECK(now("exchanged_2") == before);
  CHECK(now("nothing") == 0);
}

TEST_CASE("what is not there is said, not an error") {
  CHECK_FALSE(described("nothing").exists);
  CHECK(described("nothing").database_exists);
  auto t = describe(server(), facts(), "no_such_database", "t", limit);
  REQUIRE(t);
  CHECK_FALSE(t->database_exists);
}

TEST_CASE("TTL, deletes and windows are noticed") {
  make_table("expires", "d DateTime", "MergeTree", " TTL d + INTERVAL 1 DAY" + std::string(window));
  CHECK(described("expires").rows_expire);
  make_table("no_window", "", "ReplacingMergeTree", "");
  CHECK(described("no_window").window_inserts == 0);
  CHECK(described("no_window").family == engine_family::replacing);
  make_table("deleted");
  send({.table = "deleted", .body = ids_block(0, 10)});
  CHECK_FALSE(described("deleted").deletes_seen);
  sql("DELETE FROM " + name("deleted") + " WHERE id = 3");
  CHECK(described("deleted").deletes_seen);
  make_table("altered");
  send({.table = "altered", .body = ids_block(0, 10)});
  sql("ALTER TABLE " + name("altered") + " DELETE WHERE id = 3 SETTINGS mutations_sync = 1");
  CHECK(described("altered").deletes_seen);
}

TEST_CASE("views are followed through their targets") {
  make_table("chain_0");
  make_table("chain_1");
  sql("CREATE MATERIALIZED VIEW " + name("chain_view_0") + " TO " + name("chain_1") + " AS SELECT id FROM " +
      name("chain_0"));
  sql("CREATE MATERIALIZED VIEW " + name("chain_view_1") + " ENGINE = MergeTree ORDER BY id AS SELECT id FROM " +
      name("chain_1"));
  auto t = described("chain_0");
  REQUIRE(t.views.size() == 2);
  CHECK(t.views[0].target.table == "chain_1");
  CHECK(t.views[0].target.window_inserts == 1000);
  CHECK(t.views[1].source.table == "chain_1");
  CHECK(t.views[1].target_known);
  CHECK(t.views[1].target.table.starts_with(".inner"));
  CHECK(t.views[1].target.window_inserts == 0);
  // What check proposes for it does mend it.
  auto found = check_table(t, facts(), "table", {});
  auto f = std::find_if(found.begin(), found.end(),
                        [](const auto& x) { return x.mend.find(".inner") != std::string::npos; });
  REQUIRE(f != found.end());
  sql(f->mend);
  CHECK(described("chain_0").views[1].target.deduplicates());
  // The same without the column that newer servers have.
  auto old = facts();
  old.system_columns.clear();
  auto again = describe(server(), old, database, "chain_0", limit);
  REQUIRE(again);
  REQUIRE(again->views.size() == 2);
  CHECK(again->views[0].target.table == "chain_1");
  CHECK(again->views[1].target.table == t.views[1].target.table);
}

TEST_CASE("names with anything in them") {
  const std::string odd = "o'd`d\\ \t.t\n{x}", column = "c`'\\\t";
  make_table(odd, std::string(provenance_ddl) + ", " + quote_name(column) + " UInt64");
  make_table(odd + " target");
  sql("CREATE MATERIALIZED VIEW " + name(odd + " view") + " TO " + name(odd + " target") + " AS SELECT id FROM " +
      name(odd));
  auto t = described(odd);
  REQUIRE(t.views.size() == 1);
  CHECK(t.views[0].target.table == odd + " target");
  CHECK(t.find(column));
  auto a = send({.table = odd, .body = ids_block(7, 1, column.c_str()), .column = column});
  CHECK_MESSAGE(a.what == verdict::acknowledged, a.message);
  CHECK(rows_of(odd + " target") == "1");
  CHECK_FALSE(has_errors(probe_rights(server(), facts(), t, "table", {}, limit)));
}

TEST_CASE("block numbers grow with inserts") {
  make_table("growing");
  auto t = described("growing");
  auto before = block_numbers(server(), t, limit);
  REQUIRE(before);
  for (int i = 0; i < 3; ++i) send({.table = "growing", .body = ids_block(0, 1)});
  CHECK(*block_numbers(server(), t, limit) == *before + 3);
}

TEST_CASE("what check proposes does mend a table") {
  make_table("mended", "", "MergeTree", "");
  auto errors = [&] {
    std::vector<finding> out;
    for (auto& f : check_table(described("mended"), facts(), "table", {}))
      if (f.level == finding::severity::error) out.push_back(f);
    return out;
  };
  auto found = errors();
  CHECK(found.size() == 2); // no window, no provenance columns
  for (const auto& f : found) sql(f.mend);
  CHECK(errors().empty());
  CHECK(probe_rights(server(), facts(), described("mended"), "table", {}, limit).empty());
  CHECK(rows_of("mended") == "0");
}

// --- questions -------------------------------------------------------------------------------------------------------

namespace {

void fill(const std::string& table, int partition, std::int64_t first, std::int64_t last,
          const std::string& topic = "orders") {
  sql("INSERT INTO " + name(table) + " (id, _topic, _partition, _offset) SELECT number, '" + topic + "', " +
      std::to_string(partition) + ", number + " + std::to_string(first) + " FROM numbers(" +
      std::to_string(last - first + 1) + ")");
}

question ask_about(const std::string& table, std::vector<offset_range> ranges) {
  question q;
  q.database = database;
  q.table = table;
  q.topic = "orders";
  q.ranges = std::move(ranges);
  q.limit_ms = limit;
  return q;
}

offset_range range(int partition, std::int64_t first, std::int64_t last) { return {{partition}, {first}, {last}}; }

std::string text_of(const table_answer& a) {
  if (!a.answered) return "no answer: " + a.why;
  std::string out;
  for (const auto& c : a.counts)
    out += std::to_string(c.rows) + "/" + std::to_string(c.distinct) + " " + std::to_string(c.dead) + "/" +
           std::to_string(c.dead_distinct) + " " + std::to_string(c.either) + "; ";
  return out;
}

} // namespace

TEST_CASE("rows are counted by range, in the order of the ranges") {
  make_table("counted", provenance_ddl);
  fill("counted", 0, 0, 99);
  fill("counted", 0, 10, 19); // twice
  fill("counted", 3, 1000, 1009);
  fill("counted", 0, 0, 99, "other");
  auto q = ask_about("counted", {range(3, 1005, 2000), range(0, 0, 9), range(0, 10, 24), range(7, 0, 100),
                                 range(0, 100, 50), range(0, 90, INT64_MAX)});
  CHECK(text_of(ask(server(), facts(), q)) ==
        "5/5 0/0 5; 10/10 0/0 10; 25/15 0/0 15; 0/0 0/0 0; 0/0 0/0 0; 10/10 0/0 10; ");
  q.ranges = {range(0, 0, 99), range(0, 10, 19), range(0, 15, 30)}; // they overlap
  CHECK(text_of(ask(server(), facts(), q)) == "110/100 0/0 100; 20/10 0/0 10; 21/16 0/0 16; ");
  q.ranges = {};
  CHECK(ask(server(), facts(), q).answered);
  q.ranges = {range(0, 0, 99)};
  q.topic = "it's \\ another";
  CHECK(text_of(ask(server(), facts(), q)) == "0/0 0/0 0; ");
  auto started = ask(server(), facts(), q).server_started_ms;
  auto clock = read_clock(server(), limit);
  CHECK(std::abs(started - (clock->now_ms - clock->uptime_s * 1000)) < 3'000);
}

TEST_CASE("offsets are counted once over the table and the dead letters, and listed") {
  make_table("both", provenance_ddl);
  auto dead = ensure_dead_letter_table(server(), facts(), described("both"), database, "both_dead", true, limit);
  REQUIRE_MESSAGE(dead, dead.failure().text());
  fill("both", 0, 0, 9);
  std::vector<dead_letter> letters(3);
  for (int i = 0; i < 3; ++i) letters[static_cast<std::size_t>(i)].offset = {8 + i};
  std::vector<const dead_letter*> pointers{&letters[0], &letters[1], &letters[2]};
  dead_letter_insert r;
  r.database = database;
  r.table = "both_dead";
  r.pipeline = "p";
  r.topic = "orders";
  r.letters = pointers;
  REQUIRE(insert_dead_letters(server(), facts(), r).what == verdict::acknowledged);
  auto q = ask_about("both", {range(0, 5, 20), range(1, 0, 5)});
  q.dead_letters = dead_letter_place{database, "both_dead", "p", false};
  q.list = true;
  auto a = ask(server(), facts(), q);
  CHECK(text_of(a) == "5/5 3/3 6; 0/0 0/0 0; ");
  REQUIRE(a.listed.all.size() == 2);
  REQUIRE(a.listed.dead.size() == 2);
  CHECK(a.listed.all[0] == std::vector<std::int64_t>{5, 6, 7, 8, 8, 9, 9, 10}); // two are in both
  CHECK(a.listed.dead[0] == std::vector<std::int64_t>{8, 9, 10});
  CHECK(a.listed.all[1].empty());
  q.dead_letters->pipeline = "another";
  CHECK(text_of(ask(server(), facts(), q)) == "5/5 0/0 5; 0/0 0/0 0; ");
}

TEST_CASE("columns of other names and types, and a source") {
  make_table("mapped", "t String, p Nullable(UInt32), o UInt64, s String");
  sql("INSERT INTO " + name("mapped") +
      " (t, p, o, s) SELECT 'orders', number < 5 ? 1 : NULL, number, number % 2 ? 'a' : 'b' FROM numbers(10)");
  auto q = ask_about("mapped", {range(1, 0, 100), range(0, 0, 100)});
  q.columns = {"t", "p", "o", "s"};
  CHECK(text_of(ask(server(), facts(), q)) == "5/5 0/0 5; 0/0 0/0 0; ");
  q.source = "a";
  CHECK(text_of(ask(server(), facts(), q)) == "2/2 0/0 2; 0/0 0/0 0; ");
}

TEST_CASE("many ranges in one question") {
  make_table("many", provenance_ddl);
  sql("INSERT INTO " + name("many") +
      " (id, _topic, _partition, _offset) SELECT number, 'orders', number % 1000, intDiv(number, 1000) FROM "
      "numbers(100000)");
  std::vector<offset_range> ranges;
  for (int p = 999; p >= 0; --p) {
    ranges.push_back(range(p, 50, 59));
    ranges.push_back(range(p, 0, 9'000'000'000'000'000'000));
  }
  ranges.resize(ranges_max);
  auto q = ask_about("many", ranges);
  make_table("many_dead_source", provenance_ddl);
  REQUIRE(ensure_dead_letter_table(server(), facts(), described("many"), database, "many_dead", true, limit));
  q.dead_letters = dead_letter_place{database, "many_dead", "p", false};
  auto a = ask(server(), facts(), q);
  REQUIRE_MESSAGE(a.answered, a.why);
  for (std::size_t i = 0; i < a.counts.size(); ++i) CHECK(a.counts[i].distinct == (i % 2 ? 100 : 10));
}

TEST_CASE("no table, no column, no time: no answer") {
  CHECK_FALSE(ask(server(), facts(), ask_about("nothing", {range(0, 0, 1)})).answered);
  make_table("without_columns");
  auto a = ask(server(), facts(), ask_about("without_columns", {range(0, 0, 1)}));
  CHECK_FALSE(a.answered);
  CHECK(a.why.find("_partition") != std::string::npos);
  make_table("long", provenance_ddl);
  sql("INSERT INTO " + name("long") +
      " (id, _topic, _partition, _offset) SELECT number, 'orders', 0, number FROM numbers(3000000)");
  auto q = ask_about("long", {range(0, 0, INT64_MAX)});
  q.limit_ms = 1;
  CHECK_FALSE(ask(server(), facts(), q).answered);
}

// --- tables of our own -----------------------------------------------------------------------------------------------

TEST_CASE("dead letters come back byte for byte, and a repetition changes nothing") {
  make_table("with_dead", provenance_ddl);
  for (int i = 0; i < 2; ++i) // the second time it is there
    REQUIRE(ensure_dead_letter_table(server(), facts(), described("with_dead"), database, "dead", true, limit));
  std::vector<dead_letter> letters(2);
  letters[0].partition = {4};
  letters[0].offset = {123};
  letters[0].timestamp_ms = 1'700'000'000'123;
  letters[0].key = std::string("\0\xff", 2);
  letters[0].value = std::string("{\"a\": \t\n\xc3");
  letters[0].headers = {{"h", std::string("v\0", 2)}, {"h", std::nullopt}, {"", ""}};
  letters[0].error = "field a: column a: UInt32";
  letters[1].partition = {4};
  letters[1].offset = {124};
  letters[1].value = "";
  std::vector<const dead_letter*> pointers{&letters[0], &letters[1]};
  dead_letter_insert r;
  r.database = database;
  r.table = "dead";
  r.pipeline = "orders";
  r.topic = "t";
  r.letters = pointers;
  r.failed_at_ms = 1'700'000'001'000;
  r.token = "dead-1";
  for (int i = 0; i < 2; ++i) {
    auto a = insert_dead_letters(server(), facts(), r);
    REQUIRE_MESSAGE(a.what == verdict::acknowledged, a.message);
  }
  auto a = sql(
      "SELECT toUnixTimestamp64Milli(failed_at), pipeline, topic, partition, offset, "
      "toUnixTimestamp64Milli(timestamp), hex(key), hex(value), "
      "arrayMap(h -> hex(h.1), headers), arrayMap(h -> ifNull(hex(h.2), 'null'), headers), error, key IS NULL FROM " +
      name("dead") + " ORDER BY offset");
  REQUIRE(a.rows.size() == 2);
  CHECK(a.rows[0] == std::vector<std::string>{"1700000001000", "orders", "t", "4", "123", "1700000000123", "00FF",
                                              "7B2261223A20090AC3", "['68','68','']", "['7600','null','']",
                                              "field a: column a: UInt32", "0"});
  CHECK(a.rows[1] ==
        std::vector<std::string>{"1700000001000", "orders", "t", "4", "124", "\\N", "\\N", "", "[]", "[]", "", "1"});
}

TEST_CASE("a table for dead letters that cannot serve is refused, with the reasons") {
  make_table("with_bad_dead", provenance_ddl);
  sql("CREATE TABLE " + name("bad_dead") + " (pipeline String, key String) ENGINE = MergeTree ORDER BY pipeline");
  auto t = ensure_dead_letter_table(server(), facts(), described("with_bad_dead"), database, "bad_dead", true, limit);
  REQUIRE_FALSE(t);
  auto text = t.failure().text();
  for (const char* part : {"no column `failed_at`", "`key` is String, not Nullable(String)", "does not deduplicate"})
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
}

TEST_CASE("what began is written once, however many race") {
  make_table("with_starts", provenance_ddl);
  auto made = ensure_starts_table(server(), facts(), described("with_starts"), database, "chute_starts", limit);
  REQUIRE_MESSAGE(made, made.failure().text());
  starts_place place{database, "chute_starts", false};
  start_key key{"cluster", "group", "pipe'line", "topic"};
  CHECK_FALSE(read_starts(server(), facts(), place, key, limit)->known);
  constexpr int racers = 6;
  std::array<started, racers> got;
  std::vector<std::thread> threads;
  for (int i = 0; i < racers; ++i)
    threads.emplace_back([&, i] {
      auto s = open_session();
      auto r = write_start(*s, facts(), place, key, 10 + i, {{i}, {100 + i}}, 1'700'000'000'000 - i, limit);
      if (r) got[static_cast<std::size_t>(i)] = *r;
    });
  for (auto& t : threads) t.join();
  auto there = read_starts(server(), facts(), place, key, limit);
  REQUIRE(there);
  CHECK(there->known);
  CHECK(there->from.size() == 2);
  for (const auto& g : got) {
    CHECK(g.known);
    CHECK(g.lanes == there->lanes);
    CHECK(g.from == there->from);
  }
  CHECK(value("SELECT count() FROM " + name("chute_starts") + " WHERE kind = 'start'") == "1");
  CHECK(there->begun.empty());
  for (int i = 0; i < 2; ++i) CHECK(mark_lane(server(), facts(), place, key, lane_id{7}, 1, limit));
  CHECK(mark_lane(server(), facts(), place, key, lane_id{0}, 1, limit));
  CHECK(read_starts(server(), facts(), place, key, limit)->begun == std::set<lane_id>{{0}, {7}});
  auto other = key;
  other.topic = "another";
  CHECK_FALSE(read_starts(server(), facts(), place, other, limit)->known);
  CHECK(read_starts(server(), facts(), place, other, limit)->begun.empty());
}

TEST_CASE("a start can be written again after its row was deleted, though its token is still known") {
  make_table("with_deleted_start", provenance_ddl);
  REQUIRE(ensure_starts_table(server(), facts(), described("with_deleted_start"), database, "deleted_starts", limit));
  starts_place place{database, "deleted_starts", false};
  start_key key{"c", "g", "p", "t"};
  for (int round = 0; round < 2; ++round) {
    auto r = write_start(server(), facts(), place, key, 3 + round, {{5}}, 1, limit);
    REQUIRE_MESSAGE(r, r.failure().text());
    CHECK(r->lanes == 3 + round);
    sql("ALTER TABLE " + name("deleted_starts") + " DELETE WHERE 1 SETTINGS mutations_sync = 1");
  }
}

TEST_CASE("two start rows: the oldest wins") {
  make_table("with_two", provenance_ddl);
  REQUIRE(ensure_starts_table(server(), facts(), described("with_two"), database, "two_starts", limit));
  sql("INSERT INTO " + name("two_starts") +
      " VALUES (2000, 'start', 'c', 'g', 'p', 't', 9, -1, [9]), (1000, 'start', 'c', 'g', 'p', 't', 4, -1, [4])");
  auto r = read_starts(server(), facts(), {database, "two_starts", false}, {"c", "g", "p", "t"}, limit);
  REQUIRE(r);
  CHECK(r->lanes == 4);
}

// --- TLS -------------------------------------------------------------------------------------------------------------

// CHUTE_TEST_TLS: an https address whose certificate is CHUTE_TEST_TLS_CA, for the name localhost only.
TEST_CASE("certificates are verified" * doctest::skip(std::getenv("CHUTE_TEST_TLS") == nullptr)) {
  auto answer = [](const std::string& url, bool verify, const std::string& ca) {
    session_options o;
    o.url = url;
    o.verify_tls = verify;
    o.ca_file = ca;
    auto s = session::open(o);
    REQUIRE(s);
    return run(**s, "SELECT 1", limit);
  };
  std::string url = std::getenv("CHUTE_TEST_TLS"), ca = std::getenv("CHUTE_TEST_TLS_CA");
  auto unknown = answer(url, true, "");
  CHECK_FALSE(unknown.ok);
  CHECK_MESSAGE(unknown.text.find("certificate") != std::string::npos, unknown.text);
  CHECK_MESSAGE(answer(url, true, ca).ok, answer(url, true, ca).text);
  auto other_name = url;
  other_name.replace(other_name.find("localhost"), 9, "127.0.0.1");
  CHECK_FALSE(answer(other_name, true, ca).ok);
  CHECK(answer(other_name, false, "").ok);
}

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  auto created = false;
  try {
    if (!context.shouldExit())
      created = run(server(), "CREATE DATABASE " + quote_name(database) + " ENGINE = Atomic", limit).ok;
  } catch (const std::exception& e) {
    std::cerr << "no server: " << e.what() << "\n";
    return 2;
  }
  int failed = context.run();
  if (created) run(server(), "DROP DATABASE " + quote_name(database) + " SYNC", limit);
  return failed;
}
