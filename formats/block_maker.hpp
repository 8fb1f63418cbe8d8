// The empty columns of one chunk after the other, for decoders.
#pragma once

#include "core/chunk.hpp"
#include "formats/decoder.hpp"

#include <span>
#include <vector>

namespace chute {

// Buffers get the room that the records before needed, so that they seldom grow, and little of it stays unused: a chunk
// counts for the lane's memory with all that it holds.
class block_maker {
public:
  // Names and columns for the targets, the same ones each time, and room for what these records make; unless the chunk
  // has columns already.
  void begin(const std::vector<target_column>& targets, std::span<const record_view> records, chunk& out);
  // After they were decoded.
  void end(const chunk& out);

private:
  struct amount {
    std::size_t records = 0, bytes = 0; // bytes: of keys and values
  };
  static amount amount_of(std::span<const record_view> records);
  std::size_t room_for(const column& c, std::size_t size, amount next) const;

  block empty_;
  // Of what was decoded last, some thousand records: bytes in each buffer, in the order of a walk over the columns.
  std::vector<std::size_t> sizes_;
  amount seen_;
  amount begun_; // of the block at work; no records: somebody else began it
};

} // namespace chute
