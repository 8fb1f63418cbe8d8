#include "formats/datum.hpp"
#include "formats/datum_writer.hpp"

#include "show.hpp"

#include <cmath>
#include <limits>
#include <random>

using namespace chute;
using namespace chute::test;

namespace {

using kind = datum_kind;

// Values in memory that lasts for a test.
struct values {
  datum_arena arena;
  datum& number(kind k, std::int64_t n, std::uint8_t scale = 0) {
    datum& d = arena.make(k);
    d.number = n;
    d.scale = scale;
    return d;
  }
  datum& real(double v, kind k = kind::float64) {
    datum& d = arena.make(k);
    d.real = v;
    return d;
  }
  datum& text(std::string s, kind k = kind::text) {
    datum& d = arena.make(k);
    d.text = arena.keep(std::move(s));
    return d;
  }
  datum& decimal(std::string_view digits, std::uint8_t scale) {
    wide_int v;
    REQUIRE(parse_wide_int(digits, 256, true, v) == value_error::none);
    datum& d = arena.make(kind::decimal);
    d.scale = scale;
    d.wide = arena.keep(v);
    return d;
  }
  datum& null() { return arena.make(kind::null); }
  datum& many(kind k, std::vector<datum*> children) {
    datum& d = arena.make(k);
    children_of c(d);
    for (auto* child : children) c.add(*child);
    return d;
  }
  datum* named(std::string name, datum& d) {
    d.name = arena.keep(std::move(name));
    return &d;
  }
};

// What a column of that type holds after the value, or why it does not.
std::string written(const std::string& type, const datum& d) {
  const auto t = *parse_type(type);
  auto w = datum_writer::make(t, "UTC");
  REQUIRE_MESSAGE(w.ok(), (w.ok() ? "" : w.failure().text()));
  auto c = make_column(storage_type(t));
  const auto wrong = w->append(d, c);
  if (!wrong.empty()) return "! " + wrong;
  REQUIRE(c.rows == 1);
  return show(c)[0];
}

std::string text_of(const datum& d) {
  std::string out;
  render_text(d, out);
  return out;
}

} // namespace

TEST_CASE("whole numbers go where they fit, and nowhere else") {
  values v;
  CHECK(written("Int8", v.number(kind::integer, -128)) == "-128");
  CHECK(written("Int8", v.number(kind::integer, 128)) == "! is out of range");
  CHECK(written("UInt8", v.number(kind::integer, 255)) == "255");
  CHECK(written("UInt8", v.number(kind::integer, 256)) == "! is out of range");
  CHECK(written("UInt8", v.number(kind::integer, -1)) == "! is out of range");
  CHECK(written("UInt64", v.number(kind::natural, -1)) == "18446744073709551615");
  CHECK(written("Int64", v.number(kind::natural, -1)) == "! is out of range");
  CHECK(written("UInt32", v.number(kind::natural, -1)) == "! is out of range");
  CHECK(written("Int128", v.number(kind::natural, -1)) == "18446744073709551615");
  CHECK(written("Int256", v.number(kind::integer, -1)) == "-1");
  CHECK(written("UInt256", v.number(kind::integer, -1)) == "! is out of range");
  CHECK(written("Int64", v.number(kind::integer, std::numeric_limits<std::int64_t>::min())) == "-9223372036854775808");
  CHECK(written("Float64", v.number(kind::natural, -1)) == "1.8446744073709552e+19");
  CHECK(written("Decimal(5, 2)", v.number(kind::integer, 999)) == "999.00");
  CHECK(written("Decimal(5, 2)", v.number(kind::integer, 1000)) == "! is out of range");
  CHECK(written("Bool", v.number(kind::integer, 1)) == "1");
  CHECK(written("Bool", v.number(kind::integer, 2)) == "! is out of range");
  CHECK(written("UInt8", v.number(kind::boolean, 1)) == "1");
  CHECK(written("String", v.number(kind::integer, -5)) == "'-5'");
  CHECK(written("UUID", v.number(kind::integer, 5)) == "! is an integer, which the type does not take");
}

TEST_CASE("floats and decimals") {
  values v;
  CHECK(written("Float32", v.real(0.1)) == "0.100000001");
  CHECK(written("Float32", v.real(1e300)) == "! is out of range");
  CHECK(written("Float64", v.real(std::numeric_limits<double>::infinity())) == "inf");
  CHECK(written("Int32", v.real(3.0)) == "3");
  CHECK(written("Int32", v.real(3.5)) == "! has more digits than the type keeps");
  CHECK(written("Int32", v.real(std::numeric_limits<double>::quiet_NaN())) ==
        "! is a float, which the type does not take");
  CHECK(written("Decimal(9, 2)", v.real(0.25)) == "0.25");
  CHECK(written("Decimal(9, 1)", v.real(0.25)) == "! has more digits than the type keeps");
  CHECK(written("String", v.real(0.1F, kind::float32)) == "'0.1'");
  CHECK(written("String", v.real(3)) == "'3'");
  const auto json = [](const datum& d) {
    std::string out;
    render_json(d, out);
    return out;
  };
  CHECK(json(v.real(3)) == "3.0");
  CHECK(json(v.real(-0.5)) == "-0.5");
  CHECK(json(v.real(1e300)) == "1e+300");
  CHECK(json(v.real(18446744073709551616.0)) == "18446744073709551616.0");
  CHECK(json(v.real(2, kind::float32)) == "2.0");
  CHECK(written("Decimal(9, 2)", v.decimal("-12345", 2)) == "-123.45");
  CHECK(written("Decimal(9, 4)", v.decimal("-12345", 2)) == "-123.4500");
  CHECK(written("Decimal(9, 1)", v.decimal("12345", 2)) == "! has more digits than the type keeps");
  CHECK(written("Decimal(9, 1)", v.decimal("12350", 2)) == "123.5");
  CHECK(written("Decimal(3, 2)", v.decimal("12345", 2)) == "! is out of range");
  CHECK(written("Float64", v.decimal("12345", 2)) == "123.45");
  CHECK(written("Int32", v.decimal("12300", 2)) == "123");
  CHECK(written("String", v.decimal("-5", 3)) == "'-0.005'");
  const std::string wide = "-5789604461865809771178549250434395392663499233282028201972879200395656481996"; // 76 digits
  CHECK(text_of(v.decimal(wide, 0)) == wide);
  CHECK(written("Decimal(76, 0)", v.decimal(wide, 0)) == wide);
}

TEST_CASE("decimals in bytes, the highest first") {
  wide_int w;
  const auto read = [&](std::string_view bytes) {
    REQUIRE(read_big_endian(bytes, w));
    std::string out;
    render_decimal(w, 0, out);
    return out;
  };
  using namespace std::literals;
  CHECK(read("") == "0");
  CHECK(read("\x01"sv) == "1");
  CHECK(read("\xff"sv) == "-1");
  CHECK(read("\x00\x80"sv) == "128");
  CHECK(read("\x80"sv) == "-128");
  CHECK(read("\x01\x00\x00\x00\x00\x00\x00\x00\x00"sv) == "18446744073709551616");
  CHECK(read(std::string(40, '\xff')) == "-1");
  CHECK_FALSE(read_big_endian("\x01" + std::string(32, '\0'), w));
  CHECK_FALSE(read_big_endian(std::string(1, '\0') + std::string(32, '\xff'), w));
}

TEST_CASE("dates and times: exact, in the column's zone where the value tells none") {
  values v;
  CHECK(written("Date", v.number(kind::date, 19'000)) == "19000");
  CHECK(written("Date", v.number(kind::date, -1)) == "! is out of range");
  CHECK(written("Date32", v.number(kind::date, -1)) == "-1");
  CHECK(written("DateTime", v.number(kind::date, 1)) == "86400");
  CHECK(written("DateTime('Europe/Berlin')", v.number(kind::date, 1)) == "82800");
  CHECK(written("DateTime64(3)", v.number(kind::timestamp, 1'700'000'000'123, 3)) == "1700000000123");
  CHECK(written("DateTime64(6)", v.number(kind::timestamp, 1'700'000'000'123, 3)) == "1700000000123000");
  CHECK(written("DateTime", v.number(kind::timestamp, 1'700'000'000'123, 3)) ==
        "! has more digits than the type keeps");
  CHECK(written("DateTime", v.number(kind::timestamp, 1'700'000'000'000, 3)) == "1700000000");
  CHECK(written("DateTime64(9)", v.number(kind::timestamp, std::numeric_limits<std::int64_t>::max(), 3)) ==
        "! is out of range");
  CHECK(written("DateTime64(3, 'Europe/Berlin')", v.number(kind::timestamp, 1'000, 3)) == "1000");
  CHECK(written("DateTime64(3, 'Europe/Berlin')", v.number(kind::local_timestamp, 3'600'500, 3)) == "500");
  CHECK(written("DateTime64(3)", v.number(kind::local_timestamp, -1, 3)) == "-1");
  CHECK(written("DateTime('Europe/Berlin')", v.number(kind::local_timestamp, 1'711'852'200, 0)) ==
        "! is a local time that does not exist in the column's time zone"); // 2024-03-31 02:30
  CHECK(written("DateTime64(3)", v.number(kind::local_timestamp, std::numeric_limits<std::int64_t>::min(), 9)) ==
        "! has more digits than the type keeps");
  CHECK(written("DateTime64(9)", v.number(kind::local_timestamp, std::numeric_limits<std::int64_t>::min(), 3)) ==
        "! is out of range");
  CHECK(written("Int64", v.number(kind::timestamp, 5, 3)) == "5");
  CHECK(written("DateTime64(3)", v.number(kind::natural, 1'700'000'000'123)) == "1700000000123");
  CHECK(written("Date", v.number(kind::natural, 19'000)) == "19000");
  CHECK(written("Time64(3)", v.number(kind::natural, 61'001)) == "61001");
  CHECK(written("DateTime64(3)", v.number(kind::natural, -1)) == "! is out of range");
  CHECK(written("Enum8('a' = 1)", v.number(kind::natural, 1)) == "1");
  CHECK(written("Time", v.number(kind::time, 61'000, 3)) == "61");
  CHECK(written("Time64(6)", v.number(kind::time, 61'001, 3)) == "61001000");
  CHECK(written("Date", v.number(kind::timestamp, 0, 3)) == "! is a timestamp, which the type does not take");
  CHECK(written("String", v.number(kind::date, 19'844)) == "'2024-05-01'");
  CHECK(written("String", v.number(kind::timestamp, -1, 3)) == "'1969-12-31 23:59:59.999'");
  CHECK(written("String", v.number(kind::time, 45'000'250, 3)) == "'12:30:00.250'");
  CHECK(written("DateTime64(3)", v.text("2024-05-01T00:00:00.5Z")) == "1714521600500");
  for (const auto k : {kind::date, kind::time, kind::timestamp, kind::local_timestamp})
    for (const auto n : {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()})
      for (const std::uint8_t scale : {0, 3, 6, 9}) CHECK_FALSE(text_of(v.number(k, n, scale)).empty());
}

TEST_CASE("texts, bytes, symbols, uuids, addresses") {
  values v;
  const std::string sixteen = "\x12\x34\x56\x78\x9a\xbc\xde\xf0\x01\x02\x03\x04\x05\x06\x07\x08";
  CHECK(written("String", v.text("a\xff", kind::bytes)) == "'a\xff'");
  CHECK(written("FixedString(3)", v.text("ab", kind::bytes)) == std::string("'ab\0'", 5));
  CHECK(written("FixedString(3)", v.text("abcd")) == "! is longer than the type");
  CHECK(written("LowCardinality(Nullable(String))", v.text("x")) == "'x'");
  CHECK(written("UUID", v.text(sixteen, kind::uuid)) == "123456789abcdef00102030405060708");
  CHECK(written("String", v.text(sixteen, kind::uuid)) == "'12345678-9abc-def0-0102-030405060708'");
  CHECK(written("UUID", v.text("12345678-9abc-def0-0102-030405060708")) == "123456789abcdef00102030405060708");
  CHECK(written("UUID", v.text("12345678")) == "! is not such a value");
  CHECK(written("UUID", v.text("12345678", kind::bytes)) == "! is bytes, which the type does not take");
  CHECK(written("IPv4", v.text(std::string("\x7f\0\0\1", 4), kind::bytes)) == "2130706433");
  CHECK(written("IPv4", v.text("127.0.0.1")) == "2130706433");
  CHECK(written("IPv6", v.text(sixteen, kind::bytes)) == "123456789abcdef00102030405060708");
  datum& symbol = v.text("b", kind::symbol);
  CHECK(written("Enum8('a' = 1, 'b' = 2)", symbol) == "2");
  CHECK(written("Enum16('a' = 1)", symbol) == "! is not a member of the enum");
  CHECK(written("Int32", symbol) == "! is an enum, which the type does not take");
  symbol.has_number = true;
  symbol.number = 7;
  CHECK(written("Int32", symbol) == "7");
  CHECK(written("Enum8('seven' = 7)", symbol) == "7");
  CHECK(written("String", symbol) == "'b'");
  CHECK(written("Enum8('a' = 1)", v.number(kind::integer, 1)) == "1");
  CHECK(written("Int32", v.text("12")) == "12");
  CHECK(written("Bool", v.text("true")) == "! is a text, which the type does not take");
}

TEST_CASE("lists, maps, records in each other") {
  values v;
  const auto list = [&](std::vector<datum*> c) -> datum& { return v.many(kind::list, std::move(c)); };
  datum& numbers = list({&v.number(kind::integer, 1), &v.number(kind::integer, 2)});
  CHECK(written("Array(UInt8)", numbers) == "[1, 2]");
  CHECK(written("Array(Nullable(Int16))", list({&v.null(), &v.number(kind::integer, 2)})) == "[null, 2]");
  CHECK(written("Array(Int16)", list({&v.null()})) ==
        "! holds a value of type Int16 that is null, which the type does not take");
  CHECK(written("Array(UInt8)", list({&v.number(kind::integer, 300)})) ==
        "! holds a value of type UInt8 that is out of range");
  CHECK(written("Tuple(Int8, String)", numbers) == "(1, '2')");
  CHECK(written("Tuple(Int8)", numbers) == "! has another number of elements than the tuple");
  CHECK(written("Point", list({&v.real(1.5), &v.real(2)})) == "(1.5, 2)");
  CHECK(written("String", numbers) == "'[1,2]'");
  CHECK(written("Array(String)", list({&list({}), &list({&v.null()})})) == "['[]', '[null]']");
  datum& map = v.many(kind::map, {v.named("k", v.number(kind::integer, 1)), v.named("l", v.number(kind::integer, 2))});
  CHECK(written("Map(String, UInt8)", map) == "{('k', 1), ('l', 2)}");
  CHECK(written("Map(LowCardinality(String), Nullable(UInt8))", map) == "{('k', 1), ('l', 2)}");
  CHECK(written("Map(UInt8, UInt8)", map) == "! holds a value of type UInt8 that is not such a value");
  CHECK(written("Array(Tuple(String, Int64))", map) == "[('k', 1), ('l', 2)]");
  datum& record = v.many(kind::record, {v.named("x", v.number(kind::integer, 1)), v.named("z", v.null()),
                                        v.named("s", v.text("\"\n")), v.named("b", v.text("\x01\x02", kind::bytes)),
                                        v.named("d", v.decimal("150", 2)), v.named("f", v.real(NAN))});
  CHECK(written("Tuple(s String, x Int8, z UInt8, more Nullable(Int8))", record) == "('\"\n', 1, 0, null)");
  CHECK(written("Tuple(Int8, Int8)", record) == "! is a record, which the type does not take");
  CHECK(written("Nested(x Int8, s String)", list({&record})) == "[(1, '\"\n')]");
  CHECK(written("Array(Map(String, String))", list({&map})) == "[{('k', '1'), ('l', '2')}]");
  const std::string json = R"({"x":1,"z":null,"s":"\"\u000a","b":"AQI=","d":"1.50","f":null})";
  CHECK(written("String", record) == "'" + json + "'");
  CHECK(written("JSON", record) == "'" + json + "'");
  CHECK(written("JSON", v.text("{\"a\": 1}")) == "'{\"a\": 1}'");
  CHECK(written("JSON", v.text("{\"a\": 1")) == "! is not JSON");
  CHECK(written("JSON", numbers) == "! is of a kind that the type does not take");
  CHECK(written("Array(UInt8)", map) == "! is a map, which the type does not take");
}

TEST_CASE("Variant takes the alternative that is nearest; Dynamic what the value is") {
  values v;
  const std::string t = "Variant(Array(Int64), Bool, DateTime64(3), Int64, String, UInt8, UUID)";
  CHECK(written(t, v.number(kind::boolean, 1)) == "Bool:1");
  CHECK(written(t, v.number(kind::integer, 200)) == "UInt8:200");
  CHECK(written(t, v.number(kind::integer, -200)) == "Int64:-200");
  CHECK(written(t, v.number(kind::natural, -1)) == "String:'18446744073709551615'");
  CHECK(written(t, v.number(kind::timestamp, 5, 3)) == "DateTime64(3):5");
  CHECK(written(t, v.text("12345678-9abc-def0-0102-030405060708")) == "String:'12345678-9abc-def0-0102-030405060708'");
  CHECK(written(t, v.many(kind::list, {&v.number(kind::integer, 1)})) == "Array(Int64):[1]");
  CHECK(written(t, v.many(kind::list, {&v.text("x")})) == "String:'[\"x\"]'");
  CHECK(written(t, v.null()) == "null");
  CHECK(written("Variant(Bool, Int8)", v.text("x")) == "! is a text that none of the Variant's types takes");
  CHECK(written("Dynamic", v.number(kind::integer, 5)) == "Int64:5");
  CHECK(written("Dynamic", v.text("x")) == "String:'x'");
  CHECK(written("Dynamic", v.null()) == "null");
}

TEST_CASE("Base64") {
  std::mt19937 random(7);
  for (std::size_t n = 0; n < 100; ++n) {
    std::string s(n, ' '), back;
    for (auto& c : s) c = static_cast<char>(random());
    REQUIRE(from_base64(to_base64(s), back));
    CHECK(back == s);
  }
  std::string out;
  CHECK(to_base64("ab") == "YWI=");
  CHECK(from_base64("YWI", out));
  CHECK_FALSE(from_base64("Y", out));
  CHECK_FALSE(from_base64("Y*I=", out));
}
