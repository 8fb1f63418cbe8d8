#include "test/kit/clickhouse.hpp"

#include <httplib.h>

namespace chute::kit {
namespace {

constexpr time_t limit_s = 120;

std::string shortened(std::string text) {
  if (text.size() > 500) text.resize(500);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

} // namespace

clickhouse::clickhouse(const clickhouse_address& address)
    : address_(address), client_(std::make_unique<httplib::Client>(address.url)) {
  if (!client_->is_valid()) throw failure("clickhouse: \"" + address.url + "\" is no URL (http://host:port)");
  client_->set_keep_alive(true);
  client_->set_tcp_nodelay(true);
  client_->set_connection_timeout(10);
  client_->set_read_timeout(limit_s);
  client_->set_write_timeout(limit_s);
}

clickhouse::~clickhouse() = default;

void clickhouse::stream(const std::string& sql, const std::function<void(const char*, std::size_t)>& take) {
  httplib::Request request;
  request.method = "POST";
  // With wait_end_of_query a reply that fails halfway has a status that says so.
  request.path = "/?wait_end_of_query=1&max_result_rows=0&max_result_bytes=0";
  request.headers = {{"X-ClickHouse-User", address_.user}, {"X-ClickHouse-Key", address_.password}};
  request.body = sql;
  int status = 0;
  std::string refusal;
  request.response_handler = [&](const httplib::Response& r) {
    status = r.status;
    if (r.has_header("X-ClickHouse-Exception-Code") && status == 200) status = 500;
    return true;
  };
  request.content_receiver = [&](const char* data, std::size_t n, std::uint64_t, std::uint64_t) {
    if (status == 200) take(data, n);
    else if (refusal.size() < 10'000) refusal.append(data, n);
    return true;
  };
  const httplib::Result result = client_->send(request);
  if (!result) {
    throw failure("clickhouse: " + address_.url + " did not answer (" + httplib::to_string(result.error()) +
                  ") to: " + shortened(sql));
  }
  if (status != 200) throw failure("clickhouse: " + shortened(refusal) + " -- asked: " + shortened(sql));
}

std::string clickhouse::ask(const std::string& sql) {
  std::string out;
  stream(sql, [&](const char* data, std::size_t n) { out.append(data, n); });
  return out;
}

std::vector<std::vector<std::string>> clickhouse::lines(const std::string& sql) {
  const std::string text = ask(sql + " FORMAT TSV");
  std::vector<std::vector<std::string>> all;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::vector<std::string>& fields = all.emplace_back(1);
    for (; at < end; at++) {
      if (text[at] == '\t') fields.emplace_back();
      else fields.back() += text[at];
    }
    at = end + 1;
  }
  return all;
}

std::uint64_t clickhouse::number(const std::string& sql) { return std::stoull(lines(sql).at(0).at(0)); }

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::vector<described_column> describe(clickhouse& server, const std::string& table) {
  std::vector<described_column> out;
  for (const auto& fields : server.lines("DESCRIBE TABLE " + table + " SETTINGS print_pretty_type_names = 0")) {
    described_column c{fields.at(0), fields.at(1), fields.at(2), fields.at(3)};
    for (std::string* s : {&c.type, &c.default_expression}) { // quotes inside come escaped
      for (std::size_t at; (at = s->find("\\'")) != s->npos;) s->erase(at, 1);
    }
    out.push_back(std::move(c));
  }
  return out;
}

} // namespace chute::kit
