// The committed offsets of a group, read and written without joining it.
#pragma once

#include "kafka/group.hpp"

#include <string>
#include <vector>

namespace chute::kafka {

// One answer a partition, in order. Waits for up to `limit_ms`.
std::vector<committed_offset> read_offsets(const client_options& client, const std::string& group,
                                           const std::vector<topic_partition>& partitions, std::int64_t limit_ms);

// Commits offsets in a group that nobody is in; where somebody is, the broker refuses. One answer an offset, in order.
// What is not answered within `limit_ms` is unknown: it may have been written, but not later than its connection lives.
std::vector<commit_answer> write_offsets(const client_options& client, const std::string& group,
                                         const std::vector<offset_commit>& offsets, std::int64_t limit_ms);

} // namespace chute::kafka
