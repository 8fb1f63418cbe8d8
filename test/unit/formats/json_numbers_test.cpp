#include "json_kit.hpp"

#include <random>

using namespace chute;
using namespace chute::json_test;

namespace {

constexpr const char* over = "! is out of range";
constexpr const char* lossy = "! has more digits than the type keeps";
constexpr const char* malformed = "! is not such a value";

struct integer_type {
  const char *name, *least, *most, *below, *above;
};

constexpr integer_type integers[] = {
    {"Int8", "-128", "127", "-129", "128"},
    {"UInt8", "0", "255", "-1", "256"},
    {"Int16", "-32768", "32767", "-32769", "32768"},
    {"UInt16", "0", "65535", "-1", "65536"},
    {"Int32", "-2147483648", "2147483647", "-2147483649", "2147483648"},
    {"UInt32", "0", "4294967295", "-1", "4294967296"},
    {"Int64", "-9223372036854775808", "9223372036854775807", "-9223372036854775809", "9223372036854775808"},
    {"UInt64", "0", "18446744073709551615", "-1", "18446744073709551616"},
    {"Int128", "-170141183460469231731687303715884105728", "170141183460469231731687303715884105727",
     "-170141183460469231731687303715884105729", "170141183460469231731687303715884105728"},
    {"UInt128", "0", "340282366920938463463374607431768211455", "-1", "340282366920938463463374607431768211456"},
    {"Int256", "-57896044618658097711785492504343953926634992332820282019728792003956564819968",
     "57896044618658097711785492504343953926634992332820282019728792003956564819967",
     "-57896044618658097711785492504343953926634992332820282019728792003956564819969",
     "57896044618658097711785492504343953926634992332820282019728792003956564819968"},
    {"UInt256", "0", "115792089237316195423570985008687907853269984665640564039457584007913129639935", "-1",
     "115792089237316195423570985008687907853269984665640564039457584007913129639936"},
};

std::string quoted(const std::string& s) { return "\"" + s + "\""; }

} // namespace

TEST_CASE("what a double keeps of a decimal number") {
  for (const char* number : {"0", "-0.0", "0e9", "0.1", "-1.50", "12.50", "1e22", "1E+23", "100", "1.25e1", "5e-324",
                             "9007199254740992", "123456789012345680000.0", "0.30000000000000004"}) {
    CAPTURE(number);
    CHECK(kept_by_double(number));
  }
  for (const char* number :
       {"9007199254740993", "12345678901234567.89", "0.1234567890123456789", "1e-400", "1e400", "72057594037927936",
        "99999999999999.9999", "5.0000000000000000001", "", "x", "1e", "nan"}) {
    CAPTURE(number);
    CHECK_FALSE(kept_by_double(number));
  }
}

TEST_CASE("json integers: their ends, and one beyond, as numbers and as strings") {
  for (const auto& t : integers) {
    CAPTURE(t.name);
    for (const char* inside : {t.least, t.most, "0", "7"}) {
      CHECK(became(t.name, inside) == inside);
      CHECK(became(t.name, quoted(inside)) == inside);
    }
    for (const char* outside : {t.below, t.above}) {
      CHECK(became(t.name, outside) == over);
      CHECK(became(t.name, quoted(outside)) == over);
    }
    for (const std::string& digits : {std::string(77, '9'), std::string(78, '9'), std::string(300, '9')}) {
      const bool fits = digits.size() == 77 && std::string(t.name) == "UInt256";
      CHECK(became(t.name, digits) == (fits ? digits : over));
      CHECK(became(t.name, "-" + digits) == over);
    }
  }
}

TEST_CASE("json integers: whole numbers in any form, and nothing that is not whole") {
  for (const auto& t : integers)
    check(t.name, {{"1e2", "100"},
                   {"1.2e1", "12"},
                   {"100e-2", "1"},
                   {"7.000", "7"},
                   {"-0", "0"},
                   {"-0.0", "0"},
                   {"0e999999999999", "0"},
                   {" 5 ", "5"},
                   {"\"007\"", "7"},
                   {"\"+7\"", "7"},
                   {"0.5", lossy},
                   {"1.0000000000000000000000000000001", lossy},
                   {"1e-1", lossy},
                   {"1e-99999999999999999999", lossy},
                   {"1e999", over},
                   {"1e99999999999999999999", over},
                   {"\"\"", malformed},
                   {"\"-\"", malformed},
                   {"\" 1\"", malformed},
                   {"\"1 \"", malformed},
                   {"\"1e2\"", malformed},
                   {"\"1.0\"", malformed},
                   {"\"0x10\"", malformed},
                   {"\"1\\u0000\"", malformed},
                   {"true", "! is a JSON boolean, which the type does not take"},
                   {"[1]", "! is a JSON array, which the type does not take"},
                   {"{\"a\":1}", "! is a JSON object, which the type does not take"},
                   {"null", "0"}});
}

// A double keeps 53 bits: every one of these would come out as its neighbour.
TEST_CASE("json integers and decimals: no number passes through a double") {
  check("UInt64", {{"9007199254740993", "9007199254740993"},
                   {"9007199254740993.0", "9007199254740993"},
                   {"9.007199254740993e15", "9007199254740993"},
                   {"1844674407370955161.5e1", "18446744073709551615"}});
  check("Int64", {{"-9007199254740993", "-9007199254740993"}, {"-9223372036854775.807e3", "-9223372036854775807"}});
  check("Decimal(18, 1)", {{"9007199254740993.1", "90071992547409931"}});
  check("DateTime64(6)", {{"9007199254740993", "9007199254740993"}});
  std::mt19937_64 random(20260701);
  for (int i = 0; i < 300; ++i) {
    const auto v = random() >> (random() % 64);
    const auto text = std::to_string(v);
    CHECK(became("UInt64", text) == text);
    CHECK(became("Int256", "-" + text) == (v ? "-" + text : "0"));
  }
}

TEST_CASE("json decimals") {
  check("Decimal(9, 2)", {{"9999999.99", "999999999"},
                          {"-9999999.99", "-999999999"},
                          {"10000000", over},
                          {"-10000000.00", over},
                          {"0", "0"},
                          {"-0.00", "0"},
                          {"1.5", "150"},
                          {"1.50000", "150"},
                          {"1.005", lossy},
                          {"1e-3", lossy},
                          {"12.5e1", "12500"},
                          {"\"1.25\"", "125"},
                          {"\"-.5\"", "-50"},
                          {"\"1e2\"", "10000"},
                          {"\"\"", malformed},
                          {"\"1,5\"", malformed},
                          {"\"nan\"", malformed},
                          {"false", "! is a JSON boolean, which the type does not take"},
                          {"null", "0"}});
  check("Decimal(18, 18)",
        {{"0.999999999999999999", "999999999999999999"}, {"1", over}, {"1e-18", "1"}, {"1e-19", lossy}});
  check("Decimal(38, 0)", {{"99999999999999999999999999999999999999", "99999999999999999999999999999999999999"},
                           {"100000000000000000000000000000000000000", over},
                           {"0.1", lossy}});
  check("Decimal(38, 10)", {{"1234567890123456789012345678.0123456789", "12345678901234567890123456780123456789"},
                            {"-9999999999999999999999999999.9999999999", "-99999999999999999999999999999999999999"}});
  const std::string most(76, '9');
  CHECK(became("Decimal(76, 0)", most) == most);
  CHECK(became("Decimal(76, 0)", "-" + most) == "-" + most);
  CHECK(became("Decimal(76, 0)", most + "9") == over);
  CHECK(became("Decimal(76, 76)", "0." + most) == most);
  CHECK(became("Decimal(76, 76)", "0." + most + "1") == lossy);
  for (const char* name : {"Decimal32(2)", "Decimal64(2)", "Decimal128(2)", "Decimal256(2)"})
    check(name, {{"-12.34", "-1234"}, {"0.001", lossy}, {"1e80", over}});
}

TEST_CASE("json floats: the nearest one; beyond the type's range is an error") {
  check("Float64", {{"1.7976931348623157e308", "1.7976931348623157e+308"},
                    {"-1.7976931348623157e308", "-1.7976931348623157e+308"},
                    {"1.8e308", over},
                    {"-1e999999", over},
                    {"5e-324", "5e-324"},
                    {"1e-400", "0"},
                    {"0", "0"},
                    {"-0.0", "-0"},
                    {"0.1", "0.1"},
                    {"123456789012345", "123456789012345"},
                    {"1234567890123456789", "1234567890123456768"},
                    {"0.1234567890123456789", "0.12345678901234568"},
                    {"9007199254740993", "9007199254740992"},
                    {"2.2250738585072011e-308", "2.225073858507201e-308"},
                    {"\"1.5\"", "1.5"},
                    {"\"nan\"", "nan"},
                    {"\"NaN\"", "nan"},
                    {"\"-inf\"", "-inf"},
                    {"\"Infinity\"", "inf"},
                    {"\"\"", malformed},
                    {"\"1.5x\"", malformed},
                    {"\"infinite\"", malformed},
                    {"true", "! is a JSON boolean, which the type does not take"},
                    {"null", "0"}});
  check("Float32", {{"3.4028235e38", "3.4028235e+38"},
                    {"3.5e38", over},
                    {"-3.5e38", over},
                    {"1e-50", "0"},
                    {"16777217", "16777216"},
                    {"0.1", "0.1"}});
  check("BFloat16", {{"1.5", "c03f"}, {"0", "0000"}, {"-1", "80bf"}, {"3.3895314e38", "7f7f"}, {"1e39", over}});
}

// The short way, one division, must give what the standard library's exact parser gives.
TEST_CASE("json floats: short numbers are rounded as long ones") {
  std::mt19937_64 random(20260702);
  for (int i = 0; i < 5'000; ++i) {
    std::string text = random() % 2 ? "-" : "";
    text += std::to_string(random() >> (random() % 64));
    if (random() % 3) text += "." + std::to_string(random() >> (random() % 64));
    if (random() % 4 == 0) text += "e" + std::to_string(static_cast<int>(random() % 40) - 20);
    double expected = 0;
    std::from_chars(text.data(), text.data() + text.size(), expected);
    const auto out = decoded({target("c", "Float64")}, {"{\"c\":" + text + "}"});
    CAPTURE(text);
    REQUIRE(out.rows.rows == 1);
    CHECK(load<double>(out.rows.columns[0], 0) == expected);
  }
}

TEST_CASE("json: what is no number of JSON's is not JSON") {
  for (const char* type :
       {"UInt8", "Int256", "Decimal(9, 2)", "Float64", "Float32", "String", "Dynamic", "JSON", "Date"})
    for (const char* token : {"01", "-", "1.", "1e", "1e+", "--1", "0x1", "1_000", "-01", "1.e1", "00"}) {
      CAPTURE(type);
      CAPTURE(token);
      CHECK(became(type, token).starts_with("! the value is not JSON: a number is malformed at byte 16"));
    }
  for (const char* type : {"UInt8", "Float64", "String", "Bool", "Array(UInt8)", "Dynamic"})
    for (const char* token :
         {"NaN", "Infinity", "nan", "tru", "nul", "nulll", "True", "undefined", "+1", ".5", "'a'", ""}) {
      CAPTURE(type);
      CAPTURE(token);
      CHECK(became(type, token).starts_with("! the value is not JSON: "));
    }
}

TEST_CASE("json booleans") {
  const auto text = "! is a JSON string, which the type does not take";
  check("Bool", {{"true", "1"},
                 {"false", "0"},
                 {"1", "1"},
                 {"0", "0"},
                 {"2", malformed},
                 {"-1", malformed},
                 {"1.0", malformed},
                 {"\"true\"", text},
                 {"\"\"", text},
                 {"null", "0"},
                 {"[]", "! is a JSON array, which the type does not take"}});
}
