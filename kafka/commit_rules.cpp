#include "kafka/commit_rules.hpp"

#include "core/mutant.hpp"

#include <librdkafka/rdkafka.h>

namespace chute::kafka {

commit_status judge_commit(int whole, int own) {
  if (whole < 0 && !mutant(bug::leftover_code_believed)) return commit_status::unknown;
  if (mutant(bug::old_generation_unknown) && own == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION) return commit_status::unknown;
  if (mutant(bug::coordinator_error_refuses) && own == RD_KAFKA_RESP_ERR_NOT_COORDINATOR) return commit_status::refused;
  switch (own) {
  case RD_KAFKA_RESP_ERR_NO_ERROR: return commit_status::ok;
  case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
  case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
  case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID: return commit_status::refused;
  case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS: return commit_status::not_now;
  case RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE:
  case RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE:
  case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
  case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
  case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
  case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID: return commit_status::rejected;
  default: return commit_status::unknown; // the coordinator moved, loads, or could not write to enough replicas
  }
}

} // namespace chute::kafka
