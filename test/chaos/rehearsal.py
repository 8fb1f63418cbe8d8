"""A rehearsal on a user's own topology: engines killed, paused and restarted, ClickHouse's replies broken in a proxy; then every topic is
compared with its table and dead letters, offset by offset. Kafka, ClickHouse and the topics are only read, except by the engine itself."""

import os
import pathlib
import re
import subprocess
import threading
import time

import yaml

import harness
from cells import Life, Member
from faults import break_replies
from runner import FAULTS, LOST, not_struck
from stage import Stage

VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
UNTIL_END_SECONDS = 3600


class Refused(Exception):
    """Why this topology cannot be rehearsed here, and the way out."""


class Topology:
    """The user's file. What must differ for a rehearsal (ClickHouse's URLs, the admin face) is replaced in its text; the rest stays
    as it is, variables included."""

    def __init__(self, path):
        self.words = []  # the variables, as written

        def hide(match):
            self.words.append(match)
            return f"CHUTEVARIABLE{len(self.words) - 1}X"

        self.text = VARIABLE.sub(hide, pathlib.Path(path).read_text())
        self.root = yaml.compose(self.text)

    def value(self, text):
        """With its variables' values."""
        def known(m):
            w = self.words[int(m[1])]
            return os.environ.get(w[1]) or w[2] or ""
        return re.sub(r"CHUTEVARIABLE(\d+)X", known, text)

    def node(self, *keys, root=None):
        at = root or self.root
        for key in keys:
            if not isinstance(at, yaml.MappingNode):
                return None
            at = next((v for k, v in at.value if k.value == key), None)
        return at

    def get(self, *keys, root=None, otherwise=None):
        """A value as text, or a list of them."""
        at = self.node(*keys, root=root)
        if isinstance(at, yaml.SequenceNode):
            return [self.value(v.value) for v in at.value]
        return self.value(at.value) if isinstance(at, yaml.ScalarNode) else otherwise

    def items(self, *keys, root=None):
        at = self.node(*keys, root=root)
        return [(k.value, v) for k, v in at.value] if isinstance(at, yaml.MappingNode) else []

    def urls(self):
        urls = self.get("clickhouse", "url", otherwise="")
        return urls if isinstance(urls, list) else [urls]

    def rewritten(self, urls, listen):
        """The text with other URLs and another admin address."""
        at = self.node("clickhouse", "url")
        edits = [(at, "[" + ", ".join(f'"{u}"' for u in urls) + "]")]
        text, admin = self.text, self.node("admin")
        if admin is not None:
            edits.append((admin, f'{{listen: "{listen}"}}'))
        for node, new in sorted(edits, key=lambda e: -e[0].start_mark.index):
            old = text[node.start_mark.index:node.end_mark.index]
            kept = old[len(old.rstrip()):]  # the end of a block lies behind its last line
            text = text[:node.start_mark.index] + new + kept + text[node.end_mark.index:]
        if admin is None:
            first = self.root.value[0][0].start_mark.index
            own = f'"admin": {{"listen": "{listen}"}}'
            text = text[:first] + own + (", " if self.root.flow_style else "\n") + text[first:]
        return re.sub(r"CHUTEVARIABLE(\d+)X", lambda m: self.words[int(m[1])][0], text)


SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def seconds(text):
    number = re.fullmatch(r"\s*(\d+)\s*(ms|s|m|h)\s*", text)
    return int(number[1]) * SECONDS[number[2]] if number else 60


class Own:
    """What Life and Member ask of a cell."""

    def __init__(self, stage, topology, urls):
        self.stage, self.file, self.urls, self.guests = stage, topology, urls, []
        self.turns = False
        self.session_s = int(topology.get("kafka", "properties", "session.timeout.ms", otherwise="45000")) / 1000
        self.lease_s = seconds(topology.get("clickhouse", "limits", "lease", otherwise="60s"))

    def topology(self, name):
        port = harness.free_port()
        file = self.stage.dir / f"{name}.yaml"
        file.write_text(self.file.rewritten(self.urls, f"127.0.0.1:{port}"))
        return file, port

    def use_up_window(self):
        raise harness.ServerError(0, "nothing of yours is written to")


class Rehearsal:
    def __init__(self, options, folder, faults):
        self.stage = Stage(folder, options.seed)
        self.options, self.faults = options, faults
        self.file = Topology(options.topology)
        self.brokers = self.file.get("kafka", "brokers", otherwise="")
        self.brokers = ",".join(self.brokers) if isinstance(self.brokers, list) else self.brokers
        self.urls = [u.rstrip("/") for u in self.file.urls()]
        if any(not u.startswith("http://") for u in self.urls):
            raise Refused("clickhouse.url: the proxy that breaks replies and the comparison speak plain http:// only; name such an address")
        password = self.file.get("clickhouse", "password", otherwise="")
        if named := self.file.get("clickhouse", "password_file"):
            password = pathlib.Path(named).read_text().removesuffix("\n")
        self.server = harness.ClickHouse(self.urls[0], self.file.get("clickhouse", "user", otherwise="default"), password)
        self.stage.kafka, self.stage.server = self.brokers, self.server
        self.pipelines = self.file.items("pipelines")
        self.topics = {}  # (pipeline, topic), as the engines tell them

    def check(self):
        done = subprocess.run([harness.CHUTE, "validate", self.options.topology], capture_output=True, text=True)
        if done.returncode:
            raise Refused(f"chute validate {self.options.topology}:\n{done.stdout}{done.stderr}")
        self.server.ask("SELECT 1")
        for name, node in self.pipelines:
            if self.file.get("delivery", root=node) == "at_least_once":
                self.stage.say(f"pipeline {name} is at_least_once: rows may come twice, and will be told as doubled")
            if self.file.get("on_bad_record", root=node) == "skip":
                self.stage.say(f"pipeline {name} skips bad records: they will be told as missing")

    # -- chaos ---------------------------------------------------------------------------------------------------------

    def chaos(self):
        s, store = self.stage, self.file.get("state", "store", otherwise="kafka")
        proxies = [harness.Proxy(s, u, name=f"proxy{i}") for i, u in enumerate(self.urls)]
        cell = Own(s, self.file, [p.url for p in proxies])
        members = [Member(cell, f"chute-{i + 1}") for i in range(1 if store == "file" else min(2, self.options.processes))]
        over = threading.Event()
        lives = [Life(m, self.faults, over, s.dice(m.name)) for m in members]
        for p in proxies:
            if "replies" in self.faults:
                break_replies(p)
        for life in lives:
            life.start()
        self.proxies = proxies
        end = time.monotonic() + self.options.minutes * 60
        # A kill and a lost reply there must be, or nothing was rehearsed: a minute more for them at most.
        while (now := time.monotonic()) < end + 60 and not s.troubles and (now < end or not_struck(self.wanted(), self.struck)):
            time.sleep(1)
            for m in members:
                self.look(m)
        over.set()
        for life in lives:
            life.join(300)
        for m in members:
            m.kill()
        s.counts[LOST] = self.lost()
        chosen = [f for f in self.faults if f != "members" or "kill" not in self.faults]
        missed = not_struck(chosen, self.struck)
        for name in missed:
            (s.trouble if len(missed) == len(chosen) else s.say)(f"NOT STRUCK: {name} ({FAULTS[name]})")

    def wanted(self):
        return [f for f in ("kill", "replies") if f in self.faults]

    def lost(self):
        return sum(p.counts().get("lost_replies", 0) for p in self.proxies)

    def struck(self, sign):
        return (self.lost() if sign == LOST else 0) + sum(n for what, n in dict(self.stage.counts).items() if what.startswith(sign))

    def look(self, member):
        """Which topics there are, and whether a lane stopped."""
        status = (member.engine.status() if member.engine and member.engine.alive() else None) or {}
        for p in status.get("pipelines", []):
            for lane in p["lanes"]:
                self.topics[p["name"], lane["topic"]] = True
                if lane["stopped_for"]:
                    self.stage.trouble(f"pipeline {p['name']}, topic {lane['topic']}, lane {lane['lane']} stopped: {lane['stopped_for']}")

    # -- the comparison ------------------------------------------------------------------------------------------------

    def ends(self, topic):
        lines = self.stage.kit("topic", "end", topic, *self.properties()).stdout.splitlines()
        return {int(p): int(end) for p, _, end in (line.split() for line in lines)}

    def properties(self):
        return [x for k, v in self.file.items("kafka", "properties") for x in ("--property", f"{k}={self.file.value(v.value)}")
                if not k.startswith(("session.", "heartbeat.", "max.poll."))]

    def drain(self):
        """Up to the present ends, without faults."""
        cell = Own(self.stage, self.file, self.urls)
        file, port = cell.topology("chute-last")
        engine = harness.Engine(self.stage, file, "--until-end", name="chute-last", admin=port)
        if code := engine.wait(UNTIL_END_SECONDS):
            raise AssertionError(f"chute run --until-end ended with {code}; see {engine.log}")

    def columns(self, node):
        """The provenance columns, where they are mapped under other names."""
        out = {"topic": "_topic", "partition": "_partition", "offset": "_offset"}
        for column, source in self.file.items("columns", root=node):
            meta = self.file.get("meta", root=source)
            if meta in out:
                out[meta] = column
        return out

    def compare(self, name, node, topic, ends):
        f = self.file
        database = f.get("database", root=node) or f.get("clickhouse", "database", otherwise="default")
        whole = lambda table: table if "." in table else f"{database}.{table}"  # noqa: E731
        table = whole(f.get("table", root=node).replace("{topic}", topic))
        letters = whole(f.get("dead_letters", "table", root=node, otherwise="chute_dead_letters"))
        columns = self.columns(node)
        limits = [x for p, end in ends.items() for x in ("--to", f"{p}:{end}")]
        if f.get("start", root=node, otherwise="earliest") != "earliest":
            limits += [x for p, at in self.begins(table, letters, name, topic, columns, ends).items() for x in ("--from", f"{p}:{at}")]
        done = self.stage.kit("compare", topic, "--table", table, "--dead-letters", letters, "--pipeline", name, "--offsets-only", "--shared",
                              "--user", self.server.user, "--password", self.server.password, *self.properties(), *limits,
                              *(x for k, c in columns.items() for x in (f"--{k}-column", c)), check=False, limit=3600)
        if done.returncode not in (0, 1):
            raise AssertionError(f"{topic} and {table} could not be compared: {done.stderr.strip()}")
        print(f"{topic} → {table}: {done.stdout.strip()}: {'exact' if done.returncode == 0 else 'NOT EXACT'}", flush=True)
        return done.returncode == 0

    def begins(self, table, letters, pipeline, topic, c, ends):
        """With another start than earliest: from the first offset that is found."""
        sql = (f"SELECT p, min(o) AS first FROM (SELECT {c['partition']} AS p, {c['offset']} AS o FROM {table} WHERE {c['topic']} = '{topic}' "
               f"UNION ALL SELECT partition, offset FROM {letters} WHERE topic = '{topic}' AND pipeline = '{pipeline}') GROUP BY p")
        found = {int(r["p"]): int(r["first"]) for r in self.server.rows(sql)}
        return {p: found.get(p, end) for p, end in ends.items()}

    def go(self):
        self.check()
        self.stage.say(f"rehearsing {self.options.topology} with {harness.CHUTE}")
        self.chaos()
        self.stage.say("no more faults: up to the topics' present ends")
        named = [(name, node, topic) for name, node in self.pipelines for topic in self.listed(name, node)]
        ends = {topic: self.ends(topic) for _, _, topic in named}
        self.drain()
        for name, n in sorted(self.stage.counts.items()):
            print(f"{n:9,}  {name}")
        print("per topic, partition and offset (values were not compared: what your tables make of a record, only the engine knows):")
        exact = [self.compare(name, node, topic, ends[topic]) for name, node, topic in named]
        if not exact:
            self.stage.trouble("there was no topic to compare")
        return all(exact) and not self.stage.troubles

    def listed(self, name, node):
        topics = self.file.get("topics", root=node)
        topics = topics if isinstance(topics, list) else [topics]
        return sorted({t for t in topics if not t.startswith("^")} | {t for p, t in self.topics if p == name})


def go(options, folder, faults):
    """Exit code."""
    rehearsal = None
    try:
        rehearsal = Rehearsal(options, folder, faults)
        good = rehearsal.go()
    except (Refused, AssertionError, OSError, yaml.YAMLError, harness.ServerError) as e:
        print(f"dev/chaos: {e}", flush=True)
        good = False
    finally:
        if rehearsal:
            rehearsal.stage.clean_up()
    if not good:
        print(f"seed {options.seed}; logs are kept in {folder}")
    return 0 if good else 1
