// `chute check` and Kafka: topics, logs, what is delivered of them, and the settings that decide how long they wait.
#include "actors/inspect_parts.hpp"
#include "core/record.hpp"
#include "core/text.hpp"
#include "core/way_out.hpp"
#include "kafka/offsets.hpp"
#include "kafka/topic_settings.hpp"

#include <algorithm>
#include <chrono>

namespace chute {

namespace {

using severity = enum finding::severity;
constexpr std::int64_t limit_ms = inspect_limit_ms;

constexpr std::int64_t revoke_limit_ms = 60'000; // of the pipeline, for lanes that are taken away
constexpr std::int64_t day_ms = 86'400'000;
constexpr std::uint64_t small_log = 256ull << 20;
constexpr const char* kafka_trouble = "see the brokers' logs, and kafka: in the topology";

std::string topic_of(const context_ptr& c, const std::string& topic) {
  return "pipeline " + c->config.name + ": kafka: topic " + topic;
}

// Of records that check_lanes() cannot look at, as a host keeps them, by the group's offset, which is a note of theirs.
// It tells of no open plan.
void check_position(const context_ptr& c, const kafka::topic_partition& p, const kafka::log_bounds& log,
                    const kafka::committed_offset& committed, std::vector<finding>& out) {
  auto where = "pipeline " + c->config.name + ": kafka: " + kafka::to_string(p);
  if (committed.what != kafka::committed_offset::status::found) return;
  auto next = committed.next;
  const auto reset = [&](const std::string& to) {
    return state_of{c->file, c->config.name, p.topic}.reset(of_partition(p.partition) + to);
  };
  const bool stops = c->config.on_data_loss == data_loss_policy::stop;
  if (next < log.begin)
    out.push_back({stops ? severity::error : severity::warning, where,
                   "retention deleted offsets " + std::to_string(next.value) + " to " +
                       std::to_string(log.begin.value - 1) + " before they were delivered",
                   stops ? "start the pipeline: its lane stops, and names the command that goes on without them"
                         : "raise retention.ms: with on_data_loss: continue they are counted as lost"});
  else if (log.end < next)
    out.push_back({severity::error, where,
                   "the log ends at " + std::to_string(log.end.value) + ", before the position " +
                       std::to_string(next.value) + ": the topic was truncated or made anew",
                   "of a topic that was made anew, deliver all: " + reset("--to-earliest") +
                       "; of one that was cut short, go on at its end: " +
                       reset("--to-offset " + std::to_string(log.end.value))});
}

std::string alter_topic(const std::string& topic, const std::string& setting) {
  return "kafka-configs.sh --bootstrap-server … --alter --entity-type topics --entity-name " + topic +
         " --add-config " + setting;
}

// Partitions whose oldest record that was not delivered is older than half the retention.
void check_lag(kafka::inspector& k, const context_ptr& c, const kafka::topic_info& t,
               const std::vector<kafka::topic_partition>& parts, const std::vector<kafka::committed_offset>& committed,
               std::int64_t retention_ms, std::vector<finding>& out) {
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  auto half = k.offsets_for_time(parts, now - retention_ms / 2, limit_ms);
  std::string late;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool known = half[i].ok() && committed[i].what == kafka::committed_offset::status::found;
    if (known && committed[i].next < *half[i])
      late += (late.empty() ? "" : ", ") + std::to_string(parts[i].partition.value);
  }
  if (late.empty()) return;
  out.push_back({severity::warning, "pipeline " + c->config.name + ": kafka: topic " + t.name,
                 "in partitions " + late +
                     " the oldest record that is not delivered is older than half the retention (" +
                     format_duration(retention_ms) + "): Kafka may delete it first",
                 alter_topic(t.name, "retention.ms=" + std::to_string(retention_ms * 4))});
}

std::optional<std::int64_t> number_of(const std::map<std::string, std::string>& settings, const char* name) {
  const auto s = settings.find(name);
  return s == settings.end() ? std::nullopt : parse_integer(s->second);
}

// How long records wait for us.
void check_keeping(const std::string& where, const std::string& topic,
                   const std::map<std::string, std::string>& settings, std::vector<finding>& out) {
  const auto retention_ms = number_of(settings, "retention.ms").value_or(-1);
  if (retention_ms >= 0 && retention_ms < day_ms)
    out.push_back({severity::warning, where,
                   "it keeps records for " + format_duration(retention_ms) +
                       ": if ClickHouse or chute is away for longer, they are lost",
                   alter_topic(topic, "retention.ms=" + std::to_string(7 * day_ms))});
  if (auto policy = settings.find("cleanup.policy");
      policy != settings.end() && policy->second.find("compact") != std::string::npos)
    out.push_back({severity::warning, where,
                   "it is compacted (cleanup.policy=" + policy->second +
                       "): a record that is replaced before it is read is never delivered",
                   alter_topic(topic, "cleanup.policy=delete")});
  if (const auto bytes = number_of(settings, "retention.bytes"); bytes && *bytes >= 0) {
    const bool small = static_cast<std::uint64_t>(*bytes) < small_log;
    out.push_back(
        {small ? severity::warning : severity::info, where,
         "it keeps " +
             (small ? "only " + format_size(static_cast<std::uint64_t>(*bytes)) : std::to_string(*bytes) + " bytes") +
             " a partition (retention.bytes): how long that lasts depends on the producers",
         alter_topic(topic, "retention.bytes=-1")});
  }
}

void check_settings(const context_ptr& c, const kafka::topic_info& t,
                    const std::map<std::string, std::string>& settings, std::vector<finding>& out) {
  const auto where = topic_of(c, t.name);
  check_keeping(where, t.name, settings, out);
  if (auto unclean = settings.find("unclean.leader.election.enable");
      unclean != settings.end() && unclean->second == "true")
    out.push_back({severity::warning, where,
                   "a replica that lags may become leader (unclean.leader.election.enable=true): records that were "
                   "delivered are then gone from the log, others stand at their offsets, and lanes stop",
                   alter_topic(t.name, "unclean.leader.election.enable=false")});
  const auto largest = number_of(settings, "max.message.bytes");
  if (!largest || *largest <= 0) return;
  const auto bytes = static_cast<std::uint64_t>(*largest);
  const auto lanes = static_cast<std::uint64_t>(lanes_of(c->config, t));
  const auto memory = c->top.memory_bytes;
  if (bytes <= memory / 4 && bytes * lanes <= memory) return;
  constexpr std::uint64_t mib = 1 << 20;
  const auto enough = (std::max(bytes * lanes, 4 * bytes) + mib - 1) / mib;
  out.push_back({severity::warning, where,
                 "its records may have up to " + format_size(bytes) + " each (max.message.bytes), and memory: has " +
                     format_size(memory) + " for " + std::to_string(lanes) + (lanes == 1 ? " lane" : " lanes") +
                     ": a record that is larger than a quarter of it stops its lane, and all lanes hold one at once",
                 "memory: " + std::to_string(enough) + "MiB, or " + alter_topic(t.name, "max.message.bytes=1048588")});
}

// --- the group -------------------------------------------------------------------------------------------------------

std::int64_t property(const context_ptr& c, const char* name, std::int64_t otherwise) {
  const auto& all = c->top.kafka.properties;
  const auto p = all.find(name);
  return p == all.end() ? otherwise : parse_integer(p->second).value_or(otherwise);
}

// Times that the group's coordinator refuses, or that make it take lanes away for nothing.
void check_times(const context_ptr& c, std::vector<finding>& out) {
  const auto session = session_timeout_of(c->top);
  const auto beat = property(c, "heartbeat.interval.ms", 3'000), poll = property(c, "max.poll.interval.ms", 300'000);
  const auto tell = [&](severity level, const std::string& reason, const std::string& mend) {
    out.push_back({level, "kafka: properties", reason, "kafka.properties: " + mend});
  };
  if (beat >= session)
    tell(severity::error,
         "heartbeat.interval.ms (" + std::to_string(beat) + ") is not below session.timeout.ms (" +
             std::to_string(session) + "): the group takes each process for dead between two heartbeats",
         "heartbeat.interval.ms: " + std::to_string(std::max<std::int64_t>(1, session / 3)));
  if (poll < 2 * revoke_limit_ms)
    tell(severity::warning,
         "max.poll.interval.ms (" + std::to_string(poll) + ") is less than twice the " +
             format_duration(revoke_limit_ms) +
             " for which lanes that are taken away may finish: the group could give them on meanwhile",
         "max.poll.interval.ms: 300000");
  const auto broker = kafka::broker_settings(c->kafka_client(), limit_ms);
  if (!broker.ok()) return; // without the right to see them, run says what the group answers
  const auto least = number_of(*broker, "group.min.session.timeout.ms"),
             most = number_of(*broker, "group.max.session.timeout.ms");
  if ((least && session < *least) || (most && session > *most))
    tell(severity::error,
         "the brokers take a session.timeout.ms of " + std::to_string(least.value_or(0)) + " to " +
             std::to_string(most.value_or(INT64_MAX)) + ", not " + std::to_string(session) +
             ": nobody can join the group",
         "session.timeout.ms: " + std::to_string(std::clamp(session, least.value_or(0), most.value_or(INT64_MAX))));
  if (c->top.state.store == store_kind::kafka) check_offset_settings(*broker, out);
}

// Others in the group: they are given partitions whose lanes then run nowhere.
void check_members(kafka::inspector& k, const context_ptr& c, std::vector<finding>& out) {
  const auto where = "pipeline " + c->config.name + ": kafka: group " + c->config.group;
  const auto members = k.group_members(c->config.group, limit_ms);
  if (!members.ok()) return out.push_back(finding_of(severity::error, where, members.failure(), kafka_trouble));
  const auto own = c->top.kafka.properties.find("client.id");
  std::vector<kafka::group_member_info> others;
  for (const auto& m : *members)
    if (m.client_id != "chute" && (own == c->top.kafka.properties.end() || m.client_id != own->second))
      others.push_back(m);
  if (others.empty()) return;
  const auto& assignor = others.front().assignor;
  const bool odd = !assignor.empty() && assignor != "roundrobin";
  out.push_back({odd ? severity::error : severity::warning, where,
                 "others than chute are in the group (" + kafka::to_string(others) + ")" +
                     (odd ? ", with the assignor " + assignor + ": chute cannot join it"
                          : ": the group gives them partitions, which chute then does not deliver"),
                 "group: one of the pipeline's own, such as chute-" + c->config.name});
}

} // namespace

// --- the topics ------------------------------------------------------------------------------------------------------

std::vector<kafka::topic_info> check_topics(kafka::inspector& k, const pipeline_config& p, std::vector<finding>& out) {
  auto where = "pipeline " + p.name + ": kafka";
  auto topics = k.topics(p.topics, limit_ms);
  if (!topics.ok()) {
    out.push_back(finding_of(severity::error, where, topics.failure(), kafka_trouble));
    return {};
  }
  std::vector<kafka::topic_info> found;
  for (auto& t : *topics)
    if (t.failure) out.push_back(finding_of(severity::error, where + ": topic " + t.name, *t.failure, kafka_trouble));
    else found.push_back(t);
  if (topics->empty())
    out.push_back(
        {severity::error, where, "no topic matches " + p.topics.front(), "create the topic, or mend topics:"});
  return found;
}

void check_offset_settings(const std::map<std::string, std::string>& broker, std::vector<finding>& out) {
  constexpr std::int64_t week_minutes = 7 * 24 * 60, minute_ms = 60'000; // a week: Kafka's default since 2.0
  const std::string where = "kafka: the brokers' settings";
  const auto kept = number_of(broker, "offsets.retention.minutes");
  if (kept && *kept < week_minutes)
    out.push_back({severity::warning, where,
                   "offsets of a group that is empty are kept for " + format_duration(*kept * minute_ms) +
                       " (offsets.retention.minutes=" + std::to_string(*kept) +
                       "): they are the state, and gone after a stop that is longer",
                   "offsets.retention.minutes=" + std::to_string(week_minutes) +
                       " or more on the brokers, or another state store"});
  const auto bytes = number_of(broker, "offset.metadata.max.bytes");
  if (bytes && *bytes < static_cast<std::int64_t>(record_text_max))
    out.push_back({severity::error, where,
                   "they take " + std::to_string(*bytes) +
                       " bytes of metadata with an offset (offset.metadata.max.bytes), and a lane's record may have " +
                       std::to_string(record_text_max) + ": a larger one is refused, and its lane stops",
                   "offset.metadata.max.bytes=4096 or more on the brokers, or another state store"});
}

void check_group(kafka::inspector& k, const context_ptr& c, std::vector<finding>& out) {
  check_times(c, out);
  check_members(k, c, out);
}

void check_topic(kafka::inspector& k, const context_ptr& c, const kafka::topic_info& t, std::vector<finding>& out) {
  std::vector<kafka::topic_partition> parts;
  for (std::int32_t i = 0; i < t.partitions; ++i) parts.push_back({t.name, {i}});
  auto bounds = k.bounds(parts, limit_ms);
  auto committed = kafka::read_offsets(c->kafka_client(), c->config.group, parts, limit_ms);
  using status = enum kafka::committed_offset::status;
  for (const auto& o : committed)
    if (o.what == status::failed) {
      const auto why = o.why.value_or(error{"kafka", "no answer", ""});
      out.push_back(finding_of(severity::error, "pipeline " + c->config.name + ": kafka: group " + c->config.group, why,
                               "grant this user Read and Describe on the group"));
      break;
    }
  const bool hosts = c->top.state.store == store_kind::own; // else check_lanes() compares the records themselves
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (!bounds[i].ok())
      out.push_back(finding_of(severity::error, "pipeline " + c->config.name + ": kafka: " + kafka::to_string(parts[i]),
                               bounds[i].failure(), kafka_trouble));
    else if (hosts) check_position(c, parts[i], *bounds[i], committed[i], out);
  auto settings = kafka::topic_settings(c->kafka_client(), t.name, limit_ms);
  if (!settings.ok())
    return out.push_back({severity::info, topic_of(c, t.name),
                          "how long it keeps records cannot be seen: " + settings.failure().cause,
                          "grant DESCRIBE_CONFIGS on the topic"});
  const auto retention_ms = number_of(*settings, "retention.ms").value_or(-1); // for ever
  if (retention_ms > 0) check_lag(k, c, t, parts, committed, retention_ms, out);
  check_settings(c, t, *settings, out);
}

} // namespace chute
