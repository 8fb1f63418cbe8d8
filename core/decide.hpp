// What may become of a plan, as pure functions: an outcome in, the next step out. The table of docs/guarantees.md in
// code; its tests read as sentences.
#pragma once

#include "core/answers.hpp"
#include "core/mutant.hpp"
#include "core/topology.hpp"

#include <cstdint>

namespace chute {

// How a save ended; the words are state/store.hpp's.
enum class save_outcome : std::uint8_t { accepted, refused, not_now, unknown };

// The attempts to insert one part (rows, or dead letters) of a plan.
struct attempt_history {
  bool loaded = false;     // the plan came from the store: an attempt of another life may be unanswered
  int landed_maybe = 0;    // attempts after which something may have been written
  int unanswered = 0;      // of those, the ones that may still be running
  int refused_cleanly = 0; // answered with a code raised before anything is written
  int too_big = 0;
};

enum class next_step : std::uint8_t {
  done,          // this part of the plan is through
  confirm,       // acknowledged, but as a repetition: the table must say so
  send_again,    // after a rest; looks first where something may have landed
  halve,         // nothing was written, nothing can be: plan anew, half as big
  refresh,       // describe the table, then go on
  doubt,         // ask the table
  doubt_too_big, // ask; if nothing is there, plan anew, half as big
};

// The history *after* the answer has been added to it.
constexpr next_step after_answer(const insert_answer& a, const attempt_history& h, const table_trust& trust, bool fill,
                                 int again_and_again) {
  using v = insert_answer::verdict;
  switch (a.what) {
  case v::acknowledged:
    if (mutant(bug::fill_not_confirmed)) fill = false;
    if (!fill && !h.loaded && h.landed_maybe == 1 && a.attempts == 1) return next_step::done;
    return trust.there && !mutant(bug::confirm_skipped) ? next_step::confirm : next_step::done;
  case v::rejected_data:
    if (!fill && !h.loaded && !trust.dependent_views && h.landed_maybe == 0) return next_step::halve;
    if (mutant(bug::rejection_believed)) return next_step::halve;
    return next_step::doubt;
  case v::too_big: return h.too_big >= again_and_again ? next_step::doubt_too_big : next_step::send_again;
  case v::columns_changed: return next_step::refresh;
  case v::wait_person:
  case v::retry: return next_step::send_again;
  }
  return next_step::doubt;
}

constexpr void add_answer(attempt_history& h, const insert_answer& a) {
  if (a.what == insert_answer::verdict::too_big) ++h.too_big;
  if (a.never_sent) return;
  if (a.answered && a.before_write && a.attempts == 1) {
    ++h.refused_cleanly;
    return;
  }
  h.landed_maybe += a.attempts;
  if (!a.answered) h.unanswered += a.attempts;
  else h.unanswered += a.attempts - 1; // the answer is that of the last one
}

// Whether the token alone still settles a repetition.
constexpr bool may_repeat(const attempt_history& h, bool before_good_until, bool same_fingerprint,
                          bool server_restarted, const table_trust& trust) {
  if (h.landed_maybe == 0 && !h.loaded) return true; // a first send, whenever it comes
  bool log_cut = trust.plain_merge_tree && server_restarted && !mutant(bug::server_restart_ignored);
  return before_good_until && same_fingerprint && !log_cut;
}

// What a count over a plan's slices means. `more_rows`: that the records make beyond one each. `split`: the rows of one
// record may lie in different partitions of the table, of which ClickHouse wrote some only, so all of them must be
// there. Else those of a record land together, and one that is there may have been merged with others since.
enum class landed : std::uint8_t { none, some, all, more };
constexpr landed judge(std::uint64_t records, std::uint64_t rows, std::uint64_t distinct, std::uint64_t more_rows = 0,
                       bool split = false) {
  if ((rows > records + more_rows || distinct > records) && !mutant(bug::more_taken_for_all)) return landed::more;
  const bool in_part = split && rows < records + more_rows && !mutant(bug::rows_in_part_believed);
  const bool whole = distinct >= records && (more_rows == 0 || !in_part);
  if (whole || (distinct > 0 && mutant(bug::some_taken_for_all))) return landed::all;
  return distinct == 0 ? landed::none : landed::some;
}

} // namespace chute
