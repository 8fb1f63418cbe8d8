#include "formats/json_node.hpp"

#include <algorithm>
#include <array>

namespace chute::json {
namespace {

// Where an alternative of a Variant stands in the order of trial; the lower, the earlier, and 0: never.
using ranks = std::array<int, node::kinds>; // text, integer, number, boolean, object, array

bool is_integer(type_kind k) { return k >= type_kind::int8 && k <= type_kind::uint256; }
bool is_unsigned(type_kind k) { return k >= type_kind::uint8 && k <= type_kind::uint256; }

// A string is first tried as what has a form of its own, then as text, then as a number; a number as the narrowest
// type that keeps it. Whatever nothing else takes goes into a String as its JSON text.
ranks ranks_of(const type& t) {
  const int width = static_cast<int>(t.width);
  if (is_integer(t.kind)) return {60 + width, 1 + 2 * width + is_unsigned(t.kind), 80 + width, 0, 0, 0};
  switch (t.kind) {
  case type_kind::enum8:
  case type_kind::enum16: return {1, 120, 0, 0, 0, 0};
  case type_kind::uuid: return {2, 0, 0, 0, 0, 0};
  case type_kind::ipv4: return {3, 0, 0, 0, 0, 0};
  case type_kind::ipv6: return {4, 0, 0, 0, 0, 0};
  case type_kind::date: return {5, 121, 0, 0, 0, 0};
  case type_kind::date32: return {6, 122, 0, 0, 0, 0};
  case type_kind::datetime: return {7, 123, 0, 0, 0, 0};
  case type_kind::datetime64: return {8, 124, 0, 0, 0, 0};
  case type_kind::time: return {9, 125, 0, 0, 0, 0};
  case type_kind::time64: return {10, 126, 0, 0, 0, 0};
  case type_kind::string: return {50, 200, 200, 200, 200, 200};
  case type_kind::fixed_string: return {51, 0, 0, 0, 0, 0};
  case type_kind::decimal: return {100 + width, 70 + width / 8, 1 + width, 0, 0, 0};
  case type_kind::float64: return {140, 110, 50, 0, 0, 0};
  case type_kind::float32: return {141, 111, 51, 0, 0, 0};
  case type_kind::bfloat16: return {142, 112, 52, 0, 0, 0};
  case type_kind::boolean: return {0, 119, 0, 1, 0, 0};
  case type_kind::map: return {0, 0, 0, 0, 1, 0};
  case type_kind::tuple: return {0, 0, 0, 0, t.names.empty() ? 0 : 2, 2};
  case type_kind::nested: return {0, 0, 0, 0, 4, 1};
  case type_kind::json: return {0, 0, 0, 0, 3, 0};
  case type_kind::dynamic: return {199, 199, 199, 199, 199, 199};
  default: return {0, 0, 0, 0, 0, 1}; // arrays, geometry
  }
}

void make_order(node& n) {
  std::array<std::vector<std::pair<int, std::size_t>>, node::kinds> ranked;
  for (std::size_t i = 0; i < n.children.size(); ++i) {
    const auto r = ranks_of(*n.children[i].type);
    for (std::size_t k = 0; k < node::kinds; ++k)
      if (r[k]) ranked[k].emplace_back(r[k], i);
  }
  for (std::size_t k = 0; k < node::kinds; ++k) {
    std::sort(ranked[k].begin(), ranked[k].end());
    for (const auto& [rank, i] : ranked[k]) n.order[k].push_back(i);
  }
}

error refuse_type(const type& t, const std::string& why) {
  return error{"json", "a value of type " + t.text + " cannot come from JSON: " + why,
               "leave the column out, or give it another type"};
}

// Adds the nodes of types.
result<void> add_children(node& n, const std::vector<type_ptr>& types, const std::string& timezone) {
  // In a Dynamic there are no types of which the server could take a value for another one.
  const bool at_path = n.type->kind == type_kind::json || (n.at_path && n.type->kind != type_kind::dynamic);
  for (const auto& t : types) {
    auto child = make_node(t, timezone, at_path);
    if (!child) return child.failure();
    n.children.push_back(std::move(*child));
  }
  return {};
}

result<void> find_zone(node& n, const std::string& timezone) {
  auto z = zone::find(n.type->timezone.empty() ? timezone : n.type->timezone);
  if (!z) return z.failure();
  n.in = *z;
  return {};
}

// In the order of dynamic_alternative; the last is written by append_dynamic itself.
const std::vector<type_ptr>& dynamic_types() {
  static const auto types = [] {
    std::vector<type_ptr> out;
    for (const char* text :
         {"Bool", "Int64", "UInt64", "Int256", "Float64", "String", "JSON", "Array(Bool)", "Array(Int64)",
          "Array(UInt64)", "Array(Float64)", "Array(String)", "Array(Nullable(Bool))", "Array(Nullable(Int64))",
          "Array(Nullable(UInt64))", "Array(Nullable(Float64))", "Array(Nullable(String))", "Array(JSON)"})
      out.push_back(*parse_type(text));
    return out;
  }();
  return types;
}

void name_children(node& n, const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size(); ++i) n.by_name.emplace(names[i], i);
}

result<void> make_json(node& n, const std::string& timezone) {
  n.append = append_json;
  if (auto r = add_children(n, n.type->args, timezone); !r) return r;
  name_children(n, n.type->names);
  for (const auto& t : n.type->args) n.scratch.push_back(make_column(storage_type(t)));
  return {};
}

result<void> make_map(node& n, const std::string& timezone) {
  n.append = append_map;
  if (auto r = add_children(n, n.type->args, timezone); !r) return r;
  if (!n.children[0].append_text) return refuse_type(*n.type, "its keys are no scalars");
  return {};
}

// Nested(a A, b B): an array of tuples.
result<void> make_nested(node& n, const std::string& timezone) {
  n.append = append_nested;
  auto tuple = std::make_shared<type>(*n.type);
  tuple->kind = type_kind::tuple;
  tuple->text = "Tuple" + tuple->text.substr(tuple->text.find('('));
  return add_children(n, {tuple}, timezone);
}

result<void> make_array(node& n, const std::string& timezone) {
  n.append = append_array;
  return add_children(n, n.type->args, timezone);
}

result<void> make_composite(node& n, const std::string& timezone) {
  switch (n.type->kind) {
  case type_kind::array: return make_array(n, timezone);
  case type_kind::qbit: n.dimension = n.type->precision; return make_array(n, timezone);
  case type_kind::nested: return make_nested(n, timezone);
  case type_kind::map: return make_map(n, timezone);
  case type_kind::json: return make_json(n, timezone);
  case type_kind::tuple:
    n.append = append_tuple;
    name_children(n, n.type->names);
    return add_children(n, n.type->args, timezone);
  case type_kind::nullable: n.append = append_nullable; return add_children(n, n.type->args, timezone);
  case type_kind::variant: {
    n.append = append_variant;
    auto r = add_children(n, n.type->args, timezone);
    make_order(n);
    return r;
  }
  case type_kind::dynamic: n.append = append_dynamic; return add_children(n, dynamic_types(), timezone);
  default: return refuse_type(*n.type, "it is not a type of values");
  }
}

} // namespace

type_ptr plain_type(type_ptr t) {
  while (t->kind == type_kind::low_cardinality || t->kind == type_kind::simple_aggregate_function) t = t->args[0];
  switch (t->kind) {
  case type_kind::point:
  case type_kind::ring:
  case type_kind::line_string:
  case type_kind::multi_line_string:
  case type_kind::polygon:
  case type_kind::multi_polygon:
  case type_kind::geometry: return storage_type(t);
  default: return t;
  }
}

result<node> make_node(const type_ptr& t, const std::string& timezone, bool at_path) {
  node n;
  n.type = plain_type(t);
  n.at_path = at_path;
  n.width = n.type->width;
  n.precision = n.type->precision;
  n.scale = n.type->scale;
  const auto kind = n.type->kind;
  if (!insertable(*n.type)) return refuse_type(*t, "only ClickHouse itself makes such values");
  if (make_scalar(n)) {
    if (kind == type_kind::datetime || kind == type_kind::datetime64)
      if (auto r = find_zone(n, timezone); !r) return r.failure();
    if (kind == type_kind::enum8 || kind == type_kind::enum16) n.names = std::make_shared<enum_index>(n.type);
    if (at_path) make_scalar_at_path(n);
    return n;
  }
  if (auto r = make_composite(n, timezone); !r) return r.failure();
  return n;
}

} // namespace chute::json
