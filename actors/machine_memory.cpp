#include "actors/machine_memory.hpp"

#include "core/text.hpp"

#include <fstream>

namespace chute {

namespace {

namespace fs = std::filesystem;

void lower(std::optional<machine_memory>& to, const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t bytes = 0;
  if (!(in >> bytes)) return; // it is not there, or says "max"
  if (!to || bytes < to->bytes) to = {bytes, file.string()};
}

// In a container the group's path may be the host's, and the mount begins at the group: what is not there is passed by.
void lower_by_group(std::optional<machine_memory>& to, const fs::path& mount, const std::string& group,
                    const char* name) {
  for (auto at = fs::path(group).relative_path(); !at.empty(); at = at.parent_path()) lower(to, mount / at / name);
  lower(to, mount / name);
}

} // namespace

std::optional<machine_memory> read_machine_memory(const fs::path& root) {
  std::optional<machine_memory> out;
  std::ifstream machine(root / "proc/meminfo");
  for (std::string name, rest; machine >> name; std::getline(machine, rest))
    if (std::uint64_t kib = 0; name == "MemTotal:" && machine >> kib) out = {kib << 10, ""};
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) { // "0::/path" (v2), "4:memory:/path" (v1)
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const auto of = "," + line.substr(first + 1, second - first - 1) + ",";
    const auto group = line.substr(second + 1);
    if (of == ",,") lower_by_group(out, root / "sys/fs/cgroup", group, "memory.max");
    else if (of.find(",memory,") != std::string::npos)
      lower_by_group(out, root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
  }
  return out;
}

std::optional<finding> memory_beyond(std::uint64_t memory, const std::optional<machine_memory>& machine) {
  if (!machine || memory <= machine->bytes) return {};
  const auto enough = machine->bytes / 2 >> 20; // the rest is for what it does not count
  return finding{finding::severity::warning, "topology",
                 "memory: " + format_size(memory) + " is more than " +
                     (machine->limit.empty() ? "this machine has, " : "this control group may have, ") +
                     format_size(machine->bytes) + (machine->limit.empty() ? "" : " (" + machine->limit + ")") +
                     ": while much waits, the process would be killed",
                 "memory: " + std::to_string(enough) + "MiB"};
}

} // namespace chute
