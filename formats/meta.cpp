#include "formats/meta.hpp"

#include <algorithm>
#include <charconv>

namespace chute {
namespace {

bool is_integer(type_kind k) { return k >= type_kind::int8 && k <= type_kind::uint256; }
bool is_signed(type_kind k) { return k >= type_kind::int8 && k <= type_kind::int256; }

type_ptr inner(const type_ptr& wire) { return wire->kind == type_kind::nullable ? wire->args[0] : wire; }

void append_text(std::string_view text, column& out) {
  append_varint(out.data, text.size());
  out.data.append(text.data(), text.size());
  ++out.rows;
}

void append_optional_text(const std::optional<std::string_view>& text, column& out) {
  if (out.form != layout::nullable) return append_text(text.value_or(""), out);
  if (!text) return append_default(out);
  append_text(*text, out.children[0]);
  mark_not_null(out);
  ++out.rows;
}

bool is_text(const type_ptr& t, bool or_null) {
  if (or_null && t->kind == type_kind::nullable) return is_text(t->args[0], false);
  return t->kind == type_kind::string;
}

// Map(String, String) or Array(Tuple(String, String)), the second String perhaps Nullable.
bool holds_headers(const type_ptr& t) {
  const auto pair = t->kind == type_kind::map ? t : t->kind == type_kind::array ? t->args[0] : nullptr;
  return pair && (pair->kind == type_kind::map || pair->kind == type_kind::tuple) && pair->args.size() == 2 &&
         is_text(pair->args[0], false) && is_text(pair->args[1], true);
}

value_error append_integer(std::int64_t v, const type& t, column& out) {
  const bool fits_below = is_signed(t.kind) ? t.width >= 8 || v >= -(std::int64_t{1} << (t.width * 8 - 1)) : v >= 0;
  const auto bits = t.width * 8 - (is_signed(t.kind) ? 1 : 0);
  if (!fits_below || (bits < 63 && v >= std::int64_t{1} << bits)) return value_error::out_of_range;
  const std::int64_t limbs[4] = {v, v >> 63, v >> 63, v >> 63};
  out.data.append(limbs, t.width);
  ++out.rows;
  return value_error::none;
}

// Runs `append` on the values of a column that may be Nullable.
template <class F> value_error not_null(column& out, F append) {
  if (out.form != layout::nullable) return append(out);
  const auto e = append(out.children[0]);
  if (e != value_error::none) return e;
  mark_not_null(out);
  ++out.rows;
  return e;
}

std::string source_name(const column_source& s) {
  switch (s.kind) {
  case column_source::from::header: return "header '" + s.text + "'";
  case column_source::from::value: return "the constant";
  default: return "meta " + s.text;
  }
}

error unfit(const target_column& t, const char* takes) {
  return error{
      "formats",
      source_name(t.source) + " does not go into column '" + t.column.name + "' of type " + t.column.type->text, takes};
}

} // namespace

result<meta_filler> meta_filler::make(const target_column& t, const decoder_options& options) {
  meta_filler f;
  f.target_ = t;
  f.subject_ = source_name(t.source) + " for column '" + t.column.name + "' (" + t.column.type->text + ")";
  const auto wire = wire_type(t.column);
  const auto kind = inner(wire)->kind;
  const auto& name = t.source.text;
  const bool meta = t.source.kind == column_source::from::meta;
  if (meta && name == "headers") {
    f.what_ = what::headers;
    if (!holds_headers(inner(wire))) return unfit(t, "use Map(String, String) or Array(Tuple(String, String))");
    return f;
  }
  if (meta && (name == "deleted" || name == "sign")) {
    f.what_ = name == "sign" ? what::sign : what::deleted;
    if (wire->kind != (name == "sign" ? type_kind::int8 : type_kind::uint8))
      return unfit(t, name == "sign" ? "use Int8, without a DEFAULT" : "use UInt8, without a DEFAULT");
    return f;
  }
  if (meta && (name == "partition" || name == "offset" || name == "timestamp" || name == "version")) {
    f.what_ = name == "partition" ? what::partition : name == "timestamp" ? what::timestamp : what::offset;
    const auto width_min = f.what_ == what::partition ? sizeof partition_id::value : sizeof offset_t::value;
    if (is_integer(wire->kind) && f.what_ != what::timestamp && wire->width >= width_min && wire->width <= 8)
      f.holds_all_ = wire->width;
    const bool time = kind == type_kind::datetime || kind == type_kind::datetime64;
    if (is_integer(kind) || kind == type_kind::string || (time && f.what_ == what::timestamp)) return f;
    return unfit(t, f.what_ == what::timestamp ? "use DateTime64(3)" : "use an integer, UInt64 holds all of them");
  }
  auto text = text_value::make(wire, options.timezone);
  if (!text) return unfit(t, "use String, or another type of one plain value");
  f.text_ = *text;
  if (meta && name == "key") {
    f.what_ = what::key;
  } else if (t.source.kind == column_source::from::header) {
    f.what_ = what::header;
  } else if (t.source.kind == column_source::from::value || (meta && name == "topic")) {
    auto one = std::make_shared<column>(make_column(wire));
    const auto e = f.text_->append(meta ? options.topic : name, *one);
    if (e != value_error::none) return error{"formats", f.subject_ + " " + describe(e), "write another constant"};
    f.constant_ = std::move(one);
  } else {
    return error{"formats", f.subject_ + " is not a source of this kind",
                 "one of topic, partition, offset, timestamp, key, headers"};
  }
  return f;
}

value_error meta_filler::append(const record_view& r, partition_id partition, std::span<const header_view> headers,
                                column& out, row_change change) {
  switch (what_) {
  case what::deleted:
    out.data.push(static_cast<std::uint8_t>(change == row_change::removal));
    ++out.rows;
    return value_error::none;
  case what::sign:
    out.data.push(static_cast<std::int8_t>(change == row_change::cancel ? -1 : 1));
    ++out.rows;
    return value_error::none;
  case what::constant: append_rows(out, *constant_); return value_error::none;
  case what::partition: return append_place(partition.value, out);
  case what::offset: return append_place(r.offset.value, out);
  case what::timestamp:
    if (r.timestamp_ms >= 0) return append_timestamp(r.timestamp_ms, out);
    break;
  case what::key:
    if (r.key) return text_->append(*r.key, out);
    break;
  case what::header:
    if (const auto* h = find(headers)) return text_->append(*h->value, out);
    break;
  case what::headers: append_headers(headers, out); return value_error::none;
  }
  append_missing(out, target_);
  return value_error::none;
}

// A partition or an offset, which are not negative.
value_error meta_filler::append_place(std::int64_t v, column& out) {
  if (holds_all_ == 0) return append_number(v, out);
  if (holds_all_ == sizeof v) out.data.push(v);
  else out.data.push(static_cast<std::int32_t>(v));
  ++out.rows;
  return value_error::none;
}

value_error meta_filler::append_number(std::int64_t v, column& out) {
  return not_null(out, [&](column& c) {
    if (c.form == layout::fixed) return append_integer(v, *c.type, c);
    char text[20];
    const auto end = std::to_chars(text, text + sizeof text, v).ptr;
    append_text({text, static_cast<std::size_t>(end - text)}, c);
    return value_error::none;
  });
}

value_error meta_filler::append_timestamp(std::int64_t ms, column& out) {
  return not_null(out, [&](column& c) {
    if (c.type->kind == type_kind::datetime) {
      if (ms / 1000 > 0xFFFFFFFF) return value_error::out_of_range;
      c.data.push(static_cast<std::uint32_t>(ms / 1000));
      ++c.rows;
      return value_error::none;
    }
    if (c.type->kind != type_kind::datetime64) return append_number(ms, c);
    for (auto s = c.type->scale; s < 3; ++s) ms /= 10;
    for (auto s = c.type->scale; s > 3; --s)
      if (__builtin_mul_overflow(ms, 10, &ms)) return value_error::out_of_range;
    const auto e = check_datetime64(ms, c.type->scale);
    if (e != value_error::none) return e;
    c.data.push(ms);
    ++c.rows;
    return e;
  });
}

void meta_filler::append_headers(std::span<const header_view> headers, column& out) const {
  not_null(out, [&](column& list) {
    auto& pair = list.children[0];
    for (const auto& h : headers) {
      append_text(h.name, pair.children[0]);
      append_optional_text(h.value, pair.children[1]);
      ++pair.rows;
    }
    list.data.push(static_cast<std::uint64_t>(pair.rows));
    ++list.rows;
    return value_error::none;
  });
}

const header_view* meta_filler::find(std::span<const header_view> headers) const {
  const auto last = std::find_if(headers.rbegin(), headers.rend(),
                                 [&](const header_view& h) { return h.name == target_.source.text; });
  return last == headers.rend() || !last->value ? nullptr : &*last;
}

} // namespace chute
