// The whole value of a record in one column, as it came.
//
// The column that takes it, among those that no header, constant or meta fills:
//  1. the one that `columns:` gives the field "value" or "";
//  2. else the one named `value`;
//  3. else the only one that has no DEFAULT expression; else the only one at all.
// Others take their defaults: they are not named in the insert. If the rules leave none or several, map_columns says
// so. The column is String, FixedString(n), LowCardinality(String) or any other type of one plain value, which the text
// must be valid for. A null value (a tombstone) is a missing value: NULL, or the column's DEFAULT.
#pragma once

#include "formats/decoder.hpp"

#include <memory>
#include <vector>

namespace chute {

result<std::unique_ptr<decoder>> make_raw_decoder(std::vector<target_column> targets, decoder_options options);

} // namespace chute
