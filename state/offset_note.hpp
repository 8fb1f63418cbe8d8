// The short metadata of offsets that carry no record: those of a lane's other partitions with the kafka store, and all
// of a lane's with any other store. It tells offsets that the engine committed from those that somebody moved.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace chute {

struct offset_note {
  std::string store; // that holds the record: "kafka", "file", …; a host's may have any name
  std::uint64_t lineage = 0, version = 0;
  bool operator==(const offset_note&) const = default;
};

// "chute1:note <store> <lineage in hexadecimal> <version>", the store's name escaped. No record's text looks like it:
// that has no blanks.
std::string write_note(const offset_note& n);
std::optional<offset_note> read_note(std::string_view metadata);
// What a seat's offset says was saved last, for whom the record is in another store than kafka: its note; or, of a
// whole record, which the store kafka has left there, what its note would say.
std::optional<offset_note> seat_note(std::string_view metadata);

// Whether another tool than the engine committed an offset with this metadata. `seat`: of the lane's seat.
bool moved_by_another_tool(std::string_view metadata, bool seat);

} // namespace chute
