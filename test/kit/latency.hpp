// How long after it was produced a single record can be seen in the table.
#pragma once

#include "test/kit/clickhouse.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace chute::kit {

struct latency_plan {
  std::string brokers, topic, table;
  clickhouse_address server;
  int count = 30;
  int gap_ms = 100;      // rest between two records; the next one waits until the one before was seen
  int limit_ms = 30'000; // a record that is not seen by then is a failure
  std::uint64_t seed = 1;
};

struct latencies {
  std::vector<double> ms;        // sorted
  double at(double share) const; // 0.5: the median
};

// Produces `small` records. Throws failure if one is not seen in time.
latencies measure_latency(const latency_plan& plan);

} // namespace chute::kit
