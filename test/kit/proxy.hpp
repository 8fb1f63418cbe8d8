// A proxy for HTTP/1.1 that breaks things on purpose, between an engine and ClickHouse.
//
// Kinds of faults, each for the requests that `match` is found in (in the decoded target or the first bytes of the
// body):
//   pass          nothing: spares some of the requests that a later fault would match
//   refuse        the connection is closed before the request is passed on: it was never applied
//   drop_reply    the request is passed on, its whole reply read, and the connection closed: applied, and nobody knows
//   cut_reply     the same, but the first `bytes` bytes of the reply are handed over before the connection closes
//   hide_reply    the same, but the reply that is handed over says 503
//   cut_request   only the first `bytes` bytes of the request (0: half of it) reach the server
//   throttle      the request is passed on `bytes` bytes at a time, 10 ms apart
//   delay         the request is passed on `ms` later
//   delay_reply   the reply is handed over `ms` later
//   status_503    answered with 503, not passed on
//   error_in_200  answered with status 200 and an exception's text (`code`) in the body, not passed on
//   duplicate     the request is passed on twice; the second reply is handed over
//
// Control port: POST /fault?kind=…&match=INSERT&probability=0.2&count=100&ms=50&bytes=20&code=252 · POST /clear ·
// GET /counts (JSON: requests, how often each kind struck, and lost_replies: of inserts that the server had carried
// out) · GET /ping
#pragma once

#include "test/kit/common.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace chute::kit {

enum class fault_kind : std::uint8_t {
  pass,
  refuse,
  drop_reply,
  cut_reply,
  hide_reply,
  cut_request,
  throttle,
  delay,
  delay_reply,
  status_503,
  error_in_200,
  duplicate
};
fault_kind parse_fault_kind(const std::string& name);
const char* to_string(fault_kind k);

struct fault {
  fault_kind kind = fault_kind::drop_reply;
  std::string match; // empty: every request
  double probability = 1;
  std::int64_t count = -1; // how often it may strike; -1: without end
  int ms = 1'000;
  std::size_t bytes = 0; // 0: what suits the kind
  int code = 252;
};
// "drop_reply:match=INSERT,probability=0.2,count=100;delay:ms=5"
std::vector<fault> parse_plan(const std::string& text);
fault make_fault(const std::string& kind, const std::map<std::string, std::string>& options);

struct proxy_options {
  std::string listen = "127.0.0.1:0", control = "127.0.0.1:0"; // port 0: any free one, printed
  std::string target;                                          // http://host:port
  std::uint64_t seed = 1;
  std::vector<fault> plan;
};

// Prints "listen PORT control PORT" once both are open; runs until it is interrupted.
void run_proxy(const proxy_options& options);

} // namespace chute::kit
