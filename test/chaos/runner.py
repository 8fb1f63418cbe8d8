"""A chaos run: rounds of chaos over several pipelines at once; after each everything heals, drains and is compared per offset."""

import json
import shutil
import threading
import time

import harness
from acts import Act, can_be_put_back
from cells import POINTS, Cell, Life
from faults import BrokerTrouble, DiskTrouble, Failover, Guest, Server, ServerTrouble, StoreTrouble, break_replies
from redis_pair import RedisPair
from stage import LeaderWatch, SmallDisk, Stage

FAULTS = {
    "kill": "kill -9 of the engine at random moments",
    "points": "kill -9 of the engine at named points",
    "zombies": "SIGSTOP past the session time-out, past the lease, past the deduplication window",
    "members": "members that join and leave",
    "replies": "ClickHouse's replies dropped, cut, delayed, refused, throttled, replaced by errors",
    "clickhouse": "ClickHouse killed and stopped",
    "brokers": "brokers killed, stopped and restarted; leaders and coordinators move",
    "stores": "Redis and ZooKeeper killed and stopped, where they keep the state",
    "failover": "Redis's replica takes over, because the master was killed or told to change places",
    "rollback": "a state store put back to what it was, while records were delivered since",
    "disk": "the disk of the file store is full",
    "retention": "records deleted before they were delivered",
    "recreate": "topics made anew",
}
STORES = ("kafka", "file", "keeper_map", "redis")
ALONE = {"file"}  # stores that one process alone may use
ROUND_SECONDS, DRAIN_SECONDS = 240, 180
JUDGE_SECONDS = DRAIN_SECONDS + 240
LOST = "inserts applied, their replies lost"
# How the counts begin that tell that a class of faults struck.
SIGNS = {
    "kill": ("kill -9 at random",),
    "points": tuple(f"kill -9 {point.replace('_', ' ')}" for point in POINTS),
    "zombies": ("SIGSTOP past",),
    "members": ("members that left", "guests that joined"),
    "replies": (LOST,),
    "clickhouse": ("ClickHouse killed", "ClickHouse stopped"),
    "brokers": ("brokers ",),
    "stores": ("redis killed", "redis stopped", "zookeeper "),
    "failover": ("redis failed over",),
    "rollback": ("rollbacks",),
    "disk": ("disks full",),
    "retention": ("retention overtook",),
    "recreate": ("topics made anew",),
}
ALL_STRIKE_SECONDS = 300  # in so long a run each class has its turn, with few processes and on a slow machine too


def not_struck(faults, struck):
    """Of the chosen classes, those that did not strike; `struck` counts by how a name begins."""
    return [name for name in faults if not any(struck(sign) for sign in SIGNS[name])]


def states_of(stores):
    """Names, or the topology's whole `state:` block as JSON."""
    out = []
    for text in stores:
        out.append(json.loads(text) if text.lstrip().startswith("{") else {"store": text.strip()})
    return out


class Run:
    """`at_least`: pairs of a class of faults, or of how a count's name begins, and a number. A round goes on until so many struck, up to
    six times as long: a part that is long in coming back leaves time for little else."""

    def __init__(self, folder, *, seed, seconds, stores, faults, processes, rate=120, at_least=()):
        self.stage = Stage(folder, seed)
        self.seconds, self.faults, self.processes, self.rate = seconds, faults, processes, rate
        self.states = states_of(stores)
        self.totals = {"produced": 0, "rows": 0, "dead_letters": 0, "doubled": 0, "missing": 0, "different": 0, "foreign": 0}
        self.rounds, self.cells, self.at_least = 0, [], at_least
        self.made, self.judged = 0, 0  # cells
        self.store_servers, self.pair = [], None

    # -- the parts -----------------------------------------------------------------------------------------------------

    def open(self):
        s = self.stage
        s.start_parts({state["store"] for state in self.states})
        # The servers that state lies in, beside Kafka and ClickHouse.
        if any(state["store"] == "keeper_map" for state in self.states):
            self.store_servers.append(Server("clickhouse", "zookeeper"))
        ours = [state for state in self.states if state["store"] == "redis" and "url" not in state]
        if ours:
            self.pair = RedisPair(s)
            self.store_servers.append(self.pair)
        for state in ours:
            state.update(self.pair.state)
        s.say(f"three brokers at {s.kafka}, ClickHouse at {s.server.url}")
        self.proxy = harness.Proxy(s, s.server.url)
        if "disk" in self.faults:
            self.say_if_no_disk()
        self.watch = LeaderWatch(s, lambda: [c.topic for c in self.cells], lambda: [c.group for c in self.cells])
        self.watch.start()
        self.over = threading.Event()  # of the whole run
        self.acts = Act(s, self.states, self.faults, s.server.url, self.over, self.pair)
        self.acts.start()

    def say_if_no_disk(self):
        probe = SmallDisk(self.stage, self.stage.dir / "probe")
        if probe.missing:
            self.faults = [f for f in self.faults if f != "disk"]
            self.stage.say(f"LEFT OUT: full disks, because no small file system can be mounted here ({probe.missing}); run this as root")

    def struck(self, name):
        if name in SIGNS:
            return sum(self.struck(sign) for sign in SIGNS[name])
        lost = self.proxy.counts().get("lost_replies", 0) if LOST.startswith(name) and LOST not in self.stage.counts else 0
        return lost + sum(n for what, n in dict(self.stage.counts).items() if what.startswith(name))

    def enough(self):
        return all(self.struck(name) >= least for name, least in self.at_least)

    def close(self):
        self.over.set()
        self.acts.join(600)
        self.watch.over.set()
        self.stage.counts[LOST] += self.proxy.counts().get("lost_replies", 0)
        for kind, n in self.proxy.counts().items():
            if kind not in ("requests", "lost_replies", "pass"):
                self.stage.counts[f"proxy: {kind}"] = n

    # -- a round -------------------------------------------------------------------------------------------------------

    def make_cells(self):
        """Pipelines until the processes are used up, at least one for each store if they suffice: two members and a guest where a group
        may share its state, else one."""
        left, cells = self.processes, []
        while left > 0:
            i = len(cells)
            state = self.states[i % len(self.states)]
            own = left - max(0, len(self.states) - i - 1)  # the others are for the stores that have no pipeline yet
            shared = state["store"] not in ALONE and own >= 2
            members = 2 if shared else 1
            cells.append(Cell(self.stage, f"r{self.rounds}{'abcdefghijklmnop'[i]}_{state['store']}", state, members=members,
                              window=100 if i // len(self.states) % 2 == 0 else 300, partitions=10, rate=self.rate,
                              url=self.proxy.url, partitioned=i % 3 == 2, turns=i % 2 == 1))
            left -= min(members + ("members" in self.faults), own) if shared else 1
        for c in cells:
            c.make_topic()
            c.make_table()
        return cells

    def round(self, seconds):
        s = self.stage
        self.cells = self.make_cells()
        over = threading.Event()
        threads = []
        for c in self.cells:
            c.start_producer()
            threads += [Life(m, self.faults, over, s.dice(m.name)) for m in c.members]
            if c.disk and "disk" in self.faults:
                threads.append(DiskTrouble(s, c, over))
            if c.store not in ALONE and "members" in self.faults:
                threads.append(Guest(s, c, over))
        if "brokers" in self.faults:
            threads.append(BrokerTrouble(s, f"brokers-{self.rounds}", over))
        if "clickhouse" in self.faults:
            threads.append(ServerTrouble(s, f"clickhouse-{self.rounds}", over))
        if "stores" in self.faults and self.store_servers:
            threads.append(StoreTrouble(s, f"stores-{self.rounds}", over, self.store_servers))
        if "failover" in self.faults and self.pair:
            threads.append(Failover(s, f"failover-{self.rounds}", over, self.pair))
        if "replies" in self.faults:
            break_replies(self.proxy)
        for t in threads:
            t.start()
        end = time.monotonic() + seconds
        last = end + 5 * seconds
        while (time.monotonic() < end or (time.monotonic() < last and not self.enough())) and not s.troubles:  # what failed is looked at as it is
            time.sleep(0.5)
        over.set()
        for c in self.cells:
            c.stop_producer()
        self.proxy.clear()
        began = time.monotonic()
        for t in threads:
            t.join(300)
            if t.is_alive():
                s.trouble(f"{t.name} does not end")
        if (took := time.monotonic() - began) > 20:
            s.say(f"{took:.0f} s until the last part was mended")
        self.settle()
        self.rounds += 1

    def settle(self):
        """Everything is well again: all that was produced must be found, exactly once. A cell of which nobody heard is no exact one."""
        self.made += len(self.cells)
        workers = [threading.Thread(target=self.judge_whole, args=(c,), daemon=True, name=c.name) for c in self.cells]
        for w in workers:
            w.start()
        end = time.monotonic() + JUDGE_SECONDS
        for w in workers:
            w.join(max(0.0, end - time.monotonic()))
            if w.is_alive():
                self.stage.trouble(f"{w.name} was not compared within {JUDGE_SECONDS} s")

    def judge_whole(self, cell):
        try:
            self.judge(cell)
        except Exception as e:  # else the thread would end, and say nothing
            self.stage.trouble(f"{cell.name} could not be judged: {e!r}")

    def judge(self, cell):
        s = self.stage
        for reason in cell.named_stops():
            s.trouble(f"{cell.name}: a lane stopped: {reason}")
        try:
            cell.drain(DRAIN_SECONDS)
            drained = True
        except Exception as e:
            s.trouble(f"{cell.name} did not drain: {e}")
            drained = False
        try:
            verdict = cell.retried(cell.verdict)
        except Exception as e:
            return s.trouble(f"{cell.name} could not be compared: {e}")
        with s.lock:
            self.judged += 1
            for name in self.totals:
                self.totals[name] += verdict[name]
        if verdict["exact"] and verdict["produced"] == 0:
            s.trouble(f"{cell.name} is empty: nothing was produced, and nothing is proven")
        elif verdict["exact"]:
            s.say(f"{cell.name}: {verdict['produced']:,} records, {verdict['rows']:,} rows and {verdict['dead_letters']:,} dead letters: exact")
            if drained:
                cell.drop()
        else:
            s.trouble(f"{cell.name} is not exact: {verdict}")

    # -- the whole -----------------------------------------------------------------------------------------------------

    def go(self):
        """True: exact, and nothing else that must not be."""
        try:
            self.open()
            end = time.monotonic() + self.seconds  # however long the parts took to start
            while (left := end - time.monotonic()) > 5 and not self.stage.troubles:
                self.round(min(ROUND_SECONDS, left) if left < 1.5 * ROUND_SECONDS else ROUND_SECONDS)
            self.close()
            self.look_back()
        finally:
            self.stage.clean_up()
        self.report()
        return not self.stage.troubles

    def look_back(self):
        """A run in which nothing happened proves nothing: it fails, too."""
        s = self.stage
        if self.judged < self.made and not s.troubles:
            s.trouble(f"{self.made - self.judged} of {self.made} pipelines were not compared")
        if self.totals["produced"] == 0 and not s.troubles:
            s.trouble(f"nothing was produced in {self.seconds:.0f} s: there was no time for a round; give it MINUTES=1 or more")
        without = {"stores": not self.store_servers, "failover": not self.pair,
                   "disk": not any(state["store"] == "file" for state in self.states),
                   "rollback": not any(can_be_put_back(state, self.pair) for state in self.states)}  # cannot strike with these stores
        chosen = [f for f in self.faults if not without.get(f)]
        missed = not_struck(chosen, self.struck)
        for name in missed:
            text = f"NOT STRUCK: {name} ({FAULTS[name]})"
            if self.seconds >= ALL_STRIKE_SECONDS or len(missed) == len(chosen):
                s.trouble(text)
            else:
                s.say(text)

    def report(self):
        s, t = self.stage, self.totals
        counts = dict(s.counts)
        kills = sum(n for name, n in counts.items() if name.startswith("kill -9"))
        zombies = sum(n for name, n in counts.items() if name.startswith("SIGSTOP past"))
        print(f"\n{self.rounds} rounds in {(time.monotonic() - s.began) / 60:.1f} minutes; what was done:")
        for name, n in sorted({**counts, "kill -9 of an engine, in all": kills, "zombies, in all": zombies}.items()):
            print(f"{n:9,}  {name}")
        exact = t["doubled"] + t["missing"] + t["different"] + t["foreign"] == 0
        print(f"the oracle, per topic, partition and offset, with a hash of the payload: {t['produced']:,} records produced, {t['rows']:,} rows, "
              f"{t['dead_letters']:,} dead letters; doubled {t['doubled']}, missing {t['missing']}, different {t['different']}, "
              f"foreign {t['foreign']}: {'exact' if exact else 'NOT EXACT'}")
        for trouble in dict.fromkeys(s.troubles):
            print(f"FAILED: {trouble}")


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
