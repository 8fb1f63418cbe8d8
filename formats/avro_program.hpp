// The short way from Avro's binary encoding into a column: what a field's schema and its column's type ask for is
// decided once a schema, and then done value by value without a tree of values in between. It knows the pairs that
// tables are made of; for all others, and for every value that it does not take, there is the way through datums, which
// also knows the reason.
#pragma once

#include "core/block.hpp"
#include "formats/avro_reader.hpp"
#include "formats/values.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace chute::avro {

class field_program {
public:
  // Nothing: this pair goes through datums. `column`: the type as the table has it; `wrapped`: the column is Nullable
  // of it on its way (core/block.hpp).
  static std::optional<field_program> make(const type& schema, const chute::type_ptr& column, bool wrapped);

  // Appends one value. False: not taken; the column may hold half a value, and the cursor stands anywhere.
  bool run(binary_cursor& from, column& out) const { return run(root_, from, out); }

private:
  enum class op : std::uint8_t {
    integer,  // int, long → Int8 … Int64, UInt8 … UInt64
    float32,  // float → Float32
    float64,  // double → Float64
    boolean,  // boolean → Bool
    text,     // string, bytes → String
    fixed,    // string, bytes → FixedString
    symbol,   // enum → Enum, by a table
    name,     // enum → String, by a table
    date,     // date → Date, Date32
    moment,   // timestamp → DateTime64 of the same or a finer scale
    second,   // timestamp of whole seconds' ticks → DateTime
    nullable, // ["null", T] or [T, "null"] → Nullable
    wrapped,  // T → Nullable
    array,    // array → Array
    map,      // map → Map with String keys
  };
  struct node {
    op what = op::integer;
    std::uint8_t null_branch = 0;  // nullable
    std::uint8_t scale = 0;        // moment
    std::uint32_t width = 0;       // integer, date, fixed, symbol
    bool is_int = false;           // integer: 32 bits in Avro
    std::int64_t min = 0, max = 0; // integer, date
    std::int64_t factor = 1;       // moment: times; second: divided by
    std::vector<std::string> symbols;
    std::vector<std::int16_t> numbers; // symbol: of the column's enum
    std::vector<node> inner;           // of nullable, wrapped, array, map: 1
  };

  static bool make_node(node& n, const type& schema, const chute::type& column);
  static bool make_integer(node& n, const type& schema, const chute::type& column);
  static bool make_moment(node& n, const type& schema, const chute::type& column);
  static bool make_symbol(node& n, const type& schema, const chute::type& column);
  static bool make_nullable(node& n, const type& schema, const chute::type& column);

  static bool run(const node& n, binary_cursor& from, column& out);
  static bool run_number(const node& n, binary_cursor& from, column& out);
  static bool run_real(const node& n, binary_cursor& from, column& out);
  static bool run_text(const node& n, binary_cursor& from, column& out);
  static bool run_nullable(const node& n, binary_cursor& from, column& out);
  static bool run_container(const node& n, binary_cursor& from, column& out);

  node root_;
};

} // namespace chute::avro
