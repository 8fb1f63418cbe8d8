// Schemas of Kafka Connect, as its JSON converter writes them.
#pragma once

#include "core/error.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chute::connect {

// What a value is. Those behind `structure` are logical types, with the form that they have in JSON.
enum class kind : std::uint8_t {
  int8,
  int16,
  int32,
  int64,
  float32,
  float64,
  boolean,
  string,
  bytes, // Base64
  array,
  map, // an object, or pairs
  structure,
  decimal,          // Base64 of the unscaled number, or a number; scale
  variable_decimal, // {scale, value}
  date,             // days
  time,             // 10^-scale seconds of the day, or a span
  timestamp,        // 10^-scale seconds since 1970, UTC
  local_timestamp,  // the same on clocks whose zone is not told
  uuid,
  symbol, // a member of an enum
};

struct schema {
  kind what = kind::string;
  std::uint8_t scale = 0;
  bool optional = false;
  std::string default_json;     // empty: none
  std::string name;             // of a field
  std::vector<schema> children; // structure: its fields; array: 1; map: keys and values
};

// A cause is a half sentence about the schema.
result<std::shared_ptr<const schema>> parse_schema(std::string_view json);

} // namespace chute::connect
