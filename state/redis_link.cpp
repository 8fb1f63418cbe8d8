#include "state/redis_link.hpp"

#include "state/compare.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <utility>

namespace chute {

namespace {

constexpr std::int64_t connect_limit_ms = 3'000;
constexpr unsigned unacknowledged_limit_ms = 15'000; // TCP_USER_TIMEOUT: what the network may hold back

struct frees {
  void operator()(redisContext* c) const { redisFree(c); }
  void operator()(redisReply* r) const { freeReplyObject(r); }
};
using context_ptr = std::unique_ptr<redisContext, frees>;

// hiredis writes without MSG_NOSIGNAL: a peer that is gone must not end the process.
class no_sigpipe {
public:
  no_sigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~no_sigpipe() {
    constexpr timespec at_once{0, 0};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &at_once);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  no_sigpipe(const no_sigpipe&) = delete;
  no_sigpipe& operator=(const no_sigpipe&) = delete;

private:
  sigset_t pipe_, before_;
  bool was_pending_ = false;
};

timeval time_of(std::int64_t ms) {
  ms = std::max<std::int64_t>(ms, 1); // none would mean for ever
  return {static_cast<time_t>(ms / 1000), static_cast<suseconds_t>(ms % 1000 * 1000)};
}

redis_reply reply_of(const redisReply& r) {
  redis_reply out;
  using type = redis_reply::type;
  switch (r.type) {
  case REDIS_REPLY_STATUS:
  case REDIS_REPLY_STRING: out.what = type::text; break;
  case REDIS_REPLY_ERROR: out.what = type::error; break;
  case REDIS_REPLY_INTEGER: out.what = type::integer; break;
  case REDIS_REPLY_ARRAY: out.what = type::list; break;
  default: break;
  }
  if (r.str) out.text.assign(r.str, r.len);
  out.integer = r.integer;
  for (std::size_t i = 0; i < r.elements; ++i) out.list.push_back(reply_of(*r.element[i]));
  return out;
}

// Whether whoever replied may not be the master any more, or not yet: after a failover the address leads to another
// server, but a connection that is kept stays with the old one. Words of a script's list count too: it catches errors.
bool not_the_master(const redis_reply& r) {
  if (r.what == redis_reply::type::list) return std::any_of(r.list.begin(), r.list.end(), not_the_master);
  if (r.what != redis_reply::type::error && r.text.rfind("error ", 0) != 0) return false;
  for (const char* code : {"READONLY", "MASTERDOWN", "LOADING"})
    if (has_redis_code(r.text, code)) return true;
  return false;
}

class connection {
public:
  explicit connection(redis_url url) : url_(std::move(url)) {}

  redis_answer send(const redis_commands& commands, std::int64_t limit_ms) {
    no_sigpipe guard;
    auto deadline = boot_ms() + limit_ms;
    // A kept connection that the server closed meanwhile is noticed before anything is written to it.
    if (context_ && closed()) context_.reset();
    if (!context_)
      if (auto why = connect(deadline); !why.empty()) {
        context_.reset();
        return {redis_answer::status::unsent, url_.text() + ": " + why, {}};
      }
    auto a = exchange(commands, deadline);
    if (a.what != redis_answer::status::ok || std::any_of(a.replies.begin(), a.replies.end(), not_the_master))
      context_.reset();
    return a;
  }

private:
  std::string connect(std::int64_t deadline) {
    auto limit = std::min(connect_limit_ms, deadline - boot_ms());
    context_.reset(redisConnectWithTimeout(url_.host.c_str(), url_.port, time_of(limit)));
    if (!context_) return "no memory";
    if (context_->err) return context_->errstr;
    unsigned ms = unacknowledged_limit_ms;
    setsockopt(context_->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    fcntl(context_->fd, F_SETFD, FD_CLOEXEC); // not for the host's children
    redis_commands hello;
    if (!url_.user.empty()) hello.push_back({"AUTH", url_.user, url_.password});
    else if (!url_.password.empty()) hello.push_back({"AUTH", url_.password});
    if (url_.database) hello.push_back({"SELECT", std::to_string(url_.database)});
    auto a = exchange(hello, deadline);
    if (a.what != redis_answer::status::ok) return a.why;
    for (const auto& r : a.replies)
      if (r.what == redis_reply::type::error) return r.text;
    return {};
  }

  redis_answer exchange(const redis_commands& commands, std::int64_t deadline) {
    for (const auto& command : commands) {
      std::vector<const char*> words;
      std::vector<std::size_t> sizes;
      for (const auto& w : command) {
        words.push_back(w.data());
        sizes.push_back(w.size());
      }
      redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), words.data(), sizes.data());
    }
    redis_answer out;
    for (std::size_t i = 0; i < commands.size(); ++i) {
      auto left = deadline - boot_ms();
      if (i > 0 && left <= 0) return failed("no reply in time");
      redisSetTimeout(context_.get(), time_of(left));
      void* raw = nullptr;
      if (redisGetReply(context_.get(), &raw) != REDIS_OK)
        return failed(boot_ms() >= deadline ? "no reply in time" : context_->errstr);
      std::unique_ptr<redisReply, frees> reply(static_cast<redisReply*>(raw));
      out.replies.push_back(reply_of(*reply));
    }
    out.what = redis_answer::status::ok;
    return out;
  }

  redis_answer failed(const std::string& why) const {
    return {redis_answer::status::unknown, url_.text() + ": " + why, {}};
  }

  bool closed() const {
    char byte;
    auto n = recv(context_->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    // Between two exchanges nothing may come: neither an end nor words.
    return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
  }

  redis_url url_;
  context_ptr context_;
};

} // namespace

bool has_redis_code(const std::string& text, std::string_view code) {
  for (auto at = text.find(code); at != text.npos; at = text.find(code, at + 1)) {
    const auto end = at + code.size();
    const bool begins = at == 0 || text[at - 1] == ' ' || text[at - 1] == '-';
    if (begins && (end == text.size() || text[end] == ' ')) return true;
  }
  return false;
}

redis_link connect_redis(redis_url url) {
  auto c = std::make_shared<connection>(std::move(url));
  return [c](const redis_commands& commands, std::int64_t limit_ms) { return c->send(commands, limit_ms); };
}

} // namespace chute
