#include "clickhouse/tables.hpp"

#include <algorithm>
#include <charconv>
#include <deque>
#include <limits>
#include <map>
#include <xxhash.h>

namespace chute::clickhouse {
namespace {

constexpr std::string_view nil_uuid = "00000000-0000-0000-0000-000000000000";
constexpr std::int64_t no_limit = std::numeric_limits<std::int64_t>::max();

std::int64_t to_int(const std::string& s, std::int64_t otherwise = 0) {
  std::int64_t v = otherwise;
  std::from_chars(s.data(), s.data() + s.size(), v);
  return v;
}

error short_reply(const session& s, const std::string& what) {
  return {"clickhouse " + s.url(), what + ": the reply does not have the form that was asked for",
          "is this address a ClickHouse server's HTTP interface?"};
}

bool has_form(const query_answer& a, std::size_t rows_least, std::size_t fields) {
  return a.rows.size() >= rows_least &&
         std::all_of(a.rows.begin(), a.rows.end(), [&](const auto& r) { return r.size() == fields; });
}

// Asks, and checks that every row has so many fields.
result<tsv_rows> ask_rows(session& s, const std::string& what, const std::string& sql, std::size_t rows_least,
                          std::size_t fields, std::int64_t limit_ms, const settings_map& settings = {}) {
  auto a = run(s, sql, limit_ms, settings);
  if (!a.ok) return query_error(s, what, a);
  if (!has_form(a, rows_least, fields)) return short_reply(s, what);
  return std::move(a.rows);
}

std::string where_table(std::string_view database, std::string_view table) {
  return "database = " + quote_text(database) + " AND table = " + quote_text(table);
}

engine_family family_of(std::string_view engine) {
  for (std::string_view prefix : {"Replicated", "Shared"})
    if (engine.starts_with(prefix)) engine.remove_prefix(prefix.size());
  if (engine == "MergeTree") return engine_family::plain;
  if (engine == "ReplacingMergeTree") return engine_family::replacing;
  if (engine == "CollapsingMergeTree" || engine == "VersionedCollapsingMergeTree") return engine_family::collapsing;
  if (engine.ends_with("MergeTree")) return engine_family::merging;
  if (engine == "Distributed") return engine_family::distributed;
  if (engine.ends_with("View")) return engine_family::view;
  if (engine == "Null") return engine_family::null;
  return engine_family::other;
}

void set_engine(storage& t, const std::string& engine) {
  t.engine = engine;
  t.family = family_of(engine);
  t.replicated = t.merge_tree() && (engine.starts_with("Replicated") || engine.starts_with("Shared"));
}

// The server's defaults for tables that set no window of their own.
struct window_defaults {
  std::map<std::string, std::int64_t> plain, replicated;
};

constexpr const char* window_settings = "('non_replicated_deduplication_window', 'replicated_deduplication_window', "
                                        "'replicated_deduplication_window_seconds')";

result<void> read_defaults(session& s, const char* table, std::map<std::string, std::int64_t>& out,
                           std::int64_t limit_ms) {
  auto rows = ask_rows(s, "reading the defaults of MergeTree tables",
                       std::string("SELECT name, value FROM system.") + table + " WHERE name IN " + window_settings, 0,
                       2, limit_ms);
  if (!rows) return rows.failure();
  for (const auto& r : *rows) out[r[0]] = to_int(r[1]);
  return {};
}

void set_window(storage& t, const engine_clauses& clauses, const window_defaults& defaults) {
  auto value = [&](const char* name) {
    if (auto own = clauses.settings.find(name); own != clauses.settings.end()) return to_int(own->second);
    const auto& from = t.replicated ? defaults.replicated : defaults.plain;
    auto set = from.find(name);
    return set == from.end() ? std::int64_t{0} : set->second;
  };
  if (!t.merge_tree()) return;
  t.window_inserts = static_cast<std::uint64_t>(std::max<std::int64_t>(
      0, value(t.replicated ? "replicated_deduplication_window" : "non_replicated_deduplication_window")));
  t.window_seconds = t.replicated ? value("replicated_deduplication_window_seconds") : no_limit;
}

// Reads the system tables about one storage after another; what does not change meanwhile is read once.
class reader {
public:
  reader(session& s, const server_facts& facts, std::int64_t limit_ms) : s_(s), facts_(facts), limit_ms_(limit_ms) {}

  // False: there is no such table.
  result<bool> storage_of(const qualified_name& name, storage& out) {
    out.database = name.database;
    out.table = name.table;
    auto rows = ask_rows(s_, "describing " + table_name(name.database, name.table),
                         "SELECT toString(uuid), engine, engine_full, partition_key, sorting_key FROM system.tables "
                         "WHERE database = " +
                             quote_text(name.database) + " AND name = " + quote_text(name.table),
                         0, 5, limit_ms_);
    if (!rows) return rows.failure();
    if (rows->empty()) return false;
    auto& r = rows->front();
    out.uuid = r[0];
    set_engine(out, r[1]);
    out.engine_full = r[2];
    out.partition_key = r[3];
    out.sorting_key = r[4];
    auto clauses = parse_engine(out.engine_full);
    out.rows_expire = std::any_of(clauses.ttl.begin(), clauses.ttl.end(), ttl_removes_rows);
    if (out.replicated)
      if (auto ok = keeper_of(out); !ok) return ok.failure();
    if (out.merge_tree()) {
      if (auto ok = load_defaults(out.replicated); !ok) return ok.failure();
      set_window(out, clauses, defaults_);
    }
    return true;
  }

  // As above, but only what destination_identity() reads.
  result<bool> identity_of(const qualified_name& name, storage& out) {
    out.database = name.database;
    out.table = name.table;
    auto rows =
        ask_rows(s_, "looking for " + table_name(name.database, name.table),
                 "SELECT toString(uuid), engine FROM system.tables WHERE database = " + quote_text(name.database) +
                     " AND name = " + quote_text(name.table),
                 0, 2, limit_ms_);
    if (!rows) return rows.failure();
    if (rows->empty()) return false;
    out.uuid = rows->front()[0];
    set_engine(out, rows->front()[1]);
    if (out.replicated)
      if (auto ok = keeper_of(out); !ok) return ok.failure();
    return true;
  }

  // Appends the views that an insert into `first` runs through.
  result<void> views_of(const qualified_name& first, table_description& out) {
    std::deque<qualified_name> sources{first};
    std::set<qualified_name> seen{first};
    for (; !sources.empty(); sources.pop_front()) {
      auto views = dependents(sources.front());
      if (!views) return views.failure();
      for (const auto& view : *views) {
        if (!seen.insert(view).second) continue;
        if (out.views.size() == views_max) {
          out.views_cut = true;
          return {};
        }
        auto d = view_of(view, sources.front());
        if (!d) return d.failure();
        qualified_name target{d->target.database, d->target.table};
        if (d->target_known && seen.insert(target).second) sources.push_back(target);
        out.views.push_back(std::move(*d));
      }
    }
    return {};
  }

private:
  result<void> load_defaults(bool replicated) {
    auto& out = replicated ? defaults_.replicated : defaults_.plain;
    if (!out.empty()) return {};
    bool separate = replicated && facts_.system_columns.contains("replicated_merge_tree_settings.name");
    return read_defaults(s_, separate ? "replicated_merge_tree_settings" : "merge_tree_settings", out, limit_ms_);
  }

  result<void> keeper_of(storage& t) {
    bool named = facts_.system_columns.contains("replicas.zookeeper_name");
    auto rows =
        ask_rows(s_, "reading the replication of " + table_name(t.database, t.table),
                 std::string("SELECT ") + (named ? "zookeeper_name" : "''") +
                     ", zookeeper_path, replica_name FROM system.replicas WHERE " + where_table(t.database, t.table),
                 0, 3, limit_ms_);
    if (!rows) return rows.failure();
    if (rows->empty() && t.engine.starts_with("Shared")) return {}; // all replicas share its UUID
    if (rows->empty())
      return error{"clickhouse " + s_.url(),
                   "the replication of " + table_name(t.database, t.table) + " cannot be seen in system.replicas",
                   "grant SELECT ON system.replicas and SHOW TABLES to the user"};
    t.keeper = rows->front()[0];
    t.keeper_path = rows->front()[1];
    t.replica = rows->front()[2];
    return {};
  }

  result<std::vector<qualified_name>> dependents(const qualified_name& of) {
    auto rows =
        ask_rows(s_, "reading the views of " + table_name(of.database, of.table),
                 "SELECT d, t FROM system.tables ARRAY JOIN dependencies_database AS d, dependencies_table AS t "
                 "WHERE database = " +
                     quote_text(of.database) + " AND name = " + quote_text(of.table),
                 0, 2, limit_ms_);
    if (!rows) return rows.failure();
    std::vector<qualified_name> out;
    for (auto& r : *rows) out.push_back({std::move(r[0]), std::move(r[1])});
    return out;
  }

  result<view_description> view_of(const qualified_name& view, const qualified_name& source) {
    bool tells_target = facts_.system_columns.contains("tables.target_table");
    auto rows = ask_rows(s_, "reading the view " + table_name(view.database, view.table),
                         std::string("SELECT create_table_query, toString(uuid), ") +
                             (tells_target ? "target_database, target_table" : "'', ''") +
                             " FROM system.tables WHERE database = " + quote_text(view.database) +
                             " AND name = " + quote_text(view.table),
                         0, 4, limit_ms_);
    if (!rows) return rows.failure();
    view_description d;
    d.view = view;
    d.source = source;
    if (rows->empty()) return d;
    const auto& r = rows->front();
    qualified_name target{r[2], r[3]};
    if (target.table.empty()) {
      auto parsed = parse_view_target(r[0], view.database);
      if (parsed) target = *parsed;
      else target = {view.database, r[1] == nil_uuid ? ".inner." + view.table : ".inner_id." + r[1]};
    }
    auto known = storage_of(target, d.target);
    if (!known) return known.failure();
    d.target_known = *known;
    return d;
  }

  session& s_;
  const server_facts& facts_;
  std::int64_t limit_ms_;
  window_defaults defaults_;
};

result<std::vector<column_description>> columns_of(session& s, const server_facts& facts, const std::string& database,
                                                   const std::string& table, std::int64_t limit_ms) {
  settings_map settings;
  if (facts.knows("print_pretty_type_names")) settings["print_pretty_type_names"] = "0"; // types on one line
  auto a = run(s, "DESCRIBE TABLE " + table_name(database, table), limit_ms, settings);
  if (!a.ok) return query_error(s, "describing the columns of " + table_name(database, table), a);
  std::vector<column_description> out;
  for (auto& r : a.rows) { // name, type, default_type, default_expression, comment, codec_expression, ttl_expression, …
    if (r.size() < 4) return short_reply(s, "describing the columns of " + table_name(database, table));
    std::string ttl = r.size() > 6 ? std::move(r[6]) : std::string();
    out.push_back({std::move(r[0]), std::move(r[1]), std::move(r[2]), std::move(r[3]), std::move(ttl)});
  }
  return out;
}

// As far as the server remembers: finished mutations are forgotten after a while, patches and masks while they last.
result<bool> deletes_of(session& s, const server_facts& facts, const storage& t, std::int64_t limit_ms) {
  if (!t.merge_tree()) return false;
  std::string masked = facts.system_columns.contains("parts.has_lightweight_delete") ? "has_lightweight_delete" : "0";
  auto where = where_table(t.database, t.table);
  auto rows = ask_rows(s, "looking for deletes in " + table_name(t.database, t.table),
                       "SELECT (SELECT count() FROM system.mutations WHERE " + where +
                           " AND (position(upper(command), 'DELETE') > 0 OR position(command, '_row_exists') > 0)), "
                           "(SELECT count() FROM system.parts WHERE " +
                           where + " AND active AND (" + masked + " OR startsWith(name, 'patch-')))",
                       1, 2, limit_ms);
  if (!rows) return rows.failure();
  return rows->front()[0] != "0" || rows->front()[1] != "0";
}

result<void> read_names(session& s, server_facts& facts, std::int64_t limit_ms) {
  auto settings = ask_rows(s, "reading the server's settings",
                           "SELECT name, if(name = 'insert_quorum', value, '') FROM system.settings", 1, 2, limit_ms);
  if (!settings) return settings.failure();
  for (auto& r : *settings) {
    if (r[0] == "insert_quorum") facts.profile_wants_quorum = r[1] != "0";
    facts.settings.insert(std::move(r[0]));
  }
  auto columns = ask_rows(s, "reading the system tables' columns",
                          "SELECT concat(table, '.', name) FROM system.columns WHERE database = 'system' AND table IN "
                          "('tables', 'parts', 'replicas', 'replicated_merge_tree_settings')",
                          0, 1, limit_ms);
  if (!columns) return columns.failure();
  for (auto& r : *columns) facts.system_columns.insert(std::move(r[0]));
  return {};
}

} // namespace

result<server_clock> read_clock(session& s, std::int64_t limit_ms) {
  auto rows =
      ask_rows(s, "asking for the time", "SELECT toUnixTimestamp64Milli(now64(3)), toInt64(uptime())", 1, 2, limit_ms);
  if (!rows) return rows.failure();
  return server_clock{to_int(rows->front()[0]), to_int(rows->front()[1])};
}

result<server_facts> read_facts(session& s, std::int64_t limit_ms) {
  auto rows =
      ask_rows(s, "asking for the version",
               "SELECT version(), timezone(), toUnixTimestamp64Milli(now64(3)), toInt64(uptime())", 1, 4, limit_ms);
  if (!rows) return rows.failure();
  server_facts facts;
  auto& r = rows->front();
  facts.version = r[0];
  facts.timezone = r[1];
  facts.clock = {to_int(r[2]), to_int(r[3])};
  facts.major = static_cast<int>(to_int(facts.version));
  if (auto dot = facts.version.find('.'); dot != facts.version.npos)
    facts.minor = static_cast<int>(to_int(facts.version.substr(dot + 1)));
  if (auto ok = read_names(s, facts, limit_ms); !ok) return ok.failure();
  return facts;
}

const column_description* table_description::find(const std::string& column) const {
  for (const auto& c : columns)
    if (c.name == column) return &c;
  return nullptr;
}

result<table_description> describe(session& s, const server_facts& facts, const std::string& database,
                                   const std::string& table, std::int64_t limit_ms) {
  table_description t;
  reader r(s, facts, limit_ms);
  qualified_name name{database, table};
  auto there = r.storage_of(name, t);
  if (!there) return there.failure();
  t.exists = *there;
  auto home = ask_rows(s, "looking for the database " + quote_name(database),
                       "SELECT engine FROM system.databases WHERE name = " + quote_text(database), 0, 1, limit_ms);
  if (!home) return home.failure();
  t.database_exists = !home->empty();
  if (t.database_exists) t.database_engine = home->front()[0];
  if (!t.exists) return t;
  auto columns = columns_of(s, facts, database, table, limit_ms);
  if (!columns) return columns.failure();
  t.columns = std::move(*columns);
  if (auto ok = r.views_of(name, t); !ok) return ok.failure();
  auto deletes = deletes_of(s, facts, t, limit_ms);
  if (!deletes) return deletes.failure();
  t.deletes_seen = *deletes;
  return t;
}

result<std::vector<column_description>> describe_columns(session& s, const server_facts& facts,
                                                         const std::string& database, const std::string& table,
                                                         std::int64_t limit_ms) {
  return columns_of(s, facts, database, table, limit_ms);
}

result<std::uint64_t> identity_now(session& s, const server_facts& facts, const std::string& database,
                                   const std::string& table, std::int64_t limit_ms) {
  storage t;
  auto there = reader(s, facts, limit_ms).identity_of({database, table}, t);
  if (!there) return there.failure();
  return *there ? destination_identity(t) : 0;
}

result<bool> has_views(session& s, const std::string& database, const std::string& table, std::int64_t limit_ms) {
  auto rows =
      ask_rows(s, "looking for views of " + table_name(database, table),
               "SELECT notEmpty(dependencies_table) FROM system.tables WHERE database = " + quote_text(database) +
                   " AND name = " + quote_text(table),
               0, 1, limit_ms);
  if (!rows) return rows.failure();
  return std::any_of(rows->begin(), rows->end(), [](const auto& r) { return r[0] != "0"; });
}

std::uint64_t columns_hash(const std::vector<column_description>& columns) {
  std::string text;
  for (const auto& c : columns)
    for (const auto* part : {&c.name, &c.type, &c.default_kind, &c.default_expression})
      text.append(std::to_string(part->size())).append(":").append(*part);
  return XXH3_64bits(text.data(), text.size());
}

std::uint64_t destination_identity(const storage& t) {
  std::string name;
  if (!t.keeper_path.empty()) name = "keeper\n" + t.keeper + "\n" + t.keeper_path;
  else if (!t.uuid.empty() && t.uuid != nil_uuid) name = "uuid\n" + t.uuid;
  else name = "name\n" + t.database + "\n" + t.table;
  auto hash = XXH3_64bits(name.data(), name.size());
  return hash ? hash : 1;
}

std::vector<std::string> missing_provenance(const table_description& t, const provenance_columns& columns) {
  std::vector<std::string> out;
  for (const auto& c : {columns.topic, columns.partition, columns.offset})
    if (!t.find(c)) out.push_back(c);
  if (!columns.source.empty() && !t.find(columns.source)) out.push_back(columns.source);
  return out;
}

std::vector<const column_description*> expiring_provenance(const table_description& t,
                                                           const provenance_columns& columns) {
  std::vector<const column_description*> out;
  for (const auto& name : {columns.topic, columns.partition, columns.offset, columns.source})
    if (const auto* c = t.find(name); c && !c->ttl.empty()) out.push_back(c);
  return out;
}

change_columns changes_of(const storage& t) {
  const auto given = engine_columns(t.engine_full);
  const auto at = [&](std::size_t i) { return i < given.size() ? given[i] : std::string(); };
  if (t.family == engine_family::replacing) return {at(0), at(1), ""};
  if (t.family == engine_family::collapsing) return {at(1), "", at(0)};
  return {};
}

belief believed(const table_description& t, const provenance_columns& columns) {
  if (!t.exists || !missing_provenance(t, columns).empty() || !expiring_provenance(t, columns).empty()) return {};
  belief b;
  b.there =
      t.family == engine_family::plain || t.family == engine_family::replacing || t.family == engine_family::collapsing;
  b.not_there = t.family == engine_family::plain && !t.rows_expire && !t.deletes_seen;
  return b;
}

dedup_window smallest_window(const table_description& t, const storage* dead_letters) {
  dedup_window w{std::numeric_limits<std::uint64_t>::max(), no_limit};
  auto meet = [&](const storage& part) {
    w.inserts = std::min(w.inserts, part.window_inserts);
    w.seconds = std::min(w.seconds, part.window_seconds);
  };
  meet(t);
  for (const auto& v : t.views)
    if (v.target.family != engine_family::null) meet(v.target);
  if (dead_letters) meet(*dead_letters);
  if (w.inserts == 0 || w.seconds <= 0) return {};
  return w;
}

result<void> count_partitions(session& s, storage& t, std::int64_t limit_ms) {
  if (!t.merge_tree() || t.partition_key.empty()) return {};
  auto rows = ask_rows(s, "counting the partitions of " + table_name(t.database, t.table),
                       "SELECT count(), countIf(at + 3600 >= newest) FROM (SELECT at, max(at) OVER () AS newest FROM "
                       "(SELECT toUnixTimestamp(max(modification_time)) AS at FROM system.parts WHERE " +
                           where_table(t.database, t.table) + " AND active GROUP BY partition_id))",
                       1, 2, limit_ms);
  if (!rows) return rows.failure();
  t.partitions = static_cast<std::uint64_t>(to_int(rows->front()[0]));
  t.partitions_written = static_cast<std::uint64_t>(to_int(rows->front()[1]));
  return {};
}

result<std::uint64_t> block_numbers(session& s, const storage& t, std::int64_t limit_ms) {
  auto rows = ask_rows(
      s, "reading the parts of " + table_name(t.database, t.table),
      "SELECT toUInt64(sum(greatest(last, 0))) FROM (SELECT max(max_block_number) AS last FROM system.parts WHERE " +
          where_table(t.database, t.table) + (t.replicated ? " GROUP BY partition_id)" : ")"),
      1, 1, limit_ms);
  if (!rows) return rows.failure();
  return static_cast<std::uint64_t>(to_int(rows->front()[0]));
}

} // namespace chute::clickhouse
