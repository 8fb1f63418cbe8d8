// Constants behind DEFAULT expressions that a null row cannot ask the server for (target_column's `fill`).
#pragma once

#include "clickhouse/http.hpp"
#include "clickhouse/tables.hpp"
#include "formats/decoder.hpp"

#include <string>
#include <vector>

namespace chute {

// A column as this server has it, for `encoding`. An error where its type is not known here.
result<table_column> column_on(const clickhouse::server_facts& facts, const clickhouse::column_description& c,
                               const std::string& encoding);

// Asks the server for each of them. `lasting`: what the error names is the table's, and waiting does not mend it.
result<void> fill_defaults(clickhouse::session& s, std::vector<target_column>& targets, const decoder_options& options,
                           std::int64_t limit_ms, bool& lasting);

} // namespace chute
