#include "web/admin_server.hpp"
#include "web/move_json.hpp"

#include <doctest/doctest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <mutex>
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

std::unique_ptr<admin_server> serve(engine_face& engine, const std::string& token = "", int port = 0) {
  auto server = admin_server::start({true, "127.0.0.1", port, token}, engine.hooks());
  REQUIRE_MESSAGE(server.ok(), server.failure().text());
  return std::move(*server);
}

int status_of(const httplib::Result& r) {
  REQUIRE_MESSAGE(r, httplib::to_string(r.error()));
  return r->status;
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
  std::vector<int> silent; // fewer than there are threads: they are cut after a while, and nobody waits for them
  for (int i = 0; i < 4; ++i) {
    const int s = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(server->port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(s, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
    silent.push_back(s);
  }
  REQUIRE(write(silent[0], "GARBAGE\r\n\r\n", 11) == 11);
  httplib::Client http("127.0.0.1", server->port());
  CHECK(status_of(http.Get("/health")) == 200);
  CHECK(status_of(http.Get(("/" + std::string(8'000, 'a')).c_str())) == 404);
  CHECK(status_of(http.Get(("/" + std::string(20'000, 'a')).c_str())) == 414);
  CHECK(status_of(http.Post(("/" + std::string(8'000, 'a')).c_str())) == 404);
  CHECK(status_of(http.Post("/pipelines/orders/pause", std::string(1 << 20, 'x'), "text/plain")) == 413);
  for (const int s : silent) close(s);
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
