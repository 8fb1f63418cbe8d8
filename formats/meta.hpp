// Columns that do not come from the record's body: its provenance, its headers, constants.
#pragma once

#include "core/changes.hpp"
#include "formats/columns.hpp"
#include "formats/text_value.hpp"

#include <optional>
#include <span>

namespace chute {

// Fills one column. What goes into what:
//   topic      any scalar that its text is valid for: String, LowCardinality(String), Enum, …
//   partition, offset   integers of any width (out of range: an error of that record), String as decimal text
//   timestamp  milliseconds as the broker has them: DateTime64 and DateTime (cut to the column's resolution), Int64 and
//              other integers as Unix milliseconds, String as their decimal text. A record without one: no value
//   key        any scalar, from its text; String byte for byte. Null: no value
//   headers    Map(String, String) and Array(Tuple(String, String)), in order, repeated names kept; a null header is ''
//              unless the values are Nullable(String)
//   a header   any scalar, from its text. Absent or null: no value. Repeated: the last one, as Kafka's lastHeader
//   a constant any scalar, from its text, checked once
//   deleted, sign, version   what `deletes` says of the row: UInt8, Int8; the version is the offset
// "No value" is a missing value: see target_column.
class meta_filler {
public:
  // The source of `t` is header, value or meta.
  static result<meta_filler> make(const target_column& t, const decoder_options& options);

  bool needs_headers() const { return what_ == what::headers || what_ == what::header; }

  // Appends one value to a column of the target's wire type. After an error the column may hold half a value: roll
  // back.
  value_error append(const record_view& r, partition_id partition, std::span<const header_view> headers, column& out,
                     row_change change = row_change::state);

  // "header 'origin' for column 'o' (String)": the begin of an error; describe() goes behind it.
  const std::string& subject() const { return subject_; }

private:
  enum class what : std::uint8_t { constant, partition, offset, timestamp, key, headers, header, deleted, sign };

  value_error append_place(std::int64_t v, column& out);
  value_error append_number(std::int64_t v, column& out);
  value_error append_timestamp(std::int64_t ms, column& out);
  void append_headers(std::span<const header_view> headers, column& out) const;
  const header_view* find(std::span<const header_view> headers) const;

  what what_ = what::constant;
  std::uint32_t holds_all_ = 0; // bytes of a column that holds every partition or offset, and no null; else 0
  target_column target_;
  std::string subject_;
  std::shared_ptr<const column> constant_; // topic, value
  std::optional<text_value> text_;
};

} // namespace chute
