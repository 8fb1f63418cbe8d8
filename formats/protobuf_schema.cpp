#include "formats/protobuf_schema.hpp"

#include "formats/datum.hpp"

#include <algorithm>
#include <array>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/compiler/parser.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/wrappers.pb.h>

namespace chute::proto {
namespace {

namespace pb = google::protobuf;

constexpr int depth_max = 64; // of imports
constexpr std::size_t text_bytes_max = 4u << 20;

error wrong(std::string cause) { return {"", std::move(cause), ""}; }

// The first thing that libprotobuf finds wrong. It says so and does not print it.
class first_fault final : public pb::io::ErrorCollector, public pb::DescriptorPool::ErrorCollector {
public:
  void AddError(int line, int, const std::string& text) override {
    note("line " + std::to_string(line + 1) + ": " + text);
  }
  void AddError(const std::string&, const std::string& element, const pb::Message*, ErrorLocation,
                const std::string& text) override {
    note(element + ": " + text);
  }
  const std::string& text() const { return text_; }

private:
  void note(std::string text) {
    if (text_.empty()) text_ = std::move(text);
  }
  std::string text_;
};

bool parse_text(const std::string& text, pb::FileDescriptorProto& out, first_fault& faults) {
  pb::io::ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  pb::io::Tokenizer tokens(&stream, &faults);
  pb::compiler::Parser parser;
  parser.RecordErrorsTo(&faults);
  return parser.Parse(&tokens, &out) && faults.text().empty();
}

// Google's own files are compiled in; this makes sure that they are linked.
const pb::DescriptorPool* known_files() {
  pb::Any::descriptor();
  pb::Duration::descriptor();
  pb::Empty::descriptor();
  pb::FieldMask::descriptor();
  pb::Struct::descriptor();
  pb::Timestamp::descriptor();
  pb::Int64Value::descriptor();
  return pb::DescriptorPool::generated_pool();
}

// Files that Confluent's clients know and never send to the registry along with a schema that imports them.
struct bundled_file {
  std::string_view name, text;
};
constexpr std::array<bundled_file, 2> bundled_files = {
    {{"confluent/meta.proto", R"(syntax = "proto3"; package confluent;
import "google/protobuf/descriptor.proto";
message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; })"},
     {"confluent/type/decimal.proto", R"(syntax = "proto3"; package confluent.type;
message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; })"}}};

meaning meaning_of(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, meaning>, 16> known = {
      {{"google.protobuf.Timestamp", meaning::timestamp},
       {"google.protobuf.Duration", meaning::duration},
       {"google.protobuf.Struct", meaning::structure},
       {"google.protobuf.Value", meaning::value},
       {"google.protobuf.ListValue", meaning::list},
       {"google.protobuf.Any", meaning::any},
       {"google.protobuf.DoubleValue", meaning::wrapper},
       {"google.protobuf.FloatValue", meaning::wrapper},
       {"google.protobuf.Int64Value", meaning::wrapper},
       {"google.protobuf.UInt64Value", meaning::wrapper},
       {"google.protobuf.Int32Value", meaning::wrapper},
       {"google.protobuf.UInt32Value", meaning::wrapper},
       {"google.protobuf.BoolValue", meaning::wrapper},
       {"google.protobuf.StringValue", meaning::wrapper},
       {"google.protobuf.BytesValue", meaning::wrapper},
       {"confluent.type.Decimal", meaning::decimal}}};
  const auto it = std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.first == name; });
  return it == known.end() ? meaning::plain : it->second;
}

wire wire_of(const pb::FieldDescriptor& f) {
  using F = pb::FieldDescriptor;
  switch (f.type()) {
  case F::TYPE_INT32: return wire::int32;
  case F::TYPE_INT64: return wire::int64;
  case F::TYPE_UINT32: return wire::uint32;
  case F::TYPE_UINT64: return wire::uint64;
  case F::TYPE_SINT32: return wire::sint32;
  case F::TYPE_SINT64: return wire::sint64;
  case F::TYPE_FIXED32: return wire::fixed32;
  case F::TYPE_FIXED64: return wire::fixed64;
  case F::TYPE_SFIXED32: return wire::sfixed32;
  case F::TYPE_SFIXED64: return wire::sfixed64;
  case F::TYPE_FLOAT: return wire::float32;
  case F::TYPE_DOUBLE: return wire::float64;
  case F::TYPE_BOOL: return wire::boolean;
  case F::TYPE_ENUM: return wire::enumeration;
  case F::TYPE_STRING: return wire::string;
  case F::TYPE_BYTES: return wire::bytes;
  case F::TYPE_GROUP: return wire::group;
  default: return wire::message;
  }
}

void set_default(const pb::FieldDescriptor& d, field& f) {
  using F = pb::FieldDescriptor;
  switch (d.cpp_type()) {
  case F::CPPTYPE_INT32: f.number_default = d.default_value_int32(); break;
  case F::CPPTYPE_INT64: f.number_default = d.default_value_int64(); break;
  case F::CPPTYPE_UINT32: f.number_default = d.default_value_uint32(); break;
  case F::CPPTYPE_UINT64: f.number_default = static_cast<std::int64_t>(d.default_value_uint64()); break;
  case F::CPPTYPE_BOOL: f.number_default = d.default_value_bool(); break;
  case F::CPPTYPE_ENUM: f.number_default = d.default_value_enum()->number(); break;
  case F::CPPTYPE_FLOAT: f.real_default = static_cast<double>(d.default_value_float()); break;
  case F::CPPTYPE_DOUBLE: f.real_default = d.default_value_double(); break;
  case F::CPPTYPE_STRING: f.text_default = d.default_value_string(); break;
  default: break;
  }
}

} // namespace

schema::schema() : pool_(std::make_unique<pb::DescriptorPool>(known_files())) {}
schema::~schema() = default;

// Imports first.
result<void> schema::add(const std::string& name, const schema_text& text, int depth) {
  if (depth > depth_max) return wrong("imports others deeper than 64 levels");
  if (text.text.size() > text_bytes_max) return wrong("is larger than 4 MiB");
  const pb::LogSilencer quiet; // what it finds comes back as an error, and does not go to the process's stderr
  if (const auto* known = pool_->FindFileByName(name)) {
    last_ = known;
    return {};
  }
  for (const auto& [import, referred] : text.references)
    if (referred)
      if (auto r = add(import, *referred, depth + 1); !r) return r;
  pb::FileDescriptorProto file;
  first_fault faults;
  if (std::string bytes; !from_base64(text.text, bytes) || !file.ParseFromString(bytes)) {
    file.Clear();
    if (!parse_text(text.text, file, faults)) return wrong("is no .proto file: " + faults.text());
  }
  for (const auto& import : file.dependency())
    for (const auto& f : bundled_files)
      if (import == f.name)
        if (auto r = add(import, {"PROTOBUF", std::string(f.text), {}}, depth + 1); !r) return r;
  file.set_name(name);
  last_ = pool_->BuildFileCollectingErrors(file, &faults);
  if (!last_) return wrong("does not hold together: " + faults.text());
  return {};
}

result<std::unique_ptr<schema>> schema::make(const schema_text& text) {
  std::unique_ptr<schema> s(new schema);
  if (auto r = s->add("the schema.proto", text, 0); !r) return r.failure();
  return s;
}

result<std::unique_ptr<schema>> schema::make(const std::string& file) {
  pb::FileDescriptorSet set;
  const pb::LogSilencer quiet;
  if (!file.starts_with('\n') || !set.ParseFromString(file) || set.file_size() == 0)
    return make(schema_text{"PROTOBUF", file, {}});
  std::unique_ptr<schema> s(new schema);
  for (const auto& f : set.file()) {
    if (s->pool_->FindFileByName(f.name())) continue; // Google's own
    first_fault faults;
    s->last_ = s->pool_->BuildFileCollectingErrors(f, &faults);
    if (!s->last_) return wrong("does not hold together: " + faults.text());
  }
  if (!s->last_) return wrong("holds no file of its own");
  return s;
}

result<const message*> schema::find(std::span<const std::int64_t> path) {
  const pb::Descriptor* d = nullptr;
  for (const auto i : path) {
    const int count = d ? d->nested_type_count() : last_->message_type_count();
    if (i < 0 || i >= count) return wrong("has no message at the record's path");
    d = d ? d->nested_type(static_cast<int>(i)) : last_->message_type(static_cast<int>(i));
  }
  if (!d) return wrong("has no message at the record's path");
  return read(d);
}

result<const message*> schema::find(const std::string& name) {
  if (name.empty()) {
    if (last_->message_type_count() == 1) return read(last_->message_type(0));
    return wrong("holds several messages; write protobuf: {message: NAME}");
  }
  const auto* d = pool_->FindMessageTypeByName(name);
  if (!d && !last_->package().empty()) d = pool_->FindMessageTypeByName(last_->package() + "." + name);
  if (!d) return wrong("holds no message '" + name + "'");
  return read(d);
}

// Messages refer to each other, and to themselves: those that are met for the first time are filled in later, so that
// no chain of them is too long.
const message* schema::read(const pb::Descriptor* d) {
  const message* out = meet(d);
  while (!met_.empty()) {
    const auto* next = met_.back();
    met_.pop_back();
    fill(*next, *messages_[next]);
  }
  return out;
}

message* schema::meet(const pb::Descriptor* d) {
  auto& made = messages_[d];
  if (!made) {
    made = std::make_unique<message>();
    met_.push_back(d);
  }
  return made.get();
}

const std::unordered_map<int, std::string>* schema::names_of(const pb::EnumDescriptor& e) {
  auto& names = enums_[&e];
  if (names) return names.get();
  names = std::make_unique<std::unordered_map<int, std::string>>();
  for (int i = 0; i < e.value_count(); ++i) names->emplace(e.value(i)->number(), e.value(i)->name());
  return names.get();
}

void schema::fill(const pb::Descriptor& d, message& m) {
  m.name = d.full_name();
  m.as = meaning_of(m.name);
  for (int i = 0; i < d.field_count(); ++i) {
    const auto& from = *d.field(i);
    field f;
    f.number = from.number();
    f.name = from.name();
    f.type = wire_of(from);
    f.repeated = from.is_repeated();
    f.required = from.is_required();
    f.map = from.is_map();
    f.presence = from.has_presence() && !from.has_default_value();
    if (const auto* o = from.real_containing_oneof()) f.oneof = o->index();
    if (!f.repeated) set_default(from, f);
    if (from.message_type()) f.of = meet(from.message_type());
    if (from.enum_type()) f.names = names_of(*from.enum_type());
    m.places.emplace(f.number, m.fields.size());
    m.fields.push_back(std::move(f));
  }
}

} // namespace chute::proto
