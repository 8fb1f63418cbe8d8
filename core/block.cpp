#include "core/block.hpp"

#include <algorithm>
#include <array>

namespace chute {
namespace {

column make(const type_ptr& t, int dynamic_levels);

// In the order of dynamic_alternative.
const std::vector<type_ptr>& dynamic_types() {
  static const auto types = [] {
    std::vector<type_ptr> out;
    for (const char* text : {"Bool", "Int64", "UInt64", "Int256", "Float64", "String", "JSON", "Array(Bool)",
                             "Array(Int64)", "Array(UInt64)", "Array(Float64)", "Array(String)",
                             "Array(Nullable(Bool))", "Array(Nullable(Int64))", "Array(Nullable(UInt64))",
                             "Array(Nullable(Float64))", "Array(Nullable(String))", "Array(JSON)", "Array(Dynamic)"})
      out.push_back(*parse_type(text));
    return out;
  }();
  return types;
}

void make_dynamic(column& c, int levels) {
  c.form = layout::variant;
  for (const auto& t : dynamic_types())
    if (levels > 1 || t->text != "Array(Dynamic)") c.children.push_back(make(t, levels - 1));
}

column make(const type_ptr& t, int dynamic_levels) {
  column c;
  c.type = t;
  const auto s = storage_type(t);
  c.width = s->width;
  // An alternative of a Variant keeps its own arguments, and what they say of dictionaries.
  const auto& args = s->kind == t->kind ? t->args : s->args;
  if (s->kind == type_kind::array) c.length = s->precision;
  const auto children = [&](layout form) {
    c.form = form;
    for (const auto& a : args) c.children.push_back(make(a, dynamic_levels));
  };
  switch (s->kind) {
  case type_kind::string:
  case type_kind::json:
  case type_kind::unknown:
  case type_kind::aggregate_function: c.form = layout::text; break;
  case type_kind::array: children(layout::array); break;
  case type_kind::tuple: children(layout::tuple); break;
  case type_kind::nullable: children(layout::nullable); break;
  case type_kind::variant: children(layout::variant); break;
  case type_kind::dynamic: make_dynamic(c, dynamic_levels); break;
  case type_kind::map: {
    auto pair = std::make_shared<type>();
    pair->kind = type_kind::tuple;
    pair->text = "Tuple(" + args[0]->text + ", " + args[1]->text + ")";
    pair->args = args;
    c.form = layout::array;
    c.children.push_back(make(pair, dynamic_levels));
    break;
  }
  default: c.form = layout::fixed; break;
  }
  return c;
}

// The bytes of a type's default where they are not all 0.
void fixed_default(const column& c, char* at) {
  std::memset(at, 0, c.width);
  if (c.type->kind == type_kind::date32) {
    constexpr std::int32_t first_day = -25567; // 1900-01-01
    std::memcpy(at, &first_day, sizeof first_day);
  } else if (c.type->kind == type_kind::enum8 || c.type->kind == type_kind::enum16) {
    const auto& values = c.type->enum_values;
    const auto least = std::min_element(values.begin(), values.end(),
                                        [](const auto& a, const auto& b) { return a.second < b.second; });
    if (least != values.end()) std::memcpy(at, &least->second, c.width);
  }
}

} // namespace

void column::mark() {
  mark_rows = rows;
  mark_data = data.size();
  for (auto& c : children) c.mark();
}

void column::rollback() {
  rows = mark_rows;
  data.truncate(mark_data);
  for (auto& c : children) c.rollback();
}

std::size_t column::byte_size() const {
  auto n = data.size();
  for (const auto& c : children) n += c.byte_size();
  return n;
}

std::size_t column::memory_size() const {
  auto n = data.capacity() + children.capacity() * sizeof(column);
  for (const auto& c : children) n += c.memory_size();
  return n;
}

column make_column(const type_ptr& t) { return make(t, dynamic_depth); }

void mark_null(column& c) {
  // The first null: until now there was no null map.
  if (c.data.size() < c.rows) std::memset(c.data.extend(c.rows - c.data.size()), 0, c.rows);
  c.data.push(char{1});
}

void append_default(column& c) {
  switch (c.form) {
  case layout::fixed: fixed_default(c, c.data.extend(c.width)); break;
  case layout::text:
    if (c.type->kind == type_kind::json) c.data.append("\2{}", 3);
    else c.data.push(char{0});
    break;
  case layout::array:
    for (std::uint32_t i = 0; i < c.length; ++i) append_default(c.children[0]);
    c.data.push(static_cast<std::uint64_t>(c.children[0].rows));
    break;
  case layout::tuple:
    for (auto& f : c.children) append_default(f);
    break;
  case layout::nullable:
    mark_null(c);
    append_default(c.children[0]);
    break;
  case layout::variant: c.data.push(static_cast<unsigned char>(255)); break;
  }
  ++c.rows;
}

namespace {

void append_null_map(column& to, const column& from) {
  const bool lazy = to.data.size() < to.rows; // no null so far, and no map
  if (lazy && from.data.empty()) return;
  if (lazy) std::memset(to.data.extend(to.rows - to.data.size()), 0, to.rows);
  if (from.data.empty()) std::memset(to.data.extend(from.rows), 0, from.rows);
  else to.data.append(from.data.data(), from.data.size());
}

void append_offsets(column& to, const column& from) {
  const std::uint64_t base = to.children[0].rows;
  char* at = to.data.extend(from.rows * sizeof(std::uint64_t));
  for (std::size_t i = 0; i < from.rows; ++i) {
    std::uint64_t v;
    std::memcpy(&v, from.data.data() + i * sizeof v, sizeof v);
    v += base;
    std::memcpy(at + i * sizeof v, &v, sizeof v);
  }
}

} // namespace

void append_rows(column& to, const column& from) {
  if (from.rows == 0) return;
  if (to.form == layout::nullable) append_null_map(to, from);
  else if (to.form == layout::array) append_offsets(to, from);
  else to.data.append(from.data.data(), from.data.size());
  for (std::size_t i = 0; i < to.children.size(); ++i) append_rows(to.children[i], from.children[i]);
  to.rows += from.rows;
}

std::size_t block::byte_size() const {
  std::size_t n = 0;
  for (const auto& c : columns) n += c.byte_size();
  return n;
}

std::size_t block::memory_size() const {
  auto n = columns.capacity() * sizeof(column) + names.capacity() * sizeof(std::string);
  for (const auto& c : columns) n += c.memory_size();
  return n;
}

} // namespace chute
