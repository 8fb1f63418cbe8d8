// The state keeper of one pipeline: holds the membership of the group and the store. It is the one thread that handles
// rebalances and the only one that commits, so a commit never carries another generation than the lane's.
#pragma once

#include "actors/context.hpp"
#include "state/kafka_store.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>

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
  // Lanes that loaded since the group last gave partitions: what others save is of a membership that is over, and a
  // commit would carry it into this one.
  std::set<caf::actor_addr> owners;
  std::set<kafka::topic_partition> given;        // by the group, last; owners have a seat among them
  mono_ms waiting_since = 0, ask_members_at = 0; // file store: for others to leave the group
  // File store: what the group gave while it is not known yet whether others are in it.
  std::optional<std::vector<kafka::topic_partition>> held_back;
  mono_ms revoked_by = 0; // lanes are free: the group is told then, or when its commits are answered; 0: none revoked
  mono_ms idle_since = 0, look_at_idle_at = 0; // the group gave no partitions; 0: it gave some, or none of both yet
  mono_ms look_at_all_at = 0, look_pause = 0;  // whether somebody reads all partitions; 0: it was looked at
  mono_ms divide_pause = 0, divide_at = 0;     // how long the group is left as it is, and until when
  std::string unread;                          // what nobody was given when it was looked at last
  bool has_begun = false;                      // file store: it had the group for itself
};

// `opened`: another store than kafka, already open; null: the kafka store.
keeper_actor::behavior_type keeper(keeper_actor::stateful_pointer<keeper_state> self, context_ptr context,
                                   pipeline_actor pipeline, std::shared_ptr<store> opened);

} // namespace chute
