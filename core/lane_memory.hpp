// The memory that the lanes of one pipeline share for what they gather and send, in bytes of columns.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace chute {

// How much a lane may gather. Its share is its own, whatever the others hold; of what all leave free it may have a
// part, which shrinks as they take theirs. So batches are large while ClickHouse keeps up, since most lanes then gather
// and few send; and while it does not, what is held levels off near the budget. `most`: no batch gets larger. `held`:
// by all lanes together.
inline std::uint64_t gather_limit(std::uint64_t budget, std::uint64_t held, std::size_t lanes, std::uint64_t share,
                                  std::uint64_t most) {
  const auto free = budget > held ? budget - held : 0;
  return std::max(share, std::min(free / std::max<std::size_t>(2, lanes / 4), most));
}

// What one lane counts.
struct lane_part {
  std::uint64_t held = 0;
  std::uint64_t wanted = 0; // by an open plan that is being read again, beyond what is held of it
};

// Counted by the lanes' actors, from several threads: each says how its own part changed.
class lane_memory {
public:
  explicit lane_memory(std::uint64_t budget) : budget_(budget) {}
  std::uint64_t budget() const { return budget_; }
  std::uint64_t held() const { return held_.load(std::memory_order_relaxed); }
  void change(const lane_part& before, const lane_part& now) {
    held_.fetch_add(now.held - before.held, std::memory_order_relaxed);
    wanted_.fetch_add(now.wanted - before.wanted, std::memory_order_relaxed);
    if ((before.wanted > 0) != (now.wanted > 0)) builders_ += now.wanted > 0 ? 1 : -1;
  }
  // What the open plan of one more lane may need to be read again now. One lane at a time may need whatever it takes:
  // nothing else would make room for it.
  std::uint64_t build_room() const {
    if (builders_ <= 0) return UINT64_MAX;
    const auto taken = held() + wanted_.load(std::memory_order_relaxed);
    return budget_ > taken ? budget_ - taken : 0;
  }

private:
  const std::uint64_t budget_;
  std::atomic<std::uint64_t> held_ = 0, wanted_ = 0;
  std::atomic<int> builders_ = 0; // lanes that want more
};

} // namespace chute
