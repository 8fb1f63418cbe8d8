// Kafka Connect's JSON with schemas: {"schema": {…}, "payload": {…}}, with the logical types of Connect and Debezium.
// Also {"schema": null, "payload": {…}}, which is plain JSON.
#pragma once

#include "formats/decoder.hpp"

#include <memory>
#include <vector>

namespace chute {

result<std::unique_ptr<decoder>> make_connect_json_decoder(std::vector<target_column> targets, decoder_options options);

} // namespace chute
