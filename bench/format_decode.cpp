// bench-formats: what decoding the same orders costs in each format, beside the least that reading it costs with the
// format's own library, or with a loop written by hand where chute has no library for it:
//   json          simdjson On-Demand over every value          connect_json  the same, over the payload
//   avro          a loop over the encoding                     protobuf      libprotobuf's parser into an arena
//   csv, tsv      a loop that finds the ends of the fields     raw           the length of the value
// The floors make no columns. All read from memory, take turns, and the medians of CPU time are compared.
//
//   bench-formats [records in millions, 1] [rounds, 5] [format…]
#include "orders.hpp"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <google/protobuf/arena.h>
#include <google/protobuf/compiler/parser.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <map>
#include <memory>
#include <simdjson.h>

namespace chute::bench {
namespace {

namespace pb = google::protobuf;

std::int64_t milliseconds_of(const order& o) {
  const std::chrono::year_month_day day{std::chrono::year(2026), std::chrono::month(static_cast<unsigned>(o.month)),
                                        std::chrono::day(static_cast<unsigned>(o.day))};
  const std::int64_t days = std::chrono::sys_days(day).time_since_epoch().count();
  return (((days * 24 + o.hour) * 60 + o.minute) * 60 + o.second) * 1000 + o.milli;
}

// -- writing --------------------------------------------------------------------------------------------------------

const char* const avro_schema = R"({"type": "record", "name": "order", "fields": [
  {"name": "id", "type": "long"}, {"name": "ordered_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "customer", "type": "int"}, {"name": "status", "type": "string"}, {"name": "note", "type": ["null", "string"]},
  {"name": "quantity", "type": "int"}, {"name": "price", "type": "double"}, {"name": "country", "type": "string"},
  {"name": "tags", "type": {"type": "array", "items": "string"}}, {"name": "product", "type": "string"},
  {"name": "attributes", "type": {"type": "map", "values": "string"}}]})";

void put_varint(std::uint64_t v, std::string& out) {
  for (; v >= 0x80; v >>= 7) out += static_cast<char>(v | 0x80);
  out += static_cast<char>(v);
}
void put_long(std::int64_t v, std::string& out) {
  put_varint(static_cast<std::uint64_t>(v) << 1 ^ static_cast<std::uint64_t>(v >> 63), out);
}
void put_text(const std::string& s, std::string& out) {
  put_long(static_cast<std::int64_t>(s.size()), out);
  out += s;
}
void put_double(double v, std::string& out) { out.append(reinterpret_cast<const char*>(&v), sizeof v); }

std::string as_avro(const order& o) {
  std::string v;
  put_long(static_cast<std::int64_t>(o.id), v);
  put_long(milliseconds_of(o), v);
  put_long(o.customer, v);
  put_text(o.status, v);
  put_long(o.noted, v);
  if (o.noted) put_text(o.note, v);
  put_long(o.quantity, v);
  put_double(o.cents / 100.0, v);
  put_text(o.country, v);
  if (!o.tags.empty()) put_long(static_cast<std::int64_t>(o.tags.size()), v);
  for (const auto& t : o.tags) put_text(t, v);
  put_long(0, v);
  put_text(o.product, v);
  if (!o.campaign.empty()) {
    put_long(2, v);
    for (const auto& s : {std::string("channel"), std::string("web"), std::string("campaign"), o.campaign})
      put_text(s, v);
  }
  put_long(0, v);
  return v;
}

const char* const proto_schema = R"(syntax = "proto3"; import "google/protobuf/timestamp.proto"; message order {
  uint64 id = 1; google.protobuf.Timestamp ordered_at = 2; uint32 customer = 3; string status = 4;
  optional string note = 5; uint32 quantity = 6; double price = 7; string country = 8; repeated string tags = 9;
  string product = 10; map<string, string> attributes = 11; })";

void put_field(int number, const std::string& s, std::string& out) {
  put_varint(static_cast<std::uint64_t>(number) << 3 | 2, out);
  put_varint(s.size(), out);
  out += s;
}
void put_field(int number, std::uint64_t v, std::string& out) {
  put_varint(static_cast<std::uint64_t>(number) << 3, out);
  put_varint(v, out);
}

std::string as_protobuf(const order& o) {
  std::string v, moment;
  put_field(1, std::uint64_t{o.id}, v);
  put_field(1, static_cast<std::uint64_t>(milliseconds_of(o) / 1000), moment);
  put_field(2, static_cast<std::uint64_t>(o.milli) * 1'000'000, moment);
  put_field(2, moment, v);
  put_field(3, static_cast<std::uint64_t>(o.customer), v);
  put_field(4, o.status, v);
  if (o.noted) put_field(5, o.note, v);
  put_field(6, static_cast<std::uint64_t>(o.quantity), v);
  v += static_cast<char>(7 << 3 | 1);
  put_double(o.cents / 100.0, v);
  put_field(8, o.country, v);
  for (const auto& t : o.tags) put_field(9, t, v);
  put_field(10, o.product, v);
  if (!o.campaign.empty())
    for (const auto& [key, value] : {std::pair(std::string("channel"), std::string("web")), {"campaign", o.campaign}}) {
      std::string entry;
      put_field(1, key, entry);
      put_field(2, value, entry);
      put_field(11, entry, v);
    }
  return v;
}

std::string as_connect(const order& o) {
  static const std::string schema = [] {
    const auto field = [](const char* name, const std::string& rest, bool optional = false) {
      return R"({"field":")" + std::string(name) + R"(","optional":)" + (optional ? "true" : "false") + "," + rest +
             "},";
    };
    const std::string text = R"("type":"string")", whole = R"("type":"int32")";
    std::string fields =
        field("id", R"("type":"int64")") +
        field("ordered_at", R"("type":"int64","name":"org.apache.kafka.connect.data.Timestamp","version":1)") +
        field("customer", whole) + field("status", text) + field("note", text, true) + field("quantity", whole) +
        field("price", R"("type":"double")") + field("country", text) +
        field("tags", R"("type":"array","items":{"type":"string","optional":false})") + field("product", text) +
        field("attributes", R"("type":"map","keys":{"type":"string"},"values":{"type":"string"})");
    fields.pop_back();
    return R"({"schema":{"type":"struct","optional":false,"fields":[)" + fields + R"(]},"payload":)";
  }();
  auto payload = as_json(o);
  const auto moment = "\"" + moment_of(o) + "\"";
  payload.replace(payload.find(moment), moment.size(), std::to_string(milliseconds_of(o)));
  return schema + payload + "}";
}

std::string as_delimited(const order& o, bool tabs) {
  const auto cell = [&](std::string text, bool json) {
    if (tabs) return text; // none holds a tab or a backslash but within JSON
    if (!json && text.find_first_of(",\"") == text.npos) return text;
    std::string out = "\"";
    for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
    return out + "\"";
  };
  std::string tags = "[", attributes = "{";
  for (std::size_t i = 0; i < o.tags.size(); ++i) tags += (i ? "," : "") + quoted(o.tags[i]);
  if (!o.campaign.empty()) attributes += "\"channel\":\"web\",\"campaign\":" + quoted(o.campaign);
  std::string out;
  for (const auto& [text, json] : std::vector<std::pair<std::string, bool>>{{std::to_string(o.id), false},
                                                                            {moment_of(o), false},
                                                                            {std::to_string(o.customer), false},
                                                                            {o.status, false},
                                                                            {o.noted ? o.note : "\\N", false},
                                                                            {std::to_string(o.quantity), false},
                                                                            {price_of(o), false},
                                                                            {o.country, false},
                                                                            {tags + "]", true},
                                                                            {o.product, false},
                                                                            {attributes + "}", true}})
    out += (out.empty() ? "" : tabs ? "\t" : ",") + cell(text, json);
  return out;
}

// -- the floors -----------------------------------------------------------------------------------------------------

using reader = std::function<void(std::string_view)>;

std::size_t seen = 0; // what the floors read goes here, so that none of it is optimized away

void read_json_value(simdjson::ondemand::value v) {
  switch (v.type().value()) {
  case simdjson::ondemand::json_type::object:
    for (auto f : v.get_object()) read_json_value(f.value().value());
    break;
  case simdjson::ondemand::json_type::array:
    for (auto e : v.get_array()) read_json_value(e.value());
    break;
  case simdjson::ondemand::json_type::string: seen += v.get_string().value().size(); break;
  case simdjson::ondemand::json_type::number: seen += v.get_number().value().is_double(); break;
  case simdjson::ondemand::json_type::boolean: seen += v.get_bool().value(); break;
  case simdjson::ondemand::json_type::null: seen += v.is_null().value(); break;
  }
}

reader json_floor(bool payload) {
  auto parser = std::make_shared<simdjson::ondemand::parser>();
  auto padded = std::make_shared<std::vector<char>>();
  return [=](std::string_view v) {
    if (padded->size() < v.size() + simdjson::SIMDJSON_PADDING)
      padded->resize(2 * v.size() + simdjson::SIMDJSON_PADDING);
    std::memcpy(padded->data(), v.data(), v.size());
    auto document = parser->iterate(padded->data(), v.size(), padded->size());
    for (auto f : document.get_object())
      if (!payload || f.key().value() == "payload") read_json_value(f.value().value());
  };
}

std::int64_t take_long(const char*& at) {
  std::uint64_t raw = 0;
  for (int shift = 0;; shift += 7) {
    const auto b = static_cast<unsigned char>(*at++);
    raw |= std::uint64_t{b & 0x7fu} << shift;
    if (!(b & 0x80)) return static_cast<std::int64_t>(raw >> 1 ^ (0 - (raw & 1)));
  }
}

void pass_text(const char*& at) {
  const auto n = take_long(at);
  seen += static_cast<std::size_t>(n);
  at += n;
}

void read_avro(std::string_view v) {
  const char* at = v.data();
  for (int i = 0; i < 3; ++i) seen += static_cast<std::size_t>(take_long(at));
  pass_text(at);
  if (take_long(at)) pass_text(at);
  seen += static_cast<std::size_t>(take_long(at));
  at += sizeof(double);
  pass_text(at);
  while (auto n = take_long(at))
    for (; n > 0; --n) pass_text(at);
  pass_text(at);
  while (auto n = take_long(at))
    for (; n > 0; --n) pass_text(at), pass_text(at);
}

reader protobuf_floor() {
  struct state {
    pb::DescriptorPool pool{pb::DescriptorPool::generated_pool()};
    std::unique_ptr<pb::DynamicMessageFactory> factory;
    const pb::Message* prototype = nullptr;
    std::size_t count = 0;
    std::unique_ptr<pb::Arena> arena = std::make_unique<pb::Arena>();
  };
  auto s = std::make_shared<state>();
  pb::io::ArrayInputStream stream(proto_schema, static_cast<int>(std::strlen(proto_schema)));
  pb::io::Tokenizer tokens(&stream, nullptr);
  pb::compiler::Parser parser;
  pb::FileDescriptorProto file;
  if (!parser.Parse(&tokens, &file)) std::abort();
  file.set_name("order.proto");
  const auto* built = s->pool.BuildFile(file);
  if (!built) std::abort();
  s->factory = std::make_unique<pb::DynamicMessageFactory>(&s->pool);
  s->prototype = s->factory->GetPrototype(built->message_type(0));
  return [s](std::string_view v) {
    if (++s->count % 1024 == 0) s->arena->Reset();
    auto* m = s->prototype->New(s->arena.get());
    if (!m->ParseFromArray(v.data(), static_cast<int>(v.size()))) std::abort();
    seen += m->IsInitialized();
  };
}

void read_delimited(std::string_view v, char delimiter) {
  bool inside = false;
  for (const char c : v) {
    if (c == '"') inside = !inside;
    else seen += c == delimiter && !inside;
  }
}

// -- formats, in turn -----------------------------------------------------------------------------------------------

struct contender {
  std::string format;
  record_set records;
  reader floor;
  decoder_options options;
  std::vector<double> floor_s, chute_s;
};

std::vector<contender> contenders(const std::vector<order>& orders) {
  std::vector<contender> out;
  const auto add = [&](const char* format, record_set set, reader floor) -> contender& {
    return out.emplace_back(contender{format, std::move(set), std::move(floor), {}, {}, {}});
  };
  add("json", records_of(orders, as_json), json_floor(false));
  add("connect_json", records_of(orders, as_connect), json_floor(true));
  add("avro", records_of(orders, as_avro), read_avro).options.avro = {schema_framing::none, {avro_schema}, ""};
  add("protobuf", records_of(orders, as_protobuf), protobuf_floor()).options.protobuf = {schema_framing::none,
                                                                                         proto_schema, ""};
  for (const bool tabs : {false, true})
    add(tabs ? "tsv" : "csv", records_of(orders, [&](const order& o) { return as_delimited(o, tabs); }),
        [tabs](std::string_view v) { read_delimited(v, tabs ? '\t' : ','); });
  add("raw", records_of(orders, as_json), [](std::string_view v) { seen += v.size(); });
  return out;
}

double decode_all(const contender& c, decoder& d, const std::vector<record_view>& views, std::size_t count) {
  constexpr std::size_t chunk_records = 4096;
  const double began = cpu_s();
  std::size_t rows = 0;
  for (std::size_t i = 0; i < count;) {
    const std::size_t from = i % views.size(), n = std::min({chunk_records, views.size() - from, count - i});
    chunk out;
    d.decode(std::span(views).subspan(from, n), no_headers(), out);
    rows += out.rows.rows;
    if (!out.dead.empty()) {
      std::fprintf(stderr, "%s: %s\n", c.format.c_str(), out.dead[0].error.c_str());
      std::exit(1);
    }
    i += n;
  }
  if (rows != count) std::exit(1);
  return cpu_s() - began;
}

int run(std::size_t millions, std::size_t rounds, const std::vector<std::string>& only) {
  constexpr std::size_t distinct = 50'000;
  auto all = contenders(make_orders(distinct));
  if (!only.empty())
    std::erase_if(all, [&](const auto& c) { return std::find(only.begin(), only.end(), c.format) == only.end(); });
  const std::size_t count = millions * 1'000'000;
  const double per_million = 1e6 / static_cast<double>(count);
  for (std::size_t round = 0; round < rounds; ++round)
    for (auto& c : all) {
      auto targets = order_columns();
      if (c.format == "raw") targets.resize(1), targets[0].column.type = *parse_type("String");
      auto d = make_decoder(c.format, targets, c.options);
      if (!d) return std::fprintf(stderr, "%s\n", d.failure().text().c_str()), 1;
      const auto views = c.records.views();
      const double began = cpu_s();
      for (std::size_t i = 0; i < count; ++i) c.floor(*views[i % distinct].value);
      c.floor_s.push_back((cpu_s() - began) * per_million);
      c.chute_s.push_back(decode_all(c, **d, views, count) * per_million);
    }
  std::printf("CPU seconds per million orders, medians of %zu rounds\n", rounds);
  std::printf("| format | bytes a record | floor | chute | chute over its floor | records a CPU second over json's |\n"
              "|---|---|---|---|---|---|\n");
  const double json = all[0].format == "json" ? median(all[0].chute_s) : 0;
  for (const auto& c : all)
    std::printf("| %s | %.0f | %.3f | %.3f | %.2f | %.2f |\n", c.format.c_str(),
                static_cast<double>(c.records.memory.size()) / distinct, median(c.floor_s), median(c.chute_s),
                median(c.chute_s) / median(c.floor_s), json / median(c.chute_s));
  return seen == 0;
}

} // namespace
} // namespace chute::bench

int main(int argc, char** argv) {
  const auto number = [&](int i, std::size_t otherwise) {
    return argc > i ? static_cast<std::size_t>(std::strtoull(argv[i], nullptr, 10)) : otherwise;
  };
  return chute::bench::run(std::max<std::size_t>(number(1, 1), 1), std::max<std::size_t>(number(2, 5), 1),
                           std::vector<std::string>(argv + std::min(argc, 3), argv + argc));
}
