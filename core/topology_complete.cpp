// A topology that a host filled in: the reader's checks, without a file.
#include "core/topology_checks.hpp"
#include "core/topology_values.hpp"

#include <set>

namespace chute {
namespace {

class completion {
public:
  completion(topology t, const own_names& own) : t_(std::move(t)), own_(own) {}

  result<topology> run() {
    of_kafka();
    of_clickhouse();
    of_state();
    if (t_.registry) of_registry();
    size("memory", t_.memory_bytes, memory_range);
    if (t_.pipelines.empty()) add("pipelines", "there is none");
    if (t_.pipelines.size() > pipelines_max) add("pipelines", "there are more than " + std::to_string(pipelines_max));
    else of_pipelines();
    check_contradictions(t_, std::vector<pipeline_lines>(t_.pipelines.size()), 0, 0, problems_);
    if (!problems_.empty()) return problems_error(problems_, "");
    return std::move(t_);
  }

private:
  void add(const std::string& where, const std::string& what) {
    if (!what.empty()) problems_.push_back({0, where.empty() ? what : where + ": " + what});
  }

  template <class Check> void text(const std::string& where, const std::string& value, Check&& check) {
    if (has_control(value)) return add(where, "holds a control character (a line end?)");
    if (const auto checked = check(value); !checked) add(where, checked.failure().cause);
  }
  template <class Check> void text_if_any(const std::string& where, const std::string& value, Check&& check) {
    if (!value.empty()) text(where, value, check);
  }
  // Its shortest name, where it has several.
  template <std::size_t N>
  void word(const std::string& where, std::string& value, const choice<std::string_view> (&words)[N]) {
    if (const auto known = one_of(words)(value)) value = std::string(*known);
    else add(where, known.failure().cause);
  }

  void number(const std::string& where, std::int64_t n, range<std::int64_t> r) {
    const auto show = [](std::int64_t bound) { return std::to_string(bound); };
    if (const auto in = within(n, r, show(n), show); !in) add(where, in.failure().cause);
  }
  void size(const std::string& where, std::uint64_t n, range<std::uint64_t> r) {
    if (const auto in = within(n, r, format_size(n), format_size); !in) add(where, in.failure().cause);
  }
  void duration(const std::string& where, std::int64_t ms, range<std::int64_t> r) {
    if (const auto in = within(ms, r, std::to_string(ms) + " ms", format_duration); !in) add(where, in.failure().cause);
  }

  static bool holds(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  }

  void of_kafka() {
    if (t_.kafka.brokers.empty()) add("kafka", "'brokers' is missing");
    else text("kafka.brokers", t_.kafka.brokers, check_brokers);
    for (const auto& [name, value] : t_.kafka.properties) add("kafka.properties." + name, kafka_property_fault(name));
  }

  void of_clickhouse() {
    const auto& c = t_.clickhouse;
    if (c.urls.empty()) add("clickhouse", "'url' is missing");
    for (const auto& url : c.urls) text("clickhouse.url", url, check_clickhouse_url);
    text("clickhouse.database", c.database, check_database);
    text("clickhouse.user", c.user, check_text);
    text_if_any("clickhouse.password", c.password, check_text);
    for (const auto& [name, value] : c.settings) add("clickhouse.settings." + name, clickhouse_setting_fault(name));
    text_if_any("clickhouse.cluster", c.cluster, check_text);
    text_if_any("clickhouse.tls.ca", c.ca_file, check_text);
    duration("clickhouse.limits.insert", c.insert_limit_ms, long_limit_range);
    duration("clickhouse.limits.question", c.question_limit_ms, limit_range);
    duration("clickhouse.limits.confirm", c.confirm_limit_ms, limit_range);
    duration("clickhouse.limits.lease", c.lease_ms, long_limit_range);
  }

  void of_state() {
    const auto& c = t_.state;
    add("state", state_fault(c));
    if (c.store == store_kind::keeper_map) text("state.table", c.table, check_sql_word);
    if (c.store == store_kind::redis) text_if_any("state.url", c.url, check_redis);
    if (c.store == store_kind::redis) number("state.replicas", c.replicas, replicas_range);
    if (c.store == store_kind::own && !holds(own_.stores, c.own))
      add("state.store", "the host has no store named " + quoted(c.own) + "; add it to engine_options.own.stores");
  }

  void of_registry() {
    text("registry.url", t_.registry->url, check_registry_url);
    text_if_any("registry.user", t_.registry->user, check_text);
    text_if_any("registry.password", t_.registry->password, check_text);
    text_if_any("registry.token", t_.registry->token, check_text);
  }

  void of_pipelines() {
    std::set<std::string> names;
    for (auto& p : t_.pipelines) {
      fill_in(p, t_.clickhouse);
      if (p.batch.bytes == batch_config().bytes) p.batch.bytes = batch_bytes_for(t_.memory_bytes);
      if (const auto named = check_pipeline_name(p.name); !named) add("pipelines", named.failure().cause);
      else if (!names.insert(p.name).second) add("pipelines", "there are two named " + quoted(p.name));
      else of_pipeline(p);
    }
  }

  void of_pipeline(pipeline_config& p) {
    const auto at = "pipelines." + p.name;
    const auto of = [&at](const char* key) { return at + "." + key; };
    if (p.topics.empty()) add(at, "'topics' is missing");
    if (p.topics.size() > topics_max) add(of("topics"), "holds more than " + std::to_string(topics_max) + " entries");
    std::set<std::string> topics;
    for (const auto& topic : p.topics)
      if (!topics.insert(topic).second) add(of("topics"), quoted(topic) + " stands here twice");
      else text(of("topics"), topic, check_topic);
    add(of("topics"), topics_fault(p.topics));
    if (p.table.empty()) add(at, "'table' is missing");
    else text(of("table"), p.table, check_destination);
    text(of("group"), p.group, check_group);
    text(of("database"), p.database, check_database);
    text(of("dead_letters.table"), p.dead_letter_table, check_database);
    number(of("lanes"), p.lanes, lanes_range);
    number(of("batch.rows"), static_cast<std::int64_t>(std::min<std::uint64_t>(p.batch.rows, INT64_MAX)), rows_range);
    size(of("batch.bytes"), p.batch.bytes, bytes_range);
    duration(of("batch.wait"), p.batch.wait_ms, wait_range);
    word(of("encoding"), p.encoding, encodings);
    of_format(p, of);
    of_columns(p, at);
    for (const auto& faults : {choice_faults(p), key_column_faults(p), passthrough_faults(p, t_.clickhouse)})
      for (const auto& f : faults) add(f.key.empty() ? at : at + "." + f.key, f.text);
  }

  template <class Of> void of_format(pipeline_config& p, Of&& of) {
    if (!holds(own_.formats, p.format)) word(of("format"), p.format, formats);
    if (p.format == "csv")
      text(of("csv.delimiter"), {}, [&](const std::string&) { return delimiter(p.csv.delimiter); });
    if (p.format == "passthrough") word(of("passthrough.format"), p.passthrough.format, passthrough_formats);
    if (!p.key.format.empty()) word(of("key.format"), p.key.format, key_formats);
    of_schemas(of("format"), p.format, p.avro, p.protobuf);
    of_schemas(of("key.format"), p.key.format, p.key.avro, p.key.protobuf);
  }

  static result<char> delimiter(char c) { return check_delimiter(std::string(1, c)); }

  void of_schemas(const std::string& where, const std::string& format, const avro_config& avro,
                  const protobuf_config& protobuf) {
    if (format != "avro" && format != "protobuf") return;
    const auto framing = format == "avro" ? avro.framing : protobuf.framing;
    const bool none = format == "avro" ? avro.schemas.empty() : protobuf.schema.empty();
    if (framing == schema_framing::confluent && !t_.registry) add(where, std::string(no_registry));
    if (framing != schema_framing::confluent && none) add(where, "'schema' is missing");
  }

  void of_columns(const pipeline_config& p, const std::string& at) {
    using from = column_source::from;
    for (const auto& [name, source] : p.columns) {
      const auto where = at + ".columns." + name;
      if (!is_column_name(name)) add(where, "no name of a column");
      if (source.kind == from::field || source.kind == from::key) text(where, source.text, check_field_path);
      if (source.kind == from::header) text(where, source.text, check_text);
      if (source.kind == from::meta) text(where, source.text, one_of(metas));
    }
    if (p.where.size() > conditions_max)
      add(at + ".where", "takes 1 to " + std::to_string(conditions_max) + " conditions");
    for (const auto& c : p.where) {
      if (c.on == condition::subject::field) text(at + ".where", c.name, check_field_path);
      else text(at + ".where", c.name, check_text);
      add(at + ".where", condition_fault(p, c));
    }
  }

  topology t_;
  const own_names& own_;
  std::vector<yaml_problem> problems_;
};

} // namespace

result<topology> complete(topology t, const own_names& own) { return completion(std::move(t), own).run(); }

} // namespace chute
