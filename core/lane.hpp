// The lane: one owner, one record, one live plan. A pure state machine: events go in with an instant, effects come out.
// It holds no clock, no thread, no I/O, and no randomness but what it is handed. The engine, the unit tests and the
// simulator run this same object. The rules are those of docs/guarantees.md.
//
//   loading → comparing → claiming → settling → streaming → (draining) → released, or stopped(reason)
//
// Every request that goes out carries a ticket; an answer with another ticket than the one expected is from before the
// lane forgot, and is ignored.
#pragma once

#include "core/answers.hpp"
#include "core/batch.hpp"
#include "core/decide.hpp"
#include "core/mutant.hpp"
#include "core/record.hpp"
#include "core/status.hpp"
#include "core/way_out.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace chute {

// The time of an event on three clocks, in ms.
struct instant {
  mono_ms mono = 0;               // counts suspended time, never jumps
  wall_ms wall = 0;               // the host's
  wall_ms server = 0;             // ClickHouse's, carried on by `mono`; at the earliest
  std::int64_t server_unsure = 0; // ms that it may be later: as long as it took to answer
};

class random_source {
public:
  virtual ~random_source() = default;
  virtual std::uint64_t next() = 0; // 64 random bits; the engine's come from the system's secure source
};

// An invariant of the lane did not hold. It stops the lane before anything is sent; no input can cause it.
class invariant_violation : public std::logic_error {
public:
  using std::logic_error::logic_error;
};

struct lane_config {
  std::string pipeline, topic;
  std::string file = "FILE"; // the topology's, for the commands that messages name
  lane_id lane;
  std::int32_t lanes = 32;
  std::int32_t topic_partitions = 1; // partitions that the topic has now
  std::uint64_t cluster = 0, destination = 0, fingerprint = 0;
  delivery_mode delivery = delivery_mode::exactly_once;
  bad_record_policy on_bad_record = bad_record_policy::dead_letter;
  data_loss_policy on_data_loss = data_loss_policy::stop;
  batch_config batch;
  std::uint64_t gather_bytes_max = 64ull << 20; // of columns, gathered while the batch before is on its way
  table_trust trust;                            // what the destination's engine and columns let us believe
  // The smallest deduplication window among the table, its views' targets and the dead-letter table:
  std::int64_t window_ms = 3'600'000;
  std::uint64_t window_ids = 10'000;
  double ids_per_second = 1; // the rate that this pipeline can reach
  std::int64_t lease_ms = 60'000, insert_limit_ms = 120'000, question_limit_ms = 10'000, confirm_limit_ms = 60'000;
  std::int64_t session_timeout_ms = 45'000;
  // A transaction that is open for longer is a reason to wait: no broker lets one last for longer than
  // transaction.max.timeout.ms, by default so long. (Kafka's documentation of the broker's settings.)
  std::int64_t open_transaction_ms = 900'000;
  std::int64_t retry_first_ms = 100, retry_max_ms = 30'000;
  // What was acknowledged is saved with the next plan, or alone if no records come for so long.
  std::int64_t save_rest_ms = 0;
  int again_and_again = 3;
  // A topic can be made anew and filled within seconds. Who did not look at the log for longer than `unseen_limit_ms`
  // (more than a heartbeat of the engine) looks again before anything more is planned; everyone, from time to time. So
  // does a lane that is given records after it had none for longer than `idle_limit_ms`, or one of its partitions for
  // longer than `look_at_log_ms`: what it waited for may be another log's.
  std::int64_t unseen_limit_ms = 2'000, idle_limit_ms = 2'000, look_at_log_ms = 60'000;
  // So far back from `next` a row or dead letter of this lane is looked for before "none" is believed. A pipeline that
  // takes few of the records finds none nearby.
  std::int64_t control_offsets = 1'000'000;
  bool several_rows = false;       // a record may make more than one
  std::vector<std::int64_t> until; // one a partition of the lane: stop there (exclusive); empty: stream for ever
  // Readers hold records ahead, so of the partitions with more than `behind_bytes` to read only so many are read at
  // once, each for `turn_bytes`, or until nothing is known to be left; then it is the next one's turn. 0: all at once,
  // and none is ever set aside.
  std::size_t behind_at_once = 0;
  std::uint64_t behind_bytes = 64 << 10, turn_bytes = 16 << 20;
};

// What the shell found at the load: the record, and what chute_starts says.
struct lane_loaded {
  enum class state : std::uint8_t { found, absent, foreign, failed } what = state::failed;
  std::string text;            // found: the record
  std::string why;             // foreign, failed
  bool marked = false;         // chute_starts has a row of this lane
  std::vector<offset_t> start; // one a partition: where a first start begins
  // Another Kafka cluster on which this pipeline began, where this lane did not begin on this one, and the table holds
  // rows of such lanes' partitions, or cannot tell. Empty: none.
  std::string elsewhere;
  // What the group's offsets say was saved, where another store than kafka has the record. Lineage 0: nothing.
  std::uint64_t noted_lineage = 0, noted_version = 0;
};

// What the shell found in the log, one a partition of the lane.
struct log_facts {
  struct part {
    offset_t low, end; // of the log: the first offset held, and the one after the last
    enum class recognised : std::uint8_t { not_asked, same, differs, gone } known = recognised::not_asked;
  };
  bool answered = false;
  std::string why; // if not
  std::vector<part> parts;
};

// --- effects --------------------------------------------------------------------------------------------------------

using ticket_t = std::uint64_t;

struct fx_load {
  ticket_t ticket;
};
struct fx_inspect { // look at the log: bounds, and the record at `known` (its hash cut to 32 bits)
  struct probe {
    partition_id partition;
    std::optional<offset_t> at;
    std::uint32_t hash = 0;
  };
  ticket_t ticket;
  std::vector<probe> probes;
};
struct fx_ask { // count what landed
  ticket_t ticket;
  std::vector<offset_range> ranges;
  std::optional<token_t> running;    // also: is a query with this token running anywhere?
  bool settled = false;              // sync replicas first: the answer must be final
  bool list = false;                 // which offsets, not only how many
  std::optional<token_t> still = {}; // as running, but what a server does not tell counts as no
};
struct fx_save {
  ticket_t ticket;
  std::uint64_t expected;
  std::uint64_t version;
  std::string text;
  std::vector<std::pair<partition_id, offset_t>> offsets;
};
struct fx_mark_started {
  ticket_t ticket;
};               // write the lane's row into chute_starts
struct fx_read { // read a partition from an offset; chunks of older epochs are ignored
  std::uint64_t epoch;
  partition_id partition;
  offset_t from;
};
struct fx_set_aside { // read no further, until the next fx_read; of what was asked for nothing is wanted any more
  partition_id partition;
};
struct fx_ask_reader { // is there nothing to hand on? Then end_seen()
  std::uint64_t epoch;
  partition_id partition;
};
struct fx_take {
  std::uint64_t epoch;
  partition_id partition;
  std::uint64_t bytes;
}; // one chunk, please
struct fx_stop_reading {};
// The moment of a server's start is computed from clocks that count whole seconds.
inline constexpr std::int64_t server_start_unsure_ms = 2'000;
// So long a repetition may rely on the server having been up: no host crashes and is back within that.
inline constexpr mono_ms server_word_ms = 5'000;

struct fx_insert { // send it once. `lease_mono`, `lease_wall`: send only before these, on both clocks
  ticket_t ticket;
  std::shared_ptr<const batch> what;
  // The dead letters of the batch, else its rows. With `as` dead_letter every record of the batch becomes one; its
  // bytes are read from the log again.
  bool dead_letters = false;
  bool again = false;     // something may have landed of it before
  bool refreshed = false; // the columns were described anew, and are the same, since nothing of the lane got through
  std::uint64_t made_for = 0; // the fingerprint of the columns that the rows are for
  mono_ms lease_mono = 0;
  wall_ms lease_wall = 0;
  // A repetition to a server whose host may crash, and its deduplication log with it: from `word_mono` on the server is
  // asked right before, and nothing is sent if it started after `started_before` (on its clock), or does not answer.
  mono_ms word_mono = INT64_MAX;
  wall_ms started_before = 0;
};
struct fx_refresh {
  ticket_t ticket;
}; // describe the table again
struct fx_forgotten {
  bool save_outstanding = false;
}; // a commit without an answer may still lie in a queue
struct fx_released {
  bool drained = false;
  bool left_open = false; // a plan whose insert had no answer: it may be running still
};
struct fx_stopped {
  std::string reason;
};

using effect =
    std::variant<fx_load, fx_inspect, fx_ask, fx_save, fx_mark_started, fx_read, fx_take, fx_ask_reader, fx_set_aside,
                 fx_stop_reading, fx_insert, fx_refresh, fx_forgotten, fx_released, fx_stopped>;

// Ways through the rules that a plan or a recovery took. The simulator shows with them that it reached each.
enum class lane_edge : std::uint8_t {
  first_start,
  loaded_streaming, // claimed, no open plan
  loaded_settling,  // claimed, an open plan
  compared_again,   // a contradiction, to be looked at again after the claim
  planned,
  planned_fill,
  planned_dead_letter,
  gap_saved,
  sent,
  sent_again,
  lease_renewed,
  done_at_once, // acknowledged at the first attempt
  looked_all,
  looked_missing,
  confirmed,
  unconfirmed, // not in time: a doubt
  listed_missing,
  listed_all,
  doubted_late, // past good_until
  still_runs,   // an attempt is seen on the server, so it is not sent again yet
  doubted_columns,
  doubted_restart,
  doubted_rejection,
  doubted_too_big,
  asked_all,
  asked_some,
  asked_none,
  waited_quiet, // asked again once no attempt could still be running
  halved,
  single_rejected, // down to one record
  record_gone,     // of which a dead letter was to be made
  refreshed_anew,
  refused_save,
  unknown_save,
  slept,
  revoked_clean,
  drained,
  lost_skipped,  // records that the log lost, passed over as the topology says
  log_confirmed, // while streaming: the log is still the one that was read
  log_differed,
  unbuilt_compared, // nothing came of an open plan's records
  set_aside,        // a partition that is far behind, after its turn
  end_seen,         // a reader had nothing to hand on
  count
};
inline constexpr auto lane_edge_count = static_cast<std::size_t>(lane_edge::count);
const char* to_string(lane_edge e);

enum class read_error : std::uint8_t {
  out_of_range,
  unknown_topic,
  halted,      // a while ago, by what may be over now: worth to be begun again, where the log is compared first
  unconverted, // what came cannot be decoded yet: goes on by itself
  other,       // likewise, or is told again as halted
};

struct lane_counters {
  std::uint64_t records = 0, rows = 0, dead_letters = 0, dropped = 0, bytes = 0;
  std::uint64_t inserts = 0, insert_retries = 0, saves = 0, save_refusals = 0, gaps_lost = 0;
  std::uint64_t set_aside = 0; // partitions far behind, for others
  std::array<std::uint64_t, lane_edge_count> edges{};
};

class lane {
public:
  lane(lane_config config, random_source& random);

  // --- events -------------------------------------------------------------------------------------------------------
  void assign(instant now);
  void loaded(instant now, ticket_t ticket, const lane_loaded& what);
  void inspected(instant now, ticket_t ticket, const log_facts& facts);
  void saved(instant now, ticket_t ticket, enum save_outcome outcome, const std::string& why);
  void marked_started(instant now, ticket_t ticket, bool ok, const std::string& why);
  void chunk_arrived(instant now, std::uint64_t epoch, const chunk_ptr& c);
  // A reader that has nothing to hand on: its log's end is reached, or (no `end`) nothing comes, whatever the reason.
  void end_seen(instant now, std::uint64_t epoch, partition_id p, std::optional<offset_t> end);
  // How far the log goes, for the status: what nothing is read of tells nothing of it.
  void log_ends(instant now, const std::vector<std::pair<partition_id, offset_t>>& ends);
  // An open transaction holds back what lies from `end` on, up to `high`: told about as often as log_ends().
  void held_back(instant now, std::uint64_t epoch, partition_id p, offset_t end, offset_t high);
  void read_failed(instant now, std::uint64_t epoch, partition_id p, read_error what, const std::string& why);
  void inserted(instant now, ticket_t ticket, const insert_answer& answer);
  void answered(instant now, ticket_t ticket, const table_answer& answer, bool token_running);
  void refreshed(instant now, ticket_t ticket, bool same, const std::string& why);
  void columns_changed(instant now, std::uint64_t fingerprint);
  // Another lane of the topic met a log that is not the one it read: this one looks before it plans anything more.
  void log_suspected(instant now);
  void tick(instant now);
  void revoke(instant now); // finish what is under way, then released
  void lose(instant now);   // forget at once
  void drain(instant now);
  void pause(bool on) { paused_ = on; }
  void set_gather_limit(std::uint64_t bytes) { config_.gather_bytes_max = bytes; }
  // An open plan whose records may need more than this is not read again yet.
  void set_build_room(std::uint64_t bytes) { build_room_ = bytes; }
  void set_server_started(wall_ms at) { server_started_ = std::max(server_started_, at); }
  // How many inserts the destination has ever seen, by all writers: what a deduplication window is counted in.
  void set_blocks(const block_sum& blocks, instant now);

  // --- what comes out -----------------------------------------------------------------------------------------------
  std::vector<effect> take_effects() { return std::exchange(effects_, {}); }
  mono_ms next_wake() const; // when tick() is wanted at the latest; INT64_MAX: not by time
  lane_phase phase() const { return phase_; }
  // The log is being looked at, or will be before anything more is planned.
  bool looks_at_log() const { return look_wanted_ || look_ticket_ != 0; }
  lane_status status() const;
  std::uint64_t held_bytes() const { return gathered_.bytes() + (work_ ? work_->content.bytes : 0); } // of columns
  // What an open plan that is being read again may still need, beyond what is held of it.
  // Not for ever: its partitions may have no broker.
  std::uint64_t wanted_bytes(mono_ms now) const {
    const bool wants = building() && now - build_since_ < build_limit_ms && build_bytes_ > gathered_.bytes();
    return wants ? build_bytes_ - gathered_.bytes() : 0;
  }
  const std::string& waiting_for() const { // as in its status
    return unread_.empty() || (!waiting_.empty() && waiting_ != late_ && !building()) ? waiting_
                                                                                      : unread_.begin()->second.why;
  }
  const lane_counters& counters() const { return counters_; }
  const lane_record& record() const { return record_; }
  const lane_config& config() const { return config_; }
  bool insert_under_way() const { return work_ && work_->insert_ticket != 0; }

private:
  static constexpr mono_ms build_limit_ms = 30'000;
  enum class purpose : std::uint8_t { claim, plan, done, renew, stop };
  struct saving {
    lane_record next;
    std::string text;
    purpose why;
    ticket_t ticket = 0; // 0: waits for retry_at
    mono_ms sent_mono = 0;
    wall_ms sent_wall = 0;
    mono_ms retry_at = 0;
    int tries = 0;
    bool unanswered = false; // some attempt got no definite answer
  };
  // The open plan and how far it is.
  enum class step : std::uint8_t {
    saving,
    building,
    counting,
    looking,
    listing,
    sending,
    confirming,
    waiting_quiet,
    asking,
    resting,
    refreshing
  };
  static constexpr std::uint64_t unknown_rows = UINT64_MAX;
  struct work {
    plan p;
    bool durable = false;
    bool loaded = false; // came from the store: it has at least one unanswered attempt
    step at = step::saving;
    step after_rest = step::sending;
    cut content;
    std::uint64_t content_fingerprint = 0; // of the decoder that made the content
    std::shared_ptr<const batch> what;
    std::string reason;         // as dead_letter: why
    bool rows_done = false;     // acknowledged or settled
    attempt_history rows, dead; // of the attempts to insert
    ticket_t insert_ticket = 0, ask_ticket = 0, refresh_ticket = 0;
    mono_ms rest_until = 0, confirm_until = 0, count_until = 0, quiet_since = 0, asked_at = 0;
    mono_ms sent_mono = 0;                                      // the last attempt
    wall_ms first_attempt = 0, attempt_before = 0, sent_at = 0; // server's time, of attempts that left
    wall_ms last_attempt = 0;                                   // server's time, at the latest
    mono_ms looked_at = 0;                                      // when the table was last asked before a repetition
    // What a restart may have cost the deduplication log is the trace of attempts before it.
    wall_ms tried_since() const { return loaded || first_attempt == 0 ? p.since : first_attempt; }
    int tries = 0;
    std::string doubt;             // why it is in doubt
    std::string quiet_why;         // what the wait is held up by
    bool halve_if_none = false;    // it was too big, or rejected
    std::string halve_for;         // why
    std::uint64_t late_blocks = 0; // of tables that were found since it was made: see block_sum
    bool acknowledged = false;     // fill: the last attempt was, and the table is to confirm it
    // fill: the most rows of an attempt that was not acknowledged, and which a view may have got in part; unknown of
    // one that was loaded. Acknowledged once more, with as many, it has them all.
    std::uint64_t rows_unsure = 0;
    bool runs = false;                  // an attempt was seen on the server
    mono_ms cleared_at = INT64_MIN / 2; // a look found that it may be sent, and it was not yet
    bool final_ask = false;             // no attempt can still be running
    bool alone = false; // nor could one when the last was sent: its acknowledgement needs no confirmation
    attempt_history& history() { return rows_done ? dead : rows; }
  };

  // lane.cpp: life
  void seen(instant now);
  void forget(instant now, bool reload);
  bool may_run_on() const;
  void begin_loading(instant now);
  void stop(const std::string& reason);
  void release(bool drained, bool left_open = false);
  void check_released(instant now);
  ticket_t new_ticket() { return ++tickets_; }
  void took(lane_edge e) { ++counters_.edges[static_cast<std::size_t>(e)]; }
  mono_ms backoff(int tries);
  void tell_late(instant now);
  void answer_came();
  bool commit_outstanding() const { // a save without a definite answer may still land
    return saving_ && (saving_->ticket != 0 || saving_->unanswered) && !mutant(bug::stale_handle_kept);
  }
  // lane_recovery.cpp: load, compare, claim
  bool maybe_stale(instant now, const std::string& why);
  std::string began_elsewhere(const lane_loaded& what) const;
  void first_start(instant now, const lane_loaded& what);
  void inspect(instant now);
  void compare(instant now, const log_facts& facts);
  std::string difference(const log_facts& facts);
  bool not_for_long(instant now, bool odd, mono_ms& since);
  bool looks_odd(instant now, std::size_t i, const log_facts::part& f);
  offset_t last_known(std::size_t i) const;
  void contradiction(instant now, const std::string& what);
  // The command that settles it: of one partition of the lane, of the lane, or of the topic.
  enum class scope : std::uint8_t { topic, lane, partition };
  state_of whose() const { return {config_.file, config_.pipeline, config_.topic}; }
  std::string options_of(scope of, std::size_t partition) const;
  std::string reset(scope of, const std::string& option, std::size_t partition = 0) const;
  std::string after_table(scope of) const; // see way_out.hpp
  std::string pass_loss(std::size_t i) const;
  std::string made_anew_or_cut(std::size_t i, offset_t end) const;
  std::string say_landed() const;
  void lost_records(instant now, std::size_t i, const log_facts& facts);
  void ask_beyond(instant now, bool rows);
  void beyond_answered(instant now, const table_answer& answer);
  void claim(instant now);
  void claimed(instant now);
  void settle(instant now);
  std::uint64_t bytes_of_open_plan() const;
  bool room_to_build(instant now);
  bool unplanned_may_run(instant now);
  void unplanned_answered(instant now, const table_answer& answer);
  void stream(instant now);
  void retry_recovery(instant now, const std::string& why);
  // lane_reading.cpp: what the readers are asked for, and what they hand on
  struct reading {
    bool on = false;        // its reader was started
    bool behind = false;    // much is left to be read: it is on only while it is its turn
    bool leaving = false;   // its turn is over: set aside once nothing of it is on its way
    std::uint64_t turn = 0; // bytes since it began
    mono_ms came = 0;       // when it began, or something came
  };
  void restart_reading(instant now, const std::vector<offset_t>& from);
  bool takes_turns() const { return config_.behind_at_once > 0 && takes_.size() > config_.behind_at_once; }
  bool building() const { return work_ && work_->at == step::building; }
  bool wanted(std::size_t i) const;
  bool waits_for_turn(std::size_t i) const { return !reads_[i].on && wanted(i); }
  bool much_left(std::size_t i, std::uint64_t bytes) const;
  void begin_reading(instant now, std::size_t i);
  void learn_size(instant now, std::uint64_t mean);
  void end_finished();
  std::size_t end_turns();
  void pass_turns(instant now);
  void ask_quiet_readers(instant now);
  bool full() const { return gathered_.bytes() >= config_.gather_bytes_max || gathered_.records() >= 2 * rows_cap_; }
  void set_aside_unread(instant now);
  void took_turn(instant now, std::size_t i, const chunk& c, std::uint64_t bytes);
  struct credit {
    std::uint64_t bytes; // of a chunk
    int most;            // chunks under way
  };
  credit credit_of(std::size_t i, std::size_t behind) const;
  std::uint64_t asked_for(std::uint64_t held) const;
  void learn_growth(const chunk& c, std::uint64_t bytes);
  void grant(instant now);
  void go_on(instant now);
  offset_t blocked_from(std::size_t i, const chunk& c);
  // lane_stream.cpp: gathering, planning, saving
  bool should_close(instant now) const;
  void maybe_plan(instant now);
  bool begin_halted_again(instant now);
  bool save_can_wait(instant now) const;
  cut cut_gathered(std::uint64_t records_max);
  void make_plan(instant now, plan_as as, cut c, const std::string& reason);
  wall_ms good_until(instant now) const;
  lane_record advanced(const cut& c, bool any) const;
  struct seen_record {
    offset_t at;
    std::uint32_t hash;
  };
  void want_look(instant now);
  void look_soon(instant now);
  void suspect_read(std::size_t i);
  void suspect(std::size_t i, seen_record r);
  void suspect_chunk(instant now, std::size_t i, const chunk& c);
  void suspect_unread(instant now, std::size_t i);
  void suspect_idle(instant now, mono_ms arrived, std::size_t i);
  void doubt_log(instant now);
  bool log_doubted(instant now) const;
  bool look_is_too_early(instant now) const;
  void suspect_done();
  bool log_differs(std::size_t i, const lane_partition& p, const log_facts::part& f) const;
  std::vector<bool> known_looked_at_next(const lane_record& base);
  void look_at_log(instant now);
  void looked_at_log(instant now, const log_facts& facts);
  void save(instant now, lane_record next, purpose why);
  void send_save(instant now);
  void save_accepted(instant now);
  bool at_end() const;
  // lane_plan.cpp: what may become of a plan
  void start_work(instant now);
  void check_built(instant now);
  void compare_unbuilt(instant now);
  void next_send(instant now);
  void send(instant now);
  void ask_count(instant now);
  void counted(instant now, const table_answer& answer);
  void look(instant now);
  void looked(instant now, const table_answer& answer, bool token_running);
  void looked_enough(instant now);
  std::optional<token_t> still(instant now) const;
  bool runs_still(instant now, const table_answer& answer, bool token_running);
  void confirm(instant now);
  void list(instant now);
  void listed(instant now, const table_answer& answer, bool token_running);
  std::uint64_t expected() const; // records of the plan that must be found somewhere
  void rest(instant now, step then);
  void doubt(instant now, const std::string& why);
  // ClickHouse's time. An attempt that is taken for older than it is would be taken to have ended with a server that
  // was restarted before it.
  static wall_ms at_the_latest(instant now) {
    return now.server + (mutant(bug::late_clock_believed) ? 0 : now.server_unsure);
  }
  void wait_quiet(instant now);
  void send_alone(instant now);
  void quiet_answered(instant now, const table_answer& answer, bool token_running);
  void ask(instant now);
  void asked(instant now, const table_answer& answer, bool token_running);
  void note_unsure(const insert_answer& a);
  void part_done(instant now);
  void complete(instant now);
  void halve(instant now, const std::string& reason);
  void stop_at_rejected(const std::string& reason);
  void plan_anew(instant now, std::uint64_t records_max);
  void read_anew(instant now);
  bool quiet(instant now) const;
  // `server_started_` is the earliest moment it can have been; the clock it is made from counts whole seconds.
  bool restarted_since(wall_ms at) const { return server_started_ + server_start_unsure_ms > at; }
  // Requests go out under a lease; without plans too, or exactly_once could not know when they have ended.
  bool leased() const { return !mutant(bug::lease_clock_stops); }
  bool lease_short(instant now) const;
  // Why sending under the token again could do harm; empty: it cannot.
  std::string token_trouble(instant now);
  std::string rejection(const insert_answer& answer) const;
  bool small_alone() const;
  std::vector<offset_range> slices() const;
  std::vector<offset_range> controls() const;
  std::string describe_plan() const;
  // Whether the plan touches what the table held before a person moved the lane: there its word does not count.
  bool plan_is_blind() const;
  table_trust trust() const; // of the open plan
  // invariants
  void expect(bool holds, const char* what) const;
  void check_send() const;

  std::string way_past(std::size_t i, offset_t bad) const;
  partition_id partition_at(std::size_t i) const { return lane_partition_id(config_.lane, config_.lanes, i); }
  std::optional<std::size_t> index_of(partition_id p) const;
  offset_t until(std::size_t i) const;

  lane_config config_;
  random_source& random_;
  lane_phase phase_ = lane_phase::unassigned;
  std::vector<effect> effects_;
  ticket_t tickets_ = 0;
  std::uint64_t epoch_ = 0;
  mono_ms last_seen_ = 0;
  instant now_{};

  lane_record record_;              // as last loaded or accepted
  std::uint64_t saved_version_ = 0; // by this object; the record is still ours if it is loaded with this version
  bool have_record_ = false;
  std::optional<lane_record> advance_; // acknowledged, not yet saved
  mono_ms advance_at_ = 0;             // when
  std::optional<saving> saving_;
  std::optional<work> work_;
  mono_ms save_sent_mono_ = 0; // of the last accepted save
  wall_ms save_sent_wall_ = 0;

  // recovery
  ticket_t wanted_ticket_ = 0; // of the one question that recovery waits for
  mono_ms retry_at_ = 0;
  int recovery_tries_ = 0;
  std::vector<offset_t> loaded_start_;
  bool marked_ = false, claimed_ = false, is_new_ = false;
  bool waits_for_room_ = false;                             // claimed and compared; see room_to_build
  std::uint64_t build_room_ = UINT64_MAX, build_bytes_ = 0; // build_bytes_: what the open plan was thought to need
  mono_ms build_since_ = 0;
  std::vector<offset_range> beyond_; // what the table is asked for, before it is settled
  // The log is looked at again before anything is planned after a time in which nobody could have seen it change.
  bool look_wanted_ = false, look_failed_ = false;
  // One a partition: records read before such a time, in order of their offsets. Each must still be there. And how many
  // chunks were on their way then.
  std::vector<std::deque<seen_record>> suspects_;
  std::vector<int> on_their_way_;
  std::vector<bool> suspect_asked_; // by the look that is on its way
  std::vector<offset_t> reached_;   // when that was asked: the log's ends cannot lie below
  ticket_t look_ticket_ = 0;
  mono_ms look_at_ = 0, compared_at_ = 0; // compared_at_: recovery asked for the log's bounds
  mono_ms look_sent_ = 0;                 // the look that is on its way
  mono_ms look_at_all_at_ = 0;            // then others are looked at, too, not only the suspected ones
  bool looks_at_all_ = false;             // the look that is on its way
  std::size_t look_from_ = 0;             // whose last record is looked for next
  std::vector<mono_ms> unread_since_;     // one a partition: nothing was asked of its reader since; 0: something is
  std::vector<mono_ms> heard_at_;         // one a partition: when its reader last answered, or was asked after a rest
  mono_ms heard_any_ = 0;                 // when records last came of any
  bool unheard_ = false;                  // none came for too long, and no partition is suspected for it yet
  // It, or another lane's of the topic, was seen to be gone. INT64_MAX: since then it was not compared.
  mono_ms log_doubted_until_ = 0;
  struct odd_bounds { // since when the log was seen so
    mono_ms ends_early = 0, begins_late = 0;
  };
  std::vector<odd_bounds> odd_bounds_;

  // streaming
  gathered gathered_;
  std::vector<int> takes_; // outstanding, one a partition
  std::vector<std::uint64_t> take_bytes_;
  std::vector<reading> reads_;
  std::size_t next_turn_ = 0;      // the partition that is looked at first when a turn is free
  std::uint64_t record_bytes_ = 0; // key and value, on average, of late; 0: none came yet
  static constexpr std::uint64_t growth_one = 16;
  std::uint64_t growth_ = 0;         // what a chunk takes in memory, in sixteenths of keys and values; 0: none came yet
  std::vector<std::int64_t> ends_;   // the log's end as last seen; -1: not known
  std::vector<std::string> blocked_; // on_bad_record: stop met a bad record there
  std::vector<offset_t> blocked_at_;
  std::string halted_;             // a reader did, and is to be begun again by way of a load: why
  std::uint64_t rows_cap_ = 0;     // records a plan, smaller after a rejection
  std::vector<offset_t> split_to_; // until there plans are closed at once, in halves
  wall_ms server_started_ = 0;
  std::uint64_t blocks_ = 0;          // as last told; 0: not known
  std::uint64_t late_blocks_ = 0;     // likewise
  mono_ms blocks_at_ = INT64_MIN / 2; // when
  mono_ms odd_since_ = 0;             // the store gives an answer that may be stale
  bool differed_ = false;
  bool runs_on_ = false;        // since it was last through with all: a plan was forgotten whose insert had no answer
  bool unplanned_over_ = false; // what at_least_once sent cannot run any more
  mono_ms unplanned_since_ = 0; // a server was silent then
  bool refreshed_ = false;      // see fx_insert
  bool paused_ = false, revoking_ = false, draining_ = false, closing_all_ = false;
  std::string waiting_, late_, stopped_, stop_for_; // late_: as waiting_ was set by tell_late()
  // Why nothing comes of a partition, until something does.
  struct unread {
    std::string why;
    bool unconverted = false;    // it came, and cannot be decoded yet
    bool of_transaction = false; // see open_
  };
  std::map<std::size_t, unread> unread_;
  struct open_transaction {
    offset_t end, high; // of what is committed, and of what is there
    mono_ms since = 0, told = 0;
  };
  std::map<std::size_t, open_transaction> open_;
  lane_counters counters_;
};

} // namespace chute
