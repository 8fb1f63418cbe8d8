#include "actors/herald.hpp"
#include "actors/status_board.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <stdexcept>
#include <vector>

using namespace chute;
using kind = enum engine_event::kind;

namespace {

struct heard {
  std::vector<engine_event> events;
  status_board board;
  heard() {
    board.listen([this](engine_event e) { events.push_back(std::move(e)); });
  }
};

lane_status lane_in(lane_phase phase, const std::string& waits = {}) {
  lane_status s;
  s.topic = "orders";
  s.lane = {3};
  s.phase = phase;
  s.waiting_for = waits;
  return s;
}

} // namespace

TEST_CASE("the board tells of changes, not of repetitions") {
  heard h;
  h.board.pipeline("p", pipeline_status::state::starting, "");
  h.board.pipeline("p", pipeline_status::state::starting, "");
  h.board.pipeline("p", pipeline_status::state::waiting, "kafka is away");
  h.board.lane("p", lane_in(lane_phase::loading), {});
  h.board.lane("p", lane_in(lane_phase::loading), {});
  h.board.lane("p", lane_in(lane_phase::streaming, "memory"), {});
  lane_counters c;
  c.dead_letters = 5;
  h.board.lane("p", lane_in(lane_phase::streaming, "memory"), c);
  c.dead_letters = 7;
  h.board.lane("p", lane_in(lane_phase::streaming, "memory"), c);
  h.board.lane_gone("p", "orders", {3});
  h.board.rebalanced("p");
  h.board.trouble("p", "a broker is away");
  REQUIRE(h.events.size() == 9);
  const kind expected[] = {kind::pipeline,     kind::pipeline,  kind::lane,       kind::lane,   kind::dead_letters,
                           kind::dead_letters, kind::lane_gone, kind::rebalanced, kind::trouble};
  for (std::size_t i = 0; i < 9; ++i) CHECK(h.events[i].what == expected[i]);
  CHECK(h.events[0].state == pipeline_status::state::starting);
  CHECK(h.events[1].text == "kafka is away");
  CHECK(h.events[3].phase == lane_phase::streaming);
  CHECK(h.events[3].text == "memory");
  CHECK(h.events[4].count == 5);
  CHECK(h.events[5].count == 2);
  CHECK(h.events[6].lane == lane_id{3});
  CHECK(h.events[8].text == "a broker is away");
}

TEST_CASE("what ended to be started again is not over, and whoever waits is told once it is") {
  status_board board;
  board.pipeline("p", pipeline_status::state::streaming, "");
  auto held = board.moving();
  auto held_too = board.moving();
  auto waits = std::async(std::launch::async, [&] { return board.wait_over(60'000); });
  board.pipeline("p", pipeline_status::state::drained, "");
  CHECK(board.is_moving());
  CHECK_FALSE(board.wait_over(0));
  held.reset();
  CHECK(waits.wait_for(std::chrono::milliseconds(100)) == std::future_status::timeout);
  held_too.reset();
  CHECK_FALSE(board.is_moving());
  CHECK(board.wait_over(0));
  REQUIRE(waits.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  CHECK(waits.get());
}

TEST_CASE("a slow listener is told what it missed, and everything before the end") {
  caf::actor_system_config config;
  caf::actor_system system(config);
  std::mutex lock;
  std::condition_variable wake;
  bool inside = false, go_on = false;
  std::uint64_t got = 0, missed = 0;
  constexpr std::uint64_t sent = 25'000; // more than may wait
  {
    herald_options o;
    o.callback = [&](const engine_event& e) {
      std::unique_lock hold(lock);
      inside = true;
      wake.notify_all();
      wake.wait(hold, [&] { return go_on; });
      ++got;
      missed += e.missed;
    };
    herald h(system, std::move(o));
    h.tell({});
    {
      std::unique_lock hold(lock);
      REQUIRE(wake.wait_for(hold, std::chrono::seconds(20), [&] { return inside; }));
    }
    for (std::uint64_t i = 1; i < sent; ++i) h.tell({}); // does not block
    std::lock_guard hold(lock);
    go_on = true;
    wake.notify_all();
  }
  CHECK(got + missed == sent);
  CHECK(missed > 10'000);
  CHECK(got > 5'000);
}

TEST_CASE("a listener that throws is told of the next event, too") {
  caf::actor_system_config config;
  caf::actor_system system(config);
  int calls = 0;
  std::function<void()> thrown;
  std::string told;
  std::vector<std::string> oops;
  SUBCASE("an exception") {
    thrown = [] { throw std::runtime_error("no"); };
    told = "no";
  }
  SUBCASE("anything") {
    thrown = [] { throw 7; };
    told = "something that is no std::exception";
  }
  {
    herald_options o;
    o.callback = [&](const engine_event&) {
      ++calls;
      thrown();
    };
    o.oops = [&](const std::string& what) { oops.push_back(what); };
    herald h(system, std::move(o));
    for (int i = 0; i < 3; ++i) h.tell({});
  }
  CHECK(calls == 3);
  CHECK(oops == std::vector<std::string>(3, told));
}

TEST_CASE("the end of a pipeline is told however much waits") {
  caf::actor_system_config config;
  caf::actor_system system(config);
  std::promise<void> go_on;
  auto gone_on = go_on.get_future();
  std::vector<engine_event> ends;
  std::uint64_t got = 0, missed = 0;
  {
    herald_options o;
    o.callback = [&](const engine_event& e) {
      if (++got == 1) gone_on.wait();
      missed += e.missed;
      if (e.pipeline == "p") ends.push_back(e);
    };
    herald h(system, std::move(o));
    engine_event end;
    end.what = kind::pipeline;
    end.pipeline = "p";
    for (int i = 0; i < 15'000; ++i) h.tell({});
    end.state = pipeline_status::state::draining;
    h.tell(end);
    end.state = pipeline_status::state::drained;
    h.tell(end);
    go_on.set_value();
  }
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].state == pipeline_status::state::drained);
  CHECK(got + missed == 15'002);
}
