// One attempt to insert one batch.
#pragma once

#include "clickhouse/reply.hpp"
#include "clickhouse/tables.hpp"

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace chute::clickhouse {

// A setting that every insert carries, because exactly-once rests on it.
struct pinned_setting {
  const char* name;
  const char* value; // empty: made for each insert
  enum class necessity : std::uint8_t {
    essential, // a server that does not know it cannot keep the promise
    useful,    // it can, but something hurts
    harmless,  // it behaves so anyway
  } need = necessity::harmless;
  const char* without_it; // what it means that a server does not know it
};
std::span<const pinned_setting> pinned_settings();
bool is_pinned(std::string_view setting);
// Of a batch's token each view's target gets one of its own.
bool tells_views_apart(const server_facts& facts);

// Those that a server knows, looked up once: they are some twenty of its fifteen hundred.
struct known_settings {
  known_settings() = default;
  known_settings(const server_facts& facts); // where one insert is all, the facts will do
  std::vector<const pinned_setting*> pinned;
};

struct insert_request {
  std::string database, table;
  std::vector<std::string> columns;
  std::string format;                       // Native, RowBinary, …
  std::span<const std::string_view> pieces; // the body, exactly one block; alive during insert()
  std::string token;                        // empty: none (at_least_once)
  settings_map settings;                    // the user's; pinned ones among them are ignored
  std::int64_t limit_ms = 120'000;          // the insert limit: the server ends the query then
  std::function<bool()> lease;              // asked directly before each attempt; empty: always
  insert_context context;
};

// Everything that goes into the URL: the statement, the user's settings, then the pinned ones that the server knows.
std::vector<std::pair<std::string, std::string>> insert_parameters(const known_settings& known,
                                                                   const insert_request& r);

// The server's own limit is limit_ms; the reply to a query that it ended just then is waited for a little longer.
insert_answer insert(session& s, const known_settings& known, const insert_request& r);

} // namespace chute::clickhouse
