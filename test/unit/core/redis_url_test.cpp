#include "core/redis_url.hpp"

#include <doctest/doctest.h>

using namespace chute;

TEST_CASE("redis: addresses") {
  auto u = parse_redis_url("redis://cache");
  REQUIRE(u);
  CHECK(u->host == "cache");
  CHECK(u->port == 6379);
  CHECK(u->database == 0);
  CHECK(u->text() == "redis://cache:6379");
  u = parse_redis_url("redis://[::1]:7000/3");
  REQUIRE(u);
  CHECK(u->host == "::1");
  CHECK(u->port == 7000);
  CHECK(u->database == 3);
  CHECK(u->text() == "redis://[::1]:7000/3");
}

TEST_CASE("redis: users and passwords, which no text shows") {
  auto u = parse_redis_url("redis://chute:p%40ss:w/o@rd%2@h:1/2");
  REQUIRE(u);
  CHECK(u->user == "chute");
  CHECK(u->password == "p@ss:w/o@rd%2");
  CHECK(u->text() == "redis://h:1/2");
  u = parse_redis_url("redis://:word@h");
  REQUIRE(u);
  CHECK(u->user.empty());
  CHECK(u->password == "word");
}

TEST_CASE("redis: addresses that are none") {
  for (const char* bad :
       {"", "host:6379", "http://h", "redis://", "redis://h:0", "redis://h:65536", "redis://h:6379x", "redis://[::1",
        "redis://[::1]7", "redis://h/x", "redis://h/-1", "redis://user@h", "rediss://h", "redis://secret:@h"}) {
    auto u = parse_redis_url(bad);
    CHECK_MESSAGE(!u, bad);
    if (!u) CHECK(u.failure().cause.find("secret") == std::string::npos);
  }
  CHECK(parse_redis_url("redis://a:secret@h:x").failure().cause.find("secret") == std::string::npos);
}
