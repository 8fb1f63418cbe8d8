// The command line: what may be written, and which command it means.

#include "cli/commands.hpp"

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
  run.footer("SIGINT and SIGTERM drain for up to 30 s, a second one stops at once.\n"
             "Exit codes: 0 drained, 1 a pipeline stopped or could not drain, 64 wrong command line, 78 bad file.");
  run.callback([&line] { line.chosen = [&line] { return chute::cli::run(line.run, line.log); }; });
}

void add_validate(CLI::App& app, command_line& line) {
  CLI::App& validate = add_command(app, "validate", "Check the file alone, contradictions included");
  add_file(validate, line.file);
  validate.footer("Exit codes: 0 fine, 78 bad file.");
  validate.callback([&line] { line.chosen = [&line] { return chute::cli::validate(line.file); }; });
}

void add_check(CLI::App& app, command_line& line) {
  CLI::App& check =
      add_command(app, "check", "Ask Kafka, ClickHouse and the state store all that could break the promise");
  add_file(check, line.check.file);
  check.add_flag("--json", line.check.json, "Print JSON");
  check.add_flag("--strict", line.check.strict, "Let warnings count like errors");
  check.footer("Exit codes: 0 no errors, 1 errors found, 78 bad file.");
  check.callback([&line] { line.chosen = [&line] { return chute::cli::check(line.check); }; });
}

void add_state(CLI::App& app, command_line& line) {
  CLI::App& state = add_command(app, "state", "Look at what the state store holds");
  state.require_subcommand(1);
  CLI::App& show = add_command(state, "show", "Show positions, open plans and lag");
  add_file(show, line.state.file);
  show.add_flag("--json", line.state.json, "Print JSON");
  show.callback([&line] { line.chosen = [&line] { return state_show(line.state); }; });
  for (const char* name : {"reset", "settle"}) {
    CLI::App& later = add_command(state, name, "Not available in this version");
    later.allow_extras();
    later.callback([&line, name] {
      line.chosen = [name] {
        std::cerr << "chute: state " << name << " is not available in this version\n";
        return exit_bad;
      };
    });
  }
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
  try {
    return line.chosen();
  } catch (const std::exception& e) {
    std::cerr << "chute: " << e.what() << '\n';
    return exit_bad;
  }
}
