// All schedules of a small scope that differ from the plain one in at most so many places.
#pragma once

#include "test/sim/runner.hpp"

#include <cstdint>

namespace chute::sim {

struct search_result {
  std::uint64_t visited = 0, failed = 0;
  bool whole = true; // false: the limit came first
  outcome_counts counts;
};

// Runs every schedule with at most `depth` deviations, up to `limit` schedules; prints what fails.
search_result search_all(int depth, std::uint64_t limit, int threads, const wishes& w);

} // namespace chute::sim
