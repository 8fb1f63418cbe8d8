#include "clickhouse/reply.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace chute::clickhouse {
namespace {

constexpr std::string_view code_word = "Code: ", exception_word = "DB::Exception", late_mark = "__exception__",
                           converting = "while converting column ";

constexpr std::size_t exception_bytes_max = 4'000;

// "Code: 60. DB::Exception: …" at a place in the text. Returns the code.
std::optional<int> code_at(std::string_view text) {
  if (!text.starts_with(code_word)) return {};
  text.remove_prefix(code_word.size());
  int code = 0;
  auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), code);
  if (bad != std::errc{}) return {};
  auto rest = text.substr(static_cast<std::size_t>(end - text.data()));
  if (!rest.starts_with(". ") || rest.substr(2, 200).find(exception_word) == rest.npos) return {};
  return code;
}

// Exceptions stand at the begin of a line: formats escape line ends within data, so data cannot fake one.
std::optional<server_exception> exception_in(std::string_view body) {
  for (std::size_t at = 0; at < body.size();) {
    auto line = body.substr(at);
    if (auto code = code_at(line)) return server_exception{*code, one_line(line, exception_bytes_max)};
    if (line.starts_with(late_mark)) {
      auto word = line.find(code_word);
      auto code = word == line.npos ? std::nullopt : code_at(line.substr(word));
      return server_exception{code.value_or(0), one_line(code ? line.substr(word) : line, exception_bytes_max)};
    }
    auto end = body.find('\n', at);
    if (end == body.npos) break;
    at = end + 1;
  }
  return {};
}

const char* name_of(http_reply::transport how) {
  using t = http_reply::transport;
  switch (how) {
  case t::complete: return "";
  case t::not_connected: return "no connection: ";
  case t::forbidden: return "";
  case t::timed_out: return "no reply in time: ";
  case t::cut: return "the reply was cut off: ";
  case t::too_long: return "";
  case t::cancelled: return "";
  case t::failed: return "the request failed: ";
  }
  return "";
}

bool is_code_name(std::string_view s) {
  return !s.empty() && s.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == s.npos;
}

bool blank(std::string_view s) { return s.find_first_not_of(" \r\n\t") == s.npos; }

// A whole reply without an exception in it.
void judge_status(const http_reply& reply, insert_answer& a) {
  using v = insert_answer::verdict;
  if (reply.status == 200 && reply.from_clickhouse && blank(reply.body)) {
    a.what = v::acknowledged;
    a.answered = true;
    return;
  }
  a.what = reply.status == 413 ? v::too_big : v::retry;
  a.message = "HTTP status " + std::to_string(reply.status);
  if (reply.status == 200 && !reply.from_clickhouse) a.message += " that does not come from ClickHouse";
  else if (reply.status == 200) a.message += " with an unexpected text";
  else a.message += " without an error code of ClickHouse";
  if (!blank(reply.body)) a.message += ": " + one_line(reply.body, 200);
}

} // namespace

std::string one_line(std::string_view text, std::size_t most) {
  bool cut = text.size() > most;
  auto end = cut ? most : text.size();
  while (cut && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  std::string out(text.substr(0, end));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::optional<server_exception> find_exception(const http_reply& reply) {
  auto found = exception_in(reply.body);
  if (reply.exception_code == 0) return found;
  if (!found) found = server_exception{0, one_line(reply.body, exception_bytes_max)};
  found->code = reply.exception_code;
  if (found->text.empty()) found->text = "Code: " + std::to_string(found->code);
  return found;
}

bool converts_column(std::string_view text) { return text.rfind(converting) != text.npos; }

bool parser_refused(int code, std::string_view text) {
  constexpr int about_a_value[] = {
      32,   // ATTEMPT_TO_READ_AFTER_EOF
      33,   // CANNOT_READ_ALL_DATA
      36,   // BAD_ARGUMENTS
      53,   // TYPE_MISMATCH
      128,  // TOO_LARGE_ARRAY_SIZE
      131,  // TOO_LARGE_STRING_SIZE
      167,  // TOO_DEEP_AST
      306,  // TOO_DEEP_RECURSION
      321,  // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
      407,  // DECIMAL_OVERFLOW
      1001, // STD_EXCEPTION
  };
  const bool known = std::find(std::begin(about_a_value), std::end(about_a_value), code) != std::end(about_a_value);
  return known && text.find("RowInputFormat") != text.npos;
}

namespace {
// "…: While executing CSVRowInputFormat. (NAME) (version …": the last, as values that are quoted come before it.
bool raised_by_input(std::string_view text) {
  constexpr std::string_view by = ": While executing ";
  const auto at = text.rfind(by);
  if (at == text.npos) return false;
  const auto rest = text.substr(at + by.size());
  const auto name = rest.substr(0, rest.find(". ("));
  return name.ends_with("InputFormat") && name.find_first_of(" :'\"") == name.npos;
}

// Of a whole block, before its first partition is written.
bool seen_while_read(int code, std::string_view text) {
  constexpr int null_for_plain = 349, constraint = 469;
  return code == null_for_plain || code == constraint || converts_column(text) || raised_by_input(text);
}
} // namespace

std::string rejection_text(const server_exception& exception) {
  std::string_view text = exception.text;
  auto out = "ClickHouse rejected it: code " + std::to_string(exception.code);
  // The name stands in the last parentheses but those of the version.
  auto version = text.rfind(" (version ");
  auto head = version == text.npos ? text : text.substr(0, version);
  auto open = head.rfind('('), close = head.rfind(')');
  if (open != head.npos && close == head.size() - 1 && is_code_name(head.substr(open + 1, close - open - 1)))
    out.append(" ").append(head.substr(open + 1, close - open - 1));
  if (auto at = text.rfind(converting); at != text.npos) { // the last: values that are quoted come before
    auto part = text.substr(at);
    out.append(", ").append(part.substr(0, part.find(": ")));
  }
  constexpr std::string_view constraint = "DB::Exception: Constraint `"; // values come later
  if (auto at = text.find(constraint); at != text.npos) {
    auto name = text.substr(at + constraint.size());
    out.append(", constraint ").append(name.substr(0, name.find('`')));
  }
  return one_line(out);
}

insert_answer classify(const http_reply& reply, const insert_context& context) {
  insert_answer a;
  bool complete = reply.how == http_reply::transport::complete;
  a.attempts = reply.attempts;
  a.never_sent = reply.attempts == 0;
  if (!complete && reply.how != http_reply::transport::cut) {
    a.message = one_line(name_of(reply.how) + reply.why);
    return a;
  }
  auto exception = find_exception(reply);
  if (!exception && complete) {
    judge_status(reply, a);
    return a;
  }
  if (!exception) {
    a.message = one_line(name_of(reply.how) + reply.why);
    return a;
  }
  a.code = exception->code;
  a.message = one_line(exception->text);
  if (!complete) return a; // a cut text may have lost just the part that matters: only retry
  auto rule = rule_of(a.code, context.refreshed);
  if (!context.refreshed && rule.what != insert_answer::verdict::too_big && converts_column(exception->text))
    rule = {insert_answer::verdict::columns_changed, true, true};
  if (context.server_parses && parser_refused(a.code, exception->text))
    rule = {insert_answer::verdict::rejected_data, true, true};
  a.what = rule.what;
  a.answered = rule.ends_attempt && a.code != 0;
  if (a.what == insert_answer::verdict::rejected_data) a.message = rejection_text(*exception);
  a.before_views = rule.before_write && rule.views_too;
  a.before_write = rule.before_write && (rule.views_too || !context.dependent_views);
  if (a.what == insert_answer::verdict::rejected_data && context.partitioned)
    a.before_write = a.before_write && seen_while_read(a.code, exception->text);
  return a;
}

} // namespace chute::clickhouse
