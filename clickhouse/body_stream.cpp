#include "clickhouse/body_stream.hpp"

#include <algorithm>
#include <cstring>
#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

namespace chute::clickhouse {
namespace {

// Plain bytes that are compressed at a time: large enough for the codecs, small enough for the cache.
constexpr std::size_t stretch_bytes = 256u << 10;

class lz4_compressor final : public compressor {
public:
  lz4_compressor() {
    if (LZ4F_isError(LZ4F_createCompressionContext(&context_, LZ4F_VERSION))) context_ = nullptr;
    preferences_.frameInfo.blockSizeID = LZ4F_max256KB;
    preferences_.frameInfo.blockMode = LZ4F_blockIndependent;
  }
  ~lz4_compressor() override { LZ4F_freeCompressionContext(context_); }

  bool begin(bytes& out) override {
    return context_ && write(out, LZ4F_HEADER_SIZE_MAX, [&](char* to, std::size_t room) {
             return LZ4F_compressBegin(context_, to, room, &preferences_);
           });
  }
  bool add(std::string_view plain, bytes& out) override {
    return write(out, LZ4F_compressBound(plain.size(), &preferences_), [&](char* to, std::size_t room) {
      return LZ4F_compressUpdate(context_, to, room, plain.data(), plain.size(), nullptr);
    });
  }
  bool finish(bytes& out) override {
    return write(out, LZ4F_compressBound(0, &preferences_),
                 [&](char* to, std::size_t room) { return LZ4F_compressEnd(context_, to, room, nullptr); });
  }

private:
  template <class F> static bool write(bytes& out, std::size_t room, F produce) {
    auto before = out.size();
    auto n = produce(out.extend(room), room);
    out.truncate(LZ4F_isError(n) ? before : before + n);
    return !LZ4F_isError(n);
  }
  LZ4F_cctx* context_ = nullptr;
  LZ4F_preferences_t preferences_ = LZ4F_INIT_PREFERENCES;
};

class zstd_compressor final : public compressor {
public:
  zstd_compressor() : context_(ZSTD_createCCtx()) {
    if (context_) ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, 1);
  }
  ~zstd_compressor() override { ZSTD_freeCCtx(context_); }

  bool begin(bytes&) override { return context_ && !ZSTD_isError(ZSTD_CCtx_reset(context_, ZSTD_reset_session_only)); }
  bool add(std::string_view plain, bytes& out) override { return run(plain, out, ZSTD_e_continue); }
  bool finish(bytes& out) override { return run({}, out, ZSTD_e_end); }

private:
  bool run(std::string_view plain, bytes& out, ZSTD_EndDirective how) {
    ZSTD_inBuffer in{plain.data(), plain.size(), 0};
    while (true) {
      auto before = out.size(), room = ZSTD_CStreamOutSize();
      ZSTD_outBuffer to{out.extend(room), room, 0};
      auto left = ZSTD_compressStream2(context_, &to, &in, how);
      out.truncate(before + to.pos);
      if (ZSTD_isError(left)) return false;
      bool through = how == ZSTD_e_end ? left == 0 : in.pos == in.size;
      if (through) return true;
    }
  }
  ZSTD_CCtx* context_;
};

class gzip_compressor final : public compressor {
public:
  gzip_compressor() {
    constexpr int level = 1, gzip_window_bits = 15 + 16, memory_level = 8;
    ready_ = deflateInit2(&stream_, level, Z_DEFLATED, gzip_window_bits, memory_level, Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~gzip_compressor() override {
    if (ready_) deflateEnd(&stream_);
  }
  gzip_compressor(const gzip_compressor&) = delete;
  gzip_compressor& operator=(const gzip_compressor&) = delete;

  bool begin(bytes&) override { return ready_ && deflateReset(&stream_) == Z_OK; }
  bool add(std::string_view plain, bytes& out) override { return run(plain, out, Z_NO_FLUSH); }
  bool finish(bytes& out) override { return run({}, out, Z_FINISH); }

private:
  bool run(std::string_view plain, bytes& out, int flush) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
    stream_.avail_in = static_cast<uInt>(plain.size()); // at most stretch_bytes
    while (true) {
      constexpr std::size_t room = stretch_bytes / 4;
      stream_.next_out = reinterpret_cast<Bytef*>(out.extend(room));
      stream_.avail_out = room;
      int status = deflate(&stream_, flush);
      bool room_left = stream_.avail_out > 0;
      out.truncate(out.size() - stream_.avail_out);
      if (status == Z_STREAM_END) return true;
      if (status != Z_OK && status != Z_BUF_ERROR) return false;
      if (flush == Z_NO_FLUSH && stream_.avail_in == 0 && room_left) return true;
    }
  }
  z_stream stream_{};
  bool ready_ = false;
};

} // namespace

std::unique_ptr<compressor> make_compressor(compression_kind kind) {
  switch (kind) {
  case compression_kind::none: return nullptr;
  case compression_kind::lz4: return std::make_unique<lz4_compressor>();
  case compression_kind::zstd: return std::make_unique<zstd_compressor>();
  case compression_kind::gzip: return std::make_unique<gzip_compressor>();
  }
  return nullptr;
}

const char* content_encoding(compression_kind kind) {
  switch (kind) {
  case compression_kind::none: return nullptr;
  case compression_kind::lz4: return "lz4";
  case compression_kind::zstd: return "zstd";
  case compression_kind::gzip: return "gzip";
  }
  return nullptr;
}

body_stream::body_stream(std::span<const std::string_view> pieces, compressor* compressor)
    : pieces_(pieces), compressor_(compressor) {
  for (auto p : pieces_) plain_size_ += p.size();
}

void body_stream::rewind() {
  piece_ = at_ = out_at_ = 0;
  out_.clear();
  begun_ = finished_ = failed_ = false;
}

std::size_t body_stream::read(char* to, std::size_t room) {
  if (!compressor_) return read_plain(to, room);
  std::size_t done = 0;
  while (done < room) {
    if (out_at_ == out_.size() && !refill()) break;
    auto n = std::min(room - done, out_.size() - out_at_);
    if (n) std::memcpy(to + done, out_.data() + out_at_, n);
    out_at_ += n;
    done += n;
  }
  return failed_ ? 0 : done;
}

std::size_t body_stream::read_plain(char* to, std::size_t room) {
  std::size_t done = 0;
  while (done < room) {
    auto s = next_stretch(room - done);
    if (s.empty()) break;
    std::memcpy(to + done, s.data(), s.size());
    done += s.size();
  }
  return done;
}

// The next plain bytes, of one piece; empty: there are no more.
std::string_view body_stream::next_stretch(std::size_t at_most) {
  while (piece_ < pieces_.size() && at_ == pieces_[piece_].size()) {
    ++piece_;
    at_ = 0;
  }
  if (piece_ == pieces_.size()) return {};
  auto s = pieces_[piece_].substr(at_, at_most);
  at_ += s.size();
  return s;
}

// False: there is nothing more, or the codec failed.
bool body_stream::refill() {
  out_.clear();
  out_at_ = 0;
  if (finished_ || failed_) return false;
  bool ok = true;
  if (!begun_) {
    begun_ = true;
    ok = compressor_->begin(out_);
  }
  // A codec may keep what it is given to itself for a while: go on until something comes out.
  while (ok && out_.empty()) {
    auto plain = next_stretch(stretch_bytes);
    finished_ = plain.empty();
    ok = finished_ ? compressor_->finish(out_) : compressor_->add(plain, out_);
    if (finished_) break;
  }
  failed_ = !ok;
  return ok && !out_.empty();
}

} // namespace chute::clickhouse
