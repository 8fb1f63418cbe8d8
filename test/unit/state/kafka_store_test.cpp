// The kafka store over a log that answers as it is told: the answers that a real broker gives only in bad moments.
// Its work with real brokers is tested in test/stores/.
#include "state/kafka_store.hpp"

#include "state/offset_note.hpp"
#include "test/unit/state/records.hpp"

#include <deque>
#include <doctest/doctest.h>
#include <map>

using namespace chute;
using namespace chute::test;

namespace {

constexpr std::int64_t limit = 5'000;
using entry = offset_log::entry;
using answer = offset_log::answer;

struct told_log final : offset_log {
  std::map<place, entry> offsets;
  std::map<place, answer> answers; // where not ok
  bool writes_unknown_land = true; // whether what is answered `unknown` is written
  bool unreadable = false;
  std::vector<std::vector<commit>> requests;
  int reads = 0;

  std::vector<entry> committed(const std::vector<place>& places, std::int64_t) override {
    ++reads;
    std::vector<entry> out;
    for (const auto& p : places) {
      auto it = offsets.find(p);
      if (unreadable) out.push_back({entry::status::failed, {}, "", error{"kafka", "no coordinator", ""}});
      else out.push_back(it == offsets.end() ? entry{entry::status::none, {}, "", {}} : it->second);
    }
    return out;
  }
  std::vector<answer> write(const std::vector<commit>& commits, std::int64_t) override {
    requests.push_back(commits);
    std::vector<answer> out;
    for (const auto& c : commits) {
      auto it = answers.find(c.where);
      answer a = it == answers.end() ? answer{answer::status::ok, {}} : it->second;
      bool landed = a.what == answer::status::ok || (a.what == answer::status::unknown && writes_unknown_land);
      if (landed) put(c.where, c.next.value, c.metadata);
      out.push_back(a);
    }
    return out;
  }
  void put(const place& p, std::int64_t next, const std::string& metadata) {
    offsets[p] = {entry::status::found, {next}, metadata, {}};
  }
  void answer_with(int partition, answer::status what) {
    answers[{"orders", {partition}}] = {what, error{"kafka", "told so", ""}};
  }
};

save_status save(store& s, const save_request& r) { return s.save({r}, limit)[0].status; }
loaded load(store& s, int lane = 0) { return s.load({lane_of(lane)}, limit)[0]; }

} // namespace

TEST_CASE("kafka store: the record is the seat's metadata, and the lane's other offsets carry a note") {
  told_log log;
  auto s = make_kafka_store(log);
  auto r = save_of(lane_of(2), 1);
  r.offsets.push_back({{34}, {7}});
  REQUIRE(save(*s, r) == save_status::accepted);
  CHECK(log.offsets.at({"orders", {2}}).metadata == r.record.text);
  CHECK(log.offsets.at({"orders", {2}}).next.value == 10);
  CHECK(log.offsets.at({"orders", {34}}).next.value == 7);
  CHECK(read_note(log.offsets.at({"orders", {34}}).metadata) == offset_note{"kafka", 0xabcdef, 1});
}

TEST_CASE("kafka store: what the seat's offset can say") {
  told_log log;
  auto s = make_kafka_store(log);
  offset_log::place seat{"orders", {0}};
  CHECK(load(*s).status == loaded::status::absent);
  CHECK(load(*s).foreign.empty());

  auto r = save_of(lane_of(), 3);
  log.put(seat, 30, r.record.text);
  CHECK(load(*s).status == loaded::status::found);
  CHECK(load(*s).record.version == 3);
  CHECK(load(*s).record.text == r.record.text);

  log.put(seat, 31, r.record.text); // moved by a tool that copies metadata
  CHECK(load(*s).foreign.find("offset 31, but the record in its metadata says 30") != std::string::npos);
  for (const std::string& metadata : std::vector<std::string>{"", "somebody's", "chute", "\x01\xff"}) {
    log.put(seat, 5, metadata);
    CHECK(load(*s).status == loaded::status::absent);
    CHECK(load(*s).foreign.find("offset 5") != std::string::npos);
    CHECK(save(*s, save_of(lane_of(), 1)) == save_status::refused);
  }
  for (const std::string& metadata : {std::string("chute1:"), std::string("chute1:AAAA"), r.record.text + "AAAA",
                                      r.record.text.substr(0, r.record.text.size() - 2)}) {
    // It is there, and no waiting makes it readable: the lane reads it and stops. Nothing is written over it.
    log.put(seat, 30, metadata);
    CHECK(load(*s).status == loaded::status::found);
    CHECK(load(*s).record.text == metadata);
    for (std::uint64_t version : {1, 4}) {
      auto refused = s->save({save_of(lane_of(), version)}, limit)[0];
      CHECK(refused.status == save_status::refused);
      CHECK(refused.why->text().find("cannot be read") != std::string::npos);
    }
    CHECK(log.offsets.at(seat).metadata == metadata);
  }
  log.put(seat, 30, write_note({"file", 1, 2}));
  CHECK(load(*s).status == loaded::status::failed);
  CHECK(load(*s).failure->cause.ends_with("its record is not here: another run kept it in the store 'file'"));
  CHECK(load(*s).failure->way_out ==
        "write state.store: file again; or, to go on with kafka, stop the pipeline and run "
        "`chute state reset FILE --pipeline pipeline --to-table` (docs/state-stores.md, "
        "\"Another store\")");
  log.put(seat, 30, write_note({"kafka", 1, 2})); // it was no seat before
  CHECK(load(*s).failure->cause.find("the topic began with fewer lanes") != std::string::npos);
  CHECK(load(*s).failure->way_out.find("--topic orders --to-table") != std::string::npos);
  log.unreadable = true;
  CHECK(load(*s).status == loaded::status::failed);
}

TEST_CASE("kafka store: each answer of the coordinator") {
  told_log log;
  auto s = make_kafka_store(log);
  REQUIRE(save(*s, save_of(lane_of(), 1)) == save_status::accepted);
  log.answer_with(0, answer::status::not_now);
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::not_now);
  log.answers.clear();
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::accepted);
  log.answer_with(0, answer::status::refused);
  CHECK(save(*s, save_of(lane_of(), 3)) == save_status::refused);
  log.answer_with(0, answer::status::rejected);
  auto rejected = s->save({save_of(lane_of(), 3)}, limit)[0];
  CHECK(rejected.status == save_status::refused);
  CHECK(rejected.why->cause == "told so");
  CHECK(load(*s).record.version == 2);
}

TEST_CASE("kafka store: an unknown save that landed is accepted when it is repeated, without another write") {
  told_log log;
  auto s = make_kafka_store(log);
  REQUIRE(save(*s, save_of(lane_of(), 1)) == save_status::accepted);
  log.answer_with(0, answer::status::unknown);
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::unknown);
  log.answers.clear();
  auto writes = log.requests.size();
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::accepted);
  CHECK(log.requests.size() == writes);
  CHECK(save(*s, save_of(lane_of(), 3)) == save_status::accepted);
}

TEST_CASE("kafka store: an unknown save that did not land is written when it is repeated") {
  told_log log;
  log.writes_unknown_land = false;
  auto s = make_kafka_store(log);
  log.answer_with(0, answer::status::unknown);
  CHECK(save(*s, save_of(lane_of(), 1)) == save_status::unknown);
  log.answers.clear();
  CHECK(save(*s, save_of(lane_of(), 1)) == save_status::accepted);
  CHECK(load(*s).record.version == 1);
}

TEST_CASE("kafka store: behind an unknown save nothing is written unless it can be read what came of it") {
  told_log log;
  auto s = make_kafka_store(log);
  log.answer_with(0, answer::status::unknown);
  CHECK(save(*s, save_of(lane_of(), 1)) == save_status::unknown);
  log.answers.clear();
  log.unreadable = true;
  auto writes = log.requests.size();
  CHECK(save(*s, save_of(lane_of(), 1)) == save_status::not_now);
  CHECK(log.requests.size() == writes);
  log.unreadable = false;
  // Meanwhile somebody else saved the lane.
  log.put({"orders", {0}}, 10, save_of(lane_of(), 1, 99).record.text);
  CHECK(save(*s, save_of(lane_of(), 1)) == save_status::refused);
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::accepted);
}

TEST_CASE("kafka store: lanes of one request do not share their fate") {
  told_log log;
  auto s = make_kafka_store(log);
  log.answer_with(1, answer::status::rejected);
  log.answer_with(2, answer::status::unknown);
  auto wrong = save_of(lane_of(4), 7);
  auto late = save_of(lane_of(0), 1); // the same lane again
  auto a = s->save({save_of(lane_of(0), 1), save_of(lane_of(1), 1), save_of(lane_of(2), 1), save_of(lane_of(3), 1),
                    wrong, save_of(lane_of(0), 2), save_of(lane_of(0), 2, 5)},
                   limit);
  CHECK(a[0].status == save_status::accepted);
  CHECK(a[1].status == save_status::refused);
  CHECK(a[2].status == save_status::unknown);
  CHECK(a[3].status == save_status::accepted);
  CHECK(a[4].status == save_status::refused);
  CHECK(a[5].status == save_status::accepted);
  CHECK(a[6].status == save_status::refused);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i].why.has_value() == (a[i].status != save_status::accepted));
}

TEST_CASE("kafka store: requests stay below their bound, and a lane stays whole") {
  told_log log;
  auto s = make_kafka_store(log);
  std::vector<save_request> all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(largest_save_of(lane_of(i), 1));
    CHECK(all.back().record.text.size() <= record_text_max);
    CHECK(all.back().record.text.size() > 3'000);
    for (int k = 1; k < 10; ++k) all.back().offsets.push_back({{i + 100 * k}, {1}});
  }
  for (const auto& a : s->save(all, limit)) CHECK(a.status == save_status::accepted);
  CHECK(log.requests.size() >= 2);
  for (const auto& request : log.requests) {
    std::size_t size = 0;
    std::map<int, int> lanes;
    for (const auto& c : request) {
      size += c.metadata.size() + c.where.topic.size() + 32;
      ++lanes[c.where.partition.value % 100];
    }
    CHECK(size <= offsets_request_max);
    for (const auto& [lane, count] : lanes) CHECK(count == 10);
  }
}

TEST_CASE("kafka store: what is no save is refused before anything is sent") {
  told_log log;
  auto s = make_kafka_store(log);
  auto no_record = save_of(lane_of(), 1);
  no_record.record.text = "chute1:nonsense";
  auto other_version = save_of(lane_of(), 1);
  other_version.record.version = 2;
  auto no_offsets = save_of(lane_of(), 1);
  no_offsets.offsets.clear();
  auto not_the_seat = save_of(lane_of(), 1);
  not_the_seat.offsets[0].partition = {5};
  for (const auto& r : {no_record, other_version, no_offsets, not_the_seat}) CHECK(save(*s, r) == save_status::refused);
  CHECK(log.requests.empty());
  CHECK(s->save({}, limit).empty());
  CHECK(s->load({}, limit).empty());
}
