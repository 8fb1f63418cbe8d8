// kafka::inspector against a real broker.
#include "kafka/group.hpp"
#include "kafka/inspect.hpp"
#include "test/stores/real_broker.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

using namespace chute;
using namespace chute::kafka;
using namespace chute::test;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t limit = 15'000;

std::unique_ptr<inspector> open(const std::string& where = brokers()) {
  auto made = inspector::open({where, {}, {}});
  REQUIRE_MESSAGE(made, (made ? "" : made.failure().text()));
  return *std::move(made);
}

} // namespace

TEST_SUITE_BEGIN("inspect");

TEST_CASE("topics by name and by pattern") {
  auto prefix = unique_name("p");
  create_topic(prefix + "-a", 3);
  create_topic(prefix + "-b", 1);
  auto i = open();
  auto by_name = i->topics({prefix + "-a", prefix + "-none"}, limit);
  REQUIRE(by_name);
  REQUIRE(by_name->size() == 2);
  CHECK((*by_name)[0].name == prefix + "-a");
  CHECK((*by_name)[0].partitions == 3);
  CHECK(!(*by_name)[0].failure);
  CHECK((*by_name)[1].failure);
  auto by_pattern = i->topics({"^" + prefix + "-.$"}, limit);
  REQUIRE(by_pattern);
  CHECK(by_pattern->size() == 2);
  CHECK(!i->topics({"^("}, limit));
  const auto all = i->topics({"^.*"}, limit); // but for Kafka's own
  REQUIRE(all);
  CHECK(all->size() >= 2);
  CHECK(std::none_of(all->begin(), all->end(), [](const auto& t) { return t.name == "__consumer_offsets"; }));
  CHECK(!i->topics({"__consumer_offsets"}, limit)->at(0).failure);
  CHECK(i->topics({"^" + prefix + "$"}, limit)->empty());
  add_partitions(prefix + "-a", 5);
  CHECK(eventually([&] { return i->topics({prefix + "-a"}, limit)->at(0).partitions == 5; }));
  auto id = i->cluster_id(limit);
  REQUIRE(id);
  CHECK(!(*id).empty());
  delete_topic(prefix + "-a");
  delete_topic(prefix + "-b");
}

TEST_CASE("bounds, and the offsets of a time") {
  auto t = unique_name("t");
  create_topic(t, 3);
  producer p, tx(unique_name("tx"));
  for (int k = 0; k < 10; ++k) p.send(t, 0, {std::nullopt, "v", 1'000'000 + 1'000 * k, {}});
  delete_records(t, 0, 4);
  p.send(t, 1, {std::nullopt, "v", 5, {}});
  tx.begin();
  tx.send(t, 1, {std::nullopt, "open", 6, {}});
  auto i = open();
  auto b = i->bounds({{t, {2}}, {t, {0}}, {"no-such-topic", {0}}, {t, {1}}}, limit);
  REQUIRE(b.size() == 4);
  REQUIRE(b[0]);
  CHECK(b[0]->begin.value == 0);
  CHECK(b[0]->end.value == 0);
  REQUIRE(b[1]);
  CHECK(b[1]->begin.value == 4);
  CHECK(b[1]->end.value == 10);
  CHECK(!b[2]);
  REQUIRE(b[3]);
  CHECK(b[3]->end.value == 1); // an open transaction is not committed
  tx.commit();
  CHECK(eventually([&] { return i->bounds({{t, {1}}}, limit)[0]->end.value == 3; }));

  auto at = i->offsets_for_time({{t, {0}}, {t, {2}}}, 1'006'500, limit);
  REQUIRE(at[0]);
  CHECK(at[0]->value == 7);
  REQUIRE(at[1]);
  CHECK(at[1]->value == 0); // an empty partition: its end
  auto late = i->offsets_for_time({{t, {0}}}, 9'000'000'000'000, limit);
  REQUIRE(late[0]);
  CHECK(late[0]->value == 10);
  delete_topic(t);
}

TEST_CASE("the offset of a time lies behind no record that is as young, whatever comes while it is asked for") {
  auto t = unique_name("t");
  create_topic(t, 1);
  const auto now_ms = [] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  };
  std::atomic<bool> over = false;
  std::vector<std::int64_t> came; // their times, by offset
  std::thread producing([&] {
    for (producer p; !over;) {
      came.push_back(now_ms());
      p.send(t, 0, {std::nullopt, "v", came.back(), {}});
    }
  });
  auto i = open();
  std::vector<std::pair<std::int64_t, std::int64_t>> asked; // a time, and its offset
  for (int k = 0; k < 500; ++k) {
    const auto at = now_ms() + 1; // nothing is as young yet; by the end of the question something may be
    const auto found = i->offsets_for_time({{t, {0}}}, at, limit)[0];
    if (found) asked.emplace_back(at, found->value);
  }
  over = true;
  producing.join();
  CHECK(asked.size() > 400);
  for (const auto& [at, offset] : asked) {
    const auto first = std::find_if(came.begin(), came.end(), [at = at](std::int64_t c) { return c >= at; });
    CHECK(offset <= first - came.begin());
  }
  delete_topic(t);
}

TEST_CASE("what lies at an offset") {
  auto t = unique_name("t");
  create_topic(t, 2);
  producer p(unique_name("tx"));
  p.begin();
  p.send(t, 0, {"k", "v0", 77, {}});
  p.send(t, 0, {std::nullopt, std::nullopt, 78, {}});
  p.commit(); // 2: its marker
  p.begin();
  p.send(t, 0, {std::nullopt, "aborted", 79, {}});
  p.abort(); // 3, 4
  auto i = open();
  using status = record_at::status;
  auto one = [&](std::int64_t at) { return i->read_one({t, {0}}, {at}, limit); };
  REQUIRE(one(0).what == status::found);
  CHECK(one(0).hash == record_hash(77, "k", "v0"));
  CHECK(one(0).hash != record_hash(77, "k", "v1"));
  REQUIRE(one(1).what == status::found);
  CHECK(one(1).hash == record_hash(78, std::nullopt, std::nullopt));
  CHECK(one(2).what == status::none);
  CHECK(one(3).what == status::none);
  CHECK(one(4).what == status::none);
  CHECK(one(5).what == status::out_of_range);
  CHECK(one(50).what == status::out_of_range);
  CHECK(one(-1).what == status::out_of_range);
  delete_records(t, 0, 1);
  CHECK(eventually([&] { return one(0).what == status::out_of_range; }));
  auto many = i->read({{{t, {1}}, {0}}, {{t, {0}}, {1}}, {{"no-such-topic", {0}}, {0}}, {{t, {0}}, {1}}}, limit);
  REQUIRE(many.size() == 4);
  CHECK(many[0].what == status::out_of_range);
  CHECK(many[1].what == status::found);
  CHECK(many[2].what == status::failed);
  CHECK(many[2].why);
  CHECK(many[3].what == status::failed); // twice in one call
  delete_topic(t);
}

TEST_CASE("many partitions are read side by side") {
  auto t = unique_name("t");
  create_topic(t, 100);
  producer p;
  for (int k = 0; k < 100; ++k) p.send_many(t, k, 20, "v");
  std::vector<partition_offset> places;
  for (int k = 0; k < 100; ++k) places.push_back({{t, {k}}, {k % 20}});
  auto i = open();
  auto start = std::chrono::steady_clock::now();
  auto found = i->read(places, limit);
  CHECK(std::chrono::steady_clock::now() - start < 5s);
  for (const auto& f : found) CHECK(f.what == record_at::status::found);
  delete_topic(t);
}

TEST_CASE("many partitions are read also where a batch is larger than what is asked for") {
  auto t = unique_name("t");
  create_topic(t, 40);
  producer p;
  for (int k = 0; k < 40; ++k) p.send_many(t, k, 400, std::string(2'000, 'v'));
  std::vector<partition_offset> places;
  for (int k = 0; k < 40; ++k) places.push_back({{t, {k}}, {k * 2}});
  auto i = open();
  for (int round = 0; round < 2; ++round) {
    auto start = std::chrono::steady_clock::now();
    auto found = i->read(places, 10'000);
    // Before the next look would be wanted, because nothing was read meanwhile.
    CHECK(std::chrono::steady_clock::now() - start < 2s);
    for (const auto& f : found) CHECK(f.what == record_at::status::found);
  }
  delete_topic(t);
}

TEST_CASE("who is in a group") {
  auto t = unique_name("t"), g = unique_name("g");
  create_topic(t, 2);
  auto i = open();
  auto nobody = i->group_members(g, limit);
  REQUIRE_MESSAGE(nobody, (nobody ? "" : nobody.failure().text()));
  CHECK(nobody->empty());
  {
    auto m = kafka::group_member::open({{brokers(), {{"client.id", "me"}}, {}}, g, {t}, {}});
    REQUIRE(m);
    REQUIRE(eventually([&] {
      (*m)->poll(0);
      return (*m)->has_assignment();
    }));
    auto who = i->group_members(g, limit);
    REQUIRE(who);
    REQUIRE(who->size() == 1);
    CHECK((*who)[0].member_id == (*m)->member_id());
    CHECK((*who)[0].client_id == "me");
    CHECK((*who)[0].partitions.size() == 2);
  }
  CHECK(eventually([&] { return i->group_members(g, limit)->empty(); }, 5s)); // it left when it ended
  delete_topic(t);
}

TEST_CASE("no broker: errors within the limit") {
  auto i = open("127.0.0.1:1");
  auto start = std::chrono::steady_clock::now();
  CHECK(!i->cluster_id(300));
  CHECK(!i->topics({"t"}, 300));
  CHECK(!i->bounds({{"t", {0}}}, 300)[0]);
  CHECK(!i->offsets_for_time({{"t", {0}}}, 0, 300)[0]);
  CHECK(i->read_one({"t", {0}}, {0}, 300).what == record_at::status::failed);
  auto who = i->group_members("g", 300);
  CHECK(!who);
  CHECK(!who.failure().way_out.empty());
  CHECK(std::chrono::steady_clock::now() - start < 6s);
}

TEST_CASE("what was on its way when a look was over does not stay in memory") {
  constexpr int partitions = 24;
  const auto name = unique_name("left");
  create_topic(name, partitions);
  fill(name, partitions);
  auto i = open();
  const auto before = mib_in_use();
  const auto look = [&](int p) { return i->read_one({name, {p}}, {100}, limit).what == record_at::status::found; };
  for (int p = 0; p < partitions; ++p) CHECK(look(p));
  // Without it some 22 MiB.
  CHECK_MESSAGE(eventually([&] { return look(0) && mib_in_use() < before + 6; }), (mib_in_use() - before));
}

TEST_SUITE_END();
