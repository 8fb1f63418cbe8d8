// What a writer means, apart from any format: the matrix writes it in each of them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace chute::test {

struct value {
  enum form : std::uint8_t {
    missing,   // the record has no such field
    null,      // the field is null
    boolean,   // number
    integer,   // text: its digits, any number of them
    real,      // real; also nan and infinities
    decimal,   // text: its digits, with a point
    text,      // text: UTF-8
    bytes,     // text: any bytes
    uuid,      // text: with dashes
    date,      // text: 2024-05-01; number: days since 1970-01-01
    time,      // text: hh:mm:ss and a fraction; number: ticks of scale
    timestamp, // text: RFC 3339 in UTC; number: ticks of scale since 1970-01-01
    symbol,    // text: a member of an enum
    list,      // parts
    map,       // parts, by their keys
    record,    // parts, by their names
  };
  form what = missing;
  std::string text_;
  std::int64_t number = 0;
  double real_ = 0;
  int scale = 0;
  std::vector<std::pair<std::string, value>> parts;
  // symbol: all members of the writer's enum, 0 first, as Protobuf wants it.
  std::vector<std::pair<std::string, int>> members;
};

inline value of(value::form what, std::string text = "") {
  value v;
  v.what = what;
  v.text_ = std::move(text);
  return v;
}
inline value no_field() { return of(value::missing); }
inline value null_value() { return of(value::null); }
inline value a_boolean(bool b) {
  value v = of(value::boolean);
  v.number = b;
  return v;
}
inline value an_integer(std::string digits) { return of(value::integer, std::move(digits)); }
inline value a_decimal(std::string digits) { return of(value::decimal, std::move(digits)); }
inline value a_text(std::string text) { return of(value::text, std::move(text)); }
inline value some_bytes(std::string text) { return of(value::bytes, std::move(text)); }
inline value a_uuid(std::string text) { return of(value::uuid, std::move(text)); }
inline value a_real(double r) {
  value v = of(value::real);
  v.real_ = r;
  return v;
}
inline value a_date(std::string text, std::int64_t days) {
  value v = of(value::date, std::move(text));
  v.number = days;
  return v;
}
inline value a_time(std::string text, std::int64_t ticks, int scale) {
  value v = of(value::time, std::move(text));
  v.number = ticks;
  v.scale = scale;
  return v;
}
inline value a_timestamp(std::string text, std::int64_t ticks, int scale) {
  value v = of(value::timestamp, std::move(text));
  v.number = ticks;
  v.scale = scale;
  return v;
}
inline value a_list(std::vector<value> elements) {
  value v = of(value::list);
  for (auto& e : elements) v.parts.emplace_back("", std::move(e));
  return v;
}
inline value a_map(std::vector<std::pair<std::string, value>> parts) {
  value v = of(value::map);
  v.parts = std::move(parts);
  return v;
}
inline value a_record(std::vector<std::pair<std::string, value>> parts) {
  value v = of(value::record);
  v.parts = std::move(parts);
  return v;
}

} // namespace chute::test
