#include "core/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <limits>
#include <vector>

namespace chute {
namespace {

constexpr std::size_t word_length_max = 64; // nobody mistypes a name that is longer; bounds the work below

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

// Slips between two words: inserted, left out, replaced, or two neighbours swapped (optimal string alignment).
std::size_t slips(std::string_view a, std::string_view b) {
  std::array<std::array<std::size_t, word_length_max + 1>, 3> rows{};
  std::size_t* before = rows[0].data();
  std::size_t* above = rows[1].data();
  std::size_t* row = rows[2].data();
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0u : 1u)});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

error complaint(std::string cause) { return {"", std::move(cause), ""}; }

// "<digits><blanks><unit>" apart. No digits: nothing.
struct amount {
  std::uint64_t number = 0;
  std::string_view unit;
};
std::optional<amount> split_amount(std::string_view text) {
  amount out;
  const char* end = text.data() + text.size();
  const auto [at, failed] = std::from_chars(text.data(), end, out.number);
  if (failed != std::errc{}) return {};
  out.unit = trimmed({at, static_cast<std::size_t>(end - at)});
  return out;
}

// Reads exactly `digits` digits off the front of `s`.
std::optional<int> take_digits(std::string_view& s, std::size_t digits) {
  if (s.size() < digits) return {};
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (!is_digit(s[i])) return {};
    value = value * 10 + (s[i] - '0');
  }
  s.remove_prefix(digits);
  return value;
}

bool take(std::string_view& s, char c) {
  if (s.empty() || s.front() != c) return false;
  s.remove_prefix(1);
  return true;
}

// ".250" → 250; up to nine digits, those after the third are cut off.
std::optional<int> take_fraction_ms(std::string_view& s) {
  if (!take(s, '.')) return 0;
  int ms = 0;
  std::size_t digits = 0;
  for (; !s.empty() && is_digit(s.front()); s.remove_prefix(1), ++digits)
    if (digits < 3) ms = ms * 10 + (s.front() - '0');
  if (digits == 0 || digits > 9) return {};
  for (; digits < 3; ++digits) ms *= 10;
  return ms;
}

// "", "Z", "+02:00", "-0530", "+02": minutes east of UTC; takes all of `s`.
std::optional<int> take_zone_minutes(std::string_view s) {
  if (s.empty() || s == "Z" || s == "z") return 0;
  const int sign = s.front() == '+' ? 1 : -1;
  if (s.front() != '+' && s.front() != '-') return {};
  s.remove_prefix(1);
  const auto hours = take_digits(s, 2);
  if (!hours || *hours > 14) return {};
  if (s.empty()) return sign * *hours * 60;
  take(s, ':');
  const auto minutes = take_digits(s, 2);
  if (!minutes || *minutes > 59 || !s.empty()) return {};
  return sign * (*hours * 60 + *minutes);
}

// The time of day in ms, less the zone's offset; "" is midnight UTC.
std::optional<std::int64_t> take_time_ms(std::string_view s) {
  if (s.empty()) return 0;
  if (!take(s, 'T') && !take(s, 't') && !take(s, ' ')) return {};
  const auto hour = take_digits(s, 2);
  if (!hour || *hour > 23 || !take(s, ':')) return {};
  const auto minute = take_digits(s, 2);
  if (!minute || *minute > 59) return {};
  std::optional<int> second = 0, fraction = 0;
  if (take(s, ':')) {
    second = take_digits(s, 2);
    if (!second || *second > 59) return {};
    fraction = take_fraction_ms(s);
  }
  const auto zone = take_zone_minutes(s);
  if (!fraction || !zone) return {};
  return ((*hour * 60ll + *minute - *zone) * 60 + *second) * 1000 + *fraction;
}

std::optional<std::int64_t> timestamp_ms(std::string_view s) {
  const auto year = take_digits(s, 4);
  if (!year || !take(s, '-')) return {};
  const auto month = take_digits(s, 2);
  if (!month || !take(s, '-')) return {};
  const auto day = take_digits(s, 2);
  if (!day) return {};
  const std::chrono::year_month_day date{std::chrono::year{*year}, std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok()) return {};
  const auto time = take_time_ms(s);
  if (!time) return {};
  return std::chrono::sys_days{date}.time_since_epoch().count() * 86'400'000ll + *time;
}

} // namespace

std::optional<std::string> nearest_name(std::string_view word, std::span<const std::string_view> names) {
  if (word.empty() || word.size() > word_length_max) return {};
  const std::size_t allowed = word.size() <= 5 ? 1 : 2 + (word.size() - 6) / 3;
  std::optional<std::string> best;
  std::size_t best_slips = allowed + 1;
  for (const std::string_view name : names) {
    if (name.empty() || name.size() > word_length_max) continue;
    const std::size_t n = slips(word, name);
    // A word that shares nothing with the name is no slip of it: "ab" is not "cd".
    if (n >= best_slips || n >= name.size()) continue;
    best_slips = n;
    best = std::string(name);
  }
  return best;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  if (text.size() > 1 && text.front() == '+' && is_digit(text[1])) text.remove_prefix(1);
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, failed] = std::from_chars(text.data(), end, value);
  if (failed != std::errc{} || at != end) return {};
  return value;
}

result<std::uint64_t> parse_size(std::string_view text) {
  static constexpr std::pair<std::string_view, int> units[] = {{"", 0},     {"B", 0},    {"KiB", 10},
                                                               {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
  const auto parts = split_amount(text);
  if (parts)
    for (const auto& [unit, shift] : units)
      if (parts->unit == unit) {
        if (parts->number > (std::numeric_limits<std::uint64_t>::max() >> shift))
          return complaint("'" + printable(text) + "' is more than any machine has");
        return parts->number << shift;
      }
  return complaint("'" + printable(text) + "' is no size; write bytes or KiB, MiB, GiB, TiB, as in 64MiB");
}

std::string format_size(std::uint64_t bytes) {
  static constexpr std::string_view units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // 1023.95 KiB would print as 1024.0 KiB: the next unit then
  for (; value >= 1023.95 && unit + 1 < std::size(units); ++unit) value /= 1024;
  char out[32];
  std::snprintf(out, sizeof out, "%.1f", value);
  std::string digits = out;
  if (digits.ends_with(".0")) digits.resize(digits.size() - 2);
  return digits + " " + std::string(units[unit]);
}

result<std::int64_t> parse_duration_ms(std::string_view text) {
  static constexpr std::pair<std::string_view, std::uint64_t> units[] = {
      {"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}};
  const auto parts = split_amount(text);
  if (parts)
    for (const auto& [unit, ms] : units)
      if (parts->unit == unit) {
        constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
        if (parts->number > most / ms) return complaint("'" + printable(text) + "' is longer than anybody waits");
        return static_cast<std::int64_t>(parts->number * ms);
      }
  if (parts && parts->unit.empty())
    return complaint("'" + printable(text) + "' has no unit; write ms, s, m or h after the number, as in 1s");
  return complaint("'" + printable(text) + "' is no time span; write a number and ms, s, m or h, as in 500ms");
}

std::string format_duration(std::int64_t ms) {
  if (ms < 0) return "-" + format_duration(ms == std::numeric_limits<std::int64_t>::min() ? -(ms + 1) : -ms);
  const long long seconds = ms / 1000, minutes = seconds / 60, hours = minutes / 60;
  char out[64];
  if (ms < 1000) std::snprintf(out, sizeof out, "%lld ms", static_cast<long long>(ms));
  else if (minutes == 0 && ms % 1000 < 100) std::snprintf(out, sizeof out, "%lld s", seconds);
  else if (minutes == 0) std::snprintf(out, sizeof out, "%lld.%d s", seconds, static_cast<int>(ms % 1000 / 100));
  else if (hours == 0) std::snprintf(out, sizeof out, "%lldm %02llds", minutes, seconds % 60);
  else std::snprintf(out, sizeof out, "%lldh %02lldm", hours, minutes % 60);
  return out;
}

result<std::int64_t> parse_timestamp_ms(std::string_view text) {
  const auto ms = timestamp_ms(text);
  if (!ms) return complaint("'" + printable(text) + "' is no ISO 8601 time, as in 2024-05-01T12:00:00Z");
  if (*ms < 0) return complaint("'" + printable(text) + "' is before 1970");
  return *ms;
}

std::string format_count(std::uint64_t n) {
  std::string out = std::to_string(n);
  for (std::size_t at = out.size(); at > 3;) out.insert(at -= 3, 1, ',');
  return out;
}

std::string printable(std::string_view text, std::size_t bytes_max) {
  static constexpr char hex[] = "0123456789abcdef";
  std::size_t keep = std::min(text.size(), bytes_max);
  // Never end within a character of UTF-8: continuation bytes are 10xxxxxx.
  if (keep < text.size())
    while (keep > 0 && (static_cast<unsigned char>(text[keep]) & 0xc0) == 0x80) --keep;
  std::string out;
  for (const char c : text.substr(0, keep)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) out += c;
    else ((out += "\\x") += hex[byte >> 4]) += hex[byte & 15];
  }
  if (keep < text.size()) out += "…";
  return out;
}

std::string shell_word(std::string_view word) {
  constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./,:=@%+";
  if (!word.empty() && word.find_first_not_of(plain) == word.npos) return std::string(word);
  std::string out = "'";
  for (const char c : word) c == '\'' ? out += "'\\''" : out += c;
  return out + "'";
}

} // namespace chute
