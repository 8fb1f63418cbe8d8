#include "actors/worker.hpp"

#include "formats/datum.hpp"

#include <chrono>
#include <future>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace chute {
namespace {
constexpr int open_tries_max = 20;
constexpr std::chrono::seconds open_pause{1};
} // namespace

worker_tools::worker_tools(context_ptr context, std::size_t number) : context_(std::move(context)) {
  const auto& urls = context_->top.clickhouse.urls;
  sessions_.resize(urls.size());
  url_ = number % std::max<std::size_t>(1, urls.size());
}

clickhouse::session& worker_tools::server(std::size_t url) {
  auto& s = sessions_.at(url);
  if (!s) {
    const auto& config = context_->top.clickhouse;
    auto options = clickhouse::options_for(config, config.urls[url]);
    options.cancelled = context_->given_up;
    auto made = clickhouse::session::open(std::move(options));
    if (!made.ok()) throw std::runtime_error(made.failure().text());
    s = std::move(*made);
  }
  return *s;
}

clickhouse::session& worker_tools::http() { return server(url_); }

void worker_tools::next_url() { url_ = (url_ + 1) % sessions_.size(); }

std::vector<clickhouse::session*> worker_tools::all_servers() {
  std::vector<clickhouse::session*> out;
  for (std::size_t i = 0; i < sessions_.size(); ++i) out.push_back(&server(i));
  return out;
}

clickhouse::session& worker_tools::registry() {
  if (registry_) return *registry_;
  const auto& config = context_->top.registry;
  if (!config) throw std::runtime_error("there is no registry in the topology");
  clickhouse::session_options o;
  o.url = config->url;
  o.ca_file = config->ca_file;
  o.plain = true;
  o.cancelled = context_->given_up;
  o.plain_headers = {"Accept: application/vnd.schemaregistry.v1+json, application/json"};
  if (!config->user.empty())
    o.plain_headers.push_back("Authorization: Basic " + to_base64(config->user + ":" + config->password));
  if (!config->token.empty()) o.plain_headers.push_back("Authorization: Bearer " + config->token);
  auto made = clickhouse::session::open(std::move(o));
  if (!made.ok()) throw std::runtime_error("registry: " + made.failure().text());
  registry_ = std::move(*made);
  return *registry_;
}

registry_reply get_schema(worker_tools& tools, const std::string& path, std::int64_t limit_ms) {
  clickhouse::http_request request;
  request.path = path;
  request.limit_ms = limit_ms;
  auto reply = tools.registry().send(request);
  if (reply.how != clickhouse::http_reply::transport::complete) return {0, "", reply.why};
  return {reply.status, std::move(reply.body), ""};
}

kafka::inspector& worker_tools::kafka() {
  // What is short where another worker could make one (threads, files, a certificate that is being exchanged) may be
  // there again in a moment, and must not end a pipeline that works.
  for (int tries = 1; !inspector_; ++tries) {
    auto made = kafka::inspector::open(context_->kafka_client());
    if (made.ok()) inspector_ = std::move(*made);
    else if (!*context_->kafka_settings_work || tries == open_tries_max)
      throw std::runtime_error(made.failure().text());
    else std::this_thread::sleep_for(open_pause);
  }
  *context_->kafka_settings_work = true;
  return *inspector_;
}

worker_actor::behavior_type worker(worker_actor::stateful_pointer<worker_state> self, context_ptr context,
                                   std::size_t number, pool_actor pool, pipeline_actor boss) {
  self->state.tools = std::make_unique<worker_tools>(std::move(context), number);
  return {[=](const msg::job& j) {
    if (!j.run) return self->quit();
    try {
      j.run(*self->state.tools);
    } catch (const std::exception& e) {
      self->send(boss, msg::failed{e.what()});
    }
    self->send(pool, msg::idle{j.about}, worker_actor(self));
  }};
}

// Two at once: one that has ended may still count for a moment.
void try_thread() {
  std::promise<void> made;
  std::jthread one([may_end = made.get_future()] { may_end.wait(); });
  const auto lets_it_end = std::move(made); // goes first, also where there is no second
  std::jthread two([] {});
}

namespace {

using pool_ptr = pool_actor::stateful_pointer<pool_state>;
constexpr mono_ms late_ms = 1'000, kept_ms = 30'000; // kept_ms: what hangs often hangs again

struct pool_parts {
  context_ptr context;
  pool_size size;
  pipeline_actor boss;
};

worker_actor new_worker(pool_ptr self, const pool_parts& with) {
  auto& s = self->state;
  try_thread();
  auto w = self->spawn<caf::detached + caf::linked>(worker, with.context, s.workers, pool_actor(self), with.boss);
  ++s.workers;
  s.short_of_threads = false;
  return w;
}

std::string no_thread(const std::system_error& e) {
  return error{"threads", std::string("none can be made: ") + e.what(),
               "raise the limit of threads: TasksMax of systemd, pids.max of a container, ulimit -u"}
      .text();
}

// The topic whose next job is to be run; null: none may. What is beyond the few is for those that would have none.
pool_state::topic* next_topic(pool_state& s, std::size_t few) {
  const auto most = s.workers - s.free.size() < few ? few : 1;
  pool_state::topic* next = nullptr;
  for (auto& [name, t] : s.topics) {
    if (t.waiting.empty() || t.running >= most) continue;
    const auto before = [](const pool_state::topic& a, const pool_state::topic& b) {
      return std::pair(a.running, a.waiting.front().first) < std::pair(b.running, b.waiting.front().first);
    };
    if (!next || before(t, *next)) next = &t;
  }
  return next;
}

void run_next(pool_ptr self, pool_state::topic& t, const worker_actor& w) {
  self->send(w, std::move(t.waiting.front().second));
  t.waiting.pop_front();
  --self->state.waiting;
  ++t.running;
}

void look_later(pool_ptr self, const pool_parts& with) {
  auto& s = self->state;
  if (s.looks || s.waiting == 0 || s.workers >= with.size.most) return;
  s.looks = true;
  self->delayed_send(self, std::chrono::milliseconds(late_ms), msg::late{});
}

void hand_out(pool_ptr self, const pool_parts& with) {
  auto& s = self->state;
  while (!s.free.empty() && s.waiting > 0) {
    const auto t = next_topic(s, with.size.few);
    if (!t) break;
    run_next(self, *t, s.free.back());
    s.free.pop_back();
  }
  look_later(self, with);
}

void on_job(pool_ptr self, const pool_parts& with, const msg::job& j) {
  auto& s = self->state;
  s.topics[j.about].waiting.emplace_back(mono_now(), j);
  ++s.waiting;
  hand_out(self, with);
}

void on_idle(pool_ptr self, const pool_parts& with, const msg::idle& m, const worker_actor& w) {
  auto& s = self->state;
  const auto t = s.topics.find(m.about);
  if (--t->second.running == 0 && t->second.waiting.empty()) s.topics.erase(t);
  s.free.push_back(w);
  hand_out(self, with);
  if (s.workers - s.free.size() >= with.size.few) s.strained_at = mono_now();
  while (s.workers > with.size.few && !s.free.empty() && mono_now() - s.strained_at > kept_ms) {
    self->send(s.free.back(), msg::job{});
    s.free.pop_back();
    --s.workers;
  }
}

void on_late(pool_ptr self, const pool_parts& with) {
  auto& s = self->state;
  s.looks = false;
  const auto now = mono_now();
  try {
    for (auto& [name, t] : s.topics) {
      if (s.workers >= with.size.most) break;
      if (t.running == 0 && !t.waiting.empty() && now - t.waiting.front().first >= late_ms)
        run_next(self, t, new_worker(self, with));
    }
  } catch (const std::system_error& e) { // it goes on with those that it has, and tries again
    if (!std::exchange(s.short_of_threads, true))
      with.context->log->warn("pipeline {}: {}", with.context->config.name, no_thread(e));
  }
  look_later(self, with);
}

} // namespace

pool_actor::behavior_type pool(pool_ptr self, context_ptr context, pool_size size, pipeline_actor boss) {
  const pool_parts with{std::move(context), size, std::move(boss)};
  try {
    while (self->state.workers < size.few) self->state.free.push_back(new_worker(self, with));
  } catch (const std::system_error& e) {
    self->send(with.boss, msg::failed{no_thread(e)});
  }
  return {
      [=](const msg::job& j) { on_job(self, with, j); },
      [=](const msg::idle& m, const worker_actor& w) { on_idle(self, with, m, w); },
      [=](const msg::late&) { on_late(self, with); },
  };
}

} // namespace chute
