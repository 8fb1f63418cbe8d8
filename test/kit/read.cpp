#include "test/kit/read.hpp"

namespace chute::kit {
namespace {

class reading {
public:
  reading(const std::string& topic, const std::vector<log_bounds>& ranges) : topic_(topic), ranges_(ranges) {
    done_.resize(ranges.size());
    for (std::size_t p = 0; p < ranges.size(); p++) {
      done_[p] = ranges[p].begin >= ranges[p].end;
      open_ += !done_[p];
    }
  }
  std::size_t open() const { return open_; }

  // Those that are not done yet, from their begin.
  partition_list wanted() const {
    partition_list all(rd_kafka_topic_partition_list_new(static_cast<int>(ranges_.size())));
    for (std::size_t p = 0; p < ranges_.size(); p++) {
      if (done_[p]) continue;
      rd_kafka_topic_partition_list_add(all.get(), topic_.c_str(), static_cast<int>(p))->offset = ranges_[p].begin;
    }
    return all;
  }

  void pass(const rd_kafka_message_t& m, const std::function<void(const rd_kafka_message_t&)>& take) {
    if (m.err && m.err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      // Brokers that come and go are librdkafka's own business; a lost partition is not.
      if (m.err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || m.err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) {
        throw failure("kafka: reading " + topic_ + ": " + rd_kafka_message_errstr(&m));
      }
      return;
    }
    const auto p = static_cast<std::size_t>(m.partition);
    if (done_[p]) return;
    if (!m.err && m.offset < ranges_[p].end) take(m);
    // Done when the end is passed: by a record, or by the broker's word that nothing follows.
    const std::int64_t passed = m.err ? m.offset : m.offset + 1;
    if (passed < ranges_[p].end) return;
    done_[p] = true;
    open_--;
  }

private:
  const std::string& topic_;
  const std::vector<log_bounds>& ranges_;
  std::vector<char> done_;
  std::size_t open_ = 0;
};

} // namespace

void read_topic(rd_kafka_t* reader, const std::string& topic, const std::vector<log_bounds>& ranges,
                const std::function<void(const rd_kafka_message_t&)>& take) {
  reading state(topic, ranges);
  if (const auto err = rd_kafka_assign(reader, state.wanted().get())) {
    throw failure("kafka: cannot read " + topic + ": " + rd_kafka_err2str(err));
  }
  std::unique_ptr<rd_kafka_queue_t, with<rd_kafka_queue_t, rd_kafka_queue_destroy>> queue(
      rd_kafka_queue_get_consumer(reader));
  std::vector<rd_kafka_message_t*> batch(10'000);
  constexpr double patience_s = 60;
  for (double give_up = seconds_now() + patience_s; state.open();) {
    if (interrupted) throw failure("kafka: reading " + topic + " was interrupted");
    const ssize_t n = rd_kafka_consume_batch_queue(queue.get(), 500, batch.data(), batch.size());
    if (n > 0) give_up = seconds_now() + patience_s;
    for (ssize_t i = 0; i < n; i++) {
      const std::unique_ptr<rd_kafka_message_t, with<rd_kafka_message_t, rd_kafka_message_destroy>> m(
          batch[static_cast<std::size_t>(i)]);
      state.pass(*m, take);
    }
    if (seconds_now() > give_up) {
      throw failure("kafka: " + topic + " gave nothing for 60 s (is the broker up, or a transaction open?)");
    }
  }
  rd_kafka_assign(reader, nullptr);
}

} // namespace chute::kit
