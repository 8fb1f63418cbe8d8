// A value as the field `c` of a record, written in each format by what the format's specification says.
#pragma once

#include "formats/decoder.hpp"
#include "matrix/value.hpp"

#include <optional>
#include <string>

namespace chute::test {

struct written {
  std::optional<std::string> record; // nothing: a record without a value
  decoder_options options;           // with its schema
};

// Formats: json, connect_json, avro, protobuf, csv, tsv, raw.
written write_record(const std::string& format, const value& v);

// A row of the columns `c` (of this type) and `other`, digits, as ClickHouse reads it in this format.
std::string write_passed(const std::string& format, const value& v, const std::string& type, const std::string& other);

// As JSON, as a person would write it: dates, times, uuids and symbols as strings, bytes as they are.
std::string as_json(const value& v);
// As the text of a CSV field: scalars plainly, all others as JSON.
std::string as_text(const value& v);

bool tells_schema(const value& v);

// The writers of the formats with schemas of their own.
written write_connect(const value& v);
written write_avro(const value& v);
written write_protobuf(const value& v);

// A decimal as two's complement, highest byte first, and its scale. Empty: more than 256 bits.
std::string unscaled(const std::string& digits, int& scale);

} // namespace chute::test
