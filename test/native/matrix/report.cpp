#include "matrix/report.hpp"

#include "matrix/written.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>

namespace chute::test {
namespace {

constexpr const char* begin_mark =
    "<!-- The tables below are written by test/native/matrix; see test/integration/README.md. -->\n";
constexpr const char* end_mark = "<!-- The end of the tables. -->";

// In back quotes, short, and so that it stays in its cell.
std::string shown(const std::string& text) {
  constexpr std::size_t width = 44;
  std::string out;
  for (const char c : text.substr(0, text.size() > 200 ? 10 : std::string::npos)) {
    const auto u = static_cast<unsigned char>(c);
    char hex[8];
    if (c == '|') out += "\\|";
    else if (u < 0x20 || u == 0xff || u == 0xfe) std::snprintf(hex, sizeof hex, "\\x%02x", unsigned{u}), out += hex;
    else out += c;
  }
  if (text.size() > 200) out += "… (" + std::to_string(text.size()) + " bytes)";
  else if (out.size() > width) out = out.substr(0, 20) + "…" + out.substr(out.size() - 20);
  return out.empty() ? "empty" : "`" + out + "`";
}

std::string cell(const std::string& outcome) {
  for (const auto& r : reasons)
    if (outcome == r.name) return "✗ " + r.shown;
  return shown(outcome);
}

std::string joined(const std::vector<std::string>& names, const std::vector<std::string>& all) {
  if (names.size() == all.size()) return "all";
  std::string out;
  for (const auto& n : names) out += (out.empty() ? "" : ", ") + n;
  return out;
}

const sample& aspect_of(const matrix_type& t, const std::string& aspect, std::size_t& at) {
  for (at = 0; at < t.samples.size(); ++at)
    if (t.samples[at].aspect == aspect) return t.samples[at];
  throw std::logic_error(t.type + " lacks the aspect " + aspect);
}

// A line for each set of formats in which all the same happens.
void add_plain(const seen_type& s, const std::vector<std::string>& all, std::string& out) {
  std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>> groups; // outcomes, formats
  for (const auto& format : all) {
    std::vector<std::string> row;
    for (const auto& a : aspects) {
      std::size_t at = 0;
      aspect_of(*s.of, a, at);
      row.push_back(s.outcomes.at(format)[at]);
    }
    bool known = false;
    for (auto& [outcomes, names] : groups)
      if (outcomes == row) names.push_back(format), known = true;
    if (!known) groups.push_back({row, {format}});
  }
  for (const auto& [outcomes, names] : groups) {
    out += "| `" + s.of->type + "` | " + joined(names, all);
    for (std::size_t i = 0; i < aspects.size(); ++i) {
      if (aspects[i] == "missing") continue;
      out += " | " + cell(outcomes[i]);
      if (aspects[i] == "null" && outcomes[i] != outcomes[i + 1]) out += ", missing: " + cell(outcomes[i + 1]);
    }
    out += " |\n";
  }
}

// A line for each value.
void add_composite(const seen_type& s, std::string& out) {
  for (std::size_t i = 0; i < s.of->samples.size(); ++i) {
    const auto& given = s.of->samples[i].given;
    std::vector<std::pair<std::string, std::vector<std::string>>> groups; // outcome, formats
    for (const auto& format : formats) {
      if (format == "raw") continue; // said once
      const auto& outcome = s.outcomes.at(format)[i];
      bool known = false;
      for (auto& [o, names] : groups)
        if (o == outcome) names.push_back(format), known = true;
      if (!known) groups.push_back({outcome, {format}});
    }
    std::string cells;
    for (const auto& [outcome, names] : groups)
      cells += (cells.empty() ? "" : "; ") + (groups.size() > 1 ? joined(names, formats) + ": " : "") + cell(outcome);
    const auto text = given.what == value::missing                       ? "missing"
                      : given.what == value::text && given.text_.empty() ? "an empty text"
                                                                         : shown(as_json(given));
    out += "| `" + s.of->type + "` | " + text + " | " + cells + " |\n";
  }
}

constexpr const char* plain_head =
    "| column | formats | smallest | largest | the integer 0 | null or missing | empty text | below the smallest | "
    "above "
    "the largest | the text `x` | the list `[1]` | true |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n";

} // namespace

std::string tables(const std::vector<seen_type>& seen, const std::vector<seen_type>& passed) {
  std::string out;
  for (const auto& r : reasons) out += (out.empty() ? "\n" : ",\n") + ("✗ " + r.shown) + ": " + r.means;
  out += std::string(".\n\n") + plain_head;
  for (const auto& s : seen)
    if (s.of->documented && s.of->is_plain()) add_plain(s, formats, out);
  out += "\nColumns made of others. With `raw` a pipeline does not start with such a column.\n\n"
         "| column | the value, written as JSON | becomes |\n|---|---|---|\n";
  for (const auto& s : seen)
    if (s.of->documented && !s.of->is_plain()) add_composite(s, out);
  std::size_t wrapped = 0, keys = 0;
  for (const auto& s : seen) wrapped += !s.of->documented, keys += s.outcomes.contains(key_formats[0]);
  out +=
      "\nThe same values were tried in " + std::to_string(wrapped) +
      " types that hold one of the first table: in Nullable, LowCardinality, both and SimpleAggregateFunction they "
      "are the same,\nbut null, missing and csv's empty field are NULL where the type has it; in Array, Map and "
      "Tuple csv and tsv read JSON,\nraw does not start, and a null within Array or Map is a bad record.\n\n"
      "The values of the first table were tried as fields of keys, too (`key`), in json, connect_json, avro, protobuf "
      "and raw, with " +
      std::to_string(keys) +
      " types:\nthey become what they become in values.\n\n"
      "With `format: passthrough` ClickHouse reads the same values, as below: often more leniently. An error there is "
      "its refusal\nof the batch, from which the record comes out as a dead letter.\n\n";
  out += plain_head;
  for (const auto& s : passed)
    if (s.of->is_plain()) add_plain(s, passed_formats, out);
  return out + "\n";
}

bool same_as_documented(const std::string& path, const std::string& tables, bool rewrite) {
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  auto begin = text.find(begin_mark);
  const auto end = text.find(end_mark);
  if (begin == text.npos || end == text.npos || end < begin) throw std::runtime_error(path + " lacks the two markers");
  begin += std::string(begin_mark).size();
  if (text.compare(begin, end - begin, tables) == 0) return true;
  if (rewrite) {
    text.replace(begin, end - begin, tables);
    std::ofstream(path, std::ios::binary) << text;
  }
  return rewrite;
}

} // namespace chute::test
