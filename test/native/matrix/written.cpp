#include "matrix/written.hpp"

#include "formats/datum.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace chute::test {
namespace {

using nlohmann::ordered_json;

std::string quoted(const std::string& bytes) {
  std::string out = "\"";
  for (const char c : bytes) {
    const auto u = static_cast<unsigned char>(c);
    char hex[8];
    if (c == '"' || c == '\\') out += std::string("\\") + c;
    else if (u < 0x20) std::snprintf(hex, sizeof hex, "\\u%04x", unsigned{u}), out += hex;
    else out += c; // also what is no UTF-8
  }
  return out + "\"";
}

std::string digits_of(double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", v);
  return text;
}

std::string escaped_tsv(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
    case '\t': out += "\\t"; break;
    case '\n': out += "\\n"; break;
    case '\r': out += "\\r"; break;
    case '\\': out += "\\\\"; break;
    case '\0': out += "\\0"; break;
    default: out += c;
    }
  }
  return out;
}

// Quotes only where RFC 4180 asks for them.
std::string quoted_csv(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

// A field `c` beside another one, so that a line is never empty.
written write_delimited(const value& v, bool tabs) {
  written w;
  w.options.csv.fields = {"c", "other"};
  std::string field;
  if (v.what == value::null) field = "\\N";
  else if (v.what != value::missing) field = tabs ? escaped_tsv(as_text(v)) : quoted_csv(as_text(v));
  w.record = field + (tabs ? "\tx" : ",x");
  return w;
}

// As ClickHouse writes values in SQL, which is how it reads those that hold others out of a line.
std::string as_literal(const value& v) {
  const auto held = [](const value& part) {
    switch (part.what) {
    case value::missing:
    case value::null: return std::string("NULL");
    case value::list:
    case value::map:
    case value::record: return as_literal(part);
    case value::boolean:
    case value::integer:
    case value::decimal:
    case value::real: return as_text(part);
    default: break;
    }
    std::string out = "'";
    for (const char c : part.text_) out += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    return out + "'";
  };
  if (v.what != value::list && v.what != value::map && v.what != value::record) return as_text(v);
  std::string out;
  for (const auto& [name, part] : v.parts)
    out += (out.empty() ? "" : ",") + (v.what == value::map ? held(a_text(name)) + ":" : "") + held(part);
  return v.what == value::list ? "[" + out + "]" : v.what == value::map ? "{" + out + "}" : "(" + out + ")";
}

} // namespace

std::string write_passed(const std::string& format, const value& v, const std::string& type, const std::string& other) {
  const bool missing = v.what == value::missing;
  if (format == "JSONEachRow")
    return "{" + (missing ? "" : "\"c\":" + as_json(v) + ",") + "\"other\":\"" + other + "\"}";
  if (format == "JSONCompactEachRow") return "[" + as_json(v) + ",\"" + other + "\"]";
  const bool json = type.starts_with("JSON") || type.starts_with("Dynamic") || type.starts_with("Variant");
  const auto text = missing ? "" : v.what == value::null ? "\\N" : json ? as_text(v) : as_literal(v);
  if (format == "CSV") return quoted_csv(text) + "," + other;
  const auto field = v.what == value::null ? text : escaped_tsv(text);
  if (format == "TabSeparated") return field + "\t" + other;
  return (missing ? "" : "c=" + field + "\t") + "other=" + other;
}

std::string as_json(const value& v) {
  switch (v.what) {
  case value::missing:
  case value::null: return "null";
  case value::boolean: return v.number ? "true" : "false";
  case value::integer:
  case value::decimal: return v.text_;
  case value::real: {
    const auto digits = digits_of(v.real_);
    return std::isfinite(v.real_) ? digits : quoted(digits);
  }
  case value::list: {
    std::string out;
    for (const auto& [name, part] : v.parts) out += (out.empty() ? "" : ",") + as_json(part);
    return "[" + out + "]";
  }
  case value::map:
  case value::record: {
    std::string out;
    for (const auto& [name, part] : v.parts) out += (out.empty() ? "" : ",") + quoted(name) + ":" + as_json(part);
    return "{" + out + "}";
  }
  default: return quoted(v.text_);
  }
}

std::string as_text(const value& v) {
  switch (v.what) {
  case value::text:
  case value::bytes:
  case value::uuid:
  case value::date:
  case value::time:
  case value::timestamp:
  case value::symbol: return v.text_;
  case value::real: return digits_of(v.real_);
  default: return as_json(v);
  }
}

std::string unscaled(const std::string& digits, int& scale) {
  const auto point = digits.find('.');
  scale = point == digits.npos ? 0 : static_cast<int>(digits.size() - point - 1);
  const bool negative = digits[0] == '-';
  std::string bytes(33, '\0'); // the magnitude, highest byte first
  for (std::size_t i = negative; i < digits.size(); ++i) {
    if (i == point) continue;
    unsigned carry = static_cast<unsigned>(digits[i] - '0');
    for (auto b = bytes.rbegin(); b != bytes.rend(); ++b) {
      carry += static_cast<unsigned char>(*b) * 10u;
      *b = static_cast<char>(carry & 0xff);
      carry >>= 8;
    }
    if (carry) return "";
  }
  if (negative) {
    unsigned carry = 1;
    for (auto b = bytes.rbegin(); b != bytes.rend(); ++b) {
      carry += static_cast<unsigned char>(~*b);
      *b = static_cast<char>(carry & 0xff);
      carry >>= 8;
    }
  }
  // As short as it can be: the sign's bits once.
  const char sign = negative ? '\xff' : '\0';
  std::size_t first = 0;
  while (first + 1 < bytes.size() && bytes[first] == sign && ((bytes[first + 1] ^ sign) & 0x80) == 0) ++first;
  bytes.erase(0, first);
  return bytes.size() > 32 ? "" : bytes;
}

written write_record(const std::string& format, const value& v) {
  written w;
  if (format == "json") {
    w.record = v.what == value::missing ? R"({"other":"x"})" : R"({"c":)" + as_json(v) + R"(,"other":"x"})";
    return w;
  }
  if (format == "connect_json") return write_connect(v);
  if (format == "avro") return write_avro(v);
  if (format == "protobuf") return write_protobuf(v);
  if (format == "csv" || format == "tsv") return write_delimited(v, format == "tsv");
  if (format != "raw") throw std::logic_error("no such format");
  if (v.what != value::null && v.what != value::missing) w.record = as_text(v);
  return w;
}

// Whether the schema of all elements can be taken from this one.
bool tells_schema(const value& v) {
  return v.what != value::null && ((v.what != value::list && v.what != value::map) || !v.parts.empty());
}

// -- Kafka Connect ----------------------------------------------------------------------------------------------------

namespace {

ordered_json logical(const char* type, const char* name) {
  return {{"type", type}, {"name", name}, {"version", 1}, {"optional", true}};
}
ordered_json plain(const char* type) { return {{"type", type}, {"optional", true}}; }

std::optional<std::int64_t> as_int64(const std::string& digits) {
  std::size_t used = 0;
  try {
    const auto v = std::stoll(digits, &used);
    if (used == digits.size()) return v;
  } catch (const std::out_of_range&) {
  }
  return {};
}

// The schema of a value, and its payload: what Connect's JsonConverter makes of the Java object.
std::pair<ordered_json, ordered_json> connect_parts(const value& v);

std::pair<ordered_json, ordered_json> connect_decimal(const value& v) {
  int scale = 0;
  const auto bytes = unscaled(v.text_, scale);
  if (bytes.empty()) return {plain("string"), v.text_};
  auto schema = logical("bytes", "org.apache.kafka.connect.data.Decimal");
  schema["parameters"] = {{"scale", std::to_string(scale)}};
  return {schema, to_base64(bytes)};
}

std::pair<ordered_json, ordered_json> connect_moment(const value& v) {
  if (v.what == value::date) return {logical("int32", "org.apache.kafka.connect.data.Date"), v.number};
  if (v.what == value::timestamp && v.scale > 3) return {logical("string", "io.debezium.time.ZonedTimestamp"), v.text_};
  std::int64_t milli = v.number;
  for (int s = v.scale; s < 3; ++s) milli *= 10;
  if (v.what == value::timestamp) return {logical("int64", "org.apache.kafka.connect.data.Timestamp"), milli};
  if (v.scale > 6) return {logical("int64", "io.debezium.time.NanoDuration"), v.number};
  std::int64_t micro = v.number;
  for (int s = v.scale; s < 6; ++s) micro *= 10;
  return {logical("int64", "io.debezium.time.MicroDuration"), micro};
}

std::pair<ordered_json, ordered_json> connect_container(const value& v) {
  auto payload = v.what == value::list ? ordered_json::array() : ordered_json::object();
  if (v.what == value::record) {
    auto fields = ordered_json::array();
    for (const auto& [name, part] : v.parts) {
      auto [schema, p] = connect_parts(part);
      schema["field"] = name;
      fields.push_back(schema);
      payload[name] = p;
    }
    auto schema = plain("struct");
    schema["fields"] = fields;
    return {schema, payload};
  }
  ordered_json inner = plain("string");
  for (const auto& [name, part] : v.parts) {
    auto [schema, p] = connect_parts(part);
    if (tells_schema(part) || (part.what != value::null && inner == plain("string"))) inner = schema;
    if (v.what == value::list) payload.push_back(p);
    else payload[name] = p;
  }
  auto schema = plain(v.what == value::list ? "array" : "map");
  schema[v.what == value::list ? "items" : "values"] = inner;
  if (v.what == value::map) schema["keys"] = plain("string");
  return {schema, payload};
}

std::pair<ordered_json, ordered_json> connect_parts(const value& v) {
  switch (v.what) {
  case value::missing:
  case value::null: return {plain("string"), nullptr};
  case value::boolean: return {plain("boolean"), v.number != 0};
  case value::integer:
    if (const auto n = as_int64(v.text_)) return {plain("int64"), *n};
    return connect_decimal(v);
  case value::decimal: return connect_decimal(v);
  case value::real:
    if (std::isfinite(v.real_)) return {plain("double"), v.real_};
    return {plain("double"), std::isnan(v.real_) ? "NaN" : v.real_ < 0 ? "-Infinity" : "Infinity"};
  case value::text: return {plain("string"), v.text_};
  case value::bytes: return {plain("bytes"), to_base64(v.text_)};
  case value::uuid: return {logical("string", "io.debezium.data.Uuid"), v.text_};
  case value::symbol: return {logical("string", "io.debezium.data.Enum"), v.text_};
  case value::date:
  case value::time:
  case value::timestamp: return connect_moment(v);
  default: return connect_container(v);
  }
}

} // namespace

written write_connect(const value& v) {
  ordered_json fields = ordered_json::array(), payload = ordered_json::object();
  if (v.what != value::missing) {
    auto [schema, p] = connect_parts(v);
    schema["field"] = "c";
    fields.push_back(schema);
    payload["c"] = p;
  }
  auto other = plain("string");
  other["field"] = "other";
  fields.push_back(other);
  payload["other"] = "x";
  const ordered_json record = {{"schema", {{"type", "struct"}, {"fields", fields}, {"optional", false}}},
                               {"payload", payload}};
  written w;
  w.record = record.dump(-1, ' ', false, ordered_json::error_handler_t::strict);
  return w;
}

// -- Avro -------------------------------------------------------------------------------------------------------------

namespace {

void append_long(std::int64_t v, std::string& out) {
  auto raw = static_cast<std::uint64_t>(v) << 1 ^ static_cast<std::uint64_t>(v >> 63);
  for (; raw >= 0x80; raw >>= 7) out += static_cast<char>(raw | 0x80);
  out += static_cast<char>(raw);
}

std::string avro_text(const std::string& bytes) {
  std::string out;
  append_long(static_cast<std::int64_t>(bytes.size()), out);
  return out + bytes;
}

std::string avro_long(std::int64_t v) {
  std::string out;
  append_long(v, out);
  return out;
}

ordered_json annotated(const char* type, const char* logical_type) {
  return {{"type", type}, {"logicalType", logical_type}};
}

// The schema of a value and its bytes. `names` numbers the records and enums.
std::pair<ordered_json, std::string> avro_parts(const value& v, int& names);

std::pair<ordered_json, std::string> avro_decimal(const value& v) {
  int scale = 0;
  const auto bytes = unscaled(v.text_, scale);
  constexpr std::int64_t precision_max = 76; // of ClickHouse's Decimal
  const auto digits = std::count_if(v.text_.begin(), v.text_.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (bytes.empty() || digits > precision_max) return {"string", avro_text(v.text_)};
  auto schema = annotated("bytes", "decimal");
  schema["precision"] = precision_max;
  schema["scale"] = scale;
  return {schema, avro_text(bytes)};
}

std::pair<ordered_json, std::string> avro_moment(const value& v) {
  if (v.what == value::date) return {annotated("int", "date"), avro_long(v.number)};
  const std::string unit = v.scale > 6 ? "nanos" : v.scale > 3 || v.what == value::time ? "micros" : "millis";
  if (v.what == value::time && v.scale > 6) return {"string", avro_text(v.text_)}; // Avro has no such time
  std::int64_t ticks = v.number;
  for (int s = v.scale; s < (unit == "nanos" ? 9 : unit == "micros" ? 6 : 3); ++s) ticks *= 10;
  return {annotated("long", ((v.what == value::time ? "time-" : "timestamp-") + unit).c_str()), avro_long(ticks)};
}

std::pair<ordered_json, std::string> avro_symbol(const value& v, int& names) {
  ordered_json symbols = ordered_json::array();
  std::int64_t at = -1;
  for (const auto& [name, number] : v.members) {
    if (name == v.text_) at = static_cast<std::int64_t>(symbols.size());
    symbols.push_back(name);
  }
  return {{{"type", "enum"}, {"name", "e" + std::to_string(++names)}, {"symbols", symbols}}, avro_long(at)};
}

std::pair<ordered_json, std::string> avro_container(const value& v, int& names) {
  std::string bytes;
  if (v.what == value::record) {
    auto fields = ordered_json::array();
    const auto name = "r" + std::to_string(++names);
    for (const auto& [field, part] : v.parts) {
      auto [schema, b] = avro_parts(part, names);
      fields.push_back({{"name", field}, {"type", schema}});
      bytes += b;
    }
    return {{{"type", "record"}, {"name", name}, {"fields", fields}}, bytes};
  }
  ordered_json inner = "string";
  bool nulls = false;
  for (const auto& [key, part] : v.parts) nulls |= part.what == value::null;
  if (!v.parts.empty()) append_long(static_cast<std::int64_t>(v.parts.size()), bytes);
  for (const auto& [key, part] : v.parts) {
    if (v.what == value::map) bytes += avro_text(key);
    int inner_names = names; // all elements have one schema
    auto [schema, b] = avro_parts(part, inner_names);
    if (part.what == value::null) {
      append_long(0, bytes);
      continue;
    }
    if (tells_schema(part) || inner == "string") inner = schema;
    if (nulls) append_long(1, bytes);
    bytes += b;
  }
  names += 20;
  append_long(0, bytes);
  if (nulls) inner = ordered_json::array({"null", inner});
  if (v.what == value::list) return {{{"type", "array"}, {"items", inner}}, bytes};
  return {{{"type", "map"}, {"values", inner}}, bytes};
}

std::pair<ordered_json, std::string> avro_parts(const value& v, int& names) {
  switch (v.what) {
  case value::missing:
  case value::null: return {ordered_json::array({"null", "string"}), avro_long(0)};
  case value::boolean: return {"boolean", std::string(1, static_cast<char>(v.number))};
  case value::integer:
    if (const auto n = as_int64(v.text_)) return {"long", avro_long(*n)};
    return avro_decimal(v);
  case value::decimal: return avro_decimal(v);
  case value::real: return {"double", std::string(reinterpret_cast<const char*>(&v.real_), sizeof v.real_)};
  case value::text: return {"string", avro_text(v.text_)};
  case value::bytes: return {"bytes", avro_text(v.text_)};
  case value::uuid: return {annotated("string", "uuid"), avro_text(v.text_)};
  case value::symbol: return avro_symbol(v, names);
  case value::date:
  case value::time:
  case value::timestamp: return avro_moment(v);
  default: return avro_container(v, names);
  }
}

} // namespace

written write_avro(const value& v) {
  auto fields = ordered_json::array();
  std::string bytes;
  if (v.what != value::missing) {
    int names = 0;
    auto [schema, b] = avro_parts(v, names);
    fields.push_back({{"name", "c"}, {"type", schema}});
    bytes = b;
  }
  fields.push_back({{"name", "other"}, {"type", "string"}});
  const ordered_json schema = {{"type", "record"}, {"name", "r"}, {"fields", fields}};
  written w;
  w.record = bytes + avro_text("x");
  w.options.avro = {schema_framing::none, {schema.dump()}, ""};
  return w;
}

// -- Protobuf ---------------------------------------------------------------------------------------------------------

namespace {

void append_varint(std::uint64_t v, std::string& out) {
  for (; v >= 0x80; v >>= 7) out += static_cast<char>(v | 0x80);
  out += static_cast<char>(v);
}

std::string tagged(int number, int wire, const std::string& content) {
  std::string out;
  append_varint(static_cast<std::uint64_t>(number) << 3 | static_cast<unsigned>(wire), out);
  return out + content;
}
std::string delimited(const std::string& content) {
  std::string out;
  append_varint(content.size(), out);
  return out + content;
}
std::string varint(std::uint64_t v) {
  std::string out;
  append_varint(v, out);
  return out;
}
std::string message_of(int number, const std::string& content) { return tagged(number, 2, delimited(content)); }

// The type of a field, what its schema needs besides, and the field's value on the wire without its tag.
struct proto_part {
  std::string type;
  int wire = 2;
  std::string content;
};

class proto_writer {
public:
  proto_part part(const value& v);
  std::string field(const std::string& name, int number, const value& v); // the declaration; content goes to bytes
  std::string bytes, declarations;
  bool decimals = false;

private:
  proto_part moment(const value& v);
  proto_part decimal(const value& v);
  proto_part symbol(const value& v);
  proto_part record(const value& v);
  static std::string any_value(const value& v);
  static std::string any_list(const value& v);
  static std::string any_struct(const value& v);
  int names_ = 0;
};

// google.protobuf.Value and what it is made of: where repeated fields and maps cannot say it.
std::string proto_writer::any_value(const value& v) {
  switch (v.what) {
  case value::missing:
  case value::null: return tagged(1, 0, varint(0));
  case value::boolean: return tagged(4, 0, varint(static_cast<std::uint64_t>(v.number)));
  case value::integer:
  case value::decimal:
  case value::real: {
    const double d = v.what == value::real ? v.real_ : std::stod(v.text_);
    return tagged(2, 1, std::string(reinterpret_cast<const char*>(&d), sizeof d));
  }
  case value::list: return message_of(6, any_list(v));
  case value::map:
  case value::record: return message_of(5, any_struct(v));
  default: return message_of(3, v.text_);
  }
}
std::string proto_writer::any_list(const value& v) {
  std::string out;
  for (const auto& [name, part] : v.parts) out += message_of(1, any_value(part));
  return out;
}
std::string proto_writer::any_struct(const value& v) {
  std::string out;
  for (const auto& [name, part] : v.parts) out += message_of(1, message_of(1, name) + message_of(2, any_value(part)));
  return out;
}

proto_part proto_writer::decimal(const value& v) {
  int scale = 0;
  const auto b = unscaled(v.text_, scale);
  if (b.empty()) return {"string", 2, delimited(v.text_)};
  decimals = true;
  return {"confluent.type.Decimal", 2,
          delimited(message_of(1, b) + tagged(3, 0, varint(static_cast<std::uint64_t>(scale))))};
}

proto_part proto_writer::moment(const value& v) {
  if (v.what == value::date) return {"string", 2, delimited(v.text_)}; // Protobuf has no date
  std::int64_t unit = 1, nano = 1;
  for (int s = 0; s < v.scale; ++s) unit *= 10;
  for (int s = v.scale; s < 9; ++s) nano *= 10;
  std::int64_t seconds = v.number / unit, rest = v.number % unit;
  if (v.what == value::timestamp && rest < 0) seconds -= 1, rest += unit;
  const auto content = tagged(1, 0, varint(static_cast<std::uint64_t>(seconds))) +
                       tagged(2, 0, varint(static_cast<std::uint64_t>(rest * nano)));
  return {v.what == value::time ? "google.protobuf.Duration" : "google.protobuf.Timestamp", 2, delimited(content)};
}

proto_part proto_writer::symbol(const value& v) {
  const auto name = "E" + std::to_string(++names_);
  std::string all;
  int number = 0;
  for (const auto& [member, n] : v.members) {
    all += " " + member + " = " + std::to_string(n) + ";";
    if (member == v.text_) number = n;
  }
  declarations += "message W" + name + " { enum " + name + " {" + all + " } }\n"; // members are scoped by it
  return {"W" + name + "." + name, 0, varint(static_cast<std::uint64_t>(static_cast<std::int64_t>(number)))};
}

proto_part proto_writer::record(const value& v) {
  const auto name = "R" + std::to_string(++names_);
  std::string outer;
  outer.swap(bytes);
  std::string fields;
  int number = 0;
  for (const auto& [field_name, part] : v.parts) fields += field(field_name, ++number, part);
  outer.swap(bytes);
  declarations += "message " + name + " { " + fields + "}\n";
  return {name, 2, delimited(outer)};
}

proto_part proto_writer::part(const value& v) {
  switch (v.what) {
  case value::missing:
  case value::null: return {"string", 2, ""};
  case value::boolean: return {"bool", 0, varint(static_cast<std::uint64_t>(v.number))};
  case value::integer: {
    if (const auto n = as_int64(v.text_)) return {"int64", 0, varint(static_cast<std::uint64_t>(*n))};
    try {
      std::size_t used = 0;
      const auto n = std::stoull(v.text_, &used);
      if (v.text_[0] != '-' && used == v.text_.size()) return {"uint64", 0, varint(n)};
    } catch (const std::out_of_range&) {
    }
    return decimal(v);
  }
  case value::decimal: return decimal(v);
  case value::real: return {"double", 1, std::string(reinterpret_cast<const char*>(&v.real_), sizeof v.real_)};
  case value::bytes: return {"bytes", 2, delimited(v.text_)};
  case value::text:
  case value::uuid: return {"string", 2, delimited(v.text_)};
  case value::symbol: return symbol(v);
  case value::date:
  case value::time:
  case value::timestamp: return moment(v);
  case value::list: return {"google.protobuf.ListValue", 2, delimited(any_list(v))};
  case value::map: return {"google.protobuf.Struct", 2, delimited(any_struct(v))};
  default: return record(v);
  }
}

// Whether a repeated field or a map can hold these: none is null, and none is a list or a map.
bool alike(const value& v) {
  return std::all_of(v.parts.begin(), v.parts.end(), [](const auto& p) {
    return p.second.what != value::null && p.second.what != value::list && p.second.what != value::map;
  });
}

std::string proto_writer::field(const std::string& name, int number, const value& v) {
  const auto end = " " + name + " = " + std::to_string(number) + "; ";
  const bool many = (v.what == value::list || v.what == value::map) && alike(v);
  if (!many) {
    const auto p = part(v);
    if (v.what != value::null) bytes += tagged(number, p.wire, p.content);
    return "optional " + p.type + end;
  }
  std::string type = "string";
  const int names = names_;
  const auto declared = declarations;
  for (const auto& [key, element] : v.parts) {
    names_ = names; // all elements have one type
    declarations = declared;
    const auto p = part(element);
    type = p.type;
    if (v.what == value::list) bytes += tagged(number, p.wire, p.content);
    else bytes += message_of(number, message_of(1, key) + tagged(2, p.wire, p.content));
  }
  return (v.what == value::list ? "repeated " + type : "map<string, " + type + ">") + end;
}

} // namespace

written write_protobuf(const value& v) {
  proto_writer p;
  std::string fields;
  if (v.what != value::missing) fields = p.field("c", 1, v);
  fields += "string other = 2; ";
  std::string schema = "syntax = \"proto3\";\n";
  for (const char* import : {"timestamp", "duration", "struct"})
    schema += "import \"google/protobuf/" + std::string(import) + ".proto\";\n";
  if (p.decimals) schema += "import \"confluent/type/decimal.proto\";\n";
  written w;
  w.record = p.bytes + message_of(2, "x");
  w.options.protobuf = {schema_framing::none, schema + p.declarations + "message M { " + fields + "}\n", "M"};
  return w;
}

} // namespace chute::test
