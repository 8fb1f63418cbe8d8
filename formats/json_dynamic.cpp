// Values without a declared type: JSON and Dynamic columns.
#include "formats/json_node.hpp"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace chute::json {

// -- JSON -----------------------------------------------------------------------------------------------------------
//
// The object travels as its text, and the server parses it. A text that it refuses would take the whole insert with
// it, so what it refuses (seen with ClickHouse 26.7: integers beyond 64 bits, numbers beyond Float64, a path twice,
// values that a typed path cannot take, deep nesting) is refused here, for one record.

namespace {

fault walk_root(context& c, node* typed, int depth);
fault walk_value(context& c, int depth);

// The value at c.path, where the column has a type for that path.
fault try_typed(context& c, node& n, std::size_t i, int depth) {
  if (*c.here() == 'n') return take_literal(c, "null");
  const place begin = c.now;
  if (const fault f = pass_numbers(c, depth, nullptr); f != fault::none) return f;
  c.now = begin;
  node& type = n.children[i];
  column& scratch = n.scratch[i];
  const fault f = type.append(type, c, scratch);
  rewind(scratch, 0);
  return f;
}

fault walk_object(context& c, node* typed, int depth) {
  const std::size_t prefix = c.path.size();
  const fault f = for_each_field(c, [&](std::string_view key) {
    const char* const at = c.here();
    c.path.resize(prefix);
    if (prefix) c.path += '.';
    c.path += key;
    c.path_bytes += c.path.size();
    if (c.path_bytes > path_bytes_max) return refuse(c, at, fault::long_paths);
    c.paths.push_back(XXH3_64bits(c.path.data(), c.path.size()));
    if (typed)
      if (const auto known = typed->by_name.find(c.path); known != typed->by_name.end())
        return try_typed(c, *typed, known->second, depth);
    if (*at == '{') return depth == depth_max ? refuse(c, at, fault::too_deep) : walk_object(c, typed, depth + 1);
    return walk_value(c, depth);
  });
  c.path.resize(prefix);
  return f;
}

// An object with paths of its own.
fault walk_root(context& c, node* typed, int depth) {
  const char* const at = c.here();
  const std::size_t from = c.paths.size();
  std::string outer;
  outer.swap(c.path);
  const fault f = walk_object(c, typed, depth);
  c.path.swap(outer);
  if (f != fault::none) {
    c.paths.resize(from);
    return f;
  }
  const auto begin = c.paths.begin() + static_cast<std::ptrdiff_t>(from);
  std::sort(begin, c.paths.end());
  const bool twice = std::adjacent_find(begin, c.paths.end()) != c.paths.end();
  c.paths.resize(from);
  return twice ? refuse(c, at, fault::path_twice) : fault::none;
}

fault walk_value(context& c, int depth) {
  const char first = *c.here();
  if (first == '{') return depth == depth_max ? refuse(c, c.here(), fault::too_deep) : walk_root(c, nullptr, depth + 1);
  if (first == '[') {
    if (depth == depth_max) return refuse(c, c.here(), fault::too_deep);
    return for_each_element(c, [&] { return walk_value(c, depth + 1); });
  }
  if (!starts_number(first)) return skip_value(c);
  std::string_view token;
  bool integral;
  return take_json_number(c, token, integral);
}

} // namespace

fault take_json_number(context& c, std::string_view& token, bool& integral) {
  const char* const at = c.here();
  if (const fault f = take_number(c, token, integral); f != fault::none) return f;
  bool fits;
  if (integral) {
    std::int64_t narrow;
    std::uint64_t wide;
    fits = parse_int(token, narrow) == value_error::none || parse_int(token, wide) == value_error::none;
  } else {
    double v;
    fits = parse_float64(token, v) == value_error::none;
  }
  return fits ? fault::none : refuse(c, at, fault::huge_number);
}

fault take_json_object(context& c, node* typed, std::string_view& text) {
  const char* const begin = c.here(); // perhaps within a typed path of another object: its paths stay as they are
  if (const fault f = walk_root(c, typed, 1); f != fault::none) return f;
  const char* const end = c.base + c.now.at[-1] + 1; // its closing brace
  text = {begin, static_cast<std::size_t>(end - begin)};
  return fault::none;
}

fault append_json(node& n, context& c, column& to) {
  if (*c.here() != '{') return refuse_other(n, c);
  std::string_view text;
  const fault f = take_json_object(c, n.by_name.empty() ? nullptr : &n, text);
  if (f == fault::none) append_text_value(text, to);
  return f;
}

// -- Dynamic --------------------------------------------------------------------------------------------------------

namespace {

constexpr auto number_of(dynamic_alternative a) { return static_cast<std::size_t>(a); }

// The alternative that keeps an integer.
bool integer_alternative(std::string_view token, dynamic_alternative& out) {
  std::int64_t narrow;
  std::uint64_t wide;
  wide_int widest;
  if (parse_int(token, narrow) == value_error::none) out = dynamic_alternative::int64;
  else if (parse_int(token, wide) == value_error::none) out = dynamic_alternative::uint64;
  else if (parse_wide_int(token, 256, true, widest) == value_error::none) out = dynamic_alternative::int256;
  else return false;
  return true;
}

// What the elements of an array have in common.
struct elements {
  bool null = false, boolean = false, negative = false, int64 = false, uint64 = false, beyond_double = false,
       fraction = false, text = false, object = false, other = false;
};

void note_integer(std::string_view token, elements& e) {
  dynamic_alternative a;
  if (!integer_alternative(token, a) || a == dynamic_alternative::int256) {
    e.other = true;
    return;
  }
  (a == dynamic_alternative::int64 ? e.int64 : e.uint64) = true;
  std::int64_t v = 0;
  if (a != dynamic_alternative::int64 || parse_int(token, v) != value_error::none) e.beyond_double = true;
  if (v < 0) e.negative = true;
  constexpr std::int64_t exact = std::int64_t{1} << 53;
  if (v > exact || v < -exact) e.beyond_double = true;
}

fault note_element(context& c, elements& e) {
  const char first = *c.here();
  if (starts_number(first)) {
    std::string_view token;
    bool integral;
    if (const fault f = take_number(c, token, integral); f != fault::none) return f;
    if (integral) note_integer(token, e);
    else e.fraction = true;
    return fault::none;
  }
  switch (first) {
  case 'n': e.null = true; break;
  case 't':
  case 'f': e.boolean = true; break;
  case '"': e.text = true; break;
  case '{': e.object = true; break;
  default: e.other = true; break;
  }
  return skip_value(c);
}

// The alternative in which every element keeps its value.
dynamic_alternative array_alternative(const elements& e) {
  using enum dynamic_alternative;
  const bool integers = e.int64 || e.uint64;
  const int kinds = e.boolean + (integers || e.fraction) + e.text + e.object;
  if (e.other || kinds > 1 || (e.object && e.null)) return array_dynamic;
  if (e.object) return array_json;
  if (e.boolean) return e.null ? array_nullable_boolean : array_boolean;
  if (e.fraction) return integers && e.beyond_double ? array_dynamic : e.null ? array_nullable_float64 : array_float64;
  if (e.uint64) return e.negative ? array_dynamic : e.null ? array_nullable_uint64 : array_uint64;
  if (e.int64) return e.null ? array_nullable_int64 : array_int64;
  return e.null ? array_nullable_string : array_string; // also of an array that is empty
}

fault append_dynamic_array(node& n, context& c, column& to) {
  const char* const at = c.here();
  if (number_of(dynamic_alternative::array_dynamic) >= to.children.size())
    return refuse(c, at, fault::dynamic_too_deep, &n);
  column& array = to.children[number_of(dynamic_alternative::array_dynamic)];
  column& values = array.children[0];
  if (const fault f = for_each_element(c, [&] { return append_dynamic(n, c, values); }); f != fault::none) return f;
  array.data.push(static_cast<std::uint64_t>(values.rows));
  ++array.rows;
  return fault::none;
}

fault choose(context& c, dynamic_alternative& out) {
  const char* const at = c.here();
  const place begin = c.now;
  const char first = *at;
  fault f = fault::none;
  if (first == '[') {
    elements e;
    f = for_each_element(c, [&] { return note_element(c, e); });
    out = array_alternative(e);
  } else if (starts_number(first)) {
    std::string_view token;
    bool integral;
    f = take_number(c, token, integral);
    out = dynamic_alternative::float64;
    if (f == fault::none && integral && !integer_alternative(token, out)) f = refuse(c, at, fault::out_of_range);
  } else if (first == 't' || first == 'f') out = dynamic_alternative::boolean;
  else if (first == '{') out = dynamic_alternative::json;
  else if (first == '"') out = dynamic_alternative::string;
  else f = skip_value(c); // finds out why it is not JSON
  c.now = begin;
  return f;
}

} // namespace

fault append_dynamic(node& n, context& c, column& to) {
  if (*c.here() == 'n') {
    if (const fault f = take_literal(c, "null"); f != fault::none) return f;
    append_default(to);
    return fault::none;
  }
  auto which = dynamic_alternative::string;
  if (const fault f = choose(c, which); f != fault::none) return f;
  const std::size_t i = number_of(which);
  node& value = n.children[i];
  const fault f = which == dynamic_alternative::array_dynamic ? append_dynamic_array(n, c, to)
                                                              : value.append(value, c, to.children[i]);
  if (f != fault::none) return f;
  to.data.push(static_cast<std::uint8_t>(i));
  ++to.rows;
  return fault::none;
}

} // namespace chute::json
