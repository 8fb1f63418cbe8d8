// The conformance suite against every store: memory, file, the offsets of a group on a real broker, KeeperMap in a real
// ZooKeeper, a real Redis.
#include "actors/group_log.hpp"
#include "state/offset_note.hpp"
#include "test/stores/child.hpp"
#include "test/stores/conformance.hpp"
#include "test/stores/real_broker.hpp"
#include "test/stores/real_stores.hpp"

#include <doctest/doctest.h>
#include <filesystem>

using namespace chute;
using namespace chute::test;
using namespace std::chrono_literals;

namespace {

struct memory_world {
  std::unique_ptr<store> made = make_memory_store();
  store& owner() { return *made; }
  store& take_over() { return *made; }
  lane_key lane(int i) const { return lane_of(i); }
};

struct directory {
  std::filesystem::path path;
  directory() {
    auto name = (std::filesystem::temp_directory_path() / "chute-store-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~directory() { std::filesystem::remove_all(path); }
};

struct file_world {
  directory in;
  std::unique_ptr<store> made;
  store& owner() {
    if (!made) {
      auto s = open_file_store(in.path.string());
      REQUIRE_MESSAGE(s, (s ? "" : s.failure().text()));
      made = *std::move(s);
    }
    return *made;
  }
  void restart() { made.reset(); }
  lane_key lane(int i) const { return lane_of(i); }
};

// One member of the group with its store.
struct kafka_owner {
  std::unique_ptr<kafka::group_member> member;
  std::unique_ptr<group_log> log;
  std::unique_ptr<store> made;
  std::size_t has = 0;

  kafka_owner(const std::string& group, const std::string& topic) {
    auto m = kafka::group_member::open(
        {{brokers(),
          {{"session.timeout.ms", "3000"}, {"heartbeat.interval.ms", "300"}, {"max.poll.interval.ms", "4000"}},
          {}},
         group,
         {topic},
         {}});
    REQUIRE_MESSAGE(m, (m ? "" : m.failure().text()));
    member = *std::move(m);
    log = std::make_unique<group_log>(*member);
    made = make_kafka_store(*log);
  }
  void poll() {
    for (auto& e : member->poll(0)) {
      if (auto* a = std::get_if<kafka::assigned>(&e)) has = a->partitions.size();
      if (std::get_if<kafka::revoked>(&e)) member->complete_revoke();
    }
  }
  bool until_it_has(std::size_t partitions) {
    return eventually([&] { return poll(), has == partitions; });
  }
};

struct kafka_world {
  static constexpr int partitions = 100;
  std::string topic = unique_name("t"), group = unique_name("g");
  std::unique_ptr<kafka_owner> first, second;

  kafka_world() { create_topic(topic, partitions); }
  ~kafka_world() {
    first.reset();
    second.reset();
    delete_topic(topic);
  }
  store& owner() {
    if (!first) {
      first = std::make_unique<kafka_owner>(group, topic);
      REQUIRE(first->until_it_has(partitions));
    }
    return *first->made;
  }
  void restart() { first.reset(); }
  store& take_over() { // the first one is not polled any more, as if its thread were stuck
    second = std::make_unique<kafka_owner>(group, topic);
    REQUIRE(second->until_it_has(partitions));
    return *second->made;
  }
  lane_key lane(int i) const { return {"cluster", group, "pipeline", topic, {i}}; }
};

} // namespace

TEST_SUITE_BEGIN("stores");

TEST_CASE_TEMPLATE("first saves and versions", World, memory_world, file_world, kafka_world, keeper_map_world,
                   redis_world) {
  World w;
  first_saves_and_versions(w);
}
TEST_CASE_TEMPLATE("repeated and late requests", World, memory_world, file_world, kafka_world, keeper_map_world,
                   redis_world) {
  World w;
  repeated_and_late_requests(w);
}
TEST_CASE_TEMPLATE("lanes of one request", World, memory_world, file_world, kafka_world, keeper_map_world,
                   redis_world) {
  World w;
  lanes_of_one_request(w);
}
TEST_CASE_TEMPLATE("the largest records of a hundred lanes at once", World, memory_world, file_world, kafka_world,
                   keeper_map_world, redis_world) {
  World w;
  largest_records(w);
}
TEST_CASE_TEMPLATE("restarts", World, file_world, kafka_world, keeper_map_world, redis_world) {
  World w;
  restarts(w);
}
TEST_CASE_TEMPLATE("two owners", World, memory_world, kafka_world, keeper_map_world, redis_world) {
  World w;
  two_owners(w);
}

TEST_CASE("file: two processes, one directory") {
  directory d;
  child first("store_child", {d.path.string()});
  REQUIRE(first.wait_for("open"));
  child second("store_child", {d.path.string()});
  CHECK(second.wait_for("error "));
  CHECK(!open_file_store(d.path.string()));
  first.kill();
  CHECK(open_file_store(d.path.string()));
}

TEST_CASE("file: killed in the middle of saves, again and again, and no accepted save is missing") {
  directory d;
  std::uint64_t saved = 0;
  for (int round = 0; round < 20; ++round) {
    child writer("store_child", {d.path.string()});
    auto until = saved + 5 + static_cast<std::uint64_t>(round % 7);
    REQUIRE(writer.wait_for("saved " + std::to_string(until)));
    writer.kill();
    std::string line;
    for (std::size_t n = 0; writer.line_with("saved ", n, line); ++n) saved = std::stoull(line.substr(6));
    auto s = open_file_store(d.path.string());
    REQUIRE(s);
    auto l = load(**s, lane_of());
    REQUIRE(l.status == loaded::status::found);
    CHECK(l.record.version >= saved);
    CHECK(l.record.version <= saved + 1); // the one whose answer nobody saw
    CHECK(l.record.text == save_of(lane_of(), l.record.version).record.text);
    saved = l.record.version;
  }
}

TEST_CASE("kafka: replies that are lost are settled by repeating") {
  kafka_world w;
  auto& s = w.owner();
  auto k = w.lane(0);
  int unknown = 0;
  for (std::uint64_t v = 1; v <= 20; ++v) {
    auto r = save_of(k, v);
    auto status = s.save({r}, 1)[0].status; // hardly time for an answer
    unknown += status == save_status::unknown;
    while (status != save_status::accepted) {
      REQUIRE((status == save_status::unknown || status == save_status::not_now));
      w.first->poll();
      status = s.save({r}, store_limit_ms)[0].status;
    }
    check_found(s, r);
  }
  MESSAGE(unknown << " of 20 replies came too late");
}

TEST_CASE("kafka: an offset that somebody moved is foreign, and one that cannot be read is no absent one") {
  kafka_world w;
  auto& s = w.owner();
  auto at = [&](int p) { return kafka::topic_partition{w.topic, {p}}; };
  REQUIRE(save(s, save_of(w.lane(0), 1)) == save_status::accepted);
  // As kafka-consumer-groups --reset-offsets would, and a tool that copies metadata.
  auto moved =
      w.first->member->commit({{at(0), {3}, ""}, {at(1), {99}, save_of(w.lane(1), 1).record.text}}, store_limit_ms);
  REQUIRE(moved[0].status == kafka::commit_status::ok);
  auto l = load(s, w.lane(0));
  CHECK(l.status == loaded::status::absent);
  CHECK(l.foreign == "offset 3, metadata ''");
  CHECK(load(s, w.lane(1)).foreign.find("99") != std::string::npos);
  CHECK(save(s, save_of(w.lane(0), 2)) == save_status::refused);
  CHECK(save(s, save_of(w.lane(0), 1)) == save_status::refused);

  auto nobody = kafka::group_member::open({{"127.0.0.1:1", {}, {}}, w.group, {w.topic}, {}});
  REQUIRE(nobody);
  group_log log(**nobody);
  auto dead = make_kafka_store(log);
  l = dead->load({w.lane(2)}, 300)[0];
  CHECK(l.status == loaded::status::failed);
  CHECK(l.failure);
  auto a = dead->save({save_of(w.lane(2), 1)}, 300)[0];
  CHECK(a.status == save_status::not_now); // nothing was sent
}

TEST_CASE("kafka: a partition of a lane that does not take its offset does not hold up the lane") {
  kafka_world w;
  auto& s = w.owner();
  auto r = save_of(w.lane(0), 1);
  r.offsets.push_back({{50}, {5}});
  r.offsets.push_back({{kafka_world::partitions + 7}, {5}}); // not there
  CHECK(save(s, r) == save_status::accepted);
  auto found = w.first->member->committed({{w.topic, {50}}}, store_limit_ms)[0];
  CHECK(found.next.value == 5);
  CHECK(read_note(found.metadata) == offset_note{"kafka", 0xabcdef, 1});
  // A seat that is not there is that lane's refusal alone.
  auto a = s.save({save_of(w.lane(kafka_world::partitions + 1), 1), save_of(w.lane(1), 1)}, store_limit_ms);
  CHECK(a[0].status == save_status::refused);
  CHECK(a[1].status == save_status::accepted);
}

TEST_SUITE_END();
