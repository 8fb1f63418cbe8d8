// A real broker for tests: topics, records and transactions, made with librdkafka directly.
// CHUTE_KAFKA names it (host:port).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace chute::test {

std::string brokers(); // of CHUTE_KAFKA; a test without it fails and says so

// A name that no earlier run has used.
std::string unique_name(const std::string& prefix);

// Calls `condition` until it holds. False once `limit` is over.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds limit = std::chrono::milliseconds(20'000));

using topic_settings = std::vector<std::pair<std::string, std::string>>;
void create_topic(const std::string& name, int partitions, const topic_settings& settings = {});
void delete_topic(const std::string& name);
void add_partitions(const std::string& name, int total);
// Deletes all records below `before`, as retention would.
void delete_records(const std::string& name, int partition, std::int64_t before);

struct sample {
  std::optional<std::string> key, value;
  std::int64_t timestamp_ms = 1'700'000'000'000;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};

// A producer; with a transactional id, a transactional one. Every call waits and throws std::runtime_error.
class producer {
public:
  explicit producer(const std::string& transactional_id = {}, const topic_settings& properties = {});
  ~producer();
  producer(const producer&) = delete;
  producer& operator=(const producer&) = delete;

  std::int64_t send(const std::string& topic, int partition, const sample& s); // the offset it got
  // Many values at once, without keys; the first one's offset is returned.
  void send_many(const std::string& topic, int partition, int count, const std::string& prefix);
  void send_nulls(const std::string& topic, int partition, int count);
  void begin();
  void commit();
  void abort();
  void flush();

private:
  void send_each(const std::string& topic, int partition, int count,
                 const std::function<std::optional<std::string>(int)>& value_of);
  void* rk_;
};

// Two megabytes and a half to each partition, in large batches.
constexpr int records_of_fill = 6'000;
void fill(const std::string& topic, int partitions);

// What malloc has handed out, in all threads. Under a sanitizer: 0.
double mib_in_use();

} // namespace chute::test
