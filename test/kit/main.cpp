// chute-kit: what tests, demos and benchmarks need around an engine.
// Exit codes: 0 done, and for `compare`: exact · 1 compared, and not exact · 2 it could not be done.
#include "test/kit/compare.hpp"
#include "test/kit/kafka.hpp"
#include "test/kit/latency.hpp"
#include "test/kit/produce.hpp"
#include "test/kit/proxy.hpp"
#include "test/kit/read.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace chute::kit {

namespace {

std::string from_environment(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}

properties pairs(const std::vector<std::string>& texts) {
  properties out;
  for (const std::string& t : texts) {
    const std::size_t at = t.find('=');
    if (at == t.npos) throw failure("\"" + t + "\" is not name=value");
    out[t.substr(0, at)] = t.substr(at + 1);
  }
  return out;
}

// "17": for every partition; "3:17": for partition 3.
std::map<int, std::int64_t> offsets(const std::vector<std::string>& texts) {
  std::map<int, std::int64_t> out;
  for (const std::string& t : texts) {
    try {
      const std::size_t colon = t.find(':');
      if (colon == t.npos) out[-1] = std::stoll(t);
      else out[std::stoi(t.substr(0, colon))] = std::stoll(t.substr(colon + 1));
    } catch (const std::logic_error&) {
      throw failure("\"" + t + "\" is neither OFFSET nor PARTITION:OFFSET");
    }
  }
  return out;
}

struct shared_options {
  std::string brokers = from_environment("CHUTE_KAFKA", "127.0.0.1:19092");
  clickhouse_address server{from_environment("CHUTE_CLICKHOUSE", "http://127.0.0.1:18123"), "default", ""};
};

void add_brokers(CLI::App* app, shared_options& shared) {
  app->add_option("--brokers", shared.brokers, "Kafka's address (CHUTE_KAFKA)")->capture_default_str();
}

void add_server(CLI::App* app, shared_options& shared) {
  app->add_option("--clickhouse", shared.server.url, "ClickHouse's URL (CHUTE_CLICKHOUSE)")->capture_default_str();
  app->add_option("--user", shared.server.user)->capture_default_str();
  app->add_option("--password", shared.server.password);
}

struct topic_options {
  std::string name;
  int partitions = 1, replication = 1;
  std::vector<std::string> config, before, kafka;
  bool sum = false;
};

void print_ends(const std::string& brokers, const topic_options& o) {
  kafka_handle reader = make_reader(brokers, pairs(o.kafka));
  std::int64_t sum = 0;
  int p = 0;
  for (const log_bounds& b : bounds_of(reader.get(), o.name)) {
    sum += b.end - b.begin;
    if (!o.sum) std::printf("%d %lld %lld\n", p, static_cast<long long>(b.begin), static_cast<long long>(b.end));
    p++;
  }
  if (o.sum) std::printf("%lld\n", static_cast<long long>(sum));
}

void add_topic(CLI::App& app, shared_options& shared, topic_options& o) {
  CLI::App* topic = app.add_subcommand("topic", "Make, delete and look at topics");
  topic->require_subcommand(1);
  add_brokers(topic, shared);
  CLI::App* create = topic->add_subcommand("create", "Make a topic");
  create->add_option("--partitions", o.partitions)->capture_default_str();
  create->add_option("--replication", o.replication)->capture_default_str();
  create->add_option("--config", o.config, "name=value");
  CLI::App* remove = topic->add_subcommand("delete", "Delete a topic");
  CLI::App* end = topic->add_subcommand("end", "Print \"partition begin end\" of each partition, read_committed");
  end->add_option("--property", o.kafka, "name=value for librdkafka");
  end->add_flag("--sum", o.sum, "Print only how many offsets there are in all");
  CLI::App* more = topic->add_subcommand("add-partitions", "Give a topic more partitions");
  more->add_option("--partitions", o.partitions, "How many there shall be")->required();
  CLI::App* trim = topic->add_subcommand("delete-records", "Delete a partition's oldest records, as retention would");
  trim->add_option("--before", o.before, "PARTITION:OFFSET, or OFFSET of every partition")->required();
  for (CLI::App* a : {create, remove, end, more, trim}) {
    a->add_option("NAME", o.name)->required();
    a->fallthrough();
  }
  create->callback([&] { create_topic(shared.brokers, o.name, o.partitions, o.replication, pairs(o.config)); });
  remove->callback([&] { delete_topic(shared.brokers, o.name); });
  more->callback([&] { add_partitions(shared.brokers, o.name, o.partitions); });
  trim->callback([&] { delete_records(shared.brokers, o.name, offsets(o.before)); });
  end->callback([&] { print_ends(shared.brokers, o); });
}

void add_group(CLI::App& app, shared_options& shared, std::string& name) {
  CLI::App* c = app.add_subcommand("group", "Print \"state members\" of a consumer group");
  add_brokers(c, shared);
  c->add_option("NAME", name)->required();
  c->callback([&] {
    const group_state g = state_of_group(shared.brokers, name);
    std::printf("%s %d\n", g.state.c_str(), g.members);
  });
}

struct produce_options {
  production what;
  std::string form = "orders";
  bool lines = false;
  std::vector<std::string> extra;
};

void add_produce(CLI::App& app, shared_options& shared, produce_options& o) {
  CLI::App* c = app.add_subcommand("produce", "Fill a topic with records made from a seed, or with given ones");
  add_brokers(c, shared);
  c->add_option("TOPIC", o.what.topic)->required();
  c->add_option("--records", o.what.count, "How many");
  c->add_option("--first", o.what.first, "Number of the first one")->capture_default_str();
  c->add_option("--seed", o.what.records.seed)->capture_default_str();
  c->add_option("--run", o.what.run, "So many records in a row go to one partition")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--rate", o.what.rate, "Records a second (0: as fast as it goes)")->capture_default_str();
  c->add_option("--size", o.what.records.size, "Bytes a record aims at")->capture_default_str();
  c->add_option("--broken-every", o.what.records.broken_every, "Each n-th cannot become a row (0: none)")
      ->capture_default_str();
  c->add_option("--shape", o.form, "orders (11 fields) or small (2)")->capture_default_str();
  c->add_flag("--transactions", o.what.transactions, "In transactions of 1,000, some of them aborted");
  c->add_flag("--keys", o.what.keys, "With keys and headers; the key decides on the partition");
  c->add_option("--compression", o.what.compression)->capture_default_str();
  c->add_option("--property", o.extra, "name=value for librdkafka");
  c->add_flag(
      "--stdin", o.lines,
      R"(Read records instead, a line each: {"partition":0,"key":"k","value":"v","headers":[["a","b"]]}; key_base64, value_base64 for bytes)");
  c->callback([&] {
    o.what.brokers = shared.brokers;
    o.what.records.form = parse_shape(o.form);
    o.what.extra = pairs(o.extra);
    const produced p = o.lines ? produce_lines(o.what, std::cin) : produce(o.what);
    std::printf("produced %llu records, %llu of them broken, and %llu aborted ones, in %.2f s (%.0f/s)\n",
                static_cast<unsigned long long>(p.committed), static_cast<unsigned long long>(p.broken),
                static_cast<unsigned long long>(p.aborted), p.seconds,
                p.seconds > 0 ? static_cast<double>(p.committed) / p.seconds : 0);
  });
}

std::string base64(const void* data, std::size_t n) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto* at = static_cast<const unsigned char*>(data);
  std::string out;
  for (std::size_t i = 0; i < n; i += 3) {
    const std::size_t have = std::min<std::size_t>(3, n - i);
    std::uint32_t bits = static_cast<std::uint32_t>(at[i]) << 16;
    if (have > 1) bits |= static_cast<std::uint32_t>(at[i + 1]) << 8;
    if (have > 2) bits |= at[i + 2];
    for (std::size_t k = 0; k < 4; k++) out += k <= have ? letters[(bits >> (18 - 6 * k)) & 63] : '=';
  }
  return out;
}

nlohmann::json line_of(const rd_kafka_message_t& m) {
  nlohmann::json line = {
      {"partition", m.partition}, {"offset", m.offset}, {"timestamp", rd_kafka_message_timestamp(&m, nullptr)}};
  line["key_base64"] = m.key ? nlohmann::json(base64(m.key, m.key_len)) : nlohmann::json();
  line["value_base64"] = m.payload ? nlohmann::json(base64(m.payload, m.len)) : nlohmann::json();
  rd_kafka_headers_t* headers = nullptr;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  line["headers_base64"] = nlohmann::json::array();
  if (rd_kafka_message_headers(&m, &headers)) return line;
  for (std::size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++) {
    line["headers_base64"].push_back({name, value ? nlohmann::json(base64(value, size)) : nlohmann::json()});
  }
  return line;
}

void add_read(CLI::App& app, shared_options& shared, std::string& topic) {
  CLI::App* c = app.add_subcommand("read", "Print a topic's committed records, a line of JSON each");
  add_brokers(c, shared);
  c->add_option("TOPIC", topic)->required();
  c->callback([&] {
    kafka_handle reader = make_reader(shared.brokers, {});
    read_topic(reader.get(), topic, bounds_of(reader.get(), topic),
               [](const rd_kafka_message_t& m) { std::printf("%s\n", line_of(m).dump().c_str()); });
  });
}

struct compare_options {
  comparison what;
  std::vector<std::string> ignore, from, to, kafka;
  std::string where, where_header; // NAME=text,text
  bool json = false;
};

// What the pipeline takes, of NAME=text,text.
void read_where(const std::string& text, bool header, comparison& what) {
  if (text.empty()) return;
  const auto equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) throw failure("compare: \"" + text + "\" is not NAME=text,text");
  what.where_name = text.substr(0, equals);
  what.where_header = header;
  std::istringstream texts(text.substr(equals + 1));
  for (std::string one; std::getline(texts, one, ',');) what.where_texts.insert(one);
}

void add_compare(CLI::App& app, shared_options& shared, compare_options& o, int& code) {
  CLI::App* c =
      app.add_subcommand("compare", "Compare a topic with a table, offset by offset; 0 only if they are equal");
  add_brokers(c, shared);
  add_server(c, shared);
  c->add_option("TOPIC", o.what.topic)->required();
  c->add_option("--table", o.what.table, "database.table")->required();
  c->add_option("--dead-letters", o.what.dead_letters, "database.table of the dead letters");
  c->add_option("--pipeline", o.what.pipeline, "Whose dead letters");
  c->add_option("--raw", o.what.raw, "The String column that holds the whole value");
  c->add_option("--property", o.kafka, "name=value for librdkafka");
  c->add_option("--ignore", o.ignore, "Columns not to compare");
  c->add_option("--where", o.where, "NAME=text,text: only records whose field has one of these are expected");
  c->add_option("--where-header", o.where_header, "The same of a header");
  c->add_flag("--shared", o.what.shared, "The table holds other topics too");
  c->add_flag("--offsets-only", o.what.offsets_only, "Any format: each record is found once, whatever its values");
  c->add_option("--topic-column", o.what.topic_column)->capture_default_str();
  c->add_option("--partition-column", o.what.partition_column)->capture_default_str();
  c->add_option("--offset-column", o.what.offset_column)->capture_default_str();
  c->add_option("--from", o.from, "First offset to look at: OFFSET or PARTITION:OFFSET");
  c->add_option("--to", o.to, "Offset to stop before");
  c->add_option("--examples", o.what.examples, "How many offsets to print of each kind")->capture_default_str();
  c->add_flag("--json", o.json);
  c->callback([&] {
    o.what.brokers = shared.brokers;
    o.what.server = shared.server;
    o.what.kafka = pairs(o.kafka);
    o.what.ignore = {o.ignore.begin(), o.ignore.end()};
    o.what.from = offsets(o.from);
    o.what.to = offsets(o.to);
    read_where(o.where, false, o.what);
    read_where(o.where_header, true, o.what);
    const findings f = compare(o.what);
    std::printf("%s\n", (o.json ? f.json() : f.text()).c_str());
    if (!o.json) {
      for (const std::string& e : f.examples) std::printf("  %s\n", e.c_str());
    }
    code = f.exact() ? 0 : 1;
  });
}

struct proxy_texts {
  proxy_options what;
  std::string plan;
};

void add_proxy(CLI::App& app, proxy_texts& o) {
  CLI::App* c = app.add_subcommand("proxy", "Stand between an engine and ClickHouse and break things (see proxy.hpp)");
  c->add_option("--listen", o.what.listen, "host:port, port 0: any")->capture_default_str();
  c->add_option("--control", o.what.control, "host:port of the control face")->capture_default_str();
  c->add_option("--target", o.what.target, "http://host:port")->required();
  c->add_option("--seed", o.what.seed)->capture_default_str();
  c->add_option("--plan", o.plan, "kind:match=…,probability=…,count=…,ms=…,bytes=…,code=…;kind:…");
  c->callback([&] {
    o.what.plan = parse_plan(o.plan);
    run_proxy(o.what);
  });
}

void add_latency(CLI::App& app, shared_options& shared, latency_plan& o) {
  CLI::App* c = app.add_subcommand("latency", "Produce single records (shape small) and see when each is in the table");
  add_brokers(c, shared);
  add_server(c, shared);
  c->add_option("TOPIC", o.topic)->required();
  c->add_option("--table", o.table, "database.table")->required();
  c->add_option("--count", o.count)->capture_default_str();
  c->add_option("--gap", o.gap_ms, "At most so many ms between two")->capture_default_str();
  c->add_option("--limit", o.limit_ms, "ms after which one counts as lost")->capture_default_str();
  c->add_option("--seed", o.seed)->capture_default_str();
  c->callback([&] {
    o.brokers = shared.brokers;
    o.server = shared.server;
    const latencies l = measure_latency(o);
    if (l.ms.empty()) throw failure("latency: interrupted before the first record was seen");
    std::printf("{\"count\": %zu, \"median_ms\": %.1f, \"p90_ms\": %.1f, \"p99_ms\": %.1f, \"max_ms\": %.1f}\n",
                l.ms.size(), l.at(0.5), l.at(0.9), l.at(0.99), l.ms.back());
  });
}

int run(int argc, char** argv) {
  CLI::App app{"chute-kit: topics, records, the oracle, faults and latencies around an engine"};
  app.require_subcommand(1);
  int code = 0;
  shared_options shared;
  topic_options topic;
  produce_options production;
  compare_options comparison;
  std::string read_topic_name, group_name;
  proxy_texts proxy;
  latency_plan latency;
  add_topic(app, shared, topic);
  add_produce(app, shared, production);
  add_group(app, shared, group_name);
  add_read(app, shared, read_topic_name);
  add_compare(app, shared, comparison, code);
  add_proxy(app, proxy);
  add_latency(app, shared, latency);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) ? 2 : 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "chute-kit: %s\n", e.what());
    return 2;
  }
  return code;
}

} // namespace
} // namespace chute::kit

int main(int argc, char** argv) {
  for (int s : {SIGINT, SIGTERM}) std::signal(s, [](int) { chute::kit::interrupted = true; });
  return chute::kit::run(argc, argv);
}
