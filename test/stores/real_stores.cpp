#include "test/stores/real_stores.hpp"

#include "actors/open_store.hpp"
#include "test/stores/real_broker.hpp"

#include <cstdlib>
#include <map>
#include <stdexcept>

namespace chute::test {

std::string address_of(const char* variable) {
  const char* a = std::getenv(variable);
  if (!a || !*a)
    throw std::runtime_error(std::string(variable) +
                             " is not set: this test needs the real parts (dev/services start)");
  return a;
}

keeper_map_options real_keeper_map() {
  topology t;
  t.clickhouse.urls = {address_of("CHUTE_CLICKHOUSE")};
  t.clickhouse.database = "chute";
  t.state.table = "chute_state_suite";
  auto o = keeper_map_of(t);
  if (!o) throw std::runtime_error(o.failure().text());
  return *std::move(o);
}

redis_link real_redis() {
  auto url = parse_redis_url(address_of("CHUTE_REDIS"));
  if (!url) throw std::runtime_error("CHUTE_REDIS " + url.failure().cause);
  return connect_redis(*std::move(url));
}

sql_server with_faults(sql_server inner, faults& trouble) {
  using status = sql_answer::status;
  using settings_map = std::map<std::string, std::string>;
  auto held = std::make_shared<std::function<void()>>();
  auto old = std::make_shared<std::map<std::string, sql_answer>>(); // by statement
  auto remembering = std::make_shared<std::vector<std::string>>();  // reads seen so far
  trouble.deliver = [held] { std::exchange(*held, nullptr)(); };
  trouble.remember = [inner, old, remembering] {
    old->clear();
    for (const auto& sql : *remembering) (*old)[sql] = inner(sql, {}, store_limit_ms);
  };
  const sql_answer lost{status::unknown, 0, "the reply was lost", {}};
  return [=, &trouble](const std::string& sql, const settings_map& settings, std::int64_t limit) -> sql_answer {
    if (sql.starts_with("SELECT engine") || sql.starts_with("CREATE")) return inner(sql, settings, limit);
    if (sql.starts_with("SELECT")) {
      const auto what = sql.substr(0, sql.rfind(" AND ")); // behind that no two reads are the same
      remembering->push_back(what);
      // What was not asked then had no row.
      if (befalls(trouble.reads_stale)) return old->count(what) ? old->at(what) : sql_answer{status::ok, 0, "", {}};
      auto a = inner(sql, settings, limit);
      return befalls(trouble.replies_lost) ? lost : a;
    }
    if (befalls(trouble.requests_late)) {
      *held = [=] { inner(sql, settings, store_limit_ms); };
      return lost;
    }
    auto a = inner(sql, settings, limit);
    if (befalls(trouble.requests_twice)) a = inner(sql, settings, limit);
    return befalls(trouble.replies_lost) ? lost : a;
  };
}

redis_link with_faults(redis_link inner, faults& trouble) {
  using status = redis_answer::status;
  auto held = std::make_shared<std::function<void()>>();
  auto old = std::make_shared<std::map<redis_commands, redis_answer>>();
  auto remembering = std::make_shared<std::vector<redis_commands>>();
  trouble.deliver = [held] { std::exchange(*held, nullptr)(); };
  trouble.remember = [inner, old, remembering] {
    old->clear();
    for (const auto& c : *remembering) (*old)[c] = inner(c, store_limit_ms);
  };
  const redis_answer lost{status::unknown, "the reply was lost", {}};
  return [=, &trouble](const redis_commands& commands, std::int64_t limit) -> redis_answer {
    if (commands[0][0] == "HMGET") {
      remembering->push_back(commands);
      redis_reply nothing{redis_reply::type::list, "", 0, {{}, {}}};
      if (befalls(trouble.reads_stale))
        return old->count(commands) ? old->at(commands) : redis_answer{status::ok, "", {nothing}};
      auto a = inner(commands, limit);
      return befalls(trouble.replies_lost) ? lost : a;
    }
    if (befalls(trouble.requests_late)) {
      *held = [=] { inner(commands, store_limit_ms); };
      return lost;
    }
    auto a = inner(commands, limit);
    if (befalls(trouble.requests_twice)) a = inner(commands, limit);
    return befalls(trouble.replies_lost) ? lost : a;
  };
}

server_world::server_world() : cluster(unique_name("cluster")) {}

} // namespace chute::test
