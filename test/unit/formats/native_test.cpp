#include "core/block.hpp"
#include "formats/encoder.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace chute;

namespace {

type_ptr parsed(const std::string& text) { return *parse_type(text); }

void put_text(column& c, std::string_view s) {
  append_varint(c.data, s.size());
  c.data.append(s.data(), s.size());
  ++c.rows;
}

// One random value. The depth shrinks with every level, so that arrays stay small.
void put_random(column& c, std::mt19937_64& random, unsigned depth) {
  const auto list = [&](column& elements) {
    for (auto n = random() % (depth + 1); n--;) put_random(elements, random, depth - 1);
    c.data.push(static_cast<std::uint64_t>(elements.rows));
    ++c.rows;
  };
  switch (c.form) {
  case layout::fixed:
    for (std::uint32_t i = 0; i < c.width; ++i) c.data.push(static_cast<char>(random()));
    ++c.rows;
    break;
  case layout::text: put_text(c, std::string(random() % 300, static_cast<char>('a' + random() % 26))); break;
  case layout::array: list(c.children[0]); break;
  case layout::tuple:
    for (auto& f : c.children) put_random(f, random, depth);
    ++c.rows;
    break;
  case layout::nullable:
    if (random() % 4 == 0) return append_default(c);
    put_random(c.children[0], random, depth);
    mark_not_null(c);
    ++c.rows;
    break;
  case layout::variant: {
    if (random() % 4 == 0) return append_default(c);
    const auto which = random() % c.children.size();
    put_random(c.children[which], random, depth ? depth - 1 : 0);
    c.data.push(static_cast<unsigned char>(which));
    ++c.rows;
    break;
  }
  }
}

chunk_ptr one_column(const std::string& type, const std::function<void(column&)>& fill) {
  auto c = std::make_shared<chunk>();
  c->rows.names = {"c"};
  c->rows.columns.push_back(make_column(parsed(type)));
  fill(c->rows.columns[0]);
  c->rows.rows = c->rows.columns[0].rows;
  return c;
}

std::string content(const body& b) {
  std::string out;
  for (const auto& p : b.pieces) out += p;
  CHECK(out.size() == b.byte_size());
  return out;
}

std::string encoded(const std::vector<chunk_rows>& batch) {
  auto b = encode_native(batch);
  REQUIRE_MESSAGE(b.ok(), (b.ok() ? "" : b.failure().text()));
  return content(*b);
}

std::string encoded(const chunk_ptr& c) { return encoded({{c, 0, c->rows.rows}}); }

std::string u64(std::uint64_t v) { return {reinterpret_cast<const char*>(&v), sizeof v}; }
std::string str(const std::string& s) { return std::string(1, static_cast<char>(s.size())) + s; }
// The begin of a block with one column.
std::string head(int rows, const std::string& type) {
  return std::string("\1") + static_cast<char>(rows) + str("c") + str(type);
}

} // namespace

TEST_CASE("the bytes of a block, as the engine writes them") {
  CHECK(encoded(one_column("UInt16", [](column& c) {
          c.data.push(std::uint16_t{258});
          ++c.rows;
        })) == head(1, "UInt16") + "\2\1");
  CHECK(encoded(one_column("Map(String, UInt8)", [](column& c) {
          append_default(c);
          put_text(c.children[0].children[0], "k");
          c.children[0].children[1].data.push('\7');
          ++c.children[0].children[1].rows;
          ++c.children[0].rows;
          c.data.push(std::uint64_t{1});
          ++c.rows;
        })) == head(2, "Map(String, UInt8)") + u64(0) + u64(1) + str("k") + "\7");
  CHECK(encoded(one_column("Array(JSON)", [](column& c) { append_default(c); })) ==
        head(1, "Array(JSON)") + u64(1) + u64(0));
  CHECK(encoded(one_column("Variant(String, UInt8)", [](column& c) {
          append_default(c);
          put_text(c.children[0], "x");
          c.data.push('\0');
          ++c.rows;
        })) == head(2, "Variant(String, UInt8)") + u64(0) + std::string("\xff\0", 2) + str("x"));
  CHECK(encoded(one_column("Tuple()", [](column& c) {
          append_default(c);
          append_default(c);
        })) == head(2, "Tuple()") + "00");
}

TEST_CASE("a batch without nulls is not Nullable on its way") {
  const auto fill = [](column& c) {
    put_text(c.children[0], "x");
    mark_not_null(c);
    ++c.rows;
  };
  const auto plain = one_column("Nullable(String)", fill);
  CHECK(encoded(plain) == head(1, "String") + str("x"));
  const auto with_null = one_column("Nullable(String)", [&](column& c) {
    fill(c);
    append_default(c);
    fill(c);
  });
  CHECK(encoded(with_null) == head(3, "Nullable(String)") + std::string("\0\1\0", 3) + str("x") + str("") + str("x"));
  // Only rows that are taken count.
  CHECK(encoded({{with_null, 2, 1}}) == head(1, "String") + str("x"));
  CHECK(encoded({{plain, 0, 1}, {with_null, 1, 1}}) ==
        head(2, "Nullable(String)") + std::string("\0\1", 2) + str("x") + str(""));
  // Inside of other types Nullable stays.
  CHECK(encoded(one_column("Tuple(Nullable(String))", [&](column& c) {
          fill(c.children[0]);
          ++c.rows;
        })) == head(1, "Tuple(Nullable(String))") + std::string(1, '\0') + str("x"));
}

TEST_CASE("a Map whose rows may take a DEFAULT travels as a tuple of arrays when one does") {
  const auto c = one_column("Nullable(Map(String, UInt8))", [](column& n) {
    auto& map = n.children[0];
    put_text(map.children[0].children[0], "k");
    map.children[0].children[1].data.push('\7');
    ++map.children[0].children[1].rows;
    ++map.children[0].rows;
    map.data.push(std::uint64_t{1});
    ++map.rows;
    mark_not_null(n);
    ++n.rows;
    append_default(n);
  });
  CHECK(encoded(c) == head(2, "Nullable(Tuple(Array(String), Array(UInt8)))") + std::string("\0\1", 2) + u64(1) +
                          u64(1) + str("k") + u64(1) + u64(1) + "\7");
  CHECK(encoded({{c, 0, 1}}) == head(1, "Map(String, UInt8)") + u64(1) + str("k") + "\7");
}

TEST_CASE("a Dynamic names the types that the batch uses, sorted, around the server's own") {
  const auto c = one_column("Dynamic", [](column& d) {
    const auto put = [&](dynamic_alternative a, auto value) {
      auto& values = d.children[static_cast<std::size_t>(a)];
      value(values);
      d.data.push(static_cast<char>(a));
      ++d.rows;
    };
    put(dynamic_alternative::string, [](column& v) { put_text(v, "x"); });
    put(dynamic_alternative::boolean, [](column& v) { append_default(v); });
    append_default(d);
    put(dynamic_alternative::uint64, [](column& v) { append_default(v); });
  });
  const std::string list = u64(1) + std::string("\0\3", 2) + str("Bool") + str("String") + str("UInt64") + u64(0);
  CHECK(encoded(c) ==
        head(4, "Dynamic") + list + std::string("\2\0\xff\3", 4) + std::string(1, '\0') + str("x") + u64(0));
  CHECK(encoded({{c, 1, 2}}) == head(2, "Dynamic") + u64(1) + std::string("\0\1", 2) + str("Bool") + u64(0) +
                                    std::string("\0\xff", 2) + std::string(1, '\0'));
}

TEST_CASE("what a chunk holds is not copied") {
  const auto c = one_column("Array(String)", [](column& a) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 1000; ++i) put_random(a, random, 3);
  });
  auto b = encode_native(std::vector<chunk_rows>{{c, 0, 1000}});
  REQUIRE(b.ok());
  const auto& column = c->rows.columns[0];
  const auto holds = [&](const bytes& data) {
    for (const auto& p : b->pieces)
      if (p.data() == data.data() && p.size() == data.size()) return true;
    return false;
  };
  CHECK(holds(column.data));
  CHECK(holds(column.children[0].data));
  CHECK(b->keep.size() == 1);
  CHECK(b->columns == std::vector<std::string>{"c"});
  CHECK(b->format == "Native");
  CHECK(b->rows == 1000);
  std::size_t copied = 0;
  for (const auto& own : b->own) copied += own->size();
  CHECK(copied < 100);
}

TEST_CASE("the bytes do not depend on how the rows were grouped in chunks") {
  const std::vector<std::string> types = {
      "UInt64",
      "Nullable(String)",
      "Array(Nullable(Map(String, Array(Int8))))",
      "Tuple(a String, b Array(Tuple(Int8, JSON)))",
      "Variant(Array(LowCardinality(Nullable(String))), LowCardinality(UInt8), String)",
      "Dynamic",
      "Nullable(Map(String, Array(String)))",
      "Array(Dynamic)",
      "Nullable(Tuple(a Dynamic, b FixedString(3)))",
  };
  std::mt19937_64 random(7);
  for (int round = 0; round < 60; ++round) {
    const std::size_t n = 1 + random() % 80;
    // The value of a row depends on the row alone, so every chunk can make it anew.
    const auto seed = random();
    const auto make = [&](std::size_t first, std::size_t count) {
      auto c = std::make_shared<chunk>();
      for (std::size_t i = 0; i < types.size(); ++i) {
        c->rows.names.push_back("c" + std::to_string(i));
        auto& column = c->rows.columns.emplace_back(make_column(parsed(types[i])));
        for (auto row = first; row < first + count; ++row) {
          std::mt19937_64 value(seed + row * 1000 + i);
          put_random(column, value, 3);
        }
      }
      c->rows.rows = count;
      return chunk_ptr(std::move(c));
    };
    const auto whole = make(0, n);
    const auto expected = encoded(whole);
    std::vector<chunk_rows> batch;
    for (std::size_t at = 0; at < n;) {
      const auto count = std::min<std::size_t>(random() % 20, n - at); // may be none
      const auto before = std::min<std::size_t>(random() % 3, at), after = random() % 3;
      batch.push_back({make(at - before, before + count + after), before, count});
      at += count;
    }
    CHECK(encoded(batch) == expected);
    // From one chunk, cut.
    const auto cut = random() % (n + 1);
    CHECK(encoded({{whole, 0, cut}, {whole, cut, n - cut}}) == expected);
  }
}

TEST_CASE("a body can be sent again: its pieces outlive the chunks' other owners") {
  auto c = one_column("String", [](column& s) { put_text(s, std::string(5000, 'x')); });
  auto b = encode_native(std::vector<chunk_rows>{{c, 0, 1}});
  REQUIRE(b.ok());
  const auto first = content(*b);
  c.reset();
  const body moved = std::move(*b);
  CHECK(content(moved) == first);
}

TEST_CASE("what is not a batch is an error") {
  CHECK_FALSE(encode_native({}).ok());
  const auto c = one_column("String", [](column& s) { append_default(s); });
  const auto other = one_column("UInt8", [](column& s) { append_default(s); });
  CHECK_FALSE(encode_native(std::vector<chunk_rows>{{c, 0, 0}}).ok());
  CHECK_FALSE(encode_native(std::vector<chunk_rows>{{c, 0, 2}}).ok());
  CHECK_FALSE(encode_native(std::vector<chunk_rows>{{c, 2, 1}}).ok());
  CHECK_FALSE(encode_native(std::vector<chunk_rows>{{c, 0, 1}, {other, 0, 1}}).ok());
}
