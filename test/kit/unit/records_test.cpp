#include "test/kit/records.hpp"
#include "test/kit/row_binary.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace chute::kit;

namespace {

std::vector<row_column> table_of(shape s) {
  using text = std::pair<const char*, const char*>;
  const std::vector<text> columns = s == shape::orders ? std::vector<text>{{"id", "UInt64"},
                                                                           {"ordered_at", "DateTime64(3)"},
                                                                           {"customer", "UInt32"},
                                                                           {"status", "LowCardinality(String)"},
                                                                           {"product", "String"},
                                                                           {"note", "Nullable(String)"},
                                                                           {"quantity", "UInt32"},
                                                                           {"price", "Float64"},
                                                                           {"country", "FixedString(2)"},
                                                                           {"tags", "Array(String)"},
                                                                           {"attributes", "Map(String, String)"}}
                                                       : std::vector<text>{{"id", "UInt64"}, {"text", "String"}};
  std::vector<row_column> out;
  for (const auto& [name, type] : columns) {
    row_column c{row_column::from::field, name, parse_value_type(type), {}};
    render_default(c.type, c.default_bytes);
    out.push_back(std::move(c));
  }
  return out;
}

} // namespace

TEST_CASE("the same seed makes the same records, another seed others") {
  record_maker a({shape::orders, 7, 250, 10}), b({shape::orders, 7, 250, 10}), c({shape::orders, 8, 250, 10});
  made_record ra, rb, rc;
  int differ = 0;
  for (std::uint64_t i = 0; i < 500; i++) {
    a.make(i, ra);
    b.make(i, rb);
    c.make(i, rc);
    CHECK(ra.value == rb.value);
    differ += ra.value != rc.value;
  }
  CHECK(differ > 450);
  b.make(3, rb); // does not hang on the order
  a.make(3, ra);
  CHECK(ra.value == rb.value);
}

TEST_CASE("sound records are rows to the oracle, broken ones are not, and all ways to break one occur") {
  for (shape s : {shape::orders, shape::small}) {
    record_maker maker({s, 3, 250, 5});
    renderer oracle(table_of(s));
    made_record r;
    std::string row;
    std::set<std::string> ways;
    for (std::uint64_t i = 0; i < 20'000; i++) {
      maker.make(i, r);
      raw_record raw{1, {}, r.tombstone ? std::nullopt : std::optional<std::string_view>(r.value)};
      const verdict v = oracle.render(raw, row);
      INFO(std::string(r.broken ? r.broken : "sound") << ": " << r.value);
      if (!r.broken) REQUIRE(v == verdict::row);
      else REQUIRE(v != verdict::row);
      if (r.broken) ways.insert(r.broken);
    }
    CHECK(ways.size() == ways_to_break(s));
  }
}

TEST_CASE("records are about as long as they should be") {
  record_maker maker({shape::orders, 1, 250, 0});
  made_record r;
  std::size_t all = 0;
  for (std::uint64_t i = 0; i < 10'000; i++) {
    maker.make(i, r);
    all += r.value.size();
  }
  CHECK(all / 10'000 > 230);
  CHECK(all / 10'000 < 290);
}
