// libFuzzer: any bytes as records of one partition. What must hold is in property.hpp.
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const std::string target = CHUTE_FUZZ_TARGET;
  chute::test::check_property(target, {reinterpret_cast<const char*>(data), size});
  return 0;
}
