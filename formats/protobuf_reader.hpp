// Protobuf's wire format → datums.
#pragma once

#include "formats/datum.hpp"
#include "formats/protobuf_schema.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace chute::proto {

class message_reader {
public:
  explicit message_reader(datum_arena& arena) : arena_(arena) {}

  // A record of the message's fields, in the file's order; those of the root that are not `wanted` are only passed.
  // Texts point into `bytes`. Null after a fault.
  datum* read(std::string_view bytes, const message& m, const std::vector<bool>& wanted);
  std::string fault() const { return fault_; }       // a half sentence about the value
  std::uint64_t ignored() const { return ignored_; } // fields that were only passed, of the last value

private:
  // What a message says of one field.
  struct slot {
    bool seen = false;
    std::uint64_t number = 0; // varint and fixed
    std::string_view bytes;   // string, bytes, message: of the last one; messages joined
    std::string* joined = nullptr;
    datum* many = nullptr; // repeated: a list
    datum* last = nullptr; // its last child
  };
  struct cursor {
    const char *at, *end;
  };

  datum* read_message(std::string_view bytes, const message& m, const std::vector<bool>* wanted, int depth);
  bool read_fields(std::string_view bytes, const message& m, const std::vector<bool>* wanted, std::vector<slot>& slots,
                   int depth);
  bool take_value(cursor& c, unsigned kind, const field& f, slot& s, int depth);
  bool take_packed(std::string_view bytes, const field& f, slot& s);
  bool take_scalar(cursor& c, const field& f, std::uint64_t& out);
  bool add(slot& s, datum* child);
  void forget_others(const message& m, std::size_t place, std::vector<slot>& slots) const;
  bool varint(cursor& c, std::uint64_t& out);
  bool fixed(cursor& c, std::size_t width, std::uint64_t& out);
  bool delimited(cursor& c, std::string_view& out);
  bool skip(cursor& c, unsigned kind, std::uint32_t number, int depth);
  bool group(cursor& c, std::uint32_t number, std::string_view& out, int depth);
  datum* value_of(const field& f, const slot& s, int depth);
  datum* scalar_of(const field& f, std::uint64_t raw);
  datum* default_of(const field& f);
  datum* bytes_of(const field& f, std::string_view bytes, int depth);
  datum* map_of(const field& f, datum& entries, int depth);
  datum* as_meant(const message& m, datum& record);
  datum* moment_of(datum& record, datum_kind k);
  datum* refuse(std::string why) {
    if (fault_.empty()) fault_ = std::move(why);
    return nullptr;
  }
  bool cut() { return refuse("ends too early"), false; }
  bool has_room() { return !arena_.full() || (refuse(too_many_values), false); }
  std::vector<slot>& slots_at(int depth, std::size_t count);

  datum_arena& arena_;
  std::vector<std::unique_ptr<std::vector<slot>>> levels_; // scratch, one a depth
  std::string fault_;
  std::uint64_t ignored_ = 0;
  std::size_t joined_bytes_ = 0; // of messages that came in parts
};

} // namespace chute::proto
