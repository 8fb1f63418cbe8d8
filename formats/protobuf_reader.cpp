#include "formats/protobuf_reader.hpp"

#include <bit>
#include <cstring>
#include <unordered_set>

namespace chute::proto {
namespace {

constexpr int depth_max = 100; // libprotobuf's
constexpr std::size_t joined_bytes_max = std::size_t{128}
                                         << 20; // each level of messages in parts is a copy of the next

enum kind : unsigned { k_varint = 0, k_fixed64 = 1, k_delimited = 2, k_group = 3, k_end_group = 4, k_fixed32 = 5 };

unsigned kind_of(wire t) {
  switch (t) {
  case wire::fixed64:
  case wire::sfixed64:
  case wire::float64: return k_fixed64;
  case wire::fixed32:
  case wire::sfixed32:
  case wire::float32: return k_fixed32;
  case wire::string:
  case wire::bytes:
  case wire::message: return k_delimited;
  case wire::group: return k_group;
  default: return k_varint;
  }
}

bool holds_bytes(wire t) { return t == wire::string || t == wire::bytes || t == wire::message || t == wire::group; }

} // namespace

// -- the wire -------------------------------------------------------------------------------------------------------

bool message_reader::varint(cursor& c, std::uint64_t& out) {
  out = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (c.at == c.end) return cut();
    const auto b = static_cast<unsigned char>(*c.at++);
    if (shift < 64) out |= std::uint64_t{b & 0x7fu} << shift;
    if (!(b & 0x80)) return true;
  }
  return refuse("holds a number of more than 64 bits"), false;
}

bool message_reader::fixed(cursor& c, std::size_t width, std::uint64_t& out) {
  if (static_cast<std::size_t>(c.end - c.at) < width) return cut();
  out = 0;
  std::memcpy(&out, c.at, width);
  c.at += width;
  return true;
}

bool message_reader::delimited(cursor& c, std::string_view& out) {
  std::uint64_t n = 0;
  if (!varint(c, n)) return false;
  if (n > static_cast<std::uint64_t>(c.end - c.at)) return cut();
  out = {c.at, static_cast<std::size_t>(n)};
  c.at += n;
  return true;
}

// What stands up to the end of a group.
bool message_reader::group(cursor& c, std::uint32_t number, std::string_view& out, int depth) {
  const char* const begin = c.at;
  for (;;) {
    const char* const here = c.at;
    std::uint64_t tag = 0;
    if (!varint(c, tag)) return false;
    if ((tag & 7) == k_end_group) {
      if (tag >> 3 != number) return refuse("ends a group that it did not begin"), false;
      out = {begin, static_cast<std::size_t>(here - begin)};
      return true;
    }
    if (!skip(c, tag & 7, static_cast<std::uint32_t>(tag >> 3), depth + 1)) return false;
  }
}

bool message_reader::skip(cursor& c, unsigned kind, std::uint32_t number, int depth) {
  std::uint64_t n = 0;
  std::string_view bytes;
  if (depth > depth_max) return refuse("is nested deeper than 100 levels"), false;
  switch (kind) {
  case k_varint: return varint(c, n);
  case k_fixed64: return fixed(c, 8, n);
  case k_fixed32: return fixed(c, 4, n);
  case k_delimited: return delimited(c, bytes);
  case k_group: return group(c, number, bytes, depth);
  default: return refuse("holds a field of no known form"), false;
  }
}

// -- messages -------------------------------------------------------------------------------------------------------

std::vector<message_reader::slot>& message_reader::slots_at(int depth, std::size_t count) {
  const auto i = static_cast<std::size_t>(depth);
  while (levels_.size() <= i) levels_.push_back(std::make_unique<std::vector<slot>>());
  levels_[i]->assign(count, {});
  return *levels_[i];
}

datum* message_reader::read(std::string_view bytes, const message& m, const std::vector<bool>& wanted) {
  fault_.clear();
  ignored_ = 0;
  joined_bytes_ = 0;
  return read_message(bytes, m, &wanted, 0);
}

datum* message_reader::read_message(std::string_view bytes, const message& m, const std::vector<bool>* wanted,
                                    int depth) {
  if (depth > depth_max) return refuse("is nested deeper than 100 levels");
  if (!has_room()) return nullptr; // an empty message is as many values as its schema has fields
  if (m.as == meaning::any) return refuse("holds a google.protobuf.Any, whose content no schema tells");
  auto& slots = slots_at(depth, m.fields.size());
  if (!read_fields(bytes, m, wanted, slots, depth)) return nullptr;
  datum& record = arena_.make(datum_kind::record);
  children_of children(record);
  for (std::size_t i = 0; i < m.fields.size(); ++i) {
    const auto& f = m.fields[i];
    if (wanted && !(*wanted)[i]) continue;
    if (!slots[i].seen && f.required) return refuse("lacks the required field '" + f.name + "'");
    if (!slots[i].seen && f.presence && !f.repeated) continue;
    datum* child = slots[i].seen || f.repeated ? value_of(f, slots[i], depth) : default_of(f);
    if (!child) return nullptr;
    child->name = f.name;
    children.add(*child);
  }
  return m.as == meaning::plain ? &record : as_meant(m, record);
}

bool message_reader::read_fields(std::string_view bytes, const message& m, const std::vector<bool>* wanted,
                                 std::vector<slot>& slots, int depth) {
  cursor c{bytes.data(), bytes.data() + bytes.size()};
  while (c.at != c.end) {
    std::uint64_t tag = 0;
    if (!varint(c, tag)) return false;
    const auto number = static_cast<std::uint32_t>(tag >> 3);
    if (number == 0 || tag >> 32) return refuse("holds a field without a number"), false;
    std::size_t place = 0;
    const field* f = m.find(static_cast<int>(number), place);
    const unsigned kind = tag & 7;
    const bool packed = f && f->repeated && kind == k_delimited && !holds_bytes(f->type);
    const bool fits = f && (packed || kind == kind_of(f->type));
    if (fits) forget_others(m, place, slots);
    if (!fits || (wanted && !(*wanted)[place])) {
      if (wanted) ++ignored_;
      if (!skip(c, kind, number, depth)) return false;
      continue;
    }
    slot& s = slots[place];
    if (packed) {
      std::string_view all;
      if (!delimited(c, all) || !take_packed(all, *f, s)) return false;
    } else if (!take_value(c, kind, *f, s, depth)) return false;
    s.seen = true;
  }
  return true;
}

// Of a oneof, the last field on the wire is set, whether a column takes it or not.
void message_reader::forget_others(const message& m, std::size_t place, std::vector<slot>& slots) const {
  const int oneof = m.fields[place].oneof;
  if (oneof < 0) return;
  for (std::size_t i = 0; i < slots.size(); ++i)
    if (i != place && m.fields[i].oneof == oneof) slots[i] = {};
}

bool message_reader::take_scalar(cursor& c, const field& f, std::uint64_t& out) {
  switch (kind_of(f.type)) {
  case k_fixed32: return fixed(c, 4, out);
  case k_fixed64: return fixed(c, 8, out);
  default: return varint(c, out);
  }
}

bool message_reader::take_value(cursor& c, unsigned kind, const field& f, slot& s, int depth) {
  if (!holds_bytes(f.type)) {
    std::uint64_t raw = 0;
    if (!take_scalar(c, f, raw)) return false;
    s.number = raw;
    return !f.repeated || add(s, scalar_of(f, raw));
  }
  std::string_view bytes;
  const bool taken =
      kind == k_group ? group(c, static_cast<std::uint32_t>(f.number), bytes, depth) : delimited(c, bytes);
  if (!taken) return false;
  if (f.repeated) return add(s, bytes_of(f, bytes, depth));
  const bool message = f.type == wire::message || f.type == wire::group;
  // A message that comes twice is both, joined: the wire format is made so that its bytes can be.
  if (!message || !s.seen) return s.bytes = bytes, true;
  joined_bytes_ += bytes.size() + (s.joined ? 0 : s.bytes.size());
  if (joined_bytes_ > joined_bytes_max) return refuse("holds messages in parts, more than 128 MiB of them"), false;
  if (!s.joined) s.joined = &arena_.text(s.bytes);
  s.joined->append(bytes);
  s.bytes = *s.joined;
  return true;
}

bool message_reader::take_packed(std::string_view bytes, const field& f, slot& s) {
  cursor c{bytes.data(), bytes.data() + bytes.size()};
  while (c.at != c.end) {
    std::uint64_t raw = 0;
    if (!take_scalar(c, f, raw) || !add(s, scalar_of(f, raw))) return false;
  }
  return true;
}

bool message_reader::add(slot& s, datum* child) {
  if (!child || !has_room()) return false;
  if (!s.many) s.many = &arena_.make(datum_kind::list);
  if (s.last) s.last->next = child;
  else s.many->first = child;
  s.last = child;
  return true;
}

// -- values ---------------------------------------------------------------------------------------------------------

datum* message_reader::value_of(const field& f, const slot& s, int depth) {
  if (f.repeated) {
    datum* list = s.many ? s.many : &arena_.make(datum_kind::list);
    return f.map ? map_of(f, *list, depth) : list;
  }
  if (!holds_bytes(f.type)) return scalar_of(f, s.number);
  return bytes_of(f, s.bytes, depth);
}

datum* message_reader::bytes_of(const field& f, std::string_view bytes, int depth) {
  if (f.of) return read_message(bytes, *f.of, nullptr, depth + 1);
  datum& d = arena_.make(f.type == wire::string ? datum_kind::text : datum_kind::bytes);
  d.text = bytes;
  return &d;
}

datum* message_reader::scalar_of(const field& f, std::uint64_t raw) {
  datum& d = arena_.make(datum_kind::integer);
  const auto narrow = static_cast<std::uint32_t>(raw);
  switch (f.type) {
  case wire::int32:
  case wire::sfixed32: d.number = static_cast<std::int32_t>(narrow); break;
  case wire::uint32:
  case wire::fixed32: d.number = narrow; break;
  case wire::sint32: d.number = static_cast<std::int32_t>(narrow >> 1 ^ (0 - (narrow & 1))); break;
  case wire::sint64: d.number = static_cast<std::int64_t>(raw >> 1 ^ (0 - (raw & 1))); break;
  case wire::uint64:
  case wire::fixed64:
    d.kind = datum_kind::natural;
    d.number = static_cast<std::int64_t>(raw);
    break;
  case wire::boolean:
    d.kind = datum_kind::boolean;
    d.number = raw != 0;
    break;
  case wire::float32:
    d.kind = datum_kind::float32;
    d.real = static_cast<double>(std::bit_cast<float>(narrow));
    break;
  case wire::float64:
    d.kind = datum_kind::float64;
    d.real = std::bit_cast<double>(raw);
    break;
  case wire::enumeration: {
    d.number = static_cast<std::int32_t>(narrow);
    const auto name = f.names->find(static_cast<int>(d.number));
    if (name == f.names->end()) break; // of a later schema: its number alone
    d.kind = datum_kind::symbol;
    d.has_number = true;
    d.text = name->second;
    break;
  }
  default: d.number = static_cast<std::int64_t>(raw); break;
  }
  return &d;
}

datum* message_reader::default_of(const field& f) {
  if (f.type == wire::float32 || f.type == wire::float64) {
    datum& d = arena_.make(f.type == wire::float32 ? datum_kind::float32 : datum_kind::float64);
    d.real = f.real_default;
    return &d;
  }
  if (f.type == wire::string || f.type == wire::bytes) {
    datum& d = arena_.make(f.type == wire::string ? datum_kind::text : datum_kind::bytes);
    d.text = f.text_default;
    return &d;
  }
  datum* d = scalar_of(f, 0);
  d->number = f.number_default;
  if (f.type == wire::enumeration)
    if (const auto name = f.names->find(static_cast<int>(d->number)); name != f.names->end()) {
      d->kind = datum_kind::symbol;
      d->has_number = true;
      d->text = name->second;
    }
  return d;
}

// Entries of key and value → a map. Of entries with one key, the last counts.
datum* message_reader::map_of(const field& f, datum& entries, int depth) {
  const auto &key = f.of->fields[0], &value = f.of->fields[1];
  datum& map = arena_.make(datum_kind::map);
  std::vector<datum*> values;
  for (datum* e = entries.first; e; e = e->next) {
    if (!has_room()) return nullptr;
    datum* k = nullptr;
    datum* v = nullptr;
    for (datum* c = e->first; c; c = c->next) (c->name == key.name ? k : v) = c;
    if (!k) k = default_of(key); // proto2 can leave both out
    if (!v) v = value.of ? read_message({}, *value.of, nullptr, depth + 1) : default_of(value);
    if (!k || !v) return nullptr;
    std::string text;
    if (k->kind != datum_kind::text) render_text(*k, text);
    v->name = k->kind == datum_kind::text ? k->text : arena_.keep(std::move(text));
    v->next = nullptr;
    values.push_back(v);
  }
  std::unordered_set<std::string_view> seen;
  for (std::size_t i = values.size(); i-- > 0;)
    if (!seen.insert(values[i]->name).second) values[i] = nullptr;
  children_of children(map);
  for (auto* v : values)
    if (v) children.add(*v);
  return &map;
}

datum* message_reader::as_meant(const message& m, datum& record) {
  switch (m.as) {
  case meaning::timestamp: return moment_of(record, datum_kind::timestamp);
  case meaning::duration: return moment_of(record, datum_kind::time);
  case meaning::wrapper:
  case meaning::structure:
  case meaning::list: {
    datum* only = record.first;
    if (only) only->next = nullptr;
    return only ? only : &arena_.make(datum_kind::null);
  }
  case meaning::value: {
    datum* only = record.first; // of a oneof
    if (!only || only->name == "null_value") return &arena_.make(datum_kind::null);
    only->next = nullptr;
    only->has_number = only->kind == datum_kind::float64;
    return only;
  }
  case meaning::decimal: {
    const datum *value = record.find("value"), *scale = record.find("scale");
    wide_int wide;
    if (!value || !read_big_endian(value->text, wide) || (scale && (scale->number < 0 || scale->number > 76)))
      return refuse("holds a decimal of more than 256 bits or with a scale beyond 76");
    datum& d = arena_.make(datum_kind::decimal);
    d.scale = static_cast<std::uint8_t>(scale ? scale->number : 0);
    d.wide = arena_.keep(wide);
    return &d;
  }
  default: return &record;
  }
}

// Seconds and nanoseconds → ticks of the coarsest unit that holds them exactly.
datum* message_reader::moment_of(datum& record, datum_kind k) {
  const datum *seconds = record.find("seconds"), *nanos = record.find("nanos");
  const std::int64_t s = seconds ? seconds->number : 0, n = nanos ? nanos->number : 0;
  constexpr std::int64_t giga = 1'000'000'000;
  if (n <= -giga || n >= giga || (k == datum_kind::timestamp && n < 0))
    return refuse("holds nanoseconds beyond a second");
  std::int64_t unit = giga;
  std::uint8_t scale = 0;
  for (; n % unit != 0; unit /= 1000) scale = static_cast<std::uint8_t>(scale + 3);
  datum& d = arena_.make(k);
  d.scale = scale;
  d.has_number = true;
  if (__builtin_mul_overflow(s, giga / unit, &d.number) || __builtin_add_overflow(d.number, n / unit, &d.number))
    return refuse("holds a time beyond 64 bits of nanoseconds");
  return &d;
}

} // namespace chute::proto
