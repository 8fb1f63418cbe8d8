#include "actors/status_board.hpp"

#include <chrono>

namespace chute {

namespace {
void add(pipeline_status& to, const lane_counters& c) {
  to.records += c.records;
  to.rows += c.rows;
  to.dead_letters += c.dead_letters;
  to.dropped += c.dropped;
  to.bytes += c.bytes;
  to.inserts += c.inserts;
  to.insert_retries += c.insert_retries;
  to.saves += c.saves;
  to.save_refusals += c.save_refusals;
  to.gaps_lost += c.gaps_lost;
  to.set_aside += c.set_aside;
}
} // namespace

status_board::entry& status_board::of(const std::string& name) {
  auto [at, added] = places_.emplace(name, entries_.size());
  if (added) entries_.emplace_back();
  return entries_[at->second];
}

void status_board::tell(enum engine_event::kind what, const std::string& pipeline,
                        const std::function<void(engine_event&)>& fill) const {
  if (!listener_) return;
  engine_event e;
  e.what = what;
  e.pipeline = pipeline;
  fill(e);
  listener_(std::move(e));
}

void status_board::tell_lane(const std::string& name, const lane_status& before, const lane_status& now) const {
  if (before.phase == now.phase && before.waiting_for == now.waiting_for && before.stopped_for == now.stopped_for)
    return;
  tell(engine_event::kind::lane, name, [&](engine_event& e) {
    e.topic = now.topic;
    e.lane = now.lane;
    e.phase = now.phase;
    e.text = now.stopped_for.empty() ? now.waiting_for : now.stopped_for;
  });
}

void status_board::pipeline(const std::string& name, enum pipeline_status::state state, const std::string& reason) {
  std::lock_guard hold(lock_);
  auto& e = of(name).base;
  const bool same = e.name == name && e.state == state && e.reason == reason;
  e.name = name;
  e.state = state;
  e.reason = reason;
  changed_.notify_all();
  if (same) return;
  tell(engine_event::kind::pipeline, name, [&](engine_event& told) {
    told.state = state;
    told.text = reason;
  });
}

bool status_board::wait_over(std::int64_t limit_ms) const {
  std::unique_lock hold(lock_);
  return changed_.wait_for(hold, std::chrono::milliseconds(limit_ms), [this] {
    if (moving_ > 0) return false;
    for (const auto& e : entries_)
      if (e.base.state != pipeline_status::state::drained && e.base.state != pipeline_status::state::stopped)
        return false;
    return true;
  });
}

std::shared_ptr<void> status_board::moving() {
  std::lock_guard hold(lock_);
  ++moving_;
  return {static_cast<void*>(this), [this](void*) {
            std::lock_guard done(lock_);
            --moving_;
            changed_.notify_all();
          }};
}

bool status_board::is_moving() const {
  std::lock_guard hold(lock_);
  return moving_ > 0;
}

void status_board::table(const std::string& name, const std::string& table) {
  std::lock_guard hold(lock_);
  of(name).base.table = table;
}

void status_board::trouble(const std::string& name, const std::string& what) {
  std::lock_guard hold(lock_);
  of(name).base.last_error = what;
  tell(engine_event::kind::trouble, name, [&](engine_event& e) { e.text = what; });
}

void status_board::rebalanced(const std::string& name) {
  std::lock_guard hold(lock_);
  ++of(name).base.rebalances;
  tell(engine_event::kind::rebalanced, name, [](engine_event&) {});
}

void status_board::ignored(const std::string& name, std::uint64_t fields) {
  std::lock_guard hold(lock_);
  of(name).base.fields_ignored += fields;
}

void status_board::lane(const std::string& name, const lane_status& s, const lane_counters& c) {
  std::lock_guard hold(lock_);
  auto& [status, counters] = of(name).lanes[{s.topic, s.lane}];
  tell_lane(name, status, s);
  if (c.dead_letters > counters.dead_letters)
    tell(engine_event::kind::dead_letters, name, [&](engine_event& e) {
      e.topic = s.topic;
      e.lane = s.lane;
      e.count = c.dead_letters - counters.dead_letters;
    });
  status = s;
  counters = c;
}

void status_board::lane_gone(const std::string& name, const std::string& topic, lane_id lane) {
  std::lock_guard hold(lock_);
  auto& e = of(name);
  auto it = e.lanes.find({topic, lane});
  if (it == e.lanes.end()) return;
  add(e.base, it->second.second);
  e.lanes.erase(it);
  tell(engine_event::kind::lane_gone, name, [&](engine_event& told) {
    told.topic = topic;
    told.lane = lane;
  });
}

std::vector<pipeline_status> status_board::read() const {
  std::lock_guard hold(lock_);
  std::vector<pipeline_status> out;
  for (const auto& e : entries_) {
    out.push_back(e.base);
    auto& p = out.back();
    for (const auto& [key, lane] : e.lanes) {
      add(p, lane.second);
      p.lanes.push_back(lane.first);
      // A lane that waits or stands makes its pipeline wait, with the first reason.
      if (p.state != pipeline_status::state::streaming) continue;
      if (lane.first.phase == lane_phase::stopped) {
        p.state = pipeline_status::state::waiting;
        p.reason = lane.first.stopped_for;
      } else if (!lane.first.waiting_for.empty()) {
        p.state = pipeline_status::state::waiting;
        p.reason =
            lane.first.topic + ", lane " + std::to_string(key.second.value) + " waits for " + lane.first.waiting_for;
      }
    }
  }
  return out;
}

} // namespace chute
