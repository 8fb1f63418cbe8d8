#include "server.hpp"

#include <nlohmann/json.hpp>

#include <cctype>
#include <cstdio>
#include <sstream>
#include <stdexcept>

namespace chute::test {
namespace {

// What the engine pins on every insert and what matters here.
constexpr const char* insert_settings =
    "&async_insert=0&insert_deduplicate=1&deduplicate_insert=enable&min_insert_block_size_rows=1000000000000"
    "&min_insert_block_size_bytes=0&max_insert_block_size=1000000000000&max_insert_block_size_bytes=0"
    "&use_strict_insert_block_limits=0&input_format_null_as_default=1&input_format_try_infer_dates=0"
    "&input_format_try_infer_datetimes=0&session_timezone=UTC";
// Types that need leave, so that as many as possible are tried.
constexpr const char* query_settings =
    "&allow_suspicious_low_cardinality_types=1&allow_suspicious_variant_types=1&enable_time_time64_type=1"
    "&max_query_size=10000000&enable_nullable_tuple_type=1&allow_experimental_qbit_type=1&flatten_nested=0&session_"
    "timezone=UTC";

std::string unhex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

std::string url_encoded(const std::string& s) {
  std::string out;
  for (char c : s) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      out += c;
    } else {
      char hex[4];
      std::snprintf(hex, sizeof hex, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += hex;
    }
  }
  return out;
}

} // namespace

server::server(const std::string& url) : client_(url) {
  client_.set_connection_timeout(5);
  client_.set_read_timeout(60);
  client_.set_keep_alive(true);
  client_.set_url_encode(false);
}

std::string server::post(const std::string& query, const std::string& settings, const std::string& content) {
  const auto path = "/?query=" + url_encoded(query) + settings;
  const auto reply = client_.Post(path.c_str(), content, "application/octet-stream");
  if (!reply) throw std::runtime_error("no reply: " + httplib::to_string(reply.error()));
  if (reply->status != 200 || reply->body.starts_with("Code: ")) throw std::runtime_error(reply->body.substr(0, 400));
  return reply->body;
}

std::string server::query(const std::string& sql) { return post("", query_settings, sql); }

void server::insert(const std::string& table, const body& b, const std::string& more) {
  std::string content, columns;
  for (const auto& p : b.pieces) content += p;
  for (const auto& c : b.columns) columns += (columns.empty() ? "`" : ", `") + c + "`";
  std::string settings = insert_settings + more;
  for (const auto& [name, value] : b.settings) settings += "&" + name + "=" + url_encoded(value);
  post("INSERT INTO " + table + " (" + columns + ") FORMAT " + b.format, settings, content);
}

std::vector<table_column> server::describe(const std::string& table) {
  std::istringstream lines(query("DESCRIBE TABLE " + table + " FORMAT JSONEachRow"));
  std::vector<table_column> out;
  for (std::string line; std::getline(lines, line);) {
    const auto row = nlohmann::json::parse(line);
    auto type = parse_type(row.at("type").get<std::string>());
    if (!type) throw std::runtime_error(type.failure().text());
    out.push_back({row.at("name"), *type, row.at("default_type"), row.at("default_expression")});
  }
  return out;
}

std::vector<std::vector<std::string>> server::read(const std::string& table,
                                                   const std::vector<std::string>& expressions) {
  std::string list;
  for (const auto& e : expressions)
    list += (list.empty() ? "" : ", ") + ("hex(if(isNull(" + e + "), 'NULL', toString(" + e + ")))");
  std::istringstream lines(query("SELECT " + list + " FROM " + table + " ORDER BY row FORMAT TSVRaw"));
  std::vector<std::vector<std::string>> out;
  for (std::string line, text; std::getline(lines, line);) {
    std::istringstream texts(line);
    auto& row = out.emplace_back();
    while (std::getline(texts, text, '\t')) row.push_back(unhex(text));
    row.resize(expressions.size()); // an empty text at the end of the line
  }
  return out;
}

} // namespace chute::test
