// kafka::group_member against a real broker: what the design relies on.
#include "kafka/group.hpp"
#include "kafka/inspect.hpp"
#include "test/stores/child.hpp"
#include "test/stores/real_broker.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <set>

using namespace chute;
using namespace chute::kafka;
using namespace chute::test;
using namespace std::chrono_literals;

namespace {

client_options client(std::map<std::string, std::string> properties = {}) {
  properties.emplace("session.timeout.ms", "3000");
  properties.emplace("heartbeat.interval.ms", "300");
  properties.emplace("max.poll.interval.ms", "6000");
  return {brokers(), std::move(properties), {}};
}

// A member with everything that it was told so far.
struct member {
  std::unique_ptr<kafka::group_member> handle;
  std::vector<group_event> events;
  std::set<topic_partition> has;
  bool auto_revoke = true;
  int revocations = 0, losses = 0, assignments = 0;
  std::atomic<int> wakes{0};

  member(const std::string& group, const std::vector<std::string>& topics,
         std::map<std::string, std::string> properties = {}) {
    auto made = kafka::group_member::open({client(std::move(properties)), group, topics, [this] { ++wakes; }});
    REQUIRE_MESSAGE(made, (made ? "" : made.failure().text()));
    handle = *std::move(made);
  }
  void poll(std::int64_t wait_ms = 0) {
    for (auto& e : handle->poll(wait_ms)) {
      if (auto* a = std::get_if<assigned>(&e)) {
        has = {a->partitions.begin(), a->partitions.end()};
        ++assignments;
      }
      if (std::get_if<revoked>(&e)) {
        ++revocations;
        if (auto_revoke) complete();
      }
      if (std::get_if<lost>(&e)) {
        ++losses;
        has.clear();
      }
      events.push_back(std::move(e));
    }
  }
  void complete() {
    has.clear();
    handle->complete_revoke();
  }
  commit_status commit(const topic_partition& p, std::int64_t next, const std::string& metadata = "m") {
    auto a = handle->commit({{p, {next}, metadata}}, 10'000);
    REQUIRE(a.size() == 1);
    CHECK(a[0].where == p);
    CHECK(a[0].why.has_value() == (a[0].status != commit_status::ok));
    return a[0].status;
  }
};

bool settle(std::vector<member*> members, const std::function<bool()>& condition,
            std::chrono::milliseconds limit = 20s) {
  return eventually(
      [&] {
        for (auto* m : members) m->poll();
        return condition();
      },
      limit);
}

// Polls for a time, because something must *not* happen.
void poll_for(std::vector<member*> members, std::chrono::milliseconds time) {
  settle(
      std::move(members), [] { return false; }, time);
}

struct topic_and_group {
  std::string topic = unique_name("t"), group = unique_name("g");
  explicit topic_and_group(int partitions) { create_topic(topic, partitions); }
  ~topic_and_group() { delete_topic(topic); }
  topic_partition at(int p) const { return {topic, {p}}; }
};

} // namespace

TEST_SUITE_BEGIN("group");

TEST_CASE("alone: an empty assignment keeps the membership, and offsets of any partition are accepted") {
  topic_and_group t(4), other(1);
  member a(t.group, {t.topic});
  REQUIRE(settle({&a}, [&] { return a.has.size() == 4; }));
  CHECK(a.wakes > 0);
  CHECK(a.handle->has_assignment());
  CHECK(!a.handle->member_id().empty());
  CHECK(!a.handle->cluster_id(5'000).empty());
  CHECK(a.handle->session_timeout_ms() == 3'000);
  CHECK(a.handle->max_poll_interval_ms() == 6'000);
  poll_for({&a}, 4'500ms); // longer than the session's time-out
  CHECK(a.assignments == 1);
  CHECK(a.revocations + a.losses == 0);
  CHECK(a.commit(t.at(3), 17, std::string(3'500, 'x')) == commit_status::ok);
  CHECK(a.commit(other.at(0), 5) == commit_status::ok); // not even of a subscribed topic

  auto found = a.handle->committed({t.at(0), t.at(3), other.at(0)}, 10'000);
  CHECK(found[0].what == committed_offset::status::none);
  REQUIRE(found[1].what == committed_offset::status::found);
  CHECK(found[1].next.value == 17);
  CHECK(found[1].metadata == std::string(3'500, 'x'));
  REQUIRE(found[2].what == committed_offset::status::found);
  CHECK(found[2].metadata == "m");
}

TEST_CASE("answers of start_commit come out of poll, in the order of the offsets") {
  topic_and_group t(3), u(1);
  member a(t.group, {t.topic});
  REQUIRE(settle({&a}, [&] { return a.has.size() == 3; }));
  auto id = a.handle->start_commit({{u.at(0), {1}, ""}, {t.at(2), {2}, "b"}, {t.at(0), {3}, "c"}}, 10'000);
  CHECK(a.handle->unanswered() == 1);
  const commit_answered* answer = nullptr;
  REQUIRE(settle({&a}, [&] {
    for (const auto& e : a.events)
      if (auto* c = std::get_if<commit_answered>(&e); c && c->id == id) answer = c;
    return answer != nullptr;
  }));
  CHECK(a.handle->unanswered() == 0);
  REQUIRE(answer->answers.size() == 3);
  CHECK(answer->answers[0].where == u.at(0));
  CHECK(answer->answers[1].where == t.at(2));
  CHECK(answer->answers[2].where == t.at(0));
  for (const auto& x : answer->answers) CHECK(x.status == commit_status::ok);
}

TEST_CASE("one partition's error is that partition's alone") {
  topic_and_group t(3);
  member a(t.group, {t.topic});
  REQUIRE(settle({&a}, [&] { return a.has.size() == 3; }));
  auto answers = a.handle->commit(
      {{t.at(0), {1}, "fits"}, {t.at(1), {1}, std::string(4'097, 'x')}, {t.at(2), {1}, "fits"}}, 10'000);
  REQUIRE(answers.size() == 3);
  CHECK(answers[0].status == commit_status::ok);
  CHECK(answers[1].status == commit_status::rejected);
  CHECK(answers[1].why->way_out.find("offset.metadata.max.bytes") != std::string::npos);
  CHECK(answers[2].status == commit_status::ok);
  // Only just allowed.
  CHECK(a.commit(t.at(1), 1, std::string(4'096, 'x')) == commit_status::ok);
  CHECK(a.commit({unique_name("no-such-topic"), {0}}, 1) == commit_status::rejected);
}

TEST_CASE("two members: the group waits for complete_revoke, and until then commits are accepted") {
  topic_and_group t(4);
  member a(t.group, {t.topic}, {{"max.poll.interval.ms", "30000"}});
  REQUIRE(settle({&a}, [&] { return a.has.size() == 4; }));
  a.auto_revoke = false;
  member b(t.group, {t.topic});
  REQUIRE(settle({&a, &b}, [&] { return a.revocations == 1; }));
  poll_for({&a, &b}, 1'500ms);
  CHECK(b.assignments == 0);
  CHECK(a.handle->has_assignment());
  CHECK(a.commit(t.at(0), 9, "last words") == commit_status::ok);
  a.complete();
  CHECK(!a.handle->has_assignment());
  CHECK(a.commit(t.at(0), 10) == commit_status::refused);
  a.auto_revoke = true;
  REQUIRE(settle({&a, &b}, [&] { return a.has.size() == 2 && b.has.size() == 2; }));
  CHECK(a.losses == 0);
  for (const auto& p : a.has) CHECK(b.has.count(p) == 0);
  CHECK(a.commit(t.at(1), 3) == commit_status::ok);
  CHECK(b.commit(t.at(1), 4) == commit_status::ok); // the broker asks for the generation, not for the owner
  auto found = b.handle->committed({t.at(0)}, 10'000);
  CHECK(found[0].metadata == "last words");
}

TEST_CASE("a member without partitions is told so") {
  topic_and_group t(1);
  member a(t.group, {t.topic}), b(t.group, {t.topic});
  REQUIRE(settle({&a, &b}, [&] {
    return a.handle->has_assignment() && b.handle->has_assignment() && a.has.size() + b.has.size() == 1;
  }));
  // The one without leaves: the other one goes on.
  auto& idle = a.has.empty() ? a : b;
  auto& busy = a.has.empty() ? b : a;
  idle.handle.reset();
  auto before = busy.assignments;
  REQUIRE(settle({&busy}, [&] { return busy.assignments > before && busy.has.size() == 1; }));
  CHECK(busy.commit(t.at(0), 1) == commit_status::ok);
}

TEST_CASE("who does not poll for max.poll.interval loses the group, and is told when it wakes") {
  topic_and_group t(2);
  member a(t.group, {t.topic}, {{"max.poll.interval.ms", "3000"}}), b(t.group, {t.topic});
  REQUIRE(settle({&a, &b}, [&] { return a.has.size() == 1 && b.has.size() == 1; }));
  REQUIRE(settle({&b}, [&] { return b.has.size() == 2; })); // a is not polled
  CHECK(b.commit(t.at(0), 100, "of b") == commit_status::ok);
  CHECK(b.commit(t.at(1), 100, "of b") == commit_status::ok);
  CHECK(a.commit(t.at(0), 50, "of a") == commit_status::refused);
  CHECK(a.commit(t.at(1), 50, "of a") == commit_status::refused);
  CHECK(b.handle->committed({t.at(0)}, 10'000)[0].metadata == "of b");
  CHECK(b.handle->committed({t.at(1)}, 10'000)[0].metadata == "of b");
  REQUIRE(settle({&a, &b}, [&] { return a.losses == 1; }));
  bool told = std::any_of(a.events.begin(), a.events.end(), [](const auto& e) {
    auto* x = std::get_if<trouble>(&e);
    return x && x->what.text().find("MAX_POLL_EXCEEDED") != std::string::npos;
  });
  CHECK(told);
  REQUIRE(settle({&a, &b}, [&] { return a.has.size() == 1 && b.has.size() == 1; }));
}

TEST_CASE("a process that was stopped past its session and woken is refused by the broker") {
  topic_and_group t(2);
  for (int round = 0; round < 3; ++round) {
    child zombie("group_child", {t.group, t.topic});
    REQUIRE(zombie.wait_for("assigned 2"));
    zombie.write("commit 0 " + std::to_string(10 * round + 1) + " of-zombie\n");
    REQUIRE(zombie.wait_for("answer ok"));
    zombie.stop();
    member b(t.group, {t.topic});
    REQUIRE(settle({&b}, [&] { return b.has.size() == 2; }));
    REQUIRE(b.commit(t.at(0), 1'000 + round, "of b") == commit_status::ok);
    zombie.write("commit 0 5 too-late\n"); // the first thing that it does when it wakes
    zombie.wake();
    std::string answer;
    REQUIRE(settle({&b}, [&] { return zombie.line_with("answer ", 1, answer); }));
    CHECK_MESSAGE((answer == "answer refused" || answer == "answer unknown"), answer);
    REQUIRE(settle({&b}, [&] { return zombie.line_with("assigned 1", 0, answer); }));
    auto found = b.handle->committed({t.at(0)}, 10'000);
    CHECK(found[0].next.value == 1'000 + round);
    CHECK(found[0].metadata == "of b");
  }
}

TEST_CASE("a commit without an answer does not outlive its membership") {
  topic_and_group t(2);
  member a(t.group, {t.topic});
  REQUIRE(settle({&a}, [&] { return a.has.size() == 2; }));
  auto id_before = a.handle->member_id();
  for (int i = 0; i < 20; ++i) a.handle->start_commit({{t.at(0), {i}, "x"}}, 0); // no time to answer
  CHECK(a.handle->unanswered() > 0);
  REQUIRE(a.handle->rejoin());
  CHECK(a.handle->unanswered() == 0);
  CHECK(!a.handle->has_assignment());
  a.has.clear();
  REQUIRE(settle({&a}, [&] { return a.has.size() == 2; }));
  CHECK(a.handle->member_id() != id_before);
  int unknown = 0;
  for (const auto& e : a.events)
    if (auto* c = std::get_if<commit_answered>(&e)) unknown += c->answers.at(0).status == commit_status::unknown;
  CHECK(unknown > 0);
  auto first = a.handle->committed({t.at(0)}, 10'000)[0];
  CHECK(a.commit(t.at(0), 77, "mine") == commit_status::ok);
  poll_for({&a}, 1'000ms);
  CHECK(a.handle->committed({t.at(0)}, 10'000)[0].metadata == "mine"); // nothing of before came after it
}

TEST_CASE("nothing is committed behind a commit that has no answer") {
  topic_and_group t(1);
  member a(t.group, {t.topic});
  REQUIRE(settle({&a}, [&] { return a.has.size() == 1; }));
  a.handle->start_commit({{t.at(0), {1}, "x"}}, 0); // no time to answer
  const auto second = a.handle->commit({{t.at(0), {2}, "y"}}, 0);
  REQUIRE(second.size() == 1);
  CHECK(second[0].status == commit_status::not_now);
  CHECK(second[0].where == t.at(0));
  CHECK(second[0].why.has_value());
  CHECK(a.commit(t.at(0), 3, "z") == commit_status::ok); // the first one's answer has come meanwhile
  CHECK(a.handle->unanswered() == 0);
  CHECK(a.handle->committed({t.at(0)}, 10'000)[0].metadata == "z");
}

TEST_CASE("complete_revoke with an unanswered commit makes the membership anew") {
  topic_and_group t(2);
  member a(t.group, {t.topic});
  REQUIRE(settle({&a}, [&] { return a.has.size() == 2; }));
  a.auto_revoke = false;
  auto id_before = a.handle->member_id();
  member b(t.group, {t.topic});
  REQUIRE(settle({&a, &b}, [&] { return a.revocations == 1; }));
  a.handle->start_commit({{t.at(0), {1}, "x"}}, 0);
  REQUIRE(a.handle->unanswered() == 1);
  a.complete();
  a.auto_revoke = true;
  CHECK(a.handle->unanswered() == 0);
  REQUIRE(settle({&a, &b}, [&] { return a.has.size() == 1 && b.has.size() == 1; }));
  CHECK(a.handle->member_id() != id_before);
}

TEST_CASE("patterns; topics and partitions that come later are noticed") {
  auto prefix = unique_name("p");
  topic_and_group t(1);
  std::string first = prefix + "-a", second = prefix + "-b";
  create_topic(first, 2);
  member a(t.group, {"^" + prefix + "-.*", "^__consumer_.*"}, {{"topic.metadata.refresh.interval.ms", "300"}});
  REQUIRE(settle({&a}, [&] { return a.has.size() == 2; }));
  create_topic(second, 1);
  REQUIRE(settle({&a}, [&] { return a.has.size() == 3; }));
  CHECK(a.has.count({second, {0}}) == 1);
  add_partitions(first, 5);
  REQUIRE(settle({&a}, [&] { return a.has.size() == 6; }));
  CHECK(a.losses == 0);
  delete_topic(first);
  delete_topic(second);
}

TEST_CASE("trouble is told, and nothing is taken for an absent offset") {
  topic_and_group t(1);
  member unknown(t.group, {unique_name("no-such-topic")});
  auto said = [](member& m, const std::string& words) {
    return std::any_of(m.events.begin(), m.events.end(), [&](const auto& e) {
      auto* x = std::get_if<trouble>(&e);
      return x && x->what.text().find(words) != std::string::npos;
    });
  };
  CHECK(settle({&unknown}, [&] { return said(unknown, "UNKNOWN_TOPIC_OR_PART"); }));

  auto made = kafka::group_member::open({{"127.0.0.1:1", {}, {}}, t.group, {t.topic}, {}});
  REQUIRE(made);
  auto start = std::chrono::steady_clock::now();
  auto found = (*made)->committed({t.at(0)}, 300);
  CHECK(std::chrono::steady_clock::now() - start < 3s);
  REQUIRE(found.size() == 1);
  CHECK(found[0].what == committed_offset::status::failed);
  CHECK(found[0].why);
  bool told = eventually([&] {
    for (auto& e : (*made)->poll(10))
      if (auto* x = std::get_if<trouble>(&e); x && !x->what.way_out.empty()) return true;
    return false;
  });
  CHECK(told);
  CHECK((*made)->commit({{t.at(0), {1}, ""}}, 100)[0].status == commit_status::refused);
}

TEST_CASE("poll waits, and no longer than it was told") {
  topic_and_group t(1);
  member a(t.group, {t.topic});
  REQUIRE(settle({&a}, [&] { return a.has.size() == 1; }));
  a.events.clear();
  auto start = std::chrono::steady_clock::now();
  a.poll(300);
  auto took = std::chrono::steady_clock::now() - start;
  CHECK(took >= 250ms);
  CHECK(took < 1'000ms);
  // With something to tell it comes back at once.
  a.handle->start_commit({{t.at(0), {1}, ""}}, 5'000);
  start = std::chrono::steady_clock::now();
  while (a.events.empty()) a.poll(5'000);
  CHECK(std::chrono::steady_clock::now() - start < 2s);
}

TEST_SUITE_END();
