#pragma once

#include "cells.hpp"

#include <string>
#include <utility>
#include <vector>

namespace chute::test {

// A column, values for it, and what the engine reads them as.
struct test_case {
  std::string type;
  std::vector<std::pair<cell, std::string>> values;
  std::string read = "@";              // the expression that is read back
  std::string default_expression = ""; // of the column
};

// Min, max, zero and an ordinary value of every scalar type.
std::vector<test_case> scalar_cases();
// The same inside Nullable, LowCardinality, Array, Map, Tuple, Variant, and with a DEFAULT for rows without a value.
std::vector<test_case> derived_cases(const test_case& scalar);
// Types that hold others.
std::vector<test_case> composite_cases();

} // namespace chute::test
