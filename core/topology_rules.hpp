// Names that the topology's reader knows by heart: what the engine owns, and what it does not offer yet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace chute {

// Something that a topology must not set, and why.
struct owned_name {
  std::string_view name, why;
};

// librdkafka's properties that decide whether a record is read once (librdkafka 2.0's CONFIGURATION.md has the names).
inline constexpr std::array owned_kafka_properties = {
    owned_name{"bootstrap.servers", "write kafka.brokers"},
    owned_name{"metadata.broker.list", "write kafka.brokers"},
    owned_name{"group.id", "write the pipeline's group"},
    owned_name{"group.instance.id", "the engine does not use static membership: lanes change owners at once"},
    owned_name{"group.protocol.type", "the engine is a consumer"},
    owned_name{"partition.assignment.strategy", "the engine needs roundrobin, which spreads lanes evenly"},
    owned_name{"enable.auto.commit", "the engine saves positions itself"},
    owned_name{"auto.commit.enable", "the engine saves positions itself"},
    owned_name{"auto.commit.interval.ms", "the engine saves positions itself"},
    owned_name{"enable.auto.offset.store", "the engine saves positions itself"},
    owned_name{"offset.store.method", "the engine saves positions itself"},
    owned_name{"offset.store.path", "the engine saves positions itself"},
    owned_name{"offset.store.sync.interval.ms", "the engine saves positions itself"},
    owned_name{"auto.offset.reset", "anything but error skips records silently; write the pipeline's start"},
    owned_name{"isolation.level", "the engine reads committed records only"},
    owned_name{"api.version.request", "older requests know no transactions, headers or timestamps"},
    owned_name{"broker.version.fallback", "older requests know no transactions, headers or timestamps"},
    owned_name{"enable.partition.eof", "the engine needs to know where partitions end"},
    owned_name{"check.crcs",
               "it is pinned to true: a damaged record would pass for one of another log, or for a good one"},
    owned_name{"statistics.interval.ms", "nobody would take the statistics; see the admin face's /metrics"},
    owned_name{"log.queue", "the engine takes librdkafka's log as it comes; run with --log-level debug for all of it"},
    owned_name{"enabled_events", "nobody would take the events"},
    owned_name{"queued.max.messages.kbytes", "the engine derives it from memory"},
    owned_name{"queued.min.messages", "the engine derives it from memory"},
    owned_name{"rebalance_cb", "it holds an address, which no file can give"},
    owned_name{"offset_commit_cb", "it holds an address, which no file can give"},
    owned_name{"consume_cb", "it holds an address, which no file can give"},
    owned_name{"dr_cb", "it holds an address, which no file can give"},
    owned_name{"dr_msg_cb", "it holds an address, which no file can give"},
    owned_name{"error_cb", "it holds an address, which no file can give"},
    owned_name{"throttle_cb", "it holds an address, which no file can give"},
    owned_name{"stats_cb", "it holds an address, which no file can give"},
    owned_name{"log_cb", "it holds an address, which no file can give"},
    owned_name{"background_event_cb", "it holds an address, which no file can give"},
    owned_name{"socket_cb", "it holds an address, which no file can give"},
    owned_name{"connect_cb", "it holds an address, which no file can give"},
    owned_name{"closesocket_cb", "it holds an address, which no file can give"},
    owned_name{"open_cb", "it holds an address, which no file can give"},
    owned_name{"resolve_cb", "it holds an address, which no file can give"},
    owned_name{"oauthbearer_token_refresh_cb", "it holds an address, which no file can give"},
    owned_name{"ssl.certificate.verify_cb", "it holds an address, which no file can give"},
    owned_name{"opaque", "it holds an address, which no file can give"},
    owned_name{"default_topic_conf", "it holds an address, which no file can give"},
};

// ClickHouse's settings that are pinned on every insert, because another value loses or doubles rows.
inline constexpr std::array pinned_clickhouse_settings = {
    owned_name{"async_insert", "it is pinned to 0: an acknowledgement must mean that the rows are there"},
    owned_name{"wait_for_async_insert", "async_insert is pinned to 0"},
    owned_name{"async_insert_deduplicate", "async_insert is pinned to 0"},
    owned_name{"insert_deduplicate", "it is pinned to 1: repeated inserts must be dropped"},
    owned_name{"deduplicate_insert", "it is pinned to enable: repeated inserts must be dropped"},
    owned_name{"insert_deduplication_token", "the engine gives every batch its own"},
    owned_name{"deduplicate_blocks_in_dependent_materialized_views", "it is pinned to 1: views must not double rows"},
    owned_name{"materialized_views_ignore_errors", "it is pinned to 0: a view must not lose rows silently"},
    owned_name{"min_insert_block_size_rows", "it is pinned: a batch is one block; write batch.rows"},
    owned_name{"max_insert_block_size", "it is pinned: a batch is one block; write batch.rows"},
    owned_name{"min_insert_block_size_bytes", "it is pinned: a batch is one block; write batch.bytes"},
    owned_name{"max_insert_block_size_bytes", "it is pinned: a batch is one block; write batch.bytes"},
    owned_name{"use_strict_insert_block_limits", "it is pinned to 0: a batch is one block"},
    owned_name{"input_format_max_block_size_bytes", "it is pinned to 0: a batch is one block; write batch.bytes"},
    owned_name{"input_format_max_block_wait_ms", "it is pinned to 0: a batch is one block"},
    owned_name{"input_format_connection_handling",
               "it is pinned to 0: a batch whose connection broke must not land in part"},
    owned_name{"max_partitions_per_insert_block", "it is pinned to 0: a backfill must not fail for ever"},
    owned_name{"max_execution_time", "it is pinned; write clickhouse.limits.insert"},
    owned_name{"timeout_overflow_mode", "it is pinned to throw: a cut insert must not look whole"},
    owned_name{"input_format_null_as_default", "it is pinned to 1: missing fields take the column's default"},
    owned_name{"input_format_defaults_for_omitted_fields",
               "it is pinned to 1: missing fields take the column's default"},
    owned_name{"input_format_native_decode_types_in_binary_format", "it is pinned to 0: types are sent as text"},
    owned_name{"input_format_try_infer_dates", "it is pinned to 0: strings in JSON columns stay strings"},
    owned_name{"input_format_try_infer_datetimes", "it is pinned to 0: strings in JSON columns stay strings"},
    owned_name{"input_format_json_try_infer_numbers_from_strings",
               "it is pinned to 0: strings in JSON columns stay strings"},
    owned_name{"input_format_allow_errors_num", "it is pinned to 0: no row may be dropped silently"},
    owned_name{"input_format_allow_errors_ratio", "it is pinned to 0: no row may be dropped silently"},
    owned_name{"wait_end_of_query", "it is pinned to 1: an acknowledgement must mean that the rows are there"},
    // Parameters of the HTTP interface that are no settings, but would be taken for them.
    owned_name{"query", "it is no setting; the engine writes the statement"},
    owned_name{"query_id", "it is no setting; the engine names its queries"},
    owned_name{"database", "it is no setting; write clickhouse.database"},
    owned_name{"default_format", "it is no setting; write the pipeline's encoding"},
    owned_name{"user", "it is no setting; write clickhouse.user"},
    owned_name{"password", "it is no setting; write clickhouse.password"},
    owned_name{"session_id", "it is no setting; inserts share no session"},
    owned_name{"session_check", "it is no setting; inserts share no session"},
    owned_name{"session_timeout", "it is no setting; inserts share no session"},
    owned_name{"compress", "it is no setting; write clickhouse.compression"},
    owned_name{"decompress", "it is no setting; write clickhouse.compression"},
    owned_name{"close_session", "it is no setting; inserts share no session"},
    owned_name{"role", "it is no setting; give clickhouse.user its roles: SET DEFAULT ROLE … TO …"},
    owned_name{"quota_key", "it is no setting; a quota keyed by client_key_or_user_name counts clickhouse.user"},
    owned_name{"stacktrace", "it is no setting; ClickHouse's log has the stack of an error"},
    owned_name{"buffer_size", "it is no setting, and an insert has no result to buffer"},
    owned_name{"client_protocol_version", "it is no setting; the engine reads the protocol that it asks for"},
    owned_name{"enable_http_compression", "write clickhouse.compression"},
    owned_name{"readonly", "a read-only insert can never succeed"},
};

// ClickHouse's settings that a prefix before a row, or its end, rests on: pinned where format is passthrough.
inline constexpr std::array passthrough_settings = {
    owned_name{"date_time_input_format", "it is pinned to best_effort"},
    owned_name{"input_format_parallel_parsing", "it is pinned to 0: a batch is one block"},
    owned_name{"input_format_skip_unknown_fields", "it is pinned to 1"},
    owned_name{"format_csv_delimiter", "write passthrough.delimiter"},
    owned_name{"format_csv_allow_single_quotes", "it is pinned to 0"},
    owned_name{"format_csv_allow_double_quotes", "it is pinned to 1"},
    owned_name{"format_csv_null_representation", "it is pinned to \\N"},
    owned_name{"input_format_csv_detect_header", "it is pinned to 0"},
    owned_name{"input_format_csv_skip_first_lines", "it is pinned to 0"},
    owned_name{"input_format_csv_allow_whitespace_or_tab_as_delimiter", "it is pinned to 0"},
    owned_name{"format_tsv_null_representation", "it is pinned to \\N"},
    owned_name{"input_format_tsv_detect_header", "it is pinned to 0"},
    owned_name{"input_format_tsv_skip_first_lines", "it is pinned to 0"},
};

template <std::size_t N>
constexpr const owned_name* find_owned(const std::array<owned_name, N>& list, std::string_view name) {
  for (const owned_name& o : list)
    if (o.name == name) return &o;
  return nullptr;
}

// One of the values that a setting takes.
template <class T> struct choice {
  std::string_view name;
  T value;
  bool available = true; // false: in the contract, not in this version
};

} // namespace chute
