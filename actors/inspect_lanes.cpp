// The records of lanes, as they lie in their store: `chute state show`, and what `chute check` compares.
#include "actors/inspect_parts.hpp"
#include "actors/open_store.hpp"
#include "actors/quiet_context.hpp"
#include "kafka/offsets.hpp"
#include "state/kafka_store.hpp"
#include "state/offset_note.hpp"

#include <algorithm>

namespace chute {

namespace {

constexpr std::int64_t limit_ms = inspect_limit_ms;
using trouble = enum lane_state_view::trouble;

// Reading only, and without joining: the group must not notice.
class visited_offsets final : public offset_log {
public:
  visited_offsets(kafka::client_options client, std::string group)
      : client_(std::move(client)), group_(std::move(group)) {}
  std::vector<entry> committed(const std::vector<place>& places, std::int64_t limit) override {
    std::vector<kafka::topic_partition> wanted;
    for (const auto& p : places) wanted.push_back({p.topic, p.partition});
    std::vector<entry> out;
    using from = enum kafka::committed_offset::status;
    for (auto& c : kafka::read_offsets(client_, group_, wanted, limit))
      out.push_back({c.what == from::found  ? entry::status::found
                     : c.what == from::none ? entry::status::none
                                            : entry::status::failed,
                     c.next, std::move(c.metadata), c.why});
    return out;
  }
  std::vector<answer> write(const std::vector<commit>& commits, std::int64_t) override {
    return std::vector<answer>(commits.size(), {answer::status::rejected, error{"state", "opened for reading", ""}});
  }

private:
  kafka::client_options client_;
  std::string group_;
};

lane_state_view view_of(const pipeline_config& p, const lane_key& key, const loaded& l) {
  lane_state_view v;
  v.pipeline = p.name;
  v.topic = key.topic;
  v.lane = key.lane;
  const auto fails = [&](trouble why, const std::string& text) {
    v.why = why;
    v.problem = text;
    return v;
  };
  if (!l.foreign.empty()) return fails(trouble::moved, "moved by another tool: " + l.foreign);
  v.failure = l.failure;
  if (l.status == loaded::status::failed)
    return fails(trouble::failed, l.failure ? l.failure->text() : "the state store did not answer");
  if (l.status == loaded::status::absent) return fails(trouble::absent, "no record");
  auto r = decode_record(l.record.text);
  if (!r.ok()) {
    v.failure = r.failure();
    return fails(trouble::unreadable, r.failure().text());
  }
  v.found = true;
  v.record = *std::move(r);
  return v;
}

// What the group's offsets say of the lane beside its record. The seat's belongs to the store that is `kafka`.
void tell_moved(lane_state_view& v, const std::vector<kafka::topic_partition>& parts,
                const std::vector<offset_log::entry>& offsets, bool seat_too) {
  using status = enum offset_log::entry::status;
  const auto tell = [&](trouble why, const std::string& what) {
    if (v.why != trouble::moved) v.why = why;
    v.problem = (v.problem.empty() || v.problem == "no record" ? "" : v.problem + "; ") + what;
  };
  for (std::size_t n = 0; n < offsets.size(); ++n) {
    const auto& f = offsets[n];
    const bool seat = seat_too && n == 0;
    const auto where = kafka::to_string(parts[n + (seat_too ? 0 : 1)]);
    if (f.what == status::failed) {
      if (f.why) v.failure = f.why;
      tell(trouble::failed,
           "the group's offset of " + where + " could not be read" + (f.why ? ": " + f.why->text() : ""));
    } else if (f.what == status::found && moved_by_another_tool(f.metadata, seat))
      tell(trouble::moved, "moved by another tool: offset " + std::to_string(f.next.value) + " of " + where);
    else if (auto note = f.what == status::found && seat ? seat_note(f.metadata) : std::nullopt)
      v.noted_version = note->version;
  }
}

// Of the lane whose partitions these are.
std::vector<offset_log::place> places_beside(const std::vector<kafka::topic_partition>& parts, bool seat_too) {
  std::vector<offset_log::place> out;
  for (std::size_t n = seat_too ? 0 : 1; n < parts.size(); ++n) out.push_back({parts[n].topic, parts[n].partition});
  return out;
}

std::vector<kafka::topic_partition> partitions_of_lane(const std::string& topic, lane_id lane, std::int32_t lanes,
                                                       std::int32_t partitions) {
  std::vector<kafka::topic_partition> out;
  for (std::size_t n = 0; n < lane_partition_count(lane, lanes, partitions); ++n)
    out.push_back({topic, lane_partition_id(lane, lanes, n)});
  return out;
}

// How many lanes there are was decided at the first start, and any of their records says it; the topology's word may be
// another since.
std::pair<std::vector<lane_key>, std::vector<loaded>> load_lanes(store& from, const lane_key& of, std::int32_t lanes,
                                                                 const kafka::topic_info& topic) {
  std::vector<lane_key> keys;
  const auto load = [&](std::int32_t count) {
    keys.assign(static_cast<std::size_t>(count), of);
    for (std::int32_t i = 0; i < count; ++i) keys[static_cast<std::size_t>(i)].lane = {i};
    return from.load(keys, limit_ms);
  };
  auto found = load(lanes);
  for (const auto& f : found) {
    if (f.status != loaded::status::found) continue;
    auto r = decode_record(f.record.text);
    if (!r.ok()) continue;
    const auto fixed = std::min(r->lanes, topic.partitions);
    if (fixed != lanes) found = load(fixed);
    break;
  }
  return {std::move(keys), std::move(found)};
}

} // namespace

std::vector<kafka::topic_partition> partitions_of(const lane_state_view& v) {
  std::vector<kafka::topic_partition> out;
  for (std::size_t n = 0; v.found && n < v.record.partitions.size(); ++n)
    out.push_back({v.topic, lane_partition_id(v.lane, v.record.lanes, n)});
  return out;
}

struct lane_shelf::impl {
  context_ptr context;
  std::unique_ptr<store> opened; // null: the group's offsets are the store
  visited_offsets offsets;
  std::unique_ptr<store> kafka_store;
  store& from() { return opened ? *opened : *kafka_store; }
};

lane_shelf::lane_shelf(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
lane_shelf::~lane_shelf() = default;

result<std::unique_ptr<lane_shelf>> lane_shelf::open(const topology& t, context_ptr c) {
  auto opened = open_store(t, true);
  if (!opened.ok()) return opened.failure();
  auto i = std::unique_ptr<impl>(
      new impl{c, *std::move(opened), visited_offsets(c->kafka_client(), c->config.group), nullptr});
  i->kafka_store = make_kafka_store(i->offsets);
  return std::unique_ptr<lane_shelf>(new lane_shelf(std::move(i)));
}

std::vector<lane_state_view> lane_shelf::look(const std::string& cluster, const kafka::topic_info& topic, int lanes) {
  const auto& p = impl_->context->config;
  const bool seat_too = impl_->opened != nullptr;
  auto [keys, found] =
      load_lanes(impl_->from(), {cluster, p.group, p.name, topic.name, {}}, std::min(lanes, topic.partitions), topic);
  std::vector<lane_state_view> out;
  std::vector<std::vector<kafka::topic_partition>> parts;
  std::vector<offset_log::place> beside;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    out.push_back(view_of(p, keys[i], found[i]));
    const auto count = out[i].found ? out[i].record.lanes : std::max(lanes, static_cast<int>(keys.size()));
    parts.push_back(partitions_of_lane(topic.name, keys[i].lane, count, topic.partitions));
    for (auto& place : places_beside(parts[i], seat_too)) beside.push_back(std::move(place));
  }
  if (beside.empty()) return out;
  const auto entries = impl_->offsets.committed(beside, limit_ms); // one question for all lanes
  auto at = entries.begin();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto n = static_cast<std::ptrdiff_t>(places_beside(parts[i], seat_too).size());
    tell_moved(out[i], parts[i], {at, at + n}, seat_too);
    at += n;
  }
  return out;
}

namespace {

result<void> show_pipeline(const topology& t, const pipeline_config& p, std::vector<lane_state_view>& out) {
  auto c = quiet_context(t, p);
  auto shelf = lane_shelf::open(t, c);
  if (!shelf.ok()) return shelf.failure();
  auto k = kafka::inspector::open(c->kafka_client());
  if (!k.ok()) return k.failure();
  auto cluster = (*k)->cluster_id(limit_ms);
  if (!cluster.ok()) return cluster.failure();
  auto topics = (*k)->topics(p.topics, limit_ms);
  if (!topics.ok()) return topics.failure();
  for (const auto& topic : *topics) {
    if (topic.failure) { // the others have theirs to show
      lane_state_view v;
      v.pipeline = p.name;
      v.topic = topic.name;
      v.problem = topic.failure->text();
      v.failure = topic.failure;
      v.why = trouble::failed;
      out.push_back(std::move(v));
      continue;
    }
    for (auto& v : (*shelf)->look(*cluster, topic, lanes_of(p, topic))) {
      for (auto& b : (*k)->bounds(partitions_of(v), limit_ms)) v.ends.push_back(b.ok() ? b->end.value : -1);
      out.push_back(std::move(v));
    }
  }
  return {};
}

} // namespace

result<std::vector<lane_state_view>> show_state(const topology& t) {
  if (t.state.store == store_kind::memory) return error{"state", "the memory store keeps nothing", "it is for tests"};
  std::vector<lane_state_view> out;
  for (const auto& p : t.pipelines)
    if (auto r = show_pipeline(t, p, out); !r.ok()) return r.failure();
  return out;
}

} // namespace chute
