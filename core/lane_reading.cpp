// Reading: credits for the readers within the lane's share of memory, turns for the partitions that are far behind, and
// the chunks that come.
#include "core/lane.hpp"

#include <numeric>

namespace chute {

namespace {
constexpr int takes_max = 2;                       // chunks under way a partition
constexpr std::size_t read_many = 8;               // partitions: one of each keeps all busy, and can be larger
constexpr std::uint64_t take_bytes_min = 16 << 10; // a chunk is worth a message
constexpr std::uint64_t take_bytes_most = 1 << 20;
constexpr std::uint64_t take_bytes_first = 16 << 10; // while nobody knows what becomes of them
constexpr std::uint64_t take_bytes_least = 4 << 10;  // of records that become many times as much
constexpr std::uint64_t growth_told_by = 64 << 10, growth_most = 1'024;
constexpr std::uint64_t unknown_record_bytes = 64 << 10; // not few: or a thousand partitions are read at once
constexpr mono_ms quiet_ms = 1'000, unread_ms = 2'000;
// Where all are read at once none would ask for more than its own part; only what it keeps others' answers for counts.
constexpr mono_ms unread_alone_ms = 10'000;
} // namespace

void lane::restart_reading(instant now, const std::vector<offset_t>& from) {
  for (std::size_t i = 0; i < takes_.size(); ++i)
    if (takes_[i] == 0 && now.mono - unread_since_[i] > config_.unseen_limit_ms) want_look(now);
  on_their_way_.clear();
  ++epoch_;
  gathered_.restart(from);
  takes_.assign(from.size(), 0);
  unread_since_.assign(from.size(), now.mono);
  heard_at_.assign(from.size(), now.mono);
  heard_any_ = now.mono;
  unheard_ = false;
  take_bytes_.assign(from.size(), 0);
  blocked_.assign(from.size(), {});
  blocked_at_.assign(from.size(), {});
  halted_.clear();
  unread_.clear();
  open_.clear();
  reads_.assign(from.size(), {});
  for (std::size_t i = 0; i < from.size(); ++i) reads_[i].behind = much_left(i, config_.behind_bytes);
  if (std::any_of(reads_.begin(), reads_.end(), [](auto& r) { return r.behind; }))
    effects_.push_back(fx_stop_reading{}); // of before; those that are not begun again would go on
  for (std::size_t i = 0; i < from.size(); ++i)
    if (from[i] < until(i) && !reads_[i].behind) begin_reading(now, i);
  pass_turns(now);
}

// --- turns -----------------------------------------------------------------------------------------------------------

bool lane::wanted(std::size_t i) const {
  if (!blocked_[i].empty() || gathered_.position(i) >= until(i)) return false;
  return !building() || gathered_.position(i) <= work_->p.last[i];
}

bool lane::much_left(std::size_t i, std::uint64_t bytes) const {
  if (config_.behind_at_once == 0) return false;
  const auto left = std::min(ends_[i], until(i).value) - gathered_.position(i).value;
  const auto each = record_bytes_ > 0 || mutant(bug::unknown_is_small) ? std::max<std::uint64_t>(1, record_bytes_)
                                                                       : unknown_record_bytes;
  return left > 0 && static_cast<std::uint64_t>(left) > bytes / each;
}

void lane::begin_reading(instant now, std::size_t i) {
  if (now.mono - unread_since_[i] > config_.unseen_limit_ms) suspect_unread(now, i);
  unread_since_[i] = heard_at_[i] = now.mono;
  reads_[i] = {true, reads_[i].behind, false, 0, now.mono};
  effects_.push_back(fx_read{epoch_, partition_at(i), gathered_.position(i)});
}

// Sets those aside whose turn is over, and returns how many go on.
std::size_t lane::end_turns() {
  bool others = false;
  for (std::size_t i = 0; i < reads_.size(); ++i) others |= waits_for_turn(i);
  std::size_t go_on = 0;
  for (std::size_t i = 0; i < reads_.size(); ++i) {
    auto& r = reads_[i];
    if (!r.on || !r.behind) continue;
    const bool over = others && (!wanted(i) || r.turn >= config_.turn_bytes) && !mutant(bug::turn_never_ends);
    r.leaving = r.leaving || over || go_on >= config_.behind_at_once;
    if (!r.leaving || (takes_[i] > 0 && !mutant(bug::set_aside_too_early))) {
      ++go_on;
      continue;
    }
    r.on = r.leaving = false;
    took(lane_edge::set_aside);
    ++counters_.set_aside;
    effects_.push_back(fx_set_aside{partition_at(i)});
  }
  return go_on;
}

// Nothing more is taken of it: what still comes is dropped.
void lane::end_finished() {
  for (std::size_t i = 0; i < reads_.size(); ++i) {
    if (!reads_[i].on || (blocked_[i].empty() && gathered_.position(i) < until(i))) continue;
    reads_[i] = {};
    effects_.push_back(fx_set_aside{partition_at(i)});
  }
}

void lane::pass_turns(instant now) {
  end_finished();
  if (config_.behind_at_once == 0) return;
  auto busy = end_turns();
  if (full() && !building()) return; // it would only be held
  const auto n = reads_.size(), first = next_turn_;
  for (std::size_t k = 0; k < n && (busy < config_.behind_at_once || mutant(bug::turns_not_counted)); ++k) {
    const auto i = (first + k) % n;
    if (!waits_for_turn(i)) continue;
    reads_[i].behind = true;
    begin_reading(now, i);
    next_turn_ = i + 1;
    ++busy;
  }
}

// Those that wait for their turn only because nobody knew how small records are need not.
void lane::learn_size(instant now, std::uint64_t mean) {
  const bool first = record_bytes_ == 0;
  record_bytes_ = std::max<std::uint64_t>(1, first ? mean : (3 * record_bytes_ + mean) / 4);
  if (!first || mutant(bug::small_wait_their_turn)) return;
  for (std::size_t i = 0; i < reads_.size(); ++i) {
    if (!waits_for_turn(i) || much_left(i, config_.behind_bytes)) continue;
    reads_[i].behind = false;
    begin_reading(now, i);
  }
}

// What a chunk tells of how far its partition is behind. It is not behind one moment and near the next.
void lane::took_turn(instant now, std::size_t i, const chunk& c, std::uint64_t bytes) {
  auto& r = reads_[i];
  ends_[i] = std::max(c.log_end >= 0 ? c.log_end : ends_[i], c.last.value + 1);
  if (config_.behind_at_once == 0) return;
  r.came = now.mono;
  r.turn += bytes;
  if (!c.sizes.empty()) learn_size(now, bytes / c.sizes.size());
  r.behind = !c.at_end && much_left(i, r.behind ? config_.behind_bytes : 2 * config_.behind_bytes);
  r.leaving = r.leaving && r.behind;
}

// While nothing can be sent, what comes meanwhile is better left in Kafka: or all partitions' readers would be full
// when it goes on, and ask for more, all at once.
void lane::set_aside_unread(instant now) {
  if (config_.behind_at_once == 0 || mutant(bug::unread_is_held)) return;
  const auto limit = takes_turns() ? unread_ms : unread_alone_ms;
  for (std::size_t i = 0; i < takes_.size(); ++i) {
    if (!reads_[i].on || takes_[i] > 0 || !wanted(i) || now.mono - unread_since_[i] < limit) continue;
    reads_[i] = {false, true, false, 0, now.mono};
    took(lane_edge::set_aside);
    ++counters_.set_aside;
    effects_.push_back(fx_set_aside{partition_at(i)});
  }
}

// A partition whose broker is gone must not keep those waiting that take turns with it. What waits to be converted is
// on its way: only the reader knows.
void lane::ask_quiet_readers(instant now) {
  for (std::size_t i = 0; i < takes_.size(); ++i) {
    auto& r = reads_[i];
    if (!r.on || !r.behind || takes_[i] == 0 || now.mono - r.came < quiet_ms || mutant(bug::quiet_turn_kept)) continue;
    r.came = now.mono;
    effects_.push_back(fx_ask_reader{epoch_, partition_at(i)});
  }
}

// It need not be set aside: there is nothing that its reader could hold.
void lane::end_seen(instant now, std::uint64_t epoch, partition_id p, std::optional<offset_t> end) {
  seen(now);
  const auto i = index_of(p);
  if (epoch != epoch_ || !i || *i >= takes_.size() || !reads_[*i].on) return;
  took(lane_edge::end_seen);
  if (const auto u = unread_.find(*i); end && u != unread_.end() && !u->second.unconverted) unread_.erase(u);
  if (end) ends_[*i] = std::max(end->value, gathered_.position(*i).value);
  if (!mutant(bug::end_not_heard)) reads_[*i].behind = reads_[*i].leaving = false;
  grant(now);
}

// --- credits ---------------------------------------------------------------------------------------------------------

// What a partition may be asked for. Where some are far behind, most of the lane's share is theirs.
lane::credit lane::credit_of(std::size_t i, std::size_t behind) const {
  if (behind > 0 && !reads_[i].behind) return {take_bytes_min, 1};
  const auto read = behind > 0 ? behind : takes_.size();
  const int most = read < read_many ? takes_max : 1;
  const auto share = config_.gather_bytes_max / 2 / static_cast<std::uint64_t>(most);
  return {std::clamp(share / read, take_bytes_min, take_bytes_most), most};
}

// Records whose columns take many times their bytes, as few fields in a wide table do, are asked for in so much smaller
// chunks: `held` is what they may take in memory.
std::uint64_t lane::asked_for(std::uint64_t held) const {
  if (mutant(bug::growth_ignored)) return held;
  if (growth_ == 0) return std::min(held, take_bytes_first);
  if (growth_ <= 2 * growth_one) return held; // buffers that grow by halves
  return std::clamp(held * growth_one / growth_, std::min(held, take_bytes_least), held);
}

// More is believed at once, less only if it stays so. What little comes costs more than it is, and nothing together.
void lane::learn_growth(const chunk& c, std::uint64_t bytes) {
  const std::uint64_t held = c.byte_size();
  if (bytes < take_bytes_first / 2 && held < growth_told_by) return;
  const auto now =
      std::clamp<std::uint64_t>(held * growth_one / std::max<std::uint64_t>(1, bytes), 1, growth_most * growth_one);
  growth_ = std::max(now, (3 * growth_ + now) / 4);
}

// Asks the readers for more: within the lane's share of memory, or, while a plan is built again, whatever it takes.
void lane::grant(instant now) {
  if (!building() && phase_ != lane_phase::streaming && phase_ != lane_phase::settling) return;
  if (takes_.empty() || revoking_ || (draining_ && !building())) return;
  // Each chunk would put the look off once more.
  if (look_wanted_ && log_doubted(now) && !building()) return;
  pass_turns(now);
  // The lane stops, or begins a reader that halted again, once what was read before is done: more would put that off,
  // again and again.
  if (!building() && !halted_.empty()) return;
  if (!building() && std::any_of(blocked_.begin(), blocked_.end(), [](auto& b) { return !b.empty(); }) &&
      !mutant(bug::blocked_lane_reads_on))
    return;
  const auto limit = config_.gather_bytes_max;
  const auto behind =
      takes_turns() ? std::count_if(reads_.begin(), reads_.end(), [](auto& r) { return r.on && r.behind; }) : 0;
  auto out = std::accumulate(take_bytes_.begin(), take_bytes_.end(), std::uint64_t{0});
  for (std::size_t i = 0; i < takes_.size(); ++i) {
    if (!wanted(i) || !reads_[i].on || reads_[i].leaving) continue;
    const auto [each, most] = credit_of(i, static_cast<std::size_t>(behind));
    while (takes_[i] < most) {
      bool room = gathered_.bytes() + out + each <= limit && gathered_.records() < 2 * rows_cap_;
      if (mutant(bug::gathers_without_bound)) room = true;
      // One chunk a partition may always be on its way, or a full lane with an idle partition would stand still.
      if (!building() && !room && (takes_[i] > 0 || full())) break;
      if (takes_[i] == 0 && now.mono - unread_since_[i] > config_.unseen_limit_ms) want_look(now);
      if (takes_[i] == 0) heard_at_[i] = reads_[i].came = now.mono;
      ++takes_[i];
      take_bytes_[i] += each;
      out += each;
      effects_.push_back(fx_take{epoch_, partition_at(i), asked_for(each)});
    }
  }
}

// --- what comes ------------------------------------------------------------------------------------------------------

// Where on_bad_record: stop ends the partition, if a record of the chunk is bad.
offset_t lane::blocked_from(std::size_t i, const chunk& c) {
  auto bad = std::find(c.outcomes.begin(), c.outcomes.end(), outcome::stop);
  if (bad == c.outcomes.end() || mutant(bug::bad_record_passed)) return until(i);
  const auto at = c.offsets[static_cast<std::size_t>(bad - c.outcomes.begin())];
  std::string why = "a bad record";
  for (auto& d : c.dead)
    if (d.offset.value == at) why = d.error;
  if (blocked_[i].empty())
    blocked_[i] = "record " + config_.topic + "/" + std::to_string(c.partition.value) + "/" + std::to_string(at) +
                  ": " + why + " (on_bad_record: stop)";
  blocked_at_[i] = {at};
  return std::min(until(i), offset_t{at});
}

void lane::chunk_arrived(instant now, std::uint64_t epoch, const chunk_ptr& c) {
  seen(now);
  auto i = index_of(c->partition);
  if (mutant(bug::old_chunk_taken)) epoch = epoch_;
  if (epoch != epoch_ || !i || *i >= takes_.size() || takes_[*i] == 0) return;
  unread_.erase(*i);
  open_.erase(*i);
  take_bytes_[*i] -= take_bytes_[*i] / static_cast<std::uint64_t>(takes_[*i]);
  if (--takes_[*i] == 0) {
    take_bytes_[*i] = 0;
    unread_since_[*i] = now.mono;
  }
  // Asked for before it was known that the lane ends, or stops, in the chunk before it.
  if (!blocked_[*i].empty() || gathered_.position(*i) >= until(*i)) return grant(now);
  expect(std::is_sorted(c->offsets.begin(), c->offsets.end()) &&
             (c->offsets.empty() || (c->offsets.front() >= c->first.value && c->offsets.back() <= c->last.value)),
         "6: a chunk's records lie in order within the offsets it passed");
  const auto stop_at = blocked_from(*i, *c);
  const auto arrived = std::min(
      now.mono, std::max(heard_at_[*i], c->arrived_at > 0 && !mutant(bug::arrival_ignored) ? c->arrived_at : now.mono));
  suspect_idle(now, arrived, *i);
  if (mutant(bug::gap_is_loss) && c->offsets.empty() && c->last >= c->first) return stop("records are missing");
  const auto bytes = std::accumulate(c->sizes.begin(), c->sizes.end(), std::uint64_t{0}); // of keys and values
  learn_growth(*c, bytes);
  expect(gathered_.add(*i, c, arrived, stop_at), "4: chunks are contiguous");
  took_turn(now, *i, *c, bytes);
  suspect_chunk(now, *i, *c);
  if (work_ && work_->at == step::building) check_built(now);
  maybe_plan(now);
  grant(now);
  check_released(now);
}

void lane::log_ends(instant now, const std::vector<std::pair<partition_id, offset_t>>& ends) {
  constexpr mono_ms told_anew_within_ms = 60'000;
  for (const auto& [p, end] : ends)
    if (const auto i = index_of(p)) {
      ends_[*i] = std::max(ends_[*i], end.value);
      const auto t = open_.find(*i);
      const bool open = t != open_.end() && end <= t->second.end && now.mono - t->second.told < told_anew_within_ms;
      if (t != open_.end() && !open) open_.erase(t);
      // Its reader tells of an end once: where nothing is left to read, nothing is waited for.
      const auto u = unread_.find(*i);
      const bool over = u != unread_.end() && !u->second.unconverted && gathered_.position(*i) >= end;
      if (over && !(open && u->second.of_transaction)) unread_.erase(u);
    }
}

void lane::held_back(instant now, std::uint64_t epoch, partition_id p, offset_t end, offset_t high) {
  const auto i = index_of(p);
  if (epoch != epoch_ || !i || *i >= takes_.size() || gathered_.position(*i) < end) return;
  auto& t = open_[*i];
  if (t.since == 0 || t.end != end) t = {end, high, now.mono, now.mono};
  t.high = high;
  t.told = now.mono;
  if (now.mono - t.since < config_.open_transaction_ms || unread_.contains(*i)) return;
  unread_[*i] = {"Kafka: a transaction that a producer left open holds back what follows offset " +
                     std::to_string(end.value - 1) + " of " + config_.topic + "/" + std::to_string(p.value) + ", " +
                     std::to_string(high.value - end.value) +
                     " offsets by now: kafka-transactions.sh describe-producers names it, abort ends it",
                 false, true};
}

void lane::read_failed(instant now, std::uint64_t epoch, partition_id p, read_error what, const std::string& why) {
  seen(now);
  if (!index_of(p)) return;
  if (epoch != epoch_) { // it reads anew, or is about to: the news counts
    if (what == read_error::out_of_range || what == read_error::unknown_topic) doubt_log(now);
    return;
  }
  if (what == read_error::other || what == read_error::unconverted) {
    const bool unconverted = what == read_error::unconverted;
    unread_[*index_of(p)] = {(unconverted ? "" : "Kafka: ") + why, unconverted, false};
    return;
  }
  if (what == read_error::halted && !building() && !mutant(bug::halted_at_once)) {
    halted_ = why;
    return maybe_plan(now);
  }
  forget(now, true);
  if (what != read_error::halted) doubt_log(now);
  waiting_ = "its state, after: " + why;
}

} // namespace chute
