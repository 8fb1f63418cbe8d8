"""What must end in a stop that names its reason, and go on once a person has decided: a topic that is made anew, records that
retention deleted before they were delivered, a state store that is put back to what it was. Brokers, ClickHouse and the stores' servers
die meanwhile as they do for everybody."""

import contextlib
import pathlib
import re
import shlex
import signal
import subprocess
import time

from cells import Cell
from faults import Trouble
from harness import CHUTE, ServerError, wait_until
from state_parts import Directory, KeeperMap, Redis

LIMIT = 120  # seconds for what takes one or two when nobody dies


def can_be_put_back(state, pair):
    """The group's offsets cannot; and of a Redis that is somebody's nothing is touched beside the pipelines' own keys."""
    return state["store"] in ("file", "keeper_map") or (pair is not None and state.get("url") == pair.state["url"])


class Act(Trouble):
    """One act after another, each on a topic and tables of its own, with each store in turn."""

    def __init__(self, stage, states, faults, url, over, pair=None):
        super().__init__(stage, "acts", over)
        self.states, self.url, self.pair, self.number = states, url, pair, 0
        acts = ((self.made_anew, "recreate"), (self.overtaken, "retention"), (self.put_back, "rollback"))
        self.acts = [act for act, name in acts if name in faults]

    def always(self):
        turns = self.turns()
        while not self.rest(2, 6):
            for act, state in turns:
                if self.over.is_set():
                    return
                act(state)

    def turns(self):
        """Every act with every store. The acts alternate, so that a short run has each of them; with which act and which store it begins,
        the seed says."""
        if not self.acts:
            return []
        first, at = self.dice.randrange(len(self.acts)), self.dice.randrange(len(self.states))
        states = self.states[at:] + self.states[:at]
        turns = [(self.acts[(first + i + more) % len(self.acts)], state) for more in range(len(self.acts)) for i, state in enumerate(states)]
        turns = [(act, state) for act, state in turns if act != self.put_back or can_be_put_back(state, self.pair)]
        for n, act in enumerate(self.acts):  # each among the first ones, also where the store that it came to is left out
            at = next((i for i, turn in enumerate(turns) if turn[0] == act), 0)
            if at >= len(self.acts):
                turns.insert(n, turns.pop(at))
        return turns

    def cell(self, what, state, **pipeline):
        self.number += 1
        cell = Cell(self.stage, f"{what}_{state['store']}_{self.number}", state, members=1, window=1000, partitions=3, rate=0,
                    url=self.url, pipeline=pipeline)
        cell.make_topic()
        cell.make_table()
        return cell

    def wait_for(self, cell, records):
        engine = cell.members[0].engine
        wait_until(lambda: cell.found() >= records, LIMIT,
                   lambda: f"{records} records in {cell.table}; the engine says {engine.reasons()!r}", every=0.3)

    def stopped(self, member, *words):
        """Until a lane stops for a reason with one of these words in it, which it returns. With its last lane the process ends, too."""
        def named():
            told = member.log.read_text(errors="replace").rpartition("\n--- ")[2]
            return next((reason for reason in re.findall(r"lane \d+ stopped: (.*)", told) if any(w in reason for w in words)), None)

        return wait_until(named, LIMIT, lambda: f"{member.name} stops and names one of {words}; it says {member.engine.reasons()!r}", every=0.2)

    def produce(self, cell, records, first=0):
        cell.retried(lambda: cell.produce(records, first))

    def found(self, cell):
        return wait_until(lambda: cell.found() + 1, LIMIT, "ClickHouse answers", every=0.3) - 1

    def exact(self, cell, *options):
        verdict = cell.retried(lambda: cell.verdict(*options))
        if not verdict["exact"]:
            raise AssertionError(f"{cell.name} is not exact: {verdict}")
        return verdict

    # -- a topic that is deleted and made anew under its name ------------------------------------------------------------

    def made_anew(self, state):
        cell = self.cell("made_anew", state)
        member = cell.members[0]
        self.produce(cell, 600)
        before = cell.produced()
        member.start()
        self.wait_for(cell, before)
        seen = time.monotonic()
        self.exact(cell)
        awake = self.dice.random() < 0.5
        if awake:  # within 2 s of its last record a lane need not notice (docs/guarantees.md)
            time.sleep(max(0.0, seen + 2.5 - time.monotonic()))
        else:
            member.kill()
        cell.retried(lambda: self.stage.kit("topic", "delete", cell.topic))
        cell.make_topic()
        self.produce(cell, self.dice.choice((90, 600, 1500)), first=10_000)
        if not awake:
            member.start()
        self.stopped(member, "made anew", "is gone", "truncated")
        if (now := self.found(cell)) != before:
            raise AssertionError(f"{cell.name}: the topic was made anew, and {now} rows are where {before} were")
        self.stage.count("topics made anew: stopped by name" + (", while running" if awake else ", while away"))
        member.kill()
        self.begin_again(cell)

    def begin_again(self, cell):
        """As the message says: a new group and a new table."""
        member = cell.members[0]
        cell.group += "_again"
        cell.table += "_again"
        cell.letters += "_again"
        cell.make_table()
        member.start()
        self.wait_for(cell, cell.produced())
        self.leave(member)
        self.exact(cell)
        cell.drop()

    def leave(self, member):
        member.engine.signal(signal.SIGTERM)
        if code := member.engine.wait(60):
            raise AssertionError(f"{member.name} ended with {code} after SIGTERM; see {member.log}")

    # -- records that are deleted before they were delivered ---------------------------------------------------------------

    def overtaken(self, state):
        cell = self.cell("overtaken", state)
        member = cell.members[0]
        self.produce(cell, 300)
        delivered, ends = cell.produced(), cell.ends()
        member.start()
        self.wait_for(cell, delivered)
        self.leave(member)
        self.produce(cell, 300, first=300)
        below = {p: end + 50 for p, (_, end) in ends.items()}  # 50 of each partition are gone before they were delivered
        cell.retried(lambda: self.stage.kit("topic", "delete-records", cell.topic, *(x for p, at in below.items() for x in ("--before", f"{p}:{at}"))))
        member.start()
        self.stopped(member, "were deleted before they were delivered")
        if (now := self.found(cell)) != delivered:
            raise AssertionError(f"{cell.name}: stopped, and {now} rows are where {delivered} were")
        self.stage.count("retention overtook: stopped by name")
        member.kill()
        cell.more["on_data_loss"] = "continue"
        member.start()
        self.wait_for(cell, delivered + cell.produced())
        self.leave(member)
        self.remove_deleted(cell, below, delivered)
        self.exact(cell)
        self.stage.count("retention overtook: went on as told")
        cell.drop()

    def remove_deleted(self, cell, below, delivered):
        """What is below the log's begin was counted before; the oracle knows only what the log still has."""
        limits = f"transform(toInt64({{}}), {list(below)}, {list(below.values())}, toInt64(0))"
        gone = ((cell.table, "_offset < " + limits.format("_partition")), (cell.letters, "offset < " + limits.format("partition")))
        rows = sum(cell.retried(lambda: self.stage.server.number(f"SELECT count() FROM {table} WHERE {which}")) for table, which in gone)
        if rows != delivered:
            raise AssertionError(f"{cell.name}: {rows} rows of deleted records, where {delivered} were delivered before")
        for table, which in gone:
            cell.retried(lambda: self.stage.server.ask(f"ALTER TABLE {table} DELETE WHERE {which} SETTINGS mutations_sync = 2"))

    # -- a store that is put back to what it was ---------------------------------------------------------------------------

    def store_of(self, cell):
        """The cell's own: what others save there meanwhile must not be put back with it."""
        if cell.store == "file":
            return Directory(pathlib.Path(cell.state["path"]))
        if cell.store == "keeper_map":
            cell.state["table"] = f"state_{cell.name}"
            return KeeperMap(self.stage.server, f"chute.state_{cell.name}")
        store = Redis(1 + self.number % 15, cell.state["url"])
        cell.state["url"] = store.url
        self.forget(store)  # what an act of long ago left in this database
        return store

    def forget(self, store):
        if isinstance(store, Redis):
            self.tried(store.lose)
        elif isinstance(store, KeeperMap):
            self.tried(lambda: self.stage.server.ask(f"DROP TABLE IF EXISTS {store.table} SYNC"))

    def tried(self, call):
        """What the call returns, in the end: the store's server dies, too. Its replica must not take over in between, nor before it has
        what was done."""
        last = [None]

        def again():
            try:
                return [call()]
            except (OSError, AssertionError, ServerError) as e:
                last[0] = e
                return None

        with self.pair.lock if self.pair else contextlib.nullcontext():
            value = wait_until(again, LIMIT, lambda: f"{last[0]}", every=0.5)[0]
            if self.pair:
                self.pair.level()
        return value

    def put_back(self, state):
        cell = self.cell("put_back", state)
        member, store = cell.members[0], self.store_of(cell)
        self.produce(cell, 300)
        member.start()
        self.wait_for(cell, cell.produced())
        self.leave(member)
        old = self.tried(store.copy)
        self.produce(cell, 300, first=300)
        before = cell.produced()
        member.start()
        self.wait_for(cell, before)
        self.leave(member)  # by then the group was told of the newer state
        kept = self.dice.random() < 0.5
        new = self.tried(store.copy)
        self.tried(lambda: store.put_back(old))
        self.produce(cell, 300, first=600)
        member.start()
        said = self.stopped(member, "went back in time")
        member.kill()
        if (now := self.found(cell)) != before:
            raise AssertionError(f"{cell.name}: its state was put back, and {now} rows are where {before} were")
        if kept:
            self.tried(lambda: store.put_back(new))
            self.stage.count("rollbacks: stopped by name, went on once the newer state was back")
        else:
            self.obey(said, "--to-table")
            self.stage.count("rollbacks: stopped by name, went on behind what the table holds")
        member.start()
        self.wait_for(cell, cell.produced())
        self.leave(member)
        self.exact(cell)
        self.forget(store)
        cell.drop()

    def obey(self, reason, option):
        """Runs the command that a stop names, until it could do its work."""
        command = next((c for c in re.findall(r"`(chute state [^`]+)`", reason) if option in c), None)
        if not command:
            raise AssertionError(f"no command with {option} is named in: {reason}")
        last = [""]

        def done():
            try:
                ran = subprocess.run([CHUTE, *shlex.split(command)[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
            except subprocess.TimeoutExpired as e:
                last[0] = f"it still runs after {LIMIT} s; it said: {e.stdout}"
                return False
            last[0] = ran.stdout + ran.stderr
            return ran.returncode == 0

        wait_until(done, LIMIT, lambda: f"{command}: {last[0]}", every=1)
