#include "show.hpp"

using namespace chute;
using namespace chute::test;

namespace {

const change_columns replacing_columns{"version", "is_deleted", ""}, collapsing_columns{"", "", "sign"};

// id, name, and what the engine reads: version and is_deleted, or sign.
std::vector<target_column> targets_for(delete_policy deletes) {
  pipeline_config p;
  p.name = "p";
  p.table = "t";
  p.deletes = deletes;
  std::vector<table_column> table = {{"id", *parse_type("UInt32"), "", ""}, {"name", *parse_type("String"), "", ""}};
  const bool collapsing = deletes == delete_policy::collapsing;
  if (collapsing) table.push_back({"sign", *parse_type("Int8"), "", ""});
  else {
    table.push_back({"version", *parse_type("UInt64"), "", ""});
    table.push_back({"is_deleted", *parse_type("UInt8"), "", ""});
  }
  auto targets = map_columns(table, p, collapsing ? collapsing_columns : replacing_columns);
  REQUIRE(targets.ok());
  return *targets;
}

lines changed(const std::string& format, delete_policy deletes, const std::vector<std::optional<std::string>>& values,
              envelope_kind envelope = envelope_kind::debezium, std::vector<target_column> targets = {}) {
  decoder_options o;
  o.deletes = deletes;
  o.envelope = envelope;
  return decode_values(format, targets.empty() ? targets_for(deletes) : std::move(targets), o, values);
}

std::string event(const std::string& op, const std::string& before, const std::string& after) {
  return R"({"before":)" + before + R"(,"source":{"lsn":77,"snapshot":"true"},"op":")" + op + R"(","after":)" + after +
         R"(,"ts_ms":5,"transaction":null})";
}

const std::string a = R"({"id":1,"name":"a"})", b = R"({"id":1,"name":"b"})";

std::string with_schema(const std::string& payload) {
  const std::string row =
      R"("type":"struct","optional":true,"fields":[{"field":"id","type":"int32"},{"field":"name","type":"string"}])";
  return R"({"schema":{"type":"struct","fields":[{"field":"before",)" + row + R"(},{"field":"after",)" + row +
         R"(},{"field":"op","type":"string"}]},"payload":)" + payload + "}";
}

} // namespace

TEST_CASE("changes: events become rows of a ReplacingMergeTree, with the offset for version") {
  const std::vector<std::optional<std::string>> events = {
      event("c", "null", a), event("r", "null", a), event("u", a, b),           event("u", "null", b),
      event("d", b, "null"), std::nullopt,          event("d", "null", "null"), event("t", "null", "null"),
      event("x", a, b),      R"({"id":1})"};
  const lines expected = {"1, 'a', 0, 0",
                          "1, 'a', 1, 0",
                          "1, 'b', 2, 0",
                          "1, 'b', 3, 0",
                          "1, 'b', 4, 1",
                          "dropped",
                          "! the delete event does not tell which row: it has no 'before'",
                          "! a truncate event, which takes all rows away: no row can say so",
                          "! the event is no change of a row: its 'op' is none of c, r, u, d and t",
                          "! the value is no change event: it has no 'op'"};
  CHECK(changed("json", delete_policy::replacing, events) == expected);
  CHECK(changed("connect_json", delete_policy::replacing,
                {with_schema(R"({"before":null,"after":{"id":1,"name":"a"},"op":"c"})"),
                 with_schema(R"({"before":{"id":1,"name":"a"},"after":null,"op":"d"})"), with_schema("null")}) ==
        lines{"1, 'a', 0, 0", "1, 'a', 1, 1", "dropped"});
}

TEST_CASE("changes: an update of a CollapsingMergeTree is two rows of one record") {
  const std::vector<std::optional<std::string>> events = {
      event("c", "null", a), event("u", a, b),      event("d", b, "null"),
      std::nullopt,          event("u", "null", b), event("u", a, R"({"id":"x","name":"b"})"),
      event("r", "null", b)};
  const lines expected = {"1, 'a', 1",
                          "1, 'a', -1 | 1, 'b', 1",
                          "1, 'b', -1",
                          "dropped",
                          "! the update does not tell how the row was, so it cannot be collapsed: it has no 'before'",
                          "! field 'id' for column 'id' (UInt32) is not such a value",
                          "1, 'b', 1"};
  CHECK(changed("json", delete_policy::collapsing, events) == expected);
  CHECK(changed("connect_json", delete_policy::collapsing,
                {with_schema(R"({"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"})")}) ==
        lines{"1, 'a', -1 | 1, 'b', 1"});
}

TEST_CASE("changes: a rejected delete is a bad record, and so is a tombstone") {
  auto targets = targets_for(delete_policy::reject);
  targets.resize(2);
  CHECK(changed("json", delete_policy::reject, {event("u", a, b), event("d", b, "null"), std::nullopt},
                envelope_kind::debezium, targets) == lines{"1, 'b'", "! a delete event, and deletes are rejected",
                                                           "! tombstone: the value is null, and deletes are rejected"});
}

TEST_CASE("changes: a tombstone without an envelope removes the row of its key") {
  auto targets = targets_for(delete_policy::replacing);
  targets[0].source = {column_source::from::meta, "offset"}; // as a key would
  for (const char* format : {"json", "csv"}) {
    CAPTURE(format);
    const std::string value = std::string(format) == "json" ? R"({"name":"a"})" : "a";
    const auto rows =
        changed(format, delete_policy::replacing, {value, std::nullopt, value}, envelope_kind::none, targets);
    CHECK(rows == lines{"0, 'a', 0, 0", "1, '', 1, 1", "2, 'a', 2, 0"});
  }
}

TEST_CASE("changes: a path that begins with $. leads from the event, any other from the row") {
  auto targets = targets_for(delete_policy::replacing);
  targets[2].source = {column_source::from::field, "$.source.lsn"};
  CHECK(changed("json", delete_policy::replacing, {event("c", "null", a), event("d", a, "null")},
                envelope_kind::debezium, targets) == lines{"1, 'a', 77, 0", "1, 'a', 77, 1"});
  CHECK(changed("connect_json", delete_policy::replacing,
                {R"({"schema":null,"payload":)" + event("c", "null", a) + "}"}, envelope_kind::debezium,
                targets) == lines{"1, 'a', 77, 0"});
}

TEST_CASE("changes: a condition on what all events share keeps deletes that have the key only") {
  decoder_options o;
  o.deletes = delete_policy::replacing;
  o.envelope = envelope_kind::debezium;
  condition c;
  c.name = "$.source.lsn";
  c.texts = {"77"};
  o.where = {c};
  const auto targets = targets_for(delete_policy::replacing);
  const std::vector<std::optional<std::string>> events = {event("c", "null", a), event("d", R"({"id":1})", "null")};
  CHECK(decode_values("json", targets, o, events) == lines{"1, 'a', 0, 0", "1, '', 1, 1"});
  o.where[0].texts = {"78"};
  CHECK(decode_values("json", targets, o, events) == lines{"dropped", "dropped"});
}

TEST_CASE("changes: a value that the database did not log is no value") {
  const std::string gone = "__debezium_unavailable_value";
  const auto row = [](const std::string& name) { return R"({"id":1,"name":)" + name + "}"; };
  const std::vector<std::string> placeholders = {'"' + gone + '"', "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"",
                                                 "[\"" + gone + "\"]", "{\"" + gone + "\":\"" + gone + "\"}"};
  for (const auto& p : placeholders) {
    const auto got = changed("json", delete_policy::replacing, {event("u", "null", row(p)), event("c", "null", a)});
    CHECK(got[0].starts_with("! field 'name' for column 'name' (String) is not in the event"));
    CHECK(got[0].find("REPLICA IDENTITY FULL") != std::string::npos);
    CHECK(got[1] == "1, 'a', 1, 0");
  }
  const auto connect = [&](const std::string& after) {
    return changed("connect_json", delete_policy::replacing,
                   {R"({"schema":null,"payload":{"before":null,"after":)" + after + R"(,"op":"u"}})"})[0];
  };
  CHECK(connect(row('"' + gone + '"')).find("is not in the event") != std::string::npos);
  CHECK(connect(row("\"of " + gone + "\"")) == "1, 'of " + gone + "', 0, 0");
  // Where no events are read it is a text like any other.
  CHECK(changed("json", delete_policy::replacing, {row('"' + gone + '"')}, envelope_kind::none)[0] ==
        "1, '" + gone + "', 0, 0");
}

TEST_CASE("changes: broken events leave nothing behind") {
  const std::string whole = event("u", a, b);
  std::vector<std::optional<std::string>> values;
  for (std::size_t n = 0; n < whole.size(); n += 3) values.emplace_back(whole.substr(0, n));
  values.emplace_back(whole);
  for (const auto policy : {delete_policy::replacing, delete_policy::collapsing}) {
    const auto got = changed("json", policy, values);
    for (std::size_t i = 0; i + 1 < got.size(); ++i) CHECK(got[i].starts_with("! "));
    CHECK_FALSE(got.back().starts_with("! "));
  }
  CHECK(changed("json", delete_policy::replacing, {R"({"op":"c","op":"c","after":{}})"})[0] ==
        "! the event names its 'op' or a row twice");
}
