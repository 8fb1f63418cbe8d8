#include "clickhouse/insert.hpp"
#include "clickhouse/query.hpp"
#include "raw_server.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <doctest/doctest.h>
#include <lz4frame.h>
#include <mutex>

using namespace chute;
using namespace chute::clickhouse;
using namespace chute::test;
using transport = http_reply::transport;
using verdict = insert_answer::verdict;

namespace {

constexpr const char* ours = "X-ClickHouse-Query-Id: 1\r\n";

std::unique_ptr<session> open_session(const std::string& url, session_options o = {}) {
  o.url = url;
  auto s = session::open(std::move(o));
  REQUIRE(s);
  return std::move(*s);
}

http_reply post(session& s, std::string_view body, std::function<bool()> hook = {}, std::int64_t limit_ms = 5'000,
                compression_kind kind = compression_kind::none) {
  std::array<std::string_view, 1> pieces{body};
  http_request r;
  r.body = pieces;
  r.before_send = std::move(hook);
  r.limit_ms = limit_ms;
  r.compression = kind;
  return s.send(r);
}

void serve(connection& c) {
  while (!c.read_request().empty()) c.reply("200 OK", ours, "");
}

// Sends one insert to a server that reads the request and then does something.
insert_answer insert_into(raw_server::script after_request, std::int64_t limit_ms = 5'000) {
  raw_server server([&](connection& c) {
    if (!c.read_request().empty()) after_request(c);
  });
  auto s = open_session(server.url());
  return classify(post(*s, "body", {}, limit_ms));
}

std::string unchunk(const std::string& request) {
  std::string out;
  for (auto at = request.find("\r\n\r\n") + 4;;) {
    std::size_t digits = 0;
    auto size = std::stoul(request.substr(at), &digits, 16);
    if (size == 0) return out;
    out += request.substr(at + digits + 2, size);
    at += digits + 2 + size + 2;
  }
}

} // namespace

TEST_CASE("one connection serves many requests, and the hook runs before each") {
  raw_server server(serve);
  auto s = open_session(server.url());
  int asked = 0;
  for (int i = 0; i < 5; ++i) {
    auto r = post(*s, "x", [&] { return ++asked, true; });
    CHECK(r.how == transport::complete);
    CHECK(r.attempts == 1);
    CHECK(r.new_connection == (i == 0));
  }
  CHECK(asked == 5);
  CHECK(server.connections() == 1);
}

TEST_CASE("a lease that is too old: not a byte leaves, on a new connection or a reused one") {
  std::atomic<int> requests{0}, parts{0};
  {
    raw_server server([&](connection& c) {
      while (!c.read_request().empty()) {
        ++requests;
        c.reply("200 OK", ours, "");
      }
      parts += c.holds_part();
    });
    auto s = open_session(server.url());
    auto no = [] { return false; };
    auto r = post(*s, "x", no);
    CHECK(r.how == transport::forbidden);
    CHECK(r.attempts == 0);
    CHECK(classify(r).never_sent);
    CHECK(post(*s, "x").how == transport::complete);
    CHECK(post(*s, "x", no).how == transport::forbidden);
  } // the connections are closed, and have been read to their ends
  CHECK(requests == 1);
  CHECK(parts == 0);
}

TEST_CASE("libcurl repeats a request when a kept-alive connection dies: the hook is asked again, and it counts") {
  // The first connection answers one request and closes on the second, after it was read whole.
  auto script = [](connection& c) {
    if (c.read_request().empty()) return;
    c.reply("200 OK", ours, "");
    auto second = c.read_request();
    if (c.number > 0 && !second.empty()) c.reply("200 OK", ours, "");
  };
  SUBCASE("allowed") {
    std::mutex lock;
    std::vector<std::string> seen;
    raw_server server([&](connection& c) {
      for (int i = 0; i < 2; ++i) {
        auto r = c.read_request();
        if (r.empty()) return;
        std::lock_guard hold(lock);
        seen.push_back(unchunk(r));
        if (c.number == 0 && i == 1) return;
        c.reply("200 OK", ours, "");
      }
    });
    auto s = open_session(server.url());
    post(*s, "first", {}, 5'000, compression_kind::lz4);
    int asked = 0;
    std::string big(3'000'000, 'q');
    auto r = post(
        *s, big, [&] { return ++asked, true; }, 5'000, compression_kind::lz4);
    CHECK(r.how == transport::complete);
    CHECK(asked == 2);
    CHECK(r.attempts == 2);
    CHECK(classify(r).attempts == 2);
    std::lock_guard hold(lock);
    REQUIRE(seen.size() == 3);
    CHECK((seen[1] == seen[2])); // the body was begun again from its start
  }
  SUBCASE("the lease ended in between") {
    raw_server server(script);
    auto s = open_session(server.url());
    post(*s, "first");
    int asked = 0;
    auto r = post(*s, "second", [&] { return ++asked == 1; });
    CHECK(asked == 2);
    CHECK(r.how == transport::forbidden);
    CHECK(r.attempts == 1);
    auto a = classify(r);
    CHECK_FALSE(a.never_sent);
    CHECK_FALSE(a.answered);
  }
}

TEST_CASE("replies that are cut anywhere leave the insert unknown") {
  std::string whole = std::string("HTTP/1.1 200 OK\r\n") + ours + "Content-Length: 0\r\n\r\n";
  for (std::size_t n = 0; n < whole.size(); ++n) {
    CAPTURE(n);
    auto a = insert_into([&](connection& c) { c.write(whole.substr(0, n)); });
    CHECK(a.what == verdict::retry);
    CHECK_FALSE(a.answered);
    CHECK_FALSE(a.never_sent);
    CHECK(a.attempts == 1);
  }
  CHECK(insert_into([&](connection& c) { c.write(whole); }).what == verdict::acknowledged);
}

TEST_CASE("a body that is cut, by length or by chunks, leaves the insert unknown") {
  auto head = std::string("HTTP/1.1 500 Internal Server Error\r\n") + ours + "X-ClickHouse-Exception-Code: 469\r\n";
  auto by_length =
      insert_into([&](connection& c) { c.write(head + "Content-Length: 100\r\n\r\nCode: 469. DB::Exce"); });
  CHECK(by_length.what == verdict::retry);
  CHECK_FALSE(by_length.answered);
  auto by_chunks =
      insert_into([&](connection& c) { c.write(head + "Transfer-Encoding: chunked\r\n\r\n5\r\nCode:\r\n"); });
  CHECK(by_chunks.what == verdict::retry);
  CHECK_FALSE(by_chunks.answered);
}

TEST_CASE("a reply that ends with the connection is not known to be whole") {
  auto a = insert_into(
      [](connection& c) { c.write(std::string("HTTP/1.1 200 OK\r\n") + ours + "Connection: close\r\n\r\n"); });
  CHECK(a.what == verdict::retry);
  CHECK_FALSE(a.answered);
}

TEST_CASE("no reply in time: unknown, and the connection is reset") {
  std::atomic<bool> reset{false};
  auto a = insert_into([&](connection& c) { reset = c.wait_for_reset(); }, 300);
  CHECK(a.what == verdict::retry);
  CHECK_FALSE(a.answered);
  CHECK_FALSE(a.never_sent);
  CHECK(reset);
}

TEST_CASE("nobody listens: nothing was sent") {
  std::string url;
  {
    url = raw_server([](connection&) {}).url();
  }
  auto s = open_session(url);
  auto a = classify(post(*s, "x"));
  CHECK(a.never_sent);
  CHECK(a.attempts == 0);
  CHECK(a.what == verdict::retry);
  CHECK(a.message.find("no connection") == 0);
}

TEST_CASE("what a gateway says is not ClickHouse's word") {
  auto reply = [](const char* status, const char* headers, const char* body) {
    return insert_into([=](connection& c) { c.reply(status, headers, body); });
  };
  auto gateway = reply("502 Bad Gateway", "", "<html>");
  CHECK(gateway.what == verdict::retry);
  CHECK_FALSE(gateway.answered);
  CHECK(reply("200 OK", "", "").what == verdict::retry);
  auto moved = reply("302 Found", "Location: http://127.0.0.1:1/\r\n", "");
  CHECK(moved.what == verdict::retry);
  CHECK(moved.message.find("302") != std::string::npos);
  auto real = reply("404 Not Found", "X-ClickHouse-Exception-Code: 60\r\n",
                    "Code: 60. DB::Exception: no table. (UNKNOWN_TABLE)");
  CHECK(real.what == verdict::wait_person);
  CHECK(real.answered);
}

TEST_CASE("a reply that is too long is given up") {
  session_options o;
  o.reply_bytes_max = 1'000;
  raw_server server([](connection& c) {
    c.read_request();
    c.reply("200 OK", ours, std::string(100'000, 'x'));
  });
  auto s = open_session(server.url(), o);
  auto r = post(*s, "x");
  CHECK(r.how == transport::too_long);
  CHECK(r.body.size() <= 1'000);
  CHECK_FALSE(classify(r).answered);
}

TEST_CASE("a server that refuses before it has read everything") {
  raw_server server([](connection& c) {
    c.read_some();
    c.reply("403 Forbidden", "X-ClickHouse-Exception-Code: 516\r\nConnection: close\r\n",
            "Code: 516. DB::Exception: wrong password");
  });
  auto s = open_session(server.url());
  auto a = classify(post(*s, std::string(20'000'000, 'x')));
  CHECK(a.what != verdict::acknowledged);
  if (a.what == verdict::wait_person) CHECK(a.code == 516); // else the connection broke first: unknown
  else CHECK_FALSE(a.answered);
}

TEST_CASE("user and password go into headers, settings into the URL, and everything arrives") {
  std::string seen;
  std::mutex lock;
  raw_server server([&](connection& c) {
    std::lock_guard hold(lock);
    seen = c.read_request();
    c.reply("200 OK", ours, "");
  });
  session_options o;
  o.user = "me";
  o.password = "s3cret&=ü";
  auto s = open_session(server.url(), o);
  std::array<std::string_view, 3> pieces{"one", "", "two"};
  http_request r;
  r.parameters = {{"query", "INSERT INTO `a b` FORMAT Native"}, {"x", "1&y=2"}};
  r.body = pieces;
  CHECK(s->send(r).how == transport::complete);
  std::lock_guard hold(lock);
  CHECK(seen.starts_with("POST /?query=INSERT%20INTO%20%60a%20b%60%20FORMAT%20Native&x=1%26y%3D2 HTTP/1.1\r\n"));
  CHECK(seen.find("X-ClickHouse-User: me\r\n") != seen.npos);
  CHECK(seen.find("X-ClickHouse-Key: s3cret&=ü\r\n") != seen.npos);
  CHECK(seen.find("Expect:") == seen.npos);
  CHECK(seen.find("Content-Length: 6\r\n") != seen.npos);
  CHECK(seen.ends_with("\r\n\r\nonetwo"));
  CHECK(seen.substr(0, seen.find("\r\n")).find("s3cret") == seen.npos);
}

TEST_CASE("a compressed body says how, and unpacks to what was given") {
  std::string seen;
  std::mutex lock;
  raw_server server([&](connection& c) {
    std::lock_guard hold(lock);
    seen = c.read_request();
    c.reply("200 OK", ours, "");
  });
  auto s = open_session(server.url());
  std::string plain;
  for (int i = 0; i < 200'000; ++i) plain += std::to_string(i);
  CHECK(post(*s, plain, {}, 5'000, compression_kind::lz4).how == transport::complete);
  std::lock_guard hold(lock);
  CHECK(seen.find("Content-Encoding: lz4\r\n") != seen.npos);
  auto packed = unchunk(seen);
  CHECK(packed.size() < plain.size());
  std::string out(plain.size() + 1, 0);
  LZ4F_dctx* c = nullptr;
  LZ4F_createDecompressionContext(&c, LZ4F_VERSION);
  std::size_t to = 0, from = 0, left = 1;
  while (left && from < packed.size()) {
    std::size_t n = out.size() - to, took = packed.size() - from;
    left = LZ4F_decompress(c, out.data() + to, &n, packed.data() + from, &took, nullptr);
    REQUIRE_FALSE(LZ4F_isError(left));
    to += n;
    from += took;
  }
  LZ4F_freeDecompressionContext(c);
  out.resize(to);
  CHECK((out == plain));
}

TEST_CASE("a proxy in the environment is not used") {
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  raw_server server(serve);
  auto s = open_session(server.url());
  CHECK(post(*s, "x").how == transport::complete);
  ::unsetenv("http_proxy");
}

TEST_CASE("a session that is cancelled ends soon, and stays so") {
  raw_server server([](connection& c) {
    c.read_request();
    c.wait_for_reset();
  });
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  session_options o;
  o.cancelled = cancelled;
  auto s = open_session(server.url(), o);
  std::atomic<bool> sending{false};
  std::thread other([&] {
    sending.wait(false);
    *cancelled = true;
  });
  auto before = std::chrono::steady_clock::now();
  auto r = post(
      *s, "x",
      [&] {
        sending = true;
        sending.notify_all();
        return true;
      },
      30'000);
  other.join();
  CHECK(r.how == transport::cancelled);
  CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(5));
  const auto unknown = classify(r); // it left, and may have landed
  CHECK(unknown.what == verdict::retry);
  CHECK_FALSE(unknown.answered);
  CHECK_FALSE(unknown.never_sent);
  CHECK_FALSE(unknown.before_write);
  const auto later = post(*s, "x");
  CHECK(later.how == transport::cancelled);
  CHECK(classify(later).never_sent);
}

TEST_CASE("an idle connection is given up before the server closes it") {
  // The server says that it keeps connections for 2 s, so the session keeps them for 1 s.
  raw_server server([](connection& c) {
    while (!c.read_request().empty()) c.reply("200 OK", std::string(ours) + "Keep-Alive: timeout=2, max=10\r\n", "");
  });
  auto s = open_session(server.url());
  CHECK(post(*s, "x").new_connection);
  CHECK_FALSE(post(*s, "x").new_connection);
  std::this_thread::sleep_for(std::chrono::milliseconds(2'100)); // the passing of time is what is tested
  CHECK(post(*s, "x").new_connection);
}

TEST_CASE("a query tells the server's words from its silence") {
  auto ask = [](raw_server::script after) {
    raw_server server([&](connection& c) {
      if (!c.read_request().empty()) after(c);
    });
    auto s = open_session(server.url());
    return run(*s, "SELECT 1", 2'000);
  };
  auto good = ask([](connection& c) { c.reply("200 OK", ours, "1\t2\n"); });
  CHECK(good.ok);
  CHECK(good.rows == tsv_rows{{"1", "2"}});
  CHECK_FALSE(ask([](connection& c) { c.reply("200 OK", ours, "1\t2"); }).ok); // without its line end
  CHECK_FALSE(ask([](connection& c) { c.reply("200 OK", "", "1\t2\n"); }).ok); // from someone else
  auto refused = ask([](connection& c) { c.reply("200 OK", ours, "1\t2\nCode: 159. DB::Exception: Timeout\n"); });
  CHECK_FALSE(refused.ok);
  CHECK(refused.code == 159);
  CHECK_FALSE(ask([](connection& c) {
                c.write("HTTP/1.1 200 OK\r\nX-ClickHouse-Query-Id: 1\r\nContent-Length: 9\r\n\r\n1\t2\n");
              }).ok);
}
