// The clocks of an engine. core/ never reads one.
#pragma once

#include "core/lane.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

namespace chute {

mono_ms mono_now(); // CLOCK_BOOTTIME: counts suspended time
wall_ms wall_now();

// ClickHouse's time, carried on by the monotonic clock from when it was last asked. It was `server` at some moment
// between the question and the answer.
class server_clock {
public:
  void set(wall_ms server, mono_ms asked, mono_ms answered) {
    latest_.store(server - asked, std::memory_order_relaxed);
    earliest_.store(server - answered, std::memory_order_relaxed);
  }
  bool known() const { return earliest_.load(std::memory_order_relaxed) != unset; }
  instant now() const {
    const auto m = mono_now();
    const auto w = wall_now();
    const auto from = earliest_.load(std::memory_order_relaxed), to = latest_.load(std::memory_order_relaxed);
    if (from == unset) return {m, w, w};
    return {m, w, m + from, std::max<std::int64_t>(0, to - from)}; // of two answers, should one come just now
  }

private:
  static constexpr std::int64_t unset = INT64_MIN;
  std::atomic<std::int64_t> earliest_{unset}, latest_{unset}; // ahead of the monotonic clock
};

// Of all lanes: what one of them is answered counts for all.
class shared_answering {
public:
  void heard(mono_ms asked, mono_ms now) {
    const std::lock_guard hold(mutex_);
    of_.heard(asked, now);
  }
  std::optional<answering::span> times() const {
    const std::lock_guard hold(mutex_);
    return of_.times();
  }

private:
  mutable std::mutex mutex_;
  answering of_;
};

// Randomness for tokens, lineages and marks: the system's secure source (getrandom).
class system_random : public random_source {
public:
  std::uint64_t next() override;
};

} // namespace chute
