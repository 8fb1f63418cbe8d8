// The state keeper of one pipeline: holds the membership of the group and the store. It is the one thread that handles
// rebalances and the only one that commits, so a commit never carries another generation than the lane's.
#pragma once

#include "actors/context.hpp"
#include "state/kafka_store.hpp"

#include <deque>
#include <memory>

namespace chute {

struct keeper_state {
  context_ptr context;
  pipeline_actor pipeline;
  std::unique_ptr<kafka::group_member> group;
  std::unique_ptr<offset_log> log; // the group, as the kafka store sees it
  std::shared_ptr<store> keeps;
  bool group_is_store = false;
  std::deque<msg::save_lane> saves; // joined into one request
  std::deque<msg::load_lane> loads;
  bool flush_due = false, over = false;
  mono_ms waiting_since = 0, ask_members_at = 0; // file store: for others to leave the group
  mono_ms revoked_by = 0; // lanes are free: the group is told then, or when its commits are answered; 0: none revoked
  mono_ms idle_since = 0, look_at_idle_at = 0; // the group gave no partitions; 0: it gave some, or none of both yet
};

// `opened`: another store than kafka, already open; null: the kafka store.
keeper_actor::behavior_type keeper(keeper_actor::stateful_pointer<keeper_state> self, context_ptr context,
                                   pipeline_actor pipeline, std::shared_ptr<store> opened);

} // namespace chute
