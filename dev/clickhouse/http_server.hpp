// cpp-httplib's server, with what a database's clients expect and the library lacks: connections that may idle for long
// at no cost, a thread for each of them so that none starves, request lines up to 1 MiB, and compression left to the
// handler.
#pragma once

#include <condition_variable>
#include <httplib.h>
#include <mutex>
#include <set>
#include <string>

namespace chute::embedded {

struct http_limits {
  std::size_t connections = 1024;           // more wait to be accepted
  std::size_t request_line_bytes = 1 << 20; // as ClickHouse's http_max_uri_size
  int idle_ms = 3'600'000;                  // between two requests of a connection
  int transfer_ms = 300'000;                // silence within a request or a reply
};

/// The header that carries a client's Accept-Encoding: hidden from the library, which would pack replies on its own.
inline constexpr const char* accept_encoding_header = "X-Chute-Accept-Encoding";

class http_server : public httplib::Server {
public:
  explicit http_server(http_limits limits);

  /// Begins to listen; port 0 takes a free one. The port, or -1. Connections wait until listen_after_bind().
  int open(const std::string& host, int port);

  /// Ends idle connections, lets requests that are being answered finish, and returns when none is left or after
  /// `wait_ms`. False: some were left.
  bool shut_down(int wait_ms);

  /// For a handler that could not read its request to the end: no other request can follow on its connection.
  static void close_after_reply(httplib::Response& response);

private:
  class connection_threads; // the task queue

  bool process_and_close_socket(socket_t socket) override;
  bool enter(socket_t socket);
  void leave(socket_t socket);

  http_limits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<socket_t> open_;
  bool stopping_ = false;
};

/// "a=1&b=%20x" with percent signs and plus signs undone; a name may come more than once.
httplib::Params parse_query_string(std::string_view text);

} // namespace chute::embedded
