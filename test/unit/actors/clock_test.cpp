#include "actors/clock.hpp"

#include <doctest/doctest.h>

using namespace chute;

TEST_CASE("ClickHouse's time is between the question and the answer") {
  server_clock clock;
  CHECK_FALSE(clock.known());
  CHECK(clock.now().server_unsure == 0);
  const auto m = mono_now();
  clock.set(50'000, m - 7'000, m - 4'000);
  CHECK(clock.known());
  const auto now = clock.now();
  CHECK(now.server - 50'000 == now.mono - (m - 4'000)); // it told its time as it answered
  CHECK(now.server_unsure == 3'000);                    // or as it was asked
  clock.set(60'000, m, m);
  CHECK(clock.now().server_unsure == 0);
}
