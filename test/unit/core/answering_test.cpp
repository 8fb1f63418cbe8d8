#include "core/answering.hpp"

#include <doctest/doctest.h>

using namespace chute;

TEST_CASE("nobody answers before the first answer, and from then on") {
  answering a;
  CHECK_FALSE(a.now());
  a.heard(1'000, 1'010, true);
  CHECK(a.now()->since == 1'000);
  a.heard(6'010, 6'030, true);
  a.heard(14'000, 14'500, true);
  a.heard(14'100, 14'200, true);
  CHECK(a.now()->since == 1'000);
  CHECK(a.now()->until == 14'500);
  CHECK(a.now()->length_from(4'500) == 10'000);
}

TEST_CASE("answers count only one soon after the other") {
  answering a;
  a.heard(1'000, 1'010, true);
  SUBCASE("just") {
    a.heard(9'010, 9'020, true);
    CHECK(a.now()->since == 1'000);
  }
  SUBCASE("not") {
    a.heard(9'011, 9'020, true);
    CHECK(a.now()->since == 9'011);
  }
}

TEST_CASE("one that does not answer, or not soon, begins it anew") {
  answering a;
  a.heard(1'000, 1'010, true);
  bool answered = true;
  SUBCASE("no answer") { answered = false; }
  SUBCASE("late") {}
  a.heard(2'000, answered ? 5'001 : 2'100, answered);
  CHECK_FALSE(a.now());
  a.heard(6'000, 6'010, true);
  CHECK(a.now()->since == 6'000);
}

TEST_CASE("of questions that overlap the one that failed counts") {
  answering a;
  a.heard(1'000, 1'010, true);
  a.heard(2'000, 4'000, false);
  a.heard(3'000, 4'010, true); // asked before the other failed
  CHECK(a.now()->since == 4'000);
  a.heard(3'500, 3'900, true); // told late
  a.heard(11'990, 12'010, true);
  CHECK(a.now()->since == 4'000);
}
