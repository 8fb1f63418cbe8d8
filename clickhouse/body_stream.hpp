// The body of a request as a stream that can be begun again: the caller's pieces, compressed on the way if wished.
// Holds at most one compressed stretch in memory, whatever the body's size.
#pragma once

#include "core/block.hpp"
#include "core/topology.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace chute::clickhouse {

// Turns stretches of plain bytes into stretches of compressed ones. One body at a time; `begin` starts over.
class compressor {
public:
  virtual ~compressor() = default;
  virtual bool begin(bytes& out) = 0;                       // the container's header, if it has one
  virtual bool add(std::string_view plain, bytes& out) = 0; // appends to `out`
  virtual bool finish(bytes& out) = 0;                      // appends what is left, and the trailer
};

// Frame formats: LZ4 frame, Zstandard frame, gzip (RFC 1952). Null for `none`.
std::unique_ptr<compressor> make_compressor(compression_kind kind);

// The value of Content-Encoding; null for `none`.
const char* content_encoding(compression_kind kind);

class body_stream {
public:
  // `pieces`, what they point to, and the compressor (null: plain) must outlive the stream.
  body_stream(std::span<const std::string_view> pieces, compressor* compressor);

  // Copies up to `room` bytes. Returns 0 at the end, or after a failure: ask failed().
  std::size_t read(char* to, std::size_t room);
  void rewind();
  bool failed() const { return failed_; }
  std::size_t plain_size() const { return plain_size_; }

private:
  std::size_t read_plain(char* to, std::size_t room);
  bool refill();
  std::string_view next_stretch(std::size_t at_most);

  std::span<const std::string_view> pieces_;
  std::size_t plain_size_ = 0;
  std::size_t piece_ = 0, at_ = 0; // the next plain byte
  compressor* compressor_;
  bytes out_; // compressed, not yet read
  std::size_t out_at_ = 0;
  bool begun_ = false, finished_ = false, failed_ = false;
};

} // namespace chute::clickhouse
