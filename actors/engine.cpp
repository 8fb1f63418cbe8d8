#include "actors/engine.hpp"

#include "actors/herald.hpp"
#include "actors/keeper.hpp"
#include "actors/move_state.hpp"
#include "actors/open_store.hpp"
#include "actors/pipeline.hpp"
#include "actors/shared_store.hpp"
#include "core/topology_same.hpp"

#include <caf/all.hpp>
#include <spdlog/sinks/null_sink.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>

namespace chute {

const char* const version_text = "0.1.0";

namespace {

// Knows when all actors of a pipeline have ended.
class living : public std::enable_shared_from_this<living> {
public:
  std::shared_ptr<void> one() {
    std::lock_guard hold(lock_);
    ++count_;
    return {static_cast<void*>(this), [self = shared_from_this()](void*) { self->gone(); }};
  }
  bool wait_for_none(std::int64_t limit_ms) {
    std::unique_lock hold(lock_);
    return changed_.wait_for(hold, std::chrono::milliseconds(limit_ms), [this] { return count_ == 0; });
  }

private:
  void gone() {
    std::lock_guard hold(lock_);
    --count_;
    changed_.notify_all();
  }
  std::mutex lock_;
  std::condition_variable changed_;
  std::size_t count_ = 0;
};

} // namespace

struct engine::parts {
  struct running {
    pipeline_config config;
    pipeline_actor actor;
    std::shared_ptr<living> alive;
    std::shared_ptr<std::atomic<bool>> given_up; // see pipeline_context
  };

  topology top;
  std::shared_ptr<spdlog::logger> log;
  std::shared_ptr<status_board> board = std::make_shared<status_board>();
  std::shared_ptr<table_claims> claims = std::make_shared<table_claims>();
  std::string file;
  std::unique_ptr<caf::actor_system_config> config;
  std::unique_ptr<caf::actor_system> own;
  caf::actor_system* system = nullptr;
  std::shared_ptr<store> keeps; // null: the group of each pipeline is its store, or the store has a server
  std::shared_ptr<const std::map<std::string, decoder_kind>> decoders;
  std::size_t share = 1;          // pipelines among which memory is divided
  std::unique_ptr<herald> events; // null: nobody listens
  bool until_end = false;
  std::vector<std::string> only; // pipelines; empty: all
  own_names names;               // what the host adds
  std::int64_t drain_ms = 0;
  std::atomic<bool> stopped{false}, draining{false};
  mono_ms started = mono_now();

  std::mutex reloading;    // one at a time
  mutable std::mutex lock; // guards what follows, and `top`
  std::vector<running> pipelines;
  std::set<std::string> paused; // pipelines that a person paused: they stay so when they are started anew
  bool ending = false;          // the destructor ends what runs; nothing is started any more

  bool over() const; // whether what is ended now is not started again
  result<void> start(const topology& t, const pipeline_config& c);
  void order(enum msg::order::what what);
  result<void> pause(const std::string& name, bool wanted);
  void order(const std::vector<running>& some, enum msg::order::what what);
  bool end(const std::vector<running>& some, std::int64_t drain_limit_ms);
  std::vector<pipeline_status> of_the_topology() const;
};

namespace {

// A store that has a server is opened once a pipeline: while it is away, no keeper waits for another one's time limits.
bool has_server(const topology& t) {
  return t.state.store == store_kind::keeper_map || t.state.store == store_kind::redis;
}

// A store of the host. None must not be taken for the group: positions would be looked for where none are.
result<std::unique_ptr<store>> open_own(const std::string& name, const extensions& own) {
  const auto wrong = [&](const std::string& what) {
    return error{"state", "the host's store " + name + " " + what, "mend engine_options.own.stores"};
  };
  const auto at = own.stores.find(name);
  if (at == own.stores.end()) return wrong("is not there");
  try {
    auto opened = at->second();
    if (opened.ok() && !*opened) return wrong("was opened, but its function returned none");
    return opened;
  } catch (const std::exception& e) {
    return wrong(std::string("cannot be opened: its function threw: ") + e.what());
  } catch (...) {
    return wrong("cannot be opened: its function threw something that is no std::exception");
  }
}

// Null: the group of each pipeline is its store.
result<std::shared_ptr<store>> open_shared(const topology& t, const extensions& own) {
  auto opened = t.state.store == store_kind::own ? open_own(t.state.own, own) : open_store(t);
  if (!opened.ok()) return opened.failure();
  if (!*opened) return std::shared_ptr<store>();
  return std::shared_ptr<store>(std::make_shared<shared_store>(*std::move(opened)));
}

// What the host adds must not stand in for what the engine has: the same file would mean something else elsewhere.
result<void> check_names(const extensions& own) {
  const own_names names = own.names();
  for (const auto& name : names.formats)
    if (is_format(name))
      return error{"engine", "format " + name + " is the engine's own", "give the decoder another name"};
  for (const auto& name : names.stores)
    if (is_store(name)) return error{"engine", "store " + name + " is the engine's own", "give the store another name"};
  for (const auto& [name, kind] : own.decoders)
    if (!kind.make) return error{"engine", "the decoder " + name + " has no function that makes it", "set `make`"};
  for (const auto& [name, open] : own.stores)
    if (!open) return error{"engine", "the store " + name + " has no function that opens it", "give it one"};
  return {};
}

std::unique_ptr<herald> make_herald(const engine_options& options, caf::actor_system& system,
                                    const std::shared_ptr<spdlog::logger>& log) {
  if (!options.on_event && !options.listener) return nullptr;
  herald_options h;
  h.callback = options.on_event;
  if (options.listener) h.listener = *options.listener;
  h.oops = [log](const std::string& what) { log->error("the host's listener threw: {}", what); };
  return std::make_unique<herald>(system, std::move(h));
}

// Those that are wanted: all, or the named ones.
result<std::vector<pipeline_config>> choose(const topology& t, const std::vector<std::string>& only) {
  std::vector<pipeline_config> out;
  for (const auto& c : t.pipelines)
    if (only.empty() || std::count(only.begin(), only.end(), c.name)) out.push_back(c);
  for (const auto& name : only)
    if (std::none_of(out.begin(), out.end(), [&](const auto& c) { return c.name == name; }))
      return error{"engine", "the topology has no pipeline named " + name, "see `pipelines:` in the file"};
  if (out.empty()) return error{"engine", "the topology has no pipelines", "add one under `pipelines:`"};
  return out;
}

constexpr std::int64_t end_limit_ms = 15'000; // most inserts under way are answered meanwhile
constexpr std::int64_t cut_limit_ms = 5'000;  // within which a request that is cut off ends

// A host may say INT64_MAX for "as long as it takes"; no sum with it may go beyond.
std::int64_t bounded(std::int64_t ms) {
  constexpr std::int64_t ten_years = 10ll * 365 * 24 * 3'600'000;
  return std::clamp<std::int64_t>(ms, 0, ten_years);
}

// CAF keeps a system's logger with each thread that spawned in it, and ~actor_system() waits until none has it: unless
// the host's threads forget it again, the system, ours or theirs, could only be destroyed once they have ended.
class forgotten_here {
public:
  // `before`: what the thread had before it did anything in the system.
  explicit forgotten_here(caf::actor_system& used, const caf::logger* before = caf::logger::current_logger())
      : again_(before == &used.logger() ? &used : nullptr) {}
  ~forgotten_here() { caf::logger::set_current_actor_system(again_); }
  forgotten_here(const forgotten_here&) = delete;
  forgotten_here& operator=(const forgotten_here&) = delete;

private:
  caf::actor_system* again_; // null: the thread is none of its
};

error is_ending() { return {"engine", "it is being destroyed", "what is to change is taken up with the next start"}; }

} // namespace

// --- parts -----------------------------------------------------------------------------------------------------------

result<void> engine::parts::start(const topology& t, const pipeline_config& c) {
  const forgotten_here hosts_thread(*system);
  auto used = keeps;
  if (has_server(t)) {
    auto opened = open_shared(t, {});
    if (!opened.ok()) return opened.failure();
    used = *opened;
  }
  auto alive = std::make_shared<living>();
  auto context = std::make_shared<pipeline_context>();
  context->top = t;
  context->config = c;
  context->file = file;
  context->until_end = until_end;
  context->log = log;
  context->board = board;
  context->claims = claims;
  context->decoders = decoders;
  context->alive = alive->one();
  context->pipelines = share;
  context->session_timeout_ms = session_timeout_of(t);
  std::lock_guard hold(lock); // or the destructor would not see what is started now
  if (ending) return is_ending();
  board->pipeline(c.name, pipeline_status::state::starting, {});
  auto actor = system->spawn(pipeline, context, used);
  pipelines.push_back({c, actor, alive, context->given_up});
  if (paused.count(c.name)) caf::anon_send(actor, msg::order{msg::order::what::pause});
  // What all were told before this one was among them.
  if (draining) caf::anon_send(actor, msg::order{msg::order::what::drain});
  if (stopped) caf::anon_send(actor, msg::order{msg::order::what::stop});
  return {};
}

bool engine::parts::over() const {
  std::lock_guard hold(lock);
  return ending || stopped || draining;
}

void engine::parts::order(const std::vector<running>& some, enum msg::order::what what) {
  for (const auto& p : some) caf::anon_send(p.actor, msg::order{what});
}

void engine::parts::order(enum msg::order::what what) {
  std::lock_guard hold(lock);
  order(pipelines, what);
}

// Pauses a pipeline, or lets it go on.
result<void> engine::parts::pause(const std::string& name, bool wanted) {
  std::lock_guard hold(lock);
  if (ending) return is_ending();
  if (std::none_of(top.pipelines.begin(), top.pipelines.end(), [&](const auto& c) { return c.name == name; }))
    return error{"engine", "there is no pipeline named " + name, "see /status for the names"};
  const auto at =
      std::find_if(pipelines.begin(), pipelines.end(), [&](const auto& p) { return p.config.name == name; });
  if (at == pipelines.end() && !board->is_moving())
    return error{"engine", "pipeline " + name + " does not run at this moment", "see /status, and try again"};
  if (!wanted) paused.erase(name); // whether it has ended or not: it does not begin paused once more
  if (at != pipelines.end() && at->alive->wait_for_none(0) && !board->is_moving())
    return error{"engine", "pipeline " + name + " has ended: there is nothing to " + (wanted ? "pause" : "resume"),
                 "/status has its reason; it runs again after SIGHUP with a changed file, or a restart"};
  if (wanted) paused.insert(name);
  // One that is not there is started anew at this moment, and asks then.
  if (at != pipelines.end())
    caf::anon_send(at->actor, msg::order{wanted ? msg::order::what::pause : msg::order::what::resume});
  return {};
}

// Drains, then stops; when it returns, their groups are left, and they write to the board no more. False: some have not
// ended.
bool engine::parts::end(const std::vector<running>& some, std::int64_t drain_limit_ms) {
  const auto all_ended = [&](std::int64_t limit_ms) {
    const auto deadline = mono_now() + limit_ms;
    return std::all_of(some.begin(), some.end(), [&](const running& p) {
      return p.alive->wait_for_none(std::max<std::int64_t>(0, deadline - mono_now()));
    });
  };
  if (drain_limit_ms > 0) order(some, msg::order::what::drain);
  if (drain_limit_ms > 0 && all_ended(drain_limit_ms)) return true;
  order(some, msg::order::what::stop);
  if (all_ended(end_limit_ms)) return true;
  for (const auto& p : some) caf::anon_send_exit(p.actor, caf::exit_reason::user_shutdown);
  if (all_ended(end_limit_ms)) return true;
  // What came of them is unknown to whoever still hears of them, and the next start recovers, as after a crash.
  for (const auto& p : some) *p.given_up = true;
  if (all_ended(cut_limit_ms)) return true;
  log->warn("some actors have not ended yet: they end with the process, or the actor system of the host");
  return false;
}

// In the file's order. The board still knows pipelines that a reload ended.
std::vector<pipeline_status> engine::parts::of_the_topology() const {
  auto known = board->read();
  std::lock_guard hold(lock);
  std::vector<pipeline_status> out;
  for (const auto& c : top.pipelines)
    for (auto& p : known)
      if (p.name == c.name) out.push_back(std::move(p));
  return out;
}

// --- engine ----------------------------------------------------------------------------------------------------------

result<std::unique_ptr<engine>> engine::start(const topology& given, engine_options options) {
  auto p = std::make_unique<parts>();
  p->names = options.own.names();
  auto completed = complete(given, p->names);
  if (!completed.ok()) return completed.failure();
  const topology& t = *completed;
  p->top = t;
  p->log = options.log ? options.log
                       : std::make_shared<spdlog::logger>("chute", std::make_shared<spdlog::sinks::null_sink_mt>());
  auto chosen = choose(t, options.pipelines);
  if (!chosen.ok()) return chosen.failure();
  if (auto r = check_names(options.own); !r.ok()) return r.failure();
  const auto* before = caf::logger::current_logger(); // to make a system leaves its own
  if (!options.system) {
    p->config = std::make_unique<caf::actor_system_config>();
    // Work stealing polls: idle threads would sleep and look, and a message would wait for them to wake up.
    p->config->set("scheduler.policy", caf::atom("sharing"));
    // CAF's least is four: more than there are processors only wake each other up. What blocks has its own.
    p->config->set("scheduler.max-threads", std::size_t{std::max(2u, std::thread::hardware_concurrency())});
    p->own = std::make_unique<caf::actor_system>(*p->config);
  }
  p->system = options.system ? options.system : p->own.get();
  const forgotten_here hosts_thread(*p->system, before);
  // Before anything runs: two engines must not share a directory unnoticed.
  if (!has_server(t)) {
    auto opened = open_shared(t, options.own);
    if (!opened.ok()) return opened.failure();
    p->keeps = *std::move(opened);
  }
  p->until_end = options.until_end;
  p->file = options.file;
  p->only = options.pipelines;
  p->drain_ms = bounded(options.drain_ms);
  try {
    p->events = make_herald(options, *p->system, p->log);
  } catch (const std::system_error& e) {
    return error{"engine", std::string("no thread can be made for the host's events: ") + e.what(),
                 "raise the limit of threads (ulimit -u, the control group's pids.max)"};
  }
  if (p->events) p->board->listen([h = p->events.get()](engine_event e) { h->tell(std::move(e)); });
  p->decoders = std::make_shared<const std::map<std::string, decoder_kind>>(std::move(options.own.decoders));
  p->share = chosen->size();
  std::unique_ptr<engine> out(new engine(std::move(p)));
  for (const auto& c : *chosen)
    if (auto r = out->parts_->start(t, c); !r.ok()) return r.failure(); // ends those that were started
  return out;
}

engine::engine(std::unique_ptr<parts> p) : parts_(std::move(p)) {}

engine::~engine() {
  std::vector<parts::running> all;
  {
    std::lock_guard hold(parts_->lock);
    parts_->ending = true; // a listener may still give orders
    all.swap(parts_->pipelines);
  }
  const bool ended = parts_->end(all, parts_->stopped || wait_ms(0) ? 0 : parts_->drain_ms);
  all.clear();
  parts_->board->listen({}); // an actor that has not ended yet tells nobody any more
  parts_->events.reset();    // waits for the listener, and with it for what it ordered
  if (ended) return;
  // A host's store or decoder that does not return: to destroy the system would wait for it.
  static_cast<void>(parts_->own.release());
  static_cast<void>(parts_->config.release());
}

engine_status engine::status() const {
  engine_status s;
  s.version = version_text;
  s.uptime_ms = mono_now() - parts_->started;
  {
    std::lock_guard hold(parts_->lock);
    s.memory_budget = parts_->top.memory_bytes;
  }
  s.pipelines = parts_->of_the_topology();
  for (auto& p : s.pipelines)
    for (auto& l : p.lanes) s.memory_used += l.buffered_bytes;
  return s;
}

void engine::drain() {
  parts_->draining = true;
  parts_->order(msg::order::what::drain);
}
void engine::stop_now() {
  parts_->stopped = true;
  parts_->order(msg::order::what::stop);
}
bool engine::wait_ms(std::int64_t ms) { return parts_->board->wait_over(bounded(ms)); }

bool engine::any_stopped() const {
  for (auto& p : parts_->of_the_topology())
    if (p.state == pipeline_status::state::stopped) return true;
  return false;
}

namespace {

template <class R> bool named(const R& running, const std::string& name) {
  return std::any_of(running.begin(), running.end(), [&](const auto& r) { return r.config.name == name; });
}

// Of a pipeline that ended; its counters stay.
void clear_lanes(status_board& board, const std::string& name) {
  for (const auto& p : board.read()) {
    if (p.name != name) continue;
    for (const auto& l : p.lanes) board.lane_gone(name, l.topic, l.lane);
  }
}

// What it will not read any more, another pipeline may, also while this one cannot begin yet. Of patterns nobody knows
// what they will match.
void free_former_topics(table_claims& claims, const pipeline_config& c) {
  if (!c.topics.front().starts_with('^')) claims.keep_only(c.name, {c.topics.begin(), c.topics.end()});
}

} // namespace

result<std::string> engine::reload(const topology& given, std::int64_t drain_ms) {
  auto& p = *parts_;
  auto completed = complete(given, p.names);
  if (!completed.ok()) return completed.failure();
  const topology& t = *completed;
  std::unique_lock one(p.reloading, std::try_to_lock);
  if (!one.owns_lock()) return error{"engine", "a pipeline's state is being moved, or it is reloading", "try again"};
  if (!same_state(t.state, p.top.state))
    return error{"engine", "`state` is another one: positions would be looked for elsewhere", "restart to take it up"};
  auto chosen = choose(t, p.only);
  if (!chosen.ok()) return chosen.failure();
  std::vector<parts::running> ends;
  std::vector<pipeline_config> starts;
  std::vector<std::string> ended; // and gone
  std::string changed, gone, added;
  const auto name_in = [](std::string& list, const std::string& name) { list += (list.empty() ? "" : ", ") + name; };
  {
    std::lock_guard hold(p.lock);
    if (p.ending) return is_ending();
    const auto now = [&](const std::string& name) {
      return std::find_if(chosen->begin(), chosen->end(), [&](const auto& c) { return c.name == name; });
    };
    for (const auto& r : p.pipelines) {
      const auto is = now(r.config.name);
      if (is != chosen->end() && same_pipeline(p.top, t, r.config, *is)) continue;
      ends.push_back(r);
      name_in(is == chosen->end() ? gone : changed, r.config.name);
      if (is == chosen->end()) p.paused.erase(r.config.name);
      if (is == chosen->end()) ended.push_back(r.config.name);
      if (is != chosen->end()) starts.push_back(*is);
    }
    for (const auto& c : *chosen) {
      if (named(p.pipelines, c.name)) continue;
      starts.push_back(c);
      name_in(added, c.name);
    }
  }
  const auto moving = p.board->moving();
  for (const auto& e : ends) p.log->info("pipeline {}: drains, because the file has it otherwise now", e.config.name);
  p.end(ends, bounded(drain_ms));
  {
    std::lock_guard hold(p.lock);
    p.top = t;
    std::erase_if(p.pipelines, [&](const auto& r) { return named(ends, r.config.name); });
    for (const auto& name : ended) p.paused.erase(name); // it may have been paused while it drained
  }
  for (const auto& e : ends) clear_lanes(*p.board, e.config.name);
  for (const auto& name : ended) p.claims->keep_only(name, {});
  for (const auto& c : starts) free_former_topics(*p.claims, c);
  p.share = chosen->size();
  if (p.over()) return error{"engine", "it was told to end meanwhile", "what changed is taken up with the next start"};
  for (const auto& c : starts)
    if (auto r = p.start(t, c); !r.ok()) return r.failure();
  if (ends.empty() && starts.empty()) return std::string("nothing changed");
  const auto part = [](const char* what, const std::string& names) { return names.empty() ? "" : what + names; };
  std::string out = part("; started anew: ", changed) + part("; gone: ", gone) + part("; new: ", added);
  return out.substr(2);
}

namespace {
// Why it is stopped, with the way out; nothing: it is not.
std::optional<std::string> stopped_for(const status_board& board, const std::string& name) {
  for (auto& p : board.read())
    if (p.name == name && p.state == pipeline_status::state::stopped) return std::move(p.reason);
  return {};
}

// Two files may name one port, and a file may have changed since it was read.
std::optional<error> another_than_meant(const topology& t, const pipeline_config& p, const move_request& what) {
  const auto table = p.database + "." + p.table;
  for (const auto& [name, meant, runs] : {std::tuple{"group", &what.group, &p.group},
                                          {"kafka.brokers", &what.brokers, &t.kafka.brokers},
                                          {"table", &what.table, &table}})
    if (!meant->empty() && *meant != *runs)
      return error{"engine",
                   "the engine that answers here runs pipeline " + p.name + " with " + name + " " + *runs + ", and " +
                       *meant + " is asked for: nothing was moved",
                   "ask with the file that this engine was started with, and with the same variables; if the file was "
                   "changed, reload it first (SIGHUP); if another engine is meant, stop this one, or give the files "
                   "different ports (admin.listen)"};
  return {};
}
} // namespace

result<std::string> engine::move(const std::string& pipeline, const move_request& what, std::int64_t drain_ms) {
  auto& p = *parts_;
  std::unique_lock one(p.reloading, std::try_to_lock);
  if (!one.owns_lock()) return error{"engine", "it is reloading, or a pipeline is being moved already", "try again"};
  std::vector<parts::running> ends;
  topology t;
  {
    std::lock_guard hold(p.lock);
    if (p.ending) return is_ending();
    t = p.top;
    for (const auto& r : p.pipelines)
      if (r.config.name == pipeline) ends.push_back(r);
  }
  if (ends.empty()) return error{"engine", "there is no pipeline named " + pipeline, "see /status for the names"};
  if (auto other = another_than_meant(t, ends.front().config, what)) return *other;
  const auto moving = p.board->moving();
  const auto show = [&](const std::string& why) {
    p.board->pipeline(pipeline, pipeline_status::state::waiting, "its state is moved: " + why);
    p.log->info("pipeline {}: its state is moved: {}", pipeline, why);
  };
  p.log->info("pipeline {}: its state is moved: drains first", pipeline);
  p.end(ends, bounded(drain_ms));
  const auto stopped = stopped_for(*p.board, pipeline); // now or before: what is shown next hides it
  clear_lanes(*p.board, pipeline);
  {
    std::lock_guard hold(p.lock);
    std::erase_if(p.pipelines, [&](const auto& r) { return r.config.name == pipeline; });
  }
  show("the group is left");
  const auto over = [&p] { return p.over(); };
  auto done = move_state(t, p.file, pipeline, what, has_server(t) ? nullptr : p.keeps, {show, over});
  if (done.ok()) p.log->info("pipeline {}: moved: {}", pipeline, *done);
  else p.log->error("pipeline {}: not moved: {}", pipeline, done.failure().text());
  if (over()) {
    using state = enum pipeline_status::state;
    p.board->pipeline(pipeline, stopped ? state::stopped : state::drained, stopped.value_or(""));
    return done;
  }
  if (auto r = p.start(t, ends.front().config); !r.ok()) return r.failure();
  return done;
}

result<void> engine::pause(const std::string& pipeline) { return parts_->pause(pipeline, true); }
result<void> engine::resume(const std::string& pipeline) { return parts_->pause(pipeline, false); }

} // namespace chute
