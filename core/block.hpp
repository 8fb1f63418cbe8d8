// Blocks of typed columns. A column's buffers are kept in the layout of ClickHouse's Native format, so that sending
// a batch is a walk over the buffers of its chunks and not a second conversion.
// Source of the layout: ClickHouse's documentation of the Native format and bytes written by the engine itself.
#pragma once

#include "core/types.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace chute {

// A growing byte buffer that does not zero what it is about to overwrite.
class bytes {
public:
  const char* data() const { return data_.get(); }
  char* data() { return data_.get(); }
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  // Room for n more bytes at the end, uninitialised; the caller fills all of it.
  char* extend(std::size_t n) {
    if (size_ + n > capacity_) grow(size_ + n);
    char* at = data_.get() + size_;
    size_ += n;
    return at;
  }
  void append(const void* from, std::size_t n) {
    if (n) std::memcpy(extend(n), from, n);
  }
  template <class T> void push(T v) { std::memcpy(extend(sizeof(T)), &v, sizeof(T)); }
  void truncate(std::size_t n) { size_ = n; } // n <= size()
  void reserve(std::size_t n) {               // exactly that: what is known needs no doubling
    if (n > capacity_) move_to(n);
  }
  void clear() { size_ = 0; }

private:
  void grow(std::size_t at_least) {
    std::size_t n = capacity_ ? capacity_ * 2 : 256;
    while (n < at_least) n *= 2;
    move_to(n);
  }
  void move_to(std::size_t n) {
    std::unique_ptr<char[]> next(new char[n]);
    if (size_) std::memcpy(next.get(), data_.get(), size_);
    data_ = std::move(next);
    capacity_ = n;
  }
  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0, capacity_ = 0;
};

// Unsigned LEB128, as ClickHouse writes lengths. At most 10 bytes.
inline void append_varint(bytes& out, std::uint64_t v) {
  char buf[10];
  int n = 0;
  while (v >= 0x80) {
    buf[n++] = static_cast<char>(v | 0x80);
    v >>= 7;
  }
  buf[n++] = static_cast<char>(v);
  out.append(buf, static_cast<std::size_t>(n));
}

// How the values of a type are laid out.
enum class layout : std::uint8_t {
  fixed,    // data: width bytes a row, little endian (UUID as two UInt64, high half first; IPv6 as 16 bytes in network
            // order; FixedString and BFloat16 as they are)
  text,     // data: varint length + bytes a row (String; JSON as its text, which the server parses)
  array,    // data: UInt64 a row, the running count of elements *in this column* (rebased when chunks are joined);
            // children[0]: the elements. Map: children[0] is a tuple (key, value)
  tuple,    // data: nothing; children, one a field
  nullable, // data: one byte a row, 1 = null, or no byte at all while no row is null (a writer that always pushes one
            // is fine too); children[0]: the values, a default in the null rows
  variant,  // data: one byte a row, the number of the alternative (255 = null); children: the values of each, in the
            // order of the type's args, which is Native's; for Dynamic in the order of dynamic_alternative
};

// What a value of a Dynamic column can be on its way: as many types as JSON has shapes, so that a value keeps its own.
// Only alternatives that a batch uses are named to the server. Arrays of one scalar type have that type, with Nullable
// where an element is null; arrays of objects are Array(JSON); all others are Array(Dynamic).
enum class dynamic_alternative : std::uint8_t {
  boolean,
  int64,
  uint64, // integers above Int64
  int256, // integers beyond UInt64 and Int64
  float64,
  string,
  json, // objects
  array_boolean,
  array_int64,
  array_uint64,
  array_float64,
  array_string,
  array_nullable_boolean,
  array_nullable_int64,
  array_nullable_uint64,
  array_nullable_float64,
  array_nullable_string,
  array_json,
  array_dynamic, // the innermost level has none: see dynamic_depth
};
// Levels of Dynamic in Dynamic: a Dynamic column holds Array(Dynamic), whose elements hold Array(Dynamic) … so often.
constexpr int dynamic_depth = 4;

struct column {
  layout form = layout::fixed;
  type_ptr type;            // what the buffers mean: a storage type, or an alternative of a Variant under its own name
  std::uint32_t width = 0;  // fixed
  std::uint32_t length = 0; // array, from QBit: the number of elements that every row must have; 0: any
  std::size_t rows = 0;
  bytes data;
  std::vector<column> children;

  // State at the begin of the current row: a record that turns out bad halfway is taken back with rollback().
  std::size_t mark_rows = 0, mark_data = 0;
  void mark();                     // recursively
  void rollback();                 // recursively, to the last mark
  std::size_t byte_size() const;   // of the content, recursively
  std::size_t memory_size() const; // held, used or not, recursively
};

// A column of storage type `t`, empty.
column make_column(const type_ptr& t);
// Appends one default value, the type's own as ClickHouse has it: 0, "", [], {}, null for Nullable, Variant and
// Dynamic, 1900-01-01 for Date32, the smallest value of an Enum.
void append_default(column& c);
// Appends all rows of `from`, a column of the same type.
void append_rows(column& to, const column& from);
// nullable: appends to the null map only, when a value (or, for append_null, the default that stands in for it) goes to
// children[0] and `rows` is not counted yet.
inline void mark_not_null(column& c) {
  if (!c.data.empty()) c.data.push(char{0});
}
void mark_null(column& c);

struct block {
  std::vector<std::string> names; // as in the table
  std::vector<column> columns;    // one a name
  std::size_t rows = 0;
  std::size_t byte_size() const;
  std::size_t memory_size() const;
};

} // namespace chute
