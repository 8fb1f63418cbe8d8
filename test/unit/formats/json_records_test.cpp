#include "json_kit.hpp"

#include <random>

using namespace chute;
using namespace chute::json_test;

namespace {

// The error of one record, or its row.
std::string outcome_of(const std::vector<target_column>& targets, const std::string& record,
                       decoder_options options = {}) {
  const auto out = decoded(targets, {record}, options);
  if (out.outcomes[0] != outcome::row) return "! " + out.dead[0].error;
  std::string row;
  for (const auto& c : out.rows.columns) row += (row.empty() ? "" : " ") + shown(c, 0);
  return row;
}

// One row of the column's wire type, as the server's constant would be.
std::shared_ptr<const column> constant(const target_column& t, const std::string& json) {
  auto out = decoded({target("c", t.column.type->text)}, {"{\"c\":" + json + "}"});
  return std::make_shared<const column>(std::move(out.rows.columns[0]));
}

} // namespace

TEST_CASE("json: missing fields and nulls take the column's default, row by row") {
  auto with_fill = target("filled", "Array(UInt8)", "", "[7, 8]");
  with_fill.fill = constant(with_fill, "[7,8]");
  auto nullable_fill = target("nf", "Nullable(UInt8)", "", "5");
  nullable_fill.fill = constant(nullable_fill, "5");
  const std::vector<target_column> targets = {target("plain", "UInt8"), target("d", "UInt8", "", "plain * 2"),
                                              target("n", "Nullable(UInt8)"), with_fill, nullable_fill};
  const auto out = decoded(targets, {R"({"plain":1,"d":2,"n":3,"filled":[4],"nf":5})",
                                     R"({"plain":null,"d":null,"n":null,"filled":null,"nf":null})", "{}",
                                     R"({"plain":9})", R"({"d":9})"});
  REQUIRE(out.rows.rows == 5);
  const auto column_of = [&](std::size_t i) {
    std::string all;
    for (std::size_t row = 0; row < 5; ++row) all += (row ? " " : "") + shown(out.rows.columns[i], row);
    return all;
  };
  CHECK(column_of(0) == "1 0 0 9 0");
  CHECK(column_of(1) == "2 null null null 9"); // the server evaluates the expression where it is null
  CHECK(column_of(2) == "3 null null null null");
  CHECK(column_of(3) == "[4] [7,8] [7,8] [7,8] [7,8]");
  CHECK(column_of(4) == "5 null 5 5 5"); // null means null, missing means the DEFAULT
}

TEST_CASE("json: paths through nested objects, and keys that hold a dot") {
  const std::vector<target_column> targets = {target("ts", "UInt32", "meta.ts"), target("deep", "String", "a.b.c.d"),
                                              target("meta", "String")};
  CHECK(outcome_of(targets, R"({"meta":{"ts":5,"x":[1]},"a":{"b":{"c":{"d":"q"}}}})") == R"(5 'q' '{"ts":5,"x":[1]}')");
  CHECK(outcome_of(targets, R"({"meta.ts":5,"a.b.c.d":"q"})") == "5 'q' ''");
  CHECK(outcome_of(targets, R"({"meta.ts":5,"meta":{"ts":6}})").starts_with("5 "));
  CHECK(outcome_of(targets, R"({"meta":{"ts":6},"meta.ts":5})").starts_with("5 "));
  CHECK(outcome_of(targets, R"({"meta":{"\u0074s":6}})").starts_with("6 "));
  CHECK(outcome_of(targets, R"({"a":{"b":null}})") == "0 '' ''");
  CHECK(outcome_of(targets, R"({"a":{"b":[1]}})") ==
        "! field 'a.b.c.d' for column 'deep' (String) is beyond a JSON array where an object should be");
  CHECK(outcome_of(targets, R"({"meta":7})") ==
        "! field 'meta.ts' for column 'ts' (UInt32) is beyond a JSON number where an object should be");
  // One field for two columns.
  CHECK(outcome_of({target("x", "UInt8", "v"), target("y", "String", "v")}, R"({"v":12})") == "12 '12'");
  // Names that are hard to write.
  CHECK(outcome_of({target("a\"b\\c\n", "UInt8"), target("ключ", "UInt8"), target(" ", "UInt8")},
                   R"({"a\"b\\c\n":1,"ключ":2," ":3})") == "1 2 3");
}

TEST_CASE("json: duplicate keys") {
  const std::vector<target_column> targets = {target("a", "UInt8"), target("b", "UInt8", "x.b")};
  CHECK(outcome_of(targets, R"({"a":1,"a":1})") == "! field 'a' appears twice");
  CHECK(outcome_of(targets, R"({"a":null,"a":1})") == "! field 'a' appears twice");
  CHECK(outcome_of(targets, R"({"a":1,"\u0061":2})") == "! field 'a' appears twice");
  CHECK(outcome_of(targets, R"({"x":{"b":1},"x":{"b":1}})") == "! field 'x' appears twice");
  CHECK(outcome_of(targets, R"({"x":{"b":1,"b":1}})") == "! field 'b' appears twice");
  CHECK(outcome_of(targets, R"({"a":1,"other":1,"other":2})") == "1 0"); // nobody asks for it
}

TEST_CASE("json: fields without a column are counted, and checked") {
  const auto out = decoded({target("a", "UInt8"), target("t", "Tuple(p UInt8)")},
                           {R"({"a":1,"b":2,"c":{"a":3,"d":4},"t":{"p":1,"q":2}})", R"({"a":1})"});
  CHECK(out.rows.rows == 2);
  CHECK(out.fields_ignored == 3);
  std::string many = "{\"a\":5";
  for (int i = 0; i < 10'000; ++i) many += ",\"f" + std::to_string(i) + "\":" + std::to_string(i);
  const auto wide = decoded({target("a", "UInt8")}, {many + "}", many + "}", R"({"f3":1,"a":6})"});
  CHECK(wide.fields_ignored == 20'001);
  CHECK(shown(wide.rows.columns[0], 2) == "6");
}

TEST_CASE("json: keys in any order, missing now and then") {
  std::vector<target_column> targets;
  for (int i = 0; i < 20; ++i)
    targets.push_back(target("column_with_a_name_" + std::string(static_cast<std::size_t>(i), 'x'), "UInt32"));
  std::mt19937_64 random(20260703);
  std::vector<std::optional<std::string>> records;
  std::vector<std::string> expected;
  for (int n = 0; n < 500; ++n) {
    std::vector<std::size_t> order(targets.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (n % 3) std::shuffle(order.begin(), order.end(), random);
    std::vector<std::string> row(targets.size(), "0");
    std::string text;
    for (const auto i : order) {
      if (random() % 5 == 0) continue;
      row[i] = std::to_string(random() % 1000);
      text += (text.empty() ? "" : random() % 2 ? "," : " ,\n") + ("\"" + targets[i].column.name) + "\":" + row[i];
    }
    records.push_back("{" + text + "}");
    std::string all;
    for (const auto& v : row) all += v + " ";
    expected.push_back(all);
  }
  const auto out = decoded(targets, records);
  REQUIRE(out.rows.rows == records.size());
  for (std::size_t n = 0; n < records.size(); ++n) {
    std::string all;
    for (const auto& c : out.rows.columns) all += shown(c, n) + " ";
    CHECK(all == expected[n]);
  }
}

TEST_CASE("json: values that are no object") {
  const std::vector<target_column> targets = {target("a", "UInt8")};
  for (const char* empty : {"", " ", "\n\t\r ", "\n"}) CHECK(outcome_of(targets, empty) == "! the value is empty");
  for (const char* other : {"1", "[]", "[{\"a\":1}]", "\"a\"", "null", "true"})
    CHECK(outcome_of(targets, other) == "! the value is not a JSON object");
  CHECK(outcome_of(targets, "nope").starts_with("! the value is not JSON: "));
  CHECK(outcome_of(targets, "\xef\xbb\xbf{\"a\":1}") ==
        "! the value is not JSON: a character is out of place at byte 0");
  CHECK(outcome_of(targets, std::string(1, '\0')).starts_with("! the value is not JSON: "));
  CHECK(outcome_of(targets, " {\"a\" : 1 } \r\n") == "1");
  CHECK(outcome_of(targets, "{}") == "0");
  for (const char* more : {"{\"a\":1}{\"a\":2}", "{\"a\":1} 2", "{\"a\":1}\n{}", "{\"a\":1},", "{\"a\":1}}", "{} \x01"})
    CHECK(outcome_of(targets, more).starts_with("! the value is not JSON: more text follows the object at byte "));
  CHECK(outcome_of(targets, std::string("{\"a\":1}\0", 8)).starts_with("! the value is not JSON: more text follows"));

  const auto out = decoded(targets, {R"({"a":1})", std::nullopt, R"({"a":2})"});
  CHECK(out.outcomes == std::vector<outcome>{outcome::row, outcome::dead_letter, outcome::row});
  CHECK(out.dead[0].error == "tombstone: the value is null, and deletes are rejected");
  CHECK_FALSE(out.dead[0].value.has_value());
}

TEST_CASE("json: grammar") {
  const std::vector<target_column> targets = {target("a", "UInt8"), target("s", "Array(UInt8)"), target("j", "JSON")};
  for (const char* bad : {"{\"a\" 1}",
                          "{\"a\":}",
                          "{\"a\":1,}",
                          "{,}",
                          "{\"a\":1 \"s\":[]}",
                          "{a:1}",
                          "{1:1}",
                          "{\"s\":[1,]}",
                          "{\"s\":[,1]}",
                          "{\"s\":[1 2]}",
                          "{\"s\":[1}",
                          "{\"a\":1]",
                          "{\"x\":[1,{]}",
                          "{\"x\":{\"y\"}}",
                          "{\"x\":tru}",
                          "{\"j\":{\"a\":tru}}",
                          "{\"j\":{a:1}}",
                          "{\"j\":{\"a\":1,}}",
                          "{\"a\"::1}",
                          "{\"a\":1}x",
                          "{\"a\":1/**/}",
                          "{'a':1}",
                          "{\"a\":\"1\"2}",
                          "{\"a\":1\"\"}",
                          "{\"a\"x:1}"}) {
    CAPTURE(bad);
    CHECK(outcome_of(targets, bad).starts_with("! the value is not JSON: "));
  }
}

TEST_CASE("json: cut at every byte, it is refused, and its neighbours land") {
  const std::vector<target_column> targets = {target("id", "UInt64"), target("f", "Float64"),
                                              target("s", "String"),  target("t", "Array(String)"),
                                              target("j", "JSON"),    target("d", "Dynamic")};
  const std::string whole =
      R"({"id":18446744073709551615,"f":-1.5e3,"s":"ü\u00e9\\","t":["a","b"],"j":{"a":[1,{"b":null}]},)"
      R"("d":[1,"x"],"o":{"p":[true]}})";
  std::vector<std::optional<std::string>> records;
  for (std::size_t n = 0; n <= whole.size(); ++n) {
    records.push_back(whole.substr(0, n));
    records.push_back(whole);
  }
  const auto out = decoded(targets, records);
  CHECK(out.rows.rows == whole.size() + 2);
  CHECK(out.dead.size() == whole.size());
  for (const auto& d : out.dead)
    CHECK((d.error.starts_with("the value is not JSON: ") || d.error == "the value is empty"));
  for (std::size_t row = 0; row < out.rows.rows; ++row) {
    CHECK(shown(out.rows.columns[0], row) == "18446744073709551615");
    CHECK(shown(out.rows.columns[2], row) == "'üé\\'");
    CHECK(shown(out.rows.columns[5], row) == "Array(Dynamic):[Int64:1,String:'x']");
  }
}

TEST_CASE("json: nesting") {
  const auto nested = [](std::size_t depth, const std::string& open, const std::string& close) {
    std::string s;
    for (std::size_t i = 0; i < depth; ++i) s += open;
    s += "1";
    for (std::size_t i = 0; i < depth; ++i) s += close;
    return s;
  };
  const auto deep = "! is nested deeper than 1,000 levels";
  for (const char* type : {"UInt8", "String", "JSON", "Dynamic", "Array(String)", "Map(String, String)"})
    for (const auto& text : {nested(10'000, "[", "]"), nested(10'000, "{\"a\":", "}"), nested(5'000, "[{\"a\":", "}]"),
                             nested(100'000, "[", ""), nested(100'000, "{\"a\":", "")}) {
      CAPTURE(type);
      CAPTURE(text.substr(0, 20));
      CHECK(became(type, text).starts_with("!"));
    }
  CHECK(became("String", nested(1'000, "[", "]")) == "'" + nested(1'000, "[", "]") + "'");
  CHECK(became("String", nested(1'001, "[", "]")) == deep);
  const auto at_most = nested(1'000, "{\"a\":", "}");
  CHECK(became("JSON", at_most) == "'" + at_most + "'");
  CHECK(became("JSON", nested(1'001, "{\"a\":", "}")) == deep);
  // In a field that no column wants.
  const auto out = decoded({target("a", "UInt8")}, {"{\"x\":" + nested(10'000, "[", "]") + ",\"a\":1}", "{\"a\":2}"});
  CHECK(out.outcomes == std::vector<outcome>{outcome::dead_letter, outcome::row});
  CHECK(out.dead[0].error == "the value is nested deeper than 1,000 levels");
}

TEST_CASE("json: records too large, and just not") {
  decoder_options options;
  options.record_bytes_max = 20;
  const std::vector<target_column> targets = {target("a", "String")};
  const auto out = decoded(targets, {R"({"a":"0123456789ab"})", R"({"a":"0123456789abc"})", R"({"a":"x"})"}, options);
  CHECK(out.outcomes == std::vector<outcome>{outcome::row, outcome::dead_letter, outcome::row});
  CHECK(out.dead[0].error == "the value is larger than 20 bytes");
}

TEST_CASE("json: on_bad_record") {
  const std::vector<target_column> targets = {target("a", "UInt8")};
  const auto with = [&](bad_record_policy p) {
    decoder_options options;
    options.on_bad_record = p;
    return decoded(targets, {R"({"a":1})", R"({"a":-1})", R"({"a":2})"}, options);
  };
  CHECK(with(bad_record_policy::skip).outcomes == std::vector<outcome>{outcome::row, outcome::dropped, outcome::row});
  CHECK(with(bad_record_policy::skip).dead.empty());
  CHECK(with(bad_record_policy::stop).outcomes == std::vector<outcome>{outcome::row, outcome::stop, outcome::row});
  CHECK(with(bad_record_policy::stop).dead.size() == 1);
}

TEST_CASE("json: errors name the field, the column and its type, never the value") {
  constexpr const char* secret = "s3cr3t";
  const std::vector<std::string> values = {
      "\"s3cr3t\"", "[\"s3cr3t\"]",   "{\"s3cr3t\":\"s3cr3t\"}",       "{\"a\":[\"s3cr3t\"]}",
      "s3cr3t",     "\"\\q s3cr3t\"", "[[\"s3cr3t\"],[1,\"s3cr3t\"]]", "{\"s3cr3t\":1,\"s3cr3t\":1}",
      "\"s3cr3t",   "[\"s3cr3t\",]"};
  int refused = 0;
  for (const char* type : {"UInt8",
                           "Int256",
                           "Float64",
                           "Decimal(9, 2)",
                           "Bool",
                           "FixedString(2)",
                           "UUID",
                           "Date",
                           "DateTime64(3)",
                           "Time",
                           "Enum8('x' = 1)",
                           "IPv4",
                           "IPv6",
                           "Array(UInt8)",
                           "Tuple(a UInt8)",
                           "Map(UInt8, UInt8)",
                           "Variant(UInt8, Date)",
                           "JSON(a UInt8)",
                           "Point",
                           "Nested(a UInt8)",
                           "Dynamic"})
    for (const auto& value : values) {
      const auto out = decoded({target("the_column", type, "the.field")}, {"{\"the\":{\"field\":" + value + "}}"});
      if (out.dead.empty()) continue;
      ++refused;
      const auto& error = out.dead[0].error;
      CAPTURE(type);
      CAPTURE(error);
      CHECK(error.find(secret) == std::string::npos);
      const auto subject = "field 'the.field' for column 'the_column' (" + (*parse_type(type))->text + ")";
      CHECK((error.starts_with(subject) || error.starts_with("the value is not JSON: ")));
    }
  CHECK(refused > 150);
}

// Columns of every layout, taken back in the middle of a value.
TEST_CASE("json: a record that fails late leaves nothing behind") {
  const std::vector<target_column> targets = {target("s", "String"),
                                              target("n", "Nullable(String)"),
                                              target("a", "Array(Nullable(String))"),
                                              target("m", "Map(String, Array(UInt8))"),
                                              target("v", "Variant(UInt8, String, Array(String))"),
                                              target("d", "Dynamic"),
                                              target("t", "Tuple(x UInt8, y Array(String))"),
                                              target("j", "JSON"),
                                              target("w", "UInt8", "", "7"),
                                              target("last", "UInt8")};
  const auto record = [](std::mt19937_64& random, const std::string& last) {
    const auto text = [&] { return "\"" + std::string(random() % 40, static_cast<char>('a' + random() % 26)) + "\""; };
    const auto or_null = [&](const std::string& s) { return random() % 3 ? s : "null"; };
    return "{\"s\":" + text() + ",\"n\":" + or_null(text()) + ",\"a\":[" + or_null(text()) + "," + text() +
           "],\"m\":{" + text() + ":[1,2]},\"v\":" +
           (random() % 2   ? text()
            : random() % 2 ? "[" + text() + "]"
                           : "7") +
           ",\"d\":" + (random() % 2 ? "[1,null]" : or_null(text())) + ",\"t\":[1,[" + text() +
           "]],\"j\":{\"k\":" + text() + "},\"w\":" + or_null("3") + ",\"last\":" + last + "}";
  };
  std::mt19937_64 random(20260704);
  std::vector<std::optional<std::string>> all, good;
  for (int i = 0; i < 400; ++i) {
    good.push_back(record(random, "1"));
    all.push_back(good.back());
    auto bad = record(random, random() % 2 ? "256" : "[");
    if (random() % 3 == 0) bad.resize(random() % bad.size());
    all.push_back(bad);
  }
  const auto out = decoded(targets, all), expected = decoded(targets, good);
  REQUIRE(out.rows.rows == good.size());
  for (std::size_t i = 0; i < targets.size(); ++i)
    for (std::size_t row = 0; row < good.size(); ++row)
      CHECK(shown(out.rows.columns[i], row) == shown(expected.rows.columns[i], row));
}

// The parser reads beyond its input; run with the address sanitizer this finds what it must not read.
TEST_CASE("json: no read beyond the padding, whatever the sizes") {
  const std::string longest_key(128, 'k');
  auto d = decoder_of({target(longest_key, "String"), target("a", "String"), target("f", "Float64")});
  chunk out;
  std::size_t good = 0;
  for (std::size_t size = 0; size < 100; ++size) {
    const std::string value(size, 'v');
    // Memory is exactly as large as the largest record yet beyond 192 KiB, and its last tokens are as near to the end
    // as can be. The key before them was followed by the longest one the last time, which is compared first.
    for (const std::string& last : {"\"a\":\"" + value + "\"", std::string("\"a\":\"\""), std::string("\"f\":1")}) {
      decode_into(*d, {"{\"x\":1,\"" + longest_key + "\":\"" + value + "\"}"}, out);
      decode_into(*d, {"{\"x\":\"" + std::string(200'000 + 3 * good, 'x') + "\"," + last + "}"}, out);
      good += 2;
    }
  }
  CHECK(out.rows.rows == good);
  CHECK(out.dead.empty());
}

TEST_CASE("json: huge records among small ones") {
  std::vector<std::optional<std::string>> records;
  for (int i = 0; i < 50; ++i) {
    records.push_back(R"({"a":"small"})");
    records.push_back("{\"a\":\"" + std::string(static_cast<std::size_t>(i) * 40'000, 'x') + "\"}");
    if (i % 5 == 0) records.push_back("{\"a\":\"" + std::string(900'000, '\\') + "\"}"); // 450,000 backslashes
    if (i % 5 == 1) records.push_back("{\"a\":\"" + std::string(900'000, '\xff') + "\"}");
    if (i % 5 == 2) records.push_back(std::string(900'000, '{'));
    if (i % 5 == 3) records.push_back(std::string(900'000, ' '));
  }
  const auto out = decoded({target("a", "String")}, records);
  CHECK(out.rows.rows == 110);
  CHECK(out.dead.size() == 30);
}
