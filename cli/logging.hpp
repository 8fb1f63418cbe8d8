// Log lines on standard error, as text or as JSON, one line each.
#pragma once

#include "cli/console.hpp"

#include <spdlog/common.h>
#include <spdlog/details/log_msg.h>

#include <memory>
#include <string>

namespace spdlog {
class logger;
}

namespace chute::cli {

enum class log_format { text, json };

struct log_options {
  log_format format = log_format::text;
  spdlog::level::level_enum level = spdlog::level::info;
};

// text: 2024-05-01T12:00:00.123Z warning the message
// JSON: {"time":"2024-05-01T12:00:00.123Z","level":"warning","message":"the message"}
// Times are UTC. Line ends and other control characters in the message are escaped: a line stays a line. Text that is
// not UTF-8 is mended in JSON.
std::string format_log_line(const spdlog::details::log_msg& m, log_format format);

// Writes to `to`, which must outlive the logger. Not registered with spdlog.
std::shared_ptr<spdlog::logger> make_logger(const log_options& options, console& to);

} // namespace chute::cli
