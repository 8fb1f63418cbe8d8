"""What the scenario tests share: the parts' addresses, topics, tables, topologies, engine processes and conditions.

Run by test/run, which sets the environment; by hand, the defaults below suit `make build` and `make services`.
A scenario is a subclass of Scenario. Whatever it makes through its helpers is gone again when it ends; its logs and
files stay under the run directory, and the tails of the logs are printed when it fails, with the seed.
"""

import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
LONG = os.environ.get("CHUTE_TEST_LONG", "") not in ("", "0")


def _path(name, default):
    return pathlib.Path(os.environ.get(name) or default)


BUILD = _path("CHUTE_BUILD", ROOT / "build" / "release")
CHUTE = _path("CHUTE_BIN", BUILD / "cli" / "chute")
KIT = _path("CHUTE_KIT", BUILD / "test" / "kit" / "chute-kit")
RUN_DIR = _path("CHUTE_RUN_DIR", ROOT / ".run" / "by-hand")
KAFKA = os.environ.get("CHUTE_KAFKA") or "127.0.0.1:19092"
CLICKHOUSE = os.environ.get("CHUTE_CLICKHOUSE") or "http://127.0.0.1:18123"
REDIS = os.environ.get("CHUTE_REDIS") or "redis://127.0.0.1:16379"


def wait_until(condition, limit, what, every=0.05):
    """Returns the condition's first true value. `what` names it in the error, as text or as a function."""
    give_up = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {limit} s: {what() if callable(what) else what}")
        time.sleep(every)


_ports_taken, _ports_lock = set(), threading.Lock()
_seat, _seats = map(int, os.environ.get("CHUTE_TEST_SEAT", "0/1").split("/"))


def free_port():
    """One that was free a moment ago, below those that the system gives to outgoing connections, as dev/services takes them: such a one
    could be gone before a program listens there. None is given twice, to whichever test of this process; files that run beside each other
    have ports of their own."""
    with _ports_lock:
        for _ in range(1_000):
            port = random.SystemRandom().randrange(20_000, 32_000)
            if port in _ports_taken or port % _seats != _seat:
                continue
            with socket.socket() as s:
                try:
                    s.bind(("127.0.0.1", port))
                except OSError:
                    continue
            _ports_taken.add(port)
            return port
    raise AssertionError("no port between 20000 and 32000 is free")


def tail(path, lines=40):
    try:
        with open(path, errors="replace") as f:
            return "".join(f.readlines()[-lines:])
    except OSError as e:
        return f"({e})\n"


class ServerError(Exception):
    """ClickHouse answered with an exception, or not at all (code 0)."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class ClickHouse:
    """Questions to one server."""

    def __init__(self, url=CLICKHOUSE, user="default", password=""):
        self.url, self.user, self.password = url, user, password
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port

    def ask(self, sql, limit=60):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=limit)
        try:
            connection.request("POST", "/?wait_end_of_query=1", body=sql.encode(),
                               headers={"X-ClickHouse-User": self.user, "X-ClickHouse-Key": self.password})
            reply = connection.getresponse()
            body = reply.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as e:
            raise ServerError(0, f"{self.url}: {e!r}") from e
        finally:
            connection.close()
        code = reply.headers.get("X-ClickHouse-Exception-Code")
        if reply.status != 200 or code:
            raise ServerError(int(code or -1), body.strip())
        return body.rstrip("\n")

    def number(self, sql):
        return int(self.ask(sql))

    def rows(self, sql):
        """Rows as objects."""
        text = self.ask(sql + " FORMAT JSONEachRow")
        return [json.loads(line) for line in text.splitlines()]

    def alive(self):
        try:
            return self.ask("SELECT 1", limit=2) == "1"
        except ServerError:
            return False


ORDERS_COLUMNS = """
    id UInt64, ordered_at DateTime64(3, 'UTC'), customer UInt32, status LowCardinality(String), product String,
    note Nullable(String), quantity UInt32, price Float64, country FixedString(2), tags Array(String),
    attributes Map(String, String)"""
SMALL_COLUMNS = "id UInt64, text String"
PROVENANCE = ", _topic LowCardinality(String), _partition Int32, _offset Int64"
# Short time-outs, so that a killed member is missed soon. The broker allows a second and more.
SESSION_MS = int(os.environ.get("CHUTE_TEST_SESSION_MS") or 1500)
KAFKA_PROPERTIES = {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": 400}


class Process:
    """A child in a session of its own, with its output in a file."""

    def __init__(self, scenario, name, command, env=None):
        self.name = name
        self.log = scenario.dir / f"{name}.log"
        scenario.logs.append(self.log)
        with open(self.log, "ab") as out:
            out.write(f"--- {' '.join(map(str, command))}\n".encode())
            out.flush()
            self.child = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          start_new_session=True, env={**os.environ, **(env or {})})
        scenario.addCleanup(self.kill)

    def alive(self):
        return self.child.poll() is None

    def signal(self, number):
        if self.alive():
            self.child.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def wake(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.child.wait(20)

    def wait(self, limit):
        try:
            return self.child.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {limit} s") from None

    def stop(self, limit=40):
        """SIGTERM, then its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(limit)


class Engine(Process):
    """`chute run`."""

    def __init__(self, scenario, topology, *options, name="chute", admin=None, env=None):
        self.admin, self.topology = admin, topology
        super().__init__(scenario, name, [CHUTE, "run", topology, *options], env)

    def stop(self, limit=40):
        """As above, once it is there: a signal that comes before main() ends it as it ends any program."""
        if self.admin:
            wait_until(lambda: self.child.poll() is not None or self.get("/status")[0], 30, f"{self.name} has begun")
        return super().stop(limit)

    def get(self, path):
        """The code and the JSON that the admin face answers; nothing, twice, while it does not."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=3)
            try:
                connection.request("GET", path)
                reply = connection.getresponse()
                return reply.status, json.loads(reply.read())
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException):
            return None, None

    def status(self):
        """What /status says; nothing while it does not answer."""
        return self.get("/status")[1]

    def ready(self):
        """The code of /ready and, of the first pipeline, its state and reason."""
        code, answer = self.get("/ready")
        first = ((answer or {}).get("pipelines") or [{}])[0]
        return code, first.get("state"), first.get("reason")

    def reasons(self):
        """Why it waits or stopped, in its own words."""
        out = []
        for pipeline in (self.status() or {}).get("pipelines", []):
            out += [pipeline["reason"], pipeline["last_error"]]
            for lane in pipeline["lanes"]:
                out += [lane["waiting_for"], lane["stopped_for"]]
        return "\n".join(dict.fromkeys(r for r in out if r))

    def state(self):
        """Of the first pipeline: starting, streaming, waiting, …"""
        pipelines = (self.status() or {}).get("pipelines") or [{}]
        return pipelines[0].get("state")

    def says(self, *words, limit=30):
        """Waits until the engine names one of the words as its reason; the reasons."""
        def named():
            text = self.reasons()
            return text if any(w.lower() in text.lower() for w in words) else None

        return wait_until(named, limit, lambda: f"{self.name} names one of {words}; it says: {self.reasons()!r}", every=0.1)


class Proxy(Process):
    """`chute-kit proxy`, between an engine and ClickHouse."""

    def __init__(self, scenario, target, plan="", name="proxy"):
        self.port, self.control = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(scenario, name, [KIT, "proxy", "--listen", f"127.0.0.1:{self.port}", "--control",
                                          f"127.0.0.1:{self.control}", "--target", target, "--seed", scenario.seed,
                                          *(["--plan", plan] if plan else [])])
        wait_until(lambda: self._call("GET", "/ping"), 10, "the fault proxy answers")

    def _call(self, method, path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=5)
            connection.request(method, path)
            reply = connection.getresponse()
            body = reply.read().decode()
            connection.close()
        except (OSError, http.client.HTTPException):
            return None
        if reply.status != 200:
            raise AssertionError(f"the fault proxy refused {path}: {body}")
        return body

    def fault(self, kind, **options):
        if not self._call("POST", f"/fault?{urllib.parse.urlencode({'kind': kind, **options})}"):
            raise AssertionError(f"the fault proxy does not answer; see {self.log}")

    def clear(self):
        self._call("POST", "/clear")

    def counts(self):
        return json.loads(self._call("GET", "/counts") or "{}")


class PrivateServices:
    """Parts of this scenario's own, for what must be killed or set up otherwise: `dev/services` on ports of its own."""

    def __init__(self, scenario, *parts, env=None):
        self.dir = scenario.dir / "services"
        self.parts = parts
        self.kafka = f"127.0.0.1:{free_port()}" if "kafka" in parts else KAFKA
        self.clickhouse = f"http://127.0.0.1:{free_port()}" if "clickhouse" in parts else CLICKHOUSE
        self.redis = f"redis://127.0.0.1:{free_port()}" if "redis" in parts else REDIS
        self.env = {**os.environ, "CHUTE_KAFKA": self.kafka, "CHUTE_CLICKHOUSE": self.clickhouse, "CHUTE_REDIS": self.redis,
                    "CHUTE_ZOOKEEPER": f"127.0.0.1:{free_port()}", "CHUTE_RUN_DIR": str(self.dir), **(env or {})}
        scenario.addCleanup(lambda: self.call("stop", *parts, check=False))
        self.call("start", *parts)

    def call(self, *arguments, check=True, env=None):
        done = subprocess.run([ROOT / "dev" / "services", *arguments], env={**self.env, **(env or {})},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=180)
        if check and done.returncode:
            raise AssertionError(f"dev/services {' '.join(arguments)} failed:\n{done.stdout}")
        return done


class Watched:
    """A test result that remembers whether something failed, whatever the runner's own result keeps."""

    def __init__(self, result):
        self._result, self.failed = result, False

    def __getattr__(self, name):
        return getattr(self._result, name)

    def addError(self, test, error):
        self.failed = True
        self._result.addError(test, error)

    def addFailure(self, test, error):
        self.failed = True
        self._result.addFailure(test, error)

    def addSubTest(self, test, subtest, error):
        self.failed |= error is not None
        self._result.addSubTest(test, subtest, error)


class Scenario(unittest.TestCase):
    """One scenario: names of its own, a directory, a seed, and the helpers to build with."""

    own_dead_letters = None  # a table that the topology names

    def setUp(self):
        for program in (CHUTE, KIT):
            if not program.exists():
                self.fail(f"{program} is not there: run `make build` first")
        self.seed = int(os.environ.get("CHUTE_TEST_SEED") or random.SystemRandom().randrange(1, 1 << 31))
        self.random = random.Random(self.seed)
        self.name = f"{self.id().split('.')[-1].removeprefix('test_')[:40]}_{os.getpid()}"
        self.dir = RUN_DIR / "integration" / self.name
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        self.logs = []
        self.kafka, self.server, self.redis = KAFKA, ClickHouse(), REDIS
        self.database = "chute"
        self.started = time.monotonic()

    def run(self, result=None):
        watched = Watched(result if result is not None else self.defaultTestResult())
        outcome = super().run(watched)
        if watched.failed:
            self._explain()
        return outcome

    def _explain(self):
        print(f"--- {self.id()} failed; seed {getattr(self, 'seed', '?')} (CHUTE_TEST_SEED), files in "
              f"{getattr(self, 'dir', '?')}", file=sys.stderr)
        for log in dict.fromkeys(getattr(self, "logs", [])):
            print(f"--- {log}, its end:\n{tail(log)}", file=sys.stderr, end="")

    # -- building ------------------------------------------------------------------------------------------------------

    def kit(self, *arguments, text=None, check=True, limit=300):
        """Runs chute-kit; its completed process."""
        done = subprocess.run([str(a) for a in (KIT, *arguments)], input=text, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=limit,
                              env={**os.environ, "CHUTE_KAFKA": self.kafka, "CHUTE_CLICKHOUSE": self.server.url})
        if check and done.returncode:
            raise AssertionError(f"chute-kit {' '.join(map(str, arguments))}: {done.stderr or done.stdout}")
        return done

    def topic(self, partitions, suffix="", **config):
        name = self.name + suffix
        settings = [x for k, v in config.items() for x in ("--config", f"{k.replace('_', '.')}={v}")]
        self.kit("topic", "create", name, "--partitions", partitions, *settings)
        self.addCleanup(lambda: self.kit("topic", "delete", name, check=False, limit=60))
        return name

    def produce(self, topic, records, *options):
        self.kit("produce", topic, "--records", records, "--seed", self.seed, *options)

    def produce_slowly(self, topic, records, rate, *options):
        """A producer in the background; wait() for it."""
        return Process(self, "producer", [KIT, "produce", topic, "--brokers", self.kafka, "--records", records, "--rate",
                                          rate, "--seed", self.seed, *options])

    def produce_on(self, topic, rate, *options):
        """A producer in the background that goes on until end_of() it, however long what a test does meanwhile takes."""
        return self.produce_slowly(topic, 100_000_000, rate, *options)

    def end_of(self, producer, topic, at_least):
        """Ends it once it has made so many records. Returns how many the topic has."""
        count = lambda: int(self.kit("topic", "end", topic, "--sum").stdout)
        wait_until(lambda: count() >= at_least or not producer.alive(), 180, f"{at_least} records are produced", every=0.5)
        producer.signal(signal.SIGTERM)
        self.assertEqual(producer.wait(60), 0, producer.name)
        return count()

    def table(self, columns=ORDERS_COLUMNS, suffix="", settings="", provenance=PROVENANCE,
              order="(_partition, _offset)"):
        """A MergeTree table with a deduplication window; its full name."""
        name = f"{self.database}.{self.name}{suffix}"
        more = f", {settings}" if settings else ""
        self.server.ask(f"CREATE TABLE {name} ({columns}{provenance}) ENGINE = MergeTree ORDER BY {order} "
                        f"SETTINGS non_replicated_deduplication_window = 10000{more}")
        self.addCleanup(self.drop, name)
        return name

    def drop(self, name):
        try:
            self.server.ask(f"DROP TABLE IF EXISTS {name} SYNC")
        except ServerError:
            pass  # a private server is gone before its tables

    def topology(self, topic, table, *, store="kafka", url=None, name="chute", batch=None, kafka=None, clickhouse=None,
                 top=None, **pipeline):
        """Writes a topology of one pipeline, as JSON, which is YAML too; its file and its admin port."""
        port = free_port()
        state = {"store": store}
        if store == "file":
            state["path"] = str(self.dir / "state")
        if store == "redis":
            state["url"] = self.redis
        # A dead-letter table of its own, so that scenarios can be told apart.
        document = {
            "kafka": {"brokers": self.kafka, "properties": {**KAFKA_PROPERTIES, **(kafka or {})}},
            "clickhouse": {"url": url or self.server.url, "database": table.split(".")[0], "user": self.server.user,
                           "password": self.server.password, **(clickhouse or {})},
            "state": state,
            "memory": "256MiB",
            "admin": {"listen": f"127.0.0.1:{port}"},
            "pipelines": {self.name: {"topics": [topic], "table": table.split(".")[1],
                                      "batch": batch or {"rows": 5000, "wait": "100ms"}, **pipeline}},
            **(top or {}),
        }
        file = self.dir / f"{name}.yaml"
        file.write_text(json.dumps(document, indent=2))
        return file, port

    def engine(self, topic, table, *options, name="chute", env=None, **topology):
        """A running engine."""
        file, port = self.topology(topic, table, name=name, **topology)
        return Engine(self, file, *options, name=name, admin=port, env=env)

    def run_until_end(self, topic, table, limit=120, name="chute", **topology):
        """`chute run --until-end`: 0, or the test fails."""
        code = self.engine(topic, table, "--until-end", name=name, **topology).wait(limit)
        self.assertEqual(code, 0, "chute run --until-end")

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def dead_letters(self):
        return self.own_dead_letters or f"{self.database}.chute_dead_letters"

    def found(self, table):
        """Rows and dead letters so far."""
        try:
            rows = self.server.number(f"SELECT count() FROM {table}")
            dead = self.server.number(f"SELECT count() FROM {self.dead_letters} WHERE pipeline = '{self.name}'")
        except ServerError:
            return 0
        return rows + dead

    def arrived(self, table, count, limit, *engines):
        """Waits until so many rows and dead letters are there; an engine that ends before is a failure."""
        seen = [0]

        def there():
            for e in engines:
                if not e.alive():
                    raise AssertionError(f"{e.name} ended with {e.child.returncode}; see {e.log}")
            seen[0] = self.found(table)
            return seen[0] >= count

        wait_until(there, limit, lambda: f"{count} records in {table}; {seen[0]} are{self.told_apart(table, engines)}", every=0.2)

    def told_apart(self, table, engines):
        """What the oracle says of a table whose records did not all arrive (its topic has the same name, mostly), and
        what the engines do meanwhile."""
        done = self.kit("compare", table.split(".")[1], "--table", table, "--dead-letters", self.dead_letters,
                        "--pipeline", self.name, "--json", check=False)
        return f". The oracle: {done.stdout or done.stderr}; " + "; ".join(f"{e.name}: {e.status()}" for e in engines)

    def exact(self, topic, table, *options, records=None, unverified=0):
        """The oracle's word. Returns its figures."""
        done = self.kit("compare", topic, "--table", table, "--dead-letters", self.dead_letters, "--pipeline", self.name,
                        "--json", *options, check=False)
        if done.returncode not in (0, 1):
            raise AssertionError(f"the oracle could not compare: {done.stderr}")
        figures = json.loads(done.stdout)
        shown = {k: v for k, v in figures.items() if k != "examples"}
        if not figures["exact"]:
            raise AssertionError(f"not exact: {shown}\n  " + "\n  ".join(figures["examples"]))
        if records is not None:
            self.assertEqual(figures["produced"], records, shown)
        self.assertLessEqual(figures["unverified"], unverified, shown)
        return figures

    def private_services(self, *parts, env=None):
        """Services of this scenario's own; the helpers speak to them from now on."""
        services = PrivateServices(self, *parts, env=env)
        self.kafka, self.server, self.redis = services.kafka, ClickHouse(services.clickhouse), services.redis
        return services


def main():
    unittest.main(verbosity=2)
