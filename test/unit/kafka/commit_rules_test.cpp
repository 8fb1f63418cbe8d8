#include "kafka/commit_rules.hpp"

#include <doctest/doctest.h>
#include <librdkafka/rdkafka.h>

using namespace chute::kafka;

TEST_CASE("a commit without a request-level error is judged by each partition's own code") {
  CHECK(judge_commit(0, RD_KAFKA_RESP_ERR_NO_ERROR) == commit_status::ok);
  CHECK(judge_commit(RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE, RD_KAFKA_RESP_ERR_NO_ERROR) == commit_status::ok);
  for (auto code : {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
                    RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID})
    CHECK(judge_commit(code, code) == commit_status::refused);
  CHECK(judge_commit(0, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS) == commit_status::not_now);
  for (auto code : {RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE,
                    RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                    RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED})
    CHECK(judge_commit(code, code) == commit_status::rejected);
}

TEST_CASE("coordinators that moved, load or cannot replicate leave a commit unknown") {
  for (auto code : {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                    RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                    RD_KAFKA_RESP_ERR_UNKNOWN, RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION})
    CHECK(judge_commit(code, code) == commit_status::unknown);
}

TEST_CASE("after a request that nobody knows the end of no code of a partition counts") {
  for (auto whole : {RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__WAIT_COORD,
                     RD_KAFKA_RESP_ERR__DESTROY, RD_KAFKA_RESP_ERR__FATAL})
    for (auto own : {RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE,
                     RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION})
      CHECK(judge_commit(whole, own) == commit_status::unknown);
  // A partition that the answer left out keeps what it was sent with.
  CHECK(judge_commit(0, RD_KAFKA_RESP_ERR__STATE) == commit_status::unknown);
}
