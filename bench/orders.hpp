// The orders that the benchmarks of decoders read, in any format, and the table that takes them.
#pragma once

#include "formats/columns.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace chute::bench {

inline double cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

inline double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

struct order {
  std::size_t id = 0;
  int month = 1, day = 1, hour = 0, minute = 0, second = 0, milli = 0;
  int customer = 0, quantity = 0, cents = 0;
  std::string status, note, country, product, campaign; // note and campaign: empty, there is none
  std::vector<std::string> tags;
  bool noted = false;
};

inline std::string words(std::mt19937_64& dice, std::size_t bytes) {
  static const char* const list[] = {"copper", "lamp", "with", "a", "shade", "of", "linen", "and", "oak", "18", "cm"};
  std::string out;
  while (out.size() < bytes) out += std::string(out.empty() ? "" : " ") + list[dice() % std::size(list)];
  if (dice() % 50 == 0) out += " \"new\"";
  return out;
}

inline std::vector<order> make_orders(std::size_t count) {
  static const char* const statuses[] = {"new", "paid", "packed", "shipped", "returned"};
  static const char* const countries[] = {"DE", "FR", "PL", "US", "JP"};
  static const char* const tags[] = {"gift", "express", "fragile", "b2b", "repeat"};
  std::mt19937_64 dice(7);
  const auto below = [&](std::uint64_t n) { return static_cast<int>(dice() % n); };
  std::vector<order> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    order& o = out[i];
    o.id = i;
    o.month = 1 + below(12), o.day = 1 + below(28), o.hour = below(24), o.minute = below(60), o.second = below(60);
    o.milli = below(1000), o.customer = below(100'000);
    o.status = statuses[dice() % 5];
    o.noted = dice() % 6 != 0;
    if (o.noted) o.note = words(dice, 5 + dice() % 30);
    o.quantity = 1 + below(20), o.cents = below(100'000);
    o.country = countries[dice() % 5];
    for (std::size_t n = dice() % 4; n > 0; --n) o.tags.emplace_back(tags[dice() % 5]);
    o.product = words(dice, 20 + dice() % 30);
    if (dice() % 8) o.campaign = "c" + std::to_string(dice() % 500);
  }
  return out;
}

inline std::string moment_of(const order& o) {
  char text[48];
  std::snprintf(text, sizeof text, "2026-%02d-%02dT%02d:%02d:%02d.%03dZ", o.month, o.day, o.hour, o.minute, o.second,
                o.milli);
  return text;
}

inline std::string price_of(const order& o) {
  char text[24];
  std::snprintf(text, sizeof text, "%d.%02d", o.cents / 100, o.cents % 100);
  return text;
}

inline std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\\\"" : std::string(1, c);
  return out + "\"";
}

inline std::string as_json(const order& o) {
  std::string v = "{\"id\":" + std::to_string(o.id) + ",\"ordered_at\":\"" + moment_of(o) +
                  "\",\"customer\":" + std::to_string(o.customer) + ",\"status\":" + quoted(o.status) +
                  ",\"note\":" + (o.noted ? quoted(o.note) : "null") + ",\"quantity\":" + std::to_string(o.quantity) +
                  ",\"price\":" + price_of(o) + ",\"country\":" + quoted(o.country) + ",\"tags\":[";
  for (std::size_t i = 0; i < o.tags.size(); ++i) v += (i ? "," : "") + quoted(o.tags[i]);
  v += "],\"product\":" + quoted(o.product) + ",\"attributes\":{";
  if (!o.campaign.empty()) v += "\"channel\":\"web\",\"campaign\":" + quoted(o.campaign);
  return v + "}}";
}

// Records, one after another in memory, as in a fetch.
struct record_set {
  std::string memory;
  std::vector<std::pair<std::size_t, std::size_t>> places;

  std::vector<record_view> views() const {
    std::vector<record_view> out(places.size());
    for (std::size_t i = 0; i < places.size(); ++i) {
      out[i].offset = {static_cast<std::int64_t>(i)};
      out[i].timestamp_ms = 1;
      out[i].value = std::string_view(memory).substr(places[i].first, places[i].second);
    }
    return out;
  }
};

template <class F> record_set records_of(const std::vector<order>& orders, F&& write) {
  record_set set;
  for (const auto& o : orders) {
    const std::string v = write(o);
    set.places.emplace_back(set.memory.size(), v.size());
    set.memory += v;
  }
  return set;
}

class no_headers final : public header_source {
public:
  void headers(const record_view&, std::vector<header_view>&) const override {}
};

inline std::vector<target_column> order_columns() {
  std::vector<target_column> out;
  for (const auto& [name, type] :
       std::vector<std::pair<std::string, std::string>>{{"id", "UInt64"},
                                                        {"ordered_at", "DateTime64(3)"},
                                                        {"customer", "UInt32"},
                                                        {"status", "LowCardinality(String)"},
                                                        {"note", "Nullable(String)"},
                                                        {"quantity", "UInt32"},
                                                        {"price", "Float64"},
                                                        {"country", "FixedString(2)"},
                                                        {"tags", "Array(String)"},
                                                        {"product", "String"},
                                                        {"attributes", "Map(String, String)"}}) {
    target_column t;
    t.column.name = name;
    t.column.type = *parse_type(type);
    t.source = {column_source::from::field, name};
    out.push_back(t);
  }
  return out;
}

} // namespace chute::bench
