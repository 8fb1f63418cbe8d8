// Where an exhaustive search departs from the plain schedule.
#include "test/sim/inside.hpp"

namespace chute::sim {

namespace {
constexpr ms late_ms = 2'000, very_late_ms = 100'000;
constexpr std::uint16_t bit(std::uint8_t what) { return static_cast<std::uint16_t>(1 << what); }
} // namespace

void world::follow(const std::vector<deviation>& path, std::vector<std::uint16_t>* open) {
  path_ = path;
  open_ = open;
}

// What can go wrong with an event without leaving what the parts promise: a network that delivers after hours, a chunk
// that overtakes another, a question of ours that is never given up are no part of it.
std::uint16_t world::possible(const event& e) const {
  std::uint16_t out = 0;
  bool kafka = s_.store == store_type::kafka;
  switch (e.what) {
  case ev::inserted:
  case ev::saved: out = bit(comes_late) | bit(is_lost) | bit(rebalances_here); break;
  case ev::request_arrives: out = bit(comes_late) | bit(is_lost) | bit(server_dies_here); break;
  case ev::part_commits: out = bit(comes_late) | bit(comes_very_late) | bit(server_dies_here); break;
  case ev::save_arrives: out = kafka ? 0 : bit(comes_late) | bit(comes_very_late) | bit(is_lost); break;
  case ev::insert_begins: out = bit(comes_late) | bit(comes_very_late) | bit(rebalances_here); break;
  case ev::starts_read:
  case ev::store_read:
  case ev::loaded:
  case ev::inspected:
  case ev::marked:
  case ev::answered:
  case ev::group_assigned:
  case ev::group_revokes:
  case ev::begun: out = bit(comes_late); break;
  default: break;
  }
  if (e.what < ev::to_the_world && processes_[e.process].up && !processes_[e.process].paused && !stood_)
    out |= bit(stands_still);
  if (!server_.up) out &= static_cast<std::uint16_t>(~bit(server_dies_here));
  if (group_.at != consumer_group::state::stable) out &= static_cast<std::uint16_t>(~bit(rebalances_here));
  for (std::size_t n = 0; n < processes_.size() && n < 2; ++n)
    if (processes_[n].up && !(crashed_ >> n & 1)) out |= bit(static_cast<std::uint8_t>(crash_of_0 + n));
  return out;
}

// True: the event does not happen now.
bool world::deviate(event e) {
  bool stale = e.what < ev::to_the_world && processes_[e.process].life != e.life;
  auto step = step_++;
  if (open_) open_->push_back(stale ? std::uint16_t{0} : possible(e));
  for (auto& d : path_)
    if (d.step == step) {
      counts_.faults++;
      return depart(e, d.what);
    }
  return false;
}

bool world::depart(event e, std::uint8_t what) {
  say("DEVIATION at step ", step_ - 1, ": ", int{what}, " of event ", static_cast<int>(e.what));
  switch (what) {
  case comes_late:
  case comes_very_late:
    e.at = now_ + (what == comes_late ? late_ms : very_late_ms);
    push(e);
    return true;
  case is_lost:
    if (e.what == ev::request_arrives) --attempts_alive_;
    return true;
  case crash_of_0:
  case crash_of_1:
    crashed_ |= 1u << (what - crash_of_0);
    end_process(static_cast<std::uint8_t>(what - crash_of_0));
    return false;
  case stands_still: {
    auto& p = processes_[e.process];
    stood_ = p.paused = true;
    p.paused_at = now_;
    auto r = to(e.process, ev::resumes);
    later(very_late_ms, r);
    r.what = ev::session_over;
    r.serial = p.handle;
    r.tag = static_cast<std::uint64_t>(now_);
    later(s_.lane.session_timeout_ms, r);
    return false;
  }
  case server_dies_here: server_dies(false); return false;
  case rebalances_here: group_prepares(); return false;
  default: return false;
  }
}

} // namespace chute::sim
