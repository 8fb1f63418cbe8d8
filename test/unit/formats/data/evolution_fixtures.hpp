// Written by make_evolution.py; not to be edited.
#pragma once

#include <cstdint>

namespace chute::test {

// clang-format off
struct evolution_fixture {
  std::uint32_t id;
  const char *schema, *hex;
};
inline constexpr evolution_fixture avro_evolution[] = {
    {1, R"~({"type": "record", "name": "Order", "fields": [{"name": "id", "type": "int"}, {"name": "client", "type": "string"}]})~", "00000000010206616e6e"},
    {2, R"~({"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}, {"name": "client", "type": "string"}, {"name": "note", "type": ["null", "string"], "default": null}]})~", "000000000280808080804006626f62020867696674"},
    {3, R"~({"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}, {"name": "customer", "type": "string", "aliases": ["client"]}, {"name": "note", "type": ["null", "string", "long"], "default": null}]})~", "00000000030608636c656f040e"},
    {4, R"~({"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}, {"name": "customer", "type": "string", "aliases": ["client"]}]})~", "00000000040808646f7261"},
};
inline constexpr evolution_fixture protobuf_evolution[] = {
    {1, R"~(Cgh2MS5wcm90bxICdjEiJQoFT3JkZXISCgoCaWQYASABKAUSEAoIY3VzdG9tZXIYAiABKAliBnByb3RvMw==)~", "00000000010008011203616e6e"},
    {2, R"~(Cgh2Mi5wcm90bxICdjIiTwoFT3JkZXISCgoCaWQYASABKAMSEAoIY3VzdG9tZXIYAiABKAkSEQoEbm90ZRgDIAEoCUgAiAEBEgwKBHRhZ3MYBCADKAlCBwoFX25vdGViBnByb3RvMw==)~", "000000000200088080808080201203626f621a0467696674220161220162"},
    {3, R"~(Cgh2My5wcm90bxICdjMiZgoFT3JkZXISCgoCaWQYASABKAMSEQoEbm90ZRgDIAEoCUgAiAEBEhoKA3dobxgFIAEoCzINLnYzLk9yZGVyLldobxoTCgNXaG8SDAoEbmFtZRgBIAEoCUIHCgVfbm90ZUoECAIQA2IGcHJvdG8z)~", "00000000030008031a002a060a04636c656f"},
};
inline constexpr evolution_fixture json_evolution[] = {
    {1, R"~({"$schema": "http://json-schema.org/draft-07/schema#", "title": "Order", "type": "object", "properties": {"id": {"type": "integer"}, "customer": {"type": "string"}}})~", "00000000017b226964223a312c22637573746f6d6572223a22616e6e227d"},
    {2, R"~({"$schema": "http://json-schema.org/draft-07/schema#", "title": "Order", "type": "object", "properties": {"id": {"type": "integer"}, "customer": {"type": "string"}, "note": {"type": "string"}}})~", "00000000027b226964223a313039393531313632373737362c22637573746f6d6572223a22626f62222c226e6f7465223a2267696674227d"},
};
inline constexpr const char* avro_evolution_reader = R"~({"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}, {"name": "customer", "type": "string", "aliases": ["client"]}, {"name": "note", "type": ["string", "null", "long"], "default": "none"}]})~";
// clang-format on

} // namespace chute::test
