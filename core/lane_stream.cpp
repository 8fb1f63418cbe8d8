// Streaming: records gather while the batch before is on its way; its acknowledgement and the next plan are one save.
#include "core/lane.hpp"

#include <algorithm>
#include <utility>

namespace chute {

// --- closing and planning --------------------------------------------------------------------------------------------

bool lane::at_end() const {
  if (config_.until.empty()) return false;
  for (std::size_t i = 0; i < takes_.size(); ++i)
    if (gathered_.position(i) < until(i) && blocked_[i].empty()) return false;
  return true;
}

bool lane::should_close(instant now) const {
  if (!gathered_.anything()) return false;
  if (draining_ || at_end() || !split_to_.empty() || !halted_.empty()) return true;
  for (auto& b : blocked_)
    if (!b.empty()) return true;
  if (gathered_.records() >= rows_cap_ || gathered_.bytes() >= std::min(config_.batch.bytes, config_.gather_bytes_max))
    return true;
  // A gap alone (control records) closes too, or `next` would lag for ever.
  return gathered_.oldest_any() + config_.batch.wait_ms <= now.mono;
}

// What a lane reads while its batch is on its way is asked for right after that was planned, or it would stand still.
void lane::go_on(instant now) {
  if (mutant(bug::full_lane_rests)) {
    grant(now);
    return maybe_plan(now);
  }
  maybe_plan(now);
  grant(now);
}

// A reader that halted is begun again by way of a load, which compares the log. But what is under way and what was
// gathered is done before: a settlement or a batch that takes longer than the reader's news would never end.
bool lane::begin_halted_again(instant now) {
  if (halted_.empty() || draining_) return false; // nothing more is read
  if (!look_wanted_ && (advance_ || (gathered_.anything() && !paused_))) return false;
  const auto why = std::exchange(halted_, {});
  forget(now, true);
  waiting_ = "its state, after: " + why;
  return true;
}

// The next plan says it too: one save instead of two.
bool lane::save_can_wait(instant now) const {
  if (phase_ != lane_phase::streaming || paused_ || gathered_.anything() || at_end() || !halted_.empty()) return false;
  if (std::any_of(blocked_.begin(), blocked_.end(), [](auto& b) { return !b.empty(); })) return false;
  return now.mono < advance_at_ + config_.save_rest_ms || mutant(bug::save_rests_for_ever);
}

void lane::maybe_plan(instant now) {
  if (phase_ != lane_phase::streaming && phase_ != lane_phase::draining) return;
  if (saving_ || work_) return;
  if (revoking_) return check_released(now);
  if (look_at_ && look_ticket_ == 0 && now.mono >= look_at_) look_at_log(now);
  if (begin_halted_again(now) || look_wanted_) return;
  if (should_close(now) && !paused_) return make_plan(now, plan_as::rows, cut_gathered(rows_cap_), {});
  if (advance_ && (!gathered_.anything() || paused_))
    return save_can_wait(now) ? void() : save(now, *advance_, purpose::done);
  if (draining_ && paused_ && !advance_) return release(true); // what it gathered was never planned
  if (advance_ || gathered_.anything()) return;
  for (std::size_t i = 0; i < blocked_.size(); ++i)
    if (!blocked_[i].empty()) return stop(blocked_[i] + way_past(i, blocked_at_[i]));
  if (at_end() || draining_) release(true);
}

lane_record lane::advanced(const cut& c, bool any) const {
  lane_record r = advance_ ? *advance_ : record_;
  r.open.reset();
  for (std::size_t i = 0; i < r.partitions.size(); ++i) {
    auto& p = r.partitions[i];
    auto next = c.last[i] + 1;
    expect(next >= p.next, "3: next never moves back");
    p.pass(next, c.known[i]);
  }
  r.ever = (r.ever || any) && !mutant(bug::ever_not_kept);
  return r;
}

wall_ms lane::good_until(instant now) const {
  // Where inserts are counted, the count is looked at when it matters (token_trouble), not guessed from a rate.
  if (blocks_ > 0) return now.server + std::min<wall_ms>(config_.window_ms / 2, 32'000'000'000);
  auto by_count = static_cast<double>(config_.window_ids) / 2 / std::max(config_.ids_per_second, 1e-6) * 1000;
  auto by_time = static_cast<double>(config_.window_ms) / 2;
  return now.server + static_cast<wall_ms>(std::min({by_count, by_time, 3.2e10}));
}

// Of a partition where the table is not believed, and of one where it must be asked before every send, nothing is sent
// together.
cut lane::cut_gathered(std::uint64_t records_max) {
  const auto& base = advance_ ? *advance_ : record_;
  std::vector<std::uint8_t> kinds;
  for (const auto& p : base.partitions) kinds.push_back(p.blind ? 1 : p.fill_to ? 2 : 0);
  if (mutant(bug::blind_meets_fill)) kinds.assign(kinds.size(), 0);
  return gathered_.take(records_max, std::min(config_.batch.bytes, config_.gather_bytes_max), kinds);
}

// Plans what was cut, and saves the plan together with what was done before.
void lane::make_plan(instant now, plan_as as, cut c, const std::string& reason) {
  const lane_record base = advance_ ? *advance_ : record_;
  for (std::size_t i = 0; i < base.partitions.size(); ++i) {
    expect(c.pieces[i].empty() || c.pieces[i].front().begin == base.partitions[i].next, "4: a slice begins at next");
    expect(c.last[i] + 1 >= base.partitions[i].next, "4: a slice begins at next");
    expect(c.last[i] - base.partitions[i].next < slice_offsets_max, "7: a slice's span is bounded");
  }
  bool exact = config_.delivery == delivery_mode::exactly_once;
  if (c.records == 0) { // only a gap: nothing to send
    took(lane_edge::gap_saved);
    advance_ = advanced(c, false);
    return save(now, *advance_, purpose::done);
  }
  work w;
  w.p.token = {random_.next(), random_.next()};
  if (mutant(bug::token_reused)) w.p.token = {base.lineage, 1};
  w.p.as = as;
  for (std::size_t i = 0; i < base.partitions.size(); ++i) // nothing but a fill may touch what is partly there
    if (base.partitions[i].fill_to && !c.pieces[i].empty()) w.p.kind = plan_kind::fill;
  took(w.p.kind == plan_kind::fill ? lane_edge::planned_fill
       : as == plan_as::rows       ? lane_edge::planned
                                   : lane_edge::planned_dead_letter);
  w.p.since = now.server;
  w.p.good_until = good_until(now);
  w.p.blocks = blocks_;
  w.p.fingerprint = config_.fingerprint;
  w.p.sum = c.sum;
  w.p.last = c.last;
  w.reason = reason;
  w.content = std::move(c);
  w.content_fingerprint = config_.fingerprint;
  w.what = std::make_shared<batch>(make_batch(w.p, w.content, reason));
  w.at = step::saving;
  work_ = std::move(w);
  if (!exact) { // at_least_once: no plan, `next` is saved after the acknowledgement
    work_->durable = true;
    return start_work(now);
  }
  lane_record next = base;
  next.open = work_->p;
  save(now, std::move(next), purpose::plan);
  if (mutant(bug::insert_before_save)) start_work(now);
}

// --- saving ----------------------------------------------------------------------------------------------------------

void lane::save(instant now, lane_record next, purpose why) {
  expect(!saving_, "one save at a time");
  next.version = record_.version + 1;
  next.mark = random_.next();
  saving s;
  s.text = encode_record(next);
  expect(s.text.size() <= record_text_max, "7: a record fits its store");
  s.next = std::move(next);
  s.why = why;
  saving_ = std::move(s);
  send_save(now);
}

void lane::send_save(instant now) {
  auto& s = *saving_;
  s.ticket = new_ticket();
  if (mutant(bug::unknown_save_made_anew)) s.next.mark = random_.next(), s.text = encode_record(s.next);
  s.sent_mono = now.mono;
  s.sent_wall = now.wall;
  ++s.tries;
  fx_save fx{s.ticket, have_record_ ? record_.version : 0, s.next.version, s.text, {}};
  for (std::size_t i = 0; i < s.next.partitions.size(); ++i)
    fx.offsets.emplace_back(partition_at(i), s.next.partitions[i].next);
  effects_.push_back(std::move(fx));
}

void lane::saved(instant now, ticket_t ticket, save_outcome outcome, const std::string& why) {
  seen(now);
  if (!saving_ || saving_->ticket != ticket) return;
  saving_->ticket = 0;
  answer_came();
  if (mutant(bug::refused_save_accepted) && outcome == save_outcome::refused) outcome = save_outcome::accepted;
  if (mutant(bug::unknown_save_accepted) && outcome == save_outcome::unknown) outcome = save_outcome::accepted;
  if (mutant(bug::unknown_save_refused) && outcome == save_outcome::unknown) outcome = save_outcome::refused;
  switch (outcome) {
  case save_outcome::accepted: return save_accepted(now);
  case save_outcome::refused: {
    ++counters_.save_refusals;
    took(lane_edge::refused_save);
    if (revoking_) return lose(now);
    forget(now, false);
    phase_ = lane_phase::loading;
    return retry_recovery(now, "its state again: a save was refused: " + why);
  }
  case save_outcome::not_now: break;
  case save_outcome::unknown:
    took(lane_edge::unknown_save);
    saving_->unanswered = true;
    break;
  }
  waiting_ = "a save: " + why;
  // Not now: soon.
  constexpr int tries_most = 3;
  const auto tries = saving_->tries - 1;
  saving_->retry_at = now.mono + backoff(outcome == save_outcome::not_now ? std::min(tries, tries_most) : tries);
  check_released(now);
}

void lane::save_accepted(instant now) {
  saving s = std::move(*saving_);
  saving_.reset();
  ++counters_.saves;
  expect(s.next.version > saved_version_ || !have_record_, "versions grow with each save");
  for (std::size_t i = 0; have_record_ && i < record_.partitions.size(); ++i)
    expect(s.next.partitions[i].next >= record_.partitions[i].next, "3: next never moves back");
  record_ = std::move(s.next);
  saved_version_ = record_.version;
  have_record_ = true;
  save_sent_mono_ = mutant(bug::lease_from_answer) ? now.mono : s.sent_mono;
  save_sent_wall_ = mutant(bug::lease_from_answer) ? now.wall : s.sent_wall;
  if (phase_ == lane_phase::streaming || phase_ == lane_phase::draining) waiting_.clear();
  switch (s.why) {
  case purpose::claim: recovery_tries_ = 0; return revoking_ || draining_ ? check_released(now) : claimed(now);
  case purpose::plan:
    advance_.reset();
    work_->durable = true;
    if (revoking_ && !mutant(bug::insert_while_revoked))
      return check_released(now); // left to the next owner: no insert is begun
    return start_work(now);
  case purpose::done:
    advance_.reset();
    if (revoking_) return check_released(now);
    return go_on(now);
  case purpose::stop:
    if (revoking_) return check_released(now);
    return stop(stop_for_);
  case purpose::renew:
    if (revoking_) return check_released(now);
    return next_send(now);
  }
}

} // namespace chute
