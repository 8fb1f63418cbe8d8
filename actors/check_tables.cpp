// `chute check` and ClickHouse: servers, destinations, the tables that chute makes for itself, and the rights to use
// them.
#include "actors/defaults.hpp"
#include "actors/inspect_parts.hpp"
#include "clickhouse/check.hpp"
#include "clickhouse/schema.hpp"
#include "formats/decoder.hpp"
#include "formats/encoder.hpp"

#include <algorithm>

namespace chute {

namespace {

namespace ch = clickhouse;
using severity = enum finding::severity;
constexpr std::int64_t limit_ms = inspect_limit_ms;

// What a pipeline writes into one table: from how many lanes, and one of the topics.
struct table_use {
  int lanes = 0;
  std::string topic;
};

std::map<std::string, table_use> uses_of(const pipeline_config& p, const std::vector<kafka::topic_info>& topics) {
  std::map<std::string, table_use> out;
  for (const auto& t : topics) {
    auto& use = out[table_for(p, t.name)];
    use.lanes += lanes_of(p, t);
    use.topic = t.name;
  }
  if (out.empty() && p.table.find("{topic}") == std::string::npos) out[table_for(p, "")] = {1, p.topics.front()};
  return out;
}

std::string database_of(const pipeline_config& p) { return split_table(p.table, p.database).first; }

// What mends a question to the server that failed.
std::string server_mend(const context_ptr& c, const error& e) {
  if (e.cause.find("ACCESS_DENIED") != std::string::npos)
    return "GRANT SELECT ON system.* TO " + ch::quote_name(c->top.clickhouse.user) + "; " +
           "GRANT SHOW TABLES, SHOW COLUMNS ON *.* TO " + ch::quote_name(c->top.clickhouse.user);
  return "see that ClickHouse answers there, and clickhouse.url, user and password";
}

ch::expectations expectations_of(const context_ptr& c, const std::vector<target_column>& targets, int lanes,
                                 const insert_rates& rates) {
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
  for (const auto& [column, source] : p.columns) e.mapped.insert(column);
  e.adds_columns = p.on_new_field == new_field_policy::add_column;
  for (const auto& [target, rate] : rates.targets)
    e.view_inserts_per_second[target] = rates.into(target.first, target.second);
  return e;
}

decoder_options decoding_of(const pipeline_config& p, const ch::server_facts& facts) {
  auto out = options_for(p);
  out.timezone = facts.timezone;
  out.json_type = facts.major > 25 || (facts.major == 25 && facts.minor >= 3);
  return out;
}

std::vector<target_column> targets_of(const ch::table_description& t, const ch::server_facts& facts,
                                      const pipeline_config& p, const std::string& topic, const std::string& where,
                                      std::vector<finding>& out) {
  const auto tell = [&](const error& e) {
    out.push_back(
        finding_of(severity::error, where, e, "write columns:, format: or encoding: so that they fit the table"));
  };
  std::vector<table_column> columns;
  for (const auto& c : t.columns) {
    auto column = column_on(facts, c, p.encoding);
    if (!column.ok()) tell(column.failure());
    else columns.push_back(*column);
  }
  auto targets = map_columns(columns, p, ch::changes_of(t));
  if (!targets.ok()) {
    tell(targets.failure());
    return {};
  }
  auto options = decoding_of(p, facts);
  options.topic = topic;
  if (auto d = make_decoder(p.format, *targets, options); !d.ok()) tell(d.failure());
  if (auto r = can_encode(p.encoding, *targets); !r.ok()) tell(r.failure());
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
    out.push_back(finding_of(severity::error, where, r.failure(), "give the column a constant DEFAULT, or none"));
}

// The table that knows where pipelines began.
void check_starts(ch::session& s, const ch::server_facts& facts, const context_ptr& c,
                  const ch::table_description& destination, std::vector<finding>& out) {
  const ch::starts_place place{c->config.database, ch::starts_place{}.table, false};
  const auto where = "pipeline " + c->config.name + ": table " + place.database + "." + place.table;
  auto t = ch::describe(s, facts, place.database, place.table, limit_ms);
  if (!t.ok()) return out.push_back(finding_of(severity::error, where, t.failure(), server_mend(c, t.failure())));
  const auto statement = ch::starts_statement(destination, place.database, place.table, "");
  const auto faults = t->exists ? ch::starts_table_faults(*t, statement) : std::vector<ch::table_fault>{};
  for (const auto& fault : faults)
    out.push_back({severity::error, where, "it cannot be used: " + fault.what, fault.mend});
  if (faults.empty()) append(out, ch::probe_own_table(s, facts, *t, where, statement, {}, limit_ms));
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

// Of the dead letters; `e`: of the pipeline's rows.
void check_dead_letters(ch::session& s, const ch::server_facts& facts, const context_ptr& c,
                        const ch::table_description& destination, ch::expectations e, const insert_rates& rates,
                        table_seen& seen, std::vector<finding>& out) {
  const auto where = "pipeline " + c->config.name + ": dead letters";
  const auto [database, table] = split_table(c->config.dead_letter_table, c->config.database);
  auto t = ch::describe(s, facts, database, table, limit_ms);
  if (!t.ok()) return out.push_back(finding_of(severity::error, where, t.failure(), server_mend(c, t.failure())));
  e.other_inserts_per_second = rates.dead_letters.at({database, table}) - e.inserts_per_second;
  append(out, ch::check_dead_letters(*t, where, e));
  if (t->exists && !ch::dead_letter_table_faults(*t, false, "").empty()) return;
  append(out, ch::probe_own_table(s, facts, *t, where, ch::dead_letter_statement(destination, database, table, ""),
                                  e.settings, limit_ms));
  if (t->exists) seen.dead_letters = ch::dead_letter_place{database, table, c->config.name, t->replicated};
}

void check_question(ch::session& s, const ch::server_facts& facts, const context_ptr& c, const ch::table_description& t,
                    const ch::expectations& e, const std::string& topic, const std::string& where,
                    std::vector<finding>& out) {
  ch::question q;
  q.database = t.database;
  q.table = t.table;
  q.columns = e.columns;
  q.topic = topic;
  q.ranges = {{{0}, {0}, {INT64_MAX}}};
  auto begun = mono_now();
  ch::ask(s, facts, q);
  append(out, ch::check_question_time(t, where, e, mono_now() - begun, c->top.clickhouse.question_limit_ms));
}

table_seen check_destination(ch::session& s, const ch::server_facts& facts, const context_ptr& c,
                             const std::string& table, const table_use& use, const insert_rates& rates,
                             std::vector<finding>& out) {
  const auto& p = c->config;
  const auto database = database_of(p);
  const auto where = "pipeline " + p.name + ": table " + database + "." + table;
  table_seen seen;
  auto t = ch::describe(s, facts, database, table, limit_ms);
  if (!t.ok()) {
    out.push_back(finding_of(severity::error, where, t.failure(), server_mend(c, t.failure())));
    return seen;
  }
  std::vector<target_column> targets;
  if (t->exists) {
    ch::count_partitions(s, *t, limit_ms).ok(); // else it counts as few
    targets = targets_of(*t, facts, p, use.topic, where, out);
    check_defaults(s, facts, targets, where, out);
    if (!targets.empty()) check_mapping(*t, targets, p, where, out);
  }
  auto e = expectations_of(c, targets, use.lanes, rates);
  e.other_inserts_per_second = rates.into(database, table) - e.inserts_per_second;
  append(out, ch::check_server(facts, "clickhouse " + s.url(), e));
  append(out, ch::check_table(*t, facts, where, e));
  check_dead_letters(s, facts, c, *t, e, rates, seen, out);
  check_starts(s, facts, c, *t, out);
  if (!t->exists) return seen;
  if (p.format == "passthrough" && !t->views.empty())
    out.push_back(
        {severity::warning, where,
         "materialized views depend on it, and with format: passthrough a value that ClickHouse refuses may stop "
         "its lane: nobody can tell what the views had taken before",
         "choose a format that chute reads, or let the views read another table"});
  append(out, ch::probe_rights(s, facts, *t, where, e, limit_ms));
  seen.identity = ch::destination_identity(*t);
  seen.replicated = t->replicated;
  seen.columns = e.columns;
  seen.options = decoding_of(p, facts);
  const bool asked = p.provenance == provenance_mode::required && !targets.empty();
  const auto belief = asked ? ch::believed(*t, e.columns) : ch::belief{};
  seen.there = belief.there;
  seen.not_there = belief.not_there;
  if (seen.there) check_question(s, facts, c, *t, e, use.topic, where, out);
  seen.targets = std::move(targets);
  return seen;
}

} // namespace

void count_inserts(const pipeline_config& p, const std::vector<kafka::topic_info>& topics, insert_rates& into) {
  for (const auto& [table, use] : uses_of(p, topics)) {
    const auto rate = ch::reachable_inserts_per_second(p, use.lanes);
    into.rows[{database_of(p), table}] += rate;
    into.dead_letters[split_table(p.dead_letter_table, p.database)] += rate;
  }
}

void count_view_inserts(const context_ptr& c, const std::vector<kafka::topic_info>& topics, insert_rates& rates) {
  auto s = ch::session::open(ch::options_for(c->top.clickhouse, c->top.clickhouse.urls.front()));
  if (!s.ok()) return; // which is told elsewhere
  auto facts = ch::read_facts(**s, limit_ms);
  if (!facts.ok()) return;
  for (const auto& [table, use] : uses_of(c->config, topics)) {
    const std::pair base(database_of(c->config), table);
    if (!rates.followed.insert(base).second) continue; // of another pipeline too
    auto t = ch::describe(**s, *facts, base.first, base.second, limit_ms);
    if (!t.ok()) continue;
    insert_rates::by_table flow{{base, rates.rows.at(base)}};
    for (const auto& v : t->views) { // each after what it reads
      const auto comes = flow[{v.source.database, v.source.table}];
      flow[{v.target.database, v.target.table}] += comes;
      rates.targets[{v.target.database, v.target.table}] += comes;
    }
  }
}

tables_seen check_tables(const context_ptr& c, const std::vector<kafka::topic_info>& topics, const insert_rates& rates,
                         std::vector<finding>& out) {
  const auto tables = uses_of(c->config, topics);
  tables_seen first;                                                  // as the first server that answers has them
  std::map<std::string, std::map<std::uint64_t, std::string>> copies; // of each table: what it is, and where first
  for (const auto& url : c->top.clickhouse.urls) {
    auto s = ch::session::open(ch::options_for(c->top.clickhouse, url));
    auto facts = s.ok() ? ch::read_facts(**s, limit_ms) : result<ch::server_facts>(s.failure());
    if (!facts.ok()) {
      out.push_back(finding_of(severity::error, "clickhouse " + url, facts.failure(), server_mend(c, facts.failure())));
      continue;
    }
    for (const auto& [table, use] : tables) {
      auto seen = check_destination(**s, *facts, c, table, use, rates, out);
      if (!seen.identity) continue;
      copies[table].emplace(seen.identity, url);
      first.emplace(table, std::move(seen));
    }
  }
  for (const auto& [table, found] : copies)
    if (found.size() > 1)
      out.push_back(
          {severity::error, "pipeline " + c->config.name + ": table " + table,
           found.begin()->second + " and " + std::next(found.begin())->second +
               " have different tables of this name, not replicas of one: records would be divided among them",
           "name the servers of one replicated table in clickhouse.url, or one server"});
  return first;
}

} // namespace chute
