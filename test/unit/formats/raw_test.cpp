#include "formats/raw.hpp"

#include "formats/meta.hpp"

#include <doctest/doctest.h>

using namespace chute;

namespace {

using from = column_source::from;

struct some_headers : header_source {
  std::vector<header_view> all;
  void headers(const record_view&, std::vector<header_view>& out) const override { out = all; }
};

target_column target(const std::string& name, const std::string& type, from kind, const std::string& text,
                     const std::string& expression = "") {
  return {{name, *parse_type(type), expression.empty() ? "" : "DEFAULT", expression}, {kind, text}, nullptr};
}

record_view record(std::int64_t offset, std::optional<std::string_view> value,
                   std::optional<std::string_view> key = std::nullopt, std::int64_t timestamp_ms = 1'700'000'000'123) {
  record_view r{};
  r.offset = {offset};
  r.timestamp_ms = timestamp_ms;
  r.key = key;
  r.value = value;
  return r;
}

chunk decoded(std::vector<target_column> targets, const std::vector<record_view>& records, const some_headers& headers,
              decoder_options options = {}) {
  options.topic = "events";
  auto d = make_raw_decoder(std::move(targets), options);
  REQUIRE_MESSAGE(d.ok(), (d.ok() ? "" : d.failure().text()));
  chunk out;
  out.partition = {7};
  // In two calls: the second goes on with the columns of the first.
  const auto half = records.size() / 2;
  (*d)->decode({records.data(), half}, headers, out);
  (*d)->decode({records.data() + half, records.size() - half}, headers, out);
  for (const auto& c : out.rows.columns) CHECK(c.rows == out.rows.rows);
  CHECK(out.outcomes.size() == records.size());
  return out;
}

std::string content(const bytes& b) { return {b.data(), b.size()}; }

std::string refused(target_column t) {
  auto m = meta_filler::make(t, {});
  REQUIRE_FALSE(m.ok());
  return m.failure().text();
}

// One value of one column that meta fills; the error's text, or the bytes of the column and its first child.
std::string filled(const target_column& t, const record_view& r, const std::vector<header_view>& headers = {}) {
  decoder_options options;
  options.topic = "events";
  auto m = meta_filler::make(t, options);
  REQUIRE_MESSAGE(m.ok(), (m.ok() ? "" : m.failure().text()));
  auto c = make_column(wire_type(t.column));
  const auto e = m->append(r, {7}, headers, c);
  if (e != value_error::none) return m->subject() + " " + describe(e);
  CHECK(c.rows == 1);
  return content(c.data) + (c.children.empty() ? "" : "|" + content(c.children[0].data));
}

template <class T> std::string le(T v) { return {reinterpret_cast<const char*>(&v), sizeof v}; }

} // namespace

TEST_CASE("raw: the value as it came, with provenance") {
  const some_headers headers;
  const auto out =
      decoded({target("_topic", "LowCardinality(String)", from::meta, "topic"),
               target("_partition", "UInt32", from::meta, "partition"),
               target("_offset", "UInt64", from::meta, "offset"), target("text", "String", from::field, "value")},
              {record(5, "a\n\xff"), record(6, ""), record(9, std::nullopt)}, headers);
  CHECK(out.rows.rows == 3);
  CHECK(out.rows.names == std::vector<std::string>{"_topic", "_partition", "_offset", "text"});
  CHECK(content(out.rows.columns[0].data) == "\6events\6events\6events");
  CHECK(content(out.rows.columns[1].data) == le(7u) + le(7u) + le(7u));
  CHECK(content(out.rows.columns[2].data) == le(std::uint64_t{5}) + le(std::uint64_t{6}) + le(std::uint64_t{9}));
  CHECK(content(out.rows.columns[3].data) == std::string("\3a\n\xff\0\0", 6));
  CHECK(out.outcomes == std::vector<outcome>(3, outcome::row));
}

TEST_CASE("raw: a null value is NULL, or waits for the column's DEFAULT") {
  const some_headers headers;
  for (const auto& t :
       {target("v", "Nullable(String)", from::field, "v"), target("v", "String", from::field, "v", "'nothing'")}) {
    const auto out = decoded({t}, {record(1, "x"), record(2, std::nullopt)}, headers);
    CHECK(content(out.rows.columns[0].data) == std::string("\0\1", 2));
    CHECK(content(out.rows.columns[0].children[0].data) == std::string("\1x\0", 3));
  }
}

TEST_CASE("raw: a value that its column cannot hold is a bad record, its neighbours land") {
  const some_headers headers;
  decoder_options options;
  options.record_bytes_max = 10;
  const auto out =
      decoded({target("_offset", "UInt64", from::meta, "offset"), target("v", "FixedString(3)", from::field, "v")},
              {record(1, "abc"), record(2, "abcd"), record(3, "01234567890"), record(4, "z")}, headers, options);
  CHECK(out.outcomes == std::vector<outcome>{outcome::row, outcome::dead_letter, outcome::dead_letter, outcome::row});
  CHECK(content(out.rows.columns[0].data) == le(std::uint64_t{1}) + le(std::uint64_t{4}));
  CHECK(content(out.rows.columns[1].data) == std::string("abcz\0\0", 6));
  CHECK(out.dead[0].error.starts_with("the value for column 'v' (FixedString(3)) "));
  CHECK(out.dead[1].error == "the value has more than 10 bytes");

  const auto numbers = decoded({target("v", "UInt8", from::field, "v")}, {record(1, "255"), record(2, "256")}, headers);
  CHECK(numbers.outcomes == std::vector<outcome>{outcome::row, outcome::dead_letter});
  CHECK_FALSE(make_raw_decoder({target("v", "Array(String)", from::field, "v")}, {}).ok());
  CHECK_FALSE(make_raw_decoder({target("v", "JSON", from::field, "v")}, {}).ok());
  CHECK_FALSE(make_raw_decoder({target("_offset", "UInt64", from::meta, "offset")}, {}).ok());
}

TEST_CASE("provenance goes into any fitting type, and what does not fit is an error of the record") {
  const auto r = record(300, "v", "k");
  CHECK(filled(target("c", "Int16", from::meta, "offset"), r) == le(std::int16_t{300}));
  CHECK(filled(target("c", "Int256", from::meta, "offset"), r) == le(std::int64_t{300}) + std::string(24, '\0'));
  CHECK(filled(target("c", "String", from::meta, "offset"), r) == "\003300");
  CHECK(filled(target("c", "Nullable(UInt64)", from::meta, "offset"), r) == "|" + le(std::uint64_t{300}));
  CHECK(filled(target("c", "UInt8", from::meta, "offset"), r) ==
        "meta offset for column 'c' (UInt8) " + std::string(describe(value_error::out_of_range)));
  CHECK(filled(target("c", "Int8", from::meta, "partition"), r) == "\7");
  CHECK(filled(target("c", "Enum8('events' = 3)", from::meta, "topic"), r) == "\3");
  CHECK(filled(target("c", "UInt64", from::meta, "offset"), record(INT64_MAX, "v")) == le(std::uint64_t{INT64_MAX}));
  CHECK(filled(target("c", "Int64", from::meta, "offset"), record(INT64_MAX, "v")) == le(INT64_MAX));
  CHECK(refused(target("c", "DateTime", from::meta, "offset")).find("'c' of type DateTime") != std::string::npos);
  CHECK(refused(target("c", "UInt8", from::meta, "topic")).find("is malformed") != 0);
  CHECK(refused(target("c", "Array(String)", from::meta, "topic")).find("Array(String)") != std::string::npos);
}

TEST_CASE("timestamps") {
  const auto r = record(1, "v");
  CHECK(filled(target("c", "DateTime64(3)", from::meta, "timestamp"), r) == le(std::int64_t{1'700'000'000'123}));
  CHECK(filled(target("c", "DateTime64(9)", from::meta, "timestamp"), r) ==
        le(std::int64_t{1'700'000'000'123'000'000}));
  CHECK(filled(target("c", "DateTime64(1)", from::meta, "timestamp"), r) == le(std::int64_t{17'000'000'001}));
  CHECK(filled(target("c", "DateTime", from::meta, "timestamp"), r) == le(1'700'000'000u));
  CHECK(filled(target("c", "Int64", from::meta, "timestamp"), r) == le(std::int64_t{1'700'000'000'123}));
  CHECK(filled(target("c", "DateTime64(3)", from::meta, "timestamp"), record(1, "v", {}, -1)) == le(std::int64_t{0}));
  CHECK(filled(target("c", "Nullable(DateTime64(3))", from::meta, "timestamp"), record(1, "v", {}, -1)) ==
        "\1|" + le(std::int64_t{0}));
  for (const char* type : {"DateTime", "DateTime64(3)", "DateTime64(9)"})
    CHECK(filled(target("c", type, from::meta, "timestamp"), record(1, "v", {}, INT64_MAX))
              .starts_with("meta timestamp"));
}

TEST_CASE("keys, headers and constants") {
  const auto r = record(1, "v", "42");
  CHECK(filled(target("c", "String", from::meta, "key"), r) == "\00242");
  CHECK(filled(target("c", "UInt16", from::meta, "key"), r) == le(std::uint16_t{42}));
  CHECK(filled(target("c", "UInt16", from::meta, "key"), record(1, "v", "x")).starts_with("meta key for column 'c'"));
  CHECK(filled(target("c", "Nullable(String)", from::meta, "key"), record(1, "v")) == std::string("\1|\0", 3));

  const std::vector<header_view> headers = {{"a", "1"}, {"b", std::nullopt}, {"a", "2"}};
  CHECK(filled(target("c", "UInt8", from::header, "a"), r, headers) == "\2");
  CHECK(filled(target("c", "Nullable(UInt8)", from::header, "b"), r, headers) == std::string("\1|\0", 3));
  CHECK(filled(target("c", "UInt8", from::header, "none", "9"), r, headers) == std::string("\1|\0", 3));
  CHECK(filled(target("c", "UInt8", from::value, "9"), r) == "\x9");
  CHECK(refused(target("c", "UInt8", from::value, "900")).find("the constant for column 'c' (UInt8)") !=
        std::string::npos);

  for (const char* type : {"Map(LowCardinality(String), String)", "Array(Tuple(name String, value String))"}) {
    auto m = meta_filler::make(target("c", type, from::meta, "headers"), {});
    REQUIRE(m.ok());
    CHECK(m->needs_headers());
    auto c = make_column(wire_type({"c", *parse_type(type), "", ""}));
    CHECK(m->append(r, {7}, headers, c) == value_error::none);
    CHECK(m->append(r, {7}, {}, c) == value_error::none);
    CHECK(content(c.data) == le(std::uint64_t{3}) + le(std::uint64_t{3}));
    CHECK(content(c.children[0].children[0].data) == "\1a\1b\1a");
    CHECK(content(c.children[0].children[1].data) == std::string("\0011\0\0012", 5));
  }
  auto m = meta_filler::make(target("c", "Map(String, Nullable(String))", from::meta, "headers"), {});
  REQUIRE(m.ok());
  auto c = make_column(*parse_type("Map(String, Nullable(String))"));
  CHECK(m->append(r, {7}, headers, c) == value_error::none);
  CHECK(content(c.children[0].children[1].data) == std::string("\0\1\0", 3));
  CHECK(refused(target("c", "String", from::meta, "headers")).find("Map(String, String)") != std::string::npos);
}
