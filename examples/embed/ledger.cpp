#include "ledger.hpp"

namespace {

using namespace chute;

class ledger_store final : public store {
public:
  explicit ledger_store(std::shared_ptr<ledger> in) : in_(std::move(in)) {}

  std::vector<loaded> load(const std::vector<lane_key>& lanes, std::int64_t) override {
    std::lock_guard hold(in_->lock);
    std::vector<loaded> out;
    for (const auto& lane : lanes) {
      const auto at = in_->records.find(lane);
      loaded l;
      l.status = at == in_->records.end() ? loaded::status::absent : loaded::status::found;
      if (at != in_->records.end()) l.record = at->second;
      out.push_back(std::move(l));
    }
    return out;
  }

  std::vector<saved> save(const std::vector<save_request>& requests, std::int64_t) override {
    std::lock_guard hold(in_->lock);
    std::vector<saved> out;
    for (const auto& r : requests) out.push_back(save_one(r));
    return out;
  }

  const char* name() const override { return "ledger"; }

private:
  // Compare and set: only the save that follows the record that is there may replace it.
  saved save_one(const save_request& r) {
    const auto at = in_->records.find(r.lane); // not []: a save that is refused must leave nothing behind
    const bool none = at == in_->records.end();
    if (!none && at->second.text == r.record.text) return {save_status::accepted, {}}; // the same save once more
    if ((none ? 0 : at->second.version) != r.expected)
      return {save_status::refused, error{"ledger", "another save came first", "stop the other engine"}};
    in_->records[r.lane] = r.record;
    return {save_status::accepted, {}};
  }

  std::shared_ptr<ledger> in_;
};

} // namespace

std::unique_ptr<chute::store> open_ledger(std::shared_ptr<ledger> in) {
  return std::make_unique<ledger_store>(std::move(in));
}
