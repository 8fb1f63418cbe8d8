#include "formats/text_value.hpp"

namespace chute {
namespace {

bool scalar(type_kind k) {
  switch (k) {
  case type_kind::array:
  case type_kind::tuple:
  case type_kind::map:
  case type_kind::nullable:
  case type_kind::variant:
  case type_kind::dynamic:
  case type_kind::json:
  case type_kind::aggregate_function:
  case type_kind::interval:
  case type_kind::nothing:
  case type_kind::unknown: return false;
  default: return true;
  }
}

template <class T> value_error pushed(value_error e, const T& v, column& out) {
  if (e == value_error::none) out.data.push(v);
  return e;
}

value_error append_bool(std::string_view text, column& out) {
  const bool yes = text == "true" || text == "1";
  if (!yes && text != "false" && text != "0") return value_error::malformed;
  out.data.push(static_cast<char>(yes));
  return value_error::none;
}

value_error append_fixed_string(std::string_view text, column& out) {
  if (text.size() > out.width) return value_error::too_long;
  char* at = out.data.extend(out.width);
  std::memcpy(at, text.data(), text.size());
  std::memset(at + text.size(), 0, out.width - text.size());
  return value_error::none;
}

value_error append_decimal(std::string_view text, const type& t, column& out) {
  wide_int v;
  const auto e = parse_decimal(text, t.precision, t.scale, v);
  if (e == value_error::none) out.data.append(v.limb.data(), t.width);
  return e;
}

} // namespace

result<text_value> text_value::make(const type_ptr& wire, const std::string& timezone) {
  text_value v;
  v.type_ = wire->kind == type_kind::nullable ? storage_type(wire->args[0]) : storage_type(wire);
  if (!scalar(v.type_->kind)) return error{"formats", "a text cannot become a value of " + wire->text, ""};
  if (v.type_->kind == type_kind::enum8 || v.type_->kind == type_kind::enum16) v.enum_ = enum_index(v.type_);
  if (v.type_->kind == type_kind::datetime || v.type_->kind == type_kind::datetime64) {
    auto z = zone::find(v.type_->timezone.empty() ? timezone : v.type_->timezone);
    if (!z) return z.failure();
    v.zone_ = *z;
  }
  return v;
}

value_error text_value::append(std::string_view text, column& out) {
  if (out.form != layout::nullable) return append_scalar(text, out);
  const auto e = append_scalar(text, out.children[0]);
  if (e != value_error::none) return e;
  mark_not_null(out);
  ++out.rows;
  return e;
}

value_error text_value::append_scalar(std::string_view text, column& out) {
  auto e = value_error::none;
  switch (type_->kind) {
  case type_kind::int8:
  case type_kind::int16:
  case type_kind::int32:
  case type_kind::int64:
  case type_kind::int128:
  case type_kind::int256: e = append_integer(text, true, out); break;
  case type_kind::uint8:
  case type_kind::uint16:
  case type_kind::uint32:
  case type_kind::uint64:
  case type_kind::uint128:
  case type_kind::uint256: e = append_integer(text, false, out); break;
  case type_kind::float64: {
    double v = 0;
    e = pushed(parse_float64(text, v), v, out);
    break;
  }
  case type_kind::float32: {
    float v = 0;
    e = pushed(parse_float32(text, v), v, out);
    break;
  }
  case type_kind::bfloat16: {
    std::uint16_t v = 0;
    e = pushed(parse_bfloat16(text, v), v, out);
    break;
  }
  case type_kind::decimal: e = append_decimal(text, *type_, out); break;
  case type_kind::boolean: e = append_bool(text, out); break;
  case type_kind::string:
    append_varint(out.data, text.size());
    out.data.append(text.data(), text.size());
    break;
  case type_kind::fixed_string: e = append_fixed_string(text, out); break;
  case type_kind::uuid: {
    uuid_value v;
    e = parse_uuid(text, v);
    if (e != value_error::none) break;
    out.data.push(v.high);
    out.data.push(v.low);
    break;
  }
  case type_kind::ipv4: {
    std::uint32_t v = 0;
    e = pushed(parse_ipv4(text, v), v, out);
    break;
  }
  case type_kind::ipv6: {
    std::array<unsigned char, 16> v{};
    e = pushed(parse_ipv6(text, v), v, out);
    break;
  }
  case type_kind::enum8:
  case type_kind::enum16: {
    std::int16_t v = 0;
    e = enum_.by_name(text, v);
    if (e == value_error::none) out.data.append(&v, type_->width);
    break;
  }
  default: e = append_time(text, out); break;
  }
  if (e == value_error::none) ++out.rows;
  return e;
}

value_error text_value::append_integer(std::string_view text, bool is_signed, column& out) {
  wide_int v;
  const auto e = parse_wide_int(text, type_->width * 8, is_signed, v);
  if (e == value_error::none) out.data.append(v.limb.data(), type_->width);
  return e;
}

value_error text_value::append_time(std::string_view text, column& out) {
  switch (type_->kind) {
  case type_kind::date: {
    std::uint16_t v = 0;
    return pushed(parse_date(text, v), v, out);
  }
  case type_kind::date32: {
    std::int32_t v = 0;
    return pushed(parse_date32(text, v), v, out);
  }
  case type_kind::datetime: {
    std::uint32_t v = 0;
    return pushed(parse_datetime(text, *zone_, hint_, v), v, out);
  }
  case type_kind::datetime64: {
    std::int64_t v = 0;
    return pushed(parse_datetime64(text, type_->scale, *zone_, hint_, v), v, out);
  }
  case type_kind::time: {
    std::int32_t v = 0;
    return pushed(parse_time(text, v), v, out);
  }
  case type_kind::time64: {
    std::int64_t v = 0;
    return pushed(parse_time64(text, type_->scale, v), v, out);
  }
  default: return value_error::malformed;
  }
}

} // namespace chute
