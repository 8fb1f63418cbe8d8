#include "core/topology_checks.hpp"

#include "core/redis_url.hpp"
#include "core/text.hpp"
#include "core/topology_rules.hpp"
#include "core/topology_values.hpp"

#include <regex.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <string_view>
#include <tuple>

namespace chute {
namespace {

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
bool is_name_like(std::string_view s) { // what Kafka allows in the name of a topic
  return std::all_of(s.begin(), s.end(), [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

std::vector<std::string_view> split(std::string_view s, char at) {
  std::vector<std::string_view> out;
  for (;;) {
    const auto end = s.find(at);
    out.push_back(s.substr(0, end));
    if (end == s.npos) return out;
    s.remove_prefix(end + 1);
  }
}

// --- addresses -------------------------------------------------------------------------------------------------------

struct host_port {
  std::string host;
  std::optional<int> port;
};

// "host", "host:port", "[::1]:port". Nothing if it is none of them.
std::optional<host_port> read_host_port(std::string_view text) {
  host_port out;
  std::string_view rest;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == text.npos) return {};
    out.host = std::string(text.substr(1, close - 1));
    const bool plausible = std::all_of(out.host.begin(), out.host.end(),
                                       [](char c) { return is_alphanumeric(c) || c == ':' || c == '.' || c == '%'; });
    if (!plausible || out.host.find(':') == out.host.npos) return {};
    rest = text.substr(close + 1);
  } else {
    const auto colon = text.find(':');
    out.host = std::string(text.substr(0, colon));
    if (!is_name_like(out.host)) return {};
    rest = colon == text.npos ? std::string_view{} : text.substr(colon);
  }
  if (out.host.empty()) return {};
  if (rest.empty()) return out;
  const auto port = rest.front() == ':' && rest.size() > 1 && rest[1] >= '0' && rest[1] <= '9'
                        ? parse_integer(rest.substr(1))
                        : std::nullopt;
  if (!port || *port > 65535) return {};
  out.port = static_cast<int>(*port);
  return out;
}

// --- patterns of topics ----------------------------------------------------------------------------------------------

struct regex_free {
  void operator()(regex_t* r) const {
    regfree(r);
    delete r;
  }
};
using regex_ptr = std::unique_ptr<regex_t, regex_free>;

// {1,255}{1,255}{1,255} makes the compiler take gigabytes: repetitions, all multiplied, are bounded.
bool repeats_too_much(std::string_view pattern) {
  constexpr std::int64_t most = 1'000;
  std::int64_t product = 1;
  for (std::size_t at = pattern.find('{'); at != pattern.npos; at = pattern.find('{', at + 1)) {
    const std::string_view inside = pattern.substr(at + 1, pattern.find('}', at) - at - 1);
    for (const std::string_view number : split(inside, ',')) {
      if (number.find_first_not_of("0123456789") != number.npos) continue;
      const auto n = number.size() > 4 ? most + 1 : parse_integer(number).value_or(1);
      if (n > 1) product *= n;
      if (product > most) return true;
    }
  }
  return false;
}

// As librdkafka reads it: POSIX, extended.
result<regex_ptr> compile(const std::string& pattern) {
  if (repeats_too_much(pattern)) return complaint(quoted(pattern) + " repeats too much");
  for (std::size_t at = 0; (at = pattern.find('\\', at)) != pattern.npos; at += 2) {
    if (at + 1 == pattern.size()) break;
    const char c = pattern[at + 1];
    if (c >= '1' && c <= '9')
      return complaint(quoted(pattern) + " refers back to a group, which a pattern of topics cannot");
    // glibc knows these; any other it would take for the letter.
    if (std::isalnum(static_cast<unsigned char>(c)) && std::string_view("wWsSbB").find(c) == std::string_view::npos)
      return complaint(quoted(pattern) + " has \\" + c +
                       ", which is no POSIX extended regular expression; write [0-9] or the like");
  }
  auto raw = std::make_unique<regex_t>();
  if (const int code = regcomp(raw.get(), pattern.c_str(), REG_EXTENDED | REG_NOSUB); code != 0) {
    char why[128] = "";
    regerror(code, raw.get(), why, sizeof why);
    return complaint(quoted(pattern) + " is no POSIX extended regular expression: " + why);
  }
  return regex_ptr(raw.release());
}

bool is_pattern(std::string_view topic) { return topic.starts_with('^'); }

// --- contradictions --------------------------------------------------------------------------------------------------

class contradiction_finder {
public:
  contradiction_finder(const topology& t, const std::vector<pipeline_lines>& lines, std::vector<yaml_problem>& problems)
      : t_(t), lines_(lines), problems_(problems) {}

  void find(int state_line, int admin_line) {
    groups();
    records_written_twice();
    memory();
    for (std::size_t i = 0; i < t_.pipelines.size(); ++i) {
      const pipeline_config& p = t_.pipelines[i];
      if (p.table == p.dead_letter_table)
        add(i, lines_[i].table, "the table and the dead-letter table are the same: " + quoted(p.table));
      if (t_.state.store == store_kind::memory && p.delivery == delivery_mode::exactly_once)
        add(i, lines_[i].delivery ? lines_[i].delivery : state_line,
            "state.store: memory forgets everything when the process ends, so exactly_once cannot hold; choose another "
            "store, or delivery: at_least_once");
    }
    if (t_.admin && !is_loopback(t_.admin->host) && t_.admin->token.empty())
      problems_.push_back({admin_line, "admin.listen: " + quoted(t_.admin->host) +
                                           " can be reached from other machines, which takes an admin.token; set one, "
                                           "or listen on 127.0.0.1"});
  }

private:
  void add(std::size_t pipeline, int line, const std::string& text) {
    problems_.push_back(
        {line ? line : lines_[pipeline].name, "pipelines." + t_.pipelines[pipeline].name + ": " + text});
  }

  void groups() {
    std::map<std::string, std::size_t> seen;
    for (std::size_t i = 0; i < t_.pipelines.size(); ++i) {
      const auto [at, fresh] = seen.emplace(t_.pipelines[i].group, i);
      if (!fresh)
        add(i, lines_[i].group,
            "the group " + quoted(t_.pipelines[i].group) + " is that of pipeline " +
                quoted(t_.pipelines[at->second].name) + " too; a group belongs to one pipeline");
    }
  }

  static std::string table_of(const pipeline_config& p, const std::string& topic) {
    std::string table = p.table;
    if (const auto at = table.find("{topic}"); at != table.npos) table.replace(at, 7, topic);
    return table;
  }

  // Two pipelines that write one topic's records into one table double every row, and each would take the other's rows
  // for its own when it recovers.
  void records_written_twice() {
    std::map<std::tuple<std::string, std::string, std::string>, std::size_t> seen; // database, table, topic
    for (std::size_t i = 0; i < t_.pipelines.size(); ++i)
      for (const std::string& topic : t_.pipelines[i].topics) {
        const auto [at, fresh] =
            seen.emplace(std::tuple(t_.pipelines[i].database, table_of(t_.pipelines[i], topic), topic), i);
        if (!fresh && at->second != i) twice(i, at->second, topic);
      }
    for (std::size_t i = 0; i < t_.pipelines.size(); ++i)
      for (const std::string& topic : t_.pipelines[i].topics)
        if (is_pattern(topic)) matched_by(i, topic);
  }

  void matched_by(std::size_t i, const std::string& pattern) {
    const auto regex = compile(pattern);
    if (!regex) return; // reported where it stands
    for (std::size_t j = 0; j < t_.pipelines.size(); ++j) {
      if (j == i || t_.pipelines[i].database != t_.pipelines[j].database) continue;
      for (const std::string& topic : t_.pipelines[j].topics)
        if (!is_pattern(topic) && table_of(t_.pipelines[i], topic) == table_of(t_.pipelines[j], topic) &&
            regexec(regex->get(), topic.c_str(), 0, nullptr, 0) == 0)
          twice(std::max(i, j), std::min(i, j), topic);
    }
  }

  void twice(std::size_t later, std::size_t earlier, const std::string& topic) {
    add(later, lines_[later].table,
        "pipeline " + quoted(t_.pipelines[earlier].name) + " writes the topic " + quoted(topic) +
            " into the same table; every record would be there twice");
  }

  void memory() {
    const std::uint64_t most = t_.memory_bytes / 4; // no plan may be larger: it must be rebuilt beside everything else
    for (std::size_t i = 0; i < t_.pipelines.size(); ++i)
      if (t_.pipelines[i].batch.bytes > most)
        add(i, lines_[i].bytes,
            "batch.bytes is " + format_size(t_.pipelines[i].batch.bytes) +
                ", but a batch may take a quarter of memory at most, " + format_size(most) +
                " here; raise memory, or lower batch.bytes");
  }

  const topology& t_;
  const std::vector<pipeline_lines>& lines_;
  std::vector<yaml_problem>& problems_;
};

} // namespace

namespace {

// http:// or https://, a host, perhaps a port; neither user nor parameters. `settings`: where those belong.
result<std::string> check_http_url(const std::string& url, const std::string& shape, const std::string& user,
                                   const std::string& settings) {
  std::string_view rest = url;
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  else if (rest.starts_with("https://")) rest.remove_prefix(8);
  else return complaint("begins with neither http:// nor https://; " + shape);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.find('@') != authority.npos) return complaint("holds a user or a password; write " + user);
  if (rest.find_first_of("?#") != rest.npos) return complaint("holds parameters; " + settings);
  if (std::any_of(rest.begin(), rest.end(), [](char c) { return static_cast<unsigned char>(c) <= ' '; }))
    return complaint("holds a blank; " + shape);
  const auto address = read_host_port(authority);
  if (!address || address->port == 0) return complaint("names no host and port; " + shape);
  return url;
}

} // namespace

result<std::string> check_clickhouse_url(const std::string& url) {
  return check_http_url(url, "write http://host:8123 or https://host:8443", "clickhouse.user and clickhouse.password",
                        "write clickhouse.settings");
}

result<std::string> check_registry_url(const std::string& url) {
  return check_http_url(url, "write http://host:8081 or https://host", "registry.user and registry.password",
                        "the registry takes none");
}

result<std::string> check_brokers(const std::string& brokers) {
  for (std::string_view one : split(brokers, ',')) {
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    // librdkafka takes "PROTOCOL://" in front of the host.
    const auto scheme = one.find("://");
    const auto address = read_host_port(scheme == one.npos ? one : one.substr(scheme + 3));
    if (!address || address->port == 0)
      return complaint(quoted(one) + " is no address of a broker; write host:9092, several with commas");
  }
  return brokers;
}

result<std::string> check_topic(const std::string& topic) {
  if (topic.size() > topic_length_max)
    return complaint(quoted(topic) + " is longer than the " + std::to_string(topic_length_max) +
                     " characters of Kafka");
  if (is_pattern(topic)) {
    if (const auto regex = compile(topic); !regex) return regex.failure();
    return topic;
  }
  if (topic.empty() || topic == "." || topic == ".." || !is_name_like(topic))
    return complaint(quoted(topic) +
                     " is no name of a topic (letters, digits, '.', '_' and '-'); a pattern begins with ^");
  return topic;
}

result<std::string> check_pipeline_name(const std::string& name) {
  constexpr std::size_t most = 100;
  if (name.empty() || name.size() > most || !is_name_like(name) || name == "." || name == "..")
    return complaint(quoted(name) + " is no name of a pipeline: 1 to " + std::to_string(most) +
                     " letters, digits, '.', '_' and '-'");
  return name;
}

result<std::string> check_table(const std::string& table, bool may_name_topic) {
  std::string rest = table;
  if (const auto at = rest.find("{topic}"); may_name_topic && at != rest.npos) rest.erase(at, 7);
  if (rest.find_first_of("{}") != rest.npos)
    return complaint(quoted(table) + (may_name_topic ? ": the only braces that a table takes are one {topic}"
                                                     : ": braces have no meaning here"));
  if (rest.find('.') != rest.npos)
    return complaint(quoted(table) + " holds a '.'; write the database by itself: database: name");
  if (table.size() > 200 || rest.find_first_of("/\\") != rest.npos)
    return complaint(quoted(table) + " is no name of a table");
  return table;
}

result<std::string> check_destination(const std::string& table) {
  if (table.empty()) return complaint("is empty");
  return check_table(table, true);
}

result<std::string> check_database(const std::string& name) {
  if (name.empty()) return complaint("is empty");
  return check_table(name, false);
}

result<std::string> check_group(const std::string& name) {
  if (name.empty() || name.size() > topic_length_max) return complaint("is empty or too long for a group's name");
  return name;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

result<std::string> check_text(const std::string& text) {
  if (text.empty()) return complaint("is empty");
  return text;
}

result<std::string> check_lines(const std::string& text) {
  std::string rest = text;
  std::erase_if(rest, [](char c) { return c == '\n' || c == '\r'; });
  if (has_control(rest)) return complaint("holds a control character that is no line end");
  return text;
}

result<std::string> check_sql_word(const std::string& text) {
  auto plain = [](unsigned char c) { return std::isalnum(c) || c == '_'; };
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) ||
      !std::all_of(text.begin(), text.end(), plain))
    return complaint(quoted(text) + " is no name of letters, digits and '_'");
  return text;
}

result<std::string> check_redis(const std::string& url) {
  if (auto parsed = parse_redis_url(url); !parsed) return parsed.failure();
  return url;
}

result<std::string> check_field_path(const std::string& path) {
  const bool holes = path.starts_with('.') || path.ends_with('.') || path.find("..") != path.npos;
  if (path.empty() || holes) return complaint(quoted(path) + " is no path of a field, as in a or a.b");
  return path;
}

result<char> check_delimiter(const std::string& text) {
  if (text.size() != 1 || text == "\"" || text == "\r" || text == "\n")
    return complaint("takes one character (of ASCII), neither a quote nor a line end");
  return text[0];
}

bool is_column_name(const std::string& name) { return !name.empty() && !has_control(name); }

std::string kafka_property_fault(const std::string& name) {
  if (const owned_name* o = find_owned(owned_kafka_properties, name))
    return "the engine owns this property: " + std::string(o->why);
  return name.empty() || has_control(name) ? "no name of a property" : "";
}

bool is_pem_property(std::string_view name) { return name.ends_with(".pem"); }

std::string clickhouse_setting_fault(const std::string& name) {
  if (const owned_name* o = find_owned(pinned_clickhouse_settings, name))
    return "this setting cannot be set: " + std::string(o->why);
  if (name.starts_with("param_")) return "this setting cannot be set: it is a parameter of the statement";
  const bool plain =
      !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return is_alphanumeric(c) || c == '_'; });
  return plain ? "" : "no name of a setting";
}

result<std::pair<std::string, int>> check_listen(const std::string& listen) {
  const auto address = read_host_port(listen);
  if (!address || !address->port)
    return complaint(quoted(listen) + " is no address to listen on; write host:port, as in 127.0.0.1:8088");
  return std::pair(address->host, *address->port);
}

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host == "::1") return true;
  if (!host.starts_with("127.")) return false;
  // A name may begin with "127." as well: only digits and dots make an address.
  return host.find_first_not_of("0123456789.") == host.npos && std::count(host.begin(), host.end(), '.') == 3;
}

// --- one pipeline ----------------------------------------------------------------------------------------------------

void fill_in(pipeline_config& p, const clickhouse_config& c) {
  if (p.group.empty()) p.group = "chute-" + p.name;
  if (p.database.empty()) p.database = c.database;
}

std::uint64_t batch_bytes_for(std::uint64_t memory_bytes) { return std::min(batch_config().bytes, memory_bytes / 4); }

std::vector<setting_fault> choice_faults(const pipeline_config& p) {
  std::vector<setting_fault> out;
  const bool structured = p.format != "csv" && p.format != "tsv" && p.format != "raw" && p.format != "passthrough";
  if (p.envelope != envelope_kind::none && !structured)
    out.push_back({"envelope", "does not go with format: " + p.format + ", whose records have no fields in fields"});
  if (p.on_new_field != new_field_policy::ignore && !structured)
    out.push_back({"on_new_field", "does not go with format: " + p.format + ", whose records name no fields"});
  if (p.deletes == delete_policy::collapsing && p.envelope == envelope_kind::none)
    out.push_back({"deletes", "collapsing takes back a row as it was, which only a change event tells: write "
                              "envelope: debezium"});
  if (p.deletes != delete_policy::reject && p.format == "passthrough")
    out.push_back({"deletes", "does not go with format: passthrough, whose values chute does not read"});
  return out;
}

std::vector<setting_fault> key_column_faults(const pipeline_config& p) {
  std::vector<setting_fault> out;
  std::size_t columns = 0;
  for (const auto& [column, source] : p.columns) {
    if (source.kind != column_source::from::key) continue;
    ++columns;
    const auto refuse = [&out, where = "columns." + column](const char* why) { out.push_back({where, why}); };
    if (p.format == "passthrough")
      refuse("takes a field of the key, which format: passthrough has no place for; {meta: key} is the whole key");
    else if (p.key.format.empty()) refuse("takes a field of the key, but the key has no format; write key: json, …");
    else if (p.key.format == "raw" && source.text != "value")
      refuse("takes a field of the key, but with key: raw a key has none but 'value'");
    else if (p.key.format == "raw" && columns > 1)
      refuse("takes the key, which with key: raw goes into one column; {meta: key} fills any number");
  }
  if (columns == 0 && !p.key.format.empty())
    out.push_back({"key", "no column takes a field of the key; write columns: {NAME: {key: FIELD}}"});
  return out;
}

// ClickHouse reads the values: what would take chute to read them has no meaning.
std::vector<setting_fault> passthrough_faults(const pipeline_config& p, const clickhouse_config& c) {
  std::vector<setting_fault> out;
  if (p.format != "passthrough") return out;
  for (const auto& [column, source] : p.columns)
    if (source.kind == column_source::from::field)
      out.push_back({"columns." + column, "takes a field, but with format: passthrough ClickHouse reads the value: "
                                          "fields go into the columns of their names"});
  for (const auto& asked : p.where)
    if (asked.on == condition::subject::field)
      out.push_back({"where", "asks for a field, but with format: passthrough nobody reads the value before ClickHouse "
                              "does; ask for a header, or choose another format"});
  for (const auto& [name, value] : c.settings)
    if (const owned_name* o = find_owned(passthrough_settings, name))
      out.push_back(
          {"", "clickhouse.settings." + name + " cannot be set beside format: passthrough: " + std::string(o->why)});
  return out;
}

std::string topics_fault(const std::vector<std::string>& topics) {
  const bool pattern = std::any_of(topics.begin(), topics.end(), [](auto& t) { return is_pattern(t); });
  return pattern && topics.size() > 1 ? "a pattern (it begins with ^) stands alone; write a pipeline for each" : "";
}

std::string condition_fault(const pipeline_config& p, const condition& c) {
  const bool no_field = p.format == "raw" && c.on == condition::subject::field && c.name != "value";
  return no_field ? "with format: raw a record has no field but 'value'" : "";
}

std::string state_fault(const state_config& c) {
  if (c.store == store_kind::file && c.path.empty())
    return "'path' is missing: the directory that store: file keeps its records in";
  if (c.store == store_kind::redis && c.url.empty())
    return "'url' is missing: where store: redis is, as in redis://host:6379";
  return "";
}

error problems_error(std::vector<yaml_problem>& problems, const std::string& name) {
  std::stable_sort(problems.begin(), problems.end(), [](auto& a, auto& b) { return a.line < b.line; });
  std::string cause;
  for (std::size_t i = 0; i < problems.size() && i < problems_shown_max; ++i) {
    if (i) cause += '\n';
    if (!name.empty()) cause += name + ":" + std::to_string(problems[i].line) + ": ";
    cause += problems[i].text;
  }
  if (problems.size() > problems_shown_max)
    cause += "\n" + (name.empty() ? "" : name + ": ") + "and " + std::to_string(problems.size() - problems_shown_max) +
             " more";
  return {"topology", cause, ""};
}

void check_contradictions(const topology& t, const std::vector<pipeline_lines>& lines, int state_line, int admin_line,
                          std::vector<yaml_problem>& problems) {
  contradiction_finder(t, lines, problems).find(state_line, admin_line);
}

} // namespace chute
