#include "formats/values_time.hpp"

#include <algorithm>
#include <date/tz.h>
#include <fstream>
#include <limits>

namespace chute {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max() / 2;
constexpr std::int64_t unix_of(date::year_month_day d) {
  return std::int64_t{date::sys_days{d}.time_since_epoch().count()} * 86'400;
}
constexpr std::int64_t table_begin = unix_of(date::year{1899} / 12 / 29);
constexpr std::int64_t table_end = unix_of(date::year{2300} / 1 / 4);
constexpr int last_year = 2300;
constexpr int transitions_max = 10'000;

date::sys_seconds at(std::int64_t unix_seconds) { return date::sys_seconds{std::chrono::seconds{unix_seconds}}; }

// Fixed/UTC+05:30:00, as ClickHouse names zones that are only an offset.
bool parse_fixed(std::string_view name, std::int32_t& offset) {
  constexpr std::string_view prefix = "Fixed/UTC";
  if (!name.starts_with(prefix) || name.size() != prefix.size() + 9) return false;
  const char sign = name[prefix.size()];
  std::int32_t seconds = 0;
  if (sign != '+' && sign != '-') return false;
  if (parse_time(name.substr(prefix.size() + 1), seconds) != value_error::none) return false;
  offset = sign == '-' ? -seconds : seconds;
  return offset > -86'400 && offset < 86'400;
}

// The rule behind a zone file's last transition (RFC 8536, 3.3): date's tables end there, mostly in 2037.
std::string read_rule(const std::string& name) {
  std::ifstream file("/usr/share/zoneinfo/" + name, std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (all.size() < 2 || all.compare(0, 4, "TZif") != 0 || all.back() != '\n') return {};
  const auto from = all.rfind('\n', all.size() - 2);
  return from == all.npos ? std::string() : all.substr(from + 1, all.size() - from - 2);
}

// A day of each year and a time on it: Mm.w.d[/t], Jn[/t] or n[/t] (POSIX, the TZ variable).
struct yearly {
  char kind = 'M'; // 'M', 'J', or '0' for a day that counts 29 February
  int month = 0, week = 0, day = 0;
  std::int32_t seconds = 7200;
  std::int64_t local_in(int y) const; // on the clocks that run before it
};

struct zone_rule {
  std::int32_t standard = 0, summer = 0; // seconds east
  yearly to_summer, to_standard;
};

std::int64_t yearly::local_in(int y) const {
  const date::year year{y};
  date::sys_days d = year / 1 / 1;
  if (kind == 'J') d += date::days{day - 1 + (year.is_leap() && day > 59 ? 1 : 0)};
  else if (kind == '0') d += date::days{day};
  else {
    const date::weekday wd{static_cast<unsigned>(day)};
    const date::month m{static_cast<unsigned>(month)};
    d = week == 5 ? date::sys_days{year / m / wd[date::last]}
                  : date::sys_days{year / m / wd[static_cast<unsigned>(week)]};
  }
  return std::int64_t{d.time_since_epoch().count()} * 86'400 + seconds;
}

class rule_reader {
public:
  explicit rule_reader(const std::string& text) : at_(text.data()), end_(at_ + text.size()) {}
  // std offset dst [offset] , start , end
  bool read(zone_rule& out) {
    if (!name() || !time(out.standard) || !name()) return false;
    out.standard = -out.standard; // POSIX counts west of Greenwich
    out.summer = out.standard + 3600;
    if (at_ != end_ && *at_ != ',') {
      if (!time(out.summer)) return false;
      out.summer = -out.summer;
    }
    return skip(',') && day(out.to_summer) && skip(',') && day(out.to_standard) && at_ == end_;
  }

private:
  bool skip(char c) { return at_ != end_ && *at_ == c && (++at_, true); }
  bool number(int& out) {
    const char* from = at_;
    for (out = 0; at_ != end_ && *at_ >= '0' && *at_ <= '9' && at_ < from + 4; ++at_) out = out * 10 + (*at_ - '0');
    return at_ != from;
  }
  bool name() {
    const bool quoted = skip('<');
    const char* from = at_;
    while (at_ != end_ && (quoted ? *at_ != '>' : std::isalpha(static_cast<unsigned char>(*at_)))) ++at_;
    return at_ != from && (!quoted || skip('>'));
  }
  // [±]h[:mm[:ss]]
  bool time(std::int32_t& out) {
    const bool minus = skip('-');
    if (!minus) skip('+');
    int h = 0, m = 0, s = 0;
    if (!number(h) || (skip(':') && !number(m)) || (skip(':') && !number(s))) return false;
    out = (h * 3600 + m * 60 + s) * (minus ? -1 : 1);
    return true;
  }
  bool day(yearly& out) {
    if (skip('M')) {
      if (!number(out.month) || !skip('.') || !number(out.week) || !skip('.') || !number(out.day)) return false;
      if (out.month < 1 || out.month > 12 || out.week < 1 || out.week > 5 || out.day > 6) return false;
    } else {
      out.kind = skip('J') ? 'J' : '0';
      if (!number(out.day) || out.day > 365) return false;
    }
    return !skip('/') || time(out.seconds);
  }
  const char *at_, *end_;
};

// The clocks were set to `offset` at that Unix time.
struct change {
  std::int64_t at;
  std::int32_t offset;
};

std::vector<change> changes_after(std::int64_t t, const zone_rule& rule) {
  std::vector<change> out;
  const auto day = date::floor<date::days>(at(t));
  for (int y = static_cast<int>(date::year_month_day{day}.year()); y <= last_year; ++y) {
    out.push_back({rule.to_summer.local_in(y) - rule.standard, rule.summer});
    out.push_back({rule.to_standard.local_in(y) - rule.summer, rule.standard});
  }
  std::erase_if(out, [&](const change& c) { return c.at <= t || c.at >= table_end; });
  std::sort(out.begin(), out.end(), [](const change& a, const change& b) { return a.at < b.at; });
  return out;
}

} // namespace

void zone::add(std::int64_t unix_begin, std::int64_t unix_end, std::int32_t offset) {
  if (unix_begin >= unix_end) return;
  const std::int64_t first = spans_.empty() ? unix_begin + offset : std::max(unix_begin + offset, spans_.back().end);
  const std::int64_t end = unix_end + offset;
  if (!spans_.empty() && spans_.back().offset == offset && spans_.back().end == first) spans_.back().end = end;
  else if (first < end) spans_.push_back({first, end, offset});
}

bool zone::seek(std::int64_t local, std::size_t& hint) const {
  auto after =
      std::upper_bound(spans_.begin(), spans_.end(), local, [](std::int64_t t, const span& s) { return t < s.first; });
  if (after == spans_.begin() || local >= (after - 1)->end) return false;
  hint = static_cast<std::size_t>(after - spans_.begin()) - 1;
  return true;
}

result<std::shared_ptr<const zone>> zone::find(const std::string& name) {
  auto z = std::make_shared<zone>();
  if (std::int32_t offset = 0; name == "UTC" || name == "Etc/UTC" || parse_fixed(name, offset)) {
    z->spans_.push_back({-never, never, offset});
    return std::shared_ptr<const zone>(std::move(z));
  }
  try {
    const auto* known = date::locate_zone(name);
    std::int64_t t = table_begin;
    for (int i = 0; t < table_end && i < transitions_max; ++i) {
      const auto info = known->get_info(at(t));
      const std::int64_t end = info.end.time_since_epoch().count();
      if (end >= table_end) break;
      z->add(t, end, static_cast<std::int32_t>(info.offset.count()));
      t = end;
    }
    auto offset = static_cast<std::int32_t>(known->get_info(at(t)).offset.count());
    const std::string text = read_rule(name);
    // Without a comma the rule is a fixed offset, which is what date knows already.
    if (zone_rule rule; text.find(',') != text.npos) {
      if (!rule_reader(text).read(rule))
        return error{"time zones", "the rule of '" + name + "' cannot be read: " + text,
                     "reinstall the package tzdata"};
      for (const auto& c : changes_after(t, rule)) {
        z->add(t, c.at, offset);
        t = c.at, offset = c.offset;
      }
    }
    z->add(t, table_end, offset);
  } catch (const std::exception& e) {
    return error{"time zones", "'" + name + "' cannot be used: " + e.what(),
                 "name an IANA zone; on Debian the package tzdata holds them"};
  }
  return std::shared_ptr<const zone>(std::move(z));
}

} // namespace chute
