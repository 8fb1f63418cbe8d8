// ClickHouse: inserts that land by table partition, each under its deduplication id, and answers to questions.
#include "test/sim/inside.hpp"

#include <algorithm>

namespace chute::sim {

namespace {
constexpr int code_check = 469, code_memory = 241, code_columns = 16, code_access = 497, code_parts = 252;
constexpr std::uint8_t all_parts = 255;
} // namespace

int world::table_partition(int partition, std::int64_t offset) const {
  auto& e = kafka_[static_cast<std::size_t>(partition)];
  auto hash = offset < e.end() ? e.log[static_cast<std::size_t>(offset)].hash : 0;
  return static_cast<int>(hash % static_cast<std::uint64_t>(s_.table_partitions));
}

// --- the client's side -----------------------------------------------------------------------------------------------

void world::insert(std::uint8_t n, std::uint8_t l, const fx_insert& fx) {
  auto& s = processes_[n].lanes[l];
  check_insert(processes_[n], s, l, fx);
  ++s.attempts;
  attempt a;
  a.process = n;
  a.lane = l;
  a.life = processes_[n].life;
  a.serial = s.serial;
  a.loads = s.loads;
  a.leased_since = s.leased_since;
  a.ticket = fx.ticket;
  a.fx = fx;
  attempts_.push_back(std::move(a));
  say("process ", int{n}, " lane ", int{l}, " inserts ", fx.dead_letters ? "dead letters" : "rows", " under ",
      fx.what->token.hex().substr(0, 6));
  auto e = to_lane(n, l, ev::insert_begins, fx.ticket);
  e.ref = static_cast<std::uint32_t>(attempts_.size() - 1);
  later(net_.between(0, 3), e);
}

// A rejected record is read again for its dead letter.
bool world::record_gone(const attempt& a) const {
  bool gone = false;
  each_record(a, [&](int partition, std::int64_t offset, std::uint64_t hash, int, std::size_t) {
    const auto& k = kafka_[static_cast<std::size_t>(partition)];
    gone |= offset < k.low || offset >= k.end() || k.log[static_cast<std::size_t>(offset)].hash != hash;
  });
  return gone;
}

// Directly before the request goes out: does the lease still hold, on both clocks?
void world::insert_begins(const event& e) {
  auto& a = attempts_[e.ref];
  auto now = now_of(processes_[e.process]);
  bool holds = now.mono < a.fx.lease_mono && now.wall < a.fx.lease_wall;
  bool refused = !server_.up || message_fault(fault::never_sent);
  if (now.mono >= a.fx.word_mono && !refused) a.answer.server_started_ms = told_start();
  bool restarted =
      a.answer.server_started_ms + server_start_unsure_ms > a.fx.started_before && a.answer.server_started_ms > 0;
  if (!holds || refused || restarted) {
    a.answer.never_sent = a.answer.answered = true;
    a.answer.attempts = 0;
    a.answer.message = restarted ? "the server was restarted" : holds ? "no connection" : "the lease is over";
    return tell(a, e.ref, net());
  }
  if (a.fx.dead_letters && a.fx.what->as == plan_as::dead_letter && record_gone(a)) {
    a.answer.never_sent = a.answer.answered = a.answer.record_gone = true;
    a.answer.attempts = 0;
    a.answer.message = "the log has the record no more";
    return tell(a, e.ref, net());
  }
  check_lease(a);
  a.requests = 1;
  a.sent = now_;
  a.server_life = server_.life;
  auto limit = e;
  limit.what = ev::insert_limit;
  later(s_.lane.insert_limit_ms + 1'000, limit);
  if (message_fault(fault::request_lost)) return;
  auto arrives = e;
  arrives.what = ev::request_arrives;
  arrives.part = 0;
  auto delay = message_fault(fault::request_late) ? strikes_.any_length(50, 1'500) : net();
  if (message_fault(fault::request_repeated)) {
    a.requests = 2;
    auto first = arrives; // its connection died: nobody hears of it
    first.part = 1;
    ++attempts_alive_;
    later(net(), first);
    delay += strikes_.any_length(1, 500);
  }
  ++attempts_alive_;
  later(delay, arrives);
}

void world::tell(attempt& a, std::uint32_t ref, ms delay) {
  event e;
  e.what = ev::inserted;
  e.process = a.process;
  e.lane = a.lane;
  e.life = a.life;
  e.serial = a.serial;
  e.ref = ref;
  later(delay, e);
}

// --- the server's side -----------------------------------------------------------------------------------------------

void world::end_attempt(attempt& a, std::uint32_t) {
  --attempts_alive_;
  if (a.running > 0) --a.running;
  changed_ = true;
}

void world::request_arrives(const event& e) {
  auto& a = attempts_[e.ref];
  if (a.server_life != server_.life) { // the connection died with the server
    ++a.running;
    end_attempt(a, e.ref);
    a.answer = {};
    a.answer.attempts = a.requests;
    a.answer.message = "connection reset";
    if (e.part == 0) tell(a, e.ref, net());
    return;
  }
  if (now_ < server_.hangs_until) { // it lies in the socket
    auto again = e;
    again.at = server_.hangs_until + net_.between(0, 50);
    return push(again);
  }
  ++a.running;
  check_token(a);
  using v = insert_answer::verdict;
  insert_answer r;
  r.answered = true;
  r.what = v::acknowledged;
  bool poisoned = false;
  std::uint64_t rows = 0;
  std::uint8_t parts = 0;
  each_record(a, [&](int partition, std::int64_t offset, std::uint64_t hash, int part, std::size_t) {
    auto& log = kafka_[static_cast<std::size_t>(partition)].log;
    auto i = static_cast<std::size_t>(offset);
    auto kind = i < log.size() && log[i].hash == hash ? log[i].kind : record_kind::row;
    poisoned |= kind == record_kind::poison || (kind == record_kind::late_poison && server_.check);
    parts |= static_cast<std::uint8_t>(1 << part);
    ++rows;
  });
  auto upto = all_parts;
  auto duration = net_.between(1, 30);
  auto refuse = [&](v what, int code, bool before_write) {
    r.what = what;
    r.code = code;
    r.before_write = before_write;
    r.message = "as drawn";
    upto = 0;
  };
  if (message_fault(fault::slow_insert)) duration = strikes_.any_length(100, s_.lane.insert_limit_ms);
  if (!a.fx.dead_letters && a.columns < server_.refuses_below) refuse(v::columns_changed, code_columns, true);
  else if (!a.fx.dead_letters && poisoned) refuse(v::rejected_data, code_check, true);
  else if (server_.right_missing) refuse(v::wait_person, code_access, true);
  else if (rows > server_.rows_max) {
    refuse(v::too_big, code_memory, false);
    upto = static_cast<std::uint8_t>(strikes_.below(3));
  } else if (message_fault(fault::error_before)) refuse(v::retry, code_parts, false);
  else if (message_fault(fault::error_midway)) {
    refuse(v::retry, code_parts, false);
    upto = static_cast<std::uint8_t>(strikes_.between(1, 2));
  } else if (message_fault(fault::overtime_insert)) {
    duration = s_.lane.insert_limit_ms + strikes_.any_length(1'000, s_.lane.insert_limit_ms);
    r.answered = false;
    r.what = v::retry;
  }
  if (e.part == 0) {
    r.attempts = a.requests;
    a.answer = r;
  }
  a.parts = parts;
  auto next = e;
  next.what = ev::part_commits;
  next.tag = static_cast<std::uint64_t>(upto) << 32; // low half: the next table partition
  later(duration, next);
}

void world::part_commits(const event& e) {
  auto& a = attempts_[e.ref];
  if (a.server_life != server_.life) {
    end_attempt(a, e.ref);
    a.answer = {};
    a.answer.attempts = a.requests;
    a.answer.message = "connection reset";
    if (e.part == 0) tell(a, e.ref, net());
    return;
  }
  auto next = e;
  if (now_ < server_.hangs_until) {
    next.at = server_.hangs_until + net_.between(0, 50);
    return push(next);
  }
  auto part = static_cast<int>(e.tag & 0xffffffff);
  auto upto = static_cast<int>(e.tag >> 32);
  while (part < 8 && !(a.parts >> part & 1)) ++part;
  if (part == 8 || upto == 0) {
    end_attempt(a, e.ref);
    if (e.part != 0) return;
    if (message_fault(fault::reply_lost)) {
      a.answer = {};
      a.answer.attempts = a.requests;
      a.answer.message = "the reply was cut off";
    }
    return tell(a, e.ref, net());
  }
  land(a, part);
  next.tag =
      static_cast<std::uint64_t>(upto == all_parts ? all_parts : upto - 1) << 32 | static_cast<std::uint64_t>(part + 1);
  later(net_.chance(700) ? net_.between(0, 5) : net_.between(0, 400), next);
}

std::uint64_t world::writers() const {
  if (now_ <= server_.writers_since) return 0;
  return static_cast<std::uint64_t>(server_.writers_per_ms * static_cast<double>(now_ - server_.writers_since));
}

bool world::seen_before(table_log& t, token_t token, int partition) {
  auto total = t.count + writers();
  for (auto it = t.ids.rbegin(); it != t.ids.rend(); ++it) {
    if (it->token != token || it->partition != partition) continue;
    return total - it->number < s_.lane.window_ids && (s_.plain || now_ - it->at < s_.lane.window_ms);
  }
  return false;
}

void world::note(table_log& t, token_t token, int partition) {
  ++t.count;
  t.ids.push_back({token, partition, now_, t.count + writers()});
}

void world::land(const attempt& a, int part) {
  auto& t = a.fx.dead_letters ? server_.dead : server_.rows;
  const auto& token = a.fx.what->token;
  bool known = seen_before(t, token, part);
  say("ClickHouse: ", a.fx.dead_letters ? "dead letters" : "rows", " of ", token.hex().substr(0, 6),
      " in table partition ", part, known ? " are known" : " land");
  if (known) return;
  note(t, token, part);
  each_record(a, [&](int partition, std::int64_t offset, std::uint64_t hash, int at, std::size_t which) {
    if (at != part) return;
    auto& k = kafka_[static_cast<std::size_t>(partition)];
    if (static_cast<std::size_t>(offset) >= k.landed.size()) k.landed.resize(static_cast<std::size_t>(offset) + 1);
    auto& c = k.landed[static_cast<std::size_t>(offset)];
    bool current = offset < k.end() && k.log[static_cast<std::size_t>(offset)].hash == hash;
    if (!current) {
      auto l = static_cast<std::size_t>(partition % s_.lanes);
      if (!(spoiled_[l] & spoiled_log)) fail("a row's payload differs");
      // Of a log that is no more, and of a plan that the store may have forgotten: its offset looks delivered.
      if (spoiled_[l] & spoiled_in_flight) {
        c.excused = true;
        ++counts_.in_place;
      }
      ++(a.fx.dead_letters ? c.old_dead : c.old_rows);
      return;
    }
    const bool another = !a.fx.dead_letters && c.dead == 0 && !(c.which >> which & 1);
    const bool first = c.rows + c.dead == 0;
    ++(a.fx.dead_letters ? c.dead : c.rows);
    if (!a.fx.dead_letters) c.which |= static_cast<std::uint8_t>(1 << which);
    if (!c.since) c.since = now_;
    if (first) {
      c.sent = a.sent;
      c.planned = planned_at(a);
    }
    if (!first && !another) {
      say("DOUBLE: partition ", partition, " offset ", offset);
      doubled(a, part, partition, offset);
    }
  });
}

// The earliest moment at which it can have started: its uptime counts whole seconds.
wall_ms world::told_start() const { return server_now() - ((now_ - server_.started) / 1000 + 1) * 1000; }

void world::server_dies(bool host) {
  ++server_.life;
  server_.up = false;
  server_.hangs_until = 0;
  count_writers();
  if (s_.plain)
    for (auto& a : attempts_) // the id is noted before the part is committed
      if (a.running > 0 && a.server_life + 1 == server_.life && strikes_.chance(400))
        for (int part = 0; part < 8; ++part)
          if ((a.parts >> part & 1) &&
              !seen_before(a.fx.dead_letters ? server_.dead : server_.rows, a.fx.what->token, part)) {
            note(a.fx.dead_letters ? server_.dead : server_.rows, a.fx.what->token, part);
            say("an id was noted, and its part is not committed");
            break;
          }
  if (host && s_.plain)
    for (auto* t : {&server_.rows, &server_.dead})
      for (auto n = strikes_.below(4); n > 0 && !t->ids.empty(); --n) t->ids.pop_back();
  event e;
  e.what = ev::server_up;
  later(host ? strikes_.any_length(8'000, 60'000) : strikes_.any_length(500, 60'000), e); // a host takes longer
}

// --- questions -------------------------------------------------------------------------------------------------------

void world::ask(std::uint8_t n, std::uint8_t l, const fx_ask& fx) {
  question q;
  q.process = n;
  q.lane = l;
  q.asked = fx;
  q.sent = now_;
  questions_.push_back(std::move(q));
  auto e = to_lane(n, l, ev::ask_arrives, fx.ticket);
  e.ref = static_cast<std::uint32_t>(questions_.size() - 1);
  later(net(), e);
}

void world::ask_arrives(const event& e) {
  auto& q = questions_[e.ref];
  auto back = e;
  back.what = ev::answered;
  bool hangs = now_ < server_.hangs_until;
  if (!server_.up || hangs || message_fault(fault::question_lost)) {
    q.answer.why = "no answer";
    return later(server_.up ? s_.lane.question_limit_ms : net(), back);
  }
  auto& a = q.answer;
  a.answered = true;
  if (const auto& token = q.asked.running ? q.asked.running : q.asked.still)
    for (auto& t : attempts_) q.running |= t.running > 0 && t.server_life == server_.life && t.fx.what->token == *token;
  ms seen_until = now_;
  if (!q.asked.settled && !s_.plain && strike_at(fault::stale_look, s_.stale_permille))
    seen_until -= strikes_.any_length(10, 5'000);
  for (auto& r : q.asked.ranges) {
    range_count c;
    std::vector<std::int64_t> present, letters;
    auto& k = kafka_[static_cast<std::size_t>(r.partition.value)];
    auto end = std::min<std::int64_t>(r.last.value, static_cast<std::int64_t>(k.landed.size()) - 1);
    for (auto o = std::max<std::int64_t>(0, r.first.value); o <= end; ++o) {
      auto& x = k.landed[static_cast<std::size_t>(o)];
      bool fresh = x.since > seen_until;
      auto rows = (fresh ? 0u : x.rows) + x.old_rows, dead = (fresh ? 0u : x.dead) + x.old_dead;
      c.rows += rows;
      c.distinct += rows > 0;
      c.dead += dead;
      c.dead_distinct += dead > 0;
      c.either += rows + dead > 0;
      if (q.asked.list) present.insert(present.end(), rows + dead, o);
      if (q.asked.list && dead > 0) letters.push_back(o);
    }
    a.counts.push_back(c);
    if (!q.asked.list) continue;
    a.listed.all.push_back(std::move(present));
    a.listed.dead.push_back(std::move(letters));
  }
  if (s_.count_told) a.blocks.all = server_.rows.count + server_.dead.count + 2 * writers() + 1;
  a.server_started_ms = told_start();
  q.server_time = server_now();
  later(net(), back);
}

// --- the columns -----------------------------------------------------------------------------------------------------

void world::refresh(std::uint8_t n, std::uint8_t l, std::uint64_t ticket) {
  auto e = to_lane(n, l, ev::refreshed, ticket);
  later(2 * net(), e);
}

void world::refreshed(const event& e) {
  auto& p = processes_[e.process];
  bool failed = !server_.up || now_ < server_.hangs_until || message_fault(fault::refresh_failed);
  bool same = failed || p.columns == server_.columns;
  if (!same) {
    p.columns = server_.columns;
    for (std::uint8_t l = 0; l < p.lanes.size(); ++l)
      lane_event(e.process, l, [&](lane& m, instant now) { m.columns_changed(now, 33 + p.columns); });
  }
  if (!slot_of(e)) return;
  lane_event(e.process, e.lane,
             [&](lane& m, instant now) { m.refreshed(now, e.tag, same, failed ? "no answer" : ""); });
}

} // namespace chute::sim
