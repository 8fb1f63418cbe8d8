// Scalars: what JSON's strings, numbers and booleans become in each type.
#include "formats/json_node.hpp"

#include <charconv>

namespace chute::json {
namespace {

template <class T> value_error put(column& c, T v) {
  c.data.push(v);
  ++c.rows;
  return value_error::none;
}

value_error put_bytes(column& c, const void* from, std::size_t n) {
  c.data.append(from, n);
  ++c.rows;
  return value_error::none;
}

// Each kind of scalar says what a string's text, a number's token and a boolean mean. `number` gets tokens that are
// JSON numbers; those that are not digits alone are not `integral`.

template <class T> struct integer {
  static value_error text(node&, std::string_view s, column& c) {
    T v;
    const auto e = parse_int(s, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static value_error number(node& n, std::string_view s, bool integral, column& c) {
    if (integral) return text(n, s, c);
    wide_int v;
    if (const auto e = parse_whole(s, sizeof(T) * 8, std::is_signed_v<T>, v); e != value_error::none) return e;
    return put(c, static_cast<T>(v.limb[0]));
  }
  static constexpr bool takes_numbers = true, takes_booleans = false;
};

template <unsigned bits, bool is_signed> struct wide_integer {
  static value_error text(node&, std::string_view s, column& c) {
    wide_int v;
    const auto e = parse_wide_int(s, bits, is_signed, v);
    return e == value_error::none ? put_bytes(c, v.limb.data(), bits / 8) : e;
  }
  static value_error number(node&, std::string_view s, bool, column& c) {
    wide_int v;
    const auto e = parse_whole(s, bits, is_signed, v);
    return e == value_error::none ? put_bytes(c, v.limb.data(), bits / 8) : e;
  }
  static constexpr bool takes_numbers = true, takes_booleans = false;
};

struct decimal {
  static value_error text(node& n, std::string_view s, column& c) {
    wide_int v;
    const auto e = parse_decimal(s, n.precision, n.scale, v);
    return e == value_error::none ? put_bytes(c, v.limb.data(), n.width) : e;
  }
  static value_error number(node& n, std::string_view s, bool, column& c) { return text(n, s, c); }
  static constexpr bool takes_numbers = true, takes_booleans = false;
};

template <class T, value_error (*parse)(std::string_view, T&)> struct floating {
  static value_error text(node&, std::string_view s, column& c) {
    T v;
    const auto e = parse(s, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static value_error number(node& n, std::string_view s, bool, column& c) { return text(n, s, c); }
  static constexpr bool takes_numbers = true, takes_booleans = false;
};

struct boolean {
  static value_error text(node&, std::string_view s, column& c) {
    if (s == "true" || s == "1") return put(c, std::uint8_t{1});
    if (s == "false" || s == "0") return put(c, std::uint8_t{0});
    return value_error::malformed;
  }
  static value_error number(node& n, std::string_view s, bool, column& c) { return text(n, s, c); }
  static constexpr bool takes_numbers = true, takes_booleans = true;
};

struct fixed_string {
  static value_error text(node& n, std::string_view s, column& c) {
    if (s.size() > n.width) return value_error::too_long;
    char* const at = c.data.extend(n.width);
    if (!s.empty()) std::memcpy(at, s.data(), s.size());
    std::memset(at + s.size(), 0, n.width - s.size());
    ++c.rows;
    return value_error::none;
  }
  static constexpr bool takes_numbers = false, takes_booleans = false;
};

struct uuid {
  static value_error text(node&, std::string_view s, column& c) {
    uuid_value v;
    const auto e = parse_uuid(s, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static constexpr bool takes_numbers = false, takes_booleans = false;
};

struct ipv4 {
  static value_error text(node&, std::string_view s, column& c) {
    std::uint32_t v;
    const auto e = parse_ipv4(s, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static constexpr bool takes_numbers = false, takes_booleans = false;
};

struct ipv6 {
  static value_error text(node&, std::string_view s, column& c) {
    std::array<unsigned char, 16> v;
    const auto e = parse_ipv6(s, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static constexpr bool takes_numbers = false, takes_booleans = false;
};

template <class T> struct enumeration {
  static value_error text(node& n, std::string_view s, column& c) {
    std::int16_t v;
    if (n.names->by_name(s, v) == value_error::none) return put(c, static_cast<T>(v));
    std::int64_t as_number; // as ClickHouse does where no member has that name
    if (parse_int(s, as_number) != value_error::none) return value_error::unknown_name;
    const auto e = n.names->by_number(as_number, v);
    return e == value_error::none ? put(c, static_cast<T>(v)) : e;
  }
  static value_error number(node& n, std::string_view s, bool integral, column& c) {
    std::int64_t as_number;
    if (!integral || parse_int(s, as_number) != value_error::none) return value_error::unknown_name;
    std::int16_t v;
    const auto e = n.names->by_number(as_number, v);
    return e == value_error::none ? put(c, static_cast<T>(v)) : e;
  }
  static constexpr bool takes_numbers = true, takes_booleans = false;
};

// Numbers for dates and times are whole ones: days, seconds, or ticks of the column's scale, as in ClickHouse.
template <class Type> struct moment {
  static value_error number(node& n, std::string_view s, bool integral, column& c) {
    std::int64_t v = 0;
    if (!integral) return value_error::malformed;
    const auto e = parse_int(s, v);
    return e == value_error::none ? Type::from_number(n, v, c) : e;
  }
  static constexpr bool takes_numbers = true, takes_booleans = false;
};

struct date : moment<date> {
  static value_error text(node&, std::string_view s, column& c) {
    std::uint16_t v;
    const auto e = parse_date(s, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static value_error from_number(node&, std::int64_t v, column& c) {
    return v < 0 || v > 0xffff ? value_error::out_of_range : put(c, static_cast<std::uint16_t>(v));
  }
};

struct date32 : moment<date32> {
  static value_error text(node&, std::string_view s, column& c) {
    std::int32_t v;
    const auto e = parse_date32(s, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static value_error from_number(node&, std::int64_t v, column& c) {
    const auto e = check_date32(v);
    return e == value_error::none ? put(c, static_cast<std::int32_t>(v)) : e;
  }
};

struct datetime : moment<datetime> {
  static value_error text(node& n, std::string_view s, column& c) {
    std::uint32_t v;
    const auto e = parse_datetime(s, *n.in, n.zone_hint, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static value_error from_number(node&, std::int64_t v, column& c) {
    return v < 0 || v > 0xffff'ffff ? value_error::out_of_range : put(c, static_cast<std::uint32_t>(v));
  }
};

struct datetime64 : moment<datetime64> {
  static value_error text(node& n, std::string_view s, column& c) {
    std::int64_t v;
    const auto e = parse_datetime64(s, n.scale, *n.in, n.zone_hint, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static value_error from_number(node& n, std::int64_t v, column& c) {
    const auto e = check_datetime64(v, n.scale);
    return e == value_error::none ? put(c, v) : e;
  }
};

struct time_of_day : moment<time_of_day> {
  static value_error text(node&, std::string_view s, column& c) {
    std::int32_t v;
    const auto e = parse_time(s, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static value_error from_number(node&, std::int64_t v, column& c) {
    const auto e = check_time(v, 0);
    return e == value_error::none ? put(c, static_cast<std::int32_t>(v)) : e;
  }
};

struct time64 : moment<time64> {
  static value_error text(node& n, std::string_view s, column& c) {
    std::int64_t v;
    const auto e = parse_time64(s, n.scale, v);
    return e == value_error::none ? put(c, v) : e;
  }
  static value_error from_number(node& n, std::int64_t v, column& c) {
    const auto e = check_time(v, n.scale);
    return e == value_error::none ? put(c, v) : e;
  }
};

// -- the walk from a token to its meaning ---------------------------------------------------------------------------

fault tell(context& c, const char* at, node& n, value_error e) {
  return e == value_error::none ? fault::none : refuse(c, at, to_fault(e), &n);
}

fault append_boolean_token(context& c, bool& value) {
  value = *c.here() == 't';
  return take_literal(c, value ? "true" : "false");
}

template <class Kind> fault append_scalar(node& n, context& c, column& to) {
  const char* const at = c.here();
  if (*at == '"') {
    std::string_view text;
    if (const fault f = take_text(c, c.unquoted, text); f != fault::none) return f;
    if constexpr (Kind::takes_booleans) return refuse(c, at, fault::wrong_type, &n); // "true" is a string
    return tell(c, at, n, Kind::text(n, text, to));
  }
  if (starts_number(*at)) {
    std::string_view token;
    bool integral;
    if (const fault f = take_number(c, token, integral); f != fault::none) return f;
    if constexpr (Kind::takes_numbers) return tell(c, at, n, Kind::number(n, token, integral, to));
    return refuse(c, at, fault::wrong_type, &n);
  }
  if (*at == 't' || *at == 'f') {
    bool value;
    if (const fault f = append_boolean_token(c, value); f != fault::none) return f;
    if constexpr (Kind::takes_booleans) {
      put(to, static_cast<std::uint8_t>(value));
      return fault::none;
    } else return refuse(c, at, fault::wrong_type, &n);
  }
  return refuse_other(n, c);
}

// Whether the token that began at the cursor ends at p.
bool ends_at(const context& c, const char* p) { return p == c.base + c.now.at[1] || is_space(*p); }

// Most integers are a few digits: those are read in one go, all else takes the general way.
template <class T> fault append_integer(node& n, context& c, column& to) {
  const char* p = c.here();
  const bool negative = *p == '-';
  p += negative;
  const char* const first = p;
  std::uint64_t v = 0;
  for (unsigned d; (d = static_cast<unsigned char>(*p) - unsigned{'0'}) <= 9; ++p) v = v * 10 + d;
  const auto digits = p - first;
  if (digits == 0 || digits > 19 || (*first == '0' && digits > 1) || !ends_at(c, p)) [[unlikely]]
    return append_scalar<integer<T>>(n, c, to);
  T value;
  if (const auto e = apply_sign(v, negative, value); e != value_error::none) [[unlikely]]
    return refuse(c, c.here(), to_fault(e), &n);
  ++c.now.at;
  put(to, value);
  return fault::none;
}

// Up to 15 digits and up to 22 of them behind the point: then digits and power of ten are both exact doubles, and one
// division rounds correctly (Clinger, "How to read floating point numbers accurately").
fault append_double(node& n, context& c, column& to) {
  static constexpr double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const char* p = c.here();
  const bool negative = *p == '-';
  p += negative;
  const char* const first = p;
  std::uint64_t v = 0;
  unsigned d;
  for (; (d = static_cast<unsigned char>(*p) - unsigned{'0'}) <= 9; ++p) v = v * 10 + d;
  const auto whole = p - first;
  std::ptrdiff_t fraction = 0;
  if (*p == '.') {
    const char* const from = ++p;
    for (; (d = static_cast<unsigned char>(*p) - unsigned{'0'}) <= 9; ++p) v = v * 10 + d;
    fraction = p - from;
    if (fraction == 0) return append_scalar<floating<double, parse_float64>>(n, c, to);
  }
  if (whole == 0 || whole + fraction > 15 || (*first == '0' && whole > 1) || !ends_at(c, p)) [[unlikely]]
    return append_scalar<floating<double, parse_float64>>(n, c, to);
  const double value = static_cast<double>(v) / powers[fraction];
  ++c.now.at;
  put(to, negative ? -value : value);
  return fault::none;
}

template <class Kind> void scalar(node& n) {
  n.append = append_scalar<Kind>;
  n.append_text = Kind::text;
}

template <class T> void integer_of(node& n) {
  scalar<integer<T>>(n);
  n.append = append_integer<T>;
}

} // namespace

fault refuse_other(node& n, context& c) {
  const char* const at = c.here();
  if (*at == 'n') {
    if (const fault f = take_literal(c, "null"); f != fault::none) return f;
    return refuse(c, at, fault::null_element, &n);
  }
  if (*at != '{' && *at != '[')
    if (const fault f = skip_value(c); f != fault::none) return f;
  return refuse(c, at, fault::wrong_type, &n);
}

// Copies up to 32 bytes at once where the string is that short: its text is padded, and so is the room.
fault append_string(node& n, context& c, column& to) {
  const char* const at = c.here();
  if (*at == '"') [[likely]] {
    const auto s = take_string(c);
    const auto size = static_cast<std::size_t>(s.end - s.begin);
    if (s.escaped) [[unlikely]] {
      c.unquoted.resize(size);
      std::size_t plain;
      if (const fault f = unescape(c, s, c.unquoted.data(), plain); f != fault::none) return f;
      append_text_value({c.unquoted.data(), plain}, to);
      return fault::none;
    }
    if (size <= 32) [[likely]] {
      const std::size_t before = to.data.size();
      char* const out = to.data.extend(33);
      *out = static_cast<char>(size);
      std::memcpy(out + 1, s.begin, 16);
      std::memcpy(out + 17, s.begin + 16, 16);
      to.data.truncate(before + 1 + size);
      ++to.rows;
      return fault::none;
    }
    append_text_value({s.begin, size}, to);
    return fault::none;
  }
  if (*at == 'n') return refuse_other(n, c);
  // Anything else goes in as the JSON text that it is.
  const char* end;
  if (const fault f = skip_value(c, end); f != fault::none) return f;
  append_text_value({at, static_cast<std::size_t>(end - at)}, to);
  return fault::none;
}

value_error append_string_text(node&, std::string_view text, column& to) {
  append_text_value(text, to);
  return value_error::none;
}

bool make_scalar(node& n) {
  switch (n.type->kind) {
  case type_kind::int8: return integer_of<std::int8_t>(n), true;
  case type_kind::int16: return integer_of<std::int16_t>(n), true;
  case type_kind::int32: return integer_of<std::int32_t>(n), true;
  case type_kind::int64: return integer_of<std::int64_t>(n), true;
  case type_kind::int128: return scalar<wide_integer<128, true>>(n), true;
  case type_kind::int256: return scalar<wide_integer<256, true>>(n), true;
  case type_kind::uint8: return integer_of<std::uint8_t>(n), true;
  case type_kind::uint16: return integer_of<std::uint16_t>(n), true;
  case type_kind::uint32: return integer_of<std::uint32_t>(n), true;
  case type_kind::uint64: return integer_of<std::uint64_t>(n), true;
  case type_kind::uint128: return scalar<wide_integer<128, false>>(n), true;
  case type_kind::uint256: return scalar<wide_integer<256, false>>(n), true;
  case type_kind::bfloat16: return scalar<floating<std::uint16_t, parse_bfloat16>>(n), true;
  case type_kind::float32: return scalar<floating<float, parse_float32>>(n), true;
  case type_kind::float64: return scalar<floating<double, parse_float64>>(n), n.append = append_double, true;
  case type_kind::decimal: return scalar<decimal>(n), true;
  case type_kind::boolean: return scalar<boolean>(n), true;
  case type_kind::string: return n.append = append_string, n.append_text = append_string_text, true;
  case type_kind::fixed_string: return scalar<fixed_string>(n), true;
  case type_kind::uuid: return scalar<uuid>(n), true;
  case type_kind::date: return scalar<date>(n), true;
  case type_kind::date32: return scalar<date32>(n), true;
  case type_kind::datetime: return scalar<datetime>(n), true;
  case type_kind::datetime64: return scalar<datetime64>(n), true;
  case type_kind::time: return scalar<time_of_day>(n), true;
  case type_kind::time64: return scalar<time64>(n), true;
  case type_kind::enum8: return scalar<enumeration<std::int8_t>>(n), true;
  case type_kind::enum16: return scalar<enumeration<std::int16_t>>(n), true;
  case type_kind::ipv4: return scalar<ipv4>(n), true;
  case type_kind::ipv6: return scalar<ipv6>(n), true;
  default: return false;
  }
}

} // namespace chute::json
