#include "actors/worker.hpp"

#include <atomic>
#include <caf/all.hpp>
#include <condition_variable>
#include <doctest/doctest.h>
#include <mutex>
#include <set>
#include <string>
#include <thread>

using namespace chute;

namespace {

// Jobs of a pool, which end when they are told to.
struct jobs {
  std::mutex lock;
  std::condition_variable changed;
  std::multiset<std::string> running;
  std::vector<std::string> begun; // in order
  std::multiset<std::string> may_end;

  auto of(const std::string& name) {
    return [this, name](worker_tools&) {
      std::unique_lock hold(lock);
      running.insert(name);
      begun.push_back(name);
      changed.notify_all();
      changed.wait(hold, [&] { return may_end.contains(name); });
      running.erase(running.find(name));
      changed.notify_all();
    };
  }
  void let_end(const std::string& name) {
    const std::lock_guard hold(lock);
    may_end.insert(name);
    changed.notify_all();
  }
  template <class F> bool within(std::chrono::milliseconds limit, F&& what) {
    std::unique_lock hold(lock);
    return changed.wait_for(hold, limit, what);
  }
};

constexpr std::chrono::seconds soon(20);

struct with_pool {
  jobs j; // outlives the workers
  caf::actor_system_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  pool_actor p =
      system.spawn(pool, context_ptr(std::make_shared<pipeline_context>()), pool_size{2, 4}, pipeline_actor());

  void add(const std::string& topic, const std::string& name) { run_job(&*self, p, topic, j.of(name)); }
  bool begun(const std::string& name, std::chrono::milliseconds limit = soon) {
    return j.within(limit, [&] { return std::find(j.begun.begin(), j.begun.end(), name) != j.begun.end(); });
  }
  ~with_pool() {
    for (const auto* name : {"a1", "a2", "a3", "b1", "b2", "b3", "c1", "d1"}) j.let_end(name);
    self->send_exit(p, caf::exit_reason::user_shutdown);
  }
};

} // namespace

TEST_CASE("what hangs of one topic does not keep another waiting, nor its next job") {
  with_pool w;
  w.add("a", "a1");
  w.add("a", "a2");
  w.add("a", "a3");
  REQUIRE(w.begun("a1"));
  REQUIRE(w.begun("a2"));
  w.add("b", "b1");
  CHECK(w.begun("b1"));
  w.add("b", "b2");
  w.j.let_end("b1");
  CHECK(w.begun("b2"));
  w.j.let_end("b2");
  w.add("c", "c1");
  CHECK(w.begun("c1"));
  CHECK_FALSE(w.begun("a3", std::chrono::milliseconds(0))); // a has its share
  w.j.let_end("c1");
  w.j.let_end("a1");
  CHECK(w.begun("a3"));
}

TEST_CASE("of those that wait, whoever has the fewest running is next, and then whoever waits longest") {
  with_pool w;
  w.add("a", "a1");
  w.add("b", "b1");
  REQUIRE(w.begun("a1"));
  REQUIRE(w.begun("b1"));
  w.add("a", "a2");
  w.add("b", "b2");
  w.add("b", "b3");
  w.j.let_end("b1");
  CHECK(w.begun("b2"));
  CHECK_FALSE(w.begun("a2", std::chrono::milliseconds(0)));
  w.j.let_end("a1");
  CHECK(w.begun("a2"));
  CHECK_FALSE(w.begun("b3", std::chrono::milliseconds(0)));
}

TEST_CASE("workers beyond the few are for topics that would have none, and no more are made than told") {
  with_pool w;
  for (const auto* name : {"a1", "a2", "a3"}) w.add("a", name);
  w.add("b", "b1");
  w.add("b", "b2");
  REQUIRE(w.begun("b1"));
  w.add("c", "c1");
  REQUIRE(w.begun("c1"));
  w.add("d", "d1"); // two for a, one for b, one for c: all four
  w.j.let_end("c1");
  CHECK(w.begun("d1"));
  const std::lock_guard hold(w.j.lock);
  CHECK(w.j.begun == std::vector<std::string>{w.j.begun[0], w.j.begun[1], "b1", "c1", "d1"});
}
