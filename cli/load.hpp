// The topology's file, for commands.
#pragma once

#include "actors/load.hpp"

#include <optional>
#include <string>

namespace chute::cli {

using chute::load_topology;
using chute::read_file;

// Errors go to standard error, one line each.
std::optional<topology> load_or_complain(const std::string& file);

} // namespace chute::cli
