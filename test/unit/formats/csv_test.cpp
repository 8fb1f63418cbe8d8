#include "formats/csv.hpp"

#include "show.hpp"

#include <random>

using namespace chute;
using namespace chute::test;

namespace {

decoder_options with(csv_config c) {
  decoder_options o;
  o.csv = std::move(c);
  return o;
}

const std::vector<target_column> three = {field("id", "UInt32"), field("name", "String"),
                                          field("price", "Nullable(Decimal(9, 2))")};

} // namespace

TEST_CASE("csv: fields in the table's order, quotes, line ends") {
  CHECK(decode_values("csv", three, {},
                      {"1,tea,2.50", "2,\"a, \"\"b\"\"\nc\",1\n", "3,,\\N\r\n", "4,\"\\N\",", "5,\xff,0.10"}) ==
        lines{"1, 'tea', 2.50", "2, 'a, \"b\"\nc', 1.00", "3, '', null", "4, '\\N', null", "5, '\xff', 0.10"});
}

TEST_CASE("csv: what is malformed is a bad record, and says why") {
  CHECK(decode_values("csv", three, {},
                      {"", "1,a", "1,a,2,3", "1,\"a,2", "1,\"a\"b,2", "1,a\"b,2", "1,a,2\n2,b,3", "x,a,2", "1,a,2.505",
                       "1,a\rb,2", "-1,a,2", std::nullopt, "9,z,9"}) ==
        lines{"! the value is empty", "! the line has 2 fields, 3 are expected",
              "! the line has 4 fields, 3 are expected", "! the value is malformed: a quoted field has no end",
              "! the value is malformed: text follows a closing quote",
              "! the value is malformed: a quote stands within a field that does not begin with one",
              "! the value holds more than one line of fields",
              "! field 'id' for column 'id' (UInt32) is not such a value",
              "! field 'price' for column 'price' (Nullable(Decimal(9, 2))) has more digits than the type keeps",
              "1, 'a\rb', 2.00", "! field 'id' for column 'id' (UInt32) is out of range",
              "! tombstone: the value is null, and deletes are rejected", "9, 'z', 9.00"});
}

TEST_CASE("csv: a header line in each record names its fields") {
  const auto o = with({',', csv_header::record, "\\N", {}});
  CHECK(decode_values("csv", three, o,
                      {"id,name,price\n1,a,2", "name,id\r\nb,2\r\n", "\xef\xbb\xbfid,other\n3,x", "id,id\n1,2",
                       "id,name", "id,name\n1,2\n3,4"}) ==
        lines{"1, 'a', 2.00", "2, 'b', null", "3, '', null", "! the header line names a field twice",
              "! no line follows the header line", "! the value holds more than one line of fields"});
}

TEST_CASE("csv: header lines that stand alone are dropped, fields by the topology's names") {
  const auto o = with({';', csv_header::skip, "NULL", {"name", "id", "extra"}});
  auto d = make_decoder("csv", three, o);
  REQUIRE(d.ok());
  chunk out;
  CHECK(decode_values(**d, {"name;id;extra\n", "a;1;x", "NULL;2;", "\"NULL\";3;y", "name;id;extra"}, out) ==
        lines{"dropped", "1, 'a', null", "2, '', null", "3, 'NULL', null", "dropped"});
  CHECK(out.fields_ignored == 3);
  CHECK_FALSE(make_decoder("csv", {field("id", "UInt32", "number")}, with({',', csv_header::none, "", {"a"}})).ok());
}

TEST_CASE("csv: a missing field takes the DEFAULT, as null does where the column cannot hold it") {
  CHECK(decode_values("csv", {field("a", "UInt8", "", "7"), field("b", "String", "", "'x'"), field("c", "UInt8")}, {},
                      {"1,b,3", ",,", "\\N,\"\",\\N"}) == lines{"1, 'b', 3", "null, null, 0", "null, '', 0"});
}

TEST_CASE("csv: composite columns from JSON") {
  const std::vector<target_column> t = {field("a", "Array(UInt8)"), field("m", "Map(String, Int32)"),
                                        field("t", "Tuple(x Float64, y Nullable(String))")};
  CHECK(decode_values("csv", t, {},
                      {"\"[1,2]\",\"{\"\"k\"\":3}\",\"{\"\"x\"\":1.5}\"", "[],{},\"[2,\"\"z\"\"]\"", "[300],{},{}",
                       "[1,{},{}", "[1 2],{},{}", "[1]],{},{}", "x,{},{}", ",,"}) ==
        lines{"[1, 2], {('k', 3)}, (1.5, null)", "[], {}, (2, 'z')",
              "! field 'a' for column 'a' (Array(UInt8)) holds a value of type UInt8 that is out of range",
              "! field 'a' for column 'a' (Array(UInt8)) is not JSON",
              "! field 'a' for column 'a' (Array(UInt8)) is not JSON",
              "! field 'a' for column 'a' (Array(UInt8)) is not JSON",
              "! field 'a' for column 'a' (Array(UInt8)) is not JSON", "[], {}, (0, null)"});
}

TEST_CASE("csv: arrays of a Nested structure are as long as each other") {
  CHECK(decode_values("csv", {field("n.a", "Array(UInt8)"), field("n.b", "Array(String)")}, {},
                      {"\"[1,2]\",", "\"[1,2]\",\"[\"\"x\"\"]\"", ",\\N", "[3],\"[\"\"y\"\"]\""}) ==
        lines{"[1, 2], ['', '']",
              "! field 'n.b' for column 'n.b' (Array(String)) has another length than the other arrays of its Nested "
              "structure",
              "[], []", "[3], ['y']"});
}

TEST_CASE("tsv: tabs and escapes") {
  CHECK(decode_values("tsv", three, {},
                      {"1\ttea\t2.50", "2\ta\\tb\\nc\\\\d\\x\t\\N\n", "3\t\"q\"\t\r\n", "4\t\\\\N\t1", "5\t\\N\t1",
                       "6\tx", "7\tx\t1\n8\ty\t2"}) ==
        lines{"1, 'tea', 2.50", "2, 'a\tb\nc\\d\\x', null", "3, '\"q\"', null", "4, '\\N', 1.00", "5, '', 1.00",
              "! the line has 2 fields, 3 are expected", "! the value holds more than one line of fields"});
}

TEST_CASE("tsv: an empty field is the empty text of a Nullable(String), in csv it is missing") {
  const std::vector<target_column> t = {field("a", "Nullable(String)"), field("b", "LowCardinality(Nullable(String))"),
                                        field("c", "Nullable(Int8)")};
  CHECK(decode_values("tsv", t, {}, {"\t\t", "\\N\t\\N\t\\N"}) == lines{"'', '', null", "null, null, null"});
  CHECK(decode_values("csv", t, {}, {",,"}) == lines{"null, null, null"});
}

TEST_CASE("csv and tsv: a carriage return that is left of a line end is no data") {
  // As `kcat -P` sends the lines of a file with \r\n: cut at the \n.
  CHECK(decode_values("csv", three, {},
                      {"1,tea,\\N\r", "2,tea,2.50\r", "3,tea,\r", "4,tea,\"1\"\r", "5,\"a\r\",\r", "6,a\r,1\r", "\r",
                       "7,\"a\"\rb,1", "8,tea,\\N\r\r", "9,tea,\"\\N\"\r"}) ==
        lines{"1, 'tea', null", "2, 'tea', 2.50", "3, 'tea', null", "4, 'tea', 1.00", "5, 'a\r', null",
              "6, 'a\r', 1.00", "! the line has 1 field, 3 are expected",
              "! the value is malformed: text follows a closing quote",
              "! field 'price' for column 'price' (Nullable(Decimal(9, 2))) is not such a value",
              "! field 'price' for column 'price' (Nullable(Decimal(9, 2))) is not such a value"});
  CHECK(decode_values("tsv", three, {},
                      {"1\ttea\t\\N\r", "2\ttea\t2.50\r", "3\ttea\t\r", "4\ta\r\t1\r", "5\ttea\t1\\r", "\r"}) ==
        lines{"1, 'tea', null", "2, 'tea', 2.50", "3, 'tea', null", "4, 'a\r', 1.00",
              "! field 'price' for column 'price' (Nullable(Decimal(9, 2))) is not such a value",
              "! the line has 1 field, 3 are expected"});
  const std::vector<target_column> text = {field("a", "String"), field("b", "String")};
  for (const std::string format : {"csv", "tsv"}) {
    const std::string tab = format == "csv" ? "," : "\t";
    CHECK(decode_values(format, text, {}, {"x" + tab + "y\r", "x" + tab + "y\r\r", "x" + tab + "y\r\r\n"}) ==
          lines{"'x', 'y'", "'x', 'y\r'", "'x', 'y\r'"});
    CHECK(decode_values(format, text, with({',', csv_header::skip, "\\N", {}}),
                        {"a" + tab + "b\r", "x" + tab + "y\r"}) == lines{"dropped", "'x', 'y'"});
    CHECK(decode_values(format, text, with({',', csv_header::record, "\\N", {}}),
                        {"b" + tab + "a\r\ny" + tab + "x\r", "b" + tab + "a\r"}) ==
          lines{"'x', 'y'", "! no line follows the header line"});
  }
  CHECK(decode_values("tsv", text, {}, {"x\ty\\r"}) == lines{"'x', 'y\r'"}); // escaped: data
}

TEST_CASE("csv and tsv: no text crashes the decoder") {
  std::mt19937 random(20240501);
  const std::string_view letters = "a1,\t\"\n\r\\N0;[]{}:";
  for (const std::string format : {"csv", "tsv"})
    for (const auto header : {csv_header::none, csv_header::record, csv_header::skip}) {
      auto d = make_decoder(format, {field("a", "Nullable(UInt8)"), field("b", "Array(String)")},
                            with({',', header, "\\N", {}}));
      REQUIRE(d.ok());
      std::vector<std::optional<std::string>> values;
      for (int i = 0; i < 2'000; ++i) {
        std::string v(random() % 20, ' ');
        for (auto& c : v) c = letters[random() % letters.size()];
        values.emplace_back(v);
      }
      chunk out;
      CHECK(decode_values(**d, values, out).size() == values.size());
    }
}
