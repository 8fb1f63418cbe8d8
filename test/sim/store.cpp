// The state store, and the keeper's side of it.
//
// kafka: the broker compares nothing but the member's generation; a commit is stamped when it leaves the client's
// queue; the keeper compares with what it last read or wrote, as state/kafka_store.cpp does. Otherwise: a
// compare-and-set by version at the store, with requests that come late or twice and replies that do not come.
#include "core/record.hpp"
#include "state/compare.hpp"
#include "test/sim/inside.hpp"

#include <algorithm>

namespace chute::sim {

namespace {
constexpr ms stale_max_ms = 8'000;
}

// A record in words, for the trace.
std::string describe_record(const std::string& text) {
  auto r = decode_record(text);
  if (!r.ok()) return "what cannot be read";
  std::string out = "version " + std::to_string(r->version) + ", next";
  for (auto& p : r->partitions) out += " " + std::to_string(p.next.value);
  if (!r->open) return out;
  auto& o = *r->open;
  out += std::string(", ") + (o.kind == plan_kind::fill ? "fill " : "plan ") + o.token.hex().substr(0, 6) + " to";
  for (auto& l : o.last) out += " " + std::to_string(l.value);
  if (o.as != plan_as::rows) out += o.as == plan_as::skip ? " to skip" : " as dead letter";
  return out;
}

// --- loading ---------------------------------------------------------------------------------------------------------

// chute_starts is read before the store: a lane that began in between is then found in the store.
void world::load(std::uint8_t n, std::uint8_t l, std::uint64_t ticket) {
  load_request r{n, l, ticket, {}};
  loads_.push_back(std::move(r));
  auto e = to_lane(n, l, ev::starts_read, ticket);
  e.ref = static_cast<std::uint32_t>(loads_.size() - 1);
  later(net(), e);
}

void world::starts_read(const event& e) {
  auto& r = loads_[e.ref];
  auto next = e;
  if (message_fault(fault::starts_failed)) {
    r.what.what = lane_loaded::state::failed;
    r.what.why = "chute_starts does not answer";
    next.what = ev::loaded;
    return later(net(), next);
  }
  r.what.marked = started_[r.lane] != 0;
  r.what.noted_lineage = notes_[r.lane].lineage;
  r.what.noted_version = notes_[r.lane].version;
  for (std::size_t i = 0; i < parts_of(r.lane); ++i)
    r.what.start.push_back({kafka_[static_cast<std::size_t>(partition_of(r.lane, i))].start});
  next.what = ev::store_read;
  later(net(), next);
}

stored world::read_store(std::uint8_t l) {
  auto& all = store_[l];
  if (all.empty()) return {};
  if (s_.store == store_type::kafka || !message_fault(fault::load_stale)) return all.back();
  auto seen_until = now_ - strikes_.any_length(10, stale_max_ms); // a replica that lags
  for (auto it = all.rbegin(); it != all.rend(); ++it)
    if (it->since <= seen_until) return *it;
  return {};
}

void world::store_read(const event& e) {
  auto& r = loads_[e.ref];
  auto next = e;
  next.what = ev::loaded;
  using state = lane_loaded::state;
  auto& p = processes_[r.process];
  if (message_fault(fault::load_failed)) {
    r.what.what = state::failed;
    r.what.why = "the state store does not answer";
    if (p.life == e.life) p.known[r.lane] = {};
    return later(net(), next);
  }
  auto found = read_store(r.lane);
  if (p.life == e.life) p.known[r.lane] = {true, found.present, found.foreign, found.version, found.text};
  r.what.what = found.foreign ? state::foreign : found.present ? state::found : state::absent;
  if (found.foreign) r.what.why = "offset 0, metadata ''";
  r.what.text = std::move(found.text);
  later(net(), next);
}

// --- saving ----------------------------------------------------------------------------------------------------------

void world::save(std::uint8_t n, std::uint8_t l, const fx_save& fx) {
  auto& p = processes_[n];
  auto& s = p.lanes[l];
  if (s.refused) fail("5: a save after a refused one, without a load");
  save_request r;
  r.process = n;
  r.lane = l;
  r.life = p.life;
  r.serial = s.serial;
  r.loads = s.loads;
  r.handle = p.handle;
  r.ticket = s.save_ticket = fx.ticket;
  r.expected = fx.expected;
  r.version = fx.version;
  r.text = fx.text;
  r.since = now_;
  saves_.push_back(std::move(r));
  if (trace_) say("process ", int{n}, " lane ", int{l}, " saves ", describe_record(fx.text));
  auto e = to_lane(n, l, ev::keeper_saves, fx.ticket);
  e.ref = static_cast<std::uint32_t>(saves_.size() - 1);
  later(net_.between(0, 2), e);
}

void world::keeper_saves(const event& e) {
  auto& p = processes_[e.process];
  auto& r = saves_[e.ref];
  auto* slot = slot_of(e);
  if (!slot || slot->loads != r.loads) return; // its lane forgot it
  auto limit = e;
  limit.what = ev::save_limit;
  if (s_.store != store_type::kafka) {
    later(s_.save_limit_ms, limit);
    auto arrives = e;
    arrives.what = ev::save_arrives;
    if (message_fault(fault::save_lost)) return;
    auto delay = message_fault(fault::save_late) ? strikes_.any_length(1'000, 600'000) : net();
    if (message_fault(fault::save_repeated)) later(delay + strikes_.any_length(1, 600'000), arrives);
    return later(delay, arrives);
  }
  r.handle = p.handle;
  r.settled = true; // until it is in the client's queue
  if (p.at != membership::assigned && p.at != membership::revoking)
    return save_done(e.ref, save_outcome::refused, true);
  auto& k = p.known[r.lane];
  if (!k.known) {
    if (message_fault(fault::load_failed)) return save_done(e.ref, save_outcome::not_now, true);
    auto found = read_store(r.lane);
    k = {true, found.present, found.foreign, found.version, found.text};
  }
  if (k.foreign) {
    k = {};
    return save_done(e.ref, save_outcome::refused, true);
  }
  auto judged = judge(r, {0, k.present, false, k.version, k.text});
  if (judged) return save_done(e.ref, *judged, true);
  r.settled = false;
  ++p.unanswered;
  later(s_.save_limit_ms, limit);
  auto delay = message_fault(fault::save_late) ? strikes_.any_length(1'000, 600'000) : net_.between(0, 2);
  p.queue_free = std::max(p.queue_free, now_) + delay;
  auto leaves = e;
  leaves.what = ev::commit_leaves;
  leaves.at = p.queue_free;
  push(leaves);
}

void world::commit_leaves(const event& e) {
  auto& p = processes_[e.process];
  auto& r = saves_[e.ref];
  if (r.handle != p.handle) return; // its handle was destroyed
  r.generation = p.generation;
  if (message_fault(fault::save_lost)) return save_done(e.ref, save_outcome::unknown, false);
  auto arrives = e;
  arrives.what = ev::save_arrives;
  arrives.at = p.last_arrival = std::max(p.last_arrival, now_ + net()); // one connection keeps their order
  push(arrives);
}

// As the stores compare. What is there already is no loss of the lane, and no reason to begin anew.
std::optional<save_outcome> world::judge(const save_request& r, const stored& found) const {
  chute::save_request wanted;
  wanted.expected = r.expected;
  wanted.record = {r.version, r.text};
  std::optional<stored_record> current;
  if (found.present) current = stored_record{found.version, found.text};
  auto judged = compare(wanted, current);
  if (!judged) return {};
  if (judged->status == save_status::accepted) return save_outcome::accepted;
  if (found.present && found.text == r.text) fail("5: a save that landed is refused when it comes again");
  return save_outcome::refused;
}

void world::save_arrives(const event& e) {
  auto& r = saves_[e.ref];
  auto outcome = save_outcome::accepted;
  bool written = false;
  if (s_.store == store_type::kafka) {
    auto& g = group_;
    bool member = std::any_of(g.members.begin(), g.members.end(), [&](auto& m) { return m.handle == r.handle; });
    bool fenced = r.generation < 0 ? !g.members.empty() : !member || r.generation != g.generation;
    if (fenced) outcome = save_outcome::refused;
    else if (g.at == consumer_group::state::preparing && net_.chance(300)) outcome = save_outcome::not_now;
    else written = true;
  } else {
    auto found = store_[r.lane].empty() ? stored{} : store_[r.lane].back();
    auto judged = judge(r, found);
    if (!judged) written = true;
    else outcome = *judged;
  }
  say("store: lane ", int{r.lane}, " version ", r.version, " by process ", int{r.process}, " ",
      outcome == save_outcome::accepted  ? "accepted"
      : outcome == save_outcome::refused ? "refused"
                                         : "not now");
  if (written) write(r.lane, r);
  if (r.answered && s_.store != store_type::kafka) return;
  if (message_fault(fault::save_reply_lost)) outcome = save_outcome::unknown;
  save_done(e.ref, outcome, false);
}

void world::write(std::uint8_t l, const save_request& r) {
  auto record = decode_record(r.text);
  if (!record.ok()) fail("a record that cannot be read was saved");
  auto before = store_[l].empty() ? stored{} : store_[l].back();
  if (before.present && before.text == r.text) return; // the very same save once more
  // A save that was on its way while the store forgot the lane, or went back and then reached the version that this
  // save expects with saves of another process: what comes with it is an older state.
  const bool of_before =
      before.present ? r.since < went_back_at_[l] && before.since > went_back_at_[l] : r.since < before.since;
  if (of_before) {
    spoiled_[l] |= spoiled_rollback | spoiled_in_flight;
    went_back_at_[l] = now_;
  }
  store_[l].push_back({now_, true, false, r.version, r.text});
  check_store(l, before, *record, of_before);
  records_[l] = std::move(*record);
  if (records_[l].open) durable_[l].push_back({records_[l].open->token, records_[l].open->kind, now_});
  changed_ = true;
  tell_apart(l);
}

// Beside another store the group's offsets tell what was saved; not each save, for a note is an offset like others.
void world::note(const save_request& r) {
  if (!s_.notes || stir(s_.seed + r.version) % 4 == 0) return;
  if (auto record = decode_record(r.text); record.ok()) notes_[r.lane] = {record->lineage, r.version};
}

void world::save_done(std::uint32_t ref, save_outcome outcome, bool at_once) {
  auto& r = saves_[ref];
  r.outcome = outcome;
  event e;
  e.what = ev::saved;
  e.process = r.process;
  e.lane = r.lane;
  e.life = r.life;
  e.serial = r.serial;
  e.ref = ref;
  later(at_once ? 0 : net(), e);
}

// An answer of the store, or the limit of time.
void world::saved(const event& e, bool limit) {
  auto& p = processes_[e.process];
  auto& r = saves_[e.ref];
  if (!limit && !r.settled) {
    r.settled = true;
    if (s_.store == store_type::kafka && r.handle == p.handle) --p.unanswered;
  }
  if (r.answered) return;
  r.answered = true;
  auto outcome = limit ? save_outcome::unknown : r.outcome;
  if (s_.store == store_type::kafka) {
    auto& k = p.known[r.lane];
    if (outcome == save_outcome::accepted) k = {true, true, false, r.version, r.text};
    else if (outcome != save_outcome::not_now) k = {};
  }
  auto* s = slot_of(e);
  if (!s) return;
  if (outcome == save_outcome::accepted && s->save_ticket == r.ticket && s->loads == r.loads) {
    ++s->accepted;
    s->leased_since = r.since;
    note(r);
  }
  if (outcome == save_outcome::refused && s->save_ticket == r.ticket && s->loads == r.loads) s->refused = true;
  lane_event(e.process, e.lane, [&](lane& m, instant now) { m.saved(now, r.ticket, outcome, "as drawn"); });
}

void world::forgotten(process& p, std::uint8_t n, bool outstanding) {
  if (!outstanding || s_.store != store_type::kafka || p.unanswered == 0) return;
  if (p.at != membership::assigned && p.at != membership::revoking) return;
  say("process ", int{n}, " joins anew: a lane was forgotten while a commit had no answer");
  join_anew(p, n);
}

} // namespace chute::sim
