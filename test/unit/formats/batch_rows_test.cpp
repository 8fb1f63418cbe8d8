// Which rows of its chunks a batch holds, and how much work it is to find out.
#include "formats/batch_rows.hpp"

#include <doctest/doctest.h>

using namespace chute;

namespace {

// Every third record is a dead letter; `rows_each`: of every fifth that is none. 0: one, as everywhere.
chunk_ptr chunk_of(std::size_t records, std::uint8_t rows_each) {
  auto c = std::make_shared<chunk>();
  for (std::size_t i = 0; i < records; ++i) {
    const auto offset = static_cast<std::int64_t>(2 * i);
    c->offsets.push_back(offset);
    c->outcomes.push_back(i % 3 == 0 ? outcome::dead_letter : outcome::row);
    if (i % 3 == 0) c->dead.push_back({{0}, {offset}, 0, {}, {}, {}, "broken"});
    if (rows_each) c->row_counts.push_back(i % 3 == 0 ? 0 : i % 5 == 0 ? rows_each : 1);
    c->rows.rows += c->rows_of(i);
  }
  return c;
}

// As it is without any carrying.
std::size_t counted(const chunk& c, std::size_t k) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < k; ++i) n += c.rows_of(i);
  return n;
}

} // namespace

TEST_CASE("rows of a batch: a fill of many ranges in a chunk looks at each record once") {
  constexpr std::size_t ranges = 8'000, every = 7;
  for (std::uint8_t rows_each : {0, 4}) {
    const auto c = chunk_of(ranges * every, rows_each);
    batch b;
    for (std::size_t i = 0; i < ranges; ++i) b.ranges.push_back({c, i * every + i % 3, 1 + i % 4});
    row_counter count;
    const auto rows = rows_of(b, count);
    CHECK(count.looked_at() <= c->offsets.size());
    std::size_t at = 0;
    for (std::size_t i = 0; i < ranges; i += i < 30 ? 1 : 997) { // those at the beginning, and some
      const auto& r = b.ranges[i];
      const auto first = counted(*c, r.first), n = counted(*c, r.first + r.count) - first;
      while (at < rows.size() && rows[at].first_row < first) ++at;
      if (n == 0) continue;
      REQUIRE(at < rows.size());
      CHECK(rows[at].first_row == first);
      CHECK(rows[at].rows == n);
    }
  }
}

TEST_CASE("rows of a batch: chunks in any order, and ranges that go back") {
  const auto a = chunk_of(30, 4), b = chunk_of(20, 0);
  batch all;
  all.ranges = {{a, 3, 10}, {b, 0, 20}, {a, 13, 17}, {a, 0, 3}, {a, 0, 1}};
  row_counter count;
  const auto rows = rows_of(all, count);
  REQUIRE(rows.size() == 4); // the last range is a dead letter alone
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& r = all.ranges[i];
    CHECK(rows[i].from == r.from);
    CHECK(rows[i].first_row == counted(*r.from, r.first));
    CHECK(rows[i].rows == counted(*r.from, r.first + r.count) - counted(*r.from, r.first));
  }
}

TEST_CASE("rows of a batch: where each record is a row, nothing is counted") {
  auto c = std::make_shared<chunk>();
  for (int i = 0; i < 100; ++i) {
    c->offsets.push_back(i);
    c->outcomes.push_back(outcome::row);
  }
  c->rows.rows = 100;
  batch b;
  b.ranges = {{c, 10, 20}, {c, 50, 50}};
  row_counter count;
  const auto rows = rows_of(b, count);
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].first_row == 50);
  CHECK(rows[1].rows == 50);
  CHECK(count.looked_at() == 0);
}
