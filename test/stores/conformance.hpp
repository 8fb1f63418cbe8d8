// What every state store must do, run against each of them. A world is one store in its surroundings:
//
//   store& owner()             the store of who owns all lanes; made at the first call
//   lane_key lane(int i)       0 … 99
//
// and, where the store has them:
//
//   void restart()             the owner's process ends and comes again; what was accepted must be there
//   store& take_over()         somebody else gets all lanes, while the owner does not know it yet; owner() is the
//                              zombie
//   faults& trouble()          what may happen to the owner's requests
#pragma once

#include "state/store.hpp"
#include "test/unit/state/records.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <functional>
#include <vector>

namespace chute::test {

inline constexpr std::int64_t store_limit_ms = 15'000;

// Switches of what lies between a store and its server. Each counts down with the requests that it befalls.
struct faults {
  int replies_lost = 0;   // the request arrives, its reply does not
  int requests_late = 0;  // the request is held until deliver() and counts as lost
  int requests_twice = 0; // the request arrives twice, one behind the other
  int reads_stale = 0;    // reads are answered as they would have been at the call of remember()
  std::function<void()> remember, deliver;
};

inline bool befalls(int& count) { return count > 0 && count-- > 0; }

inline save_status save(store& s, const save_request& r) {
  auto a = s.save({r}, store_limit_ms);
  REQUIRE(a.size() == 1);
  CHECK(a[0].why.has_value() == (a[0].status != save_status::accepted));
  if (a[0].why) CHECK(!a[0].why->cause.empty());
  return a[0].status;
}

inline loaded load(store& s, const lane_key& k) {
  auto l = s.load({k}, store_limit_ms);
  REQUIRE(l.size() == 1);
  return l[0];
}

inline void check_found(store& s, const save_request& r) {
  auto l = load(s, r.lane);
  CHECK(l.status == loaded::status::found);
  CHECK(l.record.version == r.record.version);
  CHECK(l.record.text == r.record.text);
  CHECK(l.foreign.empty());
}

template <class World> void first_saves_and_versions(World& w) {
  auto& s = w.owner();
  auto k = w.lane(0);
  CHECK(load(s, k).status == loaded::status::absent);
  CHECK(save(s, save_of(k, 2)) == save_status::refused); // expects a version 1 that is not there
  CHECK(load(s, k).status == loaded::status::absent);
  CHECK(save(s, save_of(k, 1)) == save_status::accepted);
  check_found(s, save_of(k, 1));
  CHECK(save(s, save_of(k, 1, 77)) == save_status::refused); // another one's first record
  CHECK(save(s, save_of(k, 5)) == save_status::refused);
  auto backwards = save_of(k, 1, 88);
  backwards.expected = 1;
  CHECK(save(s, backwards) == save_status::refused); // a version that does not grow
  check_found(s, save_of(k, 1));
  for (std::uint64_t v = 2; v <= 30; ++v) REQUIRE(save(s, save_of(k, v)) == save_status::accepted);
  check_found(s, save_of(k, 30));
  CHECK(load(s, w.lane(1)).status == loaded::status::absent);
}

template <class World> void repeated_and_late_requests(World& w) {
  auto& s = w.owner();
  auto k = w.lane(0);
  for (std::uint64_t v = 1; v <= 3; ++v) {
    REQUIRE(save(s, save_of(k, v)) == save_status::accepted);
    CHECK(save(s, save_of(k, v)) == save_status::accepted); // the reply was lost: once more
  }
  CHECK(save(s, save_of(k, 3, 5)) == save_status::refused); // the same version from somebody else
  CHECK(save(s, save_of(k, 2)) == save_status::refused);    // it comes late
  CHECK(save(s, save_of(k, 1)) == save_status::refused);
  check_found(s, save_of(k, 3));
  CHECK(save(s, save_of(k, 4)) == save_status::accepted);
}

template <class World> void lanes_of_one_request(World& w) {
  auto& s = w.owner();
  REQUIRE(save(s, save_of(w.lane(1), 1)) == save_status::accepted);
  auto a = s.save({save_of(w.lane(0), 1), save_of(w.lane(1), 1, 9), save_of(w.lane(2), 1), save_of(w.lane(3), 3),
                   save_of(w.lane(0), 2)},
                  store_limit_ms);
  REQUIRE(a.size() == 5);
  CHECK(a[0].status == save_status::accepted);
  CHECK(a[1].status == save_status::refused);
  CHECK(a[2].status == save_status::accepted);
  CHECK(a[3].status == save_status::refused);
  CHECK(a[4].status == save_status::accepted); // behind the first one
  auto l = s.load({w.lane(3), w.lane(2), w.lane(1), w.lane(0)}, store_limit_ms);
  REQUIRE(l.size() == 4);
  CHECK(l[0].status == loaded::status::absent);
  CHECK(l[1].record.text == save_of(w.lane(2), 1).record.text);
  CHECK(l[2].record.text == save_of(w.lane(1), 1).record.text);
  CHECK(l[3].record.text == save_of(w.lane(0), 2).record.text);
  CHECK(s.load({}, store_limit_ms).empty());
  CHECK(s.save({}, store_limit_ms).empty());
}

template <class World> void largest_records(World& w) {
  auto& s = w.owner();
  std::vector<save_request> all;
  std::vector<lane_key> keys;
  for (int i = 0; i < 100; ++i) {
    all.push_back(largest_save_of(w.lane(i), 1));
    keys.push_back(w.lane(i));
  }
  for (int round = 0; round < 3; ++round) {
    for (const auto& a : s.save(all, store_limit_ms)) REQUIRE(a.status == save_status::accepted);
    auto found = s.load(keys, store_limit_ms);
    for (std::size_t i = 0; i < found.size(); ++i) REQUIRE(found[i].record.text == all[i].record.text);
    for (int i = 0; i < 100; ++i) all[static_cast<std::size_t>(i)] = largest_save_of(w.lane(i), 2u + unsigned(round));
  }
}

template <class World> void restarts(World& w) {
  for (std::uint64_t v = 1; v <= 3; ++v) {
    auto& s = w.owner();
    auto k = w.lane(0);
    if (v > 1) check_found(s, save_of(k, v - 1));
    REQUIRE(save(s, save_of(k, v)) == save_status::accepted);
    REQUIRE(save(s, save_of(w.lane(static_cast<int>(v)), 1)) == save_status::accepted);
    w.restart();
    // Without a load: a repetition and what follows are still told from what is late.
    auto& again = w.owner();
    CHECK(save(again, save_of(k, v)) == save_status::accepted);
    CHECK(save(again, save_of(k, v, 9)) == save_status::refused);
    check_found(again, save_of(k, v));
    for (std::uint64_t i = 1; i <= v; ++i) check_found(again, save_of(w.lane(static_cast<int>(i)), 1));
  }
}

// Repeats a save until it is settled.
inline save_status settle(store& s, const save_request& r) {
  for (int i = 0; i < 100; ++i)
    if (auto status = save(s, r); status == save_status::accepted || status == save_status::refused) return status;
  return save_status::unknown;
}

template <class World> void lost_replies(World& w) {
  auto& s = w.owner();
  auto k = w.lane(0);
  for (std::uint64_t v = 1; v <= 12; ++v) {
    w.trouble().replies_lost = static_cast<int>(v % 4);
    REQUIRE(settle(s, save_of(k, v)) == save_status::accepted);
    w.trouble().replies_lost = 0;
    check_found(s, save_of(k, v));
  }
  w.trouble().replies_lost = 1;
  auto l = load(s, k);
  CHECK((l.status == loaded::status::failed || l.status == loaded::status::found)); // never absent
}

template <class World> void doubled_requests(World& w) {
  auto& s = w.owner();
  for (std::uint64_t v = 1; v <= 6; ++v) {
    w.trouble().requests_twice = 1;
    REQUIRE(settle(s, save_of(w.lane(0), v)) == save_status::accepted);
    check_found(s, save_of(w.lane(0), v));
  }
}

// A request that was held back and arrives when others have saved.
template <class World> void late_requests(World& w) {
  auto& s = w.owner();
  for (int i = 0; i < 3; ++i) REQUIRE(save(s, save_of(w.lane(i), 1)) == save_status::accepted);
  auto hold = [&](const save_request& r) {
    w.trouble().requests_late = 1;
    auto status = save(s, r);
    CHECK(w.trouble().requests_late == 0);
    CHECK(status == save_status::unknown);
  };
  // Nobody was faster: it lands, and its repetition says so.
  hold(save_of(w.lane(0), 2));
  w.trouble().deliver();
  CHECK(save(s, save_of(w.lane(0), 2)) == save_status::accepted);
  // Its repetition and another save were faster.
  hold(save_of(w.lane(1), 2));
  CHECK(save(s, save_of(w.lane(1), 2)) == save_status::accepted);
  CHECK(save(s, save_of(w.lane(1), 3)) == save_status::accepted);
  w.trouble().deliver();
  check_found(s, save_of(w.lane(1), 3));
  // Somebody else has the lane by now.
  hold(save_of(w.lane(2), 2, 13));
  auto& other = w.take_over();
  REQUIRE(save(other, save_of(w.lane(2), 2, 42)) == save_status::accepted);
  w.trouble().deliver();
  check_found(other, save_of(w.lane(2), 2, 42));
  CHECK(save(s, save_of(w.lane(2), 2, 13)) == save_status::refused);
  // So it is with a first record.
  hold(save_of(w.lane(3), 1, 13));
  REQUIRE(save(other, save_of(w.lane(3), 1, 42)) == save_status::accepted);
  w.trouble().deliver();
  check_found(other, save_of(w.lane(3), 1, 42));
}

// What was read may be old; what is saved on it is refused.
template <class World> void stale_reads(World& w) {
  auto& s = w.owner();
  auto k = w.lane(0), never = w.lane(1);
  REQUIRE(save(s, save_of(k, 1)) == save_status::accepted);
  check_found(s, save_of(k, 1)); // what is to be remembered is what was asked before
  w.trouble().remember();
  auto& other = w.take_over();
  for (std::uint64_t v = 2; v <= 3; ++v) REQUIRE(save(other, save_of(k, v, 42)) == save_status::accepted);
  REQUIRE(save(other, save_of(never, 1, 42)) == save_status::accepted);
  w.trouble().reads_stale = 2;
  check_found(s, save_of(k, 1));
  CHECK(load(s, never).status == loaded::status::absent);
  for (int stale : {0, 1, 2}) {
    w.trouble().reads_stale = stale;
    CHECK(settle(s, save_of(k, 2, 13)) == save_status::refused);
    w.trouble().reads_stale = stale;
    CHECK(settle(s, save_of(never, 1, 13)) == save_status::refused);
  }
  w.trouble().reads_stale = 0;
  check_found(s, save_of(k, 3, 42));
  // A read behind one's own save may be old as well: the save counts all the same.
  w.trouble().remember();
  w.trouble().reads_stale = 2;
  CHECK(settle(s, save_of(k, 4)) == save_status::accepted);
  w.trouble().reads_stale = 0;
  check_found(s, save_of(k, 4));
}

template <class World> void two_owners(World& w) {
  auto& zombie = w.owner();
  for (int i = 0; i < 4; ++i) REQUIRE(save(zombie, save_of(w.lane(i), 1)) == save_status::accepted);
  auto& owner = w.take_over();
  for (int i = 0; i < 3; ++i) {
    check_found(owner, save_of(w.lane(i), 1));
    REQUIRE(save(owner, save_of(w.lane(i), 2, 42)) == save_status::accepted);
  }
  // What the one before sends now counts nowhere, also where nothing was saved since.
  for (int i = 0; i < 3; ++i) {
    auto status = save(zombie, save_of(w.lane(i), 2, 13));
    CHECK((status == save_status::refused || status == save_status::unknown));
    status = save(zombie, save_of(w.lane(i), 1));
    CHECK((status == save_status::refused || status == save_status::unknown || status == save_status::accepted));
  }
  for (int i = 0; i < 3; ++i) {
    check_found(owner, save_of(w.lane(i), 2, 42));
    CHECK(save(owner, save_of(w.lane(i), 3, 42)) == save_status::accepted);
  }
}

} // namespace chute::test
