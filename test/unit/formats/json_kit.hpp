// JSON texts in, columns out, and what the columns hold as text that a test can compare. The reading back shares no
// code with the decoder.
#pragma once

#include "formats/columns.hpp"
#include "formats/json.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chute::json_test {

struct no_headers : header_source {
  void headers(const record_view&, std::vector<header_view>&) const override {}
};

inline target_column target(const std::string& name, const std::string& type, const std::string& path = "",
                            const std::string& expression = "") {
  return {{name, *parse_type(type), expression.empty() ? "" : "DEFAULT", expression},
          {column_source::from::field, path.empty() ? name : path},
          nullptr};
}

inline std::unique_ptr<decoder> decoder_of(std::vector<target_column> targets, decoder_options options = {}) {
  auto d = make_json_decoder(std::move(targets), std::move(options));
  REQUIRE_MESSAGE(d.ok(), (d.ok() ? "" : d.failure().text()));
  return std::move(*d);
}

inline void decode_into(decoder& d, const std::vector<std::optional<std::string>>& values, chunk& out) {
  std::vector<record_view> records;
  for (const auto& v : values) {
    record_view r{};
    r.offset = {static_cast<std::int64_t>(out.outcomes.size() + records.size())};
    if (v) r.value = *v;
    records.push_back(r);
  }
  d.decode(records, no_headers{}, out);
}

inline chunk decoded(std::vector<target_column> targets, const std::vector<std::optional<std::string>>& values,
                     decoder_options options = {}) {
  auto d = decoder_of(std::move(targets), std::move(options));
  chunk out;
  decode_into(*d, values, out);
  REQUIRE(out.outcomes.size() == values.size());
  for (const auto& c : out.rows.columns) REQUIRE(c.rows == out.rows.rows);
  return out;
}

// -- reading back ---------------------------------------------------------------------------------------------------

// Two's complement of any width as decimal digits.
inline std::string digits_of(const char* at, std::size_t width, bool is_signed) {
  std::vector<unsigned> bytes;
  for (std::size_t i = 0; i < width; ++i) bytes.push_back(static_cast<unsigned char>(at[i]));
  const bool negative = is_signed && bytes.back() & 0x80;
  unsigned carry = 1;
  if (negative)
    for (auto& b : bytes) {
      b = (~b & 0xff) + carry;
      carry = b >> 8;
      b &= 0xff;
    }
  std::string out;
  while (std::any_of(bytes.begin(), bytes.end(), [](unsigned b) { return b != 0; })) {
    unsigned rest = 0;
    for (auto b = bytes.rbegin(); b != bytes.rend(); ++b) {
      rest = rest * 256 + *b;
      *b = rest / 10;
      rest %= 10;
    }
    out += static_cast<char>('0' + rest);
  }
  if (out.empty()) out = "0";
  if (negative) out += '-';
  return {out.rbegin(), out.rend()};
}

template <class T> T load(const column& c, std::size_t row) {
  T v;
  REQUIRE(c.data.size() >= (row + 1) * sizeof v);
  std::memcpy(&v, c.data.data() + row * sizeof v, sizeof v);
  return v;
}

template <class T> std::string shortest(T v) {
  char buf[64];
  return {buf, std::to_chars(buf, buf + sizeof buf, v).ptr};
}

inline std::string hex(std::string_view bytes) {
  std::string out;
  for (unsigned char c : bytes) {
    out += "0123456789abcdef"[c >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  return out;
}

inline std::string text_at(const column& c, std::size_t row) {
  const char* p = c.data.data();
  for (std::size_t i = 0;; ++i) {
    std::size_t size = 0;
    for (int shift = 0;; shift += 7) {
      REQUIRE(p < c.data.data() + c.data.size());
      const auto b = static_cast<unsigned char>(*p++);
      size |= static_cast<std::size_t>(b & 0x7f) << shift;
      if (b < 0x80) break;
    }
    REQUIRE(p + size <= c.data.data() + c.data.size());
    if (i == row) return {p, size};
    p += size;
  }
}

// Numbers, dates and times as the integers that they are stored as, floats in their shortest form, a text in quotes,
// "[a,b]", "(a,b)", "null", and of a Variant or Dynamic "Type:value".
inline std::string shown(const column& c, std::size_t row) {
  REQUIRE(row < c.rows);
  const auto list = [&](char open, char close, std::size_t from, std::size_t to, auto&& one) {
    std::string out(1, open);
    for (auto i = from; i < to; ++i) out += (i == from ? "" : ",") + one(i);
    return out + close;
  };
  switch (c.form) {
  case layout::text: return "'" + text_at(c, row) + "'";
  case layout::array: {
    const auto from = row ? load<std::uint64_t>(c, row - 1) : 0, to = load<std::uint64_t>(c, row);
    return list('[', ']', from, to, [&](std::size_t i) { return shown(c.children[0], i); });
  }
  case layout::tuple:
    return list('(', ')', 0, c.children.size(), [&](std::size_t i) { return shown(c.children[i], row); });
  case layout::nullable:
    REQUIRE((c.data.empty() || c.data.size() == c.rows));
    return !c.data.empty() && c.data.data()[row] ? "null" : shown(c.children[0], row);
  case layout::variant: {
    const auto which = static_cast<unsigned char>(c.data.data()[row]);
    if (which == 255) return "null";
    const auto before = std::count(c.data.data(), c.data.data() + row, static_cast<char>(which));
    const auto& values = c.children[which];
    return values.type->text + ":" + shown(values, static_cast<std::size_t>(before));
  }
  case layout::fixed: break;
  }
  REQUIRE(c.data.size() == c.rows * c.width);
  const char* at = c.data.data() + row * c.width;
  switch (c.type->kind) {
  case type_kind::float64: return shortest(load<double>(c, row));
  case type_kind::float32: return shortest(load<float>(c, row));
  case type_kind::fixed_string: return "'" + std::string(at, c.width) + "'";
  case type_kind::bfloat16:
  case type_kind::uuid:
  case type_kind::ipv6: return hex({at, c.width});
  case type_kind::uint8:
  case type_kind::uint16:
  case type_kind::uint32:
  case type_kind::uint64:
  case type_kind::uint128:
  case type_kind::uint256:
  case type_kind::boolean:
  case type_kind::ipv4:
  case type_kind::date:
  case type_kind::datetime: return digits_of(at, c.width, false);
  default: return digits_of(at, c.width, true);
  }
}

// -- one value ------------------------------------------------------------------------------------------------------

// What the JSON text becomes in a column of the type: as shown(), or "! " and what the record's error says of it.
// It stands between two neighbours, which must land, and the same comes out if it is the only record.
inline std::string became(const std::string& type, const std::string& json, decoder_options options = {}) {
  const std::vector<target_column> targets = {target("before", "UInt32"), target("c", type), target("after", "String")};
  const std::string record = R"({"before":1,"c":)" + json + R"(,"after":"x"})";
  const std::string neighbour = R"({"before":7,"after":"neighbour"})";
  const auto out = decoded(targets, {neighbour, record, neighbour}, options);
  CHECK(out.outcomes[0] == outcome::row);
  CHECK(out.outcomes[2] == outcome::row);
  const bool landed = out.outcomes[1] == outcome::row;
  const std::size_t last = landed ? 2 : 1;
  REQUIRE(out.rows.rows == last + 1);
  CHECK(shown(out.rows.columns[0], last) == "7");
  CHECK(shown(out.rows.columns[2], last) == "'neighbour'");
  CHECK(shown(out.rows.columns[1], last) == shown(out.rows.columns[1], 0));

  const auto alone = decoded(targets, {record}, options);
  if (landed) {
    CHECK(out.dead.empty());
    const auto value = shown(out.rows.columns[1], 1);
    REQUIRE(alone.rows.rows == 1);
    CHECK(shown(alone.rows.columns[1], 0) == value);
    return value;
  }
  REQUIRE(out.dead.size() == 1);
  REQUIRE(alone.dead.size() == 1);
  CHECK(alone.dead[0].error == out.dead[0].error);
  CHECK(out.dead[0].value == record);
  const auto subject = "field 'c' for column 'c' (" + (*parse_type(type))->text + ")";
  const auto& error = out.dead[0].error;
  return error.starts_with(subject) ? "!" + error.substr(subject.size()) : "! " + error;
}

using value_case = std::pair<const char*, const char*>; // JSON text, what it becomes

inline void check(const std::string& type, const std::vector<value_case>& cases) {
  for (const auto& [json, expected] : cases) {
    CAPTURE(type);
    CAPTURE(json);
    CHECK(became(type, json) == expected);
  }
}

} // namespace chute::json_test
