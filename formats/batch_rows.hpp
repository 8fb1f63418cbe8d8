// Which rows of its chunks a batch holds.
#pragma once

#include "core/batch.hpp"
#include "formats/encoder.hpp"

#include <cstddef>
#include <vector>

namespace chute {

// Counts the rows before records of chunks. What it counted for a record it keeps for those behind it: a fill has
// thousands of ranges in one chunk.
class row_counter {
public:
  // Rows of `c` before record `k`.
  std::size_t before(const chunk& c, std::size_t k);
  std::size_t looked_at() const { return looked_at_; } // records, over all calls

private:
  const chunk* of_ = nullptr;
  std::size_t record_ = 0, rows_ = 0, looked_at_ = 0;
};

// One entry a range that makes rows, in their order.
std::vector<chunk_rows> rows_of(const batch& b, row_counter& count);

} // namespace chute
