#include "state/kafka_store.hpp"

#include "core/move_request.hpp"
#include "core/mutant.hpp"
#include "core/record.hpp"
#include "state/compare.hpp"
#include "state/offset_note.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <utility>

namespace chute {

namespace {

constexpr std::size_t entry_overhead = 32; // bytes of a partition in a request, beside its metadata
constexpr std::size_t shown_max = 60;      // characters of somebody else's metadata in a message

offset_log::place seat_of(const lane_key& k) { return {k.topic, {k.lane.value}}; }

std::string shown(const std::string& metadata) {
  auto out = metadata.substr(0, shown_max);
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return !std::isprint(c); }, '?');
  return out + (metadata.size() > shown_max ? "…" : "");
}

loaded failed(const lane_key& k, const std::string& cause, const std::string& way_out) {
  loaded out;
  out.failure = error{"state", to_string(k) + ": " + cause, way_out};
  return out;
}

loaded foreign(const std::string& what) {
  loaded out;
  out.status = loaded::status::absent;
  if (!mutant(bug::foreign_offset_is_absent)) out.foreign = what;
  return out;
}

// There is an offset, but no record. A group of its own would be a first start, and send all of it again.
loaded elsewhere(const lane_key& k, const std::string& store) {
  const auto after_table = [&](const std::string& topic) {
    return "stop the pipeline and run " + state_command("reset", "FILE", k.pipeline, topic, "--to-table") +
           " (docs/state-stores.md, \"Another store\")";
  };
  if (store == "kafka") // this partition was no seat then
    return failed(k,
                  "its record is not here: the offset carries the note of a partition beside another lane's seat, so "
                  "the topic began with fewer lanes",
                  after_table(k.topic));
  return failed(k, "its record is not here: another run kept it in the store '" + store + "'",
                "write state.store: " + store + " again; or, to go on with kafka, " + after_table(""));
}

// What the seat's offset says of the lane.
loaded read_seat(const lane_key& k, const offset_log::entry& e) {
  using status = offset_log::entry::status;
  if (e.what == status::failed && !mutant(bug::unreadable_offset_is_absent))
    return failed(k, e.why ? e.why->text() : "its offset could not be read", e.why ? e.why->way_out : "");
  if (e.what != status::found) {
    loaded out;
    out.status = loaded::status::absent;
    return out;
  }
  auto at = "offset " + std::to_string(e.next.value);
  if (e.metadata.compare(0, record_marker.size(), record_marker) != 0)
    return foreign(at + ", metadata '" + shown(e.metadata) + "'");
  if (auto note = read_note(e.metadata)) return elsewhere(k, note->store);
  auto record = decode_record(e.metadata);
  // Tools that mirror offsets copy metadata word for word.
  bool own = !record || record->partitions.empty() || record->partitions[0].next == e.next;
  if (!own && !mutant(bug::copied_metadata_believed))
    return foreign(at + ", but the record in its metadata says " + std::to_string(record->partitions[0].next.value));
  // One that cannot be read is there all the same: no waiting mends it, and the lane stops.
  loaded out;
  out.status = loaded::status::found;
  out.record = {record ? record->version : 0, e.metadata};
  return out;
}

std::vector<offset_log::commit> commits_of(const save_request& r, std::uint64_t lineage) {
  auto note = write_note({"kafka", lineage, r.record.version});
  std::vector<offset_log::commit> out;
  for (std::size_t i = 0; i < r.offsets.size(); ++i)
    out.push_back({{r.lane.topic, r.offsets[i].partition}, r.offsets[i].next, i == 0 ? r.record.text : note});
  return out;
}

std::size_t size_of(const std::vector<offset_log::commit>& commits) {
  std::size_t n = 0;
  for (const auto& c : commits) n += entry_overhead + c.where.topic.size() + c.metadata.size();
  return n;
}

saved answer_of(const offset_log::answer& a) {
  using status = offset_log::answer::status;
  switch (a.what) {
  case status::ok: return {save_status::accepted, {}};
  case status::refused:
  case status::rejected: return {save_status::refused, a.why};
  case status::not_now: return {save_status::not_now, a.why};
  case status::unknown: break;
  }
  return {save_status::unknown, a.why};
}

class kafka_store final : public store {
public:
  explicit kafka_store(offset_log& log) : log_(log) {}
  const char* name() const override { return "kafka"; }

  std::vector<loaded> load(const std::vector<lane_key>& lanes, std::int64_t limit_ms) override {
    std::vector<offset_log::place> seats;
    for (const auto& k : lanes) seats.push_back(seat_of(k));
    auto entries = log_.committed(seats, limit_ms);
    std::vector<loaded> out;
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      out.push_back(i < entries.size() ? read_seat(lanes[i], entries[i]) : failed(lanes[i], "no answer", ""));
      remember(lanes[i], out.back());
    }
    return out;
  }

  std::vector<saved> save(const std::vector<save_request>& requests, std::int64_t limit_ms) override {
    auto deadline = boot_ms() + limit_ms;
    std::vector<std::optional<saved>> answers(requests.size());
    look_up_unknown(requests, deadline);
    group batch;
    std::set<lane_key> named;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      // Two saves of one lane in one request would not be compared with each other.
      if (!named.insert(requests[i].lane).second) send(std::exchange(batch, {}), requests, answers, deadline);
      answers[i] = judge(requests[i]);
      if (answers[i]) continue;
      auto record = decode_record(requests[i].record.text); // it could be read, or judge() had answered
      auto commits = commits_of(requests[i], record->lineage);
      if (!batch.commits.empty() && size_of(batch.commits) + size_of(commits) > offsets_request_max)
        send(std::exchange(batch, {}), requests, answers, deadline);
      batch.lanes.emplace_back(i, batch.commits.size());
      batch.commits.insert(batch.commits.end(), commits.begin(), commits.end());
    }
    send(batch, requests, answers, deadline);
    std::vector<saved> out;
    for (auto& a : answers) out.push_back(std::move(*a));
    return out;
  }

private:
  // What is known of a lane: its record or its absence; or why it cannot be saved.
  struct knowledge {
    std::optional<stored_record> record;
    std::optional<error> unusable;
    bool transient = false; // unusable for now: the question had no answer
  };
  // Lanes that go in one request: the request's index and where its seat stands among the commits.
  struct group {
    std::vector<std::pair<std::size_t, std::size_t>> lanes;
    std::vector<offset_log::commit> commits;
  };

  // Without an answer there is nothing to remember: the next save asks again. Over somebody else's offset, and over a
  // record that cannot be read, nothing is written.
  void remember(const lane_key& k, const loaded& l) {
    auto unusable = [&](const std::string& cause, const std::string& way_out) {
      known_[k] = {{}, error{"state", to_string(k) + ": " + cause, way_out}, false};
    };
    if (l.status == loaded::status::failed) known_.erase(k);
    else if (!l.foreign.empty()) unusable("a foreign " + l.foreign, "");
    else if (l.status == loaded::status::absent) known_[k] = {};
    else if (auto r = decode_record(l.record.text); !r) unusable(r.failure().cause, r.failure().way_out);
    else known_[k] = {l.record, {}, false};
  }

  void look_up_unknown(const std::vector<save_request>& requests, std::int64_t deadline) {
    std::vector<lane_key> ask;
    for (const auto& r : requests)
      if (!known_.count(r.lane)) ask.push_back(r.lane);
    if (ask.empty()) return;
    auto found = load(ask, std::max<std::int64_t>(deadline - boot_ms(), 0));
    for (std::size_t i = 0; i < ask.size(); ++i)
      if (found[i].status == loaded::status::failed) known_[ask[i]] = {{}, found[i].failure, true};
  }

  // The answer, if nothing is to be written.
  std::optional<saved> judge(const save_request& r) {
    auto it = known_.find(r.lane);
    if (it == known_.end()) // an earlier save in this call had no answer
      return saved{save_status::not_now, error{"state", to_string(r.lane) + ": the save before is not settled", ""}};
    if (it->second.unusable) {
      saved out{it->second.transient ? save_status::not_now : save_status::refused, it->second.unusable};
      known_.erase(it);
      return out;
    }
    auto record = decode_record(r.record.text);
    bool fits = record && record->version == r.record.version && !r.offsets.empty() &&
                r.offsets[0].partition == seat_of(r.lane).partition;
    if (!fits)
      return saved{save_status::refused,
                   error{"state", to_string(r.lane) + ": this is no record with the seat's offset first", ""}};
    return compare(r, it->second.record);
  }

  void send(const group& g, const std::vector<save_request>& requests, std::vector<std::optional<saved>>& answers,
            std::int64_t deadline) {
    if (g.commits.empty()) return;
    auto left = deadline - boot_ms();
    if (left <= 0) { // only behind an earlier request that took all the time
      for (const auto& [i, seat] : g.lanes)
        answers[i] =
            saved{save_status::not_now, error{"state", to_string(requests[i].lane) + ": no time was left", ""}};
      return;
    }
    auto done = log_.write(g.commits, left);
    for (const auto& [i, seat] : g.lanes) {
      answers[i] = seat < done.size() ? answer_of(done[seat]) : saved{save_status::unknown, {}};
      const auto& r = requests[i];
      if (answers[i]->status == save_status::accepted) known_[r.lane] = {r.record, {}, false};
      else if (answers[i]->status != save_status::not_now && !mutant(bug::save_behind_unknown)) known_.erase(r.lane);
    }
  }

  offset_log& log_;
  std::map<lane_key, knowledge> known_;
};

} // namespace

std::unique_ptr<store> make_kafka_store(offset_log& log) { return std::make_unique<kafka_store>(log); }

} // namespace chute
