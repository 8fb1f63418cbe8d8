"""A cell of a chaos run: one pipeline with its topic, table, store and producer, and the processes that share its group."""

import json
import re
import signal
import threading
import time

import harness
from harness import ServerError, wait_until
from stage import SmallDisk

# Short, so that every time-out passes within seconds.
SESSION_MS, LEASE_S, INSERT_S = 5_000, 4, 4
LIMITS = {"lease": f"{LEASE_S}s", "insert": f"{INSERT_S}s", "question": "5s", "confirm": "10s"}
POINTS = ("before_insert", "applied_not_acknowledged", "acknowledged_not_saved", "in_save", "in_dead_letter")
BROKEN_EVERY = 61  # many dead letters, so that they meet faults too


class Cell:
    """`state` is the topology's block; `window` the table's deduplication window, in inserts."""

    def __init__(self, stage, name, state, *, members, window, partitions, rate, url, partitioned=False, turns=False,
                 pipeline=None):
        self.stage, self.name, self.window, self.partitions, self.rate = stage, name, window, partitions, rate
        self.session_s, self.lease_s = SESSION_MS / 1000, LEASE_S
        self.url, self.partitioned, self.turns = url, partitioned, turns
        # Two lanes of half of the partitions each, which take turns as soon as they are a few records behind.
        self.more = {**({"lanes": 2} if turns else {}), **(pipeline or {})}
        self.store, self.group = state["store"], f"chaos-{name}"
        self.topic, self.table, self.letters = name, f"chute.{name}", f"chute.{name}_dead"
        self.dir = stage.dir / name
        self.dir.mkdir(parents=True, exist_ok=True)
        self.state = dict(state)
        self.disk = None
        if self.store == "file":
            self.disk = SmallDisk(stage, self.dir / "state")
            self.state["path"] = str(self.dir / "state")
        self.noise = 0
        self.producer, self.guests = None, []
        self.members = [Member(self, f"{name}-{i + 1}") for i in range(members)]

    # -- making and dropping -------------------------------------------------------------------------------------------

    def make_topic(self, name=None):
        self.retried(lambda: self.stage.kit("topic", "create", name or self.topic, "--partitions", self.partitions, "--replication", 3))

    def make_table(self):
        by = "PARTITION BY _offset % 3 " if self.partitioned else ""
        self.retried(lambda: self.stage.server.ask(
            f"CREATE TABLE IF NOT EXISTS {self.table} ({harness.ORDERS_COLUMNS}{harness.PROVENANCE}) ENGINE = MergeTree {by}"
            f"ORDER BY (_partition, _offset) SETTINGS non_replicated_deduplication_window = {self.window}, "
            "parts_to_throw_insert = 3000, parts_to_delay_insert = 2000"))

    def retried(self, call, limit=90):
        """What the call returns, in the end: brokers and ClickHouse die at any moment. What is there already was made by a call whose
        reply was lost."""
        last = [None]

        def once():
            try:
                return [call()]
            except (AssertionError, ServerError) as e:
                last[0] = e
                return [None] if "exists" in str(e) else None

        return wait_until(once, limit, lambda: f"{last[0]}", every=0.5)[0]

    def topology(self, name, **changes):
        port = harness.free_port()
        document = {
            "kafka": {"brokers": self.stage.kafka,
                      "properties": {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": 1_000,
                                     "topic.metadata.refresh.interval.ms": 5000}},
            "clickhouse": {"url": self.url, "database": "chute", "limits": LIMITS},
            "state": self.state,
            "memory": "64MiB",
            "admin": {"listen": f"127.0.0.1:{port}"},
            "pipelines": {self.name: {"topics": [self.topic], "table": self.table.split(".")[1], "group": self.group,
                                      "dead_letters": {"table": self.letters.split(".")[1]},
                                      "batch": {"rows": 50, "wait": "80ms"}, **self.more, **changes}},
        }
        file = self.dir / f"{name}.yaml"
        file.write_text(json.dumps(document, indent=1))
        return file, port

    def drop(self):
        """What is proven is not needed any more."""
        for call in (lambda: self.stage.kit("topic", "delete", self.topic, limit=60),
                     lambda: self.stage.server.ask(f"DROP TABLE {self.table} SYNC"),
                     lambda: self.stage.server.ask(f"DROP TABLE IF EXISTS {self.letters} SYNC")):
            try:
                call()
            except (AssertionError, ServerError):
                pass

    # -- records -------------------------------------------------------------------------------------------------------

    def produce(self, records, first=0):
        self.stage.kit("produce", self.topic, "--records", records, "--first", first, "--seed", self.stage.seed,
                       "--broken-every", BROKEN_EVERY, "--property", "enable.idempotence=false")

    def start_producer(self):
        self.producer = harness.Process(self.stage, f"{self.name}-producer", [
            harness.KIT, "produce", self.topic, "--brokers", self.stage.kafka, "--records", 100_000_000, "--rate", self.rate,
            "--seed", self.stage.seed, "--broken-every", BROKEN_EVERY,
            # librdkafka's idempotent producer gives up for good when leaders move quickly. Records that are then there twice have
            # two offsets, and that is all that is compared.
            "--property", "enable.idempotence=false"])

    def stop_producer(self):
        self.producer.signal(signal.SIGTERM)
        if code := self.producer.wait(90):
            self.stage.trouble(f"{self.name}: the producer ended with {code}; see {self.producer.log}")

    def ends(self):
        """{partition: (begin, end)} of the log."""
        lines = self.retried(lambda: self.stage.kit("topic", "end", self.topic)).stdout.splitlines()
        return {int(p): (int(begin), int(end)) for p, begin, end in (line.split() for line in lines)}

    def produced(self):
        """Offsets that the log holds."""
        return sum(end - begin for begin, end in self.ends().values())

    def found(self):
        """Rows and dead letters; -1 while ClickHouse does not answer."""
        try:
            rows = self.stage.server.number(f"SELECT count() FROM {self.table} WHERE _topic = '{self.topic}'")
            dead = self.stage.server.number("SELECT count() FROM system.tables WHERE database || '.' || name = "
                                            f"'{self.letters}'")
            return rows + (self.stage.server.number(f"SELECT count() FROM {self.letters}") if dead else 0)
        except ServerError:
            return -1

    def use_up_window(self):
        """Other writers' inserts, as many as the table remembers: no token from before is known after them."""
        first, self.noise = self.noise, self.noise + self.window + 10
        rows = ", ".join(f"('noise', 0, {i}, {i})" for i in range(first, self.noise))
        # A block a row. INSERT … SELECT would not do: what it writes is not noted in the deduplication log.
        self.stage.server.ask(f"INSERT INTO {self.table} (_topic, _partition, _offset, id) SETTINGS async_insert = 0, max_insert_block_size = 1, "
                              "min_insert_block_size_rows = 1, min_insert_block_size_bytes = 1, input_format_parallel_parsing = 0, "
                              f"max_insert_threads = 1 VALUES {rows}", limit=30)

    # -- the end of a round --------------------------------------------------------------------------------------------

    def drain(self, limit):
        """All members are made anew, without faults, until everything produced is found; then they stop by themselves."""
        for g in self.guests:
            if g.engine:
                g.kill()
        for m in self.members:
            m.restart_clean()
        wanted = self.produced()
        seen = [0]

        def there():
            for m in self.members:
                if not m.engine.alive():
                    raise AssertionError(f"{m.name} ended with {m.engine.child.returncode}; see {m.engine.log}")
            seen[0] = self.found()
            return seen[0] >= wanted

        wait_until(there, limit, lambda: f"{wanted} records in {self.table}: {seen[0]} are; the engines say "
                   f"{' | '.join(m.engine.reasons() for m in self.members)!r}", every=0.5)
        for m in self.members:
            if code := m.engine.stop(60):
                raise AssertionError(f"{m.name} ended with {code} after SIGTERM; see {m.engine.log}")
        return wanted

    def verdict(self, *options):
        """The oracle's figures: every committed offset, once, with the payload that its record says."""
        done = self.stage.kit("compare", self.topic, "--table", self.table, "--dead-letters", self.letters, "--pipeline", self.name,
                              "--shared", "--json", *options, check=False)
        if done.returncode not in (0, 1):
            raise AssertionError(f"the oracle could not compare: {done.stderr}")
        return json.loads(done.stdout)

    def named_stops(self):
        """Lanes that stopped, in the engines' own words: in a cell of plain chaos there is no reason to."""
        out = []
        for m in self.members + self.guests:
            if m.log.exists():
                out += re.findall(r"lane \d+ stopped: (.*)", m.log.read_text(errors="replace"))
        return list(dict.fromkeys(out))


class Member:
    """One place for a process in a cell, and all the processes that were in it."""

    def __init__(self, cell, name):
        self.cell, self.name, self.stage = cell, name, cell.stage
        self.log = cell.stage.dir / f"{name}.log"
        self.engine, self.point = None, ""

    def start(self, point="", passes=1):
        self.point = point
        file, port = self.cell.topology(self.name)
        env = {"CHUTE_TURNS": "1000"} if self.cell.turns else {}
        if point:
            env["CHUTE_FAULT_POINT"] = f"{point}:{passes}"
        self.engine = harness.Engine(self.stage, file, name=self.name, admin=port, env=env)

    def kill(self):
        self.engine.kill()

    def restart_clean(self):
        if self.engine:
            self.kill()
        self.start()

    def leave(self):
        """SIGTERM: it finishes what is under way and leaves its group."""
        self.engine.signal(signal.SIGTERM)
        end = time.monotonic() + 60
        while self.engine.alive():
            if time.monotonic() > end:
                self.stage.trouble(f"{self.name} still runs 60 s after SIGTERM; see {self.log}")
                return self.kill()
            time.sleep(0.05)
        code = self.engine.child.returncode
        if code == -signal.SIGKILL and self.point:
            self.stage.count(f"kill -9 {self.point.replace('_', ' ')}")
        elif code not in (0, 1):  # 1: not drained within 30 s, because a part is away; a lane that stopped is found by its words
            self.stage.trouble(f"{self.name} ended with {code} after SIGTERM; see {self.log}")

    def streams(self):
        """Whether one of its lanes does."""
        pipelines = (self.engine.status() or {}).get("pipelines", []) if self.engine.alive() else []
        return any(lane["phase"] == "streaming" for p in pipelines for lane in p["lanes"])

    def ended_by_itself(self):
        """An engine ends when it is told to, and by SIGKILL; anything else is a finding."""
        code = self.engine.child.poll()
        if code is None or (code == -signal.SIGKILL and self.point):
            return False
        self.stage.trouble(f"{self.name} ended by itself with {code}; see {self.log}")
        return True


class Life(threading.Thread):
    """What happens to one member, drawn from the seed: kills, named kills, pauses, leaving and coming back."""

    def __init__(self, member, faults, over, dice):
        super().__init__(name=member.name, daemon=True)
        self.member, self.cell, self.stage, self.over, self.dice = member, member.cell, member.stage, over, dice
        self.points = "points" in faults
        self.acts = [(self.killed, 45, "kill"), (self.zombie, 45, "zombies"), (self.away, 10, "members")]
        self.acts = [(act, weight) for act, weight, name in self.acts if name in faults]

    def run(self):
        try:
            self.come_back()
            while not self.over.is_set():
                names = [a for a, _ in self.acts] or [self.live]
                self.dice.choices(names, [w for _, w in self.acts] or [1])[0]()
        except Exception as e:
            self.stage.trouble(f"{self.member.name}: {e!r}")

    def live(self, seconds=4):
        """Most of the time the engine first comes to stream, however slow the machine is; then a moment at random. False: it ended
        meanwhile, or nothing is to be done to it any more."""
        if self.dice.random() < 0.7:
            give_up = time.monotonic() + 12 + self.cell.session_s
            while self.member.engine.alive() and not self.member.streams() and time.monotonic() < give_up:
                if self.over.wait(0.2):
                    return False
        # Whoever is to kill itself gets the time to come by its point.
        end = time.monotonic() + self.dice.uniform(0, seconds) * (2 if self.member.point else 1)
        while self.member.engine.alive() and time.monotonic() < end:
            if self.over.wait(0.1):
                return False
        if self.member.engine.alive():
            return not self.over.is_set()
        if not self.member.ended_by_itself():
            self.stage.count(f"kill -9 {self.member.point.replace('_', ' ')}")
        self.come_back()
        return False

    def come_back(self):
        """Every second process kills itself when it comes by a point, unless it meets something else before."""
        self.over.wait(self.dice.uniform(0, 0.5))
        point = self.dice.choice(POINTS) if self.points and self.dice.random() < 0.5 else ""
        self.member.start(point, self.dice.randint(1, self.dice.choice((2, 12))))  # mostly soon, before something else comes

    def killed(self):
        if self.live(5):
            self.member.kill()
            self.stage.count("kill -9 at random")
            while self.dice.random() < 0.35 and not self.over.is_set():  # and again, before it can have recovered
                self.member.start()
                self.over.wait(self.dice.uniform(0, 2.5))
                self.member.kill()
                self.stage.count("kill -9 at random")
            self.come_back()

    def zombie(self):
        if not self.live(4):
            return
        kind = self.dice.choice(("session", "session", "lease", "lease", "window"))
        seconds = self.dice.uniform(1.2, 2.2) * self.cell.session_s
        if kind != "session":
            seconds = self.dice.uniform(1.1, 2) * max(self.cell.lease_s, self.cell.session_s)
        self.member.engine.pause()
        end = time.monotonic() + seconds
        if kind == "window":
            try:
                self.cell.use_up_window()
            except ServerError:
                kind = "lease"  # ClickHouse was away, or the table is not ours
        time.sleep(max(0.0, end - time.monotonic()))
        self.member.engine.wake()
        self.stage.count({"session": "SIGSTOP past the session", "lease": "SIGSTOP past session and lease",
                          "window": "SIGSTOP past session, lease and window"}[kind])

    def away(self):
        """Leaves the group in good order and joins it again."""
        if not self.live(4):
            return
        self.member.leave()
        self.stage.count("members that left and came back")
        self.come_back()
