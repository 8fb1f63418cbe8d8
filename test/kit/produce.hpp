// Fills a topic: with records made from a seed, or with given ones.
#pragma once

#include "test/kit/kafka.hpp"
#include "test/kit/records.hpp"

#include <cstdint>
#include <istream>
#include <string>

namespace chute::kit {

struct production {
  std::string brokers, topic;
  record_options records;
  std::uint64_t count = 0;
  std::uint64_t first = 0;   // number of the first record: a second run goes on where the first ended
  std::uint64_t run = 1;     // so many in a row go to one partition, as a producer without keys fills a batch
  double rate = 0;           // records a second; 0: as fast as it goes
  bool transactions = false; // in transactions of 1,000; every fourth is preceded by one that is aborted
  bool keys = false;         // keys and headers too; the partition follows from the key
  std::string compression = "none";
  properties extra;
};

struct produced {
  std::uint64_t committed = 0, broken = 0, aborted = 0;
  double seconds = 0;
};

// Throws failure if a record could not be delivered.
produced produce(const production& what);

// One record a line, as JSON: {"partition": 0, "key": "…", "value": "…", "headers": [["name", "value"], …]}. Bytes that
// are no text go into key_base64, value_base64; a value of null is a tombstone.
produced produce_lines(const production& what, std::istream& from);

} // namespace chute::kit
