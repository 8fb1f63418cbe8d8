#pragma once

#include <string>
#include <utility>
#include <vector>

namespace chute::test {

// A column, JSON values for it, and what the engine reads them as once the decoder has read them.
struct json_case {
  std::string type;
  std::vector<std::pair<std::string, std::string>> values;
  // Whether ClickHouse's own JSONEachRow makes the same of them. Where it does not, docs/json.md says so.
  bool same = true;
  std::string read = "@"; // the expression that is read back
  bool refused = false;   // the decoder makes a bad record of the one value
};
std::vector<json_case> json_decoder_cases();

// The examples in docs/json.md: lines "| `type` | `JSON` | `as read` |", or "refused" at their end. Throws if
// there are none.
std::vector<json_case> documented_cases(const std::string& path);

} // namespace chute::test
