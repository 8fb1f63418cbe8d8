// The oracle: what Kafka committed against what ClickHouse holds, offset by offset.
#pragma once

#include "test/kit/clickhouse.hpp"
#include "test/kit/kafka.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace chute::kit {

struct comparison {
  std::string brokers, topic;
  properties kafka; // of librdkafka, for brokers that want more than an address
  clickhouse_address server;
  std::string table, dead_letters; // database.table; dead_letters empty: none are expected
  std::string pipeline;            // whose dead letters; empty: those of the topic
  std::string raw;                 // the column that holds the whole value, instead of columns from fields
  std::set<std::string> ignore;    // columns that are not compared
  bool shared = false;             // the table holds rows of other topics too
  bool offsets_only = false;       // any format, any columns: each record is found once, whatever its values
  std::string topic_column = "_topic", partition_column = "_partition", offset_column = "_offset";
  // Offsets to look at, one a partition; the key -1 stands for all. [from, to)
  std::map<int, std::int64_t> from, to;
  // A pipeline with `where`: JSON records whose field (or header) of this name has none of these texts are expected
  // nowhere.
  std::string where_name;
  bool where_header = false;
  std::set<std::string> where_texts;
  std::size_t examples = 10;
};

struct findings {
  std::uint64_t produced = 0;     // committed records in the topic
  std::uint64_t rows = 0;         // in the table, of this topic
  std::uint64_t dead_letters = 0; // in the dead-letter table
  std::uint64_t doubled = 0;      // rows and dead letters beyond the first of an offset
  std::uint64_t missing = 0;      // records found nowhere
  std::uint64_t different = 0;    // found, but with other values or bytes, or in the wrong table
  std::uint64_t foreign = 0;      // rows and dead letters of which there is no record
  std::uint64_t left_out = 0;     // not the pipeline's: where_name; not among `produced`
  std::uint64_t unverified = 0;   // found once, but the oracle cannot tell what they should look like
  std::vector<std::string> examples;

  bool exact() const { return doubled + missing + different + foreign == 0; }
  std::string text() const; // "produced N, in the table N, dead letters N, doubled N, …"
  std::string json() const;
};

// Throws failure if it cannot be compared at all.
findings compare(const comparison& what);

} // namespace chute::kit
