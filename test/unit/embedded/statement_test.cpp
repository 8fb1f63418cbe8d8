#include "dev/clickhouse/statement.hpp"

#include <doctest/doctest.h>

using chute::embedded::split;
using chute::embedded::statement;

namespace {

std::string rows_of(std::string_view text) {
  statement s = split(text, true);
  return s.takes_data ? std::string(text.substr(s.data_begin)) : "(none)";
}

} // namespace

TEST_CASE("an INSERT is parted from the rows that follow it") {
  statement s = split("INSERT INTO t (a, b) SETTINGS x = 1 FORMAT Native\n\n\x01\x02", true);
  CHECK(s.takes_data);
  CHECK(s.text == "INSERT INTO t (a, b) SETTINGS x = 1");
  CHECK(s.format == "Native");
  CHECK(rows_of("INSERT INTO t FORMAT Native\n\n\x01\x02") == "\n\x01\x02");
  CHECK(rows_of("insert into t format CSV  \r\n1,2\n") == "1,2\n");
  CHECK(rows_of("INSERT INTO t FORMAT TSV") == "");
  CHECK(rows_of("INSERT INTO t VALUES (1), (2)") == " (1), (2)");
  CHECK(split("INSERT INTO t VALUES (1)", true).format == "Values");
}

TEST_CASE("names, comments and strings are not taken for the clause") {
  CHECK(rows_of("INSERT INTO db.values (format, `values`) FORMAT TSV\n1") == "1");
  CHECK(rows_of("INSERT INTO format FORMAT TSV\n1") == "1");
  CHECK(rows_of("INSERT /* FORMAT CSV */ INTO t -- VALUES\n FORMAT TSV\n1") == "1");
  CHECK(rows_of("INSERT INTO FUNCTION file('x FORMAT y', 'CSV') FORMAT TSV\n1") == "1");
}

TEST_CASE("an INSERT that brings its rows along stays whole") {
  for (const char* text :
       {"INSERT INTO t SELECT 1", "INSERT INTO t (a) (SELECT 1)", "INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x",
        "INSERT INTO t SELECT 1 FORMAT Null", "INSERT INTO t FROM INFILE 'f' FORMAT CSV"}) {
    CAPTURE(text);
    statement s = split(text, true);
    CHECK_FALSE(s.takes_data);
    CHECK(s.text == text);
  }
}

TEST_CASE("a beginning is not judged before the clause is there whole") {
  CHECK_FALSE(split("INSERT INTO t (a", false).takes_data);
  CHECK_FALSE(split("INSERT INTO t FORMAT Row", false).takes_data);
  CHECK(split("INSERT INTO t FORMAT RowBinary\n", false).takes_data);
  CHECK(split("INSERT INTO t", true).format == "Values");
}

TEST_CASE("the format of a reply, empty and several statements") {
  CHECK(split("SELECT format('{}', 1) FORMAT JSON", true).format == "JSON");
  CHECK(split("SELECT 1 FORMAT CSV SETTINGS max_threads = 1", true).format == "CSV");
  CHECK(split("SELECT 'FORMAT JSON'", true).format == "");
  CHECK(split(" -- nothing\n", true).empty);
  CHECK_FALSE(split("SELECT 1;", true).several);
  CHECK(split("SELECT 1; SELECT 2", true).several);
  CHECK_FALSE(split("SELECT ';'; -- x", true).several);
}

TEST_CASE("text that never closes ends at its end") {
  for (const char* text :
       {"SELECT 'abc", "SELECT \"a\\", "/* x", "SELECT $a$ 1", "INSERT INTO t (", "INSERT INTO `t", "))) FORMAT"})
    CHECK(split(text, true).text.size() <= std::string_view(text).size());
}
