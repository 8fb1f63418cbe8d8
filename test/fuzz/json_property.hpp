// What must hold for any bytes that are taken for JSON records: nothing is read beyond them (the sanitizers look),
// every record becomes a row or a dead letter, columns stay in step, and neither the neighbours of a record nor the way
// it is grouped with them changes what it becomes.
#pragma once

#include <string_view>

namespace chute::test {

// The records are the parts of `input` between bytes 0x1e. Throws std::logic_error if the property does not hold.
void check_json_property(std::string_view input);

} // namespace chute::test
