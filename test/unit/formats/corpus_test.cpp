#include "test/fuzz/property.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

using namespace chute::test;

TEST_CASE("formats: the corpora of the fuzzers") {
  for (const auto& target : fuzz_targets()) {
    std::size_t inputs = 0;
    for (const auto& entry : std::filesystem::directory_iterator(CHUTE_FUZZ_CORPUS + ("/" + target))) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string input{std::istreambuf_iterator<char>(file), {}};
      CAPTURE(target);
      CAPTURE(entry.path().filename().string());
      CHECK_NOTHROW(check_property(target, input));
      ++inputs;
    }
    CHECK(inputs > 5);
  }
}
