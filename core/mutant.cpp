#include "core/mutant.hpp"

#ifdef CHUTE_MUTANTS

#include <cstdio>
#include <cstdlib>
#include <iterator>

namespace chute {

namespace {

struct entry {
  std::string_view name, seen_by, rule;
};
constexpr entry entries[] = {{"none", "", ""},
#define CHUTE_BUG(name, seen_by, rule) {#name, #seen_by, rule},
                             CHUTE_PLANTED_BUGS(CHUTE_BUG)
#undef CHUTE_BUG
};
static_assert(std::size(entries) <= 256);

bug from_environment();
bug selected = from_environment();

bug from_environment() {
  const char* name = std::getenv("CHUTE_MUTANT");
  if (!name || !*name) return bug::none;
  if (std::string_view(name) == "list") {
    for (const auto& e : entries)
      if (!e.seen_by.empty()) std::printf("%s\t%s\t%s\n", e.name.data(), e.seen_by.data(), e.rule.data());
    std::exit(0);
  }
  for (std::size_t i = 0; i < std::size(entries); ++i)
    if (entries[i].name == name) return static_cast<bug>(i);
  std::fprintf(stderr, "CHUTE_MUTANT: there is no planted bug '%s'; CHUTE_MUTANT=list prints all\n", name);
  std::exit(2);
}

} // namespace

bool select_mutant(std::string_view name) {
  for (std::size_t i = 0; i < std::size(entries); ++i)
    if (entries[i].name == name) {
      selected = static_cast<bug>(i);
      return true;
    }
  return false;
}

bug selected_mutant() { return selected; }

} // namespace chute

#endif
