// Partitions that are far behind are read in turns, so that what their readers hold has a bound.
#include "test/unit/core/lane_harness.hpp"

#include <map>
#include <set>
#include <vector>

namespace chute::test {

namespace {

// One lane of several partitions, each with a thousand records of ten bytes.
struct turns : harness {
  explicit turns(int partitions, std::size_t at_once = 1) : harness(partitions, 1) {
    config.behind_at_once = at_once;
    config.behind_bytes = 1'000;
    config.turn_bytes = 500;
    config.batch.rows = 100'000;
  }
  void begin(std::int64_t end = 1'000) {
    start();
    load_absent();
    inspect(0, end);
    answer();
    accept();
    machine->marked_started(now, take<fx_mark_started>().ticket, true, {});
    follow();
  }
  // What the readers would have been told.
  void follow() {
    collect();
    for (auto& e : out) {
      if (auto* r = std::get_if<fx_read>(&e)) {
        CHECK(on.insert(r->partition.value).second);
        from[r->partition.value] = r->from.value;
      }
      if (auto* a = std::get_if<fx_set_aside>(&e)) {
        CHECK(on.erase(a->partition.value) == 1);
      }
      if (std::holds_alternative<fx_stop_reading>(e)) on.clear();
    }
    std::erase_if(out, [](auto& e) {
      return std::holds_alternative<fx_read>(e) || std::holds_alternative<fx_set_aside>(e) ||
             std::holds_alternative<fx_stop_reading>(e);
    });
  }
  bool has_credit(int p) {
    collect();
    return std::any_of(out.begin(), out.end(), [&](auto& e) {
      auto* f = std::get_if<fx_take>(&e);
      return f && f->partition.value == p;
    });
  }
  // The next `n` records of a partition, from a log that ends at `end`.
  void more(int p, int n, std::int64_t end = 1'000, bool at_end = false) {
    auto c = std::const_pointer_cast<chunk>(records(p, next[p], n));
    c->log_end = end;
    c->at_end = at_end;
    next[p] += n;
    give(c);
    follow();
  }
  // Ten records of so many bytes, and what they take in memory beside what little the test's own do.
  void wide(int p, std::uint32_t bytes, std::size_t memory, std::int64_t end = 1'000) {
    auto c = std::const_pointer_cast<chunk>(records(p, next[p], 10, {outcome::dead_letter}));
    c->sizes.assign(10, bytes);
    c->dead[0].error.assign(memory, '.');
    c->log_end = end;
    next[p] += 10;
    give(c);
    follow();
  }
  std::uint64_t asked(int p) {
    collect();
    for (const auto& e : out)
      if (const auto* f = std::get_if<fx_take>(&e); f && f->partition.value == p) return f->bytes;
    return 0;
  }
  // Gives whatever was asked for until the partition is set aside.
  void whole_turn(int p) {
    for (int i = 0; i < 100 && on.contains(p); ++i) {
      REQUIRE(has_credit(p));
      more(p, 10);
    }
    CHECK_FALSE(on.contains(p));
  }
  void end_seen(int p, bool nothing_comes = false) {
    std::uint64_t epoch = 0;
    for (auto& e : out)
      if (auto* f = std::get_if<fx_take>(&e); f && f->partition.value == p) epoch = f->epoch;
    machine->end_seen(now, epoch, {p}, nothing_comes ? std::nullopt : std::optional(offset_t{next[p]}));
    follow();
  }
  using ids = std::set<int>;
  ids on;                                 // readers that were started
  std::map<int, std::int64_t> next, from; // the next record of each partition; where it was started last
};

} // namespace

TEST_CASE("turns: of the partitions that are far behind only a few are read at once") {
  turns h(5, 2);
  h.begin();
  CHECK(h.on == turns::ids{0, 1});
  for (int p : {2, 3, 4}) CHECK_FALSE(h.has_credit(p));
}

TEST_CASE("turns: what is near the log's end is read at once, all of it") {
  turns h(5);
  h.begin(0);
  CHECK(h.on == turns::ids{0, 1, 2, 3, 4});
  for (int p = 0; p < 5; ++p) CHECK(h.has_credit(p));
}

TEST_CASE("turns: how large records are is not known before the first came") {
  turns h(4);
  SUBCASE("small: what is near need not wait any longer") {
    h.begin(90);
    CHECK(h.on == turns::ids{0});
    h.more(0, 10, 90);
    CHECK(h.on == turns::ids{0, 1, 2, 3});
    for (int p = 0; p < 4; ++p) CHECK(h.has_credit(p));
  }
  SUBCASE("small, but many are left") {
    h.begin(200);
    h.more(0, 10, 200);
    CHECK(h.on == turns::ids{0});
  }
  SUBCASE("large") {
    h.config.behind_bytes = 100;
    h.begin(90);
    h.more(0, 10, 90);
    CHECK(h.on == turns::ids{0});
  }
  SUBCASE("one record each is not worth a turn") {
    h.config.behind_bytes = 64 << 10;
    h.begin(1);
    CHECK(h.on == turns::ids{0, 1, 2, 3});
  }
}

TEST_CASE("turns: without a limit all are read at once") {
  turns h(5, 0);
  h.begin();
  CHECK(h.on == turns::ids{0, 1, 2, 3, 4});
}

TEST_CASE("turns: after its bytes a partition makes room for the next, and goes on later where it was") {
  turns h(3);
  h.begin();
  h.whole_turn(0);
  const auto left_at = h.next[0];
  CHECK(left_at >= 50);
  CHECK(left_at < 1'000);
  CHECK(h.on == turns::ids{1});
  h.whole_turn(1);
  CHECK(h.on == turns::ids{2});
  h.whole_turn(2);
  CHECK(h.on == turns::ids{0});
  CHECK(h.from[0] == left_at);
  h.more(0, 10);
}

TEST_CASE("turns: a partition is set aside only when nothing of it is on its way") {
  turns h(2);
  h.begin();
  CHECK(h.has_credit(0));
  h.more(0, 10);
  h.more(0, 60); // its turn is over; a chunk may be on its way
  REQUIRE(h.has_credit(0));
  CHECK(h.on == turns::ids{0});
  h.more(0, 10);
  CHECK(h.on == turns::ids{1});
}

TEST_CASE("turns: a partition that reached the log's end needs its turn no longer, and is read on") {
  turns h(3);
  h.begin();
  SUBCASE("told with its last records") { h.more(0, 40, 40, true); }
  SUBCASE("told by the log's end") { h.more(0, 40, 40); }
  SUBCASE("told later") {
    h.more(0, 40);
    h.end_seen(0);
  }
  CHECK(h.on == turns::ids{0, 1});
  CHECK(h.has_credit(0));
  h.more(0, 1, 41, true);
  CHECK(h.on == turns::ids{0, 1});
}

TEST_CASE("turns: a partition of which nothing comes does not keep the others waiting") {
  turns h(3);
  h.begin();
  h.pass(999);
  CHECK_FALSE(h.has<fx_ask_reader>());
  h.pass(1);
  CHECK(h.take<fx_ask_reader>().partition.value == 0);
  h.pass(999);
  CHECK_FALSE(h.has<fx_ask_reader>());
  CHECK(h.on == turns::ids{0}); // what it has may wait to be converted
  h.end_seen(0, true);
  CHECK(h.on == turns::ids{0, 1});
  CHECK(h.machine->status().partitions[0].end == 1'000);
  h.more(0, 10); // it is there after all, and waits for its turn like the others
  for (int i = 0; i < 100 && h.on.contains(0) && h.has_credit(0); ++i) h.more(0, 10);
  h.pass(1);
  h.follow();
  CHECK(h.on == turns::ids{1});
}

TEST_CASE("turns: a partition that falls behind beside others waits like them") {
  turns h(3);
  h.begin(0);
  h.more(0, 10, 1'000);
  CHECK(h.on == turns::ids{0, 1, 2}); // it has the turn
  h.more(1, 10, 1'000);
  h.more(1, 10, 1'000);
  CHECK(h.on == turns::ids{0, 2});
  CHECK(h.next[1] == 20);
}

TEST_CASE("turns: where a plan is built again those that it needs come first") {
  turns h(3);
  h.config.turn_bytes = 100'000;
  h.begin(0);
  for (int p : {1, 2}) h.more(p, 10, 10, true);
  h.pass(h.config.batch.wait_ms);
  h.accept();
  h.restart();
  auto told = h.machine->phase();
  CHECK(told == lane_phase::settling);
  h.on.clear();
  h.follow(); // the harness's log ends at 1,000,000: all are far behind, and nothing of 0 is needed
  CHECK(h.on == turns::ids{1});
  h.next = {};
  h.more(1, 10, 1'000'000);
  for (int i = 0; i < 3 && h.has_credit(1); ++i) h.more(1, 10, 1'000'000);
  CHECK(h.on == turns::ids{2});
}

TEST_CASE("turns: a partition that was set aside for long finds the log that was read") {
  turns h(2);
  h.config.unseen_limit_ms = 2'000;
  h.begin();
  h.whole_turn(0);
  h.pass(1'000);
  h.pass(1'500);
  for (int i = 0; i < 100 && !h.on.contains(0); ++i) {
    if (h.has<fx_save>()) h.accept();
    h.more(1, 10);
  }
  REQUIRE(h.on.contains(0));
  CHECK(h.machine->looks_at_log());
  if (h.has<fx_save>()) h.accept();
  if (h.has<fx_insert>()) h.acknowledge();
  if (h.has<fx_save>()) h.accept();
  h.pass(1);
  auto look = h.take<fx_inspect>();
  REQUIRE(look.probes.size() == 2);
  CHECK(look.probes[0].at);
  CHECK_FALSE(look.probes[1].at); // it was read all the time
}

TEST_CASE("turns: while nothing can be sent, what comes is left in Kafka, and read in turns afterwards") {
  turns h(3);
  h.config.batch.rows = 20;
  h.begin(0);
  h.more(0, 20, 20, true);
  h.accept(); // its insert stays under way
  const auto insert = h.take<fx_insert>();
  for (int i = 0; i < 100; ++i)
    for (int p : {0, 1, 2})
      if (h.has_credit(p)) h.more(p, 10, h.next[p] + 10, true);
  for (int p : {0, 1, 2}) CHECK_FALSE(h.has_credit(p));
  h.pass(1'999);
  h.follow();
  CHECK(h.on == turns::ids{0, 1, 2});
  h.pass(1);
  h.follow();
  CHECK(h.on.empty());
  h.pass(5'000);
  h.follow();
  CHECK(h.on.empty()); // nothing is begun that would only be held
  insert_answer a;
  a.what = insert_answer::verdict::acknowledged;
  a.answered = true;
  h.machine->inserted(h.now, insert.ticket, a);
  for (int i = 0; i < 10 && h.on.empty(); ++i) {
    if (h.has<fx_save>()) h.accept();
    if (h.has<fx_insert>()) h.acknowledge();
    h.pass(1);
    h.follow();
  }
  CHECK(h.on.size() == 1);
}

TEST_CASE("turns: most of the lane's memory is for those who have much to read") {
  for (const bool far : {false, true}) {
    turns h(10);
    h.config.gather_bytes_max = 4 << 20;
    h.config.turn_bytes = 1 << 20;
    h.begin(far ? 1'000 : 0);
    h.wide(0, 8'000, 0, far ? 1'000 : -1);
    CHECK(h.take<fx_take>().bytes == (16 << 10)); // asked for before
    CHECK(h.asked(0) == (far ? (4 << 20) / 4 : (4 << 20) / 20));
  }
}

TEST_CASE("of few partitions two chunks each are under way, of many one, and larger") {
  for (const int partitions : {7, 8}) {
    turns h(partitions);
    h.config.gather_bytes_max = 4 << 20;
    h.begin(0);
    h.wide(0, 8'000, 0, -1);
    std::vector<std::uint64_t> asked;
    for (int k = 0; k < (partitions == 7 ? 2 : 1); ++k) h.more(1, 1, -1); // asked for before anything came
    h.collect();
    for (const auto& e : h.out)
      if (const auto* f = std::get_if<fx_take>(&e); f && f->partition.value == 1) asked.push_back(f->bytes);
    CHECK(asked == (partitions == 7 ? std::vector<std::uint64_t>(2, (4 << 20) / 4 / 7)
                                    : std::vector<std::uint64_t>{(4 << 20) / 2 / 8}));
  }
}

TEST_CASE("what is asked for is counted as the memory that it becomes") {
  turns h(1);
  h.config.gather_bytes_max = 64 << 20;
  h.config.turn_bytes = 1 << 30;
  h.begin();
  CHECK(h.asked(0) == (16 << 10));                          // nobody knows yet
  for (int i = 0; i < 2; ++i) h.wide(0, 10'000, 1'600'000); // both were asked for before anything came
  const auto narrow = h.asked(0);
  CHECK(narrow > (1 << 20) / 20);
  CHECK(narrow < (1 << 20) / 15);
  for (int i = 0; i < 30; ++i) h.wide(0, 10'000, 0); // little by little it is believed that they are others now
  CHECK(h.asked(0) == (1 << 20));
}

TEST_CASE("turns: a lane that stands still sets its partitions aside, even where all of them are read at once") {
  turns h(2, 4);
  h.config.batch.rows = 10;
  h.begin();
  CHECK(h.on == turns::ids{0, 1});
  for (int i = 0; i < 20; ++i)
    for (int p : {0, 1})
      if (h.has_credit(p)) h.more(p, 10);
  h.accept(); // of the plan: its insert is under way
  for (int i = 0; i < 20; ++i)
    for (int p : {0, 1})
      if (h.has_credit(p)) h.more(p, 10);
  REQUIRE_FALSE(h.has_credit(0));
  REQUIRE_FALSE(h.has_credit(1));
  h.wait(9'000);
  h.follow();
  CHECK(h.on == turns::ids{0, 1}); // an insert may take a while
  h.wait(2'000);
  h.follow();
  CHECK(h.on.empty());
  for (int i = 0; i < 10 && h.on.size() < 2; ++i) {
    h.acknowledge();
    if (h.has<fx_save>()) h.accept();
    h.follow();
  }
  CHECK(h.on == turns::ids{0, 1});
  CHECK(h.from[0] == h.next[0]);
}

} // namespace chute::test
