// The topology's file, read with this process's environment.
#pragma once

#include "core/error.hpp"
#include "core/topology.hpp"

#include <optional>
#include <string>

namespace chute::cli {

// Reads a file whole, up to `bytes_max`. The cause of an error is a half sentence: "cannot be read: No such file …".
result<std::string> read_file(const std::string& path, std::size_t bytes_max);

result<topology> load_topology(const std::string& file);

// The same for commands: errors go to standard error, one line each.
std::optional<topology> load_or_complain(const std::string& file);

} // namespace chute::cli
