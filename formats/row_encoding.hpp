// What the encodings share, and those that go row by row.
#pragma once

#include "formats/encoder.hpp"
#include "formats/row_cursor.hpp"

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chute {

// ClickHouse reads the text of JSON columns with the settings of the insert, whatever the format around it. `[1, true]`
// would become `[1, 1]`, and a typed path of times took ISO 8601 from one encoding only.
std::vector<std::pair<std::string, std::string>> json_text_settings();

// A body with everything but its content; `filled`: the parts of the batch that have rows. An error if there are none,
// or if the chunks do not go together.
result<body> begin_body(std::span<const chunk_rows> batch, std::vector<chunk_rows>& filled);

// `not_nullable`: columns of the table that hold no null. Where a batch's column is Nullable on its way to one, null
// takes the column's DEFAULT.
result<body> encode_row_binary(std::span<const chunk_rows> batch, const std::set<std::string>& not_nullable);
result<body> encode_json_each_row(std::span<const chunk_rows> batch, const std::set<std::string>& not_nullable);

// As encode_json_each_row() writes them: a text in quotes; the value of a row, which is passed.
void append_json_text(std::string& out, std::string_view text);
void append_json_value(std::string& out, row_cursor& from);

} // namespace chute
