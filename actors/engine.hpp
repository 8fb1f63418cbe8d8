// The engine that a program embeds: made from a topology, in an actor system of its own or in the host's.
// It keeps no global state: two engines in one process work side by side.
#pragma once

#include "core/error.hpp"
#include "core/status.hpp"
#include "core/topology.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace caf {
class actor_system;
}
namespace spdlog {
class logger;
}

namespace chute {

extern const char* const version_text;

struct engine_options {
  bool until_end = false;              // read up to the ends of the topics as they are at the start, then drain
  std::vector<std::string> pipelines;  // only these; empty: all of the topology
  std::shared_ptr<spdlog::logger> log; // null: silent
  caf::actor_system* system = nullptr; // null: the engine makes one of its own
};

class engine {
public:
  // Starts all pipelines and returns at once: what cannot be reached is waited for, with a status that says so.
  // Fails only for what no waiting can mend (an unknown pipeline name, a store that cannot be opened).
  static result<std::unique_ptr<engine>> start(const topology& t, engine_options options);
  // Stops at once, as stop_now() does, unless the engine has already drained.
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  engine_status status() const;
  // Finishes what is gathered, then stops. Returns at once; wait_ms() tells when it is done.
  void drain();
  // True once every pipeline is drained or stopped.
  bool wait_ms(std::int64_t ms);
  // Forgets what is under way: the next start recovers it.
  void stop_now();
  bool any_stopped() const;
  result<void> pause(const std::string& pipeline);
  result<void> resume(const std::string& pipeline);

private:
  struct parts;
  explicit engine(std::unique_ptr<parts> p);
  std::unique_ptr<parts> parts_;
};

} // namespace chute
