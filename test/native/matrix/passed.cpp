#include "matrix/passed.hpp"

#include "matrix/written.hpp"

#include "formats/passthrough.hpp"

#include <cctype>
#include <cstdio>
#include <sstream>
#include <stdexcept>

namespace chute::test {
namespace {

struct no_headers : header_source {
  void headers(const record_view&, std::vector<header_view>&) const override {}
};

// As a text in SQL.
std::string quoted_sql(const std::string& bytes) {
  std::string out = "'";
  for (const char c : bytes) {
    char hex[8];
    if (std::isalnum(static_cast<unsigned char>(c))) out += c;
    else std::snprintf(hex, sizeof hex, "\\x%02X", unsigned{static_cast<unsigned char>(c)}), out += hex;
  }
  return out + "'";
}

std::string unhex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

std::string expression_of(const matrix_type& t) {
  std::string out;
  for (const char c : t.read) out += c == '@' ? "c" : std::string(1, c);
  return out;
}

constexpr std::size_t rows_max = 1'000; // of a type in one format

std::string settings(bool past_errors) {
  std::string out = "date_time_input_format = 'best_effort', input_format_null_as_default = 1, "
                    "input_format_defaults_for_omitted_fields = 1, input_format_skip_unknown_fields = 1, "
                    "input_format_csv_detect_header = 0, input_format_tsv_detect_header = 0, "
                    "input_format_parallel_parsing = 0";
  if (past_errors) out += ", input_format_allow_errors_num = " + std::to_string(rows_max);
  return out;
}

bool is_refusal(const std::runtime_error& e) { return std::string(e.what()).starts_with("Code: "); }

// What the engine makes of these rows, whose column `other` is their number: into `out`, where "!refused" stands.
// Throws its words if it refuses them all.
void ask(server& s, const std::string& format, const matrix_type& t, const std::string& rows, bool past_errors,
         std::vector<std::string>& out) {
  const auto e = expression_of(t);
  std::istringstream found(s.query("SELECT other, hex(if(isNull(" + e + "), 'NULL', toString(" + e +
                                   "))) FROM format(" + format + ", " + quoted_sql("c " + t.type + ", other String") +
                                   ", " + quoted_sql(rows) + ") SETTINGS " + settings(past_errors) + " FORMAT TSVRaw"));
  for (std::string line; std::getline(found, line);) {
    const auto tab = line.find('\t');
    out.at(std::stoul(line.substr(0, tab))) = unhex(line.substr(tab + 1));
  }
}

// All at once, past those that it refuses; where it does not get past one, each by itself.
std::vector<std::string> ask_all(server& s, const std::string& format, const matrix_type& t,
                                 const std::vector<std::string>& rows) {
  std::vector<std::string> out(rows.size(), "!refused");
  std::string all;
  for (const auto& r : rows) all += r + "\n";
  try {
    ask(s, format, t, all, true, out);
    return out;
  } catch (const std::runtime_error& e) {
    if (!is_refusal(e)) throw;
  }
  for (const auto& r : rows) try {
      ask(s, format, t, r + "\n", false, out);
    } catch (const std::runtime_error& e) {
      if (!is_refusal(e)) throw;
    }
  return out;
}

// The rows as chute sends them: the offset in front, as the column `row`.
chunk_ptr decode_all(const std::string& format, const table_column& c, const std::vector<std::string>& rows,
                     std::size_t first) {
  decoder_options options;
  options.timezone = "UTC";
  options.passthrough.format = format;
  const auto field = [](table_column column) {
    return target_column{std::move(column), {column_source::from::field, ""}, nullptr};
  };
  auto d = make_decoder("passthrough",
                        {{{"row", *parse_type("Int64"), "", ""}, {column_source::from::meta, "offset"}, nullptr},
                         field(c),
                         field({"other", *parse_type("String"), "", ""})},
                        options);
  if (!d) throw std::runtime_error(d.failure().text());
  std::vector<record_view> records(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    records[i].offset = {static_cast<std::int64_t>(first + i)};
    records[i].value = rows[i];
  }
  auto out = std::make_shared<chunk>();
  (*d)->decode(records, no_headers{}, *out);
  if (!out->dead.empty()) throw std::runtime_error("chute took a row for none: " + out->dead[0].error);
  return out;
}

void insert(server& s, const std::string& table, const std::string& format, chunk_rows rows, bool past_errors) {
  const auto body = encode_passthrough(passthrough_config{format}, std::vector{std::move(rows)});
  if (!body) throw std::runtime_error(body.failure().text());
  s.insert(table, *body, past_errors ? "&input_format_allow_errors_num=" + std::to_string(rows_max) : "");
}

// As ask_all, through chute and into a table.
void insert_all(server& s, const std::string& table, const std::string& format, const chunk_ptr& all) {
  const auto rows = all->rows.rows;
  try {
    return insert(s, table, format, {all, 0, rows}, true);
  } catch (const std::runtime_error& e) {
    if (!is_refusal(e)) throw;
  }
  for (std::size_t i = 0; i < rows; ++i) try {
      insert(s, table, format, {all, i, 1}, false);
    } catch (const std::runtime_error& e) {
      if (!is_refusal(e)) throw;
    }
}

} // namespace

seen_type pass_all(server& s, const std::string& table, const matrix_type& t, std::size_t& cells, std::size_t& failed) {
  s.query("DROP TABLE IF EXISTS " + table + " SYNC");
  s.query("CREATE TABLE " + table + " (row Int64, c " + t.type + ", other String) ENGINE = MergeTree ORDER BY row");
  const auto c = s.describe(table).at(1);
  seen_type out{&t, {}};
  std::vector<std::vector<std::string>> rows, expected;
  if (t.samples.size() > rows_max) throw std::logic_error(t.type + " has too many samples");
  for (std::size_t f = 0; f < passed_formats.size(); ++f) {
    auto& of = rows.emplace_back();
    for (const auto& sample : t.samples)
      of.push_back(write_passed(passed_formats[f], sample.given, t.type, std::to_string(of.size())));
    expected.push_back(ask_all(s, passed_formats[f], t, of));
    insert_all(s, table, passed_formats[f], decode_all(passed_formats[f], c, of, f * rows_max));
    out.outcomes[passed_formats[f]].assign(of.size(), "!refused");
  }
  for (const auto& found : s.read(table, {"row", expression_of(t), "other"})) {
    const auto row = std::stoul(found[0]);
    out.outcomes[passed_formats.at(row / rows_max)].at(row % rows_max) =
        found[2] == std::to_string(row % rows_max) ? found[1] : "?the next column became " + found[2];
  }
  for (std::size_t f = 0; f < passed_formats.size(); ++f)
    for (std::size_t i = 0; i < rows[f].size(); ++i, ++cells) {
      const auto& found = out.outcomes[passed_formats[f]][i];
      if (found == expected[f][i]) continue;
      ++failed;
      std::printf("FAIL %s to %s, %s (%s): %s instead of %s\n", passed_formats[f].c_str(), t.type.c_str(),
                  t.samples[i].aspect.c_str(), rows[f][i].substr(0, 80).c_str(), found.substr(0, 400).c_str(),
                  expected[f][i].substr(0, 120).c_str());
    }
  return out;
}

} // namespace chute::test
