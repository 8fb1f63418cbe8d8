// The topology file: what a user writes, checked and with every default filled in.
#pragma once

#include "core/error.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace chute {

enum class delivery_mode : std::uint8_t { exactly_once, at_least_once };
enum class provenance_mode : std::uint8_t { required, off };
enum class bad_record_policy : std::uint8_t { dead_letter, skip, stop };
enum class data_loss_policy : std::uint8_t { stop, resume }; // file: stop | continue
enum class delete_policy : std::uint8_t { reject, replacing, collapsing };
enum class envelope_kind : std::uint8_t { none, debezium };
enum class new_field_policy : std::uint8_t { ignore, add_column, dead_letter };
enum class start_policy : std::uint8_t { earliest, latest, timestamp };
enum class store_kind : std::uint8_t { kafka, keeper_map, redis, file, memory, own };
enum class compression_kind : std::uint8_t { none, lz4, zstd, gzip };

// Where a column's value comes from when it does not map by name.
struct column_source {
  enum class from : std::uint8_t { field, header, value, meta, key } kind = from::field;
  // field: a dotted path; header: its name; value: the constant; meta: topic partition offset …; key: a dotted path in
  // the record's key, which has a format of its own
  std::string text;
};

struct kafka_config {
  std::string brokers;
  std::map<std::string, std::string> properties; // none of those that the engine owns
};

struct clickhouse_config {
  std::vector<std::string> urls;
  std::string database = "default", user = "default", password;
  std::map<std::string, std::string> settings; // added to every insert; none of the pinned ones
  std::string cluster;                         // columns are added ON CLUSTER; empty: on one server
  compression_kind compression = compression_kind::lz4;
  std::string ca_file; // https: certificates to trust; empty: the system's
  // Times in ms, settable under clickhouse.limits
  std::int64_t insert_limit_ms = 120'000, question_limit_ms = 10'000, confirm_limit_ms = 60'000, lease_ms = 60'000;
};

struct state_config {
  store_kind store = store_kind::kafka;
  std::string table = "chute_state"; // keeper_map: in clickhouse.database
  std::string url;                   // redis: see core/redis_url.hpp
  std::int64_t replicas = 0;         // redis: that must have a save before it counts
  std::string path;                  // file: directory
  std::string own;                   // own: the name of the host's store
};

struct admin_config {
  bool enabled = false;
  std::string host = "127.0.0.1";
  int port = 0; // 0: any free one, logged
  std::string token;
};

struct batch_config {
  std::uint64_t rows = 500'000;
  std::uint64_t bytes = 64ull << 20;
  std::int64_t wait_ms = 1'000;
};

// How lines of delimited text (csv, tsv) are read.
enum class csv_header : std::uint8_t {
  none,   // a record is one line of fields
  record, // a record is a header line, and one line of fields
  skip,   // as none, but a record that is the header line itself is dropped: a file that was produced line by line
};

struct csv_config {
  char delimiter = ','; // csv only
  csv_header header = csv_header::none;
  std::string null_text = "\\N";   // a field that is null, unless it stands in quotes
  std::vector<std::string> fields; // their names, in order; empty: the columns that fields fill, as the table has them
};

// How a record says which schema it was written with.
enum class schema_framing : std::uint8_t {
  confluent,     // a zero byte and the schema's id in the registry
  single_object, // avro: C3 01 and the schema's fingerprint
  none,          // it does not: the topology names the schema
};

struct avro_config {
  schema_framing framing = schema_framing::confluent;
  std::vector<std::string> schemas; // their texts; framing single_object: any number, none: one
  std::string reader_schema;        // its text; empty: records are taken as they were written
};

struct protobuf_config {
  schema_framing framing = schema_framing::confluent; // or none
  std::string schema;                                 // its text, or a compiled descriptor set
  std::string message;                                // its full name; empty: the only one
};

// ClickHouse reads the values itself.
struct passthrough_config {
  std::string format;   // as ClickHouse names it: JSONEachRow, CSV, TabSeparated, …
  char delimiter = ','; // CSV
};

// A record's key that has fields.
struct key_config {
  std::string format;       // empty: it is bytes
  avro_config avro;         // format avro
  protobuf_config protobuf; // format protobuf
};

// What must hold of a record, or the pipeline does not take it.
struct condition {
  enum class subject : std::uint8_t { field, header } on = subject::field;
  std::string name;               // a dotted path, or a header's name
  bool present = true;            // false: it must not be there, or be null
  std::vector<std::string> texts; // its text must be one of these; empty: any
};

// Confluent's schema registry, or one that speaks as it does.
struct registry_config {
  std::string url;
  std::string user, password; // basic authentication
  std::string token;          // or bearer
  std::string ca_file;        // https: certificates to trust; empty: the system's
};

struct pipeline_config {
  std::string name;
  std::vector<std::string> topics; // names, or one pattern that begins with ^
  std::string group;               // empty: chute-<pipeline>
  start_policy start = start_policy::earliest;
  std::int64_t start_timestamp_ms = 0;
  std::string format = "json";
  csv_config csv;                 // formats csv and tsv
  avro_config avro;               // format avro
  protobuf_config protobuf;       // format protobuf
  passthrough_config passthrough; // format passthrough
  key_config key;
  std::vector<condition> where; // all of them must hold
  std::string table;            // may name {topic}
  std::string database;         // empty: clickhouse.database
  int lanes = 32;
  std::string encoding = "native";
  batch_config batch;
  delivery_mode delivery = delivery_mode::exactly_once;
  provenance_mode provenance = provenance_mode::required;
  bad_record_policy on_bad_record = bad_record_policy::dead_letter;
  data_loss_policy on_data_loss = data_loss_policy::stop;
  delete_policy deletes = delete_policy::reject;
  envelope_kind envelope = envelope_kind::none;
  new_field_policy on_new_field = new_field_policy::ignore;
  std::string dead_letter_table = "chute_dead_letters";
  std::map<std::string, column_source> columns; // by column name
  int line = 0;                                 // in the file, for messages
};

struct topology {
  kafka_config kafka;
  clickhouse_config clickhouse;
  state_config state;
  std::uint64_t memory_bytes = 512ull << 20;
  std::optional<admin_config> admin;
  std::optional<registry_config> registry; // whenever a pipeline needs it
  std::vector<pipeline_config> pipelines;  // in the file's order
};

// Looks up an environment variable; nothing if it is not set.
using environment = std::function<std::optional<std::string>(const std::string&)>;
// Reads a (password) file whole.
using file_reader = std::function<result<std::string>(const std::string&)>;

// Names that a host adds to those of the engine: `format:` and `state.store:` take them too.
struct own_names {
  std::vector<std::string> formats, stores;
};

// Whether a state store of the engine has this name.
bool is_store(const std::string& name);

// Parses and checks a topology. `name` is used in messages: "name:line: …". All errors are found at once: one line each
// in the error's cause.
result<topology> parse_topology(const std::string& yaml, const std::string& name, const environment& env,
                                const file_reader& read, const own_names& own = {});

// A topology that no file was read for: fills in what a file may leave out (a pipeline's group and database), and makes
// the checks that parse_topology() makes. All errors are found at once: one line each in the error's cause. What
// parse_topology() returned comes back as it is.
result<topology> complete(topology t, const own_names& own = {});

} // namespace chute
