#include "formats/columns.hpp"

#include <algorithm>

namespace chute {
namespace {

bool has_expression(const table_column& c) {
  return (c.default_kind == "DEFAULT" || c.default_kind == "EPHEMERAL") && !c.default_expression.empty();
}

// Whether a null row of Nullable(T), and not of another type, makes the server take the DEFAULT expression of T.
bool server_fills(const table_column& c) {
  const type& t = *storage_type(c.type);
  switch (t.kind) {
  case type_kind::nullable:
  case type_kind::array:
  case type_kind::variant:
  case type_kind::dynamic: return false;
  case type_kind::tuple: return !t.args.empty() && c.nullable_tuple;
  case type_kind::map: return c.nullable_tuple;
  case type_kind::json: return c.nullable_json;
  default: return true;
  }
}

std::string quoted(std::string_view s, char quote) {
  std::string out(1, quote);
  for (char c : s) {
    if (c == quote || c == '\\') out += '\\';
    out += c;
  }
  return out + quote;
}

// Decodes the one line with the JSON decoder.
result<chunk> decode_answer(const target_column& t, std::string_view answer, decoder_options options) {
  struct no_headers : header_source {
    void headers(const record_view&, std::vector<header_view>&) const override {}
  };
  // The decoder must not look for the value that is being made.
  std::vector<target_column> targets;
  targets.push_back({{"c", t.column.type, "", ""}, {column_source::from::field, "c"}, nullptr});
  targets.push_back({{"changing", *parse_type("UInt64"), "", ""}, {column_source::from::field, "changing"}, nullptr});
  options.on_bad_record = bad_record_policy::dead_letter;
  auto d = make_decoder("json", std::move(targets), options);
  if (!d) return d.failure();
  record_view r{};
  r.value = answer;
  chunk out;
  out.first = {0};
  out.last = {0};
  (*d)->decode({&r, 1}, no_headers{}, out);
  return out;
}

} // namespace

type_ptr wire_type(const table_column& c) {
  auto stored = storage_type(c.type);
  return has_expression(c) && server_fills(c) ? nullable_of(stored) : stored;
}

bool needs_fill(const table_column& c) { return has_expression(c) && !server_fills(c); }

std::string fill_query(const table_column& c) {
  const auto& e = c.default_expression;
  return "SELECT CAST((" + e + "), " + quoted(c.type->text, '\'') +
         ") AS c, (SELECT count() FROM system.functions WHERE deterministic = 0 AND has(arrayMap(f -> lower(f), "
         "extractAll(" +
         quoted(e, '\'') +
         ", '([A-Za-z_0-9]+)\\\\s*\\\\(')), lower(name))) AS changing FORMAT JSONEachRow SETTINGS "
         "output_format_json_quote_denormals = 1, "
         "output_format_json_named_tuples_as_objects = 1, date_time_output_format = 'simple'";
}

result<void> read_fill(target_column& t, std::string_view answer, const decoder_options& options) {
  const auto about = "the DEFAULT expression " + t.column.default_expression + " of column '" + t.column.name + "' (" +
                     t.column.type->text + ") ";
  const auto way_out =
      "records without a value for this column need a constant default: use an expression without other "
      "columns and without functions such as now(), or none";
  while (!answer.empty() && (answer.back() == '\n' || answer.back() == '\r')) answer.remove_suffix(1);
  auto decoded = decode_answer(t, answer, options);
  if (!decoded) return decoded.failure();
  auto& rows = decoded->rows;
  if (rows.rows != 1 || rows.columns.size() != 2) {
    const auto why = decoded->dead.empty() ? std::string("no row came back") : decoded->dead[0].error;
    return error{"formats", about + "gave no value: " + why, way_out};
  }
  std::uint64_t changing = 0;
  std::memcpy(&changing, rows.columns[1].data.data(), sizeof changing);
  if (changing) return error{"formats", about + "is not the same for every row", way_out};
  t.fill = std::make_shared<const column>(std::move(rows.columns[0]));
  return {};
}

void prepare_block(const std::vector<target_column>& targets, block& out) {
  if (!out.names.empty()) return;
  for (const auto& t : targets) {
    out.names.push_back(t.column.name);
    out.columns.push_back(make_column(wire_type(t.column)));
  }
}

namespace {

void append_record(const record_view& r, outcome what, chunk& out) {
  out.offsets.push_back(r.offset.value);
  out.outcomes.push_back(what);
  out.hashes.push_back(record_hash(r.timestamp_ms, r.key, r.value));
  const auto size = (r.key ? r.key->size() : 0) + (r.value ? r.value->size() : 0);
  out.sizes.push_back(static_cast<std::uint32_t>(std::min<std::size_t>(size, 0xFFFFFFFF)));
}

} // namespace

void append_row_outcome(const record_view& r, chunk& out, std::size_t rows) {
  append_record(r, outcome::row, out);
  note_rows(out, rows);
}

void note_rows(chunk& out, std::size_t rows) {
  if (rows == 1) [[likely]]
    return;
  const auto at = out.outcomes.size() - 1;
  for (auto k = out.row_counts.size(); k < at; ++k) // those since the last that made several
    out.row_counts.push_back(out.outcomes[k] == outcome::row ? 1 : 0);
  out.row_counts.push_back(static_cast<std::uint8_t>(rows));
}
void append_dropped(const record_view& r, chunk& out) { append_record(r, outcome::dropped, out); }

void append_bad_record(const record_view& r, const header_source& headers, const decoder_options& options,
                       std::string error, chunk& out) {
  const auto policy = options.on_bad_record;
  if (policy == bad_record_policy::skip) return append_record(r, outcome::dropped, out);
  append_record(r, policy == bad_record_policy::stop ? outcome::stop : outcome::dead_letter, out);
  dead_letter d;
  d.partition = out.partition;
  d.offset = r.offset;
  d.timestamp_ms = r.timestamp_ms;
  if (r.key) d.key.emplace(*r.key);
  if (r.value) d.value.emplace(*r.value);
  std::vector<header_view> found;
  headers.headers(r, found);
  for (const auto& h : found)
    d.headers.emplace_back(h.name, h.value ? std::optional<std::string>(*h.value) : std::nullopt);
  d.error = std::move(error);
  out.dead.push_back(std::move(d));
}

} // namespace chute
