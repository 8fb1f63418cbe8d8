// The topology's state store, with what it needs from the outside.
#pragma once

#include "core/error.hpp"
#include "core/finding.hpp"
#include "core/topology.hpp"
#include "state/keeper_map_store.hpp"
#include "state/store.hpp"

#include <memory>
#include <vector>

namespace chute {

// Null: the store is kafka, which each pipeline makes of its own group. What is away is no failure here: a store that
// cannot be reached says so when it is used. `reading`: only to look; nothing is made that is missing.
result<std::unique_ptr<store>> open_store(const topology& t, bool reading = false);

// The store keeper_map's servers, each with a connection of its own.
result<keeper_map_options> keeper_map_of(const topology& t);

// Of `chute check`: what about the store could break the promise.
std::vector<finding> check_store(const topology& t, std::int64_t limit_ms);

} // namespace chute
