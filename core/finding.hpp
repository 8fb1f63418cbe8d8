// What `check` finds: one thing about Kafka, ClickHouse, the state store or the topology that a person should know.
#pragma once

#include <cstdint>
#include <string>

namespace chute {

struct finding {
  enum class severity : std::uint8_t {
    error,   // the pipeline would not start, or the promise would not hold
    warning, // it holds, but something should be mended before it hurts
    info,    // worth knowing
  };
  severity level = severity::info;
  std::string where;  // what it is about: "pipeline orders: table shop.orders", "kafka: topic orders", …
  std::string reason; // what is so, and what follows from it
  std::string mend;   // what mends it: a statement to run (SQL, a setting with its value); empty: nothing to do
};
const char* to_string(enum finding::severity s);

} // namespace chute
