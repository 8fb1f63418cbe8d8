// `chute check` and recovery: what a lane would stop on (core/lane_recovery.cpp), found before it runs.
#include "actors/inspect_parts.hpp"
#include "clickhouse/schema.hpp"
#include "core/text.hpp"
#include "core/way_out.hpp"

#include <algorithm>
#include <chrono>

namespace chute {

namespace {

namespace ch = clickhouse;
using severity = enum finding::severity;
using trouble = enum lane_state_view::trouble;
constexpr std::int64_t limit_ms = inspect_limit_ms;
constexpr std::size_t lanes_named_max = 8;

// One thing about one lane.
struct lane_issue {
  lane_id lane;
  std::uint64_t version = 0; // of the record that it is about; 0: there is none
  severity level = severity::error;
  std::string kind; // of several lanes' issues of a kind, the first one's words are told
  std::string reason, mend;
  bool same_as(const lane_issue& o) const { return lane == o.lane && version == o.version && kind == o.kind; }
};
using lane_issues = std::vector<lane_issue>;

// What the lanes of a topic are compared with.
struct compared {
  const context_ptr& c;
  kafka::inspector& k;
  ch::session* server; // null: it does not answer, which is told elsewhere
  const ch::server_facts& facts;
  const kafka::topic_info& topic;
  const table_seen* table; // null: not known
  ch::started started;
  std::vector<std::string> others;   // that began on the topic
  std::vector<std::string> clusters; // other ones, on which this pipeline began with it

  const pipeline_config& config() const { return c->config; }
  bool exact() const { return config().delivery == delivery_mode::exactly_once; }
  int lanes() const { return started.known ? started.lanes : lanes_for(config().lanes, topic.partitions); }
  // As the lanes have it. Of a table that was not seen it is what the topology hopes for.
  table_trust trust() const {
    table_trust out;
    const bool hoped = config().provenance == provenance_mode::required;
    out.there = table ? table->there : hoped;
    out.not_there = table ? table->not_there : hoped;
    return out;
  }
  state_of whose() const { return {c->file, config().name, topic.name}; }
  std::string reset(const std::string& options) const { return whose().reset(options); }
  std::string reset(const kafka::topic_partition& p, const std::string& options) const {
    return reset(of_partition(p.partition) + options);
  }
  std::string after_table(const std::string& of = "") const { return go_on_after_table(whose(), of, trust().there); }
  std::string with_other_lanes() const {
    return begin_with_other_lanes(whose(), exact() && trust().there && trust().not_there);
  }
};

// --- lanes without a record that could be followed -------------------------------------------------------------------

void compare_absent(const compared& w, const lane_state_view& v, lane_issues& out) {
  const auto stop = [&](const std::string& kind, const std::string& reason, const std::string& mend) {
    out.push_back({v.lane, v.found ? v.record.version : 0, severity::error, kind, reason, mend});
  };
  const auto own_way = v.failure ? v.failure->way_out : std::string();
  const auto cause = v.failure ? v.failure->cause : v.problem;
  switch (v.why) {
  case trouble::none: return;
  case trouble::moved:
    return stop("moved", v.problem + "; chute does not follow by itself",
                "to read from where they were moved to: " + w.reset("--adopt") + "; or " + w.after_table());
  case trouble::unreadable:
    return stop("unreadable", "its record cannot be read: " + cause,
                (own_way.empty() ? "" : own_way + "; or ") + w.after_table(of_lane(v.lane)));
  case trouble::failed:
    return stop("failed " + own_way, cause, own_way.empty() ? "see that the state store answers" : own_way);
  case trouble::absent: break;
  }
  const bool marked = w.started.begun.contains(v.lane);
  if (!marked && v.noted_version == 0) return; // it is new
  stop("gone",
       "its record is gone, though it began (" + std::string(marked ? "chute_starts" : "the group's offsets tell") +
           "): the offsets of group " + w.config().group +
           " expired or were deleted, the state store lost it, or it is another store",
       "bring the store back; or " + w.after_table() +
           "; or, if the topic was deleted and made anew: " + w.reset("--to-earliest"));
}

// --- records ---------------------------------------------------------------------------------------------------------

// With chute_starts, the table and the topic.
void compare_record(const compared& w, const lane_state_view& v, lane_issues& out) {
  const auto& r = v.record;
  const auto stop = [&](const std::string& kind, const std::string& reason, const std::string& mend) {
    out.push_back({v.lane, r.version, severity::error, kind, reason, mend});
  };
  if (r.version < v.noted_version)
    stop("older",
         "the state store has version " + std::to_string(r.version) + ", but version " +
             std::to_string(v.noted_version) +
             " was saved before: it went back in time (a restored backup, a crash without fsync, a failover)",
         "bring the newer state back; or " + w.after_table());
  if (r.lanes != w.lanes())
    stop("lanes",
         "the record was made with lanes: " + std::to_string(r.lanes) + ", the pipeline began with " +
             std::to_string(w.lanes()) + "; lanes are fixed at the first start",
         w.after_table());
  if (r.cluster != cluster_hash(*w.c))
    stop("cluster", "the record belongs to another Kafka cluster",
         "point kafka.brokers at the cluster it was made with, or deliver all that this one holds: " +
             w.reset("--to-earliest"));
  if (w.table && w.table->identity && r.destination != w.table->identity)
    stop("destination",
         "the record belongs to another table (the destination was dropped and made anew, or renamed over)",
         "restore the table; or fill this one from the log's beginning: " + w.reset("--to-earliest") +
             "; or go on in it where the other one ended: " + w.reset("--to-current"));
  const auto there = lane_partition_count(v.lane, r.lanes, w.topic.partitions);
  if (r.partitions.size() > there)
    stop("partitions",
         "the record knows " + std::to_string(r.partitions.size()) + " partitions of this lane, the topic has " +
             std::to_string(there) + ": the topic was made anew",
         "to deliver all that it holds now: " + w.reset("--to-earliest"));
}

// Lanes that there are no partitions for any more.
void compare_count(const compared& w, lane_issues& out) {
  const auto before = static_cast<std::int64_t>(w.started.from.size());
  if (before > w.topic.partitions)
    out.push_back({{0},
                   0,
                   severity::error,
                   "fewer",
                   "the topic had " + std::to_string(before) + " partitions at the first start, and has " +
                       std::to_string(w.topic.partitions) + " now: it was made anew",
                   "to deliver all that it holds now: " + w.reset("--to-earliest")});
  const auto most = static_cast<std::int64_t>(lane_partitions_max) * w.lanes();
  if (w.topic.partitions > most)
    out.push_back({{0},
                   0,
                   severity::error,
                   "too many",
                   "the topic has " + std::to_string(w.topic.partitions) +
                       " partitions, more than 100 in each of its " + std::to_string(w.lanes()) +
                       " lanes, which were fixed at the first start",
                   w.with_other_lanes()});
}

// --- logs ------------------------------------------------------------------------------------------------------------

std::string of_new_or_cut(const compared& w, const kafka::topic_partition& p, offset_t end) {
  return "of a topic that was made anew, deliver all: " + w.reset(p, "--to-earliest") +
         "; of one that was cut short, go on at its end: " + w.reset(p, "--to-offset " + std::to_string(end.value));
}

// The last offset that the record says was there.
offset_t last_known(const lane_record& r, std::size_t i) {
  const auto done = r.partitions[i].known_base() - 1;
  return r.open && i < r.open->last.size() ? std::max(r.open->last[i], done) : done;
}

void compare_log(const compared& w, const lane_state_view& v, std::size_t i, const kafka::topic_partition& where,
                 const kafka::log_bounds& log, lane_issues& out) {
  const auto& p = v.record.partitions[i];
  const auto tell = [&](severity level, const std::string& kind, const std::string& reason, const std::string& mend) {
    out.push_back({v.lane, v.record.version, level, kind, reason, mend});
  };
  const auto last = last_known(v.record, i);
  if (log.end < p.next && w.exact())
    return tell(severity::error, "short",
                "the log of " + kafka::to_string(where) + " ends at " + std::to_string(log.end.value) +
                    ", before the position " + std::to_string(p.next.value) + ": the topic was truncated or made anew",
                of_new_or_cut(w, where, log.end));
  if (last >= p.next && log.end <= last && w.exact())
    return tell(severity::error, "short of plan",
                "the log of " + kafka::to_string(where) + " ends at " + std::to_string(log.end.value) +
                    ", within an open plan (to offset " + std::to_string(last.value) +
                    "): it was truncated or made anew",
                of_new_or_cut(w, where, log.end));
  if (log.begin <= p.next) return;
  const bool planned = loss_meets_plan(v.record, i);
  const bool stops = planned || w.config().on_data_loss == data_loss_policy::stop;
  tell(stops ? severity::error : severity::warning, planned ? "deleted of a plan" : "deleted",
       "retention deleted offsets " + std::to_string(p.next.value) + " to " + std::to_string(log.begin.value - 1) +
           " of " + kafka::to_string(where) + " before they were delivered",
       stops ? "to go on without them: " + pass_loss(w.whose(), v.record, v.lane, i, w.trust()) +
                   "; raise retention.ms, so that it does not happen again"
             : "raise retention.ms: with on_data_loss: continue they are counted as lost");
}

// Whether the last record that is done is still the one that was done.
void compare_known(const compared& w, const std::vector<lane_state_view>& lanes,
                   const std::map<kafka::topic_partition, kafka::log_bounds>& logs, lane_issues& out) {
  struct probe {
    const lane_state_view* of;
    std::uint32_t hash;
  };
  std::vector<probe> probes;
  std::vector<kafka::partition_offset> places;
  for (const auto& v : lanes) {
    const auto parts = partitions_of(v);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto& p = v.record.partitions[i];
      const auto log = logs.find(parts[i]);
      const auto at = p.known_at();
      if (!at || at->value < 0 || log == logs.end() || log->second.end < p.next || *at < log->second.begin) continue;
      probes.push_back({&v, p.known->hash});
      places.push_back({parts[i], *at});
    }
  }
  if (places.empty()) return;
  const auto found = w.k.read(places, limit_ms);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto& v = *probes[i].of;
    if (found[i].what != kafka::record_at::status::found)
      continue; // it says nothing; what cannot be read is told below
    if (static_cast<std::uint32_t>(found[i].hash) == probes[i].hash) continue;
    out.push_back({v.lane, v.record.version, severity::error, "another log",
                   "the record of " + kafka::to_string(places[i].where) + " at offset " +
                       std::to_string(places[i].offset.value) +
                       " is not the one that was done: the topic was made anew",
                   of_new_or_cut(w, places[i].where, logs.at(places[i].where).end)});
  }
}

void compare_logs(const compared& w, const std::vector<lane_state_view>& lanes, lane_issues& out) {
  std::vector<kafka::topic_partition> parts;
  for (const auto& v : lanes)
    for (auto& p : partitions_of(v))
      if (p.partition.value < w.topic.partitions) parts.push_back(std::move(p));
  if (parts.empty()) return;
  std::map<kafka::topic_partition, kafka::log_bounds> logs;
  const auto bounds = w.k.bounds(parts, limit_ms);
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (bounds[i].ok()) logs.emplace(parts[i], *bounds[i]); // else it is told with the topic
  for (const auto& v : lanes) {
    const auto own = partitions_of(v);
    for (std::size_t i = 0; i < own.size(); ++i)
      if (auto log = logs.find(own[i]); log != logs.end()) compare_log(w, v, i, own[i], log->second, out);
  }
  if (w.exact()) compare_known(w, lanes, logs, out);
}

// --- the table -------------------------------------------------------------------------------------------------------

// Where a lane that begins now would begin, by partition; empty: it cannot be told.
std::vector<offset_t> first_positions(const compared& w) {
  std::vector<kafka::topic_partition> parts;
  for (std::int32_t i = 0; i < w.topic.partitions; ++i) parts.push_back({w.topic.name, {i}});
  std::vector<offset_t> out = w.started.from;
  if (w.started.known) {
    out.resize(parts.size()); // those added since begin at their log's beginning
    return out;
  }
  if (w.config().start == start_policy::timestamp) {
    for (auto& r : w.k.offsets_for_time(parts, w.config().start_timestamp_ms, limit_ms)) {
      if (!r.ok()) return {};
      out.push_back(*r);
    }
    return out;
  }
  for (auto& b : w.k.bounds(parts, limit_ms)) {
    if (!b.ok()) return {};
    out.push_back(w.config().start == start_policy::earliest ? b->begin : b->end);
  }
  return out;
}

struct asked_range {
  const lane_state_view* of;
  offset_range range;
};

// What was never sent, as lane::ask_beyond() has it.
std::vector<asked_range> ranges_beyond(const compared& w, const std::vector<lane_state_view>& lanes) {
  std::vector<asked_range> out;
  const bool any_new = std::any_of(lanes.begin(), lanes.end(), [](const auto& v) { return v.why == trouble::absent; });
  const auto first = any_new ? first_positions(w) : std::vector<offset_t>{};
  for (const auto& v : lanes) {
    if (v.why == trouble::absent && !w.started.begun.contains(v.lane) && v.noted_version == 0)
      for (auto p = v.lane.value; p < static_cast<std::int32_t>(first.size()); p += w.lanes())
        out.push_back({&v, {{p}, first[static_cast<std::size_t>(p)], {INT64_MAX}}});
    for (std::size_t i = 0; v.found && i < v.record.partitions.size(); ++i) {
      const auto& p = v.record.partitions[i];
      auto from = v.record.open && i < v.record.open->last.size() ? v.record.open->last[i] + 1 : p.next;
      if (p.fill_to && *p.fill_to >= from) from = *p.fill_to + 1;
      if (p.blind && p.blind->value == INT64_MAX) continue;
      if (p.blind && *p.blind >= from) from = *p.blind + 1;
      out.push_back({&v, {lane_partition_id(v.lane, v.record.lanes, i), from, {INT64_MAX}}});
    }
  }
  return out;
}

// Of a record that belongs to another table or log, this one says nothing.
bool told_already(const lane_issues& issues, const lane_state_view& v) {
  return std::any_of(issues.begin(), issues.end(), [&](const lane_issue& i) {
    return i.lane == v.lane && (i.kind == "destination" || i.kind == "cluster" || i.kind == "lanes");
  });
}

lane_issue beyond(const compared& w, const lane_state_view& v, const offset_range& r, const range_count& n) {
  const auto holds = "the table holds " + std::to_string(n.rows) + " rows (and the dead letters " +
                     std::to_string(n.dead) + ") of " +
                     kafka::to_string(kafka::topic_partition{w.topic.name, r.partition}) + " from offset " +
                     std::to_string(r.first.value) + " on";
  const auto resets = "to send only what the table lacks: " + w.reset("--to-table") +
                      "; of a topic that was made anew, to deliver all of it: " + w.reset("--to-earliest");
  // Before its first start nobody can move it.
  const std::string begins = w.started.known ? "" : "start it, which sends nothing of such a lane, and then, ";
  if (v.found)
    return {v.lane,
            v.record.version,
            severity::error,
            "beyond",
            holds + ", beyond what this pipeline has sent: another pipeline writes there, the state went back in time, "
                    "or the topic was made anew",
            resets};
  if (!w.clusters.empty())
    return {v.lane,
            0,
            severity::error,
            "beyond another cluster",
            holds + ", of another Kafka cluster (" + printable(w.clusters.front()) +
                "), on which chute_starts says that this pipeline began",
            "if kafka.brokers was exchanged by mistake, put it back; else start it, which sends nothing of such lanes, "
            "and choose from what the stop names"};
  std::string others;
  for (const auto& o : w.others) others += (others.empty() ? "" : " or ") + o;
  return {v.lane,
          0,
          severity::error,
          "beyond a first start",
          holds + ", but this pipeline, with group " + w.config().group +
              ", has not begun: it was renamed, its group was changed, or another pipeline writes this topic there",
          (others.empty() ? "" : "if it was renamed, write again what chute_starts knows: " + others + "; ") +
              "if another pipeline writes there, give this one a table of its own; else " + begins + resets};
}

void compare_table(const compared& w, const std::vector<lane_state_view>& lanes, lane_issues& out) {
  if (!w.server || !w.table || !w.table->there || !w.exact()) return;
  auto all = ranges_beyond(w, lanes);
  std::erase_if(all, [&](const asked_range& r) { return told_already(out, *r.of); });
  for (std::size_t from = 0; from < all.size(); from += ch::ranges_max) {
    const auto until = std::min(all.size(), from + ch::ranges_max);
    ch::question q;
    q.database = split_table(w.config().table, w.config().database).first;
    q.table = table_for(w.config(), w.topic.name);
    q.columns = w.table->columns;
    q.topic = w.topic.name;
    q.dead_letters = w.table->dead_letters;
    q.replicated = w.table->replicated;
    q.limit_ms = limit_ms;
    for (auto i = from; i < until; ++i) q.ranges.push_back(all[i].range);
    const auto a = ch::ask(*w.server, w.facts, q);
    if (!a.answered) return; // told with the table: the same question was measured there
    for (auto i = from; i < until; ++i)
      if (const auto& n = a.counts[i - from]; n.rows || n.dead) out.push_back(beyond(w, *all[i].of, all[i].range, n));
  }
}

// --- all of them -----------------------------------------------------------------------------------------------------

lane_issues compare_all(const compared& w, const std::vector<lane_state_view>& lanes) {
  lane_issues out;
  for (const auto& v : lanes) {
    compare_absent(w, v, out);
    if (v.found) compare_record(w, v, out);
  }
  compare_count(w, out);
  compare_logs(w, lanes, out);
  compare_table(w, lanes, out);
  return out;
}

// Several lanes' issues of a kind are one finding.
void tell(const compared& w, const lane_issues& issues, std::vector<finding>& out) {
  const auto topic = "pipeline " + w.config().name + ": state: topic " + w.topic.name;
  std::vector<std::pair<const lane_issue*, std::vector<lane_id>>> kinds;
  for (const auto& i : issues) {
    auto at = std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.first->kind == i.kind; });
    if (at == kinds.end()) at = kinds.insert(at, {&i, {}});
    if (at->second.empty() || at->second.back() != i.lane) at->second.push_back(i.lane);
  }
  for (const auto& [first, lanes] : kinds) {
    std::string which = lanes.size() == 1 ? ", lane " : ", lanes ";
    for (std::size_t n = 0; n < lanes.size() && n < lanes_named_max; ++n)
      which += (n ? ", " : "") + std::to_string(lanes[n].value);
    if (lanes.size() > lanes_named_max) which += ", … (" + std::to_string(lanes.size()) + " of them)";
    out.push_back({first->level, topic + which, first->reason, first->mend});
  }
}

// Somebody may run the pipeline meanwhile: what is true only of a record that has changed since is not told.
void compare_twice(compared& w, lane_shelf& shelf, std::vector<finding>& out) {
  auto issues = compare_all(w, shelf.look(w.c->cluster_id, w.topic, w.lanes()));
  if (issues.empty()) return;
  const auto again = compare_all(w, shelf.look(w.c->cluster_id, w.topic, w.lanes()));
  std::erase_if(issues, [&](const lane_issue& i) {
    return std::none_of(again.begin(), again.end(), [&](const lane_issue& a) { return a.same_as(i); });
  });
  tell(w, issues, out);
}

void check_first_start(const compared& w, std::vector<finding>& out) {
  const auto& p = w.config();
  const auto where = "pipeline " + p.name + ": topic " + w.topic.name;
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  if (!w.started.known && p.start == start_policy::timestamp && p.start_timestamp_ms > now.count())
    out.push_back({severity::warning, where,
                   "start: lies in the future: the pipeline begins at the end of what the topic holds at its first "
                   "start, whatever the records' times",
                   "write a start: that is past, or latest"});
  const auto wanted = lanes_for(p.lanes, w.topic.partitions);
  if (w.started.known && w.started.lanes != wanted)
    out.push_back({severity::info, where,
                   "lanes: " + std::to_string(wanted) + " has no effect: the topic began with " +
                       std::to_string(w.started.lanes) + ", which is kept",
                   "leave it; or, for other lanes, " + w.with_other_lanes()});
}

// What lane::began_elsewhere() stops for, where the table holds rows of the topic.
void check_cluster(const compared& w, std::vector<finding>& out) {
  if (w.clusters.empty() || w.started.begun.size() >= static_cast<std::size_t>(std::min(w.lanes(), w.topic.partitions)))
    return;
  out.push_back({severity::warning, "pipeline " + w.config().name + ": topic " + w.topic.name,
                 "chute_starts says that this pipeline began with the topic on another Kafka cluster (" +
                     printable(w.clusters.front()) + "): where the table holds rows of it, its lanes stop",
                 "if kafka.brokers was exchanged by mistake, put it back; else start it, and choose from what the stop "
                 "names; two pipelines of one name that read two clusters: give one another name"});
}

struct starts_seen {
  std::unique_ptr<ch::session> server; // null: it does not answer
  ch::server_facts facts;
  ch::starts_place place;
  bool readable = false; // the table is there, and is ours
};

starts_seen open_starts(const context_ptr& c) {
  starts_seen out;
  out.place = {c->config.database, ch::starts_place{}.table, false};
  for (const auto& url : c->top.clickhouse.urls) {
    auto s = ch::session::open(ch::options_for(c->top.clickhouse, url));
    if (!s.ok()) continue;
    auto facts = ch::read_facts(**s, limit_ms);
    if (!facts.ok()) continue;
    auto t = ch::describe(**s, *facts, out.place.database, out.place.table, limit_ms);
    out.readable = t.ok() && t->exists && ch::starts_table_faults(*t, "").empty();
    out.place.replicated = out.readable && t->replicated;
    out.server = *std::move(s);
    out.facts = *std::move(facts);
    return out;
  }
  return out;
}

} // namespace

void check_lanes(const topology& t, const context_ptr& c, const std::vector<kafka::topic_info>& topics,
                 const tables_seen& tables, std::vector<finding>& out) {
  const auto where = "pipeline " + c->config.name + ": state";
  if (t.state.store == store_kind::memory || t.state.store == store_kind::own || topics.empty() ||
      c->cluster_id.empty())
    return;
  const auto unusable = [&](const error& e) {
    out.push_back({severity::error, where, e.cause, e.way_out.empty() ? "see state: in the topology" : e.way_out});
  };
  auto shelf = lane_shelf::open(t, c);
  if (!shelf.ok()) return unusable(shelf.failure());
  auto k = kafka::inspector::open(c->kafka_client());
  if (!k.ok()) return unusable(k.failure());
  auto seen = open_starts(c);
  for (const auto& topic : topics) {
    const auto table = tables.find(table_for(c->config, topic.name));
    compared w{c,  **k, seen.server.get(), seen.facts, topic, table == tables.end() ? nullptr : &table->second, {},
               {}, {}};
    const ch::start_key key{c->cluster_id, c->config.group, c->config.name, topic.name};
    // chute_starts is read before the store: a lane that began in between is then found in the store.
    if (seen.readable) {
      auto started = ch::read_starts(*seen.server, seen.facts, seen.place, key, limit_ms);
      if (!started.ok()) {
        out.push_back(
            {severity::error, where + ": topic " + topic.name, started.failure().cause,
             started.failure().way_out.empty() ? "see that chute_starts can be read" : started.failure().way_out});
        continue;
      }
      w.started = *std::move(started);
      if (auto clusters = ch::read_other_clusters(*seen.server, seen.facts, seen.place, key, limit_ms); clusters.ok())
        w.clusters = *std::move(clusters);
      if (auto others = ch::read_other_starts(*seen.server, seen.facts, seen.place, key, limit_ms); others.ok())
        w.others = *std::move(others);
    }
    check_first_start(w, out);
    check_cluster(w, out);
    compare_twice(w, **shelf, out);
  }
}

} // namespace chute
