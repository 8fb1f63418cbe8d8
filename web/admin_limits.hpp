// What clients may take of the admin face. The defaults are for everybody but tests.
#pragma once

#include <cstddef>

namespace chute {

struct admin_limits {
  std::size_t connections = 64;      // at once, each with a thread
  std::size_t head_bytes = 32 << 10; // of a request: its first line and its headers
  std::size_t body_bytes = 64 << 10; // nobody has anything to say that is longer
  int transfer_ms = 5'000;           // for a whole request to come, and again for its answer to be taken
};

} // namespace chute
