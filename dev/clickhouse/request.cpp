#include "dev/clickhouse/request.hpp"

#include "dev/clickhouse/codec.hpp"
#include "dev/clickhouse/http_server.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <random>

namespace chute::embedded {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/// A URL parameter, or else a header.
std::string param_or_header(const httplib::Request& request, const char* param, const char* header) {
  return request.has_param(param) ? request.get_param_value(param) : request.get_header_value(header);
}

std::string base64_decoded(std::string_view text) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (char c : text) {
    std::size_t value = digits.find(c);
    if (value == digits.npos) break;
    bits = (bits << 6) | static_cast<unsigned>(value);
    if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8));
  }
  return out;
}

/// ClickHouse's order: its own headers, then Basic, then the URL.
void read_user(const httplib::Request& request, request_terms& terms) {
  std::string basic = request.get_header_value("Authorization");
  if (request.has_header("X-ClickHouse-User") || request.has_header("X-ClickHouse-Key")) {
    terms.user = request.get_header_value("X-ClickHouse-User");
    terms.password = request.get_header_value("X-ClickHouse-Key");
  } else if (lower(basic.substr(0, 6)) == "basic ") {
    std::string pair = base64_decoded(std::string_view(basic).substr(6));
    std::size_t colon = std::min(pair.find(':'), pair.size());
    terms.user = pair.substr(0, colon);
    if (colon < pair.size()) terms.password = pair.substr(colon + 1);
  } else {
    terms.user = request.get_param_value("user");
    terms.password = request.get_param_value("password");
  }
  if (terms.user.empty()) terms.user = "default";
}

/// Accepted for the clients that send them, without effect here.
bool ignored(const std::string& name) {
  static constexpr std::array names = {"user",
                                       "password",
                                       "quota_key",
                                       "database",
                                       "default_format",
                                       "query",
                                       "query_id",
                                       "session_id",
                                       "stacktrace",
                                       "session_timeout",
                                       "session_check",
                                       "buffer_size",
                                       "close_session",
                                       "compress",
                                       "decompress",
                                       "role",
                                       "wait_end_of_query",
                                       "client_protocol_version",
                                       "http_write_exception_in_output_format"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool setting_name(const std::string& name) {
  auto word = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.'; };
  return !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), word);
}

void read_params(const httplib::Request& request, request_terms& terms) {
  for (const auto& [name, value] : request.params) {
    if (name.starts_with("param_")) terms.values.emplace_back(name.substr(6), value);
    else if ((name == "compress" || name == "decompress" || name == "role") && !value.empty() && value != "0")
      terms.refusal =
          make_engine_error(48, "The embedded server does not know the URL parameter " + name, "NOT_IMPLEMENTED");
    else if (ignored(name) || name.empty()) continue;
    else if (!setting_name(name))
      terms.refusal = make_engine_error(115, "Unknown setting '" + name + "'", "UNKNOWN_SETTING");
    else terms.settings.emplace_back(name, value);
  }
}

void append_literal(std::string& out, std::string_view text) {
  out += '\'';
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  out += '\'';
}

} // namespace

request_terms read_terms(const httplib::Request& request) {
  request_terms terms;
  terms.query = request.get_param_value("query");
  terms.query_id = request.get_param_value("query_id");
  terms.query_id_given = !terms.query_id.empty();
  if (!terms.query_id_given) terms.query_id = random_uuid();
  terms.database = param_or_header(request, "database", "X-ClickHouse-Database");
  terms.format = param_or_header(request, "default_format", "X-ClickHouse-Format");
  terms.body_encoding = lower(request.get_header_value("Content-Encoding"));
  read_user(request, terms);
  read_params(request, terms);
  if (!known_encoding(terms.body_encoding))
    terms.refusal =
        make_engine_error(48, "Content-Encoding " + terms.body_encoding + " is not supported", "NOT_IMPLEMENTED");
  auto packed = std::find_if(terms.settings.begin(), terms.settings.end(),
                             [](const auto& s) { return s.first == "enable_http_compression"; });
  if (packed != terms.settings.end() && packed->second != "0" && packed->second != "false")
    terms.reply_encoding = choose_encoding(request.get_header_value(accept_encoding_header));
  return terms;
}

std::string settings_statement(const request_terms& terms) {
  auto settings = terms.settings;
  // The engine chooses its own query ids, so the client's is left where system.processes shows it.
  auto named = [](const char* name) { return [name](const auto& s) { return s.first == name; }; };
  if (terms.query_id_given && std::none_of(settings.begin(), settings.end(), named("log_comment")))
    settings.emplace_back("log_comment", terms.query_id);
  std::stable_partition(settings.begin(), settings.end(), [](const auto& s) { return s.first != "readonly"; });
  std::string sql;
  for (const auto& [name, value] : settings) {
    sql += sql.empty() ? "SET " : ", ";
    sql += name + " = ";
    append_literal(sql, value);
  }
  return sql;
}

int http_status(int code) {
  switch (code) {
  case 194: return 401;
  case 192:
  case 193:
  case 497:
  case 512:
  case 516: return 403;
  case 6:
  case 26:
  case 27:
  case 36:
  case 38:
  case 41:
  case 53:
  case 62:
  case 69:
  case 70:
  case 72:
  case 117:
  case 167:
  case 168:
  case 427: return 400;
  case 16:
  case 46:
  case 47:
  case 50:
  case 56:
  case 60:
  case 63:
  case 73:
  case 78:
  case 81:
  case 111:
  case 115: return 404;
  case 159: return 408;
  case 381: return 411;
  case 223:
  case 165: return 413;
  case 48: return 501;
  case 439: return 503;
  default: return 500;
  }
}

const char* content_type(const std::string& format) {
  auto starts = [&](const char* prefix) { return format.starts_with(prefix); };
  if (format == "JSON" || format == "JSONCompact" || format == "JSONStrings" || format == "JSONColumns" ||
      format == "JSONCompactStrings" || format == "JSONColumnsWithMetadata" || format == "JSONCompactColumns")
    return "application/json; charset=UTF-8";
  if (starts("JSON")) return "application/x-ndjson; charset=UTF-8";
  if (starts("TabSeparated") || starts("TSV")) return "text/tab-separated-values; charset=UTF-8";
  if (starts("CSV")) return "text/csv; charset=UTF-8";
  if (starts("Pretty") || starts("Vertical") || starts("Values") || starts("Markdown"))
    return "text/plain; charset=UTF-8";
  if (starts("XML")) return "application/xml; charset=UTF-8";
  return "application/octet-stream";
}

std::string random_uuid() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::uint64_t a = random(), b = random();
  char text[37];
  std::snprintf(text, sizeof text, "%08x-%04x-4%03x-%04x-%012llx", static_cast<unsigned>(a >> 32),
                static_cast<unsigned>(a >> 16) & 0xffff, static_cast<unsigned>(a) & 0xfff,
                0x8000 | (static_cast<unsigned>(b >> 48) & 0x3fff),
                static_cast<unsigned long long>(b) & 0xffffffffffffULL);
  return text;
}

} // namespace chute::embedded
