// chute-native-roundtrip URL docs/json.md: a line a case, PASS or FAIL; 1 if any failed.
#include "cases.hpp"
#include "defaults.hpp"
#include "json_cases.hpp"
#include "server.hpp"

#include "formats/columns.hpp"
#include "formats/json.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <stdexcept>

namespace chute::test {
namespace {

constexpr const char* encodings[] = {"native", "row_binary", "json_each_row"};
constexpr const char* table = "chute_native_roundtrip.t";

// Cases that share a table: one column each.
using group = std::vector<test_case>;

std::string column_name(std::size_t i) { return "c" + std::to_string(i); }

std::string definition(const test_case& t) {
  std::string type = t.type;
  const std::string ephemeral = " EPHEMERAL";
  const bool is_ephemeral = type.ends_with(ephemeral);
  if (is_ephemeral) type.resize(type.size() - ephemeral.size());
  if (!t.default_expression.empty()) type += (is_ephemeral ? ephemeral : " DEFAULT") + " " + t.default_expression;
  return type;
}

std::string create(const group& cases) {
  std::string sql = "CREATE TABLE " + std::string(table) + " (row UInt64";
  for (std::size_t i = 0; i < cases.size(); ++i) sql += ", " + column_name(i) + " " + definition(cases[i]);
  return sql + ") ENGINE = MergeTree ORDER BY row";
}

// Rows [first, first + count), if first is not 0 between rows that the batch leaves out.
chunk_rows make_chunk(const std::vector<table_column>& columns, const group& cases, std::size_t first,
                      std::size_t count) {
  auto c = std::make_shared<chunk>();
  auto& rows = c->rows;
  for (const auto& column : columns) {
    rows.names.push_back(column.name);
    rows.columns.push_back(make_column(wire_type(column)));
  }
  const auto add = [&](std::size_t row) {
    num(static_cast<std::uint64_t>(row))(rows.columns[0]);
    for (std::size_t i = 0; i < cases.size(); ++i)
      cases[i].values[row % cases[i].values.size()].first(rows.columns[i + 1]);
    ++rows.rows;
  };
  if (first) add(first - 1);
  for (auto row = first; row < first + count; ++row) add(row);
  if (first) add(first + count);
  return {c, first ? std::size_t{1} : 0, count};
}

std::vector<target_column> targets_for(const std::vector<table_column>& columns) {
  std::vector<target_column> out;
  for (const auto& c : columns) out.push_back({c, {column_source::from::field, c.name}, nullptr});
  return out;
}

std::string content(const body& b) {
  std::string out;
  for (const auto& p : b.pieces) out += p;
  return out;
}

// The body of all rows, made from chunks that are cut: the same as from one chunk.
body make_body(const std::string& encoding, const std::vector<table_column>& columns, const group& cases,
               std::size_t n) {
  const std::vector<chunk_rows> whole = {make_chunk(columns, cases, 0, n)};
  const std::vector<chunk_rows> cut = {make_chunk(columns, cases, 0, n / 3), make_chunk(columns, cases, n / 3, 1),
                                       make_chunk(columns, cases, n / 3 + 1, n - n / 3 - 1)};
  const auto targets = targets_for(columns);
  auto block = encode(encoding, whole, targets), same = encode(encoding, cut, targets);
  if (!block) throw std::runtime_error(block.failure().text());
  if (!same) throw std::runtime_error(same.failure().text());
  if (content(*block) != content(*same)) throw std::runtime_error("other chunks, other bytes");
  return std::move(*same);
}

std::string expression(const test_case& t, std::size_t i) {
  std::string out;
  for (char c : t.read) {
    if (c == '@') out += column_name(i);
    else out += c;
  }
  return out;
}

bool is_refused(const std::string& encoding, const std::vector<table_column>& columns) {
  return !can_encode(encoding, targets_for(columns));
}

// Types that JSON cannot tell apart, and keys that ClickHouse does not take in quotes: exactly these are refused.
bool is_guessed(const std::string& type) {
  for (const char* name : {"Variant", "Dynamic", "Geometry", "Map(Bool", "Map(Tuple"})
    if (type.find(name) != std::string::npos) return true;
  return false;
}
bool has_guessed_type(const group& cases) {
  return std::any_of(cases.begin(), cases.end(), [](const test_case& t) { return is_guessed(t.type); });
}

// Throws for the first value that came back as another one.
void run(server& s, const std::string& encoding, const group& cases) {
  s.query("DROP TABLE IF EXISTS " + std::string(table) + " SYNC");
  s.query(create(cases));
  std::size_t n = 0;
  std::vector<std::string> expressions;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    n = std::max(n, cases[i].values.size() * 2);
    expressions.push_back(expression(cases[i], i));
  }
  const auto columns = s.describe(table);
  if (is_refused(encoding, columns)) {
    if (encoding != "json_each_row" || !has_guessed_type(cases)) throw std::runtime_error("is refused");
    return;
  }
  s.insert(table, make_body(encoding, columns, cases, n));
  const auto found = s.read(table, expressions);
  if (found.size() != n) throw std::runtime_error(std::to_string(found.size()) + " rows, not " + std::to_string(n));
  for (std::size_t row = 0; row < n; ++row) {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const auto& expected = cases[i].values[row % cases[i].values.size()].second;
      if (found[row][i] != expected)
        throw std::runtime_error("row " + std::to_string(row) + ": " + found[row][i].substr(0, 200) + " instead of " +
                                 expected.substr(0, 200));
    }
  }
}

// Throws unless a row without a value holds the constant that the DEFAULT expression stands for.
void run(server& s, const fill_case& t) {
  s.query("DROP TABLE IF EXISTS " + std::string(table) + " SYNC");
  s.query("CREATE TABLE " + std::string(table) + " (row UInt64, c " + t.type + " DEFAULT " + t.expression +
          ") ENGINE = MergeTree ORDER BY row");
  const auto columns = s.describe(table);
  if (!needs_fill(columns[1])) throw std::runtime_error("is not seen to need a constant");
  target_column target{columns[1], {column_source::from::field, "c"}, nullptr};
  if (auto ok = read_fill(target, s.query(fill_query(columns[1])), {}); !ok)
    throw std::runtime_error(ok.failure().text());
  auto c = std::make_shared<chunk>();
  prepare_block({{columns[0], {column_source::from::field, "row"}, nullptr}, target}, c->rows);
  for (; c->rows.rows < 3; ++c->rows.rows) {
    num(static_cast<std::uint64_t>(c->rows.rows))(c->rows.columns[0]);
    append_missing(c->rows.columns[1], target);
  }
  for (const std::string encoding : encodings) {
    if (is_refused(encoding, columns)) {
      if (encoding != "json_each_row" || !is_guessed(t.type)) throw std::runtime_error(encoding + ": is refused");
      continue;
    }
    const auto block = encode(encoding, std::vector<chunk_rows>{{c, 0, 3}}, targets_for(columns));
    if (!block) throw std::runtime_error(encoding + ": " + block.failure().text());
    s.query("TRUNCATE TABLE " + std::string(table));
    s.insert(table, *block);
    const auto found = s.read(table, {"c"});
    if (found.size() != 3) throw std::runtime_error(encoding + ": " + std::to_string(found.size()) + " rows");
    for (const auto& row : found)
      if (row[0] != t.expected) throw std::runtime_error(encoding + ": " + row[0] + " instead of " + t.expected);
  }
}

// The records of a case, one a row: by the decoder, or by ClickHouse's own.
body json_block(const std::vector<table_column>& columns, const json_case& t, bool by_decoder) {
  std::vector<std::string> texts;
  std::string lines;
  for (std::size_t i = 0; i < t.values.size(); ++i) {
    texts.push_back("{\"row\":" + std::to_string(i) + ",\"c\":" + t.values[i].first + "}");
    lines += texts.back() + "\n";
  }
  if (!by_decoder) {
    body b;
    b.format = "JSONEachRow";
    b.columns = {"row", "c"};
    b.own.push_back(std::make_unique<bytes>());
    b.own[0]->append(lines.data(), lines.size());
    b.pieces = {{b.own[0]->data(), b.own[0]->size()}};
    return b;
  }
  std::vector<target_column> targets;
  for (const auto& c : columns) targets.push_back({c, {column_source::from::field, c.name}, nullptr});
  auto d = make_json_decoder(targets, {});
  if (!d) throw std::runtime_error(d.failure().text());
  struct no_headers : header_source {
    void headers(const record_view&, std::vector<header_view>&) const override {}
  };
  auto c = std::make_shared<chunk>();
  std::vector<record_view> records(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) records[i].value = texts[i];
  (*d)->decode(records, no_headers{}, *c);
  if (!c->dead.empty()) throw std::runtime_error(c->dead[0].error + ": " + c->dead[0].value->substr(0, 100));
  auto block = encode_native(std::vector<chunk_rows>{{c, 0, c->rows.rows}});
  if (!block) throw std::runtime_error(block.failure().text());
  return std::move(*block);
}

// Throws unless the decoder refuses the value.
void refuse(const json_case& t) {
  try {
    json_block({{"row", *parse_type("UInt64"), "", ""}, {"c", *parse_type(t.type), "", ""}}, t, true);
  } catch (const std::runtime_error& e) {
    if (std::string(e.what()).starts_with("field 'c' for column 'c'") ||
        std::string(e.what()).starts_with("the value is not JSON"))
      return;
    throw;
  }
  throw std::runtime_error(t.values[0].first + " was not refused");
}

void run(server& s, const json_case& t, bool by_decoder) {
  if (t.refused) return refuse(t);
  s.query("DROP TABLE IF EXISTS " + std::string(table) + " SYNC");
  s.query("CREATE TABLE " + std::string(table) + " (row UInt64, c " + t.type + ") ENGINE = MergeTree ORDER BY row");
  s.insert(table, json_block(s.describe(table), t, by_decoder));
  std::string read;
  for (char c : t.read) read += c == '@' ? 'c' : c;
  const auto found = s.read(table, {read});
  if (found.size() != t.values.size()) throw std::runtime_error(std::to_string(found.size()) + " rows");
  std::string other;
  for (std::size_t i = 0; i < found.size(); ++i)
    if (found[i][0] != t.values[i].second)
      other += "\n  " + t.values[i].first.substr(0, 100) + " became " + found[i][0].substr(0, 200) + " instead of " +
               t.values[i].second.substr(0, 200);
  if (!other.empty()) throw std::runtime_error(other);
}

int report(server& s, const json_case& t, bool by_decoder) {
  std::string error;
  try {
    run(s, t, by_decoder);
  } catch (const std::exception& e) {
    error = e.what();
  }
  std::printf("%s JSON to %s%s%s\n", error.empty() ? "PASS " : "FAIL ", t.type.c_str(),
              by_decoder ? " " : " by ClickHouse itself ", error.c_str());
  return error.empty() ? 0 : 1;
}

int report(server& s, const fill_case& t) {
  std::string error;
  try {
    run(s, t);
  } catch (const std::exception& e) {
    error = e.what();
  }
  const bool as_expected = t.refusal.empty() ? error.empty() : error.find(t.refusal) != std::string::npos;
  std::printf("%s %s DEFAULT %s %s\n", as_expected ? "PASS" : "FAIL", t.type.c_str(), t.expression.c_str(),
              error.c_str());
  return as_expected ? 0 : 1;
}

// A line a case. A group that fails is run again case by case, to know which it was.
int report(server& s, const std::string& encoding, const group& cases) {
  std::string error;
  try {
    run(s, encoding, cases);
  } catch (const std::exception& e) {
    error = e.what();
  }
  if (!error.empty() && cases.size() > 1) {
    int failed = 0;
    for (const auto& t : cases) failed += report(s, encoding, {t});
    if (!failed) std::printf("FAIL together, though not alone: %s\n", error.c_str());
    return failed ? failed : 1;
  }
  for (const auto& t : cases) {
    const auto name = encoding + ": " + t.type + (t.default_expression.empty() ? "" : " with DEFAULT");
    if (error.empty()) std::printf("PASS %s\n", name.c_str());
    else std::printf("FAIL %s: %s\n", name.c_str(), error.c_str());
  }
  return error.empty() ? 0 : 1;
}

// Cases that share a table must all be refused, or none.
std::vector<group> apart(const group& cases) {
  std::vector<group> out(2);
  for (const auto& t : cases) out[has_guessed_type({t}) ? 1 : 0].push_back(t);
  std::erase_if(out, [](const group& g) { return g.empty(); });
  return out;
}

// A batch far beyond the server's default block sizes, sent twice under one token, the second time cut from other
// chunks: one part, every row once. Then another insert under another token, for which nothing is dropped.
void run_replay(server& s, const std::string& encoding) {
  constexpr std::size_t n = 1'500'000; // max_insert_block_size is a good million by default
  s.query("DROP TABLE IF EXISTS " + std::string(table) + " SYNC");
  s.query("CREATE TABLE " + std::string(table) +
          " (row UInt64, c String) ENGINE = MergeTree ORDER BY row SETTINGS "
          "non_replicated_deduplication_window = 100");
  const group cases = {{"String", {{text("a"), "a"}, {text("bc"), "bc"}}}};
  const auto columns = s.describe(table);
  const auto targets = targets_for(columns);
  const auto first = encode(encoding, std::vector<chunk_rows>{make_chunk(columns, cases, 0, n)}, targets);
  const auto again =
      encode(encoding, std::vector<chunk_rows>{make_chunk(columns, cases, 0, 7), make_chunk(columns, cases, 7, n - 7)},
             targets);
  if (!first || !again) throw std::runtime_error("cannot be encoded");
  const std::string token = "&insert_deduplication_token=" + encoding;
  s.insert(table, *first, token);
  const auto parts = s.query("SELECT count() FROM system.parts WHERE database = 'chute_native_roundtrip' AND table = "
                             "'t' AND active AND level = 0 FORMAT TSVRaw");
  if (parts != "1\n") throw std::runtime_error("an insert made " + parts + " parts");
  const auto rows = [&] {
    return s.query("SELECT count(), uniqExact(row) FROM " + std::string(table) + " FORMAT TSVRaw");
  };
  s.insert(table, *again, token);
  if (rows() != "1500000\t1500000\n") throw std::runtime_error("sent twice under one token: " + rows());
  s.insert(table, *again, token + "_2");
  if (rows() != "3000000\t1500000\n") throw std::runtime_error("sent under another token: " + rows());
}

int report_replay(server& s, const std::string& encoding) {
  std::string error;
  try {
    run_replay(s, encoding);
  } catch (const std::exception& e) {
    error = e.what();
  }
  std::printf("%s %s: one block an insert %s\n", error.empty() ? "PASS" : "FAIL", encoding.c_str(), error.c_str());
  return error.empty() ? 0 : 1;
}

int run_all(server& s, const std::string& documentation) {
  std::vector<group> groups = {default_cases()};
  constexpr std::size_t together = 12;
  for (auto& t : composite_cases()) {
    if (groups.size() == 1 || groups.back().size() == together) groups.emplace_back();
    groups.back().push_back(std::move(t));
  }
  for (const auto& t : scalar_cases()) {
    groups.push_back({t});
    for (auto& d : derived_cases(t)) groups.back().push_back(std::move(d));
  }
  s.query("CREATE DATABASE IF NOT EXISTS chute_native_roundtrip ENGINE = Atomic");
  int failed = 0;
  std::size_t cases = 0;
  for (const std::string encoding : encodings) {
    for (const auto& g : groups)
      for (const auto& part : encoding == "json_each_row" ? apart(g) : std::vector<group>{g}) {
        failed += report(s, encoding, part);
        cases += part.size();
      }
    failed += report_replay(s, encoding);
    ++cases;
  }
  for (const auto& t : fill_cases()) {
    failed += report(s, t);
    ++cases;
  }
  for (const auto& t : json_decoder_cases())
    for (const bool by_decoder : {true, false}) {
      if (!by_decoder && !t.same) continue;
      failed += report(s, t, by_decoder);
      ++cases;
    }
  for (const auto& t : documented_cases(documentation)) {
    failed += report(s, t, true);
    ++cases;
  }
  s.query("DROP DATABASE chute_native_roundtrip SYNC");
  std::printf("%zu cases, %d failed\n", cases, failed);
  return failed ? 1 : 0;
}

} // namespace
} // namespace chute::test

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: chute-native-roundtrip URL docs/json.md\n");
    return 2;
  }
  try {
    chute::test::server s(argv[1]);
    return chute::test::run_all(s, argv[2]);
  } catch (const std::exception& e) {
    std::printf("FAIL %s\n", e.what());
    return 1;
  }
}
