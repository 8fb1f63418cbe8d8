// The keeper_map store without a server: what it sends, and what it makes of each answer.
#include "state/compare.hpp"
#include "state/keeper_map_store.hpp"
#include "test/unit/state/records.hpp"

#include <deque>
#include <doctest/doctest.h>

using namespace chute;
using namespace chute::test;

namespace {

using status = sql_answer::status;
constexpr std::int64_t limit = 5'000;

// A server whose rows the test sets; what a write does is up to the test.
struct fake_server {
  std::vector<std::string> seen; // reads and writes of the table itself
  std::string engine_full = "KeeperMap('/shop/chute_state') PRIMARY KEY key";
  bool exists = true;
  sql_answer create{status::ok, 0, "", {}};
  std::map<std::string, stored_record> rows;
  std::deque<std::map<std::string, stored_record>> stale; // answers of the next reads, instead of `rows`
  std::function<sql_answer(const std::string&)> write = [](const std::string&) { return ok(); };
  std::function<std::optional<sql_answer>()> read = [] { return std::nullopt; };
  int looks = 0, creates = 0, rests = 0;

  static sql_answer ok() { return {status::ok, 0, "", {}}; }
  static sql_answer refused(int code) { return {status::refused, code, "Code: " + std::to_string(code), {}}; }

  sql_answer run(const std::string& sql) {
    if (sql.starts_with("SELECT engine")) return ++looks, look();
    if (sql.starts_with("CREATE")) {
      ++creates;
      if (create.what == status::ok) exists = true;
      return create;
    }
    seen.push_back(sql);
    if (!sql.starts_with("SELECT")) return write(sql);
    if (auto a = read()) return *a;
    auto from = rows;
    if (!stale.empty()) {
      from = stale.front();
      stale.pop_front();
    }
    auto a = ok();
    for (const auto& [key, r] : from)
      if (sql.find("'" + key + "'") != std::string::npos) a.rows.push_back({key, std::to_string(r.version), r.text});
    return a;
  }
  sql_answer look() const {
    auto a = ok();
    if (exists) a.rows.push_back({engine_full.substr(0, engine_full.find('(')), engine_full});
    return a;
  }
  void put(const save_request& r) { rows[record_name(r.lane)] = r.record; }
  std::unique_ptr<store> made() { return make_keeper_map_store(options()); }
  keeper_map_options options() {
    keeper_map_options o;
    o.database = "shop";
    o.table = "chute_state";
    o.servers = {[this](const std::string& sql, const auto&, std::int64_t) { return run(sql); }};
    o.rest = [this](std::int64_t) { ++rests; };
    return o;
  }
};

save_status save(store& s, const save_request& r) { return s.save({r}, limit)[0].status; }

} // namespace

TEST_CASE("keeper_map: the statements") {
  auto a = save_of({"c", "g", "p", "it's", {0}}, 1), b = save_of({"c", "g", "p", "t", {1}}, 18);
  a.record.text = "x\\y'z";
  b.record.text = "b";
  CHECK(keeper_map::create_table("my shop", "state") ==
        "CREATE TABLE IF NOT EXISTS `my shop`.`state` (key String, version UInt64, text String) ENGINE = "
        "KeeperMap('/my%20shop/state') PRIMARY KEY key");
  CHECK(keeper_map::insert_first("`d`.`t`", {&a, &b}) ==
        "INSERT INTO `d`.`t` (key, version, text) VALUES ('c/g/p/it\\'s/0', 1, 'x\\\\y\\'z'), ('c/g/p/t/1', 18, 'b')");
  CHECK(keeper_map::update("`d`.`t`", {&b}) ==
        "ALTER TABLE `d`.`t` UPDATE text = multiIf(key = 'c/g/p/t/1' AND version = 17, 'b', toString(throwIf(1, "
        "'refused'))), version = multiIf(key = 'c/g/p/t/1', 18, version) WHERE key IN ('c/g/p/t/1')");
  CHECK(keeper_map::select("`d`.`t`", {a.lane, b.lane}) ==
        "SELECT key, version, text FROM `d`.`t` WHERE key IN ('c/g/p/it\\'s/0', 'c/g/p/t/1')");
}

TEST_CASE("names of records: no two lanes have the same") {
  CHECK(record_name({"c", "a/b", "p", "t", {3}}) == "c/a%2Fb/p/t/3");
  CHECK(record_name({"c", "a", "b/p", "t", {3}}) == "c/a/b%2Fp/t/3");
  CHECK(record_name({"c", "100%2F \n", "p", "t", {3}}) == "c/100%252F%20%0A/p/t/3");
}

TEST_CASE("keeper_map: a save is accepted only once its row was read back") {
  fake_server f;
  auto s = f.made();
  auto r = save_of(lane_of(), 1);
  f.write = [&](const std::string&) { return f.put(r), fake_server::ok(); };
  CHECK(save(*s, r) == save_status::accepted);
  REQUIRE(f.seen.size() == 2);
  CHECK(f.seen[0].starts_with("INSERT"));
  r = save_of(lane_of(), 2);
  CHECK(save(*s, r) == save_status::accepted);
  CHECK(f.seen[2].starts_with("ALTER"));
  CHECK(f.seen[3].starts_with("SELECT"));
  CHECK(f.looks == 1);
}

TEST_CASE("keeper_map: an acknowledged write that is never seen is unknown") {
  fake_server f;
  auto s = f.made();
  f.put(save_of(lane_of(), 1));
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::unknown);
  CHECK(f.rests > 0);
}

TEST_CASE("keeper_map: the reply is lost, and what landed is told from what did not") {
  fake_server f;
  auto s = f.made();
  f.put(save_of(lane_of(), 1));
  auto r = save_of(lane_of(), 2);
  f.write = [&](const std::string&) { return sql_answer{status::unknown, 0, "cut", {}}; };
  CHECK(save(*s, r) == save_status::unknown);
  // It may still land: a repetition that does not leave this process does not change that.
  f.write = [&](const std::string&) { return sql_answer{status::unsent, 0, "no connection", {}}; };
  CHECK(save(*s, r) == save_status::unknown);
  f.write = [&](const std::string&) { return f.put(r), sql_answer{status::unknown, 0, "cut", {}}; };
  CHECK(save(*s, r) == save_status::accepted);
  f.write = [&](const std::string&) { return sql_answer{status::unsent, 0, "no connection", {}}; };
  CHECK(save(*s, save_of(lane_of(), 3)) == save_status::not_now);
}

TEST_CASE("keeper_map: Keeper's exceptions say nothing, the row does") {
  fake_server f;
  auto s = f.made();
  f.put(save_of(lane_of(), 1));
  f.write = [&](const std::string&) { return fake_server::refused(999); };
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::unknown);
  f.write = [&](const std::string&) { return sql_answer{status::unsent, 0, "no connection", {}}; };
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::unknown); // it may still land
  f.write = [&](const std::string&) { return fake_server::refused(999); };
  f.put(save_of(lane_of(), 2, 7)); // somebody else was first
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::refused);
  f.put(save_of(lane_of(), 3)); // ours landed
  CHECK(save(*s, save_of(lane_of(), 3)) == save_status::accepted);
  f.write = [&](const std::string&) { return fake_server::refused(497); };
  CHECK(save(*s, save_of(lane_of(), 4)) == save_status::not_now);
}

TEST_CASE("keeper_map: a row that is older than expected is believed only when it is seen again and again") {
  fake_server f;
  auto s = f.made();
  auto r = save_of(lane_of(), 5);
  f.put(save_of(lane_of(), 4));
  auto old = std::map<std::string, stored_record>{{record_name(lane_of()), save_of(lane_of(), 2).record}};
  f.write = [&](const std::string&) { return f.put(r), fake_server::ok(); };
  f.stale = {old, old};
  CHECK(save(*s, r) == save_status::accepted);
  f.stale = {old, {}, old, old};
  f.write = [&](const std::string&) { return fake_server::refused(395); };
  CHECK(save(*s, save_of(lane_of(), 6)) == save_status::refused);
  f.rows.clear(); // gone altogether
  auto a = s->save({save_of(lane_of(), 7)}, limit)[0];
  CHECK(a.status == save_status::refused);
  CHECK(a.why->cause.find("it has no record, not version 6") != std::string::npos);
}

TEST_CASE("keeper_map: one lane's refusal does not keep the others out") {
  fake_server f;
  auto s = f.made();
  auto a = save_of(lane_of(0), 2), b = save_of(lane_of(1), 2), c = save_of(lane_of(2), 2);
  f.put(save_of(lane_of(0), 1));
  f.put(save_of(lane_of(1), 9));
  f.put(save_of(lane_of(2), 1));
  f.write = [&](const std::string& sql) {
    if (sql.find(record_name(b.lane)) != std::string::npos) return fake_server::refused(395);
    f.put(a);
    f.put(c);
    return fake_server::ok();
  };
  auto answers = s->save({a, b, c}, limit);
  CHECK(answers[0].status == save_status::accepted);
  CHECK(answers[1].status == save_status::refused);
  CHECK(answers[2].status == save_status::accepted);
  // First records go apart from the others.
  f.seen.clear();
  auto d = save_of(lane_of(3), 1), e = save_of(lane_of(0), 3);
  f.write = [&](const std::string& sql) { return f.put(sql.starts_with("INSERT") ? d : e), fake_server::ok(); };
  answers = s->save({d, e}, limit);
  CHECK(answers[0].status == save_status::accepted);
  CHECK(answers[1].status == save_status::accepted);
  CHECK(f.seen.size() == 4);
}

TEST_CASE("keeper_map: reading") {
  fake_server f;
  auto s = f.made();
  f.put(save_of(lane_of(1), 4));
  auto l = s->load({lane_of(0), lane_of(1)}, limit);
  CHECK(l[0].status == loaded::status::absent);
  CHECK(l[1].status == loaded::status::found);
  CHECK(l[1].record.version == 4);
  f.read = [] { return fake_server::refused(999); };
  l = s->load({lane_of(0)}, limit);
  CHECK(l[0].status == loaded::status::failed);
  CHECK(l[0].failure);
  f.read = [] { return sql_answer{status::unknown, 0, "cut", {}}; };
  CHECK(s->load({lane_of(0)}, limit)[0].status == loaded::status::failed);
}

TEST_CASE("keeper_map: the table is made if it is missing, and only if it is the right one") {
  auto failure = [](fake_server& f) {
    auto l = f.made()->load({lane_of()}, limit)[0];
    CHECK(l.status == loaded::status::failed);
    return l.failure ? l.failure->text() : "";
  };
  auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  {
    fake_server f;
    f.exists = false;
    CHECK(f.made()->load({lane_of()}, limit)[0].status == loaded::status::absent);
    CHECK(f.creates == 1);
  }
  {
    fake_server f;
    f.exists = false;
    auto o = f.options();
    o.make_table = false;
    auto s = make_keeper_map_store(std::move(o));
    CHECK(s->load({lane_of()}, limit)[0].status == loaded::status::absent);
    CHECK(save(*s, save_of(lane_of(), 1)) == save_status::not_now);
    CHECK(f.creates == 0);
    f.exists = true;
    f.put(save_of(lane_of(), 1));
    CHECK(s->load({lane_of()}, limit)[0].status == loaded::status::found);
  }
  {
    fake_server f;
    f.engine_full = "MergeTree ORDER BY key";
    auto said = failure(f);
    CHECK(has(said, "its engine is MergeTree ORDER BY key"));
    CHECK(has(said, "(give state.table another name)"));
    CHECK(f.creates == 0);
    f.engine_full = "KeeperMap('/other/chute_state') PRIMARY KEY key"; // it may hold the state: nothing loses it
    said = failure(f);
    CHECK(has(said, "/other/chute_state"));
    CHECK(has(said, ("RENAME TABLE `shop`.`chute_state` TO `shop`.`chute_state_old`; " +
                     keeper_map::create_table("shop", "chute_state") +
                     "; INSERT INTO `shop`.`chute_state` SELECT * FROM `shop`.`chute_state_old`")
                        .c_str()));
    CHECK(f.creates == 0);
  }
  {
    fake_server f;
    f.exists = false;
    f.create = {
        status::refused, 36, "KeeperMap is disabled because 'keeper_map_path_prefix' config is not defined", {}};
    CHECK(has(failure(f), "add <keeper_map_path_prefix>"));
    f.create = {status::refused, 36, "KeeperMap cannot be used with 'o' database because it uses Ordinary engine", {}};
    CHECK(has(failure(f), "whose engine is Atomic"));
    f.create = {status::refused, 497, "Not enough privileges", {}};
    CHECK(has(failure(f), "GRANT"));
    f.create = {status::refused, 81, "Database shop does not exist", {}};
    CHECK(has(failure(f), "create the database"));
  }
}

TEST_CASE("keeper_map: a table that is dropped meanwhile is made anew, and the save is refused") {
  fake_server f;
  auto s = f.made();
  f.put(save_of(lane_of(), 1));
  CHECK(s->load({lane_of()}, limit)[0].status == loaded::status::found);
  f.exists = false;
  f.rows.clear();
  f.write = [&](const std::string&) { return f.exists ? fake_server::ok() : fake_server::refused(60); };
  f.read = [&]() -> std::optional<sql_answer> {
    if (f.exists) return std::nullopt;
    return fake_server::refused(60);
  };
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::refused);
  CHECK(f.creates == 1);
  CHECK(s->load({lane_of()}, limit)[0].status == loaded::status::absent);
}

TEST_CASE("keeper_map: a server that cannot be reached is left for the next one") {
  fake_server away, there;
  away.write = [](const std::string&) { return sql_answer{status::unsent, 0, "no connection", {}}; };
  away.read = [] { return sql_answer{status::unsent, 0, "no connection", {}}; };
  there.put(save_of(lane_of(), 1));
  keeper_map_options o{"shop", "chute_state", {}, {}, true, [](std::int64_t) {}};
  for (auto* f : {&away, &there})
    o.servers.push_back([f](const std::string& sql, const auto&, std::int64_t) { return f->run(sql); });
  auto s = make_keeper_map_store(o);
  CHECK(s->load({lane_of()}, limit)[0].status == loaded::status::found);
  auto r = save_of(lane_of(), 2);
  there.write = [&](const std::string&) { return there.put(r), fake_server::ok(); };
  CHECK(save(*s, r) == save_status::accepted);
  CHECK(there.looks == 1);
}

TEST_CASE("keeper_map: a server that answers, but has no Keeper, is left for the next one") {
  for (int code : {999, 242, 225}) {
    CAPTURE(code);
    fake_server without, with;
    without.write = [&](const std::string&) { return fake_server::refused(code); };
    without.read = [&] { return fake_server::refused(code); };
    with.put(save_of(lane_of(), 1));
    auto r = save_of(lane_of(), 2);
    with.write = [&](const std::string&) { return with.put(r), fake_server::ok(); };
    keeper_map_options o{"shop", "chute_state", {}, {}, true, [](std::int64_t) {}};
    for (auto* f : {&without, &with})
      o.servers.push_back([f](const std::string& sql, const auto&, std::int64_t) { return f->run(sql); });
    auto reads = make_keeper_map_store(o);
    CHECK(reads->load({lane_of()}, limit)[0].status == loaded::status::failed);
    CHECK(reads->load({lane_of()}, limit)[0].status == loaded::status::found);
    CHECK(without.seen.size() == 1);

    auto writes = make_keeper_map_store(o);
    CHECK(save(*writes, r) == save_status::unknown); // it may have run: not sent to the other one at once
    CHECK(with.rows.at(record_name(lane_of())).version == 1);
    CHECK(save(*writes, r) == save_status::accepted);
    CHECK(without.seen.size() == 2);
  }
}

TEST_CASE("keeper_map: the only server is asked again, whatever it answered, and once its Keeper is back it goes on") {
  fake_server f;
  auto s = f.made();
  f.put(save_of(lane_of(), 1));
  auto r = save_of(lane_of(), 2);
  f.write = [&](const std::string&) { return fake_server::refused(999); };
  f.read = [] { return fake_server::refused(999); };
  CHECK(s->load({lane_of()}, limit)[0].status == loaded::status::failed);
  CHECK(save(*s, r) == save_status::unknown);
  f.write = [&](const std::string&) { return f.put(r), fake_server::ok(); };
  f.read = [] { return std::nullopt; };
  CHECK(save(*s, r) == save_status::accepted);
  CHECK(f.creates == 0);
}

TEST_CASE("keeper_map: what check finds") {
  fake_server f;
  keeper_map_options o{"shop", "chute_state", {}, {"http://ch:8123"}, true, {}};
  o.servers = {[&f](const std::string& sql, const auto&, std::int64_t) { return f.run(sql); }};
  CHECK(check_keeper_map(o, limit).empty());
  f.exists = false;
  f.create = {status::refused, 36, "zk_root_path should not be empty", {}}; // as it has to answer
  CHECK(check_keeper_map(o, limit).empty());
  CHECK(!f.exists);
  f.create = {status::refused, 36, "KeeperMap is disabled because 'keeper_map_path_prefix' config is not defined", {}};
  auto found = check_keeper_map(o, limit);
  REQUIRE(found.size() == 1);
  CHECK(found[0].level == finding::severity::error);
  CHECK(found[0].where == "state: keeper_map `shop`.`chute_state` on http://ch:8123");
  CHECK(found[0].mend.find("keeper_map_path_prefix") != std::string::npos);
  f.exists = true;
  f.read = [] { return fake_server::refused(999); };
  CHECK(check_keeper_map(o, limit).size() == 1);
}
