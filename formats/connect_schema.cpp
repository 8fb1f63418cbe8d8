#include "formats/connect_schema.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <simdjson.h>

namespace chute::connect {
namespace {

namespace dom = simdjson::dom;

constexpr int depth_max = 64;

struct named_kind {
  std::string_view name;
  kind what;
  std::uint8_t scale = 0;
  kind of = kind::string; // logical types: what they are made of
};

constexpr std::array plain_kinds = {
    named_kind{"int8", kind::int8},       named_kind{"int16", kind::int16},     named_kind{"int32", kind::int32},
    named_kind{"int64", kind::int64},     named_kind{"float", kind::float32},   named_kind{"double", kind::float64},
    named_kind{"boolean", kind::boolean}, named_kind{"string", kind::string},   named_kind{"bytes", kind::bytes},
    named_kind{"array", kind::array},     named_kind{"map", kind::map},         named_kind{"struct", kind::structure},
    named_kind{"float32", kind::float32}, named_kind{"float64", kind::float64},
};

// Names from the documentation of Kafka Connect's data types and of Debezium's connectors.
constexpr std::array logical_kinds = {
    named_kind{"org.apache.kafka.connect.data.Decimal", kind::decimal, 0, kind::bytes},
    named_kind{"org.apache.kafka.connect.data.Date", kind::date, 0, kind::int32},
    named_kind{"org.apache.kafka.connect.data.Time", kind::time, 3, kind::int32},
    named_kind{"org.apache.kafka.connect.data.Timestamp", kind::timestamp, 3, kind::int64},
    named_kind{"io.debezium.time.Date", kind::date, 0, kind::int32},
    named_kind{"io.debezium.time.Time", kind::time, 3, kind::int32},
    named_kind{"io.debezium.time.MicroTime", kind::time, 6, kind::int64},
    named_kind{"io.debezium.time.NanoTime", kind::time, 9, kind::int64},
    named_kind{"io.debezium.time.Timestamp", kind::local_timestamp, 3, kind::int64},
    named_kind{"io.debezium.time.MicroTimestamp", kind::local_timestamp, 6, kind::int64},
    named_kind{"io.debezium.time.NanoTimestamp", kind::local_timestamp, 9, kind::int64},
    named_kind{"io.debezium.time.MicroDuration", kind::time, 6, kind::int64},
    named_kind{"io.debezium.time.NanoDuration", kind::time, 9, kind::int64},
    named_kind{"io.debezium.data.Uuid", kind::uuid, 0, kind::string},
    named_kind{"io.debezium.data.Enum", kind::symbol, 0, kind::string},
    named_kind{"io.debezium.data.VariableScaleDecimal", kind::variable_decimal, 0, kind::structure},
};

template <std::size_t N> const named_kind* find(const std::array<named_kind, N>& list, std::string_view name) {
  const auto it = std::find_if(list.begin(), list.end(), [&](const auto& k) { return k.name == name; });
  return it == list.end() ? nullptr : &*it;
}

error wrong(std::string cause) { return {"", std::move(cause), ""}; }

std::optional<std::string_view> text_of(const dom::object& o, std::string_view key) {
  std::string_view text;
  if (o.at_key(key).get(text)) return {};
  return text;
}

result<std::uint8_t> read_scale(const dom::object& o) {
  constexpr int scale_max = 76; // of ClickHouse's Decimal
  std::string_view text;
  if (o["parameters"]["scale"].get(text)) return wrong("has a Decimal without a scale");
  int scale = -1;
  const auto r = std::from_chars(text.data(), text.data() + text.size(), scale);
  if (r.ec != std::errc() || scale < 0 || scale > scale_max) return wrong("has a Decimal whose scale is not 0 to 76");
  return static_cast<std::uint8_t>(scale);
}

result<schema> read(const dom::element& e, int depth);

result<void> read_children(const dom::object& o, schema& s, int depth) {
  const auto add = [&](const dom::element& e) -> result<void> {
    auto child = read(e, depth + 1);
    if (!child) return child.failure();
    s.children.push_back(std::move(*child));
    return {};
  };
  if (s.what == kind::structure) {
    dom::array fields;
    if (o["fields"].get(fields)) return wrong("has a struct without fields");
    for (const auto f : fields)
      if (auto r = add(f); !r) return r;
    for (std::size_t i = 0; i < s.children.size(); ++i)
      for (std::size_t k = 0; k < i; ++k)
        if (s.children[i].name == s.children[k].name) return wrong("has a struct with two fields of one name");
    return {};
  }
  for (const char* key : {"items", "keys", "values"}) {
    if ((s.what == kind::array) != (std::string_view(key) == "items")) continue;
    dom::element e;
    if (o[key].get(e)) return wrong(std::string("has an array or a map without ") + key);
    if (auto r = add(e); !r) return r;
  }
  return {};
}

result<schema> read(const dom::element& e, int depth) {
  if (depth > depth_max) return wrong("is nested deeper than 64 levels");
  dom::object o;
  if (e.get(o)) return wrong("has a part that is no object");
  const auto type = text_of(o, "type");
  const named_kind* plain = type ? find(plain_kinds, *type) : nullptr;
  if (!plain)
    return wrong(type ? "has the unknown type '" + std::string(type->substr(0, 80)) + "'"
                      : "has a part without a type");
  schema s;
  s.what = plain->what;
  s.name = text_of(o, "field").value_or("");
  if (bool optional; !o.at_key("optional").get(optional)) s.optional = optional;
  if (dom::element d; !o.at_key("default").get(d) && !d.is_null()) s.default_json = simdjson::minify(d);
  // A name that is not known is the name of a type of the writer's own.
  const auto name = text_of(o, "name");
  if (const named_kind* logical = name ? find(logical_kinds, *name) : nullptr; logical && logical->of == s.what) {
    s.what = logical->what;
    s.scale = logical->scale;
    if (s.what != kind::decimal) return s;
    auto scale = read_scale(o);
    if (!scale) return scale.failure();
    s.scale = *scale;
    return s;
  }
  if (s.what == kind::structure || s.what == kind::array || s.what == kind::map)
    if (auto r = read_children(o, s, depth); !r) return r.failure();
  return s;
}

} // namespace

result<std::shared_ptr<const schema>> parse_schema(std::string_view json) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(json.data(), json.size()).get(root)) return wrong("is not JSON");
  auto s = read(root, 0);
  if (!s) return s.failure();
  return std::make_shared<const schema>(std::move(*s));
}

} // namespace chute::connect
