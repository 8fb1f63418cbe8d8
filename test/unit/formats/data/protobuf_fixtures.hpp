// Written by make_protobuf.py; not to be edited.
#pragma once

#include <cstdint>

namespace chute::test {

// clang-format off
inline constexpr const char* proto_plain = R"~(syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/any.proto";
enum Suit { SPADES = 0; HEARTS = 5; }
message Inner { int32 p = 1; optional double q = 2; }
message Plain {
  int32 i32 = 1; int64 i64 = 2; uint32 u32 = 3; uint64 u64 = 4; sint32 s32 = 5; sint64 s64 = 6;
  fixed32 f32 = 7; fixed64 f64 = 8; sfixed32 sf32 = 9; sfixed64 sf64 = 10;
  float fl = 11; double db = 12; bool bo = 13; string st = 14; bytes by = 15; Suit suit = 16;
  repeated int32 many = 17; repeated string words = 18; repeated Inner inners = 19; repeated sint64 loose = 20 [packed = false];
  map<string, int32> counts = 21; map<int32, Inner> by_number = 22; map<bool, string> flags = 23;
  Inner inner = 24; optional int32 maybe = 25;
  oneof choice { string left = 26; int32 right = 27; }
  message Nested { int32 x = 1; message Deep { string y = 1; } Deep deep = 2; }
  Nested nested = 28;
  Plain self = 29;
}
message Known {
  google.protobuf.Timestamp ts = 1; google.protobuf.Duration du = 2;
  google.protobuf.Int64Value i = 3; google.protobuf.StringValue s = 4; google.protobuf.BoolValue b = 5;
  google.protobuf.Struct st = 6; google.protobuf.Value v = 7; google.protobuf.ListValue l = 8;
  google.protobuf.Any any = 9; int32 id = 10;
}
)~";
inline constexpr const char* proto_old = R"~(syntax = "proto2";
package old;
message Old {
  required int32 id = 1;
  optional string name = 2 [default = "nobody"];
  optional int32 age = 3;
  repeated group Item = 4 { optional string what = 1; optional int32 count = 2; }
  optional bool yes = 5 [default = true];
}
)~";
inline constexpr const char* proto_whole_set = "0a3b0a0b70617274732e70726f746f12057061727473221d0a054d6f6e657912140a0563656e7473180120012803520563656e7473620670726f746f330a8b010a0b77686f6c652e70726f746f120577686f6c651a0b70617274732e70726f746f22150a054669727374120c0a016118012001280552016122490a065365636f6e64120c0a01621801200128055201621a310a055468697264121a0a016d18012001280b320c2e70617274732e4d6f6e657952016d120c0a0174180220012809520174620670726f746f33";
struct protobuf_fixture {
  const char *name, *hex;
};
inline constexpr protobuf_fixture protobuf_fixtures[] = {
    {"full", "08fbffffffffffffffff01108080808080808080800118ffffffff0f20ffffffffffffffffff0128ffffffff0f30feffffffffffffffff013d0700000041ffffffffffffffff4df9ffffff5100000000000000805d0000003f619c7500883ce437fe6801720674656120c3a97a0200ff8001058a010d01feffffffffffffffff01ac0292010161920100920101629a010208019a0109110000000000000000a00101a00102aa01050a01611001aa01050a01621002b2010f08fdffffffffffffffff0112020809ba010708011203796573c201020804c80100d80100e2010a080112060a0464656570ea01070801ea01020802"},
    {"empty", ""},
    {"known", "0a0b08c8ebc8b1061080e59a77121608ffffffffffffffffff011080b6ca91feffffffff011a0022030a017332390a0e0a0161120911000000000000f83f0a140a0162120f320d0a0220010a0208000a031a01780a110a0163120c2a0a0a080a016412031a01653a031a017642100a0911000000000000f03f0a031a017a5001"},
    {"known_empty", ""},
    {"any", "4a240a1e747970652e676f6f676c65617069732e636f6d2f73686f702e496e6e6572120208015002"},
    {"old", "08031804230a0178100224230a017924"},
    {"old_little", "0801"},
    {"odd", "800109"},
};
// Schemas as the serializer registered them; of the references, the names and ids.
struct confluent_schema {
  std::uint32_t id;
  const char *text, *reference;
  std::uint32_t referred;
};
inline constexpr confluent_schema confluent_proto_schemas[] = {
    {1, R"~(CgtwbGFpbi5wcm90bxIEc2hvcBofZ29vZ2xlL3Byb3RvYnVmL3RpbWVzdGFtcC5wcm90bxoeZ29vZ2xlL3Byb3RvYnVmL2R1cmF0aW9uLnByb3RvGh5nb29nbGUvcHJvdG9idWYvd3JhcHBlcnMucHJvdG8aHGdvb2dsZS9wcm90b2J1Zi9zdHJ1Y3QucHJvdG8aGWdvb2dsZS9wcm90b2J1Zi9hbnkucHJvdG8iKAoFSW5uZXISCQoBcBgBIAEoBRIOCgFxGAIgASgBSACIAQFCBAoCX3EiugYKBVBsYWluEgsKA2kzMhgBIAEoBRILCgNpNjQYAiABKAMSCwoDdTMyGAMgASgNEgsKA3U2NBgEIAEoBBILCgNzMzIYBSABKBESCwoDczY0GAYgASgSEgsKA2YzMhgHIAEoBxILCgNmNjQYCCABKAYSDAoEc2YzMhgJIAEoDxIMCgRzZjY0GAogASgQEgoKAmZsGAsgASgCEgoKAmRiGAwgASgBEgoKAmJvGA0gASgIEgoKAnN0GA4gASgJEgoKAmJ5GA8gASgMEhgKBHN1aXQYECABKA4yCi5zaG9wLlN1aXQSDAoEbWFueRgRIAMoBRINCgV3b3JkcxgSIAMoCRIbCgZpbm5lcnMYEyADKAsyCy5zaG9wLklubmVyEhEKBWxvb3NlGBQgAygSQgIQABInCgZjb3VudHMYFSADKAsyFy5zaG9wLlBsYWluLkNvdW50c0VudHJ5EiwKCWJ5X251bWJlchgWIAMoCzIZLnNob3AuUGxhaW4uQnlOdW1iZXJFbnRyeRIlCgVmbGFncxgXIAMoCzIWLnNob3AuUGxhaW4uRmxhZ3NFbnRyeRIaCgVpbm5lchgYIAEoCzILLnNob3AuSW5uZXISEgoFbWF5YmUYGSABKAVIAYgBARIOCgRsZWZ0GBogASgJSAASDwoFcmlnaHQYGyABKAVIABIiCgZuZXN0ZWQYHCABKAsyEi5zaG9wLlBsYWluLk5lc3RlZBIZCgRzZWxmGB0gASgLMgsuc2hvcC5QbGFpbhotCgtDb3VudHNFbnRyeRILCgNrZXkYASABKAkSDQoFdmFsdWUYAiABKAU6AjgBGjwKDUJ5TnVtYmVyRW50cnkSCwoDa2V5GAEgASgFEhoKBXZhbHVlGAIgASgLMgsuc2hvcC5Jbm5lcjoCOAEaLAoKRmxhZ3NFbnRyeRILCgNrZXkYASABKAgSDQoFdmFsdWUYAiABKAk6AjgBGk0KBk5lc3RlZBIJCgF4GAEgASgFEiUKBGRlZXAYAiABKAsyFy5zaG9wLlBsYWluLk5lc3RlZC5EZWVwGhEKBERlZXASCQoBeRgBIAEoCUIICgZjaG9pY2VCCAoGX21heWJlIuwCCgVLbm93bhImCgJ0cxgBIAEoCzIaLmdvb2dsZS5wcm90b2J1Zi5UaW1lc3RhbXASJQoCZHUYAiABKAsyGS5nb29nbGUucHJvdG9idWYuRHVyYXRpb24SJgoBaRgDIAEoCzIbLmdvb2dsZS5wcm90b2J1Zi5JbnQ2NFZhbHVlEicKAXMYBCABKAsyHC5nb29nbGUucHJvdG9idWYuU3RyaW5nVmFsdWUSJQoBYhgFIAEoCzIaLmdvb2dsZS5wcm90b2J1Zi5Cb29sVmFsdWUSIwoCc3QYBiABKAsyFy5nb29nbGUucHJvdG9idWYuU3RydWN0EiEKAXYYByABKAsyFi5nb29nbGUucHJvdG9idWYuVmFsdWUSJQoBbBgIIAEoCzIaLmdvb2dsZS5wcm90b2J1Zi5MaXN0VmFsdWUSIQoDYW55GAkgASgLMhQuZ29vZ2xlLnByb3RvYnVmLkFueRIKCgJpZBgKIAEoBSoeCgRTdWl0EgoKBlNQQURFUxAAEgoKBkhFQVJUUxAFYgZwcm90bzM=)~", "", 0},
    {2, R"~(CgtwYXJ0cy5wcm90bxIFcGFydHMiFgoFTW9uZXkSDQoFY2VudHMYASABKANiBnByb3RvMw==)~", "", 0},
    {3, R"~(Cgt3aG9sZS5wcm90bxIFd2hvbGUaC3BhcnRzLnByb3RvIhIKBUZpcnN0EgkKAWEYASABKAUiQAoGU2Vjb25kEgkKAWIYASABKAUaKwoFVGhpcmQSFwoBbRgBIAEoCzIMLnBhcnRzLk1vbmV5EgkKAXQYAiABKAliBnByb3RvMw==)~", "parts.proto", 2},
};
inline constexpr const char* confluent_proto_records[] = {
    "0000000001020208077205736576656e",
    "0000000003000801",
    "000000000302020802",
    "00000000030402000a020807120174",
    "000000000102045005",
};
// clang-format on

} // namespace chute::test
