#include "cli/load.hpp"

#include <iostream>

namespace chute::cli {

std::optional<topology> load_or_complain(const std::string& file) {
  auto t = load_topology(file);
  if (t) return std::move(*t);
  std::cerr << t.failure().cause << '\n';
  return {};
}

} // namespace chute::cli
