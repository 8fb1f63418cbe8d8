// `chute check` and the records themselves: the last ones of a topic, decoded as the pipeline would.
#include "actors/inspect_parts.hpp"
#include "actors/worker.hpp"
#include "formats/registry.hpp"
#include "kafka/fetch.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace chute {

namespace {

using severity = enum finding::severity;
constexpr std::int64_t limit_ms = inspect_limit_ms, reading_ms = 5'000; // of a topic
constexpr std::int64_t records_wanted = 20;
constexpr std::size_t partitions_read = 4;
constexpr std::uint64_t bytes_read = 8 << 20;

struct place {
  kafka::topic_partition where;
  offset_t from, end;
};

// The ends of the longest logs of a topic.
std::vector<place> last_of(kafka::inspector& k, const kafka::topic_info& t) {
  std::vector<kafka::topic_partition> parts;
  for (std::int32_t i = 0; i < t.partitions; ++i) parts.push_back({t.name, {i}});
  std::vector<place> out;
  const auto bounds = k.bounds(parts, limit_ms);
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (bounds[i].ok() && bounds[i]->begin < bounds[i]->end)
      out.push_back({parts[i], bounds[i]->begin, bounds[i]->end});
  std::stable_sort(out.begin(), out.end(),
                   [](const place& a, const place& b) { return a.end - a.from > b.end - b.from; });
  if (out.size() > partitions_read) out.resize(partitions_read);
  for (auto& p : out) p.from = std::max(p.from, p.end - records_wanted / static_cast<std::int64_t>(out.size()));
  return out;
}

// What comes of one partition until its end or the time is over. What cannot be read at all is told.
std::vector<kafka::raw_batch> read_place(kafka::fetcher& f, const place& p, std::int64_t until,
                                         std::optional<error>& failure) {
  std::mutex lock;
  std::condition_variable wake;
  bool woken = false;
  std::vector<kafka::raw_batch> out;
  auto stream = f.open_stream(p.where, [&] {
    std::lock_guard hold(lock);
    woken = true;
    wake.notify_all();
  });
  if (!stream.ok()) return failure = stream.failure(), std::move(out);
  if (auto r = (*stream)->start(p.from); !r.ok()) return failure = r.failure(), std::move(out);
  while (mono_now() < until) {
    auto raw = (*stream)->take(static_cast<std::size_t>(records_wanted), bytes_read);
    if (raw.failure && (raw.failure->halts() || raw.failure->what == kafka::stream_error::kind::denied)) {
      failure = raw.failure->why;
      break;
    }
    const bool over = raw.at_end || raw.end || (!raw.empty() && raw.last + 1 >= p.end);
    if (!raw.records.empty()) out.push_back(std::move(raw));
    if (over) break;
    std::unique_lock hold(lock);
    wake.wait_for(hold, std::chrono::milliseconds(100), [&] { return woken; });
    woken = false;
  }
  return out;
}

// False: the registry does not tell, which is found elsewhere.
bool fetch_wanted(const context_ptr& c, const decoder& d, const kafka::raw_batch& raw, schema_cache& into) {
  std::vector<std::uint32_t> ids;
  d.wanted_schemas(raw.records, ids);
  if (ids.empty()) return true;
  worker_tools tools(c, 0);
  const registry_get get = [&](const std::string& path) { return get_schema(tools, path, reading_ms); };
  return std::all_of(ids.begin(), ids.end(), [&](std::uint32_t id) {
    constexpr int asked_max = 3; // until then an id that is not there may come yet
    for (int i = 0; i < asked_max; ++i) {
      const auto f = fetch_schema(id, get, into, i * schema_cache::apart_ms);
      if (f.what == fetched_schema::verdict::later) return false;
      if (f.what != fetched_schema::verdict::missing) return true;
    }
    return true;
  });
}

struct decoded {
  std::size_t records = 0, rows = 0, bad = 0;
  std::uint64_t ignored = 0; // fields without a column
  std::string first;         // why the first one is bad
};

void decode_into(decoder& d, const kafka::raw_batch& raw, const std::string& topic, partition_id partition,
                 decoded& out) {
  chunk c;
  c.topic = topic;
  c.partition = partition;
  c.first = raw.first;
  c.last = raw.last;
  d.decode(raw.records, raw, c);
  out.records += c.outcomes.size();
  for (auto o : c.outcomes) {
    out.rows += o == outcome::row;
    out.bad += o == outcome::dead_letter || o == outcome::stop;
  }
  out.ignored += c.fields_ignored;
  if (out.first.empty() && !c.dead.empty())
    out.first = kafka::to_string(kafka::topic_partition{topic, partition}) + " at offset " +
                std::to_string(c.dead.front().offset.value) + ": " + c.dead.front().error;
}

// As if no field had a column: as many fields are ignored then as there are.
std::vector<target_column> without_fields(const std::vector<target_column>& targets) {
  std::vector<target_column> out;
  for (const auto& t : targets)
    if (t.source.kind == column_source::from::meta) out.push_back(t);
  return out;
}

void judge(const context_ptr& c, const std::string& where, const decoded& d, const std::optional<decoded>& bare,
           std::vector<finding>& out) {
  const auto& p = c->config;
  const auto mend = "write format: as the records are (json, avro, protobuf, csv, …), and columns: for their fields";
  const auto become = p.on_bad_record == bad_record_policy::stop   ? "its lanes would stop"
                      : p.on_bad_record == bad_record_policy::skip ? "they would be dropped"
                                                                   : "they would become dead letters";
  if (d.bad == d.records && d.bad > 0)
    out.push_back({severity::error, where,
                   "none of its last " + std::to_string(d.records) +
                       " records can become a row with format: " + p.format + ", " + become + "; the first: " + d.first,
                   mend});
  else if (d.bad * 4 >= d.records && d.bad > 0)
    out.push_back({severity::warning, where,
                   std::to_string(d.bad) + " of its last " + std::to_string(d.records) +
                       " records cannot become rows, " + become + "; the first: " + d.first,
                   mend});
  else if (bare && d.rows > 0 && d.ignored > 0 && bare->ignored == d.ignored &&
           p.on_new_field == new_field_policy::ignore)
    out.push_back({severity::warning, where,
                   "no field of its last " + std::to_string(d.records) +
                       " records has a column in the table: the rows would hold defaults only",
                   "name the table's columns as the fields, or map them under columns:"});
}

} // namespace

void check_records(kafka::inspector& k, const context_ptr& c, const kafka::topic_info& t, const table_seen& seen,
                   std::vector<finding>& out) {
  const auto& p = c->config;
  const auto where = "pipeline " + p.name + ": topic " + t.name;
  const auto places = last_of(k, t);
  if (places.empty() || seen.targets.empty() || p.format == "passthrough") return;
  auto options = seen.options;
  options.topic = t.name;
  options.schemas = std::make_shared<schema_cache>();
  auto d = make_decoder(p.format, seen.targets, options);
  if (!d.ok()) return; // told with the table
  auto bare = make_decoder(p.format, without_fields(seen.targets), options);
  kafka::fetch_options fetching;
  fetching.client = c->kafka_client();
  fetching.buffer_bytes = bytes_read;
  auto f = kafka::fetcher::open(fetching);
  if (!f.ok()) return out.push_back(finding_of(severity::error, where, f.failure(), "correct kafka: in the topology"));
  decoded real, empty;
  const auto until = mono_now() + reading_ms;
  for (const auto& at : places) {
    std::optional<error> failure;
    for (const auto& raw : read_place(**f, at, until, failure)) {
      if (!fetch_wanted(c, **d, raw, *options.schemas)) return;
      decode_into(**d, raw, t.name, at.where.partition, real);
      if (bare.ok()) decode_into(**bare, raw, t.name, at.where.partition, empty);
    }
    if (failure)
      return out.push_back(finding_of(severity::error, where, *failure, "grant this user Read on the topic"));
  }
  judge(c, where, real, bare.ok() ? std::optional(empty) : std::nullopt, out);
}

} // namespace chute
