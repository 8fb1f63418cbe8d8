#include "test/kit/latency.hpp"

#include "test/kit/kafka.hpp"
#include "test/kit/records.hpp"

#include <algorithm>
#include <thread>

namespace chute::kit {
namespace {

struct placed {
  bool done = false;
  int partition = 0;
  std::int64_t offset = 0;
  rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* m, void*) {
  *static_cast<placed*>(m->_private) = {true, m->partition, m->offset, m->err};
}

} // namespace

double latencies::at(double share) const {
  const auto last = static_cast<double>(ms.size() - 1);
  return ms.at(static_cast<std::size_t>(share * last + 0.5));
}

latencies measure_latency(const latency_plan& plan) {
  kafka_handle producer = make_producer(plan.brokers, {{"linger.ms", "0"}, {"acks", "all"}}, on_delivery, nullptr);
  const int partitions = partition_count(producer.get(), plan.topic);
  topic_handle topic(rd_kafka_topic_new(producer.get(), plan.topic.c_str(), nullptr));
  clickhouse server(plan.server);
  record_maker maker({shape::small, plan.seed, 100, 0});
  made_record made;
  dice d(plan.seed);
  latencies out;
  for (int i = 0; i < plan.count && !interrupted; i++) {
    maker.make(static_cast<std::uint64_t>(i), made);
    placed where;
    const double start = seconds_now(), give_up = start + plan.limit_ms / 1e3;
    const int partition = static_cast<int>(d.below(static_cast<std::uint64_t>(partitions)));
    if (rd_kafka_produce(topic.get(), partition, RD_KAFKA_MSG_F_COPY, made.value.data(), made.value.size(), nullptr, 0,
                         &where)) {
      throw failure(std::string("latency: ") + rd_kafka_err2str(rd_kafka_last_error()));
    }
    while (!where.done && seconds_now() < give_up) rd_kafka_poll(producer.get(), 10);
    if (!where.done) { // the callback must not write into a frame that is gone
      rd_kafka_purge(producer.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
      rd_kafka_flush(producer.get(), 5'000);
    }
    if (!where.done || where.err) throw failure("latency: a record was not delivered to " + plan.topic);
    const std::string question = "SELECT count() FROM " + plan.table +
                                 " WHERE _partition = " + std::to_string(where.partition) +
                                 " AND _offset = " + std::to_string(where.offset);
    for (double asked = seconds_now(); !server.number(question); asked = seconds_now()) {
      if (seconds_now() > give_up) {
        throw failure("latency: " + plan.topic + "/" + std::to_string(where.partition) + " offset " +
                      std::to_string(where.offset) + " is not in " + plan.table + " after " +
                      std::to_string(plan.limit_ms) + " ms");
      }
      // A rest, so that the asking does not take the processor from what is asked about: half of the time at most.
      std::this_thread::sleep_for(std::chrono::duration<double>(std::max(3e-3, seconds_now() - asked)));
    }
    out.ms.push_back((seconds_now() - start) * 1e3);
    std::this_thread::sleep_for(std::chrono::milliseconds(d.below(static_cast<std::uint64_t>(plan.gap_ms) + 1)));
  }
  std::sort(out.ms.begin(), out.ms.end());
  return out;
}

} // namespace chute::kit
