// A pipeline's table for one topic: everything the engine asks of ClickHouse, in the words of core/. Blocking; used
// from jobs that run on workers, each with tools of its own.
#pragma once

#include "actors/context.hpp"
#include "actors/worker.hpp"
#include "core/answers.hpp"
#include "core/batch.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace chute {

// What chute_starts knows of a topic.
struct topic_start {
  bool known = false;         // the pipeline's row exists
  std::int32_t lanes = 0;     // L
  std::vector<offset_t> from; // one a partition that existed then
  std::vector<lane_id> begun; // lanes whose first record was saved
};

class destination {
public:
  // Describes server and table, makes what is missing (dead letters, chute_starts). `fatal`: no waiting mends it.
  static result<std::shared_ptr<destination>> open(worker_tools& tools, context_ptr context, const std::string& topic,
                                                   bool& fatal);

  // The columns now. Same fingerprint as last described: the same spec, else one of a later generation. An error names
  // what is gone that cannot be gone.
  result<decoder_spec_ptr> describe_again(worker_tools& tools);
  // Adds columns for fields that have none, unless they are there by now, and describes the table again.
  result<decoder_spec_ptr> add_columns(worker_tools& tools, const std::vector<new_field>& fields);
  // Whether they are others than those that were last described; also once when another table has the name: then
  // nothing more is sent until it is this one again, and describe_again() says so.
  result<bool> columns_differ(worker_tools& tools);

  // As the table was last described: at the start, and after an insert that failed.
  table_standing standing() const;

  // Nothing: the server is up since before `before` (on its clock). Else why nothing may be sent.
  std::optional<insert_answer> restarted(worker_tools& tools, wall_ms before);
  insert_answer insert_rows(worker_tools& tools, const fx_insert& fx, std::function<bool()> lease_holds);
  insert_answer insert_dead_letters(worker_tools& tools, const batch& b, std::function<bool()> lease_holds);
  // `token_running`: the answer's `why` says where.
  table_answer ask(worker_tools& tools, const fx_ask& question, bool& token_running);

  // For each partition the highest offset that the table or the dead letters hold, nothing: none; replicas catch up
  // first. Only where trust.there.
  result<std::vector<std::optional<offset_t>>> highest(worker_tools& tools,
                                                       const std::vector<partition_id>& partitions);

  // Of the table, its views' targets and the dead-letter table together.
  block_sum count_blocks(worker_tools& tools);

  result<topic_start> read_start(worker_tools& tools);
  // The id of another Kafka cluster on which this pipeline began with the topic. Empty: there is none, or the table
  // tells that it has no row of these partitions, which are of lanes that did not begin on this cluster.
  result<std::string> began_elsewhere(worker_tools& tools, const std::vector<partition_id>& partitions);
  result<void> write_start(worker_tools& tools, std::int32_t lanes, const std::vector<offset_t>& from);
  result<void> mark_lane(worker_tools& tools, lane_id lane);
  // Of a pipeline over a pattern of topics: whether all those that there were at its first start have begun, so that
  // one that has not came into being later. Kept as a row of chute_starts whose topic is the pattern.
  result<bool> pattern_begun(worker_tools& tools);
  result<void> note_pattern(worker_tools& tools);

  decoder_spec_ptr spec;      // of the columns as first described
  std::uint64_t identity = 0; // hash of the table's UUID or replicated path
  std::string table_name;     // database.table, for people
  std::string topic;

  struct impl;
  explicit destination(std::shared_ptr<impl> i) : impl_(std::move(i)) {}

private:
  std::shared_ptr<impl> impl_;
};

} // namespace chute
