#include "actors/inspect.hpp"

#include "actors/defaults.hpp"
#include "actors/memory_need.hpp"
#include "actors/open_store.hpp"
#include "actors/quiet_context.hpp"
#include "actors/worker.hpp"
#include "clickhouse/check.hpp"
#include "clickhouse/questions.hpp"
#include "clickhouse/schema.hpp"
#include "core/move_request.hpp"
#include "core/text.hpp"
#include "formats/decoder.hpp"
#include "formats/encoder.hpp"
#include "kafka/inspect.hpp"
#include "kafka/offsets.hpp"
#include "kafka/topic_settings.hpp"
#include "state/kafka_store.hpp"
#include "state/offset_note.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <tuple>

namespace chute {

namespace {

namespace ch = clickhouse;
using severity = enum finding::severity;
constexpr std::int64_t limit_ms = 10'000;
constexpr const char* no_record = "no record"; // of a lane: it did not begin

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
    if (t.failure) {
      out.push_back({severity::error, where + ": topic " + t.name, t.failure->cause, t.failure->way_out});
      continue;
    }
    found.push_back(t);
  }
  if (topics->empty())
    out.push_back(
        {severity::error, where, "no topic matches " + p.topics.front(), "create the topic, or mend topics:"});
  return found;
}

// What was deleted before it was delivered; the first offset that was not delivered, for the partitions that have one.
void check_position(const context_ptr& c, const kafka::topic_partition& p, const result<kafka::log_bounds>& bounds,
                    const kafka::committed_offset& committed, std::vector<finding>& out) {
  auto where = "pipeline " + c->config.name + ": kafka: " + kafka::to_string(p);
  if (!bounds.ok()) return out.push_back({severity::error, where, bounds.failure().cause, bounds.failure().way_out});
  if (committed.what != kafka::committed_offset::status::found) return;
  auto next = committed.next;
  if (next < bounds->begin)
    out.push_back({severity::error, where,
                   "retention deleted offsets " + std::to_string(next.value) + " to " +
                       std::to_string(bounds->begin.value - 1) + " before they were delivered",
                   "on_data_loss: continue goes on without them; raise retention.ms"});
  else if (bounds->end < next)
    out.push_back({severity::error, where,
                   "the log ends at " + std::to_string(bounds->end.value) + ", before the position " +
                       std::to_string(next.value) + ": the topic was truncated or made anew",
                   "of a topic that was made anew, deliver all: " +
                       state_command("reset", c->file, c->config.name, p.topic,
                                     "--partition " + std::to_string(p.partition.value) + " --to-earliest")});
}

std::string alter_topic(const std::string& topic, const std::string& setting) {
  return "kafka-configs.sh --bootstrap-server … --alter --entity-type topics --entity-name " + topic +
         " --add-config " + setting;
}

// Partitions whose oldest record that was not delivered is older than half the retention.
void check_lag(kafka::inspector& k, const context_ptr& c, const kafka::topic_info& t,
               const std::vector<kafka::topic_partition>& parts, const std::vector<kafka::committed_offset>& committed,
               std::int64_t retention_ms, std::vector<finding>& out) {
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  auto half = k.offsets_for_time(parts, now - retention_ms / 2, limit_ms);
  std::string late;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool known = half[i].ok() && committed[i].what == kafka::committed_offset::status::found;
    if (known && committed[i].next < *half[i])
      late += (late.empty() ? "" : ", ") + std::to_string(parts[i].partition.value);
  }
  if (late.empty()) return;
  out.push_back({severity::warning, "pipeline " + c->config.name + ": kafka: topic " + t.name,
                 "in partitions " + late +
                     " the oldest record that is not delivered is older than half the retention (" +
                     format_duration(retention_ms) + "): Kafka may delete it first",
                 alter_topic(t.name, "retention.ms=" + std::to_string(retention_ms * 4))});
}

void check_settings(const context_ptr& c, const kafka::topic_info& t,
                    const std::map<std::string, std::string>& settings, std::int64_t retention_ms,
                    std::vector<finding>& out) {
  const auto where = "pipeline " + c->config.name + ": kafka: topic " + t.name;
  constexpr std::int64_t day_ms = 86'400'000;
  if (retention_ms >= 0 && retention_ms < day_ms)
    out.push_back({severity::warning, where,
                   "it keeps records for " + format_duration(retention_ms) +
                       ": if ClickHouse or chute is away for longer, they are lost",
                   alter_topic(t.name, "retention.ms=" + std::to_string(7 * day_ms))});
  if (auto policy = settings.find("cleanup.policy");
      policy != settings.end() && policy->second.find("compact") != std::string::npos)
    out.push_back({severity::warning, where,
                   "it is compacted (cleanup.policy=" + policy->second +
                       "): a record that is replaced before it is read is never delivered",
                   alter_topic(t.name, "cleanup.policy=delete")});
  if (auto size = settings.find("retention.bytes"); size != settings.end() && size->second != "-1")
    out.push_back({severity::info, where,
                   "it keeps " + size->second +
                       " bytes a partition (retention.bytes): how long that lasts depends on the producers",
                   alter_topic(t.name, "retention.bytes=-1")});
}

void check_retention(kafka::inspector& k, const context_ptr& c, const kafka::topic_info& t, std::vector<finding>& out) {
  std::vector<kafka::topic_partition> parts;
  for (std::int32_t i = 0; i < t.partitions; ++i) parts.push_back({t.name, {i}});
  auto bounds = k.bounds(parts, limit_ms);
  auto committed = kafka::read_offsets(c->kafka_client(), c->config.group, parts, limit_ms);
  for (std::size_t i = 0; i < parts.size(); ++i) check_position(c, parts[i], bounds[i], committed[i], out);
  auto settings = kafka::topic_settings(c->kafka_client(), t.name, limit_ms);
  if (!settings.ok())
    return out.push_back({severity::info, "pipeline " + c->config.name + ": kafka: topic " + t.name,
                          "how long it keeps records cannot be seen: " + settings.failure().cause,
                          "grant DESCRIBE_CONFIGS on the topic"});
  std::int64_t retention_ms = -1; // for ever
  if (auto r = settings->find("retention.ms"); r != settings->end())
    if (auto n = parse_integer(r->second)) retention_ms = *n;
  if (retention_ms > 0) check_lag(k, c, t, parts, committed, retention_ms, out);
  check_settings(c, t, *settings, retention_ms, out);
}

// --- check: ClickHouse -----------------------------------------------------------------------------------------------

// `db.table` or `table`.
std::pair<std::string, std::string> split_name(const std::string& name, const std::string& database) {
  auto dot = name.find('.');
  if (dot == std::string::npos) return {database, name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

std::string table_of(const pipeline_config& p, const std::string& topic) {
  auto name = split_name(p.table, p.database).second; // before the topic, whose name may hold dots
  if (auto at = name.find("{topic}"); at != std::string::npos) name.replace(at, 7, topic);
  return name;
}

int lanes_of(const pipeline_config& p, const kafka::topic_info& t) {
  return std::min(lanes_for(p.lanes, t.partitions), t.partitions);
}

// Inserts a second that all pipelines together can reach, by database and table. Each pipeline's own are in it.
struct insert_rates {
  using by_table = std::map<std::pair<std::string, std::string>, double>;
  by_table rows, dead_letters; // the latter as if each batch brought one
};

// Of each table that a pipeline writes to: how many lanes do.
std::map<std::string, int> lanes_by_table(const pipeline_config& p, const std::vector<kafka::topic_info>& topics) {
  std::map<std::string, int> out;
  for (const auto& t : topics) out[table_of(p, t.name)] += lanes_of(p, t);
  if (out.empty() && p.table.find("{topic}") == std::string::npos) out[table_of(p, "")] = 1;
  return out;
}

void count_inserts(const pipeline_config& p, const std::vector<kafka::topic_info>& topics, insert_rates& into) {
  for (const auto& [table, lanes] : lanes_by_table(p, topics)) {
    const auto rate = ch::reachable_inserts_per_second(p, lanes);
    into.rows[{split_name(p.table, p.database).first, table}] += rate;
    into.dead_letters[split_name(p.dead_letter_table, p.database)] += rate;
  }
}

ch::expectations expectations_of(const context_ptr& c, const std::vector<target_column>& targets, int lanes) {
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
  e.inserts_per_second = ch::reachable_inserts_per_second(p, lanes);
  e.lease_ms = limits.lease_ms;
  e.insert_limit_ms = limits.insert_limit_ms;
  e.settings = limits.settings;
  e.deletes = p.deletes;
  e.envelope = p.envelope;
  e.sources = sources_of(targets);
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
  auto targets = map_columns(columns, p, ch::changes_of(t));
  if (!targets.ok()) {
    out.push_back({severity::error, where, targets.failure().cause, targets.failure().way_out});
    return {};
  }
  if (auto d = make_decoder(p.format, *targets, options_for(p)); !d.ok())
    out.push_back({severity::error, where, d.failure().cause, d.failure().way_out});
  if (auto r = can_encode(p.encoding, *targets); !r.ok())
    out.push_back({severity::error, where, r.failure().cause, r.failure().way_out});
  return *targets;
}

void append(std::vector<finding>& out, std::vector<finding> more) {
  out.insert(out.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

// What the engine would refuse before it starts, and `targets_of` cannot see without the server.
void check_defaults(ch::session& s, const ch::server_facts& facts, std::vector<target_column>& targets,
                    const std::string& where, std::vector<finding>& out) {
  decoder_options options;
  options.timezone = facts.timezone;
  bool lasting = false;
  if (auto r = fill_defaults(s, targets, options, limit_ms, lasting); !r.ok())
    out.push_back({severity::error, where, r.failure().cause, r.failure().way_out});
}

// The table that knows where pipelines began.
void check_starts(ch::session& s, const ch::server_facts& facts, const context_ptr& c, std::vector<finding>& out) {
  const ch::starts_place place{c->config.database, ch::starts_place{}.table, false};
  auto t = ch::describe(s, facts, place.database, place.table, limit_ms);
  if (!t.ok() || !t->exists) return; // it is made at the start
  for (const auto& fault : ch::starts_table_faults(*t))
    out.push_back({severity::error, "pipeline " + c->config.name + ": table " + place.database + "." + place.table,
                   "it cannot be used: " + fault,
                   "RENAME TABLE " + ch::table_name(place.database, place.table) + " TO " +
                       ch::table_name(place.database, place.table + "_old") + ", and chute makes one of its own"});
}

// A column that has the name of one that recovery asks by, and holds something else.
void check_mapping(const ch::table_description& t, const std::vector<target_column>& targets, const pipeline_config& p,
                   const std::string& where, std::vector<finding>& out) {
  if (p.delivery != delivery_mode::exactly_once || p.provenance != provenance_mode::required) return;
  const ch::provenance_columns names;
  const std::pair<const char*, const std::string&> wanted[] = {
      {"topic", names.topic}, {"partition", names.partition}, {"offset", names.offset}};
  for (const auto& [what, name] : wanted) {
    const bool there = std::any_of(targets.begin(), targets.end(), [&](const target_column& c) {
      return c.source.kind == column_source::from::meta && c.source.text == what;
    });
    if (there || !t.find(name)) continue; // one that is not there is told elsewhere
    out.push_back({severity::error, where,
                   "its column " + name + " is not filled with the record's own " + what +
                       ", by which recovery finds out what landed",
                   "take `" + name + "` out of columns:, or fill another column there with {meta: " + what + "}"});
  }
}

void check_destination(ch::session& s, const ch::server_facts& facts, const context_ptr& c, const std::string& name,
                       int lanes, const insert_rates& rates, std::vector<finding>& out, std::uint64_t& identity) {
  const auto& p = c->config;
  const auto database = split_name(p.table, p.database).first;
  const auto& table = name;
  auto where = "pipeline " + p.name + ": table " + database + "." + table;
  auto t = ch::describe(s, facts, database, table, limit_ms);
  if (!t.ok()) {
    out.push_back({severity::error, where, t.failure().cause, t.failure().way_out});
    return;
  }
  std::vector<target_column> targets;
  if (t->exists) {
    identity = ch::destination_identity(*t);
    targets = targets_of(*t, p, where, out);
    check_defaults(s, facts, targets, where, out);
    if (!targets.empty()) check_mapping(*t, targets, p, where, out);
  }
  auto e = expectations_of(c, targets, lanes);
  e.other_inserts_per_second = rates.rows.at({database, table}) - e.inserts_per_second;
  append(out, ch::check_server(facts, "clickhouse " + s.url(), e));
  append(out, ch::check_table(*t, facts, where, e));
  const auto letters = split_name(p.dead_letter_table, p.database);
  auto dead = ch::describe(s, facts, letters.first, letters.second, limit_ms);
  auto of_letters = e;
  of_letters.other_inserts_per_second = rates.dead_letters.at(letters) - e.inserts_per_second;
  if (dead.ok()) append(out, ch::check_dead_letters(*dead, "pipeline " + p.name + ": dead letters", of_letters));
  if (!t->exists) return;
  if (p.format == "passthrough" && !t->views.empty())
    out.push_back(
        {severity::warning, where,
         "materialized views depend on it, and with format: passthrough a value that ClickHouse refuses may stop "
         "its lane: nobody can tell what the views had taken before",
         "choose a format that chute reads, or let the views read another table"});
  append(out, ch::probe_rights(s, facts, *t, where, e, limit_ms));
  if (!ch::believed(*t, e.columns).there) return;
  ch::question q;
  q.database = database;
  q.table = table;
  q.columns = e.columns;
  q.topic = p.topics.front();
  q.ranges = {{{0}, {0}, {INT64_MAX}}};
  auto begun = mono_now();
  ch::ask(s, facts, q);
  append(out, ch::check_question_time(*t, where, e, mono_now() - begun, c->top.clickhouse.question_limit_ms));
}

void check_clickhouse(const context_ptr& c, const std::vector<kafka::topic_info>& topics, const insert_rates& rates,
                      std::vector<finding>& out) {
  const auto tables = lanes_by_table(c->config, topics);
  std::map<std::string, std::map<std::uint64_t, std::string>> seen; // of each table: what it is, and where first
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
    for (const auto& [table, lanes] : tables) {
      std::uint64_t identity = 0;
      check_destination(**s, *facts, c, table, lanes, rates, out, identity);
      if (identity) seen[table].emplace(identity, url);
    }
    check_starts(**s, *facts, c, out);
  }
  for (const auto& [table, copies] : seen)
    if (copies.size() > 1)
      out.push_back(
          {severity::error, "pipeline " + c->config.name + ": table " + table,
           copies.begin()->second + " and " + std::next(copies.begin())->second +
               " have different tables of this name, not replicas of one: records would be divided among them",
           "name the servers of one replicated table in clickhouse.url, or one server"});
}

// --- check: the state ------------------------------------------------------------------------------------------------

result<void> show_pipeline(const topology& t, const pipeline_config& p, store* shared,
                           std::vector<lane_state_view>& out); // below

// Lanes that began once, as chute_starts knows it; empty: it knows nothing, or cannot be asked (which is told above).
std::map<std::string, std::set<lane_id>> begun_lanes(const context_ptr& c, const std::string& cluster,
                                                     const std::vector<lane_state_view>& lanes) {
  std::map<std::string, std::set<lane_id>> out;
  auto s = ch::session::open(ch::options_for(c->top.clickhouse, c->top.clickhouse.urls.front()));
  if (!s.ok()) return out;
  auto facts = ch::read_facts(**s, limit_ms);
  if (!facts.ok()) return out;
  ch::starts_place place{c->config.database, ch::starts_place{}.table, false};
  auto t = ch::describe(**s, *facts, place.database, place.table, limit_ms);
  if (!t.ok() || !t->exists || !ch::starts_table_faults(*t).empty()) return out;
  place.replicated = t->replicated;
  for (const auto& l : lanes) {
    if (out.contains(l.topic)) continue;
    auto started = ch::read_starts(**s, *facts, place, {cluster, c->config.group, c->config.name, l.topic}, limit_ms);
    out[l.topic] = started.ok() ? started->begun : std::set<lane_id>{};
  }
  return out;
}

// Records of lanes that cannot be read, that somebody else wrote, or that are gone.
void check_lanes(const topology& t, const context_ptr& c, std::vector<finding>& out) {
  const auto where = "pipeline " + c->config.name + ": state";
  if (t.state.store == store_kind::memory || t.state.store == store_kind::own) return;
  auto opened = open_store(t, true);
  if (!opened.ok()) return out.push_back({severity::error, where, opened.failure().cause, opened.failure().way_out});
  std::vector<lane_state_view> lanes;
  if (auto r = show_pipeline(t, c->config, opened->get(), lanes); !r.ok())
    return out.push_back({severity::error, where, r.failure().cause, r.failure().way_out});
  auto k = kafka::inspector::open(c->kafka_client());
  auto cluster = k.ok() ? (*k)->cluster_id(limit_ms) : result<std::string>(k.failure());
  auto begun = cluster.ok() ? begun_lanes(c, *cluster, lanes) : std::map<std::string, std::set<lane_id>>{};
  for (const auto& l : lanes) {
    if (l.found) continue;
    const auto lane = where + ": topic " + l.topic + ", lane " + std::to_string(l.lane.value);
    const bool new_lane = l.problem == no_record;
    const auto command = [&](const char* to) { return state_command("reset", c->file, c->config.name, l.topic, to); };
    if (!new_lane)
      out.push_back({severity::error, lane, l.problem,
                     "to follow another tool: " + command("--adopt") +
                         "; to go on after what the table holds: " + command("--to-table")});
    else if (begun[l.topic].contains(l.lane))
      out.push_back({severity::error, lane,
                     "its record is gone, though it began (chute_starts): the offsets of group " + c->config.group +
                         " expired or were deleted, or the state store lost it",
                     "bring the store back; or go on after what the table holds: " + command("--to-table") +
                         "; or, if the topic was deleted and made anew: " + command("--to-earliest")});
  }
}

// --- check: the schema registry
// ----------------------------------------------------------------------------------------

bool needs_registry(const pipeline_config& p) {
  const auto by_ids = [](const auto& of) { // a pipeline, or its key
    return (of.format == "avro" && of.avro.framing == schema_framing::confluent) ||
           (of.format == "protobuf" && of.protobuf.framing == schema_framing::confluent);
  };
  return by_ids(p) || by_ids(p.key);
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

namespace {

// Whose records of a topic a table holds already: patterns show only here what they meet in.
using table_owners = std::map<std::tuple<std::string, std::string, std::string>, std::string>;

void check_owners(const pipeline_config& p, const std::vector<kafka::topic_info>& topics, table_owners& owners,
                  std::vector<finding>& out) {
  const auto database = split_name(p.table, p.database).first;
  for (const auto& topic : topics) {
    const auto table = table_of(p, topic.name);
    const auto [at, fresh] = owners.emplace(std::tuple(database, table, topic.name), p.name);
    if (fresh || at->second == p.name) continue;
    out.push_back({severity::error, "pipeline " + p.name + ": topic " + topic.name,
                   "pipeline " + at->second + " writes this topic into " + database + "." + table +
                       " too: every record would be there twice, and each would take the other's rows for its own",
                   "let the patterns of the two differ, or give each a table of its own"});
  }
}

} // namespace

std::vector<finding> check(const topology& t, const std::string& file) {
  std::vector<finding> out;
  table_owners owners;
  insert_rates rates;
  std::uint64_t lanes = 0;
  if (t.pipelines.empty()) return {{severity::error, "topology", "it has no pipelines", "add one under pipelines:"}};
  std::vector<std::pair<context_ptr, std::vector<kafka::topic_info>>> pipelines;
  for (const auto& p : t.pipelines) {
    auto c = quiet_context(t, p);
    c->file = file;
    std::vector<kafka::topic_info> topics;
    auto k = kafka::inspector::open(c->kafka_client());
    if (!k.ok()) out.push_back({severity::error, "kafka", k.failure().cause, k.failure().way_out});
    else {
      topics = check_topics(**k, p, out);
      check_owners(p, topics, owners, out);
      for (const auto& topic : topics) {
        check_retention(**k, c, topic, out);
        lanes += static_cast<std::uint64_t>(lanes_of(p, topic));
      }
    }
    count_inserts(p, topics, rates);
    pipelines.emplace_back(std::move(c), std::move(topics));
  }
  for (const auto& [c, topics] : pipelines) {
    check_clickhouse(c, topics, rates, out);
    check_registry(c, out);
    if (!topics.empty()) check_lanes(t, c, out);
  }
  append(out, check_store(t, limit_ms));
  if (auto f = memory_need(t.memory_bytes, lanes)) out.push_back(std::move(*f));
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
    v.problem = !l.foreign.empty() ? "moved by another tool: " + l.foreign : l.failure ? l.failure->text() : no_record;
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

// Offsets of the lane that another tool than the engine committed: its seat's belongs to the store that is `kafka`.
void tell_moved(lane_state_view& v, const std::vector<kafka::topic_partition>& parts, offset_log& offsets,
                bool seat_too) {
  std::vector<offset_log::place> places;
  for (std::size_t n = seat_too ? 0 : 1; n < parts.size(); ++n) places.push_back({parts[n].topic, parts[n].partition});
  if (places.empty()) return;
  const auto found = offsets.committed(places, limit_ms);
  using status = enum offset_log::entry::status;
  const auto tell = [&](const std::string& what) { v.problem += (v.problem.empty() ? "" : "; ") + what; };
  for (std::size_t n = 0; n < found.size(); ++n) {
    const auto& f = found[n];
    const auto where = places[n].topic + "/" + std::to_string(places[n].partition.value);
    if (f.what == status::failed)
      tell("the group's offset of " + where + " could not be read" + (f.why ? ": " + f.why->text() : ""));
    else if (f.what == status::found && moved_by_another_tool(f.metadata, seat_too && n == 0))
      tell("moved by another tool: offset " + std::to_string(f.next.value) + " of " + where);
  }
}

// How many lanes there are was decided at the first start, and any of their records says it; the topology's word may be
// another since.
std::pair<std::vector<lane_key>, std::vector<loaded>> load_lanes(store& from, const lane_key& of, std::int32_t lanes,
                                                                 const kafka::topic_info& topic) {
  std::vector<lane_key> keys;
  const auto load = [&](std::int32_t count) {
    keys.assign(static_cast<std::size_t>(count), of);
    for (std::int32_t i = 0; i < count; ++i) keys[static_cast<std::size_t>(i)].lane = {i};
    return from.load(keys, limit_ms);
  };
  auto found = load(lanes);
  for (const auto& f : found) {
    if (f.status != loaded::status::found) continue;
    auto r = decode_record(f.record.text);
    if (!r.ok()) continue;
    const auto fixed = std::min(r->lanes, topic.partitions);
    if (fixed != lanes) found = load(fixed);
    break;
  }
  return {std::move(keys), std::move(found)};
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
    auto [keys, found] = load_lanes(from, {*cluster, p.group, p.name, topic.name, {}}, lanes_of(p, topic), topic);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      auto v = view_of(p, keys[i], found[i]);
      std::vector<kafka::topic_partition> parts;
      for (std::size_t n = 0; v.found && n < v.record.partitions.size(); ++n)
        parts.push_back({topic.name, lane_partition_id(v.lane, v.record.lanes, n)});
      tell_moved(v, parts, offsets, shared != nullptr);
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
