// Recovery: load, compare, claim, settle. A contradiction stops the lane only
// after its claim was accepted and the comparison was made again.
#include "lane_harness.hpp"

using namespace chute;
using namespace chute::test;
using recognised = log_facts::part::recognised;

namespace {

// Ten records are done; the lane is loaded by another process.
struct restarted : harness {
  explicit restarted(bool open = false) {
    first_start();
    planned(10);
    acknowledge();
    if (open) planned(10, 10);
    else accept();
    out.clear();
  }
  void load() {
    out.clear();
    start();
    load_stored();
  }
  void change(const std::function<void(lane_record&)>& f) {
    auto r = saved();
    f(r);
    stored = encode_record(r);
  }
  bool stopped(const std::string& why) {
    if (has<fx_save>()) accept(); // the lane is still ours
    if (machine->phase() != lane_phase::stopped) return false;
    auto reason = take<fx_stopped>().reason;
    CHECK_MESSAGE(reason.find(why) != std::string::npos, reason);
    return true;
  }
};

} // namespace

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

TEST_CASE("load: an error is not the answer that there is no record") {
  harness h;
  h.start();
  h.load_failed();
  CHECK_FALSE(h.has<fx_inspect>());
  CHECK_FALSE(h.has<fx_load>());
  h.pass(1'000);
  CHECK(h.has<fx_load>());
}

TEST_CASE("load: a lane that began and has no record stops, once that was read "
          "for 10 s") {
  harness h;
  h.start();
  h.load_absent(true);
  CHECK(h.machine->phase() == lane_phase::loading);
  SUBCASE("gone") {
    h.pass(5'000);
    h.load_absent(true);
    CHECK(h.machine->phase() == lane_phase::loading);
    h.pass(5'000);
    h.load_absent(true);
    CHECK(h.machine->phase() == lane_phase::stopped);
    CHECK(h.take<fx_stopped>().reason.find("its state is gone") != std::string::npos);
  }
  SUBCASE("the first answer was stale") {
    restarted other;
    h.stored = other.stored;
    h.pass(1'000);
    h.load_stored();
    CHECK(h.machine->phase() == lane_phase::comparing);
  }
}

namespace {
// Claimed; chute_starts has no row of it yet.
struct without_row : restarted {
  without_row() {
    out.clear();
    start();
    load_stored(false);
    inspect();
    answer();
    accept();
  }
};
} // namespace

TEST_CASE("load: a record without a row in chute_starts gets one") {
  without_row h;
  CHECK_FALSE(h.has<fx_read>());
  h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, true, {});
  CHECK(h.take<fx_read>().from == offset_t{10});
}

TEST_CASE("from at_least_once to exactly_once: what may be on its way is waited for, and compared") {
  harness h;
  h.config.delivery = delivery_mode::at_least_once;
  h.first_start();
  SUBCASE("nothing was done yet") {}
  SUBCASE("a batch was done, another is on its way") {
    h.give(records(0, 0, 10));
    h.pass(1'000);
    h.acknowledge();
    h.accept();
  }
  CHECK(decode_record(h.stored)->unplanned);
  const auto next = h.saved().partitions[0].next.value;
  h.config.delivery = delivery_mode::exactly_once;
  h.out.clear();
  h.start();
  h.load_stored();
  h.inspect();
  h.answer();
  h.accept();
  CHECK(h.machine->status().waiting_for.find("at_least_once") != std::string::npos);
  const auto whole = h.config.lease_ms + h.config.insert_limit_ms;
  const auto waits = [&](std::int64_t ms) {
    for (std::int64_t passed = 0; passed < ms; passed += 5'000) {
      CHECK_FALSE((h.has<fx_inspect>() || h.has<fx_read>()));
      CHECK(h.answer().running);
      h.pass(5'000);
    }
  };
  SUBCASE("all answer") {}
  SUBCASE("a server is silent meanwhile: an insert may lie in its socket") {
    waits(whole - 5'000);
    h.no_answer();
    CHECK(h.machine->status().waiting_for.find("no answer") != std::string::npos);
    h.pass(5'000);
  }
  waits(whole);
  h.answer();
  h.inspect();
  SUBCASE("nothing came") {
    h.answer();
    CHECK(h.take<fx_read>().from == offset_t{next});
    h.accept(); // at once: nobody waits once more
    CHECK_FALSE(h.saved().unplanned);
  }
  SUBCASE("it landed") {
    h.answer(10);
    h.accept();
    CHECK(h.machine->phase() == lane_phase::stopped);
    CHECK(h.take<fx_stopped>().reason.find("--to-table") != std::string::npos);
  }
}

TEST_CASE("load: while chute_starts cannot be written, it is tried less and less often") {
  without_row h;
  for (int tries = 0; tries < 12; ++tries) {
    h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, false, "no answer");
    const auto shortest = std::min<std::int64_t>(100ll << tries, 30'000) * 3 / 4;
    h.pass(shortest - 1);
    CHECK_FALSE(h.has<fx_mark_started>());
    h.pass(shortest);
  }
  h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, true, {});
  CHECK(h.has<fx_read>());
}

TEST_CASE("load: offsets that another tool moved, and a record that cannot be "
          "read, stop") {
  harness h;
  h.start();
  lane_loaded l;
  SUBCASE("moved") {
    l.what = lane_loaded::state::foreign;
    l.why = "offset 7, metadata ''";
  }
  SUBCASE("unreadable") {
    l.what = lane_loaded::state::found;
    l.text = "chute1:nonsense";
  }
  h.machine->loaded(h.now, h.take<fx_load>().ticket, l);
  CHECK(h.machine->phase() == lane_phase::stopped);
}

TEST_CASE("load: a pipeline that began on another cluster, whose rows are there, does not begin by itself") {
  harness h;
  h.start();
  lane_loaded l;
  l.what = lane_loaded::state::absent;
  l.start.assign(lane_partition_count(h.config.lane, h.config.lanes, h.config.topic_partitions), {0});
  l.elsewhere = "other-cluster";
  SUBCASE("nothing is noted") {}
  SUBCASE("a tool that mirrors the cluster copied the notes of the group's offsets") {
    l.noted_lineage = 77;
    l.noted_version = 5;
  }
  h.machine->loaded(h.now, h.take<fx_load>().ticket, l);
  REQUIRE(h.machine->phase() == lane_phase::stopped);
  CHECK_FALSE(h.has<fx_inspect>());
  CHECK_FALSE(h.has<fx_save>());
  const auto why = h.take<fx_stopped>().reason;
  CHECK(why.find("on another Kafka cluster (other-cluster)") != std::string::npos);
  CHECK(why.find("--to-earliest") != std::string::npos);
}

TEST_CASE("load: another number of lanes, another cluster, another table or "
          "fewer partitions stop at once") {
  restarted h;
  SUBCASE("lanes") {
    h.change([](auto& r) { r.lanes = 7; });
  }
  SUBCASE("cluster") { h.config.cluster = 12; }
  SUBCASE("destination") { h.config.destination = 23; }
  SUBCASE("partitions") {
    h.change([](auto& r) { r.partitions.push_back({}); });
  }
  h.load();
  CHECK(h.machine->phase() == lane_phase::stopped);
  CHECK_FALSE(h.has<fx_save>());
}

TEST_CASE("load: where the table cannot be asked, no stop advises to ask it") {
  const auto found = [](const std::string& text) {
    lane_loaded l;
    l.what = lane_loaded::state::found;
    l.text = text;
    return l;
  };
  const std::vector<std::pair<const char*, std::function<lane_loaded(restarted&)>>> odd = {
      {"lanes",
       [&](restarted& h) {
         h.change([](auto& r) { r.lanes = 7; });
         return found(h.stored);
       }},
      {"unreadable", [&](restarted&) { return found("chute1:nonsense"); }},
      {"moved",
       [](restarted&) {
         lane_loaded l;
         l.what = lane_loaded::state::foreign;
         return l;
       }},
      {"gone",
       [](restarted&) {
         lane_loaded l;
         l.what = lane_loaded::state::absent;
         return l;
       }},
      {"older",
       [&](restarted& h) {
         auto l = found(h.stored);
         l.noted_lineage = h.saved().lineage;
         l.noted_version = h.saved().version + 1;
         return l;
       }},
  };
  for (const auto& [name, loads] : odd)
    for (const bool there : {true, false}) {
      CAPTURE(name);
      restarted h;
      h.config.trust.there = there;
      auto l = loads(h);
      l.marked = true;
      h.out.clear();
      h.start();
      for (int i = 0; i < 200 && h.machine->phase() != lane_phase::stopped; ++i) { // it may be stale, for a while
        if (h.has<fx_load>()) h.machine->loaded(h.now, h.take<fx_load>().ticket, l);
        h.pass(100);
      }
      const auto reason = h.take<fx_stopped>().reason;
      CHECK_MESSAGE((reason.find("--to-table`") != std::string::npos) == there, reason);
      CHECK_MESSAGE((reason.find("--partition P --to-offset N`") == std::string::npos) == there, reason);
    }
}

TEST_CASE("load: partitions that were added begin at their log's beginning") {
  restarted h(true);
  h.config.topic_partitions = 2;
  h.load();
  h.inspect();
  h.answer();
  h.accept();
  std::map<int, std::int64_t> from;
  h.collect();
  for (auto& e : h.out)
    if (auto* f = std::get_if<fx_read>(&e)) from[f->partition.value] = f->from.value;
  CHECK(from == std::map<int, std::int64_t>{{0, 10}, {1, 0}});
}

TEST_CASE("load: an older version than one already known is read again") {
  harness h;
  h.first_start();
  auto old = h.stored;
  h.planned(10);
  h.acknowledge();
  h.accept();
  auto known = h.stored;
  h.machine->lose(h.now);
  h.machine->assign(h.now);
  h.stored = old;
  h.load_stored();
  CHECK_FALSE(h.has<fx_inspect>());
  h.pass(1'000);
  h.stored = known;
  h.load_stored();
  CHECK(h.has<fx_inspect>());
}

TEST_CASE("compare: the log must hold what is done") {
  restarted h;
  h.load();
  SUBCASE("it does") {
    h.inspect(0, 10);
    h.answer();
    h.accept();
    CHECK(h.machine->phase() == lane_phase::streaming);
  }
  SUBCASE("it ends too early: looked at twice, 10 s apart, and once more after "
          "the claim") {
    h.inspect(0, 9);
    CHECK_FALSE(h.has<fx_save>());
    h.wait(9'000);
    CHECK_FALSE(h.has<fx_inspect>());
    h.wait(1'000);
    h.inspect(0, 9);
    h.accept(); // its claim
    h.inspect(0, 9);
    CHECK(h.stopped("ends at 9"));
  }
  SUBCASE("a new leader lagged for a moment") {
    h.inspect(0, 9);
    h.wait(10'000);
    h.inspect(0, 10);
    h.answer();
    h.accept();
    CHECK(h.machine->phase() == lane_phase::streaming);
  }
  SUBCASE("its last record done is another one") {
    h.inspect(0, 10, recognised::differs);
    CHECK(h.machine->phase() == lane_phase::claiming);
    h.accept();
    h.inspect(0, 10, recognised::differs);
    CHECK(h.stopped("is not the one that was done"));
  }
  SUBCASE("its last record done is no longer there") {
    h.inspect(10, 10, recognised::gone);
    h.answer();
    h.accept();
    CHECK(h.machine->phase() == lane_phase::streaming);
  }
}

TEST_CASE("compare: what contradicts may be the old owner's last work, so it "
          "counts only after the claim") {
  restarted h;
  h.load();
  h.inspect(0, 10, recognised::differs);
  h.accept();
  h.inspect(0, 10, recognised::same);
  h.answer();
  CHECK(h.machine->phase() == lane_phase::streaming);
}

TEST_CASE("compare: a log that ends within the open plan is not the one it was "
          "planned from") {
  restarted h(true);
  h.load();
  h.inspect(0, 19);
  CHECK_FALSE(h.has<fx_save>()); // a new leader may lag for a moment
  h.pass(10'000);
  h.inspect(0, 19);
  h.accept();
  h.inspect(0, 19);
  CHECK(h.stopped("within an open plan"));
}

TEST_CASE("compare: a broker that tells of the log that was there before the topic was made anew, for a moment") {
  restarted h;
  h.config.on_data_loss = data_loss_policy::resume;
  h.load();
  h.inspect(15, 100);
  CHECK(h.machine->status().waiting_for.find("which begins at 15 behind 10") != std::string::npos);
  h.wait(10'000);
  for (int i = 0; i < 2; ++i) { // once more after the claim
    h.inspect(0, 11);
    h.answer();
    if (i == 0) h.accept();
  }
  CHECK(h.take<fx_read>().from == offset_t{10});
  CHECK(h.machine->counters().gaps_lost == 0);
}

TEST_CASE("compare: partitions whose logs begin late are waited for together") {
  harness h(3);
  h.first_start();
  h.config.on_data_loss = data_loss_policy::resume;
  h.restart_loading();
  h.inspect_twice(15, 100);
  h.answer();
  h.accept();
  h.inspect(15, 100);
  h.answer();
  CHECK(h.machine->counters().gaps_lost == 45);
}

TEST_CASE("compare: records that were deleted before they were delivered") {
  restarted h;
  SUBCASE("stop") {
    h.load();
    h.inspect_twice(15, 100);
    h.accept();
    h.inspect(15, 100);
    CHECK(h.stopped("5 offsets were deleted"));
  }
  SUBCASE("of an open plan, of which the rest may have landed") {
    restarted open(true);
    SUBCASE("the table tells") {
      open.load();
      open.inspect_twice(15, 100);
      open.accept();
      open.inspect(15, 100);
      CHECK(open.stopped("--partition 0 --to-table` sends what is left"));
    }
    SUBCASE("the table cannot tell") {
      open.config.trust.not_there = false;
      open.load();
      open.inspect_twice(15, 100);
      open.accept();
      open.inspect(15, 100);
      CHECK(open.stopped("say first whether the open plan landed: `chute state settle"));
    }
    SUBCASE("nor after a person moved it") {
      open.change([](auto& r) { r.partitions[0].blind = offset_t{40}; });
      open.load();
      open.inspect_twice(15, 100);
      open.accept();
      open.inspect(15, 100);
      CHECK(open.stopped("say first whether the open plan landed: `chute state settle"));
    }
    SUBCASE("also where the topology says continue") {
      open.config.on_data_loss = data_loss_policy::resume;
      open.load();
      open.inspect_twice(15, 100);
      open.answer();
      open.accept();
      open.inspect(15, 100);
      CHECK(open.stopped("--partition 0 --to-table` sends what is left"));
    }
  }
  SUBCASE("or are counted, if the topology says continue") {
    h.config.on_data_loss = data_loss_policy::resume;
    h.load();
    h.inspect_twice(15, 100);
    h.answer();
    h.accept();
    h.inspect(15, 100);
    h.answer();
    CHECK(h.take<fx_read>().from == offset_t{15});
    CHECK(h.machine->counters().gaps_lost == 5);
  }
}

TEST_CASE("compare: the table holds nothing beyond what was sent, with a plan "
          "or without") {
  for (bool open : {false, true}) {
    auto claim = [&](restarted& h) {
      h.load();
      h.inspect();
      auto asked = h.tell({rows_found(1)});
      REQUIRE(asked.ranges.size() == 1);
      CHECK(asked.ranges[0].first.value == (open ? 20 : 10));
      CHECK(h.machine->phase() == lane_phase::claiming);
      h.accept();
      h.inspect();
    };
    restarted h(open), other(open), silent(open);
    claim(h);
    h.tell({}); // it was the old owner's
    CHECK(h.machine->phase() == (open ? lane_phase::settling : lane_phase::streaming));
    claim(other);
    other.tell({dead_found(1)}); // it is another's
    CHECK(other.stopped("beyond what this pipeline has sent"));
    claim(silent);
    silent.no_answer();
    CHECK(silent.machine->phase() == lane_phase::comparing);
    silent.pass(1'000);
    CHECK(silent.has<fx_inspect>());
  }
}

TEST_CASE("compare: up to `blind` the table is not asked") {
  restarted h;
  h.change([](auto& r) { r.partitions[0].blind = offset_t{40}; });
  h.load();
  h.inspect();
  CHECK(h.take<fx_ask>().ranges.at(0).first == offset_t{41});
}

TEST_CASE("claim: nothing is read or sent before it is accepted") {
  restarted h(true);
  h.load();
  h.inspect();
  h.answer();
  CHECK_FALSE(h.has<fx_read>());
  auto claim = h.take<fx_save>();
  auto before = decode_record(h.stored), after = decode_record(claim.text);
  CHECK(after->version == before->version + 1);
  CHECK(after->mark != before->mark);
  CHECK(after->lineage == before->lineage);
  CHECK(after->open == before->open);
  SUBCASE("accepted") {
    h.machine->saved(h.now, claim.ticket, save_outcome::accepted, {});
    CHECK(h.take<fx_read>().from == offset_t{10});
    CHECK(h.machine->phase() == lane_phase::settling);
  }
  SUBCASE("refused") {
    h.machine->saved(h.now, claim.ticket, save_outcome::refused, "version 9 is there");
    CHECK_FALSE(h.has<fx_read>());
    h.pass(1'000);
    CHECK(h.has<fx_load>());
  }
  SUBCASE("unknown") {
    h.machine->saved(h.now, claim.ticket, save_outcome::unknown, "no answer");
    CHECK_FALSE(h.has<fx_read>());
    h.pass(1'000);
    CHECK(h.take<fx_save>().text == claim.text);
  }
}

TEST_CASE("settle: a rebuild that differs comes from another log and stops") {
  harness h;
  h.first_start();
  h.planned(10);
  std::string way_out = "--lane 0 --to-table`";
  SUBCASE("the table tells what is left of it") {}
  SUBCASE("a person says whether it landed") {
    h.config.trust.not_there = false;
    way_out = "--lane 0 --landed`";
  }
  h.restart();
  h.give(records(0, 0, 10, {}, 99));
  CHECK(h.machine->phase() == lane_phase::stopped);
  const auto reason = h.take<fx_stopped>().reason;
  CHECK_MESSAGE(reason.find(way_out) != std::string::npos, reason);
  CHECK((reason.find("--to-table`") != std::string::npos) == h.config.trust.not_there);
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("settle: a plan as dead letter stays one") {
  harness h;
  h.first_start();
  h.planned(1);
  h.rejected();
  h.accept();
  REQUIRE(h.saved().open->as == plan_as::dead_letter);
  h.restart();
  h.give(records(0, 0, 1));
  h.tell({});
  auto fx = h.take<fx_insert>();
  CHECK(fx.dead_letters);
  CHECK(fx.what->dead == 1);
  CHECK(fx.what->rows == 0);
}

TEST_CASE("streaming: an offset out of range sends the lane back to the comparison") {
  harness h;
  h.first_start();
  auto epoch = h.take_credit({0});
  h.machine->read_failed(h.now, epoch, {0}, read_error::other, "a broker is away");
  CHECK_FALSE(h.has<fx_load>());
  h.machine->read_failed(h.now, epoch, {0}, read_error::out_of_range, "offset 0");
  CHECK(h.has<fx_load>());
}

TEST_CASE("streaming: what halted a reader a while ago sends the lane back to the comparison, if it reads on still") {
  harness h;
  h.first_start();
  const auto epoch = h.take_credit({0});
  SUBCASE("and nothing of the log is doubted for it") {
    h.machine->read_failed(h.now, epoch, {0}, read_error::halted, "a check sum");
    CHECK(h.has<fx_load>());
  }
  SUBCASE("not when it has begun anew since") {
    h.machine->read_failed(h.now, epoch - 1, {0}, read_error::halted, "a check sum");
    CHECK_FALSE(h.has<fx_load>());
    CHECK(h.machine->phase() == lane_phase::streaming);
  }
}

TEST_CASE("what is under way and what was gathered is done before a reader that halted is begun again") {
  harness h(2);
  h.first_start();
  h.config.batch.wait_ms = 60'000;
  h.restart();
  h.give(records(0, 0, 10));
  const auto epoch = h.take_credit({1});
  h.drop<fx_take>();
  h.machine->read_failed(h.now, epoch, {1}, read_error::halted, "a check sum");
  CHECK_FALSE(h.has<fx_load>());
  h.accept(); // its batch is closed at once
  h.acknowledge();
  CHECK_FALSE(h.has<fx_load>());
  CHECK_FALSE(h.has<fx_take>());
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{10});
  CHECK(h.has<fx_load>());
  CHECK(h.machine->status().waiting_for.find("a check sum") != std::string::npos);
}

TEST_CASE("a lane that drains does not begin again for a reader that halted") {
  harness h(2);
  h.first_start();
  h.give(records(0, 0, 10));
  h.pass(1'000);
  h.accept();
  h.machine->read_failed(h.now, h.take_credit({1}), {1}, read_error::halted, "a check sum");
  h.machine->drain(h.now);
  h.acknowledge();
  h.accept();
  CHECK_FALSE(h.has<fx_load>());
  CHECK(h.take<fx_released>().drained);
}

TEST_CASE("a doubt is settled, however often the reader of another partition halts meanwhile") {
  harness h(2);
  h.config.window_ms = 400'000;
  h.first_start();
  h.give(records(0, 0, 10));
  h.pass(1'000);
  h.accept();
  h.skip(250'000);
  h.restart();
  h.give(records(0, 0, 10));
  REQUIRE(h.machine->phase() == lane_phase::settling);
  const auto epoch = h.take_credit({1});
  h.tell({});
  for (int i = 0; i < 100 && !h.has<fx_save>(); ++i) {
    if (i % 2 == 0) h.machine->read_failed(h.now, epoch, {1}, read_error::halted, "a check sum");
    if (h.has<fx_ask>()) h.tell({});
    CHECK_FALSE(h.has<fx_load>());
    if (!h.has<fx_save>()) h.pass(5'000);
  }
  h.accept(); // planned anew
  h.acknowledge();
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{10});
  CHECK(h.has<fx_load>());
}

TEST_CASE("a lane whose records do not come says why, until they do") {
  harness h(2, 1);
  h.first_start();
  const auto epoch = h.take<fx_read>().epoch;
  const auto says = [&](const char* what) { return h.machine->status().waiting_for.find(what) != std::string::npos; };
  SUBCASE("the registry is away") {
    h.machine->read_failed(h.now, epoch, {0}, read_error::unconverted, "the schema registry: no answer");
    h.machine->end_seen(h.now, epoch, {0}, {}); // its reader has handed all on
    CHECK(says("the schema registry"));
    h.give(records(1, 0, 1)); // another partition's
    CHECK(says("the schema registry"));
    CHECK(h.machine->waiting_for() == h.machine->status().waiting_for);
    h.give(records(0, 0, 1));
  }
  SUBCASE("a right is missing") {
    h.machine->read_failed(h.now, epoch, {0}, read_error::other, "not allowed to read");
    CHECK(says("Kafka: not allowed to read"));
    h.machine->end_seen(h.now, epoch, {0}, {}); // nothing to hand on, as it may not read
    CHECK(says("Kafka: not allowed to read"));
    SUBCASE("and its end is seen") { h.machine->end_seen(h.now, epoch, {0}, offset_t{0}); }
    SUBCASE("and there is nothing to read, as another tells") { h.machine->log_ends(h.now, {{{0}, {0}}}); }
  }
  CHECK(h.machine->status().waiting_for.empty());
}

TEST_CASE("an open plan is read again once there is memory for it") {
  harness h;
  h.first_start();
  h.planned(10);
  h.out.clear();
  h.start();
  h.machine->set_build_room(10'000);
  h.load_stored();
  h.inspect();
  h.answer();
  h.accept();
  CHECK(h.machine->phase() == lane_phase::claiming);
  CHECK(h.machine->status().waiting_for.find("memory") != std::string::npos);
  CHECK_FALSE(h.has<fx_read>());
  h.wait(2'000);
  CHECK_FALSE(h.has<fx_read>());
  CHECK(h.machine->wanted_bytes(h.now.mono) == 0);
  h.machine->set_build_room(40'960);
  h.pass(1'000);
  CHECK(h.machine->phase() == lane_phase::settling);
  CHECK(h.has<fx_read>());
  CHECK(h.machine->wanted_bytes(h.now.mono) == 40'960);
  h.wait(30'000); // it may have no broker: others need not wait for it
  CHECK(h.machine->wanted_bytes(h.now.mono) == 0);
}

TEST_CASE("while memory is waited for, the log is not asked about again and again") {
  harness h;
  h.first_start();
  h.planned(10);
  h.out.clear();
  h.config.on_data_loss = data_loss_policy::resume;
  h.start();
  h.machine->set_build_room(10'000);
  h.load_stored();
  h.inspect();
  h.answer();
  h.accept();
  h.inspect(); // once more after the claim, as the topology goes on where records were lost
  h.answer();
  CHECK(h.machine->status().waiting_for.find("memory") != std::string::npos);
  h.wait(2'000);
  CHECK_FALSE(h.has<fx_inspect>());
  h.machine->set_build_room(40'960);
  h.pass(1'000);
  CHECK(h.machine->phase() == lane_phase::settling);
}

TEST_CASE("the log's end is known where nothing is read of it; it never goes back") {
  harness h;
  h.first_start();
  h.machine->log_ends(h.now, {{{0}, {1'000'500}}, {{7}, {2'000'000}}}); // 7 is another lane's
  CHECK(h.machine->status().partitions.at(0).end == 1'000'500);
  h.machine->log_ends(h.now, {{{0}, {400}}});
  CHECK(h.machine->status().partitions.at(0).end == 1'000'500);
}

TEST_CASE("what an open transaction holds back lags, and is a reason to wait once none may last so long") {
  harness h;
  h.first_start();
  h.planned(10);
  h.acknowledge();
  const auto epoch = h.take<fx_read>().epoch;
  h.machine->end_seen(h.now, epoch, {0}, offset_t{10});
  const auto told = [&](std::int64_t end, std::int64_t high) {
    h.machine->log_ends(h.now, {{{0}, {end}}});
    if (high > end) h.machine->held_back(h.now, epoch, {0}, {end}, {high});
  };
  const auto reason = [&] { return h.machine->status().waiting_for; };
  const auto waits = [&] {
    return reason().find("left open holds back what follows offset 9 of t/0") != reason().npos;
  };
  told(10, 15);
  CHECK(h.machine->status().partitions.at(0).lag() == 5);
  told(10, 17);
  CHECK(h.machine->status().partitions.at(0).lag() == 7);
  CHECK(reason().empty());
  for (int i = 0; i < 90; ++i) {
    h.pass(10'000);
    if (h.has<fx_save>()) h.accept();
    CHECK_FALSE(waits());
    told(10, 17);
  }
  CHECK(waits());
  SUBCASE("it was aborted, and nothing is behind it") {
    h.machine->end_seen(h.now, epoch, {0}, offset_t{18});
    told(18, 18);
  }
  SUBCASE("its records come") { h.give(records(0, 10, 5)); }
  SUBCASE("others come, and another is open") {
    h.give(records(0, 10, 5));
    told(15, 20);
    CHECK(h.machine->status().partitions.at(0).lag() == 10);
  }
  SUBCASE("a broker was away meanwhile") {
    h.machine->read_failed(h.now, epoch, {0}, read_error::other, "no broker");
    CHECK(reason() == "Kafka: no broker");
    h.pass(10'000);
    told(10, 17);
    CHECK(waits());
    told(18, 18);
    h.machine->end_seen(h.now, epoch, {0}, offset_t{18});
  }
  SUBCASE("nobody tells of it any more") {
    h.wait(60'000);
    told(10, 10);
    CHECK(h.machine->status().partitions.at(0).lag() == 0);
  }
  CHECK_FALSE(waits());
}

TEST_CASE("an open transaction of before the lane read anew, or behind what is not read yet, tells nothing") {
  harness h;
  h.first_start();
  const auto epoch = h.take<fx_read>().epoch;
  h.machine->end_seen(h.now, epoch, {0}, offset_t{10});
  h.machine->held_back(h.now, epoch - 1, {0}, {0}, {20});
  h.machine->held_back(h.now, epoch, {0}, {10}, {20});
  h.machine->held_back(h.now, epoch, {7}, {0}, {20}); // another lane's
  CHECK(h.machine->status().partitions.at(0).end == 10);
}

TEST_CASE("a log that cannot be looked at is waited for, by name") {
  harness h;
  h.first_start();
  h.wait(h.config.look_at_log_ms);
  const auto look = h.take<fx_inspect>();
  CHECK(h.machine->status().waiting_for.empty());
  h.machine->inspected(h.now, look.ticket, {false, "no broker answers", {}});
  CHECK(h.machine->status().waiting_for == "the log: no broker answers");
  h.wait(10'000);
  h.inspect(0, 0);
  CHECK(h.machine->status().waiting_for.empty());
}

TEST_CASE("from time to time the last records of some partitions are looked for, in turn; of those that have one") {
  harness h(7);
  h.first_start();
  for (int p = 0; p < 7; ++p)
    if (p != 3) h.give(records(p, 0, 5));
  h.pass(h.config.batch.wait_ms);
  h.accept();
  h.acknowledge();
  h.pass(1);
  h.accept();
  std::map<int, int> asked;
  for (int look = 1; look <= 3; ++look) {
    h.wait(h.config.look_at_log_ms);
    h.collect();
    for (const auto& e : h.out)
      if (const auto* f = std::get_if<fx_inspect>(&e)) {
        CHECK(f->probes.size() == 7); // of the bounds all
        for (const auto& p : f->probes) asked[p.partition.value] += p.at.has_value();
      }
    h.inspect();
    int all = 0;
    for (const auto& [partition, times] : asked) all += times;
    CHECK(all == 4 * look);
  }
  for (int p = 0; p < 7; ++p) CHECK(asked[p] == (p == 3 ? 0 : 2));
}

TEST_CASE("an open plan of whose records nothing comes is compared with the log again") {
  harness h;
  h.first_start();
  h.planned(10);
  h.restart();
  REQUIRE(h.machine->phase() == lane_phase::settling);
  h.wait(30'000);
  h.give(records(0, 0, 5)); // some did
  CHECK(h.machine->next_wake() <= h.now.mono + h.config.look_at_log_ms);
  h.wait(59'999);
  CHECK_FALSE(h.has<fx_load>());
  h.pass(1);
  h.load_stored();
  h.inspect(0, 5); // another log than the broker told of before
  h.wait(10'000);
  h.inspect(0, 5);
  h.accept(); // claimed, compared again
  h.inspect(0, 5);
  h.accept();
  CHECK(h.take<fx_stopped>().reason.find("within an open plan") != std::string::npos);
}

// A broker that has not heard of it yet tells of the old log, and the new one is filled right after.
TEST_CASE("a log that was seen to be gone is looked at again once records come") {
  using seen_as = log_facts::part::recognised;
  harness h;
  h.config.idle_limit_ms = 60'000; // another rule
  h.first_start();
  h.planned(5);
  h.acknowledge();
  h.pass(1);
  h.accept();
  const auto gone = [&] {
    h.machine->read_failed(h.now, h.take_credit({0}), {0}, read_error::unknown_topic, "no such partition");
    h.drop<fx_take>();
    h.load_stored();
    h.inspect(0, 5, seen_as::same);
    h.answer();
    h.accept();
    REQUIRE(h.machine->phase() == lane_phase::streaming);
  };
  SUBCASE("before anything of it is planned, a while after they came") {
    gone();
    h.give(records(0, 5, 5));
    h.pass(1'000);
    CHECK_FALSE(h.has<fx_inspect>());
    h.pass(1'000);
    CHECK_FALSE(h.has<fx_save>());
    const auto look = h.take<fx_inspect>();
    CHECK(*look.probes.at(0).at == offset_t{4});
    SUBCASE("and it is the old one") {
      h.machine->inspected(h.now, look.ticket, {true, {}, {{{0}, {20}, seen_as::same}}});
      CHECK(h.has<fx_save>());
    }
    SUBCASE("and it is another one") {
      h.machine->inspected(h.now, look.ticket, {true, {}, {{{0}, {20}, seen_as::differs}}});
      CHECK_FALSE(h.has<fx_save>());
      CHECK(h.has<fx_load>());
    }
  }
  SUBCASE("for ten seconds, from when it was compared") {
    h.machine->read_failed(h.now, h.take_credit({0}), {0}, read_error::unknown_topic, "no such partition");
    h.drop<fx_take>();
    h.wait(60'000); // no store answers
    h.load_stored();
    h.inspect(0, 5, seen_as::same);
    h.answer();
    h.accept();
    h.pass(9'999);
    h.give(records(0, 5, 5));
    h.pass(h.config.batch.wait_ms);
    CHECK_FALSE(h.has<fx_save>());
  }
  SUBCASE("and no longer") {
    gone();
    h.wait(10'000);
    h.give(records(0, 5, 5));
    h.pass(h.config.batch.wait_ms);
    CHECK(h.has<fx_save>());
  }
  SUBCASE("also where another lane of the topic saw it, while this one was coming up") {
    h.out.clear();
    h.start();
    h.machine->log_suspected(h.now);
    h.load_stored();
    h.inspect(0, 5, seen_as::same);
    h.answer();
    h.accept();
    h.give(records(0, 5, 5));
    h.pass(1'999);
    CHECK_FALSE(h.has<fx_save>());
  }
}

namespace {

// A lane that has a record in its store, of version 1, and comes to a new process.
void meet_old_record(harness& h) {
  h.first_start();
  h.out.clear();
  h.start();
}

} // namespace

TEST_CASE("a store that has an older record than the group's offsets tell of stops the lane, unclaimed") {
  std::uint64_t lineages_since = 0;
  SUBCASE("of the same lineage") {}
  SUBCASE("from before a reset") { lineages_since = 1; }
  harness h;
  meet_old_record(h);
  auto version = decode_record(h.stored)->version;
  auto began = h.now.mono;
  while (h.machine->phase() != lane_phase::stopped && h.now.mono < began + 60'000) {
    if (h.has<fx_load>()) h.load_stored(true, version + 1, lineages_since);
    CHECK_FALSE(h.has<fx_save>());
    CHECK_FALSE(h.has<fx_inspect>());
    h.pass(100);
  }
  CHECK(h.machine->phase() == lane_phase::stopped);
  CHECK(h.now.mono >= began + 10'000);
  CHECK(h.now.mono <= began + 20'000);
  CHECK(h.take<fx_stopped>().reason.find("it went back in time") != std::string::npos);
}

TEST_CASE("a read that was old for a moment stops nothing") {
  harness h;
  meet_old_record(h);
  auto version = decode_record(h.stored)->version;
  for (int i = 0; i < 50; ++i) {
    if (h.has<fx_load>()) h.load_stored(true, version + 1);
    h.pass(100);
  }
  CHECK(h.machine->phase() == lane_phase::loading);
  while (!h.has<fx_load>()) h.pass(100);
  h.load_stored(true, version);
  CHECK(h.machine->phase() == lane_phase::comparing);
}

TEST_CASE("no record, though the group's offsets tell of one: the state is gone") {
  harness h;
  h.start();
  for (auto began = h.now.mono; h.machine->phase() != lane_phase::stopped && h.now.mono < began + 60'000; h.pass(100))
    if (h.has<fx_load>()) h.load_absent(false, 7);
  CHECK(h.machine->phase() == lane_phase::stopped);
  CHECK(h.take<fx_stopped>().reason.find("the group's offsets say that this lane began") != std::string::npos);
}

TEST_CASE("what was read before a pause is looked at again, though nothing is done yet") {
  for (int queued : {0, 1}) // on its way during the pause
    for (int same : {0, 1}) {
      CAPTURE(queued);
      CAPTURE(same);
      harness h;
      h.config.unseen_limit_ms = 2'000;
      h.first_start();
      if (!queued) h.give(records(0, 0, 5));
      h.pass(2'500);
      if (queued) {
        CHECK_FALSE(h.has<fx_inspect>()); // there is nothing to look at yet
        h.give(records(0, 0, 5));
        h.pass(1'500);
      }
      CHECK_FALSE(h.has<fx_save>());
      auto look = h.take<fx_inspect>();
      REQUIRE(look.probes.at(0).at.has_value());
      CHECK(*look.probes[0].at == offset_t{4});
      auto seen = same ? log_facts::part::recognised::same : log_facts::part::recognised::differs;
      h.machine->inspected(h.now, look.ticket, {true, {}, {{{0}, {10}, seen}}});
      CHECK(h.has<fx_save>() == (same == 1));
      CHECK(h.has<fx_load>() == (same == 0));
    }
}

TEST_CASE("what was planned before a pause is looked at again before anything more is planned") {
  for (int same : {0, 1}) {
    CAPTURE(same);
    harness h;
    h.config.unseen_limit_ms = 2'000;
    h.first_start();
    h.give(records(0, 0, 5));
    h.pass(1'000);
    auto save = h.take<fx_save>(); // its answer comes after the pause
    h.pass(2'500);
    h.stored = save.text;
    h.machine->saved(h.now, save.ticket, save_outcome::accepted, {});
    h.acknowledge();
    h.give(records(0, 5, 5));
    h.pass(1'000);
    CHECK_FALSE(h.has<fx_save>());
    auto look = h.take<fx_inspect>();
    REQUIRE(look.probes.at(0).at.has_value());
    CHECK(*look.probes[0].at == offset_t{4});
    auto seen = same ? log_facts::part::recognised::same : log_facts::part::recognised::differs;
    h.machine->inspected(h.now, look.ticket, {true, {}, {{{0}, {20}, seen}}});
    CHECK(h.has<fx_load>() == (same == 0));
  }
}

TEST_CASE("what comes after a time without records is looked at before anything more is planned") {
  for (int idle : {0, 1})
    for (int same : {0, 1}) {
      CAPTURE(idle);
      CAPTURE(same);
      harness h;
      h.config.idle_limit_ms = 2'000;
      h.first_start();
      h.give(records(0, 0, 5));
      h.pass(1'000);
      h.accept();
      h.acknowledge();
      h.pass(100);
      h.accept();
      h.pass(idle ? 2'500 : 100);
      CHECK_FALSE(h.has<fx_inspect>());
      h.give(records(0, 5, 5));
      h.pass(1'000);
      CHECK(h.has<fx_inspect>() == (idle == 1));
      CHECK(h.has<fx_save>() == (idle == 0));
      if (!idle) continue;
      auto look = h.take<fx_inspect>();
      REQUIRE(look.probes.at(0).at.has_value());
      CHECK(*look.probes[0].at == offset_t{4});
      auto seen = same ? log_facts::part::recognised::same : log_facts::part::recognised::differs;
      h.machine->inspected(h.now, look.ticket, {true, {}, {{{0}, {20}, seen}}});
      CHECK(h.has<fx_save>() == (same == 1));
      CHECK(h.has<fx_load>() == (same == 0));
    }
}

TEST_CASE("who heard of one partition knows that the topic was not made anew, for a while") {
  harness h(2);
  h.config.idle_limit_ms = 2'000;
  h.config.look_at_log_ms = 10'000;
  h.first_start();
  const auto round = [&](int partition, std::int64_t first, mono_ms pause) {
    h.pass(pause);
    h.give(records(partition, first, 1));
    h.pass(h.config.batch.wait_ms);
    if (h.has<fx_inspect>()) return false;
    h.accept();
    h.acknowledge();
    h.pass(1);
    h.accept();
    return true;
  };
  REQUIRE(round(1, 0, 0));
  std::int64_t n = 0;
  while (h.now.mono < 9'000) REQUIRE(round(0, n++, 500));
  CHECK(round(1, 1, 0)); // it was silent for long, but not the lane
  // Neither of them was heard: the first that is, is looked at.
  CHECK_FALSE(round(1, 2, 2'500));
}

TEST_CASE("a silent lane looks at the first partition of which it knows something") {
  harness h(2);
  h.config.idle_limit_ms = 2'000;
  h.first_start();
  h.give(records(0, 0, 5));
  h.pass(h.config.batch.wait_ms);
  h.accept();
  h.acknowledge();
  h.pass(1);
  h.accept();
  h.pass(3'000);
  h.give(records(1, 0, 5)); // nothing was known of it
  h.give(records(0, 5, 5));
  h.pass(h.config.batch.wait_ms);
  auto look = h.take<fx_inspect>();
  CHECK_FALSE(look.probes.at(1).at.has_value());
  CHECK(*look.probes.at(0).at == offset_t{4});
}

TEST_CASE("a lane whose neighbour met another log looks before it plans anything more, when brokers have heard of it") {
  harness h;
  h.first_start();
  h.give(records(0, 0, 5));
  h.machine->log_suspected(h.now);
  h.pass(1'999);
  CHECK_FALSE(h.has<fx_inspect>());
  h.pass(1);
  CHECK_FALSE(h.has<fx_save>());
  auto look = h.take<fx_inspect>();
  CHECK(*look.probes.at(0).at == offset_t{4});
  h.machine->inspected(h.now, look.ticket, {true, {}, {{{0}, {20}, log_facts::part::recognised::same}}});
  CHECK(h.has<fx_save>());
}

TEST_CASE(
    "records that come while the log is looked at, after a neighbour met another one, wait for a look of their own") {
  using seen_as = log_facts::part::recognised;
  harness h;
  h.config.idle_limit_ms = 60'000; // another rule
  h.first_start();
  h.give(records(0, 0, 5));
  h.machine->log_suspected(h.now);
  h.pass(2'000);
  auto early = h.take<fx_inspect>();
  h.give(records(0, 5, 5)); // was on its way
  h.drop<fx_take>();
  h.machine->inspected(h.now, early.ticket, {true, {}, {{{0}, {5}, seen_as::same}}}); // of the old log, perhaps
  h.pass(1'999);
  CHECK_FALSE(h.has<fx_save>());
  CHECK_FALSE(h.has<fx_inspect>());
  CHECK_FALSE(h.has<fx_take>()); // what would come would put it off
  h.pass(1);
  for (std::int64_t read : {4, 9}) {
    CHECK_FALSE(h.has<fx_save>());
    auto look = h.take<fx_inspect>();
    CHECK(*look.probes.at(0).at == offset_t{read});
    h.machine->inspected(h.now, look.ticket, {true, {}, {{{0}, {20}, seen_as::same}}});
  }
  CHECK(h.has<fx_save>());
  CHECK(h.has<fx_take>());
}

TEST_CASE("what was read before a neighbour met another log is held against the last record that is done") {
  using seen_as = log_facts::part::recognised;
  harness h;
  h.first_start();
  h.planned(5);
  h.acknowledge();
  h.pass(1);
  h.accept();
  h.give(records(0, 5, 5)); // of the new log, perhaps
  h.machine->log_suspected(h.now);
  h.pass(2'000);
  auto first = h.take<fx_inspect>();
  CHECK(*first.probes.at(0).at == offset_t{4});
  h.machine->inspected(h.now, first.ticket, {true, {}, {{{0}, {20}, seen_as::same}}});
  CHECK_FALSE(h.has<fx_save>());
  auto second = h.take<fx_inspect>();
  CHECK(*second.probes.at(0).at == offset_t{9});
  h.machine->inspected(h.now, second.ticket, {true, {}, {{{0}, {20}, seen_as::same}}});
  CHECK(h.has<fx_save>());
}

TEST_CASE("an answer about the log is held against what was read when it was asked for") {
  for (int cut : {0, 1}) {
    CAPTURE(cut);
    harness h;
    h.first_start();
    h.give(records(0, 0, 5));
    h.machine->log_suspected(h.now);
    h.wait(10'000); // it is no longer in doubt
    auto look = h.take<fx_inspect>();
    h.give(records(0, 5, 5)); // read while the question was on its way
    auto same = log_facts::part::recognised::same;
    h.machine->inspected(h.now, look.ticket, {true, {}, {{{0}, {cut ? 4 : 5}, same}}});
    CHECK(h.has<fx_load>() == (cut == 1));
  }
}

TEST_CASE("records count from when they could be taken") {
  harness h;
  h.config.idle_limit_ms = 2'000;
  h.first_start();
  auto lay = [&](std::int64_t first, mono_ms for_ms) {
    auto c = std::const_pointer_cast<chunk>(records(0, first, 5));
    c->arrived_at = h.now.mono - for_ms;
    h.give(c);
  };
  h.pass(900);
  lay(0, 700);
  h.pass(h.config.batch.wait_ms - 701);
  CHECK_FALSE(h.has<fx_save>());
  h.pass(1);
  CHECK(h.has<fx_save>());
  h.accept();
  h.acknowledge();
  h.pass(100);
  h.accept();
  h.pass(1'100); // the first records lay there 2,200 ms ago, and these came 1,900 ms after them ...
  lay(5, 300);
  h.pass(h.config.batch.wait_ms - 300);
  CHECK_FALSE(h.has<fx_inspect>());
  h.accept();
  h.acknowledge();
  h.pass(100);
  h.accept();
  h.pass(2'400); // ... but those after more than 2,000
  lay(10, 0);
  h.pass(1'000);
  CHECK(h.has<fx_inspect>());
}

TEST_CASE("what became suspect while the log was looked at is looked at next") {
  harness h(2);
  h.config.idle_limit_ms = 1'000;
  h.first_start();
  h.give(records(0, 0, 5));
  h.machine->log_suspected(h.now);
  h.wait(10'000);                    // it is no longer in doubt
  auto first = h.take<fx_inspect>(); // of partition 0 alone
  CHECK_FALSE(first.probes.at(1).at.has_value());
  h.give(records(1, 0, 5)); // was on its way
  auto same = log_facts::part::recognised::same, not_asked = log_facts::part::recognised::not_asked;
  h.machine->inspected(h.now, first.ticket, {true, {}, {{{0}, {20}, same}, {{0}, {20}, not_asked}}});
  h.pass(1'000);
  CHECK_FALSE(h.has<fx_save>());
  auto second = h.take<fx_inspect>();
  CHECK(*second.probes.at(1).at == offset_t{4});
  h.machine->inspected(h.now, second.ticket, {true, {}, {{{0}, {20}, not_asked}, {{0}, {20}, same}}});
  CHECK(h.has<fx_save>());
}

TEST_CASE("a table that cannot be asked for rows tells how many inserts it has seen before the first plan") {
  harness h;
  h.config.trust.there = h.config.trust.not_there = false;
  h.blocks = {1'234, 0};
  h.start();
  h.load_absent();
  h.inspect();
  CHECK_FALSE(h.has<fx_save>());
  SUBCASE("once it answers") { h.no_answer(); }
  SUBCASE("at once") { CHECK(h.answer().ranges.empty()); }
  for (int i = 0; i < 20 && !h.has<fx_save>(); ++i) {
    h.pass(1'000);
    if (h.has<fx_load>()) h.load_absent();
    if (h.has<fx_inspect>()) h.inspect();
    if (h.has<fx_ask>()) h.answer();
  }
  h.accept();
  h.machine->marked_started(h.now, h.take<fx_mark_started>().ticket, true, {});
  h.planned(10);
  CHECK(h.saved().open->blocks == 1'234);
}
