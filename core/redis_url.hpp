// redis://[user[:password]@]host[:port][/database], as state.url in the topology has it.
#pragma once

#include "core/error.hpp"

#include <string>
#include <string_view>

namespace chute {

struct redis_url {
  std::string host;
  int port = 6379;
  std::string user, password; // empty: not sent
  int database = 0;
  // Without user and password, for messages.
  std::string text() const;
};

// User and password may be percent-encoded; what stands before the last '@' belongs to them. "redis://:word@host" has a
// password alone. The cause of an error never shows the password.
result<redis_url> parse_redis_url(std::string_view text);

} // namespace chute
