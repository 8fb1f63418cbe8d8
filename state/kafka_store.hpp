// The default store: a lane's record is the metadata of its seat's committed offset. Whether a save still counts is
// decided by the group's coordinator, which refuses commits of an old generation.
#pragma once

#include "core/ids.hpp"
#include "state/store.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace chute {

// The committed offsets of one consumer group, as its member sees them. actors/ puts kafka::group_member behind it.
class offset_log {
public:
  virtual ~offset_log() = default;

  struct place {
    std::string topic;
    partition_id partition;
    auto operator<=>(const place&) const = default;
  };
  struct entry {
    enum class status : std::uint8_t { found, none, failed } what = status::failed;
    offset_t next;            // found
    std::string metadata;     // found
    std::optional<error> why; // failed: never to be taken for none
  };
  struct commit {
    place where;
    offset_t next;
    std::string metadata;
  };
  struct answer {
    enum class status : std::uint8_t {
      ok,       // durable
      refused,  // the member's generation is over
      rejected, // this offset alone, for good: too large, no such partition, no right
      not_now,  // a rebalance: nothing was written and nothing will be
      unknown,
    } what = status::unknown;
    std::optional<error> why; // unless ok
  };

  // One entry a place, in order; within the limit.
  virtual std::vector<entry> committed(const std::vector<place>& places, std::int64_t limit_ms) = 0;
  // One answer a commit, in order; within the limit. All of them go in one request.
  virtual std::vector<answer> write(const std::vector<commit>& commits, std::int64_t limit_ms) = 0;
};

// A request holds at most so many bytes of offsets and metadata; more lanes go in several, one after another.
inline constexpr std::size_t offsets_request_max = 256 << 10;

// Records must be those of core/record.hpp: the store reads their version and lineage. The lane's partitions other than
// the seat get the note of state/offset_note.hpp. `log` must outlive the store.
//
// A save is compared with the version that this store last loaded or saved for the lane; where it knows none, or where
// the last save had no answer, it reads first. So a lane must be loaded again whenever it was somebody else's.
std::unique_ptr<store> make_kafka_store(offset_log& log);

} // namespace chute
