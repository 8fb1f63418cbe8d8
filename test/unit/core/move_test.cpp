// What a person may do to a lane: move it, and settle its plan.
#include "core/move.hpp"

#include <doctest/doctest.h>

using namespace chute;
using word = enum move_request::word;

namespace {

lane_record record(std::int64_t next, std::optional<std::int64_t> planned = {}) {
  lane_record r;
  r.version = 7;
  r.lineage = 70;
  r.lanes = 1;
  r.cluster = 11;
  r.destination = 22;
  r.ever = true;
  lane_partition p;
  p.next = {next};
  p.known = known_record{5, 1};
  r.partitions.push_back(p);
  if (planned) {
    r.open = plan{};
    r.open->last = {{*planned}};
  }
  return r;
}

move_base base(std::optional<lane_record> before) {
  move_base b;
  b.before = std::move(before);
  b.version = 9;
  b.lineage = 99;
  b.mark = 1;
  b.lanes = 1;
  b.cluster = 11;
  b.destination = 22;
  b.trust.there = b.trust.not_there = true;
  b.whose = {"f.yaml", "p", "t"};
  return b;
}

move_facts facts(std::optional<std::int64_t> to, std::optional<std::int64_t> highest = {}) {
  move_facts f;
  f.low = {10};
  f.end = {200};
  if (to) f.to = offset_t{*to};
  if (highest) f.highest = offset_t{*highest};
  return f;
}

const state_of whose{"f.yaml", "p", "t"};

lane_record must(const result<lane_record>& r) {
  REQUIRE_MESSAGE(r.ok(), r.failure().text());
  return *r;
}

} // namespace

TEST_CASE("move: a new lineage, the next version, no plan") {
  const auto r = must(moved(base(record(50, 80)), {0}, {facts(20, 79)}));
  CHECK(r.lineage == 99);
  CHECK(r.version == 10);
  CHECK_FALSE(r.open);
  CHECK_FALSE(r.ever);
  CHECK(r.partitions[0].next == offset_t{20});
  CHECK_FALSE(r.partitions[0].known);
}

TEST_CASE("move: up to what the table held then it is not asked") {
  CHECK(must(moved(base(record(50)), {0}, {facts(20, 49)})).partitions[0].blind == offset_t{49});
  CHECK_FALSE(must(moved(base(record(50)), {0}, {facts(100, 49)})).partitions[0].blind);
  auto again = record(30);
  again.partitions[0].blind = offset_t{60};
  CHECK(must(moved(base(again), {0}, {facts(20, 49)})).partitions[0].blind == offset_t{60});
}

TEST_CASE("move: only to an offset of the log") {
  CHECK(must(moved(base(record(50)), {0}, {facts(200)})).partitions[0].next == offset_t{200});
  for (const std::int64_t outside : {9, 201}) {
    const auto r = moved(base(record(50)), {0}, {facts(outside)});
    REQUIRE_FALSE(r);
    CHECK(r.failure().text() ==
          "state: topic t, lane 0, partition 0: offset " + std::to_string(outside) +
              " is not in the log, which holds offsets from 10 to before 200 (name one of these)");
  }
}

TEST_CASE("stay: what the table holds beyond the position is filled in") {
  const auto r = must(moved(base(record(50, 80)), {0}, {facts({}, 70)}));
  CHECK(r.partitions[0].next == offset_t{50});
  CHECK(r.partitions[0].fill_to == offset_t{70});
  CHECK(r.partitions[0].known_at() == offset_t{49});
  CHECK(r.ever);
  CHECK_FALSE(must(moved(base(record(50, 80)), {0}, {facts({}, 49)})).partitions[0].fill_to);
}

TEST_CASE("stay: but not before the log's beginning, where what was there is passed over") {
  auto f = facts({}, 70);
  f.low = {60};
  CHECK(must(moved(base(record(50, 80)), {0}, {f})).partitions[0].next == offset_t{50});
  f.past_loss = true;
  const auto r = must(moved(base(record(50, 80)), {0}, {f})).partitions[0];
  CHECK(r.next == offset_t{60});
  CHECK(r.fill_to == offset_t{70});
  CHECK_FALSE(r.known);
  f.low = {71};
  CHECK_FALSE(must(moved(base(record(50, 80)), {0}, {f})).partitions[0].fill_to);
}

TEST_CASE("stay: where no record says where, there") {
  auto f = facts({}, 70);
  const auto unknown = moved(base({}), {0}, {f});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.failure().way_out == "with nobody running the pipeline, move all of the lane first: `chute state reset "
                                     "f.yaml --pipeline p --topic t --lane 0 --to-table` or "
                                     "`chute state reset f.yaml --pipeline p --topic t --lane 0 --to-earliest`");
  auto silent = base({});
  silent.trust = {};
  CHECK(moved(silent, {0}, {f}).failure().way_out ==
        "with nobody running the pipeline, move all of the lane first: `chute state reset f.yaml --pipeline p --topic "
        "t --lane 0 --to-earliest`");
  f.stays = offset_t{33};
  const auto r = must(moved(base({}), {0}, {f}));
  CHECK(r.partitions[0].next == offset_t{33});
  CHECK(r.partitions[0].fill_to == offset_t{70});
  CHECK_FALSE(r.ever);
}

TEST_CASE("stay: a table that holds more than the log is of another log") {
  CHECK(moved(base(record(50)), {0}, {facts({}, 199)}).ok());
  const auto r = moved(base(record(50)), {0}, {facts({}, 200)});
  REQUIRE_FALSE(r);
  CHECK(r.failure().cause.find("the log ends at 200: the topic was made anew") != std::string::npos);
}

TEST_CASE("stay: a position behind the log's end is of another log, if it was asked for") {
  auto f = facts({}, 199);
  CHECK(moved(base(record(300)), {0}, {f}).ok()); // it stops when it is read
  f.named = true;
  const auto r = moved(base(record(300)), {0}, {f});
  REQUIRE_FALSE(r);
  CHECK(r.failure().text() ==
        "state: topic t, lane 0, partition 0: the position is 300, but the log ends at 200: the topic was made anew, "
        "or cut short (`chute state reset f.yaml --pipeline p --topic t --partition 0 --to-earliest` delivers all that "
        "it holds now, `chute state reset f.yaml --pipeline p --topic t --partition 0 --to-offset 200` goes on at its "
        "end)");
  CHECK(moved(base(record(200)), {0}, {f}).ok());
  // Behind all that the table holds, which is more than the log does.
  f = facts({}, 299);
  f.stays = offset_t{300};
  CHECK_FALSE(moved(base({}), {0}, {f}));
  f.stays = offset_t{150};
  CHECK_FALSE(moved(base({}), {0}, {f}));
}

TEST_CASE("stay: an open plan is given up only where the table tells of it, and of what hangs on it") {
  auto b = base(record(50, 80));
  b.trust.dependent_views = true;
  CHECK_FALSE(moved(b, {0}, {facts({}, 60)})); // a view may lack what the table holds
  CHECK(moved(b, {0}, {facts({}, 49)}).ok());
  b.before->destination = 23; // another table's plan
  CHECK(moved(b, {0}, {facts({}, 60)}).ok());
  b = base(record(50, 80));
  const auto r = moved(b, {0}, {facts({})}); // nothing, also of what was done
  REQUIRE_FALSE(r);
  CHECK(r.failure().cause.find("nothing that was done before either") != std::string::npos);
  CHECK(r.failure().way_out.starts_with(
      "say so first: `chute state settle f.yaml --pipeline p --topic t --lane 0 --landed`"));
  b.before->destination = 23;
  CHECK(moved(b, {0}, {facts({})}).ok());
  b = base(record(50, 80));
  b.before->ever = false;
  CHECK(moved(b, {0}, {facts({})}).ok());
}

TEST_CASE("stay: a table that may have dropped rows cannot tell what is missing") {
  auto b = base(record(50));
  b.trust.not_there = false;
  CHECK(moved(b, {0}, {facts({}, 49)}).ok());
  const auto r = moved(b, {0}, {facts({}, 70)});
  REQUIRE_FALSE(r);
  CHECK(r.failure().way_out ==
        "choose a position: `chute state reset f.yaml --pipeline p --topic t --partition 0 --to-offset 71` goes on "
        "behind them");
  b.before = record(50, 80);
  CHECK_FALSE(moved(b, {0}, {facts({}, 49)}));
}

TEST_CASE("stay: within what is sent again the table says nothing of a plan") {
  auto before = record(50, 80);
  before.partitions[0].blind = offset_t{100};
  const auto r = moved(base(before), {0}, {facts({}, 100)});
  REQUIRE_FALSE(r);
  CHECK(r.failure().way_out == "say so first: `chute state settle f.yaml --pipeline p --topic t --lane 0 --landed` or "
                               "`chute state settle f.yaml --pipeline p --topic t --lane 0 --not-landed`");
  before.open.reset();
  const auto kept = must(moved(base(before), {0}, {facts({}, 120)}));
  CHECK(kept.partitions[0].blind == offset_t{120});
  CHECK_FALSE(kept.partitions[0].fill_to);
}

TEST_CASE("stay: where none of a lane's partitions can, they are moved together before each is") {
  auto two = record(50);
  two.partitions.push_back(two.partitions[0]);
  auto b = base(two);
  b.trust.not_there = false;
  const auto r = moved(b, {0}, {facts(71, 70), facts({}, 70)});
  REQUIRE_FALSE(r);
  CHECK(r.failure().cause.starts_with("topic t, lane 0, partition 1: "));
  CHECK(r.failure().way_out.find("with nobody running the pipeline: `chute state reset f.yaml --pipeline p --topic t "
                                 "--lane 0 --to-earliest`") != std::string::npos);
  auto together = must(moved(b, {0}, {facts(10, 70), facts(10, 70)}));
  b.before = together;
  const auto first = must(moved(b, {0}, {facts(71, 70), facts({}, 70)})); // as the message says
  CHECK(first.partitions[0].next == offset_t{71});
  CHECK(first.partitions[1].blind == offset_t{70});
}

TEST_CASE("stay: a record older than what was saved says where only with the table's help") {
  auto b = base(record(50, 80));
  b.went_back = true;
  const auto filled = must(moved(b, {0}, {facts({}, 120)})).partitions[0];
  CHECK(filled.next == offset_t{50});
  CHECK(filled.fill_to == offset_t{120});
  CHECK(moved(b, {0}, {facts(60, 120)}).ok()); // a person says where

  const auto refused = [](const move_base& from, const std::vector<move_facts>& f) {
    const auto r = moved(from, {0}, f);
    REQUIRE_FALSE(r);
    CHECK(r.failure().cause.ends_with(
        ": the record is older than what was saved, and does not say where it is: the store went back in time"));
    return r.failure().way_out;
  };
  auto silent = b, merges = b, blind = b, elsewhere = b;
  silent.trust = {};
  merges.trust.not_there = false;
  blind.before->partitions[0].blind = offset_t{90};
  elsewhere.destination = 23;
  for (auto* which : {&silent, &merges, &blind, &elsewhere}) {
    CHECK(refused(*which, {facts({})}) ==
          "say where: `chute state reset f.yaml --pipeline p --topic t --partition 0 --to-offset N`");
    CHECK(moved(*which, {0}, {facts(60)}).ok());
    which->before->open.reset();
    refused(*which, {facts({})});
    auto f = facts({});
    f.stays = offset_t{40}; // not the record's word
    CHECK(moved(*which, {0}, {f}).ok());
    which->went_back = false;
    CHECK(moved(*which, {0}, {facts({})}).ok());
  }
}

TEST_CASE("stay: where a record is too old, the lane is moved as a whole before each partition is") {
  auto two = record(50);
  two.partitions.push_back(two.partitions[0]);
  auto b = base(two);
  b.went_back = true;
  b.trust = {};
  const auto r = moved(b, {0}, {facts(120), facts({})});
  REQUIRE_FALSE(r);
  CHECK(r.failure().way_out ==
        "with nobody running the pipeline, move all of the lane first: `chute state reset f.yaml "
        "--pipeline p --topic t --lane 0 --to-earliest`, and then each partition: `chute state "
        "reset f.yaml --pipeline p --topic t --partition P --to-offset N`");
  b.before = must(moved(b, {0}, {facts(10), facts(10)})); // as the message says
  b.went_back = false;
  b.before = must(moved(b, {0}, {facts(120), facts({})}));
  const auto both = must(moved(b, {0}, {facts({}), facts(130)}));
  CHECK(both.partitions[0].next == offset_t{120});
  CHECK(both.partitions[1].next == offset_t{130});
}

TEST_CASE("settle: a record older than what was saved has not the last plan") {
  table_trust sees;
  sees.there = true;
  CHECK(cannot_settle_old_record(whose, {3}, sees).text() ==
        "state: topic t, lane 3: the store's record is older than what the group's offsets say was saved, so its open "
        "plan is not the last one: the store went back in time (bring the newer state back; or go on after what the "
        "table holds: `chute state reset f.yaml --pipeline p --topic t --lane 3 --to-table`; other lanes are settled "
        "with --lane N)");
  CHECK(cannot_settle_old_record(whose, {3}, {}).way_out.find("--lane 3 --to-earliest") != std::string::npos);
}

TEST_CASE("settle: what cannot be settled names commands that can be run") {
  CHECK(
      settled(record(50), 3, word::landed, {}, {0}, {{0, {}}}, whose).failure().text() ==
      "state: topic t, lane 0: it has no open plan (there is nothing to settle: `chute state show f.yaml` tells where "
      "it is)");
  table_trust sees;
  sees.there = true;
  CHECK(settled(record(50, 80), 3, word::not_landed, sees, {0}, {{4, {}}}, whose).failure().way_out ==
        "delete them first; or, if all of it landed: `chute state settle f.yaml --pipeline p --topic t --lane 0 "
        "--landed`");
  sees.not_there = true;
  CHECK(settled(record(50, 80), 3, word::not_landed, sees, {0}, {{4, {}}}, whose).failure().way_out ==
        "delete them first; or, if all of it landed: `chute state settle f.yaml --pipeline p --topic t --lane 0 "
        "--landed`; or, to send what is missing: `chute state settle f.yaml --pipeline p --topic t --lane 0`");
  CHECK(settled(record(50, 80), 3, word::table, {}, {0}, {{4, {}}}, whose).failure().way_out ==
        "say it: `chute state settle f.yaml --pipeline p --topic t --lane 0 --landed` or `chute state settle f.yaml "
        "--pipeline p --topic t --lane 0 --not-landed`");
}

TEST_CASE("settle: landed goes on behind the plan") {
  const auto r = must(settled(record(50, 80), 3, word::landed, {}, {0}, {{0, known_record{8, 1}}}, whose));
  CHECK(r.version == 8);
  CHECK(r.lineage == 70);
  CHECK_FALSE(r.open);
  CHECK(r.partitions[0].next == offset_t{81});
  CHECK(r.partitions[0].known == known_record{8, 1});
}

TEST_CASE("settle: not landed sends it anew, unless the table shows some of it") {
  table_trust sees;
  sees.there = true;
  CHECK(must(settled(record(50, 80), 3, word::not_landed, sees, {0}, {{0, {}}}, whose)).partitions[0].next ==
        offset_t{50});
  CHECK_FALSE(settled(record(50, 80), 3, word::not_landed, sees, {0}, {{4, {}}}, whose));
  auto blind = record(50, 80);
  blind.partitions[0].blind = offset_t{80};
  CHECK(settled(blind, 3, word::not_landed, sees, {0}, {{31, {}}}, whose).ok());
  CHECK(settled(record(50, 80), 3, word::not_landed, {}, {0}, {{0, {}}}, whose).ok());
}

TEST_CASE("settle: without a word the table says it, where it is believed") {
  table_trust believed;
  believed.there = believed.not_there = true;
  const auto r = must(settled(record(50, 80), 3, word::table, believed, {0}, {{4, {}}}, whose));
  CHECK(r.partitions[0].next == offset_t{50});
  CHECK(r.partitions[0].fill_to == offset_t{80});
  CHECK_FALSE(settled(record(50, 80), 3, word::table, {}, {0}, {{4, {}}}, whose));
  auto blind = record(50, 80);
  blind.partitions[0].blind = offset_t{80};
  CHECK_FALSE(settled(blind, 3, word::table, believed, {0}, {{4, {}}}, whose));
  CHECK_FALSE(settled(record(50), 3, word::landed, believed, {0}, {{0, {}}}, whose));
}

TEST_CASE("settle: a table that shows nothing of what was done, or has views, settles nothing by itself") {
  table_trust believed;
  believed.there = believed.not_there = true;
  const auto shown = [&](std::uint64_t found, std::uint64_t done, bool ever = true) {
    auto before = record(50, 80);
    before.ever = ever;
    return settled(before, 3, word::table, believed, {0}, {{found, {}, done}}, whose);
  };
  CHECK_FALSE(shown(0, 0));
  CHECK(shown(0, 0).failure().cause.find("a wrong server") != std::string::npos);
  CHECK(shown(4, 0).ok());
  CHECK(shown(0, 1).ok());
  CHECK(shown(0, 0, false).ok());
  believed.dependent_views = true;
  CHECK_FALSE(shown(4, 20));
  CHECK(settled(record(50, 80), 3, word::not_landed, believed, {0}, {{4, {}}}, whose)
            .failure()
            .way_out.find("to send what is missing") == std::string::npos);
}
