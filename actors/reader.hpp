// The actor of one partition: for each credit it takes what Kafka has sent, and passes it on to be converted.
#pragma once

#include "actors/context.hpp"

#include <deque>

namespace chute {

struct reader_state {
  context_ptr context;
  std::unique_ptr<kafka::stream> source;
  kafka::topic_partition where;
  converter_actor converter;
  batcher_actor to;
  std::uint64_t epoch = 0;
  decoder_spec_ptr spec;
  std::deque<std::uint64_t> credits; // bytes; at most a few, the lane bounds them
  const char* name = "reader";
};

reader_actor::behavior_type reader(reader_actor::stateful_pointer<reader_state> self, context_ptr context,
                                   std::shared_ptr<kafka::fetcher> fetcher, kafka::topic_partition where,
                                   converter_actor converter, batcher_actor to);

struct converter_state {
  decoder_spec_ptr spec; // of the decoder
  std::unique_ptr<decoder> with;
  pipeline_actor boss;
};

converter_actor::behavior_type converter(converter_actor::stateful_pointer<converter_state> self, pipeline_actor boss);

} // namespace chute
