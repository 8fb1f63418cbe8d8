// The record of a lane: everything that must change at once, in one text of at most `record_text_max` characters,
// because the default store keeps it in the metadata of an offset commit (Kafka's default limit there is 4096).
#pragma once

#include "core/error.hpp"
#include "core/ids.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chute {

inline constexpr std::size_t record_text_max = 3500;
inline constexpr std::size_t lane_partitions_max = 100;
inline constexpr std::string_view record_marker = "chute1:";
// A slice spans at most so many offsets (2^35 - 1), which bounds what a plan costs in the record.
inline constexpr std::int64_t slice_offsets_max = (std::int64_t{1} << 35) - 1;
// Beyond this distance the last record done is no longer kept.
inline constexpr std::int64_t known_distance_max = (std::int64_t{1} << 21) - 1;

// The last record done, to know the log again: record_hash() cut to 32 bits, at known_at(). Of a plan that landed in
// part it is the last record of that plan: up to there the log must still be the one that it was read from.
struct known_record {
  std::uint32_t hash = 0;
  std::int64_t distance = 1;
  bool operator==(const known_record&) const = default;
};

struct lane_partition {
  offset_t next; // all offsets below are done
  std::optional<known_record> known;
  std::optional<offset_t> blind;   // up to here the table is not asked (after a move by the operator)
  std::optional<offset_t> fill_to; // a plan that begins at or below it is a fill
  offset_t known_base() const { return fill_to && *fill_to >= next ? *fill_to + 1 : next; }
  std::optional<offset_t> known_at() const {
    return known ? std::optional(known_base() - known->distance) : std::nullopt;
  }
  // Everything below `to` is done; `last`: the last record passed, relative to `to`. Marks that are passed are dropped.
  void pass(offset_t to, const std::optional<known_record>& last);
  // The log has nothing below `low` any more: what was not done of it is lost.
  void begin_at(offset_t low);
  // A plan up to `last` landed in part; `end`: its last record, relative to `last + 1`.
  void mark_fill(offset_t last, const std::optional<known_record>& end);
  bool operator==(const lane_partition&) const = default;
};

enum class plan_kind : std::uint8_t { batch = 0, fill = 1 };
enum class plan_as : std::uint8_t { rows = 0, dead_letter = 1, skip = 2 };

struct plan {
  token_t token;
  plan_kind kind = plan_kind::batch;
  plan_as as = plan_as::rows;
  wall_ms since = 0;             // when it was made, ClickHouse's time
  wall_ms good_until = 0;        // until then deduplication surely knows the token
  std::uint64_t blocks = 0;      // inserts that the destination had seen before; 0: not known
  std::uint64_t fingerprint = 0; // of all that decides what a row looks like
  std::uint64_t sum = 0;         // of its records: offset, timestamp, key, value
  std::vector<offset_t> last;    // of each slice, one a partition of the lane; next - 1: an empty slice
  bool operator==(const plan&) const = default;
};

struct lane_record {
  std::uint64_t version = 0;              // counts saves
  std::uint64_t mark = 0;                 // random, of this save
  std::uint64_t lineage = 0;              // random, new whenever the record begins anew
  std::int32_t lanes = 0;                 // L
  std::uint64_t cluster = 0;              // hash of Kafka's cluster id
  std::uint64_t destination = 0;          // hash of the table's UUID or replicated path
  bool ever = false;                      // any row or dead letter was ever done
  bool unplanned = false;                 // by at_least_once: what it sends is in no plan
  std::vector<lane_partition> partitions; // partition i is lane + i·L
  std::optional<plan> open;
  bool operator==(const lane_record&) const = default;
};

// The text of a record. Where it would be longer than record_text_max, `known` is dropped, the largest distances first:
// it only serves a comparison.
std::string encode_record(const lane_record& r);
result<lane_record> decode_record(std::string_view text);

inline partition_id lane_partition_id(lane_id lane, std::int32_t lanes, std::size_t index) {
  return {lane.value + static_cast<std::int32_t>(index) * lanes};
}
inline std::size_t lane_partition_count(lane_id lane, std::int32_t lanes, std::int32_t topic_partitions) {
  if (lane.value >= topic_partitions) return 0;
  return static_cast<std::size_t>((topic_partitions - lane.value + lanes - 1) / lanes);
}
// L for a topic: as configured, or more where a lane would have more than 100 partitions.
inline std::int32_t lanes_for(std::int32_t configured, std::int32_t topic_partitions) {
  auto needed = (topic_partitions + static_cast<std::int32_t>(lane_partitions_max) - 1) /
                static_cast<std::int32_t>(lane_partitions_max);
  return needed > configured ? needed : configured;
}

} // namespace chute
