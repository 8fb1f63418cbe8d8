// Bytes → columns. A decoder is made once a pipeline and table; each converter has one of its own, so it may keep
// scratch buffers.
#pragma once

#include "core/changes.hpp"
#include "core/chunk.hpp"
#include "core/error.hpp"
#include "core/topology.hpp"
#include "formats/new_fields.hpp"
#include "formats/schema_cache.hpp"

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace chute {

// A column of the destination table, as DESCRIBE TABLE tells it.
struct table_column {
  std::string name;
  type_ptr type;
  std::string default_kind; // "", DEFAULT, MATERIALIZED, ALIAS, EPHEMERAL
  std::string default_expression;
  // Whether the server has Nullable(Tuple), which Map travels as too, and Nullable(JSON): without, a row cannot ask it
  // for such a column's DEFAULT.
  bool nullable_tuple = true, nullable_json = true;
  bool json_times = true; // whether the server reads times before 1970 with a fraction from JSON as they were written
};

// A column that records fill, and from where.
//
// Rows without a value (the field is missing, or null for a column that is not Nullable) take the column's DEFAULT:
//  - no DEFAULT expression: the type's own default, written here.
//  - DEFAULT, and ClickHouse takes the type in Nullable(T): numbers, texts, dates, …, JSON, Tuple (also Point), and
//  Map,
//    which travels as a tuple of two arrays: the row is null on its way, and the server evaluates the expression.
//  - DEFAULT of a Nullable(T), whose null means null, and of Array, Variant, Dynamic, Geometry, QBit and the geo
//  arrays,
//    for which the server has no such way: `fill`. The expression must be a constant; `check` refuses others.
// columns.hpp does all of this.
struct target_column {
  table_column column;
  column_source source; // field: the path in the record (the column's own name if it maps by name)
  std::shared_ptr<const chute::column>
      fill; // one row of the wire type: see needs_fill() and read_fill() in columns.hpp
};

struct decoder_options {
  std::string pipeline, topic;
  bad_record_policy on_bad_record = bad_record_policy::dead_letter;
  delete_policy deletes = delete_policy::reject;
  envelope_kind envelope = envelope_kind::none;
  new_field_policy on_new_field = new_field_policy::ignore;
  bool json_type = true; // the server has the type JSON, for columns that are added
  std::size_t record_bytes_max = 64u << 20;
  std::string timezone = "UTC";          // the server's: of DateTime and DateTime64 columns that name none
  csv_config csv;                        // formats csv and tsv
  avro_config avro;                      // format avro
  protobuf_config protobuf;              // format protobuf
  passthrough_config passthrough;        // format passthrough
  key_config key;                        // of the columns that fields of the key fill
  std::vector<condition> where;          // records of which one does not hold are dropped
  std::shared_ptr<schema_cache> schemas; // by the ids that records name
};

// What a pipeline says of its records. Topic and time zone are to be filled in.
decoder_options options_for(const pipeline_config& pipeline);

class decoder {
public:
  virtual ~decoder() = default;
  // Converts records of one partition, in order, into `out`, whose partition, first and last the caller has set;
  // appends to offsets, outcomes, hashes, sizes, rows and dead: an entry for every record. Never throws for what a
  // record holds.
  virtual void decode(std::span<const record_view> records, const header_source& headers, chunk& out) = 0;
  // Appends the ids of schemas that these records need and that options.schemas does not have yet. They must be there
  // before the records are decoded.
  virtual void wanted_schemas(std::span<const record_view> records, std::vector<std::uint32_t>& out) const {
    (void)records, (void)out;
  }
  // With on_new_field add_column: the fields without a column that the rows of the last chunk had. Told once.
  virtual std::vector<new_field> take_new_fields() { return {}; }
};

// Which columns records fill: `columns:` of the topology, the provenance columns _topic, _partition, _offset,
// _timestamp, _key, _headers by name, and all others by the name of a field. MATERIALIZED and ALIAS are left out, and
// so are columns of a type that records cannot fill (AggregateFunction, …) unless `columns:` names them: an error. In
// the table's order. With the format `raw` one column takes the value: see raw.hpp.
// `changes`: with `deletes` replacing or collapsing, the columns that say what became of a row are filled by it.
result<std::vector<target_column>> map_columns(const std::vector<table_column>& table, const pipeline_config& pipeline,
                                               const change_columns& changes = {});

// Where each column gets its values from.
std::map<std::string, column_source> sources_of(const std::vector<target_column>& targets);

// Whether make_decoder() knows it.
bool is_format(const std::string& name);
result<std::unique_ptr<decoder>> make_decoder(const std::string& format, std::vector<target_column> targets,
                                              decoder_options options);
// The same for a format of somebody else's, which `values` makes decoders of. What those leave in a chunk is checked:
// decode() throws, with the format's name, where it does not account for every record.
using decoder_maker = std::function<result<std::unique_ptr<decoder>>(std::vector<target_column>, decoder_options)>;
result<std::unique_ptr<decoder>> make_decoder(const std::string& format, const decoder_maker& values,
                                              std::vector<target_column> targets, decoder_options options);

// Hash of all that decides between row and dead letter and what a row looks like: the mapping, columns, types and
// defaults, and the decoder's version.
std::uint64_t decoder_fingerprint(const std::string& format, const std::vector<target_column>& targets,
                                  const decoder_options& options);

} // namespace chute
