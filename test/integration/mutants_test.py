"""The tests bite: every bug that can be planted is found (dev/mutants --short; make mutants is the whole of it).

On a fresh machine this builds the programs that hold the planted bugs, which takes most of its time.
"""

import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TIME_LIMIT_SECONDS = 600


class Mutants(unittest.TestCase):
    def test_every_planted_bug_is_found(self):
        done = subprocess.run([ROOT / "dev/mutants", "--short"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=TIME_LIMIT_SECONDS - 30)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, said)
        self.assertIn("no bug planted: nothing is reported", said)
        self.assertRegex(said, r"(\d+) planted bugs: \1 found by the unit tests")


if __name__ == "__main__":
    unittest.main()
