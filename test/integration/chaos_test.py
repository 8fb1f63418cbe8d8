"""A short chaos run (dev/chaos): engines killed at named points and at random, zombies, lost replies, brokers and ClickHouse killed, a full
disk, Redis's replica taking over, topics made anew, records deleted before they were delivered, state put back to what it was. Then topic
and table are compared per offset."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest
from unittest import mock

import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))

import runner  # noqa: E402  (found by the line above)

TIME_LIMIT_SECONDS = 900


class Pipeline:
    """What a run asks of a cell when all is over."""

    def __init__(self, name, produced=100, stops=()):
        self.name, self.stops = name, stops
        self.figures = {k: 0 for k in ("rows", "dead_letters", "doubled", "missing", "different", "foreign")}
        self.figures |= {"produced": produced, "exact": True}

    def named_stops(self):
        return self.stops

    def drain(self, _):
        pass

    def retried(self, call):
        return call()

    def verdict(self):
        return self.figures

    def drop(self):
        pass


class Broken(Pipeline):
    def named_stops(self):
        raise OSError("the log is gone")


class Hangs(Pipeline):
    def drain(self, _):
        time.sleep(3)


class Judged(unittest.TestCase):
    """A run's own judgement, without the parts."""

    def troubles(self, *cells, seconds=10, faults=(), counts=()):
        run = runner.Run(harness.RUN_DIR / "integration" / f"judged_{os.getpid()}", seed=1, seconds=seconds, stores=["kafka"], faults=faults, processes=1)
        run.proxy, run.cells = mock.Mock(counts=dict), cells
        run.stage.counts.update(dict(counts))
        with mock.patch.object(runner, "JUDGE_SECONDS", 1):
            run.settle()
        run.look_back()
        return "; ".join(run.stage.troubles)

    def test_a_pipeline_that_nobody_compared_is_not_exact(self):
        self.assertEqual(self.troubles(Pipeline("a"), Pipeline("b")), "")
        self.assertIn("b could not be judged: OSError", self.troubles(Pipeline("a"), Broken("b")))
        self.assertIn("b was not compared within 1 s", self.troubles(Pipeline("a"), Hangs("b")))
        self.assertIn("b is empty", self.troubles(Pipeline("a"), Pipeline("b", produced=0)))
        self.assertIn("nothing was produced", self.troubles())

    def test_a_class_of_faults_that_did_not_strike_is_told(self):
        struck = {"kill -9 in save": 1, "brokers killed with -9": 2}
        one = Pipeline("a")
        self.assertEqual(self.troubles(one, faults=["points", "brokers"], counts=struck, seconds=300), "")
        self.assertIn("NOT STRUCK: zombies", self.troubles(one, faults=["points", "zombies"], counts=struck, seconds=300))
        self.assertEqual(self.troubles(one, faults=["points", "zombies"], counts=struck), "", "a short run need not have each")
        self.assertIn("NOT STRUCK: points", self.troubles(one, faults=["points"]), "but one of them")
        self.assertEqual(set(runner.SIGNS), set(runner.FAULTS))


class Chaos(harness.Scenario):
    seconds = 600 if harness.LONG else 30

    # A run in which nothing happened proves nothing.
    at_least = (("kill -9", 3), ("points", 1), ("SIGSTOP past", 1), (runner.LOST, 5), ("ClickHouse", 1), ("brokers", 1),
                ("topics made anew", 1), ("retention overtook", 1), ("stores", 1), ("failover", 1), ("rollback", 1))

    def test_all_faults_and_stores(self):
        run = runner.Run(self.dir / "run", seed=self.seed, seconds=self.seconds, stores=list(runner.STORES), faults=list(runner.FAULTS),
                         processes=6, rate=120 if harness.LONG else 60, at_least=self.at_least)
        good = run.go()
        self.assertTrue(good, f"see above; seed {self.seed}, logs in {run.stage.dir}")
        for name, least in self.at_least:
            self.assertGreaterEqual(run.struck(name), least, name)
        self.assertEqual(run.judged, run.made, "each pipeline was compared")
        self.assertGreater(run.totals["produced"], 0)

    def test_a_lane_that_fails_ends_its_pipeline_by_name(self):
        """What must not happen inside (an invariant) is told and ends the process; it does not leave the pipeline waiting for ever."""
        topic, table = self.topic(4), self.table()
        self.produce(topic, 2_000)
        for point, said in (("lane_fails:30", "stopped: fault point lane_fails"),
                            ("lane_dies:2", "stopped: an actor of the pipeline died"),
                            ("pipeline_fails:8", "stopped: it could not go on: fault point pipeline_fails")):
            file, port = self.topology(topic, table)
            until = ["--until-end"] if point.startswith("lane") else []  # else it may be drained before
            engine = harness.Engine(self, file, *until, name="failing", admin=port, env={"CHUTE_FAULT_POINT": point})
            self.assertEqual(engine.wait(60), 1, point)
            self.assertIn(said, harness.tail(engine.log))
        self.run_until_end(topic, table)
        self.exact(topic, table, records=2_000)

    def test_rehearsal_on_a_topology_of_ones_own(self):
        """Other names of the provenance columns, variables, an admin face with a token: nothing of it is in the way."""
        topic = self.topic(4)
        table = self.table(harness.SMALL_COLUMNS, provenance=", source LowCardinality(String), part Int32, place Int64",
                           order="(part, place)")
        file = self.dir / "own.yaml"
        file.write_text(f"""# a user's file
kafka: {{brokers: "{self.kafka}", properties: {{session.timeout.ms: 2500, heartbeat.interval.ms: 500}}}}
clickhouse:
  url: ${{OWN_CLICKHOUSE}}   # from outside
  database: {self.database}
  password: ${{OWN_PASSWORD:-}}
  limits: {{lease: 3s, insert: 4s}}
admin: {{listen: 127.0.0.1:{harness.free_port()}, token: ${{OWN_TOKEN:-secret}}}}
pipelines:
  {self.name}:
    topics: [{topic}]
    table: {self.name}
    batch: {{rows: 500, wait: 50ms}}
    columns:
      source: {{meta: topic}}
      part: {{meta: partition}}
      place: {{meta: offset}}
""")
        producer = self.produce_slowly(topic, 1_000_000, 500, "--shape", "small", "--broken-every", 97)
        env = {**os.environ, "OWN_CLICKHOUSE": self.server.url}
        command = [sys.executable, harness.ROOT / "dev/chaos", "--topology", file, "--minutes", "0.2", "--seed", str(self.seed),
                   "--folder", self.dir / "rehearsal"]
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400)
        producer.signal(signal.SIGTERM)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"produced [1-9]\d+, .*: exact", done.stdout)
        self.assertRegex(done.stdout, r"[1-9][\d,]*  kill -9", done.stdout)
        self.assertRegex(done.stdout, rf"[1-9][\d,]*  {runner.LOST}", done.stdout)
        self.assertIn("values were not compared", done.stdout)
        # And it notices what is not so.
        self.server.ask(f"ALTER TABLE {table} DELETE WHERE part = 1 AND place = 5 SETTINGS mutations_sync = 2")
        again = self.kit("compare", topic, "--table", table, "--offsets-only", "--shared", "--to", "1:6", "--to", "0:0", "--to", "2:0", "--to",
                         "3:0", "--topic-column", "source", "--partition-column", "part", "--offset-column", "place", check=False)
        self.assertIn("missing 1", again.stdout)


if __name__ == "__main__":
    harness.main()
