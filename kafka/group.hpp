// Membership in a consumer group, and its offsets. This handle never fetches a record: who reads what is decided by
// lanes (docs/guarantees.md), so it joins with an empty assignment and only learns which partitions it was given.
//
// One owner's thread at a time. Nothing here waits longer than the limit it was given, but poll() must come regularly,
// also when nothing happens: more often than half of session_timeout_ms() is plenty, a poll that is overdue by
// max_poll_interval_ms() loses the group.
#pragma once

#include "kafka/client.hpp"

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace chute::kafka {

struct group_options {
  client_options client;
  std::string group;
  std::vector<std::string> topics; // names, or patterns that begin with ^ (POSIX extended)
  wake_callback wake;              // poll() has something; may be empty
};

// --- commits -------------------------------------------------------------------------------------------------------

struct offset_commit {
  topic_partition where;
  offset_t next;
  std::string metadata; // Kafka's default limit is 4096 bytes
};

enum class commit_status : std::uint8_t {
  ok,       // durable
  refused,  // this member's generation is over, or it is no member: nothing was written
  rejected, // this partition alone: its metadata, its existence, the rights. Nothing was written for it
  not_now,  // a rebalance is in progress: nothing was written and nothing will be
  unknown,  // no definite answer: it may have been written, or may still be
};

struct commit_answer {
  topic_partition where;
  commit_status status = commit_status::unknown;
  std::optional<error> why; // unless ok
};

// --- what poll() tells ---------------------------------------------------------------------------------------------

// This member was given these partitions, perhaps none. Whatever it had before is gone.
struct assigned {
  std::vector<topic_partition> partitions;
};
// The group takes the partitions back and waits for complete_revoke(). Until then commits are still accepted.
struct revoked {
  std::vector<topic_partition> partitions;
};
// They are gone already: somebody else may own them. No complete_revoke().
struct lost {
  std::vector<topic_partition> partitions;
};
// The answer to start_commit(): one entry an offset, in the order they were given.
struct commit_answered {
  std::uint64_t id = 0;
  std::vector<commit_answer> answers;
};
// Something that librdkafka goes on retrying by itself, or that a person must mend (rights, an unknown topic).
struct trouble {
  error what;
};
// The handle is of no use any more: rejoin(), or end.
struct broken {
  error what;
};
using group_event = std::variant<assigned, revoked, lost, commit_answered, trouble, broken>;

// --- offsets -------------------------------------------------------------------------------------------------------

struct committed_offset {
  enum class status : std::uint8_t { found, none, failed } what = status::failed;
  offset_t next;            // found
  std::string metadata;     // found
  std::optional<error> why; // failed: never to be taken for none
};

class group_member {
public:
  // Subscribes at once; joining happens while poll() is called. An error is one of the options.
  static result<std::unique_ptr<group_member>> open(group_options options);
  // Leaves the group, for up to 5 seconds; what then still hangs is ended in the background.
  ~group_member();
  group_member(const group_member&) = delete;
  group_member& operator=(const group_member&) = delete;

  // Waits for up to `timeout_ms` (0: not at all) for something to happen. Returns at most 64 events; after as many,
  // call again.
  std::vector<group_event> poll(std::int64_t timeout_ms);

  // Answers the last `revoked`. Commits that are still unanswered then get `unknown`, and the membership is made anew,
  // as rejoin() does: such a commit may still lie in librdkafka's queue and must not meet a later generation.
  void complete_revoke();

  // A new membership under a new member id: whenever a lane is forgotten while unanswered() > 0. The old handle is
  // ended in the background; nothing of it is heard again. Assigned partitions are gone without a further event;
  // unanswered commits get `unknown`.
  result<void> rejoin();

  // Whether commits can be accepted: between `assigned` and complete_revoke(), or `lost`.
  bool has_assignment() const;
  // Counts memberships: grows with each `assigned`, `lost`, complete_revoke() and rejoin().
  std::uint64_t epoch() const;

  // Commits offsets of any partitions. The answer comes out of poll(), after `limit_ms` at the latest (unknown). One
  // request carries them all: keep it under 256 KiB. Refused at once without an assignment.
  std::uint64_t start_commit(const std::vector<offset_commit>& offsets, std::int64_t limit_ms);
  // The same, and waits. Other events are kept for the next poll(). While one that ran into its limit has no answer
  // nothing is committed (not_now): librdkafka may send that one again, and it would undo what came meanwhile.
  std::vector<commit_answer> commit(const std::vector<offset_commit>& offsets, std::int64_t limit_ms);
  // Commits that librdkafka has not answered yet, those that ran into their limit included.
  std::size_t unanswered() const;

  // One answer a partition, in order. Waits for up to `limit_ms`. Needs no assignment.
  std::vector<committed_offset> committed(const std::vector<topic_partition>& partitions, std::int64_t limit_ms);

  std::string member_id() const;                       // empty while it has not joined
  std::string cluster_id(std::int64_t limit_ms) const; // empty: not known within the limit
  std::int64_t session_timeout_ms() const;
  std::int64_t max_poll_interval_ms() const;

private:
  struct impl;
  explicit group_member(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

} // namespace chute::kafka
