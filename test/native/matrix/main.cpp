// chute-format-matrix URL docs/formats.md [--write]: every format into every type, read back from the engine. A line
// FAIL for each cell that is not as samples.hpp says; 1 if there is any, or if the tables in the docs are others
// (--write mends those).
#include "cells.hpp"
#include "matrix/passed.hpp"
#include "matrix/report.hpp"
#include "matrix/samples.hpp"
#include "matrix/written.hpp"
#include "server.hpp"

#include "formats/columns.hpp"

#include <algorithm>
#include <cstdio>
#include <set>
#include <span>
#include <stdexcept>

namespace chute::test {
namespace {

constexpr const char* database = "chute_format_matrix";
constexpr const char* table = "chute_format_matrix.t";
constexpr const char* passed_table = "chute_format_matrix.p";
constexpr std::size_t together = 30; // types that share a table

struct no_headers : header_source {
  void headers(const record_view&, std::vector<header_view>&) const override {}
};

// What a decoder made of a record: a column of one row, or why there is none.
struct decoded {
  std::string outcome; // "!…", or "?" and what was not foreseen
  std::optional<column> value;
};

// The error must name the column and its type, and the field.
bool names_its_place(const std::string& format, const table_column& c, const std::string& error) {
  const auto column = " for column '" + c.name + "' (" + c.type->text + ")";
  return error.starts_with((format == "raw" ? "the value" : "field 'c'") + column);
}

std::string outcome_of(const std::string& format, const table_column& c, std::string error) {
  constexpr std::string_view of_key = "the key: ";
  if (is_key_format(format)) {
    if (!error.starts_with(of_key)) return "?an error that does not name the key: " + error;
    return outcome_of(base_format(format), c, error.substr(of_key.size()));
  }
  if (format == "json" && error.starts_with("the value is not JSON")) return "!json";
  if (!names_its_place(format, c, error)) return "?an error that does not name its place: " + error;
  // The last that fits: "is empty" is also a part of others.
  for (const auto& r : reasons)
    if (!r.words.empty() && error.find(" " + r.words) != error.npos) return r.name;
  return "?an error of no known reason: " + error;
}

decoded decode(const std::string& format, const table_column& c, const value& given) {
  const bool is_key = is_key_format(format);
  const auto w = write_record(base_format(format), given);
  auto options = w.options;
  options.timezone = "UTC";
  if (is_key) {
    options = decoder_options();
    options.timezone = "UTC";
    options.key = {base_format(format), w.options.avro, w.options.protobuf};
  }
  const auto from = is_key ? column_source::from::key : column_source::from::field;
  auto d = make_decoder(is_key ? "json" : format, {{c, {from, "c"}, nullptr}}, options);
  if (!d) {
    const bool said = d.failure().text().find("'" + c.name + "'") != std::string::npos;
    return {said ? "!start" : "?" + d.failure().text(), {}};
  }
  record_view r{};
  if (is_key) r.value = "{}";
  if (w.record) (is_key ? r.key : r.value) = *w.record;
  chunk out;
  (*d)->decode({&r, 1}, no_headers{}, out);
  if (!out.dead.empty()) return {outcome_of(format, c, out.dead[0].error), {}};
  if (out.rows.rows != 1) return {"?no row and no dead letter", {}};
  return {"", std::move(out.rows.columns.at(0))};
}

struct matrix {
  server& s;
  std::vector<seen_type> seen;
  std::size_t cells = 0, failed = 0;

  void run(std::span<const matrix_type> types);
  void judge(const seen_type& t);
  void insert(std::span<seen_type> types, const std::vector<table_column>& columns,
              std::vector<std::vector<std::pair<std::string*, column>>>& rows);
};

// Keys take a plain value's types, which stand for the others: the decoders are those of values.
std::vector<std::string> formats_of(const matrix_type& t) {
  auto out = formats;
  if (t.documented && t.is_plain()) out.insert(out.end(), key_formats.begin(), key_formats.end());
  return out;
}

std::string replaced(const std::string& expression, const std::string& name) {
  std::string out;
  for (const char c : expression) out += c == '@' ? name : std::string(1, c);
  return out;
}

// One insert for all of them: a column a type, a row a cell. What the engine refuses is tried again type by type.
void matrix::insert(std::span<seen_type> types, const std::vector<table_column>& columns,
                    std::vector<std::vector<std::pair<std::string*, column>>>& rows) {
  auto c = std::make_shared<chunk>();
  auto& block = c->rows;
  for (const auto& r : rows) block.rows = std::max(block.rows, r.size());
  block.names.push_back("row");
  block.columns.push_back(make_column(*parse_type("UInt64")));
  for (std::size_t i = 0; i < block.rows; ++i) num(static_cast<std::uint64_t>(i))(block.columns[0]);
  std::vector<std::string> expressions;
  for (std::size_t i = 0; i < types.size(); ++i) {
    block.names.push_back(columns[i].name);
    auto& to = block.columns.emplace_back(make_column(wire_type(columns[i])));
    for (const auto& [outcome, value] : rows[i]) append_rows(to, value);
    while (to.rows < block.rows) append_default(to);
    const auto name = columns[i].name;
    expressions.push_back(replaced(types[i].of->read, name));
  }
  try {
    const auto body = encode_native(std::vector<chunk_rows>{{c, 0, block.rows}});
    if (!body) throw std::runtime_error(body.failure().text());
    s.query("TRUNCATE TABLE " + std::string(table));
    s.insert(table, *body);
    const auto found = s.read(table, expressions);
    if (found.size() != block.rows) throw std::runtime_error(std::to_string(found.size()) + " rows were found");
    for (std::size_t i = 0; i < types.size(); ++i)
      for (std::size_t k = 0; k < rows[i].size(); ++k) *rows[i][k].first = found[k][i];
  } catch (const std::runtime_error& e) {
    if (types.size() > 1) {
      for (std::size_t i = 0; i < types.size(); ++i) {
        std::vector<std::vector<std::pair<std::string*, column>>> one;
        one.push_back(std::move(rows[i]));
        insert(types.subspan(i, 1), {columns[i]}, one);
      }
      return;
    }
    for (auto& [outcome, value] : rows[0]) *outcome = "?the engine: " + std::string(e.what()).substr(0, 300);
  }
}

void matrix::run(std::span<const matrix_type> types) {
  s.query("DROP TABLE IF EXISTS " + std::string(table) + " SYNC");
  std::string sql = "CREATE TABLE " + std::string(table) + " (row UInt64";
  for (std::size_t i = 0; i < types.size(); ++i) sql += ", c" + std::to_string(i) + " " + types[i].type;
  s.query(sql + ") ENGINE = MergeTree ORDER BY row");
  auto columns = s.describe(table);
  columns.erase(columns.begin());
  if (columns.size() != types.size()) throw std::runtime_error("the table has other columns than were asked for");
  const auto first = seen.size();
  std::vector<std::vector<std::pair<std::string*, column>>> rows(types.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    auto& t = seen.emplace_back(seen_type{&types[i], {}});
    for (const auto& format : formats_of(types[i])) {
      auto& outcomes = t.outcomes[format];
      outcomes.resize(types[i].samples.size());
      for (std::size_t k = 0; k < outcomes.size(); ++k) {
        auto made = decode(format, columns[i], types[i].samples[k].given);
        outcomes[k] = made.outcome;
        if (made.value) rows[i].emplace_back(&outcomes[k], std::move(*made.value));
      }
    }
  }
  insert({seen.data() + first, types.size()}, columns, rows);
  for (auto i = first; i < seen.size(); ++i) judge(seen[i]);
}

void matrix::judge(const seen_type& t) {
  std::set<std::string> had;
  for (std::size_t k = 0; k < t.of->samples.size(); ++k) {
    const auto& sample = t.of->samples[k];
    had.insert(sample.aspect);
    for (const auto& format : formats_of(*t.of)) {
      ++cells;
      const auto &found = t.outcomes.at(format)[k], &expected = sample.outcome(base_format(format));
      if (found == expected) continue;
      ++failed;
      std::printf("FAIL %s to %s, %s (%s): %s instead of %s\n", format.c_str(), t.of->type.c_str(),
                  sample.aspect.c_str(), as_json(sample.given).substr(0, 80).c_str(), found.substr(0, 400).c_str(),
                  expected.substr(0, 120).c_str());
    }
  }
  for (const auto& a : aspects) {
    if (had.contains(a) || (a == "missing" && !t.of->documented)) continue;
    ++failed;
    std::printf("FAIL %s lacks the aspect %s\n", t.of->type.c_str(), a.c_str());
  }
}

int run_all(server& s, const std::string& documentation, bool rewrite) {
  std::vector<matrix_type> types;
  for (auto& plain : plain_types()) {
    for (auto& wrapped : wrapped_types(plain)) types.push_back(std::move(wrapped));
    types.push_back(std::move(plain));
  }
  for (auto& t : composite_types()) types.push_back(std::move(t));
  s.query("CREATE DATABASE IF NOT EXISTS " + std::string(database) + " ENGINE = Atomic");
  matrix m{s, {}};
  m.seen.reserve(types.size());
  for (std::size_t i = 0; i < types.size(); i += together)
    m.run(std::span(types).subspan(i, std::min(together, types.size() - i)));
  std::vector<seen_type> passed;
  for (const auto& t : types)
    if (t.documented) passed.push_back(pass_all(s, passed_table, t, m.cells, m.failed));
  s.query("DROP DATABASE " + std::string(database) + " SYNC");
  if (!same_as_documented(documentation, tables(m.seen, passed), rewrite)) {
    ++m.failed;
    std::printf("FAIL the tables in %s are not what was seen; --write brings them up to date\n", documentation.c_str());
  }
  std::printf("%zu cells of %zu types, %zu failed\n", m.cells, types.size(), m.failed);
  return m.failed ? 1 : 0;
}

} // namespace
} // namespace chute::test

int main(int argc, char** argv) {
  const bool rewrite = argc == 4 && std::string(argv[3]) == "--write";
  if (argc != 3 && !rewrite) {
    std::fprintf(stderr, "usage: chute-format-matrix URL docs/formats.md [--write]\n");
    return 2;
  }
  try {
    chute::test::server s(argv[1]);
    return chute::test::run_all(s, argv[2], rewrite);
  } catch (const std::exception& e) {
    std::printf("FAIL %s\n", e.what());
    return 1;
  }
}
