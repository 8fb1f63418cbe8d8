// What all parts of the test kit share. The kit uses nothing of the engine: an oracle that shared the engine's code
// would share its mistakes.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace chute::kit {

// The kit cannot do what it was asked; the text names the part, the cause and the way out. Ends in exit code 2, so that
// it is never taken for "compared and not exact" (1).
struct failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// SIGINT or SIGTERM came.
inline std::atomic<bool> interrupted = false;

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// splitmix64: a bijection of 64 bits, good enough to spread seeds and counters.
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// A stream of random numbers that is the same on every machine.
class dice {
public:
  explicit constexpr dice(std::uint64_t seed) : state_(seed) {}
  constexpr std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ull;
    return mix(state_);
  }
  constexpr std::uint64_t below(std::uint64_t n) { return next() % n; }
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

private:
  std::uint64_t state_;
};

} // namespace chute::kit
