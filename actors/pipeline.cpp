#include "actors/pipeline.hpp"

#include "actors/batcher.hpp"
#include "actors/fault_point.hpp"
#include "actors/keeper.hpp"
#include "actors/memory_need.hpp"
#include "actors/reader.hpp"
#include "actors/worker.hpp"
#include "core/way_out.hpp"
#include "kafka/offsets.hpp"

#include <algorithm>
#include <thread>

namespace chute {

namespace {

using self_ptr = pipeline_actor::stateful_pointer<pipeline_state>;
using phase = pipeline_state::phase;
using shown = enum pipeline_status::state;

constexpr mono_ms tick_every_ms = 250;
constexpr mono_ms revoke_limit_ms = 60'000; // under half of max.poll.interval.ms
constexpr mono_ms lose_limit_ms = 60'000;   // how long a lane that gives up may need for its readers to end
constexpr std::int64_t question_ms = 10'000;
constexpr mono_ms count_every_ms = 5'000;
constexpr mono_ms look_every_ms = 5'000;
constexpr mono_ms ends_every_ms = 10'000;
constexpr mono_ms round_limit_ms = 3'000;
constexpr mono_ms grown_every_ms = 20'000, grown_most_ms = 600'000;
constexpr mono_ms rejoin_ms = 10'000; // a rebalance that takes longer is shown
constexpr mono_ms confirm_least_ms = 500, confirm_most_ms = 5'000;
constexpr mono_ms gone_news_ms = 60'000; // so long a lane that begins is told that its topic's log was seen to be gone
constexpr std::uint64_t gather_bytes_min = 64 << 10;
constexpr std::size_t inserters_max = 8;
constexpr std::int64_t save_rest_most_ms = 1'000;

void show(self_ptr self, shown what, const std::string& why = {}) {
  auto& c = *self->state.context;
  c.board->pipeline(c.config.name, what, why);
}

// What a pipeline is that has joined its group. Topics that wait make it wait, as lanes do: whoever only looks at the
// state, or at /ready, must learn that some records are not delivered.
void show_running(self_ptr self) {
  auto& s = self->state;
  if (s.draining) return show(self, shown::draining);
  if (s.paused) return show(self, shown::paused);
  if (s.assigned_times == 0)
    return show(self, shown::starting,
                "joining the group " + s.context->config.group +
                    (s.group_trouble.empty() ? std::string() : ": " + s.group_trouble));
  show(self, s.topics_wait_for.empty() ? shown::streaming : shown::waiting, s.topics_wait_for);
}

// Not at each try.
void tell_trouble(self_ptr self, const std::string& what) {
  constexpr mono_ms again_ms = 600'000;
  auto& s = self->state;
  const auto now = mono_now();
  std::erase_if(s.troubles_told, [&](const auto& t) { return now - t.second >= again_ms; });
  if (!s.troubles_told.emplace(what, now).second) return;
  s.context->log->warn("pipeline {} waits: {}", s.context->config.name, what);
  s.context->board->trouble(s.context->config.name, what);
}

// Logged once a minute while it stays the same: the group is asked, and tried, more often than that.
void tell_group_trouble(self_ptr self, const std::string& what) {
  constexpr mono_ms again_ms = 60'000;
  auto& s = self->state;
  const auto now = mono_now();
  if (s.group_trouble == what && now - s.group_trouble_told < again_ms) return;
  s.context->board->trouble(s.context->config.name, what);
  s.group_trouble = what;
  s.group_trouble_told = now;
  s.context->log->warn("pipeline {}: {}", s.context->config.name, what);
  if (s.at == phase::running && s.assigned_times == 0) show_running(self);
}

void order_all(self_ptr self, enum msg::control::what order) {
  for (auto& [name, l] : self->state.lanes) self->send(l.actor, msg::control{order});
}

// --- preparing -------------------------------------------------------------------------------------------------------

// What a job found; `number` tells which assignment it was for.
struct findings {
  std::uint64_t number = 0;
  std::string cluster_id;
  std::map<std::string, topic_runtime> topics;
  std::map<std::string, std::map<std::int32_t, std::int64_t>> until;
  std::set<std::string> first_topics;          // see pipeline_state
  bool none_listed = false;                    // no topic matched
  std::size_t listed = 0;                      // partitions of all topics, those in trouble too
  std::map<std::string, std::string> troubles; // topics whose lanes cannot begin yet, and why: the others go on
  std::optional<std::set<std::string>> there;  // topics that a pattern matches now; nothing: not asked
  std::shared_ptr<topic_at_work> at = std::make_shared<topic_at_work>();
};

struct not_yet : std::runtime_error {
  bool fatal;
  explicit not_yet(const std::string& why, bool f = false) : std::runtime_error(why), fatal(f) {}
};

template <class T> T must(result<T> r, bool fatal = false) {
  if (!r.ok()) throw not_yet(r.failure().text(), fatal);
  return *std::move(r);
}
void must(result<void> r) {
  if (!r.ok()) throw not_yet(r.failure().text());
}

std::vector<kafka::topic_partition> all_partitions(const std::string& topic, std::int32_t n) {
  std::vector<kafka::topic_partition> out;
  for (std::int32_t p = 0; p < n; ++p) out.push_back({topic, {p}});
  return out;
}

topic_runtime open_topic(worker_tools& t, const context_ptr& c, const std::string& topic) {
  topic_runtime out;
  bool fatal = false;
  auto dest = destination::open(t, c, topic, fatal);
  if (!dest.ok()) throw not_yet(dest.failure().text(), fatal);
  out.dest = *dest;
  out.spec = out.dest->spec;
  return out;
}

bool over_a_pattern(const pipeline_config& p) { return p.topics.front().starts_with('^'); }

// One topic's trouble is not the others': they begin, and this one is tried again. If none can begin, it is thrown.
template <class F> void for_each_topic(const std::vector<kafka::topic_info>& topics, findings& out, F&& begin) {
  std::optional<not_yet> last;
  std::size_t begun = 0;
  for (const auto& info : topics) {
    try {
      if (info.failure) throw not_yet(info.failure->text());
      out.at->is(info.name);
      begin(info);
      ++begun;
    } catch (const not_yet& e) {
      out.troubles[info.name] = e.what();
      if (!last || last->fatal) last.emplace(e); // fatal only if all are
    }
  }
  if (last && begun == 0) throw *last;
}

// The first job: everything that does not depend on an assignment.
void prepare(worker_tools& t, const context_ptr& c, findings& out) {
  out.cluster_id = must(t.kafka().cluster_id(question_ms));
  if (out.cluster_id.empty())
    throw not_yet("kafka: the cluster does not tell its id (Kafka 0.10.1 or newer is needed)");
  auto topics = must(t.kafka().topics(c->config.topics, question_ms));
  out.none_listed = topics.empty();
  if (topics.empty()) throw not_yet("kafka: no topic matches " + c->config.topics.front());
  for (auto& info : topics) {
    out.first_topics.insert(info.name);
    out.listed += static_cast<std::size_t>(std::max(0, info.partitions));
  }
  for_each_topic(topics, out, [&](const kafka::topic_info& info) {
    auto r = open_topic(t, c, info.name);
    r.partitions = info.partitions;
    out.topics[info.name] = std::move(r);
    if (!c->until_end) return;
    auto parts = all_partitions(info.name, info.partitions);
    auto bounds = t.kafka().bounds(parts, question_ms);
    for (std::size_t i = 0; i < parts.size(); ++i)
      out.until[info.name][parts[i].partition.value] = must(bounds[i]).end.value;
  });
  // Whoever runs up to the ends wants all of them.
  if (c->until_end && !out.troubles.empty()) throw not_yet(out.troubles.begin()->second);
}

std::vector<partition_id> every_partition(std::int32_t n) {
  std::vector<partition_id> out;
  for (std::int32_t i = 0; i < n; ++i) out.push_back({i});
  return out;
}

// Where a first start begins, for every partition of a topic. `whole`: with the first record that there is, whatever
// `start:` says.
std::vector<offset_t> start_positions(worker_tools& t, const pipeline_config& config, const std::string& topic,
                                      std::int32_t n, bool whole) {
  auto parts = all_partitions(topic, n);
  std::vector<offset_t> out;
  if (config.start == start_policy::timestamp && !whole) {
    for (auto& r : t.kafka().offsets_for_time(parts, config.start_timestamp_ms, question_ms)) out.push_back(must(r));
    return out;
  }
  for (auto& b : t.kafka().bounds(parts, question_ms)) {
    auto bounds = must(b);
    out.push_back(config.start == start_policy::earliest || whole ? bounds.begin : bounds.end);
  }
  return out;
}

// No lane starts before chute_starts has the pipeline's row; the owner of partition 0 writes it, once. `listed`: it was
// there when this process first looked.
void begin_topic(worker_tools& t, const context_ptr& c, const std::string& topic, bool owner_of_first, bool listed,
                 topic_runtime& r) {
  if (const auto other = c->claims->take(r.dest->table_name, topic, c->config.name); !other.empty())
    throw not_yet("pipeline " + other + " writes topic " + topic + " into " + r.dest->table_name +
                  " already: every record would be there twice; let the patterns of the two differ, or give each a "
                  "table of its own");
  auto start = must(r.dest->read_start(t));
  if (!start.known && owner_of_first) {
    // A topic that came into being while the pipeline was there: even its first record came after the start. And where
    // the lanes will stop, because the table has rows of another cluster, nothing may have been passed over by then.
    const bool whole = (c->config.start == start_policy::latest && over_a_pattern(c->config) &&
                        (!listed || must(r.dest->pattern_begun(t)))) ||
                       (c->top.state.store != store_kind::memory && // whose lanes do not stop
                        !must(r.dest->began_elsewhere(t, every_partition(r.partitions))).empty());
    auto positions = start_positions(t, c->config, topic, r.partitions, whole);
    must(r.dest->write_start(t, lanes_for(c->config.lanes, r.partitions), positions));
    start = must(r.dest->read_start(t));
  }
  if (!start.known)
    throw not_yet("chute_starts has no row of this pipeline yet: the owner of " + topic + "/0 writes it");
  r.lanes = start.lanes;
  if (static_cast<std::size_t>((r.partitions + r.lanes - 1) / r.lanes) <= lane_partitions_max) return;
  const auto trust = r.dest->standing().trust;
  const bool tells = c->config.delivery == delivery_mode::exactly_once && trust.there && trust.not_there;
  throw not_yet("topic " + topic + " has " + std::to_string(r.partitions) +
                    " partitions, more than 100 in each of its " + std::to_string(r.lanes) +
                    " lanes, which were fixed at the first start; for more lanes, " +
                    begin_with_other_lanes({c->file, c->config.name, topic}, tells),
                true);
}

// Once all the topics that a pattern had at first have begun, what comes is new.
void note_pattern(worker_tools& t, const context_ptr& c, findings& out) {
  if (!over_a_pattern(c->config) || out.topics.empty()) return;
  auto& any = *out.topics.begin()->second.dest;
  if (must(any.pattern_begun(t))) return;
  for (auto& name : out.first_topics) {
    auto r = out.topics.find(name);
    if (r == out.topics.end() || !must(r->second.dest->read_start(t)).known) return;
  }
  must(any.note_pattern(t));
}

// The job after each assignment, of those topics whose lanes do not run yet. A topic that was deleted, or may not be
// read any more, is given to nobody, and says nothing by itself: those that are named are all asked about.
void begin_topics(worker_tools& t, const context_ptr& c, const std::map<std::string, bool>& wanted, findings& out) {
  std::vector<std::string> names;
  for (auto& [name, first] : wanted) names.push_back(name);
  if (!over_a_pattern(c->config)) names = c->config.topics;
  else if (const auto all = t.kafka().topics(c->config.topics, question_ms); all.ok())
    for (const auto& info : *all) (out.there ? *out.there : out.there.emplace()).insert(info.name);
  if (names.empty()) return;
  for_each_topic(must(t.kafka().topics(names, question_ms)), out, [&](const kafka::topic_info& info) {
    if (!wanted.contains(info.name)) return;
    auto known = out.topics.find(info.name);
    auto r = known != out.topics.end() && known->second.dest ? known->second : open_topic(t, c, info.name);
    r.partitions = info.partitions;
    begin_topic(t, c, info.name, wanted.at(info.name), out.first_topics.contains(info.name), r);
    out.topics[info.name] = std::move(r);
  });
  note_pattern(t, c, out);
}

template <class F> void run_prepare(self_ptr self, findings known, F&& work) {
  auto& s = self->state;
  s.job_running = true;
  s.job_at = known.at;
  s.retry_at = 0;
  context_ptr c = s.context;
  run_job(self, s.with.clerks, {}, [=, me = pipeline_actor(self)](worker_tools& t) {
    auto out = std::make_shared<findings>(known);
    msg::prepared answer{out, {}, false};
    try {
      work(t, c, *out);
    } catch (const not_yet& e) {
      answer.failure = e.what();
      answer.fatal = e.fatal;
    } catch (const std::exception& e) {
      answer.failure = e.what();
      answer.fatal = true;
    }
    caf::anon_send(me, answer);
  });
}

void start_prepare(self_ptr self) {
  run_prepare(self, {}, [](worker_tools& t, const context_ptr& c, findings& out) { prepare(t, c, out); });
}

void start_begin(self_ptr self) {
  auto& s = self->state;
  s.begun_number = s.assignment_number;
  findings known;
  known.number = s.assignment_number;
  known.topics = s.topics;
  known.first_topics = s.first_topics;
  std::map<std::string, bool> wanted; // topic → its partition 0 is ours
  for (auto& p : s.assignment) wanted[p.topic] = wanted[p.topic] || p.partition.value == 0;
  for (auto& [name, l] : s.lanes) wanted.erase(name.topic);
  run_prepare(self, known,
              [wanted](worker_tools& t, const context_ptr& c, findings& out) { begin_topics(t, c, wanted, out); });
}

// --- running ---------------------------------------------------------------------------------------------------------

// Lanes of an assignment that was lost may still be ending. What is given anew waits for them: a lane and its
// partitions are one actor's at a time.
bool any_left_over(const pipeline_state& s) {
  return std::any_of(s.lanes.begin(), s.lanes.end(),
                     [&](const auto& l) { return l.second.assignment != s.assignment_number; });
}

// Without partitions, too: that topics are gone shows by that.
bool may_begin(const pipeline_state& s) {
  return s.at == phase::running && !s.revoking && s.assigned &&
         (!s.assignment.empty() || !over_a_pattern(s.context->config));
}

void begin_if_free(self_ptr self) {
  auto& s = self->state;
  bool wanted = may_begin(s) && s.begin_anew.empty() && s.begun_number != s.assignment_number;
  if (wanted && !s.job_running && !any_left_over(s)) start_begin(self);
}

mono_ms retry_after(pipeline_state& s) {
  return mono_now() + std::min<mono_ms>(5'000, 250ll << std::min(s.tries++, 5));
}

template <class A> void watch(self_ptr self, const A& a) { self->monitor(a); }

std::size_t partitions_of(const std::map<std::string, topic_runtime>& topics) {
  std::size_t n = 0;
  for (auto& [name, t] : topics) n += static_cast<std::size_t>(std::max(1, t.partitions));
  return std::max<std::size_t>(1, n);
}

// A fetch costs a broker, and librdkafka, some ten microseconds a partition, however little there is: a rest of two
// milliseconds each keeps that below a hundredth of a processor.
std::int64_t fetch_rest_ms(std::int64_t wait_ms, std::size_t partitions) {
  const auto for_many = static_cast<std::int64_t>(std::min<std::size_t>(2 * partitions, 200));
  return std::min(wait_ms / 5, std::max(std::min<std::int64_t>(wait_ms / 16, 50), for_many));
}

std::uint64_t fetch_buffer(const pipeline_state& s) { return s.context->top.memory_bytes / s.context->pipelines / 4; }

// False: it cannot be, and the pipeline ends.
bool open_fetcher(self_ptr self, std::size_t partitions) {
  auto& s = self->state;
  kafka::fetch_options options;
  options.client = s.context->kafka_client();
  options.buffer_bytes = fetch_buffer(s);
  options.partitions = partitions;
  if (!s.context->until_end) options.rest_ms = fetch_rest_ms(s.context->config.batch.wait_ms, partitions);
  auto fetcher = kafka::fetcher::open(options);
  if (!fetcher.ok() && s.with.fetcher) { // of other shares of the memory, but it works
    s.context->log->warn("pipeline {}: goes on with the client of Kafka that it has: {}", s.context->config.name,
                         fetcher.failure().text());
    return true;
  }
  if (!fetcher.ok()) {
    self->send(pipeline_actor(self), msg::failed{fetcher.failure().text()});
    return false;
  }
  s.with.fetcher = std::move(*fetcher);
  s.fetched_partitions = partitions;
  return true;
}

// A quarter of the memory is the readers' queues; this is for batches.
std::uint64_t lanes_memory(const pipeline_state& s) {
  return s.context->top.memory_bytes / s.context->pipelines * 6 / 10;
}

void join(self_ptr self, const findings& f) {
  auto& s = self->state;
  s.context->cluster_id = f.cluster_id;
  s.topics = f.topics;
  s.until = f.until;
  s.context->claims->keep_only(s.context->config.name, f.first_topics);
  if (!s.none_listed) s.first_topics = f.first_topics; // else all of them are new
  s.memory = std::make_shared<lane_memory>(lanes_memory(s));
  // Those whose table is still missing come later, to the same memory.
  const auto partitions = std::max(f.listed, partitions_of(s.topics));
  if (!open_fetcher(self, partitions)) return;
  auto boss = pipeline_actor(self);
  auto threads = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < threads; ++i) {
    s.with.converters.push_back(self->spawn(converter, context_ptr(s.context), boss, s.with.helpers));
    watch(self, s.with.converters.back());
  }
  const auto inserters = std::min<std::size_t>(inserters_max, std::max<std::size_t>(2, partitions));
  s.with.inserters = self->spawn(pool, context_ptr(s.context), pool_size{inserters, 3 * inserters}, boss);
  watch(self, s.with.inserters);
  try_thread();
  s.with.keeper = self->spawn<caf::detached>(keeper, context_ptr(s.context), boss, s.opened_store);
  watch(self, s.with.keeper);
  s.at = phase::running;
  s.tries = 0;
  show_running(self);
}

// What a lane may gather, with a batch as large on its way.
std::uint64_t share_of(const pipeline_state& s, std::size_t lanes) {
  auto share = s.memory->budget() / (2 * std::max<std::size_t>(1, lanes));
  return std::clamp<std::uint64_t>(share, gather_bytes_min,
                                   std::max<std::uint64_t>(gather_bytes_min, s.context->config.batch.bytes));
}

std::size_t lanes_of(const std::map<std::string, topic_runtime>& topics) {
  std::size_t n = 0;
  for (const auto& [name, t] : topics) n += static_cast<std::size_t>(std::max(1, std::min(t.lanes, t.partitions)));
  return std::max<std::size_t>(1, n);
}

std::size_t behind_at_once(const pipeline_state& s) {
  return std::max<std::size_t>(1, fetch_buffer(s) / lanes_of(s.topics) / s.with.fetcher->share().held());
}

lane_setup setup_of(const pipeline_state& s, const std::string& topic, const topic_runtime& t, lane_id id,
                    std::size_t lanes) {
  const auto& p = s.context->config;
  const auto& limits = s.context->top.clickhouse;
  lane_config c;
  c.pipeline = p.name;
  c.topic = topic;
  c.file = s.context->file;
  c.lane = id;
  c.lanes = t.lanes;
  c.topic_partitions = t.partitions;
  c.cluster = cluster_hash(*s.context);
  c.destination = t.dest->identity;
  c.fingerprint = t.spec->fingerprint;
  c.delivery = p.delivery;
  c.several_rows =
      p.deletes == delete_policy::collapsing || t.spec->make; // an update, or what the host's decoder likes
  c.on_bad_record = p.on_bad_record;
  c.on_data_loss = p.on_data_loss;
  c.batch = p.batch;
  c.gather_bytes_max = share_of(s, lanes);
  c.behind_bytes = s.with.fetcher->share().queue;
  c.behind_at_once = behind_at_once(s);
  if (const auto bytes = turns_wanted()) {
    c.behind_at_once = 1;
    c.behind_bytes = c.turn_bytes = bytes;
    c.gather_bytes_max = gather_bytes_min; // small chunks
  }
  const auto standing = t.dest->standing();
  c.trust = standing.trust;
  c.window_ms = standing.window_ms;
  c.window_ids = standing.window_ids;
  // The rate that this pipeline can reach: a batch a lane each `wait`, or faster when batches fill up.
  c.ids_per_second = std::max(1.0, 1000.0 / static_cast<double>(std::max<std::int64_t>(100, p.batch.wait_ms))) *
                     std::min(t.lanes, t.partitions);
  c.lease_ms = limits.lease_ms;
  c.insert_limit_ms = limits.insert_limit_ms;
  c.question_limit_ms = limits.question_limit_ms;
  c.confirm_limit_ms = limits.confirm_limit_ms;
  c.session_timeout_ms = s.context->session_timeout_ms;
  if (!s.context->until_end) c.save_rest_ms = std::min<std::int64_t>(p.batch.wait_ms, save_rest_most_ms);
  if (!p.where.empty()) c.control_offsets = INT64_MAX;
  if (auto u = s.until.find(topic); s.context->until_end && u != s.until.end()) {
    auto n = lane_partition_count(id, t.lanes, t.partitions);
    for (std::size_t i = 0; i < n; ++i) {
      auto end = u->second.find(lane_partition_id(id, t.lanes, i).value);
      c.until.push_back(end == u->second.end() ? 0 : end->second);
    }
  }
  return {{topic, id}, c, t.spec, t.dest, turns_wanted() ? nullptr : s.memory, lanes};
}

void warn_of_memory(pipeline_state& s, std::size_t lanes) {
  if (lanes <= s.warned_lanes) return;
  const auto pipelines = s.context->pipelines;
  const auto found = memory_need(s.context->top.memory_bytes / pipelines, lanes, pipelines);
  if (!found) return;
  s.warned_lanes = lanes;
  s.context->log->warn("pipeline {}: {}; set {}", s.context->config.name, found->reason, found->mend);
}

// Those of a pattern that are gone: they would take their share of the memory for ever. One that was only not listed is
// opened anew when it is given. False: there are none.
bool forget_topics(self_ptr self, const findings& f) {
  auto& s = self->state;
  if (!f.there || s.context->until_end) return false;
  std::set<std::string> kept = *f.there;
  for (const auto& p : s.assignment) kept.insert(p.topic);
  for (const auto& [name, l] : s.lanes) kept.insert(name.topic);
  if (std::erase_if(s.topics, [&](const auto& t) { return !kept.contains(t.first); }) == 0) return false;
  std::erase_if(s.gone_at, [&](const auto& t) { return !kept.contains(t.first); });
  std::erase_if(s.first_topics, [&](const auto& t) { return !kept.contains(t); }); // one made anew is new
  s.context->claims->keep_only(s.context->config.name, kept);
  for (auto& c : s.with.converters) self->send(c, msg::topics_kept{kept});
  return true;
}

void start_lanes(self_ptr self, const findings& f) {
  auto& s = self->state;
  for (auto& [name, t] : f.topics) {
    const auto before = s.topics[name];
    s.topics[name] = t;
    if (before.spec) { // columns that were described again since
      s.topics[name].spec = before.spec;
      s.topics[name].described = before.described;
    }
    s.context->board->table(s.context->config.name, t.dest->table_name);
  }
  // Topics of a pattern come and go: each partition's part of the memory must stay about what it was meant to be. Lanes
  // that run keep the fetcher, and the part, that they have.
  const bool fewer = forget_topics(self, f);
  const auto partitions = partitions_of(s.topics);
  const bool differs = partitions > 2 * s.fetched_partitions || (fewer && 2 * partitions < s.fetched_partitions);
  if (differs && !open_fetcher(self, partitions)) return;
  std::vector<lane_name> seats;
  auto troubles = f.troubles;
  // Lanes have all of a topic's partitions, or none: with fewer, the others would be read by nobody.
  for (auto& p : s.assignment)
    if (const auto t = s.topics.find(p.topic); t != s.topics.end() && p.partition.value >= t->second.partitions)
      troubles.try_emplace(p.topic, "the group gave its partition " + std::to_string(p.partition.value) +
                                        ", but a broker tells of " + std::to_string(t->second.partitions) + " only");
  for (auto& p : s.assignment) { // a member reads all partitions of the lanes whose seats it was given
    if (troubles.contains(p.topic)) continue;
    if (s.context->until_end && !s.until.contains(p.topic)) continue; // it came after the start
    if (p.partition.value < s.topics[p.topic].lanes) seats.push_back({p.topic, {p.partition.value}});
  }
  warn_of_memory(s, seats.size());
  for (auto& name : seats) {
    if (s.lanes.contains(name)) continue;
    auto actor = self->spawn(batcher, context_ptr(s.context), s.with,
                             setup_of(s, name.topic, s.topics[name.topic], name.lane, seats.size()));
    watch(self, actor);
    s.lanes[name] = {actor, f.number, false};
    self->send(actor, msg::control{msg::control::what::assign});
    // A topic that is made anew is often divided anew, too.
    if (auto gone = s.gone_at.find(name.topic); gone != s.gone_at.end() && mono_now() - gone->second < gone_news_ms)
      self->send(actor, msg::control{msg::control::what::look});
    if (s.paused) self->send(actor, msg::control{msg::control::what::pause});
    if (s.draining) self->send(actor, msg::control{msg::control::what::drain});
  }
  s.topics_wait_for.clear();
  for (auto& [name, why] : troubles) {
    const auto told = "topic " + name + " waits: " + why;
    tell_trouble(self, told);
    if (s.topics_wait_for.empty()) s.topics_wait_for = told;
  }
  if (troubles.size() > 1)
    s.topics_wait_for += " (and " + std::to_string(troubles.size() - 1) + " more of its topics wait)";
  show_running(self);
  if (troubles.empty()) s.troubles_told.clear();
  if (troubles.empty()) s.tries = 0;
  else if (!s.draining) s.retry_at = retry_after(s);
}

// --- ending ----------------------------------------------------------------------------------------------------------

void finish(self_ptr self) {
  auto& s = self->state;
  s.at = phase::over;
  order_all(self, msg::control::what::lose); // lanes that had stopped
  s.lanes.clear();
  if (s.with.keeper) self->send(s.with.keeper, msg::leave{});
  auto why = s.stopped_for;
  if (why.empty() && !s.lanes_stopped_for.empty()) why = s.lanes_stopped_for.begin()->second;
  const bool only_told = why.empty() && s.cut_short;
  if (only_told) why = "told to end before it was drained; the next start recovers what was under way";
  for (auto& c : s.with.converters) self->send_exit(c, caf::exit_reason::user_shutdown);
  if (s.with.inserters) self->send_exit(s.with.inserters, caf::exit_reason::user_shutdown);
  for (const auto& p : {s.with.clerks, s.with.rounds, s.with.helpers})
    self->send_exit(p, caf::exit_reason::user_shutdown);
  s.with = {};
  show(self, why.empty() ? shown::drained : shown::stopped, why);
  if (only_told) s.context->log->warn("pipeline {} stopped: {}", s.context->config.name, why);
  else if (!why.empty()) s.context->log->error("pipeline {} stopped: {}", s.context->config.name, why);
  else s.context->log->info("pipeline {} drained", s.context->config.name);
  self->quit();
}

// --until-end: whether this process brought every lane to its end.
bool drained_all(const pipeline_state& s) {
  for (auto& [topic, ends] : s.until) {
    auto t = s.topics.find(topic);
    auto lanes = t == s.topics.end() ? 0 : std::min(t->second.lanes, t->second.partitions);
    if (lanes == 0) return false;
    for (std::int32_t i = 0; i < lanes; ++i)
      if (!s.drained.count({topic, {i}})) return false;
  }
  return true;
}

// Lanes may lie with other members, perhaps with a dead one whose session is not over: its lanes come to us later. The
// end is where the group's offsets say so.
void ask_about_others(self_ptr self) {
  auto& s = self->state;
  auto now = mono_now();
  if (s.confirming || now < s.confirm_at) return;
  s.confirming = true;
  // Each question makes a client of its own, and the others may be at work for hours.
  s.confirm_pause = std::clamp<mono_ms>(2 * s.confirm_pause, confirm_least_ms, confirm_most_ms);
  s.confirm_at = now + s.confirm_pause;
  run_job(self, s.with.clerks, {},
          [c = context_ptr(s.context), until = s.until, me = pipeline_actor(self)](worker_tools&) {
            std::vector<kafka::topic_partition> parts;
            std::vector<std::int64_t> wanted;
            for (auto& [topic, ends] : until)
              for (auto& [partition, end] : ends)
                if (end > 0) parts.push_back({topic, {partition}}), wanted.push_back(end);
            const auto found = kafka::read_offsets(c->kafka_client(), c->config.group, parts, question_ms);
            bool all = true;
            for (std::size_t i = 0; i < parts.size(); ++i)
              all = all && found[i].what == kafka::committed_offset::status::found && found[i].next.value >= wanted[i];
            caf::anon_send(me, msg::others_drained{all});
          });
}

// Whether all that can be done is done.
void check_finished(self_ptr self) {
  auto& s = self->state;
  if (s.at == phase::over || s.revoking || !s.begin_anew.empty()) return;
  if (s.at == phase::ending && s.lanes.empty()) return finish(self);
  if (s.at != phase::running) return;
  bool all_over = true;
  for (auto& [name, l] : s.lanes) all_over &= l.stopped;
  if (!all_over || s.job_running || s.retry_at) return;
  if (s.draining) return finish(self);
  if (s.assigned_times == 0) return;
  if (!s.lanes.empty()) return any_left_over(s) ? void() : finish(self); // all of them stopped, and are still ours
  if (!s.context->until_end) return;
  if (drained_all(s)) return finish(self);
  ask_about_others(self);
}

void end_now(self_ptr self, const std::string& why) {
  auto& s = self->state;
  if (s.at == phase::over) return;
  if (s.stopped_for.empty()) {
    s.stopped_for = why;
    s.context->board->trouble(s.context->config.name, why);
  }
  s.at = phase::ending;
  s.revoking = false;
  s.begin_anew.clear();
  order_all(self, msg::control::what::lose);
  check_finished(self);
}

// --- messages --------------------------------------------------------------------------------------------------------

void on_prepared(self_ptr self, const msg::prepared& m) {
  auto& s = self->state;
  s.job_running = false;
  if (s.at == phase::over || s.at == phase::ending) return check_finished(self);
  auto f = std::static_pointer_cast<findings>(m.what);
  bool stale = s.at == phase::running && f->number != s.assignment_number;
  if (s.draining && s.at == phase::preparing) return finish(self);
  s.none_listed |= f->none_listed;
  if (!m.failure.empty() && !stale) {
    // Else it is one topic's, and the others go on, here or with other members.
    const auto& topics = s.context->config.topics;
    const bool only =
        s.at == phase::preparing || s.context->until_end || (topics.size() == 1 && !over_a_pattern(s.context->config));
    if (m.fatal && only && s.lanes.empty()) return end_now(self, m.failure);
    if (s.draining) return check_finished(self);
    s.retry_at = retry_after(s);
    tell_trouble(self, m.failure);
    if (s.lanes.empty()) {
      show(self, s.paused ? shown::paused : shown::waiting, m.failure);
    } else if (s.at == phase::running) {
      s.topics_wait_for = m.failure;
      show_running(self);
    }
    return;
  }
  if (s.at == phase::preparing) return join(self, *f);
  if (stale) return begin_if_free(self);
  start_lanes(self, *f);
  check_finished(self);
}

void on_assigned(self_ptr self, const msg::group_assigned& m) {
  auto& s = self->state;
  if (s.at != phase::running) return;
  s.assignment = m.partitions;
  s.assigned = true;
  ++s.assignment_number;
  ++s.assigned_times;
  s.retry_at = s.without_since = 0;
  s.lanes_stopped_for.clear(); // all lanes begin anew: one that is still wrong stops again
  s.group_trouble.clear();
  s.begin_anew.clear();
  s.grown_pause = 0;
  s.context->board->rebalanced(s.context->config.name);
  s.context->log->info("pipeline {}: the group gave {} partitions", s.context->config.name, m.partitions.size());
  if (m.partitions.empty()) {
    s.topics_wait_for.clear(); // they wait with others
    show_running(self);
  }
  begin_if_free(self);
  check_finished(self);
}

void check_revoked(self_ptr self) {
  auto& s = self->state;
  if (!s.revoking || !s.lanes.empty()) return;
  s.revoking = false;
  if (s.with.keeper) self->send(s.with.keeper, msg::revoke_done{});
  check_finished(self);
}

void on_revoked(self_ptr self, const msg::group_revoked& m) {
  auto& s = self->state;
  ++s.assignment_number;
  s.assignment.clear();
  s.assigned = false;
  s.begin_anew.clear();
  s.retry_at = 0;
  s.without_since = mono_now();
  if (s.at == phase::ending) return;
  // First of all: whoever has them next may begin already.
  order_all(self, m.lost ? msg::control::what::lose : msg::control::what::revoke);
  s.context->log->info("pipeline {}: the group {} its partitions", s.context->config.name,
                       m.lost ? "lost" : "takes back");
  s.revoke_deadline = mono_now() + revoke_limit_ms;
  if (m.lost) return;
  s.revoking = true;
  check_revoked(self);
}

bool has_lanes(const pipeline_state& s, const std::string& topic) {
  return std::any_of(s.lanes.begin(), s.lanes.end(), [&](const auto& l) { return l.first.topic == topic; });
}

void on_released(self_ptr self, const msg::lane_released& m) {
  auto& s = self->state;
  auto it = s.lanes.find(m.name);
  if (it == s.lanes.end()) return;
  self->demonitor(it->second.actor.address());
  if (m.drained) s.drained.insert(m.name);
  if (s.draining && !s.revoking && m.left_open) s.cut_short = true; // an insert of it may be running still
  s.lanes.erase(it);
  s.context->board->lane_gone(s.context->config.name, m.name.topic, m.name.lane);
  if (s.begin_anew.contains(m.name.topic) && !has_lanes(s, m.name.topic)) {
    s.begin_anew.erase(m.name.topic);
    s.lanes_stopped_for.erase(m.name.topic); // one that is still wrong stops again
    s.retry_at = mono_now();                 // the next tick begins what has no lanes
  }
  check_revoked(self);
  begin_if_free(self);
  check_finished(self);
}

// The topic may have been made anew: the other lanes' places may be in the new log, by chance.
void on_log_differed(self_ptr self, const msg::log_differed& m) {
  self->state.gone_at[m.name.topic] = mono_now();
  for (auto& [name, l] : self->state.lanes)
    if (name.topic == m.name.topic && name != m.name) self->send(l.actor, msg::control{msg::control::what::look});
}

void on_stopped(self_ptr self, const msg::lane_stopped& m) {
  auto& s = self->state;
  auto it = s.lanes.find(m.name);
  if (it == s.lanes.end()) return;
  it->second.stopped = true;
  const auto why = s.lanes_stopped_for[m.name.topic] =
      "topic " + m.name.topic + ", lane " + std::to_string(m.name.lane.value) + ": " + m.reason;
  s.context->board->trouble(s.context->config.name, why);
  if (s.job_running || s.retry_at || !s.begin_anew.empty()) return; // other topics are about to begin
  bool all = true;
  for (auto& [name, l] : s.lanes) all &= l.stopped;
  if (all && !s.revoking && !any_left_over(s)) end_now(self, why);
}

void on_refresh(self_ptr self, const msg::refresh_wanted& m) {
  auto& s = self->state;
  auto it = s.topics.find(m.name.topic);
  if (it == s.topics.end()) return;
  run_job(self, s.with.clerks, m.name.topic, [dest = it->second.dest, m, me = pipeline_actor(self)](worker_tools& t) {
    auto now = dest->describe_again(t);
    auto out = std::make_shared<std::pair<msg::refresh_wanted, result<decoder_spec_ptr>>>(m, std::move(now));
    caf::anon_send(me, msg::described{out});
  });
}

template <class T, class F> void ask_in_turn(self_ptr self, const round_ptr& round, std::vector<T> about, F&& ask) {
  if (about.empty() || round->under_way.exchange(true)) return;
  // Its last copy goes with the job, however that ends.
  std::shared_ptr<void> done(nullptr, [round](void*) { round->under_way = false; });
  run_job(self, self->state.with.rounds, {}, [=, about = std::move(about)](worker_tools& tools) {
    const auto until = mono_now() + round_limit_ms;
    const auto n = about.size(), first = round->next;
    for (std::size_t k = 0; k < n && mono_now() < until; ++k) {
      round->next = (first + k + 1) % n;
      ask(tools, about[(first + k) % n]);
    }
    (void)done;
  });
}

struct topic_lanes {
  std::string topic;
  topic_runtime of;
  std::vector<std::pair<lane_id, batcher_actor>> lanes; // of this process
};

std::vector<topic_lanes> topics_read(const pipeline_state& s, bool stopped_too) {
  std::vector<topic_lanes> out;
  for (const auto& [topic, t] : s.topics) {
    topic_lanes found{topic, t, {}};
    for (const auto& [name, l] : s.lanes)
      if (name.topic == topic && (stopped_too || !l.stopped)) found.lanes.emplace_back(name.lane, l.actor);
    if (!found.lanes.empty()) out.push_back(std::move(found));
  }
  return out;
}

// Columns that were added, or given another type, and another table under the name, are noticed without an insert that
// fails.
void look_at_columns(self_ptr self, mono_ms now) {
  auto& s = self->state;
  s.look_at = now + look_every_ms;
  ask_in_turn(self, s.looks, topics_read(s, true),
              [me = pipeline_actor(self)](worker_tools& tools, const topic_lanes& about) {
                const auto& t = about.of;
                if (const auto differ = t.dest->columns_differ(tools); !differ.ok() || !*differ) return;
                auto out = std::make_shared<std::pair<msg::refresh_wanted, result<decoder_spec_ptr>>>(
                    msg::refresh_wanted{{about.topic, {}}, 0}, t.dest->describe_again(tools));
                caf::anon_send(me, msg::described{out});
              });
}

void on_described(self_ptr self, const msg::described& m) {
  auto& s = self->state;
  auto& [wanted, now] = *std::static_pointer_cast<std::pair<msg::refresh_wanted, result<decoder_spec_ptr>>>(m.what);
  auto lane = s.lanes.find(wanted.name);
  auto topic = s.topics.find(wanted.name.topic);
  const bool asked = wanted.ticket != 0;                       // by a lane
  const auto answer = [&](bool same, const std::string& why) { // the lane may be gone: the columns are all lanes'
    if (asked && lane != s.lanes.end() && lane->second.actor.address() == wanted.from)
      self->send(lane->second.actor, msg::refreshed_table{wanted.ticket, same, why});
  };
  if (topic == s.topics.end()) return;
  if (!now.ok() && !asked) return s.context->log->warn("pipeline {}: {}", s.context->config.name, now.failure().text());
  if (!now.ok()) return answer(true, now.failure().text());
  auto& known = topic->second.spec;
  // Of two that were on their way the later one may have come first.
  auto& newest = topic->second.described;
  bool same = (*now)->fingerprint == known->fingerprint || (*now)->generation < newest;
  newest = std::max(newest, (*now)->generation);
  if (!same) {
    known = *now;
    s.context->log->info("pipeline {}: the columns of {} changed", s.context->config.name,
                         topic->second.dest->table_name);
    for (auto& [name, l] : s.lanes)
      if (name.topic == wanted.name.topic) self->send(l.actor, msg::new_columns{*now});
  }
  answer(same, {});
}

void on_order(self_ptr self, const msg::order& m) {
  auto& s = self->state;
  using what = enum msg::order::what;
  switch (m.order) {
  case what::drain:
    s.draining = true;
    if (s.at == phase::preparing && !s.job_running) return finish(self);
    show(self, shown::draining);
    s.retry_at = 0;
    s.begin_anew.clear();
    order_all(self, msg::control::what::drain);
    return check_finished(self);
  case what::stop:
    if (s.at == phase::over) return;
    s.cut_short |= std::any_of(s.lanes.begin(), s.lanes.end(), [](auto& l) { return !l.second.stopped; });
    s.at = phase::ending;
    s.begin_anew.clear();
    order_all(self, msg::control::what::lose);
    return check_finished(self);
  case what::pause:
  case what::resume:
    s.paused = m.order == what::pause;
    order_all(self, s.paused ? msg::control::what::pause : msg::control::what::resume);
    if (s.at == phase::running) show_running(self);
  }
}

// Lanes learn of the columns before the converter does: what it drops they read again.
void on_fields_found(self_ptr self, const msg::fields_found& m) {
  auto& s = self->state;
  auto topic = s.topics.find(m.topic);
  if (topic == s.topics.end()) return self->send(m.from, msg::fields_added{nullptr, {}});
  if (topic->second.spec->fingerprint != m.spec->fingerprint) // they were told already
    return self->send(m.from, msg::fields_added{topic->second.spec, {}});
  run_job(self, s.with.helpers, m.topic, [dest = topic->second.dest, m, me = pipeline_actor(self)](worker_tools& t) {
    auto now = dest->add_columns(t, m.fields);
    auto out = std::make_shared<std::pair<msg::refresh_wanted, result<decoder_spec_ptr>>>(
        msg::refresh_wanted{{m.topic, {}}, 0}, now);
    if (now.ok()) caf::anon_send(me, msg::described{out});
    // By way of the pipeline, which has told the lanes by then.
    caf::anon_send(
        me, msg::fields_answered{m.from, {now.ok() ? *now : nullptr, now.ok() ? std::string() : now.failure().text()}});
  });
}

// Tells the lanes how many inserts their table has seen, by all writers: a token is forgotten by count, too.
void count_blocks(self_ptr self, mono_ms now) {
  auto& s = self->state;
  s.count_at = now + count_every_ms;
  ask_in_turn(self, s.counts, topics_read(s, false), [](worker_tools& tools, const topic_lanes& about) {
    if (const auto n = about.of.dest->count_blocks(tools); n.all)
      for (const auto& [id, lane] : about.lanes) caf::anon_send(lane, msg::block_count{n});
  });
}

// What lags behind most is not read at all: while ClickHouse is away, a pipeline is paused, or a lane has stopped.
void ask_log_ends(self_ptr self, mono_ms now) {
  auto& s = self->state;
  s.ends_at = now + ends_every_ms;
  ask_in_turn(self, s.ends, topics_read(s, true), [](worker_tools& tools, const topic_lanes& about) {
    const auto n = about.of.partitions;
    const auto bounds = tools.kafka().bounds(all_partitions(about.topic, n), round_limit_ms);
    for (const auto& [id, lane] : about.lanes) {
      msg::log_ends found;
      for (std::size_t i = 0; i < lane_partition_count(id, about.of.lanes, n); ++i) {
        const auto p = lane_partition_id(id, about.of.lanes, i);
        if (const auto& b = bounds[static_cast<std::size_t>(p.value)]; b) found.ends.emplace_back(p, (*b).end);
      }
      caf::anon_send(lane, std::move(found));
    }
  });
}

// The group divides what one broker tells of, and a lane begins with what another one does: where that was older, what
// was added would be read by nobody until the group divides again.
void look_at_partitions(self_ptr self, mono_ms now) {
  auto& s = self->state;
  s.grown_at = now + grown_every_ms;
  if (s.context->until_end) return; // partitions that came after the start are not awaited
  ask_in_turn(self, s.grown, topics_read(s, true),
              [me = pipeline_actor(self)](worker_tools& tools, const topic_lanes& about) {
                const auto found = tools.kafka().topics({about.topic}, round_limit_ms);
                if (!found.ok() || found->size() != 1 || found->front().failure) return;
                const auto n = found->front().partitions;
                if (n > about.of.partitions && n > about.of.lanes) caf::anon_send(me, msg::topic_grew{about.topic, n});
              });
}

void on_grown(self_ptr self, const msg::topic_grew& m) {
  auto& s = self->state;
  const auto t = s.topics.find(m.topic);
  if (t == s.topics.end() || t->second.partitions >= m.partitions || !has_lanes(s, m.topic)) return;
  if (!may_begin(s) || s.job_running || s.draining || !s.begin_anew.insert(m.topic).second) return; // or the next look
  s.anew_deadline = mono_now() + revoke_limit_ms;
  // The broker that is asked when they begin may tell of the old number still.
  s.grown_pause = std::clamp(2 * s.grown_pause, grown_every_ms, grown_most_ms);
  s.grown_at = mono_now() + s.grown_pause;
  s.context->log->info("pipeline {}: topic {} has {} partitions, its lanes began with {}: they begin anew",
                       s.context->config.name, m.topic, m.partitions, t->second.partitions);
  for (auto& [name, l] : s.lanes)
    if (name.topic == m.topic) self->send(l.actor, msg::control{msg::control::what::revoke});
}

// Lanes that do not end in time are told to give up; those that do not even then would keep what others own by now.
void end_left_over(self_ptr self, mono_ms now) {
  auto& s = self->state;
  if (now >= s.revoke_deadline + lose_limit_ms) {
    end_now(self, "lanes whose partitions the group took back do not end; restart chute, and report this");
    return finish(self);
  }
  if (now >= s.revoke_deadline) order_all(self, msg::control::what::lose);
}

// What is under way is left to recovery then, as where the group takes partitions back.
void end_slow_anew(self_ptr self, mono_ms now) {
  auto& s = self->state;
  if (s.begin_anew.empty() || now < s.anew_deadline) return;
  for (auto& [name, l] : s.lanes)
    if (s.begin_anew.contains(name.topic)) self->send(l.actor, msg::control{msg::control::what::lose});
}

void lane_died(self_ptr self, const caf::actor_addr& who) {
  auto& s = self->state;
  for (auto it = s.lanes.begin(); it != s.lanes.end();) {
    const auto l = it++;
    if (l->second.actor.address() != who) continue;
    s.context->board->lane_gone(s.context->config.name, l->first.topic, l->first.lane);
    s.lanes.erase(l);
  }
}

// No lane says anything of a topic that has none yet.
void tell_slow_begin(self_ptr self, mono_ms now) {
  constexpr mono_ms slow_ms = 5'000;
  auto& s = self->state;
  if (!s.job_running || s.draining || s.paused || s.tries > 0 || !s.topics_wait_for.empty()) return;
  const auto at = s.job_at->now();
  if (now - at.since < slow_ms) return;
  const auto why = (at.topic.empty() ? "Kafka, which does not tell of the topics"
                                     : "topic " + at.topic + " to begin: ClickHouse or Kafka does not answer") +
                   " for more than 5 s";
  if (s.at == phase::preparing) return show(self, shown::waiting, why);
  s.topics_wait_for = why;
  show_running(self);
}

void on_tick(self_ptr self) {
  auto& s = self->state;
  if (s.at == phase::over) return;
  auto now = mono_now();
  if (s.retry_at && now >= s.retry_at && !s.job_running && !s.draining) {
    if (s.at == phase::preparing) start_prepare(self);
    else if (may_begin(s) && s.begin_anew.empty()) start_begin(self); // else with the partitions of before
  }
  tell_slow_begin(self, now);
  if (now >= s.count_at) count_blocks(self, now);
  if (now >= s.look_at) look_at_columns(self, now);
  if (now >= s.ends_at) ask_log_ends(self, now);
  if (now >= s.grown_at) look_at_partitions(self, now);
  end_slow_anew(self, now);
  if (s.without_since && now - s.without_since > rejoin_ms && s.at == phase::running && !s.draining && !s.paused) {
    s.without_since = 0;
    show(self, shown::starting, "the group " + s.context->config.group + " gives no partitions");
  }
  if (s.at == phase::running && any_left_over(s)) end_left_over(self, now);
  check_finished(self);
  if (s.at != phase::over) self->delayed_send(self, std::chrono::milliseconds(tick_every_ms), msg::tick{});
}

// What a handler threw ends the pipeline at once, by name: CAF takes the actor away behind it.
void fail(self_ptr self, const std::exception_ptr& what) {
  auto& s = self->state;
  if (s.at == phase::over) return;
  std::string why = "something that is no std::exception";
  try {
    std::rethrow_exception(what);
  } catch (const std::exception& e) {
    why = e.what();
  } catch (...) {
  }
  if (s.stopped_for.empty())
    s.stopped_for =
        "it could not go on: " + why + " (where that names threads or memory, raise their limit; restart chute)";
  s.context->board->trouble(s.context->config.name, s.stopped_for);
  finish(self);
}

} // namespace

pipeline_actor::behavior_type pipeline(self_ptr self, std::shared_ptr<pipeline_context> context,
                                       std::shared_ptr<store> opened_store) {
  auto& s = self->state;
  s.context = std::move(context);
  s.opened_store = std::move(opened_store);
  s.with.pipeline = pipeline_actor(self);
  const auto pool_of = [&](std::size_t few, std::size_t most) {
    auto p = self->spawn(pool, context_ptr(s.context), pool_size{few, most}, s.with.pipeline);
    watch(self, p);
    return p;
  };
  s.with.clerks = pool_of(2, 16);
  s.with.rounds = pool_of(3, 3);
  s.with.helpers = pool_of(2, 8);
  self->set_down_handler([=](const caf::down_msg& m) {
    if (!m.reason || m.reason == caf::exit_reason::user_shutdown) return;
    lane_died(self, m.source); // or it would be waited for
    end_now(self, "an actor of the pipeline died: " + to_string(m.reason));
  });
  // Nobody monitors this actor: the board would show for ever what it was doing when, say, no thread could be made.
  self->set_exception_handler([=](std::exception_ptr& what) -> caf::error {
    fail(self, what);
    return caf::exit_reason::unhandled_exception;
  });
  // Its actors are told to end, too.
  self->set_exit_handler([=](const caf::exit_msg&) {
    if (self->state.stopped_for.empty()) self->state.stopped_for = "it did not end in time";
    finish(self);
  });
  show(self, shown::starting);
  start_prepare(self);
  self->send(self, msg::tick{});
  return {
      [=](const msg::prepared& m) { on_prepared(self, m); },
      [=](const msg::described& m) { on_described(self, m); },
      [=](const msg::fields_found& m) { on_fields_found(self, m); },
      [=](const msg::fields_answered& m) { self->send(m.to, m.answer); },
      [=](const msg::others_drained& m) {
        self->state.confirming = false;
        if (m.all && self->state.at == phase::running && self->state.lanes.empty() && !self->state.revoking)
          finish(self);
      },
      [=](const msg::group_assigned& m) { on_assigned(self, m); },
      [=](const msg::group_revoked& m) { on_revoked(self, m); },
      [=](const msg::group_trouble& m) { tell_group_trouble(self, m.what); },
      [=](const msg::topic_grew& m) { on_grown(self, m); },
      [=](const msg::lane_released& m) { on_released(self, m); },
      [=](const msg::lane_stopped& m) { on_stopped(self, m); },
      [=](const msg::log_differed& m) { on_log_differed(self, m); },
      [=](const msg::refresh_wanted& m) { on_refresh(self, m); },
      [=](const msg::failed& m) { end_now(self, m.what); },
      [=](const msg::order& m) { on_order(self, m); },
      [=](const msg::tick&) {
        fault_point("pipeline_fails", fault_at::failure);
        on_tick(self);
      },
  };
}

} // namespace chute
