// What a person may do to a lane that does not go on by itself, as pure functions: move it (`chute state reset`), or
// say of its open plan whether it landed (`chute state settle`). The shell loads the record, asks log and table, and
// saves what comes out by compare-and-set, so that an owner that still runs is refused.
#pragma once

#include "core/decide.hpp"
#include "core/error.hpp"
#include "core/move_request.hpp"
#include "core/record.hpp"
#include "core/way_out.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace chute {

// What is known of one partition of the lane.
struct move_facts {
  offset_t low, end;               // of the log: the first offset held, and the one after the last
  std::optional<offset_t> to;      // where it is to begin from; nothing: it stays
  std::optional<offset_t> stays;   // it stays, and no record says where: there
  bool named = false;              // it is to stay there, and right: it was asked for
  bool past_loss = false;          // it stays, but not before the log's beginning: what was there is lost
  std::optional<offset_t> highest; // that the table or the dead letters hold; nothing: none, or they cannot be asked
};

struct move_base {
  std::optional<lane_record> before;   // nothing: there is none, or it cannot be read
  bool went_back = false;              // `before` is older than what was saved: of what was sent since it knows nothing
  std::uint64_t version = 0;           // the highest that is known of the lane; the move's is higher
  std::uint64_t lineage = 0, mark = 0; // random
  std::int32_t lanes = 0;
  std::uint64_t cluster = 0, destination = 0;
  table_trust trust;
  state_of whose; // of the lane's topic, for errors
};

// The record that the lane begins anew with. An error names the partition and what can be done instead.
result<lane_record> moved(const move_base& base, lane_id lane, const std::vector<move_facts>& partitions);

// What the table shows of the open plan, one a partition; of slices that hold nothing, zeros.
struct settle_facts {
  std::uint64_t found = 0;           // distinct offsets of the slice, over both tables
  std::optional<known_record> known; // the last record of the slice, relative to the offset after it
  std::uint64_t done = 0;            // and of some before it: a table that shows none of them is not to be believed
};

// Of a lane whose record is older than what was saved: another plan than its own is the last one.
error cannot_settle_old_record(const state_of& whose, lane_id lane, const table_trust& trust);

// The record without its open plan. An error says why a person's word, or the table's, does not settle it.
result<lane_record> settled(const lane_record& before, std::uint64_t mark, enum move_request::word said,
                            const table_trust& trust, lane_id lane, const std::vector<settle_facts>& partitions,
                            const state_of& whose);

} // namespace chute
