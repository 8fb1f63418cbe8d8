#include "json_kit.hpp"

using namespace chute;
using namespace chute::json_test;

namespace {

constexpr const char* over = "! is out of range";
constexpr const char* lossy = "! has more digits than the type keeps";
constexpr const char* malformed = "! is not such a value";
constexpr const char* a_number = "! is a JSON number, which the type does not take";
constexpr const char* a_boolean = "! is a JSON boolean, which the type does not take";

} // namespace

TEST_CASE("json strings: every escape, any length, and other values as their text") {
  check("String", {{R"("")", "''"},
                   {R"("a\"\\\/\b\f\n\r\tz")", "'a\"\\/\b\f\n\r\tz'"},
                   {R"("\u0041\u00e9\u20ac\ud83d\ude00")", "'Aé€😀'"},
                   {R"("Zürich 😀")", "'Zürich 😀'"},
                   {"12.50", "'12.50'"},
                   {"-0", "'-0'"},
                   {"123456789012345678901234567890", "'123456789012345678901234567890'"},
                   {"true", "'true'"},
                   {R"({"a" : [1, "x\n"]})", R"('{"a" : [1, "x\n"]}')"},
                   {"[ ]", "'[ ]'"},
                   {"null", "''"}});
  CHECK(became("String", R"("a\u0000b")") == std::string("'a\0b'", 5));
  for (const std::size_t size : {1, 31, 32, 33, 127, 128, 16'383, 16'384, 900'000}) {
    const std::string plain(size, 'x');
    CHECK(became("String", "\"" + plain + "\"") == "'" + plain + "'");
    CHECK(became("LowCardinality(String)", "\"\\t" + plain + "\"") == "'\t" + plain + "'");
  }
}

TEST_CASE("json strings: what is no string of JSON's") {
  const auto bad = [](const std::string& json) { return became("String", json); };
  for (const char* s : {R"("\ud83d")", R"("\ud83dx")", R"("\ude00")", R"("\ud83d\ud83d")", R"("\ud83d\n")"}) {
    CAPTURE(s);
    CHECK(bad(s).starts_with("! the value is not JSON: a string holds half a surrogate pair at byte 17"));
  }
  for (const char* s : {R"("\x41")", R"("\u12")", R"("\u12g4")", R"("\ud83d\u12")", R"("\'")", R"("\0")"}) {
    CAPTURE(s);
    CHECK(bad(s).starts_with("! the value is not JSON: a string holds an unknown escape at byte 17"));
  }
  CHECK(bad("\"a\tb\"") == "! the value is not JSON: a string holds a control character");
  CHECK(bad("\"a\nb\"") == "! the value is not JSON: a string holds a control character");
  CHECK(bad(std::string("\"a\0b\"", 5)) == "! the value is not JSON: a string holds a control character");
  for (const char* s :
       {"\"\xff\"", "\"\xc3\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xe2\x82\""})
    CHECK(bad(s) == "! the value is not JSON: it is not UTF-8");
  // The same in a key, and in fields that no column wants.
  for (const char* record : {R"({"\ud800":1})", R"({"other":"\ud800"})", R"({"other":{"x":["\ud800"]}})"}) {
    const auto out = decoded({target("c", "String")}, {record});
    REQUIRE(out.dead.size() == 1);
    CHECK(out.dead[0].error.starts_with("the value is not JSON: a string holds half a surrogate pair"));
  }
}

TEST_CASE("json fixed strings: bytes, filled up with zeros") {
  CHECK(became("FixedString(3)", R"("abc")") == "'abc'");
  CHECK(became("FixedString(3)", R"("a")") == std::string("'a\0\0'", 5));
  CHECK(became("FixedString(3)", R"("")") == std::string("'\0\0\0'", 5));
  CHECK(became("FixedString(3)", "null") == std::string("'\0\0\0'", 5));
  check("FixedString(3)", {{R"("€")", "'€'"},
                           {R"("abcd")", "! is longer than the type"},
                           {R"("€a")", "! is longer than the type"},
                           {"12", a_number},
                           {"true", a_boolean},
                           {"[\"a\"]", "! is a JSON array, which the type does not take"}});
}

TEST_CASE("json identifiers and addresses") {
  const auto upside = [](std::string h) { // Native: each half little endian
    std::string out;
    for (std::size_t half : {0, 16})
      for (std::size_t i = 16; i > 0; i -= 2) out += h.substr(half + i - 2, 2);
    return out;
  };
  const auto uuid = upside("0123456789abcdeffedcba9876543210");
  check("UUID", {{R"("01234567-89ab-cdef-fedc-ba9876543210")", uuid.c_str()},
                 {R"("01234567-89AB-CDEF-FEDC-BA9876543210")", uuid.c_str()},
                 {R"("0123456789abcdeffedcba9876543210")", uuid.c_str()},
                 {R"("00000000-0000-0000-0000-000000000000")", "00000000000000000000000000000000"},
                 {R"("ffffffff-ffff-ffff-ffff-ffffffffffff")", "ffffffffffffffffffffffffffffffff"},
                 {R"("01234567-89ab-cdef-fedc-ba987654321")", malformed},
                 {R"("01234567-89ab-cdef-fedc-ba987654321g")", malformed},
                 {R"("012345678-9ab-cdef-fedc-ba9876543210")", malformed},
                 {R"("{1234567-89ab-cdef-fedc-ba987654321}")", malformed},
                 {R"("")", malformed},
                 {"1", a_number},
                 {"null", "00000000000000000000000000000000"}});
  check("IPv4", {{R"("192.168.0.1")", "3232235521"},
                 {R"("0.0.0.0")", "0"},
                 {R"("255.255.255.255")", "4294967295"},
                 {R"("256.0.0.1")", malformed},
                 {R"("1.2.3")", malformed},
                 {R"("1.2.3.4.5")", malformed},
                 {R"("01.2.3.4")", malformed},
                 {R"("1.2.3.4 ")", malformed},
                 {R"("")", malformed},
                 {"3232235521", a_number},
                 {"null", "0"}});
  check("IPv6", {{R"("2001:db8::1")", "20010db8000000000000000000000001"},
                 {R"("::")", "00000000000000000000000000000000"},
                 {R"("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")", "ffffffffffffffffffffffffffffffff"},
                 {R"("1.2.3.4")", "00000000000000000000ffff01020304"},
                 {R"("::ffff:1.2.3.4")", "00000000000000000000ffff01020304"},
                 {R"("2001:db8::1::2")", malformed},
                 {R"("2001:db8::g")", malformed},
                 {R"("::1%eth0")", malformed},
                 {R"("")", malformed},
                 {"1", a_number}});
}

TEST_CASE("json enums: by name, by number") {
  const auto no_member = "! is not a member of the enum";
  check("Enum8('a' = -128, 'zero' = 0, '1' = 5, 'z' = 127)", {{R"("a")", "-128"},
                                                              {R"("z")", "127"},
                                                              {"-128", "-128"},
                                                              {"127", "127"},
                                                              {"0", "0"},
                                                              {R"("1")", "5"},
                                                              {R"("127")", "127"},
                                                              {"1", no_member},
                                                              {"128", no_member},
                                                              {"0.0", no_member},
                                                              {"1e99", no_member},
                                                              {R"("A")", no_member},
                                                              {R"("")", no_member},
                                                              {"true", a_boolean},
                                                              {"null", "-128"}});
  check("Enum16('it\\'s' = -32768, 'ü' = 32767)",
        {{R"("it's")", "-32768"}, {R"("\u00fc")", "32767"}, {"32767", "32767"}, {"98303", no_member}});
}

TEST_CASE("json dates") {
  check("Date", {{R"("1970-01-01")", "0"},
                 {R"("2149-06-06")", "65535"},
                 {R"("20240229")", "19782"},
                 {"65535", "65535"},
                 {"0", "0"},
                 {"65536", over},
                 {"-1", over},
                 {R"("1969-12-31")", over},
                 {R"("2149-06-07")", over},
                 {R"("2023-02-29")", over},
                 {R"("2023-13-01")", over},
                 {R"("2023-00-10")", over},
                 {R"("2023-1-1")", malformed},
                 {R"("2023-01-01 00:00:00")", malformed},
                 {R"("")", malformed},
                 {"1.5", malformed},
                 {"true", a_boolean},
                 {"null", "0"}});
  check("Date32", {{R"("1900-01-01")", "-25567"},
                   {R"("2299-12-31")", "120529"},
                   {"-25567", "-25567"},
                   {"120529", "120529"},
                   {R"("1899-12-31")", over},
                   {R"("2300-01-01")", over},
                   {"-25568", over},
                   {"120530", over},
                   {"9223372036854775807", over},
                   {"9223372036854775808", over},
                   {"null", "-25567"}});
}

TEST_CASE("json times of day") {
  check("Time", {{R"("12:34:56")", "45296"},
                 {R"("-999:59:59")", "-3599999"},
                 {R"("999:59:59")", "3599999"},
                 {R"("0:00:00")", "0"},
                 {R"("45")", "45"},
                 {"-45", "-45"},
                 {"3599999", "3599999"},
                 {"3600000", over},
                 {R"("1000:00:00")", malformed},
                 {R"("12:60:00")", over},
                 {R"("12:30")", malformed},
                 {R"("12:34:56.5")", lossy},
                 {R"("12:34:56.0")", "45296"},
                 {R"("")", malformed},
                 {"1.5", malformed},
                 {"null", "0"}});
  check("Time64(3)", {{R"("12:34:56.789")", "45296789"},
                      {R"("-0:00:00.001")", "-1"},
                      {R"("999:59:59.999")", "3599999999"},
                      {R"("12:34:56.7890")", "45296789"},
                      {R"("12:34:56.7891")", lossy},
                      {R"("1.5")", "1500"},
                      {"3599999999", "3599999999"},
                      {"3600000000", over},
                      {"1.5", malformed}});
  check("Time64(9)", {{R"("999:59:59.999999999")", "3599999999999999"}});
}

TEST_CASE("json points in time: every form of text") {
  check("DateTime", {{R"("2023-11-14 22:13:20")", "1700000000"},
                     {R"("2023-11-14T22:13:20Z")", "1700000000"},
                     {R"("2023-11-14t22:13:20z")", "1700000000"},
                     {R"("2023-11-14 22:13:20.000")", "1700000000"},
                     {R"("2023-11-14T23:13:20+01:00")", "1700000000"},
                     {R"("2023-11-14T23:13:20+0100")", "1700000000"},
                     {R"("2023-11-14T23:13:20 +01")", "1700000000"},
                     {R"("2023-11-14T16:43:20-05:30")", "1700000000"},
                     {R"("2023-11-14T22:13")", "1699999980"},
                     {R"("2023-11-14")", "1699920000"},
                     {R"("1700000000")", "1700000000"},
                     {R"("999999999")", "999999999"},
                     {R"("1700000000.0")", "1700000000"},
                     {"1700000000", "1700000000"},
                     {"0", "0"},
                     {"4294967295", "4294967295"},
                     {R"("1970-01-01 00:00:00")", "0"},
                     {R"("2106-02-07 06:28:15")", "4294967295"},
                     {R"("2106-02-07 06:28:16")", over},
                     {R"("1969-12-31 23:59:59")", over},
                     {R"("1970-01-01T00:00:00+00:01")", over},
                     {"4294967296", over},
                     {"-1", over},
                     {R"("2023-11-14 22:13:20.5")", lossy},
                     {R"("1700000000.5")", lossy},
                     {R"("2023-11-14 24:00:00")", over},
                     {R"("2023-11-14 22:13:60")", over},
                     {R"("2023-11-31 22:13:20")", over},
                     {R"("2023-11-14T22:13:20+16:00")", over},
                     {R"("2023-11-14 22")", malformed},
                     {R"("2023-11-14 22:13:20.")", malformed},
                     {R"("2023-11-14 22:13:20 UTC")", malformed},
                     {R"("14.11.2023 22:13:20")", malformed},
                     {R"("now")", malformed},
                     {R"("")", malformed},
                     {"1.7e9", malformed},
                     {"1700000000.5", malformed},
                     {"true", a_boolean},
                     {"null", "0"}});
  check("DateTime64(3)", {{R"("2023-11-14 22:13:20.123")", "1700000000123"},
                          {R"("2023-11-14T22:13:20,123Z")", "1700000000123"},
                          {R"("2023-11-14 22:13:20.1")", "1700000000100"},
                          {R"("2023-11-14 22:13:20.12300")", "1700000000123"},
                          {R"("2023-11-14 22:13:20.1234")", lossy},
                          {R"("1700000000.123")", "1700000000123"},
                          {R"("1700000000")", "1700000000000"},
                          {"1700000000123", "1700000000123"},
                          {R"("1900-01-01 00:00:00.000")", "-2208988800000"},
                          {R"("2299-12-31 23:59:59.999")", "10413791999999"},
                          {R"("1969-12-31 23:59:59.999")", "-1"},
                          {"-2208988800000", "-2208988800000"},
                          {"10413791999999", "10413791999999"},
                          {"-2208988800001", over},
                          {"10413792000000", over},
                          {R"("1899-12-31 23:59:59.999")", over},
                          {R"("2300-01-01 00:00:00")", over},
                          {R"("1900-01-01T00:00:00+01:00")", over},
                          {R"("2299-12-31T23:59:59-01:00")", over}});
  check("DateTime64(0)", {{R"("2299-12-31 23:59:59")", "10413791999"}, {R"("2023-11-14 22:13:20.5")", lossy}});
  check("DateTime64(9)", {{R"("2023-11-14 22:13:20.123456789")", "1700000000123456789"},
                          {R"("2262-04-11 23:47:16.854775807")", "9223372036854775807"},
                          {R"("2262-04-11 23:47:16.854775808")", over},
                          {R"("1900-01-01 00:00:00")", "-2208988800000000000"},
                          {"9223372036854775807", "9223372036854775807"},
                          {"9223372036854775808", over}});
}

TEST_CASE("json points in time: the column's zone, and the server's where it names none") {
  check("DateTime('Asia/Tokyo')", {{R"("2023-11-15 07:13:20")", "1700000000"},
                                   {R"("2023-11-14T22:13:20Z")", "1700000000"},
                                   {"1700000000", "1700000000"}});
  decoder_options there;
  there.timezone = "America/New_York";
  CHECK(became("DateTime", R"("2023-11-14 17:13:20")", there) == "1700000000");
  CHECK(became("DateTime('UTC')", R"("2023-11-14 22:13:20")", there) == "1700000000");
  CHECK(became("Array(DateTime64(1))", R"(["2023-11-14 17:13:20.5"])", there) == "[17000000005]");
  // Clocks were set forward from 02:00 to 03:00, and back from 03:00 to 02:00.
  check("DateTime('Europe/Berlin')",
        {{R"("2024-03-31 01:59:59")", "1711846799"},
         {R"("2024-03-31 02:00:00")", "! is a local time that does not exist in the column's time zone"},
         {R"("2024-03-31 02:59:59")", "! is a local time that does not exist in the column's time zone"},
         {R"("2024-03-31 03:00:00")", "1711846800"},
         {R"("2024-10-27 01:59:59")", "1729987199"},
         {R"("2024-10-27 02:30:00")", "1729989000"},
         {R"("2024-10-27 03:00:00")", "1729994400"}});
  CHECK_FALSE(make_json_decoder({target("c", "DateTime('Mars/Olympus')")}, {}).ok());
}
