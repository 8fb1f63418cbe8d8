// The committed offsets of a group, read without joining it.
#pragma once

#include "kafka/group.hpp"

#include <string>
#include <vector>

namespace chute::kafka {

// One answer a partition, in order. Waits for up to `limit_ms`.
std::vector<committed_offset> read_offsets(const client_options& client, const std::string& group,
                                           const std::vector<topic_partition>& partitions, std::int64_t limit_ms);

} // namespace chute::kafka
