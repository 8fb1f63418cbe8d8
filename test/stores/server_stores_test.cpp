// What only stores with a server can meet: lost, late and doubled requests, stale reads, races; and servers that are
// killed, restarted and set back, for which CHUTE_TEST_SERVICES is a command line ("dev/services --run DIR") and
// CHUTE_TEST_SERVICES_DIR its run directory: those parts belong to the suite alone.
#include "test/stores/real_stores.hpp"

#include "test/stores/real_broker.hpp"

#include <atomic>
#include <barrier>
#include <cstdlib>
#include <filesystem>
#include <thread>

using namespace chute;
using namespace chute::test;
namespace fs = std::filesystem;

TEST_SUITE_BEGIN("stores");

TEST_CASE_TEMPLATE("lost replies", World, keeper_map_world, redis_world) {
  World w;
  lost_replies(w);
}
TEST_CASE_TEMPLATE("doubled requests", World, keeper_map_world, redis_world) {
  World w;
  doubled_requests(w);
}
TEST_CASE_TEMPLATE("late requests", World, keeper_map_world, redis_world) {
  World w;
  late_requests(w);
}
TEST_CASE_TEMPLATE("stale reads", World, keeper_map_world, redis_world) {
  World w;
  stale_reads(w);
}

// Two owners save the next version at the same time, again and again: each version is one owner's, and no more.
TEST_CASE_TEMPLATE("races", World, keeper_map_world, redis_world) {
  constexpr std::uint64_t versions = 40;
  World w;
  auto k = w.lane(0);
  store* owners[] = {&w.owner(), &w.take_over()};
  std::atomic<int> accepted[versions + 1] = {};
  std::barrier line(2);
  auto run = [&](int who) {
    for (std::uint64_t v = 1; v <= versions; ++v) {
      line.arrive_and_wait();
      auto r = save_of(k, v, static_cast<std::uint64_t>(who) + 1);
      save_status s;
      do s = owners[who]->save({r}, store_limit_ms)[0].status;
      while (s == save_status::unknown || s == save_status::not_now);
      if (s == save_status::accepted) ++accepted[v];
    }
  };
  std::thread other(run, 1);
  run(0);
  other.join();
  for (std::uint64_t v = 1; v <= versions; ++v) CHECK_MESSAGE(accepted[v] == 1, "version " << v);
  CHECK(load(w.owner(), k).record.version == versions);
}

TEST_CASE("a server that is not there: no record is not what it says") {
  auto dead = make_redis_store(connect_redis({"127.0.0.1", 1, "", "", 0}), 0);
  CHECK(load(*dead, lane_of()).status == loaded::status::failed);
  CHECK(save(*dead, save_of(lane_of(), 1)) == save_status::not_now);
}

TEST_CASE("check finds nothing in the real parts as dev/services starts them") {
  for (const auto& f : check_redis(real_redis(), "redis", 0, true, store_limit_ms)) FAIL_CHECK(f.reason);
  keeper_map_world().owner().load({lane_of()}, store_limit_ms);
  for (const auto& f : check_keeper_map(real_keeper_map(), store_limit_ms)) FAIL_CHECK(f.reason);
  auto other = real_keeper_map();
  other.table = "never_made"; // that it can be made is seen without making it
  for (const auto& f : check_keeper_map(other, store_limit_ms)) FAIL_CHECK(f.reason);
  auto a = other.servers[0]("EXISTS TABLE chute.never_made", {}, store_limit_ms);
  REQUIRE(a.rows.size() == 1);
  CHECK(a.rows[0][0] == "0");
}

TEST_CASE("redis: check tries a save, with no other rights than a lane's") {
  auto url = *parse_redis_url(address_of("CHUTE_REDIS"));
  url.user = unique_name("check");
  url.password = "secret";
  const auto admin = real_redis();
  const auto allow = [&](const std::vector<std::string>& rights) {
    std::vector<std::string> command = {"ACL", "SETUSER", url.user, "reset", "on", ">secret", "~chute:*"};
    command.insert(command.end(), rights.begin(), rights.end());
    const auto a = admin({command}, store_limit_ms);
    REQUIRE(a.what == redis_answer::status::ok);
    REQUIRE_MESSAGE(a.replies[0].what != redis_reply::type::error, a.replies[0].text);
  };
  const auto found = [&] { return check_redis(connect_redis(url), "redis", 0, true, store_limit_ms); };
  allow({"+eval", "+hmget", "+hset", "+wait", "+info", "+select", "+config|get"});
  for (int round = 0; round < 2; ++round) // the key stays: it may not DEL
    for (const auto& f : found()) FAIL_CHECK(f.reason);
  allow({"+eval", "+hmget", "+wait", "+info", "+select", "+config|get"});
  const auto f = found();
  admin({{"ACL", "DELUSER", url.user}, {"DEL", "chute:check"}}, store_limit_ms);
  REQUIRE(f.size() == 1);
  CHECK(f[0].level == finding::severity::error);
  CHECK(f[0].reason.find("a save of chute:check failed") != std::string::npos);
  CHECK(f[0].mend.find("HSET") != std::string::npos);
}

TEST_SUITE_END();

namespace {

void services(const std::string& words) {
  auto line = address_of("CHUTE_TEST_SERVICES") + " " + words + " >/dev/null";
  if (std::system(line.c_str()) != 0) throw std::runtime_error(line + " failed");
}

// Saves version after version on two lanes while `part` is killed and started, three times. What was accepted is there,
// and each save is settled in the end.
template <class World> void restarted_in_the_middle(const std::string& part) {
  World w;
  auto& s = w.owner();
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> landed{0};
  std::exception_ptr failed;
  std::thread killer([&] {
    try {
      for (int round = 0; round < 3; ++round) {
        auto from = landed.load();
        if (!eventually([&] { return landed >= from + 5; }, std::chrono::seconds(60)))
          throw std::runtime_error("no save lands after " + part + " was started again");
        services("kill " + part);
        services("start " + part);
      }
    } catch (...) {
      failed = std::current_exception();
    }
    over = true;
  });
  std::uint64_t v = 0;
  bool broken = false;
  int doubts = 0;
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(100);
  while (!over && !broken && std::chrono::steady_clock::now() < until) {
    ++v;
    for (;;) {
      auto a = s.save({save_of(w.lane(0), v), save_of(w.lane(1), v)}, 2'000);
      bool all = a[0].status == save_status::accepted && a[1].status == save_status::accepted;
      broken |= a[0].status == save_status::refused || a[1].status == save_status::refused;
      if (broken) FAIL_CHECK((a[0].why ? a[0].why->text() : a[1].why ? a[1].why->text() : ""));
      if (all || broken) break;
      ++doubts;
      if (std::chrono::steady_clock::now() >= until) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    landed = v;
  }
  killer.join();
  if (failed) std::rethrow_exception(failed);
  MESSAGE(v << " versions, " << doubts << " saves without a definite answer");
  CHECK(!broken);
  CHECK(std::chrono::steady_clock::now() < until);
  w.restart();
  check_found(w.owner(), save_of(w.lane(0), v));
  check_found(w.owner(), save_of(w.lane(1), v));
}

} // namespace

TEST_SUITE_BEGIN("restarts");

TEST_CASE("redis: killed and started again in the middle of saves") { restarted_in_the_middle<redis_world>("redis"); }
TEST_CASE("keeper_map: ClickHouse killed and started again in the middle of saves") {
  restarted_in_the_middle<keeper_map_world>("clickhouse");
}
TEST_CASE("keeper_map: ZooKeeper killed and started again in the middle of saves") {
  restarted_in_the_middle<keeper_map_world>("zookeeper");
}

TEST_CASE("redis: a server that lost its last second refuses who knows more, and shows the old record to who asks") {
  auto data = fs::path(address_of("CHUTE_TEST_SERVICES_DIR")) / "redis", copy = data;
  copy += ".before";
  redis_world w;
  for (std::uint64_t v = 1; v <= 3; ++v) REQUIRE(save(w.owner(), save_of(w.lane(0), v)) == save_status::accepted);
  services("stop redis");
  fs::remove_all(copy);
  fs::copy(data, copy, fs::copy_options::recursive);
  services("start redis");
  for (std::uint64_t v = 4; v <= 6; ++v) REQUIRE(save(w.owner(), save_of(w.lane(0), v)) == save_status::accepted);
  REQUIRE(save(w.owner(), save_of(w.lane(1), 1)) == save_status::accepted);
  services("kill redis");
  fs::remove_all(data);
  fs::rename(copy, data);
  services("start redis");
  auto a = w.owner().save({save_of(w.lane(0), 7), save_of(w.lane(1), 2)}, store_limit_ms);
  for (const auto& answer : a) {
    CHECK(answer.status == save_status::refused);
    REQUIRE(answer.why);
    CHECK(answer.why->cause.find("went back in time") != std::string::npos);
  }
  CHECK(save(w.owner(), save_of(w.lane(0), 6)) == save_status::refused); // the one that was lost
  check_found(w.owner(), save_of(w.lane(0), 3));
  CHECK(load(w.owner(), w.lane(1)).status == loaded::status::absent);
}

TEST_SUITE_END();
