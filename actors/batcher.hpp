// The actor of one lane: turns messages into events, and the lane's effects into messages and jobs.
#pragma once

#include "actors/context.hpp"
#include "core/lane_memory.hpp"

#include <map>
#include <set>
#include <utility>

namespace chute {

struct lane_setup {
  lane_name name;
  lane_config config;
  decoder_spec_ptr spec;
  std::shared_ptr<destination> dest;
  std::shared_ptr<lane_memory> memory; // shared with the other lanes; null: its share is all
  std::size_t lanes = 1;               // that share it
};

struct batcher_state {
  context_ptr context;
  services with;
  lane_setup setup;
  system_random random;
  std::unique_ptr<lane> machine;
  std::map<partition_id, reader_actor> readers;       // only of partitions that are being read
  std::set<std::pair<mono_ms, partition_id>> resting; // readers, and until when
  mono_ms wake_at = INT64_MAX;                        // of the tick under way
  std::uint64_t tick_number = 0;
  mono_ms published_at = 0;
  lane_phase published_phase = lane_phase::unassigned;
  std::string published_wait;
  lane_part counted;                       // in setup.memory
  bool over = false;                       // nothing more is begun; it ends with the last of its readers
  bool drained = false, left_open = false; // as fx_released said
  void count(const lane_part& part) {
    if (setup.memory) setup.memory->change(std::exchange(counted, part), part);
  }
  ~batcher_state() { count({}); }
};

batcher_actor::behavior_type batcher(batcher_actor::stateful_pointer<batcher_state> self, context_ptr context,
                                     services with, lane_setup setup);

} // namespace chute
