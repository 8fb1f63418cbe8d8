#include "formats/new_fields.hpp"

#include <algorithm>

namespace chute {
namespace {

using kind = value_shape::kind;

constexpr std::size_t name_bytes_max = 128;

std::uint32_t kind_of(const datum& d) {
  switch (d.kind) {
  case datum_kind::boolean: return kind::boolean;
  case datum_kind::integer: return kind::integer;
  case datum_kind::natural: return kind::natural;
  case datum_kind::float32:
  case datum_kind::float64: return kind::real;
  case datum_kind::decimal: return kind::decimal;
  case datum_kind::uuid: return kind::uuid;
  case datum_kind::date: return kind::date;
  case datum_kind::timestamp:
  case datum_kind::local_timestamp: return kind::timestamp;
  case datum_kind::map:
  case datum_kind::record: return kind::object;
  case datum_kind::list: return kind::list;
  case datum_kind::null:
  case datum_kind::absent: return kind::null;
  default: return kind::text; // texts, bytes, members of enums, times, intervals
  }
}

bool within(std::uint32_t kinds, std::uint32_t some) { return (kinds & ~some) == 0; }

} // namespace

value_shape& value_shape::of_elements() {
  if (!element) element = std::make_unique<value_shape>();
  return *element;
}

void value_shape::add(const datum& d) {
  kinds |= kind_of(d);
  constexpr std::uint8_t finest = 9;
  if (d.kind == datum_kind::decimal) scale = std::max(scale, d.scale);
  if (kind_of(d) == kind::timestamp) scale = std::max(scale, d.has_number ? finest : d.scale);
  if (d.kind != datum_kind::list) return;
  for (const datum* c = d.first; c; c = c->next) of_elements().add(*c);
}

void value_shape::add(const value_shape& other) {
  kinds |= other.kinds;
  scale = std::max(scale, other.scale);
  if (other.element) of_elements().add(*other.element);
}

namespace {

// At least 19 digits before the point, as many as Int64 has.
std::string decimal_of(unsigned scale) {
  constexpr unsigned digits = 38, digits_max = 76, whole = 19;
  return "Decimal(" + std::to_string(scale > digits - whole ? digits_max : digits) + ", " + std::to_string(scale) + ")";
}

} // namespace

std::optional<std::string> type_of(const value_shape& s, bool json) {
  const auto kinds = s.kinds & ~std::uint32_t{kind::null};
  const auto nullable = [](const std::string& type) { return "Nullable(" + type + ")"; };
  if (kinds == 0) return {};
  if (kinds == kind::boolean) return nullable("Bool");
  if (kinds == kind::integer) return nullable("Int64");
  if (kinds == kind::natural) return nullable("UInt64");
  if (within(kinds, kind::integer | kind::natural | kind::huge)) return nullable("Int256");
  if (within(kinds, kind::integer | kind::real)) return nullable("Float64");
  if (within(kinds, kind::integer | kind::decimal)) return nullable(decimal_of(s.scale));
  if (kinds == kind::uuid) return nullable("UUID");
  if (kinds == kind::date) return nullable("Date32");
  if (kinds == kind::timestamp)
    return nullable("DateTime64(" + std::to_string(std::clamp<int>(s.scale, 3, 9)) + ", 'UTC')");
  if (kinds == kind::object && json) return "JSON";
  if (kinds == kind::list) {
    const auto element = s.element ? type_of(*s.element, json) : std::nullopt;
    if (!element) return {};
    return "Array(" + *element + ")";
  }
  return nullable("String"); // which takes any value, as its text
}

bool names_new_column(std::string_view name) {
  return !name.empty() && name.size() <= name_bytes_max && name.front() != '_' && name.find('.') == name.npos &&
         std::none_of(name.begin(), name.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

void new_field_notes::add(const new_field_notes& other) {
  for (const auto& [name, shape] : other.shapes_) shapes_[name].add(shape);
}

std::vector<new_field> new_field_notes::take(bool json) {
  std::vector<new_field> out;
  for (const auto& [name, shape] : shapes_)
    if (auto type = type_of(shape, json)) out.push_back({name, std::move(*type)});
  shapes_.clear();
  return out;
}

} // namespace chute
