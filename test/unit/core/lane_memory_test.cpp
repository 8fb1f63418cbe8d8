#include "core/lane_memory.hpp"

#include <doctest/doctest.h>
#include <utility>
#include <vector>

namespace chute::test {

namespace {
constexpr std::uint64_t mib = 1 << 20, budget = 154 * mib, most = 64 * mib;
constexpr std::uint64_t share_of(std::size_t lanes) { return budget / (2 * lanes); }
} // namespace

TEST_CASE("a lane has its share, whatever the others hold") {
  for (const std::size_t lanes : {1, 2, 5, 32, 500})
    for (const auto held : {std::uint64_t{0}, budget / 2, budget, 3 * budget, UINT64_MAX})
      CHECK(gather_limit(budget, held, lanes, share_of(lanes), most) >= std::min(share_of(lanes), most));
  CHECK(gather_limit(budget, budget, 32, share_of(32), most) == share_of(32));
}

TEST_CASE("what is free makes batches larger, up to their bound") {
  CHECK(gather_limit(budget, 0, 32, share_of(32), most) == budget / 8);
  CHECK(gather_limit(budget, budget / 2, 32, share_of(32), most) == budget / 16);
  CHECK(gather_limit(budget, 0, 32, share_of(32), 3 * mib) == 3 * mib);
  CHECK(gather_limit(budget, 0, 1, share_of(1), most) == share_of(1)); // a second batch is on its way beside it
}

// Lanes that gather evenly and can send nothing: each has one batch on its way, and one that is gathered.
TEST_CASE("what is held levels off near the budget while nothing can be sent") {
  for (const std::size_t lanes : {1, 2, 3, 8, 32, 100}) {
    const auto share = share_of(lanes);
    std::vector<std::uint64_t> sending(lanes), gathered(lanes);
    std::uint64_t held = 0;
    constexpr std::uint64_t step = 64 << 10;
    for (bool goes_on = true; goes_on;) {
      goes_on = false;
      for (std::size_t i = 0; i < lanes; ++i) {
        const auto limit = gather_limit(budget, held, lanes, share, budget);
        if (gathered[i] >= limit && sending[i] == 0) sending[i] = std::exchange(gathered[i], 0);
        if (gathered[i] + step > limit) continue;
        gathered[i] += step;
        held += step;
        goes_on = true;
      }
    }
    CHECK(held > budget / 2);
    CHECK(held < budget * 3 / 2);
  }
}

TEST_CASE("what lanes hold is counted as it comes and goes") {
  lane_memory m(budget);
  m.change({}, {10, 0});
  m.change({}, {5, 0});
  m.change({10, 0}, {3, 0});
  CHECK(m.held() == 8);
  m.change({5, 0}, {});
  m.change({3, 0}, {});
  CHECK(m.held() == 0);
}

TEST_CASE("open plans are read again as memory allows, and one at a time in any case") {
  lane_memory m(budget);
  m.change({}, {2 * budget, 0}); // batches that stand still
  CHECK(m.build_room() == UINT64_MAX);
  m.change({}, {0, most}); // one begins
  CHECK(m.build_room() == 0);
  m.change({2 * budget, 0}, {mib, 0});
  CHECK(m.build_room() == budget - most - mib);
  m.change({0, most}, {mib, most - mib}); // it comes
  CHECK(m.build_room() == budget - most - mib);
  m.change({mib, most - mib}, {2 * mib, 0}); // built
  CHECK(m.build_room() == UINT64_MAX);
}

} // namespace chute::test
