#include "cli/progress.hpp"

#include <doctest/doctest.h>

using namespace chute;
using namespace chute::cli;

namespace {

engine_status at(std::uint64_t records, std::int64_t lag) {
  engine_status s;
  pipeline_status p;
  p.state = pipeline_status::state::streaming;
  p.records = records;
  lane_status l;
  l.partitions.push_back({{0}, {1'000}, lag < 0 ? -1 : 1'000 + lag});
  p.lanes.push_back(l);
  s.pipelines.push_back(p);
  return s;
}

} // namespace

TEST_CASE("rate, share and time left come from what was seen") {
  progress_meter meter;
  auto f = meter.update(at(0, 1'000), 50'000);
  CHECK(f.records_per_second == 0);
  CHECK_FALSE(f.eta_ms);
  CHECK(f.done == 0.0);
  f = meter.update(at(250, 750), 51'000);
  CHECK(f.records == 250);
  CHECK(f.lag == 750);
  CHECK(f.records_per_second == doctest::Approx(250));
  CHECK(f.done == doctest::Approx(0.25));
  CHECK(f.eta_ms == 3'000);
}

TEST_CASE("the rate is that of the last seconds") {
  progress_meter meter;
  for (int i = 0; i <= 100; ++i) meter.update(at(static_cast<std::uint64_t>(i) * 100, 10'000), i * 100);
  progress_figures f{};
  for (int i = 101; i <= 160; ++i) f = meter.update(at(10'000, 10'000), i * 100); // six seconds of silence
  CHECK(f.records_per_second == 0);
  CHECK_FALSE(f.eta_ms);
}

TEST_CASE("a lag that is not known of every partition is not known") {
  progress_meter meter;
  engine_status s = at(10, 5);
  s.pipelines[0].lanes[0].partitions.push_back({{1}, {0}, -1});
  const auto f = meter.update(s, 0);
  CHECK_FALSE(f.lag);
  CHECK_FALSE(f.done);
  CHECK_FALSE(f.eta_ms);
  CHECK(progress_line(f) == "10 records, 0/s, lag not known");
  engine_status starting;
  starting.pipelines.emplace_back();
  CHECK_FALSE(meter.update(starting, 1).lag); // no lanes yet is not "nothing to do"
}

TEST_CASE("nothing to do is done") {
  progress_meter meter;
  const auto f = meter.update(at(0, 0), 0);
  CHECK(f.done == 1.0);
  CHECK_FALSE(f.eta_ms);
}

TEST_CASE("the bar fits the terminal") {
  progress_figures f;
  f.records = 1'040'000;
  f.lag = 960'000;
  f.records_per_second = 410'233.4;
  f.done = 0.52;
  f.eta_ms = 2'340;
  CHECK(progress_bar(f, 120) == "[####################--------------------] 52%  1,040,000 records  410,233/s  lag "
                                "960,000  2.3 s left");
  CHECK(progress_line(f) == "52%, 1,040,000 records, 410,233/s, lag 960,000, 2.3 s left");
  for (std::size_t width = 0; width < 200; ++width) {
    CAPTURE(width);
    CHECK(progress_bar(f, width).size() < std::max<std::size_t>(width, 1));
  }
  CHECK(progress_bar(f, 20) == "52%  1,040,000 reco");
  f.done = 1;
  CHECK(progress_bar(f, 200).starts_with("[########################################] 100%"));
  f.done = 0;
  CHECK(progress_bar(f, 200).starts_with("[----------------------------------------] 0%"));
}
