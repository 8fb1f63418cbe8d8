// Runs schedules by their seeds, on several threads; shrinks what fails.
#pragma once

#include "test/sim/world.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace chute::sim {

struct verdict {
  bool failed = false;
  std::string why;
  std::uint64_t hash = 0, faults = 0; // faults: numbered from 0, struck or not
  std::vector<std::uint64_t> struck;
  outcome_counts counts;
};

verdict run_one(std::uint64_t seed, const wishes& w, const std::vector<std::uint64_t>& left_out = {},
                std::vector<std::string>* trace = nullptr);

// A smaller schedule that fails too: fewer faults, records, processes, as far as a bounded search finds.
struct shrunk {
  wishes with;
  std::vector<std::uint64_t> left_out;
  verdict last;
  int tried = 0;
};
shrunk shrink(std::uint64_t seed, const wishes& w);

// Prints what failed, its trace after shrinking, and how to run it again.
void report(std::uint64_t seed, const wishes& w, const verdict& v);

} // namespace chute::sim
