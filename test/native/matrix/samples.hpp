// What every type is tried with, and what must be found afterwards: stated here, not taken from what was seen.
#pragma once

#include "matrix/value.hpp"

#include <string>
#include <utility>
#include <vector>

namespace chute::test {

inline const std::vector<std::string> formats = {"json", "connect_json", "avro", "protobuf", "csv", "tsv", "raw"};
// Values that ClickHouse reads itself, in each of the formats that passthrough takes.
inline const std::vector<std::string> passed_formats = {"JSONEachRow", "JSONCompactEachRow", "CSV", "TabSeparated",
                                                        "TSKV"};
// Formats of keys: "key:" and one of `formats`, of which the same is expected.
inline const std::vector<std::string> key_formats = {"key:json", "key:connect_json", "key:avro", "key:protobuf",
                                                     "key:raw"};
inline bool is_key_format(const std::string& format) { return format.starts_with("key:"); }
inline std::string base_format(const std::string& format) { return is_key_format(format) ? format.substr(4) : format; }

// The aspects that every type must have; types may have more.
//  min max zero: the smallest and the largest value (or the emptiest and a full one), and the integer 0 or what is
//  nearest
//  null, missing: a null; no such field
//  empty: a text of no bytes
//  below, above: just out of range on either side (or what is nearest)
//  text, kind: of a wrong type: the text "x"; a list of one number
//  boolean: true
inline const std::vector<std::string> aspects = {"min",   "max",   "zero", "null", "missing", "empty",
                                                 "below", "above", "text", "kind", "boolean"};

// An outcome is the text that the engine shows, or one of:
//  "!range", "!form", "!kind", "!digits", "!long", "!member", "!clock", "!count", "!huge", "!twice", "!none": a bad
//    record, for the reason in reasons
//  "!json": a bad record because the value (or the text of a field) is not JSON
//  "!start": the format does not go together with the column; the pipeline does not start
//  "!refused": only with passthrough: ClickHouse refuses the insert
struct reason {
  std::string name, words, shown, means; // of the error; in the tables; there, what it stands for
};
inline const std::vector<reason> reasons = {
    {"!range", "is out of range", "range", "out of range"},
    {"!form", "is not such a value", "text", "not a text of the type"},
    {"!kind", "the type does not take", "kind", "a kind of value that the type does not take"},
    {"!digits", "has more digits than the type keeps", "digits", "more digits than the type keeps"},
    {"!long", "is longer than the type", "long", "longer than the type"},
    {"!member", "is not a member of the enum", "member", "not a member of the enum"},
    {"!clock", "is a local time that does not exist", "clock", "a time that the zone's clocks skip"},
    {"!count", "has another number of elements than the t", "count", "another number of elements"},
    {"!huge", "holds a number that the JSON type does not take", "huge", "a number that JSON columns do not take"},
    {"!none", "that none of the Variant's types takes", "none", "nothing that the Variant holds"},
    {"!blank", "is empty", "blank", "no JSON at all"},
    {"!json", "is not JSON", "JSON", "not JSON"},
    {"!start", "", "start", "the pipeline does not start"},
    {"!refused", "", "refused", "refused by ClickHouse, with passthrough"},
};

struct sample {
  std::string aspect;
  value given;
  std::string expected;
  // Formats (separated by blanks) and what is expected in them instead; the last one that names a format counts.
  std::vector<std::pair<std::string, std::string>> instead;

  sample(std::string a, value v, std::string e) : aspect(std::move(a)), given(std::move(v)), expected(std::move(e)) {}
  sample&& in(std::string names, std::string other) && {
    instead.emplace_back(std::move(names), std::move(other));
    return std::move(*this);
  }
  const std::string& outcome(const std::string& format) const;
};

struct matrix_type {
  std::string type;
  std::vector<sample> samples;
  std::string read = "@"; // the expression that is read back
  bool documented = true; // has lines of its own in docs/formats.md

  // Of one value; else made of others.
  bool is_plain() const { return samples[0].outcome("raw") != "!start"; }
};

// Types of one plain value.
std::vector<matrix_type> plain_types();
// The same inside Nullable, LowCardinality, both, SimpleAggregateFunction, Array, Map, Tuple and Array(Nullable).
std::vector<matrix_type> wrapped_types(const matrix_type& plain);
// Types made of others, and those that hold values of several types.
std::vector<matrix_type> composite_types();

} // namespace chute::test
