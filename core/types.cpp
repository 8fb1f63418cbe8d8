#include "core/types.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

namespace chute {
namespace {

constexpr int nesting_max = 64;
constexpr std::size_t text_max = 1 << 20;
constexpr std::uint32_t fixed_string_max = 0xFFFFFF; // ClickHouse's own limit
constexpr std::uint32_t decimal_precision_max = 76;
constexpr std::uint32_t fraction_digits_max = 9; // DateTime64 and Time64

struct plain_type {
  std::string_view name;
  type_kind kind;
  std::uint32_t width;
};

// Types without arguments.
constexpr std::array plain_types = {
    plain_type{"Int8", type_kind::int8, 1},
    plain_type{"Int16", type_kind::int16, 2},
    plain_type{"Int32", type_kind::int32, 4},
    plain_type{"Int64", type_kind::int64, 8},
    plain_type{"Int128", type_kind::int128, 16},
    plain_type{"Int256", type_kind::int256, 32},
    plain_type{"UInt8", type_kind::uint8, 1},
    plain_type{"UInt16", type_kind::uint16, 2},
    plain_type{"UInt32", type_kind::uint32, 4},
    plain_type{"UInt64", type_kind::uint64, 8},
    plain_type{"UInt128", type_kind::uint128, 16},
    plain_type{"UInt256", type_kind::uint256, 32},
    plain_type{"BFloat16", type_kind::bfloat16, 2},
    plain_type{"Float32", type_kind::float32, 4},
    plain_type{"Float64", type_kind::float64, 8},
    plain_type{"Bool", type_kind::boolean, 1},
    plain_type{"String", type_kind::string, 0},
    plain_type{"UUID", type_kind::uuid, 16},
    plain_type{"Date", type_kind::date, 2},
    plain_type{"Date32", type_kind::date32, 4},
    plain_type{"Time", type_kind::time, 4},
    plain_type{"IPv4", type_kind::ipv4, 4},
    plain_type{"IPv6", type_kind::ipv6, 16},
    plain_type{"Point", type_kind::point, 0},
    plain_type{"Ring", type_kind::ring, 0},
    plain_type{"LineString", type_kind::line_string, 0},
    plain_type{"MultiLineString", type_kind::multi_line_string, 0},
    plain_type{"Polygon", type_kind::polygon, 0},
    plain_type{"MultiPolygon", type_kind::multi_polygon, 0},
    plain_type{"Geometry", type_kind::geometry, 0},
    plain_type{"Nothing", type_kind::nothing, 1},
    plain_type{"IntervalNanosecond", type_kind::interval, 8},
    plain_type{"IntervalMicrosecond", type_kind::interval, 8},
    plain_type{"IntervalMillisecond", type_kind::interval, 8},
    plain_type{"IntervalSecond", type_kind::interval, 8},
    plain_type{"IntervalMinute", type_kind::interval, 8},
    plain_type{"IntervalHour", type_kind::interval, 8},
    plain_type{"IntervalDay", type_kind::interval, 8},
    plain_type{"IntervalWeek", type_kind::interval, 8},
    plain_type{"IntervalMonth", type_kind::interval, 8},
    plain_type{"IntervalQuarter", type_kind::interval, 8},
    plain_type{"IntervalYear", type_kind::interval, 8},
};

std::uint32_t decimal_width(std::uint32_t precision) {
  if (precision <= 9) return 4;
  if (precision <= 18) return 8;
  return precision <= 38 ? 16 : 32;
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_word_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return is_word_start(c) || is_digit(c); }

std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& p : parts) {
    if (!out.empty()) out += ", ";
    out += p;
  }
  return out;
}

// Leaves parse() with the place of the first thing that is wrong; caught in parse_type and nowhere else.
struct malformed {
  std::size_t at;
  std::string what;
};

// A name in a tuple: what it is, and how it is written.
struct written_name {
  std::string value, text;
};

class parser {
public:
  explicit parser(std::string_view text) : text_(text) {}

  type_ptr parse_all() {
    auto t = parse(0);
    skip_space();
    if (at_ != text_.size()) fail("text after the end of the type");
    return t;
  }

private:
  // --- characters ----------------------------------------------------------------------------------------------------

  [[noreturn]] void fail(std::string what) const { throw malformed{at_, std::move(what)}; }
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("expected '") + c + "'");
  }

  // --- words, numbers, quoted text ---------------------------------------------------------------------------------

  std::string_view word() {
    skip_space();
    const auto begin = at_;
    if (at_ >= text_.size() || !is_word_start(text_[at_])) fail("expected a name");
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::uint32_t number(std::uint32_t min, std::uint32_t max, const char* what) {
    skip_space();
    std::uint32_t v = 0;
    const auto* begin = text_.data() + at_;
    const auto [end, ec] = std::from_chars(begin, text_.data() + text_.size(), v);
    if (ec != std::errc{} || v < min || v > max)
      fail(std::string("expected ") + what + " from " + std::to_string(min) + " to " + std::to_string(max));
    at_ += static_cast<std::size_t>(end - begin);
    return v;
  }

  // Decodes text between `quote`s with ClickHouse's escapes; a doubled quote stands for itself.
  std::string quoted(char quote) {
    expect(quote);
    std::string out;
    while (true) {
      if (at_ >= text_.size()) fail("quoted text does not end");
      const char c = text_[at_++];
      if (c == '\\') {
        out += escaped();
      } else if (c != quote) {
        out += c;
      } else if (at_ < text_.size() && text_[at_] == quote) {
        out += quote;
        ++at_;
      } else {
        return out;
      }
    }
  }

  char escaped() {
    if (at_ >= text_.size()) fail("quoted text ends in an escape");
    const char c = text_[at_++];
    switch (c) {
    case 'a': return '\a';
    case 'b': return '\b';
    case 'e': return '\x1B';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    case '0': return '\0';
    case 'x': {
      unsigned v = 0;
      const auto hex = text_.substr(at_, 2);
      const auto [end, ec] = std::from_chars(hex.data(), hex.data() + hex.size(), v, 16);
      if (hex.size() != 2 || ec != std::errc{} || end != hex.data() + 2)
        fail("expected two hexadecimal digits after \\x");
      at_ += 2;
      return static_cast<char>(v);
    }
    default: return c;
    }
  }

  // Text from `begin` to here as it was written.
  std::string written(std::size_t begin) const { return std::string(text_.substr(begin, at_ - begin)); }

  written_name name() {
    const char quote = peek();
    const auto begin = at_;
    if (quote == '`' || quote == '"') {
      auto value = quoted(quote);
      return {std::move(value), written(begin)};
    }
    auto value = std::string(word());
    return {value, value};
  }

  // Anything up to the closing parenthesis or comma of this level: parameters that mean nothing to us. White space is
  // made one blank.
  std::string raw_argument() {
    std::string out;
    std::size_t depth = 0;
    while (true) {
      if (at_ < text_.size() && is_space(text_[at_])) {
        skip_space();
        if (!out.empty() && at_ < text_.size() && text_[at_] != ',' && text_[at_] != ')') out += ' ';
      }
      if (at_ >= text_.size()) fail("a parenthesis is not closed");
      const char c = text_[at_];
      if (depth == 0 && (c == ',' || c == ')')) break;
      if (c == '\'' || c == '`' || c == '"') {
        const auto begin = at_;
        quoted(c);
        out += written(begin);
        continue;
      }
      if (c == '(' && ++depth > nesting_max) fail("nested deeper than 64 levels");
      if (c == ')') --depth;
      out += c;
      ++at_;
    }
    if (out.empty()) fail("an argument is empty");
    return out;
  }

  // --- types ---------------------------------------------------------------------------------------------------------

  type_ptr parse(int depth) {
    if (depth > nesting_max) fail("nested deeper than 64 levels");
    const auto name = word();
    for (const auto& p : plain_types)
      if (p.name == name) return plain(p);
    auto t = std::make_shared<type>();
    if (!parse_sized(name, *t) && !parse_composite(name, *t, depth) && !parse_special(name, *t, depth))
      parse_unknown(name, *t);
    return t;
  }

  static type_ptr plain(const plain_type& p) {
    auto t = std::make_shared<type>();
    t->kind = p.kind;
    t->text = p.name;
    t->width = p.width;
    return t;
  }

  // Types with numbers, a time zone or names of values.
  bool parse_sized(std::string_view name, type& t) {
    if (name == "FixedString") {
      fixed_string(t);
    } else if (name == "DateTime" || name == "DateTime32") {
      datetime(t);
    } else if (name == "DateTime64") {
      datetime64(t);
    } else if (name == "Time64") {
      time64(t);
    } else if (name == "Enum8") {
      enumeration(t, type_kind::enum8, 1, "Enum8");
    } else if (name == "Enum16") {
      enumeration(t, type_kind::enum16, 2, "Enum16");
    } else if (name == "Decimal") {
      expect('(');
      t.precision = number(1, decimal_precision_max, "a precision");
      if (accept(',')) t.scale = number(0, t.precision, "a scale");
      decimal(t);
    } else if (name == "Decimal32" || name == "Decimal64" || name == "Decimal128" || name == "Decimal256") {
      t.precision = name == "Decimal32" ? 9 : name == "Decimal64" ? 18 : name == "Decimal128" ? 38 : 76;
      expect('(');
      t.scale = number(0, t.precision, "a scale");
      decimal(t);
    } else {
      return false;
    }
    return true;
  }

  void fixed_string(type& t) {
    expect('(');
    t.kind = type_kind::fixed_string;
    t.width = number(1, fixed_string_max, "a length");
    expect(')');
    t.text = "FixedString(" + std::to_string(t.width) + ")";
  }

  std::string time_zone(type& t) {
    skip_space();
    const auto begin = at_;
    t.timezone = quoted('\'');
    return written(begin);
  }

  void datetime(type& t) {
    t.kind = type_kind::datetime;
    t.width = 4;
    t.text = "DateTime";
    if (!accept('(')) return;
    t.text += "(" + time_zone(t) + ")";
    expect(')');
  }

  void datetime64(type& t) {
    expect('(');
    t.kind = type_kind::datetime64;
    t.width = 8;
    t.scale = number(0, fraction_digits_max, "a number of digits");
    t.text = "DateTime64(" + std::to_string(t.scale);
    if (accept(',')) t.text += ", " + time_zone(t);
    expect(')');
    t.text += ")";
  }

  void time64(type& t) {
    expect('(');
    t.kind = type_kind::time64;
    t.width = 8;
    t.scale = number(0, fraction_digits_max, "a number of digits");
    expect(')');
    t.text = "Time64(" + std::to_string(t.scale) + ")";
  }

  void decimal(type& t) {
    expect(')');
    t.kind = type_kind::decimal;
    t.width = decimal_width(t.precision);
    t.text = "Decimal(" + std::to_string(t.precision) + ", " + std::to_string(t.scale) + ")";
  }

  void enumeration(type& t, type_kind kind, std::uint32_t width, const char* name) {
    t.kind = kind;
    t.width = width;
    const long low = width == 1 ? -128 : -32768, high = -low - 1;
    std::vector<std::string> parts;
    expect('(');
    do {
      skip_space();
      const auto begin = at_;
      auto label = quoted('\'');
      auto part = written(begin);
      expect('=');
      skip_space();
      long v = 0;
      const auto* from = text_.data() + at_;
      const auto [end, ec] = std::from_chars(from, text_.data() + text_.size(), v);
      if (ec != std::errc{} || v < low || v > high) fail(std::string("expected a value of ") + name);
      at_ += static_cast<std::size_t>(end - from);
      parts.push_back(part + " = " + std::to_string(v));
      t.enum_values.emplace_back(std::move(label), static_cast<std::int16_t>(v));
    } while (accept(','));
    expect(')');
    t.text = std::string(name) + "(" + join(parts) + ")";
  }

  bool parse_composite(std::string_view name, type& t, int depth) {
    if (name == "Array") {
      fixed_arguments(t, type_kind::array, name, 1, depth);
    } else if (name == "Nullable") {
      fixed_arguments(t, type_kind::nullable, name, 1, depth);
    } else if (name == "LowCardinality") {
      fixed_arguments(t, type_kind::low_cardinality, name, 1, depth);
    } else if (name == "Map") {
      fixed_arguments(t, type_kind::map, name, 2, depth);
    } else if (name == "Tuple") {
      fields(t, type_kind::tuple, name, depth);
    } else if (name == "Nested") {
      fields(t, type_kind::nested, name, depth);
    } else if (name == "Variant") {
      variant(t, depth);
    } else {
      return false;
    }
    return true;
  }

  void fixed_arguments(type& t, type_kind kind, std::string_view name, std::size_t count, int depth) {
    t.kind = kind;
    std::vector<std::string> parts;
    expect('(');
    for (std::size_t i = 0; i < count; ++i) {
      if (i) expect(',');
      t.args.push_back(parse(depth + 1));
      parts.push_back(t.args.back()->text);
    }
    expect(')');
    t.text = std::string(name) + "(" + join(parts) + ")";
  }

  // Tuple(Int8, String), Tuple(a Int8, `b c` String), Nested(a Int8, …): a field has a name if two words stand there.
  void fields(type& t, type_kind kind, std::string_view type_name, int depth) {
    t.kind = kind;
    std::vector<std::string> parts;
    expect('(');
    if (!accept(')')) {
      do {
        const bool named = field_has_name();
        if (!parts.empty() && named != !t.names.empty()) fail("only some of the fields have names");
        std::string part;
        if (named) {
          auto n = name();
          part = n.text + " ";
          t.names.push_back(std::move(n.value));
        }
        t.args.push_back(parse(depth + 1));
        parts.push_back(part + t.args.back()->text);
      } while (accept(','));
      expect(')');
    }
    if (kind == type_kind::nested && t.names.empty()) fail("Nested needs fields with names");
    t.text = std::string(type_name) + "(" + join(parts) + ")";
  }

  bool field_has_name() {
    const char c = peek();
    if (c == '`' || c == '"') return true;
    const auto begin = at_;
    word();
    const char next = peek();
    at_ = begin;
    return next == '`' || next == '"' || is_word_start(next);
  }

  // The server numbers the alternatives by their sorted names, whatever the order they were written in.
  void variant(type& t, int depth) {
    t.kind = type_kind::variant;
    expect('(');
    if (!accept(')')) {
      do t.args.push_back(parse(depth + 1));
      while (accept(','));
      expect(')');
    }
    std::sort(t.args.begin(), t.args.end(), [](const auto& a, const auto& b) { return a->text < b->text; });
    const auto same = [](const auto& a, const auto& b) { return a->text == b->text; };
    t.args.erase(std::unique(t.args.begin(), t.args.end(), same), t.args.end());
    if (t.args.size() > 254) fail("more than 254 alternatives");
    std::vector<std::string> parts;
    for (const auto& a : t.args) parts.push_back(a->text);
    t.text = "Variant(" + join(parts) + ")";
  }

  bool parse_special(std::string_view name, type& t, int depth) {
    if (name == "JSON") {
      json(t, depth);
    } else if (name == "Dynamic") {
      t.kind = type_kind::dynamic;
      t.text = "Dynamic" + raw_arguments(false);
    } else if (name == "SimpleAggregateFunction") {
      t.kind = type_kind::simple_aggregate_function;
      expect('(');
      const auto function = raw_argument();
      expect(',');
      t.args.push_back(parse(depth + 1));
      expect(')');
      t.text = "SimpleAggregateFunction(" + function + ", " + t.args[0]->text + ")";
    } else if (name == "AggregateFunction") {
      t.kind = type_kind::aggregate_function;
      t.text = "AggregateFunction" + raw_arguments(true);
    } else if (name == "QBit") {
      t.kind = type_kind::qbit;
      expect('(');
      t.args.push_back(parse(depth + 1));
      expect(',');
      t.precision = number(1, fixed_string_max, "a number of dimensions");
      t.text = "QBit(" + t.args[0]->text + ", " + std::to_string(t.precision);
      while (accept(',')) {
        skip_space();
        t.text += ", " + raw_argument();
      }
      expect(')');
      t.text += ")";
    } else {
      return false;
    }
    return true;
  }

  // "(a, b)", or nothing where there are no parentheses.
  std::string raw_arguments(bool required) {
    if (required) expect('(');
    else if (!accept('(')) return "";
    std::vector<std::string> parts;
    if (accept(')')) return "()";
    do {
      skip_space();
      parts.push_back(raw_argument());
    } while (accept(','));
    expect(')');
    return "(" + join(parts) + ")";
  }

  // JSON(max_dynamic_paths=8, a.b UInt32, SKIP c, SKIP REGEXP 'd.*'): the paths with types go into names and args.
  void json(type& t, int depth) {
    t.kind = type_kind::json;
    t.text = "JSON";
    if (!accept('(')) return;
    std::vector<std::string> parts;
    if (!accept(')')) {
      do parts.push_back(json_argument(t, depth));
      while (accept(','));
      expect(')');
    }
    if (!parts.empty()) t.text += "(" + join(parts) + ")";
  }

  std::string json_argument(type& t, int depth) {
    skip_space();
    const auto begin = at_;
    if (peek() != '`' && peek() != '"') {
      const auto first = word();
      const char next = peek();
      at_ = begin;
      // SKIP is a path itself if it is followed by a point.
      if (next == '=' || (first == "SKIP" && next != '.')) return raw_argument();
    }
    std::string path, text;
    do {
      if (!path.empty()) {
        path += '.';
        text += '.';
      }
      const auto part = name();
      path += part.value;
      text += part.text;
    } while (accept('.'));
    auto value = parse(depth + 1);
    text += " " + value->text;
    t.names.push_back(std::move(path));
    t.args.push_back(std::move(value));
    return text;
  }

  void parse_unknown(std::string_view name, type& t) {
    t.kind = type_kind::unknown;
    t.text = std::string(name);
    // Names of several words, as old clients write them: DOUBLE PRECISION.
    while (is_word_start(peek())) t.text += " " + std::string(word());
    t.text += raw_arguments(false);
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

// What stands at `at`, for an error: a little of the text around it.
std::string place(std::string_view text, std::size_t at) {
  constexpr std::size_t around = 24;
  const auto begin = at > around ? at - around : 0;
  std::string out = "at character " + std::to_string(at + 1) + ": \"";
  if (begin) out += "…";
  for (char c : text.substr(begin, at - begin)) out += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  out += " ⟨here⟩ ";
  for (char c : text.substr(at, around)) out += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  if (text.size() > at + around) out += "…";
  return out + "\"";
}

type_ptr made(type_kind kind, std::string text, std::vector<type_ptr> args, std::vector<std::string> names = {}) {
  auto t = std::make_shared<type>();
  t->kind = kind;
  t->text = std::move(text);
  t->args = std::move(args);
  t->names = std::move(names);
  return t;
}

type_ptr array_of(const type_ptr& t) { return made(type_kind::array, "Array(" + t->text + ")", {t}); }

// QBit(T, n) travels as an array that must have n elements.
type_ptr stored_qbit(const type& t) {
  auto array = std::make_shared<type>(*array_of(storage_type(t.args[0])));
  array->precision = t.precision;
  return array;
}

bool plain_word(const std::string& s) {
  return !s.empty() && is_word_start(s[0]) && std::all_of(s.begin(), s.end(), is_word);
}

// ClickHouse takes backquotes everywhere, so every name that is not a plain word gets them.
std::string back_quoted(const std::string& s) {
  if (plain_word(s)) return s;
  std::string out = "`";
  for (char c : s) {
    if (c == '`' || c == '\\') out += '\\';
    if (c == '\n') out += "\\n";
    else if (c == '\0') out += "\\0";
    else out += c;
  }
  return out + "`";
}

type_ptr tuple_of(std::vector<type_ptr> args, std::vector<std::string> names) {
  std::string text;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (i) text += ", ";
    if (!names.empty()) text += back_quoted(names[i]) + " ";
    text += args[i]->text;
  }
  return made(type_kind::tuple, "Tuple(" + text + ")", std::move(args), std::move(names));
}

// The same type over stored arguments.
type_ptr stored_composite(const type_ptr& t) {
  std::vector<type_ptr> args;
  for (const auto& a : t->args) args.push_back(storage_type(a));
  if (t->kind != type_kind::nested && args == t->args) return t;
  switch (t->kind) {
  case type_kind::array: return array_of(args[0]);
  case type_kind::nullable: return nullable_of(args[0]);
  case type_kind::map:
    return made(type_kind::map, "Map(" + args[0]->text + ", " + args[1]->text + ")", {args[0], args[1]});
  case type_kind::nested: return array_of(tuple_of(std::move(args), t->names));
  default: return tuple_of(std::move(args), t->names);
  }
}

type_ptr geo_type(type_kind kind) {
  static const type_ptr number = *parse_type("Float64");
  static const type_ptr point = tuple_of({number, number}, {});
  static const type_ptr line = array_of(point), lines = array_of(line), all = array_of(lines);
  static const type_ptr any = *parse_type("Variant(LineString, MultiLineString, MultiPolygon, Point, Polygon, Ring)");
  switch (kind) {
  case type_kind::point: return point;
  case type_kind::ring:
  case type_kind::line_string: return line;
  case type_kind::polygon:
  case type_kind::multi_line_string: return lines;
  case type_kind::multi_polygon: return all;
  default: return any;
  }
}

} // namespace

result<type_ptr> parse_type(std::string_view text) {
  if (text.size() > text_max) return error{"type", "the text of a type is longer than 1 MiB", ""};
  try {
    return parser(text).parse_all();
  } catch (const malformed& m) {
    return error{"type", m.what + " " + place(text, std::min(m.at, text.size())), ""};
  }
}

type_ptr nullable_of(const type_ptr& t) {
  if (t->kind == type_kind::nullable) return t;
  return made(type_kind::nullable, "Nullable(" + t->text + ")", {t});
}

type_ptr storage_type(const type_ptr& t) {
  switch (t->kind) {
  case type_kind::low_cardinality:
  case type_kind::simple_aggregate_function: return storage_type(t->args[0]);
  case type_kind::array:
  case type_kind::nullable:
  case type_kind::map:
  case type_kind::tuple:
  case type_kind::nested: return stored_composite(t);
  case type_kind::qbit: return stored_qbit(*t);
  case type_kind::dynamic: {
    // Other limits than the default are the table's business: the server converts.
    static const type_ptr plain = made(type_kind::dynamic, "Dynamic", {});
    return t->text == plain->text ? t : plain;
  }
  case type_kind::point:
  case type_kind::ring:
  case type_kind::line_string:
  case type_kind::polygon:
  case type_kind::multi_line_string:
  case type_kind::multi_polygon:
  case type_kind::geometry: return geo_type(t->kind);
  default: return t;
  }
}

bool insertable(const type& t) {
  switch (t.kind) {
  case type_kind::aggregate_function:
  case type_kind::interval:
  case type_kind::nothing:
  case type_kind::unknown: return false;
  case type_kind::json: return true;
  default: return std::all_of(t.args.begin(), t.args.end(), [](const auto& a) { return insertable(*a); });
  }
}

} // namespace chute
