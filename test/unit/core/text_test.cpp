#include "core/text.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <limits>

using namespace chute;

TEST_CASE("nearest_name finds what was mistyped") {
  static constexpr std::array<std::string_view, 6> names = {"batch", "delivery",      "topics",
                                                            "table", "on_bad_record", "wait"};
  CHECK(nearest_name("bacth", names) == "batch");
  CHECK(nearest_name("Topic", names) == "topics");
  CHECK(nearest_name("TABLE", names) == "table");
  CHECK(nearest_name("delivry", names) == "delivery");
  CHECK(nearest_name("on-bad-record", names) == "on_bad_record");
  CHECK(nearest_name("wiat", names) == "wait");
}

TEST_CASE("nearest_name is silent about words that are near nothing") {
  static constexpr std::array<std::string_view, 3> names = {"batch", "x", ""};
  CHECK_FALSE(nearest_name("lanes", names));
  CHECK_FALSE(nearest_name("y", names)); // one slip away from "x", but shares nothing with it
  CHECK_FALSE(nearest_name("", names));
  CHECK_FALSE(nearest_name(std::string(5'000, 'b'), names));
  CHECK_FALSE(nearest_name("batch", {}));
}

TEST_CASE("sizes") {
  CHECK(*parse_size("64MiB") == 64u << 20);
  CHECK(*parse_size("64 MiB") == 64u << 20);
  CHECK(*parse_size("1GiB") == 1u << 30);
  CHECK(*parse_size("3KiB") == 3072);
  CHECK(*parse_size("17") == 17);
  CHECK(*parse_size("17B") == 17);
  for (const char* wrong : {"", "MiB", "64MB", "64mib", "-1", "1.5GiB", "64MiBx", " 64", "0x10"}) {
    CAPTURE(wrong);
    const auto r = parse_size(wrong);
    REQUIRE_FALSE(r);
    CHECK(r.failure().cause ==
          "'" + std::string(wrong) + "' is no size; write bytes or KiB, MiB, GiB, TiB, as in 64MiB");
  }
  CHECK(*parse_size("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
  CHECK_FALSE(parse_size("18446744073709551616"));
  CHECK(*parse_size("17179869183GiB") == 17179869183ull << 30);
  CHECK(parse_size("17179869184GiB").failure().cause == "'17179869184GiB' is more than any machine has");
}

TEST_CASE("sizes are printed as people read them") {
  CHECK(format_size(0) == "0 bytes");
  CHECK(format_size(1) == "1 byte");
  CHECK(format_size(1023) == "1023 bytes");
  CHECK(format_size(1024) == "1 KiB");
  CHECK(format_size(1536) == "1.5 KiB");
  CHECK(format_size((1u << 20) - 1) == "1 MiB"); // not "1024 KiB"
  CHECK(format_size(512ull << 20) == "512 MiB");
  CHECK(format_size(std::numeric_limits<std::uint64_t>::max()) == "16 EiB");
}

TEST_CASE("time spans") {
  CHECK(*parse_duration_ms("500ms") == 500);
  CHECK(*parse_duration_ms("2s") == 2'000);
  CHECK(*parse_duration_ms("5 m") == 300'000);
  CHECK(*parse_duration_ms("1h") == 3'600'000);
  CHECK(parse_duration_ms("5").failure().cause == "'5' has no unit; write ms, s, m or h after the number, as in 1s");
  for (const char* wrong : {"", "s", "1.5s", "-1s", "1d", "1sec"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_duration_ms(wrong));
  }
  CHECK(parse_duration_ms("9223372036854775807h").failure().cause ==
        "'9223372036854775807h' is longer than anybody waits");
}

TEST_CASE("time spans are printed as people read them") {
  CHECK(format_duration(0) == "0 ms");
  CHECK(format_duration(999) == "999 ms");
  CHECK(format_duration(1'000) == "1 s");
  CHECK(format_duration(2'550) == "2.5 s");
  CHECK(format_duration(300'000) == "5m 00s");
  CHECK(format_duration(3'900'000) == "1h 05m");
  CHECK(format_duration(-1'000) == "-1 s");
  CHECK(format_duration(std::numeric_limits<std::int64_t>::min()).starts_with("-2562047788015h"));
}

TEST_CASE("points in time") {
  CHECK(*parse_timestamp_ms("1970-01-01") == 0);
  CHECK(*parse_timestamp_ms("2024-05-01T12:00:00Z") == 1714564800000);
  CHECK(*parse_timestamp_ms("2024-05-01 12:00:00") == 1714564800000);
  CHECK(*parse_timestamp_ms("2024-05-01T14:00:00.250+02:00") == 1714564800250);
  CHECK(*parse_timestamp_ms("2024-05-01T06:30-0530") == 1714564800000);
  CHECK(*parse_timestamp_ms("2024-05-01T12:00:00.123456789Z") == 1714564800123);
  CHECK(*parse_timestamp_ms("2024-02-29") == 1709164800000);
  CHECK(*parse_timestamp_ms("9999-12-31T23:59:59Z") == 253402300799000);
  for (const char* wrong : {"", "2024", "2024-13-01", "2023-02-29", "2024-05-01T", "2024-05-01T24:00:00Z",
                            "2024-05-01T12:60:00Z", "2024-05-01T12:00:00.Z", "2024-05-01T12:00:00+15:00",
                            "2024-05-01T12:00:00Zx", "2024-5-1", "24-05-01", "yesterday"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_timestamp_ms(wrong));
  }
  CHECK(parse_timestamp_ms("1969-12-31").failure().cause == "'1969-12-31' is before 1970");
}

TEST_CASE("whole numbers") {
  CHECK(parse_integer("0") == 0);
  CHECK(parse_integer("-17") == -17);
  CHECK(parse_integer("+17") == 17);
  CHECK(parse_integer("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
  for (const char* wrong : {"", "+", "-", "+-1", "1.0", "1e3", " 1", "1 ", "9223372036854775808", "0x1"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_integer(wrong));
  }
}

TEST_CASE("counts") {
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1'000) == "1,000");
  CHECK(format_count(12'345'678) == "12,345,678");
}

TEST_CASE("printable shows what cannot be seen and cuts between characters") {
  CHECK(printable("plain ü") == "plain ü");
  CHECK(printable(std::string_view("a\0\n\x7f", 4)) == "a\\x00\\x0a\\x7f");
  CHECK(printable("aüb", 3) == "aü…");
  CHECK(printable("aüb", 2) == "a…"); // the ü takes two bytes
  CHECK(printable("aüb", 4) == "aüb");
}
