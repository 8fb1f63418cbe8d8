// Schemas by the ids that a registry gave them: what decoders read, and what the engine fills. An id means one schema
// for ever, so nothing is ever forgotten.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace chute {

// As a registry keeps it: its type (AVRO, PROTOBUF, JSON) and text, and the schemas that the text refers to by name.
struct schema_text {
  std::string type, text;
  std::vector<std::pair<std::string, std::shared_ptr<const schema_text>>> references;
};

// Safe for any number of threads.
class schema_cache {
public:
  struct entry {
    std::shared_ptr<const schema_text> schema; // null: the registry does not know the id
  };
  std::optional<entry> find(std::uint32_t id) const {
    const std::lock_guard hold(mutex_);
    const auto it = by_id_.find(id);
    if (it == by_id_.end()) return {};
    return it->second;
  }
  void put(std::uint32_t id, std::shared_ptr<const schema_text> schema) {
    const std::lock_guard hold(mutex_);
    by_id_.insert_or_assign(id, entry{std::move(schema)});
    missed_.erase(id);
  }
  // Counts the times that the registry said it does not know the id.
  int missed(std::uint32_t id) {
    const std::lock_guard hold(mutex_);
    return ++missed_[id];
  }

private:
  mutable std::mutex mutex_;
  std::map<std::uint32_t, entry> by_id_;
  std::map<std::uint32_t, int> missed_;
};

} // namespace chute
