#include "kafka/topic_settings.hpp"

#include "kafka/handle.hpp"

#include <algorithm>

namespace chute::kafka {

namespace {

struct visitor final : handle {
  ~visitor() override {
    if (rk) rd_kafka_destroy(rk);
  }
};

template <class T> using held = std::unique_ptr<T, void (*)(T*)>;

result<std::map<std::string, std::string>> settings_of(visitor& v, rd_kafka_ResourceType_t kind,
                                                       const std::string& name, const std::string& doing,
                                                       std::int64_t limit_ms) {
  held<rd_kafka_AdminOptions_t> options(rd_kafka_AdminOptions_new(v.rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS),
                                        rd_kafka_AdminOptions_destroy);
  char why[256];
  rd_kafka_AdminOptions_set_request_timeout(options.get(), std::max(limit_of(limit_ms), 1), why, sizeof why);
  held<rd_kafka_ConfigResource_t> resource(rd_kafka_ConfigResource_new(kind, name.c_str()),
                                           rd_kafka_ConfigResource_destroy);
  rd_kafka_ConfigResource_t* asked[] = {resource.get()};
  held<rd_kafka_queue_t> queue(rd_kafka_queue_new(v.rk), rd_kafka_queue_destroy);
  rd_kafka_DescribeConfigs(v.rk, asked, 1, options.get(), queue.get());
  // It keeps to its limit by itself.
  held<rd_kafka_event_t> event(rd_kafka_queue_poll(queue.get(), limit_of(limit_ms) + 1'000), rd_kafka_event_destroy);
  const auto* answer = event ? rd_kafka_event_DescribeConfigs_result(event.get()) : nullptr;
  if (!answer) return make_error(RD_KAFKA_RESP_ERR__TIMED_OUT, doing);
  if (auto code = rd_kafka_event_error(event.get()))
    return make_error(code, doing, rd_kafka_event_error_string(event.get()));
  std::size_t topics = 0;
  const auto** resources = rd_kafka_DescribeConfigs_result_resources(answer, &topics);
  std::map<std::string, std::string> out;
  for (std::size_t i = 0; i < topics; ++i) {
    if (auto code = rd_kafka_ConfigResource_error(resources[i]))
      return make_error(code, doing, rd_kafka_ConfigResource_error_string(resources[i]));
    std::size_t count = 0;
    const auto** entries = rd_kafka_ConfigResource_configs(resources[i], &count);
    for (std::size_t k = 0; k < count; ++k)
      if (const char* value = rd_kafka_ConfigEntry_value(entries[k]))
        out[rd_kafka_ConfigEntry_name(entries[k])] = value;
  }
  return out;
}

} // namespace

result<std::map<std::string, std::string>> topic_settings(const client_options& client, const std::string& topic,
                                                          std::int64_t limit_ms) {
  visitor v;
  if (auto opened = open_handle(v, client, {}, {{"enable.auto.commit", "false"}}); !opened) return opened.failure();
  return settings_of(v, RD_KAFKA_RESOURCE_TOPIC, topic, "reading the settings of topic " + topic, limit_ms);
}

result<std::map<std::string, std::string>> broker_settings(const client_options& client, std::int64_t limit_ms) {
  visitor v;
  if (auto opened = open_handle(v, client, {}, {{"enable.auto.commit", "false"}}); !opened) return opened.failure();
  const std::string doing = "reading the settings of a broker";
  const auto id = rd_kafka_controllerid(v.rk, limit_of(limit_ms));
  if (id < 0) return make_error(RD_KAFKA_RESP_ERR__TIMED_OUT, doing);
  return settings_of(v, RD_KAFKA_RESOURCE_BROKER, std::to_string(id), doing, limit_ms);
}

} // namespace chute::kafka
