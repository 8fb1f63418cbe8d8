// A server of scripted faults on a loopback socket, for what no real server does on request: each connection is handed
// to a function that reads and writes as it likes.
#pragma once

#include <arpa/inet.h>
#include <atomic>
#include <functional>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace chute::test {

class connection {
public:
  connection(int fd, int number) : number(number), fd_(fd) {}
  const int number; // 0: the first that was accepted

  // Reads a whole request. Empty: the client closed (or reset) the connection, or nothing came for 5 s.
  std::string read_request() {
    auto head_end = std::string::npos;
    while ((head_end = pending_.find("\r\n\r\n")) == std::string::npos)
      if (!more()) return {};
    auto size = head_end + 4;
    auto head = pending_.substr(0, size);
    if (auto at = head.find("Content-Length: "); at != std::string::npos) size += std::stoul(head.substr(at + 16));
    else if (head.find("Transfer-Encoding: chunked") != std::string::npos) {
      auto end = std::string::npos;
      while ((end = pending_.find("\r\n0\r\n\r\n", head_end)) == std::string::npos)
        if (!more()) return {};
      size = end + 7;
    }
    while (pending_.size() < size)
      if (!more()) return {};
    auto request = pending_.substr(0, size);
    pending_.erase(0, size);
    return request;
  }
  // Whether the peer reset the connection (not: closed it in order).
  bool wait_for_reset() {
    while (more()) {
    }
    return reset_;
  }
  // Of a request that did not come whole.
  bool holds_part() const { return !pending_.empty(); }
  std::string read_some() { return more() ? std::exchange(pending_, {}) : std::string{}; }
  void write(const std::string& s) { [[maybe_unused]] auto n = ::send(fd_, s.data(), s.size(), MSG_NOSIGNAL); }
  void reply(const std::string& status, const std::string& headers, const std::string& body) {
    write("HTTP/1.1 " + status + "\r\n" + headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
          body);
  }

private:
  bool more() {
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, 5'000) != 1) return false;
    char room[65536];
    auto n = ::recv(fd_, room, sizeof room, 0);
    reset_ = n < 0;
    if (n <= 0) return false;
    pending_.append(room, static_cast<std::size_t>(n));
    return true;
  }
  int fd_;
  std::string pending_;
  bool reset_ = false;
};

class raw_server {
public:
  using script = std::function<void(connection&)>;
  explicit raw_server(script s) : script_(std::move(s)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&a), sizeof a);
    ::listen(listener_, 16);
    socklen_t size = sizeof a;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&a), &size);
    port_ = ntohs(a.sin_port);
    acceptor_ = std::thread([this] { run(); });
  }
  ~raw_server() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (auto& w : workers_) w.join();
    ::close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int connections() const { return accepted_; }

private:
  void run() {
    while (true) {
      int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      workers_.emplace_back([this, fd, number = accepted_++] {
        connection c(fd, number);
        script_(c);
        ::close(fd);
      });
    }
  }
  script script_;
  int listener_;
  int port_ = 0;
  std::atomic<int> accepted_{0};
  std::thread acceptor_;
  std::vector<std::thread> workers_;
};

} // namespace chute::test
