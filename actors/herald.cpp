#include "actors/herald.hpp"

#include "actors/worker.hpp"

#include "actors/messages.hpp"

#include <future>

namespace chute {

namespace {
constexpr std::uint64_t waiting_max = 10'000; // events that the listener has not taken yet

// A pipeline's end is told however much waits: there is no later event from which it could be learned. Ends are few.
bool is_end(const engine_event& e) {
  using state = enum pipeline_status::state;
  return e.what == engine_event::kind::pipeline && (e.state == state::drained || e.state == state::stopped);
}
} // namespace

struct herald::shared {
  herald_options options;
  std::atomic<std::uint64_t> waiting{0}, missed{0};
  std::promise<void> over;

  void deliver(engine_event e) {
    --waiting;
    e.missed = missed.exchange(0);
    if (options.listener) caf::anon_send(options.listener, e);
    if (!options.callback) return;
    try {
      options.callback(e);
    } catch (const std::exception& x) {
      if (options.oops) options.oops(x.what());
    } catch (...) {
      if (options.oops) options.oops("something that is no std::exception");
    }
  }
};

herald::herald(caf::actor_system& system, herald_options options) : shared_(std::make_shared<shared>()) {
  shared_->options = std::move(options);
  // As an argument, not captured: without any, CAF 0.17 binds a reference to a tuple that is not there.
  const auto run = [](caf::event_based_actor* self, const std::shared_ptr<shared>& s) -> caf::behavior {
    self->attach_functor([s] { s->over.set_value(); });
    return {
        [s](const engine_event& e) { s->deliver(e); }, [self](const msg::leave&) { self->quit(); }, // behind all events
    };
  };
  try_thread();
  actor_ = system.spawn<caf::detached>(run, shared_);
}

herald::~herald() {
  auto over = shared_->over.get_future();
  caf::anon_send(actor_, msg::leave{});
  actor_ = nullptr;
  over.wait();
}

void herald::tell(engine_event e) {
  if (shared_->waiting >= waiting_max && !is_end(e)) {
    ++shared_->missed;
    return;
  }
  ++shared_->waiting;
  caf::anon_send(actor_, std::move(e));
}

} // namespace chute
