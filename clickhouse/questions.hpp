// Asking what landed: counts of rows by the columns that name their records.
#pragma once

#include "clickhouse/tables.hpp"
#include "core/answers.hpp"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace chute::clickhouse {

// Where dead letters are counted: by pipeline, topic, partition and offset.
struct dead_letter_place {
  std::string database, table, pipeline;
  bool replicated = false;
};

struct question {
  std::string database, table;
  provenance_columns columns;
  std::string topic;
  std::optional<std::string> source;             // the value of columns.source, where two sources share the table
  std::vector<offset_range> ranges;              // of any partitions, in any order; they may overlap
  std::optional<dead_letter_place> dead_letters; // absent: dead letters count as none
  bool replicated = false;                       // the table is: read with select_sequential_consistency
  bool settled = false;           // replicas catch up first (SYSTEM SYNC REPLICA … LIGHTWEIGHT): the answer is final
  bool list = false;              // also which offsets are there; the ranges are of different partitions then
  std::int64_t limit_ms = 10'000; // for each request
};

// More ranges are not asked at once: the statement stays below the server's limits on its size.
inline constexpr std::size_t ranges_max = 2'000;

// The statement that answers for ranges of which no two of a partition overlap. Its reply is a single row: how many
// ranges have anything, arrays of their numbers and of the five counts, and the earliest moment at which the server can
// have started (Unix ms; uptime() counts whole seconds).
std::string question_sql(const question& q, std::span<const std::size_t> which);

// One request for all ranges, unless some overlap. It is answered only if the reply is whole, and came from the server
// that caught up. A table that lacks a column, or that is not there, is no answer either.
table_answer ask(session& s, const server_facts& facts, const question& q);

// Settings for all reading that must be right: nothing is skipped, cut short, or read from a cache or a lagging
// replica.
settings_map reading_settings(const server_facts& facts, bool replicated);

// Lets the replica that answers catch up with what its neighbours know.
query_answer sync_replica(session& s, const std::string& database, const std::string& table, std::int64_t limit_ms);

// Is a query with this token running anywhere? A silent server may be running it, so it counts as `unknown`.
struct token_answer {
  enum class state : std::uint8_t { not_running, running, unknown } is = state::unknown;
  std::string why;           // running: where; unknown: which server, and why
  bool all_answered = false; // and told a number
};
token_answer token_running(std::span<session* const> servers, const token_t& token, std::int64_t limit_ms);

} // namespace chute::clickhouse
