// bench-json: what decoding JSON costs, against a loop written by hand for one shape of record (simdjson On-Demand,
// columns in Native's layout, no checks beyond parsing). Both read the same records from memory, take turns, and the
// medians of CPU time are compared.
//
//   bench-json [records in millions, 1] [rounds, 7] [records a chunk, 4096]
#include "orders.hpp"

#include "formats/json.hpp"
#include "formats/json_index.hpp"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace chute::bench {
namespace {

// -- the loop written by hand ---------------------------------------------------------------------------------------

class hand_loop {
public:
  void add(const char* value, std::size_t size) {
    if (size + simdjson::SIMDJSON_PADDING > padded_.size()) padded_.resize(2 * (size + simdjson::SIMDJSON_PADDING));
    std::memcpy(padded_.data(), value, size);
    room_ = size + simdjson::SIMDJSON_PADDING + 10;
    auto document = parser_.iterate(padded_.data(), size, padded_.size());
    int next = 0;
    for (auto field : document.get_object()) {
      const char* key = field.key().value().raw();
      while (std::memcmp(key, names_[next].data(), names_[next].size()) != 0) ++next;
      take(next++, field.value().value());
    }
    ++rows;
  }
  void clear() {
    for (auto& b : out_) b.clear();
    tags_ = pairs_ = 0;
  }
  std::size_t rows = 0;

private:
  void take(int i, simdjson::ondemand::value v) {
    switch (i) {
    case 0: return out_[0].push(v.get_uint64().value());
    case 1: return out_[1].push(milliseconds(v.get_raw_json_string().value().raw()));
    case 2: return out_[2].push(static_cast<std::uint32_t>(v.get_uint64().value()));
    case 3: return text(v.get_raw_json_string().value(), out_[3]);
    case 4: {
      const bool null = v.is_null();
      out_[11].push(null);
      if (null) return out_[4].push(char{0});
      return text(v.get_raw_json_string().value(), out_[4]);
    }
    case 5: return out_[5].push(static_cast<std::uint32_t>(v.get_uint64().value()));
    case 6: return out_[6].push(v.get_double().value());
    case 7: {
      char two[64];
      if (unescape(v.get_raw_json_string().value(), two) != 2) std::abort();
      return out_[7].append(two, 2);
    }
    case 8:
      for (auto tag : v.get_array()) text(tag.get_raw_json_string().value(), out_[8]), ++tags_;
      return out_[12].push(tags_);
    case 9: return text(v.get_raw_json_string().value(), out_[9]);
    default:
      for (auto pair : v.get_object()) {
        text(pair.key().value(), out_[10]);
        text(pair.value().get_raw_json_string().value(), out_[14]);
        ++pairs_;
      }
      return out_[13].push(pairs_);
    }
  }

  void text(simdjson::ondemand::raw_json_string from, bytes& to) {
    const std::size_t before = to.size();
    char* at = to.extend(room_);
    const std::size_t n = unescape(from, at + 1);
    if (n >= 0x80) std::abort(); // none of the records has longer texts
    *at = static_cast<char>(n);
    to.truncate(before + 1 + n);
  }

  std::size_t unescape(simdjson::ondemand::raw_json_string from, char* to) {
#ifdef __SSE2__
    const char* s = from.raw();
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    for (std::size_t done = 0; done + 16 < room_; done += 16) {
      const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(s + done));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + done), part);
      const auto quotes = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(part, quote)));
      const auto escapes = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(part, backslash)));
      if ((quotes - 1) & escapes) break;
      if (quotes) return done + static_cast<std::size_t>(std::countr_zero(quotes));
    }
#endif
    auto* end = reinterpret_cast<std::uint8_t*>(to);
    return parser_.unescape(from, end).value().size();
  }

  static std::int64_t milliseconds(const char* s) {
    const auto digits = [s](int from, int to) {
      int n = 0;
      for (int i = from; i < to; ++i) {
        const unsigned d = static_cast<unsigned char>(s[i]) - unsigned{'0'};
        if (d > 9) std::abort();
        n = n * 10 + static_cast<int>(d);
      }
      return n;
    };
    const std::chrono::year_month_day day{std::chrono::year(digits(0, 4)),
                                          std::chrono::month(static_cast<unsigned>(digits(5, 7))),
                                          std::chrono::day(static_cast<unsigned>(digits(8, 10)))};
    const std::int64_t seconds = std::chrono::sys_days(day).time_since_epoch().count() * std::int64_t{86'400} +
                                 digits(11, 13) * 3600 + digits(14, 16) * 60 + digits(17, 19);
    if (s[23] != 'Z') std::abort();
    return seconds * 1000 + digits(20, 23);
  }

  const std::vector<std::string> names_ = {"id\"",   "ordered_at\"", "customer\"",  "status\"",
                                           "note\"", "quantity\"",   "price\"",     "country\"",
                                           "tags\"", "product\"",    "attributes\""};
  simdjson::ondemand::parser parser_;
  std::vector<char> padded_;
  std::size_t room_ = 0;
  std::uint64_t tags_ = 0, pairs_ = 0;
  bytes out_[15];
};

// -- both, in turn ------------------------------------------------------------------------------------------------

int run(std::size_t millions, std::size_t rounds, std::size_t chunk_records) {
  constexpr std::size_t distinct = 50'000;
  const record_set set = records_of(make_orders(distinct), as_json);
  const std::size_t count = millions * 1'000'000;
  const auto views = set.views();
  auto made = make_json_decoder(order_columns(), {});
  if (!made) return std::fprintf(stderr, "%s\n", made.failure().text().c_str()), 1;
  decoder& d = **made;
  hand_loop hand;
  json::token_index index;
  std::vector<double> by_hand, by_chute, by_index;
  const double per_million = 1e6 / static_cast<double>(count);
  for (std::size_t round = 0; round < rounds; ++round) {
    double t = cpu_s();
    for (std::size_t i = 0; i < count; ++i) {
      const auto& v = *views[i % distinct].value;
      hand.add(v.data(), v.size());
      if (i % 50'000 == 0) hand.clear();
    }
    by_hand.push_back((cpu_s() - t) * per_million);
    t = cpu_s();
    std::size_t rows = 0;
    for (std::size_t i = 0; i < count;) {
      const std::size_t from = i % distinct, n = std::min({chunk_records, distinct - from, count - i});
      chunk out;
      d.decode(std::span(views).subspan(from, n), no_headers(), out);
      rows += out.rows.rows;
      i += n;
    }
    by_chute.push_back((cpu_s() - t) * per_million);
    if (rows != count) return std::fprintf(stderr, "%zu of %zu records became rows\n", rows, count), 1;
    t = cpu_s();
    for (std::size_t i = 0; i < count;) {
      index.clear();
      while (i < count && index.bytes() < json::token_index::batch_bytes) index.add(*views[i++ % distinct].value);
      index.build();
    }
    by_index.push_back((cpu_s() - t) * per_million);
  }
  std::printf("simdjson: %s for stage 1, %s for On-Demand\n", simdjson::get_active_implementation()->name().c_str(),
              simdjson::builtin_implementation()->name().c_str());
  std::printf("bytes a record %.0f, records a chunk %zu, rounds %zu; CPU seconds per million records, medians\n",
              static_cast<double>(set.memory.size()) / distinct, chunk_records, rounds);
  std::printf("  by hand      %.3f\n  chute        %.3f  (copy and token index alone %.3f)\n  ratio        %.2f\n",
              median(by_hand), median(by_chute), median(by_index), median(by_chute) / median(by_hand));
  return 0;
}

} // namespace
} // namespace chute::bench

int main(int argc, char** argv) {
  const auto number = [&](int i, std::size_t otherwise) {
    return argc > i ? static_cast<std::size_t>(std::strtoull(argv[i], nullptr, 10)) : otherwise;
  };
  return chute::bench::run(std::max<std::size_t>(number(1, 1), 1), std::max<std::size_t>(number(2, 7), 1),
                           std::max<std::size_t>(number(3, 4096), 1));
}
