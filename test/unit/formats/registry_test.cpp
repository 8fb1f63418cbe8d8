#include "formats/registry.hpp"

#include <doctest/doctest.h>

#include <map>

using namespace chute;
using verdict = fetched_schema::verdict;

namespace {

// Replies as Confluent's registry gives them, by path.
struct replies {
  std::map<std::string, registry_reply> by_path;
  std::vector<std::string> asked;
  registry_get get() {
    return [this](const std::string& path) -> registry_reply {
      asked.push_back(path);
      const auto at = by_path.find(path);
      return at == by_path.end() ? registry_reply{0, "", "connection refused"} : at->second;
    };
  }
};

} // namespace

TEST_CASE("registry: a schema by its id") {
  replies r;
  r.by_path["/schemas/ids/7"] = {200, R"({"schema":"{\"type\":\"int\"}"})", ""};
  r.by_path["/schemas/ids/8"] = {200, R"({"schemaType":"PROTOBUF","schema":"syntax = \"proto3\";","references":[]})",
                                 ""};
  schema_cache cache;
  CHECK_FALSE(cache.find(7).has_value());
  CHECK(fetch_schema(7, r.get(), cache, 0).what == verdict::known);
  CHECK(fetch_schema(8, r.get(), cache, 0).what == verdict::known);
  REQUIRE(cache.find(7).has_value());
  CHECK(cache.find(7)->schema->type == "AVRO");
  CHECK(cache.find(7)->schema->text == R"({"type":"int"})");
  CHECK(cache.find(8)->schema->type == "PROTOBUF");
  CHECK(cache.find(8)->schema->text == "syntax = \"proto3\";");
}

TEST_CASE("registry: references are fetched with it, each once") {
  replies r;
  r.by_path["/schemas/ids/1"] = {200,
                                 R"({"schema":"a","references":[{"name":"x.Y","subject":"x/Y ä","version":3},)"
                                 R"({"name":"z","subject":"z","version":1}]})",
                                 ""};
  r.by_path["/subjects/x%2FY%20%C3%A4/versions/3?deleted=true"] = {
      200, R"({"subject":"x/Y","version":3,"id":9,"schema":"y","references":[{"name":"z","subject":"z","version":1}]})",
      ""};
  r.by_path["/subjects/z/versions/1?deleted=true"] = {200, R"({"subject":"z","version":1,"id":10,"schema":"z"})", ""};
  schema_cache cache;
  const auto f = fetch_schema(1, r.get(), cache, 0);
  CHECK_MESSAGE(f.what == verdict::known, f.why);
  CHECK(r.asked.size() == 3);
  const auto s = cache.find(1)->schema;
  REQUIRE(s->references.size() == 2);
  CHECK(s->references[0].first == "x.Y");
  CHECK(s->references[0].second->text == "y");
  CHECK(s->references[0].second->references[0].second == s->references[1].second);
}

TEST_CASE("registry: only its own word makes an id unknown; all else is asked again") {
  replies r;
  r.by_path["/schemas/ids/1"] = {404, R"({"error_code":40403,"message":"Schema 1 not found"})", ""};
  r.by_path["/schemas/ids/2"] = {404, "<html>Not Found</html>", ""};
  r.by_path["/schemas/ids/3"] = {404, R"({"error_code":404,"message":"HTTP 404 Not Found"})", ""};
  r.by_path["/schemas/ids/4"] = {500, R"({"error_code":50001,"message":"…"})", ""};
  r.by_path["/schemas/ids/5"] = {401, "", ""};
  r.by_path["/schemas/ids/6"] = {200, "[]", ""};
  r.by_path["/schemas/ids/8"] = {200, R"({"schema":"a","references":[{"name":"b","subject":"b","version":1}]})", ""};
  r.by_path["/subjects/b/versions/1?deleted=true"] = {404, R"({"error_code":40403,"message":"…"})", ""};
  r.by_path["/schemas/ids/9"] = {200, R"({"schema":"a","references":[{"name":"c","subject":"c","version":1}]})", ""};
  r.by_path["/subjects/c/versions/1?deleted=true"] = r.by_path["/schemas/ids/9"]; // refers to itself
  schema_cache cache;
  for (int i = 0; i < 4; ++i) { // a node may lag behind its leader, and several ask at about the same time
    const auto f = fetch_schema(1, r.get(), cache, 5'000 + 450 * i);
    CHECK(f.what == verdict::missing);
    CHECK(f.why == "schema 1 is not known to it");
    CHECK_FALSE(cache.find(1).has_value());
  }
  CHECK(fetch_schema(1, r.get(), cache, 6'800).what == verdict::unknown);
  REQUIRE(cache.find(1).has_value());
  CHECK(cache.find(1)->schema == nullptr);
  for (std::uint32_t id = 2; id < 10; ++id) {
    const auto f = fetch_schema(id, r.get(), cache, 0);
    CHECK(f.what == verdict::later);
    CHECK_FALSE(f.why.empty());
    CHECK_FALSE(cache.find(id).has_value());
  }
  CHECK(fetch_schema(7, r.get(), cache, 0).why == "no answer to GET /schemas/ids/7: connection refused");
  CHECK(fetch_schema(5, r.get(), cache, 0).why ==
        "GET /schemas/ids/5 is answered with status 401: check registry.user, password or token");
}

TEST_CASE("registry: ids without a schema do not gather without end, and schemas are kept") {
  schema_cache cache;
  constexpr auto most = static_cast<std::uint32_t>(schema_cache::unknown_most);
  cache.put(0, nullptr);
  cache.put(0, std::make_shared<schema_text>()); // registered since
  for (std::uint32_t id = 1; id <= most; ++id) cache.put(id, nullptr);
  CHECK(cache.find(1).has_value());
  cache.put(most + 1, nullptr);
  CHECK_FALSE(cache.find(1).has_value());
  REQUIRE(cache.find(0).has_value());
  CHECK(cache.find(0)->schema != nullptr);
  CHECK(cache.find(2).has_value());
  CHECK(cache.find(most + 1).has_value());
}
