#include "dev/clickhouse/statement.hpp"

#include <algorithm>
#include <cctype>

namespace chute::embedded {
namespace {

bool is_word_begin(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

bool same_word(std::string_view a, std::string_view upper) {
  return a.size() == upper.size() && std::equal(a.begin(), a.end(), upper.begin(), [](char x, char y) {
           return std::toupper(static_cast<unsigned char>(x)) == y;
         });
}

/// Words and marks of a statement; what is quoted or commented out never shows as either.
class scanner {
public:
  explicit scanner(std::string_view text) : text_(text) {}

  struct token {
    std::string_view text; // empty at the end
    std::size_t begin = 0;
    bool word = false;
    int depth = 0; // of brackets around it
    std::size_t end() const { return begin + text.size(); }
  };

  token next() {
    skip_blank();
    token t{{}, at_, false, depth_};
    if (at_ >= text_.size()) return t;
    char c = text_[at_];
    if (c == '\'' || c == '"' || c == '`') {
      skip_quoted(c);
    } else if (c == '$' && skip_heredoc()) {
    } else if (is_word_begin(c)) {
      while (at_ < text_.size() && is_word(text_[at_])) ++at_;
      t.word = true;
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    } else {
      ++at_;
      if (c == '(' || c == '[' || c == '{') ++depth_;
      if (c == ')' || c == ']' || c == '}') t.depth = --depth_;
    }
    t.text = text_.substr(t.begin, at_ - t.begin);
    return t;
  }

private:
  void skip_blank() {
    while (at_ < text_.size()) {
      std::string_view rest = text_.substr(at_);
      if (std::isspace(static_cast<unsigned char>(rest[0]))) ++at_;
      else if (rest.starts_with("--") || rest.starts_with("# ") || rest.starts_with("#!"))
        at_ = std::min(text_.find('\n', at_), text_.size());
      else if (rest.starts_with("/*"))
        at_ = text_.find("*/", at_ + 2) == text_.npos ? text_.size() : text_.find("*/", at_ + 2) + 2;
      else return;
    }
  }

  void skip_quoted(char quote) {
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') ++at_;
      else if (text_[at_] == quote) // a doubled quote begins the next quoted piece: all the same here
        break;
    }
    at_ = std::min(at_ + 1, text_.size());
  }

  /// $tag$ … $tag$
  bool skip_heredoc() {
    std::size_t end = at_ + 1;
    while (end < text_.size() && is_word(text_[end])) ++end;
    if (end >= text_.size() || text_[end] != '$') return false;
    std::string_view tag = text_.substr(at_, end + 1 - at_);
    std::size_t close = text_.find(tag, end + 1);
    at_ = close == text_.npos ? text_.size() : close + tag.size();
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

std::string trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return std::string(text);
}

/// After FORMAT name: blanks of the line, then at most one line end; the next byte is data.
std::size_t after_format(std::string_view text, std::size_t at) {
  while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
  if (at < text.size() && text[at] == '\r') ++at;
  if (at < text.size() && text[at] == '\n') ++at;
  return at;
}

statement with_data(std::string_view text, std::size_t query_end, std::string_view format, std::size_t data_begin) {
  statement s;
  s.text = trimmed(text.substr(0, query_end));
  s.format = std::string(format);
  s.takes_data = true;
  s.data_begin = std::min(data_begin, text.size());
  return s;
}

/// INSERT was read. An INSERT … SELECT, or one FROM INFILE, brings its rows along and is left whole.
statement split_insert(std::string_view text, scanner scan, bool whole) {
  statement plain{std::string(text), {}, false, text.size(), false, false};
  scanner::token before, t = scan.next();
  for (bool after_into = false; !t.text.empty(); before = t, t = scan.next()) {
    if (!t.word) continue;
    bool opens_bracket = before.text == "(" && t.depth == 1;
    if (same_word(t.text, "SELECT") || same_word(t.text, "WITH")) {
      if (t.depth == 0 || opens_bracket) return plain;
    }
    if (t.depth != 0) continue;
    if (same_word(t.text, "INFILE") || same_word(t.text, "WATCH")) return plain;
    if (same_word(t.text, "INTO")) after_into = true;
    if (!after_into || same_word(before.text, "INTO") || before.text == ".") continue;
    if (same_word(t.text, "VALUES")) return with_data(text, t.begin, "Values", t.end());
    if (!same_word(t.text, "FORMAT")) continue;
    scanner::token name = scan.next();
    std::size_t rows = after_format(text, name.end());
    // The line end that belongs to the clause may still be on its way.
    if (name.word && (whole || rows < text.size() || text.ends_with('\n')))
      return with_data(text, t.begin, name.text, rows);
    before = name;
  }
  // ClickHouse takes the rows of an INSERT without a format as Values.
  return whole ? with_data(text, text.size(), "Values", text.size()) : plain;
}

} // namespace

statement split(std::string_view text, bool whole) {
  scanner scan(text);
  scanner::token first = scan.next();
  if (first.word && same_word(first.text, "INSERT")) return split_insert(text, scan, whole);
  statement s{std::string(text), {}, false, text.size(), false, first.text.empty()};
  for (scanner::token t = first; !t.text.empty(); t = scan.next()) {
    if (t.depth == 0 && t.text == ";") {
      s.several = !scan.next().text.empty();
      break;
    }
    if (!t.word || t.depth != 0 || !same_word(t.text, "FORMAT")) continue;
    scanner ahead = scan;
    if (scanner::token name = ahead.next(); name.word) s.format = std::string(name.text);
  }
  return s;
}

} // namespace chute::embedded
