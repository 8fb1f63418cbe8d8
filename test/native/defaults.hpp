#pragma once

#include "cases.hpp"

namespace chute::test {

// Rows without a value in types that hold others, where the server evaluates the DEFAULT.
std::vector<test_case> default_cases();

} // namespace chute::test
