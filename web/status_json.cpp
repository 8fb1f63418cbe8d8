#include "web/status_json.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <span>

namespace chute {
namespace {

using json = nlohmann::ordered_json; // readers meet the names in the order in which they are documented

json known_or_null(std::int64_t n) { return n < 0 ? json() : json(n); }

// The lag of those partitions whose end is known; -1 if there is none.
std::int64_t lag_of(std::span<const lane_status> lanes) {
  std::int64_t sum = -1;
  for (const lane_status& l : lanes)
    for (const partition_status& p : l.partitions)
      if (p.lag() >= 0) sum = std::max<std::int64_t>(sum, 0) + p.lag();
  return sum;
}

json to_json(const lane_status& l) {
  json partitions = json::array();
  for (const partition_status& p : l.partitions)
    partitions.push_back({{"partition", p.partition.value},
                          {"next", p.next.value},
                          {"end", known_or_null(p.end)},
                          {"lag", known_or_null(p.lag())}});
  return {{"topic", l.topic},
          {"lane", l.lane.value},
          {"phase", to_string(l.phase)},
          {"waiting_for", l.waiting_for},
          {"stopped_for", l.stopped_for},
          {"version", l.version},
          {"open_token", l.open_token},
          {"buffered_bytes", l.buffered_bytes},
          {"lag", known_or_null(lag_of({&l, 1}))},
          {"partitions", std::move(partitions)}};
}

json to_json(const pipeline_status& p) {
  json lanes = json::array();
  for (const lane_status& l : p.lanes) lanes.push_back(to_json(l));
  return {{"name", p.name},
          {"state", to_string(p.state)},
          {"table", p.table},
          {"reason", p.reason},
          {"lag", known_or_null(lag_of(p.lanes))},
          {"records", p.records},
          {"rows", p.rows},
          {"dead_letters", p.dead_letters},
          {"dropped", p.dropped},
          {"bytes", p.bytes},
          {"fields_ignored", p.fields_ignored},
          {"inserts", p.inserts},
          {"insert_retries", p.insert_retries},
          {"saves", p.saves},
          {"save_refusals", p.save_refusals},
          {"rebalances", p.rebalances},
          {"gaps_lost", p.gaps_lost},
          {"set_aside", p.set_aside},
          {"last_error", p.last_error},
          {"lanes", std::move(lanes)}};
}

std::string text_of(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"; }

} // namespace

std::string status_json(const engine_status& s) {
  json pipelines = json::array();
  for (const pipeline_status& p : s.pipelines) pipelines.push_back(to_json(p));
  return text_of({{"version", s.version},
                  {"uptime_ms", s.uptime_ms},
                  {"memory", {{"used", s.memory_used}, {"budget", s.memory_budget}}},
                  {"pipelines", std::move(pipelines)}});
}

bool is_ready(const engine_status& s) {
  return !s.pipelines.empty() && std::all_of(s.pipelines.begin(), s.pipelines.end(), [](const pipeline_status& p) {
    return p.state == pipeline_status::state::streaming;
  });
}

std::string ready_json(const engine_status& s) {
  json pipelines = json::array();
  for (const pipeline_status& p : s.pipelines)
    pipelines.push_back({{"name", p.name}, {"state", to_string(p.state)}, {"reason", p.reason}});
  return text_of({{"ready", is_ready(s)}, {"pipelines", std::move(pipelines)}});
}

} // namespace chute
