// Puts the body of an insert together: long runs stay where they are, short ones are copied next to each other.
#pragma once

#include "formats/encoder.hpp"

namespace chute {

class body_writer {
public:
  explicit body_writer(body& out) : out_(out) {}
  body_writer(const body_writer&) = delete;
  body_writer& operator=(const body_writer&) = delete;

  // Bytes that live as long as the body: in a chunk of `keep`, or static.
  void view(const char* at, std::size_t n) {
    if (n < copied_below) return copy(at, n);
    close();
    out_.pieces.emplace_back(at, n);
  }
  void copy(const void* at, std::size_t n) { own().append(at, n); }
  // Room for n bytes, to be filled before the next call.
  char* extend(std::size_t n) { return own().extend(n); }

  void varint(std::uint64_t v) { append_varint(own(), v); }
  void uint64(std::uint64_t v) { own().push(v); }
  void text(std::string_view s) {
    varint(s.size());
    copy(s.data(), s.size());
  }
  // Between rows: keeps the buffer from growing, and being copied, with the batch.
  void end_row() {
    if (open_ && open_->size() >= closed_from) close();
  }
  // Once, at the end.
  void finish() { close(); }

private:
  // A piece costs more than copying so few bytes.
  static constexpr std::size_t copied_below = 1024;
  static constexpr std::size_t closed_from = 1 << 20;

  bytes& own() {
    if (!open_) open_ = std::make_unique<bytes>();
    return *open_;
  }
  void close() {
    if (!open_) return;
    if (!open_->empty()) {
      out_.pieces.emplace_back(open_->data(), open_->size());
      out_.own.push_back(std::move(open_));
    }
    open_.reset();
  }

  body& out_;
  std::unique_ptr<bytes> open_;
};

} // namespace chute
