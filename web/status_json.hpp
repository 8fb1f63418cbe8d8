// The engine's status as JSON, for /status, /ready and scripts.
#pragma once

#include "core/status.hpp"

#include <string>

namespace chute {

// {"version", "uptime_ms", "memory": {"used", "budget"}, "pipelines": [{"name", "state", "table", "reason", "lag",
//  "records", "rows", "dead_letters", "dropped", "bytes", "fields_ignored", "inserts", "insert_retries", "saves",
//  "save_refusals", "rebalances", "gaps_lost", "set_aside", "last_error", "lanes": [{"topic", "lane", "phase",
//  "waiting_for", "stopped_for", "version", "open_token", "buffered_bytes", "lag", "partitions": [{"partition", "next",
//  "end", "lag"}]}]}]}
// The names are those of core/status.hpp. A lag or an end that is not known is null; text that is not UTF-8 is mended.
std::string status_json(const engine_status& s);

// Whether every pipeline streams (a pipeline that drained is done, and not ready).
bool is_ready(const engine_status& s);
// {"ready", "pipelines": [{"name", "state", "reason"}]}
std::string ready_json(const engine_status& s);

} // namespace chute
