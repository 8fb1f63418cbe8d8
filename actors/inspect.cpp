#include "actors/inspect.hpp"

#include "actors/inspect_parts.hpp"
#include "actors/machine_memory.hpp"
#include "actors/memory_need.hpp"
#include "actors/open_store.hpp"
#include "actors/quiet_context.hpp"
#include "actors/worker.hpp"
#include "kafka/topic_pattern.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <sys/vfs.h>
#include <tuple>

namespace chute {

namespace {

namespace ch = clickhouse;
using severity = enum finding::severity;
constexpr std::int64_t limit_ms = inspect_limit_ms;

// --- the schema registry ---------------------------------------------------------------------------------------------

bool needs_registry(const pipeline_config& p) {
  const auto by_ids = [](const auto& of) { // a pipeline, or its key
    return (of.format == "avro" && of.avro.framing == schema_framing::confluent) ||
           (of.format == "protobuf" && of.protobuf.framing == schema_framing::confluent);
  };
  return by_ids(p) || by_ids(p.key);
}

// Whether it answers, lets us in, and is one: it lists its subjects.
void check_registry(const context_ptr& c, std::vector<finding>& out) {
  if (!needs_registry(c->config)) return;
  const auto complain = [&](const std::string& why, const std::string& mend) {
    out.push_back({severity::error, "registry " + c->top.registry->url, why, mend});
  };
  try {
    worker_tools tools(c, 0);
    const auto get = [&](const char* path) {
      ch::http_request request;
      request.path = path;
      request.limit_ms = limit_ms;
      return tools.registry().send(request);
    };
    auto reply = get("/subjects");
    if (reply.status == 403) reply = get("/schemas/types"); // who may read schemas may not always list them
    if (reply.how != ch::http_reply::transport::complete)
      complain("it does not answer: " + reply.why + "; records whose schemas are not known would wait",
               "check registry.url");
    else if (reply.status == 401 || reply.status == 403)
      complain("it does not let us in (status " + std::to_string(reply.status) + ")",
               "check registry.user and password, or token");
    else if (reply.status >= 500)
      complain("it answers with status " + std::to_string(reply.status), "mend the registry");
    else if (const auto text = reply.body.find_first_not_of(" \t\r\n");
             reply.status != 200 || text == std::string::npos || reply.body[text] != '[')
      complain("this is no schema registry: asked for its subjects, it does not answer with a list (status " +
                   std::to_string(reply.status) + ")",
               "write registry.url with the path that the registry has, if any");
  } catch (const std::exception& e) {
    complain(e.what(), "check registry: in the topology");
  }
}

// --- all of it -------------------------------------------------------------------------------------------------------

// Whose records of a topic a table holds already: patterns show only here what they meet in.
using table_owners = std::map<std::tuple<std::string, std::string, std::string>, std::string>;

void check_owners(const pipeline_config& p, const std::vector<kafka::topic_info>& topics, table_owners& owners,
                  std::vector<finding>& out) {
  const auto database = split_table(p.table, p.database).first;
  for (const auto& topic : topics) {
    const auto table = table_for(p, topic.name);
    const auto [at, fresh] = owners.emplace(std::tuple(database, table, topic.name), p.name);
    if (fresh || at->second == p.name) continue;
    out.push_back({severity::error, "pipeline " + p.name + ": topic " + topic.name,
                   "pipeline " + at->second + " writes this topic into " + database + "." + table +
                       " too: every record would be there twice, and each would take the other's rows for its own",
                   "let the patterns of the two differ, or give each a table of its own"});
  }
}

struct looked_at {
  context_ptr context;
  std::vector<kafka::topic_info> topics;
};

// Kafka's side of a pipeline.
looked_at look_at_kafka(const topology& t, const pipeline_config& p, const std::string& file, table_owners& owners,
                        std::vector<finding>& out) {
  auto c = quiet_context(t, p);
  c->file = file;
  auto k = kafka::inspector::open(c->kafka_client());
  if (!k.ok()) {
    out.push_back(finding_of(severity::error, "kafka", k.failure(), "correct kafka: in the topology"));
    return {c, {}};
  }
  if (auto wrong = kafka::named_and_left_out(p.topics, c->kafka_client()))
    out.push_back(finding_of(severity::error, "pipeline " + p.name + ": kafka", *wrong, ""));
  auto topics = check_topics(**k, p, out);
  check_owners(p, topics, owners, out);
  if (topics.empty()) return {c, {}};
  if (auto id = (*k)->cluster_id(limit_ms); id.ok()) c->cluster_id = *id;
  check_group(**k, c, out);
  for (const auto& topic : topics) check_topic(**k, c, topic, out);
  return {c, std::move(topics)};
}

// Of as many topics as there is time for.
void look_at_records(const context_ptr& c, const std::vector<kafka::topic_info>& topics, const tables_seen& tables,
                     std::vector<finding>& out) {
  constexpr mono_ms all_ms = 20'000;
  if (topics.empty()) return;
  auto k = kafka::inspector::open(c->kafka_client());
  const auto until = mono_now() + all_ms;
  for (const auto& topic : topics)
    if (auto seen = tables.find(table_for(c->config, topic.name)); k.ok() && seen != tables.end() && mono_now() < until)
      check_records(**k, c, topic, seen->second, out);
}

// Records that only memory keeps are gone with the machine.
void check_path(const topology& t, std::vector<finding>& out) {
  if (t.state.store != store_kind::file) return;
  auto path = std::filesystem::path(t.state.path);
  std::error_code ignored;
  while (!path.empty() && !std::filesystem::exists(path, ignored) && path != path.parent_path())
    path = path.parent_path();
  struct statfs at {};
  constexpr auto tmpfs = 0x01021994, ramfs = static_cast<int>(0x858458f6);
  if (::statfs(path.empty() ? "." : path.c_str(), &at) != 0) return;
  if (static_cast<int>(at.f_type) != tmpfs && static_cast<int>(at.f_type) != ramfs) return;
  out.push_back({severity::warning, "state",
                 t.state.path + " lies in memory (tmpfs): all positions are gone when the machine starts again",
                 "state.path: a directory on a disk"});
}

} // namespace

std::vector<finding> check(const topology& t, const std::string& file) {
  std::vector<finding> out;
  table_owners owners;
  insert_rates rates;
  std::uint64_t lanes = 0;
  if (t.pipelines.empty()) return {{severity::error, "topology", "it has no pipelines", "add one under pipelines:"}};
  std::vector<looked_at> pipelines;
  for (const auto& p : t.pipelines) {
    pipelines.push_back(look_at_kafka(t, p, file, owners, out));
    for (const auto& topic : pipelines.back().topics) lanes += static_cast<std::uint64_t>(lanes_of(p, topic));
    count_inserts(p, pipelines.back().topics, rates);
  }
  for (const auto& [c, topics] : pipelines) count_view_inserts(c, topics, rates);
  for (const auto& [c, topics] : pipelines) {
    const auto tables = check_tables(c, topics, rates, out);
    check_registry(c, out);
    check_lanes(t, c, topics, tables, out);
    look_at_records(c, topics, tables, out);
  }
  for (auto& f : check_store(t, limit_ms)) out.push_back(std::move(f));
  check_path(t, out);
  if (auto f = memory_need(t.memory_bytes, lanes)) out.push_back(std::move(*f));
  if (auto f = memory_beyond(t.memory_bytes, read_machine_memory())) out.push_back(std::move(*f));
  // What several pipelines share is told once.
  std::set<std::string> seen;
  std::erase_if(out, [&](const finding& f) { return !seen.insert(f.where + "\n" + f.reason).second; });
  return out;
}

std::pair<std::string, std::string> split_table(const std::string& name, const std::string& database) {
  auto dot = name.find('.');
  if (dot == std::string::npos) return {database, name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

std::string table_for(const pipeline_config& p, const std::string& topic) {
  auto name = split_table(p.table, p.database).second; // before the topic, whose name may hold dots
  if (auto at = name.find("{topic}"); at != std::string::npos) name.replace(at, 7, topic);
  return name;
}

int lanes_of(const pipeline_config& p, const kafka::topic_info& t) {
  return std::min(lanes_for(p.lanes, t.partitions), t.partitions);
}

} // namespace chute
