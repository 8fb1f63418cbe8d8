#include "core/topology_same.hpp"

#include <doctest/doctest.h>

using namespace chute;

namespace {

topology sound() {
  topology t;
  t.kafka.brokers = "localhost:9092";
  t.clickhouse.urls = {"http://localhost:8123"};
  pipeline_config p;
  p.name = "orders";
  p.topics = {"orders"};
  p.columns["a"] = {column_source::from::header, "h"};
  t.pipelines.push_back(p);
  return t;
}

// Whether the pipeline goes on untouched after the change.
template <class F> bool goes_on(F&& change) {
  const topology before = sound();
  topology now = sound();
  change(now, now.pipelines[0]);
  return same_pipeline(before, now, before.pipelines[0], now.pipelines[0]);
}

} // namespace

TEST_CASE("what is no change of a pipeline") {
  CHECK(goes_on([](topology&, pipeline_config&) {}));
  CHECK(goes_on([](topology&, pipeline_config& p) { p.line = 17; }));
  CHECK(goes_on([](topology& t, pipeline_config&) { t.admin.emplace(); }));
  CHECK(goes_on([](topology& t, pipeline_config&) { t.pipelines.emplace_back(); }));
}

TEST_CASE("what is one") {
  CHECK_FALSE(goes_on([](topology&, pipeline_config& p) { p.topics.push_back("more"); }));
  CHECK_FALSE(goes_on([](topology&, pipeline_config& p) { p.batch.wait_ms = 5; }));
  CHECK_FALSE(goes_on([](topology&, pipeline_config& p) { p.encoding = "row_binary"; }));
  CHECK_FALSE(goes_on([](topology&, pipeline_config& p) { p.csv.delimiter = ';'; }));
  CHECK_FALSE(goes_on([](topology&, pipeline_config& p) { p.where.push_back({}); }));
  CHECK_FALSE(goes_on([](topology&, pipeline_config& p) { p.key.format = "json"; }));
  CHECK_FALSE(goes_on([](topology&, pipeline_config& p) { p.passthrough.format = "CSV"; }));
  CHECK_FALSE(goes_on([](topology&, pipeline_config& p) { p.columns["a"].text = "other"; }));
  CHECK_FALSE(goes_on([](topology&, pipeline_config& p) { p.columns.clear(); }));
  CHECK_FALSE(goes_on([](topology&, pipeline_config& p) { p.columns["b"] = {}; }));
  CHECK_FALSE(goes_on([](topology& t, pipeline_config&) { t.kafka.properties["session.timeout.ms"] = "1"; }));
  CHECK_FALSE(goes_on([](topology& t, pipeline_config&) { t.clickhouse.password = "x"; }));
  CHECK_FALSE(goes_on([](topology& t, pipeline_config&) { t.memory_bytes /= 2; }));
  CHECK_FALSE(goes_on([](topology& t, pipeline_config&) { t.state.store = store_kind::memory; }));
}
