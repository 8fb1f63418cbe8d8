// Parts of `chute check` that ask nobody.
#include "actors/inspect_parts.hpp"

#include <doctest/doctest.h>

using namespace chute;

namespace {

using severity = enum finding::severity;

std::vector<finding> of_broker(const std::map<std::string, std::string>& settings) {
  std::vector<finding> out;
  check_offset_settings(settings, out);
  return out;
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("check: brokers that forget offsets early, or take less than a record with them") {
  CHECK(of_broker({}).empty()); // it does not say
  CHECK(of_broker({{"offsets.retention.minutes", "10080"}, {"offset.metadata.max.bytes", "4096"}}).empty());
  CHECK(of_broker({{"offset.metadata.max.bytes", "3500"}}).empty()); // any record fits
  auto f = of_broker({{"offsets.retention.minutes", "1440"}});
  REQUIRE(f.size() == 1);
  CHECK(f[0].level == severity::warning);
  CHECK(has(f[0].reason, "kept for 24h 00m (offsets.retention.minutes=1440)"));
  CHECK(has(f[0].mend, "offsets.retention.minutes=10080"));
  CHECK(of_broker({{"offsets.retention.minutes", "10079"}}).size() == 1);
  f = of_broker({{"offset.metadata.max.bytes", "3499"}});
  REQUIRE(f.size() == 1);
  CHECK(f[0].level == severity::error);
  CHECK(has(f[0].reason, "they take 3499 bytes of metadata"));
  CHECK(has(f[0].mend, "offset.metadata.max.bytes=4096"));
}
