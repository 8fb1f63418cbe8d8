#include "formats/passthrough.hpp"

#include "show.hpp"

#include <random>

using namespace chute;
using namespace chute::test;

namespace {

using from = column_source::from;

passthrough_config as(const std::string& format, char delimiter = ',') { return {format, delimiter}; }

target_column meta(const std::string& name, const std::string& type, const std::string& what) {
  return {{name, *parse_type(type), "", ""}, {from::meta, what}, nullptr};
}

const std::vector<target_column> table = {field("id", "UInt32"), meta("_topic", "LowCardinality(String)", "topic"),
                                          field("name", "String"), meta("_offset", "Int64", "offset"),
                                          meta("k", "Nullable(String)", "key")};

// What is wrong with a value, or its row.
std::string row(const passthrough_config& c, std::string_view value) {
  const char* wrong = take_row(c, value);
  return wrong ? std::string("! ") + wrong : std::string(value);
}

struct sent {
  std::string body, outcomes;
  std::vector<std::string> columns, errors;
};

sent send(const passthrough_config& c, const std::vector<std::optional<std::string>>& values, std::size_t group = 0,
          std::vector<target_column> targets = table) {
  decoder_options o;
  o.topic = "a\"b\t";
  o.passthrough = c;
  auto d = make_decoder("passthrough", std::move(targets), o);
  REQUIRE_MESSAGE(d.ok(), (d.ok() ? "" : d.failure().text()));
  std::vector<record_view> records(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    records[i].offset = {static_cast<std::int64_t>(i)};
    if (values[i]) records[i].value = *values[i];
    if (i % 2) records[i].key = "k\\\n";
  }
  sent out;
  std::vector<chunk_rows> batch;
  const auto size = group ? group : std::max<std::size_t>(1, records.size());
  for (std::size_t at = 0; at < records.size(); at += size) {
    auto part = std::make_shared<chunk>();
    (*d)->decode({records.data() + at, std::min(size, records.size() - at)}, plain_headers(), *part);
    for (const auto what : part->outcomes) out.outcomes += what == outcome::row ? 'r' : 'd';
    for (const auto& l : part->dead) out.errors.push_back(l.error);
    if (part->rows.rows) batch.push_back({part, 0, part->rows.rows});
  }
  if (batch.empty()) return out;
  auto made = encode_passthrough(c, batch);
  REQUIRE(made.ok());
  for (const auto& p : made->pieces) out.body += p;
  out.columns = made->columns;
  CHECK(made->format == c.format);
  return out;
}

} // namespace

TEST_CASE("passthrough: one JSON object is told from anything else by its brackets and texts alone") {
  const auto json = as("JSONEachRow");
  CHECK(row(json, " {\"a\": [1, {\"b\": \"}\\\"\"}], \"c\": nonsense}\r\n") ==
        "{\"a\": [1, {\"b\": \"}\\\"\"}], \"c\": nonsense}");
  CHECK(row(json, "{}") == "{}");
  for (const char* none : {"", " \n"}) CHECK(row(json, none) == "! is empty");
  CHECK(row(json, "[{}]") == "! is no JSON object");
  CHECK(row(json, "{\"a\": 1}{\"a\": 2}") == "! goes on behind its row");
  CHECK(row(json, "{\"a\": 1}}") == "! goes on behind its row");
  CHECK(row(json, "{\"a\": {}") == "! ends too early");
  CHECK(row(json, "{\"a\": \"}") == "! ends within a text");
  CHECK(row(json, "{\"a\\") == "! ends within a text");
  CHECK(row(as("JSONCompactEachRow"), "[1, \"]\"]\n") == "[1, \"]\"]");
  CHECK(row(as("JSONCompactEachRow"), "{}") == "! is no JSON array");
}

TEST_CASE("passthrough: one line of CSV") {
  const auto csv = as("CSV");
  CHECK(row(csv, "1,a,\r\n") == "1,a,");
  CHECK(row(csv, "1,\"a\n\"\"b,\"") == "1,\"a\n\"\"b,\"");
  CHECK(row(csv, "1, \"a\nb\" ,2") == "1, \"a\nb\" ,2");
  CHECK(row(csv, "1,a\"b") == "1,a\"b");
  CHECK(row(csv, "\n") == "! is empty");
  CHECK(row(csv, "1,a\n2,b") == "! holds more than one line");
  CHECK(row(csv, "1,a\r2,b") == "! holds more than one line");
  CHECK(row(csv, "1,a\r") == "! holds more than one line");
  CHECK(row(csv, "1,\"a") == "! has a quoted field without an end");
  CHECK(row(csv, "1,\"a\"\"") == "! has a quoted field without an end");
  CHECK(row(csv, "1,\"a\"b\n\"") == "! has text behind a closing quote");
  CHECK(row(as("CSV", ';'), "1,\"a;\"b\"") == "1,\"a;\"b\""); // the quote stands within a field
  CHECK(row(as("CSV", ';'), "1;\"a;b") == "! has a quoted field without an end");
}

TEST_CASE("passthrough: one line between tabs, whose end nothing escapes") {
  for (const char* format : {"TabSeparated", "TSKV"}) {
    const auto c = as(format);
    CHECK(row(c, "1\ta\\\\\n") == "1\ta\\\\");
    CHECK(row(c, "1\ta\\") == "! ends within an escape");
    CHECK(row(c, "1\ta\\\\\\\n") == "! ends within an escape");
    CHECK(row(c, "\\") == "! ends within an escape");
    CHECK(row(c, "1\ta\n2\tb") == "! holds more than one line");
    CHECK(row(c, "") == "! is empty");
    CHECK(row(c, "1\ra\r\n") == "1\ra");
    CHECK(row(c, "1\ta\r") == "! ends with a carriage return");
  }
}

TEST_CASE("passthrough: two rows, one behind the other, are never taken for one") {
  std::mt19937 dice(11);
  for (const auto& c : {as("JSONEachRow"), as("JSONCompactEachRow"), as("CSV"), as("CSV", ';'), as("TabSeparated")}) {
    constexpr std::string_view letters = "{}[]\"\"\\\\,;\t\n\r a1";
    std::vector<std::string> rows;
    for (int i = 0; i < 200'000 && rows.size() < 300; ++i) {
      std::string text(c.format == "JSONEachRow" ? "{" : c.format == "JSONCompactEachRow" ? "[" : "");
      for (auto n = dice() % 10; n > 0; --n) text += letters[dice() % letters.size()];
      const auto taken = row(c, text);
      if (taken.starts_with("! ")) continue;
      CHECK(row(c, taken) == taken);
      rows.push_back(taken);
    }
    CHECK(rows.size() >= 100);
    for (std::size_t i = 0; i + 1 < rows.size(); ++i) {
      CAPTURE(rows[i]);
      CHECK(row(c, rows[i] + "\n" + rows[i + 1]).starts_with("! "));
    }
  }
}

TEST_CASE("passthrough: what chute knows of a record stands in front") {
  const lines columns = {"_topic", "_offset", "k", "id", "name"};
  const auto json = send(as("JSONEachRow"), {R"({"id": 1})", " { } ", R"({"id": 2, "name": "x"})"});
  CHECK(json.body == "{\"_topic\":\"a\\\"b\\u0009\",\"_offset\":0,\"k\":null,\"id\": 1}\n"
                     "{\"_topic\":\"a\\\"b\\u0009\",\"_offset\":1,\"k\":\"k\\\\\\u000a\" }\n"
                     "{\"_topic\":\"a\\\"b\\u0009\",\"_offset\":2,\"k\":null,\"id\": 2, \"name\": \"x\"}\n");
  CHECK(json.columns == columns);
  CHECK(send(as("JSONCompactEachRow"), {"[1, \"a\"]", "[]"}).body ==
        "[\"a\\\"b\\u0009\",0,null,1, \"a\"]\n[\"a\\\"b\\u0009\",1,\"k\\\\\\u000a\"]\n");
  const auto csv = send(as("CSV", ';'), {"1;a", "2;b\n"});
  CHECK(csv.body == "\"a\"\"b\t\";\"0\";\\N;1;a\n\"a\"\"b\t\";\"1\";\"k\\\n\";2;b\n");
  CHECK(csv.columns == columns);
  CHECK(send(as("TabSeparated"), {"1\ta", "2\tb"}).body == "a\"b\\t\t0\t\\N\t1\ta\na\"b\\t\t1\tk\\\\\\n\t2\tb\n");
  CHECK(send(as("TSKV"), {"id=1"}).body == "_topic=a\"b\\t\t_offset=0\tk=\\N\tid=1\n");
}

TEST_CASE("passthrough: a value that is not one row is a bad record, and its neighbours are not touched") {
  const auto out = send(as("JSONEachRow"), {"{}", std::nullopt, "{\"a\": \"", "{}"});
  CHECK(out.outcomes == "rddr");
  CHECK(out.errors == lines{"tombstone: the value is null, and deletes are rejected",
                            "the value ends within a text: it is not one row of JSONEachRow"});
}

TEST_CASE("passthrough: the same bytes, however the records come grouped") {
  std::mt19937 dice(3);
  std::vector<std::optional<std::string>> values;
  for (int i = 0; i < 200; ++i)
    values.push_back(i % 11 == 5 ? "{" : "{\"id\": " + std::string(dice() % 2'000, '1') + "}");
  const auto whole = send(as("JSONEachRow"), values).body;
  for (const std::size_t group : {1, 3, 64}) CHECK(send(as("JSONEachRow"), values, group).body == whole);
}

TEST_CASE("passthrough: columns that cannot stand in front of a line, or no column for the value") {
  decoder_options o;
  const auto refused = [&](const std::string& format, std::vector<target_column> targets) {
    o.passthrough = as(format);
    auto d = make_decoder("passthrough", std::move(targets), o);
    return d.ok() ? std::string() : d.failure().cause;
  };
  const std::vector<target_column> headers = {field("id", "UInt32"), meta("h", "Map(String, String)", "headers")};
  CHECK(refused("JSONEachRow", headers) == "");
  CHECK(refused("CSV", headers) == "column 'h' of type Map(String, String) does not go before a row of CSV");
  CHECK(refused("CSV", {meta("_offset", "Int64", "offset")}) == "no column of the table is left for the value");
}

TEST_CASE("passthrough: the table's DEFAULTs are the server's business; the format is part of the fingerprint") {
  const std::vector<table_column> columns = {{"id", *parse_type("UInt32"), "", ""},
                                             {"a", *parse_type("Array(String)"), "DEFAULT", "[toString(now())]"}};
  pipeline_config p;
  p.format = "passthrough";
  const auto targets = map_columns(columns, p);
  REQUIRE(targets.ok());
  CHECK((*targets)[1].column.default_expression.empty());
  decoder_options a, b;
  a.passthrough = as("CSV");
  b.passthrough = as("CSV", ';');
  CHECK(decoder_fingerprint("passthrough", *targets, a) != decoder_fingerprint("passthrough", *targets, b));
  b.passthrough = as("TSKV");
  CHECK(decoder_fingerprint("passthrough", *targets, a) != decoder_fingerprint("passthrough", *targets, b));
}
