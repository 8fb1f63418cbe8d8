#include "clickhouse/query.hpp"

#include "clickhouse/reply.hpp"

#include <algorithm>
#include <array>

namespace chute::clickhouse {
namespace {

std::string why_not(const http_reply& reply) {
  if (auto exception = find_exception(reply)) return one_line(exception->text);
  if (reply.how != http_reply::transport::complete) return reply.why;
  if (!reply.from_clickhouse)
    return "HTTP status " + std::to_string(reply.status) + ", not from ClickHouse: " + one_line(reply.body, 200);
  return "HTTP status " + std::to_string(reply.status) + ": " + one_line(reply.body);
}

const char* way_out_of(int code) {
  switch (code) {
  case 60: return "create the table, or correct its name in the topology";
  case 81: return "create the database, or correct its name in the topology";
  case 164: return "the user may only read: give it the right to write";
  case 497: return "grant the user what the message names";
  case 192:
  case 193:
  case 194:
  case 516: return "check clickhouse.user and clickhouse.password";
  default: return "";
  }
}

} // namespace

query_answer run(session& s, const std::string& statement, std::int64_t limit_ms, const settings_map& settings) {
  std::array<std::string_view, 1> body{statement};
  http_request request;
  request.parameters = {{"wait_end_of_query", "1"}, {"default_format", "TabSeparated"}};
  // The server ends a query that nobody waits for any more.
  request.parameters.emplace_back("max_execution_time",
                                  std::to_string(std::max<std::int64_t>(1, (limit_ms + 999) / 1000)));
  request.parameters.emplace_back("timeout_overflow_mode", "throw");
  for (const auto& [name, value] : settings) request.parameters.emplace_back(name, value);
  request.body = body;
  request.limit_ms = limit_ms;
  auto reply = s.send(request);

  query_answer a;
  a.server = reply.server;
  a.same_connection = !reply.new_connection;
  auto exception = find_exception(reply);
  if (exception) a.code = exception->code;
  a.sent = reply.attempts > 0;
  a.answered = reply.how == http_reply::transport::complete && reply.from_clickhouse &&
               (exception ? exception->code != 0 : reply.status == 200);
  a.ok = a.answered && !exception;
  if (a.ok) {
    auto rows = parse_tsv(reply.body);
    a.ok = rows.has_value();
    if (rows) a.rows = std::move(*rows);
  }
  a.text = a.ok ? std::move(reply.body) : why_not(reply);
  return a;
}

error query_error(const session& s, const std::string& what, const query_answer& a) {
  return {"clickhouse " + s.url(), what + ": " + a.text, way_out_of(a.code)};
}

} // namespace chute::clickhouse
