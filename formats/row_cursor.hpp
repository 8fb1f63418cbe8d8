// Columns read row by row, for the encodings that go through a batch by its rows.
#pragma once

#include "core/block.hpp"

#include <cstring>
#include <string_view>
#include <vector>

namespace chute {

// Stands before a row of a column. Its children stand before the values that belong to that row.
class row_cursor {
public:
  explicit row_cursor(const column& c) : c_(&c), text_(c.data.data()) {
    children_.reserve(c.children.size());
    for (const auto& child : c.children) children_.emplace_back(child);
  }

  const column& of() const { return *c_; }
  row_cursor& child(std::size_t i) { return children_[i]; }
  std::size_t children() const { return children_.size(); }

  // Each of the next ones passes its row; what a row has in children is then read from them, or skipped in them.
  const char* next_fixed() { return c_->data.data() + row_++ * c_->width; }
  std::string_view next_text() {
    const std::size_t size = next_varint();
    const std::string_view out(text_, size);
    text_ += size;
    ++row_;
    return out;
  }
  // Elements of child(0).
  std::size_t next_array() {
    const auto begin = row_ ? offset(row_ - 1) : 0;
    return static_cast<std::size_t>(offset(row_++) - begin);
  }
  // child(0) has a value either way.
  bool next_null() {
    const std::size_t row = row_++;
    return !c_->data.empty() && c_->data.data()[row] != 0;
  }
  // The child that has the value; none: 255.
  unsigned char next_alternative() { return static_cast<unsigned char>(c_->data.data()[row_++]); }
  void next_tuple() { ++row_; }

  void skip(std::size_t n) {
    if (n == 0) return;
    switch (c_->form) {
    case layout::fixed: row_ += n; break;
    case layout::text:
      while (n--) next_text();
      break;
    case layout::array: {
      const auto begin = row_ ? offset(row_ - 1) : 0;
      row_ += n;
      children_[0].skip(static_cast<std::size_t>(offset(row_ - 1) - begin));
      break;
    }
    case layout::tuple:
    case layout::nullable:
      row_ += n;
      for (auto& child : children_) child.skip(n);
      break;
    case layout::variant:
      while (n--)
        if (const auto i = next_alternative(); i < children_.size()) children_[i].skip(1);
      break;
    }
  }

private:
  std::uint64_t offset(std::size_t row) const {
    std::uint64_t v;
    std::memcpy(&v, c_->data.data() + row * sizeof v, sizeof v);
    return v;
  }
  std::size_t next_varint() {
    std::size_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(*text_++);
      v |= std::size_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return v;
    }
  }

  const column* c_;
  std::size_t row_ = 0;
  const char* text_; // of the row, in a text column
  std::vector<row_cursor> children_;
};

} // namespace chute
