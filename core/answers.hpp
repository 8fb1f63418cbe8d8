// What ClickHouse answered, as the lane needs to know it. clickhouse/ makes these from replies; core/ decides on them.
#pragma once

#include "core/answering.hpp"
#include "core/ids.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace chute {

// The answer to one attempt to insert.
struct insert_answer {
  enum class verdict : std::uint8_t {
    acknowledged,
    rejected_data,   // the rows are to blame (6, 27, 38, 41, 69, 70, 72, 117, 131 after a refresh, 349, 469)
    too_big,         // 159, 241, 307, 396: fine once or twice, a smaller batch if again and again
    columns_changed, // 16, 33, 47, 131: the table is not the one that was described
    wait_person,     // answered, nothing written, a person must mend it: 60, 81, 497, 516, 164, …
    retry,           // anything else worth a retry, answered or not
  };
  verdict what = verdict::retry;
  bool answered = false;     // the server said definitely that this attempt is over. False: it may still be running
  bool never_sent = false;   // not a byte of the request left this process (connect refused, lease check said no)
  bool before_write = false; // the code is one raised before anything is written (parsing, conversion, CHECK 469)
  // … also where views depend on the table: raised before the statement is looked at.
  bool before_views = false;
  bool record_gone = false;           // not sent: the log has the record no more that a dead letter was to be made of
  int attempts = 1;                   // requests that left: libcurl may repeat a POST by itself
  int code = 0;                       // ClickHouse's, 0: none
  std::string message;                // for people: the code, its name and the server's text, cut to 500 characters
  std::int64_t server_started_ms = 0; // where it was asked before: on the server's clock, Unix ms; else 0
};

// Which offsets are there? One range a partition.
struct offset_range {
  partition_id partition;
  offset_t first, last; // inclusive
};

struct range_count {
  std::uint64_t rows = 0, distinct = 0;      // in the table
  std::uint64_t dead = 0, dead_distinct = 0; // in the dead-letter table
  std::uint64_t either = 0;                  // distinct offsets over both
};

// What the destination lets the engine believe.
struct table_trust {
  bool there = false;     // rows that are found did land (provenance columns; MergeTree, Replacing, Collapsing)
  bool not_there = false; // rows that are not found did not land (plain or replicated MergeTree, no TTL, no deletes)
  bool merges = false;    // rows that landed may since have been merged away with others of their key
  bool replaces = false;  // a row that is sent twice is one row: it replaces itself
  bool split = false;     // it has partitions, of which a failed insert may have written some
  bool dependent_views = false;
  bool quorum = false;
  bool plain_merge_tree = true; // its deduplication log may lack its tail after a server's crash
};

// Inserts that the table, and all that hangs on it, have ever seen.
struct block_sum {
  std::uint64_t all = 0; // 0: not known
  // Of these, what tables had seen when they were found to hang on it: no plan that was made before had counted them.
  std::uint64_t late = 0;
};

// Tables change while the engine runs: views, TTLs and deletes come and go.
struct table_standing {
  table_trust trust;
  std::int64_t window_ms = 0; // the smallest deduplication window, as in lane_config
  std::uint64_t window_ids = 0;
};

// Which offsets of each range are there; ascending.
struct offset_lists {
  std::vector<std::vector<std::int64_t>> all;  // one for each row and dead letter
  std::vector<std::vector<std::int64_t>> dead; // those of which there is a dead letter, each once
};

struct table_answer {
  bool answered = false;           // false: no answer, ask again
  std::string why;                 // if not answered
  std::vector<range_count> counts; // one a range asked for, in order
  offset_lists listed;             // if they were asked for
  block_sum blocks;
  std::int64_t server_started_ms = 0;        // on the server's clock, Unix ms; 0: not known
  std::optional<table_standing> now;         // nothing: as it was told before
  std::optional<answering::span> all_answer; // of late: see answering
};

} // namespace chute
