// Rows as RowBinary, from both sides: what a record says is rendered as RowBinary, what the table holds is read as
// RowBinary, and the two are compared by a hash of those bytes.
// Source of the format: ClickHouse's documentation of RowBinary.
#pragma once

#include "test/kit/common.hpp"

#include <cstdint>
#include <optional>
#include <simdjson.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chute::kit {

enum class kind : std::uint8_t {
  uint8,
  uint16,
  uint32,
  uint64,
  int8,
  int16,
  int32,
  int64,
  float32,
  float64,
  boolean,
  string,
  fixed_string,
  date,
  datetime,
  datetime64,
  nullable,
  array,
  map,
  tuple,
  skipped, // skipped: fixed width, read over, never rendered (UUID, Int128, …)
};

struct value_type {
  kind what = kind::string;
  std::uint32_t width = 0; // bytes of a fixed value
  std::uint32_t scale = 0; // datetime64
  std::vector<value_type> args;
};

// A type as DESCRIBE prints it. LowCardinality is left away, as RowBinary does. Throws failure for a type that the
// oracle does not know.
value_type parse_value_type(std::string_view text);

// Reads over one value at `at`. Nothing if the bytes end before the value does.
std::optional<const char*> skip(const value_type& t, const char* at, const char* end);

// What the oracle makes of a record.
enum class verdict : std::uint8_t {
  none,        // no committed record at this offset
  row,         // it must be a row, with these values
  dead_letter, // it cannot be a row
  either, // the documentation leaves it open, or the oracle cannot tell: it must be there once, as one or the other
};

// One column of the table that a record fills.
struct row_column {
  enum class from : std::uint8_t { field, whole_value, timestamp, key } source = from::field;
  std::string name;
  value_type type;
  std::string default_bytes; // what a missing or null field becomes
};

struct raw_record {
  std::int64_t timestamp_ms = -1;
  std::optional<std::string_view> key, value;
};

// The zero of a type (0, "", [], null).
void render_default(const value_type& t, std::string& out);

// Renders records of one table. Not for use by two threads.
class renderer {
public:
  explicit renderer(std::vector<row_column> columns);
  // Appends the row of the record to `out` (cleared first). `out` means something only for verdict::row.
  verdict render(const raw_record& r, std::string& out);

private:
  verdict fields(std::string_view value);
  verdict assemble(const raw_record& r, std::string& out);
  std::vector<row_column> columns_;
  bool needs_json_ = false;
  std::vector<std::string> cells_;
  std::vector<char> filled_;
  std::string padded_;
  simdjson::dom::parser parser_;
};

// ISO 8601 with a zone (Z, ±hh:mm) as milliseconds; nothing otherwise. `open`: it may be a time that the table's time
// zone decides on.
std::optional<std::int64_t> parse_time_ms(std::string_view text, bool& open);

void append_length(std::string& out, std::uint64_t v);
std::optional<std::uint64_t> read_length(const char*& at, const char* end);

} // namespace chute::kit
