#include "clickhouse/sql.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <strings.h>

namespace chute::clickhouse {
namespace {

std::string quoted(std::string_view s, char quote) {
  std::string out(1, quote);
  for (char c : s) {
    if (c == quote || c == '\\') out += '\\';
    if (c == '\n') out += "\\n";
    else if (c == '\0') out += "\\0";
    else out += c;
  }
  return out += quote;
}

char unescaped(char c) {
  switch (c) {
  case 'n': return '\n';
  case 't': return '\t';
  case 'r': return '\r';
  case 'b': return '\b';
  case 'f': return '\f';
  case '0': return '\0';
  default: return c;
  }
}

// --- words of a statement --------------------------------------------------------------------------------------------

// One word of a statement: a name or number, a quoted text (with its quotes), or a single sign. `depth` counts the
// parentheses around it.
struct word {
  std::string_view text;
  int depth = 0;
  bool is(std::string_view keyword) const {
    return text.size() == keyword.size() && strncasecmp(text.data(), keyword.data(), text.size()) == 0;
  }
};

std::size_t end_of_quoted(std::string_view s, std::size_t at) {
  char quote = s[at++];
  while (at < s.size() && s[at] != quote) at += s[at] == '\\' ? 2 : 1;
  return std::min(at + 1, s.size());
}

bool name_sign(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

std::vector<word> words_of(std::string_view s) {
  std::vector<word> out;
  int depth = 0;
  for (std::size_t at = 0; at < s.size();) {
    char c = s[at];
    std::size_t end = at + 1;
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      ++at;
      continue;
    }
    if (c == '\'' || c == '`' || c == '"') end = end_of_quoted(s, at);
    else if (name_sign(c))
      while (end < s.size() && (name_sign(s[end]) || s[end] == '.')) ++end;
    if (c == ')' || c == ']') --depth;
    out.push_back({s.substr(at, end - at), depth});
    if (c == '(' || c == '[') ++depth;
    at = end;
  }
  return out;
}

std::string unquoted(std::string_view s) {
  if (s.size() < 2 || (s.front() != '\'' && s.front() != '`' && s.front() != '"')) return std::string(s);
  std::string out;
  for (std::size_t i = 1; i + 1 < s.size(); ++i) {
    if (s[i] == '\\' && i + 2 < s.size()) out += unescaped(s[++i]);
    else out += s[i];
  }
  return out;
}

std::string text_between(const word& first, const word& last) {
  return {first.text.data(), static_cast<std::size_t>(last.text.data() + last.text.size() - first.text.data())};
}

} // namespace

std::string quote_name(std::string_view name) { return quoted(name, '`'); }
std::string quote_text(std::string_view text) { return quoted(text, '\''); }
std::string table_name(std::string_view database, std::string_view table) {
  return quote_name(database) + "." + quote_name(table);
}

std::optional<tsv_rows> parse_tsv(std::string_view text) {
  tsv_rows rows;
  if (text.empty()) return rows;
  if (text.back() != '\n') return {};
  std::vector<std::string> row(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '\t') row.emplace_back();
    else if (c == '\n') {
      rows.push_back(std::move(row));
      row.assign(1, {});
    } else if (c == '\\' && i + 1 < text.size()) {
      if (text[i + 1] == 'N') row.back() += "\\N";
      else row.back() += unescaped(text[i + 1]);
      ++i;
    } else row.back() += c;
  }
  return rows;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t v = 0;
  auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (bad != std::errc{} || end != text.data() + text.size()) return {};
  return v;
}

std::optional<std::vector<std::uint64_t>> parse_numbers(std::string_view text) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return {};
  std::vector<std::uint64_t> out;
  text = text.substr(1, text.size() - 2);
  while (!text.empty()) {
    auto comma = text.find(',');
    auto v = parse_number(text.substr(0, comma));
    if (!v) return {};
    out.push_back(*v);
    if (comma == text.npos) break;
    text.remove_prefix(comma + 1);
  }
  return out;
}

engine_clauses parse_engine(std::string_view engine_full) {
  engine_clauses out;
  auto words = words_of(engine_full);
  auto top = [&](std::size_t i, std::string_view keyword) {
    return i < words.size() && words[i].depth == 0 && words[i].is(keyword);
  };
  std::size_t i = 0;
  while (i < words.size() && !top(i, "TTL") && !top(i, "SETTINGS")) ++i;
  if (top(i, "TTL")) {
    for (auto first = ++i; i < words.size(); ++i) {
      bool last = i + 1 == words.size() || top(i + 1, "SETTINGS");
      bool comma = top(i, ",");
      if (comma && i > first) out.ttl.push_back(text_between(words[first], words[i - 1]));
      if (comma) first = i + 1;
      else if (last) out.ttl.push_back(text_between(words[first], words[i]));
      if (last) break;
    }
    ++i;
  }
  if (!top(i, "SETTINGS")) return out;
  for (++i; i + 2 < words.size(); i += 4) { // name = value ,
    if (words[i + 1].text != "=") break;
    out.settings[std::string(words[i].text)] = unquoted(words[i + 2].text);
  }
  return out;
}

std::vector<std::string> engine_columns(std::string_view engine_full) {
  std::vector<std::string> out;
  const auto words = words_of(engine_full);
  if (words.size() < 2 || words[1].text != "(") return out;
  for (std::size_t i = 2; i < words.size() && words[i].depth > 0; ++i)
    if (words[i].depth == 1 && words[i].text != "," && words[i].text.front() != '\'')
      out.push_back(unquoted(words[i].text));
  return out;
}

bool names_column(std::string_view expression, std::string_view column) {
  const auto words = words_of(expression);
  return std::any_of(words.begin(), words.end(),
                     [&](const word& w) { return w.text.front() != '\'' && unquoted(w.text) == column; });
}

std::optional<std::string> calls_changing(std::string_view expression) {
  constexpr std::array names = {"now",         "now64",   "nowInBlock",   "nowInBlock64",      "today",
                                "yesterday",   "curdate", "current_date", "current_timestamp", "utc_timestamp",
                                "UTCTimestamp"};
  constexpr std::array<std::string_view, 5> families = {"rand", "generateUUID", "generateULID", "generateSnowflakeID",
                                                        "generateSerialID"};
  const auto words = words_of(expression);
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i + 1].text != "(") continue;
    const auto is = [&](const char* name) { return words[i].is(name); };
    const auto begins = [&](std::string_view family) {
      return words[i].text.size() >= family.size() &&
             strncasecmp(words[i].text.data(), family.data(), family.size()) == 0;
    };
    if (std::any_of(names.begin(), names.end(), is) || std::any_of(families.begin(), families.end(), begins))
      return std::string(words[i].text) + "()";
  }
  return {};
}

bool ttl_removes_rows(std::string_view rule) {
  for (const auto& w : words_of(rule))
    if (w.depth == 0 && (w.is("DISK") || w.is("VOLUME") || w.is("RECOMPRESS"))) return false;
  return true;
}

std::optional<qualified_name> parse_view_target(std::string_view create_query, std::string_view own_database) {
  auto words = words_of(create_query);
  std::size_t i = 0;
  for (; i < words.size(); ++i) {
    if (words[i].depth > 0) continue;
    if (words[i].is("AS") || words[i].is("SELECT") || words[i].is("ENGINE")) return {};
    if (words[i].is("TO")) break;
  }
  if (i + 1 >= words.size() || words[i + 1].is("INNER")) return {};
  // A name without quotes is one word with its dot; with quotes the dot is a word of its own.
  std::vector<std::string> parts(1);
  for (++i; i < words.size(); ++i) {
    auto text = words[i].text;
    bool joined = text == "." || text.front() == '.' || parts.back().empty();
    if (!joined) break;
    if (text == ".") {
      parts.emplace_back();
      continue;
    }
    bool has_quotes = text.front() == '`' || text.front() == '"';
    auto dot = has_quotes ? text.npos : text.find('.');
    parts.back() = unquoted(text.substr(0, dot));
    if (dot != text.npos) parts.emplace_back(text.substr(dot + 1));
    if (!parts.back().empty() && (i + 1 >= words.size() || words[i + 1].text != ".")) break;
  }
  if (parts.size() == 1) return qualified_name{std::string(own_database), parts[0]};
  return qualified_name{parts[0], parts[1]};
}

} // namespace chute::clickhouse
