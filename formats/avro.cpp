#include "formats/avro.hpp"

#include "formats/avro_program.hpp"
#include "formats/avro_reader.hpp"
#include "formats/avro_schema.hpp"
#include "formats/datum_decoder.hpp"
#include "formats/json_node.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <unordered_map>

namespace chute {
namespace {

// What is done with one field of a record.
struct step {
  enum class way : std::uint8_t { pass, straight, datum };
  way how = way::pass;
  const avro::type* schema = nullptr; // plan::schema owns it
  std::uint32_t field = 0;            // straight: the column's
  std::optional<avro::field_program> program;
};

// How records of one schema are read.
struct plan {
  avro::type_ptr schema;
  std::vector<step> steps;                   // a root record's fields
  bool straight = false;                     // any of them goes straight into its column
  std::vector<std::uint32_t> through_datums; // the columns that wait for a tree
  std::string wrong;                         // nothing can be read with it, and why
};

class avro_decoder final : public datum_decoder {
public:
  avro_decoder(std::vector<target_column> targets, decoder_options options)
      : datum_decoder(std::move(targets), std::move(options)) {}

  result<void> make();
  void wanted_schemas(std::span<const record_view> records, std::vector<std::uint32_t>& out) const override;

protected:
  reading read(const record_view& r, std::string& why) override;

private:
  const plan* plan_of(std::string_view& value, std::string& why);
  const plan* plan_by_id(std::uint32_t id);
  plan make_plan(result<avro::type_ptr> schema, const std::string& who);
  std::optional<step> straight_step(const avro::field& f);
  datum* read_root(avro::binary_reader& from, const plan& p, bool straight);
  bool resolve(datum& d, const avro::type& as, std::string& why);
  bool resolve_record(datum& d, const avro::type& as, std::string& why);

  avro::type_ptr reader_;                            // the reader's schema, if there is one
  plan bare_;                                        // framing: none
  std::unordered_map<std::uint32_t, plan> by_id_;    // framing: confluent
  plan unknown_;                                     // of the id that was last found to have no schema
  std::unordered_map<std::uint64_t, plan> by_print_; // framing: single_object
};

error wrong_schema(const std::string& why) {
  return error{"avro", "a schema of the topology " + why, "correct the file that `avro` names"};
}

result<void> avro_decoder::make() {
  if (auto r = make_writers("avro"); !r) return r;
  const auto& c = options_.avro;
  if (!c.reader_schema.empty()) {
    auto t = avro::parse_schema(c.reader_schema);
    if (!t) return wrong_schema(t.failure().cause);
    reader_ = *t;
  }
  for (const auto& text : c.schemas) {
    auto p = make_plan(avro::parse_schema(text), "the schema");
    if (!p.wrong.empty()) return wrong_schema(p.wrong.substr(std::string("the schema ").size()));
    const auto print = avro::schema_fingerprint(text);
    if (!print) return wrong_schema(print.failure().cause);
    bare_ = p;
    by_print_.emplace(*print, std::move(p));
  }
  if (!options_.schemas) options_.schemas = std::make_shared<schema_cache>();
  if (c.framing != schema_framing::confluent && c.schemas.empty())
    return error{"avro", "there is no schema to read records with", "write avro: {schema: FILE}"};
  return {};
}

plan avro_decoder::make_plan(result<avro::type_ptr> schema, const std::string& who) {
  plan p;
  if (!schema) return p.wrong = who + " " + schema.failure().cause, p;
  p.schema = *schema;
  if (p.schema->what != avro::kind::record && p.schema->what != avro::kind::map)
    return p.wrong = who + " is not that of a record", p;
  std::vector<bool> taken(fields_.size());
  for (const auto& f : p.schema->fields) {
    step s{step::way::pass, f.type.get(), 0, {}};
    if (auto straight = straight_step(f)) {
      s = std::move(*straight);
      taken[s.field] = p.straight = true;
    } else if (reader_ || wants(f.name)) s.how = step::way::datum;
    p.steps.push_back(std::move(s));
  }
  for (std::uint32_t i = 0; i < fields_.size(); ++i)
    if (!taken[i]) p.through_datums.push_back(i);
  return p;
}

// A field that one column takes as a whole, if it can go there straight.
std::optional<step> avro_decoder::straight_step(const avro::field& f) {
  // Of an event the row is one of two, and which one is known at the end; new fields are looked for in the whole tree.
  if (reader_ || enveloped() || options_.on_new_field != new_field_policy::ignore) return {};
  std::optional<std::uint32_t> only;
  for (std::uint32_t i = 0; i < fields_.size(); ++i) {
    const auto& path = target_of(fields_[i]).source.text;
    const bool below = path.starts_with(f.name) && path.size() > f.name.size() && path[f.name.size()] == '.';
    if (below || (path == f.name && only)) return {};
    if (path == f.name) only = i;
  }
  if (!only) return {};
  const auto& column = target_of(fields_[*only]).column;
  const bool wrapped =
      wire_type(column)->kind == type_kind::nullable && json::plain_type(column.type)->kind != type_kind::nullable;
  auto program = avro::field_program::make(*f.type, column.type, wrapped);
  if (!program) return {};
  return step{step::way::straight, f.type.get(), *only, std::move(program)};
}

// -- whose schema ---------------------------------------------------------------------------------------------------

void avro_decoder::wanted_schemas(std::span<const record_view> records, std::vector<std::uint32_t>& out) const {
  if (options_.avro.framing != schema_framing::confluent) return;
  for (const auto& r : records) {
    if (!r.value) continue;
    auto value = *r.value;
    const auto id = take_schema_id(value);
    if (!id || by_id_.contains(*id) || std::find(out.begin(), out.end(), *id) != out.end()) continue;
    if (!options_.schemas->find(*id)) out.push_back(*id);
  }
}

const plan* avro_decoder::plan_by_id(std::uint32_t id) {
  if (const auto at = by_id_.find(id); at != by_id_.end()) return &at->second;
  const auto entry = options_.schemas->find(id);
  if (!entry && !options_.schemas->forgets())
    throw std::logic_error("schema " + std::to_string(id) + " was not fetched");
  const auto who = "the schema of id " + std::to_string(id);
  if (!entry || !entry->schema) { // not kept: of records that are none each has another
    unknown_.wrong = who + " is not known to the registry";
    return &unknown_;
  }
  plan p;
  if (entry->schema->type != "AVRO") p.wrong = who + " is no Avro schema";
  else p = make_plan(avro::parse_schema(*entry->schema), who);
  return &by_id_.emplace(id, std::move(p)).first->second;
}

const plan* avro_decoder::plan_of(std::string_view& value, std::string& why) {
  switch (options_.avro.framing) {
  case schema_framing::none: return &bare_;
  case schema_framing::confluent: {
    const auto id = take_schema_id(value);
    if (id) return plan_by_id(*id);
    why = "the value does not begin with a zero byte and a schema's id";
    return nullptr;
  }
  case schema_framing::single_object: break;
  }
  if (value.size() < 10 || !value.starts_with("\xc3\x01")) {
    why = "the value does not begin with the header of a single object";
    return nullptr;
  }
  std::uint64_t print;
  std::memcpy(&print, value.data() + 2, sizeof print);
  value.remove_prefix(10);
  if (const auto at = by_print_.find(print); at != by_print_.end()) return &at->second;
  why = "the value names a schema that the topology does not give";
  return nullptr;
}

// -- records --------------------------------------------------------------------------------------------------------

avro_decoder::reading avro_decoder::read(const record_view& r, std::string& why) {
  arena_.clear();
  auto value = *r.value;
  const plan* p = plan_of(value, why);
  if (!p) return reading::bad;
  if (!p->wrong.empty()) return bad(why, p->wrong);
  const auto ignored = ignored_;
  if (p->straight) {
    avro::binary_reader from(value, arena_);
    const datum* root = read_root(from, *p, true);
    if (root && from.done() && fill_from(*root, p->through_datums, why)) [[likely]]
      return reading::row;
    // Once more through datums, which tell the reason, or take what is rare.
    take_back();
    arena_.clear();
    why.clear();
    ignored_ = ignored;
  }
  avro::binary_reader from(value, arena_);
  datum* root = read_root(from, *p, false);
  if (!root) return bad(why, std::string("the value ") + from.fault());
  if (!from.done()) return bad(why, "the value goes on behind the record");
  if (reader_ && !resolve(*root, *reader_, why)) return reading::bad;
  return fill_from(*root, why);
}

// Fields that no column takes are only passed. Null: a fault, or a value that does not go straight.
datum* avro_decoder::read_root(avro::binary_reader& from, const plan& p, bool straight) {
  if (p.schema->what != avro::kind::record) return from.read(*p.schema);
  datum& root = arena_.make(datum_kind::record);
  root.text = p.schema->name;
  children_of children(root);
  for (std::size_t i = 0; i < p.steps.size(); ++i) {
    const step& s = p.steps[i];
    if (s.how == step::way::straight && straight) {
      auto& slot = fields_[s.field];
      if (!s.program->run(from, column_of(slot))) return nullptr;
      slot.filled = true;
      continue;
    }
    if (s.how == step::way::pass) {
      if (!from.skip(*s.schema)) return nullptr;
      ++ignored_;
      continue;
    }
    datum* child = from.read(*s.schema);
    if (!child) return nullptr;
    child->name = p.schema->fields[i].name;
    children.add(*child);
  }
  return &root;
}

// As the reader's schema has it: fields by their aliases, and defaults for those that the writer did not have.
bool avro_decoder::resolve(datum& d, const avro::type& as, std::string& why) {
  if (d.kind == datum_kind::record) return resolve_record(d, as, why);
  const bool many = d.kind == datum_kind::list || d.kind == datum_kind::map;
  const auto wanted = d.kind == datum_kind::list ? avro::kind::array : avro::kind::map;
  if (!many) return true;
  for (const auto& branch : as.what == avro::kind::unite ? as.parts : std::vector<avro::type_ptr>{})
    if (branch->what == wanted) return resolve(d, *branch, why);
  if (as.what != wanted) return true;
  for (datum* c = d.first; c; c = c->next)
    if (!resolve(*c, *as.parts[0], why)) return false;
  return true;
}

// How well a record of the reader's is the one that the writer names, as Avro resolves schemas: the lower the better,
// 0 is not at all. The namespace counts only where several branches differ by it alone.
int match_of(const avro::type& reader, std::string_view writer) {
  const auto unqualified = [](std::string_view name) { return name.substr(name.rfind('.') + 1); };
  const auto same = [&](std::string_view name) { return name == writer; };
  const auto alike = [&](std::string_view name) { return unqualified(name) == unqualified(writer); };
  const auto& aliases = reader.aliases;
  if (same(reader.name)) return 1;
  if (std::any_of(aliases.begin(), aliases.end(), same)) return 2;
  if (alike(reader.name)) return 3;
  return std::any_of(aliases.begin(), aliases.end(), alike) ? 4 : 0;
}

// The branch of a reader's union that a writer's record is. Null: none. The only record of a union is it by any name:
// generators name the records within others as they please.
const avro::type* branch_for(const avro::type& branches, std::string_view writer) {
  const avro::type *best = nullptr, *only = nullptr;
  std::size_t records = 0;
  for (const auto& b : branches.parts) {
    if (b->what != avro::kind::record) continue;
    only = ++records == 1 ? b.get() : nullptr;
    const int match = match_of(*b, writer);
    if (match && (!best || match < match_of(*best, writer))) best = b.get();
  }
  return best ? best : only;
}

bool avro_decoder::resolve_record(datum& d, const avro::type& as, std::string& why) {
  if (as.what == avro::kind::unite) {
    const avro::type* branch = branch_for(as, d.text);
    return !branch || resolve_record(d, *branch, why); // none: as the writer has it
  }
  if (as.what != avro::kind::record) return true;
  const auto child = [&](std::string_view name) {
    datum* c = d.first;
    while (c && c->name != name) c = c->next;
    return c;
  };
  for (const auto& f : as.fields) {
    datum* found = child(f.name);
    for (auto a = f.aliases.begin(); !found && a != f.aliases.end(); ++a) found = child(*a);
    if (!found) {
      if (f.default_json.empty()) continue; // the column's own default
      found = avro::read_default(*f.type, f.default_json, arena_);
      if (!found) {
        why = arena_.full() ? std::string("the value ") + too_many_values
                            : "the default of field '" + f.name + "' of the reader's schema does not fit its type";
        return false;
      }
      found->next = d.first;
      d.first = found;
    } else if (!resolve(*found, *f.type, why)) return false;
    found->name = f.name;
  }
  return true;
}

} // namespace

std::optional<std::uint32_t> take_schema_id(std::string_view& value) {
  if (value.size() < 5 || value[0] != '\0') return {};
  std::uint32_t id;
  std::memcpy(&id, value.data() + 1, sizeof id);
  value.remove_prefix(5);
  return __builtin_bswap32(id);
}

result<std::unique_ptr<decoder>> make_avro_decoder(std::vector<target_column> targets, decoder_options options) {
  auto d = std::make_unique<avro_decoder>(std::move(targets), std::move(options));
  if (auto r = d->make(); !r) return r.failure();
  return std::unique_ptr<decoder>(std::move(d));
}

} // namespace chute
