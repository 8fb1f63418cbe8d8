// A lane between scripted parts: answers its effects when a test says so, and
// keeps what it asked for.
#pragma once

#include "core/lane.hpp"

#include <deque>
#include <doctest/doctest.h>
#include <map>
#include <random>

namespace chute::test {

struct seeded : random_source {
  std::mt19937_64 rng;
  explicit seeded(std::uint64_t seed) : rng(seed) {}
  std::uint64_t next() override { return rng(); }
};

// A chunk of records `first`, `first + 1`, … one row each, unless `kinds` says
// otherwise; its content depends on the offset only (and on `salt`, for another
// log).
inline chunk_ptr records(int partition, std::int64_t first, int n, const std::vector<outcome>& kinds = {},
                         std::uint64_t salt = 0) {
  auto c = std::make_shared<chunk>();
  c->topic = "t";
  c->partition = {partition};
  c->first = {first};
  c->last = {first + n - 1};
  for (int i = 0; i < n; ++i) {
    c->offsets.push_back(first + i);
    c->hashes.push_back(record_sum(salt + 77, first + i));
    c->sizes.push_back(10);
    c->outcomes.push_back(i < static_cast<int>(kinds.size()) ? kinds[static_cast<std::size_t>(i)] : outcome::row);
    if (c->outcomes.back() == outcome::dead_letter || c->outcomes.back() == outcome::stop) {
      dead_letter d;
      d.partition = {partition};
      d.offset = {first + i};
      d.error = "broken";
      c->dead.push_back(d);
    }
  }
  return c;
}

// Offsets that were passed without a record: control records, aborted
// transactions, what was compacted.
inline chunk_ptr gap(int partition, std::int64_t first, int n) {
  auto c = std::make_shared<chunk>();
  c->topic = "t";
  c->partition = {partition};
  c->first = {first};
  c->last = {first + n - 1};
  return c;
}

inline range_count rows_found(std::uint64_t rows) { return {rows, rows, 0, 0, rows}; }
inline range_count dead_found(std::uint64_t dead) { return {0, 0, dead, dead, dead}; }

struct harness {
  seeded random{1};
  lane_config config;
  std::unique_ptr<lane> machine;
  instant now{1'000'000, 1'700'000'000'000, 1'700'000'000'000};
  std::deque<effect> out; // not yet looked at
  std::map<ticket_t, mono_ms> asked;
  answering answers;

  explicit harness(int partitions = 1, int lanes = 1) {
    config.pipeline = "p";
    config.topic = "t";
    config.lanes = lanes;
    config.topic_partitions = partitions;
    config.cluster = 11;
    config.destination = 22;
    config.fingerprint = 33;
    config.batch = {100, 1 << 20, 1000};
    config.trust.there = config.trust.not_there = true;
    config.unseen_limit_ms = config.idle_limit_ms = INT64_MAX; // tests let time pass in one step
  }
  lane& start() {
    machine = std::make_unique<lane>(config, random);
    machine->assign(now);
    collect();
    return *machine;
  }
  void collect() {
    for (auto& e : machine->take_effects()) {
      if (auto* f = std::get_if<fx_ask>(&e)) asked[f->ticket] = now.mono;
      out.push_back(std::move(e));
    }
  }
  void pass(std::int64_t ms) {
    now.mono += ms;
    now.wall += ms;
    now.server += ms;
    machine->tick(now);
    collect();
  }
  // Takes the first effect of a kind; there must be one.
  template <class F> F take() {
    collect();
    for (auto it = out.begin(); it != out.end(); ++it)
      if (auto* f = std::get_if<F>(&*it)) {
        F got = *f;
        out.erase(it);
        return got;
      }
    FAIL("the lane did not ask for this: ", typeid(F).name());
    throw std::logic_error("unreachable");
  }
  template <class F> bool has() {
    collect();
    for (auto& e : out)
      if (std::holds_alternative<F>(e)) return true;
    return false;
  }
  template <class F> void drop() {
    collect();
    std::erase_if(out, [](auto& e) { return std::holds_alternative<F>(e); });
  }

  // --- answers
  std::string stored; // the store's record
  void load_absent(bool marked = false, std::uint64_t noted_version = 0) {
    lane_loaded l;
    l.noted_lineage = noted_version ? 77 : 0;
    l.noted_version = noted_version;
    l.what = lane_loaded::state::absent;
    l.marked = marked;
    l.start.assign(lane_partition_count(config.lane, config.lanes, config.topic_partitions), {0});
    machine->loaded(now, take<fx_load>().ticket, l);
  }
  void load_failed() {
    lane_loaded l;
    l.why = "no answer";
    l.start.assign(lane_partition_count(config.lane, config.lanes, config.topic_partitions), {0});
    machine->loaded(now, take<fx_load>().ticket, l);
  }
  void load_stored(bool marked = true, std::uint64_t noted_version = 0, std::uint64_t lineages_since = 0) {
    lane_loaded l;
    l.what = lane_loaded::state::found;
    l.text = stored;
    l.noted_lineage = noted_version ? decode_record(stored)->lineage + lineages_since : 0;
    l.noted_version = noted_version;
    l.marked = marked;
    machine->loaded(now, take<fx_load>().ticket, l);
  }
  void inspect(std::int64_t low = 0, std::int64_t end = 1'000'000,
               log_facts::part::recognised known = log_facts::part::recognised::same) {
    auto fx = take<fx_inspect>();
    log_facts f;
    f.answered = true;
    for (auto& p : fx.probes) f.parts.push_back({{low}, {end}, p.at ? known : log_facts::part::recognised::not_asked});
    machine->inspected(now, fx.ticket, f);
  }
  // Bounds that leave out what is to be delivered next are looked at twice.
  void inspect_twice(std::int64_t low = 0, std::int64_t end = 1'000'000) {
    inspect(low, end);
    CHECK_FALSE(has<fx_save>());
    wait(10'000);
    inspect(low, end);
  }
  std::optional<table_standing> standing; // told with each answer, as are
  block_sum blocks;
  std::optional<answering::span> heard(const fx_ask& fx, bool answered = true) {
    if (fx.running && answered) answers.heard(asked[fx.ticket], now.mono);
    return answers.times();
  }
  // The table's answer: what it holds of each range, in order; of the ranges
  // behind, nothing.
  fx_ask tell(const std::vector<range_count>& counts, bool token_running = false) {
    auto fx = take<fx_ask>();
    table_answer a;
    a.answered = true;
    a.all_answer = heard(fx);
    a.now = standing;
    a.blocks = blocks;
    a.counts = counts;
    a.counts.resize(fx.ranges.size());
    if (token_running) a.why = "it runs somewhere";
    machine->answered(now, fx.ticket, a, token_running);
    return fx;
  }
  // Is it running? The table itself is not asked.
  void tell_running(bool running) {
    const auto fx = tell({}, running);
    CHECK(fx.ranges.empty());
    CHECK_FALSE(fx.running.has_value());
    CHECK(fx.still == saved().open->token);
  }
  // The same, offset by offset.
  fx_ask tell_offsets(const std::vector<std::vector<std::int64_t>>& present) {
    auto fx = take<fx_ask>();
    CHECK(fx.list);
    table_answer a;
    a.answered = true;
    a.all_answer = heard(fx);
    a.now = standing;
    a.blocks = blocks;
    a.listed = {present, offsets_there(present.size())};
    for (auto& p : present) a.counts.push_back(rows_found(p.size()));
    machine->answered(now, fx.ticket, a, false);
    return fx;
  }
  fx_ask no_answer() {
    auto fx = take<fx_ask>();
    table_answer a;
    a.why = "no answer";
    a.all_answer = heard(fx, false);
    machine->answered(now, fx.ticket, a, false);
    return fx;
  }
  fx_ask answer(std::uint64_t rows_each = 0, std::uint64_t dead_each = 0, wall_ms server_started = 0) {
    auto fx = take<fx_ask>();
    table_answer a;
    a.answered = true;
    a.all_answer = heard(fx);
    a.now = standing;
    a.blocks = blocks;
    a.server_started_ms = server_started;
    for (std::size_t i = 0; i < fx.ranges.size(); ++i)
      a.counts.push_back({rows_each, rows_each, dead_each, dead_each, rows_each + dead_each});
    machine->answered(now, fx.ticket, a, false);
    return fx;
  }
  fx_save accept() {
    auto fx = take<fx_save>();
    stored = fx.text;
    machine->saved(now, fx.ticket, save_outcome::accepted, {});
    return fx;
  }
  void give(const chunk_ptr& c) {
    auto epoch = take_credit(c->partition);
    machine->chunk_arrived(now, epoch, c);
  }
  std::uint64_t take_credit(partition_id p) {
    collect();
    for (auto it = out.begin(); it != out.end(); ++it)
      if (auto* f = std::get_if<fx_take>(&*it); f && f->partition == p) {
        auto e = f->epoch;
        out.erase(it);
        return e;
      }
    FAIL("no credit for this partition");
    throw std::logic_error("unreachable");
  }
  void save_answered(save_outcome what) { machine->saved(now, take<fx_save>().ticket, what, "told so"); }
  fx_insert acknowledge(insert_answer::verdict v = insert_answer::verdict::acknowledged) {
    insert_answer a;
    a.what = v;
    a.answered = true;
    auto fx = take<fx_insert>();
    machine->inserted(now, fx.ticket, a);
    return fx;
  }
  void too_big() {
    insert_answer a;
    a.what = insert_answer::verdict::too_big;
    a.answered = true;
    a.code = 241;
    machine->inserted(now, take<fx_insert>().ticket, a);
  }
  void unanswered() {
    insert_answer a;
    a.what = insert_answer::verdict::retry;
    a.message = "no reply";
    machine->inserted(now, take<fx_insert>().ticket, a);
  }
  void rejected(int code = 469, const std::string& message = {}) {
    insert_answer a;
    a.message = message;
    a.what = insert_answer::verdict::rejected_data;
    a.answered = a.before_write = true;
    a.code = code;
    machine->inserted(now, take<fx_insert>().ticket, a);
  }

  // A first start, up to streaming.
  void first_start() {
    start();
    load_absent();
    inspect();
    if (config.delivery == delivery_mode::exactly_once) answer();
    accept();
    machine->marked_started(now, take<fx_mark_started>().ticket, true, {});
    collect();
    REQUIRE(machine->phase() == lane_phase::streaming);
  }
  lane_record saved() const {
    auto r = decode_record(stored);
    REQUIRE(r.ok());
    return *r;
  }
  // So much time passes, in steps that no process sleeps through.
  void wait(std::int64_t ms) {
    for (; ms > 0; ms -= 5'000) pass(std::min<std::int64_t>(ms, 5'000));
  }
  // Time passes while no process has the lane.
  void skip(std::int64_t ms) {
    now.mono += ms;
    now.wall += ms;
    now.server += ms;
  }
  // Gathers n records and saves their plan: the insert is under way.
  fx_save planned(int n = 10, std::int64_t first = 0) {
    if (has<fx_save>()) accept(); // of what was done before
    give(records(0, first, n));
    pass(config.batch.wait_ms);
    return accept();
  }
  // A new process with the record that the store has; up to its comparing it with the log.
  void restart_loading() {
    out.clear();
    start();
    load_stored();
  }
  // A new process with the record that the store has; up to the plan being read
  // again, or streaming.
  void restart() {
    out.clear();
    start();
    load_stored();
    inspect();
    answer();
    accept();
  }
  // Records 0 to 9 are done; the plan of 10 to 19 was made by another life, and
  // its token may be forgotten by now: the lane asks for the first time.
  void doubted() {
    config.window_ms = 400'000; // good for 200 s
    first_start();
    planned(10);
    acknowledge();
    planned(10, 10);
    skip(250'000);
    restart();
    give(records(0, 10, 10));
    REQUIRE(machine->phase() == lane_phase::settling);
  }
  // Lets the wait pass until no attempt can still be running, and answers its
  // questions; then the lane asks for good.
  void wait_until_quiet() {
    for (int i = 0; i < 100; ++i) {
      collect();
      for (auto& e : out)
        if (auto* f = std::get_if<fx_ask>(&e); f && !f->ranges.empty()) return;
      if (has<fx_ask>()) tell({});
      pass(5'000);
    }
    FAIL("the wait does not end");
  }
};

} // namespace chute::test
