"""What only a person can mend: the pipeline waits, says why, goes on by itself once it is mended, and skips nothing."""

import os
import subprocess
import urllib.request

import harness
from harness import BUILD, ROOT, ClickHouse, Process, Proxy, ServerError, free_port, wait_until

AT_ONCE = 3
BESIDE = True

# Whoever has no entry may do all.
ACLS = ("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer;"
        "allow.everyone.if.no.acl.found=true")


class Waits(harness.Scenario):
    def begin(self, topic, table, **topology):
        """An engine that has landed its first records."""
        self.produce(topic, 1_000)
        engine = self.engine(topic, table, **topology)
        self.arrived(table, 1_000, 60, engine)
        return engine

    def says(self, engine, *words):
        """As Engine.says, in what the engine says apart from the names of topic, table and pipeline: they are the test's own, and so are
        its words."""
        def named():
            text = engine.reasons().replace(self.name, "…").lower()
            return text if all(w.lower() in text for w in words) else None

        return wait_until(named, 30, lambda: f"{engine.name} says {words}; it says: {engine.reasons()!r}", every=0.1)

    def mended(self, engine, topic, table, records, *options):
        self.arrived(table, records, 90, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, *options, records=records)

    def test_missing_table_at_the_start(self):
        topic = self.topic(2)
        self.produce(topic, 1_000)
        table = f"{self.database}.{self.name}"
        engine = self.engine(topic, table)
        self.says(engine, "does not exist")
        self.assertTrue(engine.alive())
        self.table()
        self.mended(engine, topic, table, 1_000)

    def test_a_server_that_hangs_at_the_start(self):
        proxy = Proxy(self, self.server.url)
        topic, table = self.topic(2), self.table()
        self.produce(topic, 1_000)
        proxy.fault("delay", ms=9_000)
        engine = self.engine(topic, table, url=proxy.url)
        self.says(engine, "to begin", "does not answer for more than 5 s")
        self.assertEqual(engine.state(), "waiting")
        proxy.clear()
        self.mended(engine, topic, table, 1_000)

    def test_missing_table_on_the_way(self):
        topic, table = self.topic(2), self.table()
        engine = self.begin(topic, table)
        self.server.ask(f"RENAME TABLE {table} TO {table}_away")
        self.addCleanup(self.drop, f"{table}_away")
        self.produce(topic, 1_000, "--first", 1_000)
        self.says(engine, "does not exist")
        self.server.ask(f"RENAME TABLE {table}_away TO {table}")
        self.mended(engine, topic, table, 2_000)

    def serve(self, port, password):
        """A ClickHouse of our own with this password; the helpers speak to it from now on."""
        binary = os.environ.get("CHUTE_CLICKHOUSE_BIN") or BUILD / "dev" / "chute-clickhouse"
        process = Process(self, "clickhouse", [binary, "--listen", f"127.0.0.1:{port}", "--path", self.dir / "data",
                                               "--password", password])
        self.server = ClickHouse(f"http://127.0.0.1:{port}", password=password)
        wait_until(self.server.alive, 60, "ClickHouse answers")
        return process

    def test_wrong_password(self):
        port = free_port()
        server = self.serve(port, "right")
        topic, table = self.topic(2), self.table()
        engine = self.begin(topic, table)
        server.stop()
        server = self.serve(port, "changed")
        self.produce(topic, 1_000, "--first", 1_000)
        self.says(engine, "code: 516.")
        self.assertEqual(self.found(table), 1_000)
        server.stop()
        self.serve(port, "right")
        self.mended(engine, topic, table, 2_000)

    def exact(self, topic, table, *options, **expected):
        return super().exact(topic, table, "--password", self.server.password, *options, **expected)

    def test_dropped_column(self):
        topic, table = self.topic(2), self.table()
        engine = self.begin(topic, table)
        self.server.ask(f"ALTER TABLE {table} DROP COLUMN note")
        self.produce(topic, 1_000, "--first", 1_000)
        # Its field is one without a column now: rows go on without it, or the engine says what it waits for.
        wait_until(lambda: self.found(table) == 2_000 or "note" in engine.reasons().replace(self.name, "…"), 60,
                   lambda: f"the engine goes on or names the column: {engine.reasons()!r}")
        self.server.ask(f"ALTER TABLE {table} ADD COLUMN note Nullable(String)")
        self.produce(topic, 1_000, "--first", 2_000)
        self.mended(engine, topic, table, 3_000, "--ignore", "note")

    def test_read_only(self):
        proxy = Proxy(self, self.server.url)
        topic, table = self.topic(2), self.table()
        engine = self.begin(topic, table, url=proxy.url)
        proxy.fault("error_in_200", match="INSERT", code=164)
        self.produce(topic, 1_000, "--first", 1_000)
        self.says(engine, "code: 164.")
        self.assertEqual(self.found(table), 1_000)
        proxy.clear()
        self.mended(engine, topic, table, 2_000)

    def test_too_many_parts(self):
        topic = self.topic(2)
        table = self.table(settings="parts_to_delay_insert = 1000")
        engine = self.begin(topic, table)
        self.server.ask(f"SYSTEM STOP MERGES {table}")
        self.server.ask(f"ALTER TABLE {table} MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1")
        self.produce(topic, 1_000, "--first", 1_000)
        self.says(engine, "code: 252.")
        self.assertEqual(self.found(table), 1_000)
        self.server.ask(f"ALTER TABLE {table} MODIFY SETTING parts_to_throw_insert = 3000, parts_to_delay_insert = 1000")
        self.server.ask(f"SYSTEM START MERGES {table}")
        self.mended(engine, topic, table, 2_000)

    def test_server_away(self):
        services = self.private_services("clickhouse")
        topic, table = self.topic(2), self.table()
        engine = self.begin(topic, table)
        services.call("stop", "clickhouse")
        self.assertRaises(ServerError, self.server.ask, "SELECT 1")
        self.produce(topic, 1_000, "--first", 1_000)
        self.says(engine, "no connection")
        services.call("start", "clickhouse")
        self.mended(engine, topic, table, 2_000)

    def acls(self, topic, *arguments):
        """Kafka's own tool, as a person would use it."""
        jars = subprocess.run([ROOT / "dev/install-deps", "--where", "kafka"], capture_output=True, text=True, check=True)
        subprocess.run(["java", "-Xmx128m", "-cp", f"{jars.stdout.strip()}/*", "org.apache.kafka.tools.AclCommand",
                        "--bootstrap-server", self.kafka, "--topic", topic, "--force", *arguments],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)

    def test_the_right_to_read_is_withdrawn(self):
        self.private_services("kafka", env={"CHUTE_KAFKA_PROPERTIES": ACLS})
        topic, table = self.topic(2), self.table()
        engine = self.begin(topic, table)
        self.acls(topic, "--add", "--allow-principal", "User:ANONYMOUS", "--operation", "All")
        denied = ("--deny-principal", "User:ANONYMOUS", "--operation", "Read")
        self.acls(topic, "--add", *denied)
        self.produce(topic, 1_000, "--first", 1_000)
        self.says(engine, "authorization failed")
        self.assertEqual(self.found(table), 1_000)
        self.acls(topic, "--remove", *denied)
        self.mended(engine, topic, table, 2_000)

    def test_the_lag_grows_while_nothing_is_read(self):
        topic, table = self.topic(1), self.table()
        engine = self.engine(topic, table, top={"memory": "32MiB"})
        wait_until(lambda: engine.state() == "streaming", 30, "it streams")
        request = urllib.request.Request(f"http://127.0.0.1:{engine.admin}/pipelines/{self.name}/pause", method="POST")
        urllib.request.urlopen(request, timeout=5).close()
        self.produce(topic, 200_000, "--run", 1_000)
        lane = lambda: engine.status()["pipelines"][0]["lanes"][0]

        def full():
            before, self.held = self.held, lane()["buffered_bytes"]
            return self.held == before > 0

        self.held = 0
        wait_until(full, 60, "it reads no more", every=1)
        self.assertLess(self.held, 40_000_000)
        self.produce(topic, 5_000, "--first", 200_000)
        wait_until(lambda: lane()["partitions"][0]["end"] == 205_000, 30, lambda: f"the log's end is known: {lane()}")

    def test_what_an_open_transaction_holds_back_lags(self):
        topic, table = self.topic(1), self.table()
        self.produce(topic, 500)
        engine = self.engine(topic, table)
        self.arrived(table, 500, 60, engine)
        producer = self.produce_slowly(topic, 300, 10, "--first", 500, "--transactions")  # in one, for half a minute
        lag = lambda: engine.status()["pipelines"][0]["lag"]
        wait_until(lambda: lag() > 20, 60, lambda: f"it lags: {lag()}")
        self.assertEqual(self.found(table), 500)
        self.assertEqual(producer.wait(90), 0)
        self.arrived(table, 800, 60, engine)
        wait_until(lambda: lag() == 0, 30, lambda: f"nothing is left: {lag()}")
        self.mended(engine, topic, table, 800)

    def flip(self, segment, at):
        with open(segment, "r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 0x10]))

    def test_a_batch_that_a_disk_damaged(self):
        services = self.private_services("kafka")
        topic, table = self.topic(1), self.table()
        self.produce(topic, 500, "--run", 100)
        [segment] = (services.dir / "kafka-1" / f"{topic}-0").glob("*.log")
        good = segment.stat().st_size
        self.produce(topic, 500, "--first", 500)
        self.flip(segment, good + 200)  # behind a batch's header of 61 bytes, in its records
        engine = self.engine(topic, table)
        self.says(engine, "crc")
        self.arrived(table, 500, 60, engine)
        self.assertEqual(self.found(table), 500)
        self.flip(segment, good + 200)
        self.mended(engine, topic, table, 1_000)
        # The last record that is done, by which the log is known: it is damaged, and not another one. It is delivered,
        # so nothing waits for it.
        last = segment.stat().st_size - 20
        self.flip(segment, last)
        self.produce(topic, 500, "--first", 1_000)
        engine = self.engine(topic, table, name="second")
        self.arrived(table, 1_500, 60, engine)
        self.assertTrue(engine.alive())
        self.flip(segment, last)
        self.mended(engine, topic, table, 1_500)


if __name__ == "__main__":
    harness.main()
