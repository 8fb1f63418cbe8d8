#include "actors/keeper.hpp"

#include "actors/batcher.hpp"
#include "actors/fault_point.hpp"
#include "actors/group_log.hpp"
#include "core/record.hpp"
#include "kafka/inspect.hpp"
#include "state/offset_note.hpp"

#include <algorithm>

namespace chute {

namespace {

using self_ptr = keeper_actor::stateful_pointer<keeper_state>;

constexpr std::int64_t store_limit_ms = 5'000;
constexpr mono_ms poll_every_ms = 500; // at the least; wake-ups come besides
constexpr mono_ms ask_members_every_ms = 500;
constexpr mono_ms idle_ms_first = 10'000, idle_ms_then = 30'000;
// What nobody reads: seen twice so far apart. Dividing anew stops all lanes for a moment, and may not help.
constexpr std::int64_t look_limit_ms = 1'000;
constexpr mono_ms unread_look_ms = 30'000, divide_least_ms = 120'000, divide_most_ms = 3'600'000;
constexpr mono_ms answers_ms = 2'000;         // for offsets beside another store, before partitions are given back
constexpr std::uint64_t timer = 0, flush = 1; // ticks
constexpr std::size_t events_a_poll = 64;

// --- the group -------------------------------------------------------------------------------------------------------

void open_group(self_ptr self) {
  auto& s = self->state;
  kafka::group_options o;
  o.client = s.context->kafka_client();
  o.group = s.context->config.group;
  o.topics = s.context->config.topics;
  auto address = caf::actor_cast<caf::actor_addr>(self->ctrl());
  o.wake = [address] {
    if (auto a = caf::actor_cast<keeper_actor>(address)) caf::anon_send(a, msg::wake{});
  };
  auto group = kafka::group_member::open(std::move(o));
  if (!group.ok()) return self->send(s.pipeline, msg::failed{group.failure().text()});
  s.group = std::move(*group);
  if (s.group_is_store) {
    s.log = std::make_unique<group_log>(*s.group);
    s.keeps = make_kafka_store(*s.log);
  }
}

std::string smallest_id(const std::vector<kafka::group_member_info>& members) {
  std::string out;
  for (const auto& m : members)
    if (out.empty() || m.member_id < out) out = m.member_id;
  return out;
}

// It ends where they have not gone after so many patiences; never after none. One that has died stays for a session.
void wait_alone(self_ptr self, const result<std::vector<kafka::group_member_info>>& members, int patiences) {
  auto& s = self->state;
  const auto now = mono_now();
  if (!members.ok()) {
    s.waiting_since = 0; // a coordinator that comes back gives dead members a session anew
    return self->send(s.pipeline, msg::group_trouble{members.failure().text()});
  }
  if (s.waiting_since == 0) s.waiting_since = now;
  const auto who = " the group " + s.context->config.group + " has " + kafka::to_string(*members);
  const auto patience = s.context->session_timeout_ms + 10'000;
  if (patiences > 0 && now - s.waiting_since > patiences * patience)
    return self->send(s.pipeline, msg::failed{"state: the file store is for one process, but" + who +
                                              "; stop them, or use another store"});
  self->send(s.pipeline, msg::group_trouble{"the file store is for one process, and" + who + ": waits for them to go"});
}

// A file is one machine's: nobody else may be in the group, once a predecessor's session is over.
void join_alone(self_ptr self) {
  auto& s = self->state;
  auto now = mono_now();
  if (now < s.ask_members_at) return;
  s.ask_members_at = now + ask_members_every_ms;
  auto inspector = kafka::inspector::open(s.context->kafka_client());
  if (!inspector.ok()) return self->send(s.pipeline, msg::failed{inspector.failure().text()});
  auto members = (*inspector)->group_members(s.context->config.group, store_limit_ms);
  if (members.ok() && members->empty()) {
    s.waiting_since = 0;
    return open_group(self);
  }
  wait_alone(self, members, 1);
}

// A member that came in the same moment as this one was not there to be waited for. No lane begins before that is
// known: its record would be missed, as if it were lost.
void begin_alone(self_ptr self) {
  auto& s = self->state;
  const auto now = mono_now();
  if (!s.held_back || now < s.ask_members_at) return;
  s.ask_members_at = now + ask_members_every_ms;
  auto inspector = kafka::inspector::open(s.context->kafka_client());
  // A moment without threads or files: later.
  if (!inspector.ok()) return self->send(s.pipeline, msg::group_trouble{inspector.failure().text()});
  auto members = (*inspector)->group_members(s.context->config.group, store_limit_ms);
  if (members.ok() && members->size() <= 1) {
    s.waiting_since = 0;
    s.has_begun = true;
    return self->send(s.pipeline, msg::group_assigned{*std::exchange(s.held_back, {})});
  }
  // Who was at work does not end because somebody looked at its group. Of two that came at once the smaller id stays:
  // it waits longer, and ends only where the other one does not, which had begun before this one came.
  const bool smaller = members.ok() && smallest_id(*members) == s.group->member_id();
  wait_alone(self, members, s.has_begun ? 0 : smaller ? 2 : 1);
}

void make_anew(self_ptr self, const std::string& why) {
  auto& s = self->state;
  s.owners.clear();
  s.held_back.reset();
  s.has_begun = false;
  s.waiting_since = 0;
  s.look_at_all_at = 0;
  s.context->log->warn("pipeline {}: leaves its group and joins anew: {}", s.context->config.name, why);
  self->send(s.pipeline, msg::group_revoked{true});
  if (auto r = s.group->rejoin(); !r.ok()) self->send(s.pipeline, msg::failed{r.failure().text()});
}

void on_assigned(keeper_state& s, const std::vector<kafka::topic_partition>& partitions) {
  const auto now = mono_now();
  s.owners.clear();
  s.given = {partitions.begin(), partitions.end()};
  s.idle_since = partitions.empty() ? now : 0;
  s.look_at_all_at = now + unread_look_ms;
}

void handle(self_ptr self, kafka::group_event& e) {
  auto& s = self->state;
  if (auto* a = std::get_if<kafka::assigned>(&e)) on_assigned(s, a->partitions);
  else if (std::holds_alternative<kafka::revoked>(e) || std::holds_alternative<kafka::lost>(e)) {
    s.idle_since = s.look_at_all_at = 0;
    s.revoked_by = 0; // of a revocation before it
    s.held_back.reset();
    if (std::holds_alternative<kafka::lost>(e)) {
      s.owners.clear();
      s.has_begun = false; // another may have begun since
      s.waiting_since = 0; // this member's own former self stays for a session
    }
  }
  if (auto* a = std::get_if<kafka::assigned>(&e)) {
    if (s.context->top.state.store != store_kind::file)
      return self->send(s.pipeline, msg::group_assigned{std::move(a->partitions)});
    s.held_back = std::move(a->partitions);
    s.ask_members_at = 0;
    return begin_alone(self);
  }
  if (std::holds_alternative<kafka::revoked>(e)) return self->send(s.pipeline, msg::group_revoked{false});
  if (std::holds_alternative<kafka::lost>(e)) return self->send(s.pipeline, msg::group_revoked{true});
  if (auto* t = std::get_if<kafka::trouble>(&e)) return self->send(s.pipeline, msg::group_trouble{t->what.text()});
  if (auto* b = std::get_if<kafka::broken>(&e)) return make_anew(self, b->what.text());
}

struct divided {
  bool known = false, any_given = false;
  std::string unread;   // a partition that nobody was given; empty: there is none
  std::string smallest; // of the members' ids
};

// How the group divided the partitions of its topics.
divided look_at_division(const pipeline_context& context, std::int64_t limit_ms) {
  divided out;
  auto inspector = kafka::inspector::open(context.kafka_client());
  if (!inspector.ok()) return out;
  auto topics = (*inspector)->topics(context.config.topics, limit_ms);
  auto members = (*inspector)->group_members(context.config.group, limit_ms);
  if (!topics.ok() || !members.ok()) return out;
  std::set<kafka::topic_partition> given;
  for (const auto& m : *members) given.insert(m.partitions.begin(), m.partitions.end());
  out.smallest = smallest_id(*members);
  out.known = true;
  out.any_given = !given.empty();
  for (const auto& t : *topics)
    for (std::int32_t p = 0; !t.failure && out.unread.empty() && p < t.partitions; ++p)
      if (const kafka::topic_partition where{t.name, {p}}; !given.contains(where)) out.unread = kafka::to_string(where);
  return out;
}

// The member that divides the partitions may have asked a broker that did not know yet of a topic made a moment ago;
// librdkafka then does not look again until the topic changes once more.
void look_at_idle(self_ptr self) {
  auto& s = self->state;
  auto now = mono_now();
  if (s.idle_since == 0 || now < s.idle_since + idle_ms_first || now < s.look_at_idle_at) return;
  s.look_at_idle_at = now + idle_ms_then;
  const auto found = look_at_division(*s.context, store_limit_ms);
  if (!found.known || found.any_given || found.unread.empty()) return;
  s.idle_since = 0;
  make_anew(self, "it gave nobody any partitions, although its topics have some");
}

// The same with one of many topics, or with partitions that were added. One member has it divided anew, ever less
// often: where that does not help, all would stand still for a moment again and again. All members count alike, as
// another one is the smallest afterwards.
void look_at_all(self_ptr self) {
  auto& s = self->state;
  const auto now = mono_now();
  if (s.look_at_all_at == 0 || now < s.look_at_all_at) return;
  auto found = look_at_division(*s.context, look_limit_ms); // saves wait meanwhile
  s.look_pause = found.known ? unread_look_ms : std::clamp(2 * s.look_pause, unread_look_ms, divide_most_ms);
  s.look_at_all_at = now + s.look_pause;
  if (!found.known) return;
  if (found.unread.empty()) s.look_at_all_at = s.divide_pause = 0;
  if (std::exchange(s.unread, found.unread) != found.unread) {
    s.divide_at = now + unread_look_ms;
    s.divide_pause = 0;
    return;
  }
  if (found.unread.empty()) return;
  self->send(s.pipeline,
             msg::group_trouble{"the group " + s.context->config.group + " gave " + found.unread +
                                " to nobody: its brokers may not tell of it yet, or a member runs with other topics"});
  if (now < s.divide_at) return;
  s.divide_pause = std::clamp(2 * s.divide_pause, divide_least_ms, divide_most_ms);
  s.divide_at = now + s.divide_pause;
  if (found.smallest == s.group->member_id()) make_anew(self, "it gave " + found.unread + " to nobody");
}

// A commit that is under way when the partitions are given back would be carried into the next generation: the member
// leaves, and joins as another, which is two rebalances more, at which others may have commits under way. So the
// answers of a moment ago are waited for.
void give_back(self_ptr self) {
  auto& s = self->state;
  if (s.revoked_by == 0 || (s.group->unanswered() > 0 && mono_now() < s.revoked_by)) return;
  s.revoked_by = 0;
  if (s.group->unanswered() > 0)
    s.context->log->warn("pipeline {}: leaves its group and joins anew: its partitions were revoked while a commit of "
                         "offsets had no answer",
                         s.context->config.name);
  s.group->complete_revoke();
  s.owners.clear();
}

void poll(self_ptr self) {
  auto& s = self->state;
  if (!s.group) return join_alone(self);
  for (;;) {
    auto events = s.group->poll(0);
    for (auto& e : events) handle(self, e);
    if (events.size() < events_a_poll) break;
  }
  if (s.group) give_back(self);
}

// --- the store -------------------------------------------------------------------------------------------------------

save_outcome outcome_of(save_status s) {
  switch (s) {
  case save_status::accepted: return save_outcome::accepted;
  case save_status::refused: return save_outcome::refused;
  case save_status::not_now: return save_outcome::not_now;
  case save_status::unknown: return save_outcome::unknown;
  }
  return save_outcome::unknown;
}

// With another store than kafka the group's offsets are output: for lag tools, and as a witness of what was saved.
void commit_beside(self_ptr self, const save_request& r) {
  auto& s = self->state;
  if (s.group_is_store || !s.group->has_assignment()) return;
  std::vector<kafka::offset_commit> commits;
  auto record = decode_record(r.record.text);
  auto note = write_note({s.keeps->name(), record.ok() ? record->lineage : 0, r.record.version});
  for (const auto& o : r.offsets) commits.push_back({{r.lane.topic, o.partition}, o.next, note});
  s.group->start_commit(commits, store_limit_ms);
}

// A lane whose partitions were lost may not have heard of it when this member is given them anew, with what another
// owner did in between: its commit would carry the new generation.
void refuse_former_owners(keeper_state& s, self_ptr self) {
  std::erase_if(s.saves, [&](const msg::save_lane& m) {
    if (s.owners.contains(m.from)) return false;
    if (auto to = caf::actor_cast<batcher_actor>(m.from))
      self->send(to, msg::saved_lane{m.ticket, save_outcome::refused, "its partitions were lost"});
    return true;
  });
}

void save_all(self_ptr self) {
  auto& s = self->state;
  if (s.group_is_store) refuse_former_owners(s, self);
  if (s.saves.empty()) return;
  std::vector<save_request> requests;
  for (auto& m : s.saves) requests.push_back(m.request);
  fault_point("in_save", fault_at::soon);
  auto answers = s.keeps->save(requests, store_limit_ms);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    auto& m = s.saves[i];
    if (answers[i].status == save_status::accepted) commit_beside(self, m.request);
    if (auto to = caf::actor_cast<batcher_actor>(m.from))
      self->send(to, msg::saved_lane{m.ticket, outcome_of(answers[i].status),
                                     answers[i].why ? answers[i].why->text() : std::string()});
  }
  s.saves.clear();
}

// What the group's offset of one partition says of its lane.
void take_offset(self_ptr self, lane_loaded& out, const kafka::topic_partition& where, bool seat,
                 const kafka::committed_offset& c) {
  using status = enum kafka::committed_offset::status;
  if (out.what != lane_loaded::state::absent) return; // what was found out before stands
  if (c.what == status::failed) {
    out.what = lane_loaded::state::failed;
    out.why = c.why ? c.why->text() : "the group's offsets could not be read";
  }
  if (c.what != status::found) return;
  if (moved_by_another_tool(c.metadata, seat)) {
    out.what = lane_loaded::state::foreign;
    out.why = "offset " + std::to_string(c.next.value) + " of " + kafka::to_string(where) +
              " in the group, where only chute's own notes belong (store " + self->state.keeps->name() + ")";
  } else if (auto note = seat ? seat_note(c.metadata) : std::nullopt) {
    out.noted_lineage = note->lineage;
    out.noted_version = note->version;
  }
}

// What the group's offsets say beside the store: whether somebody moved one, and, where the records are in another
// store, what was saved. Read before the store: what was noted then had been saved before.
void read_group(self_ptr self, std::vector<std::shared_ptr<lane_loaded>>& out) {
  auto& s = self->state;
  if (s.context->top.state.store == store_kind::memory) return;
  struct place {
    std::size_t lane;
    bool seat;
  };
  std::vector<place> places;
  std::vector<kafka::topic_partition> wanted;
  for (std::size_t i = 0; i < s.loads.size(); ++i)
    for (auto p : s.loads[i].partitions) {
      bool seat = p == s.loads[i].partitions.front();
      if (seat && s.group_is_store) continue; // the store's own
      places.push_back({i, seat});
      wanted.push_back({s.loads[i].key.topic, p});
    }
  if (wanted.empty()) return;
  auto committed = s.group->committed(wanted, store_limit_ms);
  for (std::size_t k = 0; k < places.size(); ++k)
    take_offset(self, *out[places[k].lane], wanted[k], places[k].seat, committed[k]);
}

void take_over(lane_loaded& out, loaded& f) {
  using state = lane_loaded::state;
  if (f.status == loaded::status::found) {
    out.what = state::found;
    out.text = std::move(f.record.text);
  } else if (!f.foreign.empty()) {
    out.what = state::foreign;
    out.why = std::move(f.foreign);
  } else if (f.status == loaded::status::failed) {
    out.what = state::failed;
    out.why = f.failure ? f.failure->text() : "the state store did not answer";
  }
}

void load_all(self_ptr self) {
  auto& s = self->state;
  std::vector<lane_key> keys;
  std::vector<std::shared_ptr<lane_loaded>> outs;
  for (auto& m : s.loads) {
    keys.push_back(m.key);
    outs.push_back(std::make_shared<lane_loaded>(*m.partly));
  }
  read_group(self, outs);
  auto found = s.keeps->load(keys, store_limit_ms);
  for (std::size_t i = 0; i < found.size(); ++i) {
    auto& m = s.loads[i];
    if (outs[i]->what == lane_loaded::state::absent) take_over(*outs[i], found[i]); // as chute_starts left it
    // What forgets does not tell that a lane begins again.
    if (s.context->top.state.store == store_kind::memory && outs[i]->what == lane_loaded::state::absent)
      outs[i]->marked = false, outs[i]->elsewhere.clear();
    if (auto to = caf::actor_cast<batcher_actor>(m.from)) self->send(to, msg::loaded_lane{m.ticket, outs[i]});
  }
  s.loads.clear();
}

// Saves and loads that wait in the mailbox are joined: the flush stands behind them.
void flush_soon(self_ptr self) {
  if (std::exchange(self->state.flush_due, true)) return;
  self->send(self, msg::tick{flush});
}

void flush_now(self_ptr self) {
  auto& s = self->state;
  s.flush_due = false;
  if (!s.keeps || !s.group) return self->delayed_send(self, std::chrono::milliseconds(poll_every_ms), msg::tick{flush});
  if (!s.saves.empty()) save_all(self);
  if (!s.loads.empty()) load_all(self);
  poll(self);
}

template <class F> void guarded(self_ptr self, F&& f) {
  if (self->state.over) return;
  try {
    f();
  } catch (const std::exception& e) { // not of a host's store: see shared_store
    self->state.over = true;
    self->send(self->state.pipeline, msg::failed{std::string("the state keeper failed: ") + e.what()});
  }
}

void leave(self_ptr self) {
  auto& s = self->state;
  s.over = true;
  s.keeps.reset();
  s.log.reset();
  s.group.reset();
  self->quit();
}

} // namespace

keeper_actor::behavior_type keeper(self_ptr self, context_ptr context, pipeline_actor pipeline,
                                   std::shared_ptr<store> opened) {
  auto& s = self->state;
  s.context = std::move(context);
  s.pipeline = std::move(pipeline);
  s.group_is_store = !opened;
  s.keeps = std::move(opened);
  if (s.context->top.state.store != store_kind::file) open_group(self);
  self->send(self, msg::tick{timer});
  return {
      [=](const msg::load_lane& m) {
        auto& st = self->state;
        if (st.given.contains({m.key.topic, m.partitions.front()})) st.owners.insert(m.from);
        st.loads.push_back(m);
        flush_soon(self);
      },
      [=](const msg::save_lane& m) {
        self->state.saves.push_back(m);
        flush_soon(self);
      },
      [=](const msg::lane_forgotten& m) {
        // A commit without an answer may still lie in librdkafka's queue, and would carry a later generation.
        auto& st = self->state;
        auto from = caf::actor_cast<caf::actor_addr>(self->current_sender());
        std::erase_if(st.saves, [&](const msg::save_lane& s) { return s.from == from; }); // nobody waits for it
        if (m.save_outstanding && st.group_is_store && st.group && st.group->unanswered() > 0)
          guarded(self, [&] { make_anew(self, "a lane was forgotten while a commit had no answer"); });
      },
      [=](const msg::revoke_done&) {
        guarded(self, [&] {
          self->state.revoked_by = mono_now() + (self->state.group_is_store ? 0 : answers_ms);
          poll(self);
        });
      },
      [=](const msg::leave&) { leave(self); },
      [=](const msg::wake&) { guarded(self, [&] { poll(self); }); },
      [=](const msg::tick& m) {
        if (m.number == flush) return guarded(self, [&] { flush_now(self); });
        guarded(self, [&] {
          poll(self);
          look_at_idle(self);
          look_at_all(self);
          begin_alone(self);
        });
        if (!self->state.over) self->delayed_send(self, std::chrono::milliseconds(poll_every_ms), msg::tick{timer});
      },
  };
}

} // namespace chute
