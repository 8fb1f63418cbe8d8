// Looking at a topology's surroundings without running it: `chute check` and `chute state show`.
#pragma once

#include "core/error.hpp"
#include "core/finding.hpp"
#include "core/record.hpp"
#include "core/topology.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace chute {

// Asks Kafka, ClickHouse and the store everything that could break the promise. Never fails as a whole: what cannot be
// asked is a finding too.
// `file`: of the topology, for the commands that findings name.
std::vector<finding> check(const topology& t, const std::string& file = "FILE");

// One lane as its store has it.
struct lane_state_view {
  std::string pipeline, topic;
  lane_id lane;
  bool found = false;
  std::string problem; // why there is no record, or why it cannot be read; found: why it must not be followed
  enum class trouble : std::uint8_t {
    none,
    absent,     // there is no record
    moved,      // another tool moved the group's offsets
    unreadable, // it is no record of this version
    failed,     // no answer, or the wrong store
  } why = trouble::none;
  std::optional<error> failure;    // unreadable, failed
  std::uint64_t noted_version = 0; // that the group's offsets tell of, beside another store; 0: none
  lane_record record;              // found
  std::vector<std::int64_t> ends;  // of each partition's log; -1: not known
};
result<std::vector<lane_state_view>> show_state(const topology& t);

} // namespace chute
