// Values that ClickHouse reads itself, in one of its own formats. chute looks only for the end of the row, so that one
// value is one row and cannot take its neighbours with it, and puts the columns in front that it knows of a record
// (provenance, headers, constants): that is why only formats are taken whose rows can be told apart without reading
// them, and prefixed.
#pragma once

#include "formats/decoder.hpp"
#include "formats/encoder.hpp"

#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace chute {

// The block that it makes has the columns of `targets` that no field fills, and behind them one of type String, the
// rows as they are to be sent. The name of that one is those of the columns that fields fill, a zero byte between each
// two.
result<std::unique_ptr<decoder>> make_passthrough_decoder(std::vector<target_column> targets, decoder_options options);

// The body that such blocks make. Its content depends only on the records, not on how they were grouped.
result<body> encode_passthrough(const passthrough_config& config, std::span<const chunk_rows> batch);

// Cuts a value down to its row, without the blanks or the line end around it. What is wrong with it, as a half sentence
// that follows "the value ", or null: it is exactly one row, as far as that can be told without reading it.
const char* take_row(const passthrough_config& config, std::string_view& value);

} // namespace chute
