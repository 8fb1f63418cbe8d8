#include "kafka/group.hpp"

#include "kafka/commit_rules.hpp"
#include "kafka/handle.hpp"
#include "kafka/topic_pattern.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace chute::kafka {

namespace {

constexpr std::size_t events_max = 64;         // a poll
constexpr std::size_t troubles_kept_max = 64;  // more of them say nothing new
constexpr std::int64_t leave_limit_ms = 5'000; // in the destructor
constexpr int open_tries_max = 5;
constexpr std::int64_t open_pause_ms = 1'000;
constexpr int callbacks_max = 256; // served a poll
// Behind its limit: librdkafka sends a commit three times at most, and waits a minute for each answer.
constexpr std::int64_t stuck_ms = 240'000;

// What a callback saw, for poll() to judge. Callbacks run in the thread that polls.
struct seen_rebalance {
  rd_kafka_resp_err_t code;
  bool lost;
  std::vector<topic_partition> partitions;
};
using commit_codes = std::map<topic_partition, rd_kafka_resp_err_t>;
struct seen_commit {
  std::uint64_t id;
  rd_kafka_resp_err_t code;
  commit_codes own;
};
struct seen_error {
  rd_kafka_resp_err_t code;
  std::string text;
};
using seen = std::variant<seen_rebalance, seen_commit, seen_error>;

// One membership: an rd_kafka_t and what its callbacks saw. Once `closing` is set nobody listens any more.
class session final : public handle {
public:
  ~session() override { end(); }

  // Leaves the group and ends the handle. Waits for commits that are under way, at worst for the session's time-out
  // and the socket's, which is why it is called in a thread of its own.
  void end() {
    if (!rk) return;
    closing = true;
    rd_kafka_assign(rk, nullptr); // a revocation that waits for its answer would hold up the close
    if (queue) rd_kafka_queue_destroy(queue);
    queue = nullptr;
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    rk = nullptr;
  }
  // After this no wake-up comes any more, not even one that had begun.
  void silence() {
    closing = true;
    if (queue) rd_kafka_queue_cb_event_enable(queue, nullptr, nullptr);
  }

  rd_kafka_queue_t* queue = nullptr;
  wake_callback wake;
  std::atomic<bool> closing{false};
  std::deque<seen> inbox;
  // What the broker said of each partition of a commit, by the commit's id; from librdkafka's main thread.
  std::mutex verdicts_lock;
  std::map<std::uint64_t, commit_codes> verdicts;
};

session& session_of(rd_kafka_t* rk) { return *static_cast<session*>(static_cast<handle*>(rd_kafka_opaque(rk))); }

void on_rebalance(rd_kafka_t* rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t* list, void*) {
  auto& s = session_of(rk);
  bool lost = code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS && rd_kafka_assignment_lost(rk);
  if (!s.closing) s.inbox.push_back(seen_rebalance{code, lost, partitions_of(list)});
  if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !s.closing) {
    // Joined, but nothing is fetched here: lanes read by themselves.
    auto nothing = make_list(std::size_t{1});
    rd_kafka_assign(rk, nothing.get());
  } else if (code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS || lost || s.closing) {
    rd_kafka_assign(rk, nullptr);
  }                   // else: complete_revoke()
  rd_kafka_yield(rk); // lets a poll that waits return with what there is
}

std::uint64_t id_of(const void* opaque) { return reinterpret_cast<std::uintptr_t>(opaque); }
void* opaque_of(std::uint64_t id) { return reinterpret_cast<void*>(static_cast<std::uintptr_t>(id)); }

commit_codes codes_of(const rd_kafka_topic_partition_list_t* list) {
  commit_codes out;
  for (int i = 0; list && i < list->cnt; ++i)
    out[{list->elems[i].topic, {list->elems[i].partition}}] = list->elems[i].err;
  return out;
}

// Where some partitions of a commit failed, librdkafka gives the good ones the error of the last bad one before it
// calls on_commit (rd_kafka_cgrp_update_committed_offsets in 2.0.2). Interceptors still see what the broker said.
rd_kafka_resp_err_t on_broker_answer(rd_kafka_t* rk, const rd_kafka_topic_partition_list_t* list, rd_kafka_resp_err_t,
                                     void*) {
  auto& s = session_of(rk);
  if (s.closing || !list || list->cnt == 0) return RD_KAFKA_RESP_ERR_NO_ERROR;
  std::lock_guard hold(s.verdicts_lock);
  s.verdicts[id_of(list->elems[0].opaque)] = codes_of(list);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t on_new(rd_kafka_t* rk, const rd_kafka_conf_t*, void*, char*, std::size_t) {
  return rd_kafka_interceptor_add_on_commit(rk, "chute", on_broker_answer, nullptr);
}

void on_commit(rd_kafka_t* rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t* list, void* opaque) {
  auto& s = session_of(rk);
  if (s.closing) return;
  seen_commit c{id_of(opaque), code, codes_of(list)};
  std::lock_guard hold(s.verdicts_lock);
  if (auto it = s.verdicts.find(c.id); it != s.verdicts.end()) {
    c.own = std::move(it->second);
    s.verdicts.erase(it);
  }
  s.inbox.push_back(std::move(c));
  rd_kafka_yield(rk);
}

void on_error(rd_kafka_t* rk, int code, const char* text, void*) {
  auto& s = session_of(rk);
  if (s.closing) return;
  s.inbox.push_back(seen_error{static_cast<rd_kafka_resp_err_t>(code), text ? text : ""});
  rd_kafka_yield(rk);
}

void set_callbacks(rd_kafka_conf_t* conf) {
  rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
  rd_kafka_conf_set_error_cb(conf, on_error);
  rd_kafka_conf_interceptor_add_on_new(conf, "chute", on_new, nullptr);
}

result<void> subscribe(session& s, const group_options& o) {
  auto topics = make_list(o.topics.size());
  for (const auto& t : o.topics) rd_kafka_topic_partition_list_add(topics.get(), t.c_str(), RD_KAFKA_PARTITION_UA);
  auto code = rd_kafka_subscribe(s.rk, topics.get());
  if (code) return make_error(code, "group " + o.group + ", subscribing");
  return {};
}

bool any_pattern(const group_options& o) { return std::any_of(o.topics.begin(), o.topics.end(), is_pattern); }

// How soon a new topic of a pattern is noticed; librdkafka's own 5 minutes are for partitions, which seldom come.
settings defaults_of(const group_options& o) {
  if (!any_pattern(o)) return {};
  return {{"topic.metadata.refresh.interval.ms", "30000"}};
}

// Kafka's own topics, beside those that the user wants left out.
settings left_out(const group_options& o) {
  if (!any_pattern(o)) return {};
  std::string all;
  for (const auto* t : internal_topics) all += std::string(all.empty() ? "" : ",") + "^" + t + "$";
  const auto users = o.client.properties.find("topic.blacklist");
  if (users != o.client.properties.end() && !users->second.empty()) all += "," + users->second;
  return {{"topic.blacklist", all}};
}

result<std::shared_ptr<session>> open_session(const group_options& o) {
  auto s = std::make_shared<session>();
  settings needed = {{"group.id", o.group},
                     {"enable.auto.commit", "false"},
                     {"enable.auto.offset.store", "false"},
                     {"auto.offset.reset", "error"},
                     {"isolation.level", "read_committed"},
                     {"enable.partition.eof", "true"},
                     // Eager, as cooperative rebalancing with commits of one's own is not sound before librdkafka
                     // 2.10; round robin spreads seats evenly.
                     {"partition.assignment.strategy", "roundrobin"}};
  for (auto& property : left_out(o)) needed.push_back(std::move(property));
  if (auto done = open_handle(*s, o.client, defaults_of(o), needed, set_callbacks); !done) return done.failure();
  rd_kafka_poll_set_consumer(s->rk);
  s->queue = rd_kafka_queue_get_consumer(s->rk);
  s->wake = o.wake;
  if (s->wake)
    rd_kafka_queue_cb_event_enable(
        s->queue, [](rd_kafka_t*, void* opaque) { static_cast<session*>(opaque)->wake(); }, s.get());
  if (auto done = subscribe(*s, o); !done) return done.failure();
  return s;
}

// Of options that made one before: what is short by now (threads, files, a certificate that is being exchanged) may be
// there again in a moment.
result<std::shared_ptr<session>> open_session_again(const group_options& o) {
  for (int tries = 1;; ++tries) {
    auto made = open_session(o);
    if (made.ok() || tries == open_tries_max) return made;
    std::this_thread::sleep_for(std::chrono::milliseconds(open_pause_ms));
  }
}

// Ends sessions in threads of their own, because that may take as long as a session's time-out.
class undertaker {
public:
  void take(std::shared_ptr<session> s) {
    s->silence();
    auto state = state_;
    {
      std::lock_guard hold(state->lock);
      ++state->at_work;
    }
    const auto bury = [last = std::make_shared<std::shared_ptr<session>>(std::move(s)), state] {
      (*last)->end();
      last->reset();
      std::lock_guard hold(state->lock);
      --state->at_work;
      state->changed.notify_all();
    };
    try {
      std::thread(bury).detach();
    } catch (const std::system_error&) { // as many threads as there may be: then here
      bury();
    }
  }
  void wait(std::int64_t limit_ms) {
    std::unique_lock hold(state_->lock);
    state_->changed.wait_for(hold, std::chrono::milliseconds(limit_ms), [&] { return state_->at_work == 0; });
  }

private:
  struct shared {
    std::mutex lock;
    std::condition_variable changed;
    int at_work = 0;
  };
  std::shared_ptr<shared> state_ = std::make_shared<shared>();
};

std::int64_t number_in(rd_kafka_t* rk, const char* name) {
  char text[32];
  std::size_t size = sizeof text;
  if (rd_kafka_conf_get(rd_kafka_conf(rk), name, text, &size) != RD_KAFKA_CONF_OK) return 0;
  return std::strtoll(text, nullptr, 10);
}

} // namespace

struct group_member::impl {
  enum class state : std::uint8_t { outside, assigned, revoking };
  struct commit_under_way {
    std::vector<topic_partition> where;
    std::uint64_t epoch = 0;
    std::int64_t deadline = 0;
  };

  group_options options;
  std::shared_ptr<session> now; // null: none could be made
  undertaker ended;
  std::deque<group_event> events;
  state at = state::outside;
  std::vector<topic_partition> given;
  std::uint64_t epoch = 0, next_id = 1;
  std::map<std::uint64_t, commit_under_way> waiting; // not answered to the application
  std::map<std::uint64_t, std::int64_t> in_library;  // not answered by librdkafka: the limit of each
  bool told_stuck = false;                           // that one of them gets no answer at all
  std::int64_t session_timeout = 0, max_poll_interval = 0;

  std::string name() const { return "group " + options.group; }

  // --- commits -----------------------------------------------------------------------------------------------------
  void answer(std::uint64_t id, const commit_under_way& c, commit_status status, const error& why) {
    commit_answered out{id, {}};
    for (const auto& w : c.where) out.answers.push_back({w, status, why});
    events.push_back(std::move(out));
  }
  void give_up_commits(const char* why) {
    for (const auto& [id, c] : waiting)
      answer(id, c, commit_status::unknown, {"kafka", name() + ": no answer to a commit: " + why, ""});
    waiting.clear();
  }
  void expire_commits() {
    for (auto it = waiting.begin(); it != waiting.end();) {
      if (it->second.deadline > now_ms()) {
        ++it;
        continue;
      }
      answer(it->first, it->second, commit_status::unknown,
             {"kafka", name() + ": no answer to a commit within its limit", ""});
      it = waiting.erase(it);
    }
    if (told_stuck || in_library.empty() || in_library.begin()->second + stuck_ms > now_ms()) return;
    told_stuck = true;
    events.push_back(broken{{"kafka", name() + ": librdkafka does not answer a commit", ""}});
  }
  // Some ran into their limits and have no answer yet. librdkafka may send them again, after what is committed
  // meanwhile.
  bool late() const {
    return std::any_of(in_library.begin(), in_library.end(), [&](const auto& c) { return c.second <= now_ms(); });
  }
  commit_answer judge(const seen_commit& c, const commit_under_way& sent, const topic_partition& w) const {
    auto own = c.own.find(w);
    int code = own == c.own.end() ? static_cast<int>(RD_KAFKA_RESP_ERR__STATE) : own->second;
    auto status = judge_commit(c.code, code);
    auto doing = name() + ", committing " + to_string(w);
    // librdkafka may have sent it without a generation, after it lost the group and before we knew.
    if (status == commit_status::ok && (sent.epoch != epoch || rd_kafka_assignment_lost(now->rk)))
      return {w, commit_status::unknown, error{"kafka", doing + ": the group was lost before the answer came", ""}};
    if (status == commit_status::ok) return {w, status, {}};
    return {w, status, make_error(static_cast<rd_kafka_resp_err_t>(c.code < 0 ? c.code : code), doing)};
  }
  void take(const seen_commit& c) {
    in_library.erase(c.id);
    auto it = waiting.find(c.id);
    if (it == waiting.end()) return; // its limit came first
    commit_answered out{c.id, {}};
    for (const auto& w : it->second.where) out.answers.push_back(judge(c, it->second, w));
    waiting.erase(it);
    events.push_back(std::move(out));
  }

  // --- membership --------------------------------------------------------------------------------------------------
  void take(const seen_rebalance& r) {
    if (r.code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      at = state::assigned;
      given = r.partitions;
      ++epoch;
      events.push_back(assigned{given});
    } else if (r.code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS && !r.lost) {
      at = state::revoking;
      events.push_back(revoked{given});
    } else {
      lose();
      if (r.code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        events.push_back(trouble{make_error(r.code, name() + ", joining")});
    }
  }
  void lose() {
    at = state::outside;
    ++epoch;
    events.push_back(lost{std::exchange(given, {})});
    if (!in_library.empty()) (void)renew("the group was lost"); // a failure is an event
  }
  // A new membership; the old one is ended in the background.
  result<void> renew(const char* why) {
    give_up_commits(why);
    in_library.clear();
    told_stuck = false;
    at = state::outside;
    given.clear();
    ++epoch;
    if (now) ended.take(std::exchange(now, nullptr));
    auto made = open_session_again(options);
    if (!made) {
      events.push_back(broken{made.failure()});
      return made.failure();
    }
    now = *made;
    return {};
  }

  // --- errors ------------------------------------------------------------------------------------------------------
  void take(const seen_error& e) {
    auto what = make_error(e.code, name(), e.text);
    if (e.code == RD_KAFKA_RESP_ERR__FATAL) {
      char text[512];
      auto code = rd_kafka_fatal_error(now->rk, text, sizeof text);
      events.push_back(broken{make_error(code, name(), text)});
    } else if (events.size() < troubles_kept_max) {
      events.push_back(trouble{std::move(what)});
    }
  }
  void take_message(rd_kafka_message_t* m) {
    // Nothing is fetched, so this is an error of the subscription or of the membership.
    if (m->err) take(seen_error{m->err, rd_kafka_message_errstr(m)});
    rd_kafka_message_destroy(m);
  }

  // --- polling -----------------------------------------------------------------------------------------------------
  void absorb() {
    // A loss may renew the membership, and the old inbox with it.
    auto s = now;
    while (s == now && !s->inbox.empty()) {
      auto one = std::move(s->inbox.front());
      s->inbox.pop_front();
      std::visit([&](const auto& x) { take(x); }, one);
    }
  }
  void serve(std::int64_t wait_ms) {
    for (int i = 0; now && i < callbacks_max; ++i) {
      auto* m = rd_kafka_consumer_poll(now->rk, limit_of(wait_ms));
      wait_ms = 0;
      if (m) take_message(m);
      absorb();
      if (!now || events.size() >= events_max || (!m && rd_kafka_queue_length(now->queue) == 0)) break;
    }
    expire_commits();
  }
  std::int64_t until_deadline() const {
    std::int64_t left = INT64_MAX;
    for (const auto& [id, c] : waiting) left = std::min(left, c.deadline - now_ms());
    return std::max<std::int64_t>(left, 0);
  }
};

group_member::group_member(std::unique_ptr<impl> state) : impl_(std::move(state)) {}

result<std::unique_ptr<group_member>> group_member::open(group_options options) {
  if (options.group.empty()) return error{"kafka", "the consumer group has no name", "write the pipeline's group"};
  if (options.topics.empty()) return error{"kafka", "group " + options.group + " has no topics", "write topics"};
  for (const auto& t : options.topics)
    if (t.empty() || (!is_pattern(t) && t.size() > 249))
      return error{"kafka", "'" + t + "' is no name of a topic", "correct topics"};
  if (auto wrong = named_and_left_out(options.topics, options.client)) return *wrong;
  auto state = std::make_unique<impl>();
  state->options = std::move(options);
  auto made = open_session(state->options);
  if (!made) return made.failure();
  state->now = *made;
  state->session_timeout = number_in(state->now->rk, "session.timeout.ms");
  state->max_poll_interval = number_in(state->now->rk, "max.poll.interval.ms");
  return std::unique_ptr<group_member>(new group_member(std::move(state)));
}

group_member::~group_member() {
  if (impl_->now) impl_->ended.take(std::exchange(impl_->now, nullptr));
  impl_->ended.wait(leave_limit_ms);
}

std::vector<group_event> group_member::poll(std::int64_t timeout_ms) {
  impl_->serve(impl_->events.empty() ? std::min(timeout_ms, impl_->until_deadline()) : 0);
  std::vector<group_event> out;
  while (!impl_->events.empty() && out.size() < events_max) {
    out.push_back(std::move(impl_->events.front()));
    impl_->events.pop_front();
  }
  return out;
}

void group_member::complete_revoke() {
  if (impl_->at != impl::state::revoking) return;
  if (!impl_->in_library.empty()) {
    (void)impl_->renew("the partitions were revoked"); // a failure is an event
    return;
  }
  impl_->at = impl::state::outside;
  impl_->given.clear();
  ++impl_->epoch;
  if (impl_->now) rd_kafka_assign(impl_->now->rk, nullptr);
}

result<void> group_member::rejoin() { return impl_->renew("the membership was made anew"); }

bool group_member::has_assignment() const { return impl_->now && impl_->at != impl::state::outside; }
std::uint64_t group_member::epoch() const { return impl_->epoch; }
std::size_t group_member::unanswered() const { return impl_->in_library.size(); }
std::int64_t group_member::session_timeout_ms() const { return impl_->session_timeout; }
std::int64_t group_member::max_poll_interval_ms() const { return impl_->max_poll_interval; }

std::uint64_t group_member::start_commit(const std::vector<offset_commit>& offsets, std::int64_t limit_ms) {
  auto id = impl_->next_id++;
  impl::commit_under_way c{{}, impl_->epoch, now_ms() + limit_of(limit_ms)};
  auto list = make_list(offsets.size());
  for (const auto& o : offsets) {
    c.where.push_back(o.where);
    auto* p = rd_kafka_topic_partition_list_add(list.get(), o.where.topic.c_str(), o.where.partition.value);
    p->offset = o.next.value;
    p->opaque = opaque_of(id);
    p->err = RD_KAFKA_RESP_ERR__STATE; // stays if the broker's answer leaves the partition out: unknown
    set_metadata(*p, o.metadata);
  }
  if (!has_assignment() || rd_kafka_assignment_lost(impl_->now->rk)) {
    impl_->answer(id, c, commit_status::refused,
                  {"kafka", impl_->name() + ": not a member of the group at the moment", ""});
    return id;
  }
  if (offsets.empty()) {
    impl_->events.push_back(commit_answered{id, {}});
    return id;
  }
  auto code = rd_kafka_commit_queue(impl_->now->rk, list.get(), impl_->now->queue, on_commit, opaque_of(id));
  if (code) { // it did not even get into the queue
    impl_->answer(id, c, commit_status::rejected, make_error(code, impl_->name() + ", committing"));
    return id;
  }
  impl_->in_library.emplace(id, c.deadline);
  impl_->waiting.emplace(id, std::move(c));
  return id;
}

std::vector<commit_answer> group_member::commit(const std::vector<offset_commit>& offsets, std::int64_t limit_ms) {
  const auto until = now_ms() + limit_of(limit_ms);
  while (impl_->late() && now_ms() < until) impl_->serve(until - now_ms());
  std::vector<commit_answer> not_now;
  if (impl_->late()) {
    const error why{"kafka", impl_->name() + ": an earlier commit has no answer yet", ""};
    for (const auto& o : offsets) not_now.push_back({o.where, commit_status::not_now, why});
    return not_now;
  }
  auto id = start_commit(offsets, std::max<std::int64_t>(until - now_ms(), 0));
  // Every commit is answered at its deadline at the latest, so this ends.
  while (true) {
    for (auto it = impl_->events.begin(); it != impl_->events.end(); ++it) {
      auto* a = std::get_if<commit_answered>(&*it);
      if (!a || a->id != id) continue;
      auto out = std::move(a->answers);
      impl_->events.erase(it);
      return out;
    }
    impl_->serve(impl_->until_deadline());
  }
}

std::vector<committed_offset> group_member::committed(const std::vector<topic_partition>& partitions,
                                                      std::int64_t limit_ms) {
  std::vector<committed_offset> out(partitions.size());
  if (partitions.empty()) return out;
  auto doing = impl_->name() + ", reading committed offsets";
  auto list = make_list(partitions);
  auto code =
      impl_->now ? rd_kafka_committed(impl_->now->rk, list.get(), limit_of(limit_ms)) : RD_KAFKA_RESP_ERR__STATE;
  for (std::size_t i = 0; i < out.size(); ++i) {
    auto* p =
        rd_kafka_topic_partition_list_find(list.get(), partitions[i].topic.c_str(), partitions[i].partition.value);
    auto own = code ? code : p ? p->err : RD_KAFKA_RESP_ERR__STATE;
    if (own) {
      out[i].why = make_error(own, doing + " of " + to_string(partitions[i]));
    } else if (p->offset == RD_KAFKA_OFFSET_INVALID) {
      out[i].what = committed_offset::status::none;
    } else {
      out[i].what = committed_offset::status::found;
      out[i].next = {p->offset};
      out[i].metadata.assign(static_cast<const char*>(p->metadata), p->metadata_size);
    }
  }
  return out;
}

std::string group_member::member_id() const {
  char* id = impl_->now ? rd_kafka_memberid(impl_->now->rk) : nullptr;
  std::string out = id ? id : "";
  if (id) rd_kafka_mem_free(impl_->now->rk, id);
  return out;
}

std::string group_member::cluster_id(std::int64_t limit_ms) const {
  char* id = impl_->now ? rd_kafka_clusterid(impl_->now->rk, limit_of(limit_ms)) : nullptr;
  std::string out = id ? id : "";
  if (id) rd_kafka_mem_free(impl_->now->rk, id);
  return out;
}

} // namespace chute::kafka
