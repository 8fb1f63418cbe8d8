#include "core/topology.hpp"

#include "core/redis_url.hpp"
#include "core/text.hpp"
#include "core/topology_checks.hpp"
#include "core/topology_rules.hpp"
#include "core/topology_values.hpp"
#include "core/yaml_tree.hpp"

#include <algorithm>
#include <cctype>
#include <set>
#include <span>
#include <string_view>
#include <utility>

namespace chute {
namespace {

using kind = yaml_node::kind;
using problem_list = std::vector<yaml_problem>;

// --- values ----------------------------------------------------------------------------------------------------------
// Each turns the text of a scalar into a value, or into a half sentence that follows the setting's name.

result<std::string> any_text(const std::string& text) { return text; }

constexpr choice<compression_kind> compressions[] = {{"none", compression_kind::none},
                                                     {"lz4", compression_kind::lz4},
                                                     {"zstd", compression_kind::zstd},
                                                     {"gzip", compression_kind::gzip}};
constexpr choice<store_kind> stores[] = {{"kafka", store_kind::kafka},
                                         {"keeper_map", store_kind::keeper_map},
                                         {"redis", store_kind::redis},
                                         {"file", store_kind::file},
                                         {"memory", store_kind::memory}};
constexpr choice<csv_header> csv_headers[] = {
    {"none", csv_header::none}, {"record", csv_header::record}, {"skip", csv_header::skip}};
constexpr choice<schema_framing> framings[] = {{"confluent", schema_framing::confluent},
                                               {"single_object", schema_framing::single_object},
                                               {"none", schema_framing::none}};
constexpr choice<schema_framing> protobuf_framings[] = {{"confluent", schema_framing::confluent},
                                                        {"none", schema_framing::none}};
constexpr choice<delivery_mode> deliveries[] = {{"exactly_once", delivery_mode::exactly_once},
                                                {"at_least_once", delivery_mode::at_least_once}};
constexpr choice<provenance_mode> provenances[] = {{"required", provenance_mode::required},
                                                   {"off", provenance_mode::off}};
constexpr choice<bad_record_policy> bad_record_policies[] = {{"dead_letter", bad_record_policy::dead_letter},
                                                             {"skip", bad_record_policy::skip},
                                                             {"stop", bad_record_policy::stop}};
constexpr choice<data_loss_policy> data_loss_policies[] = {{"stop", data_loss_policy::stop},
                                                           {"continue", data_loss_policy::resume}};
constexpr choice<delete_policy> delete_policies[] = {{"reject", delete_policy::reject},
                                                     {"replacing", delete_policy::replacing},
                                                     {"collapsing", delete_policy::collapsing}};
constexpr choice<new_field_policy> new_field_policies[] = {{"ignore", new_field_policy::ignore},
                                                           {"add_column", new_field_policy::add_column},
                                                           {"dead_letter", new_field_policy::dead_letter}};
constexpr choice<envelope_kind> envelopes[] = {{"none", envelope_kind::none}, {"debezium", envelope_kind::debezium}};
constexpr choice<bool> truths[] = {{"true", true}, {"false", false}};

// --- a mapping of the file -------------------------------------------------------------------------------------------

// Hands out the values of one mapping and remembers which keys it was asked for: those are the known ones.
class section {
public:
  section(yaml_ptr node, std::string path, problem_list& problems)
      : node_(std::move(node)), path_(std::move(path)), problems_(problems) {
    if (node_ && node_->what == kind::null) node_ = nullptr; // "columns:" with everything below commented out
    if (node_ && node_->what != kind::mapping) {
      if (!node_->unusable) add(node_->line, "", "must be a mapping, as in {name: value}");
      wrong_ = true;
      node_ = nullptr;
    }
  }

  // The value of a key, or null. Either way the key is known from now on.
  yaml_ptr take(std::string_view key) {
    known_.push_back(key);
    const yaml_entry* e = entry(key);
    return e ? e->value : nullptr;
  }

  bool has(std::string_view key) { // known from now on, too
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
    return entry(key) != nullptr;
  }

  int line_of(std::string_view key) const {
    const yaml_entry* e = entry(key);
    return e ? e->line : 0;
  }

  // Reads a scalar into `out` with one of the functions above; `out` stays as it is where there is none or it is wrong.
  template <class T, class Parse> bool read(std::string_view key, T& out, Parse&& parse) {
    const yaml_ptr value = take(key);
    return value && read_scalar(*value, key, out, parse);
  }

  template <class T, class Parse>
  bool read_scalar(const yaml_node& value, std::string_view key, T& out, Parse&& parse, bool raw = false) {
    if (value.unusable) return false;
    // The parser finds that a value is missing only where the next line begins.
    if (value.what == kind::null) return add(has(key) ? line_of(key) : value.line, key, "has no value");
    if (value.what != kind::scalar) return add(value.line, key, "takes a single value");
    if (!raw && has_control(value.text)) return add(value.line, key, "holds a control character (a line end?)");
    auto parsed = parse(value.text);
    if (!parsed) return add(value.line, key, parsed.failure().cause);
    out = static_cast<T>(std::move(*parsed));
    return true;
  }

  // name → text, any names; `check` says what is wrong with a name, or nothing. `takes_lines`: whether the text of this
  // name may hold line ends.
  template <class Check>
  void read_texts(std::string_view key, std::map<std::string, std::string>& out, Check&& check,
                  bool (*takes_lines)(std::string_view name)) {
    section inner(take(key), path(key), problems_);
    for (const yaml_entry& e : inner.entries()) {
      if (const std::string wrong = check(e.key); !wrong.empty()) {
        inner.add(e.line, e.key, wrong);
        continue;
      }
      const bool lines = takes_lines(e.key);
      if (std::string text; inner.read_scalar(*e.value, e.key, text, lines ? check_lines : any_text, lines))
        out[e.key] = text;
    }
  }

  std::span<const yaml_entry> entries() const {
    return node_ ? std::span<const yaml_entry>(node_->entries) : std::span<const yaml_entry>();
  }

  // Reports every key that nobody asked for.
  void refuse_the_rest() {
    for (const yaml_entry& e : entries())
      if (std::find(known_.begin(), known_.end(), e.key) == known_.end())
        add(e.line, e.key,
            problems_.size() < problems_shown_max ? "unknown key" + suggestion(e.key, known_) : "unknown key");
  }

  void require(std::string_view key, int line) {
    if (!has(key) && !wrong_) add(node_ ? node_->line : line, "", "'" + std::string(key) + "' is missing");
  }

  // Always false, so that a failed step can end with it.
  bool add(int line, std::string_view key, const std::string& text) {
    const std::string where = key.empty() ? path_ : path(key);
    problems_.push_back({line, where.empty() ? text : where + ": " + text});
    return false;
  }

  std::string path(std::string_view key) const { return path_.empty() ? printable(key) : path_ + "." + printable(key); }
  bool empty() const { return !wrong_ && entries().empty(); } // and not merely unreadable

private:
  const yaml_entry* entry(std::string_view key) const {
    for (const yaml_entry& e : entries())
      if (e.key == key) return &e;
    return nullptr;
  }

  yaml_ptr node_;
  std::string path_;
  problem_list& problems_;
  std::vector<std::string_view> known_;
  bool wrong_ = false; // no mapping, and that is reported
};

// A scalar, or a list of scalars.
template <class Check>
std::vector<std::string> read_list(section& s, std::string_view key, std::size_t most, Check&& check) {
  std::vector<std::string> out;
  const yaml_ptr node = s.take(key);
  if (!node) return out;
  const std::vector<yaml_ptr> items = node->what == kind::sequence ? node->items : std::vector{node};
  if (items.empty()) s.add(node->line, key, "is empty");
  if (items.size() > most) {
    s.add(node->line, key, "holds more than " + std::to_string(most) + " entries");
    return out;
  }
  std::set<std::string> seen;
  for (const yaml_ptr& item : items)
    if (std::string text; s.read_scalar(*item, key, text, check)) {
      if (!seen.insert(text).second) s.add(item->line, key, quoted(text) + " stands here twice");
      else out.push_back(std::move(text));
    }
  return out;
}

// --- the reader ------------------------------------------------------------------------------------------------------

class topology_reader {
public:
  topology_reader(const file_reader& read, const own_names& own, problem_list& problems)
      : read_(read), own_(own), problems_(problems) {}

  topology read(const yaml_ptr& root) {
    section s(root, "", problems_);
    for (const std::string_view key : {"kafka", "clickhouse", "pipelines"}) s.require(key, 1);
    read_kafka(s);
    read_clickhouse(s);
    read_state(s);
    read_registry(s);
    s.read("memory", out_.memory_bytes, size_in(memory_range));
    read_admin(s);
    read_pipelines(s);
    s.refuse_the_rest();
    check_contradictions(out_, lines_, state_line_, admin_line_, problems_);
    return std::move(out_);
  }

private:
  void read_kafka(section& top) {
    if (!top.has("kafka")) return;
    section s(top.take("kafka"), "kafka", problems_);
    s.require("brokers", top.line_of("kafka"));
    for (const std::string& one : read_list(s, "brokers", 256, check_brokers))
      (out_.kafka.brokers += out_.kafka.brokers.empty() ? "" : ",") += one;
    s.read_texts("properties", out_.kafka.properties, kafka_property_fault, is_pem_property);
    s.refuse_the_rest();
  }

  void read_clickhouse(section& top) {
    if (!top.has("clickhouse")) return;
    section s(top.take("clickhouse"), "clickhouse", problems_);
    clickhouse_config& c = out_.clickhouse;
    s.require("url", top.line_of("clickhouse"));
    c.urls = read_list(s, "url", 64, check_clickhouse_url);
    s.read("database", c.database, check_database);
    s.read("user", c.user, check_text);
    read_secret(s, "password", "password_file", c.password);
    s.read_texts("settings", c.settings, clickhouse_setting_fault, [](std::string_view) { return false; });
    s.read("cluster", c.cluster, check_text);
    s.read("compression", c.compression, one_of(compressions));
    read_tls(s);
    read_limits(s);
    s.refuse_the_rest();
  }

  void read_tls(section& clickhouse) {
    if (!clickhouse.has("tls")) return;
    section s(clickhouse.take("tls"), "clickhouse.tls", problems_);
    s.read("ca", out_.clickhouse.ca_file, check_text);
    s.refuse_the_rest();
    const auto& urls = out_.clickhouse.urls;
    const bool plain = std::none_of(urls.begin(), urls.end(), [](auto& u) { return u.starts_with("https://"); });
    if (s.has("ca") && plain && !urls.empty())
      s.add(s.line_of("ca"), "ca", "has no meaning without an https:// URL in clickhouse.url");
  }

  void read_limits(section& clickhouse) {
    if (!clickhouse.has("limits")) return;
    section s(clickhouse.take("limits"), "clickhouse.limits", problems_);
    clickhouse_config& c = out_.clickhouse;
    s.read("insert", c.insert_limit_ms, duration_in(long_limit_range));
    s.read("question", c.question_limit_ms, duration_in(limit_range));
    s.read("confirm", c.confirm_limit_ms, duration_in(limit_range));
    s.read("lease", c.lease_ms, duration_in(long_limit_range));
    s.refuse_the_rest();
  }

  void read_registry(section& top) {
    if (!top.has("registry")) return;
    section s(top.take("registry"), "registry", problems_);
    registry_config c;
    s.require("url", top.line_of("registry"));
    s.read("url", c.url, check_registry_url);
    s.read("user", c.user, check_text);
    read_secret(s, "password", "password_file", c.password);
    read_secret(s, "token", "token_file", c.token);
    if (s.has("user") && (s.has("token") || s.has("token_file")))
      s.add(s.line_of("user"), "user", "there is a token as well; keep one of them");
    if (!s.has("user") && (s.has("password") || s.has("password_file")))
      s.add(top.line_of("registry"), "", "there is a password, but no user");
    if (const yaml_ptr node = s.take("tls")) {
      section tls(node, "registry.tls", problems_);
      if (tls.read("ca", c.ca_file, check_text) && c.url.starts_with("http://"))
        tls.add(tls.line_of("ca"), "ca", "has no meaning without an https:// URL in registry.url");
      tls.refuse_the_rest();
    }
    s.refuse_the_rest();
    out_.registry = std::move(c);
  }

  static bool holds(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  }

  std::function<result<store_kind>(const std::string&)> store_name() {
    return [this](const std::string& text) -> result<store_kind> {
      if (!holds(own_.stores, text)) return one_of(stores)(text);
      out_.state.own = text;
      return store_kind::own;
    };
  }

  std::function<result<std::string>(const std::string&)> format_name() const {
    return [this](const std::string& text) -> result<std::string> {
      if (holds(own_.formats, text)) return text;
      auto known = one_of(formats)(text);
      if (!known) return known.failure();
      return std::string(*known);
    };
  }

  void read_state(section& top) {
    if (!top.has("state")) return;
    state_line_ = top.line_of("state");
    section s(top.take("state"), "state", problems_);
    state_config& c = out_.state;
    const bool known = s.read("store", c.store, store_name()) || !s.has("store");
    if (known) state_line_ = s.has("store") ? s.line_of("store") : state_line_;
    auto belongs = [&](const char* key, bool given, store_kind of, const char* store) {
      if (given && known && c.store != of) s.add(s.line_of(key), key, std::string("belongs to store: ") + store);
    };
    belongs("table", s.read("table", c.table, check_sql_word), store_kind::keeper_map, "keeper_map");
    belongs("url", s.read("url", c.url, check_redis), store_kind::redis, "redis");
    belongs("replicas", s.read("replicas", c.replicas, integer_in(replicas_range)), store_kind::redis, "redis");
    belongs("path", s.read("path", c.path, check_text), store_kind::file, "file");
    if (const auto missing = state_fault(c); !missing.empty() && !s.has(c.store == store_kind::file ? "path" : "url"))
      s.add(state_line_, "", missing);
    s.refuse_the_rest();
  }

  void read_admin(section& top) {
    if (!top.has("admin")) return;
    section s(top.take("admin"), "admin", problems_);
    admin_config a{true, "127.0.0.1", 8088, ""};
    std::pair<std::string, int> address(a.host, a.port);
    admin_line_ = top.line_of("admin");
    if (s.read("listen", address, check_listen)) admin_line_ = s.line_of("listen");
    a.host = address.first;
    a.port = address.second;
    read_secret(s, "token", "token_file", a.token);
    // It has to pass through an HTTP header.
    if (std::any_of(a.token.begin(), a.token.end(), [](char c) { return c <= ' ' || c > '~'; }))
      s.add(s.line_of(s.has("token") ? "token" : "token_file"), "token", "may hold visible ASCII characters only");
    // What is wrong with the token is said above; that there is none would be said twice.
    else if (!secret_is_wrong_ || is_loopback(a.host)) out_.admin = a;
    s.refuse_the_rest();
  }

  // The value itself, or the path of a file whose last line end is not part of it. Never shows what it read.
  void read_secret(section& s, std::string_view key, std::string_view file_key, std::string& out) {
    const std::size_t before = problems_.size();
    std::string path;
    const bool given = s.read(key, out, any_text);
    if (s.read(file_key, path, check_text)) {
      if (s.has(key))
        s.add(s.line_of(file_key), file_key, "there is a '" + std::string(key) + "' as well; keep one of them");
      else read_secret_file(s, file_key, path, out);
    }
    // A variable that is not set was reported before this.
    secret_is_wrong_ = problems_.size() > before || (s.has(key) && !given);
  }

  void read_secret_file(section& s, std::string_view key, const std::string& path, std::string& out) {
    constexpr std::size_t secret_bytes_max = 64u << 10;
    auto text = read_ ? read_(path) : complaint("no files can be read here");
    if (!text) {
      s.add(s.line_of(key), key, text.failure().cause);
      return;
    }
    while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
    if (text->size() > secret_bytes_max || has_control(*text))
      s.add(s.line_of(key), key, quoted(path) + " does not hold one line of text");
    else if (text->empty()) s.add(s.line_of(key), key, quoted(path) + " holds nothing");
    else out = std::move(*text);
  }

  void read_pipelines(section& top) {
    if (!top.has("pipelines")) return;
    section s(top.take("pipelines"), "pipelines", problems_);
    if (s.empty()) s.add(top.line_of("pipelines"), "", "there is none");
    if (s.entries().size() > pipelines_max) {
      s.add(top.line_of("pipelines"), "", "there are more than " + std::to_string(pipelines_max));
      return;
    }
    for (const yaml_entry& e : s.entries()) {
      if (const auto named = check_pipeline_name(e.key); !named) s.add(e.line, "", named.failure().cause);
      else read_pipeline(e);
    }
  }

  void read_pipeline(const yaml_entry& e) {
    section s(e.value, "pipelines." + e.key, problems_);
    pipeline_config p;
    p.name = e.key;
    p.line = e.line;
    fill_in(p, out_.clickhouse);
    s.require("topics", e.line);
    s.require("table", e.line);
    p.topics = read_list(s, "topics", topics_max, check_topic);
    refuse_company_of_a_pattern(s, p.topics);
    s.read("group", p.group, check_group);
    s.read("database", p.database, check_database);
    s.read("table", p.table, check_destination);
    read_choices(s, p);
    read_csv(s, p);
    read_avro(s, p.format, p.line, p.avro);
    read_protobuf(s, p.format, p.line, p.protobuf);
    read_key(s, p);
    read_passthrough(s, p);
    read_where(s, p);
    read_batch(s, p);
    read_start(s, p);
    read_dead_letters(s, p);
    read_columns(s, p);
    add_all(s, p, key_column_faults(p));
    if (p.format == "passthrough" && s.has("encoding"))
      s.add(s.line_of("encoding"), "encoding", "has no meaning with format: passthrough: values travel as they came");
    add_all(s, p, passthrough_faults(p, out_.clickhouse));
    s.refuse_the_rest();
    lines_.push_back({e.line, s.line_of("group"), s.line_of("table"), s.line_of("delivery"), bytes_line_});
    out_.pipelines.push_back(std::move(p));
  }

  void refuse_company_of_a_pattern(section& s, const std::vector<std::string>& topics) {
    if (const auto fault = topics_fault(topics); !fault.empty()) s.add(s.line_of("topics"), "topics", fault);
  }

  void read_choices(section& s, pipeline_config& p) {
    s.read("lanes", p.lanes, integer_in(lanes_range));
    s.read("format", p.format, format_name());
    s.read("encoding", p.encoding, one_of(encodings));
    s.read("delivery", p.delivery, one_of(deliveries));
    s.read("provenance", p.provenance, one_of(provenances));
    s.read("on_bad_record", p.on_bad_record, one_of(bad_record_policies));
    s.read("on_data_loss", p.on_data_loss, one_of(data_loss_policies));
    s.read("deletes", p.deletes, one_of(delete_policies));
    s.read("envelope", p.envelope, one_of(envelopes));
    s.read("on_new_field", p.on_new_field, one_of(new_field_policies));
    add_all(s, p, choice_faults(p));
  }

  // Faults of settings that do not go together, each where its setting stands.
  static void add_all(section& s, const pipeline_config& p, const std::vector<setting_fault>& faults) {
    for (const auto& f : faults)
      s.add(f.key.empty() ? p.line : s.line_of(f.key.substr(0, f.key.find('.'))), f.key, f.text);
  }

  // Lines of text, comma or tab separated.
  void read_csv(section& pipeline, pipeline_config& p) {
    if (!pipeline.has("csv")) return;
    section s(pipeline.take("csv"), "pipelines." + p.name + ".csv", problems_);
    if (p.format != "csv" && p.format != "tsv")
      pipeline.add(pipeline.line_of("csv"), "csv", "belongs to format: csv and format: tsv");
    if (const yaml_ptr node = s.take("delimiter");
        node && s.read_scalar(*node, "delimiter", p.csv.delimiter, check_delimiter, true) && p.format == "tsv" &&
        p.csv.delimiter != '\t')
      s.add(s.line_of("delimiter"), "delimiter", "belongs to format: csv; fields of tsv are separated by tabs");
    s.read("header", p.csv.header, one_of(csv_headers));
    s.read("null_text", p.csv.null_text, any_text);
    p.csv.fields = read_list(s, "fields", csv_fields_max, check_text);
    if (s.has("fields") && p.csv.header == csv_header::record)
      s.add(s.line_of("fields"), "fields", "has no meaning with header: record, which names the fields of each record");
    s.refuse_the_rest();
  }

  // What a file holds, for a setting that names it.
  bool read_file(section& s, std::string_view key, const std::string& path, std::string& out) {
    auto text = read_ ? read_(path) : complaint("no files can be read here");
    if (!text) return s.add(s.line_of(key), key, text.failure().cause);
    out = std::move(*text);
    return true;
  }

  // `format`: the owner's, a pipeline or its key.
  void read_avro(section& owner, const std::string& format, int line, avro_config& c) {
    section s(owner.take("avro"), owner.path("avro"), problems_);
    if (owner.has("avro") && format != "avro") owner.add(owner.line_of("avro"), "avro", "belongs to format: avro");
    s.read("framing", c.framing, one_of(framings));
    const bool by_id = c.framing == schema_framing::confluent;
    for (const auto& path : read_list(s, "schema", schema_files_max, check_text))
      if (std::string text; read_file(s, "schema", path, text)) c.schemas.push_back(std::move(text));
    if (std::string path; s.read("reader_schema", path, check_text))
      read_file(s, "reader_schema", path, c.reader_schema);
    if (s.has("schema") && by_id)
      s.add(s.line_of("schema"), "schema",
            "belongs to framing: single_object and framing: none; with confluent the registry has the schemas");
    if (c.schemas.size() > 1 && c.framing == schema_framing::none)
      s.add(s.line_of("schema"), "schema", "takes one file with framing: none, because records do not say which");
    s.refuse_the_rest();
    if (format == "avro") require_schemas(s, line, by_id);
  }

  void read_protobuf(section& owner, const std::string& format, int line, protobuf_config& c) {
    section s(owner.take("protobuf"), owner.path("protobuf"), problems_);
    if (owner.has("protobuf") && format != "protobuf")
      owner.add(owner.line_of("protobuf"), "protobuf", "belongs to format: protobuf");
    s.read("framing", c.framing, one_of(protobuf_framings));
    const bool by_id = c.framing == schema_framing::confluent;
    if (std::string path; s.read("schema", path, check_text)) read_file(s, "schema", path, c.schema);
    s.read("message", c.message, check_text);
    for (const std::string_view key : {"schema", "message"})
      if (s.has(key) && by_id)
        s.add(s.line_of(key), key, "belongs to framing: none; with confluent records and the registry tell");
    s.refuse_the_rest();
    if (format == "protobuf") require_schemas(s, line, by_id);
  }

  // A format, or {format: …} with what the format needs.
  void read_key(section& pipeline, pipeline_config& p) {
    const yaml_ptr node = pipeline.take("key");
    if (!node) return;
    if (node->what == kind::scalar) {
      if (!pipeline.read_scalar(*node, "key", p.key.format, one_of(key_formats))) return;
      section none(nullptr, pipeline.path("key"), problems_);
      const int line = pipeline.line_of("key");
      if (p.key.format == "avro") require_schemas(none, line, true);
      if (p.key.format == "protobuf") require_schemas(none, line, true);
      return;
    }
    section s(node, pipeline.path("key"), problems_);
    s.require("format", pipeline.line_of("key"));
    s.read("format", p.key.format, one_of(key_formats));
    read_avro(s, p.key.format, pipeline.line_of("key"), p.key.avro);
    read_protobuf(s, p.key.format, pipeline.line_of("key"), p.key.protobuf);
    s.refuse_the_rest();
  }

  void read_passthrough(section& pipeline, pipeline_config& p) {
    section s(pipeline.take("passthrough"), "pipelines." + p.name + ".passthrough", problems_);
    if (pipeline.has("passthrough") && p.format != "passthrough")
      pipeline.add(pipeline.line_of("passthrough"), "passthrough", "belongs to format: passthrough");
    s.read("format", p.passthrough.format, one_of(passthrough_formats));
    if (const yaml_ptr node = s.take("delimiter");
        node && s.read_scalar(*node, "delimiter", p.passthrough.delimiter, check_delimiter, true) &&
        p.passthrough.format != "CSV")
      s.add(s.line_of("delimiter"), "delimiter", "belongs to passthrough.format: CSV");
    s.refuse_the_rest();
    if (p.format == "passthrough" && !s.has("format"))
      pipeline.add(p.line, "", "'passthrough' is missing: write passthrough: {format: …}, as ClickHouse names it");
  }

  // One condition, or a list of them.
  void read_where(section& pipeline, pipeline_config& p) {
    const yaml_ptr node = pipeline.take("where");
    if (!node) return;
    const std::vector<yaml_ptr> items = node->what == kind::sequence ? node->items : std::vector{node};
    if (items.empty() || items.size() > conditions_max) {
      pipeline.add(node->line, "where", "takes 1 to " + std::to_string(conditions_max) + " conditions");
      return;
    }
    for (const yaml_ptr& item : items)
      if (condition c; read_condition(item, p, c)) p.where.push_back(std::move(c));
  }

  // {field: a.b | header: h, equal: text | in: [text, …] | present: true or false}
  bool read_condition(const yaml_ptr& node, const pipeline_config& p, condition& out) {
    const std::string path = "pipelines." + p.name + ".where";
    if (node->what != kind::mapping) {
      problems_.push_back({node->line, path + ": takes conditions, as in {field: kind, equal: order}"});
      return false;
    }
    section s(node, path, problems_);
    const std::size_t before = problems_.size();
    if (s.read("field", out.name, check_field_path)) out.on = condition::subject::field;
    if (s.read("header", out.name, check_text)) out.on = condition::subject::header;
    if (const yaml_ptr value = s.take("equal"))
      if (std::string text; s.read_scalar(*value, "equal", text, any_text, true)) out.texts = {std::move(text)};
    if (s.has("in")) out.texts = read_list(s, "in", texts_max, any_text);
    s.read("present", out.present, one_of(truths));
    s.refuse_the_rest();
    if (problems_.size() > before) return false;
    if (s.has("field") == s.has("header")) return s.add(node->line, "", "takes one of field and header");
    if (int{s.has("equal")} + int{s.has("in")} + int{s.has("present")} != 1)
      return s.add(node->line, "", "takes one of equal, in and present");
    if (const auto fault = condition_fault(p, out); !fault.empty()) return s.add(s.line_of("field"), "field", fault);
    return true;
  }

  void require_schemas(section& s, int line, bool by_id) {
    if (s.has("framing")) line = s.line_of("framing");
    if (!by_id) s.require("schema", line);
    else if (!out_.registry) s.add(line, "", std::string(no_registry));
  }

  void read_batch(section& pipeline, pipeline_config& p) {
    section s(pipeline.take("batch"), "pipelines." + p.name + ".batch", problems_);
    s.read("rows", p.batch.rows, integer_in(rows_range));
    const bool given = s.read("bytes", p.batch.bytes, size_in(bytes_range));
    s.read("wait", p.batch.wait_ms, duration_in(wait_range));
    s.refuse_the_rest();
    // The default gives way to a small memory; what was asked for does not.
    if (!given) p.batch.bytes = batch_bytes_for(out_.memory_bytes);
    bytes_line_ = s.line_of("bytes");
  }

  void read_start(section& s, pipeline_config& p) {
    s.read("start", p, [&p](const std::string& text) -> result<pipeline_config> {
      static constexpr std::string_view words[] = {"earliest", "latest"};
      pipeline_config out = p;
      if (text == "earliest") out.start = start_policy::earliest;
      else if (text == "latest") out.start = start_policy::latest;
      else if (const auto ms = parse_timestamp_ms(text)) {
        out.start = start_policy::timestamp;
        out.start_timestamp_ms = *ms;
      } else if (!text.empty() && text.front() >= '0' && text.front() <= '9') return complaint(ms.failure().cause);
      else
        return complaint(quoted(text) +
                         " is neither earliest, latest nor an ISO 8601 time, as in 2024-05-01T12:00:00Z" +
                         suggestion(text, words));
      return out;
    });
  }

  void read_dead_letters(section& pipeline, pipeline_config& p) {
    if (!pipeline.has("dead_letters")) return;
    section s(pipeline.take("dead_letters"), "pipelines." + p.name + ".dead_letters", problems_);
    s.read("table", p.dead_letter_table, check_database);
    if (s.take("topic")) s.add(s.line_of("topic"), "topic", "not available in this version; write table");
    s.refuse_the_rest();
  }

  void read_columns(section& pipeline, pipeline_config& p) {
    section s(pipeline.take("columns"), "pipelines." + p.name + ".columns", problems_);
    for (const yaml_entry& e : s.entries()) {
      column_source source;
      if (!is_column_name(e.key)) s.add(e.line, e.key, "no name of a column");
      else if (read_column(s, e, source)) p.columns[e.key] = source;
    }
  }

  // {field: a.b} | {header: h} | {value: v} | {meta: m} | {key: a.b}; text alone is short for {field: text}.
  bool read_column(section& columns, const yaml_entry& e, column_source& out) {
    if (e.value->what == kind::scalar) return columns.read_scalar(*e.value, e.key, out.text, check_field_path);
    if (e.value->what != kind::mapping)
      return columns.add(e.line, e.key, "takes one of {field: …}, {header: …}, {value: …}, {meta: …} and {key: …}");
    section s(e.value, columns.path(e.key), problems_);
    const std::size_t before = problems_.size();
    using from = column_source::from;
    if (s.read("field", out.text, check_field_path)) out.kind = from::field;
    if (s.read("header", out.text, check_text)) out.kind = from::header;
    if (s.read("meta", out.text, one_of(metas))) out.kind = from::meta;
    if (s.read("key", out.text, check_field_path)) out.kind = from::key;
    if (const yaml_ptr value = s.take("value"); value && read_constant(s, *value, out.text)) out.kind = from::value;
    s.refuse_the_rest();
    if (problems_.size() == before && s.entries().size() != 1)
      s.add(e.line, "", "takes exactly one of field, header, value, meta and key");
    return problems_.size() == before;
  }

  static bool read_constant(section& s, const yaml_node& value, std::string& out) {
    if (value.what == kind::null) return s.add(value.line, "value", "has no value; quote it if null is meant as text");
    return s.read_scalar(value, "value", out, any_text, true);
  }

  const file_reader& read_;
  const own_names& own_;
  problem_list& problems_;
  topology out_;
  std::vector<pipeline_lines> lines_;
  int state_line_ = 0, admin_line_ = 0, bytes_line_ = 0;
  bool secret_is_wrong_ = false;
};

} // namespace

bool is_store(const std::string& name) {
  return std::any_of(std::begin(stores), std::end(stores), [&](const auto& s) { return s.name == name; });
}

result<topology> parse_topology(const std::string& yaml, const std::string& name, const environment& env,
                                const file_reader& read, const own_names& own) {
  problem_list problems;
  const yaml_ptr root = read_yaml(yaml, env, problems);
  if (!root) return problems_error(problems, name);
  if (root->what != kind::mapping) {
    problems.push_back({root->line, "a topology is a mapping: kafka, clickhouse, pipelines, …"});
    return problems_error(problems, name);
  }
  topology out = topology_reader(read, own, problems).read(root);
  if (!problems.empty()) return problems_error(problems, name);
  return out;
}

} // namespace chute
