// Types made of others: arrays, tuples, maps, Nullable, Nested, Variant.
#include "formats/json_node.hpp"

#include <algorithm>

namespace chute::json {

fault append_elements(node& n, context& c, column& to) {
  if (*c.here() != '[') return refuse_other(n, c);
  node& element = n.children[0];
  column& values = to.children[0];
  const char* const at = c.here();
  const std::size_t before = values.rows;
  const fault f = for_each_element(c, [&] { return element.append(element, c, values); });
  if (f != fault::none) return f;
  if (n.dimension && values.rows - before != n.dimension) return refuse(c, at, fault::dimension, &n);
  return fault::none;
}

fault append_array(node& n, context& c, column& to) {
  if (const fault f = append_elements(n, c, to); f != fault::none) return f;
  to.data.push(static_cast<std::uint64_t>(to.children[0].rows));
  ++to.rows;
  return fault::none;
}

fault append_nullable(node& n, context& c, column& to) {
  if (*c.here() == 'n') {
    if (const fault f = take_literal(c, "null"); f != fault::none) return f;
    append_default(to);
    return fault::none;
  }
  node& value = n.children[0];
  if (const fault f = value.append(value, c, to.children[0]); f != fault::none) return f;
  mark_not_null(to);
  ++to.rows;
  return fault::none;
}

// -- tuples ---------------------------------------------------------------------------------------------------------

namespace {

fault tuple_from_array(node& n, context& c, column& to) {
  const char* const at = c.here();
  std::size_t i = 0;
  const fault f = for_each_element(c, [&] {
    if (i == n.children.size()) return refuse(c, at, fault::tuple_size, &n);
    node& element = n.children[i];
    return element.append(element, c, to.children[i++]);
  });
  if (f != fault::none) return f;
  return i == n.children.size() ? fault::none : refuse(c, at, fault::tuple_size, &n);
}

// A field of an object that a tuple's element takes; null is the same as missing unless the element can be null.
fault append_field(node& n, context& c, column& to) {
  const bool null = *c.here() == 'n';
  if (!null || n.append == append_nullable || to.form == layout::variant) return n.append(n, c, to);
  if (const fault f = take_literal(c, "null"); f != fault::none) return f;
  append_default(to);
  return fault::none;
}

// The element that a key means; `unknown` if none.
constexpr std::size_t unknown = ~std::size_t{0};
std::size_t element_of(const node& n, std::string_view key, std::size_t guess) {
  if (guess < n.children.size() && n.type->names[guess] == key) return guess;
  const auto at = n.by_name.find(key);
  return at == n.by_name.end() ? unknown : at->second;
}

fault tuple_from_object(node& n, context& c, column& to) {
  const std::size_t row = to.rows;
  const char* const at = c.here();
  std::size_t guess = 0;
  const fault f = for_each_field(c, [&](std::string_view key) {
    const std::size_t i = element_of(n, key, guess);
    if (i == unknown) {
      ++c.fields_ignored;
      return skip_value(c);
    }
    guess = i + 1;
    if (to.children[i].rows > row) return refuse(c, at, fault::tuple_key_twice, &n);
    return append_field(n.children[i], c, to.children[i]);
  });
  if (f != fault::none) return f;
  const auto filled = [row](const column& element) { return element.rows > row; };
  if (n.at_path && std::none_of(to.children.begin(), to.children.end(), filled))
    return refuse(c, at, fault::not_at_path, &n);
  for (auto& element : to.children)
    if (!filled(element)) append_default(element);
  return fault::none;
}

} // namespace

fault append_tuple(node& n, context& c, column& to) {
  const char first = *c.here();
  if (first != '[' && (first != '{' || n.by_name.empty())) return refuse_other(n, c);
  const fault f = first == '[' ? tuple_from_array(n, c, to) : tuple_from_object(n, c, to);
  if (f == fault::none) ++to.rows;
  return f;
}

// -- Nested ---------------------------------------------------------------------------------------------------------

namespace {

// {"a": [1, 2], "b": ["x", "y"]}: arrays of one length; a missing one is filled up with defaults.
fault nested_from_object(node& n, context& c, column& to) {
  node& tuple = n.children[0];
  column& rows = to.children[0];
  const std::size_t before = rows.rows;
  const char* const at = c.here();
  std::vector<bool> seen(tuple.children.size());
  std::size_t guess = 0, after = unknown;
  const fault f = for_each_field(c, [&](std::string_view key) {
    const std::size_t i = element_of(tuple, key, guess);
    if (i == unknown) {
      ++c.fields_ignored;
      return skip_value(c);
    }
    guess = i + 1;
    if (seen[i]) return refuse(c, at, fault::tuple_key_twice, &n);
    if (*c.here() == 'n') return take_literal(c, "null");
    seen[i] = true;
    if (*c.here() != '[') return refuse_other(n, c);
    node& element = tuple.children[i];
    column& values = rows.children[i];
    const fault g = for_each_element(c, [&] { return element.append(element, c, values); });
    if (g != fault::none) return g;
    if (after != unknown && after != values.rows) return refuse(c, at, fault::nested_sizes, &n);
    after = values.rows;
    return fault::none;
  });
  if (f != fault::none) return f;
  if (after == unknown) after = before;
  for (std::size_t i = 0; i < seen.size(); ++i)
    while (rows.children[i].rows < after) append_default(rows.children[i]);
  rows.rows = after;
  return fault::none;
}

} // namespace

fault append_nested(node& n, context& c, column& to) {
  if (*c.here() != '{') return append_array(n, c, to);
  if (n.at_path) return refuse(c, c.here(), fault::not_at_path, &n);
  if (const fault f = nested_from_object(n, c, to); f != fault::none) return f;
  to.data.push(static_cast<std::uint64_t>(to.children[0].rows));
  ++to.rows;
  return fault::none;
}

// -- Map ------------------------------------------------------------------------------------------------------------

namespace {

// The key's own token is a string: it goes straight into the column.
fault map_of_strings(node& n, context& c, column& keys, column& values) {
  node& value = n.children[1];
  ++c.now.at; // {
  if (*c.here() == '}') {
    ++c.now.at;
    return fault::none;
  }
  for (;;) {
    if (!at_string(c)) return refuse(c, c.here(), fault::unexpected);
    if (const fault f = append_string(n.children[0], c, keys); f != fault::none) return f;
    if (const fault f = take_symbol(c, ':'); f != fault::none) return f;
    if (const fault f = value.append(value, c, values); f != fault::none) return f;
    const char symbol = *c.here();
    if (symbol != ',' && symbol != '}') return refuse(c, c.here(), fault::unexpected);
    ++c.now.at;
    if (symbol == '}') return fault::none;
  }
}

} // namespace

fault append_map(node& n, context& c, column& to) {
  if (*c.here() != '{') return refuse_other(n, c);
  column& pairs = to.children[0];
  node &key = n.children[0], &value = n.children[1];
  fault f;
  if (key.append == append_string) f = map_of_strings(n, c, pairs.children[0], pairs.children[1]);
  else
    f = for_each_field(c, [&](std::string_view text) {
      if (const auto e = key.append_text(key, text, pairs.children[0]); e != value_error::none)
        return refuse(c, c.here(), to_fault(e), &key);
      return value.append(value, c, pairs.children[1]);
    });
  if (f != fault::none) return f;
  pairs.rows = pairs.children[0].rows;
  to.data.push(static_cast<std::uint64_t>(pairs.rows));
  ++to.rows;
  return fault::none;
}

// -- Variant --------------------------------------------------------------------------------------------------------

namespace {

node::json_kind kind_of(const context& c) {
  const char first = *c.here();
  switch (first) {
  case '"': return node::text;
  case '{': return node::object;
  case '[': return node::array;
  case 't':
  case 'f': return node::boolean;
  default: break;
  }
  const char* p = c.here() + (first == '-');
  while (*p >= '0' && *p <= '9') ++p;
  return *p == '.' || *p == 'e' || *p == 'E' ? node::number : node::integer;
}

// Sizes of a column's buffers, to take back an alternative that did not fit.
void save(const column& c, std::vector<std::size_t>& out) {
  out.push_back(c.rows);
  out.push_back(c.data.size());
  for (const auto& child : c.children) save(child, out);
}

const std::size_t* restore(column& c, const std::size_t* from) {
  c.rows = *from++;
  c.data.truncate(*from++);
  for (auto& child : c.children) from = restore(child, from);
  return from;
}

// At a typed path of a JSON column it is the server that tries the alternatives.
fault check_alternatives(node& n, context& c, column& to) {
  const place begin = c.now;
  const std::uint64_t ignored = c.fields_ignored;
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < n.children.size(); ++i) {
    sizes.clear();
    save(to.children[i], sizes);
    const fault f = n.children[i].append(n.children[i], c, to.children[i]);
    restore(to.children[i], sizes.data());
    if (taken_otherwise(c, f)) return f;
    c.now = begin;
    c.fields_ignored = ignored;
    c.refused_at = nullptr;
  }
  return fault::none;
}

} // namespace

fault append_variant(node& n, context& c, column& to) {
  const char* const at = c.here();
  if (*at == 'n') {
    if (const fault f = take_literal(c, "null"); f != fault::none) return f;
    append_default(to);
    return fault::none;
  }
  if (n.at_path)
    if (const fault f = check_alternatives(n, c, to); f != fault::none) return f;
  const place begin = c.now;
  const std::uint64_t ignored = c.fields_ignored;
  std::vector<std::size_t> sizes;
  for (const std::size_t i : n.order[kind_of(c)]) {
    column& values = to.children[i];
    sizes.clear();
    save(values, sizes);
    node& alternative = n.children[i];
    if (alternative.append(alternative, c, values) == fault::none) {
      to.data.push(static_cast<std::uint8_t>(i));
      ++to.rows;
      return fault::none;
    }
    restore(values, sizes.data());
    c.now = begin;
    c.fields_ignored = ignored;
    c.refused_at = nullptr;
  }
  if (const fault f = skip_value(c); f != fault::none) return f;
  return refuse(c, at, fault::no_variant, &n);
}

// -- taking back ----------------------------------------------------------------------------------------------------

namespace {

// Bytes of a text column up to `rows`, counted on from the last mark.
std::size_t text_size(const column& c, std::size_t rows) {
  const auto* p = reinterpret_cast<const unsigned char*>(c.data.data()) + c.mark_data;
  for (std::size_t i = c.mark_rows; i < rows; ++i) {
    std::uint64_t size = 0;
    int shift = 0;
    do {
      size |= std::uint64_t{*p & 0x7fu} << shift;
      shift += 7;
    } while (*p++ & 0x80);
    p += size;
  }
  return static_cast<std::size_t>(p - reinterpret_cast<const unsigned char*>(c.data.data()));
}

} // namespace

void rewind(column& c, std::size_t rows) {
  switch (c.form) {
  case layout::fixed: c.data.truncate(rows * c.width); break;
  case layout::text: c.data.truncate(text_size(c, rows)); break;
  case layout::array: {
    std::uint64_t elements = 0;
    if (rows) std::memcpy(&elements, c.data.data() + (rows - 1) * sizeof elements, sizeof elements);
    c.data.truncate(rows * sizeof elements);
    rewind(c.children[0], elements);
    break;
  }
  case layout::tuple:
    for (auto& child : c.children) rewind(child, rows);
    break;
  case layout::nullable:
    if (c.data.size() > rows) c.data.truncate(rows);
    rewind(c.children[0], rows);
    break;
  case layout::variant: {
    std::vector<std::size_t> left;
    for (const auto& child : c.children) left.push_back(child.mark_rows);
    for (std::size_t i = c.mark_rows; i < rows; ++i)
      if (const auto which = static_cast<unsigned char>(c.data.data()[i]); which < left.size()) ++left[which];
    for (std::size_t i = 0; i < left.size(); ++i) rewind(c.children[i], left[i]);
    c.data.truncate(rows);
    break;
  }
  }
  c.rows = rows;
}

} // namespace chute::json
