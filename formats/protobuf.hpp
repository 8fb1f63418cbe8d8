// Protobuf messages, one a value: behind Confluent's framing (a zero byte, the schema's id, the path to the message in
// its file), or bare.
#pragma once

#include "formats/decoder.hpp"

#include <memory>
#include <vector>

namespace chute {

result<std::unique_ptr<decoder>> make_protobuf_decoder(std::vector<target_column> targets, decoder_options options);

} // namespace chute
