#include "formats/block_maker.hpp"

#include "formats/columns.hpp"

#include <algorithm>

namespace chute {
namespace {

constexpr std::size_t remembered = 8'192; // records

template <class Column, class F> void for_each_column(Column& c, F&& each) {
  each(c);
  for (auto& child : c.children) for_each_column(child, each);
}

column empty_like(const column& c) {
  column out;
  out.form = c.form;
  out.type = c.type;
  out.width = c.width;
  out.length = c.length;
  out.children.reserve(c.children.size());
  for (const auto& child : c.children) out.children.push_back(empty_like(child));
  return out;
}

} // namespace

block_maker::amount block_maker::amount_of(std::span<const record_view> records) {
  amount out{records.size(), 0};
  for (const auto& r : records) out.bytes += (r.key ? r.key->size() : 0) + (r.value ? r.value->size() : 0);
  return out;
}

// `size`: of the same buffer in all that was seen. Values of different lengths need some more than the mean; but one
// huge record says nothing of the small ones after it, nor the other way around.
std::size_t block_maker::room_for(const column& c, std::size_t size, amount next) const {
  const auto by_records = size * next.records / seen_.records;
  if (c.form == layout::fixed && size == seen_.records * c.width) return by_records;
  const auto n = std::min(by_records, size * next.bytes / std::max<std::size_t>(seen_.bytes, 1));
  return n == 0 ? 0 : n + n / 16 + 32;
}

void block_maker::begin(const std::vector<target_column>& targets, std::span<const record_view> records, chunk& out) {
  begun_ = {};
  if (!out.rows.names.empty()) return;
  begun_ = amount_of(records);
  const auto make_room = [&](auto&... lists) { (lists.reserve(records.size()), ...); };
  make_room(out.offsets, out.outcomes, out.hashes, out.sizes);
  prepare_block(targets, empty_);
  out.rows.names = empty_.names;
  out.rows.columns.reserve(empty_.columns.size());
  for (const auto& c : empty_.columns) out.rows.columns.push_back(empty_like(c));
  if (seen_.records == 0) return;
  std::size_t i = 0;
  for (auto& c : out.rows.columns)
    for_each_column(c, [&](column& each) { each.data.reserve(room_for(each, sizes_[i++], begun_)); });
}

void block_maker::end(const chunk& out) {
  if (begun_.records == 0) return;
  if (seen_.records >= remembered) {
    seen_ = {};
    sizes_.clear();
  }
  seen_.records += begun_.records;
  seen_.bytes += begun_.bytes;
  std::size_t i = 0;
  for (const auto& c : out.rows.columns)
    for_each_column(c, [&](const column& each) {
      if (i == sizes_.size()) sizes_.push_back(0);
      sizes_[i++] += each.data.size();
    });
}

} // namespace chute
