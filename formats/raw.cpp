#include "formats/raw.hpp"

#include "formats/block_maker.hpp"
#include "formats/meta.hpp"

namespace chute {
namespace {

class raw_decoder final : public decoder {
public:
  raw_decoder(std::vector<target_column> targets, decoder_options options)
      : targets_(std::move(targets)), options_(std::move(options)) {}

  result<void> prepare() {
    for (const auto& t : targets_) {
      if (t.source.kind == column_source::from::field) {
        auto text = text_value::make(wire_type(t.column), options_.timezone);
        if (!text)
          return error{"formats",
                       "a raw value does not go into column '" + t.column.name + "' of type " + t.column.type->text,
                       "use String, or another type of one plain value"};
        value_ = fillers_.size();
        text_ = *text;
        fillers_.emplace_back();
        continue;
      }
      auto filler = meta_filler::make(t, options_);
      if (!filler) return filler.failure();
      needs_headers_ = needs_headers_ || filler->needs_headers();
      fillers_.push_back(*std::move(filler));
    }
    if (!text_) return error{"formats", "no column takes the value", "name it in `columns:` with {field: value}"};
    return {};
  }

  void decode(std::span<const record_view> records, const header_source& headers, chunk& out) override {
    blocks_.begin(targets_, records, out);
    for (const auto& r : records) decode_one(r, headers, out);
    blocks_.end(out);
  }

private:
  void decode_one(const record_view& r, const header_source& headers, chunk& out) {
    if (r.value && r.value->size() > options_.record_bytes_max)
      return append_bad_record(r, headers, options_,
                               "the value has more than " + std::to_string(options_.record_bytes_max) + " bytes", out);
    found_.clear();
    if (needs_headers_) headers.headers(r, found_);
    for (auto& c : out.rows.columns) c.mark();
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      const auto e = append(i, r, out);
      if (e == value_error::none) continue;
      for (auto& c : out.rows.columns) c.rollback();
      return append_bad_record(r, headers, options_, subject(i) + " " + describe(e), out);
    }
    ++out.rows.rows;
    append_row_outcome(r, out);
  }

  value_error append(std::size_t i, const record_view& r, chunk& out) {
    auto& c = out.rows.columns[i];
    const bool removes = !r.value && options_.deletes == delete_policy::replacing;
    if (i != value_)
      return fillers_[i]->append(r, out.partition, found_, c, removes ? row_change::removal : row_change::state);
    if (r.value) return text_->append(*r.value, c);
    append_missing(c, targets_[i]);
    return value_error::none;
  }

  std::string subject(std::size_t i) const {
    if (i != value_) return fillers_[i]->subject();
    return "the value for column '" + targets_[i].column.name + "' (" + targets_[i].column.type->text + ")";
  }

  std::vector<target_column> targets_;
  block_maker blocks_;
  decoder_options options_;
  std::vector<std::optional<meta_filler>> fillers_; // one a target; none for the value
  std::optional<text_value> text_;
  std::size_t value_ = 0;
  bool needs_headers_ = false;
  std::vector<header_view> found_; // scratch
};

} // namespace

result<std::unique_ptr<decoder>> make_raw_decoder(std::vector<target_column> targets, decoder_options options) {
  auto d = std::make_unique<raw_decoder>(std::move(targets), std::move(options));
  if (auto ok = d->prepare(); !ok) return ok.failure();
  return std::unique_ptr<decoder>(std::move(d));
}

} // namespace chute
