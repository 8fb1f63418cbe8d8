// The one interface of all state stores. Blocking, with time limits; called by one thread (the state keeper's).
// `text` is a lane's record as core/record.hpp writes it; a store reads of it only what it is told here.
#pragma once

#include "core/error.hpp"
#include "core/ids.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace chute {

// Names a lane's record: `cluster` is Kafka's cluster id.
struct lane_key {
  std::string cluster, group, pipeline, topic;
  lane_id lane;
  auto operator<=>(const lane_key&) const = default;
};

// The offsets that go with a record, for lag tools; the seat's partition comes first.
struct partition_next {
  partition_id partition;
  offset_t next;
};

struct stored_record {
  std::uint64_t version = 0;
  std::string text;
};

struct loaded {
  enum class status : std::uint8_t { found, absent, failed } status = status::failed;
  stored_record record; // found
  // kafka: an offset is there that the engine did not commit: "offset 17, metadata '…'". The status is then absent, but
  // the lane must not begin as if it were new.
  std::string foreign;
  std::optional<chute::error> failure; // failed: never taken for "absent"
};

// A compare-and-set. `expected` 0: the lane must have no record. `record.version` is greater than `expected`. Each save
// of a lane carries a random mark within the text, so that equal text means the very same save.
struct save_request {
  lane_key lane;
  std::uint64_t expected = 0;
  stored_record record;
  std::vector<partition_next> offsets;
};

enum class save_status : std::uint8_t {
  accepted, // durable. A repetition of a save that already landed (equal text) is accepted too
  refused,  // somebody else has the lane, or its record is another one
  not_now,  // nothing was written and nothing will be: try again soon (rebalance in progress)
  unknown,  // no definite answer: it may have landed, or may still land
};

struct saved {
  save_status status = save_status::unknown;
  std::optional<chute::error> why; // unless accepted
};

class store {
public:
  virtual ~store() = default;
  // One answer a lane, in order. A host's store may throw where it has no answer at all, or give another number of
  // them: then everything that was asked counts as `failed`, or `unknown`, and is asked again.
  virtual std::vector<loaded> load(const std::vector<lane_key>& lanes, std::int64_t limit_ms) = 0;
  virtual std::vector<saved> save(const std::vector<save_request>& requests, std::int64_t limit_ms) = 0;
  // "kafka", "file", … for messages.
  virtual const char* name() const = 0;
};

// A store in a directory of one machine. Holds a lock on the directory for as long as it lives.
result<std::unique_ptr<store>> open_file_store(const std::string& directory);
// The same, only to look: beside an engine that holds the lock, without making or changing anything. Saves are refused.
// A directory that is not there has no records.
result<std::unique_ptr<store>> view_file_store(const std::string& directory);
// Why this user could not keep records there, as far as can be told without trying; nothing if it could.
std::optional<error> file_store_unusable(const std::string& directory);
std::unique_ptr<store> make_memory_store();

} // namespace chute
