// The compare in compare-and-set, as every store uses it.
#include "state/compare.hpp"

#include "test/unit/state/records.hpp"

#include <doctest/doctest.h>

using namespace chute;
using namespace chute::test;

namespace {

stored_record stored(std::uint64_t version, std::uint64_t mark = 1) { return save_of(lane_of(), version, mark).record; }

// What a save comes to; nothing: it is written.
std::optional<save_status> comes_to(const save_request& wanted, const std::optional<stored_record>& current) {
  auto a = compare(wanted, current);
  return a ? std::optional(a->status) : std::nullopt;
}

} // namespace

TEST_CASE("compare: a save over the version that it expects is written") {
  CHECK_FALSE(comes_to(save_of(lane_of(), 1), std::nullopt));
  CHECK_FALSE(comes_to(save_of(lane_of(), 4), stored(3)));
  CHECK_FALSE(comes_to(save_of(lane_of(), 4), stored(3, 99))); // whoever made it
}

TEST_CASE("compare: over any other version it is refused") {
  for (std::uint64_t there : {1, 2, 4, 5, 9})
    CHECK(comes_to(save_of(lane_of(), 4, 7), stored(there)) == save_status::refused);
  CHECK(comes_to(save_of(lane_of(), 4), std::nullopt) == save_status::refused); // the record is gone
  CHECK(comes_to(save_of(lane_of(), 1), stored(1, 7)) == save_status::refused); // somebody else began
}

TEST_CASE("compare: a repetition of what is there is accepted, and not written "
          "again") {
  CHECK(comes_to(save_of(lane_of(), 4), stored(4)) == save_status::accepted);
  CHECK(comes_to(save_of(lane_of(), 1), stored(1)) == save_status::accepted);
}

TEST_CASE("compare: the same version with other words is somebody else's") {
  CHECK(comes_to(save_of(lane_of(), 4, 2), stored(4, 1)) == save_status::refused);
}

TEST_CASE("compare: a version that does not grow is refused") {
  for (std::uint64_t version : {1, 2, 3}) {
    auto wanted = save_of(lane_of(), version, 5);
    wanted.expected = 3;
    CHECK(comes_to(wanted, stored(3)) == save_status::refused);
  }
}

TEST_CASE("memory store: it keeps what was accepted, and nothing else") {
  auto s = make_memory_store();
  auto load = [&] { return s->load({lane_of()}, 1'000)[0]; };
  CHECK(load().status == loaded::status::absent);
  CHECK(s->save({save_of(lane_of(), 1)}, 1'000)[0].status == save_status::accepted);
  CHECK(s->save({save_of(lane_of(), 3)}, 1'000)[0].status == save_status::refused);
  CHECK(load().status == loaded::status::found);
  CHECK(load().record.text == save_of(lane_of(), 1).record.text);
}
