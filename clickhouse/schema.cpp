#include "clickhouse/schema.hpp"

#include "clickhouse/native_rows.hpp"
#include "clickhouse/questions.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <xxhash.h>

namespace chute::clickhouse {
namespace {

// Enough for any rate at which dead letters and starts come, and still a short list to keep in memory.
constexpr const char* plain_window = "non_replicated_deduplication_window = 10000";
constexpr const char* replicated_window =
    "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800";
constexpr int table_exists_code = 57; // TABLE_ALREADY_EXISTS: another process was faster
constexpr int start_tries_max = 3;

constexpr std::array dead_letters = {
    owned_column{"failed_at", "DateTime64(3)"},
    owned_column{"pipeline", "LowCardinality(String)"},
    owned_column{"topic", "LowCardinality(String)"},
    owned_column{"partition", "Int32"},
    owned_column{"offset", "Int64"},
    owned_column{"timestamp", "Nullable(DateTime64(3))"},
    owned_column{"key", "Nullable(String)"},
    owned_column{"value", "Nullable(String)"},
    owned_column{"headers", "Array(Tuple(name String, value Nullable(String)))"},
    owned_column{"error", "String"},
};

constexpr std::array starts = {
    owned_column{"created_at", "DateTime64(3)"},
    owned_column{"kind", "LowCardinality(String)"},
    owned_column{"cluster", "String"},
    owned_column{"group", "String"},
    owned_column{"pipeline", "String"},
    owned_column{"topic", "String"},
    owned_column{"lanes", "Int32"},
    owned_column{"lane", "Int32"},
    owned_column{"positions", "Array(Int64)"},
};

std::string create_statement(const table_description& destination, const std::string& database,
                             const std::string& table, const std::string& shard, std::span<const owned_column> columns,
                             const char* order) {
  std::string sql = "CREATE TABLE IF NOT EXISTS " + table_name(database, table) + " (";
  for (std::size_t i = 0; i < columns.size(); ++i)
    sql.append(i ? ", " : "").append(quote_name(columns[i].name)).append(" ").append(columns[i].type);
  sql.append(") ENGINE = ").append(sibling_engine(destination, database, table, shard));
  sql.append(" ORDER BY ").append(order).append(" SETTINGS ");
  return sql.append(plain_window).append(", ").append(replicated_window);
}

// Types that hold the same values: without LowCardinality and time zones, and integers of other widths for numbers that
// Kafka counts from 0.
std::string plain_type(std::string type) {
  constexpr std::string_view low = "LowCardinality(";
  if (type.starts_with(low)) type = type.substr(low.size(), type.size() - low.size() - 1);
  if (auto zone = type.find(", '"); zone != type.npos && type.find("DateTime64(") != type.npos)
    if (auto end = type.find("')", zone); end != type.npos) type.erase(zone, end + 1 - zone);
  if (type == "UInt32") type = "Int32";
  if (type == "UInt64") type = "Int64";
  return type;
}

std::string alter(const storage& t, const std::string& what) {
  return "ALTER TABLE " + table_name(t.database, t.table) + " " + what;
}
std::string rename_away(const storage& t) {
  return "RENAME TABLE " + table_name(t.database, t.table) + " TO " + table_name(t.database, t.table + "_old");
}

std::vector<table_fault> column_faults(const table_description& t, std::span<const owned_column> columns) {
  const auto there =
      std::count_if(columns.begin(), columns.end(), [&](const owned_column& c) { return t.find(c.name) != nullptr; });
  // Another's table that has our name has our columns by chance at most.
  const bool own = 2 * static_cast<std::size_t>(there) > columns.size();
  std::vector<table_fault> out;
  const auto add = [&](const std::string& what, const std::string& change) {
    out.push_back({what, own ? alter(t, change) : rename_away(t) + ", and chute makes one of its own"});
  };
  for (const auto& wanted : columns) {
    const auto* c = t.find(wanted.name);
    const auto column = quote_name(wanted.name) + " " + wanted.type;
    if (!c) add("it has no column " + column, "ADD COLUMN " + column);
    else if (plain_type(c->type) != plain_type(wanted.type))
      add("its column " + quote_name(wanted.name) + " is " + c->type + ", not " + wanted.type,
          "MODIFY COLUMN " + column);
    else if (!c->default_kind.empty() && c->default_kind != "DEFAULT")
      add("its column " + quote_name(wanted.name) + " is " + c->default_kind,
          "MODIFY COLUMN " + quote_name(wanted.name) + " REMOVE " + c->default_kind);
  }
  return out;
}

// Its engine is not one of those that can be given a window.
std::string carry_over(const storage& t, const std::string& statement) {
  const auto name = table_name(t.database, t.table);
  return "carry its rows over while no pipeline runs: " + rename_away(t) + "; " + statement + "; INSERT INTO " + name +
         " SELECT * FROM " + table_name(t.database, t.table + "_old");
}
std::string open_window(const storage& t) {
  return alter(t, std::string("MODIFY SETTING ") + (t.replicated ? replicated_window : plain_window));
}

std::string joined(const std::vector<table_fault>& faults, std::string table_fault::*part) {
  std::string out;
  for (std::size_t i = 0; i < faults.size(); ++i) {
    const auto first =
        std::find_if(faults.begin(), faults.end(), [&](const table_fault& f) { return f.*part == faults[i].*part; });
    if (first == faults.begin() + static_cast<std::ptrdiff_t>(i)) out += (out.empty() ? "" : "; ") + faults[i].*part;
  }
  return out;
}

// The value of the macro {shard}, which names the shard in paths of replicated tables; empty where there is none.
result<std::string> shard_of(session& s, std::int64_t limit_ms) {
  auto a = run(s, "SELECT substitution FROM system.macros WHERE macro = 'shard'", limit_ms);
  if (!a.ok) return query_error(s, "reading the server's macros", a);
  return a.rows.empty() ? std::string{} : a.rows[0][0];
}

template <class Statement, class Faults>
result<table_description> ensure(session& s, const server_facts& facts, const table_description& destination,
                                 const std::string& database, const std::string& table, std::int64_t limit_ms,
                                 Statement statement, Faults faults) {
  auto t = describe(s, facts, database, table, limit_ms);
  if (!t) return t.failure();
  if (!t->exists) {
    std::string shard;
    if (destination.replicated) {
      auto macro = shard_of(s, limit_ms);
      if (!macro) return macro.failure();
      shard = *macro;
    }
    auto made = run(s, statement(destination, database, table, shard), limit_ms);
    if (!made.ok && made.code != table_exists_code)
      return query_error(s, "making the table " + table_name(database, table), made);
    t = describe(s, facts, database, table, limit_ms);
    if (!t) return t.failure();
    if (!t->exists)
      return error{"clickhouse " + s.url(), "the table " + table_name(database, table) + " was made, but is not there",
                   "is the user allowed to see it (SHOW TABLES)?"};
  }
  if (faults(*t, "").empty()) return std::move(*t);
  auto shard = destination.replicated ? shard_of(s, limit_ms) : result<std::string>(std::string());
  const auto why = faults(*t, statement(destination, database, table, shard.ok() ? *shard : ""));
  return error{"clickhouse " + s.url(),
               "the table " + table_name(database, table) + " cannot be used: " + joined(why, &table_fault::what),
               joined(why, &table_fault::mend)};
}

// --- bodies ----------------------------------------------------------------------------------------------------------

void append_headers(bytes& out, std::span<const dead_letter* const> letters) {
  std::uint64_t count = 0;
  for (const auto* d : letters) out.push<std::uint64_t>(count += d->headers.size());
  for (const auto* d : letters)
    for (const auto& h : d->headers) append_text(out, h.first);
  for (const auto* d : letters)
    for (const auto& h : d->headers) out.push<std::uint8_t>(h.second ? 0 : 1);
  for (const auto* d : letters)
    for (const auto& h : d->headers) append_text(out, h.second ? std::string_view(*h.second) : std::string_view{});
}

struct start_row {
  const char* kind;
  std::int32_t lanes = 0, lane = -1;
  std::span<const offset_t> positions;
};

std::string start_body(const start_key& key, const start_row& row, wall_ms now_ms) {
  native_rows block(starts.size(), 1);
  block.column("created_at", "DateTime64(3)").push<std::int64_t>(now_ms);
  append_text(block.column("kind", "String"), row.kind);
  append_text(block.column("cluster", "String"), key.cluster);
  append_text(block.column("group", "String"), key.group);
  append_text(block.column("pipeline", "String"), key.pipeline);
  append_text(block.column("topic", "String"), key.topic);
  block.column("lanes", "Int32").push<std::int32_t>(row.lanes);
  block.column("lane", "Int32").push<std::int32_t>(row.lane);
  auto& positions = block.column("positions", "Array(Int64)");
  positions.push<std::uint64_t>(row.positions.size());
  for (auto p : row.positions) positions.push<std::int64_t>(p.value);
  return std::string(block.view());
}

template <std::size_t N> std::vector<std::string> names_of(const std::array<owned_column, N>& columns) {
  std::vector<std::string> out;
  for (const auto& c : columns) out.emplace_back(c.name);
  return out;
}

// The same key and try give the same token, in whichever process.
std::string start_token(const start_key& key, int tries) {
  std::string text = "chute_starts";
  for (const auto* part : {&key.cluster, &key.group, &key.pipeline, &key.topic})
    text.append(std::to_string(part->size())).append(":").append(*part);
  text.append("#").append(std::to_string(tries));
  auto hash = XXH3_128bits(text.data(), text.size());
  return token_t{hash.high64, hash.low64}.hex();
}

insert_answer insert_start(session& s, const server_facts& facts, const starts_place& place, const std::string& body,
                           const std::string& token, std::int64_t limit_ms) {
  std::array<std::string_view, 1> pieces{body};
  insert_request r;
  r.database = place.database;
  r.table = place.table;
  r.columns = names_of(starts);
  r.format = "Native";
  r.pieces = pieces;
  r.token = token;
  r.limit_ms = limit_ms;
  return insert(s, facts, r);
}

error start_error(const session& s, const starts_place& place, const std::string& cause) {
  return {"clickhouse " + s.url(), table_name(place.database, place.table) + ": " + cause, ""};
}

bool read_start_row(const std::vector<std::string>& row, started& out) {
  if (row.size() != 4) return false;
  std::int32_t lanes = 0, lane = -1;
  std::from_chars(row[1].data(), row[1].data() + row[1].size(), lanes);
  std::from_chars(row[2].data(), row[2].data() + row[2].size(), lane);
  if (row[0] == "lane") out.begun.insert(lane_id{lane});
  if (row[0] != "start" || out.known) return true; // the oldest comes first
  auto positions = parse_numbers(row[3]);
  if (!positions || lanes < 1) return false;
  out.known = true;
  out.lanes = lanes;
  for (auto p : *positions) out.from.push_back({static_cast<std::int64_t>(p)});
  return true;
}

} // namespace

// --- making tables ---------------------------------------------------------------------------------------------------

std::span<const owned_column> dead_letter_columns() { return dead_letters; }
std::span<const owned_column> starts_columns() { return starts; }

std::string sibling_engine(const table_description& destination, const std::string& database, const std::string& table,
                           const std::string& shard) {
  if (!destination.replicated || destination.engine.starts_with("Shared")) return "MergeTree"; // Cloud makes it Shared
  if (destination.database_engine == "Replicated") return "ReplicatedMergeTree";
  auto path = "/clickhouse/tables/chute/" + (shard.empty() ? std::string() : shard + "/") + database + "/" + table;
  return "ReplicatedMergeTree(" + quote_text(path) + ", " + quote_text(destination.replica) + ")";
}

std::string dead_letter_statement(const table_description& destination, const std::string& database,
                                  const std::string& table, const std::string& shard) {
  return create_statement(destination, database, table, shard, dead_letters,
                          "(`pipeline`, `topic`, `partition`, `offset`)");
}

std::string starts_statement(const table_description& destination, const std::string& database,
                             const std::string& table, const std::string& shard) {
  return create_statement(destination, database, table, shard, starts,
                          "(`cluster`, `group`, `pipeline`, `topic`, `kind`, `lane`)");
}

std::vector<table_fault> dead_letter_table_faults(const table_description& t, bool exactly_once,
                                                  const std::string& statement) {
  auto out = column_faults(t, dead_letters);
  if (exactly_once && !t.deduplicates())
    out.push_back({"its engine " + t.engine + " does not deduplicate: it needs a MergeTree with a deduplication window",
                   t.merge_tree() ? open_window(t) : carry_over(t, statement)});
  return out;
}

std::vector<table_fault> starts_table_faults(const table_description& t, const std::string& statement) {
  auto out = column_faults(t, starts);
  if (t.family != engine_family::plain)
    out.push_back({"its engine " + t.engine +
                       " does not deduplicate or changes rows: it needs a MergeTree with a deduplication window",
                   carry_over(t, statement)});
  else if (!t.deduplicates())
    out.push_back({"it does not deduplicate inserts: its deduplication window is 0", open_window(t)});
  if (t.rows_expire) out.push_back({"its rows expire by a TTL", alter(t, "REMOVE TTL")});
  return out;
}

settings_map dead_letter_settings(settings_map settings, bool profile_wants_quorum,
                                  std::optional<std::uint64_t> replicas) {
  if (!replicas) return settings;
  constexpr std::string_view name = "insert_quorum";
  std::uint64_t wanted = profile_wants_quorum ? 2 : 0; // the profile's is not known, or `auto`, which one replica is
  if (const auto own = settings.find(std::string(name)); own != settings.end()) {
    wanted = 0; // 'auto' is a majority of those that there are
    std::from_chars(own->second.data(), own->second.data() + own->second.size(), wanted);
  }
  if (wanted > *replicas) settings[std::string(name)] = "0";
  return settings;
}

result<std::uint64_t> replicas_of(session& s, const storage& t, std::int64_t limit_ms) {
  auto a = run(s,
               "SELECT toString(max(total_replicas)) FROM system.replicas WHERE database = " + quote_text(t.database) +
                   " AND table = " + quote_text(t.table),
               limit_ms);
  if (!a.ok || a.rows.empty()) return query_error(s, "counting the replicas of " + table_name(t.database, t.table), a);
  std::uint64_t n = 0;
  const auto& text = a.rows[0][0];
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

result<table_description> ensure_dead_letter_table(session& s, const server_facts& facts,
                                                   const table_description& destination, const std::string& database,
                                                   const std::string& table, bool exactly_once, std::int64_t limit_ms) {
  return ensure(s, facts, destination, database, table, limit_ms, dead_letter_statement,
                [&](const auto& t, const std::string& sql) { return dead_letter_table_faults(t, exactly_once, sql); });
}

result<table_description> ensure_starts_table(session& s, const server_facts& facts,
                                              const table_description& destination, const std::string& database,
                                              const std::string& table, std::int64_t limit_ms) {
  return ensure(s, facts, destination, database, table, limit_ms, starts_statement, starts_table_faults);
}

// --- dead letters ----------------------------------------------------------------------------------------------------

std::string dead_letter_body(std::span<const dead_letter* const> letters, const std::string& pipeline,
                             const std::string& topic, wall_ms failed_at_ms) {
  auto rows = letters.size();
  native_rows block(dead_letters.size(), rows);
  auto each = [&](const char* name, const char* type, auto append) {
    auto& out = block.column(name, type);
    for (const auto* d : letters) append(out, *d);
  };
  each("failed_at", "DateTime64(3)", [&](bytes& o, const dead_letter&) { o.push<std::int64_t>(failed_at_ms); });
  each("pipeline", "String", [&](bytes& o, const dead_letter&) { append_text(o, pipeline); });
  each("topic", "String", [&](bytes& o, const dead_letter&) { append_text(o, topic); });
  each("partition", "Int32", [](bytes& o, const dead_letter& d) { o.push<std::int32_t>(d.partition.value); });
  each("offset", "Int64", [](bytes& o, const dead_letter& d) { o.push<std::int64_t>(d.offset.value); });
  auto& time = block.column("timestamp", "Nullable(DateTime64(3))");
  for (const auto* d : letters) time.push<std::uint8_t>(d->timestamp_ms < 0 ? 1 : 0);
  for (const auto* d : letters) time.push<std::int64_t>(d->timestamp_ms < 0 ? 0 : d->timestamp_ms);
  auto key = [&](std::size_t i) -> const std::optional<std::string>& { return letters[i]->key; };
  auto value = [&](std::size_t i) -> const std::optional<std::string>& { return letters[i]->value; };
  append_nullable_texts(block.column("key", "Nullable(String)"), rows, key);
  append_nullable_texts(block.column("value", "Nullable(String)"), rows, value);
  append_headers(block.column("headers", "Array(Tuple(name String, value Nullable(String)))"), letters);
  each("error", "String", [](bytes& o, const dead_letter& d) { append_text(o, d.error); });
  return std::string(block.view());
}

insert_answer insert_dead_letters(session& s, const server_facts& facts, const dead_letter_insert& r) {
  if (r.letters.empty()) {
    insert_answer nothing;
    nothing.what = insert_answer::verdict::acknowledged;
    nothing.answered = true;
    return nothing;
  }
  auto body = dead_letter_body(r.letters, r.pipeline, r.topic, r.failed_at_ms);
  std::array<std::string_view, 1> pieces{body};
  insert_request i;
  i.database = r.database;
  i.table = r.table;
  i.columns = names_of(dead_letters);
  i.format = "Native";
  i.pieces = pieces;
  i.token = r.token;
  i.settings = r.settings;
  i.limit_ms = r.limit_ms;
  i.lease = r.lease;
  return insert(s, facts, i);
}

// --- chute_starts ----------------------------------------------------------------------------------------------------

result<started> read_starts(session& s, const server_facts& facts, const starts_place& place, const start_key& key,
                            std::int64_t limit_ms) {
  if (place.replicated)
    if (auto a = sync_replica(s, place.database, place.table, limit_ms); !a.ok)
      return query_error(s, "waiting for the replica of " + table_name(place.database, place.table), a);
  auto a = run(s,
               "SELECT kind, lanes, lane, positions FROM " + table_name(place.database, place.table) +
                   " WHERE `cluster` = " + quote_text(key.cluster) + " AND `group` = " + quote_text(key.group) +
                   " AND `pipeline` = " + quote_text(key.pipeline) + " AND `topic` = " + quote_text(key.topic) +
                   " ORDER BY `created_at`, `lanes`, toString(`positions`)",
               limit_ms, reading_settings(facts, place.replicated));
  if (!a.ok) return query_error(s, "reading " + table_name(place.database, place.table), a);
  started out;
  for (const auto& row : a.rows)
    if (!read_start_row(row, out))
      return start_error(s, place, "a row of " + key.pipeline + "/" + key.topic + " cannot be read");
  return out;
}

namespace {
// What stands in the rows of chute_starts, a text each.
result<std::vector<std::string>> read_texts(session& s, const server_facts& facts, const starts_place& place,
                                            const std::string& what, const std::string& where, std::int64_t limit_ms) {
  const auto table = table_name(place.database, place.table);
  auto a = run(s,
               "SELECT " + what + " AS text FROM " + table + " WHERE " + where +
                   " GROUP BY text ORDER BY max(`created_at`) DESC, text LIMIT 3",
               limit_ms, reading_settings(facts, place.replicated));
  if (!a.ok) return query_error(s, "reading " + table, a);
  std::vector<std::string> out;
  for (auto& row : a.rows)
    if (!row.empty()) out.push_back(std::move(row[0]));
  return out;
}
} // namespace

result<std::vector<std::string>> read_other_starts(session& s, const server_facts& facts, const starts_place& place,
                                                   const start_key& key, std::int64_t limit_ms) {
  return read_texts(s, facts, place, "concat('pipeline ', `pipeline`, ', group ', `group`)",
                    "`cluster` = " + quote_text(key.cluster) + " AND `topic` = " + quote_text(key.topic) +
                        " AND NOT (`pipeline` = " + quote_text(key.pipeline) +
                        " AND `group` = " + quote_text(key.group) + ")",
                    limit_ms);
}

result<std::vector<std::string>> read_other_clusters(session& s, const server_facts& facts, const starts_place& place,
                                                     const start_key& key, std::int64_t limit_ms) {
  return read_texts(s, facts, place, "`cluster`",
                    "`cluster` != " + quote_text(key.cluster) + " AND `group` = " + quote_text(key.group) +
                        " AND `pipeline` = " + quote_text(key.pipeline) + " AND `topic` = " + quote_text(key.topic) +
                        " AND `kind` = 'start'",
                    limit_ms);
}

result<started> write_start(session& s, const server_facts& facts, const starts_place& place, const start_key& key,
                            std::int32_t lanes, const std::vector<offset_t>& from, wall_ms now_ms,
                            std::int64_t limit_ms) {
  auto body = start_body(key, {"start", lanes, -1, from}, now_ms);
  // A token may be known though its row is gone (deleted by someone, or lost by a crash of the server): then another.
  for (int tries = 0; tries < start_tries_max; ++tries) {
    auto there = read_starts(s, facts, place, key, limit_ms);
    if (!there || there->known) return there;
    auto a = insert_start(s, facts, place, body, start_token(key, tries), limit_ms);
    if (a.what != insert_answer::verdict::acknowledged)
      return start_error(s, place, "the first start was not noted: " + a.message);
  }
  auto there = read_starts(s, facts, place, key, limit_ms);
  if (!there || there->known) return there;
  return start_error(s, place, "rows are acknowledged, but cannot be read again: is there a row policy for this user?");
}

result<void> mark_lane(session& s, const server_facts& facts, const starts_place& place, const start_key& key,
                       lane_id lane, wall_ms now_ms, std::int64_t limit_ms) {
  // Without a token: a second row says nothing else than the first, and is better than none.
  auto a = insert_start(s, facts, place, start_body(key, {"lane", 0, lane.value, {}}, now_ms), "", limit_ms);
  if (a.what == insert_answer::verdict::acknowledged) return {};
  return start_error(s, place, "lane " + std::to_string(lane.value) + " was not noted: " + a.message);
}

} // namespace chute::clickhouse
