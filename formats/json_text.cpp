#include "formats/json_text.hpp"

#include <bitset>

namespace chute::json {
namespace {

// Four hexadecimal digits; above 0xffff if they are not.
std::uint32_t hex4(const char* p, const char* end) {
  if (end - p < 4) return ~0u;
  std::uint32_t v = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = p[i], low = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9') v = v << 4 | static_cast<std::uint32_t>(c - '0');
    else if (low >= 'a' && low <= 'f') v = v << 4 | static_cast<std::uint32_t>(low - 'a' + 10);
    else return ~0u;
  }
  return v;
}

std::size_t to_utf8(std::uint32_t code, char* out) {
  const auto put = [&](std::size_t i, std::uint32_t v) { out[i] = static_cast<char>(v); };
  if (code < 0x80) return put(0, code), 1;
  if (code < 0x800) return put(0, 0xc0 | code >> 6), put(1, 0x80 | (code & 0x3f)), 2;
  if (code < 0x10000)
    return put(0, 0xe0 | code >> 12), put(1, 0x80 | (code >> 6 & 0x3f)), put(2, 0x80 | (code & 0x3f)), 3;
  return put(0, 0xf0 | code >> 18), put(1, 0x80 | (code >> 12 & 0x3f)), put(2, 0x80 | (code >> 6 & 0x3f)),
         put(3, 0x80 | (code & 0x3f)), 4;
}

// What follows \u: p stands behind the u, and is moved behind the digits (of both halves of a pair).
fault code_point(const char*& p, const char* end, std::uint32_t& code) {
  code = hex4(p, end);
  if (code > 0xffff) return fault::bad_escape;
  p += 4;
  if (code < 0xd800 || code > 0xdfff) return fault::none;
  if (code > 0xdbff || end - p < 2 || p[0] != '\\' || p[1] != 'u') return fault::lone_surrogate;
  const std::uint32_t low = hex4(p + 2, end);
  if (low > 0xffff) return fault::bad_escape;
  if (low < 0xdc00 || low > 0xdfff) return fault::lone_surrogate;
  p += 6;
  code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  return fault::none;
}

// The character that \c stands for; 0: none.
char short_escape(char c) {
  switch (c) {
  case '"':
  case '\\':
  case '/': return c;
  case 'b': return '\b';
  case 'f': return '\f';
  case 'n': return '\n';
  case 'r': return '\r';
  case 't': return '\t';
  default: return 0;
  }
}

} // namespace

fault unescape(context& c, const string_token& s, char* out, std::size_t& size) {
  size = 0;
  char unused[4];
  for (const char* p = s.begin; p < s.end;) {
    const void* next = std::memchr(p, '\\', static_cast<std::size_t>(s.end - p));
    const char* const plain_end = next ? static_cast<const char*>(next) : s.end;
    const auto plain = static_cast<std::size_t>(plain_end - p);
    if (out && plain) std::memcpy(out + size, p, plain);
    size += plain;
    p = plain_end;
    if (p == s.end) break;
    const char* const at = p;
    const char kind = p[1]; // a backslash is never the last character of a string
    p += 2;
    if (const char plain_char = short_escape(kind)) {
      if (out) out[size] = plain_char;
      ++size;
      continue;
    }
    if (kind != 'u') return refuse(c, at, fault::bad_escape);
    std::uint32_t code = 0;
    if (const fault f = code_point(p, s.end, code); f != fault::none) return refuse(c, at, f);
    size += to_utf8(code, out ? out + size : unused);
  }
  return fault::none;
}

bool is_number(std::string_view token, bool& integral) {
  const char *p = token.data(), *const end = p + token.size();
  const auto digits = [&] {
    const char* const from = p;
    while (p != end && *p >= '0' && *p <= '9') ++p;
    return p != from;
  };
  if (p != end && *p == '-') ++p;
  const char* const first = p;
  if (!digits() || (*first == '0' && p - first > 1)) return false;
  integral = p == end;
  if (p != end && *p == '.' && (++p, !digits())) return false;
  if (p != end && (*p == 'e' || *p == 'E')) {
    ++p;
    if (p != end && (*p == '+' || *p == '-')) ++p;
    if (!digits()) return false;
  }
  return p == end;
}

namespace {

// A value that is neither an array nor an object.
fault skip_plain(context& c, const char*& end) {
  const char first = *c.here();
  if (first == '"') {
    const auto s = take_string(c);
    end = s.end + 1;
    std::size_t size;
    return s.escaped ? unescape(c, s, nullptr, size) : fault::none;
  }
  const char* const at = c.here();
  const auto token = take_scalar(c);
  end = token.data() + token.size();
  bool integral;
  if (starts_number(first)) return is_number(token, integral) ? fault::none : refuse(c, at, fault::bad_number);
  if (token == "true" || token == "false" || token == "null") return fault::none;
  const bool word = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
  return refuse(c, at, word ? fault::bad_literal : fault::unexpected);
}

fault skip_key(context& c) {
  if (!at_string(c)) return refuse(c, c.here(), fault::unexpected);
  const char* end;
  if (const fault f = skip_plain(c, end); f != fault::none) return f;
  return take_symbol(c, ':');
}

} // namespace

fault skip_value(context& c, const char*& end) {
  std::bitset<depth_max> objects; // of the levels that are open
  int depth = 0;
  for (;;) {
    // A value begins here.
    const char first = *c.here();
    if (first == '{' || first == '[') {
      if (depth == depth_max) return refuse(c, c.here(), fault::too_deep);
      ++c.now.at;
      if (*c.here() == (first == '{' ? '}' : ']')) {
        end = c.here() + 1;
        ++c.now.at;
      } else {
        objects[static_cast<std::size_t>(depth++)] = first == '{';
        if (first == '{')
          if (const fault f = skip_key(c); f != fault::none) return f;
        continue;
      }
    } else if (const fault f = skip_plain(c, end); f != fault::none) return f;
    // It has ended, and perhaps what it was in.
    for (; depth > 0; --depth) {
      const bool object = objects[static_cast<std::size_t>(depth - 1)];
      const char symbol = *c.here();
      if (symbol == ',') break;
      if (symbol != (object ? '}' : ']')) return refuse(c, c.here(), fault::unexpected);
      end = c.here() + 1;
      ++c.now.at;
    }
    if (depth == 0) return fault::none;
    ++c.now.at; // ,
    if (objects[static_cast<std::size_t>(depth - 1)])
      if (const fault f = skip_key(c); f != fault::none) return f;
  }
}

} // namespace chute::json
