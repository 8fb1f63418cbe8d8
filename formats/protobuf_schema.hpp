// Protobuf schemas: .proto texts or compiled descriptor sets, read by libprotobuf, → how the wire format of each
// message is read.
#pragma once

#include "core/error.hpp"
#include "formats/schema_cache.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace google::protobuf {
class Descriptor;
class DescriptorPool;
class EnumDescriptor;
class FileDescriptor;
} // namespace google::protobuf

namespace chute::proto {

// How a value lies on the wire.
enum class wire : std::uint8_t {
  int32,
  int64,
  uint32,
  uint64,
  sint32,
  sint64,
  fixed32,
  fixed64,
  sfixed32,
  sfixed64,
  float32,
  float64,
  boolean,
  enumeration,
  string,
  bytes,
  message,
  group,
};

// Messages that stand for a value of another kind.
enum class meaning : std::uint8_t { plain, timestamp, duration, wrapper, structure, value, list, any, decimal };

struct message;

struct field {
  int number = 0;
  std::string name;
  wire type = wire::int32;
  bool repeated = false, required = false;
  bool map = false;      // repeated entries of key and value
  bool presence = false; // if it is absent there is no value; else its default is the value
  int oneof = -1;        // at most one field of the same is set
  const message* of = nullptr;
  const std::unordered_map<int, std::string>* names = nullptr; // of an enum's members
  // The default of a field that is absent.
  std::int64_t number_default = 0;
  double real_default = 0;
  std::string text_default;
};

struct message {
  std::string name; // full
  meaning as = meaning::plain;
  std::vector<field> fields; // in the file's order
  std::unordered_map<int, std::size_t> places;
  const field* find(int number, std::size_t& place) const {
    const auto at = places.find(number);
    if (at == places.end()) return nullptr;
    place = at->second;
    return &fields[place];
  }
};

// The messages of one schema. Not for several threads.
class schema {
public:
  // A registry's text (.proto source, or a FileDescriptorProto in Base64), with what it imports.
  static result<std::unique_ptr<schema>> make(const schema_text& text);
  // A .proto file without imports but Google's own, or a FileDescriptorSet (protoc --include_imports -o).
  static result<std::unique_ptr<schema>> make(const std::string& file);
  ~schema();
  schema(const schema&) = delete;

  // By the path of indexes in the last file; by full name, or the only one. A cause says what is wrong.
  result<const message*> find(std::span<const std::int64_t> path);
  result<const message*> find(const std::string& name);

private:
  schema();
  result<void> add(const std::string& name, const schema_text& text, int depth);
  const message* read(const google::protobuf::Descriptor* d);
  message* meet(const google::protobuf::Descriptor* d);
  void fill(const google::protobuf::Descriptor& d, message& m);
  const std::unordered_map<int, std::string>* names_of(const google::protobuf::EnumDescriptor& e);

  std::unique_ptr<google::protobuf::DescriptorPool> pool_;
  const google::protobuf::FileDescriptor* last_ = nullptr;
  std::map<const void*, std::unique_ptr<message>> messages_; // by descriptor
  std::vector<const google::protobuf::Descriptor*> met_;     // of messages that are still to be filled in
  std::map<const void*, std::unique_ptr<std::unordered_map<int, std::string>>> enums_;
};

} // namespace chute::proto
