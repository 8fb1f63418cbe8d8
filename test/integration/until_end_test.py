"""`chute run --until-end`: everything that the topics hold lands exactly once, and a second run adds nothing."""

import harness
from harness import LONG, wait_until

TIME_LIMIT_SECONDS = 1200


class UntilEnd(harness.Scenario):
    def run_over(self, partitions, records, *produced, **topology):
        topic, table = self.topic(partitions), self.table()
        self.produce(topic, records, *produced)
        topology.setdefault("batch", {"rows": 100_000, "wait": "500ms"})
        self.run_until_end(topic, table, limit=300 if LONG else 120, **topology)
        figures = self.exact(topic, table, records=records)
        self.run_until_end(topic, table, name="again", **topology)
        self.assertEqual(self.exact(topic, table), figures)
        return figures

    def test_12_partitions(self):
        figures = self.run_over(12, 2_000_000 if LONG else 300_000, "--broken-every", 997)
        self.assertGreater(figures["dead_letters"], 250)

    def test_100_partitions_in_25_lanes(self):
        self.run_over(100, 2_000_000 if LONG else 300_000, lanes=25)

    def test_transactions_keys_and_headers(self):
        self.run_over(3, 30_000, "--transactions", "--keys", "--broken-every", 97)

    def test_empty_topic_and_empty_partitions(self):
        topic, table = self.topic(5), self.table()
        self.run_until_end(topic, table)
        self.exact(topic, table, records=0)
        self.produce(topic, 3)
        self.run_until_end(topic, table, name="then")
        self.exact(topic, table, records=3)

    def test_a_store_that_forgets_begins_anew(self):
        topic, table = self.topic(2), self.table()
        self.produce(topic, 1_000)
        for run in range(2):  # the second delivers all of it once more
            self.run_until_end(topic, table, name=f"run{run}", store="memory", delivery="at_least_once")
            self.assertEqual(self.server.number(f"SELECT uniqExact(_partition, _offset) FROM {table}"), 1_000)
            self.assertEqual(self.found(table), (run + 1) * 1_000)

    def test_goes_on_where_it_ended(self):
        topic, table = self.topic(4), self.table()
        for part in range(4):
            self.produce(topic, 2_000, "--first", part * 2_000, "--broken-every", 97)
            self.run_until_end(topic, table, name=f"run{part}")
            self.exact(topic, table, records=(part + 1) * 2_000)

    def test_drains_the_lanes_of_members_that_died_while_they_joined(self):
        """The group may give such a member partitions until it misses it: they are not done before somebody did them."""
        topic, table = self.topic(12), self.table()
        self.produce(topic, 50_000)
        batch = {"rows": 500, "wait": "30ms"}
        first = self.engine(topic, table, name="first", batch=batch)
        wait_until(lambda: self.found(table) > 0, 30, "the first records land", every=0.01)
        first.kill()
        second = self.engine(topic, table, name="second", batch=batch)
        wait_until(lambda: self.members() > 1, 30, "the second asks to join while the first one is still counted")
        second.kill()
        self.run_until_end(topic, table, name="heir", batch=batch)
        self.exact(topic, table, records=50_000)

    def members(self):
        return int(self.kit("group", f"chute-{self.name}").stdout.split()[1])


if __name__ == "__main__":
    harness.main()
