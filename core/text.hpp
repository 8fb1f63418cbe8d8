// Small text that people read and write: names close to a mistyped one, sizes, times, points in time.
#pragma once

#include "core/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace chute {

// The name that `word` was most likely meant to be, or nothing if none is near. Case does not count. Near: at most one
// slip (a letter more, less, other, or two swapped) in words up to five letters, one more for every three letters
// after.
std::optional<std::string> nearest_name(std::string_view word, std::span<const std::string_view> names);

// A whole number, decimal digits only, with an optional sign. No blanks, no fraction, no overflow.
std::optional<std::int64_t> parse_integer(std::string_view text);

// "64MiB", "64 MiB", "4096": bytes. KiB, MiB and GiB are powers of 1024. The errors' cause is a half sentence that
// follows the name of the setting; their component is empty. The same holds for the parsers below.
result<std::uint64_t> parse_size(std::string_view text);
// "64 MiB", "1.5 GiB", "17 bytes"
std::string format_size(std::uint64_t bytes);

// "500ms", "2s", "5m", "1h": milliseconds. The unit is required.
result<std::int64_t> parse_duration_ms(std::string_view text);
// "500 ms", "2 s", "2.5 s", "5m 00s", "1h 05m"
std::string format_duration(std::int64_t ms);

// ISO 8601: "2024-05-01", "2024-05-01T12:00:00Z", "2024-05-01 12:00:00.250+02:00". Without a zone it is UTC.
// Milliseconds since 1970; finer digits are cut off. Years 1970 to 9999.
result<std::int64_t> parse_timestamp_ms(std::string_view text);

// "12,345,678"
std::string format_count(std::uint64_t n);

// `text` for a message: control characters as \xNN, cut to `bytes_max` at a character's border, "…" where it was cut.
std::string printable(std::string_view text, std::size_t bytes_max = 80);

// A word of a shell's command line: in quotes where it needs them.
std::string shell_word(std::string_view word);

} // namespace chute
