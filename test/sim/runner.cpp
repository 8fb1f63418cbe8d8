#include "test/sim/runner.hpp"

#include <algorithm>
#include <cstdio>

namespace chute::sim {

verdict run_one(std::uint64_t seed, const wishes& w, const std::vector<std::uint64_t>& left_out,
                std::vector<std::string>* trace) {
  world it(draw_scenario(seed, w), w);
  it.leave_out(left_out);
  it.trace_to(trace);
  verdict v;
  try {
    it.run();
  } catch (const std::exception& e) {
    v.failed = true;
    v.why = e.what();
  }
  v.hash = it.hash();
  v.faults = it.faults_drawn();
  v.struck = it.struck();
  v.counts = it.counts();
  return v;
}

namespace {

constexpr int tries_max = 600;
constexpr std::size_t shown_first = 120, shown_last = 40; // lines of a trace

// Two failures are alike if they begin alike: "LOST", "DOUBLE", "lane 0 stopped without a cause", …
bool alike(const std::string& a, const std::string& b) { return a.substr(0, 6) == b.substr(0, 6); }

bool still_fails(shrunk& s, std::uint64_t seed, const wishes& w, const std::vector<std::uint64_t>& left_out) {
  if (++s.tried > tries_max) return false;
  auto v = run_one(seed, w, left_out);
  if (!v.failed || !alike(v.why, s.last.why)) return false;
  s.with = w;
  s.left_out = left_out;
  s.last = std::move(v);
  return true;
}

// Leaves out runs of faults, long ones first.
void shrink_faults(shrunk& s, std::uint64_t seed) {
  for (std::size_t run = std::max<std::size_t>(1, s.last.struck.size() / 2);; run = run / 2) {
    for (std::size_t at = 0; at < s.last.struck.size();) {
      auto with = s.left_out;
      auto end = std::min(at + run, s.last.struck.size());
      with.insert(with.end(), s.last.struck.begin() + static_cast<std::ptrdiff_t>(at),
                  s.last.struck.begin() + static_cast<std::ptrdiff_t>(end));
      std::sort(with.begin(), with.end());
      if (!still_fails(s, seed, s.with, with)) at += run;
    }
    if (run <= 1) return;
  }
}

} // namespace

shrunk shrink(std::uint64_t seed, const wishes& w) {
  shrunk s;
  s.with = w;
  s.last = run_one(seed, w);
  auto begin = draw_scenario(seed, w);
  for (int n = 1; n < begin.processes; ++n) {
    auto fewer = s.with;
    fewer.processes = n;
    if (still_fails(s, seed, fewer, s.left_out)) break;
  }
  for (int n = 1; n < begin.records; n = n * 3 / 2 + 1) {
    auto fewer = s.with;
    fewer.records = n;
    if (still_fails(s, seed, fewer, s.left_out)) break;
  }
  for (std::size_t before = s.last.struck.size() + 1; s.last.struck.size() < before;) {
    before = s.last.struck.size();
    shrink_faults(s, seed);
  }
  return s;
}

void report(std::uint64_t seed, const wishes& w, const verdict& v) {
  auto s = shrink(seed, w);
  std::vector<std::string> lines;
  run_one(seed, s.with, s.left_out, &lines);
  std::string text = "\nFAILED: " + v.why + "\n  " + describe(draw_scenario(seed, w)) + "\n  shrunk with " +
                     std::to_string(s.tried) + " tries to " + std::to_string(s.last.struck.size()) + " faults:\n  " +
                     describe(draw_scenario(seed, s.with)) + "\n";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    bool shown = i < shown_first || i + shown_last >= lines.size();
    if (shown) text += "    " + lines[i] + "\n";
    else if (i == shown_first) text += "    …\n";
  }
  text += "  again: chute-sim --seed " + std::to_string(seed) + " --trace";
  if (s.with.processes) text += " --processes " + std::to_string(*s.with.processes);
  if (s.with.records) text += " --records " + std::to_string(*s.with.records);
  if (!s.left_out.empty()) {
    text += " --left-out ";
    for (std::size_t i = 0; i < s.left_out.size(); ++i) text += (i ? "," : "") + std::to_string(s.left_out[i]);
  }
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

} // namespace chute::sim
