// A group member as a process of its own, for tests that stop and wake it. group_child GROUP TOPIC
// Reads lines "commit PARTITION NEXT METADATA" and "read PARTITION", prints "assigned N", "revoked", "lost",
// "answer STATUS", "offset NEXT METADATA".
#include "kafka/group.hpp"
#include "test/stores/real_broker.hpp"

#include <cstdio>
#include <poll.h>
#include <sstream>
#include <unistd.h>

using namespace chute;
using namespace chute::kafka;

namespace {

const char* text_of(commit_status s) {
  switch (s) {
  case commit_status::ok: return "ok";
  case commit_status::refused: return "refused";
  case commit_status::rejected: return "rejected";
  case commit_status::not_now: return "not_now";
  case commit_status::unknown: break;
  }
  return "unknown";
}

void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

void tell(kafka::group_member& m, const group_event& e) {
  if (auto* a = std::get_if<assigned>(&e)) say("assigned " + std::to_string(a->partitions.size()));
  if (std::get_if<lost>(&e)) say("lost");
  if (auto* c = std::get_if<commit_answered>(&e)) say(std::string("answer ") + text_of(c->answers.at(0).status));
  if (std::get_if<revoked>(&e)) {
    say("revoked");
    m.complete_revoke();
  }
}

bool obey(kafka::group_member& m, const std::string& topic) {
  pollfd in{0, POLLIN, 0};
  if (::poll(&in, 1, 10) <= 0) return true;
  char buffer[4096];
  auto n = ::read(0, buffer, sizeof buffer);
  if (n <= 0) return false;
  std::istringstream line(std::string(buffer, static_cast<std::size_t>(n)));
  std::string word, metadata;
  int partition = 0;
  std::int64_t next = 0;
  while (line >> word >> partition) {
    if (word == "read") {
      const topic_partition where{topic, {partition}};
      const auto c = m.committed({where}, 10'000).at(0);
      say("offset " + std::to_string(c.next.value) + " " + c.metadata);
    } else if (line >> next >> metadata) m.start_commit({{{topic, {partition}}, {next}, metadata}}, 10'000);
  }
  return true;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto made = kafka::group_member::open(
      {{test::brokers(),
        {{"session.timeout.ms", "2000"}, {"heartbeat.interval.ms", "300"}, {"max.poll.interval.ms", "30000"}},
        {}},
       argv[1],
       {argv[2]},
       {}});
  if (!made) {
    say(made.failure().text());
    return 1;
  }
  while (obey(**made, argv[2]))
    for (const auto& e : (*made)->poll(0)) tell(**made, e);
}
