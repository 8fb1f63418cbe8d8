// Builds small Native blocks: for the rows that chute writes for itself.
// Layout: varint columns, varint rows; a column: name, type, then its values (ClickHouse's documentation of Native).
#pragma once

#include "core/block.hpp"

#include <optional>
#include <string_view>

namespace chute::clickhouse {

inline void append_text(bytes& out, std::string_view s) {
  append_varint(out, s.size());
  out.append(s.data(), s.size());
}

class native_rows {
public:
  native_rows(std::size_t columns, std::size_t rows) {
    append_varint(out_, columns);
    append_varint(out_, rows);
  }
  // The caller appends exactly `rows` values to what it gets back, before the next column.
  bytes& column(std::string_view name, std::string_view type) {
    append_text(out_, name);
    append_text(out_, type);
    return out_;
  }
  std::string_view view() const { return {out_.data(), out_.size()}; }

private:
  bytes out_;
};

// Nullable(String): first a byte a row, then the texts, empty where null. `at(i)` gives the i-th optional text.
template <class F> void append_nullable_texts(bytes& out, std::size_t rows, F at) {
  for (std::size_t i = 0; i < rows; ++i) out.push<std::uint8_t>(at(i) ? 0 : 1);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto& text = at(i);
    append_text(out, text ? std::string_view(*text) : std::string_view{});
  }
}

} // namespace chute::clickhouse
