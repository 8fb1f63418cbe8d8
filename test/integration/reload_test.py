"""SIGHUP: the file is read again, and only what changed in it is touched; a wrong file changes nothing."""

import json
import signal
import time
import urllib.request

import harness
from harness import Proxy, wait_until

TIME_LIMIT_SECONDS = 300


class Reload(harness.Scenario):
    def setUp(self):
        super().setUp()
        self.topics = {n: self.topic(2, f"_{n}") for n in ("kept", "changed", "gone", "new")}
        self.tables = {n: self.table(suffix=f"_{n}") for n in self.topics}
        self.file, self.port = self.topology(self.topics["kept"], self.tables["kept"])
        self.document = json.loads(self.file.read_text())
        self.sound = self.document["pipelines"][self.name]

    def pipeline(self, n, **more):
        # A name of the topic's own, so that the oracle finds its dead letters.
        return {f"{self.name}_{n}": {**self.sound, "topics": [self.topics[n]], "table": self.tables[n].split(".")[1], **more}}

    def write(self, *pipelines):
        self.document["pipelines"] = {k: v for p in pipelines for k, v in p.items()}
        self.file.write_text(json.dumps(self.document, indent=2))

    def status(self, n):
        return next((p for p in (self.engine_.status() or {}).get("pipelines", []) if p["name"] == f"{self.name}_{n}"), None)

    def says(self, words):
        wait_until(lambda: words in self.engine_.log.read_text(), 60, f"the log says '{words}'")

    def landed(self, n, records):
        wait_until(lambda: self.server.number(f"SELECT count() FROM {self.tables[n]}") >= records, 60, f"{records} of {n}")

    def test_only_what_changed_is_touched(self):
        self.write(self.pipeline("kept"), self.pipeline("changed"), self.pipeline("gone"))
        for topic in self.topics.values():
            self.produce(topic, 3_000)
        self.engine_ = harness.Engine(self, self.file, admin=self.port)
        for n in ("kept", "changed", "gone"):
            self.landed(n, 3_000)
        before, before_changed = self.status("kept"), self.status("changed")

        self.write(self.pipeline("new"), self.pipeline("kept"), self.pipeline("changed", batch={"rows": 100, "wait": "50ms"}))
        self.engine_.signal(signal.SIGHUP)
        self.says(f"started anew: {self.name}_changed; gone: {self.name}_gone; new: {self.name}_new")
        self.landed("new", 3_000)
        for n in ("kept", "changed", "new"):
            self.produce(self.topics[n], 3_000, "--first", 3_000)
        for n in ("kept", "changed", "new"):
            self.landed(n, 6_000)
        for n in ("kept", "changed"):  # the status follows the table after a moment
            wait_until(lambda: self.status(n)["rows"] == 6_000, 10, lambda: f"the counters of {n} go on: {self.status(n)['rows']}")
        now = self.status("kept")
        self.assertEqual(now["rebalances"], before["rebalances"], "the pipeline that did not change left its group")
        self.assertGreater(self.status("changed")["rebalances"], before_changed["rebalances"], "the one that changed did not join anew")
        self.assertIsNone(self.status("gone"))

        # A wrong file, an absent one, and one with another state: said, and nothing happens.
        good = self.file.read_text()
        self.file.write_text(good.replace('"topics"', '"topcis"'))
        self.engine_.signal(signal.SIGHUP)
        self.says("the file is not taken up")
        self.file.write_text(good.replace('"store": "kafka"', f'"store": "file", "path": "{self.dir}/s"'))
        self.engine_.signal(signal.SIGHUP)
        self.says("restart to take it up")
        self.file.write_text(good)
        self.engine_.signal(signal.SIGHUP)
        self.says("nothing changed")
        self.assertEqual(self.engine_.stop(), 0)
        for n in ("kept", "changed", "new", "gone"):
            figures = self.exact_of(n)
            self.assertEqual(figures["produced"], 3_000 if n == "gone" else 6_000)

    def test_a_topic_that_two_patterns_match_is_taken_once(self):
        both = {"table": self.tables["kept"].split(".")[1]}
        self.write(self.pipeline("kept", topics=f"^{self.name}_k.*", **both), self.pipeline("changed", topics=f"^{self.name}_ke.*", **both))
        self.produce(self.topics["kept"], 1_000)
        self.engine_ = harness.Engine(self, self.file, admin=self.port)
        self.landed("kept", 1_000)
        self.says(f"writes topic {self.topics['kept']} into {self.tables['kept']} already")
        self.produce(self.topics["kept"], 1_000, "--first", 1_000)
        self.landed("kept", 2_000)
        self.assertEqual(sorted(self.status(n)["state"] for n in ("kept", "changed")), ["streaming", "waiting"])
        self.assertEqual(self.engine_.stop(), 0)
        self.assertEqual(self.exact_of("kept")["produced"], 2_000)

    def test_a_paused_pipeline_stays_paused_and_drains(self):
        self.write(self.pipeline("kept"), self.pipeline("changed"))
        self.produce(self.topics["changed"], 100)
        self.engine_ = harness.Engine(self, self.file, admin=self.port)
        self.landed("changed", 100)
        self.order("changed", "pause")
        self.paused_with_records("changed", 100)

        self.write(self.pipeline("kept"), self.pipeline("changed", batch={"rows": 100, "wait": "50ms"}))
        begun = time.monotonic()
        self.engine_.signal(signal.SIGHUP)
        self.says(f"started anew: {self.name}_changed")
        self.assertLess(time.monotonic() - begun, 25, "the paused pipeline did not drain")
        self.paused_with_records("changed", 600)
        self.assertEqual(self.server.number(f"SELECT count() FROM {self.tables['changed']}"), 100)

        begun = time.monotonic()
        self.assertEqual(self.engine_.stop(), 0)
        self.assertLess(time.monotonic() - begun, 25, "the paused pipeline did not drain")
        self.engine_ = harness.Engine(self, self.file, admin=self.port)  # a person's pause ends with the process
        self.landed("changed", 1_100)
        self.assertEqual(self.engine_.stop(), 0)
        self.assertEqual(self.exact_of("changed")["produced"], 1_100)

    def test_signals_are_heard_while_it_reloads(self):
        proxy = Proxy(self, self.server.url)
        self.document["clickhouse"]["url"] = proxy.url
        self.write(self.pipeline("kept"), self.pipeline("changed"))
        self.engine_ = harness.Engine(self, self.file, admin=self.port)
        self.produce(self.topics["changed"], 100)
        self.landed("changed", 100)
        proxy.fault("refuse", match="INSERT")
        self.produce(self.topics["changed"], 100, "--first", 100)
        wait_until(lambda: proxy.counts().get("refuse", 0) > 0, 60, "an insert is refused")
        self.write(self.pipeline("kept"), self.pipeline("changed", batch={"rows": 100, "wait": "50ms"}))
        self.engine_.signal(signal.SIGHUP)  # drains what changed, which it cannot
        self.says("SIGHUP: reading")
        begun = time.monotonic()
        self.engine_.signal(signal.SIGHUP)
        self.says("it is reloading, or a pipeline is being moved")
        self.engine_.signal(signal.SIGTERM)
        self.says("draining for up to")
        self.engine_.signal(signal.SIGTERM)
        self.assertEqual(self.engine_.wait(20), 1)
        self.assertLess(time.monotonic() - begun, 20)
        proxy.clear()
        self.engine_ = harness.Engine(self, self.file, name="second", admin=self.port)
        self.landed("changed", 200)
        self.assertEqual(self.engine_.stop(), 0)
        self.assertEqual(self.exact_of("changed")["produced"], 200)

    def order(self, n, what):
        url = f"http://127.0.0.1:{self.port}/pipelines/{self.name}_{n}/{what}"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=5) as reply:
            self.assertEqual(reply.status, 200)

    def paused_with_records(self, n, first):
        wait_until(lambda: (self.status(n) or {}).get("state") == "paused", 60, f"{n} is paused")
        self.produce(self.topics[n], 500, "--first", first)
        wait_until(lambda: any(lane["buffered_bytes"] for lane in self.status(n)["lanes"]), 60, f"{n} has gathered records")

    def exact_of(self, n):
        done = self.kit("compare", self.topics[n], "--table", self.tables[n], "--dead-letters", self.dead_letters,
                        "--pipeline", f"{self.name}_{n}", "--json", check=False)
        figures = json.loads(done.stdout)
        self.assertTrue(figures["exact"], figures)
        return figures


if __name__ == "__main__":
    harness.main()
