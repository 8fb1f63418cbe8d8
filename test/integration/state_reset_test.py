"""What stops a pipeline, and what mends it: `chute state reset` and `chute state settle`, as the stop names them, with
nobody running and through the engine that runs. Then topic and table are compared per offset."""

import shlex
import time

import harness
import state_parts
from harness import Proxy, wait_until

AT_ONCE = 4
BESIDE = True


class Stops(state_parts.Scenario):
    """Each stop names the command that settles it."""

    def test_another_table_under_the_same_name(self):
        engine = self.begin()
        self.assertEqual(engine.stop(), 0)
        self.server.ask(f"DROP TABLE {self.table_} SYNC")
        self.table()
        self.produce(self.topic_, 500, "--first", 1_000)
        engine = self.start("second")
        said = self.stops(engine, "the record belongs to another table")
        engine.kill()
        self.assertEqual(self.found(self.table_), 0)
        self.obey(said, "--to-earliest")
        self.mended(1_500)

    def test_another_table_while_it_runs(self):
        """It waits, and says so; the command goes through the engine that runs."""
        engine = self.begin()
        self.server.ask(f"DROP TABLE {self.table_} SYNC")
        self.produce(self.topic_, 500, "--first", 1_000)
        engine.says("does not exist")
        self.table()
        text = engine.says("was made anew")
        self.obey(text, "--to-current")
        self.arrived(self.table_, 500, 60, engine)
        self.obey(text, "--to-earliest")
        self.arrived(self.table_, 2_000, 60, engine)
        self.assertEqual(engine.stop(), 0)
        rows = self.server.ask(f"SELECT count(), uniqExact(_partition, _offset) FROM {self.table_}")
        self.assertEqual(rows, "2000\t1500", "500 went on behind the old table's, then all was sent again")

    def made_anew(self, words, times):
        engine = self.begin()
        self.assertEqual(engine.stop(), 0)
        self.kit("topic", "delete", self.topic_)
        wait_until(lambda: self.kit("topic", "create", self.topic_, "--partitions", 2, check=False).returncode == 0, 30,
                   "the topic is made anew", every=0.5)
        self.produce(self.topic_, 3_000, "--first", 100_000)
        for round_ in range(times):
            engine = self.start(f"second{round_}")
            said = self.stops(engine, words)
            engine.kill()
            if self.state["store"] == "file" and round_ == 0:  # its record knows the log before: the table's rows are of that one
                refused = self.chute("state", "reset", engine.topology, "--to-table", code=1)
                self.assertIn("the topic was made anew, or cut short", refused)
            self.obey(said, "--to-earliest")
        engine = self.start("last")
        self.arrived(self.table_, 4_000, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(self.topic_, self.only("id >= 100000"), records=3_000)
        self.assertEqual(self.server.number(f"SELECT count() FROM {self.table_} WHERE id < 100000"), 1_000)

    def test_a_topic_made_anew(self):
        """A partition each is told of, and moved."""
        self.with_file()
        self.made_anew("is not the one that was done: the topic was made anew", 2)

    def test_a_topic_made_anew_takes_the_offsets_along(self):
        """Kafka deletes them with the topic."""
        self.made_anew("or, if the topic was deleted and made anew", 1)

    def test_retention_overtook(self):
        engine = self.begin(partitions=1)
        self.assertEqual(engine.stop(), 0)
        self.produce(self.topic_, 1_000, "--first", 1_000)
        self.kit("topic", "delete-records", self.topic_, "--before", "0:1300")
        engine = self.start("second")
        said = self.stops(engine, "300 offsets were deleted before they were delivered")
        engine.kill()
        self.obey(said, "--to-earliest")
        engine = self.start("last")
        self.arrived(self.table_, 1_700, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(self.topic_, self.only("_offset >= 1300"), records=700)
        self.assertEqual(self.server.ask(f"SELECT count(), uniqExact(_offset), max(_offset) FROM {self.table_} WHERE _offset < "
                                         "1300"), "1000\t1000\t999")

    def test_rows_beyond_the_position(self):
        """Another writer has put a part of the topic into the table."""
        engine = self.begin(partitions=1)
        self.assertEqual(engine.stop(), 0)
        self.produce(self.topic_, 1_000, "--first", 1_000)
        other = self.table(suffix="_other")
        file, _ = self.topology(self.topic_, other, name="other", group=f"other-{self.name}")
        self.assertEqual(harness.Engine(self, file, "--until-end", name="other").wait(60), 0)
        self.server.ask(f"INSERT INTO {self.table_} SELECT * FROM {other} WHERE _offset >= 1500 AND _offset % 2 = 0")
        engine = self.start("second")
        said = self.stops(engine, f"the table holds 250 rows (and the dead letters 0) of {self.topic_}/0 from offset")
        engine.kill()
        self.obey(said, "--to-table")
        self.mended(2_000)

    def skipped(self, limit, **more):
        """Does what the engine says until it does not stop any more: the records that it was told to go on behind."""
        told = set()
        while True:
            engine = self.start(f"bad{len(told)}", "--until-end", on_bad_record="stop", **more)
            if engine.wait(60) == 0:
                return told
            said = self.stops(engine, "on_bad_record: stop)")
            command = shlex.split(self.named(said, "--to-offset"))
            partition, behind = (int(command[command.index(o) + 1]) for o in ("--partition", "--to-offset"))
            self.assertIn(f"record {self.topic_}/{partition}/{behind - 1}: ", said)
            self.assertNotIn((partition, behind - 1), told)
            told.add((partition, behind - 1))
            self.assertLessEqual(len(told), limit)
            self.obey(said, "--to-offset")

    def test_a_bad_record(self):
        """It is passed over, and nothing else."""
        self.topic_, self.table_ = self.topic(2), self.table()
        self.produce(self.topic_, 1_000, "--broken-every", 400)
        self.server.ask(f"ALTER TABLE {self.table_} ADD CONSTRAINT odd CHECK id != 700")
        told = self.skipped(3)
        done = self.kit("compare", self.topic_, "--table", self.table_, "--dead-letters", self.dead_letters, "--pipeline", self.name,
                        "--json", check=False)
        figures = harness.json.loads(done.stdout)
        expected = {"produced": 1_000, "rows": 997, "dead_letters": 0, "doubled": 0, "missing": 3, "different": 0, "foreign": 0}
        self.assertEqual({k: figures[k] for k in expected}, expected, figures["examples"])
        places = " OR ".join(f"(_partition = {p} AND _offset = {o})" for p, o in told)
        self.assertEqual(self.server.number(f"SELECT count() FROM {self.table_} WHERE {places}"), 0)

    def test_a_bad_record_is_kept(self):
        """The setting that the stop names."""
        self.topic_, self.table_ = self.topic(1), self.table()
        self.produce(self.topic_, 1_000, "--broken-every", 400)
        engine = self.start("stopped", on_bad_record="stop")
        self.stops(engine, "set on_bad_record: dead_letter and start again")
        self.assertEqual(engine.wait(60), 1)
        self.mended(1_000, on_bad_record="dead_letter")


class Moved(state_parts.Scenario):
    """A deliberate replay lands, every time."""

    def adopt_twice(self):
        engine = self.begin()
        self.assertEqual(engine.stop(), 0)
        for times in (2, 3):
            self.store_group.reset("--to-earliest")
            engine = self.start(f"moved{times}")
            said = self.stops(engine, "offsets were moved by another tool")
            self.assertEqual(engine.wait(60), 1, "both lanes stopped")
            self.assertIn("which are sent again", self.obey(said, "--adopt"))
            engine = self.start(f"again{times}")
            self.arrived(self.table_, 1_000 * times, 60, engine)
            self.assertEqual(engine.stop(), 0)
            self.landed_times(1_000, times)
        self.produce(self.topic_, 500, "--first", 1_000)
        self.run_until_end_of(1_500)

    def run_until_end_of(self, records):
        engine = self.start("last", "--until-end")
        self.assertEqual(engine.wait(60), 0)
        shown = self.server.ask(f"SELECT uniqExact(_partition, _offset), count() FROM {self.table_}")
        self.assertEqual(shown, f"{records}\t{records + 2_000}")

    def test_a_foreign_reset_is_adopted_twice(self):
        self.store_group = self.store
        self.adopt_twice()

    def test_a_foreign_reset_beside_another_store(self):
        self.store_group = state_parts.Group(self)
        self.with_keeper_map()
        self.adopt_twice()

    def test_a_foreign_reset_beside_redis(self):
        self.store_group = state_parts.Group(self)
        self.with_redis()
        self.adopt_twice()

    def one_beside_the_seat(self):
        """The lane's other partition alone is moved, and is adopted alone."""
        group = state_parts.Group(self)
        engine = self.begin(lanes=1)
        self.assertEqual(engine.stop(), 0)
        group.reset("--to-earliest", partition=1)
        engine = self.start("moved", lanes=1)
        said = self.stops(engine, f"offsets were moved by another tool: offset 0 of {self.topic_}/1")
        self.assertEqual(engine.wait(60), 1)
        self.assertEqual(self.found(self.table_), 1_000)
        moved = f"moved by another tool: offset 0 of {self.topic_}/1\n"
        self.assertIn(moved, self.chute("state", "show", engine.topology))
        other = self.chute("state", "reset", engine.topology, "--adopt", "--partition", 0, code=1)
        self.assertIn("was moved by another tool, of those that were named", other)
        self.assertIn(moved, self.chute("state", "show", engine.topology))
        self.assertEqual(self.obey(said, "--adopt").count("sent again"), 1)
        self.assertNotIn(moved, self.chute("state", "show", engine.topology))
        of_one = self.server.number(f"SELECT count() FROM {self.table_} WHERE _partition = 1")
        engine = self.start("last", lanes=1)
        self.arrived(self.table_, 1_000 + of_one, 60, engine)
        self.assertEqual(engine.stop(), 0)
        counts = self.server.ask(f"SELECT _partition, count() / uniqExact(_offset) FROM {self.table_} GROUP BY 1 ORDER BY 1")
        self.assertEqual(counts, "0\t1\n1\t2")

    def test_a_partition_beside_the_seat(self):
        self.one_beside_the_seat()

    def test_a_partition_beside_the_seat_and_another_store(self):
        self.with_redis()
        self.one_beside_the_seat()

    def test_while_the_engine_runs(self):
        """A replay twice in a row, once of one partition; then the engine is killed in the middle of it."""
        small = {"batch": {"rows": 50, "wait": "100ms"}}  # so that a replay has a middle
        engine = self.begin(**small)
        reset = ("state", "reset", engine.topology)
        self.assertIn("to offset 0", self.chute(*reset, "--to-earliest"))
        self.arrived(self.table_, 2_000, 60, engine)
        self.assertEqual(self.chute(*reset, "--partition", 1, "--to-offset", 10).count("sent again"), 1)
        of_one = self.server.number(f"SELECT uniqExact(_offset) FROM {self.table_} WHERE _partition = 1 AND _offset >= 10")
        self.arrived(self.table_, 2_000 + of_one, 60, engine)
        self.chute(*reset, "--to-latest")
        self.produce(self.topic_, 1_000, "--first", 1_000)
        self.arrived(self.table_, 3_000 + of_one, 60, engine)
        self.assertEqual(engine.state(), "streaming")
        self.chute(*reset, "--to-offset", 1_000_000, code=1)
        self.arrived(self.table_, 3_000 + of_one, 60, engine)
        self.chute(*reset, "--to-earliest")
        wait_until(lambda: self.found(self.table_) > 3_000 + of_one, 60, "the replay lands")
        engine.kill()
        engine = self.start("second", **small)
        self.arrived(self.table_, 5_000 + of_one, 60, engine)
        self.assertEqual(engine.stop(), 0)
        counts = self.server.ask(f"SELECT n, count() FROM (SELECT count() AS n FROM {self.table_} GROUP BY _partition, _offset) "
                                 "GROUP BY n ORDER BY n")
        self.assertEqual(counts, f"2\t1000\n3\t{1_000 - of_one}\n4\t{of_one}")

    def test_an_engine_with_another_file_is_left_alone(self):
        engine = self.begin()
        other, _ = self.topology(self.topic_, self.table_, name="other", group="another", clickhouse=self.LIMITS)
        said = self.chute("state", "reset", other, "--admin", f"http://127.0.0.1:{engine.admin}", "--to-earliest", code=1)
        self.assertIn(f"with group chute-{self.name}, and another is asked for: nothing was moved", said)
        self.assertEqual(engine.stop(), 0)
        self.landed_times(1_000, 1)

    def test_who_has_the_group_is_named(self):
        """And an owner that stood still meanwhile is fenced when it wakes."""
        engine = self.begin()
        alone, _ = self.topology(self.topic_, self.table_, name="alone", clickhouse=self.LIMITS)
        said = self.chute("state", "reset", alone, "--to-earliest", code=1)
        self.assertIn(f"the group chute-{self.name} is in use: 1 member: chute on ", said)
        self.assertIn("--admin", said)
        engine.pause()  # its session ends, and nobody is in the group
        self.assertIn("sent again", self.chute("state", "reset", alone, "--to-earliest"))
        engine.wake()
        self.arrived(self.table_, 2_000, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.landed_times(1_000, 2)

    def test_several_members_are_named(self):
        """Through one of them, too: the others must go, and nothing is changed while they are there."""
        first = self.begin(kafka={"client.id": "first"})
        second = self.start("second", kafka={"client.id": "second"})
        for engine in (first, second):
            wait_until(lambda: [lane["phase"] for p in (engine.status() or {"pipelines": []})["pipelines"] for lane in p["lanes"]] ==
                       ["streaming"], 30, f"{engine.name} has one of the two lanes")
        alone, _ = self.topology(self.topic_, self.table_, name="alone", clickhouse=self.LIMITS)
        said = self.chute("state", "reset", alone, "--to-earliest", code=1)
        self.assertRegex(said, f"the group chute-{self.name} is in use: 2 members: (first on .+, second on |second on .+, first on )")
        self.assertIn("stop these processes", said)
        said = self.chute("state", "reset", first.topology, "--to-earliest", code=1)
        self.assertIn("is in use: 1 member: second on ", said)
        self.assertEqual(self.found(self.table_), 1_000)
        self.assertEqual(second.stop(), 0)
        self.assertIn("sent again", self.chute("state", "reset", first.topology, "--to-earliest"))
        self.arrived(self.table_, 2_000, 60, first)
        self.assertEqual(first.stop(), 0)
        self.landed_times(1_000, 2)

    def test_all_lanes_or_none(self):
        """A position that one of two lanes cannot take: neither is moved."""
        self.topic_, self.table_ = self.topic(2), self.table()
        self.produce(self.topic_, 1_500, "--run", 1_000)  # 1,000 and 500
        engine = self.start("first", "--until-end")
        self.assertEqual(engine.wait(60), 0)
        show = ("state", "show", engine.topology, "--json")
        before = harness.json.loads(self.chute(*show))
        self.assertEqual([lane["partitions"][0]["next"] for lane in before], [1_000, 500])
        said = self.chute("state", "reset", engine.topology, "--to-offset", 800, code=1)
        self.assertIn("lane 1", said)
        self.assertNotIn("sent again", said)
        self.assertEqual(harness.json.loads(self.chute(*show)), before)
        self.assertIn("to offset 800", self.chute("state", "reset", engine.topology, "--to-offset", 800, "--partition", 0))
        self.run_until(1_500 + 200)

    def run_until(self, rows):
        engine = self.start("last", "--until-end")
        self.assertEqual(engine.wait(60), 0)
        self.assertEqual(self.found(self.table_), rows)

    def test_the_first_server_is_away(self):
        """Of two servers of one table: the other is asked."""
        self.topic_, self.table_ = self.topic(2), self.table()
        self.produce(self.topic_, 1_000)
        engine = self.start("first", "--until-end")
        self.assertEqual(engine.wait(60), 0)
        dead = f"http://127.0.0.1:{harness.free_port()}"
        both, _ = self.topology(self.topic_, self.table_, name="both", url=[dead, self.server.url], clickhouse=self.LIMITS)
        self.assertEqual(self.chute("state", "reset", both, "--to-table").count("to offset 500"), 2)
        self.assertEqual(self.chute("state", "reset", both, "--to-offset", 400).count("to offset 400; the table holds"), 2)
        self.run_until(1_000 + 200)

    def test_to_a_time_and_to_what_is_new(self):
        self.topic_, self.table_ = self.topic(1), self.table()
        self.produce(self.topic_, 500)
        time.sleep(1.1)  # so that a second lies between them
        between = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        time.sleep(0.1)
        self.produce(self.topic_, 500, "--first", 500)
        engine = self.start("first", "--until-end")
        self.assertEqual(engine.wait(60), 0)
        file = engine.topology
        self.chute("state", "reset", file, "--to-datetime", between)
        shown = harness.json.loads(self.chute("state", "show", file, "--json"))
        self.assertEqual(shown[0]["partitions"][0]["next"], 500)
        self.assertEqual(shown[0]["partitions"][0]["blind"], 999)
        self.chute("state", "reset", file, "--to-latest")
        engine = self.start("last", "--until-end")
        self.assertEqual(engine.wait(60), 0)
        self.exact(self.topic_, self.table_, records=1_000)


class Plans(state_parts.Scenario):
    """A plan that was open when its engine died, and what its token cannot settle any more."""

    def leave_open(self, fault, *options, partitions=1, **config):
        """An engine that dies with a plan of which the insert was applied (drop_reply), or not (refuse)."""
        self.topic_, self.table_ = self.topic(partitions, **config), self.table()
        self.produce(self.topic_, 1_000, *options)
        proxy = Proxy(self, self.server.url)
        engine = self.start("first", url=proxy.url)
        self.arrived(self.table_, 1_000, 60, engine)
        plans = lambda: [lane["plan"] for lane in harness.json.loads(self.chute("state", "show", engine.topology, "--json"))]
        wait_until(lambda: not any(plans()), 30, "what landed is done in every lane", every=0.2)
        proxy.fault(fault, match=f"INSERT INTO*{self.table_.split('.')[1]}*FORMAT")
        before = proxy.counts().get(fault, 0)
        self.produce(self.topic_, 500, "--first", 1_000, *options)
        wait_until(lambda: proxy.counts().get(fault, 0) > before, 60, "an insert met the fault")
        engine.kill()
        left = plans()
        self.assertTrue(left[0] and not any(left[1:]), left)
        return engine.topology

    def used_up_window(self, fault):
        """Another writer fills the deduplication window before the plan is sent again."""
        self.leave_open(fault)
        columns = "id, _topic, _partition, _offset"
        for n in range(60):
            self.server.ask(f"INSERT INTO {self.table_} ({columns}) SETTINGS insert_deduplicate = 1 VALUES ({n}, 'other', 0, {n})")
        self.server.ask(f"ALTER TABLE {self.table_} MODIFY SETTING non_replicated_deduplication_window = 50")
        self.produce(self.topic_, 500, "--first", 1_500)
        engine = self.start("second")
        self.arrived(self.table_, 2_060, 90, engine)
        self.assertEqual(engine.stop(), 0)
        said = engine.log.read_text(errors="replace")
        self.assertIn("its open plan to be settled", said)
        self.assertEqual("doubt" in said, fault == "refuse", "what landed is there at the first look, else it is asked again when all is quiet")
        self.exact(self.topic_, self.table_, "--shared", records=2_000)

    def test_a_server_that_is_away_is_named(self):
        """The plan's insert may be running there: it waits, says why, and what ends it. By itself, and through the engine."""
        file = self.leave_open("refuse")
        dead = f"http://127.0.0.1:{harness.free_port()}"
        both, _ = self.topology(self.topic_, self.table_, name="both", url=[self.server.url, dead], clickhouse=self.LIMITS)
        words = (f"it cannot go on: {dead}: ", "bring that server back, or take it out of clickhouse.url")
        mover = harness.Process(self, "mover", [harness.CHUTE, "state", "reset", both, "--to-table"])
        self.stops(mover, *words)
        self.assertTrue(mover.alive())
        mover.kill()
        self.assertEqual(harness.tail(mover.log, 400).count("it cannot go on"), 1)
        # An engine cannot settle it either, whose server takes no inserts.
        proxy = Proxy(self, self.server.url, plan=f"refuse:match=INSERT INTO*{self.table_.split('.')[1]}*FORMAT", name="refusing")
        engine = self.start("second", url=[proxy.url, dead])
        wait_until(lambda: engine.status(), 30, "its face answers")
        mover = harness.Process(self, "asks", [harness.CHUTE, "state", "reset", engine.topology, "--to-table"])
        engine.says(words[0], limit=60)
        engine.kill()
        mover.kill()
        self.chute("state", "reset", file, "--to-table")
        self.mended(1_500)

    def test_another_writer_used_up_the_window(self):
        self.used_up_window("drop_reply")

    def test_another_writer_used_up_the_window_and_nothing_landed(self):
        self.used_up_window("refuse")

    def changed_mapping(self, fault):
        self.leave_open(fault)
        self.server.ask(f"ALTER TABLE {self.table_} ADD COLUMN region String")
        self.produce(self.topic_, 500, "--first", 1_500)
        engine = self.start("second", columns={"region": {"value": "eu"}})
        self.arrived(self.table_, 2_000, 90, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(self.topic_, self.table_, "--ignore", "region", records=2_000)
        return self.server.number(f"SELECT count() FROM {self.table_} WHERE region = 'eu'")

    def test_the_mapping_changed(self):
        self.assertEqual(self.changed_mapping("drop_reply"), 500)

    def test_the_mapping_changed_and_nothing_landed(self):
        self.assertEqual(self.changed_mapping("refuse"), 1_000)

    def overtaken(self, fault):
        """Retention takes the first records of the plan; the others land once, or have."""
        self.leave_open(fault)
        self.kit("topic", "delete-records", self.topic_, "--before", "0:1001")
        self.produce(self.topic_, 500, "--first", 1_500)
        engine = self.start("second")
        said = self.stops(engine, "1 offsets were deleted before they were delivered")
        self.assertEqual(engine.wait(60), 1)
        # Another command would send again what landed of the plan, and the engine stops whatever the topology says.
        goes_on, _ = self.topology(self.topic_, self.table_, name="goes_on", clickhouse=self.LIMITS, on_data_loss="continue")
        for file in (engine.topology, goes_on):
            found = self.chute("check", file, code=1)
            self.assertRegex(found, r"retention deleted offsets 1000 to 1000 of .*\n.*--to-table")
            self.assertEqual((found.count("retention deleted"), found.count("on_data_loss: continue")), (1, 0), found)
        self.assertIn("of the 1 before it, what the table lacks is lost", self.obey(said, "--to-table"))
        engine = self.start("last")
        self.arrived(self.table_, 1_999 if fault == "refuse" else 2_000, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(self.topic_, self.only("_offset > 1000"), records=999)
        self.assertEqual(self.server.ask(f"SELECT count() - uniqExact(_offset) FROM {self.table_}"), "0")

    def test_retention_overtook_the_plan(self):
        self.overtaken("drop_reply")

    def test_retention_overtook_the_plan_and_nothing_landed(self):
        self.overtaken("refuse")

    def test_retention_overtook_a_dead_letter(self):
        """A rejected record is read again for its dead letter, which cannot be written until the log has it no more."""
        self.topic_, self.table_ = self.topic(1), self.table()
        self.server.ask(f"ALTER TABLE {self.table_} ADD CONSTRAINT poison CHECK id != 50")
        letters = self.own_dead_letters = f"{self.table_}_dead"
        self.addCleanup(self.drop, letters)
        own = {"dead_letters": {"table": letters.split(".")[1]}, "clickhouse": self.LIMITS}
        self.produce(self.topic_, 50)
        engine = self.start("first", **own)
        self.arrived(self.table_, 50, 60, engine)
        self.server.ask(f"RENAME TABLE {letters} TO {letters}_away")
        self.produce(self.topic_, 1, "--first", 50)
        engine.says("a dead letter, which ClickHouse does not take")
        self.kit("topic", "delete-records", self.topic_, "--before", "0:51")
        said = self.stops(engine, "1 offsets were deleted before they were delivered")
        self.assertEqual(engine.wait(60), 1)
        self.server.ask(f"RENAME TABLE {letters}_away TO {letters}")
        self.obey(said, "--to-table")
        self.produce(self.topic_, 100, "--first", 100)
        engine = self.start("last", **own)
        self.arrived(self.table_, 150, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.assertEqual([int(r["o"]) for r in self.server.rows(f"SELECT _offset AS o FROM {self.table_} ORDER BY o")],
                         [o for o in range(151) if o != 50])
        self.exact(self.topic_, self.only("_offset > 50"), records=100)

    def test_a_record_of_the_plan_was_compacted(self):
        self.leave_open("drop_reply", "--keys", cleanup_policy="compact", segment_ms=100, min_cleanable_dirty_ratio=0.001,
                        min_compaction_lag_ms=0, delete_retention_ms=0)
        self.produce(self.topic_, 100, "--first", 1_000, "--keys")  # the same keys again, from offset 1,500 on
        in_log = lambda: [harness.json.loads(line)["offset"] for line in self.kit("read", self.topic_).stdout.splitlines()]

        def compacted():
            self.produce(self.topic_, 1, "--first", 5_000, "--keys")  # what is written last is never compacted
            return not {1_000, 1_001} & set(in_log())

        wait_until(compacted, 90, "the topic is compacted", every=0.5)
        engine = self.start("second")
        said = self.stops(engine, "compaction took some of them")
        self.assertEqual(engine.wait(60), 1)
        self.obey(said, "--to-table")
        engine = self.start("last", "--until-end")
        self.assertEqual(engine.wait(60), 0)
        found = [int(row["o"]) for row in self.server.rows(f"SELECT _offset AS o FROM {self.table_} ORDER BY o")]
        self.assertEqual(found, sorted(set(found)), "none twice")
        self.assertLessEqual({*range(1_500), *in_log()}, set(found), "none is missing")

    def unbelieved(self, fault, word):
        """A table that cannot say what landed: a person does."""
        self.more = {"provenance": "off"}
        self.leave_open(fault)
        self.server.ask(f"ALTER TABLE {self.table_} ADD COLUMN region String")
        engine = self.start("second", columns={"region": {"value": "eu"}})
        said = self.stops(engine, "is in doubt: the table or the mapping changed since it was made")
        self.assertEqual(engine.wait(60), 1)
        self.obey(said, word)
        self.produce(self.topic_, 500, "--first", 1_500)
        engine = self.start("last", columns={"region": {"value": "eu"}})
        self.arrived(self.table_, 2_000, 90, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(self.topic_, self.table_, "--ignore", "region", records=2_000)

    def test_a_plan_is_settled_as_a_whole(self):
        """What is said of one of its partitions would be said of the other, too."""
        self.more = {"provenance": "off", "lanes": 1}
        file = self.leave_open("drop_reply", partitions=2)
        said = self.chute("state", "settle", file, "--partition", 1, "--landed", code=1)
        self.assertIn("its open plan holds records of partition 0 too", said)
        self.assertEqual(self.obey(said, "--lane 0", "--landed").count("to offset"), 2)
        engine = self.start("last")
        self.produce(self.topic_, 500, "--first", 1_500)
        self.arrived(self.table_, 2_000, 90, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(self.topic_, self.table_, records=2_000)

    def test_a_person_says_that_it_landed(self):
        self.unbelieved("drop_reply", "--landed")

    def test_a_person_says_that_it_did_not_land(self):
        self.unbelieved("refuse", "--not-landed")

    def one_lane_unbelieved(self, fault, word):
        """The other lane goes on, so that the engine runs: it is told, and the lane that stopped goes on, too."""
        self.more = {"provenance": "off"}
        to_one = ("--run", 500)  # 500 records to partition 0, then to partition 1, and so on
        self.leave_open(fault, *to_one, partitions=2)
        self.server.ask(f"ALTER TABLE {self.table_} ADD COLUMN region String")
        engine = self.start("second", columns={"region": {"value": "eu"}})
        said = self.stops(engine, "is in doubt: the table or the mapping changed since it was made")
        self.produce(self.topic_, 500, "--first", 1_500, *to_one)
        of_other = f"SELECT count() FROM {self.table_} WHERE _partition = 1"
        wait_until(lambda: self.server.number(of_other) == 1_000, 60, "the other lane goes on", every=0.2)
        self.assertIn(f"{self.topic_}, partition 0: from offset 500 to offset ", self.obey(said, "--lane 0", word))
        self.produce(self.topic_, 500, "--first", 2_000, *to_one)
        self.arrived(self.table_, 2_500, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(self.topic_, self.table_, "--ignore", "region", records=2_500)

    def test_the_engine_is_told_that_it_landed(self):
        self.one_lane_unbelieved("drop_reply", "--landed")

    def test_the_engine_is_told_that_it_did_not_land(self):
        self.one_lane_unbelieved("refuse", "--not-landed")


class Begin(state_parts.Scenario):
    def test_start_latest_over_a_restart_before_the_first_record(self):
        self.topic_, self.table_ = self.topic(2), self.table()
        self.produce(self.topic_, 1_000)
        ends = self.kit("topic", "end", self.topic_).stdout.splitlines()
        begin = [f"{p}:{end}" for p, _, end in (line.split() for line in ends)]
        engine = self.start("first", start="latest")
        self.stops(engine, *(f"lane {lane} waits for its row in chute_starts" for lane in (0, 1)))
        engine.kill()
        self.produce(self.topic_, 500, "--first", 1_000)
        engine = self.start("second", start="latest")
        self.arrived(self.table_, 500, 60, engine)
        engine.kill()
        self.produce(self.topic_, 500, "--first", 1_500)
        engine = self.start("third", start="latest")
        self.arrived(self.table_, 1_000, 60, engine)
        self.assertEqual(engine.stop(), 0)
        self.exact(self.topic_, self.table_, *(x for b in begin for x in ("--from", b)), records=1_000)

    def test_partitions_added_while_it_runs(self):
        """Some in lanes that are there, some in lanes of their own; then some while nobody runs."""
        more = {"lanes": 3, "kafka": {"topic.metadata.refresh.interval.ms": 1000}}
        engine = self.begin(**more)
        self.kit("topic", "add-partitions", self.topic_, "--partitions", 5)
        self.produce(self.topic_, 1_000, "--first", 1_000)
        self.arrived(self.table_, 2_000, 90, engine)
        self.assertEqual(engine.stop(), 0)
        self.kit("topic", "add-partitions", self.topic_, "--partitions", 7)
        self.produce(self.topic_, 1_000, "--first", 2_000)
        self.mended(3_000, **more)

    def test_other_lanes_under_another_group(self):
        """As docs/topology.md has it: a lane whose rows are there stops before it sends, and then gets what the table lacks."""
        engine = self.begin(partitions=3, lanes=2)
        self.assertEqual(engine.stop(), 0)
        self.kit("topic", "add-partitions", self.topic_, "--partitions", 4)
        self.produce(self.topic_, 1_000, "--first", 1_000)
        more = {"lanes": 4, "group": f"again-{self.name}"}
        engine = self.start("second", **more)
        phases = lambda: sorted(lane["phase"] for p in (engine.status() or {"pipelines": []})["pipelines"] for lane in p["lanes"])
        wait_until(lambda: phases() == ["stopped"] * 3 + ["streaming"], 60, lambda: f"the old lanes stop, the new one does not: {phases()}")
        self.stops(engine, "beyond what this pipeline has sent")
        engine.kill()
        self.assertIn("only what the table lacks is sent", self.chute("state", "reset", engine.topology, "--to-table"))
        self.mended(2_000, **more)

    def test_other_lanes_where_the_table_cannot_be_asked(self):
        """A person carries the positions over."""
        engine = self.begin(partitions=3, lanes=2, provenance="off")
        self.assertEqual(engine.stop(), 0)
        shown = harness.json.loads(self.chute("state", "show", engine.topology, "--json"))
        positions = {p["partition"]: p["next"] for lane in shown for p in lane["partitions"]}
        self.assertEqual(sum(positions.values()), 1_000)
        self.produce(self.topic_, 1_000, "--first", 1_000)
        more = {"lanes": 3, "group": f"again-{self.name}", "provenance": "off", "start": "latest"}
        engine = self.start("second", "--until-end", **more)
        self.assertEqual(engine.wait(60), 0)
        self.assertEqual(self.found(self.table_), 1_000, "nothing is delivered")
        for partition, position in positions.items():
            self.chute("state", "reset", engine.topology, "--topic", self.topic_, "--partition", partition, "--to-offset", position)
        self.mended(2_000, **more)


if __name__ == "__main__":
    harness.main()
