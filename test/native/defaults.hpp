#pragma once

#include "cases.hpp"

namespace chute::test {

// Rows without a value in types that hold others, where the server evaluates the DEFAULT.
std::vector<test_case> default_cases();

// A column whose DEFAULT has to be known before: what a row without a value then holds, or why it is refused.
struct fill_case {
  std::string type, expression, expected;
  std::string refusal = "";
};
std::vector<fill_case> fill_cases();

} // namespace chute::test
