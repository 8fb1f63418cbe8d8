#include "cli/progress.hpp"

#include "core/text.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace chute::cli {
namespace {

constexpr std::int64_t window_ms = 5'000;
constexpr std::size_t samples_max = 256;

// Nothing while a lane is not there yet or an end is not known: a lag that leaves partitions out would look like
// success.
std::optional<std::uint64_t> lag_of(const engine_status& s) {
  std::uint64_t lag = 0;
  for (const pipeline_status& p : s.pipelines) {
    if (p.lanes.empty() && p.state == pipeline_status::state::starting) return {};
    for (const lane_status& l : p.lanes)
      for (const partition_status& part : l.partitions) {
        if (part.lag() < 0) return {};
        lag += static_cast<std::uint64_t>(part.lag());
      }
  }
  return lag;
}

std::vector<std::string> words(const progress_figures& f) {
  std::vector<std::string> out;
  if (f.done) out.push_back(std::to_string(static_cast<int>(*f.done * 100)) + "%");
  out.push_back(format_count(f.records) + " records");
  out.push_back(format_count(static_cast<std::uint64_t>(std::llround(f.records_per_second))) + "/s");
  out.push_back(f.lag ? "lag " + format_count(*f.lag) : "lag not known");
  if (f.eta_ms) out.push_back(format_duration(*f.eta_ms) + " left");
  return out;
}

std::string joined(const std::vector<std::string>& words, const std::string& by) {
  std::string out;
  for (const std::string& w : words) (out += out.empty() ? "" : by) += w;
  return out;
}

} // namespace

progress_figures progress_meter::update(const engine_status& s, std::int64_t now_ms) {
  progress_figures f;
  for (const pipeline_status& p : s.pipelines) f.records += p.records;
  f.lag = lag_of(s);
  samples_.push_back({now_ms, f.records});
  // One sample older than the window stays, so that the rate always spans all of it.
  while (samples_.size() > 2 && (samples_[1].at_ms <= now_ms - window_ms || samples_.size() > samples_max))
    samples_.pop_front();
  const sample& first = samples_.front();
  if (now_ms > first.at_ms && f.records >= first.records)
    f.records_per_second =
        static_cast<double>(f.records - first.records) * 1000 / static_cast<double>(now_ms - first.at_ms);
  if (!f.lag) return f;
  const double all = static_cast<double>(f.records) + static_cast<double>(*f.lag);
  f.done = all > 0 ? static_cast<double>(f.records) / all : 1;
  constexpr double slowest = 0.01; // records a second; below, any time left would be a guess
  if (*f.lag > 0 && f.records_per_second > slowest)
    f.eta_ms = std::llround(static_cast<double>(*f.lag) * 1000 / f.records_per_second);
  return f;
}

std::string progress_bar(const progress_figures& f, std::size_t width) {
  constexpr std::size_t cells_least = 10, cells_most = 40;
  std::string text = joined(words(f), "  ");
  const std::size_t frame = 3; // "[", "]" and a blank
  if (f.done && width > text.size() + frame + cells_least) {
    const std::size_t cells = std::min(cells_most, width - 1 - frame - text.size());
    const auto full = std::min(cells, static_cast<std::size_t>(*f.done * static_cast<double>(cells)));
    text = "[" + std::string(full, '#') + std::string(cells - full, '-') + "] " + text;
  }
  // The last column stays free: some terminals go on to the next line when it is filled.
  if (text.size() >= width) text.resize(width > 0 ? width - 1 : 0);
  return text;
}

std::string progress_line(const progress_figures& f) { return joined(words(f), ", "); }

} // namespace chute::cli
