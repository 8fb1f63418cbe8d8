#include "core/status.hpp"

#include "core/event.hpp"
#include "core/finding.hpp"

namespace chute {

const char* to_string(lane_phase p) {
  switch (p) {
  case lane_phase::unassigned: return "unassigned";
  case lane_phase::loading: return "loading";
  case lane_phase::comparing: return "comparing";
  case lane_phase::claiming: return "claiming";
  case lane_phase::settling: return "settling";
  case lane_phase::streaming: return "streaming";
  case lane_phase::draining: return "draining";
  case lane_phase::released: return "released";
  case lane_phase::stopped: return "stopped";
  }
  return "unknown";
}

const char* to_string(enum pipeline_status::state s) {
  switch (s) {
  case pipeline_status::state::starting: return "starting";
  case pipeline_status::state::streaming: return "streaming";
  case pipeline_status::state::waiting: return "waiting";
  case pipeline_status::state::paused: return "paused";
  case pipeline_status::state::draining: return "draining";
  case pipeline_status::state::drained: return "drained";
  case pipeline_status::state::stopped: return "stopped";
  }
  return "unknown";
}

const char* to_string(enum engine_event::kind k) {
  switch (k) {
  case engine_event::kind::pipeline: return "pipeline";
  case engine_event::kind::lane: return "lane";
  case engine_event::kind::lane_gone: return "lane_gone";
  case engine_event::kind::rebalanced: return "rebalanced";
  case engine_event::kind::dead_letters: return "dead_letters";
  case engine_event::kind::trouble: return "trouble";
  }
  return "unknown";
}

const char* to_string(enum finding::severity s) {
  switch (s) {
  case finding::severity::error: return "error";
  case finding::severity::warning: return "warning";
  case finding::severity::info: return "info";
  }
  return "unknown";
}

} // namespace chute
