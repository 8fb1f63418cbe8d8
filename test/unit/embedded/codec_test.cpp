#include "dev/clickhouse/codec.hpp"

#include <doctest/doctest.h>

using namespace chute::embedded;

namespace {

std::string some_bytes(std::size_t size) {
  std::string out(size, '\0');
  std::uint32_t x = 1;
  for (auto& c : out) c = static_cast<char>((x = x * 1'664'525 + 1'013'904'223) >> 29); // three bits: it compresses
  return out;
}

// The body that comes in in steps of this size; complete only at its end.
std::string unpacked(const std::string& encoding, const std::string& packed, std::size_t step) {
  const auto d = make_decoder(encoding);
  std::string out;
  for (std::size_t at = 0; at < packed.size(); at += step) {
    CHECK_FALSE(d->complete());
    REQUIRE(
        d->push(std::string_view(packed).substr(at, step), [&](std::string_view s) { return out.append(s), true; }));
  }
  CHECK(d->complete());
  return out;
}

} // namespace

TEST_CASE("a packed body is whole at its last byte, whatever its size") {
  constexpr std::size_t piece = 256 << 10; // what the decoders have room for at a time
  for (const std::string encoding : {"lz4", "zstd"})
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, piece - 1, piece, piece + 1, 7 * piece})
      for (const std::size_t step : {std::size_t{1'000}, 2 * piece}) {
        INFO(encoding << ", " << size << " bytes in steps of " << step);
        const auto plain = some_bytes(size), packed = encode(plain, encoding);
        CHECK(unpacked(encoding, packed, step) == plain);
      }
}
