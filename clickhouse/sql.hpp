// The little SQL and TabSeparated that clickhouse/ writes and reads. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chute::clickhouse {

std::string quote_name(std::string_view name);                             // `name`
std::string quote_text(std::string_view text);                             // 'text'
std::string table_name(std::string_view database, std::string_view table); // `database`.`table`

// TabSeparated: rows of unescaped fields (\N becomes "\N" as it stands). Nothing if the text does not end with a line
// end: then it was cut.
using tsv_rows = std::vector<std::vector<std::string>>;
std::optional<tsv_rows> parse_tsv(std::string_view text);

// "[1,2,3]" of unsigned numbers, as TabSeparated prints an Array.
std::optional<std::vector<std::uint64_t>> parse_numbers(std::string_view text);
std::optional<std::uint64_t> parse_number(std::string_view text);

// What stands in `engine_full` of system.tables behind the engine's arguments.
struct engine_clauses {
  std::map<std::string, std::string> settings; // without quotes
  std::vector<std::string> ttl;                // the rows' TTL, one entry a rule
};
engine_clauses parse_engine(std::string_view engine_full);
// The columns that the engine is given: of ReplicatedReplacingMergeTree('/path', '{replica}', version, deleted) the
// last two.
std::vector<std::string> engine_columns(std::string_view engine_full);
// Whether an expression, as the server prints it, names the column.
bool names_column(std::string_view expression, std::string_view column);
// The function that an expression calls, as it is written there, and whose value differs from one insert to the next:
// by time or by chance.
std::optional<std::string> calls_changing(std::string_view expression);
// Whether a TTL rule takes rows away or changes them (not: moves them to another disk, compresses them anew).
bool ttl_removes_rows(std::string_view rule);

// The target of a materialized view in its CREATE statement: `TO db.table`. Nothing: it has an inner table.
struct qualified_name {
  std::string database, table;
  auto operator<=>(const qualified_name&) const = default;
};
std::optional<qualified_name> parse_view_target(std::string_view create_query, std::string_view own_database);

} // namespace chute::clickhouse
