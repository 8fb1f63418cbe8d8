// What the topology's reader checks about single values, and about values that contradict each other.
#pragma once

#include "core/topology.hpp"
#include "core/yaml_tree.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chute {

// Limits of a topology.
inline constexpr std::size_t pipelines_max = 256, topics_max = 256; // topics: of one pipeline
inline constexpr std::size_t csv_fields_max = 10'000, schema_files_max = 256;
inline constexpr std::size_t conditions_max = 32, texts_max = 1'000; // of `where`, and of one condition
inline constexpr std::size_t topic_length_max = 249;                 // Kafka's
inline constexpr std::uint64_t memory_bytes_min = 16ull << 20;

// C strings and HTTP headers carry what settings hold: a control character would cut or split them.
bool has_control(std::string_view text);

// Checks of one value. The cause of an error is a half sentence that follows the name of the setting; component and
// way_out are empty.
result<std::string> check_clickhouse_url(const std::string& url); // never repeats the URL: it may hold a password
result<std::string> check_registry_url(const std::string& url);   // the same; a path is fine
result<std::string> check_brokers(const std::string& brokers);
result<std::string> check_topic(const std::string& topic); // a name, or a pattern that begins with ^
result<std::string> check_pipeline_name(const std::string& name);
result<std::string> check_table(const std::string& table, bool may_name_topic);
result<std::string> check_destination(const std::string& table); // of a pipeline: not empty, may name {topic}
result<std::string> check_database(const std::string& name);     // or a table of its own
result<std::string> check_group(const std::string& name);
result<std::string> check_text(const std::string& text);     // not empty
result<std::string> check_lines(const std::string& text);    // no control characters but line ends
result<std::string> check_sql_word(const std::string& text); // needs no quotes in SQL and none in a path of Keeper
result<std::string> check_redis(const std::string& url);
result<std::string> check_field_path(const std::string& path);
result<char> check_delimiter(const std::string& text);
bool is_column_name(const std::string& name);
// What is wrong with a name, or nothing.
std::string kafka_property_fault(const std::string& name);
bool is_pem_property(std::string_view name);                   // a key or certificates, which have several lines
std::string clickhouse_setting_fault(const std::string& name); // the name becomes part of a URL
result<std::pair<std::string, int>> check_listen(const std::string& listen); // host (without brackets) and port
bool is_loopback(const std::string& host);

// What takes its value from others where it is not given.
void fill_in(pipeline_config& p, const clickhouse_config& c); // group and database
std::uint64_t batch_bytes_for(std::uint64_t memory_bytes);    // the default gives way to a small memory

// Settings of one pipeline that do not go together. `key`: of the setting; empty: the pipeline.
struct setting_fault {
  std::string key, text;
};
std::vector<setting_fault> choice_faults(const pipeline_config& p);
std::vector<setting_fault> key_column_faults(const pipeline_config& p); // against what the key is said to be
std::vector<setting_fault> passthrough_faults(const pipeline_config& p, const clickhouse_config& c);
// The same, where there is one thing to say, or nothing.
std::string topics_fault(const std::vector<std::string>& topics);
std::string condition_fault(const pipeline_config& p, const condition& c);
std::string state_fault(const state_config& c);
inline constexpr std::string_view no_registry =
    "records name their schemas by ids: write registry: {url: …}, or another framing";

// Where in the file things stand, for checks that look at several of them at once.
struct pipeline_lines {
  int name = 0, group = 0, table = 0, delivery = 0, bytes = 0; // 0: not written, the default holds
};

// What no single value shows: pipelines that share a group or write the same records into one table, a store that
// cannot keep the promise, an admin face that is open to the network, a batch larger than the memory allows.
// `lines`: one a pipeline.
void check_contradictions(const topology& t, const std::vector<pipeline_lines>& lines, int state_line, int admin_line,
                          std::vector<yaml_problem>& problems);

inline constexpr std::size_t problems_shown_max = 100;

// One line each, in the file's order; the rest is counted. `name`: the file's; empty: there is none, nor lines.
error problems_error(std::vector<yaml_problem>& problems, const std::string& name);

} // namespace chute
