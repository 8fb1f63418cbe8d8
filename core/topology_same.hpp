// Whether a pipeline would run otherwise by another topology.
#pragma once

#include "core/topology.hpp"

namespace chute {

// `was` of `before`, `is` of `now`. Both its own section and what all pipelines share count; where it stands in the
// file does not, nor does `admin`.
bool same_pipeline(const topology& before, const topology& now, const pipeline_config& was, const pipeline_config& is);

bool same_state(const state_config& a, const state_config& b);
bool same_admin(const std::optional<admin_config>& a, const std::optional<admin_config>& b);

} // namespace chute
