// Since when servers have answered all that they were asked, each question soon and one soon after the other. A request
// may lie in the socket of one that hangs, and be taken up when it goes on: whether none can any more is told by time,
// and only such time counts.
#pragma once

#include "core/ids.hpp"

#include <algorithm>
#include <optional>

namespace chute {

class answering {
public:
  struct span {
    mono_ms since = 0, until = 0;
    mono_ms length_from(mono_ms at) const { return until - std::max(since, at); } // less than 0: none
  };
  static constexpr mono_ms every_ms = 5'000, within_ms = 3'000;

  // A question that left at `asked` and ended at `now`; `by_all`: all servers answered it.
  void heard(mono_ms asked, mono_ms now, bool by_all) {
    if (!by_all || now - asked > within_ms) {
      answers_ = false;
      broken_at_ = std::max(broken_at_, now);
      return;
    }
    if (!answers_ || asked - span_.until > every_ms + within_ms) span_.since = std::max(asked, broken_at_);
    answers_ = true;
    span_.until = std::max(span_.until, now);
  }
  std::optional<span> now() const { return answers_ ? std::optional(span_) : std::nullopt; } // nothing: they do not

private:
  bool answers_ = false;
  span span_;
  mono_ms broken_at_ = 0;
};

} // namespace chute
