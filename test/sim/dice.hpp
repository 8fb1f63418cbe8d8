// Random numbers of a schedule: all of them come from its seed.
#pragma once

#include "core/lane.hpp"

#include <cstdint>

namespace chute::sim {

constexpr std::uint64_t stir(std::uint64_t x) { // the finalizer of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

class dice final : public random_source {
public:
  explicit dice(std::uint64_t seed = 0) : state_(stir(seed + 0x632be59bd9b4e019ull)) {}
  std::uint64_t next() override { return stir(state_ += 0x9e3779b97f4a7c15ull); }
  // 0 … n-1
  std::uint32_t below(std::uint32_t n) {
    return n < 2 || flat_ ? 0 : static_cast<std::uint32_t>((next() >> 32) * n >> 32);
  }
  std::int64_t between(std::int64_t low, std::int64_t high) {
    if (flat_) return std::min(low + 4, high);
    auto span = static_cast<std::uint64_t>(high - low) + 1;
    return low + static_cast<std::int64_t>(next() % span);
  }
  bool chance(std::uint32_t permille) { return below(1000) < permille; }
  // Every length counts alike, short or long: the exponent is drawn.
  std::int64_t any_length(std::int64_t low, std::int64_t high) {
    auto ms = low;
    while (ms < high && below(3) != 0) ms *= 2;
    return std::min(high, between(ms, 2 * ms));
  }

  // Nothing is left to chance: an exhaustive search decides by itself.
  void make_flat() { flat_ = true; }

private:
  std::uint64_t state_;
  bool flat_ = false;
};

} // namespace chute::sim
