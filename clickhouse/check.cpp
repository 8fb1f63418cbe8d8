#include "clickhouse/check.hpp"

#include "clickhouse/insert.hpp"
#include "clickhouse/questions.hpp"
#include "clickhouse/schema.hpp"
#include "clickhouse/sql.hpp"
#include "core/types.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace chute::clickhouse {
namespace {

using severity = finding::severity;

constexpr double window_margin_s = 30;
// What is proposed is at least this, and a multiple of it.
constexpr double window_step = 1'000;
// The share of batches that bring dead letters, at the worst that is planned for.
constexpr double dead_letter_batches = 0.1;
constexpr int access_denied = 497, read_only = 164, constrained = 452;
constexpr double inserts_many = 100; // a second
constexpr std::uint64_t partitions_many = 100, partitions_most = 1'000;

struct findings {
  std::string where;
  std::vector<finding> list;
  void add(severity level, std::string reason, std::string mend = {}) {
    list.push_back({level, where, std::move(reason), std::move(mend)});
  }
};

bool exactly_once(const expectations& e) { return e.delivery == delivery_mode::exactly_once; }
bool needs_provenance(const expectations& e) { return exactly_once(e) && e.provenance == provenance_mode::required; }

std::string alter(const storage& t, const std::string& what) {
  return "ALTER TABLE " + table_name(t.database, t.table) + " " + what;
}

// --- windows ---------------------------------------------------------------------------------------------------------

// An insert is repeated only in the first half of its window; that half must be longer than the time in which an answer
// can be outstanding.
double half_window_s(const expectations& e) {
  return static_cast<double>(e.lease_ms + e.insert_limit_ms) / 1000 + window_margin_s;
}

double rate(const expectations& e) { return e.inserts_per_second + e.other_inserts_per_second; }

// An insert spends one id of the window in each of the table's partitions that it writes to: around midnight, say, two.
double ids_per_insert(const storage& t) {
  return t.partition_key.empty() ? 1 : static_cast<double>(std::max<std::uint64_t>(2, t.partitions_written));
}
double ids_per_second(const storage& t, const expectations& e) { return rate(e) * ids_per_insert(t); }

std::uint64_t inserts_needed(const storage& t, const expectations& e) {
  auto steps = std::ceil(2 * half_window_s(e) * ids_per_second(t, e) / window_step);
  return static_cast<std::uint64_t>(std::clamp(steps, 1.0, 1e9) * window_step);
}

std::string set_window(const storage& t, const expectations& e) {
  auto inserts = std::to_string(std::max(inserts_needed(t, e), t.window_inserts));
  if (!t.replicated) return alter(t, "MODIFY SETTING non_replicated_deduplication_window = " + inserts);
  auto needed = static_cast<std::int64_t>(2 * half_window_s(e));
  auto seconds = std::max<std::int64_t>({needed, t.window_seconds, 3'600});
  return alter(t, "MODIFY SETTING replicated_deduplication_window = " + inserts +
                      ", replicated_deduplication_window_seconds = " + std::to_string(seconds));
}

std::string inserts_text(double v) {
  auto tenths = static_cast<long>(std::lround(v * 10));
  return std::to_string(tenths / 10) + (tenths % 10 ? "." + std::to_string(tenths % 10) : "");
}

// The window of the table, of a view's target or of the dead letters; `what` names it.
void check_window(findings& out, const storage& t, const std::string& what, const expectations& e) {
  if (!exactly_once(e) || t.family == engine_family::null) return;
  if (!t.merge_tree()) {
    out.add(severity::error,
            what + " has the engine " + t.engine +
                ", which does not deduplicate: an insert that is "
                "sent again would be doubled in it",
            "use a table of the MergeTree family, or delivery: at_least_once");
    return;
  }
  if (!t.deduplicates()) {
    out.add(severity::error, what + " does not deduplicate inserts: its deduplication window is 0", set_window(t, e));
    return;
  }
  auto by_count = static_cast<double>(t.window_inserts) / 2 / std::max(ids_per_second(t, e), 1e-9);
  auto by_time = static_cast<double>(t.window_seconds) / 2;
  if (std::min(by_count, by_time) >= half_window_s(e)) return;
  auto level = e.provenance == provenance_mode::off ? severity::error : severity::warning;
  out.add(level,
          what + " knows " + std::to_string(t.window_inserts) + " inserts again" +
              (t.replicated ? ", for " + std::to_string(t.window_seconds) + " s" : "") + ": at up to " +
              inserts_text(rate(e)) + " inserts a second" +
              (ids_per_insert(t) > 1 ? ", each into " + inserts_text(ids_per_insert(t)) + " of its partitions" : "") +
              ", half of that is shorter than the " + std::to_string(static_cast<long>(half_window_s(e))) +
              " s in which an answer can be outstanding: what lands later may be forgotten by then, and be doubled",
          set_window(t, e));
}

// ClickHouse merges the part that each insert makes; beyond some hundred a second it slows them down, then refuses.
void check_rate(findings& out, const storage& t, const expectations& e) {
  if (rate(e) > inserts_many)
    out.add(severity::warning,
            "up to " + inserts_text(rate(e)) +
                " inserts a second go into it: ClickHouse makes a part of each and may not keep up with merging them "
                "(252 TOO_MANY_PARTS)",
            "longer batches, such as batch: {wait: 1s} without small rows: or bytes:, or fewer lanes:");
  if (t.partitions_written > partitions_many || t.partitions > partitions_most)
    out.add(severity::warning,
            "it has " + std::to_string(t.partitions) + " partitions, of which " + std::to_string(t.partitions_written) +
                " were written lately: an insert makes a part in each of those it meets, and spends as much of the "
                "deduplication window",
            "make it with a coarser PARTITION BY, such as toYYYYMM(…)");
}

// --- the table -------------------------------------------------------------------------------------------------------

std::string provenance_type(const provenance_columns& columns, const std::string& name) {
  if (name == columns.partition) return "Int32";
  if (name == columns.offset) return "Int64";
  return "LowCardinality(String)";
}

std::string add_columns(const storage& t, const provenance_columns& columns, const std::vector<std::string>& missing) {
  std::string what;
  for (const auto& name : missing)
    what += (what.empty() ? "" : ", ") + std::string("ADD COLUMN ") + quote_name(name) + " " +
            provenance_type(columns, name);
  return alter(t, what);
}

std::string example_table(const table_description& t, const expectations& e) {
  return "CREATE TABLE " + table_name(t.database, t.table) + " (…your columns…, " + quote_name(e.columns.topic) +
         " LowCardinality(String), " + quote_name(e.columns.partition) + " Int32, " + quote_name(e.columns.offset) +
         " Int64) ENGINE = MergeTree ORDER BY (…your key…) SETTINGS non_replicated_deduplication_window = " +
         std::to_string(inserts_needed(t, e));
}

bool check_existence(findings& out, const table_description& t, const expectations& e) {
  if (t.exists) return true;
  if (!t.database_exists)
    out.add(severity::error, "there is no database " + quote_name(t.database) + ", or the user may not see it",
            "CREATE DATABASE " + quote_name(t.database));
  out.add(severity::error, "there is no table " + table_name(t.database, t.table) + ", or the user may not see it",
          example_table(t, e));
  return false;
}

void check_null(findings& out, const expectations& e) {
  out.add(exactly_once(e) ? severity::error : severity::warning,
          "it has the engine Null, which keeps nothing: recovery cannot ask it what landed",
          "write into a MergeTree table that has the views instead, or delivery: at_least_once");
}

void check_engine(findings& out, const table_description& t, const expectations& e) {
  switch (t.family) {
  case engine_family::distributed:
    out.add(severity::error, "it is a Distributed table: inserts into it are passed on later, and not deduplicated",
            "write into the local tables: give their servers under clickhouse.url");
    return;
  case engine_family::view: out.add(severity::error, "it is a view", "write into the table behind it"); return;
  case engine_family::null: check_null(out, e); return;
  case engine_family::merging:
    if (needs_provenance(e))
      out.add(severity::error, "its engine " + t.engine + " melts rows together: recovery cannot ask it what landed",
              "write into a MergeTree table and fill this one by a materialized view, or provenance: off");
    break;
  case engine_family::replacing:
  case engine_family::collapsing:
    if (needs_provenance(e))
      out.add(severity::info, "its engine " + t.engine +
                                  " takes rows away: a row that is found did land, but one that is "
                                  "not found may have landed too; a doubt that rests on it stops its lane");
    break;
  case engine_family::plain:
  case engine_family::other: break;
  }
  check_window(out, t, "the table", e);
  check_rate(out, t, e);
}

void check_memory_of_rows(findings& out, const table_description& t, const expectations& e) {
  if (!needs_provenance(e) || t.family != engine_family::plain) return;
  if (t.rows_expire)
    out.add(severity::warning,
            "a TTL takes rows away: rows that are not found may have landed, so a doubt about a plan "
            "stops its lane instead of sending again",
            alter(t, "REMOVE TTL") + ", and drop old partitions instead; or leave it and settle such lanes by hand");
  if (t.deletes_seen)
    out.add(
        severity::warning,
        "rows were deleted from it: rows that are not found may have landed, so a doubt about a "
        "plan stops its lane instead of sending again",
        "drop whole partitions (ALTER TABLE … DROP PARTITION) instead of deleting rows: that is believed; deletes are "
        "forgotten once the server no longer lists them in system.mutations");
}

bool whole_number(const std::string& type, bool wide) {
  static constexpr std::array narrow = {"Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64"};
  static constexpr std::array wide_ones = {"Int64", "UInt64"};
  auto plain = type.starts_with("Nullable(") ? type.substr(9, type.size() - 10) : type;
  auto is = [&](const char* name) { return plain == name; };
  return wide ? std::any_of(wide_ones.begin(), wide_ones.end(), is) : std::any_of(narrow.begin(), narrow.end(), is);
}

void check_provenance(findings& out, const table_description& t, const expectations& e) {
  if (!exactly_once(e)) return;
  auto missing = missing_provenance(t, e.columns);
  if (!missing.empty()) {
    std::string names;
    for (const auto& m : missing) names += (names.empty() ? "" : ", ") + m;
    bool required = e.provenance == provenance_mode::required;
    out.add(required ? severity::error : severity::warning,
            "it lacks " + names +
                (required ? ", by which recovery finds out what landed"
                          : ": recovery cannot ask it what landed, and stops on every doubt"),
            add_columns(t, e.columns, missing));
  }
  for (const auto* c : expiring_provenance(t, e.columns))
    out.add(severity::error,
            "a TTL empties its column " + c->name +
                ", by which recovery finds out what landed: a row would then name another record than its own",
            alter(t, "MODIFY COLUMN " + quote_name(c->name) + " REMOVE TTL"));
  auto wrong = [&](const column_description& c, const char* should) {
    out.add(severity::error, "its column " + c.name + " is " + c.type + ", and should be " + should,
            alter(t, "MODIFY COLUMN " + quote_name(c.name) + " " + provenance_type(e.columns, c.name)));
  };
  for (const auto& name : {e.columns.topic, e.columns.partition, e.columns.offset}) {
    const auto* c = t.find(name);
    if (!c) continue;
    if (c->default_kind == "MATERIALIZED" || c->default_kind == "ALIAS")
      out.add(severity::error, "its column " + name + " is " + c->default_kind + ": it cannot be written",
              alter(t, "MODIFY COLUMN " + quote_name(name) + " " + provenance_type(e.columns, name)));
    else if (name == e.columns.partition && !whole_number(c->type, false)) wrong(*c, "Int32");
    else if (name == e.columns.offset && !whole_number(c->type, true)) wrong(*c, "Int64");
    else if (name == e.columns.topic && c->type.find("String") == std::string::npos)
      wrong(*c, "LowCardinality(String)");
  }
}

void check_columns(findings& out, const table_description& t) {
  for (const auto& c : t.columns) {
    if (c.default_kind == "MATERIALIZED" || c.default_kind == "ALIAS") continue;
    auto type = parse_type(c.type);
    if (!type)
      out.add(severity::warning, "the type of its column " + c.name + " cannot be read: " + type.failure().cause,
              "leave the column out of the records: it takes its default");
    else if (!insertable(**type))
      out.add(severity::warning,
              "its column " + c.name + " is " + c.type + ", which records cannot fill: it takes its default",
              "leave it out of columns:, or let a materialized view fill it in a table of its own");
  }
}

// --- partitions ------------------------------------------------------------------------------------------------------

// A table's tokens are kept by partition: where a row goes must not depend on when it is sent.
struct partition_search {
  const table_description& t;
  const expectations& e;
  std::set<std::string> seen = {};

  // A field of the column's name may be missing: then its DEFAULT counts.
  bool filled(const std::string& column) const {
    const auto source = e.sources.find(column);
    return e.mapped.contains(column) ||
           (source != e.sources.end() && source->second.kind != column_source::from::field);
  }
  // The function of which the expression's value differs from one insert to the next. Empty: there is none.
  std::string changing(const std::string& expression) {
    if (auto function = calls_changing(expression)) return *function;
    for (const auto& c : t.columns) {
      if (c.default_expression.empty() || filled(c.name) || !names_column(expression, c.name)) continue;
      if (!seen.insert(c.name).second) continue;
      if (auto function = changing(c.default_expression); !function.empty()) return function;
    }
    return {};
  }
};

// --- changes of rows -------------------------------------------------------------------------------------------------

std::string engine_for(const expectations& e) {
  return e.deletes == delete_policy::replacing
             ? "ReplacingMergeTree(version, is_deleted)"
             : "CollapsingMergeTree(sign), or VersionedCollapsingMergeTree(sign, version)";
}

bool check_change_engine(findings& out, const table_description& t, const expectations& e, const change_columns& has) {
  const bool replacing = e.deletes == delete_policy::replacing;
  const std::string policy = replacing ? "deletes: replacing" : "deletes: collapsing";
  std::string given;
  for (const auto& column : engine_columns(t.engine_full)) given += (given.empty() ? "" : ", ") + column;
  const bool family = t.family == (replacing ? engine_family::replacing : engine_family::collapsing);
  if (!family || (replacing && (has.version.empty() || has.deleted.empty()))) {
    out.add(severity::error,
            policy + ", but its engine is " + t.engine + "(" + given + "), in which a deleted row would stay",
            "make it with ENGINE = " + engine_for(e) + ", or write deletes: reject");
    return false;
  }
  return true;
}

void check_version(findings& out, const table_description& t, const expectations& e, const change_columns& has) {
  const auto source = e.sources.find(has.version);
  if (has.version.empty() || source == e.sources.end()) return;
  const bool by_offset = source->second.kind == column_source::from::meta;
  if (e.deletes == delete_policy::collapsing) {
    if (by_offset)
      out.add(severity::error,
              "its version column " + has.version +
                  " comes from the record, but a row that is taken back has the "
                  "version that it had",
              "map it from a field of the row, or use CollapsingMergeTree(sign)");
    return;
  }
  const auto* c = t.find(has.version);
  if (source->second.text == "version" && by_offset && c && c->type != "UInt64" && c->type != "Int64")
    out.add(severity::error, "its version column " + has.version + " is " + c->type + ", which does not hold an offset",
            alter(t, "MODIFY COLUMN " + quote_name(has.version) + " UInt64") +
                ", or map it from a field under columns:");
}

// A change finds its row by the sorting key.
void check_change_key(findings& out, const table_description& t, const expectations& e, const change_columns& has) {
  for (const auto& [column, source] : e.sources) {
    if (!names_column(t.sorting_key, column)) continue;
    const bool meta = source.kind == column_source::from::meta;
    // VersionedCollapsingMergeTree adds its version by itself.
    const bool version = column == has.version && e.deletes == delete_policy::replacing;
    if ((meta && source.text == "offset") || version || column == has.deleted || column == has.sign)
      out.add(severity::error,
              "its sorting key has " + column + ", which differs in every record: no change would find its row",
              "make the table with ORDER BY (…the source's primary key…)");
    else if (source.kind == column_source::from::field && e.deletes == delete_policy::replacing &&
             e.envelope == envelope_kind::none)
      out.add(severity::error,
              "its sorting key has " + column + ", a field of the value, which a tombstone does not have",
              "map it from the key, as in columns: {" + column +
                  ": {meta: key}}, or write envelope: debezium, whose delete events tell the row");
  }
}

// A target is written by all views that lead to it, and perhaps by pipelines.
expectations of_target(const storage& target, const expectations& e) {
  auto out = e;
  if (auto r = e.view_inserts_per_second.find({target.database, target.table}); r != e.view_inserts_per_second.end()) {
    out.inserts_per_second = r->second;
    out.other_inserts_per_second = 0;
  }
  return out;
}

void check_targets(findings& out, const table_description& t, const expectations& e) {
  for (const auto& v : t.views) {
    auto what = "the target of the view " + table_name(v.view.database, v.view.table) + ", " +
                table_name(v.target.database, v.target.table) + ",";
    if (!v.target_known)
      out.add(severity::error, what + " is not there, or the user may not see it",
              "grant SHOW TABLES on it, or drop the view");
    else check_window(out, v.target, what, of_target(v.target, e));
  }
}

expectations of_dead_letters(expectations e) {
  e.inserts_per_second *= dead_letter_batches;
  e.other_inserts_per_second *= dead_letter_batches;
  return e;
}

// See two_views_one_target in insert.cpp.
void check_shared_targets(findings& out, const table_description& t, const server_facts& facts) {
  if (tells_views_apart(facts) || facts.knows("update_insert_deduplication_token_in_dependent_materialized_views"))
    return;
  std::map<qualified_name, std::string> seen;
  for (const auto& v : t.views) {
    const auto view = table_name(v.view.database, v.view.table);
    const auto [first, fresh] = seen.emplace(qualified_name{v.target.database, v.target.table}, view);
    if (fresh) continue;
    out.add(severity::error,
            "the views " + first->second + " and " + view + " write into the same table, " +
                table_name(v.target.database, v.target.table) + ", and this server (" + facts.version +
                ") gives both the same token: the rows of one of them are dropped there as if they were repeated",
            "use ClickHouse 24.1 or newer, or give each view a target of its own");
  }
}

void check_views(findings& out, const table_description& t, const server_facts& facts, const expectations& e) {
  if (t.views.empty() || !exactly_once(e)) return;
  if (!facts.knows("deduplicate_blocks_in_dependent_materialized_views"))
    out.add(severity::error,
            "materialized views depend on it, and this server (" + facts.version +
                ") cannot deduplicate "
                "in their targets: an insert that is sent again would be doubled there",
            "use a newer ClickHouse, or drop the views");
  check_shared_targets(out, t, facts);
  check_targets(out, t, e);
  if (t.views_cut)
    out.add(severity::warning,
            "more than " + std::to_string(views_max) + " views depend on it: the rest was not looked at",
            "see that the targets of all of them deduplicate, or drop views");
  out.add(severity::info,
          "materialized views depend on it: their targets cannot be asked what landed, so a doubt about a "
          "plan whose rows are all there stops its lane");
}

// --- rights ----------------------------------------------------------------------------------------------------------

std::string grant(const session& s, const std::string& what, const std::string& on) {
  return "GRANT " + what + " ON " + on + " TO " + quote_name(s.options().user);
}

// Of questions there is only the text.
int code_in(const std::string& text) {
  if (text.find("ACCESS_DENIED") != text.npos || text.find("497") != text.npos) return access_denied;
  if (text.find("READONLY") != text.npos) return read_only;
  if (text.find("SETTING_CONSTRAINT_VIOLATION") != text.npos) return constrained;
  return 0;
}

void report(findings& out, const session& s, const std::string& tried, int code, const std::string& text,
            const std::string& rights, bool with_settings = false) {
  std::string mend = with_settings ? "mend clickhouse.settings, if the message names one of them; else see "
                                     "ClickHouse's log at " +
                                         s.url()
                                   : "see ClickHouse's log at " + s.url();
  if (code == access_denied) mend = rights;
  if (code == read_only)
    mend = "give " + quote_name(s.options().user) + " a settings profile with readonly = 0, or another clickhouse.user";
  if (code == constrained)
    mend =
        "take the setting that the message names out of clickhouse.settings, or its constraint out of the profile of " +
        quote_name(s.options().user);
  out.add(severity::error, tried + ": " + text, mend);
}

std::vector<std::string> insertable_columns(const table_description& t) {
  std::vector<std::string> out;
  for (const auto& c : t.columns) {
    if (c.default_kind == "MATERIALIZED" || c.default_kind == "ALIAS") continue;
    auto type = parse_type(c.type);
    if (type && insertable(**type)) out.push_back(c.name);
  }
  return out;
}

void probe_insert(findings& out, session& s, const server_facts& facts, const table_description& t,
                  const settings_map& settings, std::int64_t limit_ms) {
  insert_request r;
  r.database = t.database;
  r.table = t.table;
  r.columns = insertable_columns(t);
  r.format = "Native"; // no bytes: no rows
  r.token = "chute_check";
  r.settings = settings;
  r.limit_ms = limit_ms;
  auto a = insert(s, facts, r);
  if (a.what == insert_answer::verdict::acknowledged) return;
  report(out, s, "an insert of no rows was refused", a.code, a.message,
         grant(s, "INSERT", table_name(t.database, t.table)), !settings.empty());
}

void probe_question(findings& out, session& s, const server_facts& facts, const table_description& t,
                    const expectations& e, std::int64_t limit_ms) {
  if (!exactly_once(e) || !missing_provenance(t, e.columns).empty()) return;
  question q;
  q.database = t.database;
  q.table = t.table;
  q.columns = e.columns;
  q.ranges = {{partition_id{0}, offset_t{0}, offset_t{0}}};
  q.replicated = t.replicated;
  q.settled = t.replicated;
  q.limit_ms = limit_ms;
  auto rights = grant(s, "SELECT", table_name(t.database, t.table));
  if (t.replicated) rights += "; " + grant(s, "SYSTEM SYNC REPLICA", table_name(t.database, t.table));
  auto a = ask(s, facts, q);
  if (!a.answered) report(out, s, "a question about what landed was refused", code_in(a.why), a.why, rights);
  session* self = &s;
  auto running = token_running(std::span(&self, 1), token_t{}, limit_ms);
  if (running.is == token_answer::state::unknown)
    report(out, s, "the list of running queries cannot be read", code_in(running.why), running.why,
           grant(s, "SELECT", "system.processes"));
}

// A statement that must fail, whatever the rights: only whether they are what it fails on is looked at. A Replicated
// database would write it down before it looks.
void probe_rights_of(findings& out, session& s, const table_description& t, const std::string& statement,
                     const std::string& tried, const std::string& rights, std::int64_t limit_ms) {
  if (t.database_engine == "Replicated") return;
  auto a = run(s, statement, limit_ms);
  if (a.ok || (a.code != access_denied && a.code != read_only)) return;
  report(out, s, tried, a.code, a.text, rights);
}

void probe_new_columns(findings& out, session& s, const table_description& t, const expectations& e,
                       std::int64_t limit_ms) {
  if (!e.adds_columns || t.columns.empty()) return;
  probe_rights_of(out, s, t, alter(t, "ADD COLUMN " + quote_name(t.columns.front().name) + " UInt8"), // it is there
                  "on_new_field: add_column, but no column can be added",
                  grant(s, "ALTER ADD COLUMN", table_name(t.database, t.table)), limit_ms);
}

// Who may not see all rows takes rows that landed for missing.
void probe_policies(findings& out, session& s, const table_description& t, const expectations& e,
                    std::int64_t limit_ms) {
  if (!needs_provenance(e)) return;
  auto a = run(s,
               "SELECT short_name FROM system.row_policies WHERE database = " + quote_text(t.database) +
                   " AND table IN (" + quote_text(t.table) + ", '')",
               limit_ms);
  if (!a.ok || a.rows.empty() || a.rows[0].empty()) return; // who may not ask is not told of any
  out.add(severity::warning,
          "it has the row policy " + a.rows[0][0] + ": rows that " + quote_name(s.options().user) +
              " may not see count as not landed",
          "ALTER ROW POLICY " + quote_name(a.rows[0][0]) + " ON " + table_name(t.database, t.table) +
              " TO ALL EXCEPT " + quote_name(s.options().user) + ", with a policy USING 1 for it");
}

} // namespace

double reachable_inserts_per_second(const pipeline_config& pipeline, int lanes) {
  // A lane closes a batch on time, or when it is full: small ones are, while it has much to read, as fast as answers
  // come.
  constexpr double fastest = 20, rows_read = 200'000, bytes_read = 32 << 20; // of a lane, a second
  const auto& b = pipeline.batch;
  const auto by_time = 1000 / static_cast<double>(std::max<std::int64_t>(1, b.wait_ms));
  const auto by_size = std::max(rows_read / static_cast<double>(std::max<std::uint64_t>(1, b.rows)),
                                bytes_read / static_cast<double>(std::max<std::uint64_t>(1, b.bytes)));
  return std::max(1, lanes) * std::min(fastest, std::max(by_time, by_size));
}

std::vector<finding> check_server(const server_facts& facts, const std::string& where, const expectations& e) {
  findings out{where, {}};
  for (const auto& p : pinned_settings()) {
    if (facts.knows(p.name) || p.need == pinned_setting::necessity::harmless) continue;
    bool fatal = p.need == pinned_setting::necessity::essential && exactly_once(e);
    out.add(fatal ? severity::error : severity::warning,
            "ClickHouse " + facts.version + " does not know the setting " + p.name + ": " + p.without_it,
            "use a newer ClickHouse");
  }
  for (const auto& [name, value] : e.settings) {
    if (is_pinned(name))
      out.add(severity::error, "clickhouse.settings sets " + name + ", which every insert sets itself", "remove it");
    else if (!facts.knows(name))
      out.add(severity::error,
              "clickhouse.settings sets " + name + ", which ClickHouse " + facts.version + " does not know",
              "remove it, or correct its name");
  }
  return std::move(out.list);
}

std::vector<finding> check_table(const table_description& t, const server_facts& facts, const std::string& where,
                                 const expectations& e) {
  findings out{where, {}};
  if (!check_existence(out, t, e)) return std::move(out.list);
  check_engine(out, t, e);
  check_memory_of_rows(out, t, e);
  check_provenance(out, t, e);
  check_columns(out, t);
  for (auto& f : check_partitions(t, where, e)) out.list.push_back(std::move(f));
  for (auto& f : check_changes(t, where, e)) out.list.push_back(std::move(f));
  check_views(out, t, facts, e);
  return std::move(out.list);
}

std::vector<finding> check_windows(const table_description& t, const storage& dead_letters, const std::string& where,
                                   const expectations& e) {
  findings out{where, {}};
  if (t.family == engine_family::null) check_null(out, e);
  check_window(out, t, "the table", e);
  check_targets(out, t, e);
  check_window(out, dead_letters,
               "the table for dead letters, " + table_name(dead_letters.database, dead_letters.table) + ",",
               of_dead_letters(e));
  return std::move(out.list);
}

std::vector<finding> check_changes(const table_description& t, const std::string& where, const expectations& e) {
  findings out{where, {}};
  if (e.deletes == delete_policy::reject) return {};
  const auto has = changes_of(t);
  if (!check_change_engine(out, t, e, has)) return std::move(out.list);
  check_version(out, t, e, has);
  check_change_key(out, t, e, has);
  return std::move(out.list);
}

std::vector<finding> check_partitions(const table_description& t, const std::string& where, const expectations& e) {
  findings out{where, {}};
  if (!exactly_once(e) || !t.merge_tree()) return {};
  constexpr const char* doubled =
      ": a batch that is sent again, on another day say, goes into another partition, where "
      "its token is not known, and is doubled";
  if (const auto function = calls_changing(t.partition_key))
    out.add(severity::error, "its partition key " + t.partition_key + " calls " + *function + doubled,
            "make the table with PARTITION BY (…a column of the record…)");
  for (const auto& c : t.columns) {
    partition_search search{t, e};
    if (c.default_expression.empty() || search.filled(c.name) || !names_column(t.partition_key, c.name)) continue;
    search.seen.insert(c.name);
    const auto function = search.changing(c.default_expression);
    if (function.empty()) continue;
    const bool computed = c.default_kind == "MATERIALIZED" || c.default_kind == "ALIAS";
    // Of a field nobody knows whether every record has it.
    const bool may_be_field = e.sources.contains(c.name);
    out.add(may_be_field ? severity::warning : severity::error,
            "its partition key has " + c.name +
                (may_be_field ? ", and for a record without such a field its " : ", which nothing fills, and its ") +
                c.default_kind + " comes from " + function + doubled,
            computed ? "make the table with PARTITION BY (…a column of the record…)"
                     : "fill it from the record, as in columns: {" + c.name + ": {meta: timestamp}} or " + c.name +
                           ": {field: …}, one that every record has; or make the table with PARTITION BY (…a column "
                           "of the record…)");
  }
  return std::move(out.list);
}

std::vector<finding> check_dead_letters(const table_description& t, const std::string& where, const expectations& e) {
  findings out{where, {}};
  if (!t.exists) return {}; // it is made at the start
  for (const auto& fault : dead_letter_table_faults(t, false, ""))
    out.add(severity::error, "the table for dead letters cannot be used: " + fault.what, fault.mend);
  check_window(out, t, "the table for dead letters", of_dead_letters(e));
  if (needs_provenance(e) && (t.rows_expire || t.deletes_seen || t.family != engine_family::plain))
    out.add(severity::warning,
            "dead letters may be taken away again (TTL, deletes or the engine " + t.engine +
                "): one that is gone counts as not landed, and may be written once more while its plan is in doubt",
            "a plain MergeTree without TTL, of which whole old partitions are dropped");
  return std::move(out.list);
}

std::vector<finding> check_question_time(const table_description& t, const std::string& where, const expectations& e,
                                         std::int64_t took_ms, std::int64_t question_limit_ms) {
  findings out{where, {}};
  if (took_ms * 2 < question_limit_ms) return {};
  auto topic = quote_name(e.columns.topic), partition = quote_name(e.columns.partition),
       offset = quote_name(e.columns.offset);
  auto key = topic + ", " + partition + ", " + offset;
  auto mend = t.family == engine_family::plain
                  ? alter(t, "ADD PROJECTION chute_offsets (SELECT " + key + " ORDER BY " + key + ")") + "; " +
                        alter(t, "MATERIALIZE PROJECTION chute_offsets")
                  : alter(t, "ADD INDEX chute_offsets " + offset + " TYPE minmax") + "; " +
                        alter(t, "MATERIALIZE INDEX chute_offsets");
  out.add(took_ms < question_limit_ms ? severity::warning : severity::error,
          "a question about what landed took " + std::to_string(took_ms) + " ms, of a limit of " +
              std::to_string(question_limit_ms) + " ms: recovery waits for such questions",
          mend);
  return std::move(out.list);
}

bool has_errors(const std::vector<finding>& findings) {
  return std::any_of(findings.begin(), findings.end(), [](const auto& f) { return f.level == severity::error; });
}

std::string error_text(const std::vector<finding>& findings) {
  std::string out;
  for (const auto& f : findings) {
    if (f.level != severity::error) continue;
    out.append(out.empty() ? "" : "\n").append(f.where).append(": ").append(f.reason);
    if (!f.mend.empty()) out.append(" (").append(f.mend).append(")");
  }
  return out;
}

std::vector<finding> probe_rights(session& s, const server_facts& facts, const table_description& t,
                                  const std::string& where, const expectations& e, std::int64_t limit_ms) {
  findings out{where, {}};
  if (!t.exists || t.family == engine_family::view || t.family == engine_family::distributed) return {};
  probe_insert(out, s, facts, t, e.settings, limit_ms);
  probe_question(out, s, facts, t, e, limit_ms);
  probe_new_columns(out, s, t, e, limit_ms);
  probe_policies(out, s, t, e, limit_ms);
  return std::move(out.list);
}

std::vector<finding> probe_own_table(session& s, const server_facts& facts, const table_description& t,
                                     const std::string& where, const std::string& statement,
                                     const settings_map& settings, std::int64_t limit_ms) {
  findings out{where, {}};
  const auto name = table_name(t.database, t.table);
  if (!t.exists) {
    if (!t.database_exists) return {}; // told with the destination
    probe_rights_of(out, s, t,
                    "CREATE TABLE " + name + " (chute_check UInt8) ENGINE = MergeTree ORDER BY chute_no_such_column",
                    "it is not there, and chute may not make it",
                    grant(s, "CREATE TABLE", quote_name(t.database) + ".*") + "; or make it: " + statement, limit_ms);
    return std::move(out.list);
  }
  probe_insert(out, s, facts, t, settings, limit_ms);
  auto a = run(s, "SELECT count() FROM " + name + " WHERE `pipeline` = ''", limit_ms, reading_settings(facts, false));
  if (!a.ok) report(out, s, "it cannot be read", a.code, a.text, grant(s, "SELECT", name));
  return std::move(out.list);
}

} // namespace chute::clickhouse
