// What must hold: the invariants of docs/guarantees.md while it goes on, every offset once at the end.
#include "core/record.hpp"
#include "test/sim/inside.hpp"

#include <algorithm>
#include <utility>

namespace chute::sim {

void world::fail(const std::string& what) const {
  if (trace_) trace_->push_back("FAILED: " + what);
  throw failure(what);
}

namespace {

enum class landing : std::uint8_t { never, once, perhaps };

landing landing_of(record_kind k, bad_record_policy policy) {
  bool skip = policy == bad_record_policy::skip;
  switch (k) {
  case record_kind::gap:
  case record_kind::dropped: return landing::never;
  case record_kind::row: return landing::once;
  case record_kind::bad:
  case record_kind::poison: return skip ? landing::never : landing::once;
  case record_kind::late_poison:
  case record_kind::changing: return skip ? landing::perhaps : landing::once;
  }
  return landing::once;
}

std::string place(int partition, std::int64_t offset) {
  return "partition " + std::to_string(partition) + " offset " + std::to_string(offset);
}

} // namespace

// --- on the way ------------------------------------------------------------------------------------------------------

void world::check_store(std::uint8_t l, const stored& before, const lane_record& after, bool of_before) {
  if (before.foreign) fail("a record was saved over a foreign offset");
  if (!before.present) return;
  auto old = decode_record(before.text);
  if (!old.ok()) fail("a record in the store cannot be read");
  if (old->lineage != after.lineage) {
    if (!(spoiled_[l] & (spoiled_gone | spoiled_rollback))) fail("a new lineage over a record");
    return;
  }
  if (after.version <= old->version && !(spoiled_[l] & spoiled_rollback))
    fail("an older save was accepted after a newer one");
  for (std::size_t i = 0; i < after.partitions.size(); ++i) {
    auto from = old->partitions[i].next.value, to = after.partitions[i].next.value;
    if (to < from && !of_before) fail("3: next moved back");
    check_accounted(l, partition_of(l, i), from, to);
  }
}

bool world::lacks_rows(const kafka_partition& p, std::int64_t offset) const {
  const auto& c = p.landed[static_cast<std::size_t>(offset)];
  return c.dead == 0 && c.rows < rows_of(p.log[static_cast<std::size_t>(offset)]);
}

// 6: every offset that `next` passes is accounted for at that moment.
void world::check_accounted(std::uint8_t l, int partition, std::int64_t from, std::int64_t to) {
  if (spoiled_[l] & spoiled_log) return;
  auto& p = kafka_[static_cast<std::size_t>(partition)];
  for (auto o = from; o < to; ++o) {
    if (o >= p.end()) fail("6: an offset beyond the log is done: " + place(partition, o));
    auto& c = p.landed[static_cast<std::size_t>(o)];
    if (c.forgotten && s_.lane.on_data_loss == data_loss_policy::resume) continue;
    if (landing_of(p.log[static_cast<std::size_t>(o)].kind, s_.lane.on_bad_record) == landing::once && lacks_rows(p, o))
      fail("LOST: " + place(partition, o) + " is done, and it is nowhere");
  }
}

// A log that became another one from an offset on is known by the last record done, if that lies behind the cut. Where
// only gaps were done behind it, nothing can tell.
void world::tell_apart(std::uint8_t l) {
  if (!(spoiled_[l] & spoiled_log)) return;
  auto& r = records_[l].partitions;
  for (std::size_t i = 0; i < r.size(); ++i) {
    auto known = r[i].known_at().value_or(offset_t{-1}).value;
    for (auto cut : kafka_[static_cast<std::size_t>(partition_of(l, i))].cuts)
      if (r[i].next.value > cut && known < cut) untellable_[l] = 1;
  }
}

void world::check_insert(const process&, const lane_slot& s, std::uint8_t l, const fx_insert& fx) {
  if (s.revoking) fail("1: an insert is begun while the lane is being revoked");
  if (s.refused) fail("5: an insert after a refused save");
  if (s.attempts > 0) fail("7: two inserts under way");
  auto& d = durable_[l];
  if (std::none_of(d.begin(), d.end(), [&](auto& x) { return x.token == fx.what->token; }))
    fail("1: an insert of a plan that is not in the store");
  if (fx.what->ranges.empty()) fail("an insert of nothing");
}

// 4: on the process's own clock, which here is the true one. (A wall clock that is set only ends a lease sooner.)
void world::check_lease(const attempt& a) const {
  if (now_ - a.leased_since >= s_.lane.lease_ms)
    fail("4: an insert leaves " + std::to_string(now_ - a.leased_since) + " ms after the save that it relies on");
}

// What slept for more than half its session may have lost the lane: it asks the store before anything else.
void world::check_awake(const lane_slot& s, const effect& fx) const {
  if (!s.slept) return;
  if (std::holds_alternative<fx_save>(fx) || std::holds_alternative<fx_insert>(fx) ||
      std::holds_alternative<fx_read>(fx))
    fail("a lane goes on after its process slept, as if nothing could have happened");
}

void world::check_token(attempt& a) {
  const auto& token = a.fx.what->token;
  token_use u;
  u.token = token;
  u.dead = a.fx.dead_letters;
  a.columns = static_cast<const sim_chunk&>(*a.fx.what->ranges.front().from).columns;
  for (auto& r : a.fx.what->ranges)
    if (static_cast<const sim_chunk&>(*r.from).columns != a.columns) fail("2: a batch of two sets of columns");
  each_record(a, [&](int partition, std::int64_t offset, std::uint64_t hash, int part, std::size_t which) {
    auto x =
        stir((hash + which) ^ stir(static_cast<std::uint64_t>(offset) * 1024 + static_cast<std::uint64_t>(partition)));
    u.whole += x;
    u.by_partition[static_cast<std::size_t>(part)] += x;
  });
  u.columns = a.columns;
  auto& d = durable_[a.lane];
  auto plan = std::find_if(d.begin(), d.end(), [&](auto& x) { return x.token == token; });
  bool fill = plan != d.end() && plan->kind == plan_kind::fill;
  for (auto& t : tokens_) {
    if (t.token != token || t.dead != u.dead) continue;
    if (t.columns != u.columns) fail("2: a token stands for two sets of columns");
    if (!fill && t.whole != u.whole) fail("2: a token stands for two sets of records");
    for (std::size_t i = 0; fill && i < t.by_partition.size(); ++i) {
      if (t.by_partition[i] && u.by_partition[i] && t.by_partition[i] != u.by_partition[i])
        fail("2: a fill's token stands for two sets of rows of one table partition");
      if (!t.by_partition[i]) t.by_partition[i] = u.by_partition[i];
    }
    return;
  }
  tokens_.push_back(u);
}

ms world::planned_at(const attempt& a) const {
  auto& d = durable_[a.lane];
  auto plan = std::find_if(d.begin(), d.end(), [&](auto& x) { return x.token == a.fx.what->token; });
  return plan == d.end() ? now_ : plan->at;
}

// The store went back behind the plan of one of the two, which was on its way then, or left under the lease that it
// had. What was planned since, and what left after such a lease, is nobody's to double.
bool world::plan_forgotten(std::size_t lane, ms planned, ms sent) const {
  auto at = went_back_at_[lane];
  return at >= 0 && planned <= at && sent <= at + s_.lane.lease_ms;
}

// Whether the same token was noted for this part of the table before; by now it is noted for this insert too.
bool world::noted_before(const attempt& a, int part) const {
  const auto& t = a.fx.dead_letters ? server_.dead : server_.rows;
  return std::count_if(t.ids.begin(), t.ids.end(),
                       [&](const auto& i) { return i.token == a.fx.what->token && i.partition == part; }) > 1;
}

// The token was noted for this part of the table, and more inserts came since than the lane was told that can come.
bool world::rushed(const attempt& a, int part) const {
  const auto& t = a.fx.dead_letters ? server_.dead : server_.rows;
  bool itself = true; // it is noted by now
  for (auto it = t.ids.rbegin(); it != t.ids.rend(); ++it) {
    if (it->token != a.fx.what->token || it->partition != part || std::exchange(itself, false)) continue;
    const auto told = s_.lane.ids_per_second * static_cast<double>(now_ - it->at) / 1000;
    return static_cast<double>(t.count + writers() - it->number) >
           std::max(told, static_cast<double>(s_.lane.window_ids));
  }
  return false;
}

void world::doubled(const attempt& a, int part, int partition, std::int64_t offset) {
  auto l = static_cast<std::size_t>(partition % s_.lanes);
  auto& c = kafka_[static_cast<std::size_t>(partition)].landed[static_cast<std::size_t>(offset)];
  bool went_back = plan_forgotten(l, c.planned, c.sent) || plan_forgotten(l, planned_at(a), a.sent);
  // By a server that stood still. Of one token it need not have been for the whole window: a repetition leaves in the
  // first half, and what it takes from then on is the server's. Of two tokens, half of it excuses nothing.
  const bool forgotten = now_ - a.sent >= s_.lane.window_ms / 2 && noted_before(a, part);
  bool held = !s_.plain && (now_ - a.sent >= s_.lane.window_ms || forgotten);
  const bool fast = !went_back && !held && rushed(a, part);
  c.excused = went_back || held || fast;
  if (held || fast) spoiled_[l] |= spoiled_held;
  if (c.excused) {
    ++(went_back ? counts_.went_back : held ? counts_.held : counts_.rushed);
    return;
  }
  fail("DOUBLE: " + place(partition, offset));
}

// --- stops -----------------------------------------------------------------------------------------------------------

namespace {

struct named {
  const char* part; // of the reason
  stop_kind kind;
  std::uint32_t excused_by;
};
// Which fault makes which stop right. A stop for another reason, or without its fault, is a failure.
constexpr named stops[] = {
    {"offsets were moved by another tool", stop_kind::moved, spoiled_foreign},
    {"its state is gone", stop_kind::gone, spoiled_gone | spoiled_rollback},
    {"was saved before: it went back in time", stop_kind::older, spoiled_rollback | spoiled_gone},
    {" are done: the topic was truncated or made anew", stop_kind::log_short, spoiled_log},
    {"within an open plan (to offset", stop_kind::log_short, spoiled_log},
    {"is not the one that was done", stop_kind::log_differs, spoiled_log},
    {"deleted before they were delivered", stop_kind::log_lost,
     spoiled_retention | spoiled_log | spoiled_rollback | spoiled_gone},
    {"belong to an open plan and were deleted", stop_kind::log_lost,
     spoiled_retention | spoiled_log | spoiled_rollback},
    {"are not those that were planned", stop_kind::plan_differs, spoiled_log},
    {"beyond what this pipeline has sent", stop_kind::beyond, spoiled_rollback | spoiled_gone | spoiled_log},
    {"than its records", stop_kind::more, spoiled_in_flight | spoiled_log | spoiled_held},
    {"rows and dead letters for", stop_kind::more, spoiled_in_flight | spoiled_log | spoiled_held},
    {"with a part of their rows only", stop_kind::in_part, 0}, // as landed_in_part() says
    {"nothing that was done before either", stop_kind::nothing_before, 0},
};
constexpr const char* stop_names[] = {"offsets moved by another tool",
                                      "the state is gone",
                                      "the store went back",
                                      "the log is short",
                                      "the log differs",
                                      "records deleted before they were delivered",
                                      "the plan's records differ",
                                      "rows beyond what was sent",
                                      "more rows than records",
                                      "records of which a part of the rows landed",
                                      "nothing of what was done before",
                                      "other"};
static_assert(std::size(stop_names) == static_cast<std::size_t>(stop_kind::count));

} // namespace

const char* name_of(stop_kind k) { return stop_names[static_cast<std::size_t>(k)]; }

void world::stopped(std::uint8_t n, std::uint8_t l, const std::string& reason) {
  say("process ", int{n}, " lane ", int{l}, " STOPPED: ", reason);
  auto kind = stop_kind::other;
  std::uint32_t by = 0;
  for (auto& s : stops)
    if (reason.find(s.part) != std::string::npos) {
      kind = s.kind;
      by = s.excused_by;
      break;
    }
  // Compared, claimed, compared again, and still the owner then.
  bool by_comparing = kind == stop_kind::log_short || kind == stop_kind::log_differs || kind == stop_kind::log_lost ||
                      kind == stop_kind::beyond;
  if (by_comparing && processes_[n].lanes[l].accepted < 2)
    fail("lane " + std::to_string(l) + " stopped, and was not known for the owner before and after: " + reason);
  const bool right = kind == stop_kind::in_part ? landed_in_part(l) : (spoiled_[l] & by) != 0;
  if (!right) fail("lane " + std::to_string(l) + " stopped without a cause: " + reason);
  stopped_[l] = static_cast<std::uint8_t>(1 + static_cast<int>(kind));
  changed_ = true;
}

// Some of a record's rows are there without the rest, and none of its inserts runs that could bring them; or they are
// of a record that the log has no more, or that may be none by now, of which nobody knows how many rows it made.
bool world::landed_in_part(std::uint8_t l) const {
  const auto on_its_way = [&](int partition, std::int64_t offset) {
    return std::any_of(attempts_.begin(), attempts_.end(), [&](const attempt& a) {
      if (a.lane != l || a.running == 0 || a.server_life != server_.life || a.fx.dead_letters) return false;
      bool of_it = false;
      each_record(
          a, [&](int p, std::int64_t o, std::uint64_t, int, std::size_t) { of_it |= p == partition && o == offset; });
      return of_it;
    });
  };
  for (std::size_t i = 0; i < parts_of(l); ++i) {
    const auto k = partition_of(l, i);
    const auto& p = kafka_[static_cast<std::size_t>(k)];
    const auto next = records_[l].partitions.size() > i ? records_[l].partitions[i].next.value : 0;
    for (auto o = p.start; o < p.end(); ++o) { // a lane may have read what the log lost since
      const auto& c = p.landed[static_cast<std::size_t>(o)];
      if (c.old_rows > 0) return true;
      const bool passed = c.forgotten && o < next;
      if (!passed && c.rows > 0 && p.log[static_cast<std::size_t>(o)].kind == record_kind::changing) return true;
      if (!passed && c.rows > 0 && lacks_rows(p, o) && !on_its_way(k, o)) return true;
    }
  }
  return false;
}

// --- at the end ------------------------------------------------------------------------------------------------------

void world::final_check() {
  for (std::uint8_t l = 0; l < s_.lanes; ++l) {
    if (stopped_[l]) {
      ++counts_.stopped_lanes;
      ++counts_.by_stop[static_cast<std::size_t>(stopped_[l] - 1)];
      continue; // what it had passed was looked at when it passed
    }
    if (untellable_[l] && (spoiled_[l] & spoiled_log)) {
      ++counts_.untellable;
      continue;
    }
    for (std::size_t i = 0; i < parts_of(l); ++i) {
      auto k = partition_of(l, i);
      auto& p = kafka_[static_cast<std::size_t>(k)];
      for (auto o = p.start; o < p.end(); ++o) final_check(k, o);
    }
  }
}

void world::final_check(int partition, std::int64_t o) {
  auto& p = kafka_[static_cast<std::size_t>(partition)];
  auto& c = p.landed[static_cast<std::size_t>(o)];
  auto n = c.rows + c.dead;
  auto most = c.dead > 0 ? 1 : rows_of(p.log[static_cast<std::size_t>(o)]);
  auto want = landing_of(p.log[static_cast<std::size_t>(o)].kind, s_.lane.on_bad_record);
  if (c.excused) return; // counted when it landed
  if (n > most) fail("DOUBLE: " + place(partition, o));
  if (want == landing::never && n > 0) fail("a record that is dropped landed: " + place(partition, o));
  const bool lost = want == landing::once && lacks_rows(p, o);
  if (lost && !c.forgotten) fail("LOST: " + place(partition, o));
  if (lost && s_.lane.on_data_loss == data_loss_policy::stop) fail("LOST without a stop: " + place(partition, o));
}

} // namespace chute::sim
