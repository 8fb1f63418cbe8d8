// The engine's edges: what a host may do to it. Kafka is librdkafka's own mock, ClickHouse is not there.
#include "actors/engine.hpp"

#include <caf/all.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <thread>

using namespace chute;
using state = enum pipeline_status::state;

namespace {

topology one_pipeline() {
  topology t;
  t.kafka.brokers = "127.0.0.1:1";
  t.kafka.properties["test.mock.num.brokers"] = "1";
  t.clickhouse.urls = {"http://127.0.0.1:1"};
  pipeline_config p;
  p.name = p.table = "orders";
  p.topics = {"orders"};
  t.pipelines = {p};
  return t;
}

topology two_pipelines() {
  auto t = one_pipeline();
  t.pipelines.push_back(t.pipelines[0]);
  t.pipelines[1].name = t.pipelines[1].table = "events";
  t.pipelines[1].topics = {"events"};
  return t;
}

// Whether it returns within a minute, on a thread of its own; if not, that one is left alone.
bool returns(std::function<void()> f) {
  auto done = std::make_shared<std::promise<void>>();
  auto over = done->get_future();
  std::thread([f = std::move(f), done] {
    f();
    done->set_value();
  }).detach();
  return over.wait_for(std::chrono::seconds(60)) == std::future_status::ready;
}

// What a listener was refused that gave orders when its pipeline ended, while the engine was being destroyed.
struct orders {
  std::atomic<engine*> to{nullptr};
  std::mutex lock;
  std::string reload, move, pause;

  void give(const engine_event& e) {
    if (e.what != engine_event::kind::pipeline || e.state != state::drained) return;
    const auto why = [](const auto& r) { return r.ok() ? std::string("done") : r.failure().text(); };
    std::lock_guard hold(lock);
    if (!reload.empty()) return;
    reload = why(to.load()->reload(two_pipelines(), 1'000));
    move = why(to.load()->move("orders", {}, 1'000));
    pause = why(to.load()->pause("orders"));
  }
};

void end_with_orders(caf::actor_system* system) {
  auto given = std::make_shared<orders>();
  engine_options o;
  o.system = system;
  o.drain_ms = 2'000;
  o.on_event = [given](const engine_event& e) { given->give(e); };
  auto started = engine::start(one_pipeline(), std::move(o));
  REQUIRE(started.ok());
  given->to = started->get();
  auto held = std::make_shared<std::unique_ptr<engine>>(*std::move(started));
  REQUIRE(returns([held] { delete held->release(); })); // its callback still needs the address
  std::lock_guard hold(given->lock);
  for (const auto* said : {&given->reload, &given->move, &given->pause})
    CHECK_MESSAGE(said->find("being destroyed") != std::string::npos, *said);
}

std::string refused(engine_options o, const topology& t) {
  const auto e = engine::start(t, std::move(o));
  return e.ok() ? "" : e.failure().text();
}

} // namespace

TEST_CASE("while an engine ends, its listener's orders start nothing: in a system of its own") {
  end_with_orders(nullptr);
}

TEST_CASE("while an engine ends, its listener's orders start nothing: in the host's system") {
  caf::actor_system_config config;
  caf::actor_system system(config);
  const auto before = system.registry().running();
  end_with_orders(&system);
  // An actor that has ended is counted for a moment longer.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (system.registry().running() != before && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(system.registry().running() == before);
}

TEST_CASE("a host's store that cannot be had is an error, never the group instead") {
  auto t = one_pipeline();
  t.state.store = store_kind::own;
  t.state.own = "ledger";
  engine_options none, throws, throws_int;
  none.own.stores["ledger"] = [] { return result<std::unique_ptr<store>>(std::unique_ptr<store>()); };
  throws.own.stores["ledger"] = []() -> result<std::unique_ptr<store>> { throw std::runtime_error("no database"); };
  throws_int.own.stores["ledger"] = []() -> result<std::unique_ptr<store>> { throw 7; };
  CHECK(refused(none, t).find("the host's store ledger was opened, but its function returned none") !=
        std::string::npos);
  CHECK(refused(throws, t).find("the host's store ledger cannot be opened: its function threw: no database") !=
        std::string::npos);
  CHECK(refused(throws_int, t).find("threw something") != std::string::npos);
}

TEST_CASE("what the host adds takes no name of the engine's") {
  engine_options store, decoder;
  store.own.stores["redis"] = [] { return result<std::unique_ptr<chute::store>>(make_memory_store()); };
  decoder.own.decoders["json"] = {};
  CHECK(refused(std::move(store), one_pipeline()).find("store redis is the engine's own") != std::string::npos);
  CHECK(refused(std::move(decoder), one_pipeline()).find("format json is the engine's own") != std::string::npos);
}

TEST_CASE("a topology that the host filled in is checked before anything starts, and when it is taken up") {
  auto broken = one_pipeline();
  broken.pipelines[0].topics.clear();
  CHECK(refused({}, broken).find("pipelines.orders: 'topics' is missing") != std::string::npos);
  engine_options o;
  o.drain_ms = 0;
  const auto e = engine::start(one_pipeline(), std::move(o));
  REQUIRE(e.ok());
  const auto r = (*e)->reload(broken, 1'000);
  CHECK_FALSE(r.ok());
  CHECK((*e)->status().pipelines.size() == 1);
}

TEST_CASE("times may be as long as one likes") {
  std::mutex lock;
  std::vector<state> states;
  engine_options o;
  o.drain_ms = INT64_MAX;
  o.on_event = [&](const engine_event& e) {
    std::lock_guard hold(lock);
    if (e.what == engine_event::kind::pipeline) states.push_back(e.state);
  };
  auto started = engine::start(two_pipelines(), std::move(o));
  REQUIRE(started.ok());
  auto& e = *started;
  auto waits = std::async(std::launch::async, [&] { return e->wait_ms(INT64_MAX); });
  CHECK(waits.wait_for(std::chrono::milliseconds(300)) == std::future_status::timeout);
  CHECK_FALSE(e->wait_ms(-1));
  auto reloaded = std::async(std::launch::async, [&] { return e->reload(one_pipeline(), INT64_MAX); });
  REQUIRE(reloaded.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
  CHECK(reloaded.get().ok());
  e->drain();
  REQUIRE(waits.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
  CHECK(waits.get());
  REQUIRE(returns([&] { e.reset(); }));
}

TEST_CASE("whoever waits for the end is not told of it while the only pipeline is started anew") {
  auto started = engine::start(one_pipeline(), {});
  REQUIRE(started.ok());
  auto& e = *started;
  auto waits = std::async(std::launch::async, [&] { return e->wait_ms(INT64_MAX); });
  auto changed = one_pipeline();
  changed.pipelines[0].batch.wait_ms += 1'000;
  CHECK(e->reload(changed, 10'000).ok());
  CHECK(waits.wait_for(std::chrono::milliseconds(300)) == std::future_status::timeout);
  e->drain();
  REQUIRE(waits.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
  CHECK(waits.get());
}

TEST_CASE("a reset that is cancelled leaves a stopped pipeline stopped, with its reason") {
  auto t = one_pipeline();
  t.kafka.properties["socket.timeout.ms"] = "none"; // no client can be made
  auto started = engine::start(t, {});
  REQUIRE(started.ok());
  auto& e = *started;
  REQUIRE(e->wait_ms(60'000));
  const auto before = e->status().pipelines.at(0);
  REQUIRE(before.state == state::stopped);
  REQUIRE_FALSE(before.reason.empty());
  e->drain();
  CHECK_FALSE(e->move("orders", {}, 1'000).ok());
  const auto now = e->status().pipelines.at(0);
  CHECK(now.state == state::stopped);
  CHECK(now.reason == before.reason);
}

TEST_CASE("a thread keeps nothing of the host's system in which it started and reloaded an engine") {
  caf::actor_system_config config;
  caf::actor_system system(config);
  const auto left_with = [&system] {
    engine_options o;
    o.system = &system;
    o.drain_ms = 0;
    o.on_event = [](const engine_event&) {};
    auto e = engine::start(one_pipeline(), std::move(o));
    REQUIRE(e.ok());
    REQUIRE((*e)->reload(two_pipelines(), 0).ok());
    (*e).reset();
    return caf::logger::current_logger();
  };
  // Else the system would wait for the end of this one, wherever it waits for its next job.
  CHECK(std::async(std::launch::async, left_with).get() == nullptr);
  caf::logger::set_current_actor_system(&system); // one of the host's own keeps it
  CHECK(left_with() == &system.logger());
}
