#include "formats/datum.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <date/date.h>

namespace chute {

const char* name_of(datum_kind k) {
  constexpr std::array<const char*, datum_kinds> names = {
      "missing",     "null",   "a boolean", "an integer", "an integer", "a decimal", "a float",     "a float",
      "a text",      "bytes",  "an enum",   "a uuid",     "a date",     "a time",    "a timestamp", "a local timestamp",
      "an interval", "a list", "a map",     "a record"};
  return names[static_cast<std::size_t>(k)];
}

// -- memory ---------------------------------------------------------------------------------------------------------

void datum_arena::clear() {
  constexpr std::size_t blocks_kept = 64; // a record of unusual size does not hold its memory for ever
  if (blocks_.size() > blocks_kept) blocks_.resize(blocks_kept);
  if (wides_.size() > blocks_kept * block_size) wides_.resize(blocks_kept * block_size);
  texts_.clear();
  used_ = wides_used_ = 0;
}

const wide_int* datum_arena::keep(const wide_int& v) {
  if (wides_used_ == wides_.size()) wides_.push_back(std::make_unique<wide_int>());
  wide_int& kept = *wides_[wides_used_++];
  kept = v;
  return &kept;
}

std::string_view datum_arena::keep(std::string text) {
  texts_.push_back(std::make_unique<std::string>(std::move(text)));
  return *texts_.back();
}

std::string& datum_arena::text(std::string_view begin) {
  texts_.push_back(std::make_unique<std::string>(begin));
  return *texts_.back();
}

bool read_big_endian(std::string_view bytes, wide_int& out) {
  const unsigned char fill = !bytes.empty() && (bytes[0] & 0x80) ? 0xff : 0;
  while (bytes.size() > 32) {
    if (static_cast<unsigned char>(bytes[0]) != fill) return false;
    bytes.remove_prefix(1);
  }
  // What was cut off must not have been the sign.
  if (!bytes.empty() && ((bytes[0] & 0x80) ? 0xff : 0) != fill) return false;
  out.limb.fill(fill ? ~std::uint64_t{0} : 0);
  auto* at = reinterpret_cast<unsigned char*>(out.limb.data());
  for (std::size_t i = 0; i < bytes.size(); ++i) at[bytes.size() - 1 - i] = static_cast<unsigned char>(bytes[i]);
  return true;
}

// -- text -----------------------------------------------------------------------------------------------------------

namespace {

__extension__ using uint128 = unsigned __int128;

void append_number(std::int64_t v, std::string& out) { out += std::to_string(v); }

// Divides by 10^19, returns the rest.
std::uint64_t take_digits(wide_int& v) {
  constexpr std::uint64_t ten19 = 10'000'000'000'000'000'000ull;
  uint128 rest = 0;
  for (std::size_t i = 4; i-- > 0;) {
    const uint128 part = rest << 64 | v.limb[i];
    v.limb[i] = static_cast<std::uint64_t>(part / ten19);
    rest = part % ten19;
  }
  return static_cast<std::uint64_t>(rest);
}

template <class T> void append_real(T v, std::string& out) {
  char text[64];
  if (std::isnan(v)) out += "nan";
  else if (std::isinf(v)) out += v < 0 ? "-inf" : "inf";
  else out.append(text, std::to_chars(text, text + sizeof text, v).ptr);
}

void append_padded(std::int64_t v, int digits, std::string& out) {
  char text[24];
  std::snprintf(text, sizeof text, "%0*lld", digits, static_cast<long long>(v));
  out += text;
}

constexpr std::array<std::int64_t, 10> powers = {1,       10,        100,        1'000,       10'000,
                                                 100'000, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000};

void append_date(std::int64_t days, std::string& out) {
  if (days < -3'000'000 || days > 3'000'000) return append_number(days, out); // beyond the calendar of four digits
  const date::year_month_day d{date::sys_days{date::days{static_cast<int>(days)}}};
  append_padded(static_cast<int>(d.year()), 4, out);
  out += '-';
  append_padded(static_cast<unsigned>(d.month()), 2, out);
  out += '-';
  append_padded(static_cast<unsigned>(d.day()), 2, out);
}

// Whole units of `of`, rounded down, and the rest.
std::pair<std::int64_t, std::int64_t> split(std::int64_t v, std::int64_t of) {
  const std::int64_t rest = v % of < 0 ? v % of + of : v % of;
  return {(v - rest) / of, rest};
}

void append_clock(std::int64_t seconds, std::int64_t fraction, std::uint32_t scale, std::string& out) {
  append_padded(seconds / 3600, 2, out);
  out += ':';
  append_padded(seconds / 60 % 60, 2, out);
  out += ':';
  append_padded(seconds % 60, 2, out);
  if (!scale) return;
  out += '.';
  append_padded(fraction, static_cast<int>(scale), out);
}

void append_time(const datum& d, std::string& out) {
  const auto magnitude = d.number < 0 ? 0 - static_cast<std::uint64_t>(d.number) : static_cast<std::uint64_t>(d.number);
  const auto unit = static_cast<std::uint64_t>(powers[d.scale]);
  if (d.number < 0) out += '-';
  append_clock(static_cast<std::int64_t>(magnitude / unit), static_cast<std::int64_t>(magnitude % unit), d.scale, out);
}

void append_timestamp(const datum& d, std::string& out) {
  constexpr std::int64_t day = 86'400;
  if (d.number < std::numeric_limits<std::int64_t>::min() + powers[9]) return append_number(d.number, out);
  const auto [seconds, fraction] = split(d.number, powers[d.scale]);
  if (seconds < -200'000'000'000 || seconds > 200'000'000'000) return append_number(d.number, out);
  const auto [days, of_day] = split(seconds, day);
  append_date(days, out);
  out += ' ';
  append_clock(of_day, fraction, d.scale, out);
}

void append_uuid(std::string_view bytes, std::string& out) {
  constexpr char digits[] = "0123456789abcdef";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    const auto b = static_cast<unsigned char>(bytes[i]);
    out += digits[b >> 4];
    out += digits[b & 15];
  }
}

// ISO 8601: P1M2DT3.004S
void append_interval(std::string_view bytes, std::string& out) {
  std::array<std::uint32_t, 3> part{};
  std::memcpy(part.data(), bytes.data(), std::min(bytes.size(), sizeof part));
  out += 'P';
  if (part[0]) out += std::to_string(part[0]) + 'M';
  if (part[1]) out += std::to_string(part[1]) + 'D';
  if (!part[2] && (part[0] || part[1])) return;
  out += "T" + std::to_string(part[2] / 1000);
  if (part[2] % 1000) out += '.', append_padded(part[2] % 1000, 3, out);
  out += 'S';
}

void append_json_string(std::string_view s, std::string& out) {
  out += '"';
  for (const char c : s) {
    if (c == '"' || c == '\\') out += '\\', out += c;
    else if (static_cast<unsigned char>(c) < 0x20) {
      char text[8];
      std::snprintf(text, sizeof text, "\\u%04x", static_cast<unsigned>(c));
      out += text;
    } else out += c;
  }
  out += '"';
}

} // namespace

void render_decimal(const wide_int& value, std::uint32_t scale, std::string& out) {
  wide_int v = value;
  if (v.limb[3] >> 63) {
    out += '-';
    std::uint64_t carry = 1;
    for (auto& limb : v.limb) {
      limb = ~limb + carry;
      carry = carry && limb == 0;
    }
  }
  std::array<char, 5 * 19> digits; // 2^256 has 78
  std::size_t at = digits.size();
  while (at > 0) {
    auto part = take_digits(v);
    for (int i = 0; i < 19; ++i, part /= 10) digits[--at] = static_cast<char>('0' + part % 10);
  }
  // Without leading zeros, but one digit before the point.
  std::string text(digits.data(), digits.size());
  text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
  if (text.size() <= scale) text.insert(0, scale + 1 - text.size(), '0');
  if (scale) text.insert(text.size() - scale, 1, '.');
  out += text;
}

void render_text(const datum& d, std::string& out) {
  switch (d.kind) {
  case datum_kind::boolean: out += d.number ? "true" : "false"; break;
  case datum_kind::integer: append_number(d.number, out); break;
  case datum_kind::natural: out += std::to_string(static_cast<std::uint64_t>(d.number)); break;
  case datum_kind::decimal: render_decimal(*d.wide, d.scale, out); break;
  case datum_kind::float32: append_real(static_cast<float>(d.real), out); break;
  case datum_kind::float64: append_real(d.real, out); break;
  case datum_kind::text:
  case datum_kind::bytes:
  case datum_kind::symbol: out += d.text; break;
  case datum_kind::uuid: append_uuid(d.text, out); break;
  case datum_kind::date: append_date(d.number, out); break;
  case datum_kind::time: append_time(d, out); break;
  case datum_kind::timestamp:
  case datum_kind::local_timestamp: append_timestamp(d, out); break;
  case datum_kind::interval: append_interval(d.text, out); break;
  default: render_json(d, out); break;
  }
}

namespace {
// A whole one as 1.0: or it would be an integer for whoever reads it, and 1.5 beside it another type. JSON's own
// numbers are whatever they look like.
void render_json_real(const datum& d, std::string& out) {
  if (!std::isfinite(d.real)) {
    out += "null";
    return;
  }
  const auto before = out.size();
  render_text(d, out);
  constexpr double exact_below = 1LL << 53;
  if (d.has_number && std::abs(d.real) < exact_below) return;
  if (out.find_first_of(".e", before) == out.npos) out += ".0";
}
} // namespace

void render_json(const datum& d, std::string& out) {
  switch (d.kind) {
  case datum_kind::absent:
  case datum_kind::null: out += "null"; return;
  case datum_kind::boolean:
  case datum_kind::integer:
  case datum_kind::natural: return render_text(d, out);
  case datum_kind::float32:
  case datum_kind::float64: return render_json_real(d, out);
  case datum_kind::text:
  case datum_kind::symbol: return append_json_string(d.text, out);
  case datum_kind::bytes: return append_json_string(to_base64(d.text), out);
  case datum_kind::list:
  case datum_kind::map:
  case datum_kind::record: break;
  default: {
    out += '"';
    render_text(d, out);
    out += '"';
    return;
  }
  }
  const bool named = d.kind != datum_kind::list;
  out += named ? '{' : '[';
  for (const datum* c = d.first; c; c = c->next) {
    if (c != d.first) out += ',';
    if (named) append_json_string(c->name, out), out += ':';
    render_json(*c, out);
  }
  out += named ? '}' : ']';
}

// -- Base64 ---------------------------------------------------------------------------------------------------------

namespace {
constexpr std::string_view base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string to_base64(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t v = 0;
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k) v = v << 8 | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0);
    for (std::size_t k = 0; k < 4; ++k) out += k <= n ? base64[v >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

bool from_base64(std::string_view text, std::string& out) {
  out.clear();
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  if (text.size() % 4 == 1) return false;
  std::uint32_t v = 0;
  int bits = 0;
  for (const char c : text) {
    const auto digit = base64.find(c);
    if (digit == base64.npos) return false;
    v = v << 6 | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>(v >> bits & 0xff);
  }
  return true;
}

} // namespace chute
