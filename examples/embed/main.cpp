// Two engines in one process: one in the host's actor system, whose events go to an actor of the host; one in a system
// of its own, with a decoder and a state store of the host, whose events go to a function.
//
//   embed FIRST.yaml SECOND.yaml              runs until SIGTERM or SIGINT, then drains
//   embed FIRST.yaml SECOND.yaml --until-end  up to the ends of the topics as they are now
#include "ledger.hpp"
#include "pairs.hpp"

#include <chute/actors/engine.hpp>
#include <chute/actors/event_message.hpp>
#include <chute/actors/load.hpp>

#include <caf/all.hpp>

#include <csignal>
#include <ctime>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>

namespace {

void say(const std::string& line) {
  static std::mutex lock; // events come on other threads
  std::lock_guard hold(lock);
  std::cout << line << std::endl;
}

void say(const std::string& who, const chute::engine_event& e) {
  std::ostringstream line;
  line << who << ": " << e.pipeline << ": " << to_string(e.what);
  using kind = enum chute::engine_event::kind;
  if (e.what == kind::pipeline) line << " " << to_string(e.state);
  if (e.what == kind::lane) line << " " << e.topic << "/" << e.lane.value << " " << to_string(e.phase);
  if (e.what == kind::dead_letters) line << " " << e.count;
  if (!e.text.empty()) line << ": " << e.text;
  say(line.str());
}

// An actor of the host.
caf::behavior listener(caf::event_based_actor*) {
  return {[](const chute::engine_event& e) { say("actor", e); }};
}

// A signal, or 0 after a tenth of a second. Signals are blocked in all threads.
int next_signal(const sigset_t& set) {
  const timespec limit{0, 100'000'000};
  const int got = sigtimedwait(&set, nullptr, &limit);
  return got > 0 ? got : 0;
}

// Says once that an engine has gathered records: status() may be asked at any time.
void say_gathered(const std::string& who, const chute::engine& e, bool& said) {
  if (said || e.status().memory_used == 0) return;
  say(who + ": has gathered records");
  said = true;
}

// The exit code. Whoever calls returns it from main(), so that engines that run already are drained; std::exit() would
// take away what their threads still use.
int failed(const chute::error& why) {
  std::cerr << why.text() << '\n';
  return 1;
}

} // namespace

int main(int argc, char** argv) {
  const bool until_end = argc == 4 && std::string(argv[3]) == "--until-end";
  if (argc != 3 && !until_end) return std::cerr << "usage: embed FIRST.yaml SECOND.yaml [--until-end]\n", 64;
  sigset_t signals;
  sigemptyset(&signals);
  for (const int s : {SIGTERM, SIGINT}) sigaddset(&signals, s);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  caf::actor_system_config config;
  caf::actor_system system(config); // made before the engine that runs in it, so it ends after it
  const caf::actor ears = system.spawn(listener);
  chute::engine_options in_system;
  in_system.until_end = until_end;
  in_system.system = &system;
  in_system.listener = &ears;

  const auto records = std::make_shared<ledger>();
  chute::engine_options alone;
  alone.until_end = until_end;
  alone.on_event = [](const chute::engine_event& e) { say("function", e); };
  alone.own.decoders["pairs"] = pairs_decoder();
  alone.own.stores["ledger"] = [records] { return chute::result<std::unique_ptr<chute::store>>(open_ledger(records)); };

  const auto one = chute::load_topology(argv[1]);
  if (!one) return failed(one.failure());
  const auto two = chute::load_topology(argv[2], alone.own.names());
  if (!two) return failed(two.failure());
  const auto started_first = chute::engine::start(*one, std::move(in_system));
  if (!started_first) return failed(started_first.failure());
  const auto started_second = chute::engine::start(*two, std::move(alone));
  if (!started_second) return failed(started_second.failure());
  const auto &first = *started_first, &second = *started_second;

  bool first_gathered = false, second_gathered = false;
  while (!(first->wait_ms(0) && second->wait_ms(0)) && !next_signal(signals)) {
    say_gathered("first", *first, first_gathered);
    say_gathered("second", *second, second_gathered);
  }
  first->drain(); // side by side; the destructors would do it one after the other
  second->drain();
  first->wait_ms(30'000);
  second->wait_ms(30'000);
  for (const auto* e : {first.get(), second.get()})
    for (const auto& p : e->status().pipelines)
      say(p.name + ": " + to_string(p.state) + ", " + std::to_string(p.rows) + " rows, " +
          std::to_string(p.dead_letters) + " dead letters");
  return first->any_stopped() || second->any_stopped() ? 1 : 0;
}
