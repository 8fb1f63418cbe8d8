// What strikes from outside, and how all of it heals.
#include "core/record.hpp"
#include "test/sim/inside.hpp"

#include <algorithm>
#include <utility>

namespace chute::sim {

namespace {
struct weighted {
  fault f;
  std::uint32_t weight;
};
constexpr weighted outside[] = {
    {fault::crash, 14},       {fault::pause, 14},          {fault::stop_cleanly, 4}, {fault::wall_jump, 4},
    {fault::server_hangs, 8}, {fault::server_restarts, 5}, {fault::host_crash, 4},   {fault::writers, 4},
    {fault::alter, 5},        {fault::alter_hard, 4},      {fault::check_added, 2},  {fault::rebalance, 8},
    {fault::too_big, 4},      {fault::person_wanted, 3},   {fault::retention, 4},    {fault::rollback, 5},
    {fault::expire, 2},       {fault::foreign_move, 2},    {fault::truncate, 3},     {fault::recreate, 3}};

bool is_log_fault(fault f) { return f == fault::truncate || f == fault::recreate; }
bool is_store_fault(fault f) { return f == fault::rollback || f == fault::expire || f == fault::foreign_move; }
} // namespace

fault world::draw_fault() {
  std::uint32_t sum = 0;
  auto counts = [&](const weighted& w) {
    if (s_.muted[static_cast<std::size_t>(w.f)]) return 0u;
    if (is_log_fault(w.f) && !s_.wild_log) return 0u;
    if (is_store_fault(w.f) && !s_.wild_store) return 0u;
    return w.weight;
  };
  for (auto& w : outside) sum += counts(w);
  auto at = strikes_.below(sum);
  for (auto& w : outside) {
    auto n = counts(w);
    if (at < n) return w.f;
    at -= n;
  }
  return fault::crash;
}

void world::strike() {
  if (!chaos_) return;
  if (s_.flat) return heal();
  if (faults_drawn_ >= s_.faults_wanted && produced_ >= s_.records) return heal();
  auto f = draw_fault();
  auto fork = strikes_; // what a fault draws moves nothing else, so that it can be left out
  if (strike_at(f, 1000)) strike(f);
  strikes_ = fork;
  strikes_.next();
  if (s_.count_told) tell_counts();
  event e;
  e.what = ev::strike;
  later(strikes_.any_length(10, 4 * s_.strike_every_ms), e);
}

// The pipeline tells its lanes from time to time how many inserts there were; a message may be late.
void world::tell_counts() {
  auto n = static_cast<std::uint8_t>(net_.below(static_cast<std::uint32_t>(processes_.size())));
  auto blocks = server_.rows.count + server_.dead.count + 2 * writers() + 1;
  for (std::uint8_t l = 0; l < processes_[n].lanes.size(); ++l)
    if (processes_[n].up && processes_[n].lanes[l].live)
      later(net_.any_length(2, 2'000), to_lane(n, l, ev::count_told, blocks));
}

void world::strike(fault f) {
  auto n = static_cast<std::uint8_t>(strikes_.below(static_cast<std::uint32_t>(processes_.size())));
  auto& p = processes_[n];
  auto l = static_cast<std::uint8_t>(strikes_.below(static_cast<std::uint32_t>(s_.lanes)));
  auto k = static_cast<std::size_t>(strikes_.below(static_cast<std::uint32_t>(s_.partitions)));
  event e;
  switch (f) {
  case fault::crash:
    if (p.up) end_process(n);
    return;
  case fault::pause: return pause(n);
  case fault::stop_cleanly: return stop_cleanly(n);
  case fault::wall_jump: p.wall_offset += (strikes_.below(2) ? 1 : -1) * strikes_.any_length(100, 7'200'000); return;
  case fault::server_hangs:
    server_.hangs_until = std::max(server_.hangs_until, now_ + strikes_.any_length(500, 600000));
    return count_writers();
  case fault::server_restarts:
    if (server_.up) server_dies(false);
    return;
  case fault::host_crash:
    if (server_.up) server_dies(true);
    return;
  case fault::writers: return set_writers();
  case fault::alter: ++server_.columns; return;
  case fault::alter_hard: server_.refuses_below = ++server_.columns; return;
  case fault::check_added: server_.check = true; return;
  case fault::rebalance:
    if (group_.at == consumer_group::state::stable) group_prepares();
    return;
  case fault::too_big:
  case fault::person_wanted:
    if (f == fault::too_big) server_.rows_max = strikes_.below(3); // 0: short of memory for whatever comes
    else server_.right_missing = true;
    e.what = ev::right_restored;
    return later(strikes_.any_length(500, 120'000), e);
  case fault::retention: return lose_records(k);
  case fault::rollback: return roll_back(l);
  case fault::expire:
  case fault::foreign_move: return forget_lane(l, f == fault::foreign_move);
  case fault::truncate: return cut_log(k);
  case fault::recreate: return make_topic_anew();
  default: return;
  }
}

void world::pause(std::uint8_t n) {
  auto& p = processes_[n];
  if (!p.up || p.paused) return;
  p.paused = true;
  p.paused_at = now_;
  auto e = to(n, ev::resumes);
  later(strikes_.any_length(200, 7'200'000), e);
  e.what = ev::session_over;
  e.serial = p.handle;
  e.tag = static_cast<std::uint64_t>(now_);
  later(s_.lane.session_timeout_ms, e);
}

// Lanes are drained for a while, then the process leaves.
void world::stop_cleanly(std::uint8_t n) {
  auto& p = processes_[n];
  if (!p.up || p.paused) return;
  for (std::uint8_t l = 0; l < p.lanes.size(); ++l) lane_event(n, l, [](lane& m, instant now) { m.drain(now); });
  auto e = to(n, ev::ends);
  later(strikes_.any_length(50, 10'000), e);
}

// What they have written so far. A server that stands still takes nothing from them either.
void world::count_writers() {
  auto more = writers();
  server_.rows.count += more;
  server_.dead.count += more;
  server_.writers_since = std::max(now_, server_.hangs_until);
}

// Other writers use up the window, but never half of it within the time that an attempt may take.
void world::set_writers() {
  auto most = static_cast<double>(s_.lane.window_ids) / 16 /
              static_cast<double>(s_.lane.lease_ms + 2 * s_.lane.insert_limit_ms + 20'000);
  count_writers();
  server_.writers_per_ms = strikes_.below(3) == 0 ? 0 : most * strikes_.below(1000) / 1000;
}

// --- the log ---------------------------------------------------------------------------------------------------------

void world::lose_records(std::size_t k) {
  auto& p = kafka_[k];
  auto l = k % static_cast<std::size_t>(s_.lanes);
  auto i = k / static_cast<std::size_t>(s_.lanes);
  auto next = records_[l].partitions.size() > i ? records_[l].partitions[i].next.value : 0;
  auto to = strikes_.below(10) < 7 ? std::min(p.end(), next) : p.end();
  if (to <= p.low) return;
  auto low = strikes_.between(p.low + 1, to);
  for (auto o = p.low; o < low; ++o) {
    auto& c = p.landed[static_cast<std::size_t>(o)];
    bool undone = o >= next;
    c.forgotten |= undone || lacks_rows(p, o); // done may have been another log's
    if (undone) spoiled_[l] |= spoiled_retention;
  }
  p.low = low;
  say("partition ", k, " now begins at ", low);
}

// The rows that landed of records that are no more stay in the table.
void world::archive(kafka_partition& p, std::int64_t from) {
  for (auto o = static_cast<std::size_t>(from); o < p.landed.size(); ++o) {
    auto& c = p.landed[o];
    c.old_rows = static_cast<std::uint8_t>(c.old_rows + c.rows);
    c.old_dead = static_cast<std::uint8_t>(c.old_dead + c.dead);
    c.rows = c.dead = c.which = 0;
    c.forgotten = false;
  }
}

// From here on the partition's log is another one.
void world::cut(std::size_t k, std::int64_t at) {
  auto l = static_cast<std::uint8_t>(k % static_cast<std::size_t>(s_.lanes));
  kafka_[k].cuts.push_back(at);
  spoiled_[l] |= spoiled_log;
  tell_apart(l);
  feed_waiting(static_cast<int>(k)); // who waits at its end hears of it
}

void world::refill(std::size_t k, std::uint32_t n) {
  for (; n > 0; --n) append(kafka_[k]);
  feed_waiting(static_cast<int>(k));
}

void world::cut_log(std::size_t k) {
  auto& p = kafka_[k];
  if (p.end() == p.low) return;
  auto to = strikes_.between(p.low, p.end() - 1);
  say("partition ", k, " is truncated from ", p.end(), " to ", to);
  auto lost = static_cast<std::uint32_t>(p.end() - to);
  p.log.resize(static_cast<std::size_t>(to));
  archive(p, to);
  cut(k, to);
  p.gone_until = now_ + strikes_.between(3'000, 10'000);
  refill(k, strikes_.below(2) ? 0 : strikes_.below(lost + 4));
}

void world::make_topic_anew() {
  say("the topic is made anew");
  const bool behind = strikes_.below(4) > 0; // a broker that has not heard of it
  for (std::size_t k = 0; k < kafka_.size(); ++k) {
    auto& p = kafka_[k];
    auto n = static_cast<std::uint32_t>(p.log.size());
    p.old_log = std::exchange(p.log, {});
    p.old_low = std::exchange(p.low, 0);
    p.old_since = now_;
    p.gone_until = now_ + 3'000 + static_cast<ms>(n) * 100;
    p.old_until = behind ? p.gone_until + strikes_.between(0, 1'990) : now_;
    archive(p, 0);
    cut(k, 0);
    refill(k, strikes_.below(2) ? strikes_.below(n + 4) : n + strikes_.below(4)); // the most like the old one
  }
}

// --- the store -------------------------------------------------------------------------------------------------------

void world::put_back(std::uint8_t l, stored s) {
  auto record = s.present && !s.foreign ? decode_record(s.text) : result<lane_record>(lane_record{});
  records_[l] = *record;
  s.since = now_;
  store_[l].push_back(std::move(s));
  changed_ = true;
}

void world::roll_back(std::uint8_t l) {
  auto& all = store_[l];
  if (all.size() < 2 || all.back().foreign) return;
  auto back = static_cast<std::size_t>(
      strikes_.between(1, std::min<std::int64_t>(4, static_cast<std::int64_t>(all.size()) - 1)));
  for (auto i = all.size() - back; i < all.size(); ++i)
    if (all[i - 1].version >= all[i].version) return; // it went back there once: beyond lies another history
  spoiled_[l] |= spoiled_rollback;
  // Whatever was saved since may still be on its way to the table.
  for (std::size_t i = all.size() - back; i < all.size(); ++i)
    if (all[i].present) {
      spoiled_[l] |= spoiled_in_flight;
      went_back_at_[l] = now_;
    }
  say("the store goes back from version ", all.back().version, " of lane ", int{l}, " to ",
      all[all.size() - 1 - back].version);
  put_back(l, all[all.size() - 1 - back]);
}

void world::forget_lane(std::uint8_t l, bool foreign) {
  bool kafka = s_.store == store_type::kafka;
  if (store_[l].empty() || (kafka && !group_.members.empty()) || (foreign && !kafka)) return;
  spoiled_[l] |= foreign ? spoiled_foreign : spoiled_gone;
  stored s;
  s.present = s.foreign = foreign;
  put_back(l, s);
}

// --- healing ---------------------------------------------------------------------------------------------------------

bool world::all_done() const {
  if (produced_ < s_.records || attempts_alive_ > 0) return false;
  for (std::uint8_t l = 0; l < s_.lanes; ++l) {
    if (stopped_[l]) continue;
    const auto& r = records_[l];
    if (r.version == 0 || r.open || store_[l].back().since < healed_at_) return false; // at least its claim
    for (std::size_t i = 0; i < r.partitions.size(); ++i) {
      auto& p = kafka_[static_cast<std::size_t>(partition_of(l, i))];
      bool gone = p.low == p.end() && s_.lane.on_data_loss == data_loss_policy::resume; // saved with the next plan
      if (r.partitions[i].next.value < p.end() && !gone) return false;
      if (now_ < p.gone_until) return false; // who reads hears of it first
      // Who was told of the old log, and has nothing to read of the new one, looks again within a minute.
      if (p.old_until > 0 && now_ < p.old_until + s_.lane.look_at_log_ms + 2'000) return false;
    }
  }
  // Each lane works, and knows what the store holds: a claim alone says nothing. Where the store went back, a save of
  // before that lands late can lie over it: a lane that has nothing to do learns of it with its next save.
  for (std::uint8_t l = 0; l < s_.lanes; ++l) {
    bool works = stopped_[l] != 0;
    const bool late = spoiled_[l] & spoiled_rollback;
    for (auto& p : processes_) {
      auto& s = p.lanes[l];
      works |= s.live && s.machine->phase() == lane_phase::streaming && !s.machine->looks_at_log() &&
               (late ? s.machine->record().version <= records_[l].version
                     : s.machine->record().version == records_[l].version);
    }
    if (!works) return false;
  }
  return true;
}

void world::heal() {
  say("all faults are over");
  chaos_ = false;
  changed_ = true;
  ++heals_;
  healed_at_ = now_;
  server_.right_missing = false;
  server_.rows_max = UINT64_MAX;
  for (std::uint8_t n = 0; n < processes_.size(); ++n) {
    auto& p = processes_[n];
    if (p.up && p.paused) resume(n);
    else if (!p.up) start_process(n);
  }
  if (!server_.up) {
    event e;
    e.what = ev::server_up;
    later(1'000, e);
  }
  for (auto& s : stopped_) s = 0; // all lanes are assigned anew
  if (group_.at == consumer_group::state::stable) group_prepares();
}

} // namespace chute::sim
