#include "formats/avro.hpp"

#include "formats/avro_reader.hpp"
#include "formats/avro_schema.hpp"

#include "data/avro_fixtures.hpp"
#include "show.hpp"

#include <random>

using namespace chute;
using namespace chute::test;

using namespace std::literals;

namespace {

std::string unhex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return out;
}

const avro_fixture& fixture(std::string_view name) {
  for (const auto& f : avro_fixtures)
    if (f.name == name) return f;
  throw std::runtime_error("no such fixture");
}

decoder_options bare(std::string schema, std::string reader = "") {
  decoder_options o;
  o.avro = {schema_framing::none, {std::move(schema)}, std::move(reader)};
  return o;
}

// One recorded value into the columns.
std::string decoded(std::string_view name, std::vector<target_column> targets, const std::string& reader = "") {
  const auto& f = fixture(name);
  return decode_values("avro", std::move(targets), bare(f.schema, reader), {unhex(f.hex)})[0];
}

std::string refused(const std::string& schema) {
  const auto t = avro::parse_schema(schema);
  return t ? "" : t.failure().cause;
}

std::string fields(const std::string& list) { return R"({"type":"record","name":"r","fields":[)" + list + "]}"; }

} // namespace

TEST_CASE("avro: plain types, as fastavro writes them") {
  const std::vector<target_column> t = {field("b", "Bool"),
                                        field("i", "Int32"),
                                        field("l", "Int64"),
                                        field("f", "Float32"),
                                        field("d", "Float64"),
                                        field("y", "String"),
                                        field("s", "String"),
                                        field("e", "Enum8('SPADES' = 1, 'HEARTS' = 2)"),
                                        field("x", "FixedString(4)"),
                                        field("a", "Array(Int8)"),
                                        field("m", "Map(String, Int64)"),
                                        field("n", "Nullable(String)"),
                                        field("r", "Tuple(q Nullable(Float64), p Int32)"),
                                        field("deep", "Int32", "r.p")};
  CHECK(decoded("plain", t) == "1, -2147483648, 9223372036854775807, 0.5, -1.0000000000000001e+300, '\0\xff', "s +
                                   "'tea \xc3\xa9', 2, 'abcd', [1, -2, 3], {('k', 7)}, null, (2.5, 5), 5");
  CHECK(decoded("plain2", t) == "0, 0, -1, 0, 0, '', '', 1, '\0\0\0\0', [], {}, 'here', (null, 0), 0"s);
  CHECK(decoded("plain", {field("r", "JSON"), field("a", "String"), field("r2", "String", "r"),
                          field("gone", "UInt8", "", "5")}) ==
        R"('{"p":5,"q":2.5}', '[1,-2,3]', '{"p":5,"q":2.5}', null)");
  CHECK(decoded("plain", {field("i", "UInt32")}) == "! field 'i' for column 'i' (UInt32) is out of range");
}

TEST_CASE("avro: logical types, as fastavro writes them") {
  CHECK(decoded("logical", {field("dec", "Decimal(12, 2)"), field("fix", "Decimal(12, 3)"), field("u", "UUID"),
                            field("day", "Date"), field("tm", "Time64(3)"), field("tu", "Time64(6)"),
                            field("sm", "DateTime64(3)"), field("su", "DateTime64(6)"), field("lm", "DateTime64(3)"),
                            field("lu", "DateTime64(6, 'Europe/Berlin')")}) ==
        "-123.45, 1.500, 123456789abcdef00102030405060708, 19844, 45000250, 45000250001, 1714566600250, "
        "1714566600250000, 1714566600250, 1714559400250000");
  CHECK(decoded("nanos", {field("sn", "DateTime64(9)"), field("ln", "DateTime64(9)"),
                          field("span", "Tuple(UInt32, UInt32, UInt32)"), field("iso", "String", "span"),
                          field("odd", "String")}) ==
        "1714566600250000001, 1714566600250000002, (1, 2, 3000), 'P1M2DT3S', 'kept'");
  CHECK(decoded("logical", {field("sm", "DateTime")}) ==
        "! field 'sm' for column 'sm' (DateTime) has more digits than the type keeps");
  CHECK(decoded("logical", {field("u", "String"), field("day", "String"), field("dec", "String")}) ==
        "'12345678-9abc-def0-0102-030405060708', '2024-05-01', '-123.45'");
}

TEST_CASE("avro: Debezium's times, which Connect's converter writes without logical types") {
  const auto one = [](const char* type, const char* on, const char* more, const char* column, const char* hex) {
    const auto schema = fields(R"({"name":"a","type":["null",{"type":")" + std::string(on) +
                               R"(","connect.version":1,"connect.name":"io.debezium.)" + type + "\"" + more + "}]}");
    return decode_values("avro", {field("a", column)}, bare(schema), {unhex(hex)})[0];
  };
  constexpr const char *seconds61 = "0290b907", *micros61 = "0280a5963a"; // 61,000 and 61,000,000
  CHECK(one("time.Date", "int", "", "Date32", "0201") == "-1");
  CHECK(one("time.Time", "int", "", "Time64(6)", seconds61) == "61000000");
  CHECK(one("time.MicroTime", "long", "", "Time64(3)", micros61) == "61000");
  CHECK(one("time.Timestamp", "long", "", "DateTime64(6)", seconds61) == "61000000");
  CHECK(one("time.MicroTimestamp", "long", "", "DateTime64(3)", micros61) == "61000");
  CHECK(one("time.MicroTimestamp", "long", "", "DateTime64(9)", micros61) == "61000000000");
  CHECK(one("time.NanoTimestamp", "long", "", "DateTime64(9)", micros61) == "61000000");
  CHECK(one("time.MicroDuration", "long", "", "Time64(6)", micros61) == "61000000");
  // What a clock without a zone showed: on the clocks of the column's zone, an hour before that of UTC.
  CHECK(one("time.Timestamp", "long", "", "DateTime64(3, 'Europe/Berlin')", seconds61) == "-3539000");
  CHECK(one("time.Year", "int", "", "DateTime64(3)", seconds61) == "61000");           // an integer
  CHECK(one("time.MicroTimestamp", "int", "", "DateTime64(3)", seconds61) == "61000"); // not the type it is of
  CHECK(one("time.Timestamp", "long", R"(,"logicalType":"timestamp-micros")", "DateTime64(3)", micros61) == "61000");
  CHECK(one("time.MicroTimestamp", "long", "", "Int64", micros61) == "61000000");
}

TEST_CASE("avro: unions into Nullable and Variant") {
  const auto v = [](const char* name) {
    return decoded(name, {field("v", "Variant(Array(Float64), Bool, Int64, String)")});
  };
  CHECK(v("union0") == "null");
  CHECK(v("union1") == "Int64:300");
  CHECK(v("union2") == "String:'x'");
  CHECK(v("union3") == "Bool:1");
  CHECK(v("union4") == "Array(Float64):[1.5, 2]");
  CHECK(decoded("union1", {field("v", "Nullable(Int16)")}) == "300");
  CHECK(decoded("union2", {field("v", "Nullable(Int16)")}) ==
        "! field 'v' for column 'v' (Nullable(Int16)) is not such a value");
  CHECK(decoded("union0", {field("v", "Int16", "", "7")}) == "null"); // the server's DEFAULT
}

TEST_CASE("avro: a reader's schema gives aliases and defaults") {
  const std::vector<target_column> t = {
      field("id", "UInt64"),           field("customer", "String"),       field("tags", "Array(String)"),
      field("price", "Decimal(9, 2)"), field("note", "Nullable(String)"), field("w", "UInt8", "size.w"),
      field("h", "UInt8", "size.h")};
  CHECK(decoded("v1", t, avro_reader_schema) == "1, 'ann', ['none'], 2.56, null, 3, 4");
  CHECK(decoded("v2", t, avro_reader_schema) == "2, 'bob', ['a', 'b'], 9.99, 'n', 1, 2");
  CHECK(decoded("v1", t) == "1, '', [], 0.00, null, 0, 0");
  CHECK(decoded("v1", {field("id", "Int8")}, fields(R"({"name":"z","type":"int","default":"x"})")) ==
        "! the default of field 'z' of the reader's schema does not fit its type");
}

TEST_CASE("avro: of a reader's union each record has the aliases and defaults of its own branch") {
  // {"v": …} of these records, and what a reader's branches make of it.
  const auto record = [](const std::string& name, const std::string& more) {
    return R"({"type":"record","name":")" + name + "\"," + more + "}";
  };
  const std::string number = R"("fields":[{"name":"n","type":"int"}])";
  const auto seen = [&](const std::string& writer, const std::string& reader, const char* hex) {
    return decode_values("avro", {field("v", "String")},
                         bare(fields(R"({"name":"v","type":[)" + writer + "]}"),
                              fields(R"({"name":"v","type":["null",)" + reader + "]}")),
                         {unhex(hex)})[0];
  };
  const auto with = [](const std::string& name, const std::string& value) {
    return R"("fields":[{"name":")" + name + R"(","type":"int","aliases":["n"]},{"name":"d","type":"int","default":)" +
           value + "}]";
  };
  const auto writer = record("x.A", number) + "," + record("x.B", number);
  const auto reader = record("x.A", with("a", "1")) + "," + record("x.B", with("b", "2"));
  CHECK(seen(writer, reader, "0006") == R"('{"d":1,"a":3}')");
  CHECK(seen(writer, reader, "0206") == R"('{"d":2,"b":3}')");
  // By an alias, which is of the reader's namespace if it names none; and whatever the namespace.
  const auto renamed = record("x.A", with("a", "1")) + "," + record("x.New", R"("aliases":["B"],)" + with("b", "2"));
  CHECK(seen(writer, renamed, "0206") == R"('{"d":2,"b":3}')");
  const auto moved = record("y.A", with("a", "1")) + "," + record("y.B", with("b", "2"));
  CHECK(seen(writer, moved, "0206") == R"('{"d":2,"b":3}')");
  // The full name before all else.
  const auto both = record("y.B", with("y", "1")) + "," + record("x.B", with("b", "2"));
  CHECK(seen(writer, both, "0206") == R"('{"d":2,"b":3}')");
  // None of several: as the writer has it. The only record of a union is it by any name.
  const auto others = record("x.A", with("a", "1")) + "," + record("x.C", with("c", "2"));
  CHECK(seen(writer, others, "0206") == R"('{"n":3}')");
  CHECK(seen(record("x.B", number), record("x.Address", with("a", "1")), "0006") == R"('{"d":1,"a":3}')");
}

TEST_CASE("avro: canonical forms and fingerprints are fastavro's") {
  for (const auto& f : avro_fixtures) {
    const auto form = avro::canonical_form(f.schema);
    REQUIRE(form.ok());
    CHECK(*form == f.canonical);
    CHECK(*avro::schema_fingerprint(f.schema) == f.fingerprint);
  }
  CHECK(*avro::canonical_form("\"int\"") == "\"int\"");
}

TEST_CASE("avro: single objects name their schemas by fingerprints") {
  const auto &v1 = fixture("v1"), &v2 = fixture("v2");
  decoder_options o;
  o.avro = {schema_framing::single_object, {v1.schema, v2.schema}, avro_reader_schema};
  const auto framed = [](const avro_fixture& f) {
    std::string out = "\xc3\x01";
    out.append(reinterpret_cast<const char*>(&f.fingerprint), 8);
    return out + unhex(f.hex);
  };
  CHECK(decode_values("avro", {field("id", "UInt64"), field("customer", "String")}, o,
                      {framed(v1), framed(v2), framed(fixture("union1")), unhex(v1.hex)}) ==
        lines{"1, 'ann'", "2, 'bob'", "! the value names a schema that the topology does not give",
              "! the value does not begin with the header of a single object"});
}

TEST_CASE("avro: Confluent's framing, schemas by ids") {
  decoder_options o;
  o.schemas = std::make_shared<schema_cache>();
  auto d = make_decoder("avro", {field("id", "UInt64"), field("client", "String"), field("customer", "String")}, o);
  REQUIRE(d.ok());
  std::vector<std::optional<std::string>> values;
  for (const auto& f : confluent_avro_fixtures) values.emplace_back(unhex(f.hex));
  std::vector<record_view> records;
  for (const auto& v : values) {
    records.emplace_back();
    records.back().value = *v;
  }
  std::vector<std::uint32_t> wanted;
  (*d)->wanted_schemas(records, wanted);
  CHECK(wanted == std::vector<std::uint32_t>{1, 2});
  chunk none;
  CHECK_THROWS((*d)->decode(records, plain_headers(), none)); // never a dead letter for what nobody asked for
  for (const auto& f : confluent_avro_fixtures)
    o.schemas->put(f.id, std::make_shared<schema_text>(schema_text{"AVRO", f.schema, {}}));
  o.schemas->put(3, nullptr);
  o.schemas->put(4, std::make_shared<schema_text>(schema_text{"PROTOBUF", "", {}}));
  o.schemas->put(5, std::make_shared<schema_text>(schema_text{"AVRO", "\"int\"", {}}));
  wanted.clear();
  (*d)->wanted_schemas(records, wanted);
  CHECK(wanted.empty());
  for (const char* more : {"0000000003", "0000000004", "0000000005", "00000000", "01000000010206616e6e", ""})
    values.emplace_back(unhex(more));
  values.emplace_back(*values[0] + "x");
  chunk out;
  CHECK(decode_values(**d, values, out) ==
        lines{"1, 'ann', ''", "2, '', 'bob'", "! the schema of id 3 is not known to the registry",
              "! the schema of id 4 is no Avro schema", "! the schema of id 5 is not that of a record",
              "! the value does not begin with a zero byte and a schema's id",
              "! the value does not begin with a zero byte and a schema's id",
              "! the value does not begin with a zero byte and a schema's id",
              "! the value goes on behind the record"});
}

TEST_CASE("avro: schemas that refer to others") {
  schema_text s{"AVRO", fields(R"({"name":"a","type":"shop.Money"},{"name":"b","type":["null","shop.Money"]})"), {}};
  auto money = std::make_shared<schema_text>(schema_text{
      "AVRO", R"({"type":"record","namespace":"shop","name":"Money","fields":[{"name":"cents","type":"long"}]})", {}});
  CHECK_FALSE(avro::parse_schema(s).ok());
  s.references = {{"shop.Money", money}, {"again", money}};
  const auto t = avro::parse_schema(s);
  REQUIRE(t.ok());
  CHECK((*t)->fields[0].type->name == "shop.Money");
  CHECK((*t)->fields[1].type->parts[1] == (*t)->fields[0].type);
}

TEST_CASE("avro: of two versions of a schema that others refer to, the first") {
  const auto version = [](const char* more) {
    return std::make_shared<schema_text>(schema_text{
        "AVRO",
        R"({"type":"record","name":"Money","fields":[{"name":"cents","type":"long"})" + std::string(more) + "]}",
        {}});
  };
  auto customer = std::make_shared<schema_text>(
      schema_text{"AVRO", R"({"type":"record","name":"Customer","fields":[{"name":"limit","type":"Money"}]})", {}});
  customer->references = {{"Money", version("")}};
  schema_text s{"AVRO", fields(R"({"name":"a","type":"Money"},{"name":"b","type":"Customer"})"), {}};
  s.references = {{"Money", version(R"(,{"name":"currency","type":"string"})")}, {"Customer", customer}};
  const auto t = avro::parse_schema(s);
  REQUIRE(t.ok());
  CHECK((*t)->fields[0].type->fields.size() == 2);
  CHECK((*t)->fields[1].type->fields[0].type == (*t)->fields[0].type);
}

TEST_CASE("avro: schemas that cannot be used, and why") {
  CHECK(refused("{") == "is not JSON");
  CHECK(refused("5") == "has a part that is neither a name, a union nor an object");
  CHECK(refused("\"nothing\"") == "refers to 'nothing', which it does not define");
  CHECK(refused(fields(R"({"name":"next","type":["null","r"]})")) ==
        "is recursive: 'r' holds itself, and no column has a type without an end");
  CHECK(refused(fields(R"({"name":"a","type":"int"},{"name":"a","type":"int"})")) ==
        "has two fields 'a' in one record");
  CHECK(refused(R"({"type":"array"})") == "has an array without items");
  CHECK(refused(R"({"type":"fixed","name":"f","size":-1})") == "has a fixed without a size");
  CHECK(refused("[\"int\",[\"null\"]]") == "has a union directly within a union");
  std::string deep = "\"int\"";
  for (int i = 0; i < 100; ++i) deep = R"({"type":"array","items":)" + deep + "}";
  CHECK(refused(deep) == "is nested deeper than 64 levels");
  // Annotations that do not fit have no meaning.
  const auto t = avro::parse_schema(R"({"type":"string","logicalType":"date"})");
  REQUIRE(t.ok());
  CHECK((*t)->as == avro::logical::none);
  CHECK_FALSE(make_decoder("avro", {field("a", "Int8")}, bare("{")).ok());
  CHECK_FALSE(make_decoder("avro", {field("a", "Int8")}, bare("\"int\"")).ok());
}

TEST_CASE("avro: values that are cut, claim too much, or hold what cannot be") {
  const auto one = [](const std::string& list, const std::string& hex) {
    return decode_values("avro", {field("a", "String")}, bare(fields(list)), {unhex(hex)})[0];
  };
  const auto& whole = fixture("plain");
  const auto bytes = unhex(whole.hex);
  for (std::size_t n = 0; n < bytes.size(); ++n)
    CHECK(decode_values("avro", {field("i", "Int32"), field("m", "Map(String, Int64)")}, bare(whole.schema),
                        {bytes.substr(0, n)})[0] == "! the value ends too early");
  CHECK(one(R"({"name":"a","type":"int"})", "ffffffffff7f") == "! the value holds an int of more than 32 bits");
  CHECK(one(R"({"name":"a","type":"long"})", "ffffffffffffffffffff01") ==
        "! the value holds a number of more than 64 bits");
  CHECK(one(R"({"name":"a","type":"boolean"})", "02") == "! the value holds a boolean that is neither true nor false");
  CHECK(one(R"({"name":"a","type":["null","int"]})", "04") == "! the value holds a union's branch that there is not");
  CHECK(one(R"({"name":"a","type":"string"})", "01") == "! the value holds a negative length");
  for (const char* name : {"a", "b"}) // read, and only passed
    CHECK(one(std::string(R"({"name":")") + name + R"(","type":{"type":"array","items":"null"}})",
              "feffffffffffffffff0100") == "! the value holds more values than its size allows");
}

TEST_CASE("avro: a record does not become gigabytes, however large it is itself") {
  const auto schema = fields(R"({"name":"a","type":"bytes"},{"name":"b","type":{"type":"array","items":"null"}})");
  const auto value = unhex("808009") + std::string(73'728, 'x'); // its size allows for some 4,700,000 values
  const auto times = [&](const char* count) {
    return decode_values("avro", {field("n", "UInt64", "a"), field("b", "String")}, bare(schema),
                         {value + unhex(count)})[0];
  };
  CHECK(times("80d9800400") == "! the value holds more than 4,000,000 values"); // 4,200,000
  CHECK(times("0600").starts_with("! field 'a' for column 'n' (UInt64) is bytes"));
}

TEST_CASE("avro: the short way into a column and the one through datums make the same of everything") {
  const auto schema = fields(
      R"({"name":"a","type":"int"},{"name":"b","type":"long"},{"name":"c","type":"float"},{"name":"d","type":"double"},)"
      R"({"name":"e","type":"boolean"},{"name":"f","type":"string"},{"name":"g","type":"bytes"},)"
      R"({"name":"h","type":{"type":"enum","name":"s","symbols":["x","y"]}},{"name":"i","type":["null","string"]},)"
      R"({"name":"j","type":["long","null"]},{"name":"k","type":{"type":"long","logicalType":"timestamp-millis"}},)"
      R"({"name":"l","type":{"type":"int","logicalType":"date"}},)"
      R"({"name":"m","type":{"type":"array","items":["null","string"]}},)"
      R"({"name":"n","type":{"type":"map","values":{"type":"array","items":"int"}}},)"
      R"({"name":"o","type":{"type":"record","name":"p","fields":[{"name":"q","type":"int"}]}})");
  const std::vector<target_column> t = {field("a", "UInt8"),
                                        field("b", "Int32", "", "7"), // travels as Nullable
                                        field("c", "Float32"),
                                        field("d", "Nullable(Float64)"),
                                        field("e", "Bool"),
                                        field("f", "FixedString(2)"),
                                        field("g", "LowCardinality(String)"),
                                        field("h", "Enum8('x' = 1, 'y' = -1)"),
                                        field("i", "LowCardinality(Nullable(String))"),
                                        field("j", "Nullable(Int16)"),
                                        field("k", "DateTime64(6)"),
                                        field("l", "Date32"),
                                        field("m", "Array(LowCardinality(Nullable(String)))"),
                                        field("n", "Map(String, Array(UInt8))"),
                                        field("q", "Int8", "o.q")};
  const auto whole = unhex("ce01020000803f000000000000f03f01046162046768020202690006"
                           "80a0abfef962100400020"
                           "26d0002026e0402040000"
                           "0e");
  std::mt19937 random(20240601);
  std::vector<std::optional<std::string>> values = {whole};
  for (int i = 0; i < 20'000; ++i) {
    auto v = whole;
    for (std::size_t k = random() % 4; k > 0 && !v.empty(); --k) {
      const auto at = random() % v.size();
      if (random() % 8) v[at] = static_cast<char>(random() % 3 ? random() % 8 : random());
      else v.erase(at, 1 + random() % 2);
    }
    values.emplace_back(v);
  }
  chunk out;
  const auto straight = decode_values("avro", t, bare(schema), values);
  const auto through_datums = decode_values("avro", t, bare(schema, schema), values);
  CHECK(straight[0] == "103, 1, 1, 1, 1, 'ab', 'gh', -1, 'i', 3, 1700000000000000, 8, [null, 'm'], {('n', [1, 2])}, 7");
  std::size_t rows = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    rows += !straight[i].starts_with("!");
    if (straight[i] != through_datums[i]) CHECK(straight[i] == through_datums[i]); // too many to count each
  }
  CHECK(rows > 1'000);
  CHECK(rows < 15'000);
}

TEST_CASE("avro: no change of a byte crashes the decoder") {
  std::mt19937 random(20240501);
  for (const auto& f : avro_fixtures) {
    std::vector<target_column> targets;
    const auto schema = avro::parse_schema(std::string_view(f.schema));
    REQUIRE(schema.ok());
    for (std::size_t i = 0; i < (*schema)->fields.size(); ++i) {
      const auto& name = (*schema)->fields[i].name;
      if (i % 3 != 2) targets.push_back(field(name, i % 3 ? "Dynamic" : "String"));
    }
    auto d = make_decoder("avro", targets, bare(f.schema, avro_reader_schema));
    REQUIRE(d.ok());
    const auto whole = unhex(f.hex);
    std::vector<std::optional<std::string>> values = {whole};
    for (int i = 0; i < 300; ++i) {
      auto v = whole;
      for (std::size_t k = 1 + random() % 3; k > 0 && !v.empty(); --k) {
        const auto at = random() % v.size();
        if (random() % 4) v[at] = static_cast<char>(random());
        else v.erase(at, 1 + random() % 4);
      }
      values.emplace_back(v);
    }
    chunk out;
    CHECK_FALSE(decode_values(**d, values, out)[0].starts_with("!"));
  }
}
