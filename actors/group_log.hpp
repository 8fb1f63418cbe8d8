// The group's membership, as the kafka store sees it: state/ knows no librdkafka.
#pragma once

#include "kafka/group.hpp"
#include "state/kafka_store.hpp"

namespace chute {

class group_log final : public offset_log {
public:
  explicit group_log(kafka::group_member& group) : group_(group) {}

  std::vector<entry> committed(const std::vector<place>& places, std::int64_t limit_ms) override {
    std::vector<kafka::topic_partition> wanted;
    for (const auto& p : places) wanted.push_back({p.topic, p.partition});
    std::vector<entry> out;
    for (auto& c : group_.committed(wanted, limit_ms))
      out.push_back({status_of(c.what), c.next, std::move(c.metadata), c.why});
    return out;
  }

  std::vector<answer> write(const std::vector<commit>& commits, std::int64_t limit_ms) override {
    std::vector<kafka::offset_commit> wanted;
    for (const auto& c : commits) wanted.push_back({{c.where.topic, c.where.partition}, c.next, c.metadata});
    std::vector<answer> out;
    for (auto& a : group_.commit(wanted, limit_ms)) out.push_back({status_of(a.status), a.why});
    return out;
  }

private:
  static entry::status status_of(enum kafka::committed_offset::status s) {
    using from = enum kafka::committed_offset::status;
    return s == from::found ? entry::status::found : s == from::none ? entry::status::none : entry::status::failed;
  }
  static answer::status status_of(kafka::commit_status s) {
    switch (s) {
    case kafka::commit_status::ok: return answer::status::ok;
    case kafka::commit_status::refused: return answer::status::refused;
    case kafka::commit_status::rejected: return answer::status::rejected;
    case kafka::commit_status::not_now: return answer::status::not_now;
    case kafka::commit_status::unknown: return answer::status::unknown;
    }
    return answer::status::unknown;
  }

  kafka::group_member& group_;
};

} // namespace chute
