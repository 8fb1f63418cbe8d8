// bench-sink: a ClickHouse that only acknowledges. It reads an INSERT into one table to its end, throws it away and
// answers as ClickHouse does; every other request goes to a real server, word for word. With it, a benchmark sees what
// the client costs and nothing of what the server does.
//
// Bodies are dropped inside the kernel (MSG_TRUNC), except for their first bytes: the head of a Native block says how
// many rows it holds, so that the sink can tell how many rows it swallowed.
//
// GET /sink/counts answers with JSON: inserts, rows, bytes, forwarded, failed; `?reset=1` sets them to zero afterwards.
#include <CLI/CLI.hpp>
#include <lz4frame.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace chute {
namespace {

constexpr std::size_t head_bytes_max = 64u << 10;    // a request's line and headers
constexpr std::size_t forward_bytes_max = 64u << 20; // a forwarded request's body: questions are small
constexpr std::size_t reply_bytes_max = 256u << 20;  // a forwarded reply
constexpr std::size_t discard_bytes = 4u << 20;      // asked of the kernel at once
constexpr int connections_max = 256;
constexpr int idle_s_max = 600;     // a kept-alive connection without a request
constexpr int upstream_s_max = 120; // silence of the real server

struct counts {
  std::atomic<std::uint64_t> inserts{0}, rows{0}, bytes{0}, forwarded{0}, failed{0};
};

// A broken connection or request. Ends the connection, never the program.
struct broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct fd_guard {
  int fd = -1;
  explicit fd_guard(int f) : fd(f) {}
  fd_guard(const fd_guard&) = delete;
  fd_guard& operator=(const fd_guard&) = delete;
  ~fd_guard() {
    if (fd >= 0) ::close(fd);
  }
};

// -- small things ---

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](unsigned char x, unsigned char y) {
           return std::tolower(x) == std::tolower(y);
         });
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front()))) s.remove_prefix(1);
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.remove_suffix(1);
  return s;
}

std::uint64_t number(std::string_view s, int base) {
  std::uint64_t n = 0;
  auto [end, failed] = std::from_chars(s.data(), s.data() + s.size(), n, base);
  if (failed != std::errc() || end != s.data() + s.size()) throw broken("not a length: " + std::string(s));
  return n;
}

std::string url_decoded(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    unsigned char byte = 0;
    if (s[i] == '%' && i + 2 < s.size() &&
        std::from_chars(s.data() + i + 1, s.data() + i + 3, byte, 16).ec == std::errc()) {
      out.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      out.push_back(s[i] == '+' ? ' ' : s[i]);
    }
  }
  return out;
}

// The value of a parameter in a request's target, decoded.
std::optional<std::string> parameter(std::string_view target, std::string_view name) {
  auto at = target.find('?');
  while (at != std::string_view::npos) {
    auto rest = target.substr(at + 1);
    auto pair = rest.substr(0, rest.find('&'));
    auto equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) return url_decoded(pair.substr(equals + 1));
    at = target.find('&', at + 1);
  }
  return std::nullopt;
}

// Whether a statement is an INSERT INTO [db.]table, quoted or not.
bool inserts_into(std::string_view statement, std::string_view table) {
  std::string words; // without quotes, in single spaces, up to the column list
  for (char c : trimmed(statement)) {
    if (c == '(') break;
    if (c == '`' || c == '"') continue;
    bool space = std::isspace(static_cast<unsigned char>(c));
    if (!space || (!words.empty() && words.back() != ' ')) words.push_back(space ? ' ' : c);
  }
  constexpr std::string_view begin = "insert into ";
  if (words.size() < begin.size() || !same_word(std::string_view(words).substr(0, begin.size()), begin)) return false;
  std::string_view rest = std::string_view(words).substr(begin.size());
  if (rest.size() > 6 && same_word(rest.substr(0, 6), "table ")) rest.remove_prefix(6);
  rest = rest.substr(0, rest.find(' '));
  auto dot = rest.rfind('.');
  return (dot == std::string_view::npos ? rest : rest.substr(dot + 1)) == table;
}

// -- reading ---

// A socket read through a buffer, of which the unread rest can be skipped without copying it out of the kernel.
class reader {
public:
  explicit reader(int fd) : fd_(fd), buffer_(head_bytes_max) {}

  // Up to and including the empty line. Empty: the peer closed before a byte came.
  std::string head() {
    std::string out;
    for (;;) {
      std::string_view have = unread();
      std::size_t from = out.size() > 3 ? out.size() - 3 : 0;
      out.append(have);
      auto end = out.find("\r\n\r\n", from);
      if (end != std::string::npos) {
        begin_ += have.size() - (out.size() - (end + 4));
        out.resize(end + 4);
        return out;
      }
      begin_ = end_;
      if (out.size() > head_bytes_max) throw broken("a request's head is longer than 64 KiB");
      if (!fill()) {
        if (out.empty()) return out;
        throw broken("cut within a request's head");
      }
    }
  }

  std::string line() {
    std::string out;
    for (;;) {
      std::string_view have = unread();
      auto end = have.find('\n');
      out.append(have.substr(0, end));
      if (end != std::string_view::npos) {
        begin_ += end + 1;
        return std::string(trimmed(out));
      }
      begin_ = end_;
      if (out.size() > 1024) throw broken("a chunk's length does not end");
      if (!fill()) throw broken("cut within a body");
    }
  }

  // n bytes to `take`, which says whether it wants more; once it does not, the rest is dropped inside the kernel.
  void walk(std::uint64_t n, const std::function<bool(std::string_view)>& take, bool& wanted) {
    while (n > 0) {
      if (begin_ == end_ && !wanted) {
        n -= discard(n);
        continue;
      }
      if (begin_ == end_ && !fill()) throw broken("cut within a body");
      std::string_view have = unread().substr(0, n);
      if (wanted) wanted = take(have);
      begin_ += have.size();
      n -= have.size();
    }
  }

private:
  std::string_view unread() const { return {buffer_.data() + begin_, end_ - begin_}; }

  bool fill() {
    ssize_t n = receive(buffer_.data(), buffer_.size(), 0);
    begin_ = 0;
    end_ = static_cast<std::size_t>(n);
    return n > 0;
  }

  std::size_t discard(std::uint64_t n) {
    // On a TCP socket MSG_TRUNC drops the bytes without copying them; the buffer is not touched.
    ssize_t got = receive(buffer_.data(), std::min<std::uint64_t>(n, discard_bytes), MSG_TRUNC);
    if (got == 0) throw broken("cut within a body");
    return static_cast<std::size_t>(got);
  }

  ssize_t receive(char* to, std::size_t n, int flags) {
    for (;;) {
      ssize_t got = ::recv(fd_, to, n, flags);
      if (got >= 0) return got;
      if (errno != EINTR) throw broken(std::string("recv: ") + std::strerror(errno));
    }
  }

  int fd_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
};

void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw broken(std::string("send: ") + std::strerror(errno));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

struct request {
  std::string line, method, target, encoding;
  std::vector<std::string> headers; // as they came, without those about the body's length
  std::uint64_t length = 0;
  bool chunked = false, expects_continue = false, close = false;
};

request parse_request(std::string_view head) {
  request r;
  auto next_line = [&] {
    auto end = head.find("\r\n");
    auto line = head.substr(0, end);
    head.remove_prefix(std::min(head.size(), end + 2));
    return line;
  };
  r.line = next_line();
  auto first = r.line.find(' '), last = r.line.rfind(' ');
  if (first == std::string::npos || last <= first) throw broken("not a request: " + r.line.substr(0, 100));
  r.method = r.line.substr(0, first);
  r.target = r.line.substr(first + 1, last - first - 1);
  for (auto line = next_line(); !line.empty(); line = next_line()) {
    auto colon = line.find(':');
    if (colon == std::string_view::npos) throw broken("not a header: " + std::string(line.substr(0, 100)));
    auto name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
    if (same_word(name, "content-length")) r.length = number(value, 10);
    else if (same_word(name, "transfer-encoding")) r.chunked = same_word(value, "chunked");
    else if (same_word(name, "expect")) r.expects_continue = same_word(value, "100-continue");
    else if (same_word(name, "connection")) r.close = same_word(value, "close");
    else {
      if (same_word(name, "content-encoding")) r.encoding = value;
      r.headers.emplace_back(line);
    }
  }
  return r;
}

// The whole body of a request to `take`, or past it. Returns its bytes.
std::uint64_t walk_body(reader& in, const request& r, const std::function<bool(std::string_view)>& take) {
  bool wanted = true;
  if (!r.chunked) {
    in.walk(r.length, take, wanted);
    return r.length;
  }
  for (std::uint64_t total = 0;;) {
    std::string size = in.line();
    std::uint64_t n = number(trimmed(std::string_view(size).substr(0, size.find(';'))), 16);
    in.walk(n, take, wanted);
    if (!in.line().empty()) throw broken("a chunk is longer than it says");
    if (n == 0) return total;
    total += n;
  }
}

// -- what a block's head says ---

// Finds the row count at the begin of a Native body, plain or in an lz4 frame. Feed it until it wants no more.
class row_counter {
public:
  explicit row_counter(const std::string& encoding)
      : plain_(encoding.empty() || encoding == "identity"), lz4_(encoding == "lz4") {
    if (lz4_ && LZ4F_isError(LZ4F_createDecompressionContext(&context_, LZ4F_VERSION))) lz4_ = false;
  }
  row_counter(const row_counter&) = delete;
  row_counter& operator=(const row_counter&) = delete;
  ~row_counter() {
    if (context_) LZ4F_freeDecompressionContext(context_);
  }

  bool feed(std::string_view bytes) {
    if (plain_) head_.append(bytes.substr(0, head_needed));
    while (lz4_ && !bytes.empty() && head_.size() < head_needed) {
      char out[head_needed];
      std::size_t made = sizeof out, used = bytes.size();
      if (LZ4F_isError(LZ4F_decompress(context_, out, &made, bytes.data(), &used, nullptr))) return false;
      head_.append(out, made);
      bytes.remove_prefix(used);
    }
    return (plain_ || lz4_) && head_.size() < head_needed;
  }

  // 0 where the body is not Native or is compressed otherwise.
  std::uint64_t rows() const {
    std::size_t at = 0;
    varint(at);
    return varint(at);
  }

private:
  static constexpr std::size_t head_needed = 20; // two varints: columns and rows

  std::uint64_t varint(std::size_t& at) const {
    std::uint64_t n = 0;
    for (int shift = 0; at < head_.size() && shift < 64; shift += 7) {
      auto byte = static_cast<unsigned char>(head_[at++]);
      n |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return n;
    }
    return 0;
  }

  bool plain_, lz4_;
  LZ4F_dctx* context_ = nullptr;
  std::string head_;
};

// -- answering ---

struct sink_options {
  std::string listen = "127.0.0.1:0", upstream, table;
};

struct address {
  std::string host, port;
};

address parse_address(std::string_view text) {
  if (text.starts_with("http://")) text.remove_prefix(7);
  text = text.substr(0, text.find('/'));
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos) throw broken("bench-sink: '" + std::string(text) + "' is not HOST:PORT");
  return {std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

void set_time_limit(int fd, int seconds) {
  timeval limit{seconds, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

using address_list = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

address_list resolve(const address& a) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  int failed = ::getaddrinfo(a.host.c_str(), a.port.c_str(), &hints, &found);
  if (failed) throw broken("bench-sink: " + a.host + ":" + a.port + ": " + gai_strerror(failed));
  return {found, &freeaddrinfo};
}

int connect_to(const address& a) {
  auto found = resolve(a);
  fd_guard s(::socket(found->ai_family, found->ai_socktype, found->ai_protocol));
  if (s.fd < 0) throw broken(std::string("socket: ") + std::strerror(errno));
  set_time_limit(s.fd, upstream_s_max);
  if (::connect(s.fd, found->ai_addr, found->ai_addrlen) != 0)
    throw broken("no connection to the real server at " + a.host + ":" + a.port + ": " + std::strerror(errno));
  return std::exchange(s.fd, -1);
}

std::string reply(const char* status, std::string_view headers, std::string_view body) {
  return std::string("HTTP/1.1 ") + status + "\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

class server {
public:
  server(sink_options o) : options_(std::move(o)), upstream_(parse_address(options_.upstream)) {}

  int listen_on() {
    auto found = resolve(parse_address(options_.listen));
    int fd = ::socket(found->ai_family, found->ai_socktype, found->ai_protocol), on = 1;
    if (fd < 0) throw broken(std::string("bench-sink: socket: ") + std::strerror(errno));
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(fd, found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd, 64) != 0) {
      int why = errno;
      ::close(fd);
      throw broken("bench-sink: cannot listen on " + options_.listen + ": " + std::strerror(why) +
                   " (choose another port with --listen)");
    }
    return fd;
  }

  [[noreturn]] void run(int listener) {
    for (;;) {
      int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue; // aborted by the peer before it was accepted
      if (open_.fetch_add(1) >= connections_max) {
        open_.fetch_sub(1);
        ::close(fd);
        continue;
      }
      std::thread([this, fd] { serve(fd); }).detach();
    }
  }

private:
  void serve(int fd) {
    fd_guard guard(fd);
    set_time_limit(fd, idle_s_max);
    try {
      reader in(fd);
      for (std::string head = in.head(); !head.empty(); head = in.head())
        if (!answer(in, fd, parse_request(head))) break;
    } catch (const std::exception& e) {
      counts_.failed++;
      std::fprintf(stderr, "bench-sink: %s\n", e.what());
    }
    open_.fetch_sub(1);
  }

  // Whether the connection stays open.
  bool answer(reader& in, int fd, const request& r) {
    if (r.expects_continue) send_all(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    if (r.target.starts_with("/sink/counts")) send_all(fd, tell_counts(r));
    else if (inserts_into(parameter(r.target, "query").value_or(""), options_.table)) send_all(fd, swallow(in, r));
    else return forward(in, fd, r), false;
    return !r.close;
  }

  std::string swallow(reader& in, const request& r) {
    row_counter counter(r.encoding);
    counts_.bytes += walk_body(in, r, [&](std::string_view part) { return counter.feed(part); });
    counts_.inserts++;
    counts_.rows += counter.rows();
    std::string rows = std::to_string(counter.rows());
    return reply(
        "200 OK",
        "Connection: Keep-Alive\r\nContent-Type: text/plain; charset=UTF-8\r\nX-ClickHouse-Server-Display-Name: "
        "bench-sink\r\nX-ClickHouse-Summary: {\"read_rows\":\"" +
            rows + "\",\"written_rows\":\"" + rows + "\"}\r\n",
        "");
  }

  std::string tell_counts(const request& r) {
    std::string body = "{\"inserts\":" + std::to_string(counts_.inserts) + ",\"rows\":" + std::to_string(counts_.rows) +
                       ",\"bytes\":" + std::to_string(counts_.bytes) +
                       ",\"forwarded\":" + std::to_string(counts_.forwarded) +
                       ",\"failed\":" + std::to_string(counts_.failed) + "}\n";
    if (parameter(r.target, "reset"))
      counts_.inserts = counts_.rows = counts_.bytes = counts_.forwarded = counts_.failed = 0;
    return reply("200 OK", "Content-Type: application/json\r\n", body);
  }

  // One connection upstream a request: questions are few, and the end of a reply is then the end of the connection.
  void forward(reader& in, int fd, const request& r) {
    std::string body;
    walk_body(in, r, [&](std::string_view part) {
      if (body.size() + part.size() > forward_bytes_max) throw broken("a forwarded request is larger than 64 MiB");
      body.append(part);
      return true;
    });
    counts_.forwarded++;
    std::string message = r.line + "\r\n";
    for (const auto& h : r.headers) message += h + "\r\n";
    message += "Connection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    fd_guard up(connect_upstream(fd));
    send_all(up.fd, message);
    send_all(up.fd, body);
    std::vector<char> piece(64u << 10);
    for (std::size_t total = 0;;) {
      ssize_t n = ::recv(up.fd, piece.data(), piece.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw broken(std::string("the real server broke off: ") + std::strerror(errno));
      if (n == 0) return;
      if ((total += static_cast<std::size_t>(n)) > reply_bytes_max) throw broken("a reply is larger than 256 MiB");
      send_all(fd, {piece.data(), static_cast<std::size_t>(n)});
    }
  }

  int connect_upstream(int client) {
    try {
      return connect_to(upstream_);
    } catch (const broken& e) {
      send_all(client,
               reply("502 Bad Gateway", "Connection: close\r\n", std::string("bench-sink: ") + e.what() + "\n"));
      throw;
    }
  }

  sink_options options_;
  address upstream_;
  counts counts_;
  std::atomic<int> open_{0};
};

int bound_port(int fd) {
  sockaddr_storage a{};
  socklen_t n = sizeof a;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &n) != 0) return 0;
  return ntohs(a.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&a)->sin6_port
                                       : reinterpret_cast<sockaddr_in*>(&a)->sin_port);
}

} // namespace
} // namespace chute

int main(int argc, char** argv) {
  CLI::App app{"A server that acknowledges INSERTs into one table without storing them, and forwards the rest"};
  chute::sink_options options;
  app.add_option("--listen", options.listen, "HOST:PORT; port 0 takes a free one")->capture_default_str();
  app.add_option("--upstream", options.upstream, "the real ClickHouse, http://HOST:PORT")->required();
  app.add_option("--table", options.table, "the table whose INSERTs are thrown away")->required();
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    chute::server s(options);
    int fd = s.listen_on();
    std::printf("listening on port %d\n", chute::bound_port(fd));
    std::fflush(stdout);
    s.run(fd);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
