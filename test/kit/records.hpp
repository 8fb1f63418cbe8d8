// Records made from a seed: the same shape, seed and number give the same bytes on every machine.
#pragma once

#include "test/kit/common.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace chute::kit {

enum class shape : std::uint8_t {
  orders, // 11 fields: id UInt64, ordered_at DateTime64(3), customer UInt32, status LowCardinality(String),
          // product String, note Nullable(String), quantity UInt32, price Float64, country FixedString(2),
          // tags Array(String), attributes Map(String, String)
  small,  // 2 fields: id UInt64, text String
};
shape parse_shape(const std::string& name);

struct record_options {
  shape form = shape::orders;
  std::uint64_t seed = 1;
  std::size_t size = 250;         // bytes a record aims at; the filling text is stretched to reach it
  std::uint64_t broken_every = 0; // each n-th record cannot become a row; 0: none
};

// The header that a broken record carries: it tells the oracle what was meant, so that a mistake of the oracle's own
// parser shows as a contradiction.
inline constexpr std::string_view broken_header = "kit-broken";

struct made_record {
  std::string value;
  bool tombstone = false;       // null value; `value` is empty then
  const char* broken = nullptr; // how it is broken, nullptr: it is sound
  std::uint64_t customer = 0;   // what a key is made of
};

class record_maker {
public:
  explicit record_maker(record_options options) : options_(options) {}
  // Makes record number `i` into `out`, reusing its memory.
  void make(std::uint64_t i, made_record& out);

private:
  void orders(std::uint64_t i, dice& d, made_record& out);
  void small(std::uint64_t i, dice& d, made_record& out);
  void spoil(std::uint64_t i, made_record& out);
  record_options options_;
};

// How many ways to break a record of this shape there are.
std::size_t ways_to_break(shape s);

} // namespace chute::kit
