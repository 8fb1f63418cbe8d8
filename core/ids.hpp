// Strong types for the numbers that must not be mixed up, and the units of time that core/ uses.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace chute {

// A partition of a Kafka topic.
struct partition_id {
  std::int32_t value = 0;
  auto operator<=>(const partition_id&) const = default;
};

// An offset in a partition's log. `next` offsets are exclusive ends, `last` offsets are inclusive.
struct offset_t {
  std::int64_t value = 0;
  auto operator<=>(const offset_t&) const = default;
  friend offset_t operator+(offset_t a, std::int64_t n) { return {a.value + n}; }
  friend offset_t operator-(offset_t a, std::int64_t n) { return {a.value - n}; }
  friend std::int64_t operator-(offset_t a, offset_t b) { return a.value - b.value; }
};

// A lane of one topic of a pipeline: 0 … L-1. Its seat is the partition of the same number.
struct lane_id {
  std::int32_t value = 0;
  auto operator<=>(const lane_id&) const = default;
};

// Milliseconds. `mono_ms` is a clock that counts suspended time and never jumps (CLOCK_BOOTTIME); `wall_ms` is Unix
// time as ClickHouse tells it.
using mono_ms = std::int64_t;
using wall_ms = std::int64_t;

// An insert's deduplication token: 128 random bits, printed as 32 hexadecimal digits.
struct token_t {
  std::uint64_t high = 0, low = 0;
  auto operator<=>(const token_t&) const = default;
  std::string hex() const;
  static bool parse(const std::string& text, token_t& out);
};

} // namespace chute

template <> struct std::hash<chute::partition_id> {
  std::size_t operator()(chute::partition_id p) const noexcept { return std::hash<std::int32_t>{}(p.value); }
};
