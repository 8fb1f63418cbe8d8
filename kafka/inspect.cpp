#include "kafka/inspect.hpp"

#include "kafka/handle.hpp"
#include "kafka/topic_pattern.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

namespace chute::kafka {

namespace {

constexpr std::size_t asked_one_by_one_max = 8; // topics; for more of them the whole list is cheaper
constexpr std::size_t members_named_max = 8;

struct topic_deleter {
  void operator()(rd_kafka_topic_t* t) const { rd_kafka_topic_destroy(t); }
};
using topic_ptr = std::unique_ptr<rd_kafka_topic_t, topic_deleter>;

struct queue_deleter {
  void operator()(rd_kafka_queue_t* q) const { rd_kafka_queue_destroy(q); }
};
using queue_ptr = std::unique_ptr<rd_kafka_queue_t, queue_deleter>;

struct event_deleter {
  void operator()(rd_kafka_event_t* e) const { rd_kafka_event_destroy(e); }
};
using event_ptr = std::unique_ptr<rd_kafka_event_t, event_deleter>;

struct metadata_deleter {
  void operator()(const rd_kafka_metadata_t* m) const { rd_kafka_metadata_destroy(m); }
};
using metadata_ptr = std::unique_ptr<const rd_kafka_metadata_t, metadata_deleter>;

constexpr std::int64_t leader_wait_ms = 5'000, leader_pause_ms = 100;
// librdkafka looks each partition of an answer up in the list of the question, from its beginning.
constexpr std::size_t offsets_at_once = 128;

bool lacks_leader(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}
bool lacks_leader(rd_kafka_resp_err_t code, const rd_kafka_topic_partition_list_t& list) {
  if (code) return lacks_leader(code);
  return std::any_of(list.elems, list.elems + list.cnt, [](const auto& p) { return lacks_leader(p.err); });
}
// False, at once: the time is over.
bool pause_until(std::int64_t end_ms) {
  if (now_ms() + leader_pause_ms >= end_ms) return false;
  std::this_thread::sleep_for(std::chrono::milliseconds(leader_pause_ms));
  return true;
}

topic_info info_of(const rd_kafka_metadata_topic_t& t) {
  topic_info out{t.topic, t.partition_cnt, {}};
  if (t.err) out.failure = make_error(t.err, "topic " + out.name);
  return out;
}

group_member_info info_of(const rd_kafka_MemberDescription_t* m, const char* assignor) {
  group_member_info out{rd_kafka_MemberDescription_consumer_id(m),
                        rd_kafka_MemberDescription_client_id(m),
                        rd_kafka_MemberDescription_host(m),
                        assignor ? assignor : "",
                        {}};
  if (const auto* a = rd_kafka_MemberDescription_assignment(m))
    out.partitions = partitions_of(rd_kafka_MemberAssignment_partitions(a));
  return out;
}

} // namespace

std::string to_string(const std::vector<group_member_info>& members) {
  std::string out = std::to_string(members.size()) + (members.size() == 1 ? " member: " : " members: ");
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i == members_named_max) return out + ", …";
    const auto& m = members[i];
    out += (i ? ", " : "") + m.client_id + " on " + m.host + " (" + m.member_id + ")";
  }
  return out;
}

namespace {
class side_by_side;
}

struct inspector::impl final : handle {
  topic_patterns left_out;                          // of the user's `topic.blacklist`
  std::mutex reading;                               // librdkafka reads a partition once at a time
  std::vector<std::unique_ptr<side_by_side>> looks; // that are over; what was on its way for them comes yet

  ~impl() override;

  void drop_left_of_looks();
  // Where topics come by a pattern. librdkafka keeps such topics from its groups, but not from who asks for a list.
  bool leaves_out(const std::string& topic) const {
    return std::find(internal_topics.begin(), internal_topics.end(), topic) != internal_topics.end() ||
           left_out.match(topic);
  }

  result<metadata_ptr> ask_metadata(const std::string& name, std::int64_t limit_ms) {
    topic_ptr topic(name.empty() ? nullptr : rd_kafka_topic_new(rk, name.c_str(), nullptr));
    const rd_kafka_metadata_t* m = nullptr;
    auto code = rd_kafka_metadata(rk, name.empty() ? 1 : 0, topic.get(), &m, limit_of(limit_ms));
    if (code) return make_error(code, name.empty() ? "listing topics" : "topic " + name);
    return metadata_ptr(m);
  }
  result<std::vector<topic_info>> ask_topics(const std::string& name, std::int64_t limit_ms) {
    auto m = ask_metadata(name, limit_ms);
    if (!m) return m.failure();
    std::vector<topic_info> out;
    for (int i = 0; i < (*m)->topic_cnt; ++i) out.push_back(info_of((*m)->topics[i]));
    return out;
  }

  // Those that cannot be read, and why.
  std::map<topic_partition, error> find_missing(const std::vector<partition_offset>& places, std::int64_t deadline) {
    std::map<std::string, topic_info> topics;
    std::map<topic_partition, error> out;
    for (const auto& p : places) {
      auto it = topics.find(p.where.topic);
      if (it == topics.end()) {
        auto asked = ask_topics(p.where.topic, deadline - now_ms());
        topic_info info{p.where.topic, 0, {}};
        if (!asked) info.failure = asked.failure();
        else if (!asked->empty()) info = asked->front();
        it = topics.emplace(p.where.topic, std::move(info)).first;
      }
      if (it->second.failure) out.emplace(p.where, *it->second.failure);
      else if (p.where.partition.value < 0 || p.where.partition.value >= it->second.partitions)
        out.emplace(p.where, make_error(RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "reading " + to_string(p.where)));
    }
    return out;
  }

  // ListOffsets for partitions of one topic: a time, or -2 for the beginning and -1 for the end. A partition whose
  // leader is not there yet (a new topic, an election) is asked again for a moment.
  void list_offsets(const std::vector<topic_partition>& partitions, std::int64_t at, std::int64_t deadline,
                    std::map<topic_partition, result<offset_t>>& out) {
    auto again_until = std::min(deadline, now_ms() + leader_wait_ms);
    partition_list list;
    rd_kafka_resp_err_t code;
    do {
      list = make_list(partitions);
      for (int i = 0; i < list->cnt; ++i) list->elems[i].offset = at;
      code = rd_kafka_offsets_for_times(rk, list.get(), limit_of(deadline - now_ms()));
    } while (lacks_leader(code, *list) && pause_until(again_until));
    for (int i = 0; i < list->cnt; ++i) {
      const auto& p = list->elems[i];
      topic_partition w{p.topic, {p.partition}};
      auto own = code ? code : p.err;
      if (own) out.insert_or_assign(w, make_error(own, "bounds of " + to_string(w)));
      else out.insert_or_assign(w, offset_t{p.offset});
    }
  }
  std::map<topic_partition, result<offset_t>> ask_offsets(const std::vector<topic_partition>& partitions,
                                                          std::int64_t at, std::int64_t deadline) {
    // A topic by itself, because one that is unknown fails the whole question.
    std::map<std::string, std::vector<topic_partition>> topics;
    for (const auto& p : partitions) topics[p.topic].push_back(p);
    std::map<topic_partition, result<offset_t>> out;
    for (const auto& [name, all] : topics)
      for (std::size_t i = 0; i < all.size(); i += offsets_at_once)
        list_offsets({all.begin() + static_cast<std::ptrdiff_t>(i),
                      all.begin() + static_cast<std::ptrdiff_t>(std::min(i + offsets_at_once, all.size()))},
                     at, deadline, out);
    return out;
  }
};

namespace {
// A broker hands out a batch of records as a whole, and one that is larger than what is asked of a partition only where
// that partition is the first in the request. So ask for little, of many partitions: what producers send by default
// comes at once, and not much that nobody wants. What has not come after a while is read by itself.
constexpr std::size_t read_bytes = 32 << 10, read_at_once = 32;
constexpr std::int64_t left_comes_within_ms = 5'000; // unless the broker stands still: then it stays
constexpr std::int64_t together_parts = 4;           // of the time: so much for all together, the rest one by one
} // namespace

inspector::inspector(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
inspector::~inspector() = default;

result<std::unique_ptr<inspector>> inspector::open(client_options options) {
  auto state = std::make_unique<impl>();
  const settings needed = {{"enable.auto.commit", "false"},
                           {"enable.auto.offset.store", "false"},
                           {"offset.store.method", "none"},
                           {"auto.offset.reset", "error"},
                           {"isolation.level", "read_committed"},
                           {"enable.partition.eof", "true"},
                           {"check.crcs", "true"}, // a damaged record is not another one: its log is no other log
                           // Partitions read side by side share a queue: were it full with one's batch, none of the
                           // others would be fetched for a second.
                           {"queued.max.messages.kbytes", "16384"}};
  const settings defaults = {{"fetch.message.max.bytes", std::to_string(read_bytes)},
                             {"fetch.max.bytes", std::to_string(read_at_once * read_bytes)},
                             {"fetch.wait.max.ms", "50"},
                             {"fetch.error.backoff.ms", "100"},
                             {"topic.metadata.propagation.max.ms", "5000"}};
  const auto users = options.properties.find("topic.blacklist");
  if (users != options.properties.end()) state->left_out = topic_patterns(users->second);
  if (auto done = open_handle(*state, options, defaults, needed); !done) return done.failure();
  return std::unique_ptr<inspector>(new inspector(std::move(state)));
}

result<std::string> inspector::cluster_id(std::int64_t limit_ms) {
  char* id = rd_kafka_clusterid(impl_->rk, limit_of(limit_ms));
  if (!id) return make_error(RD_KAFKA_RESP_ERR__TIMED_OUT, "asking for the cluster's id");
  std::string out = id;
  rd_kafka_mem_free(impl_->rk, id);
  return out;
}

result<std::vector<topic_info>> inspector::topics(const std::vector<std::string>& wanted, std::int64_t limit_ms) {
  auto deadline = now_ms() + limit_of(limit_ms);
  std::vector<topic_info> out;
  bool all = wanted.size() > asked_one_by_one_max || std::any_of(wanted.begin(), wanted.end(), is_pattern);
  result<std::vector<topic_info>> list = std::vector<topic_info>{};
  if (all) list = impl_->ask_topics("", limit_ms);
  if (!list) return list.failure();
  for (const auto& w : wanted) {
    if (is_pattern(w)) {
      const topic_pattern p(w);
      if (!p.good()) return error{"kafka", "'" + w + "' is no regular expression", "correct topics"};
      std::copy_if(list->begin(), list->end(), std::back_inserter(out),
                   [&](const auto& t) { return !impl_->leaves_out(t.name) && p.matches(t.name); });
      continue;
    }
    if (!all) list = impl_->ask_topics(w, deadline - now_ms());
    if (!list) return list.failure();
    auto it = std::find_if(list->begin(), list->end(), [&](const auto& t) { return t.name == w; });
    out.push_back(
        it != list->end() ? *it : topic_info{w, 0, make_error(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "topic " + w)});
  }
  return out;
}

std::vector<result<log_bounds>> inspector::bounds(const std::vector<topic_partition>& partitions,
                                                  std::int64_t limit_ms) {
  auto deadline = now_ms() + limit_of(limit_ms);
  // The end second: the log cannot shrink below the beginning in between, but it can grow.
  auto begins = impl_->ask_offsets(partitions, RD_KAFKA_OFFSET_BEGINNING, deadline);
  auto ends = impl_->ask_offsets(partitions, RD_KAFKA_OFFSET_END, deadline);
  std::vector<result<log_bounds>> out;
  for (const auto& p : partitions) {
    const auto& begin = begins.at(p);
    const auto& end = ends.at(p);
    if (!begin) out.emplace_back(begin.failure());
    else if (!end) out.emplace_back(end.failure());
    else out.emplace_back(log_bounds{*begin, *end});
  }
  return out;
}

std::vector<result<offset_t>> inspector::offsets_for_time(const std::vector<topic_partition>& partitions,
                                                          std::int64_t timestamp_ms, std::int64_t limit_ms) {
  auto deadline = now_ms() + limit_of(limit_ms);
  // The ends first: what comes between the two questions lies behind them, or it is found by its time.
  const auto ends = impl_->ask_offsets(partitions, RD_KAFKA_OFFSET_END, deadline);
  const auto found = impl_->ask_offsets(partitions, std::max<std::int64_t>(timestamp_ms, 0), deadline);
  std::vector<result<offset_t>> out;
  for (const auto& p : partitions) {
    const auto& at = found.at(p);
    const bool none_as_young = at && (*at).value < 0;
    out.push_back(none_as_young ? ends.at(p) : at);
  }
  return out;
}

namespace {

// The first thing that comes from a partition tells what lies at the offset.
record_at judge(const rd_kafka_message_t* m, const partition_offset& wanted) {
  record_at out;
  auto at = wanted.offset.value;
  if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    out.what = m->offset > at ? record_at::status::none : record_at::status::out_of_range;
  } else if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
    out.what = record_at::status::out_of_range;
  } else if (m->err) {
    const bool damaged = m->err == RD_KAFKA_RESP_ERR__BAD_MSG || m->err == RD_KAFKA_RESP_ERR__BAD_COMPRESSION;
    if (damaged) out.what = record_at::status::damaged;
    out.why = make_error(m->err, "reading " + to_string(wanted.where), rd_kafka_message_errstr(m));
  } else if (m->offset != at) {
    out.what = record_at::status::none;
  } else {
    std::optional<std::string_view> key, value;
    if (m->key) key = std::string_view(static_cast<const char*>(m->key), m->key_len);
    if (m->payload) value = std::string_view(static_cast<const char*>(m->payload), m->len);
    rd_kafka_timestamp_type_t type;
    auto time = rd_kafka_message_timestamp(m, &type);
    out.what = record_at::status::found;
    out.hash = record_hash(type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : time, key, value);
  }
  return out;
}

// Reads of several partitions side by side, one record each.
class side_by_side {
public:
  side_by_side(rd_kafka_t* rk, std::vector<partition_offset> places)
      : places_(std::move(places)), answers_(places_.size()), queue_(rd_kafka_queue_new(rk)) {
    for (std::size_t i = 0; i < places_.size(); ++i) start(rk, i);
  }
  ~side_by_side() { end(); }
  std::vector<record_at> run(std::int64_t deadline) {
    while (!open_.empty() && now_ms() < deadline) {
      rd_kafka_message_t* m = nullptr;
      if (rd_kafka_consume_batch_queue(queue_.get(), limit_of(deadline - now_ms()), &m, 1) < 1) continue;
      take(m);
      rd_kafka_message_destroy(m);
    }
    for (const auto& [where, i] : open_)
      answers_[i].why = make_error(RD_KAFKA_RESP_ERR__TIMED_OUT, "reading " + to_string(where));
    end();
    return std::move(answers_);
  }
  // To be called while none of its partitions is read, by whomever. False: nothing can be on its way any more.
  bool drop_left() {
    for (const auto& p : places_)
      if (auto it = topics_.find(p.where.topic); it != topics_.end() && it->second)
        kafka::drop_left(it->second.get(), p.where.partition);
    return now_ms() < over_ms_ + left_comes_within_ms;
  }

private:
  void start(rd_kafka_t* rk, std::size_t i) {
    const auto& p = places_[i];
    auto& topic = topics_[p.where.topic];
    if (!topic) topic.reset(rd_kafka_topic_new(rk, p.where.topic.c_str(), nullptr));
    if (p.offset.value < 0) answers_[i].what = record_at::status::out_of_range;
    else if (!topic || rd_kafka_consume_start_queue(topic.get(), p.where.partition.value, p.offset.value, queue_.get()))
      answers_[i].why = make_error(rd_kafka_last_error(), "reading " + to_string(p.where));
    else open_[p.where] = i;
  }
  void end() {
    while (!open_.empty()) stop(open_.begin()->first);
    queue_.reset(); // and with it the rest of what came
    over_ms_ = now_ms();
  }
  void stop(topic_partition where) {
    rd_kafka_consume_stop(topics_[where.topic].get(), where.partition.value);
    open_.erase(where);
  }
  void take(const rd_kafka_message_t* m) {
    auto it = m->rkt ? open_.find({rd_kafka_topic_name(m->rkt), {m->partition}}) : open_.end();
    if (it == open_.end()) return; // more records of one that is answered
    answers_[it->second] = judge(m, places_[it->second]);
    stop(it->first);
  }

  const std::vector<partition_offset> places_;
  std::vector<record_at> answers_;
  queue_ptr queue_;
  std::map<std::string, topic_ptr> topics_;
  std::map<topic_partition, std::size_t> open_;
  std::int64_t over_ms_ = 0;
};

} // namespace

inspector::impl::~impl() {
  looks.clear();
  if (rk) rd_kafka_destroy(rk);
}

void inspector::impl::drop_left_of_looks() {
  std::erase_if(looks, [](const auto& l) { return !l->drop_left(); });
}

std::vector<record_at> inspector::read(const std::vector<partition_offset>& places, std::int64_t limit_ms) {
  auto deadline = now_ms() + limit_of(limit_ms);
  // A partition that does not exist would only be silent.
  std::vector<partition_offset> there;
  std::vector<record_at> out(places.size());
  std::vector<std::size_t> index;
  auto missing = impl_->find_missing(places, deadline);
  std::set<topic_partition> seen;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (auto it = missing.find(places[i].where); it != missing.end()) {
      out[i].why = it->second;
      continue;
    }
    if (!seen.insert(places[i].where).second) {
      out[i].why = error{"kafka", to_string(places[i].where) + " is asked for twice at once", ""};
      continue;
    }
    there.push_back(places[i]);
    index.push_back(i);
  }
  std::lock_guard hold(impl_->reading);
  const auto read_some = [&](std::size_t from, std::size_t count, std::int64_t until) {
    const auto at = there.begin() + static_cast<std::ptrdiff_t>(from);
    impl_->drop_left_of_looks();
    std::vector<partition_offset> some(at, at + static_cast<std::ptrdiff_t>(count));
    auto& look = *impl_->looks.emplace_back(std::make_unique<side_by_side>(impl_->rk, std::move(some)));
    auto answers = look.run(until);
    for (std::size_t k = 0; k < count; ++k) out[index[from + k]] = std::move(answers[k]);
  };
  const auto together_until = now_ms() + (deadline - now_ms()) / together_parts;
  for (std::size_t i = 0; i < there.size(); i += read_at_once)
    read_some(i, std::min(read_at_once, there.size() - i), there.size() == 1 ? deadline : together_until);
  for (std::size_t i = 0; i < there.size() && there.size() > 1; ++i)
    if ((out[index[i]].what == record_at::status::failed || out[index[i]].what == record_at::status::damaged) &&
        now_ms() < deadline)
      read_some(i, 1, deadline);
  return out;
}

record_at inspector::read_one(const topic_partition& where, offset_t offset, std::int64_t limit_ms) {
  return read({{where, offset}}, limit_ms).front();
}

result<std::vector<group_member_info>> inspector::group_members(const std::string& group, std::int64_t limit_ms) {
  auto* rk = impl_->rk;
  auto doing = "asking who is in group " + group;
  std::unique_ptr<rd_kafka_AdminOptions_t, decltype(&rd_kafka_AdminOptions_destroy)> options(
      rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS), rd_kafka_AdminOptions_destroy);
  char why[256];
  rd_kafka_AdminOptions_set_request_timeout(options.get(), std::max(limit_of(limit_ms), 1), why, sizeof why);
  queue_ptr queue(rd_kafka_queue_new(rk));
  const char* names[] = {group.c_str()};
  rd_kafka_DescribeConsumerGroups(rk, names, 1, options.get(), queue.get());
  event_ptr event(rd_kafka_queue_poll(queue.get(), limit_of(limit_ms) + 1'000)); // it keeps to its limit by itself
  const auto* answer = event ? rd_kafka_event_DescribeConsumerGroups_result(event.get()) : nullptr;
  if (!answer) return make_error(RD_KAFKA_RESP_ERR__TIMED_OUT, doing);
  if (auto code = rd_kafka_event_error(event.get()))
    return make_error(code, doing, rd_kafka_event_error_string(event.get()));
  std::size_t count = 0;
  const auto** groups = rd_kafka_DescribeConsumerGroups_result_groups(answer, &count);
  std::vector<group_member_info> out;
  for (std::size_t i = 0; i < count; ++i) {
    if (const auto* e = rd_kafka_ConsumerGroupDescription_error(groups[i])) {
      auto code = rd_kafka_error_code(e);
      if (code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) continue; // nobody
      if (code) return make_error(code, doing, rd_kafka_error_string(e));
    }
    for (std::size_t k = 0; k < rd_kafka_ConsumerGroupDescription_member_count(groups[i]); ++k)
      out.push_back(info_of(rd_kafka_ConsumerGroupDescription_member(groups[i], k),
                            rd_kafka_ConsumerGroupDescription_partition_assignor(groups[i])));
  }
  return out;
}

} // namespace chute::kafka
