// The engine that a program embeds: made from a topology, in an actor system of its own or in the host's.
// It keeps no global state: two engines in one process work side by side.
#pragma once

#include "actors/extensions.hpp"
#include "core/error.hpp"
#include "core/event.hpp"
#include "core/move_request.hpp"
#include "core/status.hpp"
#include "core/topology.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace caf {
class actor;
class actor_system;
} // namespace caf
namespace spdlog {
class logger;
}

namespace chute {

extern const char* const version_text;

struct engine_options {
  std::string file = "FILE";           // of the topology: commands that a message names hold it
  bool until_end = false;              // read up to the ends of the topics as they are at the start, then drain
  std::vector<std::string> pipelines;  // only these; empty: all of the topology
  std::shared_ptr<spdlog::logger> log; // null: silent
  // Null: the engine makes one of its own. A host's must live longer than the engine.
  caf::actor_system* system = nullptr;
  // Told of events, one after another, on a thread of their own: it may block, and may ask the engine and give it
  // orders (also while the engine ends), but not destroy it. What it throws is logged.
  std::function<void(const engine_event&)> on_event;
  // Is sent every chute::engine_event as a message (actors/event_message.hpp). Copied; it must live in `system`, and
  // keep up: nothing bounds its mailbox.
  const caf::actor* listener = nullptr;
  extensions own; // the host's decoders and stores
  // How long the destructor drains before it stops at once; 0: not at all.
  std::int64_t drain_ms = 30'000;
};

class engine {
public:
  // Starts all pipelines and returns at once: what cannot be reached is waited for, with a status that says so.
  // Fails only for what no waiting can mend: a topology that chute::complete() refuses (one that the host filled in is
  // completed here), an unknown pipeline name, a store that cannot be opened.
  static result<std::unique_ptr<engine>> start(const topology& t, engine_options options);
  // Drains for up to `drain_ms`, unless stop_now() was called before; then stops. Events end before it returns. From
  // its beginning on, reload(), move() and pause() are refused: an event's listener may still call them.
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  // All of these may be called from any thread.
  engine_status status() const;
  // Finishes what is gathered, then stops. Returns at once; wait_ms() tells when it is done.
  void drain();
  // True once every pipeline is drained or stopped, and none is about to be started again by reload() or move(). Times
  // may be as long as one likes.
  bool wait_ms(std::int64_t ms);
  // Forgets what is under way: the next start recovers it.
  void stop_now();
  bool any_stopped() const;
  // Takes up another topology: pipelines that are gone from it are drained, for up to `drain_ms`, and then stopped;
  // those that changed likewise, and started anew; new ones are started; all others are not touched. Blocks until then.
  // Where `kafka`, `clickhouse`, `registry` or `memory` changed, every pipeline changed. An error (another `state`, an
  // unknown name, a pipeline that is being moved, what chute::complete() refuses) changes nothing. Returns what was
  // done, for people.
  result<std::string> reload(const topology& t, std::int64_t drain_ms);
  result<void> pause(const std::string& pipeline);
  result<void> resume(const std::string& pipeline);
  // `chute state reset` and `settle` of a pipeline that runs here: it is drained, for up to `drain_ms`, and ended; then
  // its lanes are moved, and it is started again, also where they could not be. One at a time, and not beside reload().
  // Blocks until then; draining the engine cancels it. Returns what was done, for people. See actors/move_state.hpp.
  result<std::string> move(const std::string& pipeline, const move_request& what, std::int64_t drain_ms);

private:
  struct parts;
  explicit engine(std::unique_ptr<parts> p);
  std::unique_ptr<parts> parts_;
};

} // namespace chute
