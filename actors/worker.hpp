// Workers run what blocks: inserts, questions to ClickHouse and Kafka. A pool hands jobs to whichever is idle.
#pragma once

#include "actors/context.hpp"
#include "clickhouse/http.hpp"
#include "formats/registry.hpp"
#include "kafka/inspect.hpp"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace chute {

// What a job works with; belongs to one worker's thread.
class worker_tools {
public:
  worker_tools(context_ptr context, std::size_t number);
  // A kept-alive connection. Several URLs: workers spread over them; next_url() moves on after a failure.
  clickhouse::session& http();
  void next_url();
  std::size_t url() const { return url_; } // which one http() speaks to
  // One connection to each configured URL.
  std::vector<clickhouse::session*> all_servers();
  // To the schema registry. Throws std::runtime_error if its options are wrong, or there are none.
  clickhouse::session& registry();
  // Throws std::runtime_error with a text for people if Kafka's options are wrong.
  kafka::inspector& kafka();
  const pipeline_context& context() const { return *context_; }

private:
  context_ptr context_;
  clickhouse::session& server(std::size_t url);
  std::size_t url_ = 0;
  std::vector<std::unique_ptr<clickhouse::session>> sessions_; // one a URL, made when first used
  std::unique_ptr<clickhouse::session> registry_;
  std::unique_ptr<kafka::inspector> inspector_;
};

// A document of the schema registry, as fetch_schema() asks for it.
registry_reply get_schema(worker_tools& tools, const std::string& path, std::int64_t limit_ms);

// Throws std::system_error where no thread can be made. To be called before an actor that has one of its own is
// spawned: CAF 0.17 counts those that it could not make, too, and whoever destroys the actor system waits for them for
// ever.
void try_thread();

struct worker_state {
  std::unique_ptr<worker_tools> tools;
};
worker_actor::behavior_type worker(worker_actor::stateful_pointer<worker_state> self, context_ptr context,
                                   std::size_t number, pool_actor pool, pipeline_actor boss);

// `few` workers serve all topics, in the order of their jobs; of those that wait, whichever has the fewest running is
// next. A topic of which nothing is run for a second, as what others wait for hangs, gets a worker beyond those, up to
// `most` in all. No topic has more than `few` at once, nor more than one beyond them.
struct pool_size {
  std::size_t few, most;
};
struct pool_state {
  struct topic {
    std::deque<std::pair<mono_ms, msg::job>> waiting; // bounded: each lane has at most a handful of requests open
    std::size_t running = 0;
  };
  std::map<std::string, topic> topics; // of which anything waits or runs
  std::vector<worker_actor> free;
  std::size_t workers = 0, waiting = 0;
  bool looks = false;            // a msg::late is on its way
  bool short_of_threads = false; // when the last one was wanted
  mono_ms strained_at = 0;       // when more than the few were last wanted
};
pool_actor::behavior_type pool(pool_actor::stateful_pointer<pool_state> self, context_ptr context, pool_size size,
                               pipeline_actor boss);

// `about`: see msg::job.
template <class Self, class F> void run_job(Self self, const pool_actor& by, const std::string& about, F&& work) {
  self->send(by, msg::job{std::forward<F>(work), about});
}

} // namespace chute
