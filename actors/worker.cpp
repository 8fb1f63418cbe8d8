#include "actors/worker.hpp"

#include "formats/datum.hpp"

#include <stdexcept>

namespace chute {

worker_tools::worker_tools(context_ptr context, std::size_t number) : context_(std::move(context)) {
  const auto& urls = context_->top.clickhouse.urls;
  sessions_.resize(urls.size());
  url_ = number % std::max<std::size_t>(1, urls.size());
}

clickhouse::session& worker_tools::server(std::size_t url) {
  auto& s = sessions_.at(url);
  if (!s) {
    const auto& config = context_->top.clickhouse;
    auto made = clickhouse::session::open(clickhouse::options_for(config, config.urls[url]));
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
  if (!inspector_) {
    auto made = kafka::inspector::open(context_->kafka_client());
    if (!made.ok()) throw std::runtime_error(made.failure().text());
    inspector_ = std::move(*made);
  }
  return *inspector_;
}

worker_actor::behavior_type worker(worker_actor::stateful_pointer<worker_state> self, context_ptr context,
                                   std::size_t number, pool_actor pool, pipeline_actor boss) {
  self->state.tools = std::make_unique<worker_tools>(std::move(context), number);
  return {[=](const msg::job& j) {
    try {
      j.run(*self->state.tools);
    } catch (const std::exception& e) {
      self->send(boss, msg::failed{e.what()});
    }
    self->send(pool, msg::idle{}, worker_actor(self));
  }};
}

pool_actor::behavior_type pool(pool_actor::stateful_pointer<pool_state> self, context_ptr context, std::size_t workers,
                               pipeline_actor boss) {
  for (std::size_t i = 0; i < workers; ++i)
    self->state.free.push_back(self->spawn<caf::detached + caf::linked>(worker, context, i, pool_actor(self), boss));
  return {
      [=](const msg::job& j) {
        auto& s = self->state;
        if (s.free.empty()) return s.waiting.push_back(j);
        self->send(s.free.back(), j);
        s.free.pop_back();
      },
      [=](const msg::idle&, const worker_actor& w) {
        auto& s = self->state;
        if (s.waiting.empty()) return s.free.push_back(w);
        self->send(w, s.waiting.front());
        s.waiting.pop_front();
      },
  };
}

} // namespace chute
