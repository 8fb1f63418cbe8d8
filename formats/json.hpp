// JSON records → columns: one object a record. What becomes of each JSON value in each type: docs/json.md.
#pragma once

#include "formats/decoder.hpp"

namespace chute {

// An error names a column that JSON cannot fill: a type that is not insertable, a path that is empty, a time zone that
// the system does not know.
result<std::unique_ptr<decoder>> make_json_decoder(std::vector<target_column> targets, decoder_options options);

} // namespace chute
