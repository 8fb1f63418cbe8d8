#include "formats/batch_rows.hpp"

#include <algorithm>

namespace chute {

std::size_t row_counter::before(const chunk& c, std::size_t k) {
  if (c.row_counts.empty() && c.dead.empty() && c.rows.rows == c.offsets.size()) return k; // a row each
  if (of_ != &c || k < record_) {
    of_ = &c;
    record_ = rows_ = 0;
  }
  looked_at_ += k - record_;
  if (c.row_counts.empty()) {
    const auto from = c.outcomes.begin() + static_cast<std::ptrdiff_t>(record_);
    rows_ += static_cast<std::size_t>(std::count(from, from + static_cast<std::ptrdiff_t>(k - record_), outcome::row));
  } else
    for (auto i = record_; i < k; ++i) rows_ += c.rows_of(i);
  record_ = k;
  return rows_;
}

std::vector<chunk_rows> rows_of(const batch& b, row_counter& count) {
  std::vector<chunk_rows> out;
  for (const auto& r : b.ranges) {
    const auto first = count.before(*r.from, r.first);
    const auto rows = count.before(*r.from, r.first + r.count) - first;
    if (rows) out.push_back({r.from, first, rows});
  }
  return out;
}

} // namespace chute
