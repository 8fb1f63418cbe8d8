#include "formats/columns.hpp"

#include <doctest/doctest.h>

using namespace chute;

namespace {

table_column col(const std::string& name, const std::string& type, const std::string& kind = "",
                 const std::string& expression = "") {
  return {name, *parse_type(type), kind, expression};
}

pipeline_config pipeline(std::map<std::string, column_source> columns = {}, const std::string& format = "json") {
  pipeline_config p;
  p.name = "orders";
  p.table = "orders";
  p.format = format;
  p.columns = std::move(columns);
  return p;
}

using from = column_source::from;

// "name<kind:text", one a target.
std::string mapped(const std::vector<table_column>& table, const pipeline_config& p) {
  auto m = map_columns(table, p);
  REQUIRE_MESSAGE(m.ok(), (m.ok() ? "" : m.failure().text()));
  std::string out;
  for (const auto& t : *m) {
    const char* kinds[] = {"field", "header", "value", "meta"};
    out +=
        (out.empty() ? "" : " ") + t.column.name + "<" + kinds[static_cast<int>(t.source.kind)] + ":" + t.source.text;
  }
  return out;
}

std::string refused(const std::vector<table_column>& table, const pipeline_config& p) {
  auto m = map_columns(table, p);
  REQUIRE_FALSE(m.ok());
  return m.failure().text();
}

std::string wire(const std::string& type, const std::string& kind = "", const std::string& expression = "") {
  return wire_type(col("c", type, kind, expression))->text;
}

} // namespace

TEST_CASE("columns map by name, provenance by its names, and `columns:` goes first") {
  const std::vector<table_column> table = {
      col("id", "UInt64"),
      col("ordered_at", "DateTime64(3)"),
      col("n.a", "Array(Int8)"),
      col("day", "Date", "MATERIALIZED", "toDate(ordered_at)"),
      col("total", "UInt64", "ALIAS", "id * 2"),
      col("source", "UInt8", "EPHEMERAL", "1"),
      col("sums", "AggregateFunction(sum, UInt8)"),
      col("_topic", "LowCardinality(String)"),
      col("_offset", "UInt64"),
      col("_key", "String"),
      col("_other", "String"),
  };
  CHECK(mapped(table, pipeline()) == "id<field:id ordered_at<field:ordered_at n.a<field:n.a source<field:source "
                                     "_topic<meta:topic _offset<meta:offset _key<meta:key _other<field:_other");
  CHECK(mapped(table, pipeline({{"ordered_at", {from::field, "meta.ts"}},
                                {"id", {from::header, "Id"}},
                                {"_topic", {from::value, "x"}},
                                {"_key", {from::field, "k"}},
                                {"_other", {from::meta, "partition"}}})) ==
        "id<header:Id ordered_at<field:meta.ts n.a<field:n.a source<field:source _topic<value:x _offset<meta:offset "
        "_key<field:k _other<meta:partition");
}

TEST_CASE("all faults of `columns:` are named at once, with the nearest column") {
  const std::vector<table_column> table = {
      col("ordered_at", "DateTime"),
      col("day", "Date", "MATERIALIZED", "toDate(ordered_at)"),
      col("sums", "AggregateFunction(sum, UInt8)"),
  };
  const auto text = refused(table, pipeline({{"orderd_at", {from::field, "x"}},
                                             {"quite_another", {from::field, "x"}},
                                             {"day", {from::field, "x"}},
                                             {"sums", {from::field, "x"}},
                                             {"ordered_at", {from::meta, "offsets"}}}));
  CHECK(text.find("column 'orderd_at' is not in the table, the nearest is 'ordered_at'") != std::string::npos);
  CHECK(text.find("column 'quite_another' is not in the table\n") != std::string::npos);
  CHECK(text.find("column 'day' is MATERIALIZED, ClickHouse computes it") != std::string::npos);
  CHECK(text.find("column 'sums' of type AggregateFunction(sum, UInt8) cannot be filled") != std::string::npos);
  CHECK(text.find("there is no meta 'offsets'") != std::string::npos);
  CHECK(text.starts_with("pipeline orders: "));
  CHECK(refused({col("a", "Date", "ALIAS", "today()")}, pipeline()).find("no column that records could fill") !=
        std::string::npos);
}

TEST_CASE("raw: which column takes the value") {
  const auto raw = [](std::map<std::string, column_source> columns = {}) {
    return pipeline(std::move(columns), "raw");
  };
  const auto topic = col("_topic", "String");
  CHECK(mapped({topic, col("text", "String")}, raw()) == "_topic<meta:topic text<field:text");
  CHECK(mapped({topic, col("value", "String"), col("other", "String")}, raw()) ==
        "_topic<meta:topic value<field:value");
  CHECK(mapped({col("body", "String"), col("at", "DateTime", "DEFAULT", "now()")}, raw()) == "body<field:body");
  CHECK(mapped({col("body", "String"), col("value", "String")}, raw({{"body", {from::field, "value"}}})) ==
        "body<field:value");
  CHECK(mapped({col("body", "String"), col("value", "String")}, raw({{"value", {from::header, "h"}}})) ==
        "body<field:body value<header:h");
  CHECK(mapped({col("body", "String", "DEFAULT", "'x'"), topic}, raw()) == "body<field:body _topic<meta:topic");
  CHECK(refused({col("a", "String"), col("b", "String")}, raw()).find("several columns could take the value: a, b") !=
        std::string::npos);
  CHECK(refused({topic}, raw()).find("no column of the table is left") != std::string::npos);
  CHECK(refused({col("a", "String")}, raw({{"a", {from::field, "x.y"}}})).find("wants the field 'x.y'") !=
        std::string::npos);
}

TEST_CASE("rows without a value: Nullable on the wire where the server fills them") {
  CHECK(wire("UInt8") == "UInt8");
  CHECK(wire("LowCardinality(String)", "DEFAULT", "'x'") == "Nullable(String)");
  CHECK(wire("UInt8", "DEFAULT", "id * 2") == "Nullable(UInt8)");
  CHECK(wire("UInt8", "EPHEMERAL", "3") == "Nullable(UInt8)");
  CHECK(wire("Point", "DEFAULT", "(1, 2)") == "Nullable(Tuple(Float64, Float64))");
  CHECK(wire("Map(String, UInt8)", "DEFAULT", "map()") == "Nullable(Map(String, UInt8))");
  CHECK(wire("JSON", "DEFAULT", "'{}'") == "Nullable(JSON)");
  CHECK(wire("SimpleAggregateFunction(sum, UInt64)", "DEFAULT", "1") == "Nullable(UInt64)");
  CHECK(wire("Array(UInt8)", "DEFAULT", "[1]") == "Array(UInt8)");
  CHECK(wire("Nullable(UInt8)", "DEFAULT", "1") == "Nullable(UInt8)");
  for (const char* type : {"Array(UInt8)", "Nullable(UInt8)", "LowCardinality(Nullable(String))", "Dynamic", "Geometry",
                           "Variant(UInt8)", "Ring", "QBit(Float32, 2)", "Nested(a UInt8)"}) {
    CHECK(needs_fill(col("c", type, "DEFAULT", "x")));
    CHECK_FALSE(needs_fill(col("c", type)));
  }
  for (const char* type : {"UInt8", "JSON", "Tuple(a Array(UInt8))", "Map(String, UInt8)", "LowCardinality(String)"})
    CHECK_FALSE(needs_fill(col("c", type, "DEFAULT", "x")));
}

TEST_CASE("rows without a value: a server without Nullable(Tuple) or Nullable(JSON) is asked for the constant") {
  auto older = [](const char* type) {
    auto c = col("c", type, "DEFAULT", "x");
    c.nullable_tuple = c.nullable_json = false;
    return c;
  };
  for (const char* type : {"Point", "Map(String, UInt8)", "Tuple(a UInt8)", "JSON"}) {
    CHECK(wire_type(older(type))->kind != type_kind::nullable);
    CHECK(needs_fill(older(type)));
  }
  CHECK(wire_type(older("UInt8"))->text == "Nullable(UInt8)");
}

TEST_CASE("missing and null") {
  target_column t{col("c", "Array(UInt8)", "DEFAULT", "[7]"), {}, nullptr};
  auto fill = make_column(wire_type(t.column));
  append_default(fill.children[0]);
  fill.data.push(std::uint64_t{1});
  ++fill.rows;
  t.fill = std::make_shared<const column>(std::move(fill));
  auto c = make_column(wire_type(t.column));
  append_missing(c, t);
  append_null(c, t);
  CHECK(c.children[0].rows == 2);

  // A null of a Nullable column is a null, whatever its DEFAULT.
  target_column n{col("c", "Nullable(UInt8)", "DEFAULT", "5"), {}, nullptr};
  auto five = make_column(wire_type(n.column));
  five.children[0].data.push('\5');
  ++five.children[0].rows;
  ++five.rows;
  n.fill = std::make_shared<const column>(std::move(five));
  auto d = make_column(wire_type(n.column));
  append_missing(d, n);
  append_null(d, n);
  CHECK(std::string(d.data.data(), d.data.size()) == std::string("\0\1", 2));
  CHECK(std::string(d.children[0].data.data(), 2) == std::string("\5\0", 2));
}

TEST_CASE("the question for a constant quotes what it holds") {
  const auto sql = fill_query(col("c", "Array(Enum8('a' = 1))", "DEFAULT", "['it\\'s', now()]"));
  CHECK(sql.starts_with("SELECT CAST((['it\\'s', now()]), 'Array(Enum8(\\'a\\' = 1))') AS c, "));
  CHECK(sql.find("extractAll('[\\'it\\\\\\'s\\', now()]'") != std::string::npos);
}

TEST_CASE("the fingerprint changes with everything that decides about rows, and with nothing else") {
  const std::vector<target_column> targets = {{col("a", "UInt8"), {from::field, "a"}, nullptr},
                                              {col("b", "String", "DEFAULT", "'x'"), {from::header, "h"}, nullptr}};
  decoder_options options;
  options.topic = "t";
  const auto print = decoder_fingerprint("json", targets, options);
  CHECK(decoder_fingerprint("json", targets, options) == print);
  CHECK(decoder_fingerprint("raw", targets, options) != print);
  const auto with = [&](auto change) {
    auto t = targets;
    auto o = options;
    change(t, o);
    return decoder_fingerprint("json", t, o);
  };
  CHECK(with([](auto&, auto& o) { o.pipeline = "renamed"; }) == print);
  CHECK(with([](auto&, auto& o) { o.topic = "u"; }) != print);
  CHECK(with([](auto&, auto& o) { o.timezone = "Asia/Tokyo"; }) != print);
  CHECK(with([](auto&, auto& o) { o.on_bad_record = bad_record_policy::skip; }) != print);
  CHECK(with([](auto&, auto& o) { o.deletes = delete_policy::replacing; }) != print);
  CHECK(with([](auto&, auto& o) { o.record_bytes_max = 1; }) != print);
  CHECK(with([](auto& t, auto&) { t[0].column.name = "aa"; }) != print);
  CHECK(with([](auto& t, auto&) { t[0].column.type = *parse_type("UInt16"); }) != print);
  CHECK(with([](auto& t, auto&) { t[1].column.default_expression = "'y'"; }) != print);
  CHECK(with([](auto& t, auto&) { t[1].source.text = "i"; }) != print);
  CHECK(with([](auto& t, auto&) { t[1].source.kind = from::value; }) != print);
  CHECK(with([](auto& t, auto&) { std::swap(t[0], t[1]); }) != print);
  CHECK(with([](auto& t, auto&) { t.pop_back(); }) != print);
  CHECK(with([](auto& t, auto&) {
          auto one = make_column(t[0].column.type);
          append_default(one);
          t[0].fill = std::make_shared<const column>(std::move(one));
        }) != print);
}

TEST_CASE("bad records by policy, byte for byte") {
  struct source : header_source {
    void headers(const record_view&, std::vector<header_view>& out) const override {
      out.push_back({"h", "v"});
      out.push_back({"n", std::nullopt});
    }
  } headers;
  record_view r{};
  r.offset = {17};
  r.timestamp_ms = 5;
  r.value = std::string_view("\0\xff", 2);
  chunk out;
  out.partition = {3};
  decoder_options options;
  append_bad_record(r, headers, options, "why", out);
  options.on_bad_record = bad_record_policy::skip;
  append_bad_record(r, headers, options, "why", out);
  options.on_bad_record = bad_record_policy::stop;
  append_bad_record(r, headers, options, "why", out);
  append_row_outcome(r, out);
  CHECK(out.outcomes == std::vector<outcome>{outcome::dead_letter, outcome::dropped, outcome::stop, outcome::row});
  CHECK(out.offsets == std::vector<std::int64_t>(4, 17));
  CHECK(out.sizes == std::vector<std::uint32_t>(4, 2));
  CHECK(out.hashes == std::vector<std::uint64_t>(4, record_hash(5, std::nullopt, r.value)));
  REQUIRE(out.dead.size() == 2);
  const auto& d = out.dead[0];
  CHECK(d.partition.value == 3);
  CHECK(d.offset.value == 17);
  CHECK_FALSE(d.key);
  CHECK(d.value == std::string("\0\xff", 2));
  REQUIRE(d.headers.size() == 2);
  CHECK(d.headers[0].second == "v");
  CHECK_FALSE(d.headers[1].second);
  CHECK(d.error == "why");
}
