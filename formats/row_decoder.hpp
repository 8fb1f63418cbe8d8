// What decoders of formats with named fields share: the walk over records, provenance, columns without a value, Nested
// columns of equal length, bad records.
#pragma once

#include "formats/block_maker.hpp"
#include "formats/change_event.hpp"
#include "formats/columns.hpp"
#include "formats/meta.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace chute {

class row_decoder : public decoder {
public:
  void decode(std::span<const record_view> records, const header_source& headers, chunk& out) final;

protected:
  enum class reading : std::uint8_t { row, bad, drop };

  // A column that a field fills.
  struct field_slot {
    std::uint32_t target = 0; // its place among the targets, and in the block
    bool filled = false;      // by the record at work
    bool grouped = false;     // one of the columns n.a, n.b, … of a Nested structure
  };

  row_decoder(std::vector<target_column> targets, decoder_options options)
      : targets_(std::move(targets)), options_(std::move(options)) {}

  // Sorts the targets: fields_ and what the base fills itself. To be called first.
  result<void> prepare();

  // Appends a value to the columns of some fields, marking each as filled; the base completes the others. `why` is set
  // for a bad record. Columns may be left half written then.
  virtual reading read(const record_view& r, std::string& why) = 0;
  // What a record without a value becomes.
  reading tombstone(std::string& why);
  // Completes a row of a record that makes another one after it.
  bool end_row(row_change what, std::string& why);

  const target_column& target_of(const field_slot& f) const { return targets_[f.target]; }
  column& column_of(const field_slot& f) { return block_->columns[f.target]; }
  // An explicit null: as if the field were missing, where it is an array of a Nested structure.
  void fill_null(field_slot& f);
  // Takes back what the record at work has put into columns, to read it in another way.
  void take_back();
  // "field 'meta.ts' for column 'ts' (DateTime) "
  std::string subject(const field_slot& f) const;

  std::vector<target_column> targets_;
  decoder_options options_;
  std::vector<field_slot> fields_;
  std::uint64_t ignored_ = 0;             // fields without a column, of the chunk at work
  std::uint64_t ignored_before_ = 0;      // the record at work
  row_change change_ = row_change::state; // of the last row of the record at work

private:
  struct meta_slot {
    std::uint32_t target;
    meta_filler filler;
  };

  void make_groups();
  reading read_one(const record_view& r, std::string& why);
  bool complete(std::string& why);
  bool complete_group(const std::vector<std::uint32_t>& group, std::string& why);
  bool append_meta(row_change what, std::string& why);

  std::vector<meta_slot> metas_;
  std::vector<std::vector<std::uint32_t>> groups_; // of fields_, by the first part of their names
  bool needs_headers_ = false;
  block_maker blocks_;
  block* block_ = nullptr; // of the chunk at work
  const record_view* record_ = nullptr;
  partition_id partition_;
  std::vector<header_view> found_; // of the record at work
};

} // namespace chute
