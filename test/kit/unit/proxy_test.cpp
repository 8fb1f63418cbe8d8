#include "test/kit/proxy.hpp"
#include "test/kit/sockets.hpp"

#include <doctest/doctest.h>
#include <httplib.h>

#include <thread>

using namespace chute::kit;

TEST_CASE("a plan says what to break") {
  const std::vector<fault> plan = parse_plan("drop_reply:match=INSERT,probability=0.25,count=100;delay:ms=5;refuse");
  REQUIRE(plan.size() == 3);
  CHECK(plan[0].kind == fault_kind::drop_reply);
  CHECK(plan[0].match == "INSERT");
  CHECK(plan[0].probability == 0.25);
  CHECK(plan[0].count == 100);
  CHECK(plan[1].kind == fault_kind::delay);
  CHECK(plan[1].ms == 5);
  CHECK(plan[2].kind == fault_kind::refuse);
  CHECK(parse_plan("").empty());
  CHECK_THROWS_AS(parse_plan("explode"), failure);
  CHECK_THROWS_AS(parse_plan("delay:ms=soon"), failure);
  CHECK_THROWS_AS(parse_plan("delay:colour=red"), failure);
}

TEST_CASE("addresses") {
  CHECK(parse_url("http://127.0.0.1:8123/").port == 8123);
  CHECK(parse_host_port("localhost:0").host == "localhost");
  CHECK_THROWS_AS(parse_host_port("localhost"), failure);
  CHECK_THROWS_AS(parse_host_port("localhost:70000"), failure);
}

namespace {

// What read_request makes of bytes that come over a real socket.
bool request_of(const std::string& bytes, http_message& out) {
  socket_fd listener = socket_fd::listen({"127.0.0.1", 0});
  socket_fd client = socket_fd::connect({"127.0.0.1", listener.local_port()});
  socket_fd server = listener.accept(5'000);
  REQUIRE(server.open());
  REQUIRE(client.send(bytes));
  client = {}; // closes: a request that is not whole is not waited for
  return read_request(server, out);
}

} // namespace

TEST_CASE("requests are read whole, by length and by chunks, and not beyond") {
  http_message m;
  REQUIRE(request_of("POST /?query=INSERT HTTP/1.1\r\nContent-Length: 5\r\n\r\nhellonext", m));
  CHECK(m.body == "hello");
  REQUIRE(request_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nnext", m));
  CHECK(m.body == "5\r\nhello\r\n0\r\n\r\n");
  REQUIRE(request_of("GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n", m));
  CHECK(m.closes);
  CHECK_FALSE(request_of("POST / HTTP/1.1\r\nContent-Length: 50\r\n\r\nhello", m));
  CHECK_FALSE(request_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", m));
  CHECK_FALSE(request_of("POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", m));
}
