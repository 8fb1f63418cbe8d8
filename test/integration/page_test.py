"""The live page in headless Chromium: a running, a waiting and a stopped pipeline, told apart without colour alone. The
screenshot stays in the run directory, as page.png."""

import json
import os
import re
import select
import shutil
import subprocess
import time
import urllib.request

import harness
from harness import SMALL_COLUMNS, wait_until

TIME_LIMIT_SECONDS = 300
BESIDE = True
BROWSER_SECONDS = 60
PNG = b"\x89PNG\r\n\x1a\n"


class DevTools:
    """A page in a browser that is spoken to: messages of the DevTools protocol, each with a 0 behind it, through pipes."""

    def __init__(self, browser, profile, url):
        to_browser, self.out = os.pipe()
        self.back, from_browser = os.pipe()
        self.rest, self.number = b"", 0
        # It reads them as 3 and 4.
        script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self.child = subprocess.Popen(["bash", "-c", script, "bash", browser, "--headless", "--no-sandbox", "--disable-gpu",
                                       "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={profile}",
                                       "--remote-debugging-pipe", "about:blank"], pass_fds=(to_browser, from_browser),
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        target = self.call("Target.createTarget", url=url)["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if hasattr(self, "session"):
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + BROWSER_SECONDS
        while True:
            while b"\0" not in self.rest:
                if not select.select([self.back], [], [], max(0, end - time.monotonic()))[0]:
                    raise AssertionError(f"the browser does not answer {method}")
                self.rest += os.read(self.back, 1 << 16)
            text, _, self.rest = self.rest.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == self.number:
                return answer["result"]

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def press(self, key, code, text=""):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key if key != " " else "Space", windowsVirtualKeyCode=code,
                      **({"text": text} if text and kind == "keyDown" else {}))

    def close(self):
        self.child.kill()
        self.child.wait(20)
        os.close(self.out)
        os.close(self.back)


class Page(harness.Scenario):
    def setUp(self):
        super().setUp()
        self.browser = shutil.which("chromium")
        if not self.browser:
            self.fail("chromium is not there: dev/install-deps installs it")

    def chromium(self, *arguments):
        profile = self.dir / "profile"
        done = subprocess.run([self.browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                               "--no-first-run", f"--user-data-dir={profile}", "--window-size=1100,1400",
                               "--virtual-time-budget=4000", *map(str, arguments), f"http://127.0.0.1:{self.port}/"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=BROWSER_SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace")[-2000:])
        return done.stdout.decode(errors="replace")

    def three_pipelines(self):
        running, waiting, stopped = (f"{self.name}_{n}" for n in ("running", "waiting", "stopped"))
        topic = self.topic(3)
        self.table(suffix="_running")
        self.table(SMALL_COLUMNS, suffix="_stopped", provenance="", order="tuple()")  # without the columns that recovery needs: it stops
        file, self.port = self.topology(topic, f"{self.database}.{self.name}_running")
        document = json.loads(file.read_text())
        sound = document["pipelines"].pop(self.name)
        document["pipelines"] = {running: sound, waiting: {**sound, "table": f"{self.name}_not_there"},
                                 stopped: {**sound, "table": f"{self.name}_stopped"}}
        file.write_text(json.dumps(document))
        self.produce(topic, 2_000, "--broken-every", 100)
        engine = harness.Engine(self, file, admin=self.port)

        def states():
            return {p["name"]: p["state"] for p in (engine.status() or {"pipelines": []})["pipelines"]}

        wait_until(lambda: states() == {running: "streaming", waiting: "waiting", stopped: "stopped"}, 60, states)
        wait_until(lambda: self.found_rows(f"{self.database}.{self.name}_running") >= 1_900, 60, "the records land")
        return engine, running, waiting, stopped

    def found_rows(self, table):
        return self.server.number(f"SELECT count() FROM {table}")

    def test_states_are_told_apart(self):
        engine, running, waiting, stopped = self.three_pipelines()
        page = self.chromium("--dump-dom")
        cards = re.findall(r'<section class="card (\w+)">(.*?)</section>', page, re.S)
        self.assertEqual([state for state, _ in cards], ["streaming", "waiting", "stopped"])
        texts = [re.sub(r"<[^>]+>", " ", card) for _, card in cards]
        # A sign and a word of its own each; a border of its own each, in the style sheet.
        for text, name, sign, word in zip(texts, (running, waiting, stopped), "▶◔■", ("running", "waiting", "stopped")):
            self.assertIn(name, text)
            self.assertRegex(text, f"{sign}\\s*{word}")
        self.assertIn("lacks the provenance columns", texts[2])
        self.assertIn("does not exist", texts[1])
        self.assertRegex(texts[0], r"3 lanes here")
        self.assertRegex(texts[0], r"3 partitions here")
        self.assertRegex(texts[0], r"dead letters\s+20\b")
        for what in ("lag", "records a second", "bytes a second", "rows", "inserts"):
            self.assertIn(what, texts[0])
        self.assertIn("1 stopped", re.search("<title>(.*?)</title>", page)[1])
        shown = re.sub("<script.*?</script>", "", page, flags=re.S)
        self.assertNotIn("No answer from the engine", shown)
        self.screenshot()
        self.metrics()
        self.pause_and_resume(engine, running)

    def test_hands_are_left_alone(self):
        """Keyboard, marked text and an order's error, over a page that draws itself anew every two seconds."""
        engine, running, _, _ = self.three_pipelines()
        page = DevTools(self.browser, self.dir / "profile", f"http://127.0.0.1:{self.port}/")
        self.addCleanup(page.close)
        wait_until(lambda: page.value("document.querySelectorAll('main section').length") == 3, 30, "the page is drawn")

        def redrawn():
            page.value("document.querySelector('main section').dataset.old = 1")
            wait_until(lambda: page.value("!document.querySelector('main section').dataset.old"), 20, "it is drawn anew", every=0.2)

        def focus():
            return page.value("document.activeElement.dataset.key")

        page.value("document.querySelector('summary').focus()")
        before = focus()
        self.assertEqual(before, f"{running} lanes")
        redrawn()
        self.assertEqual(focus(), before)
        page.press(" ", 32, " ")  # unfolds the lanes, and pauses nothing
        wait_until(lambda: page.value("document.querySelector('details').open"), 10, "the lanes are unfolded")
        redrawn()
        self.assertEqual((focus(), page.value("document.querySelector('details').open")), (before, True))
        self.assertEqual(engine.status()["pipelines"][0]["state"], "streaming")
        page.value("document.querySelector('main button').focus()")
        redrawn()
        self.assertEqual(focus(), f"{running} button")

        page.value("document.activeElement.blur(); document.getSelection().selectAllChildren(document.querySelector('main h2'))")
        page.value("document.querySelector('main section').dataset.old = 1")
        wait_until(lambda: page.value("document.getElementById('still').textContent"), 20, "it stands still")
        page.value("refresh()")
        self.assertEqual(page.value("document.getSelection().toString()"), running)
        self.assertEqual(page.value("document.querySelector('main section').dataset.old"), "1")
        page.value("document.getSelection().removeAllRanges()")
        wait_until(lambda: page.value("!document.querySelector('main section').dataset.old"), 20, "it is drawn anew", every=0.2)
        self.assertEqual(page.value("document.getElementById('still').textContent"), "")

        page.value("order('nobody', 'pause')")
        redrawn()
        redrawn()
        self.assertIn("nobody: pause: ", page.value("document.getElementById('trouble').textContent"))

    def screenshot(self):
        picture = harness.RUN_DIR / "page.png"
        picture.unlink(missing_ok=True)
        self.chromium(f"--screenshot={picture}")
        content = picture.read_bytes()
        self.assertTrue(content.startswith(PNG))
        self.assertGreater(len(content), 20_000, "an empty page")
        print(f"screenshot: {picture}")

    def metrics(self):
        """By Prometheus' rules; and the dashboard asks for nothing else."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        kinds = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE "))
        helped = {line.split()[2] for line in lines if line.startswith("# HELP ") and len(line.split()) > 3}
        samples = [line.rsplit(" ", 1)[0] for line in lines if line and not line.startswith("#")]
        self.assertEqual(len(samples), len(set(samples)), "a series comes twice")
        self.assertEqual({s.split("{")[0] for s in samples} - set(kinds), set(), "a sample without a type")
        self.assertEqual(set(kinds), helped)
        for name, kind in kinds.items():
            self.assertRegex(name, r"^(chute|process)(_[a-z]+)+$")
            self.assertEqual(kind == "counter", name.endswith("_total"), name)
            self.assertNotRegex(name, "_(ms|milliseconds|minutes|kib|mib|percent|count)(_|$)", "base units")
        dashboard = (harness.ROOT / "examples/grafana/chute.json").read_text()
        asked = set(re.findall(r"(?:chute|process)_[a-z_]+", " ".join(t["expr"] for p in json.loads(dashboard)["panels"] for t in p["targets"])))
        self.assertEqual(asked - set(kinds), set())
        self.assertGreater(len(asked), 12)

    def pause_and_resume(self, engine, name):
        def state():
            return next(p["state"] for p in engine.status()["pipelines"] if p["name"] == name)

        for order, becomes, sign in (("pause", "paused", "‖"), ("resume", "streaming", "▶")):
            done = subprocess.run(["curl", "-sSf", "-X", "POST", f"http://127.0.0.1:{self.port}/pipelines/{name}/{order}"],
                                  capture_output=True, text=True, timeout=10)
            self.assertEqual(done.returncode, 0, done.stderr)
            wait_until(lambda: state() == becomes, 20, lambda: f"{becomes} after {order}; it is {state()}")
            self.assertIn(sign, self.chromium("--dump-dom"))


if __name__ == "__main__":
    harness.main()
