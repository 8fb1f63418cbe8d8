#include "formats/datum_decoder.hpp"

#include <algorithm>

namespace chute {
namespace {

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> out(1);
  for (const char c : path)
    if (c == '.') out.emplace_back();
    else out.back() += c;
  return out;
}

} // namespace

result<void> datum_decoder::make_writers(const std::string& format) {
  if (auto r = prepare(); !r) return r;
  for (const auto& f : fields_) {
    const auto& t = target_of(f);
    const auto who = "column '" + t.column.name + "'";
    if (t.source.text.empty()) return error{format, who + " has an empty field", "name the field of the record"};
    auto w = datum_writer::make(t.column.type, options_.timezone);
    if (!w) return error{format, who + ": " + w.failure().cause, "leave the column out, or give it another type"};
    const auto wire = wire_type(t.column);
    const bool of_event = enveloped() && t.source.text.starts_with(from_event);
    const auto name = of_event ? t.source.text.substr(from_event.size()) : t.source.text;
    wanted_.push_back({std::move(*w), name, split(name), of_event, wire->kind == type_kind::array});
  }
  return {};
}

namespace {

bool leads_through(std::string_view path, std::string_view name) {
  return path.starts_with(name) && (path.size() == name.size() || path[name.size()] == '.');
}

} // namespace

bool datum_decoder::wants(std::string_view name) const {
  if (options_.on_new_field != new_field_policy::ignore && !enveloped()) return true;
  if (!enveloped()) return wants_of_row(name);
  if (name == "op" || name == "before" || name == "after") return true;
  return std::any_of(wanted_.begin(), wanted_.end(),
                     [&](const wanted& w) { return w.of_event && leads_through(w.name, name); });
}

bool datum_decoder::wants_of_row(std::string_view name) const {
  return std::any_of(wanted_.begin(), wanted_.end(),
                     [&](const wanted& w) { return !w.of_event && leads_through(w.name, name); });
}

datum_decoder::reading datum_decoder::fill_event(const datum& event, std::string& why) {
  const datum* op = event.find("op");
  if (!op || (op->kind != datum_kind::text && op->kind != datum_kind::symbol)) return bad(why, no_op);
  const auto image = [&](const char* name) {
    const datum* d = event.find(name);
    return d && (d->kind == datum_kind::record || d->kind == datum_kind::map) ? d : nullptr;
  };
  const datum *before = image("before"), *after = image("after");
  const auto made = rows_of_event(op->text, before, after, options_.deletes);
  if (made.wrong) return bad(why, made.wrong);
  ignored_ = ignored_before_; // of the row, not of the event
  for (std::size_t n = 0; n < made.count; ++n) {
    const datum& row = made.rows[n].after ? *after : *before;
    for (std::size_t i = 0; i < fields_.size(); ++i)
      if (!fill_field(i, wanted_[i].of_event ? event : row, why)) return reading::bad;
    change_ = made.rows[n].change;
    if (n + 1 < made.count && !end_row(change_, why)) return reading::bad;
    if (n + 1 == made.count) {
      for (const datum* c = row.first; c; c = c->next)
        if (!wants_of_row(c->name)) ++ignored_;
      return look_for_new_fields(row, why);
    }
  }
  return reading::row;
}

datum_decoder::reading datum_decoder::look_for_new_fields(const datum& row, std::string& why) {
  if (options_.on_new_field == new_field_policy::ignore) return reading::row;
  for (const datum* c = row.first; c; c = c->next) {
    if (wants_of_row(c->name)) continue;
    if (!enveloped()) ++ignored_;
    if (options_.on_new_field == new_field_policy::dead_letter) return bad(why, without_column(c->name));
    if (names_new_column(c->name)) new_fields_.of(c->name).add(*c);
  }
  return reading::row;
}

datum_decoder::reading datum_decoder::fill_from(const datum& root, std::string& why) {
  if (enveloped()) return fill_event(root, why);
  for (std::size_t i = 0; i < fields_.size(); ++i)
    if (!fill_field(i, root, why)) return reading::bad;
  return look_for_new_fields(root, why);
}

bool datum_decoder::fill_from(const datum& root, const std::vector<std::uint32_t>& fields, std::string& why) {
  return std::all_of(fields.begin(), fields.end(), [&](std::uint32_t i) { return fill_field(i, root, why); });
}

namespace {
bool holds_placeholder(const datum& d) {
  switch (d.kind) {
  case datum_kind::text:
  case datum_kind::bytes: return d.text == unavailable;
  case datum_kind::list: return d.first && !d.first->next && holds_placeholder(*d.first);
  case datum_kind::map: return d.first && !d.first->next && d.first->name == unavailable;
  default: return false;
  }
}
} // namespace

bool datum_decoder::fill_field(std::size_t i, const datum& root, std::string& why) {
  auto& slot = fields_[i];
  const auto& w = wanted_[i];
  const datum* d = root.find(w.name); // also a name that has dots
  if (!d && w.path.size() > 1) {
    std::string wrong;
    d = walk(w, 0, &root, wrong);
    if (!wrong.empty()) {
      why = subject(slot) + wrong;
      return false;
    }
  }
  if (!d || d->kind == datum_kind::absent) return true; // missing
  if (d->kind == datum_kind::null) {
    fill_null(slot);
    return true;
  }
  if (enveloped() && holds_placeholder(*d)) {
    why = subject(slot) + not_sent;
    return false;
  }
  auto wrong = wanted_[i].writer.append(*d, column_of(slot));
  if (!wrong.empty()) {
    why = subject(slot) + wrong;
    return false;
  }
  slot.filled = true;
  return true;
}

// The value at the rest of the path; null: missing.
const datum* datum_decoder::walk(const wanted& w, std::size_t step, const datum* at, std::string& why) {
  for (; step < w.path.size(); ++step) {
    if (!at || at->kind == datum_kind::null || at->kind == datum_kind::absent) return nullptr;
    if (at->kind == datum_kind::list && w.array) return spread(w, step, *at, why);
    if (at->kind != datum_kind::record && at->kind != datum_kind::map) {
      why = std::string("is beyond ") + name_of(at->kind) + " where a record should be";
      return nullptr;
    }
    at = at->find(w.path[step]);
  }
  return at;
}

// One element from each record of a list.
const datum* datum_decoder::spread(const wanted& w, std::size_t step, const datum& list, std::string& why) {
  datum& out = arena_.make(datum_kind::list);
  children_of children(out);
  for (const datum* e = list.first; e; e = e->next) {
    const datum* found = walk(w, step, e, why);
    if (!why.empty()) return nullptr;
    if (arena_.full()) { // each column of a Nested structure copies the list
      why = too_many_values;
      return nullptr;
    }
    datum& copy = arena_.make(datum_kind::absent);
    if (found) copy = *found;
    copy.next = nullptr;
    children.add(copy);
  }
  return &out;
}

} // namespace chute
