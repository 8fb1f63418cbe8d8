// The command line: what may be written, and which command it means.

#include "cli/commands.hpp"
#include "core/text.hpp"

#include <CLI/CLI.hpp>

#include <functional>
#include <iostream>
#include <map>
#include <string>

namespace {

using namespace chute::cli;

struct command_line {
  log_options log;
  run_options run;
  check_options check;
  state_options state;
  move_options move;
  std::string move_time;
  std::vector<int> move_partitions;
  int move_lane = 0;
  std::string file;
  std::function<int()> chosen;
};

void add_file(CLI::App& to, std::string& file) {
  to.add_option("FILE", file, "The topology (docs/topology.md)")->required();
}

CLI::App& add_command(CLI::App& to, const char* name, const char* does) {
  CLI::App& command = *to.add_subcommand(name, does);
  command.fallthrough(); // so that --log-level may stand behind the command as well
  return command;
}

void add_log_options(CLI::App& app, log_options& log) {
  static const std::map<std::string, log_format> formats = {{"text", log_format::text}, {"json", log_format::json}};
  static const std::map<std::string, spdlog::level::level_enum> levels = {{"debug", spdlog::level::debug},
                                                                          {"info", spdlog::level::info},
                                                                          {"warning", spdlog::level::warn},
                                                                          {"error", spdlog::level::err}};
  app.add_option("--log-format", log.format, "text (default) or json, one object a line")
      ->transform(CLI::CheckedTransformer(formats, CLI::ignore_case).description(""))
      ->option_text("text|json");
  app.add_option("--log-level", log.level, "debug, info (default), warning or error")
      ->transform(CLI::CheckedTransformer(levels, CLI::ignore_case).description(""))
      ->option_text("LEVEL");
}

void add_run(CLI::App& app, command_line& line) {
  CLI::App& run = add_command(app, "run", "Move records from Kafka into ClickHouse, until stopped");
  add_file(run, line.run.file);
  run.add_flag("--until-end", line.run.until_end,
               "Only up to the ends of the topics as they are now, then drain and stop");
  run.add_option("--pipeline", line.run.pipelines, "Only this one; may stand several times")
      ->allow_extra_args(false)
      ->option_text("NAME");
  run.footer(
      "SIGINT and SIGTERM drain for up to 30 s, a second one stops at once.\n"
      "Exit codes: 0 drained; 1 a pipeline stopped or could not drain, or nothing was started (the admin port is\n"
      "taken, another engine has the file store); 64 wrong command line; 78 bad file.");
  run.callback([&line] { line.chosen = [&line] { return chute::cli::run(line.run, line.log); }; });
}

void add_validate(CLI::App& app, command_line& line) {
  CLI::App& validate = add_command(app, "validate", "Check the file alone, contradictions included");
  add_file(validate, line.file);
  validate.footer("Exit codes: 0 fine, 64 wrong command line, 78 bad file.");
  validate.callback([&line] { line.chosen = [&line] { return chute::cli::validate(line.file); }; });
}

void add_check(CLI::App& app, command_line& line) {
  CLI::App& check =
      add_command(app, "check", "Ask Kafka, ClickHouse and the state store all that could break the promise");
  add_file(check, line.check.file);
  check.add_flag("--json", line.check.json, "Print JSON");
  check.add_flag("--strict", line.check.strict, "Let warnings count like errors");
  check.footer("Exit codes: 0 no errors, 1 errors found, 64 wrong command line, 78 bad file.");
  check.callback([&line] { line.chosen = [&line] { return chute::cli::check(line.check); }; });
}

// What reset and settle have in common: whose lanes.
void add_move(CLI::App& to, command_line& line, enum chute::move_request::verb what) {
  add_file(to, line.move.file);
  to.add_option("--pipeline", line.move.pipeline, "Whose state; needed where the file has several")
      ->option_text("NAME");
  to.add_option("--topic", line.move.what.topic, "Only of this topic")->option_text("NAME");
  CLI::Option* partition = to.add_option("--partition", line.move_partitions,
                                         "Only this one; may stand several times (a plan is settled as a whole)")
                               ->allow_extra_args(false)
                               ->check(CLI::NonNegativeNumber)
                               ->option_text("N");
  to.add_option("--lane", line.move_lane, "Only the partitions of this lane")
      ->check(CLI::NonNegativeNumber)
      ->excludes(partition)
      ->option_text("N");
  to.add_option("--admin", line.move.admin,
                "The admin face of the engine that runs the pipeline; else the file's admin.listen is tried")
      ->option_text("URL");
  to.callback([&to, &line, what] {
    line.move.what.what = what;
    for (const int p : line.move_partitions) line.move.what.partitions.push_back({p});
    if (to.count("--lane")) line.move.what.lane = chute::lane_id{line.move_lane};
    line.chosen = [&line] { return state_move(line.move); };
  });
  to.footer(
      "While an engine runs the pipeline, it drains it, does this, and starts it again; else nobody may be in the "
      "group.\nExit codes: 0 done, 1 not done, 64 wrong command line, 78 bad file.");
}

void add_state_reset(CLI::App& state, command_line& line) {
  using target = enum chute::move_request::target;
  CLI::App& reset = add_command(state, "reset", "Move a pipeline's position");
  add_move(reset, line, chute::move_request::verb::reset);
  CLI::Option_group& to = *reset.add_option_group("where to", "One of these:");
  to.require_option(1);
  chute::move_request& what = line.move.what;
  const auto flag = [&](target t, const char* does) {
    to.add_flag_callback(
        chute::to_string(t), [&what, t] { what.to = t; }, does);
  };
  flag(target::earliest, "The beginning of the log: all that it holds is sent (again)");
  flag(target::latest, "The end of the log: what is not delivered yet is passed over");
  to.add_option_function<std::int64_t>(
        chute::to_string(target::offset),
        [&what](std::int64_t n) {
          what.to = target::offset;
          what.value = n;
        },
        "This offset, of each partition that is named")
      ->check(CLI::NonNegativeNumber)
      ->option_text("N");
  to.add_option_function<std::string>(
        chute::to_string(target::time),
        [&what](const std::string& text) {
          const auto ms = chute::parse_timestamp_ms(text);
          if (!ms) throw CLI::ValidationError("--to-datetime", ms.failure().cause);
          what.to = target::time;
          what.value = *ms;
        },
        "The first record as young as this ISO 8601 time")
      ->option_text("TIME");
  flag(target::current, "Where it is, in the table and the cluster that the file names now");
  flag(target::table, "After what the table holds: only what it lacks is sent");
  flag(target::adopted, "Where kafka-consumer-groups --reset-offsets moved the group");
}

void add_state_settle(CLI::App& state, command_line& line) {
  using word = enum chute::move_request::word;
  CLI::App& settle = add_command(state, "settle", "Settle an open plan of which it is not known whether it landed");
  add_move(settle, line, chute::move_request::verb::settle);
  CLI::Option_group& said = *settle.add_option_group("what became of it", "Nothing of it: the table is asked, and what "
                                                                          "it lacks is sent. Else:");
  said.require_option(0, 1);
  const auto flag = [&](const char* name, word w, const char* does) {
    said.add_flag_callback(
        name, [&line, w] { line.move.what.said = w; }, does);
  };
  flag("--landed", word::landed, "All of it landed: go on behind it");
  flag("--not-landed", word::not_landed, "Nothing of it landed: send it anew");
}

void add_state(CLI::App& app, command_line& line) {
  CLI::App& state = add_command(app, "state", "Look at what the state store holds, and move it");
  state.require_subcommand(1);
  CLI::App& show = add_command(state, "show", "Show positions, open plans and lag");
  add_file(show, line.state.file);
  show.add_flag("--json", line.state.json, "Print JSON");
  show.footer("Exit codes: 0 shown, 1 it could not be read, 64 wrong command line, 78 bad file.");
  show.callback([&line] { line.chosen = [&line] { return state_show(line.state); }; });
  add_state_reset(state, line);
  add_state_settle(state, line);
}

int understood(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return exit_good;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? -1 : exit_usage; // -1: help was asked for, and given
  }
}

} // namespace

int main(int argc, char** argv) {
  hold_signals(); // first of all: one that comes while `run` starts drains, as later
  command_line line;
  CLI::App app("chute moves records from Kafka into ClickHouse, every record exactly once.", "chute");
  app.require_subcommand(1);
  add_log_options(app, line.log);
  add_run(app, line);
  add_validate(app, line);
  add_check(app, line);
  add_state(app, line);
  add_command(app, "version", "Print the version").callback([&line] { line.chosen = [] { return version(); }; });
  if (const int code = understood(app, argc, argv); code != exit_good) return code < 0 ? exit_good : code;
  if (!app.got_subcommand("run")) release_signals();
  try {
    return line.chosen();
  } catch (const std::exception& e) {
    std::cerr << "chute: " << e.what() << '\n';
    return exit_bad;
  }
}
