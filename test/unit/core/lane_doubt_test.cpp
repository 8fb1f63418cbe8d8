// Doubt: the token alone can no longer tell whether a plan landed. Asking, and
// what may follow.
#include "lane_harness.hpp"

#include <numeric>

using namespace chute;
using namespace chute::test;

namespace {
// So long no attempt is known to be over.
mono_ms whole_wait(const harness& h) { return h.config.lease_ms + h.config.insert_limit_ms; }
} // namespace

TEST_CASE("all there: done at once") {
  harness h;
  h.doubted();
  h.tell({rows_found(10), rows_found(10)});
  CHECK(h.machine->phase() == lane_phase::streaming);
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{20});
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("rows and dead letters count together, each record once") {
  harness h;
  h.doubted();
  h.tell({{6, 6, 4, 4, 10}, rows_found(10)});
  CHECK(h.machine->phase() == lane_phase::streaming);
}

TEST_CASE("nothing there is believed only when no attempt can still be running") {
  harness h;
  h.doubted();
  auto token = h.saved().open->token;
  auto began = h.now.mono;                     // the claim, which is the last save, was sent just before
  CHECK(h.tell({{}, rows_found(10)}).settled); // by a server that has all that was written
  CHECK_FALSE(h.has<fx_save>());
  h.wait_until_quiet();
  CHECK(h.now.mono - began >= whole_wait(h));
  h.tell({{}, rows_found(10)});
  h.accept();
  CHECK(h.saved().open->token != token);
  CHECK(h.saved().open->kind == plan_kind::batch);
  CHECK(h.saved().open->last[0] == offset_t{19});
  CHECK(h.saved().partitions[0].next == offset_t{10});
  CHECK(h.acknowledge().what->rows == 10);
}

TEST_CASE("what lands while it waits is found") {
  harness h;
  h.doubted();
  h.tell({{}, rows_found(10)});
  h.wait_until_quiet();
  h.tell({rows_found(10), rows_found(10)});
  CHECK(h.machine->phase() == lane_phase::streaming);
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("the wait counts only while the server answers") {
  harness h;
  h.doubted();
  h.tell({{}, rows_found(10)});
  h.wait(whole_wait(h) - 10'000);
  if (h.has<fx_ask>()) h.no_answer();
  auto silent = h.now.mono;
  h.wait_until_quiet();
  CHECK(h.now.mono - silent >= whole_wait(h));
}

TEST_CASE("what other lanes are answered counts for the wait: one's own questions may stand in line") {
  harness h;
  h.doubted();
  h.tell({{}, rows_found(10)});
  bool others = true;
  SUBCASE("others are answered") {}
  SUBCASE("nobody is") { others = false; }
  bool asks_the_table = false; // "none" would be believed
  for (mono_ms passed = 0; passed < whole_wait(h) + 60'000 && !asks_the_table; passed += 2'000) {
    if (others) h.answers.heard(h.now.mono, h.now.mono);
    for (auto& [ticket, at] : h.asked) at = h.now.mono; // when they left
    if (passed % 20'000 == 0 && h.has<fx_ask>()) asks_the_table = !h.tell({}).ranges.empty();
    h.pass(2'000);
  }
  CHECK(asks_the_table == others);
}

TEST_CASE("an answer that arrives late says nothing of the time since it was given") {
  for (int over : {0, 1}) {
    harness h;
    h.doubted();
    const auto began = h.now.mono;
    h.tell({{}, rows_found(10)});
    const auto fx = h.take<fx_ask>();
    h.wait(whole_wait(h) + 20'000);
    table_answer a;
    a.answered = true;
    a.all_answer = {0, began + whole_wait(h) - 1 + over};
    h.machine->answered(h.now, fx.ticket, a, false);
    h.pass(6'000);
    CHECK(h.take<fx_ask>().ranges.empty() == (over == 0));
  }
}

TEST_CASE("what the wait for an attempt is held up by is named") {
  harness h;
  h.doubted();
  h.tell({{}, rows_found(10)});
  const auto reason = [&] { return h.machine->status().waiting_for; };
  const auto asked_again = [&] {
    for (int i = 0; i < 10 && !h.has<fx_ask>(); ++i) h.pass(1'000);
  };
  CHECK(reason().ends_with("no attempt can still be running"));
  h.tell({}, true);
  asked_again();
  CHECK(reason().ends_with("; it runs somewhere"));
  h.no_answer();
  asked_again();
  h.no_answer();
  asked_again();
  CHECK(reason().ends_with("only while ClickHouse answers within 3 s: no answer"));
  h.pass(4'000);
  h.tell({});
  asked_again();
  CHECK(reason().ends_with("only while ClickHouse answers within 3 s"));
  h.tell({});
  asked_again();
  CHECK(reason().ends_with("no attempt can still be running"));
}

TEST_CASE("nothing there is not believed of one server while another still runs the token") {
  harness h;
  h.doubted();
  h.tell({{}, rows_found(10)});
  h.wait_until_quiet();
  h.tell({{}, rows_found(10)}, true); // it came through another of the URLs
  CHECK_FALSE(h.has<fx_save>());
  CHECK(h.machine->phase() == lane_phase::settling);
  h.wait_until_quiet();
  h.tell({rows_found(10), rows_found(10)});
  CHECK(h.machine->phase() == lane_phase::streaming);
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("a fill in doubt: what the table has, and the log has no more, is not too much") {
  harness h;
  h.doubted();
  h.tell({rows_found(4), rows_found(10)});
  h.wait_until_quiet();
  h.tell({rows_found(4), rows_found(10)});
  h.accept(); // a fill
  h.tell_offsets({{10, 11, 12, 13}});
  h.acknowledge();
  for (int i = 0; i < 200 && !h.has<fx_save>() && h.machine->phase() != lane_phase::stopped; ++i) { // never confirmed
    if (h.has<fx_ask>()) {
      const auto fx = h.take<fx_ask>();
      table_answer a;
      a.answered = true;
      a.all_answer = h.heard(fx);
      a.listed = {{{8, 9, 10, 11, 12, 13}}, {{}}};
      for (std::size_t k = 0; k < fx.ranges.size(); ++k)
        a.counts.push_back(rows_found(k == 0 ? (fx.list ? 6 : 12) : 10));
      h.machine->answered(h.now, fx.ticket, a, false);
    }
    h.pass(1'000);
  }
  CHECK(h.machine->phase() != lane_phase::stopped);
  CHECK(h.accept().ticket != 0);
  CHECK(h.saved().open->kind == plan_kind::fill);
}

namespace {

// A plan of ten records of two rows each, in a table with partitions, past the time in which its token is known; a
// restart, and its records are read again; `last_dropped`: by columns under which the last one makes no row.
struct two_rows_each : harness {
  explicit two_rows_each(bool last_dropped = false) {
    config.trust.split = config.several_rows = true;
    config.window_ms = 400'000;
    first_start();
    give_again();
    pass(config.batch.wait_ms);
    accept();
    skip(250'000);
    if (last_dropped) config.fingerprint = 34;
    restart();
    give_again(last_dropped);
    REQUIRE(machine->phase() == lane_phase::settling);
  }
  void give_again(bool last_dropped = false) {
    std::vector<outcome> kinds(10, outcome::row);
    if (last_dropped) kinds.back() = outcome::dropped;
    auto c = std::const_pointer_cast<chunk>(records(0, 0, 10, kinds));
    c->row_counts.assign(10, 2);
    if (last_dropped) c->row_counts.back() = 0;
    give(c);
  }
  // So many rows are there when the table is asked, until it is believed; a fill is planned.
  void found(std::uint64_t rows) {
    tell({{rows, 10, 0, 0, 10}});
    wait_until_quiet();
    tell({{rows, 10, 0, 0, 10}});
    accept();
  }
  // So many rows of each record.
  void list(const std::vector<std::uint64_t>& rows_each) {
    auto fx = take<fx_ask>();
    REQUIRE(fx.list);
    table_answer a;
    a.answered = true;
    range_count c{};
    a.listed = {{{}}, {{}}};
    for (std::size_t i = 0; i < rows_each.size(); ++i) {
      a.listed.all[0].insert(a.listed.all[0].end(), rows_each[i], static_cast<std::int64_t>(i));
      c.rows += rows_each[i];
      c.distinct += rows_each[i] > 0;
    }
    c.either = c.distinct;
    a.counts = {c};
    machine->answered(now, fx.ticket, a, false);
  }
};

} // namespace

TEST_CASE("a record of two rows has landed once both are there") {
  two_rows_each h;
  h.tell({{20, 10, 0, 0, 10}});
  CHECK(h.machine->phase() == lane_phase::streaming);
}

TEST_CASE("a record of which a part of its rows is there is neither done nor filled in") {
  two_rows_each h;
  std::vector<std::uint64_t> rows(10, 1);
  SUBCASE("each record lacks one") {}
  SUBCASE("one lacks one") {
    rows.assign(10, 2);
    rows[3] = 1;
  }
  h.found(std::accumulate(rows.begin(), rows.end(), std::uint64_t{0}));
  h.list(rows);
  CHECK(h.machine->phase() == lane_phase::stopped);
}

TEST_CASE("a row of a record that is dropped by now does not stand for one that another lacks") {
  for (std::uint64_t there : {0, 1, 2}) { // of the dropped one, of which nobody knows how many it made
    CAPTURE(there);
    two_rows_each h(true);
    std::vector<std::uint64_t> rows(10, 2);
    rows[3] = there == 0 ? 2 : 1;
    rows[9] = there;
    h.found(17 + there);
    h.list(rows);
    CHECK((h.machine->phase() == lane_phase::stopped) == (there > 0));
  }
}

TEST_CASE("while an insert may be writing the rest of a record's rows, it is waited for") {
  two_rows_each h;
  h.found(10);
  h.list({2, 2, 2, 2, 2});
  h.unanswered();
  h.pass(1'000);
  h.list({2, 2, 2, 2, 2, 1, 1, 1, 1, 1});
  CHECK(h.machine->phase() != lane_phase::stopped);
  CHECK_FALSE(h.has<fx_insert>());
  h.found(15);
  h.list({2, 2, 2, 2, 2, 1, 1, 1, 1, 1});
  CHECK(h.machine->phase() == lane_phase::stopped);
}

TEST_CASE("the wait is not over while a query with the token runs") {
  harness h;
  h.doubted();
  auto token = h.saved().open->token;
  h.tell({{}, rows_found(10)});
  for (mono_ms passed = 0; passed < whole_wait(h) + 60'000; passed += 5'000) {
    if (h.has<fx_ask>()) {
      auto fx = h.tell({}, true);
      CHECK(fx.running == token);
      CHECK(fx.ranges.empty());
    }
    h.pass(5'000);
  }
  h.tell({}, false);
  CHECK(h.take<fx_ask>().ranges.size() == 2); // the final question, with its control
}

TEST_CASE("attempts of this process that were all answered need no wait") {
  harness h;
  h.first_start();
  h.planned(10);
  h.acknowledge();
  h.planned(10, 10);
  h.rejected(); // 469: nothing was written, but the plan's other attempt may
                // have been
  h.accept();
  h.unanswered();
  h.machine->set_server_started(h.now.server + 10'000); // and with a restart of the server all attempts are over
  h.pass(1'000);
  h.tell({{}, rows_found(10)});
  h.accept();
  CHECK(h.saved().open->kind == plan_kind::batch);
}

TEST_CASE("an attempt may be as much younger as the server took to tell its time") {
  harness h;
  h.first_start();
  h.planned(10);
  h.acknowledge();
  h.planned(10, 10);
  h.rejected();
  h.accept();
  wall_ms after = 0; // the attempt as it is known, the server started
  SUBCASE("it may have been sent after the server was started") { after = 1'500; }
  SUBCASE("it was sent before") { after = 2'500; }
  h.now.server_unsure = 2'000;
  h.unanswered();
  h.now.server_unsure = 0; // answered quickly since
  h.machine->set_server_started(h.now.server + after);
  h.pass(1'000);
  h.tell({{}, rows_found(10)});
  CHECK(h.has<fx_save>() == (after > 2'000)); // planned anew, or waited for
}

TEST_CASE("the start of one server says nothing of an attempt on another") {
  harness h;
  h.config.trust.plain_merge_tree = false; // replicas: several servers of one table
  h.first_start();
  h.planned(10);
  h.acknowledge();
  h.planned(10, 10);
  h.rejected();
  h.accept();
  h.unanswered();
  h.machine->set_server_started(h.now.server + 10'000);
  h.pass(1'000);
  h.tell({{}, rows_found(10)}); // nothing of it is there yet, so it is sent again
  h.pass(1'000);
  h.rejected();
  h.tell({{}, rows_found(10)});
  CHECK_FALSE(h.has<fx_save>());
  CHECK(h.take<fx_ask>().ranges.empty()); // whether a query with the token runs
}

TEST_CASE("no answer is not the answer that nothing is there") {
  harness h;
  h.doubted();
  h.tell({{}, rows_found(10)});
  h.wait_until_quiet();
  h.no_answer();
  CHECK(h.machine->phase() == lane_phase::settling);
  CHECK_FALSE(h.has<fx_save>());
  h.wait(5'000);
  CHECK(h.has<fx_ask>());
}

TEST_CASE("nothing there needs a positive control: the same question must find "
          "what was done before") {
  harness h;
  h.doubted();
  auto first = h.tell({{}, rows_found(10)});
  REQUIRE(first.ranges.size() == 2);
  CHECK(first.ranges[1].last == offset_t{9});
  h.wait_until_quiet();
  SUBCASE("it finds nothing: another server, or rows that this user may not see") {
    h.tell({{}, {}});
    CHECK(h.machine->phase() == lane_phase::stopped);
    CHECK_FALSE(h.has<fx_save>());
  }
  SUBCASE("it finds a dead letter") {
    h.tell({{}, dead_found(1)});
    CHECK(h.has<fx_save>());
  }
}

TEST_CASE("the control reaches as far back as the pipeline wants it to") {
  harness h;
  SUBCASE("some offsets") { h.config.control_offsets = 4; }
  SUBCASE("all of them: it takes few of the records") { h.config.control_offsets = INT64_MAX; }
  h.doubted();
  auto asked = h.tell({{}, rows_found(1)});
  REQUIRE(asked.ranges.size() == 2);
  CHECK(asked.ranges[1].first == offset_t{h.config.control_offsets == 4 ? 6 : 0});
  CHECK(asked.ranges[1].last == offset_t{9});
}

TEST_CASE("no control is asked for where nothing was ever done") {
  harness h;
  h.config.window_ms = 200'000;
  h.first_start();
  h.planned(10);
  CHECK_FALSE(h.saved().ever);
  h.skip(150'000);
  h.restart();
  h.give(records(0, 0, 10));
  h.tell({});
  h.wait_until_quiet();
  h.tell({});
  CHECK(h.has<fx_save>());
}

TEST_CASE("a table whose engine may drop rows cannot say that nothing, or only "
          "a part, is there") {
  for (std::uint64_t found : {0, 4, 10}) {
    harness h;
    h.config.trust.not_there = false;
    h.doubted();
    h.tell({rows_found(found), rows_found(10)});
    if (found < 10) {
      h.wait_until_quiet();
      h.tell({rows_found(found), rows_found(10)});
    }
    CHECK((h.machine->phase() == lane_phase::stopped) == (found < 10));
  }
}

TEST_CASE("a table without provenance cannot be asked: the lane stops") {
  harness h;
  h.config.window_ms = 200'000;
  h.config.trust.there = h.config.trust.not_there = false;
  h.start();
  h.load_absent();
  h.inspect();
  h.answer();
  h.accept();
  h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, true, {});
  h.planned(10);
  h.skip(150'000);
  h.out.clear();
  h.start();
  h.load_stored();
  h.inspect();
  h.answer();
  h.accept();
  h.give(records(0, 0, 10));
  CHECK(h.machine->phase() == lane_phase::stopped);
  CHECK_FALSE(h.has<fx_ask>());
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("dependent views cannot be asked: a doubted plan that landed stops") {
  for (std::uint64_t found : {4, 10}) {
    harness h;
    h.config.trust.dependent_views = true;
    h.doubted();
    h.tell({rows_found(found), rows_found(10)});
    if (h.machine->phase() != lane_phase::stopped) {
      h.wait_until_quiet();
      h.tell({rows_found(found), rows_found(10)});
    }
    CHECK(h.machine->phase() == lane_phase::stopped);
  }
}

TEST_CASE("dependent views do not matter where only dead letters are in doubt") {
  harness h;
  h.config.trust.dependent_views = true;
  h.config.window_ms = 100'000; // good for 50 s
  h.first_start();
  h.give(records(0, 0, 3, {outcome::row, outcome::dead_letter, outcome::row}));
  h.pass(1'000);
  h.accept();
  CHECK_FALSE(h.acknowledge().dead_letters);
  range_count there = rows_found(2);
  SUBCASE("they did not land") {}
  SUBCASE("they did") { there = {2, 2, 1, 1, 3}; }
  const auto settled = [&] {
    return h.saved().partitions[0].next == offset_t{3} || (h.saved().open && h.saved().open->kind == plan_kind::fill);
  };
  for (int i = 0; i < 600 && !settled(); ++i) {
    REQUIRE(h.machine->phase() != lane_phase::stopped);
    if (h.has<fx_save>()) h.accept();
    if (settled()) break;
    if (h.has<fx_insert>()) h.unanswered(); // until its token may be forgotten
    if (h.has<fx_ask>()) h.tell({there});
    h.pass(1'000);
  }
  REQUIRE(settled());
  const bool done = h.saved().partitions[0].next == offset_t{3};
  CHECK(done == (there.dead > 0));
  if (done) return;
  // The fill finds the rows, and sends the dead letter alone; so it is through.
  h.tell_offsets({{0, 2}});
  const auto fill = h.acknowledge();
  CHECK(fill.dead_letters);
  CHECK(fill.what->dead == 1);
  h.tell_offsets({{0, 1, 2}});
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{3});
}

TEST_CASE("more rows than records stop") {
  harness h;
  h.doubted();
  SUBCASE("doubled") { h.tell({{20, 10, 0, 0, 10}, rows_found(10)}); }
  SUBCASE("a row and a dead letter of one record") { h.tell({{10, 10, 1, 1, 10}, rows_found(10)}); }
  CHECK(h.machine->phase() == lane_phase::stopped);
}

TEST_CASE("a plan as dead letter that is planned anew stays one") {
  harness h;
  h.config.window_ms = 200'000;
  h.first_start();
  h.planned(1);
  h.rejected();
  h.accept();
  h.skip(150'000);
  h.restart();
  h.give(records(0, 0, 1));
  h.tell({});
  h.wait_until_quiet();
  h.tell({});
  h.accept();
  CHECK(h.saved().open->as == plan_as::dead_letter);
  CHECK(h.take<fx_insert>().dead_letters);
}
