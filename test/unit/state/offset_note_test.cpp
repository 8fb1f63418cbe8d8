#include "state/offset_note.hpp"
#include "test/unit/state/records.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace chute;

TEST_CASE("a note says store, lineage and version") {
  offset_note n{"keeper_map", 0xfedcba9876543210, 18446744073709551615ull};
  CHECK(write_note(n) == "chute1:note keeper_map fedcba9876543210 18446744073709551615");
  REQUIRE(read_note(write_note(n)));
  CHECK(*read_note(write_note(n)) == n);
  offset_note zero{"file", 0, 0};
  CHECK(read_note(write_note(zero)) == zero);
}

TEST_CASE("a store may have any name") {
  for (const char* name : {"of the host", "a/b", "100%", "%41", "%", "%4", "l\x7f\n\td", "Jäger", " ", "no\xff text"}) {
    const offset_note n{name, 7, 8};
    const auto text = write_note(n);
    CHECK_MESSAGE(std::count(text.begin(), text.end(), ' ') == 3, text);
    REQUIRE_MESSAGE(read_note(text), text);
    CHECK_MESSAGE(*read_note(text) == n, text);
  }
  // Of a version that escaped nothing.
  CHECK(read_note("chute1:note a/b%c 7 8") == offset_note{"a/b%c", 7, 8});
}

TEST_CASE("what is no note is none") {
  for (const char* text :
       {"", "chute1:", "chute1:note", "chute1:note ", "chute1:note file", "chute1:note file 1", "chute1:note file 1 ",
        "chute1:note file x 1", "chute1:note file 1 2x", "chute1:note file 1 2 ", "chute1:note  1 2",
        "chute2:note file 1 2", "chute1:note file 1 18446744073709551616", "chute1:note file 11111111111111111 1"})
    CHECK_MESSAGE(!read_note(text), text);
  // A record is not a note, and a note is not a record.
  CHECK(!read_note(encode_record(test::record_of(1, 1, 1))));
  CHECK(!decode_record(write_note({"file", 1, 1})));
}

TEST_CASE("beside another store a seat's offset says what was saved last, also as the record that kafka left there") {
  const offset_note n{"file", 7, 9};
  CHECK(seat_note(write_note(n)) == n);
  const auto record = encode_record(test::record_of(12, 1, 100));
  CHECK(seat_note(record) == offset_note{"kafka", 0xabcdef, 12});
  for (const auto& text : {std::string(), std::string("somebody's"), std::string("chute1:"),
                           record.substr(0, record.size() - 2), std::string("chute1:note file 1")})
    CHECK_MESSAGE(!seat_note(text), text);
}

TEST_CASE("an offset without the engine's words was moved by another tool") {
  for (bool seat : {true, false}) {
    CHECK(moved_by_another_tool("", seat));
    CHECK(moved_by_another_tool("somebody's", seat));
    CHECK_FALSE(moved_by_another_tool(write_note({"kafka", 1, 2}), seat));
    CHECK_FALSE(moved_by_another_tool(encode_record(test::record_of(1, 1, 1)), seat));
  }
}
