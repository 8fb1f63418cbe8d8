#include "web/move_json.hpp"

#include "core/text.hpp"

#include <httplib.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <optional>

namespace chute {

namespace {

using json = nlohmann::json;
using target = enum move_request::target;
using word = enum move_request::word;

template <class T> struct named {
  const char* name;
  T value;
};
constexpr std::array targets = {named<target>{"earliest", target::earliest}, named<target>{"latest", target::latest},
                                named<target>{"offset", target::offset},     named<target>{"time", target::time},
                                named<target>{"current", target::current},   named<target>{"table", target::table},
                                named<target>{"adopted", target::adopted}};
constexpr std::array words = {named<word>{"table", word::table}, named<word>{"landed", word::landed},
                              named<word>{"not_landed", word::not_landed}};

template <class L, class T> const char* name_in(const L& list, T value) {
  return std::find_if(list.begin(), list.end(), [&](const auto& n) { return n.value == value; })->name;
}
template <class L> auto value_in(const L& list, const std::string& name) {
  auto at = std::find_if(list.begin(), list.end(), [&](const auto& n) { return n.name == name; });
  return at == list.end() ? std::nullopt : std::optional(at->value);
}

// A name of a pipeline as a part of a path.
std::string path_part(const std::string& name) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const unsigned char c : name)
    if (std::isalnum(c) || c == '-' || c == '_' || c == '.') out += static_cast<char>(c);
    else ((out += '%') += digits[c >> 4]) += digits[c & 15];
  return out;
}

bool takes_value(enum move_request::target t) {
  return t == move_request::target::offset || t == move_request::target::time;
}

} // namespace

std::string move_json(const move_request& r) {
  json out = json::object();
  if (r.what == move_request::verb::reset) {
    out["to"] = name_in(targets, r.to);
    if (takes_value(r.to)) out["value"] = r.value;
  } else out["said"] = name_in(words, r.said);
  if (!r.topic.empty()) out["topic"] = r.topic;
  if (r.lane) out["lane"] = r.lane->value;
  for (auto p : r.partitions) out["partitions"].push_back(p.value);
  for (const auto& [key, text] : {std::pair{"group", &r.group}, {"brokers", &r.brokers}, {"table", &r.table}})
    if (!text->empty()) out[key] = *text;
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

result<move_request> parse_move(enum move_request::verb what, const std::string& text) {
  const auto wrong = [](const std::string& why) { return error{"admin", "the body " + why, "see docs/admin.md"}; };
  const json in = json::parse(text, nullptr, false);
  if (!in.is_object()) return wrong("is not a JSON object");
  move_request r;
  r.what = what;
  const bool resets = what == move_request::verb::reset;
  bool chosen = !resets, valued = false;
  for (const auto& [key, value] : in.items()) {
    const auto number = [&value = value](std::int64_t up_to) {
      return value.is_number_integer() && value.get<std::int64_t>() >= 0 && value.get<std::int64_t>() <= up_to;
    };
    if (key == "to" && resets && value.is_string()) {
      const auto to = value_in(targets, value.get<std::string>());
      if (!to) return wrong("has an unknown \"to\"");
      r.to = *to;
      chosen = true;
    } else if (key == "said" && !resets && value.is_string()) {
      const auto said = value_in(words, value.get<std::string>());
      if (!said) return wrong("has an unknown \"said\"");
      r.said = *said;
    } else if (key == "value" && resets && number(INT64_MAX)) r.value = value.get<std::int64_t>(), valued = true;
    else if (key == "topic" && value.is_string()) r.topic = value.get<std::string>();
    else if (key == "group" && value.is_string()) r.group = value.get<std::string>();
    else if (key == "brokers" && value.is_string()) r.brokers = value.get<std::string>();
    else if (key == "table" && value.is_string()) r.table = value.get<std::string>();
    else if (key == "lane" && number(INT32_MAX)) r.lane = lane_id{value.get<std::int32_t>()};
    else if (key == "partitions" && value.is_array()) {
      if (value.empty()) return wrong("names no partition: without \"partitions\" all of them are meant");
      for (const auto& p : value) {
        if (!p.is_number_integer() || p.get<std::int64_t>() < 0 || p.get<std::int64_t>() > INT32_MAX)
          return wrong("names a partition that is no number");
        r.partitions.push_back({p.get<std::int32_t>()});
      }
    } else return wrong("has \"" + key + "\", which is not known here, or not with this value");
  }
  if (!chosen) return wrong("lacks \"to\"");
  if (resets && takes_value(r.to) && !valued) return wrong("lacks \"value\": the offset, or the time in Unix ms");
  if (resets && !takes_value(r.to) && valued)
    return wrong("has \"value\", which goes with \"offset\" and \"time\" only");
  if (r.lane && !r.partitions.empty()) return wrong("has both \"lane\" and \"partitions\"");
  return r;
}

result<std::string> admin_address(std::string_view given) {
  constexpr std::string_view scheme = "http://";
  const auto wrong = [&](const std::string& why) {
    return error{"admin", "'" + printable(given) + "' " + why,
                 "give it like http://127.0.0.1:8088, the address of the engine's own page"};
  };
  auto rest = given;
  if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  else if (rest.starts_with("https://"))
    return wrong("cannot be asked: the command speaks plain HTTP only (a proxy with TLS in between cannot be used)");
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty() || rest.find_first_of("/?#@ ") != rest.npos) return wrong("is no address of an engine");
  return std::string(scheme) + std::string(rest);
}

admin_answer ask_to_move(const std::string& url, const std::string& token, const std::string& pipeline,
                         const move_request& r, std::int64_t limit_ms) {
  using outcome = enum admin_answer::outcome;
  httplib::Client http(url);
  http.set_connection_timeout(3, 0);
  http.set_read_timeout(limit_ms / 1000, 0);
  if (!token.empty()) http.set_bearer_token_auth(token.c_str());
  const bool resets = r.what == move_request::verb::reset;
  const auto path = "/pipelines/" + path_part(pipeline) + (resets ? "/reset" : "/settle");
  const auto reply = http.Post(path, move_json(r), "application/json");
  if (!reply) {
    if (reply.error() == httplib::Error::Connection) return {outcome::nobody, {}};
    return {outcome::refused,
            url + " was asked, and gave no whole answer (" + httplib::to_string(reply.error()) +
                "): it may be carried out still, as soon as what it waits for is there; look at its log "
                "and at `chute state show`; to prevent that, end that engine"};
  }
  const json said = json::parse(reply->body, nullptr, false);
  const auto text = [&](const char* key) {
    return said.is_object() && said.contains(key) && said[key].is_string()
               ? said[key].get<std::string>()
               : "it answered with status " + std::to_string(reply->status);
  };
  if (reply->status == 200) return {outcome::done, text("report")};
  if (reply->status == 404) return {outcome::unknown, text("error")};
  return {outcome::refused, text("error")};
}

} // namespace chute
