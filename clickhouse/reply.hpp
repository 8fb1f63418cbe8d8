// Replies → verdicts. Pure.
//
// The question that matters most is not what went wrong but whether the attempt is *over*: `answered` is true only if
// ClickHouse itself said, in a whole reply, that the query has ended. A 5xx without ClickHouse's own code comes from
// something in between; a cut reply, a time-out on our side and a refused answer leave the insert running for all we
// know. Codes by which the server tells that it does not know itself, or that it lost a connection which its own insert
// may depend on, do not count as an end either (see rule_of).
#pragma once

#include "clickhouse/http.hpp"
#include "core/answers.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace chute::clickhouse {

// What one of ClickHouse's error codes means for an insert.
struct code_rule {
  insert_answer::verdict what = insert_answer::verdict::retry;
  bool ends_attempt = true;  // the server has surely ended the query
  bool before_write = false; // raised before anything is written, as long as no materialized view depends on the table
  bool views_too = false;    // … and also if views depend on it: raised before the query is looked at
};

// `refreshed`: the columns were described anew since an insert of this plan was last answered with "columns changed".
// Sources of the codes: ClickHouse's list of error codes, and what the engine answered in our tests.
constexpr code_rule rule_of(int code, bool refreshed = false) {
  using v = insert_answer::verdict;
  switch (code) {
  // The rows are to blame: parsing, conversion, a null where there can be none, a CHECK constraint. One insert is one
  // block, and a block is parsed, converted and checked whole before the first byte of it is written. What is computed
  // while a partition of the table is written comes later: see insert_context::partitioned.
  case 6:   // CANNOT_PARSE_TEXT
  case 25:  // CANNOT_PARSE_ESCAPE_SEQUENCE
  case 26:  // CANNOT_PARSE_QUOTED_STRING
  case 27:  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  case 38:  // CANNOT_PARSE_DATE
  case 41:  // CANNOT_PARSE_DATETIME
  case 69:  // ARGUMENT_OUT_OF_BOUND
  case 70:  // CANNOT_CONVERT_TYPE
  case 72:  // CANNOT_PARSE_NUMBER
  case 117: // INCORRECT_DATA
  case 130: // CANNOT_READ_ARRAY_FROM_TEXT
  case 190: // SIZES_OF_ARRAYS_DONT_MATCH: of the columns n.a, n.b, … of a Nested one
  case 349: // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  case 376: // CANNOT_PARSE_UUID
  case 467: // CANNOT_PARSE_BOOL
  case 469: // VIOLATED_CONSTRAINT
  case 675: // CANNOT_PARSE_IPV4
  case 676: // CANNOT_PARSE_IPV6
  case 691: // UNKNOWN_ELEMENT_OF_ENUM
    return {v::rejected_data, true, true};

  // The batch is too big for this server, or the server too busy for the batch. The query may have been half through.
  case 159: // TIMEOUT_EXCEEDED: max_execution_time ended the query
  case 241: // MEMORY_LIMIT_EXCEEDED
  case 307: // TOO_MANY_BYTES
  case 396: // TOO_MANY_ROWS_OR_BYTES
    return {v::too_big, true};

  // The table is not the one that was described.
  case 131: // TOO_LARGE_STRING_SIZE: a FixedString became shorter; if it did not, the rows are to blame
    if (refreshed) return {v::rejected_data, true, true};
    return {v::columns_changed, true, true};
  case 16: // NO_SUCH_COLUMN_IN_TABLE
  case 33: // CANNOT_READ_ALL_DATA
  case 44: // ILLEGAL_COLUMN: a column became MATERIALIZED or ALIAS
  case 47: // UNKNOWN_IDENTIFIER
  case 53: // TYPE_MISMATCH: no conversion leads from the type that was described to the column's
    return {v::columns_changed, true, true};

  // A person has to mend something; nothing was written.
  case 60:  // UNKNOWN_TABLE
  case 81:  // UNKNOWN_DATABASE
  case 497: // ACCESS_DENIED
  case 115: // UNKNOWN_SETTING
  case 452: // SETTING_CONSTRAINT_VIOLATION
    return {v::wait_person, true, true};
  case 164: // READONLY
  case 192: // UNKNOWN_USER
  case 193: // WRONG_PASSWORD
  case 194: // REQUIRED_PASSWORD
  case 195: // IP_ADDRESS_NOT_ALLOWED
  case 516: // AUTHENTICATION_FAILED
    return {v::wait_person, true, true, true};

  // Worth a retry, and over: the server refused or stopped the query and says so.
  case 160: // TOO_SLOW
  case 202: // TOO_MANY_SIMULTANEOUS_QUERIES
  case 252: // TOO_MANY_PARTS
  case 285: // TOO_FEW_LIVE_REPLICAS
    return {v::retry, true};

  // Worth a retry, and perhaps not over. 319 says it outright: the commit in Keeper may still come through. The others
  // are lost or slow connections, Keeper's among them: the server may have been about to learn that the insert is in.
  case 3:   // UNEXPECTED_END_OF_FILE
  case 209: // SOCKET_TIMEOUT
  case 210: // NETWORK_ERROR
  case 242: // TABLE_IS_READ_ONLY: also when Keeper's session ends within an insert
  case 319: // UNKNOWN_STATUS_OF_INSERT
  case 425: // SYSTEM_ERROR
  case 999: // KEEPER_EXCEPTION
    return {v::retry, false};

  // A code that nobody thought of must not move anything: try again, and take the attempt for one that may still run.
  default: return {v::retry, false};
  }
}

// An exception that a reply carries: in the header, at the body's start, or in the middle of a body that began well.
struct server_exception {
  int code = 0;     // 0: there is an exception, but its code cannot be read
  std::string text; // one line, at most 4,000 bytes
};
std::optional<server_exception> find_exception(const http_reply& reply);

// Whether the server was converting a column from the type that the block says. The block says what the columns were
// described as, so at first this means that a column has another type by now, whatever the code.
bool converts_column(std::string_view text);

// What of a rejection may be kept with the record: the code's name, the column and its types, the constraint. Never the
// rest of the server's words, which quote values.
std::string rejection_text(const server_exception& exception);

// What else decides about an insert's reply.
struct insert_context {
  bool refreshed = false; // see rule_of
  bool dependent_views =
      false;                  // then no code tells that nothing was written, but those raised before the query is read
  bool server_parses = false; // the body is text that came from records: what its parser says is about them
  // A table with partitions: a block is written partition by partition, and what is found bad while one of them is
  // written (a sorting key, a skip index, Collapsing's sign) comes when others of the block are there already.
  bool partitioned = false;
};

// Whether the parser of a row of the body raised it, for what the row holds, under a code that means other things too.
bool parser_refused(int code, std::string_view text);

// The message of rejected_data is rejection_text(); of all others, the server's words.
insert_answer classify(const http_reply& reply, const insert_context& context = {});

// At most `most` bytes of a text, on one line, never cut within a UTF-8 sequence.
std::string one_line(std::string_view text, std::size_t most = 500);

} // namespace chute::clickhouse
