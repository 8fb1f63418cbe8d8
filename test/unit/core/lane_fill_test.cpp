// A fill: a part of a doubted plan is there, and only what is missing is sent.
#include "lane_harness.hpp"

using namespace chute;
using namespace chute::test;

namespace {

std::vector<std::int64_t> offsets_of(const batch& b) {
  std::vector<std::int64_t> out;
  for (auto& r : b.ranges)
    for (auto k = r.first; k < r.first + r.count; ++k) out.push_back(r.from->offsets[k]);
  return out;
}

// Of the records 10 to 19 some are there: a fill was planned and saved, and is
// about to ask.
struct filling : harness {
  token_t before;
  explicit filling(std::uint64_t there = 4) {
    doubted();
    before = saved().open->token;
    tell({rows_found(there), rows_found(10)});
    wait_until_quiet();
    tell({rows_found(there), rows_found(10)});
    accept();
  }
};

} // namespace

TEST_CASE("what is partly there is planned as a fill, with a token of its own") {
  filling h;
  auto p = *h.saved().open;
  CHECK(p.kind == plan_kind::fill);
  CHECK(p.token != h.before);
  CHECK(p.last[0] == offset_t{19});
  CHECK(h.saved().partitions[0].fill_to == offset_t{19});
  CHECK_FALSE(h.has<fx_insert>());
}

TEST_CASE("until a plan that landed in part is filled in, its last record is what the log is known by") {
  filling h;
  auto end = records(0, 10, 10)->hashes[9];
  auto p = h.saved().partitions[0];
  CHECK(p.next == offset_t{10});
  REQUIRE(p.known_at());
  CHECK(*p.known_at() == offset_t{19});
  CHECK(p.known->hash == static_cast<std::uint32_t>(end));
  p.pass(offset_t{15}, known_record{1, 1}); // a piece of it
  CHECK(*p.known_at() == offset_t{19});
  p.pass(offset_t{20}, known_record{1, 1});
  CHECK_FALSE(p.fill_to);
  CHECK(*p.known_at() == offset_t{19});
  CHECK(p.known->hash == static_cast<std::uint32_t>(end));
  p.pass(offset_t{25}, std::nullopt);
  CHECK(*p.known_at() == offset_t{19});
  p.pass(offset_t{30}, known_record{7, 2});
  CHECK(*p.known_at() == offset_t{28});
}

TEST_CASE("a fill asks which offsets are there, and sends only the others") {
  filling h;
  auto asked = h.tell_offsets({{10, 11, 15, 19}});
  CHECK(asked.settled);
  REQUIRE(asked.ranges.size() == 1);
  CHECK(asked.ranges[0].first == offset_t{10});
  auto fx = h.take<fx_insert>();
  CHECK(offsets_of(*fx.what) == std::vector<std::int64_t>{12, 13, 14, 16, 17, 18});
  CHECK(fx.what->rows == 6);
  CHECK(fx.what->token == h.saved().open->token);
}

TEST_CASE("what the table has of a fill, and the log has no more, says nothing against it") {
  filling h;
  h.tell_offsets({{7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}}); // three were compacted away since
  CHECK(offsets_of(*h.take<fx_insert>().what) == std::vector<std::int64_t>{18, 19});
}

TEST_CASE("a fill is settled by its list: what is there, and not wanted, may be as much as what is missing") {
  harness h;
  h.doubted();
  h.tell({rows_found(7), rows_found(10)}); // 10 to 16
  h.wait_until_quiet();
  h.tell({rows_found(7), rows_found(10)});
  h.accept();
  auto moved = h.saved(); // three of them were compacted away since, and a person moved the lane (state reset)
  moved.open.reset();
  h.stored = encode_record(moved);
  h.restart();
  h.give(gap(0, 10, 3));
  h.give(records(0, 13, 7));
  h.pass(1'000);
  h.accept();
  h.tell_offsets({{10, 11, 12, 13, 14, 15, 16}});
  CHECK(offsets_of(*h.take<fx_insert>().what) == std::vector<std::int64_t>{17, 18, 19});
  h.skip(250'000); // the token may be forgotten
  h.restart();
  h.give(gap(0, 10, 3));
  h.give(records(0, 13, 7));
  h.tell_offsets({{10, 11, 12, 13, 14, 15, 16}});
  h.tell({rows_found(7), rows_found(10)}); // as many as are wanted
  for (int i = 0; i < 200 && !h.has<fx_insert>(); ++i) {
    bool list = false, count = false;
    for (auto& e : h.out)
      if (auto* f = std::get_if<fx_ask>(&e)) list = f->list, count = !f->list;
    if (list) h.tell_offsets({{10, 11, 12, 13, 14, 15, 16}});
    else if (count) h.tell({rows_found(7), rows_found(10)});
    if (h.has<fx_save>()) h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{10});
    if (!h.has<fx_insert>()) h.pass(1'000);
  }
  CHECK(offsets_of(*h.take<fx_insert>().what) == std::vector<std::int64_t>{17, 18, 19});
}

TEST_CASE("a fill is confirmed, also at its first acknowledgement") {
  filling h;
  h.tell_offsets({{10, 11, 15, 19}});
  h.acknowledge();
  CHECK_FALSE(h.has<fx_save>());
  SUBCASE("there") {
    h.tell_offsets({{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}});
    h.pass(1'000);
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{20});
    CHECK_FALSE(h.saved().partitions[0].fill_to);
    CHECK_FALSE(h.has<fx_insert>());
  }
  SUBCASE("never there: a doubt in its turn") {
    auto token = h.saved().open->token;
    for (int i = 0; i < 100 && !h.has<fx_save>(); ++i) {
      bool list = false;
      for (auto& e : h.out)
        if (auto* f = std::get_if<fx_ask>(&e)) list = f->list;
      if (list) h.tell_offsets({{10, 11, 15, 19}});
      else if (h.has<fx_ask>()) h.tell({rows_found(4), rows_found(10)});
      CHECK_FALSE(h.has<fx_insert>());
      if (!h.has<fx_save>()) h.pass(1'000);
    }
    h.accept();
    CHECK(h.saved().open->kind == plan_kind::fill);
    CHECK(h.saved().open->token != token);
    CHECK(h.saved().partitions[0].next == offset_t{10});
  }
}

TEST_CASE("a fill asks again before it sends again") {
  filling h;
  h.tell_offsets({{10, 11, 15, 19}});
  h.unanswered();
  h.pass(1'000);
  CHECK_FALSE(h.has<fx_insert>());
  SUBCASE("it did not land") {
    h.tell_offsets({{10, 11, 15, 19}});
    CHECK(h.take<fx_insert>().what->rows == 6);
  }
  SUBCASE("it landed") {
    h.tell_offsets({{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}});
    CHECK_FALSE(h.has<fx_insert>());
    h.pass(1'000);
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{20});
  }
}

TEST_CASE("a list that took long is not gone through again for the save that renews the lease") {
  filling h;
  h.wait(35'000); // half of the lease and some
  h.tell_offsets({{10, 11, 15, 19}});
  h.accept(); // the lease
  CHECK_FALSE(h.has<fx_ask>());
  CHECK(h.take<fx_insert>().what->rows == 6);
}

TEST_CASE("a fill is not sent again while an attempt is seen on the server") {
  filling h;
  h.tell_offsets({{}});
  h.unanswered();
  h.pass(1'000);
  const auto fx = h.take<fx_ask>();
  CHECK(fx.still == h.saved().open->token);
  table_answer a;
  a.answered = true;
  a.listed = {{{}}, {{}}};
  a.counts.resize(1);
  h.machine->answered(h.now, fx.ticket, a, true);
  CHECK_FALSE(h.has<fx_insert>());
  CHECK(h.machine->status().waiting_for.find("which still runs") != std::string::npos);
  h.pass(2'000);
  h.tell_offsets({{}});
  CHECK(h.has<fx_insert>());
}

TEST_CASE("a fill that may have failed halfway says nothing of what a view has") {
  filling h;
  h.standing = table_standing{h.config.trust, h.config.window_ms, h.config.window_ids};
  h.standing->trust.dependent_views = true;
  h.tell_offsets({{10, 11, 15, 19}});
  bool clean = false;
  SUBCASE("no answer") { h.unanswered(); }
  SUBCASE("acknowledged at once") {
    clean = true;
    h.acknowledge();
  }
  if (!clean) h.pass(1'000);
  h.tell_offsets({{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}});
  CHECK((h.machine->phase() == lane_phase::stopped) == !clean);
  if (clean) {
    h.pass(1'000);
    h.accept();
    CHECK(h.saved().partitions[0].next == offset_t{20});
  } else CHECK(h.take<fx_stopped>().reason.find("its dependent views cannot be asked") != std::string::npos);
}

TEST_CASE("a fill that failed, and was acknowledged when it was sent again, has all of it in its views") {
  filling h;
  h.standing = table_standing{h.config.trust, h.config.window_ms, h.config.window_ids};
  h.standing->trust.dependent_views = true;
  bool sure = true;
  const std::vector<std::int64_t> some{10, 11, 15, 19};
  SUBCASE("it failed as a whole") {
    h.tell_offsets({some});
    h.unanswered();
    h.pass(1'000);
    h.tell_offsets({some});
  }
  SUBCASE("another process was at it: in a table without partitions it landed as a whole, or not") {
    h.restart();
    h.give(records(0, 10, 10));
    h.tell_offsets({some});
  }
  SUBCASE("in one with partitions it may have landed in part, then and now") {
    sure = false;
    h.standing->trust.split = true;
    h.tell_offsets({some});
    h.unanswered();
    h.pass(1'000);
    h.tell_offsets({{10, 11, 12, 15, 19}});
  }
  SUBCASE("of one with partitions nobody knows what another process sent") {
    sure = false;
    h.standing->trust.split = true;
    h.restart();
    h.give(records(0, 10, 10));
    h.tell_offsets({some});
  }
  h.acknowledge();
  h.tell_offsets({{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}});
  CHECK((h.machine->phase() == lane_phase::stopped) == !sure);
}

TEST_CASE("a fill without an answer to its question sends nothing") {
  filling h;
  h.no_answer();
  CHECK_FALSE(h.has<fx_insert>());
  h.wait(5'000);
  CHECK(h.has<fx_ask>());
}

TEST_CASE("a fill that is loaded asks before it sends; past good_until it is a "
          "doubt") {
  filling h;
  auto token = h.saved().open->token;
  h.tell_offsets({{10, 11, 15, 19}});
  bool late = false;
  SUBCASE("in time") {}
  SUBCASE("late") {
    late = true;
    h.skip(250'000);
  }
  h.restart();
  h.give(records(0, 10, 10));
  CHECK_FALSE(h.has<fx_insert>());
  h.tell_offsets({{10, 11, 15, 19}});
  CHECK(h.has<fx_insert>() != late);
  if (late) CHECK(h.take<fx_ask>().running == token);
  else CHECK(offsets_of(*h.take<fx_insert>().what).size() == 6);
}

TEST_CASE("dead letters of a fill are filled in likewise, after its rows") {
  harness h;
  h.config.window_ms = 200'000;
  std::vector<outcome> kinds{outcome::row, outcome::dead_letter, outcome::row, outcome::dead_letter, outcome::dropped};
  h.first_start();
  h.give(records(0, 0, 5, kinds));
  h.pass(1'000);
  h.accept();
  h.skip(150'000);
  h.restart();
  h.give(records(0, 0, 5, kinds));
  h.tell({{1, 1, 1, 1, 2}});
  h.wait_until_quiet();
  h.tell({{1, 1, 1, 1, 2}});
  h.accept();
  h.tell_offsets({{0, 3}});
  auto rows = h.take<fx_insert>();
  CHECK_FALSE(rows.dead_letters);
  CHECK(rows.what->rows == 1);
  CHECK(rows.what->dead == 1);
  CHECK(offsets_of(*rows.what) == std::vector<std::int64_t>{1, 2});
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, rows.ticket, a);
  h.tell_offsets({{0, 2, 3}});
  auto dead = h.take<fx_insert>();
  CHECK(dead.dead_letters);
  CHECK(offsets_of(*dead.what) == std::vector<std::int64_t>{1});
  h.machine->inserted(h.now, dead.ticket, a);
  h.tell_offsets({{0, 1, 2, 3}});
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{5});
}

TEST_CASE("behind what is filled plans are batches again") {
  filling h;
  h.give(records(0, 20, 3));
  h.tell_offsets({{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}});
  h.pass(1'000);
  h.accept();
  REQUIRE(h.saved().open);
  CHECK(h.saved().open->kind == plan_kind::batch);
  CHECK(h.saved().open->last[0] == offset_t{22});
}
