#include "state/offset_note.hpp"

#include "core/mutant.hpp"
#include "core/record.hpp"
#include "state/compare.hpp"

#include <charconv>

namespace chute {

namespace {

constexpr std::string_view word = "note ";

// The text up to the next blank, or to the end.
std::string_view next_word(std::string_view& in) {
  auto out = in.substr(0, in.find(' '));
  in.remove_prefix(std::min(in.size(), out.size() + 1));
  return out;
}

bool number(std::string_view text, int base, std::uint64_t& out) {
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return code == std::errc() && end == text.data() + text.size();
}

// What escaped() wrote.
std::string plain(std::string_view name) {
  std::string out;
  for (; !name.empty(); name.remove_prefix(1)) {
    std::uint64_t byte = 0;
    const bool written = name.size() > 2 && name[0] == '%' && number(name.substr(1, 2), 16, byte);
    out += written ? static_cast<char>(byte) : name[0];
    if (written) name.remove_prefix(2);
  }
  return out;
}

} // namespace

std::string write_note(const offset_note& n) {
  char lineage[17];
  auto end = std::to_chars(lineage, lineage + 16, n.lineage, 16).ptr;
  return std::string(record_marker) + std::string(word) + escaped(n.store) + " " + std::string(lineage, end) + " " +
         std::to_string(n.version);
}

std::optional<offset_note> read_note(std::string_view metadata) {
  if (metadata.substr(0, record_marker.size()) != record_marker) return std::nullopt;
  metadata.remove_prefix(record_marker.size());
  if (metadata.substr(0, word.size()) != word) return std::nullopt;
  metadata.remove_prefix(word.size());
  offset_note n;
  n.store = plain(next_word(metadata));
  if (n.store.empty() || !number(next_word(metadata), 16, n.lineage) || !number(metadata, 10, n.version))
    return std::nullopt;
  return n;
}

std::optional<offset_note> seat_note(std::string_view metadata) {
  if (auto note = read_note(metadata)) return note;
  const auto r = decode_record(metadata);
  if (!r.ok()) return std::nullopt;
  return offset_note{"kafka", r->lineage, r->version};
}

bool moved_by_another_tool(std::string_view metadata, bool seat) {
  if (!seat && mutant(bug::offset_beside_seat_ignored)) return false;
  return !metadata.starts_with(record_marker);
}

} // namespace chute
