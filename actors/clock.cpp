#include "actors/clock.hpp"

#include <cerrno>
#include <stdexcept>
#include <sys/random.h>
#include <time.h>

namespace chute {

namespace {
std::int64_t read_ms(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1000 + t.tv_nsec / 1'000'000;
}
} // namespace

mono_ms mono_now() { return read_ms(CLOCK_BOOTTIME); }
wall_ms wall_now() { return read_ms(CLOCK_REALTIME); }

std::uint64_t system_random::next() {
  std::uint64_t out = 0;
  ssize_t n;
  do n = getrandom(&out, sizeof out, 0);
  while (n < 0 && errno == EINTR);
  if (n != sizeof out) throw std::runtime_error("getrandom failed: no secure random numbers on this system");
  return out;
}

} // namespace chute
