#include "actors/defaults.hpp"

#include "clickhouse/query.hpp"
#include "formats/columns.hpp"

namespace chute {

result<table_column> column_on(const clickhouse::server_facts& facts, const clickhouse::column_description& c) {
  auto type = parse_type(c.type);
  if (!type.ok()) return type.failure();
  const auto from = [&](int major, int minor) {
    return facts.major > major || (facts.major == major && facts.minor >= minor);
  };
  // https://github.com/ClickHouse/ClickHouse/pull/89643, https://github.com/ClickHouse/ClickHouse/pull/73556
  return table_column{c.name, *type, c.default_kind, c.default_expression, from(26, 1), from(25, 2)};
}

result<void> fill_defaults(clickhouse::session& s, std::vector<target_column>& targets, const decoder_options& options,
                           std::int64_t limit_ms, bool& lasting) {
  for (auto& t : targets) {
    if (!needs_fill(t.column)) continue;
    const auto answer = clickhouse::run(s, fill_query(t.column), limit_ms);
    const auto what = "the DEFAULT expression " + t.column.default_expression + " of column " + t.column.name;
    if (!answer.ok) {
      constexpr int unknown_identifier = 47;
      lasting = answer.code == unknown_identifier;
      if (!lasting) return clickhouse::query_error(s, what, answer);
      return error{"clickhouse", what + " (" + t.column.type->text + ") uses other columns of the row",
                   "records without a value for it need a constant: use an expression without other columns, or none"};
    }
    if (auto r = read_fill(t, answer.text, options); !r.ok()) return lasting = true, r.failure();
  }
  return {};
}

} // namespace chute
