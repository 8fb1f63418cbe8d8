// Within kafka/ only: what group.cpp, fetch.cpp and inspect.cpp share around librdkafka's C interface.
#pragma once

#include "kafka/client.hpp"

#include <librdkafka/rdkafka.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace chute::kafka {

// One rd_kafka_t and where its log goes. It is the handle's opaque, so it must stay where it is while `rk` lives.
class handle {
public:
  handle() = default;
  virtual ~handle() = default; // whoever derives destroys `rk`, in the order that it needs
  handle(const handle&) = delete;
  handle& operator=(const handle&) = delete;

  rd_kafka_t* rk = nullptr;
  log_sink log;
};

using settings = std::vector<std::pair<std::string, std::string>>;

// Kafka's own topics: no pattern takes them along, as with its own consumers.
inline constexpr std::array internal_topics = {"__consumer_offsets", "__transaction_state", "__share_group_state"};

// Makes a consumer handle: `defaults` that the user may override, then the user's properties, then `needed` ones.
// `callbacks` registers further callbacks, `interceptors` those; either may be null. No connection is made yet.
result<void> open_handle(handle& h, const client_options& options, const settings& defaults, const settings& needed,
                         void (*callbacks)(rd_kafka_conf_t*) = nullptr,
                         void (*interceptors)(rd_kafka_conf_t*) = nullptr);

// A line for the handle's log; `level` as syslog has them.
void write_log(const rd_kafka_t* rk, int level, const char* what, const char* text);

struct list_deleter {
  void operator()(rd_kafka_topic_partition_list_t* l) const { rd_kafka_topic_partition_list_destroy(l); }
};
using partition_list = std::unique_ptr<rd_kafka_topic_partition_list_t, list_deleter>;
partition_list make_list(std::size_t size);
partition_list make_list(const std::vector<topic_partition>& partitions);
void set_metadata(rd_kafka_topic_partition_t& p, const std::string& text); // freed with its list
std::vector<topic_partition> partitions_of(const rd_kafka_topic_partition_list_t* list);

// An error with the way out that fits the code. `doing`: "committing offsets of group g".
error make_error(rd_kafka_resp_err_t code, const std::string& doing, const std::string& detail = {});

// What was on its way to a partition when it was stopped comes all the same. librdkafka (2.0.2) takes it for outdated,
// but lets go of it only when the partition is read again: until then a whole fetch lies there, uncompressed, and some
// hundreds of bytes a record more. This lets go of what has come so far; never of a partition that is being read.
void drop_left(rd_kafka_topic_t* topic, partition_id partition);

// A clock that counts suspended time and never jumps, in ms.
std::int64_t now_ms();
// A limit in ms as librdkafka takes it: not negative, as that would mean for ever.
int limit_of(std::int64_t ms);

} // namespace chute::kafka
