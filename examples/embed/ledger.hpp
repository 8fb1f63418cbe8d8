// A state store of the host's own. This one keeps the records in memory, to show what a store must do; a real one keeps
// them where the host keeps its other data, and must have them on disk before it says `accepted`.
#pragma once

#include <chute/state/store.hpp>

#include <map>
#include <memory>
#include <mutex>

// Outlives the engines that use it.
struct ledger {
  std::mutex lock;
  std::map<chute::lane_key, chute::stored_record> records;
};

std::unique_ptr<chute::store> open_ledger(std::shared_ptr<ledger> in);
