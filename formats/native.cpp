// One Native block: number of columns and of rows, then for each column its name, its type, the state that precedes the
// data of some types, and the data. Source: ClickHouse's documentation of the format; the states of Variant, Dynamic,
// LowCardinality and JSON as bytes that the engine wrote itself (26.7), read back in test/native/.
#include "core/mutant.hpp"
#include "formats/body_writer.hpp"
#include "formats/row_encoding.hpp"

#include <algorithm>
#include <array>

namespace chute {
namespace {

constexpr unsigned char null_alternative = 255;
constexpr std::uint64_t json_as_text = 1;               // version of JSON's serialization
constexpr std::uint64_t dynamic_by_types = 1;           // version of Dynamic's: a list of types, then as Variant
constexpr std::uint64_t variant_basic = 0;              // mode of Variant's discriminators: one byte a row
constexpr std::uint64_t dictionary_version = 1;         // of LowCardinality: keys come with the data
constexpr std::uint64_t dictionary_flags = 0x602;       // keys added, dictionary made anew, indexes of UInt32
constexpr const char* shared_variant = "SharedVariant"; // the alternative that every Dynamic has, for its rarer types

// Rows of one chunk's column.
struct part {
  const column* from;
  std::size_t first, rows;
  bool whole() const { return first == 0 && rows == from->rows; }
};

// A column of the batch: the parts of its chunks, and the same for its children.
struct node {
  const column* shape = nullptr; // of the first chunk: form and type
  std::vector<part> parts;       // none is empty
  std::size_t rows = 0;
  std::vector<node> children;
  std::vector<std::size_t> used; // Dynamic: the children that have rows, in the order of their types' names
};

std::uint64_t offset_before(const column& c, std::size_t row) {
  if (row == 0) return 0;
  std::uint64_t v;
  std::memcpy(&v, c.data.data() + (row - 1) * sizeof v, sizeof v);
  return v;
}

void add(node& n, const part& p) {
  n.rows += p.rows;
  if (p.rows) n.parts.push_back(p);
}

// --- cutting
// -----------------------------------------------------------------------------------------------------------

// How many rows of each alternative the first `rows` rows hold.
std::array<std::size_t, 256> count_alternatives(const column& c, std::size_t rows) {
  std::array<std::size_t, 256> n{};
  for (std::size_t i = 0; i < rows; ++i) ++n[static_cast<unsigned char>(c.data.data()[i])];
  return n;
}

void add_alternatives(node& n, const part& p) {
  const auto& c = *p.from;
  if (p.whole()) {
    for (std::size_t i = 0; i < n.children.size(); ++i) add(n.children[i], {&c.children[i], 0, c.children[i].rows});
    return;
  }
  const auto begin = count_alternatives(c, p.first), end = count_alternatives(c, p.first + p.rows);
  for (std::size_t i = 0; i < n.children.size(); ++i) add(n.children[i], {&c.children[i], begin[i], end[i] - begin[i]});
}

void add_children(node& n, const part& p) {
  const auto& c = *p.from;
  switch (c.form) {
  case layout::fixed:
  case layout::text: break;
  case layout::tuple:
  case layout::nullable:
    for (std::size_t i = 0; i < n.children.size(); ++i) add(n.children[i], {&c.children[i], p.first, p.rows});
    break;
  case layout::array: {
    const auto begin = offset_before(c, p.first), end = offset_before(c, p.first + p.rows);
    add(n.children[0], {&c.children[0], begin, end - begin});
    break;
  }
  case layout::variant: add_alternatives(n, p); break;
  }
}

void find_used(node& n) {
  for (std::size_t i = 0; i < n.children.size(); ++i)
    if (n.children[i].rows) n.used.push_back(i);
  std::sort(n.used.begin(), n.used.end(), [&](std::size_t a, std::size_t b) {
    return n.children[a].shape->type->text < n.children[b].shape->type->text;
  });
}

// Fills the children of a node whose parts are known.
void descend(node& n) {
  n.children.resize(n.shape->children.size());
  for (std::size_t i = 0; i < n.children.size(); ++i) n.children[i].shape = &n.shape->children[i];
  for (const auto& p : n.parts) add_children(n, p);
  for (auto& child : n.children) descend(child);
  if (n.shape->type->kind == type_kind::dynamic) find_used(n);
}

// --- types on the wire
// -------------------------------------------------------------------------------------------------

bool has_null(const node& n) {
  return std::any_of(n.parts.begin(), n.parts.end(), [](const part& p) {
    return !p.from->data.empty() && std::memchr(p.from->data.data() + p.first, 1, p.rows);
  });
}

// Map cannot be in Nullable, but the server converts a tuple of two arrays to it.
bool nullable_map(const node& n) {
  return n.shape->form == layout::nullable && n.shape->type->args[0]->kind == type_kind::map;
}

std::string wire_text(const node& n) {
  if (!nullable_map(n)) return n.shape->type->text;
  const auto& pair = n.shape->type->args[0]->args;
  return "Nullable(Tuple(Array(" + pair[0]->text + "), Array(" + pair[1]->text + ")))";
}

// --- state before the data
// ---------------------------------------------------------------------------------------------

void write_state(const node& n, body_writer& out) {
  switch (n.shape->type->kind) {
  case type_kind::json: out.uint64(json_as_text); return;
  case type_kind::low_cardinality: out.uint64(dictionary_version); return;
  case type_kind::dynamic:
    out.uint64(dynamic_by_types);
    out.varint(0); // a limit that is read no more
    out.varint(n.used.size());
    for (auto i : n.used) out.text(n.children[i].shape->type->text);
    out.uint64(variant_basic);
    for (auto i : n.used) write_state(n.children[i], out);
    return;
  default: break;
  }
  if (n.shape->form == layout::variant) out.uint64(variant_basic);
  for (const auto& child : n.children) write_state(child, out);
}

// --- data
// --------------------------------------------------------------------------------------------------------------

const char* skip_texts(const char* at, std::size_t rows) {
  while (rows--) {
    std::uint64_t size = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at++);
      size |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) break;
    }
    at += size;
  }
  return at;
}

void write_text(const part& p, body_writer& out) {
  const auto& data = p.from->data;
  const char* begin = skip_texts(data.data(), p.first);
  const char* end = p.first + p.rows == p.from->rows ? data.data() + data.size() : skip_texts(begin, p.rows);
  out.view(begin, static_cast<std::size_t>(end - begin));
}

void write_offsets(const node& n, body_writer& out) {
  std::uint64_t before = 0; // elements of the parts that are written
  for (const auto& p : n.parts) {
    const char* from = p.from->data.data() + p.first * sizeof(std::uint64_t);
    const auto begin = offset_before(*p.from, p.first), end = offset_before(*p.from, p.first + p.rows);
    if (begin == before) {
      out.view(from, p.rows * sizeof(std::uint64_t));
    } else {
      char* to = out.extend(p.rows * sizeof(std::uint64_t));
      const auto shift = before - begin; // modulo 2^64, as the sum below
      for (std::size_t i = 0; i < p.rows; ++i) {
        std::uint64_t v;
        std::memcpy(&v, from + i * sizeof v, sizeof v);
        v += shift;
        std::memcpy(to + i * sizeof v, &v, sizeof v);
      }
    }
    before += end - begin;
  }
}

void write_null_map(const node& n, body_writer& out) {
  for (const auto& p : n.parts) {
    if (p.from->data.empty()) std::memset(out.extend(p.rows), 0, p.rows);
    else out.view(p.from->data.data() + p.first, p.rows);
  }
}

void write_data(const node& n, body_writer& out);

// The server numbers the alternatives of a Dynamic by their names, its own one for rarer types among them.
void write_dynamic(const node& n, body_writer& out) {
  std::array<char, 256> number{};
  number[null_alternative] = static_cast<char>(null_alternative);
  for (std::size_t i = 0; i < n.used.size(); ++i) {
    const bool behind = n.children[n.used[i]].shape->type->text > shared_variant;
    number[n.used[i]] = static_cast<char>(i + (behind ? 1 : 0));
  }
  for (const auto& p : n.parts) {
    char* to = out.extend(p.rows);
    const char* from = p.from->data.data() + p.first;
    for (std::size_t i = 0; i < p.rows; ++i) to[i] = number[static_cast<unsigned char>(from[i])];
  }
  for (auto i : n.used) write_data(n.children[i], out);
}

// LowCardinality inside Variant cannot be sent as its values' type. Every row brings a key of its own; the server finds
// the equal ones. Of Nullable values, key 0 stands for null.
void write_dictionary(const node& n, body_writer& out) {
  if (n.rows == 0) return;
  const bool nullable = n.shape->form == layout::nullable;
  const node& values = nullable ? n.children[0] : n;
  column null_key;
  if (nullable) {
    null_key = make_column(values.shape->type);
    append_default(null_key);
  }
  out.uint64(dictionary_flags);
  out.uint64(n.rows + null_key.rows);
  out.copy(null_key.data.data(), null_key.data.size());
  for (const auto& p : values.parts) {
    if (values.shape->form == layout::text) write_text(p, out);
    else out.view(p.from->data.data() + p.first * p.from->width, p.rows * p.from->width);
  }
  out.uint64(n.rows);
  std::uint32_t key = static_cast<std::uint32_t>(null_key.rows);
  for (const auto& p : n.parts) {
    char* to = out.extend(p.rows * sizeof key);
    for (std::size_t i = 0; i < p.rows; ++i, ++key) {
      const bool null = nullable && !p.from->data.empty() && p.from->data.data()[p.first + i];
      const std::uint32_t index = null ? 0 : key;
      std::memcpy(to + i * sizeof index, &index, sizeof index);
    }
  }
}

void write_nullable_map(const node& n, body_writer& out) {
  write_null_map(n, out);
  const auto& map = n.children[0];
  for (const auto& field : map.children[0].children) {
    write_offsets(map, out);
    write_data(field, out);
  }
}

void write_data(const node& n, body_writer& out) {
  if (n.shape->type->kind == type_kind::low_cardinality) return write_dictionary(n, out);
  if (n.shape->type->kind == type_kind::dynamic) return write_dynamic(n, out);
  if (nullable_map(n)) return write_nullable_map(n, out);
  switch (n.shape->form) {
  case layout::fixed:
    for (const auto& p : n.parts) out.view(p.from->data.data() + p.first * p.from->width, p.rows * p.from->width);
    break;
  case layout::text:
    for (const auto& p : n.parts) write_text(p, out);
    break;
  case layout::array: write_offsets(n, out); break;
  case layout::tuple: // a tuple of nothing still takes a byte a row
    if (n.children.empty()) std::memset(out.extend(n.rows), '0', n.rows);
    break;
  case layout::nullable: write_null_map(n, out); break;
  case layout::variant:
    for (const auto& p : n.parts) out.view(p.from->data.data() + p.first, p.rows);
    break;
  }
  for (const auto& child : n.children) write_data(child, out);
}

// --- the block
// ---------------------------------------------------------------------------------------------------------

void write_column(const std::string& name, const node& whole, body_writer& out) {
  // Without nulls in the whole batch the server gets the plain type: less to send, less to convert.
  const bool plain = whole.shape->form == layout::nullable && !has_null(whole);
  const auto& n = plain ? whole.children[0] : whole;
  out.text(name);
  out.text(wire_text(n));
  write_state(n, out);
  write_data(n, out);
}

void write_block(std::span<const chunk_rows> filled, const std::vector<std::string>& columns, std::uint64_t rows,
                 body_writer& out) {
  out.varint(columns.size());
  out.varint(rows);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    node n;
    n.shape = &filled.front().from->rows.columns[i];
    for (const auto& b : filled) add(n, {&b.from->rows.columns[i], b.first_row, b.rows});
    descend(n);
    write_column(columns[i], n, out);
  }
}

} // namespace

result<body> encode_native(std::span<const chunk_rows> batch) {
  std::vector<chunk_rows> filled;
  auto begun = begin_body(batch, filled);
  if (!begun) return begun.failure();
  body out = *std::move(begun);
  out.format = "Native";
  out.settings = json_text_settings();
  body_writer writer(out);
  if (mutant(bug::two_blocks_an_insert))
    for (const auto& b : filled) write_block(std::span(&b, 1), out.columns, b.rows, writer);
  else write_block(filled, out.columns, out.rows, writer);
  writer.finish();
  return out;
}

} // namespace chute
