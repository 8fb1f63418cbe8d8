#include "formats/json_fields.hpp"

#include <algorithm>

namespace chute::json {
namespace {

constexpr std::size_t remembered_key_max = 128; // bytes
// A key that is expected is compared where another one, the last of all texts, may stand.
static_assert(remembered_key_max + 8 < token_index::padding);

} // namespace

field& field_table::get(std::string_view key) {
  if (const auto at = by_key_.find(key); at != by_key_.end()) return *at->second;
  auto f = std::make_unique<field>();
  f->key.assign(key);
  f->key.append(8, '\0');
  f->key_size = static_cast<std::uint32_t>(key.size());
  f->plain = key.size() <= remembered_key_max &&
             std::none_of(key.begin(), key.end(), [](char c) { return c == '"' || c == '\\' || (c >= 0 && c < 0x20); });
  field& made = *f;
  by_key_.emplace(made.name(), &made);
  fields_.push_back(std::move(f));
  return made;
}

field* field_table::look_up(std::string_view key) {
  if (const auto at = by_key_.find(key); at != by_key_.end()) return at->second;
  if (ignored_ == ignored_max || key.size() > remembered_key_max) {
    unknown_.key.assign(key); // for what is said of it; it is never compared
    unknown_.key_size = static_cast<std::uint32_t>(key.size());
    return &unknown_;
  }
  ++ignored_;
  return &get(key);
}

void field_table::add(std::string_view path, std::uint32_t target) {
  field& as_one_key = get(path);
  as_one_key.add_target(target);
  const auto dot = path.find('.');
  if (dot == path.npos) return;
  as_one_key.whole = true;
  field_table* table = this;
  for (std::size_t from = 0;;) {
    const auto end = path.find('.', from);
    field& f = table->get(path.substr(from, end == path.npos ? path.npos : end - from));
    if (end == path.npos) {
      f.add_target(target);
      return;
    }
    if (!f.inner) f.inner = std::make_unique<field_table>();
    f.only = no_target;
    table = f.inner.get();
    from = end + 1;
  }
}

void field_table::collect(std::vector<std::uint32_t>& out) const {
  for (const auto& f : fields_) {
    out.insert(out.end(), f->targets.begin(), f->targets.end());
    if (f->inner) f->inner->collect(out);
  }
}

} // namespace chute::json
