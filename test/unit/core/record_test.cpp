#include "core/record.hpp"

#include <doctest/doctest.h>
#include <random>

using namespace chute;

namespace {

lane_record largest(bool marks) {
  lane_record r;
  r.version = UINT64_MAX;
  r.mark = r.lineage = r.cluster = r.destination = UINT64_MAX;
  r.lanes = INT32_MAX;
  r.ever = true;
  auto& p = r.open.emplace();
  p.token = {UINT64_MAX, UINT64_MAX};
  p.as = plan_as::skip;
  p.since = p.good_until = INT64_MAX;
  p.fingerprint = p.sum = p.blocks = UINT64_MAX;
  for (std::size_t i = 0; i < lane_partitions_max; ++i) {
    lane_partition l;
    l.next = {INT64_MAX - slice_offsets_max};
    l.known = known_record{UINT32_MAX, known_distance_max};
    if (marks) {
      l.blind = offset_t{INT64_MAX};
      l.fill_to = l.next + (slice_offsets_max - 1);
    }
    p.last.push_back(l.next + (slice_offsets_max - 1));
    r.partitions.push_back(l);
  }
  return r;
}

} // namespace

TEST_CASE("a record reads back as it was written") {
  std::mt19937_64 rng(17);
  for (int n = 0; n < 2000; ++n) {
    lane_record r;
    r.version = rng() >> (rng() % 64);
    r.mark = rng();
    r.lineage = rng();
    r.lanes = 1 + static_cast<int>(rng() % 100);
    r.cluster = rng();
    r.destination = rng();
    r.ever = rng() % 2;
    if (rng() % 2)
      r.open = plan{{rng(), rng()}, plan_kind::fill, plan_as::dead_letter, 5, 6, rng() % 1000, rng(), rng(), {}};
    for (auto i = 1 + rng() % 20; i > 0; --i) {
      lane_partition p;
      p.next = {static_cast<std::int64_t>(rng() >> (1 + 36 * (rng() % 2))) % (INT64_MAX - slice_offsets_max)};
      if (rng() % 2) p.known = known_record{static_cast<std::uint32_t>(rng()), 1 + static_cast<int>(rng() % 1000)};
      if (rng() % 2) p.blind = p.next + static_cast<int>(rng() % 1000);
      if (rng() % 2) p.fill_to = p.next + static_cast<int>(rng() % 1000);
      if (r.open) r.open->last.push_back(p.next + static_cast<int>(rng() % 5) - 1);
      r.partitions.push_back(p);
    }
    auto back = decode_record(encode_record(r));
    REQUIRE(back.ok());
    CHECK(*back == r);
  }
}

TEST_CASE("the largest record stays below the limit and keeps all that exactness needs") {
  for (bool marks : {false, true}) {
    auto r = largest(marks);
    auto text = encode_record(r);
    CHECK(text.size() <= record_text_max);
    auto back = decode_record(text);
    REQUIRE(back.ok());
    for (auto& p : r.partitions) p.known.reset();
    for (auto& p : back->partitions) p.known.reset();
    CHECK(*back == r);
  }
}

TEST_CASE("a damaged record is an error, never another record") {
  auto text = encode_record(largest(false));
  std::mt19937_64 rng(3);
  for (int n = 0; n < 2000; ++n) {
    auto bad = text;
    if (rng() % 2) bad.resize(rng() % bad.size());
    else bad[rng() % bad.size()] ^= static_cast<char>(1 + rng() % 127);
    auto back = decode_record(bad);
    if (back.ok()) CHECK(encode_record(*back) == text); // the unused bits of the last digit
  }
  CHECK_FALSE(decode_record("").ok());
  CHECK_FALSE(decode_record("17").ok());
}

TEST_CASE("tokens are 32 hexadecimal digits") {
  token_t t{0x0123456789abcdef, 0xfedcba9876543210}, back;
  CHECK(t.hex() == "0123456789abcdeffedcba9876543210");
  REQUIRE(token_t::parse(t.hex(), back));
  CHECK(back == t);
  CHECK_FALSE(token_t::parse("0123", back));
  CHECK_FALSE(token_t::parse(std::string(32, 'g'), back));
}

TEST_CASE("partitions of a lane") {
  CHECK(lane_partition_count({0}, 25, 100) == 4);
  CHECK(lane_partition_count({24}, 25, 100) == 4);
  CHECK(lane_partition_count({3}, 32, 12) == 1);
  CHECK(lane_partition_count({12}, 32, 12) == 0);
  CHECK(lane_partition_id({3}, 25, 2) == partition_id{53});
  CHECK(lanes_for(32, 1000) == 32);
  CHECK(lanes_for(1, 101) == 2);
}
