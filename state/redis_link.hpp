// One conversation with one Redis server: a function that sends commands, all at once, and reads their replies.
#pragma once

#include "core/redis_url.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace chute {

struct redis_reply {
  enum class type : std::uint8_t { nil, text, error, integer, list } what = type::nil;
  std::string text; // text, error
  std::int64_t integer = 0;
  std::vector<redis_reply> list;
};

struct redis_answer {
  enum class status : std::uint8_t {
    ok,      // a whole reply to each command, errors of Redis included
    unsent,  // there is no connection: nothing left this process
    unknown, // the connection broke, or time ran out: some may have run, or may still run
  } what = status::unknown;
  std::string why;                  // unless ok
  std::vector<redis_reply> replies; // ok: one a command
};

using redis_commands = std::vector<std::vector<std::string>>;
using redis_link = std::function<redis_answer(const redis_commands& commands, std::int64_t limit_ms)>;

// Whether a text for people has this error code of Redis as a word: servers before Redis 7 put the script's line before
// it ("@user_script: 9: -READONLY …"), and where connecting failed the URL stands there.
bool has_redis_code(const std::string& text, std::string_view code);

// Connects when it is first needed, and anew after each failure: a reply that comes late is never taken for another
// one's; and after an answer that only a server gives that is no master. Says who it is and which database it means
// before anything else. One thread at a time.
redis_link connect_redis(redis_url url);

} // namespace chute
