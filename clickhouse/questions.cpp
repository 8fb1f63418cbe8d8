#include "clickhouse/questions.hpp"

#include "clickhouse/listing.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

namespace chute::clickhouse {
namespace {

constexpr std::size_t reply_fields = 9;
constexpr const char* statement_bytes_max = "4194304";

// Ranges of one partition, of which no two overlap, by their first offset.
using by_partition = std::map<std::int32_t, std::vector<std::size_t>>;

std::string number(std::int64_t v) { return std::to_string(v); }

// The part of WHERE that indexes can use: around the ranges of each partition, or around all of them where there are so
// many that analysing the condition would cost more than reading (2.4 ms a condition with 1,000 of them, seen).
constexpr std::size_t conditions_max = 32;

std::string around(const std::string& offset, std::int64_t first, std::int64_t last) {
  return offset + " >= " + number(first) + " AND " + offset + " <= " + number(last);
}

std::string hull_condition(const question& q, const by_partition& parts, const std::string& partition,
                           const std::string& offset) {
  std::string conditions, ids;
  auto lowest = std::numeric_limits<std::int64_t>::max(), highest = std::numeric_limits<std::int64_t>::min();
  for (const auto& [id, ranges] : parts) {
    auto first = q.ranges[ranges.front()].first.value;
    auto last = q.ranges[ranges.back()].last.value; // sorted and apart: the last one ends last
    lowest = std::min(lowest, first);
    highest = std::max(highest, last);
    ids += (ids.empty() ? "" : ",") + number(id);
    if (parts.size() > conditions_max) continue;
    conditions += (conditions.empty() ? "(" : " OR (") + partition + " = " + number(id) + " AND " +
                  around(offset, first, last) + ")";
  }
  if (parts.size() <= conditions_max) return "(" + conditions + ")";
  return partition + " IN (" + ids + ") AND " + around(offset, lowest, highest);
}

// Which range a row falls into: looked up by partition, for the first range of each partition, then the second, …
std::string range_expression(const question& q, const by_partition& parts) {
  std::size_t depth = 0;
  for (const auto& [id, ranges] : parts) depth = std::max(depth, ranges.size());
  std::string out = "multiIf(";
  for (std::size_t k = 0; k < depth; ++k) {
    std::string ids, firsts, lasts, numbers;
    auto add = [](std::string& list, std::int64_t v) { list += (list.empty() ? "" : ",") + number(v); };
    for (const auto& [id, ranges] : parts) {
      if (k >= ranges.size()) continue;
      add(ids, id);
      add(firsts, q.ranges[ranges[k]].first.value);
      add(lasts, q.ranges[ranges[k]].last.value);
      add(numbers, static_cast<std::int64_t>(ranges[k]));
    }
    auto lookup = [&](const std::string& values, const char* otherwise) {
      return "transform(chute_p, CAST([" + ids + "], 'Array(Int64)'), CAST([" + values +
             "], 'Array(Int64)'), toInt64(" + otherwise + "))";
    };
    out += "chute_o >= " + lookup(firsts, "0") + " AND chute_o <= " + lookup(lasts, "-1") + ", " +
           lookup(numbers, "-1") + ", ";
  }
  return out + "toInt64(-1))";
}

std::string source_select(int which, const std::string& from, const std::string& partition, const std::string& offset,
                          const std::string& condition) {
  // Names that no column has: an alias would stand for the column of that name in the condition.
  return "SELECT toUInt8(" + number(which) + ") AS chute_w, toInt64(assumeNotNull(" + partition +
         ")) AS chute_p, toInt64(assumeNotNull(" + offset + ")) AS chute_o FROM " + from + " WHERE " + condition;
}

std::vector<std::size_t> sorted_ranges(const question& q) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < q.ranges.size(); ++i)
    if (q.ranges[i].first <= q.ranges[i].last) order.push_back(i); // an empty range counts nothing
  std::sort(order.begin(), order.end(), [&](auto a, auto b) {
    return std::tie(q.ranges[a].partition, q.ranges[a].first) < std::tie(q.ranges[b].partition, q.ranges[b].first);
  });
  return order;
}

// Splits overlapping ranges into layers within which none overlap. As a rule there is one.
std::vector<std::vector<std::size_t>> layers_of(const question& q) {
  std::vector<std::vector<std::size_t>> layers;
  for (auto i : sorted_ranges(q)) {
    auto free = std::find_if(layers.begin(), layers.end(), [&](const auto& layer) {
      const auto& last = q.ranges[layer.back()];
      return last.partition != q.ranges[i].partition || last.last < q.ranges[i].first;
    });
    if (free == layers.end()) layers.push_back({i});
    else free->push_back(i);
  }
  return layers;
}

// The single row of a reply: count; arrays: number of the range, rows, distinct, dead, distinct dead, either; when the
// server started; "end".
bool read_counts(const query_answer& a, table_answer& out) {
  if (a.rows.size() != 1 || a.rows[0].size() != reply_fields || a.rows[0].back() != "end") return false;
  const auto& row = a.rows[0];
  auto ranges = parse_number(row[0]), started = parse_number(row[reply_fields - 2]);
  if (!ranges || !started) return false;
  out.server_started_ms = static_cast<std::int64_t>(*started);
  std::vector<std::vector<std::uint64_t>> columns;
  for (std::size_t i = 1; i + 2 < reply_fields; ++i) {
    auto values = parse_numbers(row[i]);
    if (!values || values->size() != *ranges) return false;
    columns.push_back(std::move(*values));
  }
  for (std::size_t k = 0; k < *ranges; ++k) {
    if (columns[0][k] >= out.counts.size()) return false;
    out.counts[columns[0][k]] = {columns[1][k], columns[2][k], columns[3][k], columns[4][k], columns[5][k]};
  }
  return true;
}

table_answer no_answer(std::string why) {
  table_answer a;
  a.why = std::move(why);
  return a;
}

// All replicated tables of the question catch up, on one server. Returns why not; empty: done, and `server` says where.
std::string catch_up(session& s, const question& q, std::string& server) {
  std::vector<std::pair<std::string, std::string>> tables;
  if (q.replicated) tables.emplace_back(q.database, q.table);
  if (q.dead_letters && q.dead_letters->replicated)
    tables.emplace_back(q.dead_letters->database, q.dead_letters->table);
  for (const auto& [database, table] : tables) {
    auto a = sync_replica(s, database, table, q.limit_ms);
    if (!a.ok) return "the replica did not catch up: " + a.text;
    if (!server.empty() && a.server != server) return "answers came from different servers behind " + s.url();
    server = a.server;
  }
  return {};
}

} // namespace

std::string question_sql(const question& q, std::span<const std::size_t> which) {
  by_partition parts;
  for (auto i : which) parts[q.ranges[i].partition.value].push_back(i);
  auto partition = quote_name(q.columns.partition), offset = quote_name(q.columns.offset);
  auto condition = quote_name(q.columns.topic) + " = " + quote_text(q.topic);
  if (q.source) condition += " AND " + quote_name(q.columns.source) + " = " + quote_text(*q.source);
  auto sources = source_select(0, table_name(q.database, q.table), partition, offset,
                               condition + " AND " + hull_condition(q, parts, partition, offset));
  if (q.dead_letters)
    sources +=
        " UNION ALL " +
        source_select(1, table_name(q.dead_letters->database, q.dead_letters->table), "`partition`", "`offset`",
                      "`pipeline` = " + quote_text(q.dead_letters->pipeline) + " AND `topic` = " + quote_text(q.topic) +
                          " AND " + hull_condition(q, parts, "`partition`", "`offset`"));
  // Bitmaps count distinct offsets exactly, at about a bit an offset: ranges can be as long as the log.
  return "SELECT count(), groupArray(r), groupArray(n), groupArray(d), groupArray(l), groupArray(e), groupArray(b), "
         // The earliest moment at which the server can have started: uptime counts whole seconds.
         "toUnixTimestamp64Milli(now64(3)) - (toInt64(uptime()) + 1) * 1000, 'end' FROM ("
         "SELECT r, countIf(chute_w = 0) AS n, groupBitmapIf(u, chute_w = 0) AS d, countIf(chute_w = 1) AS l, "
         "groupBitmapIf(u, chute_w = 1) AS e, groupBitmap(u) AS b FROM (SELECT chute_w, toUInt64(chute_o) AS u, " +
         range_expression(q, parts) + " AS r FROM (" + sources + ")) WHERE r >= 0 GROUP BY r)";
}

settings_map reading_settings(const server_facts& facts, bool replicated) {
  settings_map out;
  auto set = [&](const char* name, const char* value) {
    if (facts.knows(name)) out[name] = value;
  };
  for (const char* mode : {"read_overflow_mode", "read_overflow_mode_leaf", "group_by_overflow_mode",
                           "result_overflow_mode", "set_overflow_mode", "transfer_overflow_mode"})
    set(mode, "throw");
  set("use_query_cache", "0");
  set("enable_parallel_replicas", "0");
  set("limit", "0");
  set("offset", "0");
  set("max_query_size", statement_bytes_max);
  if (replicated) set("select_sequential_consistency", "1");
  return out;
}

query_answer sync_replica(session& s, const std::string& database, const std::string& table, std::int64_t limit_ms) {
  return run(s, "SYSTEM SYNC REPLICA " + table_name(database, table) + " LIGHTWEIGHT", limit_ms);
}

table_answer ask(session& s, const server_facts& facts, const question& q) {
  if (q.ranges.size() > ranges_max)
    return no_answer("more than " + std::to_string(ranges_max) + " ranges in one question");
  std::string server;
  if (q.settled)
    if (auto why = catch_up(s, q, server); !why.empty()) return no_answer(why);
  auto settings = reading_settings(facts, q.replicated);
  auto elsewhere = [&](const std::string& who) {
    return no_answer("the answer came from " + who + ", not from " + server + ", which had caught up");
  };
  table_answer out;
  out.counts.resize(q.ranges.size());
  for (const auto& layer : layers_of(q)) {
    auto a = run(s, question_sql(q, layer), q.limit_ms, settings);
    if (!a.ok) return no_answer(a.text);
    if (!server.empty() && a.server != server) return elsewhere(a.server);
    if (!read_counts(a, out)) return no_answer("the reply does not have the form that was asked for");
  }
  if (q.list) {
    std::string who;
    auto found = list_offsets(s, q, settings, &who);
    if (!found) return no_answer(found.failure().cause);
    if (!server.empty() && who != server) return elsewhere(who);
    out.listed = *std::move(found);
  }
  out.answered = true;
  return out;
}

token_answer token_running(std::span<session* const> servers, const token_t& token, std::int64_t limit_ms) {
  using state = token_answer::state;
  token_answer out{state::not_running, {}, true};
  for (auto* s : servers) {
    auto a = run(*s,
                 "SELECT count() FROM system.processes WHERE Settings['insert_deduplication_token'] = " +
                     quote_text(token.hex()),
                 limit_ms);
    auto count = a.ok && a.rows.size() == 1 && a.rows[0].size() == 1 ? parse_number(a.rows[0][0]) : std::nullopt;
    out.all_answered &= count.has_value();
    if (out.is == state::running) continue;
    if (count && *count > 0) {
      out.is = state::running;
      out.why = "an insert with the token " + token.hex() + " still runs at " + s->url();
    } else if (!count) {
      out.is = state::unknown;
      out.why = s->url() + ": " + a.text;
    }
  }
  return out;
}

} // namespace chute::clickhouse
