"""The tests bite: every bug that can be planted is found (dev/mutants --short; make mutants is the whole of it).

test/run has built the programs that hold the planted bugs before; by hand, that is done here first.
"""

import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TIME_LIMIT_SECONDS = 1200
BUGS_AT_LEAST = 140  # so many there are; a list that shrinks is no list of all


class Mutants(unittest.TestCase):
    def test_every_planted_bug_is_found(self):
        done = subprocess.run([ROOT / "dev/mutants", "--short"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=TIME_LIMIT_SECONDS - 30)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, said)
        self.assertIn("no bug planted: nothing is reported", said)
        counts = re.search(r"(\d+) planted bugs: (\d+) found by the unit tests, (\d+) by the simulator", said)
        self.assertTrue(counts, said)
        bugs, by_units, by_sim = map(int, counts.groups())
        self.assertGreaterEqual(bugs, BUGS_AT_LEAST)
        self.assertEqual(by_units, bugs)
        handful = re.search(r"^HANDFUL = \[(.*)\]", (ROOT / "dev/mutants").read_text(), re.M)[1].split(",")
        self.assertEqual(by_sim, len(handful))

    def test_an_unknown_name_is_told(self):
        done = subprocess.run([ROOT / "dev/mutants", "no_such_bug"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=TIME_LIMIT_SECONDS - 30)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("there is no planted bug no_such_bug", done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
