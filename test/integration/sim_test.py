"""A short run of the simulator: the same seeds again and again, and some that no run had before."""

import os
import subprocess
import time
import unittest
from pathlib import Path

SIMULATOR = Path(os.environ["CHUTE_BUILD"]) / "test/sim/chute-sim"
TIME_LIMIT_SECONDS = 600


class Simulator(unittest.TestCase):
    def run_it(self, *arguments):
        done = subprocess.run([SIMULATOR, *map(str, arguments)], capture_output=True, text=True, timeout=300)
        print(done.stdout[-6000:], flush=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_a_seed_gives_one_trace(self):
        self.assertIn("each run twice: the same", self.run_it("--twice", 200, "--quiet"))

    def test_schedules_from_the_first_seed_on(self):
        """The same seeds each time, so that they come by every fault and every rule each time."""
        self.run_it("--schedules", 150_000, "--covered")

    def test_every_schedule_of_a_small_scope(self):
        self.assertIn("all there are", self.run_it("--exhaustive", 1, "--quiet"))
        self.assertIn("all there are", self.run_it("--exhaustive", 2, "--quiet"))  # some 390,000

    def test_what_is_not_reached_is_told(self):
        done = subprocess.run([SIMULATOR, "--schedules", "20000", "--without", "recreate", "--covered", "--quiet"], capture_output=True, text=True,
                              timeout=100)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("NOT REACHED: fault: recreate", done.stdout)

    def test_seeds_that_failed_once(self):
        """What each of them found is told in docs/proof.md."""
        for seed in (111040, 120116, 235022, 55241036, 301248336, 2026819766, 7001327412, 7001657189, 7005890700, 8103253443, 9003373544, 9004153856, 9200408979, 973508004488):
            self.run_it("--seed", seed, "--schedules", 1, "--quiet")

    def test_schedules_that_nobody_ran_before(self):
        seed = time.time_ns() % 10**12
        print(f"seed {seed}")
        self.run_it("--seed", seed, "--seconds", 3, "--quiet")
