// kafka::fetcher against a real broker: exact positions, gaps, ends and errors.
#include "kafka/fetch.hpp"
#include "test/stores/real_broker.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

using namespace chute;
using namespace chute::kafka;
using namespace chute::test;
using namespace std::chrono_literals;

namespace {

fetch_options options(std::size_t partitions = 1, std::uint64_t bytes = 32 << 20,
                      std::map<std::string, std::string> properties = {}) {
  return {{brokers(), std::move(properties), {}}, bytes, partitions};
}

std::unique_ptr<fetcher> open(const fetch_options& o) {
  auto made = fetcher::open(o);
  REQUIRE_MESSAGE(made, (made ? "" : made.failure().text()));
  return *std::move(made);
}

// A stream, and all that it gave. Reads only when it was woken, or when more was announced.
struct reader {
  std::atomic<int> wakes{0};
  int seen_wakes = 0;
  std::unique_ptr<stream> from;
  std::vector<raw_batch> batches;
  std::vector<std::int64_t> offsets;
  std::vector<std::string> values;
  std::optional<std::int64_t> end; // the last end that was seen, if nothing came behind it
  std::optional<stream_error> failure;
  std::size_t max_records = 10'000;
  std::uint64_t max_bytes = 64 << 20;
  bool more = false;

  reader(fetcher& f, const topic_partition& where) {
    auto made = f.open_stream(where, [this] { ++wakes; });
    REQUIRE_MESSAGE(made, (made ? "" : made.failure().text()));
    from = *std::move(made);
  }
  void start(std::int64_t at) {
    auto done = from->start({at});
    REQUIRE_MESSAGE(done, (done ? "" : done.failure().text()));
  }
  bool take() {
    int now = wakes;
    if (now == seen_wakes && !more) return false;
    seen_wakes = now;
    auto next = from->position();
    auto b = from->take(max_records, max_bytes);
    CHECK(b.first == next); // nothing between two batches
    CHECK(from->position() == b.last + 1);
    more = b.more;
    for (const auto& r : b.records) {
      CHECK(r.offset >= b.first);
      CHECK(r.offset <= b.last);
      offsets.push_back(r.offset.value);
      values.emplace_back(r.value.value_or("(null)"));
      end.reset();
    }
    if (b.end) end = b.end->value;
    if (b.failure) failure = b.failure;
    if (!b.empty()) batches.push_back(std::move(b));
    return true;
  }
  bool until(const std::function<bool()>& condition, std::chrono::milliseconds limit = 20s) {
    return eventually([&] { return take(), condition(); }, limit);
  }
  bool until_end(std::int64_t at) {
    return until([&] { return end && *end == at; });
  }
  bool until_failure() {
    return until([&] { return failure.has_value(); });
  }
};

std::vector<std::int64_t> numbers(std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> out;
  for (auto i = first; i <= last; ++i) out.push_back(i);
  return out;
}

struct topic {
  std::string name = unique_name("t");
  explicit topic(int partitions = 1, const topic_settings& settings = {}) { create_topic(name, partitions, settings); }
  ~topic() { delete_topic(name); }
  topic_partition at(int p) const { return {name, {p}}; }
};

} // namespace

TEST_SUITE_BEGIN("fetch");

TEST_CASE("records come whole: keys, values, null and empty ones, headers, timestamps") {
  topic t;
  producer p;
  p.send(t.name, 0, {"key", "value", 1'234'567, {{"a", "1"}, {"b", std::nullopt}, {"a", ""}}});
  p.send(t.name, 0, {std::nullopt, std::nullopt, 0, {}});
  p.send(t.name, 0, {"", "", 2, {}});
  auto f = open(options());
  reader r(*f, t.at(0));
  r.start(0);
  REQUIRE(r.until_end(3));
  CHECK(r.offsets == numbers(0, 2));
  std::vector<std::pair<const raw_batch*, record_view>> records;
  for (const auto& b : r.batches)
    for (const auto& v : b.records) records.emplace_back(&b, v);
  const auto& [batch, first] = records[0];
  CHECK(first.key == "key");
  CHECK(first.value == "value");
  CHECK(first.timestamp_ms == 1'234'567);
  std::vector<header_view> headers;
  batch->headers(first, headers);
  REQUIRE(headers.size() == 3);
  CHECK(headers[0].name == "a");
  CHECK(headers[0].value == "1");
  CHECK(headers[1].name == "b");
  CHECK(!headers[1].value);
  CHECK(headers[2].value == "");
  CHECK(!records[1].second.key);
  CHECK(!records[1].second.value);
  records[1].first->headers(records[1].second, headers);
  CHECK(headers.empty());
  CHECK(records[2].second.key == "");
  CHECK(records[2].second.value == "");
  CHECK(records[2].second.timestamp_ms == 2);
}

TEST_CASE("a stream starts anywhere, and again, and nothing of before is seen") {
  topic t(2);
  producer p;
  p.send_many(t.name, 0, 20'000, "v");
  p.send_many(t.name, 1, 10, "w");
  auto f = open(options(2));
  reader r(*f, t.at(0)), other(*f, t.at(1));
  r.start(19'990);
  other.start(0);
  REQUIRE(r.until_end(20'000));
  CHECK(r.offsets == numbers(19'990, 19'999));
  CHECK(r.values[0] == "v19990");
  for (int i = 0; i < 5; ++i) { // in the middle of a delivery
    r.start(0);
    REQUIRE(r.until([&] { return r.from->position().value >= 100 * i + 1; }));
    r.offsets.clear();
    r.end.reset();
    auto at = 15'000 + 100 * i;
    r.start(at);
    REQUIRE(r.until_end(20'000));
    CHECK(r.offsets == numbers(at, 19'999));
  }
  REQUIRE(other.until_end(10)); // its neighbour was not disturbed
  CHECK(other.offsets == numbers(0, 9));
  // Stopped: silence, also about new records.
  r.from->stop();
  CHECK(!r.from->running());
  p.send(t.name, 0, {std::nullopt, "late", 0, {}});
  other.offsets.clear();
  p.send(t.name, 1, {std::nullopt, "late", 0, {}});
  REQUIRE(other.until_end(11));
  r.offsets.clear();
  r.more = true;
  r.take();
  CHECK(r.offsets.empty());
  r.start(20'000);
  REQUIRE(r.until_end(20'001));
  CHECK(r.values.back() == "late");
}

TEST_CASE("take keeps to its limits and announces what is left") {
  topic t;
  producer p;
  p.send_many(t.name, 0, 3'000, "0123456789"); // 11 to 14 bytes each
  auto f = open(options());
  reader r(*f, t.at(0));
  r.max_records = 7;
  r.start(0);
  REQUIRE(r.until([&] { return r.offsets.size() >= 700; }));
  for (const auto& b : r.batches) {
    CHECK(b.records.size() <= 7);
    CHECK(b.log_end == 3'000);
    CHECK(!b.at_end);
  }
  r.max_records = 100'000;
  r.max_bytes = 1'000;
  auto already = r.batches.size();
  REQUIRE(r.until_end(3'000));
  for (std::size_t i = already; i < r.batches.size(); ++i) {
    CHECK(r.batches[i].bytes < 1'000 + 14);
    CHECK(r.batches[i].at_end == (r.batches[i].last.value == 2'999));
  }
  CHECK(r.offsets == numbers(0, 2'999));
}

TEST_CASE("a batch outlives its stream and its fetcher") {
  topic t;
  producer p;
  p.send(t.name, 0, {"k", "v", 0, {{"h", "x"}}});
  raw_batch kept;
  {
    auto f = open(options());
    reader r(*f, t.at(0));
    r.start(0);
    REQUIRE(r.until_end(1));
    kept = std::move(r.batches.front());
    CHECK(r.batches.front().records.empty());
  }
  std::thread([b = std::move(kept)] {
    std::vector<header_view> headers;
    b.headers(b.records.at(0), headers);
    CHECK(b.records[0].value == "v");
    CHECK(headers.at(0).value == "x");
  }).join();
}

TEST_CASE("one stream a partition") {
  topic t;
  auto f = open(options());
  auto first = f->open_stream(t.at(0), {});
  REQUIRE(first);
  CHECK(!f->open_stream(t.at(0), {}));
  { auto ended = *std::move(first); }
  CHECK(f->open_stream(t.at(0), {}));
  CHECK(!f->open_stream({"", {0}}, {}));
  CHECK(!f->open_stream({t.name, {-1}}, {}));
}

TEST_CASE("aborted transactions and control records are gaps that are passed") {
  topic t;
  producer p(unique_name("tx")), plain;
  // 0-2 committed, 3 marker, 4-6 aborted, 7 marker, 8-9 committed by the same producer, 10 marker, 11 plain
  p.begin();
  p.send_many(t.name, 0, 3, "committed");
  p.commit();
  p.begin();
  p.send_many(t.name, 0, 3, "aborted");
  p.abort();
  p.begin();
  p.send_many(t.name, 0, 2, "again");
  p.commit();
  plain.send(t.name, 0, {std::nullopt, "plain", 0, {}});
  // 12-13 aborted, 14 marker: the log ends with a gap
  p.begin();
  p.send_many(t.name, 0, 2, "aborted");
  p.abort();
  auto f = open(options());
  reader r(*f, t.at(0));
  r.start(0);
  REQUIRE(r.until_end(15));
  CHECK(r.offsets == std::vector<std::int64_t>{0, 1, 2, 8, 9, 11});
  CHECK(r.values == std::vector<std::string>{"committed0", "committed1", "committed2", "again0", "again1", "plain"});
  CHECK(r.from->position().value == 15);
  // From within the gap, and at the very end.
  r.offsets.clear();
  r.end.reset();
  r.start(5);
  REQUIRE(r.until_end(15));
  CHECK(r.offsets == std::vector<std::int64_t>{8, 9, 11});
  r.end.reset();
  r.start(15);
  REQUIRE(r.until_end(15));
}

TEST_CASE("an open transaction holds the end back") {
  topic t;
  producer p(unique_name("tx")), plain;
  plain.send(t.name, 0, {std::nullopt, "before", 0, {}});
  p.begin();
  p.send(t.name, 0, {std::nullopt, "open", 0, {}});
  plain.send(t.name, 0, {std::nullopt, "behind", 0, {}});
  auto f = open(options());
  reader r(*f, t.at(0));
  r.start(0);
  REQUIRE(r.until_end(1));
  CHECK(r.values == std::vector<std::string>{"before"});
  CHECK(r.batches.back().at_end);
  CHECK(r.batches.back().log_end > 1); // but nothing of it can be read
  CHECK(!r.until([&] { return r.offsets.size() > 1; }, 500ms));
  p.commit();
  REQUIRE(r.until_end(4));
  CHECK(r.values == std::vector<std::string>{"before", "open", "behind"});
}

TEST_CASE("many aborted and committed transactions of several producers, interleaved") {
  topic t;
  std::vector<std::unique_ptr<producer>> ps;
  for (int i = 0; i < 3; ++i) ps.push_back(std::make_unique<producer>(unique_name("tx")));
  std::vector<std::string> expected;
  unsigned state = 12345;
  auto random = [&](unsigned n) { return (state = state * 1664525u + 1013904223u) / 65536u % n; };
  for (int round = 0; round < 30; ++round) {
    for (auto& p : ps) p->begin();
    bool keep[3] = {random(2) == 0, random(2) == 0, random(3) != 0};
    for (unsigned i = 0, n = 1 + random(6); i < n; ++i) {
      auto who = random(3);
      auto value = std::to_string(round) + "." + std::to_string(i);
      ps[who]->send(t.name, 0, {std::nullopt, value, 0, {}});
      if (keep[who]) expected.push_back(value);
    }
    for (int i = 0; i < 3; ++i) keep[i] ? ps[i]->commit() : ps[i]->abort();
  }
  auto f = open(options(1, 1 << 20, {{"fetch.message.max.bytes", "1000"}}));
  reader r(*f, t.at(0));
  r.start(0);
  REQUIRE(r.until([&] { return r.end && r.values.size() >= expected.size(); }));
  CHECK(r.values == expected);
}

TEST_CASE("compacted records are gaps that are passed") {
  topic t(1, {{"cleanup.policy", "compact"},
              {"min.cleanable.dirty.ratio", "0.001"},
              {"segment.ms", "100"},
              {"min.compaction.lag.ms", "0"},
              {"delete.retention.ms", "0"}});
  producer p;
  for (int i = 0; i < 5; ++i) p.send(t.name, 0, {"same", "old" + std::to_string(i), 1'700'000'000'000, {}});
  p.send(t.name, 0, {"other", "kept", 1'700'000'000'000, {}});
  // The active segment is never compacted: a record long after rolls it.
  bool compacted = eventually(
      [&] {
        std::this_thread::sleep_for(200ms); // the log rolls by time
        auto last = p.send(t.name, 0, {"same", "new", 1'700'000'100'000, {}});
        auto f = open(options());
        reader r(*f, t.at(0));
        r.start(0);
        if (!r.until_end(last + 1) || r.offsets.size() == static_cast<std::size_t>(last + 1)) return false;
        CHECK(r.from->position().value == last + 1);
        CHECK(r.offsets.back() == last);
        CHECK(std::count(r.values.begin(), r.values.end(), "kept") == 1);
        return true;
      },
      40s);
  CHECK(compacted);
}

TEST_CASE("an offset that the log does not hold is an error, never a jump") {
  topic t;
  producer p;
  p.send_many(t.name, 0, 100, "v");
  delete_records(t.name, 0, 40);
  auto f = open(options());
  for (std::int64_t at : {0, 39, 101, 1'000'000}) {
    CAPTURE(at);
    reader r(*f, t.at(0));
    r.start(at);
    REQUIRE(r.until_failure());
    CHECK(r.failure->what == stream_error::kind::out_of_range);
    CHECK(r.failure->at.value == at);
    CHECK(r.failure->why.text().find(t.name + "/0") != std::string::npos);
    CHECK(r.from->position().value == at);
    CHECK(!r.from->running());
    CHECK(r.offsets.empty());
    r.start(40);
    REQUIRE(r.until_end(100));
    CHECK(r.offsets == numbers(40, 99));
  }
  reader r(*f, t.at(0));
  CHECK(!r.from->start({-1}));
}

TEST_CASE("records deleted under a running stream") {
  topic t;
  producer p;
  p.send_many(t.name, 0, 10, "v");
  auto f = open(options());
  reader r(*f, t.at(0));
  r.start(0);
  REQUIRE(r.until_end(10));
  r.from->stop();
  p.send_many(t.name, 0, 10, "w");
  delete_records(t.name, 0, 15);
  r.start(10);
  REQUIRE(r.until_failure());
  CHECK(r.failure->what == stream_error::kind::out_of_range);
}

TEST_CASE("unknown topics and partitions, and a topic that goes away") {
  topic t;
  auto f = open(options(3, 32 << 20, {{"topic.metadata.refresh.interval.ms", "500"}}));
  reader nowhere(*f, {unique_name("no-such-topic"), {0}}), beyond(*f, t.at(7));
  nowhere.start(0);
  beyond.start(0);
  REQUIRE(nowhere.until_failure());
  CHECK(nowhere.failure->what == stream_error::kind::unknown_topic);
  CHECK(!nowhere.failure->why.way_out.empty());
  REQUIRE(beyond.until_failure());
  CHECK(beyond.failure->what == stream_error::kind::unknown_topic);

  auto name = unique_name("goes");
  create_topic(name, 1);
  producer p;
  p.send_many(name, 0, 5, "v");
  reader r(*f, {name, {0}});
  r.start(0);
  REQUIRE(r.until_end(5));
  delete_topic(name);
  REQUIRE(r.until_failure());
  CHECK(r.failure->what == stream_error::kind::unknown_topic);
  // Made anew, with other records: only start() goes on.
  create_topic(name, 1);
  producer again;
  again.send_many(name, 0, 9, "w");
  CHECK(!r.until([&] { return r.offsets.size() > 5; }, 1'500ms));
  r.offsets.clear();
  r.failure.reset();
  r.start(0);
  REQUIRE(r.until_end(9));
  CHECK(r.offsets == numbers(0, 8));
  delete_topic(name);
}

TEST_CASE("large records pass small limits") {
  topic t(1, {{"max.message.bytes", "2000000"}});
  producer p;
  std::string big(900'000, 'x');
  p.send(t.name, 0, {std::nullopt, "small", 0, {}});
  p.send(t.name, 0, {std::nullopt, big, 0, {}});
  p.send(t.name, 0, {std::nullopt, big + big, 0, {}});
  p.send(t.name, 0, {std::nullopt, "small", 0, {}});
  auto f = open(options(1, 100'000));
  reader r(*f, t.at(0));
  r.start(0);
  REQUIRE(r.until_end(4));
  REQUIRE(r.values.size() == 4);
  CHECK(r.values[1] == big);
  CHECK(r.values[2].size() == 1'800'000);
}

TEST_CASE("compressed batches, read from their middle") {
  for (const char* codec : {"gzip", "snappy", "lz4", "zstd"}) {
    CAPTURE(codec);
    topic t;
    {
      producer p({}, {{"compression.codec", codec}, {"linger.ms", "50"}});
      p.send_many(t.name, 0, 1'000, "value");
    }
    auto f = open(options());
    reader r(*f, t.at(0));
    r.start(500);
    REQUIRE(r.until_end(1'000));
    CHECK(r.offsets == numbers(500, 999));
    CHECK(r.values[0] == "value500");
  }
}

TEST_CASE("a record that arrives at idle partitions is seen at once") {
  topic t(4);
  auto f = open(options(4));
  std::vector<std::unique_ptr<reader>> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(std::make_unique<reader>(*f, t.at(i)));
    all.back()->start(0);
    REQUIRE(all.back()->until_end(0));
  }
  producer p;
  p.send(t.name, 0, {std::nullopt, "warm", 0, {}});
  std::vector<std::int64_t> took;
  for (int i = 0; i < 10; ++i) {
    auto& r = *all[static_cast<std::size_t>(i % 4)];
    auto before = r.offsets.size();
    auto start = std::chrono::steady_clock::now();
    p.send(t.name, i % 4, {std::nullopt, "x", 0, {}});
    REQUIRE(r.until([&] { return r.offsets.size() > before && r.values.back() == "x"; }));
    took.push_back(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(took.begin(), took.end());
  CHECK(took[5] < 100);
}

TEST_CASE("fetches rest where little comes, and not while a stream hurries") {
  topic t;
  producer p;
  auto o = options();
  o.rest_ms = 300;
  auto f = open(o);
  reader r(*f, t.at(0));
  r.start(0);
  CHECK(r.from->hurries()); // until it is known that there is nothing much
  REQUIRE(r.until_end(0));
  // So long ten records take that are sent one after another, each when the one before was seen.
  auto ten = [&, next = std::int64_t{0}](bool hurry) mutable {
    r.from->hurry(hurry);
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 10; ++i, ++next) {
      p.send(t.name, 0, {std::nullopt, "x", 0, {}});
      REQUIRE(r.until([&] { return r.offsets.size() > static_cast<std::size_t>(next); }));
    }
    return std::chrono::steady_clock::now() - began;
  };
  const auto calm = ten(false), hurried = ten(true);
  CHECK(calm > 1s);
  CHECK(hurried < calm / 2);
  r.from->stop();
  CHECK(!r.from->hurries());
}

TEST_CASE("a thousand streams at once") {
  topic t(1'000);
  producer p;
  for (int i = 0; i < 1'000; ++i) p.send_many(t.name, i, 3, "v");
  auto f = open(options(1'000, 64 << 20));
  std::vector<std::unique_ptr<reader>> all;
  for (int i = 0; i < 1'000; ++i) {
    all.push_back(std::make_unique<reader>(*f, t.at(i)));
    all.back()->start(0);
  }
  for (auto& r : all) REQUIRE(r->until_end(3));
  for (auto& r : all) CHECK(r->offsets == numbers(0, 2));
  auto start = std::chrono::steady_clock::now();
  all.clear();
  CHECK(std::chrono::steady_clock::now() - start < 10s);
}

TEST_CASE("records without a value, of which librdkafka counts no byte, do not fill the memory") {
  topic t;
  producer p;
  p.send_nulls(t.name, 0, 400'000);
  auto f = open(options(1, 512 << 10));
  const auto before = mib_in_use();
  reader r(*f, t.at(0));
  r.start(0);
  CHECK(eventually([&] { return r.wakes > 0; }));
  CHECK_FALSE(eventually([&] { return mib_in_use() > before + 48; }, 3s));
  REQUIRE(r.until_end(400'000));
  CHECK(r.offsets.size() == 400'000);
}

TEST_CASE("properties that the engine owns are refused by name, and secrets are not repeated") {
  auto refusal = [](const std::string& name, const std::string& value, std::int64_t rest_ms = 0) {
    auto with = options(1, 1 << 20, {{name, value}});
    with.rest_ms = rest_ms;
    auto made = fetcher::open(with);
    REQUIRE(!made);
    return made.failure().text();
  };
  CHECK(refusal("isolation.level", "read_uncommitted").find("isolation.level") != std::string::npos);
  CHECK(refusal("auto.offset.reset", "latest").find("skips records") != std::string::npos);
  CHECK(refusal("no.such.thing", "1").find("no property 'no.such.thing'") != std::string::npos);
  CHECK(refusal("fetch.wait.max.ms", "many").find("fetch.wait.max.ms") != std::string::npos);
  // What librdkafka refuses only when the handle is made.
  for (int rest_ms : {0, 50})
    CHECK(refusal("sasl.mechanism", "no such", rest_ms).find("sasl.mechanism") != std::string::npos);
  for (int rest_ms : {0, 50}) CHECK(!refusal("max.poll.interval.ms", "1", rest_ms).empty());
  for (int rest_ms : {0, 50}) {
    auto with = options(1, 1 << 20, {{"security.protocol", "ssl"}, {"ssl.key.pem", "hunter2"}});
    with.rest_ms = rest_ms;
    auto secret = fetcher::open(with);
    REQUIRE(!secret);
    CHECK(secret.failure().text().find("hunter2") == std::string::npos);
  }
  CHECK(!fetcher::open({{"", {}, {}}, 1 << 20, 1}));
}

TEST_CASE("what was on its way to a partition when it was stopped does not stay in memory") {
  constexpr int partitions = 24;
  topic t(partitions);
  fill(t.name, partitions);
  auto f = open(options(partitions, 64 << 20));
  std::vector<std::unique_ptr<reader>> readers;
  for (int i = 0; i < partitions; ++i) readers.push_back(std::make_unique<reader>(*f, t.at(i)));
  const auto before = mib_in_use();
  for (auto& r : readers) {
    r->start(0);
    REQUIRE(r->until([&] { return !r->offsets.empty(); }));
    r->from->stop();
    r->batches.clear();
    r->offsets.clear();
    r->values.clear();
  }
  // Without it some 40 MiB.
  CHECK_MESSAGE(eventually([&] { return readers[0]->from->stop(), mib_in_use() < before + 12; }),
                (mib_in_use() - before));
  // And nothing was dropped of what is read again.
  auto& r = *readers[1];
  r.start(0);
  REQUIRE(r.until_end(records_of_fill));
  CHECK(r.offsets.size() == records_of_fill);
}

TEST_SUITE_END();
