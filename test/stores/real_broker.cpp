#include "test/stores/real_broker.hpp"

#include <librdkafka/rdkafka.h>
#include <malloc.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>

namespace chute::test {

namespace {

constexpr int limit_ms = 20'000;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

void check(rd_kafka_error_t* e, const char* doing) {
  if (!e) return;
  std::string why = std::string(doing) + ": " + rd_kafka_error_string(e);
  rd_kafka_error_destroy(e);
  fail(why);
}

void set(rd_kafka_conf_t* c, const char* name, const std::string& value) {
  char why[256];
  if (rd_kafka_conf_set(c, name, value.c_str(), why, sizeof why) != RD_KAFKA_CONF_OK) fail(why);
}

rd_kafka_t* make(rd_kafka_conf_t* conf) {
  char why[256];
  set(conf, "bootstrap.servers", brokers());
  auto* rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (!rk) fail(why);
  return rk;
}

struct client {
  rd_kafka_t* rk = make(rd_kafka_conf_new());
  rd_kafka_queue_t* queue = rd_kafka_queue_new(rk);
  ~client() {
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
  }
  // Partitions with a leader; metadata comes a little after the answer to a request.
  int partitions(const std::string& topic) {
    auto* t = rd_kafka_topic_new(rk, topic.c_str(), nullptr);
    const rd_kafka_metadata_t* m = nullptr;
    int n = 0;
    if (!rd_kafka_metadata(rk, 0, t, &m, limit_ms)) {
      for (int i = 0; i < m->topics[0].partition_cnt; ++i) n += m->topics[0].partitions[i].leader >= 0;
      rd_kafka_metadata_destroy(m);
    }
    rd_kafka_topic_destroy(t);
    return n;
  }
  // Waits for the answer to one request about one thing.
  void wait(const char* doing) {
    auto* event = rd_kafka_queue_poll(queue, limit_ms);
    if (!event) fail(std::string(doing) + ": no answer");
    std::string why = rd_kafka_event_error(event) ? rd_kafka_event_error_string(event) : "";
    std::size_t n = 0;
    const rd_kafka_topic_result_t** topics = nullptr;
    if (const auto* r = rd_kafka_event_CreateTopics_result(event)) topics = rd_kafka_CreateTopics_result_topics(r, &n);
    if (const auto* r = rd_kafka_event_DeleteTopics_result(event)) topics = rd_kafka_DeleteTopics_result_topics(r, &n);
    if (const auto* r = rd_kafka_event_CreatePartitions_result(event))
      topics = rd_kafka_CreatePartitions_result_topics(r, &n);
    for (std::size_t i = 0; i < n; ++i)
      if (rd_kafka_topic_result_error(topics[i])) why = rd_kafka_err2str(rd_kafka_topic_result_error(topics[i]));
    rd_kafka_event_destroy(event);
    if (!why.empty()) fail(std::string(doing) + ": " + why);
  }
};

} // namespace

std::string brokers() {
  const char* b = std::getenv("CHUTE_KAFKA");
  if (!b || !*b) fail("CHUTE_KAFKA is not set: this test needs a broker (dev/services start kafka)");
  return b;
}

std::string unique_name(const std::string& prefix) {
  static std::random_device random;
  static int count = 0;
  return prefix + "-" + std::to_string(random()) + "-" + std::to_string(++count);
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

void create_topic(const std::string& name, int partitions, const topic_settings& settings) {
  client c;
  char why[256];
  auto* t = rd_kafka_NewTopic_new(name.c_str(), partitions, 1, why, sizeof why);
  if (!t) fail(why);
  rd_kafka_NewTopic_set_config(t, "retention.ms", "-1"); // tests write records of 1970
  for (const auto& [key, value] : settings) rd_kafka_NewTopic_set_config(t, key.c_str(), value.c_str());
  rd_kafka_CreateTopics(c.rk, &t, 1, nullptr, c.queue);
  rd_kafka_NewTopic_destroy(t);
  c.wait("creating a topic");
  if (!eventually([&] { return c.partitions(name) == partitions; })) fail("topic " + name + " does not appear");
}

void delete_topic(const std::string& name) {
  client c;
  auto* t = rd_kafka_DeleteTopic_new(name.c_str());
  rd_kafka_DeleteTopics(c.rk, &t, 1, nullptr, c.queue);
  rd_kafka_DeleteTopic_destroy(t);
  c.wait("deleting a topic");
}

void add_partitions(const std::string& name, int total) {
  client c;
  char why[256];
  auto* p = rd_kafka_NewPartitions_new(name.c_str(), static_cast<std::size_t>(total), why, sizeof why);
  if (!p) fail(why);
  rd_kafka_CreatePartitions(c.rk, &p, 1, nullptr, c.queue);
  rd_kafka_NewPartitions_destroy(p);
  c.wait("adding partitions");
}

void delete_records(const std::string& name, int partition, std::int64_t before) {
  client c;
  auto* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, name.c_str(), partition)->offset = before;
  auto* d = rd_kafka_DeleteRecords_new(list);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_DeleteRecords(c.rk, &d, 1, nullptr, c.queue);
  rd_kafka_DeleteRecords_destroy(d);
  c.wait("deleting records");
}

producer::producer(const std::string& transactional_id, const topic_settings& properties) {
  auto* conf = rd_kafka_conf_new();
  set(conf, "message.max.bytes", "2000000");
  set(conf, "linger.ms", "0");
  for (const auto& [name, value] : properties) set(conf, name.c_str(), value);
  if (!transactional_id.empty()) set(conf, "transactional.id", transactional_id);
  rd_kafka_conf_set_dr_msg_cb(conf, [](rd_kafka_t*, const rd_kafka_message_t* m, void*) {
    if (m->_private) *static_cast<std::int64_t*>(m->_private) = m->err ? -2 : m->offset;
  });
  auto* rk = make(conf);
  rk_ = rk;
  if (!transactional_id.empty()) check(rd_kafka_init_transactions(rk, limit_ms), "init_transactions");
}

producer::~producer() {
  auto* rk = static_cast<rd_kafka_t*>(rk_);
  rd_kafka_flush(rk, limit_ms);
  rd_kafka_destroy(rk);
}

std::int64_t producer::send(const std::string& topic, int partition, const sample& s) {
  auto* rk = static_cast<rd_kafka_t*>(rk_);
  auto* headers = rd_kafka_headers_new(s.headers.size());
  for (const auto& [name, value] : s.headers)
    rd_kafka_header_add(headers, name.c_str(), -1, value ? value->data() : nullptr,
                        value ? static_cast<ssize_t>(value->size()) : 0);
  std::int64_t offset = -1;
  auto* value = s.value ? const_cast<char*>(s.value->data()) : nullptr;
  std::size_t value_size = s.value ? s.value->size() : 0;
  const void* key = s.key ? s.key->data() : nullptr;
  std::size_t key_size = s.key ? s.key->size() : 0;
  auto code = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
                                RD_KAFKA_V_VALUE(value, value_size), RD_KAFKA_V_KEY(key, key_size),
                                RD_KAFKA_V_TIMESTAMP(s.timestamp_ms), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(&offset), RD_KAFKA_V_END);
  if (code) fail(std::string("produce: ") + rd_kafka_err2str(code));
  rd_kafka_flush(rk, limit_ms);
  if (offset < 0) fail("a record was not delivered to " + topic);
  return offset;
}

void producer::send_many(const std::string& topic, int partition, int count, const std::string& prefix) {
  send_each(topic, partition, count, [&](int i) { return std::optional(prefix + std::to_string(i)); });
}

void producer::send_nulls(const std::string& topic, int partition, int count) {
  send_each(topic, partition, count, [](int) { return std::optional<std::string>(); });
}

void producer::send_each(const std::string& topic, int partition, int count,
                         const std::function<std::optional<std::string>(int)>& value_of) {
  auto* rk = static_cast<rd_kafka_t*>(rk_);
  for (int i = 0; i < count; ++i) {
    auto value = value_of(i);
    char* const data = value ? value->data() : nullptr;
    const std::size_t size = value ? value->size() : 0;
    while (true) {
      auto code =
          rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
                            RD_KAFKA_V_VALUE(data, size), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
      if (!code) break;
      if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail(std::string("produce: ") + rd_kafka_err2str(code));
      rd_kafka_poll(rk, 100);
    }
  }
  flush();
}

void producer::begin() { check(rd_kafka_begin_transaction(static_cast<rd_kafka_t*>(rk_)), "begin"); }
void producer::commit() { check(rd_kafka_commit_transaction(static_cast<rd_kafka_t*>(rk_), limit_ms), "commit"); }
void producer::abort() { check(rd_kafka_abort_transaction(static_cast<rd_kafka_t*>(rk_), limit_ms), "abort"); }
void producer::flush() {
  if (rd_kafka_flush(static_cast<rd_kafka_t*>(rk_), limit_ms)) fail("flush: records are still in the queue");
}

void fill(const std::string& topic, int partitions) {
  producer p;
  for (int i = 0; i < partitions; ++i) p.send_many(topic, i, records_of_fill, std::string(400, 'x'));
}

double mib_in_use() { return static_cast<double>(mallinfo2().uordblks) / (1 << 20); }

} // namespace chute::test
