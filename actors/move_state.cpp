#include "actors/move_state.hpp"

#include "actors/destination.hpp"
#include "actors/open_store.hpp"
#include "actors/quiet_context.hpp"
#include "actors/worker.hpp"
#include "core/move.hpp"
#include "core/text.hpp"
#include "kafka/offsets.hpp"
#include "state/compare.hpp"
#include "state/offset_note.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

namespace chute {

namespace {

constexpr std::int64_t limit_ms = 10'000;      // a question
constexpr std::int64_t save_limit_ms = 30'000; // a save that is repeated until its answer is clear
constexpr std::int64_t step_ms = 500, ask_every_ms = 5'000, answer_ms_max = 3'000;
constexpr std::int64_t session_margin_ms = 2'000;

using target = enum move_request::target;
using word = enum move_request::word;
using from = enum kafka::committed_offset::status;

struct failed : std::runtime_error {
  error why;
  explicit failed(error e) : std::runtime_error(e.cause), why(std::move(e)) {}
};
template <class T> T must(result<T> r) {
  if (!r.ok()) throw failed(r.failure());
  return *std::move(r);
}

bool ours(const kafka::committed_offset& c) { return c.what == from::found && c.metadata.starts_with(record_marker); }

// One lane that is moved or settled.
struct lane_work {
  lane_key key;
  std::vector<partition_id> partitions;
  std::vector<kafka::committed_offset> committed; // one a partition
  std::optional<lane_record> before;              // nothing: none, unreadable, or in another store's place
  std::uint64_t expected = 0, version = 0;        // of the store's record; the highest that is known
  bool unknown_plans = false;                     // something may have been planned that is not in the record
  bool went_back = false;                         // more was saved than the store's record tells
  std::vector<move_facts> facts;
  std::vector<std::optional<offset_t>> held_to; // the table told where it is: behind the last that it holds

  std::string where() const { return "topic " + key.topic + ", lane " + std::to_string(key.lane.value); }
  bool foreign(std::size_t i) const {
    if (committed[i].what != from::found) return false;
    // Tools that mirror offsets copy the metadata; a record belongs to its own offset.
    return !ours(committed[i]) || (i == 0 && before_seat && *before_seat != committed[i].next);
  }
  std::optional<offset_t> before_seat; // kafka: of the record that the seat's metadata holds
};

struct topic_work {
  std::shared_ptr<destination> dest;
  topic_start start;
  std::int32_t partitions = 0;
  std::vector<lane_work> lanes;
};

// Where a lane is to be, once all questions of all lanes are answered.
struct lane_move {
  const lane_work* of;
  lane_record to;
  std::string lines; // for people: a line a partition
};

// Without times ("after 3001 ms"), which differ from one attempt to the next.
std::string without_times(std::string text) {
  for (std::size_t at = 0; (at = text.find(" ms", at)) != text.npos; ++at) {
    auto from = at;
    while (from > 0 && std::isdigit(static_cast<unsigned char>(text[from - 1]))) --from;
    text.erase(from, at - from);
    at = from;
  }
  return text;
}

class mover {
public:
  mover(std::shared_ptr<pipeline_context> c, const move_request& what, std::shared_ptr<store> opened,
        const move_watch& watch)
      : context_(std::move(c)), what_(what), store_(std::move(opened)), watch_(watch), tools_(context_, 0) {}

  std::string run() {
    group_must_be_empty();
    context_->cluster_id = must(tools_.kafka().cluster_id(limit_ms));
    open_topics();
    for (auto& t : topics_) load(t);
    if (what_.what == move_request::verb::settle) {
      drop_lanes_without_plan();
      refuse_old_records();
    } else if (what_.to == target::adopted) drop_lanes_not_moved();
    wait_quiet();
    nobody_came_between();
    // Nothing is saved before all is known of all lanes: a position that cannot be moves none of them.
    std::vector<lane_move> moves;
    for (auto& t : topics_)
      for (auto& l : t.lanes) moves.push_back(what_.what == move_request::verb::settle ? settle(t, l) : reset(t, l));
    nobody_came_between();
    return save_all(moves);
  }

private:
  // --- before anything
  // ------------------------------------------------------------------------------------------------

  void say(const std::string& text) const {
    if (watch_.say) watch_.say(text);
  }
  void pause(std::int64_t ms) const {
    for (; ms > 0; ms -= step_ms) {
      if (watch_.cancelled && watch_.cancelled()) throw failed({"state", "cancelled: nothing was moved", ""});
      std::this_thread::sleep_for(std::chrono::milliseconds(std::min(ms, step_ms)));
    }
  }

  void group_must_be_empty() {
    const auto& group = context_->config.group;
    const auto until = mono_now() + context_->session_timeout_ms + session_margin_ms;
    bool told = false;
    for (;;) {
      auto members = must(tools_.kafka().group_members(group, limit_ms));
      if (members.empty()) return;
      const auto who = kafka::to_string(members);
      if (mono_now() >= until)
        throw failed({"state", "the group " + group + " is in use: " + who,
                      "stop these processes and try again; the last one may go on if it does this: give the address of "
                      "its admin face with --admin"});
      if (!std::exchange(told, true)) say("waits until nobody is in group " + group + ": " + who);
      pause(step_ms);
    }
  }

  // Each of clickhouse.url is asked before it is given up: whoever is asked moves on to the next one after a failure.
  template <class F> auto of_any_server(F&& ask) {
    bool fatal = false;
    auto r = ask(fatal);
    for (std::size_t i = 1; i < context_->top.clickhouse.urls.size() && !r.ok() && !fatal; ++i) r = ask(fatal);
    return must(std::move(r));
  }
  table_answer ask(topic_work& t, const fx_ask& fx) {
    return of_any_server([&](bool&) -> result<table_answer> {
      bool running = false;
      auto a = t.dest->ask(tools_, fx, running);
      if (!a.answered) return error{"clickhouse", a.why, "try again"};
      return a;
    });
  }

  bool wanted(partition_id p) const {
    return what_.partitions.empty() || std::count(what_.partitions.begin(), what_.partitions.end(), p) > 0;
  }

  void open_topics() {
    const auto& c = context_->config;
    bool any = false;
    const auto infos = must(tools_.kafka().topics(c.topics, limit_ms));
    for (auto& info : infos) {
      if (!what_.topic.empty() && info.name != what_.topic) continue;
      if (info.failure) throw failed(*info.failure);
      any = true;
      topic_work t;
      t.dest = of_any_server([&](bool& fatal) { return destination::open(tools_, context_, info.name, fatal); });
      t.start = of_any_server([&](bool&) { return t.dest->read_start(tools_); });
      t.partitions = info.partitions;
      if (!t.start.known)
        throw failed({"state", "pipeline " + c.name + " did not begin with topic " + info.name + " yet",
                      "`start:` says where it begins; there is nothing to move before it was started once"});
      choose_lanes(t, info.name, what_.topic.empty() && infos.size() > 1);
      topics_.push_back(std::move(t));
    }
    if (!any)
      throw failed({"state",
                    "pipeline " + c.name + " has no topic " + (what_.topic.empty() ? c.topics.front() : what_.topic),
                    "see `topics:` in the file"});
  }

  // `one_of_many`: nobody said which of the pipeline's topics is meant.
  void choose_lanes(topic_work& t, const std::string& topic, bool one_of_many) {
    const std::string which = one_of_many ? "; if another topic is meant, name it with --topic" : "";
    for (auto p : what_.partitions)
      if (p.value < 0 || p.value >= t.partitions)
        throw failed({"state", "topic " + topic + " has no partition " + std::to_string(p.value),
                      "it has partitions 0 to " + std::to_string(t.partitions - 1) + which});
    const auto lanes = std::min(t.start.lanes, t.partitions);
    // No record holds more: one that was saved with them could not be read again.
    if (lane_partition_count({0}, t.start.lanes, t.partitions) > lane_partitions_max) {
      const auto trust = t.dest->standing().trust;
      const bool tells = context_->config.delivery == delivery_mode::exactly_once && trust.there && trust.not_there;
      throw failed(
          {"state",
           "topic " + topic + " has " + std::to_string(t.partitions) + " partitions, more than 100 in each of its " +
               std::to_string(t.start.lanes) + " lanes: they cannot be moved or settled",
           "for more lanes, " + begin_with_other_lanes({context_->file, context_->config.name, topic}, tells)});
    }
    for (std::int32_t k = 0; k < lanes; ++k) {
      if (what_.lane && what_.lane->value != k) continue;
      lane_work l;
      l.key = {context_->cluster_id, context_->config.group, context_->config.name, topic, {k}};
      const auto n = lane_partition_count({k}, t.start.lanes, t.partitions);
      for (std::size_t i = 0; i < n; ++i) l.partitions.push_back(lane_partition_id({k}, t.start.lanes, i));
      if (std::any_of(l.partitions.begin(), l.partitions.end(), [&](auto p) { return wanted(p); }))
        t.lanes.push_back(std::move(l));
    }
    if (t.lanes.empty())
      throw failed(
          {"state", "topic " + topic + " has no such lane", "it has lanes 0 to " + std::to_string(lanes - 1) + which});
  }

  // --- loading
  // --------------------------------------------------------------------------------------------------------

  void load(topic_work& t) {
    std::vector<kafka::topic_partition> places;
    std::vector<lane_key> keys;
    for (auto& l : t.lanes) {
      keys.push_back(l.key);
      for (auto p : l.partitions) places.push_back({l.key.topic, p});
    }
    auto committed = kafka::read_offsets(context_->kafka_client(), context_->config.group, places, limit_ms);
    for (auto& c : committed)
      if (c.what == from::failed) throw failed(c.why.value_or(error{"kafka", "no answer", "try again"}));
    auto next = committed.begin();
    for (auto& l : t.lanes)
      for (std::size_t i = 0; i < l.partitions.size(); ++i) l.committed.push_back(std::move(*next++));
    auto found = store_ ? store_->load(keys, limit_ms) : std::vector<loaded>();
    for (std::size_t i = 0; i < t.lanes.size(); ++i) {
      auto& l = t.lanes[i];
      if (store_) take_stored(l, found[i]);
      else take_seat(l);
      take_notes(l);
      // Of other lanes than there are now, no partition is where the record has it.
      if (l.before && (l.before->lanes != t.start.lanes || l.before->partitions.size() > l.partitions.size()))
        l.before.reset();
      if (!l.before) l.unknown_plans = true;
      while (l.before && l.before->partitions.size() < l.partitions.size()) { // added since
        if (l.before->open) l.before->open->last.push_back({-1});
        l.before->partitions.push_back({});
      }
    }
  }

  void take_stored(lane_work& l, const loaded& f) {
    if (f.status == loaded::status::failed)
      throw failed(f.failure.value_or(error{"state", l.where() + ": the store did not answer", "try again"}));
    if (f.status != loaded::status::found) return;
    l.expected = l.version = f.record.version;
    if (auto r = decode_record(f.record.text); r.ok()) l.before = *r;
  }

  // The store is the group: the record is the metadata of the seat's offset.
  void take_seat(lane_work& l) {
    if (!ours(l.committed[0]) || read_note(l.committed[0].metadata)) return;
    auto r = decode_record(l.committed[0].metadata);
    if (!r.ok()) return;
    l.version = r->version;
    if (!r->partitions.empty()) l.before_seat = r->partitions[0].next;
    if (l.before_seat == l.committed[0].next) l.before = *r;
  }

  // What the group's offsets say was saved: where it is more than the record, the store went back in time.
  void take_notes(lane_work& l) {
    for (std::size_t i = 0; i < l.committed.size(); ++i) {
      const auto& c = l.committed[i];
      const bool seat_beside = i == 0 && store_;
      auto note = !ours(c) ? std::nullopt : seat_beside ? seat_note(c.metadata) : read_note(c.metadata);
      if (!note) continue;
      if (note->version > l.version && store_) l.unknown_plans = l.went_back = true;
      l.version = std::max(l.version, note->version);
    }
  }

  template <class F> void keep_lanes(F&& keep, const error& otherwise) {
    bool any = false;
    for (auto& t : topics_) {
      std::erase_if(t.lanes, [&](const lane_work& l) { return !keep(l); });
      any |= !t.lanes.empty();
    }
    if (!any) throw failed(otherwise);
  }

  void drop_lanes_without_plan() {
    keep_lanes([](const lane_work& l) { return l.before && l.before->open; },
               {"state", "no lane of pipeline " + context_->config.name + " that was named has an open plan",
                "there is nothing to settle: `chute state show " + shell_word(context_->file) +
                    "` tells which lanes have one"});
  }

  // What was planned last is not in them. A note that says so would be written over.
  void refuse_old_records() const {
    for (const auto& t : topics_)
      for (const auto& l : t.lanes)
        if (l.went_back) throw failed(cannot_settle_old_record(whose(l), l.key.lane, t.dest->standing().trust));
  }

  void drop_lanes_not_moved() {
    keep_lanes(
        [this](const lane_work& l) {
          for (std::size_t i = 0; i < l.partitions.size(); ++i)
            if (wanted(l.partitions[i]) && l.foreign(i)) return true;
          return false;
        },
        {"state",
         "no offset of group " + context_->config.group + " was moved by another tool" +
             (what_.partitions.empty() && !what_.lane && what_.topic.empty() ? "" : ", of those that were named"),
         "move them first (kafka-consumer-groups --reset-offsets), or name a position yourself (--to-offset N)"});
  }

  // --- waiting until no attempt can still be running
  // --------------------------------------------------------------------

  struct open_tokens {
    topic_work* of;
    std::vector<token_t> tokens; // none: there may be plans that nobody knows of
  };

  void wait_quiet() {
    if (what_.what == move_request::verb::settle && what_.said == word::landed) return;
    if (context_->config.delivery == delivery_mode::at_least_once) return;
    std::vector<open_tokens> open;
    for (auto& t : topics_) {
      open_tokens o{&t, {}};
      bool wait = false;
      for (auto& l : t.lanes) {
        if (l.before && l.before->open) o.tokens.push_back(l.before->open->token);
        wait |= l.unknown_plans || (l.before && l.before->open);
      }
      if (wait) open.push_back(std::move(o));
    }
    if (open.empty()) return;
    const auto& limits = context_->top.clickhouse;
    const auto whole = limits.lease_ms + limits.insert_limit_ms;
    const auto waits =
        "waits for " + format_duration(whole) + ", until no insert that was begun before can still be running";
    say(waits);
    auto since = mono_now();
    std::string told;
    for (;;) {
      bool running = false;
      const auto why = quiet_answers(open, running);
      if (!why.empty() && !running) since = mono_now(); // silence
      if (without_times(why) != without_times(std::exchange(told, why)))
        say(waits + (why.empty() ? "; nothing stands in the way any more" : "; it cannot go on: " + why));
      const auto left = whole - (mono_now() - since);
      if (left <= 0 && why.empty()) return;
      pause(std::clamp<std::int64_t>(left, step_ms, ask_every_ms));
    }
  }

  // Why it is not over yet, or nothing. `running`: because an insert still runs; else a server did not answer.
  std::string quiet_answers(const std::vector<open_tokens>& open, bool& running) {
    std::string runs;
    for (const auto& o : open) {
      auto tokens = o.tokens;
      // A token that no insert has: every server has to answer all the same. One that is silent may hold an insert of
      // an unknown plan, and deliver it after the table was asked.
      if (tokens.empty()) tokens.push_back({random(), random()});
      for (const auto& token : tokens) {
        bool now = false;
        auto why = quiet_answer(*o.of, token, now);
        if (!why.empty() && !now) return why;
        if (now) runs = std::move(why);
      }
    }
    running = !runs.empty();
    return runs;
  }

  // What does not answer at once may hold an insert in a socket still.
  std::string quiet_answer(topic_work& t, const token_t& token, bool& runs) {
    const auto asked = mono_now();
    const auto a = t.dest->ask(tools_, {0, {}, token, false}, runs);
    if (!a.answered) {
      runs = false;
      return a.why + " (an insert may still be running there: bring that server back, or take it out of clickhouse.url "
                     "and do the same again)";
    }
    if (mono_now() - asked > answer_ms_max) {
      runs = false;
      return "ClickHouse took longer than " + format_duration(answer_ms_max) + " to answer";
    }
    return runs ? a.why : std::string();
  }

  // Offsets cannot be compared and set: who began meanwhile, and has gone again, would be overwritten.
  void nobody_came_between() {
    group_must_be_empty();
    for (auto& t : topics_) {
      std::vector<const lane_work*> lanes;
      for (const auto& l : t.lanes) lanes.push_back(&l);
      offsets_as_they_were(lanes);
    }
  }

  // Of lanes of one topic.
  void offsets_as_they_were(const std::vector<const lane_work*>& lanes) {
    std::vector<kafka::topic_partition> places;
    for (const auto* l : lanes)
      for (auto p : l->partitions) places.push_back({l->key.topic, p});
    const auto now = kafka::read_offsets(context_->kafka_client(), context_->config.group, places, limit_ms);
    auto next = now.begin();
    for (const auto* l : lanes)
      for (const auto& before : l->committed) {
        const auto& c = *next++;
        if (c.what == from::failed) throw failed(c.why.value_or(error{"kafka", "no answer", "try again"}));
        if (c.what != before.what || c.next != before.next || c.metadata != before.metadata)
          throw failed({"state", l->where() + ": somebody ran the pipeline meanwhile: it was not moved",
                        "stop whoever runs it, and do the same again"});
      }
  }

  // --- moving
  // -----------------------------------------------------------------------------------------------------------

  lane_move reset(topic_work& t, lane_work& l) {
    look_at_log(l);
    if (t.dest->standing().trust.there) look_at_table(t, l);
    else if (what_.to == target::table)
      throw failed({"state",
                    l.where() + ": the table cannot say what it holds (no provenance columns, or an engine that melts "
                                "rows together)",
                    "name a position: " + whose(l).reset(partition_of(l) + "--to-offset N") + " or " +
                        whose(l).reset(of_lane(l.key.lane) + "--to-earliest")});
    choose_positions(t, l);
    move_base b{l.before,
                l.went_back,
                l.version,
                random(),
                random(),
                t.start.lanes,
                cluster_hash(*context_),
                t.dest->identity,
                t.dest->standing().trust,
                whose(l)};
    lane_move out{&l, must(moved(b, l.key.lane, l.facts)), {}};
    for (std::size_t i = 0; i < l.partitions.size(); ++i) out.lines += line_of(l, out.to, i);
    return out;
  }

  // An offset is one partition's.
  static std::string partition_of(const lane_work& l) {
    return l.partitions.size() == 1 ? of_partition(l.partitions.front()) : "--partition P ";
  }
  state_of whose(const lane_work& l) const { return {context_->file, context_->config.name, l.key.topic}; }

  std::string line_of(const lane_work& l, const lane_record& r, std::size_t i) const {
    const auto& p = r.partitions[i];
    std::string out = l.key.topic + ", partition " + std::to_string(l.partitions[i].value) + ": ";
    if (l.before) out += "from offset " + std::to_string(l.before->partitions[i].next.value) + " ";
    out += "to offset " + std::to_string(p.next.value);
    if (p.blind) out += "; the table holds offsets up to " + std::to_string(p.blind->value) + ", which are sent again";
    if (p.fill_to) out += "; up to offset " + std::to_string(p.fill_to->value) + " only what the table lacks is sent";
    // Retention was faster: whoever moves it for another reason must not learn of that from a gap.
    if (i < l.facts.size() && l.facts[i].past_loss) {
      auto from = i < l.held_to.size() ? l.held_to[i] : std::nullopt;
      if (!from && l.before) from = l.before->partitions[i].next;
      if (from && *from < l.facts[i].low)
        out += "; the log begins at offset " + std::to_string(l.facts[i].low.value) + ": of the " +
               std::to_string(l.facts[i].low - *from) + " before it, what the table lacks is lost";
    }
    // What a person had set there is gone with the notes that are written now.
    if (what_.what == move_request::verb::reset && !wanted(l.partitions[i]) && l.foreign(i) &&
        l.committed[i].next != p.next)
      out += "; the offset " + std::to_string(l.committed[i].next.value) +
             ", which another tool had set, is dropped (not adopted: its partition was not named)";
    return out + "\n";
  }

  std::vector<kafka::topic_partition> places_of(const lane_work& l) const {
    std::vector<kafka::topic_partition> out;
    for (auto p : l.partitions) out.push_back({l.key.topic, p});
    return out;
  }

  void look_at_log(lane_work& l) {
    for (auto& b : tools_.kafka().bounds(places_of(l), limit_ms)) {
      auto bounds = must(std::move(b));
      move_facts f;
      f.low = bounds.begin;
      f.end = bounds.end;
      l.facts.push_back(f);
    }
  }

  void look_at_table(topic_work& t, lane_work& l) {
    const auto highest = of_any_server([&](bool&) { return t.dest->highest(tools_, l.partitions); });
    for (std::size_t i = 0; i < l.facts.size(); ++i) l.facts[i].highest = highest[i];
  }

  void choose_positions(topic_work& t, lane_work& l) {
    std::vector<result<offset_t>> by_time;
    if (what_.to == target::time) by_time = tools_.kafka().offsets_for_time(places_of(l), what_.value, limit_ms);
    for (std::size_t i = 0; i < l.facts.size(); ++i) {
      if (!wanted(l.partitions[i])) continue; // stays
      auto& f = l.facts[i];
      f.named = true;
      switch (what_.to) {
      case target::earliest: f.to = f.low; break;
      case target::latest: f.to = f.end; break;
      case target::offset: f.to = offset_t{what_.value}; break;
      case target::time: f.to = must(std::move(by_time[i])); break;
      case target::adopted:
        if (l.foreign(i)) f.to = l.committed[i].next;
        else if (!l.before && l.committed[i].what == from::found) f.stays = l.committed[i].next;
        break;
      case target::table: f.past_loss = true; break;
      case target::current: break;
      }
    }
    if (what_.to == target::table && !usable(t, l)) after_the_table(t, l);
  }

  // Whether the record's positions are those of this log and this table.
  bool usable(topic_work& t, lane_work& l) {
    if (!l.before || l.before->cluster != cluster_hash(*context_)) return false;
    bool fits = true;
    for (std::size_t i = 0; i < l.facts.size(); ++i) {
      if (is_of_this_log(l, i)) continue;
      fits = false;
      if (wanted(l.partitions[i])) throw_another_log(l, i);
    }
    return fits && l.before->destination == t.dest->identity;
  }
  bool is_of_this_log(const lane_work& l, std::size_t i) {
    const auto& p = l.before->partitions[i];
    if (p.next > l.facts[i].end) return false;
    if (!p.known) return true;
    auto r = tools_.kafka().read_one({l.key.topic, l.partitions[i]}, *p.known_at(), limit_ms);
    using status = kafka::record_at::status;
    if (r.what == status::failed) throw failed(r.why.value_or(error{"kafka", "no answer", "try again"}));
    return r.what != status::found || static_cast<std::uint32_t>(r.hash) == p.known->hash;
  }
  // The table's rows are those of the log before: they say nothing of where to go on in this one.
  [[noreturn]] void throw_another_log(const lane_work& l, std::size_t i) const {
    const auto of = of_partition(l.partitions[i]);
    const auto end = std::to_string(l.facts[i].end.value);
    throw failed({"state",
                  l.where() + ", partition " + std::to_string(l.partitions[i].value) +
                      ": the log, which ends at offset " + end + ", is not the one of which all offsets below " +
                      std::to_string(l.before->partitions[i].next.value) +
                      " are done: the topic was made anew, or cut short",
                  whose(l).reset(of + "--to-earliest") + " delivers all that it holds now, " +
                      whose(l).reset(of + "--to-offset " + end) + " goes on at its end"});
  }

  // Of partitions that came later, all is delivered.
  static offset_t start_of(const topic_work& t, partition_id p) {
    const auto i = static_cast<std::size_t>(p.value);
    return i < t.start.from.size() ? t.start.from[i] : offset_t{0};
  }

  // Each partition stays at the first offset that the table does not hold: found by halves, all partitions at once.
  void after_the_table(topic_work& t, lane_work& l) {
    std::vector<offset_t> low, high; // all before `low` is there; `high` is not known to be
    for (std::size_t i = 0; i < l.facts.size(); ++i) {
      low.push_back(std::max(l.facts[i].low, start_of(t, l.partitions[i])));
      high.push_back(l.facts[i].highest ? std::max(low[i], *l.facts[i].highest + 1) : low[i]);
    }
    for (;;) {
      fx_ask fx{0, {}, {}, false};
      std::vector<std::size_t> asked;
      for (std::size_t i = 0; i < low.size(); ++i) {
        if (low[i] >= high[i]) continue;
        asked.push_back(i);
        fx.ranges.push_back({l.partitions[i], low[i], low[i] + (high[i] - low[i] - 1) / 2});
      }
      if (asked.empty()) break;
      const auto a = ask(t, fx);
      for (std::size_t k = 0; k < asked.size(); ++k) {
        const auto& r = fx.ranges[k];
        const bool whole = a.counts[k].either == static_cast<std::uint64_t>(r.last - r.first + 1);
        if (whole) low[asked[k]] = r.last + 1;
        else high[asked[k]] = r.last;
      }
    }
    l.held_to.resize(low.size());
    for (std::size_t i = 0; i < low.size(); ++i)
      if (wanted(l.partitions[i]) || !l.before) {
        l.facts[i].stays = low[i];
        const auto& highest = l.facts[i].highest;
        l.held_to[i] = highest ? std::max(start_of(t, l.partitions[i]), *highest + 1) : start_of(t, l.partitions[i]);
      }
  }

  // --- settling
  // ---------------------------------------------------------------------------------------------------------

  lane_move settle(topic_work& t, lane_work& l) {
    std::vector<settle_facts> facts(l.partitions.size());
    fx_ask fx{0, {}, {}, true};
    std::vector<std::size_t> asked;
    const auto& before = *l.before;
    refuse_another_place(t, l);
    for (std::size_t i = 0; i < facts.size(); ++i) {
      const auto next = before.partitions[i].next, last = before.open->last[i];
      if (last < next) continue;
      refuse_a_part(l, i);
      asked.push_back(i);
      fx.ranges.push_back({l.partitions[i], next, last});
      if (before.cluster != cluster_hash(*context_)) continue; // a record of another log
      auto r = tools_.kafka().read_one({l.key.topic, l.partitions[i]}, last, limit_ms);
      if (r.what == kafka::record_at::status::found) facts[i].known = {static_cast<std::uint32_t>(r.hash), 1};
    }
    if (t.dest->standing().trust.there) {
      if (what_.said == word::table)
        for (auto& r : done_before(l, asked)) fx.ranges.push_back(r);
      const auto a = ask(t, fx);
      for (std::size_t k = 0; k < asked.size(); ++k) facts[asked[k]].found = a.counts[k].either;
      for (auto k = asked.size(); k < a.counts.size(); ++k) facts[asked.front()].done += a.counts[k].either;
    }
    lane_move out{
        &l, must(settled(before, random(), what_.said, t.dest->standing().trust, l.key.lane, facts, whose(l))), {}};
    for (auto i : asked) out.lines += line_of(l, out.to, i);
    return out;
  }

  // A table that shows nothing of what was done before is not believed either where it shows nothing of the plan.
  std::vector<offset_range> done_before(const lane_work& l, const std::vector<std::size_t>& asked) const {
    const std::int64_t span = context_->config.where.empty() ? lane_config{}.control_offsets : INT64_MAX;
    std::vector<offset_range> out;
    for (auto i : asked)
      if (const auto next = l.before->partitions[i].next; next.value > 0)
        out.push_back({l.partitions[i], {std::max<std::int64_t>(0, next.value - span)}, next - 1});
    return out;
  }

  // A plan is one insert: what is said of it is said of all its partitions.
  void refuse_a_part(const lane_work& l, std::size_t i) const {
    if (wanted(l.partitions[i])) return;
    throw failed({"state",
                  l.where() + ": its open plan holds records of partition " + std::to_string(l.partitions[i].value) +
                      " too, which was not named, and a plan is settled as a whole",
                  "look at all of them (`chute state show " + shell_word(context_->file) +
                      "` tells them), and name the lane: " + whose(l).settle(of_lane(l.key.lane) + word_of())});
  }
  std::string word_of() const {
    return what_.said == word::landed ? "--landed" : what_.said == word::not_landed ? "--not-landed" : "";
  }

  // Its plan is of another log or another table, and the lane would stop for that all the same.
  void refuse_another_place(const topic_work& t, const lane_work& l) const {
    if (what_.said != word::table) return; // a person may know
    const bool table = l.before->destination != t.dest->identity;
    if (!table && l.before->cluster == cluster_hash(*context_)) return;
    const auto of = of_lane(l.key.lane);
    throw failed(
        {"state",
         l.where() + ": its open plan is of another " + (table ? "table" : "Kafka cluster") + " than the file names",
         "put that back; or move the lane: " + whose(l).reset(of + "--to-earliest") +
             " delivers all that the log holds, " + whose(l).reset(of + "--to-current") +
             " goes on at the record's position"});
  }

  // --- saving
  // -----------------------------------------------------------------------------------------------------------

  // A lane after the other: no store takes those of a group and its offsets as one. What was moved before one that
  // failed is told of.
  std::string save_all(const std::vector<lane_move>& moves) {
    std::string done;
    for (const auto& m : moves) {
      try {
        save(m, done);
      } catch (const failed& f) {
        throw failed(beside(f.why, done));
      } catch (const std::exception& e) { // of a host's own store
        throw failed(beside({"state", e.what(), ""}, done));
      }
    }
    return done;
  }

  static error beside(error why, const std::string& done) {
    if (!done.empty()) why.cause += "; moved before that:\n" + done.substr(0, done.size() - 1);
    return why;
  }

  void save(const lane_move& m, std::string& done) {
    const auto& l = *m.of;
    save_request request{l.key, l.expected, {m.to.version, encode_record(m.to)}, {}};
    for (std::size_t i = 0; i < l.partitions.size(); ++i)
      request.offsets.push_back({l.partitions[i], m.to.partitions[i].next});
    if (store_) {
      save_in_store(l, request);
      done += m.lines;                 // the offsets are output
    } else offsets_as_they_were({&l}); // the saves before this one took their time
    commit(l, request, m.to);
    if (!store_) done += m.lines;
  }

  void save_in_store(const lane_work& l, const save_request& request) {
    const auto until = mono_now() + save_limit_ms;
    for (;;) {
      auto a = store_->save({request}, limit_ms).front();
      if (a.status == save_status::accepted) return;
      auto why = a.why ? a.why->text() : std::string("no answer");
      if (a.status == save_status::refused)
        throw failed({"state", l.where() + ": the store refused: " + why, "somebody else saved it: look who runs"});
      if (mono_now() >= until)
        throw failed({"state", l.where() + ": no clear answer of the store: " + why, "do the same again"});
      std::this_thread::sleep_for(std::chrono::milliseconds(step_ms));
    }
  }

  // The group's offsets: the record itself where they are the store, else notes for lag tools and for recovery.
  void commit(const lane_work& l, const save_request& request, const lane_record& r) {
    auto note = write_note({store_ ? store_->name() : "kafka", r.lineage, r.version});
    std::vector<kafka::offset_commit> commits;
    for (std::size_t i = 0; i < request.offsets.size(); ++i)
      commits.push_back({{l.key.topic, request.offsets[i].partition},
                         request.offsets[i].next,
                         i == 0 && !store_ ? request.record.text : note});
    const auto until = mono_now() + save_limit_ms;
    for (;;) {
      auto answers = kafka::write_offsets(context_->kafka_client(), context_->config.group, commits, limit_ms);
      auto bad = std::find_if(answers.begin(), answers.end(),
                              [](const auto& a) { return a.status != kafka::commit_status::ok; });
      if (bad == answers.end()) return;
      const auto why = bad->why ? bad->why->text() : std::string("no answer");
      if (bad->status == kafka::commit_status::refused)
        throw failed({"state",
                      l.where() + ": somebody joined the group " + context_->config.group + " meanwhile: " + why,
                      "stop whoever runs the pipeline, and do the same again"});
      if (bad->status == kafka::commit_status::rejected || mono_now() >= until)
        throw failed({"state", l.where() + ": the group's offsets could not be written: " + why, "do the same again"});
      std::this_thread::sleep_for(std::chrono::milliseconds(step_ms));
    }
  }

  std::uint64_t random() { return static_cast<std::uint64_t>(device_()) << 32 | device_(); }

  std::shared_ptr<pipeline_context> context_;
  const move_request& what_;
  std::shared_ptr<store> store_; // null: the group
  const move_watch& watch_;
  worker_tools tools_;
  std::vector<topic_work> topics_;
  std::random_device device_;
};

// A directory that is not there is made, but not without a word: on another machine, or from another working directory,
// it is not the engine's.
result<std::shared_ptr<store>> open_to_move(const topology& t, const move_watch& watch) {
  std::error_code code;
  const auto path = std::filesystem::absolute(t.state.path, code).lexically_normal();
  const bool there = t.state.store != store_kind::file || std::filesystem::exists(path, code);
  auto opened = open_store(t);
  if (!opened.ok()) return opened.failure();
  if (!there && watch.say)
    watch.say("the directory " + path.string() +
              " did not exist and was made on this machine: the pipeline has to run with this one (state.path)");
  return std::shared_ptr<store>(*std::move(opened));
}

} // namespace

result<std::string> move_state(const topology& t, const std::string& file, const std::string& pipeline,
                               const move_request& what, std::shared_ptr<store> opened, const move_watch& watch) {
  auto p = std::find_if(t.pipelines.begin(), t.pipelines.end(), [&](const auto& c) { return c.name == pipeline; });
  if (p == t.pipelines.end()) return error{"state", "there is no pipeline " + pipeline, "see `pipelines:` in the file"};
  if (t.state.store == store_kind::memory) return error{"state", "the memory store keeps nothing", "it is for tests"};
  if (!opened && t.state.store != store_kind::own) {
    auto made = open_to_move(t, watch);
    if (!made.ok()) return made.failure();
    opened = *std::move(made);
  }
  auto context = quiet_context(t, *p);
  context->file = file;
  context->session_timeout_ms = session_timeout_of(t);
  try {
    return mover(context, what, std::move(opened), watch).run();
  } catch (const failed& f) {
    return f.why;
  } catch (const std::exception& e) {
    return error{"state", e.what(), ""};
  }
}

} // namespace chute
