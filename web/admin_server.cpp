#include "web/admin_server.hpp"

#include "core/text.hpp"
#include "core/topology_checks.hpp"
#include "web/bounded_http_server.hpp"
#include "web/metrics.hpp"
#include "web/move_json.hpp"
#include "web/page.hpp"
#include "web/status_json.hpp"

#include <httplib.h>
#include <nlohmann/json.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string_view>
#include <thread>

namespace chute {
namespace {

// Takes the same time for every `given` of one length, however much of it is right.
bool equal_in_constant_time(std::string_view given, std::string_view token) {
  unsigned differs = given.size() == token.size() ? 0u : 1u;
  for (std::size_t i = 0; i < given.size(); ++i)
    differs |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(token[i % token.size()]);
  return differs == 0;
}

// RFC 4648; nothing if it is not base64.
std::optional<std::string> decode_base64(std::string_view text) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto digit = digits.find(c);
    if (digit == digits.npos) return {};
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xff);
  }
  return out;
}

bool starts_with_word(std::string_view text, std::string_view word) { // of a header: case does not count
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return text.size() >= word.size() &&
         std::equal(word.begin(), word.end(), text.begin(), [&](char a, char b) { return lower(a) == lower(b); });
}

bool is_authorized(const std::string& header, const std::string& token) {
  if (starts_with_word(header, "bearer ")) return equal_in_constant_time(std::string_view(header).substr(7), token);
  if (!starts_with_word(header, "basic ")) return false;
  const auto decoded = decode_base64(std::string_view(header).substr(6));
  const auto colon = decoded ? decoded->find(':') : std::string::npos;
  return colon != std::string::npos && equal_in_constant_time(std::string_view(*decoded).substr(colon + 1), token);
}

// The host of "host:port" or "[::1]:port", without brackets.
std::string host_of(std::string_view authority) {
  if (authority.starts_with('[')) return std::string(authority.substr(1, authority.find(']') - 1));
  return std::string(authority.substr(0, authority.find(':')));
}

void reply(httplib::Response& out, int status, const std::string& body, const char* type = "application/json") {
  out.status = status;
  out.set_content(body, type);
}

void refuse(httplib::Response& out, int status, const std::string& why) {
  const nlohmann::json body = {{"error", why}};
  reply(out, status, body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

// The path is /pipelines/NAME/pause, /resume, /reset or /settle.
struct order {
  enum class verb : std::uint8_t { pause, resume, reset, settle } what = verb::pause;
  std::string pipeline;
};
std::optional<order> read_order(std::string_view path) {
  static constexpr std::string_view before = "/pipelines/";
  static constexpr std::pair<std::string_view, enum order::verb> verbs[] = {{"/pause", order::verb::pause},
                                                                            {"/resume", order::verb::resume},
                                                                            {"/reset", order::verb::reset},
                                                                            {"/settle", order::verb::settle}};
  if (!path.starts_with(before)) return {};
  path.remove_prefix(before.size());
  for (const auto& [end, verb] : verbs) {
    if (!path.ends_with(end)) continue;
    path.remove_suffix(end.size());
    if (path.empty() || path.find('/') != path.npos) return {};
    return order{verb, std::string(path)};
  }
  return {};
}

} // namespace

struct admin_server::parts {
  parts(const admin_config& c, admin_hooks h, const admin_limits& l)
      : config(c), hooks(std::move(h)), limits(l), http(l, hooks.warn) {}

  const admin_config config;
  const admin_hooks hooks;
  const admin_limits limits;
  int port = 0;
  mutable std::atomic<std::size_t> moves = 0; // that are going on
  bounded_http_server http;
  std::thread listener;

  void set_up();
  void answer(const httplib::Request& in, httplib::Response& out) const;
  bool may_pass(const httplib::Request& in, httplib::Response& out) const;
  bool may_be_read(const httplib::Request& in, httplib::Response& out) const;
  void get(const httplib::Request& in, httplib::Response& out) const;
  void obey(const order& what, const std::string& body, httplib::Response& out) const;
  void move(const order& what, const std::string& body, httplib::Response& out) const;
};

void admin_server::parts::set_up() {
  // httplib would set SO_REUSEPORT, with which two engines share one port without noticing.
  http.set_socket_options([](int socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  http.set_default_headers({{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}});
  // Everything is decided here: before a body is read, and before httplib matches paths with regular expressions. What
  // has a body goes on to httplib, which reads it, and comes back below. A POST that announces none (`curl -X POST`) is
  // answered here, too: httplib would wait for one until the connection ends.
  http.set_pre_routing_handler([this](const httplib::Request& in, httplib::Response& out) {
    using outcome = httplib::Server::HandlerResponse;
    if (in.path != "/health" && !may_pass(in, out)) return outcome::Handled;
    if (!may_be_read(in, out)) return outcome::Handled;
    if (in.method == "POST" && bounded_http_server::body_bytes(in) > 0 && in.path.size() < 1'000)
      return outcome::Unhandled;
    answer(in, out);
    return outcome::Handled;
  });
  http.Post(".*", [this](const httplib::Request& in, httplib::Response& out) { answer(in, out); });
  http.set_exception_handler([](const httplib::Request&, httplib::Response& out, std::exception_ptr) {
    refuse(out, 500, "the status could not be put together");
  });
}

void admin_server::parts::answer(const httplib::Request& in, httplib::Response& out) const {
  const auto what = read_order(in.path);
  if (in.method == "POST") {
    if (what) obey(*what, in.body, out);
    else refuse(out, 404, "there is nothing to post to here");
  } else if (in.method == "GET" || in.method == "HEAD") {
    if (!what) return get(in, out);
    out.set_header("Allow", "POST");
    refuse(out, 405, "send a POST");
  } else refuse(out, 405, "send a GET or a POST");
}

bool admin_server::parts::may_pass(const httplib::Request& in, httplib::Response& out) const {
  const std::string host = in.get_header_value("Host"), origin = in.get_header_value("Origin");
  // A page of another site may make a browser send things here, also with a password that the browser remembers.
  if (const auto at = origin.find("://"); !origin.empty() && (at == origin.npos || origin.substr(at + 3) != host)) {
    refuse(out, 403,
           "requests from pages of other sites are not answered: the page is of " + printable(origin) +
               ", and this is asked as " + printable(host) +
               "; a proxy in front must pass on the Host that the browser sent (nginx: proxy_set_header Host "
               "$http_host;)");
    return false;
  }
  if (config.token.empty()) {
    if (host.empty() || is_loopback(host_of(host))) return true;
    refuse(out, 403, "without admin.token, only requests to localhost, 127.0.0.1 or [::1] are answered");
    return false;
  }
  if (is_authorized(in.get_header_value("Authorization"), config.token)) return true;
  out.set_header("WWW-Authenticate", "Bearer realm=\"chute\", Basic realm=\"chute\", charset=\"UTF-8\"");
  refuse(out, 401, "send the topology's admin.token as 'Authorization: Bearer …', or as a password");
  return false;
}

// httplib's own bound is on the length that is announced only: what is in chunks, packed or a form can become anything.
bool admin_server::parts::may_be_read(const httplib::Request& in, httplib::Response& out) const {
  if (in.has_header("Transfer-Encoding")) refuse(out, 411, "send the body with a Content-Length, not in chunks");
  else if (in.has_header("Content-Encoding") || in.is_multipart_form_data())
    refuse(out, 415, "send the body as plain JSON, neither packed nor as a form");
  else if (bounded_http_server::body_bytes(in) > limits.body_bytes)
    refuse(out, 413, "a body has at most " + std::to_string(limits.body_bytes) + " bytes");
  else return true;
  return false;
}

void admin_server::parts::get(const httplib::Request& in, httplib::Response& out) const {
  if (in.path == "/health") return reply(out, 200, "{\"alive\":true}\n");
  if (in.path == "/status") return reply(out, 200, status_json(hooks.status()));
  if (in.path == "/metrics")
    return reply(out, 200, metrics_text(hooks.status(), read_process_usage()),
                 "text/plain; version=0.0.4; charset=utf-8");
  if (in.path == "/ready") {
    const engine_status s = hooks.status();
    return reply(out, is_ready(s) ? 200 : 503, ready_json(s));
  }
  if (in.path != "/") return refuse(out, 404, "there is /, /status, /metrics, /health and /ready");
  out.set_header("Content-Security-Policy",
                 "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                 "connect-src 'self'; img-src data:; frame-ancestors 'none'");
  reply(out, 200, std::string(status_page), "text/html; charset=utf-8");
}

void admin_server::parts::obey(const order& what, const std::string& body, httplib::Response& out) const {
  const engine_status s = hooks.status();
  const bool known =
      std::any_of(s.pipelines.begin(), s.pipelines.end(), [&](auto& p) { return p.name == what.pipeline; });
  if (!known) return refuse(out, 404, "there is no pipeline '" + what.pipeline + "'");
  if (what.what == order::verb::reset || what.what == order::verb::settle) return move(what, body, out);
  const bool pause = what.what == order::verb::pause;
  if (const auto done = hooks.pause(what.pipeline, pause); !done) return refuse(out, 409, done.failure().text());
  const nlohmann::json said = {{"pipeline", what.pipeline}, {"paused", pause}};
  reply(out, 200, said.dump() + "\n");
}

void admin_server::parts::move(const order& what, const std::string& body, httplib::Response& out) const {
  const auto verb = what.what == order::verb::reset ? move_request::verb::reset : move_request::verb::settle;
  const auto request = parse_move(verb, body);
  if (!request) return refuse(out, 400, request.failure().text());
  if (!hooks.move) return refuse(out, 409, "this engine does not move pipelines");
  // Each takes minutes, and /health needs a place beside them.
  const struct counted {
    std::atomic<std::size_t>& moves;
    const std::size_t others = moves++;
    ~counted() { --moves; }
  } held{moves};
  if (held.others >= limits.connections / 2)
    return refuse(out, 503, "as many pipelines as can be at once are being moved: try again when one is done");
  const auto done = hooks.move(what.pipeline, *request);
  if (!done) return refuse(out, 409, done.failure().text());
  const nlohmann::json said = {{"pipeline", what.pipeline}, {"report", *done}};
  reply(out, 200, said.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

result<std::unique_ptr<admin_server>> admin_server::start(const admin_config& config, admin_hooks hooks,
                                                          const admin_limits& limits) {
  auto p = std::make_unique<parts>(config, std::move(hooks), limits);
  p->set_up();
  p->port = p->http.open(config.host, config.port);
  if (p->port <= 0)
    return error{"admin", "cannot listen on " + config.host + ":" + std::to_string(config.port),
                 "another process may have the port: change admin.listen, or use port 0 for any free one"};
  p->listener = std::thread([http = &p->http] { http->serve(); });
  return std::unique_ptr<admin_server>(new admin_server(std::move(p)));
}

admin_server::admin_server(std::unique_ptr<parts> p) : parts_(std::move(p)) {}

admin_server::~admin_server() {
  parts_->http.finish();
  parts_->listener.join();
}

int admin_server::port() const { return parts_->port; }

std::string admin_server::url() const {
  const std::string& host = parts_->config.host;
  return "http://" + (host.find(':') == host.npos ? host : "[" + host + "]") + ":" + std::to_string(port());
}

} // namespace chute
