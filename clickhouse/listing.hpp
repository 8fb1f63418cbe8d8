// Which offsets landed: for a fill, that must send only what is missing.
#pragma once

#include "clickhouse/questions.hpp"

namespace chute::clickhouse {

// For each range the offsets that are there, in the table or among the dead letters; ascending, each once. The ranges
// are of different partitions. The reply is bounded by the session's reply_bytes_max: more is no answer.
result<std::vector<std::vector<std::int64_t>>> list_offsets(session& s, const question& q);

} // namespace chute::clickhouse
