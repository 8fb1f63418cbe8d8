// JSONEachRow: an object a row. Times go as ISO 8601 in UTC, so that no zone's clock change makes them ambiguous; a row
// that takes a column's DEFAULT leaves the field out. Read back in test/native/.
#include "formats/body_writer.hpp"
#include "formats/row_cursor.hpp"
#include "formats/row_encoding.hpp"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <string>

namespace chute {
namespace {

template <class T> T load(const char* at) {
  T v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

// --- texts -----------------------------------------------------------------------------------------------------------

// Bytes that are not UTF-8 go as they are: ClickHouse reads them back so.
void append_quoted(std::string& out, std::string_view text) {
  constexpr const char* hex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (byte >= 0x20) out += c;
    else ((out += "\\u00") += hex[byte >> 4]) += hex[byte & 15];
  }
  out += '"';
}

// --- numbers ---------------------------------------------------------------------------------------------------------

template <class T> void append_number(std::string& out, T v) {
  char text[64];
  out.append(text, std::to_chars(text, text + sizeof text, v).ptr);
}

template <class T> void append_float(std::string& out, T v) {
  if (std::isnan(v)) out += "\"nan\"";
  else if (std::isinf(v)) out += v < 0 ? "\"-inf\"" : "\"inf\"";
  else append_number(out, v);
}

// The magnitude of a number of `width` bytes in decimal digits. `limbs` of 32 bits, lowest first, are used up.
std::string digits_of(std::array<std::uint32_t, 8> limbs) {
  std::string out;
  for (;;) {
    std::uint64_t rest = 0;
    bool zero = true;
    for (std::size_t i = limbs.size(); i-- > 0;) {
      rest = rest << 32 | limbs[i];
      limbs[i] = static_cast<std::uint32_t>(rest / 1'000'000'000);
      rest %= 1'000'000'000;
      zero = zero && limbs[i] == 0;
    }
    for (int i = 0; i < 9 && (!zero || rest); ++i, rest /= 10)
      out.insert(out.begin(), static_cast<char>('0' + rest % 10));
    if (zero) return out.empty() ? "0" : out;
  }
}

// A number of 4 to 32 bytes with `scale` digits behind the point.
void append_wide(std::string& out, const char* at, std::size_t width, bool is_signed, std::uint32_t scale) {
  const bool negative = is_signed && (static_cast<unsigned char>(at[width - 1]) & 0x80);
  std::array<std::uint32_t, 8> limbs;
  limbs.fill(negative ? ~0u : 0u);
  std::memcpy(limbs.data(), at, width);
  if (negative) {
    std::uint64_t carry = 1;
    for (auto& l : limbs) {
      carry += static_cast<std::uint32_t>(~l);
      l = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
  }
  std::string digits = digits_of(limbs);
  if (digits.size() <= scale) digits.insert(0, scale + 1 - digits.size(), '0');
  if (scale) digits.insert(digits.size() - scale, 1, '.');
  (out += negative ? "-" : "") += digits;
}

// --- times -----------------------------------------------------------------------------------------------------------

void append_padded(std::string& out, std::uint64_t v, std::size_t width) {
  char text[24];
  const auto size = static_cast<std::size_t>(std::to_chars(text, text + sizeof text, v).ptr - text);
  if (size < width) out.append(width - size, '0');
  out.append(text, size);
}

void append_date(std::string& out, std::int64_t days) {
  const std::chrono::year_month_day d{std::chrono::sys_days{std::chrono::days{days}}};
  append_padded(out, static_cast<std::uint64_t>(static_cast<int>(d.year())), 4);
  append_padded(out += '-', static_cast<unsigned>(d.month()), 2);
  append_padded(out += '-', static_cast<unsigned>(d.day()), 2);
}

void append_clock(std::string& out, std::uint64_t seconds) {
  append_padded(out, seconds / 3600, 2);
  append_padded(out += ':', seconds / 60 % 60, 2);
  append_padded(out += ':', seconds % 60, 2);
}

std::int64_t power_of_ten(std::uint32_t n) {
  std::int64_t v = 1;
  while (n--) v *= 10;
  return v;
}

void append_fraction(std::string& out, std::uint64_t fraction, std::uint32_t scale) {
  if (scale) append_padded(out += '.', fraction, scale);
}

// Ticks of 10^-scale seconds since 1970.
void append_time(std::string& out, std::int64_t ticks, std::uint32_t scale) {
  constexpr std::int64_t day_s = 86'400;
  const std::int64_t second = power_of_ten(scale);
  const auto floor = [](std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); };
  const std::int64_t seconds = floor(ticks, second), days = floor(seconds, day_s);
  append_date(out += '"', days);
  append_clock(out += 'T', static_cast<std::uint64_t>(seconds - days * day_s));
  append_fraction(out, static_cast<std::uint64_t>(ticks - seconds * second), scale);
  out += "Z\"";
}

// A span of time: [-]hhh:mm:ss[.fff].
void append_span(std::string& out, std::int64_t ticks, std::uint32_t scale) {
  const auto second = static_cast<std::uint64_t>(power_of_ten(scale));
  const auto size = ticks < 0 ? 0 - static_cast<std::uint64_t>(ticks) : static_cast<std::uint64_t>(ticks);
  out += ticks < 0 ? "\"-" : "\"";
  append_clock(out, size / second);
  append_fraction(out, size % second, scale);
  out += '"';
}

// --- other scalars ---------------------------------------------------------------------------------------------------

void append_uuid(std::string& out, const char* at) {
  char text[40];
  const auto high = load<std::uint64_t>(at), low = load<std::uint64_t>(at + 8);
  std::snprintf(text, sizeof text, "\"%08x-%04x-%04x-%04x-%012llx\"", static_cast<unsigned>(high >> 32),
                static_cast<unsigned>(high >> 16 & 0xFFFF), static_cast<unsigned>(high & 0xFFFF),
                static_cast<unsigned>(low >> 48), static_cast<unsigned long long>(low & 0xFFFF'FFFF'FFFF));
  out += text;
}

void append_ipv4(std::string& out, std::uint32_t v) {
  out += '"';
  for (int shift = 24; shift >= 0; shift -= 8) {
    append_number(out, v >> shift & 0xFF);
    out += shift ? '.' : '"';
  }
}

void append_ipv6(std::string& out, const char* at) {
  char text[INET6_ADDRSTRLEN];
  if (!inet_ntop(AF_INET6, at, text, sizeof text)) throw std::logic_error("json_each_row: not an IPv6 address");
  ((out += '"') += text) += '"';
}

void append_enum(std::string& out, const type& t, std::int16_t v) {
  for (const auto& [name, number] : t.enum_values)
    if (number == v) return append_quoted(out, name);
  throw std::logic_error("json_each_row: " + t.text + " has no member " + std::to_string(v));
}

void append_fixed(std::string& out, const type& t, const char* at) {
  using k = type_kind;
  switch (t.kind) {
  case k::int8: return append_number(out, int{load<std::int8_t>(at)});
  case k::int16: return append_number(out, load<std::int16_t>(at));
  case k::int32: return append_number(out, load<std::int32_t>(at));
  case k::int64: return append_number(out, load<std::int64_t>(at));
  case k::uint8: return append_number(out, unsigned{load<std::uint8_t>(at)});
  case k::uint16: return append_number(out, load<std::uint16_t>(at));
  case k::uint32: return append_number(out, load<std::uint32_t>(at));
  case k::uint64: return append_number(out, load<std::uint64_t>(at));
  case k::int128:
  case k::int256: return append_wide(out, at, t.width, true, 0);
  case k::uint128:
  case k::uint256: return append_wide(out, at, t.width, false, 0);
  case k::decimal: return append_wide(out, at, t.width, true, t.scale);
  case k::bfloat16: { // the upper half of a Float32
    const auto bits = static_cast<std::uint32_t>(load<std::uint16_t>(at)) << 16;
    return append_float(out, load<float>(reinterpret_cast<const char*>(&bits)));
  }
  case k::float32: return append_float(out, load<float>(at));
  case k::float64: return append_float(out, load<double>(at));
  case k::boolean: out += *at ? "true" : "false"; return;
  case k::fixed_string: return append_quoted(out, {at, t.width});
  case k::uuid: return append_uuid(out, at);
  case k::date:
  case k::date32:
    append_date(out += '"', t.kind == k::date ? load<std::uint16_t>(at) : load<std::int32_t>(at));
    out += '"';
    return;
  case k::datetime: return append_time(out, load<std::uint32_t>(at), 0);
  case k::datetime64: return append_time(out, load<std::int64_t>(at), t.scale);
  case k::time: return append_span(out, load<std::int32_t>(at), 0);
  case k::time64: return append_span(out, load<std::int64_t>(at), t.scale);
  case k::enum8: return append_enum(out, t, load<std::int8_t>(at));
  case k::enum16: return append_enum(out, t, load<std::int16_t>(at));
  case k::ipv4: return append_ipv4(out, load<std::uint32_t>(at));
  case k::ipv6: return append_ipv6(out, at);
  default: throw std::logic_error("json_each_row: no text for " + t.text);
  }
}

// --- composites ------------------------------------------------------------------------------------------------------

void append_value(std::string& out, row_cursor& c);

void append_map(std::string& out, row_cursor& c) {
  const auto n = c.next_array();
  auto& pair = c.child(0);
  out += '{';
  for (std::size_t i = 0; i < n; ++i) {
    if (i) out += ',';
    pair.next_tuple();
    const auto begin = out.size();
    append_value(out, pair.child(0));
    if (out[begin] != '"') (out.insert(begin, 1, '"')) += '"'; // a field's name is a text, whatever its type
    out += ':';
    append_value(out, pair.child(1));
  }
  out += '}';
}

void append_array(std::string& out, row_cursor& c) {
  if (c.of().type->kind == type_kind::map) return append_map(out, c);
  const auto n = c.next_array();
  out += '[';
  for (std::size_t i = 0; i < n; ++i) {
    if (i) out += ',';
    append_value(out, c.child(0));
  }
  out += ']';
}

void append_tuple(std::string& out, row_cursor& c) {
  const auto& names = c.of().type->names;
  c.next_tuple();
  out += names.empty() ? '[' : '{';
  for (std::size_t i = 0; i < c.children(); ++i) {
    if (i) out += ',';
    if (!names.empty()) {
      append_quoted(out, names[i]);
      out += ':';
    }
    append_value(out, c.child(i));
  }
  out += names.empty() ? ']' : '}';
}

void append_value(std::string& out, row_cursor& c) {
  const auto& t = *c.of().type;
  switch (c.of().form) {
  case layout::fixed: return append_fixed(out, t, c.next_fixed());
  case layout::text: {
    const auto text = c.next_text();
    if (t.kind != type_kind::json) return append_quoted(out, text);
    out += text;
    return;
  }
  case layout::array: return append_array(out, c);
  case layout::tuple: return append_tuple(out, c);
  case layout::nullable:
    if (!c.next_null()) return append_value(out, c.child(0));
    c.child(0).skip(1);
    out += "null";
    return;
  case layout::variant: throw std::logic_error("json_each_row: " + t.text + " is refused by can_encode()");
  }
}

struct field {
  std::string name; // quoted, with the colon
  row_cursor values;
  bool null_is_default;
};

void append_field(std::string& out, field& f) {
  if (f.null_is_default && f.values.next_null()) return f.values.child(0).skip(1);
  if (out.back() != '{') out += ',';
  out += f.name;
  append_value(out, f.null_is_default ? f.values.child(0) : f.values);
}

// A JSON text may hold line breaks between its parts; they do no harm: an object ends with its brace.
void write_rows(const chunk_rows& b, const std::set<std::string>& not_nullable, body_writer& writer) {
  const auto& rows = b.from->rows;
  std::vector<field> fields;
  for (std::size_t i = 0; i < rows.columns.size(); ++i) {
    std::string name;
    append_quoted(name, rows.names[i]);
    fields.push_back({name + ':', row_cursor(rows.columns[i]),
                      not_nullable.contains(rows.names[i]) && rows.columns[i].form == layout::nullable});
    fields.back().values.skip(b.first_row);
  }
  std::string line;
  for (std::size_t i = 0; i < b.rows; ++i) {
    line = '{';
    for (auto& f : fields) append_field(line, f);
    line += "}\n";
    writer.copy(line.data(), line.size());
    writer.end_row();
  }
}

} // namespace

void append_json_text(std::string& out, std::string_view text) { append_quoted(out, text); }
void append_json_value(std::string& out, row_cursor& from) { append_value(out, from); }

result<body> encode_json_each_row(std::span<const chunk_rows> batch, const std::set<std::string>& not_nullable) {
  std::vector<chunk_rows> filled;
  auto out = begin_body(batch, filled);
  if (!out) return out.failure();
  out->format = "JSONEachRow";
  out->settings = {
      {"date_time_input_format", "best_effort"}, // ISO 8601
      {"input_format_json_read_bools_as_numbers", "0"},
      {"input_format_defaults_for_omitted_fields", "1"},
      {"input_format_import_nested_json", "0"},
      {"input_format_json_named_tuples_as_objects", "1"},
      {"input_format_parallel_parsing", "0"}, // it cuts the body into blocks
      {"precise_float_parsing", "1"},
      {"input_format_skip_unknown_fields", "0"},
  };
  body_writer writer(*out);
  for (const auto& b : filled) write_rows(b, not_nullable, writer);
  writer.finish();
  return out;
}

} // namespace chute
