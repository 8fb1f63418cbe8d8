#include "core/answering.hpp"

#include <doctest/doctest.h>

using namespace chute;

TEST_CASE("nobody answers before the first answer") {
  answering a;
  CHECK_FALSE(a.times());
  a.heard(1'000, 4'001); // late
  CHECK_FALSE(a.times());
}

TEST_CASE("answers count from the moment at which each was asked for, one soon after the other") {
  answering a;
  a.heard(1'000, 1'010);
  a.heard(6'000, 9'000);
  a.heard(14'000, 14'500);
  CHECK(a.times()->since == 1'000);
  CHECK(a.times()->until == 14'000);
  CHECK(a.times()->length_from(4'500) == 9'500);
  CHECK(a.times()->length_from(0) == 13'000);
  SUBCASE("one that is told late changes nothing") { a.heard(13'000, 14'600); }
  SUBCASE("nor does one that took too long") { a.heard(15'000, 18'001); }
  CHECK(a.times()->since == 1'000);
  CHECK(a.times()->until == 14'000);
}

TEST_CASE("none for too long: it begins anew") {
  answering a;
  a.heard(1'000, 1'010);
  mono_ms next = 9'000;
  SUBCASE("just in time") {}
  SUBCASE("not") { next = 9'001; }
  a.heard(next, next + 10);
  CHECK(a.times()->since == (next == 9'000 ? 1'000 : next));
  CHECK(a.times()->until == next);
}
