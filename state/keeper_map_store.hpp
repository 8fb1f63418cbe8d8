// ClickHouse Keeper through a KeeperMap table: one row a lane, in a table (key, version, text) of the topology's
// database. state/ knows no HTTP: the servers are functions that run one statement.
#pragma once

#include "core/finding.hpp"
#include "state/store.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace chute {

// What one statement came to.
struct sql_answer {
  enum class status : std::uint8_t {
    ok,
    refused, // ClickHouse answered with an exception, in a whole reply
    unsent,  // nothing left this process
    unknown, // no reply, or none that can be understood: it may have run, or may still run
  } what = status::unknown;
  int code = 0;                               // refused: ClickHouse's
  std::string why;                            // unless ok
  std::vector<std::vector<std::string>> rows; // ok: unescaped fields
};
using sql_server = std::function<sql_answer(const std::string& statement,
                                            const std::map<std::string, std::string>& settings, std::int64_t limit_ms)>;

struct keeper_map_options {
  std::string database, table;
  std::vector<sql_server> servers;           // of one ClickHouse; another one is taken when one cannot be reached
  std::vector<std::string> urls;             // of the servers, for messages
  bool make_table = true;                    // if it is missing; else it has no records, and takes none
  std::function<void(std::int64_t ms)> rest; // before a save is tried again; none: sleeps
};

// The statements, as they are sent. Pure.
namespace keeper_map {
std::string create_table(const std::string& database, const std::string& table);
std::string insert_first(const std::string& table_name, const std::vector<const save_request*>& saves);
std::string update(const std::string& table_name, const std::vector<const save_request*>& saves);
std::string select(const std::string& table_name, const std::vector<lane_key>& lanes);
} // namespace keeper_map

std::unique_ptr<store> make_keeper_map_store(keeper_map_options options);

// What `chute check` says of it. Changes nothing: a table that is missing is not made.
std::vector<finding> check_keeper_map(const keeper_map_options& options, std::int64_t limit_ms);

} // namespace chute
