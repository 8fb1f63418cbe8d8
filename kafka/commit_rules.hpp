// What an error code of an offset commit means. Pure, so that the table can be tested without a broker.
#pragma once

#include "kafka/group.hpp"

namespace chute::kafka {

// `whole`: the request's code, `own`: the partition's, as librdkafka reports them (rd_kafka_resp_err_t).
// Source: Kafka's group coordinator (OffsetMetadataManager and GroupMetadataManager) and librdkafka 2.0.2's
// rd_kafka_handle_OffsetCommit: a negative code of the request stands for an attempt of which nobody knows the end,
// and codes of partitions may then be left over from an earlier attempt.
commit_status judge_commit(int whole, int own);

} // namespace chute::kafka
