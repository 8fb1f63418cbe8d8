#include "test/kit/records.hpp"

#include <array>
#include <charconv>
#include <iterator>

namespace chute::kit {
namespace {

void number(std::string& out, std::uint64_t v) {
  char buf[20];
  out.append(buf, std::to_chars(buf, buf + sizeof buf, v).ptr);
}

void padded(std::string& out, std::uint64_t v, int digits) {
  char buf[20];
  for (int i = digits - 1; i >= 0; i--, v /= 10) buf[i] = static_cast<char>('0' + v % 10);
  out.append(buf, static_cast<std::size_t>(digits));
}

constexpr std::array statuses = {"new", "paid", "packed", "shipped", "delivered", "returned"};
constexpr std::array countries = {"DE", "FR", "NL", "PL", "JP", "US", "BR", "IN"};
constexpr std::array channels = {"web", "app", "shop", "phone"};
constexpr std::array tags = {"gift", "express", "b2b", "fragile", "bulky", "vip"};
// As they stand in JSON: plain ASCII mostly, with escapes and other scripts strewn in.
constexpr std::array words = {"lamp",     "chair",          "teapot",    "carpet",        "bicycle",    "kettle",
                              "umbrella", "notebook",       "caf\u00e9", "\u6d77",        "\U0001F680", "a\\tb",
                              "\\u00fc",  "say \\\"hi\\\"", "c:\\\\x",   "\\ud83d\\ude00"};
constexpr std::size_t plain_words = 8;

// 2024-01-01T00:00:00Z and on, a year or so, 28 days a month: every date exists.
void date(std::string& out, dice& d) {
  out += "202";
  out += static_cast<char>('4' + d.below(3));
  out += '-';
  padded(out, 1 + d.below(12), 2);
  out += '-';
  padded(out, 1 + d.below(28), 2);
  out += 'T';
  padded(out, d.below(24), 2);
  out += ':';
  padded(out, d.below(60), 2);
  out += ':';
  padded(out, d.below(60), 2);
  out += '.';
  padded(out, d.below(1000), 3);
  out += d.below(16) ? "Z" : "+02:00";
}

void filling(std::string& out, dice& d, std::size_t until) {
  do {
    out += d.below(8) ? words[d.below(plain_words)] : words[d.below(words.size())];
    out += ' ';
  } while (out.size() < until);
  out.pop_back();
}

void price(std::string& out, dice& d) {
  switch (d.below(8)) {
  case 0: number(out, d.below(10'000)); break;
  case 1:
    number(out, 1 + d.below(9));
    out += '.';
    padded(out, d.below(100'000'000), 8);
    out += d.below(2) ? "e-7" : "E+12";
    break;
  default:
    number(out, d.below(5'000));
    out += '.';
    padded(out, d.below(100), 2);
  }
}

// Replaces the text of field `name`, whose value ends at the next `,"` or at the end of the record.
void swap_field(std::string& value, std::string_view name, std::string_view with) {
  std::string key = "\"" + std::string(name) + "\":";
  const std::size_t at = value.find(key);
  if (at == std::string::npos) {
    value.insert(1, key + std::string(with) + ",");
    return;
  }
  const std::size_t from = at + key.size();
  std::size_t to = value.find(",\"", from);
  if (to == std::string::npos) to = value.size() - 1;
  value.replace(from, to - from, with);
}

struct spoiling {
  const char* name;
  void (*apply)(made_record&);
};

constexpr spoiling common_spoilings[] = {
    {"truncated", [](made_record& r) { r.value.resize(r.value.size() / 2); }},
    {"last-byte-missing", [](made_record& r) { r.value.pop_back(); }},
    {"trailing-garbage", [](made_record& r) { r.value += " }"; }},
    {"not-json", [](made_record& r) { r.value = "id=17;text=hello"; }},
    {"empty", [](made_record& r) { r.value.clear(); }},
    {"tombstone",
     [](made_record& r) {
       r.value.clear();
       r.tombstone = true;
     }},
    {"not-an-object", [](made_record& r) { r.value = "[" + r.value + "]"; }},
    {"id-wrong-type", [](made_record& r) { swap_field(r.value, "id", "\"seventeen\""); }},
    {"id-negative", [](made_record& r) { swap_field(r.value, "id", "-1"); }},
    {"id-out-of-range", [](made_record& r) { swap_field(r.value, "id", "18446744073709551616"); }},
    {"id-fraction", [](made_record& r) { swap_field(r.value, "id", "1.5"); }},
    {"id-beyond-256-bits", [](made_record& r) { swap_field(r.value, "id", std::string(90, '9')); }},
    {"id-object", [](made_record& r) { swap_field(r.value, "id", "{\"a\":1}"); }},
    {"nan", [](made_record& r) { swap_field(r.value, "id", "NaN"); }},
    {"control-character", [](made_record& r) { r.value.insert(r.value.find("\":") + 2, 1, '\x01'); }},
};

constexpr spoiling text_spoilings[] = {
    {"invalid-utf8", [](made_record& r) { swap_field(r.value, "text", "\"\xc3\x28\""); }},
    {"lone-surrogate", [](made_record& r) { swap_field(r.value, "text", "\"\\ud800\""); }},
};

constexpr spoiling order_spoilings[] = {
    {"invalid-utf8", [](made_record& r) { swap_field(r.value, "status", "\"\xff\xfe\""); }},
    {"lone-surrogate", [](made_record& r) { swap_field(r.value, "status", "\"\\ud800\""); }},
    {"quantity-out-of-range", [](made_record& r) { swap_field(r.value, "quantity", "4294967296"); }},
    {"country-too-long", [](made_record& r) { swap_field(r.value, "country", "\"DEU\""); }},
    {"no-such-date", [](made_record& r) { swap_field(r.value, "ordered_at", "\"2025-13-45T25:61:00Z\""); }},
    {"date-is-a-word", [](made_record& r) { swap_field(r.value, "ordered_at", "\"yesterday\""); }},
    {"price-wrong-type", [](made_record& r) { swap_field(r.value, "price", "{}"); }},
    {"tags-wrong-type",
     [](made_record& r) {
       const std::size_t at = r.value.find("\"tags\":[") + 7;
       r.value.replace(at, r.value.find(']', at) + 1 - at, "{}");
     }},
    {"attributes-wrong-type",
     [](made_record& r) {
       r.value.resize(r.value.find("\"attributes\":") + 13);
       r.value += "7}";
     }},
};

} // namespace

shape parse_shape(const std::string& name) {
  if (name == "orders") return shape::orders;
  if (name == "small") return shape::small;
  throw failure("produce: no shape \"" + name + "\" (orders or small)");
}

std::size_t ways_to_break(shape s) {
  return std::size(common_spoilings) + (s == shape::orders ? std::size(order_spoilings) : std::size(text_spoilings));
}

void record_maker::make(std::uint64_t i, made_record& out) {
  dice d(mix(options_.seed) ^ mix(i + 1));
  out.value.clear();
  out.tombstone = false;
  out.broken = nullptr;
  out.customer = d.below(100'000);
  if (options_.form == shape::orders) orders(i, d, out);
  else small(i, d, out);
  if (options_.broken_every && i % options_.broken_every == options_.broken_every - 1) spoil(i, out);
}

void record_maker::orders(std::uint64_t i, dice& d, made_record& out) {
  std::string& v = out.value;
  v += "{\"id\":";
  number(v, i % 1009 == 1008 ? ~i : i);
  v += ",\"ordered_at\":\"";
  date(v, d);
  v += "\",\"customer\":";
  number(v, out.customer);
  if (d.below(64)) { // absent now and then: the column's default
    v += ",\"status\":\"";
    v += statuses[d.below(statuses.size())];
    v += '"';
  }
  switch (d.below(6)) {
  case 0: break;
  case 1: v += ",\"note\":null"; break;
  default:
    v += ",\"note\":\"";
    filling(v, d, 0);
    v += '"';
  }
  v += ",\"quantity\":";
  number(v, d.below(16) ? 1 + d.below(20) : 4294967295u - d.below(2));
  v += ",\"price\":";
  price(v, d);
  v += ",\"country\":\"";
  v += countries[d.below(countries.size())];
  v += "\",\"tags\":[";
  for (std::uint64_t n = d.below(4), k = 0; k < n; k++) {
    v += k ? ",\"" : "\"";
    v += tags[d.below(tags.size())];
    v += '"';
  }
  v += "],\"product\":\"";
  constexpr std::size_t tail = 60; // what follows the filling, roughly
  filling(v, d, options_.size > tail ? options_.size - tail : 0);
  v += "\",\"attributes\":{";
  if (d.below(8)) {
    v += "\"channel\":\"";
    v += channels[d.below(channels.size())];
    v += "\",\"campaign\":\"c";
    number(v, d.below(500));
    v += '"';
  }
  v += "}}";
}

void record_maker::small(std::uint64_t i, dice& d, made_record& out) {
  std::string& v = out.value;
  v += "{\"id\":";
  number(v, i);
  v += ",\"text\":\"";
  filling(v, d, options_.size > 2 ? options_.size - 2 : 0);
  v += "\"}";
}

void record_maker::spoil(std::uint64_t i, made_record& out) {
  const std::size_t way = (i / options_.broken_every) % ways_to_break(options_.form);
  const std::size_t shared = std::size(common_spoilings);
  const spoiling& how = way < shared                     ? common_spoilings[way]
                        : options_.form == shape::orders ? order_spoilings[way - shared]
                                                         : text_spoilings[way - shared];
  how.apply(out);
  out.broken = how.name;
}

} // namespace chute::kit
