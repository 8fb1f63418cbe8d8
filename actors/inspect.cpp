#include "actors/inspect.hpp"

#include "actors/context.hpp"
#include "actors/open_store.hpp"
#include "actors/worker.hpp"
#include "clickhouse/check.hpp"
#include "clickhouse/questions.hpp"
#include "formats/decoder.hpp"
#include "kafka/inspect.hpp"
#include "kafka/offsets.hpp"
#include "state/kafka_store.hpp"

#include <algorithm>
#include <set>
#include <spdlog/sinks/null_sink.h>

namespace chute {

namespace {

namespace ch = clickhouse;
using severity = enum finding::severity;
constexpr std::int64_t limit_ms = 10'000;

context_ptr quiet_context(const topology& t, const pipeline_config& p) {
  auto c = std::make_shared<pipeline_context>();
  c->top = t;
  c->config = p;
  c->log = std::make_shared<spdlog::logger>("chute", std::make_shared<spdlog::sinks::null_sink_mt>());
  return c;
}

// --- check: Kafka ----------------------------------------------------------------------------------------------------

// The topics that exist, and what is wrong with the others.
std::vector<kafka::topic_info> check_topics(kafka::inspector& k, const pipeline_config& p, std::vector<finding>& out) {
  auto where = "pipeline " + p.name + ": kafka";
  auto topics = k.topics(p.topics, limit_ms);
  if (!topics.ok()) {
    out.push_back({severity::error, where, topics.failure().cause, topics.failure().way_out});
    return {};
  }
  std::vector<kafka::topic_info> found;
  for (auto& t : *topics) {
    if (t.failure) out.push_back({severity::error, where + ": topic " + t.name, t.failure->cause, t.failure->way_out});
    else found.push_back(t);
  }
  if (found.empty() && out.empty())
    out.push_back(
        {severity::error, where, "no topic matches " + p.topics.front(), "create the topic, or mend topics:"});
  return found;
}

// What was deleted, or is about to be, before it was delivered.
void check_retention(kafka::inspector& k, const context_ptr& c, const kafka::topic_info& t, std::vector<finding>& out) {
  std::vector<kafka::topic_partition> parts;
  for (std::int32_t i = 0; i < t.partitions; ++i) parts.push_back({t.name, {i}});
  auto bounds = k.bounds(parts, limit_ms);
  auto committed = kafka::read_offsets(c->kafka_client(), c->config.group, parts, limit_ms);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto where = "pipeline " + c->config.name + ": kafka: " + kafka::to_string(parts[i]);
    if (!bounds[i].ok()) {
      out.push_back({severity::error, where, bounds[i].failure().cause, bounds[i].failure().way_out});
      continue;
    }
    if (committed[i].what != kafka::committed_offset::status::found) continue;
    auto next = committed[i].next;
    if (next < bounds[i]->begin)
      out.push_back({severity::error, where,
                     "retention deleted offsets " + std::to_string(next.value) + " to " +
                         std::to_string(bounds[i]->begin.value - 1) + " before they were delivered",
                     "on_data_loss: continue goes on without them; raise retention.ms"});
    else if (bounds[i]->end < next)
      out.push_back({severity::error, where,
                     "the log ends at " + std::to_string(bounds[i]->end.value) + ", before the position " +
                         std::to_string(next.value) + ": the topic was truncated or made anew",
                     "see docs/operations.md, \"Contradictions\""});
  }
}

// --- check: ClickHouse -----------------------------------------------------------------------------------------------

std::string table_of(const pipeline_config& p, const std::string& topic) {
  auto name = p.table;
  if (auto at = name.find("{topic}"); at != std::string::npos) name.replace(at, 7, topic);
  return name;
}

ch::expectations expectations_of(const context_ptr& c, const std::vector<target_column>& targets, int partitions) {
  ch::expectations e;
  const auto& p = c->config;
  const auto& limits = c->top.clickhouse;
  e.delivery = p.delivery;
  e.provenance = p.provenance;
  for (const auto& t : targets) {
    if (t.source.kind != column_source::from::meta) continue;
    if (t.source.text == "topic") e.columns.topic = t.column.name;
    if (t.source.text == "partition") e.columns.partition = t.column.name;
    if (t.source.text == "offset") e.columns.offset = t.column.name;
  }
  e.inserts_per_second = ch::reachable_inserts_per_second(p, std::min(p.lanes, partitions));
  e.lease_ms = limits.lease_ms;
  e.insert_limit_ms = limits.insert_limit_ms;
  e.settings = limits.settings;
  return e;
}

std::vector<target_column> targets_of(const ch::table_description& t, const pipeline_config& p,
                                      const std::string& where, std::vector<finding>& out) {
  std::vector<table_column> columns;
  for (const auto& c : t.columns) {
    auto type = parse_type(c.type);
    if (!type.ok()) {
      out.push_back({severity::error, where, type.failure().cause, type.failure().way_out});
      continue;
    }
    columns.push_back({c.name, *type, c.default_kind, c.default_expression});
  }
  auto targets = map_columns(columns, p);
  if (!targets.ok()) {
    out.push_back({severity::error, where, targets.failure().cause, targets.failure().way_out});
    return {};
  }
  if (auto d = make_decoder(p.format, *targets, options_for(p)); !d.ok())
    out.push_back({severity::error, where, d.failure().cause, d.failure().way_out});
  return *targets;
}

void append(std::vector<finding>& out, std::vector<finding> more) {
  out.insert(out.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

void check_destination(ch::session& s, const ch::server_facts& facts, const context_ptr& c, const std::string& table,
                       int partitions, std::vector<finding>& out) {
  const auto& p = c->config;
  auto where = "pipeline " + p.name + ": table " + p.database + "." + table;
  auto t = ch::describe(s, facts, p.database, table, limit_ms);
  if (!t.ok()) {
    out.push_back({severity::error, where, t.failure().cause, t.failure().way_out});
    return;
  }
  std::vector<target_column> targets;
  if (t->exists) targets = targets_of(*t, p, where, out);
  auto e = expectations_of(c, targets, partitions);
  append(out, ch::check_server(facts, "clickhouse " + s.url(), e));
  append(out, ch::check_table(*t, facts, where, e));
  auto dead = ch::describe(s, facts, p.database, p.dead_letter_table, limit_ms);
  if (dead.ok()) append(out, ch::check_dead_letters(*dead, "pipeline " + p.name + ": dead letters", e));
  if (!t->exists) return;
  append(out, ch::probe_rights(s, facts, *t, where, e, limit_ms));
  if (!ch::believed(*t, e.columns).there) return;
  ch::question q;
  q.database = p.database;
  q.table = table;
  q.columns = e.columns;
  q.topic = p.topics.front();
  q.ranges = {{{0}, {0}, {INT64_MAX}}};
  auto begun = mono_now();
  ch::ask(s, facts, q);
  append(out, ch::check_question_time(*t, where, e, mono_now() - begun, c->top.clickhouse.question_limit_ms));
}

void check_clickhouse(const context_ptr& c, const std::vector<kafka::topic_info>& topics, std::vector<finding>& out) {
  for (const auto& url : c->top.clickhouse.urls) {
    auto s = ch::session::open(ch::options_for(c->top.clickhouse, url));
    if (!s.ok()) {
      out.push_back({severity::error, "clickhouse " + url, s.failure().cause, s.failure().way_out});
      continue;
    }
    auto facts = ch::read_facts(**s, limit_ms);
    if (!facts.ok()) {
      out.push_back({severity::error, "clickhouse " + url, facts.failure().cause, facts.failure().way_out});
      continue;
    }
    std::map<std::string, int> tables; // and the partitions that go into each
    for (const auto& t : topics) tables[table_of(c->config, t.name)] += t.partitions;
    if (tables.empty() && c->config.table.find("{topic}") == std::string::npos) tables[c->config.table] = 1;
    for (const auto& [table, partitions] : tables) check_destination(**s, *facts, c, table, partitions, out);
  }
}

// --- check: the schema registry
// ----------------------------------------------------------------------------------------

bool needs_registry(const pipeline_config& p) {
  return (p.format == "avro" && p.avro.framing == schema_framing::confluent) ||
         (p.format == "protobuf" && p.protobuf.framing == schema_framing::confluent);
}

// Whether it answers and lets us in; it may be of a kind that does not know this path.
void check_registry(const context_ptr& c, std::vector<finding>& out) {
  if (!needs_registry(c->config)) return;
  const auto complain = [&](const std::string& why, const std::string& mend) {
    out.push_back({severity::error, "registry " + c->top.registry->url, why, mend});
  };
  try {
    worker_tools tools(c, 0);
    ch::http_request request;
    request.path = "/schemas/types";
    request.limit_ms = limit_ms;
    const auto reply = tools.registry().send(request);
    if (reply.how != ch::http_reply::transport::complete)
      complain("it does not answer: " + reply.why + "; records whose schemas are not known would wait",
               "check registry.url");
    else if (reply.status == 401 || reply.status == 403)
      complain("it does not let us in (status " + std::to_string(reply.status) + ")",
               "check registry.user and password, or token");
    else if (reply.status >= 500)
      complain("it answers with status " + std::to_string(reply.status), "mend the registry");
  } catch (const std::exception& e) {
    complain(e.what(), "check registry: in the topology");
  }
}

} // namespace

std::vector<finding> check(const topology& t) {
  std::vector<finding> out;
  if (t.pipelines.empty()) return {{severity::error, "topology", "it has no pipelines", "add one under pipelines:"}};
  for (const auto& p : t.pipelines) {
    auto c = quiet_context(t, p);
    std::vector<kafka::topic_info> topics;
    auto k = kafka::inspector::open(c->kafka_client());
    if (!k.ok()) out.push_back({severity::error, "kafka", k.failure().cause, k.failure().way_out});
    else {
      topics = check_topics(**k, p, out);
      for (const auto& topic : topics) check_retention(**k, c, topic, out);
    }
    check_clickhouse(c, topics, out);
    check_registry(c, out);
  }
  append(out, check_store(t, limit_ms));
  // What several pipelines share is told once.
  std::set<std::string> seen;
  std::erase_if(out, [&](const finding& f) { return !seen.insert(f.where + "\n" + f.reason).second; });
  return out;
}

// --- state show ------------------------------------------------------------------------------------------------------

namespace {

// Reading only, and without joining: the group must not notice.
class visited_offsets final : public offset_log {
public:
  visited_offsets(kafka::client_options client, std::string group)
      : client_(std::move(client)), group_(std::move(group)) {}
  std::vector<entry> committed(const std::vector<place>& places, std::int64_t limit) override {
    std::vector<kafka::topic_partition> wanted;
    for (const auto& p : places) wanted.push_back({p.topic, p.partition});
    std::vector<entry> out;
    using from = enum kafka::committed_offset::status;
    for (auto& c : kafka::read_offsets(client_, group_, wanted, limit))
      out.push_back({c.what == from::found  ? entry::status::found
                     : c.what == from::none ? entry::status::none
                                            : entry::status::failed,
                     c.next, std::move(c.metadata), c.why});
    return out;
  }
  std::vector<answer> write(const std::vector<commit>& commits, std::int64_t) override {
    return std::vector<answer>(commits.size(), {answer::status::rejected, error{"state", "opened for reading", ""}});
  }

private:
  kafka::client_options client_;
  std::string group_;
};

lane_state_view view_of(const pipeline_config& p, const lane_key& key, const loaded& l) {
  lane_state_view v;
  v.pipeline = p.name;
  v.topic = key.topic;
  v.lane = key.lane;
  if (l.status != loaded::status::found) {
    v.problem = !l.foreign.empty() ? "moved by another tool: " + l.foreign
                : l.failure        ? l.failure->text()
                                   : "no record";
    return v;
  }
  auto r = decode_record(l.record.text);
  if (!r.ok()) v.problem = r.failure().text();
  else {
    v.found = true;
    v.record = *r;
  }
  return v;
}

result<void> show_pipeline(const topology& t, const pipeline_config& p, store* shared,
                           std::vector<lane_state_view>& out) {
  auto c = quiet_context(t, p);
  auto k = kafka::inspector::open(c->kafka_client());
  if (!k.ok()) return k.failure();
  auto cluster = (*k)->cluster_id(limit_ms);
  if (!cluster.ok()) return cluster.failure();
  auto topics = (*k)->topics(p.topics, limit_ms);
  if (!topics.ok()) return topics.failure();
  visited_offsets offsets(c->kafka_client(), p.group);
  auto kafka_store = make_kafka_store(offsets);
  auto& from = shared ? *shared : *kafka_store;
  for (const auto& topic : *topics) {
    if (topic.failure) return *topic.failure;
    std::vector<lane_key> keys;
    auto lanes = std::min(lanes_for(p.lanes, topic.partitions), topic.partitions);
    for (std::int32_t i = 0; i < lanes; ++i) keys.push_back({*cluster, p.group, p.name, topic.name, {i}});
    auto found = from.load(keys, limit_ms);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      auto v = view_of(p, keys[i], found[i]);
      std::vector<kafka::topic_partition> parts;
      for (std::size_t n = 0; v.found && n < v.record.partitions.size(); ++n)
        parts.push_back({topic.name, lane_partition_id(v.lane, v.record.lanes, n)});
      for (auto& b : (*k)->bounds(parts, limit_ms)) v.ends.push_back(b.ok() ? b->end.value : -1);
      out.push_back(std::move(v));
    }
  }
  return {};
}

} // namespace

result<std::vector<lane_state_view>> show_state(const topology& t) {
  if (t.state.store == store_kind::memory) return error{"state", "the memory store keeps nothing", "it is for tests"};
  auto opened = open_store(t, true);
  if (!opened.ok()) return opened.failure();
  std::vector<lane_state_view> out;
  for (const auto& p : t.pipelines)
    if (auto r = show_pipeline(t, p, opened->get(), out); !r.ok()) return r.failure();
  return out;
}

} // namespace chute
