// Values that ClickHouse reads itself: through chute they become what ClickHouse makes of them alone.
#pragma once

#include "matrix/report.hpp"
#include "server.hpp"

#include <cstddef>
#include <string>

namespace chute::test {

// Every sample of a type in each of passed_formats. What it must become is asked of the engine, which is given the same
// rows without a table and without chute; what it refuses there, it must refuse behind chute's prefix. A line FAIL for
// each that becomes anything else.
seen_type pass_all(server& s, const std::string& table, const matrix_type& t, std::size_t& cells, std::size_t& failed);

} // namespace chute::test
