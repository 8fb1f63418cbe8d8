#include "actors/open_store.hpp"

#include "clickhouse/query.hpp"
#include "state/keeper_map_store.hpp"
#include "state/redis_store.hpp"

#include <algorithm>

namespace chute {

namespace {

// A connection of its own: saves do not wait for inserts.
sql_server server_of(std::shared_ptr<clickhouse::session> s) {
  return [s](const std::string& statement, const std::map<std::string, std::string>& settings, std::int64_t limit_ms) {
    auto a = clickhouse::run(*s, statement, limit_ms, settings);
    using status = sql_answer::status;
    auto what = a.ok ? status::ok : a.answered ? status::refused : a.sent ? status::unknown : status::unsent;
    return sql_answer{what, what == status::refused ? a.code : 0, a.ok ? std::string() : std::move(a.text),
                      std::move(a.rows)};
  };
}

result<redis_url> redis_of(const topology& t) {
  auto url = parse_redis_url(t.state.url);
  if (!url.ok()) return error{"state", "state.url " + url.failure().cause, "correct state.url"};
  return url;
}

} // namespace

result<keeper_map_options> keeper_map_of(const topology& t) {
  keeper_map_options o;
  o.database = t.clickhouse.database;
  o.table = t.state.table;
  for (const auto& url : t.clickhouse.urls) {
    auto s = clickhouse::session::open(clickhouse::options_for(t.clickhouse, url));
    if (!s.ok()) return s.failure();
    o.servers.push_back(server_of(*std::move(s)));
    o.urls.push_back(url);
  }
  return o;
}

result<std::unique_ptr<store>> open_store(const topology& t, bool reading) {
  switch (t.state.store) {
  case store_kind::kafka: return std::unique_ptr<store>();
  case store_kind::memory: return make_memory_store();
  case store_kind::file: return reading ? view_file_store(t.state.path) : open_file_store(t.state.path);
  case store_kind::keeper_map: {
    auto o = keeper_map_of(t);
    if (!o.ok()) return o.failure();
    o->make_table = !reading;
    return make_keeper_map_store(*std::move(o));
  }
  case store_kind::own: break; // the host's: see engine.cpp
  case store_kind::redis: {
    auto url = redis_of(t);
    if (!url.ok()) return url.failure();
    return make_redis_store(connect_redis(*std::move(url)), t.state.replicas);
  }
  }
  return error{"state", "this store is not known", ""};
}

std::vector<finding> check_store(const topology& t, std::int64_t limit_ms) {
  auto unusable = [](const error& e) {
    return std::vector<finding>{{finding::severity::error, "state", e.cause, e.way_out}};
  };
  if (t.state.store == store_kind::file) {
    auto why = file_store_unusable(t.state.path);
    return why ? unusable(*why) : std::vector<finding>{};
  }
  if (t.state.store == store_kind::keeper_map) {
    auto o = keeper_map_of(t);
    return o.ok() ? check_keeper_map(*o, limit_ms) : unusable(o.failure());
  }
  if (t.state.store == store_kind::redis) {
    auto url = redis_of(t);
    if (!url.ok()) return unusable(url.failure());
    bool exactly_once = std::any_of(t.pipelines.begin(), t.pipelines.end(),
                                    [](const auto& p) { return p.delivery == delivery_mode::exactly_once; });
    auto where = "state: " + url->text();
    return check_redis(connect_redis(*std::move(url)), where, t.state.replicas, exactly_once, limit_ms);
  }
  return {};
}

} // namespace chute
