// The admin face: a small HTTP server that tells how the engine is, and pauses, resumes and moves pipelines.
//
//   GET  /                        a live page for people
//   GET  /status                  JSON (web/status_json.hpp)
//   GET  /metrics                 Prometheus' text format (web/metrics.hpp)
//   GET  /health                  200 while the process lives; never asks for the token
//   GET  /ready                   200 when every pipeline streams, else 503; JSON says why
//   POST /pipelines/NAME/pause    200, 404 unknown pipeline, 409 it cannot; JSON
//   POST /pipelines/NAME/resume
//   POST /pipelines/NAME/reset    200 with {"report"}, 400, 404, 409, 503 too many at once; the body is JSON
//   POST /pipelines/NAME/settle   (web/move_json.hpp). Answered when it is done, which may take minutes
//
// With a token, "Authorization: Bearer TOKEN" is asked for; browsers, which cannot send that, may send the token as the
// password of HTTP's basic authentication. Without one, only requests that name a loopback address in their Host header
// are answered, so that no page of a foreign site can reach the engine by giving its own name a loopback address.
#pragma once

#include "core/error.hpp"
#include "core/move_request.hpp"
#include "core/status.hpp"
#include "core/topology.hpp"
#include "web/admin_limits.hpp"

#include <functional>
#include <memory>
#include <string>

namespace chute {

// Called from the server's threads, several at once.
struct admin_hooks {
  std::function<engine_status()> status;
  // Only for pipelines that status() names. The error is shown to whoever asked.
  std::function<result<void>(const std::string& pipeline, bool pause)> pause;
  // Moves its lanes, or settles their plans; returns what was done.
  std::function<result<std::string>(const std::string& pipeline, const move_request& what)> move = {};
  // For the log: why nobody can be answered at this moment.
  std::function<void(const std::string& text)> warn = {};
};

class admin_server {
public:
  // Listens when it returns. Fails if the address cannot be had.
  static result<std::unique_ptr<admin_server>> start(const admin_config& config, admin_hooks hooks,
                                                     const admin_limits& limits = {});
  // Waits for the hooks that it has called, and for no client.
  ~admin_server();
  admin_server(const admin_server&) = delete;
  admin_server& operator=(const admin_server&) = delete;

  int port() const;        // the one that was bound, also where the topology says 0
  std::string url() const; // for people: "http://127.0.0.1:8088"

private:
  struct parts;
  explicit admin_server(std::unique_ptr<parts> p);
  std::unique_ptr<parts> parts_;
};

} // namespace chute
