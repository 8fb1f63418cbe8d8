// The compare in compare-and-set, the same for every store.
#pragma once

#include "state/store.hpp"

#include <optional>
#include <string_view>

namespace chute {

// What a save that meets `current` comes to: nothing, if the record is to be written; else its answer, a repetition of
// what is there already included.
std::optional<saved> compare(const save_request& wanted, const std::optional<stored_record>& current);

// "group/pipeline topic/lane", for messages.
std::string to_string(const lane_key& k);

// '/', '%', blanks and whatever is not printable ASCII as %XX.
std::string escaped(std::string_view name);

// "cluster/group/pipeline/topic/lane", each of them escaped: no two lanes have the same. The record's name where a
// store has names.
std::string record_name(const lane_key& k);

// Milliseconds on a clock that counts suspended time.
std::int64_t boot_ms();

} // namespace chute
