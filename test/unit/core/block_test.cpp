#include "core/block.hpp"
#include "core/chunk.hpp"

#include <doctest/doctest.h>

using namespace chute;

namespace {

column made(std::string_view text) { return make_column(storage_type(*parse_type(text))); }

std::string content(const bytes& b) { return {b.data(), b.size()}; }

std::string default_of(std::string_view text) {
  auto c = made(text);
  append_default(c);
  CHECK(c.rows == 1);
  return content(c.data);
}

void append_text(column& c, std::string_view s) {
  append_varint(c.data, s.size());
  c.data.append(s.data(), s.size());
  ++c.rows;
}

} // namespace

TEST_CASE("lengths are LEB128") {
  bytes b;
  append_varint(b, 0);
  append_varint(b, 127);
  append_varint(b, 128);
  append_varint(b, ~std::uint64_t{0});
  CHECK(content(b) == std::string("\0\x7f\x80\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 14));
}

TEST_CASE("columns have the layout of their type") {
  CHECK(made("LowCardinality(String)").form == layout::text);
  CHECK(made("Decimal(40, 2)").width == 32);
  CHECK(made("JSON(a Int8)").form == layout::text);
  const auto map = made("Map(LowCardinality(String), Array(Int8))");
  CHECK(map.form == layout::array);
  REQUIRE(map.children.size() == 1);
  CHECK(map.children[0].form == layout::tuple);
  CHECK(map.children[0].children[1].form == layout::array);
  const auto geometry = made("Geometry");
  CHECK(geometry.form == layout::variant);
  REQUIRE(geometry.children.size() == 6);
  CHECK(geometry.children[3].type->text == "Point");
  CHECK(geometry.children[3].form == layout::tuple);
}

TEST_CASE("a Dynamic column has its alternatives, down to the last level") {
  auto c = made("Dynamic(max_types=5)");
  const auto* level = &c;
  for (int depth = dynamic_depth; depth > 1; --depth) {
    REQUIRE(level->children.size() == 19);
    const auto& array = level->children[static_cast<int>(dynamic_alternative::array_dynamic)];
    CHECK(array.type->text == "Array(Dynamic)");
    level = &array.children[0];
  }
  CHECK(level->children.size() == 18);
  CHECK(c.children[static_cast<int>(dynamic_alternative::int256)].type->kind == type_kind::int256);
  CHECK(c.children[static_cast<int>(dynamic_alternative::array_json)].type->text == "Array(JSON)");
  CHECK(c.children[static_cast<int>(dynamic_alternative::array_nullable_string)].type->text ==
        "Array(Nullable(String))");
}

TEST_CASE("defaults are ClickHouse's own") {
  CHECK(default_of("UInt32") == std::string(4, '\0'));
  CHECK(default_of("FixedString(3)") == std::string(3, '\0'));
  CHECK(default_of("String") == std::string(1, '\0'));
  CHECK(default_of("JSON") == "\2{}");
  CHECK(default_of("Nullable(Int8)") == "\1");
  CHECK(default_of("Variant(Int8)") == "\xff");
  CHECK(default_of("Dynamic") == "\xff");
  CHECK(default_of("Array(Int8)") == std::string(8, '\0'));
  CHECK(default_of("Date32") == "\x21\x9c\xff\xff");
  CHECK(default_of("Enum8('z' = 5, 'a' = -3, 'b' = 0)") == "\xfd");
  CHECK(default_of("Enum16('z' = 5, 'a' = 700)") == std::string("\5\0", 2));
  auto q = made("QBit(Float32, 4)");
  append_default(q);
  CHECK(q.children[0].rows == 4);
  CHECK(content(q.data) == std::string("\4\0\0\0\0\0\0\0", 8));
}

TEST_CASE("a null map begins with the first null") {
  auto c = made("Nullable(String)");
  for (int i = 0; i < 3; ++i) {
    append_text(c.children[0], "x");
    mark_not_null(c);
    ++c.rows;
  }
  CHECK(c.data.empty());
  c.mark();
  append_default(c);
  CHECK(content(c.data) == std::string("\0\0\0\1", 4));
  c.rollback();
  CHECK(c.data.empty());
  CHECK(c.rows == 3);
  CHECK(c.children[0].rows == 3);
  append_default(c);
  append_text(c.children[0], "y");
  mark_not_null(c);
  ++c.rows;
  CHECK(content(c.data) == std::string("\0\0\0\1\0", 5));
}

TEST_CASE("rollback takes back every level") {
  auto c = made("Tuple(a Array(Map(String, Int8)), b Variant(Array(String), Int8))");
  append_default(c);
  c.mark();
  const auto size = c.byte_size();
  append_default(c);
  auto& map = c.children[0].children[0];
  append_text(map.children[0].children[0], "key");
  append_default(map.children[0].children[1]);
  map.data.push(std::uint64_t{1});
  append_default(c.children[1].children[0]);
  CHECK(c.byte_size() > size);
  c.rollback();
  CHECK(c.byte_size() == size);
  CHECK(c.rows == 1);
  CHECK(map.children[0].children[0].rows == 0);
}

TEST_CASE("rows of one column are appended to another") {
  auto one = made("Array(Nullable(Int8))");
  append_default(one.children[0]);
  one.data.push(std::uint64_t{1});
  ++one.rows;

  auto c = made("Array(Nullable(Int8))");
  c.children[0].children[0].data.push(char{7});
  ++c.children[0].children[0].rows;
  ++c.children[0].rows;
  c.data.push(std::uint64_t{1});
  ++c.rows;
  append_rows(c, one);
  append_rows(c, one);
  CHECK(c.rows == 3);
  std::uint64_t offsets[3];
  REQUIRE(c.data.size() == sizeof offsets);
  std::memcpy(offsets, c.data.data(), sizeof offsets);
  CHECK(offsets[0] == 1);
  CHECK(offsets[1] == 2);
  CHECK(offsets[2] == 3);
  CHECK(content(c.children[0].data) == std::string("\0\1\1", 3));
  CHECK(content(c.children[0].children[0].data) == std::string("\7\0\0", 3));

  // Without a null on either side no map appears; with one on the right it covers the left.
  auto plain = made("Nullable(Int8)"), null = made("Nullable(Int8)");
  plain.children[0].data.push(char{1});
  ++plain.children[0].rows;
  ++plain.rows;
  append_default(null);
  auto sum = made("Nullable(Int8)");
  append_rows(sum, plain);
  append_rows(sum, plain);
  append_rows(sum, null);
  append_rows(sum, plain);
  CHECK(content(sum.data) == std::string("\0\0\1\0", 4));
  CHECK(sum.children[0].rows == 4);
}

TEST_CASE("a record's hash tells null from empty and key from value, and never changes") {
  const std::string_view a = "a", ab = "ab", b = "b", c = "c", bc = "bc", none = "";
  CHECK(record_hash(1, a, bc) != record_hash(1, ab, c));
  CHECK(record_hash(1, std::nullopt, a) != record_hash(1, none, a));
  CHECK(record_hash(1, a, std::nullopt) != record_hash(1, a, none));
  CHECK(record_hash(1, a, b) != record_hash(1, b, a));
  CHECK(record_hash(1, a, b) != record_hash(2, a, b));
  CHECK(record_hash(1'700'000'000'000, ab, bc) == record_hash(1'700'000'000'000, ab, bc));
  // Stored in the state of lanes: a change would look like another log.
  CHECK(record_hash(1'700'000'000'000, ab, bc) == 4'093'822'984'579'344'684u);
  CHECK(record_hash(-1, std::nullopt, std::nullopt) == 12'946'369'672'869'181'992u);
}

TEST_CASE("the memory of a chunk counts what it holds") {
  chunk c;
  const auto before = c.byte_size();
  c.rows.names = {"a"};
  c.rows.columns.push_back(made("String"));
  append_text(c.rows.columns[0], std::string(5000, 'x'));
  c.dead.push_back({});
  c.dead[0].value = std::string(7000, 'y');
  CHECK(c.byte_size() >= before + 12'000);
}
