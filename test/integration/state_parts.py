"""What holds the state of a pipeline, as tests break and mend it; and the commands that settle what an engine stopped for."""

import itertools
import re
import shlex
import shutil
import socket
import subprocess
import urllib.parse

import harness
from harness import CHUTE, REDIS, ROOT, SESSION_MS, Engine, tail, wait_until


databases = itertools.count(1)  # of Redis, one a scenario


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


class Directory:
    """Of the file store."""

    def __init__(self, path):
        self.path = path

    def records(self):
        return {f.name: f.read_bytes() for f in sorted(self.path.iterdir()) if f.name != "lock"}

    copy = records

    def put_back(self, copy):
        for name, content in copy.items():
            (self.path / name).write_bytes(content)

    def lose(self):
        shutil.rmtree(self.path)


class Group:
    """The offsets of a consumer group, with Kafka's own tool."""

    def __init__(self, scenario):
        self.scenario = scenario

    def tool(self, *arguments):
        """Repeats it while the session of a killed member is not over."""
        jars = subprocess.run([ROOT / "dev/install-deps", "--where", "kafka"], capture_output=True, text=True, check=True)
        command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars.stdout.strip()}/*",
                   "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", self.scenario.kafka,
                   "--group", f"chute-{self.scenario.name}", *arguments]

        def done():
            ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
            self.said = ran.stdout + ran.stderr
            return ran.returncode == 0 and "Error" not in self.said

        wait_until(done, 40, lambda: f"Kafka's tool does {arguments}: {self.said}", every=0.5)

    def lose(self):
        self.tool("--delete-offsets", "--topic", self.scenario.topic_)

    def reset(self, *to, partition=None):
        topic = self.scenario.topic_ + ("" if partition is None else f":{partition}")
        self.tool("--reset-offsets", "--topic", topic, *to, "--execute")


class Scenario(harness.Scenario):
    """A pipeline of one topic and one table, whose store a test may name: `self.store` and `self.state`."""

    # What an operator waits for: no insert that was begun before can still be running.
    LIMITS = {"limits": {"lease": "2s", "insert": "3s"}}

    def setUp(self):
        super().setUp()
        self.store, self.state = Group(self), {"store": "kafka"}
        self.more = {}

    def with_redis(self):
        self.store = Redis(next(databases))
        self.store.lose()
        self.addCleanup(self.store.lose)
        self.state = {"store": "redis", "url": self.store.url}

    def with_keeper_map(self):
        name = f"state_{self.name}"
        self.store = KeeperMap(self.server, f"{self.database}.{name}")
        self.addCleanup(self.drop, f"{self.database}.{name}")
        self.state = {"store": "keeper_map", "table": name}

    def with_file(self):
        self.store = Directory(self.dir / "state")
        self.state = {"store": "file", "path": str(self.store.path)}

    def start(self, name, *options, **more):
        """An engine on the scenario's topic and table."""
        topology = {"clickhouse": self.LIMITS, **self.more, **more}
        return self.engine(self.topic_, self.table_, *options, name=name, top={"state": self.state, **topology.pop("top", {})},
                           **topology)

    def begin(self, records=1_000, partitions=2, **more):
        """A topic, a table, and an engine that has landed the records."""
        self.topic_, self.table_ = self.topic(partitions), self.table()
        self.produce(self.topic_, records)
        engine = self.start("first", **more)
        self.arrived(self.table_, records, 60, engine)
        return engine

    def stops(self, engine, *words):
        """The engine ends, or stands still, with these words in its log; all that it said of the stop."""
        def said():
            text = " ".join(tail(engine.log, 400).split())
            return text if all(w in text for w in words) else None

        return wait_until(said, 60, lambda: f"{engine.name} says {words!r}; see {engine.log}", every=0.2)

    def settled(self):
        """A copy of the state, once it does not change any more: what is done stands there, and no plan is open."""
        def through():
            before, self.last = self.last, self.store.records()
            return before == self.last

        self.last = None
        wait_until(through, 20, "the state does not change any more", every=0.5)
        return self.store.copy()

    def named(self, text, *options):
        """The command in a message that has these options, as it stands there."""
        for command in re.findall(r"`(chute state [^`]+)`", text):
            if all(o in command for o in options):
                return command
        self.fail(f"no command with {options} is named in: {text}")

    def obey(self, text, *options):
        """Runs the command that a message names."""
        return self.chute(*shlex.split(self.named(text, *options))[1:])

    def chute(self, *arguments, code=0):
        """Runs it; what it printed."""
        done = subprocess.run([CHUTE, *map(str, arguments)], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def mended(self, records, name="last", **more):
        engine = self.start(name, **more)
        self.arrived(self.table_, records, 90, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(self.topic_, self.table_, records=records)

    def only(self, condition):
        """A view of these rows: those of records that the log still holds."""
        self.server.ask(f"CREATE VIEW {self.table_}_only AS SELECT * FROM {self.table_} WHERE {condition}")
        self.addCleanup(self.drop, f"{self.table_}_only")
        return f"{self.table_}_only"

    def landed_times(self, records, times):
        """Each record, so many times; and each of them as it is in the topic."""
        done = self.kit("compare", self.topic_, "--table", self.table_, "--json", check=False)
        figures = harness.json.loads(done.stdout)
        expected = {"produced": records, "rows": records * times, "doubled": records * (times - 1), "missing": 0,
                    "different": 0, "foreign": 0}
        self.assertEqual({k: figures[k] for k in expected}, expected, figures["examples"])
        self.assertEqual(self.server.ask(f"SELECT DISTINCT n FROM (SELECT count() AS n FROM {self.table_} GROUP BY _partition, "
                                         "_offset)"), str(times), "times that each record is there")
