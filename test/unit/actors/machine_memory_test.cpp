#include "actors/machine_memory.hpp"

#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>

using namespace chute;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t mib = 1 << 20;

// What /proc and /sys say.
struct machine {
  fs::path root;
  machine() {
    auto name = (fs::temp_directory_path() / "chute-machine-XXXXXX").string();
    root = mkdtemp(name.data());
  }
  ~machine() { fs::remove_all(root); }
  void says(const std::string& file, const std::string& text) const {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  }
  std::uint64_t bytes() const { return read_machine_memory(root).value_or(machine_memory{}).bytes; }
};

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("the memory of the machine, and the limits of control groups") {
  machine m;
  CHECK(!read_machine_memory(m.root));
  m.says("proc/meminfo", "HugePages_Total:       0\nMemTotal:        2097152 kB\nMemFree:         1000000 kB\n");
  CHECK(m.bytes() == 2048 * mib);
  CHECK(read_machine_memory(m.root)->limit.empty());

  m.says("proc/self/cgroup", "0::/user.slice/chute.service\n");
  CHECK(m.bytes() == 2048 * mib);
  m.says("sys/fs/cgroup/user.slice/chute.service/memory.max", "max\n");
  CHECK(m.bytes() == 2048 * mib);
  m.says("sys/fs/cgroup/user.slice/memory.max", "1073741824\n"); // of the one above it
  CHECK(m.bytes() == 1024 * mib);
  m.says("sys/fs/cgroup/user.slice/chute.service/memory.max", "536870912\n");
  CHECK(m.bytes() == 512 * mib);
  CHECK(has(read_machine_memory(m.root)->limit, "chute.service/memory.max"));

  m.says("proc/self/cgroup", "0::/\n"); // as a container sees it
  CHECK(m.bytes() == 2048 * mib);
  m.says("sys/fs/cgroup/memory.max", "268435456\n");
  CHECK(m.bytes() == 256 * mib);
}

TEST_CASE("the limits of control groups of version 1") {
  machine m;
  m.says("proc/meminfo", "MemTotal:        2097152 kB\n");
  m.says("proc/self/cgroup", "5:cpu,cpuacct:/docker/1\n4:hugetlb,memory:/docker/1\n1:name=systemd:/docker/1\n0::/\n");
  m.says("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); // none
  CHECK(m.bytes() == 2048 * mib);
  CHECK(read_machine_memory(m.root)->limit.empty());
  m.says("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"); // as a container sees its own
  CHECK(m.bytes() == 1024 * mib);
  m.says("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "536870912\n");
  CHECK(m.bytes() == 512 * mib);
}

TEST_CASE("memory: is more than there is") {
  CHECK(!memory_beyond(512 * mib, {}));
  CHECK(!memory_beyond(512 * mib, machine_memory{512 * mib, ""}));
  auto f = memory_beyond(512 * mib, machine_memory{256 * mib, ""});
  REQUIRE(f);
  CHECK(f->level == finding::severity::warning);
  CHECK(has(f->reason, "memory: 512 MiB is more than this machine has, 256 MiB:"));
  CHECK(f->mend == "memory: 128MiB");
  f = memory_beyond(512 * mib, machine_memory{256 * mib, "/sys/fs/cgroup/memory.max"});
  REQUIRE(f);
  CHECK(has(f->reason, "this control group may have, 256 MiB (/sys/fs/cgroup/memory.max)"));
}
