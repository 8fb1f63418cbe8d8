#include "state/compare.hpp"

#include "core/mutant.hpp"

#include <ctime>

namespace chute {

std::string to_string(const lane_key& k) {
  return k.pipeline + " (group " + k.group + "), lane " + k.topic + "/" + std::to_string(k.lane.value);
}

std::string escaped(std::string_view name) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : name)
    if (c > ' ' && c < 0x7f && c != '/' && c != '%') out += static_cast<char>(c);
    else ((out += '%') += digits[c >> 4]) += digits[c & 15];
  return out;
}

std::string record_name(const lane_key& k) {
  std::string out;
  for (const auto* name : {&k.cluster, &k.group, &k.pipeline, &k.topic}) out += escaped(*name) + "/";
  return out + std::to_string(k.lane.value);
}

std::int64_t boot_ms() {
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);
  return std::int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
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
    return refuse((current ? "its record has version " + std::to_string(version) : "it has no record") +
                  ", not version " + std::to_string(wanted.expected) + ": " +
                  (version < wanted.expected ? "it is gone, or went back in time" : "somebody else saved it"));
  if (wanted.record.version <= wanted.expected && !mutant(bug::version_may_fall))
    return refuse("version " + std::to_string(wanted.record.version) + " does not follow " +
                  std::to_string(wanted.expected));
  return std::nullopt;
}

} // namespace chute
