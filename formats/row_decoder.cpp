#include "formats/row_decoder.hpp"

#include "formats/json_node.hpp"

#include <cstring>
#include <map>

namespace chute {

result<void> row_decoder::prepare() {
  for (std::uint32_t i = 0; i < targets_.size(); ++i) {
    if (targets_[i].source.kind == column_source::from::field) {
      fields_.push_back({i, false, false});
      continue;
    }
    auto filler = meta_filler::make(targets_[i], options_);
    if (!filler) return filler.failure();
    needs_headers_ |= filler->needs_headers();
    metas_.push_back({i, std::move(*filler)});
  }
  make_groups();
  return {};
}

// ClickHouse takes array columns n.a, n.b, … for a Nested one and refuses an insert in which they differ in length
// within a row.
void row_decoder::make_groups() {
  std::map<std::string, std::vector<std::uint32_t>> by_prefix;
  for (std::uint32_t i = 0; i < fields_.size(); ++i) {
    const auto& c = target_of(fields_[i]).column;
    const auto dot = c.name.find('.');
    if (dot != c.name.npos && dot > 0 && wire_type(c)->kind == type_kind::array)
      by_prefix[c.name.substr(0, dot)].push_back(i);
  }
  for (auto& [prefix, members] : by_prefix) {
    for (const auto i : members) fields_[i].grouped = true;
    groups_.push_back(std::move(members));
  }
}

void row_decoder::fill_null(field_slot& f) {
  if (f.grouped) return;
  append_null(column_of(f), target_of(f));
  f.filled = true;
}

std::string row_decoder::subject(const field_slot& f) const {
  const auto& t = target_of(f);
  return "field '" + t.source.text + "' for column '" + t.column.name + "' (" + t.column.type->text + ") ";
}

void row_decoder::decode(std::span<const record_view> records, const header_source& headers, chunk& out) {
  blocks_.begin(targets_, records, out);
  block_ = &out.rows;
  for (auto& c : block_->columns) c.mark();
  ignored_ = 0;
  partition_ = out.partition;
  for (const auto& r : records) {
    std::string why;
    const std::size_t before = block_->rows;
    record_ = &r;
    if (needs_headers_) {
      found_.clear();
      headers.headers(r, found_);
    }
    const auto what = read_one(r, why);
    if (what == reading::row) [[likely]] {
      append_row_outcome(r, out, block_->rows - before);
      continue;
    }
    block_->rows = before;
    take_back();
    if (what == reading::drop) append_dropped(r, out);
    else append_bad_record(r, headers, options_, std::move(why), out);
  }
  out.fields_ignored += ignored_;
  blocks_.end(out);
  block_ = nullptr;
}

void row_decoder::take_back() {
  for (auto& c : block_->columns) {
    json::rewind(c, block_->rows);
    c.mark(); // what comes next counts on from here
  }
  for (auto& f : fields_) f.filled = false;
}

row_decoder::reading row_decoder::read_one(const record_view& r, std::string& why) {
  for (auto& f : fields_) f.filled = false;
  change_ = row_change::state;
  ignored_before_ = ignored_;
  if (r.value && r.value->size() > options_.record_bytes_max) {
    why = "the value is larger than " + std::to_string(options_.record_bytes_max) + " bytes";
    return reading::bad;
  }
  const auto what = r.value ? read(r, why) : tombstone(why);
  if (what != reading::row) return what;
  return end_row(change_, why) ? reading::row : reading::bad;
}

row_decoder::reading row_decoder::tombstone(std::string& why) {
  switch (use_of_tombstone(options_.deletes, options_.envelope)) {
  case tombstone_use::drop: return reading::drop;
  case tombstone_use::removal: change_ = row_change::removal; return reading::row;
  case tombstone_use::bad: break;
  }
  why = "tombstone: the value is null, and deletes are rejected";
  return reading::bad;
}

bool row_decoder::end_row(row_change what, std::string& why) {
  if (!complete(why) || !append_meta(what, why)) return false;
  ++block_->rows;
  for (auto& f : fields_) f.filled = false;
  return true;
}

bool row_decoder::complete(std::string& why) {
  for (const auto& group : groups_)
    if (!complete_group(group, why)) return false;
  for (auto& f : fields_)
    if (!f.filled) append_missing(column_of(f), target_of(f));
  return true;
}

// Arrays that the record did not give are as long as those that it gave.
bool row_decoder::complete_group(const std::vector<std::uint32_t>& group, std::string& why) {
  constexpr std::uint64_t unknown = ~std::uint64_t{0};
  std::uint64_t size = unknown;
  for (const auto i : group) {
    if (!fields_[i].filled) continue;
    const column& c = column_of(fields_[i]);
    std::uint64_t before = 0;
    if (c.rows > 1) std::memcpy(&before, c.data.data() + (c.rows - 2) * sizeof before, sizeof before);
    const std::uint64_t n = c.children[0].rows - before;
    if (size != unknown && size != n) {
      why = subject(fields_[i]) + "has another length than the other arrays of its Nested structure";
      return false;
    }
    size = n;
  }
  if (size == unknown) return true;
  for (const auto i : group) {
    if (fields_[i].filled) continue;
    column& c = column_of(fields_[i]);
    for (std::uint64_t n = 0; n < size; ++n) append_default(c.children[0]);
    c.data.push(static_cast<std::uint64_t>(c.children[0].rows));
    ++c.rows;
    fields_[i].filled = true;
  }
  return true;
}

bool row_decoder::append_meta(row_change what, std::string& why) {
  for (auto& m : metas_) {
    const auto e = m.filler.append(*record_, partition_, found_, block_->columns[m.target], what);
    if (e == value_error::none) [[likely]]
      continue;
    why = m.filler.subject() + " " + describe(e);
    return false;
  }
  return true;
}

} // namespace chute
