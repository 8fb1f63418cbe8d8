#include "formats/protobuf.hpp"

#include "formats/avro.hpp"
#include "formats/datum_decoder.hpp"
#include "formats/protobuf_reader.hpp"
#include "formats/protobuf_schema.hpp"

#include <algorithm>
#include <stdexcept>
#include <unordered_map>

namespace chute {
namespace {

// How records of one message are read.
struct plan {
  const proto::message* root = nullptr;
  std::vector<bool> wanted; // fields that columns take
  std::string wrong;        // nothing can be read with it, and why
};

// A schema of the registry, and its messages as they are met.
struct known_schema {
  std::unique_ptr<proto::schema> schema;
  std::string wrong;
  std::vector<std::pair<std::vector<std::int64_t>, plan>> by_path; // few, and mostly one
};

class protobuf_decoder final : public datum_decoder {
public:
  protobuf_decoder(std::vector<target_column> targets, decoder_options options)
      : datum_decoder(std::move(targets), std::move(options)), reader_(arena_) {}

  result<void> make();
  void wanted_schemas(std::span<const record_view> records, std::vector<std::uint32_t>& out) const override;

protected:
  reading read(const record_view& r, std::string& why) override;

private:
  const plan* plan_of(std::string_view& value, std::string& why);
  known_schema& schema_of(std::uint32_t id);
  plan make_plan(result<const proto::message*> root, const std::string& who) const;
  bool take_path(std::string_view& value);

  std::unique_ptr<proto::schema> file_; // framing: none
  plan bare_;
  std::unordered_map<std::uint32_t, known_schema> by_id_; // framing: confluent
  known_schema unknown_;                                  // of the id that was last found to have no schema
  std::vector<std::int64_t> path_;                        // of the record at work
  proto::message_reader reader_;
};

result<void> protobuf_decoder::make() {
  if (auto r = make_writers("protobuf"); !r) return r;
  if (!options_.schemas) options_.schemas = std::make_shared<schema_cache>();
  const auto& c = options_.protobuf;
  if (c.framing == schema_framing::confluent) return {};
  const auto wrong = [](const std::string& why) {
    return error{"protobuf", "the schema of the topology " + why, "correct the file that `protobuf` names"};
  };
  auto made = proto::schema::make(c.schema);
  if (!made) return wrong(made.failure().cause);
  file_ = std::move(*made);
  auto root = file_->find(c.message);
  if (!root) return wrong(root.failure().cause);
  bare_ = make_plan(*root, "");
  return {};
}

plan protobuf_decoder::make_plan(result<const proto::message*> root, const std::string& who) const {
  if (!root) return {nullptr, {}, who + " " + root.failure().cause};
  plan p{*root, {}, ""};
  for (const auto& f : p.root->fields) p.wanted.push_back(p.root->as != proto::meaning::plain || wants(f.name));
  return p;
}

// -- whose schema ---------------------------------------------------------------------------------------------------

void protobuf_decoder::wanted_schemas(std::span<const record_view> records, std::vector<std::uint32_t>& out) const {
  if (options_.protobuf.framing != schema_framing::confluent) return;
  for (const auto& r : records) {
    if (!r.value) continue;
    auto value = *r.value;
    const auto id = take_schema_id(value);
    if (!id || by_id_.contains(*id) || std::find(out.begin(), out.end(), *id) != out.end()) continue;
    if (!options_.schemas->find(*id)) out.push_back(*id);
  }
}

known_schema& protobuf_decoder::schema_of(std::uint32_t id) {
  if (const auto at = by_id_.find(id); at != by_id_.end()) return at->second;
  const auto entry = options_.schemas->find(id);
  if (!entry && !options_.schemas->forgets())
    throw std::logic_error("schema " + std::to_string(id) + " was not fetched");
  const auto who = "the schema of id " + std::to_string(id);
  if (!entry || !entry->schema) { // not kept: of records that are none each has another
    unknown_.wrong = who + " is not known to the registry";
    return unknown_;
  }
  auto& k = by_id_[id];
  if (entry->schema->type != "PROTOBUF") k.wrong = who + " is no Protobuf schema";
  else if (auto made = proto::schema::make(*entry->schema); made) k.schema = std::move(*made);
  else k.wrong = who + " " + made.failure().cause;
  return k;
}

// How many indexes, and the indexes, as sint32; a lone 0 is the first message.
bool protobuf_decoder::take_path(std::string_view& value) {
  constexpr std::int64_t steps_max = 64;
  const auto take = [&](std::int64_t& out) {
    std::uint64_t raw = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      if (value.empty()) return false;
      const auto b = static_cast<unsigned char>(value.front());
      value.remove_prefix(1);
      raw |= std::uint64_t{b & 0x7fu} << shift;
      if (b & 0x80) continue;
      out = static_cast<std::int64_t>(raw >> 1 ^ (0 - (raw & 1)));
      return true;
    }
    return false;
  };
  path_.clear();
  std::int64_t count = 0;
  if (!take(count) || count < 0 || count > steps_max) return false;
  if (count == 0) return path_.push_back(0), true;
  for (; count > 0; --count)
    if (!take(path_.emplace_back())) return false;
  return true;
}

const plan* protobuf_decoder::plan_of(std::string_view& value, std::string& why) {
  if (options_.protobuf.framing == schema_framing::none) return &bare_;
  const auto id = take_schema_id(value);
  if (!id || !take_path(value)) {
    why = "the value does not begin with a zero byte, a schema's id and the path to a message";
    return nullptr;
  }
  auto& k = schema_of(*id);
  if (!k.wrong.empty()) {
    why = k.wrong;
    return nullptr;
  }
  for (const auto& [path, p] : k.by_path)
    if (path == path_) return &p;
  auto p = make_plan(k.schema->find(path_), "the schema of id " + std::to_string(*id));
  if (!p.wrong.empty()) { // not kept: paths can be anything
    why = p.wrong;
    return nullptr;
  }
  return &k.by_path.emplace_back(path_, std::move(p)).second;
}

protobuf_decoder::reading protobuf_decoder::read(const record_view& r, std::string& why) {
  arena_.clear();
  auto value = *r.value;
  const plan* p = plan_of(value, why);
  if (!p) return reading::bad;
  datum* root = reader_.read(value, *p->root, p->wanted);
  if (!root) return bad(why, "the value " + reader_.fault());
  if (root->kind != datum_kind::record && root->kind != datum_kind::map) return bad(why, "the message is no record");
  ignored_ += reader_.ignored();
  return fill_from(*root, why);
}

} // namespace

result<std::unique_ptr<decoder>> make_protobuf_decoder(std::vector<target_column> targets, decoder_options options) {
  auto d = std::make_unique<protobuf_decoder>(std::move(targets), std::move(options));
  if (auto r = d->make(); !r) return r.failure();
  return std::unique_ptr<decoder>(std::move(d));
}

} // namespace chute
