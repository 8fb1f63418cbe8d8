// The actor of one partition: for each credit it takes what Kafka has sent, and passes it on to be converted.
#pragma once

#include "actors/context.hpp"
#include "actors/fault_point.hpp"
#include "core/pace.hpp"

#include <atomic>
#include <deque>
#include <map>
#include <set>

namespace chute {

// When a partition's queue became non-empty: written by librdkafka's threads.
struct arrival {
  std::atomic<bool> quiet = false; // the reader rests: it looks by itself
  std::atomic<mono_ms> since = 0;  // 0: nothing has come since the last look
};

struct reader_state {
  context_ptr context;
  std::shared_ptr<kafka::fetcher> fetcher;
  std::unique_ptr<kafka::stream> source; // before the first start: null
  kafka::topic_partition where;
  converter_actor converter;
  batcher_actor to;
  std::uint64_t epoch = 0;
  std::uint64_t starts = 0; // so far
  bool stopped = false;
  bool told = false; // the batcher knows that nothing is left, or that nothing comes
  decoder_spec_ptr spec;
  std::deque<std::uint64_t> credits; // bytes; at most a few, the lane bounds them
  pace rhythm;
  bool resting = false, caught_up = false;        // caught up: the partition's end was seen since the start
  mono_ms taken_at = 0;                           // when it last took all there was
  std::uint64_t came_records = 0, came_bytes = 0; // since
  std::shared_ptr<arrival> came = std::make_shared<arrival>();
  const char* name = "reader";
  ~reader_state() { fault_point("reader_ends", fault_at::late); }
};

reader_actor::behavior_type reader(reader_actor::stateful_pointer<reader_state> self, context_ptr context,
                                   std::shared_ptr<kafka::fetcher> fetcher, kafka::topic_partition where,
                                   converter_actor converter, batcher_actor to, pace rhythm);

// Makes chunks of records. Records may name schemas that are not known yet: the converter then asks a worker to fetch
// them, and what comes meanwhile waits, so that chunks stay in order. A registry that cannot be reached is asked again
// and again.
struct converter_state {
  context_ptr context;
  // What decodes a topic, and what it has learned. Chunks of several topics come one after the other.
  struct decoding {
    decoder_spec_ptr spec;
    std::unique_ptr<decoder> with;
    std::set<std::string> hopeless; // names that `spec` has no column for, whatever is added; see hopeless_max
  };
  std::map<std::string, decoding> by_topic;
  pipeline_actor boss;
  pool_actor helpers;
  std::deque<convert_request> waiting;                    // bounded by the credits of the readers: see add_waiting
  bool fetching = false;                                  // or about to; or waits for columns
  bool may_last = false;                                  // what it waits for: nobody knows for how long
  chunk_ptr held;                                         // of the first that waits: it has fields without a column
  std::set<std::pair<std::string, partition_id>> blocked; // while it waits: whose records wait, too
  int tries = 0;
  std::set<std::string> told_hopeless; // topics that have hopeless_max of them, which was logged
};
inline constexpr std::size_t hopeless_max = 10'000; // then what else is new gets no column, and is not asked about

// Puts `r` behind what waits, and drops what waits of its partition for a lane that reads anew since: nobody takes
// that, and it would gather while a registry is away. The first stays if it is `at_work`.
void add_waiting(std::deque<convert_request>& waiting, bool at_work, const convert_request& r);

converter_actor::behavior_type converter(converter_actor::stateful_pointer<converter_state> self, context_ptr context,
                                         pipeline_actor boss, pool_actor helpers);

} // namespace chute
