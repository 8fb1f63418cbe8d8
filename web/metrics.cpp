#include "web/metrics.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <utility>
#include <vector>

namespace chute {
namespace {

using labels = std::vector<std::pair<std::string_view, std::string>>;

class exposition {
public:
  // Begins a metric; its samples follow.
  void metric(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    ((out_ += "# HELP ") += name) += ' ';
    (out_ += help) += '\n';
    ((((out_ += "# TYPE ") += name) += ' ') += type) += '\n';
  }
  void sample(const labels& with, std::uint64_t value) { line(with, std::to_string(value)); }
  void sample(const labels& with, double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3f", value);
    line(with, text);
  }
  std::string take() { return std::move(out_); }

private:
  void line(const labels& with, const std::string& value) {
    out_ += name_;
    for (std::size_t i = 0; i < with.size(); ++i) {
      ((out_ += i ? ',' : '{') += with[i].first) += "=\"";
      escape(with[i].second);
      out_ += '"';
    }
    ((out_ += with.empty() ? " " : "} ") += value) += '\n';
  }
  void escape(std::string_view text) {
    for (const char c : text)
      if (c == '\\') out_ += "\\\\";
      else if (c == '"') out_ += "\\\"";
      else if (c == '\n') out_ += "\\n";
      else out_ += c;
  }

  std::string out_, name_;
};

struct counter {
  const char *name, *help;
  std::uint64_t pipeline_status::*value;
};
constexpr counter counters[] = {
    {"chute_records_total", "Records read from Kafka and done.", &pipeline_status::records},
    {"chute_rows_total", "Rows that ClickHouse acknowledged.", &pipeline_status::rows},
    {"chute_dead_letters_total", "Records kept as dead letters.", &pipeline_status::dead_letters},
    {"chute_dropped_total", "Records dropped because the topology says so.", &pipeline_status::dropped},
    {"chute_bytes_total", "Bytes of keys and values of the records done.", &pipeline_status::bytes},
    {"chute_fields_ignored_total", "Fields that no column takes; those of a record that is read again count again.",
     &pipeline_status::fields_ignored},
    {"chute_inserts_total", "Inserts that were begun, those that were sent again included.", &pipeline_status::inserts},
    {"chute_insert_retries_total", "Inserts that were sent again.", &pipeline_status::insert_retries},
    {"chute_saves_total", "Saves of lanes' records.", &pipeline_status::saves},
    {"chute_save_refusals_total", "Saves that were refused: another process has the lane.",
     &pipeline_status::save_refusals},
    {"chute_rebalances_total", "Rebalances of the consumer group.", &pipeline_status::rebalances},
    {"chute_set_aside_total",
     "Times that a partition was left in Kafka: for others of its lane, or while nothing could be sent.",
     &pipeline_status::set_aside},
    {"chute_lost_offsets_total", "Offsets that Kafka deleted before they were read.", &pipeline_status::gaps_lost},
};

constexpr enum pipeline_status::state states[] = {pipeline_status::state::starting, pipeline_status::state::streaming,
                                                  pipeline_status::state::waiting,  pipeline_status::state::paused,
                                                  pipeline_status::state::draining, pipeline_status::state::drained,
                                                  pipeline_status::state::stopped};

void engine_metrics(exposition& out, const engine_status& s) {
  out.metric("chute_info", "gauge", "Always 1; the label names the version.");
  out.sample({{"version", s.version}}, std::uint64_t{1});
  out.metric("chute_uptime_seconds", "gauge", "Time since the engine started.");
  out.sample({}, static_cast<double>(s.uptime_ms) / 1000);
  out.metric("chute_memory_used_bytes", "gauge", "Bytes of records that are buffered.");
  out.sample({}, s.memory_used);
  out.metric("chute_memory_budget_bytes", "gauge", "What `memory` of the topology allows.");
  out.sample({}, s.memory_budget);
}

void pipeline_metrics(exposition& out, const engine_status& s) {
  out.metric("chute_pipeline_state", "gauge", "1 for the state that the pipeline is in, 0 for the others.");
  for (const pipeline_status& p : s.pipelines)
    for (const auto state : states)
      out.sample({{"pipeline", p.name}, {"state", to_string(state)}}, std::uint64_t{p.state == state});
  for (const counter& c : counters) {
    out.metric(c.name, "counter", c.help);
    for (const pipeline_status& p : s.pipelines) out.sample({{"pipeline", p.name}}, p.*c.value);
  }
}

// Calls f(labels, lane).
template <class F> void each_lane(const engine_status& s, F&& f) {
  for (const pipeline_status& p : s.pipelines)
    for (const lane_status& l : p.lanes)
      f(labels{{"pipeline", p.name}, {"topic", l.topic}, {"lane", std::to_string(l.lane.value)}}, l);
}

void lane_metrics(exposition& out, const engine_status& s) {
  out.metric("chute_lane_streaming", "gauge", "1 if the lane streams, 0 if it recovers, waits or has stopped.");
  each_lane(s, [&](const labels& l, const lane_status& lane) {
    out.sample(l, std::uint64_t{lane.phase == lane_phase::streaming && lane.waiting_for.empty()});
  });
  out.metric("chute_lane_stopped", "gauge", "1 if the lane has stopped and needs a person.");
  each_lane(s, [&](const labels& l, const lane_status& lane) {
    out.sample(l, std::uint64_t{lane.phase == lane_phase::stopped});
  });
  out.metric("chute_lane_buffered_bytes", "gauge", "Bytes of records that the lane has gathered.");
  each_lane(s, [&](const labels& l, const lane_status& lane) { out.sample(l, lane.buffered_bytes); });
}

// Calls f(labels, partition).
template <class F> void each_partition(const engine_status& s, F&& f) {
  for (const pipeline_status& p : s.pipelines)
    for (const lane_status& l : p.lanes)
      for (const partition_status& part : l.partitions)
        f(labels{{"pipeline", p.name}, {"topic", l.topic}, {"partition", std::to_string(part.partition.value)}}, part);
}

void partition_metrics(exposition& out, const engine_status& s) {
  const auto gauge = [&](const char* name, const char* help, auto&& value) {
    out.metric(name, "gauge", help);
    each_partition(s, [&](const labels& l, const partition_status& p) {
      if (const std::int64_t n = value(p); n >= 0) out.sample(l, static_cast<std::uint64_t>(n));
    });
  };
  gauge("chute_partition_next_offset", "All offsets below are done.",
        [](const partition_status& p) { return p.next.value; });
  gauge("chute_partition_end_offset", "The end of the partition's log as last seen.",
        [](const partition_status& p) { return p.end; });
  gauge("chute_partition_lag_records", "Offsets between the two.", [](const partition_status& p) { return p.lag(); });
}

void process_metrics(exposition& out, const process_usage& p) {
  out.metric("process_cpu_seconds_total", "counter", "User and system time spent.");
  out.sample({}, p.cpu_seconds);
  out.metric("process_resident_memory_bytes", "gauge", "Resident memory.");
  out.sample({}, p.resident_bytes);
  out.metric("process_open_fds", "gauge", "Open file descriptors.");
  out.sample({}, p.open_fds);
}

double seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; }

} // namespace

std::optional<process_usage> read_process_usage() {
  process_usage out;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return {};
  out.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages_all = 0, pages_resident = 0;
  if (!(statm >> pages_all >> pages_resident)) return {};
  out.resident_bytes = pages_resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::error_code failed;
  for (std::filesystem::directory_iterator at("/proc/self/fd", failed), end; !failed && at != end; at.increment(failed))
    ++out.open_fds;
  return out;
}

std::string metrics_text(const engine_status& s, const std::optional<process_usage>& process) {
  exposition out;
  engine_metrics(out, s);
  pipeline_metrics(out, s);
  lane_metrics(out, s);
  partition_metrics(out, s);
  if (process) process_metrics(out, *process);
  return out.take();
}

} // namespace chute
