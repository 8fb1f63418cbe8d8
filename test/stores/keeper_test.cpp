// The state keeper against a real broker, with a pipeline and a lane that are played here.
#include "actors/keeper.hpp"

#include "actors/quiet_context.hpp"
#include "core/record.hpp"
#include "test/stores/real_broker.hpp"

#include <caf/all.hpp>
#include <doctest/doctest.h>

#include <functional>
#include <optional>

using namespace chute;
using namespace chute::test;
using namespace std::chrono_literals;

namespace {

struct kept {
  std::string topic = unique_name("t"), group = unique_name("g");
  caf::actor_system_config config;
  caf::actor_system system{config};
  caf::scoped_actor pipeline{system}, lane{system};
  std::shared_ptr<pipeline_context> context;
  keeper_actor keeper;
  ticket_t ticket = 0;
  std::vector<kafka::topic_partition> assignment; // the last one
  std::int32_t seat = 0;                          // of the lane that is played

  kept() {
    create_topic(topic, 2);
    context = quiet_context({}, {});
    context->top.kafka.brokers = brokers();
    context->top.kafka.properties = {{"session.timeout.ms", "6000"}, {"heartbeat.interval.ms", "300"}};
    context->top.state.store = store_kind::kafka;
    context->config.group = group;
    context->config.topics = {topic};
    keeper =
        system.spawn<caf::detached>(chute::keeper, context_ptr(context), played<pipeline_actor>(pipeline), nullptr);
  }
  ~kept() {
    pipeline->send(keeper, msg::leave{});
    pipeline->wait_for(keeper);
    keeper = nullptr;
    delete_topic(topic);
  }

  template <class Actor> static Actor played(caf::scoped_actor& by) {
    return caf::actor_cast<Actor>(caf::actor_cast<caf::strong_actor_ptr>(by));
  }
  lane_key key() const { return {"c", group, "p", topic, {seat}}; }

  // Until the group gave so many partitions; what it takes back meanwhile is given back at once.
  bool given(
      std::size_t partitions, const std::function<void()>& meanwhile = [] {}) {
    std::optional<std::size_t> got;
    return eventually([&] {
      meanwhile();
      pipeline->receive(
          [&](const msg::group_assigned& m) {
            assignment = m.partitions;
            got = m.partitions.size();
          },
          [&](const msg::group_revoked& m) {
            got.reset();
            if (!m.lost) pipeline->send(keeper, msg::revoke_done{});
          },
          [&](const msg::group_trouble&) {}, [&](const msg::failed& m) { FAIL(m.what); }, caf::after(10ms) >> [] {});
      return got == partitions;
    });
  }

  // The version of the lane's record; 0: there is none.
  std::uint64_t load() {
    auto partly = std::make_shared<lane_loaded>();
    partly->what = lane_loaded::state::absent; // nothing was found out before the store is asked
    lane->send(keeper, msg::load_lane{++ticket, key(), {{seat}}, partly, lane.address()});
    std::uint64_t version = 0;
    lane->receive(
        [&](const msg::loaded_lane& m) {
          CHECK(m.ticket == ticket);
          REQUIRE_MESSAGE(m.what->what != lane_loaded::state::failed, m.what->why);
          if (m.what->what == lane_loaded::state::found) version = decode_record(m.what->text)->version;
        },
        caf::after(20s) >> [] { FAIL("no answer to a load"); });
    return version;
  }

  save_outcome save(std::uint64_t version) {
    lane_record r;
    r.version = version;
    r.lineage = 7;
    r.lanes = 2;
    r.partitions.resize(1);
    r.partitions[0].next = {static_cast<std::int64_t>(version)};
    save_request request{key(), version - 1, {version, encode_record(r)}, {{{seat}, r.partitions[0].next}}};
    lane->send(keeper, msg::save_lane{++ticket, request, lane.address()});
    auto out = save_outcome::unknown;
    lane->receive([&](const msg::saved_lane& m) { out = m.outcome; },
                  caf::after(20s) >> [] { FAIL("no answer to a save"); });
    return out;
  }
};

} // namespace

TEST_SUITE_BEGIN("keeper");

TEST_CASE("a lane that did not load since the group gave partitions saves nothing") {
  kept k;
  REQUIRE(k.given(2));
  CHECK(k.load() == 0);
  CHECK(k.save(1) == save_outcome::accepted);
  CHECK(k.save(2) == save_outcome::accepted);
  {
    // Another one comes, and may write what it likes of the lane, and goes.
    auto other = kafka::group_member::open({k.context->kafka_client(), k.group, {k.topic}, {}});
    REQUIRE(other.ok());
    bool has = false;
    REQUIRE(k.given(1, [&] {
      for (auto& e : (*other)->poll(0)) has |= std::holds_alternative<kafka::assigned>(e);
    }));
    REQUIRE(eventually([&] {
      for (auto& e : (*other)->poll(10)) has |= std::holds_alternative<kafka::assigned>(e);
      return has;
    }));
  }
  REQUIRE(k.given(2));
  CHECK(k.save(3) == save_outcome::refused); // it has not heard that its partitions were gone
  CHECK(k.load() == 2);
  CHECK(k.save(3) == save_outcome::accepted);
}

TEST_CASE("a lane whose seat is another member's saves nothing, also once it has loaded") {
  kept k;
  REQUIRE(k.given(2));
  auto other = kafka::group_member::open({k.context->kafka_client(), k.group, {k.topic}, {}});
  REQUIRE(other.ok());
  REQUIRE(k.given(1, [&] { (*other)->poll(0); }));
  const auto ours = k.assignment.front().partition.value;
  k.seat = 1 - ours;
  CHECK(k.load() == 0);
  CHECK(k.save(1) == save_outcome::refused); // the broker would take it
  k.seat = ours;
  CHECK(k.load() == 0);
  CHECK(k.save(1) == save_outcome::accepted);
}

TEST_SUITE_END();
