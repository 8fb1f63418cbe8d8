#include "web/metrics.hpp"
#include "web/status_json.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace chute;

namespace {

engine_status example() {
  engine_status s;
  s.version = "1.2.3";
  s.uptime_ms = 61'500;
  s.memory_used = 17;
  s.memory_budget = 512u << 20;
  pipeline_status p;
  p.name = "or\"d\\e\nrs";
  p.table = "shop.orders";
  p.state = pipeline_status::state::waiting;
  p.reason = "clickhouse: \xff";
  p.records = 18446744073709551615ull;
  p.rows = 2;
  lane_status l;
  l.topic = "orders";
  l.lane = {3};
  l.phase = lane_phase::streaming;
  l.version = 9;
  l.open_token = "00ff";
  l.buffered_bytes = 5;
  l.partitions.push_back({{3}, {10}, 25});
  l.partitions.push_back({{35}, {7}, -1});
  p.lanes.push_back(l);
  s.pipelines.push_back(p);
  return s;
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

} // namespace

TEST_CASE("the status as JSON") {
  const auto j = nlohmann::json::parse(status_json(example()));
  CHECK(j["version"] == "1.2.3");
  CHECK(j["uptime_ms"] == 61'500);
  CHECK(j["memory"]["used"] == 17);
  CHECK(j["memory"]["budget"] == 512u << 20);
  const auto& p = j["pipelines"][0];
  CHECK(p["name"] == "or\"d\\e\nrs");
  CHECK(p["state"] == "waiting");
  CHECK(p["reason"] == "clickhouse: \xef\xbf\xbd"); // not UTF-8: mended, not thrown out
  CHECK(p["records"] == 18446744073709551615ull);
  CHECK(p["lag"] == 15);
  const auto& l = p["lanes"][0];
  CHECK(l["topic"] == "orders");
  CHECK(l["lane"] == 3);
  CHECK(l["phase"] == "streaming");
  CHECK(l["version"] == 9);
  CHECK(l["open_token"] == "00ff");
  CHECK(l["lag"] == 15);
  CHECK(l["partitions"][0] == nlohmann::json({{"partition", 3}, {"next", 10}, {"end", 25}, {"lag", 15}}));
  CHECK(l["partitions"][1] == nlohmann::json({{"partition", 35}, {"next", 7}, {"end", nullptr}, {"lag", nullptr}}));
}

TEST_CASE("a lag that nobody knows is null, not zero") {
  engine_status s = example();
  s.pipelines[0].lanes[0].partitions[0].end = -1;
  CHECK(nlohmann::json::parse(status_json(s))["pipelines"][0]["lag"].is_null());
  s.pipelines[0].lanes[0].partitions[0].end = 10;
  CHECK(nlohmann::json::parse(status_json(s))["pipelines"][0]["lag"] == 0);
}

TEST_CASE("metrics") {
  const std::string text = metrics_text(example(), process_usage{1.5, 4096, 7});
  const std::string pipeline = R"(pipeline="or\"d\\e\nrs")";
  CHECK(has_line(text, "# TYPE chute_records_total counter"));
  CHECK(has_line(text, "chute_records_total{" + pipeline + "} 18446744073709551615"));
  CHECK(has_line(text, "chute_rows_total{" + pipeline + "} 2"));
  CHECK(has_line(text, "chute_pipeline_state{" + pipeline + ",state=\"waiting\"} 1"));
  CHECK(has_line(text, "chute_pipeline_state{" + pipeline + ",state=\"streaming\"} 0"));
  CHECK(has_line(text, "chute_info{version=\"1.2.3\"} 1"));
  CHECK(has_line(text, "chute_uptime_seconds 61.500"));
  CHECK(has_line(text, "chute_memory_used_bytes 17"));
  CHECK(has_line(text, "chute_lane_streaming{" + pipeline + ",topic=\"orders\",lane=\"3\"} 1"));
  CHECK(has_line(text, "chute_partition_lag_records{" + pipeline + ",topic=\"orders\",partition=\"3\"} 15"));
  CHECK(has_line(text, "chute_partition_next_offset{" + pipeline + ",topic=\"orders\",partition=\"35\"} 7"));
  CHECK(text.find("chute_partition_lag_records{" + pipeline + ",topic=\"orders\",partition=\"35\"}") ==
        std::string::npos);
  CHECK(has_line(text, "process_cpu_seconds_total 1.500"));
}

// The format's grammar: HELP and TYPE once a metric, in front of its samples; counters end in _total; no metric twice.
TEST_CASE("metrics keep to the format") {
  const std::string text = metrics_text(example(), read_process_usage());
  std::vector<std::string> seen;
  std::string name, type;
  REQUIRE(text.ends_with('\n'));
  for (std::size_t at = 0; at < text.size();) {
    const std::string line = text.substr(at, text.find('\n', at) - at);
    at += line.size() + 1;
    CAPTURE(line);
    if (line.starts_with("# HELP ")) {
      name = line.substr(7, line.find(' ', 7) - 7);
      CHECK(std::find(seen.begin(), seen.end(), name) == seen.end());
      seen.push_back(name);
    } else if (line.starts_with("# TYPE ")) {
      REQUIRE(line.starts_with("# TYPE " + name + " "));
      type = line.substr(8 + name.size());
      CHECK((type == "counter") == name.ends_with("_total"));
    } else {
      REQUIRE(line.starts_with(name));
      CHECK((line[name.size()] == '{' || line[name.size()] == ' '));
      CHECK(line.find_last_of("0123456789") == line.size() - 1);
    }
  }
  CHECK(seen.size() > 20);
}

TEST_CASE("the process knows its own size") {
  const auto usage = read_process_usage();
  REQUIRE(usage);
  CHECK(usage->resident_bytes > 1 << 20);
  CHECK(usage->open_fds >= 3);
}
