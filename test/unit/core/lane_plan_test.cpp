// What may become of a plan, while its token settles it. The rows of the table
// in docs/guarantees.md.
#include "lane_harness.hpp"

using namespace chute;
using namespace chute::test;

TEST_CASE("acknowledged at the first attempt: done") {
  harness h;
  h.first_start();
  h.planned(10);
  h.acknowledge();
  CHECK_FALSE(h.has<fx_ask>());
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{10});
  CHECK_FALSE(h.saved().open);
  CHECK(h.saved().ever);
}

TEST_CASE("without a reply it is not done: the table is looked at, then the "
          "batch is sent again under its token") {
  harness h;
  h.first_start();
  h.planned(10);
  auto first = h.take<fx_insert>();
  insert_answer lost;
  lost.message = "no reply";
  h.machine->inserted(h.now, first.ticket, lost);
  CHECK_FALSE(h.has<fx_save>());
  CHECK_FALSE(h.has<fx_insert>());
  h.pass(1'000);
  CHECK_FALSE(h.has<fx_insert>());
  auto look = h.tell({rows_found(4)}); // a part is not all of it
  REQUIRE(look.ranges.size() == 1);
  CHECK(look.ranges[0].first == offset_t{0});
  CHECK(look.ranges[0].last == offset_t{9});
  CHECK_FALSE(h.has<fx_save>());
  auto again = h.take<fx_insert>();
  CHECK(again.what->token == first.what->token);
  CHECK(again.what->rows == 10);
}

TEST_CASE("a repetition counts once the table confirms it, and is a doubt if "
          "it does not in time") {
  harness h;
  h.first_start();
  h.planned(10);
  h.unanswered();
  h.pass(1'000);
  h.tell({});
  h.acknowledge();
  h.tell({}); // not yet
  CHECK_FALSE(h.has<fx_save>());
  SUBCASE("confirmed") {
    h.pass(1'000);
    h.tell({rows_found(10)});
    h.pass(1'000);
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{10});
  }
  SUBCASE("not confirmed") {
    for (int i = 0; i < 200 && h.machine->status().waiting_for.find("in doubt") == std::string::npos; ++i) {
      h.pass(1'000);
      if (h.has<fx_ask>()) h.tell({});
    }
    CHECK(h.machine->status().waiting_for.find("in doubt") != std::string::npos);
    CHECK_FALSE(h.has<fx_insert>());
    CHECK_FALSE(h.has<fx_save>());
  }
}

TEST_CASE("a plan that was loaded is read again, looked for, and sent under "
          "its token") {
  harness h;
  h.first_start();
  h.planned(10);
  auto token = h.saved().open->token;
  h.restart();
  CHECK(h.machine->phase() == lane_phase::settling);
  h.give(records(0, 0, 4)); // another grouping
  CHECK_FALSE(h.has<fx_ask>());
  h.give(records(0, 4, 9));
  h.answer(0); // not there
  auto again = h.take<fx_insert>();
  CHECK(again.what->token == token);
  CHECK(again.what->rows == 10);
  std::size_t records = 0;
  for (auto& r : again.what->ranges) records += r.count;
  CHECK(records == 10);
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, again.ticket, a);
  CHECK(h.machine->phase() == lane_phase::settling);
  h.answer(10); // a repetition counts once the table confirms it
  CHECK(h.machine->phase() == lane_phase::streaming);
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{10});
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

TEST_CASE("with dependent views or a quorum it is sent again though its rows "
          "are there") {
  harness h;
  SUBCASE("views") { h.config.trust.dependent_views = true; }
  SUBCASE("quorum") { h.config.trust.quorum = true; }
  h.first_start();
  h.planned(10);
  h.restart();
  h.give(records(0, 0, 10));
  h.answer(10);
  CHECK(h.has<fx_insert>());
}

TEST_CASE("what was made of the table while the engine runs counts: its answer tells") {
  harness h;
  h.first_start();
  h.machine->set_blocks({1'000}, h.now);
  h.planned(10);
  h.unanswered();
  h.pass(1'000);
  h.standing = table_standing{h.config.trust, h.config.window_ms, h.config.window_ids};
  SUBCASE("nothing") {
    h.answer(10);
    CHECK_FALSE(h.has<fx_insert>());
    CHECK_FALSE(h.machine->status().waiting_for.find("doubt") != std::string::npos);
  }
  SUBCASE("a view, which may lack what the table has: it is sent again") {
    h.standing->trust.dependent_views = true;
    h.answer(10);
    CHECK(h.has<fx_insert>());
  }
  SUBCASE("a view whose target has seen much already: what was counted before did not count that") {
    h.standing->trust.dependent_views = true;
    h.blocks = {1'010 + 50'000, 50'000};
    h.answer(10);
    CHECK(h.has<fx_insert>());
  }
  SUBCASE("a view whose target saw much since: a doubt") {
    h.standing->trust.dependent_views = true;
    h.blocks = {1'010 + 50'000, 40'000};
    h.answer(10);
    CHECK_FALSE(h.has<fx_insert>());
  }
  SUBCASE("a view whose target knows an insert for a second: a doubt") {
    h.standing->trust.dependent_views = true;
    h.standing->window_ms = 2'000;
    h.answer(10);
    CHECK_FALSE(h.has<fx_insert>());
    h.answer(10);
    CHECK(h.machine->phase() == lane_phase::stopped);
    CHECK(h.take<fx_stopped>().reason.find("its deduplication token may be forgotten by now") != std::string::npos);
  }
  SUBCASE("a TTL: none there is not believed") {
    h.standing->trust.not_there = false;
    h.standing->window_ms = 2'000;
    h.answer(0);
    h.answer(0);
    h.wait_until_quiet();
    h.answer(0);
    CHECK(h.machine->phase() == lane_phase::stopped);
    CHECK(h.take<fx_stopped>().reason.find("this table's engine may have dropped rows") != std::string::npos);
  }
}

TEST_CASE("where the table is not believed it is sent again, and the "
          "acknowledgement must do") {
  harness h;
  h.config.trust.there = h.config.trust.not_there = false;
  h.start();
  h.load_absent();
  h.inspect();
  CHECK(h.answer().ranges.empty()); // how many inserts it has seen, and nothing of rows
  h.accept();
  h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, true, {});
  h.planned(10);
  h.unanswered();
  h.pass(1'000);
  h.tell_running(false);
  h.acknowledge();
  CHECK_FALSE(h.has<fx_ask>());
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{10});
}

TEST_CASE("more rows than records stop the lane") {
  harness h;
  h.first_start();
  h.planned(10);
  h.restart();
  h.give(records(0, 0, 10));
  h.tell({rows_found(11)});
  CHECK(h.machine->phase() == lane_phase::stopped);
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("past good_until nothing is sent again: it is a doubt") {
  harness h;
  h.config.window_ms = 200'000; // good for 100 s
  h.first_start();
  h.planned(10);
  auto token = h.saved().open->token;
  h.skip(110'000);
  h.restart();
  h.give(records(0, 0, 10));
  CHECK(h.take<fx_ask>().running == token); // it asks as in doubt, and does not merely look
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("a first send may come later than good_until; only repetitions may not") {
  harness h;
  h.config.window_ms = 20'000; // good for 10 s
  h.first_start();
  h.planned(10);
  insert_answer refused;
  refused.never_sent = true;
  h.machine->inserted(h.now, h.take<fx_insert>().ticket, refused);
  h.wait(15'000);
  CHECK_FALSE(h.has<fx_ask>());
  CHECK(h.has<fx_insert>());
}

TEST_CASE("half of the window in inserts used up is a doubt, though its time "
          "is not over") {
  harness h;
  h.config.window_ids = 100;
  h.first_start();
  h.machine->set_blocks({1'000}, h.now);
  h.planned(10);
  h.unanswered();
  std::uint64_t seen = 1'000;
  bool doubt = false;
  SUBCASE("used up") { seen += 50, doubt = true; }
  SUBCASE("almost") { seen += 49; }
  SUBCASE("the count fell: another table") { seen -= 1, doubt = true; }
  h.machine->set_blocks({seen}, h.now);
  h.pass(1'000);
  CHECK(h.take<fx_ask>().running.has_value() == doubt);
}

TEST_CASE("a batch is not sent again while an attempt is seen on the server") {
  harness h;
  bool loaded = false;
  SUBCASE("of this process") {}
  SUBCASE("of another life") { loaded = true; }
  SUBCASE("and the table is not asked") { h.config.trust.there = h.config.trust.not_there = false; }
  SUBCASE("nor of another life") { h.config.trust.there = h.config.trust.not_there = false, loaded = true; }
  const bool asked = h.config.trust.there;
  const auto begin = [&] {
    h.start();
    if (loaded && !h.stored.empty()) h.load_stored();
    else h.load_absent();
    h.inspect();
    CHECK(h.answer().ranges.empty() == !asked);
    h.accept();
  };
  begin();
  h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, true, {});
  h.planned(10);
  const auto token = h.saved().open->token;
  if (loaded) {
    h.out.clear();
    begin();
    h.give(records(0, 0, 10));
  } else {
    h.unanswered();
    h.pass(1'000);
  }
  for (int i = 0; i < 5; ++i) {
    CHECK_FALSE(h.has<fx_insert>());
    const auto fx = h.tell({}, true);
    CHECK(fx.ranges.empty() == !asked);
    CHECK(fx.still == token);
    CHECK(h.machine->status().waiting_for.find("which still runs") != std::string::npos);
    h.pass(2'000);
  }
  h.tell({}, false);
  CHECK(h.take<fx_insert>().what->token == token);
}

TEST_CASE("a look that took long is not gone through again for the save that renews the lease") {
  harness h;
  h.first_start();
  h.planned(10);
  h.unanswered();
  h.pass(1'000);
  h.wait(35'000); // half of the lease and some
  h.tell({});
  h.accept(); // the lease
  CHECK_FALSE(h.has<fx_ask>());
  CHECK(h.has<fx_insert>());
}

TEST_CASE("whether an attempt runs is not asked where all were answered") {
  harness h;
  h.first_start();
  h.planned(10);
  insert_answer a;
  a.what = insert_answer::verdict::retry;
  a.answered = true;
  a.code = 252;
  h.machine->inserted(h.now, h.take<fx_insert>().ticket, a);
  h.pass(1'000);
  CHECK_FALSE(h.tell({}).still.has_value());
  CHECK(h.has<fx_insert>());
}

TEST_CASE("a count of inserts that is old is asked for before a repetition rests on it") {
  harness h;
  h.config.window_ids = 100;
  h.config.trust.there = h.config.trust.not_there = false; // nothing else would tell
  h.start();
  h.load_absent();
  h.inspect();
  h.answer();
  h.accept();
  h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, true, {});
  h.machine->set_blocks({1'000}, h.now);
  h.planned(10);
  const auto count = [&](std::uint64_t blocks) {
    auto fx = h.take<fx_ask>();
    CHECK(fx.ranges.empty());
    CHECK_FALSE(fx.running.has_value());
    table_answer a;
    a.answered = true;
    a.blocks = {blocks};
    h.machine->answered(h.now, fx.ticket, a, false);
  };
  SUBCASE("of this process") {
    h.unanswered();
    h.pass(8'000);
    CHECK_FALSE(h.has<fx_insert>());
    h.no_answer();
    h.pass(5'000);
    CHECK_FALSE(h.has<fx_insert>());
    SUBCASE("the token is known still") {
      count(1'049);
      h.tell_running(false);
      CHECK(h.has<fx_insert>());
    }
    SUBCASE("it may be forgotten") {
      count(1'050);
      CHECK_FALSE(h.has<fx_insert>());
    }
    SUBCASE("the server answers, and does not tell") {
      for (int i = 0; i < 200 && h.machine->phase() != lane_phase::stopped; ++i) {
        CHECK_FALSE(h.has<fx_insert>());
        if (h.has<fx_save>()) h.accept();
        if (h.has<fx_ask>()) count(0);
        h.pass(1'000);
      }
      CHECK(h.take<fx_stopped>().reason.find("1000 inserts when it was made, and 0 now") != std::string::npos);
    }
  }
  SUBCASE("of another life: this one asks as it begins, and again where that was long ago") {
    h.out.clear();
    h.start();
    h.load_stored();
    h.inspect();
    count(1'001);
    h.accept();
    SUBCASE("long ago") {
      h.pass(7'000);
      h.give(records(0, 0, 10));
      CHECK_FALSE(h.has<fx_insert>());
      count(1'002);
    }
    SUBCASE("just now") { h.give(records(0, 0, 10)); }
    h.tell_running(false);
    CHECK(h.has<fx_insert>());
  }
}

TEST_CASE("another mapping or other columns are a doubt") {
  harness h;
  h.first_start();
  h.planned(10);
  h.config.fingerprint = 34;
  h.restart();
  h.give(records(0, 0, 10));
  CHECK(h.take<fx_ask>().running.has_value());
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("a plain MergeTree that was restarted since may have lost the token") {
  harness h;
  h.first_start();
  h.planned(10);
  h.unanswered();
  bool doubt = false;
  SUBCASE("plain") { doubt = true; }
  SUBCASE("replicated") { h.config.trust.plain_merge_tree = false; }
  if (!doubt) { // the configuration belongs to a lane from its beginning
    h.restart();
    h.give(records(0, 0, 10));
  }
  h.machine->set_server_started(h.now.server);
  h.pass(1'000);
  CHECK(h.take<fx_ask>().running.has_value() == doubt);
}

TEST_CASE("a restart that only the look tells of is noticed before the send") {
  harness h;
  h.first_start();
  h.planned(10);
  h.unanswered();
  h.pass(1'000);
  h.answer(0, 0, h.now.server);
  CHECK_FALSE(h.has<fx_insert>());
  CHECK(h.take<fx_ask>().running.has_value());
}

TEST_CASE("a repetition to a plain MergeTree relies on the look before it for five seconds only") {
  harness h;
  h.first_start();
  h.planned(10);
  const auto first = h.take<fx_insert>();
  CHECK(first.word_mono == INT64_MAX); // nothing can have landed
  h.machine->inserted(h.now, first.ticket, {});
  const auto tried = h.now.server;
  h.pass(1'000);
  const auto looked = h.now.mono;
  h.pass(2'500); // until the answer comes
  h.answer();
  const auto again = h.take<fx_insert>();
  CHECK(again.word_mono == looked + 5'000);
  CHECK(again.started_before <= tried);
  CHECK(again.started_before > tried - 10'000);
  // Whoever was to send it asked, and did not.
  insert_answer no;
  no.answered = no.never_sent = true;
  no.server_started_ms = h.now.server;
  h.machine->inserted(h.now, again.ticket, no);
  h.pass(1'000);
  CHECK_FALSE(h.has<fx_insert>());
  CHECK(h.take<fx_ask>().running.has_value()); // a doubt
}

TEST_CASE("where no crash can cost the token a repetition goes out without being asked for") {
  harness h;
  h.config.trust.plain_merge_tree = false;
  h.first_start();
  h.planned(10);
  h.unanswered();
  h.pass(1'000);
  h.answer();
  CHECK(h.take<fx_insert>().word_mono == INT64_MAX);
}

TEST_CASE("a dead letter whose record the log lost: the lane recovers, and stops by name") {
  harness h;
  h.first_start();
  h.planned(1);
  h.rejected();
  h.accept();
  REQUIRE(h.saved().open);
  CHECK(h.saved().open->as == plan_as::dead_letter);
  insert_answer a;
  a.never_sent = a.answered = a.record_gone = true;
  a.attempts = 0;
  a.message = "the record is no longer in the log";
  h.machine->inserted(h.now, h.take<fx_insert>().ticket, a);
  CHECK(h.machine->phase() == lane_phase::loading);
  CHECK(h.machine->status().waiting_for.find("no longer in the log") != std::string::npos);
  CHECK(h.machine->counters().edges[static_cast<std::size_t>(lane_edge::record_gone)] == 1);
  h.load_stored();
  h.inspect_twice(1);
  h.accept(); // the claim; then once more
  h.inspect(1);
  h.accept();
  CHECK(h.machine->phase() == lane_phase::stopped);
  CHECK(h.take<fx_stopped>().reason.find("1 offsets were deleted before they were delivered") != std::string::npos);
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("a rejected batch is planned anew in halves, down to one dead letter") {
  harness h;
  h.first_start();
  h.planned(4); // record 2 is the one
  auto first = h.saved().open->token;
  h.rejected();
  h.accept();
  CHECK(h.saved().open->token != first);
  CHECK(h.saved().open->last[0] == offset_t{1});
  h.acknowledge(); // 0, 1
  h.accept();      // 2, 3: the cap grows again
  h.rejected();
  h.accept();
  CHECK(h.saved().open->last[0] == offset_t{2});
  h.rejected();
  h.accept();
  CHECK(h.saved().open->as == plan_as::dead_letter);
  auto dead = h.take<fx_insert>();
  CHECK(dead.dead_letters);
  CHECK(dead.what->dead == 1);
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, dead.ticket, a);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{3});
  h.acknowledge(); // 3
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{4});
  CHECK(h.machine->counters().dead_letters == 1);
}

TEST_CASE("halves hold all the records of the plan before") {
  harness h;
  h.first_start();
  h.planned(7);
  h.rejected();
  h.accept();
  std::uint64_t rows = h.acknowledge().what->rows;
  while (h.saved().partitions[0].next < offset_t{7}) {
    h.accept();
    if (h.has<fx_insert>()) rows += h.acknowledge().what->rows;
  }
  CHECK(rows == 7);
}

TEST_CASE("a rejected record's dead letter says what ClickHouse said of it") {
  harness h;
  h.first_start();
  h.planned(1);
  const std::string said = "ClickHouse rejected it: code 469 VIOLATED_CONSTRAINT, constraint positive";
  h.rejected(469, said);
  h.accept();
  CHECK(h.take<fx_insert>().what->reason == said);
}

TEST_CASE("a single rejected record goes where the topology says") {
  harness h;
  SUBCASE("dropped") {
    h.config.on_bad_record = bad_record_policy::skip;
    h.first_start();
    h.planned(1);
    h.rejected();
    h.accept();
    CHECK(h.saved().open->as == plan_as::skip);
    CHECK_FALSE(h.has<fx_insert>());
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{1});
    CHECK(h.machine->counters().dropped == 1);
  }
  SUBCASE("stop") {
    h.config.on_bad_record = bad_record_policy::stop;
    h.first_start();
    h.planned(1);
    h.rejected();
    CHECK(h.machine->phase() == lane_phase::stopped);
    auto reason = h.take<fx_stopped>().reason;
    CHECK(reason.find("record t/0/0: ") == 0);
    CHECK(reason.find("--topic t --partition 0 --to-offset 1`") != std::string::npos);
  }
}

TEST_CASE("on_bad_record: stop names no record whose rows were made for the columns of before") {
  harness h;
  h.config.on_bad_record = bad_record_policy::stop;
  h.first_start();
  h.planned(1);
  std::erase_if(h.out, [](const auto& e) { return std::holds_alternative<fx_read>(e); });
  h.machine->columns_changed(h.now, 34); // while the request waits for its turn
  CHECK(h.take<fx_read>().from == offset_t{1});
  h.rejected();
  CHECK(h.machine->phase() == lane_phase::streaming);
  CHECK_FALSE(h.has<fx_stopped>());
  CHECK(h.take<fx_read>().from == offset_t{0});
}

TEST_CASE("rejected where something may have landed: a doubt") {
  harness h;
  h.first_start();
  h.planned(10);
  h.unanswered();
  h.pass(1'000);
  h.tell({});
  h.rejected();
  CHECK_FALSE(h.has<fx_save>());
  CHECK(h.take<fx_ask>().running.has_value());
}

TEST_CASE("too big again and again: halved, but only after the table was asked") {
  harness h;
  h.first_start();
  h.planned(10);
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(h.has<fx_save>());
    h.too_big();
    if (i == 2) break;
    h.pass(1'000);
    if (h.has<fx_ask>()) h.tell({});
  }
  CHECK_FALSE(h.has<fx_save>());
  SUBCASE("nothing is there") {
    h.tell({});
    h.accept();
    CHECK(h.saved().open->kind == plan_kind::batch);
    CHECK(h.saved().open->last[0] == offset_t{4});
  }
  SUBCASE("a part is there: a fill, half as big") {
    h.tell({rows_found(3)});
    h.accept();
    CHECK(h.saved().open->kind == plan_kind::fill);
    CHECK(h.saved().open->last[0] == offset_t{4});
    CHECK(h.saved().partitions[0].fill_to == offset_t{9});
  }
}

TEST_CASE("too big again and again, one small record: the server is short of memory, not the record to blame") {
  harness h;
  h.first_start();
  h.planned(1);
  const auto token = h.saved().open->token;
  for (int i = 0; i < 12; ++i) {
    h.too_big();
    CHECK(h.machine->status().waiting_for.find("ClickHouse: ") == 0);
    for (int k = 0; k < 60 && !h.has<fx_insert>(); ++k) {
      h.pass(1'000);
      if (h.has<fx_save>()) h.accept(); // its lease is renewed
      if (h.has<fx_ask>()) h.tell({});
    }
    CHECK(h.saved().open->token == token);
    REQUIRE(h.has<fx_insert>());
  }
  h.acknowledge();
  h.tell({rows_found(1)});
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{1});
}

TEST_CASE("too big again and again, one record in the chunk of a giant: each for itself") {
  for (const bool giant : {false, true}) {
    harness h;
    h.first_start();
    auto c = std::const_pointer_cast<chunk>(records(0, 0, 2));
    c->sizes = {1'000, 20 << 20};
    c->hashes.reserve(4 << 20); // what the giant takes in memory
    h.give(c);
    h.pass(1'000);
    bool other = false; // plan than that of the one record
    for (int i = 0; i < 200 && !other; ++i) {
      if (h.has<fx_save>()) h.accept();
      const auto& open = h.saved().open;
      const auto next = h.saved().partitions[0].next;
      const bool alone = open && open->last[0] == next;
      if (alone && giant && next == offset_t{0} && h.has<fx_insert>()) h.acknowledge();
      else if (h.has<fx_insert>()) h.too_big();
      if (h.has<fx_ask>()) h.tell({rows_found(next == offset_t{0} && giant && alone ? 1 : 0), rows_found(1)});
      other = open && open->as == plan_as::dead_letter;
      h.pass(1'000);
    }
    CHECK(other == giant);
  }
}

TEST_CASE("columns that changed: read again if nothing can have landed, else a "
          "doubt") {
  harness h;
  h.first_start();
  h.planned(10);
  insert_answer changed;
  changed.what = insert_answer::verdict::columns_changed;
  changed.answered = changed.before_write = true;
  SUBCASE("nothing landed") {
    h.machine->inserted(h.now, h.take<fx_insert>().ticket, changed);
    h.out.clear();
    h.machine->refreshed(h.now, h.take<fx_refresh>().ticket, false, {});
    CHECK(h.take<fx_read>().from == offset_t{0});
  }
  SUBCASE("nothing landed, and the log is another one meanwhile") {
    auto planned = static_cast<std::uint32_t>(records(0, 0, 10)->hashes[9]);
    h.machine->inserted(h.now, h.take<fx_insert>().ticket, changed);
    h.out.clear();
    h.machine->refreshed(h.now, h.take<fx_refresh>().ticket, false, {});
    h.give(records(0, 0, 10, {}, 1));
    h.pass(1'000);
    CHECK_FALSE(h.has<fx_save>());
    auto look = h.take<fx_inspect>();
    REQUIRE(look.probes.at(0).at.has_value());
    CHECK(*look.probes[0].at == offset_t{9});
    CHECK(look.probes[0].hash == planned);
    log_facts differs{true, {}, {{{0}, {10}, log_facts::part::recognised::differs}}};
    h.machine->inspected(h.now, look.ticket, differs);
    CHECK(h.has<fx_load>()); // recovery finds the plan's sum wrong, and stops by name
  }
  SUBCASE("something may have landed") {
    h.unanswered();
    h.pass(1'000);
    h.tell({});
    h.machine->inserted(h.now, h.take<fx_insert>().ticket, changed);
    h.machine->refreshed(h.now, h.take<fx_refresh>().ticket, false, {});
    CHECK_FALSE(h.has<fx_save>());
    CHECK(h.take<fx_ask>().running.has_value());
  }
  SUBCASE("they did not change after all") {
    h.machine->inserted(h.now, h.take<fx_insert>().ticket, changed);
    h.machine->refreshed(h.now, h.take<fx_refresh>().ticket, true, {});
    h.pass(1'000);
    const auto again = h.take<fx_insert>();
    CHECK(again.refreshed); // now the code blames a record
    insert_answer fine;
    fine.what = insert_answer::verdict::acknowledged;
    fine.answered = true;
    h.machine->inserted(h.now, again.ticket, fine);
    h.planned(5, 10);
    CHECK_FALSE(h.take<fx_insert>().refreshed);
  }
}

TEST_CASE("dead letters are sent after the rows were acknowledged") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 3, {outcome::row, outcome::dead_letter, outcome::row}));
  h.pass(1'000);
  h.accept();
  auto rows = h.take<fx_insert>();
  CHECK_FALSE(rows.dead_letters);
  CHECK_FALSE(h.has<fx_insert>());
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, rows.ticket, a);
  CHECK_FALSE(h.has<fx_save>()); // 3: next passes it only after its dead letters
  auto dead = h.take<fx_insert>();
  CHECK(dead.dead_letters);
  CHECK(dead.what->token == rows.what->token);
  h.machine->inserted(h.now, dead.ticket, a);
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{3});
  CHECK(h.machine->counters().dead_letters == 1);
}

TEST_CASE("a batch without rows and dead letters sends nothing") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 3, {outcome::dropped, outcome::dropped, outcome::dropped}));
  h.pass(1'000);
  h.accept();
  CHECK_FALSE(h.has<fx_insert>());
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{3});
  CHECK_FALSE(h.saved().ever);
}

TEST_CASE("one attempt is under way, however long it takes") {
  harness h;
  h.first_start();
  h.planned(10);
  CHECK(h.take<fx_insert>().what->rows == 10);
  for (int i = 0; i < 30; ++i) h.pass(5'000);
  CHECK_FALSE(h.has<fx_insert>());
}

// Found by the simulator (seed 973508004488): after a restart a gap and the record behind it came in one chunk, and
// that record, older than the rejected one, became the dead letter.
TEST_CASE("the rejected record becomes the dead letter, however its neighbours come after a restart") {
  harness h(2, 1);
  h.first_start();
  auto gap = std::const_pointer_cast<chunk>(records(0, 0, 0));
  gap->last = {0};
  h.give(gap);
  h.give(records(1, 0, 1));
  h.pass(1'000);
  h.accept();
  h.restart();
  auto gap_and_record = std::const_pointer_cast<chunk>(records(0, 1, 1));
  gap_and_record->first = {0};
  h.give(gap_and_record);
  h.give(records(1, 0, 1));
  h.tell({});
  h.rejected();
  h.tell({});
  h.wait_until_quiet();
  h.tell({});
  h.accept();
  REQUIRE(h.saved().open);
  CHECK(h.saved().open->as == plan_as::dead_letter);
  CHECK(h.saved().open->last == std::vector<offset_t>{{0}, {0}});
}

// --- engines that merge rows away ------------------------------------------------------------------------------------

namespace {

// A batch whose first insert got no reply was sent again, and is acknowledged.
void acknowledged_again(harness& h) {
  h.config.trust.not_there = false;
  h.config.trust.merges = true;
  h.first_start();
  h.planned(10);
  h.unanswered();
  h.pass(1'000);
  h.tell({rows_found(3)});
  h.acknowledge();
}

} // namespace

TEST_CASE("where rows are merged away, a part of them confirms a repetition") {
  harness h;
  acknowledged_again(h);
  h.tell({rows_found(3)});
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{10});
}

TEST_CASE("where all of them may be merged away, one more attempt that is alone has the last word") {
  harness h;
  acknowledged_again(h);
  for (int i = 0; i < 100 && h.machine->status().waiting_for.find("merged away") == std::string::npos; ++i) {
    CHECK_FALSE(h.has<fx_insert>());
    if (h.has<fx_ask>()) h.tell({});
    h.pass(1'000);
  }
  CHECK(h.machine->status().waiting_for.find("merged away") != std::string::npos);
  CHECK_FALSE(h.has<fx_save>());
  std::int64_t waited = 0;
  for (; waited < 400'000 && !h.has<fx_insert>(); waited += 1'000) {
    if (h.has<fx_ask>()) h.tell({});
    while (h.has<fx_save>()) h.accept(); // the lease
    h.pass(1'000);
  }
  CHECK(waited >= h.config.lease_ms + h.config.insert_limit_ms);
  SUBCASE("acknowledged: done") {
    h.acknowledge();
    h.pass(1'000);
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{10});
  }
  SUBCASE("no reply: it was not the last one") {
    h.unanswered();
    h.pass(1'000);
    while (h.has<fx_save>()) h.accept();
    h.tell({});
    h.acknowledge();
    CHECK(h.has<fx_ask>());
    CHECK_FALSE(h.has<fx_save>());
  }
}

TEST_CASE("rows that replace themselves are planned anew where a doubt finds only some, unless a view sees them") {
  harness h;
  h.config.trust.not_there = false;
  h.config.trust.merges = h.config.trust.replaces = true;
  bool views = false;
  SUBCASE("no views") {}
  SUBCASE("views") { views = h.config.trust.dependent_views = true; }
  h.doubted();
  h.tell({rows_found(4)});
  h.wait_until_quiet();
  h.tell({rows_found(4), rows_found(9)});
  CHECK((h.machine->phase() == lane_phase::stopped) == views);
  if (views) return;
  h.accept();
  CHECK(h.saved().open->kind == plan_kind::batch);
  CHECK(h.take<fx_insert>().what->rows == 10);
}

TEST_CASE("a record that makes two rows is one record, and both its rows are expected") {
  harness h;
  bool split = true;
  SUBCASE("in a table with partitions") {}
  SUBCASE("in one without") { split = false; }
  h.config.trust.split = split;
  h.first_start();
  auto two = std::const_pointer_cast<chunk>(records(0, 0, 3));
  two->row_counts = {1, 2};
  h.give(two);
  h.pass(h.config.batch.wait_ms);
  h.accept();
  auto fx = h.take<fx_insert>();
  CHECK(fx.what->rows == 3);
  CHECK(fx.what->more_rows == 1);
  insert_answer lost;
  h.machine->inserted(h.now, fx.ticket, lost);
  h.pass(1'000);
  SUBCASE("four rows are all") {
    h.tell({{4, 3, 0, 0, 3}});
    CHECK(h.machine->counters().rows == 4);
  }
  SUBCASE("three are not all where one partition may not have been written, and one merged away where there are none") {
    h.tell({{3, 3, 0, 0, 3}});
    CHECK(h.machine->counters().rows == (split ? 0 : 4));
    CHECK(h.has<fx_insert>() == split);
    if (split) CHECK(h.take<fx_insert>().what->token == fx.what->token);
  }
  SUBCASE("five are too many") {
    h.tell({{5, 3, 0, 0, 3}});
    CHECK(h.machine->phase() == lane_phase::stopped);
  }
}

TEST_CASE("a dead letter that the server does not take is sent again, with growing rests") {
  harness h;
  SUBCASE("at_least_once") { h.config.delivery = delivery_mode::at_least_once; }
  SUBCASE("exactly_once") {}
  const bool exact = h.config.delivery == delivery_mode::exactly_once;
  h.start();
  h.load_absent();
  h.inspect();
  if (h.has<fx_ask>()) h.answer();
  h.accept();
  h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, true, {});
  auto large = std::const_pointer_cast<chunk>(records(0, 0, 1));
  large->sizes = {16 << 20};
  h.give(large);
  int inserts = 0;
  for (int s = 0; s < 1'200; ++s) {
    if (h.has<fx_save>()) h.accept();
    if (h.has<fx_ask>()) h.tell({});
    if (h.has<fx_insert>()) {
      ++inserts;
      h.too_big();
    }
    h.pass(500);
  }
  CHECK(inserts < 60);
  CHECK(h.machine->status().waiting_for.find("dead letter") != std::string::npos);
  h.machine->set_gather_limit(1 << 20);
  for (int s = 0; s < 200 && !h.has<fx_insert>(); ++s) {
    if (h.has<fx_ask>()) h.tell({});
    h.pass(500);
  }
  auto fx = h.acknowledge();
  CHECK(fx.dead_letters);
  if (exact && h.has<fx_ask>()) h.tell({dead_found(1)});
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{1});
}
