#include "formats/json.hpp"

#include "formats/avro.hpp"
#include "formats/block_maker.hpp"
#include "formats/change_event.hpp"
#include "formats/columns.hpp"
#include "formats/json_fields.hpp"
#include "formats/json_index.hpp"
#include "formats/json_node.hpp"
#include "formats/meta.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace chute {
namespace {

using namespace json;

constexpr std::uint32_t no_group = ~std::uint32_t{0};

// A column that a field fills.
struct field_target {
  // What every record looks at comes first, and lies together.
  chute::column* to = nullptr;     // of the block at work
  chute::column* values = nullptr; // the same, or what is in the Nullable
  std::uint64_t filled = 0;        // the record that last filled it
  bool by_whole_key = false;       // and that from a key that is its whole path
  bool nullable = false;           // the column is Nullable(the node's type) on its way
  std::uint32_t group = no_group;  // of the columns n.a, n.b, …
  std::uint32_t column = 0;        // its place in the block and among the targets
  node value;
  std::size_t elements_before = 0; // while an array of objects is spread
};

// A column that something else fills.
struct meta_target {
  std::uint32_t column = 0;
  meta_filler filler;
};

class json_decoder final : public decoder {
public:
  static result<std::unique_ptr<decoder>> make(std::vector<target_column> targets, decoder_options options);
  void decode(std::span<const record_view> records, const header_source& headers, chunk& out) override;
  std::vector<new_field> take_new_fields() override { return new_fields_.take(options_.json_type); }

private:
  result<void> add_field(std::uint32_t column);
  void make_groups();

  // Why a record was refused, for its error.
  struct refusal {
    fault what = fault::none;
    const field* at_field = nullptr;
    std::uint32_t target = no_group;
  };

  std::size_t take_batch(std::span<const record_view> records);
  void decode_one(const record_view& r, const header_source& headers, chunk& out);
  fault decode_value(const record_view& r, refusal& why);
  fault begin_value(const record_view& r, tokens& t);
  bool decode_change(const record_view& r, chunk& out, refusal& why, std::string& text);
  bool end_row(const record_view& r, partition_id partition, row_change what, refusal& why, std::string& text);
  bool decode_event(const record_view& r, partition_id partition, refusal& why, std::string& text);
  fault read_event(const tokens& t, place& before, place& after, std::string& op);
  fault read_row_of_event(place event, place row, refusal& why);
  fault read_record(const tokens& t, refusal& why);
  fault begin_object(const tokens& t);
  template <class F> fault walk(field_table& table, refusal& why, F&& each);
  fault read_object(field_table& table, refusal& why);
  fault pass_unknown(field_table& table, const field& f, refusal& why);
  fault read_field(field& f, refusal& why);
  fault fill(field_target& t, bool whole);
  fault read_inner(field& f, refusal& why);
  fault spread(field& f, const std::vector<std::uint32_t>& below, refusal& why);
  fault spread_element(field_table& table, const std::vector<std::uint32_t>& below, refusal& why);
  fault complete(refusal& why);
  fault complete_group(const std::vector<std::uint32_t>& group, refusal& why);
  bool append_meta(const record_view& r, partition_id partition, row_change what, std::string& why);
  std::string explain(const refusal& why) const;
  std::string subject(const refusal& why) const;

  static column& column_of(const field_target& t) { return *t.to; }

  std::vector<target_column> targets_;
  decoder_options options_;
  std::vector<field_target> fields_;
  std::vector<meta_target> metas_;
  bool needs_headers_ = false;
  field_table table_;
  field_table event_table_;                        // envelope: of paths that lead from the event
  bool enveloped_ = false;                         // a record is an event that holds a row
  bool removes_ = false;                           // a tombstone is a row that removes another
  new_field_notes of_record_, new_fields_;         // without a column
  const char* no_event_ = nullptr;                 // why an event makes no row
  std::vector<std::vector<std::uint32_t>> groups_; // of fields_, by the first part of their names
  token_index index_;
  context c_;
  block* block_ = nullptr; // of the chunk at work
  const char* record_begin_ = nullptr;
  const char* record_end_ = nullptr;
  std::uint64_t record_ = 0, object_ = 0; // counters: a record, an object within one
  std::size_t filled_ = 0;                // fields_ of this record that have a value
  std::vector<header_view> header_scratch_;
  block_maker blocks_;
};

// -- making one -----------------------------------------------------------------------------------------------------

result<std::unique_ptr<decoder>> json_decoder::make(std::vector<target_column> targets, decoder_options options) {
  auto d = std::make_unique<json_decoder>();
  d->targets_ = std::move(targets);
  d->options_ = std::move(options);
  for (std::uint32_t i = 0; i < d->targets_.size(); ++i) {
    const auto& t = d->targets_[i];
    if (t.source.kind == column_source::from::field) {
      if (auto r = d->add_field(i); !r) return r.failure();
      continue;
    }
    auto filler = meta_filler::make(t, d->options_);
    if (!filler) return filler.failure();
    d->needs_headers_ |= filler->needs_headers();
    d->metas_.push_back({i, std::move(*filler)});
  }
  d->make_groups();
  d->enveloped_ = d->options_.envelope == envelope_kind::debezium;
  d->removes_ = d->options_.deletes != delete_policy::reject;
  return std::unique_ptr<decoder>(std::move(d));
}

result<void> json_decoder::add_field(std::uint32_t i) {
  const auto& t = targets_[i];
  const bool of_event = options_.envelope == envelope_kind::debezium && t.source.text.starts_with(from_event);
  const auto path = of_event ? t.source.text.substr(from_event.size()) : t.source.text;
  const std::string who = "column '" + t.column.name + "'";
  if (path.empty()) return error{"json", who + " has an empty field", "name the field of the record"};
  if (static_cast<std::size_t>(std::count(path.begin(), path.end(), '.')) >= field_table::segments_max)
    return error{"json", who + ": the path '" + path + "' has more than 64 parts", "flatten the records"};
  const auto wire = wire_type(t.column);
  field_target f;
  f.column = i;
  f.nullable = wire->kind == type_kind::nullable;
  auto type = plain_type(t.column.type);
  if (type->kind == type_kind::nullable) type = plain_type(type->args[0]);
  auto n = make_node(type, options_.timezone);
  if (!n) return error{"json", who + ": " + n.failure().cause, n.failure().way_out};
  f.value = std::move(*n);
  (of_event ? event_table_ : table_).add(path, static_cast<std::uint32_t>(fields_.size()));
  fields_.push_back(std::move(f));
  return {};
}

// Array columns n.a, n.b, …: ClickHouse takes them for a Nested one and refuses an insert in which they differ in
// length within a row.
void json_decoder::make_groups() {
  std::unordered_map<std::string, std::vector<std::uint32_t>> by_prefix;
  for (std::uint32_t i = 0; i < fields_.size(); ++i) {
    const auto& name = targets_[fields_[i].column].column.name;
    const auto dot = name.find('.');
    if (dot != name.npos && dot > 0 && fields_[i].value.append == append_array && !fields_[i].nullable)
      by_prefix[name.substr(0, dot)].push_back(i);
  }
  for (auto& [prefix, members] : by_prefix) {
    std::sort(members.begin(), members.end());
    for (const auto i : members) fields_[i].group = static_cast<std::uint32_t>(groups_.size());
    groups_.push_back(std::move(members));
  }
}

// -- records --------------------------------------------------------------------------------------------------------

void json_decoder::decode(std::span<const record_view> records, const header_source& headers, chunk& out) {
  blocks_.begin(targets_, records, out);
  block_ = &out.rows;
  for (auto& c : block_->columns) c.mark();
  for (auto& t : fields_) {
    t.to = &block_->columns[t.column];
    t.values = t.nullable ? &t.to->children[0] : t.to;
  }
  c_.fields_ignored = 0;
  while (!records.empty()) {
    const std::size_t n = take_batch(records);
    for (const auto& r : records.first(n)) decode_one(r, headers, out);
    records = records.subspan(n);
  }
  out.fields_ignored += c_.fields_ignored;
  blocks_.end(out);
  block_ = nullptr;
}

// Copies the values of some records to where they can be parsed; at least one. Returns how many.
// What Confluent's JSON Schema serializer puts in front of the text: no JSON begins with a zero byte. The text alone
// says all that a column takes, so that no registry is asked.
std::string_view without_schema_id(std::string_view value) {
  take_schema_id(value);
  return value;
}

std::size_t json_decoder::take_batch(std::span<const record_view> records) {
  index_.clear();
  std::size_t n = 0;
  while (n < records.size()) {
    const auto& value = records[n].value;
    const std::size_t size = value ? value->size() : 0;
    if (n > 0 && index_.bytes() + size > token_index::batch_bytes) break;
    ++n;
    if (value && size <= options_.record_bytes_max) index_.add(without_schema_id(*value));
  }
  index_.build();
  c_.end = index_.end();
  c_.now.backslash = nullptr;
  return n;
}

void json_decoder::decode_one(const record_view& r, const header_source& headers, chunk& out) {
  refusal why;
  std::string text;
  const std::size_t before = block_->rows;
  of_record_.clear();
  if (needs_headers_) {
    header_scratch_.clear();
    headers.headers(r, header_scratch_);
  }
  if (enveloped_ || (removes_ && !r.value)) [[unlikely]] {
    if (decode_change(r, out, why, text)) return new_fields_.add(of_record_);
  } else if (const fault f = decode_value(r, why); f == fault::none) [[likely]] {
    if (metas_.empty() || append_meta(r, out.partition, row_change::state, text)) {
      ++block_->rows;
      append_row_outcome(r, out);
      if (!of_record_.empty()) [[unlikely]]
        new_fields_.add(of_record_);
      return;
    }
  } else {
    why.what = f;
    text = explain(why);
  }
  block_->rows = before;
  for (auto& c : block_->columns) {
    rewind(c, before);
    c.mark(); // the next one counts on from here
  }
  append_bad_record(r, headers, options_, std::move(text), out);
}

fault json_decoder::decode_value(const record_view& r, refusal& why) {
  tokens t;
  if (const fault f = begin_value(r, t); f != fault::none) return f;
  const fault f = read_record(t, why);
  if (f == fault::none) index_.reached(c_.now.at);
  return f;
}

fault json_decoder::begin_value(const record_view& r, tokens& t) {
  if (!r.value) return fault::tombstone;
  if (r.value->size() > options_.record_bytes_max) return fault::too_big;
  const auto e = index_.next(t);
  record_begin_ = t.begin;
  record_end_ = t.end;
  c_.refused_at = nullptr;
  c_.refused_by = nullptr;
  c_.path_bytes = 0;
  switch (e) {
  case index_error::none: break;
  case index_error::invalid_utf8: return fault::invalid_utf8;
  case index_error::control_character: return fault::control_character;
  case index_error::unclosed_string: return fault::truncated;
  }
  c_.base = t.base;
  c_.now.at = t.first;
  return fault::none;
}

fault json_decoder::read_record(const tokens& t, refusal& why) {
  if (const fault f = begin_object(t); f != fault::none) return f;
  ++record_;
  filled_ = 0;
  if (const fault f = read_object(table_, why); f != fault::none) return f;
  if (c_.here() < t.end) return refuse(c_, c_.here(), fault::trailing);
  return filled_ == fields_.size() && groups_.empty() ? fault::none : complete(why);
}

fault json_decoder::begin_object(const tokens& t) {
  if (c_.here() >= t.end) return fault::empty;
  if (*c_.here() == '{') return fault::none;
  const fault f = skip_value(c_);
  return f == fault::none ? fault::not_object : f;
}

// -- changes --------------------------------------------------------------------------------------------------------

// False: a bad record, and `text` says why.
bool json_decoder::decode_change(const record_view& r, chunk& out, refusal& why, std::string& text) {
  const std::size_t before = block_->rows;
  if (r.value) {
    if (!decode_event(r, out.partition, why, text)) return false;
    append_row_outcome(r, out, block_->rows - before);
    return true;
  }
  switch (use_of_tombstone(options_.deletes, options_.envelope)) {
  case tombstone_use::drop: append_dropped(r, out); return true;
  case tombstone_use::removal:
    ++record_;
    filled_ = 0;
    if (!end_row(r, out.partition, row_change::removal, why, text)) return false;
    append_row_outcome(r, out);
    return true;
  case tombstone_use::bad: break;
  }
  why.what = fault::tombstone;
  text = explain(why);
  return false;
}

bool json_decoder::end_row(const record_view& r, partition_id partition, row_change what, refusal& why,
                           std::string& text) {
  why.what = filled_ == fields_.size() && groups_.empty() ? fault::none : complete(why);
  if (why.what != fault::none) text = explain(why);
  if (why.what != fault::none || !append_meta(r, partition, what, text)) return false;
  ++block_->rows;
  return true;
}

bool json_decoder::decode_event(const record_view& r, partition_id partition, refusal& why, std::string& text) {
  tokens t;
  place before, after;
  std::string op;
  why.what = begin_value(r, t);
  const place event = c_.now;
  if (why.what == fault::none) why.what = read_event(t, before, after, op);
  if (why.what != fault::none) return text = explain(why), false;
  const auto made = rows_of_event(op, before.at, after.at, options_.deletes);
  if (made.wrong) return text = made.wrong, false;
  const place end = c_.now;
  for (std::size_t n = 0; n < made.count; ++n) {
    why.what = read_row_of_event(event, made.rows[n].after ? after : before, why);
    if (why.what != fault::none) return text = explain(why), false;
    if (!end_row(r, partition, made.rows[n].change, why, text)) return false;
  }
  index_.reached(end.at);
  return true;
}

// Passes the event and finds where the rows in it begin; a place without `at`: there is none.
fault json_decoder::read_event(const tokens& t, place& before, place& after, std::string& op) {
  if (const fault f = begin_object(t); f != fault::none) return f;
  bool told = false;
  const fault f = for_each_field(c_, [&](std::string_view key) {
    const bool is_op = key == "op" && at_string(c_);
    place* const row = key == "before" ? &before : key == "after" ? &after : nullptr;
    if ((row && row->at) || (is_op && told)) return fault::no_event;
    if (row && *c_.here() == '{') *row = c_.now;
    if (!is_op) return skip_value(c_);
    std::string_view text;
    const fault wrong = take_text(c_, c_.unquoted, text);
    op.assign(text);
    told = true;
    return wrong;
  });
  if (f == fault::no_event) no_event_ = "the event names its 'op' or a row twice";
  if (f != fault::none) return f;
  if (c_.here() < t.end) return refuse(c_, c_.here(), fault::trailing);
  no_event_ = no_op;
  return told ? fault::none : fault::no_event;
}

fault json_decoder::read_row_of_event(place event, place row, refusal& why) {
  ++record_;
  filled_ = 0;
  if (!event_table_.fields().empty()) {
    const auto ignored = c_.fields_ignored;
    c_.now = event;
    if (const fault f = read_object(event_table_, why); f != fault::none) return f;
    c_.fields_ignored = ignored;
  }
  c_.now = row;
  return read_object(table_, why);
}

// -- fields ---------------------------------------------------------------------------------------------------------

// Passes an object; each(field) passes the value of a field that columns want.
template <class F> fault json_decoder::walk(field_table& table, refusal& why, F&& each) {
  ++c_.now.at; // {
  if (*c_.here() == '}') {
    ++c_.now.at;
    return fault::none;
  }
  const std::uint64_t object = ++object_;
  for (field* f = nullptr;;) {
    if (const fault e = table.take(c_, f, f); e != fault::none) [[unlikely]]
      return e;
    if (f->targets.empty() && !f->inner) {
      ++c_.fields_ignored;
      if (const fault e = pass_unknown(table, *f, why); e != fault::none) return e;
    } else {
      if (f->seen == object) [[unlikely]] {
        why.at_field = f;
        return fault::duplicate_field;
      }
      f->seen = object;
      if (const fault e = each(*f); e != fault::none) [[unlikely]]
        return e;
    }
    const char symbol = *c_.here();
    if (symbol != ',' && symbol != '}') [[unlikely]]
      return refuse(c_, c_.here(), fault::unexpected);
    ++c_.now.at;
    if (symbol == '}') return fault::none;
  }
}

namespace {

// What a value is like; passes it.
fault note_value(context& c, value_shape& shape, int depth) {
  constexpr int levels_max = 8;
  using kind = value_shape::kind;
  switch (*c.here()) {
  case '"': shape.kinds |= kind::text; return skip_value(c);
  case '{': shape.kinds |= kind::object; return skip_value(c);
  case '[':
    shape.kinds |= kind::list;
    if (depth >= levels_max) return shape.of_elements().kinds |= kind::text, skip_value(c);
    return for_each_element(c, [&] { return note_value(c, shape.of_elements(), depth + 1); });
  case 't':
  case 'f': shape.kinds |= kind::boolean; return skip_value(c);
  case 'n': shape.kinds |= kind::null; return skip_value(c);
  default: break;
  }
  std::string_view token;
  bool integral = false;
  const fault f = take_number(c, token, integral);
  std::int64_t narrow = 0;
  const bool fits = integral && std::from_chars(token.data(), token.data() + token.size(), narrow).ec == std::errc{};
  constexpr std::size_t digits_max = 76; // of Int256
  shape.kinds |= fits ? kind::integer : !integral ? kind::real : token.size() <= digits_max ? kind::huge : kind::text;
  return f;
}

} // namespace

fault json_decoder::pass_unknown(field_table& table, const field& f, refusal& why) {
  if (options_.on_new_field == new_field_policy::ignore || &table != &table_) [[likely]]
    return skip_value(c_);
  if (options_.on_new_field == new_field_policy::dead_letter) {
    why.at_field = &f;
    return fault::no_column;
  }
  return names_new_column(f.name()) ? note_value(c_, of_record_.of(f.name()), 0) : skip_value(c_);
}

fault json_decoder::read_object(field_table& table, refusal& why) {
  return walk(table, why, [&](field& f) { return read_field(f, why); });
}

namespace {
// As Debezium's converter writes it, without spaces.
bool holds_placeholder(std::string_view at) {
  constexpr std::string_view as_bytes = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\""; // base64
  if (at.starts_with('[') || at.starts_with('{')) at.remove_prefix(1);
  if (!at.starts_with('"')) return false;
  at.remove_prefix(1);
  return at.starts_with(as_bytes) || (at.starts_with(unavailable) && at.substr(unavailable.size()).starts_with('"'));
}
} // namespace

fault json_decoder::read_field(field& f, refusal& why) {
  if (options_.envelope == envelope_kind::debezium) [[unlikely]]
    if (const char* at = c_.here(); holds_placeholder({at, static_cast<std::size_t>(c_.end - at)})) {
      why.at_field = &f;
      if (f.only != no_target) why.target = f.only;
      return refuse(c_, at, fault::not_sent);
    }
  if (f.only != no_target) [[likely]] {
    const fault e = fill(fields_[f.only], f.whole);
    if (e != fault::none) [[unlikely]] {
      why.at_field = &f;
      why.target = f.only;
    }
    return e;
  }
  const place begin = c_.now;
  bool first = true;
  for (const auto i : f.targets) {
    if (!first) c_.now = begin;
    first = false;
    if (const fault e = fill(fields_[i], f.whole); e != fault::none) [[unlikely]] {
      why.at_field = &f;
      why.target = i;
      return e;
    }
  }
  if (!f.inner) [[likely]]
    return fault::none;
  c_.now = begin;
  return read_inner(f, why);
}

// The value goes into the column; or, where a stronger source has filled it, is only passed.
fault json_decoder::fill(field_target& t, bool whole) {
  column& to = column_of(t);
  if (t.filled == record_) {
    if (t.by_whole_key || !whole) return skip_value(c_);
    // A key that is the whole path wins over nested objects.
    rewind(to, block_->rows);
    t.filled = 0;
    --filled_;
  }
  if (*c_.here() == 'n') {
    if (const fault e = take_literal(c_, "null"); e != fault::none) return e;
    if (t.group != no_group) return fault::none; // as if it were missing
    append_null(to, targets_[t.column]);
  } else {
    if (const fault e = t.value.append(t.value, c_, *t.values); e != fault::none) [[unlikely]]
      return e;
    if (t.nullable) {
      mark_not_null(to);
      ++to.rows;
    }
  }
  ++filled_;
  t.filled = record_;
  t.by_whole_key = whole;
  return fault::none;
}

// An object on the way to columns; or, for columns n.a, n.b, …, an array of objects.
fault json_decoder::read_inner(field& f, refusal& why) {
  switch (*c_.here()) {
  case '{': return read_object(*f.inner, why);
  case 'n': return take_literal(c_, "null");
  default: break;
  }
  std::vector<std::uint32_t> below;
  f.inner->collect(below);
  const bool arrays =
      std::all_of(below.begin(), below.end(), [&](std::uint32_t i) { return fields_[i].group != no_group; });
  const bool flat =
      std::all_of(f.inner->fields().begin(), f.inner->fields().end(), [](const auto& inner) { return !inner->inner; });
  if (*c_.here() == '[' && arrays && flat) return spread(f, below, why);
  const char* const at = c_.here();
  if (const fault e = skip_value(c_); e != fault::none) return e;
  why.at_field = &f;
  why.target = below.front();
  return refuse(c_, at, fault::no_object_on_path);
}

// [{"a": 1, "b": "x"}, …] for columns n.a, n.b: one element of each column an object.
fault json_decoder::spread(field& f, const std::vector<std::uint32_t>& below, refusal& why) {
  why.at_field = &f;
  why.target = below.front();
  for (const auto i : below)
    if (fields_[i].filled == record_) return refuse(c_, c_.here(), fault::duplicate_field);
  if (const fault e = for_each_element(c_, [&] { return spread_element(*f.inner, below, why); }); e != fault::none)
    return e;
  why = {};
  for (const auto i : below) {
    column& to = column_of(fields_[i]);
    to.data.push(static_cast<std::uint64_t>(to.children[0].rows));
    ++to.rows;
    ++filled_;
    fields_[i].filled = record_;
    fields_[i].by_whole_key = false;
  }
  return fault::none;
}

fault json_decoder::spread_element(field_table& table, const std::vector<std::uint32_t>& below, refusal& why) {
  if (*c_.here() != '{') {
    const char* const at = c_.here();
    if (const fault e = skip_value(c_); e != fault::none) return e;
    return refuse(c_, at, fault::no_object_on_path);
  }
  for (const auto i : below) fields_[i].elements_before = column_of(fields_[i]).children[0].rows;
  const fault e = walk(table, why, [&](field& f) {
    const place begin = c_.now;
    for (const auto i : f.targets) {
      c_.now = begin;
      if (*c_.here() == 'n') {
        if (const fault literal = take_literal(c_, "null"); literal != fault::none) return literal;
        continue; // as if it were missing
      }
      why.target = i;
      node& element = fields_[i].value.children[0];
      const fault one = element.append(element, c_, column_of(fields_[i]).children[0]);
      if (one != fault::none) return one;
    }
    return fault::none;
  });
  if (e != fault::none) return e;
  for (const auto i : below) {
    column& elements = column_of(fields_[i]).children[0];
    if (elements.rows == fields_[i].elements_before) append_default(elements);
  }
  return fault::none;
}

// Columns that the record did not name.
fault json_decoder::complete(refusal& why) {
  for (const auto& group : groups_)
    if (const fault e = complete_group(group, why); e != fault::none) return e;
  for (auto& t : fields_)
    if (t.filled != record_) append_missing(column_of(t), targets_[t.column]);
  return fault::none;
}

fault json_decoder::complete_group(const std::vector<std::uint32_t>& group, refusal& why) {
  constexpr std::uint64_t unknown = ~std::uint64_t{0};
  std::uint64_t size = unknown;
  for (const auto i : group) {
    if (fields_[i].filled != record_) continue;
    const column& c = column_of(fields_[i]);
    std::uint64_t before = 0;
    if (c.rows > 1) std::memcpy(&before, c.data.data() + (c.rows - 2) * sizeof before, sizeof before);
    const std::uint64_t n = c.children[0].rows - before;
    if (size != unknown && size != n) {
      why.target = i;
      return fault::nested_sizes;
    }
    size = n;
  }
  if (size == unknown) return fault::none;
  for (const auto i : group) {
    if (fields_[i].filled == record_) continue;
    column& c = column_of(fields_[i]);
    for (std::uint64_t n = 0; n < size; ++n) append_default(c.children[0]);
    c.data.push(static_cast<std::uint64_t>(c.children[0].rows));
    ++c.rows;
    fields_[i].filled = record_;
  }
  return fault::none;
}

bool json_decoder::append_meta(const record_view& r, partition_id partition, row_change what, std::string& why) {
  for (auto& m : metas_) {
    const auto e = m.filler.append(r, partition, header_scratch_, block_->columns[m.column], what);
    if (e == value_error::none) [[likely]]
      continue;
    why = m.filler.subject() + " " + describe(e);
    return false;
  }
  return true;
}

// -- what to tell ---------------------------------------------------------------------------------------------------

// "a JSON string": what stands there, without telling its content.
const char* kind_at(const char* at) {
  switch (at ? *at : '\0') {
  case '"': return "a JSON string";
  case '{': return "a JSON object";
  case '[': return "a JSON array";
  case 't':
  case 'f': return "a JSON boolean";
  case 'n': return "null";
  default: return "a JSON number";
  }
}

// Of a text that is not JSON.
const char* syntax_text(fault f) {
  switch (f) {
  case fault::invalid_utf8: return "it is not UTF-8";
  case fault::control_character: return "a string holds a control character";
  case fault::truncated: return "it ends within a string";
  case fault::bad_number: return "a number is malformed";
  case fault::bad_literal: return "a word is neither true, false nor null";
  case fault::bad_escape: return "a string holds an unknown escape";
  case fault::lone_surrogate: return "a string holds half a surrogate pair";
  case fault::trailing: return "more text follows the object";
  case fault::unexpected: return "a character is out of place";
  default: return nullptr;
  }
}

// Of a value that the column does not take.
std::string value_text(fault f, const char* at) {
  if (f >= fault::malformed)
    return describe(static_cast<value_error>(static_cast<int>(f) - static_cast<int>(fault::malformed) +
                                             static_cast<int>(value_error::malformed)));
  switch (f) {
  case fault::wrong_type: return std::string("is ") + kind_at(at) + ", which the type does not take";
  case fault::null_element: return "is null, which the type does not take";
  case fault::tuple_size: return "has another number of elements than the tuple";
  case fault::tuple_key_twice: return "names an element of the tuple twice";
  case fault::nested_sizes: return "has arrays of different lengths for one Nested structure";
  case fault::dimension: return "has another number of elements than the type";
  case fault::path_twice: return "holds a path twice, which the JSON type does not take";
  case fault::long_paths: return "holds paths of more than 256 MiB in all";
  case fault::no_variant: return std::string("is ") + kind_at(at) + " that none of the Variant's types takes";
  case fault::not_at_path: return std::string("is ") + kind_at(at) + " that ClickHouse does not take at a typed path";
  case fault::path_digits:
    return "has more digits than ClickHouse keeps of a number at a typed path; a string keeps them";
  case fault::huge_number: return "holds a number that the JSON type does not take (beyond 64 bits or Float64)";
  case fault::dynamic_too_deep: return "holds arrays of mixed values nested deeper than Dynamic takes";
  case fault::too_deep: return "is nested deeper than 1,000 levels";
  case fault::not_sent: return chute::not_sent;
  case fault::no_object_on_path: return std::string("is beyond ") + kind_at(at) + " where an object should be";
  default: return "cannot be taken";
  }
}

// "field 'meta.ts' for column 'ts' (DateTime)"
std::string json_decoder::subject(const refusal& why) const {
  if (why.target == no_group) return why.at_field ? "field '" + std::string(why.at_field->name()) + "'" : "the value";
  const auto& t = targets_[fields_[why.target].column];
  return "field '" + t.source.text + "' for column '" + t.column.name + "' (" + t.column.type->text + ")";
}

std::string json_decoder::explain(const refusal& why) const {
  switch (why.what) {
  case fault::tombstone: return "tombstone: the value is null, and deletes are rejected";
  case fault::too_big: return "the value is larger than " + std::to_string(options_.record_bytes_max) + " bytes";
  case fault::no_event: return no_event_;
  case fault::no_column: return without_column(why.at_field ? why.at_field->name() : "");
  case fault::empty: return "the value is empty";
  case fault::not_object: return "the value is not a JSON object";
  case fault::duplicate_field: return subject(why) + " appears twice";
  default: break;
  }
  if (const char* syntax = syntax_text(why.what)) {
    if (!c_.refused_at) return std::string("the value is not JSON: ") + syntax;
    if (c_.refused_at >= record_end_) return "the value is not JSON: it ends too early";
    return std::string("the value is not JSON: ") + syntax + " at byte " +
           std::to_string(c_.refused_at - record_begin_);
  }
  std::string text = subject(why);
  if (c_.refused_by && why.target != no_group && c_.refused_by->type->text != fields_[why.target].value.type->text)
    text += ": a value of type " + c_.refused_by->type->text + " in it";
  return text + " " + value_text(why.what, c_.refused_at);
}

} // namespace

result<std::unique_ptr<decoder>> make_json_decoder(std::vector<target_column> targets, decoder_options options) {
  return json_decoder::make(std::move(targets), std::move(options));
}

} // namespace chute
