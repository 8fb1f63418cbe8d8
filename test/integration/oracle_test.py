"""The oracle itself: it calls a good load exact, and finds every kind of planted defect.

The loader here is a stand-in that knows nothing of the engine: ClickHouse's own JSON reader makes the rows.
"""

import base64
import concurrent.futures
import json

import harness
from harness import ClickHouse, Proxy, wait_until

BESIDE = True

DEAD_LETTER_COLUMNS = """
    failed_at DateTime64(3) DEFAULT now64(3), pipeline String, topic String, partition Int32, offset Int64,
    timestamp Nullable(DateTime64(3)), key Nullable(String), value Nullable(String),
    headers Array(Tuple(name String, value Nullable(String))), error String"""


def sql_bytes(text_base64):
    return "NULL" if text_base64 is None else f"base64Decode('{text_base64}')"


class Oracle(harness.Scenario):
    records, partitions = 4000, 3

    def load(self):
        """A topic with keys, headers, aborted transactions and broken records, and a table that holds it exactly."""
        self.topic_name = self.topic(self.partitions)
        self.produce(self.topic_name, self.records, "--keys", "--transactions", "--broken-every", 97)
        self.good = self.table(suffix="_good")
        self.good_dead = f"{self.database}.{self.name}_dead"
        self.server.ask(f"CREATE TABLE {self.good_dead} ({DEAD_LETTER_COLUMNS}) ENGINE = MergeTree ORDER BY offset")
        self.addCleanup(self.drop, self.good_dead)
        rows, dead = [], []
        for line in self.kit("read", self.topic_name).stdout.splitlines():
            record = json.loads(line)
            if any(name == "kit-broken" for name, _ in record["headers_base64"]):
                dead.append(record)
            else:
                where = f',"_topic":"{self.topic_name}","_partition":{record["partition"]},"_offset":{record["offset"]}}}'
                rows.append(base64.b64decode(record["value_base64"]).decode()[:-1] + where)
        self.server.ask(f"INSERT INTO {self.good} SETTINGS date_time_input_format = 'best_effort' FORMAT JSONEachRow\n" +
                        "\n".join(rows))
        for chunk in (dead[i:i + 20] for i in range(0, len(dead), 20)):
            self.server.ask(f"INSERT INTO {self.good_dead} (pipeline, topic, partition, offset, timestamp, key, value, "
                            "headers, error) VALUES " + ", ".join(map(self.dead_row, chunk)))
        self.dead_count = len(dead)

    def dead_row(self, r):
        headers = ", ".join(f"('{n}', {sql_bytes(v)})" for n, v in r["headers_base64"])
        return (f"('p', '{self.topic_name}', {r['partition']}, {r['offset']}, fromUnixTimestamp64Milli({r['timestamp']}),"
                f" {sql_bytes(r['key_base64'])}, {sql_bytes(r['value_base64'])}, [{headers}], 'broken')")

    def compare(self, table, dead, *options):
        done = self.kit("compare", self.topic_name, "--table", table, "--dead-letters", dead, "--pipeline", "p", "--json",
                        *options, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        figures = json.loads(done.stdout)
        self.assertEqual(figures["exact"], done.returncode == 0)
        return figures

    def test_finds_every_planted_defect(self):
        self.load()
        figures = self.compare(self.good, self.good_dead)
        self.assertTrue(figures["exact"], figures)
        self.assertEqual((figures["produced"], figures["rows"], figures["dead_letters"], figures["unverified"]),
                         (self.records, self.records - self.dead_count, self.dead_count, 0))
        end = json.loads(self.kit("read", self.topic_name).stdout.splitlines()[-1])["offset"]
        one = "(_partition, _offset) IN (SELECT _partition, _offset FROM {t} ORDER BY cityHash64(_partition, _offset) LIMIT 1)"
        dead_one = "(partition, offset) IN (SELECT partition, offset FROM {d} WHERE length(headers) > 1 AND value != '' LIMIT 1)"
        gap = self.gap()
        row = "INSERT INTO {t} (id, _topic, _partition, _offset) VALUES (1, '" + self.topic_name + "', "
        change = "ALTER TABLE {t} UPDATE %s WHERE " + one + " SETTINGS mutations_sync = 2"
        dead_change = "ALTER TABLE {d} UPDATE %s WHERE " + dead_one + " SETTINGS mutations_sync = 2"
        defects = {  # what is planted: (SQL, the figures that must not be 0)
            "a doubled row": ("INSERT INTO {t} SELECT * FROM {t} WHERE " + one, {"doubled": 1}),
            "a row three times": ("INSERT INTO {t} SELECT * EXCEPT n FROM {t} ARRAY JOIN [1, 2] AS n WHERE " + one, {"doubled": 2}),
            "a missing row": ("ALTER TABLE {t} DELETE WHERE " + one + " SETTINGS mutations_sync = 2", {"missing": 1}),
            "a changed byte": (change % "product = concat(substring(product, 1, length(product) - 1), '~')", {"different": 1}),
            "a number off by one": (change % "quantity = quantity + 1", {"different": 1}),
            "the least bit of a float": (change % "price = reinterpretAsFloat64(bitXor(reinterpretAsUInt64(price), 1))", {"different": 1}),
            "a null that became a text": (change % "note = if(note IS NULL, '', NULL)", {"different": 1}),
            "an array with one more": (change % "tags = arrayPushBack(tags, '')", {"different": 1}),
            "a map with another value": (change % "attributes = mapUpdate(attributes, map('channel', 'x'))", {"different": 1}),
            "a time off by a millisecond": (change % "ordered_at = addMilliseconds(ordered_at, 1)", {"different": 1}),
            "a row beyond the end": (row + f"0, {end + 100000})", {"foreign": 1}),
            "a row of a control record's or aborted offset": (row + f"{gap[0]}, {gap[1]})", {"foreign": 1}),
            "a row before the begin": (row + "1, -1)", {"foreign": 1}),
            "a row of a partition that is not": (row + f"{self.partitions}, 0)", {"foreign": 1}),
            "a row of another topic": ("INSERT INTO {t} (id, _topic) VALUES (1, 'elsewhere')", {"foreign": 1}),
            "a row where a dead letter belongs": ("INSERT INTO {t} (id, _topic, _partition, _offset) SELECT 1, topic, partition,"
                                                  " offset FROM {d} LIMIT 1", {"doubled": 1, "different": 1}),
            "a dead letter doubled": ("INSERT INTO {d} SELECT * FROM {d} WHERE " + dead_one, {"doubled": 1}),
            "a dead letter missing": ("ALTER TABLE {d} DELETE WHERE " + dead_one + " SETTINGS mutations_sync = 2", {"missing": 1}),
            "a dead letter's value": (dead_change % "value = concat(value, ' ')", {"different": 1}),
            "a dead letter's key": (dead_change % "key = NULL", {"different": 1}),
            "a dead letter's header": (dead_change % "headers = arrayPopBack(headers)", {"different": 1}),
            "a dead letter's timestamp": (dead_change % "timestamp = addMilliseconds(timestamp, 1)", {"different": 1}),
            "a dead letter without a reason": (dead_change % "error = ''", {"different": 1}),
            "a dead letter of a sound record": ("INSERT INTO {d} (pipeline, topic, partition, offset, error) SELECT 'p', _topic,"
                                                " _partition, _offset, 'e' FROM {t} LIMIT 1", {"doubled": 1, "different": 1}),
            "a dead letter beyond the end": ("INSERT INTO {d} (pipeline, topic, partition, offset, error) VALUES ('p', '" +
                                             self.topic_name + f"', 0, {end + 100000}, 'e')", {"foreign": 1}),
        }
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            compared = [pool.submit(self.with_defect, number, sql) for number, (sql, _) in enumerate(defects.values())]
        self.assertEqual(len(compared), 25)
        for (what, (_, expected)), done in zip(defects.items(), compared):
            with self.subTest(what):
                figures = done.result()
                found = {k: figures[k] for k in ("doubled", "missing", "different", "foreign") if figures[k]}
                self.assertEqual(found, expected, f"{what}: {figures}")
                self.assertTrue(figures["examples"] or "topic" in what)

    def with_defect(self, number, sql):
        """What the oracle says of copies in which it is planted."""
        table, dead = self.copy(self.good, f"t{number}", "_offset"), self.copy(self.good_dead, f"d{number}", "offset")
        self.server.ask(sql.format(t=table, d=dead))
        figures = self.compare(table, dead)
        self.drop(table)
        self.drop(dead)
        return figures

    def gap(self):
        """A partition and offset within the log at which there is no committed record."""
        seen = set()
        for line in self.kit("read", self.topic_name).stdout.splitlines():
            record = json.loads(line)
            seen.add((record["partition"], record["offset"]))
        ends = [list(map(int, line.split())) for line in self.kit("topic", "end", self.topic_name).stdout.splitlines()]
        return next((p, o) for p, begin, end in ends for o in range(begin, end) if (p, o) not in seen)

    def copy(self, table, suffix, order):
        name = f"{self.database}.{self.name}_copy_{suffix}"
        self.server.ask(f"CREATE TABLE {name} AS {table} ENGINE = MergeTree ORDER BY {order}")
        self.addCleanup(self.drop, name)
        self.server.ask(f"INSERT INTO {name} SELECT * FROM {table}")
        return name

    def test_ranges_and_raw_values(self):
        self.topic_name = self.topic(2)
        lines = [json.dumps({"partition": i % 2, "value": f"value {i}\n\x00{'é' * (i % 5)}"}) for i in range(100)]
        self.kit("produce", self.topic_name, "--stdin", text="\n".join(lines))
        table = self.table(columns="raw String")
        values = ", ".join(f"('{json.loads(l)['value']}', '{self.topic_name}', {i % 2}, {i // 2})"
                           for i, l in enumerate(lines)).replace("\x00", "\\0").replace("\n", "\\n")
        self.server.ask(f"INSERT INTO {table} VALUES {values}")
        dead = f"{self.database}.{self.name}_dead"
        self.server.ask(f"CREATE TABLE {dead} ({DEAD_LETTER_COLUMNS}) ENGINE = MergeTree ORDER BY offset")
        self.addCleanup(self.drop, dead)
        self.assertTrue(self.compare(table, dead, "--raw", "raw")["exact"])
        self.server.ask(f"ALTER TABLE {table} DELETE WHERE _offset >= 40 SETTINGS mutations_sync = 2")
        self.assertEqual(self.compare(table, dead, "--raw", "raw")["missing"], 20)
        self.assertTrue(self.compare(table, dead, "--raw", "raw", "--to", "40")["exact"])
        self.assertEqual(self.compare(table, dead, "--raw", "raw", "--from", "0:40", "--from", "1:41")["missing"], 19)

    def test_cannot_compare_is_not_exact(self):
        topic = self.topic(1)
        for options in (["--table", "chute.no_such_table"], ["--table", "system.one"]):
            done = self.kit("compare", topic, *options, check=False)
            self.assertEqual(done.returncode, 2, done)
            self.assertRegex(done.stderr, "chute-kit: ")


class FaultProxy(harness.Scenario):
    """Each kind of fault does what it says, seen from both sides."""

    def test_each_fault(self):
        proxy = Proxy(self, self.server.url)
        through = ClickHouse(proxy.url)
        table = f"{self.database}.{self.name}"
        self.server.ask(f"CREATE TABLE {table} (x UInt64) ENGINE = MergeTree ORDER BY x")
        self.addCleanup(self.drop, table)
        insert = f"INSERT INTO {table} VALUES (1)"
        self.assertEqual(through.ask("SELECT 1"), "1")
        applied = 0
        for kind, options, answered, rows in (
                ("drop_reply", {}, False, 1), ("cut_reply", {"bytes": 10}, False, 1), ("hide_reply", {}, False, 1),
                ("throttle", {"bytes": 40}, True, 1), ("refuse", {}, False, 0),
                ("status_503", {}, False, 0), ("error_in_200", {"code": 252}, True, 0), ("duplicate", {}, True, 2),
                ("delay", {"ms": 30}, True, 1), ("delay_reply", {"ms": 30}, True, 1), ("cut_request", {}, False, 0)):
            with self.subTest(kind):
                proxy.fault(kind, match="*INSERT*each_fault*VALUES", count=1, **options)
                self.assertEqual(through.ask("SELECT 2"), "2")  # does not match
                try:
                    text = through.ask(insert)
                    self.assertTrue(answered, "an answer came through")
                    self.assertEqual("DB::Exception" in text, kind == "error_in_200", text)
                except harness.ServerError as e:
                    self.assertFalse(answered, e)
                applied += rows
                wait_until(lambda: self.server.number(f"SELECT count() FROM {table}") == applied, 5,
                           lambda: f"{applied} rows after {kind}; " + self.server.ask(f"SELECT count() FROM {table}"))
                self.assertEqual(proxy.counts()[kind], 1)
        through.ask(insert)
        self.assertEqual(self.server.number(f"SELECT count() FROM {table}"), applied + 1)
        proxy.fault("drop_reply", match="SELECT 3", count=1)
        self.assertRaises(harness.ServerError, through.ask, "SELECT 3")
        self.assertEqual(proxy.counts()["drop_reply"], 2)
        self.assertEqual(proxy.counts()["lost_replies"], 3)  # inserts dropped, cut and hidden; a question is none

    def test_probability_and_count(self):
        proxy = Proxy(self, self.server.url, plan="refuse:match=SELECT,probability=0.5,count=10")
        through = ClickHouse(proxy.url)
        for _ in range(60):
            try:
                through.ask("SELECT 1")
            except harness.ServerError:
                pass
        counts = proxy.counts()
        self.assertEqual(counts["refuse"], 10)
        self.assertEqual(counts["requests"], 60)


if __name__ == "__main__":
    harness.main()
