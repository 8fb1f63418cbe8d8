// The body of POST /pipelines/NAME/reset and /settle, and how a command sends it.
//
//   reset:  {"to": "earliest" | "latest" | "offset" | "time" | "current" | "table" | "adopted", "value": N, …}
//   settle: {"said": "table" | "landed" | "not_landed", …}
//   both:   "topic": NAME, "partitions": [N, …], "lane": N; all of them optional
#pragma once

#include "core/error.hpp"
#include "core/move_request.hpp"
#include "core/topology.hpp"

#include <string>
#include <string_view>

namespace chute {

std::string move_json(const move_request& r);
result<move_request> parse_move(enum move_request::verb what, const std::string& json);

// What an admin face said.
struct admin_answer {
  enum class outcome : std::uint8_t {
    nobody,  // no connection: nobody listens there
    unknown, // it is an engine, and does not have the pipeline
    done,    // `text`: what was done
    refused, // `text`: why
  } what = outcome::nobody;
  std::string text;
};
// What a user gave as the address of an admin face ("http://127.0.0.1:8088/", as a browser shows it, or only
// "127.0.0.1:8088"), as ask_to_move() takes it. An error if it is none: another scheme, a path, no host.
result<std::string> admin_address(std::string_view given);

// Asks the engine that listens at `url` ("http://127.0.0.1:8088"). Waits for up to `limit_ms` for the end.
admin_answer ask_to_move(const std::string& url, const std::string& token, const std::string& pipeline,
                         const move_request& r, std::int64_t limit_ms);

} // namespace chute
