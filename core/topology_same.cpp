#include "core/topology_same.hpp"

#include <algorithm>
#include <tuple>

namespace chute {
namespace {

// Each takes its struct apart by name, so that a member that is added and not compared here does not compile.

auto parts_of(const column_source& c) {
  const auto& [kind, text] = c;
  return std::tie(kind, text);
}

auto parts_of(const kafka_config& c) {
  const auto& [brokers, properties] = c;
  return std::tie(brokers, properties);
}

auto parts_of(const clickhouse_config& c) {
  const auto& [urls, database, user, password, settings, cluster, compression, ca_file, insert_limit_ms,
               question_limit_ms, confirm_limit_ms, lease_ms] = c;
  return std::tie(urls, database, user, password, settings, cluster, compression, ca_file, insert_limit_ms,
                  question_limit_ms, confirm_limit_ms, lease_ms);
}

auto parts_of(const state_config& c) {
  const auto& [store, table, url, replicas, path, own] = c;
  return std::tie(store, table, url, replicas, path, own);
}

auto parts_of(const admin_config& c) {
  const auto& [enabled, host, port, token] = c;
  return std::tie(enabled, host, port, token);
}

auto parts_of(const batch_config& c) {
  const auto& [rows, bytes, wait_ms] = c;
  return std::tie(rows, bytes, wait_ms);
}

auto parts_of(const csv_config& c) {
  const auto& [delimiter, header, null_text, fields] = c;
  return std::tie(delimiter, header, null_text, fields);
}

auto parts_of(const avro_config& c) {
  const auto& [framing, schemas, reader_schema] = c;
  return std::tie(framing, schemas, reader_schema);
}

auto parts_of(const protobuf_config& c) {
  const auto& [framing, schema, message] = c;
  return std::tie(framing, schema, message);
}

auto parts_of(const passthrough_config& c) {
  const auto& [format, delimiter] = c;
  return std::tie(format, delimiter);
}

auto parts_of(const key_config& c) {
  const auto& [format, avro, protobuf] = c;
  return std::tuple_cat(std::tie(format), parts_of(avro), parts_of(protobuf));
}

auto parts_of(const condition& c) {
  const auto& [on, name, present, texts] = c;
  return std::tie(on, name, present, texts);
}

auto parts_of(const registry_config& c) {
  const auto& [url, user, password, token, ca_file] = c;
  return std::tie(url, user, password, token, ca_file);
}

template <class T> bool same_optional(const std::optional<T>& a, const std::optional<T>& b) {
  return a.has_value() == b.has_value() && (!a || parts_of(*a) == parts_of(*b));
}

auto parts_of(const pipeline_config& c) {
  const auto& [name, topics, group, start, start_timestamp_ms, format, csv, avro, protobuf, passthrough, key, where,
               table, database, lanes, encoding, batch, delivery, provenance, on_bad_record, on_data_loss, deletes,
               envelope, on_new_field, dead_letter_table, columns, line] = c;
  (void)line;                 // where it stands in the file
  (void)columns, (void)where; // below
  return std::tuple_cat(
      std::tie(name, topics, group, start, start_timestamp_ms, format, table, database, lanes, encoding, delivery,
               provenance, on_bad_record, on_data_loss, deletes, envelope, on_new_field, dead_letter_table),
      parts_of(csv), parts_of(avro), parts_of(protobuf), parts_of(passthrough), parts_of(key), parts_of(batch));
}

bool same_columns(const std::map<std::string, column_source>& a, const std::map<std::string, column_source>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && parts_of(x.second) == parts_of(y.second);
  });
}

bool same_conditions(const std::vector<condition>& a, const std::vector<condition>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return parts_of(x) == parts_of(y); });
}

} // namespace

bool same_state(const state_config& a, const state_config& b) { return parts_of(a) == parts_of(b); }

bool same_admin(const std::optional<admin_config>& a, const std::optional<admin_config>& b) {
  return same_optional(a, b);
}

bool same_pipeline(const topology& before, const topology& now, const pipeline_config& was, const pipeline_config& is) {
  return parts_of(was) == parts_of(is) && same_columns(was.columns, is.columns) &&
         same_conditions(was.where, is.where) && parts_of(before.kafka) == parts_of(now.kafka) &&
         parts_of(before.clickhouse) == parts_of(now.clickhouse) && same_state(before.state, now.state) &&
         same_optional(before.registry, now.registry) && before.memory_bytes == now.memory_bytes;
}

} // namespace chute
