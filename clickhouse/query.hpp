// Statements other than inserts: one request, a whole answer or the reason why there is none.
#pragma once

#include "clickhouse/http.hpp"
#include "clickhouse/sql.hpp"

#include <map>
#include <string>

namespace chute::clickhouse {

using settings_map = std::map<std::string, std::string>;

struct query_answer {
  bool ok = false;
  bool sent = false;            // at least once, whole or in part
  bool answered = false;        // by ClickHouse, in a whole reply: whatever it says, the query is over
  int code = 0;                 // ClickHouse's, if it answered with an exception
  std::string text;             // the reply if ok, else why there is none
  std::string server;           // who answered
  bool same_connection = false; // as the query before on this session
  tsv_rows rows;                // the reply's rows, if it was asked for as TabSeparated
};

// The reply is TabSeparated unless the statement names a format. `settings` are added to the URL.
query_answer run(session& s, const std::string& statement, std::int64_t limit_ms, const settings_map& settings = {});

// For errors: component "clickhouse", with the server's URL.
error query_error(const session& s, const std::string& what, const query_answer& a);

} // namespace chute::clickhouse
