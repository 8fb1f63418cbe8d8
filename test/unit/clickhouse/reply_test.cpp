#include "clickhouse/reply.hpp"

#include <doctest/doctest.h>

using namespace chute;
using namespace chute::clickhouse;
using verdict = insert_answer::verdict;
using transport = http_reply::transport;

namespace {

http_reply whole(int status, std::string body = {}, int code = 0) {
  http_reply r;
  r.how = transport::complete;
  r.attempts = 1;
  r.status = status;
  r.exception_code = code;
  r.from_clickhouse = true;
  r.body = std::move(body);
  return r;
}

http_reply broken(transport how, int attempts, std::string why = "reason") {
  http_reply r;
  r.how = how;
  r.attempts = attempts;
  r.why = std::move(why);
  return r;
}

http_reply with_code(int code) {
  return whole(500, "Code: " + std::to_string(code) + ". DB::Exception: something (NAME) (version 26.7.2.1)\n", code);
}

} // namespace

TEST_CASE("the rows are to blame for parse, conversion, null and constraint errors, and nothing was written") {
  for (int code : {6, 25, 26, 27, 38, 41, 69, 70, 72, 117, 130, 190, 349, 376, 467, 469, 675, 676, 691}) {
    CAPTURE(code);
    CHECK(rule_of(code).what == verdict::rejected_data);
    CHECK(rule_of(code).ends_attempt);
    CHECK(rule_of(code).before_write);
  }
}

TEST_CASE("in a table with partitions only what was seen while the block was read says that nothing was written") {
  const auto clean = [](int code, const std::string& where, bool partitioned) {
    insert_context c;
    c.partitioned = partitioned;
    return classify(whole(500,
                          "Code: " + std::to_string(code) + ". DB::Exception: Cannot parse" + where +
                              " (NAME) (version 26.7.2.1)\n",
                          code),
                    c)
        .before_write;
  };
  CHECK(clean(41, "", false));
  CHECK_FALSE(clean(41, "", true));
  CHECK_FALSE(clean(117, ": While executing MergeTreeSink.", true));
  CHECK(clean(117, ": (at row 1)\n: While executing CSVRowInputFormat.", true));
  CHECK_FALSE(clean(41, " 'x InputFormat': while executing 'FUNCTION f(s : 0)'.", true)); // the value says so
  CHECK_FALSE(clean(41, " ': While executing XInputFormat': while executing 'FUNCTION f(s : 0)'.", true));
  CHECK(clean(469, "", true));
  CHECK(clean(349, "", true));
}

TEST_CASE(
    "time-outs of the query, memory and size limits mean too big, and the attempt is over, but may have written") {
  for (int code : {159, 241, 307, 396}) {
    CAPTURE(code);
    CHECK(rule_of(code).what == verdict::too_big);
    CHECK(rule_of(code).ends_attempt);
    CHECK_FALSE(rule_of(code).before_write);
  }
}

TEST_CASE("a code with several meanings blames the rows where the body's own parser raised it, and only there") {
  const auto said = [](int code, const std::string& where, bool parses) {
    insert_context c;
    c.server_parses = parses;
    return classify(whole(500,
                          "Code: " + std::to_string(code) + ". DB::Exception: no: (at row 1) : While executing " +
                              where + ". (NAME) (version 26.7.2.1)\n",
                          code),
                    c)
        .what;
  };
  for (int code : {32, 33, 53, 131, 321, 407}) {
    CAPTURE(code);
    CHECK(said(code, "JSONEachRowRowInputFormat", true) == verdict::rejected_data);
    CHECK(said(code, "JSONEachRowRowInputFormat", false) != verdict::rejected_data);
    CHECK(said(code, "MergeTreeSink", true) != verdict::rejected_data);
  }
  for (int code : {3, 159, 209, 210, 241, 999, 1000})
    CHECK(said(code, "JSONEachRowRowInputFormat", true) == rule_of(code).what);
}

TEST_CASE("missing columns mean that the table changed") {
  for (int code : {16, 33, 44, 47, 53, 131}) CHECK(rule_of(code).what == verdict::columns_changed);
}

TEST_CASE("a string that is too long is a changed table at first, and a bad row once the columns were refreshed") {
  CHECK(rule_of(131, false).what == verdict::columns_changed);
  CHECK(rule_of(131, true).what == verdict::rejected_data);
  CHECK(rule_of(16, true).what == verdict::columns_changed);
}

TEST_CASE("no table, no database, no right, read only and a wrong password wait for a person") {
  for (int code : {60, 81, 497, 164, 192, 193, 194, 516}) {
    CAPTURE(code);
    CHECK(rule_of(code).what == verdict::wait_person);
    CHECK(rule_of(code).ends_attempt);
  }
}

TEST_CASE("too many parts, queries and slow ones are retried, and over") {
  for (int code : {160, 202, 252, 285}) {
    CHECK(rule_of(code).what == verdict::retry);
    CHECK(rule_of(code).ends_attempt);
    CHECK_FALSE(rule_of(code).before_write);
  }
}

TEST_CASE("unknown status, lost connections and Keeper's errors are retried, and perhaps not over") {
  for (int code : {3, 209, 210, 242, 319, 425, 999}) {
    CHECK(rule_of(code).what == verdict::retry);
    CHECK_FALSE(rule_of(code).ends_attempt);
  }
}

TEST_CASE("a code that nobody knows is retried and never taken for an end") {
  for (int code : {0, 1, 5, 1000, 9999, -1}) {
    CHECK(rule_of(code).what == verdict::retry);
    CHECK_FALSE(rule_of(code).ends_attempt);
    CHECK_FALSE(rule_of(code).before_write);
  }
}

TEST_CASE("an empty 200 of ClickHouse acknowledges") {
  auto a = classify(whole(200));
  CHECK(a.what == verdict::acknowledged);
  CHECK(a.answered);
  CHECK(a.attempts == 1);
  CHECK_FALSE(a.never_sent);
}

TEST_CASE("a 200 that is not ClickHouse's, or has a text in it, acknowledges nothing") {
  auto other = whole(200);
  other.from_clickhouse = false;
  CHECK(classify(other).what == verdict::retry);
  CHECK_FALSE(classify(other).answered);
  CHECK(classify(whole(200, "<html>sign in</html>")).what == verdict::retry);
  CHECK(classify(whole(204)).what == verdict::retry);
}

TEST_CASE("an exception inside a 200 is an exception, wherever it is said") {
  CHECK(classify(whole(200, "", 241)).what == verdict::too_big);
  CHECK(classify(whole(200, "Code: 241. DB::Exception: Memory limit (MEMORY_LIMIT_EXCEEDED)")).code == 241);
  auto late = whole(200, "12\t13\n__exception__\r\nabcdefgh\r\nCode: 159. DB::Exception: Timeout "
                         "(TIMEOUT_EXCEEDED)\n55 abcdefgh\r\n__exception__\r\n");
  CHECK(classify(late).code == 159);
  CHECK(classify(late).what == verdict::too_big);
  CHECK(classify(whole(200, "__exception__\r\nabcdefgh\r\nsomething else")).what == verdict::retry);
  CHECK_FALSE(classify(whole(200, "__exception__\r\nabcdefgh\r\nsomething else")).answered);
}

TEST_CASE("data that looks like an exception within a line is not one") {
  CHECK_FALSE(find_exception(whole(200, "a\tCode: 60. DB::Exception: no\nb\n")));
  CHECK_FALSE(find_exception(whole(200, "Code: sixty. DB::Exception: no\n")));
  CHECK_FALSE(find_exception(whole(200, "Code: 60\n")));
}

TEST_CASE("a 5xx without ClickHouse's code leaves the insert unknown") {
  for (int status : {500, 502, 503, 504}) {
    auto a = classify(whole(status, "Bad gateway"));
    CHECK(a.what == verdict::retry);
    CHECK_FALSE(a.answered);
    CHECK(a.message.find(std::to_string(status)) != std::string::npos);
  }
}

TEST_CASE("a request that something in between finds too large is too big, and not over") {
  CHECK(classify(whole(413)).what == verdict::too_big);
  CHECK_FALSE(classify(whole(413)).answered);
}

TEST_CASE("a cut reply is retried and not over, even if it begins with an exception") {
  auto cut = broken(transport::cut, 1);
  CHECK(classify(cut).what == verdict::retry);
  CHECK_FALSE(classify(cut).answered);
  cut.status = 500;
  cut.exception_code = 27;
  cut.body = "Code: 27. DB::Exception: Cannot par";
  CHECK(classify(cut).what == verdict::retry);
  CHECK(classify(cut).code == 27);
  CHECK_FALSE(classify(cut).answered);
  CHECK_FALSE(classify(cut).before_write);
}

TEST_CASE("what never left says so, what left may be running") {
  CHECK(classify(broken(transport::not_connected, 0)).never_sent);
  CHECK(classify(broken(transport::forbidden, 0)).never_sent);
  auto second = classify(broken(transport::forbidden, 1)); // the repetition was forbidden, the first attempt had left
  CHECK_FALSE(second.never_sent);
  CHECK(second.attempts == 1);
  CHECK_FALSE(second.answered);
  for (auto how : {transport::timed_out, transport::too_long, transport::cancelled, transport::failed}) {
    auto a = classify(broken(how, 1));
    CHECK(a.what == verdict::retry);
    CHECK_FALSE(a.answered);
    CHECK_FALSE(a.never_sent);
  }
}

TEST_CASE("repeated requests are counted") {
  auto r = whole(200);
  r.attempts = 2;
  CHECK(classify(r).attempts == 2);
}

TEST_CASE("with dependent views no data error proves that nothing was written, but a wrong password does") {
  insert_context views;
  views.dependent_views = true;
  CHECK(classify(with_code(469)).before_write);
  CHECK_FALSE(classify(with_code(469), views).before_write);
  CHECK(classify(with_code(469), views).what == verdict::rejected_data);
  CHECK_FALSE(classify(with_code(60), views).before_write);
  CHECK(classify(with_code(516), views).before_write);
}

TEST_CASE("the header's code wins over the text") {
  auto r = with_code(241);
  r.body = "Code: 60. DB::Exception: while something else";
  CHECK(classify(r).code == 241);
}

TEST_CASE("messages are one line, at most 500 bytes, and valid UTF-8") {
  CHECK(one_line("a\nb\tc \n") == "a b c");
  std::string umlauts;
  for (int i = 0; i < 400; ++i) umlauts += "ü";
  auto cut = one_line(umlauts, 501);
  CHECK(cut.size() == 500);
  auto a = classify(whole(500, "Code: 60. DB::Exception: " + std::string(2000, 'x'), 60));
  CHECK(a.message.size() == 500);
}

TEST_CASE(
    "a failed conversion means another type in the table at first, and bad rows once the columns were refreshed") {
  auto r = whole(400,
                 "Code: 6. DB::Exception: Cannot parse string 'while converting column secret' as UInt8: syntax error: "
                 "while converting column \"n\" from type String to type UInt8: While executing Native. "
                 "(CANNOT_PARSE_TEXT) (version 26.7.2.1)",
                 6);
  auto first = classify(r);
  CHECK(first.what == verdict::columns_changed);
  CHECK(first.answered);
  CHECK(first.before_write);
  insert_context refreshed;
  refreshed.refreshed = true;
  auto second = classify(r, refreshed);
  CHECK(second.what == verdict::rejected_data);
  CHECK(
      second.message ==
      "ClickHouse rejected it: code 6 CANNOT_PARSE_TEXT, while converting column \"n\" from type String to type UInt8");
}

TEST_CASE("what is kept with a rejected record names the constraint, never the value") {
  auto r =
      whole(400,
            "Code: 469. DB::Exception: Constraint `small` for table a.b (8e0a) is violated at row 6. Expression: (id < "
            "5). Column values: id = 4711. (VIOLATED_CONSTRAINT) (version 26.7.2.1 (official build))",
            469);
  CHECK(classify(r).message == "ClickHouse rejected it: code 469 VIOLATED_CONSTRAINT, constraint small");
  r.body = "Code: 117. DB::Exception: Cannot parse '" + std::string(3'000, 'x');
  CHECK(rejection_text(*find_exception(r)) == "ClickHouse rejected it: code 469");
}
