// What a record that changes a row becomes, by `deletes` and `envelope`: decided from the record alone, so that it is
// decided alike whenever the record is read.
#pragma once

#include "core/changes.hpp"
#include "formats/decoder.hpp"

#include <array>
#include <string_view>

namespace chute {

// A record without a value.
enum class tombstone_use : std::uint8_t { bad, drop, removal };
constexpr tombstone_use use_of_tombstone(delete_policy deletes, envelope_kind envelope) {
  if (deletes == delete_policy::reject) return tombstone_use::bad;
  // It follows a delete event, which told the same.
  if (envelope == envelope_kind::debezium) return tombstone_use::drop;
  return tombstone_use::removal; // collapsing takes an envelope
}

// A row that an event makes: from `after`, or from `before`.
struct event_row {
  bool after = true;
  row_change change = row_change::state;
};
struct event_rows {
  const char* wrong = nullptr; // it makes none, and why
  std::size_t count = 0;
  std::array<event_row, 2> rows{};
};

// An event of Debezium: op c (create), r (read, in a snapshot), u (update), d (delete), t (truncate). `before`,
// `after`: whether it tells how the row was and is.
constexpr event_rows rows_of_event(std::string_view op, bool before, bool after, delete_policy deletes) {
  const bool collapsing = deletes == delete_policy::collapsing;
  event_rows out;
  const auto add = [&out](bool from_after, row_change change) { out.rows[out.count++] = {from_after, change}; };
  if (op == "c" || op == "r" || op == "u") {
    if (!after) out.wrong = "the event does not tell how the row is: it has no 'after'";
    else if (op == "u" && collapsing && !before)
      out.wrong = "the update does not tell how the row was, so it cannot be collapsed: it has no 'before'";
    if (out.wrong) return out;
    if (op == "u" && collapsing) add(false, row_change::cancel);
    add(true, row_change::state);
  } else if (op == "d") {
    if (deletes == delete_policy::reject) out.wrong = "a delete event, and deletes are rejected";
    else if (!before) out.wrong = "the delete event does not tell which row: it has no 'before'";
    else add(false, collapsing ? row_change::cancel : row_change::removal);
  } else if (op == "t") {
    out.wrong = "a truncate event, which takes all rows away: no row can say so";
  } else {
    out.wrong = "the event is no change of a row: its 'op' is none of c, r, u, d and t";
  }
  return out;
}

inline constexpr const char* no_op = "the value is no change event: it has no 'op'";
// In the place of a value that the database did not log for the change (Postgres: a TOASTed column that stayed as it
// was) Debezium sends a text, its bytes, or a list or map of it: the connector's default of
// unavailable.value.placeholder.
inline constexpr std::string_view unavailable = "__debezium_unavailable_value";
inline constexpr const char* not_sent =
    "is not in the event: it holds Debezium's placeholder for a value that the database did not log; ALTER TABLE … "
    "REPLICA IDENTITY FULL in Postgres makes it do so";
// Begins a path of `columns:` that leads from the whole event, not from the row in it: $.source.lsn
inline constexpr std::string_view from_event = "$.";

} // namespace chute
