#include "formats/datum_writer.hpp"

#include "formats/json_node.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace chute {
namespace {

using kind = datum_kind;

bool is_integer(type_kind k) { return k >= type_kind::int8 && k <= type_kind::uint256; }
bool is_unsigned(type_kind k) { return k >= type_kind::uint8 && k <= type_kind::uint256; }
bool is_float(type_kind k) { return k == type_kind::bfloat16 || k == type_kind::float32 || k == type_kind::float64; }

// A value that is a whole number, whatever it counts.
bool is_whole(kind k) {
  switch (k) {
  case kind::boolean:
  case kind::integer:
  case kind::natural:
  case kind::date:
  case kind::time:
  case kind::timestamp:
  case kind::local_timestamp: return true;
  default: return false;
  }
}

constexpr value_error wrong_kind = value_error::malformed;

constexpr std::array<std::int64_t, 10> powers = {1,       10,        100,        1'000,       10'000,
                                                 100'000, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000};

value_error rescale(std::int64_t v, std::uint32_t from, std::uint32_t to, std::int64_t& out) {
  if (to >= from)
    return __builtin_mul_overflow(v, powers[to - from], &out) ? value_error::out_of_range : value_error::none;
  if (v % powers[from - to]) return value_error::lossy;
  out = v / powers[from - to];
  return value_error::none;
}

template <class T> value_error put(T v, column& out) {
  out.data.push(v);
  ++out.rows;
  return value_error::none;
}

value_error put_bytes(const void* from, std::size_t n, column& out) {
  out.data.append(from, n);
  ++out.rows;
  return value_error::none;
}

value_error put_integer(const datum& d, const type& t, column& out) {
  const bool natural = d.kind == kind::natural && d.number < 0; // beyond Int64
  const unsigned bits = t.width * 8;
  if (natural) {
    if (bits < 64 || (bits == 64 && !is_unsigned(t.kind))) return value_error::out_of_range;
  } else if (is_unsigned(t.kind)) {
    if (d.number < 0 || (bits < 64 && d.number >> bits)) return value_error::out_of_range;
  } else if (bits < 64) {
    const std::int64_t limit = std::int64_t{1} << (bits - 1);
    if (d.number < -limit || d.number >= limit) return value_error::out_of_range;
  }
  const std::int64_t sign = natural || d.number >= 0 ? 0 : -1;
  const std::int64_t limbs[4] = {d.number, sign, sign, sign};
  return put_bytes(limbs, t.width, out);
}

double real_of(const datum& d) {
  if (d.kind == kind::natural) return static_cast<double>(static_cast<std::uint64_t>(d.number));
  return is_whole(d.kind) ? static_cast<double>(d.number) : d.real;
}

value_error put_float(double v, const type& t, column& out) {
  if (t.kind == type_kind::float64) return put(v, out);
  const auto f = static_cast<float>(v);
  if (std::isinf(f) && !std::isinf(v)) return value_error::out_of_range;
  if (t.kind == type_kind::float32) return put(f, out);
  return put(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(f) >> 16), out);
}

// Numbers of other kinds go through their text: all digits are there, and nothing is rounded.
bool has_number_text(kind k) {
  return k == kind::decimal || k == kind::float32 || k == kind::float64 || k == kind::integer || k == kind::natural;
}

value_error put_decimal(const datum& d, const type& t, std::string& scratch, column& out) {
  if (!has_number_text(d.kind)) return wrong_kind;
  scratch.clear();
  render_text(d, scratch);
  wide_int v;
  const auto e = parse_decimal(scratch, t.precision, t.scale, v);
  return e == value_error::none ? put_bytes(v.limb.data(), t.width, out) : e;
}

// The unit must not depend on the value.
value_error put_nanoseconds(const datum& d, const type& t, column& out) {
  datum fine = d;
  const auto e = rescale(d.number, d.scale, 9, fine.number);
  return e == value_error::none ? put_integer(fine, t, out) : e;
}

value_error put_whole_number(const datum& d, const type& t, std::string& scratch, column& out) {
  scratch.clear();
  render_text(d, scratch);
  wide_int v;
  const auto e = parse_whole(scratch, t.width * 8, !is_unsigned(t.kind), v);
  return e == value_error::none ? put_bytes(v.limb.data(), t.width, out) : e;
}

value_error put_date(std::int64_t days, const type& t, column& out) {
  if (t.kind == type_kind::date) {
    if (days < 0 || days > 0xffff) return value_error::out_of_range;
    return put(static_cast<std::uint16_t>(days), out);
  }
  const auto e = check_date32(days);
  return e == value_error::none ? put(static_cast<std::int32_t>(days), out) : e;
}

value_error put_datetime(std::int64_t ticks, const type& t, column& out) {
  if (t.kind == type_kind::datetime) {
    if (ticks < 0 || ticks > 0xffff'ffff) return value_error::out_of_range;
    return put(static_cast<std::uint32_t>(ticks), out);
  }
  const auto e = check_datetime64(ticks, t.scale);
  return e == value_error::none ? put(ticks, out) : e;
}

value_error put_time(std::int64_t ticks, const type& t, column& out) {
  const auto e = check_time(ticks, t.scale);
  if (e != value_error::none) return e;
  return t.kind == type_kind::time ? put(static_cast<std::int32_t>(ticks), out) : put(ticks, out);
}

value_error put_uuid(std::string_view bytes, column& out) {
  std::uint64_t half[2];
  std::memcpy(half, bytes.data(), sizeof half);
  for (auto& h : half) h = __builtin_bswap64(h);
  return put_bytes(half, sizeof half, out);
}

value_error put_ip(std::string_view bytes, column& out) {
  if (out.width == 16) return put_bytes(bytes.data(), 16, out);
  std::uint32_t v;
  std::memcpy(&v, bytes.data(), sizeof v);
  return put(__builtin_bswap32(v), out);
}

void put_text(std::string_view text, column& out) {
  append_varint(out.data, text.size());
  out.data.append(text.data(), text.size());
  ++out.rows;
}

// Sizes of a column's buffers, to take back an alternative that did not fit.
void save(const column& c, std::vector<std::size_t>& out) {
  out.push_back(c.rows);
  out.push_back(c.data.size());
  for (const auto& child : c.children) save(child, out);
}

const std::size_t* restore(column& c, const std::size_t* from) {
  c.rows = *from++;
  c.data.truncate(*from++);
  for (auto& child : c.children) from = restore(child, from);
  return from;
}

// Where an alternative of a Variant stands in the order of trial: the lower, the earlier; 0: never.
int rank_of(const type& t, kind d) {
  const int width = static_cast<int>(t.width);
  const bool has_text = t.kind == type_kind::string;
  if (t.kind == type_kind::dynamic) return 199;
  const auto first_of = [&](std::initializer_list<type_kind> kinds) {
    int rank = 1;
    for (const auto k : kinds) {
      if (k == t.kind) return rank;
      ++rank;
    }
    return 0;
  };
  using k = type_kind;
  int rank = 0;
  switch (d) {
  case kind::boolean: rank = t.kind == k::boolean ? 1 : is_integer(t.kind) ? 10 + width : 0; break;
  case kind::integer:
  case kind::natural:
    if (is_integer(t.kind)) rank = 2 * width + is_unsigned(t.kind);
    else if (t.kind == k::decimal) rank = 70 + width;
    else if (is_float(t.kind)) rank = 120 - width;
    break;
  case kind::decimal:
    if (t.kind == k::decimal) rank = width;
    else if (is_integer(t.kind)) rank = 50 + width;
    else if (is_float(t.kind)) rank = 120 - width;
    break;
  case kind::float32: rank = first_of({k::float32, k::float64, k::bfloat16, k::decimal}); break;
  case kind::float64: rank = first_of({k::float64, k::float32, k::bfloat16, k::decimal}); break;
  case kind::text:
    rank = first_of({k::string, k::fixed_string, k::enum8, k::enum16, k::uuid, k::ipv4, k::ipv6, k::date, k::date32,
                     k::datetime, k::datetime64, k::time, k::time64, k::decimal, k::float64, k::float32});
    break;
  case kind::bytes: rank = first_of({k::string, k::fixed_string, k::uuid, k::ipv6, k::ipv4}); break;
  case kind::symbol: rank = first_of({k::enum8, k::enum16, k::string, k::fixed_string}); break;
  case kind::uuid: rank = first_of({k::uuid, k::string}); break;
  case kind::date: rank = first_of({k::date, k::date32, k::datetime, k::datetime64, k::int32, k::int64}); break;
  case kind::time: rank = first_of({k::time, k::time64, k::int64}); break;
  case kind::timestamp:
  case kind::local_timestamp: rank = first_of({k::datetime, k::datetime64, k::int64}); break;
  case kind::interval: rank = first_of({k::tuple}); break;
  case kind::list:
    rank = first_of({k::nested, k::array, k::ring, k::line_string, k::polygon, k::multi_line_string, k::multi_polygon,
                     k::tuple, k::point});
    break;
  case kind::map: rank = first_of({k::map, k::json, k::tuple}); break;
  case kind::record: rank = first_of({k::tuple, k::json, k::map}); break;
  default: break;
  }
  return rank ? rank : has_text ? 198 : 0;
}

} // namespace

// -- making one -----------------------------------------------------------------------------------------------------

result<datum_writer> datum_writer::make(const type_ptr& type, const std::string& timezone) {
  datum_writer w;
  if (auto r = make_node(w.root_, type, timezone); !r) return r.failure();
  return w;
}

void datum_writer::make_order(node& n) {
  for (std::size_t k = 0; k < datum_kinds; ++k) {
    std::vector<std::pair<int, std::size_t>> ranked;
    for (std::size_t i = 0; i < n.children.size(); ++i)
      if (const int r = rank_of(*n.children[i].type, static_cast<kind>(k))) ranked.emplace_back(r, i);
    std::sort(ranked.begin(), ranked.end());
    for (const auto& [rank, i] : ranked) n.order[k].push_back(i);
  }
}

result<void> datum_writer::make_node(node& n, const type_ptr& t, const std::string& timezone) {
  n.type = json::plain_type(t);
  switch (n.type->kind) {
  case type_kind::json:
  case type_kind::dynamic: {
    auto made = json_value::make(n.type, timezone);
    if (!made) return made.failure();
    n.json = std::make_unique<json_value>(std::move(*made));
    return {};
  }
  case type_kind::array:
  case type_kind::qbit:
  case type_kind::nested:
  case type_kind::tuple:
  case type_kind::map:
  case type_kind::nullable:
  case type_kind::variant: break;
  default: {
    auto text = text_value::make(storage_type(n.type), timezone);
    if (!text) return text.failure();
    n.text = std::move(*text);
    if (n.type->kind == type_kind::enum8 || n.type->kind == type_kind::enum16) n.names.emplace(n.type);
    if (n.type->kind == type_kind::datetime || n.type->kind == type_kind::datetime64) {
      auto z = zone::find(n.type->timezone.empty() ? timezone : n.type->timezone);
      if (!z) return z.failure();
      n.in = *z;
    }
    return {};
  }
  }
  std::vector<type_ptr> inner = n.type->args;
  if (n.type->kind == type_kind::nested) {
    auto tuple = std::make_shared<chute::type>(*n.type);
    tuple->kind = type_kind::tuple;
    inner = {tuple};
  }
  for (const auto& arg : inner) {
    n.children.emplace_back();
    if (auto r = make_node(n.children.back(), arg, timezone); !r) return r;
  }
  if (n.type->kind == type_kind::tuple)
    for (std::size_t i = 0; i < n.type->names.size(); ++i) n.places.emplace(n.type->names[i], i);
  if (n.type->kind == type_kind::variant) make_order(n);
  return {};
}

// -- refusing -------------------------------------------------------------------------------------------------------

bool datum_writer::refuse(const node& n, std::string why) {
  refusal_ = {std::move(why), n.type.get()};
  return false;
}

bool datum_writer::refuse_kind(const node& n, const datum& d) {
  return refuse(n, std::string("is ") + name_of(d.kind) + ", which the type does not take");
}

bool datum_writer::tell(const node& n, const datum& d, value_error e) {
  if (e == value_error::none) return true;
  return e == wrong_kind && d.kind != kind::text ? refuse_kind(n, d) : refuse(n, describe(e));
}

std::string datum_writer::append(const datum& d, column& out) {
  const bool wrapped = out.form == layout::nullable && root_.type->kind != type_kind::nullable;
  if (append(root_, d, wrapped ? out.children[0] : out)) {
    if (wrapped) {
      mark_not_null(out);
      ++out.rows;
    }
    return {};
  }
  const bool inside = refusal_.by != root_.type.get() &&
                      !(root_.type->kind == type_kind::nullable && refusal_.by == root_.children[0].type.get());
  return inside ? "holds a value of type " + refusal_.by->text + " that " + refusal_.why : std::move(refusal_.why);
}

// -- values ---------------------------------------------------------------------------------------------------------

bool datum_writer::append(node& n, const datum& d, column& out) {
  if (n.type->kind == type_kind::nullable) {
    if (d.kind == kind::null || d.kind == kind::absent) return append_default(out), true;
    if (!append(n.children[0], d, out.children[0])) return false;
    mark_not_null(out);
    ++out.rows;
    return true;
  }
  if (d.kind == kind::absent) return append_default(out), true;
  switch (n.type->kind) {
  case type_kind::variant: return append_variant(n, d, out);
  case type_kind::dynamic:
  case type_kind::json: return append_json(n, d, out);
  default: break;
  }
  if (d.kind == kind::null) return refuse_kind(n, d);
  switch (n.type->kind) {
  case type_kind::array:
  case type_kind::qbit:
  case type_kind::nested: return append_array(n, d, out);
  case type_kind::tuple: return append_tuple(n, d, out);
  case type_kind::map: return append_map(n, d, out);
  case type_kind::string: return append_string(n, d, out);
  default: return append_scalar(n, d, out);
  }
}

bool datum_writer::append_string(node& n, const datum& d, column& out) {
  if (d.kind == kind::text || d.kind == kind::bytes || d.kind == kind::symbol) [[likely]]
    return put_text(d.text, out), true;
  (void)n;
  scratch_.clear();
  render_text(d, scratch_);
  put_text(scratch_, out);
  return true;
}

value_error datum_writer::append_number(node& n, const datum& d, column& out) {
  const auto& t = *n.type;
  if (t.kind == type_kind::decimal) return put_decimal(d, t, scratch_, out);
  if (is_integer(t.kind)) {
    if (d.has_number && (d.kind == kind::timestamp || d.kind == kind::time)) return put_nanoseconds(d, t, out);
    if (is_whole(d.kind) || (d.kind == kind::symbol && d.has_number)) return put_integer(d, t, out);
    return has_number_text(d.kind) ? put_whole_number(d, t, scratch_, out) : wrong_kind;
  }
  if (d.kind == kind::decimal) {
    scratch_.clear();
    render_text(d, scratch_);
    double v = 0;
    const auto e = parse_float64(scratch_, v);
    return e == value_error::none ? put_float(v, t, out) : e;
  }
  return has_number_text(d.kind) ? put_float(real_of(d), t, out) : wrong_kind;
}

value_error datum_writer::append_moment(node& n, const datum& d, column& out) {
  if (d.kind == kind::natural) {
    if (d.number < 0) return value_error::out_of_range; // from 2^63 on
    datum as = d;
    as.kind = kind::integer;
    return append_moment(n, as, out);
  }
  const auto& t = *n.type;
  std::int64_t v = d.number;
  auto e = value_error::none;
  switch (t.kind) {
  case type_kind::date:
  case type_kind::date32: return d.kind == kind::date || d.kind == kind::integer ? put_date(v, t, out) : wrong_kind;
  case type_kind::time:
  case type_kind::time64:
    if (d.kind == kind::time) e = rescale(v, d.scale, t.scale, v);
    else if (d.kind != kind::integer) return wrong_kind;
    return e == value_error::none ? put_time(v, t, out) : e;
  default: break;
  }
  if (d.kind == kind::integer) return put_datetime(v, t, out);
  if (d.kind == kind::timestamp) {
    e = rescale(v, d.scale, t.scale, v);
    return e == value_error::none ? put_datetime(v, t, out) : e;
  }
  if (d.kind != kind::local_timestamp && d.kind != kind::date) return wrong_kind;
  // On the clocks of the column's zone; a date is its midnight.
  std::int64_t seconds = 0, fraction = 0;
  if (d.kind == kind::date) {
    if (__builtin_mul_overflow(v, std::int64_t{86'400}, &seconds)) return value_error::out_of_range;
  } else {
    const auto unit = powers[d.scale];
    fraction = v % unit < 0 ? v % unit + unit : v % unit;
    seconds = v / unit - (v % unit < 0 ? 1 : 0);
  }
  constexpr std::int64_t reach = 20'000'000'000; // beyond DateTime64 by centuries
  if (seconds < -reach || seconds > reach) return value_error::out_of_range;
  if (e = n.in->to_unix(seconds, seconds, n.zone_hint); e != value_error::none) return e;
  if (e = rescale(fraction, d.scale, t.scale, fraction); e != value_error::none) return e;
  if (__builtin_mul_overflow(seconds, powers[t.scale], &v) || __builtin_add_overflow(v, fraction, &v))
    return value_error::out_of_range;
  return put_datetime(v, t, out);
}

bool datum_writer::append_scalar(node& n, const datum& d, column& out) {
  const auto& t = *n.type;
  const bool number = is_integer(t.kind) || is_float(t.kind) || t.kind == type_kind::decimal;
  if (number && d.kind != kind::text) [[likely]]
    return tell(n, d, append_number(n, d, out));
  auto e = wrong_kind;
  switch (t.kind) {
  case type_kind::boolean:
    if (d.kind == kind::boolean) return put(static_cast<std::uint8_t>(d.number), out), true;
    if (d.kind != kind::integer && d.kind != kind::natural) return refuse_kind(n, d);
    if (d.number != 0 && d.number != 1) return tell(n, d, value_error::out_of_range);
    return put(static_cast<std::uint8_t>(d.number), out), true;
  case type_kind::date:
  case type_kind::date32:
  case type_kind::datetime:
  case type_kind::datetime64:
  case type_kind::time:
  case type_kind::time64:
    if (d.kind != kind::text) return tell(n, d, append_moment(n, d, out));
    break;
  case type_kind::uuid:
    if (d.kind == kind::uuid || (d.kind == kind::bytes && d.text.size() == 16)) return put_uuid(d.text, out), true;
    break;
  case type_kind::ipv4:
    if (d.kind == kind::bytes && d.text.size() == 4) return put_ip(d.text, out), true;
    break;
  case type_kind::ipv6:
    if (d.kind == kind::bytes && d.text.size() == 16) return put_ip(d.text, out), true;
    break;
  case type_kind::enum8:
  case type_kind::enum16: {
    std::int16_t v = 0;
    if (d.kind == kind::symbol || d.kind == kind::text) e = n.names->by_name(d.text, v);
    const bool natural = d.kind == kind::natural && d.number >= 0;
    if (e != value_error::none && (d.kind == kind::integer || natural || (d.kind == kind::symbol && d.has_number)))
      e = n.names->by_number(d.number, v);
    if (e == value_error::none) return put_bytes(&v, t.width, out), true;
    return e == value_error::malformed ? refuse_kind(n, d) : tell(n, d, e);
  }
  case type_kind::fixed_string:
    if (d.kind == kind::bytes || d.kind == kind::symbol || d.kind == kind::interval)
      return tell(n, d, n.text->append(d.text, out));
    break;
  default: break;
  }
  return d.kind == kind::text ? tell(n, d, n.text->append(d.text, out)) : refuse_kind(n, d);
}

// -- values made of others ------------------------------------------------------------------------------------------

bool datum_writer::append_array(node& n, const datum& d, column& out) {
  column& values = out.children[0];
  node& element = n.children[0];
  const auto before = values.rows;
  if (d.kind == kind::map) {
    // The entries of a map, as pairs.
    if (element.type->kind != type_kind::tuple || element.children.size() != 2) return refuse_kind(n, d);
    for (const datum* c = d.first; c; c = c->next)
      if (!append_pair(element, *c, values)) return false;
  } else if (d.kind == kind::list) {
    for (const datum* c = d.first; c; c = c->next)
      if (!append(element, *c, values)) return false;
  } else return refuse_kind(n, d);
  if (out.length && values.rows - before != out.length)
    return refuse(n, "has another number of elements than the type");
  out.data.push(static_cast<std::uint64_t>(values.rows));
  ++out.rows;
  return true;
}

// A child of a map → (key, value).
bool datum_writer::append_pair(node& n, const datum& d, column& out) {
  datum key;
  key.kind = kind::text;
  key.text = d.name;
  if (!append(n.children[0], key, out.children[0]) || !append(n.children[1], d, out.children[1])) return false;
  ++out.rows;
  return true;
}

bool datum_writer::append_interval(node& n, const datum& d, column& out) {
  if (n.children.size() != 3 || d.text.size() != 12) return refuse_kind(n, d);
  for (std::size_t i = 0; i < 3; ++i) {
    datum part;
    part.kind = kind::integer;
    std::uint32_t v;
    std::memcpy(&v, d.text.data() + 4 * i, sizeof v);
    part.number = v;
    if (!append(n.children[i], part, out.children[i])) return false;
  }
  ++out.rows;
  return true;
}

bool datum_writer::append_tuple(node& n, const datum& d, column& out) {
  if (d.kind == kind::interval) return append_interval(n, d, out);
  const auto row = out.rows;
  if (d.kind == kind::list) {
    std::size_t i = 0;
    for (const datum* c = d.first; c; c = c->next, ++i) {
      if (i == n.children.size()) return refuse(n, "has another number of elements than the tuple");
      if (!append(n.children[i], *c, out.children[i])) return false;
    }
    if (i != n.children.size()) return refuse(n, "has another number of elements than the tuple");
    ++out.rows;
    return true;
  }
  if ((d.kind != kind::record && d.kind != kind::map) || n.places.empty()) return refuse_kind(n, d);
  for (const datum* c = d.first; c; c = c->next) {
    const auto at = n.places.find(c->name);
    if (at == n.places.end()) continue;
    node& element = n.children[at->second];
    column& to = out.children[at->second];
    if (to.rows > row) return refuse(n, "names an element of the tuple twice");
    const bool takes_null = element.type->kind == type_kind::nullable || to.form == layout::variant;
    if (c->kind == kind::null && !takes_null) append_default(to); // as if it were missing
    else if (!append(element, *c, to)) return false;
  }
  for (auto& to : out.children)
    if (to.rows == row) append_default(to);
  ++out.rows;
  return true;
}

bool datum_writer::append_map(node& n, const datum& d, column& out) {
  column& pairs = out.children[0];
  if (d.kind == kind::map || d.kind == kind::record) {
    for (const datum* c = d.first; c; c = c->next)
      if (!append_pair(n, *c, pairs)) return false;
  } else if (d.kind == kind::list) {
    // Pairs: records of two fields, as maps come whose keys are no texts.
    for (const datum* c = d.first; c; c = c->next) {
      const bool pair =
          (c->kind == kind::record || c->kind == kind::list) && c->first && c->first->next && !c->first->next->next;
      if (!pair) return refuse_kind(n, d);
      if (!append(n.children[0], *c->first, pairs.children[0]) ||
          !append(n.children[1], *c->first->next, pairs.children[1]))
        return false;
      ++pairs.rows;
    }
  } else return refuse_kind(n, d);
  out.data.push(static_cast<std::uint64_t>(pairs.rows));
  ++out.rows;
  return true;
}

bool datum_writer::append_variant(node& n, const datum& d, column& out) {
  if (d.kind == kind::null) return append_default(out), true;
  std::vector<std::size_t> sizes;
  for (const auto i : n.order[static_cast<std::size_t>(d.kind)]) {
    column& values = out.children[i];
    sizes.clear();
    save(values, sizes);
    if (append(n.children[i], d, values)) return put(static_cast<std::uint8_t>(i), out), true;
    restore(values, sizes.data());
  }
  return refuse(n, std::string("is ") + name_of(d.kind) + " that none of the Variant's types takes");
}

bool datum_writer::append_json(node& n, const datum& d, column& out) {
  if (d.kind == kind::null && n.type->kind == type_kind::dynamic) return append_default(out), true;
  if (n.type->kind == type_kind::json && d.kind == kind::text) scratch_.assign(d.text); // JSON that came as a text
  else {
    scratch_.clear();
    render_json(d, scratch_);
  }
  auto wrong = n.json->append(scratch_, out);
  return wrong.empty() || refuse(n, std::move(wrong));
}

} // namespace chute
