// A decoder that is not the engine's: what it leaves in a chunk is counted, so that a record of which it says nothing
// stops the pipeline instead of vanishing.
#pragma once

#include "formats/decoder.hpp"

#include <string>

namespace chute {

// Makes what `values` makes. Whatever `values` throws is an error; decode() throws std::runtime_error, which names the
// format, for whatever the decoder throws, and for a chunk that does not account for every record.
decoder_maker checked_maker(const std::string& format, const decoder_maker& values);

} // namespace chute
