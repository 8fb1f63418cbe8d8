// What all handles to Kafka share: how to reach the brokers, and names for what they talk about.
#pragma once

#include "core/error.hpp"
#include "core/ids.hpp"

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace chute::kafka {

struct topic_partition {
  std::string topic;
  partition_id partition;
  auto operator<=>(const topic_partition&) const = default;
};
std::string to_string(const topic_partition& p); // "orders/3", as messages name it

enum class log_level : std::uint8_t { error, warning, info, debug };

// Lines that librdkafka writes. Called from its threads, so it must be thread-safe, quick, and must not call back.
using log_sink = std::function<void(log_level, const std::string&)>;

// Called from librdkafka's threads: "there is something to take". It must be thread-safe and quick, must not throw, and
// must not call the handle; an actor sends itself a message.
using wake_callback = std::function<void()>;

struct client_options {
  std::string brokers;                           // host:port, comma-separated
  std::map<std::string, std::string> properties; // the user's; those that the engine owns are refused
  log_sink log;                                  // may be empty
};

} // namespace chute::kafka
