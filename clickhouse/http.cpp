#include "clickhouse/http.hpp"

#include "clickhouse/body_stream.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <curl/curl.h>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

namespace chute::clickhouse {
namespace {

// RFC 3986, 2.3
constexpr bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}
constexpr long upload_buffer_bytes = 512L << 10;
// An idle connection is reused for less long than the server keeps it; ClickHouse tells how long (Keep-Alive), and
// where it does not we stay below the smallest default that it had (3 s).
constexpr long idle_default_s = 2, idle_max_s = 60;
constexpr long keepalive_probe_s = 15;

struct curl_free {
  void operator()(char* p) const { ::curl_free(p); }
  void operator()(CURL* p) const { curl_easy_cleanup(p); }
  void operator()(CURLU* p) const { curl_url_cleanup(p); }
  void operator()(curl_slist* p) const { curl_slist_free_all(p); }
};

void init_libcurl() {
  static std::once_flag once; // libcurl wants this once a process, before any handle
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

error bad_url(const std::string& cause) {
  return {"clickhouse", cause, "write clickhouse.url as http://host:port or https://host:port"};
}

result<void> check_url(const std::string& url) {
  std::unique_ptr<CURLU, curl_free> u(curl_url());
  if (!u || curl_url_set(u.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
    return bad_url("the URL cannot be read"); // not repeated here: it may hold a password
  auto part = [&](CURLUPart p) {
    char* text = nullptr;
    curl_url_get(u.get(), p, &text, 0);
    std::unique_ptr<char, curl_free> own(text);
    return std::string(text ? text : "");
  };
  if (!part(CURLUPART_USER).empty() || !part(CURLUPART_PASSWORD).empty())
    return error{"clickhouse", "the URL has a user or a password in it",
                 "set clickhouse.user and clickhouse.password instead: URLs end up in logs"};
  auto scheme = part(CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return bad_url("the URL's scheme is '" + scheme + "'");
  if (!part(CURLUPART_QUERY).empty() || !part(CURLUPART_FRAGMENT).empty())
    return error{"clickhouse", "the URL has parameters in it", "settings belong under clickhouse.settings"};
  return {};
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == '\r' || s.back() == '\n' || s.back() == ' ')) s.remove_suffix(1);
  return s;
}

bool equal_fold(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

int to_int(std::string_view s) {
  int v = 0;
  std::from_chars(s.data(), s.data() + s.size(), v);
  return v;
}

} // namespace

session_options options_for(const clickhouse_config& config, const std::string& url) {
  session_options o;
  o.url = url;
  o.user = config.user;
  o.password = config.password;
  o.ca_file = config.ca_file;
  o.compression = config.compression;
  o.unacknowledged_limit_ms = std::max<std::int64_t>(1'000, config.lease_ms / 2);
  return o;
}

struct session::state {
  session_options options;
  long idle_s = idle_default_s;

  // Of the running send():
  const http_request* request = nullptr;
  body_stream* stream = nullptr;
  http_reply* reply = nullptr;
  bool in_request = false, forbidden = false, overflow = false, framed = false, head_ended = false;
  std::array<char, CURL_ERROR_SIZE> error_text{};

  // Kept from request to request: its buffers are as large as many a body.
  std::unique_ptr<compressor> kept;
  compression_kind kept_kind = compression_kind::none;
  compressor* compressor_for(compression_kind kind);

  std::unique_ptr<CURL, curl_free> curl; // last: while it is taken down it calls back

  bool cancelled() const { return options.cancelled && *options.cancelled; }
  void configure();
  CURLcode perform(const std::string& url, curl_slist* headers);
  std::string full_url() const;
  std::unique_ptr<curl_slist, curl_free> headers() const;
  void on_header(std::string_view line);
  void judge(CURLcode code);

  static state& of(void* self) { return *static_cast<state*>(self); }
  static int set_up_socket(void* self, curl_socket_t fd, curlsocktype);
  static curl_socket_t open_socket(void* self, curlsocktype, curl_sockaddr* to);
  static int close_socket(void* self, curl_socket_t fd);
  static int before_send(void* self, char*, char*, int, int);
  static std::size_t give_body(char* to, std::size_t size, std::size_t count, void* self);
  static int rewind_body(void* self, curl_off_t offset, int origin);
  static std::size_t take_body(char* from, std::size_t size, std::size_t count, void* self);
  static std::size_t take_header(char* from, std::size_t size, std::size_t count, void* self);
  static int watch(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
};

// --- what libcurl calls back
// ------------------------------------------------------------------------------------------

int session::state::set_up_socket(void* self, curl_socket_t fd, curlsocktype) {
  unsigned ms = static_cast<unsigned>(of(self).options.unacknowledged_limit_ms);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
  return CURL_SOCKOPT_OK;
}

// Not for the host's children: as long as one has it, closing it here ends nothing.
curl_socket_t session::state::open_socket(void*, curlsocktype, curl_sockaddr* to) {
  return ::socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

// A connection that ends within a request is reset: the kernel must not go on delivering what is left in the socket.
int session::state::close_socket(void* self, curl_socket_t fd) {
  if (of(self).in_request) {
    linger at_once{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  return ::close(fd);
}

int session::state::before_send(void* self, char*, char*, int, int) {
  auto& s = of(self);
  s.forbidden = s.request->before_send && !s.request->before_send();
  if (s.forbidden || s.cancelled()) return CURL_PREREQFUNC_ABORT;
  ++s.reply->attempts;
  return CURL_PREREQFUNC_OK;
}

std::size_t session::state::give_body(char* to, std::size_t size, std::size_t count, void* self) {
  auto& stream = *of(self).stream;
  auto n = stream.read(to, size * count);
  return stream.failed() ? CURL_READFUNC_ABORT : n;
}

int session::state::rewind_body(void* self, curl_off_t offset, int origin) {
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  of(self).stream->rewind();
  return CURL_SEEKFUNC_OK;
}

std::size_t session::state::take_body(char* from, std::size_t size, std::size_t count, void* self) {
  auto& s = of(self);
  auto n = size * count;
  s.overflow = s.reply->body.size() + n > s.options.reply_bytes_max;
  if (s.overflow) return 0;
  s.reply->body.append(from, n);
  return n;
}

std::size_t session::state::take_header(char* from, std::size_t size, std::size_t count, void* self) {
  of(self).on_header({from, size * count});
  return size * count;
}

int session::state::watch(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return of(self).cancelled() ? 1 : 0;
}

void session::state::configure() {
  auto* c = curl.get();
  auto set = [c](CURLoption o, auto v) { curl_easy_setopt(c, o, v); };
  set(CURLOPT_NOSIGNAL, 1L);
  set(options.plain ? CURLOPT_HTTPGET : CURLOPT_POST, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROXY, ""); // not from the environment: a proxy that buffers breaks the promise
  set(CURLOPT_MAXCONNECTS, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_limit_ms));
  set(CURLOPT_UPLOAD_BUFFERSIZE, upload_buffer_bytes);
  set(CURLOPT_TCP_NODELAY, 1L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_TCP_KEEPIDLE, keepalive_probe_s);
  set(CURLOPT_TCP_KEEPINTVL, keepalive_probe_s);
  set(CURLOPT_SSL_VERIFYPEER, options.verify_tls ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, options.verify_tls ? 2L : 0L);
  if (!options.ca_file.empty()) set(CURLOPT_CAINFO, options.ca_file.c_str());
  set(CURLOPT_ERRORBUFFER, error_text.data());
  set(CURLOPT_SOCKOPTFUNCTION, &state::set_up_socket);
  set(CURLOPT_SOCKOPTDATA, this);
  set(CURLOPT_OPENSOCKETFUNCTION, &state::open_socket);
  set(CURLOPT_OPENSOCKETDATA, this);
  set(CURLOPT_CLOSESOCKETFUNCTION, &state::close_socket);
  set(CURLOPT_CLOSESOCKETDATA, this);
  set(CURLOPT_PREREQFUNCTION, &state::before_send);
  set(CURLOPT_PREREQDATA, this);
  set(CURLOPT_READFUNCTION, &state::give_body);
  set(CURLOPT_READDATA, this);
  set(CURLOPT_SEEKFUNCTION, &state::rewind_body);
  set(CURLOPT_SEEKDATA, this);
  set(CURLOPT_WRITEFUNCTION, &state::take_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_HEADERFUNCTION, &state::take_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_XFERINFOFUNCTION, &state::watch);
  set(CURLOPT_XFERINFODATA, this);
  set(CURLOPT_NOPROGRESS, 0L);
}

void session::state::on_header(std::string_view line) {
  if (line.starts_with("HTTP/")) { // of the reply, or of one that came before it (100, a repeated request)
    reply->exception_code = 0;
    reply->from_clickhouse = framed = head_ended = false;
    reply->body.clear();
    return;
  }
  if (line == "\r\n" || line == "\n") head_ended = true;
  auto colon = line.find(':');
  if (colon == line.npos) return;
  auto name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
  if (equal_fold(name, "Content-Length")) framed = true;
  else if (equal_fold(name, "Transfer-Encoding")) framed = framed || equal_fold(value, "chunked");
  else if (equal_fold(name, "X-ClickHouse-Exception-Code")) reply->exception_code = to_int(value);
  else if (equal_fold(name, "X-ClickHouse-Server-Display-Name")) reply->server = value;
  else if (equal_fold(name, "Keep-Alive")) {
    if (auto at = value.find("timeout="); at != value.npos)
      idle_s = std::clamp<long>(to_int(value.substr(at + 8)) - 1L, 1, idle_max_s);
  }
  constexpr std::string_view ours = "X-ClickHouse-";
  if (equal_fold(name.substr(0, ours.size()), ours)) reply->from_clickhouse = true;
}

void session::state::judge(CURLcode code) {
  using t = http_reply::transport;
  long status = 0, connects = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl.get(), CURLINFO_NUM_CONNECTS, &connects);
  reply->status = static_cast<int>(status);
  reply->new_connection = connects > 0;
  if (code == CURLE_OK && framed && head_ended) {
    reply->how = t::complete;
    return;
  }
  reply->why = error_text[0] ? error_text.data() : curl_easy_strerror(code);
  if (code == CURLE_OK) {
    reply->how = t::cut; // ends with the connection: nobody can tell whether all of it came
    reply->why = head_ended ? "a reply without Content-Length that ends with the connection" : "its head is not whole";
  } else if (overflow) {
    reply->how = t::too_long;
    reply->why = "the reply is longer than " + std::to_string(options.reply_bytes_max) + " bytes";
  } else if (forbidden) {
    reply->how = t::forbidden;
    reply->why = "not sent: the lane's lease is too old";
  } else if (cancelled()) {
    reply->how = t::cancelled;
    reply->why = "cancelled by this process";
  } else if (reply->attempts == 0) {
    reply->how = t::not_connected;
  } else if (code == CURLE_OPERATION_TIMEDOUT) {
    reply->how = t::timed_out;
  } else if (code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR ||
             code == CURLE_SEND_ERROR) {
    reply->how = t::cut;
  } else {
    reply->how = t::failed;
  }
}

session::session(std::unique_ptr<state> s) : state_(std::move(s)) {}
session::~session() = default;
const std::string& session::url() const { return state_->options.url; }
const session_options& session::options() const { return state_->options; }

result<std::unique_ptr<session>> session::open(session_options options) {
  init_libcurl();
  if (auto ok = check_url(options.url); !ok) return ok.failure();
  std::vector<const std::string*> texts = {&options.user, &options.password};
  for (const auto& line : options.plain_headers) texts.push_back(&line);
  for (const auto* text : texts)
    if (text->find_first_of(std::string_view("\r\n\0", 3)) != text->npos)
      return error{"clickhouse", "user or password has a line end in it",
                   "check clickhouse.user and the password file"};
  auto s = std::make_unique<state>();
  s->options = std::move(options);
  s->curl.reset(curl_easy_init());
  if (!s->curl) return error{"clickhouse", "libcurl could not be started", "is there memory left?"};
  s->configure();
  return std::unique_ptr<session>(new session(std::move(s)));
}

std::string session::state::full_url() const {
  constexpr std::size_t room = 2'048; // for an insert's settings
  std::string url;
  url.reserve(room);
  url += options.url;
  if (!request->path.empty() && url.ends_with('/')) url.pop_back();
  url += request->path;
  if (url.find('/', url.find("://") + 3) == url.npos) url += '/';
  char separator = '?';
  for (const auto& [name, value] : request->parameters) {
    url.append(1, separator).append(name).append(1, '=');
    separator = '&';
    if (std::all_of(value.begin(), value.end(), is_unreserved)) { // most are: 20 settings an insert
      url.append(value);
      continue;
    }
    std::unique_ptr<char, curl_free> escaped(
        curl_easy_escape(curl.get(), value.data(), static_cast<int>(value.size())));
    url.append(escaped ? escaped.get() : "");
  }
  return url;
}

std::unique_ptr<curl_slist, curl_free> session::state::headers() const {
  std::unique_ptr<curl_slist, curl_free> list;
  auto add = [&](const std::string& line) {
    if (auto* longer = curl_slist_append(list.get(), line.c_str())) {
      [[maybe_unused]] auto* same = list.release();
      list.reset(longer);
    }
  };
  add("Expect:"); // 100-continue would cost a round trip an insert
  add("User-Agent: chute");
  if (options.plain) {
    for (const auto& line : options.plain_headers) add(line);
    return list;
  }
  add("Content-Type: application/octet-stream");
  add("X-ClickHouse-User: " + options.user);
  if (!options.password.empty()) add("X-ClickHouse-Key: " + options.password);
  if (const char* encoding = content_encoding(request->compression)) {
    add(std::string("Content-Encoding: ") + encoding);
    add("Transfer-Encoding: chunked"); // its length is not known before it is sent
  }
  return list;
}

CURLcode session::state::perform(const std::string& url, curl_slist* headers) {
  auto* c = curl.get();
  bool sized = request->compression == compression_kind::none;
  auto size = sized ? static_cast<curl_off_t>(stream->plain_size()) : curl_off_t{-1};
  curl_easy_setopt(c, CURLOPT_URL, url.c_str());
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
  if (!options.plain) curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, size);
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(1, request->limit_ms)));
  curl_easy_setopt(c, CURLOPT_MAXAGE_CONN, idle_s);
  in_request = true;
  auto code = curl_easy_perform(c);
  in_request = false;
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, nullptr);
  return code;
}

compressor* session::state::compressor_for(compression_kind kind) {
  if (kept_kind != kind) kept = make_compressor(kind);
  kept_kind = kind;
  return kept.get();
}

http_reply session::send(const http_request& request) {
  http_reply reply;
  auto& s = *state_;
  if (s.cancelled()) {
    reply.how = http_reply::transport::cancelled;
    reply.why = "cancelled by this process";
    return reply;
  }
  body_stream stream(request.body, s.compressor_for(request.compression));
  s.request = &request;
  s.stream = &stream;
  s.reply = &reply;
  s.forbidden = s.overflow = s.framed = s.head_ended = false;
  s.error_text[0] = 0;
  auto headers = s.headers();
  s.judge(s.perform(s.full_url(), headers.get()));
  s.request = nullptr;
  s.stream = nullptr;
  s.reply = nullptr;
  return reply;
}

} // namespace chute::clickhouse
