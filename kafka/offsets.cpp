#include "kafka/offsets.hpp"

#include "kafka/commit_rules.hpp"
#include "kafka/handle.hpp"

namespace chute::kafka {

namespace {

// A consumer that never subscribes: the group does not see it.
struct visitor final : handle {
  ~visitor() override {
    if (rk) rd_kafka_destroy(rk);
  }
};

committed_offset convert(const rd_kafka_topic_partition_t& e, const std::string& doing) {
  committed_offset out;
  if (e.err) out.why = make_error(e.err, doing);
  else if (e.offset < 0) out.what = committed_offset::status::none;
  else {
    out.what = committed_offset::status::found;
    out.next = {e.offset};
    if (e.metadata) out.metadata.assign(static_cast<const char*>(e.metadata), e.metadata_size);
  }
  return out;
}

} // namespace

std::vector<committed_offset> read_offsets(const client_options& client, const std::string& group,
                                           const std::vector<topic_partition>& partitions, std::int64_t limit_ms) {
  std::vector<committed_offset> out(partitions.size());
  auto all_failed = [&](const error& why) {
    for (auto& c : out) c.why = why;
    return out;
  };
  visitor v;
  if (auto r = open_handle(v, client, {}, {{"group.id", group}, {"enable.auto.commit", "false"}}); !r.ok())
    return all_failed(r.failure());
  auto doing = "reading the committed offsets of group " + group;
  auto list = make_list(partitions);
  if (auto code = rd_kafka_committed(v.rk, list.get(), limit_of(limit_ms))) return all_failed(make_error(code, doing));
  for (std::size_t i = 0; i < partitions.size(); ++i)
    if (auto* e =
            rd_kafka_topic_partition_list_find(list.get(), partitions[i].topic.c_str(), partitions[i].partition.value))
      out[i] = convert(*e, doing);
  return out;
}

namespace {

// The answer to one commit, taken from librdkafka's event.
void take_answers(const rd_kafka_event_t* e, const std::string& doing, std::vector<commit_answer>& out) {
  const auto whole = rd_kafka_event_error(const_cast<rd_kafka_event_t*>(e));
  auto* list = rd_kafka_event_topic_partition_list(const_cast<rd_kafka_event_t*>(e));
  for (auto& a : out) {
    auto* p = list ? rd_kafka_topic_partition_list_find(list, a.where.topic.c_str(), a.where.partition.value) : nullptr;
    const auto own = p && p->err ? p->err : whole;
    a.status = judge_commit(whole, own);
    a.why.reset();
    if (a.status != commit_status::ok) a.why = make_error(own, doing + " of " + to_string(a.where));
  }
}

struct queue_deleter {
  void operator()(rd_kafka_queue_t* q) const { rd_kafka_queue_destroy(q); }
};
struct event_deleter {
  void operator()(rd_kafka_event_t* e) const { rd_kafka_event_destroy(e); }
};

} // namespace

std::vector<commit_answer> write_offsets(const client_options& client, const std::string& group,
                                         const std::vector<offset_commit>& offsets, std::int64_t limit_ms) {
  const auto doing = "committing offsets of group " + group;
  std::vector<commit_answer> out;
  for (const auto& o : offsets)
    out.push_back({o.where, commit_status::unknown, error{"kafka", doing + ": no answer", "try again"}});
  if (offsets.empty()) return out;
  visitor v;
  if (auto r = open_handle(v, client, {}, {{"group.id", group}, {"enable.auto.commit", "false"}}); !r.ok()) {
    for (auto& a : out) a = {a.where, commit_status::rejected, r.failure()};
    return out;
  }
  auto list = make_list(offsets.size());
  for (const auto& o : offsets) {
    auto* p = rd_kafka_topic_partition_list_add(list.get(), o.where.topic.c_str(), o.where.partition.value);
    p->offset = o.next.value;
    p->err = RD_KAFKA_RESP_ERR__STATE; // stays if the broker's answer leaves the partition out: unknown
    set_metadata(*p, o.metadata);
  }
  std::unique_ptr<rd_kafka_queue_t, queue_deleter> queue(rd_kafka_queue_new(v.rk));
  if (auto code = rd_kafka_commit_queue(v.rk, list.get(), queue.get(), nullptr, nullptr)) {
    for (auto& a : out) a = {a.where, commit_status::rejected, make_error(code, doing)};
    return out;
  }
  const auto until = now_ms() + limit_ms;
  while (now_ms() < until) {
    std::unique_ptr<rd_kafka_event_t, event_deleter> e(rd_kafka_queue_poll(queue.get(), limit_of(until - now_ms())));
    if (!e || rd_kafka_event_type(e.get()) != RD_KAFKA_EVENT_OFFSET_COMMIT) continue;
    take_answers(e.get(), doing, out);
    break;
  }
  return out;
}

} // namespace chute::kafka
