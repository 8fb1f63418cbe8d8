#include "cli/console.hpp"
#include "cli/load.hpp"
#include "cli/logging.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <spdlog/logger.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

using namespace chute;
using namespace chute::cli;

namespace {

spdlog::details::log_msg message(std::string_view text, spdlog::level::level_enum level) {
  const auto at = std::chrono::system_clock::time_point(std::chrono::milliseconds(1714564800007));
  return {at, {}, "chute", level, spdlog::string_view_t(text.data(), text.size())};
}

// What was written to a file in memory.
class captured {
public:
  captured() : out_(open_memstream(&text_, &size_)) {}
  ~captured() {
    std::fclose(out_);
    std::free(text_);
  }
  std::FILE* file() { return out_; }
  std::string text() {
    std::fflush(out_);
    return {text_, size_};
  }

private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* out_;
};

} // namespace

TEST_CASE("log lines as text") {
  CHECK(format_log_line(message("plain", spdlog::level::warn), log_format::text) ==
        "2024-05-01T12:00:00.007Z warning plain");
  CHECK(format_log_line(message("two\nlines \x1b[31m", spdlog::level::err), log_format::text) ==
        "2024-05-01T12:00:00.007Z error two\\x0alines \\x1b[31m");
}

TEST_CASE("log lines as JSON") {
  const std::string nasty = "quote \" backslash \\ line\nend \x01 bad \xff";
  const std::string line = format_log_line(message(nasty, spdlog::level::info), log_format::json);
  CHECK(line.find('\n') == std::string::npos);
  const auto j = nlohmann::json::parse(line);
  CHECK(j["time"] == "2024-05-01T12:00:00.007Z");
  CHECK(j["level"] == "info");
  CHECK(j["message"] == "quote \" backslash \\ line\nend \x01 bad \xef\xbf\xbd");
}

TEST_CASE("levels below the one asked for are left out") {
  captured out;
  console to(out.file());
  const auto log = make_logger({log_format::text, spdlog::level::warn}, to);
  log->info("not this");
  log->warn("this {}", 17);
  CHECK(out.text().ends_with(" warning this 17\n"));
  CHECK(out.text().find("not this") == std::string::npos);
}

TEST_CASE("lines of many threads stay whole") {
  captured out;
  console to(out.file());
  const auto log = make_logger({}, to);
  std::vector<std::thread> writers;
  for (int t = 0; t < 4; ++t)
    writers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) log->info("{}", std::string(100, 'x'));
    });
  for (auto& w : writers) w.join();
  const std::string text = out.text();
  std::size_t lines = 0;
  for (std::size_t at = 0; at < text.size(); ++lines) {
    const std::string line = text.substr(at, text.find('\n', at) - at);
    REQUIRE(line.ends_with(" info " + std::string(100, 'x')));
    at += line.size() + 1;
  }
  CHECK(lines == 800);
}

TEST_CASE("no bar where there is no terminal") {
  captured out;
  console to(out.file());
  to.bar("[###---]");
  to.line("text");
  CHECK_FALSE(to.is_terminal());
  CHECK(out.text() == "text\n");
}

TEST_CASE("files that cannot be read say why") {
  CHECK(read_file("/nonexistent/x", 10).failure().cause == "cannot be read: No such file or directory");
  CHECK(read_file("/", 10).failure().cause == "cannot be read: Is a directory");
  CHECK(read_file("/dev/zero", 10).failure().cause == "cannot be read: it is larger than 10 bytes");
  CHECK(*read_file("/dev/null", 10) == "");
  CHECK(load_topology("/nonexistent/x").failure().cause == "/nonexistent/x: cannot be read: No such file or directory");
}
