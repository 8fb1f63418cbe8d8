// Changes of rows: what a row says about others of its key, and the columns in which the table's engine reads it.
#pragma once

#include <cstdint>
#include <string>

namespace chute {

enum class row_change : std::uint8_t {
  state,   // the row is so from now on
  removal, // ReplacingMergeTree: it is gone
  cancel,  // CollapsingMergeTree: this row, as it was, counts no more
};

// Of ReplacingMergeTree(version, deleted), CollapsingMergeTree(sign) and VersionedCollapsingMergeTree(sign, version).
// Empty: the engine has none.
struct change_columns {
  std::string version, deleted, sign;
};

} // namespace chute
