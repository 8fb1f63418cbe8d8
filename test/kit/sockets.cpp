#include "test/kit/sockets.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

namespace chute::kit {
namespace {

constexpr int silence_max_s = 600;              // a slow query may say nothing for a while
constexpr std::size_t message_max = 1ull << 30; // 1 GiB

struct address_list {
  addrinfo* first = nullptr;
  ~address_list() {
    if (first) freeaddrinfo(first);
  }
};

void resolve(const host_port& at, bool passive, address_list& out) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = passive ? AI_PASSIVE : 0;
  const int bad = getaddrinfo(at.host.c_str(), std::to_string(at.port).c_str(), &hints, &out.first);
  if (bad) throw failure("proxy: " + at.host + ": " + gai_strerror(bad));
}

std::string lower(std::string s) {
  std::transform(s.begin(), s.end(), s.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return s;
}

// The value of a header, in lower case.
std::optional<std::string> header(const std::string& lower_head, const std::string& name) {
  const std::size_t at = lower_head.find("\r\n" + name + ":");
  if (at == lower_head.npos) return {};
  const std::size_t from = lower_head.find_first_not_of(' ', at + name.size() + 3);
  return lower_head.substr(from, lower_head.find("\r\n", from) - from);
}

bool take(socket_fd& from, std::size_t n, std::string& to) {
  while (from.buffer().size() < n) {
    if (!from.receive()) return false;
  }
  to.append(from.buffer(), 0, n);
  from.buffer().erase(0, n);
  return to.size() <= message_max;
}

bool take_line(socket_fd& from, std::string& to, std::string& line) {
  std::size_t end;
  while ((end = from.buffer().find("\r\n")) == std::string::npos) {
    if (from.buffer().size() > 65'536 || !from.receive()) return false;
  }
  line = from.buffer().substr(0, end);
  return take(from, end + 2, to);
}

bool take_chunks(socket_fd& from, std::string& to) {
  for (std::string line;;) {
    if (!take_line(from, to, line)) return false;
    std::size_t n = 0;
    if (std::from_chars(line.data(), line.data() + line.size(), n, 16).ec != std::errc()) return false;
    if (n && !take(from, n + 2, to)) return false;
    if (n) continue;
    do { // trailers, up to the empty line
      if (!take_line(from, to, line)) return false;
    } while (!line.empty());
    return true;
  }
}

bool take_head(socket_fd& from, http_message& out) {
  out = {};
  std::size_t end;
  while ((end = from.buffer().find("\r\n\r\n")) == std::string::npos) {
    out.begun |= !from.buffer().empty();
    if (from.buffer().size() > 1 << 20 || !from.receive()) return false;
  }
  out.begun = true;
  out.head = from.buffer().substr(0, end + 4);
  from.buffer().erase(0, end + 4);
  return true;
}

bool take_body(socket_fd& from, const std::string& lower_head, http_message& out) {
  out.closes = header(lower_head, "connection").value_or("") == "close";
  if (header(lower_head, "transfer-encoding").value_or("").find("chunked") != std::string::npos)
    return take_chunks(from, out.body);
  const std::optional<std::string> length = header(lower_head, "content-length");
  std::size_t n = 0;
  if (length && std::from_chars(length->data(), length->data() + length->size(), n).ec != std::errc()) return false;
  return take(from, n, out.body);
}

} // namespace

host_port parse_host_port(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  host_port out;
  if (colon != text.npos) {
    out.host = text.substr(0, colon);
    const char *from = text.data() + colon + 1, *end = text.data() + text.size();
    const auto [at, bad] = std::from_chars(from, end, out.port);
    if (bad == std::errc() && at == end && out.port >= 0 && out.port < 65'536) return out;
  }
  throw failure("proxy: \"" + text + "\" is no host:port");
}

host_port parse_url(const std::string& url) {
  std::string rest = url;
  if (rest.rfind("http://", 0) == 0) rest.erase(0, 7);
  while (!rest.empty() && rest.back() == '/') rest.pop_back();
  return parse_host_port(rest);
}

socket_fd& socket_fd::operator=(socket_fd&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(buffer_, other.buffer_);
  socket_fd old(std::move(other));
  return *this;
}

socket_fd::~socket_fd() {
  if (fd_ >= 0) ::close(fd_);
}

socket_fd socket_fd::connect(const host_port& to) {
  address_list list;
  resolve(to, false, list);
  for (const addrinfo* a = list.first; a; a = a->ai_next) {
    socket_fd s(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (!s.open() || ::connect(s.fd_, a->ai_addr, a->ai_addrlen)) continue;
    const int on = 1;
    setsockopt(s.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return s;
  }
  return {};
}

socket_fd socket_fd::listen(const host_port& at) {
  address_list list;
  resolve(at, true, list);
  socket_fd s(::socket(list.first->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(s.fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!s.open() || ::bind(s.fd_, list.first->ai_addr, list.first->ai_addrlen) || ::listen(s.fd_, 128)) {
    throw failure("proxy: cannot listen on " + at.host + ":" + std::to_string(at.port) + ": " + std::strerror(errno));
  }
  return s;
}

int socket_fd::local_port() const {
  sockaddr_storage a{};
  socklen_t n = sizeof a;
  getsockname(fd_, reinterpret_cast<sockaddr*>(&a), &n);
  return ntohs(a.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&a)->sin6_port
                                       : reinterpret_cast<sockaddr_in*>(&a)->sin_port);
}

bool socket_fd::ready(short events, int wait_ms) const {
  pollfd p{fd_, events, 0};
  return ::poll(&p, 1, wait_ms) > 0;
}

socket_fd socket_fd::accept(int wait_ms) {
  if (!ready(POLLIN, wait_ms)) return {};
  socket_fd s(::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
  const int on = 1;
  if (s.open()) setsockopt(s.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return s;
}

bool socket_fd::send(std::string_view bytes) {
  for (const double give_up = seconds_now() + silence_max_s; !bytes.empty();) {
    if (interrupted || seconds_now() > give_up) return false;
    if (!ready(POLLOUT, 200)) continue;
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool socket_fd::receive() {
  for (const double give_up = seconds_now() + silence_max_s; seconds_now() < give_up && !interrupted;) {
    if (!ready(POLLIN, 200)) continue;
    const std::size_t before = buffer_.size(), room = 262'144;
    buffer_.resize(before + room);
    const ssize_t n = ::recv(fd_, buffer_.data() + before, room, 0);
    buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0 && errno == EINTR) continue;
    return n > 0;
  }
  return false;
}

bool read_request(socket_fd& from, http_message& out) {
  if (!take_head(from, out)) return false;
  const std::string head = lower(out.head);
  if (const std::size_t at = head.find("\r\nexpect:"); at != head.npos) {
    out.head.erase(at, head.find("\r\n", at + 2) - at);
    if (!from.send("HTTP/1.1 100 Continue\r\n\r\n")) return false;
  }
  return take_body(from, head, out);
}

bool read_reply(socket_fd& from, http_message& out) {
  do { // interim answers are not passed on
    if (!take_head(from, out)) return false;
  } while (out.head.compare(9, 1, "1") == 0);
  const std::string head = lower(out.head);
  const bool bodiless = out.head.compare(9, 3, "204") == 0 || out.head.compare(9, 3, "304") == 0;
  if (bodiless) return true;
  if (!header(head, "content-length") &&
      head.find("transfer-encoding:") == head.npos) { // the body ends with the connection
    while (from.receive()) {
    }
    out.body.swap(from.buffer());
    out.closes = true;
    return true;
  }
  return take_body(from, head, out);
}

} // namespace chute::kit
