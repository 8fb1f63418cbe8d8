// What must hold for any bytes that are taken for records of a format: nothing is read beyond them (the sanitizers
// look), every record becomes a row or a dead letter, columns stay in step, every encoder takes them, and neither the
// neighbours of a record nor the way it is grouped with them changes what it becomes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace chute::test {

// json, connect_json, avro, avro_object, protobuf, csv, tsv, raw, passthrough.
const std::vector<std::string>& fuzz_targets();

// The input is one byte that chooses columns and options (not for json), for avro, avro_object and protobuf a schema,
// and any number of records; a separator stands between these parts: the byte 0x1e, three of them for avro,
// avro_object, protobuf and raw. Throws std::logic_error if the property does not hold.
void check_property(const std::string& target, std::string_view input);

} // namespace chute::test
