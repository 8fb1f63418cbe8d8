#include "actors/engine.hpp"

#include "actors/keeper.hpp"
#include "actors/open_store.hpp"
#include "actors/pipeline.hpp"

#include <caf/all.hpp>
#include <spdlog/sinks/null_sink.h>

namespace chute {

const char* const version_text = "0.1.0";

struct engine::parts {
  topology top;
  std::shared_ptr<spdlog::logger> log;
  std::shared_ptr<status_board> board = std::make_shared<status_board>();
  std::unique_ptr<caf::actor_system_config> config;
  std::unique_ptr<caf::actor_system> own;
  caf::actor_system* system = nullptr;
  std::vector<std::pair<std::string, pipeline_actor>> pipelines;
  mono_ms started = mono_now();
};

namespace {

std::int64_t session_timeout_of(const topology& t) {
  auto it = t.kafka.properties.find("session.timeout.ms");
  if (it == t.kafka.properties.end()) return 45'000; // librdkafka's default
  try {
    return std::max<std::int64_t>(1, std::stoll(it->second));
  } catch (const std::exception&) {
    return 45'000; // librdkafka refuses it by name
  }
}

} // namespace

result<std::unique_ptr<engine>> engine::start(const topology& t, engine_options options) {
  auto p = std::make_unique<parts>();
  p->top = t;
  p->log = options.log ? options.log
                       : std::make_shared<spdlog::logger>("chute", std::make_shared<spdlog::sinks::null_sink_mt>());
  std::vector<pipeline_config> chosen;
  for (auto& c : t.pipelines)
    if (options.pipelines.empty() || std::count(options.pipelines.begin(), options.pipelines.end(), c.name))
      chosen.push_back(c);
  for (auto& name : options.pipelines)
    if (std::none_of(chosen.begin(), chosen.end(), [&](auto& c) { return c.name == name; }))
      return error{"engine", "the topology has no pipeline named " + name, "see `pipelines:` in the file"};
  if (chosen.empty()) return error{"engine", "the topology has no pipelines", "add one under `pipelines:`"};
  if (!options.system) {
    p->config = std::make_unique<caf::actor_system_config>();
    // Work stealing polls: idle threads would sleep and look, and a message would wait for them to wake up.
    p->config->set("scheduler.policy", caf::atom("sharing"));
    p->own = std::make_unique<caf::actor_system>(*p->config);
  }
  p->system = options.system ? options.system : p->own.get();
  // Another store than kafka is opened before anything runs: two engines must not share a directory unnoticed. One that
  // has a server is opened once a pipeline: while it is away, no keeper waits for another one's time limits.
  bool has_server = t.state.store == store_kind::keeper_map || t.state.store == store_kind::redis;
  std::vector<std::shared_ptr<store>> stores;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (i > 0 && !has_server) {
      stores.push_back(stores[0]);
      continue;
    }
    auto opened = open_store(t);
    if (!opened.ok()) return opened.failure();
    stores.push_back(*opened ? std::make_shared<shared_store>(*std::move(opened)) : nullptr);
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    auto& c = chosen[i];
    auto context = std::make_shared<pipeline_context>();
    context->top = t;
    context->config = c;
    context->until_end = options.until_end;
    context->log = p->log;
    context->board = p->board;
    context->pipelines = chosen.size();
    context->session_timeout_ms = session_timeout_of(t);
    p->board->pipeline(c.name, pipeline_status::state::starting, {});
    p->pipelines.emplace_back(c.name, p->system->spawn(pipeline, context, stores[i]));
  }
  return std::unique_ptr<engine>(new engine(std::move(p)));
}

engine::engine(std::unique_ptr<parts> p) : parts_(std::move(p)) {}

engine::~engine() {
  stop_now();
  constexpr std::int64_t end_limit_ms = 15'000; // an insert under way is answered or given up meanwhile
  parts_->board->wait_over(end_limit_ms);
  for (auto& [name, actor] : parts_->pipelines) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  parts_->pipelines.clear();
}

engine_status engine::status() const {
  engine_status s;
  s.version = version_text;
  s.uptime_ms = mono_now() - parts_->started;
  s.memory_budget = parts_->top.memory_bytes;
  s.pipelines = parts_->board->read();
  for (auto& p : s.pipelines)
    for (auto& l : p.lanes) s.memory_used += l.buffered_bytes;
  return s;
}

namespace {
template <class P> void order_all(P& pipelines, enum msg::order::what order) {
  for (auto& [name, actor] : pipelines) caf::anon_send(actor, msg::order{order});
}
} // namespace

void engine::drain() { order_all(parts_->pipelines, msg::order::what::drain); }
void engine::stop_now() { order_all(parts_->pipelines, msg::order::what::stop); }
bool engine::wait_ms(std::int64_t ms) { return parts_->board->wait_over(ms); }

bool engine::any_stopped() const {
  for (auto& p : parts_->board->read())
    if (p.state == pipeline_status::state::stopped) return true;
  return false;
}

namespace {
template <class P> result<void> order_one(P& pipelines, const std::string& name, enum msg::order::what order) {
  for (auto& [n, actor] : pipelines) {
    if (n != name) continue;
    caf::anon_send(actor, msg::order{order});
    return {};
  }
  return error{"engine", "there is no pipeline named " + name, "see /status for the names"};
}
} // namespace

result<void> engine::pause(const std::string& pipeline) {
  return order_one(parts_->pipelines, pipeline, msg::order::what::pause);
}
result<void> engine::resume(const std::string& pipeline) {
  return order_one(parts_->pipelines, pipeline, msg::order::what::resume);
}

} // namespace chute
