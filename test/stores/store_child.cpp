// A file store in a process of its own: store_child DIRECTORY. Prints "open" or "error …"; then saves version after
// version of lane 0 and prints "saved N" after each that was accepted, until it is killed.
#include "test/unit/state/records.hpp"

#include <cstdio>

using namespace chute;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto s = open_file_store(argv[1]);
  std::printf("%s\n", s ? "open" : ("error " + s.failure().text()).c_str());
  std::fflush(stdout);
  if (!s) return 1;
  auto from = (*s)->load({test::lane_of()}, 1'000)[0].record.version;
  for (auto v = from + 1;; ++v) {
    auto a = (*s)->save({test::save_of(test::lane_of(), v)}, 1'000)[0];
    if (a.status != save_status::accepted) return 1;
    std::printf("saved %llu\n", static_cast<unsigned long long>(v));
    std::fflush(stdout);
  }
}
