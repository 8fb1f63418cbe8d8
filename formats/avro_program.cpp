#include "formats/avro_program.hpp"

#include "formats/json_node.hpp"
#include "formats/values_time.hpp"

#include <cmath>
#include <limits>

namespace chute::avro {
namespace {

using column_kind = chute::type_kind;

bool is_unsigned(column_kind k) { return k >= column_kind::uint8 && k <= column_kind::uint64; }

std::int64_t power_of_ten(unsigned n) {
  std::int64_t v = 1;
  while (n--) v *= 10;
  return v;
}

void put(const void* value, std::size_t width, column& out) {
  out.data.append(value, width);
  ++out.rows;
}

// Short texts are copied in one go where as much may be read behind them.
void put_text(std::string_view text, std::size_t readable, column& out) {
  constexpr std::size_t at_once = 32, short_max = 0x7f;
  if (text.size() <= at_once && readable >= at_once) [[likely]] {
    const std::size_t before = out.data.size();
    char* const at = out.data.extend(at_once + 1);
    *at = static_cast<char>(text.size());
    std::memcpy(at + 1, text.data(), at_once);
    out.data.truncate(before + 1 + text.size());
  } else if (text.size() <= short_max) {
    char* const at = out.data.extend(text.size() + 1);
    *at = static_cast<char>(text.size());
    if (!text.empty()) std::memcpy(at + 1, text.data(), text.size());
  } else {
    append_varint(out.data, text.size());
    out.data.append(text.data(), text.size());
  }
  ++out.rows;
}

} // namespace

// -- deciding -------------------------------------------------------------------------------------------------------

std::optional<field_program> field_program::make(const type& schema, const chute::type_ptr& column, bool wrapped) {
  field_program p;
  const auto plain = json::plain_type(column);
  if (!wrapped) return make_node(p.root_, schema, *plain) ? std::optional(std::move(p)) : std::nullopt;
  p.root_.what = op::wrapped;
  p.root_.inner.emplace_back();
  return make_node(p.root_.inner[0], schema, *plain) ? std::optional(std::move(p)) : std::nullopt;
}

bool field_program::make_node(node& n, const type& schema, const chute::type& column) {
  if (schema.what == kind::unite || column.kind == column_kind::nullable) return make_nullable(n, schema, column);
  switch (schema.what) {
  case kind::boolean: return n.what = op::boolean, column.kind == column_kind::boolean;
  case kind::float32: return n.what = op::float32, column.kind == column_kind::float32;
  case kind::float64: return n.what = op::float64, column.kind == column_kind::float64;
  case kind::int32:
  case kind::int64:
    return schema.as == logical::none ? make_integer(n, schema, column) : make_moment(n, schema, column);
  case kind::bytes:
  case kind::string:
    if (schema.as != logical::none) return false;
    n.what = column.kind == column_kind::string ? op::text : op::fixed;
    n.width = column.width;
    return column.kind == column_kind::string || column.kind == column_kind::fixed_string;
  case kind::enumeration: return make_symbol(n, schema, column);
  case kind::array:
  case kind::map: {
    const bool list = schema.what == kind::array;
    if (column.kind != (list ? column_kind::array : column_kind::map)) return false;
    if (!list && json::plain_type(column.args[0])->kind != column_kind::string) return false;
    n.what = list ? op::array : op::map;
    n.inner.emplace_back();
    return make_node(n.inner[0], *schema.parts[0], *json::plain_type(column.args[list ? 0 : 1]));
  }
  default: return false;
  }
}

bool field_program::make_integer(node& n, const type& schema, const chute::type& column) {
  const bool narrow = column.kind >= column_kind::int8 && column.kind <= column_kind::int64;
  if (!narrow && !is_unsigned(column.kind)) return false;
  n.what = op::integer;
  n.width = column.width;
  n.is_int = schema.what == kind::int32;
  using limits = std::numeric_limits<std::int64_t>;
  const unsigned bits = column.width * 8 - (narrow ? 1 : 0);
  n.max = bits >= 63 ? limits::max() : (std::int64_t{1} << bits) - 1;
  n.min = !narrow ? 0 : bits >= 63 ? limits::min() : -(std::int64_t{1} << bits);
  return true;
}

bool field_program::make_moment(node& n, const type& schema, const chute::type& column) {
  n.is_int = schema.what == kind::int32;
  if (schema.as == logical::date && (column.kind == column_kind::date || column.kind == column_kind::date32)) {
    n.what = op::date;
    n.width = column.width;
    n.max = 0xffff;
    return true;
  }
  if (schema.as != logical::timestamp) return false;
  if (column.kind == column_kind::datetime) {
    n.what = op::second;
    n.factor = power_of_ten(schema.scale);
    return true;
  }
  if (column.kind != column_kind::datetime64 || column.scale < schema.scale) return false;
  n.what = op::moment;
  n.scale = static_cast<std::uint8_t>(column.scale);
  n.factor = power_of_ten(column.scale - schema.scale);
  return true;
}

bool field_program::make_symbol(node& n, const type& schema, const chute::type& column) {
  n.symbols = schema.symbols;
  if (column.kind == column_kind::string) return n.what = op::name, true;
  if (column.kind != column_kind::enum8 && column.kind != column_kind::enum16) return false;
  n.what = op::symbol;
  n.width = column.width;
  for (const auto& symbol : n.symbols) {
    bool known = false;
    for (const auto& [name, number] : column.enum_values)
      if (name == symbol) n.numbers.push_back(number), known = true;
    if (!known) return false; // an error, if it comes
  }
  return true;
}

// A union of null and one other, into Nullable; a type without null, into Nullable.
bool field_program::make_nullable(node& n, const type& schema, const chute::type& column) {
  if (column.kind != column_kind::nullable) return false;
  n.inner.emplace_back();
  const auto& value = *json::plain_type(column.args[0]);
  if (schema.what != kind::unite) {
    n.what = op::wrapped;
    return make_node(n.inner[0], schema, value);
  }
  if (schema.parts.size() != 2) return false;
  n.what = op::nullable;
  n.null_branch = schema.parts[0]->what == kind::null ? 0 : 1;
  if (schema.parts[n.null_branch]->what != kind::null) return false;
  return make_node(n.inner[0], *schema.parts[1 - n.null_branch], value);
}

// -- doing ----------------------------------------------------------------------------------------------------------

bool field_program::run(const node& n, binary_cursor& from, column& out) {
  switch (n.what) {
  case op::integer:
  case op::date:
  case op::moment:
  case op::second: return run_number(n, from, out);
  case op::float32:
  case op::float64: return run_real(n, from, out);
  case op::boolean: {
    std::string_view byte;
    if (!from.take(1, byte) || static_cast<unsigned char>(byte[0]) > 1) return false;
    return put(byte.data(), 1, out), true;
  }
  case op::text:
  case op::fixed:
  case op::symbol:
  case op::name: return run_text(n, from, out);
  case op::wrapped:
    if (!run(n.inner[0], from, out.children[0])) return false;
    mark_not_null(out);
    ++out.rows;
    return true;
  case op::nullable: return run_nullable(n, from, out);
  case op::array:
  case op::map: return run_container(n, from, out);
  }
  return false;
}

bool field_program::run_number(const node& n, binary_cursor& from, column& out) {
  std::int64_t v = 0;
  if (n.is_int ? !from.take_int(v) : !from.take_long(v)) return false;
  switch (n.what) {
  case op::integer:
    if (v < n.min || v > n.max) return false;
    return put(&v, n.width, out), true;
  case op::date:
    if (n.width == 2 ? v < 0 || v > n.max : check_date32(v) != value_error::none) return false;
    return put(&v, n.width, out), true;
  case op::second: {
    const auto seconds = v / n.factor;
    if (v < 0 || v % n.factor || seconds > std::numeric_limits<std::uint32_t>::max()) return false;
    return put(&seconds, sizeof(std::uint32_t), out), true;
  }
  default:
    if (__builtin_mul_overflow(v, n.factor, &v) || check_datetime64(v, n.scale) != value_error::none) return false;
    return put(&v, sizeof v, out), true;
  }
}

bool field_program::run_real(const node& n, binary_cursor& from, column& out) {
  std::string_view bytes;
  if (!from.take(n.what == op::float32 ? sizeof(float) : sizeof(double), bytes)) return false;
  if (n.what == op::float32) {
    float v;
    std::memcpy(&v, bytes.data(), sizeof v);
    if (std::isnan(v)) return false; // of many, datums make one
  }
  return put(bytes.data(), bytes.size(), out), true;
}

bool field_program::run_text(const node& n, binary_cursor& from, column& out) {
  std::string_view text;
  std::size_t i = 0;
  switch (n.what) {
  case op::symbol:
    if (!from.take_index(n.numbers.size(), no_symbol, i)) return false;
    return put(&n.numbers[i], n.width, out), true;
  case op::name:
    if (!from.take_index(n.symbols.size(), no_symbol, i)) return false;
    return put_text(n.symbols[i], 0, out), true;
  case op::text:
    if (!from.take_bytes(text)) return false;
    return put_text(text, text.size() + from.left(), out), true;
  default: break;
  }
  if (!from.take_bytes(text) || text.size() > n.width) return false;
  char* at = out.data.extend(n.width);
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  std::memset(at + text.size(), 0, n.width - text.size());
  ++out.rows;
  return true;
}

bool field_program::run_nullable(const node& n, binary_cursor& from, column& out) {
  std::size_t branch = 0;
  if (!from.take_index(2, no_branch, branch)) return false;
  if (branch == n.null_branch) return append_default(out), true;
  if (!run(n.inner[0], from, out.children[0])) return false;
  mark_not_null(out);
  ++out.rows;
  return true;
}

bool field_program::run_container(const node& n, binary_cursor& from, column& out) {
  column& values = out.children[0];
  const node& inner = n.inner[0];
  const bool fine =
      n.what == op::array ? from.take_blocks([&] { return run(inner, from, values); }) : from.take_blocks([&] {
        std::string_view key;
        if (!from.take_bytes(key)) return false;
        put_text(key, key.size() + from.left(), values.children[0]);
        ++values.rows;
        return run(inner, from, values.children[1]);
      });
  if (!fine) return false;
  out.data.push(static_cast<std::uint64_t>(values.rows));
  ++out.rows;
  return true;
}

} // namespace chute::avro
