// The state keeper of one pipeline: holds the membership of the group and the store. It is the one thread that handles
// rebalances and the only one that commits, so a commit never carries another generation than the lane's.
#pragma once

#include "actors/context.hpp"
#include "state/kafka_store.hpp"

#include <deque>
#include <memory>
#include <mutex>

namespace chute {

// A store that the keepers of several pipelines share: one at a time.
class shared_store : public store {
public:
  explicit shared_store(std::unique_ptr<store> s) : store_(std::move(s)) {}
  std::vector<loaded> load(const std::vector<lane_key>& lanes, std::int64_t limit_ms) override {
    std::lock_guard hold(lock_);
    return store_->load(lanes, limit_ms);
  }
  std::vector<saved> save(const std::vector<save_request>& requests, std::int64_t limit_ms) override {
    std::lock_guard hold(lock_);
    return store_->save(requests, limit_ms);
  }
  const char* name() const override { return store_->name(); }

private:
  std::mutex lock_;
  std::unique_ptr<store> store_;
};

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
  mono_ms idle_since = 0, look_at_idle_at = 0;   // the group gave no partitions; 0: it gave some, or none of both yet
};

// `opened`: another store than kafka, already open; null: the kafka store.
keeper_actor::behavior_type keeper(keeper_actor::stateful_pointer<keeper_state> self, context_ptr context,
                                   pipeline_actor pipeline, std::shared_ptr<store> opened);

} // namespace chute
