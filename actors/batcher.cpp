#include "actors/batcher.hpp"

#include "actors/destination.hpp"
#include "actors/fault_point.hpp"
#include "actors/reader.hpp"
#include "actors/worker.hpp"

#include <functional>
#include <set>

namespace chute {

namespace {

using self_ptr = batcher_actor::stateful_pointer<batcher_state>;

constexpr mono_ms heartbeat_ms_max = 1'000;
constexpr mono_ms publish_every_ms = 200;

// A process that slept notices it by a gap of half the session time-out between two events: an idle lane needs some.
mono_ms heartbeat_ms(const batcher_state& s) {
  return std::clamp<mono_ms>(s.setup.config.session_timeout_ms / 8, 20, heartbeat_ms_max);
}

// Blocking work: the job answers with a message; what it throws becomes that message too.
template <class F> void run_job(self_ptr self, const pool_actor& by, F&& work) {
  run_job(self, by, self->state.setup.name.topic, std::forward<F>(work));
}

// --- effects ---------------------------------------------------------------------------------------------------------

// Of a lane that did not begin yet on this cluster. All such lanes hold together: one whose partitions have no rows
// would go on alone, and what it wrote would hide that the others' rows are another cluster's.
void look_elsewhere(worker_tools& t, destination& dest, const topic_start& start, lane_id lane, lane_loaded& out) {
  const auto then = static_cast<std::int32_t>(start.from.size()); // partitions; a lane that came later is new
  if (out.marked || lane.value >= then) return;
  const std::set<lane_id> begun(start.begun.begin(), start.begun.end());
  std::vector<partition_id> others;
  for (std::int32_t p = 0; p < then; ++p)
    if (!begun.contains({p % start.lanes})) others.push_back({p});
  const auto other = dest.began_elsewhere(t, others);
  if (other.ok()) out.elsewhere = *other;
  else out.what = lane_loaded::state::failed, out.why = other.failure().text();
}

void perform(self_ptr self, const fx_load& fx) {
  auto& s = self->state;
  // chute_starts is read before the store: a lane that began in between is then found in the store.
  run_job(self, s.with.clerks,
          [to = batcher_actor(self), dest = s.setup.dest, c = s.setup.config, fx](worker_tools& t) {
            auto partly = std::make_shared<lane_loaded>();
            if (auto start = dest->read_start(t); !start.ok()) partly->why = start.failure().text();
            else if (!start->known) partly->why = "chute_starts has no row of this pipeline yet";
            else {
              partly->what = lane_loaded::state::absent;
              partly->marked = std::find(start->begun.begin(), start->begun.end(), c.lane) != start->begun.end();
              auto n = lane_partition_count(c.lane, c.lanes, c.topic_partitions);
              for (std::size_t i = 0; i < n; ++i) { // a partition added later begins at its log's beginning
                auto p = static_cast<std::size_t>(lane_partition_id(c.lane, c.lanes, i).value);
                partly->start.push_back(p < start->from.size() ? start->from[p] : offset_t{0});
              }
              look_elsewhere(t, *dest, *start, c.lane, *partly);
            }
            caf::anon_send(to, msg::starts_read{fx.ticket, partly});
          });
}

lane_key key_of(const batcher_state& s) {
  return {s.context->cluster_id, s.context->config.group, s.context->config.name, s.setup.name.topic,
          s.setup.name.lane};
}

void perform(self_ptr self, const fx_inspect& fx) {
  auto& s = self->state;
  run_job(self, s.with.clerks,
          [to = batcher_actor(self), topic = s.setup.name.topic, limit = s.setup.config.question_limit_ms,
           fx](worker_tools& t) {
            auto facts = std::make_shared<log_facts>();
            facts->answered = true;
            std::vector<kafka::topic_partition> parts;
            std::vector<kafka::partition_offset> places;
            for (auto& p : fx.probes) {
              parts.push_back({topic, p.partition});
              if (p.at && p.at->value >= 0) places.push_back({parts.back(), *p.at});
            }
            for (auto& b : t.kafka().bounds(parts, limit)) {
              if (b.ok()) facts->parts.push_back({b->begin, b->end, log_facts::part::recognised::not_asked});
              else {
                facts->answered = false;
                facts->why = b.failure().text();
                facts->parts.push_back({});
              }
            }
            auto found =
                places.empty() || !facts->answered ? std::vector<kafka::record_at>{} : t.kafka().read(places, limit);
            std::size_t n = 0;
            using seen_as = log_facts::part::recognised;
            using status = kafka::record_at::status;
            for (std::size_t i = 0; facts->answered && i < fx.probes.size(); ++i) {
              auto& p = fx.probes[i];
              if (!p.at || p.at->value < 0) continue;
              auto& f = found[n++];
              auto& out = facts->parts[i].known;
              if (f.what == status::found)
                out = static_cast<std::uint32_t>(f.hash) == p.hash ? seen_as::same : seen_as::differs;
              else if (f.what == status::failed) {
                facts->answered = false;
                facts->why = f.why ? f.why->text() : "Kafka did not answer";
              } else out = seen_as::gone; // deleted, compacted away or damaged: it says nothing
            }
            caf::anon_send(to, msg::inspected_log{fx.ticket, facts});
          });
}

void perform(self_ptr self, const fx_ask& fx) {
  run_job(self, self->state.with.clerks,
          [to = batcher_actor(self), dest = self->state.setup.dest, fx](worker_tools& t) {
            bool running = false;
            auto answer = std::make_shared<table_answer>(dest->ask(t, fx, running));
            caf::anon_send(to, msg::answered_question{fx.ticket, answer, running});
          });
}

// Whether it says that something is done which the record before did not.
bool advances(const lane_record& before, const fx_save& fx) {
  for (std::size_t i = 0; i < fx.offsets.size() && i < before.partitions.size(); ++i)
    if (fx.offsets[i].second > before.partitions[i].next) return true;
  return false;
}

void perform(self_ptr self, const fx_save& fx) {
  auto& s = self->state;
  if (advances(s.machine->record(), fx)) fault_point("acknowledged_not_saved");
  save_request r{key_of(s), fx.expected, {fx.version, fx.text}, {}};
  for (auto& [partition, next] : fx.offsets) r.offsets.push_back({partition, next});
  self->send(s.with.keeper, msg::save_lane{fx.ticket, std::move(r), self->address()});
}

void perform(self_ptr self, const fx_mark_started& fx) {
  auto& s = self->state;
  run_job(self, s.with.clerks,
          [to = batcher_actor(self), dest = s.setup.dest, lane = s.setup.name.lane, fx](worker_tools& t) {
            auto r = dest->mark_lane(t, lane);
            caf::anon_send(to, msg::marked_lane{fx.ticket, r.ok(), r.ok() ? std::string() : r.failure().text()});
          });
}

// What is read up to an end is not waited for.
pace pace_of(const batcher_state& s) {
  if (!s.setup.config.until.empty()) return {};
  return pace::of(s.setup.config.batch.wait_ms, static_cast<std::uint64_t>(s.setup.name.lane.value),
                  s.with.fetcher->share().queue);
}

void perform(self_ptr self, const fx_read& fx) {
  auto& s = self->state;
  auto it = s.readers.find(fx.partition);
  if (it == s.readers.end()) {
    // Not by the partition alone: many topics have one partition each.
    const auto which = std::hash<std::string>{}(s.setup.name.topic) + static_cast<std::size_t>(fx.partition.value);
    auto& converter = s.with.converters[which % s.with.converters.size()];
    auto r = self->spawn(reader, s.context, s.with.fetcher, kafka::topic_partition{s.setup.name.topic, fx.partition},
                         converter, batcher_actor(self), pace_of(s));
    self->monitor(r);
    it = s.readers.emplace(fx.partition, r).first;
  }
  self->send(it->second, msg::read_from{fx.epoch, fx.from, s.setup.spec});
}

void perform(self_ptr self, const fx_take& fx) {
  auto it = self->state.readers.find(fx.partition);
  if (it != self->state.readers.end()) self->send(it->second, msg::take_chunk{fx.epoch, fx.bytes});
}

void perform(self_ptr self, const fx_ask_reader& fx) {
  auto it = self->state.readers.find(fx.partition);
  if (it != self->state.readers.end()) self->send(it->second, msg::anything_to_read{fx.epoch});
}

void perform(self_ptr self, const fx_set_aside& fx) {
  auto it = self->state.readers.find(fx.partition);
  if (it != self->state.readers.end()) self->send(it->second, msg::set_aside{});
}

void perform(self_ptr self, const fx_stop_reading&) {
  for (auto& [p, r] : self->state.readers) self->send(r, msg::stop_reading{});
}

void perform(self_ptr self, const fx_insert& fx) {
  auto& s = self->state;
  run_job(self, s.with.inserters, [to = batcher_actor(self), dest = s.setup.dest, fx](worker_tools& t) {
    auto word = fx.word_mono;
    if (mono_now() >= word) {
      word = mono_now() + server_word_ms;
      if (auto no = dest->restarted(t, fx.started_before))
        return caf::anon_send(to, msg::inserted_batch{fx.ticket, *no});
    }
    // Asked directly before the request goes out, on whatever connection: a process that slept must not send.
    auto holds = [&fx, word] { return mono_now() < std::min(fx.lease_mono, word) && wall_now() < fx.lease_wall; };
    fault_point("before_insert");
    if (fx.dead_letters) fault_point("in_dead_letter", fault_at::soon);
    auto answer = fx.dead_letters ? dest->insert_dead_letters(t, *fx.what, holds) : dest->insert_rows(t, fx, holds);
    if (answer.what == insert_answer::verdict::acknowledged) fault_point("applied_not_acknowledged");
    caf::anon_send(to, msg::inserted_batch{fx.ticket, answer});
  });
}

void perform(self_ptr self, const fx_refresh& fx) {
  self->send(self->state.with.pipeline, msg::refresh_wanted{self->state.setup.name, fx.ticket, self->address()});
}

void perform(self_ptr self, const fx_forgotten& fx) {
  self->send(self->state.with.keeper, msg::lane_forgotten{fx.save_outstanding});
}

void perform(self_ptr self, const fx_released& fx) {
  auto& s = self->state;
  s.over = true;
  s.drained = fx.drained;
  s.left_open = fx.left_open;
  s.context->board->lane(s.context->config.name, s.machine->status(), s.machine->counters());
}

void perform(self_ptr self, const fx_stopped& fx) {
  auto& s = self->state;
  s.context->log->error("pipeline {}: topic {}, lane {} stopped: {}", s.context->config.name, s.setup.name.topic,
                        s.setup.name.lane.value, fx.reason);
  self->send(s.with.pipeline, msg::lane_stopped{s.setup.name, fx.reason});
}

// --- after each event ------------------------------------------------------------------------------------------------

void publish(self_ptr self, mono_ms now) {
  auto& s = self->state;
  auto phase = s.machine->phase();
  if (phase == s.published_phase && s.machine->waiting_for() == s.published_wait &&
      now - s.published_at < publish_every_ms)
    return;
  auto status = s.machine->status();
  if (status.waiting_for != s.published_wait && !status.waiting_for.empty())
    s.context->log->info("pipeline {}: topic {}, lane {} waits for {}", s.context->config.name, s.setup.name.topic,
                         s.setup.name.lane.value, status.waiting_for);
  s.published_phase = phase;
  s.published_wait = status.waiting_for;
  s.published_at = now;
  s.context->board->lane(s.context->config.name, status, s.machine->counters());
}

// The partitions are free only once their readers have ended: whoever is given the lane next reads them anew.
void end_if_unread(self_ptr self) {
  auto& s = self->state;
  if (!s.over || !s.readers.empty()) return;
  self->send(s.with.pipeline, msg::lane_released{s.setup.name, s.drained, s.left_open});
  self->quit();
}

void end(self_ptr self) {
  for (auto& [p, r] : self->state.readers) self->send_exit(r, caf::exit_reason::user_shutdown);
  end_if_unread(self);
}

void on_reader_down(self_ptr self, const caf::down_msg& m) {
  auto& s = self->state;
  // Readers end only when they are told to; one that died of an error takes its lane's pipeline along.
  if (m.reason && m.reason != caf::exit_reason::user_shutdown)
    self->send(s.with.pipeline, msg::failed{"a partition reader died: " + to_string(m.reason)});
  std::erase_if(s.readers, [&](const auto& r) { return r.second.address() == m.source; });
  end_if_unread(self);
}

// A timer costs more than a message: one for the lane and its readers, whose rests end together, at a moment that lanes
// share, so that the threads that find work find more of it, and the saves of several lanes are one commit.
void schedule(self_ptr self, mono_ms now) {
  auto& s = self->state;
  const auto beat = heartbeat_ms(s);
  const auto grain = std::clamp<mono_ms>(s.setup.config.batch.wait_ms / 100, 1, 10);
  auto at = std::min(s.machine->next_wake(), (now / beat + 1) * beat);
  if (!s.resting.empty()) at = std::min(at, s.resting.begin()->first);
  at = (std::max(at, now + 1) + grain - 1) / grain * grain;
  if (at >= s.wake_at) return; // the tick under way comes before, or is here already
  s.wake_at = at;
  self->delayed_send(self, std::chrono::milliseconds(at - now), msg::tick{++s.tick_number});
}

void end_rests(self_ptr self, mono_ms now) {
  auto& s = self->state;
  while (!s.resting.empty() && s.resting.begin()->first <= now) {
    auto it = s.readers.find(s.resting.begin()->second);
    if (it != s.readers.end()) self->send(it->second, msg::rested{});
    s.resting.erase(s.resting.begin());
  }
}

void after_event(self_ptr self) {
  auto& s = self->state;
  // Effects may lead to effects only through messages: one pass is enough.
  for (auto& fx : s.machine->take_effects()) std::visit([&](const auto& f) { perform(self, f); }, fx);
  if (s.over) return end(self);
  auto now = mono_now();
  publish(self, now);
  schedule(self, now);
}

// Every handler: an event into the machine, then its effects. What it throws stops the pipeline, by name.
template <class F> void event(self_ptr self, F&& f) {
  auto& s = self->state;
  if (s.over) return;
  try {
    fault_point("lane_fails", fault_at::failure);
    if (const auto& m = s.setup.memory) {
      s.machine->set_gather_limit(gather_limit(m->budget(), m->held(), s.setup.lanes, s.setup.config.gather_bytes_max,
                                               s.setup.config.batch.bytes));
      s.machine->set_build_room(m->build_room());
    }
    f(*s.machine, s.context->clock->now());
    s.count({s.machine->held_bytes(), s.machine->wanted_bytes(mono_now())});
    after_event(self);
  } catch (const std::exception& e) {
    s.over = true;
    self->send(s.with.pipeline, msg::failed{e.what()});
    end(self); // or the pipeline would wait for this lane
  }
}

void on_tick(self_ptr self, const msg::tick& m) {
  auto& s = self->state;
  if (m.number != s.tick_number || s.over) return; // an earlier one was sent since
  s.wake_at = INT64_MAX;
  end_rests(self, mono_now());
  event(self, [&](lane& l, instant now) { l.tick(now); });
}

void on_control(self_ptr self, const msg::control& m) {
  using order = enum msg::control::what;
  event(self, [&](lane& l, instant now) {
    switch (m.order) {
    case order::assign: return l.assign(now);
    case order::revoke: return l.revoke(now);
    case order::lose: return l.lose(now);
    case order::drain: return l.drain(now);
    case order::pause: return l.pause(true);
    case order::resume: return l.pause(false);
    case order::look: return l.log_suspected(now);
    }
  });
}

void on_starts(self_ptr self, const msg::starts_read& m) {
  auto& s = self->state;
  if (!m.partly->why.empty()) return event(self, [&](lane& l, instant now) { l.loaded(now, m.ticket, *m.partly); });
  const auto& c = s.setup.config;
  std::vector<partition_id> partitions;
  for (std::size_t i = 0; i < lane_partition_count(c.lane, c.lanes, c.topic_partitions); ++i)
    partitions.push_back(lane_partition_id(c.lane, c.lanes, i));
  self->send(s.with.keeper, msg::load_lane{m.ticket, key_of(s), std::move(partitions), m.partly, self->address()});
}

void on_converted(self_ptr self, const msg::converted& m) {
  if (m.data->fields_ignored)
    self->state.context->board->ignored(self->state.context->config.name, m.data->fields_ignored);
  event(self, [&](lane& l, instant now) { l.chunk_arrived(now, m.epoch, m.data); });
}

// What lies behind the end of what is committed, only those know who read there.
void on_log_ends(self_ptr self, const msg::log_ends& m) {
  event(self, [&](lane& l, instant now) { l.log_ends(now, m.ends); });
  for (const auto& [p, end] : m.ends)
    if (auto it = self->state.readers.find(p); it != self->state.readers.end())
      self->send(it->second, msg::committed_end{end});
}

} // namespace

batcher_actor::behavior_type batcher(self_ptr self, context_ptr context, services with, lane_setup setup) {
  auto& s = self->state;
  s.context = std::move(context);
  s.with = std::move(with);
  s.setup = std::move(setup);
  fault_point("lane_dies", fault_at::failure);
  s.machine = std::make_unique<lane>(s.setup.config, s.random);
  self->set_down_handler([=](const caf::down_msg& m) { on_reader_down(self, m); });
  return {
      [=](const msg::converted& m) { on_converted(self, m); },
      [=](const msg::nothing_to_read& m) {
        event(self, [&](lane& l, instant now) { l.end_seen(now, m.epoch, m.partition, m.end); });
      },
      [=](const msg::reader_rests& m) {
        self->state.resting.emplace(m.until, m.partition);
        if (!self->state.over) schedule(self, mono_now());
      },
      [=](const msg::read_failure& m) {
        if (m.what == read_error::out_of_range || m.what == read_error::unknown_topic)
          self->send(self->state.with.pipeline, msg::log_differed{self->state.setup.name});
        event(self, [&](lane& l, instant now) { l.read_failed(now, m.epoch, m.partition, m.what, m.why); });
      },
      [=](const msg::loaded_lane& m) { event(self, [&](lane& l, instant now) { l.loaded(now, m.ticket, *m.what); }); },
      [=](const msg::starts_read& m) { on_starts(self, m); },
      [=](const msg::inspected_log& m) {
        event(self, [&](lane& l, instant now) { l.inspected(now, m.ticket, *m.facts); });
      },
      [=](const msg::saved_lane& m) {
        event(self, [&](lane& l, instant now) { l.saved(now, m.ticket, m.outcome, m.why); });
      },
      [=](const msg::marked_lane& m) {
        event(self, [&](lane& l, instant now) { l.marked_started(now, m.ticket, m.ok, m.why); });
      },
      [=](const msg::inserted_batch& m) {
        event(self, [&](lane& l, instant now) { l.inserted(now, m.ticket, m.answer); });
      },
      [=](const msg::answered_question& m) {
        event(self, [&](lane& l, instant now) { l.answered(now, m.ticket, *m.answer, m.token_running); });
      },
      [=](const msg::refreshed_table& m) {
        event(self, [&](lane& l, instant now) { l.refreshed(now, m.ticket, m.same, m.why); });
      },
      [=](const msg::new_columns& m) {
        self->state.setup.spec = m.spec;
        event(self, [&](lane& l, instant now) { l.columns_changed(now, m.spec->fingerprint); });
      },
      [=](const msg::control& m) { on_control(self, m); },
      [=](const msg::log_ends& m) { on_log_ends(self, m); },
      [=](const msg::held_back& m) {
        event(self, [&](lane& l, instant now) { l.held_back(now, m.epoch, m.partition, m.end, m.high); });
      },
      [=](const msg::block_count& m) { event(self, [&](lane& l, instant now) { l.set_blocks(m.blocks, now); }); },
      [=](const msg::tick& m) { on_tick(self, m); },
  };
}

} // namespace chute
