// Confluent's schema registry over HTTP, which somebody else speaks: which requests fetch a schema, and what the
// replies mean.
#pragma once

#include "formats/schema_cache.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace chute {

struct registry_reply {
  int status = 0; // 0: no whole reply came
  std::string body;
  std::string why; // with status 0
};
// GET of a path behind the registry's URL: "/schemas/ids/5".
using registry_get = std::function<registry_reply(const std::string& path)>;

struct fetched_schema {
  enum class verdict : std::uint8_t {
    known,   // the cache has it
    unknown, // the registry says that there is none, again and again; the cache has that
    missing, // it says so for the first times: ask again, one that lags behind its leader knows it soon
    later,   // it cannot be told now: ask again
  } what = verdict::later;
  std::string why; // later, missing: for people
};

// Fetches a schema and those that it refers to. Only a registry that says so by its own error code does not know an id:
// any other 404 may be a proxy or a wrong URL, and must not cost a record.
// `now_ms`: of a clock that only goes on.
fetched_schema fetch_schema(std::uint32_t id, const registry_get& get, schema_cache& into, std::int64_t now_ms);

} // namespace chute
