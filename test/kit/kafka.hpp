// librdkafka handles that clean up after themselves, and the few questions that the kit asks.
#pragma once

#include "test/kit/common.hpp"

#include <cstdint>
#include <librdkafka/rdkafka.h>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace chute::kit {

template <class T, void (*destroy)(T*)> struct with {
  void operator()(T* p) const { destroy(p); }
};
using kafka_handle = std::unique_ptr<rd_kafka_t, with<rd_kafka_t, rd_kafka_destroy>>;
using partition_list = std::unique_ptr<rd_kafka_topic_partition_list_t,
                                       with<rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy>>;
using topic_handle = std::unique_ptr<rd_kafka_topic_t, with<rd_kafka_topic_t, rd_kafka_topic_destroy>>;

using properties = std::map<std::string, std::string>;

// Called for each delivered or failed message of a producer; the opaque is the one given here.
using delivery_callback = void (*)(rd_kafka_t*, const rd_kafka_message_t*, void* opaque);

kafka_handle make_producer(const std::string& brokers, const properties& extra, delivery_callback on_delivery,
                           void* opaque);
// Reads read_committed, commits nothing.
kafka_handle make_reader(const std::string& brokers, const properties& extra);

int partition_count(rd_kafka_t* handle, const std::string& topic);

struct log_bounds {
  std::int64_t begin = 0, end = 0; // [begin, end): end is the last stable offset
};
std::vector<log_bounds> bounds_of(rd_kafka_t* handle, const std::string& topic);

// What the broker says of a consumer group: Empty, PreparingRebalance, Stable, … (Dead: there is none).
struct group_state {
  std::string state;
  int members = 0;
};
group_state state_of_group(const std::string& brokers, const std::string& name);

// The `topic` commands.
void create_topic(const std::string& brokers, const std::string& name, int partitions, int replication,
                  const properties& config);
void delete_topic(const std::string& brokers, const std::string& name);
void add_partitions(const std::string& brokers, const std::string& name, int partitions);
// Deletes the records below an offset, one a partition; the key -1 stands for all partitions.
void delete_records(const std::string& brokers, const std::string& name, const std::map<int, std::int64_t>& before);

} // namespace chute::kit
