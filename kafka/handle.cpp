#include "kafka/handle.hpp"

#include "core/topology_rules.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <ctime>
#include <mutex>

namespace chute::kafka {

std::string to_string(const topic_partition& p) { return p.topic + "/" + std::to_string(p.partition.value); }

void drop_left(rd_kafka_topic_t* topic, partition_id partition) {
  std::array<rd_kafka_message_t*, 16> some{};
  for (auto n = std::ssize(some); n == std::ssize(some);) { // what is outdated is dropped on the way
    n = rd_kafka_consume_batch(topic, partition.value, 0, some.data(), some.size());
    for (ssize_t i = 0; i < n; ++i) rd_kafka_message_destroy(some[static_cast<std::size_t>(i)]);
  }
}

std::int64_t now_ms() {
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);
  return std::int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

int limit_of(std::int64_t ms) { return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 3'600'000)); }

partition_list make_list(std::size_t size) {
  return partition_list(rd_kafka_topic_partition_list_new(static_cast<int>(size)));
}

partition_list make_list(const std::vector<topic_partition>& partitions) {
  auto list = make_list(partitions.size());
  for (const auto& p : partitions) rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.partition.value);
  return list;
}

void set_metadata(rd_kafka_topic_partition_t& p, const std::string& text) {
  if (text.empty()) return;
  p.metadata = std::malloc(text.size());
  p.metadata_size = text.size();
  std::copy(text.begin(), text.end(), static_cast<char*>(p.metadata));
}

std::vector<topic_partition> partitions_of(const rd_kafka_topic_partition_list_t* list) {
  std::vector<topic_partition> out;
  for (int i = 0; list && i < list->cnt; ++i) out.push_back({list->elems[i].topic, {list->elems[i].partition}});
  return out;
}

namespace {

const char* way_out_of(rd_kafka_resp_err_t code) {
  switch (code) {
  case RD_KAFKA_RESP_ERR__TRANSPORT:
  case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
  case RD_KAFKA_RESP_ERR__RESOLVE:
  case RD_KAFKA_RESP_ERR__TIMED_OUT: return "see that the brokers under kafka.brokers run and can be reached";
  case RD_KAFKA_RESP_ERR__AUTHENTICATION:
  case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED: return "correct the sasl properties under kafka.properties";
  case RD_KAFKA_RESP_ERR__SSL: return "correct the ssl properties under kafka.properties";
  case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED: return "grant this user Read and Describe on the topic";
  case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED: return "grant this user Read and Describe on the group";
  case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return "grant this user Describe on the cluster";
  case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
  case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
  case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return "create the topic, or correct topics";
  case RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE:
    return "set offset.metadata.max.bytes to 4096 or more on the brokers, or choose another state store";
  case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
    return "another client with another assignor uses this group: give the pipeline a group of its own";
  case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED: return "the process was stalled; it joins again by itself";
  default: return "";
  }
}

log_level level_of(int syslog) {
  return syslog <= 3   ? log_level::error
         : syslog == 4 ? log_level::warning
         : syslog <= 6 ? log_level::info
                       : log_level::debug;
}

// librdkafka quotes a value that it does not like; that of a secret must not reach a log.
bool may_be_secret(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  static constexpr std::array words = {"password", "secret", "pem", "oauthbearer.config", "key"};
  return std::any_of(words.begin(), words.end(), [&](const char* w) { return name.find(w) != std::string::npos; });
}

void keep_for_ever(rd_kafka_conf_t* conf) {
  static std::mutex lock;
  static std::vector<rd_kafka_conf_t*> kept;
  std::lock_guard hold(lock);
  kept.push_back(conf);
}

using conf_ptr = std::unique_ptr<rd_kafka_conf_t, decltype(&rd_kafka_conf_destroy)>;

result<void> set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  std::array<char, 512> why{};
  auto done = rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why.data(), why.size());
  if (done == RD_KAFKA_CONF_OK) return {};
  if (done == RD_KAFKA_CONF_UNKNOWN)
    return error{"kafka", "librdkafka has no property '" + name + "'", "correct its name under kafka.properties"};
  return error{"kafka", "property '" + name + "'" + (may_be_secret(name) ? "" : std::string(": ") + why.data()),
               "correct its value under kafka.properties"};
}

result<void> set_all(rd_kafka_conf_t* conf, const settings& list) {
  for (const auto& [name, value] : list)
    if (auto done = set(conf, name, value); !done) return done;
  return {};
}

result<void> set_users(rd_kafka_conf_t* conf, const client_options& options) {
  for (const auto& [name, value] : options.properties) {
    if (const auto* owned = find_owned(owned_kafka_properties, name))
      return error{"kafka", "the property '" + name + "' belongs to the engine", std::string(owned->why)};
    if (auto done = set(conf, name, value); !done) return done;
  }
  return {};
}

} // namespace

void write_log(const rd_kafka_t* rk, int level, const char* what, const char* text) {
  // Set by us, and meant: what is consumed beside a group has no offsets to be stored.
  if (std::string_view(what) == "CONFWARN" &&
      std::string_view(text).find("offset.store.method") != std::string_view::npos)
    return;
  auto* h = static_cast<handle*>(rd_kafka_opaque(rk));
  if (h && h->log) h->log(level_of(level), std::string(what) + ": " + text);
}

error make_error(rd_kafka_resp_err_t code, const std::string& doing, const std::string& detail) {
  std::string cause = doing + ": " + (detail.empty() ? rd_kafka_err2str(code) : detail);
  return {"kafka", cause + " [" + rd_kafka_err2name(code) + "]", way_out_of(code)};
}

result<void> open_handle(handle& h, const client_options& options, const settings& defaults, const settings& needed,
                         void (*callbacks)(rd_kafka_conf_t*), void (*interceptors)(rd_kafka_conf_t*)) {
  if (options.brokers.empty()) return error{"kafka", "no brokers are named", "write kafka.brokers"};
  conf_ptr conf(rd_kafka_conf_new(), rd_kafka_conf_destroy);
  const settings ours = {{"client.id", "chute"},
                         {"socket.keepalive.enable", "true"},
                         {"socket.nagle.disable", "true"},
                         {"reconnect.backoff.max.ms", "2000"}, // lanes wait for it after a broker's restart
                         {"log.connection.close", "false"}};   // idle connections are closed by brokers all the time
  const settings fixed = {{"bootstrap.servers", options.brokers},
                          // These would fill a queue that nobody empties.
                          {"statistics.interval.ms", "0"},
                          {"log.queue", "false"},
                          {"enabled_events", "0"}};
  if (auto done = set_all(conf.get(), ours); !done) return done;
  if (auto done = set_all(conf.get(), defaults); !done) return done;
  if (auto done = set_users(conf.get(), options); !done) return done;
  if (auto done = set_all(conf.get(), fixed); !done) return done;
  if (auto done = set_all(conf.get(), needed); !done) return done;
  h.log = options.log;
  rd_kafka_conf_set_opaque(conf.get(), &h);
  rd_kafka_conf_set_log_cb(conf.get(), write_log);
  rd_kafka_conf_enable_sasl_queue(conf.get(), 1); // tokens are renewed in the background, whoever polls or not
  if (callbacks) callbacks(conf.get());
  if (interceptors) interceptors(conf.get());
  std::array<char, 512> why{};
  h.rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), why.data(), why.size());
  // librdkafka frees interceptors when it cannot make a handle, and again with the configuration, which then is kept.
  if (!h.rk && interceptors) keep_for_ever(conf.release());
  if (!h.rk) return error{"kafka", std::string("no client can be made: ") + why.data(), "correct kafka.properties"};
  conf.release(); // it belongs to the handle now
  if (auto* e = rd_kafka_sasl_background_callbacks_enable(h.rk)) rd_kafka_error_destroy(e); // no SASL: nothing to renew
  return {};
}

} // namespace chute::kafka
