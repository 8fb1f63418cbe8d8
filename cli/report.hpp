// What `check` and `state show` print.
#pragma once

#include "actors/inspect.hpp"
#include "core/finding.hpp"

#include <span>
#include <string>
#include <vector>

namespace chute::cli {

// Rows of cells under a head; columns are as wide as their longest cell, numbers (as the head says) to the right.
struct table_column {
  std::string head;
  bool number = false;
};
std::string text_table(const std::vector<table_column>& columns, const std::vector<std::vector<std::string>>& rows);

// The worst first; each with its reason and what mends it. Ends with the counts.
std::string findings_text(std::span<const finding> found);
// [{"level", "where", "reason", "mend"}]
std::string findings_json(std::span<const finding> found);

// One row a partition, then the open plans.
std::string states_text(std::span<const lane_state_view> lanes);
// [{"pipeline", "topic", "lane", "found", "problem", "version", "lineage", "lanes", "lag", "partitions": [{"partition",
//  "next", "end", "lag", "blind", "fill_to"}], "plan": {"token", "kind", "as", "since", "good_until", "last": […]}}]
std::string states_json(std::span<const lane_state_view> lanes);

} // namespace chute::cli
