// What the actors of one pipeline share. Set once, before they are spawned, or guarded.
#pragma once

#include "actors/clock.hpp"
#include "actors/extensions.hpp"
#include "actors/messages.hpp"
#include "actors/status_board.hpp"
#include "core/topology.hpp"
#include "formats/schema_cache.hpp"
#include "kafka/client.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <spdlog/spdlog.h>
#include <string>
#include <utility>

namespace chute {

class destination;

// Which pipeline of this process writes a topic into a table. Patterns show only while they run what they meet in.
class table_claims {
public:
  // Another pipeline that has it already, or empty: it is this one's now.
  std::string take(const std::string& table, const std::string& topic, const std::string& pipeline) {
    const std::lock_guard hold(mutex_);
    // Whoever writes a topic elsewhere now, after a reload, does not write it there any more.
    std::erase_if(owners_, [&](const auto& o) {
      return o.second == pipeline && o.first.second == topic && o.first.first != table;
    });
    const auto [at, fresh] = owners_.emplace(std::pair(table, topic), pipeline);
    return fresh || at->second == pipeline ? std::string() : at->second;
  }
  // A pipeline that has ended keeps what it wrote: another that took it up would send all of it again. Only one that
  // begins without a topic, or is gone from the topology, gives it free.
  void keep_only(const std::string& pipeline, const std::set<std::string>& topics) {
    const std::lock_guard hold(mutex_);
    std::erase_if(owners_, [&](const auto& o) { return o.second == pipeline && !topics.contains(o.first.second); });
  }

private:
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::string> owners_;
};

// One pipeline.
struct pipeline_context {
  topology top;
  pipeline_config config;
  std::string file = "FILE"; // of the topology: commands that a message names hold it
  bool until_end = false;
  std::shared_ptr<spdlog::logger> log;
  std::shared_ptr<status_board> board;
  std::shared_ptr<table_claims> claims = std::make_shared<table_claims>(); // the engine's
  std::shared_ptr<server_clock> clock = std::make_shared<server_clock>();
  std::shared_ptr<shared_answering> answering = std::make_shared<shared_answering>(); // the servers, all of them
  // Whether a client of Kafka could be made with these settings.
  std::shared_ptr<std::atomic<bool>> kafka_settings_work = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<schema_cache> schemas = std::make_shared<schema_cache>(); // of the registry
  std::shared_ptr<const std::map<std::string, decoder_kind>> decoders;      // the host's; null: none
  std::shared_ptr<void> alive; // held by all of the pipeline's actors; its deleter tells the engine that they ended
  std::size_t pipelines = 1;   // that share the memory of this process
  std::string cluster_id;      // of Kafka; set once it is known, before any lane exists
  std::int64_t session_timeout_ms = 45'000;
  // By the engine, which has ended the pipeline: requests to ClickHouse that its workers still wait for are cut off.
  std::shared_ptr<std::atomic<bool>> given_up = std::make_shared<std::atomic<bool>>(false);

  kafka::client_options kafka_client() const {
    kafka::client_options o;
    o.brokers = top.kafka.brokers;
    o.properties = top.kafka.properties;
    o.log = [log = log](kafka::log_level l, const std::string& line) {
      log->log(l == kafka::log_level::error     ? spdlog::level::warn // librdkafka goes on by itself
               : l == kafka::log_level::warning ? spdlog::level::info
                                                : spdlog::level::debug,
               "kafka: {}", line);
    };
    return o;
  }
};
using context_ptr = std::shared_ptr<const pipeline_context>;

// As a lane's record names Kafka's cluster.
std::uint64_t cluster_hash(const pipeline_context& c);
// The member's, as the topology says: how long a group waits for one that is silent.
std::int64_t session_timeout_of(const topology& t);

// The actors that serve the lanes of one pipeline.
struct services {
  pipeline_actor pipeline;
  keeper_actor keeper;
  // Clerks answer lanes; rounds go from topic to topic; helpers fetch schemas and add columns. None holds up another.
  pool_actor inserters, clerks, rounds, helpers;
  std::vector<converter_actor> converters; // a partition always uses the same one: its chunks stay in order
  std::shared_ptr<kafka::fetcher> fetcher;
};

} // namespace chute
