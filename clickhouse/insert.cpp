#include "clickhouse/insert.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <random>

namespace chute::clickhouse {
namespace {

// Beyond any batch: one insert must stay one block, because ClickHouse deduplicates by block.
constexpr const char* beyond_any_batch = "1000000000000";
// For the answer to a query that the server ended at its limit.
constexpr std::int64_t reply_grace_ms = 5'000;

// Without it ClickHouse before 24.7 passes the same token on to all views: of two that lead to one target the second
// one's rows are dropped there, as if they were repeated. Newer ones always tell views apart.
constexpr const char* two_views_one_target = "update_insert_deduplication_token_in_dependent_materialized_views";

using enum pinned_setting::necessity;
constexpr std::array pinned = {
    pinned_setting{"async_insert", "0", harmless, ""},
    pinned_setting{"insert_deduplicate", "1", essential, "it cannot drop an insert that is sent again"},
    pinned_setting{"deduplicate_insert", "enable", harmless, ""},
    pinned_setting{"insert_deduplication_token", "", essential, "it cannot know an insert again by its token"},
    pinned_setting{"deduplicate_blocks_in_dependent_materialized_views", "1", useful,
                   "an insert that is sent again is doubled in the targets of materialized views"},
    pinned_setting{two_views_one_target, "1", harmless, ""},
    pinned_setting{"materialized_views_ignore_errors", "0", harmless, ""},
    pinned_setting{"min_insert_block_size_rows", beyond_any_batch, essential, "it may cut an insert into blocks"},
    pinned_setting{"min_insert_block_size_bytes", "0", essential, "it may cut an insert into blocks"},
    pinned_setting{"max_insert_block_size", beyond_any_batch, essential, "it may cut an insert into blocks"},
    pinned_setting{"max_insert_block_size_bytes", "0", harmless, ""},
    pinned_setting{"use_strict_insert_block_limits", "0", harmless, ""},
    pinned_setting{"input_format_max_block_size_bytes", "0", harmless, ""},
    pinned_setting{"input_format_max_block_wait_ms", "0", harmless, ""},
    pinned_setting{"input_format_connection_handling", "0", harmless, ""},
    pinned_setting{"max_partitions_per_insert_block", "0", useful,
                   "a batch that touches many partitions of the table may be refused for ever"},
    pinned_setting{"max_execution_time", "", essential, "an insert may run for longer than recovery waits"},
    pinned_setting{"timeout_overflow_mode", "throw", essential, "an insert may end early and look complete"},
    pinned_setting{"input_format_null_as_default", "1", useful, "missing fields do not take the column's default"},
    pinned_setting{"input_format_defaults_for_omitted_fields", "1", useful,
                   "missing fields do not take the column's default"},
    pinned_setting{"input_format_native_decode_types_in_binary_format", "0", harmless, ""},
    pinned_setting{"input_format_try_infer_dates", "0", harmless, ""},
    pinned_setting{"input_format_try_infer_datetimes", "0", harmless, ""},
    pinned_setting{"input_format_json_try_infer_numbers_from_strings", "0", harmless, ""},
    pinned_setting{"input_format_allow_errors_num", "0", essential, "it may skip rows that it cannot read"},
    pinned_setting{"input_format_allow_errors_ratio", "0", essential, "it may skip rows that it cannot read"},
};

std::string statement(const insert_request& r) {
  std::string sql = "INSERT INTO " + table_name(r.database, r.table);
  for (std::size_t i = 0; i < r.columns.size(); ++i) sql += (i ? ", " : " (") + quote_name(r.columns[i]);
  if (!r.columns.empty()) sql += ")";
  return sql + " FORMAT " + r.format;
}

// A server that was upgraded since its settings were read may deduplicate by a setting that it did not know then.
std::string one_time_token() {
  thread_local std::mt19937_64 bits{(std::uint64_t{std::random_device{}()} << 32) | std::random_device{}()};
  char text[2 * sizeof(std::uint64_t)];
  const auto end = std::to_chars(std::begin(text), std::end(text), bits(), 16).ptr;
  return "once-" + std::string(std::begin(text), end);
}

std::string value_of(const pinned_setting& p, const insert_request& r) {
  std::string_view name = p.name;
  if (name == "insert_deduplication_token") return r.token.empty() ? one_time_token() : r.token;
  // Without a token the server would compare contents, and drop a batch that happens to equal an earlier one.
  if (name == "insert_deduplicate" && r.token.empty()) return "0";
  if (name == "deduplicate_insert" && r.token.empty()) return "disable";
  if (name == "max_execution_time") return std::to_string(std::max<std::int64_t>(1, (r.limit_ms + 999) / 1000));
  return p.value;
}

} // namespace

bool tells_views_apart(const server_facts& facts) { return std::pair(facts.major, facts.minor) >= std::pair(24, 7); }

std::span<const pinned_setting> pinned_settings() { return pinned; }

bool is_pinned(std::string_view setting) {
  return setting == "wait_end_of_query" ||
         std::any_of(pinned.begin(), pinned.end(), [&](const auto& p) { return setting == p.name; });
}

known_settings::known_settings(const server_facts& facts) {
  for (const auto& p : clickhouse::pinned)
    if (facts.knows(p.name) && !(p.name == std::string_view(two_views_one_target) && tells_views_apart(facts)))
      pinned.push_back(&p);
}

std::vector<std::pair<std::string, std::string>> insert_parameters(const known_settings& known,
                                                                   const insert_request& r) {
  std::vector<std::pair<std::string, std::string>> out{{"query", statement(r)}, {"wait_end_of_query", "1"}};
  out.reserve(out.size() + r.settings.size() + known.pinned.size());
  for (const auto& [name, value] : r.settings)
    if (!is_pinned(name)) out.emplace_back(name, value);
  for (const auto* p : known.pinned) {
    auto value = value_of(*p, r);
    if (!value.empty()) out.emplace_back(p->name, std::move(value));
  }
  return out;
}

insert_answer insert(session& s, const known_settings& known, const insert_request& r) {
  http_request request;
  request.parameters = insert_parameters(known, r);
  request.body = r.pieces;
  request.compression = s.options().compression;
  request.limit_ms = r.limit_ms + reply_grace_ms;
  request.before_send = r.lease;
  return classify(s.send(request), r.context);
}

} // namespace chute::clickhouse
