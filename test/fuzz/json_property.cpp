#include "json_property.hpp"

#include "formats/encoder.hpp"
#include "formats/json.hpp"

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

std::unique_ptr<decoder> make() {
  std::vector<target_column> targets;
  for (const auto& c : columns)
    targets.push_back({{c.name, *parse_type(c.type), *c.expression ? "DEFAULT" : "", c.expression},
                       {column_source::from::field, c.path},
                       nullptr});
  decoder_options options;
  options.record_bytes_max = 1u << 20;
  auto d = make_json_decoder(std::move(targets), options);
  if (!d) fail(d.failure().text());
  return std::move(*d);
}

std::vector<std::string_view> parts_of(std::string_view input) {
  std::vector<std::string_view> out;
  for (;;) {
    const auto end = input.find('\x1e');
    out.push_back(input.substr(0, end));
    if (end == input.npos) return out;
    input.remove_prefix(end + 1);
  }
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

std::string block_of(const std::shared_ptr<chunk>& c) {
  if (c->rows.rows == 0) return "";
  auto b = encode_native(std::vector<chunk_rows>{{c, 0, c->rows.rows}});
  if (!b) fail(b.failure().text());
  std::string out;
  for (const auto& p : b->pieces) out += p;
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
  std::size_t rows = 0;
  for (const auto o : c.outcomes) rows += o == outcome::row;
  must(c.rows.rows == rows && c.dead.size() == records - rows, "a row or a dead letter");
  for (const auto& column : c.rows.columns) {
    must(column.rows == rows, "rows of a column");
    check_in_step(column);
  }
  for (const auto& d : c.dead) must(!d.error.empty(), "a reason");
}

} // namespace

void check_json_property(std::string_view input) {
  static const auto reused = make();
  const auto values = parts_of(input);
  const auto together = decode(*reused, values, values.size());
  check(*together, values.size());
  // Alone, in a decoder that has seen nothing.
  const auto alone = decode(*make(), values, 1);
  check(*alone, values.size());
  must(together->outcomes == alone->outcomes, "neighbours changed an outcome");
  must(block_of(together) == block_of(alone), "neighbours changed a value");
  for (std::size_t i = 0; i < alone->dead.size(); ++i)
    must(together->dead[i].error == alone->dead[i].error, "neighbours changed a reason");
}

} // namespace chute::test
