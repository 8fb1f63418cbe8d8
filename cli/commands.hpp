// The binary's commands. Each returns the process's exit code.
#pragma once

#include "cli/logging.hpp"
#include "core/move_request.hpp"

#include <string>
#include <vector>

namespace chute::cli {

// Exit codes; 64 and 78 are those of sysexits.h (EX_USAGE, EX_CONFIG).
inline constexpr int exit_good = 0;    // drained; nothing found
inline constexpr int exit_bad = 1;     // a pipeline stopped, or could not drain; check found something; no answer
inline constexpr int exit_usage = 64;  // the command line cannot be understood
inline constexpr int exit_config = 78; // the topology's file is missing or wrong

// Holds SIGINT, SIGTERM and SIGHUP back from the calling thread and those that it starts, until run() takes them or
// release_signals() lets them through again.
void hold_signals();
void release_signals();

struct run_options {
  std::string file;
  bool until_end = false;
  std::vector<std::string> pipelines; // only these; empty: all
};
int run(const run_options& options, const log_options& log);

int validate(const std::string& file);

struct check_options {
  std::string file;
  bool json = false;
  bool strict = false; // warnings count as well
};
int check(const check_options& options);

struct state_options {
  std::string file;
  bool json = false;
};
int state_show(const state_options& options);

struct move_options {
  std::string file, pipeline; // pipeline: empty where the file has one only
  std::string admin;          // the URL of the engine that runs it; empty: as the file says
  move_request what;
};
int state_move(const move_options& options);

int version();

} // namespace chute::cli
