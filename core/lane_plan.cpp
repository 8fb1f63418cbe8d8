// What may become of a plan: rows first, dead letters after the rows were acknowledged, then the lane moves on.
#include "core/lane.hpp"

namespace chute {

namespace {
constexpr mono_ms looked_for_ms = 15'000; // a save that renews the lease may come in between
constexpr mono_ms confirm_every_ms = 500, runs_every_ms = 2'000;
constexpr wall_ms window_most_ms = 32'000'000'000; // a year and some days
} // namespace

std::string lane::describe_plan() const {
  const auto& p = work_ ? work_->p : *record_.open;
  std::string out = "plan " + p.token.hex() + " of " + config_.topic;
  int named = 0;
  for (std::size_t i = 0; i < p.last.size(); ++i) {
    if (p.last[i] < record_.partitions[i].next) continue;
    if (++named > 4) return out + ", …";
    out += ", partition " + std::to_string(partition_at(i).value) + " offsets " +
           std::to_string(record_.partitions[i].next.value) + " to " + std::to_string(p.last[i].value);
  }
  return out;
}

// A bad record that a lane stopped at. All before it is delivered.
std::string lane::way_past(std::size_t i, offset_t bad) const {
  // A move forgets that what lies behind it is partly there, and would send all of it again.
  if (const auto& f = record_.partitions[i].fill_to; f && *f > bad && !mutant(bug::way_out_of_a_fill))
    return "; to go on: set on_bad_record: dead_letter, which keeps this record as a dead letter, or skip, and start "
           "again (not by a move: the table holds records behind it)";
  return "; to go on behind this record, which is then not delivered: " +
         reset(scope::partition, "--to-offset " + std::to_string(bad.value + 1), i) +
         "; or set on_bad_record: dead_letter and start again, which keeps it as a dead letter";
}

// A person who compared by hand can say whether it landed.
std::string lane::say_landed() const {
  return "; when you know whether it landed, say so: " + settle_by_word(whose(), config_.lane);
}

bool lane::plan_is_blind() const {
  for (std::size_t i = 0; i < work_->p.last.size(); ++i) {
    const auto& p = record_.partitions[i];
    if (p.blind && *p.blind >= p.next && work_->p.last[i] >= p.next) return !mutant(bug::blind_plan_believed);
  }
  return false;
}

table_trust lane::trust() const {
  auto out = config_.trust;
  if (plan_is_blind()) out.there = out.not_there = false;
  return out;
}

std::vector<offset_range> lane::slices() const {
  std::vector<offset_range> out;
  for (std::size_t i = 0; i < work_->p.last.size(); ++i)
    if (work_->p.last[i] >= record_.partitions[i].next)
      out.push_back({partition_at(i), record_.partitions[i].next, work_->p.last[i]});
  return out;
}

void lane::start_work(instant now) {
  auto& w = *work_;
  if (expected() == 0) return complete(now);
  if (w.what->rows == 0) w.rows_done = true;
  next_send(now);
}

// A plan that was loaded: its records are read again, exactly to the end of each slice.
void lane::check_built(instant now) {
  auto& w = *work_;
  if (!gathered_.covers(w.p.last)) {
    for (auto& b : blocked_)
      if (!b.empty())
        return stop(b + ", within an open " + describe_plan() + "; set on_bad_record: dead_letter and start again");
    return grant(now);
  }
  w.content = gathered_.take_to(w.p.last);
  if (w.content.sum != w.p.sum && !mutant(bug::sum_not_compared))
    return stop("the records of " + describe_plan() +
                " are not those that were planned: compaction took some of them, or the topic was truncated or made "
                "anew; after a compaction" +
                (trust().there && trust().not_there && !config_.trust.dependent_views
                     ? ", to send what is left of them and the table lacks: " + reset(scope::lane, "--to-table")
                     : say_landed()) +
                "; else, to deliver all that the topic holds now: " + reset(scope::lane, "--to-earliest"));
  w.content_fingerprint = config_.fingerprint;
  auto again = make_batch(w.p, w.content, w.reason);
  if (mutant(bug::slice_rebuilt_short) && again.records > 1) --again.ranges.back().count;
  w.what = std::make_shared<batch>(std::move(again));
  waiting_ = "its open plan to be settled";
  if (w.content.records == 0) return complete(now);
  start_work(now);
}

// Nothing comes of its records any more, though the log had them when it was compared: was that another log, of which a
// broker still told?
void lane::compare_unbuilt(instant now) {
  if (!building() || now.mono - heard_any_ < config_.look_at_log_ms || mutant(bug::unbuilt_waits)) return;
  took(lane_edge::unbuilt_compared);
  forget(now, true);
  waiting_ = "its state, after nothing came of the records of its open plan for " +
             std::to_string(config_.look_at_log_ms / 1000) + " s";
}

// --- sending ---------------------------------------------------------------------------------------------------------

bool lane::lease_short(instant now) const {
  if (!leased()) return false;
  auto half = config_.lease_ms / 2;
  if (mutant(bug::lease_on_one_clock)) return now.mono - save_sent_mono_ > half;
  return now.mono - save_sent_mono_ > half || now.wall - save_sent_wall_ > half || now.wall < save_sent_wall_ - half;
}

void lane::set_blocks(const block_sum& blocks, instant now) {
  blocks_ = blocks.all;
  blocks_at_ = now.mono;
  if (blocks.late <= late_blocks_) return;
  // Another process that left a plan may have counted them.
  if (work_ && !work_->loaded) work_->late_blocks += blocks.late - late_blocks_;
  late_blocks_ = blocks.late;
}

std::string lane::token_trouble(instant now) {
  if (config_.delivery == delivery_mode::at_least_once) return {};
  const auto& w = *work_;
  const auto& h = w.rows_done ? w.dead : w.rows;
  // A view that was made since may know an insert for a shorter time.
  const auto until = std::min(w.p.good_until, w.p.since + std::min<wall_ms>(config_.window_ms / 2, window_most_ms));
  bool in_time = now.server < until || mutant(bug::good_until_ignored);
  // The window in count: half of it may have passed since.
  const auto then = w.p.blocks + w.late_blocks;
  bool in_count = w.p.blocks == 0 || (blocks_ >= then && blocks_ - then < config_.window_ids / 2) ||
                  mutant(bug::window_count_ignored);
  bool same_rows = w.content_fingerprint == w.p.fingerprint || mutant(bug::fingerprint_ignored);
  if (may_repeat(h, in_time && in_count, same_rows, restarted_since(w.tried_since()), trust())) return {};
  took(!in_time || !in_count ? lane_edge::doubted_late
       : same_rows           ? lane_edge::doubted_restart
                             : lane_edge::doubted_columns);
  if (!in_time) return "its deduplication token may be forgotten by now";
  if (!in_count)
    return "its deduplication token may be forgotten by now: the table had seen " + std::to_string(w.p.blocks) +
           " inserts when it was made, and " + std::to_string(blocks_) + " now; its window is " +
           std::to_string(config_.window_ids);
  return same_rows ? "the server was restarted since it was made"
                   : "the table or the mapping changed since it was made";
}

namespace {
constexpr mono_ms count_fresh_ms = 6'000; // lanes are told of it every 5 s, while the server answers
}

// How many inserts its table has seen decides whether a token is known still.
void lane::ask_count(instant) {
  auto& w = *work_;
  w.at = step::counting;
  w.ask_ticket = new_ticket();
  effects_.push_back(fx_ask{w.ask_ticket, {}, {}, false});
}

void lane::counted(instant now, const table_answer& answer) {
  auto& w = *work_;
  if (!answer.answered) {
    waiting_ = "the number of inserts that the table has seen: " + answer.why;
    w.rest_until = now.mono + backoff(w.tries++);
    return;
  }
  if (answer.blocks.all == 0) { // an old count says nothing of now
    if (w.count_until == 0) w.count_until = now.mono + config_.confirm_limit_ms;
    waiting_ = "the number of inserts that the table has seen, which ClickHouse does not tell";
    if (now.mono < w.count_until) {
      w.rest_until = now.mono + backoff(w.tries++);
      return;
    }
    set_blocks({0, late_blocks_}, now); // a doubt
  }
  w.count_until = 0;
  next_send(now);
}

// Sends the part that is next, if the token still settles it; looks first where something may have landed.
void lane::next_send(instant now) {
  auto& w = *work_;
  auto& h = w.history();
  if (revoking_ && !mutant(bug::insert_while_revoked)) return check_released(now);
  const bool cleared = now.mono - w.cleared_at < looked_for_ms; // or questions that take long would go round
  const bool fills = w.p.kind == plan_kind::fill && !mutant(bug::fill_without_asking);
  if (fills && !cleared) return list(now);
  const bool repeats = h.landed_maybe > 0 || h.loaded;
  if (repeats && w.p.blocks > 0 && now.mono - blocks_at_ > count_fresh_ms &&
      config_.delivery == delivery_mode::exactly_once && !mutant(bug::old_count_believed))
    return ask_count(now);
  if (auto why = token_trouble(now); !why.empty()) return doubt(now, why);
  bool landed_maybe = repeats && !cleared && !mutant(bug::look_skipped);
  if (landed_maybe && (trust().there || !quiet(now)) && config_.delivery == delivery_mode::exactly_once)
    return look(now);
  send(now);
}

void lane::check_send() const {
  const auto& w = *work_;
  expect(w.durable, "1: no insert before its plan is durable");
  expect(!revoking_, "1: no insert is begun once the lane is being revoked");
  expect(w.content.sum == w.p.sum && w.what->token == w.p.token, "2: a token stands for the same records");
  expect(w.content.bytes == 0 || !w.what->ranges.empty(), "2: a token stands for the same records");
  expect(w.insert_ticket == 0, "7: one attempt is under way");
  if (config_.delivery == delivery_mode::at_least_once) return;
  expect(record_.open && *record_.open == w.p, "1: no insert before its plan is durable");
  expect(w.p.kind == plan_kind::batch || !w.acknowledged, "2: a fill asks before every send");
  for (std::size_t i = 0; i < w.p.last.size(); ++i)
    expect(w.content.last[i] == w.p.last[i] || w.p.last[i] < record_.partitions[i].next,
           "2: a token stands for the same slices");
}

void lane::send(instant now) {
  auto& w = *work_;
  if (lease_short(now)) {
    if (saving_) return;
    w.at = step::saving;
    took(lane_edge::lease_renewed);
    return save(now, record_, purpose::renew);
  }
  check_send();
  w.at = step::sending;
  w.cleared_at = INT64_MIN / 2;
  w.insert_ticket = new_ticket();
  w.attempt_before = w.last_attempt;
  w.sent_at = now.server;
  w.last_attempt = at_the_latest(now);
  w.sent_mono = now.mono;
  ++counters_.inserts;
  took(w.tries > 0 || w.loaded ? lane_edge::sent_again : lane_edge::sent);
  if (w.tries++ > 0) ++counters_.insert_retries;
  bool dead = w.rows_done != (mutant(bug::dead_letters_before_rows) && w.what->rows > 0 && w.what->dead > 0);
  const auto& h = w.history();
  fx_insert fx{w.insert_ticket,       w.what,    dead,     h.landed_maybe > 0 || h.loaded, refreshed_,
               w.content_fingerprint, INT64_MAX, INT64_MAX};
  if (leased()) {
    fx.lease_mono = save_sent_mono_ + config_.lease_ms;
    fx.lease_wall = save_sent_wall_ + config_.lease_ms;
  }
  if (leased() && trust().plain_merge_tree && (h.landed_maybe > 0 || h.loaded) && !mutant(bug::old_word_sent_on) &&
      config_.delivery == delivery_mode::exactly_once) {
    fx.word_mono = w.looked_at + server_word_ms;
    fx.started_before = w.tried_since();
  }
  effects_.push_back(std::move(fx));
}

namespace {
constexpr std::uint64_t too_big_alone_bytes = 8 << 20;

// at_least_once: what would be asked about first is done at once. What landed may land again.
next_step without_plans(next_step next, const insert_answer& a) {
  if (a.what == insert_answer::verdict::acknowledged) return next_step::done;
  switch (next) {
  case next_step::doubt:
  case next_step::doubt_too_big:
  case next_step::halve: return mutant(bug::rejected_sent_for_ever) ? next_step::send_again : next_step::halve;
  case next_step::refresh: return next;
  default: return next_step::send_again;
  }
}
} // namespace

// A rejection's message holds no values. What cannot be told else may.
std::string lane::rejection(const insert_answer& a) const {
  if (a.what == insert_answer::verdict::rejected_data && !a.message.empty()) return a.message;
  return "ClickHouse rejected it: code " + std::to_string(a.code);
}

// Of one record: its own bytes, not those that fall to it where its chunk holds a giant, times what they become.
bool lane::small_alone() const {
  if (work_->content.records != 1) return false;
  std::uint64_t bytes = 0;
  for (const auto& pieces : work_->content.pieces)
    for (const auto& p : pieces)
      for (std::size_t i = p.first; i < p.first + p.count; ++i) bytes += p.from->sizes[i];
  return bytes * std::max(growth_, growth_one) / growth_one < too_big_alone_bytes;
}

void lane::inserted(instant now, ticket_t ticket, const insert_answer& a) {
  seen(now);
  if (!work_ || (work_->insert_ticket != ticket && !(mutant(bug::old_answer_taken) && work_->what))) return;
  auto& w = *work_;
  w.insert_ticket = 0;
  answer_came();
  if (a.server_started_ms) set_server_started(a.server_started_ms);
  if (a.what != insert_answer::verdict::acknowledged) w.alone = false;
  if (!a.never_sent) w.last_attempt = at_the_latest(now);
  else w.last_attempt = w.attempt_before;
  if (!a.never_sent && w.first_attempt == 0) w.first_attempt = w.sent_at;
  auto& h = w.history();
  add_answer(h, a);
  note_unsure(a);
  auto next = after_answer(a, h, trust(), w.p.kind == plan_kind::fill, config_.again_and_again);
  // Of one record it says more of the server, or of what else runs there.
  if (next == next_step::doubt_too_big && small_alone() && !mutant(bug::small_record_too_big)) {
    h.too_big = 0;
    next = next_step::send_again;
  }
  if (config_.delivery == delivery_mode::at_least_once) next = without_plans(next, a);
  // There is nothing smaller than a dead letter, and nothing else that it could become.
  const bool last_resort = w.p.as == plan_as::dead_letter && w.content.records == 1;
  if (last_resort && (next == next_step::halve || next == next_step::doubt_too_big) &&
      !mutant(bug::refused_dead_letter_halved))
    next = next_step::send_again;
  if (mutant(bug::done_before_acknowledgement) && !a.answered) next = next_step::done;
  if (revoking_) { // only a clean first attempt counts now
    if (mutant(bug::repetition_counts_while_revoked) && next == next_step::confirm) next = next_step::done;
    if (next == next_step::done && (w.rows_done || w.what->dead == 0)) {
      took(lane_edge::revoked_clean);
      return complete(now);
    }
    return check_released(now);
  }
  if (a.record_gone && !mutant(bug::gone_record_waited_for)) { // recovery says what the log lost, and what to do
    took(lane_edge::record_gone);
    forget(now, true);
    waiting_ = "its state, after " + a.message;
    return;
  }
  if (next != next_step::done && next != next_step::confirm)
    waiting_ = (last_resort ? "a dead letter, which ClickHouse does not take: " : "ClickHouse: ") + a.message;
  switch (next) {
  case next_step::done: took(lane_edge::done_at_once); return part_done(now);
  case next_step::confirm:
    if (w.alone && !w.rows_done) return part_done(now);
    if (w.p.kind == plan_kind::fill) {
      w.acknowledged = true;
      w.confirm_until = now.mono + config_.confirm_limit_ms;
      return list(now);
    }
    w.at = step::confirming;
    w.confirm_until = now.mono + config_.confirm_limit_ms;
    return confirm(now);
  case next_step::send_again: return rest(now, step::sending);
  case next_step::halve:
    return halve(now, a.what == insert_answer::verdict::too_big ? "too big for the server" : rejection(a));
  case next_step::refresh:
    w.at = step::refreshing;
    w.refresh_ticket = new_ticket();
    effects_.push_back(fx_refresh{w.refresh_ticket});
    return;
  case next_step::doubt:
    w.halve_if_none = true;
    w.halve_for = rejection(a);
    took(lane_edge::doubted_rejection);
    return doubt(now, rejection(a) + ", and something may have landed before");
  case next_step::doubt_too_big:
    w.halve_if_none = true;
    w.halve_for = "too big for the server";
    if (mutant(bug::too_big_not_asked)) return halve(now, rejection(a));
    took(lane_edge::doubted_too_big);
    return doubt(now, "too big for the server again and again (code " + std::to_string(a.code) + ")");
  }
}

void lane::note_unsure(const insert_answer& a) {
  auto& w = *work_;
  if (w.p.kind != plan_kind::fill || w.rows_done || a.never_sent) return;
  if (a.what != insert_answer::verdict::acknowledged) {
    if (!a.answered || !a.before_write || a.attempts > 1) w.rows_unsure = std::max(w.rows_unsure, w.what->rows);
  } else if (w.what->rows >= w.rows_unsure) w.rows_unsure = 0;
}

void lane::rest(instant now, step then) {
  auto& w = *work_;
  w.at = step::resting;
  w.after_rest = then;
  w.rest_until = now.mono + backoff(std::max(0, w.tries - 1));
}

// --- the table's word ------------------------------------------------------------------------------------------------

void lane::look(instant now) {
  auto& w = *work_;
  w.looked_at = now.mono;
  w.at = step::looking;
  w.ask_ticket = new_ticket();
  fx_ask fx{w.ask_ticket, {}, {}, false};
  if (trust().there) fx.ranges = slices();
  fx.still = still(now);
  effects_.push_back(std::move(fx));
}

// An attempt that runs on when a later one has landed could land once the deduplication window has passed.
std::optional<token_t> lane::still(instant now) const {
  return quiet(now) || mutant(bug::running_attempt_repeated) ? std::nullopt : std::optional(work_->p.token);
}

bool lane::runs_still(instant now, const table_answer& answer, bool token_running) {
  if (!token_running && work_->runs) waiting_.clear();
  work_->runs = token_running;
  if (!token_running) return false;
  took(lane_edge::still_runs);
  waiting_ = "an insert of " + describe_plan() + " to end, which still runs" +
             (answer.why.empty() ? "" : " (" + answer.why + ")");
  work_->rest_until = now.mono + runs_every_ms;
  return true;
}

namespace {

struct totals {
  std::uint64_t rows = 0, distinct = 0, dead = 0, dead_distinct = 0, either = 0;
};

totals add_up(const table_answer& a, std::size_t from, std::size_t to) {
  totals t;
  for (std::size_t i = from; i < to && i < a.counts.size(); ++i) {
    t.rows += a.counts[i].rows;
    t.distinct += a.counts[i].distinct;
    t.dead += a.counts[i].dead;
    t.dead_distinct += a.counts[i].dead_distinct;
    t.either += a.counts[i].either;
  }
  return t;
}

} // namespace

namespace {

// What is there of a batch's dead letters, or of its rows. A row that replaces itself may be there twice.
landed judge_part(const batch& b, bool dead_letters, const totals& t, const table_trust& trust) {
  if (dead_letters) return judge(b.dead, t.dead, t.dead_distinct);
  return judge(b.rows, trust.replaces ? t.distinct : t.rows, t.distinct, b.more_rows, trust.split);
}

} // namespace

void lane::looked(instant now, const table_answer& answer, bool token_running) {
  auto& w = *work_;
  if (!answer.answered) {
    waiting_ = "the table's answer: " + answer.why;
    w.rest_until = now.mono + backoff(w.tries++);
    return;
  }
  if (runs_still(now, answer, token_running)) return;
  if (!trust().there) return looked_enough(now);
  auto t = add_up(answer, 0, answer.counts.size());
  auto found = judge_part(*w.what, w.rows_done, t, config_.trust);
  if (found == landed::more)
    return stop("the table holds more of " + describe_plan() + " than its records: " + std::to_string(t.rows) +
                " rows for " + std::to_string(w.what->rows) + say_landed());
  bool repeat_anyway = (config_.trust.dependent_views || config_.trust.quorum) && !mutant(bug::views_not_repeated);
  took(found == landed::all ? lane_edge::looked_all : lane_edge::looked_missing);
  if (found == landed::all && !repeat_anyway) return part_done(now);
  looked_enough(now);
}

// What it waited for may have taken long, and the answer may have told that the server was restarted meanwhile.
void lane::looked_enough(instant now) {
  work_->cleared_at = now.mono;
  next_send(now);
}

void lane::confirm(instant) {
  auto& w = *work_;
  w.ask_ticket = new_ticket();
  effects_.push_back(fx_ask{w.ask_ticket, slices(), {}, false});
}

void lane::answered(instant now, ticket_t ticket, const table_answer& answer, bool token_running) {
  seen(now);
  if (answer.answered && answer.server_started_ms) set_server_started(answer.server_started_ms);
  if (answer.answered && answer.blocks.all) set_blocks(answer.blocks, now);
  if (answer.answered && answer.now && !mutant(bug::first_trust_kept)) {
    config_.trust = answer.now->trust;
    config_.window_ms = answer.now->window_ms;
    config_.window_ids = answer.now->window_ids;
  }
  if (phase_ == lane_phase::comparing && ticket == wanted_ticket_) {
    wanted_ticket_ = 0;
    return beyond_answered(now, answer);
  }
  if (phase_ == lane_phase::claiming && ticket == wanted_ticket_) {
    wanted_ticket_ = 0;
    return unplanned_answered(now, answer);
  }
  if (!work_ || work_->ask_ticket != ticket) return;
  auto& w = *work_;
  w.ask_ticket = 0;
  if (revoking_) return check_released(now);
  switch (w.at) {
  case step::looking: return looked(now, answer, token_running);
  case step::counting: return counted(now, answer);
  case step::waiting_quiet: return quiet_answered(now, answer, token_running);
  case step::asking: return asked(now, answer, token_running);
  case step::listing: return listed(now, answer, token_running);
  case step::confirming: break;
  default: return;
  }
  if (answer.answered) {
    auto t = add_up(answer, 0, answer.counts.size());
    auto found = judge_part(*w.what, w.rows_done, t, config_.trust);
    // Others may have replaced some of its rows; what is there came with this insert, and so did the rest.
    bool merged = config_.trust.merges && !w.rows_done;
    if (merged && (found == landed::some || (mutant(bug::merged_batch_believed) && found == landed::none)))
      found = landed::all;
    if (found == landed::all) {
      took(lane_edge::confirmed);
      return part_done(now);
    }
    if (found == landed::more)
      return stop("the table holds more of " + describe_plan() + " than its records" + say_landed());
  }
  if (now.mono >= w.confirm_until) took(lane_edge::unconfirmed);
  if (now.mono >= w.confirm_until && config_.trust.merges && !w.rows_done) return send_alone(now);
  if (now.mono >= w.confirm_until)
    return doubt(now, "a repeated insert was acknowledged, but the table does not confirm it");
  waiting_ = "the table to confirm a repeated insert";
  w.rest_until = now.mono + confirm_every_ms;
}

// --- filling in what is missing --------------------------------------------------------------------------------------

std::uint64_t lane::expected() const {
  const auto& w = *work_;
  if (w.p.as == plan_as::rows) return w.content.rows + w.content.dead;
  return w.p.as == plan_as::dead_letter ? w.content.records : 0;
}

void lane::list(instant now) {
  auto& w = *work_;
  w.at = step::listing;
  w.ask_ticket = new_ticket();
  effects_.push_back(fx_ask{w.ask_ticket, slices(), {}, true, true, still(now)});
}

// A fill asks before every send. Within one partition of the table its rows landed together or not at all, so what is
// missing then is what its token stood for before.
void lane::listed(instant now, const table_answer& answer, bool token_running) {
  auto& w = *work_;
  if (!answer.answered) {
    waiting_ = "the table's answer: " + answer.why;
    w.rest_until = now.mono + backoff(w.tries++);
    return;
  }
  if (runs_still(now, answer, token_running)) return;
  auto t = add_up(answer, 0, answer.counts.size());
  offsets_there present(w.p.last.size()), dead(w.p.last.size());
  auto ranges = slices();
  expect(answer.listed.all.size() == ranges.size() && answer.listed.dead.size() == ranges.size(),
         "a list has an entry for each range");
  for (std::size_t k = 0; k < ranges.size(); ++k) {
    const auto i = *index_of(ranges[k].partition);
    present[i] = answer.listed.all[k];
    dead[i] = answer.listed.dead[k];
  }
  auto missing = make_fill(w.p, w.content, w.reason, present);
  // Looked at record by record: some may be there that the log has no more, where it was compacted since, or that other
  // columns made rows of; in their sum they could stand for what another lacks.
  const auto rows_there = count_rows(w.p, w.content, present, dead, config_.several_rows);
  const bool any_twice = !config_.several_rows && t.rows + t.dead > t.either;
  if (any_twice || rows_there.any_more || t.dead > t.dead_distinct || t.distinct + t.dead_distinct > t.either)
    return stop("the table holds more of " + describe_plan() + " than its records" + say_landed());
  if (config_.trust.split && rows_there.any_in_part && !mutant(bug::fill_in_part_believed)) {
    if (w.rows.loaded || w.rows.unanswered > 0) // the rest may be on its way
      return doubt(now, "records of it are in the table with a part of their rows only");
    return stop("records of " + describe_plan() + " are in the table with a part of their rows only" + say_landed());
  }
  took(missing.rows + missing.dead == 0 ? lane_edge::listed_all : lane_edge::listed_missing);
  // In a table without partitions an attempt lands as a whole: while all of it is missing, all were the same.
  if (w.rows_unsure == unknown_rows && missing.rows > 0 && (!config_.trust.split || missing.rows == w.content.rows))
    w.rows_unsure = missing.rows;
  if (missing.rows + missing.dead == 0) {
    // What is missing is less after each attempt that landed in part: no repetition brings a view the rest of that one.
    const bool in_part = w.rows_unsure > 0 && w.content.rows > 0;
    if (config_.trust.dependent_views && in_part && !mutant(bug::fill_of_views_believed))
      return stop(describe_plan() + " is in doubt: all its rows are there, but its dependent views cannot be asked" +
                  say_landed());
    return complete(now);
  }
  bool rows_next = missing.rows > 0;
  if (w.acknowledged && rows_next == !w.rows_done) { // acknowledged, and not there yet
    if (now.mono >= w.confirm_until) return doubt(now, "a fill was acknowledged, but the table does not confirm it");
    w.rest_until = now.mono + confirm_every_ms;
    return;
  }
  w.acknowledged = false;
  w.rows_done = !rows_next;
  w.what = std::make_shared<batch>(std::move(missing));
  if (auto why = token_trouble(now); !why.empty()) return doubt(now, why);
  w.cleared_at = now.mono;
  send(now);
}

// --- doubt -----------------------------------------------------------------------------------------------------------

void lane::doubt(instant now, const std::string& why) {
  auto& w = *work_;
  w.doubt = why;
  if (plan_is_blind())
    return stop(describe_plan() + " is in doubt: " + why +
                ", and the table cannot be asked: it held rows of these offsets before the lane was moved" +
                say_landed());
  if (!config_.trust.there && !mutant(bug::silent_table_asked))
    return stop(describe_plan() + " is in doubt: " + why +
                ", and the table cannot be asked (no provenance columns, or an engine that drops or merges rows)" +
                say_landed());
  w.quiet_since = now.mono; // what lay in a socket until now may only now be taken up
  w.final_ask = quiet(now);
  ask(now); // all there settles it at once; "none" is only believed when no attempt can still be running
}

// Whether no attempt can still be running.
bool lane::quiet(instant) const {
  const auto& w = *work_;
  if (mutant(bug::wait_skipped)) return true;
  if (w.rows.loaded) return false;
  auto unanswered = w.rows.unanswered + w.dead.unanswered;
  // Of the servers of a replicated table another may have started while the attempt runs: a plain one has one.
  return unanswered == 0 || (config_.trust.plain_merge_tree && server_started_ > w.last_attempt);
}

void lane::wait_quiet(instant now) {
  auto& w = *work_;
  w.at = step::waiting_quiet;
  waiting_ =
      describe_plan() + " is in doubt (" + w.doubt + "): waiting until no attempt can still be running" + w.quiet_why;
  w.ask_ticket = new_ticket();
  w.asked_at = now.mono;
  effects_.push_back(fx_ask{w.ask_ticket, {}, w.p.token, false});
}

void lane::quiet_answered(instant now, const table_answer& answer, bool token_running) {
  auto& w = *work_;
  // The wait counts only while the servers answer: a request can lie in a socket of one that hangs.
  // What others are answered counts, but not for one that is not.
  if (!answer.answered && !mutant(bug::silence_counts)) w.quiet_since = now.mono;
  const auto& times = answer.all_answer;
  const bool silent = !times || now.mono - times->until > answering::every_ms + answering::within_ms;
  if (answer.answered && token_running) w.quiet_why = "; " + answer.why;
  else if (answer.answered && !silent) w.quiet_why.clear();
  else
    w.quiet_why = ", which time tells only while ClickHouse answers within " +
                  std::to_string(answering::within_ms / 1000) + " s" + (answer.why.empty() ? "" : ": " + answer.why);
  const auto waited = mutant(bug::silence_counts) ? now.mono - w.quiet_since
                      : answer.all_answer         ? answer.all_answer->length_from(w.quiet_since)
                                                  : 0;
  bool over = quiet(now) || waited >= config_.lease_ms + config_.insert_limit_ms;
  if (mutant(bug::running_query_ignored)) token_running = false;
  if (answer.answered && !token_running && over && w.alone) {
    if (auto why = token_trouble(now); !why.empty()) return doubt(now, why);
    return send(now);
  }
  if (answer.answered && !token_running && over) {
    w.final_ask = true;
    took(lane_edge::waited_quiet);
    return ask(now);
  }
  w.rest_until = std::max(w.asked_at + answering::every_ms, now.mono + 1);
}

// All rows of a batch may have been merged away (a row that came and went), so that the table never confirms it. But
// once no attempt can still be running, the acknowledgement of one more is the last word: it landed with this one, or
// before.
void lane::send_alone(instant now) {
  auto& w = *work_;
  w.doubt = "it was acknowledged again, but all its rows may have been merged away";
  w.alone = true;
  w.quiet_since = now.mono;
  wait_quiet(now);
}

void lane::ask(instant) {
  auto& w = *work_;
  w.at = step::asking;
  auto ranges = slices();
  auto control = controls();
  ranges.insert(ranges.end(), control.begin(), control.end());
  w.ask_ticket = new_ticket();
  effects_.push_back(fx_ask{w.ask_ticket, std::move(ranges), w.p.token, !mutant(bug::old_state_asked)});
}

void lane::asked(instant now, const table_answer& answer, bool token_running) {
  auto& w = *work_;
  if (!answer.answered && !mutant(bug::no_answer_is_none)) {
    waiting_ = describe_plan() + " is in doubt (" + w.doubt + "); the table's answer: " + answer.why;
    w.rest_until = now.mono + backoff(w.tries++);
    return;
  }
  // It may run on another of the servers than those that the wait heard of.
  if (w.final_ask && token_running && !mutant(bug::running_query_ignored)) {
    w.final_ask = false;
    return wait_quiet(now);
  }
  auto plan_ranges = slices().size();
  auto t = add_up(answer, 0, plan_ranges);
  auto wanted = expected();
  // What replaces itself may be sent again, and be there twice; but a view would count it twice.
  bool replaces = config_.trust.replaces && (!config_.trust.dependent_views || mutant(bug::replacing_views_doubled));
  auto rows = config_.trust.replaces ? t.either : t.rows + t.dead;
  const auto more_rows = w.p.as == plan_as::rows ? w.content.more_rows : 0;
  auto found = judge(wanted, rows, t.either, more_rows, config_.trust.split);
  const bool other_columns = w.content_fingerprint != w.p.fingerprint;
  if (other_columns) { // other columns may have made rows of other records: a fill finds out
    found = judge(w.content.records, rows, t.either, more_rows, config_.trust.split);
    wanted = w.content.records;
  }
  // Some may be there that the log has no more, or that the mapping drops now, as in listed(): which are missing a fill
  // asks then.
  const bool may_be_more = w.p.kind == plan_kind::fill || (other_columns && t.either <= w.content.records);
  if (found == landed::more && may_be_more) found = landed::some;
  auto control = add_up(answer, plan_ranges, answer.counts.size());
  bool not_there = config_.trust.not_there || replaces || mutant(bug::merged_rows_believed);
  // Those that the log has no more, or that the mapping drops now, may stand for as many that are missing, and their
  // rows for rows of others: a fill's own list tells.
  const bool other_rows = other_columns && config_.several_rows && config_.trust.split;
  if (found == landed::all && (w.p.kind == plan_kind::fill || other_rows) && (not_there || other_rows) &&
      !config_.trust.dependent_views && !mutant(bug::fill_counted))
    found = landed::some;
  // Where the rows were acknowledged, or confirmed, only dead letters are in doubt, which no view reads.
  const bool rows_settled = w.p.kind == plan_kind::batch && w.p.as == plan_as::rows && w.rows_done && w.what->rows > 0;
  const bool views = config_.trust.dependent_views && (!rows_settled || mutant(bug::dead_letters_doubted_with_views));
  auto say = [&](const std::string& what) {
    stop(describe_plan() + " is in doubt: " + w.doubt + "; " + what + say_landed());
  };
  took(found == landed::all    ? lane_edge::asked_all
       : found == landed::none ? lane_edge::asked_none
                               : lane_edge::asked_some);
  switch (found) {
  case landed::all:
    if (views) return say("all its rows are there, but its dependent views cannot be asked");
    return complete(now);
  case landed::more:
    return say("the table holds " + std::to_string(t.rows + t.dead) + " rows and dead letters for " +
               std::to_string(wanted) + " records");
  case landed::some:
    if (!w.final_ask) return wait_quiet(now);
    if (views && !replaces) return say("a part of its rows is there, and its dependent views cannot be asked");
    if (!not_there)
      return say(std::to_string(t.either) + " of " + std::to_string(wanted) +
                 " records are there, but this table's engine may have dropped rows");
    for (std::size_t i = 0; i < w.p.last.size(); ++i) // what is missing is filled in, and nothing else is sent
      if (w.p.last[i] >= record_.partitions[i].next && !replaces && !mutant(bug::fill_to_not_set))
        record_.partitions[i].mark_fill(w.p.last[i], w.content.known[i]);
    return plan_anew(now, w.halve_if_none ? std::max<std::uint64_t>(1, w.content.records / 2) : w.content.records);
  case landed::none: break;
  }
  if (!w.final_ask) return wait_quiet(now);
  if (!not_there) return say("nothing of it is there, but this table's engine may have dropped rows");
  if (record_.ever && control.either == 0 && !mutant(bug::control_skipped))
    return say(
        "nothing of it is there, and nothing that was done before either: a wrong server, or rows that this user "
        "may not see");
  if (w.halve_if_none) return halve(now, std::string(w.halve_for));
  plan_anew(now, rows_cap_);
}

// --- the end of a plan -----------------------------------------------------------------------------------------------

void lane::part_done(instant now) {
  auto& w = *work_;
  if (!w.rows_done) {
    w.rows_done = true;
    w.tries = 0;
    if (w.what->dead > 0 && !mutant(bug::dead_letters_forgotten)) {
      if (revoking_) return check_released(now);
      return next_send(now);
    }
  }
  complete(now);
}

void lane::complete(instant now) {
  auto& w = *work_;
  refreshed_ = false;
  counters_.records += w.content.records;
  bool as_rows = w.p.as == plan_as::rows;
  counters_.rows += as_rows ? w.content.rows + w.content.more_rows : 0;
  counters_.dead_letters += as_rows ? w.content.dead : expected();
  counters_.dropped += w.content.records - expected();
  counters_.bytes += w.content.bytes;
  advance_ = advanced(w.content, expected() > 0);
  advance_at_ = now.mono;
  // After a rejection plans stay small until the rejected one is through, then they grow again.
  if (!split_to_.empty()) {
    bool through = true;
    for (std::size_t i = 0; i < split_to_.size(); ++i) through &= advance_->partitions[i].next > split_to_[i];
    if (through) split_to_.clear();
  }
  rows_cap_ = std::min(config_.batch.rows, rows_cap_ * 2);
  work_.reset();
  waiting_.clear();
  if (revoking_) return check_released(now);
  if (config_.delivery == delivery_mode::at_least_once) save(now, *advance_, purpose::done);
  if (phase_ == lane_phase::settling) return stream(now);
  go_on(now);
}

// Nothing of the plan landed, nor can: its records are gathered again, under new tokens.
void lane::plan_anew(instant now, std::uint64_t records_max) {
  if (work_->content_fingerprint != config_.fingerprint) { // columns of two kinds must not meet in a batch
    split_to_ = work_->content.last;
    return read_anew(now);
  }
  auto content = std::move(work_->content);
  auto as = mutant(bug::rejected_becomes_rows) ? plan_as::rows : work_->p.as;
  auto reason = work_->reason;
  work_.reset();
  split_to_ = content.last;
  for (auto& of_partition : content.pieces)
    if (mutant(bug::halving_loses_a_record) && !of_partition.empty() && of_partition.back().count > 1)
      --of_partition.back().count;
  gathered_.give_back(std::move(content));
  if (phase_ == lane_phase::settling) phase_ = lane_phase::streaming;
  // What was rejected becomes a dead letter, and nothing else: the oldest record may by now be another one, because
  // after a restart the records came in another grouping.
  bool oldest = as == plan_as::rows || mutant(bug::oldest_is_dead_letter);
  make_plan(now, as, oldest ? cut_gathered(as == plan_as::rows ? records_max : 1) : gathered_.take_to(split_to_),
            reason);
}

void lane::stop_at_rejected(const std::string& reason) {
  const auto& pieces = work_->content.pieces;
  for (std::size_t i = 0; i < pieces.size(); ++i)
    for (const auto& p : pieces[i]) {
      if (p.count == 0) continue;
      offset_t at{p.from->offsets[p.first]};
      return stop("record " + config_.topic + "/" + std::to_string(partition_at(i).value) + "/" +
                  std::to_string(at.value) + ": " + reason + " (" + describe_plan() + "; on_bad_record: stop)" +
                  way_past(i, at));
    }
  stop(reason + " (" + describe_plan() + "; on_bad_record: stop)");
}

void lane::halve(instant now, const std::string& reason) {
  auto& w = *work_;
  if (w.content.records > 1) {
    took(lane_edge::halved);
    rows_cap_ = std::max<std::uint64_t>(1, w.content.records / 2);
    return plan_anew(now, rows_cap_);
  }
  if (config_.on_bad_record == bad_record_policy::stop) {
    if (w.content_fingerprint != config_.fingerprint) return plan_anew(now, 1); // it was made for other columns
    return stop_at_rejected(reason);
  }
  took(lane_edge::single_rejected);
  bool skip = config_.on_bad_record == bad_record_policy::skip || mutant(bug::rejected_record_dropped);
  w.p.as = skip ? plan_as::skip : plan_as::dead_letter;
  w.reason = reason;
  plan_anew(now, 1);
}

// --- the columns changed under us ------------------------------------------------------------------------------------

void lane::refreshed(instant now, ticket_t ticket, bool same, const std::string& why) {
  seen(now);
  if (!work_ || work_->refresh_ticket != ticket) return;
  auto& w = *work_;
  w.refresh_ticket = 0;
  if (revoking_) return check_released(now);
  // Another lane's question may have brought the new columns before.
  if (same && w.content_fingerprint == config_.fingerprint) {
    refreshed_ = why.empty();
    if (!why.empty()) waiting_ = why;
    return rest(now, step::sending);
  }
  bool landed_maybe = (w.history().loaded || w.history().landed_maybe > 0 || w.rows_done) &&
                      config_.delivery == delivery_mode::exactly_once; // else it may land twice
  if (landed_maybe && !mutant(bug::changed_columns_replanned))
    return doubt(now, "the table's columns changed, and something may have landed before");
  took(lane_edge::refreshed_anew);
  read_anew(now); // nothing was written
}

// The records of a plan that is given up are read again with the new columns, and planned anew.
void lane::read_anew(instant now) {
  if (!mutant(bug::reread_log_trusted)) want_look(now); // for the plan's records too
  work_.reset();
  std::vector<offset_t> from;
  for (auto& p : record_.partitions) from.push_back(p.next);
  restart_reading(now, from);
  stream(now);
}

void lane::columns_changed(instant now, std::uint64_t fingerprint) {
  seen(now);
  refreshed_ &= config_.fingerprint == fingerprint;
  config_.fingerprint = fingerprint;
  if (takes_.empty()) return;
  const auto& base = advance_ ? *advance_ : record_;
  std::vector<offset_t> from;
  for (std::size_t i = 0; i < base.partitions.size(); ++i)
    from.push_back(work_ && work_->what && !mutant(bug::reread_from_next)
                       ? std::max(base.partitions[i].next, work_->content.last[i] + 1)
                       : base.partitions[i].next);
  restart_reading(now, from);
  grant(now);
}

} // namespace chute
