// What a person may ask for when a lane does not go on by itself: `chute state reset` and `chute state settle`.
#pragma once

#include "core/ids.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace chute {

struct move_request {
  enum class verb : std::uint8_t { reset, settle } what = verb::reset;
  enum class target : std::uint8_t {
    earliest, // the log's beginning
    latest,   // its end
    offset,   // `value`
    time,     // the first record as young as `value` (Unix ms)
    current,  // where it is, in the table and the cluster that the topology names now
    table,    // after what the table holds: nothing that is there is sent again
    adopted,  // where another tool moved the group's offsets to
  } to = target::table;
  enum class word : std::uint8_t { table, landed, not_landed } said = word::table; // settle
  std::int64_t value = 0;
  std::string topic;                    // empty: every topic of the pipeline
  std::vector<partition_id> partitions; // none: all
  std::optional<lane_id> lane;          // all partitions of this one
  // What the asker's file names, so that no engine with another one moves its own; empty: not told.
  std::string group, brokers, table; // database.table
};

// The command that does it, as messages name it: `chute state VERB FILE --pipeline … --topic … OPTIONS`, ready for a
// shell. Without a topic it is of all of the pipeline's.
std::string state_command(const std::string& verb, const std::string& file, const std::string& pipeline,
                          const std::string& topic, const std::string& options);

const char* to_string(enum move_request::target t); // "--to-earliest", …: as the command line has it

} // namespace chute
