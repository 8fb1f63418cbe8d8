// The log, its readers, the consumer group.
#include "core/pace.hpp"
#include "test/sim/inside.hpp"
#include "test/sim/world.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace chute::sim {

// --- the log ---------------------------------------------------------------------------------------------------------

std::uint8_t world::rows_of(const log_entry& e) const {
  const bool makes_rows = e.kind == record_kind::row || e.kind == record_kind::changing;
  return s_.two_rows && makes_rows && (e.hash >> 20 & 1) ? 2 : 1;
}

void world::append(kafka_partition& p) {
  log_entry e;
  e.hash = content_.next();
  auto n = content_.below(100);
  using k = record_kind;
  e.kind = n < 12   ? k::gap
           : n < 80 ? k::row
           : n < 86 ? k::bad
           : n < 90 ? k::dropped
           : n < 93 ? k::poison
           : n < 96 ? k::late_poison
                    : k::changing;
  if (produced_ % 3 == 0 && p.log.size() > 6) e.kind = k::row;
  p.log.push_back(e);
  if (p.landed.size() < p.log.size()) p.landed.push_back({});
}

void world::produce() {
  auto burst = content_.between(1, 8);
  for (; burst > 0 && produced_ < s_.records; --burst, ++produced_) {
    auto n = content_.below(static_cast<std::uint32_t>(s_.partitions));
    append(kafka_[n]);
    feed_waiting(static_cast<int>(n));
  }
  changed_ = true;
  if (produced_ >= s_.records) return;
  event e;
  e.what = ev::produce;
  later(content_.any_length(20, 20'000), e);
}

// --- readers ---------------------------------------------------------------------------------------------------------

void world::read(std::uint8_t n, std::uint8_t l, const fx_read& fx) {
  auto i = static_cast<std::size_t>((fx.partition.value - l) / s_.lanes);
  auto& r = processes_[n].lanes[l].readers[i];
  r.on = true;
  r.waiting = false;
  r.epoch = fx.epoch;
  r.position = fx.from.value;
  r.credits = 0;
  r.since = -1;
  r.told = s_.lane.behind_at_once == 0; // nobody asks
}

void world::take(std::uint8_t n, std::uint8_t l, const fx_take& fx) {
  auto i = static_cast<std::size_t>((fx.partition.value - l) / s_.lanes);
  auto& r = processes_[n].lanes[l].readers[i];
  if (!r.on || r.epoch != fx.epoch) return;
  ++r.credits;
  auto e = to_lane(n, l, ev::fetch, fx.epoch);
  e.part = static_cast<std::uint8_t>(i);
  later(net(), e);
}

void world::feed_waiting(int partition) {
  for (std::uint8_t n = 0; n < processes_.size(); ++n) {
    auto l = static_cast<std::uint8_t>(partition % s_.lanes);
    auto i = static_cast<std::size_t>(partition / s_.lanes);
    auto& s = processes_[n].lanes[l];
    if (!s.live || i >= s.readers.size() || !s.readers[i].waiting) continue;
    s.readers[i].waiting = false;
    auto e = to_lane(n, l, ev::fetch, s.readers[i].epoch);
    e.part = static_cast<std::uint8_t>(i);
    later(net(), e);
  }
}

std::shared_ptr<sim_chunk> world::cut_chunk(int partition, std::int64_t from, std::int64_t to,
                                            std::uint32_t columns) const {
  auto c = std::make_shared<sim_chunk>();
  c->columns = columns;
  c->partition = {partition};
  c->first = {from};
  c->last = {to - 1};
  const auto& log = kafka_[static_cast<std::size_t>(partition)].log;
  for (auto o = from; o < to; ++o) {
    const auto& e = log[static_cast<std::size_t>(o)];
    auto out = outcome::row;
    if (e.kind == record_kind::gap) continue;
    if (e.kind == record_kind::dropped) out = outcome::dropped;
    if (e.kind == record_kind::bad || (e.kind == record_kind::changing && columns % 2 == 0))
      out = s_.lane.on_bad_record == bad_record_policy::skip ? outcome::dropped : outcome::dead_letter;
    c->offsets.push_back(o);
    c->outcomes.push_back(out);
    c->hashes.push_back(e.hash);
    c->sizes.push_back(10);
    if (s_.two_rows) c->row_counts.push_back(out == outcome::row ? rows_of(e) : 0);
  }
  return c;
}

void world::fetch(const event& e) {
  auto& p = processes_[e.process];
  auto& s = p.lanes[e.lane];
  auto& r = s.readers[e.part];
  if (!r.on || r.epoch != e.tag || r.credits == 0 || r.waiting) return;
  auto partition = partition_of(e.lane, e.part);
  auto& log = kafka_[static_cast<std::size_t>(partition)];
  bool gone = now_ < log.gone_until;
  bool outside = gone || r.position < log.low || r.position > log.end();
  if (outside || message_fault(fault::fetch_error)) {
    constexpr std::array drawn = {read_error::unknown_topic, read_error::unknown_topic, read_error::other,
                                  read_error::halted};
    auto failed = e;
    failed.what = ev::read_failed;
    failed.ref = static_cast<std::uint32_t>(gone      ? read_error::unknown_topic
                                            : outside ? read_error::out_of_range
                                                      : drawn.at(strikes_.below(drawn.size())));
    later(0, failed);
    r.since = -1;
    auto again = e;
    return later(outside ? 1'000 : net(), again);
  }
  if (r.position == log.end()) {
    r.waiting = true;
    if (std::exchange(r.told, true)) return;
    auto told = e;
    told.what = ev::end_seen;
    told.ref = static_cast<std::uint32_t>(r.position);
    told.at = r.last_chunk = std::max(r.last_chunk, now_ + net_.between(0, 10));
    return push(told);
  }
  if (s_.rests) {
    if (r.since < 0) {
      r.since = now_;
      r.rests_until = now_ + net_.between(0, pace::period_most);
      auto taken = e;
      return later(r.rests_until - now_, taken);
    }
    if (now_ < r.rests_until) return; // it is taken then
  }
  auto to = std::min(log.end(), r.position + net_.between(1, 7));
  auto cut = cut_chunk(partition, r.position, to, p.columns);
  if (s_.rests) cut->arrived_at = std::exchange(r.since, -1) + p.mono_base;
  if (s_.lane.behind_at_once > 0) { // that it is the end may be told later, with nothing behind it
    cut->log_end = net_.chance(800) ? log.end() : -1;
    cut->at_end = to == log.end() && net_.chance(500);
    r.told = cut->at_end;
  }
  chunks_.push_back(std::move(cut));
  r.position = to;
  --r.credits;
  auto c = e;
  c.what = ev::chunk;
  c.ref = static_cast<std::uint32_t>(chunks_.size() - 1);
  c.at = r.last_chunk = std::max(r.last_chunk, now_ + net_.between(0, 10));
  push(c);
  if (r.credits > 0) later(net(), e);
}

// --- the log's bounds ------------------------------------------------------------------------------------------------

void world::inspect(std::uint8_t n, std::uint8_t l, const fx_inspect& fx) {
  looks_.push_back({n, l, fx, {}});
  auto e = to_lane(n, l, ev::inspect_arrives, fx.ticket);
  e.ref = static_cast<std::uint32_t>(looks_.size() - 1);
  later(net(), e);
}

// A broker that has not heard that the topic was made anew may tell of the old log: for less than 2 s after somebody
// can have read the new one, and to a lane that heard that its log is gone. (Who begins in that time has nothing to be
// suspicious of.)
bool world::tells_of_old_log(const look& k) const {
  bool possible = false;
  for (auto& probe : k.asked.probes) {
    const auto& log = kafka_[static_cast<std::size_t>(probe.partition.value)];
    if (now_ >= log.old_until) continue;
    if (processes_[k.process].lanes[k.lane].heard_gone < log.old_since) return false;
    possible = true;
  }
  return possible;
}

log_facts::part world::facts_of(const fx_inspect::probe& probe, bool old) {
  const auto& log = kafka_[static_cast<std::size_t>(probe.partition.value)];
  const auto& entries = old ? log.old_log : log.log;
  const auto low = old ? log.old_low : log.low;
  auto end = static_cast<std::int64_t>(entries.size());
  if (now_ < short_until_) end = std::max(low, end - 2);
  using seen_as = log_facts::part::recognised;
  log_facts::part f{{low}, {end}, seen_as::not_asked};
  if (!probe.at || probe.at->value < 0) return f;
  const auto at = probe.at->value;
  const bool there = at >= low && at < end && entries[static_cast<std::size_t>(at)].kind != record_kind::gap;
  if (!there) f.known = seen_as::gone;
  // Nothing can tell a log from another one by a record that is in neither.
  if (!there && !old) untellable_[static_cast<std::size_t>(probe.partition.value % s_.lanes)] = 1;
  if (!there) return f;
  const bool same = static_cast<std::uint32_t>(entries[static_cast<std::size_t>(at)].hash) == probe.hash;
  f.known = same ? seen_as::same : seen_as::differs;
  return f;
}

void world::inspect_arrives(const event& e) {
  auto& k = looks_[e.ref];
  auto back = e;
  back.what = ev::inspected;
  k.facts.answered = !message_fault(fault::log_unknown);
  const bool old = k.facts.answered && tells_of_old_log(k);
  for (auto& probe : k.asked.probes) {
    const auto& log = kafka_[static_cast<std::size_t>(probe.partition.value)];
    if (now_ < log.gone_until && !(old && now_ < log.old_until)) k.facts.answered = false;
  }
  if (!k.facts.answered) {
    k.facts.why = "no answer";
    return later(net(), back);
  }
  // A leader that lags does so for a moment, and not again soon.
  if (now_ > short_until_ + 30'000 && message_fault(fault::short_log)) short_until_ = now_ + strikes_.between(1, 8'000);
  for (auto& probe : k.asked.probes) {
    const auto& log = kafka_[static_cast<std::size_t>(probe.partition.value)];
    k.facts.parts.push_back(facts_of(probe, old && now_ < log.old_until));
  }
  later(net(), back);
}

// --- the group's coordinator -----------------------------------------------------------------------------------------

void world::group_joins(std::uint32_t handle, std::uint8_t n) {
  auto& g = group_;
  auto it = std::find_if(g.members.begin(), g.members.end(), [&](auto& m) { return m.handle == handle; });
  if (it == g.members.end()) {
    g.members.push_back({handle, n, false});
    it = g.members.end() - 1;
  }
  auto at = static_cast<std::size_t>(it - g.members.begin());
  if (g.at != consumer_group::state::preparing) group_prepares();
  g.members[at].joined = true;
  group_checks();
}

void world::group_leaves(std::uint32_t handle, bool tell) {
  auto& g = group_;
  auto it = std::find_if(g.members.begin(), g.members.end(), [&](auto& m) { return m.handle == handle; });
  if (it == g.members.end()) return;
  auto n = it->process;
  g.members.erase(it);
  if (tell && processes_[n].handle == handle) {
    auto e = to(n, ev::group_lost);
    e.serial = handle;
    later(net_.between(0, 3'000), e);
  }
  if (g.members.empty()) {
    g.at = consumer_group::state::empty;
    ++g.generation;
    ++g.round;
    return;
  }
  if (g.at == consumer_group::state::preparing) return group_checks();
  group_prepares();
}

void world::group_prepares() {
  auto& g = group_;
  g.at = consumer_group::state::preparing;
  ++g.round;
  for (auto& m : g.members) {
    m.joined = false;
    auto e = to(m.process, ev::group_revokes);
    e.serial = m.handle;
    e.tag = g.round;
    later(net_.between(0, 3'000), e);
  }
  event e;
  e.what = ev::rebalance_limit;
  e.tag = g.round;
  later(s_.rebalance_limit_ms, e);
}

void world::group_checks() {
  auto& g = group_;
  for (auto& m : g.members)
    if (!m.joined) return;
  if (g.members.empty()) {
    g.at = consumer_group::state::empty;
    ++g.generation;
    return;
  }
  event e;
  e.what = ev::rebalance_done;
  e.tag = g.round;
  later(net_.between(0, 500), e);
}

void world::group_completes() {
  auto& g = group_;
  for (auto& m : g.members)
    if (!m.joined) return;
  g.at = consumer_group::state::stable;
  ++g.generation;
  g.turn += net_.below(3);
  say("generation ", g.generation, " of ", g.members.size(), " members");
  for (auto& m : g.members) {
    auto e = to(m.process, ev::group_assigned);
    e.serial = m.handle;
    e.tag = static_cast<std::uint64_t>(g.generation);
    later(net_.chance(800) ? net() : net_.between(0, 3'000), e);
  }
}

// --- a member --------------------------------------------------------------------------------------------------------

void world::assigned(process& p, std::uint8_t n, const event& e) {
  auto& g = group_;
  // What it was given is what the coordinator decided then; a later generation comes with a revocation first.
  if (static_cast<int>(e.tag) != g.generation || g.at != consumer_group::state::stable) return;
  p.at = membership::assigned;
  p.generation = g.generation;
  p.given.clear();
  std::size_t me = 0;
  for (std::size_t i = 0; i < g.members.size(); ++i)
    if (g.members[i].handle == p.handle) me = i;
  for (int k = 0; k < s_.partitions; ++k) // round-robin
    if ((static_cast<std::size_t>(k) + g.turn) % g.members.size() == me)
      p.given.push_back(static_cast<std::uint8_t>(k));
  auto b = to(n, ev::begun);
  b.serial = p.handle;
  b.tag = e.tag;
  later(net() + (message_fault(fault::starts_failed) ? strikes_.between(250, 2'000) : 0), b);
}

// No lane starts before chute_starts has the pipeline's row, which the owner of partition 0 writes.
void world::begun(process& p, std::uint8_t n) {
  if (!starts_known_ && std::find(p.given.begin(), p.given.end(), 0) == p.given.end()) {
    auto b = to(n, ev::begun);
    b.serial = p.handle;
    b.tag = static_cast<std::uint64_t>(p.generation);
    return later(250, b);
  }
  if (!starts_known_)
    for (auto& k : kafka_) k.start = k.low;
  starts_known_ = true;
  for (auto k : p.given)
    if (k < s_.lanes) start_lane(n, k);
}

// A heartbeat's answer: a rebalance is on, and this member has not joined it.
void world::revokes(process& p, std::uint8_t n, const event& told) {
  auto& g = group_;
  if (g.at != consumer_group::state::preparing || g.round != told.tag) return;
  for (auto& m : g.members)
    if (m.handle == p.handle && m.joined) return;
  auto e = to(n, ev::joins);
  e.serial = p.handle;
  if (p.at == membership::revoking) return;
  if (p.at != membership::assigned) return later(net(), e);
  p.at = membership::revoking;
  say("process ", int{n}, " is being revoked");
  auto limit = to(n, ev::revoke_limit);
  limit.serial = p.handle;
  limit.tag = static_cast<std::uint64_t>(p.generation);
  later(s_.revoke_limit_ms, limit);
  for (std::uint8_t l = 0; l < p.lanes.size(); ++l) {
    if (!p.lanes[l].live) continue;
    p.lanes[l].revoking = true;
    lane_event(n, l, [](lane& m, instant now) { m.revoke(now); });
  }
  check_revoked(p, n);
}

void world::check_revoked(process& p, std::uint8_t n) {
  if (p.at != membership::revoking) return;
  for (auto& l : p.lanes)
    if (l.live) return;
  if (s_.store == store_type::kafka && p.unanswered > 0) return join_anew(p, n);
  p.at = membership::joining;
  p.generation = -1;
  auto e = to(n, ev::joins);
  e.serial = p.handle;
  later(net(), e);
}

void world::lost(process& p, std::uint8_t n) {
  // It has joined again meanwhile: an answer to the membership before, which a client does not take for one to this.
  if (std::any_of(group_.members.begin(), group_.members.end(), [&](auto& m) { return m.handle == p.handle; })) return;
  say("process ", int{n}, " lost its membership");
  lose_lanes(p, n);
  if (s_.store == store_type::kafka && p.unanswered > 0) return join_anew(p, n);
  p.at = membership::joining;
  p.generation = -1;
  auto e = to(n, ev::joins);
  e.serial = p.handle;
  later(net(), e);
}

// A new consumer handle: commits that lie in the old one's queue never carry a later generation.
void world::join_anew(process& p, std::uint8_t n) {
  lose_lanes(p, n);
  event leaves;
  leaves.what = ev::member_leaves;
  leaves.process = n;
  leaves.serial = p.handle;
  later(net(), leaves);
  p.handle = ++handles_;
  p.generation = -1;
  p.unanswered = 0;
  p.queue_free = now_;
  p.at = membership::joining;
  auto e = to(n, ev::joins);
  e.serial = p.handle;
  later(2 * net(), e);
}

void world::lose_lanes(process& p, std::uint8_t n) {
  auto before = p.at;
  p.at = membership::outside; // released lanes are no reason to join
  for (std::uint8_t l = 0; l < p.lanes.size(); ++l)
    if (p.lanes[l].live) lane_event(n, l, [](lane& m, instant now) { m.lose(now); });
  p.at = before;
}

} // namespace chute::sim
