// Recovery of a lane: load, compare, claim, settle. A contradiction between record, log and table stops the lane, but
// only once the claim was accepted and the comparison was made again: reads may be stale, and the old owner may still
// have been at work.
#include "core/lane.hpp"

#include "core/text.hpp"

namespace chute {

namespace {
// "The log ends before `next`" must be seen twice, this far apart: a new leader may lag for a moment.
constexpr mono_ms short_log_recheck_ms = 10'000;
// So long may a state store's answers be stale.
constexpr mono_ms recheck_ms = 10'000;
constexpr mono_ms look_retry_ms = 1'000;
constexpr std::size_t known_looked_at_once = 4; // partitions
constexpr mono_ms build_retry_ms = 100;
// So long may brokers be at odds about a topic that is made anew, and so long may one of them tell of the old log.
constexpr mono_ms log_doubted_ms = 10'000, doubted_look_ms = 2'000;
} // namespace

std::string lane::reset(scope of, const std::string& option, std::size_t partition) const {
  return whose().reset(options_of(of, partition) + option);
}

std::string lane::options_of(scope of, std::size_t partition) const {
  switch (of) {
  case scope::topic: break;
  case scope::lane: return of_lane(config_.lane);
  case scope::partition: return of_partition(partition_at(partition));
  }
  return {};
}

// What to do about a log that is another one than that of the record.
std::string lane::made_anew_or_cut(std::size_t i, offset_t end) const {
  return "; if it was made anew: " + reset(scope::partition, "--to-earliest", i) +
         " (without --partition: all of the topic) delivers all that it holds now; if it was cut short: " +
         reset(scope::partition, "--to-offset " + std::to_string(end.value), i) + " goes on at its end";
}

std::string lane::after_table(scope of) const {
  return go_on_after_table(whose(), options_of(of, 0), config_.trust.there);
}

std::string lane::pass_loss(std::size_t i) const {
  return chute::pass_loss(whose(), record_, config_.lane, i, config_.trust);
}

void lane::retry_recovery(instant now, const std::string& why) {
  waiting_ = why;
  wanted_ticket_ = 0;
  retry_at_ = now.mono + backoff(recovery_tries_++);
}

// An answer of the store that does not fit may be stale: it counts once it was given for a while. False: it counts.
bool lane::maybe_stale(instant now, const std::string& why) {
  if (odd_since_ == 0) odd_since_ = now.mono;
  if (mutant(bug::older_state_stops_at_once)) return false;
  if (now.mono - odd_since_ >= recheck_ms && !mutant(bug::older_state_waits_for_ever)) return false;
  retry_recovery(now, why);
  return true;
}

void lane::loaded(instant now, ticket_t ticket, const lane_loaded& what) {
  seen(now);
  if (ticket != wanted_ticket_ || phase_ != lane_phase::loading) return;
  wanted_ticket_ = 0;
  using state = lane_loaded::state;
  marked_ = what.marked;
  loaded_start_ = what.start;
  switch (what.what) {
  case state::failed:
    if (mutant(bug::error_is_no_record)) return first_start(now, what);
    return retry_recovery(now, what.why);
  case state::foreign:
    return stop("offsets were moved by another tool: " + what.why +
                "; chute does not follow by itself. To read from where they were moved to: " +
                reset(scope::topic, "--adopt") + "; or " + after_table(scope::topic));
  case state::absent: {
    bool noted = what.noted_lineage != 0 && !mutant(bug::noted_lane_is_new);
    if (mutant(bug::lost_state_is_first_start)) marked_ = noted = false;
    // Before the notes: tools that mirror a cluster copy the group's offsets with them.
    if (!marked_ && !what.elsewhere.empty() && !mutant(bug::other_cluster_is_first_start))
      return stop(began_elsewhere(what));
    if ((marked_ || noted) && !mutant(bug::absence_believed_at_once) &&
        maybe_stale(now, "its record, which the state store does not have, to be looked for again"))
      return;
    if (marked_ || noted)
      return stop(
          "its state is gone: " + std::string(marked_ ? "chute_starts in ClickHouse says" : "the group's offsets say") +
          " that this lane began, but the state store has no record of it (expired offsets, a deleted group or topic, "
          "a "
          "flushed Redis, a dropped KeeperMap table, another store); bring the state back; or " +
          after_table(scope::topic) + "; or, if the topic was deleted and made anew, deliver all that it holds now: " +
          reset(scope::topic, "--to-earliest"));
    return first_start(now, what);
  }
  case state::found: break;
  }
  auto r = decode_record(what.text);
  if (!r) return stop(r.failure().cause + "; " + r.failure().way_out + "; or " + after_table(scope::lane));
  auto known = have_record_ && r->lineage == record_.lineage ? saved_version_ : 0;
  // A reset makes a lineage of its own, and its version is above all that were noted: a note that is above the record
  // is of a store that went back before a reset, or of another store that was used since.
  if (!mutant(bug::noted_version_ignored)) known = std::max(known, what.noted_version);
  if (r->version < known && !mutant(bug::older_version_accepted)) {
    auto why = "the state store answers with version " + std::to_string(r->version) + ", but version " +
               std::to_string(known) + " was saved before";
    if (maybe_stale(now, why)) return;
    // It is not claimed: a claim would make its versions look right again.
    return stop(why +
                ": it went back in time (a restored backup, a crash without fsync, a failover); bring the newer "
                "state back; or " +
                after_table(scope::topic));
  }
  odd_since_ = 0;
  if (r->lanes != config_.lanes && !mutant(bug::lanes_not_compared))
    return stop("the record was made with lanes: " + std::to_string(r->lanes) + ", the pipeline began with " +
                std::to_string(config_.lanes) + "; lanes are fixed at the first start; " + after_table(scope::topic));
  if (r->cluster != config_.cluster && !mutant(bug::cluster_not_compared))
    return stop("the record belongs to another Kafka cluster; point kafka.brokers at the cluster it was made with, or "
                "deliver all that this one holds: " +
                reset(scope::topic, "--to-earliest"));
  if (r->destination != config_.destination && !mutant(bug::destination_not_compared))
    return stop("the record belongs to another table (the destination was dropped and made anew, or renamed over); "
                "restore the table; or fill this one from the log's beginning: " +
                reset(scope::topic, "--to-earliest") +
                "; or go on in it where the other one ended: " + reset(scope::topic, "--to-current"));
  if (mutant(bug::partitions_not_compared)) r->partitions.resize(std::min(r->partitions.size(), ends_.size()));
  if (r->partitions.size() > ends_.size())
    return stop(
        "the record knows " + std::to_string(r->partitions.size()) + " partitions of this lane, the topic has " +
        std::to_string(ends_.size()) +
        ": a broker may tell of an older state (start again then), or the topic was made anew; to deliver all that "
        "it holds now: " +
        reset(scope::topic, "--to-earliest"));
  record_ = std::move(*r);
  saved_version_ = record_.version;
  have_record_ = true;
  is_new_ = false;
  // Partitions added since begin at their log's beginning.
  while (record_.partitions.size() < ends_.size()) {
    if (record_.open) record_.open->last.push_back({-1});
    record_.partitions.push_back({});
  }
  inspect(now);
}

// The table's offsets are the other cluster's: taken for this one's, records would be lost.
std::string lane::began_elsewhere(const lane_loaded& what) const {
  return "chute_starts in ClickHouse says that this pipeline began with topic " + config_.topic +
         " on another Kafka cluster (" + printable(what.elsewhere) + "), and the table " +
         (config_.trust.there ? "holds rows of it" : "may hold rows of it") +
         "; if kafka.brokers was exchanged by mistake, put it back; to deliver all that this cluster holds: " +
         reset(scope::topic, "--to-earliest") +
         "; to begin where the other cluster's records end: the same with --to-datetime or, of one partition, "
         "--to-offset" +
         (config_.trust.there ? "; only if it is a copy that kept all offsets: " + reset(scope::topic, "--to-table")
                              : std::string());
}

void lane::first_start(instant now, const lane_loaded& what) {
  expect(what.start.size() == ends_.size(), "a first start knows where each partition begins");
  took(lane_edge::first_start);
  record_ = {};
  record_.lineage = random_.next();
  record_.lanes = config_.lanes;
  record_.cluster = config_.cluster;
  record_.destination = config_.destination;
  for (auto s : what.start) {
    lane_partition p;
    p.next = s;
    record_.partitions.push_back(p);
  }
  have_record_ = false;
  saved_version_ = 0;
  is_new_ = true;
  inspect(now);
}

void lane::inspect(instant now) {
  phase_ = lane_phase::comparing;
  waiting_ = "the log's bounds";
  compared_at_ = now.mono;
  wanted_ticket_ = new_ticket();
  fx_inspect fx{wanted_ticket_, {}};
  for (std::size_t i = 0; i < record_.partitions.size(); ++i) {
    fx_inspect::probe probe{partition_at(i), {}, 0};
    if (const auto& p = record_.partitions[i]; p.known && config_.delivery == delivery_mode::exactly_once) {
      probe.at = p.known_at();
      probe.hash = p.known->hash;
    }
    fx.probes.push_back(probe);
  }
  effects_.push_back(std::move(fx));
}

// What was read up to now may be another log's than what is read from now on. An answer that is on its way tells
// nothing of the time since it was asked for.
void lane::want_look(instant now) {
  if (mutant(bug::known_not_compared) || config_.delivery == delivery_mode::at_least_once) return;
  const auto& base = advance_ ? *advance_ : record_;
  suspects_.resize(base.partitions.size());
  for (std::size_t i = 0; i < base.partitions.size(); ++i) suspect_read(i);
  on_their_way_ = takes_;
  look_soon(now);
}

// A look that is under way counts no longer.
void lane::look_soon(instant now) {
  look_wanted_ = std::any_of(suspects_.begin(), suspects_.end(), [](auto& s) { return !s.empty(); });
  if (!look_wanted_) return;
  if (look_ticket_ != 0 && looks_at_all_) look_at_all_at_ = now.mono;
  look_ticket_ = 0;
  look_at_ = now.mono + (log_doubted(now) ? doubted_look_ms : 0);
}

// What is suspect while the log is doubted waits for a look of its own: who answers the one that is under way may not
// have heard of the new log yet.
bool lane::look_is_too_early(instant now) const {
  return !look_wanted_ || (log_doubted(now) && !mutant(bug::doubted_look_counts));
}

// What was read of a partition, and what was planned or done of it, last.
void lane::suspect_read(std::size_t i) {
  const auto& p = (advance_ ? *advance_ : record_).partitions[i];
  if (work_ && i < work_->content.known.size() && work_->content.known[i] && !mutant(bug::read_log_trusted))
    suspect(i, {work_->content.last[i] + 1 - work_->content.known[i]->distance, work_->content.known[i]->hash});
  if (auto k = takes_.empty() || mutant(bug::read_log_trusted) ? std::nullopt : gathered_.last_record(i, p.next))
    suspect(i, {p.next - k->distance, k->hash});
  else if (suspects_[i].empty() && p.known) suspect(i, {*p.known_at(), p.known->hash});
}

// For a while, from when the record is compared with it: until then nothing is read.
void lane::doubt_log(instant now) {
  const bool reads =
      phase_ == lane_phase::streaming || phase_ == lane_phase::draining || phase_ == lane_phase::settling;
  log_doubted_until_ = reads || mutant(bug::doubt_ends_unread) ? now.mono + log_doubted_ms : INT64_MAX;
}

bool lane::log_doubted(instant now) const { return now.mono < log_doubted_until_ && !mutant(bug::doubted_log_trusted); }

// Another lane of the topic saw that its log is gone. What was read since the last record that is done may be of
// either.
void lane::log_suspected(instant now) {
  seen(now);
  doubt_log(now);
  if (phase_ != lane_phase::streaming && phase_ != lane_phase::draining && phase_ != lane_phase::settling) return;
  suspect_done();
  want_look(now);
  maybe_plan(now);
}

void lane::suspect_done() {
  if (mutant(bug::done_log_trusted) || mutant(bug::known_not_compared) ||
      config_.delivery == delivery_mode::at_least_once)
    return;
  const auto& base = advance_ ? *advance_ : record_;
  suspects_.resize(base.partitions.size());
  for (std::size_t i = 0; i < base.partitions.size(); ++i)
    if (const auto& p = base.partitions[i]; p.known) suspect(i, {*p.known_at(), p.known->hash});
}

void lane::suspect(std::size_t i, seen_record r) {
  auto& all = suspects_[i];
  if (all.empty() || all.back().at < r.at) all.push_back(r);
}

// A chunk that was asked for before the pause. Those behind it are read from the log that the look sees.
void lane::suspect_chunk(instant now, std::size_t i, const chunk& c) {
  if (i >= on_their_way_.size() || on_their_way_[i] == 0 || mutant(bug::read_log_trusted)) return;
  --on_their_way_[i];
  if (c.offsets.empty()) return;
  suspect(i, {{c.offsets.back()}, static_cast<std::uint32_t>(c.hashes.back())});
  if (look_is_too_early(now)) look_soon(now); // else the looks go on until there are none
}

// Before the chunk that ends a time without any is added: what came before it must still be there. A topic is made anew
// with all of its partitions, so a lane that heard of one of them in the meantime need not look at the others each
// time. Where a log was seen to be gone, that holds for all that comes for a while: brokers learn of a topic that is
// made anew one after the other, and one that has not yet tells of the old log.
void lane::suspect_idle(instant now, mono_ms arrived, std::size_t i) {
  if (arrived - heard_any_ > config_.idle_limit_ms && !mutant(bug::idle_log_trusted)) unheard_ = true;
  const bool idle =
      log_doubted(now) || unheard_ || arrived - heard_at_[i] > std::max(config_.idle_limit_ms, config_.look_at_log_ms);
  heard_any_ = std::max(heard_any_, arrived);
  heard_at_[i] = arrived;
  if (!idle || config_.delivery == delivery_mode::at_least_once || mutant(bug::known_not_compared)) return;
  suspects_.resize(record_.partitions.size());
  suspect_read(i);
  if (!suspects_[i].empty() || mutant(bug::unheard_forgotten))
    unheard_ = false; // else nothing of it is known, and the next one tells
  if (look_is_too_early(now)) look_soon(now);
}

// Before a partition is read on that was set aside for long.
void lane::suspect_unread(instant now, std::size_t i) {
  if (config_.delivery == delivery_mode::at_least_once || mutant(bug::known_not_compared) ||
      mutant(bug::turn_log_trusted))
    return;
  suspects_.resize(record_.partitions.size());
  suspect_read(i);
  if (look_is_too_early(now)) look_soon(now);
}

// A topic is made anew with all of its partitions, so some of them tell of all. To find a partition's last record
// costs as much as to fetch and unpack the batch that has it: of a thousand, once a minute, a fortieth of all work.
std::vector<bool> lane::known_looked_at_next(const lane_record& base) {
  const auto all = base.partitions.size();
  std::vector<bool> out(all);
  const auto from = look_from_;
  for (std::size_t n = 0, asked = 0; n < all && asked < known_looked_at_once; ++n) {
    const auto i = (from + n) % all;
    if (!base.partitions[i].known) continue;
    out[i] = true;
    ++asked;
    look_from_ = i + 1;
  }
  return out;
}

// While streaming: is the log still the one that was read? A topic that was made anew and refilled looks like it.
void lane::look_at_log(instant now) {
  looks_at_all_ = now.mono >= look_at_all_at_;
  if (looks_at_all_) look_at_all_at_ = now.mono + config_.look_at_log_ms;
  look_at_ = look_at_all_at_;
  if (config_.delivery == delivery_mode::at_least_once) return;
  look_ticket_ = new_ticket();
  look_sent_ = now.mono;
  const auto& base = advance_ ? *advance_ : record_; // all that is done
  suspects_.resize(base.partitions.size());
  suspect_asked_.assign(base.partitions.size(), false);
  reached_.clear();
  const auto known_asked = looks_at_all_ ? known_looked_at_next(base) : std::vector<bool>(base.partitions.size());
  fx_inspect fx{look_ticket_, {}};
  for (std::size_t i = 0; i < base.partitions.size(); ++i) {
    const auto& p = base.partitions[i];
    fx_inspect::probe probe{partition_at(i), {}, 0};
    suspect_asked_[i] = !suspects_[i].empty();
    reached_.push_back(std::max(p.known_base(), gathered_.position(i)));
    if (suspect_asked_[i]) probe = {partition_at(i), suspects_[i].front().at, suspects_[i].front().hash};
    else if (p.known && known_asked[i]) probe = {partition_at(i), p.known_at(), p.known->hash};
    fx.probes.push_back(probe);
  }
  effects_.push_back(std::move(fx));
}

// Is the log another one than that which was read? What was read, is not done yet and is there no longer counts, unless
// retention passed it: it is read again.
bool lane::log_differs(std::size_t i, const lane_partition& p, const log_facts::part& f) const {
  using seen_as = log_facts::part::recognised;
  if (f.known == seen_as::differs || f.end < (mutant(bug::look_against_now) ? gathered_.position(i) : reached_[i]))
    return true;
  return f.known == seen_as::gone && suspect_asked_[i] && suspects_[i].front().at >= p.next && f.low <= p.next;
}

void lane::looked_at_log(instant now, const log_facts& facts) {
  look_ticket_ = 0;
  answer_came();
  if (!facts.answered) {
    look_at_ = now.mono + look_retry_ms;
    if (looks_at_all_) look_at_all_at_ = look_at_;
    waiting_ =
        (look_wanted_ ? "the log, which is looked at before anything more is planned: " : "the log: ") + facts.why;
    look_failed_ = true;
    return;
  }
  const auto& base = advance_ ? *advance_ : record_;
  expect(facts.parts.size() == record_.partitions.size(), "the log's facts cover every partition");
  for (std::size_t i = 0; i < facts.parts.size(); ++i) {
    if (!log_differs(i, base.partitions[i], facts.parts[i])) continue;
    took(lane_edge::log_differed);
    forget(now, true); // recovery looks again, and stops by name
    waiting_ = "its state, after the log of " + config_.topic + "/" + std::to_string(partition_at(i).value) +
               " was seen to be another one";
    return;
  }
  took(lane_edge::log_confirmed);
  if (look_wanted_ || look_failed_) waiting_.clear();
  look_wanted_ = look_failed_ = false;
  for (std::size_t i = 0; i < suspects_.size(); ++i) {
    if (suspect_asked_[i]) suspects_[i].pop_front(); // one that came meanwhile is asked about next
    look_wanted_ |= !suspects_[i].empty();
  }
  if (look_wanted_) look_at_ = now.mono;
  go_on(now);
}

void lane::inspected(instant now, ticket_t ticket, const log_facts& facts) {
  seen(now);
  if (ticket == look_ticket_ && ticket != 0) return looked_at_log(now, facts);
  if (ticket != wanted_ticket_ || phase_ != lane_phase::comparing) return;
  wanted_ticket_ = 0;
  if (!facts.answered) return retry_recovery(now, facts.why);
  expect(facts.parts.size() == record_.partitions.size(), "the log's facts cover every partition");
  for (std::size_t i = 0; i < facts.parts.size(); ++i) ends_[i] = facts.parts[i].end.value;
  compare(now, facts);
}

// The last offset that the record says was there.
offset_t lane::last_known(std::size_t i) const {
  auto done = record_.partitions[i].known_base() - 1;
  return record_.open ? std::max(record_.open->last[i], done) : done;
}

// The first contradiction between record and log, or nothing.
std::string lane::difference(const log_facts& facts) {
  using seen_as = log_facts::part::recognised;
  for (std::size_t i = 0; i < facts.parts.size(); ++i) {
    const auto& f = facts.parts[i];
    const auto& p = record_.partitions[i];
    auto where = config_.topic + "/" + std::to_string(partition_at(i).value);
    if (f.end < p.next && !mutant(bug::log_end_not_compared))
      return "the log of " + where + " ends at " + std::to_string(f.end.value) + ", but all offsets below " +
             std::to_string(p.next.value) + " are done: the topic was truncated or made anew" +
             made_anew_or_cut(i, f.end);
    if (f.known == seen_as::differs && !mutant(bug::known_not_compared))
      return "the record of " + where + " at offset " + std::to_string(p.known_at()->value) +
             " is not the one that was done: the topic was made anew" + made_anew_or_cut(i, f.end);
    if (f.low > p.next && config_.on_data_loss == data_loss_policy::stop && !mutant(bug::loss_is_gap))
      return "the log of " + where + " begins at " + std::to_string(f.low.value) + ", but only offsets below " +
             std::to_string(p.next.value) + " are done: " + std::to_string(f.low - p.next) +
             " offsets were deleted before they were delivered; to go on without them: " + pass_loss(i);
    if (last_known(i) >= p.next && f.end <= last_known(i) && !mutant(bug::plan_beyond_log))
      return "the log of " + where + " ends at " + std::to_string(f.end.value) + ", within an open plan (to offset " +
             std::to_string(last_known(i).value) + "): it was truncated or made anew" + made_anew_or_cut(i, f.end);
  }
  return {};
}

// Since when that has been so; 0: it is not.
bool lane::not_for_long(instant now, bool odd, mono_ms& since) {
  if (!odd || since == 0) since = odd ? now.mono : 0;
  if (!odd || now.mono - since >= short_log_recheck_ms) return false;
  retry_at_ = since + short_log_recheck_ms;
  return true;
}

// A leader that lags for a moment, or a broker that tells of the log that was there before the topic was made anew:
// bounds that leave out what is known to be there, or what is to be delivered next, are looked at twice.
bool lane::looks_odd(instant now, std::size_t i, const log_facts::part& f) {
  const auto next = record_.partitions[i].next;
  odd_bounds_.resize(record_.partitions.size());
  auto& odd = odd_bounds_[i];
  const auto say = [&](const std::string& what) {
    waiting_ = "the log of " + config_.topic + "/" + std::to_string(partition_at(i).value) + ", which " + what +
               ", to be looked at again";
    return true;
  };
  const bool exact = config_.delivery == delivery_mode::exactly_once;
  const bool early = not_for_long(now, exact && f.end <= last_known(i), odd.ends_early);
  const bool late = not_for_long(now, f.low > next, odd.begins_late);
  if (early && !mutant(bug::short_log_believed_at_once))
    return say("ends at " + std::to_string(f.end.value) + " before " + std::to_string(last_known(i).value + 1));
  if (late && !mutant(bug::loss_believed_at_once))
    return say("begins at " + std::to_string(f.low.value) + " behind " + std::to_string(next.value));
  return false;
}

void lane::compare(instant now, const log_facts& facts) {
  bool exact = config_.delivery == delivery_mode::exactly_once;
  bool odd = false; // each partition is looked at now, so that all of them are waited for at the same time
  for (std::size_t i = 0; i < facts.parts.size(); ++i) odd |= looks_odd(now, i, facts.parts[i]);
  if (odd) return;
  if (exact) {
    if (auto d = difference(facts); !d.empty()) {
      if (claimed_ || mutant(bug::stopped_before_claim)) return contradiction(now, d);
      differed_ = true;
      return claim(now);
    }
  }
  if (claimed_ || !exact)
    for (std::size_t i = 0; i < facts.parts.size(); ++i) lost_records(now, i, facts);
  if (phase_ != lane_phase::comparing) return;
  // Where the table is not asked for rows, it is for how many inserts it has seen: a plan that does not know is trusted
  // by a guess.
  const bool asks = config_.trust.there && !mutant(bug::beyond_skipped);
  if (exact && (asks || (blocks_ == 0 && !mutant(bug::first_count_skipped)))) return ask_beyond(now, asks);
  if (claimed_) return settle(now);
  claim(now);
}

// Records that the log lost before they were delivered, and the topology says continue.
void lane::lost_records(instant now, std::size_t i, const log_facts& facts) {
  if (phase_ != lane_phase::comparing) return;
  auto& p = record_.partitions[i];
  if (facts.parts[i].low <= p.next) return;
  if (config_.on_data_loss == data_loss_policy::stop &&
      !mutant(bug::loss_is_gap)) // at_least_once: exactly_once was told apart before
    return stop("offsets " + std::to_string(p.next.value) + " to " + std::to_string(facts.parts[i].low.value - 1) +
                " of " + config_.topic + "/" + std::to_string(partition_at(i).value) +
                " were deleted before they were delivered; to go on without them: " + pass_loss(i));
  if (loss_meets_plan(record_, i))
    return contradiction(now, "records " + std::to_string(p.next.value) + " to " +
                                  std::to_string(record_.open->last[i].value) + " of " + config_.topic + "/" +
                                  std::to_string(partition_at(i).value) +
                                  " belong to an open plan and were deleted from the log: " + describe_plan() +
                                  "; to go on without them: " + pass_loss(i));
  took(lane_edge::lost_skipped);
  counters_.gaps_lost += static_cast<std::uint64_t>(facts.parts[i].low - p.next);
  p.begin_at(facts.parts[i].low);
  if (record_.open) record_.open->last[i] = p.next - 1;
}

// One question: does the table hold offsets beyond what was ever sent? `rows`: else only how many inserts it has seen.
void lane::ask_beyond(instant, bool rows) {
  waiting_ = rows ? "the table's answer: does it hold offsets beyond the plan?"
                  : "the table's answer: how many inserts has it seen?";
  wanted_ticket_ = new_ticket();
  fx_ask fx{wanted_ticket_, {}, {}, false};
  for (std::size_t i = 0; rows && i < record_.partitions.size(); ++i) {
    auto from = record_.open ? record_.open->last[i] + 1 : record_.partitions[i].next;
    // Of a plan that landed in part, and is filled in piece by piece, some lies beyond the open piece.
    if (const auto& f = record_.partitions[i].fill_to; f && *f >= from) from = *f + 1;
    if (const auto& b = record_.partitions[i].blind; b && *b >= from && !mutant(bug::blind_ignored)) {
      if (b->value == INT64_MAX) continue;
      from = *b + 1;
    }
    fx.ranges.push_back({partition_at(i), from, {INT64_MAX}});
  }
  beyond_ = fx.ranges;
  effects_.push_back(std::move(fx));
}

void lane::beyond_answered(instant now, const table_answer& answer) {
  if (!answer.answered) return retry_recovery(now, "the table's answer: " + answer.why);
  for (std::size_t i = 0; i < answer.counts.size(); ++i) {
    const auto& c = answer.counts[i];
    if (c.rows == 0 && c.dead == 0) continue;
    if (claimed_ || mutant(bug::stopped_before_claim))
      return contradiction(
          now,
          "the table holds " + std::to_string(c.rows) + " rows (and the dead letters " + std::to_string(c.dead) +
              ") of " + config_.topic + "/" + std::to_string(beyond_[i].partition.value) + " from offset " +
              std::to_string(beyond_[i].first.value) +
              " on, beyond what this pipeline has sent: another pipeline writes there, the state went back in time, or "
              "the topic was made anew. To send only what the table lacks: " +
              reset(scope::lane, "--to-table") +
              "; of a topic that was made anew, to deliver all of it: " + reset(scope::lane, "--to-earliest"));
    differed_ = true;
  }
  if (claimed_) return settle(now);
  claim(now);
}

// It stops the lane only if the lane is still ours: who claimed it since may have been at work meanwhile.
void lane::contradiction(instant now, const std::string& what) {
  phase_ = lane_phase::claiming;
  waiting_ = "its claim to be saved once more, after: " + what;
  stop_for_ = what;
  save(now, record_, purpose::stop);
}

void lane::claim(instant now) {
  phase_ = lane_phase::claiming;
  waiting_ = "its claim to be saved";
  record_.unplanned |= config_.delivery == delivery_mode::at_least_once;
  if (mutant(bug::claim_skipped)) return claimed(now);
  save(now, record_, purpose::claim);
}

// From here on older saves are refused.
void lane::claimed(instant now) {
  claimed_ = true;
  if (!marked_ && !mutant(bug::start_not_marked)) {
    waiting_ = "its row in chute_starts";
    wanted_ticket_ = new_ticket();
    effects_.push_back(fx_mark_started{wanted_ticket_});
    return;
  }
  if (unplanned_may_run(now)) return;
  if (mutant(bug::not_compared_after_claim)) return settle(now);
  if (differed_) took(lane_edge::compared_again);
  if (differed_ || config_.on_data_loss == data_loss_policy::resume) return inspect(now);
  settle(now);
}

// What was sent without a plan no question can name. Whoever sent it is refused since the claim, so it has ended once
// all servers have answered for as long as it may run: it can lie in the socket of one that hangs. Then the table is
// compared again.
bool lane::unplanned_may_run(instant) {
  if (!record_.unplanned || config_.delivery == delivery_mode::at_least_once || mutant(bug::unplanned_not_waited_for))
    return false;
  differed_ = true;
  if (unplanned_over_) return false;
  waiting_ = "inserts of delivery: at_least_once to end, which may still be running";
  wanted_ticket_ = new_ticket();
  fx_ask fx{wanted_ticket_, {}, {}, false};
  fx.running = token_t{}; // which no insert has: every server answers all the same
  effects_.push_back(std::move(fx));
  return true;
}

void lane::unplanned_answered(instant now, const table_answer& answer) {
  bool counts = mutant(bug::unplanned_silence_counts); // not const: that would be known when it is compiled
  if (!answer.answered && !counts) unplanned_since_ = now.mono;
  const auto since = std::max(save_sent_mono_, unplanned_since_);
  const auto waited = counts ? now.mono - since : answer.all_answer ? answer.all_answer->length_from(since) : 0;
  unplanned_over_ = (answer.answered || counts) && waited >= config_.lease_ms + config_.insert_limit_ms;
  if (unplanned_over_) return claimed(now);
  waiting_ = "inserts of delivery: at_least_once to end, which may still be running" +
             (answer.answered ? std::string()
                              : ", which time tells only while ClickHouse answers" +
                                    (answer.why.empty() ? std::string() : ": " + answer.why));
  retry_at_ = now.mono + answering::every_ms;
}

void lane::marked_started(instant now, ticket_t ticket, bool ok, const std::string& why) {
  seen(now);
  if (ticket != wanted_ticket_ || phase_ != lane_phase::claiming) return;
  wanted_ticket_ = 0;
  if (!ok) return retry_recovery(now, "its row in chute_starts: " + why);
  marked_ = true;
  claimed(now);
}

// What its records may need once they are read again: their number is known at most, their size is not.
std::uint64_t lane::bytes_of_open_plan() const {
  constexpr std::uint64_t record_bytes = 4 << 10;
  std::uint64_t offsets = 0;
  for (std::size_t i = 0; i < record_.partitions.size(); ++i)
    offsets +=
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, record_.open->last[i] + 1 - record_.partitions[i].next));
  return std::min(offsets * record_bytes, config_.batch.bytes);
}

// Plans that other processes left are read again one after the other where not all of them fit.
bool lane::room_to_build(instant now) {
  build_bytes_ = bytes_of_open_plan();
  build_since_ = now.mono;
  waits_for_room_ = build_bytes_ > build_room_ && !mutant(bug::builds_without_room);
  if (!waits_for_room_) return true;
  phase_ = lane_phase::claiming;
  waiting_ = "memory, to read the records of its open plan again: other lanes read theirs";
  retry_at_ = now.mono + build_retry_ms;
  return false;
}

void lane::settle(instant now) {
  recovery_tries_ = 0;
  if (record_.open && config_.delivery == delivery_mode::exactly_once && !room_to_build(now)) return;
  if (log_doubted_until_ == INT64_MAX) log_doubted_until_ = now.mono + log_doubted_ms;
  look_at_ = look_at_all_at_ = now.mono + config_.look_at_log_ms;
  if (config_.delivery == delivery_mode::at_least_once) record_.open.reset();
  const bool was_unplanned = record_.unplanned && config_.delivery == delivery_mode::exactly_once;
  record_.unplanned = config_.delivery == delivery_mode::at_least_once;
  if (was_unplanned && !record_.open) advance_ = record_; // saved at once, so that it is waited for no more
  std::vector<offset_t> from;
  for (auto& p : record_.partitions) from.push_back(p.next);
  took(record_.open ? lane_edge::loaded_settling : lane_edge::loaded_streaming);
  if (now.mono - compared_at_ > config_.unseen_limit_ms) want_look(now);
  if (!record_.open) {
    restart_reading(now, from);
    return stream(now);
  }
  phase_ = lane_phase::settling;
  waiting_ = "the records of its open plan to be read again";
  work w;
  if (mutant(bug::new_token_on_replay)) record_.open->token = {random_.next(), random_.next()};
  w.p = *record_.open;
  w.durable = w.loaded = true;
  w.rows.loaded = w.dead.loaded = !mutant(bug::loaded_plan_is_clean);
  if (w.p.kind == plan_kind::fill) w.rows_unsure = unknown_rows;
  if (w.p.as == plan_as::dead_letter) w.reason = "ClickHouse rejected it before a restart";
  w.at = step::building;
  work_ = std::move(w);
  restart_reading(now, from);
  check_built(now);
}

void lane::stream(instant now) {
  phase_ = draining_ ? lane_phase::draining : lane_phase::streaming;
  waiting_.clear();
  if (!work_) runs_on_ = false;
  go_on(now);
}

std::vector<offset_range> lane::controls() const {
  std::vector<offset_range> out;
  for (std::size_t i = 0; i < record_.partitions.size(); ++i) {
    auto next = record_.partitions[i].next;
    if (next.value > 0)
      out.push_back({partition_at(i), {std::max<std::int64_t>(0, next.value - config_.control_offsets)}, next - 1});
  }
  return out;
}

} // namespace chute
