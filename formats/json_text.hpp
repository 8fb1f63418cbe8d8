// The walk over the tokens of one JSON text. Every token is checked when it is passed, used or not, so a record that
// ends without a fault is JSON to its last byte (RFC 8259), in UTF-8 and without lone surrogates.
#pragma once

#include "formats/json_index.hpp"
#include "formats/values.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace chute::json {

struct node; // how a column is written: json_node.hpp

// Why a record cannot become a row.
enum class fault : std::uint8_t {
  none = 0,
  // of the whole value
  tombstone,
  too_big,
  no_event,
  no_column,
  empty,
  not_object,
  // not JSON
  invalid_utf8,
  control_character,
  truncated,
  unexpected, // another token than the grammar allows here
  bad_number,
  bad_literal,
  bad_escape,
  lone_surrogate,
  trailing,
  too_deep,
  // JSON, but not for this column
  duplicate_field,
  no_object_on_path,
  not_sent, // Debezium's placeholder
  wrong_type,
  null_element,
  tuple_size,
  tuple_key_twice,
  nested_sizes,
  dimension,
  path_twice,
  long_paths,
  no_variant,
  not_at_path,
  path_digits,
  huge_number,
  dynamic_too_deep,
  // values.hpp's
  malformed,
  out_of_range,
  lossy,
  too_long,
  unknown_name,
  no_such_time,
};

constexpr int depth_max = 1'000; // levels of arrays and objects in one value; ClickHouse's own parser stops at 1,024
// A long key above many short ones: each path is as long, and there are as many as there is room for. The server makes
// each of them as well.
constexpr std::uint64_t path_bytes_max = std::uint64_t{256} << 20;

// The state of the walk. Trivially copied to come back to a place.
struct place {
  const std::uint32_t* at = nullptr; // the next token
  const char* backslash = nullptr;   // the first one at or behind the last string passed, or the end of all texts
};

struct context {
  const char* base = nullptr;
  place now;
  const char* end = nullptr; // of all texts in memory, for the search for backslashes
  std::uint64_t fields_ignored = 0;
  // Of the first fault: the innermost type that refused, the token that was there, the name of an inner field.
  const node* refused_by = nullptr;
  const char* refused_at = nullptr;
  std::string name;                 // scratch for keys with escapes
  std::string unquoted;             // scratch for strings with escapes
  std::string path;                 // scratch: where in an object for a JSON column
  std::vector<std::uint64_t> paths; // scratch: hashes of the paths seen there
  std::uint64_t path_bytes = 0;     // of all paths of the record's JSON columns

  const char* here() const { return base + *now.at; }
};

constexpr bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Note where and by whom a value was refused. The innermost one is the one to tell.
inline fault refuse(context& c, const char* at, fault f, const node* by = nullptr) {
  if (!c.refused_at) {
    c.refused_at = at;
    c.refused_by = by;
  }
  return f;
}

inline fault to_fault(value_error e) {
  static_assert(static_cast<int>(fault::no_such_time) - static_cast<int>(fault::malformed) ==
                static_cast<int>(value_error::no_such_time) - static_cast<int>(value_error::malformed));
  return e == value_error::none ? fault::none
                                : static_cast<fault>(static_cast<int>(e) - static_cast<int>(value_error::malformed) +
                                                     static_cast<int>(fault::malformed));
}

// -- strings --------------------------------------------------------------------------------------------------------

// What stands between the quotes, escapes and all.
struct string_token {
  const char *begin, *end;
  bool escaped; // holds a backslash
};

// The token is a string. Between it and the next token stands nothing but white space, so its closing quote is found
// from behind, without a look at its content.
inline string_token take_string(context& c) {
  const char* const begin = c.here() + 1;
  ++c.now.at;
  const char* end = c.here() - 1;
  while (*end != '"') --end;
  if (c.now.backslash >= end) return {begin, end, false};
  if (c.now.backslash < begin) {
    const void* next = std::memchr(begin, '\\', static_cast<std::size_t>(c.end - begin));
    c.now.backslash = next ? static_cast<const char*>(next) : c.end;
  }
  return {begin, end, c.now.backslash < end};
}

// Writes what a string with escapes means; never longer than the string. `out` may be null: only checks.
// Returns the number of bytes.
fault unescape(context& c, const string_token& s, char* out, std::size_t& size);

// What the string means, in place or in `scratch`.
inline fault take_text(context& c, std::string& scratch, std::string_view& out) {
  const auto s = take_string(c);
  out = {s.begin, static_cast<std::size_t>(s.end - s.begin)};
  if (!s.escaped) [[likely]]
    return fault::none;
  scratch.resize(out.size());
  std::size_t size = 0;
  const fault f = unescape(c, s, scratch.data(), size);
  out = {scratch.data(), size};
  return f;
}

// -- other tokens ---------------------------------------------------------------------------------------------------

inline bool at_string(const context& c) { return *c.here() == '"'; }

// The text of a number or literal token, and on to the next.
inline std::string_view take_scalar(context& c) {
  const char* const begin = c.here();
  ++c.now.at;
  const char* end = c.here();
  while (end > begin && is_space(end[-1])) --end;
  return {begin, static_cast<std::size_t>(end - begin)};
}

inline bool starts_number(char c) { return c == '-' || (c >= '0' && c <= '9'); }

// JSON's grammar of numbers: no leading zeros or plus, digits on both sides of a point. `integral`: digits alone.
bool is_number(std::string_view token, bool& integral);

// A number token, checked.
inline fault take_number(context& c, std::string_view& token, bool& integral) {
  const char* const at = c.here();
  token = take_scalar(c);
  return is_number(token, integral) ? fault::none : refuse(c, at, fault::bad_number);
}

// One of the words true, false and null, checked.
inline fault take_literal(context& c, std::string_view word) {
  const char* const at = c.here();
  return take_scalar(c) == word ? fault::none : refuse(c, at, fault::bad_literal);
}

// The token is `symbol`, and on to the next.
inline fault take_symbol(context& c, char symbol) {
  if (*c.here() != symbol) return refuse(c, c.here(), fault::unexpected);
  ++c.now.at;
  return fault::none;
}

// Passes a value of any kind and checks it. `end`: behind its last character.
fault skip_value(context& c, const char*& end);
inline fault skip_value(context& c) {
  const char* end;
  return skip_value(c, end);
}

// Calls each() at every element; each() passes it.
template <class F> fault for_each_element(context& c, F&& each) {
  ++c.now.at; // [
  if (*c.here() == ']') {
    ++c.now.at;
    return fault::none;
  }
  for (;;) {
    if (const fault f = each(); f != fault::none) [[unlikely]]
      return f;
    const char symbol = *c.here();
    if (symbol == ',') ++c.now.at;
    else if (symbol == ']') {
      ++c.now.at;
      return fault::none;
    } else return refuse(c, c.here(), fault::unexpected);
  }
}

// Calls each(key) at every value of an object; each() passes it. The key is only valid until then.
template <class F> fault for_each_field(context& c, F&& each) {
  ++c.now.at; // {
  if (*c.here() == '}') {
    ++c.now.at;
    return fault::none;
  }
  for (;;) {
    if (!at_string(c)) return refuse(c, c.here(), fault::unexpected);
    std::string_view key;
    if (const fault f = take_text(c, c.name, key); f != fault::none) return f;
    if (const fault f = take_symbol(c, ':'); f != fault::none) return f;
    if (const fault f = each(key); f != fault::none) return f;
    const char symbol = *c.here();
    if (symbol == ',') ++c.now.at;
    else if (symbol == '}') {
      ++c.now.at;
      return fault::none;
    } else return refuse(c, c.here(), fault::unexpected);
  }
}

} // namespace chute::json
