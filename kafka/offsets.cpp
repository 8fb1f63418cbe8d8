#include "kafka/offsets.hpp"

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

} // namespace chute::kafka
