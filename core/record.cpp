#include "core/record.hpp"

#include "core/block.hpp"
#include "core/mutant.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <xxhash.h>

namespace chute {

void lane_partition::pass(offset_t to, const std::optional<known_record>& last) {
  auto before = known_base();
  next = to;
  if (blind && *blind < next) blind.reset();
  if (fill_to && *fill_to < next) fill_to.reset();
  auto after = known_base();
  if (after == before) return; // within a plan that landed in part: its last record is known already
  if (last) known = known_record{last->hash, last->distance + (after - next)};
  else if (known) known->distance += after - before;
  if (known && known->distance > known_distance_max) known.reset();
}

void lane_partition::begin_at(offset_t low) {
  if (low <= next) return;
  next = low;
  known.reset();
  if (fill_to && *fill_to < next) fill_to.reset();
  if (blind && *blind < next) blind.reset();
}

void lane_partition::mark_fill(offset_t last, const std::optional<known_record>& end) {
  if (fill_to && *fill_to >= last) return; // a piece of the plan that landed in part
  auto before = known_base();
  fill_to = last;
  if (end && !mutant(bug::filled_log_trusted)) known = end;
  else if (known) known->distance += known_base() - before;
  if (known && known->distance > known_distance_max) known.reset();
}

std::string token_t::hex() const {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out(32, '0');
  for (int i = 0; i < 16; ++i) {
    out[static_cast<std::size_t>(i)] = digits[(high >> (60 - 4 * i)) & 15];
    out[static_cast<std::size_t>(16 + i)] = digits[(low >> (60 - 4 * i)) & 15];
  }
  return out;
}

bool token_t::parse(const std::string& text, token_t& out) {
  if (text.size() != 32) return false;
  std::uint64_t part[2] = {0, 0};
  for (std::size_t i = 0; i < 32; ++i) {
    char c = text[i];
    int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (v < 0) return false;
    part[i / 16] = part[i / 16] << 4 | static_cast<std::uint64_t>(v);
  }
  out = {part[0], part[1]};
  return true;
}

namespace {

constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string base64(const bytes& in) {
  std::string out;
  out.reserve(in.size() * 4 / 3 + 4);
  std::uint32_t acc = 0;
  int bits = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    acc = acc << 8 | static_cast<unsigned char>(in.data()[i]);
    for (bits += 8; bits >= 6; bits -= 6) out += alphabet[acc >> (bits - 6) & 63];
  }
  if (bits) out += alphabet[acc << (6 - bits) & 63];
  return out;
}

// The place of each character in the alphabet; 64: it has none.
constexpr auto places = [] {
  std::array<std::uint8_t, 256> out{};
  out.fill(64);
  for (std::uint8_t i = 0; i < 64; ++i) out[static_cast<unsigned char>(alphabet[i])] = i;
  return out;
}();

bool unbase64(std::string_view in, std::string& out) {
  out.reserve(out.size() + in.size() * 3 / 4);
  std::uint32_t acc = 0;
  int bits = 0;
  for (const char c : in) {
    const auto at = places[static_cast<unsigned char>(c)];
    if (at == 64) return false;
    acc = acc << 6 | at;
    if ((bits += 6) >= 8) out += static_cast<char>(acc >> (bits -= 8) & 255);
  }
  return true;
}

// Flags of one partition.
enum : std::uint8_t { has_known = 1, has_blind = 2, has_fill = 4, has_slice = 8 };
// A blind mark further ahead than a slice can span is kept as "everything": that only asks the table less.
constexpr std::int64_t blind_endless = slice_offsets_max;

void put_partition(bytes& out, const lane_partition& p, const plan* open, std::size_t i, bool with_known) {
  std::int64_t slice = open ? open->last[i] - p.next + 1 : 0;
  bool known = with_known && p.known;
  bool blind = p.blind && !mutant(bug::marks_not_written), fill = p.fill_to && !mutant(bug::marks_not_written);
  out.push<std::uint8_t>(static_cast<std::uint8_t>((known ? has_known : 0) | (blind ? has_blind : 0) |
                                                   (fill ? has_fill : 0) | (slice ? has_slice : 0)));
  append_varint(out, static_cast<std::uint64_t>(p.next.value));
  if (known) {
    out.push(p.known->hash);
    append_varint(out, static_cast<std::uint64_t>(p.known->distance));
  }
  // Both marks lie at or beyond next - 1, or they would have been dropped.
  if (blind) append_varint(out, static_cast<std::uint64_t>(std::min(*p.blind - p.next + 1, blind_endless)));
  if (fill) append_varint(out, static_cast<std::uint64_t>(*p.fill_to - p.next + 1));
  if (slice) append_varint(out, static_cast<std::uint64_t>(slice));
}

std::string encode_with(const lane_record& r, std::int64_t known_up_to) {
  bytes out;
  append_varint(out, r.version);
  out.push(r.mark);
  out.push(r.lineage);
  append_varint(out, static_cast<std::uint64_t>(r.lanes));
  out.push(r.cluster);
  out.push(r.destination);
  out.push<std::uint8_t>(static_cast<std::uint8_t>((r.ever ? 1 : 0) | (r.open ? 2 : 0) | (r.unplanned ? 4 : 0)));
  append_varint(out, r.partitions.size());
  if (r.open) {
    out.push(r.open->token.high);
    out.push(r.open->token.low);
    out.push<std::uint8_t>(
        static_cast<std::uint8_t>(static_cast<int>(r.open->kind) | static_cast<int>(r.open->as) << 4));
    append_varint(out, static_cast<std::uint64_t>(r.open->since));
    append_varint(out, static_cast<std::uint64_t>(r.open->good_until));
    append_varint(out, r.open->blocks);
    out.push(r.open->fingerprint);
    out.push(r.open->sum);
  }
  for (std::size_t i = 0; i < r.partitions.size(); ++i) {
    const auto& p = r.partitions[i];
    put_partition(out, p, r.open ? &*r.open : nullptr, i, p.known && p.known->distance <= known_up_to);
  }
  out.push(static_cast<std::uint32_t>(XXH3_64bits(out.data(), out.size())));
  return std::string(record_marker) + base64(out);
}

// Reads what put_* wrote; `ok` turns false at the first byte that does not fit.
struct reader {
  std::string_view in;
  bool ok = true;

  template <class T> T fixed() {
    T v{};
    if (in.size() < sizeof(T)) {
      ok = false;
      return v;
    }
    std::memcpy(&v, in.data(), sizeof(T));
    in.remove_prefix(sizeof(T));
    return v;
  }
  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      auto b = fixed<std::uint8_t>();
      v |= static_cast<std::uint64_t>(b & 127) << shift;
      if (!(b & 128)) return v;
    }
    ok = false;
    return v;
  }
  std::int64_t positive(std::int64_t max) {
    auto v = varint();
    if (v > static_cast<std::uint64_t>(max)) ok = false;
    return ok ? static_cast<std::int64_t>(v) : 0;
  }
};

void get_plan(reader& in, lane_record& r) {
  auto& p = r.open.emplace();
  p.token.high = in.fixed<std::uint64_t>();
  p.token.low = in.fixed<std::uint64_t>();
  auto kinds = in.fixed<std::uint8_t>();
  if ((kinds & 15) > 1 || (kinds >> 4) > 2) in.ok = false;
  p.kind = static_cast<plan_kind>(kinds & 15);
  p.as = static_cast<plan_as>(kinds >> 4);
  p.since = in.positive(INT64_MAX);
  p.good_until = in.positive(INT64_MAX);
  p.blocks = in.varint();
  p.fingerprint = in.fixed<std::uint64_t>();
  p.sum = in.fixed<std::uint64_t>();
}

void get_partition(reader& in, lane_record& r) {
  lane_partition p;
  auto flags = in.fixed<std::uint8_t>();
  if (flags > 15) in.ok = false;
  p.next = {in.positive(INT64_MAX - slice_offsets_max)};
  if (flags & has_known) {
    auto hash = in.fixed<std::uint32_t>();
    p.known = known_record{hash, in.positive(known_distance_max)};
  }
  if (flags & has_blind) {
    auto d = in.positive(slice_offsets_max);
    p.blind = d == blind_endless ? offset_t{INT64_MAX} : p.next + (d - 1);
  }
  if (flags & has_fill) p.fill_to = p.next + (in.positive(slice_offsets_max) - 1);
  std::int64_t slice = flags & has_slice ? in.positive(slice_offsets_max) : 0;
  if (r.open) r.open->last.push_back(p.next + (slice - 1));
  else if (slice) in.ok = false;
  r.partitions.push_back(p);
}

error unreadable(const char* what) {
  return {"state", std::string("a lane's record cannot be read: ") + what,
          "it was written by another version of chute or cut by another tool; put the offset's metadata back, or see "
          "docs/operations.md, \"Unreadable state\""};
}

} // namespace

std::string encode_record(const lane_record& r) {
  auto text = encode_with(r, known_distance_max);
  if (mutant(bug::record_without_bound)) return text;
  for (std::int64_t d = known_distance_max / 2; text.size() > record_text_max && d > 0; d /= 8)
    text = encode_with(r, d);
  return text.size() > record_text_max ? encode_with(r, 0) : text;
}

result<lane_record> decode_record(std::string_view text) {
  if (text.substr(0, record_marker.size()) != record_marker) return unreadable("it does not begin with chute1:");
  std::string raw;
  if (!unbase64(text.substr(record_marker.size()), raw) || raw.size() < 4) return unreadable("not its alphabet");
  std::uint32_t sum;
  std::memcpy(&sum, raw.data() + raw.size() - 4, 4);
  raw.resize(raw.size() - 4);
  bool whole = sum == static_cast<std::uint32_t>(XXH3_64bits(raw.data(), raw.size()));
  if (!whole && !mutant(bug::damaged_record_read)) return unreadable("its check sum differs");
  reader in{raw};
  lane_record r;
  r.version = in.varint();
  r.mark = in.fixed<std::uint64_t>();
  r.lineage = in.fixed<std::uint64_t>();
  r.lanes = static_cast<std::int32_t>(in.positive(INT32_MAX));
  r.cluster = in.fixed<std::uint64_t>();
  r.destination = in.fixed<std::uint64_t>();
  auto flags = in.fixed<std::uint8_t>();
  r.ever = flags & 1;
  r.unplanned = flags & 4;
  auto count = in.positive(static_cast<std::int64_t>(lane_partitions_max));
  if (flags & 2) get_plan(in, r);
  for (std::int64_t i = 0; in.ok && i < count; ++i) get_partition(in, r);
  if (!in.ok || !in.in.empty() || r.lanes < 1) return unreadable("its parts do not fit together");
  return r;
}

} // namespace chute
