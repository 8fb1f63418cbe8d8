// What a schedule is made of: the parts, their sizes, their limits. Drawn from the seed, small, so that a schedule is
// short and meets its faults in the middle of something.
#pragma once

#include "core/lane.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace chute::sim {

// Everything that can go wrong. Each can be left out by name (--without), and is counted.
enum class fault : std::uint8_t {
  crash,            // a process dies, and comes back
  pause,            // a process stands still for any length of time
  stop_cleanly,     // a process leaves its group and comes back
  wall_jump,        // a host's clock is set
  request_lost,     // an insert never arrives
  request_late,     // an insert arrives seconds later
  request_repeated, // libcurl posts again by itself
  never_sent,       // the connection is refused
  reply_lost,       // the insert was carried out, its reply is lost
  slow_insert,      // up to the limit of time
  overtime_insert,  // and beyond it: the client gave up
  error_before,     // answered with an error, nothing written
  error_midway,     // answered with an error, some table partitions written
  too_big,          // answered 241 for a while
  person_wanted,    // a right is missing for a while
  question_lost,    // the table's answer does not come
  stale_look,       // a replica that lags answers a question that is not settled
  server_hangs,     // the server accepts connections and stands still
  server_restarts,  // what runs dies with it
  host_crash,       // and the deduplication log loses its tail
  writers,          // others use up the deduplication window
  alter,            // the columns change
  alter_hard,       // the columns change so that old batches are refused
  check_added,      // a CHECK that some records do not pass
  save_lost,        // a save never arrives
  save_reply_lost,  // it was carried out, the reply is lost
  save_late,        // it lies in a queue for seconds or minutes
  save_repeated,    // it arrives twice
  load_failed,      // the store does not answer
  load_stale,       // the store answers with an older record
  rollback,         // the store goes back in time
  expire,           // the store forgets a lane
  foreign_move,     // another tool sets the offset
  rebalance,        // a rebalance without a reason
  fetch_error,      // reading fails
  log_unknown,      // the log's bounds are not told
  short_log,        // a new leader lags for a moment
  retention,        // old records are deleted
  truncate,         // the log loses its end, and is filled again
  recreate,         // the topic is made anew, and filled
  starts_failed,    // chute_starts does not answer
  refresh_failed,   // the table cannot be described
  count
};
inline constexpr auto fault_count = static_cast<std::size_t>(fault::count);
const char* name_of(fault f);
std::optional<fault> fault_named(const std::string& name);

enum class store_type : std::uint8_t { kafka, compare_and_set, file };
const char* name_of(store_type s);

struct scenario {
  std::uint64_t seed = 0;
  int processes = 2, partitions = 1, lanes = 1;
  store_type store = store_type::kafka;
  int table_partitions = 1;
  bool plain = false;         // MergeTree that is not replicated
  bool count_told = true;     // the number of inserts ever made is known
  bool rests = false;         // readers let records come together before they hand them on
  bool notes = false;         // the group's offsets tell what was saved in another store
  bool two_rows = false;      // some records make two rows, in two partitions of the table where it has any
  bool shared_memory = false; // what a lane may gather changes from event to event
  int records = 20;
  std::array<bool, fault_count> muted{}; // faults that this schedule does without, so that others meet more often
  bool flat = false;                     // nothing happens by chance: an exhaustive search decides
  std::uint32_t faults_wanted = 10;      // faults go on until there were so many
  bool wild_log = false;                 // the log may be truncated or made anew
  bool wild_store = false;               // the store may go back, forget, or be moved
  std::uint32_t message_permille = 30;   // how often a message meets a fault
  std::uint32_t stale_permille = 30;     // how often a question meets a replica that lags
  std::int64_t strike_every_ms = 3'000;
  std::int64_t rebalance_limit_ms = 60'000, revoke_limit_ms = 10'000, save_limit_ms = 5'000;
  lane_config lane; // of every lane; what differs is filled in
};

// What a run may ask for instead of what the seed says.
struct wishes {
  std::optional<store_type> store;
  std::array<bool, fault_count> without{};
  std::optional<int> records, processes, partitions;
  std::uint32_t faults_wanted = 10;
};

scenario draw_scenario(std::uint64_t seed, const wishes& w);
std::string describe(const scenario& s);

} // namespace chute::sim
