#include "pairs.hpp"

#include <chute/formats/block_maker.hpp>
#include <chute/formats/columns.hpp>
#include <chute/formats/meta.hpp>
#include <chute/formats/text_value.hpp>

#include <optional>

namespace {

using namespace chute;

// What follows "name=", up to the next ';'.
std::optional<std::string_view> find_pair(std::string_view record, std::string_view name) {
  while (!record.empty()) {
    const auto end = std::min(record.find(';'), record.size());
    const auto pair = record.substr(0, end);
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
      return pair.substr(name.size() + 1);
    record.remove_prefix(std::min(end + 1, record.size()));
  }
  return {};
}

class pairs final : public decoder {
public:
  static result<std::unique_ptr<decoder>> make(std::vector<target_column> targets, decoder_options options) {
    auto out = std::make_unique<pairs>();
    for (const auto& t : targets) {
      source s;
      if (t.source.kind == column_source::from::field) {
        auto text = text_value::make(wire_type(t.column), options.timezone);
        if (!text) return error{"pairs", "column " + t.column.name + " takes no plain value", "leave it out"};
        s.text = *text;
      } else { // _topic, _partition, _offset, headers, constants: what every format has
        auto meta = meta_filler::make(t, options);
        if (!meta) return meta.failure();
        s.meta = *std::move(meta);
      }
      out->sources_.push_back(std::move(s));
    }
    out->targets_ = std::move(targets);
    out->options_ = std::move(options);
    return std::unique_ptr<decoder>(std::move(out));
  }

  void decode(std::span<const record_view> records, const header_source& headers, chunk& out) override {
    blocks_.begin(targets_, records, out); // columns, with room for what the records before needed
    for (const auto& r : records) decode_one(r, headers, out);
    blocks_.end(out);
  }

private:
  struct source { // one of them
    std::optional<text_value> text;
    std::optional<meta_filler> meta;
  };

  void decode_one(const record_view& r, const header_source& headers, chunk& out) {
    if (!r.value) return append_bad_record(r, headers, options_, "the record has no value", out);
    found_.clear();
    headers.headers(r, found_);
    for (auto& c : out.rows.columns) c.mark();
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      const value_error e = append(i, r, out);
      if (e == value_error::none) continue;
      for (auto& c : out.rows.columns) c.rollback(); // the record leaves nothing behind
      return append_bad_record(r, headers, options_, "field '" + targets_[i].column.name + "' " + describe(e), out);
    }
    ++out.rows.rows;
    append_row_outcome(r, out);
  }

  value_error append(std::size_t i, const record_view& r, chunk& out) {
    auto& c = out.rows.columns[i];
    if (sources_[i].meta) return sources_[i].meta->append(r, out.partition, found_, c);
    if (const auto text = find_pair(*r.value, targets_[i].source.text)) return sources_[i].text->append(*text, c);
    append_missing(c, targets_[i]); // the column's DEFAULT
    return value_error::none;
  }

  std::vector<target_column> targets_;
  block_maker blocks_;
  std::vector<source> sources_; // one a target
  decoder_options options_;
  std::vector<header_view> found_; // scratch
};

} // namespace

chute::decoder_kind pairs_decoder() { return {1, pairs::make}; }
