#include "formats/encoder.hpp"

#include "formats/columns.hpp"
#include "formats/row_encoding.hpp"

namespace chute {
namespace {

error unequal(const std::string& what) {
  return error{"encoder", "the chunks of a batch differ in " + what, "this is a defect of chute: please report it"};
}

result<void> check(std::span<const chunk_rows> batch) {
  const auto& first = batch.front().from->rows;
  for (const auto& b : batch) {
    const auto& rows = b.from->rows;
    if (b.first_row + b.rows > rows.rows) return unequal("what they hold and what is taken from them");
    if (rows.names != first.names) return unequal("their columns");
    for (std::size_t i = 0; i < rows.columns.size(); ++i) {
      if (rows.columns[i].type->text != first.columns[i].type->text) return unequal("the type of " + rows.names[i]);
      if (rows.columns[i].rows != rows.rows) return unequal("the number of rows in " + rows.names[i]);
    }
  }
  return {};
}

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

std::size_t body::byte_size() const {
  std::size_t n = 0;
  for (const auto& p : pieces) n += p.size();
  return n;
}

result<body> begin_body(std::span<const chunk_rows> batch, std::vector<chunk_rows>& filled) {
  for (const auto& b : batch)
    if (b.rows) filled.push_back(b);
  if (filled.empty()) return error{"encoder", "a batch without rows has no block", ""};
  if (auto ok = check(filled); !ok) return ok.failure();
  body out;
  out.columns = filled.front().from->rows.names;
  for (const auto& b : filled) {
    out.rows += b.rows;
    out.keep.push_back(b.from);
  }
  return out;
}

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
