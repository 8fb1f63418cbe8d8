"""What a chaos run stands on: its folder, its counts, the real parts, and a look at who leads what.

A Stage is what test/integration/harness.py's Process, Engine and Proxy ask of a scenario: a folder, a seed, a list of logs, and
clean-ups that run when it ends.
"""

import collections
import importlib.machinery
import importlib.util
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "integration"))

import harness  # noqa: E402  (found by the line above)

PARTS_VARIABLES = ("CHUTE_KAFKA", "CHUTE_CLICKHOUSE", "CHUTE_ZOOKEEPER", "CHUTE_REDIS", "CHUTE_RUN_DIR")


def load_services():
    """dev/services as a module: its requests in Kafka's protocol."""
    loader = importlib.machinery.SourceFileLoader("dev_services", str(ROOT / "dev" / "services"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("dev_services", loader))
    loader.exec_module(module)
    return module


class Stage:
    def __init__(self, folder, seed):
        self.dir, self.seed = pathlib.Path(folder), seed
        self.dir.mkdir(parents=True, exist_ok=True)
        self.logs, self.cleanups = [], []
        self.counts, self.troubles = collections.Counter(), []
        self.lock = threading.Lock()
        self.began = time.monotonic()

    def addCleanup(self, call, *arguments):
        with self.lock:
            self.cleanups.append((call, arguments))

    def clean_up(self):
        while self.cleanups:
            call, arguments = self.cleanups.pop()
            try:
                call(*arguments)
            except Exception as e:  # the next ones must run, whatever became of this one
                print(f"chaos: while cleaning up: {e!r}", file=sys.stderr)

    def dice(self, *names):
        """A source of its own for each who draws, so that one does not shift the draws of another."""
        return random.Random(":".join(map(str, (self.seed, *names))))

    def count(self, name, n=1):
        with self.lock:
            self.counts[name] += n

    def trouble(self, text):
        """Something that must not be: the run fails."""
        with self.lock:
            self.troubles.append(text)
        self.say(f"FAILED: {text}")

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.1f}  {text}", flush=True)

    def kit(self, *arguments, check=True, limit=180, kafka=None, clickhouse=None):
        done = subprocess.run([str(a) for a in (harness.KIT, *arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=limit,
                              env={**os.environ, "CHUTE_KAFKA": kafka or self.kafka, "CHUTE_CLICKHOUSE": clickhouse or self.server.url})
        if check and done.returncode:
            raise AssertionError(f"chute-kit {' '.join(map(str, arguments))}: {done.stderr or done.stdout}")
        return done

    # -- the real parts ------------------------------------------------------------------------------------------------

    def start_parts(self, stores=(), brokers=3):
        """Kafka and ClickHouse in folders of their own: while one of them comes back, another can be killed."""
        # What is to end a part is noted before it starts: a start that fails may leave something, too.
        self.addCleanup(self.services, "kafka", "stop")
        self.services("kafka", "start", "--brokers", brokers, "--free-ports", "kafka")
        self.addCleanup(self.services, "clickhouse", "stop")
        self.start_clickhouse("--free-ports", *(["zookeeper"] if "keeper_map" in stores else []), "clickhouse")
        self.kafka = self.address("kafka", "CHUTE_KAFKA")
        self.server = harness.ClickHouse(self.address("clickhouse", "CHUTE_CLICKHOUSE"))
        self.brokers = list(range(1, brokers + 1))

    def start_clickhouse(self, *arguments):
        """The embedded engine was seen to hang while it started, once in fourteen times: it then gets one more chance, and is counted."""
        try:
            self.services("clickhouse", "start", *arguments, "--wait", "30")
        except AssertionError:
            self.count("ClickHouse hung while it started, and was started once more")
            self.services("clickhouse", "start", *arguments)

    def services(self, part, command, *arguments, limit=240):
        # Without the addresses of other parts, which a restart would be given in place of those of the start before.
        env = {k: v for k, v in os.environ.items() if k not in PARTS_VARIABLES}
        done = subprocess.run([ROOT / "dev" / "services", "--run", self.dir / part, command, *map(str, arguments)], env=env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=limit, start_new_session=True)
        if done.returncode:
            raise AssertionError(f"dev/services {command} {' '.join(map(str, arguments))}: {done.stdout}")
        return done.stdout

    def address(self, part, name):
        return dict(line.split("=", 1) for line in self.services(part, "env").splitlines())[name]


class LeaderWatch(threading.Thread):
    """Counts the moves of partitions' leaders and of groups' coordinators, as the brokers tell them."""

    def __init__(self, stage, topics, groups):
        super().__init__(name="leaders", daemon=True)
        self.stage, self.topics, self.groups = stage, topics, groups
        self.ask = load_services().ask_broker
        self.addresses = [(h, int(p)) for h, p in (a.rsplit(":", 1) for a in stage.kafka.split(","))]
        self.over, self.leaders, self.coordinators = threading.Event(), {}, {}

    def run(self):
        while not self.over.wait(1):
            for address in self.addresses:
                try:
                    self.note("leader moves", self.leaders, self.leaders_now(address))
                    self.note("coordinator moves", self.coordinators, self.coordinators_now(address))
                    break
                except (OSError, struct.error, TypeError, IndexError):
                    continue  # this broker is away: the next one knows

    def note(self, name, before, now):
        moved = sum(1 for k, v in now.items() if before.get(k, v) != v)
        before.update(now)
        if moved:
            self.stage.count(name, moved)

    def leaders_now(self, address):
        names = list(self.topics())
        body = struct.pack(">i", len(names)) + b"".join(struct.pack(">h", len(n)) + n.encode() for n in names) + b"\0"
        return {k: v for k, v in self.parse_metadata(self.ask(address, 3, 4, body)).items() if v >= 0}

    @staticmethod
    def parse_metadata(reply):
        """Metadata, version 4: {(topic, partition): leader}."""
        at = 4

        def take(form):
            nonlocal at
            value = struct.unpack_from(">" + form, reply, at)[0]
            at += struct.calcsize(">" + form)
            return value

        def text():
            nonlocal at
            n = max(0, take("h"))
            at += n
            return reply[at - n:at].decode()

        for _ in range(take("i")):
            take("i"), text(), take("i"), text()
        text(), take("i")
        out = {}
        for _ in range(take("i")):
            take("h")
            topic = text()
            take("b")
            for _ in range(take("i")):
                take("h")
                partition, leader = take("i"), take("i")
                out[topic, partition] = leader
                for _ in range(2):  # replicas, and those in sync
                    n = take("i")
                    at += 4 * n
        return out

    def coordinators_now(self, address):
        out = {}
        for group in self.groups():
            reply = self.ask(address, 10, 1, struct.pack(">h", len(group)) + group.encode() + b"\0")
            error = struct.unpack_from(">h", reply, 4)[0]
            at = 6 + 2 + max(0, struct.unpack_from(">h", reply, 6)[0])
            if not error:
                out[group] = struct.unpack_from(">i", reply, at)[0]
        return out


class SmallDisk:
    """A file system of its own that is full on request. Where none can be mounted, `missing` says why."""

    def __init__(self, stage, path, size="256k"):
        self.path, self.ballast, self.missing = pathlib.Path(path), pathlib.Path(path) / "ballast", ""
        self.path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "chute-chaos", self.path], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True) if shutil.which("mount") else None
        if done is None or done.returncode:
            self.missing = done.stderr.strip() if done else "there is no mount command"
        else:
            stage.addCleanup(self.unmount)

    def unmount(self):
        for _ in range(50):
            if not os.path.ismount(self.path) or subprocess.run(["umount", self.path], capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        subprocess.run(["umount", "-l", self.path], capture_output=True)

    def fill(self):
        try:
            with open(self.ballast, "wb", buffering=0) as f:
                while f.write(bytes(4096)):
                    pass
        except OSError:
            pass  # full

    def empty(self):
        self.ballast.unlink(missing_ok=True)
