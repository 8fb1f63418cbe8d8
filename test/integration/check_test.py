"""`chute check`: each of the seeded mistakes is found, with its severity, the reason and what mends it; a sound topology, the
demo's among them, has no findings."""

import json
import os
import subprocess

import harness
from harness import PROVENANCE, SMALL_COLUMNS, wait_until

TIME_LIMIT_SECONDS = 900
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


# -- ClickHouse --------------------------------------------------------------------------------------------------------


@mistake
def _a_server_that_does_not_answer(s):
    s.make()
    s.document["clickhouse"]["url"] = f"http://127.0.0.1:{harness.free_port()}"
    return "error", "", ""


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
    return "error", "dead letters cannot be used", "rename"


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
            self.assertEqual([f for f in s.check() if f["level"] == "error"], [])
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
        right = [f for f in findings if f["level"] in level.split("|")
                 and any(r in f["where"] + ": " + f["reason"] for r in reason.split("|")) and mend in f["mend"]]
        self.assertTrue(right, f"{name}: no {level} with '{reason}' and '{mend}' among {json.dumps(findings, indent=2)}")
        print(f"found: {name}: {right[0]['level']}: {right[0]['reason']} → {right[0]['mend']}")


if __name__ == "__main__":
    harness.main()
