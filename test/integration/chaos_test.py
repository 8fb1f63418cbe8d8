"""A short chaos run (dev/chaos): engines killed at named points and at random, zombies, lost replies, brokers and ClickHouse killed, a full
disk, topics made anew and records deleted before they were delivered. Then topic and table are compared per offset."""

import pathlib
import sys

import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))

import runner  # noqa: E402  (found by the line above)

TIME_LIMIT_SECONDS = 900


class Chaos(harness.Scenario):
    seconds = 600 if harness.LONG else 45

    def test_all_faults_and_stores(self):
        run = runner.Run(self.dir / "run", seed=self.seed, seconds=self.seconds, stores=list(runner.STORES), faults=list(runner.FAULTS),
                         processes=4)
        good = run.go()
        self.assertTrue(good, f"see above; seed {self.seed}, logs in {run.stage.dir}")
        # A run in which nothing happened proves nothing.
        counts = run.stage.counts
        for name, least in (("kill -9", 3), ("SIGSTOP past", 1), ("inserts applied, their replies lost", 5), ("ClickHouse", 1),
                            ("brokers", 1)):
            self.assertGreaterEqual(sum(n for what, n in counts.items() if what.startswith(name)), least, name)
        self.assertGreater(run.totals["produced"], 0)


if __name__ == "__main__":
    harness.main()
