#include "actors/fault_point.hpp"

#ifdef CHUTE_FAULT_POINTS

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

namespace chute {

namespace {

constexpr int soon_us_max = 8'000;
constexpr std::chrono::seconds late_by{2};

struct wish {
  std::string name; // empty: none
  std::atomic<long> passes_left{1};

  wish() {
    const char* text = std::getenv("CHUTE_FAULT_POINT");
    if (!text) return;
    name = text;
    auto colon = name.find(':');
    if (colon == std::string::npos) return;
    passes_left = std::atol(name.c_str() + colon + 1);
    name.resize(colon);
  }
};

void kill_soon() {
  std::thread([] {
    std::random_device dice;
    std::this_thread::sleep_for(std::chrono::microseconds(dice() % soon_us_max));
    std::raise(SIGKILL);
  }).detach();
}

} // namespace

std::uint64_t turns_wanted() {
  const char* text = std::getenv("CHUTE_TURNS");
  return text ? std::strtoull(text, nullptr, 10) : 0;
}

void fault_point(std::string_view name, fault_at when) {
  static wish w;
  if (w.name != name) return;
  if (when == fault_at::late) return std::this_thread::sleep_for(late_by);
  if (--w.passes_left != 0) return;
  if (when == fault_at::soon) return kill_soon();
  if (when == fault_at::failure) throw std::runtime_error("fault point " + w.name);
  std::raise(SIGKILL);
}

} // namespace chute

#endif
