// In which time servers have answered what they were asked. A request may lie in the socket of one that hangs, and be
// taken up when it goes on: whether none can any more is told by time, and only such time counts.
#pragma once

#include "core/ids.hpp"

#include <algorithm>
#include <optional>

namespace chute {

class answering {
public:
  // Each of its questions left within every_ms and within_ms of the one before. One without an answer says by that
  // alone that time passes.
  static constexpr mono_ms every_ms = 5'000, within_ms = 3'000;
  struct span {
    mono_ms since = 0, until = 0;                                                 // when the first and last left
    mono_ms length_from(mono_ms at) const { return until - std::max(since, at); } // less than 0: none
  };

  // All servers answered, by `now`, what they were asked at `asked`. In any order.
  void heard(mono_ms asked, mono_ms now) {
    if (now - asked > within_ms || (span_ && asked <= span_->until)) return;
    if (!span_ || asked - span_->until > every_ms + within_ms) span_ = {asked, asked};
    span_->until = asked;
  }
  std::optional<span> times() const { return span_; } // the latest

private:
  std::optional<span> span_;
};

} // namespace chute
