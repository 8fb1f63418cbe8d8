#include "test/kit/compare.hpp"

#include "test/kit/read.hpp"
#include "test/kit/records.hpp"
#include "test/kit/row_binary.hpp"

#include <nlohmann/json.hpp>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace chute::kit {
namespace {

// What is known of one offset, in one byte: the verdict, and how often it was found (up to 3 times each).
class mark {
public:
  verdict expected() const { return static_cast<verdict>(bits_ & 3); }
  void expect(verdict v) { bits_ = static_cast<std::uint8_t>((bits_ & ~3) | static_cast<int>(v)); }
  int rows() const { return (bits_ >> 2) & 3; }
  int dead() const { return (bits_ >> 4) & 3; }
  bool differs() const { return bits_ & 64; }
  void found_row() { bits_ = static_cast<std::uint8_t>(rows() < 3 ? bits_ + 4 : bits_); }
  void found_dead() { bits_ = static_cast<std::uint8_t>(dead() < 3 ? bits_ + 16 : bits_); }
  void found_different() { bits_ |= 64; }

private:
  std::uint8_t bits_ = 0;
};

// One partition: 9 bytes an offset.
struct log {
  std::int64_t begin = 0, end = 0;   // of the log
  std::int64_t from = 0, to = 0;     // what is looked at
  std::vector<std::uint64_t> hashes; // of the row, or of the dead letter
  std::vector<mark> marks;
};
constexpr std::int64_t offsets_max = 500'000'000; // 4.5 GB

std::uint64_t hash(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

void part(std::string& out, const std::optional<std::string_view>& bytes) {
  out += bytes ? '\1' : '\0';
  if (!bytes) return;
  append_length(out, bytes->size());
  out += *bytes;
}

// -- the topic
// ---------------------------------------------------------------------------------------------------------

class topic_reading {
public:
  topic_reading(const comparison& what, std::vector<log>& logs, renderer rows, findings& out)
      : what_(what), logs_(logs), rows_(std::move(rows)), out_(out) {}
  void run(rd_kafka_t* reader);

private:
  void record(log& l, const rd_kafka_message_t& m);
  std::uint64_t dead_letter_hash(const rd_kafka_message_t& m, const raw_record& r);
  bool left_out(const rd_kafka_message_t& m, const raw_record& r) const;
  const comparison& what_;
  std::vector<log>& logs_;
  renderer rows_;
  findings& out_;
  std::string scratch_;
};

void topic_reading::run(rd_kafka_t* reader) {
  std::vector<log_bounds> ranges;
  for (const log& l : logs_) ranges.push_back({l.from, l.to});
  read_topic(reader, what_.topic, ranges,
             [&](const rd_kafka_message_t& m) { record(logs_[static_cast<std::size_t>(m.partition)], m); });
}

void topic_reading::record(log& l, const rd_kafka_message_t& m) {
  raw_record r;
  r.timestamp_ms = rd_kafka_message_timestamp(&m, nullptr);
  if (m.key) r.key = std::string_view(static_cast<const char*>(m.key), m.key_len);
  if (m.payload) r.value = std::string_view(static_cast<const char*>(m.payload), m.len);
  if (left_out(m, r)) {
    out_.left_out++;
    return;
  }
  out_.produced++;
  verdict v = what_.offsets_only ? verdict::either : rows_.render(r, scratch_);
  const void* meant = nullptr;
  std::size_t size = 0;
  rd_kafka_headers_t* headers = nullptr;
  if (!rd_kafka_message_headers(&m, &headers) &&
      !rd_kafka_header_get_last(headers, broken_header.data(), &meant, &size)) {
    if (v == verdict::row) {
      throw failure("oracle: " + what_.topic + "/" + std::to_string(m.partition) + " offset " +
                    std::to_string(m.offset) + " was made broken (" +
                    std::string(static_cast<const char*>(meant), size) +
                    "), but looks sound to the oracle: one of the two is wrong, nothing was compared");
    }
    if (what_.raw.empty()) v = verdict::dead_letter;
  }
  const auto i = static_cast<std::size_t>(m.offset - l.from);
  l.marks[i].expect(v);
  l.hashes[i] = v == verdict::row ? hash(scratch_) : dead_letter_hash(m, r);
}

// What cannot be parsed is not left out: nobody can tell whose it is.
bool topic_reading::left_out(const rd_kafka_message_t& m, const raw_record& r) const {
  if (what_.where_name.empty()) return false;
  if (what_.where_header) {
    rd_kafka_headers_t* headers = nullptr;
    const void* text = nullptr;
    std::size_t size = 0;
    return rd_kafka_message_headers(&m, &headers) ||
           rd_kafka_header_get_last(headers, what_.where_name.c_str(), &text, &size) || !text ||
           !what_.where_texts.contains(std::string(static_cast<const char*>(text), size));
  }
  if (!r.value) return false;
  const auto all = nlohmann::json::parse(*r.value, nullptr, false);
  if (!all.is_object()) return false;
  const auto at = all.find(what_.where_name);
  return at == all.end() || !at->is_string() || !what_.where_texts.contains(at->get<std::string>());
}

std::uint64_t topic_reading::dead_letter_hash(const rd_kafka_message_t& m, const raw_record& r) {
  std::string& all = scratch_;
  all.assign(reinterpret_cast<const char*>(&r.timestamp_ms), sizeof r.timestamp_ms);
  part(all, r.key);
  part(all, r.value);
  rd_kafka_headers_t* headers = nullptr;
  if (!rd_kafka_message_headers(&m, &headers)) {
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    for (std::size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++) {
      part(all, name);
      part(all, value ? std::optional(std::string_view(static_cast<const char*>(value), size)) : std::nullopt);
    }
  }
  return hash(all);
}

// -- the tables
// --------------------------------------------------------------------------------------------------------

// Offsets that are asked for at once: whole partitions as long as they are small, ranges of a partition if it is large.
struct slice {
  std::size_t first, last; // partitions
  std::int64_t from, to;   // only where first == last
};
constexpr std::int64_t slice_offsets = 200'000;

std::vector<slice> cut(const std::vector<log>& logs) {
  std::vector<slice> out;
  std::int64_t room = 0;
  for (std::size_t p = 0; p < logs.size(); p++) {
    const log& l = logs[p];
    const std::int64_t n = l.to - l.from;
    if (!n) continue;
    if (n > slice_offsets) {
      for (std::int64_t at = l.from; at < l.to; at += slice_offsets)
        out.push_back({p, p, at, std::min(at + slice_offsets, l.to)});
      room = 0;
    } else if (n <= room) {
      out.back().last = p;
      room -= n;
    } else {
      out.push_back({p, p, l.from, l.to});
      room = slice_offsets - n;
    }
  }
  return out;
}

std::string list_of(const std::vector<log>& logs, std::int64_t log::*member) {
  std::string out = "[";
  for (const log& l : logs) out += (out.size() > 1 ? "," : "") + std::to_string(l.*member);
  return out + "]";
}

std::string partitions_of(const std::vector<log>& logs) {
  std::string out = "[";
  for (std::size_t p = 0; p < logs.size(); p++) out += (p ? "," : "") + std::to_string(p);
  return out + "]";
}

// SQL: the offsets that the log does not have.
std::string outside_the_log(const std::vector<log>& logs, const std::string& partition, const std::string& offset) {
  const auto bound = [&](std::int64_t log::*member) {
    return "transform(toInt64(" + partition + "), " + partitions_of(logs) + ", " + list_of(logs, member) +
           ", toInt64(0))";
  };
  return "(toInt64(" + offset + ") < " + bound(&log::begin) + " OR toInt64(" + offset + ") >= " + bound(&log::end) +
         ")";
}

// Reads rows of fixed head (Int32 partition, Int64 offset) and any number of columns, as they come in pieces.
class row_reader {
public:
  using take = std::function<void(int partition, std::int64_t offset, std::string_view columns)>;
  row_reader(std::vector<value_type> columns, take on_row) : columns_(std::move(columns)), on_row_(std::move(on_row)) {}
  void feed(const char* data, std::size_t n) {
    rest_.append(data, n);
    const char *at = rest_.data(), *end = at + rest_.size();
    while (const auto next = row(at, end)) at = *next;
    rest_.erase(0, static_cast<std::size_t>(at - rest_.data()));
  }
  void finish() const {
    if (!rest_.empty()) throw failure("oracle: the table's reply ends within a row");
  }

private:
  std::optional<const char*> row(const char* at, const char* end) {
    constexpr std::ptrdiff_t head = 12;
    if (end - at < head) return {};
    std::int32_t partition;
    std::int64_t offset;
    std::memcpy(&partition, at, 4);
    std::memcpy(&offset, at + 4, 8);
    const char* from = at += head;
    for (const value_type& t : columns_) {
      const auto next = skip(t, at, end);
      if (!next) return {};
      at = *next;
    }
    on_row_(partition, offset, std::string_view(from, static_cast<std::size_t>(at - from)));
    return at;
  }
  std::vector<value_type> columns_;
  take on_row_;
  std::string rest_;
};

class judge {
public:
  judge(const comparison& what, std::vector<log>& logs, clickhouse& server, findings& out)
      : what_(what), logs_(logs), server_(server), out_(out) {}
  std::vector<row_column> columns_of_table();
  void read_rows(const std::vector<row_column>& columns);
  void read_dead_letters();
  void settle();

private:
  struct source {
    std::string table, partition, offset, mine; // mine: SQL, the rows that are of this topic
    std::string select;
    std::vector<value_type> types;
  };
  void read(const source& from, std::uint64_t& count, const row_reader::take& on_row);
  void outside(const source& from);
  void example(const std::string& kind, int partition, std::int64_t offset, const std::string& more);
  mark* at(int partition, std::int64_t offset, std::uint64_t*& expected);
  // One more find at this offset, not noted yet.
  void count(mark m) {
    if (m.expected() == verdict::none) out_.foreign++;
    else if (m.rows() + m.dead()) out_.doubled++;
  }
  std::uint64_t dead_hash(const std::vector<value_type>& types, std::string_view bytes, bool& reasoned);

  const comparison& what_;
  std::vector<log>& logs_;
  clickhouse& server_;
  findings& out_;
  std::map<std::string, std::size_t> shown_;
  std::string scratch_;
};

void judge::example(const std::string& kind, int partition, std::int64_t offset, const std::string& more) {
  if (shown_[kind]++ >= what_.examples) return;
  out_.examples.push_back(kind + ": " + what_.topic + "/" + std::to_string(partition) + " offset " +
                          std::to_string(offset) + (more.empty() ? "" : " (" + more + ")"));
}

mark* judge::at(int partition, std::int64_t offset, std::uint64_t*& expected) {
  if (partition < 0 || static_cast<std::size_t>(partition) >= logs_.size()) return nullptr;
  log& l = logs_[static_cast<std::size_t>(partition)];
  if (offset < l.from || offset >= l.to) return nullptr;
  expected = &l.hashes[static_cast<std::size_t>(offset - l.from)];
  return &l.marks[static_cast<std::size_t>(offset - l.from)];
}

std::vector<row_column> judge::columns_of_table() {
  std::vector<row_column> out;
  if (what_.offsets_only) return out;
  bool partition = false, offset = false, raw = false;
  for (const described_column& c : describe(server_, what_.table)) {
    partition |= c.name == "_partition";
    offset |= c.name == "_offset";
    if (c.name == "_partition" || c.name == "_offset" || c.name == "_topic" || c.name == "_headers" ||
        c.name == "_source")
      continue;
    if (what_.ignore.count(c.name) || c.default_kind == "MATERIALIZED" || c.default_kind == "ALIAS" ||
        c.default_kind == "EPHEMERAL")
      continue;
    const bool meta = c.name == "_timestamp" || c.name == "_key";
    if (!what_.raw.empty() && c.name != what_.raw && !meta) continue;
    row_column r{c.name == "_timestamp" ? row_column::from::timestamp
                 : c.name == "_key"     ? row_column::from::key
                 : !what_.raw.empty()   ? row_column::from::whole_value
                                        : row_column::from::field,
                 c.name,
                 parse_value_type(c.type),
                 {}};
    raw |= r.source == row_column::from::whole_value;
    if (r.source == row_column::from::whole_value && r.type.what != kind::string) {
      throw failure("oracle: --raw " + c.name + " is a " + c.type + ", not a String");
    }
    if (r.source == row_column::from::timestamp && (r.type.what != kind::datetime64 || r.type.scale != 3)) continue;
    if (c.default_kind == "DEFAULT") {
      r.default_bytes = server_.ask("SELECT CAST(" + c.default_expression + " AS " + c.type + ") FORMAT RowBinary");
    } else {
      render_default(r.type, r.default_bytes);
    }
    out.push_back(std::move(r));
  }
  if (!partition || !offset)
    throw failure("oracle: " + what_.table + " has no _partition and _offset: nothing to compare by");
  if (!what_.raw.empty() && !raw) throw failure("oracle: " + what_.table + " has no column " + what_.raw);
  if (out.empty()) throw failure("oracle: " + what_.table + " has no column to compare");
  return out;
}

void judge::read(const source& from, std::uint64_t& count, const row_reader::take& on_row) {
  for (const slice& s : cut(logs_)) {
    std::string where =
        "toInt64(" + from.partition + ") BETWEEN " + std::to_string(s.first) + " AND " + std::to_string(s.last);
    if (s.first == s.last) {
      where += " AND " + from.offset + " >= " + std::to_string(s.from) + " AND " + from.offset + " < " +
               std::to_string(s.to);
    }
    std::uint64_t seen = 0;
    row_reader reader(from.types, [&](int partition, std::int64_t offset, std::string_view columns) {
      std::uint64_t* unused = nullptr;
      if (!at(partition, offset, unused)) return; // outside() tells of those
      seen++;
      on_row(partition, offset, columns);
    });
    server_.stream("SELECT toInt32(" + from.partition + "), toInt64(" + from.offset + ")" + from.select + " FROM " +
                       from.table + " WHERE " + from.mine + " AND " + where + " FORMAT RowBinary",
                   [&](const char* data, std::size_t n) { reader.feed(data, n); });
    reader.finish();
    count += seen;
  }
  outside(from);
  // The reply's own word for how many there are: a reply that was cut between two rows would look complete.
  const std::uint64_t all = server_.number("SELECT count() FROM " + from.table + " WHERE " + from.mine);
  const std::uint64_t looked_at = server_.number("SELECT count() FROM " + from.table + " WHERE " + from.mine +
                                                 " AND NOT " + outside_the_log(logs_, from.partition, from.offset));
  const bool everything = what_.from.empty() && what_.to.empty();
  if (everything && looked_at != count) {
    throw failure("oracle: " + from.table + " told of " + std::to_string(looked_at) + " rows and gave " +
                  std::to_string(count) + " (does somebody write to it at this moment?)");
  }
  if (everything) count = all;
}

void judge::outside(const source& from) {
  const std::string where = " WHERE " + from.mine + " AND " + outside_the_log(logs_, from.partition, from.offset);
  out_.foreign += server_.number("SELECT count() FROM " + from.table + where);
  for (const auto& f : server_.lines("SELECT toInt32(" + from.partition + "), toInt64(" + from.offset + ") FROM " +
                                     from.table + where + " LIMIT " + std::to_string(what_.examples))) {
    example("foreign", std::stoi(f.at(0)), std::stoll(f.at(1)), from.table + "; the log has no such offset");
  }
}

void judge::read_rows(const std::vector<row_column>& columns) {
  source from{what_.table, what_.partition_column, what_.offset_column, "1", {}, {}};
  bool has_topic = false;
  for (const described_column& c : describe(server_, what_.table)) has_topic |= c.name == what_.topic_column;
  if (has_topic) from.mine = what_.topic_column + " = " + quoted(what_.topic);
  for (const row_column& c : columns) {
    from.select += ", `" + c.name + "`";
    from.types.push_back(c.type);
  }
  read(from, out_.rows, [&](int partition, std::int64_t offset, std::string_view bytes) {
    std::uint64_t* expected = nullptr;
    mark* m = at(partition, offset, expected);
    count(*m);
    m->found_row();
    if (m->expected() == verdict::row && *expected != hash(bytes)) m->found_different();
    if (m->expected() == verdict::dead_letter) m->found_different();
  });
  if (has_topic && !what_.shared) {
    const std::uint64_t others =
        server_.number("SELECT count() FROM " + what_.table + " WHERE NOT (" + from.mine + ")");
    out_.foreign += others;
    if (others)
      out_.examples.push_back("foreign: " + std::to_string(others) + " rows of other topics (--shared allows them)");
  }
}

std::uint64_t judge::dead_hash(const std::vector<value_type>& types, std::string_view bytes, bool& reasoned) {
  // Columns: timestamp (Int64, -1 for none), key, value, headers, error.
  std::string& all = scratch_;
  const char *p = bytes.data(), *end = p + bytes.size();
  all.assign(p, 8);
  p += 8;
  const auto text = [&](const value_type& t) -> std::optional<std::string_view> {
    if (t.what == kind::nullable && *p++) return {};
    const std::uint64_t n = *read_length(p, end);
    std::string_view v(p, n);
    p += n;
    return v;
  };
  part(all, text(types[1]));
  part(all, text(types[2]));
  const std::vector<value_type>& pair = types[3].what == kind::map ? types[3].args : types[3].args[0].args;
  for (std::uint64_t n = *read_length(p, end), i = 0; i < n; i++) {
    part(all, text(pair[0]));
    part(all, text(pair[1]));
  }
  reasoned = !text(types[4])->empty();
  return hash(all);
}

void judge::read_dead_letters() {
  source from{what_.dead_letters, "partition", "offset", "topic = " + quoted(what_.topic), {}, {}};
  if (!what_.pipeline.empty()) from.mine += " AND pipeline = " + quoted(what_.pipeline);
  from.select = ", ifNull(toUnixTimestamp64Milli(timestamp), toInt64(-1)), key, value, headers, error";
  from.types.push_back(parse_value_type("Int64"));
  const std::vector<described_column> columns = describe(server_, what_.dead_letters);
  for (const char* name : {"key", "value", "headers", "error"}) {
    const auto c =
        std::find_if(columns.begin(), columns.end(), [&](const described_column& d) { return d.name == name; });
    if (c == columns.end()) throw failure("oracle: " + what_.dead_letters + " has no column " + name);
    from.types.push_back(parse_value_type(c->type));
  }
  const value_type& headers = from.types[3];
  const bool pairs = headers.what == kind::map || (headers.what == kind::array && headers.args[0].what == kind::tuple &&
                                                   headers.args[0].args.size() == 2);
  if (!pairs)
    throw failure("oracle: column headers of " + what_.dead_letters + " is neither a Map nor an Array of pairs");
  read(from, out_.dead_letters, [&](int partition, std::int64_t offset, std::string_view bytes) {
    std::uint64_t* expected = nullptr;
    mark* m = at(partition, offset, expected);
    count(*m);
    m->found_dead();
    bool reasoned = false;
    const std::uint64_t h = dead_hash(from.types, bytes, reasoned);
    if (m->expected() == verdict::row || *expected != h || !reasoned) m->found_different();
  });
}

void judge::settle() {
  for (std::size_t p = 0; p < logs_.size(); p++) {
    for (std::size_t i = 0; i < logs_[p].marks.size(); i++) {
      const mark m = logs_[p].marks[i];
      const int partition = static_cast<int>(p), found = m.rows() + m.dead();
      const std::int64_t offset = logs_[p].from + static_cast<std::int64_t>(i);
      const auto counts = [&] {
        return std::to_string(m.rows()) + " rows, " + std::to_string(m.dead()) + " dead letters";
      };
      if (m.expected() == verdict::none) {
        if (!found) continue;
        example("foreign", partition, offset, counts() + "; no committed record there");
        continue;
      }
      if (!found) {
        out_.missing++;
        example("missing", partition, offset, m.expected() == verdict::dead_letter ? "a dead letter" : "a row");
      }
      if (found > 1) example("doubled", partition, offset, counts());
      if (m.differs()) {
        out_.different++;
        const bool misplaced = m.expected() == verdict::row ? m.dead() > 0 : m.rows() > 0;
        example("different", partition, offset,
                misplaced
                    ? (m.rows() ? "a row, but the record cannot be one" : "a dead letter, but the record makes a row")
                    : "not what the record says");
      } else if (m.expected() == verdict::either && m.rows() == 1) {
        out_.unverified++;
      }
    }
  }
}

std::int64_t limit(const std::map<int, std::int64_t>& given, int partition, std::int64_t otherwise) {
  if (const auto one = given.find(partition); one != given.end()) return one->second;
  if (const auto all = given.find(-1); all != given.end()) return all->second;
  return otherwise;
}

std::vector<log> open_logs(const comparison& what, rd_kafka_t* reader) {
  std::vector<log> logs;
  std::int64_t all = 0;
  for (const log_bounds& b : bounds_of(reader, what.topic)) {
    const int p = static_cast<int>(logs.size());
    log& l = logs.emplace_back();
    l.begin = b.begin;
    l.end = b.end;
    l.from = std::max(b.begin, limit(what.from, p, b.begin));
    l.to = std::max(l.from, std::min(b.end, limit(what.to, p, b.end)));
    all += l.to - l.from;
    if (all > offsets_max) throw failure("oracle: more than 500 million offsets at once (use --from and --to)");
    l.hashes.resize(static_cast<std::size_t>(l.to - l.from));
    l.marks.resize(static_cast<std::size_t>(l.to - l.from));
  }
  return logs;
}

} // namespace

std::string findings::text() const {
  const auto n = [](std::uint64_t v) { return std::to_string(v); };
  std::string out = "produced " + n(produced) + ", in the table " + n(rows) + ", dead letters " + n(dead_letters) +
                    ", doubled " + n(doubled) + ", missing " + n(missing) + ", different " + n(different) +
                    ", foreign " + n(foreign);
  if (left_out) out += ", left out " + n(left_out);
  if (unverified) out += ", unverified " + n(unverified);
  return out;
}

std::string findings::json() const {
  return nlohmann::json{
      {"produced", produced}, {"rows", rows},           {"dead_letters", dead_letters}, {"doubled", doubled},
      {"missing", missing},   {"different", different}, {"foreign", foreign},           {"unverified", unverified},
      {"left_out", left_out}, {"exact", exact()},       {"examples", examples}}
      .dump();
}

findings compare(const comparison& what) {
  findings out;
  clickhouse server(what.server);
  kafka_handle reader = make_reader(what.brokers, what.kafka);
  std::vector<log> logs = open_logs(what, reader.get());
  judge j(what, logs, server, out);
  const std::vector<row_column> columns = j.columns_of_table();
  topic_reading(what, logs, renderer(columns), out).run(reader.get());
  j.read_rows(columns);
  if (!what.dead_letters.empty()) j.read_dead_letters();
  j.settle();
  return out;
}

} // namespace chute::kit
