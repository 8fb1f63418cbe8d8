// What could break the promise on ClickHouse's side, found before anything is sent. Used by `chute check`, which prints
// the findings, and by the engine, which does not start an exactly-once pipeline on errors.
#pragma once

#include "clickhouse/insert.hpp"
#include "clickhouse/tables.hpp"
#include "core/finding.hpp"
#include "core/topology.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace chute::clickhouse {

// What a pipeline will do to its table.
struct expectations {
  delivery_mode delivery = delivery_mode::exactly_once;
  provenance_mode provenance = provenance_mode::required;
  provenance_columns columns;
  double inserts_per_second = 1;       // that the pipeline can reach, all lanes together
  double other_inserts_per_second = 0; // of other pipelines into the same table
  // Into the targets of views, all views and pipelines together; what is not in it gets as many as the table.
  std::map<std::pair<std::string, std::string>, double> view_inserts_per_second;
  bool adds_columns = false; // for fields that have none
  std::int64_t lease_ms = 60'000, insert_limit_ms = 120'000;
  settings_map settings; // the user's
  delete_policy deletes = delete_policy::reject;
  envelope_kind envelope = envelope_kind::none;
  std::map<std::string, column_source> sources; // of the columns that are filled
  std::set<std::string> mapped;                 // those that `columns:` names; others wait for a field of their name
};

// Inserts a second that a pipeline can reach: one a lane and `wait`, or more where batches are small.
double reachable_inserts_per_second(const pipeline_config& pipeline, int lanes);

// --- pure ------------------------------------------------------------------------------------------------------------

std::vector<finding> check_server(const server_facts& facts, const std::string& where, const expectations& e);
// The table, its columns, and the targets of all views that depend on it.
std::vector<finding> check_table(const table_description& t, const server_facts& facts, const std::string& where,
                                 const expectations& e);
// The deduplication windows alone: of the table, of all views' targets, and of the dead letters. Each finding names the
// table at fault, and has the statement that mends that one.
std::vector<finding> check_windows(const table_description& t, const storage& dead_letters, const std::string& where,
                                   const expectations& e);
// Whether the table's engine is one for which a change of a row is a row, and can tell which row it changes. Part of
// check_table().
std::vector<finding> check_changes(const table_description& t, const std::string& where, const expectations& e);
// Whether a batch that is sent again meets the partitions, and so the tokens, of its first time. Part of check_table().
std::vector<finding> check_partitions(const table_description& t, const std::string& where, const expectations& e);
// `t.exists` may be false: it will be made.
std::vector<finding> check_dead_letters(const table_description& t, const std::string& where, const expectations& e);
// How long a question about offsets took.
std::vector<finding> check_question_time(const table_description& t, const std::string& where, const expectations& e,
                                         std::int64_t took_ms, std::int64_t question_limit_ms);

bool has_errors(const std::vector<finding>& findings);
// One line an error, for the reason why a pipeline does not start.
std::string error_text(const std::vector<finding>& findings);

// --- asking the server -----------------------------------------------------------------------------------------------

// Tries what the pipeline will do, without writing anything: an insert of no rows, a question, the system tables.
std::vector<finding> probe_rights(session& s, const server_facts& facts, const table_description& t,
                                  const std::string& where, const expectations& e, std::int64_t limit_ms);

// The same for a table that chute makes for itself, and may not have made yet: with this statement.
std::vector<finding> probe_own_table(session& s, const server_facts& facts, const table_description& t,
                                     const std::string& where, const std::string& statement,
                                     const settings_map& settings, std::int64_t limit_ms);

} // namespace chute::clickhouse
