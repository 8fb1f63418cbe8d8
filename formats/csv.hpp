// Delimited text, one row a record: csv as RFC 4180 has it, tsv with backslash escapes as ClickHouse and databases'
// dumps write it. Which fields there are, in order: those of the record's own header line (header: record), those that
// the topology names, or else the columns that fields fill, as the table has them.
#pragma once

#include "formats/decoder.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chute {

// One field of a line. `quoted`: it stood in quotes, so it is neither null nor missing.
struct delimited_field {
  std::string text;
  bool quoted = false;
  bool null = false; // tsv's \N
};

// Takes one line off the front of `rest`; fields beyond out.size() are added, `count` is set. What is wrong, or null.
const char* take_csv_line(std::string_view& rest, char delimiter, std::vector<delimited_field>& out,
                          std::size_t& count);
const char* take_tsv_line(std::string_view& rest, std::vector<delimited_field>& out, std::size_t& count);

// format: csv or tsv.
result<std::unique_ptr<decoder>> make_csv_decoder(const std::string& format, std::vector<target_column> targets,
                                                  decoder_options options);

} // namespace chute
