#include "matrix/samples.hpp"

namespace chute::test {
namespace {

const std::string json = "json", schemas = "connect_json avro protobuf", fields = "csv tsv", raw = "raw",
                  texts = "csv tsv raw";

value number(int n) { return an_integer(std::to_string(n)); }
value numbers(const std::vector<int>& all) {
  std::vector<value> out;
  for (const int n : all) out.push_back(number(n));
  return a_list(std::move(out));
}
value reals(const std::vector<double>& all) {
  std::vector<value> out;
  for (const double r : all) out.push_back(a_real(r));
  return a_list(std::move(out));
}
value words(const std::vector<std::string>& all) {
  std::vector<value> out;
  for (const auto& w : all) out.push_back(a_text(w));
  return a_list(std::move(out));
}

using samples = std::vector<sample>;

// Every format but raw, whose pipeline does not start with such a column.
matrix_type made(std::string type, samples all, std::string read = "@") {
  for (auto& s : all) s.instead.emplace_back(raw, "!start");
  return {std::move(type), std::move(all), std::move(read)};
}

// What texts, numbers and booleans are to a type that is made of others. In csv and tsv the field is JSON.
void add_strangers(samples& s, const std::string& absent) {
  s.push_back({"null", null_value(), absent});
  s.push_back({"missing", no_field(), absent});
  s.push_back(sample("empty", a_text(""), "!kind").in(fields, absent));
  s.push_back(sample("text", a_text("x"), "!kind").in(fields, "!json"));
  s.push_back({"boolean", a_boolean(true), "!kind"});
}

samples with(samples all, const std::string& absent) {
  add_strangers(all, absent);
  return all;
}

std::vector<matrix_type> lists() {
  return {
      made("Array(UInt8)", with({{"min", numbers({}), "[]"},
                                 {"max", numbers({0, 255}), "[0,255]"},
                                 {"zero", numbers({0}), "[0]"},
                                 {"below", numbers({1, -1}), "!range"},
                                 {"above", numbers({256}), "!range"},
                                 {"null within", a_list({number(1), null_value()}), "!kind"},
                                 {"kind", number(7), "!kind"}},
                                "[]")),
      made("Array(Nullable(String))",
           with({{"min", words({}), "[]"},
                 {"max", words({"a", "", "b"}), "['a','','b']"},
                 {"zero", a_list({null_value(), a_text("x")}), "[NULL,'x']"},
                 sample("below", a_list({some_bytes("\xff\xfe")}), "['\xff\xfe']").in(json + " " + fields, "!json"),
                 {"above", numbers({1}), "['1']"},
                 {"kind", number(7), "!kind"}},
                "[]")),
      made("Array(Array(Int64))", with({{"min", a_list({}), "[]"},
                                        {"max", a_list({numbers({1, 2}), numbers({})}), "[[1,2],[]]"},
                                        {"zero", a_list({numbers({0})}), "[[0]]"},
                                        {"below", numbers({1}), "!kind"},
                                        {"above", a_list({a_list({numbers({1})})}), "!kind"},
                                        {"kind", number(7), "!kind"}},
                                       "[]")),
      made("Array(LowCardinality(Nullable(String)))", with({{"min", words({}), "[]"},
                                                            {"max", words({"a", "b", "a"}), "['a','b','a']"},
                                                            {"zero", a_list({a_text("x"), null_value()}), "['x',NULL]"},
                                                            {"below", words({""}), "['']"},
                                                            {"above", a_list({a_boolean(true)}), "['true']"},
                                                            {"kind", number(7), "!kind"}},
                                                           "[]")),
      made("Array(Map(String, Tuple(x Int8, y Array(String))))",
           with({{"min", a_list({}), "[]"},
                 {"max", a_list({a_map({{"k", a_record({{"x", number(-128)}, {"y", words({"a", "b"})}})}})}),
                  "[{'k':(-128,['a','b'])}]"},
                 {"zero", a_list({a_map({})}), "[{}]"},
                 {"below", a_list({a_map({{"k", a_record({{"x", number(-129)}, {"y", words({})}})}})}), "!range"},
                 {"above", a_list({a_map({{"k", a_record({{"x", number(128)}, {"y", words({})}})}})}), "!range"},
                 {"kind", number(7), "!kind"}},
                "[]")),
      made("QBit(Float32, 3)", with({{"min", reals({-1, -2, -3}), "[-1,-2,-3]"},
                                     {"max", reals({1.5, 2, 3}), "[1.5,2,3]"},
                                     {"zero", numbers({0, 0, 0}), "[0,0,0]"},
                                     {"below", reals({1, 2}), "!count"},
                                     {"above", reals({1, 2, 3, 4}), "!count"},
                                     {"kind", number(7), "!kind"}},
                                    "[0,0,0]")),
  };
}

std::vector<matrix_type> maps() {
  return {
      made("Map(String, Int64)", with({{"min", a_map({}), "{}"},
                                       {"max", a_map({{"a", number(1)}, {"", number(-2)}}), "{'a':1,'':-2}"},
                                       {"zero", a_map({{"z", number(0)}}), "{'z':0}"},
                                       {"below", a_map({{"a", an_integer("-9223372036854775809")}}), "!range"},
                                       {"above", a_map({{"a", an_integer("9223372036854775808")}}), "!range"},
                                       {"null within", a_map({{"a", null_value()}}), "!kind"},
                                       {"a record", a_record({{"a", number(1)}}), "{'a':1}"},
                                       {"kind", number(7), "!kind"}},
                                      "{}")),
      made("Map(UInt16, String)", with({{"min", a_map({{"0", a_text("")}}), "{0:''}"},
                                        {"max", a_map({{"65535", a_text("x")}}), "{65535:'x'}"},
                                        {"zero", a_map({}), "{}"},
                                        {"below", a_map({{"-1", a_text("x")}}), "!range"},
                                        {"above", a_map({{"65536", a_text("x")}}), "!range"},
                                        {"a key of another type", a_map({{"a", a_text("x")}}), "!form"},
                                        {"kind", number(7), "!kind"}},
                                       "{}")),
      made("Map(LowCardinality(String), Map(String, Array(Nullable(Int8))))",
           with({{"min", a_map({}), "{}"},
                 {"max", a_map({{"a", a_map({{"b", a_list({number(1), null_value()})}})}}), "{'a':{'b':[1,NULL]}}"},
                 {"zero", a_map({{"a", a_map({})}}), "{'a':{}}"},
                 {"below", a_map({{"a", a_map({{"b", numbers({-129})}})}}), "!range"},
                 {"above", a_map({{"a", a_map({{"b", numbers({128})}})}}), "!range"},
                 {"kind", number(7), "!kind"}},
                "{}")),
  };
}

std::vector<matrix_type> tuples() {
  const auto both = [](value a, value b) { return a_record({{"a", std::move(a)}, {"b", std::move(b)}}); };
  return {
      made("Tuple(a UInt8, b Nullable(String))", with({{"min", a_record({{"other", number(1)}}), "(0,NULL)"},
                                                       {"max", both(number(255), a_text("x")), "(255,'x')"},
                                                       {"zero", both(number(0), a_text("")), "(0,'')"},
                                                       {"null within", both(null_value(), null_value()), "(0,NULL)"},
                                                       {"below", both(number(-1), a_text("")), "!range"},
                                                       {"above", both(number(256), a_text("")), "!range"},
                                                       {"a list", a_list({a_text("7"), a_text("x")}), "(7,'x')"},
                                                       {"a list too short", words({"7"}), "!count"},
                                                       {"kind", number(7), "!kind"}},
                                                      "(0,NULL)")),
      made("Tuple(Int8, String)", with({{"min", words({"-128", ""}), "(-128,'')"},
                                        {"max", words({"127", "x"}), "(127,'x')"},
                                        {"zero", words({"0", "0"}), "(0,'0')"},
                                        {"below", words({"-129", ""}), "!range"},
                                        {"above", words({"128", ""}), "!range"},
                                        {"a record", both(number(1), a_text("x")), "!kind"},
                                        {"kind", number(7), "!kind"}},
                                       "(0,'')")),
      made("Tuple(a Map(String, Int8), b Tuple(c Array(UInt8), d LowCardinality(String)))",
           with({{"min", a_record({{"other", number(1)}}), "({},([],''))"},
                 {"max", both(a_map({{"k", number(127)}}), a_record({{"c", numbers({1, 2})}, {"d", a_text("x")}})),
                  "({'k':127},([1,2],'x'))"},
                 {"zero", both(a_map({}), a_record({{"c", numbers({})}, {"d", a_text("")}})), "({},([],''))"},
                 {"below", both(a_map({{"k", number(-129)}}), null_value()), "!range"},
                 {"above", both(null_value(), a_record({{"c", numbers({256})}})), "!range"},
                 {"kind", number(7), "!kind"}},
                "({},([],''))")),
      made("Nullable(Tuple(a UInt8))", with({{"min", a_record({{"a", number(0)}}), "(0)"},
                                             {"max", a_record({{"a", number(255)}}), "(255)"},
                                             {"zero", a_record({{"b", number(1)}}), "(0)"},
                                             {"below", a_record({{"a", number(-1)}}), "!range"},
                                             {"above", a_record({{"a", number(256)}}), "!range"},
                                             {"kind", number(7), "!kind"}},
                                            "NULL")),
      made("Nested(x Int8, y String)",
           with({{"min", a_list({}), "[]"},
                 {"max",
                  a_list({a_record({{"x", number(1)}, {"y", a_text("a")}}),
                          a_record({{"x", number(2)}, {"y", a_text("b")}})}),
                  "[(1,'a'),(2,'b')]"},
                 {"zero", a_list({a_record({{"x", number(0)}, {"y", a_text("")}})}), "[(0,'')]"},
                 {"below", a_list({a_record({{"x", number(-129)}})}), "!range"},
                 {"above", a_list({a_record({{"x", number(128)}})}), "!range"},
                 {"a part missing", a_list({a_record({{"y", a_text("a")}})}), "[(0,'a')]"},
                 {"kind", number(7), "!kind"}},
                "[]")),
  };
}

std::vector<matrix_type> shapes() {
  const auto line = a_list({reals({1, 2}), reals({3, -4.5})});
  const auto polygon = a_list({line, a_list({})});
  const auto shape = [&](const char* type, value full, const char* shown, value empty, const char* empty_shown,
                         const char* absent, value below, value above) {
    return made(type, with({{"min", std::move(empty), empty_shown},
                            {"max", std::move(full), shown},
                            {"zero", below, below.parts.size() == 1 ? "!count" : "!kind"},
                            {"below", below, below.parts.size() == 1 ? "!count" : "!kind"},
                            {"above", std::move(above), "!count"},
                            {"kind", number(7), "!kind"}},
                           absent));
  };
  const auto point3 = reals({1, 2, 3});
  return {
      shape("Point", reals({1.5, -2}), "(1.5,-2)", numbers({0, 0}), "(0,0)", "(0,0)", reals({1}), point3),
      shape("Ring", line, "[(1,2),(3,-4.5)]", a_list({}), "[]", "[]", reals({1, 2}), a_list({point3})),
      shape("LineString", line, "[(1,2),(3,-4.5)]", a_list({}), "[]", "[]", reals({1, 2}), a_list({point3})),
      shape("MultiLineString", a_list({line}), "[[(1,2),(3,-4.5)]]", a_list({}), "[]", "[]", reals({1, 2}),
            a_list({a_list({point3})})),
      shape("Polygon", polygon, "[[(1,2),(3,-4.5)],[]]", a_list({}), "[]", "[]", reals({1, 2}),
            a_list({a_list({point3})})),
      shape("MultiPolygon", a_list({polygon}), "[[[(1,2),(3,-4.5)],[]]]", a_list({}), "[]", "[]", reals({1, 2}),
            a_list({a_list({a_list({point3})})})),
  };
}

std::vector<matrix_type> several() {
  const std::string kind = "concat(if(isNull(@), 'NULL', toString(@)), ':', toString(variantType(@)))";
  const std::string dynamic = "concat(if(isNull(@), 'NULL', toString(@)), ':', dynamicType(@))";
  std::vector<matrix_type> out;
  out.push_back(made("Variant(Array(Int64), Bool, Float64, Int64, String)",
                     {{"min", an_integer("-9223372036854775808"), "-9223372036854775808:Int64"},
                      {"max", an_integer("9223372036854775807"), "9223372036854775807:Int64"},
                      {"zero", number(0), "0:Int64"},
                      {"null", null_value(), "NULL:None"},
                      {"missing", no_field(), "NULL:None"},
                      sample("empty", a_text(""), ":String").in(fields, "NULL:None"),
                      {"below", a_real(-0.5), "-0.5:Float64"},
                      {"above", a_record({{"a", number(1)}}), "{\"a\":1}:String"},
                      sample("text", a_text("x"), "x:String").in(fields, "!json"),
                      {"kind", numbers({1, 2}), "[1,2]:Array(Int64)"},
                      {"boolean", a_boolean(true), "true:Bool"}},
                     kind));
  out.push_back(made("Variant(Date, UInt8)",
                     {{"min", number(0), "0:UInt8"},
                      {"max", number(255), "255:UInt8"},
                      sample("zero", a_date("1970-01-01", 0), "1970-01-01:Date").in(fields, "!json"),
                      {"null", null_value(), "NULL:None"},
                      {"missing", no_field(), "NULL:None"},
                      sample("empty", a_text(""), "!none").in(fields, "NULL:None"),
                      {"below", number(-1), "!none"},
                      sample("above", a_date("2149-06-07", 65'536), "!none").in(fields, "!json"),
                      sample("text", a_text("x"), "!none").in(fields, "!json"),
                      {"kind", numbers({1}), "!none"},
                      sample("boolean", a_boolean(true), "!none").in(schemas, "1:UInt8")},
                     kind));
  out.push_back(made("Geometry",
                     {{"min", reals({1, 2}), "(1,2):Point"},
                      {"max", a_list({a_list({a_list({reals({1, 2})})})}), "[[[(1,2)]]]:MultiPolygon"},
                      {"zero", a_list({reals({1, 2}), reals({3, 4})}), "[(1,2),(3,4)]:LineString"},
                      {"null", null_value(), "NULL:None"},
                      {"missing", no_field(), "NULL:None"},
                      sample("empty", a_text(""), "!none").in(fields, "NULL:None"),
                      {"below", reals({1}), "!none"},
                      {"above", reals({1, 2, 3}), "!none"},
                      sample("text", a_text("x"), "!none").in(fields, "!json"),
                      {"kind", number(7), "!none"},
                      {"boolean", a_boolean(true), "!none"}},
                     kind));
  const std::string beyond = "115792089237316195423570985008687907853269984665640564039457584007913129639936"; // 2^256
  out.push_back(
      made("Dynamic",
           {{"min", an_integer("-9223372036854775808"), "-9223372036854775808:Int64"},
            // A schema has it as a decimal; decimals are strings in JSON. Protobuf has 64 bits without a sign.
            sample("max", an_integer("18446744073709551615"), "18446744073709551615:UInt64")
                .in("connect_json avro", "18446744073709551615:String"),
            {"zero", number(0), "0:Int64"},
            {"null", null_value(), "NULL:None"},
            {"missing", no_field(), "NULL:None"},
            sample("empty", a_text(""), ":String").in(fields, "NULL:None"),
            {"below", a_real(-0.5), "-0.5:Float64"},
            sample("above", an_integer(beyond), "!range").in(schemas, beyond + ":String"),
            sample("text", a_text("x"), "x:String").in(fields, "!json"),
            {"kind", numbers({1, 2}), "[1,2]:Array(Int64)"},
            {"boolean", a_boolean(true), "true:Bool"},
            {"a record", a_record({{"a", numbers({1})}}), R"({"a":[1]}:JSON)"}},
           dynamic));
  return out;
}

std::vector<matrix_type> documents() {
  const auto a = [](value v) { return a_record({{"a", std::move(v)}}); };
  const std::string large = "18446744073709551616", low = "-9223372036854775809";
  std::vector<matrix_type> out;
  out.push_back(
      made("JSON", {sample("min", a_map({}), "{}"),
                    {"max", a_record({{"a", a_record({{"b", numbers({1, 2})}})}, {"c", a_text("é")}}),
                     R"({"a":{"b":[1,2]},"c":"é"})"},
                    {"zero", a(number(0)), R"({"a":0})"},
                    {"null", null_value(), "{}"},
                    {"missing", no_field(), "{}"},
                    sample("empty", a_text(""), "!kind").in(schemas, "!blank").in(fields, "{}"),
                    sample("below", a(an_integer(low)), "!huge").in(schemas, R"({"a":")" + low + R"("})"),
                    sample("above", a(an_integer(large)), "!huge").in(schemas, R"({"a":")" + large + R"("})"),
                    sample("text", a_text("x"), "!kind").in(schemas + " " + fields, "!json"),
                    {"kind", numbers({1}), "!kind"},
                    {"boolean", a_boolean(true), "!kind"},
                    sample("JSON in a text", a_text(R"({"a":1})"), "!kind").in(schemas + " " + fields, R"({"a":1})"),
                    {"a date", a(a_date("2024-05-01", 19'844)), R"({"a":"2024-05-01"})"}}));
  out.push_back(
      made("JSON(a UInt8)", {{"min", a(number(0)), R"({"a":0})"},
                             {"max", a(number(255)), R"({"a":255})"},
                             {"zero", a_map({}), R"({"a":0})"},
                             {"null", null_value(), R"({"a":0})"},
                             {"missing", no_field(), R"({"a":0})"},
                             sample("empty", a_text(""), "!kind").in(schemas, "!blank").in(fields, R"({"a":0})"),
                             {"below", a(number(-1)), "!range"},
                             {"above", a(number(256)), "!range"},
                             sample("text", a_text("x"), "!kind").in(schemas + " " + fields, "!json"),
                             {"kind", numbers({1}), "!kind"},
                             {"boolean", a_boolean(true), "!kind"}}));
  out.push_back(made("Array(JSON)", with({{"min", a_list({}), "[]"},
                                          {"max", a_list({a(number(1)), a(number(2))}), R"(['{"a":1}','{"a":2}'])"},
                                          {"zero", a_list({a(number(0))}), R"(['{"a":0}'])"},
                                          {"below", numbers({1}), "!kind"},
                                          {"above", a_list({a_list({number(1)})}), "!kind"},
                                          {"kind", number(7), "!kind"}},
                                         "[]")));
  out.push_back(made("Map(String, Dynamic)", with({{"min", a_map({}), "{}"},
                                                   {"max", a_map({{"k", a_text("x")}}), "{'k':'x'}"},
                                                   {"zero", a_map({{"k", number(0)}}), "{'k':0}"},
                                                   {"below", a_map({{"k", null_value()}}), "{'k':NULL}"},
                                                   {"above", a_map({{"k", numbers({1, 2})}}), "{'k':[1,2]}"},
                                                   {"kind", number(7), "!kind"}},
                                                  "{}")));
  out.push_back(made("Array(Variant(Int64, String))",
                     with({{"min", a_list({}), "[]"},
                           {"max", words({"a", "b"}), "['a','b']"},
                           {"zero", numbers({0}), "[0]"},
                           {"below", a_list({a_text("x"), null_value()}), "['x',NULL]"},
                           sample("above", a_list({a_boolean(true)}), "['true']").in(schemas, "[1]"),
                           {"kind", number(7), "!kind"}},
                          "[]")));
  return out;
}

} // namespace

std::vector<matrix_type> composite_types() {
  std::vector<matrix_type> out;
  for (auto group : {lists(), maps(), tuples(), shapes(), several(), documents()})
    for (auto& t : group) out.push_back(std::move(t));
  return out;
}

} // namespace chute::test
