// Carries events from the engine's actors to the host's listener, in order, on a thread of its own: a slow listener
// never holds up a pipeline. What it cannot take in time is counted and dropped, but for the ends of pipelines.
#pragma once

#include "actors/event_message.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <functional>
#include <memory>

namespace chute {

struct herald_options {
  std::function<void(const engine_event&)> callback; // may be empty
  caf::actor listener;                               // may be null
  std::function<void(const std::string&)> oops;      // told when the callback throws
};

class herald {
public:
  herald(caf::actor_system& system, herald_options options);
  // Waits until the listener has been given everything. Not to be called from the callback.
  ~herald();
  herald(const herald&) = delete;
  herald& operator=(const herald&) = delete;

  // From any thread; never blocks.
  void tell(engine_event e);

private:
  struct shared;
  std::shared_ptr<shared> shared_;
  caf::actor actor_;
};

} // namespace chute
