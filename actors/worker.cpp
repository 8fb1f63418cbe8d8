#include "actors/worker.hpp"

#include <stdexcept>

namespace chute {

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
