// Owners and zombies: the lease, pauses, and what becomes of a save when the
// lane is forgotten.
#include "lane_harness.hpp"

using namespace chute;
using namespace chute::test;

TEST_CASE("a request goes out under the lease of the last accepted save, "
          "counted from when it was sent") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  h.pass(1'000);
  auto sent = h.now;
  h.wait(15'000); // the answer takes its time
  h.accept();
  auto fx = h.take<fx_insert>();
  CHECK(fx.lease_mono == sent.mono + h.config.lease_ms);
  CHECK(fx.lease_wall == sent.wall + h.config.lease_ms);
}

TEST_CASE("with half of the lease over the lane saves before it sends") {
  harness h;
  h.first_start();
  h.planned(10);
  h.unanswered();
  h.pass(1'000);
  bool renews = true;
  SUBCASE("the time passes") { h.wait(35'000); }
  SUBCASE("the wall clock runs ahead") { h.now.wall += 35'000; }
  SUBCASE("the wall clock is set back") { h.now.wall -= 60'000; }
  SUBCASE("the other clock runs ahead") { h.now.mono += 15'000, h.pass(5'000), h.now.mono += 15'000, h.pass(1'000); }
  SUBCASE("not yet") { renews = false; }
  h.tell({}); // the look: not there
  REQUIRE(h.has<fx_save>() == renews);
  CHECK(h.has<fx_insert>() != renews);
  if (!renews) return;
  auto sent = h.now;
  auto token = h.saved().open->token;
  h.accept();
  CHECK(h.saved().open->token == token);
  auto fx = h.take<fx_insert>();
  CHECK(fx.what->token == token);
  CHECK(fx.lease_mono == sent.mono + h.config.lease_ms);
}

TEST_CASE("a process that slept forgets all and loads again") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 10));
  h.pass(h.config.session_timeout_ms);
  CHECK_FALSE(h.has<fx_save>());
  CHECK(h.has<fx_load>());
}

TEST_CASE("an acknowledgement that a sleeper finds when it wakes does not count") {
  harness h;
  h.first_start();
  h.planned(10);
  auto fx = h.take<fx_insert>();
  h.skip(h.config.session_timeout_ms);
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, fx.ticket, a);
  CHECK_FALSE(h.has<fx_save>());
  CHECK(h.has<fx_load>());
}

TEST_CASE("a lane that is forgotten with a save unanswered says so, and never "
          "names it again") {
  for (auto answer :
       {std::optional<save_outcome>(), std::optional(save_outcome::unknown), std::optional(save_outcome::not_now)})
    for (bool slept : {false, true}) {
      harness h;
      h.first_start();
      h.give(records(0, 0, 10));
      h.pass(1'000);
      if (answer) h.save_answered(*answer);
      else h.drop<fx_save>(); // on its way
      h.drop<fx_forgotten>();
      if (slept) h.pass(h.config.session_timeout_ms);
      else h.machine->lose(h.now);
      CHECK(h.take<fx_forgotten>().save_outstanding == (answer != save_outcome::not_now));
      h.wait(60'000);
      CHECK_FALSE(h.has<fx_save>());
      CHECK_FALSE(h.has<fx_insert>());
    }
}

TEST_CASE("a revoked lane waits for a definite answer to its last save") {
  harness h;
  h.first_start();
  h.planned(10);
  h.machine->revoke(h.now);
  h.acknowledge();
  h.save_answered(save_outcome::unknown);
  CHECK_FALSE(h.has<fx_released>());
  h.pass(1'000);
  h.accept();
  CHECK(h.has<fx_released>());
}

TEST_CASE("answers and records of a life before are of no consequence") {
  harness h;
  h.first_start();
  auto epoch = h.take_credit({0});
  h.planned(10);
  auto old = h.take<fx_insert>();
  h.machine->lose(h.now);
  h.machine->assign(h.now);
  h.load_stored();
  h.inspect();
  h.answer();
  h.accept();
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, old.ticket, a);
  h.machine->chunk_arrived(h.now, epoch, records(0, 0, 5));
  CHECK_FALSE(h.has<fx_save>());
  CHECK_FALSE(h.has<fx_ask>());
  CHECK(h.machine->phase() == lane_phase::settling);
  CHECK(h.machine->status().buffered_bytes == 0);
}

TEST_CASE("an answer counts for the insert that was asked for, not for the next one") {
  harness h;
  h.first_start();
  h.planned(10);
  const auto old = h.take<fx_insert>();
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, old.ticket, a);
  h.planned(10, 10);
  h.take<fx_insert>();
  h.machine->inserted(h.now, old.ticket, a);
  CHECK(h.machine->insert_under_way());
}
