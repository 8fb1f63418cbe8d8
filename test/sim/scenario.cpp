#include "test/sim/scenario.hpp"

#include "test/sim/dice.hpp"

#include <algorithm>

namespace chute::sim {

namespace {
constexpr const char* fault_names[] = {"crash",         "pause",           "stop_cleanly",     "wall_jump",
                                       "request_lost",  "request_late",    "request_repeated", "never_sent",
                                       "reply_lost",    "slow_insert",     "overtime_insert",  "error_before",
                                       "error_midway",  "too_big",         "person_wanted",    "question_lost",
                                       "stale_look",    "server_hangs",    "server_restarts",  "host_crash",
                                       "writers",       "alter",           "alter_hard",       "check_added",
                                       "save_lost",     "save_reply_lost", "save_late",        "save_repeated",
                                       "load_failed",   "load_stale",      "rollback",         "expire",
                                       "foreign_move",  "rebalance",       "fetch_error",      "log_unknown",
                                       "short_log",     "retention",       "truncate",         "recreate",
                                       "starts_failed", "refresh_failed"};
static_assert(std::size(fault_names) == fault_count);

constexpr const char* store_names[] = {"kafka", "compare_and_set", "file"};
} // namespace

const char* name_of(fault f) { return fault_names[static_cast<std::size_t>(f)]; }
const char* name_of(store_type s) { return store_names[static_cast<std::size_t>(s)]; }

std::optional<fault> fault_named(const std::string& name) {
  for (std::size_t i = 0; i < fault_count; ++i)
    if (name == fault_names[i]) return static_cast<fault>(i);
  return {};
}

namespace {

void draw_limits(dice& d, lane_config& c) {
  // Short limits make the waits short; the ratios are those of the defaults, or close.
  static constexpr std::int64_t leases[] = {4'000, 10'000, 60'000};
  static constexpr std::int64_t inserts[] = {4'000, 20'000, 120'000};
  auto k = d.below(3);
  c.lease_ms = leases[k];
  c.insert_limit_ms = inserts[d.chance(700) ? k : d.below(3)];
  c.question_limit_ms = d.chance(500) ? 2'000 : 10'000;
  c.confirm_limit_ms = d.chance(700) ? 3'000 : 60'000;
  c.session_timeout_ms = d.chance(500) ? 6'000 : 45'000;
  c.retry_max_ms = d.chance(500) ? 2'000 : 30'000;
  c.again_and_again = 3;
  c.look_at_log_ms = d.chance(500) ? 20'000 : 300'000;
}

void tell_rate(scenario& s) { s.lane.ids_per_second = 2.0 * s.lanes * s.table_partitions; }

void draw_window(dice& d, scenario& s) {
  static constexpr std::uint64_t ids[] = {40, 100, 1'000, 10'000};
  auto& c = s.lane;
  auto wait = c.lease_ms + c.insert_limit_ms;
  c.window_ids = ids[d.below(4)];
  static constexpr std::int64_t year_ms = 366ll * 86'400'000;
  c.window_ms = s.plain ? year_ms : d.chance(400) ? 2 * wait + d.between(2'000, 60'000) : 3'600'000;
  tell_rate(s);
}

// A schedule with all faults mostly meets the commonest; with a few of them, the rare ones meet each other (swarm
// testing, Groce et al., ISSTA 2012). Three seeds of eight, with dice of their own: the others' schedules stay.
void draw_swarm(scenario& s) {
  if (s.seed % 2 == 0 || s.seed % 8 == 5) return;
  dice d(stir(s.seed) + 5);
  for (std::size_t i = 0; i < fault_count; ++i) s.muted[i] = d.chance(500);
  s.muted[static_cast<std::size_t>(d.chance(500) ? fault::crash : fault::pause)] = false; // something strikes
  s.message_permille = static_cast<std::uint32_t>(d.between(20, 500));
  if (d.chance(300)) s.stale_permille = 900;
  s.wild_store |= d.chance(150);
}

// Where a lane has many partitions that are far behind, they take turns. Also with dice of their own.
void draw_turns(scenario& s, const wishes& w) {
  if (w.partitions || (s.seed % 8 != 2 && s.seed % 8 != 7 && s.seed % 16 != 1)) return;
  dice d(stir(s.seed) + 9);
  s.partitions = static_cast<int>(d.between(2, 5));
  s.lanes = static_cast<int>(d.between(1, std::max(1, s.partitions / 2)));
  auto& c = s.lane;
  c.lanes = s.lanes;
  c.topic_partitions = s.partitions;
  tell_rate(s);
  c.behind_at_once = static_cast<std::size_t>(d.chance(700) ? 1 : 2);
  c.behind_bytes = static_cast<std::uint64_t>(d.between(5, 60));
  c.turn_bytes = static_cast<std::uint64_t>(d.between(10, 100));
}

} // namespace

scenario draw_scenario(std::uint64_t seed, const wishes& w) {
  dice d(seed);
  scenario s;
  s.seed = seed;
  s.store = d.chance(550) ? store_type::kafka : d.chance(800) ? store_type::compare_and_set : store_type::file;
  if (w.store) s.store = *w.store;
  s.processes = s.store == store_type::file ? 1 : static_cast<int>(d.between(1, 3));
  s.partitions = static_cast<int>(d.chance(500) ? d.between(1, 2) : d.between(2, 5));
  if (w.processes) s.processes = *w.processes;
  if (w.partitions) s.partitions = *w.partitions;
  s.lanes = static_cast<int>(d.between(1, std::min(3, s.partitions)));
  s.table_partitions = static_cast<int>(d.chance(400) ? 1 : d.between(2, 3));
  s.plain = d.chance(500);
  s.count_told = d.chance(800);
  s.records = w.records.value_or(static_cast<int>(d.between(4, 30)));
  s.faults_wanted = w.faults_wanted + d.below(8);
  s.wild_log = d.chance(120);
  s.wild_store = d.chance(120);
  s.message_permille = static_cast<std::uint32_t>(d.between(20, 250));
  s.strike_every_ms = d.any_length(200, 6'000);
  auto& c = s.lane;
  c.pipeline = "p";
  c.topic = "t";
  c.lanes = s.lanes;
  c.topic_partitions = s.partitions;
  c.cluster = 11;
  c.destination = 22;
  draw_limits(d, c);
  c.batch.rows = static_cast<std::uint64_t>(d.between(1, 6));
  c.batch.bytes = 1 << 20;
  c.batch.wait_ms = d.chance(500) ? 100 : d.between(10, 2'000);
  c.save_rest_ms = s.seed % 3 == 1 ? c.batch.wait_ms : 0; // not drawn: the others' schedules stay
  c.trust.there = c.trust.not_there = true;
  c.trust.plain_merge_tree = s.plain;
  c.trust.quorum = d.chance(100);
  c.on_data_loss = d.chance(500) ? data_loss_policy::stop : data_loss_policy::resume;
  c.on_bad_record = d.chance(850) ? bad_record_policy::dead_letter : bad_record_policy::skip;
  draw_window(d, s);
  s.rebalance_limit_ms = d.chance(500) ? 300'000 : 15'000;
  s.rests = d.chance(400);
  s.stale_permille = s.message_permille;
  draw_swarm(s);
  draw_turns(s, w);
  s.shared_memory = s.seed % 16 == 11; // the others' schedules stay
  s.notes = s.seed % 8 == 1 && s.store != store_type::kafka;
  s.lane.several_rows = s.two_rows = s.seed % 8 == 6 || s.seed % 16 == 3;
  c.trust.split = s.table_partitions > 1;
  return s;
}

std::string describe(const scenario& s) {
  const auto& c = s.lane;
  std::string out = "seed " + std::to_string(s.seed) + ": store " + name_of(s.store) + ", " +
                    std::to_string(s.processes) + " processes, " + std::to_string(s.partitions) + " partitions, " +
                    std::to_string(s.lanes) + " lanes, " + std::to_string(s.records) + " records, " +
                    (s.plain ? "plain" : "replicated") + " MergeTree of " + std::to_string(s.table_partitions) +
                    " partitions, window " + std::to_string(c.window_ids) + " ids / " + std::to_string(c.window_ms) +
                    " ms, batches of " + std::to_string(c.batch.rows) + " rows / " + std::to_string(c.batch.wait_ms) +
                    " ms, lease " + std::to_string(c.lease_ms) + ", insert limit " + std::to_string(c.insert_limit_ms) +
                    ", session " + std::to_string(c.session_timeout_ms);
  if (s.wild_log) out += ", wild log";
  if (s.wild_store) out += ", wild store";
  if (!s.count_told) out += ", inserts not counted";
  if (s.rests) out += ", readers rest";
  if (s.notes) out += ", saves noted in the group";
  if (s.shared_memory) out += ", memory comes and goes";
  if (s.two_rows) out += ", some records of two rows";
  if (c.behind_at_once > 0)
    out += ", " + std::to_string(c.behind_at_once) + " partitions at once that are behind by " +
           std::to_string(c.behind_bytes) + " bytes, for " + std::to_string(c.turn_bytes);
  if (auto n = std::count(s.muted.begin(), s.muted.end(), true)) out += ", without " + std::to_string(n) + " faults";
  if (c.trust.quorum) out += ", quorum";
  if (c.on_data_loss == data_loss_policy::resume) out += ", on_data_loss continue";
  if (c.on_bad_record == bad_record_policy::skip) out += ", on_bad_record skip";
  return out;
}

} // namespace chute::sim
