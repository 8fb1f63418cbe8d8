#include "lane_harness.hpp"

using namespace chute;
using namespace chute::test;

TEST_CASE("a first start saves its record and its row before it reads") {
  harness h;
  h.start();
  h.load_absent();
  CHECK_FALSE(h.has<fx_read>());
  h.inspect();
  h.answer();
  auto first = h.accept();
  CHECK(first.expected == 0);
  CHECK(first.version == 1);
  CHECK_FALSE(h.has<fx_read>());
  h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, true, {});
  CHECK(h.has<fx_read>());
  CHECK(h.machine->phase() == lane_phase::streaming);
}

TEST_CASE("a batch costs one save and one insert; its acknowledgement rides on the next plan") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  CHECK_FALSE(h.has<fx_save>());
  h.pass(999);
  CHECK_FALSE(h.has<fx_save>());
  h.pass(1);
  auto plan = h.take<fx_save>();
  CHECK_FALSE(h.has<fx_insert>()); // 1: not before the plan is durable
  h.stored = plan.text;
  h.machine->saved(h.now, plan.ticket, save_outcome::accepted, {});
  CHECK(h.has<fx_insert>());
  h.give(records(0, 10, 5)); // gathers while the batch is on its way
  CHECK_FALSE(h.has<fx_save>());
  h.acknowledge();
  h.collect();
  CHECK_FALSE(h.has<fx_save>());
  h.pass(1000);
  auto next = h.accept();
  auto r = decode_record(next.text);
  REQUIRE(r.ok());
  CHECK(r->partitions[0].next == offset_t{10});
  REQUIRE(r->open);
  CHECK(r->open->last[0] == offset_t{14});
  h.acknowledge();
  auto done = h.accept(); // nothing gathered: the end is saved by itself
  CHECK(decode_record(done.text)->partitions[0].next == offset_t{15});
  CHECK(h.machine->counters().rows == 15);
}

TEST_CASE("a plan that was loaded is read again, looked for, and sent under its token") {
  harness h;
  h.first_start();
  h.planned(10);
  auto token = decode_record(h.stored)->open->token;
  h.restart();
  CHECK(h.machine->phase() == lane_phase::settling);
  h.give(records(0, 0, 4)); // another grouping
  CHECK_FALSE(h.has<fx_ask>());
  h.give(records(0, 4, 9));
  h.answer(0); // not there
  auto again = h.take<fx_insert>();
  CHECK(again.what->token == token);
  CHECK(again.what->rows == 10);
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, again.ticket, a);
  h.answer(10); // a repetition counts once the table confirms it
  CHECK(h.machine->phase() == lane_phase::streaming);
  h.pass(1000);
  CHECK(decode_record(h.accept().text)->partitions[0].next == offset_t{10});
}

TEST_CASE("a plan whose rows are all there is done without another insert") {
  harness h;
  h.first_start();
  h.planned(10);
  h.restart();
  h.give(records(0, 0, 10));
  h.answer(10);
  CHECK_FALSE(h.has<fx_insert>());
  CHECK(h.machine->phase() == lane_phase::streaming);
}

TEST_CASE("a rebuild that differs comes from another log and stops") {
  harness h;
  h.first_start();
  h.planned(10);
  h.restart();
  h.give(records(0, 0, 10, {}, 99));
  CHECK(h.machine->phase() == lane_phase::stopped);
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("after a refused save the lane sends nothing more and loads again") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  h.pass(1000);
  auto plan = h.take<fx_save>();
  h.machine->saved(h.now, plan.ticket, save_outcome::refused, "version 7 is there");
  CHECK_FALSE(h.has<fx_insert>());
  h.pass(1000);
  CHECK(h.has<fx_load>());
}

TEST_CASE("an unknown save is repeated word for word before anything else") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  h.pass(1000);
  auto plan = h.take<fx_save>();
  h.machine->saved(h.now, plan.ticket, save_outcome::unknown, "timed out");
  CHECK_FALSE(h.has<fx_insert>());
  h.pass(1000);
  auto again = h.take<fx_save>();
  CHECK(again.text == plan.text);
  CHECK(again.expected == plan.expected);
}

TEST_CASE("a rejected batch is planned anew in halves, down to one dead letter") {
  harness h;
  h.first_start();
  h.planned(4); // record 2 is the one
  auto first = decode_record(h.stored)->open->token;
  h.rejected();
  h.accept();
  CHECK(decode_record(h.stored)->open->token != first);
  CHECK(decode_record(h.stored)->open->last[0] == offset_t{1});
  h.acknowledge(); // 0, 1
  h.accept();      // 2, 3: the cap grows again
  h.rejected();
  h.accept();
  CHECK(decode_record(h.stored)->open->last[0] == offset_t{2});
  h.rejected();
  h.accept();
  CHECK(decode_record(h.stored)->open->as == plan_as::dead_letter);
  auto dead = h.take<fx_insert>();
  CHECK(dead.dead_letters);
  CHECK(dead.what->dead == 1);
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, dead.ticket, a);
  h.accept();
  CHECK(decode_record(h.stored)->partitions[0].next == offset_t{3});
  h.acknowledge(); // 3
  h.accept();
  CHECK(decode_record(h.stored)->partitions[0].next == offset_t{4});
  CHECK(h.machine->counters().dead_letters == 1);
}

TEST_CASE("dead letters are sent after the rows were acknowledged") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 3, {outcome::row, outcome::dead_letter, outcome::row}));
  h.pass(1000);
  h.accept();
  auto rows = h.take<fx_insert>();
  CHECK_FALSE(rows.dead_letters);
  CHECK_FALSE(h.has<fx_insert>());
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, rows.ticket, a);
  CHECK(h.take<fx_insert>().dead_letters);
}

TEST_CASE("while being revoked no insert is begun, and only a clean first attempt counts") {
  SUBCASE("planned, not sent") {
    harness h;
    h.first_start();
    h.give(records(0, 0, 10));
    h.pass(1000);
    auto plan = h.take<fx_save>();
    h.machine->revoke(h.now);
    h.machine->saved(h.now, plan.ticket, save_outcome::accepted, {});
    CHECK_FALSE(h.has<fx_insert>());
    CHECK(h.has<fx_released>());
  }
  SUBCASE("acknowledged meanwhile") {
    harness h;
    h.first_start();
    h.planned(10);
    h.machine->revoke(h.now);
    CHECK_FALSE(h.has<fx_released>());
    h.acknowledge();
    CHECK(decode_record(h.accept().text)->partitions[0].next == offset_t{10});
    CHECK(h.has<fx_released>());
  }
  SUBCASE("not answered") {
    harness h;
    h.first_start();
    h.planned(10);
    h.machine->revoke(h.now);
    h.unanswered();
    CHECK_FALSE(h.has<fx_save>());
    CHECK(h.has<fx_released>());
  }
}

TEST_CASE("a drain finishes what was gathered, then lets go") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  h.machine->drain(h.now);
  h.accept();
  h.acknowledge();
  h.accept();
  CHECK(h.take<fx_released>().drained);
}

TEST_CASE("--until-end stops exactly there") {
  harness h;
  h.config.until = {7};
  h.first_start();
  h.give(records(0, 0, 10));
  CHECK(decode_record(h.accept().text)->open->last[0] == offset_t{6});
  h.acknowledge();
  CHECK(decode_record(h.accept().text)->partitions[0].next == offset_t{7});
  CHECK(h.take<fx_released>().drained);
}

TEST_CASE("a process that slept forgets all and loads again") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  h.pass(h.config.session_timeout_ms);
  CHECK_FALSE(h.has<fx_save>());
  CHECK(h.has<fx_load>());
}

TEST_CASE("on_bad_record: stop delivers all before the bad record, then stops by name") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 4, {outcome::row, outcome::row, outcome::stop, outcome::row}));
  CHECK(decode_record(h.accept().text)->open->last[0] == offset_t{1});
  h.acknowledge();
  h.accept();
  CHECK(h.machine->phase() == lane_phase::stopped);
  CHECK(h.take<fx_stopped>().reason.find("t/0/2: broken") != std::string::npos);
}

TEST_CASE("at_least_once makes no plans") {
  harness h;
  h.config.delivery = delivery_mode::at_least_once;
  h.start();
  h.load_absent();
  h.inspect();
  h.accept();
  h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, true, {});
  h.give(records(0, 0, 10));
  h.pass(1000);
  CHECK_FALSE(h.has<fx_save>());
  h.acknowledge();
  auto r = decode_record(h.accept().text);
  CHECK_FALSE(r->open);
  CHECK(r->partitions[0].next == offset_t{10});
}

TEST_CASE("past good_until a repetition is a doubt: nothing there is planned anew, under a new token") {
  harness h;
  h.config.window_ms = 200'000; // good for 100 s
  h.first_start();
  h.planned(10);
  auto token = decode_record(h.stored)->open->token;
  h.unanswered();
  for (int i = 0; i < 400 && !(h.machine->phase() == lane_phase::stopped); ++i) {
    h.pass(1000);
    if (h.has<fx_ask>()) h.answer(0);
    if (h.has<fx_insert>()) h.unanswered();
    if (h.has<fx_save>()) h.accept();
    if (auto r = decode_record(h.stored); r->open && r->open->token != token) break;
  }
  CHECK(decode_record(h.stored)->open->token != token);
  CHECK(decode_record(h.stored)->open->last[0] == offset_t{9});
}
