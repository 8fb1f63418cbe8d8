#include "formats/decoder.hpp"

#include "formats/avro.hpp"
#include "formats/checked_decoder.hpp"
#include "formats/connect_json.hpp"
#include "formats/csv.hpp"
#include "formats/json.hpp"
#include "formats/passthrough.hpp"
#include "formats/protobuf.hpp"
#include "formats/raw.hpp"
#include "formats/stages.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace chute {
namespace {

using from = column_source::from;

constexpr std::array<std::string_view, 6> meta_names = {"topic", "partition", "offset", "timestamp", "key", "headers"};

bool is_meta(std::string_view name) {
  return std::find(meta_names.begin(), meta_names.end(), name) != meta_names.end();
}

// Raised when a decoder makes another row of the same record than it did before.
int version_of(const std::string& format) {
  constexpr std::array<std::pair<std::string_view, int>, 8> versions = {{{"json", 4},
                                                                         {"raw", 1},
                                                                         {"csv", 4},
                                                                         {"tsv", 5},
                                                                         {"connect_json", 3},
                                                                         {"avro", 4},
                                                                         {"protobuf", 3},
                                                                         {"passthrough", 1}}};
  const auto it = std::find_if(versions.begin(), versions.end(), [&](const auto& v) { return v.first == format; });
  return it == versions.end() ? 0 : it->second;
}

// --- the nearest name ----------------------------------------------------------------------------------------------

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const auto above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string nearest(const std::string& name, const std::vector<table_column>& table) {
  constexpr std::size_t compared_max = 256; // bytes of a name: the distance costs their square
  const table_column* best = nullptr;
  std::size_t least = name.size() / 2 + 2;
  for (const auto& c : table) {
    if (c.name.size() > compared_max || name.size() > compared_max) continue;
    const auto d = edit_distance(name, c.name);
    if (d < least) {
      least = d;
      best = &c;
    }
  }
  return best ? ", the nearest is '" + best->name + "'" : "";
}

// --- mapping -------------------------------------------------------------------------------------------------------

bool computed(const table_column& c) { return c.default_kind == "MATERIALIZED" || c.default_kind == "ALIAS"; }

// What is wrong with an entry of `columns:`, or nothing.
std::string fault(const std::string& name, const column_source& source, const std::vector<table_column>& table) {
  const auto it = std::find_if(table.begin(), table.end(), [&](const auto& c) { return c.name == name; });
  if (it == table.end()) return "column '" + name + "' is not in the table" + nearest(name, table);
  if (computed(*it)) return "column '" + name + "' is " + it->default_kind + ", ClickHouse computes it";
  if (!insertable(*it->type))
    return "column '" + name + "' of type " + it->type->text + " cannot be filled from records";
  if (source.kind == from::meta && !is_meta(source.text))
    return "column '" + name + "': there is no meta '" + source.text +
           "', only topic, partition, offset, timestamp, key and headers";
  if (source.kind == from::header && source.text.empty()) return "column '" + name + "': the header has no name";
  return "";
}

// A column in which the table's engine reads what became of a row. Its sources are no names that a topology may write.
std::optional<column_source> change_source(const std::string& name, const pipeline_config& pipeline,
                                           const change_columns& changes) {
  if (pipeline.deletes == delete_policy::reject) return {};
  if (name == changes.deleted) return column_source{from::meta, "deleted"};
  if (name == changes.sign) return column_source{from::meta, "sign"};
  // The row that is taken back has the version that it had: a field of the row, never an offset.
  const bool given = pipeline.columns.contains(name) || pipeline.deletes == delete_policy::collapsing;
  if (name == changes.version && !given) return column_source{from::meta, "version"};
  return {};
}

column_source source_of(const table_column& c, const pipeline_config& pipeline, const change_columns& changes) {
  if (const auto source = change_source(c.name, pipeline, changes)) return *source;
  if (const auto it = pipeline.columns.find(c.name); it != pipeline.columns.end()) return it->second;
  if (c.name.starts_with('_') && is_meta(std::string_view(c.name).substr(1))) return {from::meta, c.name.substr(1)};
  return {from::field, c.name};
}

// --- raw: one column takes the value
// -----------------------------------------------------------------------------------

bool has_default(const target_column& t) { return !t.column.default_kind.empty(); }

// The rules of raw.hpp, in order: candidates by each, until one names some.
std::vector<std::size_t> value_candidates(const std::vector<target_column>& targets, const pipeline_config& pipeline) {
  std::vector<std::size_t> explicitly, by_name, without_default, all;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const auto& t = targets[i];
    if (t.source.kind != from::field) continue;
    const bool written = pipeline.columns.contains(t.column.name);
    if (written && (t.source.text.empty() || t.source.text == "value")) explicitly.push_back(i);
    if (!written && t.column.name == "value") by_name.push_back(i);
    if (!written && !has_default(t)) without_default.push_back(i);
    if (!written) all.push_back(i);
  }
  for (auto* found : {&explicitly, &by_name, &without_default})
    if (!found->empty()) return *found;
  return all;
}

result<std::vector<target_column>> keep_value_column(std::vector<target_column> targets,
                                                     const pipeline_config& pipeline) {
  const auto component = "pipeline " + pipeline.name;
  for (const auto& t : targets)
    if (t.source.kind == from::field && pipeline.columns.contains(t.column.name) && !t.source.text.empty() &&
        t.source.text != "value")
      return error{component,
                   "column '" + t.column.name + "' wants the field '" + t.source.text +
                       "', but with the format raw a record has none but 'value'",
                   "map it from a header, a constant or meta, or choose another format"};
  const auto candidates = value_candidates(targets, pipeline);
  if (candidates.size() != 1) {
    std::string names;
    for (auto i : candidates) names += (names.empty() ? "" : ", ") + targets[i].column.name;
    return error{component,
                 candidates.empty() ? "no column of the table is left for the value"
                                    : "several columns could take the value: " + names,
                 "name the one under `columns:` with {field: value}"};
  }
  std::vector<target_column> kept;
  for (std::size_t i = 0; i < targets.size(); ++i)
    if (targets[i].source.kind != from::field || i == candidates[0]) kept.push_back(std::move(targets[i]));
  return kept;
}

// passthrough: which fields a record has is ClickHouse's business, and so are those that it has not.
void leave_defaults_to_server(std::vector<target_column>& targets) {
  for (auto& t : targets)
    if (t.source.kind == from::field) t.column.default_kind.clear(), t.column.default_expression.clear();
}

// --- fingerprint
// -------------------------------------------------------------------------------------------------------

class hasher {
public:
  void number(std::uint64_t v) { state_ = XXH3_64bits_withSeed(&v, sizeof v, state_); }
  void text(std::string_view s) {
    number(s.size());
    state_ = XXH3_64bits_withSeed(s.data(), s.size(), state_);
  }
  void content(const column& c) {
    number(c.rows);
    text({c.data.data(), c.data.size()});
    for (const auto& child : c.children) content(child);
  }
  std::uint64_t value() const { return state_; }

private:
  std::uint64_t state_ = 0;
};

result<std::unique_ptr<decoder>> make_value_decoder(const std::string& format, std::vector<target_column> targets,
                                                    decoder_options options) {
  if (format == "json") return make_json_decoder(std::move(targets), std::move(options));
  if (format == "raw") return make_raw_decoder(std::move(targets), std::move(options));
  if (format == "avro") return make_avro_decoder(std::move(targets), std::move(options));
  if (format == "protobuf") return make_protobuf_decoder(std::move(targets), std::move(options));
  if (format == "connect_json") return make_connect_json_decoder(std::move(targets), std::move(options));
  if (format == "csv" || format == "tsv") return make_csv_decoder(format, std::move(targets), std::move(options));
  if (format == "passthrough") return make_passthrough_decoder(std::move(targets), std::move(options));
  return error{"pipeline " + options.pipeline, "there is no format '" + format + "'",
               "use json, connect_json, avro, protobuf, csv, tsv, raw or passthrough"};
}

void add_csv(hasher& h, const csv_config& c) {
  h.number(static_cast<unsigned char>(c.delimiter));
  h.number(static_cast<std::uint64_t>(c.header));
  h.text(c.null_text);
  h.number(c.fields.size());
  for (const auto& name : c.fields) h.text(name);
}

void add_avro(hasher& h, const avro_config& c) {
  h.number(static_cast<std::uint64_t>(c.framing));
  h.text(c.reader_schema);
  h.number(c.schemas.size());
  for (const auto& text : c.schemas) h.text(text);
}

void add_protobuf(hasher& h, const protobuf_config& c) {
  h.number(static_cast<std::uint64_t>(c.framing));
  h.text(c.schema);
  h.text(c.message);
}

// Nothing where there is none, so that plans of before this existed stay what they are.
void add_where(hasher& h, const std::vector<condition>& where) {
  if (where.empty()) return;
  h.number(where.size());
  for (const auto& c : where) {
    h.number(static_cast<std::uint64_t>(c.on));
    h.text(c.name);
    h.number(c.present ? 1 : 0);
    h.number(c.texts.size());
    for (const auto& text : c.texts) h.text(text);
  }
}

void add_key(hasher& h, const key_config& c) {
  if (c.format.empty()) return;
  h.text(c.format);
  h.number(static_cast<std::uint64_t>(version_of(c.format)));
  if (c.format == "avro") add_avro(h, c.avro);
  if (c.format == "protobuf") add_protobuf(h, c.protobuf);
}

} // namespace

result<std::vector<target_column>> map_columns(const std::vector<table_column>& table, const pipeline_config& pipeline,
                                               const change_columns& changes) {
  std::string faults;
  for (const auto& [name, source] : pipeline.columns) {
    auto f = fault(name, source, table);
    if (f.empty() && change_source(name, pipeline, changes))
      f = "column '" + name + "' is filled by `deletes`: " + name + " says what became of a row";
    if (!f.empty()) faults += (faults.empty() ? "" : "\n") + f;
  }
  if (!faults.empty())
    return error{"pipeline " + pipeline.name, faults, "correct `columns:`, or the table " + pipeline.table};
  std::vector<target_column> targets;
  for (const auto& c : table)
    if (!computed(c) && insertable(*c.type)) targets.push_back({c, source_of(c, pipeline, changes), nullptr});
  if (pipeline.format == "raw") return keep_value_column(std::move(targets), pipeline);
  if (pipeline.format == "passthrough") leave_defaults_to_server(targets);
  if (targets.empty())
    return error{"pipeline " + pipeline.name, "the table " + pipeline.table + " has no column that records could fill",
                 "add one"};
  return targets;
}

std::map<std::string, column_source> sources_of(const std::vector<target_column>& targets) {
  std::map<std::string, column_source> out;
  for (const auto& t : targets) out.emplace(t.column.name, t.source);
  return out;
}

bool is_format(const std::string& name) { return version_of(name) != 0; }

namespace {

result<std::unique_ptr<decoder>> make_of(const decoder_maker& values, const std::string& format,
                                         std::vector<target_column> targets, decoder_options options) {
  if (needs_stages(targets, options)) return make_stages(values, format, std::move(targets), std::move(options));
  return values(std::move(targets), std::move(options));
}

} // namespace

result<std::unique_ptr<decoder>> make_decoder(const std::string& format, std::vector<target_column> targets,
                                              decoder_options options) {
  const auto values = [&format](std::vector<target_column> t, decoder_options o) {
    return make_value_decoder(format, std::move(t), std::move(o));
  };
  return make_of(values, format, std::move(targets), std::move(options));
}

result<std::unique_ptr<decoder>> make_decoder(const std::string& format, const decoder_maker& values,
                                              std::vector<target_column> targets, decoder_options options) {
  return make_of(checked_maker(format, values), format, std::move(targets), std::move(options));
}

decoder_options options_for(const pipeline_config& pipeline) {
  decoder_options o;
  o.pipeline = pipeline.name;
  o.on_bad_record = pipeline.on_bad_record;
  o.deletes = pipeline.deletes;
  o.envelope = pipeline.envelope;
  o.on_new_field = pipeline.on_new_field;
  o.csv = pipeline.csv;
  o.avro = pipeline.avro;
  o.protobuf = pipeline.protobuf;
  o.passthrough = pipeline.passthrough;
  o.key = pipeline.key;
  o.where = pipeline.where;
  return o;
}

std::uint64_t decoder_fingerprint(const std::string& format, const std::vector<target_column>& targets,
                                  const decoder_options& options) {
  hasher h;
  h.text(format);
  h.number(static_cast<std::uint64_t>(version_of(format)));
  h.text(options.topic); // it stands in the rows
  h.text(options.timezone);
  h.number(static_cast<std::uint64_t>(options.on_bad_record));
  h.number(static_cast<std::uint64_t>(options.deletes));
  if (options.on_new_field == new_field_policy::dead_letter) h.number(static_cast<std::uint64_t>(options.on_new_field));
  constexpr std::uint64_t events_version = 2; // as version_of()
  if (options.envelope != envelope_kind::none) h.number(static_cast<std::uint64_t>(options.envelope) * events_version);
  h.number(options.record_bytes_max);
  h.number(targets.size());
  for (const auto& t : targets) {
    h.text(t.column.name);
    h.text(t.column.type->text);
    h.text(t.column.default_kind);
    h.text(t.column.default_expression);
    h.number(static_cast<std::uint64_t>(t.source.kind));
    h.text(t.source.text);
    h.number(t.fill ? 1 : 0);
    if (t.fill) h.content(*t.fill);
  }
  if (format == "csv" || format == "tsv") add_csv(h, options.csv);
  if (format == "avro") add_avro(h, options.avro);
  if (format == "protobuf") add_protobuf(h, options.protobuf);
  if (format == "passthrough") {
    h.text(options.passthrough.format);
    h.number(static_cast<unsigned char>(options.passthrough.delimiter));
  }
  add_key(h, options.key);
  add_where(h, options.where);
  return h.value();
}

} // namespace chute
