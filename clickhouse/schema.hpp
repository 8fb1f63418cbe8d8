// The two tables that chute makes for itself next to a destination: the dead letters, and `chute_starts`, which knows
// what began. Both are of the destination's engine family, so that both deduplicate as it does.
#pragma once

#include "clickhouse/insert.hpp"
#include "clickhouse/tables.hpp"
#include "core/chunk.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace chute::clickhouse {

// --- making tables ---------------------------------------------------------------------------------------------------

// The columns that dead letters and starts are written with; `type` is as DESCRIBE prints it.
struct owned_column {
  const char* name;
  const char* type;
};
std::span<const owned_column> dead_letter_columns();
std::span<const owned_column> starts_columns();

// The engine of a table of ours beside this destination. Replicated destinations get ReplicatedMergeTree: without
// arguments in a Replicated database, else with a path that is the same on all replicas of a shard
// (/clickhouse/tables/chute/<shard>/<database>/<table>).
std::string sibling_engine(const table_description& destination, const std::string& database, const std::string& table,
                           const std::string& shard);

// CREATE TABLE IF NOT EXISTS …, as it is run and as `check` prints it.
std::string dead_letter_statement(const table_description& destination, const std::string& database,
                                  const std::string& table, const std::string& shard);
std::string starts_statement(const table_description& destination, const std::string& database,
                             const std::string& table, const std::string& shard);

// The user's settings for inserts of dead letters. Where the table has fewer replicas than insert_quorum wants (chute
// makes it on the servers of clickhouse.url only) no insert would ever succeed: there the quorum is left out. Empty
// `replicas`: not known, or not replicated.
settings_map dead_letter_settings(settings_map settings, bool profile_wants_quorum,
                                  std::optional<std::uint64_t> replicas);

// How many replicas a replicated table has, those that are away too.
result<std::uint64_t> replicas_of(session& s, const storage& t, std::int64_t limit_ms);

// Makes the table if it is missing, and checks the one that is there: its columns, and for exactly_once that it
// deduplicates. Where the destination is replicated by hand (not by its database), once on each server.
result<table_description> ensure_dead_letter_table(session& s, const server_facts& facts,
                                                   const table_description& destination, const std::string& database,
                                                   const std::string& table, bool exactly_once, std::int64_t limit_ms);
result<table_description> ensure_starts_table(session& s, const server_facts& facts,
                                              const table_description& destination, const std::string& database,
                                              const std::string& table, std::int64_t limit_ms);
// Why a table cannot serve as ours, and the statements that mend it. `statement`: the one that makes ours. A table that
// is ours is mended where it is: renamed out of the way, its rows, and what they remember, would be gone.
struct table_fault {
  std::string what, mend;
};
std::vector<table_fault> dead_letter_table_faults(const table_description& t, bool exactly_once,
                                                  const std::string& statement);
std::vector<table_fault> starts_table_faults(const table_description& t, const std::string& statement);

// --- dead letters ----------------------------------------------------------------------------------------------------

// A Native block. `failed_at_ms` comes from the plan: a repeated insert must hold the same bytes.
std::string dead_letter_body(std::span<const dead_letter* const> letters, const std::string& pipeline,
                             const std::string& topic, wall_ms failed_at_ms);

struct dead_letter_insert {
  std::string database, table, pipeline, topic;
  std::span<const dead_letter* const> letters; // by partition, then offset
  wall_ms failed_at_ms = 0;
  std::string token; // empty: none
  settings_map settings;
  std::int64_t limit_ms = 120'000;
  std::function<bool()> lease;
};
// Nothing is sent, and it is acknowledged, if there are no letters.
insert_answer insert_dead_letters(session& s, const server_facts& facts, const dead_letter_insert& r);

// --- chute_starts ----------------------------------------------------------------------------------------------------

// One row says where a pipeline's topic began (kind 'start'); one more a lane says that its first record was saved
// (kind 'lane'). Rows are never changed. Where two 'start' rows stand, against all care, the oldest wins: by
// created_at, then by content.
struct starts_place {
  std::string database, table = "chute_starts";
  bool replicated = false;
};

// Whose rows.
struct start_key {
  std::string cluster, group, pipeline, topic;
};

struct started {
  bool known = false;         // the start row exists
  std::int32_t lanes = 0;     // L
  std::vector<offset_t> from; // where each partition that existed then begins: partition 0, 1, …
  std::set<lane_id> begun;    // lanes that have a row
};

// Replicas catch up first. No answer is an error, never "not known". Blocking: up to two requests of limit_ms.
result<started> read_starts(session& s, const server_facts& facts, const starts_place& place, const start_key& key,
                            std::int64_t limit_ms);

// Other pipelines and groups that began on the topic, a few of them: "pipeline orders, group chute-orders".
result<std::vector<std::string>> read_other_starts(session& s, const server_facts& facts, const starts_place& place,
                                                   const start_key& key, std::int64_t limit_ms);

// Other Kafka clusters on which this very pipeline began with the topic, the last one first.
result<std::vector<std::string>> read_other_clusters(session& s, const server_facts& facts, const starts_place& place,
                                                     const start_key& key, std::int64_t limit_ms);

// Writes the start row unless there is one, and returns what then stands there: of two processes that race, both get
// the row of the one that came first. This rests on the table's deduplication: the row's token is made of its key.
// `now_ms`: for people, and for the order of rows.
result<started> write_start(session& s, const server_facts& facts, const starts_place& place, const start_key& key,
                            std::int32_t lanes, const std::vector<offset_t>& from, wall_ms now_ms,
                            std::int64_t limit_ms);

// Writes the lane's row; a second time changes nothing.
result<void> mark_lane(session& s, const server_facts& facts, const starts_place& place, const start_key& key,
                       lane_id lane, wall_ms now_ms, std::int64_t limit_ms);

} // namespace chute::clickhouse
