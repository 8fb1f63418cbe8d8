#include "kafka/fetch.hpp"

#include "kafka/handle.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <sys/socket.h>
#include <thread>
#include <utility>

namespace chute::kafka {

namespace {

constexpr std::size_t taken_at_once = 512; // messages that leave librdkafka's queue, and its accounting, in one go

constexpr std::int64_t sweep_every_ms = 1'000;
constexpr std::int64_t late_ms = 70'000; // librdkafka's socket.timeout.ms and some: later nothing comes

// The connections that streams and batches share; it ends with the last of them.
class connection : public handle {
public:
  ~connection() override {
    for (const auto& [name, topic] : topics_) rd_kafka_topic_destroy(topic);
    if (rk) rd_kafka_destroy(rk);
  }
  rd_kafka_topic_t* topic(const std::string& name) {
    std::lock_guard hold(lock_);
    auto& t = topics_[name];
    if (!t) t = rd_kafka_topic_new(rk, name.c_str(), nullptr);
    return t;
  }
  bool claim(const topic_partition& p) {
    std::lock_guard hold(lock_);
    return streamed_.insert(p).second;
  }
  void release(const topic_partition& p) {
    std::lock_guard hold(lock_);
    streamed_.erase(p);
  }
  void stopped(const topic_partition& p, rd_kafka_topic_t* topic) {
    std::lock_guard hold(left_lock_);
    left_.insert_or_assign(p, left{topic, now_ms()});
  }
  // To be called before a partition is read again: from then on nothing is dropped of it.
  void starts(const topic_partition& p) {
    std::lock_guard hold(left_lock_);
    left_.erase(p);
  }
  // Drops what came to partitions that are stopped; at most once a `sweep_every_ms`, however often it is called.
  void sweep() {
    const auto now = now_ms();
    if (now < sweep_at_) return;
    std::lock_guard hold(left_lock_);
    if (now < sweep_at_) return;
    sweep_at_ = now + sweep_every_ms;
    rd_kafka_poll(rk, 0); // errors of no partition, for the log; or they would pile up
    for (const auto& [p, l] : left_) drop_left(l.topic, p.partition);
    std::erase_if(left_, [&](const auto& l) { return now - l.second.since > late_ms; });
  }

  std::int64_t rest_ms = 0;
  std::int64_t answer_us = 0;      // to wait for an answer before it is looked at
  std::size_t response_bytes = 0;  // of the largest answer
  std::size_t little_bytes = 0;    // an answer that is smaller is little
  std::atomic<int> in_a_hurry = 0; // streams

private:
  struct left {
    rd_kafka_topic_t* topic;
    std::int64_t since;
  };
  std::mutex lock_, left_lock_;
  std::map<std::string, rd_kafka_topic_t*> topics_;
  std::set<topic_partition> streamed_;
  std::map<topic_partition, left> left_; // stopped a while ago
  std::atomic<std::int64_t> sweep_at_ = 0;
};

stream_error::kind kind_of(rd_kafka_resp_err_t code) {
  using kind = stream_error::kind;
  switch (code) {
  case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
  case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: return kind::out_of_range;
  case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
  case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
  case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
  case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION: return kind::unknown_topic;
  case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
  case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return kind::denied;
  case RD_KAFKA_RESP_ERR__TRANSPORT:
  case RD_KAFKA_RESP_ERR__TIMED_OUT:
  case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN: return kind::transient;
  default:
    // What librdkafka itself cannot read it may step over (a batch with a wrong check sum); what a broker answers it
    // asks again.
    return code < RD_KAFKA_RESP_ERR_UNKNOWN ? kind::damaged : kind::transient;
  }
}

record_view view_of(const rd_kafka_message_t* m) {
  record_view r{{m->offset}, -1, {}, {}, m};
  rd_kafka_timestamp_type_t type;
  auto at = rd_kafka_message_timestamp(m, &type);
  if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) r.timestamp_ms = at;
  if (m->key) r.key = std::string_view(static_cast<const char*>(m->key), m->key_len);
  if (m->payload) r.value = std::string_view(static_cast<const char*>(m->payload), m->len);
  return r;
}

// A fetch that is smaller than a producer's batches gets only one of them a request, for one partition, so it is not
// made small, even if very many partitions then need more memory than they were given, should all of them stand still
// with much to read.
portion portion_of(const fetch_options& o) {
  constexpr portion least;
  auto all = o.buffer_bytes / std::max<std::size_t>(o.partitions, 1);
  auto fetch = std::clamp<std::uint64_t>(all / 2, least.fetch, 1 << 20);
  return {fetch, std::clamp<std::uint64_t>(all > fetch ? all - fetch : 0, least.queue, 1ull << 30)};
}

// One answer holds up to this of all partitions of a broker. Measured with 1,000 partitions: 8 MiB of 128 give twice
// the records of 50, and half the memory, because consuming and fetching overlap.
std::uint64_t response_of(const fetch_options& o) {
  return std::clamp<std::uint64_t>(o.buffer_bytes / 16, 1 << 20, 16 << 20);
}

// Half a millisecond a partition; an eighth to a quarter of the rest between fetches.
std::int64_t answer_us_of(const fetch_options& o) {
  const auto all = static_cast<std::int64_t>(std::min<std::size_t>(o.partitions, 1'000)) * 500;
  return std::clamp(all, o.rest_ms * 1000 / 8, o.rest_ms * 1000 / 4);
}

settings defaults_of(const fetch_options& o) {
  auto response = response_of(o);
  // librdkafka wants it to be at least this one, which a user may have raised.
  auto largest = o.client.properties.find("message.max.bytes");
  if (largest != o.client.properties.end())
    response = std::max<std::uint64_t>(response, std::strtoull(largest->second.c_str(), nullptr, 10));
  return {{"fetch.max.bytes", std::to_string(std::min<std::uint64_t>(response, 1 << 30))},
          {"fetch.message.max.bytes", std::to_string(portion_of(o).fetch)},
          // A stream that starts waits until the fetch that is on its way comes back: at idle partitions, that long.
          {"fetch.wait.max.ms", "100"},
          {"fetch.error.backoff.ms", "100"},
          {"topic.metadata.propagation.max.ms", "5000"}}; // so long an unknown topic may be one being created
}

settings needed_of(const fetch_options& o) {
  return {{"enable.auto.commit", "false"},
          {"enable.auto.offset.store", "false"},
          {"offset.store.method", "none"},
          {"auto.offset.reset", "error"},
          {"isolation.level", "read_committed"},
          {"enable.partition.eof", "true"},
          // Of a batch, as its producer made it: what a disk or a network damaged is an error then, not a record.
          {"check.crcs", "true"},
          // A partition whose queue is full rests for up to a second, so that bytes are the limit for records of some
          // size. Small ones, and those without a value, cost librdkafka some 300 bytes each that it does not count.
          {"queued.min.messages", std::to_string(std::clamp<std::uint64_t>(portion_of(o).queue / 256, 256, 1'000'000))},
          {"queued.max.messages.kbytes", std::to_string(portion_of(o).queue / 1024)}};
}

// librdkafka asks for more as soon as it has an answer, and it has no fetch sessions: where records trickle in over a
// thousand partitions it would send a thousand names for a handful of records, hundreds of times a second. To let the
// broker wait instead (fetch.min.bytes) is worse: it looks at all partitions of a waiting fetch whenever one is written
// to. So the thread that speaks to the broker rests before it looks at a small answer. librdkafka's header warns
// against blocking here: nothing but this handle's fetches is held up, and by no more than `rest_ms`.
//
// The same thread looks at every partition each time that some of an answer has come, and a broker sends an answer
// partition by partition. So it also rests a little after it has asked, until the answer is there as a whole; at a
// thousand partitions, answers of 4 MiB and a busy broker 25 ms were too short, and 50 made one look of a dozen.
constexpr std::int16_t fetch_key = 1; // ApiKey: https://kafka.apache.org/protocol#protocol_api_keys

// A thread of librdkafka speaks to one broker, of one handle.
thread_local bool little_came = false;

const connection* connection_of(void* opaque) {
  return static_cast<const connection*>(static_cast<const handle*>(opaque));
}

// An answer that does not fit into the socket's buffer comes in as many pieces as it takes, with the broker waiting for
// us in between. The kernel makes room for what SO_RCVLOWAT asks for, and keeps it; unlike with SO_RCVBUF the buffer
// can still grow by itself, and is not bounded by net.core.rmem_max. (tcp_set_rcvlowat in Linux, from 4.18 on.)
int open_socket(int domain, int type, int protocol, void* opaque) {
  constexpr std::size_t most = 4 << 20;
  const int fd = ::socket(domain, type | SOCK_CLOEXEC, protocol);
  if (fd < 0) return fd;
  const int room = static_cast<int>(std::min(connection_of(opaque)->response_bytes, most)), one = 1;
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &room, sizeof room);
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
  return fd;
}

void sleep_us(std::int64_t us) {
  if (us > 0) std::this_thread::sleep_for(std::chrono::microseconds(us));
}

rd_kafka_resp_err_t rest_before_answer(rd_kafka_t* rk, int, const char*, std::int32_t, std::int16_t api, std::int16_t,
                                       std::int32_t, std::size_t, void*) {
  const auto* c = connection_of(rd_kafka_opaque(rk));
  if (api == fetch_key && c && c->in_a_hurry == 0) sleep_us(c->answer_us);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t rest_after_fetch(rd_kafka_t* rk, int, const char*, std::int32_t, std::int16_t api, std::int16_t,
                                     std::int32_t, std::size_t size, std::int64_t rtt_us, rd_kafka_resp_err_t err,
                                     void*) {
  const auto* c = connection_of(rd_kafka_opaque(rk));
  if (api != fetch_key || !c) return RD_KAFKA_RESP_ERR_NO_ERROR;
  little_came = !err && size < c->little_bytes && c->in_a_hurry == 0;
  if (little_came) sleep_us(c->rest_ms * 1000 - std::max<std::int64_t>(0, rtt_us));
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t rest_at_fetches(rd_kafka_t* rk, const rd_kafka_conf_t*, void*, char*, std::size_t) {
  if (auto e = rd_kafka_interceptor_add_on_request_sent(rk, "chute", rest_before_answer, nullptr)) return e;
  return rd_kafka_interceptor_add_on_response_received(rk, "chute", rest_after_fetch, nullptr);
}

} // namespace

// --- raw_batch -------------------------------------------------------------------------------------------------------

namespace {

// librdkafka frees a message with what lies around it, and that was looked at a chunk ago: waiting for one line of
// memory after the other was half of what it cost to let go of records, where many partitions are read.
void prefetch(const rd_kafka_message_t* m) {
  constexpr int before = 192, behind = 256, line = 64;
  const auto* at = reinterpret_cast<const char*>(m);
  for (int i = -before; i <= behind; i += line) __builtin_prefetch(at + i, 1);
}

} // namespace

struct raw_batch::held {
  std::shared_ptr<connection> from; // messages point into its topics
  std::vector<rd_kafka_message_t*> messages;
  ~held() {
    constexpr std::size_t ahead = 6;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (i + ahead < messages.size()) prefetch(messages[i + ahead]);
      rd_kafka_message_destroy(messages[i]);
    }
  }
};

raw_batch::raw_batch() = default;
raw_batch::~raw_batch() = default;
raw_batch::raw_batch(raw_batch&&) noexcept = default;
raw_batch& raw_batch::operator=(raw_batch&&) noexcept = default;

void raw_batch::headers(const record_view& r, std::vector<header_view>& out) const {
  out.clear();
  rd_kafka_headers_t* list = nullptr;
  const auto* m = static_cast<const rd_kafka_message_t*>(r.handle);
  if (!m || rd_kafka_message_headers(m, &list) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; !rd_kafka_header_get_all(list, i, &name, &value, &size); ++i)
    out.push_back(
        {name, value ? std::optional(std::string_view(static_cast<const char*>(value), size)) : std::nullopt});
}

// --- stream ----------------------------------------------------------------------------------------------------------

struct stream::impl {
  std::shared_ptr<connection> from;
  topic_partition where;
  wake_callback wake;
  rd_kafka_topic_t* topic = nullptr;
  rd_kafka_queue_t* queue = nullptr; // null: not running
  offset_t position;
  bool halted = false; // an error that only start() mends
  bool hurries = false;
  bool heard = false; // something came since the last start: only then is the log's end not that of before
  std::vector<rd_kafka_message_t*> taken; // out of the queue, not handed on yet
  std::size_t taken_at = 0;
  std::uint64_t mean_bytes = 0; // of a message, of late

  ~impl() {
    halt();
    from->release(where);
  }

  void drop_taken() {
    for (; taken_at < taken.size(); ++taken_at) rd_kafka_message_destroy(taken[taken_at]);
    taken.clear();
    taken_at = 0;
  }
  void hurry(bool on) {
    if (on != hurries) from->in_a_hurry += on ? 1 : -1;
    hurries = on;
  }
  void halt() {
    hurry(false);
    if (!queue) return;
    rd_kafka_queue_cb_event_enable(queue, nullptr, nullptr);
    rd_kafka_consume_stop(topic, where.partition.value);
    drop_taken();
    rd_kafka_queue_destroy(queue);
    queue = nullptr;
    from->stopped(where, topic);
  }
  // The next message in order, or null. `bytes`: so many are wanted.
  rd_kafka_message_t* peek(std::uint64_t bytes) {
    if (taken_at < taken.size()) return taken[taken_at];
    if (told || rd_kafka_queue_length(queue) == 0) return nullptr;
    // What was taken out is not counted in the queue's share: of large messages no more than are asked for.
    taken.resize(std::clamp<std::uint64_t>(bytes / std::max<std::uint64_t>(1, mean_bytes), 1, taken_at_once));
    served = this;
    auto n = rd_kafka_consume_batch_queue(queue, 0, taken.data(), taken.size());
    served = nullptr;
    taken.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    taken_at = 0;
    return taken.empty() ? nullptr : taken[0];
  }
  void fail(raw_batch& out, rd_kafka_resp_err_t code, const std::string& text) {
    out.failure =
        stream_error{kind_of(code), position,
                     make_error(code, to_string(where) + " at offset " + std::to_string(position.value), text)};
    halted = out.failure->halts();
  }

  // librdkafka tells some errors of a partition (it does not exist, no right to see it) to the error callback, in the
  // thread that serves the partition's queue; errors of no partition in one that serves the main queue.
  static thread_local impl* served;
  std::optional<std::pair<rd_kafka_resp_err_t, std::string>> told;
  static void on_error(rd_kafka_t* rk, int code, const char* text, void*) {
    if (served) served->told.emplace(static_cast<rd_kafka_resp_err_t>(code), text ? text : "");
    else write_log(rk, 3, "ERROR", text ? text : "");
  }

  rd_kafka_message_t* next() { return taken[taken_at++]; }
  // The partition's end, or an error. False: it ends the batch. More may have come behind what was the end.
  bool pass_event(raw_batch& out, rd_kafka_message_t* m) {
    const bool end = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    if (end) {
      position = std::max(position, offset_t{m->offset});
      out.end = position;
    } else {
      fail(out, m->err, rd_kafka_message_errstr(m));
    }
    rd_kafka_message_destroy(m);
    return end;
  }
};

thread_local stream::impl* stream::impl::served = nullptr;

stream::stream(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
stream::~stream() = default;
void stream::hurry(bool on) { impl_->hurry(on); }
bool stream::hurries() const { return impl_->hurries; }
bool stream::running() const { return impl_->queue && !impl_->halted; }
offset_t stream::position() const { return impl_->position; }
const topic_partition& stream::where() const { return impl_->where; }

std::int64_t stream::log_end() const {
  const auto& s = *impl_;
  std::int64_t low = 0, high = -1;
  const bool told =
      s.heard && rd_kafka_get_watermark_offsets(s.from->rk, s.where.topic.c_str(), s.where.partition.value, &low,
                                                &high) == RD_KAFKA_RESP_ERR_NO_ERROR;
  return told ? std::max<std::int64_t>(high, -1) : -1;
}

result<void> stream::start(offset_t from) {
  auto& s = *impl_;
  s.halt();
  s.halted = false;
  s.told.reset();
  s.heard = false;
  s.position = from;
  if (from.value < 0) return error{"kafka", to_string(s.where) + ": no offset " + std::to_string(from.value), ""};
  s.from->starts(s.where);
  s.queue = rd_kafka_queue_new(s.from->rk);
  if (s.wake)
    rd_kafka_queue_cb_event_enable(
        s.queue, [](rd_kafka_t*, void* opaque) { static_cast<impl*>(opaque)->wake(); }, impl_.get());
  if (rd_kafka_consume_start_queue(s.topic, s.where.partition.value, from.value, s.queue) == 0) {
    s.hurry(true);
    return {};
  }
  auto why = make_error(rd_kafka_last_error(), "reading " + to_string(s.where));
  rd_kafka_queue_destroy(std::exchange(s.queue, nullptr));
  return why;
}

void stream::stop() {
  impl_->halt();
  impl_->halted = false;
  impl_->from->sweep();
}

raw_batch stream::take(std::size_t max_records, std::uint64_t max_bytes) {
  auto& s = *impl_;
  raw_batch out;
  out.first = s.position;
  out.last = s.position - 1;
  if (!running()) return out;
  out.held_ = std::make_unique<raw_batch::held>();
  out.held_->from = s.from;
  const auto expected = std::min(max_records, s.taken.size() - s.taken_at + rd_kafka_queue_length(s.queue));
  out.records.reserve(expected);
  out.held_->messages.reserve(expected);
  while (auto* m = s.peek(max_bytes > out.bytes ? max_bytes - out.bytes : 0)) {
    bool full =
        out.records.size() >= std::max<std::size_t>(max_records, 1) || (out.bytes >= max_bytes && !out.records.empty());
    if (full) break;
    s.next();
    if (m->err) {
      if (!s.pass_event(out, m)) break;
      continue;
    }
    if (m->offset < s.position.value) { // of before a start; librdkafka drops these itself
      rd_kafka_message_destroy(m);
      continue;
    }
    out.end.reset();
    out.held_->messages.push_back(m);
    out.records.push_back(view_of(m));
    out.bytes += m->len + m->key_len;
    s.mean_bytes = (7 * s.mean_bytes + m->len + m->key_len) / 8;
    s.position = offset_t{m->offset} + 1;
  }
  if (s.told && s.taken_at == s.taken.size() && !out.failure && !out.end) {
    s.fail(out, s.told->first, s.told->second);
    s.told.reset();
  }
  out.last = s.position - 1;
  s.heard = s.heard || !out.records.empty() || out.end;
  out.log_end = log_end();
  out.at_end = out.end || (out.log_end >= 0 && s.position.value >= out.log_end);
  s.from->sweep();
  if (s.halted) s.halt();
  out.more = s.queue && (s.told || s.taken_at < s.taken.size() || rd_kafka_queue_length(s.queue) > 0);
  return out;
}

// --- fetcher ---------------------------------------------------------------------------------------------------------

struct fetcher::impl final : connection {
  portion share;
};

fetcher::fetcher(std::shared_ptr<impl> state) : impl_(std::move(state)) {}
fetcher::~fetcher() = default;

result<std::unique_ptr<fetcher>> fetcher::open(fetch_options options) {
  auto state = std::make_shared<impl>();
  state->rest_ms = options.rest_ms;
  state->answer_us = answer_us_of(options);
  state->response_bytes = response_of(options);
  state->little_bytes = state->response_bytes / 2;
  state->share = portion_of(options);
  const auto rest = [](rd_kafka_conf_t* c) {
    rd_kafka_conf_interceptor_add_on_new(c, "chute", rest_at_fetches, nullptr);
  };
  const auto callbacks = [](rd_kafka_conf_t* c) {
    rd_kafka_conf_set_error_cb(c, stream::impl::on_error);
    rd_kafka_conf_set_socket_cb(c, open_socket);
  };
  if (auto done = open_handle(*state, options.client, defaults_of(options), needed_of(options), callbacks,
                              options.rest_ms > 0 ? +rest : nullptr);
      !done)
    return done.failure();
  return std::unique_ptr<fetcher>(new fetcher(std::move(state)));
}

portion fetcher::share() const { return impl_->share; }

result<std::unique_ptr<stream>> fetcher::open_stream(const topic_partition& where, wake_callback wake) {
  if (where.topic.empty() || where.partition.value < 0)
    return error{"kafka", "'" + to_string(where) + "' is no partition", "correct topics"};
  auto* topic = impl_->topic(where.topic);
  if (!topic) return make_error(rd_kafka_last_error(), "opening " + to_string(where));
  if (!impl_->claim(where))
    return error{"kafka", to_string(where) + " is read by another stream of this fetcher already", ""};
  auto state = std::make_unique<stream::impl>();
  state->from = impl_;
  state->where = where;
  state->wake = std::move(wake);
  state->topic = topic;
  return std::unique_ptr<stream>(new stream(std::move(state)));
}

} // namespace chute::kafka
