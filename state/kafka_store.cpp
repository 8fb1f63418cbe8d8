#include "state/kafka_store.hpp"

#include "core/record.hpp"

namespace chute {

namespace {

// Beside a record: "chute1+<lineage>.<version>", to notice a foreign move of a partition that is no seat.
constexpr std::string_view beside_marker = "chute1+";

std::string beside(const lane_record& r) {
  char text[64];
  std::snprintf(text, sizeof text, "chute1+%016llx.%llu", static_cast<unsigned long long>(r.lineage),
                static_cast<unsigned long long>(r.version));
  return text;
}

bool ours(const std::string& metadata) {
  return metadata.rfind(record_marker, 0) == 0 || metadata.rfind(beside_marker, 0) == 0;
}

std::string describe_foreign(const offset_log::place& p, const offset_log::entry& e) {
  auto shown = e.metadata.substr(0, 60);
  for (auto& c : shown)
    if (static_cast<unsigned char>(c) < 32) c = '?';
  return p.topic + "/" + std::to_string(p.partition.value) + " is committed at offset " + std::to_string(e.next.value) +
         " with the metadata '" + shown + "', which is not chute's";
}

class kafka_store final : public store {
public:
  explicit kafka_store(offset_log& log) : log_(log) {}
  const char* name() const override { return "kafka"; }

  std::vector<loaded> load(const std::vector<lane_key>& lanes, std::int64_t limit_ms) override {
    std::vector<offset_log::place> seats;
    for (const auto& l : lanes) seats.push_back({l.topic, {l.lane.value}});
    auto found = log_.committed(seats, limit_ms);
    std::vector<loaded> out(lanes.size());
    std::vector<offset_log::place> others;
    std::vector<std::size_t> of; // whose
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      out[i] = from_seat(seats[i], found[i]);
      if (out[i].status != loaded::status::found) continue;
      auto r = decode_record(out[i].record.text);
      if (!r.ok()) continue; // the lane says so
      out[i].record.version = r->version;
      for (std::size_t k = 1; k < r->partitions.size(); ++k) {
        others.push_back({lanes[i].topic, lane_partition_id(lanes[i].lane, r->lanes, k)});
        of.push_back(i);
      }
    }
    if (others.empty()) return out;
    auto beside_them = log_.committed(others, limit_ms);
    for (std::size_t k = 0; k < others.size(); ++k) check_beside(others[k], beside_them[k], out[of[k]]);
    return out;
  }

  std::vector<saved> save(const std::vector<save_request>& requests, std::int64_t limit_ms) override {
    std::vector<saved> out(requests.size());
    std::size_t at = 0;
    while (at < requests.size()) {
      std::vector<offset_log::commit> commits;
      std::vector<std::size_t> seat_of;
      std::size_t bytes = 0, end = at;
      for (; end < requests.size(); ++end) {
        auto more = requests[end].record.text.size() + 64 * requests[end].offsets.size();
        if (end > at && bytes + more > commit_bytes_max) break;
        bytes += more;
        seat_of.push_back(commits.size());
        add(requests[end], commits);
      }
      auto answers = log_.write(commits, limit_ms);
      for (std::size_t i = at; i < end; ++i) out[i] = translate(answers[seat_of[i - at]]);
      at = end;
    }
    return out;
  }

private:
  static loaded from_seat(const offset_log::place& seat, offset_log::entry& e) {
    loaded l;
    switch (e.what) {
    case offset_log::entry::status::failed: l.failure = e.why; break;
    case offset_log::entry::status::none: l.status = loaded::status::absent; break;
    case offset_log::entry::status::found:
      if (e.metadata.rfind(record_marker, 0) == 0) {
        l.status = loaded::status::found;
        l.record.text = std::move(e.metadata);
      } else l.foreign = describe_foreign(seat, e);
    }
    return l;
  }

  // A partition that is no seat: absent or behind, the record wins; moved by somebody else, it is told.
  static void check_beside(const offset_log::place& p, const offset_log::entry& e, loaded& l) {
    if (l.status != loaded::status::found) return;
    if (e.what == offset_log::entry::status::failed) {
      l.status = loaded::status::failed;
      l.failure = e.why;
    } else if (e.what == offset_log::entry::status::found && !ours(e.metadata)) {
      l.status = loaded::status::failed;
      l.foreign = describe_foreign(p, e);
    }
  }

  static void add(const save_request& r, std::vector<offset_log::commit>& commits) {
    auto record = decode_record(r.record.text);
    auto note = record.ok() ? beside(*record) : std::string(beside_marker);
    for (std::size_t k = 0; k < r.offsets.size(); ++k)
      commits.push_back({{r.lane.topic, r.offsets[k].partition}, r.offsets[k].next, k == 0 ? r.record.text : note});
  }

  static saved translate(const offset_log::answer& a) {
    using from = offset_log::answer::status;
    switch (a.what) {
    case from::ok: return {save_status::accepted, {}};
    case from::refused:
    case from::rejected: return {save_status::refused, a.why};
    case from::not_now: return {save_status::not_now, a.why};
    case from::unknown: return {save_status::unknown, a.why};
    }
    return {save_status::unknown, a.why};
  }

  offset_log& log_;
};

} // namespace

std::unique_ptr<store> make_kafka_store(offset_log& log) { return std::make_unique<kafka_store>(log); }

} // namespace chute
