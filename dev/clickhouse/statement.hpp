// What the face must know of a statement before it hands it to the engine; pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace chute::embedded {

struct statement {
  /// As it goes to the engine. Of an INSERT with data: all before its FORMAT or VALUES clause.
  std::string text;
  /// The format named by the statement; "Values" after VALUES; empty: none is named.
  std::string format;
  /// An INSERT whose rows follow the text.
  bool takes_data = false;
  /// Where the rows begin in what was given to split(); its length if they are not in there.
  std::size_t data_begin = 0;
  /// A second statement follows; ClickHouse's HTTP interface takes one.
  bool several = false;
  bool empty = false;
};

/// Splits off the rows that follow an INSERT. `whole`: all of the text is here; otherwise it is the beginning of
/// more, and an answer that does not take data is only a guess.
statement split(std::string_view text, bool whole);

} // namespace chute::embedded
