// The context of a pipeline that does not run: for commands that only look, or move its state.
#pragma once

#include "actors/context.hpp"

#include <memory>
#include <spdlog/sinks/null_sink.h>

namespace chute {

inline std::shared_ptr<pipeline_context> quiet_context(const topology& t, const pipeline_config& p) {
  auto c = std::make_shared<pipeline_context>();
  c->top = t;
  c->config = p;
  c->log = std::make_shared<spdlog::logger>("chute", std::make_shared<spdlog::sinks::null_sink_mt>());
  return c;
}

} // namespace chute
