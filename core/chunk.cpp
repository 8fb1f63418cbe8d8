#include "core/chunk.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace chute {

std::uint64_t record_hash(std::int64_t timestamp_ms, const std::optional<std::string_view>& key,
                          const std::optional<std::string_view>& value) {
  // Null and empty differ, and so do "ab" + "c" and "a" + "bc". The result is stored, so this never changes.
  const auto hash = [](const std::optional<std::string_view>& s) -> std::uint64_t {
    return s ? XXH3_64bits(s->data(), s->size()) : 0;
  };
  const std::uint64_t parts[4] = {static_cast<std::uint64_t>(timestamp_ms),
                                  (key ? key->size() << 2 | 1 : 0) | (value ? 2u : 0u), hash(key), hash(value)};
  return XXH3_64bits(parts, sizeof parts);
}

std::size_t chunk::byte_size() const {
  std::size_t n = sizeof *this + topic.capacity() + rows.memory_size();
  n += offsets.capacity() * sizeof(offsets[0]) + outcomes.capacity() * sizeof(outcomes[0]);
  n += hashes.capacity() * sizeof(hashes[0]) + sizes.capacity() * sizeof(sizes[0]) + row_counts.capacity();
  for (const auto& d : dead) {
    n += sizeof d + d.error.capacity() + (d.key ? d.key->capacity() : 0) + (d.value ? d.value->capacity() : 0);
    for (const auto& [name, value] : d.headers)
      n += sizeof name + sizeof value + name.capacity() + (value ? value->capacity() : 0);
  }
  return n;
}

} // namespace chute
