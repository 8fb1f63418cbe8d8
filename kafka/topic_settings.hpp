// The settings of a topic.
#pragma once

#include "core/error.hpp"
#include "kafka/client.hpp"

#include <map>
#include <string>

namespace chute::kafka {

// All of them, those that it has from the broker too: "retention.ms", "cleanup.policy", … Waits for up to `limit_ms`.
result<std::map<std::string, std::string>> topic_settings(const client_options& client, const std::string& topic,
                                                          std::int64_t limit_ms);

// Those of one broker, whichever it is: "group.min.session.timeout.ms", …
result<std::map<std::string, std::string>> broker_settings(const client_options& client, std::int64_t limit_ms);

} // namespace chute::kafka
