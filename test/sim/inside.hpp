// What the world's parts share.
#pragma once

#include "test/sim/world.hpp"

#include <sstream>

namespace chute::sim {

// The trace: lines are only made when somebody reads them.
template <class... A> void world::say(const A&... parts) {
  if (!trace_) return;
  std::ostringstream line;
  line << (now_ - begin_ms) << " ms: ";
  (line << ... << parts);
  trace_->push_back(line.str());
}

// An event into a lane, then its effects.
template <class F> void world::lane_event(std::uint8_t n, std::uint8_t l, F&& f) {
  auto& p = processes_[n];
  auto& s = p.lanes[l];
  if (!s.live) return;
  try {
    catch_up(p, s);
    s.last_event = now_;
    if (s_.shared_memory && !s_.flat) s.machine->set_gather_limit(memory_limit());
    f(*s.machine, now_of(p));
  } catch (const invariant_violation& e) {
    fail(e.what());
  }
  changed_ = true;
  after_event(n, l);
}

// Calls f(partition, offset, hash, table partition, which of the record's rows) for each row or dead letter of an
// attempt.
template <class F> void world::each_record(const attempt& a, F&& f) const {
  const auto& b = *a.fx.what;
  for (const auto& r : b.ranges)
    for (auto k = r.first; k < r.first + r.count; ++k) {
      auto out = r.from->outcomes[k];
      bool wanted = a.fx.dead_letters ? b.as == plan_as::dead_letter || out == outcome::dead_letter
                                      : b.as == plan_as::rows && out == outcome::row;
      if (!wanted) continue;
      auto hash = r.from->hashes[k];
      const auto parts = static_cast<std::uint64_t>(s_.table_partitions);
      const auto n = a.fx.dead_letters ? 1 : r.from->rows_of(k);
      for (std::size_t i = 0; i < n; ++i)
        f(r.from->partition.value, r.from->offsets[k], hash,
          a.fx.dead_letters ? 0 : static_cast<int>((hash + i) % parts), i);
    }
}

} // namespace chute::sim
