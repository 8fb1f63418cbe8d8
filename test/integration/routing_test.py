"""Which records go where: conditions, by which several pipelines share a topic, and a pipeline over a pattern of topics."""

import json
import time

import harness
from harness import wait_until

TIME_LIMIT_SECONDS = 420
AT_ONCE = 2
LONGEST = ["test_new_topics_are_found_while_it_runs_from_their_first_record"]


class Where(harness.Scenario):
    records = 30_000
    # Of the statuses that a record may have, and records without one, nobody takes some.
    parts = {
        "early": ({"field": "status", "in": ["new", "paid"]}, ("--where", "status=new,paid")),
        "late": ([{"field": "status", "equal": "shipped"}, {"field": "id", "present": True}], ("--where", "status=shipped")),
        "marked": ({"header": "origin", "equal": "kit"}, ("--where-header", "origin=kit")),
    }

    def pipelines(self, topic, tables, **more):
        return {f"{self.name}_{part}": {"topics": [topic], "table": tables[part].split(".")[1], "where": where,
                                        "batch": {"rows": 400, "wait": "30ms"}, **more}
                for part, (where, _) in self.parts.items()}

    def exact_part(self, topic, table, part):
        done = self.kit("compare", topic, "--table", table, "--dead-letters", self.dead_letters, "--pipeline",
                        f"{self.name}_{part}", "--json", *self.parts[part][1], check=False)
        figures = json.loads(done.stdout or "{}")
        self.assertTrue(figures.get("exact"), f"{part}: {figures or done.stderr}")
        self.assertEqual(figures["unverified"], 0, part)
        self.assertGreater(figures["rows"], 100, part)
        self.assertGreater(figures["left_out"], 100, part)
        self.assertEqual(figures["produced"] + figures["left_out"], self.records, part)
        return figures

    def test_pipelines_share_a_topic_and_each_takes_its_part_through_kills(self):
        topic, kills = self.topic(4), 6
        tables = {part: self.table(suffix=f"_{part}") for part in self.parts}
        producer = self.produce_on(topic, self.records / (2.0 * kills), "--keys", "--broken-every", 499)
        first = next(iter(tables.values()))
        top = {"pipelines": self.pipelines(topic, tables)}
        landed, hits = 0, 0
        for round_ in range(kills):
            engine = self.engine(topic, first, name=f"chute{round_}", top=top)
            before = self.found(first)
            wait_until(lambda: self.found(first) > before or not engine.alive(), 30, f"{engine.name} lands records")
            time.sleep(self.random.uniform(0, 0.6))
            self.assertTrue(engine.alive(), f"{engine.name} ended by itself; see {engine.log}")
            engine.kill()
            now = self.found(first)
            hits, landed = hits + (now > landed), now
        self.assertGreaterEqual(hits, kills // 2, "kills while records were landing")
        self.records = self.end_of(producer, topic, self.records)
        code = self.engine(topic, first, "--until-end", name="last", top=top).wait(120)
        self.assertEqual(code, 0, "the rest is no loss")
        figures = {part: self.exact_part(topic, table, part) for part, table in tables.items()}
        self.assertGreater(figures["early"]["dead_letters"], 10, "what nobody can read is everybody's")

    def test_what_is_left_out_is_counted_and_one_that_takes_nothing_is_drained(self):
        topic, table = self.topic(2), self.table()
        self.produce(topic, 3_000)
        engine = self.engine(topic, table, where={"field": "status", "equal": "no such status"})
        pipeline = lambda: ((engine.status() or {}).get("pipelines") or [{}])[0]
        wait_until(lambda: pipeline().get("dropped") == 3_000, 60, lambda: f"3,000 are dropped: {pipeline()}")
        wait_until(lambda: all(p["lag"] == 0 for lane in pipeline()["lanes"] for p in lane["partitions"]), 30, "no lag is left")
        self.assertEqual(engine.stop(), 0)
        self.assertEqual(self.found(table), 0)
        # Another start finds nothing in the table, and goes on: nothing is missing.
        self.run_until_end(topic, table, name="again", where={"field": "status", "equal": "no such status"})
        self.assertEqual(self.found(table), 0)


class Patterns(harness.Scenario):
    """One pipeline over a pattern of topics, each into the table of its name."""

    def setUp(self):
        super().setUp()
        self.pattern = f"^{self.name}_[a-z]$"
        self.form = {"kafka": {"topic.metadata.refresh.interval.ms": 500}, "start": "latest"}

    def make(self, letter, records, table=True):
        """A topic with so many records, and mostly its table."""
        topic = self.topic(2, suffix=f"_{letter}")
        self.produce(topic, records)
        return topic, self.table(suffix=f"_{letter}") if table else f"{self.database}.{topic}"

    def run_pattern(self, *options, name="chute", **more):
        return self.engine(self.pattern, f"{self.database}.{{topic}}", *options, name=name, **{**self.form, **more})

    def waits_for(self, engine, topic):
        code, state, reason = engine.ready()
        return code == 503 and state == "waiting" and topic in reason

    def lanes(self, engine):
        pipelines = (engine.status() or {}).get("pipelines") or [{"lanes": []}]
        return [(l["topic"], l["lane"]) for l in pipelines[0]["lanes"]]

    def count(self, table):
        try:
            return self.server.number(f"SELECT count() FROM {table}")
        except harness.ServerError:
            return 0

    def each_once(self, table, records):
        """So many rows, and as many offsets, from each partition's first on."""
        found = self.server.ask(f"SELECT sum(n), sum(offsets), sum(last + 1) FROM (SELECT count() AS n, uniqExact(_offset) AS offsets, "
                                f"max(_offset) AS last FROM {table} GROUP BY _partition)")
        self.assertEqual(found, f"{records}\t{records}\t{records}", "rows, offsets, ends")

    def exact_one(self, topic, table, records, *options):
        self.assertEqual(self.exact(topic, table, *options)["rows"], records)

    def test_a_topic_that_waits_costs_those_that_come_later_nothing(self):
        """Whose table is missing from the start on: `start: latest` is about what was there then."""
        waits, _ = self.make("x", 10, table=False)
        a, table_a = self.make("a", 100)
        engine = self.run_pattern()
        wait_until(lambda: self.waits_for(engine, waits) and self.lanes(engine), 60, lambda: f"x waits: {engine.ready()}")
        b, table_b = self.make("b", 300)
        wait_until(lambda: self.count(table_b) == 300, 60, lambda: f"b came later: {self.count(table_b)}; {engine.reasons()}")
        engine.stop()
        self.each_once(table_b, 300)
        self.assertEqual(self.count(table_a), 0)

    def test_inserts_that_hang_keep_no_other_topic_waiting(self):
        """More than are sent at once, into one topic's table."""
        proxy = harness.Proxy(self, self.server.url)
        slow, quick = self.topic(16, suffix="_a"), self.topic(2, suffix="_b")
        table_slow, table_quick = self.table(suffix="_a"), self.table(suffix="_b")
        engine = self.run_pattern(url=proxy.url, start="earliest", batch={"wait": "50ms"})
        self.produce(slow, 3_200)
        self.produce(quick, 100)
        wait_until(lambda: (self.count(table_slow), self.count(table_quick)) == (3_200, 100), 60, lambda: f"both land: {engine.reasons()}")
        proxy.fault("delay", match=f"INSERT INTO*{table_slow.split('.')[1]}*", ms=30_000)
        self.produce(slow, 3_200, "--first", 3_200)
        wait_until(lambda: proxy.counts().get("delay", 0) >= 8, 20, lambda: f"inserts hang: {proxy.counts()}", every=0.05)
        for first in range(100, 300, 50):
            self.produce(quick, 50, "--first", first)
            wait_until(lambda: self.count(table_quick) == first + 50, 20, lambda: f"{quick} lands: {engine.reasons()}", every=0.05)
        self.assertEqual(self.count(table_slow), 3_200, "they hang still")
        engine.says("has not answered an insert")
        proxy.clear()
        wait_until(lambda: self.count(table_slow) == 6_400, 90, lambda: f"{slow} lands: {engine.reasons()}")
        self.assertEqual(engine.stop(), 0)
        self.exact_one(slow, table_slow, 6_400)
        self.exact_one(quick, table_quick, 300)

    def test_where_no_topic_matched_at_first_all_are_new(self):
        engine = self.run_pattern()
        engine.says("no topic matches")
        a, table_a = self.make("a", 200)
        wait_until(lambda: self.count(table_a) == 200, 60, lambda: f"a came later: {self.count(table_a)}; {engine.reasons()}")
        engine.stop()
        self.each_once(table_a, 200)

    def test_topics_that_the_settings_leave_out_are_nobodys(self):
        """`topic.blacklist` is for the group, and so for whoever waits for the ends of all topics."""
        (_, table_a), (b, _), (_, table_c) = self.make("a", 100), self.make("b", 50, table=False), self.make("c", 70)
        kafka = {**self.form["kafka"], "topic.blacklist": f"^{self.name}_x$,{b}"}
        self.assertEqual(self.run_pattern("--until-end", kafka=kafka, start="earliest").wait(90), 0)
        self.assertEqual((self.count(table_a), self.count(table_c)), (100, 70))

    def test_new_topics_are_found_while_it_runs_from_their_first_record(self):
        old, a, table_a = 400, *self.make("a", 400)
        engine = self.run_pattern()
        wait_until(lambda: engine.state() == "streaming" and engine.status()["pipelines"][0]["lanes"], 60, "it streams")
        wait_until(lambda: all(l["phase"] == "streaming" for l in engine.status()["pipelines"][0]["lanes"]), 60, "all lanes stream")
        # A topic whose table is missing waits, and holds nobody up.
        b, table_b = self.make("b", 300, table=False)
        engine.says(f"{self.name}_b", limit=60)
        times = lambda: engine.status()["pipelines"][0]["rebalances"]
        before = times()
        never, _ = self.make("d", 10, table=False)  # nor does one that goes on waiting when another can begin
        wait_until(lambda: times() > before, 60, "the group divides it, too")
        wait_until(lambda: self.waits_for(engine, b), 30, lambda: f"it is not ready: {engine.ready()}")
        self.produce(a, 300, "--first", 1_000)
        wait_until(lambda: self.count(table_a) == 300, 60, lambda: f"a goes on: {self.count(table_a)}; {engine.reasons()}")
        self.assertEqual(engine.ready()[0], 503, "while one topic waits, also after it was tried again")
        self.assertEqual(self.table(suffix="_b"), table_b)
        wait_until(lambda: self.count(table_b) == 300, 90, lambda: f"b came later: {self.count(table_b)}; {engine.reasons()}")
        wait_until(lambda: self.waits_for(engine, never), 30, lambda: f"the other waits still: {engine.ready()}")
        self.table(suffix="_d")
        wait_until(lambda: engine.ready()[0] == 200, 90, lambda: f"it is ready again: {engine.ready()}")
        engine.kill()
        # One that comes while nobody is there.
        c, table_c = self.make("c", 250)
        self.produce(b, 200, "--first", 1_000)
        again = self.run_pattern(name="again")
        wait_until(lambda: self.count(table_c) == 250 and self.count(table_b) == 500, 90,
                   lambda: f"c and the rest of b: {self.count(table_c)}, {self.count(table_b)}; {again.reasons()}")
        # One that goes.
        self.kit("topic", "delete", c)
        self.produce(a, 100, "--first", 2_000)
        wait_until(lambda: self.count(table_a) == 400, 90, lambda: f"a after c went: {self.count(table_a)}; {again.reasons()}")
        self.assertEqual(again.stop(), 0)
        self.exact_one(a, table_a, 400, "--from", old // 2)
        self.exact_one(b, table_b, 500)
        self.each_once(table_c, 250)  # its topic is no more, to be compared with

    def test_a_table_by_the_name_of_a_topic_with_dots(self):
        topic = self.topic(1, suffix=".eu")
        self.produce(topic, 50)
        table = f"{self.database}.`{topic}`"
        self.server.ask(f"CREATE TABLE {table} ({harness.ORDERS_COLUMNS}{harness.PROVENANCE}) ENGINE = MergeTree ORDER BY _offset "
                        "SETTINGS non_replicated_deduplication_window = 1000")
        self.addCleanup(self.drop, table)
        self.run_until_end(topic, f"{self.database}.{{topic}}")
        self.each_once(table, 50)

    def test_topics_that_come_while_two_processes_run_and_are_killed(self):
        """The group divides the new topics' partitions between both, each time anew, while the others' records land."""
        settings = {"start": "earliest", "batch": {"rows": 50, "wait": "20ms"}}
        made, step = [self.make("a", 400)], 200
        engines = [self.run_pattern(name=f"first{n}", **settings) for n in range(2)]
        produced = {made[0][0]: 400}

        def landed(records):
            wait_until(lambda: all(self.count(t) >= records[name] for name, t in made), 90,
                       lambda: f"{[(name, self.count(t), records[name]) for name, t in made]}; {[e.reasons() for e in engines]}")

        landed(produced)
        for round_, letter in enumerate("bcde"):
            topic, table = self.make(letter, 400, table=round_ != 1)
            made.append((topic, table))
            produced[topic] = 400
            for name, _ in made[:-1]:  # the older ones go on meanwhile
                self.produce(name, step, "--first", 1_000 * (round_ + 1))
                produced[name] += step
            if round_ == 1:  # its table comes later than it
                wait_until(lambda: any(self.waits_for(e, topic) for e in engines), 60,
                           lambda: f"one says that {topic} waits: {[e.ready() for e in engines]}")
                self.assertEqual(self.table(suffix=f"_{letter}"), table)
            if round_ % 2:
                victim = round_ // 2
                wait_until(lambda: self.count(table) > 0, 90, lambda: f"{topic} begins: {[e.reasons() for e in engines]}")
                engines[victim].kill()
                engines[victim] = self.run_pattern(name=f"again{round_}", **settings)
            landed(produced)
        wait_until(lambda: all(self.lanes(e) for e in engines), 60, lambda: f"both have lanes: {[self.lanes(e) for e in engines]}")
        for e in engines:
            self.assertEqual(e.stop(), 0)
        for topic, table in made:
            self.exact_one(topic, table, produced[topic])

    def test_kills_while_topics_come(self):
        made, letters = [], "abcd"
        made.append(self.make(letters[0], 500))
        form = {**self.form, "start": "earliest"}
        for i, letter in enumerate(letters[1:]):
            engine = self.run_pattern(name=f"chute{i}", batch={"rows": 100, "wait": "20ms"}, **{"start": "earliest"})
            wait_until(lambda: self.count(made[-1][1]) > 0 or not engine.alive(), 60, "records of the newest topic land")
            made.append(self.make(letter, 500))
            time.sleep(self.random.uniform(0, 2.0))
            self.assertTrue(engine.alive(), f"{engine.name} ended by itself; see {engine.log}")
            engine.kill()
        self.assertEqual(self.run_pattern("--until-end", name="last", **{"start": form["start"]}).wait(120), 0)
        for topic, table in made:
            self.exact_one(topic, table, 500)


if __name__ == "__main__":
    harness.main()
