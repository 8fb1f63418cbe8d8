// Streaming: gathering, planning, saving; being revoked and drained. The
// invariants stand by their numbers.
#include "lane_harness.hpp"

using namespace chute;
using namespace chute::test;

TEST_CASE("1: a batch costs one save and one insert; its acknowledgement rides "
          "on the next plan") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  CHECK_FALSE(h.has<fx_save>());
  h.pass(999);
  CHECK_FALSE(h.has<fx_save>());
  h.pass(1);
  auto plan = h.take<fx_save>();
  CHECK_FALSE(h.has<fx_insert>()); // not before the plan is durable
  h.stored = plan.text;
  h.machine->saved(h.now, plan.ticket, save_outcome::accepted, {});
  CHECK(h.has<fx_insert>());
  h.give(records(0, 10, 5)); // gathers while the batch is on its way
  CHECK_FALSE(h.has<fx_save>());
  h.acknowledge();
  h.collect();
  CHECK_FALSE(h.has<fx_save>());
  h.pass(1000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{10});
  REQUIRE(h.saved().open);
  CHECK(h.saved().open->last[0] == offset_t{14});
  h.acknowledge();
  h.accept(); // nothing gathered: the end is saved by itself
  CHECK(h.saved().partitions[0].next == offset_t{15});
  CHECK(h.machine->counters().rows == 15);
}

TEST_CASE("1: while being revoked no insert is begun, and only a clean first "
          "attempt counts") {
  harness h;
  h.first_start();
  SUBCASE("planned, not sent") {
    h.give(records(0, 0, 10));
    h.pass(1000);
    auto plan = h.take<fx_save>();
    h.machine->revoke(h.now);
    h.machine->saved(h.now, plan.ticket, save_outcome::accepted, {});
    CHECK_FALSE(h.has<fx_insert>());
    CHECK(h.has<fx_released>());
  }
  SUBCASE("acknowledged meanwhile") {
    h.planned(10);
    h.machine->revoke(h.now);
    CHECK_FALSE(h.has<fx_released>());
    h.acknowledge();
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{10});
    CHECK(h.has<fx_released>());
  }
  SUBCASE("not answered") {
    h.planned(10);
    h.machine->revoke(h.now);
    h.unanswered();
    CHECK_FALSE(h.has<fx_save>());
    CHECK(h.has<fx_released>());
  }
  SUBCASE("a repetition is acknowledged") {
    h.planned(10);
    h.unanswered();
    h.pass(1'000);
    h.tell({});
    h.machine->revoke(h.now);
    h.acknowledge();
    CHECK_FALSE(h.has<fx_save>());
    CHECK(h.has<fx_released>());
  }
  SUBCASE("the rows are acknowledged, their dead letters were not sent") {
    h.give(records(0, 0, 3, {outcome::row, outcome::dead_letter}));
    h.pass(1'000);
    h.accept();
    h.machine->revoke(h.now);
    h.acknowledge();
    CHECK_FALSE(h.has<fx_insert>());
    CHECK_FALSE(h.has<fx_save>());
    CHECK(h.has<fx_released>());
  }
}

TEST_CASE("2: each plan has a token of its own") {
  harness h;
  h.first_start();
  h.planned(10);
  auto first = h.saved().open->token;
  CHECK(h.acknowledge().what->token == first);
  h.planned(10, 10);
  CHECK(h.saved().open->token != first);
}

TEST_CASE("4: with new columns reading goes on behind the open plan, which "
          "keeps the columns it was encoded with") {
  harness h;
  h.first_start();
  h.planned(10);
  auto plan = *h.saved().open;
  h.give(records(0, 10, 3)); // gathered with the old ones
  h.out.erase(std::remove_if(h.out.begin(), h.out.end(), [](auto& e) { return !std::holds_alternative<fx_insert>(e); }),
              h.out.end());
  h.machine->columns_changed(h.now, 34);
  CHECK(h.take<fx_read>().from == offset_t{10});
  h.unanswered();
  h.pass(1'000);
  h.tell({});
  auto again = h.take<fx_insert>();
  CHECK(again.what->token == plan.token);
  CHECK(again.what->rows == 10);
}

TEST_CASE("4: what does not follow on what was read is never taken") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  CHECK_THROWS_AS(h.give(records(0, 11, 5)), invariant_violation);
}

TEST_CASE("5: after a refused save the lane sends nothing more and loads again") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  h.pass(1000);
  h.save_answered(save_outcome::refused);
  CHECK_FALSE(h.has<fx_insert>());
  CHECK(h.has<fx_forgotten>());
  h.pass(1000);
  CHECK(h.has<fx_load>());
  CHECK_FALSE(h.has<fx_save>());
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("6: offsets without a record are passed as gaps, inside a batch and "
          "alone") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 2));
  h.give(gap(0, 2, 3));
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().open->last[0] == offset_t{4});
  h.acknowledge();
  h.accept();
  h.give(gap(0, 5, 4));
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{9});
  CHECK_FALSE(h.saved().open);
  CHECK_FALSE(h.has<fx_insert>());
  REQUIRE(h.saved().partitions[0].known); // the last record is still known, further back
  CHECK(h.saved().partitions[0].known->distance == 8);
}

TEST_CASE("6: a batch holds every partition of its lane") {
  harness h(3, 1);
  h.first_start();
  for (int p = 0; p < 3; ++p) h.give(records(p, 0, 4));
  h.pass(1'000);
  h.accept();
  auto fx = h.take<fx_insert>();
  CHECK(fx.what->rows == 12);
  std::map<int, std::size_t> each;
  for (auto& r : fx.what->ranges) each[r.from->partition.value] += r.count;
  CHECK(each == std::map<int, std::size_t>{{0, 4}, {1, 4}, {2, 4}});
}

TEST_CASE("7: what a lane gathers has a bound, in records and in bytes") {
  harness h;
  SUBCASE("records") { h.config.batch.rows = 10; }
  SUBCASE("bytes") { h.config.gather_bytes_max = records(0, 0, 10)->byte_size() * 2; }
  h.first_start();
  std::int64_t next = 0;
  for (int i = 0; i < 50; ++i) { // the insert is under way, and never ends
    bool credit = h.has<fx_take>();
    if (h.has<fx_save>()) h.accept();
    if (!credit) break;
    h.give(records(0, next, 10));
    next += 10;
  }
  CHECK(next > 0);
  CHECK(next <= 80);
}

TEST_CASE("8: what a plan holds does not depend on how its records came grouped") {
  std::optional<plan> first;
  for (int size : {12, 5, 3, 1}) {
    harness h(2, 1);
    h.first_start();
    for (int at = 0; at < 12; at += size)
      for (int p : {0, 1}) h.give(records(p, at, std::min(size, 12 - at)));
    h.pass(1'000);
    h.accept();
    auto now = *h.saved().open;
    if (!first) first = now;
    CHECK(now.sum == first->sum);
    CHECK(now.last == first->last);
  }
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
  CHECK(again.version == plan.version);
}

TEST_CASE("a save that cannot be made now is made a little later") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  h.pass(1000);
  h.save_answered(save_outcome::not_now);
  CHECK_FALSE(h.has<fx_insert>());
  h.pass(1000);
  h.accept();
  CHECK(h.has<fx_insert>());
}

TEST_CASE("each save expects the version before it, and names every partition "
          "with its next") {
  harness h(2, 1);
  h.first_start();
  CHECK(h.saved().version == 1);
  h.give(records(1, 0, 10));
  h.pass(1'000);
  auto plan = h.accept();
  CHECK(plan.expected == 1);
  CHECK(plan.version == 2);
  h.acknowledge();
  auto done = h.accept();
  CHECK(done.expected == 2);
  CHECK(done.offsets == std::vector<std::pair<partition_id, offset_t>>{{{0}, {0}}, {{1}, {10}}});
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

TEST_CASE("a paused lane plans nothing, but saves what is done") {
  harness h;
  h.first_start();
  h.planned(10);
  h.give(records(0, 10, 5));
  h.machine->pause(true);
  h.acknowledge();
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{10});
  CHECK_FALSE(h.saved().open);
  h.wait(20'000);
  CHECK_FALSE(h.has<fx_save>());
  h.machine->pause(false);
  h.pass(1'000);
  CHECK(h.has<fx_save>());
}

TEST_CASE("a drain that leaves a plan open says so") {
  harness h;
  h.first_start();
  h.planned(10);
  SUBCASE("one of another life, whose insert had no answer yet") {
    h.restart();
    h.give(records(0, 0, 10));
    h.pass(1'000);
    if (h.has<fx_ask>()) h.tell({});
    h.unanswered();
  }
  SUBCASE("one that nobody works at, because the process stood still") {
    h.skip(10 * h.config.session_timeout_ms);
    h.pass(1'000);
    CHECK(h.machine->phase() == lane_phase::loading);
  }
  h.machine->drain(h.now);
  const auto r = h.take<fx_released>();
  CHECK_FALSE(r.drained);
  CHECK(r.left_open);
}

TEST_CASE("a drain before anything was planned leaves nothing open") {
  harness h;
  h.start();
  h.load_absent();
  h.machine->drain(h.now);
  CHECK_FALSE(h.take<fx_released>().left_open);
}

TEST_CASE("a paused lane drains: what it gathered is left, what was sent is saved") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  h.machine->pause(true);
  h.machine->drain(h.now);
  CHECK(h.take<fx_released>().drained);
  CHECK_FALSE(h.has<fx_save>());

  harness sent;
  sent.first_start();
  sent.planned(10);
  sent.give(records(0, 10, 5));
  sent.machine->pause(true);
  sent.machine->drain(sent.now);
  CHECK_FALSE(sent.has<fx_released>());
  sent.acknowledge();
  sent.accept();
  CHECK(sent.saved().partitions[0].next == offset_t{10});
  CHECK(sent.take<fx_released>().drained);

  harness later; // paused only while it drains
  later.first_start();
  later.planned(10);
  later.give(records(0, 10, 5));
  later.machine->drain(later.now);
  later.machine->pause(true);
  later.acknowledge();
  later.accept();
  CHECK(later.take<fx_released>().drained);
}

TEST_CASE("a chunk behind the end, or behind a record that stops the lane, was asked for in vain") {
  harness h;
  h.config.until = {7};
  h.first_start();
  h.give(records(0, 0, 10));
  h.give(records(0, 10, 10));
  h.accept();
  CHECK(h.saved().open->last[0] == offset_t{6});
  h.acknowledge();
  h.accept();
  CHECK(h.take<fx_released>().drained);

  harness stopping;
  stopping.first_start();
  stopping.give(records(0, 0, 4, {outcome::row, outcome::row, outcome::stop, outcome::row}));
  stopping.give(records(0, 4, 10));
  stopping.accept();
  CHECK(stopping.saved().open->last[0] == offset_t{1});
  stopping.acknowledge();
  stopping.accept();
  CHECK(stopping.take<fx_stopped>().reason.find("t/0/2: broken") != std::string::npos);
}

TEST_CASE("--until-end stops exactly there") {
  harness h;
  h.config.until = {7};
  h.first_start();
  h.give(records(0, 0, 10));
  h.accept();
  CHECK(h.saved().open->last[0] == offset_t{6});
  h.acknowledge();
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{7});
  CHECK(h.take<fx_released>().drained);
}

TEST_CASE("--until-end: a plan that another process left open beyond that end is built and settled, and it ends") {
  for (const std::int64_t end : {5, 15, 20}) { // before the plan of 10 to 19, in it, at its end
    CAPTURE(end);
    harness h;
    h.first_start();
    h.planned(10);
    h.acknowledge();
    h.planned(10, 10);
    h.config.until = {end};
    h.restart();
    h.give(records(0, 10, 15));
    CHECK(h.machine->phase() == lane_phase::settling);
    h.tell({rows_found(10)});
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{20});
    CHECK(h.take<fx_released>().drained);
  }
}

TEST_CASE("on_bad_record: stop asks for no more of the lane's other partitions") {
  harness h(2);
  h.first_start();
  h.give(records(0, 0, 4, {outcome::row, outcome::stop, outcome::row, outcome::row}));
  const auto epoch = h.take_credit({1});
  h.drop<fx_take>(); // what was asked for of the other before
  h.accept();
  h.machine->chunk_arrived(h.now, epoch, records(1, 0, 5));
  h.acknowledge();
  h.accept();
  h.acknowledge();
  CHECK_FALSE(h.has<fx_take>());
  h.accept();
  CHECK(h.machine->phase() == lane_phase::stopped);
}

TEST_CASE("on_bad_record: stop delivers all before the bad record, then stops "
          "by name") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 4, {outcome::row, outcome::row, outcome::stop, outcome::row}));
  h.accept();
  CHECK(h.saved().open->last[0] == offset_t{1});
  h.acknowledge();
  h.accept();
  CHECK(h.machine->phase() == lane_phase::stopped);
  auto reason = h.take<fx_stopped>().reason;
  CHECK(reason.find("t/0/2: broken") != std::string::npos);
  CHECK(reason.find("--topic t --partition 0 --to-offset 3`") != std::string::npos);
}

TEST_CASE("on_bad_record: stop names no move where the table holds records behind it: it would send them again") {
  harness h;
  h.first_start();
  h.planned(10);
  h.acknowledge();
  h.accept();
  for (const std::int64_t to : {12, 50}) {
    auto r = h.saved();
    r.open.reset();
    r.partitions[0].fill_to = offset_t{to};
    h.stored = encode_record(r);
    h.restart();
    h.give(records(0, 10, 4, {outcome::stop}));
    CHECK(h.machine->phase() == lane_phase::stopped);
    const auto reason = h.take<fx_stopped>().reason;
    CHECK(reason.find("--to-offset") == std::string::npos);
    CHECK(reason.find("on_bad_record: dead_letter, which keeps this record") != std::string::npos);
  }
}

TEST_CASE("at_least_once makes no plans") {
  harness h;
  h.config.delivery = delivery_mode::at_least_once;
  h.first_start();
  h.give(records(0, 0, 10));
  const auto claimed = h.now.mono;
  h.pass(1000);
  CHECK_FALSE(h.has<fx_save>());
  SUBCASE("what is done is saved") {
    CHECK(h.acknowledge().lease_mono == claimed + h.config.lease_ms);
    h.accept();
    CHECK_FALSE(h.saved().open);
    CHECK(h.saved().partitions[0].next == offset_t{10});
  }
  SUBCASE("what fails for long is sent again only if the lane is its still: exactly_once waits for what was sent") {
    while (h.now.mono < claimed + h.config.lease_ms && !h.has<fx_save>()) {
      if (h.has<fx_insert>()) h.unanswered();
      h.pass(1'000);
    }
    CHECK_FALSE(h.has<fx_insert>());
    h.save_answered(save_outcome::refused);
    CHECK(h.machine->phase() == lane_phase::loading);
    CHECK_FALSE(h.has<fx_insert>());
  }
}

TEST_CASE(
    "at_least_once: what is rejected where nothing tells whether it landed, or too big again and again, is halved") {
  harness h;
  h.config.delivery = delivery_mode::at_least_once;
  h.config.trust.dependent_views = true;
  h.first_start();
  h.give(records(0, 0, 10));
  h.pass(1000);
  SUBCASE("rejected") { h.rejected(); }
  SUBCASE("too big") {
    for (int i = 0; i < 3; ++i) {
      h.too_big();
      h.pass(1'000);
    }
  }
  CHECK(h.take<fx_insert>().what->records == 5);
}

TEST_CASE("at_least_once: a server short of memory costs no record") {
  harness h;
  h.config.delivery = delivery_mode::at_least_once;
  h.config.on_bad_record = bad_record_policy::skip;
  h.first_start();
  h.give(records(0, 0, 4));
  h.pass(1000);
  for (int i = 0; i < 20; ++i) {
    h.too_big();
    for (int k = 0; k < 60 && !h.has<fx_insert>(); ++k)
      if (h.has<fx_save>()) h.accept(); // the lane is its still
      else h.pass(1'000);
    REQUIRE(h.has<fx_insert>());
  }
  CHECK(h.acknowledge().what->records == 1);
  CHECK(h.machine->counters().dropped == 0);
}

TEST_CASE("a full lane asks for more as soon as it has planned what it holds") {
  harness h;
  h.config.batch.rows = 10;
  h.first_start();
  for (int i = 0; i < 2; ++i) h.give(records(0, 10 * i, 10));
  h.accept();
  for (int i = 2; i < 20 && h.has<fx_take>(); ++i) h.give(records(0, 10 * i, 10));
  REQUIRE_FALSE(h.has<fx_take>()); // full, with a batch on its way
  for (int i = 0; i < 2; ++i) {
    h.acknowledge();
    h.accept();
    CHECK(h.has<fx_insert>());
  }
  CHECK(h.has<fx_take>());
}

TEST_CASE("what was acknowledged is saved with the next plan, or alone after a while") {
  harness h;
  h.config.save_rest_ms = 800;
  h.first_start();
  h.planned(10);
  h.acknowledge();
  CHECK_FALSE(h.has<fx_save>());
  CHECK(h.machine->status().partitions.at(0).next == offset_t{10});
  SUBCASE("records come") {
    h.pass(500);
    h.give(records(0, 10, 10));
    CHECK(h.machine->next_wake() == h.now.mono + h.config.batch.wait_ms);
    h.pass(600);
    CHECK_FALSE(h.has<fx_save>());
    CHECK(h.machine->next_wake() == h.now.mono + 400);
    h.pass(400);
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{10});
    CHECK(h.saved().open->last[0] == offset_t{19});
  }
  SUBCASE("none come") {
    CHECK(h.machine->next_wake() == h.now.mono + 800);
    h.pass(799);
    CHECK_FALSE(h.has<fx_save>());
    h.pass(1);
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{10});
    CHECK_FALSE(h.saved().open);
  }
  SUBCASE("the lane is to end") {
    h.machine->drain(h.now);
    CHECK(h.has<fx_save>());
  }
  SUBCASE("it is revoked") {
    h.machine->revoke(h.now);
    CHECK(h.has<fx_save>());
  }
  SUBCASE("it is paused") {
    h.machine->pause(true);
    h.pass(1);
    CHECK(h.has<fx_save>());
  }
  SUBCASE("it is lost: the next owner finds the plan, and looks") {
    h.restart();
    h.give(records(0, 0, 10));
    h.answer(10);
    h.pass(800);
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{10});
  }
}

TEST_CASE("an insert, and a save, that have no answer for long are what the lane waits for") {
  harness h;
  h.first_start();
  const auto reason = [&] { return h.machine->status().waiting_for; };
  h.planned(10);
  h.wait(15'000);
  CHECK(reason() == "ClickHouse, which has not answered an insert for 15 s");
  h.acknowledge();
  CHECK(reason().empty());
  h.wait(1'000);
  CHECK(h.has<fx_save>());
  CHECK(reason().empty());
  h.wait(15'000);
  CHECK(reason() == "a save of its state, which has no answer for 15 s");
  h.accept();
  CHECK(reason().empty());
}

TEST_CASE("a look at the log that takes long is what the lane waits for") {
  harness h;
  h.config.unseen_limit_ms = 1'000;
  h.first_start();
  const auto reason = [&] { return h.machine->status().waiting_for; };
  h.give(records(0, 0, 5));
  h.pass(2'000); // nobody saw it
  REQUIRE(h.machine->looks_at_log());
  CHECK(reason().empty());
  for (int i = 0; i < 5; ++i) h.pass(500);
  CHECK(reason() == "the log, which is looked at before anything more is planned");
  h.inspect();
  CHECK(reason().empty());
}

TEST_CASE("a reason that somebody can mend is not hidden by what merely has no answer yet") {
  harness h;
  h.first_start();
  const auto epoch = h.take<fx_read>().epoch;
  h.planned(10);
  h.machine->read_failed(h.now, epoch, {0}, read_error::other, "no leader");
  h.wait(30'000);
  CHECK(h.machine->status().waiting_for == "Kafka: no leader");
}

TEST_CASE("an insert tells for which columns its rows were made") {
  harness h;
  h.first_start();
  h.planned(10);
  const auto first = h.take<fx_insert>();
  CHECK(first.made_for == 33);
  h.machine->columns_changed(h.now, 44);
  insert_answer a;
  a.what = insert_answer::verdict::retry;
  a.never_sent = a.answered = true;
  h.machine->inserted(h.now, first.ticket, a);
  h.pass(1'000);
  CHECK(h.take<fx_insert>().made_for == 33);
}
