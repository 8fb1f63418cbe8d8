// The topology's file, read with this process's environment.
#pragma once

#include "core/error.hpp"
#include "core/topology.hpp"

#include <string>

namespace chute {

// Reads a file whole, up to `bytes_max`. The cause of an error is a half sentence: "cannot be read: No such file …".
result<std::string> read_file(const std::string& path, std::size_t bytes_max);

// ${NAME} takes the environment's values as they are now. `own`: what a host adds (actors/extensions.hpp).
result<topology> load_topology(const std::string& file, const own_names& own = {});

} // namespace chute
