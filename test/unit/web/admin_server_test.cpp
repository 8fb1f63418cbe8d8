#include "web/admin_server.hpp"
#include "web/move_json.hpp"

#include <doctest/doctest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

using namespace chute;

namespace {

// An engine of which only the status is real.
struct engine_face {
  std::mutex lock;
  engine_status status;
  std::vector<std::string> orders;
  std::optional<error> refusal;

  engine_face() {
    status.version = "1.2.3";
    pipeline_status p;
    p.name = "orders";
    p.state = pipeline_status::state::streaming;
    status.pipelines.push_back(p);
  }
  admin_hooks hooks() {
    return {[this] {
              const std::lock_guard held(lock);
              return status;
            },
            [this](const std::string& name, bool pause) -> result<void> {
              const std::lock_guard held(lock);
              if (refusal) return *refusal;
              orders.push_back((pause ? "pause " : "resume ") + name);
              return {};
            }};
  }
};

std::unique_ptr<admin_server> serve(engine_face& engine, const std::string& token = "", int port = 0,
                                    const admin_limits& limits = {}) {
  auto server = admin_server::start({true, "127.0.0.1", port, token}, engine.hooks(), limits);
  REQUIRE_MESSAGE(server.ok(), server.failure().text());
  return std::move(*server);
}

int status_of(const httplib::Result& r) {
  REQUIRE_MESSAGE(r, httplib::to_string(r.error()));
  return r->status;
}

// A client that sends what it likes, when it likes.
class raw_client {
public:
  explicit raw_client(
      int port, const std::function<void()>& before_connecting = [] {}) {
    REQUIRE(socket_ >= 0);
    before_connecting();
    const timeval limit{20, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  }
  ~raw_client() { close(socket_); }
  raw_client(const raw_client&) = delete;
  raw_client& operator=(const raw_client&) = delete;

  // False: the server closed the connection.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  // Sends a piece again and again. How much the server let it, up to a bound that none should reach.
  std::size_t pour(const std::string& piece) {
    std::size_t sent = 0;
    while (sent < pour_max && send(piece)) sent += piece.size();
    return sent;
  }
  static constexpr std::size_t pour_max = 64 << 20;

  bool is_answered(int wait_ms) const { // or closed
    pollfd p{socket_, POLLIN, 0};
    return poll(&p, 1, wait_ms) > 0;
  }
  std::string all() { // until the server closes; "silence" at the end if it does not
    std::string out;
    char piece[4096];
    for (;;) {
      const auto n = recv(socket_, piece, sizeof piece, 0);
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return out + "silence";
      if (n <= 0) return out;
      out.append(piece, static_cast<std::size_t>(n));
    }
  }

private:
  const int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
};

// None can be opened by this process; those that are open stay.
class no_more_files {
public:
  no_more_files() {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit none{1, before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  ~no_more_files() { setrlimit(RLIMIT_NOFILE, &before_); }
  no_more_files(const no_more_files&) = delete;
  no_more_files& operator=(const no_more_files&) = delete;

private:
  rlimit before_{};
};

const std::string to_loopback = "Host: localhost\r\n";
constexpr int patient_ms = 60'000; // longer than any test waits

double seconds_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

} // namespace

TEST_CASE("any free port is taken and told") {
  engine_face engine;
  const auto one = serve(engine), two = serve(engine);
  CHECK(one->port() > 0);
  CHECK(one->port() != two->port());
  CHECK(one->url() == "http://127.0.0.1:" + std::to_string(one->port()));
}

TEST_CASE("a port that is taken is an error, not shared") {
  engine_face engine;
  const auto one = serve(engine);
  const auto two = admin_server::start({true, "127.0.0.1", one->port(), ""}, engine.hooks());
  REQUIRE_FALSE(two);
  CHECK(two.failure().text() == "admin: cannot listen on 127.0.0.1:" + std::to_string(one->port()) +
                                    " (another process may have the port: change admin.listen, or use port 0 for any "
                                    "free one)");
}

TEST_CASE("starting and stopping, many times, on one port") {
  engine_face engine;
  int port = 0;
  for (int i = 0; i < 50; ++i) port = serve(engine, "", port)->port();
}

TEST_CASE("moving a pipeline: what is asked for, what is done, what is wrong") {
  engine_face engine;
  auto hooks = engine.hooks();
  std::optional<move_request> asked;
  result<std::string> answer = std::string("orders, partition 1: to offset 5\n");
  hooks.move = [&](const std::string&, const move_request& r) {
    asked = r;
    return answer;
  };
  auto server = admin_server::start({true, "127.0.0.1", 0, "secret"}, hooks);
  REQUIRE(server.ok());
  using outcome = enum admin_answer::outcome;
  move_request r;
  r.to = move_request::target::offset;
  r.value = 5;
  r.topic = "orders";
  r.partitions = {{1}, {2}};
  r.group = "g";
  r.brokers = "b:9092";
  r.table = "d.t";
  auto a = ask_to_move((*server)->url(), "secret", "orders", r, 5'000);
  CHECK(a.what == outcome::done);
  CHECK(a.text == "orders, partition 1: to offset 5\n");
  REQUIRE(asked);
  CHECK(asked->what == move_request::verb::reset);
  CHECK(asked->to == move_request::target::offset);
  CHECK(asked->value == 5);
  CHECK(asked->topic == "orders");
  CHECK(asked->partitions == r.partitions);
  CHECK(asked->group == "g");
  CHECK(asked->brokers == "b:9092");
  CHECK(asked->table == "d.t");
  r = {};
  r.what = move_request::verb::settle;
  r.said = move_request::word::not_landed;
  r.lane = lane_id{3};
  answer = error{"state", "the group is in use", "stop it"};
  a = ask_to_move((*server)->url(), "secret", "orders", r, 5'000);
  CHECK(a.what == outcome::refused);
  CHECK(a.text == "state: the group is in use (stop it)");
  CHECK(asked->what == move_request::verb::settle);
  CHECK(asked->said == move_request::word::not_landed);
  CHECK(asked->lane == lane_id{3});
  CHECK(ask_to_move((*server)->url(), "secret", "clicks", r, 5'000).what == outcome::unknown);
  CHECK(ask_to_move((*server)->url(), "wrong", "orders", r, 5'000).what == outcome::refused);
  CHECK(ask_to_move("http://127.0.0.1:1", "", "orders", r, 5'000).what == outcome::nobody);
}

TEST_CASE("the address of an admin face is taken as a browser shows it") {
  CHECK(*admin_address("http://127.0.0.1:8088") == "http://127.0.0.1:8088");
  CHECK(*admin_address("http://127.0.0.1:8088/") == "http://127.0.0.1:8088");
  CHECK(*admin_address("[::1]:8088") == "http://[::1]:8088");
  for (const char* wrong : {"", "http://", "https://127.0.0.1:8088", "http://127.0.0.1:8088/status", "ftp://a", "a b"})
    CHECK_MESSAGE(!admin_address(wrong), wrong);
}

TEST_CASE("moving a pipeline: a body that is not understood changes nothing") {
  using verb = enum move_request::verb;
  for (const char* body :
       {"", "[]", "{}", R"({"to": "somewhere"})", R"({"to": "table", "lane": -1})",
        R"({"to": "table", "partitions": ["1"]})", R"({"to": "latest", "partitions": []})",
        R"({"to": "table", "more": 1})", R"({"to": "offset", "value": 1.5})", R"({"to": "offset"})",
        R"({"to": "time"})", R"({"to": "earliest", "value": 1})", R"({"to": "table", "lane": 1, "partitions": [1]})"})
    CHECK_FALSE_MESSAGE(parse_move(verb::reset, body), body);
  CHECK_FALSE(parse_move(verb::settle, R"({"to": "table"})"));
  CHECK(parse_move(verb::settle, "{}").ok());
}

TEST_CASE("what it answers") {
  engine_face engine;
  const auto server = serve(engine);
  httplib::Client http("127.0.0.1", server->port());
  CHECK(status_of(http.Get("/health")) == 200);
  CHECK(status_of(http.Get("/ready")) == 200);
  CHECK(status_of(http.Get("/nothing")) == 404);
  CHECK(status_of(http.Get("/pipelines/orders/pause")) == 405);
  CHECK(status_of(http.Put("/status", "", "text/plain")) == 405);
  const auto page = http.Get("/");
  REQUIRE(page);
  CHECK(page->get_header_value("Content-Type") == "text/html; charset=utf-8");
  CHECK(page->body.starts_with("<!doctype html>"));
  CHECK(page->body.find("http://") == std::string::npos); // nothing from outside
  CHECK(page->body.find("https://") == std::string::npos);
  const auto status = http.Get("/status");
  REQUIRE(status);
  CHECK(status->get_header_value("Content-Type") == "application/json");
  CHECK(nlohmann::json::parse(status->body)["pipelines"][0]["state"] == "streaming");
  const auto metrics = http.Get("/metrics");
  REQUIRE(metrics);
  CHECK(metrics->get_header_value("Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(metrics->body.find("chute_pipeline_state{pipeline=\"orders\",state=\"streaming\"} 1\n") != std::string::npos);
  CHECK(metrics->body.find("process_resident_memory_bytes ") != std::string::npos);
}

TEST_CASE("it is ready only while every pipeline streams") {
  engine_face engine;
  pipeline_status p;
  p.name = "clicks";
  p.state = pipeline_status::state::waiting;
  p.reason = "clickhouse: no table";
  engine.status.pipelines.push_back(p);
  const auto server = serve(engine);
  httplib::Client http("127.0.0.1", server->port());
  const auto ready = http.Get("/ready");
  REQUIRE(ready);
  CHECK(ready->status == 503);
  const auto body = nlohmann::json::parse(ready->body);
  CHECK(body["ready"] == false);
  CHECK(body["pipelines"][1]["reason"] == "clickhouse: no table");
  CHECK(status_of(http.Get("/health")) == 200);
  engine.status.pipelines.clear(); // an engine that is not up yet
  CHECK(status_of(http.Get("/ready")) == 503);
}

TEST_CASE("pausing and resuming") {
  engine_face engine;
  engine.status.pipelines[0].name = "a b";
  const auto server = serve(engine);
  httplib::Client http("127.0.0.1", server->port());
  CHECK(status_of(http.Post("/pipelines/a%20b/pause")) == 200);
  CHECK(status_of(http.Post("/pipelines/a%20b/resume", "a body that nobody reads", "text/plain")) == 200);
  CHECK(engine.orders == std::vector<std::string>{"pause a b", "resume a b"});
  const auto unknown = http.Post("/pipelines/other/pause");
  REQUIRE(unknown);
  CHECK(unknown->status == 404);
  CHECK(nlohmann::json::parse(unknown->body)["error"] == "there is no pipeline 'other'");
  CHECK(status_of(http.Post("/pipelines/a%20b/stop")) == 404);
  CHECK(status_of(http.Post("/pipelines//pause")) == 404);
  engine.refusal = error{"pipeline a b", "it has stopped", "look at /status"};
  const auto refused = http.Post("/pipelines/a%20b/pause");
  REQUIRE(refused);
  CHECK(refused->status == 409);
  CHECK(nlohmann::json::parse(refused->body)["error"] == "pipeline a b: it has stopped (look at /status)");
  CHECK(engine.orders.size() == 2);
}

TEST_CASE("a token is asked for, except for /health") {
  engine_face engine;
  const auto server = serve(engine, "s3cret");
  httplib::Client http("127.0.0.1", server->port());
  const auto with = [&](const char* path, const std::string& authorization) {
    return status_of(http.Get(path, {{"Authorization", authorization}}));
  };
  CHECK(status_of(http.Get("/health")) == 200);
  for (const char* path : {"/", "/status", "/metrics", "/ready", "/nothing"}) {
    CAPTURE(path);
    CHECK(status_of(http.Get(path)) == 401);
    CHECK(with(path, "Bearer s3cret") != 401);
  }
  CHECK(status_of(http.Post("/pipelines/orders/pause")) == 401);
  CHECK(engine.orders.empty());
  for (const char* wrong : {"Bearer ", "Bearer s3cre", "Bearer s3cretx", "Bearer s3creT", "s3cret", "Bearers3cret",
                            "Basic s3cret", "Basic !!!!", "Basic eDo="}) {
    CAPTURE(wrong);
    CHECK(with("/status", wrong) == 401);
  }
  CHECK(with("/status", "bearer s3cret") == 200);
  CHECK(with("/status", "Basic eDpzM2NyZXQ=") == 200); // x:s3cret, as a browser sends it
  const auto refused = http.Get("/status");
  CHECK(refused->get_header_value("WWW-Authenticate").find("Bearer") != std::string::npos);
  CHECK(refused->body.find("s3cret") == std::string::npos);
  CHECK(status_of(http.Post("/pipelines/orders/pause", {{"Authorization", "Bearer s3cret"}}, "", "text/plain")) == 200);
}

TEST_CASE("pages of other sites cannot reach it") {
  engine_face engine;
  const auto server = serve(engine);
  httplib::Client http("127.0.0.1", server->port());
  const std::string port = ":" + std::to_string(server->port());
  const auto pause = [&](const httplib::Headers& headers) {
    return status_of(http.Post("/pipelines/orders/pause", headers, "", "text/plain"));
  };
  CHECK(pause({{"Origin", "http://evil.example"}}) == 403);
  CHECK(pause({{"Origin", "null"}}) == 403);
  CHECK(pause({{"Host", "evil.example" + port}}) == 403); // a name of theirs that points to 127.0.0.1
  CHECK(pause({{"Host", "127.evil.example" + port}}) == 403);
  CHECK(engine.orders.empty());
  CHECK(pause({{"Host", "localhost" + port}, {"Origin", "http://localhost" + port}}) == 200);
  CHECK(pause({{"Host", "[::1]" + port}}) == 200);
}

TEST_CASE("behind a proxy that does not pass the Host on, the refusal says how") {
  engine_face engine;
  const auto server = serve(engine);
  httplib::Client http("127.0.0.1", server->port());
  const auto r = http.Post("/pipelines/orders/pause", {{"Origin", "https://chute.example"}}, "", "text/plain");
  REQUIRE(r);
  CHECK(r->status == 403);
  for (const char* part : {"https://chute.example", "asked as 127.0.0.1:", "proxy_set_header Host $http_host;"})
    CHECK_MESSAGE(r->body.find(part) != std::string::npos, r->body);
  CHECK(engine.orders.empty());
}

TEST_CASE("silent, long and broken requests do no harm") {
  engine_face engine;
  const auto server = serve(engine);
  raw_client broken(server->port()), silent(server->port()), another(server->port());
  REQUIRE(broken.send("GARBAGE\r\n\r\n"));
  CHECK(broken.all().starts_with("HTTP/1.1 400 "));
  httplib::Client http("127.0.0.1", server->port());
  CHECK(status_of(http.Get("/health")) == 200);
  CHECK(status_of(http.Get(("/" + std::string(8'000, 'a')).c_str())) == 404);
  CHECK(status_of(http.Get(("/" + std::string(20'000, 'a')).c_str())) == 414);
  CHECK(status_of(http.Post(("/" + std::string(8'000, 'a')).c_str())) == 404);
  CHECK(status_of(http.Post("/pipelines/orders/pause", std::string(1 << 20, 'x'), "text/plain")) == 413);
}

TEST_CASE("chunks are refused before they are read, and the token is asked for before") {
  engine_face engine;
  const auto server = serve(engine, "s3cret");
  const std::string start = "POST /pipelines/orders/reset HTTP/1.1\r\nTransfer-Encoding: chunked\r\n";
  const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  for (const std::string token : {"", "Authorization: Bearer s3cret\r\n"}) {
    CAPTURE(token);
    raw_client endless(server->port()), one(server->port());
    REQUIRE(endless.send(start + token + "\r\n"));
    CHECK(endless.pour(chunk) < raw_client::pour_max / 2);
    REQUIRE(one.send(start + token + "\r\n" + chunk));
    CHECK(one.all().starts_with(token.empty() ? "HTTP/1.1 401 " : "HTTP/1.1 411 "));
  }
}

TEST_CASE("a request's head has an end") {
  engine_face engine;
  const auto server = serve(engine);
  const std::string line(4'096, 'a');
  for (const auto& [start, piece] : {std::pair<std::string, std::string>{"GET /", line},
                                     {"GET / HTTP/1.1\r\nX: ", line},
                                     {"GET / HTTP/1.1\r\n", "X: y\r\n"},
                                     {"GET / HTTP/1.1\r\n", "nothing\n"}}) {
    CAPTURE(start + piece.substr(0, 10));
    raw_client endless(server->port());
    REQUIRE(endless.send(start));
    CHECK(endless.pour(piece) < raw_client::pour_max / 2);
  }
}

TEST_CASE("what would be more than it looks is refused") {
  engine_face engine;
  const auto server = serve(engine);
  httplib::Client http("127.0.0.1", server->port());
  CHECK(status_of(http.Post("/pipelines/orders/pause", {{"Content-Encoding", "gzip"}}, "x", "text/plain")) == 415);
  CHECK(status_of(http.Post("/pipelines/orders/pause", "--b--", "multipart/form-data; boundary=b")) == 415);
  CHECK(engine.orders.empty());
  const auto whole = http.Get("/");
  REQUIRE(whole);
  const auto parts = http.Get("/", {{"Range", "bytes=0-,0-,0-,0-,0-,0-,0-,0-"}});
  REQUIRE(parts);
  CHECK(parts->body.size() == whole->body.size());
}

TEST_CASE("who drips is cut when the time for a request is over") {
  engine_face engine;
  const auto server = serve(engine, "", 0, {.transfer_ms = 300});
  for (const std::string start : {"GET / HT", "GET / HTTP/1.1\r\nX: ",
                                  "POST /pipelines/orders/reset HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Length: 60000\r\n\r\n"}) {
    CAPTURE(start);
    raw_client drip(server->port());
    REQUIRE(drip.send(start));
    const auto begun = std::chrono::steady_clock::now();
    while (!drip.is_answered(20) && drip.send("a") && seconds_since(begun) < 20) {
    }
    CHECK(seconds_since(begun) < 20);
    CHECK(drip.all().find("silence") == std::string::npos);
  }
}

TEST_CASE("the time that a move takes is not the client's") {
  engine_face engine;
  auto hooks = engine.hooks();
  hooks.move = [](const std::string&, const move_request&) -> result<std::string> {
    std::this_thread::sleep_for(std::chrono::milliseconds(1'500));
    return std::string("moved\n");
  };
  const auto server = admin_server::start({true, "127.0.0.1", 0, ""}, hooks, {.transfer_ms = 1'000});
  REQUIRE(server.ok());
  raw_client one((*server)->port()), another((*server)->port());
  const std::string head = "POST /pipelines/orders/reset HTTP/1.1\r\n" + to_loopback + "Content-Length: 18\r\n";
  const std::string body = "\r\n{\"to\": \"earliest\"}";
  REQUIRE(one.send(head + body));
  REQUIRE(another.send(head + "Expect: 100-continue\r\n" + body));
  CHECK(one.all().starts_with("HTTP/1.1 200 "));
  CHECK(another.all().find("HTTP/1.1 200 ") != std::string::npos); // behind a 100
}

TEST_CASE("slow clients make room for others") {
  engine_face engine;
  const auto server = serve(engine, "", 0, {.connections = 4, .transfer_ms = patient_ms});
  std::vector<std::unique_ptr<raw_client>> slow;
  for (int i = 0; i < 10; ++i) {
    slow.push_back(std::make_unique<raw_client>(server->port()));
    REQUIRE(slow.back()->send("GET / HT"));
  }
  httplib::Client http("127.0.0.1", server->port());
  http.set_read_timeout(4, 0);
  CHECK(status_of(http.Get("/health")) == 200);
  CHECK(std::count_if(slow.begin(), slow.end(), [](auto& s) { return s->is_answered(0); }) >= 6);
  CHECK_FALSE(slow.back()->is_answered(0)); // the oldest go first
  REQUIRE(slow.back()->send("TP/1.1\r\n" + to_loopback + "\r\n"));
  CHECK(slow.back()->all().starts_with("HTTP/1.1 200 "));
}

TEST_CASE("moves leave places to others") {
  engine_face engine;
  auto hooks = engine.hooks();
  std::promise<void> end;
  std::promise<void> begun[2];
  std::atomic<int> calls = 0;
  hooks.move = [&, ended = end.get_future().share()](const std::string&, const move_request&) -> result<std::string> {
    begun[calls++].set_value();
    ended.wait();
    return std::string("moved\n");
  };
  auto server = admin_server::start({true, "127.0.0.1", 0, ""}, hooks, {.connections = 4});
  REQUIRE(server.ok());
  move_request r;
  r.to = move_request::target::earliest;
  const auto ask = [&] { return ask_to_move((*server)->url(), "", "orders", r, 60'000); };
  std::future<admin_answer> moving[2];
  for (int i = 0; i < 2; ++i) {
    moving[i] = std::async(std::launch::async, ask);
    begun[i].get_future().wait();
  }
  const auto third = ask();
  httplib::Client http("127.0.0.1", (*server)->port());
  const auto health = http.Get("/health");
  end.set_value();
  for (auto& m : moving) CHECK(m.get().text == "moved\n");
  CHECK(third.what == admin_answer::outcome::refused);
  CHECK(third.text.find("try again") != std::string::npos);
  CHECK(status_of(health) == 200);
}

TEST_CASE("it ends without waiting for clients") {
  engine_face engine;
  engine.status.pipelines[0].reason = std::string(16 << 20, 'x'); // more than the kernel takes for a client
  auto server = serve(engine, "", 0, {.transfer_ms = patient_ms});
  raw_client silent(server->port()), drips(server->port()), reads_nothing(server->port());
  REQUIRE(drips.send("GET / HTTP/1.1\r\nX: "));
  REQUIRE(reads_nothing.send("GET /status HTTP/1.1\r\n" + to_loopback + "\r\n"));
  REQUIRE(reads_nothing.is_answered(20'000));
  httplib::Client http("127.0.0.1", server->port());
  CHECK(status_of(http.Get("/health")) == 200); // all of them were accepted before
  std::promise<void> ended;
  std::thread dripping([&, over = ended.get_future()] {
    while (over.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout) drips.send("a");
  });
  const auto begun = std::chrono::steady_clock::now();
  server.reset();
  const double took = seconds_since(begun);
  ended.set_value();
  dripping.join();
  CHECK(took < 5);
  CHECK(reads_nothing.all().size() < 16 << 20);
}

TEST_CASE("where nobody can be accepted for a moment, it says so and goes on") {
  engine_face engine;
  auto hooks = engine.hooks();
  std::promise<std::string> said;
  hooks.warn = [&](const std::string& text) { said.set_value(text); };
  const auto server = admin_server::start({true, "127.0.0.1", 0, ""}, hooks);
  REQUIRE(server.ok());
  auto warned = said.get_future();
  bool told = false;
  {
    // Where accept() waits already it has its file, and the next one that is called has none.
    std::optional<no_more_files> none;
    raw_client first((*server)->port(), [&] { none.emplace(); });
    told = warned.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  }
  REQUIRE(told);
  CHECK(warned.get().starts_with("admin: connections cannot be accepted: "));
  raw_client client((*server)->port());
  REQUIRE(client.send("GET /health HTTP/1.1\r\n" + to_loopback + "\r\n"));
  CHECK(client.all().starts_with("HTTP/1.1 200 "));
}

TEST_CASE("many at once are all answered") {
  engine_face engine;
  const auto server = serve(engine);
  std::vector<std::future<int>> answers;
  for (int i = 0; i < 20; ++i)
    answers.push_back(std::async(std::launch::async, [&] {
      httplib::Client http("127.0.0.1", server->port());
      int good = 0;
      for (int n = 0; n < 10; ++n)
        if (const auto r = http.Get("/status"); r && r->status == 200) ++good;
      return good;
    }));
  for (auto& a : answers) CHECK(a.get() == 10);
}
