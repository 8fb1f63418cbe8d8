// Values as they are put into columns.
#pragma once

#include "core/block.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chute::test {

// Appends one value to a column.
using cell = std::function<void(column&)>;

// The bytes of a value of fixed width.
inline cell raw(std::string value) {
  return [value](column& c) {
    c.data.append(value.data(), value.size());
    ++c.rows;
  };
}

template <class T> cell num(T v) { return raw(std::string(reinterpret_cast<const char*>(&v), sizeof v)); }

// 128 or 256 bits from their limbs, lowest first.
template <class... T> cell wide(T... limbs) {
  const std::uint64_t all[] = {static_cast<std::uint64_t>(limbs)...};
  return raw(std::string(reinterpret_cast<const char*>(all), sizeof all));
}

inline cell text(std::string value) {
  return [value](column& c) {
    append_varint(c.data, value.size());
    c.data.append(value.data(), value.size());
    ++c.rows;
  };
}

// Null of a Nullable, a Variant or a Dynamic; what has no value of any other column.
inline cell none() { return append_default; }

// A value where null could be.
inline cell some(cell value) {
  return [value](column& c) {
    value(c.children[0]);
    mark_not_null(c);
    ++c.rows;
  };
}

inline cell array(std::vector<cell> values) {
  return [values](column& c) {
    for (const auto& v : values) v(c.children[0]);
    c.data.push(static_cast<std::uint64_t>(c.children[0].rows));
    ++c.rows;
  };
}

inline cell tuple(std::vector<cell> values) {
  return [values](column& c) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i](c.children[i]);
    ++c.rows;
  };
}

inline cell map(std::vector<std::pair<cell, cell>> pairs) {
  std::vector<cell> tuples;
  for (const auto& [k, v] : pairs) tuples.push_back(tuple({k, v}));
  return array(std::move(tuples));
}

// One alternative of a Variant or a Dynamic, by the name of its type.
inline cell one_of(std::string type, cell value) {
  return [type, value](column& c) {
    for (std::size_t i = 0; i < c.children.size(); ++i) {
      if (c.children[i].type->text != type) continue;
      value(c.children[i]);
      c.data.push(static_cast<unsigned char>(i));
      ++c.rows;
      return;
    }
    throw std::logic_error("no alternative " + type);
  };
}

} // namespace chute::test
