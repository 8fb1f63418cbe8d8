// Values of formats with types of their own → columns of any type. docs/formats.md says what becomes of what.
#pragma once

#include "core/block.hpp"
#include "core/error.hpp"
#include "formats/datum.hpp"
#include "formats/json_value.hpp"
#include "formats/text_value.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace chute {

class datum_writer {
public:
  // `type`: as the table has it. `timezone`: of types that name none.
  static result<datum_writer> make(const type_ptr& type, const std::string& timezone);

  // Appends one value to a column of the storage type of `type`, or of Nullable of it. What is wrong with it, as a half
  // sentence that follows the field's name, or nothing. After an error the column may hold half a value.
  std::string append(const datum& d, column& out);

private:
  // Why a value was refused; where several alternatives of a Variant were tried, by the Variant.
  struct refusal {
    std::string why;
    const type* by = nullptr;
  };

  // One type. Wide and deep trees are fine: they are made once a column.
  struct node {
    type_ptr type; // without LowCardinality and SimpleAggregateFunction
    std::vector<node> children;
    std::optional<text_value> text; // scalars
    std::optional<enum_index> names;
    std::shared_ptr<const zone> in;
    std::size_t zone_hint = 0;
    std::unique_ptr<json_value> json;                         // JSON, Dynamic
    std::unordered_map<std::string_view, std::size_t> places; // of a tuple's elements; the names are the type's
    std::array<std::vector<std::size_t>, datum_kinds> order;  // Variant: alternatives to try
  };

  static result<void> make_node(node& n, const type_ptr& t, const std::string& timezone);
  static void make_order(node& n);

  // False: refused, and refusal_ says why.
  bool append(node& n, const datum& d, column& out);
  bool append_scalar(node& n, const datum& d, column& out);
  value_error append_number(node& n, const datum& d, column& out);
  value_error append_moment(node& n, const datum& d, column& out);
  bool append_string(node& n, const datum& d, column& out);
  bool append_array(node& n, const datum& d, column& out);
  bool append_tuple(node& n, const datum& d, column& out);
  bool append_pair(node& n, const datum& d, column& out);
  bool append_interval(node& n, const datum& d, column& out);
  bool append_map(node& n, const datum& d, column& out);
  bool append_variant(node& n, const datum& d, column& out);
  bool append_json(node& n, const datum& d, column& out);
  bool refuse(const node& n, std::string why);
  bool refuse_kind(const node& n, const datum& d);
  bool tell(const node& n, const datum& d, value_error e);

  node root_;
  refusal refusal_;
  std::string scratch_;
};

} // namespace chute
