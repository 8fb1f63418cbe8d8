// `chute state reset` and `chute state settle`: moves lanes, and says of open plans whether they landed, while nobody
// runs the pipeline.
#pragma once

#include "core/error.hpp"
#include "core/move_request.hpp"
#include "core/topology.hpp"
#include "state/store.hpp"

#include <functional>
#include <memory>
#include <string>

namespace chute {

struct move_watch {
  std::function<void(const std::string&)> say; // what it waits for, and what it made; may be empty
  std::function<bool()> cancelled;             // asked every few seconds; may be empty
};

// Nobody may be in the pipeline's group: waits a session time-out for members to go, then names them and refuses. An
// owner that joins meanwhile is refused by the store, or refuses this. Where an insert of a plan may still be running,
// waits for lease and insert limit first, and says what stands in the way. Nothing is saved before all lanes were
// looked at. Where a save fails after others, the error says what was moved: doing it all again does no harm, unless it
// was a move to another place that has been read from since. `file`: the topology's, for the commands that errors name.
// `opened`: the store, if this process has it open; null: it is opened as the topology says, and a directory that the
// file store lacks is made, and told of. Returns what was done, a line a partition.
result<std::string> move_state(const topology& t, const std::string& file, const std::string& pipeline,
                               const move_request& what, std::shared_ptr<store> opened, const move_watch& watch);

} // namespace chute
