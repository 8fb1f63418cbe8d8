// What decoders share: columns on the wire, rows without a value, bad records.
#pragma once

#include "formats/decoder.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace chute {

// The type whose make_column() the decoder fills: the storage type, or Nullable of it where a row that is null takes
// the column's DEFAULT expression from the server. Nullable(Map(…)) is such a type too; only the encoder knows how it
// is sent.
type_ptr wire_type(const table_column& c);

// Whether a missing value is a constant that has to be known here: see target_column.
bool needs_fill(const table_column& c);
// Asks the server for that constant. Fails there (47) if the expression needs other columns. The answer has one row
// with the columns `c` and `changing`, the number of functions in the expression that give another value each time: if
// that is not 0, the expression is no constant.
std::string fill_query(const table_column& c);
// Makes `fill` from the answer, one line of JSONEachRow. An error if it is no constant.
result<void> read_fill(target_column& t, std::string_view answer, const decoder_options& options);

// Names and empty columns for the targets, unless the block has them.
void prepare_block(const std::vector<target_column>& targets, block& out);

// Appends what a row without a value takes. `c` has the target's wire type.
inline void append_missing(column& c, const target_column& t) {
  if (t.fill) append_rows(c, *t.fill);
  else append_default(c);
}
// Appends what an explicit null is: null where the column can hold it, else the same as a missing value.
inline void append_null(column& c, const target_column& t) {
  if (t.fill && c.form != layout::nullable && c.form != layout::variant) append_rows(c, *t.fill);
  else append_default(c);
}

// Appends the offset, hash, size and outcome of a record that became a row, or several.
void append_row_outcome(const record_view& r, chunk& out, std::size_t rows = 1);
// Of the last record, where its rows were appended by somebody else.
void note_rows(chunk& out, std::size_t rows);
// The same for a record that the topology does not want.
void append_dropped(const record_view& r, chunk& out);
// The same for a record that cannot become one: dead letter, dropped or stop, as the topology says. `error` names the
// field, the column and its type, never the value.
void append_bad_record(const record_view& r, const header_source& headers, const decoder_options& options,
                       std::string error, chunk& out);

} // namespace chute
