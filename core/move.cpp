#include "core/move.hpp"

#include "core/mutant.hpp"
#include "core/text.hpp"

#include <algorithm>

namespace chute {

namespace {

std::string number(offset_t o) { return std::to_string(o.value); }

std::string where(const state_of& whose, lane_id lane) {
  return "topic " + whose.topic + ", lane " + std::to_string(lane.value);
}

struct place {
  const move_base& base;
  lane_id lane;
  partition_id partition;
  bool alone; // in its lane
  bool shows; // the table holds something of the lane
  error wrong(const std::string& cause, const std::string& way_out) const {
    return {"state", where(base.whose, lane) + ", partition " + std::to_string(partition.value) + ": " + cause,
            way_out};
  }
  std::string reset(const std::string& to) const { return base.whose.reset(of_partition(partition) + to); }
};

// Begins from `to`. What the table holds from there on was there before: up to its end the table is not asked.
result<lane_partition> moved_partition(const place& at, const move_facts& f, const lane_partition* before) {
  if (*f.to < f.low || *f.to > f.end)
    return at.wrong("offset " + number(*f.to) + " is not in the log, which holds offsets from " + number(f.low) +
                        " to before " + number(f.end),
                    "name one of these");
  lane_partition p;
  p.next = *f.to;
  auto blind = f.highest;
  if (before && before->blind && (!blind || *before->blind > *blind)) blind = before->blind;
  if (blind && *blind >= p.next && !mutant(bug::move_forgets_the_table)) p.blind = blind;
  return p;
}

// Whether the table tells all that was sent from the record's position on.
bool tells_what_was_sent(const move_base& base, bool blind) {
  return base.trust.there && base.trust.not_there && !blind && base.before->cluster == base.cluster &&
         base.before->destination == base.destination;
}

error another_log(const place& at, const std::string& cause, offset_t end) {
  return at.wrong(cause + ", but the log ends at " + number(end) + ": the topic was made anew, or cut short",
                  at.reset("--to-earliest") + " delivers all that it holds now, " +
                      at.reset("--to-offset " + number(end)) + " goes on at its end");
}

error too_old(const place& at) {
  return at.wrong("the record is older than what was saved, and does not say where it is: the store went back in time",
                  at.alone ? "say where: " + at.reset("--to-offset N")
                           : "with nobody running the pipeline, move all of the lane first: " +
                                 at.base.whose.reset(of_lane(at.lane) + "--to-earliest") +
                                 ", and then each partition: " + at.base.whose.reset("--partition P --to-offset N"));
}

// Of an open plan from `next` on: why the table cannot say whether it landed, or nothing where it can.
std::string why_silent(const place& at, const move_facts& f, offset_t next, bool blind) {
  const auto& trust = at.base.trust;
  if (blind) return ": it held rows of them before the lane was moved";
  if (!trust.there || !trust.not_there) return ": no provenance columns, or an engine that drops or merges rows";
  // Of another table's plan this one holds nothing.
  if (at.base.before->cluster != at.base.cluster || at.base.before->destination != at.base.destination) return {};
  if (trust.dependent_views && f.highest && *f.highest >= next && !mutant(bug::views_settled_by_table))
    return ": dependent views may lack rows that it holds";
  if (at.base.before->ever && !at.shows && !mutant(bug::settled_without_control))
    return ": it shows nothing that was done before either (a wrong server, or rows that this user may not see)";
  return {};
}

// Stays where it is. What the table holds beyond that is of plans that are not known: it is filled in.
result<lane_partition> kept_partition(const place& at, const move_facts& f, const lane_partition* before,
                                      std::optional<offset_t> planned) {
  lane_partition p;
  if (f.stays) p.next = *f.stays;
  else if (before) p = *before;
  else // one partition alone was to be moved
    return at.wrong("no record says where it is",
                    "with nobody running the pipeline, move all of the lane first: " +
                        (at.base.trust.there ? at.base.whose.reset(of_lane(at.lane) + "--to-table") + " or " : "") +
                        at.base.whose.reset(of_lane(at.lane) + "--to-earliest"));
  if (f.past_loss) p.begin_at(f.low);
  const bool blind = p.blind && *p.blind >= p.next;
  if (at.base.went_back && !f.stays && !tells_what_was_sent(at.base, blind) && !mutant(bug::moved_from_an_old_record))
    return too_old(at);
  if (planned && *planned >= p.next)
    if (const auto why = why_silent(at, f, p.next, blind); !why.empty())
      return at.wrong("the open plan covers offsets " + number(p.next) + " to " + number(*planned) +
                          ", and the table cannot say whether they landed" + why,
                      "say so first: " + settle_by_word(at.base.whose, at.lane));
  const bool right = f.named || f.stays; // what was not asked for stays as it is, and is told of when it is read
  if (right && p.next > f.end && !mutant(bug::position_behind_the_log))
    return another_log(at, "the position is " + number(p.next), f.end);
  if (blind) {
    if (f.highest && *f.highest > *p.blind) p.blind = f.highest;
    return p;
  }
  if (f.highest && *f.highest >= f.end && (right || *f.highest >= p.next) && !mutant(bug::kept_in_another_log))
    return another_log(at, "the table holds offsets up to " + number(*f.highest), f.end);
  if (!f.highest || *f.highest < p.next) return p;
  if (!at.base.trust.not_there)
    return at.wrong("the table holds offsets up to " + number(*f.highest) + ", the position is " + number(p.next) +
                        ", and rows may have gone from this table, so that it cannot tell what is missing",
                    "choose a position: " + at.reset("--to-offset " + number(*f.highest + 1)) + " goes on behind them" +
                        (at.alone ? ""
                                  : "; while the lane's other partitions cannot stay either, before that and with "
                                    "nobody running the pipeline: " +
                                        at.base.whose.reset(of_lane(at.lane) + "--to-earliest")));
  if (!mutant(bug::move_sends_all)) p.mark_fill(*f.highest, {});
  return p;
}

} // namespace

std::string state_command(const std::string& verb, const std::string& file, const std::string& pipeline,
                          const std::string& topic, const std::string& options) {
  auto out = "`chute state " + verb + " " + shell_word(file) + " --pipeline " + shell_word(pipeline);
  if (!topic.empty()) out += " --topic " + shell_word(topic);
  return out + (options.empty() ? "" : " " + options) + "`";
}

const char* to_string(enum move_request::target t) {
  using target = enum move_request::target;
  switch (t) {
  case target::earliest: return "--to-earliest";
  case target::latest: return "--to-latest";
  case target::offset: return "--to-offset";
  case target::time: return "--to-datetime";
  case target::current: return "--to-current";
  case target::table: return "--to-table";
  case target::adopted: return "--adopt";
  }
  return "";
}

result<lane_record> moved(const move_base& base, lane_id lane, const std::vector<move_facts>& partitions) {
  lane_record r;
  r.version = base.version + 1;
  r.mark = base.mark;
  r.lineage = base.before && mutant(bug::move_keeps_lineage) ? base.before->lineage : base.lineage;
  r.lanes = base.lanes;
  r.cluster = base.cluster;
  r.destination = base.destination;
  r.unplanned = base.before && base.before->unplanned;
  const bool shows = std::any_of(partitions.begin(), partitions.end(), [](const auto& f) { return f.highest; });
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const auto& f = partitions[i];
    const place at{base, lane, lane_partition_id(lane, base.lanes, i), partitions.size() == 1, shows};
    const auto* before = base.before && i < base.before->partitions.size() ? &base.before->partitions[i] : nullptr;
    std::optional<offset_t> planned;
    if (base.before && base.before->open && i < base.before->open->last.size()) planned = base.before->open->last[i];
    auto p = f.to ? moved_partition(at, f, before) : kept_partition(at, f, before, planned);
    if (!p.ok()) return p.failure();
    r.ever = r.ever || (!f.to && base.before && base.before->ever); // what was done before it is no control any more
    r.partitions.push_back(*p);
  }
  return r;
}

error cannot_settle_old_record(const state_of& whose, lane_id lane, const table_trust& trust) {
  return {"state",
          where(whose, lane) + ": the store's record is older than what the group's offsets say was saved, so its open "
                               "plan is not the last one: the store went back in time",
          "bring the newer state back; or " + go_on_after_table(whose, of_lane(lane), trust.there) +
              "; other lanes are settled with --lane N"};
}

result<lane_record> settled(const lane_record& before, std::uint64_t mark, enum move_request::word said,
                            const table_trust& trust, lane_id lane, const std::vector<settle_facts>& partitions,
                            const state_of& whose) {
  using word = enum move_request::word;
  auto wrong = [&](const std::string& cause, const std::string& way_out) {
    return error{"state", where(whose, lane) + ": " + cause, way_out};
  };
  const auto settle = [&](const char* word) { return whose.settle(of_lane(lane) + word); };
  if (!before.open)
    return wrong("it has no open plan",
                 "there is nothing to settle: `chute state show " + shell_word(whose.file) + "` tells where it is");
  auto r = before;
  r.version = before.version + 1;
  r.mark = mark;
  r.open.reset();
  const bool shows = std::any_of(partitions.begin(), partitions.end(), [](const auto& f) { return f.found || f.done; });
  for (std::size_t i = 0; i < r.partitions.size() && i < partitions.size(); ++i) {
    auto& p = r.partitions[i];
    auto last = before.open->last[i];
    if (last < p.next) continue;
    const auto slice = "offsets " + number(p.next) + " to " + number(last) + " of partition " +
                       std::to_string(lane_partition_id(lane, before.lanes, i).value);
    const bool blind = p.blind && *p.blind >= p.next;
    const bool there = trust.there && !blind;
    switch (said) {
    case word::landed:
      p.pass(last + 1, partitions[i].known);
      r.ever = true;
      break;
    case word::not_landed:
      if (there && partitions[i].found > 0 && !mutant(bug::settle_goes_by_itself))
        return wrong(
            "the table holds " + std::to_string(partitions[i].found) + " records of " + slice,
            "delete them first; or, if all of it landed: " + settle("--landed") +
                (trust.not_there && !trust.dependent_views ? "; or, to send what is missing: " + settle("") : ""));
      break;
    case word::table:
      if (!there || !trust.not_there)
        return wrong("the table cannot say what of " + slice + " landed: " +
                         (blind ? "it held rows of them before the lane was moved"
                                : "no provenance columns, or an engine that drops or merges rows"),
                     "say it: " + settle_by_word(whose, lane));
      if (trust.dependent_views && !mutant(bug::views_settled_by_table))
        return wrong("what the table holds of " + slice + " its dependent views may lack, and they cannot be asked",
                     "say it: " + settle_by_word(whose, lane));
      if (before.ever && !shows && !mutant(bug::settled_without_control))
        return wrong(
            "the table shows nothing of " + slice +
                ", and nothing that was done before either: a wrong server, or rows that this user may not see",
            "name the server that has them (clickhouse.url), or say it: " + settle_by_word(whose, lane));
      p.mark_fill(last, {});
    }
  }
  return r;
}

} // namespace chute
