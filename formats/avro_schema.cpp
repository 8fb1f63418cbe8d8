#include "formats/avro_schema.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <simdjson.h>

namespace chute::avro {
namespace {

namespace dom = simdjson::dom;

constexpr int depth_max = 64;
constexpr const char* too_deep = "is nested deeper than 64 levels";
constexpr std::size_t text_bytes_max = 4u << 20;

error wrong(std::string cause) { return {"", std::move(cause), ""}; }
std::string in_quotes(std::string_view s) { return "'" + std::string(s.substr(0, 100)) + "'"; }

constexpr std::array<std::pair<std::string_view, kind>, 8> primitives = {{{"null", kind::null},
                                                                          {"boolean", kind::boolean},
                                                                          {"int", kind::int32},
                                                                          {"long", kind::int64},
                                                                          {"float", kind::float32},
                                                                          {"double", kind::float64},
                                                                          {"bytes", kind::bytes},
                                                                          {"string", kind::string}}};

std::optional<kind> primitive(std::string_view name) {
  for (const auto& [text, k] : primitives)
    if (text == name) return k;
  return {};
}

std::optional<std::string_view> text_of(const dom::object& o, std::string_view key) {
  std::string_view text;
  if (o.at_key(key).get(text)) return {};
  return text;
}

std::int64_t number_of(const dom::object& o, std::string_view key, std::int64_t otherwise) {
  std::int64_t n = 0;
  return o.at_key(key).get(n) ? otherwise : n;
}

std::string full_name(std::string_view name, std::string_view space) {
  if (name.find('.') != name.npos || space.empty()) return std::string(name);
  return std::string(space) + "." + std::string(name);
}

std::string_view namespace_of(std::string_view full) {
  const auto dot = full.rfind('.');
  return dot == full.npos ? std::string_view() : full.substr(0, dot);
}

// What a named type or a field was called elsewhere.
std::vector<std::string> aliases_of(const dom::object& o) {
  std::vector<std::string> out;
  if (dom::array aliases; !o.at_key("aliases").get(aliases))
    for (const auto a : aliases)
      if (std::string_view text; !a.get(text)) out.emplace_back(text);
  return out;
}

// The full name of a named type, and the namespace that holds within it.
std::string name_of(const dom::object& o, std::string_view space) {
  const auto name = text_of(o, "name").value_or("");
  if (const auto own = text_of(o, "namespace"); own && name.find('.') == name.npos) return full_name(name, *own);
  return full_name(name, space);
}

// -- parsing --------------------------------------------------------------------------------------------------------

struct logical_name {
  std::string_view name;
  logical as;
  kind on;
  std::uint8_t scale = 0;
};
constexpr std::array logical_names = {
    logical_name{"date", logical::date, kind::int32},
    logical_name{"time-millis", logical::time, kind::int32, 3},
    logical_name{"time-micros", logical::time, kind::int64, 6},
    logical_name{"timestamp-millis", logical::timestamp, kind::int64, 3},
    logical_name{"timestamp-micros", logical::timestamp, kind::int64, 6},
    logical_name{"timestamp-nanos", logical::timestamp, kind::int64, 9},
    logical_name{"local-timestamp-millis", logical::local_timestamp, kind::int64, 3},
    logical_name{"local-timestamp-micros", logical::local_timestamp, kind::int64, 6},
    logical_name{"local-timestamp-nanos", logical::local_timestamp, kind::int64, 9},
    logical_name{"uuid", logical::uuid, kind::string},
    logical_name{"uuid", logical::uuid, kind::fixed},
    logical_name{"duration", logical::duration, kind::fixed},
    logical_name{"decimal", logical::decimal, kind::bytes},
    logical_name{"decimal", logical::decimal, kind::fixed},
};

// Debezium's, which Connect's Avro converters write as `connect.name`, without a logicalType. Its timestamps are what a
// clock without a zone showed. Names from the documentation of Debezium's connectors.
constexpr std::array debezium_names = {
    logical_name{"io.debezium.time.Date", logical::date, kind::int32},
    logical_name{"io.debezium.time.Time", logical::time, kind::int32, 3},
    logical_name{"io.debezium.time.MicroTime", logical::time, kind::int64, 6},
    logical_name{"io.debezium.time.NanoTime", logical::time, kind::int64, 9},
    logical_name{"io.debezium.time.Timestamp", logical::local_timestamp, kind::int64, 3},
    logical_name{"io.debezium.time.MicroTimestamp", logical::local_timestamp, kind::int64, 6},
    logical_name{"io.debezium.time.NanoTimestamp", logical::local_timestamp, kind::int64, 9},
    logical_name{"io.debezium.time.MicroDuration", logical::time, kind::int64, 6},
    logical_name{"io.debezium.time.NanoDuration", logical::time, kind::int64, 9},
    logical_name{"io.debezium.data.Uuid", logical::uuid, kind::string},
};

void annotate(type& t, const dom::object& o, const logical_name& l) {
  if (l.as == logical::uuid && t.what == kind::fixed && t.size != 16) return;
  if (l.as == logical::duration && t.size != 12) return;
  t.scale = l.scale;
  if (l.as == logical::decimal) {
    const auto precision = number_of(o, "precision", 0), scale = number_of(o, "scale", 0);
    if (precision < 1 || precision > 76 || scale < 0 || scale > precision) return;
    t.scale = static_cast<std::uint8_t>(scale);
  }
  t.as = l.as;
}

// An annotation that is unknown, or does not fit its type, has no meaning.
void annotate(type& t, const dom::object& o) {
  const auto by = [&](std::string_view key, const auto& names) {
    const auto name = text_of(o, key);
    if (!name || t.as != logical::none) return;
    for (const auto& l : names)
      if (l.name == *name && l.on == t.what) return annotate(t, o, l);
  };
  by("logicalType", logical_names);
  by("connect.name", debezium_names);
}

// False: too many levels. References make types higher than any one text is deep.
bool raise(type& t, const type& part) {
  t.height = std::max(t.height, part.height + 1);
  return t.height <= depth_max;
}

class reader {
public:
  result<type_ptr> read(const dom::element& e, std::string_view space, int depth) {
    if (depth > depth_max) return wrong(too_deep);
    if (std::string_view name; !e.get(name)) return refer(name, space);
    if (dom::array branches; !e.get(branches)) return read_union(branches, space, depth);
    dom::object o;
    if (e.get(o)) return wrong("has a part that is neither a name, a union nor an object");
    dom::element inner;
    if (o.at_key("type").get(inner)) return wrong("has a part without a type");
    std::string_view what;
    if (inner.get(what)) return read(inner, space, depth + 1);
    if (const auto k = primitive(what)) {
      auto t = std::make_shared<type>();
      t->what = *k;
      annotate(*t, o);
      return type_ptr(std::move(t));
    }
    if (what == "array" || what == "map") return read_container(o, what, space, depth);
    if (what == "record" || what == "error" || what == "enum" || what == "fixed")
      return read_named(o, what, space, depth);
    return refer(what, space);
  }

private:
  result<type_ptr> refer(std::string_view name, std::string_view space) {
    if (const auto k = primitive(name)) {
      auto t = std::make_shared<type>();
      t->what = *k;
      return type_ptr(std::move(t));
    }
    auto at = named_.find(full_name(name, space));
    if (at == named_.end()) at = named_.find(name);
    if (at == named_.end()) return wrong("refers to " + in_quotes(name) + ", which it does not define");
    if (!at->second)
      return wrong("is recursive: " + in_quotes(at->first) + " holds itself, and no column has a type without an end");
    return at->second;
  }

  result<type_ptr> read_union(const dom::array& branches, std::string_view space, int depth) {
    auto t = std::make_shared<type>();
    t->what = kind::unite;
    for (const auto b : branches) {
      auto part = read(b, space, depth + 1);
      if (!part) return part;
      if ((*part)->what == kind::unite) return wrong("has a union directly within a union");
      if (!raise(*t, **part)) return wrong(too_deep);
      t->parts.push_back(*part);
    }
    if (t->parts.empty()) return wrong("has an empty union");
    return type_ptr(std::move(t));
  }

  result<type_ptr> read_container(const dom::object& o, std::string_view what, std::string_view space, int depth) {
    auto t = std::make_shared<type>();
    t->what = what == "array" ? kind::array : kind::map;
    dom::element inner;
    if (o.at_key(what == "array" ? "items" : "values").get(inner))
      return wrong(what == "array" ? "has an array without items" : "has a map without values");
    auto part = read(inner, space, depth + 1);
    if (!part) return part;
    if (!raise(*t, **part)) return wrong(too_deep);
    t->parts.push_back(*part);
    return type_ptr(std::move(t));
  }

  result<type_ptr> read_named(const dom::object& o, std::string_view what, std::string_view space, int depth) {
    auto t = std::make_shared<type>();
    t->name = name_of(o, space);
    if (t->name.empty()) return wrong("has a " + std::string(what) + " without a name");
    if (named_.contains(t->name)) return wrong("defines " + in_quotes(t->name) + " twice");
    named_.emplace(t->name, nullptr); // in the making
    result<void> done;
    if (what == "enum") done = read_enum(o, *t);
    else if (what == "fixed") done = read_fixed(o, *t);
    else done = read_record(o, *t, depth);
    if (!done) return done.failure();
    annotate(*t, o);
    for (const auto& alias : aliases_of(o)) t->aliases.push_back(full_name(alias, namespace_of(t->name)));
    named_[t->name] = t;
    return type_ptr(std::move(t));
  }

  result<void> read_enum(const dom::object& o, type& t) {
    t.what = kind::enumeration;
    dom::array symbols;
    if (o.at_key("symbols").get(symbols)) return wrong("has an enum without symbols");
    for (const auto s : symbols) {
      std::string_view text;
      if (s.get(text)) return wrong("has an enum with a symbol that is no text");
      t.symbols.emplace_back(text);
    }
    return {};
  }

  result<void> read_fixed(const dom::object& o, type& t) {
    constexpr std::int64_t size_max = 64 << 20;
    t.what = kind::fixed;
    const auto size = number_of(o, "size", -1);
    if (size < 0 || size > size_max) return wrong("has a fixed without a size");
    t.size = static_cast<std::uint32_t>(size);
    return {};
  }

  result<void> read_record(const dom::object& o, type& t, int depth) {
    t.what = kind::record;
    dom::array fields;
    if (o.at_key("fields").get(fields)) return wrong("has a record without fields");
    std::set<std::string> names;
    for (const auto e : fields) {
      dom::object f;
      dom::element inner;
      const auto name = e.get(f) ? std::nullopt : text_of(f, "name");
      if (!name || f.at_key("type").get(inner)) return wrong("has a field without a name or a type");
      if (!names.emplace(*name).second) return wrong("has two fields " + in_quotes(*name) + " in one record");
      auto part = read(inner, namespace_of(t.name), depth + 1);
      if (!part) return part.failure();
      if (!raise(t, **part)) return wrong(too_deep);
      field made{std::string(*name), aliases_of(f), *part, ""};
      if (dom::element d; !f.at_key("default").get(d)) made.default_json = simdjson::minify(d);
      t.fields.push_back(std::move(made));
    }
    return {};
  }

  std::map<std::string, type_ptr, std::less<>> named_; // null: in the making
};

result<type_ptr> read_text(reader& r, std::string_view json) {
  if (json.size() > text_bytes_max) return wrong("is larger than 4 MiB");
  dom::parser parser;
  dom::element root;
  if (parser.parse(json.data(), json.size()).get(root)) return wrong("is not JSON");
  return r.read(root, "", 0);
}

struct references_seen {
  std::set<const schema_text*> texts;
  std::set<std::string> names;
};

// References first, each once, so that their names are known. Where two schemas refer to two versions of one name, the
// first that is met counts, as with Confluent's clients.
result<void> read_references(reader& r, const schema_text& s, references_seen& seen) {
  for (const auto& [name, referred] : s.references) {
    if (!referred || !seen.texts.insert(referred.get()).second || !seen.names.insert(name).second) continue;
    if (auto done = read_references(r, *referred, seen); !done) return done;
    if (auto t = read_text(r, referred->text); !t)
      return wrong("refers to " + in_quotes(name) + ", which " + t.failure().cause);
  }
  return {};
}

// -- the canonical form ---------------------------------------------------------------------------------------------

void append_quoted(std::string_view s, std::string& out) {
  out += '"';
  out += s; // names, which have no character that JSON escapes
  out += '"';
}

bool canonical(const dom::element& e, std::string_view space, int depth, std::string& out);

bool canonical_field(const dom::element& e, std::string_view space, int depth, std::string& out) {
  dom::object f;
  dom::element inner;
  if (e.get(f) || f.at_key("type").get(inner)) return false;
  out += "{\"name\":";
  append_quoted(text_of(f, "name").value_or(""), out);
  out += ",\"type\":";
  if (!canonical(inner, space, depth + 1, out)) return false;
  out += '}';
  return true;
}

template <class F> bool canonical_list(const dom::array& a, std::string& out, F&& each) {
  out += '[';
  bool first = true;
  for (const auto e : a) {
    if (!first) out += ',';
    first = false;
    if (!each(e)) return false;
  }
  out += ']';
  return true;
}

bool canonical_named(const dom::object& o, std::string_view what, std::string_view space, int depth, std::string& out) {
  const auto name = name_of(o, space);
  out += "{\"name\":";
  append_quoted(name, out);
  out += ",\"type\":";
  append_quoted(what, out);
  if (what == "fixed") {
    out += ",\"size\":" + std::to_string(number_of(o, "size", 0)) + "}";
    return true;
  }
  dom::array parts;
  const bool record = what != "enum";
  out += record ? ",\"fields\":" : ",\"symbols\":";
  if (o.at_key(record ? "fields" : "symbols").get(parts)) return false;
  const bool fine = canonical_list(parts, out, [&](const dom::element& e) {
    if (record) return canonical_field(e, namespace_of(name), depth, out);
    std::string_view text;
    if (e.get(text)) return false;
    append_quoted(text, out);
    return true;
  });
  out += '}';
  return fine;
}

bool canonical(const dom::element& e, std::string_view space, int depth, std::string& out) {
  if (depth > depth_max) return false;
  if (std::string_view name; !e.get(name))
    return append_quoted(primitive(name) ? std::string(name) : full_name(name, space), out), true;
  if (dom::array branches; !e.get(branches))
    return canonical_list(branches, out, [&](const dom::element& b) { return canonical(b, space, depth + 1, out); });
  dom::object o;
  dom::element inner;
  std::string_view what;
  if (e.get(o) || o.at_key("type").get(inner)) return false;
  if (inner.get(what)) return canonical(inner, space, depth + 1, out);
  if (what == "array" || what == "map") {
    out += what == "array" ? "{\"type\":\"array\",\"items\":" : "{\"type\":\"map\",\"values\":";
    if (o.at_key(what == "array" ? "items" : "values").get(inner) || !canonical(inner, space, depth + 1, out))
      return false;
    out += '}';
    return true;
  }
  if (what == "record" || what == "error" || what == "enum" || what == "fixed")
    return canonical_named(o, what, space, depth, out);
  return canonical(inner, space, depth + 1, out);
}

} // namespace

result<type_ptr> parse_schema(const schema_text& s) {
  reader r;
  references_seen seen;
  if (auto done = read_references(r, s, seen); !done) return done.failure();
  return read_text(r, s.text);
}

result<type_ptr> parse_schema(std::string_view json) {
  reader r;
  return read_text(r, json);
}

result<std::string> canonical_form(std::string_view json) {
  if (auto fine = parse_schema(json); !fine) return fine.failure();
  dom::parser parser;
  dom::element root;
  std::string out;
  if (parser.parse(json.data(), json.size()).get(root) || !canonical(root, "", 0, out)) return wrong("is not JSON");
  return out;
}

result<std::uint64_t> schema_fingerprint(std::string_view json) {
  constexpr std::uint64_t empty = 0xc15d213aa4d7a795; // the specification's
  static const auto table = [] {
    std::array<std::uint64_t, 256> t{};
    for (std::uint64_t i = 0; i < 256; ++i) {
      std::uint64_t v = i;
      for (int bit = 0; bit < 8; ++bit) v = v >> 1 ^ (empty & (0 - (v & 1)));
      t[i] = v;
    }
    return t;
  }();
  auto text = canonical_form(json);
  if (!text) return text.failure();
  std::uint64_t v = empty;
  for (const char c : *text) v = v >> 8 ^ table[(v ^ static_cast<unsigned char>(c)) & 0xff];
  return v;
}

} // namespace chute::avro
