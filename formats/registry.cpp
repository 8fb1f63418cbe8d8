#include "formats/registry.hpp"

#include <map>
#include <simdjson.h>
#include <string_view>

namespace chute {
namespace {

namespace dom = simdjson::dom;

constexpr std::int64_t schema_not_found = 40403;     // the registry's own error code
constexpr const char* deleted_too = "?deleted=true"; // softly: what refers to it may be in the topic still
constexpr int believed_after = 3;
constexpr int depth_max = 32;
constexpr std::size_t references_max = 1'000;

std::string escaped(std::string_view text) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto b = static_cast<unsigned char>(c);
    const bool plain = (b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || b == '-' ||
                       b == '_' || b == '.' || b == '~';
    if (plain) out += c;
    else out.append(1, '%').append(1, digits[b >> 4]).append(1, digits[b & 15]);
  }
  return out;
}

class fetcher {
public:
  explicit fetcher(const registry_get& get) : get_(get) {}

  // Null: why() and status() say why.
  std::shared_ptr<const schema_text> fetch(const std::string& path, int depth) {
    if (const auto at = fetched_.find(path); at != fetched_.end()) return at->second;
    if (depth > depth_max || fetched_.size() > references_max) return fail("refers to too many others");
    const auto reply = get_(path);
    if (reply.status != 200) return refuse(path, reply);
    auto made = read(reply.body, depth);
    if (made) fetched_[path] = made;
    return made;
  }

  bool not_found() const { return not_found_; }
  const std::string& why() const { return why_; }

private:
  std::shared_ptr<const schema_text> fail(std::string why) {
    if (why_.empty()) why_ = std::move(why);
    return nullptr;
  }

  std::shared_ptr<const schema_text> refuse(const std::string& path, const registry_reply& reply) {
    if (reply.status == 0) return fail("no answer to GET " + path + ": " + reply.why);
    dom::parser parser;
    std::int64_t code = 0;
    not_found_ = reply.status == 404 && !parser.parse(reply.body)["error_code"].get(code) && code == schema_not_found;
    return fail("GET " + path + " is answered with status " + std::to_string(reply.status) +
                (reply.status == 401 || reply.status == 403 ? ": check registry.user, password or token" : ""));
  }

  std::shared_ptr<const schema_text> read(const std::string& body, int depth) {
    dom::parser parser;
    dom::element root;
    std::string_view text, type;
    if (parser.parse(body).get(root) || root["schema"].get(text))
      return fail("the answer is none of a schema registry");
    auto s = std::make_shared<schema_text>();
    s->text = text;
    s->type = root["schemaType"].get(type) ? "AVRO" : type; // only named where it is not Avro
    dom::array references;
    if (root["references"].get(references)) return s;
    for (const auto r : references) {
      std::string_view name, subject;
      std::int64_t version = 0;
      if (r["name"].get(name) || r["subject"].get(subject) || r["version"].get(version))
        return fail("the answer has a reference without name, subject or version");
      auto referred =
          fetch("/subjects/" + escaped(subject) + "/versions/" + std::to_string(version) + deleted_too, depth + 1);
      if (!referred) return not_found_ = false, nullptr; // the id is known
      s->references.emplace_back(name, std::move(referred));
    }
    return s;
  }

  const registry_get& get_;
  std::map<std::string, std::shared_ptr<const schema_text>> fetched_; // by path
  std::string why_;
  bool not_found_ = false;
};

} // namespace

fetched_schema fetch_schema(std::uint32_t id, const registry_get& get, schema_cache& into, std::int64_t now_ms) {
  using verdict = fetched_schema::verdict;
  fetcher f(get);
  auto s = f.fetch("/schemas/ids/" + std::to_string(id), 0);
  if (!s && !f.not_found()) return {verdict::later, f.why()};
  if (!s && into.missed(id, now_ms) < believed_after)
    return {verdict::missing, "schema " + std::to_string(id) + " is not known to it"};
  const auto what = s ? verdict::known : verdict::unknown;
  into.put(id, std::move(s));
  return {what, ""};
}

} // namespace chute
