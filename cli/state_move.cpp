// `chute state reset` and `chute state settle`: through the engine that runs the pipeline, or by itself where none
// does.

#include "actors/move_state.hpp"
#include "cli/commands.hpp"
#include "cli/load.hpp"
#include "core/text.hpp"
#include "web/move_json.hpp"

#include <algorithm>
#include <iostream>

namespace chute::cli {
namespace {

constexpr std::int64_t margin_ms = 180'000; // for draining, leaving the group, and questions

// The engine's end of it may take: draining, a session, lease and insert limit.
std::int64_t limit_of(const topology& t) { return t.clickhouse.lease_ms + t.clickhouse.insert_limit_ms + margin_ms; }

result<std::string> admin_url(const move_options& options, const topology& t) {
  if (!options.admin.empty()) return admin_address(options.admin);
  if (!t.admin || t.admin->port == 0) return std::string();
  const std::string& host = t.admin->host;
  const bool any = host == "0.0.0.0" || host == "::";
  const std::string at = any ? "127.0.0.1" : host.find(':') == host.npos ? host : "[" + host + "]";
  return "http://" + at + ":" + std::to_string(t.admin->port);
}

int complain(const std::string& text, int code) {
  std::cerr << text << '\n';
  return code;
}

} // namespace

int state_move(const move_options& options) {
  const auto t = load_or_complain(options.file);
  if (!t) return exit_config;
  auto pipeline = options.pipeline;
  if (pipeline.empty() && t->pipelines.size() == 1) pipeline = t->pipelines.front().name;
  const bool known = std::any_of(t->pipelines.begin(), t->pipelines.end(), [&](auto& p) { return p.name == pipeline; });
  if (!known)
    return complain(pipeline.empty() ? options.file + " has several pipelines: name one with --pipeline"
                                     : options.file + " has no pipeline '" + printable(pipeline) + "'",
                    exit_usage);
  const auto at = admin_url(options, *t);
  if (!at) return complain(at.failure().text(), exit_usage);
  if (const auto& url = *at; !url.empty()) {
    using outcome = enum admin_answer::outcome;
    const auto token = t->admin ? t->admin->token : std::string();
    auto what = options.what;
    const auto p = std::find_if(t->pipelines.begin(), t->pipelines.end(), [&](auto& x) { return x.name == pipeline; });
    what.group = p->group;
    what.brokers = t->kafka.brokers;
    what.table = p->database + "." + p->table;
    const auto a = ask_to_move(url, token, pipeline, what, limit_of(*t));
    if (a.what == outcome::refused) return complain(url + ": " + a.text, exit_bad);
    if (a.what == outcome::done) {
      std::cout << a.text << std::flush;
      return exit_good;
    }
    if (!options.admin.empty())
      return complain(a.what == outcome::nobody ? "nobody answers at " + url : url + ": " + a.text, exit_bad);
  }
  const auto done = move_state(*t, options.file, pipeline, options.what, nullptr,
                               {[](const std::string& what) { std::cerr << what << std::endl; }, {}});
  if (!done) return complain(done.failure().text(), exit_bad);
  std::cout << *done << std::flush;
  return exit_good;
}

} // namespace chute::cli
