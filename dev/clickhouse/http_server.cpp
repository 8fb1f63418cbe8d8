#include "dev/clickhouse/http_server.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace chute::embedded {
namespace {

bool wait_for(socket_t socket, short events, int wait_ms) {
  pollfd p{socket, events, 0};
  int n;
  do n = poll(&p, 1, wait_ms);
  while (n < 0 && errno == EINTR);
  return n > 0;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string url_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

void address_of(socket_t socket, bool remote, std::string& ip, int& port) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if ((remote ? getpeername(socket, any, &size) : getsockname(socket, any, &size)) != 0) return;
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
  ip = text;
  port = ntohs(address.sin_port);
}

/// A connection: reads through a buffer, and takes the query string out of a request's first line, which the library
/// would limit to 8 KiB.
class socket_stream : public httplib::Stream {
public:
  socket_stream(socket_t socket, const http_limits& limits) : socket_(socket), limits_(limits), buffer_(64 * 1024) {}

  /// Waits for a request and reads its first line. False: there will be none.
  bool begin_request() {
    if (begin_ == end_) {
      begin_ = end_ = 0;
      if (!wait_for(socket_, POLLIN, limits_.idle_ms)) return false;
    }
    std::size_t line_end;
    while ((line_end = std::string_view(buffer_.data() + begin_, end_ - begin_).find('\n')) == std::string_view::npos) {
      if (end_ - begin_ >= limits_.request_line_bytes) return refuse_line();
      if (!fill()) return false;
    }
    cut_query_string(line_end);
    return true;
  }
  const std::string& query_string() const { return query_string_; }

  bool is_readable() const override { return begin_ < end_ || wait_for(socket_, POLLIN, limits_.transfer_ms); }
  bool is_writable() const override { return wait_for(socket_, POLLOUT, limits_.transfer_ms); }

  ssize_t read(char* into, std::size_t size) override {
    if (begin_ == end_) {
      begin_ = end_ = 0;
      if (size >= buffer_.size()) return receive(into, size);
      if (!fill()) return -1;
    }
    std::size_t take = std::min(size, end_ - begin_);
    std::memcpy(into, buffer_.data() + begin_, take);
    begin_ += take;
    return static_cast<ssize_t>(take);
  }

  ssize_t write(const char* bytes, std::size_t size) override {
    std::size_t sent = 0;
    while (sent < size) {
      ssize_t n = send(socket_, bytes + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) {
        sent += static_cast<std::size_t>(n);
      } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        if (!is_writable()) return -1;
      } else if (!(n < 0 && errno == EINTR)) {
        return -1;
      }
    }
    return static_cast<ssize_t>(size);
  }

  void get_remote_ip_and_port(std::string& ip, int& port) const override { address_of(socket_, true, ip, port); }
  void get_local_ip_and_port(std::string& ip, int& port) const override { address_of(socket_, false, ip, port); }
  socket_t socket() const override { return socket_; }

private:
  /// -1 at the end, on an error and after a silence.
  ssize_t receive(char* into, std::size_t size) const {
    if (!wait_for(socket_, POLLIN, limits_.transfer_ms)) return -1;
    ssize_t n;
    do n = recv(socket_, into, size, 0);
    while (n < 0 && errno == EINTR);
    return n > 0 ? n : -1;
  }

  bool fill() {
    if (begin_ > 0 && end_ == buffer_.size()) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (end_ == buffer_.size()) buffer_.resize(buffer_.size() * 2);
    ssize_t n = receive(buffer_.data() + end_, buffer_.size() - end_);
    if (n <= 0) return false;
    end_ += static_cast<std::size_t>(n);
    return true;
  }

  bool refuse_line() {
    static constexpr std::string_view reply =
        "HTTP/1.1 414 URI Too Long\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    write(reply.data(), reply.size());
    return false;
  }

  /// "GET /?query=… HTTP/1.1" becomes "GET / HTTP/1.1"; the line only shrinks, so it is written back in place.
  void cut_query_string(std::size_t line_end) {
    query_string_.clear();
    std::string_view line(buffer_.data() + begin_, line_end);
    std::size_t mark = line.find('?');
    std::size_t space = line.rfind(' ');
    if (mark == line.npos || space == line.npos || space < mark) return;
    query_string_ = line.substr(mark + 1, space - mark - 1);
    std::size_t cut = space - mark;
    std::memmove(buffer_.data() + begin_ + cut, buffer_.data() + begin_, mark);
    begin_ += cut;
  }

  socket_t socket_;
  const http_limits& limits_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::string query_string_;
};

thread_local bool close_connection = false; // a connection has a thread

void prepare(httplib::Request& request, const std::string& query_string) {
  request.params = parse_query_string(query_string);
  request.ranges.clear();
  if (!request.has_header("Accept-Encoding")) return;
  std::string accept = request.get_header_value("Accept-Encoding");
  request.headers.erase("Accept-Encoding");
  request.set_header(accept_encoding_header, accept);
}

} // namespace

/// A thread a connection, at most `connections` at once; the acceptor waits for a free place.
class http_server::connection_threads : public httplib::TaskQueue {
public:
  explicit connection_threads(std::size_t places) : places_(places) {}

  void enqueue(std::function<void()> job) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return running_ < places_; });
    ++running_;
    lock.unlock();
    std::thread([this, job = std::move(job)] {
      job();
      std::lock_guard done(mutex_);
      --running_;
      changed_.notify_all();
    }).detach();
  }

  void shutdown() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return running_ == 0; });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t places_, running_ = 0;
};

http_server::http_server(http_limits limits) : limits_(limits) {
  new_task_queue = [this] { return new connection_threads(limits_.connections); };
  set_keep_alive_max_count(1'000'000'000); // told to clients; the loop below knows no count
  set_keep_alive_timeout(limits_.idle_ms / 1000);
  set_read_timeout(limits_.transfer_ms / 1000);
  set_write_timeout(limits_.transfer_ms / 1000);
  set_tcp_nodelay(true);
  // The library's own choice, SO_REUSEPORT, would let two servers share a port unnoticed.
  set_socket_options([](socket_t socket) {
    int on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
}

int http_server::open(const std::string& host, int port) {
  if (port == 0) port = bind_to_any_port(host);
  else if (!bind_to_port(host, port)) port = -1;
  // The library queues 5 connections, so a burst of them would wait a second for TCP to try again.
  if (port > 0) ::listen(svr_sock_, static_cast<int>(limits_.connections));
  return port;
}

bool http_server::enter(socket_t socket) {
  std::lock_guard lock(mutex_);
  if (!stopping_) open_.insert(socket);
  return !stopping_;
}

void http_server::leave(socket_t socket) {
  std::lock_guard lock(mutex_);
  open_.erase(socket);
  changed_.notify_all();
}

bool http_server::process_and_close_socket(socket_t socket) {
  bool entered = enter(socket);
  if (entered) {
    socket_stream stream(socket, limits_);
    bool closed = false;
    close_connection = false;
    while (!closed && !close_connection && stream.begin_request())
      if (!process_request(stream, false, closed, [&](httplib::Request& r) { prepare(r, stream.query_string()); }))
        break;
    leave(socket);
  }
  shutdown(socket, SHUT_RDWR);
  close(socket);
  return entered;
}

void http_server::close_after_reply(httplib::Response& response) {
  close_connection = true;
  response.set_header("Connection", "close");
}

bool http_server::shut_down(int wait_ms) {
  stop();
  std::unique_lock lock(mutex_);
  stopping_ = true;
  // No further request can be read; a reply can still be written.
  for (socket_t socket : open_) shutdown(socket, SHUT_RD);
  return changed_.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] { return open_.empty(); });
}

httplib::Params parse_query_string(std::string_view text) {
  httplib::Params params;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('&'), text.size());
    std::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    std::size_t equals = std::min(pair.find('='), pair.size());
    std::string_view value = equals < pair.size() ? pair.substr(equals + 1) : std::string_view{};
    params.emplace(url_decoded(pair.substr(0, equals)), url_decoded(value));
  }
  return params;
}

} // namespace chute::embedded
