// The engine's status in Prometheus' text format, version 0.0.4.
#pragma once

#include "core/status.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace chute {

// What the operating system says of this process.
struct process_usage {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t open_fds = 0;
};
std::optional<process_usage> read_process_usage(); // nothing where /proc is not to be had

// All metrics are listed, with their meaning, in docs/admin.md. A gauge whose value is not known is left out.
std::string metrics_text(const engine_status& s, const std::optional<process_usage>& process = {});

} // namespace chute
