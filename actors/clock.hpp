// The clocks of an engine. core/ never reads one.
#pragma once

#include "core/lane.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

namespace chute {

mono_ms mono_now(); // CLOCK_BOOTTIME: counts suspended time
wall_ms wall_now();

// ClickHouse's time, carried on by the monotonic clock from when it was last asked.
class server_clock {
public:
  void set(wall_ms server, mono_ms at) { offset_.store(server - at, std::memory_order_relaxed); }
  bool known() const { return offset_.load(std::memory_order_relaxed) != unset; }
  instant now() const {
    auto m = mono_now();
    auto w = wall_now();
    auto o = offset_.load(std::memory_order_relaxed);
    return {m, w, o == unset ? w : m + o};
  }

private:
  static constexpr std::int64_t unset = INT64_MIN;
  std::atomic<std::int64_t> offset_{unset};
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
