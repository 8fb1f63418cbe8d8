// How JSON values become values of a column: a tree of nodes, one a type, made once a column. No virtual calls: a node
// holds the function that writes it.
#pragma once

#include "core/block.hpp"
#include "core/error.hpp"
#include "formats/json_text.hpp"
#include "formats/values_time.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace chute::json {

// Takes the value at the cursor and appends it: on success one row, and the cursor stands behind the value. After a
// fault the column may hold half a value; rewind() takes it back.
using append_function = fault (*)(node&, context&, column&);
// Appends what the text of a string (or of an object's key) means. After a fault nothing was appended.
using text_function = value_error (*)(node&, std::string_view, column&);

struct node {
  append_function append = nullptr;
  text_function append_text = nullptr; // scalars only
  type_ptr type;                       // as the table has it, for messages
  std::vector<node> children;          // as the column's
  // Parameters, ready for use:
  std::uint32_t width = 0, precision = 0, scale = 0;
  std::size_t dimension = 0; // of a QBit: its number of elements; else 0
  std::shared_ptr<const zone> in;
  std::size_t zone_hint = 0;
  std::shared_ptr<const enum_index> names;
  // Of tuples and JSON: the children (tuple) or typed paths (json) by name.
  std::unordered_map<std::string_view, std::size_t> by_name; // the names are the type's
  std::vector<column> scratch;                               // json: where typed paths are tried
  // Of Variant: the alternatives to try, in order, by the kind of the JSON value.
  enum json_kind : std::uint8_t { text, integer, number, boolean, object, array, kinds };
  std::vector<std::size_t> order[kinds];
  // Of a typed path of a JSON column, or within one:
  bool at_path = false;
  append_function append_plain = nullptr; // a scalar's, as of a column
};

// The node of a column's type; the column is made of its storage_type(). An error names what JSON cannot fill.
// `timezone`: of types that name none. `at_path`: it takes what the server takes at a typed path of a JSON column.
result<node> make_node(const type_ptr& t, const std::string& timezone, bool at_path = false);
// The type without LowCardinality and SimpleAggregateFunction around it.
type_ptr plain_type(type_ptr t);
// Fills in a scalar's functions. False: it is none.
bool make_scalar(node& n);

// The functions of the types that are not scalars.
fault append_array(node&, context&, column&);
// An array's values alone: the element count is still to be pushed.
fault append_elements(node&, context&, column&);
fault append_nested(node&, context&, column&); // an array of named tuples: also an object of arrays
fault append_tuple(node&, context&, column&);
fault append_map(node&, context&, column&);
fault append_nullable(node&, context&, column&);
fault append_variant(node&, context&, column&);
fault append_dynamic(node&, context&, column&);
fault append_json(node&, context&, column&);
fault append_string(node&, context&, column&);
value_error append_string_text(node&, std::string_view, column&);

// Passes an object and checks that ClickHouse's JSON type can take it: integers within Int64 and UInt64, finite
// floats, no path twice. `typed`: a JSON type's node, or null. The text of it goes to `text`.
fault take_json_object(context& c, node* typed, std::string_view& text);

// A number's token, which the JSON type must take.
fault take_json_number(context& c, std::string_view& token, bool& integral);
// Passes a value and checks that the JSON type can take its numbers. `shown`: also that the server, which writes them
// anew for this type of a text, shows the same ones; else null.
fault pass_numbers(context& c, int depth, const node* shown);
// A scalar's node takes only what the server takes at a typed path.
void make_scalar_at_path(node& n);
// Whether the server, which tries the alternatives of a Variant at a typed path, would take the value in the one that
// refused it, as another value, or fail: dates and times that it moves, decimals that it cuts, floats that become
// infinite.
bool taken_otherwise(const context& c, fault f);

// Refuses a value for what it is: null, or of another kind than the type takes. Or finds that it is not JSON.
fault refuse_other(node&, context&);

// Takes rows off until `rows` are left. The rows at the last mark() must be no more than that.
void rewind(column& c, std::size_t rows);

inline void append_text_value(std::string_view text, column& c) {
  append_varint(c.data, text.size());
  c.data.append(text.data(), text.size());
  ++c.rows;
}

} // namespace chute::json
