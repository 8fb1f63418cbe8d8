#include "formats/csv.hpp"

#include "formats/json_node.hpp"
#include "formats/json_value.hpp"
#include "formats/row_decoder.hpp"
#include "formats/text_value.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace chute {

// -- lines ----------------------------------------------------------------------------------------------------------

namespace {

delimited_field& next_field(std::vector<delimited_field>& out, std::size_t& count) {
  if (count == out.size()) out.emplace_back();
  auto& f = out[count++];
  f.text.clear();
  f.quoted = f.null = false;
  return f;
}

// Bytes of the line end at the front: \r\n, \n, or the \r that is left at the end of a value where a program cut a file
// of \r\n at its \n.
std::size_t line_end(std::string_view rest) {
  return rest.starts_with("\r\n") ? 2 : rest.starts_with('\n') || rest == "\r" ? 1 : 0;
}

bool take_line_end(std::string_view& rest) {
  const auto n = line_end(rest);
  rest.remove_prefix(n);
  return n > 0;
}

// Whether the last of the `n` bytes in front of a delimiter, a \n or the end belongs to a line end.
bool ends_with_return(std::string_view rest, std::size_t n) { return n > 0 && line_end(rest.substr(n - 1)) > 0; }

// What follows the opening quote, up to the closing one; two of them are one.
bool take_quoted(std::string_view& rest, std::string& out) {
  for (;;) {
    const auto end = rest.find('"');
    if (end == rest.npos) return false;
    out.append(rest.substr(0, end));
    rest.remove_prefix(end + 1);
    if (!rest.starts_with('"')) return true;
    out += '"';
    rest.remove_prefix(1);
  }
}

const char* take_csv_field(std::string_view& rest, char delimiter, delimited_field& f) {
  if (rest.starts_with('"')) {
    rest.remove_prefix(1);
    f.quoted = true;
    if (!take_quoted(rest, f.text)) return "a quoted field has no end";
    const bool at_end = rest.empty() || rest.front() == delimiter || line_end(rest) > 0;
    return at_end ? nullptr : "text follows a closing quote";
  }
  std::size_t n = 0;
  for (; n < rest.size() && rest[n] != delimiter && rest[n] != '\n'; ++n)
    if (rest[n] == '"') return "a quote stands within a field that does not begin with one";
  if (ends_with_return(rest, n)) --n;
  f.text.assign(rest.substr(0, n));
  rest.remove_prefix(n);
  return nullptr;
}

char unescaped(char c) {
  switch (c) {
  case 't': return '\t';
  case 'n': return '\n';
  case 'r': return '\r';
  case 'b': return '\b';
  case 'f': return '\f';
  case '0': return '\0';
  case '\\': return '\\';
  default: return '\x7f'; // none of them
  }
}

void take_tsv_field(std::string_view& rest, delimited_field& f) {
  std::size_t n = 0;
  for (; n < rest.size() && rest[n] != '\t' && rest[n] != '\n'; ++n) {
    const char after = rest[n] == '\\' && n + 1 < rest.size() ? unescaped(rest[n + 1]) : '\x7f';
    if (after == '\x7f') f.text += rest[n];
    else f.text += after, ++n;
  }
  f.null = rest.substr(0, n) == "\\N";
  // A carriage return before the line end belongs to it; an escaped one does not.
  if (ends_with_return(rest, n)) {
    f.text.pop_back();
    f.null = rest.substr(0, n - 1) == "\\N";
  }
  rest.remove_prefix(n);
}

} // namespace

const char* take_csv_line(std::string_view& rest, char delimiter, std::vector<delimited_field>& out,
                          std::size_t& count) {
  count = 0;
  for (;;) {
    if (const char* wrong = take_csv_field(rest, delimiter, next_field(out, count))) return wrong;
    if (rest.empty() || take_line_end(rest)) return nullptr;
    if (rest.front() != delimiter) return "a carriage return stands alone";
    rest.remove_prefix(1);
  }
}

const char* take_tsv_line(std::string_view& rest, std::vector<delimited_field>& out, std::size_t& count) {
  count = 0;
  for (;;) {
    take_tsv_field(rest, next_field(out, count));
    if (rest.empty() || take_line_end(rest)) return nullptr;
    rest.remove_prefix(1); // the tab
  }
}

// -- the decoder ----------------------------------------------------------------------------------------------------

namespace {

bool is_scalar(const type_ptr& wire) {
  const auto& t = wire->kind == type_kind::nullable ? wire->args[0] : wire;
  switch (t->kind) {
  case type_kind::array:
  case type_kind::tuple:
  case type_kind::map:
  case type_kind::variant:
  case type_kind::dynamic:
  case type_kind::json: return false;
  default: return true;
  }
}

// Text → a column of any type: scalars from their own text, all others from JSON.
class cell_writer {
public:
  static result<cell_writer> make(const table_column& c, const std::string& timezone) {
    cell_writer w;
    const auto wire = wire_type(c);
    const auto stored = storage_type(c.type);
    w.is_text_ = (stored->kind == type_kind::nullable ? stored->args[0] : stored)->kind == type_kind::string;
    if (is_scalar(wire)) {
      auto made = text_value::make(wire, timezone);
      if (!made) return made.failure();
      w.scalar_ = std::move(*made);
      return w;
    }
    const auto plain = json::plain_type(c.type);
    auto made = json_value::make(plain->kind == type_kind::nullable ? plain->args[0] : plain, timezone);
    if (!made) return made.failure();
    w.json_ = std::move(*made);
    return w;
  }

  bool is_text() const { return is_text_; } // String, also Nullable: an empty text is a value

  // What is wrong, or nothing.
  std::string append(std::string_view text, column& out) {
    if (scalar_) {
      const auto e = scalar_->append(text, out);
      return e == value_error::none ? "" : describe(e);
    }
    if (out.form != layout::nullable) return json_->append(text, out);
    auto wrong = json_->append(text, out.children[0]);
    if (!wrong.empty()) return wrong;
    mark_not_null(out);
    ++out.rows;
    return wrong;
  }

private:
  bool is_text_ = false;
  std::optional<text_value> scalar_;
  std::optional<json_value> json_;
};

class csv_decoder final : public row_decoder {
public:
  csv_decoder(bool tabs, std::vector<target_column> targets, decoder_options options)
      : row_decoder(std::move(targets), std::move(options)), tabs_(tabs) {}

  result<void> make() {
    if (auto r = prepare(); !r) return r;
    for (const auto& f : fields_) {
      auto w = cell_writer::make(target_of(f).column, options_.timezone);
      if (!w) return error{"formats", "column '" + target_of(f).column.name + "': " + w.failure().cause, ""};
      writers_.push_back(std::move(*w));
    }
    names_ = options_.csv.fields;
    if (names_.empty())
      for (const auto& f : fields_) names_.push_back(target_of(f).source.text);
    for (const auto& f : fields_) {
      const auto& name = target_of(f).source.text;
      if (options_.csv.header != csv_header::record && std::find(names_.begin(), names_.end(), name) == names_.end() &&
          target_of(f).column.name != name)
        return error{"formats",
                     "column '" + target_of(f).column.name + "' wants the field '" + name +
                         "', which `csv.fields` does not name",
                     "name all fields of a line there, in order"};
    }
    bind(names_);
    return {};
  }

protected:
  reading read(const record_view& r, std::string& why) override {
    auto rest = *r.value;
    if (rest.empty()) return bad(why, "the value is empty");
    if (options_.csv.header == csv_header::record && !read_header(rest, why)) return reading::bad;
    std::size_t count = 0;
    if (const char* wrong = take_line(rest, line_, count))
      return bad(why, std::string("the value is malformed: ") + wrong);
    if (options_.csv.header == csv_header::skip && is_header(count)) return rest.empty() ? reading::drop : many(why);
    if (!rest.empty()) return many(why);
    if (count != bound_.size())
      return bad(why, "the line has " + std::to_string(count) + (count == 1 ? " field" : " fields") + ", " +
                          std::to_string(bound_.size()) + " are expected");
    for (std::size_t i = 0; i < count; ++i)
      if (!fill(i, why)) return reading::bad;
    return reading::row;
  }

private:
  static reading bad(std::string& why, std::string text) {
    why = std::move(text);
    return reading::bad;
  }
  static reading many(std::string& why) { return bad(why, "the value holds more than one line of fields"); }

  const char* take_line(std::string_view& rest, std::vector<delimited_field>& out, std::size_t& count) const {
    return tabs_ ? take_tsv_line(rest, out, count) : take_csv_line(rest, options_.csv.delimiter, out, count);
  }

  // Which columns take the fields of a line, in its order.
  void bind(const std::vector<std::string>& names) {
    bound_.assign(names.size(), {});
    std::unordered_map<std::string_view, std::size_t> places;
    for (std::size_t i = 0; i < names.size(); ++i) places.emplace(names[i], i);
    for (std::uint32_t f = 0; f < fields_.size(); ++f)
      if (const auto at = places.find(target_of(fields_[f]).source.text); at != places.end())
        bound_[at->second].push_back(f);
  }

  // The record's own first line. Most records have that of the record before.
  bool read_header(std::string_view& rest, std::string& why) {
    if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3); // a mark that some programs write before UTF-8
    const auto before = rest;
    std::size_t count = 0;
    if (const char* wrong = take_line(rest, line_, count)) {
      why = std::string("the header line is malformed: ") + wrong;
      return false;
    }
    if (rest.empty()) {
      why = "no line follows the header line";
      return false;
    }
    const auto header = before.substr(0, before.size() - rest.size());
    if (header == header_) return true;
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i) {
      if (std::find(names.begin(), names.end(), line_[i].text) != names.end()) {
        why = "the header line names a field twice";
        return false;
      }
      names.push_back(line_[i].text);
    }
    bind(names);
    header_.assign(header);
    return true;
  }

  bool is_header(std::size_t count) const {
    if (count != names_.size()) return false;
    for (std::size_t i = 0; i < count; ++i)
      if (line_[i].text != names_[i]) return false;
    return true;
  }

  bool fill(std::size_t i, std::string& why) {
    if (bound_[i].empty()) ++ignored_;
    const auto& cell = line_[i];
    const bool null =
        tabs_ && options_.csv.null_text == "\\N" ? cell.null : !cell.quoted && cell.text == options_.csv.null_text;
    for (const auto f : bound_[i]) {
      auto& slot = fields_[f];
      if (null) {
        fill_null(slot);
        continue;
      }
      if (cell.text.empty() && !cell.quoted && !(tabs_ && writers_[f].is_text())) continue; // missing
      if (auto wrong = writers_[f].append(cell.text, column_of(slot)); !wrong.empty()) {
        why = subject(slot) + wrong;
        return false;
      }
      slot.filled = true;
    }
    return true;
  }

  bool tabs_;
  std::vector<cell_writer> writers_; // one a field
  std::vector<std::string> names_;   // the fields of a line, where it has no header of its own
  std::vector<std::vector<std::uint32_t>> bound_;
  std::string header_; // the line that bound_ was made from
  std::vector<delimited_field> line_;
};

} // namespace

result<std::unique_ptr<decoder>> make_csv_decoder(const std::string& format, std::vector<target_column> targets,
                                                  decoder_options options) {
  auto d = std::make_unique<csv_decoder>(format == "tsv", std::move(targets), std::move(options));
  if (auto r = d->make(); !r) return r.failure();
  return std::unique_ptr<decoder>(std::move(d));
}

} // namespace chute
