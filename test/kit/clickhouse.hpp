// A small HTTP client for ClickHouse, for the kit alone.
#pragma once

#include "test/kit/common.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace httplib {
class Client;
}

namespace chute::kit {

struct clickhouse_address {
  std::string url = "http://127.0.0.1:18123", user = "default", password;
};

class clickhouse {
public:
  explicit clickhouse(const clickhouse_address& address);
  ~clickhouse();
  // The whole reply. Throws failure with the server's own words.
  std::string ask(const std::string& sql);
  std::uint64_t number(const std::string& sql);
  // Lines of a TSV reply, cut into fields (not unescaped).
  std::vector<std::vector<std::string>> lines(const std::string& sql);
  // Hands the reply over piece by piece, as it comes.
  void stream(const std::string& sql, const std::function<void(const char*, std::size_t)>& take);

private:
  clickhouse_address address_;
  std::unique_ptr<httplib::Client> client_;
};

// 'text' as a literal of SQL.
std::string quoted(const std::string& text);

struct described_column {
  std::string name, type, default_kind, default_expression;
};
std::vector<described_column> describe(clickhouse& server, const std::string& table);

} // namespace chute::kit
