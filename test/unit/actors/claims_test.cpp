#include "actors/context.hpp"

#include <doctest/doctest.h>

using namespace chute;

TEST_CASE("a topic is written into a table by the pipeline that came first, and by no other while it may come back") {
  table_claims claims;
  CHECK(claims.take("d.t", "orders", "a").empty());
  CHECK(claims.take("d.t", "orders", "a").empty()); // started anew
  CHECK(claims.take("d.t", "orders", "b") == "a");
  CHECK(claims.take("d.other", "orders", "b").empty());
  CHECK(claims.take("d.t", "clicks", "b").empty());
  claims.keep_only("a", {"orders", "more"});
  CHECK(claims.take("d.t", "orders", "b") == "a");
  claims.keep_only("a", {"more"}); // its pattern does not match it any more
  CHECK(claims.take("d.t", "orders", "b").empty());
  claims.keep_only("b", {}); // it is gone
  CHECK(claims.take("d.t", "clicks", "a").empty());
  CHECK(claims.take("d.new", "clicks", "a").empty()); // its table was changed
  CHECK(claims.take("d.t", "clicks", "c").empty());
}
