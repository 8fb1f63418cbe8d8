// The commands that messages name.
#include "core/way_out.hpp"

#include <doctest/doctest.h>

using namespace chute;

namespace {

const state_of whose{"my file.yaml", "p", "t"};
bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

lane_record record(std::int64_t next, std::optional<std::int64_t> planned = {}) {
  lane_record r;
  r.lanes = 4;
  r.partitions.resize(2);
  r.partitions[1].next = {next};
  if (planned) {
    r.open = plan{};
    r.open->last = {{-1}, {*planned}};
  }
  return r;
}

table_trust believed() {
  table_trust t;
  t.there = t.not_there = true;
  return t;
}

} // namespace

TEST_CASE("a command is ready for a shell, of a topic or of all of them") {
  CHECK(whose.reset("--to-table") == "`chute state reset 'my file.yaml' --pipeline p --topic t --to-table`");
  CHECK(whose.settle(of_lane({3})) == "`chute state settle 'my file.yaml' --pipeline p --topic t --lane 3`");
  CHECK(state_of{"f", "p", ""}.reset("--to-table") == "`chute state reset f --pipeline p --to-table`");
}

TEST_CASE("where a table cannot be asked a person says where to go on, of one partition") {
  CHECK(go_on_after_table(whose, "--lane 3 ", true) ==
        "go on after what the table holds: `chute state reset 'my file.yaml' --pipeline p --topic t --lane 3 "
        "--to-table`");
  const auto chosen = go_on_after_table(whose, "--lane 3 ", false);
  CHECK_FALSE(holds(chosen, "--to-table"));
  CHECK(holds(chosen, "--topic t --partition P --to-offset N`"));
  CHECK(holds(chosen, "--topic t --lane 3 --to-earliest`"));
  CHECK(holds(go_on_after_table(whose, "--partition 5 ", false), "--topic t --partition 5 --to-offset N`"));
}

TEST_CASE("a loss is passed over as far as the table can tell what follows it") {
  const auto lost = [&](const lane_record& r, const table_trust& t) { return pass_loss(whose, r, {1}, 1, t); };
  SUBCASE("no plan") {
    CHECK(lost(record(10), {}) == "`chute state reset 'my file.yaml' --pipeline p --topic t --partition 5 "
                                  "--to-earliest`, or set on_data_loss: continue");
    CHECK_FALSE(loss_meets_plan(record(10), 1));
    CHECK_FALSE(loss_meets_plan(record(10, 9), 1)); // of the lane's other partitions
    CHECK(holds(lost(record(10, 9), {}), "--to-earliest"));
  }
  SUBCASE("an open plan") {
    auto r = record(10, 19);
    CHECK(loss_meets_plan(r, 1));
    CHECK(holds(lost(r, believed()), "--partition 5 --to-table` sends what is left"));
    CHECK(holds(lost(r, {}), "--lane 1 --landed` or `"));
    r.partitions[1].blind = offset_t{10};
    CHECK(holds(lost(r, believed()), "--lane 1 --landed` or `"));
    r.partitions[1].blind = offset_t{9};
    CHECK(holds(lost(r, believed()), "--to-table"));
  }
  SUBCASE("the rest of one is being filled in") { // which nobody can settle, and which needs the table anyway
    auto r = record(10);
    r.partitions[1].fill_to = offset_t{30};
    CHECK_FALSE(loss_meets_plan(r, 1));
    CHECK(holds(lost(r, believed()), "--partition 5 --to-table` sends what is left"));
    CHECK(lost(r, {}).starts_with("set on_data_loss: continue"));
  }
}

TEST_CASE("other lanes: all topics of the pipeline get a new group, and nothing is passed over") {
  const auto asked = begin_with_other_lanes(whose, true);
  CHECK(holds(asked, "start: earliest"));
  CHECK(holds(asked, "`chute state reset 'my file.yaml' --pipeline p --to-table`"));
  const auto noted = begin_with_other_lanes(whose, false);
  CHECK_FALSE(holds(noted, "--to-table"));
  for (const char* part :
       {"`chute state show 'my file.yaml' --json`", "`chute run 'my file.yaml' --pipeline p --until-end`",
        "--topic t --partition P --to-offset N`"})
    CHECK(holds(noted, part));
}
