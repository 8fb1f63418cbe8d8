#include "property.hpp"

#include "formats/avro_schema.hpp"
#include "formats/encoder.hpp"
#include "formats/passthrough.hpp"
#include "formats/protobuf_schema.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace chute::test {
namespace {

struct no_headers : header_source {
  void headers(const record_view&, std::vector<header_view>&) const override {}
};

[[noreturn]] void fail(const std::string& what) { throw std::logic_error(what); }
void must(bool holds, const char* what) {
  if (!holds) fail(what);
}

struct named_type {
  const char *name, *type, *path, *expression;
};

// Short names, so that the fuzzer finds them.
constexpr named_type columns[] = {
    {"a", "UInt8", "a", ""},
    {"b", "Int64", "b", "7"},
    {"c", "Int256", "c", ""},
    {"d", "Float64", "d", ""},
    {"e", "Decimal(38, 10)", "e", ""},
    {"f", "Bool", "f", ""},
    {"g", "String", "g", ""},
    {"h", "Nullable(FixedString(3))", "h", ""},
    {"i", "UUID", "i", ""},
    {"j", "Date32", "j", ""},
    {"k", "DateTime('Europe/Berlin')", "k", ""},
    {"l", "DateTime64(3)", "l", "now64()"},
    {"m", "Time64(3)", "m", ""},
    {"n", "Enum8('a' = 1, '2' = 3)", "n", ""},
    {"o", "IPv6", "o", ""},
    {"p", "Array(Nullable(String))", "p", ""},
    {"q", "Tuple(a UInt8, b Array(String))", "q", ""},
    {"r", "Map(String, Array(Float32))", "r", ""},
    {"s", "Map(UInt16, Bool)", "s", ""},
    {"t", "Variant(UInt8, Date, String, Array(Int64), Map(String, UInt8))", "t", ""},
    {"u", "Dynamic", "u", ""},
    {"v", "JSON(a UInt8, b.c Array(JSON), d Dynamic)", "v", ""},
    {"w", "Nested(a UInt8, b String)", "w", ""},
    {"x.a", "Array(UInt8)", "x.a", ""},
    {"x.b", "Array(Nullable(String))", "x.b", ""},
    {"y", "UInt8", "y.z.a", ""},
    {"z", "String", "y.z", ""},
    {"G", "Geometry", "G", ""},
};

std::vector<target_column> fixed_columns() {
  std::vector<target_column> targets;
  for (const auto& c : columns)
    targets.push_back({{c.name, *parse_type(c.type), *c.expression ? "DEFAULT" : "", c.expression},
                       {column_source::from::field, c.path},
                       nullptr});
  return targets;
}

// Columns of all kinds for the fields that a schema names; a few fields have none.
std::vector<target_column> columns_for(const std::vector<std::string>& fields, unsigned choice) {
  std::vector<target_column> targets;
  constexpr std::size_t count = std::size(columns), fields_max = 40;
  for (std::size_t i = 0; i < fields.size() && i < fields_max; ++i) {
    const auto& c = columns[(choice + i * 5) % count];
    if ((choice + i) % 7 == 6 && i) continue;
    targets.push_back({{"c" + std::to_string(i), *parse_type(c.type), *c.expression ? "DEFAULT" : "", c.expression},
                       {column_source::from::field, fields[i]},
                       nullptr});
  }
  return targets;
}

// A decoder as an input asks for it.
struct wanted_decoder {
  std::string format;
  std::vector<target_column> targets;
  decoder_options options;

  // Null: there is none, for a reason that the input gives.
  std::unique_ptr<decoder> make() const {
    auto d = make_decoder(format, targets, options);
    if (d) return std::move(*d);
    must(!d.failure().text().empty(), "a reason");
    return nullptr;
  }
};

std::vector<std::string_view> parts_of(std::string_view input, std::string_view separator) {
  std::vector<std::string_view> out;
  for (;;) {
    const auto end = input.find(separator);
    out.push_back(input.substr(0, end));
    if (end == input.npos) return out;
    input.remove_prefix(end + separator.size());
  }
}

unsigned take_choice(std::string_view& input) {
  if (input.empty()) return 0;
  const auto choice = static_cast<unsigned char>(input[0]);
  input.remove_prefix(1);
  return choice;
}

std::vector<std::string> avro_fields(const std::string& schema) {
  std::vector<std::string> out;
  if (const auto t = avro::parse_schema(std::string_view(schema)))
    for (const auto& f : (*t)->fields) out.push_back(f.name);
  return out;
}

std::vector<std::string> protobuf_fields(const std::string& schema) {
  std::vector<std::string> out;
  if (const auto s = proto::schema::make(schema))
    if (const auto m = (*s)->find(std::string()))
      for (const auto& f : (*m)->fields) out.push_back(f.name);
  return out;
}

std::shared_ptr<chunk> decode(decoder& d, const std::vector<std::string_view>& values, std::size_t at_once) {
  auto out = std::make_shared<chunk>();
  std::vector<record_view> records(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    records[i].offset = {static_cast<std::int64_t>(i)};
    records[i].value = values[i];
  }
  for (std::size_t i = 0; i < records.size(); i += at_once)
    d.decode({records.data() + i, std::min(at_once, records.size() - i)}, no_headers{}, *out);
  return out;
}

std::string text_of(result<body> b) {
  if (!b) fail(b.failure().text());
  std::string out;
  for (const auto& p : b->pieces) out += p;
  return out;
}

// Behind the row that `rows` begins with and its line end, read as ClickHouse does; npos: it has no end.
std::size_t json_row_end(std::string_view rows) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const char c = rows[i];
    if (c == '"') quoted = !quoted;
    else if (quoted) i += c == '\\';
    else if (c == '{' || c == '[') ++depth;
    else if ((c == '}' || c == ']') && --depth == 0) return rows.substr(i + 1, 1) == "\n" ? i + 2 : rows.npos;
  }
  return rows.npos;
}

std::size_t csv_row_end(std::string_view rows, char delimiter) {
  enum { start, plain, quoted, closed } at = start; // of a field; closed: behind a quote that may be one of two
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const char c = rows[i];
    if (at == quoted) at = c == '"' ? closed : quoted;
    else if (c == delimiter) at = start;
    else if (c == '"' && at != plain) at = quoted;
    else if (c == '\n' || c == '\r') return c == '\n' ? i + 1 : rows.npos;
    else if (at != start || (c != ' ' && c != '\t')) at = plain;
  }
  return rows.npos;
}

std::size_t line_end(std::string_view rows) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i] == '\n') return i + 1;
    else if (rows[i] == '\\') ++i; // takes what follows into the field, line ends too
  return rows.npos;
}

std::size_t row_end(const passthrough_config& config, std::string_view rows) {
  if (config.format.starts_with("JSON")) return json_row_end(rows);
  return config.format == "CSV" ? csv_row_end(rows, config.delimiter) : line_end(rows);
}

// The body that ClickHouse reads itself: it finds in it the rows that chute put there, and no others.
std::string passthrough_body(const std::shared_ptr<chunk>& c, const passthrough_config& config) {
  const auto whole = text_of(encode_passthrough(config, std::vector<chunk_rows>{{c, 0, c->rows.rows}}));
  std::string_view rest = whole;
  for (std::size_t i = 0; i < c->rows.rows; ++i) {
    const auto one = text_of(encode_passthrough(config, std::vector<chunk_rows>{{c, i, 1}}));
    must(rest.starts_with(one), "a row is the same in the middle of others");
    must(row_end(config, rest) == one.size(), "a value is one row");
    rest.remove_prefix(one.size());
  }
  must(rest.empty(), "as many rows as records");
  return whole;
}

// A value that is taken goes out as it came, but for what stands around its row.
void check_passed_on(const passthrough_config& config, const chunk& c, const std::vector<std::string_view>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    auto row = values[i];
    const bool taken = take_row(config, row) == nullptr;
    must(taken == (c.outcomes[i] == outcome::row), "an outcome is the row's");
    if (!taken) continue;
    must(values[i].find(row) != values[i].npos, "a row is a part of its value");
    auto again = row;
    must(take_row(config, again) == nullptr && again == row, "a row is a row");
  }
}

// The bodies of the insert in every encoding that takes these columns.
std::string bodies_of(const std::shared_ptr<chunk>& c, const wanted_decoder& how) {
  if (c->rows.rows == 0) return "";
  if (how.format == "passthrough") return passthrough_body(c, how.options.passthrough);
  std::string out;
  for (const std::string encoding : {"native", "row_binary", "json_each_row"})
    if (can_encode(encoding, how.targets))
      out += text_of(encode(encoding, std::vector<chunk_rows>{{c, 0, c->rows.rows}}, how.targets));
  return out;
}

void check_in_step(const column& c) {
  switch (c.form) {
  case layout::fixed: must(c.data.size() == c.rows * c.width, "bytes of a fixed column"); break;
  case layout::text: break;
  case layout::array: {
    must(c.data.size() == c.rows * 8, "counts of an array");
    std::uint64_t last = 0;
    if (c.rows) std::memcpy(&last, c.data.data() + (c.rows - 1) * 8, 8);
    must(c.children[0].rows == last, "elements of an array");
    break;
  }
  case layout::tuple:
    for (const auto& child : c.children) must(child.rows == c.rows, "rows of a tuple's element");
    break;
  case layout::nullable:
    must(c.data.empty() || c.data.size() == c.rows, "nulls");
    must(c.children[0].rows == c.rows, "rows of a nullable");
    break;
  case layout::variant: {
    must(c.data.size() == c.rows, "numbers of a variant");
    std::vector<std::size_t> counts(c.children.size());
    for (std::size_t i = 0; i < c.rows; ++i)
      if (const auto which = static_cast<unsigned char>(c.data.data()[i]); which < counts.size()) ++counts[which];
      else must(which == 255, "a number of a variant");
    for (std::size_t i = 0; i < counts.size(); ++i) must(c.children[i].rows == counts[i], "rows of an alternative");
    break;
  }
  }
  for (const auto& child : c.children) check_in_step(child);
}

void check(const chunk& c, std::size_t records) {
  must(c.outcomes.size() == records && c.offsets.size() == records && c.hashes.size() == records,
       "one outcome a record");
  std::size_t rows = 0, dropped = 0;
  for (const auto o : c.outcomes) rows += o == outcome::row, dropped += o == outcome::dropped;
  must(c.rows.rows == rows && c.dead.size() == records - rows - dropped, "a row or a dead letter");
  for (const auto& column : c.rows.columns) {
    must(column.rows == rows, "rows of a column");
    check_in_step(column);
  }
  for (const auto& d : c.dead) must(!d.error.empty(), "a reason");
}

// Decoders of one kind that are used again for one input after another.
struct used_decoders {
  wanted_decoder how;
  std::unique_ptr<decoder> together, alone; // null: there is none
};

used_decoders make_used(wanted_decoder w) {
  auto one = w.make(), other = w.make();
  return {std::move(w), std::move(one), std::move(other)};
}

void check_records(used_decoders& d, const std::vector<std::string_view>& values) {
  if (!d.together) return;
  const auto together = decode(*d.together, values, values.size());
  check(*together, values.size());
  if (d.how.format == "passthrough") check_passed_on(d.how.options.passthrough, *together, values);
  // Alone; for some inputs in a decoder that has seen nothing.
  constexpr std::size_t fresh_one_in = 64; // making one takes longer than the records
  std::size_t sum = 0;
  for (const auto v : values) sum += v.size() + (v.empty() ? 0 : static_cast<unsigned char>(v.back()));
  const auto fresh = sum % fresh_one_in == 0 ? d.how.make() : nullptr;
  const auto alone = decode(fresh ? *fresh : *d.alone, values, 1);
  check(*alone, values.size());
  must(together->outcomes == alone->outcomes, "neighbours changed an outcome");
  must(bodies_of(together, d.how) == bodies_of(alone, d.how), "neighbours changed a value");
  for (std::size_t i = 0; i < alone->dead.size(); ++i)
    must(together->dead[i].error == alone->dead[i].error, "neighbours changed a reason");
}

// Two decoders that must make the same of every record.
void check_same(const wanted_decoder& a, const wanted_decoder& b, const std::vector<std::string_view>& values) {
  const auto first = a.make(), second = b.make();
  if (!first || !second) return;
  const auto one = decode(*first, values, values.size()), other = decode(*second, values, values.size());
  must(one->outcomes == other->outcomes, "the short way changed an outcome");
  must(bodies_of(one, a) == bodies_of(other, b), "the short way changed a value");
  for (std::size_t i = 0; i < one->dead.size(); ++i)
    must(one->dead[i].error == other->dead[i].error, "the short way changed a reason");
}

wanted_decoder with_fixed_columns(const std::string& format) {
  wanted_decoder w{format, fixed_columns(), {}};
  w.options.record_bytes_max = 1u << 20;
  return w;
}

void check_json(const std::string& format, std::string_view input) {
  static auto json = make_used(with_fixed_columns("json")), connect = make_used(with_fixed_columns("connect_json"));
  check_records(format == "json" ? json : connect, parts_of(input, "\x1e"));
}

constexpr std::string_view binary_separator = "\x1e\x1e\x1e";

// Schema and records.
void check_with_schema(const std::string& target, std::string_view input) {
  const auto choice = take_choice(input);
  auto parts = parts_of(input, binary_separator);
  const std::string schema(parts[0]);
  parts.erase(parts.begin());
  wanted_decoder w{target == "protobuf" ? "protobuf" : "avro", {}, {}};
  if (target == "protobuf") {
    w.options.protobuf = {schema_framing::none, schema, ""};
    w.targets = columns_for(protobuf_fields(schema), choice);
  } else {
    w.options.avro = {target == "avro" ? schema_framing::none : schema_framing::single_object, {schema}, ""};
    w.targets = columns_for(avro_fields(schema), choice);
    // Seen through the writer's own schema, every value goes through datums.
    auto long_way = w;
    long_way.options.avro.reader_schema = schema;
    if (target == "avro") check_same(w, long_way, parts);
    else if (choice & 0x80) w = long_way;
  }
  auto used = make_used(std::move(w));
  check_records(used, parts);
}

wanted_decoder delimited_decoder(const std::string& format, unsigned choice) {
  auto w = with_fixed_columns(format);
  constexpr csv_header headers[] = {csv_header::none, csv_header::record, csv_header::skip};
  w.options.csv.header = headers[choice % 3];
  if (choice & 0x40) w.options.csv.null_text = "NULL";
  if (w.options.csv.header == csv_header::record) return w;
  // A line of a few fields, any of the columns.
  constexpr std::size_t at_once = 6;
  std::vector<target_column> few;
  for (std::size_t i = 0; i < at_once; ++i) few.push_back(w.targets[(choice + i * 5) % w.targets.size()]);
  std::sort(few.begin(), few.end(), [](const auto& a, const auto& b) { return a.column.name < b.column.name; });
  w.targets = std::move(few);
  return w;
}

wanted_decoder raw_decoder_for(unsigned choice) { return {"raw", {fixed_columns()[choice % std::size(columns)]}, {}}; }

wanted_decoder passthrough_decoder_for(unsigned choice) {
  static const std::string formats[] = {"JSONEachRow", "JSONCompactEachRow", "CSV", "TabSeparated", "TSKV"};
  constexpr char delimiters[] = {',', ';', '|', '\t', ' '};
  const auto known = [](const char* name, const char* type, const char* what) {
    return target_column{{name, *parse_type(type), "", ""}, {column_source::from::meta, what}, nullptr};
  };
  wanted_decoder w{"passthrough", {fixed_columns()[0], known("_topic", "LowCardinality(String)", "topic")}, {}};
  if (choice & 0x40) w.targets.push_back(known("_key", "Nullable(String)", "key"));
  w.options.topic = "t,;\t\"\\";
  w.options.record_bytes_max = 1u << 20;
  w.options.passthrough = {formats[choice % std::size(formats)],
                           delimiters[choice / std::size(formats) % std::size(delimiters)]};
  return w;
}

wanted_decoder chosen_decoder(const std::string& format, unsigned choice) {
  if (format == "passthrough") return passthrough_decoder_for(choice);
  return format == "raw" ? raw_decoder_for(choice) : delimited_decoder(format, choice);
}

// Formats whose decoders only the first byte chooses.
void check_chosen(const std::string& format, std::string_view input) {
  static std::map<std::pair<std::string, unsigned>, used_decoders> known;
  const auto choice = take_choice(input);
  auto at = known.find({format, choice});
  if (at == known.end()) at = known.emplace(std::pair(format, choice), make_used(chosen_decoder(format, choice))).first;
  check_records(at->second, parts_of(input, format == "raw" ? binary_separator : "\x1e"));
}

} // namespace

const std::vector<std::string>& fuzz_targets() {
  static const std::vector<std::string> all = {"json", "connect_json", "avro", "avro_object", "protobuf",
                                               "csv",  "tsv",          "raw",  "passthrough"};
  return all;
}

void check_property(const std::string& target, std::string_view input) {
  if (target == "json" || target == "connect_json") check_json(target, input);
  else if (target.starts_with("avro") || target == "protobuf") check_with_schema(target, input);
  else check_chosen(target, input);
}

} // namespace chute::test
