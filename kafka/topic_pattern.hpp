// Topics that are given by a regular expression, and those that `topic.blacklist` leaves out, as librdkafka matches
// them: POSIX extended, anywhere in the name.
#pragma once

#include "core/error.hpp"
#include "kafka/client.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <regex.h>
#include <string>
#include <vector>

namespace chute::kafka {

inline bool is_pattern(const std::string& topic) { return !topic.empty() && topic[0] == '^'; }

class topic_pattern {
public:
  explicit topic_pattern(const std::string& text)
      : good_(regcomp(&regex_, text.c_str(), REG_EXTENDED | REG_NOSUB) == 0) {}
  ~topic_pattern() {
    if (good_) regfree(&regex_);
  }
  topic_pattern(const topic_pattern&) = delete;
  topic_pattern& operator=(const topic_pattern&) = delete;
  bool good() const { return good_; }
  bool matches(const std::string& name) const { return good_ && regexec(&regex_, name.c_str(), 0, nullptr, 0) == 0; }

private:
  regex_t regex_{};
  bool good_;
};

// `list`: separated by commas. One that is no regular expression matches nothing: librdkafka refuses it by itself.
class topic_patterns {
public:
  topic_patterns() = default;
  explicit topic_patterns(const std::string& list) {
    for (std::size_t at = 0; at < list.size();) {
      const auto end = std::min(list.find(',', at), list.size());
      if (end > at) all_.push_back(std::make_unique<topic_pattern>(list.substr(at, end - at)));
      at = end + 1;
    }
  }
  bool match(const std::string& name) const {
    return std::any_of(all_.begin(), all_.end(), [&](const auto& p) { return p->matches(name); });
  }

private:
  std::vector<std::unique_ptr<topic_pattern>> all_;
};

// librdkafka would wait for such a topic for ever, with all others of the group.
inline std::optional<error> named_and_left_out(const std::vector<std::string>& topics, const client_options& client) {
  const auto users = client.properties.find("topic.blacklist");
  if (users == client.properties.end()) return {};
  const topic_patterns out(users->second);
  for (const auto& t : topics)
    if (!is_pattern(t) && out.match(t))
      return error{"kafka", "the topic " + t + " is named, and topic.blacklist leaves it out",
                   "take it out of one of the two, topics or kafka.properties"};
  return {};
}

} // namespace chute::kafka
