#include "formats/connect_json.hpp"

#include "formats/connect_schema.hpp"
#include "formats/datum_decoder.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <simdjson.h>

namespace chute {
namespace {

namespace od = simdjson::ondemand;
using connect::kind;
using connect::schema;

constexpr int depth_max = 256; // of a payload without a schema

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.back() == ' ' || s.back() == '\n' || s.back() == '\r' || s.back() == '\t'))
    s.remove_suffix(1);
  return s;
}

// Whether the object has an end. What stands in it is looked at later.
bool is_whole(od::object& o) {
  for (auto each : o)
    if (each.error()) return false;
  return true;
}

class connect_decoder final : public datum_decoder {
public:
  connect_decoder(std::vector<target_column> targets, decoder_options options)
      : datum_decoder(std::move(targets), std::move(options)) {}
  result<void> make() { return make_writers("connect_json"); }

protected:
  reading read(const record_view& r, std::string& why) override;

private:
  const schema* schema_of(std::string_view text, std::string& why);

  datum* convert(od::value v, const schema& s, std::string_view name);
  datum* convert_plain(od::value v, std::string_view name, int depth);
  datum* convert_plain_object(od::value v, datum& out, int depth);
  datum* convert_default(const schema& s, std::string_view name);
  datum* convert_struct(od::value v, const schema& s, datum& out);
  datum* convert_array(od::value v, const schema& s, datum& out);
  datum* convert_map(od::value v, const schema& s, datum& out);
  datum* convert_decimal(od::value v, const schema& s, datum& out);
  datum* convert_variable_decimal(od::value v, datum& out);
  datum* convert_number(od::value v, const schema& s, datum& out);
  datum* convert_real(od::value v, datum& out);
  bool plain_number(od::value v, datum& out);
  const datum* named_twice(const datum& record);
  datum* convert_text(od::value v, const schema& s, datum& out);
  datum* refuse(const char* why) {
    if (!refused_) refused_ = why;
    return nullptr;
  }
  datum* refuse_at(std::string_view name, const char* why) {
    if (!refused_) at_ = name;
    return refuse(why);
  }

  od::parser parser_;
  std::string memory_;
  std::string schema_text_; // of schema_
  std::shared_ptr<const schema> schema_;
  std::vector<std::unique_ptr<std::pair<od::parser, simdjson::padded_string>>> defaults_; // of the record at work
  std::vector<const datum*> by_name_;                                                     // scratch
  const char* refused_ = nullptr;
  std::string at_; // the field that was refused
};

constexpr std::uint32_t decimal_digits_max = 76;
constexpr const char* not_json = "is not JSON";
constexpr const char* not_as_schema = "is not what its schema says";

// -- records --------------------------------------------------------------------------------------------------------

connect_decoder::reading connect_decoder::read(const record_view& r, std::string& why) {
  arena_.clear();
  defaults_.clear();
  refused_ = nullptr;
  at_.clear();
  if (trimmed(*r.value).empty()) return bad(why, "the value is empty");
  memory_.assign(*r.value);
  memory_.append(simdjson::SIMDJSON_PADDING, '\0');
  const simdjson::padded_string_view view(memory_.data(), r.value->size(), memory_.size());
  od::document doc;
  if (parser_.iterate(view).get(doc)) return bad(why, "the value is not JSON");
  od::object root;
  if (doc.get_object().get(root)) return bad(why, "the value is not an object of schema and payload");
  if (!is_whole(root) || doc.current_location().error() != simdjson::OUT_OF_BOUNDS)
    return bad(why, "the value is not JSON");
  doc.rewind();
  if (doc.get_object().get(root)) return bad(why, "the value is not an object of schema and payload");
  od::value schema_value, payload;
  if (root.find_field_unordered("schema").get(schema_value))
    return bad(why, "the value has no 'schema': is it plain JSON, for format: json?");
  const schema* s = nullptr;
  if (bool null = false; schema_value.is_null().get(null)) return bad(why, "the value is not JSON");
  else if (!null) {
    od::object schema_object;
    std::string_view text;
    if (schema_value.get_object().get(schema_object) || schema_object.raw_json().get(text))
      return bad(why, "the schema is not a JSON object");
    if (!(s = schema_of(text, why))) return reading::bad;
    if (s->what != kind::structure && s->what != kind::map) return bad(why, "the schema is not that of a struct");
  }
  if (root.find_field_unordered("payload").get(payload)) return bad(why, "the value has no 'payload', or is not JSON");
  if (bool null = false; !payload.is_null().get(null) && null)
    return options_.deletes == delete_policy::reject ? bad(why, "the payload is null") : tombstone(why);
  datum* d = s ? convert(payload, *s, "") : convert_plain(payload, "", 0);
  if (!d) return bad(why, (at_.empty() ? "the payload " : "field '" + at_ + "' of the payload ") + refused_);
  if (d->kind != datum_kind::record && d->kind != datum_kind::map) return bad(why, "the payload is not an object");
  for (const datum* c = d->first; c; c = c->next)
    if (!wants(c->name)) ++ignored_;
  return fill_from(*d, why);
}

// Most records have the schema of the one before.
const schema* connect_decoder::schema_of(std::string_view text, std::string& why) {
  text = trimmed(text);
  if (schema_ && text == schema_text_) return schema_.get();
  auto parsed = connect::parse_schema(text);
  if (!parsed) {
    why = "the schema " + parsed.failure().cause;
    return nullptr;
  }
  schema_ = std::move(*parsed);
  schema_text_.assign(text);
  return schema_.get();
}

// -- values with a schema -------------------------------------------------------------------------------------------

datum* connect_decoder::convert(od::value v, const schema& s, std::string_view name) {
  if (arena_.full()) return refuse_at(name, too_many_values);
  datum& out = arena_.make(datum_kind::null);
  out.name = name;
  bool null = false;
  if (v.is_null().get(null)) return refuse_at(name, not_json);
  if (null) {
    if (s.optional) return &out;
    return s.default_json.empty() ? refuse_at(name, "is null, and not optional") : convert_default(s, name);
  }
  datum* done = nullptr;
  switch (s.what) {
  case kind::structure: out.kind = datum_kind::record, done = convert_struct(v, s, out); break;
  case kind::array: out.kind = datum_kind::list, done = convert_array(v, s, out); break;
  case kind::map: out.kind = datum_kind::map, done = convert_map(v, s, out); break;
  case kind::decimal: done = convert_decimal(v, s, out); break;
  case kind::variable_decimal: done = convert_variable_decimal(v, out); break;
  case kind::boolean: {
    bool b = false;
    out.kind = datum_kind::boolean;
    if (!v.get_bool().get(b)) done = &out, out.number = b;
    break;
  }
  case kind::float32:
  case kind::float64:
    out.kind = s.what == kind::float32 ? datum_kind::float32 : datum_kind::float64;
    done = convert_real(v, out);
    break;
  case kind::string:
  case kind::bytes:
  case kind::uuid:
  case kind::symbol: done = convert_text(v, s, out); break;
  default: done = convert_number(v, s, out); break;
  }
  return done ? done : refuse_at(name, not_as_schema);
}

datum* connect_decoder::convert_struct(od::value v, const schema& s, datum& out) {
  od::object o;
  if (v.get_object().get(o)) return nullptr;
  children_of children(out);
  std::vector<bool> seen(s.children.size());
  std::size_t guess = 0;
  for (auto each : o) {
    od::field f;
    std::string_view key;
    if (std::move(each).get(f) || f.unescaped_key().get(key)) return refuse(not_json);
    std::size_t i = guess < s.children.size() && s.children[guess].name == key ? guess : 0;
    while (i < s.children.size() && s.children[i].name != key) ++i;
    if (i == s.children.size()) continue; // not in the schema: not the writer's meaning
    guess = i + 1;
    if (seen[i]) return refuse_at(s.children[i].name, "appears twice");
    seen[i] = true;
    datum* child = convert(f.value(), s.children[i], s.children[i].name);
    if (!child) return nullptr;
    children.add(*child);
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const auto& missing = s.children[i];
    if (seen[i]) continue;
    if (missing.default_json.empty()) {
      if (!missing.optional) return refuse_at(missing.name, "is missing, and not optional");
      continue;
    }
    datum* child = convert_default(missing, missing.name);
    if (!child) return nullptr;
    children.add(*child);
  }
  return &out;
}

datum* connect_decoder::convert_array(od::value v, const schema& s, datum& out) {
  od::array a;
  if (v.get_array().get(a)) return nullptr;
  children_of children(out);
  for (auto each : a) {
    od::value e;
    if (std::move(each).get(e)) return refuse(not_json);
    datum* child = convert(e, s.children[0], "");
    if (!child) return nullptr;
    children.add(*child);
  }
  return &out;
}

// Maps whose keys are strings are objects, others are arrays of pairs.
datum* connect_decoder::convert_map(od::value v, const schema& s, datum& out) {
  children_of children(out);
  od::json_type type;
  if (v.type().get(type)) return refuse(not_json);
  if (type == od::json_type::object) {
    od::object o;
    if (v.get_object().get(o)) return nullptr;
    for (auto each : o) {
      od::field f;
      std::string_view key;
      if (std::move(each).get(f) || f.unescaped_key().get(key)) return refuse(not_json);
      datum* child = convert(f.value(), s.children[1], key);
      if (!child) return nullptr;
      children.add(*child);
    }
    return &out;
  }
  out.kind = datum_kind::list;
  od::array a;
  if (v.get_array().get(a)) return nullptr;
  for (auto each : a) {
    od::array pair;
    if (each.get_array().get(pair)) return nullptr;
    datum& entry = arena_.make(datum_kind::list);
    children_of halves(entry);
    std::size_t n = 0;
    for (auto half : pair) {
      od::value e;
      if (n == 2 || std::move(half).get(e)) return nullptr;
      datum* d = convert(e, s.children[n++], "");
      if (!d) return nullptr;
      halves.add(*d);
    }
    if (n != 2) return nullptr;
    children.add(entry);
  }
  return &out;
}

// Base64 of the unscaled number, or (decimal.format=NUMERIC) the number itself.
datum* connect_decoder::convert_decimal(od::value v, const schema& s, datum& out) {
  wide_int wide;
  std::string_view text;
  od::json_type type;
  if (v.type().get(type)) return refuse(not_json);
  if (type == od::json_type::number) {
    if (parse_decimal(trimmed(v.raw_json_token()), decimal_digits_max, s.scale, wide) != value_error::none)
      return nullptr;
    // Passes the token, and checks it.
    double ignored;
    if (const auto e = v.get_double().get(ignored); e && e != simdjson::NUMBER_ERROR) return nullptr;
  } else {
    std::string bytes;
    if (v.get_string().get(text) || !from_base64(text, bytes) || !read_big_endian(bytes, wide)) return nullptr;
  }
  out.kind = datum_kind::decimal;
  out.scale = s.scale;
  out.wide = arena_.keep(wide);
  return &out;
}

datum* connect_decoder::convert_variable_decimal(od::value v, datum& out) {
  od::object o;
  std::int64_t scale = -1;
  std::string_view text;
  std::string bytes;
  wide_int wide;
  constexpr std::int64_t scale_max = 76;
  if (v.get_object().get(o) || o.find_field_unordered("scale").get(scale) || scale < 0 || scale > scale_max ||
      o.find_field_unordered("value").get(text) || !from_base64(text, bytes) || !read_big_endian(bytes, wide))
    return nullptr;
  out.kind = datum_kind::decimal;
  out.scale = static_cast<std::uint8_t>(scale);
  out.wide = arena_.keep(wide);
  return &out;
}

datum* connect_decoder::convert_number(od::value v, const schema& s, datum& out) {
  std::int64_t n = 0;
  if (v.get_int64().get(n)) return nullptr;
  out.number = n;
  out.scale = s.scale;
  const auto within = [&](int bits) {
    return n >= -(std::int64_t{1} << (bits - 1)) && n < std::int64_t{1} << (bits - 1);
  };
  switch (s.what) {
  case kind::int8: out.kind = datum_kind::integer; return within(8) ? &out : nullptr;
  case kind::int16: out.kind = datum_kind::integer; return within(16) ? &out : nullptr;
  case kind::int32: out.kind = datum_kind::integer; return within(32) ? &out : nullptr;
  case kind::date: out.kind = datum_kind::date; return within(32) ? &out : nullptr;
  case kind::time: out.kind = datum_kind::time; break;
  case kind::timestamp: out.kind = datum_kind::timestamp; break;
  case kind::local_timestamp: out.kind = datum_kind::local_timestamp; break;
  default: out.kind = datum_kind::integer; break;
  }
  return &out;
}

// Connect's converter writes NaN and infinities as strings.
datum* connect_decoder::convert_real(od::value v, datum& out) {
  od::json_type type;
  std::string_view text;
  if (v.type().get(type)) return refuse(not_json);
  if (type == od::json_type::string) {
    if (v.get_string().get(text)) return nullptr;
    const bool known = text == "NaN" || text == "Infinity" || text == "-Infinity";
    return known && parse_float64(text, out.real) == value_error::none ? &out : nullptr;
  }
  return v.get_double().get(out.real) ? nullptr : &out;
}

datum* connect_decoder::convert_text(od::value v, const schema& s, datum& out) {
  if (v.get_string().get(out.text)) return nullptr;
  out.kind = s.what == kind::symbol ? datum_kind::symbol : datum_kind::text;
  if (s.what == kind::bytes) {
    std::string bytes;
    if (!from_base64(out.text, bytes)) return nullptr;
    out.kind = datum_kind::bytes;
    out.text = arena_.keep(std::move(bytes));
  }
  if (uuid_value u; s.what == kind::uuid && parse_uuid(out.text, u) == value_error::none) {
    const std::uint64_t halves[2] = {__builtin_bswap64(u.high), __builtin_bswap64(u.low)};
    out.kind = datum_kind::uuid;
    out.text = arena_.keep(std::string(reinterpret_cast<const char*>(halves), sizeof halves));
  }
  return &out;
}

// The default stands in the schema, in the form of a value.
datum* connect_decoder::convert_default(const schema& s, std::string_view name) {
  // In a document of its own, because the parser knows one place at a time.
  auto made = std::make_unique<std::pair<od::parser, simdjson::padded_string>>();
  made->second = simdjson::padded_string("[" + s.default_json + "]");
  od::document doc;
  od::array a;
  if (made->first.iterate(made->second).get(doc) || doc.get_array().get(a)) return refuse_at(name, not_as_schema);
  auto& kept = *defaults_.emplace_back(std::move(made));
  (void)kept;
  for (auto each : a) {
    od::value v;
    if (std::move(each).get(v)) break;
    return convert(v, s, name);
  }
  return refuse_at(name, not_as_schema);
}

// -- values without a schema ----------------------------------------------------------------------------------------

// Whether `v` is the number that `token` shows, up to its last digit.
bool shows(std::string_view token, std::uint32_t scale, const wide_int& exact, double v) {
  char text[64];
  const std::string_view shortest(text,
                                  static_cast<std::size_t>(std::to_chars(text, text + sizeof text, v).ptr - text));
  wide_int other;
  return token == shortest ||
         (parse_decimal(shortest, decimal_digits_max, scale, other) == value_error::none && other == exact);
}

// A float keeps 15 digits, and 64 bits 19: what has more is a decimal.
bool connect_decoder::plain_number(od::value v, datum& out) {
  const auto token = trimmed(v.raw_json_token());
  const auto point = token.find('.');
  const bool whole = token.find_first_of(".eE") == token.npos;
  const auto scale = point == token.npos ? 0 : token.size() - point - 1;
  wide_int exact;
  const auto decimal = [&] {
    return token.find_first_of("eE") == token.npos && scale <= decimal_digits_max &&
           parse_decimal(token, decimal_digits_max, static_cast<std::uint32_t>(scale), exact) == value_error::none;
  };
  const auto keep_exact = [&] {
    out.kind = datum_kind::decimal;
    out.scale = static_cast<std::uint8_t>(scale);
    out.wide = arena_.keep(exact);
  };
  if (constexpr std::size_t safe_digits = 18; whole && token.size() > safe_digits) {
    std::int64_t n = 0;
    std::uint64_t u = 0;
    const auto *first = token.data(), *last = first + token.size();
    if (std::from_chars(first, last, n).ec != std::errc{} && std::from_chars(first, last, u).ec != std::errc{}) {
      double ignored = 0; // passes the token, and checks it
      if (const auto e = v.get_double().get(ignored); !decimal() || (e && e != simdjson::NUMBER_ERROR)) return false;
      return keep_exact(), true;
    }
  }
  od::number n;
  if (v.get_number().get(n)) return false;
  if (n.is_int64()) out.kind = datum_kind::integer, out.number = n.get_int64();
  else if (n.is_uint64()) out.kind = datum_kind::natural, out.number = static_cast<std::int64_t>(n.get_uint64());
  else if (decimal() && !shows(token, static_cast<std::uint32_t>(scale), exact, n.get_double())) keep_exact();
  else out.kind = datum_kind::float64, out.real = n.get_double();
  return true;
}

// A field whose name another one has, too; null: there is none. Which of the two is meant, nobody knows.
const datum* connect_decoder::named_twice(const datum& record) {
  by_name_.clear();
  for (const datum* c = record.first; c; c = c->next) by_name_.push_back(c);
  std::sort(by_name_.begin(), by_name_.end(), [](const datum* a, const datum* b) { return a->name < b->name; });
  const auto at = std::adjacent_find(by_name_.begin(), by_name_.end(),
                                     [](const datum* a, const datum* b) { return a->name == b->name; });
  return at == by_name_.end() ? nullptr : *at;
}

datum* connect_decoder::convert_plain_object(od::value v, datum& out, int depth) {
  out.kind = datum_kind::record;
  od::object o;
  if (v.get_object().get(o)) return refuse_at(out.name, not_json);
  children_of children(out);
  for (auto each : o) {
    od::field f;
    std::string_view key;
    if (std::move(each).get(f) || f.unescaped_key().get(key)) return refuse_at(out.name, not_json);
    datum* child = convert_plain(f.value(), key, depth + 1);
    if (!child) return nullptr;
    children.add(*child);
  }
  const datum* twice = named_twice(out);
  return twice ? refuse_at(twice->name, "appears twice") : &out;
}

datum* connect_decoder::convert_plain(od::value v, std::string_view name, int depth) {
  if (arena_.full()) return refuse_at(name, too_many_values);
  datum& out = arena_.make(datum_kind::null);
  out.name = name;
  od::json_type type;
  if (depth > depth_max || v.type().get(type)) return refuse_at(name, not_json);
  children_of children(out);
  bool b = false;
  switch (type) {
  case od::json_type::null:
    if (v.is_null().get(b) || !b) return refuse_at(name, not_json);
    return &out;
  case od::json_type::boolean:
    out.kind = datum_kind::boolean;
    if (v.get_bool().get(b)) return refuse_at(name, not_json);
    out.number = b;
    return &out;
  case od::json_type::string:
    out.kind = datum_kind::text;
    return v.get_string().get(out.text) ? refuse_at(name, not_json) : &out;
  case od::json_type::number: return plain_number(v, out) ? &out : refuse_at(name, "holds a number beyond 76 digits");
  case od::json_type::object: return convert_plain_object(v, out, depth);
  default: {
    out.kind = datum_kind::list;
    od::array a;
    if (v.get_array().get(a)) return refuse_at(name, not_json);
    for (auto each : a) {
      od::value e;
      if (std::move(each).get(e)) return refuse_at(name, not_json);
      datum* child = convert_plain(e, "", depth + 1);
      if (!child) return nullptr;
      children.add(*child);
    }
    return &out;
  }
  }
}

} // namespace

result<std::unique_ptr<decoder>> make_connect_json_decoder(std::vector<target_column> targets,
                                                           decoder_options options) {
  auto d = std::make_unique<connect_decoder>(std::move(targets), std::move(options));
  if (auto r = d->make(); !r) return r.failure();
  return std::unique_ptr<decoder>(std::move(d));
}

} // namespace chute
