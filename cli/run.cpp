// `chute run`: starts the engine and its admin face, and watches over them until everything is drained or stopped.

#include "actors/engine.hpp"
#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/load.hpp"
#include "cli/progress.hpp"
#include "core/text.hpp"
#include "core/topology_same.hpp"
#include "web/admin_server.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <future>
#include <iostream>
#include <optional>
#include <system_error>

namespace chute::cli {
namespace {

using std::chrono::steady_clock;

constexpr std::int64_t tick_ms = 100;                 // how soon a signal, the end or new figures are noticed
constexpr std::int64_t drain_ms_max = 30'000;         // after that, what is under way is left to the next start
constexpr std::int64_t stop_ms_max = 3'000;           // to leave the group and close connections
constexpr std::int64_t progress_log_ms = 10'000;      // where no bar is drawn
constexpr std::int64_t progress_log_calm_ms = 60'000; // without --until-end

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now().time_since_epoch()).count();
}

sigset_t taken_signals() {
  sigset_t out;
  sigemptyset(&out);
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&out, s);
  return out;
}

// Signals as events of the main thread. To be made before any other thread, which inherit the mask.
class signals {
public:
  signals() {
    hold_signals();
    std::signal(SIGPIPE, SIG_IGN); // a peer that is gone is an error of that write
  }
  // Waits for one; 0 if none came in time.
  int wait(std::int64_t limit_ms) const {
    const timespec limit{limit_ms / 1000, limit_ms % 1000 * 1'000'000};
    const int s = sigtimedwait(&set_, nullptr, &limit);
    return s > 0 ? s : 0;
  }

private:
  const sigset_t set_ = taken_signals();
};

class runner {
public:
  runner(const run_options& options, const log_options& log)
      : options_(options), console_(stderr), log_(make_logger(log, console_)),
        draws_(options.until_end && console_.is_terminal() && log.format == log_format::text) {}

  int run() {
    const auto t = load_topology(options_.file);
    if (!t) return complain(t.failure(), exit_config);
    if (const std::string unknown = unknown_pipeline(*t); !unknown.empty())
      return complain({"chute", unknown, ""}, exit_usage);
    admin_config_ = t->admin;
    if (t->admin && !start_admin(*t->admin)) return exit_bad;
    engine_options o;
    o.until_end = options_.until_end;
    o.file = options_.file;
    o.pipelines = options_.pipelines;
    o.log = log_;
    auto started = engine::start(*t, std::move(o));
    if (!started) return complain(started.failure(), exit_bad);
    engine_ = std::move(*started);
    shown_ = engine_.get();
    log_->info("chute {} runs {} from {}", version_text, names(engine_->status()), options_.file);
    watch();
    return finish();
  }

  ~runner() {
    shown_ = nullptr;
    admin_.reset(); // before the engine, which it asks
  }

private:
  int complain(const error& e, int code) {
    // What is wrong with a file comes as one line a problem, each with its place.
    const std::string text = code == exit_config ? e.cause : e.text();
    for (std::size_t at = 0; at <= text.size();) {
      const std::string line = text.substr(at, text.find('\n', at) - at);
      log_->error("{}", line);
      at += line.size() + 1;
    }
    return code;
  }

  std::string unknown_pipeline(const topology& t) const {
    std::vector<std::string_view> names;
    for (const pipeline_config& p : t.pipelines) names.push_back(p.name);
    for (const std::string& wanted : options_.pipelines)
      if (std::find(names.begin(), names.end(), wanted) == names.end()) {
        const auto near = nearest_name(wanted, names);
        return options_.file + " has no pipeline '" + printable(wanted) + "'" +
               (near ? "; did you mean '" + *near + "'?" : "");
      }
    return "";
  }

  static std::string names(const engine_status& s) {
    std::string out = s.pipelines.size() == 1 ? "pipeline " : "pipelines ";
    for (std::size_t i = 0; i < s.pipelines.size(); ++i) (out += i ? ", " : "") += s.pipelines[i].name;
    return out;
  }

  // It listens before the engine starts: a port that is taken must not stop an engine halfway.
  bool start_admin(const admin_config& config) {
    auto server = admin_server::start(
        config, {[this] {
                   engine* e = shown_;
                   return e ? e->status() : engine_status{version_text, 0, 0, 0, {}};
                 },
                 [this](const std::string& pipeline, bool pause) -> result<void> {
                   engine* e = shown_;
                   if (!e) return error{"engine", "it is not up", "try again"};
                   return pause ? e->pause(pipeline) : e->resume(pipeline);
                 },
                 [this](const std::string& pipeline, const move_request& what) -> result<std::string> {
                   engine* e = shown_;
                   if (!e) return error{"engine", "it is not up", "try again"};
                   if (changes_.exchange(true))
                     return error{"engine", "it is reloading, or a pipeline is being moved already", "try again"};
                   const std::shared_ptr<void> done(nullptr, [this](void*) { changes_ = false; });
                   return e->move(pipeline, what, drain_ms_max);
                 },
                 [this](const std::string& text) { log_->warn("{}", text); }});
    if (!server) {
      complain(server.failure(), exit_bad);
      return false;
    }
    admin_ = std::move(*server);
    log_->info("admin: {}", admin_->url());
    return true;
  }

  void watch() {
    while (!engine_->wait_ms(0)) {
      if (const int signal = signals_.wait(tick_ms)) on_signal(signal);
      end_reload();
      if (reload_again_ && !changes_) reload();
      if (forced_) return;
      if (drain_until_ms_ && now_ms() >= drain_until_ms_) {
        log_->warn("not drained within {}: stopping; the next start goes on where this one ended",
                   format_duration(drain_ms_max));
        forced_ = true;
        return;
      }
      show_progress();
    }
  }

  void on_signal(int signal) {
    if (signal == SIGHUP) {
      reload();
    } else if (drain_until_ms_) {
      log_->warn("a second signal: stopping at once; the next start goes on where this one ended");
      forced_ = true;
    } else {
      log_->info("draining for up to {}; a second signal stops at once", format_duration(drain_ms_max));
      drain_until_ms_ = now_ms() + drain_ms_max;
      engine_->drain();
    }
  }

  // What is wrong with the new file is said, and the old one stays in force.
  void reload() {
    reload_again_ = false;
    if (drain_until_ms_) return log_->warn("SIGHUP: draining; the file is not read again");
    if (changes_.exchange(true)) {
      reload_again_ = true;
      return log_->info("SIGHUP: it is reloading, or a pipeline is being moved; {} is read again after that",
                        options_.file);
    }
    log_->info("SIGHUP: reading {} again", options_.file);
    const auto t = load_topology(options_.file);
    if (!t) {
      changes_ = false;
      complain(t.failure(), exit_config);
      return log_->error("the file is not taken up; everything goes on as before");
    }
    if (!same_admin(t->admin, admin_config_)) log_->warn("`admin` changed: that takes a restart");
    // Beside this thread, which goes on listening to signals: what changed is drained first.
    try {
      reload_ = std::async(std::launch::async, [this, t = *t] { return engine_->reload(t, drain_ms_max); });
    } catch (const std::system_error& e) { // no thread can be made
      changes_ = false;
      log_->error("the file is not taken up; everything goes on as before: {}", e.what());
    }
  }

  void end_reload() {
    if (!reload_.valid() || reload_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
    const auto done = reload_.get();
    changes_ = false;
    if (done) log_->info("{}: {}", options_.file, *done);
    else complain(done.failure(), exit_bad);
  }

  void show_progress() {
    const std::int64_t now = now_ms();
    const progress_figures figures = meter_.update(engine_->status(), now);
    if (draws_) console_.bar(progress_bar(figures, console_.width()));
    const std::int64_t every = options_.until_end ? progress_log_ms : progress_log_calm_ms;
    if (last_progress_log_ms_ == 0) last_progress_log_ms_ = now;
    if (draws_ || now - last_progress_log_ms_ < every) return;
    last_progress_log_ms_ = now;
    log_->info("{}", progress_line(figures));
  }

  int finish() {
    console_.bar("");
    if (forced_) {
      engine_->stop_now();
      engine_->wait_ms(stop_ms_max); // to leave the group, so that others need not wait for the session's end
      summarize();
      std::cerr.flush();
      // At once: a question that waits for its limit is not waited for. The state store knows all that counts.
      std::_Exit(exit_bad);
    }
    summarize();
    return forced_ || engine_->any_stopped() ? exit_bad : exit_good;
  }

  void summarize() {
    for (const pipeline_status& p : engine_->status().pipelines) {
      const bool stopped = p.state == pipeline_status::state::stopped;
      const std::string counts = format_count(p.records) + " records, " + format_count(p.rows) + " rows, " +
                                 format_count(p.dead_letters) + " dead letters, " + format_count(p.dropped) +
                                 " dropped";
      if (stopped && !forced_) log_->error("pipeline {}: stopped after {}: {}", p.name, counts, p.reason);
      else log_->info("pipeline {}: {} after {}", p.name, to_string(p.state), counts);
    }
  }

  const run_options options_;
  signals signals_; // first of all that may start threads
  console console_;
  std::shared_ptr<spdlog::logger> log_;
  bool draws_;
  std::optional<admin_config> admin_config_;
  std::unique_ptr<engine> engine_;
  std::future<result<std::string>> reload_; // ends before the engine
  std::atomic<bool> changes_ = false;       // it reloads, or a pipeline is moved: one at a time
  bool reload_again_ = false;               // a SIGHUP came meanwhile
  std::atomic<engine*> shown_ = nullptr;    // what the admin face shows
  std::unique_ptr<admin_server> admin_;
  progress_meter meter_;
  std::int64_t drain_until_ms_ = 0, last_progress_log_ms_ = 0; // 0: not draining; not yet
  bool forced_ = false;
};

} // namespace

void hold_signals() {
  const sigset_t held = taken_signals();
  pthread_sigmask(SIG_BLOCK, &held, nullptr);
}

void release_signals() {
  const sigset_t held = taken_signals();
  pthread_sigmask(SIG_UNBLOCK, &held, nullptr);
}

int run(const run_options& options, const log_options& log) { return runner(options, log).run(); }

} // namespace chute::cli
