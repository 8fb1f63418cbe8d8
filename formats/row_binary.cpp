// RowBinaryWithDefaults: before each value a byte that says whether the row takes the column's DEFAULT instead. Source:
// ClickHouse's documentation of RowBinary and of the binary encoding of data types; read back in test/native/.
#include "formats/body_writer.hpp"
#include "formats/row_cursor.hpp"
#include "formats/row_encoding.hpp"

namespace chute {
namespace {

constexpr unsigned char no_alternative = 255;
constexpr std::uint8_t code_nothing = 0x00, code_array = 0x1E, code_nullable = 0x23, code_dynamic = 0x2B,
                       code_json = 0x30;
constexpr std::uint8_t dynamic_types_max = 32; // as ClickHouse has it where a type names no other
constexpr std::uint64_t json_paths_max = 1024;

void put(body_writer& out, std::uint8_t byte) { out.copy(&byte, 1); }

// The types that a Dynamic's value can have on its way: see dynamic_alternative.
void write_type(const type& t, body_writer& out) {
  switch (t.kind) {
  case type_kind::boolean: return put(out, 0x2D);
  case type_kind::int64: return put(out, 0x0A);
  case type_kind::uint64: return put(out, 0x04);
  case type_kind::int256: return put(out, 0x0C);
  case type_kind::float64: return put(out, 0x0E);
  case type_kind::string: return put(out, 0x15);
  case type_kind::array: put(out, code_array); return write_type(*t.args[0], out);
  case type_kind::nullable: put(out, code_nullable); return write_type(*t.args[0], out);
  case type_kind::dynamic: put(out, code_dynamic); return put(out, dynamic_types_max);
  case type_kind::json:
    put(out, code_json);
    put(out, 0); // version of this list
    out.varint(json_paths_max);
    put(out, dynamic_types_max);
    for (int i = 0; i < 3; ++i) out.varint(0); // no paths with a type, none skipped, none skipped by pattern
    return;
  default: throw std::logic_error("row_binary: a Dynamic holds no " + t.text);
  }
}

void write_value(row_cursor& c, body_writer& out);

void write_alternative(row_cursor& c, body_writer& out) {
  const bool dynamic = c.of().type->kind == type_kind::dynamic;
  const auto i = c.next_alternative();
  if (i == no_alternative) return put(out, dynamic ? code_nothing : no_alternative);
  if (dynamic) write_type(*c.of().children[i].type, out);
  else put(out, i);
  write_value(c.child(i), out);
}

void write_text(row_cursor& c, body_writer& out) {
  const auto text = c.next_text();
  out.text(text);
}

void write_value(row_cursor& c, body_writer& out) {
  switch (c.of().form) {
  case layout::fixed: return out.copy(c.next_fixed(), c.of().width);
  case layout::text: return write_text(c, out);
  case layout::array: {
    const auto n = c.next_array();
    out.varint(n);
    for (std::size_t i = 0; i < n; ++i) write_value(c.child(0), out);
    return;
  }
  case layout::tuple:
    c.next_tuple();
    for (std::size_t i = 0; i < c.children(); ++i) write_value(c.child(i), out);
    return;
  case layout::nullable: {
    const bool null = c.next_null();
    put(out, null ? 1 : 0);
    return null ? c.child(0).skip(1) : write_value(c.child(0), out);
  }
  case layout::variant: return write_alternative(c, out);
  }
}

struct field {
  row_cursor values;
  bool null_is_default;
};

void write_field(field& f, body_writer& out) {
  if (!f.null_is_default) {
    put(out, 0);
    return write_value(f.values, out);
  }
  const bool null = f.values.next_null();
  put(out, null ? 1 : 0);
  return null ? f.values.child(0).skip(1) : write_value(f.values.child(0), out);
}

} // namespace

result<body> encode_row_binary(std::span<const chunk_rows> batch, const std::set<std::string>& not_nullable) {
  std::vector<chunk_rows> filled;
  auto out = begin_body(batch, filled);
  if (!out) return out.failure();
  out->format = "RowBinaryWithDefaults";
  out->settings = json_text_settings();
  out->settings.emplace_back("input_format_binary_read_json_as_string", "1");
  body_writer writer(*out);
  for (const auto& b : filled) {
    const auto& rows = b.from->rows;
    std::vector<field> fields;
    for (std::size_t i = 0; i < rows.columns.size(); ++i) {
      fields.push_back({row_cursor(rows.columns[i]),
                        not_nullable.contains(rows.names[i]) && rows.columns[i].form == layout::nullable});
      fields.back().values.skip(b.first_row);
    }
    for (std::size_t i = 0; i < b.rows; ++i) {
      for (auto& f : fields) write_field(f, writer);
      writer.end_row();
    }
  }
  writer.finish();
  return out;
}

} // namespace chute
