// bench-floor: what moving records from Kafka into ClickHouse costs at least. A hand-written loop for one shape of
// record, in one file: librdkafka in batches, simdjson on demand, columns in the layout of the Native format, libcurl.
// It plans nothing, saves nothing, repeats nothing and checks nothing beyond what parsing takes. chute is measured
// against it (dev/bench); it shares no code with chute on purpose.
//
// --until takes the loop apart: `consume` only reads, `parse` also reads every value into small columns that are
// emptied after each record, `build` keeps the columns up to a batch, `send` is all of it.
//
// The last line on stdout is JSON: records, bytes (of their values), inserts, wall_s, threads' share of the CPU.
#include <CLI/CLI.hpp>
#include <curl/curl.h>
#include <librdkafka/rdkafka.h>
#include <lz4frame.h>
#include <simdjson.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <sys/resource.h>
#include <time.h>

#include <bit>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace chute {
namespace {

using simdjson::ondemand::raw_json_string;

enum class stage { consume, parse, build, send };

struct floor_options {
  std::string brokers, topic, url, database, table, compression = "lz4", until = "send";
  std::vector<std::string> properties; // NAME=VALUE for librdkafka
  std::uint64_t rows = 500'000, bytes = 64u << 20;
  bool provenance = false;
};

constexpr int silence_ms_max = 60'000;     // without a record or the end of a partition
constexpr int gather_ms_max = 50;          // librdkafka waits so long for a full batch of messages
constexpr long insert_s_max = 120;         // one insert
constexpr std::size_t take_at_once = 2048; // messages taken from librdkafka at once
constexpr std::size_t compress_at_once = 256u << 10;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("bench-floor: " + what); }

double thread_cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// -- columns ---

// A growing buffer that is never zeroed.
class buffer {
public:
  const char* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  void clear() { size_ = 0; }
  // Room for n more bytes, of which used() says how many were taken.
  char* room(std::size_t n) {
    if (size_ + n > capacity_) grow(size_ + n);
    return data_.get() + size_;
  }
  void used(std::size_t n) { size_ += n; }
  template <class T> void put(T v) {
    std::memcpy(room(sizeof v), &v, sizeof v);
    size_ += sizeof v;
  }
  void put_text(std::string_view s) {
    char* at = room(s.size() + 10);
    std::size_t n = put_length(at, s.size());
    std::memcpy(at + n, s.data(), s.size());
    size_ += n + s.size();
  }
  // Unsigned LEB128, as ClickHouse writes lengths. Returns its bytes, at most 10.
  static std::size_t put_length(char* at, std::uint64_t v) {
    std::size_t n = 0;
    for (; v >= 0x80; v >>= 7) at[n++] = static_cast<char>(v | 0x80);
    at[n++] = static_cast<char>(v);
    return n;
  }

private:
  void grow(std::size_t at_least) {
    std::size_t n = capacity_ ? capacity_ : 4096;
    while (n < at_least) n *= 2;
    std::unique_ptr<char[]> next(new char[n]);
    if (size_) std::memcpy(next.get(), data_.get(), size_);
    data_ = std::move(next);
    capacity_ = n;
  }
  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0, capacity_ = 0;
};

// In the order in which the fields stand in a record of chute-kit's shape `orders`.
enum column_number {
  id,
  ordered_at,
  customer,
  status,
  note,
  quantity,
  price,
  country,
  tags,
  product,
  attributes,
  from_topic,
  from_partition,
  from_offset, // --provenance
  column_count
};

struct column_head {
  std::string_view name, type;
};

// LowCardinality(String) goes out as String: the server converts.
constexpr column_head heads[column_count] = {
    {"id", "UInt64"},
    {"ordered_at", "DateTime64(3)"},
    {"customer", "UInt32"},
    {"status", "String"},
    {"note", "Nullable(String)"},
    {"quantity", "UInt32"},
    {"price", "Float64"},
    {"country", "FixedString(2)"},
    {"tags", "Array(String)"},
    {"product", "String"},
    {"attributes", "Map(String, String)"},
    {"_topic", "String"},
    {"_partition", "Int32"},
    {"_offset", "Int64"},
};

// One insert: columns of equal length. Before a column's values come its nulls (note) or the running ends of its
// elements (tags, attributes); after the keys of a map come its values.
struct batch {
  std::size_t rows = 0;
  std::uint64_t tag_count = 0, attribute_count = 0;
  buffer before[column_count], values[column_count], map_values;

  void clear() {
    rows = tag_count = attribute_count = 0;
    for (auto& b : before) b.clear();
    for (auto& b : values) b.clear();
    map_values.clear();
  }
  std::size_t bytes() const {
    std::size_t n = map_values.size();
    for (auto& b : before) n += b.size();
    for (auto& b : values) n += b.size();
    return n;
  }
  // The body of the insert in format Native: one block.
  std::vector<std::string_view> pieces(int columns, std::vector<buffer>& own) const {
    std::vector<std::string_view> out;
    own = std::vector<buffer>(static_cast<std::size_t>(columns) + 1);
    auto add = [&](const buffer& b) {
      if (b.size()) out.emplace_back(b.data(), b.size());
    };
    own[0].used(buffer::put_length(own[0].room(10), static_cast<std::uint64_t>(columns)));
    own[0].used(buffer::put_length(own[0].room(10), rows));
    add(own[0]);
    for (int c = 0; c < columns; ++c) {
      auto& head = own[static_cast<std::size_t>(c) + 1];
      head.put_text(heads[c].name);
      head.put_text(heads[c].type);
      add(head);
      add(before[c]);
      add(values[c]);
      if (c == attributes) add(map_values);
    }
    return out;
  }
};

// -- one record ---

// Reads records of one shape, fields in one order. `status` and `note` may be missing.
class record_parser {
public:
  void add(batch& b, const char* value, std::size_t size) {
    // simdjson reads beyond its input, which a message's buffer does not promise to bear.
    if (size + simdjson::SIMDJSON_PADDING > capacity_) {
      capacity_ = 2 * (size + simdjson::SIMDJSON_PADDING);
      padded_.reset(new char[capacity_]);
    }
    std::memcpy(padded_.get(), value, size);
    text_max_ = size + simdjson::SIMDJSON_PADDING + 10;
    auto document = parser_.iterate(padded_.get(), size, capacity_);
    int next = id;
    for (auto field : document.get_object()) {
      const char* key = field.key().value().raw();
      while (!keys_[next].is(key)) missing(next++, b);
      fill(next++, field.value().value(), b);
    }
    while (next < from_topic) missing(next++, b);
    ++b.rows;
  }

private:
  // A field's name and the quote behind it, compared as two words: shorter than a call of memcmp.
  struct key_words {
    std::uint64_t want[2], mask[2];
    explicit key_words(std::string_view name) {
      char text[16] = {}, bits[16] = {};
      if (name.size() > 15) fail("a field's name is longer than 15 characters");
      name.copy(text, name.size());
      text[name.size()] = '"';
      std::memset(bits, 0xff, name.size() + 1);
      std::memcpy(want, text, 16);
      std::memcpy(mask, bits, 16);
    }
    bool is(const char* key) const { // 16 bytes may be read: the record is padded
      std::uint64_t have[2];
      std::memcpy(have, key, 16);
      return (((have[0] & mask[0]) ^ want[0]) | ((have[1] & mask[1]) ^ want[1])) == 0;
    }
  };

  static std::vector<key_words> make_keys() {
    std::vector<key_words> out;
    for (auto& h : heads) out.emplace_back(h.name);
    return out;
  }

  void fill(int column, simdjson::ondemand::value v, batch& b) {
    buffer& to = b.values[column];
    switch (column) {
    case id: return to.put<std::uint64_t>(v.get_uint64().value());
    case ordered_at: return to.put(milliseconds(v.get_raw_json_string().value().raw()));
    case customer:
    case quantity: return to.put(static_cast<std::uint32_t>(v.get_uint64().value()));
    case price: return to.put<double>(v.get_double().value());
    case status:
    case product: return text(v.get_raw_json_string().value(), to);
    case note: return nullable_text(v, b.before[note], to);
    case country: return fixed_text<2>(v.get_raw_json_string().value(), to);
    case tags:
      for (auto tag : v.get_array()) {
        text(tag.get_raw_json_string().value(), to);
        ++b.tag_count;
      }
      return b.before[tags].put(b.tag_count);
    case attributes:
      for (auto pair : v.get_object()) {
        text(pair.key().value(), to);
        text(pair.value().get_raw_json_string().value(), b.map_values);
        ++b.attribute_count;
      }
      return b.before[attributes].put(b.attribute_count);
    default: fail("a field of another shape");
    }
  }

  static void missing(int column, batch& b) {
    if (column == note) b.before[note].put<char>(1);
    else if (column != status) fail("a field is missing, or of another shape");
    b.values[column].put<char>(0);
  }

  // Unescapes right into the column, behind a length of one byte; a longer length moves the text.
  void text(raw_json_string from, buffer& to) {
    char* at = to.room(text_max_);
    std::size_t n = unescape(from, at + 1);
    if (n < 0x80) {
      *at = static_cast<char>(n);
      return to.used(n + 1);
    }
    char length[10];
    std::size_t l = buffer::put_length(length, n);
    std::memmove(at + l, at + 1, n);
    std::memcpy(at, length, l);
    to.used(n + l);
  }

  // Most texts hold no escape and end within a few steps of 16 bytes; the others are left to simdjson.
  std::size_t unescape(raw_json_string from, char* to) {
#ifdef __SSE2__
    const char* s = from.raw();
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    for (std::size_t done = 0; done < text_max_; done += 16) {
      __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(s + done));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + done), part);
      auto quotes = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(part, quote)));
      auto escapes = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(part, backslash)));
      if ((quotes - 1) & escapes) break; // an escape before the quote, if there is one
      if (quotes) return done + static_cast<std::size_t>(std::countr_zero(quotes));
    }
#endif
    auto* end = reinterpret_cast<std::uint8_t*>(to);
    return parser_.unescape(from, end).value().size();
  }

  void nullable_text(simdjson::ondemand::value& v, buffer& nulls, buffer& to) {
    bool null = v.is_null();
    nulls.put<char>(null);
    if (null) to.put<char>(0);
    else text(v.get_raw_json_string().value(), to);
  }

  template <std::size_t Width> void fixed_text(raw_json_string from, buffer& to) {
    if (unescape(from, to.room(text_max_)) != Width) fail("a fixed string of another length");
    to.used(Width);
  }

  // 2026-01-02T03:04:05.678 and Z or +02:00, and nothing else, since Unix epoch.
  static std::int64_t milliseconds(const char* s) {
    auto digits = [s](int from, int to) {
      int n = 0;
      for (int i = from; i < to; ++i) {
        unsigned d = static_cast<unsigned char>(s[i]) - unsigned{'0'};
        if (d > 9) fail("not a time: " + std::string(s, 24));
        n = n * 10 + static_cast<int>(d);
      }
      return n;
    };
    std::chrono::year_month_day day{std::chrono::year(digits(0, 4)),
                                    std::chrono::month(static_cast<unsigned>(digits(5, 7))),
                                    std::chrono::day(static_cast<unsigned>(digits(8, 10)))};
    std::int64_t seconds = std::chrono::sys_days(day).time_since_epoch().count() * std::int64_t{86'400} +
                           digits(11, 13) * 3600 + digits(14, 16) * 60 + digits(17, 19);
    if (s[23] != 'Z') seconds -= (s[23] == '-' ? -60 : 60) * (digits(24, 26) * 60 + digits(27, 29));
    return seconds * 1000 + digits(20, 23);
  }

  std::vector<key_words> keys_ = make_keys();
  simdjson::ondemand::parser parser_;
  std::unique_ptr<char[]> padded_;
  std::size_t capacity_ = 0, text_max_ = 0;
};

// -- sending ---

// The body of a request, read by libcurl piece by piece, compressed on the way if that was asked for.
class body_reader {
public:
  body_reader(std::vector<std::string_view> pieces, bool lz4) : pieces_(std::move(pieces)) {
    if (!lz4) return;
    if (LZ4F_isError(LZ4F_createCompressionContext(&context_, LZ4F_VERSION))) fail("no context for lz4");
    packed_.resize(LZ4F_compressBound(compress_at_once, nullptr) + LZ4F_HEADER_SIZE_MAX);
    ready(LZ4F_compressBegin(context_, packed_.data(), packed_.size(), nullptr));
  }
  body_reader(const body_reader&) = delete;
  body_reader& operator=(const body_reader&) = delete;
  ~body_reader() {
    if (context_) LZ4F_freeCompressionContext(context_);
  }

  static std::size_t read(char* to, std::size_t, std::size_t n, void* self) {
    return static_cast<body_reader*>(self)->take(to, n);
  }

private:
  std::size_t take(char* to, std::size_t room) {
    std::size_t done = 0;
    while (done < room) {
      std::string_view from = next();
      if (from.empty()) break;
      std::size_t n = std::min(room - done, from.size());
      std::memcpy(to + done, from.data(), n);
      (context_ ? waiting_ : pieces_[piece_]).remove_prefix(n);
      done += n;
    }
    return done;
  }

  std::string_view next() {
    if (!context_) return plain();
    while (waiting_.empty() && !ended_) {
      std::string_view from = plain().substr(0, compress_at_once);
      if (from.empty()) {
        ended_ = true;
        ready(LZ4F_compressEnd(context_, packed_.data(), packed_.size(), nullptr));
      } else {
        ready(LZ4F_compressUpdate(context_, packed_.data(), packed_.size(), from.data(), from.size(), nullptr));
        pieces_[piece_].remove_prefix(from.size());
      }
    }
    return waiting_;
  }

  std::string_view plain() {
    while (piece_ < pieces_.size() && pieces_[piece_].empty()) ++piece_;
    return piece_ < pieces_.size() ? pieces_[piece_] : std::string_view{};
  }

  void ready(std::size_t n) {
    if (LZ4F_isError(n)) fail(std::string("lz4: ") + LZ4F_getErrorName(n));
    waiting_ = {packed_.data(), n};
  }

  std::vector<std::string_view> pieces_;
  std::size_t piece_ = 0;
  LZ4F_cctx* context_ = nullptr;
  std::vector<char> packed_;
  std::string_view waiting_;
  bool ended_ = false;
};

std::size_t keep_reply(char* from, std::size_t, std::size_t n, void* to) {
  auto& text = *static_cast<std::string*>(to);
  text.append(from, std::min<std::size_t>(n, 4096 - std::min<std::size_t>(text.size(), 4096)));
  return n;
}

// One connection, kept alive.
class inserter {
public:
  inserter(const floor_options& o) : columns_(o.provenance ? column_count : from_topic), lz4_(o.compression == "lz4") {
    if (o.compression != "lz4" && o.compression != "none") fail("--compression is lz4 or none, not " + o.compression);
    std::string names;
    for (int c = 0; c < columns_; ++c) names += (c ? ", `" : "`") + std::string(heads[c].name) + "`";
    std::string insert = "INSERT INTO `" + o.database + "`.`" + o.table + "` (" + names + ") FORMAT Native";
    curl_ = curl_easy_init();
    if (!curl_) fail("libcurl has no handle");
    char* escaped = curl_easy_escape(curl_, insert.c_str(), static_cast<int>(insert.size()));
    url_ = o.url + "/?async_insert=0&wait_end_of_query=1&query=" + escaped;
    curl_free(escaped);
    headers_ = curl_slist_append(headers_, "Expect:");
    headers_ = curl_slist_append(headers_, "Content-Type: application/octet-stream");
    if (lz4_) headers_ = curl_slist_append(headers_, "Content-Encoding: lz4");
    if (lz4_) headers_ = curl_slist_append(headers_, "Transfer-Encoding: chunked");
    curl_easy_setopt(curl_, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(curl_, CURLOPT_POST, 1L);
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(curl_, CURLOPT_READFUNCTION, &body_reader::read);
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &keep_reply);
    curl_easy_setopt(curl_, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
    curl_easy_setopt(curl_, CURLOPT_TIMEOUT, insert_s_max);
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
  }
  inserter(const inserter&) = delete;
  inserter& operator=(const inserter&) = delete;
  ~inserter() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(curl_);
  }

  void insert(const batch& b) {
    std::vector<buffer> own;
    auto pieces = b.pieces(columns_, own);
    curl_off_t size = 0;
    for (auto p : pieces) size += static_cast<curl_off_t>(p.size());
    body_reader body(std::move(pieces), lz4_);
    std::string reply;
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, lz4_ ? curl_off_t{-1} : size);
    curl_easy_setopt(curl_, CURLOPT_READDATA, &body);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &reply);
    CURLcode done = curl_easy_perform(curl_);
    long http = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &http);
    if (done != CURLE_OK) fail(std::string("insert: ") + curl_easy_strerror(done));
    if (http != 200 || reply.find("DB::Exception") != std::string::npos)
      fail("insert: HTTP " + std::to_string(http) + ": " + reply);
  }

private:
  int columns_;
  bool lz4_;
  CURL* curl_ = nullptr;
  curl_slist* headers_ = nullptr;
  std::string url_;
};

// Inserts one batch while the next one is gathered.
class sender {
public:
  explicit sender(const floor_options& o) : inserter_(o), thread_([this] { run(); }) {}
  ~sender() {
    {
      std::lock_guard hold(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  // Takes the batch and gives back an empty one. Waits for the insert before.
  std::unique_ptr<batch> swap(std::unique_ptr<batch> full) {
    std::unique_lock hold(mutex_);
    wait_idle(hold);
    full_ = std::move(full);
    ++inserts;
    wake_.notify_all();
    auto next = empty_ ? std::move(empty_) : std::make_unique<batch>();
    next->clear();
    return next;
  }
  void finish() {
    std::unique_lock hold(mutex_);
    wait_idle(hold);
  }

  std::uint64_t inserts = 0;
  double cpu_s = 0; // of the sending thread, once it is idle

private:
  void wait_idle(std::unique_lock<std::mutex>& hold) {
    wake_.wait(hold, [this] { return !full_ || !failure_.empty(); }); // bounded by the insert's own limit
    if (!failure_.empty()) throw std::runtime_error(failure_);
  }

  void run() {
    std::unique_lock hold(mutex_);
    for (;;) {
      wake_.wait(hold, [this] { return stop_ || (full_ && failure_.empty()); });
      if (stop_) return;
      hold.unlock();
      std::string failure;
      try {
        inserter_.insert(*full_);
      } catch (const std::exception& e) {
        failure = e.what();
      }
      hold.lock();
      failure_ = failure;
      cpu_s = thread_cpu_s();
      if (failure.empty()) empty_ = std::move(full_);
      wake_.notify_all();
    }
  }

  inserter inserter_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::unique_ptr<batch> full_, empty_;
  std::string failure_;
  bool stop_ = false;
  std::thread thread_; // last: it uses all of the above
};

// -- Kafka ---

// All partitions of a topic from their begin to the end that they have at the start, through one queue.
class topic_reader {
public:
  explicit topic_reader(const floor_options& o) {
    char why[512];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    auto set = [&](const std::string& name, const std::string& value) {
      if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why, sizeof why) != RD_KAFKA_CONF_OK) fail(why);
    };
    set("bootstrap.servers", o.brokers);
    set("enable.partition.eof", "true");
    set("queued.min.messages", "1000000"); // a full queue rests a partition for a second
    for (const auto& p : o.properties) set(p.substr(0, p.find('=')), p.substr(std::min(p.size(), p.find('=') + 1)));
    kafka_ = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!kafka_) fail(why);
    topic_ = rd_kafka_topic_new(kafka_, o.topic.c_str(), nullptr);
    queue_ = rd_kafka_queue_new(kafka_);
    for (int p = 0; p < partition_count(o); ++p) start(o, p);
  }
  topic_reader(const topic_reader&) = delete;
  topic_reader& operator=(const topic_reader&) = delete;
  ~topic_reader() {
    for (std::size_t p = 0; p < ends_.size(); ++p) rd_kafka_consume_stop(topic_, static_cast<std::int32_t>(p));
    rd_kafka_queue_destroy(queue_);
    rd_kafka_topic_destroy(topic_);
    rd_kafka_destroy(kafka_);
  }

  // Every record to `take`. Returns once all partitions are at their ends.
  template <class Take, class Between> void read_all(Take&& take, Between&& between) {
    std::vector<rd_kafka_message_t*> messages(take_at_once);
    for (int silence_ms = 0; open_ > 0;) {
      ssize_t n = rd_kafka_consume_batch_queue(queue_, gather_ms_max, messages.data(), messages.size());
      if (n < 0) fail(std::string("consume: ") + rd_kafka_err2str(rd_kafka_last_error()));
      silence_ms = n > 0 ? 0 : silence_ms + gather_ms_max;
      if (silence_ms > silence_ms_max) fail("no record for 60 s");
      for (message_run rest{messages.data(), messages.data() + n}; rest.at != rest.end; rest.pop()) {
        const rd_kafka_message_t& m = **rest.at;
        if (m.err) ended(m);
        else if (m.offset < ends_[static_cast<std::size_t>(m.partition)]) take(m);
      }
      between();
    }
  }

private:
  // Gives back also the messages that an error leaves over: librdkafka waits for them when it ends.
  struct message_run {
    rd_kafka_message_t **at, **end;
    void pop() { rd_kafka_message_destroy(*at++); }
    ~message_run() {
      while (at != end) pop();
    }
  };

  int partition_count(const floor_options& o) {
    const rd_kafka_metadata_t* found = nullptr;
    auto failed = rd_kafka_metadata(kafka_, 0, topic_, &found, 10'000);
    if (failed) fail(std::string("metadata: ") + rd_kafka_err2str(failed));
    int n = found->topic_cnt == 1 ? found->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(found);
    if (n == 0) fail("no topic " + o.topic);
    return n;
  }

  void start(const floor_options& o, std::int32_t p) {
    std::int64_t low = 0, high = 0;
    auto failed = rd_kafka_query_watermark_offsets(kafka_, o.topic.c_str(), p, &low, &high, 10'000);
    if (failed) fail(std::string("watermarks: ") + rd_kafka_err2str(failed));
    ends_.push_back(high);
    if (high > low) ++open_;
    if (rd_kafka_consume_start_queue(topic_, p, low, queue_) != 0)
      fail(std::string("start: ") + rd_kafka_err2str(rd_kafka_last_error()));
  }

  void ended(const rd_kafka_message_t& m) {
    if (m.err != RD_KAFKA_RESP_ERR__PARTITION_EOF) fail(std::string("consume: ") + rd_kafka_message_errstr(&m));
    auto& end = ends_[static_cast<std::size_t>(m.partition)];
    if (end > 0 && m.offset >= end) {
      end = 0;
      --open_;
    }
  }

  rd_kafka_t* kafka_ = nullptr;
  rd_kafka_topic_t* topic_ = nullptr;
  rd_kafka_queue_t* queue_ = nullptr;
  std::vector<std::int64_t> ends_; // 0: reached
  int open_ = 0;
};

// -- the loop ---

struct totals {
  std::uint64_t records = 0, bytes = 0, inserts = 0;
  double wall_s = 0, loop_cpu_s = 0, sender_cpu_s = 0;
};

stage parse_stage(const std::string& until) {
  const char* names[] = {"consume", "parse", "build", "send"};
  for (int i = 0; i < 4; ++i)
    if (until == names[i]) return static_cast<stage>(i);
  fail("--until is consume, parse, build or send, not " + until);
}

totals run(const floor_options& o) {
  stage until = parse_stage(o.until);
  auto begin = std::chrono::steady_clock::now();
  totals t;
  sender out(o);
  record_parser parser;
  auto rows = std::make_unique<batch>();
  auto take = [&](const rd_kafka_message_t& m) {
    ++t.records;
    t.bytes += m.len;
    if (until == stage::consume) return;
    try {
      parser.add(*rows, static_cast<const char*>(m.payload), m.len);
    } catch (const simdjson::simdjson_error& e) {
      fail("partition " + std::to_string(m.partition) + " offset " + std::to_string(m.offset) + ": " + e.what());
    }
    if (o.provenance) {
      rows->values[from_topic].put_text(o.topic);
      rows->values[from_partition].put<std::int32_t>(m.partition);
      rows->values[from_offset].put<std::int64_t>(m.offset);
    }
    if (until == stage::parse) rows->clear();
  };
  auto flush = [&](std::uint64_t least_rows, std::uint64_t least_bytes) {
    if (rows->rows == 0 || (rows->rows < least_rows && rows->bytes() < least_bytes)) return;
    if (until == stage::send) rows = out.swap(std::move(rows));
    else rows->clear();
  };
  {
    topic_reader in(o);
    in.read_all(take, [&] { flush(o.rows, o.bytes); });
    flush(0, 0);
    out.finish();
    t.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  t.inserts = out.inserts;
  t.loop_cpu_s = thread_cpu_s();
  t.sender_cpu_s = out.cpu_s;
  return t;
}

void print(const totals& t) {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto seconds = [](const timeval& v) { return static_cast<double>(v.tv_sec) + static_cast<double>(v.tv_usec) / 1e6; };
  double cpu = seconds(used.ru_utime) + seconds(used.ru_stime);
  std::printf("{\"records\":%llu,\"bytes\":%llu,\"inserts\":%llu,\"wall_s\":%.3f,\"cpu_s\":%.3f,\"cpu_loop_s\":%.3f,"
              "\"cpu_sender_s\":%.3f,\"cpu_librdkafka_threads_s\":%.3f,\"maxrss_kib\":%ld}\n",
              static_cast<unsigned long long>(t.records), static_cast<unsigned long long>(t.bytes),
              static_cast<unsigned long long>(t.inserts), t.wall_s, cpu, t.loop_cpu_s, t.sender_cpu_s,
              cpu - t.loop_cpu_s - t.sender_cpu_s, used.ru_maxrss);
}

} // namespace
} // namespace chute

int main(int argc, char** argv) {
  CLI::App app{
      "The least that moving JSON records from Kafka into ClickHouse costs: a hand-written loop, no guarantees"};
  chute::floor_options o;
  app.add_option("--brokers", o.brokers, "HOST:PORT,…")->required();
  app.add_option("--topic", o.topic, "records of chute-kit's shape `orders`")->required();
  app.add_option("--url", o.url, "ClickHouse, http://HOST:PORT")->default_val("http://127.0.0.1:8123");
  app.add_option("--database", o.database)->default_val("default");
  app.add_option("--table", o.table)->default_val("orders");
  app.add_option("--rows", o.rows, "an insert, over all partitions")->capture_default_str();
  app.add_option("--bytes", o.bytes, "an insert, over all partitions")->capture_default_str();
  app.add_option("--compression", o.compression, "of inserts: lz4 or none")->capture_default_str();
  app.add_option("--until", o.until, "how far the loop goes: consume, parse, build or send")->capture_default_str();
  app.add_option("--property", o.properties, "NAME=VALUE for librdkafka");
  app.add_flag("--provenance", o.provenance, "fill _topic, _partition and _offset too");
  CLI11_PARSE(app, argc, argv);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  int failed = 0;
  try {
    chute::print(chute::run(o));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    failed = 1;
  }
  curl_global_cleanup();
  return failed;
}
