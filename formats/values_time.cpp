#include "formats/values_time.hpp"

#include <array>
#include <date/date.h>

namespace chute {
namespace {

constexpr std::array<std::int64_t, 10> powers = {1,       10,        100,        1'000,       10'000,
                                                 100'000, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000};
constexpr std::int64_t day_seconds = 86'400;
constexpr std::int64_t first_day32 = date::sys_days{date::year{1900} / 1 / 1}.time_since_epoch().count();
constexpr std::int64_t last_day32 = date::sys_days{date::year{2299} / 12 / 31}.time_since_epoch().count();
constexpr std::int64_t time_limit = 999 * 3600 + 59 * 60 + 59;

// Characters are taken from the front.
class reader {
public:
  explicit reader(std::string_view text) : at_(text.data()), end_(at_ + text.size()) {}
  bool done() const { return at_ == end_; }
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  bool next(char c) { return at_ != end_ && *at_ == c && (++at_, true); }
  char peek(std::size_t i = 0) const { return i < left() ? at_[i] : '\0'; }
  // Exactly n digits.
  bool digits(std::size_t n, std::uint32_t& out) {
    if (left() < n) return false;
    std::uint32_t v = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const unsigned d = static_cast<unsigned char>(at_[i]) - unsigned{'0'};
      if (d > 9) return false;
      v = v * 10 + d;
    }
    at_ += n;
    out = v;
    return true;
  }
  // All digits that follow.
  std::string_view run() {
    const char* from = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return {from, static_cast<std::size_t>(at_ - from)};
  }

private:
  const char *at_, *end_;
};

value_error read_date(reader& r, std::int64_t& days) {
  std::uint32_t y = 0, m = 0, d = 0;
  if (!r.digits(4, y)) return value_error::malformed;
  const bool dashes = r.next('-');
  if (!r.digits(2, m) || (dashes && !r.next('-')) || !r.digits(2, d)) return value_error::malformed;
  const auto ymd = date::year{static_cast<int>(y)} / date::month{m} / date::day{d};
  if (!ymd.ok()) return value_error::out_of_range;
  days = date::sys_days{ymd}.time_since_epoch().count();
  return value_error::none;
}

// A fraction's digits → ticks of 10^-scale.
value_error read_fraction(std::string_view digits, std::uint32_t scale, std::int64_t& ticks) {
  ticks = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i < scale) ticks = ticks * 10 + (digits[i] - '0');
    else if (digits[i] != '0') return value_error::lossy;
  }
  if (digits.size() < scale) ticks *= powers[scale - digits.size()];
  return value_error::none;
}

struct moment {
  std::int64_t seconds = 0; // Unix if `absolute`, else local
  std::int64_t ticks = 0;   // of the fraction
  bool absolute = false;
};

// hh:mm[:ss[.fraction]]
value_error read_clock(reader& r, std::uint32_t scale, moment& out) {
  std::uint32_t h = 0, m = 0, s = 0;
  if (!r.digits(2, h) || !r.next(':') || !r.digits(2, m)) return value_error::malformed;
  if (r.next(':')) {
    if (!r.digits(2, s)) return value_error::malformed;
    if (r.next('.') || r.next(',')) {
      const auto fraction = r.run();
      if (fraction.empty()) return value_error::malformed;
      if (auto e = read_fraction(fraction, scale, out.ticks); e != value_error::none) return e;
    }
  }
  if (h > 23 || m > 59 || s > 59) return value_error::out_of_range;
  out.seconds += h * 3600 + m * 60 + s;
  return value_error::none;
}

// Z or ±hh[[:]mm], or nothing.
value_error read_offset(reader& r, moment& out) {
  if (r.done()) return value_error::none;
  r.next(' ');
  out.absolute = true;
  if (r.next('Z') || r.next('z')) return r.done() ? value_error::none : value_error::malformed;
  const bool west = r.peek() == '-';
  if (!r.next('-') && !r.next('+')) return value_error::malformed;
  std::uint32_t h = 0, m = 0;
  if (!r.digits(2, h)) return value_error::malformed;
  if (!r.done()) {
    r.next(':');
    if (!r.digits(2, m) || !r.done()) return value_error::malformed;
  }
  if (h > 15 || m > 59) return value_error::out_of_range;
  const std::int64_t east = h * 3600 + m * 60;
  out.seconds -= west ? -east : east;
  return value_error::none;
}

// 9 or 10 digits [. digits]
value_error read_unix(std::string_view text, std::uint32_t scale, moment& out) {
  reader r(text);
  for (char c : r.run()) out.seconds = out.seconds * 10 + (c - '0');
  if (r.next('.')) {
    const auto fraction = r.run();
    if (fraction.empty()) return value_error::malformed;
    if (auto e = read_fraction(fraction, scale, out.ticks); e != value_error::none) return e;
  }
  out.absolute = true;
  return r.done() ? value_error::none : value_error::malformed;
}

bool looks_like_unix(std::string_view text) {
  std::size_t n = 0;
  while (n < text.size() && text[n] >= '0' && text[n] <= '9') ++n;
  return (n == 9 || n == 10) && (n == text.size() || text[n] == '.');
}

value_error read_moment(std::string_view text, std::uint32_t scale, moment& out) {
  if (looks_like_unix(text)) return read_unix(text, scale, out);
  reader r(text);
  std::int64_t days = 0;
  if (auto e = read_date(r, days); e != value_error::none) return e;
  if (days < first_day32 || days > last_day32) return value_error::out_of_range;
  out.seconds = days * day_seconds;
  if (r.done()) return value_error::none;
  if (!r.next('T') && !r.next(' ') && !r.next('t')) return value_error::malformed;
  if (auto e = read_clock(r, scale, out); e != value_error::none) return e;
  return read_offset(r, out);
}

value_error to_unix(moment& m, const zone& in, std::size_t& hint) {
  return m.absolute ? value_error::none : in.to_unix(m.seconds, m.seconds, hint);
}

// seconds × 10^scale + fraction
value_error to_ticks(std::int64_t seconds, std::int64_t fraction, std::uint32_t scale, std::int64_t& ticks) {
  if (__builtin_mul_overflow(seconds, powers[scale], &ticks) || __builtin_add_overflow(ticks, fraction, &ticks))
    return value_error::out_of_range;
  return value_error::none;
}

} // namespace

value_error parse_date(std::string_view text, std::uint16_t& days) {
  reader r(text);
  std::int64_t d = 0;
  if (auto e = read_date(r, d); e != value_error::none) return e;
  if (!r.done()) return value_error::malformed;
  if (d < 0 || d > 65'535) return value_error::out_of_range;
  days = static_cast<std::uint16_t>(d);
  return value_error::none;
}

value_error parse_date32(std::string_view text, std::int32_t& days) {
  reader r(text);
  std::int64_t d = 0;
  if (auto e = read_date(r, d); e != value_error::none) return e;
  if (!r.done()) return value_error::malformed;
  days = static_cast<std::int32_t>(d);
  return check_date32(d);
}

value_error check_date32(std::int64_t days) {
  return days < first_day32 || days > last_day32 ? value_error::out_of_range : value_error::none;
}

value_error parse_datetime(std::string_view text, const zone& in, std::size_t& hint, std::uint32_t& unix_seconds) {
  moment m;
  if (auto e = read_moment(text, 0, m); e != value_error::none) return e;
  if (auto e = to_unix(m, in, hint); e != value_error::none) return e;
  if (m.seconds < 0 || m.seconds > 0xffff'ffff) return value_error::out_of_range;
  unix_seconds = static_cast<std::uint32_t>(m.seconds);
  return value_error::none;
}

value_error parse_datetime64(std::string_view text, std::uint32_t scale, const zone& in, std::size_t& hint,
                             std::int64_t& ticks) {
  moment m;
  if (auto e = read_moment(text, scale, m); e != value_error::none) return e;
  if (auto e = to_unix(m, in, hint); e != value_error::none) return e;
  if (auto e = to_ticks(m.seconds, m.ticks, scale, ticks); e != value_error::none) return e;
  return m.absolute ? check_datetime64(ticks, scale) : value_error::none; // an offset may lead out of the range
}

value_error check_datetime64(std::int64_t ticks, std::uint32_t scale) {
  const std::int64_t whole = ticks / powers[scale] - (ticks % powers[scale] < 0 ? 1 : 0);
  return whole < first_day32 * day_seconds || whole >= (last_day32 + 1) * day_seconds ? value_error::out_of_range
                                                                                      : value_error::none;
}

value_error parse_time64(std::string_view text, std::uint32_t scale, std::int64_t& ticks) {
  reader r(text);
  const bool negative = r.next('-');
  const auto first = r.run();
  if (first.empty() || first.size() > 9) return value_error::malformed;
  std::int64_t seconds = 0;
  for (char c : first) seconds = seconds * 10 + (c - '0');
  if (r.next(':')) {
    std::uint32_t m = 0, s = 0;
    if (first.size() > 3 || !r.digits(2, m) || !r.next(':') || !r.digits(2, s)) return value_error::malformed;
    if (m > 59 || s > 59) return value_error::out_of_range;
    seconds = seconds * 3600 + m * 60 + s;
  }
  std::int64_t fraction = 0;
  if (r.next('.')) {
    const auto digits = r.run();
    if (digits.empty()) return value_error::malformed;
    if (auto e = read_fraction(digits, scale, fraction); e != value_error::none) return e;
  }
  if (!r.done()) return value_error::malformed;
  if (seconds > time_limit) return value_error::out_of_range;
  ticks = seconds * powers[scale] + fraction;
  if (negative) ticks = -ticks;
  return value_error::none;
}

value_error parse_time(std::string_view text, std::int32_t& seconds) {
  std::int64_t ticks = 0;
  if (auto e = parse_time64(text, 0, ticks); e != value_error::none) return e;
  seconds = static_cast<std::int32_t>(ticks);
  return value_error::none;
}

value_error check_time(std::int64_t ticks, std::uint32_t scale) {
  const std::int64_t limit = (time_limit + 1) * powers[scale];
  return ticks <= -limit || ticks >= limit ? value_error::out_of_range : value_error::none;
}

} // namespace chute
