// Columns as text, to compare what decoders made: numbers as they are stored (dates as days, times as ticks), texts in
// quotes, [] arrays, () tuples, {} maps, null.
#pragma once

#include "formats/columns.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

template <> struct doctest::StringMaker<std::vector<std::string>> {
  static doctest::String convert(const std::vector<std::string>& lines) {
    std::string out;
    for (const auto& l : lines) out += "\n  " + l;
    return out.c_str();
  }
};

namespace chute::test {

template <class T> T load(const char* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// A signed whole number of up to 32 bytes, in decimal.
inline std::string show_wide(const char* p, std::uint32_t width, bool is_signed) {
  std::vector<unsigned> digits(width);
  bool negative = is_signed && (static_cast<unsigned char>(p[width - 1]) & 0x80);
  unsigned carry = negative ? 1 : 0;
  for (std::uint32_t i = 0; i < width; ++i) {
    unsigned b = static_cast<unsigned char>(p[i]);
    if (negative) {
      b = (~b & 0xff) + carry;
      carry = b >> 8;
      b &= 0xff;
    }
    digits[i] = b;
  }
  std::string out;
  for (bool any = true; any;) {
    unsigned rest = 0;
    any = false;
    for (std::uint32_t i = width; i-- > 0;) {
      const unsigned v = rest * 256 + digits[i];
      digits[i] = v / 10;
      rest = v % 10;
      any |= digits[i] != 0;
    }
    out.insert(out.begin(), static_cast<char>('0' + rest));
  }
  return negative ? "-" + out : out;
}

inline std::string show_fixed(const column& c, const char* p) {
  char text[64];
  switch (c.type->kind) {
  case type_kind::float32: return std::snprintf(text, sizeof text, "%.9g", static_cast<double>(load<float>(p))), text;
  case type_kind::float64: return std::snprintf(text, sizeof text, "%.17g", load<double>(p)), text;
  case type_kind::fixed_string: return "'" + std::string(p, c.width) + "'";
  case type_kind::uuid:
    std::snprintf(text, sizeof text, "%016llx%016llx", load<unsigned long long>(p), load<unsigned long long>(p + 8));
    return text;
  case type_kind::ipv6: {
    std::string out;
    for (std::uint32_t i = 0; i < 16; ++i)
      std::snprintf(text, sizeof text, "%02x", static_cast<unsigned>(static_cast<unsigned char>(p[i]))), out += text;
    return out;
  }
  case type_kind::decimal: {
    auto digits = show_wide(p, c.width, true);
    const bool negative = digits[0] == '-';
    if (negative) digits.erase(0, 1);
    while (digits.size() <= c.type->scale) digits.insert(0, "0");
    if (c.type->scale) digits.insert(digits.size() - c.type->scale, ".");
    return (negative ? "-" : "") + digits;
  }
  default: break;
  }
  const auto k = c.type->kind;
  const bool is_unsigned = (k >= type_kind::uint8 && k <= type_kind::uint256) || k == type_kind::boolean ||
                           k == type_kind::date || k == type_kind::datetime || k == type_kind::ipv4 ||
                           k == type_kind::bfloat16;
  return show_wide(p, c.width, !is_unsigned);
}

inline std::vector<std::string> show(const column& c) {
  std::vector<std::string> out;
  std::vector<std::vector<std::string>> inner;
  for (const auto& child : c.children) inner.push_back(show(child));
  const char* p = c.data.data();
  switch (c.form) {
  case layout::fixed:
    REQUIRE(c.data.size() == c.rows * c.width);
    for (std::size_t i = 0; i < c.rows; ++i) out.push_back(show_fixed(c, p + i * c.width));
    break;
  case layout::text: {
    const char* const end = p + c.data.size();
    for (std::size_t i = 0; i < c.rows; ++i) {
      std::uint64_t n = 0;
      for (int shift = 0;; shift += 7) {
        REQUIRE(p < end);
        const auto b = static_cast<unsigned char>(*p++);
        n |= std::uint64_t{b & 0x7fu} << shift;
        if (!(b & 0x80)) break;
      }
      REQUIRE(n <= static_cast<std::uint64_t>(end - p));
      out.push_back("'" + std::string(p, n) + "'");
      p += n;
    }
    REQUIRE(p == end);
    break;
  }
  case layout::array: {
    REQUIRE(c.data.size() == c.rows * 8);
    std::uint64_t from = 0;
    for (std::size_t i = 0; i < c.rows; ++i) {
      const auto to = load<std::uint64_t>(p + i * 8);
      REQUIRE(to <= inner[0].size());
      std::string s;
      for (; from < to; ++from) s += (s.empty() ? "" : ", ") + inner[0][from];
      out.push_back(c.type->kind == type_kind::map ? "{" + s + "}" : "[" + s + "]");
    }
    REQUIRE(from == inner[0].size());
    break;
  }
  case layout::tuple:
    for (std::size_t i = 0; i < c.rows; ++i) {
      std::string s;
      for (const auto& child : inner) {
        REQUIRE(child.size() == c.rows);
        s += (s.empty() ? "" : ", ") + child[i];
      }
      out.push_back("(" + s + ")");
    }
    break;
  case layout::nullable:
    REQUIRE(inner[0].size() == c.rows);
    REQUIRE((c.data.empty() || c.data.size() == c.rows));
    for (std::size_t i = 0; i < c.rows; ++i) out.push_back(!c.data.empty() && p[i] ? "null" : inner[0][i]);
    break;
  case layout::variant: {
    REQUIRE(c.data.size() == c.rows);
    std::vector<std::size_t> at(inner.size());
    for (std::size_t i = 0; i < c.rows; ++i) {
      const auto which = static_cast<unsigned char>(p[i]);
      if (which == 255) {
        out.push_back("null");
        continue;
      }
      REQUIRE(which < inner.size());
      REQUIRE(at[which] < inner[which].size());
      out.push_back(c.children[which].type->text + ":" + inner[which][at[which]++]);
    }
    break;
  }
  }
  REQUIRE(out.size() == c.rows);
  return out;
}

struct plain_headers : header_source {
  void headers(const record_view&, std::vector<header_view>& out) const override { out.clear(); }
};

inline target_column field(const std::string& name, const std::string& type, const std::string& path = "",
                           const std::string& expression = "") {
  return {{name, *parse_type(type), expression.empty() ? "" : "DEFAULT", expression},
          {column_source::from::field, path.empty() ? name : path},
          nullptr};
}

// What becomes of each value: "a, b, …" of its columns, with " | " between the rows if it makes several, "dropped", or
// "! " and the error. In two calls: the second
// goes on with the columns of the first.
inline std::vector<std::string> decode_values(decoder& d, const std::vector<std::optional<std::string>>& values,
                                              chunk& out) {
  std::vector<record_view> records;
  for (const auto& v : values) {
    record_view r{};
    r.offset = {static_cast<std::int64_t>(records.size())};
    r.timestamp_ms = 1'700'000'000'123;
    if (v) r.value = *v;
    records.push_back(r);
  }
  const plain_headers headers;
  const auto half = records.size() / 2;
  d.decode({records.data(), half}, headers, out);
  d.decode({records.data() + half, records.size() - half}, headers, out);
  REQUIRE(out.outcomes.size() == records.size());
  std::vector<std::vector<std::string>> columns;
  for (const auto& c : out.rows.columns) {
    REQUIRE(c.rows == out.rows.rows);
    columns.push_back(show(c));
  }
  std::vector<std::string> shown;
  std::size_t row = 0, dead = 0;
  for (std::size_t record = 0; record < out.outcomes.size(); ++record) {
    const auto o = out.outcomes[record];
    if (o == outcome::dropped) shown.push_back("dropped");
    else if (o == outcome::row) {
      std::string s;
      for (std::size_t n = out.rows_of(record); n > 0; --n, ++row) {
        s += s.empty() ? "" : " | ";
        for (std::size_t i = 0; i < columns.size(); ++i) s += (i ? ", " : "") + columns[i].at(row);
      }
      shown.push_back(s);
    } else shown.push_back("! " + out.dead.at(dead++).error);
  }
  REQUIRE(row == out.rows.rows);
  REQUIRE(dead == out.dead.size());
  return shown;
}

inline std::vector<std::string> decode_values(const std::string& format, std::vector<target_column> targets,
                                              const decoder_options& options,
                                              const std::vector<std::optional<std::string>>& values) {
  auto d = make_decoder(format, std::move(targets), options);
  REQUIRE_MESSAGE(d.ok(), (d.ok() ? "" : d.failure().text()));
  chunk out;
  return decode_values(**d, values, out);
}

using lines = std::vector<std::string>;

} // namespace chute::test
