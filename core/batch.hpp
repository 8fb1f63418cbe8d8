// Records gathered for a lane, and the batches cut from them. Only bounds are kept here; the columns stay in the
// chunks.
#pragma once

#include "core/chunk.hpp"
#include "core/mutant.hpp"
#include "core/record.hpp"

#include <deque>
#include <vector>

namespace chute {

// Records [first, first + count) of a chunk.
struct record_range {
  chunk_ptr from;
  std::size_t first = 0, count = 0;
};

// What is inserted as one: records by partition, then offset, however they came grouped.
struct batch {
  token_t token;
  plan_as as = plan_as::rows;
  wall_ms since = 0;                                                     // of its plan: the dead letters' failed_at
  std::string reason;                                                    // as dead_letter: why
  std::vector<record_range> ranges;                                      // none is empty
  std::uint64_t records = 0, rows = 0, dead = 0, dropped = 0, bytes = 0; // `rows`: records that make some
  std::uint64_t more_rows = 0;                                           // beyond one of each of those
};

// Mixed into a plan's sum, once a record: order does not matter, so neither does grouping.
std::uint64_t record_sum(std::uint64_t hash, std::int64_t offset);

// A run of records of one partition that is not yet in a batch.
struct piece {
  chunk_ptr from;
  std::size_t first = 0, count = 0; // records; may be none: only a gap was passed
  offset_t begin, last;             // offsets passed, inclusive
  mono_ms arrived = 0;
  std::uint64_t order = 0;       // of arrival over all partitions
  std::uint64_t chunk_bytes = 0; // held by all of the chunk: to add it up is a walk over its buffers
  std::uint64_t bytes() const;
};

// Everything cut for one plan, one slice a partition.
struct cut {
  std::vector<offset_t> last;                     // one a partition; next - 1: nothing
  std::vector<std::optional<known_record>> known; // one a partition: its last record, relative to last + 1
  std::vector<std::vector<piece>> pieces;         // one a partition, to be given back if the plan is made anew
  std::uint64_t records = 0, rows = 0, dead = 0, dropped = 0, bytes = 0, sum = 0; // `rows`: records that make some
  std::uint64_t more_rows = 0;                                                    // beyond one of each of those
};

// The gathered pieces of one lane.
class gathered {
public:
  // `positions`: where each partition's reading begins. Forgets all.
  void restart(const std::vector<offset_t>& positions);
  offset_t position(std::size_t i) const { return parts_[i].position; } // the next offset to come
  // Appends a chunk that begins at position(i); offsets beyond `until` (exclusive) are left out. Returns false, and
  // changes nothing, if the chunk does not begin there.
  bool add(std::size_t i, const chunk_ptr& c, mono_ms now, offset_t until);
  void give_back(cut c);

  // Cuts up to so many records and bytes (at least one record), oldest pieces first. `kinds`, if given, has a number
  // for each partition: the cut ends before it holds partitions of two numbers other than 0.
  cut take(std::uint64_t records_max, std::uint64_t bytes_max, const std::vector<std::uint8_t>& kinds = {});
  // Cuts exactly up to `last` of each partition; only when covers(last).
  cut take_to(const std::vector<offset_t>& last);
  bool covers(const std::vector<offset_t>& last) const;

  std::uint64_t records() const { return records_; }
  std::uint64_t bytes() const { return bytes_; }
  bool anything() const { return pieces_ > 0; }
  mono_ms oldest() const; // arrival of the oldest piece with a record; INT64_MAX: none
  mono_ms oldest_any() const;
  // The last gathered record of a partition, as seen from the offset `next`: at `next - distance`, so that the
  // distance is zero or less.
  std::optional<known_record> last_record(std::size_t i, offset_t next) const;

private:
  struct part {
    offset_t position, begin; // begin: of what is gathered
    std::deque<piece> pieces;
  };
  void move(part& p, std::size_t i, std::size_t count, offset_t last, cut& out);
  std::vector<part> parts_;
  std::uint64_t records_ = 0, bytes_ = 0, pieces_ = 0, order_ = 0;
};

batch make_batch(const plan& p, const cut& c, std::string reason);
// What of a plan is there: one list a partition of the lane, ascending, of an offset for each row and dead letter.
using offsets_there = std::vector<std::vector<std::int64_t>>;
// Of a fill: only the records that are not `present`.
batch make_fill(const plan& p, const cut& c, std::string reason, const offsets_there& present);
// Whether a record that becomes rows is there with fewer or with more than it makes. `dead`: those that are there as
// dead letters, each once. `several`: a record may make several rows; of one that is none by now, nobody knows how
// many it made.
struct rows_there {
  bool any_in_part = false, any_more = false;
};
rows_there count_rows(const plan& p, const cut& c, const offsets_there& present, const offsets_there& dead,
                      bool several);

} // namespace chute
