// What was seen, as the tables in docs/formats.md.
#pragma once

#include "matrix/samples.hpp"

#include <map>
#include <string>
#include <vector>

namespace chute::test {

// Of one type: what became of every sample in every format, as sample::expected has it.
struct seen_type {
  const matrix_type* of = nullptr;
  std::map<std::string, std::vector<std::string>> outcomes; // by format, one a sample
};

// `passed`: the same with passthrough, by passed_formats.
std::string tables(const std::vector<seen_type>& seen, const std::vector<seen_type>& passed);

// Puts `tables` between the markers of the file. Whether it stood there already; `rewrite`: writes it.
bool same_as_documented(const std::string& path, const std::string& tables, bool rewrite);

} // namespace chute::test
