// How far a run has come, from the engine's status as it is looked at again and again. No clock of its own.
#pragma once

#include "core/status.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace chute::cli {

struct progress_figures {
  std::uint64_t records = 0;          // done since the start, over all pipelines
  std::optional<std::uint64_t> lag;   // records still to do; nothing until it is known of every partition
  double records_per_second = 0;      // over the last seconds
  std::optional<double> done;         // 0 … 1
  std::optional<std::int64_t> eta_ms; // nothing where nothing moves, or the lag is not known
};

class progress_meter {
public:
  // `now_ms`: any clock that never goes back.
  progress_figures update(const engine_status& s, std::int64_t now_ms);

private:
  struct sample {
    std::int64_t at_ms;
    std::uint64_t records;
  };
  std::deque<sample> samples_;
};

// "[#######-------] 51% · 1,040,000 records · 410,233/s · lag 960,000 · 2.3 s left", at most `width` columns: a bar
// that does not fit is left out, then the line is cut.
std::string progress_bar(const progress_figures& f, std::size_t width);
// "1,040,000 records, 410,233/s, lag 960,000, 51% done, 2.3 s left"
std::string progress_line(const progress_figures& f);

} // namespace chute::cli
