// What comes before and beside the decoding of values: `where`, which takes some records and leaves the rest, and keys
// that have a format of their own.
#pragma once

#include "formats/decoder.hpp"

#include <memory>
#include <vector>

namespace chute {

// Whether records go through these stages; if not, the decoder of the values does all.
bool needs_stages(const std::vector<target_column>& targets, const decoder_options& options);

// `values` makes the decoder of the values, and one that reads the fields of `where`.
//
// A record of which a condition does not hold is dropped before anything else is asked of it, so it may look as it
// likes. A field is compared as the text that a String column would hold; null is as if it were not there. A record
// whose field cannot be read (the value is broken) is a bad record, because nobody can tell whose it is. A record
// without a value has no fields to ask: it is taken, and `deletes` decides.
// The fields of a key fill the columns that name them; without a key they take what a missing field does. A key that
// cannot be read makes a bad record.
// What becomes of a record depends on that record alone, however records come grouped.
result<std::unique_ptr<decoder>> make_stages(const decoder_maker& values, const std::string& format,
                                             std::vector<target_column> targets, decoder_options options);

} // namespace chute
