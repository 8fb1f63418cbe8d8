// The compare in compare-and-set, the same for every store.
#pragma once

#include "state/store.hpp"

#include <optional>

namespace chute {

// What a save that meets `current` comes to: nothing, if the record is to be written; else its answer, a repetition of
// what is there already included.
std::optional<saved> compare(const save_request& wanted, const std::optional<stored_record>& current);

// "group/pipeline topic/lane", for messages.
std::string to_string(const lane_key& k);

} // namespace chute
