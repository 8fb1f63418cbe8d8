#include "core/text.hpp"
#include "core/topology.hpp"
#include "core/topology_checks.hpp"
#include "core/topology_rules.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <random>

using namespace chute;

namespace {

std::optional<std::string> test_environment(const std::string& name) {
  if (name == "SECRET") return "s3cret: {#}";
  if (name == "EMPTY") return "";
  if (name == "PORT") return "9092";
  if (name == "BROKEN") return "line one\nline two";
  if (name == "KEY") return "-----BEGIN PRIVATE KEY-----\r\nhidden\r\n-----END PRIVATE KEY-----\r\n";
  return {};
}

result<std::string> test_files(const std::string& path) {
  if (path == "/run/password") return std::string("from a file\n");
  if (path == "/run/order.avsc") return std::string("\"schema\"\n");
  if (path == "/run/empty") return std::string("\n");
  if (path == "/run/lines") return std::string("one\ntwo\n");
  return error{"", "cannot read " + path + ": no such file", ""};
}

result<topology> parse(const std::string& yaml) {
  auto t = parse_topology(yaml, "t.yaml", test_environment, test_files);
  if (t) { // what a file says passes the checks of one that a host filled in
    const auto again = complete(*t);
    CHECK_MESSAGE(again.ok(), (again.ok() ? "" : again.failure().cause + "\n" + yaml));
  }
  return t;
}

// The lines of the error; none if the file is fine.
std::string complaints(const std::string& yaml) {
  const auto r = parse(yaml);
  return r ? "" : r.failure().cause;
}

// A fine file of 8 lines, with room for more: `top` after the last line, `pipeline` within the pipeline.
std::string with(const std::string& pipeline, const std::string& top = "") {
  return "kafka:\n"
         "  brokers: localhost:9092\n"
         "clickhouse:\n"
         "  url: http://localhost:8123\n"
         "pipelines:\n"
         "  orders:\n"
         "    topics: [orders]\n"
         "    table: orders\n" +
         (pipeline.empty() ? "" : "    " + pipeline + "\n") + (top.empty() ? "" : top + "\n");
}

// The same with other lines under kafka: or clickhouse:. The lines are 1 kafka, 2…, then clickhouse.
std::string with_clickhouse(const std::string& lines) {
  return "kafka: {brokers: localhost:9092}\n"
         "clickhouse:\n" +
         lines + "pipelines: {orders: {topics: orders, table: orders}}\n";
}
std::string with_kafka(const std::string& lines) {
  return "kafka:\n" + lines +
         "clickhouse: {url: http://localhost:8123}\n"
         "pipelines: {orders: {topics: orders, table: orders}}\n";
}

} // namespace

TEST_CASE("a small file gets every default") {
  const auto r = parse(with(""));
  REQUIRE(r);
  CHECK(r->kafka.brokers == "localhost:9092");
  CHECK(r->kafka.properties.empty());
  CHECK(r->clickhouse.urls == std::vector<std::string>{"http://localhost:8123"});
  CHECK(r->clickhouse.database == "default");
  CHECK(r->clickhouse.user == "default");
  CHECK(r->clickhouse.password.empty());
  CHECK(r->clickhouse.compression == compression_kind::lz4);
  CHECK(r->clickhouse.insert_limit_ms == 120'000);
  CHECK(r->clickhouse.question_limit_ms == 10'000);
  CHECK(r->clickhouse.confirm_limit_ms == 60'000);
  CHECK(r->clickhouse.lease_ms == 60'000);
  CHECK(r->state.store == store_kind::kafka);
  CHECK(r->memory_bytes == 512u << 20);
  CHECK_FALSE(r->admin);
  REQUIRE(r->pipelines.size() == 1);
  const pipeline_config& p = r->pipelines[0];
  CHECK(p.name == "orders");
  CHECK(p.line == 6);
  CHECK(p.topics == std::vector<std::string>{"orders"});
  CHECK(p.group == "chute-orders");
  CHECK(p.start == start_policy::earliest);
  CHECK(p.format == "json");
  CHECK(p.table == "orders");
  CHECK(p.database == "default");
  CHECK(p.lanes == 32);
  CHECK(p.encoding == "native");
  CHECK(p.batch.rows == 500'000);
  CHECK(p.batch.bytes == 64u << 20);
  CHECK(p.batch.wait_ms == 1'000);
  CHECK(p.delivery == delivery_mode::exactly_once);
  CHECK(p.provenance == provenance_mode::required);
  CHECK(p.on_bad_record == bad_record_policy::dead_letter);
  CHECK(p.on_data_loss == data_loss_policy::stop);
  CHECK(p.deletes == delete_policy::reject);
  CHECK(p.dead_letter_table == "chute_dead_letters");
  CHECK(p.columns.empty());
}

TEST_CASE("every key is read") {
  const auto r = parse(R"(
kafka:
  brokers: [a:9092, "b:${PORT}"]
  properties: {security.protocol: sasl_ssl, socket.keepalive.enable: true, fetch.min.bytes: 1}
clickhouse:
  url: [https://one:8443, https://two:8443/ch]
  database: shop
  user: writer
  password: ${SECRET}
  settings: {insert_quorum: 2, log_comment: ""}
  compression: zstd
  tls: {ca: /etc/ca.pem}
  limits: {insert: 30s, question: 5s, confirm: 20s, lease: 15s}
state: {store: file, path: /var/lib/chute}
memory: 1GiB
admin: {listen: "[::1]:0", token: ${CHUTE_TOKEN:-}}
pipelines:
  orders:
    topics: ^orders-.*
    group: g
    start: 2024-05-01T12:00:00+02:00
    format: raw
    table: in_{topic}
    database: other
    lanes: 7
    encoding: native
    batch: {rows: 1, bytes: 1KiB, wait: 1ms}
    delivery: at_least_once
    provenance: off
    on_bad_record: stop
    on_data_loss: continue
    deletes: reject
    dead_letters: {table: broken}
    columns:
      ordered_at: {field: meta.ts}
      origin: {header: origin}
      region: {value: eu}
      nothing: {value: ""}
      _topic: {meta: topic}
      short: a.b
  clicks: {topics: [clicks, views], table: clicks}
)");
  REQUIRE_MESSAGE(r.ok(), r.failure().cause);
  CHECK(r->kafka.brokers == "a:9092,b:9092");
  CHECK(r->kafka.properties == std::map<std::string, std::string>{{"fetch.min.bytes", "1"},
                                                                  {"security.protocol", "sasl_ssl"},
                                                                  {"socket.keepalive.enable", "true"}});
  CHECK(r->clickhouse.urls == std::vector<std::string>{"https://one:8443", "https://two:8443/ch"});
  CHECK(r->clickhouse.user == "writer");
  CHECK(r->clickhouse.password == "s3cret: {#}"); // what a variable holds is not read as YAML
  CHECK(r->clickhouse.settings == std::map<std::string, std::string>{{"insert_quorum", "2"}, {"log_comment", ""}});
  CHECK(r->clickhouse.compression == compression_kind::zstd);
  CHECK(r->clickhouse.ca_file == "/etc/ca.pem");
  CHECK(r->clickhouse.insert_limit_ms == 30'000);
  CHECK(r->clickhouse.question_limit_ms == 5'000);
  CHECK(r->clickhouse.confirm_limit_ms == 20'000);
  CHECK(r->clickhouse.lease_ms == 15'000);
  CHECK(r->state.store == store_kind::file);
  CHECK(r->state.path == "/var/lib/chute");
  CHECK(r->memory_bytes == 1u << 30);
  REQUIRE(r->admin);
  CHECK(r->admin->enabled);
  CHECK(r->admin->host == "::1");
  CHECK(r->admin->port == 0);
  CHECK(r->admin->token.empty());
  REQUIRE(r->pipelines.size() == 2);
  const pipeline_config& p = r->pipelines[0];
  CHECK(p.topics == std::vector<std::string>{"^orders-.*"});
  CHECK(p.group == "g");
  CHECK(p.start == start_policy::timestamp);
  CHECK(p.start_timestamp_ms == 1714557600000);
  CHECK(p.format == "raw");
  CHECK(p.table == "in_{topic}");
  CHECK(p.database == "other");
  CHECK(p.lanes == 7);
  CHECK(p.batch.rows == 1);
  CHECK(p.batch.bytes == 1024);
  CHECK(p.batch.wait_ms == 1);
  CHECK(p.delivery == delivery_mode::at_least_once);
  CHECK(p.provenance == provenance_mode::off);
  CHECK(p.on_bad_record == bad_record_policy::stop);
  CHECK(p.on_data_loss == data_loss_policy::resume);
  CHECK(p.dead_letter_table == "broken");
  using from = column_source::from;
  const auto column = [&](const char* name, from kind, const char* text) {
    CAPTURE(name);
    REQUIRE(p.columns.count(name) == 1);
    CHECK(p.columns.at(name).kind == kind);
    CHECK(p.columns.at(name).text == text);
  };
  CHECK(p.columns.size() == 6);
  column("ordered_at", from::field, "meta.ts");
  column("origin", from::header, "origin");
  column("region", from::value, "eu");
  column("nothing", from::value, "");
  column("_topic", from::meta, "topic");
  column("short", from::field, "a.b");
  CHECK(r->pipelines[1].name == "clicks"); // in the file's order
  CHECK(r->pipelines[1].database == "shop");
  CHECK(r->pipelines[1].topics == std::vector<std::string>{"clicks", "views"});
}

TEST_CASE("errors say file, line, setting, cause and the way out") {
  struct {
    std::string yaml, expected;
  } const cases[] = {
      // keys
      {with("bacth: {rows: 1}"), "t.yaml:9: pipelines.orders.bacth: unknown key; did you mean 'batch'?"},
      {with("batch: {row: 1}"), "t.yaml:9: pipelines.orders.batch.row: unknown key; did you mean 'rows'?"},
      {with("", "qqq: 1"), "t.yaml:9: qqq: unknown key"},
      {with("", "memroy: 1GiB"), "t.yaml:9: memroy: unknown key; did you mean 'memory'?"},
      {with("", "stat: {store: redis}"), "t.yaml:9: stat: unknown key; did you mean 'state'?"},
      {with("dead_leters: {table: d}"),
       "t.yaml:9: pipelines.orders.dead_leters: unknown key; did you mean 'dead_letters'?"},
      {with("", "state: {store: redis, url: 'redis://me:secret'}"),
       "t.yaml:9: state.url: has no host:port that can be read; write redis://user:password@host:6379"},
      {with_kafka("  broker: a:1\n"), "t.yaml:2: kafka: 'brokers' is missing\n"
                                      "t.yaml:2: kafka.broker: unknown key; did you mean 'brokers'?"},
      {with("table: twice"), "t.yaml:9: 'table' stands here twice"},
      {with("", "{a: b}: 1"), "t.yaml:9: a key must be text"},
      // sizes, times, numbers
      {with("", "memory: 64MB"), "t.yaml:9: memory: '64MB' is no size; write bytes or KiB, MiB, GiB, TiB, as in 64MiB"},
      {with("", "memory: 1MiB"), "t.yaml:9: memory: '1MiB' is not between 16 MiB and 1 TiB"},
      {with("batch: {wait: 5}"),
       "t.yaml:9: pipelines.orders.batch.wait: '5' has no unit; write ms, s, m or h after the number, as in 1s"},
      {with("batch: {wait: 0ms}"), "t.yaml:9: pipelines.orders.batch.wait: '0ms' is not between 1 ms and 1h 00m"},
      {with("batch: {rows: 0}"), "t.yaml:9: pipelines.orders.batch.rows: '0' is not between 1 and 100000000"},
      {with("batch: {rows: many}"), "t.yaml:9: pipelines.orders.batch.rows: 'many' is no whole number"},
      {with("lanes: 0"), "t.yaml:9: pipelines.orders.lanes: '0' is not between 1 and 100000"},
      {with("lanes: 1.5"), "t.yaml:9: pipelines.orders.lanes: '1.5' is no whole number"},
      {with("lanes: [1]"), "t.yaml:9: pipelines.orders.lanes: takes a single value"},
      {with("lanes:"), "t.yaml:9: pipelines.orders.lanes: has no value"},
      {with("batch: 5"), "t.yaml:9: pipelines.orders.batch: must be a mapping, as in {name: value}"},
      {with("batch: {bytes: 200MiB}"),
       "t.yaml:9: pipelines.orders: batch.bytes is 200 MiB, but a batch may take a quarter of memory at most, 128 MiB "
       "here; raise memory, or lower batch.bytes"},
      // words
      {with("delivery: exactly-once"), "t.yaml:9: pipelines.orders.delivery: 'exactly-once' is not known; it takes "
                                       "exactly_once or at_least_once; did you mean 'exactly_once'?"},
      {with("on_bad_record: ignore"),
       "t.yaml:9: pipelines.orders.on_bad_record: 'ignore' is not known; it takes dead_letter, skip or stop"},
      {with("on_data_loss: proceed"),
       "t.yaml:9: pipelines.orders.on_data_loss: 'proceed' is not known; it takes stop or continue"},
      {with("provenance: of"),
       "t.yaml:9: pipelines.orders.provenance: 'of' is not known; it takes required or off; did you mean 'off'?"},
      {with("start: earlist"),
       "t.yaml:9: pipelines.orders.start: 'earlist' is neither earliest, latest nor an ISO 8601 "
       "time, as in 2024-05-01T12:00:00Z; did you mean 'earliest'?"},
      {with("start: 2024-02-30"),
       "t.yaml:9: pipelines.orders.start: '2024-02-30' is no ISO 8601 time, as in 2024-05-01T12:00:00Z"},
      // not in this version
      {with("format: jsn"),
       "t.yaml:9: pipelines.orders.format: 'jsn' is not known; it takes json, connect_json, avro, protobuf, csv, "
       "tsv, raw or passthrough; did you mean 'json'?"},
      {with("encoding: rowbinary"), "t.yaml:9: pipelines.orders.encoding: 'rowbinary' is not known; it takes native, "
                                    "row_binary or json_each_row; did you mean 'row_binary'?"},
      {with("deletes: collapsing"),
       "t.yaml:9: pipelines.orders.deletes: collapsing takes back a row as it was, which only a change event tells: "
       "write envelope: debezium"},
      {with("envelope: debezum"), "t.yaml:9: pipelines.orders.envelope: 'debezum' is not known; it takes none or "
                                  "debezium; did you mean 'debezium'?"},
      {with("dead_letters: {topic: t}"),
       "t.yaml:9: pipelines.orders.dead_letters.topic: not available in this version; write table"},
      // values that ClickHouse reads
      {with("format: passthrough"), "t.yaml:6: pipelines.orders: 'passthrough' is missing: write passthrough: {format: "
                                    "…}, as ClickHouse names it"},
      {with("passthrough: {format: CSV}"), "t.yaml:9: pipelines.orders.passthrough: belongs to format: passthrough"},
      {with("format: passthrough\n    passthrough: {format: Parquet}"),
       "t.yaml:10: pipelines.orders.passthrough.format: 'Parquet' is not known; it takes JSONEachRow, JSONLines, "
       "NDJSON, "
       "JSONCompactEachRow, CSV, TabSeparated, TSV or TSKV"},
      {with("format: passthrough\n    passthrough: {format: TSV, delimiter: ';'}"),
       "t.yaml:10: pipelines.orders.passthrough.delimiter: belongs to passthrough.format: CSV"},
      {with("format: passthrough\n    passthrough: {format: TSV}\n    encoding: native"),
       "t.yaml:11: pipelines.orders.encoding: has no meaning with format: passthrough: values travel as they came"},
      {with("format: passthrough\n    passthrough: {format: TSV}\n    columns: {a: b}"),
       "t.yaml:11: pipelines.orders.columns.a: takes a field, but with format: passthrough ClickHouse reads the value: "
       "fields go into the columns of their names"},
      {with("format: passthrough\n    passthrough: {format: TSV}\n    where: {field: a, equal: b}"),
       "t.yaml:11: pipelines.orders.where: asks for a field, but with format: passthrough nobody reads the value "
       "before "
       "ClickHouse does; ask for a header, or choose another format"},
      // keys
      {with("key: jsn"),
       "t.yaml:9: pipelines.orders.key: 'jsn' is not known; it takes json, connect_json, avro, protobuf or raw; did "
       "you mean 'json'?"},
      {with("key: json"), "t.yaml:9: pipelines.orders.key: no column takes a field of the key; write columns: {NAME: "
                          "{key: FIELD}}"},
      {with("key: {fromat: json}\n    columns: {a: {key: b}}"),
       "t.yaml:9: pipelines.orders.key: 'format' is missing\n"
       "t.yaml:9: pipelines.orders.key.fromat: unknown key; did you mean 'format'?\n"
       "t.yaml:10: pipelines.orders.columns.a: takes a field of the key, but the key has no format; write key: json, "
       "…"},
      {with("columns: {a: {key: b}}"),
       "t.yaml:9: pipelines.orders.columns.a: takes a field of the key, but the key has no "
       "format; write key: json, …"},
      {with("key: avro\n    columns: {a: {key: b}}"), "t.yaml:9: pipelines.orders.key: records name their schemas by "
                                                      "ids: write registry: {url: …}, or another framing"},
      {with("key: {format: protobuf, protobuf: {framing: none}}\n    columns: {a: {key: b}}"),
       "t.yaml:9: pipelines.orders.key.protobuf: 'schema' is missing"},
      {with("key: {format: json, avro: {framing: none}}\n    columns: {a: {key: b}}"),
       "t.yaml:9: pipelines.orders.key.avro: belongs to format: avro"},
      {with("key: raw\n    columns: {a: {key: b}}"),
       "t.yaml:10: pipelines.orders.columns.a: takes a field of the key, but "
       "with key: raw a key has none but 'value'"},
      {with("key: raw\n    columns: {a: {key: value}, b: {key: value}}"),
       "t.yaml:10: pipelines.orders.columns.b: takes the key, which with key: raw goes into one column; {meta: key} "
       "fills "
       "any number"},
      // conditions
      {with("where: {feild: a, equal: b}"),
       "t.yaml:9: pipelines.orders.where.feild: unknown key; did you mean 'field'?"},
      {with("where: kind"), "t.yaml:9: pipelines.orders.where: takes conditions, as in {field: kind, equal: order}"},
      {with("where: []"), "t.yaml:9: pipelines.orders.where: takes 1 to 32 conditions"},
      {with("where: {equal: b}"), "t.yaml:9: pipelines.orders.where: takes one of field and header"},
      {with("where: {field: a, header: b, equal: c}"),
       "t.yaml:9: pipelines.orders.where: takes one of field and header"},
      {with("where: {field: a}"), "t.yaml:9: pipelines.orders.where: takes one of equal, in and present"},
      {with("where: {field: a, equal: b, in: [c]}"),
       "t.yaml:9: pipelines.orders.where: takes one of equal, in and present"},
      {with("where: {field: a, in: []}"), "t.yaml:9: pipelines.orders.where.in: is empty"},
      {with("where: {field: a, present: maybe}"),
       "t.yaml:9: pipelines.orders.where.present: 'maybe' is not known; it takes true or false"},
      {with("where: {field: a..b, equal: c}"),
       "t.yaml:9: pipelines.orders.where.field: 'a..b' is no path of a field, as in a or a.b"},
      {with("where: {field: a, equal: b}\n    format: raw"),
       "t.yaml:9: pipelines.orders.where.field: with format: raw a record has no field but 'value'"},
      // names
      {with("group: ''"), "t.yaml:9: pipelines.orders.group: is empty or too long for a group's name"},
      {with("database: a.b"),
       "t.yaml:9: pipelines.orders.database: 'a.b' holds a '.'; write the database by itself: database: name"},
      {with("columns: {a: {meta: timestmp}}"),
       "t.yaml:9: pipelines.orders.columns.a.meta: 'timestmp' is not known; it takes topic, partition, offset, "
       "timestamp, key or headers; did you mean 'timestamp'?"},
      {with("columns: {a: {header: h, value: v}}"),
       "t.yaml:9: pipelines.orders.columns.a: takes exactly one of field, header, value, meta and key"},
      {with("columns: {a: {}}"),
       "t.yaml:9: pipelines.orders.columns.a: takes exactly one of field, header, value, meta and key"},
      {with("columns: {a: [b]}"), "t.yaml:9: pipelines.orders.columns.a: takes one of {field: …}, {header: …}, {value: "
                                  "…}, {meta: …} and {key: …}"},
      {with("columns: {a: {feild: b}}"),
       "t.yaml:9: pipelines.orders.columns.a.feild: unknown key; did you mean 'field'?"},
      {with("columns: {a: b..c}"),
       "t.yaml:9: pipelines.orders.columns.a: 'b..c' is no path of a field, as in a or a.b"},
      {with("columns: {a: {value: null}}"),
       "t.yaml:9: pipelines.orders.columns.a.value: has no value; quote it if null is meant as text"},
      // state
      {with("", "state: {store: file}"),
       "t.yaml:9: state: 'path' is missing: the directory that store: file keeps its records in"},
      {with("", "state: {store: kafka, path: /x}"), "t.yaml:9: state.path: belongs to store: file"},
      {with("", "state: {store: file, path: /x, table: t}"), "t.yaml:9: state.table: belongs to store: keeper_map"},
      {with("", "state: {store: keeper_map, replicas: 1}"), "t.yaml:9: state.replicas: belongs to store: redis"},
      {with("", "state: {store: keeper_map, table: a.b}"),
       "t.yaml:9: state.table: 'a.b' is no name of letters, digits and '_'"},
      {with("", "state: {store: redis}"),
       "t.yaml:9: state: 'url' is missing: where store: redis is, as in redis://host:6379"},
      {with("", "state: {store: redis, url: 'secret@host:6379'}"),
       "t.yaml:9: state.url: must begin with redis://, as in redis://host:6379"},
      {with("", "state: {store: redis, url: 'redis://:secret@host:x'}"),
       "t.yaml:9: state.url: has no host:port that can be read; write redis://user:password@host:6379"},
      {with("", "state: {store: redis, url: 'rediss://host'}"),
       "t.yaml:9: state.url: asks for TLS (rediss://), which this version does not speak to Redis; use redis:// within "
       "a trusted network, or a TLS tunnel on this machine"},
      {with("", "state: {store: kafak}"), "t.yaml:9: state.store: 'kafak' is not known; it takes kafka, keeper_map, "
                                          "redis, file or memory; did you mean 'kafka'?"},
      {with("", "state: {store: memory}"),
       "t.yaml:9: pipelines.orders: state.store: memory forgets everything when the process ends, so exactly_once "
       "cannot hold; choose another store, or delivery: at_least_once"},
      // admin
      {with("", "admin: {listen: 0.0.0.0:8088}"),
       "t.yaml:9: admin.listen: '0.0.0.0' can be reached from other machines, which takes an admin.token; set one, or "
       "listen on 127.0.0.1"},
      {with("", "admin: {listen: 127.0.0.1}"),
       "t.yaml:9: admin.listen: '127.0.0.1' is no address to listen on; write host:port, as in 127.0.0.1:8088"},
      {with("", "admin: {listen: ::1:8088}"),
       "t.yaml:9: admin.listen: '::1:8088' is no address to listen on; write host:port, as in 127.0.0.1:8088"},
      {with("", "admin: {listen: h:70000, token: t}"),
       "t.yaml:9: admin.listen: 'h:70000' is no address to listen on; write host:port, as in 127.0.0.1:8088"},
      {with("", "admin: {token: 'a b'}"), "t.yaml:9: admin.token: may hold visible ASCII characters only"},
      // clickhouse
      {with_clickhouse("  database: d\n"), "t.yaml:3: clickhouse: 'url' is missing"},
      {with_clickhouse("  url: localhost:8123\n"), "t.yaml:3: clickhouse.url: begins with neither http:// nor "
                                                   "https://; write http://host:8123 or https://host:8443"},
      {with_clickhouse("  url: http://me:hidden@h:8123\n"),
       "t.yaml:3: clickhouse.url: holds a user or a password; write clickhouse.user and clickhouse.password"},
      {with_clickhouse("  url: http://h:8123/?async_insert=1\n"),
       "t.yaml:3: clickhouse.url: holds parameters; write clickhouse.settings"},
      {with_clickhouse("  url: http://h:99999\n"),
       "t.yaml:3: clickhouse.url: names no host and port; write http://host:8123 or https://host:8443"},
      {with_clickhouse("  url: [http://h:1, http://h:1]\n"),
       "t.yaml:3: clickhouse.url: 'http://h:1' stands here twice"},
      {with_clickhouse("  url: []\n"), "t.yaml:3: clickhouse.url: is empty"},
      {with_clickhouse("  url: http://h:1\n  compression: snappy\n"),
       "t.yaml:4: clickhouse.compression: 'snappy' is not known; it takes none, lz4, zstd or gzip"},
      {with_clickhouse("  url: http://h:1\n  tls: {ca: x.pem}\n"),
       "t.yaml:4: clickhouse.tls.ca: has no meaning without an https:// URL in clickhouse.url"},
      {with_clickhouse("  url: http://h:1\n  limits: {lease: 10}\n"),
       "t.yaml:4: clickhouse.limits.lease: '10' has no unit; write ms, s, m or h after the number, as in 1s"},
      {with_clickhouse("  url: http://h:1\n  settings: {async_insert: 0}\n"),
       "t.yaml:4: clickhouse.settings.async_insert: this setting cannot be set: it is pinned to 0: an acknowledgement "
       "must mean that the rows are there"},
      {with_clickhouse("  url: http://h:1\n  settings: {'a&b': 0}\n"),
       "t.yaml:4: clickhouse.settings.a&b: no name of a setting"},
      {with_clickhouse("  url: http://h:1\n  settings: {param_x: 0}\n"),
       "t.yaml:4: clickhouse.settings.param_x: this setting cannot be set: it is a parameter of the statement"},
      // kafka
      {with_kafka("  brokers: 'a:9092,,b:9092'\n"),
       "t.yaml:2: kafka.brokers: '' is no address of a broker; write host:9092, several with commas"},
      {with_kafka("  brokers: a:b\n"),
       "t.yaml:2: kafka.brokers: 'a:b' is no address of a broker; write host:9092, several with commas"},
      {with_kafka("  brokers: a:1\n  properties: {group.id: g}\n"),
       "t.yaml:3: kafka.properties.group.id: the engine owns this property: write the pipeline's group"},
      {with_kafka("  brokers: a:1\n  properties: {debug: [a]}\n"),
       "t.yaml:3: kafka.properties.debug: takes a single value"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.yaml);
    CHECK(complaints(c.yaml) == c.expected);
  }
}

TEST_CASE("everything that the engine owns is refused by name") {
  for (const owned_name& o : owned_kafka_properties)
    CHECK(complaints(with_kafka("  brokers: a:1\n  properties: {" + std::string(o.name) + ": x}\n")) ==
          "t.yaml:3: kafka.properties." + std::string(o.name) +
              ": the engine owns this property: " + std::string(o.why));
  for (const owned_name& o : pinned_clickhouse_settings)
    CHECK(complaints(with_clickhouse("  url: http://h:1\n  settings: {" + std::string(o.name) + ": x}\n")) ==
          "t.yaml:4: clickhouse.settings." + std::string(o.name) +
              ": this setting cannot be set: " + std::string(o.why));
}

TEST_CASE("lines of text") {
  const auto t =
      parse(with("format: csv\n    csv: {delimiter: \"\\t\", header: skip, null_text: \"\", fields: [a, b]}"));
  REQUIRE_MESSAGE(t.ok(), (t.ok() ? "" : t.failure().cause));
  const auto& c = t->pipelines[0].csv;
  CHECK(c.delimiter == '\t');
  CHECK(c.header == csv_header::skip);
  CHECK(c.null_text.empty());
  CHECK(c.fields == std::vector<std::string>{"a", "b"});
  const auto wrong = [](const std::string& lines) { return complaints(with(lines)); };
  CHECK(wrong("csv: {header: skip}") == "t.yaml:9: pipelines.orders.csv: belongs to format: csv and format: tsv");
  CHECK(wrong("format: csv\n    csv: {delimitor: x}") ==
        "t.yaml:10: pipelines.orders.csv.delimitor: unknown key; did you mean 'delimiter'?");
  CHECK(wrong("format: csv\n    csv: {delimiter: ab}") ==
        "t.yaml:10: pipelines.orders.csv.delimiter: takes one character (of ASCII), neither a quote nor a line end");
  CHECK(wrong("format: tsv\n    csv: {delimiter: ;}") ==
        "t.yaml:10: pipelines.orders.csv.delimiter: belongs to format: csv; fields of tsv are separated by tabs");
  CHECK(wrong("format: csv\n    csv: {header: first}") ==
        "t.yaml:10: pipelines.orders.csv.header: 'first' is not known; it takes none, record or skip");
  CHECK(wrong("format: csv\n    csv: {header: record, fields: [a]}") ==
        "t.yaml:10: pipelines.orders.csv.fields: has no meaning with header: record, which names the fields of each "
        "record");
}

TEST_CASE("a schema registry") {
  const auto t =
      parse(with("format: avro", "registry: {url: https://r.example/api, user: u, password_file: /run/password, "
                                 "tls: {ca: /ca.pem}}"));
  REQUIRE_MESSAGE(t.ok(), (t.ok() ? "" : t.failure().cause));
  REQUIRE(t->registry.has_value());
  CHECK(t->registry->url == "https://r.example/api");
  CHECK(t->registry->user == "u");
  CHECK(t->registry->password == "from a file");
  CHECK(t->registry->ca_file == "/ca.pem");
  CHECK(t->pipelines[0].avro.framing == schema_framing::confluent);
  CHECK(parse(with("", "registry: {url: http://r, token: abc}"))->registry->token == "abc");
  const auto wrong = [](const std::string& registry) { return complaints(with("", "registry: " + registry)); };
  CHECK(wrong("{}") == "t.yaml:9: registry: 'url' is missing");
  CHECK(wrong("{url: r}") ==
        "t.yaml:9: registry.url: begins with neither http:// nor https://; write http://host:8081 or https://host");
  CHECK(wrong("{url: 'http://u:p@r'}") ==
        "t.yaml:9: registry.url: holds a user or a password; write registry.user and registry.password");
  CHECK(wrong("{url: http://r, usr: x}") == "t.yaml:9: registry.usr: unknown key; did you mean 'user'?");
  CHECK(wrong("{url: http://r, user: x, token: y}") ==
        "t.yaml:9: registry.user: there is a token as well; keep one of them");
  CHECK(wrong("{url: http://r, password: y}") == "t.yaml:9: registry: there is a password, but no user");
  CHECK(wrong("{url: http://r, tls: {ca: x}}") ==
        "t.yaml:9: registry.tls.ca: has no meaning without an https:// URL in registry.url");
}

TEST_CASE("avro's schemas") {
  const auto t = parse(with("format: avro\n    avro: {framing: single_object, schema: [/run/order.avsc, /run/lines], "
                            "reader_schema: /run/order.avsc}"));
  REQUIRE_MESSAGE(t.ok(), (t.ok() ? "" : t.failure().cause));
  CHECK(t->pipelines[0].avro.schemas == std::vector<std::string>{"\"schema\"\n", "one\ntwo\n"});
  CHECK(t->pipelines[0].avro.reader_schema == "\"schema\"\n");
  const auto wrong = [](const std::string& lines) { return complaints(with("format: avro\n    avro: " + lines)); };
  CHECK(wrong("{}") ==
        "t.yaml:6: pipelines.orders.avro: records name their schemas by ids: write registry: {url: …}, or "
        "another framing");
  CHECK(wrong("{framing: none}") == "t.yaml:10: pipelines.orders.avro: 'schema' is missing");
  CHECK(wrong("{framing: none, schema: /gone}") ==
        "t.yaml:10: pipelines.orders.avro.schema: cannot read /gone: no such file");
  CHECK(wrong("{framing: none, schema: [/run/order.avsc, /run/lines]}") ==
        "t.yaml:10: pipelines.orders.avro.schema: takes one file with framing: none, because records do not say which");
  CHECK(wrong("{framing: bare, schema: /run/lines}")
            .starts_with("t.yaml:10: pipelines.orders.avro.framing: 'bare' is not known; it takes confluent, "));
  CHECK(complaints(with("avro: {framing: none, schema: /run/lines}")) ==
        "t.yaml:9: pipelines.orders.avro: belongs to format: avro");
  CHECK(complaints(with("format: avro\n    avro: {schema: /run/lines}", "registry: {url: http://r}")) ==
        "t.yaml:10: pipelines.orders.avro.schema: belongs to framing: single_object and framing: none; with confluent "
        "the "
        "registry has the schemas");
}

TEST_CASE("protobuf's schema") {
  const auto t = parse(with("format: protobuf\n    protobuf: {framing: none, schema: /run/lines, message: a.B}"));
  REQUIRE_MESSAGE(t.ok(), (t.ok() ? "" : t.failure().cause));
  CHECK(t->pipelines[0].protobuf.schema == "one\ntwo\n");
  CHECK(t->pipelines[0].protobuf.message == "a.B");
  const auto wrong = [](const std::string& lines) {
    return complaints(with("format: protobuf\n    protobuf: " + lines, "registry: {url: http://r}"));
  };
  CHECK(wrong("{}").empty());
  CHECK(wrong("{framing: none}") == "t.yaml:10: pipelines.orders.protobuf: 'schema' is missing");
  CHECK(wrong("{message: x}") ==
        "t.yaml:10: pipelines.orders.protobuf.message: belongs to framing: none; with confluent "
        "records and the registry tell");
  CHECK(wrong("{framing: single_object}") ==
        "t.yaml:10: pipelines.orders.protobuf.framing: 'single_object' is not known; "
        "it takes confluent or none");
  CHECK(complaints(with("protobuf: {}")) == "t.yaml:9: pipelines.orders.protobuf: belongs to format: protobuf");
}

TEST_CASE("topics") {
  const auto topics = [](const std::string& value) {
    return complaints("kafka: {brokers: a:1}\nclickhouse: {url: http://h:1}\n"
                      "pipelines:\n  orders:\n    topics: " +
                      value + "\n    table: orders\n");
  };
  const std::string at = "t.yaml:5: pipelines.orders.topics: ";
  CHECK(topics("orders") == "");
  CHECK(topics("[a, b.c-d_E9]") == "");
  CHECK(topics("^a.*") == "");
  CHECK(topics("['^a(b|c)[0-9]{3}$']") == "");
  CHECK(topics("[]") == at + "is empty");
  CHECK(topics("[a, a]") == at + "'a' stands here twice");
  CHECK(topics("{a: b}") == at + "takes a single value");
  CHECK(topics("[^a, b]") == at + "a pattern (it begins with ^) stands alone; write a pipeline for each");
  const std::string no_name = " is no name of a topic (letters, digits, '.', '_' and '-'); a pattern begins with ^";
  CHECK(topics("a/b") == at + "'a/b'" + no_name);
  CHECK(topics("'..'") == at + "'..'" + no_name);
  CHECK(topics("''") == at + "''" + no_name);
  CHECK(topics(std::string(250, 'a')).find("is longer than the 249 characters of Kafka") != std::string::npos);
  CHECK(topics("'^a('").starts_with(at + "'^a(' is no POSIX extended regular expression: "));
  CHECK(topics("'^a-\\d+'") ==
        at + "'^a-\\d+' has \\d, which is no POSIX extended regular expression; write [0-9] or the like");
  CHECK(topics("'^a\\.b\\w'") == "");
  CHECK(topics("'^(a)\\1'") == at + "'^(a)\\1' refers back to a group, which a pattern of topics cannot");
  CHECK(topics("'^a{99999999999}'") == at + "'^a{99999999999}' repeats too much");
  // Takes the C library gigabytes to compile.
  CHECK(topics("'^a{1,255}{1,255}{1,255}'") == at + "'^a{1,255}{1,255}{1,255}' repeats too much");
}

TEST_CASE("tables may name the topic, once, and nothing else") {
  const auto table = [](const std::string& value) {
    return complaints("kafka: {brokers: a:1}\nclickhouse: {url: http://h:1}\n"
                      "pipelines:\n  orders:\n    table: " +
                      value + "\n    topics: orders\n");
  };
  const std::string at = "t.yaml:5: pipelines.orders.table: ";
  CHECK(table("'{topic}'") == "");
  CHECK(table("raw_{topic}_v2") == "");
  CHECK(table("'{topic}{topic}'") == at + "'{topic}{topic}': the only braces that a table takes are one {topic}");
  CHECK(table("'{tpoic}'") == at + "'{tpoic}': the only braces that a table takes are one {topic}");
  CHECK(table("shop.orders") == at + "'shop.orders' holds a '.'; write the database by itself: database: name");
  CHECK(table("''") == at + "is empty");
  CHECK(table("chute_dead_letters") ==
        "t.yaml:5: pipelines.orders: the table and the dead-letter table are the same: 'chute_dead_letters'");
}

TEST_CASE("pipelines contradict each other") {
  const auto two = [](const std::string& a, const std::string& b) {
    return complaints("kafka: {brokers: a:1}\nclickhouse: {url: http://h:1}\npipelines:\n  a: " + a + "\n  b: " + b +
                      "\n");
  };
  CHECK(two("{topics: x, table: x}", "{topics: y, table: y}") == "");
  CHECK(two("{topics: x, table: x, group: g}", "{topics: y, table: y, group: g}") ==
        "t.yaml:5: pipelines.b: the group 'g' is that of pipeline 'a' too; a group belongs to one pipeline");
  CHECK(two("{topics: x, table: x, group: chute-b}", "{topics: y, table: y}") ==
        "t.yaml:5: pipelines.b: the group 'chute-b' is that of pipeline 'a' too; a group belongs to one pipeline");
  const std::string doubled = "t.yaml:5: pipelines.b: pipeline 'a' writes the topic 'x' into the same table; every "
                              "record would be there twice";
  CHECK(two("{topics: [w, x], table: t}", "{topics: x, table: t}") == doubled);
  CHECK(two("{topics: '^x.*', table: t}", "{topics: x, table: t}") == doubled);
  CHECK(two("{topics: x, table: t}", "{topics: '^x.*', table: t}") == doubled);
  CHECK(two("{topics: x, table: x}", "{topics: x, table: '{topic}'}") == doubled);
  CHECK(two("{topics: x, table: t}", "{topics: x, table: t, database: other}") == "");
  CHECK(two("{topics: x, table: t}", "{topics: '^y.*', table: t}") == "");
  CHECK(two("{topics: x, table: t}", "{topics: x, table: u}") == "");
}

TEST_CASE("a default batch gives way to a small memory") {
  const auto r = parse(with("", "memory: 16MiB"));
  REQUIRE(r);
  CHECK(r->pipelines[0].batch.bytes == 4u << 20);
}

TEST_CASE("a memory store is fine where nothing is promised") {
  CHECK(complaints(with("delivery: at_least_once", "state: {store: memory}")) == "");
}

TEST_CASE("admin") {
  const auto loopback = parse(with("", "admin: {}"));
  REQUIRE(loopback);
  REQUIRE(loopback->admin);
  CHECK(loopback->admin->host == "127.0.0.1");
  CHECK(loopback->admin->port == 8088);
  const auto open = parse(with("", "admin: {listen: 0.0.0.0:80, token: abc}"));
  REQUIRE(open);
  CHECK(open->admin->token == "abc");
  CHECK(complaints(with("", "admin: {listen: 0.0.0.0:80, token: '${EMPTY}'}")).find("takes an admin.token") !=
        std::string::npos);
  // What is wrong with the token is said once.
  CHECK(complaints(with("", "admin: {listen: 0.0.0.0:80, token: ${UNSET}}")) ==
        "t.yaml:9: the variable UNSET is not set; set it, or write ${UNSET:-default}");
  const auto file = parse(with("", "admin: {token_file: /nowhere}"));
  CHECK(file.failure().cause == "t.yaml:9: admin.token_file: cannot read /nowhere: no such file");
  CHECK(is_loopback("127.0.0.53"));
  CHECK(is_loopback("localhost"));
  CHECK_FALSE(is_loopback("127.example.com"));
  CHECK_FALSE(is_loopback("127.0.0.1.example.com"));
  CHECK_FALSE(is_loopback("0.0.0.0"));
  CHECK_FALSE(is_loopback("::"));
}

TEST_CASE("passwords") {
  const auto password = [](const std::string& line) {
    return parse(with_clickhouse("  url: http://h:1\n  " + line + "\n"));
  };
  CHECK(password("password: plain")->clickhouse.password == "plain");
  CHECK(password("password_file: /run/password")->clickhouse.password == "from a file"); // less the line end
  CHECK(password("password: ''")->clickhouse.password == "");
  CHECK(password("password_file: /run/lines").failure().cause ==
        "t.yaml:4: clickhouse.password_file: '/run/lines' does not hold one line of text");
  CHECK(password("password_file: /run/empty").failure().cause ==
        "t.yaml:4: clickhouse.password_file: '/run/empty' holds nothing");
  CHECK(password("password_file: /nope").failure().cause ==
        "t.yaml:4: clickhouse.password_file: cannot read /nope: no such file");
  CHECK(password("password: x\n  password_file: /run/password").failure().cause ==
        "t.yaml:5: clickhouse.password_file: there is a 'password' as well; keep one of them");
  CHECK(password("password: \"hid\\nden\"").failure().cause ==
        "t.yaml:4: clickhouse.password: holds a control character (a line end?)");
  CHECK(password("password: [hidden]").failure().cause.find("hidden") == std::string::npos);
}

TEST_CASE("keys and certificates of Kafka have several lines") {
  const auto properties = [](const std::string& lines) {
    return parse(with_kafka("  brokers: localhost:9092\n  properties:\n" + lines));
  };
  const auto fine = properties("    ssl.key.pem: ${KEY}\n"
                               "    ssl.certificate.pem: |\n      -----BEGIN CERTIFICATE-----\n      MIIB\n"
                               "      -----END CERTIFICATE-----\n"
                               "    ssl.ca.pem: \"one\\ntwo\"\n");
  REQUIRE_MESSAGE(fine.ok(), fine.failure().cause);
  CHECK(fine->kafka.properties ==
        std::map<std::string, std::string>{
            {"ssl.key.pem", "-----BEGIN PRIVATE KEY-----\r\nhidden\r\n-----END PRIVATE KEY-----\r\n"},
            {"ssl.certificate.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"},
            {"ssl.ca.pem", "one\ntwo"}});
  // Whatever is wrong with one, it is not shown.
  CHECK(properties("    ssl.key.pem: \"hidden\\0\"\n").failure().cause ==
        "t.yaml:4: kafka.properties.ssl.key.pem: holds a control character that is no line end");
  CHECK(properties("    ssl.key.pem: [hidden]\n").failure().cause ==
        "t.yaml:4: kafka.properties.ssl.key.pem: takes a single value");
  for (const char* name : {"sasl.password", "ssl.key.location", "ssl.key.pem.x", "pem"})
    CHECK(properties("    " + std::string(name) + ": ${KEY}\n").failure().cause ==
          "t.yaml:4: kafka.properties." + std::string(name) + ": holds a control character (a line end?)");
}

TEST_CASE("variables") {
  const auto user = [](const std::string& text) {
    const auto r = parse(with_clickhouse("  url: http://h:1\n  user: " + text + "\n"));
    return r ? r->clickhouse.user : r.failure().cause;
  };
  CHECK(user("${PORT}") == "9092");
  CHECK(user("a-${PORT}-${UNSET:-b}") == "a-9092-b");
  CHECK(user("'${PORT}'") == "9092");
  CHECK(user("\"${PORT}\"") == "9092");
  CHECK(user("${EMPTY:-other}") == "other");         // empty counts as not set, as in a shell
  CHECK(user("${UNSET:-a: [b, {c}") == "a: [b, {c"); // YAML's signs mean nothing within
  CHECK(user("${UNSET:-${PORT}}") == "${PORT}");     // no variables within a default: taken as it stands
  CHECK(user("$${PORT}") == "${PORT}");
  CHECK(user("$$${PORT}") == "$${PORT}");
  CHECK(user("$PORT") == "$PORT");
  CHECK(user("a$") == "a$");
  CHECK(user("x # ${UNSET} ${ $${") == "x"); // a comment needs nothing
  CHECK(user("${UNSET}") == "t.yaml:4: the variable UNSET is not set; set it, or write ${UNSET:-default}");
  const std::string no_name = " names no variable; write ${NAME} or ${NAME:-default}, and $${ for a plain ${";
  CHECK(user("${un set}") == "t.yaml:4: ${un…}" + no_name);
  CHECK(user("${1ST}") == "t.yaml:4: ${1ST}" + no_name);
  CHECK(user("${}") == "t.yaml:4: ${}" + no_name);
  // Defaults as a shell has them, and slips beside it: what they hold is not shown.
  for (const char* hidden : {"-hidden", "=hidden", ":hidden", " :-hidden", "?hidden", "\xc3\xa9:-hidden"})
    CHECK(user("${UNSET" + std::string(hidden) + "}") == "t.yaml:4: ${UNSET…}" + no_name);
  CHECK(user("${:-hidden}") == "t.yaml:4: ${…}" + no_name);
  CHECK(user("${PORT") == "t.yaml:4: ${ is not closed on its line; $${ stands for a plain ${");
  CHECK(user("${BROKEN}") == "t.yaml:4: clickhouse.user: holds a control character (a line end?)");
  CHECK(user("'${EMPTY}'") == "t.yaml:4: clickhouse.user: is empty");
  CHECK(complaints(with("", "${PORT}: 1")) == "t.yaml:9: ${PORT}: unknown key"); // not in keys
}

TEST_CASE("variables within braces and brackets") {
  const auto r = parse("kafka: {brokers: [a:${PORT}, ${UNSET:-b:1}]}\n"
                       "clickhouse: {url: http://h:1, password: ${SECRET}}\n"
                       "admin: {listen: 127.0.0.1:8088, token: ${CHUTE_TOKEN:-}}\n"
                       "pipelines: {p: {topics: [${T:-t}], table: $${x}}}\n");
  REQUIRE_FALSE(r);
  CHECK(r.failure().cause == "t.yaml:4: pipelines.p.table: '${x}': the only braces that a table takes are one {topic}");
}

TEST_CASE("anchors, aliases and merged mappings") {
  const auto r = parse(R"(
kafka: {brokers: a:1}
clickhouse: {url: http://h:1}
pipelines:
  a: &base
    topics: a
    table: a
    batch: &small {rows: 10}
    lanes: 3
  b:
    <<: *base
    topics: b
    batch: {<<: [*small], wait: 5s}
)");
  REQUIRE_MESSAGE(r.ok(), r.failure().cause);
  CHECK(r->pipelines[1].topics == std::vector<std::string>{"b"});
  CHECK(r->pipelines[1].table == "a");
  CHECK(r->pipelines[1].lanes == 3);
  CHECK(r->pipelines[1].batch.rows == 10);
  CHECK(r->pipelines[1].batch.wait_ms == 5'000);
  CHECK(complaints(with("<<: 5")) == "t.yaml:9: '<<' takes a mapping, or a list of them");
}

TEST_CASE("files that are no topology") {
  CHECK(complaints("") == "t.yaml:1: the file is empty");
  CHECK(complaints("# nothing\n") == "t.yaml:1: the file is empty");
  CHECK(complaints("- a\n") == "t.yaml:1: a topology is a mapping: kafka, clickhouse, pipelines, …");
  CHECK(complaints("{}") == "t.yaml:1: 'kafka' is missing\nt.yaml:1: 'clickhouse' is missing\n"
                            "t.yaml:1: 'pipelines' is missing");
  CHECK(complaints("a: b\nc: [d\ne: f\n").starts_with("t.yaml:3: not YAML: "));
  CHECK(complaints("a: 1\n\tb: 2\n").starts_with("t.yaml:2: not YAML: "));
  CHECK(complaints("a: 1\n\tb: 2\n").find("indented by a tab") != std::string::npos);
  for (const char* text : {"a: \"b\nc: d\n", "a: 'b\nc: d\n", "a: \"b\nc: d"})
    CHECK(complaints(text).find("a quoted text that begins in or before this line is not closed") != std::string::npos);
  CHECK(complaints("a: *nobody\n").starts_with("t.yaml:1: not YAML: "));
  CHECK(complaints(with("") + "---\nb: 1\n").find("a second document begins here") != std::string::npos);
  CHECK(complaints(std::string("a: b\0c\n", 7)) == "t.yaml:1: not text in UTF-8");
  CHECK(complaints("a: 1\nb: \xff\n") == "t.yaml:2: not text in UTF-8");
  CHECK(complaints("a: 1\nb: \xed\xa0\x80\n") == "t.yaml:2: not text in UTF-8"); // a lone surrogate
  CHECK(complaints("a: \xee\x80\x80\n").find("private area") != std::string::npos);
  CHECK(complaints("a: !secret x\n").starts_with("t.yaml:1: the tag '!secret' means nothing here\n"));
  CHECK(complaints(with("").replace(with("").find("  orders:\n"), std::string::npos, "")) ==
        "t.yaml:5: pipelines: there is none");
}

TEST_CASE("a file cannot grow without a bound") {
  CHECK(complaints(std::string((1u << 20) + 1, '#')) == "t.yaml:1: the file is larger than 1 MiB");
  CHECK(complaints("a: " + std::string(40, '[') + std::string(40, ']')) == "t.yaml:1: nested too deep");
  CHECK(complaints("a: " + std::string(500'000, '[')) == "t.yaml:1: nested too deep");
  CHECK(complaints("a: &a [*a]") == "t.yaml:1: an alias stands within what it names");
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string before = std::to_string(i - 1), now = std::to_string(i);
    bomb += "a" + now + ": &a" + now + " [";
    for (int j = 0; j < 10; ++j) bomb += (j ? ", *a" : "*a") + before;
    bomb += "]\n";
  }
  CHECK(complaints(bomb) == "t.yaml:5: aliases make this file too large");
  std::string wide;
  for (int i = 0; i < 60'000; ++i) wide += "k" + std::to_string(i) + ": 1\n";
  CHECK(complaints(wide) == "t.yaml:50000: more than 100,000 values");
}

TEST_CASE("all errors come at once, in the file's order, and are cut where nobody reads on") {
  CHECK(
      complaints("pipelines: {p: {topics: 'a b', lanes: x}}\nmemory: no\nkafka: {}\n") ==
      "t.yaml:1: 'clickhouse' is missing\n"
      "t.yaml:1: pipelines.p: 'table' is missing\n"
      "t.yaml:1: pipelines.p.topics: 'a b' is no name of a topic (letters, digits, '.', '_' and '-'); a pattern begins "
      "with ^\n"
      "t.yaml:1: pipelines.p.lanes: 'x' is no whole number\n"
      "t.yaml:2: memory: 'no' is no size; write bytes or KiB, MiB, GiB, TiB, as in 64MiB\n"
      "t.yaml:3: kafka: 'brokers' is missing");
  std::string many = with("");
  for (int i = 0; i < 250; ++i) many += "unknown" + std::to_string(i) + ": 1\n";
  const std::string cut = complaints(many);
  CHECK(std::count(cut.begin(), cut.end(), '\n') == 100);
  CHECK(cut.ends_with("t.yaml: and 150 more"));
}

TEST_CASE("no file crashes the reader, and every refusal names a line") {
  const std::string whole = R"(kafka: &k
  brokers: [a:9092, "b:${PORT}"]
  properties: {security.protocol: sasl_ssl}
clickhouse: {url: "https://one:8443", tls: {ca: x}, password: '${SECRET}', limits: {insert: 30s}}
state: {store: file, path: /var/lib/chute}
admin: {listen: "[::1]:0", token: ${CHUTE_TOKEN:-}}
pipelines:
  orders:
    topics: ^orders-.{1,3}
    start: 2024-05-01T12:00:00+02:00
    table: in_{topic}
    batch: {rows: 1, bytes: 1KiB, wait: 1ms}
    columns: {a: {field: meta.ts}, b: |
      text
      }
  clicks: {<<: *k, topics: [clicks, views], table: clicks}
)";
  static constexpr std::string_view pieces[] = {
      "{",    "}",  "[",   "]",       ":",    ": ",           "\n",    "\n  ",  "&a ",  "*a", "*k",
      "<<: ", "${", "$${", "${PORT}", "'",    "\"",           "!",     "|",     ">",    "- ", "? ",
      "#",    "%",  "\t",  "\\u0000", "\xc3", "\xee\x80\x80", "---\n", "...\n", "null", "~"};
  std::mt19937 random(20240501);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  int refused = 0;
  for (int i = 0; i < 4'000; ++i) {
    std::string yaml = whole;
    for (std::size_t n = 1 + below(6); n > 0 && !yaml.empty(); --n) {
      const std::size_t at = below(yaml.size());
      switch (below(5)) {
      case 0: yaml.erase(at, 1 + below(20)); break;
      case 1: yaml.insert(at, pieces[below(std::size(pieces))]); break;
      case 2: yaml[at] = static_cast<char>(below(256)); break;
      case 3: yaml.insert(at, yaml.substr(below(yaml.size()), below(40))); break;
      default: yaml.resize(at); break;
      }
    }
    CAPTURE(yaml);
    const auto r = parse(yaml);
    if (r) continue;
    ++refused;
    CHECK(r.failure().component == "topology");
    const std::string& cause = r.failure().cause;
    for (std::size_t from = 0; from <= cause.size();) {
      const std::string line = cause.substr(from, cause.find('\n', from) - from);
      REQUIRE(line.starts_with("t.yaml:"));
      const auto number = parse_integer(line.substr(7, line.find(':', 7) - 7));
      REQUIRE(number);
      CHECK(*number >= 1);
      from += line.size() + 1;
    }
  }
  CHECK(refused > 3'000);
}

TEST_CASE("conditions are read") {
  using on = condition::subject;
  const auto read = [](const std::string& where) {
    const auto t = parse(with("where: " + where));
    REQUIRE_MESSAGE(t.ok(), (t.ok() ? "" : t.failure().cause));
    return t->pipelines[0].where;
  };
  CHECK(parse(with(""))->pipelines[0].where.empty());
  const auto one = read("{field: meta.kind, equal: 7}");
  REQUIRE(one.size() == 1);
  CHECK(one[0].on == on::field);
  CHECK(one[0].name == "meta.kind");
  CHECK(one[0].present);
  CHECK(one[0].texts == std::vector<std::string>{"7"});
  const auto two = read("[{header: h, in: [a, \"\"]}, {field: x, present: false}]");
  REQUIRE(two.size() == 2);
  CHECK(two[0].on == on::header);
  CHECK(two[0].texts == std::vector<std::string>{"a", ""});
  CHECK_FALSE(two[1].present);
  CHECK(two[1].texts.empty());
}

TEST_CASE("names that a host adds are taken beside the engine's own") {
  const own_names own{{"pairs"}, {"ledger"}};
  auto parse_own = [&](const std::string& yaml) {
    return parse_topology(yaml, "t.yaml", test_environment, test_files, own);
  };
  const auto file = with("format: pairs", "state: {store: ledger}");
  const auto t = parse_own(file);
  REQUIRE(t);
  CHECK(t->pipelines.at(0).format == "pairs");
  CHECK(t->state.store == store_kind::own);
  CHECK(t->state.own == "ledger");
  CHECK(parse_own(with("format: json", "state: {store: file, path: x}")));
  CHECK(complaints(file).find("'pairs' is not known") != std::string::npos);
  CHECK(complaints(file).find("'ledger' is not known") != std::string::npos);
  CHECK(parse_own(with("", "state: {store: ledger, path: x}")).failure().cause.find("belongs to store: file") !=
        std::string::npos);
}
