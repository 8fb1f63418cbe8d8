// The stores that have a server, on the real ones: CHUTE_CLICKHOUSE (with KeeperMap) and CHUTE_REDIS name them.
#pragma once

#include "state/keeper_map_store.hpp"
#include "state/redis_store.hpp"
#include "test/stores/conformance.hpp"

#include <memory>
#include <string>

namespace chute::test {

std::string address_of(const char* variable); // a test without it fails and says so

keeper_map_options real_keeper_map();
redis_link real_redis();

// `inner` with faults before it.
sql_server with_faults(sql_server inner, faults& trouble);
redis_link with_faults(redis_link inner, faults& trouble);

// Lanes that no earlier run has used, of two owners with a connection each.
struct server_world {
  faults between; // the first owner and the server
  std::string cluster;
  std::unique_ptr<store> first, second;

  server_world();
  virtual ~server_world() = default;
  virtual std::unique_ptr<store> make(bool faulty) = 0;

  store& owner() {
    if (!first) first = make(true);
    return *first;
  }
  void restart() { first.reset(); }
  store& take_over() {
    if (!second) second = make(false);
    return *second;
  }
  faults& trouble() { return between; }
  lane_key lane(int i) const { return {cluster, "group", "pipe/line", "t'op\\ic", {i}}; }
};

struct keeper_map_world : server_world {
  std::unique_ptr<store> make(bool faulty) override {
    auto o = real_keeper_map();
    if (faulty)
      for (auto& s : o.servers) s = with_faults(std::move(s), between);
    return make_keeper_map_store(std::move(o));
  }
};

struct redis_world : server_world {
  std::unique_ptr<store> make(bool faulty) override {
    return make_redis_store(faulty ? with_faults(real_redis(), between) : real_redis(), 0);
  }
};

} // namespace chute::test
