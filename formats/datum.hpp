// Values of formats that bring their own types (Avro, Protobuf, Kafka Connect), on their way to columns: a tree in
// memory that is used again for every record.
#pragma once

#include "formats/values.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chute {

enum class datum_kind : std::uint8_t {
  absent, // in an array of records: the field is missing there
  null,
  boolean,         // number
  integer,         // number
  natural,         // number, as 64 bits without a sign
  decimal,         // wide × 10^-scale
  float32,         // real
  float64,         // real
  text,            // text: UTF-8
  bytes,           // text: any bytes
  symbol,          // of an enum: text, and number if has_number
  uuid,            // text: 16 bytes, in the order of the network
  date,            // number: days since 1970-01-01
  time,            // number: 10^-scale seconds, of the day or a span
  timestamp,       // number: 10^-scale seconds since 1970-01-01 UTC
  local_timestamp, // the same on the clocks of a place that is not told
  interval,        // text: 12 bytes: months, days, milliseconds, 32 bits each, little endian
  list,            // children
  map,             // children, each with its key as name
  record,          // children, each with its name; text: the full name of its type, if the format tells it
};
inline constexpr std::size_t datum_kinds = static_cast<std::size_t>(datum_kind::record) + 1;
// "a text", "a record", …
const char* name_of(datum_kind k);

struct datum {
  datum_kind kind = datum_kind::null;
  std::uint8_t scale = 0;
  // Of a timestamp or time: its scale is the value's, and others may have up to 9. Of a float: it was a number of JSON.
  bool has_number = false;
  union {
    std::int64_t number = 0;
    double real;
    const wide_int* wide;
  };
  std::string_view text;
  std::string_view name;
  datum* first = nullptr; // child
  datum* next = nullptr;  // sibling

  // The child of a record or map, or null.
  const datum* find(std::string_view child) const {
    for (const datum* d = first; d; d = d->next)
      if (d->name == child) return d;
    return nullptr;
  }
};

// What one record may become, whatever its size: a few bytes can claim any number of values that take none, or that its
// schema fills in. With what belongs to them (decimals, texts that are kept) they take some 256 MiB.
inline constexpr std::size_t values_max = 4'000'000;
static_assert(values_max * sizeof(datum) <= std::size_t{256} << 20);
inline constexpr const char* too_many_values = "holds more than 4,000,000 values";

// Memory for the values of one record. Texts may also point into the record itself.
class datum_arena {
public:
  void clear();
  datum& make(datum_kind k) {
    if (used_ == blocks_.size() * block_size) blocks_.push_back(std::make_unique<datum[]>(block_size));
    datum& d = blocks_[used_ / block_size][used_ % block_size];
    ++used_;
    d = datum();
    d.kind = k;
    return d;
  }
  const wide_int* keep(const wide_int& v);
  std::string_view keep(std::string text);
  std::string& text(std::string_view begin); // to be written on
  std::size_t size() const { return used_; }
  bool full() const { return used_ + wides_used_ + texts_.size() >= values_max; } // it is on the reader to stop then

private:
  static constexpr std::size_t block_size = 256;
  std::vector<std::unique_ptr<datum[]>> blocks_;
  std::vector<std::unique_ptr<wide_int>> wides_;
  std::vector<std::unique_ptr<std::string>> texts_;
  std::size_t used_ = 0, wides_used_ = 0;
};

// Appends children to a list, map or record, in order.
class children_of {
public:
  explicit children_of(datum& parent) : parent_(parent) {}
  void add(datum& child) {
    if (last_) last_->next = &child;
    else parent_.first = &child;
    last_ = &child;
  }

private:
  datum& parent_;
  datum* last_ = nullptr;
};

// Two's complement, highest byte first, as Avro and Kafka Connect write decimals. False: more than 256 bits.
bool read_big_endian(std::string_view bytes, wide_int& out);

// The value as a person would write it; what a String column gets. Lists, maps and records: JSON.
//   decimals with all digits of their scale, floats as short as they read back the same, 2024-05-01,
//   2024-05-01 12:00:00.250, 12:00:00.250, uuids with dashes
void render_text(const datum& d, std::string& out);
// As JSON: decimals, dates, times and uuids as strings, bytes in Base64, floats that JSON does not have as null.
void render_json(const datum& d, std::string& out);
// wide × 10^-scale in decimal.
void render_decimal(const wide_int& v, std::uint32_t scale, std::string& out);

std::string to_base64(std::string_view bytes);
// Also without padding. False: no Base64.
bool from_base64(std::string_view text, std::string& out);

} // namespace chute
