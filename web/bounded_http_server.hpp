// cpp-httplib's server with the bounds that the library lacks. Its own loop gives a client more time with each byte,
// reads headers and chunked bodies without an end, and is over for good when accept() fails once. Here a request has a
// number of bytes and a time, whoever is slow makes room for others, and accepting goes on.
#pragma once

#include "web/admin_limits.hpp"

#include <httplib.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>

namespace chute {

// One request a connection. Of the base's members, those that set handlers, headers and socket options have an effect.
class bounded_http_server : public httplib::Server {
public:
  // `warn` is told why connections cannot be accepted, in the thread that serves.
  bounded_http_server(const admin_limits& limits, std::function<void(const std::string&)> warn);
  ~bounded_http_server() override;

  // Listens; port 0 takes a free one. The port, or -1. Connections wait until serve().
  int open(const std::string& host, int port);
  // Answers connections until finish(), and returns when none is left.
  void serve();
  // At any time, from any thread. What handlers are at is finished and answered; no client is waited for any more.
  void finish();

  // The length that a request announces for its body; a chunked one can have any.
  static std::uint64_t body_bytes(const httplib::Request& in);

private:
  struct connection;
  class stream;

  std::optional<socket_t> accept_next();
  void admit(socket_t socket);
  bool make_room();
  void rest(const char* why);
  void warn(const char* why);
  void answer(connection& c);
  bool wait_for_client(connection& c, short events, std::chrono::steady_clock::time_point until);
  static void cut(connection& c);

  const admin_limits limits_;
  const std::function<void(const std::string&)> warn_;
  std::chrono::steady_clock::time_point warn_again_{};
  std::mutex lock_;
  std::condition_variable changed_;
  std::list<connection> connections_; // the oldest first; only serve()'s thread adds and removes
  bool finishing_ = false;
};

} // namespace chute
