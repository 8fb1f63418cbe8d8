"""What happens to the parts around the engines: brokers, ClickHouse, its replies, the disk of the file store."""

import threading

from cells import Member

# What the proxy does to requests. Codes that blame the data are left out: an engine that believes them is right to make dead
# letters of sound records. No delay is longer than the insert limit: that a proxy delivers later is not promised away.
# Three in four replies to an insert that was applied are lost, which is where the promise is easiest to break.
REPLY_FAULTS = (
    ("pass", {"match": "INSERT*chute_starts", "probability": 0.8}),  # what each lane writes once, before it streams
    ("drop_reply", {"match": "INSERT", "probability": 0.30}),
    ("cut_reply", {"match": "INSERT", "probability": 0.10, "bytes": 1}),
    ("cut_reply", {"match": "INSERT", "probability": 0.10, "bytes": 30}),
    ("cut_reply", {"match": "INSERT", "probability": 0.10, "bytes": 200}),
    ("hide_reply", {"match": "INSERT", "probability": 0.18}),
    ("duplicate", {"match": "INSERT", "probability": 0.02}),
    ("cut_request", {"match": "INSERT", "probability": 0.01}),
    ("cut_request", {"match": "INSERT", "probability": 0.01, "bytes": 900}),
    ("refuse", {"match": "INSERT", "probability": 0.02}),
    ("status_503", {"match": "INSERT", "probability": 0.02}),
    ("error_in_200", {"match": "INSERT", "probability": 0.02, "code": 252}),
    ("error_in_200", {"match": "INSERT", "probability": 0.005, "code": 241}),
    ("delay", {"match": "INSERT", "probability": 0.02, "ms": 700}),
    ("delay_reply", {"match": "INSERT", "probability": 0.02, "ms": 1200}),
    ("throttle", {"match": "INSERT", "probability": 0.02, "bytes": 400}),
    # Saves into a KeeperMap table.
    ("drop_reply", {"match": "ALTER", "probability": 0.03}),
    ("cut_reply", {"match": "ALTER", "probability": 0.02}),
    ("hide_reply", {"match": "ALTER", "probability": 0.02}),
    ("duplicate", {"match": "ALTER", "probability": 0.01}),
    ("status_503", {"match": "ALTER", "probability": 0.02}),
    ("delay", {"match": "ALTER", "probability": 0.02, "ms": 300}),
    # What recovery and doubt ask.
    ("drop_reply", {"match": "SELECT*offset", "probability": 0.02}),
    ("status_503", {"match": "SELECT*offset", "probability": 0.02}),
    ("error_in_200", {"match": "SELECT*offset", "probability": 0.01, "code": 210}),
    ("delay", {"match": "SELECT*offset", "probability": 0.02, "ms": 300}),
    # What an engine asks when it starts: dozens of questions.
    ("drop_reply", {"match": "SELECT", "probability": 0.003}),
    ("status_503", {"match": "SELECT", "probability": 0.003}),
    ("delay", {"match": "SELECT", "probability": 0.01, "ms": 300}),
)


def break_replies(proxy):
    for kind, options in REPLY_FAULTS:
        proxy.fault(kind, **options)


class Trouble(threading.Thread):
    """Something that goes wrong again and again until `over`; its last act is always mended."""

    every = (25, 60)  # seconds of rest in between

    def __init__(self, stage, name, over):
        super().__init__(name=name, daemon=True)
        self.stage, self.over, self.dice, self.first = stage, over, stage.dice(name), True

    def run(self):
        try:
            self.always()
        except Exception as e:
            self.stage.trouble(f"{self.name}: {e!r}")

    def moments(self):
        """The first one comes soon, or a short run would have none."""
        first, self.first = self.first, False
        return (3, 10) if first else self.every

    def rest(self, low, high):
        """True: it is over."""
        return self.over.wait(self.dice.uniform(low, high))


class BrokerTrouble(Trouble):
    every = (15, 40)  # a killed broker takes half a minute to come back on a busy machine

    def always(self):
        while not self.rest(*self.moments()):
            broker = f"kafka:{self.dice.choice(self.stage.brokers)}"
            what = self.dice.choices(("kill", "pause", "restart"), (7, 2, 1))[0]
            if what == "restart":
                self.stage.services("kafka", "restart", broker)
                self.stage.count("brokers restarted in good order")
                continue
            self.stage.services("kafka", what, broker)
            self.stage.count("brokers killed with -9" if what == "kill" else "brokers stopped for seconds (SIGSTOP)")
            self.rest(0.5, 5)
            self.stage.services("kafka", "start" if what == "kill" else "resume", broker)


class ServerTrouble(Trouble):
    every = (20, 50)

    def always(self):
        while not self.rest(*self.moments()):
            what = self.dice.choices(("kill", "pause"), (8, 2))[0]
            self.stage.services("clickhouse", what, "clickhouse")
            self.stage.count("ClickHouse killed with -9" if what == "kill" else "ClickHouse stopped for seconds (SIGSTOP)")
            self.rest(0.2, 3)
            if what == "kill":
                self.stage.start_clickhouse("clickhouse")
            else:
                self.stage.services("clickhouse", "resume", "clickhouse")


class Server:
    """The server of a state store: a part of dev/services, in the folder of that name."""

    def __init__(self, folder, part):
        self.folder, self.part = folder, part

    def strike(self, trouble):
        what = trouble.dice.choice(("kill", "pause"))
        trouble.stage.services(self.folder, what, self.part)
        trouble.stage.count(f"{self.part} " + ("killed with -9" if what == "kill" else "stopped for seconds (SIGSTOP)"))
        trouble.rest(0.2, 3)
        trouble.stage.services(self.folder, "start" if what == "kill" else "resume", self.part)


class StoreTrouble(Trouble):
    """The servers of state stores are away for a moment."""

    def __init__(self, stage, name, over, servers):
        super().__init__(stage, name, over)
        self.servers = servers

    def always(self):
        while not self.rest(*self.moments()):
            self.dice.choice(self.servers).strike(self)


class Failover(Trouble):
    """Redis's replica takes over."""

    every = (15, 40)

    def __init__(self, stage, name, over, pair):
        super().__init__(stage, name, over)
        self.pair = pair

    def always(self):
        while not self.rest(*self.moments()):
            self.pair.fail_over(self)


class DiskTrouble(Trouble):
    """The file store's disk is full for a while."""

    def __init__(self, stage, cell, over):
        super().__init__(stage, f"{cell.name}-disk", over)
        self.disk = cell.disk

    def always(self):
        while not self.rest(8, 25):
            self.disk.fill()
            self.stage.count("disks full")
            self.rest(1, 5)
            self.disk.empty()


class Guest(Trouble):
    """Joins the group and leaves it again, in good order or not: rebalances, one after another."""

    def __init__(self, stage, cell, over):
        super().__init__(stage, f"{cell.name}-guest", over)
        self.member = Member(cell, f"{cell.name}-guest")
        cell.guests.append(self.member)

    def always(self):
        while not self.rest(8, 24):
            self.member.start()
            self.stage.count("guests that joined and left")
            self.rest(0.3, 5)
            if self.member.ended_by_itself():
                continue
            if self.dice.random() < 0.5:
                self.member.kill()
                self.stage.count("kill -9 at random")
                continue
            self.member.leave()
