#include "cli/report.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace chute;
using namespace chute::cli;

namespace {

lane_state_view example() {
  lane_state_view l;
  l.pipeline = "orders";
  l.topic = "orders";
  l.lane = {1};
  l.found = true;
  l.record.version = 17;
  l.record.lineage = 0xabc;
  l.record.lanes = 4;
  l.record.partitions.resize(2);
  l.record.partitions[0].next = {1'000};
  l.record.partitions[1].next = {0};
  l.record.partitions[1].blind = offset_t{9};
  plan p;
  p.token = {0, 255};
  p.since = 1714564800000;
  p.good_until = 1714564860000;
  p.last = {{1'499}, {-1}};
  l.record.open = p;
  l.ends = {2'500, -1};
  return l;
}

} // namespace

TEST_CASE("a table's columns are as wide as their longest cell") {
  CHECK(text_table({{"NAME"}, {"N", true}, {"X"}}, {{"a", "1", "y"}, {"grün-lang", "1,000", ""}}) ==
        "NAME           N  X\n"
        "a              1  y\n"
        "grün-lang  1,000\n");
  CHECK(text_table({{"A"}}, {}) == "A\n");
}

TEST_CASE("states as a table") {
  lane_state_view gone;
  gone.pipeline = "orders";
  gone.topic = "orders";
  gone.lane = {2};
  gone.problem = "no record yet";
  const std::vector<lane_state_view> lanes = {example(), gone};
  CHECK(
      states_text(lanes) ==
      "PIPELINE  TOPIC   LANE  PARTITION   NEXT    END    LAG  VERSION  PLANNED\n"
      "orders    orders     1          1  1,000  2,500  1,500       17  1,000…1,499\n"
      "orders    orders     1          5      0      -      -       17  -\n"
      "orders    orders     2          -      -      -      -        -  -\n"
      "\n"
      "Open plans:\n"
      "PIPELINE  TOPIC   LANE  TOKEN                             KIND   AS    MADE                  TOKEN GOOD UNTIL\n"
      "orders    orders     1  000000000000000000000000000000ff  batch  rows  2024-05-01T12:00:00Z  "
      "2024-05-01T12:01:00Z\n"
      "\n"
      "orders orders/2: no record yet\n");
}

TEST_CASE("states as JSON") {
  lane_state_view gone;
  gone.problem = "no record \xff";
  const std::vector<lane_state_view> lanes = {example(), gone};
  const auto j = nlohmann::json::parse(states_json(lanes));
  CHECK(j[0]["lane"] == 1);
  CHECK(j[0]["version"] == 17);
  CHECK(j[0]["lineage"] == "0000000000000abc");
  CHECK(j[0]["lag"].is_null()); // not known of one partition
  CHECK(j[0]["partitions"][0] == nlohmann::json({{"partition", 1},
                                                 {"next", 1'000},
                                                 {"end", 2'500},
                                                 {"lag", 1'500},
                                                 {"blind", nullptr},
                                                 {"fill_to", nullptr}}));
  CHECK(j[0]["partitions"][1]["partition"] == 5);
  CHECK(j[0]["partitions"][1]["blind"] == 9);
  CHECK(j[0]["plan"]["token"] == "000000000000000000000000000000ff");
  CHECK(j[0]["plan"]["last"] == nlohmann::json({1'499, -1}));
  CHECK(j[0]["plan"]["since"] == "2024-05-01T12:00:00Z");
  CHECK(j[1]["found"] == false);
  CHECK(j[1]["problem"] == "no record \xef\xbf\xbd");
  CHECK(j[1]["plan"].is_null());
}

TEST_CASE("records that do not match what the log tells are shown, not trusted") {
  lane_state_view l = example();
  l.ends.clear();              // the log could not be asked
  l.record.open->last = {{5}}; // too short
  const std::string text = states_text(std::vector{l});
  CHECK(text.find("orders     1          5      0    -    -       17  -") != std::string::npos);
}

TEST_CASE("findings come worst first, with what mends them") {
  using severity = finding::severity;
  const std::vector<finding> found = {
      {severity::info, "clickhouse", "version 26.7", ""},
      {severity::warning, "kafka: topic orders", "retention is short", "raise it"},
      {severity::error, "pipeline orders: table shop.orders", "no window", "ALTER TABLE"}};
  CHECK(findings_text(found) == "error   pipeline orders: table shop.orders\n"
                                "        no window\n"
                                "        mend: ALTER TABLE\n\n"
                                "warning kafka: topic orders\n"
                                "        retention is short\n"
                                "        mend: raise it\n\n"
                                "info    clickhouse\n"
                                "        version 26.7\n\n"
                                "1 error, 1 warning\n");
  CHECK(findings_text({}) == "Nothing found that could break the promise.\n");
  const auto j = nlohmann::json::parse(findings_json(found));
  CHECK(j.size() == 3);
  CHECK(j[2]["level"] == "error");
  CHECK(j[2]["mend"] == "ALTER TABLE");
}
