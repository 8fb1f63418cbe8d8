#include "actors/reader.hpp"

#include "actors/worker.hpp"
#include "formats/registry.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace chute {

namespace {

using self_ptr = reader_actor::stateful_pointer<reader_state>;
constexpr std::size_t records_max = 16'384; // in a chunk
constexpr std::int64_t many_left = 4'096;   // records: more than come while a fetch rests
constexpr std::chrono::seconds retry_after{1};
constexpr std::chrono::seconds begin_again_after{10}; // what cannot be read may be mended by then
constexpr std::chrono::seconds settled_after{2};      // what was on its way when a partition was stopped has come

read_error kind_of(const kafka::stream_error& e) {
  switch (e.what) {
  case kafka::stream_error::kind::out_of_range: return read_error::out_of_range;
  case kafka::stream_error::kind::unknown_topic: return read_error::unknown_topic;
  default: return read_error::other;
  }
}

// Where little comes in one chunk, the next is not taken before more has come. Not while the log's end was not seen:
// what is read again after a start is waited for.
void rest(self_ptr self, const kafka::raw_batch& raw, mono_ms now) {
  auto& s = self->state;
  s.caught_up = s.caught_up || raw.at_end;
  if (raw.at_end || raw.log_end >= 0) s.source->hurry(!raw.at_end && raw.log_end - raw.last.value > many_left);
  if (raw.records.empty()) return; // what comes next did not come within the moment since
  s.came_records += raw.records.size();
  s.came_bytes += raw.bytes;
  if (raw.more) return; // the rest of it is taken at the same moment, and says nothing of how fast they come
  const auto took = now - std::exchange(s.taken_at, now);
  const auto records = std::exchange(s.came_records, 0);
  const auto bytes = std::exchange(s.came_bytes, 0);
  if (!s.caught_up) return;
  const auto until = s.rhythm.rest_until(now, took, records, bytes);
  if (until <= now) return;
  s.resting = true;
  s.came->quiet = true;
  self->send(s.to, msg::reader_rests{s.where.partition, until});
}

void end_rest(self_ptr self) {
  self->state.resting = false;
  self->state.came->quiet = false;
}

void tell_end(self_ptr self, std::optional<offset_t> end) {
  auto& s = self->state;
  if (!std::exchange(s.told, true)) self->send(s.to, msg::nothing_to_read{s.epoch, s.where.partition, end});
}

// What the last fetch knew of is older than `end`: what lies behind that is not committed.
void tell_held_back(self_ptr self, offset_t end) {
  auto& s = self->state;
  const auto high = s.source && s.source->running() ? s.source->log_end() : -1;
  if (high > end.value) self->send(s.to, msg::held_back{s.epoch, s.where.partition, end, {high}});
}

// A stream that was halted begins again by way of its lane, which compares the log first.
void tell_failure(self_ptr self, const kafka::stream_error& f) {
  auto& s = self->state;
  const auto what = kind_of(f);
  self->send(s.to, msg::read_failure{s.epoch, s.where.partition, what, f.why.text()});
  if (what == read_error::other && f.halts())
    self->delayed_send(s.to, begin_again_after,
                       msg::read_failure{s.epoch, s.where.partition, read_error::halted, f.why.text()});
}

// Serves credits while there is something to take; else the queue's wake-up calls again.
void serve(self_ptr self) {
  auto& s = self->state;
  while (!s.credits.empty() && !s.resting && s.source && s.source->running()) {
    const auto since = s.came->since.exchange(0);
    const auto now = mono_now();
    auto raw = std::make_shared<kafka::raw_batch>(s.source->take(records_max, s.credits.front()));
    if (raw->failure) tell_failure(self, *raw->failure);
    rest(self, *raw, now);
    if (raw->last < raw->first) {
      if (raw->at_end) tell_end(self, raw->last + 1);
      if (raw->more) continue;
      return; // nothing passed: the credit waits
    }
    s.told = raw->at_end;
    s.credits.pop_front();
    self->send(s.converter,
               convert_request{raw, s.epoch, s.where.topic, s.where.partition, s.spec, s.to, since > 0 ? since : now});
  }
}

result<void> open(self_ptr self) {
  auto& s = self->state;
  if (s.source) return {};
  // The callback comes from librdkafka's threads and must not keep the actor alive.
  auto address = caf::actor_cast<caf::actor_addr>(self->ctrl());
  auto stream = s.fetcher->open_stream(s.where, [address, came = s.came] {
    mono_ms none = 0;
    if (came->since == 0) came->since.compare_exchange_strong(none, mono_now());
    if (came->quiet) return;
    if (auto a = caf::actor_cast<reader_actor>(address)) caf::anon_send(a, msg::wake{});
  });
  if (!stream.ok()) return stream.failure();
  s.source = std::move(*stream);
  return {};
}

// What cannot be begun is tried again: the credits that were given meanwhile wait.
void start(self_ptr self, const msg::read_from& m) {
  auto& s = self->state;
  if (m.epoch != s.epoch) s.credits.clear();
  s.epoch = m.epoch;
  s.spec = m.spec;
  s.stopped = s.caught_up = false;
  s.told = false;
  ++s.starts;
  end_rest(self);
  auto r = open(self);
  if (r.ok()) r = s.source->start(m.from);
  if (r.ok()) return serve(self);
  self->send(s.to, msg::read_failure{s.epoch, s.where.partition, read_error::other, r.failure().text()});
  tell_end(self, {});
  self->delayed_send(self, retry_after, msg::read_again{m, s.starts});
}

void stop(self_ptr self) {
  auto& s = self->state;
  s.credits.clear();
  s.stopped = true;
  if (!s.source) return;
  s.source->stop();
  self->delayed_send(self, settled_after, msg::wake{});
}

void wake(self_ptr self) {
  auto& s = self->state;
  if (s.stopped && s.source) return s.source->stop(); // once more, for what has come since
  serve(self);
}

} // namespace

reader_actor::behavior_type reader(self_ptr self, context_ptr context, std::shared_ptr<kafka::fetcher> fetcher,
                                   kafka::topic_partition where, converter_actor converter, batcher_actor to,
                                   pace rhythm) {
  auto& s = self->state;
  s.rhythm = rhythm;
  s.context = std::move(context);
  s.fetcher = std::move(fetcher);
  s.where = std::move(where);
  s.converter = std::move(converter);
  s.to = std::move(to);
  return {
      [=](const msg::read_from& m) { start(self, m); },
      [=](const msg::read_again& m) {
        const auto& s = self->state;
        if (m.number == s.starts && !s.stopped) start(self, m.what);
      },
      [=](const msg::take_chunk& m) {
        if (m.epoch != self->state.epoch) return;
        self->state.credits.push_back(m.bytes);
        serve(self);
      },
      [=](const msg::set_aside&) { stop(self); },
      [=](const msg::stop_reading&) { stop(self); },
      [=](const msg::anything_to_read& m) {
        serve(self);
        if (m.epoch == self->state.epoch && !self->state.credits.empty()) tell_end(self, {});
      },
      [=](const msg::committed_end& m) { tell_held_back(self, m.end); },
      [=](const msg::rested&) {
        end_rest(self);
        serve(self);
      },
      [=](const msg::wake&) { wake(self); },
  };
}

// --- converting ------------------------------------------------------------------------------------------------------

namespace {

using converter_ptr = converter_actor::stateful_pointer<converter_state>;
constexpr std::int64_t registry_limit_ms = 10'000; // for one request

// On a worker's thread. Some at a time, so that others get their turn: records that are none have an id each, and a
// registry can be slow.
msg::schemas_fetched fetch_schemas(worker_tools& tools, std::vector<std::uint32_t> ids, std::string missing,
                                   schema_cache& into) {
  constexpr std::size_t ids_at_once = 256;
  constexpr mono_ms at_once_ms = 3'000;
  const auto until = mono_now() + at_once_ms;
  const auto end = ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), ids_at_once));
  auto id = ids.begin();
  try {
    const registry_get get = [&](const std::string& path) { return get_schema(tools, path, registry_limit_ms); };
    for (; id != end && mono_now() < until; ++id) {
      auto f = fetch_schema(*id, get, into, mono_now());
      if (f.what == fetched_schema::verdict::later) return {false, f.why, {}, true};
      if (f.what == fetched_schema::verdict::missing) missing = f.why;
    }
  } catch (const std::exception& e) {
    return {false, e.what(), {}, true};
  }
  ids.erase(ids.begin(), id);
  const bool all = ids.empty() && missing.empty();
  return {all, std::move(missing), std::move(ids), false};
}

void ask_for(converter_ptr self, std::vector<std::uint32_t> ids, std::string missing = {}) {
  auto& s = self->state;
  s.fetching = true;
  run_job(self, s.helpers, {},
          [ids = std::move(ids), missing = std::move(missing), me = converter_actor(self), cache = s.context->schemas](
              worker_tools& tools) { caf::anon_send(me, fetch_schemas(tools, ids, missing, *cache)); });
}

// Names that are data (a key an order) would be remembered, and asked about, without end.
void forget_hopeless(converter_ptr self, const std::string& topic, const converter_state::decoding& d,
                     std::vector<new_field>& fields) {
  std::erase_if(fields, [&](const new_field& f) { return d.hopeless.contains(f.name); });
  if (fields.empty() || d.hopeless.size() < hopeless_max) return;
  fields.clear();
  auto& s = self->state;
  if (!s.told_hopeless.insert(topic).second) return;
  s.context->log->warn("pipeline {}: topic {}: {} fields have no column, nor can one be added for them: no more are "
                       "looked at until the table's columns change; are names data? Put them into one Map or JSON "
                       "column, or set on_new_field: ignore",
                       s.context->config.name, topic, d.hopeless.size());
}

// Its decoder; null: there can be none, which was told.
decoder* decoder_of(converter_ptr self, const convert_request& r) {
  auto& s = self->state;
  auto& d = s.by_topic[r.topic];
  if (d.spec == r.spec) return d.with.get();
  const auto& spec = *r.spec;
  auto made = spec.make ? make_decoder(spec.format, spec.make, spec.targets, spec.options)
                        : make_decoder(spec.format, spec.targets, spec.options);
  if (!made.ok()) {
    self->send(s.boss, msg::failed{made.failure().text()});
    return nullptr;
  }
  d.with = std::move(*made);
  d.spec = r.spec;
  d.hopeless.clear();
  return d.with.get();
}

void forget_others(converter_state& s, std::set<std::string> kept) {
  for (const auto& r : s.waiting) kept.insert(r.topic);
  std::erase_if(s.by_topic, [&](const auto& t) { return !kept.contains(t.first); });
  std::erase_if(s.told_hopeless, [&](const auto& t) { return !kept.contains(t); });
}

struct conversion {
  chunk_ptr out;                      // null: it had to wait, or there is no decoder
  std::vector<std::uint32_t> missing; // ids of schemas that it waits for
  std::vector<new_field> fields;      // without a column
};

conversion try_to_convert(converter_ptr self, const convert_request& r) {
  conversion c;
  auto* with = decoder_of(self, r);
  if (!with) return c;
  with->wanted_schemas(r.raw->records, c.missing);
  if (!c.missing.empty()) return c;
  auto out = std::make_shared<chunk>();
  out->topic = r.topic;
  out->partition = r.partition;
  out->first = r.raw->first;
  out->last = r.raw->last;
  out->arrived_at = r.arrived_at;
  out->at_end = r.raw->at_end;
  out->log_end = r.raw->end ? r.raw->end->value : r.raw->log_end;
  with->decode(r.raw->records, *r.raw, *out);
  c.fields = with->take_new_fields();
  forget_hopeless(self, r.topic, self->state.by_topic[r.topic], c.fields);
  c.out = std::move(out);
  return c;
}

// False: it waits for schemas, or for columns, which were asked for.
bool convert(converter_ptr self, const convert_request& r) {
  auto& s = self->state;
  auto c = try_to_convert(self, r);
  if (!c.missing.empty()) return ask_for(self, std::move(c.missing)), false;
  if (!c.fields.empty()) {
    s.held = c.out;
    s.fetching = true;
    for (const auto& f : c.fields) s.by_topic[r.topic].hopeless.insert(f.name);
    self->send(s.boss, msg::fields_found{r.topic, r.spec, std::move(c.fields), converter_actor(self)});
    return false;
  }
  if (c.out) self->send(r.to, msg::converted{r.epoch, c.out});
  return true;
}

// While the first one waits, others need not, if all is there that they need: those of each partition in their order.
// Where it waits for columns, all of its topic do: records of others may have the same fields.
void pass_over(converter_ptr self) {
  auto& s = self->state;
  const auto partition_of = [](const convert_request& r) { return std::pair(r.topic, r.partition); };
  const auto topic = s.held ? s.waiting.front().topic : std::string();
  s.blocked.insert(partition_of(s.waiting.front()));
  for (auto r = s.waiting.begin(); r != s.waiting.end();) {
    if (r->topic == topic || s.blocked.contains(partition_of(*r))) {
      ++r;
      continue;
    }
    auto c = try_to_convert(self, *r);
    if (!c.missing.empty() || !c.fields.empty()) {
      s.blocked.insert(partition_of(*r));
      continue;
    }
    if (c.out) self->send(r->to, msg::converted{r->epoch, c.out});
    r = s.waiting.erase(r);
  }
}

void convert_waiting(converter_ptr self) {
  auto& s = self->state;
  try {
    if (!s.fetching) s.blocked.clear();
    while (!s.waiting.empty() && !s.fetching && convert(self, s.waiting.front())) s.waiting.pop_front();
    if (!s.waiting.empty()) pass_over(self);
  } catch (const std::exception& e) {
    s.waiting.pop_front();
    s.held.reset();
    self->send(s.boss, msg::failed{std::string("a converter failed: ") + e.what()});
  }
}

// What the first one waits for may never come. Then its partition goes behind the others, who ask for what they need.
void ask_anew(converter_ptr self) {
  auto& s = self->state;
  s.fetching = false;
  s.held.reset();
  if (!std::exchange(s.may_last, false) || s.waiting.empty()) return convert_waiting(self);
  const auto first = std::pair(s.waiting.front().topic, s.waiting.front().partition);
  std::stable_partition(s.waiting.begin(), s.waiting.end(),
                        [&](const convert_request& r) { return std::pair(r.topic, r.partition) != first; });
  convert_waiting(self);
}

// Whose records wait is not delivered, and says why.
void tell_waiting(converter_ptr self, const std::string& why) {
  for (const auto& r : self->state.waiting)
    self->send(r.to, msg::read_failure{r.epoch, r.partition, read_error::unconverted, why});
}

// The chunk that waited goes on as it is if there is no column for it even now. Else its lane reads it again with the
// new ones, and all that waits of the old ones was asked for before that.
void on_added(converter_ptr self, const msg::fields_added& m) {
  auto& s = self->state;
  if (!s.held || s.waiting.empty()) return;
  if (!m.why.empty()) {
    const auto why = "columns of new fields: " + m.why, text = "waiting for " + why;
    s.context->log->warn("pipeline {}: {}", s.context->config.name, text);
    s.context->board->trouble(s.context->config.name, text);
    tell_waiting(self, why);
    s.by_topic[s.waiting.front().topic].hopeless.clear();
    s.may_last = true;
    self->delayed_send(self, std::chrono::seconds(2), msg::wake{});
    return;
  }
  const auto first = s.waiting.front();
  s.fetching = false;
  if (m.spec && m.spec->fingerprint == first.spec->fingerprint) {
    self->send(first.to, msg::converted{first.epoch, s.held});
    s.waiting.pop_front();
  } else std::erase_if(s.waiting, [&](const auto& r) { return r.spec == first.spec; });
  s.held.reset();
  convert_waiting(self);
}

void on_fetched(converter_ptr self, const msg::schemas_fetched& m) {
  auto& s = self->state;
  if (!m.left.empty()) {
    tell_waiting(self, "the schema registry: " + std::to_string(m.left.size()) + " more schemas are asked for");
    return ask_for(self, m.left, m.why);
  }
  if (m.all) {
    if (s.tries > 0) s.context->log->info("pipeline {}: the registry answers again", s.context->config.name);
    s.tries = 0;
    s.fetching = false;
    return convert_waiting(self);
  }
  s.may_last = m.later;
  const auto why = "the schema registry: " + m.why, text = "waiting for " + why;
  if (s.tries++ == 0) s.context->log->warn("pipeline {}: {}", s.context->config.name, text);
  s.context->board->trouble(s.context->config.name, text);
  tell_waiting(self, why);
  constexpr int second = 1'000, most = 10'000;
  self->delayed_send(self, std::chrono::milliseconds(std::min(most, second << std::min(s.tries - 1, 4))), msg::wake{});
}

} // namespace

void add_waiting(std::deque<convert_request>& waiting, bool at_work, const convert_request& r) {
  const auto dead = [&](const convert_request& w) {
    return w.topic == r.topic && w.partition == r.partition && (w.epoch != r.epoch || w.to != r.to);
  };
  const auto from = waiting.begin() + (at_work && !waiting.empty() ? 1 : 0);
  waiting.erase(std::remove_if(from, waiting.end(), dead), waiting.end());
  waiting.push_back(r);
}

converter_actor::behavior_type converter(converter_ptr self, context_ptr context, pipeline_actor boss,
                                         pool_actor helpers) {
  auto& s = self->state;
  s.context = std::move(context);
  s.boss = std::move(boss);
  s.helpers = std::move(helpers);
  return {
      [=](const convert_request& r) {
        add_waiting(self->state.waiting, self->state.fetching, r);
        convert_waiting(self);
      },
      [=](const msg::topics_kept& m) { forget_others(self->state, m.topics); },
      [=](const msg::schemas_fetched& m) { on_fetched(self, m); },
      [=](const msg::fields_added& m) { on_added(self, m); },
      [=](const msg::wake&) { ask_anew(self); },
  };
}

} // namespace chute
