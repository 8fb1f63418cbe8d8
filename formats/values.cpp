#include "formats/values.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

namespace chute {

const char* describe(value_error e) {
  switch (e) {
  case value_error::none: return "is fine";
  case value_error::malformed: return "is not such a value";
  case value_error::out_of_range: return "is out of range";
  case value_error::lossy: return "has more digits than the type keeps";
  case value_error::too_long: return "is longer than the type";
  case value_error::unknown_name: return "is not a member of the enum";
  case value_error::no_such_time: return "is a local time that does not exist in the column's time zone";
  }
  return "is not such a value";
}

// -- whole numbers --------------------------------------------------------------------------------------------------

namespace {

__extension__ using uint128 = unsigned __int128;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// v = v × factor + add; false if that needs more than 256 bits.
bool multiply_add(wide_int& v, std::uint64_t factor, std::uint64_t add) {
  std::uint64_t carry = add;
  for (auto& limb : v.limb) {
    const uint128 r = uint128{limb} * factor + carry;
    limb = static_cast<std::uint64_t>(r);
    carry = static_cast<std::uint64_t>(r >> 64);
  }
  return carry == 0;
}

constexpr std::array<std::uint64_t, 20> powers = [] {
  std::array<std::uint64_t, 20> p{1};
  for (std::size_t i = 1; i < p.size(); ++i) p[i] = p[i - 1] * 10;
  return p;
}();

bool less(const wide_int& a, const wide_int& b) {
  for (int i = 3; i >= 0; --i)
    if (a.limb[static_cast<std::size_t>(i)] != b.limb[static_cast<std::size_t>(i)])
      return a.limb[static_cast<std::size_t>(i)] < b.limb[static_cast<std::size_t>(i)];
  return false;
}

void negate(wide_int& v) {
  std::uint64_t carry = 1;
  for (auto& limb : v.limb) {
    limb = ~limb + carry;
    carry = carry && limb == 0;
  }
}

unsigned bit_length(const wide_int& v) {
  for (std::size_t i = 4; i-- > 0;)
    if (v.limb[i]) return static_cast<unsigned>(i * 64) + static_cast<unsigned>(std::bit_width(v.limb[i]));
  return 0;
}

value_error apply_wide_sign(wide_int& v, bool negative, unsigned bits, bool is_signed) {
  const unsigned n = bit_length(v);
  if (!is_signed) return n > bits || (negative && n) ? value_error::out_of_range : value_error::none;
  if (n >= bits) {
    // Only the lowest value has as many bits as the type: a one and nothing behind it.
    bool lowest = negative && n == bits;
    for (std::size_t i = 0; lowest && i < 4; ++i)
      lowest = v.limb[i] == ((bits - 1) / 64 == i ? std::uint64_t{1} << ((bits - 1) % 64) : 0);
    if (!lowest) return value_error::out_of_range;
  }
  if (negative) negate(v);
  return value_error::none;
}

// A number's text, taken apart: ±(digits of first … last, without the point) × 10^exponent. No digit: zero.
struct number_parts {
  bool negative = false;
  const char *first = nullptr, *last = nullptr; // the first and the last digit that are not zero
  std::int64_t digits = 0, exponent = 0;
};

// [sign] digits [. digits] [e [sign] digits], a digit at least before or behind the point.
value_error take_apart(std::string_view text, number_parts& out) {
  const char *p = text.data(), *const end = p + text.size();
  if (p != end && (*p == '-' || *p == '+')) out.negative = *p++ == '-';
  const char *point = nullptr, *const begin = p;
  for (; p != end; ++p) {
    if (*p == '.' && !point) point = p;
    else if (!is_digit(*p)) break;
    else if (*p != '0') {
      if (!out.first) out.first = p;
      out.last = p;
    }
  }
  if (p - begin - (point ? 1 : 0) == 0) return value_error::malformed;
  const char* const mantissa_end = p;
  std::int64_t exponent = 0;
  if (p != end && (*p == 'e' || *p == 'E')) {
    ++p;
    const bool minus = p != end && *p == '-';
    if (p != end && (*p == '-' || *p == '+')) ++p;
    if (p == end) return value_error::malformed;
    for (; p != end && is_digit(*p); ++p)
      if (exponent < 1'000'000'000) exponent = exponent * 10 + (*p - '0');
    if (minus) exponent = -exponent;
  }
  if (p != end) return value_error::malformed;
  if (!out.first) return value_error::none;
  if (!point) point = mantissa_end;
  out.digits = out.last - out.first + 1 - (out.first < point && point < out.last ? 1 : 0);
  out.exponent = exponent + (out.last < point ? point - out.last - 1 : -(out.last - point));
  return value_error::none;
}

constexpr std::int64_t most_digits = 78; // of 2^256

// |number| × 10^scale, exactly.
value_error scaled_magnitude(const number_parts& n, std::uint32_t scale, wide_int& out) {
  out = {};
  if (n.digits == 0) return value_error::none;
  std::int64_t power = n.exponent + static_cast<std::int64_t>(scale);
  if (n.digits + power > most_digits) return value_error::out_of_range;
  if (power < 0) return value_error::lossy; // the last digit is not zero
  std::uint64_t part = 0;
  std::size_t held = 0;
  for (const char* p = n.first; p <= n.last; ++p) {
    if (*p == '.') continue;
    part = part * 10 + static_cast<std::uint64_t>(*p - '0');
    if (++held < 19) continue;
    if (!multiply_add(out, powers[held], part)) return value_error::out_of_range;
    part = 0, held = 0;
  }
  if (!multiply_add(out, powers[held], part)) return value_error::out_of_range;
  for (; power > 0; power -= 19)
    if (!multiply_add(out, powers[static_cast<std::size_t>(std::min<std::int64_t>(power, 19))], 0))
      return value_error::out_of_range;
  return value_error::none;
}

} // namespace

value_error parse_wide_int(std::string_view text, unsigned bits, bool is_signed, wide_int& out) {
  std::size_t at = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  if (at == text.size()) return value_error::malformed;
  for (std::size_t i = at; i < text.size(); ++i)
    if (!is_digit(text[i])) return value_error::malformed;
  return parse_whole(text, bits, is_signed, out);
}

value_error parse_whole(std::string_view number, unsigned bits, bool is_signed, wide_int& out) {
  number_parts n;
  if (auto e = take_apart(number, n); e != value_error::none) return e;
  if (auto e = scaled_magnitude(n, 0, out); e != value_error::none) return e;
  return apply_wide_sign(out, n.negative, bits, is_signed);
}

value_error parse_decimal(std::string_view number, std::uint32_t precision, std::uint32_t scale, wide_int& out) {
  static const std::array<wide_int, 77> limits = [] {
    std::array<wide_int, 77> l{};
    l[0].limb[0] = 1;
    for (std::size_t i = 1; i < l.size(); ++i) {
      l[i] = l[i - 1];
      multiply_add(l[i], 10, 0);
    }
    return l;
  }();
  number_parts n;
  if (auto e = take_apart(number, n); e != value_error::none) return e;
  if (auto e = scaled_magnitude(n, scale, out); e != value_error::none) return e;
  if (!less(out, limits[std::min<std::size_t>(precision, 76)])) return value_error::out_of_range;
  if (n.negative) negate(out);
  return value_error::none;
}

// -- floats ---------------------------------------------------------------------------------------------------------

namespace {

// nan, inf, infinity in any case, without a sign.
template <class T> bool parse_float_word(std::string_view text, T& out) {
  const auto is = [&](std::string_view word) {
    return text.size() == word.size() &&
           std::equal(text.begin(), text.end(), word.begin(), [](char a, char b) { return (a | 0x20) == b; });
  };
  if (is("nan")) out = std::numeric_limits<T>::quiet_NaN();
  else if (is("inf") || is("infinity")) out = std::numeric_limits<T>::infinity();
  else return false;
  return true;
}

template <class T> value_error parse_float(std::string_view text, T& out) {
  const bool negative = !text.empty() && text[0] == '-';
  const bool sign = negative || (!text.empty() && text[0] == '+');
  const std::string_view bare = text.substr(sign ? 1 : 0);
  if (bare.empty()) return value_error::malformed;
  T v{};
  if (!is_digit(bare[0]) && bare[0] != '.') {
    if (!parse_float_word(bare, v)) return value_error::malformed;
  } else {
    const char* end = bare.data() + bare.size();
    const auto r = std::from_chars(bare.data(), end, v);
    if (r.ptr != end || r.ec == std::errc::invalid_argument) return value_error::malformed;
    if (r.ec == std::errc::result_out_of_range) {
      number_parts n;
      if (auto e = take_apart(bare, n); e != value_error::none) return e;
      if (n.digits + n.exponent > 0) return value_error::out_of_range;
      v = 0;
    }
  }
  out = negative ? -v : v;
  return value_error::none;
}

} // namespace

value_error parse_float64(std::string_view text, double& out) { return parse_float(text, out); }

bool kept_by_double(std::string_view number) {
  double v = 0;
  char text[32];
  number_parts told, kept;
  if (parse_float(number, v) != value_error::none || take_apart(number, told) != value_error::none) return false;
  const auto end = std::to_chars(text, text + sizeof text, v, std::chars_format::scientific).ptr;
  if (take_apart({text, end}, kept) != value_error::none || told.digits != kept.digits) return false;
  if (told.digits == 0) return true;
  if (told.negative != kept.negative || told.exponent != kept.exponent) return false;
  const char* k = kept.first;
  for (const char* t = told.first; t <= told.last; ++t) {
    if (*t == '.') continue;
    if (*k == '.') ++k;
    if (*t != *k++) return false;
  }
  return true;
}

value_error parse_float32(std::string_view text, float& out) { return parse_float(text, out); }

value_error parse_bfloat16(std::string_view text, std::uint16_t& out) {
  float f = 0;
  if (auto e = parse_float(text, f); e != value_error::none) return e;
  out = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(f) >> 16);
  return value_error::none;
}

// -- identifiers and addresses --------------------------------------------------------------------------------------

namespace {

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

} // namespace

value_error parse_uuid(std::string_view text, uuid_value& out) {
  const bool dashes = text.size() == 36;
  if (!dashes && text.size() != 32) return value_error::malformed;
  std::uint64_t half[2] = {0, 0};
  std::size_t n = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (dashes && (i == 8 || i == 13 || i == 18 || i == 23)) {
      if (text[i] != '-') return value_error::malformed;
      continue;
    }
    const int d = hex_digit(text[i]);
    if (d < 0) return value_error::malformed;
    half[n / 16] = half[n / 16] << 4 | static_cast<std::uint64_t>(d);
    ++n;
  }
  out = {half[0], half[1]};
  return value_error::none;
}

value_error parse_ipv4(std::string_view text, std::uint32_t& out) {
  std::uint32_t address = 0;
  std::size_t i = 0;
  for (int part = 0; part < 4; ++part) {
    if (part && (i == text.size() || text[i++] != '.')) return value_error::malformed;
    const std::size_t from = i;
    std::uint32_t v = 0;
    for (; i < text.size() && i < from + 3 && is_digit(text[i]); ++i)
      v = v * 10 + static_cast<std::uint32_t>(text[i] - '0');
    if (i == from || v > 255 || (text[from] == '0' && i - from > 1)) return value_error::malformed;
    address = address << 8 | v;
  }
  if (i != text.size()) return value_error::malformed;
  out = address;
  return value_error::none;
}

value_error parse_ipv6(std::string_view text, std::array<unsigned char, 16>& out) {
  if (std::uint32_t v4 = 0; parse_ipv4(text, v4) == value_error::none) {
    out = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    for (std::size_t i = 0; i < 4; ++i) out[12 + i] = static_cast<unsigned char>(v4 >> (24 - 8 * i));
    return value_error::none;
  }
  char buf[INET6_ADDRSTRLEN + 1];
  if (text.size() >= sizeof(buf) || text.find('\0') != text.npos) return value_error::malformed;
  std::memcpy(buf, text.data(), text.size());
  buf[text.size()] = 0;
  return inet_pton(AF_INET6, buf, out.data()) == 1 ? value_error::none : value_error::malformed;
}

// -- enums ----------------------------------------------------------------------------------------------------------

enum_index::enum_index(type_ptr t) : type_(std::move(t)) {
  for (const auto& [name, number] : type_->enum_values) {
    names_.emplace(name, number);
    numbers_.push_back(number);
  }
  std::sort(numbers_.begin(), numbers_.end());
}

value_error enum_index::by_name(std::string_view name, std::int16_t& out) const {
  const auto at = names_.find(name);
  if (at == names_.end()) return value_error::unknown_name;
  out = at->second;
  return value_error::none;
}

value_error enum_index::by_number(std::int64_t number, std::int16_t& out) const {
  const auto narrow = static_cast<std::int16_t>(number);
  if (narrow != number || !std::binary_search(numbers_.begin(), numbers_.end(), narrow))
    return value_error::unknown_name;
  out = narrow;
  return value_error::none;
}

} // namespace chute
