// The redis store over a real socket, whose other end answers as it is told.
#include "state/redis_link.hpp"
#include "state/redis_store.hpp"
#include "test/unit/state/records.hpp"

#include <arpa/inet.h>
#include <atomic>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace chute;
using namespace chute::test;

namespace {

constexpr std::int64_t limit = 5'000;
constexpr timeval socket_limit{10, 0};

// Reads one command of Redis' protocol after the other, and answers all on its n-th connection with the n-th reply; the
// last one holds for all that follow.
class told_redis {
public:
  explicit told_redis(std::vector<std::string> replies) : replies_(std::move(replies)) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(listener_, 8) == 0);
    REQUIRE(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~told_redis() {
    over_ = true;
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  redis_link link(const std::string& more = {}) const {
    auto url = parse_redis_url("redis://" + more + "127.0.0.1:" + std::to_string(port_));
    REQUIRE(url.ok());
    return connect_redis(*url);
  }
  int connections() const { return connections_; }

private:
  // A connection at a time: the link has only one.
  void serve() {
    while (!over_) {
      const int peer = accept(listener_, nullptr, nullptr);
      if (peer < 0) continue;
      setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &socket_limit, sizeof socket_limit);
      const auto n = std::min<std::size_t>(static_cast<std::size_t>(connections_++), replies_.size() - 1);
      while (command(peer))
        if (write(peer, replies_[n].data(), replies_[n].size()) < 0) break;
      close(peer);
    }
  }
  static bool byte(int peer, char& c) { return recv(peer, &c, 1, 0) == 1; }
  static bool number(int peer, std::size_t& n) { // "*3\r\n", "$17\r\n"
    std::string line;
    for (char c = 0; line.size() < 2 || line.substr(line.size() - 2) != "\r\n"; line += c)
      if (!byte(peer, c)) return false;
    n = std::stoull(line.substr(1));
    return true;
  }
  static bool command(int peer) {
    std::size_t words = 0, size = 0;
    if (!number(peer, words)) return false;
    for (std::size_t i = 0; i < words; ++i) {
      if (!number(peer, size)) return false;
      char c;
      for (std::size_t k = 0; k < size + 2; ++k)
        if (!byte(peer, c)) return false;
    }
    return true;
  }

  std::vector<std::string> replies_;
  int listener_ = -1, port_ = 0;
  std::atomic<int> connections_{0};
  std::atomic<bool> over_{false};
  std::thread thread_;
};

std::string list_of(const std::string& word) {
  return "*1\r\n$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
}

} // namespace

TEST_CASE("redis: a server that is not the master any more is left: the address may lead to another one") {
  for (const std::string& reply :
       {list_of("error READONLY You can't write against a read only replica."),
        list_of("error @user_script: 9: -READONLY You can't write against a read only replica."),
        std::string("-READONLY You can't write against a read only replica.\r\n"),
        std::string("-LOADING Redis is loading the dataset in memory\r\n"),
        std::string("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n")}) {
    told_redis server({reply, list_of("saved")});
    auto s = make_redis_store(server.link(), 0);
    auto first = s->save({save_of(lane_of(), 2)}, limit)[0];
    CHECK(first.status == save_status::not_now);
    CHECK(s->save({save_of(lane_of(), 2)}, limit)[0].status == save_status::accepted);
    CHECK(server.connections() == 2);
    CHECK(s->save({save_of(lane_of(), 3)}, limit)[0].status == save_status::accepted);
    CHECK(server.connections() == 2); // who saves is kept
  }
}

TEST_CASE("redis: any other error keeps the connection") {
  told_redis server({list_of("error OOM command not allowed when used memory > 'maxmemory'.")});
  auto s = make_redis_store(server.link(), 0);
  for (int i = 0; i < 2; ++i) CHECK(s->save({save_of(lane_of(), 2)}, limit)[0].status == save_status::not_now);
  CHECK(server.connections() == 1);
}

TEST_CASE("redis: what is refused while connecting names its way out") {
  struct refusal {
    const char *reply, *cause, *way_out;
  };
  for (const auto& r :
       {refusal{"-WRONGPASS invalid username-password pair or user is disabled.\r\n", "WRONGPASS",
                "write the user and password into state.url"},
        refusal{"-ERR AUTH <password> called without any password configured for the default user.\r\n", "ERR AUTH",
                "this Redis wants no password: take it out of state.url, or give Redis one"},
        refusal{"-NOPERM this user has no permissions to run the 'select' command\r\n", "NOPERM", "give the user"},
        refusal{"-ERR DB index is out of range\r\n", "DB index", "correct the number of the database in state.url"}}) {
    told_redis server({r.reply});
    auto s = make_redis_store(server.link("user:secret@"), 0);
    auto a = s->save({save_of(lane_of(), 2)}, limit)[0];
    CHECK(a.status == save_status::not_now);
    CHECK(a.why->cause.find(r.cause) != std::string::npos);
    CHECK(a.why->cause.find("secret") == std::string::npos);
    CHECK(a.why->way_out.rfind(r.way_out, 0) == 0);
    CHECK(s->load({lane_of()}, limit)[0].failure->way_out.rfind(r.way_out, 0) == 0);
    auto found = check_redis(server.link("user:secret@"), "state", 0, true, limit);
    REQUIRE(found.size() == 1);
    CHECK(found[0].mend.rfind(r.way_out, 0) == 0);
  }
}

TEST_CASE("redis: a code is a word, wherever it stands") {
  CHECK(has_redis_code("READONLY You can't write", "READONLY"));
  CHECK(has_redis_code("redis://r:6379: NOAUTH Authentication required.", "NOAUTH"));
  CHECK(has_redis_code("@user_script: 9: -OOM", "OOM"));
  CHECK(!has_redis_code("the ROOMS are full", "OOM"));
  CHECK(!has_redis_code("NOAUTHENTICATION NO-OOMPH", "NOAUTH"));
  CHECK(!has_redis_code("", "OOM"));
}
