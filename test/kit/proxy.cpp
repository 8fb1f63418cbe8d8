#include "test/kit/proxy.hpp"

#include "test/kit/sockets.hpp"

#include <httplib.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <mutex>
#include <optional>
#include <thread>

namespace chute::kit {
namespace {

constexpr std::array kind_names = {"pass",     "refuse", "drop_reply",  "cut_reply",  "hide_reply",   "cut_request",
                                   "throttle", "delay",  "delay_reply", "status_503", "error_in_200", "duplicate"};
constexpr int connections_max = 512;
constexpr std::size_t cut_reply_bytes = 20, throttle_bytes = 1'000; // unless the fault says otherwise
constexpr int throttle_ms = 10;

// Whether the parts of the pattern, between its '*', occur in this order.
bool matches(const std::string& text, const std::string& pattern) {
  std::size_t at = 0;
  for (std::size_t from = 0; from <= pattern.size();) {
    const std::size_t star = std::min(pattern.find('*', from), pattern.size());
    const std::size_t found = text.find(pattern.data() + from, at, star - from);
    if (found == text.npos) return false;
    at = found + (star - from);
    from = star + 1;
  }
  return true;
}

// Which fault strikes which request. The only state that connections share.
class fate {
public:
  fate(std::uint64_t seed, std::vector<fault> plan) : dice_(seed), faults_(std::move(plan)) {}

  std::optional<fault> of(const std::string& request) {
    const std::lock_guard hold(lock_);
    requests_++;
    for (fault& f : faults_) {
      if (!f.count || !matches(request, f.match) || dice_.unit() >= f.probability) continue;
      if (f.count > 0) f.count--;
      struck_[to_string(f.kind)]++;
      return f;
    }
    return {};
  }
  void add(fault f) {
    const std::lock_guard hold(lock_);
    faults_.push_back(std::move(f));
  }
  void clear() {
    const std::lock_guard hold(lock_);
    faults_.clear();
  }
  void lost_reply() {
    const std::lock_guard hold(lock_);
    lost_replies_++;
  }
  std::string counts() {
    const std::lock_guard hold(lock_);
    nlohmann::json all = struck_;
    all["requests"] = requests_;
    all["lost_replies"] = lost_replies_;
    return all.dump();
  }

private:
  std::mutex lock_;
  dice dice_;
  std::vector<fault> faults_;
  std::map<std::string, std::uint64_t> struck_;
  std::uint64_t requests_ = 0, lost_replies_ = 0;
};

// What `match` is searched in: the target, decoded, and the begin of the body.
std::string searchable(const http_message& m) {
  constexpr std::size_t body_bytes = 1024;
  std::string line = m.head.substr(0, m.head.find("\r\n")), out;
  for (std::size_t i = 0; i < line.size(); i++) {
    if (line[i] == '%' && i + 2 < line.size()) {
      out += static_cast<char>(std::strtol(line.substr(i + 1, 2).c_str(), nullptr, 16));
      i += 2;
    } else {
      out += line[i] == '+' ? ' ' : line[i];
    }
  }
  return out + "\n" + m.body.substr(0, body_bytes);
}

void rest(int ms) {
  for (const double until = seconds_now() + ms / 1e3; seconds_now() < until && !interrupted;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(ms, 20)));
  }
}

// Whether the server carried the request out.
bool carried_out(const http_message& reply) {
  return reply.head.starts_with("HTTP/1.1 200") && reply.head.find("X-ClickHouse-Exception-Code") == std::string::npos;
}

std::string plain_reply(const std::string& status, const std::string& body, const std::string& more = "") {
  return "HTTP/1.1 " + status + "\r\n" + more +
         "Content-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// One client's connection, and the one to the server that belongs to it.
class passage {
public:
  passage(socket_fd client, const proxy_options& options, const host_port& target, fate& f)
      : client_(std::move(client)), options_(options), target_(target), fate_(f) {}

  // Until one of the two closes, or a fault closes it.
  void run() {
    http_message request;
    while (!interrupted && read_request(client_, request)) {
      const std::optional<fault> f = fate_.of(searchable(request));
      if (!(f ? struck(request, *f) : honest(request)) || request.closes) return;
    }
  }

private:
  bool honest(const http_message& request) {
    http_message reply;
    return exchange(request, reply) && client_.send(reply.head) && client_.send(reply.body) && !reply.closes;
  }

  // The client will not learn what came of it.
  bool exchange_unseen(const http_message& request, http_message& reply) {
    const bool answered = exchange(request, reply);
    if (answered && carried_out(reply) && searchable(request).find("INSERT INTO") != std::string::npos) {
      fate_.lost_reply(); // questions and saves are lost as well, but nothing is doubled by asking again
    }
    return answered;
  }

  bool send_slowly(std::string_view all, std::size_t each) {
    for (std::size_t at = 0; at < all.size() && !interrupted; at += each) {
      if (!server_.send(all.substr(at, each))) return false;
      rest(throttle_ms);
    }
    return true;
  }

  bool throttled(const http_message& request, std::size_t each) {
    http_message reply;
    server_ = socket_fd::connect(target_);
    if (!server_.open() || !send_slowly(request.head + request.body, each) || !read_reply(server_, reply)) return false;
    if (reply.closes) server_ = {};
    return client_.send(reply.head) && client_.send(reply.body) && !reply.closes;
  }

  bool exchange(const http_message& request, http_message& reply) {
    // A kept connection may have died while it lay idle: the server never saw the request then, so try a fresh one
    // once.
    for (int attempt = 0; attempt < 2; attempt++) {
      const bool fresh = !server_.open();
      if (fresh) server_ = socket_fd::connect(target_);
      if (!server_.open()) return false;
      if (server_.send(request.head) && server_.send(request.body) && read_reply(server_, reply)) {
        if (reply.closes) server_ = {};
        return true;
      }
      const bool idle_death = !fresh && !reply.begun;
      server_ = {};
      if (!idle_death) return false;
    }
    return false;
  }

  // False: the connection ends.
  bool struck(const http_message& request, const fault& f) {
    http_message reply;
    switch (f.kind) {
    case fault_kind::pass: return honest(request);
    case fault_kind::refuse: return false;
    case fault_kind::drop_reply: exchange_unseen(request, reply); return false;
    case fault_kind::cut_reply:
      if (exchange_unseen(request, reply))
        client_.send((reply.head + reply.body).substr(0, f.bytes ? f.bytes : cut_reply_bytes));
      return false;
    case fault_kind::hide_reply:
      return exchange_unseen(request, reply) &&
             client_.send(plain_reply("503 Service Unavailable", "the server's reply was lost\n"));
    case fault_kind::throttle: return throttled(request, f.bytes ? f.bytes : throttle_bytes);
    case fault_kind::cut_request: {
      const std::string all = request.head + request.body;
      server_ = socket_fd::connect(target_);
      if (server_.open()) server_.send(std::string_view(all).substr(0, f.bytes ? f.bytes : all.size() / 2));
      return false;
    }
    case fault_kind::delay: rest(f.ms); return honest(request);
    case fault_kind::delay_reply: {
      const bool answered = exchange(request, reply);
      rest(f.ms);
      return answered && client_.send(reply.head) && client_.send(reply.body) && !reply.closes;
    }
    case fault_kind::status_503: return client_.send(plain_reply("503 Service Unavailable", "no server is ready\n"));
    case fault_kind::error_in_200: {
      const std::string text =
          "Code: " + std::to_string(f.code) + ". DB::Exception: made up by the fault proxy. (FAULT)\n";
      return client_.send(plain_reply("200 OK", text));
    }
    case fault_kind::duplicate: return exchange(request, reply) && honest(request);
    }
    return false;
  }

  socket_fd client_, server_;
  const proxy_options& options_;
  const host_port& target_;
  fate& fate_;
};

void serve_control(httplib::Server& server, fate& f) {
  server.Get("/ping", [](const httplib::Request&, httplib::Response& r) { r.set_content("Ok.\n", "text/plain"); });
  server.Get("/counts",
             [&f](const httplib::Request&, httplib::Response& r) { r.set_content(f.counts(), "application/json"); });
  server.Post("/clear", [&f](const httplib::Request&, httplib::Response& r) {
    f.clear();
    r.set_content("cleared\n", "text/plain");
  });
  server.Post("/fault", [&f](const httplib::Request& q, httplib::Response& r) {
    std::map<std::string, std::string> options(q.params.begin(), q.params.end());
    const std::string kind = options["kind"];
    options.erase("kind");
    try {
      f.add(make_fault(kind, options));
      r.set_content("set\n", "text/plain");
    } catch (const std::exception& e) {
      r.status = 400;
      r.set_content(std::string(e.what()) + "\n", "text/plain");
    }
  });
}

} // namespace

const char* to_string(fault_kind k) { return kind_names.at(static_cast<std::size_t>(k)); }

fault_kind parse_fault_kind(const std::string& name) {
  for (std::size_t i = 0; i < kind_names.size(); i++) {
    if (name == kind_names[i]) return static_cast<fault_kind>(i);
  }
  throw failure("proxy: no kind of fault \"" + name + "\"");
}

fault make_fault(const std::string& kind, const std::map<std::string, std::string>& options) {
  fault f;
  f.kind = parse_fault_kind(kind);
  for (const auto& [key, value] : options) {
    try {
      if (key == "match") f.match = value;
      else if (key == "probability") f.probability = std::stod(value);
      else if (key == "count") f.count = std::stoll(value);
      else if (key == "ms") f.ms = std::stoi(value);
      else if (key == "bytes") f.bytes = std::stoul(value);
      else if (key == "code") f.code = std::stoi(value);
      else throw failure("proxy: a fault has no \"" + key + "\"");
    } catch (const std::logic_error&) {
      throw failure("proxy: " + key + "=" + value + " is no number");
    }
  }
  return f;
}

std::vector<fault> parse_plan(const std::string& text) {
  std::vector<fault> out;
  std::size_t at = 0;
  const auto until = [&](std::string_view stops) {
    const std::size_t end = std::min(text.find_first_of(stops, at), text.size());
    std::string part = text.substr(at, end - at);
    at = end;
    return part;
  };
  while (at < text.size()) {
    const std::string kind = until(":;");
    std::map<std::string, std::string> options;
    while (at < text.size() && text[at] != ';') {
      at++; // the ':' or ','
      const std::string key = until("=;,");
      if (at < text.size() && text[at] == '=') at++;
      options[key] = until(",;");
    }
    at++;
    out.push_back(make_fault(kind, options));
  }
  return out;
}

void run_proxy(const proxy_options& options) {
  fate f(options.seed, options.plan);
  const host_port target = parse_url(options.target);
  socket_fd listener = socket_fd::listen(parse_host_port(options.listen));
  const host_port control_at = parse_host_port(options.control);
  httplib::Server control;
  serve_control(control, f);
  int control_port = control_at.port;
  if (!control_port) control_port = control.bind_to_any_port(control_at.host.c_str());
  else if (!control.bind_to_port(control_at.host.c_str(), control_port)) control_port = -1;
  if (control_port < 0) throw failure("proxy: cannot listen on " + options.control);
  std::thread control_thread([&] { control.listen_after_bind(); });
  std::printf("listen %d control %d\n", listener.local_port(), control_port);
  std::fflush(stdout);

  std::atomic<int> connections = 0;
  while (!interrupted) {
    socket_fd client = listener.accept(200);
    if (!client.open()) continue;
    if (connections >= connections_max) continue; // closed at once
    connections++;
    std::thread([&, c = std::move(client)]() mutable {
      passage(std::move(c), options, target, f).run();
      connections--;
    }).detach();
  }
  control.stop();
  control_thread.join();
  // Passages look at `interrupted` at least every half second.
  for (const double give_up = seconds_now() + 5; connections && seconds_now() < give_up;) rest(10);
  std::_Exit(0);
}

} // namespace chute::kit
