#include "formats/connect_json.hpp"

#include "show.hpp"

#include <random>

using namespace chute;
using namespace chute::test;

namespace {

// {"schema": a struct of these fields, "payload": …}
std::string enveloped(const std::string& fields, const std::string& payload) {
  return R"({"schema":{"type":"struct","fields":[)" + fields + R"(],"optional":false,"name":"v"},"payload":)" +
         payload + "}";
}

lines decoded(std::vector<target_column> targets, const std::vector<std::optional<std::string>>& values) {
  return decode_values("connect_json", std::move(targets), {}, values);
}

// One field of that schema and value into one column.
std::string one(const std::string& type, const std::string& schema, const std::string& value) {
  return decoded({field("x", type)}, {enveloped("{\"field\":\"x\"," + schema + "}", "{\"x\":" + value + "}")})[0];
}

std::string logical(const std::string& name, const std::string& type) {
  return "\"type\":\"" + type + "\",\"name\":\"" + name + "\",\"version\":1";
}

} // namespace

TEST_CASE("connect_json: plain types") {
  CHECK(one("Int8", R"("type":"int8")", "-128") == "-128");
  CHECK(one("Int64", R"("type":"int64")", "9223372036854775807") == "9223372036854775807");
  CHECK(one("Float32", R"("type":"float")", "0.5") == "0.5");
  CHECK(one("Float64", R"("type":"double")", "1e300") == "1.0000000000000001e+300");
  CHECK(one("Float64", R"("type":"double")", "\"NaN\"") == "nan");
  CHECK(one("Bool", R"("type":"boolean")", "true") == "1");
  CHECK(one("String", R"("type":"string")", R"("a\u00e9\n")") == "'a\xc3\xa9\n'");
  CHECK(one("String", R"("type":"bytes")", "\"AP8=\"") == std::string("'\0\xff'", 4));
  CHECK(one("Array(Nullable(Int32))", R"("type":"array","items":{"type":"int32","optional":true})", "[1,null]") ==
        "[1, null]");
  CHECK(one("Map(String, Int32)", R"("type":"map","keys":{"type":"string"},"values":{"type":"int32"})",
            R"({"a":1,"b":2})") == "{('a', 1), ('b', 2)}");
  CHECK(one("Map(Int32, String)", R"("type":"map","keys":{"type":"int32"},"values":{"type":"string"})",
            R"([[1,"a"],[2,"b"]])") == "{(1, 'a'), (2, 'b')}");
  CHECK(one("Tuple(a Int32, b Nullable(String))",
            R"("type":"struct","fields":[{"field":"a","type":"int32"},{"field":"b","type":"string","optional":true}])",
            R"({"a":5,"b":null})") == "(5, null)");
}

TEST_CASE("connect_json: logical types of Connect") {
  const auto decimal = logical("org.apache.kafka.connect.data.Decimal", "bytes") + R"(,"parameters":{"scale":"2"})";
  CHECK(one("Decimal(18, 2)", decimal, "\"MDk=\"") == "123.45"); // 0x3039
  CHECK(one("Decimal(18, 2)", decimal, "\"/w==\"") == "-0.01");
  CHECK(one("Decimal(18, 2)", decimal, "123.45") == "123.45"); // decimal.format=NUMERIC
  CHECK(one("Decimal(38, 2)", decimal, "123456789012345678901234567890.12") == "123456789012345678901234567890.12");
  CHECK(one("Decimal(18, 2)", decimal, "123.456") == "! field 'x' of the payload is not what its schema says");
  CHECK(one("Date", logical("org.apache.kafka.connect.data.Date", "int32"), "19844") == "19844");
  CHECK(one("Time64(3)", logical("org.apache.kafka.connect.data.Time", "int32"), "45000250") == "45000250");
  CHECK(one("DateTime64(3)", logical("org.apache.kafka.connect.data.Timestamp", "int64"), "1714521600500") ==
        "1714521600500");
  CHECK(one("DateTime64(6, 'Europe/Berlin')", logical("org.apache.kafka.connect.data.Timestamp", "int64"), "1000") ==
        "1000000");
}

TEST_CASE("connect_json: logical types of Debezium") {
  const auto debezium = [](const std::string& name, const std::string& type) {
    return logical("io.debezium." + name, type);
  };
  CHECK(one("Date32", debezium("time.Date", "int32"), "-1") == "-1");
  CHECK(one("Time", debezium("time.Time", "int32"), "61000") == "61");
  CHECK(one("Time64(6)", debezium("time.MicroTime", "int64"), "61000001") == "61000001");
  CHECK(one("Time64(9)", debezium("time.NanoTime", "int64"), "61000000001") == "61000000001");
  CHECK(one("DateTime64(3)", debezium("time.Timestamp", "int64"), "1714521600500") == "1714521600500");
  CHECK(one("DateTime64(6)", debezium("time.MicroTimestamp", "int64"), "1714521600500001") == "1714521600500001");
  CHECK(one("DateTime64(9)", debezium("time.NanoTimestamp", "int64"), "1714521600500001000") == "1714521600500001000");
  // Wall clock time, without a zone: it stays what the clock showed.
  CHECK(one("DateTime64(3, 'Europe/Berlin')", debezium("time.Timestamp", "int64"), "1714521600500") == "1714514400500");
  CHECK(one("DateTime64(3)", debezium("time.ZonedTimestamp", "string"), "\"2024-05-01T02:00:00.5+02:00\"") ==
        "1714521600500");
  CHECK(one("UUID", debezium("data.Uuid", "string"), "\"12345678-9abc-def0-0102-030405060708\"") ==
        "123456789abcdef00102030405060708");
  CHECK(one("Enum8('a' = 1, 'b' = 2)", debezium("data.Enum", "string"), "\"b\"") == "2");
  CHECK(one("JSON", debezium("data.Json", "string"), R"("{\"a\": [1, 2]}")") == "'{\"a\": [1, 2]}'");
  CHECK(one("Int32", debezium("time.Year", "int32"), "2024") == "2024");
  CHECK(one("Decimal(18, 3)",
            debezium("data.VariableScaleDecimal", "struct") +
                R"(,"fields":[{"field":"scale","type":"int32"},{"field":"value","type":"bytes"}])",
            R"({"scale":1,"value":"MDk="})") == "1234.500");
}

TEST_CASE("connect_json: a change event, by paths") {
  const std::string row = R"("type":"struct","optional":true,"fields":[{"field":"id","type":"int64"},)"
                          R"({"field":"name","type":"string","optional":true}])";
  const std::string fields = R"({"field":"before",)" + row + R"(},{"field":"after",)" + row +
                             R"(},{"field":"source","type":"struct","fields":[{"field":"ts_ms","type":"int64"}]},)"
                             R"({"field":"op","type":"string"})";
  CHECK(decoded({field("id", "Int64", "after.id"), field("name", "Nullable(String)", "after.name"),
                 field("op", "LowCardinality(String)"), field("at", "DateTime64(3)", "source.ts_ms")},
                {enveloped(fields, R"({"before":null,"after":{"id":5,"name":"x"},"source":{"ts_ms":7},"op":"c"})"),
                 enveloped(fields, R"({"before":{"id":5,"name":null},"after":null,"source":{"ts_ms":8},"op":"d"})")}) ==
        lines{"5, 'x', 'c', 7", "0, null, 'd', 8"});
}

TEST_CASE("connect_json: null, missing, defaults") {
  const std::string fields =
      R"({"field":"a","type":"int32","optional":true,"default":7},{"field":"b","type":"string","default":"z"})";
  CHECK(decoded({field("a", "Nullable(Int32)"), field("b", "String")},
                {enveloped(fields, R"({"a":1,"b":"x"})"), enveloped(fields, R"({"a":null,"b":null})"),
                 enveloped(fields, "{}")}) == lines{"1, 'x'", "null, 'z'", "7, 'z'"});
  CHECK(one("Int32", R"("type":"int32")", "null") == "! field 'x' of the payload is null, and not optional");
  CHECK(decoded({field("x", "Int32")}, {enveloped(R"({"field":"x","type":"int32"})", "{}")})[0] ==
        "! field 'x' of the payload is missing, and not optional");
  CHECK(one("Int32", R"("type":"int32","optional":true)", "null") == "0");
  CHECK(decoded({field("x", "Int32", "", "5"), field("y", "UInt8", "", "9")},
                {enveloped(R"({"field":"x","type":"int32","optional":true})", R"({"x":null})")}) ==
        lines{"null, null"});
}

TEST_CASE("connect_json: arrays of structs fill the columns of a Nested structure") {
  const std::string fields = R"({"field":"n","type":"array","items":{"type":"struct","fields":[)"
                             R"({"field":"a","type":"int32"},{"field":"b","type":"string","optional":true}]}})";
  CHECK(decoded({field("n.a", "Array(UInt8)"), field("n.b", "Array(Nullable(String))"), field("n.c", "Array(String)")},
                {enveloped(fields, R"({"n":[{"a":1,"b":"x"},{"a":2,"b":null}]})"), enveloped(fields, R"({"n":[]})")}) ==
        lines{"[1, 2], ['x', null], ['', '']", "[], [], []"});
  CHECK(decoded({field("n", "Nested(a UInt8, b Nullable(String))")},
                {enveloped(fields, R"({"n":[{"a":1,"b":"x"},{"a":2,"b":null}]})")}) == lines{"[(1, 'x'), (2, null)]"});
}

TEST_CASE("connect_json: without a schema it is plain JSON") {
  CHECK(decoded({field("a", "Int32"), field("b", "Array(Float64)"), field("c", "JSON"), field("d", "UInt64")},
                {R"({"schema":null,"payload":{"a":1,"b":[1,2.5],"c":{"x":{"y":[1,"2"]}},"d":18446744073709551615}})",
                 R"({"payload":{"a":2},"schema":null})"}) ==
        lines{"1, [1, 2.5], '{\"x\":{\"y\":[1,\"2\"]}}', 18446744073709551615", "2, [], '{}', 0"});
}

TEST_CASE("connect_json: without a schema a number keeps all its digits") {
  const auto record = [](const std::string& number) { return R"({"schema":null,"payload":{"a":)" + number + "}}"; };
  const std::vector<std::string> numbers = {"12345678901234567.89",  "0.1", "1.10",
                                            "-36893488147419103232", "1e3", "9223372036854775808",
                                            "0.10000000000000000001"};
  std::vector<std::optional<std::string>> records;
  for (const auto& n : numbers) records.emplace_back(record(n));
  CHECK(decoded({field("a", "Decimal(40, 2)")}, {records[0], records[2], records[3], records[4]}) ==
        lines{"12345678901234567.89", "1.10", "-36893488147419103232.00", "1000.00"});
  CHECK(decoded({field("a", "String")}, records) == lines{"'12345678901234567.89'", "'0.1'", "'1.1'",
                                                          "'-36893488147419103232'", "'1000'", "'9223372036854775808'",
                                                          "'0.10000000000000000001'"});
  CHECK(decoded({field("a", "Float64")}, {records[0], records[1], records[3]}) ==
        lines{"12345678901234568", "0.10000000000000001", "-3.6893488147419103e+19"});
  CHECK(decoded({field("a", "Int128")}, {records[3]}) == lines{"-36893488147419103232"});
  CHECK(decoded({field("a", "Float64")}, {record(std::string(80, '9'))}) ==
        lines{"! field 'a' of the payload holds a number beyond 76 digits"});
}

TEST_CASE("connect_json: without a schema a field that appears twice makes a bad record, too") {
  const auto one_of = [](const std::string& payload) {
    return decoded({field("a", "Int32"), field("b", "Int32", "o.b")},
                   {R"({"schema":null,"payload":)" + payload + "}"})[0];
  };
  CHECK(one_of(R"({"a":1,"o":{"b":2,"a":3}})") == "1, 2"); // of two objects
  CHECK(one_of(R"({"a":1,"o":[{"x":1},{"x":2}]})") == "! field 'o.b' for column 'b' (Int32) is beyond a list where a "
                                                      "record should be");
  CHECK(one_of(R"({"a":1,"a":2})") == "! field 'a' of the payload appears twice");
  CHECK(one_of(R"({"a":1,"z":0,"\u0061":1})") == "! field 'a' of the payload appears twice");
  CHECK(one_of(R"({"a":1,"o":{"b":2,"c":0,"b":2}})") == "! field 'b' of the payload appears twice");
  CHECK(one_of(R"({"a":1,"z":1,"z":2})") == "! field 'z' of the payload appears twice");
}

TEST_CASE("connect_json: a record does not become gigabytes") {
  std::string many = "1";
  for (int i = 0; i < 4'000'000; ++i) many += ",1";
  CHECK(decoded({field("a", "Array(Int8)")}, {R"({"schema":null,"payload":{"a":[)" + many + "]}}"})[0] ==
        "! the payload holds more than 4,000,000 values");
  CHECK(decoded({field("a", "Array(Int8)")},
                {enveloped(R"({"field":"a","type":"array","items":{"type":"int8"}})", R"({"a":[)" + many + "]}")})[0] ==
        "! the payload holds more than 4,000,000 values");
}

TEST_CASE("connect_json: what is wrong is a bad record, and says why") {
  const std::string fields = R"({"field":"a","type":"int32"})";
  CHECK(decoded({field("a", "UInt8")},
                {"", "x", "[]", "{}", R"({"schema":{},"payload":{}})", R"({"schema":{"type":"int32"},"payload":5})",
                 R"({"schema":null,"payload":5})", R"({"schema":5,"payload":{}})", enveloped(fields, "null"),
                 enveloped(fields, R"({"a":"5"})"), enveloped(fields, R"({"a":300})"),
                 enveloped(fields, R"({"a":1,"a":2})"), enveloped(fields, R"({"a":99999999999})"),
                 enveloped(fields, R"({"a":1)"), enveloped(R"({"field":"a","type":"int33"})", R"({"a":1})"),
                 enveloped(fields + "," + fields, R"({"a":1})"), std::nullopt,
                 enveloped(fields, R"({"a":9,"z":1})") + " ", enveloped(fields, R"({"a":9})") + "}"}) ==
        lines{"! the value is empty", "! the value is not an object of schema and payload",
              "! the value is not an object of schema and payload",
              "! the value has no 'schema': is it plain JSON, for format: json?",
              "! the schema has a part without a type", "! the schema is not that of a struct",
              "! the payload is not an object", "! the schema is not a JSON object", "! the payload is null",
              "! field 'a' of the payload is not what its schema says",
              "! field 'a' for column 'a' (UInt8) is out of range", "! field 'a' of the payload appears twice",
              "! field 'a' of the payload is not what its schema says", "! the value is not JSON",
              "! the schema has the unknown type 'int33'", "! the schema has a struct with two fields of one name",
              "! tombstone: the value is null, and deletes are rejected", "9", "! the value is not JSON"});
}

TEST_CASE("connect_json: no change of a byte crashes the decoder") {
  const std::string fields = R"({"field":"a","type":"int32","optional":true,"default":7},{"field":"b","type":"array",)"
                             R"("items":{"type":"map","keys":{"type":"int32"},"values":{"type":"string"}}},)"
                             R"({"field":"d","type":"bytes","name":"org.apache.kafka.connect.data.Decimal",)"
                             R"("parameters":{"scale":"2"}})";
  const std::string whole = enveloped(fields, R"({"a":1,"b":[[[1,"x"]],[]],"d":"MDk="})");
  auto d = make_decoder("connect_json",
                        {field("a", "Int8"), field("b", "Array(Map(Int32, String))"), field("d", "Decimal(9, 2)"),
                         field("j", "Dynamic", "b")},
                        {});
  REQUIRE(d.ok());
  std::mt19937 random(20240501);
  std::vector<std::optional<std::string>> values = {whole};
  for (int i = 0; i < 4'000; ++i) {
    std::string v = whole;
    const auto changes = 1 + random() % 3;
    for (std::size_t k = 0; k < changes; ++k) {
      const auto at = random() % v.size();
      switch (random() % 3) {
      case 0: v[at] = static_cast<char>(random()); break;
      case 1: v.erase(at, 1 + random() % 8); break;
      default: v.insert(at, v.substr(random() % v.size(), random() % 12));
      }
      if (v.empty()) v = "{";
    }
    values.emplace_back(v);
  }
  chunk out;
  const auto shown = decode_values(**d, values, out);
  CHECK(shown.size() == values.size());
  CHECK(shown[0].starts_with("1, [{(1, 'x')}, {}], 123.45, "));
}
