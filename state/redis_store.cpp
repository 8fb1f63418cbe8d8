#include "state/redis_store.hpp"

#include "core/mutant.hpp"
#include "state/compare.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace chute {

// Versions are compared as text: numbers in Lua are exact up to 2^53 only. A repetition writes once more, so that its
// answer, too, comes after the sync and after what WAIT waits for. pcall: an error of one lane must not end the script
// between two others.
const char* const redis_save_script = R"(local answers = {}
for i, key in ipairs(KEYS) do
  local expected, version, text = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local now = redis.pcall('HMGET', key, 'version', 'text')
  local has = now.err and '' or now[1] or '0'
  if now.err then
    answers[i] = 'error ' .. now.err
  elseif has == expected or (has == version and now[2] == text) then
    local set = redis.pcall('HSET', key, 'version', version, 'text', text)
    answers[i] = type(set) == 'table' and set.err and 'error ' .. set.err or 'saved'
  else
    answers[i] = 'version ' .. has
  end
end
return answers)";

std::string redis_key(const lane_key& k) { return "chute:" + record_name(k); }

namespace {

using link_status = redis_answer::status;
using reply_type = redis_reply::type;

constexpr std::size_t request_bytes_max = 256 << 10; // of texts, in one script
constexpr std::size_t request_lanes_max = 256;
constexpr std::int64_t reply_margin_ms = 200; // WAIT ends so much before the limit
const char* const check_key = "chute:check";  // no lane's: their names have slashes

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t out = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

const char* way_out_of(const std::string& why) {
  auto is = [&](std::string_view code) { return has_redis_code(why, code); };
  auto says = [&](const char* words) { return why.find(words) != why.npos; };
  if (says("without any password configured") || says("no password is set"))
    return "this Redis wants no password: take it out of state.url, or give Redis one";
  if (is("NOAUTH") || is("WRONGPASS") || is("ERR AUTH")) return "write the user and password into state.url";
  if (is("NOPERM") || says("The user executing the script can't"))
    return "give the user the rights to EVAL, HMGET, HSET, WAIT, INFO and SELECT, on keys that begin with chute:";
  if (is("READONLY") || says("WAIT cannot be used with replica")) return "point state.url at the master";
  if (is("MASTERDOWN")) return "point state.url at the master, or bring it back";
  if (is("NOREPLICAS")) return "bring the replicas back, or lower min-replicas-to-write in Redis";
  if (is("OOM")) return "give Redis more memory";
  if (is("MISCONF")) return "mend Redis' disk";
  if (is("MOVED") || is("ASK")) return "Redis Cluster is not supported: use a single server, with replicas";
  if (is("WRONGTYPE")) return "another program uses this key: give state.url a database of its own";
  if (says("DB index is out of range") || says("invalid DB index"))
    return "correct the number of the database in state.url (Redis has 16 unless `databases` says otherwise)";
  if (says("unknown command")) return "use a Redis that allows EVAL, HMGET, HSET, WAIT, INFO and SELECT";
  return "";
}

loaded loaded_of(const lane_key& k, const redis_reply& r) {
  loaded out;
  auto failed = [&](const std::string& why) {
    out.failure = error{"state", to_string(k) + ": " + why, way_out_of(why)};
    return out;
  };
  if (r.what == reply_type::error) return failed(r.text);
  if (r.what != reply_type::list || r.list.size() != 2) return failed("Redis did not answer with two fields");
  const auto &version = r.list[0], &text = r.list[1];
  bool nothing = version.what == reply_type::nil && text.what == reply_type::nil;
  if (nothing || (mutant(bug::broken_hash_is_absent) && text.what == reply_type::nil)) {
    out.status = loaded::status::absent;
    return out;
  }
  auto n = number(version.text);
  if (version.what != reply_type::text || text.what != reply_type::text || !n)
    return failed("the hash " + redis_key(k) + " has no version and text that can be read");
  out.status = loaded::status::found;
  out.record = {*n, text.text};
  return out;
}

class redis_store final : public store {
public:
  redis_store(redis_link link, std::int64_t replicas) : link_(std::move(link)), replicas_(replicas) {}
  const char* name() const override { return "redis"; }

  std::vector<loaded> load(const std::vector<lane_key>& lanes, std::int64_t limit_ms) override {
    std::vector<loaded> out(lanes.size());
    if (lanes.empty()) return out;
    redis_commands commands;
    for (const auto& k : lanes) commands.push_back({"HMGET", redis_key(k), "version", "text"});
    auto a = link_(commands, limit_ms);
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      if (a.what == link_status::ok) out[i] = loaded_of(lanes[i], a.replies[i]);
      else out[i].failure = error{"state", to_string(lanes[i]) + ": " + a.why, way_out_of(a.why)};
    }
    return out;
  }

  std::vector<saved> save(const std::vector<save_request>& requests, std::int64_t limit_ms) override {
    auto deadline = boot_ms() + limit_ms;
    std::vector<saved> out(requests.size());
    std::vector<std::size_t> together;
    std::size_t bytes = 0;
    auto flush = [&] {
      save_together(requests, std::exchange(together, {}), out, deadline);
      bytes = 0;
    };
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto& r = requests[i];
      if (r.record.version <= r.expected) { // a version that does not grow
        out[i] = compare(r, stored_record{r.expected, ""}).value_or(saved{});
        continue;
      }
      if (together.size() == request_lanes_max || bytes + r.record.text.size() > request_bytes_max) flush();
      together.push_back(i); // a lane that comes twice is compared with what the one before it wrote
      bytes += r.record.text.size();
    }
    flush();
    return out;
  }

private:
  void save_together(const std::vector<save_request>& requests, const std::vector<std::size_t>& which,
                     std::vector<saved>& out, std::int64_t deadline) {
    if (which.empty()) return;
    std::vector<std::string> script = {"EVAL", redis_save_script, std::to_string(which.size())};
    for (auto i : which) script.push_back(redis_key(requests[i].lane));
    for (auto i : which) {
      script.push_back(std::to_string(requests[i].expected));
      script.push_back(std::to_string(requests[i].record.version));
      script.push_back(requests[i].record.text);
    }
    auto left = std::max<std::int64_t>(1, deadline - boot_ms());
    redis_commands commands = {std::move(script)};
    if (replicas_ > 0)
      commands.push_back({"WAIT", std::to_string(replicas_),
                          std::to_string(std::max<std::int64_t>(1, left - std::min(reply_margin_ms, left / 2)))});
    auto a = link_(commands, left);
    for (std::size_t n = 0; n < which.size(); ++n) {
      const auto& r = requests[which[n]];
      out[which[n]] = judge(r, a, n, which.size());
      remember(r.lane, out[which[n]]);
    }
  }

  saved judge(const save_request& r, const redis_answer& a, std::size_t n, std::size_t lanes) const {
    auto because = [&](save_status s, const std::string& why, const std::string& way_out = "") {
      return saved{s, error{"state", to_string(r.lane) + ": " + why, way_out}};
    };
    if (a.what == link_status::unsent) return because(save_status::not_now, a.why, way_out_of(a.why));
    if (a.what == link_status::unknown) return because(save_status::unknown, a.why);
    const auto& script = a.replies[0];
    // The script catches what its commands raise: an error in its place means that it did not run.
    if (script.what == reply_type::error) return because(save_status::not_now, script.text, way_out_of(script.text));
    if (script.what != reply_type::list || script.list.size() != lanes)
      return because(save_status::unknown, "Redis did not answer with a word for each lane");
    const auto& word = script.list[n].text;
    if (word == "saved") return after_wait(r, a);
    if (word.rfind("error ", 0) == 0) return because(save_status::not_now, word.substr(6), way_out_of(word.substr(6)));
    if (auto version = word.rfind("version ", 0) == 0 ? number(word.substr(8)) : std::nullopt) {
      // The text is not known, but it is another one: compare() then refuses.
      auto current = *version ? std::optional(stored_record{*version, ""}) : std::nullopt;
      if (auto answer = compare(r, current)) return *answer;
    }
    if (mutant(bug::unclear_word_is_saved)) return {save_status::accepted, {}};
    return because(save_status::unknown, "Redis answered '" + word + "'");
  }

  saved after_wait(const save_request& r, const redis_answer& a) const {
    if (replicas_ == 0 || mutant(bug::replicas_not_waited_for)) return {save_status::accepted, {}};
    const auto& wait = a.replies[1];
    if (wait.what == reply_type::integer && wait.integer >= replicas_) return {save_status::accepted, {}};
    auto unknown = [&](const std::string& why, const char* way_out) {
      return saved{save_status::unknown, error{"state", to_string(r.lane) + ": " + why, way_out}};
    };
    if (wait.what == reply_type::integer)
      return unknown(std::to_string(wait.integer) + " of " + std::to_string(replicas_) + " replicas have the save",
                     "bring the replicas back, or lower state.replicas");
    return unknown("WAIT: " + wait.text, way_out_of(wait.text)); // says nothing of the replicas
  }

  // While a save may still land, "nothing was written" must not be said of its repetition.
  void remember(const lane_key& lane, saved& answer) {
    if (answer.status == save_status::not_now && unsettled_.count(lane)) answer.status = save_status::unknown;
    if (answer.status == save_status::unknown && !mutant(bug::late_save_forgotten)) unsettled_.insert(lane);
    else if (answer.status != save_status::not_now) unsettled_.erase(lane);
  }

  redis_link link_;
  std::int64_t replicas_;
  std::set<lane_key> unsettled_;
};

} // namespace

std::unique_ptr<store> make_redis_store(redis_link link, std::int64_t replicas) {
  return std::make_unique<redis_store>(std::move(link), replicas);
}

// --- check -----------------------------------------------------------------------------------------------------------

namespace {

// "name:value" lines of INFO.
std::map<std::string, std::string> info_of(const std::string& text) {
  std::map<std::string, std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    auto end = std::min(text.find('\n', at), text.size());
    auto line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (auto colon = line.find(':'); colon != line.npos) out[line.substr(0, colon)] = line.substr(colon + 1);
    at = end + 1;
  }
  return out;
}

struct redis_check {
  const redis_link& link;
  std::string where;
  std::int64_t replicas;
  finding::severity grave; // of what only exactly-once pipelines need
  std::int64_t limit_ms;
  std::vector<finding> out;

  void add(finding::severity s, const std::string& reason, const std::string& mend) {
    out.push_back({s, where, reason, mend});
  }

  // The setting's value; nothing if the server does not say (managed ones forbid CONFIG).
  std::optional<std::string> setting(const std::string& name) {
    auto a = link({{"CONFIG", "GET", name}}, limit_ms);
    if (a.what != link_status::ok || a.replies[0].what != reply_type::list || a.replies[0].list.size() != 2)
      return std::nullopt;
    return a.replies[0].list[1].text;
  }

  void durability(std::map<std::string, std::string>& info) {
    if (info["aof_enabled"] == "0") {
      add(grave, "appendonly is off: a restart of Redis loses saves that it had accepted",
          "CONFIG SET appendonly yes, CONFIG SET appendfsync always (and in redis.conf)");
      return;
    }
    auto fsync = setting("appendfsync");
    if (!fsync)
      add(finding::severity::warning, "this server does not say how it syncs its file (CONFIG is not allowed)",
          "see that appendfsync is always");
    else if (*fsync != "always")
      add(grave, "appendfsync is " + *fsync + ": a crash loses saves that Redis had accepted",
          "CONFIG SET appendfsync always (and in redis.conf)");
    if (setting("no-appendfsync-on-rewrite").value_or("no") == "yes")
      add(grave, "no-appendfsync-on-rewrite is yes: while the file is rewritten, a crash loses accepted saves",
          "CONFIG SET no-appendfsync-on-rewrite no (and in redis.conf)");
    if (info["aof_last_write_status"] == "err")
      add(finding::severity::error, "Redis could not write its file: it takes no saves", "mend its disk");
  }

  void replication(std::map<std::string, std::string>& info) {
    if (info["role"] != "master") {
      add(finding::severity::error, "this server is a replica: it takes no saves", "point state.url at the master");
      return;
    }
    auto there = number(info["connected_slaves"]).value_or(0);
    auto n = std::to_string(there);
    if (there > 0 && replicas == 0)
      add(grave, "it has replicas (" + n + "): one that takes over may lack saves that were accepted",
          "state.replicas: 1");
    if (replicas > static_cast<std::int64_t>(there))
      add(finding::severity::error,
          "state.replicas is " + std::to_string(replicas) + ", but " + n + " are connected: no save would be accepted",
          "bring the replicas back, or lower state.replicas");
  }

  void memory(std::map<std::string, std::string>& info) {
    auto policy = info["maxmemory_policy"];
    if (policy.rfind("allkeys", 0) == 0 && info["maxmemory"] != "0")
      add(grave, "maxmemory-policy is " + policy + ": Redis may throw the records away",
          "CONFIG SET maxmemory-policy noeviction (and in redis.conf), or a server of its own");
  }

  // A save of a key of its own, which the script repeats where an earlier one is still there. It takes no other rights
  // than a lane's save: without that to DEL the key stays.
  void saves() {
    auto a = link({{"EVAL", redis_save_script, "1", check_key, "0", "1", "check"}, {"DEL", check_key}}, limit_ms);
    const auto refused = [&](const std::string& why) {
      const std::string known = way_out_of(why);
      add(finding::severity::error, std::string("a save of ") + check_key + " failed: " + why,
          known.empty() ? "see Redis' log" : known);
    };
    if (a.what != link_status::ok) return refused(a.why);
    const auto& script = a.replies[0];
    if (script.what == reply_type::error) return refused(script.text);
    const auto word = script.list.empty() ? "" : script.list[0].text;
    if (word.rfind("error ", 0) == 0) return refused(word.substr(6));
    if (word != "saved")
      add(finding::severity::error,
          std::string("a save of ") + check_key + " was answered with '" + word + "': another program uses this key",
          "give state.url a database of its own");
  }

  void run() {
    auto a = link({{"INFO", "everything"}, {"EVAL", redis_save_script, "0"}}, limit_ms);
    if (a.what != link_status::ok) {
      const std::string known = way_out_of(a.why);
      return add(finding::severity::error, a.why, known.empty() ? "start it, or correct state.url" : known);
    }
    for (const auto& r : a.replies)
      if (r.what == reply_type::error) return add(finding::severity::error, r.text, way_out_of(r.text));
    auto info = info_of(a.replies[0].text);
    if (info["cluster_enabled"] == "1")
      add(finding::severity::error, "this is a node of Redis Cluster, which is not supported",
          "use a single server, with replicas");
    durability(info);
    replication(info);
    memory(info);
    const bool told = info["cluster_enabled"] == "1" || info["role"] != "master" || // that it takes none
                      (info["aof_enabled"] != "0" && info["aof_last_write_status"] == "err");
    if (!told) saves();
  }
};

} // namespace

std::vector<finding> check_redis(const redis_link& link, const std::string& where, std::int64_t replicas,
                                 bool exactly_once, std::int64_t limit_ms) {
  redis_check c{link,     where, replicas, exactly_once ? finding::severity::error : finding::severity::warning,
                limit_ms, {}};
  c.run();
  return std::move(c.out);
}

} // namespace chute
