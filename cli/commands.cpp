#include "cli/commands.hpp"

#include "actors/engine.hpp"
#include "actors/inspect.hpp"
#include "cli/load.hpp"
#include "cli/report.hpp"

#include <algorithm>
#include <iostream>

namespace chute::cli {

int validate(const std::string& file) {
  const auto t = load_or_complain(file);
  if (!t) return exit_config;
  std::cout << file << ": fine, " << t->pipelines.size() << (t->pipelines.size() == 1 ? " pipeline\n" : " pipelines\n");
  return exit_good;
}

int check(const check_options& options) {
  const auto t = load_or_complain(options.file);
  if (!t) return exit_config;
  const std::vector<finding> found = chute::check(*t, options.file);
  std::cout << (options.json ? findings_json(found) : findings_text(found)) << std::flush;
  const bool bad = std::any_of(found.begin(), found.end(), [&](const finding& f) {
    return f.level == finding::severity::error || (options.strict && f.level == finding::severity::warning);
  });
  return bad ? exit_bad : exit_good;
}

int state_show(const state_options& options) {
  const auto t = load_or_complain(options.file);
  if (!t) return exit_config;
  const auto lanes = show_state(*t);
  if (!lanes) {
    std::cerr << lanes.failure().text() << '\n';
    return exit_bad;
  }
  std::cout << (options.json ? states_json(*lanes) : states_text(*lanes)) << std::flush;
  const bool unread = std::any_of(lanes->begin(), lanes->end(),
                                  [](const lane_state_view& l) { return l.why == lane_state_view::trouble::failed; });
  return unread ? exit_bad : exit_good;
}

int version() {
  std::cout << "chute " << version_text << '\n';
  return exit_good;
}

} // namespace chute::cli
