#include "core/decide.hpp"

#include <doctest/doctest.h>

using namespace chute;

namespace {

using v = insert_answer::verdict;

constexpr table_trust believed{.there = true, .not_there = true};
constexpr table_trust silent{};
constexpr table_trust with_views{.there = true, .not_there = true, .dependent_views = true};

constexpr insert_answer reply(v what, bool answered = true, bool before_write = false, int attempts = 1) {
  insert_answer a;
  a.what = what;
  a.answered = answered;
  a.before_write = before_write;
  a.attempts = attempts;
  return a;
}

constexpr next_step step(attempt_history h, const insert_answer& a, const table_trust& t = believed,
                         bool fill = false) {
  add_answer(h, a);
  return after_answer(a, h, t, fill, 3);
}

constexpr attempt_history fresh{};
constexpr attempt_history loaded{true, 0, 0, 0, 0};
constexpr attempt_history one_unanswered{false, 1, 1, 0, 0};
constexpr attempt_history refused_once{false, 0, 0, 1, 0};

} // namespace

TEST_CASE("an acknowledgement of the first attempt is enough") {
  CHECK(step(fresh, reply(v::acknowledged)) == next_step::done);
}

TEST_CASE("an acknowledgement of a repetition must be confirmed by the table") {
  CHECK(step(one_unanswered, reply(v::acknowledged)) == next_step::confirm);
  CHECK(step(loaded, reply(v::acknowledged)) == next_step::confirm);
  CHECK(step(fresh, reply(v::acknowledged, true, false, 2)) == next_step::confirm); // libcurl sent it twice
  CHECK(step(fresh, reply(v::acknowledged), believed, true) == next_step::confirm); // a fill, always
}

TEST_CASE("where the table cannot be believed, the acknowledgement of a repetition must do") {
  CHECK(step(one_unanswered, reply(v::acknowledged), silent) == next_step::done);
}

TEST_CASE("attempts that were refused before anything was written leave the first one clean") {
  CHECK(step(refused_once, reply(v::acknowledged)) == next_step::done);
}

TEST_CASE("rows that are to blame are planned anew in halves, if nothing can have landed") {
  CHECK(step(fresh, reply(v::rejected_data, true, true)) == next_step::halve);
  CHECK(step(refused_once, reply(v::rejected_data, true, true)) == next_step::halve);
}

TEST_CASE("a rejection is a doubt where something may have landed") {
  CHECK(step(loaded, reply(v::rejected_data, true, true)) == next_step::doubt);
  CHECK(step(one_unanswered, reply(v::rejected_data, true, true)) == next_step::doubt);
  CHECK(step(fresh, reply(v::rejected_data, true, true), with_views) == next_step::doubt);
  CHECK(step(fresh, reply(v::rejected_data, true, false)) == next_step::doubt);
  CHECK(step(fresh, reply(v::rejected_data, true, true, 2)) == next_step::doubt);
}

TEST_CASE("no reply, a person's mistake, a busy server: send it again") {
  CHECK(step(fresh, reply(v::retry, false)) == next_step::send_again);
  CHECK(step(fresh, reply(v::wait_person, true, true)) == next_step::send_again);
  CHECK(step(fresh, reply(v::too_big)) == next_step::send_again);
}

TEST_CASE("too big again and again becomes a smaller batch, after the table was asked") {
  CHECK(step({false, 2, 0, 0, 2}, reply(v::too_big)) == next_step::doubt_too_big);
}

TEST_CASE("a request that never left counts for nothing") {
  attempt_history h;
  auto a = reply(v::retry);
  a.never_sent = true;
  add_answer(h, a);
  CHECK(h.landed_maybe == 0);
  CHECK(h.unanswered == 0);
}

TEST_CASE("only a repetition needs the token: a first send may come at any time") {
  CHECK(may_repeat(fresh, false, true, true, believed));
  CHECK(may_repeat(refused_once, false, true, true, believed));
  CHECK_FALSE(may_repeat(one_unanswered, false, true, false, believed)); // the window is over
  CHECK_FALSE(may_repeat(loaded, true, false, false, believed));         // the rows would look different
  CHECK_FALSE(may_repeat(loaded, true, true, true, believed)); // plain MergeTree, and the server was restarted
  CHECK(may_repeat(loaded, true, true, false, believed));
  table_trust replicated = believed;
  replicated.plain_merge_tree = false;
  CHECK(may_repeat(loaded, true, true, true, replicated));
}

TEST_CASE("what a count over a plan's slices means") {
  CHECK(judge(10, 0, 0) == landed::none);
  CHECK(judge(10, 10, 10) == landed::all);
  CHECK(judge(10, 4, 4) == landed::some);
  CHECK(judge(10, 20, 10) == landed::more); // doubled
  CHECK(judge(10, 11, 11) == landed::more);
  CHECK(judge(0, 0, 0) == landed::all);
}
