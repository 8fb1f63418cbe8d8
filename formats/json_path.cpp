// Values at the typed paths of JSON columns. The server reads them out of the object's text, by rules of its own (seen
// with ClickHouse 26.7): what it refuses would take the whole insert with it, and what it reads as another value would
// be lost without a word. Both are refused here, for one record.
#include "formats/json_node.hpp"

#include <algorithm>

namespace chute::json {
namespace {

bool is_integer(type_kind k) { return k >= type_kind::int8 && k <= type_kind::uint256; }

// A whole number that is written with a fraction or an exponent: the server takes the double's value. Beyond 64 bits it
// makes others of the last digits.
bool keeps_integer(type_kind k, std::string_view token) {
  const bool is_signed = k <= type_kind::int256;
  const double end = is_signed ? 0x1p63 : 0x1p64;
  double v = 0;
  wide_int whole;
  if (parse_float64(token, v) != value_error::none || v >= end || v < (is_signed ? -end : 0)) return false;
  return parse_whole(token, 64, is_signed, whole) == value_error::none &&
         whole.limb[0] ==
             (is_signed ? static_cast<std::uint64_t>(static_cast<std::int64_t>(v)) : static_cast<std::uint64_t>(v));
}

fault check_number(const node& n, std::string_view token, bool integral) {
  const auto k = n.type->kind;
  if (k == type_kind::date || k == type_kind::date32) return fault::not_at_path;
  if (integral || k == type_kind::float32 || k == type_kind::float64) return fault::none;
  const bool kept = is_integer(k) ? keeps_integer(k, token) : kept_by_double(token);
  return kept ? fault::none : fault::path_digits;
}

// Of the forms that a column takes, the server does not read these.
fault check_text(const node& n, std::string_view text) {
  const auto told = [](bool fine) { return fine ? fault::none : fault::not_at_path; };
  const bool clock = text.find(':') != text.npos, point = text.find('.') != text.npos;
  std::int16_t number = 0;
  switch (n.type->kind) {
  case type_kind::enum8:
  case type_kind::enum16: return to_fault(n.names->by_name(text, number));
  case type_kind::datetime: return told((clock || !point) && text.find_first_of("tz,") == text.npos);
  case type_kind::datetime64: return told(text.find_first_of("tz,") == text.npos);
  case type_kind::time:
    if (point) return fault::not_at_path;
    [[fallthrough]];
  case type_kind::time64: { // without a clock's colons, up to two digits of seconds
    const auto digits = std::min(text.find('.'), text.size()) - (text.starts_with('-') ? 1 : 0);
    return told(clock || digits <= 2);
  }
  default: return fault::none;
  }
}

// What the type takes as a column's, and the server perhaps does not.
fault check_scalar(const node& n, context& c) {
  const char* const at = c.here();
  fault f = fault::none;
  if (*at == '"') {
    std::string_view text;
    if (f = take_text(c, c.unquoted, text); f != fault::none) return f;
    f = check_text(n, text);
  } else if (n.type->kind == type_kind::string) return pass_numbers(c, 1, &n);
  else if (starts_number(*at)) {
    std::string_view token;
    bool integral;
    if (f = take_number(c, token, integral); f != fault::none) return f;
    f = check_number(n, token, integral);
  }
  return f == fault::none ? f : refuse(c, at, f, &n);
}

fault append_scalar_at_path(node& n, context& c, column& to) {
  const place begin = c.now;
  if (const fault f = n.append_plain(n, c, to); f != fault::none) return f;
  const place end = c.now;
  c.now = begin;
  const fault f = check_scalar(n, c);
  c.now = end;
  return f;
}

} // namespace

void make_scalar_at_path(node& n) {
  n.append_plain = n.append;
  n.append = append_scalar_at_path;
}

fault pass_numbers(context& c, int depth, const node* shown) {
  const char* const at = c.here();
  const auto deeper = [&] { return pass_numbers(c, depth + 1, shown); };
  if ((*at == '{' || *at == '[') && depth == depth_max) return refuse(c, at, fault::too_deep);
  if (*at == '{') return for_each_field(c, [&](std::string_view) { return deeper(); });
  if (*at == '[') return for_each_element(c, deeper);
  if (!starts_number(*at)) return skip_value(c);
  std::string_view token;
  bool integral;
  if (const fault f = take_json_number(c, token, integral); f != fault::none) return f;
  return !shown || integral || kept_by_double(token) ? fault::none : refuse(c, at, fault::path_digits, shown);
}

bool taken_otherwise(const context& c, fault f) {
  if (f == fault::path_digits) return true;
  if (!c.refused_by) return false;
  const auto k = c.refused_by->type->kind;
  if (f == fault::malformed) // a number with a fraction: seconds, as ticks
    return (k == type_kind::datetime64 || k == type_kind::time64) && starts_number(*c.refused_at);
  return (f == fault::out_of_range || f == fault::lossy || f == fault::no_such_time) && !is_integer(k);
}

} // namespace chute::json
