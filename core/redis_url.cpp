#include "core/redis_url.hpp"

#include "core/text.hpp"

#include <charconv>

namespace chute {

namespace {

error complaint(std::string cause) { return {"", std::move(cause), ""}; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A '%' without two digits behind it stands for itself.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    int low = high < 0 ? -1 : hex_digit(text[i + 2]);
    if (low < 0) out += text[i];
    else {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

bool number(std::string_view text, int least, int most, int& out) {
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  return code == std::errc() && end == text.data() + text.size() && out >= least && out <= most;
}

// "host", "host:port", "[::1]:port"
bool read_host(std::string_view text, redis_url& out) {
  std::string_view port;
  if (text.starts_with('[')) {
    auto end = text.find(']');
    if (end == text.npos) return false;
    out.host = text.substr(1, end - 1);
    auto rest = text.substr(end + 1);
    if (!rest.empty() && !rest.starts_with(':')) return false;
    port = rest;
  } else {
    auto colon = text.find(':');
    out.host = text.substr(0, colon);
    if (colon != text.npos) port = text.substr(colon);
  }
  return !out.host.empty() && (port.empty() || number(port.substr(1), 1, 65535, out.port));
}

} // namespace

std::string redis_url::text() const {
  auto h = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return "redis://" + h + ":" + std::to_string(port) + (database ? "/" + std::to_string(database) : "");
}

result<redis_url> parse_redis_url(std::string_view text) {
  constexpr std::string_view scheme = "redis://";
  if (text.starts_with("rediss://"))
    return complaint("asks for TLS (rediss://), which this version does not speak to Redis; use redis:// within a "
                     "trusted network, or a TLS tunnel on this machine");
  if (!text.starts_with(scheme)) return complaint("must begin with redis://, as in redis://host:6379");
  text.remove_prefix(scheme.size());
  redis_url out;
  if (auto at = text.rfind('@'); at != text.npos) {
    auto who = text.substr(0, at);
    auto colon = who.find(':');
    out.user = percent_decoded(who.substr(0, colon));
    if (colon != who.npos) out.password = percent_decoded(who.substr(colon + 1));
    if (out.password.empty()) return complaint("names a user without a password; write redis://user:password@host");
    text.remove_prefix(at + 1);
  }
  auto slash = text.find('/');
  auto database = slash == text.npos ? std::string_view() : text.substr(slash + 1);
  if (!read_host(text.substr(0, slash), out))
    return complaint("has no host:port that can be read; write redis://user:password@host:6379"); // may hold a password
  if (!database.empty() && !number(database, 0, 1'000'000, out.database))
    return complaint("ends with '/" + printable(database) + "', where only the number of a database may stand");
  return out;
}

} // namespace chute
