// Columns → the body of an insert. One batch is exactly one block (ClickHouse deduplicates per block).
#pragma once

#include "core/chunk.hpp"
#include "core/error.hpp"
#include "formats/decoder.hpp"

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chute {

// Rows [first_row, first_row + rows) of a chunk's block. All chunks of a batch have the same columns in the same order.
struct chunk_rows {
  chunk_ptr from;
  std::size_t first_row = 0, rows = 0;
};

// The body of an insert: pieces in order. They point into the chunks that `keep` holds, or into `own`; nothing is
// copied that need not be. Can be sent any number of times.
struct body {
  std::vector<std::string_view> pieces;
  std::vector<chunk_ptr> keep;
  std::vector<std::unique_ptr<bytes>> own;
  std::vector<std::string> columns;                          // for INSERT INTO t (columns)
  std::string format;                                        // Native, RowBinary, …
  std::vector<std::pair<std::string, std::string>> settings; // that the format needs, over the user's
  std::size_t rows = 0;
  std::size_t byte_size() const;
};

// `encoding` as in the topology: native, row_binary or json_each_row. `targets`: what the batch was decoded for.
result<body> encode(const std::string& encoding, std::span<const chunk_rows> batch,
                    std::span<const target_column> targets);
// An error names a column that the encoding cannot send without loss.
result<void> can_encode(const std::string& encoding, std::span<const target_column> targets);

// The content depends only on the records, not on how they were grouped in chunks.
result<body> encode_native(std::span<const chunk_rows> batch);

} // namespace chute
