// One Redis hash a lane, with the fields version and text. One Lua script compares the versions and sets the records of
// all lanes of a save: Redis runs it as one.
//
// Exactly once only where Redis keeps what it acknowledged: `appendonly yes` with `appendfsync always`, and with
// replicas that may take over, `replicas` of them that must have a save before it counts (WAIT). check_redis() looks.
#pragma once

#include "core/finding.hpp"
#include "state/redis_link.hpp"
#include "state/store.hpp"

#include <memory>
#include <string>
#include <vector>

namespace chute {

extern const char* const redis_save_script;
// "chute:" and the lane's record_name().
std::string redis_key(const lane_key& k);

std::unique_ptr<store> make_redis_store(redis_link link, std::int64_t replicas);

// What `chute check` says of the server behind `link`; `where` names it. `exactly_once`: some pipeline is. It saves a
// key of its own, "chute:check", and deletes it.
std::vector<finding> check_redis(const redis_link& link, const std::string& where, std::int64_t replicas,
                                 bool exactly_once, std::int64_t limit_ms);

} // namespace chute
