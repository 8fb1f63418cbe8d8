// What this machine, or the control group of this process, lets it have of memory.
#pragma once

#include "core/finding.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace chute {

struct machine_memory {
  std::uint64_t bytes = 0;
  std::string limit; // the control group's file that says so; empty: the machine has no more
};

// The least of them, of the groups above its own too. `root`: what lies there as /proc and /sys do. Nothing: it is not
// said.
std::optional<machine_memory> read_machine_memory(const std::filesystem::path& root = "/");

// A finding where `memory:` is more than there is.
std::optional<finding> memory_beyond(std::uint64_t memory, const std::optional<machine_memory>& machine);

} // namespace chute
