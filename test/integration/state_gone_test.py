"""The state of a pipeline disappears or goes back in time: it stops and says what to do, and is exact once that was done.
And what `chute check` and `chute state show` say of the stores that have a server."""

import socket
import subprocess
import time
import urllib.parse

import harness
from harness import CHUTE, REDIS, ROOT, Process, free_port, tail, wait_until


class Redis:
    """One database of the real Redis, in its own protocol."""

    def __init__(self, database=0, url=REDIS):
        parts = urllib.parse.urlsplit(url)
        self.address, self.database = (parts.hostname, parts.port), database
        self.url = f"{url.rstrip('/')}/{database}"

    def ask(self, *words):
        with socket.create_connection(self.address, timeout=10) as s, s.makefile("rb") as replies:
            for command in (("SELECT", self.database), words):
                parts = [w if isinstance(w, bytes) else str(w).encode() for w in command]
                s.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
                reply = self.read(replies)
            return reply

    def read(self, replies):
        line = replies.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind == b"-":
            raise AssertionError(f"Redis: {rest.decode()}")
        if kind == b"*":
            return [self.read(replies) for _ in range(int(rest))]
        if kind == b"$":
            return replies.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        return rest

    def copy(self):
        return [(key, self.ask("DUMP", key)) for key in sorted(self.ask("KEYS", "chute:*"))]

    def records(self):
        """What the copy means: its bytes may differ for equal hashes."""
        return {key: sorted(self.ask("HGETALL", key)) for key in self.ask("KEYS", "chute:*")}

    def put_back(self, copy):
        for key, value in copy:
            self.ask("RESTORE", key, 0, value, "REPLACE")

    def lose(self):
        self.ask("FLUSHDB")


class KeeperMap:
    """A table of its own for one scenario."""

    def __init__(self, server, table):
        self.server, self.table = server, table

    def copy(self):
        return self.server.rows(f"SELECT key, version, text FROM {self.table} ORDER BY key")

    def records(self):
        return self.copy()

    def put_back(self, copy):
        for row in copy:
            key, text = (row[c].replace("\\", "\\\\").replace("'", "\\'") for c in ("key", "text"))
            # KeeperMap replaces the row of a key that is there.
            self.server.ask(f"INSERT INTO {self.table} (key, version, text) VALUES ('{key}', {row['version']}, '{text}')")

    def lose(self):
        self.server.ask(f"DROP TABLE {self.table} SYNC")


class StateGone(harness.Scenario):
    def with_redis(self):
        self.store = Redis(5)
        self.store.lose()
        self.addCleanup(self.store.lose)
        self.state = {"store": "redis", "url": self.store.url}

    def with_keeper_map(self):
        name = f"state_{self.name}"
        self.store = KeeperMap(self.server, f"{self.database}.{name}")
        self.addCleanup(self.drop, f"{self.database}.{name}")
        self.state = {"store": "keeper_map", "table": name}

    def start(self, name):
        return self.engine(self.topic_, self.table_, name=name, top={"state": self.state})

    def begin(self):
        """A topic, a table, and an engine that has landed 1,000 records."""
        self.topic_, self.table_ = self.topic(2), self.table()
        self.produce(self.topic_, 1_000)
        engine = self.start("first")
        self.arrived(self.table_, 1_000, 60, engine)
        return engine

    def stops(self, engine, words):
        """The engine ends, or stands still, with these words in its log."""
        wait_until(lambda: words in " ".join(tail(engine.log, 400).split()), 60,
                   lambda: f"{engine.name} says {words!r}; see {engine.log}", every=0.2)

    def settled(self):
        """A copy of the state, once it does not change any more: what is done stands there, and no plan is open."""
        def through():
            before, self.last = self.last, self.store.records()
            return before == self.last

        self.last = None
        wait_until(through, 20, "the state does not change any more", every=0.5)
        return self.store.copy()

    def mended(self, records):
        engine = self.start("last")
        self.arrived(self.table_, records, 90, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(self.topic_, self.table_, records=records)

    def gone(self):
        engine = self.begin()
        copy = self.settled()
        self.assertEqual(len(copy), 2, "a record a lane")
        self.store.lose()
        self.produce(self.topic_, 1_000, "--first", 1_000)
        self.stops(engine, "its state is gone: chute_starts in ClickHouse says that this lane began")
        engine.kill()
        # Nor does another start begin anew.
        engine = self.start("second")
        self.stops(engine, "its state is gone")
        engine.kill()
        self.assertEqual(self.found(self.table_), 1_000, "nothing is sent without a record")
        self.store.put_back(copy)
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

    def delete_offsets(self):
        """Of the group, with Kafka's own tool."""
        jars = subprocess.run([ROOT / "dev/install-deps", "--where", "kafka"], capture_output=True, text=True, check=True)
        command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars.stdout.strip()}/*",
                   "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", self.kafka,
                   "--delete-offsets", "--group", f"chute-{self.name}", "--topic", self.topic_]
        def deleted():  # Kafka refuses while the killed engine's session is not over
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            self.said = done.stdout + done.stderr
            return "Error" not in self.said

        wait_until(deleted, 30, lambda: f"the group's offsets are deleted: {self.said}", every=0.5)

    def test_redis_back_in_time_for_good(self):
        """The newer state is lost: the way that docs/operations.md tells."""
        self.with_redis()
        engine = self.begin()
        old = self.settled()
        last = {r["_partition"]: int(r["last"]) for r in self.server.rows(
            f"SELECT _partition, max(_offset) AS last FROM {self.table_} GROUP BY _partition")}
        self.produce(self.topic_, 1_000, "--first", 1_000)
        self.arrived(self.table_, 2_000, 60, engine)
        self.settled()
        engine.kill()
        self.store.put_back(old)
        engine = self.start("second")
        self.stops(engine, "it went back in time")
        engine.kill()
        shown = self.chute("state", "show", engine.topology)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        for partition, offset in last.items():
            self.assertIn(str(offset + 1), shown.stdout, f"next of partition {partition}")
            self.server.ask(f"ALTER TABLE {self.table_} DELETE WHERE _partition = {partition} AND _offset > {offset} "
                            "SETTINGS mutations_sync = 2")
        self.assertEqual(self.found(self.table_), 1_000)
        self.delete_offsets()
        self.mended(2_000)

    def chute(self, *arguments):
        return subprocess.run([CHUTE, *arguments], capture_output=True, text=True, timeout=120)

    def check(self, **topology):
        """`chute check`: its code, and all that it says."""
        file, _ = self.topology(self.topic_, self.table_, name="checked", **topology)
        done = self.chute("check", file)
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
        self.gone()

    def test_keeper_map_dropped(self):
        self.with_keeper_map()
        self.gone()

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

    def test_the_replica_takes_over(self):
        here, there = free_port(), free_port()
        master = self.serve("master", here)
        replica = self.serve("replica", there, "--replicaof", "127.0.0.1", here, "--repl-diskless-sync-delay", 0)
        wait_until(lambda: self.info(there).get("master_link_status") == "up", 30, "the replica is in step")
        topic, table = self.topic(4), self.table()
        producer = self.produce_slowly(topic, 30_000, 2_000)
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
        self.assertEqual(producer.wait(60), 0)
        self.arrived(table, 30_000, 90, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=30_000)


if __name__ == "__main__":
    harness.main()
