// ClickHouse over HTTP, as far as these tests need it.
#pragma once

#include "core/types.hpp"
#include "formats/decoder.hpp"
#include "formats/encoder.hpp"

#include <httplib.h>

#include <string>
#include <vector>

namespace chute::test {

class server {
public:
  explicit server(const std::string& url);

  // Throws std::runtime_error with the server's words if it refuses.
  std::string query(const std::string& sql);
  // `more`: further parameters, "&name=value".
  void insert(const std::string& table, const body& b, const std::string& more = "");

  std::vector<table_column> describe(const std::string& table);
  // The texts of the expressions, a list a row, ordered by the column `row`; null is "NULL".
  std::vector<std::vector<std::string>> read(const std::string& table, const std::vector<std::string>& expressions);

private:
  std::string post(const std::string& query, const std::string& settings, const std::string& content);
  httplib::Client client_;
};

} // namespace chute::test
