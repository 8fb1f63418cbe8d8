#include "formats/stages.hpp"

#include "formats/columns.hpp"
#include "formats/row_cursor.hpp"

#include <algorithm>

namespace chute {
namespace {

using from = column_source::from;
using subject = condition::subject;

bool is_key_field(const target_column& t) { return t.source.kind == from::key; }

// Null is as if it were not there.
bool holds(const condition& c, const std::optional<std::string_view>& text) {
  if (!text || !c.present) return text.has_value() == c.present;
  return c.texts.empty() || std::find(c.texts.begin(), c.texts.end(), *text) != c.texts.end();
}

class staged_decoder final : public decoder {
public:
  explicit staged_decoder(decoder_options options) : options_(std::move(options)) {}

  result<void> make(const decoder_maker& values, const std::string& format, std::vector<target_column> targets);
  void decode(std::span<const record_view> records, const header_source& headers, chunk& out) override;
  void wanted_schemas(std::span<const record_view> records, std::vector<std::uint32_t>& out) const override;
  std::vector<new_field> take_new_fields() override { return values_->take_new_fields(); }

private:
  enum class fate : std::uint8_t { ours, dropped, bad };

  result<void> make_probe(const decoder_maker& values, const std::string& format,
                          const std::vector<target_column>& targets, const decoder_options& options);
  result<void> make_keys(std::vector<target_column> targets, decoder_options options);

  bool headers_hold(const record_view& r, const header_source& headers);
  void ask_fields(std::span<const record_view> records, const header_source& headers, partition_id partition);
  void read_keys(std::span<const record_view> records, const header_source& headers, partition_id partition);
  void decode_keys(const std::vector<record_view>& views, const header_source& headers, chunk& out);
  void merge(std::span<const record_view> records, const header_source& headers, chunk& out);
  void take_rows(block& out);
  void note_bad(std::size_t record, chunk& from, std::size_t& dead, const char* of);

  decoder_options options_;
  std::unique_ptr<decoder> values_, probe_, keys_;
  std::vector<condition> by_header_, by_field_; // by_field_: one a column of the probe
  std::vector<target_column> key_targets_;

  // Of the records at work:
  std::vector<fate> fates_;
  std::vector<std::pair<std::size_t, std::string>> errors_; // of the bad ones
  std::vector<std::size_t> places_;                         // of what a stage looks at, among the records
  std::vector<record_view> views_;
  std::vector<header_view> found_;
  chunk values_read_, keys_read_;
};

chunk empty_chunk(partition_id partition) {
  chunk c;
  c.partition = partition;
  return c;
}

// -- making one -----------------------------------------------------------------------------------------------------

result<void> staged_decoder::make(const decoder_maker& values, const std::string& format,
                                  std::vector<target_column> targets) {
  if (!options_.schemas) options_.schemas = std::make_shared<schema_cache>(); // the stages share it
  for (const auto& c : options_.where) (c.on == subject::header ? by_header_ : by_field_).push_back(c);
  auto plain = options_;
  plain.where.clear();
  plain.key = {};
  const auto of_key = std::stable_partition(targets.begin(), targets.end(), [](auto& t) { return !is_key_field(t); });
  std::vector<target_column> key_targets(of_key, targets.end());
  targets.erase(of_key, targets.end());
  if (!by_field_.empty())
    if (auto r = make_probe(values, format, targets, plain); !r) return r;
  if (!key_targets.empty())
    if (auto r = make_keys(std::move(key_targets), plain); !r) return r;
  auto made = values(std::move(targets), plain);
  if (!made) return made.failure();
  values_ = std::move(*made);
  return {};
}

// Reads the fields of the conditions, and nothing else.
result<void> staged_decoder::make_probe(const decoder_maker& values, const std::string& format,
                                        const std::vector<target_column>& targets, const decoder_options& options) {
  auto o = options;
  o.on_bad_record = bad_record_policy::dead_letter; // its own word is not the last
  o.on_new_field = new_field_policy::ignore;
  if (o.envelope != envelope_kind::none) o.deletes = delete_policy::replacing; // one row an event
  if ((format == "csv" || format == "tsv") && o.csv.fields.empty())            // else they would be those of the probe
    for (const auto& t : targets)
      if (t.source.kind == from::field) o.csv.fields.push_back(t.source.text);
  std::vector<target_column> asked;
  for (const auto& c : by_field_)
    asked.push_back({{"where", *parse_type("Nullable(String)"), "", ""}, {from::field, c.name}, nullptr});
  auto made = values(std::move(asked), std::move(o));
  if (!made) return error{made.failure().component, "`where`: " + made.failure().cause, made.failure().way_out};
  probe_ = std::move(*made);
  return {};
}

result<void> staged_decoder::make_keys(std::vector<target_column> targets, decoder_options options) {
  for (auto& t : targets) t.source.kind = from::field;
  key_targets_ = targets;
  options.on_bad_record = bad_record_policy::dead_letter;
  options.deletes = delete_policy::reject;
  options.envelope = envelope_kind::none;
  options.on_new_field = new_field_policy::ignore;
  options.avro = options_.key.avro;
  options.protobuf = options_.key.protobuf;
  options.csv = {};
  auto made = make_decoder(options_.key.format, std::move(targets), std::move(options));
  if (!made) return error{made.failure().component, "`key`: " + made.failure().cause, made.failure().way_out};
  keys_ = std::move(*made);
  return {};
}

// -- records --------------------------------------------------------------------------------------------------------

// The key in the place of the value.
record_view key_of(const record_view& r) {
  auto out = r;
  out.value = r.key;
  out.key.reset();
  return out;
}

void staged_decoder::wanted_schemas(std::span<const record_view> records, std::vector<std::uint32_t>& out) const {
  values_->wanted_schemas(records, out);
  if (!keys_) return;
  std::vector<record_view> keys;
  for (const auto& r : records)
    if (r.key) keys.push_back(key_of(r));
  keys_->wanted_schemas(keys, out);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
}

void staged_decoder::decode(std::span<const record_view> records, const header_source& headers, chunk& out) {
  fates_.assign(records.size(), fate::ours);
  errors_.clear();
  if (!by_header_.empty())
    for (std::size_t i = 0; i < records.size(); ++i)
      if (!headers_hold(records[i], headers)) fates_[i] = fate::dropped;
  if (probe_) ask_fields(records, headers, out.partition);
  if (keys_) read_keys(records, headers, out.partition);
  views_.clear();
  places_.clear();
  for (std::size_t i = 0; i < records.size(); ++i)
    if (fates_[i] == fate::ours) views_.push_back(records[i]), places_.push_back(i);
  values_read_ = empty_chunk(out.partition);
  values_->decode(views_, headers, values_read_);
  // A key for each row, none for records that became no rows: what is decoded again gives the same.
  if (keys_ && (!values_read_.row_counts.empty() || values_read_.rows.rows != keys_read_.rows.rows)) {
    std::vector<record_view> rows;
    for (std::size_t k = 0; k < views_.size(); ++k)
      if (values_read_.outcomes[k] == outcome::row) rows.insert(rows.end(), values_read_.rows_of(k), views_[k]);
    keys_read_ = empty_chunk(out.partition);
    decode_keys(rows, headers, keys_read_);
  }
  merge(records, headers, out);
}

// As Kafka's lastHeader() has it.
bool staged_decoder::headers_hold(const record_view& r, const header_source& headers) {
  found_.clear();
  headers.headers(r, found_);
  return std::all_of(by_header_.begin(), by_header_.end(), [&](const condition& c) {
    const auto last = std::find_if(found_.rbegin(), found_.rend(), [&](auto& h) { return h.name == c.name; });
    return holds(c, last == found_.rend() ? std::nullopt : last->value);
  });
}

void staged_decoder::note_bad(std::size_t record, chunk& from, std::size_t& dead, const char* of) {
  fates_[record] = fate::bad;
  errors_.emplace_back(record, of + std::move(from.dead[dead++].error));
}

void staged_decoder::ask_fields(std::span<const record_view> records, const header_source& headers,
                                partition_id partition) {
  views_.clear();
  places_.clear();
  for (std::size_t i = 0; i < records.size(); ++i)
    if (fates_[i] == fate::ours && records[i].value) views_.push_back(records[i]), places_.push_back(i);
  auto answers = empty_chunk(partition);
  probe_->decode(views_, headers, answers);
  std::vector<row_cursor> columns(answers.rows.columns.begin(), answers.rows.columns.end());
  std::size_t dead = 0;
  for (std::size_t k = 0; k < views_.size(); ++k) {
    auto& what = fates_[places_[k]];
    if (answers.outcomes[k] == outcome::dropped) what = fate::dropped;
    else if (answers.outcomes[k] != outcome::row) note_bad(places_[k], answers, dead, "");
    else
      for (std::size_t c = 0; c < columns.size(); ++c) {
        const bool null = columns[c].next_null();
        const auto text = columns[c].child(0).next_text();
        if (!holds(by_field_[c], null ? std::nullopt : std::optional(text))) what = fate::dropped;
      }
  }
}

void staged_decoder::read_keys(std::span<const record_view> records, const header_source& headers,
                               partition_id partition) {
  views_.clear();
  places_.clear();
  for (std::size_t i = 0; i < records.size(); ++i)
    if (fates_[i] == fate::ours) views_.push_back(records[i]), places_.push_back(i);
  keys_read_ = empty_chunk(partition);
  decode_keys(views_, headers, keys_read_);
  std::size_t dead = 0;
  for (std::size_t k = 0; k < views_.size(); ++k)
    if (keys_read_.outcomes[k] != outcome::row) note_bad(places_[k], keys_read_, dead, "the key: ");
}

// A row for each key that can be read, and for each record without one.
void staged_decoder::decode_keys(const std::vector<record_view>& views, const header_source& headers, chunk& out) {
  prepare_block(key_targets_, out.rows);
  std::vector<record_view> keys;
  for (std::size_t k = 0; k < views.size();) {
    if (!views[k].key) {
      for (std::size_t c = 0; c < key_targets_.size(); ++c) append_missing(out.rows.columns[c], key_targets_[c]);
      ++out.rows.rows;
      append_row_outcome(views[k++], out);
      continue;
    }
    keys.clear();
    for (; k < views.size() && views[k].key; ++k) keys.push_back(key_of(views[k]));
    keys_->decode(keys, headers, out);
  }
}

void staged_decoder::merge(std::span<const record_view> records, const header_source& headers, chunk& out) {
  const auto more = [&](auto& list) { list.reserve(list.size() + records.size()); };
  if (out.offsets.empty()) more(out.offsets), more(out.outcomes), more(out.hashes), more(out.sizes);
  std::sort(errors_.begin(), errors_.end());
  std::size_t taken = 0, dead = 0, bad = 0;
  for (std::size_t i = 0; i < records.size(); ++i) switch (fates_[i]) {
    case fate::dropped: append_dropped(records[i], out); break;
    case fate::bad: append_bad_record(records[i], headers, options_, std::move(errors_[bad++].second), out); break;
    case fate::ours: {
      const auto k = taken++;
      out.offsets.push_back(values_read_.offsets[k]);
      out.outcomes.push_back(values_read_.outcomes[k]);
      out.hashes.push_back(values_read_.hashes[k]);
      out.sizes.push_back(values_read_.sizes[k]);
      const auto what = values_read_.outcomes[k];
      if (what == outcome::row) note_rows(out, values_read_.rows_of(k));
      if (what == outcome::dead_letter || what == outcome::stop)
        out.dead.push_back(std::move(values_read_.dead[dead++]));
    }
    }
  out.fields_ignored += values_read_.fields_ignored;
  take_rows(out.rows);
}

void staged_decoder::take_rows(block& out) {
  auto& rows = values_read_.rows;
  if (keys_)
    for (std::size_t c = 0; c < keys_read_.rows.columns.size(); ++c) {
      rows.names.push_back(std::move(keys_read_.rows.names[c]));
      rows.columns.push_back(std::move(keys_read_.rows.columns[c]));
    }
  if (out.names.empty()) {
    out = std::move(rows);
    return;
  }
  for (std::size_t c = 0; c < rows.columns.size(); ++c) append_rows(out.columns[c], rows.columns[c]);
  out.rows += rows.rows;
}

} // namespace

bool needs_stages(const std::vector<target_column>& targets, const decoder_options& options) {
  return !options.where.empty() || std::any_of(targets.begin(), targets.end(), is_key_field);
}

result<std::unique_ptr<decoder>> make_stages(const decoder_maker& values, const std::string& format,
                                             std::vector<target_column> targets, decoder_options options) {
  auto d = std::make_unique<staged_decoder>(std::move(options));
  if (auto r = d->make(values, format, std::move(targets)); !r) return r.failure();
  return std::unique_ptr<decoder>(std::move(d));
}

} // namespace chute
