// Which key of a record goes into which column. Keys mostly come in the order of the record before, so each key
// remembers the one that followed it, and is compared before it is looked up.
#pragma once

#include "formats/json_text.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace chute::json {

class field_table;

constexpr std::uint32_t no_target = ~std::uint32_t{0};

struct field {
  std::string key; // with room for reads of 8 bytes past its end; key_size counts
  std::uint32_t key_size = 0;
  bool plain = false;                 // no character that JSON escapes: the bytes of the text can be compared
  bool whole = false;                 // the key is a whole path that has dots
  std::vector<std::uint32_t> targets; // columns that take the value
  std::uint32_t only = no_target;     // the one that does, and nothing takes something within it
  std::unique_ptr<field_table> inner; // columns that take something within the value
  field* next = nullptr;              // what came next the last time
  std::uint64_t seen = 0;             // the object that last had this key

  std::string_view name() const { return {key.data(), key_size}; }
  void add_target(std::uint32_t target) {
    targets.push_back(target);
    only = targets.size() == 1 && !inner ? target : no_target;
  }
};

class field_table {
public:
  static constexpr std::size_t segments_max = 64; // of a path
  static constexpr std::size_t ignored_max = 256; // keys without a column that are remembered

  field_table() = default;
  field_table(const field_table&) = delete;

  // A column that takes the value at a path: as one key, or through nested objects.
  void add(std::string_view path, std::uint32_t target);
  // Passes the key at the cursor, and the colon behind it. `guess` is the field before it (null at first).
  fault take(context& c, field* before, field*& out);
  // Columns at or below this object.
  void collect(std::vector<std::uint32_t>& out) const;
  const std::vector<std::unique_ptr<field>>& fields() const { return fields_; }

private:
  field& get(std::string_view key);
  field* look_up(std::string_view key);
  static bool matches(const context& c, const field& f);

  std::vector<std::unique_ptr<field>> fields_;
  std::unordered_map<std::string_view, field*> by_key_;
  field* first_ = nullptr; // the key that came first the last time
  std::size_t ignored_ = 0;
  field unknown_; // stands for keys that are not remembered
};

// The key at the cursor is this field's, its closing quote included.
inline bool field_table::matches(const context& c, const field& f) {
  const char* a = c.here() + 1;
  const char* b = f.key.data();
  std::size_t n = f.key_size;
  if (!f.plain || a[n] != '"') return false;
  std::uint64_t x, y;
  for (; n >= 8; n -= 8, a += 8, b += 8) {
    std::memcpy(&x, a, 8);
    std::memcpy(&y, b, 8);
    if (x != y) return false;
  }
  std::memcpy(&x, a, 8);
  std::memcpy(&y, b, 8);
  return ((x ^ y) & ((std::uint64_t{1} << (n * 8)) - 1)) == 0; // little endian, as all of Native
}

inline fault field_table::take(context& c, field* before, field*& out) {
  if (!at_string(c)) [[unlikely]]
    return refuse(c, c.here(), fault::unexpected);
  field* guess = before ? before->next : first_;
  if (guess && matches(c, *guess)) [[likely]] {
    out = guess;
    ++c.now.at;
    return take_symbol(c, ':');
  }
  // One field left out is no new order.
  if (guess && guess->next && matches(c, *guess->next)) {
    out = guess->next;
    ++c.now.at;
    return take_symbol(c, ':');
  }
  std::string_view key;
  if (const fault f = take_text(c, c.name, key); f != fault::none) return f;
  out = look_up(key);
  if (out != &unknown_ && before != &unknown_) (before ? before->next : first_) = out;
  return take_symbol(c, ':');
}

} // namespace chute::json
