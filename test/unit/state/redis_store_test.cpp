// The redis store without a server: what it sends, and what it makes of each reply.
#include "state/redis_store.hpp"
#include "test/unit/state/records.hpp"

#include <doctest/doctest.h>
#include <map>

using namespace chute;
using namespace chute::test;

namespace {

using status = redis_answer::status;
using type = redis_reply::type;
constexpr std::int64_t limit = 5'000;

redis_reply text(const std::string& t) { return {type::text, t, 0, {}}; }
redis_reply failure(const std::string& t) { return {type::error, t, 0, {}}; }
redis_reply integer(std::int64_t n) { return {type::integer, "", n, {}}; }
redis_reply list(std::vector<redis_reply> l) { return {type::list, "", 0, std::move(l)}; }

struct fake_redis {
  std::vector<redis_commands> seen;
  redis_answer next;
  redis_link link() {
    return [this](const redis_commands& c, std::int64_t) {
      seen.push_back(c);
      return next;
    };
  }
  void replies(std::vector<redis_reply> r) { next = {status::ok, "", std::move(r)}; }
  saved save(store& s, std::uint64_t version) { return s.save({save_of(lane_of(), version)}, limit)[0]; }
};

} // namespace

TEST_CASE("redis: what a save sends") {
  fake_redis f;
  f.replies({list({text("saved"), text("saved")}), integer(1)});
  auto s = make_redis_store(f.link(), 1);
  auto a = save_of(lane_of(0), 1), b = save_of(lane_of(7), 18);
  auto answers = s->save({a, b}, limit);
  CHECK(answers[0].status == save_status::accepted);
  CHECK(answers[1].status == save_status::accepted);
  REQUIRE(f.seen.size() == 1);
  REQUIRE(f.seen[0].size() == 2);
  CHECK(f.seen[0][0] == std::vector<std::string>{"EVAL", redis_save_script, "2",
                                                 "chute:cluster/group/pipeline/orders/0",
                                                 "chute:cluster/group/pipeline/orders/7", "0", "1", a.record.text, "17",
                                                 "18", b.record.text});
  CHECK(f.seen[0][1][0] == "WAIT");
  CHECK(f.seen[0][1][1] == "1");
  auto wait = std::stoll(f.seen[0][1][2]);
  CHECK(wait > 0);
  CHECK(wait < limit);
}

TEST_CASE("redis: what each word of the script means") {
  fake_redis f;
  auto s = make_redis_store(f.link(), 0);
  f.replies({list({text("saved")})});
  CHECK(f.save(*s, 2).status == save_status::accepted);
  CHECK(f.seen[0].size() == 1); // no WAIT
  f.replies({list({text("version 5")})});
  CHECK(f.save(*s, 3).status == save_status::refused);
  f.replies({list({text("version 0")})});
  auto gone = f.save(*s, 3);
  CHECK(gone.status == save_status::refused);
  CHECK(gone.why->cause.find("it has no record") != std::string::npos);
  f.replies({list({text("version 1")})});
  CHECK(f.save(*s, 3).why->cause.find("went back in time") != std::string::npos);
  f.replies({list({text("error OOM command not allowed")})});
  auto full = f.save(*s, 3);
  CHECK(full.status == save_status::not_now);
  CHECK(full.why->way_out == "give Redis more memory");
  f.replies({list({text("what?")})});
  CHECK(f.save(*s, 3).status == save_status::unknown);
  f.replies({list({})});
  CHECK(f.save(*s, 3).status == save_status::unknown);
}

TEST_CASE("redis: errors in place of the script's answer wrote nothing") {
  for (const char* e : {"NOAUTH Authentication required.", "READONLY You can't write against a read only replica.",
                        "LOADING Redis is loading the dataset in memory", "BUSY Redis is busy running a script"}) {
    fake_redis f;
    f.replies({failure(e)});
    auto a = f.save(*make_redis_store(f.link(), 0), 2);
    CHECK(a.status == save_status::not_now);
    CHECK(a.why->cause.find(e) != std::string::npos);
  }
}

TEST_CASE("redis: a lost reply is unknown, and stays so until the repetition is answered") {
  fake_redis f;
  auto s = make_redis_store(f.link(), 0);
  f.next = {status::unsent, "connection refused", {}};
  CHECK(f.save(*s, 2).status == save_status::not_now);
  f.next = {status::unknown, "cut", {}};
  CHECK(f.save(*s, 2).status == save_status::unknown);
  f.next = {status::unsent, "connection refused", {}};
  CHECK(f.save(*s, 2).status == save_status::unknown);
  f.replies({list({text("saved")})});
  CHECK(f.save(*s, 2).status == save_status::accepted);
  f.next = {status::unsent, "connection refused", {}};
  CHECK(f.save(*s, 3).status == save_status::not_now);
}

TEST_CASE("redis: a save counts once the replicas have it") {
  fake_redis f;
  auto s = make_redis_store(f.link(), 2);
  f.replies({list({text("saved")}), integer(1)});
  auto a = f.save(*s, 2);
  CHECK(a.status == save_status::unknown);
  CHECK(a.why->cause.find("1 of 2 replicas") != std::string::npos);
  CHECK(a.why->way_out == "bring the replicas back, or lower state.replicas");
  // An error says nothing of the replicas, and nobody is told to do with less of them.
  for (auto [e, way_out] :
       {std::pair{"ERR unknown command 'WAIT', with args beginning with: '2'", "use a Redis that allows "},
        std::pair{"NOPERM this user has no permissions to run the 'wait' command", "give the user the rights to "},
        std::pair{"ERR WAIT cannot be used with replica instances.", "point state.url at the master"}}) {
    f.replies({list({text("saved")}), failure(e)});
    a = f.save(*s, 2);
    CHECK(a.status == save_status::unknown);
    CHECK(a.why->cause.find(e) != std::string::npos);
    CHECK(a.why->way_out.rfind(way_out, 0) == 0);
  }
  f.replies({list({text("version 9")}), integer(0)}); // a refusal needs no replica
  CHECK(f.save(*s, 2).status == save_status::refused);
  f.replies({list({text("saved")}), integer(2)});
  CHECK(f.save(*s, 2).status == save_status::accepted);
}

TEST_CASE("redis: a version that does not grow is not even sent") {
  fake_redis f;
  auto s = make_redis_store(f.link(), 0);
  auto r = save_of(lane_of(), 3);
  r.expected = 3;
  CHECK(s->save({r}, limit)[0].status == save_status::refused);
  CHECK(f.seen.empty());
}

TEST_CASE("redis: reading") {
  fake_redis f;
  auto s = make_redis_store(f.link(), 0);
  auto one = [&](redis_reply r) {
    f.replies({std::move(r)});
    return s->load({lane_of()}, limit)[0];
  };
  auto l = one(list({text("18446744073709551615"), text("words")}));
  CHECK(l.status == loaded::status::found);
  CHECK(l.record.version == UINT64_MAX);
  CHECK(l.record.text == "words");
  CHECK(one(list({{}, {}})).status == loaded::status::absent);
  CHECK(one(list({text("7"), {}})).status == loaded::status::failed);
  CHECK(one(list({text("x"), text("words")})).status == loaded::status::failed);
  CHECK(one(list({})).status == loaded::status::failed);
  CHECK(one(failure("WRONGTYPE Operation against a key")).failure->way_out != "");
  f.next = {status::unknown, "cut", {}};
  CHECK(s->load({lane_of()}, limit)[0].status == loaded::status::failed);
  f.next = {status::unsent, "refused", {}};
  CHECK(s->load({lane_of()}, limit)[0].status == loaded::status::failed);
}

namespace {

// A server as `check` sees it: INFO, and the settings that CONFIG GET gives.
struct checked_redis {
  std::map<std::string, std::string> info = {{"aof_enabled", "1"},
                                             {"role", "master"},
                                             {"connected_slaves", "0"},
                                             {"maxmemory", "0"},
                                             {"aof_last_write_status", "ok"},
                                             {"maxmemory_policy", "noeviction"}};
  std::map<std::string, std::string> settings = {{"appendfsync", "always"}, {"no-appendfsync-on-rewrite", "no"}};
  std::string eval_error, word = "saved";
  std::vector<redis_commands> seen;

  std::vector<finding> check(std::int64_t replicas = 0, bool exactly_once = true) {
    auto link = [this](const redis_commands& commands, std::int64_t) {
      redis_answer a{status::ok, "", {}};
      seen.push_back(commands);
      for (const auto& c : commands) {
        if (c[0] == "INFO") a.replies.push_back(text(info_text()));
        else if (c[0] == "EVAL" && !eval_error.empty()) a.replies.push_back(failure(eval_error));
        else if (c[0] == "EVAL") a.replies.push_back(c[2] == "0" ? list({}) : list({text(word)}));
        else if (c[0] == "DEL") a.replies.push_back(failure("NOPERM this user has no permissions")); // is not needed
        else if (settings.empty()) a.replies.push_back(failure("NOPERM no permission"));
        else a.replies.push_back(list({text(c[2]), text(settings[c[2]])}));
      }
      return a;
    };
    return check_redis(link, "state: redis://r:6379", replicas, exactly_once, limit);
  }
  std::string info_text() const {
    std::string out = "# Server\r\n";
    for (const auto& [k, v] : info) out += k + ":" + v + "\r\n";
    return out;
  }
  // The one finding's reason.
  std::string reason(std::int64_t replicas = 0) {
    auto f = check(replicas);
    REQUIRE(f.size() == 1);
    CHECK(f[0].level == finding::severity::error);
    CHECK(!f[0].mend.empty());
    return f[0].reason;
  }
};

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("redis: what check finds") {
  CHECK(checked_redis().check().empty());
  checked_redis r;
  r.info["aof_enabled"] = "0";
  CHECK(has(r.reason(), "appendonly is off"));
  CHECK(r.check(0, false)[0].level == finding::severity::warning);
  r = {};
  r.settings["appendfsync"] = "everysec";
  CHECK(has(r.reason(), "appendfsync is everysec"));
  r = {};
  r.settings["no-appendfsync-on-rewrite"] = "yes";
  CHECK(has(r.reason(), "no-appendfsync-on-rewrite"));
  r = {};
  r.settings.clear();
  auto f = r.check();
  REQUIRE(f.size() == 1);
  CHECK(f[0].level == finding::severity::warning);
  r = {};
  r.info["connected_slaves"] = "2";
  CHECK(has(r.reason(), "may lack saves"));
  CHECK(r.check(1).empty());
  CHECK(has(r.reason(3), "no save would be accepted"));
  r = {};
  r.info["role"] = "slave";
  CHECK(has(r.reason(), "is a replica"));
  r = {};
  r.info["maxmemory"] = "1000000";
  r.info["maxmemory_policy"] = "allkeys-lru";
  CHECK(has(r.reason(), "throw the records away"));
  r = {};
  r.info["cluster_enabled"] = "1";
  CHECK(has(r.reason(), "Redis Cluster"));
  r = {};
  r.eval_error = "NOPERM this user has no permissions to run the 'eval' command";
  CHECK(has(r.reason(), "NOPERM"));
}

TEST_CASE("redis: check saves a key of its own") {
  checked_redis r;
  CHECK(r.check().empty());
  REQUIRE(!r.seen.empty());
  CHECK(r.seen.back() ==
        redis_commands{{"EVAL", redis_save_script, "1", "chute:check", "0", "1", "check"}, {"DEL", "chute:check"}});
  for (auto [why, mend] :
       {std::pair{"ERR The user executing the script can't run this command or subcommand", "give the user the rights"},
        std::pair{"NOREPLICAS Not enough good replicas to write.", "min-replicas-to-write"},
        std::pair{"OOM command not allowed when used memory > 'maxmemory'.", "more memory"},
        std::pair{"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to", "disk"},
        std::pair{"ERR something else", "see Redis' log"}}) {
    r.word = std::string("error ") + why;
    CHECK(has(r.reason(), why));
    CHECK(has(r.check()[0].mend, mend));
  }
  r.word = "version 7";
  CHECK(has(r.reason(), "another program uses this key"));
  r.word = "error READONLY You can't write against a read only replica.";
  r.info["role"] = "slave"; // told once
  CHECK(has(r.reason(), "is a replica"));
  r.info["role"] = "master";
  r.info["aof_last_write_status"] = "err";
  CHECK(has(r.reason(), "could not write its file"));
}
