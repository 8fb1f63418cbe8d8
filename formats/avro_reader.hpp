// Avro's binary encoding → datums.
#pragma once

#include "formats/avro_schema.hpp"
#include "formats/datum.hpp"

#include <cstdint>
#include <limits>
#include <string_view>

namespace chute::avro {

inline constexpr const char* no_symbol = "holds an enum's symbol that there is not";
inline constexpr const char* no_branch = "holds a union's branch that there is not";

// The bytes of one record.
class binary_cursor {
public:
  explicit binary_cursor(std::string_view bytes) : at_(bytes.data()), end_(at_ + bytes.size()) {}

  bool done() const { return at_ == end_; }
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  const char* fault() const { return fault_; } // a half sentence about the value, or null

  bool take_long(std::int64_t& v) {
    // Most numbers are a few bytes, and not the last ones.
    constexpr int few = 8;
    if (end_ - at_ < few) [[unlikely]]
      return take_long_with_care(v);
    std::uint64_t raw = 0;
    for (int i = 0; i < few; ++i) {
      const auto b = static_cast<unsigned char>(at_[i]);
      raw |= std::uint64_t{b & 0x7fu} << (7 * i);
      if (b & 0x80) continue;
      at_ += i + 1;
      v = static_cast<std::int64_t>(raw >> 1 ^ (0 - (raw & 1)));
      return true;
    }
    return take_long_with_care(v);
  }
  bool take_int(std::int64_t& v) {
    if (!take_long(v)) return false;
    if (v < std::numeric_limits<std::int32_t>::min() || v > std::numeric_limits<std::int32_t>::max())
      return refuse("holds an int of more than 32 bits");
    return true;
  }
  bool take(std::size_t n, std::string_view& out) {
    if (left() < n) return refuse("ends too early");
    out = {at_, n};
    at_ += n;
    return true;
  }
  bool take_bytes(std::string_view& out) {
    std::int64_t n = 0;
    if (!take_long(n)) return false;
    if (n < 0) return refuse("holds a negative length");
    return take(static_cast<std::size_t>(n), out);
  }
  // An index into `count` branches or symbols; `what` if there is no such one.
  bool take_index(std::size_t count, const char* what, std::size_t& out) {
    std::int64_t i = 0;
    if (!take_long(i)) return false;
    if (i < 0 || static_cast<std::size_t>(i) >= count) return refuse(what);
    out = static_cast<std::size_t>(i);
    return true;
  }
  // Arrays and maps: blocks of values, each with its count, or with minus its count and its size in bytes.
  template <class F> bool take_blocks(F&& each) {
    for (;;) {
      std::int64_t n = 0, size = 0;
      if (!take_long(n)) return false;
      if (n == 0) return true;
      if (n < 0) {
        if (n == std::numeric_limits<std::int64_t>::min() || !take_long(size))
          return refuse("holds a block of no size");
        n = -n;
      }
      for (; n > 0; --n)
        if (!each()) return false;
    }
  }
  // Passes a value that nobody wants.
  bool skip(const type& t);

protected:
  bool refuse(const char* why) {
    if (!fault_) fault_ = why;
    return false;
  }

private:
  bool take_long_with_care(std::int64_t& v);

  const char *at_, *end_;
  std::size_t skips_left_ = 65'536 + static_cast<std::size_t>(end_ - at_) * 64; // values may take no bytes at all
  const char* fault_ = nullptr;
};

// Reads values of one record. Texts point into it.
class binary_reader : public binary_cursor {
public:
  binary_reader(std::string_view bytes, datum_arena& arena)
      : binary_cursor(bytes), datums_max_(arena.size() + 65'536 + bytes.size() * 64), arena_(arena) {}

  // Null after a fault.
  datum* read(const type& t);

private:
  datum* read_list(const type& t);
  datum* read_map(const type& t);
  datum* read_number(const type& t);
  datum* read_decimal(const type& t, std::string_view bytes);
  datum* read_text(const type& t);
  datum* read_fixed(const type& t);
  datum* read_branch(const type& t);
  datum* refuse_value(const char* why) { return refuse(why), nullptr; }

  std::size_t datums_max_; // a few bytes can claim any number of values that take none
  datum_arena& arena_;
};

// A field's default, as it stands in a schema. Null: it does not fit its type.
datum* read_default(const type& t, std::string_view json, datum_arena& arena);

} // namespace chute::avro
