#include "cli/logging.hpp"

#include "core/text.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <limits>
#include <mutex>
#include <string_view>

namespace chute::cli {
namespace {

const char* name_of(spdlog::level::level_enum level) {
  switch (level) {
  case spdlog::level::trace:
  case spdlog::level::debug: return "debug";
  case spdlog::level::info: return "info";
  case spdlog::level::warn: return "warning";
  default: return "error";
  }
}

std::string time_text(std::chrono::system_clock::time_point at) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32], whole[48];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(whole, sizeof whole, "%s.%03dZ", text, static_cast<int>(ms % 1000));
  return whole;
}

class console_sink final : public spdlog::sinks::base_sink<std::mutex> {
public:
  console_sink(console& to, log_format format) : to_(to), format_(format) {}

protected:
  void sink_it_(const spdlog::details::log_msg& m) override { to_.line(format_log_line(m, format_)); }
  void flush_() override {} // console flushes every line

private:
  console& to_;
  log_format format_;
};

} // namespace

std::string format_log_line(const spdlog::details::log_msg& m, log_format format) {
  const std::string_view message(m.payload.data(), m.payload.size());
  if (format == log_format::json) {
    const nlohmann::ordered_json line = {
        {"time", time_text(m.time)}, {"level", name_of(m.level)}, {"message", std::string(message)}};
    return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return time_text(m.time) + " " + name_of(m.level) + " " + printable(message, std::numeric_limits<std::size_t>::max());
}

std::shared_ptr<spdlog::logger> make_logger(const log_options& options, console& to) {
  auto log = std::make_shared<spdlog::logger>("chute", std::make_shared<console_sink>(to, options.format));
  log->set_level(options.level);
  return log;
}

} // namespace chute::cli
