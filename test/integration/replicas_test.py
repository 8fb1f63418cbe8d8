"""Several URLs in clickhouse.url are replicas of one table; servers with different tables of one name are refused."""

import harness

BESIDE = True


class SeveralServers(harness.Scenario):
    def other_name(self):
        return self.server.url.replace("127.0.0.1", "localhost")

    def test_two_ways_to_one_table(self):
        topic, table = self.topic(4), self.table()
        self.produce(topic, 5_000, "--broken-every", 97)
        self.run_until_end(topic, table, url=[self.server.url, self.other_name()])
        self.exact(topic, table, records=5_000)

    def test_a_server_that_does_not_answer_holds_nobody_up(self):
        dead = f"http://127.0.0.1:{harness.free_port()}"
        # Whichever worker comes first: with one partition a pool of two, whose workers begin with one server each.
        for number, (partitions, urls) in enumerate(((4, [dead, self.server.url]), (4, [self.server.url, dead]),
                                                     (1, [dead, self.server.url]), (1, [self.server.url, dead]))):
            with self.subTest(partitions=partitions, urls=urls):
                topic, table = self.topic(partitions, f"_{number}"), self.table(suffix=f"_{number}")
                self.produce(topic, 5_000)
                self.run_until_end(topic, table, name=f"run{number}", url=urls)
                self.exact(topic, table, records=5_000)

    def test_different_tables_of_one_name_are_refused(self):
        topic, table = self.topic(4), self.table()
        first = self.server
        self.produce(topic, 1_000)
        kafka = self.kafka
        self.private_services("clickhouse")
        second, self.kafka = self.server, kafka
        second.ask(f"CREATE DATABASE IF NOT EXISTS {table.split('.')[0]}")
        statement = first.ask(f"SELECT create_table_query FROM system.tables WHERE concat(database, '.', name) = '{table}' FORMAT TSVRaw")
        second.ask(statement)
        self.server = first
        engine = self.engine(topic, table, "--until-end", url=[first.url, second.url])
        self.assertEqual(engine.wait(60), 1)
        self.assertIn("not a replica of it", harness.tail(engine.log))
        self.assertEqual(first.number(f"SELECT count() FROM {table}") + second.number(f"SELECT count() FROM {table}"), 0)


if __name__ == "__main__":
    harness.main()
