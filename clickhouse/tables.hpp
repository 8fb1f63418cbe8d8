// What a server and a table are like: read once at a pipeline's start, and again whenever the columns changed.
#pragma once

#include "clickhouse/query.hpp"
#include "core/changes.hpp"
#include "core/error.hpp"
#include "core/ids.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace chute::clickhouse {

// --- the server ------------------------------------------------------------------------------------------------------

struct server_clock {
  wall_ms now_ms = 0;        // now64
  std::int64_t uptime_s = 0; // since its start
};

struct server_facts {
  std::string version; // "26.7.2.1"
  int major = 0, minor = 0;
  std::string timezone;
  server_clock clock;                          // when the facts were read
  std::set<std::string, std::less<>> settings; // all that it knows
  bool profile_wants_quorum = false;           // insert_quorum of the user's profile
  std::set<std::string> system_columns; // "tables.target_table", "parts.has_lightweight_delete", …: what we may ask for

  bool knows(std::string_view setting) const { return settings.contains(setting); }
};

result<server_facts> read_facts(session& s, std::int64_t limit_ms);
result<server_clock> read_clock(session& s, std::int64_t limit_ms);

// --- tables ----------------------------------------------------------------------------------------------------------

enum class engine_family : std::uint8_t {
  plain, // MergeTree
  replacing,
  collapsing, // and VersionedCollapsing
  merging,    // Summing, Aggregating, Graphite, Coalescing: rows melt into others
  distributed,
  view, // of any kind
  null, // keeps nothing
  other,
};

// Where rows are kept, and how long it knows an insert again.
struct storage {
  std::string database, table;
  std::string uuid;                // all zeros in databases that have none
  std::string engine, engine_full; // as system.tables prints them
  engine_family family = engine_family::other;
  bool replicated = false;                  // Replicated… or Shared…
  std::string keeper, keeper_path, replica; // of replicated tables
  // The deduplication window. A replicated table has both limits, a plain one has no limit in seconds (INT64_MAX).
  // 0 inserts, or 0 seconds: it does not deduplicate.
  std::uint64_t window_inserts = 0;
  std::int64_t window_seconds = 0;
  bool rows_expire = false; // a TTL takes rows away
  std::string partition_key, sorting_key;
  std::uint64_t partitions = 0, partitions_written = 0; // count_partitions(): now, and those written to lately

  bool merge_tree() const { return family <= engine_family::merging; }
  bool deduplicates() const { return merge_tree() && window_inserts > 0 && window_seconds > 0; }
};

struct column_description {
  std::string name;
  std::string type;         // on one line
  std::string default_kind; // "", DEFAULT, MATERIALIZED, ALIAS, EPHEMERAL
  std::string default_expression;
  std::string ttl = {}; // after which its values become its default
};

struct view_description {
  qualified_name view, source;
  storage target;
  bool target_known = false; // false: the target cannot be seen (dropped, or no right to see it)
};

struct table_description : storage {
  bool exists = false; // false: nothing below is set but database and table
  bool database_exists = false;
  std::string database_engine;             // Atomic, Replicated, …
  std::vector<column_description> columns; // in the table's order
  std::vector<view_description> views;     // all that an insert runs through, views of the views' targets too
  bool views_cut = false;                  // more than views_max: the rest was not followed
  bool deletes_seen = false;               // rows were deleted, as far as the server still remembers

  const column_description* find(const std::string& column) const;
};
inline constexpr std::size_t views_max = 64;

// A table that is not there is an answer (exists = false), not an error.
result<table_description> describe(session& s, const server_facts& facts, const std::string& database,
                                   const std::string& table, std::int64_t limit_ms);

// Its columns alone, which is one short question.
result<std::vector<column_description>> describe_columns(session& s, const server_facts& facts,
                                                         const std::string& database, const std::string& table,
                                                         std::int64_t limit_ms);
// Its destination_identity() alone: one short question, or two where it is replicated. 0: it is not there.
result<std::uint64_t> identity_now(session& s, const server_facts& facts, const std::string& database,
                                   const std::string& table, std::int64_t limit_ms);
// Whether an insert runs through any view, which is one short question, too.
result<bool> has_views(session& s, const std::string& database, const std::string& table, std::int64_t limit_ms);
// Equal columns have equal hashes.
std::uint64_t columns_hash(const std::vector<column_description>& columns);

// Names the destination for as long as it lives: its UUID, or the replicated path, which all replicas share. Never 0.
std::uint64_t destination_identity(const storage& t);

// The columns that name a row's record. `source` is empty unless two sources share the table.
struct provenance_columns {
  std::string topic = "_topic", partition = "_partition", offset = "_offset", source;
};
// Those that the table lacks.
std::vector<std::string> missing_provenance(const table_description& t, const provenance_columns& columns);
// Those that a TTL empties: a row then names another record than its own.
std::vector<const column_description*> expiring_provenance(const table_description& t,
                                                           const provenance_columns& columns);

// The columns in which the engine reads what became of a row.
change_columns changes_of(const storage& t);

// Whether the table is a witness of what landed. Beyond `blind`, which the lane watches.
struct belief {
  bool there = false;     // rows that are found did land
  bool not_there = false; // rows that are not found did not land
};
belief believed(const table_description& t, const provenance_columns& columns);

// The smallest window among the table, its views' targets and the dead-letter table (if given): how many inserts, how
// many seconds. A part that does not deduplicate makes it 0.
struct dedup_window {
  std::uint64_t inserts = 0;
  std::int64_t seconds = 0;
};
dedup_window smallest_window(const table_description& t, const storage* dead_letters);

// How many partitions a table has, and how many of them were written to within an hour of its last insert.
result<void> count_partitions(session& s, storage& t, std::int64_t limit_ms);

// Grows by one with every insert into a partition of the table, and by merges of mutations too: its growth over time
// bounds the rate at which the deduplication window is used up, by all writers together.
result<std::uint64_t> block_numbers(session& s, const storage& t, std::int64_t limit_ms);

} // namespace chute::clickhouse
