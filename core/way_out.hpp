// Ways out that several parts of chute name: a lane that stops, `chute check`, which finds the same before it runs, and
// the commands themselves. Whoever writes them once only cannot advise two things.
#pragma once

#include "core/answers.hpp"
#include "core/ids.hpp"
#include "core/record.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace chute {

// Whose state a command is about; without a topic, all of the pipeline's.
struct state_of {
  std::string file, pipeline, topic;

  // The command, in backquotes, ready for a shell.
  std::string reset(const std::string& options) const;
  std::string settle(const std::string& options) const;
};
std::string of_lane(lane_id lane);                               // "--lane 3 "
std::string of_partition(partition_id p);                        // "--partition 3 "
std::string settle_by_word(const state_of& whose, lane_id lane); // both commands

// Where no record says where to go on. A table that cannot be asked (`there`: it can) does not tell either: a person
// then names the offset. `of`: what is moved, as above.
std::string go_on_after_table(const state_of& whose, const std::string& of, bool there);

// After retention took records that were not delivered. Of an open plan, or of one that is being filled in, the table
// may hold what follows the loss.
std::string pass_loss(const state_of& whose, const lane_record& r, lane_id lane, std::size_t i,
                      const table_trust& trust);
// Whether the loss reaches into the open plan: then nobody goes on, whatever on_data_loss says.
bool loss_meets_plan(const lane_record& r, std::size_t i);

// For a topic that needs other lanes than those that it began with. `tells`: the table is asked before anything is
// sent, and what it lacks did not land.
std::string begin_with_other_lanes(const state_of& whose, bool tells);

} // namespace chute
