// What happens in an engine, as a host's listener is told: plain values.
#pragma once

#include "core/status.hpp"

#include <cstdint>
#include <string>

namespace chute {

struct engine_event {
  enum class kind : std::uint8_t {
    pipeline,     // a pipeline is in another state: `state`; `text`: why
    lane,         // a lane of this process is in another phase, or waits for something else: `topic`, `lane`, `phase`;
                  // `text`: what it waits for, or why it stopped
    lane_gone,    // a lane went to another process, or ended: `topic`, `lane`
    rebalanced,   // the group gave this process other partitions
    dead_letters, // of a lane: `topic`, `lane`; `count` more records became dead letters
    trouble,      // something failed that the engine goes on from by itself, or stops for: `text`
  } what = kind::pipeline;
  std::string pipeline;
  enum pipeline_status::state state = pipeline_status::state::starting;
  std::string topic;
  lane_id lane;
  lane_phase phase = lane_phase::unassigned;
  std::uint64_t count = 0;
  std::string text;
  std::uint64_t missed = 0; // events before this one that were dropped, because the listener was too slow for them
};
const char* to_string(enum engine_event::kind k);

} // namespace chute
