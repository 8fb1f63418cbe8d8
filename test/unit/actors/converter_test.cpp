#include "actors/reader.hpp"

#include <doctest/doctest.h>

using namespace chute;

namespace {

convert_request asked(const char* topic, std::int32_t partition, std::uint64_t epoch) {
  convert_request r{};
  r.topic = topic;
  r.partition = {partition};
  r.epoch = epoch;
  return r;
}

} // namespace

TEST_CASE("what waits for a registry is dropped once its lane reads anew: it does not gather") {
  std::deque<convert_request> waiting;
  add_waiting(waiting, false, asked("a", 0, 1));
  for (std::uint64_t epoch = 2; epoch <= 100; ++epoch) {
    for (int credit = 0; credit < 2; ++credit) add_waiting(waiting, true, asked("a", 0, epoch));
    add_waiting(waiting, true, asked("a", 1, 7));
    add_waiting(waiting, true, asked("b", 0, 7));
  }
  std::size_t old = 0, newest = 0, others = 0;
  for (const auto& r : waiting)
    if (r.topic != "a" || r.partition.value != 0) ++others;
    else r.epoch == 100 ? ++newest : ++old;
  CHECK(waiting.front().epoch == 1); // at work
  CHECK(old == 1);
  CHECK(newest == 2);
  CHECK(others == 2 * 99);
}

TEST_CASE("requests stay in the order in which they came") {
  std::deque<convert_request> waiting;
  for (std::uint64_t n = 0; n < 4; ++n) {
    add_waiting(waiting, true, asked("a", 0, 1));
    waiting.back().arrived_at = static_cast<mono_ms>(n);
  }
  REQUIRE(waiting.size() == 4);
  for (std::size_t n = 0; n < 4; ++n) CHECK(waiting[n].arrived_at == static_cast<mono_ms>(n));
}
