"""The state of a pipeline disappears or goes back in time: it stops and says what to do, and is exact once that was done.
And what `chute check` and `chute state show` say of the stores that have a server."""

import os
import subprocess
import time

import harness
import state_parts
from harness import CHUTE, Process, free_port, wait_until
from state_parts import Redis

AT_ONCE = 4  # they wait for answers that may be stale


class StateGone(state_parts.Scenario):
    def gone(self, mend):
        engine = self.begin()
        copy = self.settled()
        self.assertEqual(len(copy), 2, "a record a lane")
        self.store.lose()
        self.produce(self.topic_, 1_000, "--first", 1_000)
        self.stops(engine, "its state is gone: chute_starts in ClickHouse says that this lane began")
        engine.kill()
        # Nor does another start begin anew.
        engine = self.start("second")
        said = self.stops(engine, "its state is gone")
        engine.kill()
        self.assertEqual(self.found(self.table_), 1_000, "nothing is sent without a record")
        mend(copy, said)
        self.mended(2_000)

    def back_in_time(self):
        engine = self.begin()
        old = self.settled()
        self.produce(self.topic_, 1_000, "--first", 1_000)
        self.arrived(self.table_, 2_000, 60, engine)
        self.settled()
        self.assertEqual(engine.stop(), 0)
        new, now = self.store.copy(), self.store.records()
        self.store.put_back(old)
        old_records = self.store.records()
        self.assertNotEqual(old_records, now)
        engine = self.start("second")
        self.stops(engine, "it went back in time")
        self.assertEqual(self.store.records(), old_records, "the old record is not claimed")
        engine.kill()
        self.assertEqual(self.found(self.table_), 2_000)
        self.store.put_back(new)
        self.produce(self.topic_, 1_000, "--first", 2_000)
        self.mended(3_000)

    def back_in_time_for_good(self):
        """The newer state is lost: the command that the stop names."""
        engine = self.begin()
        old = self.settled()
        self.produce(self.topic_, 1_000, "--first", 1_000)
        self.arrived(self.table_, 2_000, 60, engine)
        self.settled()
        engine.kill()
        self.store.put_back(old)
        self.produce(self.topic_, 1_000, "--first", 2_000)
        engine = self.start("second")
        said = self.stops(engine, "it went back in time")
        engine.kill()
        self.assertIn("only what the table lacks is sent", self.obey(said, "--to-table"))
        self.mended(3_000)

    def test_redis_back_in_time_for_good(self):
        self.with_redis()
        self.back_in_time_for_good()

    def test_file_back_in_time_for_good(self):
        self.with_file()
        self.back_in_time_for_good()

    def check(self, **topology):
        """`chute check`: its code, and all that it says."""
        file, _ = self.topology(self.topic_, self.table_, name="checked", **topology)
        done = subprocess.run([CHUTE, "check", file], capture_output=True, text=True, timeout=120)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def test_check_redis(self):
        self.with_redis()
        self.topic_, self.table_ = self.topic(2), self.table()
        code, said = self.check(top={"state": self.state})
        self.assertEqual(code, 0, said)
        self.assertNotIn("state:", said)
        self.store.ask("CONFIG", "SET", "appendfsync", "everysec")
        self.addCleanup(self.store.ask, "CONFIG", "SET", "appendfsync", "always")
        code, said = self.check(top={"state": self.state})
        self.assertEqual(code, 1)
        self.assertIn("appendfsync is everysec", said)
        self.assertIn("CONFIG SET appendfsync always", said)
        code, said = self.check(top={"state": {**self.state, "replicas": 1}})
        self.assertIn("state.replicas is 1, but 0 are connected", said)
        code, said = self.check(top={"state": {**self.state, "url": "redis://:secret@127.0.0.1:1"}})
        self.assertEqual(code, 1)
        self.assertIn("redis://127.0.0.1:1", said)
        self.assertNotIn("secret", said)

    def test_without_keeper(self):
        """A ClickHouse that has no KeeperMap: check says so, and so does the pipeline, which waits."""
        self.private_services("clickhouse")
        self.topic_, self.table_ = self.topic(2), self.table()
        state = {"store": "keeper_map"}
        code, said = self.check(top={"state": state})
        self.assertEqual(code, 1)
        self.assertIn("add <keeper_map_path_prefix>", said)
        engine = self.engine(self.topic_, self.table_, top={"state": state})
        engine.says("add <keeper_map_path_prefix>")
        self.assertTrue(engine.alive())

    def test_check_keeper_map(self):
        self.with_keeper_map()
        self.topic_, self.table_ = self.topic(2), self.table()
        code, said = self.check(top={"state": self.state})
        self.assertEqual(code, 0, said)
        self.assertEqual(self.server.ask(f"EXISTS TABLE {self.store.table}"), "0", "check changes nothing")
        self.server.ask(f"CREATE TABLE {self.store.table} (key String, version UInt64, text String) ENGINE = MergeTree "
                        "ORDER BY key")
        code, said = self.check(top={"state": self.state})
        self.assertEqual(code, 1)
        self.assertIn("its engine is MergeTree", said)

    def test_redis_flushed(self):
        self.with_redis()
        self.gone(lambda copy, said: self.store.put_back(copy))

    def test_redis_flushed_for_good(self):
        self.with_redis()
        self.gone(lambda copy, said: self.assertEqual(self.obey(said, "--to-table").count(": to offset 500"), 2))

    def test_the_directory_deleted(self):
        """The process that has it waits, and writes into no other; the next one has a new directory, and stops."""
        self.with_file()
        engine = self.begin()
        self.settled()
        self.store.lose()
        self.produce(self.topic_, 1_000, "--first", 1_000)
        engine.says(f"the directory {self.store.path} was removed or replaced while it was in use")
        engine.kill()
        engine = self.start("second")
        said = self.stops(engine, "its state is gone: chute_starts in ClickHouse says that this lane began")
        self.assertEqual(engine.wait(60), 1, "both lanes stopped")
        self.assertEqual(self.found(self.table_), 1_000, "nothing is sent without a record")
        self.assertEqual(self.obey(said, "--to-table").count(": to offset 500"), 2)
        self.mended(2_000)

    def test_chute_starts_dropped(self):
        """The records tell where the lanes are: the next start makes the table anew, and none begins where its `start:` says."""
        self.database = f"of_{self.name}"  # the table is all pipelines' of a database
        self.server.ask(f"CREATE DATABASE {self.database} ENGINE = Atomic")
        self.addCleanup(self.server.ask, f"DROP DATABASE {self.database} SYNC")
        engine = self.begin()
        self.server.ask(f"DROP TABLE {self.database}.chute_starts SYNC")
        self.produce(self.topic_, 1_000, "--first", 1_000)
        self.arrived(self.table_, 2_000, 60, engine)
        engine.kill()
        self.produce(self.topic_, 1_000, "--first", 2_000)
        self.mended(3_000, start="latest")
        self.assertEqual(self.server.ask("SELECT countIf(kind = 'start'), uniqExactIf(lane, kind = 'lane') FROM "
                                         f"{self.database}.chute_starts"), "1\t2")

    def test_offsets_deleted(self):
        """The store kafka. A part of the next batch is in the table, as a killed engine may leave it."""
        engine = self.begin(partitions=1)
        self.assertEqual(engine.stop(), 0)
        self.store.lose()
        self.produce(self.topic_, 1_000, "--first", 1_000)
        engine = self.start("second")
        said = self.stops(engine, "its state is gone: chute_starts in ClickHouse says that this lane began")
        engine.kill()
        other = self.table(suffix="_whole")
        file, _ = self.topology(self.topic_, other, name="whole", group=f"whole-{self.name}")
        self.assertEqual(harness.Engine(self, file, "--until-end", name="whole").wait(60), 0)
        self.server.ask(f"INSERT INTO {self.table_} SELECT * FROM {other} WHERE _offset BETWEEN 1200 AND 1299")
        self.assertIn("to offset 1000; up to offset 1299 only what the table lacks is sent", self.obey(said, "--to-table"))
        self.mended(2_000)

    def test_a_server_that_is_away_after_a_lost_state(self):
        """No token is known that could be asked for. It may hold an insert all the same, and is waited for."""
        engine = self.begin(partitions=1)
        self.assertEqual(engine.stop(), 0)
        self.store.lose()
        dead = f"http://127.0.0.1:{free_port()}"
        both, _ = self.topology(self.topic_, self.table_, name="both", url=[self.server.url, dead], clickhouse=self.LIMITS)
        mover = Process(self, "mover", [CHUTE, "state", "reset", both, "--to-table"])
        self.stops(mover, f"it cannot go on: {dead}: ", "bring that server back, or take it out of clickhouse.url")
        self.assertTrue(mover.alive())
        mover.kill()
        file, _ = self.topology(self.topic_, self.table_, name="one", clickhouse=self.LIMITS)
        self.assertIn("to offset 1000", self.chute("state", "reset", file, "--to-table"))
        self.mended(1_000)

    def member(self, line):
        """What a member of the pipeline's group answers to a line, while nobody else is in it."""
        with subprocess.Popen([harness.BUILD / "test/stores/group_child", f"chute-{self.name}", self.topic_],
                              env={**os.environ, "CHUTE_KAFKA": self.kafka}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as member:
            self.assertIn("assigned", member.stdout.readline())
            member.stdin.write(f"{line}\n")
            member.stdin.flush()
            answer = member.stdout.readline()
            member.stdin.close()
        return answer.strip()

    def commit(self, partition, offset, metadata):
        """As another tool may."""
        self.assertEqual(self.member(f"commit {partition} {offset} {metadata}"), "answer ok")

    def test_another_kafka_cluster(self):
        """`kafka.brokers` names a copy of the topic, with all its offsets, in another cluster: the table's rows are not taken
        for this cluster's, nor passed over, before somebody says what they are. Nor does the lane begin that has none."""
        self.topic_, self.table_ = self.topic(2), self.table()
        self.produce(self.topic_, 500, "--run", 500)
        engine = self.start("first")
        self.arrived(self.table_, 500, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.kit("topic", "delete", self.topic_)
        self.private_services("kafka", env={"CHUTE_KAFKA_CLUSTER": "YW5vdGhlci1jbHVzdGVyIQ"})
        self.topic(2)
        self.produce(self.topic_, 1_000, "--run", 500)
        code, checked = self.check(top={"state": self.state})
        self.assertEqual(code, 1)
        self.assertIn("of another Kafka cluster", checked)
        self.assertNotIn("--to-table", checked)
        for start in ("latest", "earliest"):
            engine = self.start(f"second-{start}", **{"start": start})
            said = self.stops(engine, "lane 0 stopped: chute_starts in ClickHouse says that this pipeline began with topic "
                              f"{self.topic_} on another Kafka cluster", "and the table holds rows of it", "lane 1 stopped")
            engine.kill()
            self.assertEqual(self.found(self.table_), 500)
        self.assertIn("--to-earliest", said)
        self.assertIn("partition 0: to offset 500", self.obey(said, "--to-table"))
        self.mended(1_000)

    def test_a_record_that_cannot_be_read(self):
        """The store kafka: its offset's metadata was cut. No waiting mends that: the lane stops, and says what does."""
        engine = self.begin(partitions=1)
        self.assertEqual(engine.stop(), 0)
        self.commit(0, 1_000, "chute1:xx")
        self.produce(self.topic_, 500, "--first", 1_000)
        engine = self.start("second")
        said = self.stops(engine, "a lane's record cannot be read")
        self.assertEqual(engine.wait(60), 1)
        self.assertIn("a lane's record cannot be read", self.chute("state", "show", engine.topology))
        self.assertIn("to offset 1000", self.obey(said, "--to-table"))
        self.mended(1_500)

    def test_an_old_offset_put_back(self):
        """The store kafka, beside which no note tells of it: the table has rows beyond."""
        engine = self.begin(partitions=1)
        self.assertEqual(engine.stop(), 0)
        _, offset, metadata = self.member("read 0").split()
        self.produce(self.topic_, 1_000, "--first", 1_000)
        engine = self.start("second")
        self.arrived(self.table_, 2_000, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.commit(0, offset, metadata)
        self.produce(self.topic_, 500, "--first", 2_000)
        engine = self.start("third")
        said = self.stops(engine, f"the table holds 1000 rows (and the dead letters 0) of {self.topic_}/0 from offset 1000 on, "
                          "beyond what this pipeline has sent", "the state went back in time")
        self.assertEqual(engine.wait(60), 1)
        self.assertEqual(self.found(self.table_), 2_000)
        self.assertIn("to offset 1000; up to offset 1999 only what the table lacks is sent", self.obey(said, "--to-table"))
        self.mended(2_500)

    def test_another_store(self):
        """On purpose, as docs/state-stores.md has it: to a file, back to Kafka, and to the same file again, whose record is old then."""
        engine = self.begin()
        self.assertEqual(engine.stop(), 0)

        def goes_on(records, *words):
            self.produce(self.topic_, 500, "--first", records - 500)
            file, _ = self.topology(self.topic_, self.table_, name="moves", clickhouse=self.LIMITS, top={"state": self.state})
            told = self.chute("state", "reset", file, "--to-table")
            for w in words:
                self.assertIn(w, told)
            engine = self.start(f"to{records}")
            self.arrived(self.table_, records, 60, engine)
            self.assertEqual(engine.stop(), 0)

        in_kafka = self.state
        self.with_file()
        goes_on(1_500, f"the directory {self.store.path} did not exist and was made")
        in_file, self.state = self.state, in_kafka
        engine = self.start("waits")
        self.stops(engine, "its record is not here: another run kept it in the store 'file'", "write state.store: file")
        self.assertIn("kept it in the store 'file'", self.chute("state", "show", engine.topology, code=1))
        engine.kill()
        goes_on(2_000)
        self.state = in_file
        engine = self.start("stops")
        self.stops(engine, "it went back in time")
        engine.kill()
        goes_on(2_500, "only what the table lacks is sent")
        self.exact(self.topic_, self.table_, records=2_500)

    def test_keeper_map_dropped(self):
        self.with_keeper_map()
        self.gone(lambda copy, said: self.obey(said, "--to-table"))

    def test_redis_back_in_time(self):
        self.with_redis()
        self.back_in_time()

    def test_keeper_map_back_in_time(self):
        self.with_keeper_map()
        self.back_in_time()


class Failover(harness.Scenario):
    """A Redis and a replica of it, of this scenario's own."""

    def serve(self, name, port, *options):
        folder = self.dir / name
        folder.mkdir()
        process = Process(self, name, ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", "",
                                       "--appendonly", "yes", "--appendfsync", "always", *options])
        wait_until(lambda: self.info(port), 20, f"{name} answers")
        return process

    def info(self, port):
        try:
            words = Redis(url=f"redis://127.0.0.1:{port}").ask("INFO", "replication").decode()
        except (OSError, ValueError):
            return {}
        return dict(line.split(":", 1) for line in words.splitlines() if ":" in line)

    def test_a_planned_failover(self):
        """The old master lives on as a replica, and with it the connections to it; the address goes to the new one."""
        here, there, aside = free_port(), free_port(), free_port()
        self.serve("master", here)
        self.serve("replica", there, "--replicaof", "127.0.0.1", here, "--repl-diskless-sync-delay", 0)
        wait_until(lambda: self.info(there).get("master_link_status") == "up", 30, "the replica is in step")
        topic, table = self.topic(4), self.table()
        producer = self.produce_on(topic, 2_000)
        engine = self.engine(topic, table, batch={"rows": 200, "wait": "30ms"}, top={
            "state": {"store": "redis", "url": f"redis://127.0.0.1:{here}", "replicas": 1}})
        self.arrived(table, 2_000, 60, engine)
        master, successor = (Redis(url=f"redis://127.0.0.1:{port}") for port in (here, there))
        master.ask("FAILOVER", "TO", "127.0.0.1", there)
        wait_until(lambda: (self.info(there).get("role"), self.info(here).get("master_link_status")) == ("master", "up"), 30,
                   "they have changed places")
        engine.says("READONLY")
        master.ask("CONFIG", "SET", "port", aside)  # connections stay
        successor.ask("CONFIG", "SET", "port", here)
        before = self.found(table)
        self.arrived(table, before + 2_000, 60, engine)
        records = self.end_of(producer, topic, 30_000)
        self.arrived(table, records, 90, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=records)

    def test_the_replica_takes_over(self):
        here, there = free_port(), free_port()
        master = self.serve("master", here)
        replica = self.serve("replica", there, "--replicaof", "127.0.0.1", here, "--repl-diskless-sync-delay", 0)
        wait_until(lambda: self.info(there).get("master_link_status") == "up", 30, "the replica is in step")
        topic, table = self.topic(4), self.table()
        producer = self.produce_on(topic, 2_000)
        engine = self.engine(topic, table, batch={"rows": 200, "wait": "30ms"}, top={
            "state": {"store": "redis", "url": f"redis://127.0.0.1:{here}", "replicas": 1}})
        self.arrived(table, 2_000, 60, engine)
        # Without the replica no save counts, and nothing is sent.
        replica.pause()
        engine.says("0 of 1 replicas have the save")
        before = self.found(table)
        time.sleep(1)
        self.assertEqual(self.found(table), before)
        replica.wake()
        self.arrived(table, before + 2_000, 60, engine)
        # The master dies, and the replica gets its address.
        master.kill()
        successor = Redis(url=f"redis://127.0.0.1:{there}")
        successor.ask("REPLICAOF", "NO", "ONE")
        successor.ask("CONFIG", "SET", "port", here)
        self.serve("second", free_port(), "--replicaof", "127.0.0.1", here, "--repl-diskless-sync-delay", 0)
        records = self.end_of(producer, topic, 30_000)
        self.arrived(table, records, 90, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=records)


if __name__ == "__main__":
    harness.main()
