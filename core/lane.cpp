// The lane's life: assigned, forgotten, revoked, drained, stopped. See lane_recovery.cpp, lane_stream.cpp,
// lane_plan.cpp.
#include "core/lane.hpp"

namespace chute {

lane::lane(lane_config config, random_source& random) : config_(std::move(config)), random_(random) {
  auto n = lane_partition_count(config_.lane, config_.lanes, config_.topic_partitions);
  expect(n >= 1 && n <= lane_partitions_max, "a lane has 1 to 100 partitions");
  expect(config_.until.empty() || config_.until.size() == n, "`until` names every partition of the lane");
  ends_.assign(n, -1);
  rows_cap_ = config_.batch.rows;
}

const char* to_string(lane_edge e) {
  static constexpr const char* names[] = {"first start",
                                          "streaming after a load",
                                          "settling after a load",
                                          "compared again after the claim",
                                          "planned",
                                          "planned a fill",
                                          "planned a dead letter",
                                          "a gap alone saved",
                                          "sent",
                                          "sent again",
                                          "lease renewed by a save",
                                          "done at the first acknowledgement",
                                          "looked: all there",
                                          "looked: sent again",
                                          "confirmed",
                                          "not confirmed in time",
                                          "listed: something missing",
                                          "listed: all there",
                                          "doubt: past good_until",
                                          "an attempt runs still",
                                          "doubt: the columns changed",
                                          "doubt: the server was restarted",
                                          "doubt: rejected, something may have landed",
                                          "doubt: too big",
                                          "asked: all there",
                                          "asked: some there",
                                          "asked: none there",
                                          "asked again when quiet",
                                          "halved",
                                          "one record rejected",
                                          "a rejected record that the log lost",
                                          "planned anew with new columns",
                                          "a save refused",
                                          "a save without an answer",
                                          "slept",
                                          "revoked with a clean acknowledgement",
                                          "drained",
                                          "lost records passed over",
                                          "the log confirmed while streaming",
                                          "the log differed while streaming",
                                          "an open plan, whose records did not come, compared again",
                                          "a partition set aside",
                                          "a reader had nothing to hand on"};
  static_assert(std::size(names) == lane_edge_count);
  return names[static_cast<std::size_t>(e)];
}

void lane::expect(bool holds, const char* what) const {
  if (!holds)
    throw invariant_violation("lane " + config_.pipeline + "/" + config_.topic + "/" +
                              std::to_string(config_.lane.value) + ": invariant broken: " + what);
}

std::optional<std::size_t> lane::index_of(partition_id p) const {
  auto d = p.value - config_.lane.value;
  if (d < 0 || d % config_.lanes != 0) return {};
  auto i = static_cast<std::size_t>(d / config_.lanes);
  return i < ends_.size() ? std::optional(i) : std::nullopt;
}

// A plan that another process left open may end beyond the end that this one was given: it is settled as it is.
offset_t lane::until(std::size_t i) const {
  const offset_t end{config_.until.empty() ? INT64_MAX : config_.until[i]};
  return building() && !mutant(bug::until_within_plan) ? std::max(end, work_->p.last[i] + 1) : end;
}

// Doubles from retry_first to retry_max, less up to a quarter.
mono_ms lane::backoff(int tries) {
  auto ms = config_.retry_first_ms;
  for (int i = 0; i < tries && ms < config_.retry_max_ms; ++i) ms *= 2;
  ms = std::min(ms, config_.retry_max_ms);
  return ms - static_cast<mono_ms>(random_.next() % static_cast<std::uint64_t>(ms / 4 + 1));
}

// A gap of more than half the session time-out between two events: this process slept, and may have lost the lane.
void lane::seen(instant now) {
  auto gap = last_seen_ != 0 ? now.mono - last_seen_ : 0;
  bool reads = phase_ == lane_phase::streaming || phase_ == lane_phase::draining || phase_ == lane_phase::settling;
  if (reads && gap > config_.unseen_limit_ms) want_look(now);
  bool slept = gap > config_.session_timeout_ms / 2 && !mutant(bug::sleep_unnoticed);
  last_seen_ = now.mono;
  now_ = now;
  if (!slept) return;
  switch (phase_) {
  case lane_phase::unassigned:
  case lane_phase::released:
  case lane_phase::stopped: return;
  default: break;
  }
  took(lane_edge::slept);
  if (revoking_) return lose(now);
  forget(now, true);
}

void lane::assign(instant now) {
  seen(now);
  revoking_ = false;
  stopped_.clear();
  if (phase_ != lane_phase::unassigned && phase_ != lane_phase::released && phase_ != lane_phase::stopped)
    forget(now, false);
  odd_since_ = 0; // what it stopped for is looked at anew
  begin_loading(now);
}

// An insert of this process that had no answer: it may be running still.
bool lane::may_run_on() const {
  return work_ && (work_->insert_ticket != 0 || work_->rows.unanswered > 0 || work_->dead.unanswered > 0);
}

void lane::forget(instant now, bool reload) {
  bool outstanding = commit_outstanding();
  runs_on_ |= may_run_on();
  work_.reset();
  if (!mutant(bug::save_after_forget)) saving_.reset();
  advance_.reset();
  wanted_ticket_ = look_ticket_ = 0;
  look_wanted_ = look_failed_ = false;
  suspects_.clear();
  on_their_way_.clear();
  retry_at_ = look_at_ = 0;
  claimed_ = differed_ = waits_for_room_ = unplanned_over_ = false;
  unplanned_since_ = 0;
  odd_since_ = 0;
  split_to_.clear();
  halted_.clear();
  unread_.clear();
  open_.clear();
  odd_bounds_.clear();
  refreshed_ = false;
  rows_cap_ = config_.batch.rows;
  ++epoch_;
  gathered_.restart({});
  takes_.clear();
  effects_.push_back(fx_stop_reading{});
  effects_.push_back(fx_forgotten{outstanding});
  if (reload) begin_loading(now);
}

void lane::begin_loading(instant) {
  phase_ = lane_phase::loading;
  waiting_ = "its state";
  retry_at_ = 0;
  wanted_ticket_ = new_ticket();
  effects_.push_back(fx_load{wanted_ticket_});
}

void lane::stop(const std::string& reason) {
  auto now = now_;
  forget(now, false);
  phase_ = lane_phase::stopped;
  stopped_ = reason;
  waiting_.clear();
  effects_.push_back(fx_stopped{reason});
  if (revoking_) release(false);
}

void lane::release(bool drained, bool left_open) {
  ++epoch_;
  gathered_.restart({});
  takes_.clear();
  effects_.push_back(fx_stop_reading{});
  if (phase_ != lane_phase::stopped) phase_ = lane_phase::released;
  waiting_.clear();
  effects_.push_back(fx_released{drained, left_open});
}

void lane::lose(instant now) {
  last_seen_ = now.mono;
  now_ = now;
  if (phase_ == lane_phase::released || phase_ == lane_phase::unassigned) return;
  forget(now, false);
  phase_ = lane_phase::released;
  effects_.push_back(fx_released{false});
}

// Nothing new is begun; what is under way is given the time that the shell allows (then it calls lose).
void lane::revoke(instant now) {
  seen(now);
  if (phase_ == lane_phase::released || phase_ == lane_phase::unassigned) return;
  revoking_ = true;
  if (phase_ == lane_phase::stopped) return release(false);
  check_released(now);
}

void lane::drain(instant now) {
  seen(now);
  draining_ = true;
  if (phase_ == lane_phase::streaming) {
    phase_ = lane_phase::draining;
    // What is on its way from the readers is left out: it was never planned.
    ++epoch_;
    takes_.assign(takes_.size(), 0);
    take_bytes_.assign(take_bytes_.size(), 0);
    effects_.push_back(fx_stop_reading{});
    maybe_plan(now);
  }
  check_released(now);
}

// While being revoked or drained: is there anything left to wait for?
void lane::check_released(instant now) {
  if (!revoking_ && !draining_) return;
  if (phase_ == lane_phase::released || phase_ == lane_phase::unassigned || phase_ == lane_phase::stopped) return;
  if (insert_under_way()) return;
  if (saving_ && saving_->ticket != 0) return;
  if (phase_ == lane_phase::draining && !revoking_) {
    // What a paused lane gathered was never planned: whoever reads next begins with it.
    if (work_ || saving_ || advance_ || (gathered_.anything() && !paused_)) return;
    took(lane_edge::drained);
    return release(true);
  }
  if (revoking_ && saving_ && saving_->why == purpose::done) return; // repeated until it has a definite answer
  if (revoking_ && !work_ && !saving_ && advance_) {
    auto next = *advance_;
    return save(now, std::move(next), purpose::done);
  }
  // An open plan is left to the next owner.
  const bool left_open = (runs_on_ || may_run_on()) && !mutant(bug::left_open_is_drained);
  bool outstanding = commit_outstanding();
  work_.reset();
  saving_.reset();
  effects_.push_back(fx_forgotten{outstanding});
  release(false, left_open);
}

void lane::tick(instant now) {
  seen(now);
  if (saving_ && saving_->ticket == 0 && now.mono >= saving_->retry_at) send_save(now);
  if (retry_at_ && now.mono >= retry_at_) {
    retry_at_ = 0;
    if (phase_ == lane_phase::loading) begin_loading(now);
    else if (phase_ == lane_phase::comparing) inspect(now);
    else if (phase_ == lane_phase::claiming && waits_for_room_) settle(now);
    else if (phase_ == lane_phase::claiming) claimed(now);
  }
  if (work_) {
    auto& w = *work_;
    if (mutant(bug::two_attempts) && w.insert_ticket != 0) w.insert_ticket = 0, send(now);
    else if (w.at == step::resting && now.mono >= w.rest_until) next_send(now);
    else if (w.at == step::confirming && w.ask_ticket == 0 && now.mono >= w.rest_until) confirm(now);
    else if (w.at == step::waiting_quiet && w.ask_ticket == 0 && now.mono >= w.rest_until) wait_quiet(now);
    else if (w.at == step::asking && w.ask_ticket == 0 && now.mono >= w.rest_until) ask(now);
    else if (w.at == step::listing && w.ask_ticket == 0 && now.mono >= w.rest_until) list(now);
    else if (w.at == step::counting && w.ask_ticket == 0 && now.mono >= w.rest_until) ask_count(now);
    else if (w.at == step::looking && w.ask_ticket == 0 && now.mono >= w.rest_until) look(now);
  }
  tell_late(now);
  compare_unbuilt(now);
  ask_quiet_readers(now);
  set_aside_unread(now);
  const bool free = !work_;
  maybe_plan(now);
  if (free && work_) grant(now);
  check_released(now);
}

// What was asked for, and has no answer for long, though nothing failed.
void lane::tell_late(instant now) {
  constexpr mono_ms late_look_ms = 2'000, late_ms = 15'000;
  if (!waiting_for().empty()) return;
  late_.clear();
  if (look_wanted_ && look_ticket_ != 0 && now.mono - look_sent_ >= late_look_ms)
    late_ = "the log, which is looked at before anything more is planned";
  else if (insert_under_way() && now.mono - work_->sent_mono >= late_ms)
    late_ = "ClickHouse, which has not answered an insert for " + std::to_string(late_ms / 1000) + " s";
  else if (saving_ && saving_->ticket != 0 && now.mono - saving_->sent_mono >= late_ms)
    late_ = "a save of its state, which has no answer for " + std::to_string(late_ms / 1000) + " s";
  waiting_ = late_;
}

void lane::answer_came() {
  if (!late_.empty() && waiting_ == late_) waiting_.clear();
  late_.clear();
}

mono_ms lane::next_wake() const {
  mono_ms at = INT64_MAX;
  auto earliest = [&](mono_ms t) {
    if (t > 0) at = std::min(at, t);
  };
  if (saving_ && saving_->ticket == 0) earliest(saving_->retry_at);
  earliest(retry_at_);
  if (work_ && work_->ask_ticket == 0) {
    switch (work_->at) {
    case step::resting:
    case step::confirming:
    case step::waiting_quiet:
    case step::asking:
    case step::counting:
    case step::looking:
    case step::listing: earliest(work_->rest_until); break;
    default: break;
    }
  }
  if (building()) earliest(heard_any_ + config_.look_at_log_ms);
  if ((phase_ == lane_phase::streaming || phase_ == lane_phase::draining) && !work_ && !saving_ && !paused_) {
    if (look_ticket_ == 0) earliest(look_at_);
    auto oldest = look_wanted_ ? INT64_MAX : gathered_.oldest_any();
    if (oldest != INT64_MAX) earliest(oldest + config_.batch.wait_ms);
    if (advance_ && !look_wanted_ && !gathered_.anything()) earliest(advance_at_ + config_.save_rest_ms);
  }
  return at;
}

lane_status lane::status() const {
  lane_status s;
  s.topic = config_.topic;
  s.lane = config_.lane;
  s.phase = phase_;
  s.waiting_for = waiting_for();
  s.stopped_for = stopped_;
  s.version = record_.version;
  if (work_) s.open_token = work_->p.token.hex();
  s.buffered_bytes = held_bytes();
  const auto& r = advance_ ? *advance_ : record_;
  for (std::size_t i = 0; i < r.partitions.size() && i < ends_.size(); ++i) {
    const auto t = open_.find(i);
    const auto end = t == open_.end() ? ends_[i] : std::max(ends_[i], t->second.high.value);
    s.partitions.push_back({partition_at(i), r.partitions[i].next, end});
  }
  return s;
}

} // namespace chute
