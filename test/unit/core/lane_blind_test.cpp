// A lane that was moved by a person: up to `blind` the table held rows before, and says nothing of what is sent now.
#include "lane_harness.hpp"

using namespace chute;
using namespace chute::test;

namespace {

// As `chute state reset` leaves it: a lane that begins again at 0, of which the table holds offsets up to 99.
struct moved_back : harness {
  explicit moved_back(int partitions = 1) : harness(partitions) {
    first_start();
    auto r = saved();
    r.partitions[0].blind = offset_t{99};
    r.version += 1;
    r.lineage += 1;
    stored = encode_record(r);
  }
};

} // namespace

TEST_CASE("blind: a repetition is not looked for in the table, and counts once it is acknowledged") {
  moved_back h;
  h.restart();
  h.planned(10);
  h.unanswered();
  h.pass(1'000);
  h.tell_running(false);
  CHECK(h.acknowledge().what->rows == 10);
  h.pass(1'000);
  h.accept();
  CHECK(h.saved().partitions[0].next == offset_t{10});
  CHECK(h.saved().partitions[0].blind == offset_t{99});
}

TEST_CASE("blind: a plan that was loaded is sent again under its token") {
  moved_back h;
  h.restart();
  h.planned(10);
  const auto token = h.saved().open->token;
  h.restart();
  h.give(records(0, 0, 10));
  h.tell_running(false);
  CHECK(h.acknowledge().what->token == token);
}

TEST_CASE("blind: a doubt stops the lane, and names what settles it") {
  moved_back h;
  h.config.file = "my file.yaml";
  h.config.window_ms = 400'000;
  h.restart();
  h.planned(10);
  h.skip(250'000);
  h.restart();
  h.give(records(0, 0, 10));
  const auto why = h.take<fx_stopped>().reason;
  CHECK(why.find("offsets 0 to 9 is in doubt") != std::string::npos);
  CHECK(why.find("`chute state settle 'my file.yaml' --pipeline p --topic t --lane 0 --landed`") != std::string::npos);
  CHECK(why.find("--not-landed`") != std::string::npos);
}

TEST_CASE("blind: beyond it the table is believed again") {
  moved_back h;
  h.config.batch.rows = 1'000;
  h.restart();
  h.planned(100);
  h.acknowledge();
  h.planned(10, 100);
  CHECK_FALSE(h.saved().partitions[0].blind);
  h.unanswered();
  h.pass(1'000);
  CHECK(h.has<fx_ask>());
}

TEST_CASE("blind: what is filled in is not sent together with it") {
  moved_back h(2);
  auto r = *decode_record(h.stored);
  r.partitions[1].fill_to = offset_t{50};
  h.stored = encode_record(r);
  h.restart();
  h.give(records(0, 0, 10));
  h.give(records(1, 0, 10));
  h.pass(1'000);
  h.accept();
  auto p = *h.saved().open;
  CHECK(p.kind == plan_kind::batch);
  CHECK(p.last[0] == offset_t{9});
  CHECK(p.last[1] == offset_t{-1});
  h.acknowledge();
  h.pass(1'000);
  h.accept();
  p = *h.saved().open;
  CHECK(p.kind == plan_kind::fill);
  CHECK(p.last[0] == offset_t{9});
  CHECK(p.last[1] == offset_t{9});
  h.tell_offsets({{0, 1, 2, 3, 4}});
  CHECK(h.take<fx_insert>().what->rows == 5);
}
