// Blocking sockets and HTTP/1.1 messages, as much as a proxy needs.
#pragma once

#include "test/kit/common.hpp"

#include <string>
#include <string_view>

namespace chute::kit {

struct host_port {
  std::string host;
  int port = 0;
};
host_port parse_host_port(const std::string& text); // host:port
host_port parse_url(const std::string& url);        // http://host:port

// Owns a descriptor. Every wait ends when the kit is interrupted.
class socket_fd {
public:
  socket_fd() = default;
  explicit socket_fd(int fd) : fd_(fd) {}
  socket_fd(socket_fd&& other) noexcept : fd_(other.fd_), buffer_(std::move(other.buffer_)) { other.fd_ = -1; }
  socket_fd& operator=(socket_fd&& other) noexcept;
  ~socket_fd();

  static socket_fd connect(const host_port& to); // not open() if it fails
  static socket_fd listen(const host_port& at);  // throws failure
  socket_fd accept(int wait_ms);                 // not open() if nobody came
  int local_port() const;

  bool open() const { return fd_ >= 0; }
  bool send(std::string_view bytes);
  // Moves what is there into the buffer, waiting for at least one byte. False: closed, failed, or silent too long.
  bool receive();
  std::string& buffer() { return buffer_; }

private:
  bool ready(short events, int wait_ms) const;
  int fd_ = -1;
  std::string buffer_;
};

struct http_message {
  std::string head;    // with the empty line at its end
  std::string body;    // as it came: chunked bodies keep their chunk framing
  bool closes = false; // the connection ends after it
  bool begun = false;  // at least one byte of it came
};

// Both wait; false: the connection ended before the message did. `Expect: 100-continue` is answered and left away, so
// that a request can be read whole before anything is passed on.
bool read_request(socket_fd& from, http_message& out);
bool read_reply(socket_fd& from, http_message& out);

} // namespace chute::kit
