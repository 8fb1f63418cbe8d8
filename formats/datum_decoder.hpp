// What decoders share whose records are trees of datums: from the root record to the columns, by the names of fields.
#pragma once

#include "formats/datum_writer.hpp"
#include "formats/row_decoder.hpp"

#include <string>
#include <vector>

namespace chute {

class datum_decoder : public row_decoder {
public:
  std::vector<new_field> take_new_fields() final { return new_fields_.take(options_.json_type); }

protected:
  using row_decoder::row_decoder;

  // To be called first. `format` names the decoder in errors.
  result<void> make_writers(const std::string& format);
  // Fills the columns from a record or map; of a change event, from the row in it.
  reading fill_from(const datum& root, std::string& why);
  // Only these fields. False: `why` says what is wrong.
  bool fill_from(const datum& root, const std::vector<std::uint32_t>& fields, std::string& why);
  static reading bad(std::string& why, std::string text) {
    why = std::move(text);
    return reading::bad;
  }
  // Whether a column takes the root's field of this name, or something in it; or the event needs it.
  bool wants(std::string_view name) const;
  // A record is an event that holds a row.
  bool enveloped() const { return options_.envelope == envelope_kind::debezium; }

  datum_arena arena_; // of the record at work

private:
  struct wanted {
    datum_writer writer;
    std::string name; // the whole path
    std::vector<std::string> path;
    bool of_event = false; // it leads from the event, not from the row in it
    bool array = false;    // the column takes one element from each record of a list on its path
  };

  reading fill_event(const datum& event, std::string& why);
  bool wants_of_row(std::string_view name) const;
  reading look_for_new_fields(const datum& row, std::string& why);
  bool fill_field(std::size_t i, const datum& root, std::string& why);
  const datum* walk(const wanted& w, std::size_t step, const datum* at, std::string& why);
  const datum* spread(const wanted& w, std::size_t step, const datum& list, std::string& why);

  std::vector<wanted> wanted_; // one a field
  new_field_notes new_fields_;
};

} // namespace chute
