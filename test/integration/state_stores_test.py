"""The handles to Kafka, and the state stores, against a real broker: runs the programs of test/stores/.

Each suite is one test here; the program says itself which case failed.
"""

import os
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("CHUTE_BUILD") or ROOT / "build/release")
SUITE_SECONDS = 240


class StateStores(unittest.TestCase):
    def suite(self, program: str, name: str):
        if not os.environ.get("CHUTE_KAFKA"):
            self.fail("CHUTE_KAFKA is not set: start a broker (dev/services start kafka) and set it to its address")
        command = [BUILD / "test/stores" / program, f"--test-suite={name}", "--duration=true"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SUITE_SECONDS)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, said)
        self.assertNotIn("test cases: 0 ", " ".join(said.split()), "no such suite")

    def test_group_membership(self):
        self.suite("kafka_suite", "group")

    def test_fetching(self):
        self.suite("kafka_suite", "fetch")

    def test_questions(self):
        self.suite("kafka_suite", "inspect")

    def test_stores(self):
        self.suite("stores_suite", "stores")


if __name__ == "__main__":
    unittest.main()
