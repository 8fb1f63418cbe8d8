#include "formats/encoder.hpp"

#include "formats/columns.hpp"
#include "formats/row_encoding.hpp"

#include <algorithm>

namespace chute {
namespace {

// Columns that cannot hold a null: one that a batch has for them stands for the default. A column's DEFAULT may have
// come or gone since the batch was made, so that whether it has nulls only its own columns tell.
std::set<std::string> not_nullable(std::span<const target_column> targets) {
  std::set<std::string> out;
  for (const auto& t : targets)
    if (storage_type(t.column.type)->kind != type_kind::nullable) out.insert(t.column.name);
  return out;
}

// A key of a JSON object stands in quotes: `"true"`. ClickHouse reads it as a value of its type, and does not take
// quotes around one of these.
bool is_no_key_of_json(const type_ptr& key) {
  using k = type_kind;
  const auto stored = storage_type(key)->kind;
  return stored == k::boolean || stored == k::array || stored == k::tuple || stored == k::map || stored == k::json;
}

// Why the server could not read such values back from JSON; empty: it can.
std::string lost_in_json(const type& t) {
  using k = type_kind;
  if (t.kind == k::json) return ""; // its own types are JSON's
  // The server guesses by the text, and "12" may become a number.
  if (t.kind == k::variant || t.kind == k::dynamic || t.kind == k::geometry)
    return "JSON does not say which of its types a value has";
  if (t.kind == k::map && is_no_key_of_json(t.args[0]))
    return "ClickHouse does not read keys of type " + t.args[0]->text + " in the quotes that keys have in JSON";
  for (const auto& arg : t.args)
    if (auto why = lost_in_json(*arg); !why.empty()) return why;
  return "";
}

bool has_fractions(const type& t) {
  if (t.kind == type_kind::json) return false; // its text travels as it came, whatever the encoding
  if (t.kind == type_kind::datetime64) return t.scale > 0;
  return std::any_of(t.args.begin(), t.args.end(), [](const auto& arg) { return has_fractions(*arg); });
}

std::string lost_in_json(const target_column& t) {
  auto why = lost_in_json(*t.column.type);
  // Kafka's own times are not before 1970.
  if (why.empty() && !t.column.json_times && t.source.kind != column_source::from::meta &&
      has_fractions(*t.column.type))
    why = "ClickHouse before 25.10 reads times before 1970 that have a fraction as other times";
  return why;
}

} // namespace

result<body> encode(const std::string& encoding, std::span<const chunk_rows> batch,
                    std::span<const target_column> targets) {
  if (encoding == "native") return encode_native(batch);
  const auto plain = not_nullable(targets);
  if (encoding == "row_binary") return encode_row_binary(batch, plain);
  if (encoding == "json_each_row") return encode_json_each_row(batch, plain);
  return error{"encoder", "there is no encoding '" + encoding + "'", "use native, row_binary or json_each_row"};
}

result<void> can_encode(const std::string& encoding, std::span<const target_column> targets) {
  if (encoding != "json_each_row") return {};
  for (const auto& t : targets)
    if (const auto why = lost_in_json(t); !why.empty())
      return error{"encoder",
                   "column '" + t.column.name + "' of type " + t.column.type->text +
                       " cannot be sent with encoding: json_each_row, because " + why,
                   "encoding: native or row_binary"};
  return {};
}

} // namespace chute
