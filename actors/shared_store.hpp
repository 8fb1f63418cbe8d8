// A store as the keepers of several pipelines see it: one call at a time, and whatever a store of the host does wrong
// is an answer that the lanes know.
#pragma once

#include "state/store.hpp"

#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace chute {

// A call that throws, or that gives more or fewer answers than it was asked for, has told nothing: what was to be
// loaded is `failed`, what was to be saved is `unknown`. Both are tried again.
class shared_store : public store {
public:
  explicit shared_store(std::unique_ptr<store> s);
  std::vector<loaded> load(const std::vector<lane_key>& lanes, std::int64_t limit_ms) override;
  std::vector<saved> save(const std::vector<save_request>& requests, std::int64_t limit_ms) override;
  const char* name() const override { return name_.c_str(); }

private:
  std::mutex lock_;
  std::unique_ptr<store> store_;
  std::string name_;
};

} // namespace chute
