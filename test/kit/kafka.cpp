#include "test/kit/kafka.hpp"

#include <array>
#include <functional>

namespace chute::kit {
namespace {

constexpr int limit_ms = 30'000;

void set(rd_kafka_conf_t* conf, const std::string& key, const std::string& value) {
  std::array<char, 512> why{};
  if (rd_kafka_conf_set(conf, key.c_str(), value.c_str(), why.data(), why.size()) != RD_KAFKA_CONF_OK) {
    throw failure("kafka: property " + key + "=" + value + ": " + why.data());
  }
}

kafka_handle make(rd_kafka_type_t kind, rd_kafka_conf_t* conf) {
  std::array<char, 512> why{};
  rd_kafka_t* handle = rd_kafka_new(kind, conf, why.data(), why.size());
  if (!handle) {
    rd_kafka_conf_destroy(conf);
    throw failure(std::string("kafka: no client handle: ") + why.data());
  }
  return kafka_handle(handle);
}

// Only what a person must know: a lost connection mends itself, and what does not ends in a time-out that is named.
void log_line(const rd_kafka_t*, int level, const char*, const char* text) {
  if (level <= 3) fprintf(stderr, "kafka: %s\n", text);
}

rd_kafka_conf_t* conf_for(const std::string& brokers, const properties& extra) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  try {
    set(conf, "bootstrap.servers", brokers);
    set(conf, "client.id", "chute-kit");
    for (const auto& [key, value] : extra) set(conf, key, value);
  } catch (...) {
    rd_kafka_conf_destroy(conf);
    throw;
  }
  rd_kafka_conf_set_log_cb(conf, log_line);
  return conf;
}

using queue_handle = std::unique_ptr<rd_kafka_queue_t, with<rd_kafka_queue_t, rd_kafka_queue_destroy>>;
using event_handle = std::unique_ptr<rd_kafka_event_t, with<rd_kafka_event_t, rd_kafka_event_destroy>>;
using options_handle =
    std::unique_ptr<rd_kafka_AdminOptions_t, with<rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy>>;

// Sends one admin request and looks at its only topic's result.
using admin_send = std::function<void(rd_kafka_t*, rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>;
using admin_read = std::function<const rd_kafka_topic_result_t**(rd_kafka_event_t*, std::size_t*)>;

void admin(const std::string& brokers, const std::string& what, rd_kafka_admin_op_t op, const admin_send& send,
           const admin_read& read) {
  kafka_handle handle = make_producer(brokers, {}, nullptr, nullptr);
  queue_handle queue(rd_kafka_queue_new(handle.get()));
  options_handle options(rd_kafka_AdminOptions_new(handle.get(), op));
  std::array<char, 512> why{};
  rd_kafka_AdminOptions_set_request_timeout(options.get(), limit_ms, why.data(), why.size());
  rd_kafka_AdminOptions_set_operation_timeout(options.get(), limit_ms, why.data(), why.size());
  send(handle.get(), options.get(), queue.get());
  event_handle event(rd_kafka_queue_poll(queue.get(), limit_ms + 1'000));
  if (!event) throw failure("kafka: " + what + ": no answer from " + brokers + " within 30 s (is the broker up?)");
  if (rd_kafka_event_error(event.get())) {
    throw failure("kafka: " + what + ": " + rd_kafka_event_error_string(event.get()));
  }
  std::size_t n = 0;
  const rd_kafka_topic_result_t** results = read(event.get(), &n);
  for (std::size_t i = 0; i < n; i++) {
    if (rd_kafka_topic_result_error(results[i])) {
      const char* text = rd_kafka_topic_result_error_string(results[i]);
      throw failure("kafka: " + what + ": " +
                    (text ? text : rd_kafka_err2str(rd_kafka_topic_result_error(results[i]))));
    }
  }
}

} // namespace

kafka_handle make_producer(const std::string& brokers, const properties& extra, delivery_callback on_delivery,
                           void* opaque) {
  rd_kafka_conf_t* conf = conf_for(brokers, extra);
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_conf_set_opaque(conf, opaque);
  return make(RD_KAFKA_PRODUCER, conf);
}

kafka_handle make_reader(const std::string& brokers, const properties& extra) {
  properties all = {{"isolation.level", "read_committed"}, {"enable.partition.eof", "true"},
                    {"enable.auto.commit", "false"},       {"enable.auto.offset.store", "false"},
                    {"auto.offset.reset", "error"},        {"group.id", "chute-kit-never-joined"},
                    {"queued.min.messages", "1000000"},    {"queued.max.messages.kbytes", "65536"}};
  for (const auto& [key, value] : extra) all[key] = value;
  kafka_handle handle = make(RD_KAFKA_CONSUMER, conf_for(brokers, all));
  rd_kafka_poll_set_consumer(handle.get());
  return handle;
}

int partition_count(rd_kafka_t* handle, const std::string& topic) {
  topic_handle t(rd_kafka_topic_new(handle, topic.c_str(), nullptr));
  if (!t) throw failure("kafka: topic " + topic + ": " + rd_kafka_err2str(rd_kafka_last_error()));
  // A topic that was made a moment ago may not be known to every broker yet: ask again for a while.
  const double give_up = seconds_now() + limit_ms / 1e3;
  std::string why;
  while (seconds_now() < give_up && !interrupted) {
    const rd_kafka_metadata_t* metadata = nullptr;
    const rd_kafka_resp_err_t err = rd_kafka_metadata(handle, 0, t.get(), &metadata, 5'000);
    if (err) {
      why = rd_kafka_err2str(err);
      continue;
    }
    int n = 0;
    if (metadata->topic_cnt == 1 && !metadata->topics[0].err) n = metadata->topics[0].partition_cnt;
    if (metadata->topic_cnt == 1 && metadata->topics[0].err) why = rd_kafka_err2str(metadata->topics[0].err);
    rd_kafka_metadata_destroy(metadata);
    if (n > 0) return n;
    rd_kafka_poll(handle, 50);
  }
  throw failure("kafka: topic " + topic + ": " + (why.empty() ? "no metadata" : why) + " (does it exist?)");
}

namespace {

// The leader that the metadata name may not know yet that it is, or may be about to change.
log_bounds bounds_of(rd_kafka_t* handle, const std::string& topic, int partition) {
  for (const double give_up = seconds_now() + limit_ms / 1e3;;) {
    log_bounds b;
    const auto err = rd_kafka_query_watermark_offsets(handle, topic.c_str(), partition, &b.begin, &b.end, limit_ms);
    if (!err) return b;
    if (seconds_now() > give_up || interrupted) {
      throw failure("kafka: bounds of " + topic + "/" + std::to_string(partition) + ": " + rd_kafka_err2str(err));
    }
    rd_kafka_poll(handle, 50);
  }
}

} // namespace

std::vector<log_bounds> bounds_of(rd_kafka_t* handle, const std::string& topic) {
  std::vector<log_bounds> all;
  const int n = partition_count(handle, topic);
  for (int p = 0; p < n; p++) {
    all.push_back(bounds_of(handle, topic, p));
  }
  return all;
}

group_state state_of_group(const std::string& brokers, const std::string& name) {
  kafka_handle handle = make_producer(brokers, {}, nullptr, nullptr);
  const struct rd_kafka_group_list* list = nullptr;
  const auto err = rd_kafka_list_groups(handle.get(), name.c_str(), &list, limit_ms);
  if (err && err != RD_KAFKA_RESP_ERR__PARTIAL) throw failure("kafka: group " + name + ": " + rd_kafka_err2str(err));
  group_state out{"Dead", 0};
  for (int i = 0; list && i < list->group_cnt; i++) out = {list->groups[i].state, list->groups[i].member_cnt};
  rd_kafka_group_list_destroy(list);
  return out;
}

void create_topic(const std::string& brokers, const std::string& name, int partitions, int replication,
                  const properties& config) {
  std::array<char, 512> why{};
  rd_kafka_NewTopic_t* fresh = rd_kafka_NewTopic_new(name.c_str(), partitions, replication, why.data(), why.size());
  if (!fresh) throw failure("kafka: topic " + name + ": " + why.data());
  std::unique_ptr<rd_kafka_NewTopic_t, with<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy>> keep(fresh);
  for (const auto& [key, value] : config) rd_kafka_NewTopic_set_config(fresh, key.c_str(), value.c_str());
  admin(
      brokers, "create topic " + name, RD_KAFKA_ADMIN_OP_CREATETOPICS,
      [&](rd_kafka_t* h, rd_kafka_AdminOptions_t* o, rd_kafka_queue_t* q) {
        rd_kafka_CreateTopics(h, &fresh, 1, o, q);
      },
      [](rd_kafka_event_t* e, std::size_t* n) {
        return rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(e), n);
      });
}

void delete_topic(const std::string& brokers, const std::string& name) {
  rd_kafka_DeleteTopic_t* gone = rd_kafka_DeleteTopic_new(name.c_str());
  std::unique_ptr<rd_kafka_DeleteTopic_t, with<rd_kafka_DeleteTopic_t, rd_kafka_DeleteTopic_destroy>> keep(gone);
  admin(
      brokers, "delete topic " + name, RD_KAFKA_ADMIN_OP_DELETETOPICS,
      [&](rd_kafka_t* h, rd_kafka_AdminOptions_t* o, rd_kafka_queue_t* q) { rd_kafka_DeleteTopics(h, &gone, 1, o, q); },
      [](rd_kafka_event_t* e, std::size_t* n) {
        return rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(e), n);
      });
}

void add_partitions(const std::string& brokers, const std::string& name, int partitions) {
  std::array<char, 512> why{};
  rd_kafka_NewPartitions_t* more =
      rd_kafka_NewPartitions_new(name.c_str(), static_cast<std::size_t>(partitions), why.data(), why.size());
  if (!more) throw failure("kafka: partitions of " + name + ": " + why.data());
  std::unique_ptr<rd_kafka_NewPartitions_t, with<rd_kafka_NewPartitions_t, rd_kafka_NewPartitions_destroy>> keep(more);
  admin(
      brokers, "partitions of " + name, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
      [&](rd_kafka_t* h, rd_kafka_AdminOptions_t* o, rd_kafka_queue_t* q) {
        rd_kafka_CreatePartitions(h, &more, 1, o, q);
      },
      [](rd_kafka_event_t* e, std::size_t* n) {
        return rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(e), n);
      });
}

void delete_records(const std::string& brokers, const std::string& name, const std::map<int, std::int64_t>& before) {
  kafka_handle handle = make_producer(brokers, {}, nullptr, nullptr);
  partition_list list(rd_kafka_topic_partition_list_new(1));
  const auto all = before.find(-1);
  for (int p = 0, n = partition_count(handle.get(), name); p < n; p++) {
    const auto own = before.find(p);
    if (own == before.end() && all == before.end()) continue;
    rd_kafka_topic_partition_list_add(list.get(), name.c_str(), p)->offset =
        own == before.end() ? all->second : own->second;
  }
  rd_kafka_DeleteRecords_t* gone = rd_kafka_DeleteRecords_new(list.get());
  std::unique_ptr<rd_kafka_DeleteRecords_t, with<rd_kafka_DeleteRecords_t, rd_kafka_DeleteRecords_destroy>> keep(gone);
  queue_handle queue(rd_kafka_queue_new(handle.get()));
  rd_kafka_DeleteRecords(handle.get(), &gone, 1, nullptr, queue.get());
  event_handle event(rd_kafka_queue_poll(queue.get(), 2 * limit_ms));
  if (!event) throw failure("kafka: delete records of " + name + ": no answer from " + brokers);
  if (rd_kafka_event_error(event.get()))
    throw failure("kafka: delete records of " + name + ": " + rd_kafka_event_error_string(event.get()));
  const auto* done = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event.get()));
  for (int i = 0; i < done->cnt; i++) {
    if (done->elems[i].err)
      throw failure("kafka: delete records of " + name + "/" + std::to_string(done->elems[i].partition) + ": " +
                    rd_kafka_err2str(done->elems[i].err));
  }
}

} // namespace chute::kit
