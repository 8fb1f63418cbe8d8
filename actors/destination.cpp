#include "actors/destination.hpp"

#include "actors/defaults.hpp"
#include "clickhouse/check.hpp"
#include "clickhouse/insert.hpp"
#include "clickhouse/listing.hpp"
#include "clickhouse/questions.hpp"
#include "clickhouse/schema.hpp"
#include "clickhouse/tables.hpp"
#include "core/move_request.hpp"
#include "formats/batch_rows.hpp"
#include "formats/encoder.hpp"
#include "formats/passthrough.hpp"

#include <condition_variable>
#include <map>
#include <mutex>
#include <tuple>

namespace chute {

namespace ch = clickhouse;

namespace {
// Has a deduplication window. `late`: what it had seen when it was found, of one that was found later.
struct counted_table {
  ch::storage of;
  std::uint64_t late = 0;
};
} // namespace

struct destination::impl {
  context_ptr context;
  std::string topic, database, table, dead_letter_database, dead_letter_table;
  ch::server_facts facts;
  ch::known_settings known;        // of the facts
  ch::table_description described; // as first described; only what never changes is read later
  ch::storage dead_letters;        // likewise
  ch::provenance_columns columns;
  ch::starts_place starts;
  std::uint64_t dead_letters_identity = 0, starts_identity = 0; // of chute's own tables where it was opened
  bool has_provenance = false, dead_letters_replicated = false;
  ch::settings_map dead_letter_settings;
  std::atomic<std::uint64_t> failed{0};       // inserts that may have landed in part
  std::atomic<std::uint64_t> read_after{0};   // so many had failed when `standing` was last read
  std::atomic<mono_ms> read_at{0};            // when that was
  std::atomic<bool> suspect{false};           // the table was not there: look at its identity before sending again
  std::atomic<std::uint64_t> same_at{0};      // bit n: on URL n (64 at most) the table was seen to be this one
  std::atomic<std::uint64_t> columns_seen{0}; // the hash of those that were last described
  std::atomic<std::uint64_t> generation{1};

  std::mutex describing;                       // whoever reads the columns later has the last word
  std::mutex reading;                          // one reads the standing for all that wait for it
  std::mutex lock;                             // guards:
  decoder_spec_ptr latest;                     // of the columns as last described
  table_standing standing;                     // as last described, like
  std::vector<counted_table> counted;          // table, dead letters, views' targets; those of views that are gone stay
  std::map<std::string, mono_ms> silent_since; // URLs that did not tell what runs there

  decoder_spec_ptr spec_now() {
    std::lock_guard hold(lock);
    return latest;
  }
  void spec_is(decoder_spec_ptr spec) {
    std::lock_guard hold(lock);
    latest = std::move(spec);
  }

  bool is_silent(const std::string& url) {
    constexpr mono_ms silent_ms = 30'000;
    std::lock_guard hold(lock);
    const auto since = silent_since.find(url);
    return since != silent_since.end() && mono_now() - since->second < silent_ms;
  }
  void is_silent_now(const std::string& url) {
    std::lock_guard hold(lock);
    silent_since[url] = mono_now();
  }

  table_standing standing_now() {
    std::lock_guard hold(lock);
    return standing;
  }
  std::vector<counted_table> counted_now() {
    std::lock_guard hold(lock);
    return counted;
  }

  // A view may have been made before the last failure, or by others since.
  bool standing_is_old() const {
    constexpr mono_ms fresh_ms = 5'000;
    return failed != read_after || mono_now() - read_at > fresh_ms;
  }

  std::int64_t question_ms() const { return context->top.clickhouse.question_limit_ms; }
  bool exact() const { return context->config.delivery == delivery_mode::exactly_once; }
};

namespace {

std::string table_for(std::string name, const std::string& topic) {
  constexpr std::string_view placeholder = "{topic}";
  if (auto at = name.find(placeholder); at != std::string::npos) name.replace(at, placeholder.size(), topic);
  return name;
}

// `db.table` or `table`.
std::pair<std::string, std::string> split_name(const std::string& name, const std::string& database) {
  auto dot = name.find('.');
  if (dot == std::string::npos) return {database, name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

result<std::vector<target_column>> targets_of(const ch::table_description& t, const ch::server_facts& facts,
                                              const pipeline_config& config) {
  std::vector<table_column> columns;
  for (const auto& c : t.columns) {
    auto column = column_on(facts, c, config.encoding);
    if (!column.ok()) return column.failure();
    columns.push_back(*column);
  }
  return map_columns(columns, config, ch::changes_of(t));
}

ch::provenance_columns provenance_of(const std::vector<target_column>& targets) {
  ch::provenance_columns out{"", "", "", ""};
  for (const auto& t : targets) {
    if (t.source.kind != column_source::from::meta) continue;
    if (t.source.text == "topic") out.topic = t.column.name;
    if (t.source.text == "partition") out.partition = t.column.name;
    if (t.source.text == "offset") out.offset = t.column.name;
  }
  return out;
}

decoder_spec_ptr make_spec(const ch::server_facts& facts, const context_ptr& context, const std::string& topic,
                           std::vector<target_column> targets, std::uint64_t generation) {
  auto spec = std::make_shared<decoder_spec>();
  const auto& p = context->config;
  spec->generation = generation;
  spec->format = p.format;
  spec->targets = std::move(targets);
  spec->options = options_for(p);
  spec->options.topic = topic;
  spec->options.schemas = context->schemas;
  spec->options.timezone = facts.timezone;
  spec->options.json_type = facts.major > 25 || (facts.major == 25 && facts.minor >= 3);
  spec->fingerprint = decoder_fingerprint(p.format, spec->targets, spec->options);
  if (!context->decoders) return spec;
  if (auto own = context->decoders->find(p.format); own != context->decoders->end()) {
    spec->make = own->second.make;
    spec->fingerprint ^= static_cast<std::uint64_t>(own->second.version) * 0x9e3779b97f4a7c15u;
  }
  return spec;
}

decoder_options zone_of(const ch::server_facts& facts) {
  decoder_options out;
  out.timezone = facts.timezone;
  return out;
}

std::string anew_way_out(const destination::impl& d) {
  auto command = [&](const char* to) {
    return state_command("reset", d.context->file, d.context->config.name, d.topic, to);
  };
  return "bring the old table back; or fill this one from the log's beginning: " + command("--to-earliest") +
         "; or go on in it where the other one ended: " + command("--to-current");
}

insert_answer not_sent(const std::string& why, insert_answer::verdict what = insert_answer::verdict::retry) {
  insert_answer a;
  a.what = what;
  a.never_sent = a.answered = true;
  a.attempts = 0;
  a.message = why;
  return a;
}

} // namespace

// --- opening ---------------------------------------------------------------------------------------------------------

namespace {

result<void> refuse_without_provenance(const destination::impl& d, const ch::provenance_columns& found, bool& fatal) {
  if (!d.exact() || d.context->config.provenance == provenance_mode::off) return {};
  std::string add;
  auto want = [&](const std::string& have, const char* name, const char* type) {
    if (have.empty()) add += std::string(add.empty() ? "" : ", ") + "ADD COLUMN " + name + " " + type;
  };
  want(found.topic, "_topic", "LowCardinality(String)");
  want(found.partition, "_partition", "Int32");
  want(found.offset, "_offset", "Int64");
  if (add.empty()) return {};
  fatal = true;
  return error{"pipeline " + d.context->config.name,
               "table " + ch::table_name(d.database, d.table) + " lacks the provenance columns that recovery checks",
               "ALTER TABLE " + ch::table_name(d.database, d.table) + " " + add +
                   "; or set provenance: off, which docs/guarantees.md prices"};
}

// The table must be one in which a change of a row is a row.
result<void> refuse_unfit_changes(const destination::impl& d, const ch::table_description& table,
                                  const std::vector<target_column>& targets, bool& fatal) {
  ch::expectations e;
  e.deletes = d.context->config.deletes;
  e.envelope = d.context->config.envelope;
  e.sources = sources_of(targets);
  const auto found = ch::check_changes(table, "table " + ch::table_name(d.database, d.table), e);
  if (!ch::has_errors(found)) return {};
  fatal = true;
  return error{"pipeline " + d.context->config.name, ch::error_text(found), ""};
}

// It is said, not refused: a repetition on another day is rare, and mostly the look at the table spares it.
void warn_of_partitions(const destination::impl& d, const ch::table_description& table,
                        const std::vector<target_column>& targets) {
  const auto& p = d.context->config;
  ch::expectations e;
  e.delivery = p.delivery;
  e.sources = sources_of(targets);
  for (const auto& [column, source] : p.columns) e.mapped.insert(column);
  const auto found = ch::check_partitions(table, "table " + ch::table_name(d.database, d.table), e);
  if (ch::has_errors(found)) d.context->log->warn("pipeline {}: {}", p.name, ch::error_text(found));
}

result<void> refuse_without_window(const destination::impl& d, const ch::table_description& table,
                                   const ch::storage& dead_letters, bool& fatal) {
  if (!d.exact()) return {};
  const auto window = ch::smallest_window(table, &dead_letters);
  const auto& limits = d.context->top.clickhouse;
  const auto& p = d.context->config;
  // A plain table has no limit in seconds. Without the columns nothing else tells what landed.
  const bool too_short =
      p.provenance == provenance_mode::off && window.seconds / 2 < (limits.lease_ms + limits.insert_limit_ms) / 1000;
  if (window.inserts > 0 && window.seconds > 0 && !too_short) return {};
  fatal = true;
  ch::expectations e;
  e.delivery = p.delivery;
  e.provenance = p.provenance;
  e.inserts_per_second = ch::reachable_inserts_per_second(p, p.lanes);
  e.lease_ms = limits.lease_ms;
  e.insert_limit_ms = limits.insert_limit_ms;
  return error{
      "pipeline " + p.name,
      ch::error_text(ch::check_windows(table, dead_letters, "table " + ch::table_name(d.database, d.table), e)), ""};
}

// What it is trusted for, as it is described.
table_standing standing_of(const destination::impl& d, const ch::table_description& t) {
  const auto& p = d.context->config;
  const auto belief =
      d.has_provenance && p.provenance == provenance_mode::required ? ch::believed(t, d.columns) : ch::belief{};
  const auto window = ch::smallest_window(t, &d.dead_letters);
  table_standing now;
  now.trust.there = belief.there;
  now.trust.not_there = belief.not_there;
  now.trust.merges = belief.there && t.family != ch::engine_family::plain;
  now.trust.replaces = belief.there && p.deletes == delete_policy::replacing;
  now.trust.split = !t.partition_key.empty();
  now.trust.dependent_views = !t.views.empty();
  const auto& settings = d.context->top.clickhouse.settings;
  const auto quorum = settings.find("insert_quorum");
  now.trust.quorum = quorum != settings.end() ? quorum->second != "0" : d.facts.profile_wants_quorum;
  now.trust.plain_merge_tree = !t.replicated;
  constexpr std::int64_t year_s = 366 * 86'400;
  now.window_ms = std::min<std::int64_t>(window.seconds, year_s) * 1000;
  now.window_ids = window.inserts;
  return now;
}

// Each of several servers has views of its own, and a batch may go to any of them: the strictest counts.
table_standing strictest(table_standing a, const table_standing& b) {
  a.trust.dependent_views |= b.trust.dependent_views;
  a.window_ms = std::min(a.window_ms, b.window_ms);
  a.window_ids = std::min(a.window_ids, b.window_ids);
  return a;
}

// After a failure the worker asks another of the servers the next time: the same worker may well get the same job.
template <class R> R elsewhere_next(worker_tools& tools, R r) {
  if (!r.ok()) tools.next_url();
  return r;
}

// What was written into one server's would be asked of another's, and sent again.
result<void> same_own_table(const std::string& url, const ch::table_description& there, std::uint64_t identity) {
  if (ch::destination_identity(there) == identity) return {};
  const auto name = ch::table_name(there.database, there.table);
  return error{"clickhouse",
               name + " at " + url +
                   " is another table than on the other servers of clickhouse.url, not a replica of it",
               "make it replicated, as the destination is: while no pipeline runs, rename it on each server (RENAME "
               "TABLE), let chute make it anew, and carry its rows over (INSERT INTO … SELECT)"};
}

// On a server that is not the one that was opened: tables that are replicated by hand are made on each.
// `other`: one of them is there, and is another one.
result<void> ensure_own_tables(const destination::impl& d, ch::session& s, const ch::table_description& there,
                               std::int64_t limit_ms, bool& other) {
  const auto dead =
      ch::ensure_dead_letter_table(s, d.facts, there, d.dead_letter_database, d.dead_letter_table, d.exact(), limit_ms);
  if (!dead.ok()) return dead.failure();
  const auto starts = ch::ensure_starts_table(s, d.facts, there, d.starts.database, d.starts.table, limit_ms);
  if (!starts.ok()) return starts.failure();
  other = true;
  if (auto r = same_own_table(s.url(), *dead, d.dead_letters_identity); !r.ok()) return r;
  if (auto r = same_own_table(s.url(), *starts, d.starts_identity); !r.ok()) return r;
  other = false;
  return {};
}

result<void> choose_dead_letter_settings(destination::impl& d, ch::session& s, const ch::storage& dead) {
  const auto& wanted = d.context->top.clickhouse.settings;
  std::optional<std::uint64_t> replicas;
  if (dead.replicated && (wanted.contains("insert_quorum") || d.facts.profile_wants_quorum)) {
    auto n = ch::replicas_of(s, dead, d.question_ms());
    if (!n.ok()) return n.failure();
    if (*n > 0) replicas = *n;
  }
  d.dead_letter_settings = ch::dead_letter_settings(wanted, d.facts.profile_wants_quorum, replicas);
  if (d.dead_letter_settings != wanted)
    d.context->log->warn("pipeline {}: {} has {} replicas, fewer than insert_quorum wants: dead letters are inserted "
                         "without it; make the table on the other servers too",
                         d.context->config.name, ch::table_name(d.dead_letter_database, d.dead_letter_table),
                         *replicas);
  return {};
}

// Several URLs are replicas of one table. Whoever were to insert into, or to ask, a server with another table of this
// name would divide the records among them, and take what is on the other one for not there.
error not_replicas(const destination::impl& d, const std::string& url) {
  return {"clickhouse",
          "table " + ch::table_name(d.database, d.table) + " at " + url +
              " is another table than on the other servers of clickhouse.url, not a replica of it",
          "name the servers of one replicated table, or one server"};
}

result<void> same_table(destination::impl& d, worker_tools& tools, std::uint64_t identity) {
  auto bit = std::uint64_t{1} << tools.url();
  if (d.same_at & bit) return {};
  const auto& url = d.context->top.clickhouse.urls[tools.url()];
  auto there = ch::describe(tools.http(), d.facts, d.database, d.table, d.question_ms());
  if (!there.ok()) return there.failure();
  if (!there->exists)
    return error{"clickhouse", "table " + ch::table_name(d.database, d.table) + " does not exist at " + url,
                 "create the replica there, or take the server from clickhouse.url"};
  if (ch::destination_identity(*there) != identity) return not_replicas(d, url);
  bool other = false;
  if (auto r = ensure_own_tables(d, tools.http(), *there, d.question_ms(), other); !r.ok()) return r.failure();
  d.same_at |= bit;
  return {};
}

// Those that are not counted yet.
result<std::vector<counted_table>> new_targets(destination::impl& d, worker_tools& tools,
                                               const ch::table_description& t) {
  std::vector<counted_table> out;
  const auto known = d.counted_now();
  for (const auto& v : t.views) {
    const auto same = [&](const counted_table& c) {
      return c.of.database == v.target.database && c.of.table == v.target.table && c.of.uuid == v.target.uuid;
    };
    if (std::any_of(known.begin(), known.end(), same) || std::any_of(out.begin(), out.end(), same)) continue;
    const auto n = ch::block_numbers(tools.http(), v.target, d.question_ms());
    if (!n.ok()) return n.failure();
    out.push_back({v.target, *n});
  }
  return out;
}

// The table as it is now. Views, TTLs and deletes may have come while it was not looked at.
result<void> read_standing(destination::impl& d, worker_tools& tools, std::uint64_t identity) {
  std::lock_guard one(d.reading);
  if (!d.standing_is_old() && !d.suspect) return {}; // another has read it meanwhile
  const std::uint64_t failed = d.failed;             // before it is read: what fails meanwhile is looked at again
  const auto name = ch::table_name(d.database, d.table);
  const auto now = ch::describe(tools.http(), d.facts, d.database, d.table, d.question_ms());
  if (!now.ok()) return now.failure();
  if (!now->exists) return error{"clickhouse", "table " + name + " does not exist", "create it; the pipeline waits"};
  if (ch::destination_identity(*now) != identity) {
    d.suspect = true;
    return error{"clickhouse", "table " + name + " was made anew", anew_way_out(d)};
  }
  bool lasting = false;
  if (auto r = refuse_without_window(d, *now, d.dead_letters, lasting); !r.ok()) return r.failure();
  auto targets = new_targets(d, tools, *now);
  if (!targets.ok()) return targets.failure();
  const auto standing = standing_of(d, *now);
  std::lock_guard hold(d.lock);
  d.standing = d.context->top.clickhouse.urls.size() > 1 ? strictest(standing, d.standing) : standing;
  d.counted.insert(d.counted.end(), targets->begin(), targets->end());
  d.read_at = mono_now();
  d.read_after = failed;
  d.suspect = false;
  return {};
}

// At the start: of all servers that answer. One that does not is looked at before it is first used.
result<void> compare_servers(destination::impl& d, worker_tools& tools, std::uint64_t identity, bool& fatal) {
  constexpr std::int64_t limit_ms = 3'000;
  d.same_at |= std::uint64_t{1} << tools.url();
  auto servers = tools.all_servers();
  for (std::size_t i = 0; i < servers.size(); ++i) {
    if (i == tools.url()) continue;
    auto there = ch::describe(*servers[i], d.facts, d.database, d.table, std::min(limit_ms, d.question_ms()));
    if (!there.ok() || !there->exists) continue;
    if (ch::destination_identity(*there) != identity)
      return fatal = true, not_replicas(d, d.context->top.clickhouse.urls[i]);
    bool other = false;
    if (auto r = ensure_own_tables(d, *servers[i], *there, d.question_ms(), other); !r.ok()) {
      if (other) return fatal = true, r.failure();
      d.context->log->warn("pipeline {}: {} is left out until it has chute's own tables: {}", d.context->config.name,
                           d.context->top.clickhouse.urls[i], r.failure().text());
      continue;
    }
    d.same_at |= std::uint64_t{1} << i;
  }
  return {};
}

} // namespace

namespace {

result<std::shared_ptr<destination>> open_here(worker_tools& tools, const context_ptr& context,
                                               const std::string& topic, bool& fatal) {
  auto d = std::make_shared<destination::impl>();
  d->context = context;
  d->topic = topic;
  const auto& p = context->config;
  auto limit = d->question_ms();
  std::tie(d->database, d->table) = split_name(p.table, p.database);
  d->table = table_for(d->table, topic); // whose name may hold dots
  std::tie(d->dead_letter_database, d->dead_letter_table) = split_name(p.dead_letter_table, p.database);
  auto& s = tools.http();
  const auto asked = mono_now();
  auto facts = ch::read_facts(s, limit);
  if (!facts.ok()) return facts.failure();
  d->facts = *facts;
  d->known = d->facts;
  context->clock->set(d->facts.clock.now_ms, asked, mono_now());
  for (const auto& pin : ch::pinned_settings())
    if (pin.need == ch::pinned_setting::necessity::essential && !d->facts.knows(pin.name) && d->exact()) {
      fatal = true;
      return error{"clickhouse",
                   std::string("the server (") + d->facts.version + ") does not know the setting " + pin.name,
                   pin.without_it};
    }
  auto table = ch::describe(s, d->facts, d->database, d->table, limit);
  if (!table.ok()) return table.failure();
  if (!table->exists)
    return error{"clickhouse", "table " + ch::table_name(d->database, d->table) + " does not exist",
                 "create it; the pipeline waits"};
  d->described = *table;
  d->columns_seen = ch::columns_hash(table->columns);
  auto targets = targets_of(d->described, d->facts, p);
  if (!targets.ok()) return fatal = true, targets.failure();
  if (auto r = can_encode(p.encoding, *targets); !r.ok()) return fatal = true, r.failure();
  if (auto r = fill_defaults(s, *targets, zone_of(d->facts), limit, fatal); !r.ok()) return r.failure();
  if (auto r = refuse_unfit_changes(*d, d->described, *targets, fatal); !r.ok()) return r.failure();
  d->columns = provenance_of(*targets);
  if (auto r = refuse_without_provenance(*d, d->columns, fatal); !r.ok()) return r.failure();
  d->has_provenance = !d->columns.topic.empty() && !d->columns.partition.empty() && !d->columns.offset.empty();
  auto dead = ch::ensure_dead_letter_table(s, d->facts, d->described, d->dead_letter_database, d->dead_letter_table,
                                           d->exact(), limit);
  if (!dead.ok()) return dead.failure();
  d->dead_letters_replicated = dead->replicated;
  d->dead_letters_identity = ch::destination_identity(*dead);
  if (auto r = choose_dead_letter_settings(*d, s, *dead); !r.ok()) return r.failure();
  d->dead_letters = *dead;
  d->starts.database = p.database;
  auto starts = ch::ensure_starts_table(s, d->facts, d->described, d->starts.database, d->starts.table, limit);
  if (!starts.ok()) return starts.failure();
  d->starts.replicated = starts->replicated;
  d->starts_identity = ch::destination_identity(*starts);
  if (auto r = refuse_without_window(*d, d->described, *dead, fatal); !r.ok()) return r.failure();

  auto out = std::make_shared<destination>(d);
  out->topic = topic;
  out->table_name = d->database + "." + d->table;
  out->identity = ch::destination_identity(d->described);
  if (auto r = compare_servers(*d, tools, out->identity, fatal); !r.ok()) return r.failure();
  warn_of_partitions(*d, d->described, *targets);
  out->spec = make_spec(d->facts, context, topic, *std::move(targets), 1);
  d->spec_is(out->spec);
  d->standing = standing_of(*d, d->described);
  d->counted = {{d->described}, {d->dead_letters}};
  for (const auto& v : d->described.views) d->counted.push_back({v.target});
  d->read_at = mono_now();
  return out;
}

} // namespace

result<std::shared_ptr<destination>> destination::open(worker_tools& tools, context_ptr context,
                                                       const std::string& topic, bool& fatal) {
  return elsewhere_next(tools, open_here(tools, context, topic, fatal));
}

table_standing destination::standing() const { return impl_->standing_now(); }

result<decoder_spec_ptr> destination::describe_again(worker_tools& tools) {
  auto& d = *impl_;
  std::lock_guard one(d.describing);
  auto table = elsewhere_next(tools, ch::describe(tools.http(), d.facts, d.database, d.table, d.question_ms()));
  if (!table.ok()) return table.failure();
  auto name = ch::table_name(d.database, d.table);
  if (!table->exists) return error{"clickhouse", "table " + name + " does not exist", "create it; the pipeline waits"};
  if (ch::destination_identity(*table) != identity) {
    d.suspect = true;
    return error{"clickhouse", "table " + name + " was made anew", anew_way_out(d)};
  }
  auto targets = targets_of(*table, d.facts, d.context->config);
  if (!targets.ok()) return targets.failure();
  // Any other column that is gone is one that records no longer fill.
  const auto provenance = provenance_of(*targets);
  for (auto column :
       {&ch::provenance_columns::topic, &ch::provenance_columns::partition, &ch::provenance_columns::offset})
    if (provenance.*column != d.columns.*column)
      return error{"clickhouse",
                   "column " + d.columns.*column + " of " + name +
                       ", by which recovery finds out what landed, is gone or filled by something else; records are "
                       "held until it is back",
                   "add it again, or restart chute to go on with another one"};
  bool unfit = false;
  if (auto r = refuse_unfit_changes(d, *table, *targets, unfit); !r.ok()) return r.failure();
  if (auto r = can_encode(d.context->config.encoding, *targets); !r.ok()) return r.failure();
  bool lasting = false;
  if (auto r = fill_defaults(tools.http(), *targets, zone_of(d.facts), d.question_ms(), lasting); !r.ok())
    return r.failure();
  decoder_spec_ptr spec = make_spec(d.facts, d.context, d.topic, *std::move(targets), ++d.generation);
  if (const auto before = d.spec_now(); spec->fingerprint == before->fingerprint) spec = before;
  d.spec_is(spec); // whoever finds the columns to be those that were seen compares with it
  d.columns_seen = ch::columns_hash(table->columns);
  return spec;
}

result<decoder_spec_ptr> destination::add_columns(worker_tools& tools, const std::vector<new_field>& fields) {
  constexpr std::size_t columns_max = 1'000; // a field's name may be anything, but not any number of things
  auto& d = *impl_;
  const auto now =
      elsewhere_next(tools, ch::describe_columns(tools.http(), d.facts, d.database, d.table, d.question_ms()));
  if (!now.ok()) return now.failure();
  auto count = now->size();
  std::string what, names;
  for (const auto& f : fields) {
    const bool there = std::any_of(now->begin(), now->end(), [&](const auto& c) { return c.name == f.name; });
    if (there || count++ >= columns_max) continue;
    what += std::string(what.empty() ? "" : ", ") + "ADD COLUMN IF NOT EXISTS " + ch::quote_name(f.name) + " " + f.type;
    names += std::string(names.empty() ? "" : ", ") + f.name + " " + f.type;
  }
  const auto& cluster = d.context->top.clickhouse.cluster;
  const auto name = ch::table_name(d.database, d.table);
  if (!what.empty()) {
    const auto on = cluster.empty() ? std::string() : " ON CLUSTER " + ch::quote_name(cluster);
    const auto done = ch::run(tools.http(), "ALTER TABLE " + name + on + " " + what, d.question_ms());
    if (!done.ok) return ch::query_error(tools.http(), "adding columns to " + name, done);
    d.context->log->info("pipeline {}: added to {} for new fields: {}", d.context->config.name, name, names);
  }
  return describe_again(tools);
}

namespace {
// Whether another table has the name by now, on the server that is asked: one that was exchanged for it, or made anew
// between two batches. No inserts fail for that if its columns are the same. No answer, or no table, says nothing; and
// a server that was not looked at yet is looked at before anything is sent to it.
bool is_another_table(destination::impl& d, worker_tools& tools, std::uint64_t identity) {
  const auto bit = std::uint64_t{1} << tools.url();
  if (d.suspect || !(d.same_at & bit)) return false; // it is looked at before the next batch
  const auto now = ch::identity_now(tools.http(), d.facts, d.database, d.table, d.question_ms());
  if (!now.ok() || *now == 0 || *now == identity) return false;
  // Another server may have the table still, and would end the suspicion.
  if (d.context->top.clickhouse.urls.size() > 1) d.same_at &= ~bit;
  d.suspect = true;
  return true;
}
} // namespace

result<bool> destination::columns_differ(worker_tools& tools) {
  auto& d = *impl_;
  if (is_another_table(d, tools, identity)) return true;
  const auto now =
      elsewhere_next(tools, ch::describe_columns(tools.http(), d.facts, d.database, d.table, d.question_ms()));
  if (!now.ok()) return now.failure();
  return ch::columns_hash(*now) != d.columns_seen;
}

// --- inserting -------------------------------------------------------------------------------------------------------

namespace {

// After "no such table", and on a server that was never spoken to: another table under the same name must not be
// filled.
std::optional<insert_answer> refuse_another_table(destination::impl& d, std::uint64_t identity, worker_tools& tools) {
  if (d.suspect)
    if (const auto now = elsewhere_next(tools, read_standing(d, tools, identity)); !now.ok())
      return not_sent(now.failure().text(), insert_answer::verdict::wait_person);
  const auto same = elsewhere_next(tools, same_table(d, tools, identity));
  return same.ok() ? std::nullopt : std::optional(not_sent(same.failure().text(), insert_answer::verdict::wait_person));
}

// A batch that is sent again must be known again by all that it runs through. Where the table was just asked, it was
// described then.
std::optional<insert_answer> refuse_unknown_again(destination::impl& d, std::uint64_t identity, worker_tools& tools) {
  if (!d.exact() || !d.standing_is_old()) return {};
  const auto now = elsewhere_next(tools, read_standing(d, tools, identity));
  return now.ok() ? std::nullopt : std::optional(not_sent(now.failure().text(), insert_answer::verdict::wait_person));
}

void note(destination::impl& d, worker_tools& tools, const insert_answer& a) {
  constexpr int unknown_table = 60, unknown_database = 81;
  if (a.code == unknown_table || a.code == unknown_database) d.suspect = true;
  if (a.what != insert_answer::verdict::acknowledged && !a.never_sent && !(a.answered && a.before_write)) ++d.failed;
  if (a.what == insert_answer::verdict::retry && !a.answered) tools.next_url();
}

} // namespace

namespace {
// The earliest moment at which the server can have started, on its clock: uptime counts whole seconds.
wall_ms start_of(const ch::server_clock& c) { return c.now_ms - (c.uptime_s + 1) * 1000; }
} // namespace

std::optional<insert_answer> destination::restarted(worker_tools& tools, wall_ms before) {
  auto clock = ch::read_clock(tools.http(), impl_->question_ms());
  if (!clock.ok()) {
    tools.next_url();
    return not_sent(clock.failure().text());
  }
  if (start_of(*clock) + server_start_unsure_ms <= before) return {};
  auto no = not_sent("the server was restarted since the batch was sent first");
  no.server_started_ms = start_of(*clock);
  return no;
}

namespace {
// A view may have been made since: it is run through when the table has the rows already.
void doubt_for_views(const destination::impl& d, worker_tools& tools, const std::string& database,
                     const std::string& table, insert_answer& answer) {
  if (!answer.before_write || answer.before_views) return;
  auto views = ch::has_views(tools.http(), database, table, d.question_ms());
  for (int tries = 1; tries < 3 && !views.ok(); ++tries)
    views = ch::has_views(tools.http(), database, table, d.question_ms());
  if (!views.ok() || *views) answer.before_write = false;
}
} // namespace

insert_answer destination::insert_rows(worker_tools& tools, const fx_insert& fx, std::function<bool()> lease_holds) {
  auto& d = *impl_;
  const auto& b = *fx.what;
  using v = insert_answer::verdict;
  if (auto no = refuse_another_table(d, identity, tools)) return *no;
  if (fx.again)
    if (auto no = refuse_unknown_again(d, identity, tools)) return *no;
  row_counter count;
  auto rows = rows_of(b, count);
  const auto& p = d.context->config;
  auto encoded = p.format == "passthrough" ? encode_passthrough(p.passthrough, rows)
                                           : encode(p.encoding, rows, d.spec_now()->targets);
  if (!encoded.ok()) throw std::runtime_error(encoded.failure().text());
  ch::insert_request r;
  r.database = d.database;
  r.table = d.table;
  r.columns = encoded->columns;
  r.format = encoded->format;
  r.pieces = encoded->pieces;
  if (d.exact()) r.token = b.token.hex();
  r.settings = d.context->top.clickhouse.settings;
  for (const auto& [name, value] : encoded->settings)
    if (d.facts.knows(name)) r.settings[name] = value;
  r.limit_ms = d.context->top.clickhouse.insert_limit_ms;
  r.lease = std::move(lease_holds);
  r.context = {fx.refreshed, d.standing_now().trust.dependent_views, p.format == "passthrough",
               !d.described.partition_key.empty()};
  auto answer = ch::insert(tools.http(), d.known, r);
  doubt_for_views(d, tools, d.database, d.table, answer);
  // The columns may have changed again since they were described: then it is not the rows that are to blame.
  if (answer.what == v::rejected_data) {
    const auto differ = columns_differ(tools);
    if (!differ.ok()) {
      answer.what = v::retry;
      answer.message += "; whether the table's columns changed meanwhile is not known: " + differ.failure().text();
    } else if (*differ || fx.made_for != d.spec_now()->fingerprint) answer.what = v::columns_changed;
  }
  note(d, tools, answer);
  return answer;
}

namespace {

// A record that ClickHouse rejected is read again: its columns are there, its bytes are not.
struct raw_record {
  std::optional<dead_letter> letter;
  std::string failure; // else
  bool gone = false;   // the log has it no more
};

dead_letter letter_of(const kafka::raw_batch& raw, const record_view& r, partition_id partition,
                      const std::string& why) {
  dead_letter out{partition, r.offset, r.timestamp_ms, {}, {}, {}, why};
  if (r.key) out.key = std::string(*r.key);
  if (r.value) out.value = std::string(*r.value);
  std::vector<header_view> headers;
  raw.headers(r, headers);
  for (const auto& h : headers)
    out.headers.emplace_back(std::string(h.name), h.value ? std::optional<std::string>(*h.value) : std::nullopt);
  return out;
}

raw_record read_raw(const pipeline_context& context, const std::string& topic, partition_id partition, offset_t offset,
                    std::uint64_t hash, const std::string& why) {
  constexpr auto limit = std::chrono::seconds(30);
  const auto no = [](std::string failure, bool gone = false) { return raw_record{{}, std::move(failure), gone}; };
  std::mutex lock;
  std::condition_variable wake;
  bool woken = false;
  kafka::fetch_options options;
  options.client = context.kafka_client();
  options.buffer_bytes = 8 << 20;
  auto fetcher = kafka::fetcher::open(options);
  if (!fetcher.ok()) return no(fetcher.failure().text());
  auto stream = (*fetcher)->open_stream({topic, partition}, [&] {
    std::lock_guard hold(lock);
    woken = true;
    wake.notify_all();
  });
  if (!stream.ok()) return no(stream.failure().text());
  if (auto r = (*stream)->start(offset); !r.ok()) return no(r.failure().text());
  auto until = std::chrono::steady_clock::now() + limit;
  for (;;) {
    auto raw = (*stream)->take(1, 1);
    for (const auto& r : raw.records) {
      if (r.offset != offset) break;
      if (record_hash(r.timestamp_ms, r.key, r.value) != hash) return no("the log has another record there now", true);
      return {letter_of(raw, r, partition, why), {}, false};
    }
    if (raw.last >= offset) return no("the record is no longer in the log", true);
    if (raw.failure) return no(raw.failure->why.text(), raw.failure->what == kafka::stream_error::kind::out_of_range);
    std::unique_lock hold(lock);
    if (!wake.wait_until(hold, until, [&] { return woken; })) return no("Kafka did not answer");
    woken = false;
  }
}

} // namespace

insert_answer destination::insert_dead_letters(worker_tools& tools, const batch& b, std::function<bool()> lease_holds) {
  auto& d = *impl_;
  if (auto no = refuse_another_table(d, identity, tools)) return *no;
  std::vector<const dead_letter*> letters;
  std::deque<dead_letter> own;
  for (const auto& r : b.ranges) {
    if (b.as == plan_as::dead_letter) {
      for (auto k = r.first; k < r.first + r.count; ++k) {
        auto raw = read_raw(*d.context, d.topic, r.from->partition, {r.from->offsets[k]}, r.from->hashes[k], b.reason);
        if (!raw.letter) {
          auto no = not_sent("a rejected record could not be read again from Kafka: " + raw.failure);
          no.record_gone = raw.gone;
          return no;
        }
        own.push_back(*std::move(raw.letter));
        letters.push_back(&own.back());
      }
      continue;
    }
    const offset_t from{r.from->offsets[r.first]}, to{r.from->offsets[r.first + r.count - 1]};
    const auto& dead = r.from->dead; // in order; a fill has many ranges
    auto l = std::lower_bound(dead.begin(), dead.end(), from, [](const auto& d, offset_t o) { return d.offset < o; });
    for (; l != dead.end() && l->offset <= to; ++l) letters.push_back(&*l);
  }
  ch::dead_letter_insert r;
  r.database = d.dead_letter_database;
  r.table = d.dead_letter_table;
  r.pipeline = d.context->config.name;
  r.topic = d.topic;
  r.letters = letters;
  r.failed_at_ms = b.since;
  r.settings = d.dead_letter_settings; // as durable as the rows, where that can be
  if (d.exact()) r.token = b.token.hex();
  r.limit_ms = d.context->top.clickhouse.insert_limit_ms;
  r.lease = std::move(lease_holds);
  auto answer = ch::insert_dead_letters(tools.http(), d.facts, r);
  // The rows of ours cannot be to blame, nor the columns: somebody changed the dead-letter table.
  using v = insert_answer::verdict;
  if (answer.what == v::rejected_data || answer.what == v::columns_changed) answer.what = v::wait_person;
  doubt_for_views(d, tools, d.dead_letter_database, d.dead_letter_table, answer);
  if (answer.what == v::retry && !answer.answered) tools.next_url();
  return answer;
}

// --- asking ----------------------------------------------------------------------------------------------------------

namespace {
ch::question question_of(const destination::impl& d, std::vector<offset_range> ranges) {
  ch::question q;
  q.database = d.database;
  q.table = d.table;
  q.columns = d.columns;
  q.topic = d.topic;
  q.ranges = std::move(ranges);
  q.dead_letters = ch::dead_letter_place{d.dead_letter_database, d.dead_letter_table, d.context->config.name,
                                         d.dead_letters_replicated};
  q.replicated = d.described.replicated;
  q.limit_ms = d.question_ms();
  return q;
}
} // namespace

namespace {
// Every repetition asks this: a server that does not tell is not waited for, nor asked again for a while.
ch::token_answer running_still(destination::impl& d, worker_tools& tools, const token_t& token) {
  constexpr std::int64_t limit_ms = 2'000;
  ch::token_answer out{ch::token_answer::state::not_running, {}, true};
  const auto servers = tools.all_servers();
  for (auto* s : servers) {
    if (servers.size() > 1 && d.is_silent(s->url())) continue; // the only one is asked other things next
    out = ch::token_running({&s, 1}, token, std::min(limit_ms, d.question_ms()));
    if (out.is == ch::token_answer::state::running) return out;
    if (out.is == ch::token_answer::state::unknown) d.is_silent_now(s->url());
  }
  return out;
}
} // namespace

table_answer destination::ask(worker_tools& tools, const fx_ask& fx, bool& token_running) {
  auto& d = *impl_;
  token_running = false;
  table_answer out;
  std::string runs;
  if (fx.still) {
    auto r = running_still(d, tools, *fx.still);
    token_running = r.is == ch::token_answer::state::running;
    if (token_running) { // what the table holds does not matter yet
      out.answered = true;
      out.why = std::move(r.why);
      out.blocks = count_blocks(tools);
      return out;
    }
  }
  if (fx.running) {
    auto servers = tools.all_servers();
    const auto asked = mono_now();
    auto r = ch::token_running(servers, *fx.running, d.question_ms());
    if (r.all_answered) d.context->answering->heard(asked, mono_now());
    out.all_answer = d.context->answering->times();
    token_running = r.is == ch::token_answer::state::running;
    if (r.is == ch::token_answer::state::unknown) {
      out.why = r.why;
      return out;
    }
    runs = std::move(r.why);
  }
  const auto asked = mono_now();
  auto clock = ch::read_clock(tools.http(), d.question_ms());
  const auto answered = mono_now();
  if (!clock.ok()) {
    tools.next_url();
    out.why = clock.failure().text();
    return out;
  }
  if (auto same = same_table(d, tools, identity); !same.ok()) {
    tools.next_url();
    out.why = same.failure().text();
    return out;
  }
  d.context->clock->set(clock->now_ms, asked, answered);
  if (!fx.ranges.empty() && d.standing_is_old())
    if (auto now = read_standing(d, tools, identity); !now.ok()) {
      tools.next_url();
      out.why = now.failure().text();
      return out;
    }
  if (!fx.ranges.empty()) {
    auto q = question_of(d, fx.ranges);
    q.settled = fx.settled;
    q.list = fx.list;
    out = ch::ask(tools.http(), d.facts, q);
    if (!out.answered) tools.next_url();
  } else out.answered = true;
  if (token_running && out.answered) out.why = runs;
  out.blocks = count_blocks(tools);
  out.server_started_ms = start_of(*clock);
  out.now = d.standing_now();
  return out;
}

namespace {

result<std::vector<std::optional<offset_t>>> highest_here(const destination::impl& d, worker_tools& tools,
                                                          const std::vector<partition_id>& partitions) {
  std::vector<offset_range> all;
  for (auto p : partitions) all.push_back({p, {0}, {INT64_MAX}});
  auto q = question_of(d, all);
  std::string caught_up, who;
  for (const auto& [replicated, database, table] :
       {std::tuple{q.replicated, d.database, d.table},
        std::tuple{d.dead_letters_replicated, d.dead_letter_database, d.dead_letter_table}}) {
    if (!replicated) continue;
    auto a = ch::sync_replica(tools.http(), database, table, q.limit_ms);
    if (!a.ok) return error{"clickhouse", "the replica did not catch up: " + a.text, "try again"};
    caught_up = a.server;
  }
  auto out = ch::highest_offsets(tools.http(), q, ch::reading_settings(d.facts, q.replicated), &who);
  if (out.ok() && !caught_up.empty() && who != caught_up)
    return error{"clickhouse", "the answer came from " + who + ", not from " + caught_up + ", which had caught up",
                 "try again"};
  return out;
}

} // namespace

result<std::vector<std::optional<offset_t>>> destination::highest(worker_tools& tools,
                                                                  const std::vector<partition_id>& partitions) {
  if (auto same = elsewhere_next(tools, same_table(*impl_, tools, identity)); !same.ok()) return same.failure();
  return elsewhere_next(tools, highest_here(*impl_, tools, partitions));
}

block_sum destination::count_blocks(worker_tools& tools) {
  auto& d = *impl_;
  block_sum sum{1, 0}; // 0 says: not known
  for (const auto& t : d.counted_now()) {
    const auto n = elsewhere_next(tools, ch::block_numbers(tools.http(), t.of, d.question_ms()));
    if (!n.ok()) return {};
    sum.all += *n;
    sum.late += t.late;
  }
  return sum;
}

namespace {
ch::start_key key_of(const destination::impl& d) {
  return {d.context->cluster_id, d.context->config.group, d.context->config.name, d.topic};
}
topic_start convert(const ch::started& s) { return {s.known, s.lanes, s.from, {s.begun.begin(), s.begun.end()}}; }
} // namespace

result<topic_start> destination::read_start(worker_tools& tools) {
  auto& d = *impl_;
  auto r = elsewhere_next(tools, ch::read_starts(tools.http(), d.facts, d.starts, key_of(d), d.question_ms()));
  if (!r.ok()) return r.failure();
  return convert(*r);
}

result<std::string> destination::began_elsewhere(worker_tools& tools, const std::vector<partition_id>& partitions) {
  auto& d = *impl_;
  const auto clusters =
      elsewhere_next(tools, ch::read_other_clusters(tools.http(), d.facts, d.starts, key_of(d), d.question_ms()));
  if (!clusters.ok()) return clusters.failure();
  if (clusters->empty()) return std::string();
  if (!standing().trust.there) return clusters->front();
  constexpr std::size_t at_once = 500; // partitions: each is a term of the question
  for (std::size_t i = 0; i < partitions.size(); i += at_once) {
    const auto from = partitions.begin() + static_cast<std::ptrdiff_t>(i);
    const auto n = std::min(at_once, partitions.size() - i);
    const auto there = highest(tools, {from, from + static_cast<std::ptrdiff_t>(n)});
    if (!there.ok()) return there.failure();
    if (std::any_of(there->begin(), there->end(), [](const auto& h) { return h.has_value(); }))
      return clusters->front();
  }
  return std::string();
}

result<void> destination::write_start(worker_tools& tools, std::int32_t lanes, const std::vector<offset_t>& from) {
  auto& d = *impl_;
  auto r = elsewhere_next(tools, ch::write_start(tools.http(), d.facts, d.starts, key_of(d), lanes, from,
                                                 d.context->clock->now().server, d.question_ms()));
  if (!r.ok()) return r.failure();
  return {};
}

namespace {
ch::start_key pattern_key(const destination::impl& d) {
  auto key = key_of(d);
  key.topic = d.context->config.topics.front();
  return key;
}
} // namespace

result<bool> destination::pattern_begun(worker_tools& tools) {
  auto& d = *impl_;
  auto r = elsewhere_next(tools, ch::read_starts(tools.http(), d.facts, d.starts, pattern_key(d), d.question_ms()));
  if (!r.ok()) return r.failure();
  return r->known;
}

result<void> destination::note_pattern(worker_tools& tools) {
  auto& d = *impl_;
  auto r = elsewhere_next(tools, ch::write_start(tools.http(), d.facts, d.starts, pattern_key(d), 1, {{0}},
                                                 d.context->clock->now().server, d.question_ms()));
  if (!r.ok()) return r.failure();
  return {};
}

result<void> destination::mark_lane(worker_tools& tools, lane_id lane) {
  auto& d = *impl_;
  return elsewhere_next(tools, ch::mark_lane(tools.http(), d.facts, d.starts, key_of(d), lane,
                                             d.context->clock->now().server, d.question_ms()));
}

} // namespace chute
