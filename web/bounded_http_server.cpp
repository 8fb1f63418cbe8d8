#include "web/bounded_http_server.hpp"

#include "core/error.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <limits>
#include <thread>

namespace chute {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds patience{100}; // that the oldest of too many clients can count on
constexpr milliseconds accept_pause{100}, warn_pause{60'000};
constexpr milliseconds discard_time{1'000};
constexpr std::size_t discard_bytes = 2 << 20;

bool poll_until(int socket, short events, steady_clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - steady_clock::now()).count();
    if (left <= 0) return false;
    pollfd p{socket, events, 0};
    const int n = poll(&p, 1, static_cast<int>(left));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

} // namespace

struct bounded_http_server::connection {
  explicit connection(socket_t s) : socket(s) {}

  const socket_t socket;
  const steady_clock::time_point since = steady_clock::now();
  std::thread thread;
  // Under the server's lock:
  bool waits = false; // for its client
  bool cut = false;
  bool over = false; // the socket is closed
};

// A connection as httplib reads and writes it. Times are those of a whole request and a whole answer.
class bounded_http_server::stream final : public httplib::Stream {
public:
  stream(bounded_http_server& server, connection& c)
      : server_(server), c_(c), left_(server.limits_.head_bytes), read_until_(after_transfer()) {}

  void begin_body(std::uint64_t length) {
    left_ = server_.limits_.body_bytes;
    unread_ = length;
  }

  bool is_readable() const override { return true; } // read() and write() wait by themselves
  bool is_writable() const override { return true; }

  // Through a buffer: httplib asks for single bytes.
  ssize_t read(char* into, std::size_t size) override {
    answers_ = false;
    if (begin_ == end_) {
      const ssize_t n = receive(read_until_);
      if (n <= 0) return n;
      begin_ = 0;
      end_ = static_cast<std::size_t>(n);
    }
    const std::size_t n = std::min({size, end_ - begin_, left_});
    if (n == 0) return -1; // longer than it may be
    std::memcpy(into, buffer_.data() + begin_, n);
    begin_ += n;
    left_ -= n;
    unread_ -= std::min<std::uint64_t>(n, unread_);
    return static_cast<ssize_t>(n);
  }

  ssize_t write(const char* bytes, std::size_t size) override {
    if (!answers_) write_until_ = after_transfer(); // the time that a handler takes is its own
    answers_ = true;
    for (;;) {
      if (steady_clock::now() >= write_until_) return -1;
      const ssize_t n = send(c_.socket, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) return n;
      if (errno == EINTR) continue;
      if (errno != EAGAIN || !server_.wait_for_client(c_, POLLOUT, write_until_)) return -1;
    }
  }

  // A socket that is closed before all was read resets the connection, and a client that is still sending loses the
  // answer. So what was refused is read for a while, and thrown away.
  void discard_rest() {
    if (!answers_ || unread_ == 0) return;
    shutdown(c_.socket, SHUT_WR);
    const auto until = steady_clock::now() + discard_time;
    for (std::size_t discarded = 0; discarded < discard_bytes;) {
      const ssize_t n = receive(until);
      if (n <= 0) return;
      discarded += static_cast<std::size_t>(n);
    }
  }

  void get_remote_ip_and_port(std::string&, int&) const override {} // nobody asks for them
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return c_.socket; }

private:
  steady_clock::time_point after_transfer() const {
    return steady_clock::now() + milliseconds(server_.limits_.transfer_ms);
  }

  ssize_t receive(steady_clock::time_point until) {
    for (;;) {
      if (steady_clock::now() >= until) return -1;
      const ssize_t n = recv(c_.socket, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (n >= 0) return n;
      if (errno == EINTR) continue;
      if (errno != EAGAIN || !server_.wait_for_client(c_, POLLIN, until)) return -1;
    }
  }

  bounded_http_server& server_;
  connection& c_;
  std::array<char, 4096> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::size_t left_;                                                 // that may still be read, of head or body
  std::uint64_t unread_ = std::numeric_limits<std::uint64_t>::max(); // of what the client sends
  const steady_clock::time_point read_until_;
  steady_clock::time_point write_until_{};
  bool answers_ = false;
};

bounded_http_server::bounded_http_server(const admin_limits& limits, std::function<void(const std::string&)> warn)
    : limits_(limits), warn_(std::move(warn)) {}

bounded_http_server::~bounded_http_server() {
  if (svr_sock_ != INVALID_SOCKET) ::close(svr_sock_);
}

int bounded_http_server::open(const std::string& host, int port) {
  if (port == 0) port = bind_to_any_port(host);
  else if (!bind_to_port(host, port)) port = -1;
  // httplib lets 5 connections wait to be accepted; of a burst the others would try again after a second.
  if (port > 0) ::listen(svr_sock_, static_cast<int>(limits_.connections));
  return port;
}

void bounded_http_server::serve() {
  while (const auto socket = accept_next()) admit(*socket);
  for (connection& c : connections_) c.thread.join();
  connections_.clear();
}

void bounded_http_server::finish() {
  {
    const std::lock_guard held(lock_);
    finishing_ = true;
    for (connection& c : connections_)
      if (c.waits) cut(c);
  }
  changed_.notify_all();
  ::shutdown(svr_sock_, SHUT_RDWR); // wakes accept()
}

std::uint64_t bounded_http_server::body_bytes(const httplib::Request& in) {
  if (in.has_header("Transfer-Encoding")) return std::numeric_limits<std::uint64_t>::max();
  return in.get_header_value<std::uint64_t>("Content-Length");
}

std::optional<socket_t> bounded_http_server::accept_next() {
  for (;;) {
    const socket_t socket = accept4(svr_sock_, nullptr, nullptr, SOCK_CLOEXEC);
    const int why = errno;
    {
      const std::lock_guard held(lock_);
      if (finishing_) {
        if (socket != INVALID_SOCKET) ::close(socket);
        return {};
      }
    }
    if (socket != INVALID_SOCKET) return socket;
    if (why != EINTR && why != ECONNABORTED) rest(strerrordesc_np(why));
  }
}

void bounded_http_server::admit(socket_t socket) {
  if (!make_room()) {
    ::close(socket);
    return;
  }
  std::list<connection> made;
  try {
    connection& c = made.emplace_back(socket);
    const std::lock_guard held(lock_); // its thread is not over before it is listed
    c.thread = std::thread([this, &c] { answer(c); });
    connections_.splice(connections_.end(), made);
  } catch (const std::exception& e) { // no memory, or no thread
    ::close(socket);
    rest(e.what());
  }
}

// Where all places are taken, the oldest client that is waited for loses its own: /health is answered, whoever is slow.
// False: finishing.
bool bounded_http_server::make_room() {
  std::unique_lock held(lock_);
  for (;;) {
    connections_.remove_if([](connection& c) {
      if (c.over) c.thread.join();
      return c.over;
    });
    if (finishing_) return false;
    if (connections_.size() < limits_.connections) return true;
    const auto oldest = std::find_if(connections_.begin(), connections_.end(), [](auto& c) { return c.waits; });
    const bool leaves = std::any_of(connections_.begin(), connections_.end(), [](auto& c) { return c.cut; });
    if (leaves || oldest == connections_.end()) changed_.wait(held);
    else if (const auto then = oldest->since + patience; steady_clock::now() < then) changed_.wait_until(held, then);
    else cut(*oldest);
  }
}

// The system is short of something, and may have it in a moment.
void bounded_http_server::rest(const char* why) {
  try {
    warn(why);
  } catch (const std::exception&) { // no memory for words either
  }
  std::unique_lock held(lock_);
  changed_.wait_for(held, accept_pause, [&] { return finishing_; });
}

void bounded_http_server::warn(const char* why) {
  const auto now = steady_clock::now();
  if (!warn_ || now < warn_again_) return;
  warn_(error{"admin", std::string("connections cannot be accepted: ") + why,
              "it is tried again; look at the limits of open files and threads, and at memory"}
            .text());
  warn_again_ = now + warn_pause;
}

void bounded_http_server::answer(connection& c) {
  try {
    stream s(*this, c);
    bool closed = false;
    process_request(s, true, closed, [&](httplib::Request& in) {
      in.ranges.clear(); // thousands of parts that overlap would make a huge answer of a small one
      s.begin_body(body_bytes(in));
    });
    s.discard_rest();
  } catch (...) { // out of memory, say: this client has no answer, and the engine goes on
  }
  const std::lock_guard held(lock_);
  ::close(c.socket);
  c.over = true;
  changed_.notify_all();
}

// False: it was not ready in time, or others need its place.
bool bounded_http_server::wait_for_client(connection& c, short events, steady_clock::time_point until) {
  {
    const std::lock_guard held(lock_);
    if (finishing_ || c.cut) return false;
    c.waits = true;
  }
  changed_.notify_all();
  const bool ready = poll_until(c.socket, events, until);
  const std::lock_guard held(lock_);
  c.waits = false;
  return ready && !c.cut;
}

void bounded_http_server::cut(connection& c) {
  c.cut = true;
  ::shutdown(c.socket, SHUT_RDWR); // wakes its thread
}

} // namespace chute
