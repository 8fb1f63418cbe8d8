// One kept-alive HTTP/1.1 conversation with one ClickHouse server. Blocking, every call with a time limit; a session
// belongs to one thread (only `cancelled` of its options may be set by others).
//
// What exactly-once needs of it, beyond plain HTTP:
//  - the caller's hook runs directly before a request leaves, on new and on reused connections, also when libcurl
//    repeats a request by itself because a kept-alive connection had died: a zombie must not send;
//  - a reply says whether it is whole, and how many times the request left;
//  - when a request fails, the connection is reset and what still lies in its socket is thrown away, so that nothing is
//    delivered after the caller was told that it failed; TCP_USER_TIMEOUT bounds what the network may hold back.
#pragma once

#include "core/error.hpp"
#include "core/topology.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chute::clickhouse {

struct session_options {
  std::string url; // http:// or https://, no user in it
  std::string user = "default", password;
  std::string ca_file;                                  // empty: the system's certificates
  bool verify_tls = true;                               // certificate and host name
  compression_kind compression = compression_kind::lz4; // of bodies that are inserted
  std::int64_t connect_limit_ms = 10'000;
  std::int64_t unacknowledged_limit_ms = 30'000; // TCP_USER_TIMEOUT: well below the lease
  std::size_t reply_bytes_max = 64u << 20;
  // Not ClickHouse: GET requests, with these lines instead of ClickHouse's headers.
  bool plain = false;
  std::vector<std::string> plain_headers;
  // Once true, the running send() ends within about a second, and all later ones at once. Null: never.
  std::shared_ptr<const std::atomic<bool>> cancelled;
};

// The options for one of the URLs of a topology. TCP_USER_TIMEOUT is half of the lease.
session_options options_for(const clickhouse_config& config, const std::string& url);

struct http_request {
  std::string path;                                            // appended to the session's URL, escaped already
  std::vector<std::pair<std::string, std::string>> parameters; // of the URL, in order; escaped here
  std::span<const std::string_view> body;                      // pieces; must stay alive during send()
  compression_kind compression = compression_kind::none;
  std::int64_t limit_ms = 10'000;    // for all of it, connecting included
  std::function<bool()> before_send; // false: do not send. May be empty
};

struct http_reply {
  enum class transport : std::uint8_t {
    complete,      // a whole reply came, whatever it says
    not_connected, // no connection could be made: nothing left
    forbidden,     // before_send said no (the last time it was asked)
    timed_out,
    cut,      // the connection ended within or before the reply
    too_long, // the reply is longer than reply_bytes_max
    cancelled,
    failed, // anything else
  } how = transport::failed;
  int attempts = 0;             // how often the request left, whole or in part; 0: never
  int status = 0;               // 0: no status line came
  int exception_code = 0;       // X-ClickHouse-Exception-Code
  bool from_clickhouse = false; // some X-ClickHouse-… header is there
  bool new_connection = false;
  std::string server; // X-ClickHouse-Server-Display-Name
  std::string body;   // as far as it came
  std::string why;    // unless complete: for people
};

class session {
public:
  // Fails on a URL that is not plain http(s), or has a user in it, and on line ends in user or password.
  static result<std::unique_ptr<session>> open(session_options options);
  ~session();
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  http_reply send(const http_request& request);

  const std::string& url() const;
  const session_options& options() const;

private:
  struct state;
  explicit session(std::unique_ptr<state> s);
  std::unique_ptr<state> state_;
};

} // namespace chute::clickhouse
