// ClickHouse's data types, as DESCRIBE TABLE prints them.
// Source of the grammar: ClickHouse 26.7's system.data_type_families and its documentation of data types.
#pragma once

#include "core/error.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chute {

enum class type_kind : std::uint8_t {
  int8,
  int16,
  int32,
  int64,
  int128,
  int256,
  uint8,
  uint16,
  uint32,
  uint64,
  uint128,
  uint256,
  bfloat16,
  float32,
  float64,
  decimal, // width 4, 8, 16 or 32 bytes; scale
  boolean,
  string,
  fixed_string, // fixed_string: width
  uuid,
  date,
  date32,
  datetime,
  datetime64, // datetime64: scale; both: timezone (empty: the server's)
  time,
  time64, // time64: scale
  enum8,
  enum16, // names
  ipv4,
  ipv6,
  array,
  tuple,
  map,
  nullable,
  low_cardinality,
  variant,
  nested, // args and names as for tuple; stored as Array(Tuple(…))
  dynamic,
  json,
  point,
  ring,
  line_string,
  multi_line_string,
  polygon,
  multi_polygon,
  geometry,
  simple_aggregate_function, // args[0] is the value's type
  aggregate_function,
  interval,
  nothing,
  qbit,    // parsed, but not insertable from records (qbit: as Array(Float))
  unknown, // a type of a later server: kept as text, so that DESCRIBE never fails
};

struct type;
using type_ptr = std::shared_ptr<const type>;

struct type {
  type_kind kind = type_kind::unknown;
  std::string text;               // canonical text, as DESCRIBE prints it
  std::uint32_t width = 0;        // bytes of a value with a fixed width, else 0
  std::uint32_t precision = 0;    // decimal; qbit, and the array it is stored as: the number of elements it must have
  std::uint32_t scale = 0;        // decimal, datetime64, time64
  std::string timezone;           // datetime, datetime64
  std::vector<type_ptr> args;     // array, tuple, map (2), nullable, low_cardinality, variant (sorted as the server
                                  // numbers them), nested, simple_agg…, qbit; json: the types of the paths in names
  std::vector<std::string> names; // tuple and nested: names of args (empty if unnamed); json: paths that have a type
  std::vector<std::pair<std::string, std::int16_t>> enum_values;
};

// Parses what DESCRIBE TABLE prints. Nesting is bounded (64); the error names the place in the text.
// A well-formed type of unknown name is `unknown`, not an error.
result<type_ptr> parse_type(std::string_view text);

// The type without what only says how it is stored: LowCardinality(T) → T, SimpleAggregateFunction(f, T) → T,
// Point → Tuple(Float64, Float64), Ring → Array(Point), Nested(…) → Array(Tuple(…)), QBit(T, n) → Array(T), Geometry →
// Variant(LineString, …), and so on, recursively, but not inside Variant: its alternatives are told apart by their
// names (LineString and Ring are both arrays of points), so they keep them; ask for the storage type of each.
type_ptr storage_type(const type_ptr& t);

// Nullable(T); T itself if it is Nullable already.
type_ptr nullable_of(const type_ptr& t);

// Whether a value of this type can come from a record at all (not AggregateFunction, Interval, Nothing, unknown).
bool insertable(const type& t);

} // namespace chute
