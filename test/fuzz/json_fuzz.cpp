// libFuzzer: any bytes as records of one partition, into columns of every layout. What must hold is in
// json_property.hpp.
#include "json_property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  chute::test::check_json_property({reinterpret_cast<const char*>(data), size});
  return 0;
}
