#include "formats/encoder.hpp"

namespace chute {

std::size_t body::byte_size() const {
  std::size_t n = 0;
  for (const auto& p : pieces) n += p.size();
  return n;
}

} // namespace chute
