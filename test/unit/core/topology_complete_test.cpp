// Topologies that no file was read for.
#include "core/topology.hpp"

#include <doctest/doctest.h>

#include <functional>

using namespace chute;

namespace {

topology by_hand() {
  topology t;
  t.kafka.brokers = "localhost:9092";
  t.clickhouse.urls = {"http://localhost:8123"};
  t.clickhouse.database = "shop";
  pipeline_config p;
  p.name = p.table = "orders";
  p.topics = {"orders"};
  t.pipelines = {p};
  return t;
}

pipeline_config another(const topology& t, const std::string& name) {
  auto p = t.pipelines[0];
  p.name = name;
  p.group = {};
  p.table = name;
  return p;
}

std::string complaints(const std::function<void(topology&)>& breaks) {
  auto t = by_hand();
  breaks(t);
  const auto r = complete(t);
  return r ? "" : r.failure().cause;
}

} // namespace

TEST_CASE("what a host leaves out is filled in as in a file") {
  auto t = by_hand();
  t.memory_bytes = 64 << 20;
  t.pipelines.push_back(another(t, "events"));
  t.pipelines[1].database = "other";
  t.pipelines[1].group = "mine";
  t.pipelines[1].batch.bytes = 1 << 20;
  const auto r = complete(t);
  REQUIRE_MESSAGE(r.ok(), (r.ok() ? "" : r.failure().cause));
  CHECK(r->pipelines[0].group == "chute-orders");
  CHECK(r->pipelines[0].database == "shop");
  CHECK(r->pipelines[0].batch.bytes == (16 << 20)); // a quarter of the memory
  CHECK(r->pipelines[1].group == "mine");
  CHECK(r->pipelines[1].database == "other");
  CHECK(r->pipelines[1].batch.bytes == (1 << 20));
}

TEST_CASE("a topology that a host filled in is checked like a file") {
  struct row {
    const char* says;
    std::function<void(topology&)> breaks;
  };
  const row rows[] = {
      {"kafka: 'brokers' is missing", [](topology& t) { t.kafka.brokers = ""; }},
      {"kafka.properties.group.id: the engine owns this property: write the pipeline's group",
       [](topology& t) { t.kafka.properties["group.id"] = "x"; }},
      {"clickhouse: 'url' is missing", [](topology& t) { t.clickhouse.urls.clear(); }},
      {"clickhouse.password: holds a control character (a line end?)",
       [](topology& t) { t.clickhouse.password = "x\n"; }},
      {"clickhouse.settings.async_insert: this setting cannot be set: it is pinned to 0: an acknowledgement must mean "
       "that the rows are there",
       [](topology& t) { t.clickhouse.settings["async_insert"] = "1"; }},
      {"clickhouse.limits.lease: '0 ms' is not between 1 s and 1h", [](topology& t) { t.clickhouse.lease_ms = 0; }},
      {"memory: '1 KiB' is not between 16 MiB and 1 TiB",
       [](topology& t) {
         t.memory_bytes = 1024;
         t.pipelines.clear();
       }},
      {"state: 'path' is missing: the directory that store: file keeps its records in",
       [](topology& t) { t.state.store = store_kind::file; }},
      {"state.store: the host has no store named 'mine'; add it to engine_options.own.stores",
       [](topology& t) {
         t.state.store = store_kind::own;
         t.state.own = "mine";
       }},
      {"pipelines: there is none", [](topology& t) { t.pipelines.clear(); }},
      {"pipelines: '' is no name of a pipeline", [](topology& t) { t.pipelines[0].name = ""; }},
      {"pipelines: there are two named 'orders'", [](topology& t) { t.pipelines.push_back(another(t, "orders")); }},
      {"pipelines.orders: 'topics' is missing", [](topology& t) { t.pipelines[0].topics.clear(); }},
      {"pipelines.orders.topics: 'orders' stands here twice",
       [](topology& t) { t.pipelines[0].topics.push_back("orders"); }},
      {"pipelines.orders.topics: a pattern (it begins with ^) stands alone; write a pipeline for each",
       [](topology& t) { t.pipelines[0].topics.push_back("^x"); }},
      {"pipelines.orders: 'table' is missing", [](topology& t) { t.pipelines[0].table = ""; }},
      {"pipelines.orders.table: 'a.b' holds a '.'; write the database by itself: database: name",
       [](topology& t) { t.pipelines[0].table = "a.b"; }},
      {"pipelines.orders.lanes: '0' is not between 1 and 100000", [](topology& t) { t.pipelines[0].lanes = 0; }},
      {"pipelines.orders.batch.wait: '0 ms' is not between 1 ms and 1h",
       [](topology& t) { t.pipelines[0].batch.wait_ms = 0; }},
      {"pipelines.orders.format: 'jsn' is not known; it takes json, connect_json, avro, protobuf, csv, tsv, raw or "
       "passthrough; did you mean 'json'?",
       [](topology& t) { t.pipelines[0].format = "jsn"; }},
      {"pipelines.orders.format: records name their schemas by ids",
       [](topology& t) { t.pipelines[0].format = "avro"; }},
      {"pipelines.orders.encoding: 'x' is not known", [](topology& t) { t.pipelines[0].encoding = "x"; }},
      {"pipelines.orders.envelope: does not go with format: csv",
       [](topology& t) {
         t.pipelines[0].format = "csv";
         t.pipelines[0].envelope = envelope_kind::debezium;
       }},
      {"pipelines.orders.columns.id: 'a..b' is no path of a field",
       [](topology& t) {
         t.pipelines[0].columns["id"] = {column_source::from::field, "a..b"};
       }},
      {"pipelines.orders.columns.id: takes a field of the key, but the key has no format",
       [](topology& t) {
         t.pipelines[0].columns["id"] = {column_source::from::key, "a"};
       }},
      {"pipelines.events: the group 'chute-orders' is that of pipeline 'orders' too; a group belongs to one pipeline",
       [](topology& t) {
         t.pipelines.push_back(another(t, "events"));
         t.pipelines[1].group = "chute-orders";
       }},
      {"pipelines.events: pipeline 'orders' writes the topic 'orders' into the same table",
       [](topology& t) {
         t.pipelines.push_back(another(t, "events"));
         t.pipelines[1].table = "orders";
       }},
      {"pipelines.orders: state.store: memory forgets everything",
       [](topology& t) { t.state.store = store_kind::memory; }},
      {"pipelines.orders: batch.bytes is 200 MiB", [](topology& t) { t.pipelines[0].batch.bytes = 200 << 20; }},
  };
  CHECK(complaints([](topology&) {}) == "");
  for (const auto& r : rows) {
    const auto said = complaints(r.breaks);
    CHECK_MESSAGE(said.find(r.says) != std::string::npos, (std::string(r.says) + "\n  but: " + said));
  }
}

TEST_CASE("all that is wrong with a topology is said at once, and what the host adds is known") {
  CHECK(complaints([](topology& t) {
          t.kafka.brokers = "";
          t.clickhouse.urls.clear();
          t.pipelines[0].topics.clear();
        }) == "kafka: 'brokers' is missing\nclickhouse: 'url' is missing\npipelines.orders: 'topics' is missing");
  auto t = by_hand();
  t.state.store = store_kind::own;
  t.state.own = "ledger";
  t.pipelines[0].format = "pairs";
  CHECK_FALSE(complete(t));
  CHECK(complete(t, {{"pairs"}, {"ledger"}}));
}
