// One world: processes with the engine's real lanes, a Kafka group and its log, a state store, a ClickHouse, all in
// virtual time that jumps from event to event. Nothing in it but the seed decides what happens.
//
// world.cpp: time, processes, lanes. kafka.cpp: log, readers, group. store.cpp: saves and loads. server.cpp:
// ClickHouse. faults.cpp: what strikes from outside. oracle.cpp: what must hold, on the way and at the end.
#pragma once

#include "core/lane.hpp"
#include "test/sim/dice.hpp"
#include "test/sim/scenario.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace chute::sim {

using ms = std::int64_t; // of true time, which no process knows
inline constexpr ms begin_ms = 1'000'000;

// What a record is to the pipeline.
enum class record_kind : std::uint8_t {
  gap,         // no record: a control record, an aborted transaction, a compacted one
  row,         // becomes a row
  bad,         // cannot be decoded
  dropped,     // the topology wants it dropped
  poison,      // becomes a row that ClickHouse rejects
  late_poison, // and this one only once a CHECK was added
  changing,    // cannot be decoded while the table has an even number of changes behind it, else becomes a row
};

struct log_entry {
  std::uint64_t hash = 0;
  record_kind kind = record_kind::gap;
};

// What ClickHouse holds of an offset.
struct cell {
  std::uint8_t rows = 0, dead = 0;
  std::uint8_t which = 0;                  // of a record's rows, a bit each
  std::uint8_t old_rows = 0, old_dead = 0; // of records that are no longer in the log
  ms since = 0;                            // the first landed,
  ms sent = 0;                             // when it left,
  ms planned = 0;                          // and when its plan was saved
  bool excused = false;                    // its double cannot be prevented
  bool forgotten = false;                  // the log lost the record before it was delivered
};

struct kafka_partition {
  std::vector<log_entry> log;
  std::vector<cell> landed;
  ms gone_until = 0;              // it is being made anew, or has no leader
  std::vector<log_entry> old_log; // before it was made anew, at old_since; a broker may tell of it until old_until
  std::int64_t old_low = 0;
  ms old_since = 0, old_until = 0;
  std::vector<std::int64_t> cuts;  // from there on it became another log
  std::int64_t low = 0, start = 0; // start: where a first start begins
  std::int64_t end() const { return static_cast<std::int64_t>(log.size()); }
};

struct sim_chunk final : chunk {
  std::uint32_t columns = 0; // how often the table had changed when its records were converted
};

struct stored {
  ms since = 0;
  bool present = false, foreign = false;
  std::uint64_t version = 0;
  std::string text;
};

// What the group's offsets note of a lane whose records are in another store.
struct record_note {
  std::uint64_t lineage = 0, version = 0;
};

enum class ev : std::uint8_t {
  // To a process: kept while it stands still, lost with it.
  joins,
  group_assigned,
  group_revokes,
  group_lost,
  begun,
  revoke_limit,
  keeper_saves,
  starts_read,
  loaded,
  saved,
  save_limit,
  commit_leaves,
  inspected,
  marked,
  fetch,
  chunk,
  end_seen,
  read_failed,
  log_suspected,
  insert_begins,
  inserted,
  insert_limit,
  answered,
  refreshed,
  wake,
  count_told,
  // To the world.
  to_the_world,
  produce,
  strike,
  resumes,
  starts_again,
  ends,
  session_over,
  member_joins,
  member_leaves,
  rebalance_limit,
  rebalance_done,
  store_read,
  save_arrives,
  inspect_arrives,
  mark_arrives,
  request_arrives,
  part_commits,
  ask_arrives,
  server_up,
  right_restored,
};

struct event {
  ms at = 0;
  std::uint32_t order = 0;
  ev what = ev::wake;
  std::uint8_t process = 0, lane = 0, part = 0;
  std::uint32_t life = 0;   // of the process, or of the server
  std::uint32_t serial = 0; // of the lane object, or of the membership
  std::uint32_t ref = 0;    // into one of the request lists
  std::uint64_t tag = 0;    // a ticket, an epoch, a generation
};

struct reader {
  bool on = false, waiting = false;
  bool told = false; // the lane knows that it reached the end
  std::uint64_t epoch = 0;
  std::int64_t position = 0;
  int credits = 0;
  ms last_chunk = 0;
  ms since = -1, rests_until = 0; // since: something lies there to be taken; -1: nothing that was seen
};

struct lane_slot {
  std::unique_ptr<lane> machine;
  bool live = false, stopped = false, revoking = false, refused = false;
  ms heard_gone = -1;  // when it last heard that its log is gone
  bool slept = false;  // the process stood still for long, and the lane has not loaded since
  int accepted = 0;    // saves, since it last loaded
  ms leased_since = 0; // when the last save that was accepted left
  std::uint32_t serial = 0;
  ms last_event = 0, wake_at = 0;
  std::uint32_t loads = 0;
  std::uint64_t save_ticket = 0; // of the last save
  int attempts = 0;              // inserts under way since it last loaded
  std::vector<reader> readers;
};

enum class membership : std::uint8_t { outside, joining, assigned, revoking };

// What the process's store client remembers of a lane (kafka).
struct known_record {
  bool known = false, present = false, foreign = false;
  std::uint64_t version = 0;
  std::string text;
};

struct process {
  bool up = false, paused = false;
  std::uint32_t life = 0;
  ms paused_at = 0, awake_since = 0;
  ms mono_base = 0, wall_offset = 0, server_offset = 0; // server_offset: its idea of ClickHouse's time, from `mono`
  answering answers;
  std::uint32_t columns = 0; // as last described
  membership at = membership::outside;
  std::uint32_t handle = 0; // of its membership; new whenever it joins anew
  int generation = -1;
  ms last_arrival = 0;
  ms queue_free = 0; // when the next commit can leave the client's queue
  int unanswered = 0;
  ms heard_gone = -1;              // when a lane last met a log that is gone
  std::vector<std::uint8_t> given; // partitions
  std::vector<lane_slot> lanes;
  std::vector<known_record> known;
  std::vector<event> kept;
};

struct member {
  std::uint32_t handle = 0;
  std::uint8_t process = 0;
  bool joined = false;
};

struct consumer_group {
  enum class state : std::uint8_t { empty, preparing, stable } at = state::empty;
  int generation = 0;
  std::uint32_t round = 0;
  std::vector<member> members;
  std::size_t turn = 0; // rotates the assignment
};

struct load_request {
  std::uint8_t process = 0, lane = 0;
  std::uint64_t ticket = 0;
  lane_loaded what;
};

struct save_request {
  std::uint8_t process = 0, lane = 0;
  std::uint32_t life = 0, serial = 0, handle = 0;
  std::uint64_t ticket = 0, expected = 0, version = 0;
  std::string text;
  int generation = -1;
  std::uint32_t loads = 0;
  ms since = 0;
  bool answered = false, settled = false; // to the lane; to the client library
  save_outcome outcome = save_outcome::unknown;
};

struct question {
  std::uint8_t process = 0, lane = 0;
  fx_ask asked;
  table_answer answer;
  bool running = false;
  ms sent = 0, server_time = 0;
};

struct look {
  std::uint8_t process = 0, lane = 0;
  fx_inspect asked;
  log_facts facts;
};

struct attempt {
  std::uint8_t process = 0, lane = 0;
  std::uint32_t life = 0, serial = 0, loads = 0, server_life = 0;
  ms leased_since = 0;
  std::uint64_t ticket = 0;
  fx_insert fx;
  std::uint32_t columns = 0;
  int requests = 0;       // that left
  ms sent = 0;            // the first of them
  bool told = false;      // the lane has its answer
  int running = 0;        // on the server: how often
  std::uint8_t parts = 0; // bits: table partitions that it touches
  insert_answer answer;
};

struct dedup_id {
  token_t token;
  int partition;
  ms at;
  std::uint64_t number;
};

struct table_log { // the deduplication window of one table
  std::vector<dedup_id> ids;
  std::uint64_t count = 0; // inserts ever, other writers included
};

struct click_house {
  bool up = true;
  std::uint32_t life = 1;
  ms started = 0, hangs_until = 0, clock = 0;
  std::uint32_t columns = 0;       // changes so far
  std::uint32_t refuses_below = 0; // batches converted before this change are refused
  bool check = false;
  std::uint64_t rows_max = UINT64_MAX; // more: too big
  bool right_missing = false;
  table_log rows, dead;
  double writers_per_ms = 0;
  ms writers_since = 0;
};

// What was seen of a token: it must stand for the same records for ever.
struct plan_seen {
  token_t token;
  plan_kind kind;
  ms at = 0; // when it was saved
};

struct token_use {
  token_t token;
  bool dead = false;
  std::uint32_t columns = 0;
  std::uint64_t whole = 0;
  std::array<std::uint64_t, 4> by_partition{};
};

// What makes a named stop legitimate, a lane.
enum : std::uint32_t {
  spoiled_log = 1,       // truncated or made anew
  spoiled_retention = 2, // records deleted before they were delivered
  spoiled_rollback = 4,
  spoiled_gone = 8,
  spoiled_foreign = 16,
  spoiled_in_flight = 32, // the store went back while an insert was on its way
  spoiled_held = 64, // the server stood still for longer than half of its window, or more inserts came than were told
};

enum class stop_kind : std::uint8_t {
  moved,          // offsets moved by another tool
  gone,           // its state is gone
  older,          // the store went back in time
  log_short,      // the log ends before `next`, or within the plan
  log_differs,    // the record at `known` is another one
  log_lost,       // records were deleted before they were delivered
  plan_differs,   // the plan's records are others
  beyond,         // the table holds offsets beyond what was sent
  more,           // the table holds more than the plan's records
  in_part,        // … and some of a record's rows without the rest
  nothing_before, // nothing of the plan, nor of what was done before
  other,
  count
};
const char* name_of(stop_kind k);
std::string describe_record(const std::string& text);

// A place where an exhaustive search departs from the plain schedule, which is the one of the smallest delays.
struct deviation {
  std::uint32_t step = 0; // of the events
  std::uint8_t what = 0;
};
enum : std::uint8_t { // what happens there
  comes_late,         // 2 s later
  comes_very_late,    // past the session, the lease, the limit of an insert
  is_lost,
  crash_of_0,
  crash_of_1,
  stands_still, // the process that it comes to, past its session and lease
  server_dies_here,
  rebalances_here,
  deviation_count
};

class failure : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

struct outcome_counts {
  std::uint64_t schedules = 0, faults = 0, events = 0, faults_least = UINT64_MAX, records = 0;
  std::uint64_t stopped_lanes = 0, lanes = 0, inserts = 0, saves = 0;
  std::uint64_t untellable = 0; // lanes: a log made anew of which no record tells
  std::uint64_t in_place = 0;   // offsets: what landed of an old log stands in the place of a new record
  std::uint64_t went_back = 0, held = 0, rushed = 0; // doubles that cannot be prevented
  std::array<std::uint64_t, fault_count> by_fault{};
  std::array<std::uint64_t, static_cast<std::size_t>(stop_kind::count)> by_stop{};
  std::array<std::uint64_t, lane_edge_count> edges{};
  void add(const outcome_counts& o);
};

class world {
public:
  world(const scenario& s, const wishes& w);
  // Runs the schedule to its end. Throws `failure`.
  void run();

  std::uint64_t hash() const { return hash_; }
  std::uint64_t faults_drawn() const { return faults_drawn_; }
  const outcome_counts& counts() const { return counts_; }
  // Faults that are left out: their numbers, ascending.
  void leave_out(std::vector<std::uint64_t> numbers) { left_out_ = std::move(numbers); }
  std::vector<std::uint64_t> struck() const { return struck_; }
  // Departs there from the plain schedule; `open`: what would have been possible at each step, a bit each.
  void follow(const std::vector<deviation>& path, std::vector<std::uint16_t>* open);
  // Each line goes there; nothing: no trace.
  void trace_to(std::vector<std::string>* lines) { trace_ = lines; }

private:
  // world.cpp
  void push(event e);
  void later(ms delay, event e);
  event to(std::uint8_t p, ev what) const;
  event to_lane(std::uint8_t p, std::uint8_t l, ev what, std::uint64_t tag = 0) const;
  void loop();
  std::string who_goes_on() const;
  void dispatch(const event& e);
  void dispatch_process(process& p, const event& e);
  void dispatch_world(const event& e);
  lane_slot* slot_of(const event& e);
  instant now_of(const process& p, ms at) const;
  instant now_of(const process& p) const { return now_of(p, now_); }
  template <class F> void lane_event(std::uint8_t p, std::uint8_t l, F&& f);
  void catch_up(process& p, lane_slot& s);
  void after_event(std::uint8_t p, std::uint8_t l);
  void perform(std::uint8_t p, std::uint8_t l, const effect& fx);
  void start_process(std::uint8_t p);
  void end_process(std::uint8_t p);
  void resume(std::uint8_t p);
  void start_lane(std::uint8_t p, std::uint8_t l);
  void drop_lane(process& p, std::uint8_t l);
  void retire(lane_slot& s);
  ms net() { return net_.between(1, 20); }
  // From less than one chunk to several of them.
  std::uint64_t memory_limit() { return static_cast<std::uint64_t>(memory_.between(200, 3'000)); }
  bool strike_at(fault f, std::uint32_t permille);
  bool message_fault(fault f) { return strike_at(f, s_.message_permille); }
  template <class... A> void say(const A&... parts);
  void mix(std::uint64_t x) { hash_ = stir(hash_ * 0x9e3779b97f4a7c15ull + x); }

  // kafka.cpp
  void produce();
  void append(kafka_partition& p);
  void read(std::uint8_t p, std::uint8_t l, const fx_read& fx);
  void take(std::uint8_t p, std::uint8_t l, const fx_take& fx);
  void fetch(const event& e);
  void feed_waiting(int partition);
  std::shared_ptr<sim_chunk> cut_chunk(int partition, std::int64_t from, std::int64_t to, std::uint32_t columns) const;
  void inspect(std::uint8_t p, std::uint8_t l, const fx_inspect& fx);
  void read_failed(std::uint8_t n, const event& e, lane_slot& s);
  bool tells_of_old_log(const look& k) const;
  log_facts::part facts_of(const fx_inspect::probe& probe, bool old);
  void inspect_arrives(const event& e);
  void group_joins(std::uint32_t handle, std::uint8_t p);
  void group_leaves(std::uint32_t handle, bool tell);
  void group_prepares();
  void group_checks();
  void group_completes();
  void assigned(process& p, std::uint8_t n, const event& e);
  void begun(process& p, std::uint8_t n);
  void revokes(process& p, std::uint8_t n, const event& told);
  void check_revoked(process& p, std::uint8_t n);
  void lost(process& p, std::uint8_t n);
  void join_anew(process& p, std::uint8_t n);
  void lose_lanes(process& p, std::uint8_t n);

  // store.cpp
  void load(std::uint8_t p, std::uint8_t l, std::uint64_t ticket);
  void starts_read(const event& e);
  void store_read(const event& e);
  void save(std::uint8_t p, std::uint8_t l, const fx_save& fx);
  void keeper_saves(const event& e);
  void commit_leaves(const event& e);
  void save_arrives(const event& e);
  void save_done(std::uint32_t ref, save_outcome outcome, bool settled);
  void saved(const event& e, bool limit);
  void write(std::uint8_t l, const save_request& r);
  stored read_store(std::uint8_t l);
  void forgotten(process& p, std::uint8_t n, bool outstanding);
  void note(const save_request& r);

  // server.cpp
  ms server_now() const { return now_ + server_.clock; }
  void insert(std::uint8_t p, std::uint8_t l, const fx_insert& fx);
  void insert_begins(const event& e);
  bool record_gone(const attempt& a) const;
  std::uint8_t rows_of(const log_entry& e) const;
  bool lacks_rows(const kafka_partition& p, std::int64_t offset) const;
  bool landed_in_part(std::uint8_t l) const;
  void request_arrives(const event& e);
  void part_commits(const event& e);
  void tell(attempt& a, std::uint32_t ref, ms delay);
  void end_attempt(attempt& a, std::uint32_t ref);
  void land(const attempt& a, int partition);
  bool seen_before(table_log& t, token_t token, int partition);
  void note(table_log& t, token_t token, int partition);
  std::uint64_t writers() const;
  int table_partition(int partition, std::int64_t offset) const;
  template <class F> void each_record(const attempt& a, F&& f) const;
  void ask(std::uint8_t p, std::uint8_t l, const fx_ask& fx);
  void ask_arrives(const event& e);
  void server_dies(bool host);
  wall_ms told_start() const;
  void refresh(std::uint8_t p, std::uint8_t l, std::uint64_t ticket);
  void refreshed(const event& e);

  // faults.cpp
  void strike();
  bool deviate(event e);
  std::uint16_t possible(const event& e) const;
  bool depart(event e, std::uint8_t what);
  void strike(fault f);
  fault draw_fault();
  void pause(std::uint8_t n);
  void stop_cleanly(std::uint8_t n);
  void set_writers();
  void count_writers();
  void tell_counts();
  void lose_records(std::size_t partition);
  static void archive(kafka_partition& p, std::int64_t from);
  void cut(std::size_t partition, std::int64_t at);
  void tell_apart(std::uint8_t l);
  void refill(std::size_t partition, std::uint32_t n);
  void cut_log(std::size_t partition);
  void make_topic_anew();
  void put_back(std::uint8_t l, stored s);
  void roll_back(std::uint8_t l);
  void forget_lane(std::uint8_t l, bool foreign);
  void heal();
  bool all_done() const;

  // oracle.cpp
  void check_store(std::uint8_t l, const stored& before, const lane_record& after, bool of_before);
  void check_accounted(std::uint8_t l, int partition, std::int64_t from, std::int64_t to);
  void check_awake(const lane_slot& s, const effect& fx) const;
  void check_lease(const attempt& a) const;
  std::optional<save_outcome> judge(const save_request& r, const stored& found) const;
  void check_insert(const process& p, const lane_slot& s, std::uint8_t l, const fx_insert& fx);
  void check_token(attempt& a);
  void doubled(const attempt& a, int part, int partition, std::int64_t offset);
  bool noted_before(const attempt& a, int part) const;
  bool rushed(const attempt& a, int part) const;
  bool plan_forgotten(std::size_t lane, ms planned, ms sent) const;
  ms planned_at(const attempt& a) const;
  void stopped(std::uint8_t p, std::uint8_t l, const std::string& reason);
  void final_check();
  void final_check(int partition, std::int64_t offset);
  [[noreturn]] void fail(const std::string& what) const;

  std::size_t parts_of(std::uint8_t l) const { return lane_partition_count({l}, s_.lanes, s_.partitions); }
  int partition_of(std::uint8_t l, std::size_t i) const { return l + static_cast<int>(i) * s_.lanes; }

  scenario s_;
  const wishes& wishes_;
  dice net_, strikes_, content_, lane_dice_, memory_; // separate, so that a fault left out moves little else
  ms now_ = begin_ms;
  std::uint32_t order_ = 0, serials_ = 0, handles_ = 0;
  std::vector<event> queue_; // a heap
  std::uint64_t hash_ = 0;
  bool chaos_ = true;
  int heals_ = 0;
  ms healed_at_ = 0;
  bool changed_ = false; // something that all_done() looks at
  std::uint64_t faults_drawn_ = 0;
  std::vector<std::uint64_t> left_out_, struck_;
  std::vector<std::string>* trace_ = nullptr;
  outcome_counts counts_;
  std::vector<deviation> path_; // of an exhaustive search
  std::vector<std::uint16_t>* open_ = nullptr;
  std::uint32_t step_ = 0, crashed_ = 0;
  bool stood_ = false;

  std::vector<kafka_partition> kafka_;
  int produced_ = 0;
  ms short_until_ = 0;
  consumer_group group_;
  std::vector<process> processes_;

  std::vector<std::vector<stored>> store_; // a lane: all it ever held; the last is what it holds
  std::vector<lane_record> records_;       // a lane: its last, read
  std::vector<ms> went_back_at_;   // a lane: when its store went back the last time, with saves that inserts rely on
  std::vector<record_note> notes_; // a lane: what the group's offsets tell of its saves
  bool starts_known_ = false;
  std::vector<std::uint8_t> started_;
  std::vector<std::vector<plan_seen>> durable_; // a lane: the plans that were ever saved
  std::vector<token_use> tokens_;
  std::vector<std::uint8_t> untellable_; // a lane: its log was another one, and the record that would tell is a gap
  std::vector<std::uint32_t> spoiled_;   // a lane
  std::vector<std::uint8_t> stopped_;    // a lane: 1 + stop_kind of the last stop; 0: works

  click_house server_;
  std::vector<load_request> loads_;
  std::vector<save_request> saves_;
  std::vector<question> questions_;
  std::vector<look> looks_;
  std::vector<attempt> attempts_;
  std::vector<chunk_ptr> chunks_;
  int attempts_alive_ = 0;
};

} // namespace chute::sim
