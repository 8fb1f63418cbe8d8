#include "test/kit/produce.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <deque>

namespace chute::kit {
namespace {

constexpr int flush_limit_ms = 60'000;
constexpr std::uint64_t transaction_records = 1'000;

// A record that did not leave, to be sent again.
struct left_over {
  int partition = 0;
  std::optional<std::string> key, value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};

struct delivery {
  std::uint64_t failed = 0;
  std::string why;
  std::deque<left_over> again;
};

std::optional<std::string> text_of(const void* data, std::size_t size) {
  return data ? std::optional(std::string(static_cast<const char*>(data), size)) : std::nullopt;
}

left_over copy_of(const rd_kafka_message_t* m) {
  left_over out{m->partition, text_of(m->key, m->key_len), text_of(m->payload, m->len), {}};
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(m, &headers)) return out;
  const char* name = nullptr;
  const void* value = nullptr;
  for (std::size_t i = 0, size = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); ++i)
    out.headers.emplace_back(name, text_of(value, size));
  return out;
}

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* m, void* opaque) {
  auto* d = static_cast<delivery*>(opaque);
  // What an aborted transaction purges was never meant to arrive.
  if (m->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || m->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) return;
  if (!m->err && m->offset >= 0) return;
  // Of a topic that was just made a broker may tell that it is not there, after another one told that it is. librdkafka
  // (2.0.2) then lets go of its partitions, and reports what waited in their queues as "Broker handle destroyed".
  if (m->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || m->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
      m->err == RD_KAFKA_RESP_ERR__DESTROY)
    return d->again.push_back(copy_of(m));
  if (!d->failed++) d->why = m->err ? rd_kafka_err2str(m->err) : "said to be delivered, but to no offset";
}

using error_handle = std::unique_ptr<rd_kafka_error_t, with<rd_kafka_error_t, rd_kafka_error_destroy>>;

void must(rd_kafka_error_t* e, const char* what) {
  const error_handle keep(e);
  if (e) throw failure(std::string("produce: ") + what + ": " + rd_kafka_error_string(e));
}

struct outgoing {
  int partition = 0;
  std::optional<std::string_view> key, value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};

class sender {
public:
  explicit sender(const production& what) : what_(what) {
    // One request at a time: a new partition may refuse the first request as unknown and take the second, whatever its
    // sequence number, and librdkafka then holds the first for delivered too
    // (https://github.com/confluentinc/confluent-kafka-go/issues/921).
    properties all = {{"enable.idempotence", "true"},
                      {"max.in.flight.requests.per.connection", "1"},
                      {"linger.ms", "5"},
                      {"batch.size", "1000000"},
                      {"queue.buffering.max.messages", "500000"},
                      {"queue.buffering.max.kbytes", "262144"},
                      {"compression.type", what.compression},
                      {"message.max.bytes", "10000000"}};
    if (what.transactions)
      all["transactional.id"] = "chute-kit-" + what.topic + "-" + std::to_string(what.records.seed);
    for (const auto& [key, value] : what.extra) all[key] = value;
    handle_ = make_producer(what.brokers, all, on_delivery, &delivery_);
    topic_.reset(rd_kafka_topic_new(handle_.get(), what.topic.c_str(), nullptr));
    partitions_ = partition_count(handle_.get(), what.topic);
    if (what.transactions) must(rd_kafka_init_transactions(handle_.get(), flush_limit_ms), "init transactions");
  }
  int partitions() const { return partitions_; }
  void poll(int ms) { rd_kafka_poll(handle_.get(), ms); }
  void begin() { must(rd_kafka_begin_transaction(handle_.get()), "begin transaction"); }
  void commit() { must(rd_kafka_commit_transaction(handle_.get(), flush_limit_ms), "commit transaction"); }
  void abort() {
    rd_kafka_flush(handle_.get(), flush_limit_ms); // so that the aborted records stand in the log
    must(rd_kafka_abort_transaction(handle_.get(), flush_limit_ms), "abort transaction");
  }

  void send(const outgoing& r) {
    hand_over(r);
    if (++sent_ % 1024 == 0) poll(0);
    send_left_over();
    check();
  }

  void finish() {
    const double give_up = seconds_now() + flush_limit_ms / 1e3;
    do {
      send_left_over();
      if (rd_kafka_flush(handle_.get(), flush_limit_ms) || seconds_now() > give_up)
        throw failure("produce: records are left undelivered after 60 s");
    } while (!delivery_.again.empty());
    check();
  }

private:
  void hand_over(const outgoing& r) {
    for (const double give_up = seconds_now() + flush_limit_ms / 1e3;;) {
      const auto err = try_send(r);
      if (!err) return;
      // A topic that was just made is not known to every broker at once.
      const bool later = err == RD_KAFKA_RESP_ERR__QUEUE_FULL || err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
                         err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
      if (!later) throw failure(std::string("produce: ") + rd_kafka_err2str(err));
      if (seconds_now() > give_up)
        throw failure(std::string("produce: the broker took nothing for 60 s: ") + rd_kafka_err2str(err));
      poll(10);
    }
  }

  void send_left_over() {
    for (auto n = delivery_.again.size(); n > 0; --n) { // those that come meanwhile: next time
      const auto r = std::move(delivery_.again.front());
      delivery_.again.pop_front();
      hand_over({r.partition, r.key, r.value, r.headers});
    }
  }

  void check() const {
    if (delivery_.failed) {
      throw failure("produce: " + std::to_string(delivery_.failed) + " records were not delivered: " + delivery_.why);
    }
  }

  rd_kafka_resp_err_t try_send(const outgoing& r) {
    void* value = r.value ? const_cast<char*>(r.value->data()) : nullptr;
    const std::size_t size = r.value ? r.value->size() : 0;
    if (r.headers.empty()) {
      const int bad = rd_kafka_produce(topic_.get(), r.partition, RD_KAFKA_MSG_F_COPY, value, size,
                                       r.key ? r.key->data() : nullptr, r.key ? r.key->size() : 0, nullptr);
      return bad ? rd_kafka_last_error() : RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    rd_kafka_headers_t* headers = rd_kafka_headers_new(r.headers.size());
    for (const auto& [name, text] : r.headers) {
      rd_kafka_header_add(headers, name.c_str(), -1, text ? text->data() : nullptr,
                          text ? static_cast<ssize_t>(text->size()) : 0);
    }
    const void* key = r.key ? r.key->data() : nullptr;
    const std::size_t key_size = r.key ? r.key->size() : 0;
    const auto err = rd_kafka_producev(handle_.get(), RD_KAFKA_V_RKT(topic_.get()), RD_KAFKA_V_PARTITION(r.partition),
                                       RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value, size),
                                       RD_KAFKA_V_KEY(key, key_size), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (err) rd_kafka_headers_destroy(headers); // taken over only if the record was
    return err;
  }

  const production& what_;
  delivery delivery_;
  kafka_handle handle_; // after what its callbacks use, so that it goes first
  topic_handle topic_;
  int partitions_ = 0;
  std::uint64_t sent_ = 0;
};

class run {
public:
  explicit run(const production& what) : what_(what), maker_(what.records), to_(what) {}

  produced go() {
    const double start = seconds_now();
    bool open = false;
    std::uint64_t i = 0;
    for (; i < what_.count && !interrupted; i++) {
      if (what_.transactions && i % transaction_records == 0) {
        if (open) to_.commit();
        open = false;
        if (i / transaction_records % 4 == 3) abort_some(i);
        to_.begin();
        open = true;
      }
      if (what_.rate > 0) pace(start, i);
      one(what_.first + i, out_);
    }
    if (open) to_.commit();
    to_.finish();
    out_.committed = i;
    out_.seconds = seconds_now() - start;
    return out_;
  }

private:
  void pace(double start, std::uint64_t i) {
    for (double due = start + static_cast<double>(i) / what_.rate, now; (now = seconds_now()) < due && !interrupted;) {
      to_.poll(static_cast<int>(std::min((due - now) * 1e3 + 1, 100.0)));
    }
  }

  // Records that nobody may ever see.
  void abort_some(std::uint64_t i) {
    produced unused;
    to_.begin();
    for (std::uint64_t k = 0; k < transaction_records / 10; k++) one(~(what_.first + i + k), unused);
    to_.abort();
    out_.aborted += transaction_records / 10;
  }

  void one(std::uint64_t i, produced& count) {
    maker_.make(i, made_);
    r_.headers.clear();
    r_.key.reset();
    r_.partition = static_cast<int>(i / what_.run % static_cast<std::uint64_t>(to_.partitions()));
    if (what_.keys) {
      key_ = "c" + std::to_string(made_.customer);
      r_.key = key_;
      r_.partition = static_cast<int>(mix(made_.customer) % static_cast<std::uint64_t>(to_.partitions()));
      if (i % 7 == 0)
        r_.headers = {
            {"origin", "kit"}, {"empty", ""}, {"none", std::nullopt}, {"bytes", std::string("\x00\xff\x7f", 3)}};
    }
    if (made_.broken) {
      r_.headers.emplace_back(broken_header, made_.broken);
      count.broken++;
    }
    r_.value = made_.tombstone ? std::nullopt : std::optional<std::string_view>(made_.value);
    to_.send(r_);
  }

  const production& what_;
  record_maker maker_;
  made_record made_;
  sender to_;
  outgoing r_;
  std::string key_;
  produced out_;
};

std::string from_base64(const std::string& text) {
  std::string out;
  std::uint32_t bits = 0;
  int have = 0;
  for (char c : text) {
    constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (c == '=') break;
    const std::size_t v = letters.find(c);
    if (v == letters.npos) throw failure("produce: not base64: \"" + text.substr(0, 40) + "\"");
    bits = (bits << 6) | static_cast<std::uint32_t>(v);
    if ((have += 6) >= 8) out += static_cast<char>(bits >> (have -= 8));
  }
  return out;
}

std::optional<std::string> bytes_of(const nlohmann::json& line, const std::string& name) {
  if (const auto raw = line.find(name + "_base64"); raw != line.end()) return from_base64(raw->get<std::string>());
  if (const auto text = line.find(name); text != line.end() && !text->is_null()) return text->get<std::string>();
  return {};
}

} // namespace

produced produce(const production& what) { return run(what).go(); }

produced produce_lines(const production& what, std::istream& from) {
  sender to(what);
  produced out;
  std::string text;
  for (std::uint64_t n = 1; std::getline(from, text); n++) {
    if (text.empty()) continue;
    try {
      const nlohmann::json line = nlohmann::json::parse(text);
      const std::optional<std::string> key = bytes_of(line, "key"), value = bytes_of(line, "value");
      outgoing r;
      r.partition =
          line.value("partition", static_cast<int>(out.committed % static_cast<std::uint64_t>(to.partitions())));
      r.key = key;
      r.value = value;
      for (const auto& pair : line.value("headers", nlohmann::json::array())) {
        r.headers.emplace_back(pair.at(0).get<std::string>(),
                               pair.at(1).is_null() ? std::nullopt : std::optional(pair.at(1).get<std::string>()));
      }
      to.send(r);
      out.committed++;
    } catch (const nlohmann::json::exception& e) {
      throw failure("produce: line " + std::to_string(n) + ": " + e.what());
    }
  }
  to.finish();
  return out;
}

} // namespace chute::kit
