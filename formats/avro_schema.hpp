// Avro schemas (the Avro 1.12 specification): parsing, names and references, fingerprints.
//
// Debian's Avro library, the C one, knows neither logical types nor aliases nor defaults, so it cannot tell what a
// value means; schemas are read here.
#pragma once

#include "core/error.hpp"
#include "formats/schema_cache.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chute::avro {

enum class kind : std::uint8_t {
  null,
  boolean,
  int32,
  int64,
  float32,
  float64,
  bytes,
  string,
  record,
  enumeration,
  array,
  map,
  unite, // a union
  fixed,
};

enum class logical : std::uint8_t { none, decimal, uuid, date, time, timestamp, local_timestamp, duration };

struct type;
using type_ptr = std::shared_ptr<const type>;

struct field {
  std::string name;
  std::vector<std::string> aliases;
  type_ptr type;
  std::string default_json; // empty: none
};

struct type {
  kind what = kind::null;
  logical as = logical::none;       // none too where the annotation does not fit, as the specification has it
  std::uint8_t scale = 0;           // decimal, and digits of a second's fraction
  std::uint32_t size = 0;           // fixed
  int height = 1;                   // levels of types in it
  std::string name;                 // full name of a record, enum or fixed
  std::vector<std::string> aliases; // other full names of it
  std::vector<std::string> symbols;
  std::vector<field> fields;
  std::vector<type_ptr> parts; // array and map: 1; union: its branches
};

// A cause is a half sentence about the schema. Recursive schemas are refused: no column has a type of any depth.
result<type_ptr> parse_schema(const schema_text& s);
result<type_ptr> parse_schema(std::string_view json);

// CRC-64-AVRO of the schema's Parsing Canonical Form: what the single-object encoding names a schema by.
result<std::uint64_t> schema_fingerprint(std::string_view json);
// The canonical form itself.
result<std::string> canonical_form(std::string_view json);

} // namespace chute::avro
