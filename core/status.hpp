// What the engine tells of itself: plain values that the admin face, the command line and hosts read.
#pragma once

#include "core/ids.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace chute {

enum class lane_phase : std::uint8_t {
  unassigned,
  loading,
  comparing,
  claiming,
  settling,
  streaming,
  draining,
  released,
  stopped
};
const char* to_string(lane_phase p);

struct partition_status {
  partition_id partition;
  offset_t next;         // all offsets below are done
  std::int64_t end = -1; // the log's end as last seen; -1: not known
  std::int64_t lag() const { return end < 0 ? -1 : (end > next.value ? end - next.value : 0); }
};

struct lane_status {
  std::string topic;
  lane_id lane;
  lane_phase phase = lane_phase::unassigned;
  std::string waiting_for; // why it does not go on at once; empty: it does
  std::string stopped_for; // the reason, with the way out
  std::uint64_t version = 0;
  std::string open_token; // of the plan that is open; empty: none
  std::uint64_t buffered_bytes = 0;
  std::vector<partition_status> partitions;
};

struct pipeline_status {
  enum class state : std::uint8_t {
    starting,
    streaming,
    waiting,
    paused,
    draining,
    drained,
    stopped
  } state = state::starting;
  std::string name, table, reason; // reason: of waiting or stopped
  std::vector<lane_status> lanes;  // those that this process owns
  // Since the start of this process:
  std::uint64_t records = 0, rows = 0, dead_letters = 0, dropped = 0, bytes = 0, fields_ignored = 0;
  std::uint64_t inserts = 0, insert_retries = 0, saves = 0, save_refusals = 0, rebalances = 0, gaps_lost = 0;
  std::uint64_t set_aside = 0;
  std::string last_error;
};
const char* to_string(enum pipeline_status::state s);

struct engine_status {
  std::string version;
  std::int64_t uptime_ms = 0;
  std::uint64_t memory_used = 0, memory_budget = 0;
  std::vector<pipeline_status> pipelines;
};

} // namespace chute
