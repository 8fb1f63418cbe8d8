#include "test/sim/exhaustive.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

namespace chute::sim {

namespace {

struct scope {
  const char* name;
  scenario s;
};

scenario small(store_type store, int table_partitions, bool plain, const wishes& w) {
  wishes fixed = w;
  fixed.store = store;
  fixed.processes = store == store_type::file ? 1 : 2;
  fixed.partitions = 1;
  fixed.records = 6;
  auto s = draw_scenario(7, fixed);
  s.lanes = s.lane.lanes = 1;
  s.table_partitions = table_partitions;
  s.plain = s.lane.trust.plain_merge_tree = plain;
  s.wild_log = s.wild_store = false;
  s.flat = true;
  auto& c = s.lane;
  c.batch = {2, 1 << 20, 100};
  c.lease_ms = 4'000;
  c.insert_limit_ms = 4'000;
  c.question_limit_ms = 2'000;
  c.confirm_limit_ms = 3'000;
  c.session_timeout_ms = 6'000;
  c.window_ids = 1'000;
  c.window_ms = plain ? 31'622'400'000 : 600'000;
  c.trust.quorum = false;
  s.count_told = true;
  s.rebalance_limit_ms = 15'000;
  return s;
}

struct search {
  std::vector<scope> scopes;
  int depth = 1;
  std::uint64_t limit = 0;
  const wishes* w = nullptr;
  std::atomic<std::uint64_t> visited{0}, failed{0}, next{0};
  std::atomic<bool> cut{false};
  std::mutex lock;
  outcome_counts counts;
  struct start {
    std::size_t scope;
    deviation first;
  };
  std::vector<start> starts; // the first deviation of each schedule
};

std::vector<std::uint16_t> run(search& s, const scope& in, const std::vector<deviation>& path, outcome_counts& counts) {
  ++s.visited;
  std::vector<std::uint16_t> open;
  world it(in.s, *s.w);
  it.follow(path, &open);
  try {
    it.run();
  } catch (const std::exception& e) {
    if (s.failed++ == 0) {
      std::vector<std::string> lines;
      world again(in.s, *s.w);
      again.follow(path, nullptr);
      again.trace_to(&lines);
      try {
        again.run();
      } catch (const std::exception&) {
      }
      std::lock_guard hold(s.lock);
      std::printf("FAILED: %s: %s\n", in.name, e.what());
      for (auto& l : lines) std::printf("    %s\n", l.c_str());
    }
  }
  counts.add(it.counts());
  return open;
}

void deeper(search& s, const scope& in, std::vector<deviation>& path, outcome_counts& counts) {
  if (s.visited >= s.limit) {
    s.cut = true;
    return;
  }
  auto open = run(s, in, path, counts);
  if (static_cast<int>(path.size()) >= s.depth) return;
  for (auto step = path.back().step + 1; step < open.size(); ++step)
    for (std::uint8_t what = 0; what < deviation_count; ++what)
      if (open[step] >> what & 1) {
        path.push_back({step, what});
        deeper(s, in, path, counts);
        path.pop_back();
      }
}

void work(search& s) {
  outcome_counts mine;
  for (;;) {
    auto i = s.next++;
    if (i >= s.starts.size() || s.failed) break;
    std::vector<deviation> path{s.starts[i].first};
    deeper(s, s.scopes[s.starts[i].scope], path, mine);
  }
  std::lock_guard hold(s.lock);
  s.counts.add(mine);
}

} // namespace

search_result search_all(int depth, std::uint64_t limit, int threads, const wishes& w) {
  search s;
  s.depth = depth;
  s.limit = limit;
  s.w = &w;
  using t = store_type;
  s.scopes = {{"kafka, replicated", small(t::kafka, 2, false, w)},
              {"kafka, plain", small(t::kafka, 1, true, w)},
              {"compare and set, replicated", small(t::compare_and_set, 2, false, w)},
              {"compare and set, plain", small(t::compare_and_set, 1, true, w)}};
  for (std::size_t i = 0; i < s.scopes.size(); ++i) {
    auto open = run(s, s.scopes[i], {}, s.counts);
    for (std::uint32_t step = 0; step < open.size(); ++step)
      for (std::uint8_t what = 0; what < deviation_count; ++what)
        if (open[step] >> what & 1) s.starts.push_back({i, {step, what}});
  }
  // The scopes by turns: a limit that comes first leaves out late departures of each, and no scope.
  std::stable_sort(s.starts.begin(), s.starts.end(), [](auto& a, auto& b) { return a.first.step < b.first.step; });
  std::vector<std::thread> all;
  for (int i = 0; i < threads; ++i) all.emplace_back([&] { work(s); });
  for (auto& t : all) t.join();
  return {s.visited, s.failed, !s.cut, s.counts};
}

} // namespace chute::sim
