#include "test/kit/row_binary.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

namespace chute::kit {
namespace {

struct simple {
  std::string_view name;
  kind what;
  std::uint32_t width;
};
constexpr simple simple_types[] = {
    {"UInt8", kind::uint8, 1},       {"UInt16", kind::uint16, 2},   {"UInt32", kind::uint32, 4},
    {"UInt64", kind::uint64, 8},     {"Int8", kind::int8, 1},       {"Int16", kind::int16, 2},
    {"Int32", kind::int32, 4},       {"Int64", kind::int64, 8},     {"Float32", kind::float32, 4},
    {"Float64", kind::float64, 8},   {"Bool", kind::boolean, 1},    {"Date", kind::date, 2},
    {"DateTime", kind::datetime, 4}, {"UUID", kind::skipped, 16},   {"IPv4", kind::skipped, 4},
    {"IPv6", kind::skipped, 16},     {"Int128", kind::skipped, 16}, {"UInt128", kind::skipped, 16},
};

// The arguments between the brackets, cut at the commas of this level.
std::vector<std::string_view> arguments(std::string_view text) {
  std::vector<std::string_view> out;
  int depth = 0;
  bool quoted = false;
  std::size_t from = 0;
  for (std::size_t i = 0; i <= text.size(); i++) {
    if (i == text.size() || (text[i] == ',' && depth == 0 && !quoted)) {
      std::string_view a = text.substr(from, i - from);
      while (!a.empty() && a.front() == ' ') a.remove_prefix(1);
      out.push_back(a);
      from = i + 1;
    } else if (text[i] == '\'') {
      quoted = !quoted;
    } else if (!quoted) {
      depth += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
    }
  }
  return out;
}

std::uint32_t small_number(std::string_view text) {
  std::uint32_t v = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), v).ec != std::errc()) {
    throw failure("oracle: \"" + std::string(text) + "\" is no number of a type");
  }
  return v;
}

// A tuple's argument may carry a name before its type: `name Type`.
std::string_view without_name(std::string_view a) {
  const std::size_t space = a.find(' '), bracket = a.find('(');
  return space < bracket ? a.substr(space + 1) : a;
}

value_type compound(std::string_view name, std::string_view inside) {
  value_type t;
  const std::vector<std::string_view> args = arguments(inside);
  if (name == "Nullable") t.what = kind::nullable;
  else if (name == "Array") t.what = kind::array;
  else if (name == "Map") t.what = kind::map;
  else if (name == "Tuple") t.what = kind::tuple;
  else
    throw failure("oracle: type " + std::string(name) + "(" + std::string(inside) +
                  ") is not known to it (use --ignore COLUMN)");
  for (std::string_view a : args) t.args.push_back(parse_value_type(t.what == kind::tuple ? without_name(a) : a));
  const std::size_t wanted = t.what == kind::map ? 2 : t.what == kind::tuple ? args.size() : 1;
  if (t.args.size() != wanted) throw failure("oracle: type " + std::string(name) + " has too many arguments");
  return t;
}

template <class T> void put(std::string& out, T v) { out.append(reinterpret_cast<const char*>(&v), sizeof v); }

using element = simdjson::dom::element;

enum class cell : std::uint8_t { good, bad, open };

bool fits(kind k, std::uint64_t v) {
  switch (k) {
  case kind::uint8: return v <= 0xff;
  case kind::uint16: return v <= 0xffff;
  case kind::uint32: return v <= 0xffffffff;
  case kind::uint64: return true;
  case kind::int8: return v <= 0x7f;
  case kind::int16: return v <= 0x7fff;
  case kind::int32: return v <= 0x7fffffff;
  default: return v <= 0x7fffffffffffffff;
  }
}

bool fits_negative(kind k, std::int64_t v) {
  switch (k) {
  case kind::int8: return v >= std::numeric_limits<std::int8_t>::min();
  case kind::int16: return v >= std::numeric_limits<std::int16_t>::min();
  case kind::int32: return v >= std::numeric_limits<std::int32_t>::min();
  case kind::int64: return true;
  default: return false;
  }
}

cell integer(const value_type& t, element e, std::string& out) {
  std::uint64_t bits = 0;
  if (e.is_uint64()) {
    bits = e.get_uint64().value_unsafe();
    if (!fits(t.what, bits)) return cell::bad;
  } else if (e.is_int64()) {
    const std::int64_t v = e.get_int64().value_unsafe();
    if (v < 0 ? !fits_negative(t.what, v) : !fits(t.what, static_cast<std::uint64_t>(v))) return cell::bad;
    bits = static_cast<std::uint64_t>(v);
  } else if (e.is_double()) {
    const double v = e.get_double().value_unsafe();
    return v == std::floor(v) ? cell::open : cell::bad;
  } else if (e.is_string()) { // digits are taken, words are not
    const std::string_view s = e.get_string().value_unsafe();
    return !s.empty() && s.find_first_not_of("+-0123456789") == s.npos ? cell::open : cell::bad;
  } else {
    return e.is_bool() ? cell::open : cell::bad;
  }
  out.append(reinterpret_cast<const char*>(&bits), t.width); // little endian, as the machine is
  return cell::good;
}

cell floating(const value_type& t, element e, std::string& out) {
  double v = 0;
  if (e.is_double()) v = e.get_double().value_unsafe();
  else if (e.is_uint64()) v = static_cast<double>(e.get_uint64().value_unsafe());
  else if (e.is_int64()) v = static_cast<double>(e.get_int64().value_unsafe());
  else return e.is_string() || e.is_bool() ? cell::open : cell::bad;
  if (t.what == kind::float64) put(out, v);
  else put(out, static_cast<float>(v));
  return cell::good;
}

cell moment(const value_type& t, element e, std::string& out) {
  if (e.is_uint64() || e.is_int64() || e.is_double()) return cell::open; // Unix numbers: the documentation decides
  if (!e.is_string()) return cell::bad;
  bool open = false;
  const std::optional<std::int64_t> ms = parse_time_ms(e.get_string().value_unsafe(), open);
  if (!ms) return open ? cell::open : cell::bad;
  if (t.what == kind::datetime64 && t.scale == 3) {
    put(out, *ms);
    return cell::good;
  }
  if (t.what == kind::datetime && *ms % 1000 == 0 && *ms >= 0 && *ms / 1000 <= 0xffffffffll) {
    put(out, static_cast<std::uint32_t>(*ms / 1000));
    return cell::good;
  }
  return cell::open;
}

cell render(const value_type& t, element e, std::string& out);

cell texts(const value_type& t, element e, std::string& out) {
  if (!e.is_string()) return cell::open;
  const std::string_view s = e.get_string().value_unsafe();
  if (t.what == kind::string) {
    append_length(out, s.size());
    out += s;
    return cell::good;
  }
  if (s.size() > t.width) return cell::bad;
  out += s;
  out.append(t.width - s.size(), '\0');
  return cell::good;
}

cell list(const value_type& t, element e, std::string& out) {
  if (!e.is_array()) return cell::bad;
  const simdjson::dom::array items = e.get_array().value_unsafe();
  append_length(out, items.size());
  for (element item : items) {
    if (item.is_null() && t.args[0].what != kind::nullable) return cell::open;
    if (const cell c = render(t.args[0], item, out); c != cell::good) return c;
  }
  return cell::good;
}

cell dictionary(const value_type& t, element e, std::string& out) {
  if (!e.is_object() || t.args[0].what != kind::string) return e.is_object() ? cell::open : cell::bad;
  const simdjson::dom::object items = e.get_object().value_unsafe();
  append_length(out, items.size());
  for (const auto& [key, item] : items) {
    append_length(out, key.size());
    out += key;
    if (item.is_null() && t.args[1].what != kind::nullable) return cell::open;
    if (const cell c = render(t.args[1], item, out); c != cell::good) return c;
  }
  return cell::good;
}

cell render(const value_type& t, element e, std::string& out) {
  switch (t.what) {
  case kind::nullable: out += e.is_null() ? '\1' : '\0'; return e.is_null() ? cell::good : render(t.args[0], e, out);
  case kind::string:
  case kind::fixed_string: return texts(t, e, out);
  case kind::float32:
  case kind::float64: return floating(t, e, out);
  case kind::boolean:
    if (!e.is_bool()) return e.is_array() || e.is_object() ? cell::bad : cell::open;
    out += e.get_bool().value_unsafe() ? '\1' : '\0';
    return cell::good;
  case kind::datetime:
  case kind::datetime64: return moment(t, e, out);
  case kind::array: return list(t, e, out);
  case kind::map: return dictionary(t, e, out);
  case kind::date:
  case kind::tuple:
  case kind::skipped: return cell::open;
  default: return integer(t, e, out);
  }
}

// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
std::int64_t days_since_epoch(int year, int month, int day) {
  constexpr int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  const auto leap_days = [](std::int64_t y) { return y / 4 - y / 100 + y / 400; };
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return 365ll * (year - 1970) + leap_days(year - 1) - leap_days(1969) + before[month - 1] + (leap && month > 2) + day -
         1;
}

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t n) {
  if (at + n > text.size()) return {};
  int v = 0;
  for (std::size_t i = at; i < at + n; i++) {
    if (text[i] < '0' || text[i] > '9') return {};
    v = v * 10 + (text[i] - '0');
  }
  return v;
}

// Errors of the parser that leave open what the engine does: a document too deep or a number too long for this parser.
bool leaves_open(simdjson::error_code e) {
  return e == simdjson::DEPTH_ERROR || e == simdjson::NUMBER_ERROR || e == simdjson::CAPACITY;
}

} // namespace

void append_length(std::string& out, std::uint64_t v) {
  for (; v >= 0x80; v >>= 7) out += static_cast<char>(v | 0x80);
  out += static_cast<char>(v);
}

std::optional<std::uint64_t> read_length(const char*& at, const char* end) {
  std::uint64_t v = 0;
  for (int shift = 0; shift < 64 && at < end; shift += 7) {
    const auto b = static_cast<unsigned char>(*at++);
    v |= static_cast<std::uint64_t>(b & 0x7f) << shift;
    if (b < 0x80) return v;
  }
  return {};
}

value_type parse_value_type(std::string_view text) {
  value_type t;
  for (const simple& s : simple_types) {
    if (s.name != text) continue;
    t.what = s.what;
    t.width = s.width;
    return t;
  }
  if (text == "String") return t;
  const std::size_t open = text.find('(');
  if (open == text.npos || text.back() != ')') {
    throw failure("oracle: type " + std::string(text) + " is not known to it (use --ignore COLUMN)");
  }
  const std::string_view name = text.substr(0, open), inside = text.substr(open + 1, text.size() - open - 2);
  if (name == "LowCardinality") return parse_value_type(inside);
  if (name == "FixedString" || name == "DateTime64" || name == "DateTime") {
    t.what = name == "FixedString" ? kind::fixed_string : name == "DateTime" ? kind::datetime : kind::datetime64;
    t.width = name == "FixedString" ? small_number(inside) : name == "DateTime" ? 4 : 8;
    if (name == "DateTime64") t.scale = small_number(arguments(inside).at(0));
    return t;
  }
  return compound(name, inside);
}

std::optional<const char*> skip(const value_type& t, const char* at, const char* end) {
  switch (t.what) {
  case kind::string: {
    const auto n = read_length(at, end);
    if (!n || *n > static_cast<std::uint64_t>(end - at)) return {};
    return at + *n;
  }
  case kind::nullable:
    if (at == end) return {};
    return *at++ ? std::optional(at) : skip(t.args[0], at, end);
  case kind::array:
  case kind::map: {
    const auto n = read_length(at, end);
    if (!n) return {};
    for (std::uint64_t i = 0; i < *n; i++) {
      for (const value_type& a : t.args) {
        const auto next = skip(a, at, end);
        if (!next) return {};
        at = *next;
      }
    }
    return at;
  }
  case kind::tuple:
    for (const value_type& a : t.args) {
      const auto next = skip(a, at, end);
      if (!next) return {};
      at = *next;
    }
    return at;
  default:
    if (static_cast<std::uint64_t>(end - at) < t.width) return {};
    return at + t.width;
  }
}

void render_default(const value_type& t, std::string& out) {
  switch (t.what) {
  case kind::nullable: out += '\1'; break;
  case kind::string:
  case kind::array:
  case kind::map: out += '\0'; break;
  case kind::tuple:
    for (const value_type& a : t.args) render_default(a, out);
    break;
  default: out.append(t.width, '\0');
  }
}

std::optional<std::int64_t> parse_time_ms(std::string_view s, bool& open) {
  open = false;
  const auto year = digits(s, 0, 4), month = digits(s, 5, 2), day = digits(s, 8, 2);
  const auto hour = digits(s, 11, 2), minute = digits(s, 14, 2), second = digits(s, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) {
    open = s.size() < 19 && !s.empty() && s.find_first_not_of("0123456789.-+:TZ ") == s.npos;
    return {};
  }
  constexpr int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = *year % 4 == 0 && (*year % 100 != 0 || *year % 400 == 0);
  if (s[4] != '-' || s[7] != '-' || (s[10] != 'T' && s[10] != ' ') || s[13] != ':' || s[16] != ':') return {};
  if (*month < 1 || *month > 12 || *day < 1 || *day > month_days[*month - 1] + (leap && *month == 2) || *hour > 23 ||
      *minute > 59 || *second > 59)
    return {};
  std::size_t at = 19;
  std::int64_t fraction = 0, unit = 1000;
  if (at < s.size() && s[at] == '.') {
    for (at++; at < s.size() && s[at] >= '0' && s[at] <= '9'; at++) {
      if (unit == 1 && s[at] != '0') open = true; // finer than a millisecond
      if (unit == 1) continue;
      unit /= 10;
      fraction += (s[at] - '0') * unit;
    }
  }
  std::int64_t offset_minutes = 0;
  const std::string_view zone = s.substr(at);
  if (zone.empty()) open = true; // the column's or the server's zone
  else if (zone.size() == 6 && (zone[0] == '+' || zone[0] == '-') && zone[3] == ':') {
    const auto h = digits(zone, 1, 2), m = digits(zone, 4, 2);
    if (!h || !m) return {};
    offset_minutes = (*h * 60 + *m) * (zone[0] == '-' ? -1 : 1);
  } else if (zone != "Z") return {};
  if (open) return {};
  const std::int64_t seconds = days_since_epoch(*year, *month, *day) * 86'400 + *hour * 3600 + *minute * 60 + *second;
  return (seconds - offset_minutes * 60) * 1000 + fraction;
}

renderer::renderer(std::vector<row_column> columns) : columns_(std::move(columns)) {
  cells_.resize(columns_.size());
  filled_.resize(columns_.size());
  for (const row_column& c : columns_) needs_json_ |= c.source == row_column::from::field;
}

verdict renderer::fields(std::string_view value) {
  if (padded_.size() < value.size() + simdjson::SIMDJSON_PADDING)
    padded_.resize(value.size() + simdjson::SIMDJSON_PADDING);
  std::memcpy(padded_.data(), value.data(), value.size());
  element root;
  if (const auto e = parser_.parse(padded_.data(), value.size(), false).get(root)) {
    return leaves_open(e) ? verdict::either : verdict::dead_letter;
  }
  if (!root.is_object()) return verdict::dead_letter;
  bool open = false;
  std::size_t guess = 0; // fields mostly come in the same order
  const simdjson::dom::object object = root.get_object().value_unsafe();
  for (const auto& [name, item] : object) {
    std::size_t i = 0;
    for (; i < columns_.size(); i++) {
      const std::size_t at = (guess + i) % columns_.size();
      if (columns_[at].source == row_column::from::field && columns_[at].name == name) break;
    }
    if (i == columns_.size()) continue; // a field without a column
    const std::size_t at = (guess + i) % columns_.size();
    guess = at + 1;
    if (filled_[at]) return verdict::dead_letter; // twice: which one counts?
    filled_[at] = true;
    cells_[at].clear();
    if (item.is_null() && columns_[at].type.what != kind::nullable) {
      cells_[at] = columns_[at].default_bytes;
      continue;
    }
    const cell c = kit::render(columns_[at].type, item, cells_[at]);
    if (c == cell::bad) return verdict::dead_letter;
    open |= c == cell::open;
  }
  return open ? verdict::either : verdict::row;
}

verdict renderer::assemble(const raw_record& r, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < columns_.size(); i++) {
    const row_column& c = columns_[i];
    switch (c.source) {
    case row_column::from::field: out += filled_[i] ? cells_[i] : c.default_bytes; break;
    case row_column::from::whole_value:
      append_length(out, r.value->size());
      out += *r.value;
      break;
    case row_column::from::timestamp: put(out, r.timestamp_ms); break;
    case row_column::from::key:
      if (c.type.what == kind::nullable) out += r.key ? '\0' : '\1';
      if (c.type.what == kind::nullable && !r.key) break;
      append_length(out, r.key ? r.key->size() : 0);
      if (r.key) out += *r.key;
      break;
    }
  }
  return verdict::row;
}

verdict renderer::render(const raw_record& r, std::string& out) {
  if (!r.value) return verdict::dead_letter; // a tombstone, with deletes: reject
  std::fill(filled_.begin(), filled_.end(), false);
  if (needs_json_) {
    if (const verdict v = fields(*r.value); v != verdict::row) return v;
  }
  return assemble(r, out);
}

} // namespace chute::kit
