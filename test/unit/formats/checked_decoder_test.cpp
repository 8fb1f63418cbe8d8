// Decoders of a host that do something wrong.
#include "formats/block_maker.hpp"
#include "show.hpp"

#include <stdexcept>

using namespace chute;
using namespace chute::test;

namespace {

enum class flaw {
  none,
  forgets,      // says nothing of a record
  forgets_hash, // adds to one list only
  other_offset,
  row_unsaid,    // a row, but the outcome is dropped
  row_missing,   // the outcome is row, but there is none
  short_column,  // a value too few
  no_letter,     // the outcome is dead_letter, but there is none
  letter_unsaid, // a dead letter too many
  other_columns,
  throws,
  throws_int,
};

// Numbers, one digit each.
class digits final : public decoder {
public:
  digits(flaw f, std::vector<target_column> targets, decoder_options options)
      : flaw_(f), targets_(std::move(targets)), options_(std::move(options)) {}

  void decode(std::span<const record_view> records, const header_source& headers, chunk& out) override {
    blocks_.begin(targets_, records, out);
    for (std::size_t i = 0; i < records.size(); ++i) one(records[i], headers, i == 1 ? flaw_ : flaw::none, out);
    if (flaw_ == flaw::other_columns) out.rows.columns.pop_back(), out.rows.names.pop_back();
    blocks_.end(out);
  }

private:
  void one(const record_view& r, const header_source& headers, flaw f, chunk& out) {
    switch (f) {
    case flaw::throws: throw std::runtime_error("oops");
    case flaw::throws_int: throw 7;
    case flaw::forgets: return;
    case flaw::no_letter: append_bad_record(r, headers, options_, "bad", out); return out.dead.pop_back();
    case flaw::letter_unsaid:
      append_bad_record(r, headers, options_, "bad", out);
      out.outcomes.back() = outcome::dropped;
      return;
    case flaw::row_missing: return append_row_outcome(r, out);
    default: break;
    }
    if (f == flaw::none && r.value == "x") return append_bad_record(r, headers, options_, "no digit", out);
    if (f == flaw::none && r.value == "-") return append_dropped(r, out);
    for (auto& c : out.rows.columns)
      if (f != flaw::short_column) append_default(c);
    ++out.rows.rows;
    append_row_outcome(r, out);
    if (f == flaw::row_unsaid) out.outcomes.back() = outcome::dropped;
    if (f == flaw::other_offset) ++out.offsets.back();
    if (f == flaw::forgets_hash) out.hashes.pop_back();
  }

  flaw flaw_;
  std::vector<target_column> targets_;
  decoder_options options_;
  block_maker blocks_;
};

decoder_maker made_with(flaw f) {
  return [f](std::vector<target_column> t, decoder_options o) {
    return result<std::unique_ptr<decoder>>(std::make_unique<digits>(f, std::move(t), std::move(o)));
  };
}

struct no_headers final : header_source {
  void headers(const record_view&, std::vector<header_view>& out) const override { out.clear(); }
};

// What decode() throws, twice into one chunk; empty: nothing.
std::string decode(flaw f, const std::vector<std::string>& values, const decoder_options& options = {}) {
  auto d = make_decoder("digits", made_with(f), {field("a", "UInt8"), field("b", "UInt8")}, options);
  REQUIRE(d.ok());
  chunk out;
  std::int64_t offset = 10;
  try {
    for (int time = 0; time < 2; ++time) {
      std::vector<record_view> records;
      for (const auto& v : values) records.push_back({{offset += 3}, -1, {}, std::string_view(v), nullptr});
      (*d)->decode(records, no_headers(), out);
    }
  } catch (const std::exception& e) {
    return e.what();
  }
  CHECK(out.offsets.size() == 2 * values.size());
  return "";
}

} // namespace

TEST_CASE("a decoder of the host that accounts for every record is left alone") {
  CHECK(decode(flaw::none, {"1", "x", "-", "2"}) == "");
  CHECK(decode(flaw::none, {"x"}) == "");
  CHECK(decode(flaw::none, {}) == "");
  decoder_options some;
  some.where = {{condition::subject::header, "h", false, {}}};
  CHECK(decode(flaw::none, {"1", "x", "-", "2"}, some) == "");
}

TEST_CASE("a decoder of the host that forgets something is told by its format's name") {
  const std::pair<flaw, const char*> rows[] = {
      {flaw::forgets, "2 offsets for 3 records"},
      {flaw::forgets_hash, "2 hashes for 3 records"},
      {flaw::other_offset, "offset 17 in the place of 16"},
      {flaw::row_unsaid, "3 rows where the outcomes say 2"},
      {flaw::row_missing, "2 rows where the outcomes say 3"},
      {flaw::short_column, "2 values in the column a of 3 rows"},
      {flaw::no_letter, "no dead letter of offset 16"},
      {flaw::letter_unsaid, "1 dead letters of which no outcome tells"},
      {flaw::other_columns, "1 columns in the place of 2"},
      {flaw::throws, "threw: oops"},
      {flaw::throws_int, "threw something"},
  };
  for (const auto& [f, says] : rows)
    for (const bool staged : {false, true}) {
      decoder_options o;
      if (staged) o.where = {{condition::subject::header, "h", false, {}}};
      const auto said = decode(f, {"1", "2", "3"}, o);
      CHECK_MESSAGE(said.find("format digits: the decoder ") == 0, said);
      CHECK_MESSAGE(said.find(says) != std::string::npos, said);
    }
}

TEST_CASE("a host's function that makes no decoder is an error") {
  const auto none = [](auto&&...) { return result<std::unique_ptr<decoder>>(std::unique_ptr<decoder>()); };
  const auto throws = [](auto&&...) -> result<std::unique_ptr<decoder>> { throw std::runtime_error("no model"); };
  const auto a = make_decoder("digits", decoder_maker(none), {field("a", "UInt8")}, {});
  REQUIRE_FALSE(a.ok());
  CHECK(a.failure().text().find("format digits: the decoder cannot be made: `make` returned none") == 0);
  const auto b = make_decoder("digits", decoder_maker(throws), {field("a", "UInt8")}, {});
  REQUIRE_FALSE(b.ok());
  CHECK(b.failure().text().find("no model") != std::string::npos);
}
