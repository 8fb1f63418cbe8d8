#include "formats/avro_reader.hpp"

#include <cstring>
#include <limits>
#include <simdjson.h>

namespace chute::avro {

// -- bytes ----------------------------------------------------------------------------------------------------------

bool binary_cursor::take_long_with_care(std::int64_t& v) {
  std::uint64_t raw = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (at_ == end_) return refuse("ends too early");
    const auto b = static_cast<unsigned char>(*at_++);
    if (shift == 63 && b > 1) break;
    raw |= std::uint64_t{b & 0x7fu} << shift;
    if (b & 0x80) continue;
    v = static_cast<std::int64_t>(raw >> 1 ^ (0 - (raw & 1)));
    return true;
  }
  return refuse("holds a number of more than 64 bits");
}

// -- values ---------------------------------------------------------------------------------------------------------

datum* binary_reader::read(const type& t) {
  if (arena_.full()) return refuse_value(too_many_values);
  if (arena_.size() > datums_max_) return refuse_value("holds more values than its size allows");
  switch (t.what) {
  case kind::null: return &arena_.make(datum_kind::null);
  case kind::boolean: {
    std::string_view byte;
    if (!take(1, byte)) return nullptr;
    if (static_cast<unsigned char>(byte[0]) > 1) return refuse_value("holds a boolean that is neither true nor false");
    datum& d = arena_.make(datum_kind::boolean);
    d.number = byte[0];
    return &d;
  }
  case kind::int32:
  case kind::int64: return read_number(t);
  case kind::float32: {
    std::string_view bytes;
    if (!take(4, bytes)) return nullptr;
    float v;
    std::memcpy(&v, bytes.data(), sizeof v);
    datum& d = arena_.make(datum_kind::float32);
    d.real = static_cast<double>(v);
    return &d;
  }
  case kind::float64: {
    std::string_view bytes;
    if (!take(8, bytes)) return nullptr;
    datum& d = arena_.make(datum_kind::float64);
    std::memcpy(&d.real, bytes.data(), sizeof d.real);
    return &d;
  }
  case kind::bytes:
  case kind::string: return read_text(t);
  case kind::fixed: return read_fixed(t);
  case kind::enumeration: {
    std::size_t i = 0;
    if (!take_index(t.symbols.size(), no_symbol, i)) return nullptr;
    datum& d = arena_.make(datum_kind::symbol);
    d.text = t.symbols[i];
    return &d;
  }
  case kind::array: return read_list(t);
  case kind::map: return read_map(t);
  case kind::unite: return read_branch(t);
  case kind::record: break;
  }
  datum& d = arena_.make(datum_kind::record);
  d.text = t.name;
  children_of children(d);
  for (const auto& f : t.fields) {
    datum* child = read(*f.type);
    if (!child) return nullptr;
    child->name = f.name;
    children.add(*child);
  }
  return &d;
}

datum* binary_reader::read_number(const type& t) {
  std::int64_t v = 0;
  if (t.what == kind::int32 ? !take_int(v) : !take_long(v)) return nullptr;
  const auto k = t.as == logical::date              ? datum_kind::date
                 : t.as == logical::time            ? datum_kind::time
                 : t.as == logical::timestamp       ? datum_kind::timestamp
                 : t.as == logical::local_timestamp ? datum_kind::local_timestamp
                                                    : datum_kind::integer;
  datum& d = arena_.make(k);
  d.number = v;
  d.scale = t.scale;
  return &d;
}

datum* binary_reader::read_decimal(const type& t, std::string_view bytes) {
  wide_int v;
  if (!read_big_endian(bytes, v)) return refuse_value("holds a decimal of more than 256 bits");
  datum& d = arena_.make(datum_kind::decimal);
  d.scale = t.scale;
  d.wide = arena_.keep(v);
  return &d;
}

datum* binary_reader::read_text(const type& t) {
  std::string_view bytes;
  if (!take_bytes(bytes)) return nullptr;
  if (t.as == logical::decimal) return read_decimal(t, bytes);
  datum& d = arena_.make(t.what == kind::bytes ? datum_kind::bytes : datum_kind::text);
  d.text = bytes;
  if (uuid_value u; t.as == logical::uuid && parse_uuid(bytes, u) == value_error::none) {
    const std::uint64_t halves[2] = {__builtin_bswap64(u.high), __builtin_bswap64(u.low)};
    d.kind = datum_kind::uuid;
    d.text = arena_.keep(std::string(reinterpret_cast<const char*>(halves), sizeof halves));
  }
  return &d;
}

datum* binary_reader::read_fixed(const type& t) {
  std::string_view bytes;
  if (!take(t.size, bytes)) return nullptr;
  if (t.as == logical::decimal) return read_decimal(t, bytes);
  const auto k = t.as == logical::uuid       ? datum_kind::uuid
                 : t.as == logical::duration ? datum_kind::interval
                                             : datum_kind::bytes;
  datum& d = arena_.make(k);
  d.text = bytes;
  return &d;
}

datum* binary_reader::read_branch(const type& t) {
  std::size_t i = 0;
  return take_index(t.parts.size(), no_branch, i) ? read(*t.parts[i]) : nullptr;
}

datum* binary_reader::read_list(const type& t) {
  datum& d = arena_.make(datum_kind::list);
  children_of children(d);
  const bool fine = take_blocks([&] {
    datum* child = read(*t.parts[0]);
    if (child) children.add(*child);
    return child != nullptr;
  });
  return fine ? &d : nullptr;
}

datum* binary_reader::read_map(const type& t) {
  datum& d = arena_.make(datum_kind::map);
  children_of children(d);
  const bool fine = take_blocks([&] {
    std::string_view key;
    if (!take_bytes(key)) return false;
    datum* child = read(*t.parts[0]);
    if (!child) return false;
    child->name = key;
    children.add(*child);
    return true;
  });
  return fine ? &d : nullptr;
}

// -- what no column wants -------------------------------------------------------------------------------------------

bool binary_cursor::skip(const type& t) {
  std::int64_t n = 0;
  std::size_t i = 0;
  std::string_view bytes;
  switch (t.what) {
  case kind::null: return true;
  case kind::boolean: return take(1, bytes);
  case kind::int32: return take_int(n);
  case kind::int64: return take_long(n);
  case kind::float32: return take(4, bytes);
  case kind::float64: return take(8, bytes);
  case kind::bytes:
  case kind::string: return take_bytes(bytes);
  case kind::fixed: return take(t.size, bytes);
  case kind::array:
  case kind::map:
    return take_blocks([&] {
      if (skips_left_ == 0) return refuse("holds more values than its size allows");
      --skips_left_;
      return (t.what == kind::array || take_bytes(bytes)) && skip(*t.parts[0]);
    });
  case kind::record:
    for (const auto& f : t.fields)
      if (!skip(*f.type)) return false;
    return true;
  case kind::enumeration: return take_index(t.symbols.size(), no_symbol, i);
  case kind::unite: return take_index(t.parts.size(), no_branch, i) && skip(*t.parts[i]);
  }
  return false;
}

// -- defaults -------------------------------------------------------------------------------------------------------

namespace {

namespace dom = simdjson::dom;

// In defaults, bytes are texts whose characters are the bytes.
bool bytes_of(std::string_view utf8, std::string& out) {
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto c = static_cast<unsigned char>(utf8[i]);
    if (c < 0x80) out += utf8[i];
    else if ((c == 0xc2 || c == 0xc3) && i + 1 < utf8.size())
      out += static_cast<char>((c << 6) | (static_cast<unsigned char>(utf8[++i]) & 0x3f));
    else return false;
  }
  return true;
}

// A default's value in the binary encoding, so that one reader gives values their meaning.
void append_long(std::int64_t v, std::string& out) {
  auto raw = static_cast<std::uint64_t>(v) << 1 ^ static_cast<std::uint64_t>(v >> 63);
  for (; raw >= 0x80; raw >>= 7) out += static_cast<char>(raw | 0x80);
  out += static_cast<char>(raw);
}

void append_text(std::string_view s, std::string& out) {
  append_long(static_cast<std::int64_t>(s.size()), out);
  out += s;
}

bool encode(const type& t, const dom::element& e, std::string& out);

bool encode_real(const type& t, const dom::element& e, std::string& out) {
  double v = 0;
  if (e.get(v)) return false;
  if (t.what == kind::float64) return out.append(reinterpret_cast<const char*>(&v), sizeof v), true;
  const auto f = static_cast<float>(v);
  return out.append(reinterpret_cast<const char*>(&f), sizeof f), true;
}

bool encode_text(const type& t, const dom::element& e, std::string& out) {
  std::string_view text;
  if (e.get(text)) return false;
  if (t.what == kind::string) return append_text(text, out), true;
  std::string bytes;
  if (!bytes_of(text, bytes)) return false;
  if (t.what == kind::bytes) return append_text(bytes, out), true;
  return bytes.size() == t.size && (out += bytes, true);
}

bool encode_record(const type& t, const dom::element& e, std::string& out) {
  dom::object o;
  if (e.get(o)) return false;
  for (const auto& f : t.fields) {
    dom::element v;
    dom::parser parser;
    if (o.at_key(f.name).get(v) && (f.default_json.empty() || parser.parse(f.default_json).get(v))) return false;
    if (!encode(*f.type, v, out)) return false;
  }
  return true;
}

bool encode_container(const type& t, const dom::element& e, std::string& out) {
  const auto add = [&](const dom::element& v) { return encode(*t.parts[0], v, out); };
  if (t.what == kind::array) {
    dom::array a;
    if (e.get(a)) return false;
    for (const auto v : a) {
      append_long(1, out);
      if (!add(v)) return false;
    }
  } else {
    dom::object o;
    if (e.get(o)) return false;
    for (const auto f : o) {
      append_long(1, out);
      append_text(f.key, out);
      if (!add(f.value)) return false;
    }
  }
  append_long(0, out);
  return true;
}

bool encode(const type& t, const dom::element& e, std::string& out) {
  std::int64_t n = 0;
  switch (t.what) {
  case kind::null: return e.is_null();
  case kind::boolean: {
    bool b = false;
    return !e.get(b) && (out += static_cast<char>(b), true);
  }
  case kind::int32:
  case kind::int64: return !e.get(n) && (append_long(n, out), true);
  case kind::float32:
  case kind::float64: return encode_real(t, e, out);
  case kind::bytes:
  case kind::string:
  case kind::fixed: return encode_text(t, e, out);
  case kind::enumeration: {
    std::string_view text;
    if (e.get(text)) return false;
    for (std::size_t i = 0; i < t.symbols.size(); ++i)
      if (t.symbols[i] == text) return append_long(static_cast<std::int64_t>(i), out), true;
    return false;
  }
  case kind::array:
  case kind::map: return encode_container(t, e, out);
  case kind::record: return encode_record(t, e, out);
  case kind::unite:
    // The first branch, by the specification up to 1.11; since 1.12 any that it fits.
    for (std::size_t i = 0; i < t.parts.size(); ++i) {
      std::string branch;
      if (!encode(*t.parts[i], e, branch)) continue;
      append_long(static_cast<std::int64_t>(i), out);
      out += branch;
      return true;
    }
    return false;
  }
  return false;
}

} // namespace

datum* read_default(const type& t, std::string_view json, datum_arena& arena) {
  dom::parser parser;
  dom::element e;
  std::string bytes;
  if (parser.parse(json.data(), json.size()).get(e) || !encode(t, e, bytes)) return nullptr;
  binary_reader r(arena.keep(std::move(bytes)), arena);
  datum* d = r.read(t);
  return d && r.done() ? d : nullptr;
}

} // namespace chute::avro
