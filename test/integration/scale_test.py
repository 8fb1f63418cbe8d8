"""A thousand partitions in one process: memory within its bound whatever happens, few inserts; many lanes over several processes."""

import random
import threading
import time

import harness
from harness import LONG, wait_until

TIME_LIMIT_SECONDS = 1500 if LONG else 900
MEMORY_MIB, RESIDENT_MIB = 256, 450
INSERTS_PER_SECOND = 40
BATCH = {"rows": 100_000, "wait": "1s"}


def resident_mib(pid, field="VmHWM"):
    """VmHWM: the most that it ever was; VmRSS: now."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


class ThousandPartitions(harness.Scenario):
    partitions, records = 1_000, 6_000_000 if LONG else 1_500_000

    def inserts(self, table):
        """Block numbers are counted up by one an insert."""
        return self.server.number(f"SELECT max(max_block_number) FROM system.parts WHERE concat(database, '.', table) = '{table}'")

    def test_memory_holds_through_a_backlog_and_a_recovery_and_inserts_are_few(self):
        topic, table = self.topic(self.partitions), self.table()
        self.produce(topic, self.records, "--broken-every", 997)
        engine = self.engine(topic, table, name="first", top={"memory": f"{MEMORY_MIB}MiB"}, batch=BATCH)
        wait_until(lambda: self.found(table) > self.records // 10, 90, "a tenth of the backlog lands")
        seen = [resident_mib(engine.child.pid)]
        engine.kill()  # in the middle of it: the next one reads plans of a thousand slices again
        engine = self.engine(topic, table, name="second", top={"memory": f"{MEMORY_MIB}MiB"}, batch=BATCH)
        self.arrived(table, self.records, 240, engine)
        seen.append(resident_mib(engine.child.pid))

        # A steady stream into all partitions: inserts are counted where they land.
        more, rate = 60_000, 4_000
        producer = self.produce_slowly(topic, more, rate, "--first", self.records)
        self.arrived(table, self.records + more // 6, 60, engine)
        began, before = time.monotonic(), self.inserts(table)
        self.arrived(table, self.records + more - more // 6, 120, engine)
        per_second = (self.inserts(table) - before) / (time.monotonic() - began)
        self.assertEqual(producer.wait(60), 0)
        self.arrived(table, self.records + more, 60, engine)
        seen.append(resident_mib(engine.child.pid))
        print(f"resident memory at most {', '.join(f'{m:.0f}' for m in seen)} MiB; {per_second:.1f} inserts a second", flush=True)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=self.records + more)
        self.assertLess(max(seen), RESIDENT_MIB)
        self.assertLess(per_second, INSERTS_PER_SECOND)

    def test_memory_holds_while_clickhouse_is_away(self):
        """All partitions fall behind at the same moment, and take turns when it is back."""
        topic, table, first, more = self.topic(self.partitions), self.table(), 20_000, 1_000_000
        proxy = harness.Proxy(self, self.server.url)
        engine = self.engine(topic, table, url=proxy.url, top={"memory": f"{MEMORY_MIB}MiB"}, batch=BATCH)
        self.produce(topic, first)
        self.arrived(table, first, 60, engine)
        proxy.pause()
        self.assertEqual(self.produce_slowly(topic, more, 25_000, "--first", first).wait(120), 0)
        seen = [resident_mib(engine.child.pid)]
        self.assertLess(self.found(table), first + more // 2)  # it was away
        proxy.wake()
        self.arrived(table, first + more, 240, engine)
        seen.append(resident_mib(engine.child.pid))
        print(f"resident memory at most {seen[0]:.0f} MiB while it was away, {seen[1]:.0f} in all", flush=True)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=first + more)
        self.assertLess(max(seen), RESIDENT_MIB)

    def test_memory_holds_where_a_few_large_records_wait(self):
        """Fifteen in a partition: few records, but more than may lie there for all partitions at once."""
        topic, table, records = self.topic(self.partitions), self.table(), 15_000
        self.produce(topic, records, "--size", 100_000, "--run", 15)
        engine = self.engine(topic, table, top={"memory": f"{MEMORY_MIB}MiB"}, batch=BATCH)
        self.arrived(table, records, 120, engine)
        seen = resident_mib(engine.child.pid)
        print(f"resident memory at most {seen:.0f} MiB", flush=True)
        self.assertEqual(engine.stop(), 0)
        self.exact(topic, table, records=records)
        self.assertLess(seen, 380)  # 420 to 600 where all are read at once


class WideTable(harness.Scenario):
    """Few fields in a table of many columns: a record becomes a hundred times its bytes."""

    columns, partitions, each = 300, 16, 10_000

    def test_memory_holds(self):
        topic = self.topic(self.partitions)
        table = self.table("id UInt64, " + ", ".join(f"c{n} Nullable(Float64)" for n in range(self.columns)))
        number, wanted = 0, []
        for partition in range(self.partitions):
            lines = []
            for _ in range(self.each):
                lines.append(f'{{"partition": {partition}, "value": "{{\\"id\\":{number},\\"c{number % self.columns}\\":{number}}}"}}\n')
                number += 1
            self.kit("produce", topic, "--stdin", text="".join(lines))
        engine = self.engine(topic, table, top={"memory": "128MiB"}, batch={"rows": 100_000, "wait": "1s"})
        self.arrived(table, number, 120, engine)
        seen = resident_mib(engine.child.pid)
        print(f"resident memory at most {seen:.0f} MiB", flush=True)
        self.assertEqual(engine.stop(), 0)
        all_ = "[" + ", ".join(f"c{n}" for n in range(self.columns)) + "]"
        right = f"{all_}[id % {self.columns} + 1] = id AND arrayCount(x -> isNotNull(x), {all_}) = 1"
        self.assertEqual(self.server.ask(f"SELECT count(), uniqExact(id), uniqExact(_partition, _offset), min({right}) FROM {table}"),
                         f"{number}\t{number}\t{number}\t1")
        self.assertLess(seen, 300)


class Standstills(threading.Thread):
    """Looks at the rows of each lane all the time, disturbed or not: for how long a lane delivered nothing, at most."""

    def __init__(self, counts, lanes):
        super().__init__(daemon=True)
        self.counts, self.over = counts, threading.Event()
        self.seen, self.since = dict.fromkeys(range(lanes), 0), dict.fromkeys(range(lanes), time.monotonic())
        self.longest, self.lane, self.looks, self.error = 0.0, 0, 0, None

    def run(self):
        try:
            while not self.over.wait(0.2):
                self.look(self.counts(), time.monotonic())
        except Exception as e:  # told by end(): no look, no proof
            self.error = e

    def look(self, counts, now):
        self.looks += 1
        for lane, since in self.since.items():
            if now - since > self.longest:
                self.longest, self.lane = now - since, lane
            if counts.get(lane, 0) != self.seen[lane]:
                self.seen[lane], self.since[lane] = counts[lane], now

    def end(self):
        self.over.set()
        self.join(60)
        if self.error:
            raise self.error


class ManyLanes(harness.Scenario):
    """96 partitions in 8 lanes, two to four processes."""

    members, lanes = 4, 8
    disturbances = 100 if LONG else 12
    # Joining, loading, claiming and settling, while the machine starts other processes too.
    still_seconds = harness.SESSION_MS / 1000 + 15

    def join(self):
        self.number += 1
        self.running.append(self.engine(self.source, self.target, name=f"member{self.number}", lanes=self.lanes,
                                        batch={"rows": 2_000, "wait": "100ms"}))

    def disturb(self, dice):
        can = (["joined"] if len(self.running) < self.members else []) + (["left", "killed"] if len(self.running) > 2 else []) + ["paused"]
        what = dice.choice(can)
        if what == "joined":
            self.join()
        elif what == "paused":
            sleeper = dice.choice(self.running)
            sleeper.pause()
            time.sleep(dice.uniform(0.1, 2.2) * harness.SESSION_MS / 1000)
            sleeper.wake()
        else:
            leaver = self.running.pop(dice.randrange(len(self.running)))
            wait_until(leaver.status, 30, f"{leaver.name} is up")  # before that SIGTERM means what it means to any process
            if what == "killed":
                leaver.kill()
            else:
                self.assertEqual(leaver.stop(60), 0, f"{leaver.name} left in good order")
        return what

    def counts(self):
        return {int(r["lane"]): int(r["n"]) for r in
                self.server.rows(f"SELECT _partition % {self.lanes} AS lane, count() AS n FROM {self.target} GROUP BY lane")}

    def all_lanes_deliver(self):
        """Waits until every lane has delivered more than now; the seconds."""
        began, before = time.monotonic(), self.counts()
        wait_until(lambda: all(n > before.get(lane, 0) for lane, n in self.counts().items()) and len(self.counts()) == self.lanes,
                   self.still_seconds, lambda: "every lane delivers again: "
                   f"{before}, {self.counts()}; {' | '.join(f'{e.name}: {e.reasons()}' for e in self.running)}", every=0.1)
        return time.monotonic() - began

    def test_processes_come_and_go_and_stand_still(self):
        dice = random.Random(self.seed)
        self.source, self.target = self.topic(96), self.table()
        self.number, self.running, done = 0, [], {}
        producer = self.produce_slowly(self.source, 10_000_000, 1_500, "--broken-every", 997)
        self.join()
        self.join()
        self.arrived(self.target, 500, 60)
        self.all_lanes_deliver()
        stood = Standstills(self.counts, self.lanes)
        stood.start()
        longest = 0
        while sum(done.values()) < self.disturbances:
            for _ in range(dice.randint(1, 3)):  # some upon each other
                what = self.disturb(dice)
                done[what] = done.get(what, 0) + 1
            longest = max(longest, self.all_lanes_deliver())
        stood.end()
        producer.stop()
        ends = (line.split() for line in self.kit("topic", "end", self.source).stdout.splitlines())
        records = sum(int(end) - int(begin) for _, begin, end in ends)
        self.arrived(self.target, records, 90)
        print(f"seed {self.seed}: {done}; after a disturbance every lane delivered again within {longest:.1f} s; lane {stood.lane} stood "
              f"still for {stood.longest:.1f} s, the longest of {stood.looks} looks", flush=True)
        self.assertGreater(stood.looks, 2 * self.disturbances)
        self.assertLess(stood.longest, self.still_seconds)
        for engine in self.running:
            self.assertEqual(engine.stop(60), 0)
        self.exact(self.source, self.target, records=records)


if __name__ == "__main__":
    harness.main()
