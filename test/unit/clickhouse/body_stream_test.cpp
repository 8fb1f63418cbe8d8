#include "clickhouse/body_stream.hpp"

#include <doctest/doctest.h>
#include <lz4frame.h>
#include <random>
#include <zlib.h>
#include <zstd.h>

using namespace chute;
using namespace chute::clickhouse;

namespace {

std::string read_all(body_stream& s, std::size_t step) {
  std::string out;
  std::vector<char> room(step);
  while (auto n = s.read(room.data(), room.size())) out.append(room.data(), n);
  CHECK_FALSE(s.failed());
  return out;
}

std::string unpack_lz4(const std::string& in) {
  LZ4F_dctx* c = nullptr;
  LZ4F_createDecompressionContext(&c, LZ4F_VERSION);
  std::string out;
  std::size_t at = 0, left = 1;
  while (at < in.size() && left) {
    char room[1 << 16];
    std::size_t n = sizeof room, took = in.size() - at;
    left = LZ4F_decompress(c, room, &n, in.data() + at, &took, nullptr);
    REQUIRE_FALSE(LZ4F_isError(left));
    out.append(room, n);
    at += took;
  }
  LZ4F_freeDecompressionContext(c);
  CHECK(left == 0);       // the frame's end was there …
  CHECK(at == in.size()); // … and nothing after it
  return out;
}

std::string unpack_zstd(const std::string& in) {
  auto* c = ZSTD_createDCtx();
  std::string out;
  ZSTD_inBuffer from{in.data(), in.size(), 0};
  std::size_t left = 1;
  while (from.pos < from.size) {
    char room[1 << 16];
    ZSTD_outBuffer to{room, sizeof room, 0};
    left = ZSTD_decompressStream(c, &to, &from);
    REQUIRE_FALSE(ZSTD_isError(left));
    out.append(room, to.pos);
  }
  ZSTD_freeDCtx(c);
  CHECK(left == 0);
  return out;
}

std::string unpack_gzip(const std::string& in) {
  z_stream z{};
  REQUIRE(inflateInit2(&z, 15 + 16) == Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  z.avail_in = static_cast<uInt>(in.size());
  std::string out;
  int status = Z_OK;
  while (status == Z_OK) {
    char room[1 << 16];
    z.next_out = reinterpret_cast<Bytef*>(room);
    z.avail_out = sizeof room;
    status = inflate(&z, Z_NO_FLUSH);
    out.append(room, sizeof room - z.avail_out);
  }
  CHECK(status == Z_STREAM_END);
  CHECK(z.avail_in == 0);
  inflateEnd(&z);
  return out;
}

std::string unpack(compression_kind kind, const std::string& in) {
  switch (kind) {
  case compression_kind::none: return in;
  case compression_kind::lz4: return unpack_lz4(in);
  case compression_kind::zstd: return unpack_zstd(in);
  case compression_kind::gzip: return unpack_gzip(in);
  }
  return {};
}

struct sample {
  std::vector<std::string> own;
  std::vector<std::string_view> pieces;
  std::string plain;
};

// Pieces of very different sizes, empty ones too; half of them hardly compress.
sample make_sample(unsigned seed, std::size_t pieces) {
  std::mt19937 random(seed);
  sample s;
  for (std::size_t i = 0; i < pieces; ++i) {
    std::size_t size = i % 7 == 0 ? 0 : random() % (i % 5 == 0 ? 700'000 : 300);
    std::string text;
    for (std::size_t k = 0; k < size; ++k) text += static_cast<char>(i % 2 ? random() : 'a' + k % 3);
    s.own.push_back(std::move(text));
  }
  for (const auto& t : s.own) {
    s.pieces.push_back(t);
    s.plain += t;
  }
  return s;
}

} // namespace

TEST_CASE("a body comes out as it went in, with every compression, read in steps of any size") {
  for (auto kind : {compression_kind::none, compression_kind::lz4, compression_kind::zstd, compression_kind::gzip}) {
    const auto codec = make_compressor(kind); // one for all bodies, as a session has it
    for (std::size_t step : {std::size_t{1000}, std::size_t{65536}, std::size_t{4} << 20}) {
      auto s = make_sample(static_cast<unsigned>(step), 40);
      std::vector<char> part(step);
      body_stream left(s.pieces, codec.get()); // before its end
      left.read(part.data(), part.size());
      body_stream stream(s.pieces, codec.get());
      CHECK(stream.plain_size() == s.plain.size());
      CHECK((unpack(kind, read_all(stream, step)) == s.plain));
    }
  }
}

TEST_CASE("a body can be begun again from any place, and holds the same bytes") {
  for (auto kind : {compression_kind::none, compression_kind::lz4, compression_kind::zstd, compression_kind::gzip}) {
    auto s = make_sample(7, 30);
    const auto codec = make_compressor(kind);
    body_stream stream(s.pieces, codec.get());
    auto first = read_all(stream, 5000);
    for (std::size_t before : {std::size_t{0}, std::size_t{1}, std::size_t{100'000}, first.size()}) {
      stream.rewind();
      std::vector<char> room(before + 1);
      stream.read(room.data(), before);
      stream.rewind();
      CHECK((read_all(stream, 77'777) == first));
    }
  }
}

TEST_CASE("an empty body, and one of empty pieces") {
  for (auto kind : {compression_kind::none, compression_kind::lz4, compression_kind::zstd, compression_kind::gzip}) {
    std::vector<std::string_view> pieces;
    const auto codec = make_compressor(kind);
    body_stream none(pieces, codec.get());
    CHECK(unpack(kind, read_all(none, 100)).empty());
    pieces = {"", "", ""};
    body_stream blank(pieces, codec.get());
    CHECK(unpack(kind, read_all(blank, 100)).empty());
  }
}
