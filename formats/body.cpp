// What the encoders share: the chunks of a batch, checked before any of them is written.
#include "formats/encoder.hpp"
#include "formats/row_encoding.hpp"

namespace chute {
namespace {

error unequal(const std::string& what) {
  return error{"encoder", "the chunks of a batch differ in " + what, "this is a defect of chute: please report it"};
}

result<void> check(std::span<const chunk_rows> batch) {
  const auto& first = batch.front().from->rows;
  for (const auto& b : batch) {
    const auto& rows = b.from->rows;
    if (b.first_row + b.rows > rows.rows) return unequal("what they hold and what is taken from them");
    if (rows.names != first.names) return unequal("their columns");
    for (std::size_t i = 0; i < rows.columns.size(); ++i) {
      if (rows.columns[i].type->text != first.columns[i].type->text) return unequal("the type of " + rows.names[i]);
      if (rows.columns[i].rows != rows.rows) return unequal("the number of rows in " + rows.names[i]);
    }
  }
  return {};
}

} // namespace

std::size_t body::byte_size() const {
  std::size_t n = 0;
  for (const auto& p : pieces) n += p.size();
  return n;
}

std::vector<std::pair<std::string, std::string>> json_text_settings() {
  return {{"date_time_input_format", "best_effort"}, {"input_format_json_read_bools_as_numbers", "0"}};
}

result<body> begin_body(std::span<const chunk_rows> batch, std::vector<chunk_rows>& filled) {
  for (const auto& b : batch)
    if (b.rows) filled.push_back(b);
  if (filled.empty()) return error{"encoder", "a batch without rows has no block", ""};
  if (auto ok = check(filled); !ok) return ok.failure();
  body out;
  out.columns = filled.front().from->rows.names;
  for (const auto& b : filled) {
    out.rows += b.rows;
    out.keep.push_back(b.from);
  }
  return out;
}

} // namespace chute
