// How long a partition's reader lets records come together before it takes them. Each chunk costs the same, whatever it
// holds: where records trickle in over many partitions, a chunk a record would cost many times what the records do.
#pragma once

#include "core/ids.hpp"

#include <algorithm>
#include <cstdint>

namespace chute {

struct pace {
  static constexpr std::uint64_t records_enough = 512, bytes_enough = 48 << 10; // then a chunk's own cost is small
  static constexpr mono_ms period_most = 900; // well below the time after which a silent log is looked at

  mono_ms period = 0; // 0: no rest
  mono_ms phase = 0;  // lanes rest at different times, the readers of one lane at the same

  // A rest ends a little before the batch closes that the first record which waits in it begins, so that the records of
  // a lane that come in one period make one batch, and none waits longer than `wait_ms`.
  static pace of(mono_ms wait_ms, std::uint64_t lane) {
    const auto period = std::min(wait_ms - wait_ms / 8, period_most);
    return {period, period > 0 ? static_cast<mono_ms>(lane * 37 % static_cast<std::uint64_t>(period)) : 0};
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
