#include "cli/report.hpp"

#include "core/status.hpp"
#include "core/text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace chute::cli {
namespace {

using json = nlohmann::ordered_json;

std::string dumped(const json& j) { return j.dump(2, ' ', false, json::error_handler_t::replace) + "\n"; }

// Columns that a terminal gives to text in UTF-8: one a character is near enough for names.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string padded(const std::string& text, std::size_t width, bool to_the_right) {
  const std::string blanks(width - std::min(width, width_of(text)), ' ');
  return to_the_right ? blanks + text : text + blanks;
}

std::string time_text(wall_ms at) {
  const std::time_t seconds = static_cast<std::time_t>(at / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string hex(std::uint64_t n) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(n));
  return text;
}

const char* name_of(plan_kind k) { return k == plan_kind::fill ? "fill" : "batch"; }
const char* name_of(plan_as as) {
  switch (as) {
  case plan_as::rows: return "rows";
  case plan_as::dead_letter: return "dead letter";
  case plan_as::skip: return "skip";
  }
  return "unknown";
}

// Of partition i of the lane; -1: not known.
std::int64_t end_of(const lane_state_view& l, std::size_t i) { return i < l.ends.size() ? l.ends[i] : -1; }
std::int64_t lag_of(const lane_state_view& l, std::size_t i) {
  const partition_status p{{}, l.record.partitions[i].next, end_of(l, i)};
  return p.lag();
}
// Of all its partitions; -1: not known of one of them.
std::int64_t lag_of(const lane_state_view& l) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < l.record.partitions.size(); ++i) {
    if (lag_of(l, i) < 0) return -1;
    sum += lag_of(l, i);
  }
  return sum;
}
partition_id partition_of(const lane_state_view& l, std::size_t i) {
  return lane_partition_id(l.lane, l.record.lanes, i);
}

std::string count_or_dash(std::int64_t n) { return n < 0 ? "-" : format_count(static_cast<std::uint64_t>(n)); }

// The slice of partition i that the open plan covers: "100…149", "none" where it passes nothing.
std::string planned(const lane_state_view& l, std::size_t i) {
  if (!l.record.open || i >= l.record.open->last.size()) return "-";
  const std::int64_t first = l.record.partitions[i].next.value, last = l.record.open->last[i].value;
  if (last < first) return "-";
  return format_count(static_cast<std::uint64_t>(first)) + "…" + format_count(static_cast<std::uint64_t>(last));
}

void add_rows(const lane_state_view& l, std::vector<std::vector<std::string>>& rows) {
  const std::string lane = std::to_string(l.lane.value);
  if (!l.found) rows.push_back({l.pipeline, l.topic, lane, "-", "-", "-", "-", "-", "-"});
  if (!l.found) return;
  for (std::size_t i = 0; i < l.record.partitions.size(); ++i)
    rows.push_back({l.pipeline, l.topic, lane, std::to_string(partition_of(l, i).value),
                    count_or_dash(l.record.partitions[i].next.value), count_or_dash(end_of(l, i)),
                    count_or_dash(lag_of(l, i)), std::to_string(l.record.version), planned(l, i)});
}

json optional_offset(const std::optional<offset_t>& o) { return o ? json(o->value) : json(); }
json known_or_null(std::int64_t n) { return n < 0 ? json() : json(n); }

json partitions_json(const lane_state_view& l) {
  json out = json::array();
  for (std::size_t i = 0; i < l.record.partitions.size(); ++i) {
    const lane_partition& p = l.record.partitions[i];
    out.push_back({{"partition", partition_of(l, i).value},
                   {"next", p.next.value},
                   {"end", known_or_null(end_of(l, i))},
                   {"lag", known_or_null(lag_of(l, i))},
                   {"blind", optional_offset(p.blind)},
                   {"fill_to", optional_offset(p.fill_to)}});
  }
  return out;
}

json plan_json(const plan& p) {
  json last = json::array();
  for (const offset_t o : p.last) last.push_back(o.value);
  return {{"token", p.token.hex()},
          {"kind", name_of(p.kind)},
          {"as", name_of(p.as)},
          {"since", time_text(p.since)},
          {"good_until", time_text(p.good_until)},
          {"last", std::move(last)}};
}

} // namespace

std::string text_table(const std::vector<table_column>& columns, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    std::size_t width = width_of(columns[i].head);
    for (const auto& row : rows) width = std::max(width, width_of(row[i]));
    widths.push_back(width);
  }
  std::string out;
  const auto add = [&](auto&& cell) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i)
      (line += i ? "  " : "") += padded(cell(i), widths[i], columns[i].number);
    line.resize(line.find_last_not_of(' ') + 1);
    (out += line) += '\n';
  };
  add([&](std::size_t i) { return columns[i].head; });
  for (const auto& row : rows) add([&](std::size_t i) { return row[i]; });
  return out;
}

std::string findings_text(std::span<const finding> found) {
  using severity = finding::severity;
  std::vector<finding> sorted(found.begin(), found.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.level < b.level; });
  std::array<std::size_t, 3> counts{};
  std::string out;
  for (const finding& f : sorted) {
    ++counts[static_cast<std::size_t>(f.level)];
    out += padded(to_string(f.level), 8, false) + f.where + "\n        " + f.reason + "\n";
    if (!f.mend.empty()) out += "        mend: " + f.mend + "\n";
    out += "\n";
  }
  const auto count = [&](severity s, const char* noun) {
    const std::size_t n = counts[static_cast<std::size_t>(s)];
    return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
  };
  if (counts[0] + counts[1] == 0) return out + "Nothing found that could break the promise.\n";
  return out + count(severity::error, "error") + ", " + count(severity::warning, "warning") + "\n";
}

std::string findings_json(std::span<const finding> found) {
  json out = json::array();
  for (const finding& f : found)
    out.push_back({{"level", to_string(f.level)}, {"where", f.where}, {"reason", f.reason}, {"mend", f.mend}});
  return dumped(out);
}

std::string states_text(std::span<const lane_state_view> lanes) {
  std::vector<std::vector<std::string>> rows, plans;
  std::string problems;
  for (const lane_state_view& l : lanes) {
    add_rows(l, rows);
    const std::string lane = l.pipeline + " " + l.topic + "/" + std::to_string(l.lane.value);
    if (!l.problem.empty()) problems += lane + ": " + l.problem + "\n";
    if (const auto& p = l.record.open; l.found && p)
      plans.push_back({l.pipeline, l.topic, std::to_string(l.lane.value), p->token.hex(), name_of(p->kind),
                       name_of(p->as), time_text(p->since), time_text(p->good_until)});
  }
  std::string out = text_table({{"PIPELINE"},
                                {"TOPIC"},
                                {"LANE", true},
                                {"PARTITION", true},
                                {"NEXT", true},
                                {"END", true},
                                {"LAG", true},
                                {"VERSION", true},
                                {"PLANNED"}},
                               rows);
  if (!plans.empty())
    out += "\nOpen plans:\n" +
           text_table(
               {{"PIPELINE"}, {"TOPIC"}, {"LANE", true}, {"TOKEN"}, {"KIND"}, {"AS"}, {"MADE"}, {"TOKEN GOOD UNTIL"}},
               plans);
  if (!problems.empty()) out += "\n" + problems;
  return out;
}

std::string states_json(std::span<const lane_state_view> lanes) {
  json out = json::array();
  for (const lane_state_view& l : lanes) {
    json one = {{"pipeline", l.pipeline}, {"topic", l.topic},
                {"lane", l.lane.value},   {"found", l.found},
                {"problem", l.problem},   {"version", nullptr},
                {"lineage", nullptr},     {"lanes", nullptr},
                {"lag", nullptr},         {"partitions", json::array()},
                {"plan", nullptr}};
    if (l.found) {
      one["version"] = l.record.version;
      one["lineage"] = hex(l.record.lineage);
      one["lanes"] = l.record.lanes;
      one["lag"] = known_or_null(lag_of(l));
      one["partitions"] = partitions_json(l);
      if (l.record.open) one["plan"] = plan_json(*l.record.open);
    }
    out.push_back(std::move(one));
  }
  return dumped(out);
}

} // namespace chute::cli
