// The actor of one pipeline: prepares what its lanes need, follows the group's assignments, supervises, drains, stops.
#pragma once

#include "actors/context.hpp"
#include "actors/destination.hpp"
#include "core/lane_memory.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

namespace chute {

// A topic as its lanes find it.
struct topic_runtime {
  std::shared_ptr<destination> dest;
  std::int32_t lanes = 0, partitions = 0;
  decoder_spec_ptr spec;                      // in force: changes with the table's columns
  std::uint64_t described = 0;                // the latest generation that was told
  std::map<std::int32_t, std::int64_t> until; // --until-end: partition → end
};

// Questions that are asked about every topic again and again. A server that hangs answers none for long: one job asks
// them one after the other, gives up after a moment, and goes on there the next time.
struct question_round {
  std::atomic<bool> under_way = false;
  std::size_t next = 0; // of the job's own thread
};
using round_ptr = std::shared_ptr<question_round>;

struct lane_entry {
  batcher_actor actor;
  std::uint64_t assignment; // the number of the one that it was begun for
  bool stopped = false;
};

// Which topic a job that begins several is at; written by its thread.
class topic_at_work {
public:
  struct step {
    std::string topic; // empty: none yet
    mono_ms since = mono_now();
  };
  void is(const std::string& topic) {
    const std::lock_guard hold(mutex_);
    now_ = {topic, mono_now()};
  }
  step now() const {
    const std::lock_guard hold(mutex_);
    return now_;
  }

private:
  mutable std::mutex mutex_;
  step now_;
};

struct pipeline_state {
  enum class phase : std::uint8_t { preparing, running, ending, over };
  std::shared_ptr<pipeline_context> context;
  std::shared_ptr<store> opened_store;
  services with;
  std::shared_ptr<lane_memory> memory; // of its lanes
  phase at = phase::preparing;
  std::map<std::string, topic_runtime> topics;
  std::map<std::string, std::map<std::int32_t, std::int64_t>> until; // as the topics ended at the start
  std::map<lane_name, lane_entry> lanes;
  std::map<std::string, mono_ms> gone_at; // topics: when the log of a partition was last seen to be gone
  std::vector<kafka::topic_partition> assignment;
  bool assigned = false; // the group gave partitions, or none, and did not take them back
  std::uint64_t assignment_number = 0, begun_number = 0; // begun: the last one whose lanes were begun, or are about to
  std::set<lane_name> drained;                           // --until-end: lanes that this process brought to their end
  mono_ms confirm_at = 0;                                // when to ask the group about the others
  mono_ms confirm_pause = 0;                             // between two such questions; grows
  bool confirming = false;
  mono_ms count_at = 0, look_at = 0, ends_at = 0, grown_at = 0;
  round_ptr counts = std::make_shared<question_round>(), looks = std::make_shared<question_round>(),
            ends = std::make_shared<question_round>(), grown = std::make_shared<question_round>();
  mono_ms grown_pause = 0;          // until the next look, where lanes began anew; grows
  std::set<std::string> begin_anew; // topics whose lanes are given up, to begin with all partitions there are
  mono_ms anew_deadline = 0;        // for them to end
  bool job_running = false;
  std::shared_ptr<topic_at_work> job_at; // of that job
  std::size_t assigned_times = 0;
  std::size_t fetched_partitions = 0; // that the fetcher's memory is divided by
  std::size_t warned_lanes = 0;       // for which memory is little
  std::set<std::string> first_topics; // of a pattern: those that there were when this process began
  bool none_listed = false;           // there were none: all that come are new
  std::string topics_wait_for;        // why some of its topics cannot begin; empty: all have that may be ours
  std::string group_trouble;          // what was last heard of the group, since it last gave partitions
  mono_ms group_trouble_told = 0;
  std::map<std::string, mono_ms> troubles_told; // within the last minutes: what it waits for, and when that was logged
  bool revoking = false;
  mono_ms revoke_deadline = 0, retry_at = 0;
  mono_ms without_since = 0; // the group took the partitions back, and gave none since
  int tries = 0;
  bool paused = false, draining = false;
  std::string stopped_for;                              // the pipeline's
  std::map<std::string, std::string> lanes_stopped_for; // topic → why the last one of its lanes did
  bool cut_short = false;                               // told to end while lanes were not done
};

pipeline_actor::behavior_type pipeline(pipeline_actor::stateful_pointer<pipeline_state> self,
                                       std::shared_ptr<pipeline_context> context, std::shared_ptr<store> opened_store);

} // namespace chute
