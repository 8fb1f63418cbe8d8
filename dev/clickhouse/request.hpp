// What a request asks for beside its statement: who, where, how; pure.
#pragma once

#include "dev/clickhouse/engine.hpp"

#include <httplib.h>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace chute::embedded {

struct request_terms {
  std::string query; // the part of the statement that came in the URL
  std::string query_id;
  bool query_id_given = false;
  std::string user, password;
  std::string database;
  std::string format;         // of the reply, where the statement names none
  std::string body_encoding;  // Content-Encoding, lower case
  std::string reply_encoding; // empty: plain
  std::vector<std::pair<std::string, std::string>> settings;
  parameters values;                   // param_…
  std::optional<engine_error> refusal; // something that this interface does not do
};

request_terms read_terms(const httplib::Request& request);

/// "SET a = '1', b = 'x'"; empty without settings. `readonly` comes last, as it forbids what would follow it.
std::string settings_statement(const request_terms& terms);

/// The HTTP status that ClickHouse gives an error.
int http_status(int code);

/// The media type of an output format.
const char* content_type(const std::string& format);

/// A random id in the form of a UUID.
std::string random_uuid();

} // namespace chute::embedded
