#include "state/compare.hpp"

#include "core/mutant.hpp"

namespace chute {

std::string to_string(const lane_key& k) {
  return k.pipeline + " (group " + k.group + "), lane " + k.topic + "/" + std::to_string(k.lane.value);
}

std::optional<saved> compare(const save_request& wanted, const std::optional<stored_record>& current) {
  auto refuse = [&](const std::string& cause) {
    return saved{save_status::refused, error{"state", to_string(wanted.lane) + ": " + cause, ""}};
  };
  auto version = current ? current->version : 0;
  bool same_text = current && (current->text == wanted.record.text || mutant(bug::text_not_compared));
  if (same_text && version == wanted.record.version && !mutant(bug::repetition_refused))
    return saved{save_status::accepted, {}};
  if (version != wanted.expected && !mutant(bug::version_not_compared))
    return refuse("its record has version " + std::to_string(version) + ", not " + std::to_string(wanted.expected) +
                  ": somebody else saved it");
  if (wanted.record.version <= wanted.expected && !mutant(bug::version_may_fall))
    return refuse("version " + std::to_string(wanted.record.version) + " does not follow " +
                  std::to_string(wanted.expected));
  return std::nullopt;
}

} // namespace chute
