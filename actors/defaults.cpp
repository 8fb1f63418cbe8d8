#include "actors/defaults.hpp"

#include "clickhouse/query.hpp"
#include "formats/columns.hpp"

namespace chute {

result<table_column> column_on(const clickhouse::server_facts& facts, const clickhouse::column_description& c,
                               const std::string& encoding) {
  auto type = parse_type(c.type);
  if (!type.ok()) return type.failure();
  const auto is_from = [&](int major, int minor) {
    return facts.major > major || (facts.major == major && facts.minor >= minor);
  };
  table_column out{c.name, *type, c.default_kind, c.default_expression};
  const bool typed = encoding == "native";       // only it says the type of what it sends
  out.nullable_tuple = !typed || is_from(26, 1); // https://github.com/ClickHouse/ClickHouse/pull/89643
  out.nullable_json = !typed || is_from(25, 2);  // https://github.com/ClickHouse/ClickHouse/pull/73556
  out.json_times = is_from(25, 10);              // https://github.com/ClickHouse/ClickHouse/pull/85396
  return out;
}

namespace {

result<void> fill_default(clickhouse::session& s, target_column& t, const decoder_options& options,
                          std::int64_t limit_ms, bool& lasting) {
  const auto answer = clickhouse::run(s, fill_query(t.column), limit_ms);
  const auto what = "the DEFAULT expression " + t.column.default_expression + " of column " + t.column.name;
  if (!answer.ok) {
    constexpr int unknown_identifier = 47;
    lasting = answer.code == unknown_identifier;
    if (!lasting) return clickhouse::query_error(s, what, answer);
    return error{"clickhouse", what + " (" + t.column.type->text + ") uses other columns of the row",
                 "records without a value for it need a constant: use an expression without other columns, or none"};
  }
  auto r = read_fill(t, answer.text, options);
  lasting = !r.ok();
  return r;
}

} // namespace

result<void> fill_defaults(clickhouse::session& s, std::vector<target_column>& targets, const decoder_options& options,
                           std::int64_t limit_ms, bool& lasting) {
  for (auto& t : targets) {
    if (!needs_fill(t.column)) continue;
    const auto done = fill_default(s, t, options, limit_ms, lasting);
    if (done.ok()) continue;
    // An older server takes such a column as long as every record of a batch has a value for it.
    if (!lasting || (t.column.nullable_tuple && t.column.nullable_json)) return done;
    lasting = false;
    t.column.nullable_tuple = t.column.nullable_json = true;
    if (needs_fill(t.column)) return lasting = true, done; // an array: any server's
  }
  return {};
}

} // namespace chute
