// Questions to the cluster. Every call waits for up to its limit, so it belongs into a thread that may wait; calls from
// several threads are fine.
#pragma once

#include "core/chunk.hpp"
#include "kafka/client.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace chute::kafka {

struct topic_info {
  std::string name;
  std::int32_t partitions = 0;
  std::optional<error> failure; // unknown, or no right to see it
};

// The bounds of a partition's log: `begin` is the first offset it holds, `end` the one after the last that a reader of
// committed records can reach (the last stable offset: an open transaction holds it back).
struct log_bounds {
  offset_t begin, end;
};

// What lies at one offset.
struct record_at {
  enum class status : std::uint8_t {
    found,        // `hash`
    none,         // the log goes on behind the offset, but there is no record: a gap, or compacted away
    out_of_range, // the log begins behind the offset, or does not reach beyond it
    damaged,      // its batch cannot be read: its check sum, its compression
    failed,       // no answer: `why`
  } what = status::failed;
  std::uint64_t hash = 0; // record_hash()
  std::optional<error> why;
};

struct partition_offset {
  topic_partition where;
  offset_t offset;
};

struct group_member_info {
  std::string member_id, client_id, host;
  std::string assignor;                    // the group's; empty: none yet
  std::vector<topic_partition> partitions; // as the group assigned them
};

// "2 members: chute on 10.0.0.1 (chute-4f1…), …", a few of them by name.
std::string to_string(const std::vector<group_member_info>& members);

class inspector {
public:
  static result<std::unique_ptr<inspector>> open(client_options options);
  ~inspector();
  inspector(const inspector&) = delete;
  inspector& operator=(const inspector&) = delete;

  result<std::string> cluster_id(std::int64_t limit_ms);
  // One entry a name; for patterns (^…, POSIX extended as librdkafka matches subscriptions) one a matching topic.
  result<std::vector<topic_info>> topics(const std::vector<std::string>& names_or_patterns, std::int64_t limit_ms);
  // One answer a partition, in order.
  std::vector<result<log_bounds>> bounds(const std::vector<topic_partition>& partitions, std::int64_t limit_ms);
  // The first offset whose record is as young as `timestamp_ms` (Unix); where there is none, the end
  // (of before that was asked: no record that is as young lies below it).
  std::vector<result<offset_t>> offsets_for_time(const std::vector<topic_partition>& partitions,
                                                 std::int64_t timestamp_ms, std::int64_t limit_ms);
  // One answer a place, in order; read side by side. At most one place a partition in a call.
  std::vector<record_at> read(const std::vector<partition_offset>& places, std::int64_t limit_ms);
  record_at read_one(const topic_partition& where, offset_t offset, std::int64_t limit_ms);
  // Who is in the group now; empty: nobody, or no such group.
  result<std::vector<group_member_info>> group_members(const std::string& group, std::int64_t limit_ms);

private:
  struct impl;
  explicit inspector(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

} // namespace chute::kafka
