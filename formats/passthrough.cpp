#include "formats/passthrough.hpp"

#include "formats/block_maker.hpp"
#include "formats/body_writer.hpp"
#include "formats/meta.hpp"
#include "formats/row_cursor.hpp"
#include "formats/row_encoding.hpp"

#include <algorithm>
#include <optional>

namespace chute {
namespace {

bool is_json(const std::string& format) { return format == "JSONEachRow" || format == "JSONCompactEachRow"; }

// -- one row --------------------------------------------------------------------------------------------------------

// Brackets are only counted, and texts passed over: as ClickHouse's parser finds the end of a row.
const char* take_json_row(std::string_view& v, char open, const char* another) {
  constexpr std::string_view blank = " \t\r\n";
  v.remove_prefix(std::min(v.find_first_not_of(blank), v.size()));
  if (v.empty()) return "is empty";
  v.remove_suffix(v.size() - 1 - v.find_last_not_of(blank));
  if (v.front() != open) return another;
  std::size_t depth = 0;
  for (std::size_t i = 0; i < v.size(); ++i) switch (v[i]) {
    case '"':
      for (++i; i < v.size() && v[i] != '"'; ++i)
        if (v[i] == '\\') ++i;
      if (i >= v.size()) return "ends within a text";
      break;
    case '{':
    case '[': ++depth; break;
    case '}':
    case ']':
      if (--depth > 0) break;
      return i + 1 == v.size() ? nullptr : "goes on behind its row";
    default: break;
    }
  return "ends too early";
}

void drop_line_end(std::string_view& v) {
  if (v.ends_with('\n')) v.remove_suffix(v.ends_with("\r\n") ? 2 : 1);
}

const char* take_csv_row(std::string_view& v, char delimiter) {
  drop_line_end(v);
  if (v.empty()) return "is empty";
  for (std::size_t i = 0;;) {
    while (i < v.size() && v[i] != delimiter && (v[i] == ' ' || v[i] == '\t')) ++i; // ClickHouse passes them over
    if (i < v.size() && v[i] == '"') {
      for (++i; i < v.size(); ++i)
        if (v[i] == '"' && (i + 1 == v.size() || v[i + 1] != '"')) break;
        else if (v[i] == '"') ++i;
      if (i == v.size()) return "has a quoted field without an end";
      for (++i; i < v.size() && v[i] != delimiter; ++i)
        if (v[i] != ' ' && v[i] != '\t') return "has text behind a closing quote";
    } else {
      for (; i < v.size() && v[i] != delimiter; ++i)
        if (v[i] == '\n' || v[i] == '\r') return "holds more than one line";
    }
    if (i == v.size()) return nullptr;
    ++i;
  }
}

const char* take_line(std::string_view& v) {
  drop_line_end(v);
  if (v.empty()) return "is empty";
  if (v.find('\n') != v.npos) return "holds more than one line";
  if (v.ends_with('\r')) return "ends with a carriage return"; // which ClickHouse takes for a part of the line end
  const auto kept = v.find_last_not_of('\\');
  const auto backslashes = v.size() - (kept == v.npos ? 0 : kept + 1);
  return backslashes % 2 ? "ends within an escape" : nullptr; // it would take the line end into the field
}

} // namespace

const char* take_row(const passthrough_config& config, std::string_view& value) {
  if (config.format == "JSONEachRow") return take_json_row(value, '{', "is no JSON object");
  if (config.format == "JSONCompactEachRow") return take_json_row(value, '[', "is no JSON array");
  if (config.format == "CSV") return take_csv_row(value, config.delimiter);
  return take_line(value);
}

// -- the decoder ----------------------------------------------------------------------------------------------------

namespace {

class passthrough_decoder final : public decoder {
public:
  passthrough_decoder(std::vector<target_column> targets, decoder_options options)
      : targets_(std::move(targets)), options_(std::move(options)) {}

  result<void> make() {
    std::string fields;
    std::vector<target_column> kept;
    for (auto& t : targets_) {
      if (t.source.kind == column_source::from::field) {
        if (!fields.empty()) fields += '\0';
        fields += t.column.name;
        continue;
      }
      auto filler = meta_filler::make(t, options_);
      if (!filler) return filler.failure();
      const auto form = make_column(storage_type(t.column.type)).form;
      if (form == layout::array && !is_json(options_.passthrough.format))
        return error{"formats",
                     "column '" + t.column.name + "' of type " + t.column.type->text + " does not go before a row of " +
                         options_.passthrough.format,
                     "leave it out, give it another type, or let records be JSON"};
      needs_headers_ = needs_headers_ || filler->needs_headers();
      fillers_.push_back(*std::move(filler));
      kept.push_back(std::move(t));
    }
    if (fields.empty()) return error{"formats", "no column of the table is left for the value", "add one"};
    value_ = kept.size();
    kept.push_back({{std::move(fields), *parse_type("String"), "", ""}, {column_source::from::field, ""}, nullptr});
    targets_ = std::move(kept);
    return {};
  }

  void decode(std::span<const record_view> records, const header_source& headers, chunk& out) override {
    blocks_.begin(targets_, records, out);
    for (const auto& r : records) decode_one(r, headers, out);
    blocks_.end(out);
  }

private:
  void decode_one(const record_view& r, const header_source& headers, chunk& out) {
    const auto bad = [&](std::string why) { append_bad_record(r, headers, options_, std::move(why), out); };
    if (!r.value) return bad("tombstone: the value is null, and deletes are rejected");
    if (r.value->size() > options_.record_bytes_max)
      return bad("the value is larger than " + std::to_string(options_.record_bytes_max) + " bytes");
    auto row = *r.value;
    if (const char* wrong = take_row(options_.passthrough, row))
      return bad(std::string("the value ") + wrong + ": it is not one row of " + options_.passthrough.format);
    found_.clear();
    if (needs_headers_) headers.headers(r, found_);
    for (auto& c : out.rows.columns) c.mark();
    for (std::size_t i = 0; i < fillers_.size(); ++i) {
      const auto e = fillers_[i].append(r, out.partition, found_, out.rows.columns[i]);
      if (e == value_error::none) continue;
      for (auto& c : out.rows.columns) c.rollback();
      return bad(fillers_[i].subject() + " " + describe(e));
    }
    auto& to = out.rows.columns[value_];
    append_varint(to.data, row.size());
    to.data.append(row.data(), row.size());
    ++to.rows;
    ++out.rows.rows;
    append_row_outcome(r, out);
  }

  std::vector<target_column> targets_; // those of the block
  block_maker blocks_;
  decoder_options options_;
  std::vector<meta_filler> fillers_; // one each, but for the last
  std::size_t value_ = 0;
  bool needs_headers_ = false;
  std::vector<header_view> found_; // scratch
};

// -- the body -------------------------------------------------------------------------------------------------------

// A JSON text as json_each_row writes it, without quotes and escapes.
std::string plain(std::string_view json) {
  if (!json.starts_with('"')) return std::string(json);
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string out;
  for (std::size_t i = 1; i + 1 < json.size(); ++i) {
    if (json[i] != '\\') out += json[i];
    else if (json[++i] != 'u') out += json[i];
    else out += static_cast<char>(digit(json[i + 3]) * 16 + digit(json[i + 4])), i += 4;
  }
  return out;
}

void append_csv(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

// As TabSeparated and TSKV have it.
void append_escaped(std::string& out, std::string_view text, bool is_name) {
  for (const char c : text) switch (c) {
    case '\t': out += "\\t"; break;
    case '\n': out += "\\n"; break;
    case '\r': out += "\\r"; break;
    case '\0': out += "\\0"; break;
    case '\\': out += "\\\\"; break;
    case '=': out += is_name ? "\\=" : "="; break;
    default: out += c;
    }
}

// What stands before the value's own fields, and how the two are put together.
class prefix_writer {
public:
  prefix_writer(const passthrough_config& config, const block& rows, std::size_t first_row) : config_(config) {
    for (std::size_t i = 0; i + 1 < rows.columns.size(); ++i) {
      names_.push_back(rows.names[i]);
      cursors_.emplace_back(rows.columns[i]).skip(first_row);
    }
  }

  void write(std::string_view row, body_writer& to) {
    line_.clear();
    const bool json = is_json(config_.format);
    if (json) {
      line_ += row.front();
      row.remove_prefix(1);
    }
    for (std::size_t i = 0; i < cursors_.size(); ++i) {
      if (i) line_ += separator();
      append_cell(i);
    }
    // An empty object or array has nothing to be separated from.
    const bool empty = json && row.find_first_not_of(" \t\r\n") == row.size() - 1;
    if (!cursors_.empty() && !empty) line_ += separator();
    to.copy(line_.data(), line_.size());
    to.view(row.data(), row.size());
    to.copy("\n", 1);
    to.end_row();
  }

private:
  char separator() const { return is_json(config_.format) ? ',' : config_.format == "CSV" ? config_.delimiter : '\t'; }

  void append_cell(std::size_t i) {
    if (config_.format == "JSONEachRow") {
      append_json_text(line_, names_[i]);
      line_ += ':';
    }
    if (is_json(config_.format)) return append_json_value(line_, cursors_[i]);
    if (config_.format == "TSKV") {
      append_escaped(line_, names_[i], true);
      line_ += '=';
    }
    cell_.clear();
    append_json_value(cell_, cursors_[i]);
    if (cell_ == "null") line_ += "\\N";
    else if (config_.format == "CSV") append_csv(line_, plain(cell_));
    else append_escaped(line_, plain(cell_), false);
  }

  const passthrough_config& config_;
  std::vector<std::string> names_;
  std::vector<row_cursor> cursors_;
  std::string line_, cell_;
};

// What the format of a prefix, and the end of a row, rest on. The topology refuses them.
void pin_settings(const passthrough_config& config, body& out) {
  out.settings = {{"date_time_input_format", "best_effort"}, // ISO 8601
                  {"input_format_defaults_for_omitted_fields", "1"},
                  {"input_format_parallel_parsing", "0"}, // it cuts the body into blocks
                  {"input_format_skip_unknown_fields", "1"}};
  const auto more = [&](const char* name, std::string value) { out.settings.emplace_back(name, std::move(value)); };
  if (config.format == "CSV") {
    more("format_csv_delimiter", std::string(1, config.delimiter));
    more("format_csv_allow_single_quotes", "0");
    more("format_csv_allow_double_quotes", "1");
    more("format_csv_null_representation", "\\N");
    more("input_format_csv_detect_header", "0");
    more("input_format_csv_skip_first_lines", "0");
    more("input_format_csv_allow_whitespace_or_tab_as_delimiter", "0");
  }
  if (config.format == "TabSeparated") {
    more("format_tsv_null_representation", "\\N");
    more("input_format_tsv_detect_header", "0");
    more("input_format_tsv_skip_first_lines", "0");
  }
}

} // namespace

result<std::unique_ptr<decoder>> make_passthrough_decoder(std::vector<target_column> targets, decoder_options options) {
  auto d = std::make_unique<passthrough_decoder>(std::move(targets), std::move(options));
  if (auto r = d->make(); !r) return r.failure();
  return std::unique_ptr<decoder>(std::move(d));
}

result<body> encode_passthrough(const passthrough_config& config, std::span<const chunk_rows> batch) {
  std::vector<chunk_rows> filled;
  auto out = begin_body(batch, filled);
  if (!out) return out.failure();
  const std::string fields = std::move(out->columns.back());
  out->columns.pop_back();
  for (std::size_t at = 0; at <= fields.size();) {
    const auto end = std::min(fields.find('\0', at), fields.size());
    out->columns.push_back(fields.substr(at, end - at));
    at = end + 1;
  }
  out->format = config.format;
  pin_settings(config, *out);
  body_writer writer(*out);
  for (const auto& b : filled) {
    prefix_writer prefix(config, b.from->rows, b.first_row);
    row_cursor values(b.from->rows.columns.back());
    values.skip(b.first_row);
    for (std::size_t i = 0; i < b.rows; ++i) prefix.write(values.next_text(), writer);
  }
  writer.finish();
  return out;
}

} // namespace chute
