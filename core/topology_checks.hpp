// What the topology's reader checks about single values, and about values that contradict each other.
#pragma once

#include "core/topology.hpp"
#include "core/yaml_tree.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace chute {

// Limits of a topology.
inline constexpr std::size_t pipelines_max = 256, topics_max = 256; // topics: of one pipeline
inline constexpr std::size_t csv_fields_max = 10'000, schema_files_max = 256;
inline constexpr std::size_t conditions_max = 32, texts_max = 1'000; // of `where`, and of one condition
inline constexpr std::size_t topic_length_max = 249;                 // Kafka's
inline constexpr std::uint64_t memory_bytes_min = 16ull << 20;

// Checks of one value. The cause of an error is a half sentence that follows the name of the setting; component and
// way_out are empty.
result<std::string> check_clickhouse_url(const std::string& url); // never repeats the URL: it may hold a password
result<std::string> check_registry_url(const std::string& url);   // the same; a path is fine
result<std::string> check_brokers(const std::string& brokers);
result<std::string> check_topic(const std::string& topic); // a name, or a pattern that begins with ^
result<std::string> check_pipeline_name(const std::string& name);
result<std::string> check_table(const std::string& table, bool may_name_topic);
result<std::pair<std::string, int>> check_listen(const std::string& listen); // host (without brackets) and port
bool is_loopback(const std::string& host);

// Where in the file things stand, for checks that look at several of them at once.
struct pipeline_lines {
  int name = 0, group = 0, table = 0, delivery = 0, bytes = 0; // 0: not written, the default holds
};

// What no single value shows: pipelines that share a group or write the same records into one table, a store that
// cannot keep the promise, an admin face that is open to the network, a batch larger than the memory allows.
// `lines`: one a pipeline.
void check_contradictions(const topology& t, const std::vector<pipeline_lines>& lines, int state_line, int admin_line,
                          std::vector<yaml_problem>& problems);

} // namespace chute
