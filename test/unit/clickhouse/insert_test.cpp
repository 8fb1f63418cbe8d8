#include "clickhouse/insert.hpp"

#include <doctest/doctest.h>
#include <map>

using namespace chute;
using namespace chute::clickhouse;

namespace {

server_facts new_server() {
  server_facts f;
  for (const auto& p : pinned_settings()) f.settings.insert(p.name);
  f.settings.insert("insert_quorum");
  return f;
}

insert_request sample() {
  insert_request r;
  r.database = "shop";
  r.table = "orders";
  r.columns = {"id", "odd`name"};
  r.format = "Native";
  r.token = "0123";
  r.limit_ms = 119'500;
  return r;
}

std::map<std::string, std::string> as_map(const server_facts& f, const insert_request& r) {
  std::map<std::string, std::string> out;
  for (auto& [name, value] : insert_parameters(f, r)) {
    CHECK_MESSAGE(out.emplace(name, value).second, "twice: ", name);
  }
  return out;
}

} // namespace

TEST_CASE("an insert carries every pinned setting") {
  auto p = as_map(new_server(), sample());
  CHECK(p.at("query") == "INSERT INTO `shop`.`orders` (`id`, `odd\\`name`) FORMAT Native");
  CHECK(p.at("async_insert") == "0");
  CHECK(p.at("insert_deduplicate") == "1");
  CHECK(p.at("deduplicate_insert") == "enable");
  CHECK(p.at("insert_deduplication_token") == "0123");
  CHECK(p.at("deduplicate_blocks_in_dependent_materialized_views") == "1");
  CHECK(p.at("materialized_views_ignore_errors") == "0");
  CHECK(p.at("min_insert_block_size_bytes") == "0");
  CHECK(std::stoull(p.at("min_insert_block_size_rows")) > 1'000'000'000);
  CHECK(std::stoull(p.at("max_insert_block_size")) > 1'000'000'000);
  CHECK(p.at("max_partitions_per_insert_block") == "0");
  CHECK(p.at("max_execution_time") == "120");
  CHECK(p.at("timeout_overflow_mode") == "throw");
  CHECK(p.at("input_format_null_as_default") == "1");
  CHECK(p.at("input_format_defaults_for_omitted_fields") == "1");
  CHECK(p.at("input_format_native_decode_types_in_binary_format") == "0");
  CHECK(p.at("input_format_allow_errors_num") == "0");
  CHECK(p.at("input_format_allow_errors_ratio") == "0");
  CHECK(p.at("wait_end_of_query") == "1");
}

TEST_CASE("before 24.7 views that lead to one target are told apart by a setting") {
  const std::string name = "update_insert_deduplication_token_in_dependent_materialized_views";
  auto f = new_server();
  f.settings.insert(name);
  f.major = 24;
  f.minor = 6;
  CHECK(as_map(f, sample()).at(name) == "1");
  f.minor = 7;
  CHECK_FALSE(as_map(f, sample()).contains(name));
}

TEST_CASE("without a token the server must not compare contents instead, whatever it was upgraded to meanwhile") {
  auto r = sample();
  r.token.clear();
  auto p = as_map(new_server(), r);
  const auto once = p.at("insert_deduplication_token");
  CHECK_FALSE(once.empty());
  CHECK(as_map(new_server(), r).at("insert_deduplication_token") != once);
  CHECK(p.at("insert_deduplicate") == "0");
  CHECK(p.at("deduplicate_insert") == "disable");
}

TEST_CASE("the user's settings go along, but never instead of the pinned ones") {
  auto r = sample();
  r.settings = {{"insert_quorum", "2"}, {"async_insert", "1"}, {"insert_deduplicate", "0"}, {"wait_end_of_query", "0"}};
  auto p = as_map(new_server(), r);
  CHECK(p.at("insert_quorum") == "2");
  CHECK(p.at("async_insert") == "0");
  CHECK(p.at("insert_deduplicate") == "1");
  CHECK(p.at("wait_end_of_query") == "1");
}

TEST_CASE("a setting that an old server does not know is not sent") {
  auto f = new_server();
  f.settings.erase("deduplicate_insert");
  f.settings.erase("use_strict_insert_block_limits");
  auto p = as_map(f, sample());
  CHECK_FALSE(p.contains("deduplicate_insert"));
  CHECK_FALSE(p.contains("use_strict_insert_block_limits"));
  CHECK(p.at("insert_deduplicate") == "1");
}
