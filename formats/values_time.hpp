// Text → dates, points in time, times of day. As values.hpp: pure, exact, errors as values.
//
// A local time that exists twice (clocks set back) is the earlier one, as ClickHouse takes it. One that does not exist
// (clocks set forward) is an error: ClickHouse would shift it by an hour.
#pragma once

#include "core/error.hpp"
#include "formats/values.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chute {

// -- zones ----------------------------------------------------------------------------------------------------------

// The offsets of a time zone from 1899 to 2300, in local time. Immutable: share it between threads.
class zone {
public:
  // An IANA name, or Fixed/UTC±hh:mm:ss. Reads the system's time zone files (Debian: tzdata).
  static result<std::shared_ptr<const zone>> find(const std::string& name);

  // Seconds since 1970-01-01 00:00:00 on the zone's clocks → Unix seconds. `hint` is the caller's: begin with 0 and
  // hand it in again, neighbours in time are then found at once.
  value_error to_unix(std::int64_t local, std::int64_t& unix_seconds, std::size_t& hint) const {
    if (spans_.size() == 1) [[likely]] {
      unix_seconds = local - spans_[0].offset;
      return value_error::none;
    }
    const span* s = &spans_[hint];
    if (local < s->first || local >= s->end) {
      if (!seek(local, hint)) return value_error::no_such_time;
      s = &spans_[hint];
    }
    unix_seconds = local - s->offset;
    return value_error::none;
  }

private:
  struct span {
    std::int64_t first, end; // local seconds, end exclusive; what two spans share belongs to the earlier one
    std::int32_t offset;     // seconds east of Greenwich
  };
  void add(std::int64_t unix_begin, std::int64_t unix_end, std::int32_t offset);
  bool seek(std::int64_t local, std::size_t& hint) const;
  std::vector<span> spans_; // in order; more than one: they reach from 1899 to 2300
};

// -- values ---------------------------------------------------------------------------------------------------------

// YYYY-MM-DD or YYYYMMDD → days since 1970-01-01. Date: up to 2149-06-06; Date32: 1900-01-01 … 2299-12-31.
value_error parse_date(std::string_view text, std::uint16_t& days);
value_error parse_date32(std::string_view text, std::int32_t& days);
// Whether a number of days is within Date32.
value_error check_date32(std::int64_t days);

// YYYY-MM-DD[(T| )hh:mm[:ss[.fraction]][[ ](Z|±hh[[:]mm])]], without an offset in the zone; or 9 or 10 digits, Unix
// seconds, with a fraction or without. A fraction must be zeros (DateTime), or beyond `scale` (DateTime64). The range
// of DateTime64 is 1900 … 2299 on the zone's clocks, or in UTC where the text has an offset.
value_error parse_datetime(std::string_view text, const zone& in, std::size_t& hint, std::uint32_t& unix_seconds);
value_error parse_datetime64(std::string_view text, std::uint32_t scale, const zone& in, std::size_t& hint,
                             std::int64_t& ticks);
// Whether ticks of 10^-scale seconds are within 1900-01-01 … 2299-12-31 UTC.
value_error check_datetime64(std::int64_t ticks, std::uint32_t scale);

// [-]hhh:mm:ss[.fraction], or seconds: up to 999:59:59 either way.
value_error parse_time(std::string_view text, std::int32_t& seconds);
value_error parse_time64(std::string_view text, std::uint32_t scale, std::int64_t& ticks);
value_error check_time(std::int64_t ticks, std::uint32_t scale); // scale 0: seconds

} // namespace chute
