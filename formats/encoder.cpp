#include "formats/encoder.hpp"

#include "formats/columns.hpp"
#include "formats/row_encoding.hpp"

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
  const auto plain = not_nullable(targets);
  if (encoding == "row_binary") return encode_row_binary(batch, plain);
  if (encoding == "json_each_row") return encode_json_each_row(batch, plain);
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
