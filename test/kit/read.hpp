// Reads ranges of a topic, read_committed, once and in order within each partition.
#pragma once

#include "test/kit/kafka.hpp"

#include <functional>
#include <string>
#include <vector>

namespace chute::kit {

// One range a partition. Control records and aborted ones are passed over. Throws failure if a range cannot be had
// whole: unknown partition, records already deleted, a broker that says nothing for 60 s.
void read_topic(rd_kafka_t* reader, const std::string& topic, const std::vector<log_bounds>& ranges,
                const std::function<void(const rd_kafka_message_t&)>& take);

} // namespace chute::kit
