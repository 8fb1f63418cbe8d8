// Text → value, one function a kind of scalar. Pure: no allocation, no locale, no exception; what is wrong comes back
// as a value_error, and the caller knows which field it was. Nothing is clamped, rounded (floats apart) or defaulted.
// Ranges are those of ClickHouse's documentation of its data types.
#pragma once

#include "core/types.hpp"

#include <array>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace chute {

enum class value_error : std::uint8_t {
  none = 0,
  malformed,    // not the text of such a value
  out_of_range, // one, but the type does not reach that far
  lossy,        // digits would be lost
  too_long,     // more bytes than the type holds
  unknown_name, // not a member of the enum
  no_such_time, // a local time that the zone's clocks skip
};
// "is out of range", … : goes behind the name of a field.
const char* describe(value_error e);

// -- whole numbers --------------------------------------------------------------------------------------------------

// 256 bits, two's complement, lowest limb first: narrower integers are its first bytes.
struct wide_int {
  std::array<std::uint64_t, 4> limb{};
  auto operator<=>(const wide_int&) const = default;
};

namespace detail {
// The magnitude of `digits` if it fits 64 bits.
inline value_error parse_magnitude(const char* p, const char* end, std::uint64_t& out) {
  if (p == end) return value_error::malformed;
  std::uint64_t v = 0;
  bool over = false;
  while (end - p > 20 && *p == '0') ++p;
  const char* safe = end - p > 19 ? p + 19 : end; // 19 digits always fit
  for (; p != safe; ++p) {
    const unsigned d = static_cast<unsigned char>(*p) - unsigned{'0'};
    if (d > 9) return value_error::malformed;
    v = v * 10 + d;
  }
  for (; p != end; ++p) {
    const unsigned d = static_cast<unsigned char>(*p) - unsigned{'0'};
    if (d > 9) return value_error::malformed;
    over |= __builtin_mul_overflow(v, std::uint64_t{10}, &v);
    over |= __builtin_add_overflow(v, std::uint64_t{d}, &v);
  }
  out = v;
  return over ? value_error::out_of_range : value_error::none;
}
} // namespace detail

// Gives a magnitude its sign, if T reaches that far.
template <std::integral T> value_error apply_sign(std::uint64_t magnitude, bool negative, T& out) {
  constexpr auto top = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
  if constexpr (std::is_signed_v<T>) {
    if (magnitude > top + (negative ? 1 : 0)) return value_error::out_of_range;
  } else if (magnitude > top || (negative && magnitude != 0)) return value_error::out_of_range;
  out = static_cast<T>(negative ? 0 - magnitude : magnitude);
  return value_error::none;
}

// Digits with an optional sign, and nothing else. T: 8 to 64 bits.
template <std::integral T> value_error parse_int(std::string_view text, T& out) {
  const char *p = text.data(), *end = p + text.size();
  const bool negative = p != end && *p == '-';
  if (p != end && (*p == '-' || *p == '+')) ++p;
  std::uint64_t magnitude = 0;
  if (auto e = detail::parse_magnitude(p, end, magnitude); e != value_error::none) return e;
  return apply_sign(magnitude, negative, out);
}

// The same for up to 256 bits. bits: 8 … 256.
value_error parse_wide_int(std::string_view text, unsigned bits, bool is_signed, wide_int& out);

// Any decimal number, with fraction and exponent, if it is a whole one: 1e3 and 2.00 are, 1.5 is lossy.
value_error parse_whole(std::string_view number, unsigned bits, bool is_signed, wide_int& out);

// A decimal number times 10^scale, with at most `precision` (1 … 76) digits. Further digits must be zeros.
value_error parse_decimal(std::string_view number, std::uint32_t precision, std::uint32_t scale, wide_int& out);

// -- floats: the nearest one; overflow is out_of_range, underflow is zero. Also nan, inf, infinity, signed, any case
// ---

value_error parse_float64(std::string_view text, double& out);
// Whether the nearest double, in as few digits as tell it from all others, shows the same decimal number.
bool kept_by_double(std::string_view number);
value_error parse_float32(std::string_view text, float& out);
// The Float32 cut to its upper half, as ClickHouse does it (towards zero).
value_error parse_bfloat16(std::string_view text, std::uint16_t& out);

// -- identifiers and addresses --------------------------------------------------------------------------------------

// 8-4-4-4-12 hexadecimal digits, or 32 without dashes. Native has the upper half first.
struct uuid_value {
  std::uint64_t high = 0, low = 0;
};
value_error parse_uuid(std::string_view text, uuid_value& out);
// Four numbers without leading zeros.
value_error parse_ipv4(std::string_view text, std::uint32_t& out);
// In the order of the network. An IPv4 address becomes ::ffff:a.b.c.d.
value_error parse_ipv6(std::string_view text, std::array<unsigned char, 16>& out);

// -- enums ----------------------------------------------------------------------------------------------------------

class enum_index {
public:
  enum_index() = default;
  explicit enum_index(type_ptr t); // enum8 or enum16
  value_error by_name(std::string_view name, std::int16_t& out) const;
  value_error by_number(std::int64_t number, std::int16_t& out) const;

private:
  type_ptr type_; // owns the names
  std::unordered_map<std::string_view, std::int16_t> names_;
  std::vector<std::int16_t> numbers_; // sorted
};

} // namespace chute
