// The default store: the offset commit of the consumer group. The record of a lane is the metadata of its seat's offset;
// the broker refuses a commit of an older generation, which is the fence. All offsets of a request are one commit, which
// the coordinator writes as one batch.
#pragma once

#include "state/store.hpp"

#include <memory>
#include <string>
#include <vector>

namespace chute {

// The group's offsets, as the store needs them. Implemented over the group's membership (actors/), and by tests.
class offset_log {
public:
  struct place {
    std::string topic;
    partition_id partition;
  };
  struct entry {
    enum class status : std::uint8_t { found, none, failed } what = status::failed;
    offset_t next;
    std::string metadata;
    std::optional<error> why; // failed
  };
  struct commit {
    place where;
    offset_t next;
    std::string metadata;
  };
  struct answer {
    enum class status : std::uint8_t {
      ok,
      refused,  // the generation is over
      rejected, // this offset alone: size, rights, existence
      not_now,  // a rebalance is in progress, nothing was written
      unknown,
    } what = status::unknown;
    std::optional<error> why; // unless ok
  };

  virtual ~offset_log() = default;
  virtual std::vector<entry> committed(const std::vector<place>& places, std::int64_t limit_ms) = 0;
  virtual std::vector<answer> write(const std::vector<commit>& commits, std::int64_t limit_ms) = 0;
};

// One request carries at most so many bytes of metadata.
inline constexpr std::size_t commit_bytes_max = 256 << 10;

// `log` must outlive the store.
std::unique_ptr<store> make_kafka_store(offset_log& log);

} // namespace chute
