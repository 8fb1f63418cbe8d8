// Content-Encoding of bodies: what the HTTP library does not undo by itself, and what replies are packed with.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace chute::embedded {

using byte_sink = std::function<bool(std::string_view)>;

/// Unpacks a body as it comes in.
class decoder {
public:
  virtual ~decoder() = default;
  /// False: the bytes are no such stream, or the sink had enough.
  virtual bool push(std::string_view packed, const byte_sink& sink) = 0;
  /// Whether the stream ended where it should.
  virtual bool complete() const = 0;
};

/// Null for an encoding that needs no decoder here: none, or gzip, deflate and br, which the HTTP library undoes.
std::unique_ptr<decoder> make_decoder(std::string_view encoding);

/// Whether requests with this Content-Encoding can be read at all.
bool known_encoding(std::string_view encoding);

/// The first of lz4, zstd, gzip and deflate that an Accept-Encoding header names; empty: none of them.
std::string choose_encoding(std::string_view accept);

std::string encode(std::string_view bytes, std::string_view encoding);

} // namespace chute::embedded
