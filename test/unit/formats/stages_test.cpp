#include "formats/stages.hpp"

#include "formats/encoder.hpp"
#include "show.hpp"

#include <map>
#include <random>

using namespace chute;
using namespace chute::test;

namespace {

using on = condition::subject;

condition equal(on subject, const std::string& name, std::vector<std::string> texts) {
  return {subject, name, true, std::move(texts)};
}
condition present(on subject, const std::string& name, bool is) { return {subject, name, is, {}}; }

decoder_options where(std::vector<condition> all) {
  decoder_options o;
  o.where = std::move(all);
  return o;
}

const std::vector<target_column> one = {field("id", "UInt32")};

// Headers by the record's offset.
struct some_headers : header_source {
  std::map<std::int64_t, std::vector<header_view>> all;
  void headers(const record_view& r, std::vector<header_view>& out) const override {
    const auto at = all.find(r.offset.value);
    out = at == all.end() ? std::vector<header_view>() : at->second;
  }
};

std::string outcomes(const chunk& c) {
  std::string out;
  for (const auto o : c.outcomes) out += "rdxs"[static_cast<int>(o)];
  return out;
}

} // namespace

TEST_CASE("where: a field is compared as the text of a String column, before anything else is asked of the record") {
  const auto o = where({equal(on::field, "kind", {"a", "7", "true"})});
  CHECK(decode_values("json", one, o,
                      {R"({"id": 1, "kind": "a"})", R"({"id": "not for this table", "kind": "b"})",
                       R"({"id": 2, "kind": 7})", R"({"id": 3, "kind": true})", R"({"id": 4})",
                       R"({"id": 5, "kind": null})", R"({"kind": "a", "id": "x"})", R"({"id": 6, "kind": "A"})"}) ==
        lines{"1", "dropped", "2", "3", "dropped", "dropped",
              "! field 'id' for column 'id' (UInt32) is not such a value", "dropped"});
}

TEST_CASE("where: what cannot be read is nobody's to drop, and a record without a value is left to `deletes`") {
  const auto o = where({equal(on::field, "kind", {"a"})});
  CHECK(decode_values("json", one, o, {"{\"id\": 1,", std::nullopt, R"({"id": 1, "kind": "a"})"}) ==
        lines{"! the value is not JSON: it ends too early", "! tombstone: the value is null, and deletes are rejected",
              "1"});
}

TEST_CASE("where: present and absent, several conditions, fields within objects") {
  CHECK(decode_values("json", one, where({present(on::field, "a.b", true)}),
                      {R"({"id": 1, "a": {"b": {}}})", R"({"id": 2, "a": {"b": null}})", R"({"id": 3})"}) ==
        lines{"1", "dropped", "dropped"});
  CHECK(decode_values("json", one, where({present(on::field, "a.b", false)}),
                      {R"({"id": 1, "a": {"b": 0}})", R"({"id": 2, "a": {"b": null}})", R"({"id": 3})"}) ==
        lines{"dropped", "2", "3"});
  CHECK(decode_values("json", one, where({equal(on::field, "k", {"x", "y"}), present(on::field, "k2", false)}),
                      {R"({"id": 1, "k": "y"})", R"({"id": 2, "k": "y", "k2": 1})", R"({"id": 3, "k": "z"})"}) ==
        lines{"1", "dropped", "dropped"});
}

TEST_CASE("where: lines of text are read as if there were no condition") {
  CHECK(decode_values("csv", {field("id", "UInt32"), field("kind", "String")}, where({equal(on::field, "kind", {"a"})}),
                      {"1,a", "x,b", "x,a", "1"}) == lines{"1, 'a'", "dropped",
                                                           "! field 'id' for column 'id' (UInt32) is not such a value",
                                                           "! the line has 1 field, 2 are expected"});
  auto named = where({equal(on::field, "kind", {"a"})});
  named.csv = {',', csv_header::skip, "\\N", {"kind", "id"}};
  CHECK(decode_values("csv", one, named, {"kind,id", "a,1", "b,2"}) == lines{"dropped", "1", "dropped"});
}

TEST_CASE("where: the whole value, with raw") {
  CHECK(decode_values("raw", {field("value", "String")}, where({equal(on::field, "value", {"x"})}), {"x", "y", ""}) ==
        lines{"'x'", "dropped", "dropped"});
}

TEST_CASE("where: headers; the last of a name counts, and what is dropped is not looked at") {
  some_headers headers;
  headers.all = {{0, {{"kind", "a"}}},
                 {1, {{"kind", "b"}}},
                 {2, {{"kind", "b"}, {"kind", "a"}}},
                 {3, {}},
                 {4, {{"kind", std::nullopt}}},
                 {5, {{"kind", "a"}, {"kind", std::nullopt}}}};
  const auto run = [&](condition c) {
    auto d = make_decoder("json", one, where({std::move(c)}));
    REQUIRE(d.ok());
    std::vector<record_view> records(6);
    for (std::size_t i = 0; i < records.size(); ++i) {
      records[i].offset = {static_cast<std::int64_t>(i)};
      records[i].value = i == 1 ? "broken" : R"({"id": 1})";
    }
    chunk out;
    (*d)->decode(records, headers, out);
    CHECK(out.rows.rows ==
          static_cast<std::size_t>(std::count(out.outcomes.begin(), out.outcomes.end(), outcome::row)));
    return outcomes(out);
  };
  CHECK(run(equal(on::header, "kind", {"a"})) == "rxrxxx");
  CHECK(run(present(on::header, "kind", true)) == "rdrxxx");
  CHECK(run(present(on::header, "kind", false)) == "xxxrrr");
}

TEST_CASE("where: offsets, hashes and sizes are those of the records, dropped or not") {
  auto with = make_decoder("json", one, where({equal(on::field, "k", {"a"})}));
  auto without = make_decoder("json", one, {});
  REQUIRE((with.ok() && without.ok()));
  chunk a, b;
  const std::vector<std::optional<std::string>> values = {R"({"k": "a"})", R"({"k": "b"})", "x", std::nullopt};
  decode_values(**with, values, a);
  decode_values(**without, values, b);
  CHECK(a.offsets == b.offsets);
  CHECK(a.hashes == b.hashes);
  CHECK(a.sizes == b.sizes);
  CHECK(outcomes(a) == "rxdd");
}

TEST_CASE("where: the same block, however the records come grouped") {
  std::mt19937 dice(7);
  std::vector<std::string> values;
  for (int i = 0; i < 500; ++i)
    values.push_back(i % 17 == 0 ? "{" : "{\"id\": " + std::to_string(i) + ", \"k\": \"" + "abc"[dice() % 3] + "\"}");
  std::vector<record_view> records(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    records[i].offset = {static_cast<std::int64_t>(i)};
    records[i].value = values[i];
  }
  const auto body_of = [&](std::size_t most) {
    auto d = make_decoder("json", one, where({equal(on::field, "k", {"a", "c"})}));
    REQUIRE(d.ok());
    std::vector<chunk_rows> batch;
    for (std::size_t at = 0; at < records.size();) {
      const auto n = std::min(records.size() - at, most == 0 ? records.size() : 1 + dice() % most);
      auto c = std::make_shared<chunk>();
      (*d)->decode({records.data() + at, n}, plain_headers(), *c);
      batch.push_back({c, 0, c->rows.rows});
      at += n;
    }
    auto made = encode_native(batch);
    REQUIRE(made.ok());
    std::string out;
    for (const auto& p : made->pieces) out += p;
    return out;
  };
  const auto whole = body_of(0);
  CHECK(whole.size() > 500);
  for (const std::size_t most : {1, 7, 100}) CHECK(body_of(most) == whole);
}

TEST_CASE("where: it is part of the fingerprint") {
  const auto of = [](const decoder_options& o) { return decoder_fingerprint("json", one, o); };
  const auto base = of(where({equal(on::field, "k", {"a"})}));
  CHECK(base == of(where({equal(on::field, "k", {"a"})})));
  CHECK(base != of({}));
  CHECK(base != of(where({equal(on::field, "k", {"b"})})));
  CHECK(base != of(where({equal(on::header, "k", {"a"})})));
  CHECK(base != of(where({present(on::field, "k", true)})));
  CHECK(of(where({present(on::field, "k", true)})) != of(where({present(on::field, "k", false)})));
}

namespace {

target_column of_key(const std::string& name, const std::string& type, const std::string& path,
                     const std::string& expression = "") {
  auto t = field(name, type, path, expression);
  t.source.kind = column_source::from::key;
  return t;
}

// As decode_values(), with keys.
lines decode_pairs(const std::vector<target_column>& targets, const decoder_options& options,
                   const std::vector<std::pair<std::optional<std::string>, std::optional<std::string>>>& pairs,
                   std::size_t group = 0) {
  auto d = make_decoder("json", targets, options);
  REQUIRE_MESSAGE(d.ok(), (d.ok() ? "" : d.failure().text()));
  std::vector<record_view> records(pairs.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    records[i].offset = {static_cast<std::int64_t>(i)};
    if (pairs[i].first) records[i].key = *pairs[i].first;
    if (pairs[i].second) records[i].value = *pairs[i].second;
  }
  chunk out;
  const auto size = group ? group : records.size();
  for (std::size_t at = 0; at < records.size(); at += size)
    (*d)->decode({records.data() + at, std::min(size, records.size() - at)}, plain_headers(), out);
  std::vector<lines> columns;
  for (const auto& c : out.rows.columns) {
    CHECK(c.rows == out.rows.rows);
    columns.push_back(show(c));
  }
  lines shown;
  std::size_t row = 0, dead = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    CHECK(out.hashes[i] == record_hash(-1, records[i].key, records[i].value));
    if (out.outcomes[i] == outcome::dropped) shown.push_back("dropped");
    else if (out.outcomes[i] == outcome::row) {
      std::string s;
      for (const auto& c : columns) s += (s.empty() ? "" : ", ") + c[row];
      shown.push_back(s);
      ++row;
    } else {
      const auto& l = out.dead.at(dead++);
      CHECK(l.key == pairs[i].first);
      CHECK(l.value == pairs[i].second);
      shown.push_back("! " + l.error);
    }
  }
  return shown;
}

decoder_options key(const std::string& format) {
  decoder_options o;
  o.key.format = format;
  return o;
}

} // namespace

TEST_CASE("key: its fields fill columns, beside bad values, bad keys and records without one") {
  const std::vector<target_column> targets = {
      of_key("customer", "UInt32", "c.id"),
      field("id", "UInt32"),
      of_key("place", "String", "p", "'home'"),
      {{"k", *parse_type("String"), "", ""}, {column_source::from::meta, "key"}, nullptr}};
  const std::vector<std::pair<std::optional<std::string>, std::optional<std::string>>> pairs = {
      {R"({"c": {"id": 7}, "p": "x"})", R"({"id": 1})"},
      {R"({"c": {"id": 8}})", R"({"id": "?"})"},
      {std::nullopt, R"({"id": 3})"},
      {"broken", R"({"id": 4})"},
      {R"({"c": {"id": -1}})", R"({"id": 5})"},
      {R"({"c": {"id": 9}})", std::nullopt},
      {R"({"c": {"id": 10}})", R"({"id": 6})"}};
  const lines expected = {R"(1, '{"c": {"id": 7}, "p": "x"}', 7, 'x')",
                          "! field 'id' for column 'id' (UInt32) is not such a value",
                          "3, '', 0, null",
                          "! the key: the value is not JSON: a character is out of place at byte 0",
                          "! the key: field 'c.id' for column 'customer' (UInt32) is out of range",
                          "! tombstone: the value is null, and deletes are rejected",
                          R"(6, '{"c": {"id": 10}}', 10, null)"};
  const auto whole = decode_pairs(targets, key("json"), pairs);
  CHECK(whole[0] == expected[0]);
  CHECK(whole.size() == expected.size());
  for (const std::size_t i : {1u, 2u, 4u, 5u, 6u}) CHECK(whole[i] == expected[i]);
  CHECK(whole[3].starts_with("! the key: the value is not "));
  for (const std::size_t group : {1, 2, 3}) CHECK(decode_pairs(targets, key("json"), pairs, group) == whole);
}

TEST_CASE("key: together with conditions, and as it is") {
  auto o = key("raw");
  o.where = {equal(on::field, "k", {"a"})};
  CHECK(decode_pairs({field("id", "UInt32"), of_key("who", "UInt16", "value")}, o,
                     {{"1", R"({"id": 1, "k": "a"})"},
                      {"no number", R"({"id": 2, "k": "b"})"},
                      {"no number", R"({"id": 3, "k": "a"})"},
                      {"4", R"({"id": 4, "k": "a"})"}}) ==
        lines{"1, 1", "dropped", "! the key: the value for column 'who' (UInt16) is not such a value", "4, 4"});
}

TEST_CASE("key: an envelope of schema and payload") {
  const auto with_id = [](int id) {
    return R"({"schema": {"type": "struct", "fields": [{"field": "id", "type": "int32"}]}, "payload": {"id": )" +
           std::to_string(id) + "}}";
  };
  CHECK(decode_pairs({field("n", "UInt32"), of_key("id", "Int32", "id")}, key("connect_json"),
                     {{with_id(7), R"({"n": 1})"}, {R"({"id": 8})", R"({"n": 2})"}})[0] == "1, 7");
}

TEST_CASE("key: what is said of its format is part of the fingerprint") {
  const std::vector<target_column> targets = {of_key("a", "String", "a")};
  auto a = key("avro"), b = key("avro");
  b.key.avro.framing = schema_framing::none;
  b.key.avro.schemas = {"{}"};
  CHECK(decoder_fingerprint("json", targets, a) != decoder_fingerprint("json", targets, b));
  CHECK(decoder_fingerprint("json", targets, a) != decoder_fingerprint("json", targets, key("json")));
}

TEST_CASE("stages: a record of two rows has its key in both, and a tombstone its own") {
  decoder_options o;
  o.key.format = "json";
  o.deletes = delete_policy::collapsing;
  o.envelope = envelope_kind::debezium;
  o.where = {equal(on::field, "kind", {"a"})};
  auto key = field("id", "UInt32", "k");
  key.source.kind = column_source::from::key;
  const std::vector<target_column> targets = {
      key, field("n", "UInt32"), {{"sign", *parse_type("Int8"), "", ""}, {column_source::from::meta, "sign"}, nullptr}};
  auto d = make_decoder("json", targets, o);
  REQUIRE(d.ok());
  const std::string keys[] = {R"({"k":1})", R"({"k":2})", R"({"k":3})", R"({"k":4})"};
  const std::string values[] = {R"({"op":"c","after":{"kind":"a","n":1}})",
                                R"({"op":"u","before":{"kind":"a","n":1},"after":{"kind":"a","n":2}})",
                                R"({"op":"c","after":{"kind":"b","n":9}})",
                                R"({"op":"d","before":{"kind":"a","n":2}})"};
  std::vector<record_view> records(4);
  for (std::size_t i = 0; i < 4; ++i) {
    records[i].offset = {static_cast<std::int64_t>(i)};
    records[i].key = keys[i];
    records[i].value = values[i];
  }
  chunk out;
  (*d)->decode(records, plain_headers{}, out);
  CHECK(outcomes(out) == "rrxr");
  CHECK(out.rows_of(1) == 2);
  REQUIRE(out.rows.rows == 4);
  std::map<std::string, lines> columns;
  for (std::size_t c = 0; c < out.rows.columns.size(); ++c) columns[out.rows.names[c]] = show(out.rows.columns[c]);
  CHECK(columns["id"] == lines{"1", "2", "2", "4"});
  CHECK(columns["n"] == lines{"1", "1", "2", "2"});
  CHECK(columns["sign"] == lines{"1", "-1", "1", "-1"});
}
