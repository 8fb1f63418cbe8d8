#include "formats/checked_decoder.hpp"

#include "formats/columns.hpp"

#include <algorithm>
#include <stdexcept>

namespace chute {
namespace {

// How much a chunk held before, as a decoder appends.
struct filled {
  explicit filled(const chunk& c) : records(c.offsets.size()), dead(c.dead.size()), rows(c.rows.rows) {}
  std::size_t records, dead, rows;
};

std::string counted(std::size_t n, const char* what, std::size_t of) {
  return std::to_string(n) + " " + what + " for " + std::to_string(of) + " records";
}

// Nothing, if each record has its entry.
std::string list_fault(std::span<const record_view> records, const chunk& c, const filled& before) {
  const auto n = records.size();
  const std::pair<const char*, std::size_t> lists[] = {{"offsets", c.offsets.size()},
                                                       {"outcomes", c.outcomes.size()},
                                                       {"hashes", c.hashes.size()},
                                                       {"sizes", c.sizes.size()}};
  for (const auto& [what, size] : lists)
    if (size != before.records + n)
      return counted(size - std::min(size, before.records), what, n) +
             "; each takes one of append_row_outcome(), append_dropped() and append_bad_record()";
  for (std::size_t i = 0; i < n; ++i)
    if (c.offsets[before.records + i] != records[i].offset.value)
      return "offset " + std::to_string(c.offsets[before.records + i]) + " in the place of " +
             std::to_string(records[i].offset.value);
  if (c.row_counts.size() > c.outcomes.size()) return counted(c.row_counts.size(), "row_counts", c.outcomes.size());
  return {};
}

// Nothing, if rows and dead letters are as many as the outcomes say.
std::string count_fault(const chunk& c, const filled& before) {
  std::size_t rows = 0, dead = before.dead;
  for (std::size_t k = before.records; k < c.outcomes.size(); ++k) {
    const auto what = c.outcomes[k];
    if ((c.rows_of(k) > 0) != (what == outcome::row))
      return std::to_string(c.rows_of(k)) + " rows of offset " + std::to_string(c.offsets[k]) +
             ", whose outcome says otherwise";
    rows += c.rows_of(k);
    if (what != outcome::dead_letter && what != outcome::stop) continue;
    if (dead == c.dead.size() || c.dead[dead].offset.value != c.offsets[k])
      return "no dead letter of offset " + std::to_string(c.offsets[k]) + ", whose outcome says that it is one";
    ++dead;
  }
  if (dead != c.dead.size()) return std::to_string(c.dead.size() - dead) + " dead letters of which no outcome tells";
  if (c.rows.rows != before.rows + rows)
    return std::to_string(c.rows.rows - std::min(c.rows.rows, before.rows)) + " rows where the outcomes say " +
           std::to_string(rows);
  return {};
}

std::string column_fault(const chunk& c, std::size_t columns) {
  if (c.rows.columns.size() != columns || c.rows.names.size() != columns)
    return std::to_string(c.rows.columns.size()) + " columns in the place of " + std::to_string(columns);
  for (std::size_t i = 0; i < columns; ++i)
    if (c.rows.columns[i].rows != c.rows.rows)
      return std::to_string(c.rows.columns[i].rows) + " values in the column " + c.rows.names[i] + " of " +
             std::to_string(c.rows.rows) + " rows";
  return {};
}

// What it throws, in words.
template <class F> std::string thrown_by(F&& f) {
  try {
    f();
    return {};
  } catch (const std::exception& e) {
    return std::string("threw: ") + e.what();
  } catch (...) {
    return "threw something that is no std::exception";
  }
}

class checked_decoder final : public decoder {
public:
  checked_decoder(std::string format, std::unique_ptr<decoder> inner, std::vector<target_column> targets)
      : format_(std::move(format)), inner_(std::move(inner)), targets_(std::move(targets)) {}

  void decode(std::span<const record_view> records, const header_source& headers, chunk& out) override {
    const filled before(out);
    refuse(thrown_by([&] { inner_->decode(records, headers, out); }));
    prepare_block(targets_, out.rows); // where no record was worth one
    auto fault = list_fault(records, out, before);
    if (fault.empty()) fault = count_fault(out, before);
    if (fault.empty()) fault = column_fault(out, targets_.size());
    if (!fault.empty()) refuse("gave " + fault);
  }
  void wanted_schemas(std::span<const record_view> records, std::vector<std::uint32_t>& out) const override {
    refuse(thrown_by([&] { inner_->wanted_schemas(records, out); }));
  }
  std::vector<new_field> take_new_fields() override {
    std::vector<new_field> out;
    refuse(thrown_by([&] { out = inner_->take_new_fields(); }));
    return out;
  }

private:
  void refuse(const std::string& what) const {
    if (!what.empty()) throw std::runtime_error("format " + format_ + ": the decoder " + what);
  }

  std::string format_;
  std::unique_ptr<decoder> inner_;
  std::vector<target_column> targets_;
};

} // namespace

decoder_maker checked_maker(const std::string& format, const decoder_maker& values) {
  return [=](std::vector<target_column> targets, decoder_options options) -> result<std::unique_ptr<decoder>> {
    const auto wrong = [&](const std::string& what) {
      return error{"format " + format, "the decoder cannot be made: `make` " + what, "mend the host's decoder_kind"};
    };
    auto made = result<std::unique_ptr<decoder>>(std::unique_ptr<decoder>());
    if (const auto why = thrown_by([&] { made = values(targets, std::move(options)); }); !why.empty())
      return wrong(why);
    if (!made) return made.failure();
    if (!*made) return wrong("returned none");
    return std::unique_ptr<decoder>(std::make_unique<checked_decoder>(format, *std::move(made), std::move(targets)));
  };
}

} // namespace chute
