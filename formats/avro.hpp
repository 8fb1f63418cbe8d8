// Avro's binary encoding, one record a value: behind Confluent's framing (a zero byte and the schema's id in a
// registry), behind the single-object header, or bare.
#pragma once

#include "formats/decoder.hpp"

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace chute {

result<std::unique_ptr<decoder>> make_avro_decoder(std::vector<target_column> targets, decoder_options options);

// Takes a zero byte and a schema's id off the front.
std::optional<std::uint32_t> take_schema_id(std::string_view& value);

} // namespace chute
