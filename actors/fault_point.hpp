// Named moments at which a process kills itself on request, for the chaos tests. Only where CMake's CHUTE_FAULT_POINTS
// is on (the presets of a checkout; not in a package); there, too, nothing happens unless the environment asks for it:
//   CHUTE_FAULT_POINT=NAME:N   SIGKILL when NAME is passed for the N-th time (without N: the first)
//   CHUTE_TURNS=BYTES          a lane's partitions take turns as soon as they are so far behind, each for as much
#pragma once

#include <cstdint>
#include <string_view>

namespace chute {

enum class fault_at : unsigned char {
  once,    // exactly here
  failure, // no kill: throws std::runtime_error
  soon,    // at a random moment of the next milliseconds: in the middle of what follows
  late,    // no kill: what follows comes 2 s later, every time
};

#ifdef CHUTE_FAULT_POINTS
void fault_point(std::string_view name, fault_at when = fault_at::once);
std::uint64_t turns_wanted(); // bytes; 0: not wanted
#else
inline std::uint64_t turns_wanted() { return 0; }
inline void fault_point(std::string_view, fault_at = fault_at::once) {}
#endif

} // namespace chute
