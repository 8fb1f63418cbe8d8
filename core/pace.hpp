// How long a partition's reader lets records come together before it takes them. Each chunk costs the same, whatever it
// holds: where records trickle in over many partitions, a chunk a record would cost many times what the records do.
#pragma once

#include "core/ids.hpp"

#include <algorithm>
#include <cstdint>

namespace chute {

struct pace {
  static constexpr std::uint64_t records_enough = 2048; // then a chunk's own cost is small
  static constexpr std::uint64_t bytes_enough_min = 48 << 10, bytes_enough_most = 1 << 20;
  static constexpr mono_ms period_most = 900; // well below the time after which a silent log is looked at

  // Threads that find much to do when they wake up wake up less often, and the saves of lanes that end their rests
  // together are one commit. But not all lanes at once: ClickHouse would have all their inserts at one moment.
  static constexpr std::uint64_t phases = 4;

  mono_ms period = 0; // 0: no rest
  mono_ms phase = 0;  // the readers of one lane rest until the same moment
  std::uint64_t bytes_enough = bytes_enough_min;

  // A rest ends a little before the batch closes that the first record which waits in it begins, so that the records of
  // a lane that come in one period make one batch, and none waits longer than `wait_ms`.
  // `queue_bytes`: what may lie in a partition's queue. One that is full meanwhile is not fetched for a second.
  static pace of(mono_ms wait_ms, std::uint64_t lane, std::uint64_t queue_bytes) {
    const auto period = std::min(wait_ms - wait_ms / 8, period_most);
    const auto share = period > 0 ? static_cast<std::uint64_t>(period) * (lane % phases) / phases : 0;
    return {period, static_cast<mono_ms>(share), std::clamp(queue_bytes / 2, bytes_enough_min, bytes_enough_most)};
  }

  // Until when to rest after a chunk of so many records and bytes, which came in within `took`. Not after `now`: take
  // what comes at once. A partition where they come fast rests for a half of the period, a quarter, …, so that enough
  // come, not more, and the readers of a lane still take theirs together.
  mono_ms rest_until(mono_ms now, mono_ms took, std::uint64_t records, std::uint64_t bytes) const {
    if (period <= 0 || records == 0 || records >= records_enough || bytes >= bytes_enough) return now;
    const auto share = std::max(static_cast<double>(records) / static_cast<double>(records_enough),
                                static_cast<double>(bytes) / static_cast<double>(bytes_enough));
    const auto enough = static_cast<double>(std::max<mono_ms>(took, 1)) / share;
    auto step = period;
    while (step > 1 && static_cast<double>(step) > enough) step /= 2;
    return now + step - (now - phase) % step;
  }
};

} // namespace chute
