#include "actors/context.hpp"

#include <algorithm>
#include <xxhash.h>

namespace chute {

std::uint64_t cluster_hash(const pipeline_context& c) { return XXH3_64bits(c.cluster_id.data(), c.cluster_id.size()); }

std::int64_t session_timeout_of(const topology& t) {
  auto it = t.kafka.properties.find("session.timeout.ms");
  if (it == t.kafka.properties.end()) return 45'000; // librdkafka's default
  try {
    return std::max<std::int64_t>(1, std::stoll(it->second));
  } catch (const std::exception&) {
    return 45'000; // librdkafka refuses it by name
  }
}

} // namespace chute
