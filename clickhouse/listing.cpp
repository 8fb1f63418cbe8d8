#include "clickhouse/listing.hpp"

#include <algorithm>
#include <map>

namespace chute::clickhouse {

namespace {

std::string within(const std::vector<offset_range>& ranges, const std::string& partition, const std::string& offset) {
  std::string out;
  for (const auto& r : ranges)
    out += (out.empty() ? "(" : " OR (") + partition + " = " + std::to_string(r.partition.value) + " AND " + offset +
           " BETWEEN " + std::to_string(r.first.value) + " AND " + std::to_string(r.last.value) + ")";
  return "(" + out + ")";
}

// `of_all`: the lists that are told of a partition's offsets, chute_o; chute_d: of a dead letter.
std::string listing_sql(const question& q, const std::string& of_all) {
  auto partition = quote_name(q.columns.partition), offset = quote_name(q.columns.offset);
  // Names that no column has: an alias would stand for the column of that name in the condition.
  constexpr const char *as_partition = " AS chute_p, ", *as_offset = " AS chute_o, ", *as_dead = " AS chute_d FROM ";
  std::string sql = "SELECT chute_p, " + of_all + " FROM (SELECT toInt64(assumeNotNull(" + partition + "))" +
                    as_partition + "toUInt64(assumeNotNull(" + offset + "))" + as_offset + "0" + as_dead +
                    table_name(q.database, q.table) + " WHERE " + quote_name(q.columns.topic) + " = " +
                    quote_text(q.topic) + " AND " + within(q.ranges, partition, offset);
  if (q.source) sql += " AND " + quote_name(q.columns.source) + " = " + quote_text(*q.source);
  if (const auto& d = q.dead_letters)
    sql += std::string(" UNION ALL SELECT toInt64(`partition`)") + as_partition + "toUInt64(`offset`)" + as_offset +
           "1" + as_dead + table_name(d->database, d->table) + " WHERE pipeline = " + quote_text(d->pipeline) +
           " AND topic = " + quote_text(q.topic) + " AND " + within(q.ranges, "`partition`", "`offset`");
  return sql + ") GROUP BY chute_p";
}

using lists = std::vector<std::vector<std::int64_t>>; // one a range

// One of each for each list of `of_all`.
result<std::vector<lists>> listed(session& s, const question& q, const std::vector<std::string>& of_all,
                                  const settings_map& settings, std::string* server) {
  std::vector<lists> out(of_all.size(), lists(q.ranges.size()));
  if (q.ranges.empty()) return out;
  std::string all;
  for (const auto& l : of_all) all += (all.empty() ? "" : ", ") + l;
  auto a = run(s, listing_sql(q, all), q.limit_ms, settings);
  if (server) *server = a.server;
  if (!a.ok) return query_error(s, "which offsets of " + q.topic + " are in " + table_name(q.database, q.table), a);
  std::map<std::string, std::size_t> at;
  for (std::size_t i = 0; i < q.ranges.size(); ++i) at[std::to_string(q.ranges[i].partition.value)] = i;
  for (const auto& row : a.rows) {
    auto i = row.size() == 1 + of_all.size() ? at.find(row[0]) : at.end();
    for (std::size_t k = 0; k < of_all.size(); ++k) {
      auto numbers = i == at.end() ? std::nullopt : parse_numbers(row[1 + k]);
      if (!numbers) return error{"clickhouse", "the list of offsets has a row that was not asked for", "try again"};
      out[k][i->second].assign(numbers->begin(), numbers->end());
    }
  }
  return out;
}

} // namespace

result<offset_lists> list_offsets(session& s, const question& q, const settings_map& settings, std::string* server) {
  auto found = listed(s, q, {"arraySort(groupArray(chute_o))", "arraySort(groupUniqArrayIf(chute_o, chute_d))"},
                      settings, server);
  if (!found.ok()) return found.failure();
  return offset_lists{std::move((*found)[0]), std::move((*found)[1])};
}

result<std::vector<std::optional<offset_t>>> highest_offsets(session& s, const question& q,
                                                             const settings_map& settings, std::string* server) {
  auto found = listed(s, q, {"[max(chute_o)]"}, settings, server);
  if (!found.ok()) return found.failure();
  std::vector<std::optional<offset_t>> out;
  for (const auto& offsets : found->front())
    out.push_back(offsets.empty() ? std::nullopt : std::optional(offset_t{offsets.front()}));
  return out;
}

} // namespace chute::clickhouse
