// What the parts of `chute check` and `chute state show` share.
#pragma once

#include "actors/context.hpp"
#include "actors/inspect.hpp"
#include "clickhouse/questions.hpp"
#include "formats/decoder.hpp"
#include "kafka/inspect.hpp"
#include "state/store.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace chute {

inline constexpr std::int64_t inspect_limit_ms = 10'000; // for one question

// `otherwise`: what mends it, where the error does not say.
inline finding finding_of(enum finding::severity level, const std::string& where, const error& e,
                          const std::string& otherwise) {
  return {level, where, e.cause, e.way_out.empty() ? otherwise : e.way_out};
}

// --- names -----------------------------------------------------------------------------------------------------------

// `db.table` or `table`.
std::pair<std::string, std::string> split_table(const std::string& name, const std::string& database);
// Where a pipeline writes a topic's rows, without the database.
std::string table_for(const pipeline_config& p, const std::string& topic);
// As a first start would have them.
int lanes_of(const pipeline_config& p, const kafka::topic_info& t);

// --- the table -------------------------------------------------------------------------------------------------------

// What the lanes are compared with.
struct table_seen {
  std::uint64_t identity = 0; // 0: it is not there
  bool there = false;         // rows that are found did land
  bool not_there = false;     // rows that are not found did not
  bool replicated = false;
  clickhouse::provenance_columns columns;
  std::optional<clickhouse::dead_letter_place> dead_letters;
  std::vector<target_column> targets; // that records fill; empty: they do not fit
  decoder_options options;
};
using tables_seen = std::map<std::string, table_seen>; // by name, without the database

// Inserts a second that all pipelines together can reach, by database and table. Each pipeline's own are in it.
struct insert_rates {
  using by_table = std::map<std::pair<std::string, std::string>, double>;
  by_table rows;
  by_table dead_letters; // as if each batch brought one
  by_table targets;      // of views
  std::set<std::pair<std::string, std::string>> followed;

  double into(const std::string& database, const std::string& table) const {
    const auto of = [&](const by_table& m) {
      const auto r = m.find({database, table});
      return r == m.end() ? 0 : r->second;
    };
    return of(rows) + of(targets);
  }
};
void count_inserts(const pipeline_config& p, const std::vector<kafka::topic_info>& topics, insert_rates& into);
// What views make of them. After all pipelines were counted.
void count_view_inserts(const context_ptr& c, const std::vector<kafka::topic_info>& topics, insert_rates& rates);

// --- lanes -----------------------------------------------------------------------------------------------------------

// Where their records are, to look only.
class lane_shelf {
public:
  static result<std::unique_ptr<lane_shelf>> open(const topology& t, context_ptr c);
  ~lane_shelf();
  // Of all lanes of a topic; `lanes`: as many as there are, unless a record says otherwise.
  std::vector<lane_state_view> look(const std::string& cluster, const kafka::topic_info& topic, int lanes);

private:
  struct impl;
  explicit lane_shelf(std::unique_ptr<impl> i);
  std::unique_ptr<impl> impl_;
};

// The partitions of a lane, as far as the topic has them.
std::vector<kafka::topic_partition> partitions_of(const lane_state_view& v);

// --- parts of check --------------------------------------------------------------------------------------------------

// The topics that exist, and what is wrong with the others.
std::vector<kafka::topic_info> check_topics(kafka::inspector& k, const pipeline_config& p, std::vector<finding>& out);
// One of them: its log, what is delivered of it, its settings.
void check_topic(kafka::inspector& k, const context_ptr& c, const kafka::topic_info& t, std::vector<finding>& out);
// The consumer group, and the times that the topology gives it.
void check_group(kafka::inspector& k, const context_ptr& c, std::vector<finding>& out);
// What the brokers do with offsets that hold the state (state.store: kafka); `broker`: the settings of one.
void check_offset_settings(const std::map<std::string, std::string>& broker, std::vector<finding>& out);

// Servers, tables and rights.
tables_seen check_tables(const context_ptr& c, const std::vector<kafka::topic_info>& topics, const insert_rates& rates,
                         std::vector<finding>& out);

// The last records of a topic, decoded.
void check_records(kafka::inspector& k, const context_ptr& c, const kafka::topic_info& t, const table_seen& seen,
                   std::vector<finding>& out);

// Everything that recovery compares: the records with table, chute_starts and log, and the table with what was sent.
void check_lanes(const topology& t, const context_ptr& c, const std::vector<kafka::topic_info>& topics,
                 const tables_seen& tables, std::vector<finding>& out);

} // namespace chute
