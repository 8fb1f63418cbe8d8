// Records and saves for the tests of stores.
#pragma once

#include "core/record.hpp"
#include "state/store.hpp"

#include <string>

namespace chute::test {

inline lane_record record_of(std::uint64_t version, std::uint64_t mark, std::int64_t next, std::size_t partitions = 1) {
  lane_record r;
  r.version = version;
  r.mark = mark;
  r.lineage = 0xabcdef;
  r.lanes = 1;
  r.cluster = 11;
  r.destination = 12;
  r.partitions.resize(partitions);
  for (auto& p : r.partitions) p.next = {next};
  return r;
}

// A save of `version` over `version` - 1. Another mark: another writer's.
inline save_request save_of(const lane_key& lane, std::uint64_t version, std::uint64_t mark = 1) {
  auto next = static_cast<std::int64_t>(version) * 10;
  save_request out{lane, version - 1, {version, encode_record(record_of(version, mark, next))}, {}};
  out.offsets.push_back({{lane.lane.value}, {next}});
  return out;
}

// A record as large as one may be: 100 partitions in the middle of a plan.
inline save_request largest_save_of(const lane_key& lane, std::uint64_t version) {
  auto next = (std::int64_t{1} << 49) + lane.lane.value;
  auto r = record_of(version, 0xffffffffffffffff, next, lane_partitions_max);
  r.open.emplace();
  for (auto& p : r.partitions) {
    p.known = known_record{0xffffffff, known_distance_max};
    p.blind = p.next + (std::int64_t{1} << 34);
    p.fill_to = p.next + (std::int64_t{1} << 34);
    r.open->last.push_back(p.next + (slice_offsets_max - 2));
  }
  save_request out{lane, version - 1, {version, encode_record(r)}, {}};
  out.offsets.push_back({{lane.lane.value}, {next}});
  return out;
}

inline lane_key lane_of(int lane = 0, const std::string& topic = "orders") {
  return {"cluster", "group", "pipeline", topic, {lane}};
}

} // namespace chute::test
