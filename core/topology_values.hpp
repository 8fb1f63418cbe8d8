// What a setting takes: ranges, words, and functions that turn the text of one into a value. Of the topology's reader,
// and of what checks a topology that no file was read for.
#pragma once

#include "core/text.hpp"
#include "core/topology_checks.hpp"
#include "core/topology_rules.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace chute {

inline error complaint(std::string cause) { return {"", std::move(cause), ""}; }
inline std::string quoted(std::string_view s) { return "'" + printable(s) + "'"; }

inline std::string listed(std::span<const std::string_view> names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i)
    (out += i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") += names[i];
  return out;
}

// "; did you mean 'x'?" or nothing.
inline std::string suggestion(std::string_view word, std::span<const std::string_view> names) {
  const auto near = nearest_name(word, names);
  return near ? "; did you mean '" + *near + "'?" : "";
}

// --- numbers ---------------------------------------------------------------------------------------------------------

template <class T> struct range { T least, most; };
constexpr std::int64_t a_second = 1'000, an_hour = 3'600'000; // ms
inline constexpr range<std::uint64_t> memory_range{memory_bytes_min, 1ull << 40};
inline constexpr range<std::int64_t> lanes_range{1, 100'000}, rows_range{1, 100'000'000}, replicas_range{0, 100};
inline constexpr range<std::uint64_t> bytes_range{1u << 10, 16ull << 30};
inline constexpr range<std::int64_t> wait_range{1, an_hour};
inline constexpr range<std::int64_t> long_limit_range{a_second, an_hour}, limit_range{100, an_hour};

// `shown`: as it was written; `show` writes the bounds.
template <class T, class Show> result<T> within(T n, range<T> r, const std::string& shown, Show&& show) {
  if (n >= r.least && n <= r.most) return n;
  return complaint(quoted(shown) + " is not between " + show(r.least) + " and " + show(r.most));
}

inline auto integer_in(range<std::int64_t> r) {
  return [r](const std::string& text) -> result<std::int64_t> {
    const auto n = parse_integer(text);
    if (!n) return complaint(quoted(text) + " is no whole number");
    return within(*n, r, text, [](std::int64_t bound) { return std::to_string(bound); });
  };
}

inline auto size_in(range<std::uint64_t> r) {
  return [r](const std::string& text) -> result<std::uint64_t> {
    const auto n = parse_size(text);
    return n ? within(*n, r, text, format_size) : n;
  };
}

inline auto duration_in(range<std::int64_t> r) {
  return [r](const std::string& text) -> result<std::int64_t> {
    const auto ms = parse_duration_ms(text);
    return ms ? within(*ms, r, text, format_duration) : ms;
  };
}

// --- words -----------------------------------------------------------------------------------------------------------

template <class T, std::size_t N> auto one_of(const choice<T> (&choices)[N]) {
  return [&choices](const std::string& text) -> result<T> {
    std::vector<std::string_view> names, available;
    for (const choice<T>& c : choices) {
      if (c.name == text && c.available) return c.value;
      names.push_back(c.name);
      if (c.available) available.push_back(c.name);
    }
    if (std::find(names.begin(), names.end(), text) != names.end())
      return complaint(quoted(text) + " is not available in this version; it takes " + listed(available));
    return complaint(quoted(text) + " is not known; it takes " + listed(available) + suggestion(text, names));
  };
}

inline constexpr choice<std::string_view> formats[] = {{"json", "json"}, {"connect_json", "connect_json"},
                                                       {"avro", "avro"}, {"protobuf", "protobuf"},
                                                       {"csv", "csv"},   {"tsv", "tsv"},
                                                       {"raw", "raw"},   {"passthrough", "passthrough"}};
inline constexpr choice<std::string_view> encodings[] = {
    {"native", "native"}, {"row_binary", "row_binary"}, {"json_each_row", "json_each_row"}};
// Of ClickHouse's formats those whose rows can be told apart without reading them.
inline constexpr choice<std::string_view> passthrough_formats[] = {{"JSONEachRow", "JSONEachRow"},
                                                                   {"JSONLines", "JSONEachRow"},
                                                                   {"NDJSON", "JSONEachRow"},
                                                                   {"JSONCompactEachRow", "JSONCompactEachRow"},
                                                                   {"CSV", "CSV"},
                                                                   {"TabSeparated", "TabSeparated"},
                                                                   {"TSV", "TabSeparated"},
                                                                   {"TSKV", "TSKV"}};
inline constexpr choice<std::string_view> key_formats[] = {
    {"json", "json"}, {"connect_json", "connect_json"}, {"avro", "avro"}, {"protobuf", "protobuf"}, {"raw", "raw"}};
inline constexpr choice<std::string_view> metas[] = {{"topic", "topic"},   {"partition", "partition"},
                                                     {"offset", "offset"}, {"timestamp", "timestamp"},
                                                     {"key", "key"},       {"headers", "headers"}};

} // namespace chute
