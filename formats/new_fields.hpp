// Fields that have no column yet: what their values are like, over all records of a batch, and which type holds them.
#pragma once

#include "formats/datum.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chute {

// A column that records want, and the table does not have.
struct new_field {
  std::string name, type;
};

// What values of a field were like.
struct value_shape {
  enum kind : std::uint32_t {
    null = 1,
    boolean = 2,
    integer = 4, // within Int64
    huge = 8,    // a whole number beyond
    real = 16,
    decimal = 32,
    text = 64, // bytes and members of enums too
    uuid = 128,
    date = 256,
    timestamp = 512,
    object = 1'024,
    list = 2'048,
    natural = 4'096, // 64 bits without a sign, by the schema
  };
  std::uint32_t kinds = 0;
  std::uint8_t scale = 0; // the largest, of decimals or timestamps
  std::unique_ptr<value_shape> element;

  value_shape& of_elements();
  void add(const datum& d);
  void add(const value_shape& other);
};

// The type of a column that takes all of these values, and null: Nullable where the type allows it. Nothing: they do
// not tell yet (nulls and empty lists alone). `json`: the server has the type JSON; else objects go into String.
std::optional<std::string> type_of(const value_shape& s, bool json);

// Whether a column may be made for a field of this name: none that begins with '_' (those are chute's) or has a dot
// (Nested), is empty or longer than 128 bytes, or holds control characters.
bool names_new_column(std::string_view name);

// Why a record with such a field is a dead letter, where the topology wants that.
inline std::string without_column(std::string_view name) {
  return "field '" + std::string(name.substr(0, 128)) + "' has no column (on_new_field: dead_letter)";
}

// The fields without a column that some records had.
class new_field_notes {
public:
  value_shape& of(std::string_view name) { return shapes_[std::string(name)]; }
  void clear() { shapes_.clear(); }
  bool empty() const { return shapes_.empty(); }
  void add(const new_field_notes& other);
  // Those whose type can be told; forgets all.
  std::vector<new_field> take(bool json);

private:
  std::map<std::string, value_shape> shapes_;
};

} // namespace chute
