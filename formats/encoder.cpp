#include "formats/encoder.hpp"

#include "formats/columns.hpp"
#include "formats/row_encoding.hpp"

namespace chute {
namespace {

std::set<std::string> null_is_default(std::span<const target_column> targets) {
  std::set<std::string> out;
  for (const auto& t : targets)
    if (wire_type(t.column)->kind == type_kind::nullable && storage_type(t.column.type)->kind != type_kind::nullable)
      out.insert(t.column.name);
  return out;
}

// JSON has no way to say which type a value has: the server guesses by the text, and "12" may become a number.
bool guessed_from_json(const type& t) {
  using k = type_kind;
  if (t.kind == k::json) return false; // its own types are JSON's
  if (t.kind == k::variant || t.kind == k::dynamic || t.kind == k::geometry) return true;
  for (const auto& arg : t.args)
    if (guessed_from_json(*arg)) return true;
  return false;
}

} // namespace

result<body> encode(const std::string& encoding, std::span<const chunk_rows> batch,
                    std::span<const target_column> targets) {
  if (encoding == "native") return encode_native(batch);
  const auto defaults = null_is_default(targets);
  if (encoding == "row_binary") return encode_row_binary(batch, defaults);
  if (encoding == "json_each_row") return encode_json_each_row(batch, defaults);
  return error{"encoder", "there is no encoding '" + encoding + "'", "use native, row_binary or json_each_row"};
}

result<void> can_encode(const std::string& encoding, std::span<const target_column> targets) {
  if (encoding != "json_each_row") return {};
  for (const auto& t : targets)
    if (guessed_from_json(*t.column.type))
      return error{"encoder",
                   "column '" + t.column.name + "' of type " + t.column.type->text +
                       " cannot be sent with encoding: json_each_row, because JSON does not say which of its types a "
                       "value has",
                   "encoding: native or row_binary"};
  return {};
}

} // namespace chute
