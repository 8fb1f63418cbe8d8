// Avro's binary encoding → datums.
#pragma once

#include "formats/avro_schema.hpp"
#include "formats/datum.hpp"

#include <cstdint>
#include <functional>
#include <string_view>

namespace chute::avro {

// Reads values of one record. Texts point into it.
class binary_reader {
public:
  binary_reader(std::string_view bytes, datum_arena& arena)
      : at_(bytes.data()), end_(at_ + bytes.size()), skips_left_(65'536 + bytes.size() * 64),
        datums_max_(arena.size() + skips_left_), arena_(arena) {}

  // Null after a fault.
  datum* read(const type& t);
  bool skip(const type& t);
  bool done() const { return at_ == end_; }
  const char* fault() const { return fault_; } // a half sentence about the value, or null

private:
  template <class F> bool read_blocks(F&& each);
  bool take_long(std::int64_t& v);
  bool take_int(std::int64_t& v);
  bool take_bytes(std::string_view& out);
  bool take(std::size_t n, std::string_view& out);
  datum* read_list(const type& t);
  datum* read_map(const type& t);
  datum* read_number(const type& t);
  datum* read_decimal(const type& t, std::string_view bytes);
  datum* read_text(const type& t);
  datum* read_fixed(const type& t);
  datum* read_branch(const type& t);
  datum* refuse(const char* why) {
    if (!fault_) fault_ = why;
    return nullptr;
  }
  bool cut() { return refuse("ends too early"), false; }

  const char *at_, *end_;
  std::size_t skips_left_, datums_max_; // a few bytes can claim any number of values that take none
  datum_arena& arena_;
  const char* fault_ = nullptr;
};

// A field's default, as it stands in a schema. Null: it does not fit its type.
datum* read_default(const type& t, std::string_view json, datum_arena& arena);

} // namespace chute::avro
