// Schemas by the ids that a registry gave them: what decoders read, and what the engine fills. An id means one schema
// for ever, so no schema is ever forgotten. Ids without one are: where records are no such records at all, each has
// another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
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
  static constexpr std::size_t unknown_most = 1 << 18; // far more than the chunks hold that wait for their schemas
  static constexpr std::int64_t apart_ms = 900, waited_for_ms = 300'000;

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
    missed_.erase(id);
    if (!schema && !by_id_.contains(id)) unknown_.push_back(id);
    by_id_.insert_or_assign(id, entry{std::move(schema)});
    if (unknown_.size() <= unknown_most) return;
    if (const auto it = by_id_.find(unknown_.front()); it != by_id_.end() && !it->second.schema) by_id_.erase(it);
    unknown_.pop_front();
    forgets_ = true;
  }
  // Whether ids without a schema were forgotten.
  bool forgets() const {
    const std::lock_guard hold(mutex_);
    return forgets_;
  }
  // Counts the times that the registry said it does not know the id; those shortly one after the other, for several
  // who ask, once: a registry that lags behind its leader says all of them.
  int missed(std::uint32_t id, std::int64_t now_ms) {
    const std::lock_guard hold(mutex_);
    if (missed_.size() >= unknown_most)
      std::erase_if(missed_, [&](const auto& m) { return now_ms - m.second.at > waited_for_ms; });
    auto& m = missed_[id];
    if (m.times > 0 && now_ms - m.at < apart_ms) return m.times;
    m.at = now_ms;
    return ++m.times;
  }

private:
  mutable std::mutex mutex_;
  std::map<std::uint32_t, entry> by_id_;
  struct misses {
    int times = 0;
    std::int64_t at = 0; // the last of them
  };
  std::map<std::uint32_t, misses> missed_;
  std::deque<std::uint32_t> unknown_; // in the order in which they were put
  bool forgets_ = false;
};

} // namespace chute
