"""The binary as scripts meet it: commands, exit codes, what goes to which stream, signals, and the admin face."""

import http.client
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import harness
from harness import CHUTE, wait_until

BESIDE = True

NOBODY = "127.0.0.1:1"  # an address where nothing listens
FINE = """
kafka: {brokers: "127.0.0.1:1"}
clickhouse: {url: "http://127.0.0.1:1"}
pipelines:
  orders: {topics: [orders], table: orders}
  clicks: {topics: [clicks], table: clicks}
"""


def chute(*arguments, limit=30, env=None):
    done = subprocess.run([str(CHUTE), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=limit, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr


def term_oneself():
    """Between fork and exec: a signal that waits for the program."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    os.kill(os.getpid(), signal.SIGTERM)


class WithoutParts(unittest.TestCase):
    """What needs neither Kafka nor ClickHouse."""

    def setUp(self):
        if not CHUTE.exists():
            self.fail(f"{CHUTE} is not there: run `make build` first")
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.dir = pathlib.Path(place.name)

    def file(self, text):
        path = self.dir / "t.yaml"
        path.write_text(text)
        return path

    def test_version(self):
        code, out, err = chute("version")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"^chute \d+\.\d+\.\d+\n$")

    def read_by(self, *command):
        """A process that waits for a topology to be written, and a call that writes it."""
        fifo = self.dir / "fifo.yaml"
        os.mkfifo(fifo)
        child = subprocess.Popen([CHUTE, *command, fifo], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True)
        self.addCleanup(lambda: (child.kill(), child.wait(), child.stdout.close()))

        def opened():
            try:
                return os.fdopen(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK), "w")
            except OSError:  # nobody reads yet
                return None

        return child, wait_until(opened, 20, "the file is being read", every=0.002)

    def test_sigterm_before_the_engine_is_up(self):
        child, pipe = self.read_by("run")
        for number in (signal.SIGTERM, signal.SIGINT):  # the second one, so that nobody is waited for who cannot be reached
            child.send_signal(number)
        with pipe:
            pipe.write(FINE)
        said, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 1, said)
        self.assertRegex(said, r"(?s)draining.*a second signal")

    def test_sigterm_ends_the_other_commands(self):
        child, pipe = self.read_by("validate")
        with pipe:
            child.send_signal(signal.SIGTERM)
            self.assertEqual(child.wait(20), -signal.SIGTERM)

    def test_signals_are_held_from_the_beginning(self):
        """One that was sent before the program began is not lost either, and ends what does not drain."""
        for command, code in ((["run", self.file("{}")], 78), (["version"], -signal.SIGTERM)):
            child = subprocess.Popen([CHUTE, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     preexec_fn=term_oneself)
            self.assertEqual(child.wait(20), code, command)

    def test_help_everywhere(self):
        for command in ([], ["run"], ["validate"], ["check"], ["state"], ["state", "show"], ["version"]):
            with self.subTest(command):
                code, out, err = chute(*command, "--help")
                self.assertEqual((code, err), (0, ""))
                self.assertIn("Usage: chute" + "".join(f" {c}" for c in command), out)

    def test_a_wrong_command_line_is_64(self):
        file = self.file(FINE)
        for arguments in ([], ["runn", file], ["run"], ["run", file, "--until-en"], ["validate"], ["state"],
                          ["run", file, "--log-level", "loud"], ["run", file, "--log-format", "xml"],
                          ["run", file, file]):
            with self.subTest(arguments):
                code, out, err = chute(*arguments)
                self.assertEqual((code, out), (64, ""))
                self.assertNotEqual(err, "")

    def test_validate(self):
        file = self.file(FINE)
        self.assertEqual(chute("validate", file), (0, f"{file}: fine, 2 pipelines\n", ""))

    def test_what_the_documents_and_examples_show_is_fine(self):
        found = [(str(path), path.read_text()) for path in sorted((harness.ROOT / "examples").rglob("*.yaml"))]
        for path in [harness.ROOT / "README.md", *sorted((harness.ROOT / "docs").glob("*.md"))]:
            blocks = re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
            found += [(str(path), block) for block in blocks if re.search(r"^pipelines:", block, re.MULTILINE)]
        self.assertGreaterEqual(len(found), 3)
        for path, text in found:
            with self.subTest(path):
                self.assertEqual(chute("validate", self.file(text))[::2], (0, ""))

    def test_a_bad_file_is_78_in_every_command(self):
        file = self.file(FINE.replace("table: orders", "tabel: orders"))
        expected = (f"{file}:5: pipelines.orders: 'table' is missing\n"
                    f"{file}:5: pipelines.orders.tabel: unknown key; did you mean 'table'?\n")
        for command in (["validate"], ["check"], ["state", "show"]):
            with self.subTest(command):
                self.assertEqual(chute(*command, file), (78, "", expected))
        code, out, err = chute("run", file)
        self.assertEqual((code, out), (78, ""))
        for line in expected.splitlines():
            self.assertIn(f" error {line}\n", err)

    def test_a_missing_file_is_78(self):
        missing = self.dir / "nothing.yaml"
        self.assertEqual(chute("validate", missing),
                         (78, "", f"{missing}: cannot be read: No such file or directory\n"))
        self.assertEqual(chute("validate", self.dir), (78, "", f"{self.dir}: cannot be read: Is a directory\n"))

    def test_variables_and_password_files(self):
        (self.dir / "password").write_text("hidden\n")
        file = self.file(FINE.replace("127.0.0.1:1\"}\nclick", "${BROKERS}\"}\nclick")
                         .replace("http://127.0.0.1:1\"", f"http://127.0.0.1:1\", password_file: {self.dir}/password"))
        self.assertEqual(chute("validate", file, env={"BROKERS": NOBODY})[0], 0)
        code, _, err = chute("validate", file)
        self.assertEqual(code, 78)
        self.assertIn("the variable BROKERS is not set", err)
        (self.dir / "password").unlink()
        code, _, err = chute("validate", file, env={"BROKERS": NOBODY})
        self.assertEqual(code, 78)
        self.assertIn(f"password_file: {self.dir}/password cannot be read: No such file or directory", err)

    def test_an_unknown_pipeline_is_named(self):
        file = self.file(FINE)
        code, _, err = chute("run", "--pipeline", "ordres", file)
        self.assertEqual(code, 64)
        self.assertIn(f"{file} has no pipeline 'ordres'; did you mean 'orders'?", err)

    def test_json_logs_are_json(self):
        file = self.file("a: 1")
        code, _, err = chute("run", file, "--log-format", "json")
        self.assertEqual(code, 78)
        lines = [json.loads(line) for line in err.splitlines()]
        self.assertGreater(len(lines), 1)
        for line in lines:
            self.assertEqual(line["level"], "error")
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_an_admin_port_that_is_taken_is_an_error(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            code, _, err = chute("run", self.file(FINE + f"admin: {{listen: 127.0.0.1:{port}}}\n"))
        self.assertEqual(code, 1)
        self.assertIn(f"cannot listen on 127.0.0.1:{port}", err)

    def run_engine(self, *options, text=FINE, stderr=subprocess.PIPE):
        child = subprocess.Popen([str(CHUTE), "run", str(self.file(text)), *options], stdin=subprocess.DEVNULL,
                                 stderr=stderr, text=True)
        self.addCleanup(lambda: (child.kill(), child.wait()))
        if stderr == subprocess.PIPE:
            self.addCleanup(child.stderr.close)
        return child

    def line_with(self, child, words, limit_s=40):
        late = threading.Timer(limit_s, child.kill)  # ends the reading below
        late.start()
        seen = []
        try:
            for line in child.stderr:
                seen.append(line)
                if words in line:
                    return line
        finally:
            late.cancel()
        self.fail(f"no line with {words!r} within {limit_s} s; its lines were:\n{''.join(seen)}")

    def test_it_starts_and_drains_while_nothing_can_be_reached(self):
        child = self.run_engine(text=FINE + "admin: {listen: 127.0.0.1:0}\n")
        port = int(self.line_with(child, "admin: http://127.0.0.1:").rsplit(":", 1)[1])
        self.line_with(child, "runs pipelines orders, clicks")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()
        connection.request("GET", "/ready")
        self.assertEqual(connection.getresponse().status, 503)
        connection.close()
        child.send_signal(signal.SIGTERM)
        self.line_with(child, "draining for up to 30 s")
        child.communicate(timeout=40)
        self.assertIn(child.returncode, (0, 1))

    def test_a_second_signal_stops_at_once(self):
        child = self.run_engine()
        self.line_with(child, "runs pipelines")
        child.send_signal(signal.SIGSTOP)  # so that it surely sees the first signal before the second
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGCONT)
        child.communicate(timeout=10)
        self.assertIn(child.returncode, (0, 1))

    def test_a_hangup_does_not_end_it(self):
        child = self.run_engine()
        self.line_with(child, "runs pipelines")
        child.send_signal(signal.SIGHUP)
        self.line_with(child, "nothing changed")
        self.assertIsNone(child.poll())

    def test_a_hangup_while_it_reloads_is_done_afterwards(self):
        child = self.run_engine()
        self.line_with(child, "runs pipelines")
        self.file(FINE.replace("table: orders", "table: others"))
        child.send_signal(signal.SIGHUP)  # waits for a question to Kafka
        self.line_with(child, "SIGHUP: reading")
        self.line_with(child, "pipeline orders: drains, because the file has it otherwise now")
        self.file(FINE)
        child.send_signal(signal.SIGHUP)
        self.line_with(child, "is read again after that")
        for words in ("started anew: orders", "SIGHUP: reading", "pipeline orders: drains", "started anew: orders"):
            self.line_with(child, words)

    def test_the_bar_is_drawn_on_a_terminal_only(self):
        control, terminal = pty.openpty()
        self.addCleanup(os.close, control)
        child = subprocess.Popen([str(CHUTE), "run", str(self.file(FINE)), "--until-end"], stdin=subprocess.DEVNULL,
                                 stderr=terminal, env={**os.environ, "TERM": "xterm"})
        os.close(terminal)
        self.addCleanup(lambda: (child.kill(), child.wait()))
        seen = b""
        while b"lag not known" not in seen or b"\r\x1b[K" not in seen:
            self.assertTrue(select.select([control], [], [], 30)[0], f"nothing more within 30 s; seen: {seen}")
            piece = os.read(control, 4096)
            self.assertNotEqual(piece, b"")
            seen += piece
        self.assertNotIn(b"0% ", seen)  # nobody knows yet how much there is to do


class WithParts(harness.Scenario):
    """What asks Kafka, ClickHouse and the store."""

    def get(self, engine, path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", engine.admin, timeout=5)
        try:
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def test_run_until_end_then_show(self):
        topic, table = self.topic(4), self.table()
        self.produce(topic, 5_000)
        file, _ = self.topology(topic, table, lanes=2)
        done = chute("run", file, "--until-end", "--log-format", "json", limit=90)
        self.assertEqual(done[0], 0, done[2])
        lines = [json.loads(line) for line in done[2].splitlines()]
        self.assertTrue(any("drained after 5,000 records, 5,000 rows" in line["message"] for line in lines), lines)
        self.exact(topic, table, records=5_000)
        code, out, err = chute("state", "show", file, "--json")
        self.assertEqual((code, err), (0, ""))
        lanes = json.loads(out)
        self.assertEqual([lane["lane"] for lane in lanes], [0, 1])
        self.assertTrue(all(lane["found"] and lane["lag"] == 0 and lane["plan"] is None for lane in lanes), out)
        self.assertEqual(sum(p["next"] for lane in lanes for p in lane["partitions"]), 5_000)
        code, out, err = chute("state", "show", file)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(len(out.splitlines()), 5)
        self.assertTrue(out.startswith("PIPELINE "), out)

    def test_check(self):
        topic, table = self.topic(1), self.table()
        file, _ = self.topology(topic, table)
        code, out, err = chute("check", file, limit=60)
        self.assertEqual((code, err), (0, ""), out)
        bare = f"{table}_bare"
        self.server.ask(f"CREATE TABLE {bare} (id UInt64, text String) ENGINE = MergeTree ORDER BY id")
        self.addCleanup(self.drop, bare)
        file, _ = self.topology(topic, bare)
        code, out, err = chute("check", file, limit=60)
        self.assertEqual((code, err), (1, ""), out)
        self.assertIn("ALTER TABLE", out)
        code, out, _ = chute("check", "--json", file, limit=60)
        self.assertEqual(code, 1)
        self.assertTrue(any(f["level"] == "error" and "ALTER TABLE" in f["mend"] for f in json.loads(out)), out)

    def test_check_where_nothing_answers(self):
        file, _ = self.topology("nothing", "chute.nothing", url=f"http://{NOBODY}")
        document = json.loads(file.read_text())
        document["kafka"]["brokers"] = NOBODY
        file.write_text(json.dumps(document))
        code, out, _ = chute("check", file, limit=90)
        self.assertEqual(code, 1)
        self.assertIn("clickhouse", out)
        self.assertIn("kafka", out)

    def test_admin_and_draining(self):
        topic, table = self.topic(2), self.table()
        engine = self.engine(topic, table)
        wait_until(lambda: engine.state() == "streaming", 60, lambda: f"it streams; it says: {engine.status()}")
        self.assertEqual(self.get(engine, "/ready")[0], 200)
        status, metrics = self.get(engine, "/metrics")
        self.assertEqual(status, 200)
        self.assertIn(f'chute_pipeline_state{{pipeline="{self.name}",state="streaming"}} 1\n', metrics)
        self.assertEqual(self.get(engine, f"/pipelines/{self.name}/pause", "POST")[0], 200)
        wait_until(lambda: engine.state() == "paused", 30, "it is paused")
        self.assertEqual(self.get(engine, "/ready")[0], 503)
        self.produce(topic, 500)
        self.assertEqual(self.get(engine, f"/pipelines/{self.name}/resume", "POST")[0], 200)
        self.arrived(table, 500, 60, engine)
        self.assertEqual(self.get(engine, "/pipelines/other/pause", "POST")[0], 404)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=500)
        self.assertIn("drained after 500 records", harness.tail(engine.log))

    def test_a_pipeline_that_stops_is_1(self):
        topic, table = self.topic(1), self.table()
        self.produce(topic, 100, "--broken-every", 10)
        file, _ = self.topology(topic, table, on_bad_record="stop")
        code, _, err = chute("run", file, "--until-end", limit=90)
        self.assertEqual(code, 1, err)
        self.assertIn(f"pipeline {self.name}: stopped after ", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
