"""Every format into every type, and blocks of every type that records can fill, read back from the real engine: runs the programs of
test/native/ at the same time."""

import os
import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("CHUTE_BUILD") or ROOT / "build/release")
SECONDS = 480
AT_ONCE = 2
BESIDE = True


class FormatMatrix(unittest.TestCase):
    def test_every_format_into_every_type(self):
        url = os.environ.get("CHUTE_CLICKHOUSE")
        if not url:
            self.fail("CHUTE_CLICKHOUSE is not set: start the engine (dev/services start clickhouse) and set it to its URL")
        program = BUILD / "test/native/chute-format-matrix"
        done = subprocess.run([program, url, ROOT / "docs/formats.md"], capture_output=True, text=True, errors="replace", timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        cells = re.search(r"^(\d+) cells of (\d+) types, 0 failed$", done.stdout, re.M)
        self.assertIsNotNone(cells, done.stdout)
        self.assertGreater(int(cells[1]), 30_000, "some cells were not run")


class NativeRoundtrip(unittest.TestCase):
    def test_every_type_comes_back_as_it_was(self):
        url = os.environ.get("CHUTE_CLICKHOUSE")
        if not url:
            self.fail("CHUTE_CLICKHOUSE is not set: start the engine (dev/services start clickhouse) and set it to its URL")
        program = BUILD / "test/native/chute-native-roundtrip"
        done = subprocess.run([program, url, ROOT / "docs/json.md"], capture_output=True, text=True, errors="replace", timeout=240)
        failed = [line for line in done.stdout.splitlines() if not line.startswith("PASS ")]
        self.assertEqual(done.returncode, 0, "\n".join(failed) + done.stderr)
        self.assertGreater(done.stdout.count("PASS "), 600, "some cases were not run")


if __name__ == "__main__":
    unittest.main()
