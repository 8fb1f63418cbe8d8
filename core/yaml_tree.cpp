#include "core/yaml_tree.hpp"

#include "core/text.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <sstream>
#include <utility>

namespace chute {
namespace {

using kind = yaml_node::kind;

// --- variables -------------------------------------------------------------------------------------------------------
// Braces mean something in YAML, so that `{token: ${TOKEN:-}}` could not be read as it stands. Therefore variables are
// taken out before the YAML is parsed, each replaced by a mark, and filled in afterwards, in values only: what they
// hold cannot change the file's shape, and a variable in a comment need not be set.

constexpr std::string_view mark_begin = "\xee\x80\x80"; // U+E000, private use: refused in the file itself
constexpr std::string_view mark_end = "\xee\x80\x81";   // U+E001

struct variable {
  std::string source;  // as it stood in the file
  std::string literal; // of $${…}: what it stands for
  std::string name;    // empty: a literal, or broken
  std::optional<std::string> fallback;
  std::string broken; // why it cannot be read
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_of_name(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || is_digit(c); }
bool is_name(std::string_view s) {
  return !s.empty() && !is_digit(s.front()) && std::all_of(s.begin(), s.end(), is_of_name);
}

// As far as a name could reach. What follows may be a secret: ${PASSWORD-secret} is a default in a shell.
std::string without_default(std::string_view inside) {
  const auto end = std::find_if_not(inside.begin(), inside.end(), is_of_name);
  return "${" + std::string(inside.begin(), end) + (end == inside.end() ? "}" : "…}");
}

// `inside` is what stands between ${ and }.
variable read_variable(std::string_view source, std::string_view inside) {
  variable out{std::string(source), "", "", {}, ""};
  const auto at = inside.find(":-");
  const std::string_view name = inside.substr(0, at);
  if (!is_name(name)) {
    out.broken =
        without_default(inside) + " names no variable; write ${NAME} or ${NAME:-default}, and $${ for a plain ${";
    return out;
  }
  out.name = std::string(name);
  if (at != std::string_view::npos) out.fallback = std::string(inside.substr(at + 2));
  return out;
}

// The variable that begins at text[at], which is "${" or "$${"; `at` moves behind it. Before `unclosed_until` there is
// no brace: a long line is not searched again for each.
variable take_variable(std::string_view text, std::size_t& at, std::size_t& unclosed_until) {
  const bool escaped = text[at + 1] == '$';
  const std::size_t open = at + (escaped ? 3 : 2); // behind the brace
  const std::size_t close = open < unclosed_until ? std::string_view::npos : text.find_first_of("}\n", open);
  if (open >= unclosed_until && (close == std::string_view::npos || text[close] == '\n'))
    unclosed_until = std::min(close, text.size());
  const bool closed = close != std::string_view::npos && text[close] == '}';
  const std::size_t end = closed ? close + 1 : open;
  const std::string_view source = text.substr(at, end - at);
  at = end;
  if (escaped) return {std::string(source), std::string(source.substr(1)), "", {}, ""};
  if (!closed) return {std::string(source), "", "", {}, "${ is not closed on its line; $${ stands for a plain ${"};
  return read_variable(source, source.substr(2, source.size() - 3));
}

std::string take_variables_out(std::string_view text, std::vector<variable>& variables) {
  std::string out;
  out.reserve(text.size() + 64);
  std::size_t unclosed_until = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (!rest.starts_with("${") && !rest.starts_with("$${")) {
      out += text[at++];
      continue;
    }
    out.append(mark_begin).append(std::to_string(variables.size())).append(mark_end);
    variables.push_back(take_variable(text, at, unclosed_until));
  }
  return out;
}

// --- the tree --------------------------------------------------------------------------------------------------------

struct refusal { // thrown out of the parser: the file is not read any further
  int line;
  std::string text;
};

class tree_builder : public YAML::EventHandler {
public:
  tree_builder(const std::vector<variable>& variables, const environment& env, std::vector<yaml_problem>& problems)
      : variables_(variables), env_(env), problems_(problems) {}

  yaml_ptr root() const { return root_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { place(make(kind::null, mark), anchor); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    auto node = make(kind::scalar, mark);
    node->text = value;
    place(std::move(node), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(kind::sequence, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(kind::mapping, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw refusal{mark.line + 1, "an alias stands within what it names"};
    add(found->second, mark.line + 1);
  }

private:
  struct level {
    std::shared_ptr<yaml_node> node;
    YAML::anchor_t anchor;
    std::set<std::string> keys;
    yaml_ptr key; // of a mapping: read, and waiting for its value
    int key_line = 0;
  };

  std::shared_ptr<yaml_node> make(kind what, const YAML::Mark& mark) {
    if (++nodes_ > yaml_nodes_max)
      throw refusal{mark.line + 1, "more than " + format_count(yaml_nodes_max) + " values"};
    auto node = std::make_shared<yaml_node>();
    node->what = what;
    node->line = mark.line + 1;
    return node;
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!" || tag.starts_with("tag:yaml.org,2002:")) return;
    problems_.push_back({mark.line + 1, "the tag '" + printable(tag) + "' means nothing here"});
  }

  void open(kind what, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_tag(mark, tag);
    if (open_.size() >= yaml_depth_max) throw refusal{mark.line + 1, "nested too deep"};
    open_.push_back({make(what, mark), anchor, {}, nullptr, 0});
  }

  void close() {
    level done = std::move(open_.back());
    open_.pop_back();
    if (done.node->what == kind::mapping) merge(*done.node, done.keys);
    place(done.node, done.anchor);
  }

  void place(std::shared_ptr<yaml_node> node, YAML::anchor_t anchor) {
    const int line = node->line;
    const bool is_key = !open_.empty() && open_.back().node->what == kind::mapping && !open_.back().key;
    if (node->what == kind::scalar && !is_key) fill_in(*node);
    yaml_ptr done = std::move(node);
    if (anchor != YAML::NullAnchor) anchors_[anchor] = done;
    add(done, line);
  }

  void add(const yaml_ptr& node, int line) {
    if (open_.empty()) {
      root_ = node;
      return;
    }
    level& top = open_.back();
    if (top.node->what == kind::mapping && !top.key) {
      top.key = node;
      top.key_line = line;
      return;
    }
    grow(*top.node, node->size, line);
    if (top.node->what == kind::sequence) top.node->items.push_back(node);
    else add_entry(top, node);
  }

  void add_entry(level& top, const yaml_ptr& value) {
    const yaml_ptr key = std::exchange(top.key, nullptr);
    if (key->what != kind::scalar) {
      problems_.push_back({top.key_line, "a key must be text"});
      return;
    }
    const std::string name = as_written(key->text);
    if (!top.keys.insert(name).second) {
      problems_.push_back({top.key_line, "'" + printable(name) + "' stands here twice"});
      return;
    }
    top.node->entries.push_back({name, top.key_line, value});
  }

  void grow(yaml_node& node, std::size_t by, int line) {
    node.size += by;
    if (node.size > yaml_nodes_max) throw refusal{line, "aliases make this file too large"};
  }

  // `<<: *other` (or a list of them): what `other` has and this mapping has not.
  void merge(yaml_node& into, std::set<std::string>& keys) {
    const auto at = std::find_if(into.entries.begin(), into.entries.end(), [](auto& e) { return e.key == "<<"; });
    if (at == into.entries.end()) return;
    const yaml_entry merged = *at;
    into.entries.erase(at);
    const std::vector<yaml_ptr> sources =
        merged.value->what == kind::sequence ? merged.value->items : std::vector{merged.value};
    for (const yaml_ptr& source : sources) {
      if (source->what != kind::mapping) {
        problems_.push_back({merged.line, "'<<' takes a mapping, or a list of them"});
        continue;
      }
      for (const yaml_entry& e : source->entries)
        if (keys.insert(e.key).second) into.entries.push_back(e);
    }
  }

  // Calls text(piece) and mark(variable) for what `value` is made of, in order.
  template <class Text, class Mark> void each_piece(std::string_view value, Text&& text, Mark&& mark) const {
    while (!value.empty()) {
      const std::size_t begin = value.find(mark_begin);
      text(value.substr(0, begin));
      if (begin == std::string_view::npos) return;
      value.remove_prefix(begin + mark_begin.size());
      const std::size_t end = value.find(mark_end);
      const auto index = parse_integer(value.substr(0, end));
      if (end == std::string_view::npos || !index || *index < 0 ||
          static_cast<std::size_t>(*index) >= variables_.size())
        continue; // a mark cut in two, as by a \u escape that writes one: nothing stands there
      mark(variables_[static_cast<std::size_t>(*index)]);
      value.remove_prefix(end + mark_end.size());
    }
  }

  std::string as_written(std::string_view value) const {
    std::string out;
    each_piece(
        value, [&](std::string_view s) { out += s; }, [&](const variable& v) { out += v.source; });
    return out;
  }

  void fill_in(yaml_node& node) {
    std::string out;
    each_piece(
        node.text, [&](std::string_view s) { out += s; },
        [&](const variable& v) {
          if (const auto held = look_up(v, node)) out += *held;
        });
    node.text = std::move(out);
  }

  std::optional<std::string> look_up(const variable& v, yaml_node& node) {
    if (!v.literal.empty()) return v.literal;
    if (v.broken.empty())
      if (auto held = env_ ? env_(v.name) : std::nullopt; held && !(held->empty() && v.fallback)) return held;
    if (v.broken.empty() && v.fallback) return v.fallback;
    node.unusable = true;
    problems_.push_back({node.line, v.broken.empty()
                                        ? "the variable " + printable(v.name) + " is not set; set it, or write ${" +
                                              printable(v.name) + ":-default}"
                                        : v.broken});
    return {};
  }

  const std::vector<variable>& variables_;
  const environment& env_;
  std::vector<yaml_problem>& problems_;
  std::map<YAML::anchor_t, yaml_ptr> anchors_;
  std::vector<level> open_;
  std::size_t nodes_ = 0;
  yaml_ptr root_;
};

// --- the file --------------------------------------------------------------------------------------------------------

// Length of the character of UTF-8 at the front of `s` (RFC 3629), 0 if there is none.
std::size_t utf8_length(std::string_view s) {
  const auto byte = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned a = byte(0), b = byte(1);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a <= 0xdf) return follows(1) ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    const bool overlong = a == 0xe0 && b < 0xa0, surrogate = a == 0xed && b > 0x9f;
    return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    const bool overlong = a == 0xf0 && b < 0x90, beyond = a == 0xf4 && b > 0x8f;
    return follows(1) && follows(2) && follows(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

// What no topology holds; an empty text if all is well.
yaml_problem unreadable(std::string_view text) {
  if (text.size() > yaml_bytes_max) return {1, "the file is larger than " + format_size(yaml_bytes_max)};
  int line = 1;
  while (!text.empty()) {
    const std::size_t n = utf8_length(text);
    if (n == 0 || text.front() == '\0') return {line, "not text in UTF-8"};
    if (text.starts_with(mark_begin) || text.starts_with(mark_end))
      return {line, "a character of Unicode's private area (U+E000, U+E001) cannot stand here"};
    if (text.front() == '\n') ++line;
    text.remove_prefix(n);
  }
  return {0, ""};
}

bool begins_with_tab(std::string_view text, int line) {
  for (; line > 1; --line) {
    const auto end = text.find('\n');
    if (end == text.npos) return false;
    text.remove_prefix(end + 1);
  }
  const auto first = text.find_first_not_of(' ');
  return first != text.npos && text[first] == '\t';
}

} // namespace

yaml_ptr read_yaml(const std::string& text, const environment& env, std::vector<yaml_problem>& problems) {
  if (auto wrong = unreadable(text); !wrong.text.empty()) {
    problems.push_back(std::move(wrong));
    return nullptr;
  }
  std::vector<variable> variables;
  // The parser tells a quote that is not closed only where the file ends without a line end, or within a document.
  std::istringstream in(take_variables_out(text, variables) + "\n...\n");
  tree_builder builder(variables, env, problems);
  const int lines = 1 + static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  try {
    YAML::Parser parser(in);
    if (!parser.HandleNextDocument(builder) || builder.root()->line > lines) {
      problems.push_back({1, "the file is empty"});
      return nullptr;
    }
    const yaml_ptr root = builder.root();
    if (parser.HandleNextDocument(builder)) {
      problems.push_back({builder.root()->line, "a second document begins here; a topology is one"});
      return nullptr;
    }
    return root;
  } catch (const refusal& r) {
    problems.push_back({r.line, r.text});
  } catch (const YAML::Exception& e) {
    const int line = std::clamp(e.mark.line + 1, 1, lines);
    problems.push_back(
        {line, "not YAML: " +
                   (e.msg == YAML::ErrorMsg::DOC_IN_SCALAR
                        ? std::string("a quoted text that begins in or before this line is not closed")
                        : e.msg) +
                   (begins_with_tab(text, line) ? " (the line is indented by a tab; YAML wants blanks)" : "")});
  } catch (const std::exception& e) {
    problems.push_back({1, std::string("not YAML: ") + e.what()});
  }
  return nullptr;
}

} // namespace chute
