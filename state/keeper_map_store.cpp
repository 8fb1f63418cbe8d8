// Every write is a compare-and-set that Keeper itself makes atomic:
//  - A first record is an INSERT with keeper_map_strict_mode=1, which fails if a key exists.
//  - Every other save is an ALTER … UPDATE whose expression throws unless each row has the version that is expected. In
//    strict mode ClickHouse writes with the versions that it read, all rows in one transaction, so a race is lost
//    whole.
// What is written is read back before it counts: a key that is absent is skipped without a word, a reply may be lost,
// and an exception of Keeper says nothing about what was written. A row tells by its text whose save it is.
#include "state/keeper_map_store.hpp"

#include "core/mutant.hpp"
#include "state/compare.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

namespace chute {

namespace {

constexpr std::size_t request_bytes_max = 192 << 10; // of texts, in one transaction: Keeper takes 1 MiB
constexpr std::size_t request_lanes_max = 64;
constexpr int older_reads = 3;             // an older row must be seen so often before it is believed
constexpr std::int64_t rest_ms = 40;       // between two of those reads
constexpr int rounds_max = 20;             // of one save: each ends with a lane less, or after a rest
constexpr std::size_t query_max = 4 << 20; // bytes of a statement

// Profiles may set these otherwise.
const std::map<std::string, std::string> write_settings = {
    {"keeper_map_strict_mode", "1"},
    {"short_circuit_function_evaluation", "enable"},
    {"async_insert", "0"},
    {"max_query_size", std::to_string(query_max)},
};
// A user's profile could leave rows out.
const std::map<std::string, std::string> read_settings = {{"max_query_size", std::to_string(query_max)},
                                                          {"max_result_rows", "0"},
                                                          {"limit", "0"},
                                                          {"offset", "0"},
                                                          {"read_overflow_mode", "throw"},
                                                          {"result_overflow_mode", "throw"}};

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string name_of(const std::string& name) {
  std::string out = "`";
  for (char c : name) {
    if (c == '`' || c == '\\') out += '\\';
    out += c;
  }
  return out + "`";
}

std::string full_name(const std::string& database, const std::string& table) {
  return name_of(database) + "." + name_of(table);
}

// Below the server's keeper_map_path_prefix. Servers of one Keeper share the table by it.
std::string keeper_path(const std::string& database, const std::string& table) {
  return "/" + escaped(database) + "/" + table;
}

} // namespace

// --- statements ------------------------------------------------------------------------------------------------------

namespace keeper_map {

std::string create_table(const std::string& database, const std::string& table) {
  return "CREATE TABLE IF NOT EXISTS " + full_name(database, table) +
         " (key String, version UInt64, text String) ENGINE = KeeperMap(" + quoted(keeper_path(database, table)) +
         ") PRIMARY KEY key";
}

std::string insert_first(const std::string& table_name, const std::vector<const save_request*>& saves) {
  auto out = "INSERT INTO " + table_name + " (key, version, text) VALUES ";
  for (std::size_t i = 0; i < saves.size(); ++i)
    out += (i ? ", (" : "(") + quoted(record_name(saves[i]->lane)) + ", " + std::to_string(saves[i]->record.version) +
           ", " + quoted(saves[i]->record.text) + ")";
  return out;
}

std::string update(const std::string& table_name, const std::vector<const save_request*>& saves) {
  std::string texts, versions, keys;
  for (const auto* s : saves) {
    auto key = quoted(record_name(s->lane));
    texts += "key = " + key + " AND version = " + std::to_string(s->expected) + ", " + quoted(s->record.text) + ", ";
    versions += "key = " + key + ", " + std::to_string(s->record.version) + ", ";
    keys += (keys.empty() ? "" : ", ") + key;
  }
  return "ALTER TABLE " + table_name + " UPDATE text = multiIf(" + texts +
         "toString(throwIf(1, 'refused'))), version = multiIf(" + versions + "version) WHERE key IN (" + keys + ")";
}

std::string select(const std::string& table_name, const std::vector<lane_key>& lanes) {
  std::string keys;
  for (const auto& k : lanes) keys += (keys.empty() ? "" : ", ") + quoted(record_name(k));
  return "SELECT key, version, text FROM " + table_name + " WHERE key IN (" + keys + ")";
}

} // namespace keeper_map

namespace {

using status = sql_answer::status;

// ClickHouse's codes that matter here.
constexpr int unknown_table = 60, unknown_database = 81, bad_arguments = 36, no_zookeeper = 225, access_denied = 497,
              throw_if = 395;

// Refusals after which nothing was written, for sure: our own, and those before anything is looked at, which a person
// has to mend. All others, Keeper's first of all, say nothing about what was written.
bool nothing_written(int code) {
  for (int known : {throw_if, unknown_table, unknown_database, bad_arguments, access_denied, 16, 44, 47, 48, 62, 115,
                    164, 192, 193, 194, 195, 202, 452, 516})
    if (code == known) return true;
  return false;
}

std::string rights_for(const keeper_map_options& o) {
  auto name = full_name(o.database, o.table);
  return "GRANT SELECT, INSERT, ALTER UPDATE, CREATE TABLE ON " + name + " to the user";
}

// Why the table cannot be made, and what mends it.
error cannot_create(const keeper_map_options& o, const sql_answer& a) {
  auto failed = [&](const std::string& way_out) {
    return error{"state", "the KeeperMap table " + full_name(o.database, o.table) + " cannot be made: " + a.why,
                 way_out};
  };
  if (a.what != status::refused) return failed("");
  if (a.why.find("keeper_map_path_prefix") != std::string::npos)
    return failed("add <keeper_map_path_prefix>/keeper_map</keeper_map_path_prefix> to ClickHouse's configuration and "
                  "restart it, or choose another state.store");
  if (a.code == bad_arguments && a.why.find("Ordinary") != std::string::npos)
    return failed("choose a clickhouse.database whose engine is Atomic or Replicated, or another state.store");
  if (a.code == no_zookeeper || a.why.find("ZooKeeper configuration") != std::string::npos)
    return failed("name Keeper in ClickHouse's configuration (<zookeeper>), or choose another state.store");
  if (a.code == unknown_database) return failed("create the database, or correct clickhouse.database");
  if (a.code == access_denied)
    return failed(rights_for(o) + ", or run: " + keeper_map::create_table(o.database, o.table));
  return failed("");
}

// A table of the right kind on another path was renamed, or made by hand: it may well hold the state.
std::string carry_over(const keeper_map_options& o) {
  const auto name = full_name(o.database, o.table), old = full_name(o.database, o.table + "_old");
  return "if it holds the state, carry it over while nothing uses it: RENAME TABLE " + name + " TO " + old + "; " +
         keeper_map::create_table(o.database, o.table) + "; INSERT INTO " + name + " SELECT * FROM " + old +
         "; if not, give state.table another name";
}

// What system.tables says of the table: nothing if it is as it has to be. `exists` false: there is none.
std::optional<error> look_at_table(const keeper_map_options& o, const sql_server& server, std::int64_t limit_ms,
                                   bool& exists) {
  auto name = full_name(o.database, o.table);
  auto a = server("SELECT engine, engine_full FROM system.tables WHERE database = " + quoted(o.database) +
                      " AND name = " + quoted(o.table),
                  {}, limit_ms);
  if (a.what != status::ok) return error{"state", "looking for the table " + name + ": " + a.why, ""};
  exists = !a.rows.empty();
  if (!exists) return std::nullopt;
  if (a.rows[0].size() != 2) return error{"state", "looking for the table " + name + ": no answer of two columns", ""};
  const auto &kind = a.rows[0][0], &engine = a.rows[0][1];
  auto arguments = "KeeperMap(" + quoted(keeper_path(o.database, o.table));
  // Another path would be another table: two processes that use two would not keep each other out.
  if (kind == "KeeperMap" && engine.compare(0, arguments.size(), arguments) == 0) return std::nullopt;
  if (mutant(bug::other_table_used)) return std::nullopt;
  return error{"state", "the table " + name + " is there, but it is not the state store's: its engine is " + engine,
               kind == "KeeperMap" ? carry_over(o) : "give state.table another name"};
}

class keeper_map_store final : public store {
public:
  explicit keeper_map_store(keeper_map_options options)
      : o_(std::move(options)), table_(full_name(o_.database, o_.table)), ready_(o_.servers.size(), false) {}
  const char* name() const override { return "keeper_map"; }

  std::vector<loaded> load(const std::vector<lane_key>& lanes, std::int64_t limit_ms) override {
    std::vector<loaded> out(lanes.size());
    if (lanes.empty()) return out;
    auto rows = read(lanes, boot_ms() + limit_ms);
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      if (!rows) {
        if (mutant(bug::unread_row_is_absent)) out[i].status = loaded::status::absent;
        out[i].failure = rows.failure();
        continue;
      }
      auto it = rows->find(record_name(lanes[i]));
      out[i].status = it == rows->end() ? loaded::status::absent : loaded::status::found;
      if (it != rows->end()) out[i].record = it->second;
    }
    return out;
  }

  std::vector<saved> save(const std::vector<save_request>& requests, std::int64_t limit_ms) override {
    auto deadline = boot_ms() + limit_ms;
    std::vector<saved> out(requests.size());
    std::vector<std::size_t> together;
    std::size_t bytes = 0;
    auto flush = [&] {
      save_together(requests, std::exchange(together, {}), out, deadline);
      bytes = 0;
    };
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto& r = requests[i];
      if (r.record.version <= r.expected) { // a version that does not grow
        out[i] = compare(r, stored_record{r.expected, ""}).value_or(saved{});
        continue;
      }
      auto fits = [&](std::size_t other) {
        return requests[other].lane != r.lane && (requests[other].expected == 0) == (r.expected == 0);
      };
      bool full = together.size() == request_lanes_max || bytes + r.record.text.size() > request_bytes_max;
      if (full || !std::all_of(together.begin(), together.end(), fits)) flush();
      together.push_back(i);
      bytes += r.record.text.size();
    }
    flush();
    return out;
  }

private:
  using rows_map = std::map<std::string, stored_record>;

  // Moves on to another server, which has to show its table first.
  void leave_server() {
    ready_[at_] = false;
    at_ = (at_ + 1) % o_.servers.size();
  }

  std::optional<error> make_ready(std::int64_t deadline) {
    missing_ = false;
    if (ready_[at_]) return std::nullopt;
    const auto& server = o_.servers[at_];
    bool exists = false;
    if (auto wrong = look_at_table(o_, server, left(deadline), exists)) return wrong;
    missing_ = !exists && !o_.make_table;
    if (missing_) return error{"state", "there is no table " + table_, "run the pipeline, or correct state.table"};
    if (!exists) {
      auto a = server(keeper_map::create_table(o_.database, o_.table), {}, left(deadline));
      if (a.what != status::ok) return cannot_create(o_, a);
      if (auto wrong = look_at_table(o_, server, left(deadline), exists)) return wrong;
      if (!exists) return error{"state", "the table " + table_ + " was made, but is not there", ""};
    }
    ready_[at_] = true;
    return std::nullopt;
  }

  // Runs a statement on the first server that is there. What may have run once is not sent to another one. A server
  // that answers, but has no Keeper, is left as well: it would be asked for ever.
  sql_answer run(const std::string& statement, const std::map<std::string, std::string>& settings,
                 std::int64_t deadline) {
    sql_answer a;
    for (std::size_t tries = 0; tries < o_.servers.size() && boot_ms() < deadline; ++tries) {
      if (auto wrong = make_ready(deadline)) a = {status::unsent, 0, wrong->text(), {}};
      else a = o_.servers[at_](statement, settings, left(deadline));
      if (a.what == status::ok || a.what == status::refused) {
        if (a.code == unknown_table) ready_[at_] = false;
        if (a.what == status::refused && !nothing_written(a.code)) leave_server();
        return a;
      }
      leave_server();
      if (a.what == status::unknown) return a;
    }
    if (a.why.empty()) a = {status::unsent, 0, "no time was left", {}};
    return a;
  }

  result<rows_map> read(const std::vector<lane_key>& lanes, std::int64_t deadline) {
    // No two reads are the same: a query cache, which a profile may turn on, would answer with what was there before.
    const auto wall_ns = std::chrono::system_clock::now().time_since_epoch().count();
    const auto statement = keeper_map::select(table_, lanes) + " AND " + std::to_string(wall_ns) + " > 0";
    auto a = run(statement, read_settings, deadline);
    // A table that was dropped is made anew, empty: whether there ought to be records, recovery knows.
    if (a.code == unknown_table) a = run(statement, read_settings, deadline);
    if (missing_) return rows_map(); // who only looks finds no record in a table that was never made
    if (a.what != status::ok) return error{"state", "reading " + table_ + ": " + a.why, ""};
    rows_map out;
    for (const auto& row : a.rows) {
      stored_record r;
      if (row.size() != 3) return error{"state", "reading " + table_ + ": a row without its three columns", ""};
      try {
        r.version = std::stoull(row[1]);
      } catch (const std::exception&) {
        return error{"state", "reading " + table_ + ": the version '" + row[1] + "' is no number", ""};
      }
      r.text = row[2];
      out[row[0]] = std::move(r);
    }
    return out;
  }

  // Lanes that all have a record, or all have none.
  void save_together(const std::vector<save_request>& requests, std::vector<std::size_t> open, std::vector<saved>& out,
                     std::int64_t deadline) {
    std::map<std::size_t, int> older; // how often a lane's row was seen to be older than expected
    std::string why = "no time was left";
    bool may_land = false;
    for (int round = 0; !open.empty() && round < rounds_max && boot_ms() < deadline; ++round) {
      if (round > 0) rest();
      auto a = write(requests, open, deadline);
      why = a.what == status::ok ? "what was written is not seen yet" : a.why;
      if (a.what == status::unsent) break;
      may_land |= a.what != status::refused || !nothing_written(a.code);
      if (mutant(bug::keeper_exception_is_answer) && a.what == status::refused) may_land = false;
      auto before = open.size();
      if (auto failure = read_back(requests, open, older, out, deadline)) {
        why = failure->text();
        break;
      }
      // One lane's refusal keeps the others from being written: again without it. A row that is absent or older than
      // expected is looked at again before it is believed.
      bool again = a.what == status::ok || a.code == throw_if || a.code == unknown_table || open.size() < before;
      again = again && !(open.size() < before && mutant(bug::refusal_stops_the_others));
      if (!again) break;
    }
    for (auto i : open) {
      const auto& lane = requests[i].lane;
      if (may_land && !mutant(bug::late_save_forgotten)) unsettled_.insert(lane);
      out[i] = {unsettled_.count(lane) ? save_status::unknown : save_status::not_now,
                error{"state", to_string(lane) + ": " + why, ""}};
    }
  }

  sql_answer write(const std::vector<save_request>& requests, const std::vector<std::size_t>& open,
                   std::int64_t deadline) {
    std::vector<const save_request*> saves;
    for (auto i : open) saves.push_back(&requests[i]);
    auto statement =
        saves[0]->expected == 0 ? keeper_map::insert_first(table_, saves) : keeper_map::update(table_, saves);
    return run(statement, write_settings, deadline);
  }

  // Takes those out of `open` whose answer is known.
  std::optional<error> read_back(const std::vector<save_request>& requests, std::vector<std::size_t>& open,
                                 std::map<std::size_t, int>& older, std::vector<saved>& out, std::int64_t deadline) {
    std::vector<lane_key> lanes;
    for (auto i : open) lanes.push_back(requests[i].lane);
    auto rows = read(lanes, deadline);
    if (!rows) return rows.failure();
    std::erase_if(open, [&](std::size_t i) {
      const auto& r = requests[i];
      auto it = rows->find(record_name(r.lane));
      auto answer = compare(r, it == rows->end() ? std::nullopt : std::optional(it->second));
      if (mutant(bug::written_not_read_back)) answer = saved{save_status::accepted, {}};
      if (!answer) return false; // the row is the one expected: not written yet
      bool is_older = (it == rows->end() ? 0 : it->second.version) < r.expected;
      if (is_older && ++older[i] < older_reads && !mutant(bug::older_row_believed_at_once)) return false;
      out[i] = std::move(*answer);
      unsettled_.erase(r.lane);
      return true;
    });
    return std::nullopt;
  }

  void rest() const {
    if (o_.rest) o_.rest(rest_ms);
    else std::this_thread::sleep_for(std::chrono::milliseconds(rest_ms));
  }
  static std::int64_t left(std::int64_t deadline) { return std::max<std::int64_t>(1, deadline - boot_ms()); }

  keeper_map_options o_;
  std::string table_;
  std::vector<bool> ready_;      // by server: its table was looked at
  bool missing_ = false;         // there is no table, and none is to be made
  std::size_t at_ = 0;           // the server in use
  std::set<lane_key> unsettled_; // lanes with a save that may still land
};

} // namespace

std::unique_ptr<store> make_keeper_map_store(keeper_map_options options) {
  return std::make_unique<keeper_map_store>(std::move(options));
}

// --- check -----------------------------------------------------------------------------------------------------------

namespace {

void check_server(const keeper_map_options& o, std::size_t i, std::vector<finding>& out, std::int64_t limit_ms) {
  auto where = "state: keeper_map " + full_name(o.database, o.table) + (i < o.urls.size() ? " on " + o.urls[i] : "");
  auto add = [&](const error& e) { out.push_back({finding::severity::error, where, e.cause, e.way_out}); };
  bool exists = false;
  if (auto wrong = look_at_table(o, o.servers[i], limit_ms, exists)) return add(*wrong);
  if (exists) {
    auto a = o.servers[i](keeper_map::select(full_name(o.database, o.table), {{}}), {}, limit_ms);
    if (a.what != status::ok)
      add({"", "it cannot be read: " + a.why, a.code == access_denied ? rights_for(o) : "see that Keeper answers"});
    return;
  }
  // A path that cannot be: it is refused, but only after what is missing in the configuration was.
  auto a = o.servers[i]("CREATE TABLE " + full_name(o.database, o.table) +
                            " (key String, version UInt64, text String) ENGINE = KeeperMap('/') PRIMARY KEY key",
                        {}, limit_ms);
  bool possible = a.what == status::refused && a.code == bad_arguments && a.why.find("root_path") != std::string::npos;
  if (!possible) add(cannot_create(o, a));
}

} // namespace

std::vector<finding> check_keeper_map(const keeper_map_options& options, std::int64_t limit_ms) {
  std::vector<finding> out;
  for (std::size_t i = 0; i < options.servers.size(); ++i) check_server(options, i, out, limit_ms);
  return out;
}

} // namespace chute
