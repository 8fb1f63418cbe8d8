"""The handles to Kafka, and the state stores, against the real parts: runs the programs of test/stores/.

Each suite is one test here; the program says itself which case failed.
"""

import os
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("CHUTE_BUILD") or ROOT / "build/release")
SUITE_SECONDS = 240
AT_ONCE = 3


class StateStores(unittest.TestCase):
    def suite(self, program: str, name: str, **env: str):
        for part in ("CHUTE_KAFKA", "CHUTE_CLICKHOUSE", "CHUTE_REDIS"):
            if not os.environ.get(part):
                self.fail(f"{part} is not set: start the real parts (dev/services start) and set it to its address")
        command = [BUILD / "test/stores" / program, f"--test-suite={name}", "--duration=true"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SUITE_SECONDS,
                              env={**os.environ, **env})
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, said)
        self.assertNotIn("test cases: 0 ", " ".join(said.split()), "no such suite")

    def test_group_membership(self):
        self.suite("kafka_suite", "group")

    def test_fetching(self):
        self.suite("kafka_suite", "fetch")

    def test_questions(self):
        self.suite("kafka_suite", "inspect")

    def test_the_keeper(self):
        self.suite("keeper_suite", "keeper")

    def test_stores(self):
        self.suite("stores_suite", "stores")

    def test_servers_that_are_restarted_and_set_back(self):
        """Parts of the suite's own, which it kills."""
        run = Path(os.environ.get("CHUTE_RUN_DIR") or ROOT / ".run") / "stores-restarted"
        command = [ROOT / "dev/services", "--run", run, "--free-ports"]
        plain = {k: v for k, v in os.environ.items() if k not in ("CHUTE_CLICKHOUSE", "CHUTE_ZOOKEEPER", "CHUTE_REDIS")}

        def services(*arguments):
            done = subprocess.run([*command, *arguments], env=plain, capture_output=True, text=True, timeout=180)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            return done.stdout

        self.addCleanup(services, "stop")
        services("--fresh", "start", "zookeeper", "clickhouse", "redis")
        addresses = dict(line.split("=", 1) for line in services("env").splitlines())
        self.suite("stores_suite", "restarts", **addresses, CHUTE_TEST_SERVICES=f"{command[0]} --run '{run}' --free-ports",
                   CHUTE_TEST_SERVICES_DIR=str(run))


if __name__ == "__main__":
    unittest.main()
