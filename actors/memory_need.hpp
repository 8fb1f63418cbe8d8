// What the lanes of a process need of `memory:` at least: each reads one partition at a time, however far it is behind.
#pragma once

#include "core/finding.hpp"
#include "core/text.hpp"
#include "kafka/fetch.hpp"

#include <optional>

namespace chute {

// A finding where what they may hold while all have much to read is more than twice the quarter that is meant for it.
// `pipelines`: of which each has such a share of the memory, and so many lanes.
inline std::optional<finding> memory_need(std::uint64_t memory, std::uint64_t lanes, std::uint64_t pipelines = 1) {
  constexpr std::uint64_t mib = 1 << 20;
  const auto held = lanes * kafka::portion{}.held();
  if (held <= memory / 2) return {};
  const auto enough = (4 * held * pipelines + mib - 1) / mib;
  return finding{finding::severity::warning, "topology",
                 (pipelines > 1 ? "a pipeline's share of memory: " : "memory: ") + format_size(memory) +
                     " is little for " + std::to_string(lanes) +
                     " lanes: while all of them have much to read they hold up to " +
                     format_size((held + mib - 1) / mib * mib) +
                     " of records that wait, and more where producers' batches are large",
                 "memory: " + std::to_string(enough) + "MiB, or fewer lanes"};
}

} // namespace chute
