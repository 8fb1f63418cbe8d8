#include "formats/block_maker.hpp"

#include "json_kit.hpp"

using namespace chute;
using namespace chute::json_test;

namespace {

std::vector<target_column> some_targets() {
  return {target("id", "UInt64"), target("name", "String"), target("tags", "Array(String)"),
          target("note", "Nullable(String)"), target("attributes", "Map(String, String)")};
}

std::string order(std::size_t i, std::size_t name_size) {
  const auto n = std::to_string(100'000 + i);
  return R"({"id":)" + n + R"(,"name":")" + std::string(name_size + i % 7, 'n') + R"(","tags":["a","b)" + n +
         R"("],"note":null,"attributes":{"k":")" + n + R"("}})";
}

std::vector<std::optional<std::string>> orders(std::size_t count, std::size_t name_size = 20) {
  std::vector<std::optional<std::string>> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(order(i, name_size));
  return out;
}

// One of the chunks that the decoder makes.
chunk next_of(decoder& d, const std::vector<std::optional<std::string>>& values) {
  chunk out;
  decode_into(d, values, out);
  REQUIRE(out.rows.rows == values.size());
  return out;
}

void each_buffer(const column& c, const std::function<void(const column&)>& f) {
  f(c);
  for (const auto& child : c.children) each_buffer(child, f);
}

} // namespace

TEST_CASE("block_maker: a chunk gets the room that its records need, and little more") {
  auto d = decoder_of(some_targets());
  next_of(*d, orders(100));
  for (const std::size_t count : {100, 37, 1'000, 16'000, 100}) {
    const auto c = next_of(*d, orders(count));
    for (const auto& top : c.rows.columns)
      each_buffer(top, [&](const column& each) {
        INFO(count << " records: " << each.type->text);
        CHECK(each.data.capacity() <= each.data.size() + each.data.size() / 4 + 64);
      });
    // Each record's own fields are of one width: not a byte too many.
    CHECK(c.rows.columns[0].data.capacity() == count * 8);
    CHECK(c.offsets.capacity() == count);
  }
}

TEST_CASE("block_maker: huge records say nothing of small ones, nor small ones of huge ones") {
  auto d = decoder_of(some_targets());
  next_of(*d, orders(3, 4'000'000));
  const auto small = next_of(*d, orders(10'000));
  CHECK(small.rows.memory_size() < 3 * small.rows.byte_size());
  next_of(*d, orders(10'000));
  const auto huge = next_of(*d, orders(3, 4'000'000));
  CHECK(huge.rows.memory_size() < 3 * huge.rows.byte_size());
}

TEST_CASE("block_maker: columns are those of the targets, each chunk's own, and a chunk that has some keeps them") {
  const auto targets = some_targets();
  block_maker maker;
  const std::string value = "{}";
  record_view r{};
  r.value = value;
  chunk a, b;
  maker.begin(targets, {&r, 1}, a);
  for (auto& c : a.rows.columns) append_default(c);
  maker.end(a);
  maker.begin(targets, {&r, 1}, b);
  block expected;
  prepare_block(targets, expected);
  REQUIRE(b.rows.names == expected.names);
  REQUIRE(b.rows.columns.size() == expected.columns.size());
  for (std::size_t i = 0; i < expected.columns.size(); ++i) {
    CHECK(b.rows.columns[i].type->text == expected.columns[i].type->text);
    CHECK(b.rows.columns[i].form == expected.columns[i].form);
    CHECK(b.rows.columns[i].width == expected.columns[i].width);
    CHECK(b.rows.columns[i].length == expected.columns[i].length);
    CHECK(b.rows.columns[i].children.size() == expected.columns[i].children.size());
    CHECK(b.rows.columns[i].rows == 0);
    CHECK(a.rows.columns[i].rows == 1);
  }
  maker.begin(targets, {&r, 1}, a); // the same records in two calls
  maker.end(a);
  CHECK(a.rows.columns[0].rows == 1);
  CHECK(a.rows.columns.size() == targets.size());
}
