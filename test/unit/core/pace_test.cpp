#include "core/pace.hpp"

#include <doctest/doctest.h>

using namespace chute;

TEST_CASE("a rest ends before the batch that its records begin would close") {
  for (mono_ms wait : {1, 2, 7, 100, 1'000, 10'000, 3'600'000})
    for (std::uint64_t lane : {0, 1, 5, 31, 999}) {
      CAPTURE(wait);
      CAPTURE(lane);
      const auto p = pace::of(wait, lane, 1 << 20);
      for (mono_ms now = 5'000'000; now < 5'002'000; now += 13) {
        const auto until = p.rest_until(now, 1'000'000, 1, 10);
        CHECK(until > now);
        CHECK(until <= now + std::min<mono_ms>(wait, pace::period_most));
      }
    }
}

TEST_CASE("readers of one lane rest until the same moment, and those of others until another") {
  const auto p = pace::of(1'000, 3, 1 << 20), other = pace::of(1'000, 4, 1 << 20);
  CHECK(p.rest_until(1'000'000, 5'000, 1, 10) == p.rest_until(1'000'100, 5'000, 7, 500));
  CHECK(p.rest_until(1'000'000, 5'000, 1, 10) != other.rest_until(1'000'000, 5'000, 1, 10));
}

TEST_CASE("there is no rest where chunks are large, nor where none is wanted") {
  const auto p = pace::of(1'000, 0, 1 << 20);
  CHECK(p.rest_until(1'000, 500, pace::records_enough, 10) == 1'000);
  CHECK(p.rest_until(1'000, 500, 1, p.bytes_enough) == 1'000);
  CHECK(p.rest_until(1'000, 500, 0, 0) == 1'000);
  CHECK(pace{}.rest_until(1'000, 500, 1, 10) == 1'000);
}

TEST_CASE("where records come fast, a rest lasts until enough have come") {
  const pace p{800, 3};
  const auto enough = pace::records_enough;
  CHECK(p.rest_until(8'003, 100, enough / 2, 100) == 8'003 + 200); // enough after 200 ms
  CHECK(p.rest_until(8'103, 100, enough / 2, 100) == 8'003 + 200); // with the others
  CHECK(p.rest_until(8'003, 100, enough / 4, 100) == 8'003 + 400);
  CHECK(p.rest_until(8'003, 100, 1, p.bytes_enough / 2) == 8'003 + 200);
  CHECK(p.rest_until(8'003, 1, enough - 1, 100) == 8'004);
}

TEST_CASE("a rest ends long before a partition's queue is full") {
  CHECK(pace::of(1'000, 0, 400'000).bytes_enough == 200'000);
  CHECK(pace::of(1'000, 0, 64 << 10).bytes_enough == pace::bytes_enough_min);
  CHECK(pace::of(1'000, 0, 1 << 30).bytes_enough == pace::bytes_enough_most);
}
