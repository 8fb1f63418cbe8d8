// All messages and all actor interfaces of the engine. Who talks to whom:
//
//   pipeline ── starts, revokes, drains ──▶ batcher (one a lane) ── take ──▶ reader (one a partition)
//      ▲                                      │  ▲                              │ raw batch
//      │ assigned, revoked                    │  └──────── chunk ── converter ◀─┘
//   keeper ◀────────── load, save ────────────┤
//      (one a pipeline: group and store)      └── jobs ──▶ pool ──▶ workers (they may block)
//
// Big payloads travel as shared pointers to const; single records never travel.
#pragma once

#include "core/chunk.hpp"
#include "core/lane.hpp"
#include "formats/decoder.hpp"
#include "kafka/fetch.hpp"
#include "kafka/group.hpp"
#include "state/store.hpp"

#include <caf/all.hpp>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace chute {

// What a converter needs to make a decoder. Equal generations are equal specs.
struct decoder_spec {
  std::uint64_t generation = 0;
  std::string format;
  std::vector<target_column> targets;
  decoder_options options;
  std::uint64_t fingerprint = 0;
  // The host's, if the format is one of its own; null: make_decoder().
  std::function<result<std::unique_ptr<decoder>>(std::vector<target_column>, decoder_options)> make;
};
using decoder_spec_ptr = std::shared_ptr<const decoder_spec>;

struct lane_name {
  std::string topic;
  lane_id lane;
  auto operator<=>(const lane_name&) const = default;
};

class worker_tools; // what blocking jobs work with (actors/worker.hpp)

// --- messages --------------------------------------------------------------------------------------------------------

namespace msg {

struct tick {
  std::uint64_t number = 0;
};
struct wake {};

// to a reader
struct read_from {
  std::uint64_t epoch;
  offset_t from;
  decoder_spec_ptr spec;
};
struct take_chunk {
  std::uint64_t epoch;
  std::uint64_t bytes;
};
struct read_again { // to itself, after what could not be begun
  read_from what;
  std::uint64_t number; // of the start that failed
};
struct set_aside {};
struct anything_to_read {
  std::uint64_t epoch;
};
struct committed_end { // is there more behind it? Then held_back
  offset_t end;
};
struct rested {}; // what it told its batcher with reader_rests is over
struct stop_reading {};

// to a batcher
struct converted {
  std::uint64_t epoch;
  chunk_ptr data;
};
struct nothing_to_read { // the log's end, or nothing comes
  std::uint64_t epoch;
  partition_id partition;
  std::optional<offset_t> end;
};
struct held_back { // behind `end` there are records of an open transaction, or behind one, up to `high`
  std::uint64_t epoch;
  partition_id partition;
  offset_t end, high;
};
struct reader_rests { // wake it at `until`
  partition_id partition;
  mono_ms until;
};
struct read_failure {
  std::uint64_t epoch;
  partition_id partition;
  read_error what;
  std::string why;
};
struct loaded_lane {
  ticket_t ticket;
  std::shared_ptr<const lane_loaded> what;
};
struct inspected_log {
  ticket_t ticket;
  std::shared_ptr<const log_facts> facts;
};
struct saved_lane {
  ticket_t ticket;
  save_outcome outcome;
  std::string why;
};
struct marked_lane {
  ticket_t ticket;
  bool ok;
  std::string why;
};
struct inserted_batch {
  ticket_t ticket;
  insert_answer answer;
};
struct answered_question {
  ticket_t ticket;
  std::shared_ptr<const table_answer> answer;
  bool token_running = false;
};
struct refreshed_table {
  ticket_t ticket;
  bool same;
  std::string why;
};
struct new_columns {
  decoder_spec_ptr spec;
};
struct control {
  enum class what : std::uint8_t { assign, revoke, lose, drain, pause, resume, look } order;
};
struct log_ends { // told by the log, not by records
  std::vector<std::pair<partition_id, offset_t>> ends;
};
struct block_count {
  block_sum blocks;
};
struct starts_read {
  ticket_t ticket;
  std::shared_ptr<const lane_loaded> partly;
}; // chute_starts before the store

// to the keeper
struct load_lane {
  ticket_t ticket;
  lane_key key;
  std::vector<partition_id> partitions; // of the lane; the seat is the first
  std::shared_ptr<const lane_loaded> partly;
  caf::actor_addr from;
};
struct save_lane {
  ticket_t ticket;
  save_request request;
  caf::actor_addr from;
};
struct lane_forgotten {
  bool save_outstanding;
};
struct revoke_done {};
struct leave {};

// to the pipeline
struct prepared {
  std::shared_ptr<void> what;
  std::string failure;
  bool fatal = false;
};
struct others_drained {
  bool all;
}; // --until-end
struct described {
  std::shared_ptr<void> what;
}; // a table was described again
struct group_assigned {
  std::vector<kafka::topic_partition> partitions;
};
struct group_revoked {
  bool lost;
};
struct group_trouble {
  std::string what;
};
struct topic_grew { // since its lanes began
  std::string topic;
  std::int32_t partitions;
};
struct lane_released {
  lane_name name;
  bool drained, left_open;
};
struct log_differed { // a lane's reader was told that its place is not in the log
  lane_name name;
};
struct lane_stopped {
  lane_name name;
  std::string reason;
};
struct refresh_wanted {
  lane_name name;
  ticket_t ticket;        // 0: nobody asked
  caf::actor_addr from{}; // another lane of the same name may have begun when the answer comes
};
struct topics_kept { // of all others the pipeline was given no partitions, nor will be
  std::set<std::string> topics;
};
struct failed {
  std::string what;
}; // an actor could not go on: the pipeline stops
struct order {
  enum class what : std::uint8_t { drain, stop, pause, resume } order;
};

// to a converter
struct schemas_fetched {
  bool all = false;
  std::string why;                 // not all: for people
  std::vector<std::uint32_t> left; // not asked about yet
  bool later = false;              // it did not answer, or not to the point: that may go on for long
};

// New columns for fields without one: stays, or another spec, of the table as it is now; `why`: not yet.
struct fields_added {
  decoder_spec_ptr spec;
  std::string why;
};

// to a pool and its workers
struct job {
  std::function<void(worker_tools&)> run; // none: the worker is to end
  std::string about;                      // a topic: what hangs of one must not keep the others waiting
};
struct idle {
  std::string about; // the job that is done
};
struct late {}; // to itself: is there a topic that waits though nothing of it is run?

} // namespace msg

// --- interfaces ------------------------------------------------------------------------------------------------------

// Reads one partition, a chunk for each credit.
using reader_actor =
    caf::typed_actor<caf::reacts_to<msg::read_from>, caf::reacts_to<msg::read_again>, caf::reacts_to<msg::take_chunk>,
                     caf::reacts_to<msg::set_aside>, caf::reacts_to<msg::stop_reading>,
                     caf::reacts_to<msg::anything_to_read>, caf::reacts_to<msg::committed_end>,
                     caf::reacts_to<msg::rested>, caf::reacts_to<msg::wake>>;

// Runs a lane: events in, effects out.
using batcher_actor = caf::typed_actor<
    caf::reacts_to<msg::converted>, caf::reacts_to<msg::nothing_to_read>, caf::reacts_to<msg::reader_rests>,
    caf::reacts_to<msg::read_failure>, caf::reacts_to<msg::loaded_lane>, caf::reacts_to<msg::starts_read>,
    caf::reacts_to<msg::inspected_log>, caf::reacts_to<msg::saved_lane>, caf::reacts_to<msg::marked_lane>,
    caf::reacts_to<msg::inserted_batch>, caf::reacts_to<msg::answered_question>, caf::reacts_to<msg::refreshed_table>,
    caf::reacts_to<msg::new_columns>, caf::reacts_to<msg::control>, caf::reacts_to<msg::block_count>,
    caf::reacts_to<msg::log_ends>, caf::reacts_to<msg::held_back>, caf::reacts_to<msg::tick>>;

// Turns raw records into chunks, in order for each partition.
struct convert_request {
  std::shared_ptr<kafka::raw_batch> raw;
  std::uint64_t epoch;
  std::string topic;
  partition_id partition;
  decoder_spec_ptr spec;
  batcher_actor to;
  mono_ms arrived_at;
};
using converter_actor = caf::typed_actor<caf::reacts_to<convert_request>, caf::reacts_to<msg::topics_kept>,
                                         caf::reacts_to<msg::schemas_fetched>, caf::reacts_to<msg::fields_added>,
                                         caf::reacts_to<msg::wake>>;

namespace msg {
// Records that were decoded by `spec` have fields without a column, which they are to get.
struct fields_found {
  std::string topic;
  decoder_spec_ptr spec;
  std::vector<new_field> fields;
  converter_actor from;
};
struct fields_answered {
  converter_actor to;
  fields_added answer;
};
} // namespace msg

// Holds the group and the store; joins the saves of many lanes into one request.
using keeper_actor = caf::typed_actor<caf::reacts_to<msg::load_lane>, caf::reacts_to<msg::save_lane>,
                                      caf::reacts_to<msg::lane_forgotten>, caf::reacts_to<msg::revoke_done>,
                                      caf::reacts_to<msg::leave>, caf::reacts_to<msg::wake>, caf::reacts_to<msg::tick>>;

// Runs one job after another; may block.
using worker_actor = caf::typed_actor<caf::reacts_to<msg::job>>;
// Hands jobs to idle workers: in order, and to each topic its share.
using pool_actor =
    caf::typed_actor<caf::reacts_to<msg::job>, caf::reacts_to<msg::idle, worker_actor>, caf::reacts_to<msg::late>>;

// Starts, supervises and ends everything of one pipeline.
using pipeline_actor =
    caf::typed_actor<caf::reacts_to<msg::prepared>, caf::reacts_to<msg::described>, caf::reacts_to<msg::others_drained>,
                     caf::reacts_to<msg::fields_found>, caf::reacts_to<msg::fields_answered>,
                     caf::reacts_to<msg::group_assigned>, caf::reacts_to<msg::group_revoked>,
                     caf::reacts_to<msg::group_trouble>, caf::reacts_to<msg::topic_grew>,
                     caf::reacts_to<msg::lane_released>, caf::reacts_to<msg::lane_stopped>,
                     caf::reacts_to<msg::log_differed>, caf::reacts_to<msg::refresh_wanted>,
                     caf::reacts_to<msg::failed>, caf::reacts_to<msg::order>, caf::reacts_to<msg::tick>>;

} // namespace chute

#define CHUTE_MESSAGE(type) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(type)
CHUTE_MESSAGE(chute::msg::tick)
CHUTE_MESSAGE(chute::msg::wake)
CHUTE_MESSAGE(chute::msg::read_from)
CHUTE_MESSAGE(chute::msg::read_again)
CHUTE_MESSAGE(chute::msg::anything_to_read)
CHUTE_MESSAGE(chute::msg::committed_end)
CHUTE_MESSAGE(chute::msg::held_back)
CHUTE_MESSAGE(chute::msg::rested)
CHUTE_MESSAGE(chute::msg::take_chunk)
CHUTE_MESSAGE(chute::msg::set_aside)
CHUTE_MESSAGE(chute::msg::stop_reading)
CHUTE_MESSAGE(chute::msg::converted)
CHUTE_MESSAGE(chute::msg::nothing_to_read)
CHUTE_MESSAGE(chute::msg::reader_rests)
CHUTE_MESSAGE(chute::msg::read_failure)
CHUTE_MESSAGE(chute::msg::loaded_lane)
CHUTE_MESSAGE(chute::msg::starts_read)
CHUTE_MESSAGE(chute::msg::inspected_log)
CHUTE_MESSAGE(chute::msg::saved_lane)
CHUTE_MESSAGE(chute::msg::marked_lane)
CHUTE_MESSAGE(chute::msg::inserted_batch)
CHUTE_MESSAGE(chute::msg::answered_question)
CHUTE_MESSAGE(chute::msg::refreshed_table)
CHUTE_MESSAGE(chute::msg::new_columns)
CHUTE_MESSAGE(chute::msg::control)
CHUTE_MESSAGE(chute::msg::block_count)
CHUTE_MESSAGE(chute::msg::log_ends)
CHUTE_MESSAGE(chute::msg::load_lane)
CHUTE_MESSAGE(chute::msg::save_lane)
CHUTE_MESSAGE(chute::msg::lane_forgotten)
CHUTE_MESSAGE(chute::msg::revoke_done)
CHUTE_MESSAGE(chute::msg::leave)
CHUTE_MESSAGE(chute::msg::prepared)
CHUTE_MESSAGE(chute::msg::described)
CHUTE_MESSAGE(chute::msg::others_drained)
CHUTE_MESSAGE(chute::msg::group_assigned)
CHUTE_MESSAGE(chute::msg::group_revoked)
CHUTE_MESSAGE(chute::msg::group_trouble)
CHUTE_MESSAGE(chute::msg::topic_grew)
CHUTE_MESSAGE(chute::msg::topics_kept)
CHUTE_MESSAGE(chute::msg::lane_released)
CHUTE_MESSAGE(chute::msg::lane_stopped)
CHUTE_MESSAGE(chute::msg::log_differed)
CHUTE_MESSAGE(chute::msg::refresh_wanted)
CHUTE_MESSAGE(chute::msg::failed)
CHUTE_MESSAGE(chute::msg::order)
CHUTE_MESSAGE(chute::msg::schemas_fetched)
CHUTE_MESSAGE(chute::msg::fields_found)
CHUTE_MESSAGE(chute::msg::fields_answered)
CHUTE_MESSAGE(chute::msg::fields_added)
CHUTE_MESSAGE(chute::msg::job)
CHUTE_MESSAGE(chute::msg::idle)
CHUTE_MESSAGE(chute::msg::late)
CHUTE_MESSAGE(chute::convert_request)
#undef CHUTE_MESSAGE
