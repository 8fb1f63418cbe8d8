#include "matrix/samples.hpp"

#include <limits>

namespace chute::test {
namespace {

// Formats by what they know of a value: JSON tells kinds apart; schemas tell types; texts tell nothing.
const std::string json = "json", schemas = "connect_json avro protobuf", fields = "csv tsv", texts = "csv tsv raw";

bool names(const std::string& list, const std::string& format) {
  return (" " + list + " ").find(" " + format + " ") != std::string::npos;
}

value one_number() { return a_list({an_integer("1")}); }

// What a row without a value holds is the same for null, a missing field, and a CSV field of no bytes.
void add_absent(std::vector<sample>& out, const std::string& expected, const std::string& empty = "!form") {
  out.push_back({"null", null_value(), expected});
  out.push_back({"missing", no_field(), expected});
  out.push_back(sample("empty", a_text(""), empty).in(fields, expected));
}

matrix_type integer(const std::string& type, const std::string& min, const std::string& max, const std::string& below,
                    const std::string& above) {
  matrix_type t{type, {}};
  auto& s = t.samples;
  s.push_back({"min", an_integer(min), min});
  s.push_back({"max", an_integer(max), max});
  s.push_back({"zero", an_integer("0"), "0"});
  add_absent(s, "0");
  s.push_back({"below", an_integer(below), "!range"});
  s.push_back({"above", an_integer(above), "!range"});
  s.push_back({"text", a_text("x"), "!form"});
  s.push_back(sample("kind", one_number(), "!kind").in(texts, "!form"));
  s.push_back(sample("boolean", a_boolean(true), "!kind").in(schemas, "1").in(texts, "!form"));
  s.push_back(sample("fraction", a_decimal("1.5"), "!digits").in(texts, "!form"));
  s.push_back(sample("whole decimal", a_decimal("7.00"), "7").in(texts, "!form"));
  s.push_back(sample("whole float", a_real(64), "64"));
  s.push_back({"digits", a_text("7"), "7"});
  return t;
}

std::vector<matrix_type> integers() {
  const std::string i128 = "17014118346046923173168730371588410572", u128 = "34028236692093846346337460743176821145";
  const std::string i256 = "5789604461865809771178549250434395392663499233282028201972879200395656481996";
  const std::string u256 = "11579208923731619542357098500868790785326998466564056403945758400791312963993";
  std::vector<matrix_type> out = {
      integer("Int8", "-128", "127", "-129", "128"),
      integer("Int16", "-32768", "32767", "-32769", "32768"),
      integer("Int32", "-2147483648", "2147483647", "-2147483649", "2147483648"),
      integer("Int64", "-9223372036854775808", "9223372036854775807", "-9223372036854775809", "9223372036854775808"),
      integer("Int128", "-" + i128 + "8", i128 + "7", "-" + i128 + "9", i128 + "8"),
      integer("Int256", "-" + i256 + "8", i256 + "7", "-" + i256 + "9", i256 + "8"),
      integer("UInt8", "0", "255", "-1", "256"),
      integer("UInt16", "0", "65535", "-1", "65536"),
      integer("UInt32", "0", "4294967295", "-1", "4294967296"),
      integer("UInt64", "0", "18446744073709551615", "-1", "18446744073709551616"),
      integer("UInt128", "0", u128 + "5", "-1", u128 + "6"),
      integer("UInt256", "0", u256 + "5", "-1", u256 + "6"),
  };
  return out;
}

matrix_type floating(const std::string& type, double max, const std::string& max_text, value below, value above) {
  matrix_type t{type, {}};
  auto& s = t.samples;
  s.push_back({"min", a_real(-max), "-" + max_text});
  s.push_back({"max", a_real(max), max_text});
  s.push_back({"zero", an_integer("0"), "0"});
  add_absent(s, "0");
  s.push_back({"below", std::move(below), "!range"});
  s.push_back({"above", std::move(above), "!range"});
  s.push_back({"text", a_text("x"), "!form"});
  s.push_back(sample("kind", one_number(), "!kind").in(texts, "!form"));
  s.push_back(sample("boolean", a_boolean(true), "!kind").in(texts, "!form"));
  s.push_back({"nan", a_real(std::numeric_limits<double>::quiet_NaN()), "nan"});
  s.push_back({"inf", a_real(-std::numeric_limits<double>::infinity()), "-inf"});
  s.push_back({"decimal", a_decimal("1.5"), "1.5"});
  s.push_back({"integer", an_integer("-3"), "-3"});
  s.push_back({"digits", a_text("2.5e1"), "25"});
  return t;
}

std::vector<matrix_type> floats() {
  return {
      // 2^127 × (2 - 2^-7), whose Float32 is shown with as many digits as tell it from its neighbours.
      floating("BFloat16", 0x1.fep127, "3.3895314e38", a_real(-1e39), a_real(1e39)),
      floating("Float32", 0x1.fffffep127, "3.4028235e38", a_real(-1e39), a_real(1e39)),
      floating("Float64", std::numeric_limits<double>::max(), "1.7976931348623157e308", a_text("-1e309"),
               a_text("1e309")),
  };
}

matrix_type decimal(int precision, int scale) {
  const auto digits = [&](int n) { return std::string(static_cast<std::size_t>(n), '9'); };
  const std::string most = (precision > scale ? digits(precision - scale) : "0") + (scale ? "." + digits(scale) : "");
  const std::string beyond = "1" + std::string(static_cast<std::size_t>(precision - scale), '0');
  matrix_type t{"Decimal(" + std::to_string(precision) + ", " + std::to_string(scale) + ")", {}};
  auto& s = t.samples;
  s.push_back({"min", a_decimal("-" + most), "-" + most});
  s.push_back({"max", a_decimal(most), most});
  s.push_back({"zero", an_integer("0"), "0"});
  add_absent(s, "0");
  s.push_back({"below", an_integer("-" + beyond), "!range"});
  s.push_back({"above", an_integer(beyond), "!range"});
  s.push_back({"text", a_text("x"), "!form"});
  s.push_back(sample("kind", one_number(), "!kind").in(texts, "!form"));
  s.push_back(sample("boolean", a_boolean(true), "!kind").in(texts, "!form"));
  s.push_back({"digit too many", a_decimal("0." + std::string(static_cast<std::size_t>(scale), '0') + "1"), "!digits"});
  if (scale) s.push_back({"float", a_real(0.5), "0.5"});
  s.push_back({"digits", a_text("0e0"), "0"});
  return t;
}

matrix_type boolean() {
  matrix_type t{"Bool", {}};
  auto& s = t.samples;
  s.push_back({"min", a_boolean(false), "false"});
  s.push_back({"max", a_boolean(true), "true"});
  s.push_back({"zero", an_integer("0"), "false"});
  add_absent(s, "false", "!kind");
  s.back() = sample("empty", a_text(""), "!kind").in(fields, "false").in("raw", "!form");
  s.push_back(sample("below", an_integer("-1"), "!form").in(schemas, "!range"));
  s.push_back(sample("above", an_integer("2"), "!form").in(schemas, "!range"));
  s.push_back(sample("text", a_text("x"), "!kind").in(texts, "!form"));
  s.push_back(sample("kind", one_number(), "!kind").in(texts, "!form"));
  s.push_back({"boolean", a_boolean(true), "true"});
  s.push_back(sample("word", a_text("true"), "!kind").in(texts, "true"));
  return t;
}

matrix_type string() {
  matrix_type t{"String", {}};
  auto& s = t.samples;
  const std::string no_utf8 = "\xff\xfe", whole(70'000, 'x'), zero(1, '\0');
  s.push_back({"min", a_text(""), ""});
  s.push_back({"max", a_text(whole), whole});
  s.push_back({"zero", a_text(zero), zero});
  add_absent(s, "", "");
  s.push_back(sample("below", some_bytes(no_utf8), no_utf8).in(json, "!json"));
  s.push_back(sample("above", an_integer("18446744073709551616"), "18446744073709551616"));
  s.push_back({"text", a_text("x"), "x"});
  s.push_back({"kind", one_number(), "[1]"});
  s.push_back({"boolean", a_boolean(true), "true"});
  s.push_back({"decimal", a_decimal("12.50"), "12.50"});
  s.push_back({"signs", a_text("tab\t line\n quote\" back\\ ü , ;"), "tab\t line\n quote\" back\\ ü , ;"});
  s.push_back({"record", a_record({{"a", an_integer("1")}, {"b", a_text("z")}}), R"({"a":1,"b":"z"})"});
  s.push_back({"date", a_date("2024-02-29", 19'782), "2024-02-29"});
  s.push_back({"time", a_time("12:30:00.250000", 45'000'250'000, 6), "12:30:00.250000"});
  s.back().instead = {{"protobuf", "12:30:00.250"}}; // the coarsest unit that is exact
  s.push_back({"uuid", a_uuid("01234567-89ab-cdef-fedc-ba9876543210"), "01234567-89ab-cdef-fedc-ba9876543210"});
  return t;
}

matrix_type fixed_string() {
  matrix_type t{"FixedString(3)", {}, "hex(@)"}; // toString() would leave zero bytes out
  auto& s = t.samples;
  const std::string zeros = "000000", nothing(3, '\0');
  s.push_back({"min", a_text(""), zeros});
  s.push_back({"max", a_text("abc"), "616263"});
  s.push_back({"zero", a_text(nothing), zeros});
  add_absent(s, zeros, zeros);
  s.push_back(sample("below", some_bytes("\xff\xfe"), "FFFE00").in(json, "!json"));
  s.push_back({"above", a_text("abcd"), "!long"});
  s.push_back({"text", a_text("x"), "780000"});
  s.push_back(sample("kind", one_number(), "!kind").in(texts, "5B315D"));
  s.push_back(sample("boolean", a_boolean(true), "!kind").in(texts, "!long"));
  s.push_back(sample("integer", an_integer("12"), "!kind").in(texts, "313200"));
  return t;
}

// Identifiers and addresses: texts with a form of their own.
matrix_type formed(const std::string& type, const value& min, const value& max, const std::string& zero,
                   const std::string& wrong) {
  matrix_type t{type, {}};
  auto& s = t.samples;
  s.push_back({"min", min, min.text_});
  s.push_back({"max", max, max.text_});
  s.push_back(sample("zero", an_integer("0"), "!kind").in(texts, "!form"));
  add_absent(s, zero);
  s.push_back({"below", a_text("-1"), "!form"});
  s.push_back({"above", a_text(wrong), "!form"});
  s.push_back({"text", a_text("x"), "!form"});
  s.push_back(sample("kind", one_number(), "!kind").in(texts, "!form"));
  s.push_back(sample("boolean", a_boolean(true), "!kind").in(texts, "!form"));
  return t;
}

std::vector<matrix_type> identifiers() {
  const std::string nil = "00000000-0000-0000-0000-000000000000", last = "ffffffff-ffff-ffff-ffff-ffffffffffff";
  std::vector<matrix_type> out = {
      formed("UUID", a_uuid(nil), a_uuid(last), nil, last + "0"),
      formed("IPv4", a_text("0.0.0.0"), a_text("255.255.255.255"), "0.0.0.0", "255.255.255.256"),
      formed("IPv6", a_text("::"), a_text("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "::", "1:2:3:4:5:6:7:8:9"),
  };
  const std::string network("\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10", 16);
  const std::string other = json + " " + texts;
  out[0].samples.push_back(sample("16 bytes", some_bytes(network), "01234567-89ab-cdef-fedc-ba9876543210")
                               .in(json, "!json")
                               .in(texts, "!form"));
  out[1].samples.push_back(
      sample("4 bytes", some_bytes("\xc0\xa8\x02\x01"), "192.168.2.1").in(json, "!json").in(texts, "!form"));
  out[2].samples.push_back(sample("16 bytes", some_bytes(network), "123:4567:89ab:cdef:fedc:ba98:7654:3210")
                               .in(json, "!json")
                               .in(texts, "!form"));
  out[2].samples.push_back({"IPv4", a_text("192.168.2.1"), "::ffff:192.168.2.1"});
  return out;
}

matrix_type enumeration(const std::string& type, int min, int max) {
  const std::vector<std::pair<std::string, int>> members = {{"zero", 0}, {"low", min}, {"high", max}, {"other", 1}};
  const auto symbol = [&](const std::string& name) {
    value v = of(value::symbol, name);
    v.members = members;
    return v;
  };
  matrix_type t{type + "('low' = " + std::to_string(min) + ", 'zero' = 0, 'high' = " + std::to_string(max) + ")", {}};
  auto& s = t.samples;
  s.push_back({"min", symbol("low"), "low"});
  s.push_back({"max", symbol("high"), "high"});
  s.push_back(sample("zero", an_integer("0"), "zero").in(texts, "!member"));
  add_absent(s, "low", "!member"); // the smallest one is the type's default
  s.push_back({"below", an_integer(std::to_string(min - 1)), "!member"});
  s.push_back({"above", an_integer(std::to_string(max + 1)), "!member"});
  s.push_back({"text", a_text("x"), "!member"});
  s.push_back(sample("kind", one_number(), "!kind").in(texts, "!member"));
  s.push_back(sample("boolean", a_boolean(true), "!kind").in(texts, "!member"));
  s.push_back({"another member", symbol("other"), "!member"});
  return t;
}

// Types whose values are counted from the epoch. `zero`: what the integer 0 is.
void add_moment(matrix_type& t, value min, value max, value below, value above, const std::string& zero,
                const std::string& absent, const std::vector<std::string>& shown) {
  auto& s = t.samples;
  s.push_back({"min", std::move(min), shown[0]});
  s.push_back({"max", std::move(max), shown[1]});
  s.push_back(sample("zero", an_integer("0"), zero).in(texts, "!form"));
  add_absent(s, absent);
  s.push_back({"below", std::move(below), "!range"});
  s.push_back({"above", std::move(above), "!range"});
  s.push_back({"text", a_text("x"), "!form"});
  s.push_back(sample("kind", one_number(), "!kind").in(texts, "!form"));
  s.push_back(sample("boolean", a_boolean(true), "!kind").in(texts, "!form"));
}

std::vector<matrix_type> dates() {
  matrix_type date{"Date", {}}, date32{"Date32", {}};
  add_moment(date, a_date("1970-01-01", 0), a_date("2149-06-06", 65'535), a_date("1969-12-31", -1),
             a_date("2149-06-07", 65'536), "1970-01-01", "1970-01-01", {"1970-01-01", "2149-06-06"});
  add_moment(date32, a_date("1900-01-01", -25'567), a_date("2299-12-31", 120'529), a_date("1899-12-31", -25'568),
             a_date("2300-01-01", 120'530), "1970-01-01", "1900-01-01", {"1900-01-01", "2299-12-31"});
  for (auto* t : {&date, &date32}) {
    t->samples.push_back({"leap day", a_date("2024-02-29", 19'782), "2024-02-29"});
    t->samples.push_back({"no such day", a_text("2023-02-29"), "!range"});
    t->samples.push_back({"digits", a_text("20240229"), "2024-02-29"});
  }
  return {date, date32};
}

matrix_type datetime(const std::string& zone, const std::vector<std::string>& shown) {
  matrix_type t{"DateTime('" + zone + "')", {}};
  add_moment(t, a_timestamp("1970-01-01T00:00:00Z", 0, 0), a_timestamp("2106-02-07T06:28:15Z", 4'294'967'295, 0),
             a_timestamp("1969-12-31T23:59:59Z", -1, 0), a_timestamp("2106-02-07T06:28:16Z", 4'294'967'296, 0),
             shown[0], shown[0], shown);
  t.samples.push_back({"fraction", a_timestamp("2024-05-01T00:00:00.500Z", 1'714'521'600'500, 3), "!digits"});
  t.samples.push_back({"seconds", a_text("1700000000"), shown[2]});
  return t;
}

matrix_type datetime64(int scale, const std::string& zone, std::int64_t max, const std::string& max_text, value above,
                       const std::vector<std::string>& shown) {
  std::int64_t unit = 1;
  for (int s = 0; s < scale; ++s) unit *= 10;
  matrix_type t{"DateTime64(" + std::to_string(scale) + ", '" + zone + "')", {}};
  const std::string point = scale ? "." : "", nines(static_cast<std::size_t>(scale), '9');
  add_moment(t, a_timestamp("1900-01-01T00:00:00Z", -2'208'988'800 * unit, scale), a_timestamp(max_text, max, scale),
             a_timestamp("1899-12-31T23:59:59" + point + nines + "Z", -2'208'988'800 * unit - 1, scale),
             std::move(above), shown[2], shown[2], shown);
  return t;
}

std::vector<matrix_type> moments() {
  const auto zeros = [](int n) { return n ? "." + std::string(static_cast<std::size_t>(n), '0') : std::string(); };
  std::vector<matrix_type> out = {
      datetime("UTC", {"1970-01-01 00:00:00", "2106-02-07 06:28:15", "2023-11-14 22:13:20"}),
      datetime("Europe/Berlin", {"1970-01-01 01:00:00", "2106-02-07 07:28:15", "2023-11-14 23:13:20"}),
  };
  constexpr std::int64_t last = 10'413'791'999; // 2299-12-31 23:59:59
  for (const int scale : {0, 3, 6}) {
    std::int64_t unit = 1;
    for (int s = 0; s < scale; ++s) unit *= 10;
    const auto nines = scale ? "." + std::string(static_cast<std::size_t>(scale), '9') : std::string();
    out.push_back(datetime64(
        scale, "UTC", last * unit + unit - 1, "2299-12-31T23:59:59" + nines + "Z",
        a_timestamp("2300-01-01T00:00:00Z", (last + 1) * unit, scale),
        {"1900-01-01 00:00:00" + zeros(scale), "2299-12-31 23:59:59" + nines, "1970-01-01 00:00:00" + zeros(scale)}));
  }
  // As far as 64 bits of nanoseconds reach.
  out.push_back(
      datetime64(9, "UTC", std::numeric_limits<std::int64_t>::max(), "2262-04-11T23:47:16.854775807Z",
                 a_text("2262-04-11T23:47:16.854775808Z"),
                 {"1900-01-01 00:00:00.000000000", "2262-04-11 23:47:16.854775807", "1970-01-01 00:00:00.000000000"}));
  out.push_back(datetime64(3, "Europe/Berlin", last * 1000 + 999, "2299-12-31T23:59:59.999Z",
                           a_timestamp("2300-01-01T00:00:00Z", (last + 1) * 1000, 3),
                           {"1900-01-01 01:00:00.000", "2300-01-01 00:59:59.999", "1970-01-01 01:00:00.000"}));
  for (auto* t : {&out[1], &out.back()}) {
    t->samples.push_back({"skipped by clocks", a_text("2024-03-31 02:30:00"), "!clock"});
    const bool plain = t == &out[1];
    t->samples.push_back(
        {"local", a_text("2024-07-01 12:00:00"), plain ? "2024-07-01 12:00:00" : "2024-07-01 12:00:00.000"});
  }
  return out;
}

matrix_type span(int scale) {
  std::int64_t unit = 1;
  for (int s = 0; s < scale; ++s) unit *= 10;
  const std::int64_t limit = 3'600'000 * unit; // 1000 hours
  const auto digits = [&](char c) { return scale ? "." + std::string(static_cast<std::size_t>(scale), c) : ""; };
  matrix_type t{scale ? "Time64(" + std::to_string(scale) + ")" : "Time", {}};
  const auto most = "999:59:59" + digits('9'), none = "00:00:00" + digits('0');
  add_moment(t, a_time("-" + most, 1 - limit, scale), a_time(most, limit - 1, scale),
             a_time("-1000:00:00", -limit, scale), a_time("1000:00:00", limit, scale), none, none, {"-" + most, most});
  for (auto& s : t.samples) {
    if (s.aspect == "zero") s.instead = {}; // also as a text: seconds
    if (s.aspect == "below" || s.aspect == "above") {
      // Hours have up to three digits in a text; Avro has no time of nanoseconds, so that it is a text there.
      s.expected = "!form";
      s.instead = {{scale > 6 ? "connect_json protobuf" : schemas, "!range"}};
    }
  }
  return t;
}

// Whether ClickHouse takes it in LowCardinality.
bool may_have_low_cardinality(const std::string& type) {
  for (const char* prefix : {"Decimal", "Enum", "DateTime64", "Time64", "Bool"})
    if (type.starts_with(prefix)) return false;
  return true;
}

// What a cell of CSV holds within an Array, a Map or a Tuple is JSON; raw has no such columns.
std::string inner_outcome(const sample& s, const std::string& format) {
  if (format == "raw") return "!start";
  return s.outcome(names(fields, format) ? "json" : format);
}

// A type that holds the plain one; `wrap` puts a value into it.
template <class F>
matrix_type holding(const matrix_type& plain, std::string type, const std::string& element, F&& wrap,
                    bool null_is_default) {
  std::string read;
  for (const char c : plain.read) read += c == '@' ? element : std::string(1, c);
  matrix_type t{std::move(type), {}, std::move(read), false};
  for (const auto& s : plain.samples) {
    if (s.aspect == "missing") continue;
    sample inner(s.aspect, wrap(s.given), "");
    for (const auto& format : formats) {
      auto outcome = inner_outcome(s, format);
      if (s.aspect == "null" && !null_is_default && !outcome.starts_with("!")) outcome = "!kind";
      inner.instead.emplace_back(format, outcome);
    }
    t.samples.push_back(std::move(inner));
  }
  return t;
}

} // namespace

const std::string& sample::outcome(const std::string& format) const {
  const std::string* found = &expected;
  for (const auto& [list, other] : instead)
    if (names(list, format)) found = &other;
  return *found;
}

std::vector<matrix_type> plain_types() {
  std::vector<matrix_type> out;
  for (auto group : {integers(), floats()})
    for (auto& t : group) out.push_back(std::move(t));
  for (const auto& [precision, scale] : {std::pair(9, 2), {18, 0}, {18, 18}, {38, 10}, {76, 38}})
    out.push_back(decimal(precision, scale));
  out.push_back(boolean());
  out.push_back(string());
  out.push_back(fixed_string());
  for (auto group : {identifiers(), dates(), moments(), std::vector{span(0), span(3), span(9)}})
    for (auto& t : group) out.push_back(std::move(t));
  out.push_back(enumeration("Enum8", -128, 127));
  out.push_back(enumeration("Enum16", -32768, 32767));
  return out;
}

std::vector<matrix_type> wrapped_types(const matrix_type& plain) {
  std::vector<matrix_type> out;
  const auto same = [&](std::string type, bool nullable) {
    matrix_type t = plain;
    t.type = std::move(type);
    t.documented = false;
    for (auto& s : t.samples) {
      if (!nullable) continue;
      const bool absent = s.aspect == "null" || s.aspect == "missing";
      if (absent) s.expected = "NULL", s.instead.clear();
      if (plain.type == "String" && s.aspect == "missing") s.instead = {{"tsv", ""}};
      // tsv has an empty text in a String, and nothing at all elsewhere; csv has nothing at all.
      if (s.given.what == value::text && s.given.text_.empty())
        s.instead.emplace_back(plain.type == "String" ? "csv" : fields, "NULL");
    }
    out.push_back(std::move(t));
  };
  same("Nullable(" + plain.type + ")", true);
  if (may_have_low_cardinality(plain.type)) {
    same("LowCardinality(" + plain.type + ")", false);
    same("LowCardinality(Nullable(" + plain.type + "))", true);
  }
  same("SimpleAggregateFunction(anyLast, " + plain.type + ")", false);
  out.push_back(holding(
      plain, "Array(" + plain.type + ")", "@[1]", [](value v) { return a_list({std::move(v)}); }, false));
  out.push_back(holding(
      plain, "Map(String, " + plain.type + ")", "@['k']",
      [](value v) {
        return a_map({{"k", std::move(v)}});
      },
      false));
  // A null element of a Tuple is a missing one.
  out.push_back(holding(
      plain, "Tuple(x Int8, y " + plain.type + ")", "@.y",
      [](value v) {
        return a_record({{"x", an_integer("5")}, {"y", std::move(v)}});
      },
      true));
  return out;
}

} // namespace chute::test
