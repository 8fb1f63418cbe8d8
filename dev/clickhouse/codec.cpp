#include "dev/clickhouse/codec.hpp"

#include <lz4frame.h>
#include <stdexcept>
#include <vector>
#include <zlib.h>
#include <zstd.h>

namespace chute::embedded {
namespace {

constexpr std::size_t piece_bytes = 256 * 1024;

class lz4_decoder : public decoder {
public:
  lz4_decoder() : out_(piece_bytes) { LZ4F_createDecompressionContext(&context_, LZ4F_VERSION); }
  ~lz4_decoder() override { LZ4F_freeDecompressionContext(context_); }

  bool push(std::string_view packed, const byte_sink& sink) override {
    bool full = false; // the output may hold back more than one call's room
    while (!packed.empty() || (full && !complete())) {
      std::size_t in = packed.size(), out = out_.size();
      hint_ = LZ4F_decompress(context_, out_.data(), &out, packed.data(), &in, nullptr);
      if (LZ4F_isError(hint_)) return false;
      packed.remove_prefix(in);
      full = out == out_.size();
      if (out > 0 && !sink({out_.data(), out})) return false;
      if (in == 0 && out == 0) break;
    }
    return true;
  }
  bool complete() const override { return hint_ == 0; }

private:
  LZ4F_dctx* context_ = nullptr;
  std::size_t hint_ = 1; // 0 at the end of a frame
  std::vector<char> out_;
};

class zstd_decoder : public decoder {
public:
  zstd_decoder() : context_(ZSTD_createDCtx()), out_(piece_bytes) {}
  ~zstd_decoder() override { ZSTD_freeDCtx(context_); }

  bool push(std::string_view packed, const byte_sink& sink) override {
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    bool full = false;
    while (in.pos < in.size || (full && !complete())) {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      std::size_t before = in.pos;
      hint_ = ZSTD_decompressStream(context_, &out, &in);
      if (ZSTD_isError(hint_)) return false;
      full = out.pos == out.size;
      if (out.pos > 0 && !sink({out_.data(), out.pos})) return false;
      if (in.pos == before && out.pos == 0) break;
    }
    return true;
  }
  bool complete() const override { return hint_ == 0; }

private:
  ZSTD_DCtx* context_;
  std::size_t hint_ = 1;
  std::vector<char> out_;
};

std::string encode_zlib(std::string_view bytes, int window_bits) {
  z_stream z{};
  if (deflateInit2(&z, 1, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("zlib could not start");
  std::string packed;
  std::vector<char> piece(piece_bytes);
  int state = Z_OK;
  while (state != Z_STREAM_END) {
    if (z.avail_in == 0) { // zlib counts its input in 32 bits
      std::size_t take = std::min<std::size_t>(bytes.size(), 1U << 30);
      z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      z.avail_in = static_cast<uInt>(take);
      bytes.remove_prefix(take);
    }
    z.next_out = reinterpret_cast<Bytef*>(piece.data());
    z.avail_out = static_cast<uInt>(piece.size());
    state = deflate(&z, bytes.empty() ? Z_FINISH : Z_NO_FLUSH);
    packed.append(piece.data(), piece.size() - z.avail_out);
  }
  deflateEnd(&z);
  return packed;
}

std::string encode_lz4(std::string_view bytes) {
  std::string packed(LZ4F_compressFrameBound(bytes.size(), nullptr), '\0');
  packed.resize(LZ4F_compressFrame(packed.data(), packed.size(), bytes.data(), bytes.size(), nullptr));
  return packed;
}

std::string encode_zstd(std::string_view bytes) {
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), 1));
  return packed;
}

} // namespace

std::unique_ptr<decoder> make_decoder(std::string_view encoding) {
  if (encoding == "lz4") return std::make_unique<lz4_decoder>();
  if (encoding == "zstd") return std::make_unique<zstd_decoder>();
  return nullptr;
}

bool known_encoding(std::string_view encoding) {
  for (std::string_view known : {"", "identity", "gzip", "deflate", "br", "lz4", "zstd"})
    if (encoding == known) return true;
  return false;
}

std::string choose_encoding(std::string_view accept) {
  for (std::string_view known : {"lz4", "zstd", "gzip", "deflate"})
    if (accept.find(known) != accept.npos) return std::string(known);
  return {};
}

std::string encode(std::string_view bytes, std::string_view encoding) {
  if (encoding == "lz4") return encode_lz4(bytes);
  if (encoding == "zstd") return encode_zstd(bytes);
  if (encoding == "gzip") return encode_zlib(bytes, 15 + 16);
  if (encoding == "deflate") return encode_zlib(bytes, 15);
  return std::string(bytes);
}

} // namespace chute::embedded
