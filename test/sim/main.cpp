// chute-sim: the engine's real lanes in simulated worlds. See --help.
#include "test/sim/exhaustive.hpp"
#include "test/sim/runner.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <mutex>
#include <thread>

namespace chute::sim {

namespace {

constexpr const char* help =
    R"(chute-sim: runs the engine's real lanes in simulated worlds, and compares what lands offset by offset

  --seconds N        as many schedules as fit (default: 10)
  --schedules N      so many schedules
  --seed S           begin at this seed; with --trace: this one schedule
  --seeds A..B       these seeds
  --twice N          N seeds, each run twice: the trace hashes must be the same
  --exhaustive N     every schedule of the small scopes with at most N deviations (crash, loss, delay, pause, …)
  --limit N          of those, at most so many (default 2,000,000)
  --store KIND       kafka, compare_and_set or file only
  --faults N         at least so many faults a schedule (default 10)
  --without F,F      these faults never happen
  --trace            print the trace of each schedule; with --left-out N,N --processes N --records N as a failure says
  --threads N        default 2
  --failures N       end after so many failures (default 1)
  --no-shrink        report a failure as it is
  --covered          fail if a fault, a way through the rules or a stop occurs in no schedule
  --quiet            only the summary
)";

struct options {
  double seconds = 10;
  std::uint64_t schedules = 0, first = 1, last = 0, twice = 0;
  bool one = false, trace = false, shrink = true, quiet = false, covered = false;
  int threads = 2, failures = 1, depth = 0;
  std::uint64_t limit = 2'000'000;
  wishes w;
  std::vector<std::uint64_t> left_out;
};

struct shared {
  std::mutex lock;
  outcome_counts counts;
  std::atomic<std::uint64_t> next{1};
  std::atomic<int> failures{0};
  std::atomic<std::uint64_t> hash{0};
};

using clock = std::chrono::steady_clock;

double since(clock::time_point t) { return std::chrono::duration<double>(clock::now() - t).count(); }

void work(const options& o, shared& s, clock::time_point began) {
  outcome_counts mine;
  for (;;) {
    constexpr std::uint64_t stretch = 16;
    auto from = s.next.fetch_add(stretch);
    if ((o.last && from > o.last) || (!o.last && since(began) > o.seconds) || s.failures >= o.failures) break;
    for (auto seed = from; seed < from + stretch && (!o.last || seed <= o.last); ++seed) {
      auto v = run_one(seed, o.w);
      mine.add(v.counts);
      s.hash += stir(v.hash ^ seed);
      if (o.twice && run_one(seed, o.w).hash != v.hash) {
        ++s.failures;
        std::printf("FAILED: seed %llu: two runs, two traces\n", static_cast<unsigned long long>(seed));
      }
      if (!v.failed) continue;
      if (s.failures.fetch_add(1) >= o.failures) break;
      std::lock_guard hold(s.lock);
      if (o.shrink) report(seed, o.w, v);
      else std::printf("FAILED: seed %llu: %s\n", static_cast<unsigned long long>(seed), v.why.c_str());
    }
  }
  std::lock_guard hold(s.lock);
  s.counts.add(mine);
}

void print_counts(const outcome_counts& c, double seconds, const options& o) {
  auto n = static_cast<double>(std::max<std::uint64_t>(1, c.schedules));
  std::printf("%llu schedules in %.1f s: %.0f a second; %.1f faults a schedule, at least %llu; %.0f events, %.1f "
              "records, %.1f inserts, %.1f saves a schedule\n",
              static_cast<unsigned long long>(c.schedules), seconds, static_cast<double>(c.schedules) / seconds,
              static_cast<double>(c.faults) / n, static_cast<unsigned long long>(c.schedules ? c.faults_least : 0),
              static_cast<double>(c.events) / n, static_cast<double>(c.records) / n, static_cast<double>(c.inserts) / n,
              static_cast<double>(c.saves) / n);
  std::printf("lanes stopped by name, each with its fault: %llu of %llu (%.2f %%)\n",
              static_cast<unsigned long long>(c.stopped_lanes), static_cast<unsigned long long>(c.lanes),
              100.0 * static_cast<double>(c.stopped_lanes) / static_cast<double>(std::max<std::uint64_t>(1, c.lanes)));
  for (std::size_t i = 0; i < c.by_stop.size(); ++i)
    if (c.by_stop[i])
      std::printf("  %-45s %llu\n", name_of(static_cast<stop_kind>(i)), static_cast<unsigned long long>(c.by_stop[i]));
  std::printf(
      "doubles that cannot be prevented: the store went back while an insert was on its way %llu, the server stood "
      "still for longer than its window, or half of it, with a request in its socket %llu, more inserts came while one "
      "ran "
      "than the "
      "lane was told %llu\n",
      static_cast<unsigned long long>(c.went_back), static_cast<unsigned long long>(c.held),
      static_cast<unsigned long long>(c.rushed));
  std::printf("lanes whose log was made anew with a gap in the place of the record that would tell: %llu\n",
              static_cast<unsigned long long>(c.untellable));
  std::printf("offsets of a log made anew where one of the old log landed late, of a plan that the store may have "
              "forgotten: %llu\n",
              static_cast<unsigned long long>(c.in_place));
  if (o.quiet) return;
  std::printf("faults\n");
  for (std::size_t i = 0; i < c.by_fault.size(); ++i)
    std::printf("  %-45s %llu\n", name_of(static_cast<fault>(i)), static_cast<unsigned long long>(c.by_fault[i]));
  std::printf("ways through the rules\n");
  for (std::size_t i = 0; i < c.edges.size(); ++i)
    std::printf("  %-45s %llu\n", to_string(static_cast<lane_edge>(i)), static_cast<unsigned long long>(c.edges[i]));
}

// What no schedule is to reach: each of these stops fails the schedule that it occurs in, as nothing excuses it.
constexpr stop_kind not_to_be[] = {stop_kind::nothing_before, stop_kind::other};
// In so few schedules that a run for `make test` need not have one: a handful in a million.
constexpr stop_kind rare_stops[] = {stop_kind::more};
constexpr lane_edge rare_edges[] = {lane_edge::unbuilt_compared};
constexpr std::uint64_t rare_from = 1'000'000;

template <class Kind, std::size_t N, std::size_t M>
int not_reached(const char* what, const std::array<std::uint64_t, N>& visits, const Kind (&left_out)[M],
                const char* (*name)(Kind)) {
  int missing = 0;
  for (std::size_t i = 0; i < N; ++i) {
    auto kind = static_cast<Kind>(i);
    if (visits[i] || std::find(std::begin(left_out), std::end(left_out), kind) != std::end(left_out)) continue;
    std::printf("FAILED: NOT REACHED: %s: %s\n", what, name(kind));
    ++missing;
  }
  return missing;
}

// A simulator that does not come by a rule proves nothing of it.
int not_covered(const outcome_counts& c) {
  const bool all = c.schedules >= rare_from;
  constexpr fault no_faults[] = {fault::count};
  constexpr lane_edge no_edges[] = {lane_edge::count};
  constexpr stop_kind most[] = {not_to_be[0], not_to_be[1], rare_stops[0]};
  auto fault_name = static_cast<const char* (*)(fault)>(name_of);
  auto stop_name = static_cast<const char* (*)(stop_kind)>(name_of);
  auto edge_name = static_cast<const char* (*)(lane_edge)>(to_string);
  return not_reached("fault", c.by_fault, no_faults, fault_name) +
         (all ? not_reached("way", c.edges, no_edges, edge_name) : not_reached("way", c.edges, rare_edges, edge_name)) +
         (all ? not_reached("stop", c.by_stop, not_to_be, stop_name) : not_reached("stop", c.by_stop, most, stop_name));
}

// One in a thousand schedules; seen are a third of that. More, and the excuse has become too wide.
int too_many_excused(const outcome_counts& c) {
  auto n = c.went_back + c.held;
  constexpr std::uint64_t rare = 100'000; // as seldom as that more inserts come than a lane was told
  if (c.schedules < 10'000 || (n * 1'000 <= c.schedules && c.rushed <= 2 + c.schedules / rare)) return 0;
  n += c.rushed;
  std::printf("FAILED: %llu doubles were excused in %llu schedules\n", static_cast<unsigned long long>(n),
              static_cast<unsigned long long>(c.schedules));
  return 1;
}

int run_many(const options& o) {
  shared s;
  s.next = o.first;
  auto began = clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < o.threads; ++i) threads.emplace_back([&] { work(o, s, began); });
  for (auto& t : threads) t.join();
  print_counts(s.counts, since(began), o);
  if (o.twice)
    std::printf("each run twice: %s; all traces together: %016llx\n", s.failures ? "DIFFERENT" : "the same",
                static_cast<unsigned long long>(s.hash.load()));
  if (o.covered) s.failures += not_covered(s.counts);
  s.failures += too_many_excused(s.counts);
  std::printf("%d failed\n", s.failures.load());
  return s.failures ? 1 : 0;
}

int run_exhaustive(const options& o) {
  auto began = clock::now();
  auto r = search_all(o.depth, o.limit, o.threads, o.w);
  print_counts(r.counts, since(began), o);
  std::printf("exhaustive: %llu schedules of up to %d deviations in 4 small scopes%s, %llu failed\n",
              static_cast<unsigned long long>(r.visited), o.depth,
              r.whole ? ": all there are" : ": the limit came first", static_cast<unsigned long long>(r.failed));
  return r.failed ? 1 : 0;
}

int run_traced(const options& o) {
  std::vector<std::string> lines;
  std::printf("%s\n", describe(draw_scenario(o.first, o.w)).c_str());
  auto v = run_one(o.first, o.w, o.left_out, &lines);
  for (auto& l : lines) std::printf("%s\n", l.c_str());
  std::printf("%s; %zu faults, trace hash %016llx\n", v.failed ? v.why.c_str() : "exact", v.struck.size(),
              static_cast<unsigned long long>(v.hash));
  return v.failed ? 1 : 0;
}

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "chute-sim: %s (--help says more)\n", why.c_str());
  std::exit(2);
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= text.size();) {
    auto end = std::min(text.find(',', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::uint64_t number(const std::string& text) {
  char* end = nullptr;
  auto n = std::strtoull(text.c_str(), &end, 10);
  if (text.empty() || *end) refuse("'" + text + "' is no number");
  return n;
}

store_type store_named(const std::string& name) {
  if (name == "kafka") return store_type::kafka;
  if (name == "file") return store_type::file;
  if (name == "compare_and_set" || name == "keeper_map" || name == "redis") return store_type::compare_and_set;
  refuse("no store " + name);
}

void take_option(options& o, const std::string& name, const std::string& value) {
  if (name == "--seconds") o.seconds = static_cast<double>(number(value));
  else if (name == "--schedules") o.schedules = number(value);
  else if (name == "--seed") {
    o.first = number(value);
    o.one = true;
  } else if (name == "--seeds") {
    auto dots = value.find("..");
    if (dots == std::string::npos) refuse("--seeds wants A..B");
    o.first = number(value.substr(0, dots));
    o.last = number(value.substr(dots + 2));
  } else if (name == "--twice") o.twice = o.schedules = number(value);
  else if (name == "--exhaustive") o.depth = static_cast<int>(number(value));
  else if (name == "--limit") o.limit = number(value);
  else if (name == "--store") o.w.store = store_named(value);
  else if (name == "--faults") o.w.faults_wanted = static_cast<std::uint32_t>(number(value));
  else if (name == "--threads") o.threads = static_cast<int>(number(value));
  else if (name == "--failures") o.failures = static_cast<int>(number(value));
  else if (name == "--processes") o.w.processes = static_cast<int>(number(value));
  else if (name == "--records") o.w.records = static_cast<int>(number(value));
  else if (name == "--partitions") o.w.partitions = static_cast<int>(number(value));
  else if (name == "--left-out")
    for (auto& n : split(value)) o.left_out.push_back(number(n));
  else if (name == "--without")
    for (auto& n : split(value)) {
      auto f = fault_named(n);
      if (!f) refuse("no fault " + n);
      o.w.without[static_cast<std::size_t>(*f)] = true;
    }
  else refuse("no option " + name);
}

options parse(int argc, char** argv) {
  options o;
  for (int i = 1; i < argc; ++i) {
    std::string a = argv[i];
    if (a == "--help") {
      std::printf("%s", help);
      std::exit(0);
    }
    if (a == "--trace") o.trace = true;
    else if (a == "--no-shrink") o.shrink = false;
    else if (a == "--quiet") o.quiet = true;
    else if (a == "--covered") o.covered = true;
    else if (i + 1 < argc) take_option(o, a, argv[++i]);
    else refuse(a + " wants a value");
  }
  if (o.schedules) o.last = o.first + o.schedules - 1;
  return o;
}

} // namespace

int run(int argc, char** argv) {
  auto o = parse(argc, argv);
  if (o.depth) return run_exhaustive(o);
  return o.trace ? run_traced(o) : run_many(o);
}

} // namespace chute::sim

int main(int argc, char** argv) { return chute::sim::run(argc, argv); }
