// Where the actors write how they are, and the engine reads it: plain values under one lock, held for a copy only.
#pragma once

#include "core/event.hpp"
#include "core/lane.hpp"
#include "core/status.hpp"

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace chute {

class status_board {
public:
  // Told of every change, under the board's lock: it must not block, nor call back. Empty: nobody is.
  void listen(std::function<void(engine_event)> listener) {
    std::lock_guard hold(lock_);
    listener_ = std::move(listener);
  }

  void pipeline(const std::string& name, enum pipeline_status::state state, const std::string& reason);
  void table(const std::string& name, const std::string& table);
  void trouble(const std::string& name, const std::string& what); // last_error
  void rebalanced(const std::string& name);
  void ignored(const std::string& name, std::uint64_t fields);
  void lane(const std::string& name, const lane_status& s, const lane_counters& c);
  // The lane is gone from this process; its counters stay.
  void lane_gone(const std::string& name, const std::string& topic, lane_id lane);

  std::vector<pipeline_status> read() const;
  // Waits until every pipeline is drained or stopped, and none is started again; false: not within the limit.
  bool wait_over(std::int64_t limit_ms) const;
  // Held by whoever ends pipelines and starts them again: one that is gone for a moment is not the end. The board must
  // live longer.
  [[nodiscard]] std::shared_ptr<void> moving();
  bool is_moving() const;

private:
  void tell(enum engine_event::kind what, const std::string& pipeline,
            const std::function<void(engine_event&)>& fill) const;
  void tell_lane(const std::string& name, const lane_status& before, const lane_status& now) const;
  struct entry {
    pipeline_status base; // without lanes; counters of lanes that are gone
    std::map<std::pair<std::string, lane_id>, std::pair<lane_status, lane_counters>> lanes;
  };
  mutable std::mutex lock_;
  mutable std::condition_variable changed_;
  entry& of(const std::string& name); // makes it, behind the others, if it is new
  std::vector<entry> entries_;        // in the order in which they were first named: the file's
  std::map<std::string, std::size_t> places_;
  std::size_t moving_ = 0; // held by so many
  std::function<void(engine_event)> listener_;
};

} // namespace chute
