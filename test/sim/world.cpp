#include "test/sim/world.hpp"

#include "test/sim/inside.hpp"

#include <algorithm>

namespace chute::sim {

namespace {
constexpr ms epoch_ms = 1'700'000'000'000; // what clocks of hosts show at true time 0
constexpr std::uint64_t events_max = 30'000;
constexpr ms time_max = 10ll * 86'400'000;
constexpr ms heartbeat_max_ms = 1'000;
constexpr ms flat_heals_ms = 300'000;

bool later_than(const event& a, const event& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }
} // namespace

world::world(const scenario& s, const wishes& w)
    : s_(s), wishes_(w), net_(stir(s.seed) + 1), strikes_(stir(s.seed) + 2), content_(stir(s.seed) + 3),
      lane_dice_(stir(s.seed) + 4), memory_(stir(s.seed) + 10) {
  kafka_.resize(static_cast<std::size_t>(s.partitions));
  processes_.resize(static_cast<std::size_t>(s.processes));
  auto lanes = static_cast<std::size_t>(s.lanes);
  for (auto& p : processes_) {
    p.lanes.resize(lanes);
    p.known.resize(lanes);
    p.mono_base = net_.between(0, 1'000'000'000);
    p.wall_offset = net_.between(-500, 500);
  }
  store_.resize(lanes);
  started_.resize(lanes);
  durable_.resize(lanes);
  went_back_at_.assign(lanes, -1);
  notes_.resize(lanes);
  spoiled_.resize(lanes);
  untellable_.resize(lanes);
  stopped_.resize(lanes);
  records_.resize(lanes);
  server_.clock = epoch_ms + net_.between(-2'000, 2'000);
  server_.started = now_ - 100'000;
  server_.writers_since = now_;
}

// --- time ------------------------------------------------------------------------------------------------------------

void world::push(event e) {
  e.order = order_++;
  queue_.push_back(e);
  std::push_heap(queue_.begin(), queue_.end(), later_than);
}

void world::later(ms delay, event e) {
  e.at = now_ + delay;
  push(e);
}

event world::to(std::uint8_t p, ev what) const {
  event e;
  e.what = what;
  e.process = p;
  e.life = processes_[p].life;
  return e;
}

event world::to_lane(std::uint8_t p, std::uint8_t l, ev what, std::uint64_t tag) const {
  auto e = to(p, what);
  e.lane = l;
  e.serial = processes_[p].lanes[l].serial;
  e.tag = tag;
  return e;
}

instant world::now_of(const process& p, ms at) const {
  return {at + p.mono_base, at + epoch_ms + p.wall_offset, at + p.mono_base + p.server_offset};
}

void world::run() {
  ++counts_.schedules;
  for (std::uint8_t p = 0; p < processes_.size(); ++p) {
    event e;
    e.what = ev::starts_again;
    e.process = p;
    e.life = processes_[p].life;
    later(net_.between(0, 3'000), e);
  }
  if (s_.flat) {
    net_.make_flat();
    strikes_.make_flat();
  }
  event e;
  e.what = ev::produce;
  later(net_.between(0, 2'000), e);
  e.what = ev::strike;
  later(s_.flat ? flat_heals_ms : strikes_.between(1, 2 * s_.strike_every_ms), e);
  loop();
  final_check();
  for (auto& p : processes_)
    for (auto& l : p.lanes) retire(l);
  counts_.lanes += static_cast<std::uint64_t>(s_.lanes);
  counts_.faults += struck_.size();
  counts_.faults_least = std::min<std::uint64_t>(counts_.faults_least, struck_.size());
  for (auto& p : kafka_) counts_.records += p.log.size();
}

std::string world::who_goes_on() const {
  std::string out;
  for (std::size_t n = 0; n < processes_.size(); ++n)
    for (std::size_t l = 0; l < processes_[n].lanes.size(); ++l) {
      const auto& s = processes_[n].lanes[l];
      if (!s.live) continue;
      const auto is = s.machine->status();
      out += "; process " + std::to_string(n) + " lane " + std::to_string(l) + " is " + to_string(is.phase) +
             (is.waiting_for.empty() ? "" : " and waits for " + is.waiting_for);
    }
  return out;
}

void world::loop() {
  const auto until = now_ + time_max;
  while (!queue_.empty()) {
    if (++counts_.events > events_max || now_ > until) fail("it does not come to an end" + who_goes_on());
    std::pop_heap(queue_.begin(), queue_.end(), later_than);
    auto e = queue_.back();
    queue_.pop_back();
    now_ = e.at;
    mix(static_cast<std::uint64_t>(e.at) ^ static_cast<std::uint64_t>(e.what) << 56 ^ e.tag ^
        static_cast<std::uint64_t>(e.process) << 48 ^ static_cast<std::uint64_t>(e.lane) << 40);
    if (!s_.flat || !chaos_ || !deviate(e)) dispatch(e);
    if (chaos_ || !changed_) continue;
    changed_ = false;
    if (!all_done()) continue;
    bool any_stopped = false;
    for (auto s : stopped_) any_stopped |= s != 0;
    if (!any_stopped || heals_ >= 2) return;
    heal(); // once more: what stopped is assigned anew
  }
  fail("nothing is left to happen, and not everything is delivered");
}

void world::dispatch(const event& e) {
  if (e.what > ev::to_the_world) return dispatch_world(e);
  auto& p = processes_[e.process];
  if (!p.up || p.life != e.life) return;
  if (p.paused) return p.kept.push_back(e);
  dispatch_process(p, e);
}

lane_slot* world::slot_of(const event& e) {
  auto& s = processes_[e.process].lanes[e.lane];
  return s.live && s.serial == e.serial ? &s : nullptr;
}

void world::dispatch_process(process& p, const event& e) {
  auto n = e.process;
  bool of_handle = e.serial == p.handle;
  switch (e.what) {
  case ev::joins:
    if (of_handle) {
      event m;
      m.what = ev::member_joins;
      m.process = n;
      m.serial = p.handle;
      later(net(), m);
    }
    return;
  case ev::group_assigned: return of_handle ? assigned(p, n, e) : void();
  case ev::group_revokes: return of_handle ? revokes(p, n, e) : void();
  case ev::group_lost: return of_handle ? lost(p, n) : void();
  case ev::begun:
    return of_handle && p.at == membership::assigned && p.generation == static_cast<int>(e.tag) ? begun(p, n) : void();
  case ev::revoke_limit:
    if (!of_handle || p.at != membership::revoking || p.generation != static_cast<int>(e.tag)) return;
    for (std::uint8_t l = 0; l < p.lanes.size(); ++l)
      if (p.lanes[l].live) lane_event(n, l, [](lane& m, instant now) { m.lose(now); });
    return check_revoked(p, n);
  case ev::keeper_saves: return keeper_saves(e);
  case ev::commit_leaves: return commit_leaves(e);
  case ev::saved: return saved(e, false);
  case ev::save_limit: return saved(e, true);
  case ev::refreshed: return refreshed(e);
  case ev::insert_begins: return insert_begins(e);
  default: break;
  }
  auto* s = slot_of(e);
  if (!s) return;
  switch (e.what) {
  case ev::wake:
    if (s->wake_at == static_cast<ms>(e.tag)) lane_event(n, e.lane, [](lane& m, instant now) { m.tick(now); });
    return;
  case ev::starts_read: return starts_read(e);
  case ev::loaded:
    return lane_event(n, e.lane, [&](lane& m, instant now) { m.loaded(now, e.tag, loads_[e.ref].what); });
  case ev::inspected:
    return lane_event(n, e.lane, [&](lane& m, instant now) { m.inspected(now, e.tag, looks_[e.ref].facts); });
  case ev::marked:
    return lane_event(n, e.lane, [&](lane& m, instant now) { m.marked_started(now, e.tag, e.ref == 0, "no answer"); });
  case ev::fetch: return fetch(e);
  case ev::chunk:
    return lane_event(n, e.lane, [&](lane& m, instant now) { m.chunk_arrived(now, e.tag, chunks_[e.ref]); });
  case ev::end_seen:
    return lane_event(n, e.lane, [&](lane& m, instant now) {
      m.end_seen(now, e.tag, {partition_of(e.lane, e.part)}, offset_t{static_cast<std::int64_t>(e.ref)});
    });
  case ev::read_failed: return read_failed(n, e, *s);
  case ev::log_suspected:
    s->heard_gone = std::max(s->heard_gone, static_cast<ms>(e.tag));
    return lane_event(n, e.lane, [](lane& m, instant now) { m.log_suspected(now); });
  case ev::inserted:
  case ev::insert_limit: {
    auto& a = attempts_[e.ref];
    if (a.told) return;
    a.told = true;
    if (a.loads == s->loads) --s->attempts;
    if (e.what == ev::insert_limit) {
      a.answer = {};
      a.answer.attempts = a.requests;
      a.answer.message = "no reply in time";
    }
    return lane_event(n, e.lane, [&](lane& m, instant now) { m.inserted(now, a.ticket, a.answer); });
  }
  case ev::answered: {
    auto& q = questions_[e.ref];
    if (q.answer.answered) p.server_offset = q.server_time - (now_ + p.mono_base);
    if (q.asked.running && q.answer.answered) p.answers.heard(q.sent + p.mono_base, now_ + p.mono_base);
    q.answer.all_answer = p.answers.times();
    return lane_event(n, e.lane, [&](lane& m, instant now) { m.answered(now, q.asked.ticket, q.answer, q.running); });
  }
  case ev::count_told: return lane_event(n, e.lane, [&](lane& m, instant now) { m.set_blocks({e.tag}, now); });
  default: return;
  }
}

// The process tells its other lanes, and those that begin within a minute (actors/pipeline.cpp).
void world::read_failed(std::uint8_t n, const event& e, lane_slot& s) {
  const auto what = static_cast<read_error>(e.ref);
  lane_event(n, e.lane, [&](lane& m, instant now) {
    m.read_failed(now, e.tag, {partition_of(e.lane, e.part)}, what, "as drawn");
  });
  if (what == read_error::other || what == read_error::halted) return;
  auto& p = processes_[n];
  s.heard_gone = p.heard_gone = now_;
  for (std::uint8_t l = 0; l < p.lanes.size(); ++l) {
    if (l == e.lane || !p.lanes[l].live) continue;
    auto told = to_lane(n, l, ev::log_suspected, static_cast<std::uint64_t>(now_));
    later(net_.between(0, 3), told);
  }
}

void world::dispatch_world(const event& e) {
  switch (e.what) {
  case ev::produce: return produce();
  case ev::strike: return strike();
  case ev::resumes:
    if (processes_[e.process].life == e.life && processes_[e.process].paused) resume(e.process);
    return;
  case ev::starts_again:
    if (processes_[e.process].life == e.life && !processes_[e.process].up) start_process(e.process);
    return;
  case ev::ends:
    if (processes_[e.process].life != e.life || !processes_[e.process].up) return;
    group_leaves(processes_[e.process].handle, false);
    return end_process(e.process);
  case ev::session_over: {
    auto& p = processes_[e.process];
    bool silent = p.life != e.life || !p.up || (p.paused && p.paused_at == static_cast<ms>(e.tag));
    if (silent) group_leaves(e.serial, true);
    return;
  }
  case ev::member_joins: return group_joins(e.serial, e.process);
  case ev::member_leaves: return group_leaves(e.serial, false);
  case ev::rebalance_limit:
    if (group_.at != consumer_group::state::preparing || group_.round != e.tag) return;
    for (std::size_t i = group_.members.size(); i-- > 0;)
      if (!group_.members[i].joined) {
        auto m = group_.members[i];
        group_.members.erase(group_.members.begin() + static_cast<std::ptrdiff_t>(i));
        auto lost = to(m.process, ev::group_lost);
        lost.serial = m.handle;
        later(net_.between(0, 3'000), lost);
      }
    return group_checks();
  case ev::rebalance_done:
    if (group_.at == consumer_group::state::preparing && group_.round == e.tag) group_completes();
    return;
  case ev::store_read: return store_read(e);
  case ev::save_arrives: return save_arrives(e);
  case ev::inspect_arrives: return inspect_arrives(e);
  case ev::mark_arrives: {
    started_[e.lane] = 1;
    auto done = e;
    done.what = ev::marked;
    return later(net(), done);
  }
  case ev::request_arrives: return request_arrives(e);
  case ev::part_commits: return part_commits(e);
  case ev::ask_arrives: return ask_arrives(e);
  case ev::server_up:
    server_.up = true;
    server_.started = now_;
    say("ClickHouse is up again");
    return;
  case ev::right_restored:
    server_.right_missing = false;
    server_.rows_max = UINT64_MAX;
    return;
  default: return;
  }
}

// --- processes -------------------------------------------------------------------------------------------------------

void world::start_process(std::uint8_t n) {
  auto& p = processes_[n];
  p.up = true;
  p.paused = false;
  ++p.life;
  p.awake_since = now_;
  p.columns = server_.columns;
  p.server_offset = server_now() - (now_ + p.mono_base);
  p.answers = {};
  p.at = membership::joining;
  p.handle = ++handles_;
  p.generation = -1;
  p.queue_free = now_;
  p.unanswered = 0;
  for (auto& k : p.known) k = {};
  say("process ", int{n}, " starts");
  auto e = to(n, ev::joins);
  e.serial = p.handle;
  later(net(), e);
}

void world::end_process(std::uint8_t n) {
  auto& p = processes_[n];
  for (std::uint8_t l = 0; l < p.lanes.size(); ++l) drop_lane(p, l);
  p.up = p.paused = false;
  p.heard_gone = -1;
  p.kept.clear();
  p.at = membership::outside;
  event e;
  e.process = n;
  e.life = p.life;
  e.serial = p.handle;
  e.what = ev::session_over;
  later(s_.lane.session_timeout_ms, e);
  e.what = ev::starts_again;
  later(strikes_.any_length(50, 120'000), e);
}

// What waited meanwhile is seen in any order, but each kind in its own.
void world::resume(std::uint8_t n) {
  auto& p = processes_[n];
  p.paused = false;
  p.awake_since = now_;
  for (auto& s : p.lanes) s.slept |= s.live && !s.stopped && now_ - p.paused_at > s_.lane.session_timeout_ms / 2;
  say("process ", int{n}, " goes on after ", now_ - p.paused_at, " ms");
  auto kept = std::move(p.kept);
  p.kept.clear();
  std::array<ms, 32> jitter{};
  for (auto& j : jitter) j = net_.between(0, 8);
  // A heartbeat must tell it first that its membership is over.
  jitter[static_cast<std::size_t>(ev::group_lost)] = net_.between(0, 3'000);
  jitter[static_cast<std::size_t>(ev::group_revokes)] = jitter[static_cast<std::size_t>(ev::group_lost)];
  jitter[static_cast<std::size_t>(ev::group_assigned)] = jitter[static_cast<std::size_t>(ev::group_lost)];
  for (auto& e : kept) {
    e.at = now_ + jitter[static_cast<std::size_t>(e.what)];
    auto& s = p.lanes[e.lane];
    if (e.what == ev::chunk && e.part < s.readers.size()) s.readers[e.part].last_chunk = e.at; // none overtakes it
    push(e);
  }
}

// --- lanes -----------------------------------------------------------------------------------------------------------

void world::start_lane(std::uint8_t n, std::uint8_t l) {
  auto& p = processes_[n];
  auto& s = p.lanes[l];
  drop_lane(p, l);
  auto c = s_.lane;
  c.lane = {l};
  c.fingerprint = 33 + p.columns;
  s.machine = std::make_unique<lane>(c, lane_dice_);
  s.live = true;
  s.stopped = s.revoking = s.refused = s.slept = false;
  s.accepted = 0;
  s.leased_since = 0;
  s.heard_gone = -1;
  s.serial = ++serials_;
  s.last_event = now_;
  s.wake_at = 0;
  s.attempts = 0;
  s.readers.assign(parts_of(l), {});
  stopped_[l] = 0;
  lane_event(n, l, [](lane& m, instant now) { m.assign(now); });
  if (p.heard_gone < 0 || now_ - p.heard_gone >= 60'000) return;
  s.heard_gone = p.heard_gone;
  lane_event(n, l, [](lane& m, instant now) { m.log_suspected(now); });
}

void world::drop_lane(process& p, std::uint8_t l) {
  auto& s = p.lanes[l];
  retire(s);
  s.live = false;
}

void world::retire(lane_slot& s) {
  if (!s.machine) return;
  const auto& c = s.machine->counters();
  counts_.inserts += c.inserts;
  counts_.saves += c.saves;
  for (std::size_t i = 0; i < lane_edge_count; ++i) counts_.edges[i] += c.edges[i];
  s.machine.reset();
}

// An idle lane hears from its clock more often than half the session time-out, but not while the process stands still.
void world::catch_up(process& p, lane_slot& s) {
  const ms step = std::min(s_.lane.session_timeout_ms / 8, heartbeat_max_ms);
  if (s.last_event < p.awake_since) return; // woken just now: the gap is the lane's to see
  while (now_ - s.last_event > step) {
    s.last_event += step;
    s.machine->tick(now_of(p, s.last_event));
  }
}

void world::after_event(std::uint8_t n, std::uint8_t l) {
  auto& p = processes_[n];
  auto& s = p.lanes[l];
  auto serial = s.serial;
  for (auto& fx : s.machine->take_effects()) {
    if (!s.live || s.serial != serial) break;
    mix(fx.index() + 77);
    perform(n, l, fx);
  }
  if (!s.live || s.serial != serial) return;
  auto next = s.machine->next_wake();
  if (next == INT64_MAX) {
    s.wake_at = 0;
    return;
  }
  auto at = std::max(next - p.mono_base, now_ + 1);
  if (at == s.wake_at) return;
  s.wake_at = at;
  auto e = to_lane(n, l, ev::wake, static_cast<std::uint64_t>(at));
  e.at = at;
  push(e);
}

void world::perform(std::uint8_t n, std::uint8_t l, const effect& fx) {
  auto& p = processes_[n];
  auto& s = p.lanes[l];
  check_awake(s, fx);
  if (auto* f = std::get_if<fx_load>(&fx)) {
    s.refused = s.slept = false;
    s.attempts = s.accepted = 0; // an insert from before it forgot may still be under way
    ++s.loads;
    load(n, l, f->ticket);
  } else if (auto* f = std::get_if<fx_inspect>(&fx)) inspect(n, l, *f);
  else if (auto* f = std::get_if<fx_ask>(&fx)) ask(n, l, *f);
  else if (auto* f = std::get_if<fx_save>(&fx)) save(n, l, *f);
  else if (auto* f = std::get_if<fx_mark_started>(&fx)) {
    auto e = to_lane(n, l, ev::mark_arrives, f->ticket);
    if (!message_fault(fault::starts_failed)) return later(net(), e);
    e.what = ev::marked;
    e.ref = 1;
    later(net(), e);
  } else if (auto* f = std::get_if<fx_read>(&fx)) read(n, l, *f);
  else if (auto* f = std::get_if<fx_take>(&fx)) take(n, l, *f);
  else if (auto* f = std::get_if<fx_set_aside>(&fx))
    s.readers[static_cast<std::size_t>((f->partition.value - l) / s_.lanes)].on = false;
  else if (std::holds_alternative<fx_stop_reading>(fx)) {
    for (auto& r : s.readers) r.on = false;
  } else if (auto* f = std::get_if<fx_insert>(&fx)) insert(n, l, *f);
  else if (auto* f = std::get_if<fx_refresh>(&fx)) refresh(n, l, f->ticket);
  else if (auto* f = std::get_if<fx_forgotten>(&fx)) forgotten(p, n, f->save_outstanding);
  else if (std::holds_alternative<fx_released>(fx)) {
    s.live = false;
    say("process ", int{n}, " lane ", int{l}, " released");
    check_revoked(p, n);
  } else if (auto* f = std::get_if<fx_stopped>(&fx)) stopped(n, l, f->reason);
}

// --- faults at messages ----------------------------------------------------------------------------------------------

bool world::strike_at(fault f, std::uint32_t permille) {
  if (!chaos_ || s_.flat || wishes_.without[static_cast<std::size_t>(f)] || s_.muted[static_cast<std::size_t>(f)] ||
      !strikes_.chance(permille))
    return false;
  auto number = faults_drawn_++;
  if (std::binary_search(left_out_.begin(), left_out_.end(), number)) return false;
  struck_.push_back(number);
  ++counts_.by_fault[static_cast<std::size_t>(f)];
  say("FAULT ", number, " ", name_of(f));
  return true;
}

void outcome_counts::add(const outcome_counts& o) {
  schedules += o.schedules;
  faults += o.faults;
  events += o.events;
  faults_least = std::min(faults_least, o.faults_least);
  records += o.records;
  stopped_lanes += o.stopped_lanes;
  lanes += o.lanes;
  inserts += o.inserts;
  saves += o.saves;
  went_back += o.went_back;
  held += o.held;
  rushed += o.rushed;
  untellable += o.untellable;
  in_place += o.in_place;
  for (std::size_t i = 0; i < by_fault.size(); ++i) by_fault[i] += o.by_fault[i];
  for (std::size_t i = 0; i < by_stop.size(); ++i) by_stop[i] += o.by_stop[i];
  for (std::size_t i = 0; i < edges.size(); ++i) edges[i] += o.edges[i];
}

} // namespace chute::sim
