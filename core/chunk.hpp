// Records on their way: as Kafka hands them over, and as a chunk of columns.
#pragma once

#include "core/block.hpp"
#include "core/ids.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace chute {

struct header_view {
  std::string_view name;
  std::optional<std::string_view> value; // absent: a null header
};

// One record, pointing into memory that somebody else owns for the time of the call.
struct record_view {
  offset_t offset;
  std::int64_t timestamp_ms = -1;             // Unix; -1: none
  std::optional<std::string_view> key, value; // absent: null (a null value is a tombstone)
  const void* handle = nullptr;               // for header_source
};

// Headers are looked up only when somebody needs them.
class header_source {
public:
  virtual ~header_source() = default;
  virtual void headers(const record_view& r, std::vector<header_view>& out) const = 0;
};

// What became of a record.
enum class outcome : std::uint8_t {
  row,         // one row
  dead_letter, // cannot become a row
  dropped,     // by the topology's will: on_bad_record skip, a delete that is not wanted, where
  stop,        // cannot become a row, and the topology says on_bad_record: stop
};

struct dead_letter {
  partition_id partition;
  offset_t offset;
  std::int64_t timestamp_ms = -1;
  std::optional<std::string> key, value;                                   // byte for byte
  std::vector<std::pair<std::string, std::optional<std::string>>> headers; // byte for byte
  std::string error; // names the field, the column and its type, never the value
};

// Some consecutive records of one partition, converted. Immutable once it has been handed on.
struct chunk {
  std::string topic;
  partition_id partition;
  offset_t first, last; // inclusive; all offsets in between are accounted for, gaps too; last = first-1: nothing passed
  // One entry a record, in order of the offsets:
  std::vector<std::int64_t> offsets;
  std::vector<outcome> outcomes;
  std::vector<std::uint64_t> hashes; // record_hash() of timestamp, key and value
  std::vector<std::uint32_t> sizes;  // bytes of key and value
  // How many rows each record makes, where some make more than one. Records beyond its end make one, or none, as their
  // outcome says.
  std::vector<std::uint8_t> row_counts;
  block rows;                       // of the records whose outcome is `row`, in order
  std::vector<dead_letter> dead;    // as many as there are outcomes `dead_letter` or `stop`, in order
  std::uint64_t fields_ignored = 0; // fields without a column
  std::int64_t arrived_at = 0;      // monotonic ms when its first record could be taken; 0: just now
  std::int64_t log_end = -1;        // the log's end when it was taken, as far as the reader knew; -1: not known
  bool at_end = false;              // nothing more was to be read behind it then
  std::size_t byte_size() const;    // memory held, for the budget
  std::size_t rows_of(std::size_t record) const {
    return record < row_counts.size() ? row_counts[record] : outcomes[record] == outcome::row;
  }
};
using chunk_ptr = std::shared_ptr<const chunk>;

// Hash of a record's content (XXH3). Equal records at other offsets hash alike.
std::uint64_t record_hash(std::int64_t timestamp_ms, const std::optional<std::string_view>& key,
                          const std::optional<std::string_view>& value);

} // namespace chute
