#include "core/batch.hpp"

#include <algorithm>

namespace chute {

std::uint64_t record_sum(std::uint64_t hash, std::int64_t offset) {
  // A finalizer over hash and offset (constants of splitmix64), so that swapped contents do not cancel out.
  std::uint64_t x = hash ^ (static_cast<std::uint64_t>(offset) * 0x9e3779b97f4a7c15ull);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

std::uint64_t piece::bytes() const {
  auto all = from->offsets.size();
  if (count == 0 || all == 0) return 0;
  return chunk_bytes * count / all;
}

void gathered::restart(const std::vector<offset_t>& positions) {
  parts_.clear();
  records_ = bytes_ = pieces_ = 0;
  for (auto p : positions) parts_.push_back({p, p, {}});
}

bool gathered::add(std::size_t i, const chunk_ptr& c, mono_ms now, offset_t until) {
  auto& p = parts_[i];
  if (c->first != p.position) return false;
  auto last = std::min(c->last, until - 1);
  if (last < c->first) return true;
  piece x{c, 0, c->offsets.size(), c->first, last, now, order_++, c->byte_size()};
  if (last < c->last)
    x.count = static_cast<std::size_t>(std::upper_bound(c->offsets.begin(), c->offsets.end(), last.value) -
                                       c->offsets.begin());
  p.position = last + 1;
  records_ += x.count;
  bytes_ += x.bytes();
  ++pieces_;
  p.pieces.push_back(std::move(x));
  return true;
}

void gathered::give_back(cut c) {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    auto& from = c.pieces[i];
    for (auto it = from.rbegin(); it != from.rend(); ++it) {
      records_ += it->count;
      bytes_ += it->bytes();
      ++pieces_;
      parts_[i].begin = it->begin;
      parts_[i].pieces.push_front(std::move(*it));
    }
  }
}

mono_ms gathered::oldest() const {
  mono_ms out = INT64_MAX;
  for (auto& p : parts_)
    for (auto& x : p.pieces)
      if (x.count) {
        out = std::min(out, x.arrived);
        break;
      }
  return out;
}

mono_ms gathered::oldest_any() const {
  mono_ms out = INT64_MAX;
  for (auto& p : parts_)
    if (!p.pieces.empty()) out = std::min(out, p.pieces.front().arrived);
  return out;
}

std::optional<known_record> gathered::last_record(std::size_t i, offset_t next) const {
  const auto& all = parts_[i].pieces;
  auto it = std::find_if(all.rbegin(), all.rend(), [](auto& x) { return x.count > 0; });
  if (it == all.rend()) return {};
  auto at = it->first + it->count - 1;
  return known_record{static_cast<std::uint32_t>(it->from->hashes[at]), next.value - it->from->offsets[at]};
}

// Moves the first `count` records of the front piece, passing offsets up to `last`.
void gathered::move(part& p, std::size_t i, std::size_t count, offset_t last, cut& out) {
  piece x = p.pieces.front();
  records_ -= x.count;
  bytes_ -= x.bytes();
  --pieces_;
  p.pieces.pop_front();
  if (last < x.last) {
    piece rest = x;
    rest.first += count;
    rest.count -= count;
    rest.begin = last + 1;
    x.count = count;
    x.last = last;
    records_ += rest.count;
    bytes_ += rest.bytes();
    ++pieces_;
    p.pieces.push_front(std::move(rest));
  }
  p.begin = last + 1;
  for (std::size_t k = x.first; k < x.first + x.count; ++k) {
    out.sum += record_sum(x.from->hashes[k], x.from->offsets[k]);
    switch (x.from->outcomes[k]) {
    case outcome::row:
      ++out.rows;
      out.more_rows += x.from->rows_of(k) - 1;
      break;
    case outcome::dead_letter:
    case outcome::stop: ++out.dead; break;
    case outcome::dropped: ++out.dropped; break;
    }
  }
  out.records += x.count;
  out.bytes += x.bytes();
  out.last[i] = last;
  if (x.count) {
    auto at = x.first + x.count - 1;
    out.known[i] = known_record{static_cast<std::uint32_t>(x.from->hashes[at]), last.value + 1 - x.from->offsets[at]};
  } else if (out.known[i]) {
    out.known[i]->distance += last - x.begin + 1;
  }
  out.pieces[i].push_back(std::move(x));
}

cut gathered::take(std::uint64_t records_max, std::uint64_t bytes_max, const std::vector<std::uint8_t>& kinds) {
  cut out;
  std::uint8_t kind = 0;
  out.pieces.resize(parts_.size());
  out.known.resize(parts_.size());
  for (auto& p : parts_) out.last.push_back(p.begin - 1);
  for (;;) {
    part* next = nullptr;
    for (auto& p : parts_)
      if (!p.pieces.empty() && (!next || p.pieces.front().order < next->pieces.front().order)) next = &p;
    if (!next) return out;
    auto i = static_cast<std::size_t>(next - parts_.data());
    if (auto k = i < kinds.size() ? kinds[i] : 0; k != 0) {
      if (kind != 0 && kind != k) return out;
      kind = static_cast<std::uint8_t>(k);
    }
    auto& x = next->pieces.front();
    // What one slice may span is bounded, so that a plan always fits its record.
    auto slice_begin = out.pieces[i].empty() ? x.begin : out.pieces[i].front().begin;
    auto span_last = slice_begin + (slice_offsets_max - 1);
    if (x.begin > span_last) return out;
    std::size_t n = x.count;
    n = std::min<std::uint64_t>(n, records_max > out.records ? records_max - out.records : 0);
    if (auto b = x.bytes(); b > 0 && out.bytes + b > bytes_max)
      n = std::min<std::uint64_t>(n, bytes_max > out.bytes ? (bytes_max - out.bytes) * x.count / b : 0);
    if (n == 0 && x.count > 0) {
      if (out.records > 0) return out;
      n = 1;
    }
    bool whole = n == x.count;
    offset_t last = whole ? x.last : offset_t{x.from->offsets[x.first + n - 1]};
    if (last > span_last) {
      auto at = x.from->offsets.begin() + static_cast<std::ptrdiff_t>(x.first);
      n = static_cast<std::size_t>(std::upper_bound(at, at + static_cast<std::ptrdiff_t>(n), span_last.value) - at);
      last = span_last;
      whole = false;
    }
    move(*next, i, n, last, out);
    if (!whole) return out;
  }
}

bool gathered::covers(const std::vector<offset_t>& last) const {
  for (std::size_t i = 0; i < parts_.size(); ++i)
    if (parts_[i].position <= last[i]) return false;
  return true;
}

cut gathered::take_to(const std::vector<offset_t>& last) {
  cut out;
  out.pieces.resize(parts_.size());
  out.known.resize(parts_.size());
  for (auto& p : parts_) out.last.push_back(p.begin - 1);
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    auto& p = parts_[i];
    while (!p.pieces.empty() && p.pieces.front().begin <= last[i]) {
      auto& x = p.pieces.front();
      auto end = mutant(bug::slice_ends_with_its_chunk) ? x.last : std::min(x.last, last[i]);
      auto at = x.from->offsets.begin() + static_cast<std::ptrdiff_t>(x.first);
      auto n = std::upper_bound(at, at + static_cast<std::ptrdiff_t>(x.count), end.value) - at;
      move(p, i, static_cast<std::size_t>(n), end, out);
    }
  }
  return out;
}

batch make_batch(const plan& p, const cut& c, std::string reason) {
  batch b;
  b.token = p.token;
  b.as = p.as;
  b.since = p.since;
  b.reason = std::move(reason);
  b.records = c.records;
  b.bytes = c.bytes;
  if (p.as == plan_as::rows) {
    b.rows = c.rows;
    b.more_rows = c.more_rows;
    b.dead = c.dead;
    b.dropped = c.dropped;
  } else if (p.as == plan_as::dead_letter) b.dead = c.records;
  else b.dropped = c.records;
  for (auto& part : c.pieces)
    for (auto& x : part)
      if (x.count && !(mutant(bug::partition_left_out) && &part != &c.pieces.front()))
        b.ranges.push_back({x.from, x.first, x.count});
  return b;
}

batch make_fill(const plan& p, const cut& c, std::string reason, const offsets_there& present) {
  batch b = make_batch(p, c, std::move(reason));
  b.ranges.clear();
  b.records = b.rows = b.dead = b.dropped = b.more_rows = 0;
  for (std::size_t i = 0; i < c.pieces.size(); ++i)
    for (auto& x : c.pieces[i]) {
      bool open = false; // the last range ends at the record before
      for (auto k = x.first; k < x.first + x.count; ++k) {
        bool wanted =
            p.as == plan_as::dead_letter || (p.as == plan_as::rows && x.from->outcomes[k] != outcome::dropped);
        if (!wanted || (std::binary_search(present[i].begin(), present[i].end(), x.from->offsets[k]) &&
                        !mutant(bug::fill_sends_all))) {
          open = false;
          continue;
        }
        if (open) ++b.ranges.back().count;
        else b.ranges.push_back({x.from, k, 1});
        open = true;
        ++b.records;
        bool row = p.as == plan_as::rows && x.from->outcomes[k] == outcome::row;
        ++(row ? b.rows : b.dead);
        if (row) b.more_rows += x.from->rows_of(k) - 1;
      }
    }
  return b;
}

rows_there count_rows(const plan& p, const cut& c, const offsets_there& present, const offsets_there& dead,
                      bool several) {
  rows_there out;
  for (std::size_t i = 0; i < c.pieces.size() && p.as == plan_as::rows; ++i)
    for (const auto& x : c.pieces[i])
      for (auto k = x.first; k < x.first + x.count; ++k) {
        const auto what = x.from->outcomes[k];
        if (what != outcome::row && !several) continue;
        if (std::binary_search(dead[i].begin(), dead[i].end(), x.from->offsets[k])) continue;
        const auto [first, last] = std::equal_range(present[i].begin(), present[i].end(), x.from->offsets[k]);
        const auto there = static_cast<std::size_t>(last - first);
        out.any_in_part |= there > 0 && (what != outcome::row || there < x.from->rows_of(k));
        out.any_more |= what == outcome::row && there > x.from->rows_of(k);
      }
  return out;
}

} // namespace chute
