#include "formats/json_value.hpp"

#include "formats/json_index.hpp"
#include "formats/json_node.hpp"

namespace chute {

using json::fault;

struct json_value::parser {
  json::node root;
  json::token_index index;
  json::context state;

  std::string append(std::string_view text, column& out);
  std::string explain(fault f) const;
};

namespace {

// Of a text that is JSON, but nothing for the type.
const char* refusal_text(fault f) {
  switch (f) {
  case fault::wrong_type: return "is of a kind that the type does not take";
  case fault::null_element: return "is null, which the type does not take";
  case fault::tuple_size: return "has another number of elements than the tuple";
  case fault::tuple_key_twice: return "names an element of the tuple twice";
  case fault::nested_sizes: return "has arrays of different lengths for one Nested structure";
  case fault::dimension: return "has another number of elements than the type";
  case fault::path_twice: return "holds a path twice, which the JSON type does not take";
  case fault::long_paths: return "holds paths of more than 256 MiB in all";
  case fault::no_variant: return "is of a kind that none of the Variant's types takes";
  case fault::not_at_path: return "is of a kind or form that ClickHouse does not take at a typed path";
  case fault::path_digits:
    return "has more digits than ClickHouse keeps of a number at a typed path; a string keeps them";
  case fault::huge_number: return "holds a number that the JSON type does not take (beyond 64 bits or Float64)";
  case fault::dynamic_too_deep: return "holds arrays of mixed values nested deeper than Dynamic takes";
  case fault::too_deep: return "is nested deeper than 1,000 levels";
  default: return "is not JSON";
  }
}

} // namespace

std::string json_value::parser::explain(fault f) const {
  std::string text;
  if (state.refused_by && state.refused_by->type->text != root.type->text)
    text = "holds a value of type " + state.refused_by->type->text + " that ";
  if (f < fault::malformed) return text + refusal_text(f);
  return text + describe(static_cast<value_error>(static_cast<int>(f) - static_cast<int>(fault::malformed) +
                                                  static_cast<int>(value_error::malformed)));
}

std::string json_value::parser::append(std::string_view text, column& out) {
  index.clear();
  index.add(text);
  index.build();
  state.end = index.end();
  state.now.backslash = nullptr;
  state.refused_at = nullptr;
  state.refused_by = nullptr;
  state.path_bytes = 0;
  json::tokens t;
  if (index.next(t) != json::index_error::none) return refusal_text(fault::unexpected);
  state.base = t.base;
  state.now.at = t.first;
  if (state.here() >= t.end) return "is empty";
  if (const fault f = root.append(root, state, out); f != fault::none) return explain(f);
  return state.here() < t.end ? refusal_text(fault::trailing) : "";
}

json_value::json_value(std::unique_ptr<parser> p) : parser_(std::move(p)) {}
json_value::~json_value() = default;
json_value::json_value(json_value&&) noexcept = default;
json_value& json_value::operator=(json_value&&) noexcept = default;

result<json_value> json_value::make(const type_ptr& type, const std::string& timezone) {
  auto p = std::make_unique<parser>();
  auto n = json::make_node(type, timezone);
  if (!n) return n.failure();
  p->root = std::move(*n);
  return json_value(std::move(p));
}

std::string json_value::append(std::string_view text, column& out) { return parser_->append(text, out); }

} // namespace chute
