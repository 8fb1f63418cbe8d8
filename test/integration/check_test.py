"""`chute check`: each of the seeded mistakes is found, with its severity, the reason and what mends it; a sound topology, the
demo's among them, has no findings."""

import http.server
import json
import os
import shutil
import subprocess
import threading

import harness
from harness import PROVENANCE, SMALL_COLUMNS, wait_until

TIME_LIMIT_SECONDS = 900
BESIDE = True
GOOD = "ENGINE = MergeTree ORDER BY _offset SETTINGS non_replicated_deduplication_window = 100000"
MISTAKES_MIN = 25
mistakes = []  # name, function: seeds it, and returns what must be found: severity, words of the reason, words of the mend


def mistake(function):
    mistakes.append((function.__name__.removeprefix("_").replace("_", " "), function))
    return function


class Seed:
    """What a mistake is seeded into: a sound topology of one pipeline, with a topic and a table of its own."""

    def __init__(self, scenario, number):
        self.scenario, self.number = scenario, number
        self.name = f"{scenario.name}_{number}"
        self.table = f"{scenario.database}.{self.name}"
        self.topic = scenario.shared_topic
        self.document = {
            "kafka": {"brokers": scenario.kafka},
            "clickhouse": {"url": scenario.server.url, "database": scenario.database},
            "state": {"store": "kafka"},
            "pipelines": {self.name: {"topics": [self.topic], "table": self.name}},
        }
        self.file = scenario.dir / f"{self.name}.yaml"

    @property
    def pipeline(self):
        return self.document["pipelines"][self.name]

    def sql(self, statement):
        return self.scenario.server.ask(statement)

    def make(self, columns=SMALL_COLUMNS + PROVENANCE, engine=GOOD, name=None):
        name = name or self.table
        self.scenario.addCleanup(self.scenario.drop, name)
        self.sql(f"CREATE TABLE {name} ({columns}) {engine}")

    def own_topic(self, partitions=1, **config):
        self.topic = self.scenario.topic(partitions, f"_{self.number}", **config)
        self.pipeline["topics"] = [self.topic]

    def other_topic(self, partitions):
        name = self.scenario.topic(partitions, f"_{self.number}_too")
        self.scenario.produce(name, 1)  # until the broker knows it
        return name

    def write(self):
        self.file.write_text(json.dumps(self.document, indent=2))

    def run_until_end(self):
        self.document["kafka"]["properties"] = harness.KAFKA_PROPERTIES
        self.write()
        code = harness.Engine(self.scenario, self.file, "--until-end", name=f"chute_{self.number}").wait(60)
        self.scenario.assertEqual(code, 0, "the pipeline's first run")

    def run_once(self, records=50, *options):
        """The pipeline ran up to the end of so many records."""
        self.scenario.produce(self.topic, records, "--shape", "small", *options)
        self.run_until_end()

    def keep_in_file(self):
        self.document["state"] = {"store": "file", "path": str(self.scenario.dir / f"{self.name}_state")}

    def make_topic_anew(self, partitions):
        self.scenario.kit("topic", "delete", self.topic)
        self.scenario.kit("topic", "create", self.topic, "--partitions", partitions)

    def view(self, number=""):
        self.scenario.addCleanup(self.scenario.drop, f"{self.table}_view{number}")
        self.sql(f"CREATE MATERIALIZED VIEW {self.table}_view{number} TO {self.table}_sums AS SELECT count() AS n FROM {self.table}")

    def check(self):
        self.write()
        done = subprocess.run([str(harness.CHUTE), "check", "--json", str(self.file)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        found = json.loads(done.stdout)
        bad = any(f["level"] == "error" for f in found)
        self.scenario.assertEqual(done.returncode, 1 if bad else 0, f"the exit code; {found} {done.stderr}")
        return found

    def consumer_groups(self, *arguments):
        """Kafka's own tool, as a person would use it."""
        where = subprocess.run([str(harness.ROOT / "dev/install-deps"), "--where", "kafka"], capture_output=True, text=True,
                               check=True).stdout.strip()
        subprocess.run(["java", "-Xmx128m", "-cp", f"{where}/*", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
                        "--bootstrap-server", self.scenario.kafka, "--group", f"chute-{self.name}", *arguments],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)


# -- Kafka -------------------------------------------------------------------------------------------------------------


@mistake
def _a_topic_that_does_not_exist(s):
    s.make()
    s.pipeline["topics"] = [f"{s.name}_not_there"]
    return "error", "not_there", ""


@mistake
def _a_topic_that_is_named_and_left_out(s):
    s.make()
    s.document["kafka"].setdefault("properties", {})["topic.blacklist"] = f"^nothing$,^{s.topic}$"
    return "error", "topic.blacklist leaves it out", "take it out of one of the two"


@mistake
def _a_pattern_that_matches_nothing(s):
    s.make()
    s.pipeline["topics"] = [f"^{s.name}_not_there_.*"]
    return "error", "no topic matches", "topics"


@mistake
def _two_patterns_that_meet_in_one_table(s):
    s.own_topic()
    s.make()
    s.pipeline["topics"] = [f"^{s.topic}$"]
    s.document["pipelines"][f"{s.name}_too"] = {"topics": [f"^{s.topic}.*"], "table": s.name}
    return "error", f"pipeline {s.name} writes this topic into {s.table} too", "patterns"


@mistake
def _brokers_that_do_not_answer(s):
    s.make()
    s.document["kafka"] = {"brokers": f"127.0.0.1:{harness.free_port()}"}
    return "error", "kafka", ""


@mistake
def _little_memory_for_many_lanes(s):
    s.own_topic(20)
    s.make()
    s.document["memory"] = "32MiB"
    return "warning", "is little for 20 lanes", "memory: 85MiB"


@mistake
def _retention_of_minutes(s):
    s.own_topic(retention_ms=600_000)
    s.make()
    return "warning", "keeps records for 10m", "retention.ms="


@mistake
def _a_compacted_topic(s):
    s.own_topic(cleanup_policy="compact")
    s.make()
    return "warning", "compacted", "cleanup.policy=delete"


@mistake
def _a_lag_that_retention_will_overtake(s):
    s.own_topic(retention_ms=4_000, segment_ms=3_600_000)
    s.make()
    s.scenario.produce(s.topic, 10, "--shape", "small")
    s.run_until_end()
    s.scenario.produce(s.topic, 10, "--shape", "small", "--first", 10)
    # It grows older than half of the retention; the broker deletes whole segments only, and far later.
    wait_until(lambda: any("half the retention" in f["reason"] for f in s.check()), 20, "the lag is seen", every=0.5)
    return "warning", "half the retention", "retention.ms="


@mistake
def _a_topic_made_anew(s):
    s.own_topic()
    s.make()
    s.scenario.produce(s.topic, 50, "--shape", "small")
    s.run_until_end()
    s.scenario.kit("topic", "delete", s.topic)
    s.scenario.kit("topic", "create", s.topic, "--partitions", 1)
    # A broker that deletes the offsets with the topic leaves a lane that began and has no record.
    return "error", "truncated or made anew|its record is gone", "--to-earliest"


@mistake
def _offsets_that_another_tool_moved(s):
    s.own_topic()
    s.make()
    s.scenario.produce(s.topic, 50, "--shape", "small")
    s.run_until_end()
    s.consumer_groups("--topic", s.topic, "--reset-offsets", "--to-earliest", "--execute")
    return "error", "moved by another tool", "--adopt"


@mistake
def _a_group_that_was_deleted(s):
    s.own_topic()
    s.make()
    s.scenario.produce(s.topic, 50, "--shape", "small")
    s.run_until_end()
    s.consumer_groups("--delete")
    return "error", "its record is gone", "--to-table"


@mistake
def _offsets_of_a_partition_that_is_no_seat(s):
    s.own_topic(2)
    s.make()
    s.pipeline["lanes"] = 1
    s.run_once()
    s.consumer_groups("--topic", f"{s.topic}:1", "--reset-offsets", "--to-earliest", "--execute")
    return "error", f"moved by another tool: offset 0 of {s.topic}/1", "--adopt"


@mistake
def _offsets_that_another_tool_moved_beside_a_file(s):
    s.own_topic()
    s.make()
    s.keep_in_file()
    s.run_once()
    s.consumer_groups("--topic", s.topic, "--reset-offsets", "--to-earliest", "--execute")
    return "error", "moved by another tool: offset 0", "--adopt"


@mistake
def _another_store_than_before(s):
    s.own_topic()
    s.make()
    s.keep_in_file()
    s.run_once()
    s.document["state"] = {"store": "kafka"}
    return "error", "kept it in the store 'file'", "write state.store: file"


@mistake
def _a_topic_made_anew_and_refilled(s):
    s.own_topic()
    s.make()
    s.keep_in_file()
    s.run_once()
    s.make_topic_anew(1)
    s.scenario.produce(s.topic, 100, "--shape", "small", "--first", 1_000)
    return "error", "is not the one that was done", "--to-earliest"


@mistake
def _a_topic_made_anew_with_fewer_partitions(s):
    s.own_topic(3)
    s.make()
    s.keep_in_file()
    s.pipeline["lanes"] = 1
    s.run_once()
    s.make_topic_anew(2)
    s.scenario.produce(s.topic, 200, "--shape", "small", "--first", 1_000)
    return "error", "knows 3 partitions of this lane, the topic has 2", "--to-earliest"


@mistake
def _records_in_another_format(s):
    s.own_topic()
    s.make()
    s.scenario.produce(s.topic, 30, "--shape", "small")
    s.pipeline["format"] = "csv"
    return "error", "none of its last 20 records can become a row with format: csv", "write format:"


@mistake
def _fields_that_no_column_has(s):
    s.own_topic()
    s.make(columns="order_number UInt64, words String" + PROVENANCE)
    s.scenario.produce(s.topic, 30, "--shape", "small")
    return "warning", "no field of its last 20 records has a column", "columns:"


@mistake
def _a_session_that_the_brokers_refuse(s):
    s.make()
    s.document["kafka"]["properties"] = {"session.timeout.ms": 3_600_000, "max.poll.interval.ms": 3_600_000}
    return "error", "the brokers take a session.timeout.ms of", "session.timeout.ms: "


@mistake
def _heartbeats_rarer_than_the_session(s):
    s.make()
    s.document["kafka"]["properties"] = {"heartbeat.interval.ms": 50_000}
    return "error", "heartbeat.interval.ms (50000) is not below", "heartbeat.interval.ms: 15000"


@mistake
def _a_poll_interval_too_short_to_finish(s):
    s.make()
    s.document["kafka"]["properties"] = {"max.poll.interval.ms": 60_000}
    return "warning", "max.poll.interval.ms (60000)", "max.poll.interval.ms: 300000"


@mistake
def _somebody_else_in_the_group(s):
    s.own_topic()
    s.make()
    where = subprocess.run([str(harness.ROOT / "dev/install-deps"), "--where", "kafka"], capture_output=True, text=True,
                           check=True).stdout.strip()
    harness.Process(s.scenario, f"consumer_{s.number}",
                    ["java", "-Xmx128m", "-cp", f"{where}/*", "org.apache.kafka.tools.consumer.ConsoleConsumer",
                     "--bootstrap-server", s.scenario.kafka, "--topic", s.topic, "--group", f"chute-{s.name}"])
    wait_until(lambda: any("others than chute" in f["reason"] for f in s.check()), 40, "it is seen", every=0.5)
    return "error|warning", "others than chute are in the group", f"chute-{s.name}"


@mistake
def _a_leader_that_may_lag(s):
    s.own_topic(unclean_leader_election_enable="true")
    s.make()
    return "warning", "unclean.leader.election.enable=true", "unclean.leader.election.enable=false"


@mistake
def _retention_of_few_bytes(s):
    s.own_topic(retention_bytes=10_000_000)
    s.make()
    return "warning", "keeps only 9", "retention.bytes=-1"


@mistake
def _records_larger_than_memory(s):
    s.own_topic(max_message_bytes=200_000_000)
    s.make()
    return "warning", "its records may have up to", "memory: "


@mistake
def _a_start_in_the_future(s):
    s.own_topic()
    s.make()
    s.pipeline["start"] = "2099-01-01T00:00:00Z"
    return "warning", "lies in the future", "latest"


@mistake
def _an_address_that_is_no_registry(s):
    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    s.scenario.addCleanup(server.server_close)
    s.scenario.addCleanup(server.shutdown)
    s.make()
    s.pipeline["format"] = "avro"
    s.document["registry"] = {"url": f"http://127.0.0.1:{server.server_port}"}
    return "error", "this is no schema registry", "registry.url"


# -- ClickHouse --------------------------------------------------------------------------------------------------------


@mistake
def _a_server_that_does_not_answer(s):
    s.make()
    url = s.document["clickhouse"]["url"] = f"http://127.0.0.1:{harness.free_port()}"
    return "error", f"clickhouse {url}: asking for the version: ", "see that ClickHouse answers there"


@mistake
def _a_database_that_does_not_exist(s):
    s.document["clickhouse"]["database"] = f"{s.name}_not_there"
    return "error", "there is no database", "CREATE DATABASE"


@mistake
def _a_table_that_does_not_exist(s):
    return "error", "there is no table", "CREATE TABLE"


@mistake
def _a_table_without_a_window(s):
    s.make(engine="ENGINE = MergeTree ORDER BY _offset")
    return "error", "window is 0", "MODIFY SETTING non_replicated_deduplication_window"


@mistake
def _a_window_too_small_for_the_rate(s):
    s.make(engine=GOOD.replace("100000", "50"))
    return "warning", "knows 50 inserts", "MODIFY SETTING non_replicated_deduplication_window"


@mistake
def _an_engine_that_does_not_deduplicate(s):
    s.make(engine="ENGINE = Memory")
    return "error", "does not deduplicate", "MergeTree"


@mistake
def _an_engine_that_melts_rows(s):
    s.make(engine=GOOD.replace("MergeTree", "SummingMergeTree"))
    return "error", "SummingMergeTree melts rows together", "materialized view"


@mistake
def _deletes_into_an_engine_that_has_none(s):
    s.make()
    s.pipeline["deletes"] = "replacing"
    return "error", "in which a deleted row would stay", "ReplacingMergeTree"


@mistake
def _tombstones_whose_row_only_the_value_tells(s):
    s.make(columns=SMALL_COLUMNS + ", version UInt64, is_deleted UInt8" + PROVENANCE,
           engine=GOOD.replace("MergeTree", "ReplacingMergeTree(version, is_deleted)").replace("_offset", "id"))
    s.pipeline["deletes"] = "replacing"
    return "error", "a field of the value, which a tombstone does not have", "{meta: key}"


@mistake
def _rows_taken_back_under_another_version(s):
    s.make(columns=SMALL_COLUMNS + ", version UInt64, sign Int8" + PROVENANCE,
           engine=GOOD.replace("MergeTree", "VersionedCollapsingMergeTree(sign, version)").replace("_offset", "id"))
    s.pipeline.update(deletes="collapsing", envelope="debezium", columns={"version": {"meta": "offset"}})
    return "error", "has the version that it had", "from a field of the row"


@mistake
def _a_table_without_provenance(s):
    s.make(columns=SMALL_COLUMNS, engine=GOOD.replace("_offset", "id"))
    return "error", "lacks _topic, _partition, _offset", "ADD COLUMN `_topic`"


@mistake
def _an_offset_of_32_bits(s):
    s.make(columns=SMALL_COLUMNS + PROVENANCE.replace("Int64", "Int32"))
    return "error", "_offset is Int32", "MODIFY COLUMN `_offset` Int64"


@mistake
def _a_provenance_column_that_cannot_be_written(s):
    s.make(columns=SMALL_COLUMNS + PROVENANCE.replace("_partition Int32", "_partition Int32 MATERIALIZED 0"))
    return "error", "_partition is MATERIALIZED", "MODIFY COLUMN"


@mistake
def _rows_that_expire(s):
    s.make(columns=SMALL_COLUMNS + ", at DateTime" + PROVENANCE,
           engine=GOOD.replace("SETTINGS", "TTL at + INTERVAL 1 DAY SETTINGS"))
    return "warning", "TTL", ""


@mistake
def _an_offset_that_expires(s):
    s.make(columns=SMALL_COLUMNS + ", at DateTime" + PROVENANCE + " TTL at + INTERVAL 1 DAY", engine=GOOD.replace("_offset", "id"))
    return "error", "a TTL empties its column _offset", "MODIFY COLUMN `_offset` REMOVE TTL"


@mistake
def _rows_that_were_deleted(s):
    s.make()
    s.sql(f"INSERT INTO {s.table} SELECT number, '', '', 0, number FROM numbers(10)")
    s.sql(f"DELETE FROM {s.table} WHERE id = 3")
    return "warning", "deleted", ""


@mistake
def _a_window_too_small_for_two_pipelines(s):
    s.own_topic(20)
    other = s.other_topic(20)
    s.make(engine="ENGINE = MergeTree ORDER BY _offset SETTINGS non_replicated_deduplication_window = 10000")
    s.document["pipelines"][f"{s.name}_too"] = {"topics": [other], "table": s.name}
    return "warning", "knows 10000 inserts again: at up to 40 inserts a second", "MODIFY SETTING non_replicated_deduplication_window"


@mistake
def _a_window_too_small_for_two_topics(s):
    s.own_topic(20)
    s.pipeline["topics"].append(s.other_topic(20))
    s.pipeline["lanes"] = 20
    s.make(engine="ENGINE = MergeTree ORDER BY _offset SETTINGS non_replicated_deduplication_window = 10000")
    return "warning", "knows 10000 inserts again: at up to 40 inserts a second", "MODIFY SETTING non_replicated_deduplication_window"


@mistake
def _many_inserts_a_second(s):
    s.own_topic(32)
    s.make()
    s.pipeline["batch"] = {"wait": "1ms"}
    return "warning", "up to 640 inserts a second go into it", "wait: 1s"


@mistake
def _batches_of_few_rows(s):
    s.own_topic(32)
    s.make()
    s.pipeline["batch"] = {"rows": 100}
    return "warning", "up to 640 inserts a second go into it", "fewer lanes"


@mistake
def _a_window_that_partitions_use_up(s):
    s.make(columns=SMALL_COLUMNS + PROVENANCE, engine="ENGINE = MergeTree PARTITION BY id % 50 ORDER BY _offset SETTINGS non_replicated_deduplication_window = 10000")
    s.sql(f"INSERT INTO {s.table} SELECT number, '', '', 0, number FROM numbers(50)")
    return "warning", "each into 50 of its partitions", "MODIFY SETTING non_replicated_deduplication_window"


@mistake
def _a_partition_by_the_time_of_the_insert(s):
    s.make(columns=SMALL_COLUMNS + ", ingested_at DateTime DEFAULT now()" + PROVENANCE,
           engine="ENGINE = MergeTree PARTITION BY toDate(ingested_at) ORDER BY _offset SETTINGS non_replicated_deduplication_window = 100000")
    return "warning", "its partition key has ingested_at, and for a record without such a field its DEFAULT", "{ingested_at: {meta: timestamp}}"


@mistake
def _two_views_that_share_a_target(s):
    s.make()
    s.make(columns="n UInt64", engine="ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 1000", name=f"{s.table}_sums")
    s.view(1)
    s.view(2)
    return "warning", "_sums`, knows 1000 inserts again: at up to 4 inserts a second", f"`{s.name}_sums` MODIFY SETTING"


@mistake
def _a_topic_column_that_is_too_short(s):
    s.make(columns=SMALL_COLUMNS + PROVENANCE.replace("LowCardinality(String)", "FixedString(3)"))
    return "error", "_topic", ""


@mistake
def _an_offset_column_that_holds_something_else(s):
    s.make()
    s.pipeline["columns"] = {"_offset": {"field": "off"}}
    return "error", "its column _offset is not filled with the record's own offset", "{meta: offset}"


@mistake
def _a_view_whose_target_has_no_window(s):
    s.make()
    s.make(columns="n UInt64", engine="ENGINE = MergeTree ORDER BY n", name=f"{s.table}_sums")
    s.scenario.addCleanup(s.scenario.drop, f"{s.table}_view")
    s.sql(f"CREATE MATERIALIZED VIEW {s.table}_view TO {s.table}_sums AS SELECT count() AS n FROM {s.table}")
    return "error", "_sums`, does not deduplicate", f"ALTER TABLE `{s.scenario.database}`.`{s.name}_sums` MODIFY SETTING"


@mistake
def _a_view_behind_values_that_only_clickhouse_reads(s):
    s.make()
    s.make(columns="n UInt64", name=f"{s.table}_sums", engine=GOOD.replace("_offset", "n"))
    s.scenario.addCleanup(s.scenario.drop, f"{s.table}_view")
    s.sql(f"CREATE MATERIALIZED VIEW {s.table}_view TO {s.table}_sums AS SELECT count() AS n FROM {s.table}")
    s.pipeline.update(format="passthrough", passthrough={"format": "JSONEachRow"})
    return "warning", "format: passthrough", "a format that chute reads"


@mistake
def _a_view_whose_target_keeps_no_order(s):
    s.make()
    s.make(columns="n UInt64", engine="ENGINE = Log", name=f"{s.table}_sums")
    s.scenario.addCleanup(s.scenario.drop, f"{s.table}_view")
    s.sql(f"CREATE MATERIALIZED VIEW {s.table}_view TO {s.table}_sums AS SELECT count() AS n FROM {s.table}")
    return "error", "has the engine Log", "MergeTree"


@mistake
def _a_view_instead_of_a_table(s):
    s.make(name=f"{s.table}_real")
    s.scenario.addCleanup(s.scenario.drop, s.table)
    s.sql(f"CREATE VIEW {s.table} AS SELECT * FROM {s.table}_real")
    return "error", "it is a view", "table behind it"


@mistake
def _a_column_that_the_table_has_not(s):
    s.make()
    s.pipeline["columns"] = {"txt": {"field": "text"}}
    return "error", "'txt' is not in the table, the nearest is 'text'", "columns"


@mistake
def _a_column_that_records_cannot_fill(s):
    s.make(columns=SMALL_COLUMNS + ", sums AggregateFunction(sum, UInt64)" + PROVENANCE)
    s.pipeline["columns"] = {"sums": {"field": "text"}}
    return "error", "cannot be filled from records", ""


@mistake
def _a_default_that_is_no_constant(s):
    s.make(columns=SMALL_COLUMNS + ", twice Array(UInt64) DEFAULT [id, id]" + PROVENANCE)
    return "error", "uses other columns", "constant"


@mistake
def _an_encoding_that_loses_types(s):
    s.make(columns=SMALL_COLUMNS + ", any Dynamic" + PROVENANCE)
    s.pipeline["encoding"] = "json_each_row"
    return "error", "'any' of type Dynamic", "native"


@mistake
def _several_columns_for_a_raw_value(s):
    s.make()
    s.pipeline["format"] = "raw"
    return "error", "several columns could take the value", "{field: value}"


@mistake
def _a_setting_that_the_server_does_not_know(s):
    s.make()
    s.document["clickhouse"]["settings"] = {"insert_quorun": 2}
    return "error", "insert_quorun", "name"


@mistake
def _a_setting_with_a_value_that_the_server_refuses(s):
    s.make()
    s.document["clickhouse"]["settings"] = {"insert_quorum": "many"}
    return "error", "an insert of no rows was refused", ""


@mistake
def _a_dead_letter_table_of_another_kind(s):
    s.make()
    s.make(columns="text String", engine="ENGINE = MergeTree ORDER BY text", name=f"{s.table}_dead")
    s.pipeline["dead_letters"] = {"table": f"{s.name}_dead"}
    return "error", "dead letters cannot be used", "RENAME TABLE"


@mistake
def _a_table_of_starts_of_another_kind(s):
    database = f"{s.name}_db"
    s.sql(f"CREATE DATABASE {database} ENGINE = Atomic")
    s.scenario.addCleanup(s.sql, f"DROP DATABASE {database} SYNC")
    s.document["clickhouse"]["database"] = database
    s.make(name=f"{database}.{s.name}")
    s.make(columns="text String", engine="ENGINE = MergeTree ORDER BY text", name=f"{database}.chute_starts")
    return "error", "it cannot be used", "RENAME TABLE"


# -- the state ---------------------------------------------------------------------------------------------------------


@mistake
def _a_state_directory_that_is_none(s):
    s.make()
    path = s.scenario.dir / "no_directory"
    path.write_text("a file")
    s.document["state"] = {"store": "file", "path": str(path)}
    return "error", str(path), ""


@mistake
def _a_state_directory_in_memory(s):
    s.make()
    s.document["state"] = {"store": "file", "path": f"/dev/shm/{s.name}"}
    return "warning", "lies in memory", "state.path"


@mistake
def _a_table_made_anew(s):
    s.own_topic()
    s.make()
    s.run_once()
    s.scenario.drop(s.table)
    s.make()
    return "error", "belongs to another table", "--to-current"


@mistake
def _a_pipeline_that_was_renamed(s):
    s.own_topic()
    s.make()
    s.run_once()
    s.document["pipelines"] = {f"{s.name}_renamed": {**s.pipeline, "table": s.name}}
    return "error", f"the table holds 50 rows (and the dead letters 0) of {s.topic}/0 from offset 0 on, but this pipeline", f"pipeline {s.name}, group chute-{s.name}"


@mistake
def _another_files_pipeline_in_the_same_table(s):
    s.own_topic()
    s.make()
    mine = s.document["pipelines"]
    s.document["pipelines"] = {f"{s.name}_other": dict(s.pipeline)}
    s.scenario.produce(s.topic, 50, "--shape", "small")
    s.run_until_end()
    s.document["pipelines"] = mine
    return "error", "another pipeline writes this topic there", "a table of its own"


@mistake
def _a_pipeline_that_sent_more_than_its_state_says(s):
    s.own_topic()
    s.make()
    s.keep_in_file()
    s.run_once()
    path = s.scenario.dir / f"{s.name}_state"
    kept = s.scenario.dir / f"{s.name}_backup"
    shutil.copytree(path, kept)
    s.scenario.produce(s.topic, 50, "--shape", "small", "--first", 50)
    s.run_until_end()
    shutil.rmtree(path)
    shutil.copytree(kept, path)
    return "error", "it went back in time", "--to-table"


class Check(harness.Scenario):
    def setUp(self):
        super().setUp()
        # A database of its own: what other scenarios do to the table of the dead letters is no mistake of these.
        self.database = self.name
        self.server.ask(f"CREATE DATABASE {self.database} ENGINE = Atomic")
        self.addCleanup(self.server.ask, f"DROP DATABASE {self.database} SYNC")
        self.shared_topic = self.topic(2, "_shared")

    def test_a_sound_topology_has_no_findings(self):
        seed = Seed(self, 0)
        seed.make()
        self.assertEqual(seed.check(), [])
        # The pipeline's own database, and another name for the dead letters: nothing is taken for granted.
        seed.document["clickhouse"]["database"] = "default"
        seed.pipeline["database"] = self.database
        seed.pipeline["dead_letters"] = {"table": f"{seed.name}_dead"}
        self.assertEqual([f for f in seed.check() if f["level"] != "info"], [])

    def test_the_demo_has_no_findings(self):
        topic = self.topic(12)
        sql = (harness.ROOT / "examples/demo/orders.sql").read_text()
        self.server.ask(sql.replace("CREATE TABLE orders", f"CREATE TABLE {self.database}.{topic}"))
        self.addCleanup(self.drop, f"{self.database}.{topic}")
        file = self.dir / "demo.yaml"
        text = (harness.ROOT / "examples/demo/topology.yaml").read_text()
        text = text.replace("database: chute", f"database: {self.database}").replace("topics: [orders]", f"topics: [{topic}]").replace("table: orders", f"table: {topic}")
        file.write_text(text.replace("  orders:\n", f"  {topic}:\n"))
        done = subprocess.run([str(harness.CHUTE), "check", "--json", str(file)], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "CHUTE_KAFKA": self.kafka, "CHUTE_CLICKHOUSE": self.server.url})
        self.assertEqual(json.loads(done.stdout), [])
        self.assertEqual(done.returncode, 0)

    def test_a_pipeline_that_runs_has_no_findings(self):
        """Recovery's comparison, made while records and table go on changing."""
        seed = Seed(self, 800)
        seed.own_topic(8)
        seed.make()
        seed.document["kafka"]["properties"] = harness.KAFKA_PROPERTIES
        seed.pipeline["batch"] = {"wait": "50ms"}
        seed.sql(f"ALTER TABLE {seed.table} MODIFY SETTING non_replicated_deduplication_window = 1000000")
        seed.write()
        engine = harness.Engine(self, seed.file)
        producer = self.produce_on(seed.topic, 2_000, "--shape", "small")
        wait_until(lambda: self.server.number(f"SELECT count() FROM {seed.table}") > 1_000, 60, "rows come")
        for _ in range(3):
            self.assertEqual([f for f in seed.check() if "inserts a second go into it" not in f["reason"]], [])
        self.assertTrue(producer.alive())
        producer.kill()
        self.assertEqual(engine.stop(), 0)
        self.assertEqual([f for f in seed.check() if "inserts a second go into it" not in f["reason"]], [])

    def test_lanes_that_were_changed_later(self):
        """How many there are was decided at the first start."""
        for number, (first, later) in enumerate(((2, 8), (8, 2)), 900):
            s = Seed(self, number)
            s.own_topic(8)
            s.make()
            s.pipeline["lanes"] = first
            self.produce(s.topic, 400)
            s.run_until_end()
            s.pipeline["lanes"] = later
            found = s.check()
            self.assertEqual([f for f in found if f["level"] in ("error", "warning")], [])
            self.assertTrue(any("is kept" in f["reason"] for f in found), found)
            done = subprocess.run([str(harness.CHUTE), "state", "show", "--json", str(s.file)], capture_output=True, text=True,
                                  timeout=60, check=True)
            self.assertEqual(sorted(lane["lane"] for lane in json.loads(done.stdout)), list(range(first)), done.stdout)

    def test_each_mistake_is_found(self):
        self.assertGreaterEqual(len(mistakes), MISTAKES_MIN)
        for number, (name, seed) in enumerate(mistakes, 1):
            with self.subTest(name):
                self.found(name, number, seed)

    def found(self, name, number, seed):
        s = Seed(self, number)
        level, reason, mend = seed(s)
        findings = s.check()
        for f in findings:
            self.assertIn(f["level"], ("error", "warning", "info"))
            self.assertTrue(f["where"] and f["reason"], f)
            self.assertTrue(f["mend"] or f["level"] == "info", f)
        right = [f for f in findings if f["level"] in level.split("|")
                 and any(r in f["where"] + ": " + f["reason"] for r in reason.split("|")) and mend in f["mend"]]
        self.assertTrue(right, f"{name}: no {level} with '{reason}' and '{mend}' among {json.dumps(findings, indent=2)}")
        print(f"found: {name}: {right[0]['level']}: {right[0]['reason']} → {right[0]['mend']}")


if __name__ == "__main__":
    harness.main()
