#include "state/compare.hpp"

#include <map>

namespace chute {

namespace {

class memory_store final : public store {
public:
  std::vector<loaded> load(const std::vector<lane_key>& lanes, std::int64_t) override {
    std::vector<loaded> out(lanes.size());
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      auto current = find(lanes[i]);
      out[i].status = current ? loaded::status::found : loaded::status::absent;
      if (current) out[i].record = *current;
    }
    return out;
  }
  std::vector<saved> save(const std::vector<save_request>& requests, std::int64_t) override {
    std::vector<saved> out;
    for (const auto& r : requests) {
      auto answer = compare(r, find(r.lane));
      if (!answer) records_[r.lane] = r.record;
      out.push_back(answer.value_or(saved{save_status::accepted, {}}));
    }
    return out;
  }
  const char* name() const override { return "memory"; }

private:
  std::optional<stored_record> find(const lane_key& k) const {
    auto it = records_.find(k);
    return it == records_.end() ? std::nullopt : std::optional(it->second);
  }
  std::map<lane_key, stored_record> records_;
};

} // namespace

std::unique_ptr<store> make_memory_store() { return std::make_unique<memory_store>(); }

} // namespace chute
