// Which offsets landed: for a fill, that must send only what is missing.
#pragma once

#include "clickhouse/questions.hpp"

namespace chute::clickhouse {

// For each range the offsets that are there, in the table and among the dead letters. The ranges are of different
// partitions. The reply is bounded by the session's reply_bytes_max: more is no answer.
// `settings`: reading_settings() of the server; `server`: who answered. As a rule ask() with question.list is what is
// wanted: it counts and lists on one server, which caught up before.
result<offset_lists> list_offsets(session& s, const question& q, const settings_map& settings = {},
                                  std::string* server = nullptr);

// For each range the highest offset that is there, in the table or among the dead letters; nothing: none is.
// The ranges are of different partitions. Otherwise as list_offsets().
result<std::vector<std::optional<offset_t>>>
highest_offsets(session& s, const question& q, const settings_map& settings = {}, std::string* server = nullptr);

} // namespace chute::clickhouse
