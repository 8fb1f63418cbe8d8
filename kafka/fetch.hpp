// Records of single partitions from exact offsets, without a group. Streams of one fetcher share its connections and
// its memory; each has a queue of its own, starts and stops by itself, and may live in another thread than its
// neighbours.
#pragma once

#include "core/chunk.hpp"
#include "kafka/client.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace chute::kafka {

struct fetch_options {
  client_options client;
  // What librdkafka may hold ahead for all partitions together, and for how many at once. Each needs 320 KiB at least:
  // with more partitions than that allows, and all of them standing still with much to read, it is exceeded.
  std::uint64_t buffer_bytes = 128ull << 20;
  std::size_t partitions = 1;
  // Where little comes, the least time between two fetches of a broker: each names every partition, and costs both
  // sides accordingly. Records come later by at most this.
  std::int64_t rest_ms = 0;
};

// A partition's part of the memory: what one fetch brings, compressed, and what may lie in its queue before it is
// fetched again.
struct portion {
  std::uint64_t fetch = 256 << 10, queue = 64 << 10; // the least
  // What a partition with much to read can hold: librdkafka asks for it while less than `queue` lies there, and each
  // record takes some 300 bytes more than it has. A producer's batch that is larger comes as a whole, though.
  std::uint64_t held() const { return 4 * fetch + queue; }
};

// Why a stream does not go on. It needs a start() to go on, unless it is transient or denied.
struct stream_error {
  enum class kind : std::uint8_t {
    out_of_range,  // the log does not hold `at`: deleted already, or not written yet
    unknown_topic, // the topic or the partition does not exist
    denied,        // not allowed to read the topic: goes on by itself once that is allowed again
    damaged,       // a record batch cannot be read: its check sum, its compression
    transient,     // goes on by itself
  };
  kind what = kind::transient;
  offset_t at;
  error why;
  bool halts() const { return what != kind::transient && what != kind::denied; }
};

// Some records of one partition. Owns them: whatever the views point to lives as long as the batch. Can be read from
// any thread, and may outlive the stream and the fetcher.
class raw_batch final : public header_source {
public:
  raw_batch();
  ~raw_batch() override;
  raw_batch(raw_batch&&) noexcept;
  raw_batch& operator=(raw_batch&&) noexcept;

  std::vector<record_view> records; // in order of their offsets
  // The offsets that this batch passes: gaps before and between its records (control records, aborted and compacted
  // ones) and, where the partition's end was seen, those after them. last = first - 1: nothing passed.
  offset_t first, last;
  std::optional<offset_t> end; // the partition's end was seen behind `last`, here (all below is passed)
  bool at_end = false;         // all is passed that the last fetch knew of
  std::int64_t log_end = -1;   // the log's end as the last fetch told it, open transactions included; -1: none did
  std::optional<stream_error> failure; // what happened behind `last`
  std::uint64_t bytes = 0;             // of keys and values
  bool more = false;                   // the queue was not emptied: take again, no wake-up will come for what is left

  bool empty() const { return records.empty() && last < first && !end && !failure; }
  // `r` is one of `records`. Names and values live as long as the batch.
  void headers(const record_view& r, std::vector<header_view>& out) const override;

private:
  friend class stream;
  struct held;
  std::unique_ptr<held> held_;
};

// One partition. One thread at a time.
class stream {
public:
  ~stream(); // stops
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;

  // Reads from `from` on. A running stream begins anew; nothing of before is seen again.
  result<void> start(offset_t from);
  void stop(); // what is queued is dropped
  bool running() const;

  // What has arrived, without waiting: at least one record if there is one, at most `max_records`, and no further
  // record once `max_bytes` are reached. A batch ends at the partition's end and at an error.
  raw_batch take(std::size_t max_records, std::uint64_t max_bytes);

  // Much is to be read: fetches do not rest (rest_ms) while that holds for any stream. It does from start() on.
  void hurry(bool on);
  bool hurries() const;
  offset_t position() const; // the next offset that is not passed yet
  // The log's end as the last fetch told it, open transactions included; -1: none did since the start. Does not ask.
  std::int64_t log_end() const;
  const topic_partition& where() const;

private:
  friend class fetcher;
  struct impl;
  explicit stream(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

class fetcher {
public:
  static result<std::unique_ptr<fetcher>> open(fetch_options options);
  ~fetcher(); // streams and batches may outlive it; the connections end with the last of them
  fetcher(const fetcher&) = delete;
  fetcher& operator=(const fetcher&) = delete;

  // At most one stream a partition at a time. `wake` is called when the stream's queue has become non-empty.
  result<std::unique_ptr<stream>> open_stream(const topic_partition& where, wake_callback wake);
  portion share() const; // of each partition

private:
  struct impl;
  explicit fetcher(std::shared_ptr<impl> state);
  std::shared_ptr<impl> impl_;
};

} // namespace chute::kafka
